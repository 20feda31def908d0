/* depth.c - stochastic depth: how often units are left out, that it depends on seed, step and unit
   alone, what a step does to what it leaves out (nothing), how much work that saves, and what
   inference makes of it. That the naive and the fast execution agree, and the gradients, see
   tests/executors and tests/gradients.

   cc -std=c99 -O2 -fopenmp -o depth tests/depth.c -lm -lpthread && ./depth */

#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"

#include "nets.h"

#include "count_work.h"

enum { IMAGES = 32, STEPS = 8 };

#define BOUND 2e-5 /* of values of whole nets, relative to the largest */

static rn_desc deep(rn_order order, rn_block block, float stochastic_depth) {
    rn_desc desc = net_desc(order, block, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, RN_STEM_CIFAR);
    desc.units[0] = 3, desc.units[1] = 2;
    desc.base_width = 6;
    desc.stochastic_depth = stochastic_depth;
    return desc;
}

/* Is this unit, from 0 over all stages, left out of the last training pass? */
static int is_out(const rn_net *net, int unit) {
    rn_unit u;
    memset(&u, 0, sizeof u);
    while (unit-- >= 0)
        if (!rn_next_unit(net, &u)) exit(2);
    return rn__operation_of(net, u.add)->left_out;
}

static int count_out(const rn_net *net, int units) {
    int unit, out = 0;
    for (unit = 0; unit < units; unit++) out += is_out(net, unit);
    return out;
}

/* ---- draws ----------------------------------------------------------------------------------- */

/* A frequency of n draws lies within 4.5 deviations: once in 150,000 times it would not. */
static void check_frequency(int met, int n, double p) {
    CHECK_NEAR(met, n * p, 4.5 * sqrt(n * p * (1 - p)));
}

static void check_rates(void) {
    enum { DRAWS = 6000, UNITS = 5 };
    rn_desc desc = deep(RN_FULL_PREACT, RN_BASIC, 0.7f);
    int seed, step, l, other = 0;
    static char first[DRAWS][UNITS]; /* those of seed 0 */
    for (seed = 0; seed < 2; seed++) {
        int out[UNITS] = {0}, both[UNITS] = {0}, again[UNITS] = {0}, before[UNITS] = {0};
        rn_net *net;
        desc.seed = (uint64_t)seed;
        net = net_create(&desc, 2, RN_TRAINING);
        for (step = 0; step < DRAWS; step++) {
            net->step = (uint64_t)step;
            rn__draw_units(net, 0);
            for (l = 0; l < UNITS; l++) {
                const int is = is_out(net, l);
                out[l] += is;
                both[l] += l && is && is_out(net, l - 1);
                again[l] += is && before[l];
                if (!seed) first[step][l] = (char)is;
                other += first[step][l] != is;
                before[l] = is;
            }
        }
        for (l = 0; l < UNITS; l++) {
            const double p = 0.7 * (l + 1) / UNITS, q = 0.7 * l / UNITS;
            check_frequency(out[l], DRAWS, p);
            check_frequency(again[l], DRAWS, p * p);       /* steps are independent, */
            if (l) check_frequency(both[l], DRAWS, p * q); /* and units */
        }
        rn_destroy(net);
    }
    CHECK(other > DRAWS); /* another seed draws others */
}

/* ---- bits ------------------------------------------------------------------------------------ */

/* Trains from step `first` on; returns a net that has all that the steps changed. */
static rn_net *train(const rn_desc *desc, const net_batch *batch, int first, int end,
                     const char *from) {
    rn_net *net = net_create(desc, IMAGES, RN_TRAINING);
    rn_error error = {RN_OK, ""};
    int step;
    if (!net) exit(2);
    if (from && test_failed(!rn_load(net, from, NULL, &error), "depth", __LINE__))
        fprintf(stderr, "%s\n", error.text);
    for (step = first; step < end; step++)
        CHECK_INT(rn_train_step(net, batch->images, batch->labels, IMAGES, 0.02, NULL, NULL), 0);
    return net;
}

