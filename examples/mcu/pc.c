/* pc.c - board.h on your computer, to run the same program there and to compare. */

#include "board.h"
#include <stdio.h>
#include <stdlib.h>

void board_write(const char *text) { fputs(text, stdout); }

void board_write_number(int64_t number) { printf("%lld", (long long)number); }

void board_write_real(double number, int decimals) { printf("%.*f", decimals, number); }

void board_exit(int status) { exit(fflush(stdout) ? 1 : status); }

uint64_t board_instructions(void) { return 0; }

void board_paint_stack(void) {}

size_t board_stack_used(void) { return 0; }

size_t board_stack_bytes(void) { return 0; }

size_t board_read_file(const char *path, void *data, size_t bytes) {
    FILE *file = fopen(path, "rb");
    const size_t count = file ? fread(data, 1, bytes, file) : 0;
    if (file) fclose(file);
    return count;
}

int board_write_file(const char *path, const void *data, size_t bytes) {
    FILE *file = fopen(path, "wb");
    if (!file) return 1;
    return (fwrite(data, 1, bytes, file) != bytes) | (fclose(file) != 0);
}
