/* board.h - what a program asks of the board that it runs on. startup.c is a Cortex-M under QEMU or
   a debugger, pc.c is your computer, so that one program runs on either. */

#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Text to the console of QEMU (its standard error) or of the debugger, by semihosting. */
void board_write(const char *text);
void board_write_number(int64_t number);
void board_write_real(double number, int decimals); /* decimals from 0 to 9, below 9e9 */

/* Ends the program; on a PC with this exit status, which QEMU hands on. */
void board_exit(int status);

/* Instructions executed so far, to 40: exact under QEMU's -icount shift=0, where an instruction is
   a nanosecond. On a board it is nanoseconds, if BOARD_HERTZ is its clock. 0 where nobody counts.
   Not to be called from an interrupt. */
uint64_t board_instructions(void);

/* Paint fills the stack that is not in use with a pattern; used tells how many bytes, counted from
   the top of the whole stack, no longer hold it: the deepest that calls went since. */
void board_paint_stack(void);
size_t board_stack_used(void);
size_t board_stack_bytes(void); /* all there is; 0: not known */

/* Files of the computer on which QEMU or the debugger runs, whole. Read returns how many bytes
   there were, at most `bytes`, 0 without a file; write returns 0 for success. */
size_t board_read_file(const char *path, void *data, size_t bytes);
int board_write_file(const char *path, const void *data, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
