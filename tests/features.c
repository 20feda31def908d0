/* features.c - the value of every node in inference: a naive net's by what its nodes say, a fast
   net's by those of the naive one, whether it stores them, reads through them, or goes on with them
   in one step. Every order, block, shortcut, resize shortcut, stem and norm; nets for inference and
   for training, whole batches and parts, one and two threads, frozen and not. The net is only read,
   nothing but the features is written, and the pass ends with the node. With arguments, such as
   --order original, one net (--help).

   cc -std=c99 -O2 -fopenmp -o features tests/features.c -lm && ./features */

#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"

#include "nets.h"

#include "count_work.h"

#define BOUND 1e-4 /* of a value, relative to its largest magnitude; errors of whole nets pile up */

#ifdef REDUCED
enum { EVERY = 53 };
#else
enum { EVERY = 11 }; /* of the combinations, in an order that mixes them */
#endif
enum { BATCH = 5, GUARD = 64 };

static rn_error error;
static double worst;
static int stored, alone, in_place; /* nodes of fast nets by how their value is come by */

#define OK(call)                                              \
    do {                                                      \
        rn_status status_ = (call);                           \
        CHECK_INT(status_, RN_OK);                            \
        if (status_) fprintf(stderr, "    %s\n", error.text); \
    } while (0)
#define FAILS(call, expected, part)        \
    do {                                   \
        memset(&error, 0, sizeof error);   \
        CHECK_INT(call, expected);         \
        CHECK_INT(error.status, expected); \
        CHECK_TEXT(error.text, part);      \
    } while (0)

/* Aligned to 64 in `block`, with a guard behind. */
static char *take_workspace(const rn_net *net, void **block) {
    const size_t bytes = rn_predict_bytes(net);
    char *workspace;
    *block = net_take(bytes + 63 + GUARD);
    workspace = (char *)*block + (64 - (uintptr_t)*block % 64) % 64;
    memset(workspace + bytes, 0x5a, GUARD);
    return workspace;
}

static int all_are(const void *memory, size_t bytes, int value) {
    const unsigned char *b = (const unsigned char *)memory;
    size_t i;
    for (i = 0; i < bytes; i++)
        if (b[i] != value) return 0;
    return 1;
}

static ptrdiff_t size_of(const rn_net *net, int node) {
    const rn_node *n = &net->nodes[node];
    return (ptrdiff_t)n->c * n->h * n->w;
}

/* The features of all nodes, one array each; nothing but these and the workspace is written. */
static rn_real **take_all(const rn_net *net, const rn_real *images, int count) {
    rn_real **all = (rn_real **)net_take((size_t)net->node_count * sizeof *all);
    const size_t head = (size_t)((char *)net->executor->activations - (char *)net);
    void *block, *before = net_take(head);
    char *workspace = take_workspace(net, &block);
    int i;
    memcpy(before, net, head);
    for (i = 0; i < net->node_count; i++) {
        const size_t bytes = (size_t)(count * size_of(net, i)) * sizeof(rn_real);
        all[i] = (rn_real *)net_take(bytes + GUARD);
        memset((char *)all[i] + bytes, 0x5a, GUARD);
        memset(workspace, 0xff, rn_predict_bytes(net)); /* whatever was there before */
        OK(rn_features(net, workspace, images, count, i, all[i], &error));
        CHECK(all_are((char *)all[i] + bytes, GUARD, 0x5a));
    }
    CHECK(all_are(workspace + rn_predict_bytes(net), GUARD, 0x5a));
    CHECK(!memcmp(before, net, head));
    free(before);
    free(block);
    return all;
}

static void free_all(const rn_net *net, rn_real **all) {
    int i;
    for (i = 0; i < net->node_count; i++) free(all[i]);
    free(all);
}

/* Nodes whose value is plain by that of their inputs; and both ends. */
static void check_naive(const rn_net *net, rn_real **all, const rn_real *images, int count) {
    int i;
    CHECK(!memcmp(all[0], images, (size_t)(count * size_of(net, 0)) * sizeof(rn_real)));
    for (i = 1; i < net->node_count; i++) {
        const rn_node *node = &net->nodes[i];
        const rn_real *x = all[node->inputs[0]];
        const rn_real *z = node->inputs[1] < 0 ? NULL : all[node->inputs[1]];
        const ptrdiff_t inputs = count * size_of(net, node->inputs[0]);
        ptrdiff_t k, numbers = count * size_of(net, i), wrong = 0;
        for (k = 0; k < numbers; k++) {
            const double x0 = (double)x[k % inputs], z0 = z ? (double)z[k] : 0;
            double should = (double)all[i][k];
            if (node->kind == RN_RELU) should = x0 > 0 ? x0 : 0;
            if (node->kind == RN_ADD) should = x0 + z0;
            if (node->kind == RN_SCALE) should = (double)node->scale * x0;
            wrong += !(fabs((double)all[i][k] - should) <= 1e-6 * (fabs(x0) + fabs(z0)));
        }
        CHECK_INT(wrong, 0);
    }
}

