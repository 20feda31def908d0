/* quantise.c - nets in integers: the plain formulas and the fast ones give the same numbers, of
   nets of all orders, shortcuts, resizes, blocks and stems, with dead channels and images that no
   sample was like; floats as the header has them; integers near the floats; ranges by every rule;
   which values are wide; a layer that is broken on purpose is seen. Where MLPerf Tiny's net is
   beside the project: its multipliers, its weights made again of the floats, and every number
   between its layers for four images.

   cc -std=c99 -O2 -fopenmp -o quantise tests/quantise.c -lm && ./quantise */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"
#include "nets.h"
#include "../tools/errors.h"
#include "../tools/folded.h"
#include "../tools/quantise.h"

/* ---- images that are made up: blots of colour ------------------------------------------------ */

typedef struct blots {
    int channels, height, width, contrast;
} blots;

static int draw_blots(void *user, ptrdiff_t index, uint8_t *pixels, int *label) {
    const blots *b = (const blots *)user;
    int c, y, x;
    for (c = 0; c < b->channels; c++)
        for (y = 0; y < b->height; y++)
            for (x = 0; x < b->width; x++) {
                const int coarse = ((y / 3) * 7 + x / 3) * 4 + c;
                const double number = net_number((uint64_t)index, (uint64_t)coarse) +
                                      net_number((uint64_t)index, (uint64_t)(999 + x * 64 + y)) / 4;
                const double pixel = 110 + b->contrast * number;
                *pixels++ = (uint8_t)(pixel < 0 ? 0 : pixel > 255 ? 255 : pixel);
            }
    *label = (int)(index % 4);
    return 0;
}

static rn_source blot_source(blots *b, const layer *in, int contrast) {
    rn_source source = {16, in->c, in->h, in->w, 4, draw_blots, NULL};
    b->channels = in->c, b->height = in->h, b->width = in->w, b->contrast = contrast;
    source.user = b;
    return source;
}

/* ---- any net --------------------------------------------------------------------------------- */

static calibration_options few_samples(range_rule ranges) {
    calibration_options how = default_calibration();
    how.ranges = ranges, how.threads = 2;
    return how;
}

/* Wide values have no readers but those that take them; copies have their input's scale. */
static int is_consistent(const lowered *net) {
    int i, which;
    for (i = 1; i < net->count; i++) {
        const layer *l = &net->layers[i];
        for (which = 0; which < 2; which++) {
            if (l->inputs[which] < 0) continue;
            if (l->inputs[which] >= i) return 0;
            if (input_integers(net, l, which)->wide && !takes_wide(l, which)) return 0;
        }
        if (!(l->q.scale > 0) || (l->q.wide && l->q.zero_point)) return 0;
        if (l->relu && !l->q.wide && l->q.zero_point != -128) return 0;
        if ((l->kind == LAYER_MAX_POOL || l->kind == LAYER_PAD_SUBSAMPLE) &&
            (l->q.scale != input_integers(net, l, 0)->scale ||
             l->q.zero_point != input_integers(net, l, 0)->zero_point))
            return 0;
        if (l->kind == LAYER_ADD && !l->relu && !l->q.wide) return 0;
    }
    return !net->layers[net->count - 1].q.wide;
}

/* Numbers of all layers that differ between the plain formulas and the fast ones. */
static long count_differences(const lowered *net, const rn_source *source, int images) {
    int16_t **arranged = make_filters(net);
    integer_run plain = make_integer_run(net, arranged), fast = make_integer_run(net, arranged);
    uint8_t *pixels = (uint8_t *)net_take(value_count(&net->layers[0]));
    long differences = 0;
    int image, label, i;
    size_t k;
    for (image = 0; image < images; image++) {
        source->read(source->user, 1000 + image, pixels, &label);
        run_integers(&plain, pixels, 1), run_integers(&fast, pixels, 0);
        for (i = 0; i < net->count; i++)
            for (k = 0; k < value_count(&net->layers[i]); k++) {
                const int q = plain.values[i][k];
                differences += q != fast.values[i][k];
                differences += i && !net->layers[i].q.wide && (q < -128 || q > 127);
            }
    }
    free(pixels);
    free_integer_run(&plain), free_integer_run(&fast);
    free_filters(net, arranged);
    return differences;
}

