/* sizes.c - sizes of all magnitudes, on 64 bits and on 32. Random descriptions, extreme ones among
   them, with budgets and micro-batches, are either refused in words or take at least the bytes that
   their weights alone need, however large that is; those that are small are made in a buffer of
   exactly the bytes foretold, and trained a step. Then what any caller may pass to the functions
   that cannot fail, enums and numbers that are none, and convolutions of tensors without channels,
   filters, rows or columns, for which naive and fast give the same status.

   cc -std=c99 -O1 -fsanitize=address,undefined -o sizes tests/sizes.c -lm && ./sizes */

#include <stdlib.h>

/* An allocator with little memory. */
static int live;

static void *bounded_malloc(size_t bytes) {
    void *memory = bytes <= (size_t)1 << 27 ? malloc(bytes) : NULL;
    live += memory != NULL;
    return memory;
}

static void bounded_free(void *memory) {
    live--;
    free(memory);
}

#define RESNET_MALLOC(bytes) bounded_malloc(bytes)
#define RESNET_FREE(memory) bounded_free(memory)
#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"

#include "nets.h"

#ifdef REDUCED
enum { NETS = 250 };
#else
enum { NETS = 1200 };
#endif

static uint64_t drawn;

static int draw(int below) {
    const rn_key key = {5, 55, 0};
    return (int)(rn_random(key, drawn++) % (uint64_t)below);
}

/* A number of 1 to `bits` bits, each length as likely. */
static int magnitude(int bits) {
    const int length = draw(bits + 1);
    return length ? (1 << (length - 1)) + draw(1 << (length - 1)) : 1;
}

static rn_desc random_desc(int extreme) {
    rn_desc d;
    int i, stages = 1 + draw(RN_MAX_STAGES), bits = extreme ? 14 : 3;
    memset(&d, 0, sizeof d);
    d.block = (rn_block)draw(BLOCKS), d.order = (rn_order)draw(ORDERS);
    d.shortcut = (rn_shortcut)draw(SHORTCUTS), d.resize = (rn_resize)draw(RESIZES);
    d.stem = (rn_stem)draw(STEMS), d.stride_on = (rn_stride_on)draw(2);
    d.norm = (rn_norm)draw(3), d.bare_stem = draw(2), d.bare_tail = draw(2);
    d.always_project = draw(2), d.raw_identity = draw(2), d.conv_bias = draw(2);
    d.weight_standardisation = draw(2);
    if (!draw(3)) d.norm_groups = magnitude(extreme ? 14 : 2);
    if (!draw(3)) d.stem_width = magnitude(bits);
    for (i = 0; i < stages && !draw(3); i++) d.widths[i] = magnitude(bits + i);
    for (i = 0; i < stages && !draw(3); i++) d.outputs[i] = magnitude(bits + i);
    d.padding = draw(4) ? RN_PADDING_SYMMETRIC : RN_PADDING_SAME;
    for (i = 0; i < stages; i++) d.units[i] = magnitude(extreme ? (draw(20) ? 6 : 13) : 1);
    d.base_width = magnitude(bits), d.channels = magnitude(bits);
    d.height = magnitude(bits), d.width = magnitude(bits);
    d.classes = 1 + magnitude(extreme ? 19 : 3);
    d.threads = magnitude(extreme ? 10 : 2);
    d.naive = !RN__FAST || draw(2), d.direct = draw(2);
    if (!draw(3)) d.bn_group = magnitude(extreme ? 23 : 2);
    if (!draw(3)) d.micro_batch = (d.bn_group ? d.bn_group : 1) * magnitude(1);
    if (!draw(3)) d.budget = (uint64_t)magnitude(30) << draw(30);
    return d;
}

/* Bytes of weights and images, of which a net takes more. */
static double least_bytes(const rn_desc *d, int batch, rn_mode mode) {
    double weights = 0, part = d->micro_batch ? rn__min(d->micro_batch, batch) : batch;
    int i;
    for (i = 0; i < RN_MAX_STAGES; i++) {
        const double out = d->outputs[i]; /* a single convolution's other channels vary */
        weights += d->units[i] * (d->block == RN_SINGLE ? 9.0 : (double)d->widths[i]) * out;
    }
    if (mode == RN_TRAINING) weights *= 3;
    return (double)sizeof(rn_real) * (weights + part * d->stem_width);
}

