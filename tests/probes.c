/* probes.c - what probes see, against plain loops over the numbers of a naive net: residual units,
   moments, the signals of examples/signals.h, and equations (4) to (8) of the paper as identities,
   in naive, fused and unfused execution, in parts of a batch and under a budget; inference with a
   probe; and that probes and desc.unfused leave the bits of training as they are.

   cc -std=c99 -O2 -o probes tests/probes.c -lm && ./probes */

#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"

#include "nets.h"

#include "../examples/signals.h"

#define BOUND 1e-4    /* of fast against naive execution of a whole net, where errors pile up */
#define ROUNDING 1e-7 /* of sums of floats against sums of doubles */

enum { COUNT = 4 }; /* images */

static const char *const nets[] = {
    "order full_preact",
    "order original",
    "order bn_after_add block bottleneck resize B",
    "order relu_before_add block bottleneck",
    "order relu_preact block single",
    "order full_preact block single raw_identity 1",
    "order full_preact shortcut scale shortcut_scale 0.5 residual_scale 1",
    "order original shortcut scale shortcut_scale 0.7 residual_scale 0.6",
    "order relu_before_add shortcut exclusive_gate gate_bias 1",
    "order original shortcut shortcut_gate block bottleneck resize B_bn",
    "order full_preact shortcut highway block single",
    "order full_preact shortcut conv1x1",
    "order original shortcut dropout",
    "order full_preact norm group_norm norm_groups 1",
    "order bn_after_add norm evonorm_s0 norm_groups 1",
    "order original stem imagenet height 21 width 19",
};
enum { NETS = (int)(sizeof nets / sizeof nets[0]) };

static rn_desc desc_of(int i) {
    rn_desc desc =
        net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, RN_STEM_CIFAR);
    desc.units[0] = 3;
    desc.units[1] = 3;
    desc.base_width = 5;
    net_options(&desc, nets[i]);
    return desc;
}

static rn_net *create(int i, const char *options, rn_mode mode) {
    rn_desc desc = desc_of(i);
    rn_net *net;
    net_options(&desc, options);
    net = net_create(&desc, COUNT, mode);
    if (!net) exit(2);
    net_draw(net, (uint64_t)i + 1);
    return net;
}

static void backpropagate(rn_net *net, const net_batch *batch) {
    rn_error error = {RN_OK, ""};
    CHECK_INT(rn_backpropagate(net, batch->images, batch->labels, COUNT, NULL, &error), RN_OK);
    CHECK(!*error.text);
}

/* ---- every number of a net, by the node ------------------------------------------------------ */

typedef struct record {
    rn_real **values, **gradients; /* [nodes], gradients as they are when complete */
    rn_real **handed;              /* [nodes] of additions: what the second term gets from them */
} record;

static ptrdiff_t count_of(const rn_net *net, int node) {
    const rn_node *of = &net->nodes[node];
    return (ptrdiff_t)COUNT * of->c * of->h * of->w;
}

static rn_tensor tensor_of(const rn_net *net, int node, rn_real *data) {
    const rn_node *of = &net->nodes[node];
    return rn_tensor_in(data, net->held, of->c, of->h, of->w);
}

static void record_step(void *user, rn_net *net, int i, int backward) {
    record *r = (record *)user;
    if (!backward) {
        CHECK_INT(rn_read_value(net, i, tensor_of(net, i, r->values[i]), NULL), RN_OK);
        return;
    }
    for (int k = 0; k < 2; k++) { /* the last reader of all overwrites what earlier ones left */
        const int v = net->nodes[i].inputs[k];
        if (v < 1) continue;
        CHECK_INT(rn_read_gradient(net, v, tensor_of(net, v, r->gradients[v]), NULL), RN_OK);
        if (k && net->nodes[i].kind == RN_ADD)
            memcpy(r->handed[i], r->gradients[v], (size_t)count_of(net, v) * sizeof(rn_real));
    }
}

