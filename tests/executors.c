/* executors.c - fast execution against naive execution, node by node, forward and backward. A naive
   net records every value and gradient when it is new; a fast net compares each of its steps with
   the recording (1e-5 of the tensor's largest magnitude) and then goes on with the recorded
   numbers, so that every step has the same input in both and errors do not pile up. Every order,
   block, shortcut, resize shortcut and stem, and the nets beside the paper's, with odd sizes,
   widths that are no multiple of 16, batches that are not full, batch norm in groups, one and two
   threads, every instruction set of the machine; and unfused, node by node. At every step every
   node is asked for its value and gradient: what can be read is what the naive net has, the rest is
   refused with the reason. What a probe writes has the same consequences in both. Of every other
   net some stages are frozen. Then whole nets, whose bits must not depend on the number of threads,
   and inference. With arguments, such as --only highway, the nets that have it, or such as --order
   original --shortcut highway, one net (--help).

   cc -std=c99 -O2 -fopenmp -o executors tests/executors.c -lm && ./executors */

#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"

#include "nets.h"

#define BOUND 1e-5     /* of a value or gradient, relative to its largest magnitude */
#define WINOGRAD 1e-4  /* the same, of what Winograd's transforms had a hand in */
#define KINK 1e-5      /* inputs of ReLUs nearer to zero, relative likewise, are drawn again */
#define WRITTEN 1e-4   /* of whole nets by a write, likewise */
#define INFERENCE 2e-5 /* logits of a whole net, where errors do pile up */

#ifdef REDUCED
enum { EVERY = 11, MOST_THREADS = 3 }; /* prime: it meets every option */
enum { TURNS = 1 };                    /* one thread or two */
#else
enum { EVERY = 3, MOST_THREADS = 8 }; /* of the combinations, in an order that mixes them */
enum { TURNS = 2 };                   /* one thread and two */
#endif

/* ---- recording ------------------------------------------------------------------------------- */

typedef struct record {
    rn_real **values;    /* [node] */
    rn_real **gradients; /* [2 node + input]: of the inputs, behind the node's backward */
    rn_real *parameters, *statistics;
    int values_met, gradients_met;
    double worst; /* error, relative to what it is compared with */
} record;

static rn_tensor tensor_of(const rn_net *net, int node, rn_real *data) {
    const rn_node *n = &net->nodes[node];
    return rn_tensor_in(data, net->images, n->c, n->h, n->w);
}

static ptrdiff_t count_of(const rn_net *net, int node) {
    const rn_node *n = &net->nodes[node];
    return (ptrdiff_t)net->images * n->c * n->h * n->w;
}

static rn_real *keep(rn_real *old, const rn_real *data, ptrdiff_t count) {
    rn_real *copy = old ? old : (rn_real *)net_take((size_t)count * sizeof(rn_real));
    memcpy(copy, data, (size_t)count * sizeof(rn_real));
    return copy;
}

/* The gradient of value v after the backward of step i: what its last reader so far left. */
static const rn_real *recorded_gradient(const record *r, const rn_net *net, int v, int i) {
    int k;
    for (k = i; k <= net_last_reader(net, v); k++) {
        if (net_left_out(net, k)) continue;
        if (net->nodes[k].inputs[0] == v) return r->gradients[2 * k];
        if (net->nodes[k].inputs[1] == v) return r->gradients[2 * k + 1];
    }
    return NULL;
}

/* A refusal names the node and says what to do. */
static void check_refusal(int v, const rn_error *error) {
    char name[32];
    snprintf(name, sizeof name, "(node %d)", v);
    CHECK_INT(error->status, RN_BAD_ARGUMENT);
    CHECK_TEXT(error->text, name);
    CHECK(v == 0 || strstr(error->text, "desc.naive") || strstr(error->text, "probe") ||
          strstr(error->text, "frozen_below") || strstr(error->text, "left out of this step"));
}

/* Has value v a gradient: not that of the images, nor what is frozen or left out? (A frozen
   normalisation that its readers do is no operation, and the one behind it answers.) */
static int has_gradient(const rn_net *net, int v) {
    const int node = rn__operation_of(net, v)->node;
    return v > 0 && node <= v && node >= net->first_trained && !net_left_out(net, v);
}

/* Asks every node for its value and gradient: the recorded ones, or a refusal. */
static void check_every_node(const record *r, const rn_net *net, int i, int backward,
                             double tolerance) {
    int v;
    for (v = 0; v < net->node_count; v++) {
        rn_real *got = (rn_real *)net_take((size_t)count_of(net, v) * sizeof(rn_real));
        const rn_tensor t = tensor_of(net, v, got);
        rn_error error;
        if (rn_read_value(net, v, t, &error))
            check_refusal(v, &error);
        else if (v || r->values[0]) {
            CHECK(backward || v <= i);
            CHECK(!memcmp(got, r->values[v], (size_t)count_of(net, v) * sizeof(rn_real)));
        }
        if (rn_read_gradient(net, v, t, &error))
            check_refusal(v, &error);
        else if (v < net->node_count - 1) { /* the loss alone reads the last */
            const rn_real *want = recorded_gradient(r, net, v, i);
            CHECK(backward && want);
            if (want)
                net_check(rn_tensor_difference(t, tensor_of(net, v, (rn_real *)want)) <= tolerance,
                          __LINE__, &net->desc, "gradient of a node", v, i);
        }
        free(got);
    }
}

