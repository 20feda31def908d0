/* emit.h - what is common to the C files that tools/emit_c writes, in floats and in integers:
   names, places, the functions that make rows on demand, the function that predicts.

   A back end is two rows of functions, one function for each kind of layer: its constants, and the
   code that makes row y of its value. All of it is indented for the body of

       static void layer1_0_conv1(int rows) {
           for (; done.layer1_0_conv1 < rows; done.layer1_0_conv1++) {
               const int y = done.layer1_0_conv1;
               conv1(least(y + 2, 32));
               ...here...
           }
       }                                                                                        */
#ifndef EMIT_H
#define EMIT_H

#include "arena.h"
#include "output.h"

enum { EXPRESSION = 160 }; /* bytes of one, at most */

typedef struct emitter {
    const lowered *net;
    const arena *arena;
    const char *name; /* of the functions: NAME_predict */
    char *text;       /* the file so far */
    size_t length, room;
    size_t constant_bytes;           /* of the constants so far */
    char expressions[8][EXPRESSION]; /* the last ones that were made */
    int expression;
} emitter;

typedef struct back_end {
    const char *input, *output; /* "int8_t", "float": of images, of logits */
    const char *arithmetic; /* what the opening comment says of it, lines that begin with "   " */
    void (*put_kernels)(emitter *e);
    void (*put_constants[LAYER_KINDS])(emitter *e, int l); /* NULL: none */
    void (*put_row[LAYER_KINDS])(emitter *e, int l);       /* of the input NULL */
} back_end;

/* ---- text ------------------------------------------------------------------------------------ */

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static inline void
put(emitter *e, const char *format, ...) {
    va_list values;
    int length;
    va_start(values, format);
    length = vsnprintf(NULL, 0, format, values);
    va_end(values);
    if (e->length + (size_t)length + 1 > e->room) {
        e->room = 2 * (e->length + (size_t)length) + 4096;
        e->text = (char *)realloc(e->text, e->room);
        if (!e->text) quit(1, "no memory for %zu bytes", e->room);
    }
    va_start(values, format);
    vsnprintf(e->text + e->length, e->room - e->length, format, values);
    va_end(values);
    e->length += (size_t)length;
}

/* Keeps an expression until seven more are kept. */
static inline const char *keep(emitter *e, const char *text) {
    char *kept = e->expressions[e->expression++ % 8];
    snprintf(kept, EXPRESSION, "%s", text);
    return kept;
}

/* A layer's name as C has names: "layer1_0_conv1". */
static inline const char *c_name(emitter *e, int l) {
    char name[EXPRESSION], *at;
    snprintf(name, sizeof name, "%s", e->net->layers[l].name);
    for (at = name; *at; at++)
        if (*at == '.') *at = '_';
    return keep(e, name);
}

/* static const TYPE layer1_0_conv1_SUFFIX[count] = {...}; of whole numbers, `bytes` each. */
static inline void begin_array(emitter *e, int l, const char *type, const char *suffix,
                               size_t count, size_t bytes) {
    put(e, "static const %s %s_%s[%zu] = {", type, c_name(e, l), suffix, count);
    e->constant_bytes += count * bytes;
}

/* One of its numbers, or anything that has no blanks: lines end before column 100. */
static inline void put_element(emitter *e, size_t i, const char *number) {
    const size_t length = strlen(number);
    size_t column = 0;
    while (column < e->length && e->text[e->length - 1 - column] != '\n') column++;
    if (i == 0 || column + length + 2 > 98)
        put(e, "%s\n    %s", i ? "," : "", number);
    else
        put(e, ", %s", number);
}

static inline void end_array(emitter *e) { put(e, "};\n"); }

/* What says how a layer is computed: so many ints and pointers, on a machine of 32 bits. */
static inline void begin_numbers(emitter *e, int l, const char *type, size_t words) {
    put(e, "static const %s %s_numbers = {\n    ", type, c_name(e, l));
    e->constant_bytes += 4 * words;
}

