/* training.c - nets that learn. Every variant but dropout fits one batch below a loss of 0.01; the
   paper's depths make steps that stay finite; SGD, weight decay, running statistics and schedules
   against numbers computed another way; what is not finite is refused, named, and changes nothing;
   N steps, a checkpoint and M more give the bits of N + M; descriptions that cannot be built are
   refused in words. Arguments choose parts by name; without any, all run.

   cc -std=c99 -O2 -fopenmp -o training tests/training.c -lm && ./training
   cc -std=c99 -O2 -ffast-math -o training tests/training.c -lm && ./training finite */

#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"

#include "nets.h"

#define CHECK_OK(call) CHECK_INT(call, RN_OK)

static const char *data_directory = "../examples/data";
static const char *const file_names[] = {"training_test.safetensors", "training_test2.safetensors"};

/* ---- overfitting ----------------------------------------------------------------------------- */

#ifdef REDUCED
enum { EVERY = 7, MEMBER_STEP = 7 }; /* of the variants below */
#else
enum { EVERY = 1, MEMBER_STEP = 3 };
#endif

static int most_steps;

static void overfit(const rn_desc *desc) {
    enum { COUNT = 8, STEPS = 300 };
    rn_net *net = net_create(desc, COUNT, RN_TRAINING);
    net_batch batch;
    rn_result result = {0, 0};
    rn_error error;
    int step;
    if (!net) return;
    batch = net_draw_batch(&net->desc, COUNT, 1);
    for (step = 0; step < STEPS; step++) {
        error.text[0] = 0;
        if (rn_train_step(net, batch.images, batch.labels, COUNT, 0.05, &result, &error)) {
            fprintf(stderr, "%s\n", error.text);
            result.loss = HUGE_VAL;
            break;
        }
        if (result.loss < 0.01) break;
    }
    if (step > most_steps) most_steps = step;
    net_check(result.loss < 0.01, __LINE__, desc, "loss of one batch", result.loss, 0.01);
    if (result.loss < 0.01) CHECK_INT(result.correct, COUNT);
    net_free_batch(&batch);
    rn_destroy(net);
}

static void check_overfit(void) {
    int order, block, shortcut, i = 0;
    for (order = 0; order < ORDERS; order++)
        for (block = RN_BASIC; block < BLOCKS; block++)
            for (shortcut = 0; shortcut < RN_SHORTCUT_DROPOUT; shortcut++, i++) {
                rn_desc desc = net_desc((rn_order)order, (rn_block)block, (rn_shortcut)shortcut,
                                        (rn_resize)(RN_RESIZE_A + i % 6), RN_STEM_CIFAR);
                desc.base_width = block == RN_BOTTLENECK ? 6 : 12;
                desc.threads = 2;
                desc.sgd = (rn_sgd)(i % 3);
                if (i % EVERY) continue;
                overfit(&desc);
                if (block == RN_BASIC && shortcut < 2) {
                    desc.stem = RN_STEM_IMAGENET;
                    desc.height = desc.width = 33;
                    desc.naive = shortcut;
                    overfit(&desc);
                }
            }
    for (i = 0; i < NET_MEMBERS; i += EVERY) { /* of norms of images, weights and stems */
        rn_desc desc = net_member(i);
        if (desc.shortcut == RN_SHORTCUT_DROPOUT) continue;
        if (!desc.stem_width) desc.base_width *= 3;
        desc.sgd = (rn_sgd)(i % 3);
        overfit(&desc);
    }
    printf("training: one batch fits after at most %d steps\n", most_steps);
}

/* ---- depths ---------------------------------------------------------------------------------- */

/* Some steps that must stay finite; with `falls`, the loss must fall. */
static void run_steps(const rn_desc *desc, int images, int steps, double rate, int falls) {
    rn_net *net = net_create(desc, images, RN_TRAINING);
    rn_result first = {0, 0}, last = {0, 0};
    net_batch batch;
    rn_error error;
    int step;
    if (!net) return;
    batch = net_draw_batch(&net->desc, images, 1);
    for (step = 0; step < steps; step++) {
        rn_status status = rn_train_step(net, batch.images, batch.labels, images, rate,
                                         step ? &last : &first, &error);
        if (!net_check(status == RN_OK, __LINE__, desc, status ? error.text : "", status, 0)) break;
    }
    CHECK(rn__all_finite(net->parameters, net->parameter_count));
    CHECK(rn__all_finite(net->statistics, net->statistic_count));
    if (falls) net_check(last.loss < first.loss, __LINE__, desc, "loss", last.loss, first.loss);
    net_free_batch(&batch);
    rn_destroy(net);
}

static rn_desc depth_desc(int depth, int width, int size) {
    rn_desc desc = rn_cifar(depth);
    desc.base_width = width;
    desc.height = desc.width = size;
    desc.threads = 2;
    return desc;
}

static void check_depths(void) {
    static const int depths[][3] = {
        {20, 3, RN_BASIC},          {32, 5, RN_BASIC},     {44, 7, RN_BASIC},
        {56, 9, RN_BASIC},          {110, 18, RN_BASIC},   {164, 18, RN_BOTTLENECK},
        {1001, 111, RN_BOTTLENECK}, {1202, 200, RN_BASIC}, {29, 3, RN_BOTTLENECK}};
    static const int imagenet[][6] = {
        {18, RN_BASIC, 2, 2, 2, 2},        {34, RN_BASIC, 3, 4, 6, 3},
        {50, RN_BOTTLENECK, 3, 4, 6, 3},   {101, RN_BOTTLENECK, 3, 4, 23, 3},
        {152, RN_BOTTLENECK, 3, 8, 36, 3}, {200, RN_BOTTLENECK, 3, 24, 36, 3}};
    rn_desc desc;
    int i, k, order, shortcut;
    for (i = 0; i < (int)(sizeof depths / sizeof depths[0]); i++) {
        desc = rn_cifar(depths[i][0]);
        CHECK_INT(rn_resolve(&desc, NULL), RN_OK);
        CHECK_INT(desc.block, depths[i][2]);
        for (k = 0; k < 3; k++) CHECK_INT(desc.units[k], depths[i][1]);
        CHECK_INT(desc.units[3], 0);
    }
    for (i = 0; i < 6; i++) {
        rn_desc resolved = desc = rn_imagenet(imagenet[i][0]);
        CHECK(rn_bytes(&desc, 1, RN_INFERENCE, NULL) > 0);
        CHECK_INT(rn_resolve(&resolved, NULL), RN_OK);
        CHECK_INT(resolved.block, imagenet[i][1]);
        for (k = 0; k < 4; k++) CHECK_INT(resolved.units[k], imagenet[i][2 + k]);
        desc.base_width = 8;
        desc.classes = 4;
        desc.height = desc.width = 33;
        run_steps(&desc, 2, imagenet[i][0] <= 50 ? 2 : 1, 0.01, 0);
    }
    desc = depth_desc(1001, EVERY > 1 ? 4 : 16, 8);
    run_steps(&desc, 2, 4, 0.01, 1);
    desc = depth_desc(164, 16, 8);
    run_steps(&desc, 4, 6, 0.01, 1);
    desc = depth_desc(110, 16, 8);
    run_steps(&desc, 4, 6, 0.01, 1);
    for (i = 0; i < 2 && EVERY == 1; i++) { /* as wide and large as they are */
        desc = rn_imagenet(i ? 200 : 50);
        desc.order = i ? RN_FULL_PREACT : RN_ORIGINAL;
        desc.threads = 2;
        run_steps(&desc, 2, i ? 1 : 2, 0.01, 0);
    }
    for (order = 0; order < ORDERS; order++)
        for (shortcut = order % EVERY; shortcut < SHORTCUTS; shortcut += EVERY) {
            desc = depth_desc(110, 4, 8);
            desc.order = (rn_order)order;
            desc.shortcut = (rn_shortcut)shortcut;
            desc.gate_bias = -6;
            desc.shortcut_scale = 0.5f;
            desc.residual_scale = 0.5f;
            /* 1x1 convolutions in place of 54 identities, with no batch norm among them, multiply
               gradients: that is why the paper keeps the path clean. */
            run_steps(&desc, 4, 3, shortcut == RN_SHORTCUT_CONV1X1 ? 1e-6 : 0.01, 0);
        }
}

/* Parameters that the literature counts: He et al. 2016a, and torchvision's nets. */
static void check_counts(void) {
    rn_desc desc = rn_cifar(20);
    rn_net *net;
    double macs = 0;
    int i;
    desc.order = RN_ORIGINAL;
    net = net_create(&desc, 1, RN_INFERENCE);
    CHECK_INT(net->parameter_count, 269722); /* option A, 0.27 M */
    rn_destroy(net);
    desc = rn_cifar(110);
    desc.order = RN_ORIGINAL;
    net = net_create(&desc, 1, RN_INFERENCE);
    CHECK_INT(net->parameter_count, 1727962); /* 1.7 M */
    rn_destroy(net);
    desc = rn_imagenet(50);
    desc.order = RN_ORIGINAL;
    desc.height = desc.width = 32;
    net = net_create(&desc, 1, RN_INFERENCE);
    CHECK_INT(net->parameter_count, 25557032); /* torchvision.models.resnet50 */
    rn_destroy(net);
    rn_set_dialect(&desc, RN_TORCHVISION);
    desc.height = desc.width = 224;
    net = net_create(&desc, 1, RN_INFERENCE);
    for (i = 0; i < net->node_count; i++) macs += rn_node_macs(net, i);
    CHECK_NEAR(macs, 4089184256, 0); /* torchvision's documentation has 4.09 G */
    rn_destroy(net);
}

/* ---- SGD ------------------------------------------------------------------------------------- */

/* The norms' biases learn at `faster` times the rate, by one and the same decay of a step. */
static void check_sgd_form(rn_sgd form, rn_decay scope, int naive, double faster) {
    rn_desc desc =
        net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_EXCLUSIVE, RN_RESIZE_B_BN, RN_STEM_CIFAR);
    const double rates[] = {0.1, 0.05, 0.025}, m = 0.9, decay = 0.03;
    rn_net *net;
    net_batch batch;
    double *w, *v;
    rn_parameter p;
    int step;
    ptrdiff_t i, n;
    desc.sgd = form;
    desc.decay_scope = scope;
    desc.weight_decay = decay;
    desc.norm_bias_rate = faster;
    if (faster > 0 && faster < 1) {
        desc.norm = naive ? RN_NORM_EVONORM_S0 : RN_NORM_GROUP;
        desc.resize = RN_RESIZE_B;
    }
    desc.naive = naive;
    if (!naive) desc.base_width = 40; /* enough parameters to be shared out among jobs */
    net = net_create(&desc, 4, RN_TRAINING);
    if (!net) return;
    net_draw(net, 2);
    batch = net_draw_batch(&net->desc, 4, 2);
    n = net->parameter_count;
    CHECK(naive || n > 1 << 14);
    w = (double *)net_take((size_t)n * sizeof(double));
    v = (double *)net_take((size_t)n * sizeof(double));
    for (step = 0; step < 3; step++) {
        CHECK_INT(rn_backpropagate(net, batch.images, batch.labels, 4, NULL, NULL), RN_OK);
        memset(&p, 0, sizeof p);
        for (i = 0; i < n; i++) w[i] = (double)net->parameters[i];
        while (rn_next_parameter(net, &p)) {
            int decays = scope == RN_DECAY_ALL || strstr(p.name, "conv") || strstr(p.name, "fc.") ||
                         strstr(p.name, "gate") || strstr(p.name, "shortcut.");
            const int shifts =
                p.role == RN_BN_BIAS || p.role == RN_GN_BIAS || p.role == RN_EVONORM_BIAS;
            const double r = rates[step] * (shifts && faster > 0 ? faster : 1);
            if (scope == RN_DECAY_WEIGHTS && !strstr(p.name, ".weight")) decays = 0;
            if (!p.gradient) continue;
            for (i = p.gradient - net->gradients; i < p.gradient - net->gradients + p.count; i++) {
                double g =
                    (double)net->gradients[i] + (decays ? decay * rates[step] / r * w[i] : 0);
                if (form == RN_SGD_CAFFE) {
                    v[i] = m * v[i] + r * g;
                    w[i] -= v[i];
                } else {
                    v[i] = m * v[i] + g;
                    w[i] -= form == RN_SGD_NESTEROV ? r * (g + m * v[i]) : r * v[i];
                }
            }
        }
        CHECK_INT(rn_update(net, rates[step], NULL), RN_OK);
        CHECK_INT(net->step, step + 1);
        for (i = 0; i < n; i++) {
            CHECK_NEAR(net->parameters[i], w[i], 2e-7 * fmax(1, fabs(w[i])));
            CHECK_NEAR(net->velocity[i], v[i], 2e-6 * fmax(1, fabs(v[i])));
        }
    }
    CHECK_INT(rn_update(net, 0.1, NULL), RN_BAD_ARGUMENT); /* no gradients since */
    CHECK_INT(rn_backpropagate(net, batch.images, batch.labels, 4, NULL, NULL), RN_OK);
    rn_initialise(net);
    CHECK_INT(rn_update(net, 0.1, NULL), RN_BAD_ARGUMENT); /* none of the new weights */
    free(w);
    free(v);
    net_free_batch(&batch);
    rn_destroy(net);
}

