/* quantise.c - nets in integers: the plain formulas and the fast ones give the same numbers, of nets
   of all orders, shortcuts, resizes, blocks and stems, with dead channels and images that no sample
   was like; floats as the header has them; integers near the floats; ranges by every rule; which
   values are wide; a layer that is broken on purpose is named. Where MLPerf Tiny's net is beside the
   project: its multipliers, its weights made again of the floats, and every number between its
   layers for four images.

   cc -std=c99 -O2 -fopenmp -o quantise tests/quantise.c -lm && ./quantise */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"
#include "nets.h"
#include "../tools/errors.h"
#include "../tools/folded.h"
#include "../tools/quantise.h"

/* ---- images that are made up: blots of colour ------------------------------------------------- */

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

/* ---- any net ---------------------------------------------------------------------------------- */

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
            if (input_integers(net, l, which)->wide && !takes_wide(l->kind, which)) return 0;
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

/* The largest difference between the logits of the header, of fast and of plain floats; relative. */
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
        worst = fmax(worst, fabs((double)r.values[net->count - 1][k] - e));
        worst = fmax(worst, fabs((double)plain[k] - e));
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
    net_draw(from, seed);
    net = lower_net(from);
    source = blot_source(&b, &net.layers[0], 40);
    x = float_difference(from, &net, &source);
    net_check(x < 1e-4, __LINE__, desc, "floats differ from the header's", x, 1e-4);
    quantise(&net, &source, &how);
    net_check(is_consistent(&net), __LINE__, desc, "wide values and scales", 0, 0);
    x = float_difference(from, &net, &source);
    net_check(x >= 0, __LINE__, desc, "the net of integers has no floats", x, 0);
    differences = count_differences(&net, &source, 1);
    harsh = blot_source(&b, &net.layers[0], 400);
    differences += count_differences(&net, &harsh, 1);
    net_check(!differences, __LINE__, desc, "plain and fast integers differ", (double)differences,
              0);
    source = blot_source(&b, &net.layers[0], 40);
    x = logits_decibels(&net, &source);
    least_decibels = x < least_decibels ? x : least_decibels;
    net_check(x > 15, __LINE__, desc, "signal to noise of the logits", x, 15);
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
                if (seed % 6) continue;
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

int main(void) {
    test_all_nets();
    printf("least %.1f dB\n", least_decibels);
    return test_end("quantise");
}