static void count_ways(const rn_net *net) {
    int i;
    for (i = 1; i < net->node_count && !net->desc.naive; i++) {
        const rn__source_value from = rn__source_of(net, i);
        if (from.alone >= 0)
            alone++;
        else if (from.stored == i)
            stored++;
        if (from.stored != i) in_place++;
    }
}

/* The last value is the logits, to the bit. */
static void check_logits(const rn_net *net, rn_real **all, const rn_real *images, int count) {
    const size_t bytes = (size_t)(count * net->desc.classes) * sizeof(rn_real);
    rn_real *logits = (rn_real *)net_take(bytes);
    void *block;
    OK(rn_predict(net, take_workspace(net, &block), images, count, logits, &error));
    CHECK(!memcmp(logits, all[net->node_count - 1], bytes));
    free(logits);
    free(block);
}

static void check_fast(const rn_net *naive, rn_real **expected, const rn_desc *desc, rn_mode mode,
                       const rn_real *images, int count) {
    rn_net *fast = net_create(desc, BATCH, mode);
    rn_real **all, **frozen;
    int i;
    memcpy(fast->parameters, naive->parameters, (size_t)fast->parameter_count * sizeof(rn_real));
    memcpy(fast->statistics, naive->statistics, (size_t)fast->statistic_count * sizeof(rn_real));
    all = take_all(fast, images, count);
    check_logits(fast, all, images, count);
    OK(rn_freeze(fast, NULL, &error));
    frozen = take_all(fast, images, count);
    for (i = 0; i < fast->node_count; i++) {
        const rn_node *n = &fast->nodes[i];
        const rn_tensor to = rn_tensor_in(expected[i], count, n->c, n->h, n->w);
        const double difference =
            rn_tensor_difference(rn_tensor_in(all[i], count, n->c, n->h, n->w), to);
        char name[64];
        rn_node_name(fast, i, name);
        net_check(difference <= BOUND, __LINE__, desc, name, difference, BOUND);
        worst = fmax(worst, difference);
        CHECK(!memcmp(all[i], frozen[i], (size_t)(count * size_of(fast, i)) * sizeof(rn_real)));
    }
    count_ways(fast);
    free_all(fast, all);
    free_all(fast, frozen);
    rn_destroy(fast);
}

static void check_one(const rn_desc *asked, int variant) {
    const int count = BATCH - variant % 2;
    rn_desc desc = *asked;
    net_batch batch = net_draw_batch(&desc, BATCH, (uint64_t)variant);
    rn_net *naive;
    rn_real **expected;
    desc.naive = 1;
    naive = net_create(&desc, BATCH, RN_INFERENCE);
    net_draw(naive, (uint64_t)variant);
    expected = take_all(naive, batch.images, count);
    check_naive(naive, expected, batch.images, count);
    check_logits(naive, expected, batch.images, count);
    desc.naive = 0;
    desc.threads = 1 + variant / 2 % 2;
    desc.direct = variant / 3 % 2;
    desc.micro_batch = variant % 3 ? 0 : 2;
    check_fast(naive, expected, &desc, variant % 5 ? RN_INFERENCE : RN_TRAINING, batch.images,
               count);
    free_all(naive, expected);
    rn_destroy(naive);
    net_free_batch(&batch);
}

/* All but what a description refuses: a norm that activates where BN or ReLU is alone. */
static void check_all(void) {
    int i, nets = 0;
    for (i = 0; i < ORDERS * (BLOCKS - 1) * SHORTCUTS * RESIZES * 4; i += EVERY) {
        static const int units[] = {1, 2, 1};
        rn_desc desc = net_desc((rn_order)(i % ORDERS), (rn_block)(1 + i / 5 % (BLOCKS - 1)),
                                (rn_shortcut)(i / 15 % SHORTCUTS), (rn_resize)(i / 105 % RESIZES),
                                (rn_stem)(i / 630 % 4));
        rn_desc refused;
        desc.norm = (rn_norm)(i / EVERY % 4 % 3);
        desc.weight_standardisation = i / EVERY % 7 == 0;
        desc.conv_bias = i / EVERY % 3 == 1;
        desc.bare_stem = i / EVERY % 5 == 2;
        desc.raw_identity = i / EVERY % 4 == 2;
        desc.always_project = i / EVERY % 6 == 1;
        desc.base_width = 6;
        desc.norm_groups = 2;
        memcpy(desc.units, units, sizeof units);
        if (desc.stem != RN_STEM_CIFAR) desc.height = 21, desc.width = 19;
        refused = desc;
        if (rn_resolve(&refused, NULL)) continue;
        check_one(&desc, i / EVERY);
        nets++;
    }
    printf("features: %d nets\n", nets);
    CHECK(nets > 30);
    if (!RN__FAST) return;
    printf("features: %d values stored, %d behind a convolution alone, %d made in place\n", stored,
           alone, in_place);
    CHECK(stored > 100 && alone > 100 && in_place > 100);
}