static void check_sgd(void) {
    int form, scope;
    for (form = 0; form < 3; form++)
        for (scope = 0; scope < 2; scope++) {
            check_sgd_form((rn_sgd)form, (rn_decay)scope, scope, 0);
            check_sgd_form((rn_sgd)form, (rn_decay)scope, scope, 64);
            check_sgd_form((rn_sgd)form, (rn_decay)scope, !scope, 0.5);
        }
}

/* ---- schedules ------------------------------------------------------------------------------- */

static void check_schedules(void) {
    static const char *const names[] = {"constant", "steps", "cosine", "one_cycle"};
    rn_schedule s = rn_make_schedule(RN_STEPS, 0.1, 64000); /* the paper's */
    rn_schedule_kind kind = RN_CONSTANT;
    rn_error error;
    int i;
    CHECK_NEAR(rn_learning_rate(&s, 0), 0.01, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 399), 0.01, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 400), 0.1, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 31999), 0.1, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 32000), 0.01, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 47999), 0.01, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 48000), 0.001, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 100000), 0.001, 1e-15);
    s.drops[0] = 10;
    s.drops[1] = 20;
    s.warmup_steps = 3;
    s.warmup_rate = 0.5;
    CHECK_NEAR(rn_learning_rate(&s, 2), 0.5, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 3), 0.1, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 10), 0.01, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 20), 0.001, 1e-15);
    for (i = 0; i < 20; i++) { /* however few steps there are */
        s = rn_make_schedule(RN_STEPS, 0.1, (uint64_t)i);
        CHECK_INT(s.drops[0], i / 2);
        CHECK_INT(s.drops[1], 3 * i / 4);
    }
    s = rn_make_schedule(RN_COSINE, 0.2, 100);
    CHECK_NEAR(rn_learning_rate(&s, 0), 0.2, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 25), 0.17071067811865476, 1e-15); /* 0.1 (1 + sqrt(1/2)) */
    CHECK_NEAR(rn_learning_rate(&s, 50), 0.1, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 75), 0.029289321881345254, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 100), 0, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 1000), 0, 1e-15);
    s = rn_make_schedule(RN_ONE_CYCLE, 0.4, 100); /* a line from 0 at step -1 to 0.4 at step 30 */
    CHECK_NEAR(rn_learning_rate(&s, 0), 0.4 / 31, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 9), 4.0 / 31, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 30), 0.4, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 65), 0.2, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 93), 0.04, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 100), 0, 1e-15);
    CHECK_NEAR(rn_learning_rate(&s, 5000), 0, 1e-15);
    s = rn_make_schedule(RN_CONSTANT, 0.3, 10);
    CHECK_NEAR(rn_learning_rate(&s, 0), 0.3, 0);
    CHECK_NEAR(rn_learning_rate(&s, 99), 0.3, 0);
    for (i = 0; i < 4; i++) { /* no steps at all: still numbers */
        s = rn_make_schedule((rn_schedule_kind)i, 0.3, 0);
        CHECK(rn__is_finite(rn_learning_rate(&s, 0)) && rn__is_finite(rn_learning_rate(&s, 7)));
        CHECK(!strcmp(rn_schedule_name((rn_schedule_kind)i), names[i]));
        CHECK_INT(rn_schedule_parse(&kind, names[i], NULL), RN_OK);
        CHECK_INT(kind, i);
    }
    CHECK_INT(rn_schedule_parse(&kind, "one-cycle", NULL), RN_OK);
    CHECK_INT(kind, RN_ONE_CYCLE);
    CHECK_INT(rn_schedule_parse(&kind, "cycle", &error), RN_BAD_ARGUMENT);
    CHECK_TEXT(error.text,
               "schedule cannot be \"cycle\"; it takes constant, steps, cosine or one_cycle");
}

/* ---- running statistics ---------------------------------------------------------------------- */

typedef struct bn_oracle {
    int bn; /* the node */
    int images, group;
    double mean[64],
        variance[64]; /* means over the images of their groups'; the variance unbiased */
} bn_oracle;

static void watch_bn(void *user, rn_net *net, int node, int backward) {
    bn_oracle *o = (bn_oracle *)user;
    int input = net->nodes[o->bn].inputs[0], n, c, h, w, g;
    const rn_node *x = &net->nodes[input];
    rn_tensor t;
    rn_real *data;
    if (backward || node != input) return;
    data = (rn_real *)net_take(rn_tensor_bytes(net->images, x->c, x->h, x->w));
    t = rn_tensor_in(data, net->images, x->c, x->h, x->w);
    CHECK_OK(rn_read_value(net, input, t, NULL));
    o->images = net->images;
    o->group = net->desc.bn_group ? rn__min(net->desc.bn_group, net->images) : net->images;
    for (c = 0; c < x->c; c++) {
        o->mean[c] = o->variance[c] = 0;
        for (g = 0; g * o->group < net->images; g++) {
            const int end = rn__min((g + 1) * o->group, net->images);
            double sum = 0, squares = 0, share = (double)(end - g * o->group) / net->images;
            double m = (double)(end - g * o->group) * x->h * x->w;
            for (n = g * o->group; n < end; n++)
                for (h = 0; h < x->h; h++)
                    for (w = 0; w < x->w; w++) sum += (double)*rn__at(&t, n, c, h, w);
            for (n = g * o->group; n < end; n++)
                for (h = 0; h < x->h; h++)
                    for (w = 0; w < x->w; w++)
                        squares += pow((double)*rn__at(&t, n, c, h, w) - sum / m, 2);
            o->mean[c] += sum / m * share;
            o->variance[c] += squares / (m - 1) * share;
        }
    }
    free(data);
}

static void check_running(int naive, int group, double momentum) {
    rn_desc desc =
        net_desc(RN_ORIGINAL, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_A, RN_STEM_CIFAR);
    bn_oracle o;
    rn_net *net;
    net_batch batch;
    double mean[64], variance[64];
    int c, step;
    desc.naive = naive;
    desc.bn_group = group;
    desc.bn_momentum = momentum;
    net = net_create(&desc, 4, RN_TRAINING);
    if (!net) return;
    batch = net_draw_batch(&net->desc, 4, 2);
    memset(&o, 0, sizeof o);
    for (o.bn = 3; net->nodes[o.bn].kind != RN_BATCH_NORM;) o.bn++; /* layer1.0.bn1 */
    net->probe = watch_bn;
    net->probe_user = &o;
    for (c = 0; c < 64; c++) mean[c] = 0, variance[c] = 1;
    for (step = 0; step < 3; step++) {
        const rn_node *node = &net->nodes[o.bn];
        const rn_real *running = net->statistics + node->statistics;
        CHECK_OK(rn_train_step(net, batch.images, batch.labels, 4, 0.1, NULL, NULL));
        CHECK_INT(o.images, 4);
        for (c = 0; c < node->c; c++) {
            mean[c] = (1 - momentum) * mean[c] + momentum * o.mean[c];
            variance[c] = (1 - momentum) * variance[c] + momentum * o.variance[c];
            CHECK_NEAR(running[c], mean[c], 1e-6);
            CHECK_NEAR(running[node->c + c], variance[c], 1e-6 * fmax(1, variance[c]));
        }
    }
    net_free_batch(&batch);
    rn_destroy(net);
}

static void check_statistics(void) {
    int naive;
    for (naive = 0; naive < 2; naive++) {
        check_running(naive, 0, 0.1);
        check_running(naive, 2, 0.25);
        check_running(naive, 3, 0.25); /* groups of 3 images and 1 */
        check_running(naive, 8, 0.9);  /* a group larger than the batch */
    }
}

/* ---- not finite ------------------------------------------------------------------------------ */

typedef struct snapshot {
    rn_real *parameters, *velocity, *statistics;
    uint64_t step;
} snapshot;

static rn_real *copy(const rn_real *data, ptrdiff_t count) {
    rn_real *to = (rn_real *)net_take((size_t)count * sizeof(rn_real));
    return (rn_real *)memcpy(to, data, (size_t)count * sizeof(rn_real));
}

static snapshot take_snapshot(const rn_net *net) {
    snapshot s;
    s.parameters = copy(net->parameters, net->parameter_count);
    s.velocity = copy(net->velocity, net->parameter_count);
    s.statistics = copy(net->statistics, net->statistic_count);
    s.step = net->step;
    return s;
}

/* Nothing of the net has changed since. */
static void check_snapshot(snapshot *s, const rn_net *net) {
    size_t bytes = (size_t)net->parameter_count * sizeof(rn_real);
    CHECK(!memcmp(s->parameters, net->parameters, bytes));
    CHECK(!memcmp(s->velocity, net->velocity, bytes));
    CHECK(!memcmp(s->statistics, net->statistics, (size_t)net->statistic_count * sizeof(rn_real)));
    CHECK_INT(s->step, net->step);
    free(s->parameters);
    free(s->velocity);
    free(s->statistics);
}

/* NaN and infinity by their bits, which -ffast-math leaves alone. */
static rn_real not_a_number(int infinite) {
    uint32_t bits = infinite ? 0xff800000u : 0x7fc00000u;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (rn_real)value;
}

/* What is no number has a bin of a histogram, too, and none beside it. */
static void check_moments_not_finite(void) {
    double room[4] = {0, 0, 0, 0};
    rn_real numbers[4];
    rn_moments m;
    memset(&m, 0, sizeof m);
    m.histogram = room + 1, m.bins = 2, m.least = -1, m.most = 1;
    numbers[0] = not_a_number(0);
    numbers[1] = not_a_number(1);
    numbers[2] = -not_a_number(1);
    numbers[3] = (rn_real)1e30;
    rn_add_moments(&m, rn_tensor_in(numbers, 4, 1, 1, 1));
    CHECK_NEAR(m.count, 4, 0);
    CHECK(room[1] >= 1 && room[2] >= 2); /* minus infinity; infinity and what is beyond */
    CHECK_NEAR(room[1] + room[2], 4, 0);
    CHECK(room[0] <= 0 && room[3] <= 0);
}

static void check_refused(rn_net *net, const net_batch *batch, double rate, const char *named) {
    snapshot before = take_snapshot(net);
    rn_error error;
    char step[32];
    error.text[0] = 0;
    CHECK_INT(rn_train_step(net, batch->images, batch->labels, 4, rate, NULL, &error),
              RN_NOT_FINITE);
    CHECK_TEXT(error.text, named);
    snprintf(step, sizeof step, "step %d: ", (int)net->step);
    CHECK_TEXT(error.text, step);
    check_snapshot(&before, net);
    if (rn__is_finite(rate)) /* no gradients are left to use */
        CHECK_INT(rn_update(net, 0.1, NULL), RN_BAD_ARGUMENT);
}

