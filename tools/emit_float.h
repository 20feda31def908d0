/* emit_float.h - writes the layers of a net in float; the kernels that they call are text of
   kernels/float.h. */
#ifndef EMIT_FLOAT_H
#define EMIT_FLOAT_H

#include "emit.h"
#include "float_text.h" /* kernels/float.h line by line, from the Makefile */

/* ---- kernels --------------------------------------------------------------------------------- */

static inline int has_kind(const lowered *net, layer_kind kind) {
    int l;
    for (l = 0; l < net->count; l++)
        if (net->layers[l].kind == kind) return 1;
    return 0;
}

/* Is it an addition whose terms have factors, 1, or have none, 0? */
static inline int has_factors(const layer *of) {
    return of->factors[0] != 1 || of->factors[1] != 1;
}

static inline int has_addition(const lowered *net, int factors) {
    int l;
    for (l = 0; l < net->count; l++)
        if (net->layers[l].kind == LAYER_ADD && has_factors(&net->layers[l]) == factors) return 1;
    return 0;
}

/* Does the net need this section of kernels/float.h? */
static inline int needs_float_section(const lowered *net, const char *section) {
    static const struct {
        const char *section;
        layer_kind kind, other;
    } needs[] = {{"convolution", LAYER_CONVOLUTION, LAYER_CONVOLUTION},
                 {"affine", LAYER_AFFINE, LAYER_AFFINE},
                 {"gate", LAYER_GATE, LAYER_GATE},
                 {"pool", LAYER_MAX_POOL, LAYER_AVG_POOL},
                 {"max_pool", LAYER_MAX_POOL, LAYER_MAX_POOL},
                 {"avg_pool", LAYER_AVG_POOL, LAYER_AVG_POOL},
                 {"global_avg_pool", LAYER_GLOBAL_AVG_POOL, LAYER_GLOBAL_AVG_POOL},
                 {"pad_subsample", LAYER_PAD_SUBSAMPLE, LAYER_PAD_SUBSAMPLE}};
    size_t i;
    if (!strcmp(section, "add")) return has_addition(net, 0);
    if (!strcmp(section, "add_scaled")) return has_addition(net, 1);
    for (i = 0; i < sizeof needs / sizeof needs[0]; i++)
        if (!strcmp(section, needs[i].section))
            return has_kind(net, needs[i].kind) || has_kind(net, needs[i].other);
    return 0;
}

static inline void put_float_kernels(emitter *e) {
    put_sections(e, float_text, needs_float_section);
}

/* ---- constants ------------------------------------------------------------------------------- */

static inline void put_float_array(emitter *e, int l, const char *suffix, const float *numbers,
                                   size_t count) {
    size_t i;
    begin_array(e, l, "float", suffix, count, sizeof(float));
    for (i = 0; i < count; i++) put_float(e, i, numbers[i]);
    end_array(e);
}

/* Filters in fours; those that are not there are zeros. */
static inline size_t filter_places(const layer *of) { return ((size_t)of->c + 3) / 4 * 4; }

/* [K][C][R][S] becomes [K/4][R][S][C][4]. */
static inline void put_float_weight(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    const size_t channels = (size_t)e->net->layers[of->inputs[0]].c;
    const size_t taps = (size_t)(of->kernel * of->kernel), places = filter_places(of);
    float *ordered = allocate_floats(places * channels * taps), *to = ordered;
    size_t k, f, tap, c;
    for (k = 0; k < places; k += 4)
        for (tap = 0; tap < taps; tap++)
            for (c = 0; c < channels; c++)
                for (f = k; f < k + 4; f++)
                    *to++ = f < (size_t)of->c ? of->weight[(f * channels + c) * taps + tap] : 0;
    put_float_array(e, l, "weight", ordered, places * channels * taps);
    free(ordered);
}

static inline void put_float_bias(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    const size_t places = filter_places(of);
    float *bias = allocate_floats(places);
    size_t k;
    for (k = 0; k < places; k++) bias[k] = k < (size_t)of->c ? of->bias[k] : 0;
    put_float_array(e, l, "bias", bias, places);
    free(bias);
}

static inline void put_convolution_constants(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    const int channels = e->net->layers[of->inputs[0]].c;
    put_float_weight(e, l);
    put_float_bias(e, l);
    begin_numbers(e, l, "convolution", 9);
    put(e, "%s_weight, %s_bias, /* kernel */ %d,\n", c_name(e, l), c_name(e, l), of->kernel);
    put(e, "    /* row, run, step */ %d, %d, %d, /* pixels, channels, relu */ %d, %d, %d};\n",
        window_columns(of) * channels, of->kernel * channels, of->stride * channels, of->w, of->c,
        of->relu);
}

