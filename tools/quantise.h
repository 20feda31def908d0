/* quantise.h - a lowered net in integers of 8 bits: from sample images the ranges of all values,
   from these scales and zero points, from these the integers that compute it.

   Weights are symmetric, a scale for each output channel; values are asymmetric, a scale and a zero
   point for each tensor; arithmetic as TFLite's, see lowered.h. */
#ifndef QUANTISE_H
#define QUANTISE_H

#include "evaluate.h"

/* How the ranges of values follow from what the samples have. */
typedef enum range_rule { RANGES_PERCENTILE, RANGES_MSE, RANGES_MINMAX, RANGE_RULES } range_rule;
static const char *const range_rules[] = {"percentile", "mse", "minmax"};

typedef struct calibration_options {
    dataset set;
    long images; /* samples, spread over the training images */
    range_rule ranges;
    double percentile; /* so many of a value's numbers do not lie above its range, and below it */
    int threads;
    const rn_desc *desc; /* how pictures of folders are cut and scaled; NULL: they are stretched */
} calibration_options;

static inline calibration_options default_calibration(void) {
    calibration_options o = {CIFAR10, 500, RANGES_MSE, 99.99, 1, NULL};
    o.threads = all_cores();
    return o;
}

static inline int has_percentile(arguments *a, calibration_options *o) {
    if (!has_number(a, "percentile", 50, 100, &o->percentile)) return 0;
    o->ranges = RANGES_PERCENTILE;
    return 1;
}

/* 1 if the word is a flag of calibration; then the options have it. */
static inline int has_calibration_option(arguments *a, calibration_options *o) {
    const char *name;
    int i;
    if (!has_text(a, "ranges", &name))
        return has_dataset(a, &o->set) || has_whole(a, "images", 1, 10000000, &o->images) ||
               has_percentile(a, o);
    for (i = 0; i < RANGE_RULES && strcmp(name, range_rules[i]) != 0;) i++;
    if (i == RANGE_RULES)
        quit(2, "--ranges is \"%s\" and should be percentile, mse or minmax", name);
    o->ranges = (range_rule)i;
    if (i != RANGES_PERCENTILE && is_given(*a, "percentile"))
        quit(2, "--percentile is of --ranges percentile, not %s: leave one of them out", name);
    return 1;
}

static inline void print_calibration_options(void) {
    const calibration_options o = default_calibration();
    printf("  --dataset NAME   of the images in DIR: cifar10, cifar100, idx or folder (%s)\n"
           "  --images N       so many training images tell the ranges of values (%ld)\n"
           "  --ranges RULE    percentile: all but the farthest numbers of a value lie in its\n"
           "                   range; mse: the range has the least squared error; minmax: all lie\n"
           "                   in it (%s)\n"
           "  --percentile X   so many of 100 numbers are not above the range, and not below\n"
           "                   (%g); that is --ranges percentile\n",
           dataset_names[o.set], o.images, range_rules[o.ranges], o.percentile);
}

/* ---- from scales to the integers of the arithmetic ------------------------------------------- */

/* A real factor as multiplier 2^(shift - 31), of numbers up to `largest`. */
static inline void set_factor(layer *l, int at, double real, double largest) {
    const double two31 = 2147483648.0;
    integers *q = &l->q;
    int shift;
    int64_t multiplier = (int64_t)floor(frexp(real, &shift) * two31 + 0.5);
    if (multiplier == (int64_t)1 << 31) multiplier /= 2, shift++;
    if (shift < -31) multiplier = shift = 0;
    if (ldexp(largest, shift > 0 ? shift : 0) >= two31)
        quit(1, "%s: its scale is too small for what it reads: 32 bits do not hold its sums",
             l->name);
    q->multiplier[at] = (int32_t)multiplier;
    q->shift[at] = shift;
}

static inline void make_factors(integers *q, int count) {
    free(q->multiplier), free(q->shift);
    q->multiplier = (int32_t *)allocate((size_t)count * sizeof(int32_t));
    q->shift = (int *)allocate((size_t)count * sizeof(int));
}

