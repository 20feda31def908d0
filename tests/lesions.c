/* lesions.c - examples/lesions: a unit left out is one whose F is zero, or in a plain net one that
   is not there; units swapped are so by name; the gradients along all paths add up to the whole;
   what is drawn is what it should be.

   tests/lesions */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"

#include "nets.h"

#undef _DEFAULT_SOURCE /* which example programs define themselves */
#define main lesions_main
#include "../examples/lesions.c"
#undef main

enum { IMAGES = 3 };

static rn_desc small_net(const char *options) {
    rn_desc desc =
        net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, RN_STEM_CIFAR);
    desc.units[0] = 3;
    desc.units[1] = 2;
    net_options(&desc, options);
    return desc;
}

/* Of a net of its own; one at a time. */
static lesions *begin_test(const char *options) {
    static lesions l;
    const rn_desc desc = small_net(options);
    rn_net *net = net_create(&desc, IMAGES, RN_INFERENCE);
    memset(&l, 0, sizeof l);
    net_draw(net, 7);
    l.t.net = net;
    examine(&l, net);
    l.path_images = IMAGES;
    return &l;
}

static void end_test(lesions *l) {
    free(l->changed[PARAMETERS]);
    free(l->changed[STATISTICS]);
    rn_destroy(l->t.net);
}

/* Of the test's images: the value of a node, to be freed. */
static rn_tensor value(rn_net *net, int node) {
    const rn_node *n = &net->nodes[node];
    net_batch batch = net_draw_batch(&net->desc, IMAGES, 3);
    rn_tensor t = rn_tensor_in((rn_real *)net_take(rn_tensor_bytes(IMAGES, n->c, n->h, n->w)),
                               IMAGES, n->c, n->h, n->w);
    rn_error error;
    CHECK_INT(rn_features(net, rn_workspace(net), batch.images, IMAGES, node, t.data, &error), 0);
    net_free_batch(&batch);
    return t;
}

static double difference(rn_net *a, int node_a, rn_net *b, int node_b) {
    rn_tensor of_a = value(a, node_a), of_b = value(b, node_b);
    const double d = rn_tensor_difference(of_a, of_b);
    free(of_a.data);
    free(of_b.data);
    return d;
}

static double logits_differ(rn_net *a, rn_net *b) {
    return difference(a, a->node_count - 1, b, b->node_count - 1);
}

/* ---- units left out -------------------------------------------------------------------------- */

/* The addition then hands on what the shortcut of the whole net is; and what follows is another net
   than the whole one. With `alike` units behind stages' first are as if they were not there. */
static void check_left_out(const char *options, int alike) {
    lesions *l = begin_test(options);
    rn_net *whole = l->t.net, *net;
    int order[8], i;
    char out[8];
    CHECK_INT(l->count, 5);
    CHECK(!l->bypass);
    for (i = 0; i < l->count; i++) {
        const rn_unit *u = &l->units[i].of;
        in_order(l, order, out);
        net = make_changed(l, order, out);
        net_check(!(logits_differ(net, whole) > 0), __LINE__, &whole->desc, "unchanged",
                  logits_differ(net, whole), 0);
        rn_destroy(net);
        out[i] = 1;
        net = make_changed(l, order, out);
        net_check(!(difference(net, u->add, whole, u->shortcut) > 0), __LINE__, &whole->desc,
                  "the addition against the shortcut", difference(net, u->add, whole, u->shortcut),
                  0);
        net_check(logits_differ(net, whole) > 1e-3, __LINE__, &whole->desc, "not the whole net",
                  logits_differ(net, whole), 1e-3);
        if (alike && !is_first(l, i)) {
            rn_tensor zeroed = value(net, net->node_count - 1), bypassed;
            rn_destroy(net);
            l->bypass = 1;
            net = make_changed(l, order, out);
            l->bypass = 0;
            CHECK_INT(net->desc.units[u->stage - 1], whole->desc.units[u->stage - 1] - 1);
            bypassed = value(net, net->node_count - 1);
            net_check(rn_tensor_difference(zeroed, bypassed) < 1e-5, __LINE__, &whole->desc,
                      "both ways to leave out", rn_tensor_difference(zeroed, bypassed), 1e-5);
            free(zeroed.data);
            free(bypassed.data);
        }
        rn_destroy(net);
    }
    end_test(l);
}

