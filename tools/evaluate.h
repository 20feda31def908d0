/* evaluate.h - what a lowered net makes of images, on the machine that runs the tools: in floats;
   in integers as lowered.h has the formulas, plainly; and the same integers fast, for whole data
   sets. Every layer's value stays to be looked at. */
#ifndef EVALUATE_H
#define EVALUATE_H

#include "lowered.h"

/* Functions that gcc compiles for two instruction sets, of which a program takes the better one
   that the machine has, and whose loops become vectors. */
#if defined(__GLIBC__) && defined(__x86_64__) && !defined(__clang__)
#define FOR_EACH_MACHINE __attribute__((target_clones("avx2", "default"), optimize("O3")))
#elif defined(__GNUC__) && !defined(__clang__)
#define FOR_EACH_MACHINE __attribute__((optimize("O3")))
#else
#define FOR_EACH_MACHINE
#endif

/* ---- floats: values are [N,C,H,W] ------------------------------------------------------------ */

typedef struct float_run {
    const lowered *net;
    int images;
    float **values; /* [layers] */
    float *padded;  /* a convolution's input with its padding */
    void *workspace;
    size_t workspace_bytes;
} float_run;

static inline rn_tensor float_tensor(const float_run *r, int i) {
    const layer *l = &r->net->layers[i];
    return rn_tensor_in(r->values[i], r->images, l->c, l->h, l->w);
}

static inline rn_tensor padded_tensor(const lowered *net, const layer *l, int images, float *data) {
    return rn_tensor_in(data, images, net->layers[l->inputs[0]].c,
                        (l->h - 1) * l->stride + l->kernel, (l->w - 1) * l->stride + l->kernel);
}

static inline rn_tensor filters_of(const lowered *net, const layer *l) {
    return rn_tensor_in(l->weight, l->c, net->layers[l->inputs[0]].c, l->kernel, l->kernel);
}

static inline float_run make_float_run(const lowered *net, int images) {
    float_run r = {net, images, NULL, NULL, NULL, 0};
    size_t padded = 0;
    int i;
    r.values = (float **)allocate((size_t)net->count * sizeof(float *));
    for (i = 0; i < net->count; i++) {
        const layer *l = &net->layers[i];
        r.values[i] = allocate_floats(value_count(l) * (size_t)images);
        if (has(l, HAS_FILTERS)) {
            const rn_tensor x = padded_tensor(net, l, images, NULL), f = filters_of(net, l);
            const size_t bytes = rn_conv2d_bytes(&x, &f, l->stride, 0, 1);
            if (bytes > r.workspace_bytes) r.workspace_bytes = bytes;
            if ((size_t)x.stride_n > padded) padded = (size_t)x.stride_n;
        }
    }
    r.padded = allocate_floats(padded * (size_t)images);
    r.workspace = take_pages(r.workspace_bytes + 64, NULL);
    if (!r.workspace) quit(1, "no memory for %zu bytes", r.workspace_bytes);
    return r;
}

static inline void free_float_run(float_run *r) {
    int i;
    for (i = 0; i < r->net->count; i++) free(r->values[i]);
    free(r->values), free(r->padded);
    give_pages(r->workspace, NULL);
}

static inline void float_input(const float_run *r, int i) { (void)r, (void)i; }

FOR_EACH_MACHINE static void float_relu(const float_run *r, int i) {
    const size_t count = value_count(&r->net->layers[i]) * (size_t)r->images;
    float *y = r->values[i];
    size_t k;
    for (k = 0; r->net->layers[i].relu && k < count; k++) y[k] = y[k] > 0 ? y[k] : 0;
}

static inline void float_convolution(const float_run *r, int i) {
    const layer *l = &r->net->layers[i];
    const rn_tensor from = float_tensor(r, l->inputs[0]), f = filters_of(r->net, l);
    rn_tensor x = padded_tensor(r->net, l, r->images, r->padded), y = float_tensor(r, i);
    rn_error error;
    int plane, h;
    const int low = l->padding,
              columns = from.w < x.w - low ? from.w : x.w - low; /* of the image, that are read */
    memset(x.data, 0, (size_t)x.stride_n * (size_t)x.n * sizeof(float));
    for (plane = 0; plane < x.n * x.c; plane++)
        for (h = 0; h < from.h && h + low < x.h; h++)
            memcpy(x.data + (ptrdiff_t)plane * x.stride_c + (h + low) * x.stride_h + low,
                   from.data + (ptrdiff_t)plane * from.stride_c + h * from.stride_h,
                   (size_t)columns * sizeof(float));
    check(rn_conv2d_forward(&y, &x, &f, l->bias, l->stride, 0, RN_ISA_AUTO, 1, r->workspace,
                            r->workspace_bytes, &error),
          &error);
    float_relu(r, i);
}

FOR_EACH_MACHINE static void float_affine(const float_run *r, int i) {
    const layer *l = &r->net->layers[i];
    const float *x = r->values[l->inputs[0]];
    const int pixels = l->h * l->w;
    float *y = r->values[i];
    int plane, p;
    for (plane = 0; plane < l->c * r->images; plane++, x += pixels, y += pixels) {
        const float weight = l->weight[plane % l->c], bias = l->bias[plane % l->c];
        for (p = 0; p < pixels; p++) y[p] = x[p] * weight + bias;
    }
    float_relu(r, i);
}