static inline void put_whole(emitter *e, size_t i, long number) {
    char text[32];
    snprintf(text, sizeof text, "%ld", number);
    put_element(e, i, text);
}

/* A float as C, with so many digits that the same comes out again. */
static inline const char *c_float(emitter *e, float number) {
    char text[48];
    snprintf(text, sizeof text, "%.9g", (double)number);
    snprintf(text + strlen(text), 8, "%sf", strpbrk(text, ".e") ? "" : ".0");
    return keep(e, text);
}

static inline void put_float(emitter *e, size_t i, float number) {
    put_element(e, i, c_float(e, number));
}

/* ---- where rows lie -------------------------------------------------------------------------- */

/* The member of the union `arena` for elements of so many bytes. */
static inline const char *arena_member(const lowered *net, size_t bytes) {
    return !net->quantised ? "floats" : bytes == 2 ? "words" : "bytes";
}

/* Row `row` of a place, whose slot is the row itself or, of a ring, its remainder. */
static inline const char *place_row(emitter *e, const place *here, int height, size_t element,
                                    const char *row) {
    const size_t offset = here->offset / element, length = here->row_bytes / element;
    char text[EXPRESSION];
    const int at =
        snprintf(text, sizeof text, "arena.%s + %zu", arena_member(e->net, element), offset);
    if (here->rows == height && height > 1)
        snprintf(text + at, sizeof text - (size_t)at, " + %s * %zu", row, length);
    else if (here->rows > 1)
        snprintf(text + at, sizeof text - (size_t)at, " + %s %% %d * %zu", row, here->rows, length);
    return keep(e, text);
}

/* An expression for the address of row `row` (an expression, too, in brackets if need be) of layer
   l's value. */
static inline const char *value_row(emitter *e, int l, const char *row) {
    const layer *of = &e->net->layers[l];
    char text[EXPRESSION];
    if (l == e->net->count - 1) return "logits";
    if (l > 0) return place_row(e, &e->arena->values[l], of->h, element_bytes(e->net, of), row);
    snprintf(text, sizeof text, of->h > 1 ? "image + %s * %d" : "image", row, of->w * of->c);
    return keep(e, text);
}

/* Likewise of a convolution's window; row 0 is the first of the padding. */
static inline const char *window_row(emitter *e, int l, const char *row) {
    return place_row(e, &e->arena->windows[l], INT_MAX, e->net->quantised ? 2 : 4, row);
}

/* The row that is being made: "y", but of a value of one row "0". */
static inline const char *row_index(const layer *of) { return of->h > 1 ? "y" : "0"; }

/* The row that is being made, and that of an input with the same index. */
static inline const char *row_made(emitter *e, int l) {
    return value_row(e, l, row_index(&e->net->layers[l]));
}

static inline const char *row_read(emitter *e, int l, int which) {
    const layer *of = &e->net->layers[l];
    return value_row(e, of->inputs[which], row_index(of));
}

/* Where the rows of layer l's value begin, and how many there are in the ring. */
static inline const char *first_row(emitter *e, int l) {
    const size_t element = element_bytes(e->net, &e->net->layers[l]);
    char text[EXPRESSION];
    if (l == 0) return "image";
    snprintf(text, sizeof text, "arena.%s + %zu", arena_member(e->net, element),
             e->arena->values[l].offset / element);
    return keep(e, text);
}

static inline int ring_rows(const emitter *e, int l) {
    return l ? e->arena->values[l].rows : e->net->layers[0].h;
}

/* Copies the rows into the window that row y of the value needs and that are not there yet:
   GATHER(to, from, REST), where `from` is 0 for a row of the padding. */
