/* device.h - what the two programs for the device share: the library as it is built for it, memory,
   the pictures in flash, words of the command line, and progress. */

#ifndef DEVICE_H
#define DEVICE_H

#include "board.h"
#include <stddef.h>

static void fail(const char *words) {
    board_write(words);
    board_write("\n");
    board_exit(1);
}

/* No files and no allocator but what the program hands over; no threads; of the kinds of nodes
   those that the nets here have. Without vectors your computer sums in the same order as a
   Cortex-M, whose results it then gives within rounding. */
#define RESNET_KINDS                                                                              \
    (1 << RN_INPUT | 1 << RN_CONV2D | 1 << RN_GROUP_NORM | 1 << RN_RELU | 1 << RN_PAD_SUBSAMPLE | \
     1 << RN_ADD | 1 << RN_GLOBAL_AVG_POOL | 1 << RN_LINEAR)
#define RESNET_NO_STDIO
#define RESNET_NO_THREADS
#define RESNET_NO_SIMD
#define RESNET_ASSERT(condition) ((condition) ? (void)0 : fail("assertion failed: " #condition))
#define RESNET_IMPLEMENTATION
#include "../../resnet.h"

static inline void check(rn_status status, const rn_error *error) {
    if (status) fail(error->text);
}

/* ---- words of the command line: name=value --------------------------------------------------- */

/* The number behind "name=" in the word, which then replaces *value. 1 if the word begins so. */
static inline int has_number(const char *word, const char *name, uint64_t *value) {
    const size_t length = strlen(name);
    uint64_t number = 0;
    if (strncmp(word, name, length) != 0 || word[length] != '=') return 0;
    for (word += length + 1; *word >= '0' && *word <= '9'; word++)
        number = number * 10 + (uint64_t)(*word - '0');
    if (*word || word[-1] == '=') fail("name=value: the value should be a whole number");
    *value = number;
    return 1;
}

static inline int has_text(const char *word, const char *name, const char **value) {
    const size_t length = strlen(name);
    if (strncmp(word, name, length) != 0 || word[length] != '=') return 0;
    *value = word + length + 1;
    return 1;
}

/* ---- pictures -------------------------------------------------------------------------------- */

/* Pictures in flash, grey, as bytes; see flash.c, which makes them. */
typedef struct pictures {
    int count, size, classes; /* size: rows, and columns */
    const uint8_t *pixels, *labels;
} pictures;

static inline int read_picture(void *user, ptrdiff_t index, uint8_t *pixels, int *label) {
    const pictures *p = (const pictures *)user;
    const size_t bytes = (size_t)p->size * (size_t)p->size;
    memcpy(pixels, p->pixels + (size_t)index * bytes, bytes);
    *label = p->labels[index];
    return 0;
}

static inline rn_source source_of(pictures *p) {
    rn_source source = {0, 1, 0, 0, 0, read_picture, NULL};
    source.count = p->count;
    source.height = source.width = p->size;
    source.classes = p->classes;
    source.user = p;
    return source;
}

/* Pictures of the source that the net names rightly, one by one in the memory of one image. */
static inline int count_right(rn_net *net, const rn_source *source, rn_real *image) {
    rn_real logits[16];
    rn_error error;
    int right = 0, label;
    for (ptrdiff_t i = 0; i < source->count; i++) {
        check(rn_batch(source, &net->desc, NULL, 0, i, 1, image, &label, &error), &error);
        check(rn_predict(net, rn_workspace(net), image, 1, logits, &error), &error);
        right += rn_argmax(logits, source->classes) == label;
    }
    return right;
}

/* ---- progress -------------------------------------------------------------------------------- */

/* "LABEL NUMBER" */
static inline void write_count(const char *label, int64_t number) {
    board_write(label);
    board_write_number(number);
}

static inline void write_accuracy(const char *when, int right, int64_t count) {
    board_write(when);
    write_count(" training: ", right);
    write_count(" of ", count);
    board_write(" test pictures right, ");
    board_write_real(100.0 * right / (double)count, 1);
    board_write(" %\n");
}

typedef struct progress {
    double loss; /* sum since the last line that told the mean */
    int steps;   /* as many of them */
} progress;

/* "step 20 of 250: loss 2.1234567, mean of 10: 2.34, 30.1 M instructions, ...": the first ten steps
   and then every tenth. What a step took and what is left, only where instructions are counted. */
static inline void write_step(progress *p, uint64_t step, uint64_t steps, double loss,
                              uint64_t instructions) {
    const uint64_t left = (steps - step) * instructions;
    p->loss += loss, p->steps++;
    if (step > 10 && step % 10 && step != steps) return;
    write_count("step ", (int64_t)step);
    write_count(" of ", (int64_t)steps);
    board_write(": loss ");
    board_write_real(loss, 7);
    if (step % 10 == 0) {
        write_count(", mean of ", p->steps);
        board_write(": ");
        board_write_real(p->loss / p->steps, 2);
        p->loss = p->steps = 0;
    }
    if (instructions) {
        board_write(", ");
        board_write_real((double)instructions / 1e6, 1);
        board_write(" M instructions, to go ");
        board_write_real((double)left / 1e9, 1);
        write_count(" G, ", (int64_t)(left / 100000000));
        board_write(" s at 100 M a second");
    }
    board_write("\n");
}

/* A number that stands for all bits of the parameters (FNV-1a). */
static inline uint64_t checksum(const rn_net *net) {
    const uint8_t *bytes = (const uint8_t *)net->parameters;
    uint64_t sum = 14695981039346656037u;
    for (size_t i = 0; i < (size_t)net->parameter_count * sizeof(rn_real); i++)
        sum = (sum ^ bytes[i]) * 1099511628211u;
    return sum;
}

/* What the memory went to, in bytes. rest: variables and arrays of the program but the arena. */
static inline void write_memory(const rn_net *net, size_t arena, size_t rest) {
    const int64_t real = (int64_t)sizeof(rn_real);
    const int64_t parameters = net->parameter_count * real, trained = net->trained_count * real;
    write_count("memory: parameters ", parameters);
    write_count(", gradients ", trained);
    write_count(", velocity ", trained);
    write_count(", values, workspace and plan ", (int64_t)net->bytes - parameters - 2 * trained);
    write_count("; the net in all ", (int64_t)net->bytes);
    write_count(" of ", (int64_t)arena);
    write_count("; pictures of a step ", (int64_t)rest);
    write_count("; stack ", (int64_t)board_stack_used());
    write_count(" of ", (int64_t)board_stack_bytes());
    board_write("\n");
}

#endif