static inline const integers *input_integers(const lowered *net, const layer *l, int which) {
    return &net->layers[l->inputs[which]].q;
}

/* As TFLite has it, a linear layer with one scale for all weights rounds the product of the scales
   to float first. */
static inline void set_convolution(const lowered *net, layer *l) {
    const double in = (double)input_integers(net, l, 0)->scale, out = (double)l->q.scale;
    int rounds = l->linear, k;
    make_factors(&l->q, l->c);
    for (k = 1; k < l->c; k++) rounds &= !(l->q.weight_scale[k] != l->q.weight_scale[0]);
    for (k = 0; k < l->c; k++) {
        const double product = in * (double)l->q.weight_scale[k];
        set_factor(l, k, (rounds ? (double)(float)product : product) / out, largest_sum(net, l, k));
    }
}

/* The most bits behind the point with which the multiplier fits into 16 bits, and with which the
   product with a number of 16 bits and the bias together fit into 32. */
static inline void set_affine(const lowered *net, layer *l) {
    const double in = (double)input_integers(net, l, 0)->scale, out = (double)l->q.scale;
    int c;
    make_factors(&l->q, l->c);
    free(l->q.bias);
    l->q.bias = (int32_t *)allocate((size_t)l->c * sizeof(int32_t));
    for (c = 0; c < l->c; c++) {
        const double factor = (double)l->weight[c] * in / out, most = 32767, limit = 536870912;
        const double bias = (double)l->bias[c] / out + l->q.zero_point;
        double multiplier, sum, one;
        int bits = 31;
        do {
            one = ldexp(1, --bits);
            multiplier = floor(factor * one + 0.5), sum = floor(bias * one + 0.5);
        } while (bits && (fabs(multiplier) > most || fabs(sum) > limit));
        multiplier = multiplier > most ? most : multiplier < -most ? -most : multiplier;
        sum = sum > limit ? limit : sum < -limit ? -limit : sum;
        l->q.multiplier[c] = (int32_t)multiplier;
        l->q.bias[c] = (int32_t)sum + (bits ? 1 << (bits - 1) : 0);
        l->q.shift[c] = bits;
    }
}

static inline void set_add(const lowered *net, layer *l) {
    const double largest = 1 << 30;
    double scales[2], twice;
    int wide = l->q.wide, i;
    make_factors(&l->q, 3);
    for (i = 0; i < 2; i++) {
        scales[i] = (double)l->factors[i] * (double)input_integers(net, l, i)->scale;
        wide |= input_integers(net, l, i)->wide;
    }
    twice = 2 * (fabs(scales[0]) > fabs(scales[1]) ? fabs(scales[0]) : fabs(scales[1]));
    l->q.left = wide ? 15 : 20;
    for (i = 0; i < 2; i++) set_factor(l, i, twice > 0 ? scales[i] / twice : 0, largest);
    set_factor(l, 2, twice / (ldexp(1, l->q.left) * (double)l->q.scale), largest);
}

static inline void set_gate(const lowered *net, layer *l) {
    const integers *in = input_integers(net, l, 0), *gate = input_integers(net, l, 1);
    const double largest = 32767.0 * (in->wide ? 32768 : 255);
    int i;
    make_factors(&l->q, 1);
    set_factor(l, 0, (double)in->scale / (32768 * (double)l->q.scale), largest);
    for (i = 0; i < 256; i++) {
        const double x = (double)gate->scale * (i - 128 - gate->zero_point);
        const double g = floor(32768 / (1 + exp(l->complement ? x : -x)) + 0.5);
        l->q.table[i] = (int16_t)(g > 32767 ? 32767 : g);
    }
}

static inline void set_means(const lowered *net, layer *l, int first, int last) {
    const double factor = (double)input_integers(net, l, 0)->scale / (double)l->q.scale;
    int n;
    if (!l->q.rescales) return;
    make_factors(&l->q, last - first + 1);
    for (n = first; n <= last; n++) set_factor(l, n - first, factor / n, 255.0 * n);
}

