/* planner.c - memory. A net lives in exactly the bytes that rn_bytes says: it trains in a buffer of
   that size without touching its edges or depending on what was there, and one byte less is
   refused. No two values or gradients share bytes while both are needed: the list of nodes is run
   through step by step with the planned offsets, and every step must find what it reads. Allocators
   that fail at any call leak nothing; training and predicting allocate nothing; several threads
   predict with one net; inference reuses its buffers; sizes that overflow are refused. What a
   budget makes the net compute again is run through likewise. And rn_describe and the plan, which
   write into a buffer, too.

   cc -std=c99 -O2 -o planner tests/planner.c -lm -lpthread && ./planner */

#define _DEFAULT_SOURCE /* anonymous maps */
#include <stdlib.h>

/* What stands for malloc counts, and can fail. */
static int calls, live, fail_at = -1;

static void *counted_malloc(size_t bytes) {
    if (calls++ == fail_at) return NULL;
    live++;
    return malloc(bytes);
}

static void counted_free(void *memory) {
    live--;
    free(memory);
}

#define RESNET_MALLOC(bytes) counted_malloc(bytes)
#define RESNET_FREE(memory) counted_free(memory)
#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"

#include "nets.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

enum { EDGE = 64 };

enum { PAPERS = 210, VARIANTS = PAPERS + NET_MEMBERS };

