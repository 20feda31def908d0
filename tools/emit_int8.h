/* emit_int8.h - writes the layers of a net in integers of 8 bits; the kernels that they call are
   text of kernels/int8.h. */
#ifndef EMIT_INT8_H
#define EMIT_INT8_H

#include "emit.h"
#include "evaluate.h"
#include "int8_text.h" /* kernels/int8.h line by line, from the Makefile */

/* ---- of a layer ------------------------------------------------------------------------------ */

static inline const layer *input_of(const lowered *net, const layer *of, int which) {
    return &net->layers[of->inputs[which]];
}

/* Do the channels of the image that it reads have zero points of their own? */
static inline int reads_centred_image(const lowered *net, const layer *of) {
    int c;
    for (c = 1; of->inputs[0] == 0 && c < net->layers[0].c; c++)
        if (net->centre[c] != net->centre[0]) return 1;
    return 0;
}

static inline int zero_point_of_input(const lowered *net, const layer *of, int which) {
    if (of->inputs[which] != 0) return input_of(net, of, which)->q.zero_point;
    if (!has(of, HAS_FILTERS) && reads_centred_image(net, of))
        quit(1,
             "%s reads the image, whose channels have zero points of their own: in integers only "
             "convolutions can",
             of->name);
    return net->centre[0] - 128;
}

/* What a kernel is told of int16_t: 1 and 2 an input, 4 the value. */
static inline int wides(const lowered *net, const layer *of) {
    const int second = of->inputs[1] >= 0 && input_of(net, of, 1)->q.wide;
    return input_of(net, of, 0)->q.wide + 2 * second + 4 * of->q.wide;
}

/* Of a multiplier of 0 any shift will do. */
static inline int shift_of(const layer *of, int k) {
    return of->q.multiplier[k] ? of->q.shift[k] : -1;
}

/* Kernels' flags of a convolution. */
enum { WIDE = 1, ANY = 2, FLOOR = 4, CUT = 8 };

static inline int convolution_flags(const lowered *net, const layer *of) {
    int any = 0, k;
    for (k = 0; k < of->c; k++) any |= shift_of(of, k) >= 0 || largest_sum(net, of, k) >= 1 << 30;
    return (of->q.wide ? WIDE : 0) | (any ? ANY : 0) |
           (least_of(of) > (of->q.wide ? -32768 : -128) ? FLOOR : 0) |
           (of->c % 2 || of->w % PIXELS_OF_A_TILE ? CUT : 0);
}

/* The function that makes rows of all convolutions that differ in numbers only. */
static inline const char *convolution_name(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    const int flags = convolution_flags(e->net, of);
    char name[EXPRESSION], stride[32] = "";
    if (of->stride > 1) snprintf(stride, sizeof stride, "_stride_%d", of->stride);
    snprintf(name, sizeof name, "convolve_%dx%d_%d%s%s%s%s%s", of->kernel, of->kernel,
             window_channels(e->net, of), stride, flags & WIDE ? "_wide" : "",
             flags & ANY ? "_any" : "", flags & FLOOR ? "_floor" : "", flags & CUT ? "_cut" : "");
    return keep(e, name);
}

/* ---- kernels --------------------------------------------------------------------------------- */

/* Does the net need this section of kernels/int8.h? */
static inline int needs_int8_section(const lowered *net, const char *section) {
    static const struct {
        const char *section;
        unsigned kinds;
    } needs[] = {{"integers", ~0u},
                 {"convolution", 1u << LAYER_CONVOLUTION},
                 {"add", 1u << LAYER_ADD},
                 {"affine", 1u << LAYER_AFFINE},
                 {"gate", 1u << LAYER_GATE},
                 {"pool", 1u << LAYER_MAX_POOL | 1u << LAYER_AVG_POOL},
                 {"max_pool", 1u << LAYER_MAX_POOL},
                 {"mean", 1u << LAYER_AVG_POOL | 1u << LAYER_GLOBAL_AVG_POOL},
                 {"avg_pool", 1u << LAYER_AVG_POOL},
                 {"global_avg_pool", 1u << LAYER_GLOBAL_AVG_POOL},
                 {"pad_subsample", 1u << LAYER_PAD_SUBSAMPLE}};
    size_t i;
    int l;
    for (l = 1; l < net->count; l++) {
        if (!strcmp(section, "image") && reads_centred_image(net, &net->layers[l])) return 1;
        for (i = 0; i < sizeof needs / sizeof needs[0]; i++)
            if (!strcmp(section, needs[i].section) && needs[i].kinds >> net->layers[l].kind & 1)
                return 1;
    }
    return 0;
}