/* A NaN or infinity in a parameter: the first node that shows it is named. */
static void check_bad_parameter(rn_net *net, const net_batch *batch, const char *parameter,
                                int infinite) {
    rn_parameter p;
    char node[64], named[128];
    rn_real before;
    CHECK(rn_find_parameter(net, parameter, &p));
    rn_node_name(net, p.node, node);
    before = p.data[0];
    p.data[0] = not_a_number(infinite);
    snprintf(named, sizeof named, "%s (%s, node %d)", node, rn_kind_name(net->nodes[p.node].kind),
             p.node);
    check_refused(net, batch, 0.1, named);
    p.data[0] = before;
}

/* Rates so large that numbers overflow, here or there: whatever fails leaves all as it was, and
   parameters never stop being finite. */
static void explode(rn_net *net, const net_batch *batch, double rate) {
    rn_error error;
    int step, failed = 0;
    for (step = 0; step < 20 && !failed; step++) {
        snapshot before = take_snapshot(net);
        rn_status status;
        error.text[0] = 0;
        status = rn_train_step(net, batch->images, batch->labels, 4, rate, NULL, &error);
        failed = status != RN_OK;
        if (!failed)
            before = (free(before.parameters), free(before.velocity), free(before.statistics),
                      take_snapshot(net));
        else
            CHECK_INT(status, RN_NOT_FINITE);
        if (failed) CHECK_TEXT(error.text, "step ");
        if (failed) CHECK_TEXT(error.text, "node ");
        check_snapshot(&before, net);
        CHECK(rn__all_finite(net->parameters, net->parameter_count));
        CHECK(rn__all_finite(net->velocity, net->parameter_count));
        CHECK(rn__all_finite(net->statistics, net->statistic_count));
    }
    CHECK(failed);
}

/* Running statistics that would overflow, though the batch's do not: nothing changes. */
static void check_running_statistics(int naive) {
    rn_desc desc =
        net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_A, RN_STEM_CIFAR);
    rn_net *net;
    net_batch batch;
    rn_error error = {RN_OK, ""};
    rn_real *before;
    ptrdiff_t numbers;
    int variance;
    desc.naive = naive;
    desc.bn_momentum = 1;
    desc.height = desc.width = 1;
    net = net_create(&desc, 2, RN_TRAINING);
    if (!net) return;
    batch = net_draw_batch(&net->desc, 2, 3);
    numbers = 2 * net->parameter_count + net->statistic_count;
    before = (rn_real *)net_take((size_t)numbers * sizeof *before);
    for (variance = 0; variance < 2; variance++) {
        rn_real *last = net->batch_statistics + net->statistic_count - 1;
        const size_t parameters = (size_t)net->parameter_count * sizeof *before;
        const size_t statistics = (size_t)net->statistic_count * sizeof *before;
        CHECK_INT(rn_backpropagate(net, batch.images, batch.labels, 2, NULL, &error), RN_OK);
        memcpy(before, net->parameters, parameters);
        memcpy(before + net->parameter_count, net->velocity, parameters);
        memcpy(before + 2 * net->parameter_count, net->statistics, statistics);
        /* two values: the unbiased variance is twice the biased one */
        if (variance)
            *last = RN__FAST ? (rn_real)3e38f : (rn_real)1.5e308;
        else
            last[1 - net->desc.base_width * 2] = not_a_number(1);
        CHECK_INT(rn_update(net, 0.1, &error), RN_NOT_FINITE);
        CHECK_TEXT(error.text, "the running statistics of bn (node");
        CHECK(!memcmp(before, net->parameters, parameters));
        CHECK(!memcmp(before + net->parameter_count, net->velocity, parameters));
        CHECK(!memcmp(before + 2 * net->parameter_count, net->statistics, statistics));
        CHECK_INT(net->step, 0);
    }
    free(before);
    net_free_batch(&batch);
    rn_destroy(net);
}

static void check_not_finite_in(int naive, rn_order order, rn_sgd sgd) {
    rn_desc desc = net_desc(order, RN_BASIC, RN_SHORTCUT_GATE, RN_RESIZE_A, RN_STEM_CIFAR);
    static const double rates[] = {1e20, 1e30, 3e38, 1e39, 1e300};
    rn_net *net;
    net_batch batch;
    rn_real pixel;
    int i, infinite;
    desc.naive = naive;
    desc.sgd = sgd;
    net = net_create(&desc, 4, RN_TRAINING);
    if (!net) return;
    batch = net_draw_batch(&net->desc, 4, 2);
    CHECK_OK(rn_train_step(net, batch.images, batch.labels, 4, 0.1, NULL, NULL));
    for (infinite = 0; infinite < 2; infinite++) {
        pixel = batch.images[7];
        batch.images[7] = not_a_number(infinite);
        check_refused(net, &batch, 0.1, "images");
        batch.images[7] = pixel;
        check_bad_parameter(net, &batch, "conv1.weight", infinite);
        check_bad_parameter(net, &batch, "layer1.0.conv1.weight", infinite);
        check_bad_parameter(net, &batch, "layer2.0.conv2.weight", infinite);
        check_bad_parameter(net, &batch, "fc.weight", infinite);
        check_bad_parameter(net, &batch, "fc.bias", infinite);
        check_refused(net, &batch, (double)not_a_number(infinite), "learning rate");
    }
    CHECK_OK(rn_train_step(net, batch.images, batch.labels, 4, 0.1, NULL, NULL)); /* it goes on */
    for (i = 0; i < 5; i++) {
        rn_initialise(net);
        explode(net, &batch, rates[i]);
    }
    net_free_batch(&batch);
    rn_destroy(net);
}

/* A parameter that is no number, of a net beside the paper's: the sentence names where it is seen
   first. */
static void check_bad_member(const char *options, const char *parameter, const char *named) {
    rn_desc desc = net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_B,
                            strstr(options, "stem") ? RN_STEM_DEEP : RN_STEM_CIFAR);
    rn_net *net;
    rn_parameter p;
    net_batch batch;
    rn_real before;
    net_options(&desc, options);
    net = net_create(&desc, 4, RN_TRAINING);
    if (!net) return;
    batch = net_draw_batch(&net->desc, 4, 2);
    CHECK(rn_find_parameter(net, parameter, &p));
    before = p.data[0];
    p.data[0] = not_a_number(0);
    check_refused(net, &batch, 0.1, named);
    p.data[0] = before;
    CHECK_OK(rn_train_step(net, batch.images, batch.labels, 4, 0.1, NULL, NULL)); /* it goes on */
    net_free_batch(&batch);
    rn_destroy(net);
}

/* EvoNorm's v that is no number is noticed, though a sigmoid may make one of it. */
static void check_bad_gates(void) {
    rn_desc desc =
        net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, RN_STEM_CIFAR);
    int naive, gates = 0;
    desc.norm = RN_NORM_EVONORM_S0;
    for (naive = 0; naive < 2; naive++) {
        rn_net *net;
        net_batch batch;
        rn_parameter p;
        desc.naive = naive;
        net = net_create(&desc, 2, RN_INFERENCE);
        if (!net) continue;
        net_draw(net, 6);
        batch = net_draw_batch(&net->desc, 2, 6);
        memset(&p, 0, sizeof p);
        while (rn_next_parameter(net, &p)) {
            const rn_real v = p.data[0];
            rn_real logits[16];
            rn_error error = {RN_OK, ""};
            if (p.role != RN_EVONORM_V) continue;
            gates++;
            p.data[0] = not_a_number(0);
            CHECK_INT(rn_predict(net, rn_workspace(net), batch.images, 2, logits, &error),
                      RN_NOT_FINITE);
            p.data[0] = v;
            CHECK_INT(rn_predict(net, rn_workspace(net), batch.images, 2, logits, &error), RN_OK);
        }
        net_free_batch(&batch);
        rn_destroy(net);
    }
    CHECK(gates > 0);
}

#ifndef __FAST_MATH__ /* which takes infinity less infinity for nothing */
/* Values so large that their squares overflow: what is told as a prediction is that of the naive
   layers, which sum in double. */
static void check_overflow(const char *options) {
    rn_desc desc =
        net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_B, RN_STEM_CIFAR);
    rn_net *nets[2];
    net_batch batch;
    rn_parameter p;
    double scale;
    ptrdiff_t i;
    int k, predicted = 0, refused = 0;
    net_options(&desc, options);
    for (k = 0; k < 2; k++) {
        desc.naive = k;
        nets[k] = net_create(&desc, 2, RN_TRAINING);
        if (!nets[k]) return;
    }
    batch = net_draw_batch(&desc, 2, 2);
    for (scale = 1e15; scale < 1e21; scale *= 1.2) {
        rn_status status[2];
        for (k = 0; k < 2; k++) {
            rn_initialise(nets[k]);
            CHECK(rn_find_parameter(nets[k], "conv1.weight", &p));
            for (i = 0; i < p.count; i++) p.data[i] *= (rn_real)scale;
            status[k] =
                rn_predict(nets[k], rn_workspace(nets[k]), batch.images, 2, nets[k]->logits, NULL);
        }
        CHECK_INT(status[1], RN_OK);
        refused += status[0] == RN_NOT_FINITE;
        if (status[0] == RN_NOT_FINITE) continue;
        predicted++;
        CHECK_INT(status[0], RN_OK);
        CHECK_NEAR(rn_tensor_difference(rn_tensor_in(nets[0]->logits, 2, desc.classes, 1, 1),
                                        rn_tensor_in(nets[1]->logits, 2, desc.classes, 1, 1)),
                   0, 1e-3);
    }
    CHECK(predicted > 0);
    if (RN__FAST) CHECK(refused > 0);
    net_free_batch(&batch);
    rn_destroy(nets[0]);
    rn_destroy(nets[1]);
}
#endif

static void check_not_finite(void) {
    int order, naive;
    check_running_statistics(1);
    check_running_statistics(!RN__FAST);
    for (naive = 0; naive < 2; naive++)
        for (order = 0; order < ORDERS; order++)
            check_not_finite_in(naive, (rn_order)order, (rn_sgd)(order % 3));
    check_bad_member("norm group_norm norm_groups 1", "conv1.weight", "conv1 (conv2d, node 1)");
    check_bad_member("norm group_norm norm_groups 3", "layer1.0.gn1.weight", "layer1.0.");
#ifndef __FAST_MATH__ /* else infinity less infinity may be nothing, and the naive ReLU hide it */
    check_overflow("norm group_norm norm_groups 1 bare_stem 1");
    check_overflow("norm evonorm_s0 norm_groups 1 bare_stem 1");
    check_bad_member("norm group_norm norm_groups 3 naive 1", "layer2.0.conv1.weight",
                     "layer2.0.conv1 (conv2d, ");
#endif
    check_bad_gates();
    check_bad_member("norm evonorm_s0 norm_groups 1", "layer1.0.evonorm2.v", "layer1.0.");
    check_bad_member("norm evonorm_s0 norm_groups 3 naive 1", "evonorm.v", "evonorm (evonorm_s0, ");
    check_bad_member("weight_standardisation 1", "conv1.weight", "conv1 (conv2d, node 1)");
    check_bad_member("weight_standardisation 1 naive 1", "layer1.1.conv2.weight",
                     "layer1.1.conv2 ");
    check_bad_member("stem deep base_width 4 conv_bias 1", "conv3.bias", "conv3 (conv2d, ");
    check_bad_member("stem bit norm group_norm norm_groups 1", "conv1.weight", "conv1 (conv2d, ");
    check_moments_not_finite();
}