static inline void set_avg_pool(const lowered *net, layer *l) {
    set_means(net, l, 1, l->kernel * l->kernel);
}

static inline void set_global_avg_pool(const lowered *net, layer *l) {
    const layer *input = &net->layers[l->inputs[0]];
    set_means(net, l, input->h * input->w, input->h * input->w);
}

static inline void set_nothing(const lowered *net, layer *l) { (void)net, (void)l; }

/* A row for each kind of layer, in the order of layer_kind. */
static void (*const settings[])(const lowered *net, layer *l) = {
    set_nothing, set_convolution, set_affine,          set_add,    set_gate,
    set_nothing, set_avg_pool,    set_global_avg_pool, set_nothing};
typedef char a_setting_for_each_kind[sizeof settings / sizeof settings[0] == LAYER_KINDS ? 1 : -1];

/* From the scales and zero points of all values, the integer weights with their scales and biases,
   and which values are wide: all else that lowered.h's arithmetic has. */
static inline void set_arithmetic(lowered *net) {
    int i;
    for (i = 0; i < net->count; i++) settings[net->layers[i].kind](net, &net->layers[i]);
}

/* ---- which values are wide ------------------------------------------------------------------- */

/* May input `which` of a layer be wide? */
static inline int takes_wide(const layer *l, int which) {
    return has(l, which ? READS_BOTH_WIDE : READS_WIDE);
}

/* Value i becomes wide, and what it is a copy or a multiple of, if nothing forbids it. */
static inline void widen(lowered *net, int i) {
    layer *l = &net->layers[i];
    int k, which;
    if (!has(l, MAY_BE_WIDE)) return;
    for (k = 0; k < net->count; k++)
        for (which = 0; which < 2; which++)
            if (net->layers[k].inputs[which] == i && !takes_wide(&net->layers[k], which)) return;
    if (has(l, HANDS_ON_WIDTH)) widen(net, l->inputs[0]);
    l->q.wide = !has(l, IS_AS_WIDE) || net->layers[l->inputs[0]].q.wide;
}

/* Additions without a ReLU are a net's trunk: they and their terms are wide, so that dozens of them
   do not wear it down. */
static inline void widen_trunk(lowered *net) {
    int i;
    for (i = 0; i < net->count; i++)
        if (has(&net->layers[i], IS_TRUNK) && !net->layers[i].relu) {
            net->layers[i].q.wide = 1;
            widen(net, net->layers[i].inputs[0]), widen(net, net->layers[i].inputs[1]);
        }
    for (i = 0; i < net->count; i++) /* copies of a trunk that was found later */
        if (has(&net->layers[i], IS_AS_WIDE))
            net->layers[i].q.wide = net->layers[net->layers[i].inputs[0]].q.wide;
}

/* Puts an affine layer that changes nothing behind layer i; returns it. */
static inline layer *insert_affine(lowered *net, int i) {
    char name[64];
    layer made;
    int k, which;
    snprintf(name, sizeof name, "%.58s.int8", net->layers[i].name);
    add_affine(net, name, i, 1);
    made = net->layers[net->count - 1];
    memmove(&net->layers[i + 2], &net->layers[i + 1], (size_t)(net->count - i - 2) * sizeof(layer));
    net->layers[i + 1] = made;
    for (k = i + 2; k < net->count; k++)
        for (which = 0; which < 2; which++)
            net->layers[k].inputs[which] += net->layers[k].inputs[which] > i;
    return &net->layers[i + 1];
}