/* The largest difference between the logits of the header, of fast and of plain floats,
   relative. */
static double float_difference(rn_net *from, const lowered *net, const rn_source *source) {
    float_run r = make_float_run(net, 1);
    const layer *in = &net->layers[0], *last = &net->layers[net->count - 1];
    const int plane = in->h * in->w, bgr = from->desc.channel_order == RN_BGR && in->c == 3;
    uint8_t *pixels = (uint8_t *)net_take(value_count(in));
    float *turned = allocate_floats(value_count(in)), *nchw = allocate_floats(value_count(in));
    float expected[64], plain[64];
    double worst = 0, largest = 0;
    int label, c, p, k;
    rn_error error;
    source->read(source->user, 2000, pixels, &label);
    run_floats(&r, pixels);
    for (c = 0; c < in->c; c++)
        for (p = 0; p < plane; p++) {
            const float x = r.values[0][c * plane + p];
            turned[p * in->c + c] = x;
            nchw[(bgr ? 2 - c : c) * plane + p] = x;
        }
    if (rn_predict(from, rn_workspace(from), nchw, 1, expected, &error)) return HUGE_VAL;
    evaluate_naively(net, turned, plain);
    for (k = 0; k < last->c; k++) {
        const double e = (double)expected[k];
        largest = fmax(largest, fabs(e));
        worst = worse(worst, fabs((double)r.values[net->count - 1][k] - e));
        if (!net->quantised) worst = worse(worst, fabs((double)plain[k] - e));
    }
    free_float_run(&r);
    free(pixels), free(turned), free(nchw);
    return worst / largest;
}

static double logits_decibels(const lowered *net, const rn_source *source) {
    evaluator e = make_evaluator(net, 2);
    layer_error *errors = survey_errors(&e, source, 12);
    const layer_error last = errors[net->count - 1];
    free(errors);
    free_evaluator(&e);
    return signal_to_noise(last.signal, last.noise);
}

static double least_decibels = 999;
static int tested; /* nets */

static void test_one_net(const rn_desc *desc, uint64_t seed) {
    rn_error error;
    rn_net *from = rn_create(desc, 1, RN_INFERENCE, NULL, &error);
    const calibration_options how = few_samples((range_rule)(seed % RANGE_RULES));
    lowered net;
    blots b;
    rn_source source, harsh;
    double x;
    long differences;
    if (!from) return; /* not all combinations are nets */
    tested++;
    net_draw(from, seed);
    net = lower_net(from);
    source = blot_source(&b, &net.layers[0], 40);
    x = float_difference(from, &net, &source);
    net_check(x < 1e-4, __LINE__, desc, "floats differ from the header's", x, 1e-4);
    quantise(&net, &source, &how);
    net_check(is_consistent(&net), __LINE__, desc, "wide values and scales", 0, 0);
    x = float_difference(from, &net, &source);
    net_check(x < 1e-4, __LINE__, desc, "the net of integers has other floats", x, 1e-4);
    differences = count_differences(&net, &source, 1);
    harsh = blot_source(&b, &net.layers[0], 400);
    differences += count_differences(&net, &harsh, 1);
    net_check(!differences, __LINE__, desc, "plain and fast integers differ", (double)differences,
              0);
    source = blot_source(&b, &net.layers[0], 40);
    x = logits_decibels(&net, &source);
    least_decibels = x < least_decibels ? x : least_decibels;
    net_check(x > 20, __LINE__, desc, "signal to noise of the logits", x, 20);
    free_lowered(&net);
    rn_destroy(from);
}

