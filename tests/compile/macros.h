/* macros.h - names that other headers define as macros, among them <windows.h>; resnet.h behind it
   must use none of them. What resnet.h includes comes first, for these headers could not bear it
   either. */

#include <assert.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whatever it stands in for, this is no C. */
#define GARBAGE 0 garbage 0

/* Windows */
#define small GARBAGE
#define hyper GARBAGE
#define near GARBAGE
#define far GARBAGE
#define pascal GARBAGE
#define cdecl GARBAGE
#define interface GARBAGE
#define min GARBAGE
#define max GARBAGE
#define IN GARBAGE
#define OUT GARBAGE
#define OPTIONAL GARBAGE
#define ERROR GARBAGE
#define NO_ERROR GARBAGE
#define DELETE GARBAGE
#define BOOL GARBAGE
#define TRUE GARBAGE
#define FALSE GARBAGE
#define VOID GARBAGE
#define CONST GARBAGE
#define CALLBACK GARBAGE
#define STRICT GARBAGE
#define IGNORE GARBAGE
#define INFINITE GARBAGE
#define ABSOLUTE GARBAGE
#define RELATIVE GARBAGE
#define OPAQUE GARBAGE
#define ALTERNATE GARBAGE
#define PURE GARBAGE
#define THIS GARBAGE
#define DIFFERENCE GARBAGE
#undef OVERFLOW
#define OVERFLOW GARBAGE
#undef UNDERFLOW
#define UNDERFLOW GARBAGE
#undef DOMAIN
#define DOMAIN GARBAGE
#define MoveFile GARBAGE
#define CreateFile GARBAGE
#define DeleteFile GARBAGE
#define LoadImage GARBAGE
#define Yield GARBAGE

/* complex.h, math.h and compilers for some machine */
#undef I
#define I GARBAGE
#undef complex
#define complex GARBAGE
#define imaginary GARBAGE
#undef unix
#define unix GARBAGE
#undef linux
#define linux GARBAGE
#undef i386
#define i386 GARBAGE
#define arm GARBAGE
#define mips GARBAGE
#define sparc GARBAGE
#define sun GARBAGE
#define vax GARBAGE
#undef M_PI
#define M_PI GARBAGE
#undef M_E
#define M_E GARBAGE
#undef M_LN2
#define M_LN2 GARBAGE
#undef M_SQRT2
#define M_SQRT2 GARBAGE
#undef MAXFLOAT
#define MAXFLOAT GARBAGE
#define PI GARBAGE
#define E GARBAGE

/* X11 */
#define Bool GARBAGE
#define Status GARBAGE
#define None GARBAGE
#define Always GARBAGE
#define Success GARBAGE
#define Complex GARBAGE
#define Above GARBAGE
#define Below GARBAGE
#define Convex GARBAGE
#define Unsorted GARBAGE
#define True GARBAGE
#define False GARBAGE

/* boards */
#define B0 GARBAGE
#define B1 GARBAGE
#define R0 GARBAGE
#define SP GARBAGE
#define PC GARBAGE
#define DEC GARBAGE
#define HEX GARBAGE
#define OCT GARBAGE
#define LOW GARBAGE
#define HIGH GARBAGE
#define INPUT GARBAGE
#define OUTPUT GARBAGE
#define DEFAULT GARBAGE
#define INTERNAL GARBAGE
#define EXTERNAL GARBAGE
#define CHANGE GARBAGE
#define RISING GARBAGE
#define FALLING GARBAGE
#define bit GARBAGE
#define word GARBAGE
#define boolean GARBAGE
#define constrain GARBAGE
#define radians GARBAGE
#define degrees GARBAGE
#define sq GARBAGE

/* everybody */
#define A GARBAGE
#define B GARBAGE
#define C GARBAGE
#define D GARBAGE
#define F GARBAGE
#define G GARBAGE
#define H GARBAGE
#define J GARBAGE
#define K GARBAGE
#define L GARBAGE
#define M GARBAGE
#define N GARBAGE
#define O GARBAGE
#define P GARBAGE
#define Q GARBAGE
#define R GARBAGE
#define S GARBAGE
#define T GARBAGE
#define U GARBAGE
#define V GARBAGE
#define W GARBAGE
#define X GARBAGE
#define Y GARBAGE
#define Z GARBAGE
#define MIN GARBAGE
#define MAX GARBAGE
#define ABS GARBAGE
#define SIZE GARBAGE
#define COUNT GARBAGE
#define EPS GARBAGE
#define BLOCK GARBAGE
#define LANES GARBAGE
#define CHECK GARBAGE
#define FAIL GARBAGE
#define OK GARBAGE
#define PACKED GARBAGE
#define ALIGN GARBAGE
#define INLINE GARBAGE
#define RESTRICT GARBAGE
#define UNUSED GARBAGE
#define likely GARBAGE
#define unlikely GARBAGE
#define countof GARBAGE