/* Variant i of the nets to try, in turn over every option that changes the list of nodes. */
static rn_desc variant(int i) {
    rn_desc desc;
    if (i >= PAPERS) { /* those beside the papers' */
        desc = net_member(i - PAPERS);
        desc.naive = !RN__FAST || i / 2 % 2;
        desc.threads = 1 + i % 3;
        return desc;
    }
    desc = net_desc((rn_order)(i % ORDERS), (rn_block)(RN_BASIC + i / ORDERS % 3),
                    (rn_shortcut)(i / 15 % SHORTCUTS), (rn_resize)(RN_RESIZE_A + i / 3 % 6),
                    i / 105 % 2 ? RN_STEM_IMAGENET : RN_STEM_CIFAR);
    desc.naive = !RN__FAST || i / 2 % 2;
    desc.bn_group = i % 4 == 1 ? 2 : 0;
    desc.base_width = 1 + i * 5 % 23;
    desc.threads = 1 + i % 3;
    return desc;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void check_bytes_named(const rn_error *error, size_t have, size_t need) {
    char text[32];
    snprintf(text, sizeof text, " %llu ", (unsigned long long)have);
    CHECK_TEXT(error->text, text);
    snprintf(text, sizeof text, " %llu", (unsigned long long)need);
    CHECK_TEXT(error->text, text);
}

/* Trains two steps and predicts in a buffer filled with `fill`, and gives back the logits. */
static void train_in(char *buffer, size_t bytes, const rn_desc *desc, rn_mode mode,
                     unsigned char fill, rn_real logits[4 * 4]) {
    rn_memory memory = {NULL, 0, NULL, NULL, NULL};
    rn_error error;
    net_batch batch;
    rn_net *net;
    size_t i;
    memset(buffer, fill, bytes + 2 * EDGE);
    memory.buffer = buffer + EDGE;
    memory.bytes = bytes;
    net = rn_create(desc, 4, mode, &memory, &error);
    CHECK(net != NULL);
    if (!net) return;
    CHECK_INT(net->bytes, bytes);
    batch = net_draw_batch(&net->desc, 4, 3);
    for (i = 0; i < 2 && mode == RN_TRAINING; i++)
        CHECK_INT(rn_train_step(net, batch.images, batch.labels, 4 - (int)i, 0.02, NULL, NULL),
                  RN_OK);
    CHECK_INT(rn_predict(net, rn_workspace(net), batch.images, 4, logits, NULL), RN_OK);
    rn_destroy(net); /* does nothing to a caller's buffer */
    for (i = 0; i < EDGE; i++) {
        CHECK_INT((unsigned char)buffer[i], fill);
        CHECK_INT((unsigned char)buffer[EDGE + bytes + i], fill);
    }
    net_free_batch(&batch);
}

static void check_bytes(const rn_desc *desc, rn_mode mode) {
    rn_memory memory = {NULL, 0, NULL, NULL, NULL};
    rn_real logits[2][4 * 4];
    rn_error error;
    size_t bytes = rn_bytes(desc, 4, mode, &error);
    char *raw = (char *)malloc(bytes + 2 * EDGE + 64), *buffer;
    CHECK(bytes > 0 && raw != NULL);
    if (!bytes || !raw) return;
    buffer = raw + (64 - (uintptr_t)raw % 64) % 64;
    memset(logits, 0, sizeof logits);
    train_in(buffer, bytes, desc, mode, 0, logits[0]);
    train_in(buffer, bytes, desc, mode, 0xa7, logits[1]);
    CHECK(!memcmp(logits[0], logits[1], sizeof logits[0]));
    memory.buffer = buffer;
    memory.bytes = bytes - 1;
    CHECK(rn_create(desc, 4, mode, &memory, &error) == NULL);
    CHECK_INT(error.status, RN_TOO_SMALL);
    check_bytes_named(&error, bytes - 1, bytes);
    memory.buffer = buffer + 1; /* not aligned: 63 bytes go */
    memory.bytes = bytes + 63;
    CHECK(rn_create(desc, 4, mode, &memory, NULL) != NULL);
    memory.bytes = bytes + 62;
    CHECK(rn_create(desc, 4, mode, &memory, &error) == NULL);
    CHECK_INT(error.status, RN_TOO_SMALL);
    memory.bytes = 100;
    CHECK(rn_create(desc, 4, mode, &memory, &error) == NULL);
    CHECK_INT(error.status, RN_TOO_SMALL);
    free(raw);
}

/* ---- lifetimes ------------------------------------------------------------------------------- */

/* Values are objects 0 .. n-1, gradients n .. 2n-1: where they are, and whether their bytes still
   hold them. Parts counts how many readers have added to a gradient. */
typedef struct object {
    ptrdiff_t begin, end;
    int holds, parts;
} object;

typedef struct memory_map {
    const rn_net *net;
    object *o;
    int n;
} memory_map;

static int overlap(const object *a, const object *b) {
    return a->end > a->begin && b->end > b->begin && a->begin < b->end && b->begin < a->end;
}

static void place(object *o, const rn_net *net, int v, ptrdiff_t offset) {
    const rn_node *node = &net->nodes[v];
    ptrdiff_t channels = net->desc.naive ? node->c : (node->c + 15) / 16 * 16;
    o->begin = o->end = offset;
    if (offset >= 0)
        o->end += channels * node->h * node->w * net->batch * (ptrdiff_t)sizeof(rn_real);
}

/* New contents: whatever overlaps is lost. */
static void write_object(memory_map *m, int id) {
    int i;
    for (i = 0; i < 2 * m->n; i++)
        if (i != id && overlap(&m->o[i], &m->o[id])) m->o[i].holds = 0;
    m->o[id].holds = 1;
}

static void read_object(const memory_map *m, int id, int step, int backward) {
    char name[64], step_name[64];
    rn_node_name(m->net, id % m->n, name);
    rn_node_name(m->net, step, step_name);
    if (test_failed(m->o[id].holds, "lifetimes", __LINE__))
        fprintf(stderr, "%s of %s finds the %s of %s overwritten\n",
                backward ? "backward" : "forward", step_name, id < m->n ? "value" : "gradient",
                name);
}

static const rn__operation *operation_of(const rn_net *net, int v) {
    return rn__operation_of(net, v);
}
static int output_of(const rn_net *net, int i) { return operation_of(net, i)->last; }
static int begins(const rn_net *net, int i) { return operation_of(net, i)->node == i; }

/* Is the gradient of the value before node i, which begins an operation, a lazy one? */
static int has_lazy_gradient(const rn_net *net, int i) {
    return i > 0 && i < net->node_count && operation_of(net, i - 1)->lazy_gradient &&
           operation_of(net, i - 1)->last == i - 1;
}

/* Where the numbers are that node i reads of value v: a lazy batch norm's are computed from what it
   reads itself. */
static int memory_of(const rn_net *net, int i, int v) {
    const rn__operation *op = operation_of(net, i);
    return op->node == i && op->read_by >= 0 && v == net->nodes[i].inputs[0]
               ? net->nodes[op->read_by].inputs[0]
               : v;
}

static int is_norm(const rn_node *node) {
    return node->kind == RN_BATCH_NORM || node->kind == RN_GROUP_NORM ||
           node->kind == RN_EVONORM_S0;
}

static int has_addition(const rn_net *net, int i) {
    int k, found = 0;
    for (k = i; k <= output_of(net, i); k++) found |= net->nodes[k].kind == RN_ADD;
    return found;
}

static void forward_step(memory_map *m, int i) {
    const rn_net *net = m->net;
    const rn_node *node = &net->nodes[i];
    int out = output_of(net, i), k;
    int elementwise = node->kind == RN_RELU || node->kind == RN_ADD || node->kind == RN_SCALE ||
                      node->kind == RN_DROPOUT || is_norm(node);
    for (k = 0; k < 2 * (out - i + 1); k++) {
        const rn_node *reader = &net->nodes[i + k / 2];
        int v = reader->inputs[k % 2], at = v < 0 ? v : memory_of(net, i + k / 2, v);
        int addend = node->kind == RN_CONV2D && reader->kind == RN_ADD &&
                     at != memory_of(net, i, node->inputs[0]); /* the convolution adds to it */
        if (v < 0 || v >= i || (v == 0 && net->desc.naive)) continue; /* the caller's images */
        read_object(m, at, i, 0);
        CHECK(!overlap(&m->o[at], &m->o[out]) ||
              ((elementwise || addend) && m->o[at].begin == m->o[out].begin));
    }
    if (operation_of(net, i)->lazy)
        CHECK_INT(operation_of(net, i)->offset[RN__AT_INFERENCE], -1);
    else
        write_object(m, out);
}

/* Values that the backward of a step reads, -1 behind the last. */
static void backward_reads(const rn_net *net, int i, int reads[4]) {
    const rn_node *node = &net->nodes[i];
    int count = 0;
    if (node->kind == RN_CONV2D || node->kind == RN_LINEAR || is_norm(node) ||
        node->kind == RN_MAX_POOL || node->kind == RN_GATE)
        reads[count++] = memory_of(net, i, node->inputs[0]);
    if (node->kind == RN_GATE) reads[count++] = node->inputs[1];
    if (node->kind == RN_RELU ||
        (has_addition(net, i) && net->nodes[output_of(net, i)].kind == RN_RELU))
        reads[count++] = output_of(net, i);
    if (has_lazy_gradient(net, i + 1)) reads[count++] = i;
    reads[count] = -1;
}

static int readers_of(const rn_net *net, int v) {
    int i, readers = 0;
    for (i = 0; i < net->node_count; i++)
        readers += (net->nodes[i].inputs[0] == v) + (net->nodes[i].inputs[1] == v);
    return readers;
}

/* One input of a step gets its gradient. */
static void write_gradient(memory_map *m, int i, int v, int dy, int is_term, const int reads[]) {
    const rn_node *node = &m->net->nodes[i];
    int elementwise = node->kind == RN_RELU || is_norm(node) || node->kind == RN_SCALE ||
                      node->kind == RN_DROPOUT;
    object *to = &m->o[m->n + v];
    int r;
    CHECK(to->end > to->begin);
    for (r = 0; reads[r] >= 0; r++) CHECK(!overlap(to, &m->o[reads[r]]));
    if (to->parts) read_object(m, m->n + v, i, 1);
    to->parts++;
    if (is_term && to->begin == m->o[dy].begin) {
        CHECK_INT(to->parts, 1); /* the sum's gradient itself; an older part would be lost */
        to->holds = 1;
        return;
    }
    CHECK(!overlap(to, &m->o[dy]) ||
          (elementwise && to->begin == m->o[dy].begin && to->parts == 1));
    write_object(m, m->n + v);
}

static void backward_step(memory_map *m, int i) {
    const rn_net *net = m->net;
    int out = output_of(net, i), dy = m->n + out, reads[4], k, r;
    int lazy_dy = has_lazy_gradient(net, i + 1);
    if (lazy_dy)
        dy = m->n + output_of(net, i + 1);
    else
        CHECK_INT(m->o[dy].parts, out == m->n - 1 ? 1 : readers_of(net, out));
    read_object(m, dy, i, 1);
    backward_reads(net, i, reads);
    for (r = 0; reads[r] >= 0; r++)
        if (reads[r] || !net->desc.naive) read_object(m, reads[r], i, 1);
    if (has_addition(net, i) && out > i && net->nodes[out].kind == RN_RELU)
        write_object(m, dy);                   /* masked where it is */
    for (k = 2 * (out - i) + 1; k >= 0; k--) { /* the terms of the sum first */
        const rn_node *reader = &net->nodes[i + k / 2];
        int v = reader->inputs[k % 2];
        if (v <= 0 || v >= i || (has_lazy_gradient(net, i) && k == 0)) continue;
        write_gradient(m, i, v, dy, reader->kind == RN_ADD, reads);
    }
}

/* What a budget makes the net compute again before the backward of step i. */
static void repeat_segment(memory_map *m, int i) {
    const rn_net *net = m->net;
    const rn__executor *x = net->executor;
    const int own = rn__index_of(net, i), *segment = x->operations[own].segment;
    int k;
    CHECK(segment[0] <= own && own < segment[1]);
    for (k = segment[0]; k <= own && own == segment[1] - 1; k++) {
        const int out = x->operations[k].last;
        if (!x->operations[k].again) continue;
        place(&m->o[out], net, out, x->operations[k].offset[RN__AT_BACKWARD]);
        CHECK(m->o[out].end <= (ptrdiff_t)x->activation_bytes[RN_TRAINING]);
        m->o[out].holds = 0;
        forward_step(m, x->operations[k].node);
    }
}

static void check_lifetimes(const rn_desc *desc, int batch, rn_mode made, rn_mode mode) {
    rn_net *net = net_create(desc, batch, made);
    const rn__executor *x;
    memory_map m;
    int i;
    if (!net) return;
    x = net->executor;
    m.net = net;
    m.n = net->node_count;
    m.o = (object *)net_take(sizeof(object) * 2 * (size_t)m.n);
    for (i = 0; i < m.n; i++) {
        const rn__operation *op = operation_of(net, i);
        const int stored = op->last == i, training = mode == RN_TRAINING;
        place(&m.o[i], net, i,
              stored ? op->offset[training ? RN__AT_TRAINING : RN__AT_INFERENCE] : -1);
        place(&m.o[m.n + i], net, i, stored && training ? op->gradient_offset : -1);
        CHECK(m.o[i].end <= (ptrdiff_t)x->activation_bytes[mode]);
        CHECK(m.o[m.n + i].end <= (ptrdiff_t)x->activation_bytes[mode]);
        CHECK(m.o[i].begin % 64 == 0 || m.o[i].begin == -1);
        CHECK(m.o[m.n + i].begin % 64 == 0 || m.o[m.n + i].begin == -1);
    }
    CHECK((uintptr_t)x->activations % 64 == 0);
    CHECK(x->activations + x->activation_bytes[mode] + x->workspace_bytes[mode] <=
          (char *)net + net->bytes);
    if (!desc->naive) write_object(&m, 0); /* the images, blocked */
    for (i = 1; i < m.n; i++)
        if (begins(net, i)) forward_step(&m, i);
    read_object(&m, m.n - 1, m.n - 1, 0); /* logits */
    if (mode == RN_TRAINING) {
        m.o[2 * m.n - 1].parts = 1; /* the loss's */
        write_object(&m, 2 * m.n - 1);
        for (i = m.n - 1; i > 0; i--) {
            if (output_of(net, i) == i) repeat_segment(&m, i);
            if (begins(net, i)) backward_step(&m, i);
        }
    }
    free(m.o);
    rn_destroy(net);
}

/* Within budgets down to the least; counts how many nets computed something again. */
static int check_budgets(rn_desc desc) {
    size_t whole = rn_bytes(&desc, 3, RN_TRAINING, NULL);
    int part, nets = 0;
    for (part = 19; part > 0; part -= 3) {
        desc.budget = whole / 20 * (size_t)part;
        if (!rn_bytes(&desc, 3, RN_TRAINING, NULL)) break;
        CHECK(rn_bytes(&desc, 3, RN_TRAINING, NULL) <= desc.budget);
        check_lifetimes(&desc, 3, RN_TRAINING, RN_TRAINING);
        nets++;
    }
    return nets;
}

/* ---- the plan in words and as a picture ------------------------------------------------------ */

typedef struct plan_line {
    int from, to;
    unsigned long long offset, bytes;
} plan_line;

/* Buffers that are there at the same time are apart, or one; and they reach up to the size told. */
static void check_plan_text(const rn_desc *desc, rn_mode mode) {
    static char text[1 << 20];
    static plan_line lines[4000];
    rn_error error;
    size_t length = rn_plan_text(desc, 3, mode, text, sizeof text, &error), cut;
    unsigned long long told = 0, bytes = 0, most = 0;
    const char *at = strstr(text, "  what\n");
    int count = 0, i, k;
    CHECK(length > 0 && length == strlen(text) && at);
    if (!length || !at) return;
    CHECK_INT(rn_plan_text(desc, 3, mode, NULL, 0, NULL), length);
    CHECK_INT(sscanf(text, "%*[^:]: %llu bytes %llu values", &bytes, &told), 2);
    CHECK_INT(bytes, rn_bytes(desc, 3, mode, NULL));
    CHECK_INT(strstr(text, "The loss is at time") != NULL, mode == RN_TRAINING);
    for (at = strchr(at, '\n') + 1; *at; at = strchr(at, '\n') + 1) {
        plan_line *line = &lines[count++];
        CHECK_INT(
            sscanf(at, "%d %d %llu %llu", &line->from, &line->to, &line->offset, &line->bytes), 4);
        if (line->offset + line->bytes > most) most = line->offset + line->bytes;
        CHECK(line->from >= 0 && line->from <= line->to);
    }
    CHECK(count > 5);
    CHECK_INT(most, told);
    for (i = 0; i < count; i++)
        for (k = 0; k < i; k++) {
            const plan_line *a = &lines[i], *b = &lines[k];
            int meet = a->from <= b->to && b->from <= a->to;
            CHECK(!meet || a->offset == b->offset || a->offset + a->bytes <= b->offset ||
                  b->offset + b->bytes <= a->offset);
        }
    cut = length / 2;
    rn_plan_text(desc, 3, mode, text, cut, NULL);
    CHECK_INT(strlen(text), cut - 1);
}

static int count_words(const char *text, const char *word) {
    int count = 0;
    for (; (text = strstr(text, word)) != NULL; text += strlen(word)) count++;
    return count;
}

/* How far to the right the rectangles of a picture reach, in points. */
static double right_end(const char *svg) {
    double most = 0, x, width;
    for (; (svg = strstr(svg, "<rect x=\"")) != NULL; svg++) {
        CHECK_INT(sscanf(svg, "<rect x=\"%lf\" y=\"%*f\" width=\"%lf\"", &x, &width), 2);
        most = fmax(most, x + width);
    }
    return most;
}

static void check_plan(rn_desc desc, rn_mode mode) {
    static char text[1 << 20];
    rn_error error;
    size_t length;
    check_plan_text(&desc, mode);
    length = rn_plan_svg(&desc, 3, mode, text, sizeof text, &error);
    CHECK(length > 0 && length == strlen(text));
    CHECK(!strncmp(text, "<svg ", 5) && !strcmp(text + length - 7, "</svg>\n"));
    CHECK(count_words(text, "<title>") > 5);
    /* 1080 is the frame's end, which in inference is that of the logits. */
    CHECK(right_end(text) < 1080.2 && right_end(text) > (mode == RN_TRAINING ? 1000 : 1079.8));
    CHECK_INT(count_words(text, "<title>"), count_words(text, "</title></rect>"));
    CHECK_INT(count_words(text, "<"), count_words(text, ">"));
    CHECK((count_words(text, "value again of") > 0) == (desc.budget > 0 && mode == RN_TRAINING));
    desc.classes = -1;
    CHECK_INT(rn_plan_svg(&desc, 3, mode, text, sizeof text, &error), 0);
    CHECK_INT(error.status, RN_BAD_DESCRIPTION);
    CHECK_INT(rn_plan_text(&desc, 3, mode, text, sizeof text, &error), 0);
}

/* ---- guard pages ----------------------------------------------------------------------------- */

/* Trains and predicts in exactly rn_bytes, with no page behind them or (front) before. */
static void check_guarded(const rn_desc *desc, rn_mode mode, int front) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = rn_bytes(desc, 4, mode, NULL);
    const size_t inside = (bytes + page - 1) / page * page;
    char *map = (char *)mmap(NULL, inside + 2 * page, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    rn_memory memory = {NULL, 0, NULL, NULL, NULL};
    rn_real logits[4 * 4];
    net_batch batch = net_draw_batch(desc, 4, 3);
    rn_net *net;
    int i;
    CHECK(bytes > 0 && map != MAP_FAILED);
    if (map == MAP_FAILED) return;
    CHECK_INT(mprotect(map, page, PROT_NONE), 0);
    CHECK_INT(mprotect(map + page + inside, page, PROT_NONE), 0);
    memory.buffer = map + page + (front ? 0 : inside - bytes);
    memory.bytes = bytes;
    net = rn_create(desc, 4, mode, &memory, NULL);
    CHECK(net != NULL);
    for (i = 0; net && i < 2 && mode == RN_TRAINING; i++)
        CHECK_INT(rn_train_step(net, batch.images, batch.labels, 4, 0.02, NULL, NULL), RN_OK);
    if (net) CHECK_INT(rn_predict(net, rn_workspace(net), batch.images, 4, logits, NULL), RN_OK);
    munmap(map, inside + 2 * page);
    net_free_batch(&batch);
}

/* ---- the nets of the papers ------------------------------------------------------------------ */

static void check_size(rn_desc desc, int threads, int batch, rn_mode mode, double most) {
    rn_error error = {RN_OK, ""};
    size_t bytes;
    desc.threads = threads;
    bytes = rn_bytes(&desc, batch, mode, &error);
    if (test_failed(bytes > 0 && (double)bytes <= most, "size", __LINE__))
        fprintf(stderr, "ResNet-%d at batch %d takes %.0f bytes, more than %.0f: %s\n", desc.depth,
                batch, (double)bytes, most, error.text);
}

/* What their memory may be, in training and (beside the weights) in inference. */
static void check_sizes(void) {
    const double MiB = 1048576, GiB = 1024 * MiB;
    rn_desc desc = rn_imagenet(200);
    rn_net *net;
    check_size(rn_cifar(110), 2, 128, RN_TRAINING, 0.6 * GiB);
    check_size(rn_cifar(164), 2, 128, RN_TRAINING, 1.7 * GiB);
    check_size(desc, 2, 8, RN_TRAINING, 2.5 * GiB);
    desc.budget = (uint64_t)(1.3 * GiB);
    check_size(desc, 2, 8, RN_TRAINING, 1.3 * GiB);
    desc = rn_cifar(1001);
    desc.budget = (uint64_t)1000 << 20;
    check_size(desc, 2, 64, RN_TRAINING, 1000 * MiB);
    desc.budget = (uint64_t)2000 << 20;
    check_size(desc, 2, 128, RN_TRAINING, 2000 * MiB);
    desc = rn_cifar(1001);
    net = net_create(&desc, 1, RN_INFERENCE);
    if (!net) return;
    check_size(desc, 1, 1, RN_INFERENCE,
               4.0 * (double)(net->parameter_count + net->statistic_count) + MiB);
    rn_destroy(net);
    desc = rn_imagenet(200);
    desc.height = desc.width = 320;
    check_size(desc, 2, 1, RN_INFERENCE, 4.0 * 64.9e6 + 64 * MiB); /* its parameters */
}

/* ---- allocators ------------------------------------------------------------------------------ */

typedef struct counter {
    int calls, fail_at, live;
    size_t bytes;
} counter;

static void *counting_alloc(size_t bytes, void *user) {
    counter *c = (counter *)user;
    if (c->calls++ == c->fail_at) return NULL;
    c->live++;
    c->bytes = bytes;
    return malloc(bytes);
}

static void counting_free(void *memory, void *user) {
    ((counter *)user)->live--;
    free(memory);
}

static void check_allocators(const rn_desc *desc) {
    counter c = {0, -1, 0, 0};
    rn_memory memory = {NULL, 0, counting_alloc, counting_free, NULL};
    rn_error error;
    rn_net *net;
    int n, all;
    memory.user = &c;
    calls = 0;
    net = rn_create(desc, 2, RN_TRAINING, &memory, &error);
    CHECK(net != NULL);
    CHECK_INT(calls, 0); /* the allocator, and nothing but it */
    CHECK_INT(c.live, 1);
    CHECK(c.bytes <= rn_bytes(desc, 2, RN_TRAINING, NULL) + 63);
    rn_destroy(net);
    CHECK_INT(c.live, 0);
    all = c.calls;
    CHECK(all > 0);
    for (n = 0; n < all; n++) {
        memset(&c, 0, sizeof c);
        c.fail_at = n;
        CHECK(rn_create(desc, 2, RN_TRAINING, &memory, &error) == NULL);
        CHECK_INT(error.status, RN_NO_MEMORY);
        CHECK_TEXT(error.text, "no memory for ");
        CHECK_INT(c.live, 0);
    }
}

static void check_malloc(const rn_desc *desc) {
    rn_error error;
    rn_net *net;
    int n, all;
    CHECK_INT(live, 0);
    calls = 0;
    net = rn_create(desc, 2, RN_TRAINING, NULL, &error);
    CHECK(net != NULL);
    CHECK_INT(live, 1);
    rn_destroy(net);
    rn_destroy(NULL);
    CHECK_INT(live, 0);
    all = calls;
    for (n = 0; n < all; n++) {
        calls = 0;
        fail_at = n;
        CHECK(rn_create(desc, 2, RN_TRAINING, NULL, &error) == NULL);
        CHECK_INT(error.status, RN_NO_MEMORY);
        CHECK_INT(live, 0);
    }
    calls = 0;
    fail_at = 0;
    error.status = RN_OK;
    CHECK_INT(rn_bytes(desc, 2, RN_TRAINING, &error), 0);
    CHECK_INT(error.status, RN_NO_MEMORY);
    CHECK_INT(live, 0);
    fail_at = -1;
}

/* Steps allocate nothing, nor do they change which memory they use. */
static void check_steps_allocate_nothing(const rn_desc *desc) {
    rn_net *net = net_create(desc, 3, RN_TRAINING);
    net_batch batch;
    rn_real logits[3 * 4];
    char text[64];
    int i;
    if (!net) return;
    batch = net_draw_batch(&net->desc, 3, 1);
    calls = 0;
    for (i = 0; i < 2; i++) {
        CHECK_INT(rn_train_step(net, batch.images, batch.labels, 3, 0.1, NULL, NULL), RN_OK);
        CHECK_INT(rn_predict(net, rn_workspace(net), batch.images, 3, logits, NULL), RN_OK);
    }
    rn_initialise(net);
    rn_describe(net, text, sizeof text);
    CHECK_INT(calls, 0);
    net_free_batch(&batch);
    rn_destroy(net);
}

/* ---- inference ------------------------------------------------------------------------------- */

enum { IMAGES = 40 };

typedef struct client {
    const rn_net *net;
    void *workspace;
    const rn_real *images;
    int first;
    rn_real logits[IMAGES * 4];
    int failures;
} client;

/* Predicts every image, alone and in pairs, starting elsewhere than the others do. */
static void *predict_all(void *argument) {
    client *c = (client *)argument;
    ptrdiff_t numbers = net_image_count(&c->net->desc, 1);
    int i, k, round;
    for (round = 0; round < 3; round++)
        for (i = 0; i < IMAGES; i++) {
            int at = (c->first + i) % IMAGES, count = at % 3 == 0 && at + 1 < IMAGES ? 2 : 1;
            rn_real out[2 * 4];
            c->failures += rn_predict(c->net, c->workspace, c->images + at * numbers, count, out,
                                      NULL) != RN_OK;
            for (k = 0; k < 4; k++) c->logits[at * 4 + k] = out[k];
        }
    return NULL;
}

static void check_threads(const rn_desc *desc) {
    rn_net *net = net_create(desc, 2, RN_INFERENCE);
    static client clients[3];
    pthread_t threads[2];
    net_batch batch;
    void *memory[3];
    int i;
    if (!net) return;
    net_draw(net, 4);
    batch = net_draw_batch(&net->desc, IMAGES, 9);
    for (i = 0; i < 3; i++) {
        memory[i] = malloc(rn_predict_bytes(net) + 64);
        clients[i].net = net;
        clients[i].images = batch.images;
        clients[i].first = i * 13;
        clients[i].failures = 0;
        clients[i].workspace = (char *)memory[i] + (64 - (uintptr_t)memory[i] % 64) % 64;
    }
    predict_all(&clients[2]);
    for (i = 0; i < 2; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, predict_all, &clients[i]), 0);
    for (i = 0; i < 2; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
        CHECK(!memcmp(clients[i].logits, clients[2].logits, sizeof clients[2].logits));
    }
    for (i = 0; i < 3; i++) {
        CHECK_INT(clients[i].failures, 0);
        free(memory[i]);
    }
    CHECK(net_largest(clients[2].logits, IMAGES * 4) > 0);
    net_free_batch(&batch);
    rn_destroy(net);
}