/* Whoever cannot read a wide value reads an affine layer that makes int8 of it. */
static inline void narrow_readers(lowered *net) {
    int i, k, which, needed;
    for (i = 0; i < net->count; i++) {
        if (!net->layers[i].q.wide) continue;
        for (needed = 0, k = i + 1; k < net->count; k++)
            for (which = 0; which < 2; which++)
                needed |= net->layers[k].inputs[which] == i && !takes_wide(&net->layers[k], which);
        if (!needed) continue;
        insert_affine(net, i);
        for (k = i + 2; k < net->count; k++)
            for (which = 0; which < 2; which++)
                if (net->layers[k].inputs[which] == i && !takes_wide(&net->layers[k], which))
                    net->layers[k].inputs[which] = i + 1;
    }
}

/* ---- what the samples have ------------------------------------------------------------------- */

enum { BINS = 4096 };

/* Numbers of a value by size: bin k holds those from k to k + 1 widths from 0 on, for both signs;
   width is a power of 2, doubled where a number falls outside. */
typedef struct histogram {
    double width, zeros; /* numbers that are 0 stand in no bin */
    float least, most;
    uint64_t counts[2][BINS]; /* of negative, positive numbers */
} histogram;

static inline void double_width(histogram *h) {
    int s, k;
    for (s = 0; s < 2; s++) {
        for (k = 0; k < BINS / 2; k++)
            h->counts[s][k] = h->counts[s][2 * k] + h->counts[s][2 * k + 1];
        memset(&h->counts[s][BINS / 2], 0, BINS / 2 * sizeof h->counts[s][0]);
    }
    h->width *= 2;
}

static inline void note_numbers(histogram *h, const float *x, size_t count) {
    const float edge = 3e38f;
    float inverse;
    size_t i;
    for (i = 0; i < count; i++) {
        if (!(fabsf(x[i]) < edge)) quit(1, "a value of the net is not finite");
        if (x[i] < h->least) h->least = x[i];
        if (x[i] > h->most) h->most = x[i];
    }
    while ((double)h->most >= BINS * h->width || -(double)h->least >= BINS * h->width)
        double_width(h);
    inverse = (float)(1 / h->width);
    for (i = 0; i < count; i++)
        if (x[i] > 0)
            h->counts[1][(int)(x[i] * inverse)]++;
        else if (x[i] < 0)
            h->counts[0][(int)(-x[i] * inverse)]++;
        else
            h->zeros++;
}

static inline void merge_histograms(histogram *into, histogram *other) {
    int s, k;
    while (into->width < other->width) double_width(into);
    while (other->width < into->width) double_width(other);
    for (s = 0; s < 2; s++)
        for (k = 0; k < BINS; k++) into->counts[s][k] += other->counts[s][k];
    into->zeros += other->zeros;
    if (other->least < into->least) into->least = other->least;
    if (other->most > into->most) into->most = other->most;
}

typedef struct sampling {
    const evaluator *e;
    histogram *histograms; /* [threads][layers] */
} sampling;

static inline void note_values(void *user, int thread, int first, int some) {
    const sampling *s = (const sampling *)user;
    const float_run *r = run_turn(s->e, thread, first, some);
    int i;
    for (i = 0; i < r->net->count; i++)
        note_numbers(&s->histograms[thread * r->net->count + i], r->values[i],
                     value_count(&r->net->layers[i]) * (size_t)some);
}

/* A histogram for each layer, of `images` of the source. */
static inline histogram *sample_values(const lowered *net, const rn_source *source,
                                       const calibration_options *how) {
    evaluator e = make_evaluator(net, how->threads);
    const int many = how->threads * net->count;
    const int images = how->images < source->count ? (int)how->images : (int)source->count;
    sampling s = {&e, (histogram *)allocate((size_t)many * sizeof(histogram))};
    progress p = begin_progress((uint64_t)images);
    int i, some;
    memset(s.histograms, 0, (size_t)many * sizeof(histogram));
    for (i = 0; i < many; i++) s.histograms[i].width = ldexp(1, -60);
    for (i = 0; i < images; i += some) {
        some = read_turn(&e, source, i, images);
        share_turn(&e, some, note_values, &s);
        p.done += some;
        show_progress(&p, "ranges of %d of %d images", i + some, images);
    }
    end_progress(&p);
    for (i = net->count; i < many; i++)
        merge_histograms(&s.histograms[i % net->count], &s.histograms[i]);
    free_evaluator(&e);
    return s.histograms;
}