static void same_as(rn_net *net, const rn_net *other) {
    const size_t parameters = (size_t)net->parameter_count * sizeof(rn_real);
    CHECK(!memcmp(net->parameters, other->parameters, parameters));
    CHECK(!memcmp(net->velocity, other->velocity, parameters));
    CHECK(!memcmp(net->statistics, other->statistics,
                  (size_t)net->statistic_count * sizeof(rn_real)));
    rn_destroy(net);
}

static void check_bits(void) {
    static const char path[] = "depth.tmp.ckpt";
    int order;
    for (order = 0; order < ORDERS; order++) {
        rn_desc desc = deep((rn_order)order, order % 2 ? RN_BOTTLENECK : RN_BASIC, 0.8f), other;
        net_batch batch = net_draw_batch(&desc, IMAGES, 3);
        rn_net *whole, *part;
        desc.bn_group = 16;
        whole = train(&desc, &batch, 0, STEPS, NULL);
        other = desc;
        for (other.threads = 2; other.threads <= 4; other.threads += 2)
            same_as(train(&other, &batch, 0, STEPS, NULL), whole);
        other = desc, other.micro_batch = 16;
        same_as(train(&other, &batch, 0, STEPS, NULL), whole);
        other = desc, other.budget = whole->bytes - whole->bytes / 8;
        part = train(&other, &batch, 0, STEPS, NULL);
        CHECK(part->bytes <= other.budget);
        same_as(part, whole);
        part = train(&desc, &batch, 0, 3, NULL);
        CHECK_INT(rn_save_checkpoint(part, path, NULL, NULL), RN_OK);
        rn_destroy(part);
        same_as(train(&desc, &batch, 3, STEPS, path), whole);
        remove(path);
        rn_destroy(whole);
        net_free_batch(&batch);
    }
}

/* ---- what a step leaves alone ---------------------------------------------------------------- */

/* The parameters and statistics of what is left out: gradients of zero, velocity and weight by
   momentum and decay alone, the same running statistics; of all else they move. */
static void check_step(rn_net *net, const net_batch *batch, int *left_out) {
    const size_t bytes = (size_t)net->parameter_count * sizeof(rn_real);
    const size_t statistics = (size_t)net->statistic_count * sizeof(rn_real);
    rn_real *weights = (rn_real *)net_take(bytes), *velocity = (rn_real *)net_take(bytes);
    rn_real *running = (rn_real *)net_take(statistics);
    rn_parameter p;
    memcpy(weights, net->parameters, bytes);
    memcpy(velocity, net->velocity, bytes);
    memcpy(running, net->statistics, statistics);
    CHECK_INT(rn_backpropagate(net, batch->images, batch->labels, IMAGES, NULL, NULL), RN_OK);
    memset(&p, 0, sizeof p);
    while (rn_next_parameter(net, &p)) {
        const int out = p.gradient && net_left_out(net, p.node);
        if (out || p.role == RN_CONV_WEIGHT) CHECK_INT(net_largest(p.gradient, p.count) > 0, !out);
        *left_out += out;
    }
    CHECK_INT(rn_update(net, 0.1, NULL), RN_OK);
    net->step--; /* for net_left_out */
    memset(&p, 0, sizeof p);
    while (rn_next_parameter(net, &p)) {
        const int out = net_left_out(net, p.node);
        if (!p.gradient) {
            CHECK_INT(!memcmp(p.data, running + (p.data - net->statistics),
                              (size_t)p.count * sizeof(rn_real)),
                      out);
        } else if (out) {
            const ptrdiff_t at = p.data - net->parameters;
            const double v = net->desc.momentum * (double)velocity[at] +
                             net->desc.weight_decay * (double)weights[at];
            CHECK_NEAR(p.velocity[0], v, 1e-6);
            CHECK_NEAR(p.data[0], (double)weights[at] - 0.1 * v, 1e-6);
        }
    }
    net->step++;
    free(weights), free(velocity), free(running);
}