/* Copies what has this prefix in one net to what has another in the other. */
static void copy_unit(rn_net *to, const char *to_prefix, const rn_net *from,
                      const char *from_prefix) {
    const size_t length = strlen(from_prefix);
    rn_parameter p = {0}, q;
    int copied = 0;
    while (rn_next_parameter(from, &p)) {
        char name[128];
        if (strncmp(p.name, from_prefix, length) != 0) continue;
        snprintf(name, sizeof name, "%s%s", to_prefix, p.name + length);
        memset(&q, 0, sizeof q);
        CHECK(rn_find_parameter(to, name, &q));
        CHECK_INT(q.count, p.count);
        memcpy(q.data, p.data, (size_t)p.count * sizeof *p.data);
        copied++;
    }
    CHECK(copied > 0);
}

/* A plain net without layer1.1 is one of two units in that stage, made by hand. */
static void check_plain(void) {
    lesions *l = begin_test("shortcut scale shortcut_scale 0");
    rn_desc desc = small_net("shortcut scale shortcut_scale 0 units 2,2");
    rn_net *hand = net_create(&desc, IMAGES, RN_INFERENCE), *net;
    int order[8];
    char out[8];
    CHECK(l->bypass);
    CHECK_INT(draw_set(l, PURPOSE_SET, 0, 0, out), 3);
    copy_unit(hand, "conv1.", l->whole, "conv1.");
    copy_unit(hand, "layer1.0.", l->whole, "layer1.0.");
    copy_unit(hand, "layer1.1.", l->whole, "layer1.2.");
    copy_unit(hand, "layer2.", l->whole, "layer2.");
    copy_unit(hand, "bn.", l->whole, "bn.");
    copy_unit(hand, "fc.", l->whole, "fc.");
    in_order(l, order, out);
    out[1] = 1;
    net = make_changed(l, order, out);
    CHECK_NEAR(logits_differ(net, hand), 0, 0);
    CHECK(logits_differ(net, l->t.net) > 1e-3);
    rn_destroy(net);
    rn_destroy(hand);
    end_test(l);
}

/* ---- units swapped --------------------------------------------------------------------------- */

static void check_swapped(void) {
    lesions *l = begin_test("");
    rn_desc desc = small_net("");
    rn_net *hand = net_create(&desc, IMAGES, RN_INFERENCE), *net;
    const size_t bytes = (size_t)l->whole->parameter_count * sizeof(rn_real);
    int order[8], pair[2];
    char out[8];
    CHECK_INT(find_pair(l, 0, pair), 1); /* layer1.1 and layer1.2 */
    CHECK_INT(pair[0], 1);
    CHECK_INT(pair[1], 2);
    memcpy(hand->parameters, l->whole->parameters, bytes);
    memcpy(hand->statistics, l->whole->statistics,
           (size_t)l->whole->statistic_count * sizeof(rn_real));
    copy_unit(hand, "layer1.1.", l->whole, "layer1.2.");
    copy_unit(hand, "layer1.2.", l->whole, "layer1.1.");
    in_order(l, order, out);
    draw_order(l, 1, 0, order);
    CHECK_INT(order[1], 2);
    net = make_changed(l, order, out);
    CHECK_NEAR(logits_differ(net, hand), 0, 0);
    CHECK(logits_differ(net, l->t.net) > 1e-3);
    CHECK(!memcmp(net->parameters, hand->parameters, bytes));
    rn_destroy(net);
    draw_order(l, 2, 0, order); /* the only pair, twice */
    net = make_changed(l, order, out);
    CHECK(!memcmp(net->parameters, l->whole->parameters, bytes));
    CHECK_NEAR(logits_differ(net, l->t.net), 0, 0);
    rn_destroy(net);
    rn_destroy(hand);
    end_test(l);
}

/* ---- paths ----------------------------------------------------------------------------------- */

static void draw_images(path_walk *w) {
    net_batch batch = net_draw_batch(&w->net->desc, IMAGES, 5);
    memcpy(w->images, batch.images,
           (size_t)net_image_count(&w->net->desc, IMAGES) * sizeof(rn_real));
    memcpy(w->labels, batch.labels, IMAGES * sizeof(int));
    net_free_batch(&batch);
}

/* dE/dx at the first unit is the sum over all paths, and that of a path through nothing but
   shortcuts, or through no shortcut, is what the description's scale makes of it. */