static void record_step(void *user, rn_net *net, int i, int backward) {
    record *r = (record *)user;
    int k;
    rn_real **to;
    if (!backward) {
        to = &r->values[i];
        if (!*to) *to = (rn_real *)net_take((size_t)count_of(net, i) * sizeof(rn_real));
        CHECK_INT(rn_read_value(net, i, tensor_of(net, i, *to), NULL), RN_OK);
        check_every_node(r, net, i, 0, 0);
        return;
    }
    for (k = 0; k < 2; k++) {
        int a = net->nodes[i].inputs[k];
        if (!has_gradient(net, a)) continue;
        to = &r->gradients[2 * i + k];
        if (!*to) *to = (rn_real *)net_take((size_t)count_of(net, a) * sizeof(rn_real));
        CHECK_INT(rn_read_gradient(net, a, tensor_of(net, a, *to), NULL), RN_OK);
    }
    check_every_node(r, net, i, 1, 0);
}

static record new_record(const rn_net *net) {
    record r;
    memset(&r, 0, sizeof r);
    r.values = (rn_real **)net_take((size_t)net->node_count * sizeof(rn_real *));
    r.gradients = (rn_real **)net_take((size_t)net->node_count * 2 * sizeof(rn_real *));
    return r;
}

static void free_record(record *r, const rn_net *net) {
    int i;
    for (i = 0; i < net->node_count; i++) {
        free(r->values[i]);
        free(r->gradients[2 * i]);
        free(r->gradients[2 * i + 1]);
    }
    free(r->values);
    free(r->gradients);
    free(r->parameters);
    free(r->statistics);
}

/* Is v a sum of which the shortcut alone is there? */
static int is_shortcut_alone(const rn_net *net, int v) {
    return net->nodes[v].kind == RN_ADD && net_left_out(net, net->nodes[v].inputs[0]);
}

/* Is an input of a ReLU so close to zero that rounding may switch it? */
static int near_kink(const record *r, const rn_net *net) {
    int i;
    for (i = 1; i < net->node_count; i++) {
        int source = net->nodes[i].inputs[0];
        ptrdiff_t k, count = count_of(net, source);
        /* padding's zeros, and of a ReLU before which nothing is added */
        const int exact = net->nodes[source].zeros || is_shortcut_alone(net, source);
        double limit;
        if (net->nodes[i].kind != RN_RELU || net_left_out(net, i)) continue;
        limit = KINK * net_largest(r->values[source], count);
        for (k = 0; k < count; k++) {
            const double value = fabs((double)r->values[source][k]);
            if (exact && !(value > 0)) continue;
            if (value < limit) return 1;
        }
    }
    return 0;
}

static int resting; /* operations of units that are left out */

/* ---- comparing ------------------------------------------------------------------------------- */

/* Is node i a convolution by Winograd's transforms? */
static int is_winograd(const rn_net *net, int i) {
    return i >= 0 && i < net->node_count && net->nodes[i].kind == RN_CONV2D &&
           rn__conv_of(net, rn__operation_of(net, i))->forward.geometry.winograd;
}

static double bound_of(const rn_net *net, int i) { return is_winograd(net, i) ? WINOGRAD : BOUND; }

static void compare(record *r, const rn_net *net, int i, const char *what, const rn_real *got,
                    const rn_real *want, ptrdiff_t count, double least) {
    double scale = fmax(fmax(net_largest(want, count), least), 1e-30), error = 0;
    char name[64], place[128];
    ptrdiff_t k;
    for (k = 0; k < count; k++)
        error = worse(error, fabs((double)got[k] - (double)want[k]) / scale);
    rn_node_name(net, i, name);
    snprintf(place, sizeof place, "%s: %s of %s, width %d, threads %d, batch %d",
             net->executor->kernels->name, what, name, net->desc.base_width, net->desc.threads,
             net->images);
    net_check(error <= bound_of(net, i), __LINE__, &net->desc, place, error, bound_of(net, i));
    r->worst = worse(r->worst, error);
}

/* Is it a frozen convolution that does the batch norm behind it, too? */
static int does_norm(const rn_net *net, const rn__operation *op) {
    return op->does_next && op[1].node < net->first_trained;
}

/* Values and gradients that fast execution never stores have no memory to read; the steps that
   compute them on the way are compared instead. */
static int is_value_stored(const rn_net *net, int v) {
    const rn__operation *op = rn__operation_of(net, v);
    return op->offset[RN__AT_TRAINING] >= 0 && !does_norm(net, op);
}
static int is_gradient_stored(const rn_net *net, int v) {
    return rn__operation_of(net, v)->gradient_offset >= 0;
}

/* What a batch norm has read is not to be written any more. */
static void check_written_late(const record *r, rn_net *net, int i) {
    const int bn = rn__operation_of(net, i)->node, input = net->nodes[bn].inputs[0];
    rn_error error;
    if (net->nodes[bn].kind != RN_BATCH_NORM) return;
    CHECK_INT(rn_write_value(net, input, tensor_of(net, input, r->values[input]), &error),
              RN_BAD_ARGUMENT);
    CHECK(strstr(error.text, "has read it") || strstr(error.text, "is gone") ||
          strstr(error.text, "left out of this step") ||
          (bn < net->first_trained && strstr(error.text, "is one step with")));
}