static void check_steps(void) {
    int order, naive, step, left_out = 0;
    for (order = 0; order < ORDERS; order++)
        for (naive = 0; naive < 2; naive++) {
            rn_desc desc = deep((rn_order)order, RN_BASIC, 0.8f);
            net_batch batch = net_draw_batch(&desc, IMAGES, 5);
            rn_net *net;
            desc.naive = naive;
            desc.weight_decay = 0.01;
            net = net_create(&desc, IMAGES, RN_TRAINING);
            for (step = 0; step < 5; step++) check_step(net, &batch, &left_out);
            rn_destroy(net);
            net_free_batch(&batch);
        }
    CHECK(left_out > 100);
}

/* ---- without units --------------------------------------------------------------------------- */

/* Multiplies what each residual function ends in, its last norm or convolution, by a factor. */
static void scale_units(rn_net *net, float stochastic_depth, int units, int to_zero) {
    const int norms = net->desc.order == RN_ORIGINAL || net->desc.order == RN_RELU_BEFORE_ADD ||
                      net->desc.order == RN_RELU_PREACT;
    int l = 0;
    rn_unit u;
    memset(&u, 0, sizeof u);
    while (rn_next_unit(net, &u)) {
        const double factor = to_zero ? 0 : 1 - (double)stochastic_depth * ++l / units;
        char name[64], wanted[80];
        rn_parameter p;
        snprintf(wanted, sizeof wanted, "layer%d.%d.%s2.", u.stage, u.unit, norms ? "bn" : "conv");
        memset(&p, 0, sizeof p);
        while (rn_next_parameter(net, &p)) {
            ptrdiff_t i;
            snprintf(name, sizeof name, "%s", p.name);
            if (strncmp(name, wanted, strlen(wanted)) || p.role == RN_RUNNING_MEAN ||
                p.role == RN_RUNNING_VAR)
                continue;
            for (i = 0; i < p.count; i++) p.data[i] = (rn_real)((double)p.data[i] * factor);
        }
    }
}

/* A step that leaves out all units is one of a net whose residual functions are zero. */
static void check_all_out(int order) {
    rn_desc desc = deep((rn_order)order, RN_BASIC, 0.99f), plain;
    net_batch batch;
    rn_net *net, *zero;
    rn_parameter p, q;
    int i, compared = 0;
    desc.units[0] = 2, desc.units[1] = 1;
    batch = net_draw_batch(&desc, IMAGES, 7);
    plain = desc, plain.stochastic_depth = 0;
    net = net_create(&desc, IMAGES, RN_TRAINING);
    zero = net_create(&plain, IMAGES, RN_TRAINING);
    net_draw(net, 9), net_draw(zero, 9);
    scale_units(zero, 0, 3, 1);
    for (rn__draw_units(net, 0); count_out(net, 3) < 3; rn__draw_units(net, 0)) net->step++;
    CHECK_INT(rn_backpropagate(net, batch.images, batch.labels, IMAGES, NULL, NULL), RN_OK);
    CHECK_INT(rn_backpropagate(zero, batch.images, batch.labels, IMAGES, NULL, NULL), RN_OK);
    for (i = 0; i < IMAGES * desc.classes; i++) CHECK_NEAR(net->logits[i], zero->logits[i], 1e-5);
    memset(&p, 0, sizeof p), memset(&q, 0, sizeof q);
    while (rn_next_parameter(net, &p) && rn_next_parameter(zero, &q))
        for (i = 0; i < p.count && p.gradient && !net_left_out(net, p.node); i++, compared++)
            CHECK_NEAR(p.gradient[i], q.gradient[i], 1e-5);
    CHECK(compared > 100);
    net_free_batch(&batch);
    rn_destroy(net), rn_destroy(zero);
}

/* ---- work ------------------------------------------------------------------------------------ */