static void check_paths(const char *options) {
    lesions *l = begin_test(options);
    path_walk w = begin_walk(l);
    rn_net *net = w.net;
    rn_tensor sum, all;
    const rn_node *first = &net->nodes[l->units[0].split];
    const int count = IMAGES * first->c * first->h * first->w;
    char through[8];
    int path, i;
    draw_images(&w);
    sum = rn_tensor_in((rn_real *)net_take((size_t)count * sizeof(rn_real)), IMAGES, first->c,
                       first->h, first->w);
    CHECK_INT(l->count, 5);
    for (path = 0; path < 32; path++) {
        double norm;
        for (i = 0; i < 5; i++) through[i] = (char)(path >> i & 1);
        norm = walk_path(&w, through);
        net_check(norm > 0 || (path < 31 && net->desc.shortcut == RN_SHORTCUT_SCALE), __LINE__,
                  &net->desc, "norm along a path", norm, 0);
        for (i = 0; i < count; i++) sum.data[i] += w.room[2][i];
    }
    CHECK(walk_path(&w, NULL) > 1e-4);
    all = rn_tensor_in(w.room[2], IMAGES, first->c, first->h, first->w);
    net_check(rn_tensor_difference(sum, all) < 2e-5, __LINE__, &net->desc, "sum over paths",
              rn_tensor_difference(sum, all), 2e-5);
    if (net->desc.shortcut == RN_SHORTCUT_SCALE && !(fabsf(net->desc.shortcut_scale) > 0)) {
        double whole = walk_path(&w, NULL);
        CHECK_NEAR(walk_path(&w, through), whole, 1e-6 * whole); /* through all units */
        through[2] = 0;
        CHECK_NEAR(walk_path(&w, through), 0, 0);
    }
    free(sum.data);
    end_walk(&w);
    end_test(l);
}

/* Keeps the gradient of the last addition. */
static void keep_last(void *user, rn_net *net, int node, int backward) {
    rn_unit u = {0};
    rn_error error;
    while (rn_next_unit(net, &u)) {
    }
    if (backward && node == u.next)
        CHECK_INT(rn_read_gradient(net, u.add, *(rn_tensor *)user, &error), 0);
}

/* Along shortcuts alone: in this order nothing else stands between the units, so that each pixel's
   gradient goes back to the one that it came from, by half in each of five units. */
static void check_shortcuts(void) {
    lesions *l = begin_test("order relu_before_add shortcut scale shortcut_scale 0.5 resize "
                            "A_centred widths 3,5");
    path_walk w = begin_walk(l);
    rn_net *net = w.net;
    const char through[8] = {0};
    rn_tensor x, y;
    int n, c, h, k;
    rn_error error;
    draw_images(&w);
    y = rn_tensor_in((rn_real *)net_take(rn_tensor_bytes(IMAGES, 5, 4, 3)), IMAGES, 5, 4, 3);
    net->probe = keep_last;
    net->probe_user = &y;
    CHECK_INT(rn_backpropagate(net, w.images, w.labels, IMAGES, NULL, &error), 0);
    CHECK(net_largest(y.data, (ptrdiff_t)IMAGES * 60) > 1e-4);
    CHECK(walk_path(&w, through) > 0);
    x = rn_tensor_in(w.room[2], IMAGES, 3, 7, 6);
    for (n = 0; n < IMAGES; n++)
        for (c = 0; c < 3; c++)
            for (h = 0; h < 7; h++)
                for (k = 0; k < 6; k++) {
                    const double there = (double)y.data[((n * 5 + c + 1) * 4 + h / 2) * 3 + k / 2];
                    CHECK_NEAR(x.data[((n * 3 + c) * 7 + h) * 6 + k],
                               h % 2 || k % 2 ? 0 : there / 32, 1e-6 * fabs(there));
                }
    free(y.data);
    end_walk(&w);
    end_test(l);
}

/* Where a path cannot be measured that is said. */
static void check_refused(const char *options, const char *why) {
    lesions *l = begin_test(options);
    l->paths = 1;
    CHECK(why_no_paths(l) != NULL);
    if (why_no_paths(l)) CHECK_TEXT(why_no_paths(l), why);
    end_test(l);
}

/* Of 2^4 paths 1, 4, 6, 4, 1 have lengths 0 to 4. */
static void check_shares(void) {
    static const double expected[] = {6.25, 25, 37.5, 25, 6.25}, weights[] = {16, 4, 1, 0, 0};
    double shares[5];
    int i, middle[2];
    static lesions l;
    l.count = 4;
    share_by_length(&l, NULL, shares);
    for (i = 0; i < 5; i++) CHECK_NEAR(shares[i], expected[i], 1e-9);
    find_middle(shares, 4, middle);
    CHECK_INT(middle[0] * 10 + middle[1], 4);
    share_by_length(&l, weights, shares); /* 16, 16, 6 of 38 */
    CHECK_NEAR(shares[0], 1600 / 38.0, 1e-9);
    CHECK_NEAR(shares[2], 600 / 38.0, 1e-9);
    CHECK_NEAR(shares[3], 0, 0);
    find_middle(shares, 4, middle);
    CHECK_INT(middle[0] * 10 + middle[1], 2);
}