/* Labels outside, batches too large or of one value a channel. */
static void check_step_arguments(void) {
    rn_desc desc =
        net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_A, RN_STEM_CIFAR);
    rn_net *net = net_create(&desc, 4, RN_TRAINING);
    snapshot before;
    net_batch batch;
    rn_error error;
    int label;
    if (!net) return;
    batch = net_draw_batch(&net->desc, 4, 2);
    before = take_snapshot(net);
    for (label = -1; label <= 4; label += 5) {
        int was = batch.labels[3];
        batch.labels[3] = label;
        CHECK_INT(rn_train_step(net, batch.images, batch.labels, 4, 0.1, NULL, &error),
                  RN_BAD_ARGUMENT);
        CHECK_TEXT(error.text, label < 0 ? "-1" : "4");
        batch.labels[3] = was;
    }
    CHECK_INT(rn_train_step(net, batch.images, batch.labels, 5, 0.1, NULL, &error),
              RN_BAD_ARGUMENT);
    CHECK_TEXT(error.text, "5 images; this net takes 1 to 4");
    CHECK_INT(rn_train_step(net, batch.images, batch.labels, 0, 0.1, NULL, &error),
              RN_BAD_ARGUMENT);
    CHECK_INT(rn_train_step(net, NULL, batch.labels, 4, 0.1, NULL, &error), RN_BAD_ARGUMENT);
    CHECK_INT(rn_train_step(net, batch.images, NULL, 4, 0.1, NULL, &error), RN_BAD_ARGUMENT);
    CHECK_INT(rn_update(net, 0.1, &error), RN_BAD_ARGUMENT);
    check_snapshot(&before, net);
    rn_destroy(net);
    desc.height = desc.width = 2; /* 1 x 1 in the second stage */
    net = net_create(&desc, 4, RN_TRAINING);
    if (net) {
        CHECK_INT(rn_train_step(net, batch.images, batch.labels, 1, 0.1, NULL, &error),
                  RN_BAD_SHAPE);
        CHECK_TEXT(error.text, "layer2.0.bn2: batch norm over one value a channel");
        CHECK_OK(rn_train_step(net, batch.images, batch.labels, 2, 0.1, NULL, NULL));
    }
    rn_destroy(net);
    desc.bn_group = 3; /* 4 images: the last group has one */
    net = net_create(&desc, 4, RN_TRAINING);
    if (net) {
        CHECK_INT(rn_train_step(net, batch.images, batch.labels, 4, 0.1, NULL, &error),
                  RN_BAD_SHAPE);
        CHECK_OK(rn_train_step(net, batch.images, batch.labels, 3, 0.1, NULL, NULL));
    }
    rn_destroy(net);
    net_free_batch(&batch);
}

/* ---- resuming -------------------------------------------------------------------------------- */

enum { BATCH = 8, EPOCH = 50 }; /* images; an epoch ends with a short batch */

/* One step on the next images of the source, as a trainer does it. */
static void step_on_data(rn_net *net, const rn_source *source) {
    static rn_real images[BATCH * 28 * 28];
    int labels[BATCH], count = rn__min(BATCH, EPOCH - (int)net->cursor);
    const rn_augment augment = {2, 1};
    CHECK_OK(rn_batch(source, &net->desc, &augment, net->epoch, (ptrdiff_t)net->cursor, count,
                      images, labels, NULL));
    CHECK_OK(rn_train_step(net, images, labels, count, rn_learning_rate(&net->schedule, net->step),
                           NULL, NULL));
    net->cursor += (uint64_t)count;
    if (net->cursor >= EPOCH) net->cursor = 0, net->epoch++;
}

static void check_same_net(const rn_net *a, const rn_net *b, int velocity) {
    size_t bytes = (size_t)a->parameter_count * sizeof(rn_real);
    CHECK(!memcmp(a->parameters, b->parameters, bytes));
    if (velocity) CHECK(!memcmp(a->velocity, b->velocity, bytes));
    CHECK(!memcmp(a->statistics, b->statistics, (size_t)a->statistic_count * sizeof(rn_real)));
}

static rn_schedule schedule_of_test(int i) {
    return rn_make_schedule((rn_schedule_kind)(i % 4), 0.05, 20);
}

static void resume(const rn_desc *given, const rn_data *data, int n, int m) {
    rn_desc desc = *given, other;
    rn_net *whole = net_create(&desc, BATCH, RN_TRAINING), *rest, *inference;
    rn_error error;
    int i;
    rn_real image[28 * 28], logits[2][10];
    int label;
    if (!whole) return;
    error.text[0] = 0;
    whole->schedule = schedule_of_test(n);
    for (i = 0; i < n; i++) step_on_data(whole, &data->source);
    CHECK_INT(rn_save_checkpoint(whole, file_names[0], NULL, &error), RN_OK);
    CHECK_INT(rn_save(whole, file_names[1], NULL, &error), RN_OK);
    CHECK(!*error.text);

    CHECK_INT(rn_load_desc(&other, file_names[0], NULL, &error), RN_OK);
    other.naive = desc.naive; /* how a net is executed is no part of it */
    rest = net_create(&other, BATCH, RN_TRAINING);
    if (rest) {
        net_draw(rest, 77); /* whatever it was before */
        CHECK_INT(rn_load(rest, file_names[0], NULL, &error), RN_OK);
        check_same_net(whole, rest, 1);
        CHECK_INT(rest->step, whole->step);
        CHECK_INT(rest->epoch, whole->epoch);
        CHECK_INT(rest->cursor, whole->cursor);
        CHECK(net_same_schedule(&rest->schedule, &whole->schedule));
        CHECK_INT(rest->desc.seed, whole->desc.seed);
        for (i = 0; i < m; i++) {
            step_on_data(whole, &data->source);
            step_on_data(rest, &data->source);
        }
        check_same_net(whole, rest, 1);
        rn_destroy(rest);
    }

    /* The weights alone, as of step n, in a net for inference; then those of the checkpoint. */
    CHECK_OK(rn_batch(&data->source, &whole->desc, NULL, 0, 0, 1, image, &label, NULL));
    for (i = 0; i < 2; i++) {
        CHECK_INT(rn_load_desc(&other, file_names[i], NULL, &error), RN_OK);
        other.naive = desc.naive;
        inference = net_create(&other, 1, RN_INFERENCE);
        if (!inference) continue;
        CHECK_INT(rn_load(inference, file_names[i], NULL, &error), RN_OK);
        CHECK_OK(rn_predict(inference, rn_workspace(inference), image, 1, logits[i], NULL));
        rn_destroy(inference);
    }
    CHECK(!memcmp(logits[0], logits[1], sizeof logits[0]));
    CHECK_INT(rn_load(whole, file_names[0], NULL, &error), RN_OK); /* back to step n */
    CHECK_OK(rn_predict(whole, rn_workspace(whole), image, 1, logits[1], NULL));
    CHECK(!memcmp(logits[0], logits[1], sizeof logits[0]));
    CHECK_INT(whole->step, n);
    rn_destroy(whole);
}

static void check_resume(void) {
    rn_data data;
    rn_error error;
    char path[2][256];
    int i;
    snprintf(path[0], sizeof path[0], "%s/t10k-images-idx3-ubyte", data_directory);
    snprintf(path[1], sizeof path[1], "%s/t10k-labels-idx1-ubyte", data_directory);
    error.text[0] = 0;
    if (rn_load_idx(&data, path[0], path[1], 10, NULL, NULL, &error)) {
        CHECK_TEXT(error.text, "the bundled sample, which could not be loaded");
        return;
    }
    data.source.count = EPOCH;
    for (i = 0; i < SHORTCUTS; i++) {
        rn_desc desc = net_desc((rn_order)(i % ORDERS), (rn_block)(RN_BASIC + i % 3),
                                (rn_shortcut)i, RN_RESIZE_B_BN, RN_STEM_CIFAR);
        desc.seed = 12345678901234567u;
        desc.naive = i % 4 == 3;
        desc.sgd = (rn_sgd)(i % 3);
        desc.bn_group = i % 3 == 1 ? 2 : 0; /* the last batch has two images */
        CHECK_OK(rn_measure(&desc, &data.source, NULL));
        resume(&desc, &data, 5 + i % 3, 6); /* the epoch ends behind step 7 */
    }
    rn_data_free(&data);
    remove(file_names[0]);
    remove(file_names[1]);
}

/* ---- two runs -------------------------------------------------------------------------------- */

static void check_two_runs(void) {
    int i, k, step;
    for (i = 0; i < 2 * SHORTCUTS; i++) {
        rn_desc desc = net_desc((rn_order)(i % ORDERS), (rn_block)(RN_BASIC + i % 3),
                                (rn_shortcut)(i / 2), RN_RESIZE_B_BN, RN_STEM_CIFAR);
        rn_net *nets[3];
        desc.naive = i % 2;
        desc.seed = 5;
        for (k = 0; k < 3; k++) {
            net_batch batch;
            desc.seed = k < 2 ? 5 : 6;
            nets[k] = net_create(&desc, 4, RN_TRAINING);
            if (!nets[k]) return;
            batch = net_draw_batch(&nets[k]->desc, 4, 3);
            for (step = 0; step < 3; step++)
                CHECK_OK(
                    rn_train_step(nets[k], batch.images, batch.labels, 4 - step, 0.05, NULL, NULL));
            net_free_batch(&batch);
        }
        check_same_net(nets[0], nets[1], 1);
        CHECK(memcmp(nets[0]->parameters, nets[2]->parameters,
                     (size_t)nets[0]->parameter_count * sizeof(rn_real)) != 0);
        for (k = 0; k < 3; k++) rn_destroy(nets[k]);
    }
}

/* A net that has trained is after rn_initialise as rn_create made it. */
static void check_again(const rn_net *fresh, rn_net *net) {
    const rn_trainer none = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    ptrdiff_t i;
    for (i = 0; i < net->parameter_count; i++) net->parameters[i] += 1;
    for (i = 0; i < net->statistic_count; i++) net->statistics[i] = 7;
    for (i = 0; i < net->trained_count; i++) net->velocity[i] = 7;
    net->step = net->epoch = net->cursor = 3;
    net->trainer.batch = 5, net->trainer.test_accuracy = 50;
    rn_initialise(net);
    CHECK(!memcmp(net->parameters, fresh->parameters,
                  (size_t)net->parameter_count * sizeof(rn_real)));
    CHECK(!memcmp(net->statistics, fresh->statistics,
                  (size_t)net->statistic_count * sizeof(rn_real)));
    for (i = 0; i < net->trained_count; i++) CHECK_NEAR(net->velocity[i], 0, 0);
    CHECK(!net->step && !net->epoch && !net->cursor);
    CHECK(!memcmp(&net->trainer, &none, sizeof none));
}

/* Initial weights: He's deviation, as fan-out and as fan-in; the rest as the header says. */
static void check_initialisation(void) {
    int fan, i;
    for (fan = 0; fan < 2; fan++) {
        rn_desc desc = rn_cifar(20);
        rn_net *net, *again;
        rn_parameter p;
        desc.init = (rn_init)fan;
        desc.shortcut = RN_SHORTCUT_HIGHWAY;
        desc.gate_bias = -3;
        desc.carry_bias = 2;
        net = net_create(&desc, 1, RN_TRAINING);
        again = net_create(&desc, 1, RN_TRAINING);
        if (!net || !again) return;
        check_again(net, again);
        rn_destroy(again);
        memset(&p, 0, sizeof p);
        while (rn_next_parameter(net, &p)) {
            double sum = 0, squares = 0, n = (double)p.count;
            double window = (double)p.shape[2] * p.shape[3];
            double want = 2 / (window * (fan == RN_FAN_OUT ? p.shape[0] : p.shape[1]));
            for (i = 0; i < p.count; i++) sum += (double)p.data[i];
            for (i = 0; i < p.count; i++) squares += pow((double)p.data[i] - sum / n, 2);
            if (p.role == RN_CONV_WEIGHT) {
                CHECK_NEAR(sum / n, 0, 4.5 * sqrt(want / n));
                CHECK_NEAR(squares / n / want, 1, 6 / sqrt(n / 2));
            } else if (p.role == RN_LINEAR_WEIGHT) { /* uniform within 1/8: variance 1/8^2/3 */
                CHECK(net_largest(p.data, p.count) <= 0.125);
                CHECK_NEAR(squares / n * 3 * 64, 1, 6 / sqrt(n / 2));
            } else {
                double value = p.role == RN_BN_WEIGHT || p.role == RN_RUNNING_VAR ? 1 : 0;
                if (strstr(p.name, "gate.bias")) value = -3;
                if (strstr(p.name, "carry.bias")) value = 2;
                for (i = 0; i < p.count; i++) CHECK_NEAR(p.data[i], value, 0);
            }
        }
        rn_destroy(net);
    }
}