static void compare_step(void *user, rn_net *net, int i, int backward) {
    record *r = (record *)user;
    int k;
    if (!backward) {
        rn_real *got;
        r->values_met++;
        check_written_late(r, net, i);
        if (!is_value_stored(net, i)) {
            CHECK(!net->desc.unfused);
            CHECK(rn__operation_of(net, i)->lazy || does_norm(net, rn__operation_of(net, i)));
            return;
        }
        got = (rn_real *)net_take((size_t)count_of(net, i) * sizeof(rn_real));
        CHECK_INT(rn_read_value(net, i, tensor_of(net, i, got), NULL), RN_OK);
        compare(r, net, i, "value", got, r->values[i], count_of(net, i), 0);
        CHECK_INT(rn_write_value(net, i, tensor_of(net, i, r->values[i]), NULL), RN_OK);
        if (net->desc.threads == 1) check_every_node(r, net, i, 0, 0);
        free(got);
        return;
    }
    r->gradients_met++;
    if (net_left_out(net, i)) return; /* a sum's first term, with which it is one step */
    for (k = 0; k < 2; k++) {
        int a = net->nodes[i].inputs[k];
        rn_real *got;
        if (!has_gradient(net, a)) continue;
        if (!is_gradient_stored(net, a)) {
            CHECK(!net->desc.unfused);
            CHECK(rn__operation_of(net, a)->lazy_gradient);
            continue;
        }
        got = (rn_real *)net_take((size_t)count_of(net, a) * sizeof(rn_real));
        CHECK_INT(rn_read_gradient(net, a, tensor_of(net, a, got), NULL), RN_OK);
        compare(r, net, i, k ? "gradient of the second input" : "gradient of the input", got,
                r->gradients[2 * i + k], count_of(net, a), 0);
        free(got);
    }
    /* written when both have been compared */
    for (k = 0; k < 2; k++) {
        int a = net->nodes[i].inputs[k];
        rn_tensor t;
        rn_error error;
        if (!has_gradient(net, a) || !is_gradient_stored(net, a)) continue;
        t = tensor_of(net, a, r->gradients[2 * i + k]);
        /* the gradient of an addition, which nothing happens to */
        if (rn_write_gradient(net, a, t, &error)) CHECK_TEXT(error.text, "it is one with that of");
    }
    if (net->desc.threads == 1) check_every_node(r, net, i, 1, WINOGRAD);
}

/* Gradients of parameters and statistics of the batch. Gradients that are zero by analysis hold
   only rounding errors of what goes into them, so they are compared with the net's largest
   gradient; so are those of nets of one channel, where batch norm takes away the scale of a 1x1
   convolution, and of stochastic depth, where norms may follow each other and do likewise. Small
   ones are compared with a thousandth of it. */
static void compare_arrays(record *r, const rn_net *net) {
    double most = net_largest(r->parameters, net->trained_count);
    int group = net->desc.bn_group ? net->desc.bn_group : net->images;
    int i, groups = (net->images + group - 1) / group;
    rn_parameter p;
    memset(&p, 0, sizeof p);
    while (rn_next_parameter(net, &p)) {
        int zero = net->desc.base_width == 1 || net->desc.stochastic_depth > 0 ||
                   net_zero_by_analysis(net, &p);
        if (p.gradient)
            compare(r, net, p.node, p.name, p.gradient,
                    r->parameters + (p.gradient - net->gradients), p.count,
                    zero ? most : 1e-3 * most);
    }
    for (i = net->first_trained; i < net->node_count; i++)
        if (net->nodes[i].kind == RN_BATCH_NORM && !net_left_out(net, i))
            compare(r, net, i, "statistics", rn__batch_statistics(net, i, 0),
                    r->statistics + (rn__batch_statistics(net, i, 0) - net->batch_statistics),
                    (ptrdiff_t)groups * 2 * net->nodes[i].c, 0);
}

/* The naive net's parameters and running statistics, which what is frozen reads. */
static void take_numbers(rn_net *net, const rn_net *naive) {
    memcpy(net->parameters, naive->parameters, (size_t)naive->parameter_count * sizeof(rn_real));
    memcpy(net->statistics, naive->statistics, (size_t)naive->statistic_count * sizeof(rn_real));
}

/* Operations, or nodes, from the first on that are not left out: a probe tells of each. */
static int count_told(const rn_net *net, int first, int nodes) {
    const int count = nodes ? net->node_count : net->executor->count;
    int k, told = 0;
    for (k = first; k < count; k++)
        told += !net_left_out(net, nodes ? k : net->executor->operations[k].last);
    resting += count - first - told;
    return told;
}

/* A fast net against the recording of the naive one. */
static void check_fast(const rn_net *naive, record *r, const net_batch *batch, rn_isa isa,
                       int threads, int unfused) {
    rn_desc desc = naive->desc;
    rn_net *net;
    rn_result result;
    desc.naive = 0;
    desc.unfused = unfused;
    desc.isa = isa;
    desc.threads = threads;
    net = net_create(&desc, naive->batch, RN_TRAINING);
    if (!net) return;
    take_numbers(net, naive);
    net->step = naive->step;
    net->probe = compare_step;
    net->probe_user = r;
    r->values_met = r->gradients_met = 0;
    CHECK_INT(rn_backpropagate(net, batch->images, batch->labels, naive->images, &result, NULL),
              RN_OK);
    CHECK_INT(r->values_met, count_told(net, 1, unfused));
    CHECK_INT(r->gradients_met, count_told(net, rn__max(rn__first_backward(net), 1), 0));
    compare_arrays(r, net);
    rn_destroy(net);
}

static void watch_nodes(void *user, rn_net *net, int i, int backward) {
    check_every_node((const record *)user, net, i, backward, 0);
}

static int repeated; /* nodes computed again */

/* The same net under a small budget, which has fewer of the values, but these are the same. */
static void check_budget(const rn_net *naive, record *r, const net_batch *batch) {
    rn_desc desc = naive->desc;
    rn_error error = {RN_OK, ""};
    const char *words = "takes at least ", *least;
    rn_net *net;
    int i;
    desc.budget = 1;
    CHECK_INT(rn_bytes(&desc, naive->batch, RN_TRAINING, &error), 0);
    CHECK_TEXT(error.text, words);
    least = strstr(error.text, words);
    desc.budget = least ? strtoull(least + strlen(words), NULL, 10) : 0;
    net = net_create(&desc, naive->batch, RN_TRAINING);
    if (!net) return;
    take_numbers(net, naive);
    net->step = naive->step;
    net->probe = watch_nodes;
    net->probe_user = r;
    CHECK_INT(rn_backpropagate(net, batch->images, batch->labels, naive->images, NULL, NULL),
              RN_OK);
    CHECK(!memcmp(net->gradients, r->parameters, (size_t)net->trained_count * sizeof(rn_real)));
    for (i = 0; i < net->executor->count; i++) repeated += net->executor->operations[i].again;
    rn_destroy(net);
}