/* Makes the net in a buffer of so many bytes, and trains it a step if that is short. */
static void use(const rn_desc *desc, int batch, rn_mode mode, size_t bytes) {
    rn_memory memory = {NULL, 0, NULL, NULL, NULL};
    char *raw = (char *)net_take(bytes + 63);
    rn_error error;
    rn_net *net;
    net_batch data;
    double macs = 0;
    int i;
    memory.buffer = raw + rn__gap(raw);
    memory.bytes = bytes;
    net = rn_create(desc, batch, mode, &memory, &error);
    if (test_failed(net != NULL, __FILE__, __LINE__)) fprintf(stderr, "%s\n", error.text);
    for (i = 0; net && i < net->node_count; i++) macs += batch * rn_node_macs(net, i);
    if (net && macs < 2e6) {
        rn_real *logits = (rn_real *)net_take((size_t)(batch * desc->classes) * sizeof *logits);
        rn_status status = RN_OK;
        data = net_draw_batch(&net->desc, batch, 1);
        if (mode == RN_TRAINING)
            status = rn_train_step(net, data.images, data.labels, batch, 1e-3, NULL, &error);
        CHECK(!status || status == RN_BAD_SHAPE || status == RN_NOT_FINITE);
        CHECK_INT(rn_predict(net, rn_workspace(net), data.images, batch, logits, &error), RN_OK);
        net_free_batch(&data);
        free(logits);
    }
    free(raw);
}

static void random_nets(void) {
    int i, made = 0, large = 0;
    for (i = 0; i < NETS; i++) {
        const rn_mode mode = draw(2) ? RN_TRAINING : RN_INFERENCE;
        rn_desc desc = random_desc(i % 2);
        const int batch = magnitude(i % 2 ? 30 : 3);
        rn_error error = {RN_OK, ""};
        size_t bytes = rn_bytes(&desc, batch, mode, &error);
        rn_net *net;
        if (!bytes) {
            CHECK(error.status < 0 && strlen(error.text) > 20);
            CHECK(rn_create(&desc, batch, mode, NULL, NULL) == NULL);
            large += error.status == RN_TOO_LARGE;
            continue;
        }
        CHECK(rn_resolve(&desc, NULL) == RN_OK);
        CHECK((double)bytes >= least_bytes(&desc, batch, mode));
        CHECK(bytes <= PTRDIFF_MAX);
        if (bytes <= 1 << 21) use(&desc, batch, mode, bytes), made++;
        if (bytes < 1 << 23 || bytes > 1 << 28) { /* those between would only take time */
            net = rn_create(&desc, batch, mode, NULL, &error);
            CHECK(net || error.status == RN_NO_MEMORY);
            rn_destroy(net);
        }
    }
    CHECK(made > NETS / 10 && (large > 0 || sizeof(size_t) > 4));
    CHECK_INT(live, 0);
}

/* The parameters of eight units of 16,384 filters are more than 32 bits count. */
static void wide_net(void) {
    static const int units[] = {1, 2, 3, 8};
    rn_desc desc;
    rn_error error;
    int i, naive;
    memset(&desc, 0, sizeof desc);
    desc.base_width = 1 << 14;
    for (i = 0; i < 4; i++)
        for (naive = 0; naive < 2; naive++) {
            size_t bytes;
            desc.units[0] = units[i];
            desc.naive = naive;
            bytes = rn_bytes(&desc, 1, RN_INFERENCE, &error);
            if (sizeof(size_t) > 4)
                CHECK((double)bytes > 4.0 * 18 * (1 << 28) * units[i]);
            else {
                CHECK_INT(bytes, 0);
                CHECK(error.status == RN_TOO_LARGE || error.status == RN_NO_MEMORY);
            }
        }
}

/* Zero channels in front of a centred padding of many, and units beyond 32,767 as a field takes. */
static size_t look_at_nodes(const rn_net *net, const rn__span *spans, rn__text *out) {
    int i, seen = 0;
    (void)spans, (void)out;
    for (i = 1; i < net->node_count; i++) {
        const rn_node *node = &net->nodes[i];
        if (node->kind != RN_PAD_SUBSAMPLE) continue;
        CHECK_INT(node->front, (node->c - net->nodes[node->inputs[0]].c) / 2);
        seen += node->front > SHRT_MAX;
    }
    CHECK_INT(seen, 1);
    return 1;
}