static rn_real **take_arrays(const rn_net *net) {
    rn_real **arrays = (rn_real **)net_take((size_t)net->node_count * sizeof *arrays);
    for (int i = 0; i < net->node_count; i++)
        arrays[i] = (rn_real *)net_take((size_t)count_of(net, i) * sizeof(rn_real));
    return arrays;
}

static void free_arrays(const rn_net *net, rn_real **arrays) {
    for (int i = 0; i < net->node_count; i++) free(arrays[i]);
    free(arrays);
}

/* Of a naive net, whose step this is. */
static record record_net(rn_net *net, const net_batch *batch) {
    record r;
    r.values = take_arrays(net);
    r.gradients = take_arrays(net);
    r.handed = take_arrays(net);
    net->probe = record_step;
    net->probe_user = &r;
    backpropagate(net, batch);
    net->probe = NULL;
    return r;
}

static void free_record(const rn_net *net, record *r) {
    free_arrays(net, r->values);
    free_arrays(net, r->gradients);
    free_arrays(net, r->handed);
}

/* ---- units ----------------------------------------------------------------------------------- */

static int node_called(const rn_net *net, int stage, int unit, const char *role) {
    char name[64];
    snprintf(name, sizeof name, "layer%d.%d.%s", stage, unit, role);
    return rn_find_node(net, name);
}

/* The value of each node of a unit is what equations (1) and (2) say of it. */
static void check_unit(const rn_net *net, const rn_unit *u, const record *r) {
    const int highway = net->desc.shortcut == RN_SHORTCUT_HIGHWAY;
    const int gate = node_called(net, u->stage, u->unit, "gate");
    const int carry = node_called(net, u->stage, u->unit, "carry");
    ptrdiff_t unequal = 0;
    CHECK_INT(u->add, node_called(net, u->stage, u->unit, "add"));
    CHECK_INT(
        net->nodes[u->first - 1].unit == u->unit && net->nodes[u->first - 1].stage == u->stage, 0);
    for (ptrdiff_t k = 0; k < count_of(net, u->add); k++) {
        const rn_real y = r->values[u->add][k];
        unequal += y != r->values[u->shortcut][k] + r->values[u->residual][k];
        if (net->desc.order == RN_ORIGINAL) unequal += r->values[u->output][k] != (y > 0 ? y : 0);
    }
    CHECK_INT(unequal, 0);
    CHECK(rn__orders[net->desc.order].after_add || u->output == u->add);
    /* Gates stand in units that keep the shape; a shortcut-only gate leaves F alone. */
    CHECK_INT(u->gates[0], net->desc.shortcut == RN_SHORTCUT_GATE ? -1 : gate);
    CHECK_INT(u->gates[1], highway ? carry : gate);
}

static void check_units(const rn_net *net, const record *r) {
    int count = 0, before = -1, stage = 0;
    rn_unit u;
    memset(&u, 0, sizeof u);
    while (rn_next_unit(net, &u)) {
        CHECK(before < 0 || (u.input == before && u.first == before + 1));
        CHECK(u.stage == stage ? u.unit > 0 : u.unit == 0 && u.stage == stage + 1);
        check_unit(net, &u, r);
        before = u.output;
        stage = u.stage;
        count++;
    }
    CHECK_INT(count, net->desc.units[0] + net->desc.units[1] + net->desc.units[2]);
}

/* ---- moments --------------------------------------------------------------------------------- */

static void check_moments(const rn_moments *got, const rn_real *data, ptrdiff_t count) {
    double want[5] = {0, 0, 0, 0, 0}, histogram[7] = {0, 0, 0, 0, 0, 0, 0}, magnitude = 0;
    int unequal = 0;
    for (ptrdiff_t i = 0; i < count; i++) {
        const double x = (double)data[i];
        int bin = 0;
        while (bin < 6 && x >= got->least + (got->most - got->least) / 7 * (bin + 1)) bin++;
        histogram[bin]++;
        want[0] += x;
        want[1] += x * x;
        want[2] += x > 0;
        want[3] += !(x > 0) && !(x < 0);
        want[4] = fmax(want[4], fabs(x));
        magnitude += fabs(x);
    }
    CHECK_NEAR(got->count, count, 0);
    CHECK_NEAR(got->sum, want[0], 1e-12 * magnitude);
    CHECK_NEAR(got->squares, want[1], 1e-12 * want[1]);
    CHECK_NEAR(got->positive, want[2], 0);
    CHECK_NEAR(got->zeros, want[3], 0);
    CHECK_NEAR(got->largest, want[4], 0);
    for (int i = 0; i < 7; i++) unequal += fabs(histogram[i] - got->histogram[i]) > 0;
    CHECK_INT(unequal, 0);
}