static inline void put_gather(emitter *e, int l, const char *gather, const char *rest) {
    const layer *of = &e->net->layers[l];
    const int h = e->net->layers[of->inputs[0]].h;
    const int behind = (of->h - 1) * of->stride + of->kernel - of->padding > h;
    const char *from = value_row(e, of->inputs[0], "row");
    char next[96], top[32], outside[64] = "";
    snprintf(next, sizeof next, "done.%s_window", c_name(e, l));
    snprintf(top, sizeof top, of->stride == 1 ? "%s" : "%s * %d", row_index(of), of->stride);
    if (of->padding) snprintf(outside, sizeof outside, "row < 0%s", behind ? " || " : " ? 0 : ");
    if (behind) snprintf(outside + strlen(outside), 32, "row >= %d ? 0 : ", h);
    if (of->stride > of->kernel)
        put(e, "        if (%s < %s) %s = (short)(%s);\n", next, top, next, top);
    put(e, "        for (; %s < %s + %d; %s++) {\n", next, top, of->kernel, next);
    if (*outside || strstr(from, "row")) {
        put(e, "            const int row = %s", next);
        if (of->padding) put(e, " - %d", of->padding);
        put(e, ";\n");
    }
    put(e, "            %s(%s,\n", gather, window_row(e, l, next));
    put(e, "                %s%s, %s);\n        }\n", outside, from, rest);
}

/* A pool's numbers, the same in floats and in integers. */
static inline void put_pool_constants(emitter *e, int l) {
    const layer *of = &e->net->layers[l], *in = &e->net->layers[of->inputs[0]];
    begin_numbers(e, l, "pooling", 8);
    put(e, "/* kernel, stride, padding */ %d, %d, %d,\n    /* height, width, channels */ %d, %d, ",
        of->kernel, of->stride, of->padding, in->h, in->w);
    put(e, "%d, /* rows, pixels */ %d, %d};\n", in->c, ring_rows(e, of->inputs[0]), of->w);
}

/* Kernels' text, of which a net needs some sections: one goes from the line of dashes that names it
   to the next one; the last ends at #endif. */
static inline void put_sections(emitter *e, const char *const *text,
                                int (*needs)(const lowered *net, const char *section)) {
    char section[32];
    int i, wanted = 0;
    for (i = 0; text[i + 1]; i++) {
        if (sscanf(text[i], "/* ---- %31s", section) == 1) wanted = needs(e->net, section);
        if (wanted) put(e, "%s\n", text[i]);
    }
}

/* ---- a layer --------------------------------------------------------------------------------- */

static inline const char *shape_of(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    char text[EXPRESSION];
    snprintf(text, sizeof text, "%d x %d x %d", of->h, of->w, of->c);
    return keep(e, text);
}

/* What it does and to which shapes, for the reader. */
static inline void put_layer_comment(emitter *e, int l) {
    const layer *of = &e->net->layers[l];
    put(e, "\n/* %s: %s", of->name, of->linear ? "fully connected" : layer_rows[of->kind].words);
    if (of->kernel > 1) put(e, " %dx%d", of->kernel, of->kernel);
    if (of->stride > 1) put(e, ", stride %d", of->stride);
    put(e, ", %s", shape_of(e, of->inputs[0]));
    if (of->inputs[1] >= 0) put(e, " and %s", e->net->layers[of->inputs[1]].name);
    put(e, " -> %s%s.", shape_of(e, l), of->relu ? ", ReLU" : "");
    if (e->net->quantised)
        put(e, "\n   scale %.9g, zero point %d.", (double)of->q.scale, of->q.zero_point);
    if (l < e->net->count - 1 && e->arena->values[l].rows < of->h)
        put(e, "\n   %d of its rows are in memory at a time.", e->arena->values[l].rows);
    put(e, " */\n");
}