static void test_all_nets(void) {
    uint64_t seed = 1;
    int order, shortcut, resize, i, c;
    for (order = 0; order < ORDERS; order++)
        for (shortcut = 0; shortcut < SHORTCUTS; shortcut++)
            for (resize = 0; resize < RESIZES; resize++, seed++) {
                rn_desc desc =
                    net_desc((rn_order)order, (rn_block)(seed % BLOCKS), (rn_shortcut)shortcut,
                             (rn_resize)resize, (rn_stem)(seed % 5 ? 0 : seed / 5 % STEMS));
#ifdef REDUCED
                if (seed % 5 && seed % 11) continue; /* of one channel and of three, of all stems */
#endif
                desc.channels = seed % 3 ? 3 : 1;
                if (desc.channels == 3) desc.channel_order = (rn_channel_order)(seed / 3 % 2);
                for (c = 0; c < 3; c++) desc.mean[c] = 0.4f + 0.03f * (float)c;
                for (c = 0; c < 3; c++) desc.deviation[c] = 0.2f + 0.02f * (float)c;
                test_one_net(&desc, seed);
            }
    for (i = 0; i < NET_MEMBERS; i++) {
        rn_desc desc = net_member(i);
        if (desc.norm == RN_NORM_BATCH) test_one_net(&desc, seed++);
    }
}

/* ---- ranges ---------------------------------------------------------------------------------- */

/* 20,000 numbers of a ReLU, thousandths from 0 to 9.999, and a last one, by two threads. */
static void make_histogram(histogram *h, float last) {
    histogram other;
    float x;
    int i;
    memset(h, 0, sizeof *h);
    h->width = ldexp(1, -60);
    other = *h;
    for (i = 0; i < 20000; i++) {
        x = (float)(i % 10000) / 1000;
        note_numbers(i % 2 ? h : &other, &x, 1);
    }
    note_numbers(&other, &last, 1);
    merge_histograms(h, &other);
}

static void test_ranges(void) {
    histogram h;
    calibration_options how = default_calibration();
    double edges[2];
    make_histogram(&h, 12);
    CHECK_NEAR(h.zeros, 2, 0);
    how.ranges = RANGES_MINMAX;
    choose_edges(&h, &how, 0, edges);
    CHECK_NEAR(edges[0], 0, 0);
    CHECK_NEAR(edges[1], 12, 0);
    how.ranges = RANGES_PERCENTILE;
    for (how.percentile = 98; how.percentile < 99.5; how.percentile++) {
        choose_edges(&h, &how, 0, edges);
        CHECK_NEAR(edges[1], how.percentile / 10, 0.01);
        CHECK_NEAR(edges[0], 0, 0);
    }
    choose_edges(&h, &how, 1, edges);
    CHECK_NEAR(edges[1], 12, 0);
    /* error of an edge e > 10: (1000 - e)^2 + 20000 (e / 255)^2 / 12; least at e = 975 */
    make_histogram(&h, 1000);
    how.ranges = RANGES_MSE;
    choose_edges(&h, &how, 0, edges);
    CHECK_NEAR(edges[1], 975, 20);
}

/* An affine layer's integers are its real numbers, rounded to the nearest, but for what its
   multiplier is rounded by. */
static void test_affine(void) {
    static const float weights[] = {0.7f, -1.3f, 4, 0.001f, 0, 1};
    static const float biases[] = {0.2f, -3, 100, 0.5f, 2, -0.25f};
    lowered net;
    layer *l;
    int wide, x, c;
    for (wide = 0; wide < 2; wide++) {
        memset(&net, 0, sizeof net);
        l = add_layer(&net, LAYER_INPUT, "x", -1);
        l->c = 6, l->h = l->w = 1, l->q.wide = wide;
        l->q.scale = wide ? 0.0011f : 0.043f, l->q.zero_point = wide ? 0 : -17;
        l = add_affine(&net, "y", 0, 1);
        l->q.scale = 0.031f, l->q.zero_point = 9;
        for (c = 0; c < 6; c++) l->weight[c] = weights[c], l->bias[c] = biases[c];
        set_arithmetic(&net);
        for (c = 0; c < 6; c++)
            for (x = wide ? -32768 : -111; x <= (wide ? 32767 : 144); x += 1 + 13 * wide) {
                const double real =
                    ((double)weights[c] * (double)net.layers[0].q.scale * x + (double)biases[c]) /
                        (double)l->q.scale +
                    9;
                const int32_t y = (x * l->q.multiplier[c] + l->q.bias[c]) >> l->q.shift[c];
                const double rounding = 0.5 * (1 + abs(x) * ldexp(1, -l->q.shift[c]));
                if (fabs(real) < 200) CHECK(fabs(y - real) < rounding + 1e-3);
            }
        free_lowered(&net);
    }
}