/* All units alike: each that is left out saves the same number of calls, forward and backward. */
static void check_work(void) {
    enum { UNITS = 4 };
    rn_desc desc = deep(RN_FULL_PREACT, RN_BASIC, 0.9f), plain;
    net_batch batch = net_draw_batch(&desc, IMAGES, 1);
    long long all[2], unit[2];
    int step, met[UNITS + 1] = {0}, without;
    rn_net *net;
    desc.direct = 1; /* all by conv_rows */
    desc.raw_identity = 1;
    for (without = 0; without < 3; without++) { /* none, one and four that are never left out */
        plain = desc;
        plain.stochastic_depth = without == 2 ? desc.stochastic_depth : 0;
        plain.units[0] = without == 0 ? 1 : UNITS, plain.units[1] = 0;
        net = net_create(&plain, IMAGES, RN_TRAINING);
        count_work(net);
        for (step = 0; step < (without == 2 ? 40 : 1); step++) {
            calls[0] = calls[1] = 0;
            CHECK_INT(rn_train_step(net, batch.images, batch.labels, IMAGES, 0.01, NULL, NULL), 0);
            if (without == 0) memcpy(unit, calls, sizeof unit);
            if (without == 1) memcpy(all, calls, sizeof all);
            if (without == 1) unit[0] = (all[0] - unit[0]) / 3, unit[1] = (all[1] - unit[1]) / 3;
            if (without < 2) continue;
            CHECK_INT(calls[0], all[0] - count_out(net, UNITS) * unit[0]);
            CHECK_INT(calls[1], all[1] - count_out(net, UNITS) * unit[1]);
            met[count_out(net, UNITS)]++;
        }
        rn_destroy(net);
    }
    CHECK(unit[0] > 0 && unit[1] > 0 && all[0] > UNITS * unit[0]);
    CHECK(met[1] && met[2] && met[3]);
    net_free_batch(&batch);
}

/* ---- inference ------------------------------------------------------------------------------- */

static int read_image(void *user, ptrdiff_t index, uint8_t *pixels, int *label) {
    const rn_desc *desc = (const rn_desc *)user;
    const rn_key key = {5, 99, 0};
    int i;
    for (i = 0; i < desc->channels * desc->height * desc->width; i++)
        pixels[i] = (uint8_t)(rn_random(key, (uint64_t)(index * 1000 + i)) & 255);
    *label = (int)(index % desc->classes);
    return 0;
}

/* The value of a node, which both have, for inference. */
static void same_features(rn_net *a, rn_net *b, const net_batch *batch, const char *name) {
    const int i = rn_find_node(a, name), k = rn_find_node(b, name);
    const rn_node *node = &a->nodes[i < 0 ? 0 : i];
    const ptrdiff_t count = (ptrdiff_t)IMAGES * node->c * node->h * node->w;
    rn_real *x = (rn_real *)net_take((size_t)count * sizeof(rn_real));
    rn_real *y = (rn_real *)net_take((size_t)count * sizeof(rn_real));
    CHECK_INT(rn_features(a, rn_workspace(a), batch->images, IMAGES, i, x, NULL), RN_OK);
    CHECK_INT(rn_features(b, rn_workspace(b), batch->images, IMAGES, k, y, NULL), RN_OK);
    CHECK_NEAR(rn_tensor_difference(rn_tensor_in(x, (int)count, 1, 1, 1),
                                    rn_tensor_in(y, (int)count, 1, 1, 1)),
               0, BOUND);
    free(x), free(y);
}

static void same_logits(rn_net *a, rn_net *b, const net_batch *batch) {
    const int count = IMAGES * a->desc.classes;
    rn_real *x = (rn_real *)net_take((size_t)count * sizeof(rn_real));
    rn_real *y = (rn_real *)net_take((size_t)count * sizeof(rn_real));
    CHECK_INT(rn_predict(a, rn_workspace(a), batch->images, IMAGES, x, NULL), RN_OK);
    CHECK_INT(rn_predict(b, rn_workspace(b), batch->images, IMAGES, y, NULL), RN_OK);
    CHECK_NEAR(
        rn_tensor_difference(rn_tensor_in(x, count, 1, 1, 1), rn_tensor_in(y, count, 1, 1, 1)), 0,
        BOUND);
    free(x), free(y);
}

