/* gradients.c - signed gradient checks of whole small nets in double: the derivative of the loss by
   elements of every parameter tensor against its central difference, for every order with every
   block, every shortcut with every order, every resize shortcut, both stems, batch norm in groups,
   dropout under its fixed mask, and the nets beside the paper's (net_members). A tensor whose
   gradient is zero fails, but for those of which net_zero_by_analysis proves it; these must be
   zero. With arguments, such as --only highway, the nets that have it, or such as --order original
   --shortcut highway, one net (--help).

   A ReLU or max-pool makes a kink in the loss. Each difference is taken with a step so small that
   no ReLU and no maximum changes its mind between its ends, which is checked on every value; if one
   does, the step is divided by ten, and if it still does at 1e-9, the check fails.

   cc -std=c99 -O2 -DRESNET_REAL=double -o gradients tests/gradients.c -lm && ./gradients */

#ifndef RESNET_REAL
#define RESNET_REAL double
#endif
#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"

#include "nets.h"

/* Elements of a tensor. */
#ifdef REDUCED
enum { SAMPLES = 2 };
#else
enum { SAMPLES = 5 };
#endif

/* ---- decisions ------------------------------------------------------------------------------- */

/* A hash of every decision of one forward pass. */
typedef struct decisions {
    uint64_t hash;
} decisions;

static void decide(decisions *d, int bit) { d->hash = rn__mix(d->hash * 2 + (uint64_t)bit); }

/* Which pixel of each window is the largest; none where padding's zeros count and win. */
static void hash_maxima(decisions *d, const rn_node *node, const rn_tensor *x) {
    int n, c, h, w, r, s, k = node->kernel;
    for (n = 0; n < x->n; n++)
        for (c = 0; c < x->c; c++)
            for (h = 0; h < node->h; h++)
                for (w = 0; w < node->w; w++) {
                    int best = -1, over = 0;
                    rn_real most = 0;
                    for (r = 0; r < k; r++)
                        for (s = 0; s < k; s++) {
                            int row = h * node->stride + r - node->padding;
                            int column = w * node->stride + s - node->padding;
                            if (row < 0 || row >= x->h || column < 0 || column >= x->w) {
                                over = node->zeros;
                                continue;
                            }
                            if (best >= 0 && *rn__at(x, n, c, row, column) <= most) continue;
                            best = r * k + s;
                            most = *rn__at(x, n, c, row, column);
                        }
                    decide(d, over && most <= 0 ? -1 : best);
                }
}

/* Has it no kink? Of a kind that is not named here, the signs of its value are decisions: that is
   right for whatever is a ReLU, and harmless for what is none. */
static int is_smooth(rn_kind kind) {
    static const rn_kind smooth[] = {RN_INPUT,     RN_CONV2D,   RN_BATCH_NORM,      RN_GATE,
                                     RN_DROPOUT,   RN_LINEAR,   RN_GLOBAL_AVG_POOL, RN_ADD,
                                     RN_SCALE,     RN_AVG_POOL, RN_PAD_SUBSAMPLE,   RN_GROUP_NORM,
                                     RN_EVONORM_S0};
    size_t i;
    for (i = 0; i < sizeof smooth / sizeof smooth[0]; i++)
        if (kind == smooth[i]) return 1;
    return 0;
}

static void probe(void *user, rn_net *net, int i, int backward) {
    const rn_node *node = &net->nodes[i];
    int source = node->kind == RN_MAX_POOL ? node->inputs[0] : i;
    const rn_node *shape = &net->nodes[source];
    ptrdiff_t count = (ptrdiff_t)net->held * shape->c * shape->h * shape->w, k;
    rn_real *data;
    rn_tensor t;
    if (backward || is_smooth(node->kind)) return;
    data = (rn_real *)net_take((size_t)count * sizeof(rn_real));
    t = rn_tensor_in(data, net->held, shape->c, shape->h, shape->w);
    CHECK_INT(rn_read_value(net, source, t, NULL), RN_OK);
    if (node->kind == RN_MAX_POOL)
        hash_maxima((decisions *)user, node, &t);
    else
        for (k = 0; k < count; k++) decide((decisions *)user, data[k] > 0);
    free(data);
}

/* ---- the check ------------------------------------------------------------------------------- */

static double worst;       /* largest error of all, relative to what it is compared with */
static int shrunk;         /* differences that took a smaller step */
static int left_out, kept; /* parameters by stochastic depth */

/* The loss and its decisions; with `backward` the gradients, too. Forward alone is a third of the
   work, but there no unit is left out. */