/* ---- descriptions ---------------------------------------------------------------------------- */

static void refuses(rn_desc desc, const char *part) {
    rn_desc before = desc;
    rn_error error;
    error.text[0] = 0;
    CHECK_INT(rn_resolve(&desc, &error), RN_BAD_DESCRIPTION);
    CHECK_INT(error.status, RN_BAD_DESCRIPTION);
    CHECK_TEXT(error.text, part);
    CHECK(!memcmp(&before, &desc, sizeof desc));
    error.text[0] = 0;
    CHECK(rn_create(&desc, 1, RN_TRAINING, NULL, &error) == NULL);
    CHECK_TEXT(error.text, part);
}

static rn_desc set(const char *key, const char *value) {
    rn_desc desc = rn_cifar(20);
    rn_error error;
    error.text[0] = 0;
    if (test_failed(rn_desc_set(&desc, key, value, &error) == RN_OK, __FILE__, __LINE__))
        fprintf(stderr, "%s = %s: %s\n", key, value, error.text);
    return desc;
}

static void check_refusals(void) {
    static const char *const outside[][3] = {
        {"base_width", "-1", "base_width is -1"},
        {"base_width", "100000", "base_width is 100000"},
        {"classes", "1", "classes is 1"},
        {"classes", "-2", "classes is -2"},
        {"channels", "-3", "channels is -3"},
        {"height", "-1", "height is -1"},
        {"width", "40000", "width is 40000"},
        {"dropout", "1", "dropout is 1"},
        {"dropout", "-0.5", "dropout is -0.5"},
        {"bn_eps", "-1e-5", "bn_eps is"},
        {"bn_eps", "2", "bn_eps is 2"},
        {"bn_momentum", "1.5", "bn_momentum is 1.5"},
        {"bn_group", "-4", "bn_group is -4"},
        {"momentum", "1", "momentum is 1"},
        {"momentum", "-0.1", "momentum is -0.1"},
        {"weight_decay", "-1", "weight_decay is -1"},
        {"deviation", "-1,1,1", "deviation is -1"},
        {"mean", "0,1e9", "mean is 1000000000"},
        {"threads", "-1", "threads is -1"},
        {"threads", "5000", "threads is 5000"},
        {"naive", "2", "naive is 2"},
        {"residual_scale", "1e9", "residual_scale is 1000000000"},
        {"gate_bias", "-1e9", "gate_bias is -1000000000"},
        {"depth", "-20", "depth is -20"},
        {"stem_width", "-1", "stem_width is -1"},
        {"widths", "4,-4", "widths is -4"},
        {"outputs", "1000000", "outputs is 1000000"},
        {"bare_stem", "2", "bare_stem is 2"},
        {"bare_tail", "-1", "bare_tail is -1"},
        {"always_project", "7", "always_project is 7"},
        {"raw_identity", "2", "raw_identity is 2"},
        {"conv_bias", "2", "conv_bias is 2"},
        {"weight_standardisation", "3", "weight_standardisation is 3"},
        {"standardisation_eps", "-1", "standardisation_eps is -1"},
        {"norm_groups", "-2", "norm_groups is -2"},
    };
    rn_desc desc;
    uint32_t nan_bits = 0x7fc00000u;
    int i;
    refuses(rn_cifar(21), "no basic CIFAR net has depth 21: it must be 6n+2");
    refuses(rn_cifar(2), "depth 2");
    refuses(rn_cifar(7), "depth 7");
    refuses(rn_imagenet(20),
            "there is no ImageNet net of depth 20; take 18, 34, 50, 101, 152 or 200");
    desc = rn_cifar(20);
    desc.block = RN_BOTTLENECK; /* 20 is 9 2 + 2 */
    CHECK_INT(rn_resolve(&desc, NULL), RN_OK);
    CHECK_INT(desc.units[0], 2);
    desc = rn_cifar(32);
    desc.block = RN_BOTTLENECK;
    refuses(desc, "no bottleneck CIFAR net has depth 32");
    refuses(set("units", "3,0,3"), "units of stage 3 without units of stage 2");
    refuses(set("units", "0,3"), "units of stage 2 without units of stage 1");
    refuses(set("units", "-1"), "units is -1");
    for (i = 0; i < (int)(sizeof outside / sizeof outside[0]); i++)
        refuses(set(outside[i][0], outside[i][1]), outside[i][2]);
    /* The limits themselves are allowed, though no float is just 0.999. */
    desc = rn_cifar(20);
    desc.dropout = desc.stochastic_depth = 0.999f, desc.crop_fraction = 0.01f;
    desc.deviation[0] = 1e-6f;
    CHECK_INT(rn_resolve(&desc, NULL), RN_OK);
    refuses(set("dropout", "0.9991"), "dropout is 0.999");
    /* Groups of images are those of batch norms alone. */
    desc = rn_cifar(20);
    desc.micro_batch = 8;
    CHECK_INT(rn_resolve(&desc, NULL), RN_OK);
    CHECK_INT(desc.bn_group, 8);
    desc.norm = RN_NORM_GROUP;
    desc.micro_batch = 6;
    CHECK_INT(rn_resolve(&desc, NULL), RN_OK);
    CHECK_INT(desc.bn_group, 0);
    /* 224 x 222 becomes 112 x 111 in the stem, which its pool may halve, but no convolution. */
    desc = rn_imagenet(18);
    desc.padding = RN_PADDING_SAME, desc.height = 224, desc.width = 222;
    CHECK_INT(rn_resolve(&desc, NULL), RN_OK);
    desc = rn_imagenet(18);
    desc.padding = RN_PADDING_SAME, desc.height = 224, desc.width = 223;
    refuses(desc, "images of 224x223 become 224x223, of which one is odd");
    desc = rn_cifar(20);
    desc.padding = RN_PADDING_SAME, desc.height = 32, desc.width = 30;
    refuses(desc, "images of 32x30 become 16x15, of which one is odd");
    desc = rn_cifar(20);
    memcpy(&desc.gate_bias, &nan_bits, sizeof nan_bits);
    refuses(desc, "gate_bias is nan");
    for (i = -1; i < 10; i += 10) { /* also where a dialect asks what the order is like */
        desc = rn_cifar(20);
        desc.order = (rn_order)i;
        rn_set_dialect(&desc, RN_FB);
        refuses(desc, i < 0 ? "order is -1" : "order is 9");
    }
    desc = rn_cifar(20);
    desc.shortcut = (rn_shortcut)-1;
    refuses(desc, "shortcut is -1");
    desc = rn_cifar(20);
    desc.norm = (rn_norm)3;
    refuses(desc, "norm is 3");
    desc = rn_cifar(20);
    desc.stem = (rn_stem)4;
    refuses(desc, "stem is 4");
}

/* What does not go together, with the way out. */
static void check_member_refusals(void) {
    static const char *const pairs[][3] = {
        {"norm evonorm_s0 order original", "order original has norms without a ReLU",
         "take order full_preact, bn_after_add or relu_before_add"},
        {"norm evonorm_s0 order relu_preact", "order relu_preact", "take order"},
        {"norm evonorm_s0 resize B_bn", "resize B_bn has a norm without a ReLU", "take B"},
        {"norm evonorm_s0 resize D_bn", "resize D_bn", "take D"},
        {"norm group_norm norm_groups 5", "norm_groups is 5 and must divide all widths",
         "of which one is 16; take 1"},
        {"norm group_norm norm_groups 16 widths 16,24", "one is 24", "take 8"},
        {"norm evonorm_s0 norm_groups 32", "one is 16", "take 16"},
        {"depth 50 stem deep stem_width 7", "stem_width is 7 and must be even", "half of it"},
        {"resize A outputs 16,8", "cannot be where a stage has fewer channels", "take resize B"},
        {"resize A_centred always_project 1", "resize A_centred", "take resize B"},
        {"resize A stem_width 17", "resize A appends channels", "take resize B"},
    };
    int i;
    for (i = 0; i < (int)(sizeof pairs / sizeof pairs[0]); i++) {
        rn_desc desc = rn_cifar(20);
        net_options(&desc, pairs[i][0]);
        refuses(desc, pairs[i][1]);
        refuses(desc, pairs[i][2]);
    }
}

static rn_desc resolved(const char *options) {
    rn_desc desc;
    rn_error error = {RN_OK, ""};
    memset(&desc, 0, sizeof desc);
    net_options(&desc, options);
    if (test_failed(rn_resolve(&desc, &error) == RN_OK, __FILE__, __LINE__))
        fprintf(stderr, "%s: %s\n", options, error.text);
    return desc;
}

/* What rn_resolve makes of fields that are zero. */
static void check_member_defaults(void) {
    rn_desc desc = resolved("depth 164");
    CHECK_INT(desc.stem_width, 16);
    CHECK(desc.widths[0] == 16 && desc.widths[2] == 64 && desc.widths[3] == 0);
    CHECK(desc.outputs[0] == 64 && desc.outputs[2] == 256 && desc.outputs[3] == 0);
    CHECK_NEAR(desc.standardisation_eps, 1e-8, 0);
    CHECK_INT(desc.norm_groups, 0); /* batch norm has none */
    desc = resolved("stem deep norm group_norm");
    CHECK_INT(desc.norm_groups, 32); /* half of 64 in the stem: one channel a group */
    CHECK_INT(desc.depth, 50);
    CHECK(desc.block == RN_BOTTLENECK && desc.resize == RN_RESIZE_B && desc.height == 224);
    CHECK_INT(resolved("norm group_norm").norm_groups, 16);
    CHECK_INT(resolved("norm group_norm widths 24,36").norm_groups, 4);
    CHECK_INT(resolved("norm evonorm_s0 stem_width 9").norm_groups, 1);
    CHECK_INT(resolved("norm evonorm_s0 order bn_after_add block bottleneck depth 29").resize,
              RN_RESIZE_B);
    CHECK_INT(resolved("order bn_after_add block bottleneck depth 29").resize, RN_RESIZE_B_BN);
    CHECK_INT(resolved("always_project 1").resize, RN_RESIZE_B);
    CHECK_INT(resolved("outputs 20,10,10").resize, RN_RESIZE_B);
    CHECK_INT(resolved("stem bit depth 101").classes, 1000);
    desc = resolved("stem bit depth 50");
    CHECK_INT(rn_resolve(&desc, NULL), RN_OK); /* once more changes nothing */
    CHECK_INT(desc.widths[3], 512);
}