static inline void put_convolution_kernel(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    const int flags = convolution_flags(e->net, of);
    put(e, "SHARED void %s(const convolution *l, const int16_t *window, int top,\n",
        convolution_name(e, l));
    put(e, "    void *out) {\n    convolve(l, %d, %d, %d, %s%s%s%s0, window, top, out);\n}\n",
        of->kernel, window_channels(e->net, of), of->stride, flags & WIDE ? "WIDE | " : "",
        flags & ANY ? "ANY | " : "", flags & FLOOR ? "FLOOR | " : "", flags & CUT ? "CUT | " : "");
}

static inline void put_int8_kernels(emitter *e) {
    int l, k;
    put_sections(e, int8_text, needs_int8_section);
    put(e, "/* Convolutions of this net: kernel, channels, stride are constants of the code. */\n");
    for (l = 1; l < e->net->count; l++) {
        if (!has(&e->net->layers[l], HAS_FILTERS)) continue;
        for (k = 1; k < l; k++)
            if (has(&e->net->layers[k], HAS_FILTERS) &&
                !strcmp(convolution_name(e, k), convolution_name(e, l)))
                break;
        if (k == l) put_convolution_kernel(e, l);
    }
}

/* ---- constants ------------------------------------------------------------------------------- */

/* An array of whole numbers, with zeros behind them. */
static inline void put_int32s(emitter *e, int l, const char *suffix, const int32_t *numbers,
                              int count, int room) {
    int i;
    begin_array(e, l, "int32_t", suffix, (size_t)room, 4);
    for (i = 0; i < room; i++) put_whole(e, (size_t)i, i < count ? numbers[i] : 0);
    end_array(e);
}

static inline void put_shifts(emitter *e, int l, int count, int room) {
    int i;
    begin_array(e, l, "int8_t", "shift", (size_t)room, 1);
    for (i = 0; i < room; i++)
        put_whole(e, (size_t)i, i < count ? shift_of(&e->net->layers[l], i) : -1);
    end_array(e);
}

/* [K][C][R][S] becomes words of two filters and two neighbours of [R][S][C], C made even. */
static inline void put_int8_weight(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    const int channels = input_of(e->net, of, 0)->c, even = window_channels(e->net, of);
    const int taps = of->kernel * of->kernel, filters = (of->c + 1) / 2 * 2;
    size_t at = 0;
    int k, f, t, c;
    begin_array(e, l, "int8_t ALIGNED", "weight", (size_t)filters * (size_t)(taps * even), 1);
    for (k = 0; k < filters; k += 2)
        for (t = 0; t < taps; t++)
            for (c = 0; c < even; c++)
                for (f = k; f < k + 2; f++) {
                    const int there = f < of->c && c < channels;
                    const size_t from = (size_t)(f * channels + c) * (size_t)taps + (size_t)t;
                    put_whole(e, at++, there ? of->q.weight[from] : 0);
                }
    end_array(e);
}

static inline void put_zero_points(emitter *e, int l) {
    const lowered *net = e->net;
    int c;
    if (!reads_centred_image(net, &net->layers[l])) return;
    begin_array(e, l, "int16_t", "zero_points", (size_t)net->layers[0].c, 2);
    for (c = 0; c < net->layers[0].c; c++) put_whole(e, (size_t)c, net->centre[c] - 128);
    end_array(e);
}

static inline void put_int8_convolution_constants(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    const int row = window_columns(of) * window_channels(e->net, of), even = (of->c + 1) / 2 * 2;
    const char *name = c_name(e, l);
    put_int8_weight(e, l);
    put_int32s(e, l, "bias", of->q.bias, of->c, even);
    put_int32s(e, l, "multiplier", of->q.multiplier, of->c, even);
    put_shifts(e, l, of->c, even);
    put_zero_points(e, l);
    begin_numbers(e, l, "convolution", 9);
    put(e, "%s_weight, %s_bias, %s_multiplier, %s_shift,\n", name, name, name, name);
    put(e, "    /* row, pixels, filters */ %d, %d, %d, /* zero point, least */ %d, %d};\n", row,
        of->w, of->c, of->q.zero_point, least_of(of));
}

