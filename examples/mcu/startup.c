/* startup.c - everything between power on and main on a Cortex-M, in C: the table of vectors, the
   reset, the counter, and talking to the computer by semihosting. There is no other start file
   (-nostartfiles), and no operating system.

   A Cortex-M reads two words where its flash begins: the first becomes the stack pointer, at the
   second lies the address of the first function. So the reset can be plain C. */

#include "board.h"
#include <string.h>

/* Names that mps2.ld gives to addresses: only &name means anything. */
extern uint32_t board_stack_begin[], board_stack_end[];
extern uint8_t board_data_begin[], board_data_end[], board_data_values[];
extern uint8_t board_bss_begin[], board_bss_end[];

int main(int argc, char **argv);
void board_reset(void);

/* Registers of the processor itself; they lie there on every Cortex-M from M3 on. */
#define REGISTER(address) (*(volatile uint32_t *)(address))
#define SYSTICK_CONTROL REGISTER(0xE000E010) /* 1: on, 2: interrupts, 4: the processor's clock */
#define SYSTICK_RELOAD REGISTER(0xE000E014)  /* where it begins to count down, 24 bits */
#define SYSTICK_VALUE REGISTER(0xE000E018)
#define INTERRUPT_STATE REGISTER(0xE000ED04) /* bit 26: SysTick's interrupt waits */
#define FAULT_STATUS REGISTER(0xE000ED28)
#define COPROCESSORS REGISTER(0xE000ED88) /* bits 20 to 23: access to the FPU */

/* ---- semihosting ------------------------------------------------------------------------------
   The instruction bkpt 0xab stops for the debugger, or QEMU, which does what the number in r0 says
   with what r1 points to, and puts its answer into r0. Without either it is a fault: a board of
   your own writes to a serial port instead, here. */

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITE0 = 0x04, /* text that ends with a zero */
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_GET_CMDLINE = 0x15,
    SYS_EXIT_EXTENDED = 0x20
};

static int semihost(int operation, const void *argument) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void board_write(const char *text) { semihost(SYS_WRITE0, text); }

void board_exit(int status) {
    uint32_t block[2] = {0x20026, 0}; /* "the application ends by itself" */
    block[1] = (uint32_t)status;
    for (;;) semihost(SYS_EXIT_EXTENDED, block);
}

/* Opens with fopen's "rb" (1) or "wb" (5); -1 on failure. */
static int file_open(const char *path, int mode) {
    uint32_t block[3];
    block[0] = (uint32_t)path;
    block[1] = (uint32_t)mode;
    block[2] = (uint32_t)strlen(path);
    return semihost(SYS_OPEN, block);
}

/* Reads or writes; returns the bytes that were NOT transferred. */
static size_t file_transfer(int operation, int file, const void *data, size_t bytes) {
    uint32_t block[3];
    block[0] = (uint32_t)file;
    block[1] = (uint32_t)data;
    block[2] = (uint32_t)bytes;
    return (size_t)semihost(operation, block);
}

size_t board_read_file(const char *path, void *data, size_t bytes) {
    uint32_t file = (uint32_t)file_open(path, 1);
    size_t missing;
    if (file == UINT32_MAX) return 0;
    missing = file_transfer(SYS_READ, (int)file, data, bytes);
    semihost(SYS_CLOSE, &file);
    return missing <= bytes ? bytes - missing : 0;
}

int board_write_file(const char *path, const void *data, size_t bytes) {
    uint32_t file = (uint32_t)file_open(path, 5);
    size_t missing;
    if (file == UINT32_MAX) return 1;
    missing = file_transfer(SYS_WRITE, (int)file, data, bytes);
    return semihost(SYS_CLOSE, &file) != 0 || missing != 0;
}

/* libm sets errno. newlib's own lies in a struct of 1 KB, for threads that are not here. */
int *__errno(void);
int *__errno(void) {
    static int number;
    return &number;
}

/* ---- numbers, without stdio's 20 KB ---------------------------------------------------------- */

static void write_digits(uint64_t number, int digits) {
    char text[24], *at = text + sizeof text - 1;
    *at = 0;
    for (; digits > 0 || number; digits--, number /= 10) *--at = (char)('0' + number % 10);
    board_write(at);
}

void board_write_number(int64_t number) {
    if (number < 0) board_write("-");
    write_digits(number < 0 ? 0 - (uint64_t)number : (uint64_t)number, 1);
}

void board_write_real(double number, int decimals) {
    uint64_t scale = 1, all;
    if (!(number > -9e9 && number < 9e9)) {
        board_write(number != number ? "nan" : "out of range");
        return;
    }
    for (int i = 0; i < decimals; i++) scale *= 10;
    if (number < 0) board_write("-");
    all = (uint64_t)((number < 0 ? -number : number) * (double)scale + 0.5);
    write_digits(all / scale, 1);
    if (!decimals) return;
    board_write(".");
    write_digits(all % scale, decimals);
}

