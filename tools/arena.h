/* arena.h - where in one array the values of a lowered net lie, and in which order its rows are
   made so that the array is short.

   Each layer makes its value row by row, and first asks the layers that it reads for the rows that
   it needs. Asked for its logits alone, a net would be made in one band that moves down all maps at
   once, each of which keeps a few rows:

       input   conv1   conv2    add        A ring of rows: row y lies in slot y % rows, and goes
       .....   .....   .....   .....       over one that nobody reads any more. What a convolution
       .....   .....   =====   =====       reads is copied into a window, a ring of `kernel` rows
       .....   =====   .....   .....       with the padding around them; so its output may go over
       =====   .....   .....   .....       the very rows that it has just read.

   A map that is demanded as a whole before the next layer begins (in the order of `demands`) ends
   the band. Few demands mean small rings but many windows at a time; all demands are the usual way,
   layer by layer. The numbers are the same and no row is made twice, so there is little to pay.

   A row is a rectangle of time and addresses: it lives from the step that makes it to the last step
   that reads it. Places are right if no two rectangles overlap. */
#ifndef ARENA_H
#define ARENA_H

#include "lowered.h"
#include <limits.h>

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

enum { PIXELS_OF_A_TILE = 4, ARENA_ALIGNMENT = 8 };

/* ---- sizes ----------------------------------------------------------------------------------- */

static inline size_t element_bytes(const lowered *net, const layer *l) {
    return !net->quantised ? 4 : l->q.wide ? 2 : 1;
}

/* Channels of a window: even in integers, which go through in pairs. */
static inline int window_channels(const lowered *net, const layer *l) {
    const int c = net->layers[l->inputs[0]].c;
    return net->quantised ? (c + 1) / 2 * 2 : c;
}

/* Pixels of a window's row: so many that no tile of output pixels reaches out of it. */
static inline int window_columns(const layer *l) {
    const int tiles = (l->w + PIXELS_OF_A_TILE - 1) / PIXELS_OF_A_TILE;
    return (tiles * PIXELS_OF_A_TILE - 1) * l->stride + l->kernel;
}

static inline size_t window_row_bytes(const lowered *net, const layer *l) {
    return (size_t)window_columns(l) * (size_t)window_channels(net, l) * (net->quantised ? 2 : 4);
}

static inline size_t value_row_bytes(const lowered *net, const layer *l) {
    return (size_t)l->w * (size_t)l->c * element_bytes(net, l);
}

/* ---- when rows live -------------------------------------------------------------------------- */

/* The rows of a value or a window. Step t takes the times 3t (a convolution copies rows of its
   input into its window) and 3t + 1 (it reads its window, all others their inputs, and writes its
   row). Where a layer writes each number over the one that it was made of, the row may lie over
   that of an input which is read last at that time. */
typedef struct stay {
    int layer, window;  /* of a window: 1 */
    int count;          /* rows */
    int *born, *dies;   /* [count]; a row lives at born <= time <= dies; -1: not at all */
    int first, last;    /* times: of the rows together */
    int in_place;       /* the stays of its terms, whose rows it may go over; -1: none */
    int in_place_other; /* likewise */
    size_t row_bytes;
    int rows; /* of the ring */
    size_t offset;
    int placed;
} stay;

typedef struct planner {
    const lowered *net;
    const char *demanded; /* [layers] */
    int *value, *window;  /* [layers] their stays; -1: none */
    int *done, *gathered; /* [layers] rows made so far, rows in the window so far */
    stay *stays;
    int count, step;
} planner;

static inline int add_stay(planner *p, int l, int window, int rows, size_t row_bytes) {
    stay *s = &p->stays[p->count];
    int y;
    memset(s, 0, sizeof *s);
    s->layer = l, s->window = window, s->count = rows, s->row_bytes = row_bytes;
    s->in_place = s->in_place_other = -1;
    s->born = (int *)allocate((size_t)rows * sizeof(int));
    s->dies = (int *)allocate((size_t)rows * sizeof(int));
    for (y = 0; y < rows; y++) s->born[y] = s->dies[y] = -1;
    return p->count++;
}

static inline void live(planner *p, int at, int row, int time, int birth) {
    stay *s;
    if (at < 0) return;
    s = &p->stays[at];
    if (birth) s->born[row] = time;
    if (time > s->dies[row]) s->dies[row] = time;
}