static void wide_padding(void) {
    rn_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.base_width = 1 << 14;
    desc.block = RN_SINGLE;
    desc.resize = RN_RESIZE_A_CENTRED;
    desc.units[0] = desc.units[1] = desc.units[2] = desc.units[3] = 1;
    CHECK_INT(rn__sketch(&desc, 1, RN_INFERENCE, 0, NULL, look_at_nodes, NULL, NULL),
              sizeof(size_t) > 4);
    desc.units[0] = RN__MOST_UNITS + 1;
    CHECK_INT(rn_resolve(&desc, NULL), RN_BAD_DESCRIPTION);
    desc = rn_cifar(2 + 9 * (RN__MOST_UNITS + 1));
    CHECK_INT(rn_resolve(&desc, NULL), RN_BAD_DESCRIPTION);
}

/* Every field of an enum with a value that it has not, every number that is none. */
static void bad_fields(void) {
    static const int64_t bits[] = {0x7ff8000000000000, 0x7ff0000000000000};
    rn_error error;
    int i, k, value;
    for (i = 0; i < RN__FIELDS; i++) {
        const rn__field *field = &rn__fields[i];
        for (k = 0; k < 2; k++) {
            rn_desc desc = rn_cifar(20);
            char text[96];
            double number;
            memcpy(&number, &bits[k], sizeof number);
            if (field->type == RN__INT && !field->names) continue;
            if (rn__is_uint64(field)) continue;
            value = k ? 200 : 77;
            rn__set_number(&desc, field, 0, field->names ? value : number);
            if (field->names) {
                rn_desc_get(&desc, i, text);
                CHECK(!strcmp(text, "?"));
            }
            CHECK_INT(rn_resolve(&desc, &error), RN_BAD_DESCRIPTION);
            CHECK_TEXT(error.text, field->key);
            CHECK(rn_create(&desc, 1, RN_INFERENCE, NULL, &error) == NULL);
            CHECK_INT(error.status, RN_BAD_DESCRIPTION);
        }
    }
}

/* Functions that cannot fail take anything. */
static void any_input(void) {
    static const int numbers[] = {INT_MIN, -5, -1, 0, 1, 4, 5, 6, 1000, INT_MAX};
    const rn_key key = {1, 2, 3};
    rn_desc desc = rn_cifar(8), same = desc;
    rn_real data[24];
    rn_tensor t = rn_tensor_in(data, 4, 3, 2, 1), empty;
    rn_net *net = rn_create(&desc, 1, RN_INFERENCE, NULL, NULL);
    int i, k, dialect, schedule, kind;
    CHECK(net != NULL);
    for (i = 0; net && i < (int)(sizeof numbers / sizeof numbers[0]); i++) {
        const int n = numbers[i];
        char text[96] = "x";
        rn_desc_get(&desc, n, text);
        CHECK((n < 0 || n >= RN__FIELDS) == !*text);
        dialect = (int)(rn_dialect)n,
        schedule = (int)(rn_schedule_kind)n; /* of fewer bits, maybe */
        kind = (int)(rn_kind)n;
        rn_set_dialect(&same, (rn_dialect)n);
        CHECK(dialect >= 0 && dialect <= RN_MLPERF_TINY ? 1 : !memcmp(&same, &desc, sizeof desc));
        same = desc;
        CHECK((schedule < 0 || schedule > RN_ONE_CYCLE) ==
              !strcmp(rn_schedule_name((rn_schedule_kind)n), "?"));
        CHECK((kind < 0 || kind >= RN_KINDS) == !strcmp(rn_kind_name((rn_kind)n), "?"));
        CHECK(*rn_status_name((rn_status)n) && *rn_status_text((rn_status)n));
        rn_node_name(net, n, text);
        CHECK((n < 0 || n >= net->node_count) == !strcmp(text, "?"));
        CHECK(rn_node_macs(net, n) >= 0);
        for (k = 0; k < (int)(sizeof numbers / sizeof numbers[0]); k++) {
            const int inside = n >= 0 && numbers[k] >= 0 && (double)n + numbers[k] <= 4;
            rn_tensor images = rn_tensor_images(t, n, numbers[k]);
            rn_tensor channels = rn_tensor_channels(t, n, numbers[k]);
            CHECK_INT(images.n, inside ? numbers[k] : 0);
            CHECK(!images.n || images.data == data + 6 * n);
            CHECK(channels.c == (inside && n + numbers[k] <= 3 ? numbers[k] : 0));
            rn_tensor_fill(images, 1);
            rn_tensor_fill(channels, 2);
        }
        empty = rn_tensor_in(data, n, INT_MAX, INT_MAX, INT_MAX);
        CHECK(n == 0 || empty.n == 0);
        rn_tensor_fill(empty, 3);
    }
    CHECK_INT(rn_shuffle(key, 5, 0), 0);
    CHECK_INT(rn_shuffle(key, UINT64_MAX, 0), 0);
    for (i = 0; i < 5; i++)
        CHECK_INT(rn_shuffle(key, 10 + (uint64_t)i, 5), rn_shuffle(key, (uint64_t)i, 5));
    CHECK_INT(rn_shuffle(key, UINT64_MAX, 1), 0);
    CHECK_INT(rn_argmax(data, 0), 0);
    CHECK_INT(rn_argmax(data, -3), 0);
    rn_destroy(net);
}