static int met; /* values and gradients whose moments were compared */

/* At every step, every node: what can be read has the moments of a copy, and what cannot is refused
   likewise. */
static void compare_moments(void *user, rn_net *net, int i, int backward) {
    rn_real *copy = (rn_real *)user;
    (void)i, (void)backward;
    for (int v = 0; v < net->node_count; v++)
        for (int gradient = 0; gradient < 2; gradient++) {
            double histogram[7] = {0, 0, 0, 0, 0, 0, 0};
            rn_moments m;
            rn_error errors[2] = {{RN_OK, ""}, {RN_OK, ""}};
            memset(&m, 0, sizeof m);
            m.histogram = histogram;
            m.bins = 7;
            m.least = gradient ? -0.011 : -1.3; /* some numbers are beyond */
            m.most = gradient ? 0.017 : 2.1;
            rn_add_moments_of(&m, net, v, gradient, &errors[0]);
            (gradient ? rn_read_gradient : rn_read_value)(net, v, tensor_of(net, v, copy),
                                                          &errors[1]);
            CHECK_INT(errors[0].status, errors[1].status);
            if (errors[0].status) {
                CHECK(!strcmp(strchr(errors[0].text, ':'), strchr(errors[1].text, ':')));
                continue;
            }
            check_moments(&m, copy, count_of(net, v) / COUNT * net->held);
            met++;
        }
}

static void check_all_moments(int i, const char *options, const net_batch *batch) {
    rn_net *net = create(i, options, RN_TRAINING);
    ptrdiff_t most = 0;
    rn_real *copy;
    for (int v = 0; v < net->node_count; v++)
        most = count_of(net, v) > most ? count_of(net, v) : most;
    copy = (rn_real *)net_take((size_t)most * sizeof(rn_real));
    net->probe = compare_moments;
    net->probe_user = copy;
    backpropagate(net, batch);
    free(copy);
    rn_destroy(net);
}

/* ---- signals --------------------------------------------------------------------------------- */

static double squares_of(const rn_real *data, ptrdiff_t count) {
    double sum = 0;
    for (ptrdiff_t i = 0; i < count; i++) sum += (double)data[i] * (double)data[i];
    return sum;
}

static void near(double got, double want, double bound) {
    CHECK_NEAR(got, want, bound * fmax(fabs(want), 1e-12));
}

/* What the shortcut of a unit multiplies number k by, with what comes behind the addition. */
static double factor_at(const rn_net *net, const rn_unit *u, const record *r, ptrdiff_t k) {
    const rn_node *h = &net->nodes[u->shortcut];
    double factor = 1;
    if (u->gates[1] >= 0) {
        const double z = (double)r->values[u->gates[1]][k], open = 1 / (1 + exp(-z));
        factor = h->complement ? 1 - open : open;
    } else if (h->kind == RN_SCALE)
        factor = (double)h->scale;
    if (u->output > u->add && !(r->values[u->output][k] > 0)) factor = 0;
    return factor;
}

/* Equation (8): from the end of a stage to the input of its second unit, number by number the
   product of the factors; down the shortcuts alone, that is what gets through. */
