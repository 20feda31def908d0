/* computer.c - what run.c asks of a board, of a computer. */

#include "../../examples/mcu/board.h"
#include <stdio.h>

void board_write(const char *text) { fputs(text, stdout); }
void board_write_number(int64_t number) { printf("%lld", (long long)number); }
uint64_t board_instructions(void) { return 0; }
void board_paint_stack(void) {}
size_t board_stack_used(void) { return 0; }