static void check_predict_arguments(void) {
    rn_desc desc =
        net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_A, RN_STEM_CIFAR);
    rn_net *net = net_create(&desc, 2, RN_INFERENCE);
    net_batch batch;
    rn_real logits[2 * 4];
    rn_error error;
    if (!net) return;
    batch = net_draw_batch(&net->desc, 2, 9);
    CHECK_INT(rn_predict(net, rn_workspace(net), batch.images, 3, logits, &error), RN_BAD_ARGUMENT);
    CHECK_TEXT(error.text, "3 images; this net takes 1 to 2");
    CHECK_INT(rn_predict(net, rn_workspace(net), batch.images, 0, logits, &error), RN_BAD_ARGUMENT);
    CHECK_INT(rn_predict(net, rn_workspace(net), NULL, 1, logits, &error), RN_BAD_ARGUMENT);
    CHECK_INT(rn_predict(net, NULL, batch.images, 1, logits, &error), RN_BAD_ARGUMENT);
    CHECK_TEXT(error.text, "workspace must be ");
    CHECK_INT(rn_predict(net, (char *)rn_workspace(net) + 4, batch.images, 1, logits, &error),
              RN_BAD_ARGUMENT);
    CHECK_INT(rn_train_step(net, batch.images, batch.labels, 2, 0.1, NULL, &error),
              RN_BAD_ARGUMENT);
    CHECK_TEXT(error.text, "RN_TRAINING");
    net_free_batch(&batch);
    rn_destroy(net);
}