static void check_product(const rn_net *net, const signals *s, const record *r, int end,
                          double bound) {
    const int stage = s->units[end - 1].unit.stage, node = s->units[end].unit.input;
    const ptrdiff_t count = count_of(net, node);
    double *alone = (double *)net_take((size_t)count * sizeof(double));
    double squares = 0;
    if (end < s->count) { /* what gets through the stages behind is measured */
        free(alone);
        return;
    }
    for (ptrdiff_t k = 0; k < count; k++) alone[k] = (double)r->gradients[node][k];
    for (int l = end - 1; l >= 0 && s->units[l].unit.stage == stage && s->units[l].unit.unit; l--) {
        squares = 0;
        for (ptrdiff_t k = 0; k < count; k++) {
            alone[k] *= factor_at(net, &s->units[l].unit, r, k);
            squares += alone[k] * alone[k];
        }
        near(s->units[l].alone.squares, squares, bound);
    }
    CHECK(squares > 0);
    free(alone);
}

/* Against the numbers of the naive net. */
static void check_signals(const rn_net *net, const signals *s, const record *r, double bound) {
    const int constant = net->desc.shortcut != RN_SHORTCUT_CONV1X1 &&
                         net->desc.shortcut != RN_SHORTCUT_DROPOUT &&
                         net->desc.order != RN_BN_AFTER_ADD;
    for (int l = 0; l <= s->count; l++) {
        const unit_signals *at = &s->units[l];
        const rn_unit *u = &at->unit;
        const ptrdiff_t count = count_of(net, u->input);
        double by_f = 0, zeros = 0;
        near(at->x.squares, squares_of(r->values[u->input], count), bound);
        near(at->dx.squares, squares_of(r->gradients[u->input], count), bound);
        if (l == s->count) break;
        near(at->h.squares, squares_of(r->values[u->shortcut], count_of(net, u->shortcut)), bound);
        near(at->f.squares, squares_of(r->values[u->residual], count_of(net, u->residual)), bound);
        near(at->dh.squares, squares_of(r->handed[u->add], count_of(net, u->add)), bound);
        for (ptrdiff_t k = 0; k < count && u->shortcut == u->input; k++) {
            const double more = (double)r->gradients[u->input][k] - (double)r->handed[u->add][k];
            by_f += more * more;
        }
        near(at->by_f, u->shortcut == u->input ? by_f : -1, 10 * bound);
        for (ptrdiff_t k = 0; k < count_of(net, u->output); k++)
            zeros += !(r->values[u->output][k] > 0);
        if (net->nodes[u->output].kind == RN_RELU)
            CHECK_NEAR(share_cut(net, at), zeros / (double)count_of(net, u->output), bound);
        else
            CHECK(isnan(share_cut(net, at)));
    }
    if (constant) check_product(net, s, r, s->count, 4 * bound);
}

static void check_gates(const rn_net *net, const signals *s, const record *r, double bound) {
    double all[2] = {0, 0}, binned[2] = {0, 0};
    for (int l = 0; l < s->count; l++)
        for (int k = 0; k < 2; k++) {
            const unit_signals *at = &s->units[l];
            const int logits = at->unit.gates[k];
            const int term = k ? at->unit.shortcut : at->unit.residual;
            double sum = 0;
            if (logits < 0) {
                CHECK_NEAR(at->gates[k].count, 0, 0);
                continue;
            }
            for (ptrdiff_t i = 0; i < count_of(net, logits); i++) {
                const double open = 1 / (1 + exp(-(double)r->values[logits][i]));
                sum += net->nodes[term].complement ? 1 - open : open;
            }
            near(at->gates[k].sum, sum, bound);
            CHECK_NEAR(at->gates[k].count, count_of(net, logits), 0);
            all[k] += at->gates[k].count;
        }
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < SIGNAL_BINS; i++) binned[k] += s->openings[k][i];
        CHECK_NEAR(binned[k], all[k], 0);
    }
}