/* ---- ranges ---------------------------------------------------------------------------------- */

/* Where numbers of sign s (0 negative) begin of which all but `outside` are nearer to 0. */
static inline double percentile_edge(const histogram *h, int s, double outside) {
    const double most = s ? (double)h->most : -(double)h->least;
    int k = BINS;
    while (k && (outside -= (double)h->counts[s][k - 1]) >= 0) k--;
    return k * h->width < most ? k * h->width : most;
}

/* Squared error of the numbers of sign s if they end at `edge`, and how many lie inside. */
static inline double clipping_error(const histogram *h, int s, double edge, double *inside) {
    double error = 0;
    int k;
    for (k = 0; k < BINS; k++) {
        const double over = (k + 0.5) * h->width - edge, count = (double)h->counts[s][k];
        if (over > 0)
            error += count * over * over;
        else
            *inside += count;
    }
    return error;
}

/* The edges (0 below, 1 above 0) with the least mean squared error of 256 steps between them, each
   of them tried in steps of a 64th of the farthest number until neither changes. */
static inline void find_edges(const histogram *h, double edges[2]) {
    const double most[2] = {-(double)h->least, (double)h->most};
    double best = HUGE_VAL;
    int s, k, turn;
    edges[0] = most[0], edges[1] = most[1];
    for (turn = 0; turn < 4; turn++)
        for (s = 0; s < 2; s++)
            for (k = 64; k > 4 && most[s] > 0; k--) {
                double inside = 0, error, step, tried[2];
                tried[s] = most[s] * k / 64, tried[!s] = edges[!s];
                step = (tried[0] + tried[1]) / 255;
                error = clipping_error(h, 0, tried[0], &inside);
                error += clipping_error(h, 1, tried[1], &inside);
                error += inside * step * step / 12;
                if (error < best) best = error, edges[s] = tried[s];
            }
}

static inline void choose_edges(const histogram *h, const calibration_options *how, int exactly,
                                double edges[2]) {
    double all = h->zeros;
    int s, k;
    for (s = 0; s < 2; s++)
        for (k = 0; k < BINS; k++) all += (double)h->counts[s][k];
    edges[0] = -(double)h->least, edges[1] = (double)h->most;
    if (exactly || how->ranges == RANGES_MINMAX) return;
    if (how->ranges == RANGES_MSE)
        find_edges(h, edges);
    else
        for (s = 0; s < 2; s++)
            edges[s] = percentile_edge(h, s, all * (100 - how->percentile) / 100);
}

/* ---- weights --------------------------------------------------------------------------------- */

/* Filters and biases as integers are made of: those of the image's convolutions have the mean and
   the deviation in them, so that they read whole numbers, p - centre. */
typedef struct float_filters {
    float *weight, *bias;
    size_t taps; /* of a filter */
} float_filters;

static inline float_filters take_filters(const lowered *net, const layer *l) {
    float_filters f = {NULL, NULL, weight_count(net, l) / (size_t)l->c};
    const size_t area = (size_t)(l->kernel * l->kernel);
    size_t i;
    f.weight = allocate_floats(f.taps * (size_t)l->c);
    f.bias = allocate_floats((size_t)l->c);
    memcpy(f.weight, l->weight, f.taps * (size_t)l->c * sizeof(float));
    memcpy(f.bias, l->bias, (size_t)l->c * sizeof(float));
    for (i = 0; !l->inputs[0] && i < f.taps * (size_t)l->c; i++) {
        const size_t c = i % f.taps / area;
        const double w = (double)f.weight[i] / (255 * (double)net->deviation[c]);
        f.weight[i] = (float)w;
        f.bias[i / f.taps] += (float)(w * (net->centre[c] - 255 * (double)net->mean[c]));
    }
    return f;
}