/* Names and back. */
static void test_names(void) {
    rn_desc desc = rn_imagenet(50);
    rn_net *net;
    int i;
    desc.stem = RN_STEM_DEEP;
    desc.base_width = 2;
    desc.height = desc.width = 32;
    net = net_create(&desc, 1, RN_INFERENCE);
    for (i = 0; i < net->node_count; i++) {
        char name[64];
        rn_node_name(net, i, name);
        CHECK_INT(rn_find_node(net, name), i);
    }
    CHECK_INT(net->nodes[rn_find_node(net, "layer3.1.add")].kind, RN_ADD);
    CHECK_INT(rn_find_node(net, "layer3.1"), -1);
    CHECK_INT(rn_find_node(net, ""), -1);
    rn_destroy(net);
}

static void test_refusals(void) {
    const rn_desc desc =
        net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, RN_STEM_CIFAR);
    rn_net *net = net_create(&desc, BATCH, RN_INFERENCE);
    net_batch batch = net_draw_batch(&desc, BATCH, 1);
    const int node = rn_find_node(net, "layer1.1.add");
    char *workspace = (char *)rn_workspace(net);
    const ptrdiff_t size = size_of(net, node);
    rn_real *features = (rn_real *)net_take((size_t)(BATCH * size) * sizeof(rn_real));
    rn_parameter p;
    FAILS(rn_features(net, workspace, batch.images, 1, -1, features, &error), RN_BAD_ARGUMENT,
          "see rn_find_node");
    FAILS(rn_features(net, workspace, batch.images, 1, net->node_count, features, &error),
          RN_BAD_ARGUMENT, "nodes 0 to");
    FAILS(rn_features(net, workspace, batch.images, BATCH + 1, node, features, &error),
          RN_BAD_ARGUMENT, "this net takes 1 to 5");
    FAILS(rn_features(net, workspace, batch.images, 1, node, NULL, &error), RN_BAD_ARGUMENT,
          "features must not be NULL");
    FAILS(rn_features(net, workspace, NULL, 1, node, features, &error), RN_BAD_ARGUMENT, "NULL");
    FAILS(rn_features(net, workspace + 4, batch.images, 1, node, features, &error), RN_BAD_ARGUMENT,
          "aligned to 64");
    FAILS(rn_features(net, NULL, batch.images, 1, node, features, &error), RN_BAD_ARGUMENT,
          "workspace must be");
    /* What comes behind the node does not matter. */
    CHECK_INT(rn_find_parameter(net, "fc.bias", &p), 1);
    p.data[0] = (rn_real)HUGE_VAL;
    OK(rn_features(net, workspace, batch.images, BATCH, node, features, &error));
    FAILS(rn_features(net, workspace, batch.images, 1, net->node_count - 1, features, &error),
          RN_NOT_FINITE, "image 0");
    batch.images[2 * net_image_count(&desc, 1)] = (rn_real)HUGE_VAL;
    FAILS(rn_features(net, workspace, batch.images, BATCH, node, features, &error), RN_NOT_FINITE,
          "features of image 2");
    free(features);
    net_free_batch(&batch);
    rn_destroy(net);
}

/* The first of seven units takes less than half of the work of all. */
static void test_work(void) {
    static const char *const names[] = {"layer1.0.add", "pool"};
    long long work[2];
    rn_desc desc = rn_cifar(44);
    rn_net *net;
    net_batch batch;
    rn_real *features;
    int i;
    desc.direct = 1; /* all by conv_rows */
    net = net_create(&desc, 2, RN_INFERENCE);
    batch = net_draw_batch(&net->desc, 2, 1);
    features = (rn_real *)net_take((size_t)(2 * size_of(net, 1)) * sizeof(rn_real));
    count_work(net);
    for (i = 0; i < 2; i++) {
        calls[0] = 0;
        OK(rn_features(net, rn_workspace(net), batch.images, 2, rn_find_node(net, names[i]),
                       features, &error));
        work[i] = calls[0];
    }
    CHECK(work[0] > 0 && work[0] < work[1] / 2);
    free(features);
    net_free_batch(&batch);
    rn_destroy(net);
}

int main(int argc, char **argv) {
    rn_desc desc;
    int i;
    if (net_arguments(argc, argv, "compares the features of every kind of net", &desc)) {
        for (i = 0; i < 30; i++) check_one(&desc, i);
    } else {
        check_all();
        test_names();
        test_refusals();
        test_work();
    }
    printf("features: largest difference of a fast value %.1e\n", worst);
    return test_end("features");
}