/* The bytes of activations do not grow with the depth, and are those of a few values. */
static void check_reuse(rn_order order, rn_block block, int naive) {
    rn_desc desc = net_desc(order, block, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, RN_STEM_CIFAR);
    size_t bytes[2], largest = 0;
    int i, k;
    desc.base_width = 16;
    desc.naive = naive;
    for (k = 0; k < 2; k++) {
        rn_net *net;
        desc.units[0] = desc.units[1] = desc.units[2] = k ? 9 : 3;
        net = net_create(&desc, 2, RN_INFERENCE);
        if (!net) return;
        bytes[k] = net->executor->activation_bytes[RN_INFERENCE];
        for (i = 0; i < net->node_count; i++) {
            object o;
            place(&o, net, i, 0);
            if ((size_t)o.end > largest) largest = (size_t)o.end;
        }
        rn_destroy(net);
    }
    CHECK_INT(bytes[0], bytes[1]);
    net_check(bytes[0] <= 4 * largest, __LINE__, &desc, "activations over largest value",
              (double)bytes[0] / (double)largest, 4);
    CHECK(bytes[0] >= 2 * largest);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static void check_overflow(void) {
    rn_desc desc = rn_cifar(20);
    rn_error error;
    size_t bytes, before = 0;
    int i, batch, refused = 0;
    /* Within what a size_t can hold the bytes grow with the batch, at least as the images do;
       beyond they are refused, from one batch on: on 64 bits none of these. The fast execution
       counts its jobs in int. */
    for (i = 0; i <= 30; i++) {
        batch = 1 << i;
        if (i > 24 && !desc.naive) {
            CHECK_INT(rn_bytes(&desc, 1 << 30, RN_TRAINING, &error), 0);
            CHECK_INT(error.status, RN_TOO_LARGE);
            desc.naive = 1;
            before = 0;
        }
        bytes = rn_bytes(&desc, batch, RN_TRAINING, &error);
        if (sizeof(size_t) == 4 && !bytes && i >= 8) {
            CHECK_INT(error.status, RN_TOO_LARGE);
            refused = 1;
            continue;
        }
        CHECK(!refused);
        CHECK(bytes > before);
        CHECK(bytes / (size_t)batch >= 3 * 32 * 32 * sizeof(rn_real));
        before = bytes;
    }
    desc.threads = 1024;
    CHECK(refused || rn_bytes(&desc, 1 << 30, RN_TRAINING, &error) >= before);
    desc.base_width = 1 << 14;
    desc.height = desc.width = 1 << 14;
    CHECK_INT(rn_bytes(&desc, 0x7fffffff, RN_TRAINING, &error), 0);
    CHECK_INT(error.status, RN_TOO_LARGE);
    CHECK_TEXT(error.text, "smaller");
    CHECK(rn_create(&desc, 0x7fffffff, RN_TRAINING, NULL, &error) == NULL);
    CHECK_INT(error.status, RN_TOO_LARGE);
    desc.naive = 1;
    CHECK_INT(rn_bytes(&desc, 0x7fffffff, RN_INFERENCE, &error), 0);
    CHECK_INT(error.status, RN_TOO_LARGE);
    desc = rn_cifar(20);
    desc.height = desc.width = 1 << 15;
    CHECK_INT(rn_bytes(&desc, 1, RN_TRAINING, &error), 0);
    CHECK_INT(error.status, RN_BAD_DESCRIPTION);
    CHECK_TEXT(error.text, "height is 32768");
    desc = rn_cifar(20);
    CHECK_INT(rn_bytes(&desc, 0, RN_TRAINING, &error), 0);
    CHECK_TEXT(error.text, "batch is 0 and must be at least 1");
    CHECK_INT(rn_bytes(&desc, -5, RN_TRAINING, &error), 0);
    CHECK_INT(error.status, RN_BAD_ARGUMENT);
    CHECK(rn_create(&desc, 1, (rn_mode)7, NULL, &error) == NULL);
    CHECK_TEXT(error.text, "mode must be ");
}

/* ---- describe -------------------------------------------------------------------------------- */

static void check_describe(const rn_desc *desc) {
    rn_net *net = net_create(desc, 2, RN_TRAINING);
    static char whole[1 << 16], cut[1 << 16];
    char name[64];
    size_t length, capacity, i;
    if (!net) return;
    length = rn_describe(net, whole, sizeof whole);
    CHECK_INT(length, strlen(whole));
    CHECK_INT(rn_describe(net, NULL, 0), length);
    for (capacity = 1; capacity <= length + 2; capacity += 1 + capacity / 7) {
        size_t want = capacity - 1 < length ? capacity - 1 : length;
        memset(cut, '#', sizeof cut);
        CHECK_INT(rn_describe(net, cut, capacity), length);
        CHECK_INT(strlen(cut), want);
        CHECK(!memcmp(cut, whole, want));
        for (i = capacity; i < capacity + 8; i++) CHECK_INT(cut[i], '#');
    }
    for (i = 0; i < (size_t)net->node_count; i++) {
        char line[96];
        rn_node_name(net, (int)i, name);
        snprintf(line, sizeof line, "%5d  %s ", (int)i, name);
        CHECK_TEXT(whole, line);
    }
    snprintf(cut, sizeof cut, "%llu bytes", (unsigned long long)net->bytes);
    CHECK_TEXT(whole, cut);
    snprintf(cut, sizeof cut, "%lld parameters", (long long)net->parameter_count);
    CHECK_TEXT(whole, cut);
    rn_destroy(net);
}

/* What the row of a node says of the options. */
static void check_describe_member(const char *options, const char *row) {
    static char whole[1 << 16];
    rn_desc desc = net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_B,
                            strstr(options, "stem") ? RN_STEM_BIT : RN_STEM_CIFAR);
    rn_net *net;
    net_options(&desc, options);
    net = net_create(&desc, 2, RN_TRAINING);
    if (!net) return;
    rn_describe(net, whole, sizeof whole);
    CHECK_TEXT(whole, row);
    CHECK_INT(strstr(whole, "  bn   ") != NULL, !desc.bare_tail && !desc.norm);
    rn_destroy(net);
}