static inline void free_taken(float_filters *f) { free(f->weight), free(f->bias); }

/* The largest number of a filter, and the sum of all. */
static inline double largest_weight(const float_filters *f, int k, double *sum) {
    double most = 0;
    size_t t;
    for (*sum = 0, t = 0; t < f->taps; t++) {
        const double w = fabs((double)f->weight[(size_t)k * f->taps + t]);
        most = w > most ? w : most, *sum += w;
    }
    return most;
}

/* A scale for each filter, by its largest number; but where that is next to nothing, of a channel
   that gives a constant, so much that its bias is 2^29. */
static inline void quantise_weights(const lowered *net, layer *l, const float_filters *f) {
    const double in = (double)input_integers(net, l, 0)->scale;
    size_t t;
    int k;
    free(l->q.weight), free(l->q.weight_scale), free(l->q.bias);
    l->q.weight = (int8_t *)allocate(f->taps * (size_t)l->c);
    l->q.weight_scale = allocate_floats((size_t)l->c);
    l->q.bias = (int32_t *)allocate((size_t)l->c * sizeof(int32_t));
    for (k = 0; k < l->c; k++) {
        double sum, bias = (double)f->bias[k];
        const double by_bias = fabs(bias) / (in * 536870912), none = 1e-30;
        double scale = largest_weight(f, k, &sum) / 127;
        scale = scale > by_bias ? scale : by_bias;
        l->q.weight_scale[k] = (float)(scale > none ? scale : 1);
        scale = (double)l->q.weight_scale[k];
        for (t = (size_t)k * f->taps; t < (size_t)(k + 1) * f->taps; t++) {
            const double w = floor((double)f->weight[t] / scale + 0.5);
            l->q.weight[t] = (int8_t)(w > 127 ? 127 : w < -127 ? -127 : w);
        }
        l->q.bias[k] = (int32_t)floor(bias / (double)(float)(in * scale) + 0.5);
    }
}

/* ---- scales ---------------------------------------------------------------------------------- */

/* What a layer's arithmetic could come to, whatever the image. */
static inline double worst_value(const lowered *net, const layer *l, const float_filters *f) {
    double inputs[2] = {0, 0}, worst = 0;
    int i, k;
    for (i = 0; i < 2; i++)
        if (l->inputs[i] >= 0)
            inputs[i] = (double)input_integers(net, l, i)->scale *
                        (input_integers(net, l, i)->wide ? 32768 : 255);
    if (!has(l, HAS_FILTERS))
        return inputs[0] * fabs((double)l->factors[0]) + inputs[1] * fabs((double)l->factors[1]);
    for (k = 0; k < l->c; k++) {
        double sum;
        largest_weight(f, k, &sum);
        sum = sum * inputs[0] + fabs((double)f->bias[k]);
        worst = sum > worst ? sum : worst;
    }
    return worst;
}

/* No scale is so small that sums in its unit could leave 32 bits, even if shifted a bit more than
   their factor is. */
static inline double least_scale(double worst) {
    const double least = worst / 536870912, none = 1e-30;
    return least > none ? least : none;
}

/* Wide values that additions connect have one scale, so that these are plain additions; half of
   what it holds is spare. groups[i] is the same for all of them. */
static inline void choose_wide_scales(lowered *net, const histogram *h, int *groups) {
    int i, k, which;
    for (i = 0; i < net->count; i++) groups[i] = i;
    for (i = 0; i < net->count; i++)
        for (which = 0; which < 2; which++) {
            const layer *l = &net->layers[i];
            const int j = l->inputs[which], old = j < 0 ? -1 : groups[j];
            const int joins =
                has(l, KEEPS_SCALE) || (has(l, IS_TRUNK) && !(l->factors[which] != 1));
            if (old < 0 || !joins || !l->q.wide || !net->layers[j].q.wide) continue;
            for (k = 0; k < net->count; k++)
                if (groups[k] == old) groups[k] = groups[i];
        }
    for (i = 0; i < net->count; i++) {
        double most = 0;
        if (!net->layers[i].q.wide) continue;
        for (k = 0; k < net->count; k++)
            if (groups[k] == groups[i]) {
                most = most > (double)h[k].most ? most : (double)h[k].most;
                most = most > -(double)h[k].least ? most : -(double)h[k].least;
            }
        net->layers[i].q.scale = (float)(2 * most / 32767);
        net->layers[i].q.zero_point = 0;
    }
}