static void refill(rn_real x[81], rn_real f[81], rn_real z[1000]) {
    int i;
    for (i = 0; i < 81; i++) x[i] = (rn_real)(i % 5 - 2), f[i] = (rn_real)(i % 7 - 3);
    for (i = 0; i < 1000; i++) z[i] = (rn_real)NAN;
}

/* Convolutions of n images of c channels of h x w with k filters of r x s: naive and fast agree. */
static void empty_convolutions(void) {
    static const int sizes[] = {0, 1, 3, -1};
    rn_real x[81], f[81], y[1000], z[1000];
    int i, code, done = 0, refused = 0;
    for (code = 0; code < 1 << 14; code++) {
        int v[7];
        rn_tensor in, weight, out, fast;
        rn_status status;
        rn_error error;
        for (i = 0; i < 7; i++) v[i] = sizes[code >> 2 * i & 3];
        in = rn_tensor_in(x, v[0], v[1], v[2], v[3]);
        weight = rn_tensor_in(f, v[4], v[1], v[5], v[6]);
        if (rn_tensor_bytes(v[0], v[1], v[2], v[3]) > sizeof x) continue;
        if (rn_tensor_bytes(v[4], v[1], v[5], v[6]) > sizeof f) continue;
        out = rn_tensor_in(y, in.n, weight.n, rn__window_output(in.h, weight.h, 1, 1),
                           rn__window_output(in.w, weight.w, 1, 1));
        if (rn_tensor_bytes(out.n, out.c, out.h, out.w) > sizeof y) continue;
        fast = out;
        fast.data = z;
        refill(x, f, z);
        status = rn_conv2d_naive_forward(&out, &in, &weight, NULL, 1, 1, &error);
        if (status) CHECK_TEXT(error.text, "rn_conv2d_naive_forward: ");
        done += !status, refused += status != RN_OK;
#if RN__FAST
        {
            const size_t bytes = rn_conv2d_bytes(&in, &weight, 1, 1, 1);
            char *room = (char *)net_take(bytes + 63), *at = room + rn__gap(room);
            CHECK((bytes > 0) == (status == RN_OK));
            CHECK_INT(rn_conv2d_forward(&fast, &in, &weight, NULL, 1, 1, RN_ISA_AUTO, 1, at, bytes,
                                        &error),
                      status);
            if (!status) {
                CHECK(rn_tensor_difference(fast, out) < 1e-5);
                CHECK_INT(rn_conv2d_backward(&in, &weight, NULL, &out, &in, &weight, 1, 1, 0,
                                             RN_ISA_AUTO, 1, at, bytes, &error),
                          RN_OK);
            }
            free(room);
        }
#endif
    }
    CHECK(done > 20 && refused > 100);
}

/* The workspace of convolutions of any size, told from the shapes alone: 0, or more than the images
   take. */
static void large_convolutions(void) {
    int i, told = 0;
    for (i = 0; i < 20 * NETS && RN__FAST; i++) {
        const int most = i % 2 ? 28 : 6, n = magnitude(most - 4), c = magnitude(most);
        const int h = magnitude(most), w = magnitude(most);
        rn_tensor x = {NULL, n, c, h, w, 0, 0, 0, 0};
        rn_tensor f = {NULL, magnitude(most), c, magnitude(12), magnitude(12), 0, 0, 0, 0};
        const int stride = magnitude(14), padding = draw(2) ? 0 : magnitude(14);
        const size_t bytes = rn_conv2d_bytes(&x, &f, stride, padding, magnitude(10));
        CHECK(!bytes || (double)bytes >= 4.0 * x.n * x.c * x.h * x.w);
        told += bytes > 0;
    }
    CHECK(told > 20 || !RN__FAST);
}

int main(void) {
    large_convolutions();
    random_nets();
    wide_net();
    wide_padding();
    bad_fields();
    any_input();
    empty_convolutions();
    return test_end("sizes");
}
