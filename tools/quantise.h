/* quantise.h - a lowered net in integers of 8 bits: from sample images the ranges of all values,
   from these scales and zero points, from these the integers that compute it.

   Weights are symmetric, a scale for each output channel; values are asymmetric, a scale and a zero
   point for each tensor; arithmetic as TFLite's, see lowered.h. */
#ifndef QUANTISE_H
#define QUANTISE_H

#include "lowered.h"

/* ---- from scales to the integers of the arithmetic ------------------------------------------- */

/* A real factor as multiplier 2^(shift - 31). */
static inline void set_factor(integers *q, int at, double real) {
    const double two31 = 2147483648.0;
    int shift;
    int64_t multiplier = (int64_t)floor(frexp(real, &shift) * two31 + 0.5);
    if (multiplier == (int64_t)1 << 31) multiplier /= 2, shift++;
    if (shift < -31) multiplier = shift = 0;
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
        set_factor(&l->q, k, (rounds ? (double)(float)product : product) / out);
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
    double scales[2], twice;
    int wide = l->q.wide, i;
    make_factors(&l->q, 3);
    for (i = 0; i < 2; i++) {
        scales[i] = (double)l->factors[i] * (double)input_integers(net, l, i)->scale;
        wide |= input_integers(net, l, i)->wide;
    }
    twice = 2 * (fabs(scales[0]) > fabs(scales[1]) ? fabs(scales[0]) : fabs(scales[1]));
    l->q.left = wide ? 15 : 20;
    for (i = 0; i < 2; i++) set_factor(&l->q, i, twice > 0 ? scales[i] / twice : 0);
    set_factor(&l->q, 2, twice / (ldexp(1, l->q.left) * (double)l->q.scale));
}

static inline void set_gate(const lowered *net, layer *l) {
    const integers *gate = input_integers(net, l, 1);
    int i;
    make_factors(&l->q, 1);
    set_factor(&l->q, 0, (double)input_integers(net, l, 0)->scale / (32768 * (double)l->q.scale));
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
    for (n = first; n <= last; n++) set_factor(&l->q, n - first, factor / n);
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

#endif