/* Equations (4) and (5). */
static void check_identities(const rn_net *net, const signals *s) {
    const int identity = net->desc.shortcut == RN_SHORTCUT_IDENTITY;
    const int added_last = !rn__orders[net->desc.order].after_add;
    double unequal = 0, histogram = 0, inputs = 0;
    for (int k = 0; k < 2; k++) {
        const stage_signals *stage = &s->stages[k];
        CHECK_INT(stage->units, 3);
        if (identity && added_last)
            CHECK(stage->gap <= 1e-6 * stage->size);
        else
            CHECK(stage->gap > 1e-3 * stage->size);
        for (int i = 0; i < SIGNAL_BINS; i++) histogram += stage->x_bins[i] + stage->dx_bins[i];
    }
    for (int l = 0; l < s->count; l++) {
        unequal += s->units[l].unequal;
        inputs += s->units[l].x.count + s->units[l].dx.count;
    }
    CHECK_NEAR(histogram, inputs, 0);
    if (added_last)
        CHECK_NEAR(unequal, 0, 0);
    else
        CHECK(unequal > 0);
}

/* The bytes that a net takes at least, as a budget. */
static void least_budget(char options[64], int i) {
    rn_desc desc = desc_of(i);
    rn_error error = {RN_OK, ""};
    const char *words = "takes at least ", *least;
    desc.budget = 1;
    desc.unfused = 1;
    CHECK_INT(rn_bytes(&desc, COUNT, RN_TRAINING, &error), 0);
    least = strstr(error.text, words);
    snprintf(options, 64, "unfused 1 budget %llu",
             least ? strtoull(least + strlen(words), NULL, 10) : 1);
}

static void check_measured(int i, const char *options, const net_batch *batch, const record *r,
                           double bound) {
    rn_net *net = create(i, options, RN_TRAINING);
    rn_error error = {RN_OK, ""};
    signals s;
    CHECK_INT(open_signals(&s, net, &error), RN_OK);
    for (int again = 0; again < 2; again++) { /* nothing is left of the first time */
        CHECK_INT(measure_signals(&s, net, batch->images, batch->labels, COUNT, &error), RN_OK);
        CHECK(!*error.text);
    }
    CHECK(!net->probe);
    if (r) check_signals(net, &s, r, bound);
    if (r) check_gates(net, &s, r, bound);
    check_identities(net, &s);
    close_signals(&s);
    rn_destroy(net);
}

/* A net that computes several nodes in one step is refused, with the way out. */
static void check_refused(int i, const net_batch *batch) {
    rn_net *net = create(i, "", RN_TRAINING);
    rn_error error = {RN_OK, ""};
    signals s;
    CHECK_INT(open_signals(&s, net, &error), RN_OK);
    CHECK_INT(measure_signals(&s, net, batch->images, batch->labels, COUNT, &error),
              RN_BAD_ARGUMENT);
    CHECK_TEXT(error.text, "desc.unfused");
    CHECK_INT(measure_signals(&s, net, batch->images, batch->labels, COUNT, NULL), RN_BAD_ARGUMENT);
    close_signals(&s);
    rn_destroy(net);
}

/* What comes down the shortcuts alone to x_0, where h is relu(BN(x_0)) and the only layer of F
   reads it, too: the gradient of x_L, for shortcuts are identities from there on, back through ReLU
   and norm. */
static double alone_by_hand(rn_net *naive, const rn_unit *first, int end, const net_batch *batch) {
    record r = record_net(naive, batch);
    const int relu = first->shortcut, norm = naive->nodes[relu].inputs[0];
    rn_tensor x = tensor_of(naive, first->input, r.values[first->input]);
    rn_tensor y = tensor_of(naive, relu, r.values[relu]);
    rn_tensor dy = tensor_of(naive, end, r.gradients[end]);
    rn_tensor room = tensor_of(naive, norm, r.values[norm]);
    rn_real statistics[2 * 8], dw[8], db[8];
    rn_parameter w, b;
    double squares;
    CHECK_INT(naive->nodes[first->residual].inputs[0], relu);
    CHECK(rn_find_parameter(naive, "layer1.0.bn1.weight", &w));
    CHECK(rn_find_parameter(naive, "layer1.0.bn1.bias", &b));
    CHECK_INT(rn_relu_backward(&dy, &dy, &y, 0, NULL), RN_OK);
    CHECK_INT(
        rn_batch_norm_forward(&room, statistics, &x, w.data, b.data, naive->desc.bn_eps, 0, NULL),
        RN_OK);
    CHECK_INT(rn_batch_norm_backward(&room, dw, db, &dy, &x, statistics, w.data, naive->desc.bn_eps,
                                     0, 0, NULL),
              RN_OK);
    squares = squares_of(room.data, count_of(naive, norm));
    free_record(naive, &r);
    return squares;
}