/* ---- the layer that is broken ---------------------------------------------------------------- */

static void test_broken_layer(void) {
    rn_desc desc = rn_cifar(14);
    rn_error error;
    rn_net *from;
    lowered net;
    blots b;
    rn_source source;
    const calibration_options how = few_samples(RANGES_MSE);
    evaluator e;
    layer_error *errors;
    int i, broken = 0;
    desc.base_width = 6, desc.height = desc.width = 12;
    from = rn_create(&desc, 1, RN_INFERENCE, NULL, &error);
    if (!from) check(error.status, &error);
    net_draw(from, 5);
    net = lower_net(from);
    source = blot_source(&b, &net.layers[0], 40);
    quantise(&net, &source, &how);
    for (i = 0; i < net.count; i++)
        if (!strcmp(net.layers[i].name, "layer2.0.conv1")) broken = i;
    memset(net.layers[broken].q.weight, 0, weight_count(&net, &net.layers[broken]) / 2);
    e = make_evaluator(&net, 1);
    errors = survey_errors(&e, &source, 8);
    for (i = 1; i < net.count; i++) {
        const double in_net = signal_to_noise(errors[i].signal, errors[i].noise);
        const double alone = signal_to_noise(errors[i].signal, errors[i].alone);
        CHECK((in_net < 15) == (i >= broken) || i > broken);
        CHECK((alone < 15) == (i == broken));
    }
    CHECK(broken > 0);
    free(errors);
    free_evaluator(&e);
    free_lowered(&net);
    rn_destroy(from);
}

/* Channels that give a constant, or nothing; and a net that does, whatever the image. */
static void test_dead_channels(void) {
    int dead;
    for (dead = 0; dead < 3; dead++) {
        rn_desc desc = rn_cifar(8);
        rn_error error;
        rn_net *from;
        rn_parameter p;
        lowered net;
        blots b;
        rn_source source;
        const calibration_options how = few_samples(RANGES_MSE);
        ptrdiff_t i;
        desc.order = dead % 2 ? RN_ORIGINAL : RN_FULL_PREACT;
        desc.base_width = 4, desc.height = desc.width = 8;
        from = rn_create(&desc, 1, RN_INFERENCE, NULL, &error);
        if (!from) check(error.status, &error);
        net_draw(from, 6);
        memset(&p, 0, sizeof p);
        while (
            rn_next_parameter(from, &p)) /* a filter next to nothing, or all, or exactly nothing */
            if (p.role == RN_CONV_WEIGHT)
                for (i = 0; i < (dead == 2 ? p.count : p.count / p.shape[0]); i++)
                    p.data[i] *= dead ? 0 : 1e-12f;
        net = lower_net(from);
        source = blot_source(&b, &net.layers[0], 40);
        quantise(&net, &source, &how);
        CHECK(is_consistent(&net));
        CHECK_INT(count_differences(&net, &source, 2), 0);
        if (dead < 2) CHECK(logits_decibels(&net, &source) > 20);
        free_lowered(&net);
        rn_destroy(from);
    }
}

/* ---- MLPerf Tiny's net, where it is there ---------------------------------------------------- */

static const char shared[] = "../../shared/mlperf_tiny/";
static char shared_path[256];

static const char *in_shared(const char *name) {
    snprintf(shared_path, sizeof shared_path, "%s%s", shared, name);
    return shared_path;
}

/* Numbers of a tensor of an archive from number `first` on. */
static void read_tensor(rn_archive *a, const char *name, size_t first, size_t count, size_t size,
                        void *to) {
    rn_entry e;
    rn_error error;
    check(rn_archive_find(a, name, &e, &error), &error);
    check(rn_archive_read(a, &e, first * size, to, count * size, &error), &error);
}