FOR_EACH_MACHINE static void float_add(const float_run *r, int i) {
    const layer *l = &r->net->layers[i];
    const float *a = r->values[l->inputs[0]], *b = r->values[l->inputs[1]];
    const float factors[2] = {l->factors[0], l->factors[1]};
    const size_t count = value_count(l) * (size_t)r->images;
    float *y = r->values[i];
    size_t k;
    for (k = 0; k < count; k++) y[k] = factors[0] * a[k] + factors[1] * b[k];
    float_relu(r, i);
}

static inline void float_gate(const float_run *r, int i) {
    const layer *l = &r->net->layers[i];
    const float *x = r->values[l->inputs[0]], *z = r->values[l->inputs[1]];
    size_t k, count = value_count(l) * (size_t)r->images;
    for (k = 0; k < count; k++) r->values[i][k] = x[k] / (1 + expf(l->complement ? z[k] : -z[k]));
}

static inline void float_max_pool(const float_run *r, int i) {
    const layer *l = &r->net->layers[i];
    const rn_tensor x = float_tensor(r, l->inputs[0]);
    rn_tensor y = float_tensor(r, i);
    rn_error error;
    check((l->zeros ? rn_zero_max_pool_forward : rn_max_pool_forward)(&y, &x, l->kernel, l->stride,
                                                                      l->padding, &error),
          &error);
}

static inline void float_avg_pool(const float_run *r, int i) {
    const layer *l = &r->net->layers[i];
    const rn_tensor x = float_tensor(r, l->inputs[0]);
    rn_tensor y = float_tensor(r, i);
    rn_error error;
    check(rn_avg_pool_forward(&y, &x, l->kernel, l->stride, &error), &error);
}

static inline void float_global_avg_pool(const float_run *r, int i) {
    const rn_tensor x = float_tensor(r, r->net->layers[i].inputs[0]);
    rn_tensor y = float_tensor(r, i);
    rn_error error;
    check(rn_global_avg_pool_forward(&y, &x, &error), &error);
}

static inline void float_pad_subsample(const float_run *r, int i) {
    const layer *l = &r->net->layers[i];
    const rn_tensor x = float_tensor(r, l->inputs[0]), y = float_tensor(r, i);
    rn_error error;
    rn_tensor to = y;
    check(rn_pad_subsample_forward(&to, &x, l->stride, l->front, &error), &error);
}

/* ---- floats, plainly: a number at a time, values [H,W,C] ------------------------------------- */

typedef struct plain_run {
    const lowered *net;
    float **values; /* [layers] of one image */
} plain_run;

/* Of input `which` of a layer; 0 outside. */
static inline double real_at(const plain_run *r, const layer *l, int which, int y, int x, int c) {
    const layer *in = &r->net->layers[l->inputs[which]];
    if (y < 0 || y >= in->h || x < 0 || x >= in->w) return 0;
    return (double)r->values[l->inputs[which]][(y * in->w + x) * in->c + c];
}

static inline double with_relu(const layer *l, double y) { return l->relu && y < 0 ? 0 : y; }

static inline double real_input(const plain_run *r, const layer *l, int y, int x, int c) {
    return (double)r->values[0][(y * l->w + x) * l->c + c];
}

static inline double real_convolution(const plain_run *r, const layer *l, int y, int x, int k) {
    const int channels = r->net->layers[l->inputs[0]].c;
    const float *weight = l->weight + (size_t)k * (size_t)(channels * l->kernel * l->kernel);
    double sum = (double)l->bias[k];
    int c, i, j;
    for (c = 0; c < channels; c++)
        for (i = 0; i < l->kernel; i++)
            for (j = 0; j < l->kernel; j++)
                sum += (double)*weight++ * real_at(r, l, 0, y * l->stride - l->padding + i,
                                                   x * l->stride - l->padding + j, c);
    return with_relu(l, sum);
}

static inline double real_affine(const plain_run *r, const layer *l, int y, int x, int c) {
    return with_relu(l, real_at(r, l, 0, y, x, c) * (double)l->weight[c] + (double)l->bias[c]);
}

static inline double real_add(const plain_run *r, const layer *l, int y, int x, int c) {
    return with_relu(l, (double)l->factors[0] * real_at(r, l, 0, y, x, c) +
                            (double)l->factors[1] * real_at(r, l, 1, y, x, c));
}

static inline double real_gate(const plain_run *r, const layer *l, int y, int x, int c) {
    const double z = real_at(r, l, 1, y, x, c);
    return real_at(r, l, 0, y, x, c) / (1 + exp(l->complement ? z : -z));
}