/* ---- counting instructions --------------------------------------------------------------------
   SysTick counts 2^24 ticks down, then starts again and interrupts. Under -icount shift=0 an
   instruction takes one nanosecond of QEMU's clock, and a tick of the board's clock, 25 MHz, 40. */

#ifndef BOARD_HERTZ
#define BOARD_HERTZ 25000000u /* mps2-an386, mps2-an500; mps3-an547: 32000000u */
#endif
enum { SYSTICK_LAST = 0xFFFFFF };

static volatile uint32_t systick_rounds;

static void systick_interrupt(void) { systick_rounds++; }

static void systick_start(void) {
    SYSTICK_RELOAD = SYSTICK_LAST;
    SYSTICK_VALUE = 0; /* any write clears it */
    SYSTICK_CONTROL = 7;
}

uint64_t board_instructions(void) {
    uint32_t rounds, ticks;
    uint64_t now;
    do { /* again if a round ended between the two readings */
        rounds = systick_rounds;
        ticks = SYSTICK_LAST - SYSTICK_VALUE;
    } while (rounds != systick_rounds || INTERRUPT_STATE & 1u << 26);
    now = ((uint64_t)rounds << 24) + ticks;
    /* In nanoseconds. Whole seconds and the rest apart: one product would overflow 64 bits after
       minutes. */
    return now / BOARD_HERTZ * 1000000000u + now % BOARD_HERTZ * 1000000000u / BOARD_HERTZ;
}

/* ---- the stack ------------------------------------------------------------------------------- */

enum { PAINT = 0x5AC35AC3 };

void board_paint_stack(void) {
    uint32_t *top; /* below it is free but for what this function saves */
    __asm__ volatile("mov %0, sp" : "=r"(top));
    for (uint32_t *word = board_stack_begin; word < top - 16; word++) *word = PAINT;
}

size_t board_stack_used(void) {
    const uint32_t *word = board_stack_begin;
    while (word < board_stack_end && *word == PAINT) word++;
    return (size_t)(board_stack_end - word) * sizeof *word;
}

size_t board_stack_bytes(void) {
    return (size_t)(board_stack_end - board_stack_begin) * sizeof *board_stack_begin;
}

/* ---- reset ----------------------------------------------------------------------------------- */

/* Whatever goes wrong in hardware: an address that does not exist, a stack that is too small. It
   begins with an empty stack, for the old one may be full. */
static void __attribute__((used, noreturn)) tell_fault(void) {
    board_write("\nfault: the processor stopped, status register ");
    board_write_number((int64_t)FAULT_STATUS);
    board_write(" (a stack that is too small, see STACK_BYTES, or a wrong address)\n");
    board_exit(70);
    for (;;) {
    }
}

static void __attribute__((naked)) fault(void) {
    __asm__ volatile("ldr sp, =board_stack_end\n\tb tell_fault");
}

/* The words behind QEMU's -semihosting-config arg=...,arg=... as main's arguments. */
static int arguments(char *line, size_t bytes, char **words, int most) {
    uint32_t block[2];
    int count = 0;
    block[0] = (uint32_t)line;
    block[1] = (uint32_t)bytes;
    line[0] = 0;
    if (semihost(SYS_GET_CMDLINE, block)) line[0] = 0;
    while (*line && count < most) {
        words[count++] = line;
        while (*line && *line != ' ') line++;
        while (*line == ' ') *line++ = 0;
    }
    words[count] = NULL;
    return count;
}

void board_reset(void) {
    static char line[256], *words[17];
    COPROCESSORS |= 0xFu << 20; /* the FPU, before any float; no effect where there is none */
    __asm__ volatile("dsb\n\tisb" : : : "memory");
    memcpy(board_data_begin, board_data_values, (size_t)(board_data_end - board_data_begin));
    memset(board_bss_begin, 0, (size_t)(board_bss_end - board_bss_begin));
    systick_start();
    board_exit(main(arguments(line, sizeof line, words, 16), words));
}

/* Word 0: the stack; then exceptions 1 to 15 by their numbers. Devices' interrupts, which would
   follow, are not used. */
typedef union vector {
    void *stack;
    void (*function)(void);
} vector;

__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    {board_stack_end},
    {.function = board_reset}, /* 1: reset */
    {.function = fault},
    {.function = fault}, /* 2: NMI, 3: hard fault */
    {.function = fault},
    {.function = fault}, /* 4: memory, 5: bus */
    {.function = fault},
    {.function = fault}, /* 6: usage, 7: secure */
    {NULL},
    {NULL},
    {NULL}, /* 8 to 10: reserved */
    {.function = fault},
    {.function = fault},
    {NULL}, /* 11: SVCall, 12: debug monitor */
    {.function = fault},
    {.function = systick_interrupt} /* 14: PendSV, 15: SysTick */
};