static int has_isa(rn_isa isa) { return rn__choose_kernels(isa) != NULL; }

static double worst;
static int drawn_again;

static void check_variant(const rn_desc *given, int batch, int count, uint64_t seed) {
    rn_desc desc = *given;
    net_batch images;
    rn_net *naive;
    record r;
    int tries, isa, turn;
    desc.naive = 1;
    naive = net_create(&desc, batch, RN_TRAINING);
    if (!naive) return;
    images = net_draw_batch(&naive->desc, count, seed);
    r = new_record(naive);
    naive->probe = record_step;
    naive->probe_user = &r;
    naive->step = 3;
    for (tries = 0; tries < 100; tries++) {
        net_draw(naive, seed + (uint64_t)tries * 1000003);
        CHECK_INT(rn_backpropagate(naive, images.images, images.labels, count, NULL, NULL), RN_OK);
        r.values[0] = keep(r.values[0], images.images, net_image_count(&naive->desc, count));
        if (!near_kink(&r, naive)) break;
        drawn_again++;
    }
    net_check(tries < 100, __LINE__, &desc, "all draws are near a kink", tries, 100);
    r.parameters = keep(NULL, naive->gradients, naive->trained_count);
    r.statistics = keep(NULL, naive->batch_statistics,
                        rn__group_count(&naive->desc, naive->batch) *
                            (naive->statistic_count - rn__frozen_statistics(naive)));
    for (isa = RN_ISA_PORTABLE; isa < ISAS; isa++)
        for (turn = 0; turn < TURNS && has_isa((rn_isa)isa); turn++) {
            const int threads = 1 + ((int)(seed % 2) + isa + turn) % 2;
            check_fast(naive, &r, &images, (rn_isa)isa, threads, 0);
        }
    check_fast(naive, &r, &images, RN_ISA_AUTO, 1 + (int)(seed % 2), 1);
    check_budget(naive, &r, &images);
    worst = fmax(worst, r.worst);
    free_record(&r, naive);
    net_free_batch(&images);
    rn_destroy(naive);
}

/* Every combination; sizes, widths, batches and groups take turns. */
static void check_variants(void) {
    static const int widths[] = {5, 16, 3, 17, 8, 1, 20};
    static const int sizes[2][4][2] = {{{7, 6}, {9, 19}, {12, 5}, {17, 17}},
                                       {{21, 19}, {17, 40}, {35, 18}, {23, 23}}};
    int order, block, shortcut, resize, stem, turn = 0;
    for (order = 0; order < ORDERS; order++)
        for (block = RN_BASIC; block < BLOCKS; block++)
            for (shortcut = 0; shortcut < SHORTCUTS; shortcut++)
                for (resize = RN_RESIZE_A; resize < RESIZES; resize++)
                    for (stem = 0; stem < 2; stem++, turn++) {
                        int batch = 2 + turn % 4, count = turn % 3 ? batch : rn__max(2, batch - 1);
                        rn_desc desc =
                            net_desc((rn_order)order, (rn_block)block, (rn_shortcut)shortcut,
                                     (rn_resize)resize, (rn_stem)stem);
                        desc.base_width = widths[turn % 7];
                        if (block == RN_BOTTLENECK && desc.base_width > 8) desc.base_width = 5;
                        desc.height = sizes[stem][turn % 4][0];
                        desc.width = sizes[stem][turn % 4][1];
                        desc.bn_group = turn % 5 == 0 ? 2 : 0;
                        desc.stride_on = turn % 2 ? RN_STRIDE_3X3 : RN_STRIDE_FIRST;
                        desc.channels = 1 + turn % 4;
                        desc.frozen_below = rn__max(0, turn / EVERY % 13 - 7); /* often 0 */
                        if (resize >= RN_RESIZE_D && (order + block + shortcut) % 7) continue;
                        if (turn % EVERY == 0) check_variant(&desc, batch, count, (uint64_t)turn);
                    }
    for (turn = 0; turn < 2 * ORDERS; turn++) { /* padding more behind than in front */
        rn_desc desc = net_desc((rn_order)(turn / 2), (rn_block)(RN_BASIC + turn % 3),
                                turn % 4 ? RN_SHORTCUT_IDENTITY : RN_SHORTCUT_CONV1X1,
                                (rn_resize)(RN_RESIZE_A + turn % 6), (rn_stem)(turn % 2));
        desc.padding = RN_PADDING_SAME;
        desc.stride_on = RN_STRIDE_3X3;
        desc.base_width = 3 + 2 * (turn % 3);
        desc.height = turn % 2 ? 16 : 8;
        desc.width = turn % 2 ? 24 : 12;
        check_variant(&desc, 3, 3, (uint64_t)turn);
    }
}

/* The nets beside the paper's, also with channels that fill vectors. */
static void check_members(void) {
    int i;
    for (i = 0; i < NET_MEMBERS; i++) {
        rn_desc desc = net_member(i);
        const int batch = 2 + i % 4, count = i % 3 ? batch : rn__max(2, batch - 1);
        check_variant(&desc, batch, count, (uint64_t)i + 500);
        if (i % EVERY || desc.stem_width || desc.widths[0]) continue;
        desc.base_width *= 6;
        desc.height += 3;
        check_variant(&desc, batch, count, (uint64_t)i + 1000);
        desc.norm_groups *= 2; /* of channels of which a vector has parts of two groups */
        check_variant(&desc, batch, count, (uint64_t)i + 2000);
    }
}

/* ---- writing ------------------------------------------------------------------------------- */

/* Changes a value or gradient, once, as soon as a probe can; and records values. */
typedef struct writer {
    record record;
    int node, gradient, done;
} writer;