static inline double real_max_pool(const plain_run *r, const layer *l, int y, int x, int c) {
    const layer *in = &r->net->layers[l->inputs[0]];
    double largest = -HUGE_VAL;
    int i, j;
    for (i = y * l->stride - l->padding; i < y * l->stride - l->padding + l->kernel; i++)
        for (j = x * l->stride - l->padding; j < x * l->stride - l->padding + l->kernel; j++) {
            const int inside = i >= 0 && i < in->h && j >= 0 && j < in->w;
            const double value = real_at(r, l, 0, i, j, c);
            if ((inside || l->zeros) && value > largest) largest = value;
        }
    return largest;
}

/* Mean of rows y to y + rows, columns x to x + columns, as far as there are such. */
static inline double real_mean(const plain_run *r, const layer *l, int y, int x, int c, int rows,
                               int columns) {
    const layer *in = &r->net->layers[l->inputs[0]];
    const int bottom = y + rows < in->h ? y + rows : in->h;
    const int right = x + columns < in->w ? x + columns : in->w;
    double sum = 0;
    int i, j;
    for (i = y; i < bottom; i++)
        for (j = x; j < right; j++) sum += real_at(r, l, 0, i, j, c);
    return sum / ((bottom - y) * (right - x));
}

static inline double real_avg_pool(const plain_run *r, const layer *l, int y, int x, int c) {
    return real_mean(r, l, y * l->stride, x * l->stride, c, l->kernel, l->kernel);
}

static inline double real_global_avg_pool(const plain_run *r, const layer *l, int y, int x, int c) {
    return real_mean(r, l, y, x, c, INT_MAX / 2, INT_MAX / 2);
}

static inline double real_pad_subsample(const plain_run *r, const layer *l, int y, int x, int c) {
    const int from = c - l->front, there = from >= 0 && from < r->net->layers[l->inputs[0]].c;
    return there ? real_at(r, l, 0, y * l->stride, x * l->stride, from) : 0;
}

/* ---- integers, plainly: a number at a time, values [H,W,C] ----------------------------------- */

typedef struct integer_run {
    const lowered *net;
    int16_t **values;        /* [layers] of one image */
    int16_t *const *filters; /* [layers] of fast convolutions, see arrange_filters; not its own */
    int16_t *window, *patches;
    int32_t *sums;
} integer_run;

/* x multiplier 2^(shift - 31), rounded twice. */
static inline int32_t scale_twice(int32_t x, int32_t multiplier, int shift) {
    const int left = shift > 0 ? shift : 0, right = shift > 0 ? 0 : -shift;
    const int64_t one = 1;
    const int32_t h = (int32_t)(((x * (one << left)) * multiplier + (one << 30)) >> 31);
    const int32_t mask = (int32_t)((one << right) - 1);
    return (h >> right) + ((h & mask) > (mask >> 1) + (h < 0));
}

/* The largest that a convolution's sum of filter k can be, whatever the image. */
static inline double largest_sum(const lowered *net, const layer *l, int k) {
    const size_t count = weight_count(net, l) / (size_t)l->c;
    double sum = fabs((double)l->q.bias[k]);
    size_t i;
    for (i = 0; i < count; i++) sum += 255.0 * abs(l->q.weight[(size_t)k * count + i]);
    return sum;
}

static inline int least_of(const layer *l) {
    return l->relu ? l->q.zero_point : l->q.wide ? -32768 : -128;
}

static inline int clamp_value(const layer *l, int64_t y) {
    const int least = least_of(l), most = l->q.wide ? 32767 : 127;
    return y < least ? least : y > most ? most : (int)y;
}

/* q - zero point of input `which` of a layer; 0 outside. */
static inline int input_at(const integer_run *r, const layer *l, int which, int y, int x, int c) {
    const int i = l->inputs[which];
    const layer *in = &r->net->layers[i];
    const int zero_point = i ? in->q.zero_point : r->net->centre[c] - 128;
    if (y < 0 || y >= in->h || x < 0 || x >= in->w) return 0;
    return r->values[i][(y * in->w + x) * in->c + c] - zero_point;
}

static inline int plain_input(const integer_run *r, const layer *l, int y, int x, int c) {
    return r->values[0][(y * l->w + x) * l->c + c];
}

static inline int plain_convolution(const integer_run *r, const layer *l, int y, int x, int k) {
    const int channels = r->net->layers[l->inputs[0]].c;
    const int8_t *weight = l->q.weight + (size_t)k * (size_t)(channels * l->kernel * l->kernel);
    int32_t sum = l->q.bias[k];
    int c, i, j;
    for (c = 0; c < channels; c++)
        for (i = 0; i < l->kernel; i++)
            for (j = 0; j < l->kernel; j++)
                sum += *weight++ * input_at(r, l, 0, y * l->stride - l->padding + i,
                                            x * l->stride - l->padding + j, c);
    return clamp_value(l, (int64_t)scale_twice(sum, l->q.multiplier[k], l->q.shift[k]) +
                              l->q.zero_point);
}

static inline int plain_affine(const integer_run *r, const layer *l, int y, int x, int c) {
    const int32_t product = input_at(r, l, 0, y, x, c) * l->q.multiplier[c];
    return clamp_value(l, (product + l->q.bias[c]) >> l->q.shift[c]);
}