/* ---- what is drawn --------------------------------------------------------------------------- */

static void check_draws(void) {
    static const int reversed[] = {4, 3, 2, 1, 0}, swapped[] = {0, 2, 1, 3, 4};
    lesions *l = begin_test("units 4,4");
    int size, draw, i, order[8], again[8], counts[8] = {0}, pair[2];
    char out[8], same[8];
    CHECK_INT(find_pair(l, -1, pair), 6);
    for (size = 0; size <= 8; size++)
        for (draw = 0; draw < 50; draw++) {
            int sum = 0;
            CHECK_INT(draw_set(l, PURPOSE_SET, size, draw, out), 8);
            draw_set(l, PURPOSE_SET, size, draw, same);
            CHECK(!memcmp(out, same, 8));
            for (i = 0; i < 8; i++) sum += out[i], counts[i] += out[i];
            CHECK_INT(sum, size);
            draw_order(l, size, draw, order);
            draw_order(l, size, draw, again);
            CHECK(!memcmp(order, again, sizeof order));
            CHECK(order[0] == 0 && order[4] == 4);
            for (i = 0; i < 8; i++) CHECK_INT(order[i] / 4, i / 4);
        }
    for (i = 0; i < 8; i++) CHECK_NEAR(counts[i], 50 * 36 / 8.0, 35); /* deviation: 8 */
    l->m.seed = 1;
    for (i = draw = 0; draw < 50; draw++) {
        draw_set(l, PURPOSE_SET, 4, draw, out);
        l->m.seed = 0;
        draw_set(l, PURPOSE_SET, 4, draw, same);
        l->m.seed = 1;
        i += !memcmp(out, same, 8);
    }
    CHECK(i < 10); /* one of 70 is the same by chance */
    CHECK_NEAR(kendall_tau(reversed, 5), -1, 1e-12);
    CHECK_NEAR(kendall_tau(swapped, 5), 0.8, 1e-12);
    end_test(l);
}

static void check_sizes(void) {
    int size, count = 0;
    for (size = 1; size <= 20; size = next_size(size, 20)) {
        CHECK_INT(size, count ? 2 * count : 1);
        count++;
    }
    CHECK_INT(count, count_sizes(20));
    CHECK_INT(count, 11);
    CHECK_INT(count_sizes(7), 7);
    CHECK_INT(count_sizes(0), 0);
    for (size = 1; size <= MOST_UNITS; size++) CHECK(count_sizes(size) < MOST_SIZES);
}

int main(void) {
    static const char *const orders[] = {"original", "bn_after_add", "relu_before_add",
                                         "relu_preact", "full_preact"};
    char options[128];
    int i;
    for (i = 0; i < 5; i++) {
        snprintf(options, sizeof options, "order %s", orders[i]);
        check_left_out(options, i != 1); /* whose BN behind the addition stays one way */
        check_paths(options);
        snprintf(options, sizeof options, "order %s shortcut scale", orders[i]);
        check_paths(options);
    }
    check_left_out("block bottleneck conv_bias 1", 1);
    check_left_out("block single order original norm group_norm norm_groups 3", 1);
    check_left_out("norm evonorm_s0 norm_groups 3 weight_standardisation 1", 1);
    check_left_out("shortcut exclusive_gate", 0);
    check_left_out("shortcut highway conv_bias 1", 0);
    check_left_out("shortcut scale residual_scale 0.5", 0);
    check_left_out("resize B_bn order original", 1);
    check_paths("block bottleneck resize A");
    check_paths("shortcut scale shortcut_scale 0");
    check_paths("raw_identity 1 resize A_centred");
    check_shortcuts();
    check_refused("resize B", "identity, a scale, or A");
    check_refused("shortcut highway", "identity, a scale, or A");
    check_refused("shortcut shortcut_gate", "identity, a scale, or A");
    check_refused("shortcut dropout", "identity, a scale, or A");
    check_refused("stochastic_depth 0.5", "in training");
    check_left_out("stochastic_depth 0.5", 0);
    check_plain();
    check_swapped();
    check_shares();
    check_draws();
    check_sizes();
    return test_end("lesions");
}
