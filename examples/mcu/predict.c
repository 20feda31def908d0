/* predict.c - a net that tools/emit_c wrote, on a board: its self-test, and what it costs.

   make -C examples/mcu predict                     on a Cortex-M4, by QEMU
   make -C examples/mcu predict NET=../../net.c     a file of yours, written with --name net

   The Makefile says which type the images have: IMAGE is int8_t or float. */

#include "board.h"

#ifndef IMAGE
#define IMAGE int8_t
#endif

void net_predict(const IMAGE *image, IMAGE *logits);
int net_selftest(void);

static void write_line(const char *words, int64_t number, const char *unit) {
    board_write(words);
    board_write_number(number);
    board_write(unit);
}

int main(void) {
    uint64_t begin;
    int wrong;
    board_paint_stack();
    begin = board_instructions();
    wrong = net_selftest(); /* one prediction */
    write_line("instructions  ", (int64_t)(board_instructions() - begin), "\n");
    write_line("stack         ", (int64_t)board_stack_used(), " bytes\n");
    write_line("self-test     ", wrong, wrong ? " logits are wrong\n" : " wrong: passed\n");
    return wrong != 0;
}