static double loss_of(rn_net *net, const net_batch *batch, int count, int backward,
                      decisions *made) {
    rn_result result = {0, 0};
    rn_error error;
    made->hash = 1;
    net->probe = probe;
    net->probe_user = made;
    if (net->desc.stochastic_depth > 0) backward = 1;
    if (test_failed(rn__propagate("loss_of", net, batch->images, batch->labels, count, backward,
                                  &result, &error) == RN_OK,
                    __FILE__, __LINE__))
        fprintf(stderr, "%s\n", error.text);
    net->probe = NULL;
    return result.loss;
}

/* Central difference, with *step at most; sets *step to the one taken, 0 if there was none without
   a kink. */
static double difference(rn_net *net, const net_batch *batch, int count, rn_real *at,
                         double *step) {
    const rn_real before = *at;
    double slope = 0;
    for (; *step > 5e-10; *step /= 10) {
        decisions up, down;
        double more, less;
        *at = before + *step;
        more = loss_of(net, batch, count, 0, &up);
        *at = before - *step;
        less = loss_of(net, batch, count, 0, &down);
        *at = before;
        slope = (more - less) / (2 * *step);
        if (up.hash == down.hash) return slope;
        shrunk++;
    }
    *step = 0;
    return slope;
}

/* The difference's error but for terms of step^4, by another of half the step (Richardson). */
static double finer_difference(rn_net *net, const net_batch *batch, int count, rn_real *at,
                               double slope, double step) {
    double half = step / 2;
    const double other = difference(net, batch, count, at, &half);
    return half * 2 < step ? slope : other + (other - slope) / 3;
}

/* Truncation is about step^2 and rounding 1e-16 / step, of losses about 1. */
static void check_tensor(rn_net *net, const net_batch *batch, int count, const rn_parameter *p,
                         const rn_real *gradient, double net_largest_gradient) {
    const rn_desc *desc = &net->desc;
    double own = net_largest(gradient, p->count), least = 1e-3 * net_largest_gradient;
    int zero = net_zero_by_analysis(net, p), i, samples = SAMPLES;
    *(net_left_out(net, p->node) ? &left_out : &kept) += desc->stochastic_depth > 0;
    if (zero)
        net_check(own <= (net_left_out(net, p->node) ? 0 : 1e-11) * net_largest_gradient, __LINE__,
                  desc, p->name, own, 0);
    else
        net_check(own >= 1e-7 * net_largest_gradient, __LINE__, desc, p->name, own, 0);
    if (p->count < samples) samples = (int)p->count;
    for (i = 0; i < samples; i++) {
        /* the first, the last and some between, spread over all four dimensions */
        ptrdiff_t k = i == 0 ? 0 : i == 1 ? p->count - 1 : (p->count * i / samples + 5) % p->count;
        double step = 1e-5, slope = difference(net, batch, count, &p->data[k], &step);
        const double scale = fmax(fmax(own, least), 1e-30);
        const double limit = fmax(1e-6, 1e-11 / fmax(step, 1e-30));
        double error = fabs(slope - (double)gradient[k]) / scale;
        net_check(step > 0, __LINE__, desc, p->name, (double)k, 0);
        if (error > limit && error < 100 * limit) {
            slope = finer_difference(net, batch, count, &p->data[k], slope, step);
            error = fabs(slope - (double)gradient[k]) / scale;
        }
        net_check(error <= limit, __LINE__, desc, p->name, error, limit);
        worst = fmax(worst, error);
    }
}

/* Is a gradient zero, for no reason but that a ReLU lets nothing through of these images? */
static int is_dead(const rn_net *net) {
    const double most = net_largest(net->gradients, net->trained_count);
    rn_parameter p;
    memset(&p, 0, sizeof p);
    while (rn_next_parameter(net, &p))
        if (p.gradient && !net_zero_by_analysis(net, &p) &&
            net_largest(p.gradient, p.count) < 1e-7 * most)
            return 1;
    return 0;
}

static int weighted; /* classes have weights */

static void check_net(const rn_desc *desc, int batch, int count, uint64_t seed) {
    static const rn_real weights[4] = {1, 0.5, 0, 3};
    rn_net *net = net_create(desc, batch, RN_TRAINING);
    net_batch images;
    rn_real *gradients;
    rn_parameter p;
    decisions made;
    double most;
    int tries;
    if (!net) return;
    net->step = 5; /* dropout's mask depends on it */
    net->class_weights = weighted ? weights : NULL;
    images = net_draw_batch(&net->desc, count, seed);
    gradients = (rn_real *)net_take((size_t)net->trained_count * sizeof(rn_real));
    for (tries = 0; tries < 20; tries++) {
        net_draw(net, seed + (uint64_t)tries * 1000003);
        loss_of(net, &images, count, 1, &made);
        if (!is_dead(net)) break;
    }
    memcpy(gradients, net->gradients, (size_t)net->trained_count * sizeof(rn_real));
    most = net_largest(gradients, net->trained_count);
    memset(&p, 0, sizeof p);
    while (rn_next_parameter(net, &p))
        if (p.gradient)
            check_tensor(net, &images, count, &p, gradients + (p.gradient - net->gradients), most);
    net_free_batch(&images);
    free(gradients);
    rn_destroy(net);
}

