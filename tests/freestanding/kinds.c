/* kinds.c - small nets of every order, block, shortcut, resize, norm and stem, as one build
   computes them: their logits in millionths of the largest, a line each. Two builds must agree,
   RESNET_SMALL and the whole header. With REFUSED, what a small build refuses, in which words. */

#ifdef REFUSED
#define RESNET_KINDS                                                                    \
    (1 << RN_INPUT | 1 << RN_CONV2D | 1 << RN_BATCH_NORM | 1 << RN_RELU | 1 << RN_ADD | \
     1 << RN_LINEAR)
#endif
#define RESNET_IMPLEMENTATION
#include "../../resnet.h"
#include <stdio.h>

#include "../test.h"

enum { SIZE = 17, CHANNELS = 3, CLASSES = 5, BATCH = 2, PIXELS = CHANNELS * SIZE * SIZE };

#ifndef REFUSED
/* Numbers that no initialisation makes, so that a norm's all take part. */
static void scatter(rn_net *net) {
    const rn_key key = {8, 88, 0};
    uint64_t index = 0;
    rn_parameter p;
    memset(&p, 0, sizeof p);
    while (rn_next_parameter(net, &p))
        for (ptrdiff_t i = 0; i < p.count; i++, index++)
            if (p.dims == 1) p.data[i] += (rn_real)(rn_uniform(key, index) - 0.3) / 2;
}

/* A line for each node's value: one number in which signs and places count. What a small build
   refuses is "refused". */
static void take_features(rn_net *net, const rn_real *images, const char *name) {
    static rn_real features[64 * CHANNELS * SIZE * SIZE];
    for (int node = 1; node < net->node_count; node++) {
        const rn_node *of = &net->nodes[node];
        const int size = of->c * of->h * of->w;
        double sum = 0, all = 1e-30;
        rn_error error;
        if ((size_t)size > sizeof features / sizeof features[0]) continue;
        if (rn_features(net, rn_workspace(net), images, 1, node, features, &error)) {
            CHECK_TEXT(error.text, "compiled with RESNET_SMALL: the value of node");
            printf("%s:%d refused\n", name, node);
            continue;
        }
        for (int i = 0; i < size; i++) {
            const double term = ((i + 1) * 7919 % 17 - 8) * (double)features[i];
            sum += term, all += fabs(term);
        }
        printf("%s:%d %ld\n", name, node, lround(sum / all * 1e6));
    }
}

/* A net's lines; freezes: the second of the images by packed weights must be the same bits. */
static void predict(const rn_desc *desc, const char *name) {
    static rn_real images[BATCH * PIXELS], logits[BATCH * CLASSES], again[BATCH * CLASSES];
    const rn_key key = {9, 99, 0};
    rn_error error = {RN_OK, ""};
    rn_net *net = rn_create(desc, BATCH, RN_INFERENCE, NULL, &error);
    double largest = 0;
    if (!net) return; /* what cannot be built: the same in both */
    scatter(net);
    for (int i = 0; i < BATCH * PIXELS; i++) images[i] = (rn_real)rn_normal(key, (uint64_t)i);
    if (test_failed(!rn_predict(net, rn_workspace(net), images, BATCH, logits, &error) &&
                        !rn_freeze(net, NULL, &error) &&
                        !rn_predict(net, rn_workspace(net), images, BATCH, again, &error),
                    __FILE__, __LINE__))
        fprintf(stderr, "%s: %s\n", name, error.text);
    CHECK(!memcmp(logits, again, sizeof logits));
    for (int i = 0; i < BATCH * CLASSES; i++) largest = fmax(largest, fabs((double)logits[i]));
    for (int i = 0; i < BATCH * CLASSES; i++)
        printf("%s.%d %ld\n", name, i, lround((double)logits[i] / largest * 1e6));
    take_features(net, images, name);
    rn_destroy(net);
}

static rn_desc description(void) {
    rn_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.block = RN_BASIC;
    desc.units[0] = 2, desc.units[1] = 1;
    desc.base_width = 12; /* does not fill a block */
    desc.channels = CHANNELS, desc.height = desc.width = SIZE, desc.classes = CLASSES;
    desc.shortcut_scale = 0.5f, desc.residual_scale = 0.25f;
    return desc;
}

/* All values of one option, by the names of its list. */
static void vary(const rn_desc *desc, const char *name, const char *key,
                 const char *const *values) {
    for (int i = 0; values[i]; i++) {
        rn_desc one = *desc;
        char line[80];
        if (rn_desc_set(&one, key, values[i], NULL)) continue;
        snprintf(line, sizeof line, "%s,%s", name, values[i]);
        predict(&one, line);
    }
}

int main(void) {
    for (int order = 0; rn__order_names[order]; order++)
        for (int norm = 0; rn__norm_names[norm]; norm++) {
            rn_desc desc = description();
            char name[64];
            desc.order = (rn_order)order, desc.norm = (rn_norm)norm;
            desc.conv_bias = norm == 0, desc.weight_standardisation = norm == 1;
            snprintf(name, sizeof name, "%s,%s", rn__order_names[order], rn__norm_names[norm]);
            vary(&desc, name, "block", rn__block_names);
            vary(&desc, name, "resize", rn__resize_names);
            vary(&desc, name, "stem", rn__stem_names);
            vary(&desc, name, "shortcut", rn__shortcut_names);
            vary(&desc, name, "padding", rn__padding_names);
        }
    return test_failures != 0;
}

#else

int main(void) {
    rn_desc desc = rn_cifar(8);
    rn_error error = {RN_OK, ""};
    CHECK(!rn_create(&desc, 1, RN_TRAINING, NULL, &error));
    CHECK_TEXT(error.text, "RESNET_NO_TRAIN");
    CHECK(!rn_create(&desc, 1, RN_INFERENCE, NULL, &error));
    CHECK_TEXT(error.text, "kind pad_subsample");
    desc.resize = RN_RESIZE_B;
    CHECK(!rn_create(&desc, 1, RN_INFERENCE, NULL, &error));
    CHECK_TEXT(error.text, "kind global_avg_pool");
    desc.naive = 1;
    CHECK(!rn_create(&desc, 1, RN_INFERENCE, NULL, &error));
    CHECK_TEXT(error.text, "let desc.naive, desc.unfused be 0");
    desc.naive = 0, desc.bn_eps = 2.5; /* whose digits do not all fit 32 bits */
    CHECK_INT(rn_resolve(&desc, &error), RN_BAD_DESCRIPTION);
    CHECK_TEXT(error.text, "bn_eps is 2.50000000 and must lie in 0.00000000 to 1.00000000");
    desc.bn_eps = 0, desc.classes = 1 << 21;
    CHECK_INT(rn_resolve(&desc, &error), RN_BAD_DESCRIPTION);
    CHECK_TEXT(error.text, "classes is 2097152 and must lie in 2 to 1048576");
    return test_end("kinds");
}

#endif