/* The rows of layer l before `rows` are made, as the emitted functions do it. */
static inline void make_rows(planner *p, int l, int rows) {
    const layer *made = &p->net->layers[l];
    int first, last, which, y, r, t;
    for (y = p->done[l]; y < rows && made->inputs[0] >= 0; y = ++p->done[l]) {
        for (which = 0; which < 2 && made->inputs[which] >= 0; which++) {
            rows_read(p->net, made, which, y, &first, &last);
            make_rows(p, made->inputs[which], last);
        }
        t = 3 * p->step++;
        if (p->window[l] >= 0) {
            const int top = y * made->stride; /* row of the window; the input's is less padding */
            if (p->gathered[l] < top) p->gathered[l] = top;
            for (; p->gathered[l] < top + made->kernel; p->gathered[l]++) {
                r = p->gathered[l] - made->padding;
                live(p, p->window[l], p->gathered[l], t, 1);
                if (r >= 0 && r < p->net->layers[made->inputs[0]].h)
                    live(p, p->value[made->inputs[0]], r, t, 0);
            }
            for (r = top; r < top + made->kernel; r++) live(p, p->window[l], r, t + 1, 0);
        } else
            for (which = 0; which < 2 && made->inputs[which] >= 0; which++) {
                rows_read(p->net, made, which, y, &first, &last);
                for (r = first; r < last; r++) live(p, p->value[made->inputs[which]], r, t + 1, 0);
            }
        live(p, p->value[l], y, t + 1, 1);
    }
}

/* Stays of all values and windows, and the times of their rows. */
static inline void find_times(planner *p) {
    const lowered *net = p->net;
    int l, i;
    p->count = p->step = 0;
    for (l = 0; l < net->count; l++) {
        const layer *of = &net->layers[l];
        const int is_ours = l > 0 && l < net->count - 1;
        p->done[l] = p->gathered[l] = 0;
        p->value[l] = is_ours ? add_stay(p, l, 0, of->h, value_row_bytes(net, of)) : -1;
        p->window[l] = has(of, HAS_FILTERS)
                           ? add_stay(p, l, 1, (of->h - 1) * of->stride + of->kernel,
                                      window_row_bytes(net, of))
                           : -1;
        if (is_ours && has(of, POINTWISE)) {
            p->stays[p->value[l]].in_place = p->value[of->inputs[0]];
            if (of->inputs[1] >= 0) p->stays[p->value[l]].in_place_other = p->value[of->inputs[1]];
        }
    }
    for (l = 0; l < net->count; l++)
        if (p->demanded[l]) make_rows(p, l, net->layers[l].h);
    for (i = 0; i < p->count; i++) {
        stay *s = &p->stays[i];
        int y, fits = 0;
        for (s->rows = s->window ? net->layers[s->layer].kernel : 1; !fits; s->rows += !fits)
            for (fits = 1, y = s->rows; y < s->count && fits; y++)
                fits = s->born[y] < 0 || s->dies[y - s->rows] < s->born[y];
        s->first = INT_MAX, s->last = -1;
        for (y = 0; y < s->count; y++) {
            if (s->born[y] >= 0 && s->born[y] < s->first) s->first = s->born[y];
            if (s->dies[y] > s->last) s->last = s->dies[y];
        }
    }
}

/* ---- where rows lie -------------------------------------------------------------------------- */

/* May row y of `a`, which is born when row z of `b` is read last, go over it? Only if number by
   number: from the same address, and no number larger than the one that it is made of. */
static inline int may_cover(const stay *a, const stay *b, int at_b, int y, int z, size_t start_a,
                            size_t start_b) {
    return (a->in_place == at_b || a->in_place_other == at_b) && y == z && start_a == start_b &&
           a->row_bytes <= b->row_bytes && a->born[y] == b->dies[z];
}

/* The least offset above the one of stay `a` at which these two rows do not collide; 0: they do not
   collide now. */
static inline size_t collision(const planner *p, int at_a, int at_b, int y, int z) {
    const stay *a = &p->stays[at_a], *b = &p->stays[at_b];
    const size_t in_a = (size_t)(y % a->rows) * a->row_bytes, start_a = a->offset + in_a;
    const size_t start_b = b->offset + (size_t)(z % b->rows) * b->row_bytes;
    size_t end;
    if (a->born[y] > b->dies[z] || b->born[z] > a->dies[y]) return 0;
    if (start_a + a->row_bytes <= start_b || start_b + b->row_bytes <= start_a) return 0;
    if (may_cover(a, b, at_b, y, z, start_a, start_b) ||
        may_cover(b, a, at_a, z, y, start_b, start_a))
        return 0;
    end = start_b + b->row_bytes; /* where the row of `a` may begin, or the same address */
    if (start_a < start_b && (a->in_place == at_b || a->in_place_other == at_b ||
                              b->in_place == at_a || b->in_place_other == at_a))
        end = start_b;
    end -= in_a < end ? in_a : end;
    return (end > a->offset ? end : a->offset + 1);
}