/* Asks for the rows of an input that row y needs. */
static inline void put_demand(emitter *e, int l, int which) {
    const layer *of = &e->net->layers[l];
    const int input = of->inputs[which], h = e->net->layers[input].h;
    const int behind = of->kernel - of->padding; /* rows from the first one on */
    const char *name = c_name(e, input);
    char rows[48];
    if (input == 0 || (which == 1 && input == of->inputs[0])) return;
    if (of->h == 1) {
        int first, last;
        rows_read(e->net, of, which, 0, &first, &last);
        snprintf(rows, sizeof rows, "%d", last);
    } else if (of->stride == 1 && of->kernel == 1)
        snprintf(rows, sizeof rows, "y + 1");
    else {
        char last[40];
        int at = snprintf(last, sizeof last, of->stride == 1 ? "y" : "y * %d", of->stride);
        snprintf(last + at, sizeof last - (size_t)at, " + %d", behind);
        snprintf(rows, sizeof rows, (of->h - 1) * of->stride + behind > h ? "least(%s, %d)" : "%s",
                 last, h);
    }
    put(e, "        %s(%s);\n", name, rows);
}

static inline void put_layer(emitter *e, const back_end *back, int l) {
    const layer *of = &e->net->layers[l];
    const char *name;
    int which;
    put_layer_comment(e, l);
    if (back->put_constants[of->kind]) back->put_constants[of->kind](e, l);
    name = c_name(e, l);
    put(e, "static void %s(int rows) {\n    for (; done.%s < rows; done.%s++) {\n", name, name,
        name);
    if (of->h > 1) put(e, "        const int y = done.%s;\n", name);
    for (which = 0; which < 2 && of->inputs[which] >= 0; which++) put_demand(e, l, which);
    back->put_row[of->kind](e, l);
    put(e, "    }\n}\n");
}

/* ---- the file -------------------------------------------------------------------------------- */

/* What the arena is: one array, seen as numbers of the kinds that lie in it. */
static inline void put_arena(emitter *e) {
    const size_t bytes = e->arena->bytes;
    int l;
    put(e, "\n/* All values, each where nothing is that is still read. */\nstatic union {\n");
    put(e, "    uint64_t aligned[%s_ARENA_BYTES / 8];\n", e->name);
    if (e->net->quantised)
        put(e, "    int8_t bytes[%zu];\n    int16_t words[%zu];\n", bytes, bytes / 2);
    else
        put(e, "    float floats[%zu];\n", bytes / 4);
    put(e, "} arena;\n\n/* Rows made so far of each value, and rows copied so far into each "
           "window. */\n"
           "static struct {\n");
    for (l = 1; l < e->net->count; l++) {
        put(e, "    short %s", c_name(e, l));
        if (has(&e->net->layers[l], HAS_FILTERS)) put(e, ", %s_window", c_name(e, l));
        put(e, ";\n");
    }
    put(e, "} done;\n\nstatic inline int least(int a, int b) { return a < b ? a : b; }\n");
}

/* Demands the maps one after another. */
static inline void put_predict(emitter *e, const back_end *back) {
    int i;
    put(e, "\nvoid %s_predict(const %s *from, %s *to) {\n", e->name, back->input, back->output);
    put(e, "    image = from;\n    logits = to;\n    memset(&done, 0, sizeof done);\n");
    for (i = 0; i < e->arena->demand_count; i++) {
        const int l = e->arena->demands[i];
        put(e, "    %s(%d);\n", c_name(e, l), e->net->layers[l].h);
    }
    put(e, "}\n");
}

/* A test vector and the function that tries it. Linkers leave it out where nobody calls it. */
static inline void put_selftest(emitter *e, const back_end *back, const float *image,
                                const float *result) {
    const layer *last = &e->net->layers[e->net->count - 1];
    const float *const numbers[2] = {image, result};
    const size_t counts[2] = {value_count(&e->net->layers[0]), value_count(last)};
    static const char *const names[] = {"test_image", "test_logits"};
    const char *const types[2] = {back->input, back->output};
    size_t i;
    int k;
    put(e, "\n");
    for (k = 0; k < 2; k++) {
        put(e, "static const %s %s[%zu] = {", types[k], names[k], counts[k]);
        for (i = 0; i < counts[k]; i++)
            if (e->net->quantised)
                put_whole(e, i, (long)numbers[k][i]);
            else
                put_float(e, i, numbers[k][i]);
        end_array(e);
    }
    put(e, "\nint %s_selftest(void) {\n    %s result[%zu];\n    int i, wrong = 0;\n", e->name,
        back->output, counts[1]);
    put(e, "    %s_predict(test_image, result);\n    for (i = 0; i < %zu; i++)", e->name,
        counts[1]);
    if (e->net->quantised)
        put(e, " wrong += result[i] != test_logits[i];\n");
    else { /* what another order of additions may change, and what is not a number */
        float largest = 0;
        for (i = 0; i < counts[1]; i++)
            if (fabsf(result[i]) > largest) largest = fabsf(result[i]);
        put(e, " {\n        const float difference = result[i] - test_logits[i];\n");
        put(e, "        wrong += !(difference <= %.3ef && difference >= %.3ef);\n    }\n",
            (double)largest * 1e-5, (double)largest * -1e-5);
    }
    put(e, "    return wrong;\n}\n");
}