static inline int plain_add(const integer_run *r, const layer *l, int y, int x, int c) {
    int32_t sum = 0;
    int i;
    for (i = 0; i < 2; i++)
        sum += scale_twice(input_at(r, l, i, y, x, c) * (1 << l->q.left), l->q.multiplier[i],
                           l->q.shift[i]);
    return clamp_value(l, (int64_t)scale_twice(sum, l->q.multiplier[2], l->q.shift[2]) +
                              l->q.zero_point);
}

static inline int plain_gate(const integer_run *r, const layer *l, int y, int x, int c) {
    const int gate = r->values[l->inputs[1]][(y * l->w + x) * l->c + c];
    const int32_t product = input_at(r, l, 0, y, x, c) * l->q.table[128 + gate];
    return clamp_value(l, (int64_t)scale_twice(product, l->q.multiplier[0], l->q.shift[0]) +
                              l->q.zero_point);
}

static inline int plain_max_pool(const integer_run *r, const layer *l, int y, int x, int c) {
    const layer *in = &r->net->layers[l->inputs[0]];
    int largest = INT_MIN, i, j;
    for (i = y * l->stride - l->padding; i < y * l->stride - l->padding + l->kernel; i++)
        for (j = x * l->stride - l->padding; j < x * l->stride - l->padding + l->kernel; j++) {
            const int inside = i >= 0 && i < in->h && j >= 0 && j < in->w;
            const int q = input_at(r, l, 0, i, j, c);
            if ((inside || l->zeros) && q > largest) largest = q;
        }
    return largest + l->q.zero_point;
}

/* Of the pixels from y, x on below and to the right. */
static inline int mean_of(const integer_run *r, const layer *l, int y, int x, int c, int global) {
    const layer *in = &r->net->layers[l->inputs[0]];
    const int rows = global || y + l->kernel > in->h ? in->h - y : l->kernel;
    const int columns = global || x + l->kernel > in->w ? in->w - x : l->kernel;
    const int n = rows * columns, at = global ? 0 : n - 1;
    int32_t s = 0;
    int i, j;
    for (i = y; i < y + rows; i++)
        for (j = x; j < x + columns; j++) s += input_at(r, l, 0, i, j, c);
    if (l->q.rescales)
        return clamp_value(l, (int64_t)scale_twice(s, l->q.multiplier[at], l->q.shift[at]) +
                                  l->q.zero_point);
    s += n * in->q.zero_point;
    return clamp_value(l, (s > 0 ? s + n / 2 : s - n / 2) / n);
}

static inline int plain_avg_pool(const integer_run *r, const layer *l, int y, int x, int c) {
    return mean_of(r, l, y * l->stride, x * l->stride, c, 0);
}

static inline int plain_global_avg_pool(const integer_run *r, const layer *l, int y, int x, int c) {
    return mean_of(r, l, y, x, c, 1);
}

static inline int plain_pad_subsample(const integer_run *r, const layer *l, int y, int x, int c) {
    const int from = c - l->front, in = r->net->layers[l->inputs[0]].c;
    const int there = from >= 0 && from < in;
    return l->q.zero_point + (there ? input_at(r, l, 0, y * l->stride, x * l->stride, from) : 0);
}

/* ---- integers, fast -------------------------------------------------------------------------- */

enum { PATCH = 4, LANES = 32 }; /* pixels and filters of a tile; taps come in multiples of 32 */

static inline size_t taps_of(const lowered *net, const layer *l) {
    const size_t taps = weight_count(net, l) / (size_t)l->c;
    return (taps + LANES - 1) / LANES * LANES;
}

/* [K rounded up to 4][taps] with the taps as [R][S][C], zeros behind. */
static inline int16_t *arrange_filters(const lowered *net, const layer *l) {
    const size_t taps = taps_of(net, l);
    const size_t room = (size_t)(l->c + PATCH - 1) / PATCH * PATCH * taps;
    const int channels = net->layers[l->inputs[0]].c, area = l->kernel * l->kernel;
    int16_t *filters = (int16_t *)allocate(room * sizeof(int16_t));
    const int8_t *weight = l->q.weight;
    int k, c, t;
    memset(filters, 0, room * sizeof(int16_t));
    for (k = 0; k < l->c; k++)
        for (c = 0; c < channels; c++)
            for (t = 0; t < area; t++)
                filters[(size_t)k * taps + (size_t)(t * channels + c)] = *weight++;
    return filters;
}