/* Every field, written and read back, with values of its kind. */
static void check_round_trip(void) {
    static const char *const numbers[] = {"3", "7", "1", "250"};
    rn_desc a = rn_cifar(56), b;
    char text[96], again[96];
    int i, fields = 0;
    memset(&b, 0, sizeof b);
    for (i = 0; rn_desc_key(i); i++, fields++) {
        rn_desc_get(&a, i, text);
        if (strchr("0123456789", text[0]) && text[1] != 'x' && !strchr(text, ','))
            CHECK_OK(rn_desc_set(&a, rn_desc_key(i),
                                 strcmp(rn_desc_key(i), "naive") ? numbers[i % 4] : "1", NULL));
        if (text[0] == '0' && text[1] == 'x' && !strchr(text, ','))
            CHECK_OK(rn_desc_set(&a, rn_desc_key(i), i % 2 ? "0.1" : "-3.25e-3", NULL));
    }
    a.units[0] = 5, a.units[1] = 4, a.units[2] = 9;
    a.mean[0] = 0.1f, a.mean[3] = -1e-20f, a.deviation[1] = 0.25f;
    a.block = RN_SINGLE, a.stem = RN_STEM_IMAGENET, a.order = RN_RELU_PREACT;
    a.shortcut = RN_SHORTCUT_DROPOUT, a.resize = RN_RESIZE_A_CENTRED, a.stride_on = RN_STRIDE_3X3;
    a.init = RN_FAN_IN, a.decay_scope = RN_DECAY_WEIGHTS, a.sgd = RN_SGD_CAFFE;
    a.norm = RN_NORM_EVONORM_S0, a.widths[1] = 7, a.outputs[2] = 11, a.standardisation_eps = 1e-7;
    a.isa = RN_ISA_AVX2, a.seed = UINT64_MAX, a.bn_eps = 1.0 / 3;
    for (i = 0; rn_desc_key(i); i++) {
        rn_desc_get(&a, i, text);
        CHECK_OK(rn_desc_set(&b, rn_desc_key(i), text, NULL));
        rn_desc_get(&b, i, again);
        CHECK(!strcmp(text, again));
    }
    CHECK(fields >= 32);
    CHECK(rn_desc_key(-1) == NULL && rn_desc_key(fields) == NULL);
    CHECK_INT(b.depth, a.depth);
    CHECK(b.block == a.block && b.stem == a.stem && b.order == a.order && b.shortcut == a.shortcut);
    CHECK(b.resize == a.resize && b.stride_on == a.stride_on && b.init == a.init && b.isa == a.isa);
    CHECK(b.sgd == a.sgd && b.decay_scope == a.decay_scope && b.seed == a.seed);
    CHECK(!memcmp(b.units, a.units, sizeof a.units));
    CHECK(!memcmp(b.mean, a.mean, sizeof a.mean) &&
          !memcmp(b.deviation, a.deviation, sizeof a.mean));
    CHECK(b.base_width == a.base_width && b.classes == a.classes && b.channels == a.channels);
    CHECK(b.height == a.height && b.width == a.width && b.bn_group == a.bn_group);
    CHECK(b.threads == a.threads && b.naive == a.naive);
    CHECK(b.norm == a.norm && b.norm_groups == a.norm_groups && b.stem_width == a.stem_width);
    CHECK(!memcmp(b.widths, a.widths, sizeof a.widths));
    CHECK(!memcmp(b.outputs, a.outputs, sizeof a.outputs));
    CHECK(b.bare_stem == a.bare_stem && b.bare_tail == a.bare_tail && b.conv_bias == a.conv_bias);
    CHECK(b.always_project == a.always_project && b.raw_identity == a.raw_identity);
    CHECK_INT(b.weight_standardisation, a.weight_standardisation);
    CHECK_NEAR(b.standardisation_eps, a.standardisation_eps, 0);
    CHECK_NEAR(b.bn_eps, a.bn_eps, 0);
    CHECK_NEAR(b.bn_momentum, a.bn_momentum, 0);
    CHECK_NEAR(b.momentum, a.momentum, 0);
    CHECK_NEAR(b.weight_decay, a.weight_decay, 0);
    CHECK_NEAR(b.shortcut_scale, a.shortcut_scale, 0);
    CHECK_NEAR(b.residual_scale, a.residual_scale, 0);
    CHECK_NEAR(b.gate_bias, a.gate_bias, 0);
    CHECK_NEAR(b.carry_bias, a.carry_bias, 0);
    CHECK_NEAR(b.dropout, a.dropout, 0);
}

static void check_words(void) {
    static const char *const bad[][3] = {
        {"order", "post",
         "order cannot be \"post\"; it takes full_preact, original, bn_after_add, "
         "relu_before_add or relu_preact"},
        {"block", "wide", "it takes auto, basic, bottleneck or single"},
        {"shortcut", "", "it takes identity, scale"},
        {"depth", "twenty", "depth cannot be \"twenty\""},
        {"depth", "20.5", "depth cannot be \"20.5\""},
        {"depth", "99999999999", "depth cannot be \"99999999999\""},
        {"depth", "20x", "depth cannot be \"20x\""},
        {"depth", "", "depth cannot be \"\""},
        {"units", "1,2,3,4,5", "units cannot be \"1,2,3,4,5\""},
        {"units", "1,,2", "units cannot be \"1,,2\""},
        {"momentum", "nan", "momentum cannot be \"nan\""},
        {"momentum", "0x7ff8000000000000", "momentum cannot be"},
        {"momentum", "0x12", "momentum cannot be"},
        {"momentum", "1e999", "momentum cannot be"},
        {"momentum", "0.5 ", "momentum cannot be"},
        {"momentum", "0.0000000000000000000000000000000000000000000001e3", "momentum cannot be"},
        {"seed", "-1", "seed cannot be \"-1\""},
        {"seed", "18446744073709551616", "seed cannot be"},
    };
    rn_desc desc = rn_cifar(20), before = desc;
    rn_dialect dialect = RN_PAPER;
    rn_error error;
    int i;
    for (i = 0; i < (int)(sizeof bad / sizeof bad[0]); i++) {
        error.text[0] = 0;
        CHECK_INT(rn_desc_set(&desc, bad[i][0], bad[i][1], &error), RN_BAD_ARGUMENT);
        CHECK_TEXT(error.text, bad[i][2]);
        CHECK(!memcmp(&desc, &before, sizeof desc));
    }
    CHECK_INT(rn_desc_set(&desc, "colour", "red", &error), RN_BAD_ARGUMENT);
    CHECK_TEXT(error.text, "the description has no \"colour\"");
    CHECK_INT(set("order", "bn-after-add").order, RN_BN_AFTER_ADD);
    CHECK_INT(set("stride-on", "3x3").stride_on, RN_STRIDE_3X3);
    CHECK_INT(set("seed", "18446744073709551615").seed == UINT64_MAX, 1);
    CHECK_NEAR(set("momentum", "0.875").momentum, 0.875, 0);
    CHECK_NEAR(set("momentum", "0x3fe0000000000000").momentum, 0.5, 0);
    CHECK_NEAR(set("weight_decay", "5e-4").weight_decay, 5e-4, 1e-18);
    CHECK_NEAR(set("mean", "0.5,0.25").mean[1], 0.25, 0);
    CHECK_INT(rn_dialect_parse(&dialect, "msra-1k", NULL), RN_OK);
    CHECK_INT(dialect, RN_MSRA_1K);
    CHECK_INT(rn_dialect_parse(&dialect, "keras", &error), RN_BAD_ARGUMENT);
    CHECK_TEXT(error.text,
               "dialect cannot be \"keras\"; it takes paper, msra_1k, fb, torchvision, timm or "
               "mlperf_tiny");
}

/* The table beside rn_set_dialect. */
static void check_dialects(void) {
    static const int want[][6] = {
        /* dialect, stride_on, resize of a basic CIFAR net, sgd, decay, resize of an original 50 */
        {RN_PAPER, RN_STRIDE_FIRST, RN_RESIZE_AUTO, RN_SGD_CAFFE, RN_DECAY_WEIGHTS, RN_RESIZE_AUTO},
        {RN_MSRA_1K, RN_STRIDE_FIRST, RN_RESIZE_B, RN_SGD_NESTEROV, RN_DECAY_ALL, RN_RESIZE_B},
        {RN_FB, RN_STRIDE_3X3, RN_RESIZE_A, RN_SGD_NESTEROV, RN_DECAY_ALL, RN_RESIZE_B_BN},
        {RN_TORCHVISION, RN_STRIDE_3X3, RN_RESIZE_B, RN_SGD_TORCH, RN_DECAY_ALL, RN_RESIZE_B_BN},
        {RN_TIMM, RN_STRIDE_3X3, RN_RESIZE_B, RN_SGD_NESTEROV, RN_DECAY_ALL, RN_RESIZE_B},
        {RN_MLPERF_TINY, RN_STRIDE_3X3, RN_RESIZE_B, RN_SGD_NESTEROV, RN_DECAY_WEIGHTS,
         RN_RESIZE_B},
    };
    int i;
    for (i = 0; i < 6; i++) {
        rn_desc desc = rn_cifar(20);
        rn_set_dialect(&desc, (rn_dialect)want[i][0]);
        CHECK_INT(desc.bare_stem + desc.raw_identity, want[i][0] == RN_TIMM ? 2 : 0);
        CHECK_INT(desc.always_project, 0);
        CHECK_INT(desc.stride_on, want[i][1]);
        CHECK_INT(desc.resize, want[i][2]);
        CHECK_INT(desc.sgd, want[i][3]);
        CHECK_INT(desc.decay_scope, want[i][4]);
        CHECK_INT(rn_resolve(&desc, NULL), RN_OK);
        desc = rn_imagenet(50);
        desc.order = RN_ORIGINAL;
        desc.block = RN_BOTTLENECK;
        rn_set_dialect(&desc, (rn_dialect)want[i][0]);
        CHECK_INT(desc.resize, want[i][5]);
        CHECK_INT(desc.always_project, want[i][0] == RN_TIMM);
        CHECK_INT(rn_resolve(&desc, NULL), RN_OK);
    }
}

/* Its net, whatever the description was before; other dialects leave what it alone means. */
static void check_mlperf_tiny(void) {
    rn_desc desc = rn_cifar(8);
    rn_net *net;
    desc.mean[1] = desc.deviation[1] = 0.5f;
    rn_set_dialect(&desc, RN_FB);
    CHECK(!desc.order && !desc.conv_bias && !desc.padding);
    CHECK_NEAR(desc.bn_eps + desc.mean[1], 0.5, 0);
    rn_set_dialect(&desc, RN_MLPERF_TINY);
    CHECK_INT(desc.order, RN_ORIGINAL);
    CHECK_INT(desc.padding, RN_PADDING_SAME);
    CHECK_INT(desc.init, RN_FAN_IN);
    CHECK_NEAR(desc.bn_eps, 1e-3, 0);
    CHECK_NEAR(desc.mean[1], 0, 0);
    CHECK_NEAR(desc.deviation[1] * 255, 1, 1e-6);
    net = net_create(&desc, 1, RN_INFERENCE);
    if (net) CHECK_INT(net->parameter_count, 77360 + 346 + 2 * 240); /* with BN */
    rn_destroy(net);
    desc.base_width = 40;
    net = net_create(&desc, 1, RN_INFERENCE);
    if (net) CHECK_INT(net->parameter_count, 479480 + 850 + 2 * 600);
    rn_destroy(net);
}

/* A projection has its norm, whatever the shape. */
static void check_projections(void) {
    rn_desc desc = rn_cifar(20);
    rn_net *net;
    desc.order = RN_ORIGINAL;
    desc.resize = RN_RESIZE_B_BN;
    desc.always_project = 1;
    net = net_create(&desc, 1, RN_INFERENCE);
    if (!net) return;
    CHECK(rn_find_node(net, "layer1.0.shortcut_bn") > 0);
    CHECK(rn_find_node(net, "layer2.0.shortcut_bn") > 0);
    CHECK_INT(rn_find_node(net, "layer1.1.shortcut"), -1);
    rn_destroy(net);
}

static void check_status(void) {
    CHECK(!strcmp(rn_status_name(RN_BAD_SHAPE), "RN_BAD_SHAPE"));
    CHECK(!strcmp(rn_status_text(RN_OK), "success"));
    CHECK(!strcmp(rn_status_text(RN_IO), "reading or writing failed"));
    CHECK(rn_status_name((rn_status)-99) != NULL && rn_status_text((rn_status)-99) != NULL);
}

static void check_descriptions(void) {
    check_refusals();
    check_member_refusals();
    check_member_defaults();
    check_round_trip();
    check_words();
    check_dialects();
    check_mlperf_tiny();
    check_projections();
    check_status();
}

/* ---- micro-batches --------------------------------------------------------------------------- */

enum { WHOLE = 70, GROUP = 16 };

static const rn_real class_weights[4] = {1, 0.5f, 0, 3};

/* Three steps, the second of fewer images, and the predictions after them. The net has shapes for
   Winograd's convolutions. */