static void write_step(void *user, rn_net *net, int i, int backward) {
    writer *w = (writer *)user;
    ptrdiff_t k, count = count_of(net, w->node);
    rn_real *data = (rn_real *)net_take((size_t)count * sizeof(rn_real));
    const rn_tensor t = tensor_of(net, w->node, data);
    rn_status status = RN_BAD_ARGUMENT;
    int reader = w->node + 1; /* the first, which completes the gradient */
    while (reader < net->node_count && net->nodes[reader].inputs[0] != w->node &&
           net->nodes[reader].inputs[1] != w->node)
        reader++;
    if (!w->done && w->gradient && backward && i <= reader)
        status = rn_read_gradient(net, w->node, t, NULL);
    if (!w->done && !w->gradient && i == w->node) status = rn_read_value(net, w->node, t, NULL);
    for (k = 0; !status && k < count; k++) data[k] *= (rn_real)(1 + 0.25 * (double)(k % 7 % 5));
    if (!status && w->gradient) status = rn_write_gradient(net, w->node, t, NULL);
    if (!status && !w->gradient) CHECK_INT(rn_write_value(net, w->node, t, NULL), RN_OK);
    w->done |= !status;
    free(data);
    if (backward || !net->desc.naive) return;
    count = count_of(net, i);
    data = (rn_real *)net_take((size_t)count * sizeof(rn_real));
    CHECK_INT(rn_read_value(net, i, tensor_of(net, i, data), NULL), RN_OK);
    w->record.values[i] = keep(w->record.values[i], data, count);
    free(data);
}

static double distance(const rn_real *a, const rn_real *b, ptrdiff_t count, double least) {
    double most = fmax(net_largest(b, count), least), error = 0;
    ptrdiff_t i;
    for (i = 0; i < count; i++) error = worse(error, fabs((double)a[i] - (double)b[i]) / most);
    return error;
}

/* Does the gradient of value v make others: of parameters, or of what its node reads? */
static int gradient_goes_on(const rn_net *net, int v) {
    const int *inputs = net->nodes[v].inputs;
    return rn__slot_of(&net->nodes[v], RN__WEIGHT) ||
           (has_gradient(net, inputs[0]) && gradient_goes_on(net, inputs[0])) ||
           (has_gradient(net, inputs[1]) && gradient_goes_on(net, inputs[1]));
}

static int written_values, written_gradients;

/* The same node of both nets is written to: logits, statistics and gradients agree again, and are
   not those of before. */
static void check_written(rn_net *naive, rn_net *fast, const net_batch *batch, writer *w,
                          const rn_real *before) {
    rn_net *nets[2];
    const ptrdiff_t logits = (ptrdiff_t)naive->images * naive->desc.classes;
    const ptrdiff_t statistics = naive->statistic_count - rn__frozen_statistics(naive);
    double error, change;
    int i;
    nets[0] = fast, nets[1] = naive;
    for (i = 0; i < 2; i++) {
        nets[i]->probe = write_step;
        nets[i]->probe_user = w;
        w->done = 0;
        CHECK_INT(
            rn_backpropagate(nets[i], batch->images, batch->labels, naive->images, NULL, NULL),
            RN_OK);
        if (!w->done) return; /* it does not exist there */
    }
    error = worse(distance(fast->logits, naive->logits, logits, 0),
                  distance(fast->batch_statistics, naive->batch_statistics, statistics, 1e-30));
    net_check(error <= WRITTEN, __LINE__, &naive->desc, "consequences of a value", w->node, error);
    change = distance(naive->gradients, before, naive->trained_count, 0);
    net_check(change >= 1e-4 || (w->gradient && !gradient_goes_on(naive, w->node)), __LINE__,
              &naive->desc, "what was written changes", w->node, change);
    w->record.values[0] =
        keep(w->record.values[0], batch->images, net_image_count(&naive->desc, naive->images));
    if (near_kink(&w->record, naive)) return;
    error = distance(fast->gradients, naive->gradients, naive->trained_count, 0);
    net_check(error <= WRITTEN, __LINE__, &naive->desc,
              w->gradient ? "gradients by a gradient" : "gradients by a value", w->node, error);
    *(w->gradient ? &written_gradients : &written_values) += 1;
}

/* Of what is left out nothing is measured. */
static void zero_statistics(rn_net *net) {
    const ptrdiff_t count = rn__group_count(&net->desc, net->batch) *
                            (net->statistic_count - rn__frozen_statistics(net));
    memset(net->batch_statistics, 0, (size_t)count * sizeof(rn_real));
}

static void check_writing(const rn_desc *given, uint64_t seed) {
    rn_desc desc = *given;
    rn_net *naive, *fast;
    net_batch batch;
    rn_real *before;
    writer w;
    desc.naive = 1;
    naive = net_create(&desc, 4, RN_TRAINING);
    desc.naive = 0;
    desc.direct = 1; /* errors of Winograd's transforms add up */
    fast = net_create(&desc, 4, RN_TRAINING);
    if (!naive || !fast) return;
    net_draw(naive, seed);
    take_numbers(fast, naive);
    zero_statistics(naive), zero_statistics(fast);
    batch = net_draw_batch(&naive->desc, 4, seed);
    memset(&w, 0, sizeof w);
    w.record = new_record(naive);
    CHECK_INT(rn_backpropagate(naive, batch.images, batch.labels, 4, NULL, NULL), RN_OK);
    before = keep(NULL, naive->gradients, naive->trained_count);
    for (w.node = 1; w.node < naive->node_count; w.node++)
        for (w.gradient = 0; w.gradient < 2; w.gradient++)
            check_written(naive, fast, &batch, &w, before);
    free_record(&w.record, naive);
    free(before);
    net_free_batch(&batch);
    rn_destroy(naive);
    rn_destroy(fast);
}