/* Statistics that are measured anew are those of the units as inference has them. */
static void same_recalibrated(rn_net *a, rn_net *b) {
    rn_source source = {IMAGES, 0, 0, 0, 0, read_image, NULL};
    net_batch room = net_draw_batch(&a->desc, IMAGES, 1);
    rn_net *nets[2];
    ptrdiff_t k;
    int i;
    nets[0] = a, nets[1] = b;
    source.channels = a->desc.channels, source.height = a->desc.height;
    source.width = a->desc.width, source.classes = a->desc.classes;
    source.user = &a->desc;
    for (i = 0; i < 2; i++)
        CHECK_INT(rn_recalibrate(nets[i], &source, 1, room.images, room.labels, NULL, NULL), RN_OK);
    for (k = 0; k < a->statistic_count; k++)
        CHECK_NEAR(a->statistics[k], b->statistics[k],
                   1e-4 + 1e-4 * fabs((double)b->statistics[k]));
    net_free_batch(&room);
}

/* Inference counts p_l F(x): as a net without stochastic depth whose residual functions are
   multiplied by hand. */
static void check_inference(int order, int naive) {
    rn_desc desc = deep((rn_order)order, RN_BASIC, 0.6f), plain;
    net_batch batch = net_draw_batch(&desc, IMAGES, 11);
    rn_net *net, *scaled, *raw;
    desc.naive = naive;
    desc.weight_standardisation = order == RN_ORIGINAL;
    plain = desc, plain.stochastic_depth = 0;
    net = net_create(&desc, IMAGES, RN_TRAINING);
    scaled = net_create(&plain, IMAGES, RN_TRAINING);
    raw = net_create(&plain, IMAGES, RN_TRAINING);
    net_draw(net, 13), net_draw(scaled, 13), net_draw(raw, 13);
    scale_units(scaled, desc.stochastic_depth, 5, 0);
    same_logits(net, scaled, &batch);
    same_features(net, scaled, &batch, "layer1.0.add");
    same_features(net, scaled, &batch, "layer2.1.add");
    same_features(net, raw, &batch, "layer1.0.conv2"); /* which is not multiplied yet */
    same_recalibrated(net, scaled);
    same_logits(net, scaled, &batch);
    CHECK_INT(rn_freeze(net, NULL, NULL), RN_OK);
    same_logits(net, scaled, &batch);
    same_features(net, scaled, &batch, "layer1.0.add");
    rn_destroy(net), rn_destroy(scaled), rn_destroy(raw);
    net_free_batch(&batch);
}

/* ---- the description ------------------------------------------------------------------------- */

static void check_description(void) {
    static const char path[] = "depth.tmp.safetensors";
    static char text[1 << 16];
    rn_desc desc = deep(RN_FULL_PREACT, RN_BASIC, 0.5f), other = desc, stored;
    rn_net *net = net_create(&desc, 2, RN_TRAINING), *without;
    rn_error error = {RN_OK, ""};
    rn_describe(net, text, sizeof text);
    CHECK_TEXT(text, "layer2.1.survival");
    CHECK_TEXT(text, "dropout 0.500 of steps (fused)");
    CHECK_TEXT(text, "dropout 0.100 of steps (fused)");
    CHECK_INT(rn_save(net, path, NULL, NULL), RN_OK);
    CHECK_INT(rn_load_desc(&stored, path, NULL, NULL), RN_OK);
    CHECK_NEAR(stored.stochastic_depth, 0.5, 0);
    other.stochastic_depth = 0;
    without = net_create(&other, 2, RN_INFERENCE);
    CHECK(!strstr((rn_describe(without, text, sizeof text), text), "survival"));
    CHECK_INT(rn_load(without, path, NULL, &error), RN_MISMATCH);
    CHECK_TEXT(error.text, "stochastic_depth is");
    remove(path);
    other.stochastic_depth = 1;
    CHECK_INT(rn_resolve(&other, &error), RN_BAD_DESCRIPTION);
    CHECK_TEXT(error.text, "stochastic_depth is 1.0");
    rn_destroy(net), rn_destroy(without);
}

int main(void) {
    int order;
    check_rates();
    check_bits();
    check_steps();
    check_all_out(RN_FULL_PREACT);
    check_all_out(RN_ORIGINAL);
    check_work();
    for (order = 0; order < 2 * ORDERS; order++) check_inference(order / 2, order % 2);
    check_description();
    return test_end("depth");
}