static inline void choose_scale(lowered *net, int i, const double edges[2], double least,
                                const int *groups) {
    layer *l = &net->layers[i];
    int k;
    if (l->q.wide) {
        for (k = 0; k < net->count; k++)
            if (net->layers[k].q.wide && groups[k] == groups[i] &&
                (double)net->layers[k].q.scale < least)
                net->layers[k].q.scale = (float)least;
    } else if (has(l, KEEPS_SCALE)) {
        l->q.scale = net->layers[l->inputs[0]].q.scale;
        l->q.zero_point = net->layers[l->inputs[0]].q.zero_point;
    } else {
        double scale = (edges[0] + edges[1]) / 255, zero_point;
        scale = scale > least ? scale : least;
        l->q.scale = (float)scale;
        zero_point = floor(edges[0] / (double)l->q.scale + 0.5) - 128;
        l->q.zero_point = (int)(zero_point > 127 ? 127 : zero_point);
        l->q.rescales = has(l, RESCALES);
    }
}

static inline void set_input(lowered *net) {
    integers *q = &net->layers[0].q;
    int c;
    q->scale = 1, q->zero_point = -128;
    for (c = 0; c < 4; c++) {
        const double centre = floor(255 * (double)net->mean[c] + 0.5);
        net->centre[c] = (int)(centre < 0 ? 0 : centre > 255 ? 255 : centre);
    }
}

/* Turns a net of floats into integers, by `how->images` of the source's images, which are spread
   over it. Layers that make int8 of wide values come into the list; floats stay, too. The last
   layer's range is all that the samples have, for cut logits could be equal ones. */
static inline void quantise(lowered *net, const rn_source *source, const calibration_options *how) {
    histogram *h;
    int *groups, i;
    widen_trunk(net);
    narrow_readers(net);
    h = sample_values(net, source, how);
    groups = (int *)allocate((size_t)net->count * sizeof(int));
    choose_wide_scales(net, h, groups);
    set_input(net);
    for (i = 1; i < net->count; i++) {
        layer *l = &net->layers[i];
        float_filters f = {NULL, NULL, 0};
        double edges[2];
        if (has(l, HAS_FILTERS)) f = take_filters(net, l);
        choose_edges(&h[i], how, i == net->count - 1, edges);
        choose_scale(net, i, edges, least_scale(worst_value(net, l, &f)), groups);
        if (has(l, HAS_FILTERS)) quantise_weights(net, l, &f);
        free_taken(&f);
    }
    set_arithmetic(net);
    net->quantised = 1;
    free(groups), free(h);
}

/* The training or the test images of a directory, of the net's size. */
static inline void open_images(rn_data *data, const lowered *net, const char *directory, int train,
                               const calibration_options *how) {
    const layer *in = &net->layers[0];
    rn_desc desc = how->desc ? *how->desc : rn_cifar(20);
    recipe r = make_recipe(how->set, directory, 1, 0, rn_make_schedule(RN_CONSTANT, 1, 1));
    desc.channels = in->c, desc.height = in->h, desc.width = in->w;
    desc.classes = net->layers[net->count - 1].c;
    open_part(data, &r, &desc, train);
}

/* quantise, by the training images of a directory. */
static inline void calibrate(lowered *net, const char *directory, const calibration_options *how) {
    rn_data data;
    open_images(&data, net, directory, 1, how);
    quantise(net, &data.source, how);
    rn_data_free(&data);
}

#endif