static void test_published_factors(const lowered *net) {
    rn_archive a;
    rn_error error;
    int i, k;
    check(rn_archive_open(&a, in_shared("weights_int8.safetensors"), NULL, &error), &error);
    for (i = 1; i < net->count; i++) {
        const layer *l = &net->layers[i];
        const int count = l->kind == LAYER_ADD ? 3 : l->linear ? 1 : l->c;
        int32_t expected[2][160];
        char name[96];
        if (l->kind == LAYER_GLOBAL_AVG_POOL) continue;
        snprintf(name, sizeof name, "%s.multiplier", l->name);
        read_tensor(&a, name, 0, (size_t)count, 4, expected[0]);
        snprintf(name, sizeof name, "%s.shift", l->name);
        read_tensor(&a, name, 0, (size_t)count, 4, expected[1]);
        for (k = 0; k < (l->linear ? l->c : count); k++) {
            CHECK_INT(l->q.multiplier[k], expected[0][l->linear ? 0 : k]);
            CHECK_INT(l->q.shift[k], expected[1][l->linear ? 0 : k]);
        }
    }
    rn_archive_close(&a);
}

static void test_published_values(const lowered *net) {
    const layer *in = &net->layers[0];
    const size_t plane = (size_t)(in->h * in->w), size = value_count(in);
    int16_t **arranged = make_filters(net);
    integer_run r = make_integer_run(net, arranged);
    int8_t expected[16384];
    uint8_t pixels[3072];
    rn_archive a;
    rn_error error;
    int image, plainly, i;
    size_t k;
    check(rn_archive_open(&a, in_shared("int8_tensors4.safetensors"), NULL, &error), &error);
    for (image = 0; image < 4; image++)
        for (plainly = 0; plainly < 2; plainly++) {
            read_tensor(&a, "input", (size_t)image * size, size, 1, expected);
            for (k = 0; k < size; k++)
                pixels[k] = (uint8_t)(expected[k % plane * 3 + k / plane] + 128);
            run_integers(&r, pixels, plainly);
            for (i = 1; i < net->count; i++) {
                const size_t count = value_count(&net->layers[i]);
                long differences = 0;
                read_tensor(&a, net->layers[i].name, (size_t)image * count, count, 1, expected);
                for (k = 0; k < count; k++) differences += expected[k] != r.values[i][k];
                CHECK_INT(differences, 0);
            }
        }
    rn_archive_close(&a);
    free_integer_run(&r);
    free_filters(net, arranged);
}

/* Its integers are its floats, rounded, but for two ties; the linear layer's have one scale. */
static void test_published_weights(const lowered *net) {
    lowered made;
    long differences = 0;
    int i, k;
    CHECK(read_folded(&made, in_shared("weights_float.safetensors"), 32, 32));
    CHECK_INT(made.count, net->count);
    for (i = 0; i < net->count; i++) {
        const layer *l = &net->layers[i];
        float_filters f;
        made.layers[i].q.scale = l->q.scale;
        if (l->kind != LAYER_CONVOLUTION || l->linear) continue;
        f = take_filters(&made, &made.layers[i]);
        quantise_weights(&made, &made.layers[i], &f);
        for (k = 0; k < (int)weight_count(net, l); k++)
            differences += l->q.weight[k] != made.layers[i].q.weight[k];
        for (k = 0; k < l->c; k++) CHECK_INT(made.layers[i].q.bias[k], l->q.bias[k]);
        free_taken(&f);
    }
    CHECK(differences <= 2);
    free_lowered(&made);
}

static void test_published(void) {
    lowered net;
    if (!is_there(in_shared("weights_int8.safetensors"))) {
        printf("quantise: skipped ../shared/mlperf_tiny, which is not there\n");
        return;
    }
    CHECK(read_folded(&net, in_shared("weights_int8.safetensors"), 32, 32));
    set_arithmetic(&net);
    test_published_factors(&net);
    test_published_values(&net);
    test_published_weights(&net);
    free_lowered(&net);
}

int main(void) {
    test_published();
    test_ranges();
    test_affine();
    test_broken_layer();
    test_dead_channels();
    test_all_nets();
    CHECK(tested > 30);
    printf("quantise: %d nets; the noisiest logits have %.1f dB\n", tested, least_decibels);
    return test_end("quantise");
}