/* sums[4 k + p] of 4 filters and 4 pixels; rows of both are `taps` numbers apart. */
FOR_EACH_MACHINE static void multiply_tile(const int16_t *w, const int16_t *x, size_t taps,
                                           int32_t *sums) {
    const int16_t *w1 = w + taps, *w2 = w1 + taps, *w3 = w2 + taps;
    const int16_t *x1 = x + taps, *x2 = x1 + taps, *x3 = x2 + taps;
    int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
    int32_t c0 = 0, c1 = 0, c2 = 0, c3 = 0, d0 = 0, d1 = 0, d2 = 0, d3 = 0;
    size_t i;
    taps = taps / LANES * LANES;
    for (i = 0; i < taps; i++) {
        a0 += w[i] * x[i], a1 += w[i] * x1[i], a2 += w[i] * x2[i], a3 += w[i] * x3[i];
        b0 += w1[i] * x[i], b1 += w1[i] * x1[i], b2 += w1[i] * x2[i], b3 += w1[i] * x3[i];
        c0 += w2[i] * x[i], c1 += w2[i] * x1[i], c2 += w2[i] * x2[i], c3 += w2[i] * x3[i];
        d0 += w3[i] * x[i], d1 += w3[i] * x1[i], d2 += w3[i] * x2[i], d3 += w3[i] * x3[i];
    }
    sums[0] = a0, sums[1] = a1, sums[2] = a2, sums[3] = a3;
    sums[4] = b0, sums[5] = b1, sums[6] = b2, sums[7] = b3;
    sums[8] = c0, sums[9] = c1, sums[10] = c2, sums[11] = c3;
    sums[12] = d0, sums[13] = d1, sums[14] = d2, sums[15] = d3;
}

/* The image that a convolution reads, with its padding, as q - zero point: [rows][columns][C]. */
static inline void fill_window(const integer_run *r, const layer *l, int rows, int columns) {
    const layer *in = &r->net->layers[l->inputs[0]];
    const int16_t *value = r->values[l->inputs[0]];
    const int last = columns < in->w + l->padding ? columns : in->w + l->padding;
    int zero_points[4], y, x, c;
    for (c = 0; c < 4; c++) zero_points[c] = r->net->centre[c] - 128;
    memset(r->window, 0, (size_t)rows * (size_t)columns * (size_t)in->c * sizeof(int16_t));
    for (y = l->padding; y < rows && y < in->h + l->padding; y++) {
        const int16_t *from = value + (size_t)((y - l->padding) * in->w) * (size_t)in->c;
        int16_t *to = r->window + (size_t)(y * columns + l->padding) * (size_t)in->c;
        const int numbers = (last - l->padding) * in->c;
        if (l->inputs[0])
            for (x = 0; x < numbers; x++) to[x] = (int16_t)(from[x] - in->q.zero_point);
        else
            for (x = 0; x < numbers; x += in->c)
                for (c = 0; c < in->c; c++) to[x + c] = (int16_t)(from[x + c] - zero_points[c]);
    }
}

/* Of 4 pixels from number `first` on the window's pixels below the filter, a row each. */
static inline void fill_patches(const integer_run *r, const layer *l, int first, int columns,
                                size_t taps) {
    const int channels = r->net->layers[l->inputs[0]].c, run = l->kernel * channels;
    const size_t filled = (size_t)(l->kernel * run);
    int p, i;
    for (p = 0; p < PATCH; p++) {
        const int pixel = first + p < l->h * l->w ? first + p : l->h * l->w - 1;
        const int y = pixel / l->w * l->stride, x = pixel % l->w * l->stride;
        int16_t *patch = r->patches + (size_t)p * taps;
        for (i = 0; i < l->kernel; i++)
            memcpy(patch + i * run, r->window + (ptrdiff_t)((y + i) * columns + x) * channels,
                   (size_t)run * sizeof(int16_t));
        memset(patch + filled, 0, (taps - filled) * sizeof(int16_t));
    }
}

/* A pixel's sums of all filters, every fourth of `sums`, become its numbers. */
FOR_EACH_MACHINE static void scale_pixel(const layer *l, const int32_t *sums, int16_t *to) {
    const int32_t *bias = l->q.bias, *multiplier = l->q.multiplier;
    const int *shift = l->q.shift, count = l->c, zero_point = l->q.zero_point;
    const int least = least_of(l), most = l->q.wide ? 32767 : 127;
    int k;
    for (k = 0; k < count; k++) {
        const int left = shift[k] > 0 ? shift[k] : 0, right = left - shift[k];
        const int32_t x = (int32_t)((uint32_t)(sums[PATCH * k] + bias[k]) << left);
        const int64_t product = (int64_t)x * multiplier[k] + (1 << 30);
        const int32_t h = (int32_t)((uint64_t)product >> 31);
        const int32_t mask = (int32_t)((1u << right) - 1);
        const int32_t y = (h >> right) + ((h & mask) > (mask >> 1) + (h < 0)) + zero_point;
        to[k] = (int16_t)(y < least ? least : y > most ? most : y);
    }
}

static inline void fast_convolution(const integer_run *r, int i) {
    const layer *l = &r->net->layers[i];
    const size_t taps = taps_of(r->net, l);
    const int rows = (l->h - 1) * l->stride + l->kernel, pixels = l->h * l->w;
    const int columns = (l->w - 1) * l->stride + l->kernel;
    int first, k, p;
    fill_window(r, l, rows, columns);
    for (first = 0; first < pixels; first += PATCH) {
        fill_patches(r, l, first, columns, taps);
        for (k = 0; k < l->c; k += PATCH)
            multiply_tile(r->filters[i] + (size_t)k * taps, r->patches, taps, r->sums + PATCH * k);
        for (p = 0; p < PATCH && first + p < pixels; p++)
            scale_pixel(l, r->sums + p, r->values[i] + (ptrdiff_t)(first + p) * l->c);
    }
}