static void check_describe_members(void) {
    check_describe_member("norm group_norm norm_groups 3", " group_norm 3 groups  ");
    check_describe_member("norm group_norm norm_groups 1", " group_norm 1 group  ");
    check_describe_member("norm evonorm_s0 norm_groups 3", " evonorm_s0 3 groups  ");
    check_describe_member("weight_standardisation 1", " conv2d 3x3 standardised stride 2");
    check_describe_member("weight_standardisation 1", " conv2d 1x1 standardised stride 2");
    check_describe_member("weight_standardisation 1 conv_bias 1", " 3x3 standardised with bias");
    check_describe_member("stem bit", " max_pool 3x3 with zeros stride 2");
    check_describe_member("stem imagenet", " max_pool 3x3 stride 2");
    check_describe_member("stem deep stem_width 4", " conv3  ");
    check_describe_member("bare_tail 1", " pool  ");
    check_describe_member("always_project 1", " layer1.0.shortcut  ");
}

int main(int argc, char **argv) {
    rn_desc desc;
    int i, order, block, nets = 0;
    if (argc == 2 && !strcmp(argv[1], "threads")) { /* alone, for the thread sanitizer */
        for (i = 0; i < VARIANTS; i += 37) {
            desc = variant(i);
            check_threads(&desc);
        }
        return test_end("planner threads");
    }
    for (i = 0; i < VARIANTS; i++) {
        desc = variant(i);
        check_lifetimes(&desc, 2, RN_TRAINING, RN_TRAINING);
        check_lifetimes(&desc, 3, RN_TRAINING, RN_INFERENCE);
        check_lifetimes(&desc, 1 + i % 4, RN_INFERENCE, RN_INFERENCE);
        desc.naive = !RN__FAST || !desc.naive;
        check_lifetimes(&desc, 2, RN_TRAINING, RN_TRAINING);
    }
    desc = rn_cifar(164);
    check_lifetimes(&desc, 2, RN_TRAINING, RN_TRAINING);
    for (order = 0; order < ORDERS;
         order++) /* many units, of one convolution that reads its addend */
        for (block = RN_BASIC; block < BLOCKS; block++) {
            desc = net_desc((rn_order)order, (rn_block)block, RN_SHORTCUT_IDENTITY, RN_RESIZE_B_BN,
                            RN_STEM_IMAGENET);
            desc.units[1] = desc.units[2] = desc.units[3] = 3;
            desc.height = desc.width = 64;
            check_lifetimes(&desc, 2, RN_TRAINING, RN_TRAINING);
        }
    for (i = 0; i < VARIANTS; i += 11) {
        desc = variant(i);
        check_bytes(&desc, RN_TRAINING);
        check_bytes(&desc, RN_INFERENCE);
    }
    for (i = 0; i < VARIANTS; i++) {
        desc = variant(i);
        desc.units[0] = 4;
        desc.units[1] = 3;
        nets += check_budgets(desc);
    }
    CHECK(nets > VARIANTS);
    for (i = 0; i < VARIANTS; i += 13) {
        desc = variant(i);
        desc.units[0] = 4;
        check_plan(desc, RN_INFERENCE);
        check_plan(desc, RN_TRAINING);
        check_guarded(&desc, RN_INFERENCE, i % 2);
        check_guarded(&desc, RN_TRAINING, i % 2);
        desc.budget = rn_bytes(&desc, 3, RN_TRAINING, NULL) / 20 * 18;
        if (rn_bytes(&desc, 3, RN_TRAINING, NULL)) check_plan(desc, RN_TRAINING);
        desc.budget = rn_bytes(&desc, 4, RN_TRAINING, NULL);
        check_guarded(&desc, RN_TRAINING, i % 2);
    }
    for (i = 0; i < VARIANTS; i += 37) {
        desc = variant(i);
        check_allocators(&desc);
        check_malloc(&desc);
        check_steps_allocate_nothing(&desc);
        check_threads(&desc);
        check_describe(&desc);
    }
    for (order = 0; order < ORDERS; order++)
        for (block = RN_BASIC; block < BLOCKS; block++) {
            check_reuse((rn_order)order, (rn_block)block, 1);
            check_reuse((rn_order)order, (rn_block)block, !RN__FAST);
        }
    if (RN__FAST) check_sizes();
    check_describe_members();
    check_predict_arguments();
    check_overflow();
    CHECK_INT(live, 0);
    return test_end("planner");
}