static void check_shared_input(const char *execution) {
    rn_desc desc =
        net_desc(RN_FULL_PREACT, RN_SINGLE, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, RN_STEM_CIFAR);
    rn_net *naive, *net;
    net_batch batch = net_draw_batch(&desc, COUNT, 3);
    signals s;
    net_options(&desc, "units 3,0 naive 1");
    naive = net_create(&desc, COUNT, RN_TRAINING);
    net_options(&desc, execution);
    net = net_create(&desc, COUNT, RN_TRAINING);
    net_draw(naive, 3);
    net_draw(net, 3);
    CHECK_INT(open_signals(&s, net, NULL), RN_OK);
    CHECK_INT(measure_signals(&s, net, batch.images, batch.labels, COUNT, NULL), RN_OK);
    near(s.units[0].alone.squares,
         alone_by_hand(naive, &s.units[0].unit, s.units[s.count].unit.input, &batch), BOUND);
    CHECK(s.units[0].alone.squares > 0);
    close_signals(&s);
    net_free_batch(&batch);
    rn_destroy(naive);
    rn_destroy(net);
}

/* ---- inference ------------------------------------------------------------------------------- */

typedef struct watched {
    const rn_real *const *features; /* [nodes], NULL: not looked at */
    int first;                      /* image of the batch that is the first in memory */
    int read, refused;
    int zeroed; /* node whose value becomes zero; 0: none */
    rn_real *room;
} watched;

static void watch_value(void *user, rn_net *net, int i, int backward) {
    watched *w = (watched *)user;
    const rn_node *node = &net->nodes[i];
    const size_t image = (size_t)node->c * (size_t)(node->h * node->w);
    const rn_tensor to = tensor_of(net, i, w->room);
    rn_error error;
    CHECK_INT(backward, 0);
    CHECK_INT(rn_read_gradient(net, i, to, &error), RN_BAD_ARGUMENT);
    CHECK_TEXT(error.text, "training step");
    if (rn_read_value(net, i, to, &error)) {
        CHECK(!net->desc.naive && !net->desc.unfused);
        CHECK_TEXT(error.text, "does not exist in the fast execution");
        w->refused++;
    } else {
        w->read++;
        if (w->features)
            CHECK(!memcmp(w->room, w->features[i] + (size_t)w->first * image,
                          (size_t)net->held * image * sizeof(rn_real)));
    }
    if (i == w->zeroed) {
        rn_tensor_fill(to, 0);
        CHECK_INT(rn_write_value(net, i, to, &error), RN_OK);
    }
    if (i == net->node_count - 1) w->first += net->held;
}