FOR_EACH_MACHINE static void fast_affine(const integer_run *r, int i) {
    const layer *l = &r->net->layers[i];
    const int16_t *x = r->values[l->inputs[0]];
    int16_t *to = r->values[i];
    const int32_t *multiplier = l->q.multiplier, *bias = l->q.bias;
    const int *shift = l->q.shift, channels = l->c, pixels = l->h * l->w;
    const int zero_point = r->net->layers[l->inputs[0]].q.zero_point;
    const int least = least_of(l), most = l->q.wide ? 32767 : 127;
    int p, c;
    for (p = 0; p < pixels; p++, x += channels, to += channels)
        for (c = 0; c < channels; c++) {
            const int32_t y = ((x[c] - zero_point) * multiplier[c] + bias[c]) >> shift[c];
            to[c] = (int16_t)(y < least ? least : y > most ? most : y);
        }
}

/* Where all three scales are equal and no factor is another than 1. */
static inline int adds_plainly(const layer *l) {
    const int32_t *m = l->q.multiplier;
    const int *e = l->q.shift;
    return l->q.wide && m[0] == 1 << 30 && m[1] == m[0] && m[2] == m[0] && !e[0] && !e[1] &&
           e[2] == 2 - l->q.left;
}

FOR_EACH_MACHINE static void fast_add(const integer_run *r, int i) {
    const layer *l = &r->net->layers[i];
    const int16_t *a = r->values[l->inputs[0]], *b = r->values[l->inputs[1]];
    const int za = r->net->layers[l->inputs[0]].q.zero_point;
    const int zb = r->net->layers[l->inputs[1]].q.zero_point;
    const int least = least_of(l), most = l->q.wide ? 32767 : 127, plain = adds_plainly(l);
    const int count = l->c * l->h * l->w;
    int16_t *to = r->values[i];
    int k;
    for (k = 0; plain && k < count; k++) {
        const int y = a[k] - za + b[k] - zb;
        to[k] = (int16_t)(y < least ? least : y > most ? most : y);
    }
    for (k = 0; !plain && k < count; k++) {
        const int32_t *m = l->q.multiplier;
        const int *e = l->q.shift, one = 1 << l->q.left;
        const int32_t sum =
            scale_twice((a[k] - za) * one, m[0], e[0]) + scale_twice((b[k] - zb) * one, m[1], e[1]);
        to[k] = (int16_t)clamp_value(l, (int64_t)scale_twice(sum, m[2], e[2]) + l->q.zero_point);
    }
}

/* ---- a net ----------------------------------------------------------------------------------- */

/* A row for each kind of layer, in the order of layer_kind: its value in floats, and one number of
   it; one number in integers, and all of it fast, where that is another way (NULL: one by one). */
static const struct {
    void (*floats)(const float_run *r, int i);
    double (*real)(const plain_run *r, const layer *l, int y, int x, int c);
    int (*plain)(const integer_run *r, const layer *l, int y, int x, int c);
    void (*fast)(const integer_run *r, int i);
} evaluations[] = {{float_input, real_input, plain_input, NULL},
                   {float_convolution, real_convolution, plain_convolution, fast_convolution},
                   {float_affine, real_affine, plain_affine, fast_affine},
                   {float_add, real_add, plain_add, fast_add},
                   {float_gate, real_gate, plain_gate, NULL},
                   {float_max_pool, real_max_pool, plain_max_pool, NULL},
                   {float_avg_pool, real_avg_pool, plain_avg_pool, NULL},
                   {float_global_avg_pool, real_global_avg_pool, plain_global_avg_pool, NULL},
                   {float_pad_subsample, real_pad_subsample, plain_pad_subsample, NULL}};
typedef char
    an_evaluation_for_each_kind[sizeof evaluations / sizeof evaluations[0] == LAYER_KINDS ? 1 : -1];

/* Computes all layers from pixels [images][C][H][W], 0 to 255, colours as RGB. */
static inline void run_floats(const float_run *r, const uint8_t *pixels) {
    const layer *l = &r->net->layers[0];
    const size_t count = value_count(l) * (size_t)r->images, plane = (size_t)(l->h * l->w);
    size_t k;
    int i;
    for (k = 0; k < count; k++) {
        const size_t c = k / plane % (size_t)l->c;
        r->values[0][k] = (pixels[k] / 255.0f - r->net->mean[c]) / r->net->deviation[c];
    }
    for (i = 1; i < r->net->count; i++) evaluations[r->net->layers[i].kind].floats(r, i);
}

static inline void run_layer(const integer_run *r, int i, int plainly) {
    const layer *l = &r->net->layers[i];
    int y, x, c;
    int16_t *to = r->values[i];
    if (!plainly && evaluations[l->kind].fast) {
        evaluations[l->kind].fast(r, i);
        return;
    }
    for (y = 0; y < l->h; y++)
        for (x = 0; x < l->w; x++)
            for (c = 0; c < l->c; c++) *to++ = (int16_t)evaluations[l->kind].plain(r, l, y, x, c);
}