static void check_all_writing(void) {
    int order, shortcut, block;
    for (order = 0; order < ORDERS; order++)
        for (shortcut = 0; shortcut < SHORTCUTS; shortcut++)
            for (block = RN_BASIC; block < BLOCKS; block++) {
                int turn = order + shortcut + block;
                rn_desc desc = net_desc((rn_order)order, (rn_block)block, (rn_shortcut)shortcut,
                                        (rn_resize)(RN_RESIZE_A + turn % 6), (rn_stem)(turn % 2));
                desc.bn_group = turn % 3 ? 0 : 2;
                desc.frozen_below = rn__max(0, turn % 5 - 2);
#ifdef REDUCED
                if (turn % 3) continue;
#endif
                check_writing(&desc, (uint64_t)turn);
            }
    for (block = 0; block < NET_MEMBERS; block += 2) {
        rn_desc desc = net_member(block);
        check_writing(&desc, (uint64_t)block);
    }
}

/* ---- operations that are left out ------------------------------------------------------------ */

static int in_unit(const rn_net *net, int i) {
    return net->nodes[i].stage == 1 && net->nodes[i].unit == 1;
}

/* Logits and gradients of a step in which the second unit adds nothing to its shortcut: because it
   is left out, or (zeroed) because what its residual function ends in is multiplied by zero. */
static rn_net *without_unit(const rn_desc *desc, const net_batch *batch, int count, int zeroed) {
    const char *last = desc->order == RN_ORIGINAL ? "bn" : "conv";
    rn_net *net = net_create(desc, count, RN_TRAINING);
    rn_parameter p;
    char name[64];
    int k, i, left_out = 0;
    if (!net) exit(2);
    sprintf(name, "layer1.1.%s%d.", last, desc->block == RN_BASIC ? 2 : 3);
    memset(&p, 0, sizeof p);
    while (zeroed && rn_next_parameter(net, &p))
        if (p.gradient && !strncmp(p.name, name, strlen(name)))
            memset(p.data, 0, (size_t)p.count * sizeof(rn_real));
    for (k = 0; k < net->executor->count && !zeroed; k++) {
        rn__operation *op = &net->executor->operations[k];
        if (!in_unit(net, op->node)) continue;
        for (i = op->node; i <= op->last; i++) left_out |= net->nodes[i].kind == RN_ADD;
        op->left_out = 1;
        if (left_out) break; /* what follows the addition is done */
    }
    CHECK(zeroed || left_out);
    CHECK_INT(rn_backpropagate(net, batch->images, batch->labels, count, NULL, NULL), RN_OK);
    return net;
}

static void check_left_out(const rn_desc *desc, uint64_t seed) {
    const int count = 3;
    net_batch batch = net_draw_batch(desc, count, seed);
    rn_net *less = without_unit(desc, &batch, count, 0);
    rn_net *zero = without_unit(desc, &batch, count, 1);
    const double most = net_largest(zero->gradients, zero->parameter_count);
    rn_parameter p, q;
    int i, compared = 0;
    for (i = 0; i < count * desc->classes; i++)
        CHECK(fabs((double)less->logits[i] - (double)zero->logits[i]) < 1e-5);
    memset(&p, 0, sizeof p);
    memset(&q, 0, sizeof q);
    while (rn_next_parameter(less, &p) && rn_next_parameter(zero, &q))
        for (i = 0; i < p.count && p.gradient; i++) {
            if (in_unit(less, p.node)) {
                CHECK(fabs((double)p.gradient[i]) <= 0);
                continue;
            }
            CHECK(fabs((double)p.gradient[i] - (double)q.gradient[i]) < 1e-5 * most);
            compared++;
        }
    CHECK(compared > 100);
    rn_destroy(less);
    rn_destroy(zero);
    net_free_batch(&batch);
}

static void check_all_left_out(void) {
    int order, block, naive;
    for (order = 0; order < 2; order++)
        for (block = RN_BASIC; block <= RN_BOTTLENECK; block++)
            for (naive = 0; naive < 2; naive++) {
                rn_desc desc = net_desc(order ? RN_ORIGINAL : RN_FULL_PREACT, (rn_block)block,
                                        RN_SHORTCUT_IDENTITY, RN_RESIZE_B, RN_STEM_CIFAR);
                desc.units[0] = 3;
                desc.base_width = 20;
                desc.naive = naive;
                if (rn_resolve(&desc, NULL)) exit(2);
                check_left_out(&desc, (uint64_t)(order * 4 + block));
            }
}

/* ---- what is refused ------------------------------------------------------------------------- */

static int node_called(const rn_net *net, const char *wanted) {
    char name[64];
    int i;
    for (i = 0; i < net->node_count; i++)
        if (rn_node_name(net, i, name), !strcmp(name, wanted)) return i;
    CHECK_TEXT("the net", wanted);
    return 0;
}

static void refuse(const rn_net *net, int node, int gradient, const char *part) {
    static rn_real room[1 << 16];
    const rn_node *shape = &net->nodes[node < 0 || node >= net->node_count ? 0 : node];
    const rn_tensor t = rn_tensor_in(room, 4, shape->c, shape->h, shape->w);
    rn_error error = {RN_OK, ""};
    CHECK_INT((gradient ? rn_read_gradient : rn_read_value)(net, node, t, &error), RN_BAD_ARGUMENT);
    CHECK_TEXT(error.text, part);
}

/* Writes NaN over the value of a node. */
static void spoil(void *user, rn_net *net, int i, int backward) {
    const rn_node *node = &net->nodes[i];
    rn_real numbers[64];
    int k;
    if (backward || i != *(int *)user) return;
    CHECK(4 * node->c * node->h * node->w <= 64);
    for (k = 0; k < 64; k++) numbers[k] = NAN;
    CHECK_INT(rn_write_value(net, i, rn_tensor_in(numbers, 4, node->c, node->h, node->w), NULL),
              RN_OK);
}

static int asked; /* by the next one */