static void check_inference(int i, const char *options, rn_mode mode, const net_batch *batch) {
    rn_net *net = create(i, options, mode);
    rn_real **features = take_arrays(net);
    rn_real want[COUNT * 4], got[COUNT * 4];
    watched w = {NULL, 0, 0, 0, 0, NULL};
    rn_error error;
    const int parts = (COUNT + net->part - 1) / net->part;
    ptrdiff_t most = 0;
    for (int v = 0; v < net->node_count; v++) {
        most = count_of(net, v) > most ? count_of(net, v) : most;
        CHECK_INT(rn_features(net, rn_workspace(net), batch->images, COUNT, v, features[v], NULL),
                  RN_OK);
    }
    w.room = (rn_real *)net_take((size_t)most * sizeof(rn_real));
    w.features = (const rn_real *const *)features;
    CHECK_INT(rn_predict(net, rn_workspace(net), batch->images, COUNT, want, NULL), RN_OK);
    net->probe = watch_value;
    net->probe_user = &w;
    CHECK_INT(rn_predict_probed(net, batch->images, COUNT, got, NULL), RN_OK);
    CHECK(!memcmp(want, got, sizeof want));
    CHECK_INT(w.read + w.refused, (net->executor->count - 1) * parts);
    CHECK(w.refused == 0 || !(net->desc.naive || net->desc.unfused));
    /* what is behind the pass, until the memory is lent out */
    CHECK_INT(
        rn_read_value(net, net->node_count - 1, tensor_of(net, net->node_count - 1, w.room), NULL),
        RN_OK);
    rn_workspace(net);
    CHECK_INT(rn_read_value(net, net->node_count - 1, rn_tensor_in(w.room, COUNT, 4, 1, 1), &error),
              RN_BAD_ARGUMENT);
    CHECK_TEXT(error.text, "rn_predict_probed");
    CHECK_INT(rn_predict_probed(NULL, batch->images, COUNT, got, &error), RN_BAD_ARGUMENT);
    free(w.room);
    free_arrays(net, features);
    rn_destroy(net);
}

/* Logits of a net of whose second unit a probe makes F zero. */
static void without_f(int i, const char *options, const net_batch *batch, rn_real *logits) {
    rn_net *net = create(i, options, RN_INFERENCE);
    watched w = {NULL, 0, 0, 0, 0, NULL};
    rn_unit u;
    ptrdiff_t most = 0;
    memset(&u, 0, sizeof u);
    rn_next_unit(net, &u);
    rn_next_unit(net, &u);
    for (int v = 0; v < net->node_count; v++)
        most = count_of(net, v) > most ? count_of(net, v) : most;
    w.room = (rn_real *)net_take((size_t)most * sizeof(rn_real));
    w.zeroed = u.residual;
    net->probe = watch_value;
    net->probe_user = &w;
    CHECK_INT(rn_predict_probed(net, batch->images, COUNT, logits, NULL), RN_OK);
    free(w.room);
    rn_destroy(net);
}

static void check_inference_writing(int i, const net_batch *batch) {
    rn_real naive[COUNT * 4], unfused[COUNT * 4], whole[COUNT * 4];
    rn_net *net = create(i, "", RN_INFERENCE);
    without_f(i, "naive 1", batch, naive);
    without_f(i, "unfused 1", batch, unfused);
    CHECK_INT(rn_predict(net, rn_workspace(net), batch->images, COUNT, whole, NULL), RN_OK);
    CHECK(rn_tensor_difference(rn_tensor_in(unfused, COUNT, 4, 1, 1),
                               rn_tensor_in(naive, COUNT, 4, 1, 1)) < BOUND);
    CHECK(rn_tensor_difference(rn_tensor_in(whole, COUNT, 4, 1, 1),
                               rn_tensor_in(naive, COUNT, 4, 1, 1)) > 100 * BOUND);
    rn_destroy(net);
}

/* Signals of values in inference, by running statistics: those of rn_features. */
static void check_inference_signals(int i, const net_batch *batch) {
    rn_net *net = create(i, "unfused 1", RN_INFERENCE);
    rn_real **features = take_arrays(net);
    rn_error error = {RN_OK, ""};
    signals s;
    CHECK_INT(open_signals(&s, net, &error), RN_OK);
    for (int v = 0; v < net->node_count; v++)
        CHECK_INT(rn_features(net, rn_workspace(net), batch->images, COUNT, v, features[v], NULL),
                  RN_OK);
    CHECK_INT(measure_signals(&s, net, batch->images, NULL, COUNT, &error), RN_OK);
    for (int l = 0; l <= s.count; l++) {
        const rn_unit *u = &s.units[l].unit;
        near(s.units[l].x.squares, squares_of(features[u->input], count_of(net, u->input)), 1e-10);
        CHECK_NEAR(s.units[l].dx.count, 0, 0);
        if (l == s.count) break;
        near(s.units[l].f.squares, squares_of(features[u->residual], count_of(net, u->residual)),
             1e-10);
    }
    close_signals(&s);
    free_arrays(net, features);
    rn_destroy(net);
}