/* The bytes of an image [C][H][W] as the value of the first layer. */
static inline void set_image(const integer_run *r, const uint8_t *pixels) {
    const layer *l = &r->net->layers[0];
    const int plane = l->h * l->w;
    int p, c;
    for (c = 0; c < l->c; c++)
        for (p = 0; p < plane; p++)
            r->values[0][p * l->c + c] = (int16_t)(pixels[c * plane + p] - 128);
}

/* Computes all layers of one image; plainly (1) or fast (0), to the same integers. */
static inline void run_integers(const integer_run *r, const uint8_t *pixels, int plainly) {
    int i;
    set_image(r, pixels);
    for (i = 1; i < r->net->count; i++) run_layer(r, i, plainly);
}

/* The filters of all layers as fast convolutions read them; for all threads, free_filters. */
static inline int16_t **make_filters(const lowered *net) {
    int16_t **filters = (int16_t **)allocate((size_t)net->count * sizeof(int16_t *));
    int i;
    for (i = 0; i < net->count; i++)
        filters[i] =
            has(&net->layers[i], HAS_FILTERS) ? arrange_filters(net, &net->layers[i]) : NULL;
    return filters;
}

static inline void free_filters(const lowered *net, int16_t **filters) {
    int i;
    for (i = 0; i < net->count; i++) free(filters[i]);
    free(filters);
}

static inline integer_run make_integer_run(const lowered *net, int16_t *const *filters) {
    integer_run r = {net, NULL, filters, NULL, NULL, NULL};
    size_t window = 0, patches = 0, sums = 0;
    int i;
    r.values = (int16_t **)allocate((size_t)net->count * sizeof(int16_t *));
    for (i = 0; i < net->count; i++) {
        const layer *l = &net->layers[i];
        r.values[i] = (int16_t *)allocate(value_count(l) * sizeof(int16_t));
        if (has(l, HAS_FILTERS)) {
            const rn_tensor x = padded_tensor(net, l, 1, NULL);
            if ((size_t)x.stride_n > window) window = (size_t)x.stride_n;
            if (taps_of(net, l) > patches) patches = taps_of(net, l);
            if ((size_t)l->c > sums) sums = (size_t)l->c;
        }
    }
    r.window = (int16_t *)allocate(window * sizeof(int16_t));
    r.patches = (int16_t *)allocate(PATCH * patches * sizeof(int16_t));
    r.sums = (int32_t *)allocate(PATCH * (sums + PATCH) * sizeof(int32_t));
    return r;
}

static inline void free_integer_run(integer_run *r) {
    int i;
    for (i = 0; i < r->net->count; i++) free(r->values[i]);
    free(r->values), free(r->window), free(r->patches), free(r->sums);
}

static inline void run_plainly(const plain_run *r) {
    int i, y, x, c;
    for (i = 1; i < r->net->count; i++) {
        const layer *l = &r->net->layers[i];
        float *to = r->values[i];
        for (y = 0; y < l->h; y++)
            for (x = 0; x < l->w; x++)
                for (c = 0; c < l->c; c++) *to++ = (float)evaluations[l->kind].real(r, l, y, x, c);
    }
}

/* By the plain formulas: image [H][W][C] as the net gets it, result [classes]; whole numbers where
   the net is of integers. */
static inline void evaluate_naively(const lowered *net, const float *image, float *result) {
    const layer *last = &net->layers[net->count - 1];
    int i;
    size_t k;
    if (net->quantised) {
        integer_run r = make_integer_run(net, NULL);
        for (k = 0; k < value_count(&net->layers[0]); k++) r.values[0][k] = (int16_t)image[k];
        for (i = 1; i < net->count; i++) run_layer(&r, i, 1);
        for (k = 0; k < value_count(last); k++) result[k] = r.values[net->count - 1][k];
        free_integer_run(&r);
    } else {
        plain_run r = {net, (float **)allocate((size_t)net->count * sizeof(float *))};
        for (i = 0; i < net->count; i++)
            r.values[i] = allocate_floats(value_count(&net->layers[i]));
        memcpy(r.values[0], image, value_count(&net->layers[0]) * sizeof(float));
        run_plainly(&r);
        memcpy(result, r.values[net->count - 1], value_count(last) * sizeof(float));
        for (i = 0; i < net->count; i++) free(r.values[i]);
        free(r.values);
    }
}

/* ---- many images ----------------------------------------------------------------------------- */

/* What all threads need to run a net on a data set, a few images each at a time. */
typedef struct evaluator {
    const lowered *net;
    int threads, images; /* images: of a thread at a time, by the size of their values */
    float_run *floats;   /* [threads] */
    integer_run *integers;
    int16_t **filters;
    uint8_t *pixels; /* [threads images] of the turn, with their labels */
    int *labels;
} evaluator;

