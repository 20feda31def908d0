/* arena.h - where in one array the values of a lowered net lie, and in which order its rows are made
   so that the array is short. */
#ifndef ARENA_H
#define ARENA_H

#include "lowered.h"

/* Rows in the arena: row y lies at offset + y % rows * row_bytes. */
typedef struct place {
    size_t offset, row_bytes;
    int rows; /* 0: it has no place; the value's height: it lies there as a whole */
} place;

typedef struct arena {
    size_t bytes;
    place *values;  /* [layers]; none for the input and the last layer, which are the caller's */
    place *windows; /* [layers] of a convolution: the rows of its input that it reads now, with the
                       padding around them; row y of the input is row y + padding of the window */
    int *demands;   /* layers that are made as a whole, in this order; the last is the net's last */
    int demand_count;
} arena;

#endif