static rn_net *run_in_parts(rn_desc desc, int micro_batch, int threads, const net_batch *batch,
                            rn_real *logits) {
    rn_result result = {0, 0};
    rn_net *net;
    int step;
    desc.micro_batch = micro_batch;
    desc.threads = threads;
    net = net_create(&desc, WHOLE, RN_TRAINING);
    if (net && desc.label_smoothing > 0) net->class_weights = class_weights;
    for (step = 0; net && step < 3; step++)
        CHECK_OK(rn_train_step(net, batch->images, batch->labels, WHOLE - 3 * (step == 1), 0.05,
                               &result, NULL));
    if (net) CHECK_OK(rn_predict(net, rn_workspace(net), batch->images, WHOLE, logits, NULL));
    if (net) logits[WHOLE * desc.classes] = (rn_real)result.loss;
    return net;
}

#ifdef REDUCED
enum { PARTS_FROM = 2 }; /* of the sizes below: the smallest, by most threads */
#else
enum { PARTS_FROM = 0 };
#endif

/* Parts of a batch give the bits of the whole where BN's groups agree, in less memory. */
static void check_micro_batches_of(rn_desc desc, int winograd) {
    static const int parts[] = {64, 32, 16};
    rn_real whole[WHOLE * 4 + 1], logits[WHOLE * 4 + 1];
    net_batch batch = net_draw_batch(&desc, WHOLE, 5);
    rn_net *net = run_in_parts(desc, 0, 1, &batch, whole), *part;
    int k;
    for (k = PARTS_FROM; net && k < 3; k++) {
        part = run_in_parts(desc, parts[k], 1 + k, &batch, logits);
        if (!part) break;
        check_same_net(net, part, 1);
        net_check(!memcmp(whole, logits, sizeof whole), __LINE__, &desc, "bits in parts of",
                  parts[k], 0);
        CHECK(part->executor->activation_bytes[RN_TRAINING] <
              net->executor->activation_bytes[RN_TRAINING]);
        rn_destroy(part);
    }
    desc.direct = 1; /* other bits with Winograd, near numbers in any case */
    part = run_in_parts(desc, 0, 1, &batch, logits);
    if (part && net) {
        rn_tensor a = rn_tensor_in(logits, 1, 1, 1, WHOLE * 4);
        CHECK(!winograd || memcmp(whole, logits, sizeof whole) != 0);
        CHECK(rn_tensor_difference(a, rn_tensor_in(whole, 1, 1, 1, WHOLE * 4)) < 0.02);
    }
    rn_destroy(part);
    rn_destroy(net);
    net_free_batch(&batch);
}

/* Norms of images need no groups of them: whatever the part, from 16 images on the bits are those
   of the whole batch. */
static void check_micro_batches(void) {
    int i;
    for (i = 0; i < ORDERS; i++) {
        rn_desc desc = net_desc((rn_order)i, i % 2 ? RN_BASIC : RN_BOTTLENECK,
                                i % 3 ? RN_SHORTCUT_IDENTITY : RN_SHORTCUT_HIGHWAY, RN_RESIZE_AUTO,
                                RN_STEM_CIFAR);
        desc.base_width = 12;
        desc.height = desc.width = 16;
        desc.bn_group = GROUP;
        desc.label_smoothing = i % 2 ? 0.1 : 0; /* with class weights */
        check_micro_batches_of(desc, 1);
    }
    for (i = 0; i < NET_MEMBERS; i += MEMBER_STEP) {
        rn_desc desc = net_member(i);
        if (desc.shortcut == RN_SHORTCUT_DROPOUT) continue;
        if (desc.stem == RN_STEM_CIFAR) desc.height = desc.width = 16; /* Winograd's, in any case */
        if (desc.stem == RN_STEM_CIFAR && !desc.stem_width) desc.base_width *= 4;
        if (desc.stem != RN_STEM_CIFAR) desc.height = desc.width = 35;
        desc.bn_group = desc.norm == RN_NORM_BATCH ? GROUP : 0;
        check_micro_batches_of(desc, 0);
    }
}

/* ---- budgets --------------------------------------------------------------------------------- */

/* The least budget, as the refusal of a smaller one names it; that of one byte names it. */
static size_t least_budget(rn_desc desc, int batch) {
    rn_error error = {RN_OK, ""};
    const char *words = "at least ", *number;
    desc.budget = 1;
    CHECK_INT(rn_bytes(&desc, batch, RN_TRAINING, &error), 0);
    CHECK_INT(error.status, RN_TOO_SMALL);
    CHECK_TEXT(error.text, words);
    number = strstr(error.text, words);
    return number ? (size_t)strtoull(number + strlen(words), NULL, 10) : 0;
}

#ifdef REDUCED
enum { BUDGET_STEP = 2 };
#else
enum { BUDGET_STEP = 1 };
#endif

/* How much of a net is computed again: nothing, something but no convolution, convolutions. */
static int repetition_of(const rn_net *net) {
    int k, kind = 0;
    for (k = 0; k < net->executor->count; k++) {
        const rn__operation *op = &net->executor->operations[k];
        if (op->again) kind = net->nodes[op->node].kind == RN_CONV2D || kind == 2 ? 2 : 1;
    }
    return kind;
}

/* Budgets from the whole down to the least: never exceeded, and the same bits. */
static void check_budgets_of(rn_desc desc, int seen[3]) {
    const size_t whole = rn_bytes(&desc, WHOLE, RN_TRAINING, NULL);
    const size_t least = least_budget(desc, WHOLE), step = (whole - least) / 4;
    rn_real expected[WHOLE * 4 + 1], logits[WHOLE * 4 + 1];
    net_batch batch = net_draw_batch(&desc, WHOLE, 5);
    rn_net *net = run_in_parts(desc, desc.micro_batch, desc.threads, &batch, expected);
    rn_error error;
    int k;
    CHECK(least > 0 && least < whole);
    for (k = 0; net && k <= 4; k++) {
        rn_net *small;
        desc.budget = k < 4 ? whole - (size_t)k * step - 1 : least;
        small = run_in_parts(desc, desc.micro_batch, desc.threads, &batch, logits);
        if (!small) break;
        CHECK(small->bytes <= desc.budget);
        CHECK(repetition_of(small) > 0);
        seen[repetition_of(small)]++;
        check_same_net(net, small, 1);
        CHECK(!memcmp(expected, logits, sizeof logits));
        rn_destroy(small);
    }
    desc.budget = whole; /* which is enough for all */
    CHECK_INT(rn_bytes(&desc, WHOLE, RN_TRAINING, &error), whole);
    desc.budget = least - 1;
    CHECK_INT(rn_bytes(&desc, WHOLE, RN_TRAINING, &error), 0);
    CHECK(rn_create(&desc, WHOLE, RN_TRAINING, NULL, &error) == NULL);
    CHECK_TEXT(error.text, "micro_batch");
    CHECK(rn_bytes(&desc, WHOLE, RN_INFERENCE, &error) > 0); /* is not bound by it */
    rn_destroy(net);
    net_free_batch(&batch);
}

static void check_budgets(void) {
    static const char *const words[][2] = {{"1", "1"},
                                           {"3K", "3072"},
                                           {"2M", "2097152"},
                                           {"1000M", "1048576000"},
                                           {"16G", "17179869184"}};
    int i, seen[2][3] = {{0}};
    rn_desc desc = rn_cifar(20);
    for (i = 0; i < 5; i++) {
        CHECK_OK(rn_desc_set(&desc, "budget", words[i][0], NULL));
        CHECK(desc.budget == strtoull(words[i][1], NULL, 10));
    }
    CHECK_INT(rn_desc_set(&desc, "budget", "17179869184G", NULL), RN_BAD_ARGUMENT);
    CHECK_INT(rn_desc_set(&desc, "budget", "1Q", NULL), RN_BAD_ARGUMENT);
    CHECK_INT(rn_desc_set(&desc, "budget", "M", NULL), RN_BAD_ARGUMENT);
    CHECK_INT(rn_desc_set(&desc, "seed", "1K", NULL), RN_BAD_ARGUMENT);
    for (i = 0; i < 2 * ORDERS; i += BUDGET_STEP) {
        const int naive = i >= ORDERS, order = i % ORDERS;
        desc = net_desc((rn_order)order, order % 2 ? RN_BASIC : RN_BOTTLENECK,
                        order % 3   ? RN_SHORTCUT_IDENTITY
                        : order % 2 ? RN_SHORTCUT_HIGHWAY
                                    : RN_SHORTCUT_DROPOUT,
                        RN_RESIZE_AUTO, i == 1 ? RN_STEM_IMAGENET : RN_STEM_CIFAR);
        desc.units[0] = desc.units[1] = 4;
        desc.base_width = naive ? 4 : 12;
        desc.height = desc.width = naive ? 8 : i == 1 ? 36 : 16;
        desc.bn_group = GROUP;
        desc.micro_batch = i == 2 ? 32 : 0;
        desc.naive = naive;
        desc.threads = 2;
        check_budgets_of(desc, seen[naive]);
    }
    for (i = 0; i < NET_MEMBERS; i += 3 * MEMBER_STEP) {
        desc = net_member(i);
        desc.units[0] = desc.units[1] = 4;
        desc.threads = 2;
        desc.micro_batch = i % 2 && desc.norm ? 16 : 0;
        check_budgets_of(desc, seen[0]);
    }
    for (i = 0; i < 2; i++) CHECK(seen[i][1] > 0 && seen[i][2] > 0);
    desc = net_desc(RN_ORIGINAL, RN_SINGLE, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, RN_STEM_CIFAR);
    desc.units[0] = 1, desc.units[1] = 0; /* the smallest net there is */
    desc.base_width = desc.channels = desc.height = desc.width = desc.naive = 1;
    CHECK(least_budget(desc, 1) > 0);
}

/* ---- packed weights -------------------------------------------------------------------------- */

/* The logits of these images, which must be the bits of `expected` if it is not NULL. */
static void predict_again(rn_net *net, const net_batch *batch, int count, rn_real *logits,
                          const rn_real *expected) {
    size_t bytes = (size_t)(count * net->desc.classes) * sizeof(rn_real);
    CHECK_OK(rn_predict(net, rn_workspace(net), batch->images, count, logits, NULL));
    if (expected) CHECK(!memcmp(logits, expected, bytes));
}

/* rn_freeze changes no bit, takes what rn_freeze_bytes says, and ends with an update. */
static void check_freeze_of(const rn_desc *desc) {
    rn_real before[4 * 4], after[4 * 4], trained[4 * 4];
    net_batch batch = net_draw_batch(desc, 4, 9);
    rn_memory memory = {NULL, 0, NULL, NULL, NULL};
    char *block, *aligned;
    rn_error error;
    rn_net *net;
    net = net_create(desc, 4, RN_TRAINING);
    if (!net) return;
    net_draw(net, 3);
    memory.bytes = rn_freeze_bytes(net);
    block = (char *)net_take(memory.bytes + 64);
    aligned = block + (64 - (uintptr_t)block % 64) % 64;
    memory.buffer = aligned;
    aligned[memory.bytes] = 77; /* a guard */
    predict_again(net, &batch, 4, before, NULL);
    memory.bytes--;
    CHECK_INT(rn_freeze(net, &memory, &error), RN_TOO_SMALL);
    CHECK_TEXT(error.text, "packed weights: the buffer has");
    predict_again(net, &batch, 4, after, before);
    memory.bytes++;
    CHECK_OK(rn_freeze(net, &memory, &error));
    CHECK(net->executor->prepacked);
    predict_again(net, &batch, 4, after, before);
    predict_again(net, &batch, 1, after, before);
    CHECK_OK(rn_freeze(net, NULL, &error)); /* of the same weights, into the same memory */
    predict_again(net, &batch, 4, after, before);
    CHECK_OK(rn_train_step(net, batch.images, batch.labels, 4, 0.1, NULL, NULL));
    predict_again(net, &batch, 4, trained, NULL);
    CHECK(memcmp(trained, before, sizeof before) != 0);
    CHECK_OK(rn_freeze(net, NULL, &error));
    predict_again(net, &batch, 4, after, trained);
    CHECK_INT(aligned[memory.bytes], 77);
    rn_destroy(net);
    free(block);
    net_free_batch(&batch);
}