static inline evaluator make_evaluator(const lowered *net, int threads) {
    evaluator e = {net, threads, 1, NULL, NULL, NULL, NULL, NULL};
    const size_t most = (size_t)32 << 20, size = value_count(&net->layers[0]);
    size_t bytes = 0;
    int i;
    for (i = 0; i < net->count; i++) bytes += value_count(&net->layers[i]) * sizeof(float);
    e.images = bytes > most ? 1 : most / bytes > 16 ? 16 : (int)(most / bytes);
    e.floats = (float_run *)allocate((size_t)threads * sizeof(float_run));
    for (i = 0; i < threads; i++) e.floats[i] = make_float_run(net, e.images);
    if (net->quantised) {
        e.filters = make_filters(net);
        e.integers = (integer_run *)allocate((size_t)threads * sizeof(integer_run));
        for (i = 0; i < threads; i++) e.integers[i] = make_integer_run(net, e.filters);
    }
    e.pixels = (uint8_t *)allocate((size_t)(threads * e.images) * size);
    e.labels = (int *)allocate((size_t)(threads * e.images) * sizeof(int));
    return e;
}

static inline void free_evaluator(evaluator *e) {
    int i;
    for (i = 0; i < e->threads; i++) {
        free_float_run(&e->floats[i]);
        if (e->integers) free_integer_run(&e->integers[i]);
    }
    if (e->filters) free_filters(e->net, e->filters);
    free(e->floats), free(e->integers), free(e->pixels), free(e->labels);
}

/* Reads the images of the next turn, from number `first` of `count` that are spread over all of the
   source; returns how many. Not all sources can be read by several threads. */
static inline int read_turn(const evaluator *e, const rn_source *source, int first, int count) {
    const size_t size = value_count(&e->net->layers[0]);
    const int room = e->threads * e->images, some = count - first < room ? count - first : room;
    int i;
    for (i = 0; i < some; i++) {
        const ptrdiff_t at = (ptrdiff_t)((double)(first + i) * (double)source->count / count);
        if (source->read(source->user, at, e->pixels + (size_t)i * size, &e->labels[i]))
            quit(1, "cannot read image %lld of the data", (long long)at);
    }
    return some;
}

/* Does work(user, thread, first, some) for the images of a turn: `some` from number `first` on. */
static inline void share_turn(const evaluator *e, int some,
                              void (*work)(void *user, int thread, int first, int some),
                              void *user) {
    const int each = (some + e->threads - 1) / e->threads;
    int t;
#ifdef _OPENMP
#pragma omp parallel for num_threads(e->threads) schedule(static, 1)
#endif
    for (t = 0; t < e->threads; t++) {
        const int first = t * each, rest = some - first;
        if (rest > 0) work(user, t, first, rest < each ? rest : each);
    }
}

static inline const uint8_t *turn_pixels(const evaluator *e, int i) {
    return e->pixels + (size_t)i * value_count(&e->net->layers[0]);
}

/* Floats of `some` images of a turn from number `first` on. */
static inline const float_run *run_turn(const evaluator *e, int thread, int first, int some) {
    float_run *r = &e->floats[thread];
    r->images = some;
    run_floats(r, turn_pixels(e, first));
    return r;
}

/* How many of the images of a data set a net names, in floats and in integers. */
typedef struct accuracy {
    int images, right, right_integers, same; /* same: both name the same class */
    const evaluator *e;
    int *counts; /* [threads][3] of right, right_integers, same */
} accuracy;

static inline int first_largest(const int16_t *q, int count) {
    int best = 0, i;
    for (i = 1; i < count; i++)
        if (q[i] > q[best]) best = i;
    return best;
}

static inline void count_right(void *user, int thread, int first, int some) {
    const accuracy *a = (const accuracy *)user;
    const evaluator *e = a->e;
    const int last = e->net->count - 1, classes = e->net->layers[last].c;
    const float_run *f = run_turn(e, thread, first, some);
    int *counts = a->counts + 3 * thread, i;
    for (i = 0; i < some; i++) {
        const int label = e->labels[first + i];
        const int best = rn_argmax(f->values[last] + (ptrdiff_t)i * classes, classes);
        int found;
        counts[0] += best == label;
        if (!e->net->quantised) continue;
        run_integers(&e->integers[thread], turn_pixels(e, first + i), 0);
        found = first_largest(e->integers[thread].values[last], classes);
        counts[1] += found == label;
        counts[2] += found == best;
    }
}

/* `images` of the source's images, spread over it. */
static inline accuracy measure_accuracy(const evaluator *e, const rn_source *source, int images) {
    accuracy a = {0, 0, 0, 0, e, NULL};
    progress p = begin_progress((uint64_t)images);
    int i, some;
    a.counts = (int *)allocate((size_t)e->threads * 3 * sizeof(int));
    memset(a.counts, 0, (size_t)e->threads * 3 * sizeof(int));
    for (; a.images < images; a.images += some) {
        some = read_turn(e, source, a.images, images);
        share_turn(e, some, count_right, &a);
        p.done += some;
        show_progress(&p, "testing %d of %d images", a.images + some, images);
    }
    end_progress(&p);
    for (i = 0; i < e->threads; i++) {
        a.right += a.counts[3 * i], a.right_integers += a.counts[3 * i + 1];
        a.same += a.counts[3 * i + 2];
    }
    free(a.counts);
    a.counts = NULL;
    return a;
}

#endif