static inline void put_affine_constants(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    put_float_array(e, l, "weight", of->weight, (size_t)of->c);
    put_float_array(e, l, "bias", of->bias, (size_t)of->c);
}

/* ---- row y ----------------------------------------------------------------------------------- */

static inline void put_convolution_row(emitter *e, int l) {
    const layer *of = &e->net->layers[l], *in = &e->net->layers[of->inputs[0]];
    const int columns = window_columns(of), front = of->padding;
    const int copied = in->w < columns - front ? in->w : columns - front;
    char numbers[64];
    snprintf(numbers, sizeof numbers, "%d, %d, %d", front * in->c, copied * in->c, columns * in->c);
    put_gather(e, l, "gather", numbers);
    put(e, "        convolve(&%s_numbers, arena.floats + %zu, ", c_name(e, l),
        e->arena->windows[l].offset / sizeof(float));
    if (of->h == 1 || of->kernel == 1)
        put(e, "0, ");
    else if (of->stride == 1)
        put(e, "y %% %d, ", of->kernel);
    else
        put(e, "y * %d %% %d, ", of->stride, of->kernel);
    put(e, "%s);\n", row_made(e, l));
}

static inline void put_affine_row(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    put(e, "        affine(%s_weight, %s_bias, %d, %s, %d, %d,\n               %s);\n",
        c_name(e, l), c_name(e, l), of->relu, row_read(e, l, 0), of->w, of->c, row_made(e, l));
}

static inline void put_add_row(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    if (has_factors(of))
        put(e, "        add_scaled(%s, %s, %s, %s,\n                   %d, %d, %s);\n",
            row_read(e, l, 0), c_float(e, of->factors[0]), row_read(e, l, 1),
            c_float(e, of->factors[1]), of->relu, of->w * of->c, row_made(e, l));
    else
        put(e, "        add(%s, %s, %d, %d,\n            %s);\n", row_read(e, l, 0),
            row_read(e, l, 1), of->relu, of->w * of->c, row_made(e, l));
}

static inline void put_gate_row(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    put(e, "        gate(%s, %s, %d, %d,\n             %s);\n", row_read(e, l, 0),
        row_read(e, l, 1), of->complement ? -1 : 1, of->w * of->c, row_made(e, l));
}

static inline void put_max_pool_row(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    put(e, "        max_pool(&%s_numbers, %d, %s, %s, %s);\n", c_name(e, l), of->zeros,
        first_row(e, of->inputs[0]), row_index(of), row_made(e, l));
}

static inline void put_avg_pool_row(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    put(e, "        avg_pool(&%s_numbers, %s, %s, %s);\n", c_name(e, l),
        first_row(e, of->inputs[0]), row_index(of), row_made(e, l));
}

static inline void put_global_avg_pool_row(emitter *e, int l) {
    const layer *of = &e->net->layers[l], *in = &e->net->layers[of->inputs[0]];
    put(e, "        global_avg_pool(%s, %d, %d, %s);\n", first_row(e, of->inputs[0]), in->h * in->w,
        in->c, row_made(e, l));
}

static inline void put_pad_subsample_row(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    char row[32];
    snprintf(row, sizeof row, of->stride == 1 ? "%s" : "(%s * %d)", row_index(of), of->stride);
    put(e, "        pad_subsample(%s, %d, %d, %d, %d, %d,\n                      %s);\n",
        value_row(e, of->inputs[0], row), of->stride, e->net->layers[of->inputs[0]].c, of->front,
        of->c, of->w, row_made(e, l));
}

/* In the order of layer_kind. */
static const back_end float_back_end = {
    "float",
    "float",
    "   Images are normalised as rn_predict takes them. All arithmetic is in float; two compilers\n"
    "   may differ in the last digits.\n\n",
    put_float_kernels,
    {NULL, put_convolution_constants, put_affine_constants, NULL, NULL, put_pool_constants,
     put_pool_constants, NULL, NULL},
    {NULL, put_convolution_row, put_affine_row, put_add_row, put_gate_row, put_max_pool_row,
     put_avg_pool_row, put_global_avg_pool_row, put_pad_subsample_row}};

#endif