static inline void put_int8_affine_constants(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    const char *name = c_name(e, l);
    int c;
    begin_array(e, l, "int16_t", "multiplier", (size_t)of->c, 2);
    for (c = 0; c < of->c; c++) put_whole(e, (size_t)c, of->q.multiplier[c]);
    end_array(e);
    put_int32s(e, l, "bias", of->q.bias, of->c, of->c);
    begin_array(e, l, "int8_t", "shift", (size_t)of->c, 1);
    for (c = 0; c < of->c; c++) put_whole(e, (size_t)c, of->q.shift[c]);
    end_array(e);
    begin_numbers(e, l, "affinity", 5);
    put(e, "%s_multiplier, %s_bias, %s_shift,\n", name, name, name);
    put(e, "    /* zero point of the input, least */ %d, %d};\n",
        zero_point_of_input(e->net, of, 0), least_of(of));
}

static inline void put_int8_add_constants(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    const int32_t *m = of->q.multiplier;
    const int *s = of->q.shift;
    begin_numbers(e, l, "addition", 11);
    put(e, "/* zero points, left */ {%d, %d}, %d,\n", zero_point_of_input(e->net, of, 0),
        zero_point_of_input(e->net, of, 1), of->q.left);
    put(e, "    /* multiplier, shift */ {%ld, %ld, %ld}, {%d, %d, %d},\n", (long)m[0], (long)m[1],
        (long)m[2], s[0], s[1], s[2]);
    put(e, "    /* zero point, least */ %d, %d};\n", of->q.zero_point, least_of(of));
}

static inline void put_int8_gate_constants(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    size_t i;
    begin_array(e, l, "int16_t", "table", 256, 2);
    for (i = 0; i < 256; i++) put_whole(e, i, of->q.table[i]);
    end_array(e);
    begin_numbers(e, l, "gating", 6);
    put(e, "%s_table, /* zero point of the input */ %d, /* multiplier, shift */ %ld, %d,\n",
        c_name(e, l), zero_point_of_input(e->net, of, 0), (long)of->q.multiplier[0],
        of->q.shift[0]);
    put(e, "    /* zero point, least */ %d, %d};\n", of->q.zero_point, least_of(of));
}

/* Of means of 1, 2, ... `counts` pixels. */
static inline void put_rescaling(emitter *e, int l, int counts) {
    const layer *of = &e->net->layers[l];
    const char *name = c_name(e, l);
    if (of->q.rescales) {
        put_int32s(e, l, "multiplier", of->q.multiplier, counts, counts);
        put_shifts(e, l, counts, counts);
    }
    put(e, "static const rescaling %s_rescaling = {", name);
    e->constant_bytes += 16;
    if (of->q.rescales)
        put(e, "%s_multiplier, %s_shift, %d, %d};\n", name, name,
            zero_point_of_input(e->net, of, 0), of->q.zero_point);
    else
        put(e, "0, 0, 0, 0}; /* none */\n");
}

static inline void put_int8_avg_pool_constants(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    put_pool_constants(e, l);
    put_rescaling(e, l, of->kernel * of->kernel);
}

static inline void put_int8_global_avg_pool_constants(emitter *e, int l) { put_rescaling(e, l, 1); }

/* ---- row y ----------------------------------------------------------------------------------- */

static inline void put_int8_convolution_row(emitter *e, int l) {
    const layer *of = &e->net->layers[l], *in = input_of(e->net, of, 0);
    const int columns = window_columns(of), centred = reads_centred_image(e->net, of);
    const int pixels = in->w < columns - of->padding ? in->w : columns - of->padding;
    char zero_point[96], rest[256], top[48] = "0";
    snprintf(zero_point, sizeof zero_point, "%d", zero_point_of_input(e->net, of, 0));
    if (centred) snprintf(zero_point, sizeof zero_point, "%s_zero_points", c_name(e, l));
    snprintf(rest, sizeof rest, "%d, %d, %s, %d, %d", pixels, in->c, zero_point, of->padding,
             columns * window_channels(e->net, of));
    put_gather(e, l, centred ? "widen_image" : "widen", rest);
    if (of->h > 1 && of->kernel > 1)
        snprintf(top, sizeof top, of->stride > 1 ? "y * %d %% %d" : "y %% %d",
                 of->stride > 1 ? of->stride : of->kernel, of->kernel);
    put(e, "        %s(&%s_numbers, arena.words + %zu, %s,\n", convolution_name(e, l), c_name(e, l),
        e->arena->windows[l].offset / 2, top);
    put(e, "            %s);\n", row_made(e, l));
}