static void check_freeze(void) {
    int i;
    for (i = 0; i < 2 * SHORTCUTS; i++) {
        rn_desc desc = net_desc((rn_order)(i % ORDERS), (rn_block)(RN_BASIC + i % 3),
                                (rn_shortcut)(i % SHORTCUTS), RN_RESIZE_AUTO,
                                i % 4 ? RN_STEM_CIFAR : RN_STEM_IMAGENET);
        desc.base_width = 10;
        check_freeze_of(&desc);
    }
    for (i = 0; i < NET_MEMBERS; i++) {
        rn_desc desc = net_member(i);
        check_freeze_of(&desc);
    }
}

/* ---- recalibration --------------------------------------------------------------------------- */

static int read_drawn(void *user, ptrdiff_t index, uint8_t *pixels, int *label) {
    const rn_source *source = (const rn_source *)user;
    int i, count = source->channels * source->height * source->width;
    for (i = 0; i < count; i++)
        pixels[i] = (uint8_t)(128 + 40 * net_number(77, (uint64_t)(index * count + i)));
    *label = (int)index % source->classes;
    return 0;
}

static void count_steps(void *user, rn_net *net, int node, int backward) {
    (void)net, (void)node;
    ((int *)user)[backward]++;
}

/* With class weights, which batches have differently much of, the loss is the mean over all labels
   by their weights. */
static void check_weighted(rn_net *net, const rn_source *source, int batches, rn_real *images,
                           int *labels) {
    static const rn_real weights[4] = {0.01f, 1, 5, 0.5f};
    const rn_loss loss = {net->desc.label_smoothing, weights};
    double sum = 0, all = 0;
    rn_result results[2], one;
    int b, i, correct = 0;
    net->class_weights = weights;
    CHECK_OK(rn_recalibrate(net, source, batches, images, labels, results, NULL));
    for (b = 0; b < batches; b++) {
        const int first = b * net->batch, count = rn__min(net->batch, (int)source->count - first);
        const rn_tensor logits = rn_tensor_in(net->logits, count, net->desc.classes, 1, 1);
        double weight = 0;
        CHECK_OK(rn_batch(source, &net->desc, NULL, 0, first, count, images, labels, NULL));
        CHECK_OK(rn_predict(net, rn_workspace(net), images, count, net->logits, NULL));
        CHECK_OK(rn_softmax_cross_entropy_forward(&one, &logits, labels, &loss, NULL));
        for (i = 0; i < count; i++) weight += (double)weights[labels[i]];
        sum += weight * one.loss;
        all += weight;
        correct += one.correct;
    }
    CHECK_NEAR(results[1].loss, sum / all, 1e-6);
    CHECK_INT(results[1].correct, correct);
    net->class_weights = NULL;
}

/* Running statistics are the plain mean over the images of their batches', the last of which is
   smaller; parameters and gradients stay, no backward step runs, and both modes then agree on one
   batch but for the variance's m / (m - 1). */
static void check_recalibration(void) {
    enum { BATCHES = 3, COUNT = 8, IMAGES = 21 };
    int i, b;
    for (i = 0; i < ORDERS; i++) {
        rn_desc desc =
            net_desc((rn_order)i, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, RN_STEM_CIFAR);
        rn_source source = {IMAGES, 2, 7, 6, 4, read_drawn, NULL};
        rn_real images[COUNT * 2 * 7 * 6], *parameters, *means;
        int labels[COUNT];
        rn_result results[2];
        rn_error error;
        rn_net *net;
        int steps[2] = {0, 0};
        size_t bytes;
        ptrdiff_t k;
        source.user = &source;
        desc.bn_momentum = 1;
        net = net_create(&desc, COUNT, RN_TRAINING);
        if (!net) return;
        net_draw(net, 4);
        bytes = (size_t)net->parameter_count * sizeof(rn_real);
        parameters = (rn_real *)net_take(bytes);
        memcpy(parameters, net->parameters, bytes);
        means = (rn_real *)net_take((size_t)net->statistic_count * sizeof(rn_real));
        for (b = 0; b < BATCHES; b++) { /* a step of rate 0 with momentum 1 measures one batch */
            const int count = rn__min(COUNT, IMAGES - b * COUNT);
            CHECK_OK(rn_batch(&source, &desc, NULL, 0, b * COUNT, count, images, labels, NULL));
            CHECK_OK(rn_train_step(net, images, labels, count, 0, NULL, NULL));
            for (k = 0; k < net->statistic_count; k++)
                means[k] += net->statistics[k] * (rn_real)count / IMAGES;
        }
        memcpy(net->gradients, parameters, bytes);
        net->probe = count_steps;
        net->probe_user = steps;
        CHECK_OK(rn_recalibrate(net, &source, BATCHES, images, labels, results, &error));
        net->probe = NULL;
        CHECK(steps[0] > 0);
        CHECK_INT(steps[1], 0);
        CHECK(!memcmp(parameters, net->gradients, bytes));
        CHECK(
            rn_tensor_difference(rn_tensor_in(net->statistics, 1, 1, 1, (int)net->statistic_count),
                                 rn_tensor_in(means, 1, 1, 1, (int)net->statistic_count)) < 1e-6);
        CHECK(!memcmp(parameters, net->parameters, bytes));
        CHECK_OK(rn_recalibrate(net, &source, 1, images, labels, results, &error));
        CHECK_NEAR(results[1].loss, results[0].loss, 0.02);
        CHECK(results[0].loss > 0 && fabs(results[1].loss - results[0].loss) > 0);
        check_weighted(net, &source, BATCHES, images, labels);
        memcpy(means, net->statistics, (size_t)net->statistic_count * sizeof(rn_real));
        CHECK_INT(rn_recalibrate(net, &source, BATCHES + 1, images, labels, NULL, &error),
                  RN_BAD_ARGUMENT);
        CHECK_TEXT(error.text, "the source has 21 images, too few for 4 batches of 8");
        CHECK(!memcmp(means, net->statistics, (size_t)net->statistic_count * sizeof(rn_real)));
        CHECK_INT(rn_recalibrate(net, &source, 0, images, labels, NULL, &error), RN_BAD_ARGUMENT);
        CHECK_TEXT(error.text, "batches is 0");
        free(parameters);
        free(means);
        rn_destroy(net);
    }
}

/* ---- loss ------------------------------------------------------------------------------------ */

/* The mean loss of net->logits by its definition. */
static double loss_by_definition(const rn_net *net, const int *labels, double smoothing,
                                 const rn_real *weights) {
    double sum = 0, total = 0;
    int n, k, j, classes = net->desc.classes;
    for (n = 0; n < net->images; n++) {
        const rn_real *z = net->logits + n * classes;
        total += (double)weights[labels[n]];
        for (k = 0; k < classes; k++) {
            double inverse = 0, target = (1 - smoothing) * (k == labels[n]) + smoothing / classes;
            for (j = 0; j < classes; j++) inverse += exp((double)z[j] - (double)z[k]);
            sum += target * (double)weights[k] * log(inverse);
        }
    }
    return sum / total;
}

static void refuse_weights(rn_net *net, const net_batch *batch, int count, const rn_real *weights,
                           const char *part) {
    const uint64_t step = net->step;
    rn_error error = {RN_OK, ""};
    net->class_weights = weights;
    CHECK_INT(rn_train_step(net, batch->images, batch->labels, count, 0.1, NULL, &error),
              RN_BAD_ARGUMENT);
    CHECK_TEXT(error.text, part);
    CHECK(net->step == step);
}

/* What is reported is the loss of the net's own logits; weights of 1 and no smoothing are the plain
   loss bit by bit; both change what is learned; smoothing travels in files. */
static void check_loss(void) {
    static const rn_real ones[4] = {1, 1, 1, 1}, negative[4] = {1, 1, -1, 1};
    static const rn_real infinite[4] = {1, 1, 1, (rn_real)HUGE_VAL}, one_class[4] = {0, 0, 0, 1};
    rn_desc desc, stored;
    rn_net *plain, *same, *smooth, *naive;
    rn_result result, naive_result;
    rn_error error;
    net_batch batch;
    size_t bytes;
    desc = net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, RN_STEM_CIFAR);
    plain = net_create(&desc, 8, RN_TRAINING);
    same = net_create(&desc, 8, RN_TRAINING);
    CHECK_OK(rn_desc_set(&desc, "label_smoothing", "0.2", &error));
    smooth = net_create(&desc, 8, RN_TRAINING);
    desc.naive = 1;
    naive = net_create(&desc, 8, RN_TRAINING);
    if (!plain || !same || !smooth || !naive) return;
    bytes = (size_t)plain->parameter_count * sizeof(rn_real);
    batch = net_draw_batch(&plain->desc, 8, 3);
    same->class_weights = ones;
    smooth->class_weights = naive->class_weights = class_weights;
    CHECK_OK(rn_backpropagate(plain, batch.images, batch.labels, 8, &result, &error));
    CHECK_NEAR(result.loss, loss_by_definition(plain, batch.labels, 0, ones), 1e-12);
    CHECK_OK(rn_backpropagate(same, batch.images, batch.labels, 8, &naive_result, &error));
    CHECK(!memcmp(&result.loss, &naive_result.loss, sizeof result.loss));
    CHECK(!memcmp(plain->gradients, same->gradients, bytes));
    CHECK_OK(rn_backpropagate(smooth, batch.images, batch.labels, 8, &result, &error));
    CHECK_NEAR(result.loss, loss_by_definition(smooth, batch.labels, 0.2, class_weights), 1e-12);
    CHECK(memcmp(plain->gradients, smooth->gradients, bytes) != 0);
    CHECK_OK(rn_backpropagate(naive, batch.images, batch.labels, 8, &naive_result, &error));
    CHECK_NEAR(result.loss, naive_result.loss, 1e-5);
    CHECK(rn_tensor_difference(
              rn_tensor_in(smooth->gradients, 1, 1, 1, (int)smooth->parameter_count),
              rn_tensor_in(naive->gradients, 1, 1, 1, (int)smooth->parameter_count)) < 1e-3);
    CHECK_OK(rn_save_checkpoint(smooth, file_names[0], NULL, &error));
    CHECK_OK(rn_load_desc(&stored, file_names[0], NULL, &error));
    CHECK(stored.label_smoothing >= 0.2 && stored.label_smoothing <= 0.2);
    remove(file_names[0]);
    refuse_weights(same, &batch, 8, negative, "class weight of class 2 is -1");
    refuse_weights(same, &batch, 8, infinite, "class weight of class 3 is inf");
    batch.labels[0] = batch.labels[1] = 2;
    refuse_weights(same, &batch, 2, one_class, "class weights of all 2 labels are zero");
    desc.label_smoothing = 1;
    CHECK(rn_create(&desc, 8, RN_TRAINING, NULL, &error) == NULL);
    CHECK_TEXT(error.text, "label_smoothing is 1");
    rn_destroy(plain);
    rn_destroy(same);
    rn_destroy(smooth);
    rn_destroy(naive);
    net_free_batch(&batch);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {
        {"overfit", check_overfit},     {"depths", check_depths},
        {"counts", check_counts},       {"sgd", check_sgd},
        {"schedules", check_schedules}, {"statistics", check_statistics},
        {"finite", check_not_finite},   {"arguments", check_step_arguments},
        {"resume", check_resume},       {"runs", check_two_runs},
        {"init", check_initialisation}, {"descriptions", check_descriptions},
        {"micro", check_micro_batches}, {"budget", check_budgets},
        {"freeze", check_freeze},       {"recalibrate", check_recalibration},
        {"loss", check_loss},
    };
    int i, k;
    for (i = 0; i < (int)(sizeof parts / sizeof parts[0]); i++) {
        int chosen = argc == 1;
        for (k = 1; k < argc; k++) chosen |= !strcmp(argv[k], parts[i].name);
        if (chosen) parts[i].run();
    }
    return test_end("training");
}