/* The least offset of stay `at` where none of its rows is in the way of those placed already. */
static inline void place_stay(planner *p, int at) {
    stay *s = &p->stays[at];
    int i, y, z, first, moved = 1;
    s->offset = 0;
    while (moved) {
        moved = 0;
        for (i = 0; i < p->count && !moved; i++) {
            const stay *b = &p->stays[i];
            if (!b->placed) continue;
            if (b->first > s->last || s->first > b->last) continue;
            if (b->offset >= s->offset + (size_t)s->rows * s->row_bytes ||
                s->offset >= b->offset + (size_t)b->rows * b->row_bytes)
                continue;
            for (y = first = 0; y < s->count && !moved; y++) { /* rows are born one after another */
                while (first < b->count && s->born[y] >= 0 && b->dies[first] < s->born[y]) first++;
                for (z = first; z < b->count && b->born[z] <= s->dies[y] && !moved; z++) {
                    const int both = s->born[y] >= 0 && b->born[z] >= 0;
                    const size_t next = both ? collision(p, at, i, y, z) : 0;
                    if (!next) continue;
                    s->offset = (next + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
                    moved = 1;
                }
            }
        }
    }
    s->placed = 1;
}

/* All stays, those of `order` first; the bytes that they take. */
static inline size_t place_all(planner *p, const int *order) {
    size_t bytes = 0;
    int i;
    for (i = 0; i < p->count; i++) p->stays[i].placed = 0;
    for (i = 0; i < p->count; i++) {
        const stay *s = &p->stays[order[i]];
        place_stay(p, order[i]);
        if (s->offset + (size_t)s->rows * s->row_bytes > bytes)
            bytes = s->offset + (size_t)s->rows * s->row_bytes;
    }
    return (bytes + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
}

/* Puts the order right for one of two rules: the largest first, or the first born first. */
static inline void sort_stays(const planner *p, int *order, int largest_first) {
    int i, k;
    for (i = 0; i < p->count; i++) {
        const stay *s = &p->stays[i];
        for (k = i; k > 0; k--) {
            const stay *before = &p->stays[order[k - 1]];
            const size_t a = (size_t)s->rows * s->row_bytes,
                         b = (size_t)before->rows * before->row_bytes;
            if (largest_first ? a <= b : s->first >= before->first) break;
            order[k] = order[k - 1];
        }
        order[k] = i;
    }
}

static inline void forget_stays(planner *p) {
    int i;
    for (i = 0; i < p->count; i++) free(p->stays[i].born), free(p->stays[i].dies);
    p->count = 0;
}

/* ---- which layers are demanded --------------------------------------------------------------- */

/* Plans for these demands; in *crowd, if not NULL, [layers] those that have something in memory
   while the arena is fullest. */
static inline size_t try_demands(planner *p, const char *demanded, arena *result, char *crowd) {
    const int layers = p->net->count;
    int *order = (int *)allocate(2 * (size_t)layers * sizeof(int));
    size_t bytes[2];
    int i;
    const stay *highest = p->stays;
    p->demanded = demanded;
    find_times(p);
    for (i = 0; i < 2; i++) sort_stays(p, order, i), bytes[i] = place_all(p, order);
    if (bytes[0] < bytes[1]) sort_stays(p, order, 0), place_all(p, order), bytes[1] = bytes[0];
    for (i = 0; i < p->count; i++) {
        const stay *s = &p->stays[i];
        place here;
        here.offset = s->offset, here.row_bytes = s->row_bytes, here.rows = s->rows;
        if (result) (s->window ? result->windows : result->values)[s->layer] = here;
        if (s->offset + (size_t)s->rows * s->row_bytes >
            highest->offset + (size_t)highest->rows * highest->row_bytes)
            highest = s;
    }
    if (crowd && p->count) {
        memset(crowd, 0, (size_t)layers);
        for (i = 0; i < p->count; i++)
            if (p->stays[i].first <= highest->last && highest->first <= p->stays[i].last)
                crowd[p->stays[i].layer] = 1;
    }
    forget_stays(p);
    free(order);
    return bytes[1];
}

/* Every map as a whole, but those which only the next layer reads, pixel by pixel, and affine ones,
   which only say how the trunk is read. By units: nor convolutions that only one layer reads. */
static inline void demand_maps(const lowered *net, char *demanded, int by_units) {
    int l, k;
    for (l = 0; l < net->count; l++) {
        const layer *of = &net->layers[l];
        int readers = 0, in_place = 0;
        for (k = 0; k < net->count; k++)
            if (net->layers[k].inputs[0] == l || net->layers[k].inputs[1] == l)
                readers++, in_place += has(&net->layers[k], POINTWISE);
        demanded[l] = l > 0 && !has(of, IS_READ_ON_THE_FLY) && !(readers == 1 && in_place == 1) &&
                      !(by_units && readers == 1 && has(of, HAS_FILTERS));
    }
    demanded[net->count - 1] = 1;
}

/* One demand more or less, whichever makes the arena shortest; 0 if none does. */
static inline size_t improve(planner *p, char *demanded, size_t bytes) {
    const int last = p->net->count - 1;
    char *crowd = (char *)allocate((size_t)last + 1);
    int l, best = -1;
    try_demands(p, demanded, NULL, crowd);
    for (l = 1; l < last; l++) {
        size_t with;
        if (!crowd[l]) continue;
        demanded[l] = (char)!demanded[l];
        with = try_demands(p, demanded, NULL, NULL);
        demanded[l] = (char)!demanded[l];
        if (with < bytes) bytes = with, best = l;
    }
    free(crowd);
    if (best < 0) return 0;
    demanded[best] = (char)!demanded[best];
    return bytes;
}

/* Takes demands away one by one, or adds some, as long as that makes the arena shorter and it is
   longer than `limit`. */
static inline size_t improve_to(planner *p, char *demanded, size_t limit) {
    size_t bytes = try_demands(p, demanded, NULL, NULL), better;
    while (bytes > limit && (better = improve(p, demanded, bytes)) > 0) bytes = better;
    return bytes;
}

/* From layer by layer; where that does not come down to the limit, from unit by unit, and with all
   units before some layer as one band. */
static inline void choose_demands(planner *p, char *demanded, size_t limit) {
    const size_t layers = (size_t)p->net->count;
    char *units = (char *)allocate(layers), *start = (char *)allocate(layers);
    size_t bytes, least;
    int l;
    demand_maps(p->net, demanded, 0);
    demand_maps(p->net, units, 1);
    least = improve_to(p, demanded, limit);
    for (l = 1; l < p->net->count && least > limit; l++) {
        if (l > 1 && !units[l - 1]) continue; /* the same as before */
        memcpy(start, units, layers);
        memset(start, 0, (size_t)l);
        bytes = try_demands(p, start, NULL, NULL);
        if (bytes > 2 * least) break; /* longer bands only have more windows */
        bytes = improve_to(p, start, limit);
        if (bytes < least) least = bytes, memcpy(demanded, start, layers);
    }
    free(units), free(start);
}

/* The arena of a net: layer by layer, or, where that takes more than `limit` bytes, in bands, as
   few as need be. limit 0: as short as can be found. The caller compares arena.bytes with what it
   asked for. To be freed by free_arena. */
static inline arena plan_arena(const lowered *net, size_t limit) {
    const size_t layers = (size_t)net->count;
    char *demanded = (char *)allocate(layers);
    int *lists = (int *)allocate(4 * layers * sizeof(int)), l;
    planner p;
    arena a;
    memset(&p, 0, sizeof p);
    p.net = net;
    p.value = lists, p.window = lists + layers;
    p.done = lists + 2 * layers, p.gathered = lists + 3 * layers;
    p.stays = (stay *)allocate(2 * layers * sizeof(stay));
    a.values = (place *)calloc(layers, sizeof(place));
    a.windows = (place *)calloc(layers, sizeof(place));
    a.demands = (int *)allocate(layers * sizeof(int));
    if (!a.values || !a.windows) quit(1, "no memory for %zu layers", layers);
    choose_demands(&p, demanded, limit);
    a.bytes = try_demands(&p, demanded, &a, NULL);
    for (l = a.demand_count = 0; l < net->count; l++)
        if (demanded[l]) a.demands[a.demand_count++] = l;
    free(demanded), free(lists), free(p.stays);
    return a;
}

static inline void free_arena(arena *a) {
    free(a->values), free(a->windows), free(a->demands);
    memset(a, 0, sizeof *a);
}

#endif