static inline void put_int8_affine_row(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    put(e, "        affine(&%s_numbers, %s, /* wide */ %d, %d, %d,\n            %s);\n",
        c_name(e, l), row_read(e, l, 0), wides(e->net, of), of->w, of->c, row_made(e, l));
}

/* A kernel that makes a row of two. */
static inline void put_int8_pair(emitter *e, int l, const char *kernel) {
    const layer *of = &e->net->layers[l];
    put(e, "        %s(&%s_numbers, %s, %s,\n", kernel, c_name(e, l), row_read(e, l, 0),
        row_read(e, l, 1));
    put(e, "            /* wide */ %d, %d, %s);\n", wides(e->net, of), of->w * of->c,
        row_made(e, l));
}

static inline void put_int8_add_row(emitter *e, int l) { put_int8_pair(e, l, "add"); }

static inline void put_int8_gate_row(emitter *e, int l) { put_int8_pair(e, l, "gate"); }

static inline void put_int8_max_pool_row(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    put(e, "        max_pool(&%s_numbers, /* padding */ %d, %s, %s,\n            %s);\n",
        c_name(e, l), of->zeros ? of->q.zero_point : -128,
        first_row(e, e->net->layers[l].inputs[0]), row_index(of), row_made(e, l));
}

static inline void put_int8_avg_pool_row(emitter *e, int l) {
    const char *name = c_name(e, l);
    put(e, "        avg_pool(&%s_numbers, &%s_rescaling, %s, %s,\n            %s);\n", name, name,
        first_row(e, e->net->layers[l].inputs[0]), row_index(&e->net->layers[l]), row_made(e, l));
}

static inline void put_int8_global_avg_pool_row(emitter *e, int l) {
    const layer *in = input_of(e->net, &e->net->layers[l], 0);
    put(e, "        global_avg_pool(&%s_rescaling, %s, %d, %d,\n            %s);\n", c_name(e, l),
        first_row(e, e->net->layers[l].inputs[0]), in->h * in->w, in->c, row_made(e, l));
}

static inline void put_int8_pad_subsample_row(emitter *e, int l) {
    const layer *of = &e->net->layers[l], *in = input_of(e->net, of, 0);
    char row[48];
    snprintf(row, sizeof row, of->stride > 1 ? "(%s * %d)" : "%s", row_index(of), of->stride);
    put(e, "        pad_subsample(%s, /* wide */ %d, /* stride */ %d,\n",
        value_row(e, of->inputs[0], row), of->q.wide, of->stride);
    put(e, "            %d, /* front */ %d, %d, %d, /* zero point */ %d, %s);\n", in->c, of->front,
        of->c, of->w, of->q.zero_point, row_made(e, l));
}

static const back_end int8_back_end = {
    "int8_t",
    "int8_t",
    "   A number q of a value stands for scale (q - zero point), as said at each layer; of the "
    "image\n"
    "   it is a pixel's byte less 128. Values have 8 bits (16 where they are added up without a "
    "ReLU\n"
    "   behind), sums 32. Rounding is that of TFLite's reference kernels, so every machine makes "
    "the\n"
    "   same bytes: a sum times multiplier / 2^31 to the nearest, halves up; that times 2^shift to "
    "the\n"
    "   nearest, halves away from zero; plus the zero point; cut to what the bits, or a ReLU, "
    "allow.\n",
    put_int8_kernels,
    {NULL, put_int8_convolution_constants, put_int8_affine_constants, put_int8_add_constants,
     put_int8_gate_constants, put_pool_constants, put_int8_avg_pool_constants,
     put_int8_global_avg_pool_constants, NULL},
    {NULL, put_int8_convolution_row, put_int8_affine_row, put_int8_add_row, put_int8_gate_row,
     put_int8_max_pool_row, put_int8_avg_pool_row, put_int8_global_avg_pool_row,
     put_int8_pad_subsample_row}};

#endif