/* The opening comment: what it is, what it takes and costs, how to call it. */
static inline void put_opening(emitter *e, const back_end *back, const char *source) {
    const lowered *net = e->net;
    const layer *in = &net->layers[0], *out = &net->layers[net->count - 1];
    double macs = 0;
    int l;
    for (l = 0; l < net->count; l++) macs += layer_macs(net, &net->layers[l]);
    put(e, "/* %s_predict - %s in %s.\n   Written by resnet.h's tools/emit_c from %s.\n\n", e->name,
        net->title, net->quantised ? "integers of 8 bits" : "float", source);
    put(e, "   Multiply-adds an image  %.0f\n   Constants in flash      %zu bytes%s\n", macs,
        e->constant_bytes, ", the self-test's not counted");
    put(e,
        "   RAM                     %zu bytes in one static array, %zu of counters, and the "
        "stack\n\n",
        e->arena->bytes, sizeof(short) * (size_t)net->count * 2);
    put(e,
        "       void %s_predict(const %s *image, %s *logits);\n       int %s_selftest(void);\n\n",
        e->name, back->input, back->output, e->name);
    put(e, "   image: [%d][%d][%d], rows, columns, then channels%s.\n", in->h, in->w, in->c,
        in->c == 3 ? ", red, green, blue" : "");
    put(e, "   logits: [%d], one a class; the largest is the likeliest.\n", out->c);
    put(e, "   selftest: 0, or how many logits of a test vector are not as they should be.\n\n");
    put(e, "%s", back->arithmetic);
    put(e, "   Values lie with their channels last. A layer makes its rows when the next one asks "
           "for\n"
           "   them, and predict asks for whole maps in an order for which the array suffices. "
           "*/\n\n");
}

static inline void put_body(emitter *e, const back_end *back, const float *image,
                            const float *result) {
    int l;
    put(e, "#include <stdint.h>\n#include <string.h> /* memcpy, memset */\n\n");
    put(e, "#define %s_ARENA_BYTES %zu\n\n", e->name, e->arena->bytes);
    put(e, "void %s_predict(const %s *from, %s *to);\nint %s_selftest(void);\n\n", e->name,
        back->input, back->output, e->name);
    back->put_kernels(e);
    put_arena(e);
    put(e, "\nstatic const %s *image;\nstatic %s *logits;\n", back->input, back->output);
    for (l = 1; l < e->net->count; l++) put_layer(e, back, l);
    put_predict(e, back);
    put_selftest(e, back, image, result);
}

/* The whole file as text, to be freed. image and result: a test vector, [h][w][c] and [classes], in
   integers as whole numbers. */
static inline char *emit_net(const lowered *net, const arena *a, const back_end *back,
                             const char *name, const char *source, const float *image,
                             const float *result) {
    emitter e, opening;
    memset(&e, 0, sizeof e);
    e.net = net, e.arena = a, e.name = name;
    put_body(&e, back, image, result);
    opening = e;
    opening.text = NULL, opening.length = opening.room = 0;
    put_opening(&opening, back, source);
    put(&opening, "%s", e.text);
    free(e.text);
    return opening.text;
}

#endif