static void refuse_in_forward(void *user, rn_net *net, int i, int backward) {
    const int bn2 = node_called(net, "layer1.0.bn2");
    rn_error error;
    if (backward || i != *(int *)user) return;
    asked++;
    CHECK_INT(rn_read_value(net, i, rn_tensor_in(NULL, 1, 3, 7, 6), &error), RN_BAD_SHAPE);
    CHECK_TEXT(error.text, "rn_read_value: tensor is [1,3,7,6] and should be [4,3,7,6]");
    refuse(net, bn2, 0, "the value of layer1.0.bn2 (node");
    refuse(net, bn2, 0, "does not exist in the fast execution: it is one step with layer1.0.relu");
    refuse(net, node_called(net, "layer1.1.conv1"), 0,
           "does not exist yet: take it when the probe");
    refuse(net, i, 1, "the gradient of layer1.0.relu (node");
    refuse(net, i, 1, "does not exist yet");
    refuse(net, i, 1, "in backward");
}

/* Sentences, and the moments at which nothing can be read. */
static void check_sentences(void) {
    rn_desc desc =
        net_desc(RN_ORIGINAL, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, RN_STEM_CIFAR);
    rn_net *net = net_create(&desc, 4, RN_TRAINING),
           *inference = net_create(&desc, 4, RN_INFERENCE);
    net_batch batch;
    rn_error error;
    int node;
    if (!net || !inference) return;
    batch = net_draw_batch(&net->desc, 4, 1);
    node = node_called(net, "layer1.0.relu");
    refuse(inference, node, 0, "training step");
    refuse(net, node, 0, "in the probes of a training step");
    net->probe = refuse_in_forward;
    net->probe_user = &node;
    CHECK_INT(rn_backpropagate(net, batch.images, batch.labels, 4, NULL, NULL), RN_OK);
    CHECK_INT(asked, 1);
    refuse(net, -1, 0, "node is -1 and should be 0 to");
    refuse(net, net->node_count, 1, "node is ");
    refuse(net, node_called(net, "layer1.0.add"), 0, "it is one step with layer1.0.relu");
    refuse(net, node_called(net, "layer1.0.conv1"), 1, "computes it from that of layer1.0.relu1");
    refuse(net, 0, 1, "the images get none");
    rn_workspace(net);
    refuse(net, node, 0, "up to rn_workspace");
    node = net->node_count - 1;
    net->probe = spoil;
    CHECK_INT(rn_backpropagate(net, batch.images, batch.labels, 4, NULL, &error), RN_NOT_FINITE);
    CHECK_TEXT(error.text, "step 0: only the probe wrote what is not finite; nothing was changed");
    net_free_batch(&batch);
    rn_destroy(net);
    rn_destroy(inference);
}

/* ---- threads --------------------------------------------------------------------------------- */

/* A few steps; the net with all that they changed. */
static rn_net *train(const rn_desc *given, int threads, rn_isa isa, rn_real *logits) {
    rn_desc desc = *given;
    rn_net *net;
    net_batch batch;
    int step, images = 7;
    desc.threads = threads;
    desc.isa = isa;
    net = net_create(&desc, images, RN_TRAINING);
    if (!net) return NULL;
    batch = net_draw_batch(&net->desc, images, 5);
    for (step = 0; step < 3; step++)
        CHECK_INT(rn_train_step(net, batch.images, batch.labels, images - step, 0.05, NULL, NULL),
                  RN_OK);
    CHECK_INT(rn_predict(net, rn_workspace(net), batch.images, images, logits, NULL), RN_OK);
    net_free_batch(&batch);
    return net;
}

/* By two threads and, by turns, other numbers of them. */
static void check_threads(const rn_desc *desc, rn_isa isa) {
    static int turn;
    const size_t logits = (size_t)(7 * desc->classes) * sizeof(rn_real);
    rn_real *one = (rn_real *)net_take(logits), *many = (rn_real *)net_take(logits);
    rn_net *single = train(desc, 1, isa, one);
    int threads;
    if (!single) return;
    turn++;
    for (threads = 2; threads <= MOST_THREADS; threads++) {
        rn_net *net =
            threads == 2 || threads % 3 == turn % 3 ? train(desc, threads, isa, many) : NULL;
        size_t bytes = (size_t)single->parameter_count * sizeof(rn_real);
        if (!net) continue;
        CHECK(!memcmp(net->parameters, single->parameters, bytes));
        bytes = (size_t)single->trained_count * sizeof(rn_real);
        CHECK(!memcmp(net->gradients, single->gradients, bytes));
        CHECK(!memcmp(net->velocity, single->velocity, bytes));
        CHECK(!memcmp(net->statistics, single->statistics,
                      (size_t)single->statistic_count * sizeof(rn_real)));
        CHECK(!memcmp(one, many, logits));
        rn_destroy(net);
    }
    rn_destroy(single);
    free(one);
    free(many);
}

static void check_all_threads(void) {
    int order, shortcut, isa;
    for (isa = RN_ISA_PORTABLE; isa < ISAS; isa++) {
        if (!has_isa((rn_isa)isa)) continue;
        for (order = 0; order < ORDERS; order++) {
            rn_desc desc = net_desc((rn_order)order, order % 2 ? RN_BOTTLENECK : RN_BASIC,
                                    RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, RN_STEM_CIFAR);
            desc.base_width = 12;
            desc.height = desc.width = 20;
            desc.units[2] = 1;
            desc.bn_group = order == 2 ? 3 : 0;
            check_threads(&desc, (rn_isa)isa);
            desc.frozen_below = 2;
            check_threads(&desc, (rn_isa)isa);
            desc.stem = RN_STEM_IMAGENET;
            desc.height = desc.width = 45;
            check_threads(&desc, (rn_isa)isa);
            desc.frozen_below = 0;
            check_threads(&desc, (rn_isa)isa);
        }
        for (order = 0; order < NET_MEMBERS; order += EVERY) {
            rn_desc desc = net_member(order);
            if (!desc.stem_width) desc.base_width *= 4;
            check_threads(&desc, (rn_isa)isa);
        }
        for (shortcut = 1; shortcut < SHORTCUTS; shortcut++) {
            rn_desc desc = net_desc(RN_FULL_PREACT, RN_SINGLE, (rn_shortcut)shortcut,
                                    RN_RESIZE_B_BN, RN_STEM_CIFAR);
            desc.base_width = 20;
            check_threads(&desc, (rn_isa)isa);
        }
    }
}