/* ---- bits ------------------------------------------------------------------------------------ */

/* Parameters after some steps, with or without somebody who looks on. */
static rn_net *train(int i, const char *options, int probed, const net_batch *batch) {
    rn_net *net = create(i, options, RN_TRAINING);
    signals s;
    rn_error error;
    CHECK_INT(open_signals(&s, net, &error), RN_OK);
    for (int step = 0; step < 3; step++) {
        if (probed) /* which may be refused half-way, and changes nothing but gradients */
            measure_signals(&s, net, batch->images, batch->labels, COUNT, &error);
        CHECK_INT(rn_train_step(net, batch->images, batch->labels, COUNT, 0.05, NULL, NULL), RN_OK);
    }
    close_signals(&s);
    return net;
}

static void check_same(const rn_net *a, const rn_net *b) {
    CHECK(!memcmp(a->parameters, b->parameters, (size_t)a->parameter_count * sizeof(rn_real)));
    CHECK(!memcmp(a->velocity, b->velocity, (size_t)a->trained_count * sizeof(rn_real)));
    CHECK(!memcmp(a->statistics, b->statistics, (size_t)a->statistic_count * sizeof(rn_real)));
}

static void check_bits(int i, const net_batch *batch) {
    static const char *const executions[] = {"naive 1", "unfused 0", "unfused 1", NULL};
    char budget[64];
    rn_net *unfused = train(i, "unfused 1", 0, batch), *net;
    least_budget(budget, i);
    for (int k = 0; executions[k]; k++) {
        rn_net *alone = train(i, executions[k], 0, batch);
        net = train(i, executions[k], 1, batch);
        check_same(alone, net);
        rn_destroy(alone);
        rn_destroy(net);
    }
    net = train(i, budget, 1, batch);
    check_same(unfused, net);
    CHECK(net->bytes < unfused->bytes);
    rn_destroy(net);
    net = create(i, "unfused 0", RN_TRAINING);
    CHECK(net->bytes < unfused->bytes);
    CHECK_INT(unfused->executor->count, unfused->node_count);
    rn_destroy(net);
    rn_destroy(unfused);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void check_net(int i) {
    rn_net *naive = create(i, "naive 1", RN_TRAINING);
    net_batch batch = net_draw_batch(&naive->desc, COUNT, (uint64_t)i);
    record r = record_net(naive, &batch);
    char budget[64];
    least_budget(budget, i);
    check_units(naive, &r);
    check_measured(i, "naive 1", &batch, &r, ROUNDING);
    check_measured(i, "unfused 1", &batch, &r, BOUND);
    check_measured(i, budget, &batch, &r, BOUND);
    check_measured(i, "unfused 1 micro_batch 2", &batch, NULL, 0); /* other statistics */
    if (i < 2) check_refused(i, &batch);
    check_all_moments(i, i % 2 ? "unfused 1" : "unfused 0", &batch);
    check_all_moments(i, i % 3 ? "micro_batch 2" : "naive 1", &batch);
    check_inference(i, "naive 1", i % 2 ? RN_TRAINING : RN_INFERENCE, &batch);
    check_inference(i, "unfused 1 micro_batch 3", i % 2 ? RN_INFERENCE : RN_TRAINING, &batch);
    check_inference(i, "unfused 0", i % 2 ? RN_TRAINING : RN_INFERENCE, &batch);
    check_inference_writing(i, &batch);
    check_inference_signals(i, &batch);
    check_bits(i, &batch);
    free_record(naive, &r);
    net_free_batch(&batch);
    rn_destroy(naive);
}

int main(void) {
    for (int i = 0; i < NETS; i++) check_net(i);
    check_shared_input("naive 1");
    check_shared_input("naive 0 unfused 1");
    CHECK(met > 10000);
    printf("probes: moments of %d values and gradients\n", met);
    return test_end("probes");
}