static void check_members(uint64_t seed) {
    int i;
    for (i = 0; i < NET_MEMBERS; i++) {
        rn_desc desc = net_member(i);
        check_net(&desc, 3, 3, seed++);
        if (i % 8) continue;
        desc.micro_batch = desc.bn_group = 2; /* the last part of a batch that is not full: 1 */
        check_net(&desc, 6, 5, seed++);
    }
}

/* Stochastic depth: every order, block, shortcut and resize, each with units that are left out and
   units that are not. */
static void check_depth(uint64_t seed) {
    int i;
    for (i = 0; i < ORDERS * SHORTCUTS; i++) {
        rn_desc desc =
            net_desc((rn_order)(i % ORDERS), (rn_block)(RN_BASIC + i % 3),
                     (rn_shortcut)(i / ORDERS), (rn_resize)(RN_RESIZE_A + i % 6), RN_STEM_CIFAR);
        desc.stochastic_depth = 0.8f;
        desc.seed = (uint64_t)i;
        desc.conv_bias = i % 2;
        desc.raw_identity = i % 5 == 0;
        check_net(&desc, 3, 3, seed++);
    }
    CHECK(left_out > 20 && kept > 20);
}

static void check_all(void) {
    static const rn_order orders[] = {RN_FULL_PREACT, RN_ORIGINAL, RN_BN_AFTER_ADD,
                                      RN_RELU_BEFORE_ADD, RN_RELU_PREACT};
    uint64_t seed = 1;
    rn_desc desc;
    int order, block, i;
    for (order = 0; order < ORDERS; order++)
        for (block = RN_BASIC; block < BLOCKS; block++) {
            /* every resize: each with every order and every block */
            for (i = RN_RESIZE_A; i < RESIZES; i++) {
                desc = net_desc(orders[order], (rn_block)block, RN_SHORTCUT_IDENTITY, (rn_resize)i,
                                RN_STEM_CIFAR);
                check_net(&desc, 3, 3, seed++);
            }
            desc = net_desc(orders[order], (rn_block)block, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO,
                            RN_STEM_IMAGENET);
            check_net(&desc, 3, 3, seed++);
        }
    for (order = 0; order < ORDERS; order++)
        for (i = RN_SHORTCUT_SCALE; i < SHORTCUTS; i++) {
            desc = net_desc(orders[order], order % 2 ? RN_BOTTLENECK : RN_BASIC, (rn_shortcut)i,
                            order % 2 ? RN_RESIZE_A_CENTRED : RN_RESIZE_B_BN, RN_STEM_CIFAR);
            check_net(&desc, 3, 3, seed++);
            /* statistics of groups; the last of them one image, of a batch that is not full */
            desc.block = RN_SINGLE;
            desc.stride_on = RN_STRIDE_3X3;
            desc.bn_group = 2;
            check_net(&desc, 6, 5, seed++);
        }
    /* three stages, a bottleneck that strides on its 3x3 */
    desc =
        net_desc(RN_FULL_PREACT, RN_BOTTLENECK, RN_SHORTCUT_IDENTITY, RN_RESIZE_B, RN_STEM_CIFAR);
    desc.units[2] = 2;
    desc.stride_on = RN_STRIDE_3X3;
    check_net(&desc, 3, 3, seed++);
    desc.order = RN_RELU_BEFORE_ADD;
    desc.resize = RN_RESIZE_B_BN;
    check_net(&desc, 3, 3, seed++);
    /* padding more behind than in front, in both stems */
    desc.padding = RN_PADDING_SAME;
    desc.resize = RN_RESIZE_D_BN;
    desc.height = 8, desc.width = 12;
    check_net(&desc, 3, 3, seed++);
    desc.stem = RN_STEM_IMAGENET;
    desc.order = RN_ORIGINAL;
    desc.height = 32, desc.width = 24;
    desc.units[2] = 0;
    check_net(&desc, 3, 3, seed++);
    desc.label_smoothing = 0.3; /* and class weights, of parts of a batch */
    desc.micro_batch = 2;
    weighted = 1;
    check_net(&desc, 4, 4, seed++);
    weighted = 0;
    check_members(seed);
    check_depth(seed);
}

static void check_asked(const rn_desc *desc, uint64_t seed) { check_net(desc, 3, 3, seed); }

int main(int argc, char **argv) {
    rn_desc desc;
    if (!net_only(argc, argv, check_asked)) {
        if (net_arguments(argc, argv, "checks gradients of every kind of net", &desc))
            check_net(&desc, 3, 3, 1);
        else
            check_all();
    }
    printf("gradients: largest error %.1e; %d differences took a smaller step\n", worst, shrunk);
    return test_end("gradients");
}