/* ---- inference ------------------------------------------------------------------------------- */

static double worst_inference;

static void check_inference(const rn_desc *given, uint64_t seed) {
    rn_desc desc = *given;
    const size_t logits = (size_t)(5 * desc.classes) * sizeof(rn_real);
    rn_real *want = (rn_real *)net_take(logits), *got = (rn_real *)net_take(logits);
    rn_net *naive, *net;
    net_batch batch;
    int isa;
    desc.naive = 1;
    naive = net_create(&desc, 5, RN_INFERENCE);
    if (!naive) return;
    net_draw(naive, seed);
    batch = net_draw_batch(&naive->desc, 5, seed);
    CHECK_INT(rn_predict(naive, rn_workspace(naive), batch.images, 5, want, NULL), RN_OK);
    desc.naive = 0;
    for (isa = RN_ISA_PORTABLE; isa < ISAS; isa++) {
        int counts[2] = {5, 3}, i;
        desc.isa = (rn_isa)isa;
        if (!has_isa(desc.isa) || !(net = net_create(&desc, 5, RN_INFERENCE))) continue;
        take_numbers(net, naive);
        for (i = 0; i < 2; i++) {
            rn_tensor a = rn_tensor_in(got, counts[i], desc.classes, 1, 1);
            rn_tensor b = rn_tensor_in(want, counts[i], desc.classes, 1, 1);
            double error;
            CHECK_INT(rn_predict(net, rn_workspace(net), batch.images, counts[i], got, NULL),
                      RN_OK);
            error = rn_tensor_difference(a, b);
            net_check(error <= INFERENCE, __LINE__, &desc, net->executor->kernels->name, error,
                      INFERENCE);
            worst_inference = fmax(worst_inference, error);
        }
        rn_destroy(net);
    }
    net_free_batch(&batch);
    rn_destroy(naive);
    free(want);
    free(got);
}

static void check_all_inference(void) {
    int order, shortcut, stem;
    for (order = 0; order < ORDERS; order++)
        for (shortcut = 0; shortcut < SHORTCUTS; shortcut++)
            for (stem = 0; stem < 2; stem++) {
                int turn = order + shortcut + stem;
                rn_desc desc = net_desc((rn_order)order, (rn_block)(RN_BASIC + turn % 3),
                                        (rn_shortcut)shortcut, (rn_resize)(RN_RESIZE_A + turn % 6),
                                        (rn_stem)stem);
                desc.base_width = 5 + turn;
                check_inference(&desc, (uint64_t)turn);
            }
    for (order = 0; order < NET_MEMBERS; order++) {
        rn_desc desc = net_member(order);
        check_inference(&desc, (uint64_t)order);
    }
}

/* Nets of stochastic depth: every order, block, shortcut and resize; most have units that are left
   out and units that are not. */
static void check_depth(void) {
    int i;
    for (i = 0; i < ORDERS * SHORTCUTS + NET_MEMBERS; i += EVERY) {
        rn_desc desc = net_desc((rn_order)(i % ORDERS), (rn_block)(RN_BASIC + i % 3),
                                (rn_shortcut)(i / ORDERS % SHORTCUTS),
                                (rn_resize)(RN_RESIZE_A + i % 6), (rn_stem)(i % 7 == 0));
        if (i >= ORDERS * SHORTCUTS) desc = net_member(i % NET_MEMBERS);
        desc.stochastic_depth = 0.8f;
        desc.seed = (uint64_t)i + 1000;
        desc.raw_identity |= i % 5 == 0;
        desc.conv_bias |= i % 2;
        desc.frozen_below = i % 8 == 3 ? 2 : 0;
        check_variant(&desc, 3, 3, (uint64_t)i + 1000);
        check_inference(&desc, (uint64_t)i);
        if (i % 4 == 0) check_writing(&desc, (uint64_t)i);
    }
    CHECK(resting > 0);
}

/* All of the checks, of one net. */
static void check_one(const rn_desc *desc) {
    int isa;
    if (desc->micro_batch || desc->budget) {
        fprintf(stderr, "nets in parts and under budgets: see tests/training and tests/planner\n");
        exit(2);
    }
    check_variant(desc, 4, 3, 1);
    check_writing(desc, 1);
    check_inference(desc, 1);
    for (isa = RN_ISA_PORTABLE; isa < ISAS; isa++)
        if (has_isa((rn_isa)isa)) check_threads(desc, (rn_isa)isa);
}

static void check_all(void) {
    check_variants();
    check_members();
    CHECK(repeated > 0);
    check_all_writing();
    check_all_left_out();
    check_sentences();
    check_all_inference();
    check_depth();
    check_all_threads();
}

static void check_asked(const rn_desc *desc, uint64_t seed) { check_variant(desc, 3, 3, seed); }

int main(int argc, char **argv) {
    rn_desc desc;
    if (!net_only(argc, argv, check_asked)) {
        if (net_arguments(argc, argv, "compares the executions of every kind of net", &desc))
            check_one(&desc);
        else {
            check_all();
            CHECK(written_values > 100 && written_gradients > 100);
        }
    }
    printf("executors: largest error %.1e, of inference %.1e; %d draws too near a kink\n", worst,
           worst_inference, drawn_again);
    printf("executors: %d values and %d gradients written\n", written_values, written_gradients);
    return test_end("executors");
}
