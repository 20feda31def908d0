/* layers.c - every naive layer, forward and backward, tensors and random numbers, against the
   definitions written a second time, in double and by another route than the header's loops: where
   the header gathers into an output, the test scatters from an input, and the other way round.
   Shapes at the edges, tensors that are views, gradients that are added up, not wanted or in place,
   and the sentence of every error. With -DRESNET_REAL=double every gradient is also held against
   differences of the forward function.

   cc -std=c99 -O2 -o layers tests/layers.c -lm && ./layers */

#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"

#define DOUBLE (sizeof(rn_real) == sizeof(double))
#define TOLERANCE (DOUBLE ? 1e-12 : 1e-6) /* of the largest magnitude */
#define GUARD 12345                       /* fills memory that no layer may touch */

#undef RN__EACH /* the oracle has a loop of its own, over tensors and arrays */
#define RN__EACH(t)                      \
    for (n = 0; n < (t)->n; n++)         \
        for (c = 0; c < (t)->c; c++)     \
            for (h = 0; h < (t)->h; h++) \
                for (w = 0; w < (t)->w; w++)

/* ---- numbers, arrays of the oracle, and their tensors -------------------------------------- */

static void *pool[256];
static int pooled;

static void *take(size_t bytes) {
    void *memory = calloc(1, bytes + 1);
    CHECK(memory != NULL && pooled < 256);
    return pool[pooled++] = memory;
}

static void release_all(void) {
    while (pooled) free(pool[--pooled]);
}

static uint64_t draws = 1;

/* A random number in [-1, 1) that is exact in rn_real. */
static double number(void) {
    draws = draws * 6364136223846793005u + 1442695040888963407u;
    return (double)(rn_real)((double)(draws >> 40) / (1 << 23) - 1);
}

/* An NCHW array in double: what the definitions compute with. */
typedef struct array {
    int n, c, h, w;
    double *v;
} array;

static ptrdiff_t size_of(const array *a) { return (ptrdiff_t)a->n * a->c * a->h * a->w; }

static double *at(const array *a, int n, int c, int h, int w) {
    return a->v + (((ptrdiff_t)n * a->c + c) * a->h + h) * a->w + w;
}

static array zeros(int n, int c, int h, int w) {
    array a;
    a.n = n, a.c = c, a.h = h, a.w = w;
    a.v = (double *)take((size_t)size_of(&a) * sizeof(double));
    return a;
}

static array draw(int n, int c, int h, int w) {
    array a = zeros(n, c, h, w);
    ptrdiff_t i;
    for (i = 0; i < size_of(&a); i++) a.v[i] = number();
    return a;
}

static array copy(const array *a) {
    array b = zeros(a->n, a->c, a->h, a->w);
    memcpy(b.v, a->v, (size_t)size_of(a) * sizeof(double));
    return b;
}

/* What a gradient should be before a layer's part is added to it. */
static array base(const array *before, int accumulate) {
    return accumulate ? copy(before) : zeros(before->n, before->c, before->h, before->w);
}

/* A tensor with the memory around it. */
typedef struct placed {
    rn_tensor t;
    rn_real *memory;
    ptrdiff_t count;
} placed;

enum { PLAIN, CHANNELS, CHANNELS_LAST, LAYOUTS };

/* The array as a tensor: contiguous, as channels of a larger one, or with the channels innermost
   and gaps everywhere. */
static placed place(const array *a, int layout) {
    placed p;
    ptrdiff_t i;
    int n, c, h, w;
    if (layout == PLAIN) {
        p.count = size_of(a);
        p.t = rn_tensor_in(NULL, a->n, a->c, a->h, a->w);
    } else if (layout == CHANNELS) {
        p.count = (ptrdiff_t)a->n * (a->c + 3) * a->h * a->w;
        p.t = rn_tensor_in(NULL, a->n, a->c + 3, a->h, a->w);
    } else {
        p.t.n = a->n, p.t.c = a->c, p.t.h = a->h, p.t.w = a->w;
        p.t.stride_c = 1;
        p.t.stride_w = a->c + 1;
        p.t.stride_h = p.t.stride_w * (a->w + 1);
        p.t.stride_n = p.t.stride_h * (a->h + 1);
        p.count = p.t.stride_n * a->n;
    }
    p.memory = (rn_real *)take((size_t)p.count * sizeof(rn_real));
    for (i = 0; i < p.count; i++) p.memory[i] = GUARD;
    p.t.data = p.memory;
    if (layout == CHANNELS) p.t = rn_tensor_channels(p.t, 2, a->c);
    RN__EACH(a) *rn__at(&p.t, n, c, h, w) = (rn_real)*at(a, n, c, h, w);
    return p;
}

static placed place_empty(int n, int c, int h, int w, int layout) {
    array a = zeros(n, c, h, w);
    return place(&a, layout);
}

/* Largest difference over the largest magnitude that is wanted; infinite where memory around the
   tensor has changed. */
static double distance(const placed *got, const array *want) {
    double largest = 0, difference = 0;
    ptrdiff_t guards = 0, i;
    int n, c, h, w;
    for (i = 0; i < got->count; i++) guards += got->memory[i] == (rn_real)GUARD;
    if (guards != got->count - size_of(want)) return HUGE_VAL;
    RN__EACH(want) {
        const double d = (double)*rn__at(&got->t, n, c, h, w) - *at(want, n, c, h, w);
        difference = worse(difference, fabs(d));
        largest = fmax(largest, fabs(*at(want, n, c, h, w)));
    }
    return difference / (largest > 0 ? largest : 1);
}

#define CHECK_SAME(got, want) CHECK_NEAR(distance(&(got), &(want)), 0, TOLERANCE)
#define CHECK_OK(call) CHECK_INT(call, RN_OK)

/* ---- convolution --------------------------------------------------------------------------- */

/* Each pixel goes to every output in whose window it is. */
static void convolve(array *y, const array *x, const array *f, const array *bias, int stride,
                     int padding) {
    int n, c, h, w, k, r, s;
    RN__EACH(y) *at(y, n, c, h, w) = bias ? bias->v[c] : 0;
    RN__EACH(x)
        for (k = 0; k < f->n; k++)
            for (r = 0; r < f->h; r++)
                for (s = 0; s < f->w; s++) {
                    int top = h + padding - r, left = w + padding - s;
                    if (top < 0 || left < 0 || top % stride || left % stride) continue;
                    if (top / stride >= y->h || left / stride >= y->w) continue;
                    *at(y, n, k, top / stride, left / stride) +=
                        *at(x, n, c, h, w) * *at(f, k, c, r, s);
                }
}

/* Each term x f of an output hands dy f to x and dy x to f. */
static void convolve_backward(array *dx, array *df, array *dbias, const array *dy, const array *x,
                              const array *f, int stride, int padding) {
    int n, c, h, w, k, r, s;
    RN__EACH(dy) { /* c counts outputs here */
        double g = *at(dy, n, c, h, w);
        dbias->v[c] += g;
        for (k = 0; k < x->c; k++)
            for (r = 0; r < f->h; r++)
                for (s = 0; s < f->w; s++) {
                    int row = h * stride + r - padding, column = w * stride + s - padding;
                    if (row < 0 || row >= x->h || column < 0 || column >= x->w) continue;
                    *at(dx, n, k, row, column) += g * *at(f, c, k, r, s);
                    *at(df, c, k, r, s) += g * *at(x, n, k, row, column);
                }
    }
}

/* N C H W, K R S, stride, padding; then of rows and columns, how many more behind than in front. */
static const int conv_shapes[][11] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 0},  /* one number */
    {2, 3, 5, 7, 4, 3, 3, 1, 1},  /* the usual */
    {1, 17, 6, 5, 3, 3, 3, 2, 1}, /* channels that fill no block */
    {2, 3, 1, 1, 5, 3, 3, 1, 1},  /* one pixel, all else padding */
    {1, 2, 7, 7, 2, 1, 1, 3, 0},  /* stride above the kernel: some pixels have no gradient */
    {1, 2, 8, 9, 2, 2, 2, 5, 1},        {2, 3, 9, 8, 4, 7, 7, 2, 3}, /* the stem's */
    {1, 1, 4, 4, 2, 2, 2, 2, 0},        {1, 2, 3, 3, 2, 3, 3, 1, 2}, /* windows with one pixel */
    {1, 2, 3, 4, 2, 2, 3, 1, 4},                                     /* windows with none */
    {3, 3, 5, 5, 1, 5, 5, 5, 0},                                     /* one output */
    {1, 3, 4, 6, 2, 3, 1, 2, 1},        {1, 17, 3, 3, 17, 1, 1, 2, 0},
    {5, 1, 2, 3, 1, 2, 2, 1, 1},        {2, 3, 8, 6, 4, 3, 3, 2, 0, 1, 1},
    {1, 2, 9, 10, 2, 7, 7, 2, 2, 0, 1}, /* as TensorFlow's SAME */
    {1, 2, 4, 5, 3, 2, 2, 1, 0, 1, 1},  {1, 2, 6, 7, 2, 3, 3, 3, 1, 1, 0},
    {2, 3, 2, 2, 3, 3, 3, 2, 0, 1, 1}, /* fits only with one more */
};

static void test_conv2d_shape(const int *s, int layout, int accumulate) {
    int stride = s[7], padding = s[8];
    int oh = (s[2] + 2 * padding + s[9] - s[5]) / stride + 1;
    int ow = (s[3] + 2 * padding + s[10] - s[6]) / stride + 1;
    array x = draw(s[0], s[1], s[2], s[3]), f = draw(s[4], s[1], s[5], s[6]);
    array bias = draw(1, s[4], 1, 1), dy = draw(s[0], s[4], oh, ow);
    array y = zeros(s[0], s[4], oh, ow), before = draw(s[0], s[1], s[2], s[3]);
    array df = draw(s[4], s[1], s[5], s[6]), dbias = draw(1, s[4], 1, 1);
    array dx = base(&before, accumulate);
    placed px = place(&x, layout), pf = place(&f, layout), pbias = place(&bias, PLAIN);
    placed pdy = place(&dy, layout), py = place(&y, layout), pdx = place(&before, layout);
    placed pdf = place(&df, layout), pdbias = place(&dbias, PLAIN), other = place(&before, layout);
    placed other_f = place(&df, layout), other_bias = place(&dbias, PLAIN);

    convolve(&y, &x, &f, NULL, stride, padding);
    CHECK_OK(rn_conv2d_naive_forward(&py.t, &px.t, &pf.t, NULL, stride, padding, NULL));
    CHECK_SAME(py, y);
    convolve(&y, &x, &f, &bias, stride, padding);
    CHECK_OK(rn_conv2d_naive_forward(&py.t, &px.t, &pf.t, pbias.memory, stride, padding, NULL));
    CHECK_SAME(py, y);

    convolve_backward(&dx, &df, &dbias, &dy, &x, &f, stride, padding);
    CHECK_OK(rn_conv2d_naive_backward(&pdx.t, &pdf.t, pdbias.memory, &pdy.t, &px.t, &pf.t, stride,
                                      padding, accumulate, NULL));
    CHECK_SAME(pdx, dx);
    CHECK_SAME(pdf, df);
    CHECK_SAME(pdbias, dbias);

    /* One gradient at a time: the same. */
    CHECK_OK(rn_conv2d_naive_backward(&other.t, NULL, NULL, &pdy.t, &px.t, &pf.t, stride, padding,
                                      accumulate, NULL));
    CHECK_OK(rn_conv2d_naive_backward(NULL, &other_f.t, NULL, &pdy.t, &px.t, &pf.t, stride, padding,
                                      accumulate, NULL));
    CHECK_OK(rn_conv2d_naive_backward(NULL, NULL, other_bias.memory, &pdy.t, &px.t, &pf.t, stride,
                                      padding, accumulate, NULL));
    CHECK_SAME(other, dx);
    CHECK_SAME(other_f, df);
    CHECK_SAME(other_bias, dbias);
    CHECK_NEAR(distance(&px, &x) + distance(&pf, &f) + distance(&pdy, &dy), 0, 0); /* only read */
    release_all();
}

/* All ones: y counts the pixels under each window. With padding 0 in front and 1 behind the first
   window lies inside; with 1 on both sides the last one does. */
static void test_conv2d_one_sided(void) {
    rn_real ones[16], y[4], dx[16];
    const rn_tensor image = rn_tensor_in(ones, 1, 1, 4, 4), f = rn_tensor_in(ones, 1, 1, 3, 3);
    const rn_tensor dy = rn_tensor_in(ones, 1, 1, 2, 2);
    rn_tensor out = rn_tensor_in(y, 1, 1, 2, 2), gradient = rn_tensor_in(dx, 1, 1, 4, 4);
    int i;
    for (i = 0; i < 16; i++) ones[i] = 1;
    CHECK_OK(rn_conv2d_naive_forward(&out, &image, &f, NULL, 2, 0, NULL));
    CHECK(y[0] == 9 && y[1] == 6 && y[2] == 6 && y[3] == 4);
    CHECK_OK(rn_conv2d_naive_backward(&gradient, NULL, NULL, &dy, &image, &f, 2, 0, 0, NULL));
    for (i = 0; i < 16; i++) /* row and column 2 are under two windows */
        CHECK(dx[i] == (i / 4 == 2 ? 2 : 1) * (i % 4 == 2 ? 2 : 1));
    CHECK_OK(rn_conv2d_naive_forward(&out, &image, &f, NULL, 2, 1, NULL));
    CHECK(y[0] == 4 && y[1] == 6 && y[2] == 6 && y[3] == 9);
}

static void test_conv2d(void) {
    int i, layout, accumulate;
    test_conv2d_one_sided();
    for (i = 0; i < (int)(sizeof conv_shapes / sizeof conv_shapes[0]); i++)
        for (layout = 0; layout < LAYOUTS; layout++)
            for (accumulate = 0; accumulate < 2; accumulate++)
                test_conv2d_shape(conv_shapes[i], layout, accumulate);
}

/* ---- batch normalisation ------------------------------------------------------------------- */

/* Mean and M2 of one more value at a time (Welford), where the header makes two passes. */
static void moments(const array *x, int first, int end, int k, double *mean, double *variance) {
    double count = 0, m = 0, m2 = 0;
    int n, h, w;
    for (n = first; n < end; n++)
        for (h = 0; h < x->h; h++)
            for (w = 0; w < x->w; w++) {
                double step = *at(x, n, k, h, w) - m;
                m += step / ++count;
                m2 += step * (*at(x, n, k, h, w) - m);
            }
    *mean = m;
    *variance = m2 / count;
}

/* dx by the whole Jacobian: dx_i = sum over j of dy_j dy_j/dx_i with
   dx^_j/dx_i = ((i == j) - 1/m - x^_i x^_j / m) / sqrt(variance + eps). */
static void normalise_backward(array *dx, array *dweight, array *dbias, const array *dy,
                               const array *x, double weight, int first, int end, int k,
                               double eps) {
    double mean, variance, m = (double)(end - first) * x->h * x->w, root;
    int n, h, w, n2, h2, w2;
    moments(x, first, end, k, &mean, &variance);
    root = sqrt(variance + eps);
    for (n = first; n < end; n++)
        for (h = 0; h < x->h; h++)
            for (w = 0; w < x->w; w++) {
                double normal = (*at(x, n, k, h, w) - mean) / root;
                dweight->v[k] += *at(dy, n, k, h, w) * normal;
                dbias->v[k] += *at(dy, n, k, h, w);
                for (n2 = first; n2 < end; n2++)
                    for (h2 = 0; h2 < x->h; h2++)
                        for (w2 = 0; w2 < x->w; w2++) {
                            double normal2 = (*at(x, n2, k, h2, w2) - mean) / root;
                            int same = n == n2 && h == h2 && w == w2;
                            *at(dx, n, k, h, w) += *at(dy, n2, k, h2, w2) * weight *
                                                   (same - 1 / m - normal * normal2 / m) / root;
                        }
            }
}

static void test_batch_norm_shape(int images, int channels, int rows, int columns, int group,
                                  int layout, int accumulate) {
    double eps = 1e-3, mean, variance;
    int size = group && group < images ? group : images, groups = (images + size - 1) / size;
    /* x^ of two values is -1 and 1 but for eps, and dx the little that a cancellation leaves. */
    double tolerance = DOUBLE ? 1e-11 : size * rows * columns == 2 ? 1e-4 : 1e-6;
    array x = draw(images, channels, rows, columns), dy = draw(images, channels, rows, columns);
    array weight = draw(1, channels, 1, 1), bias = draw(1, channels, 1, 1);
    array y = zeros(images, channels, rows, columns), statistics = zeros(groups, 2, channels, 1);
    array before = draw(images, channels, rows, columns), dx = base(&before, accumulate);
    array dweight = draw(1, channels, 1, 1), dbias = draw(1, channels, 1, 1);
    array dweight_before = base(&dweight, 1);
    placed px = place(&x, layout), pdy = place(&dy, layout), py = place(&y, layout);
    placed pweight = place(&weight, PLAIN), pbias = place(&bias, PLAIN);
    placed pstatistics = place(&statistics, PLAIN), pdx = place(&before, layout);
    placed pdweight = place(&dweight, PLAIN), pdbias = place(&dbias, PLAIN);
    placed other = place(&before, layout), in_place = place(&dy, layout);
    int g, k, n, h, w;

    for (g = 0; g < groups; g++)
        for (k = 0; k < channels; k++) {
            int first = g * size, end = first + size < images ? first + size : images;
            moments(&x, first, end, k, &mean, &variance);
            *at(&statistics, g, 0, k, 0) = mean;
            *at(&statistics, g, 1, k, 0) = variance;
            for (n = first; n < end; n++)
                for (h = 0; h < rows; h++)
                    for (w = 0; w < columns; w++)
                        *at(&y, n, k, h, w) =
                            (*at(&x, n, k, h, w) - mean) / sqrt(variance + eps) * weight.v[k] +
                            bias.v[k];
            normalise_backward(&dx, &dweight, &dbias, &dy, &x, weight.v[k], first, end, k, eps);
        }
    CHECK_OK(rn_batch_norm_forward(&py.t, pstatistics.memory, &px.t, pweight.memory, pbias.memory,
                                   eps, group, NULL));
    CHECK_SAME(py, y);
    CHECK_SAME(pstatistics, statistics);
    CHECK_OK(rn_batch_norm_backward(&pdx.t, pdweight.memory, pdbias.memory, &pdy.t, &px.t,
                                    pstatistics.memory, pweight.memory, eps, group, accumulate,
                                    NULL));
    CHECK_NEAR(distance(&pdx, &dx), 0, tolerance);
    CHECK_SAME(pdweight, dweight);
    CHECK_SAME(pdbias, dbias);

    CHECK_OK(rn_batch_norm_backward(&other.t, NULL, NULL, &pdy.t, &px.t, pstatistics.memory,
                                    pweight.memory, eps, group, accumulate, NULL));
    CHECK_NEAR(distance(&other, &dx), 0, tolerance);
    CHECK_OK(rn_batch_norm_backward(NULL, pdweight.memory, NULL, &pdy.t, &px.t, pstatistics.memory,
                                    pweight.memory, eps, group, accumulate, NULL));
    for (k = 0; k < channels; k++) dweight.v[k] += dweight.v[k] - dweight_before.v[k];
    CHECK_NEAR(distance(&pdweight, &dweight), 0, 2 * tolerance); /* added once more */
    if (!accumulate) {
        CHECK_OK(rn_batch_norm_backward(&in_place.t, NULL, NULL, &in_place.t, &px.t,
                                        pstatistics.memory, pweight.memory, eps, group, 0, NULL));
        CHECK_NEAR(distance(&in_place, &dx), 0, tolerance);
    }
    CHECK_NEAR(distance(&px, &x) + distance(&pdy, &dy), 0, 0);
    CHECK_OK(rn_batch_norm_forward(&px.t, pstatistics.memory, &px.t, pweight.memory, pbias.memory,
                                   eps, group, NULL));
    CHECK_SAME(px, y);
    release_all();
}

/* Values of small deviation around a large mean: E[x^2] - E[x]^2 in float would have no digit. */
static void test_batch_norm_large_mean(void) {
    array x = zeros(4, 1, 8, 8), statistics = zeros(1, 2, 1, 1);
    rn_real weight = 1, bias = 0;
    placed px, py = place_empty(4, 1, 8, 8, PLAIN), pstatistics = place(&statistics, PLAIN);
    ptrdiff_t i;
    for (i = 0; i < size_of(&x); i++) x.v[i] = (double)(rn_real)(4096 + number() / 64);
    px = place(&x, PLAIN);
    moments(&x, 0, 4, 0, &statistics.v[0], &statistics.v[1]);
    CHECK_OK(
        rn_batch_norm_forward(&py.t, pstatistics.memory, &px.t, &weight, &bias, 1e-12, 0, NULL));
    CHECK_NEAR(pstatistics.memory[0], statistics.v[0], TOLERANCE * 4096);
    CHECK_NEAR(pstatistics.memory[1], statistics.v[1], (DOUBLE ? 1e-8 : 1e-6) * statistics.v[1]);
    for (i = 0; i < size_of(&x); i++)
        x.v[i] = (x.v[i] - statistics.v[0]) / sqrt(statistics.v[1] + 1e-12);
    CHECK_NEAR(distance(&py, &x), 0, DOUBLE ? 1e-8 : 1e-6);
    release_all();
}

/* Running statistics of `images` images of 6 pixels in groups of `group`, by sums over images. */
static void test_batch_norm_update(int images, int group) {
    const int size = group && group < images ? group : images, channels = 5;
    int groups = (images + size - 1) / size, n, c;
    array running = draw(1, 2, channels, 1), statistics = draw(groups, 2, channels, 1);
    placed prunning = place(&running, PLAIN), pstatistics = place(&statistics, PLAIN);
    for (c = 0; c < channels; c++) {
        double mean = 0, variance = 0;
        for (n = 0; n < images; n++) {
            int g = n / size, count = g < images / size ? size : images % size;
            mean += *at(&statistics, g, 0, c, 0) / images;
            variance += *at(&statistics, g, 1, c, 0) * 6 * count / (6 * count - 1) / images;
        }
        running.v[c] += 0.3 * (mean - running.v[c]);
        running.v[channels + c] += 0.3 * (variance - running.v[channels + c]);
    }
    rn_batch_norm_update(prunning.memory, prunning.memory + channels, pstatistics.memory, images,
                         group, channels, 6, 0.3);
    CHECK_SAME(prunning, running);
    release_all();
}

/* Without images there is nothing to do, and so nothing to refuse. */
static void test_batch_norm_of_none(void) {
    rn_real numbers[16], running[2] = {5, 7};
    rn_tensor none = rn_tensor_in(numbers, 0, 8, 1, 1);
    int i;
    for (i = 0; i < 16; i++) numbers[i] = 3;
    CHECK_OK(rn_batch_norm_forward(&none, numbers, &none, numbers, numbers, 1e-5, 0, NULL));
    CHECK_OK(rn_batch_norm_backward(&none, numbers, numbers, &none, &none, numbers, numbers, 1e-5,
                                    0, 0, NULL));
    for (i = 0; i < 16; i++) CHECK_NEAR(numbers[i], 3, 0);
    rn_batch_norm_update(running, running + 1, numbers, 0, 0, 1, 1, 0.1);
    CHECK_NEAR(running[0], 5, 0);
    CHECK_NEAR(running[1], 7, 0);
}

static void test_batch_norm_running(void) {
    double eps = 1e-2;
    int channels = 5, n, c, h, w, layout;
    array running = draw(1, 2, channels, 1), x = draw(2, channels, 3, 2);
    array y = zeros(2, channels, 3, 2);
    array weight = draw(1, channels, 1, 1), bias = draw(1, channels, 1, 1);
    placed prunning;
    placed pweight = place(&weight, PLAIN), pbias = place(&bias, PLAIN);
    for (c = 0; c < 2 * channels; c++) running.v[c] = (double)(rn_real)fabs(running.v[c]);
    prunning = place(&running, PLAIN);
    RN__EACH(&y)
        *at(&y, n, c, h, w) = bias.v[c] + weight.v[c] * (*at(&x, n, c, h, w) - running.v[c]) /
                                              sqrt(running.v[channels + c] + eps);
    for (layout = 0; layout < LAYOUTS; layout++) {
        placed px = place(&x, layout), py = place_empty(2, channels, 3, 2, layout);
        CHECK_OK(rn_batch_norm_inference(&py.t, &px.t, pweight.memory, pbias.memory,
                                         prunning.memory, prunning.memory + channels, eps, NULL));
        CHECK_SAME(py, y);
    }
    release_all();
}

static void test_batch_norm(void) {
    /* N C H W, group */
    static const int shapes[][5] = {{1, 1, 1, 2, 0}, {2, 3, 1, 1, 0}, {3, 17, 3, 2, 0},
                                    {5, 3, 2, 1, 2}, {4, 2, 3, 3, 2}, {4, 1, 2, 2, 1},
                                    {3, 2, 2, 2, 9}, {6, 3, 1, 1, 3}};
    int i, layout, accumulate;
    for (i = 0; i < (int)(sizeof shapes / sizeof shapes[0]); i++)
        for (layout = 0; layout < LAYOUTS; layout++)
            for (accumulate = 0; accumulate < 2; accumulate++)
                test_batch_norm_shape(shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3],
                                      shapes[i][4], layout, accumulate);
    test_batch_norm_large_mean();
    test_batch_norm_update(6, 2);
    test_batch_norm_update(5, 0);
    test_batch_norm_update(5, 8);
    test_batch_norm_update(7, 3); /* 3, 3 and 1 */
    test_batch_norm_update(5, 4);
    test_batch_norm_running();
    test_batch_norm_of_none();
}

/* ---- norms of an image and a group of channels; standardised weights ------------------------- */

/* Mean and biased variance of m numbers, as above. */
static void moments_of(const double *x, int m, double *mean, double *variance) {
    double average = 0, m2 = 0;
    int i;
    for (i = 0; i < m; i++) {
        const double step = x[i] - average;
        average += step / (i + 1);
        m2 += step * (x[i] - average);
    }
    *mean = average;
    *variance = m2 / m;
}

static double logistic(double z) { return 0.5 + 0.5 * tanh(0.5 * z); }

/* What a norm of groups reads and makes. v is that of EvoNorm-S0, whose gate it turns; NULL for
   group normalisation. */
typedef struct grouped {
    const array *x, *dy, *weight, *bias, *v;
    array *y, *dx, *dweight, *dbias, *dv;
} grouped;

/* One group of m numbers from place `first` on, of channels of `plane` pixels from k on. Backward
   by the whole Jacobian, row by row: y_j of every x_i. */
static void normalise_group(const grouped *o, ptrdiff_t first, int m, int k, int plane,
                            double eps) {
    const double *x = o->x->v + first, *dy = o->dy->v + first;
    double mean, variance, root;
    int i, j;
    moments_of(x, m, &mean, &variance);
    root = sqrt(variance + eps);
    for (j = 0; j < m; j++) {
        const int at_j = k + j / plane;
        const double weight = o->weight->v[at_j], v = o->v ? o->v->v[at_j] : 0;
        const double s = logistic(v * x[j]), slope = s * (1 - s);
        const double normal = o->v ? x[j] * s / root : (x[j] - mean) / root;
        o->y->v[first + j] = normal * weight + o->bias->v[at_j];
        o->dweight->v[at_j] += dy[j] * normal;
        o->dbias->v[at_j] += dy[j];
        if (o->v) o->dv->v[at_j] += dy[j] * weight * x[j] * x[j] * slope / root;
        for (i = 0; i < m; i++) {
            const double by_root = -(x[i] - mean) / (m * root * root); /* d ln(1 / root) / d x_i */
            const double own = o->v ? s + v * x[j] * slope : 1, others = o->v ? 0 : 1.0 / m;
            o->dx->v[first + i] +=
                dy[j] * weight * (((i == j) * own - others) / root + normal * by_root);
        }
    }
}

static void test_grouped_shape(const int *s, int evonorm, int layout, int accumulate) {
    const int channels = s[1], groups = s[4], plane = s[2] * s[3], m = channels / groups * plane;
    const double eps = 1e-3;
    /* a mean taken from two numbers leaves little of them */
    const double tolerance = DOUBLE ? 1e-11 : m == 2 ? 1e-4 : 1e-6;
    array x = draw(s[0], channels, s[2], s[3]), dy = draw(s[0], channels, s[2], s[3]);
    array weight = draw(1, channels, 1, 1), bias = draw(1, channels, 1, 1);
    array v = draw(1, channels, 1, 1), y = zeros(s[0], channels, s[2], s[3]);
    array before = draw(s[0], channels, s[2], s[3]), dx = base(&before, accumulate);
    array dweight = draw(1, channels, 1, 1), dbias = draw(1, channels, 1, 1);
    array dv = draw(1, channels, 1, 1), dbias_before = base(&dbias, 1);
    placed px = place(&x, layout), pdy = place(&dy, layout), py = place(&dx, layout);
    placed pweight = place(&weight, PLAIN), pbias = place(&bias, PLAIN), pv = place(&v, PLAIN);
    placed pdx = place(&before, layout), pdweight = place(&dweight, PLAIN);
    placed pdbias = place(&dbias, PLAIN), pdv = place(&dv, PLAIN);
    placed other = place(&before, layout), in_place = place(&dy, layout);
    grouped o;
    int i;
    o.x = &x, o.dy = &dy, o.weight = &weight, o.bias = &bias, o.v = evonorm ? &v : NULL;
    o.y = &y, o.dx = &dx, o.dweight = &dweight, o.dbias = &dbias, o.dv = &dv;
    for (i = 0; i < s[0] * groups; i++)
        normalise_group(&o, (ptrdiff_t)i * m, m, i % groups * (channels / groups), plane, eps);

#define GROUPED_FORWARD(y, x)                                                                   \
    (evonorm                                                                                    \
         ? rn_evonorm_forward(y, x, pweight.memory, pbias.memory, pv.memory, eps, groups, NULL) \
         : rn_group_norm_forward(y, x, pweight.memory, pbias.memory, eps, groups, NULL))
#define GROUPED_BACKWARD(dx, dw, db, dv, dy, adds)                                                \
    (evonorm                                                                                      \
         ? rn_evonorm_backward(dx, dw, db, dv, dy, &px.t, pweight.memory, pv.memory, eps, groups, \
                               adds, NULL)                                                        \
         : rn_group_norm_backward(dx, dw, db, dy, &px.t, pweight.memory, eps, groups, adds, NULL))
    CHECK_OK(GROUPED_FORWARD(&py.t, &px.t));
    CHECK_SAME(py, y);
    CHECK_OK(
        GROUPED_BACKWARD(&pdx.t, pdweight.memory, pdbias.memory, pdv.memory, &pdy.t, accumulate));
    CHECK_NEAR(distance(&pdx, &dx), 0, tolerance);
    CHECK_NEAR(distance(&pdweight, &dweight), 0, 3 * TOLERANCE); /* sums in rn_real */
    CHECK_NEAR(distance(&pdbias, &dbias), 0, 3 * TOLERANCE);
    CHECK_NEAR(distance(&pdv, &dv), 0, 3 * TOLERANCE);
    CHECK_OK(GROUPED_BACKWARD(&other.t, NULL, NULL, NULL, &pdy.t, accumulate));
    CHECK_NEAR(distance(&other, &dx), 0, tolerance);
    CHECK_OK(GROUPED_BACKWARD(NULL, NULL, pdbias.memory, NULL, &pdy.t, accumulate));
    for (i = 0; i < channels; i++) dbias.v[i] += dbias.v[i] - dbias_before.v[i];
    CHECK_NEAR(distance(&pdbias, &dbias), 0, 6 * TOLERANCE); /* added once more */
    CHECK_NEAR(distance(&pdweight, &dweight), 0, 3 * TOLERANCE);
    if (!accumulate) {
        CHECK_OK(GROUPED_BACKWARD(&in_place.t, NULL, NULL, NULL, &in_place.t, 0));
        CHECK_NEAR(distance(&in_place, &dx), 0, tolerance);
    }
    CHECK_NEAR(distance(&px, &x) + distance(&pdy, &dy), 0, 0);
    CHECK_OK(GROUPED_FORWARD(&px.t, &px.t));
    CHECK_SAME(px, y);
    release_all();
}

/* Channels 1 3 and 5 7, whose variance is 5, and 1 in groups of one channel; eps makes the roots
   whole numbers. */
static void test_grouped_by_hand(void) {
    static const rn_real weight[2] = {1, 2}, bias[2] = {0, 1}, none[2] = {0, 0};
    static const double all[4] = {-1, -1.0 / 3, 5.0 / 3, 3}, single[4] = {-0.5, 0.5, 0, 2};
    rn_real data[4] = {1, 3, 5, 7}, out[4], v[2];
    const rn_tensor x = rn_tensor_in(data, 1, 2, 1, 2);
    rn_tensor y = rn_tensor_in(out, 1, 2, 1, 2);
    int i;
    CHECK_OK(rn_group_norm_forward(&y, &x, weight, bias, 4, 1, NULL));
    for (i = 0; i < 4; i++) CHECK_NEAR(out[i], all[i], TOLERANCE);
    CHECK_OK(rn_group_norm_forward(&y, &x, weight, bias, 3, 2, NULL));
    for (i = 0; i < 4; i++) CHECK_NEAR(out[i], single[i], TOLERANCE);
    CHECK_OK(rn_evonorm_forward(&y, &x, weight, bias, none, 4, 1, NULL)); /* a gate half open */
    for (i = 0; i < 4; i++)
        CHECK_NEAR(out[i], data[i] / 6 * weight[i / 2] + bias[i / 2], 3 * TOLERANCE);
    v[0] = (rn_real)log(3.0), v[1] = -v[0]; /* sigmoid(v) is 3/4, and at 3 it is 27/28 */
    CHECK_OK(rn_evonorm_forward(&y, &x, weight, bias, v, 4, 1, NULL));
    CHECK_NEAR(out[0], 0.25, TOLERANCE);
    CHECK_NEAR(out[1], 27.0 / 28, TOLERANCE);
    CHECK_NEAR(out[2], 1 + 10.0 / 3 / 244, TOLERANCE); /* 1 / (1 + 3^5) */
    v[0] = 1000, v[1] = -1000;                         /* shut, or open, and never inf / inf */
    CHECK_OK(rn_evonorm_forward(&y, &x, weight, bias, v, 4, 1, NULL));
    CHECK_NEAR(out[0], 1.0 / 3, TOLERANCE);
    CHECK_NEAR(out[3], 1, TOLERANCE);
}

/* What is no number spoils its image's group, and nothing else. */
static void test_grouped_nan(void) {
    int evonorm, n, c, h, w;
    for (evonorm = 0; evonorm < 2; evonorm++) {
        array x = draw(2, 4, 3, 1), weight = draw(1, 4, 1, 1), dy = draw(2, 4, 3, 1);
        placed px = place(&x, PLAIN), py = place_empty(2, 4, 3, 1, PLAIN), pdy = place(&dy, PLAIN);
        placed pweight = place(&weight, PLAIN), pdx = place_empty(2, 4, 3, 1, PLAIN);
        *rn__at(&px.t, 1, 2, 1, 0) = (rn_real)NAN;
        if (evonorm) {
            CHECK_OK(rn_evonorm_forward(&py.t, &px.t, pweight.memory, pweight.memory,
                                        pweight.memory, 1e-5, 2, NULL));
            CHECK_OK(rn_evonorm_backward(&pdx.t, NULL, NULL, NULL, &pdy.t, &px.t, pweight.memory,
                                         pweight.memory, 1e-5, 2, 0, NULL));
        } else {
            CHECK_OK(
                rn_group_norm_forward(&py.t, &px.t, pweight.memory, pweight.memory, 1e-5, 2, NULL));
            CHECK_OK(rn_group_norm_backward(&pdx.t, NULL, NULL, &pdy.t, &px.t, pweight.memory, 1e-5,
                                            2, 0, NULL));
        }
        RN__EACH(&x) {
            CHECK_INT(isnan(*rn__at(&py.t, n, c, h, w)) != 0, n == 1 && c >= 2);
            CHECK_INT(isnan(*rn__at(&pdx.t, n, c, h, w)) != 0, n == 1 && c >= 2);
        }
        release_all();
    }
}

/* A filter is a group without weight and bias, whatever tensor it lies in. */
static void test_standardise_shape(const int *s, int layout) {
    const int m = s[1] * s[2] * s[3];
    const double eps = 1e-3, tolerance = DOUBLE ? 1e-11 : m == 2 ? 1e-4 : 1e-6;
    array f = draw(s[0], s[1], s[2], s[3]), dy = draw(s[0], s[1], s[2], s[3]);
    array y = zeros(s[0], s[1], s[2], s[3]), dx = zeros(s[0], s[1], s[2], s[3]);
    array one = zeros(1, s[1], 1, 1), none = zeros(1, s[1], 1, 1), rest = zeros(1, s[1], 1, 1);
    placed pf = place(&f, layout), pdy = place(&dy, layout), py = place(&dy, layout);
    placed pdx = place(&dy, layout), in_place = place(&dy, layout);
    grouped o;
    int k;
    for (k = 0; k < s[1]; k++) one.v[k] = 1;
    o.x = &f, o.dy = &dy, o.weight = &one, o.bias = &none, o.v = NULL;
    o.y = &y, o.dx = &dx, o.dweight = o.dbias = o.dv = &rest;
    for (k = 0; k < s[0]; k++) normalise_group(&o, (ptrdiff_t)k * m, m, 0, s[2] * s[3], eps);
    CHECK_OK(rn_standardise_forward(&py.t, &pf.t, eps, NULL));
    CHECK_SAME(py, y);
    CHECK_OK(rn_standardise_backward(&pdx.t, &pdy.t, &pf.t, eps, NULL));
    CHECK_NEAR(distance(&pdx, &dx), 0, tolerance);
    CHECK_OK(rn_standardise_backward(&in_place.t, &in_place.t, &pf.t, eps, NULL));
    CHECK_NEAR(distance(&in_place, &dx), 0, tolerance);
    CHECK_NEAR(distance(&pf, &f) + distance(&pdy, &dy), 0, 0);
    CHECK_OK(rn_standardise_forward(&pf.t, &pf.t, eps, NULL));
    CHECK_SAME(pf, y);
    release_all();
}

static void test_standardise_by_hand(void) {
    static const double want[4] = {-1, -1.0 / 3, 1.0 / 3, 1};
    rn_real data[8] = {1, 3, 5, 7, 2, 2, 2, 2}, out[8];
    const rn_tensor f = rn_tensor_in(data, 2, 1, 2, 2);
    rn_tensor y = rn_tensor_in(out, 2, 1, 2, 2);
    int i;
    CHECK_OK(rn_standardise_forward(&y, &f, 4, NULL));
    for (i = 0; i < 4; i++) CHECK_NEAR(out[i], want[i], TOLERANCE);
    for (i = 4; i < 8; i++) CHECK_NEAR(out[i], 0, 0); /* a filter of one number */
    data[1] = (rn_real)NAN;
    CHECK_OK(rn_standardise_forward(&y, &f, 4, NULL));
    for (i = 0; i < 8; i++) CHECK_INT(isnan(out[i]) != 0, i < 4);
}

static void test_grouped(void) {
    /* N C H W, groups: of one, of several channels, of all; of two numbers. */
    static const int shapes[][5] = {{1, 1, 1, 2, 1}, {2, 3, 3, 2, 3}, {3, 6, 2, 3, 2},
                                    {2, 4, 1, 1, 2}, {1, 5, 3, 3, 1}, {2, 17, 1, 3, 17},
                                    {2, 8, 3, 1, 4}, {1, 34, 2, 1, 2}};
    static const int filters[][4] = {{1, 1, 1, 2}, {3, 2, 3, 3}, {2, 17, 1, 1}, {4, 3, 7, 7}};
    int i, layout, accumulate, evonorm;
    for (layout = 0; layout < LAYOUTS; layout++) {
        for (i = 0; i < (int)(sizeof shapes / sizeof shapes[0]); i++)
            for (accumulate = 0; accumulate < 2; accumulate++)
                for (evonorm = 0; evonorm < 2; evonorm++)
                    test_grouped_shape(shapes[i], evonorm, layout, accumulate);
        for (i = 0; i < (int)(sizeof filters / sizeof filters[0]); i++)
            test_standardise_shape(filters[i], layout);
    }
    test_grouped_by_hand();
    test_grouped_nan();
    test_standardise_by_hand();
}

/* ---- element by element -------------------------------------------------------------------- */

/* Shapes that all layers without a kernel are tried with. */
static const int plain_shapes[][4] = {{1, 1, 1, 1}, {2, 3, 4, 5}, {3, 17, 1, 1}, {1, 3, 7, 3}};
#define PLAIN_SHAPES ((int)(sizeof plain_shapes / sizeof plain_shapes[0]))

static void test_relu(const int *s, int layout, int accumulate) {
    array x = draw(s[0], s[1], s[2], s[3]), dy = draw(s[0], s[1], s[2], s[3]), y, dx;
    array before = draw(s[0], s[1], s[2], s[3]);
    placed px, py, pdy = place(&dy, layout), pdx = place(&before, layout);
    ptrdiff_t i;
    x.v[size_of(&x) / 2] = 0;
    y = copy(&x);
    dx = base(&before, accumulate);
    for (i = 0; i < size_of(&x); i++) {
        y.v[i] = (x.v[i] + fabs(x.v[i])) / 2;
        if (x.v[i] > 0) dx.v[i] += dy.v[i];
    }
    px = place(&x, layout);
    py = place_empty(s[0], s[1], s[2], s[3], layout);
    CHECK_OK(rn_relu_forward(&py.t, &px.t, NULL));
    CHECK_SAME(py, y);
    CHECK_OK(rn_relu_forward(&px.t, &px.t, NULL));
    CHECK_SAME(px, y);
    CHECK_OK(rn_relu_backward(&pdx.t, &pdy.t, &py.t, accumulate, NULL));
    CHECK_SAME(pdx, dx);
    CHECK_OK(rn_relu_backward(NULL, &pdy.t, &py.t, accumulate, NULL));
    CHECK_NEAR(distance(&pdy, &dy), 0, 0);
    if (!accumulate) {
        CHECK_OK(rn_relu_backward(&pdy.t, &pdy.t, &py.t, 0, NULL));
        CHECK_SAME(pdy, dx);
    }
    release_all();
}

static void test_gate(const int *s, int layout, int accumulate, int complement) {
    array x = draw(s[0], s[1], s[2], s[3]), z = draw(s[0], s[1], s[2], s[3]);
    array dy = draw(s[0], s[1], s[2], s[3]), y = zeros(s[0], s[1], s[2], s[3]);
    array before = draw(s[0], s[1], s[2], s[3]);
    array dx = base(&before, accumulate), dz = base(&before, !accumulate);
    placed px = place(&x, layout), pz, pdy = place(&dy, layout), py = place(&y, layout);
    placed pdx = place(&before, layout), pdz = place(&before, layout);
    placed other_x = place(&before, layout), other_z = place(&before, layout);
    ptrdiff_t i;
    for (i = 0; i < size_of(&x); i++) {
        double gate, slope;
        z.v[i] *= 8;
        gate = logistic(z.v[i]);
        slope = gate * (1 - gate);
        y.v[i] = x.v[i] * (complement ? 1 - gate : gate);
        dx.v[i] += dy.v[i] * (complement ? 1 - gate : gate);
        dz.v[i] += dy.v[i] * x.v[i] * (complement ? -slope : slope);
    }
    pz = place(&z, layout);
    CHECK_OK(rn_gate_forward(&py.t, &px.t, &pz.t, complement, NULL));
    CHECK_SAME(py, y);
    CHECK_OK(rn_gate_backward(&pdx.t, &pdz.t, &pdy.t, &px.t, &pz.t, complement, accumulate,
                              !accumulate, NULL));
    CHECK_SAME(pdx, dx);
    CHECK_SAME(pdz, dz);
    CHECK_OK(rn_gate_backward(&other_x.t, NULL, &pdy.t, &px.t, &pz.t, complement, accumulate,
                              !accumulate, NULL));
    CHECK_OK(rn_gate_backward(NULL, &other_z.t, &pdy.t, &px.t, &pz.t, complement, accumulate,
                              !accumulate, NULL));
    CHECK_SAME(other_x, dx);
    CHECK_SAME(other_z, dz);
    if (!accumulate) {
        CHECK_OK(rn_gate_backward(&pdy.t, NULL, &pdy.t, &px.t, &pz.t, complement, 0, 0, NULL));
        CHECK_SAME(pdy, dx);
    }
    CHECK_OK(rn_gate_forward(&px.t, &px.t, &pz.t, complement, NULL));
    CHECK_SAME(px, y);
    release_all();
}

static rn_key key_of(uint64_t seed, uint64_t purpose, uint64_t epoch) {
    rn_key key;
    key.seed = seed;
    key.purpose = purpose;
    key.epoch = epoch;
    return key;
}

static void test_dropout(const int *s, int layout, int accumulate) {
    static const double ratios[] = {0, 0.5, 0.75};
    rn_key key = key_of(7, RN_PURPOSE_DROPOUT, 3);
    array x = draw(s[0], s[1], s[2], s[3]), before = draw(s[0], s[1], s[2], s[3]);
    int i, n, c, h, w;
    for (i = 0; i < 3; i++) {
        array y = base(&before, accumulate);
        placed px = place(&x, layout), py = place(&before, layout);
        RN__EACH(&y) {
            uint64_t index = (uint64_t)(at(&x, n, c, h, w) - x.v); /* n C H W + c H W + h W + w */
            if ((double)(rn_random(key, index / 4) >> 16 * (index % 4) & 65535) / 65536 >=
                ratios[i])
                *at(&y, n, c, h, w) += *at(&x, n, c, h, w);
        }
        CHECK_OK(rn_dropout(&py.t, &px.t, ratios[i], key, accumulate, NULL));
        CHECK_SAME(py, y);
        CHECK_OK(rn_dropout(NULL, &px.t, ratios[i], key, accumulate, NULL));
        CHECK_NEAR(distance(&px, &x), 0, 0);
        if (!accumulate) {
            CHECK_OK(rn_dropout(&px.t, &px.t, ratios[i], key, 0, NULL));
            CHECK_SAME(px, y);
        }
    }
    release_all();
}

/* Of many elements, the ratio; and of another key, other elements. */
static void test_dropout_ratio(void) {
    array x = zeros(4, 16, 16, 16);
    placed px, py = place(&x, PLAIN), other = place(&x, PLAIN);
    ptrdiff_t i, dropped = 0, both = 0;
    for (i = 0; i < size_of(&x); i++) x.v[i] = 1;
    px = place(&x, PLAIN);
    CHECK_OK(rn_dropout(&py.t, &px.t, 0.25, key_of(1, RN_PURPOSE_DROPOUT, 1), 0, NULL));
    CHECK_OK(rn_dropout(&other.t, &px.t, 0.25, key_of(1, RN_PURPOSE_DROPOUT, 2), 0, NULL));
    for (i = 0; i < size_of(&x); i++) {
        dropped += py.memory[i] == 0;
        both += py.memory[i] == 0 && other.memory[i] == 0;
    }
    CHECK_NEAR((double)dropped / (double)size_of(&x), 0.25, 0.015);
    CHECK_NEAR((double)both / (double)size_of(&x), 0.0625, 0.01);
    release_all();
}

static void test_add_and_scale(const int *s, int layout, int accumulate) {
    array a = draw(s[0], s[1], s[2], s[3]), b = draw(s[0], s[1], s[2], s[3]);
    array sum = copy(&a), twice = copy(&a), before = draw(s[0], s[1], s[2], s[3]);
    array scaled = base(&before, accumulate);
    placed pa = place(&a, layout), pb = place(&b, layout), other = place(&a, layout);
    placed psum = place_empty(s[0], s[1], s[2], s[3], layout), pscaled = place(&before, layout);
    ptrdiff_t i;
    for (i = 0; i < size_of(&a); i++) {
        sum.v[i] += b.v[i];
        twice.v[i] *= 2;
        scaled.v[i] -= 0.375 * a.v[i];
    }
    CHECK_OK(rn_add(&psum.t, &pa.t, &pb.t, NULL));
    CHECK_SAME(psum, sum);
    CHECK_OK(rn_scale(&pscaled.t, &pa.t, -0.375, accumulate, NULL));
    CHECK_SAME(pscaled, scaled);
    CHECK_OK(rn_scale(NULL, &pa.t, -0.375, accumulate, NULL));
    CHECK_NEAR(distance(&pa, &a) + distance(&pb, &b), 0, 0);
    CHECK_OK(rn_add(&pb.t, &pa.t, &pb.t, NULL));
    CHECK_SAME(pb, sum);
    CHECK_OK(rn_scale(&other.t, &other.t, 1, 1, NULL));
    CHECK_SAME(other, twice);
    CHECK_OK(rn_add(&pa.t, &pa.t, &pa.t, NULL));
    CHECK_SAME(pa, twice);
    release_all();
}

/* ---- pools and shortcut A ------------------------------------------------------------------ */

/* N C H W, kernel, stride, padding. */
static const int pool_shapes[][7] = {
    {1, 1, 1, 1, 1, 1, 0}, {2, 3, 7, 5, 3, 2, 1}, {1, 17, 4, 4, 2, 2, 0}, {1, 2, 5, 6, 2, 3, 1},
    {2, 1, 3, 3, 3, 1, 2}, {1, 3, 1, 1, 3, 2, 1}, {1, 1, 2, 9, 5, 4, 4},  {1, 2, 6, 6, 1, 4, 0}};

/* Pixel by pixel, from the top left: each looks at every window that holds it. */
static void pool_oracle(const array *x, const array *dy, int kernel, int stride, int padding,
                        array *largest, array *mean, array *dlargest, array *dmean) {
    array count = zeros(dy->n, dy->c, dy->h, dy->w), winner = zeros(dy->n, dy->c, dy->h, dy->w);
    int n, c, h, w, oh, ow, pass;
    RN__EACH(dy) *at(largest, n, c, h, w) = -HUGE_VAL;
    for (pass = 0; pass < 3; pass++)
        RN__EACH(x)
            for (oh = 0; oh < dy->h; oh++)
                for (ow = 0; ow < dy->w; ow++) {
                    int top = oh * stride - padding, left = ow * stride - padding;
                    double v = *at(x, n, c, h, w), *best = at(largest, n, c, oh, ow);
                    if (h < top || h >= top + kernel || w < left || w >= left + kernel) continue;
                    if (pass == 0) {
                        *at(&count, n, c, oh, ow) += 1;
                        if (v > *best) *best = v, *at(&winner, n, c, oh, ow) = h * x->w + w;
                    } else if (pass == 1) {
                        *at(mean, n, c, oh, ow) += v / *at(&count, n, c, oh, ow);
                    } else {
                        *at(dmean, n, c, h, w) += *at(dy, n, c, oh, ow) / *at(&count, n, c, oh, ow);
                        if ((int)*at(&winner, n, c, oh, ow) == h * x->w + w)
                            *at(dlargest, n, c, h, w) += *at(dy, n, c, oh, ow);
                    }
                }
}

/* The same by a larger image with a little more than zero at its edge, which wins against a zero of
   the image, too, and keeps its gradient. */
static void test_zero_pool_shape(const int *s, int layout, int accumulate, int ties) {
    const int kernel = s[4], stride = s[5], padding = s[6];
    const int oh = (s[2] + 2 * padding - kernel) / stride + 1;
    const int ow = (s[3] + 2 * padding - kernel) / stride + 1;
    array x = draw(s[0], s[1], s[2], s[3]), before = draw(s[0], s[1], s[2], s[3]);
    array dy = draw(s[0], s[1], oh, ow), largest = zeros(s[0], s[1], oh, ow);
    array mean = zeros(s[0], s[1], oh, ow), dx = base(&before, accumulate);
    array padded = zeros(s[0], s[1], s[2] + 2 * padding, s[3] + 2 * padding);
    array dpadded = copy(&padded), dmean = copy(&padded);
    placed px, pdy = place(&dy, layout), py = place(&dy, layout), pdx = place(&before, layout);
    ptrdiff_t i;
    int n, c, h, w;
    for (i = 0; i < size_of(&x);
         i++) /* most below zero; ties are whole numbers, zeros among them */
        x.v[i] = ties ? floor(3 * x.v[i]) : (double)(rn_real)(x.v[i] - 0.5);
    for (i = 0; i < size_of(&padded); i++) padded.v[i] = 1e-30;
    RN__EACH(&x) *at(&padded, n, c, h + padding, w + padding) = *at(&x, n, c, h, w);
    pool_oracle(&padded, &dy, kernel, stride, 0, &largest, &mean, &dpadded, &dmean);
    RN__EACH(&x) *at(&dx, n, c, h, w) += *at(&dpadded, n, c, h + padding, w + padding);
    for (i = 0; i < size_of(&largest); i++)
        if (fabs(largest.v[i]) < 1e-20) largest.v[i] = 0;
    px = place(&x, layout);
    CHECK_OK(rn_zero_max_pool_forward(&py.t, &px.t, kernel, stride, padding, NULL));
    CHECK_NEAR(distance(&py, &largest), 0, TOLERANCE);
    CHECK_OK(rn_zero_max_pool_backward(&pdx.t, &pdy.t, &px.t, kernel, stride, padding, accumulate,
                                       NULL));
    CHECK_SAME(pdx, dx);
    CHECK_OK(rn_zero_max_pool_backward(NULL, &pdy.t, &px.t, kernel, stride, padding, 0, NULL));
    CHECK_NEAR(distance(&px, &x) + distance(&pdy, &dy), 0, 0);
    release_all();
}

/* 4 x 4 pixels, 3x3/2 windows padded by 1: of four the last alone lies within the image, so that it
   alone sees what is below zero. */
static void test_zero_pool_by_hand(void) {
    rn_real pixels[16], out[4], ones[4] = {1, 2, 3, 4}, gradient[16];
    const rn_tensor x = rn_tensor_in(pixels, 1, 1, 4, 4), dy = rn_tensor_in(ones, 1, 1, 2, 2);
    rn_tensor y = rn_tensor_in(out, 1, 1, 2, 2), dx = rn_tensor_in(gradient, 1, 1, 4, 4);
    int i;
    for (i = 0; i < 16; i++) pixels[i] = (rn_real)(-20 + i);
    pixels[3] = (rn_real)0.5; /* under the second window */
    pixels[4] = 0; /* under the first and the third, where padding's zeros are as large */
    CHECK_OK(rn_zero_max_pool_forward(&y, &x, 3, 2, 1, NULL));
    CHECK_OK(rn_zero_max_pool_backward(&dx, &dy, &x, 3, 2, 1, 0, NULL));
    CHECK_NEAR(out[0], 0, 0);
    CHECK_NEAR(out[1], 0.5, 0);
    CHECK_NEAR(out[2], 0, 0);
    CHECK_NEAR(out[3], -5, 0);
    for (i = 0; i < 16; i++) CHECK_NEAR(gradient[i], i == 3 ? 2 : i == 15 ? 4 : 0, 0);
    pixels[0] = (rn_real)NAN;
    CHECK_OK(rn_zero_max_pool_forward(&y, &x, 3, 2, 1, NULL));
    CHECK(isnan(out[0]) && !isnan(out[1]) && !isnan(out[2]) && !isnan(out[3]));
}

/* Of all windows that begin inside the image those that are needed to reach its end. */
static int avg_pool_output(int size, int kernel, int stride) {
    int count = 1;
    while ((count - 1) * stride + kernel < size && count * stride < size) count++;
    return count;
}

static void test_pools_shape(const int *s, int average, int layout, int accumulate, int ties) {
    int kernel = s[4], stride = s[5], padding = average ? 0 : s[6];
    int oh = (s[2] + 2 * padding - kernel) / stride + 1;
    int ow = (s[3] + 2 * padding - kernel) / stride + 1;
    array x = draw(s[0], s[1], s[2], s[3]), before = draw(s[0], s[1], s[2], s[3]), dy, largest;
    array mean, dlargest = base(&before, accumulate), dmean = base(&before, accumulate);
    placed px, pdy, py, pdx = place(&before, layout);
    ptrdiff_t i;
    if (average) oh = avg_pool_output(s[2], kernel, stride);
    if (average) ow = avg_pool_output(s[3], kernel, stride);
    for (i = 0; i < size_of(&x); i++) /* all below zero, so that padding with zeros would win */
        x.v[i] = ties ? floor(2 * x.v[i]) - 2 : (double)(rn_real)(x.v[i] - 1.5);
    dy = draw(s[0], s[1], oh, ow), largest = zeros(s[0], s[1], oh, ow);
    mean = zeros(s[0], s[1], oh, ow);
    px = place(&x, layout), pdy = place(&dy, layout), py = place(&mean, layout);
    pool_oracle(&x, &dy, kernel, stride, padding, &largest, &mean, &dlargest, &dmean);
    if (average) {
        CHECK_OK(rn_avg_pool_forward(&py.t, &px.t, kernel, stride, NULL));
        CHECK_OK(rn_avg_pool_backward(&pdx.t, &pdy.t, kernel, stride, accumulate, NULL));
        CHECK_OK(rn_avg_pool_backward(NULL, &pdy.t, kernel, stride, 0, NULL));
    } else {
        CHECK_OK(rn_max_pool_forward(&py.t, &px.t, kernel, stride, padding, NULL));
        CHECK_OK(
            rn_max_pool_backward(&pdx.t, &pdy.t, &px.t, kernel, stride, padding, accumulate, NULL));
        CHECK_OK(rn_max_pool_backward(NULL, &pdy.t, &px.t, kernel, stride, padding, 0, NULL));
    }
    CHECK_NEAR(distance(&py, average ? &mean : &largest), 0, TOLERANCE);
    CHECK_NEAR(distance(&pdx, average ? &dmean : &dlargest), 0, TOLERANCE);
    CHECK_NEAR(distance(&px, &x) + distance(&pdy, &dy), 0, 0);
    release_all();
}

/* N C H W, kernel, stride: windows that fit, that are cut, that begin at the last pixel, that would
   begin outside, overlapping ones, and one that is larger than the image. */
static const int avg_pool_shapes[][6] = {
    {1, 1, 1, 1, 1, 1}, {2, 3, 4, 6, 2, 2},  {1, 17, 5, 7, 2, 2},
    {1, 2, 6, 5, 2, 5}, {1, 2, 4, 5, 1, 5},  {2, 2, 6, 7, 3, 2},
    {1, 2, 1, 1, 2, 2}, {1, 1, 9, 10, 4, 3}, {1, 2, 5, 4, 3, 1}};

/* 1 2 3
   4 5 6   as torch.nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False) has it, and the
   7 8 9   gradients of dy = 1 2, 3 4. */
static void test_avg_pool_by_hand(void) {
    static const double want[9] = {0.25, 0.25, 1, 0.25, 0.25, 1, 1.5, 1.5, 4};
    rn_real image[9], means[4], gradient[9], ones[4] = {1, 2, 3, 4};
    const rn_tensor x = rn_tensor_in(image, 1, 1, 3, 3), dy = rn_tensor_in(ones, 1, 1, 2, 2);
    rn_tensor y = rn_tensor_in(means, 1, 1, 2, 2), dx = rn_tensor_in(gradient, 1, 1, 3, 3);
    int i;
    for (i = 0; i < 9; i++) image[i] = (rn_real)(i + 1);
    CHECK_OK(rn_avg_pool_forward(&y, &x, 2, 2, NULL));
    CHECK(means[0] == 3 && means[1] == (rn_real)4.5 && means[2] == (rn_real)7.5);
    CHECK(means[3] == 9);
    CHECK_OK(rn_avg_pool_backward(&dx, &dy, 2, 2, 0, NULL));
    for (i = 0; i < 9; i++) CHECK_NEAR(gradient[i], want[i], 0);
}

static void test_global_avg_pool(const int *s, int layout, int accumulate) {
    array x = draw(s[0], s[1], s[2], s[3]), y = zeros(s[0], s[1], 1, 1);
    array dy = draw(s[0], s[1], 1, 1), before = draw(s[0], s[1], s[2], s[3]);
    array dx = base(&before, accumulate);
    placed px = place(&x, layout), py = place(&y, layout), pdy = place(&dy, layout);
    placed pdx = place(&before, layout);
    int n, c, h, w, pixels = s[2] * s[3];
    RN__EACH(&x) {
        *at(&y, n, c, 0, 0) += *at(&x, n, c, h, w) / pixels;
        *at(&dx, n, c, h, w) += *at(&dy, n, c, 0, 0) / pixels;
    }
    CHECK_OK(rn_global_avg_pool_forward(&py.t, &px.t, NULL));
    CHECK_SAME(py, y);
    CHECK_OK(rn_global_avg_pool_backward(&pdx.t, &pdy.t, accumulate, NULL));
    CHECK_SAME(pdx, dx);
    CHECK_OK(rn_global_avg_pool_backward(NULL, &pdy.t, accumulate, NULL));
    release_all();
}

/* N C H W, K, stride, front. */
static const int pad_shapes[][7] = {{1, 1, 1, 1, 1, 1, 0}, {2, 3, 5, 4, 6, 2, 0},
                                    {2, 3, 4, 7, 8, 2, 2}, {1, 17, 3, 3, 34, 3, 17},
                                    {1, 2, 5, 5, 2, 7, 0}, {1, 1, 6, 5, 3, 1, 1}};

static void test_pad_subsample_shape(const int *s, int layout, int accumulate) {
    int k = s[4], stride = s[5], front = s[6];
    int oh = (s[2] + stride - 1) / stride, ow = (s[3] + stride - 1) / stride, n, c, h, w;
    array x = draw(s[0], s[1], s[2], s[3]), y = zeros(s[0], k, oh, ow), dy = draw(s[0], k, oh, ow);
    array before = draw(s[0], s[1], s[2], s[3]), dx = base(&before, accumulate);
    array noise = draw(s[0], k, oh, ow); /* what the output held before */
    placed px = place(&x, layout), py = place(&noise, layout), pdy = place(&dy, layout);
    placed pdx = place(&before, layout);
    RN__EACH(&x)
        if (h % stride == 0 && w % stride == 0) {
            *at(&y, n, front + c, h / stride, w / stride) = *at(&x, n, c, h, w);
            *at(&dx, n, c, h, w) += *at(&dy, n, front + c, h / stride, w / stride);
        }
    CHECK_OK(rn_pad_subsample_forward(&py.t, &px.t, stride, front, NULL));
    CHECK_SAME(py, y);
    CHECK_OK(rn_pad_subsample_backward(&pdx.t, &pdy.t, stride, front, accumulate, NULL));
    CHECK_SAME(pdx, dx);
    CHECK_OK(rn_pad_subsample_backward(NULL, &pdy.t, stride, front, accumulate, NULL));
    release_all();
}

/* ---- linear, softmax ----------------------------------------------------------------------- */

static void test_linear_shape(int images, int inputs, int outputs, int layout, int accumulate) {
    array x = draw(images, inputs, 1, 1), weight = draw(outputs, inputs, 1, 1);
    array bias = draw(1, outputs, 1, 1), y = zeros(images, outputs, 1, 1);
    array without = zeros(images, outputs, 1, 1), dy = draw(images, outputs, 1, 1);
    array before = draw(images, inputs, 1, 1), dx = base(&before, accumulate);
    array dweight = draw(outputs, inputs, 1, 1), dbias = draw(1, outputs, 1, 1);
    placed px = place(&x, layout), pweight = place(&weight, PLAIN), pbias = place(&bias, PLAIN);
    placed py = place(&y, layout), pdy = place(&dy, layout), pdx = place(&before, layout);
    placed pdweight = place(&dweight, PLAIN), pdbias = place(&dbias, PLAIN);
    placed other = place(&before, layout);
    int n, c, k;
    for (c = 0; c < inputs; c++)
        for (n = 0; n < images; n++)
            for (k = 0; k < outputs; k++) {
                double f = *at(&weight, k, c, 0, 0), g = *at(&dy, n, k, 0, 0);
                *at(&without, n, k, 0, 0) += f * *at(&x, n, c, 0, 0);
                *at(&dx, n, c, 0, 0) += f * g;
                *at(&dweight, k, c, 0, 0) += g * *at(&x, n, c, 0, 0);
                dbias.v[k] += c == 0 ? g : 0;
            }
    for (n = 0; n < images; n++)
        for (k = 0; k < outputs; k++) *at(&y, n, k, 0, 0) = *at(&without, n, k, 0, 0) + bias.v[k];
    CHECK_OK(rn_linear_forward(&py.t, &px.t, pweight.memory, pbias.memory, NULL));
    CHECK_SAME(py, y);
    CHECK_OK(rn_linear_forward(&py.t, &px.t, pweight.memory, NULL, NULL));
    CHECK_SAME(py, without);
    CHECK_OK(rn_linear_backward(&pdx.t, pdweight.memory, pdbias.memory, &pdy.t, &px.t,
                                pweight.memory, accumulate, NULL));
    CHECK_SAME(pdx, dx);
    CHECK_SAME(pdweight, dweight);
    CHECK_SAME(pdbias, dbias);
    CHECK_OK(
        rn_linear_backward(&other.t, NULL, NULL, &pdy.t, &px.t, pweight.memory, accumulate, NULL));
    CHECK_SAME(other, dx);
    CHECK_OK(rn_linear_backward(NULL, NULL, NULL, &pdy.t, &px.t, pweight.memory, accumulate, NULL));
    CHECK_NEAR(distance(&px, &x) + distance(&pweight, &weight), 0, 0);
    release_all();
}

/* p[k] = 1 / sum over j of exp(z[j] - z[k]), and the loss is log(1 / p[label]). */
/* loss NULL: weights of 1; by the definition, term by term. */
static void test_softmax_shape(int images, int classes, double spread, const rn_loss *loss,
                               int layout) {
    array z = draw(images, classes, 1, 1), dz = zeros(images, classes, 1, 1);
    double sum = 0, weights = 0, scale = 0.7;
    int labels[8], correct = 0, n, k, j, i;
    rn_result result;
    placed pz, pdz = place(&dz, layout);
    for (n = 0; n < images; n++) {
        int best = 0;
        labels[n] = (n * 3 + 1) % classes;
        for (k = 0; k < classes; k++) {
            double *logit = at(&z, n, k, 0, 0);
            *logit = (double)(rn_real)(spread * *logit);
            if (*logit > *at(&z, n, best, 0, 0)) best = k;
        }
        correct += best == labels[n];
        for (k = 0; k < classes; k++) {
            double inverse = 0, target = k == labels[n], weight = 1; /* 1 / softmax(z)[k] */
            for (j = 0; j < classes; j++) inverse += exp(*at(&z, n, j, 0, 0) - *at(&z, n, k, 0, 0));
            if (loss) {
                weight = (double)loss->class_weights[k];
                target = (1 - loss->label_smoothing) * target + loss->label_smoothing / classes;
            }
            if (k == labels[n]) weights += weight;
            sum += target * weight * log(inverse);
            /* d log(inverse[k]) / dz[j] = softmax(z)[j] - (j == k) */
            for (j = 0; j < classes; j++) {
                double of_j = 0;
                for (i = 0; i < classes; i++)
                    of_j += exp(*at(&z, n, i, 0, 0) - *at(&z, n, j, 0, 0));
                *at(&dz, n, j, 0, 0) += target * weight * (1 / of_j - (j == k)) * scale;
            }
        }
    }
    pz = place(&z, layout);
    CHECK_OK(rn_softmax_cross_entropy_forward(&result, &pz.t, labels, loss, NULL));
    CHECK_NEAR(result.loss, sum / weights, 1e-12 * (1 + sum));
    CHECK_INT(result.correct, correct);
    CHECK_OK(rn_softmax_cross_entropy_backward(&pdz.t, &pz.t, labels, scale, loss, NULL));
    CHECK_SAME(pdz, dz);
    CHECK_OK(rn_softmax_cross_entropy_backward(NULL, &pz.t, labels, scale, loss, NULL));
    CHECK_NEAR(distance(&pz, &z), 0, 0);
    CHECK_OK(rn_softmax_cross_entropy_backward(&pz.t, &pz.t, labels, scale, loss, NULL));
    CHECK_SAME(pz, dz);
    release_all();
}

/* Softmax of the first image is 1/8, 2/8, 5/8 with label 2, of the second 1/4, 1/4, 1/2 with label
   0. Smoothing 0.3 makes targets of 0.8 and 0.1. */
static void test_softmax_by_hand(void) {
    static const rn_real weights[3] = {0.5f, 1, 2};
    rn_real logits[6], gradient[6];
    const rn_tensor z = rn_tensor_in(logits, 2, 3, 1, 1);
    rn_tensor dz = rn_tensor_in(gradient, 2, 3, 1, 1);
    const rn_loss loss = {0.3, weights};
    const int labels[2] = {2, 0};
    const double sums[2] = {0.05 * log(8) + 0.1 * log(4) + 1.6 * log(1.6),
                            0.4 * log(4) + 0.1 * log(4) + 0.2 * log(2)};
    rn_result result;
    logits[0] = logits[3] = logits[4] = 0;
    logits[1] = logits[5] = (rn_real)log(2), logits[2] = (rn_real)log(5);
    CHECK_OK(rn_softmax_cross_entropy_forward(&result, &z, labels, &loss, NULL));
    CHECK_NEAR(result.loss, (sums[0] + sums[1]) / 2.5, 1e-7); /* the labels weigh 2 and 0.5 */
    CHECK_OK(rn_softmax_cross_entropy_backward(&dz, &z, labels, 1 / 2.5, &loss, NULL));
    CHECK_NEAR(gradient[0], (1.75 / 8 - 0.05) / 2.5, 1e-7);
    CHECK_NEAR(gradient[1], (1.75 / 4 - 0.1) / 2.5, 1e-7);
    CHECK_NEAR(gradient[2], (1.75 * 5 / 8 - 1.6) / 2.5, 1e-7);
    CHECK_NEAR(gradient[3], (0.7 / 4 - 0.4) / 2.5, 1e-7);
    CHECK_NEAR(gradient[4], (0.7 / 4 - 0.1) / 2.5, 1e-7);
    CHECK_NEAR(gradient[5], (0.7 / 2 - 0.2) / 2.5, 1e-7);
}

static void test_softmax(void) {
    rn_real logits[6] = {10000, 0, -10000, 3, 3, 1};
    rn_tensor z = rn_tensor_in(logits, 2, 3, 1, 1);
    static const rn_real weights[] = {1, 0.5f, 2, 0, 3, 0.25f, 1, 1, 2, 5, 0, 1, 1.5f, 1, 2, 1, 4};
    const rn_loss smooth = {0.1, weights + 6}, skewed = {0, weights}, both = {0.3, weights};
    int layout, sure[2] = {0, 0}, wrong[2] = {2, 1};
    rn_result result;
    for (layout = 0; layout < LAYOUTS; layout++) {
        test_softmax_shape(1, 1, 1, NULL, layout);
        test_softmax_shape(5, 3, 4, NULL, layout);
        test_softmax_shape(8, 17, 30, NULL, layout);
        test_softmax_shape(5, 2, 4, &smooth, layout); /* weights 1 */
        test_softmax_shape(5, 3, 4, &skewed, layout);
        test_softmax_shape(8, 17, 30, &both, layout);
    }
    test_softmax_by_hand();
    /* exp of these overflows; of two equal logits the first counts. */
    CHECK_OK(rn_softmax_cross_entropy_forward(&result, &z, sure, NULL, NULL));
    CHECK_NEAR(result.loss, log(2 + exp(-2.0)) / 2, 1e-12);
    CHECK_INT(result.correct, 2);
    CHECK_OK(rn_softmax_cross_entropy_forward(&result, &z, wrong, NULL, NULL));
    CHECK_NEAR(result.loss, (20000 + log(2 + exp(-2.0))) / 2, 1e-8);
    CHECK_INT(result.correct, 0);
    CHECK_INT(rn_argmax(logits, 3), 0);
    CHECK_INT(rn_argmax(logits + 1, 5), 2);
    CHECK_INT(rn_argmax(logits + 2, 2), 1);
    CHECK_INT(rn_argmax(logits + 5, 1), 0);
}

static void test_layers(void) {
    int i, layout, accumulate;
    test_conv2d();
    test_batch_norm();
    test_grouped();
    for (layout = 0; layout < LAYOUTS; layout++)
        for (accumulate = 0; accumulate < 2; accumulate++) {
            for (i = 0; i < PLAIN_SHAPES; i++) {
                test_relu(plain_shapes[i], layout, accumulate);
                test_gate(plain_shapes[i], layout, accumulate, 0);
                test_gate(plain_shapes[i], layout, accumulate, 1);
                test_dropout(plain_shapes[i], layout, accumulate);
                test_add_and_scale(plain_shapes[i], layout, accumulate);
                test_global_avg_pool(plain_shapes[i], layout, accumulate);
            }
            for (i = 0; i < (int)(sizeof pool_shapes / sizeof pool_shapes[0]); i++) {
                test_pools_shape(pool_shapes[i], 0, layout, accumulate, 0);
                test_pools_shape(pool_shapes[i], 0, layout, accumulate, 1);
                test_zero_pool_shape(pool_shapes[i], layout, accumulate, 0);
                test_zero_pool_shape(pool_shapes[i], layout, accumulate, 1);
            }
            for (i = 0; i < (int)(sizeof avg_pool_shapes / sizeof avg_pool_shapes[0]); i++)
                test_pools_shape(avg_pool_shapes[i], 1, layout, accumulate, 0);
            for (i = 0; i < (int)(sizeof pad_shapes / sizeof pad_shapes[0]); i++)
                test_pad_subsample_shape(pad_shapes[i], layout, accumulate);
            test_linear_shape(1, 1, 1, layout, accumulate);
            test_linear_shape(3, 17, 5, layout, accumulate);
            test_linear_shape(2, 3, 17, layout, accumulate);
        }
    test_dropout_ratio();
    test_avg_pool_by_hand();
    test_zero_pool_by_hand();
    test_softmax();
}

/* ---- gradients against differences of the forward functions -------------------------------- */

enum kind {
    CONV2D,
    BATCH_NORM,
    GROUP_NORM,
    EVONORM,
    STANDARDISE,
    RELU,
    GATE,
    DROPOUT,
    MAX_POOL,
    ZERO_MAX_POOL,
    AVG_POOL,
    GLOBAL_AVG_POOL,
    LINEAR,
    ADD,
    SCALE,
    PAD_SUBSAMPLE,
    SOFTMAX
};

/* One layer with all its operands; `energy` is the sum of y dy, or the loss of softmax. */
typedef struct layer {
    enum kind kind;
    int stride, padding, kernel, front, group, complement; /* group: images, or channel groups */
    rn_key key;
    placed x, second, y, dy, dx, dsecond; /* second: weights, v of EvoNorm, logits
                                             of a gate, or b of rn_add */
    placed bias, dbias, weight, dweight;
    rn_real statistics[64];
    int labels[4];
    rn_loss loss;
    double label_weight; /* of all labels */
} layer;

static void run_forward(layer *l) {
    rn_tensor *y = &l->y.t, *x = &l->x.t, *second = &l->second.t;
    rn_status status = RN_BAD_ARGUMENT;
    switch (l->kind) {
    case CONV2D:
        status = rn_conv2d_naive_forward(y, x, second, l->bias.memory, l->stride, l->padding, NULL);
        break;
    case BATCH_NORM:
        status = rn_batch_norm_forward(y, l->statistics, x, l->weight.memory, l->bias.memory, 1e-3,
                                       l->group, NULL);
        break;
    case GROUP_NORM:
        status =
            rn_group_norm_forward(y, x, l->weight.memory, l->bias.memory, 1e-3, l->group, NULL);
        break;
    case EVONORM:
        status = rn_evonorm_forward(y, x, l->weight.memory, l->bias.memory, l->second.memory, 1e-3,
                                    l->group, NULL);
        break;
    case STANDARDISE: status = rn_standardise_forward(y, x, 1e-3, NULL); break;
    case RELU: status = rn_relu_forward(y, x, NULL); break;
    case GATE: status = rn_gate_forward(y, x, second, l->complement, NULL); break;
    case DROPOUT: status = rn_dropout(y, x, 0.4, l->key, 0, NULL); break;
    case MAX_POOL:
        status = rn_max_pool_forward(y, x, l->kernel, l->stride, l->padding, NULL);
        break;
    case ZERO_MAX_POOL:
        status = rn_zero_max_pool_forward(y, x, l->kernel, l->stride, l->padding, NULL);
        break;
    case AVG_POOL: status = rn_avg_pool_forward(y, x, l->kernel, l->stride, NULL); break;
    case GLOBAL_AVG_POOL: status = rn_global_avg_pool_forward(y, x, NULL); break;
    case LINEAR: status = rn_linear_forward(y, x, l->weight.memory, l->bias.memory, NULL); break;
    case ADD: status = rn_add(y, x, second, NULL); break;
    case SCALE: status = rn_scale(y, x, -0.8, 0, NULL); break;
    case PAD_SUBSAMPLE: status = rn_pad_subsample_forward(y, x, l->stride, l->front, NULL); break;
    default: break;
    }
    CHECK_OK(status);
}

static void run_backward(layer *l) {
    rn_tensor *dy = &l->dy.t, *x = &l->x.t, *dx = &l->dx.t, *second = &l->second.t;
    rn_status status = RN_BAD_ARGUMENT;
    switch (l->kind) {
    case CONV2D:
        status = rn_conv2d_naive_backward(dx, &l->dsecond.t, l->dbias.memory, dy, x, second,
                                          l->stride, l->padding, 0, NULL);
        break;
    case BATCH_NORM:
        status = rn_batch_norm_backward(dx, l->dweight.memory, l->dbias.memory, dy, x,
                                        l->statistics, l->weight.memory, 1e-3, l->group, 0, NULL);
        break;
    case GROUP_NORM:
        status = rn_group_norm_backward(dx, l->dweight.memory, l->dbias.memory, dy, x,
                                        l->weight.memory, 1e-3, l->group, 0, NULL);
        break;
    case EVONORM:
        status =
            rn_evonorm_backward(dx, l->dweight.memory, l->dbias.memory, l->dsecond.memory, dy, x,
                                l->weight.memory, l->second.memory, 1e-3, l->group, 0, NULL);
        break;
    case STANDARDISE: status = rn_standardise_backward(dx, dy, x, 1e-3, NULL); break;
    case RELU: status = rn_relu_backward(dx, dy, &l->y.t, 0, NULL); break;
    case GATE:
        status = rn_gate_backward(dx, &l->dsecond.t, dy, x, second, l->complement, 0, 0, NULL);
        break;
    case DROPOUT: status = rn_dropout(dx, dy, 0.4, l->key, 0, NULL); break;
    case MAX_POOL:
        status = rn_max_pool_backward(dx, dy, x, l->kernel, l->stride, l->padding, 0, NULL);
        break;
    case ZERO_MAX_POOL:
        status = rn_zero_max_pool_backward(dx, dy, x, l->kernel, l->stride, l->padding, 0, NULL);
        break;
    case AVG_POOL: status = rn_avg_pool_backward(dx, dy, l->kernel, l->stride, 0, NULL); break;
    case GLOBAL_AVG_POOL: status = rn_global_avg_pool_backward(dx, dy, 0, NULL); break;
    case LINEAR:
        status = rn_linear_backward(dx, l->dweight.memory, l->dbias.memory, dy, x, l->weight.memory,
                                    0, NULL);
        break;
    case ADD:
        status = rn_scale(dx, dy, 1, 0, NULL);
        CHECK_OK(rn_scale(&l->dsecond.t, dy, 1, 0, NULL));
        break;
    case SCALE: status = rn_scale(dx, dy, -0.8, 0, NULL); break;
    case PAD_SUBSAMPLE:
        status = rn_pad_subsample_backward(dx, dy, l->stride, l->front, 0, NULL);
        break;
    case SOFTMAX:
        status = rn_softmax_cross_entropy_backward(dx, x, l->labels, 1 / l->label_weight, &l->loss,
                                                   NULL);
        break;
    default: break;
    }
    CHECK_OK(status);
}

static double energy(layer *l) {
    double sum = 0;
    ptrdiff_t i;
    rn_result result = {0, 0};
    if (l->kind == SOFTMAX) {
        CHECK_OK(rn_softmax_cross_entropy_forward(&result, &l->x.t, l->labels, &l->loss, NULL));
        return result.loss;
    }
    run_forward(l);
    for (i = 0; i < l->y.count; i++) sum += (double)l->y.memory[i] * (double)l->dy.memory[i];
    return sum;
}

/* Every derivative with its sign, within 1e-7 of the largest, which must not be small itself. */
static void check_slopes(layer *l, const placed *values, const placed *gradient) {
    double largest = 0, difference = 0;
    ptrdiff_t i;
    for (i = 0; i < values->count; i++) {
        rn_real *value = &values->memory[i], old = *value, step = (rn_real)1e-5;
        double above, below, slope, g = (double)gradient->memory[i];
        *value = old + step;
        above = energy(l);
        *value = old - step;
        below = energy(l);
        *value = old;
        slope = (above - below) / 2e-5;
        largest = fmax(largest, fabs(slope));
        difference = worse(difference, fabs(g - slope));
    }
    CHECK(largest > 1e-2);
    CHECK_NEAR(difference / largest, 0, 1e-7);
}

static layer new_layer(enum kind kind, int n, int c, int h, int w, int k, int oh, int ow) {
    array x = draw(n, c, h, w), dy = draw(n, k, oh, ow), bias = draw(1, k, 1, 1);
    layer l;
    memset(&l, 0, sizeof l);
    l.kind = kind;
    l.key = key_of(1, RN_PURPOSE_DROPOUT, 2);
    l.x = place(&x, PLAIN);
    l.dx = place_empty(n, c, h, w, PLAIN);
    l.dy = place(&dy, PLAIN);
    l.y = place_empty(n, k, oh, ow, PLAIN);
    l.bias = place(&bias, PLAIN);
    l.dbias = place_empty(1, k, 1, 1, PLAIN);
    return l;
}

static void give_second(layer *l, int n, int c, int h, int w) {
    array second = draw(n, c, h, w);
    l->second = place(&second, PLAIN);
    l->dsecond = place_empty(n, c, h, w, PLAIN);
}

static void give_weight(layer *l, int k, int c) {
    array weight = draw(k, c, 1, 1);
    l->weight = place(&weight, PLAIN);
    l->dweight = place_empty(k, c, 1, 1, PLAIN);
}

static void check_layer(layer *l) {
    if (l->kind != SOFTMAX) run_forward(l);
    run_backward(l);
    check_slopes(l, &l->x, &l->dx);
    if (l->second.count) check_slopes(l, &l->second, &l->dsecond);
    if (l->weight.count) check_slopes(l, &l->weight, &l->dweight);
    if (l->weight.count || l->kind == CONV2D) check_slopes(l, &l->bias, &l->dbias);
    release_all();
}

static void test_norm_slopes(void) {
    layer l;
    int i;
    for (i = 0; i < 3; i++) { /* groups: all; 2 and 1 images; 1 each */
        l = new_layer(BATCH_NORM, 3, 2, 2, 3, 2, 2, 3);
        l.group = (3 - i) % 3;
        give_weight(&l, 1, 2);
        check_layer(&l);
    }
    for (i = 1; i <= 4; i *= 2) { /* groups of four, two, one channel */
        l = new_layer(GROUP_NORM, 2, 4, 3, 1, 4, 3, 1);
        l.group = i;
        give_weight(&l, 1, 4);
        check_layer(&l);
        l = new_layer(EVONORM, 2, 4, 3, 1, 4, 3, 1);
        l.group = i;
        give_weight(&l, 1, 4);
        give_second(&l, 1, 4, 1, 1);
        check_layer(&l);
    }
    l = new_layer(STANDARDISE, 3, 2, 3, 3, 2, 3, 3);
    l.y = place_empty(3, 2, 3, 3, PLAIN);
    check_layer(&l);
}

static void test_slopes(void) {
    static const rn_real weights[5] = {0.5f, 2, 0, 1, 3};
    layer l;
    int i;
    for (i = 1; i <= 3; i++) { /* strides */
        l = new_layer(CONV2D, 2, 3, 5, 4, 2, 4 / i + 1, 3 / i + 1);
        l.stride = i, l.padding = 1;
        give_second(&l, 2, 3, 3, 3);
        check_layer(&l);
        l = new_layer(MAX_POOL, 2, 2, 5, 4, 2, 4 / i + 1, 3 / i + 1);
        l.stride = i, l.padding = 1, l.kernel = 3;
        check_layer(&l);
        l = new_layer(ZERO_MAX_POOL, 2, 2, 5, 4, 2, 4 / i + 1, 3 / i + 1);
        l.stride = i, l.padding = 1, l.kernel = 3;
        check_layer(&l);
        l = new_layer(AVG_POOL, 2, 2, 5, 4, 2, i == 1 ? 4 : i == 2 ? 3 : 2, i == 1 ? 3 : 2);
        l.stride = i, l.kernel = 2;
        check_layer(&l);
        l = new_layer(PAD_SUBSAMPLE, 2, 3, 5, 4, 6, 4 / i + 1, 3 / i + 1);
        l.stride = i, l.front = i - 1;
        check_layer(&l);
    }
    l = new_layer(CONV2D, 2, 3, 6, 4, 2, 3, 2); /* one more row and column of padding behind */
    l.stride = 2;
    give_second(&l, 2, 3, 3, 3);
    check_layer(&l);
    test_norm_slopes();
    for (i = 0; i < 2; i++) {
        l = new_layer(GATE, 2, 3, 2, 2, 3, 2, 2);
        l.complement = i;
        give_second(&l, 2, 3, 2, 2);
        check_layer(&l);
    }
    l = new_layer(ADD, 2, 3, 2, 2, 3, 2, 2);
    give_second(&l, 2, 3, 2, 2);
    check_layer(&l);
    l = new_layer(LINEAR, 3, 4, 1, 1, 5, 1, 1);
    give_weight(&l, 5, 4);
    check_layer(&l);
    l = new_layer(RELU, 2, 3, 4, 5, 3, 4, 5);
    check_layer(&l);
    l = new_layer(DROPOUT, 2, 3, 4, 5, 3, 4, 5);
    check_layer(&l);
    l = new_layer(SCALE, 2, 3, 4, 5, 3, 4, 5);
    check_layer(&l);
    l = new_layer(GLOBAL_AVG_POOL, 2, 3, 4, 5, 3, 1, 1);
    check_layer(&l);
    for (i = 0; i < 4; i++) { /* plain, smoothed, weighted, both */
        l = new_layer(SOFTMAX, 4, 5, 1, 1, 5, 1, 1);
        l.labels[0] = 4, l.labels[2] = 2, l.labels[3] = 4;
        l.loss.label_smoothing = i % 2 ? 0.2 : 0;
        l.loss.class_weights = i / 2 ? weights : NULL;
        l.label_weight = i / 2 ? 3 + 0.5 + 0 + 3 : 4;
        check_layer(&l);
    }
}

/* ---- errors -------------------------------------------------------------------------------- */

static rn_error problem;

static void check_refused(int line, rn_status got, rn_status want, const char *function,
                          const char *part, const char *part2, const char *part3) {
    test_int(__FILE__, line, "status", got, want);
    test_int(__FILE__, line, "error.status", problem.status, want);
    test_text(__FILE__, line, problem.text, function);
    test_text(__FILE__, line, problem.text, part);
    test_text(__FILE__, line, problem.text, part2);
    test_text(__FILE__, line, problem.text, part3);
    memset(&problem, 0, sizeof problem);
}

/* The sentence begins with the function's name, and contains the parts. */
#define REFUSED(call, status, function, part, part2, part3) \
    check_refused(__LINE__, call, status, function ": ", part, part2, part3)
#define REFUSED_SHAPE(call, function, name, is, wanted) \
    REFUSED(call, RN_BAD_SHAPE, function, ": " name " is ", is, "should be " wanted)

/* A tensor of any shape: a layer that refuses touches no data. */
static rn_tensor shape(int n, int c, int h, int w) { return rn_tensor_in(NULL, n, c, h, w); }

static void test_conv2d_errors(void) {
    rn_tensor x = shape(2, 3, 8, 6), f = shape(5, 3, 3, 3), y = shape(2, 5, 8, 6);
    rn_tensor wrong_f = shape(5, 4, 3, 3), wrong = shape(2, 5, 8, 8), large = shape(5, 3, 10, 3);
    rn_tensor none = shape(5, 3, 0, 3), larger = shape(2, 5, 8, 7), smaller = shape(2, 5, 7, 6);

#define FORWARD(y, x, f, stride, padding) \
    rn_conv2d_naive_forward(y, x, f, NULL, stride, padding, &problem)
    REFUSED_SHAPE(FORWARD(&wrong, &x, &f, 1, 1), "rn_conv2d_naive_forward", "output", "[2,5,8,8]",
                  "[2,5,8,6]");
    REFUSED_SHAPE(FORWARD(&smaller, &x, &f, 1, 1), "rn_conv2d_naive_forward", "output", "[2,5,7,6]",
                  "[2,5,8,6]");
    REFUSED_SHAPE(FORWARD(&y, &x, &f, 2, 1), "rn_conv2d_naive_forward", "output", "[2,5,8,6]",
                  "[2,5,4,3]");
    REFUSED_SHAPE(FORWARD(&y, &x, &wrong_f, 1, 1), "rn_conv2d_naive_forward", "weight", "[5,4,3,3]",
                  "[5,3,3,3]");
    REFUSED(FORWARD(&y, &x, &f, 0, 1), RN_BAD_ARGUMENT, "rn_conv2d_naive_forward", "stride is 0",
            "should be 1 to", "");
    REFUSED(FORWARD(&y, &x, &f, -2, 1), RN_BAD_ARGUMENT, "rn_conv2d_naive_forward", "stride is -2",
            "should be 1 to", "");
    REFUSED(FORWARD(&y, &x, &f, 1, -1), RN_BAD_ARGUMENT, "rn_conv2d_naive_forward", "padding is -1",
            "should be 0 to", "");
    REFUSED(FORWARD(&y, &x, &f, 1, INT_MAX), RN_BAD_ARGUMENT, "rn_conv2d_naive_forward",
            "padding is 2147483647", "", "");
    REFUSED(FORWARD(&y, &x, &large, 1, 0), RN_BAD_ARGUMENT, "rn_conv2d_naive_forward",
            "kernel of 10x3", "images of 8x6 padded by 0", "take a smaller one");
    REFUSED(FORWARD(&y, &x, &none, 1, 0), RN_BAD_ARGUMENT, "rn_conv2d_naive_forward",
            "kernel of 0x3", "", "");
    CHECK_INT(rn_conv2d_naive_forward(&y, &x, &f, NULL, 0, 1, NULL), RN_BAD_ARGUMENT);

#define BACKWARD(dx, df, dy, f, stride) \
    rn_conv2d_naive_backward(dx, df, NULL, dy, &x, f, stride, 1, 0, &problem)
    REFUSED_SHAPE(BACKWARD(&x, &f, &wrong, &f, 1), "rn_conv2d_naive_backward", "output_gradient",
                  "[2,5,8,8]", "[2,5,8,6]");
    REFUSED_SHAPE(BACKWARD(&y, &f, &y, &f, 1), "rn_conv2d_naive_backward", "input_gradient",
                  "[2,5,8,6]", "[2,3,8,6]");
    REFUSED_SHAPE(BACKWARD(&x, &wrong_f, &y, &f, 1), "rn_conv2d_naive_backward", "weight_gradient",
                  "[5,4,3,3]", "[5,3,3,3]");
    REFUSED_SHAPE(BACKWARD(&x, &f, &y, &wrong_f, 1), "rn_conv2d_naive_backward", "weight",
                  "[5,4,3,3]", "[5,3,3,3]");
    REFUSED(BACKWARD(&x, &f, &y, &f, 0), RN_BAD_ARGUMENT, "rn_conv2d_naive_backward", "stride is 0",
            "", "");
    if (DOUBLE)
        return; /* the fast convolution, in float alone, has the same padding on all sides */
    REFUSED_SHAPE(rn_conv2d_forward(&larger, &x, &f, NULL, 1, 1, RN_ISA_AUTO, 1, NULL, 0, &problem),
                  "rn_conv2d_forward", "output", "[2,5,8,7]", "[2,5,8,6]");
}

static void test_pool_errors(void) {
    rn_tensor x = shape(2, 3, 8, 6), y = shape(2, 5, 8, 6), pooled_y = shape(2, 3, 4, 3);
    rn_tensor larger = shape(2, 3, 5, 3);
    REFUSED_SHAPE(rn_max_pool_forward(&y, &x, 3, 2, 1, &problem), "rn_max_pool_forward", "output",
                  "[2,5,8,6]", "[2,3,4,3]");
    REFUSED_SHAPE(rn_max_pool_forward(&larger, &x, 3, 2, 1, &problem), "rn_max_pool_forward",
                  "output", "[2,3,5,3]", "[2,3,4,3]");
    REFUSED_SHAPE(rn_avg_pool_forward(&y, &x, 2, 2, &problem), "rn_avg_pool_forward", "output",
                  "[2,5,8,6]", "[2,3,4,3]");
    REFUSED_SHAPE(rn_avg_pool_forward(&larger, &x, 2, 2, &problem), "rn_avg_pool_forward", "output",
                  "[2,3,5,3]", "[2,3,4,3]");
    REFUSED(rn_max_pool_forward(&pooled_y, &x, 0, 2, 1, &problem), RN_BAD_ARGUMENT,
            "rn_max_pool_forward", "kernel is 0", "should be 1 to", "");
    REFUSED(rn_max_pool_forward(&pooled_y, &x, 3, 0, 1, &problem), RN_BAD_ARGUMENT,
            "rn_max_pool_forward", "stride is 0", "", "");
    REFUSED(rn_max_pool_forward(&pooled_y, &x, 3, 2, 3, &problem), RN_BAD_ARGUMENT,
            "rn_max_pool_forward", "padding is 3", "should be 0 to 2", ""); /* empty windows */
    REFUSED(rn_avg_pool_forward(&pooled_y, &x, 8, 2, &problem), RN_BAD_ARGUMENT,
            "rn_avg_pool_forward", "kernel of 8x8", "images of 8x6 padded by 0", "");
    REFUSED(rn_avg_pool_forward(&pooled_y, &x, 0, 2, &problem), RN_BAD_ARGUMENT,
            "rn_avg_pool_forward", "kernel is 0", "should be 1 to", "");
    REFUSED(rn_avg_pool_forward(&pooled_y, &x, 2, INT_MIN, &problem), RN_BAD_ARGUMENT,
            "rn_avg_pool_forward", "stride is -2147483648", "", "");
    REFUSED_SHAPE(rn_zero_max_pool_forward(&larger, &x, 3, 2, 1, &problem),
                  "rn_zero_max_pool_forward", "output", "[2,3,5,3]", "[2,3,4,3]");
    REFUSED(rn_zero_max_pool_forward(&pooled_y, &x, 3, 2, 3, &problem), RN_BAD_ARGUMENT,
            "rn_zero_max_pool_forward", "padding is 3", "should be 0 to 2", "");
    REFUSED_SHAPE(rn_zero_max_pool_backward(&x, &y, &x, 3, 2, 1, 0, &problem),
                  "rn_zero_max_pool_backward", "output_gradient", "[2,5,8,6]", "[2,3,4,3]");
    REFUSED_SHAPE(rn_zero_max_pool_backward(&y, &pooled_y, &x, 3, 2, 1, 0, &problem),
                  "rn_zero_max_pool_backward", "input_gradient", "[2,5,8,6]", "[2,3,8,6]");
    REFUSED_SHAPE(rn_max_pool_backward(&x, &y, &x, 3, 2, 1, 0, &problem), "rn_max_pool_backward",
                  "output_gradient", "[2,5,8,6]", "[2,3,4,3]");
    REFUSED_SHAPE(rn_max_pool_backward(&y, &pooled_y, &x, 3, 2, 1, 0, &problem),
                  "rn_max_pool_backward", "input_gradient", "[2,5,8,6]", "[2,3,8,6]");
    REFUSED(rn_max_pool_backward(&x, &pooled_y, &x, 3, 2, -1, 0, &problem), RN_BAD_ARGUMENT,
            "rn_max_pool_backward", "padding is -1", "", "");
    REFUSED_SHAPE(rn_avg_pool_backward(&x, &y, 2, 2, 0, &problem), "rn_avg_pool_backward",
                  "output_gradient", "[2,5,8,6]", "[2,3,4,3]");
    REFUSED(rn_avg_pool_backward(&x, &pooled_y, 2, -1, 0, &problem), RN_BAD_ARGUMENT,
            "rn_avg_pool_backward", "stride is -1", "", "");
    REFUSED_SHAPE(rn_global_avg_pool_forward(&y, &x, &problem), "rn_global_avg_pool_forward",
                  "output", "[2,5,8,6]", "[2,3,1,1]");
    REFUSED_SHAPE(rn_global_avg_pool_backward(&x, &y, 0, &problem), "rn_global_avg_pool_backward",
                  "output_gradient", "[2,5,8,6]", "[2,3,1,1]");
}

static void test_pad_subsample_errors(void) {
    rn_tensor x = shape(2, 3, 8, 6), y = shape(2, 7, 4, 3);
    REFUSED_SHAPE(rn_pad_subsample_forward(&y, &x, 3, 2, &problem), "rn_pad_subsample_forward",
                  "output", "[2,7,4,3]", "[2,7,3,2]");
    REFUSED(rn_pad_subsample_forward(&y, &x, 2, -1, &problem), RN_BAD_ARGUMENT,
            "rn_pad_subsample_forward", "front is -1", "the input's 3", "7 of output");
    REFUSED(rn_pad_subsample_forward(&y, &x, 2, 5, &problem), RN_BAD_ARGUMENT,
            "rn_pad_subsample_forward", "front is 5", "the input's 3", "7 of output");
    REFUSED(rn_pad_subsample_forward(&x, &y, 2, 0, &problem), RN_BAD_ARGUMENT,
            "rn_pad_subsample_forward", "front is 0", "the input's 7", "3 of output");
    REFUSED(rn_pad_subsample_forward(&y, &x, 0, 0, &problem), RN_BAD_ARGUMENT,
            "rn_pad_subsample_forward", "stride is 0", "", "");
    REFUSED_SHAPE(rn_pad_subsample_backward(&x, &y, 3, 2, 0, &problem), "rn_pad_subsample_backward",
                  "output_gradient", "[2,7,4,3]", "[2,7,3,2]");
    REFUSED(rn_pad_subsample_backward(&x, &y, 2, 5, 0, &problem), RN_BAD_ARGUMENT,
            "rn_pad_subsample_backward", "front is 5", "the input's 3", "7 of output_gradient");
}

static void test_elementwise_errors(void) {
    rn_tensor a = shape(2, 3, 4, 5), b = shape(2, 3, 4, 6);
    rn_key key = key_of(0, 0, 0);
    REFUSED_SHAPE(rn_relu_forward(&b, &a, &problem), "rn_relu_forward", "output", "[2,3,4,6]",
                  "[2,3,4,5]");
    REFUSED_SHAPE(rn_relu_backward(&a, &b, &a, 0, &problem), "rn_relu_backward", "output_gradient",
                  "[2,3,4,6]", "[2,3,4,5]");
    REFUSED_SHAPE(rn_relu_backward(&b, &a, &a, 0, &problem), "rn_relu_backward", "input_gradient",
                  "[2,3,4,6]", "[2,3,4,5]");
    REFUSED_SHAPE(rn_gate_forward(&b, &a, &a, 0, &problem), "rn_gate_forward", "output",
                  "[2,3,4,6]", "[2,3,4,5]");
    REFUSED_SHAPE(rn_gate_forward(&a, &a, &b, 0, &problem), "rn_gate_forward", "logits",
                  "[2,3,4,6]", "[2,3,4,5]");
#define GATE_BACKWARD(dx, dz, dy, z) rn_gate_backward(dx, dz, dy, &a, z, 0, 0, 0, &problem)
    REFUSED_SHAPE(GATE_BACKWARD(&b, &a, &a, &a), "rn_gate_backward", "input_gradient", "[2,3,4,6]",
                  "[2,3,4,5]");
    REFUSED_SHAPE(GATE_BACKWARD(&a, &b, &a, &a), "rn_gate_backward", "logits_gradient", "[2,3,4,6]",
                  "[2,3,4,5]");
    REFUSED_SHAPE(GATE_BACKWARD(&a, &a, &b, &a), "rn_gate_backward", "output_gradient", "[2,3,4,6]",
                  "[2,3,4,5]");
    REFUSED_SHAPE(GATE_BACKWARD(&a, &a, &a, &b), "rn_gate_backward", "logits", "[2,3,4,6]",
                  "[2,3,4,5]");
    REFUSED_SHAPE(rn_add(&b, &a, &a, &problem), "rn_add", "output", "[2,3,4,6]", "[2,3,4,5]");
    REFUSED_SHAPE(rn_add(&a, &a, &b, &problem), "rn_add", "b", "[2,3,4,6]", "[2,3,4,5]");
    REFUSED_SHAPE(rn_scale(&b, &a, 1, 0, &problem), "rn_scale", "output", "[2,3,4,6]", "[2,3,4,5]");
    REFUSED_SHAPE(rn_dropout(&b, &a, 0.5, key, 0, &problem), "rn_dropout", "output", "[2,3,4,6]",
                  "[2,3,4,5]");
    REFUSED(rn_dropout(&a, &a, 1, key, 0, &problem), RN_BAD_ARGUMENT, "rn_dropout", "ratio is 1.0",
            "at least 0 and below 1", "");
    REFUSED(rn_dropout(&a, &a, -0.5, key, 0, &problem), RN_BAD_ARGUMENT, "rn_dropout",
            "ratio is -0.5", "at least 0 and below 1", "");
    REFUSED(rn_dropout(&a, &a, (double)NAN, key, 0, &problem), RN_BAD_ARGUMENT, "rn_dropout",
            "ratio is ", "at least 0 and below 1", "");
    CHECK_INT(rn_add(&b, &a, &a, NULL), RN_BAD_SHAPE);
}

static void test_grouped_errors(void) {
    rn_tensor x = shape(2, 6, 3, 1), y = shape(2, 4, 3, 1);
    rn_tensor f = shape(4, 3, 3, 3), other_f = shape(4, 3, 3, 2);
#define GN(y, x, groups) rn_group_norm_forward(y, x, NULL, NULL, 1e-5, groups, &problem)
#define GN_BACKWARD(dx, dy, x, groups) \
    rn_group_norm_backward(dx, NULL, NULL, dy, x, NULL, 1e-5, groups, 0, &problem)
#define EVO(y, x, groups) rn_evonorm_forward(y, x, NULL, NULL, NULL, 1e-5, groups, &problem)
#define EVO_BACKWARD(dx, dy, x, groups) \
    rn_evonorm_backward(dx, NULL, NULL, NULL, dy, x, NULL, NULL, 1e-5, groups, 0, &problem)
#define REFUSED_GROUPS(call, function)                                                          \
    REFUSED(call(&x, &x, 0), RN_BAD_ARGUMENT, function, "groups is 0", "should be 1 to 6", ""); \
    REFUSED(call(&x, &x, 7), RN_BAD_ARGUMENT, function, "groups is 7", "should be 1 to 6", ""); \
    REFUSED(call(&x, &x, INT_MIN), RN_BAD_ARGUMENT, function, "groups is -2147483648", "", ""); \
    REFUSED(call(&x, &x, 4), RN_BAD_ARGUMENT, function, "groups is 4",                          \
            "must divide the 6 channels", "")
#define GN_BACKWARD_LIKE(dy, x, groups) GN_BACKWARD(dy, dy, x, groups)
#define EVO_BACKWARD_LIKE(dy, x, groups) EVO_BACKWARD(dy, dy, x, groups)
    REFUSED_GROUPS(GN, "rn_group_norm_forward");
    REFUSED_GROUPS(EVO, "rn_evonorm_forward");
    REFUSED_GROUPS(GN_BACKWARD_LIKE, "rn_group_norm_backward");
    REFUSED_GROUPS(EVO_BACKWARD_LIKE, "rn_evonorm_backward");
    REFUSED_SHAPE(GN(&y, &x, 2), "rn_group_norm_forward", "output", "[2,4,3,1]", "[2,6,3,1]");
    REFUSED_SHAPE(EVO(&y, &x, 2), "rn_evonorm_forward", "output", "[2,4,3,1]", "[2,6,3,1]");
    REFUSED_SHAPE(GN_BACKWARD(&x, &y, &x, 2), "rn_group_norm_backward", "output_gradient",
                  "[2,4,3,1]", "[2,6,3,1]");
    REFUSED_SHAPE(GN_BACKWARD(&y, &x, &x, 2), "rn_group_norm_backward", "input_gradient",
                  "[2,4,3,1]", "[2,6,3,1]");
    REFUSED_SHAPE(EVO_BACKWARD(&x, &y, &x, 2), "rn_evonorm_backward", "output_gradient",
                  "[2,4,3,1]", "[2,6,3,1]");
    REFUSED_SHAPE(EVO_BACKWARD(&y, &x, &x, 2), "rn_evonorm_backward", "input_gradient", "[2,4,3,1]",
                  "[2,6,3,1]");
    REFUSED_SHAPE(rn_standardise_forward(&other_f, &f, 1e-8, &problem), "rn_standardise_forward",
                  "output", "[4,3,3,2]", "[4,3,3,3]");
    REFUSED_SHAPE(rn_standardise_backward(&f, &other_f, &f, 1e-8, &problem),
                  "rn_standardise_backward", "output_gradient", "[4,3,3,2]", "[4,3,3,3]");
    REFUSED_SHAPE(rn_standardise_backward(&other_f, &f, &f, 1e-8, &problem),
                  "rn_standardise_backward", "weight_gradient", "[4,3,3,2]", "[4,3,3,3]");
}

static void test_other_errors(void) {
    rn_tensor x = shape(5, 3, 1, 1), y = shape(5, 4, 1, 1), pixels = shape(5, 3, 2, 1);
    rn_tensor fewer = shape(4, 4, 1, 1), one = shape(1, 3, 1, 1);
    int labels[5] = {0, 3, 2, 1, 0};
    const rn_loss *loss = NULL;
    rn_result result;

    REFUSED_SHAPE(rn_linear_forward(&y, &pixels, NULL, NULL, &problem), "rn_linear_forward",
                  "input", "[5,3,2,1]", "[5,3,1,1]");
    REFUSED_SHAPE(rn_linear_forward(&fewer, &x, NULL, NULL, &problem), "rn_linear_forward",
                  "output", "[4,4,1,1]", "[5,4,1,1]");
#define LINEAR_BACKWARD(dx, dy, x) rn_linear_backward(dx, NULL, NULL, dy, x, NULL, 0, &problem)
    REFUSED_SHAPE(LINEAR_BACKWARD(&y, &y, &x), "rn_linear_backward", "input_gradient", "[5,4,1,1]",
                  "[5,3,1,1]");
    REFUSED_SHAPE(LINEAR_BACKWARD(&x, &fewer, &x), "rn_linear_backward", "output_gradient",
                  "[4,4,1,1]", "[5,4,1,1]");
    REFUSED_SHAPE(LINEAR_BACKWARD(&pixels, &y, &pixels), "rn_linear_backward", "input", "[5,3,2,1]",
                  "[5,3,1,1]");

#define NORM(y, x, group) rn_batch_norm_forward(y, NULL, x, NULL, NULL, 1e-5, group, &problem)
    REFUSED_SHAPE(NORM(&y, &x, 0), "rn_batch_norm_forward", "output", "[5,4,1,1]", "[5,3,1,1]");
    REFUSED(NORM(&one, &one, 0), RN_BAD_ARGUMENT, "rn_batch_norm_forward", "input is [1,3,1,1]",
            "one value a channel", "rn_batch_norm_inference");
    REFUSED(NORM(&x, &x, 2), RN_BAD_ARGUMENT, "rn_batch_norm_forward", "input is [5,3,1,1]",
            "a group of 1 image", "no variance"); /* the last */
    REFUSED(NORM(&x, &x, 1), RN_BAD_ARGUMENT, "rn_batch_norm_forward", "a group of 1 image",
            "a larger group", "");
    REFUSED(NORM(&x, &x, -1), RN_BAD_ARGUMENT, "rn_batch_norm_forward", "group is -1",
            "should be 0 to", "");
#define NORM_BACKWARD(dx, dy, x) \
    rn_batch_norm_backward(dx, NULL, NULL, dy, x, NULL, NULL, 1e-5, 0, 0, &problem)
    REFUSED_SHAPE(NORM_BACKWARD(&y, &x, &x), "rn_batch_norm_backward", "input_gradient",
                  "[5,4,1,1]", "[5,3,1,1]");
    REFUSED_SHAPE(NORM_BACKWARD(&x, &y, &x), "rn_batch_norm_backward", "output_gradient",
                  "[5,4,1,1]", "[5,3,1,1]");
    REFUSED(NORM_BACKWARD(&one, &one, &one), RN_BAD_ARGUMENT, "rn_batch_norm_backward",
            "one value a channel", "", "");
    REFUSED_SHAPE(rn_batch_norm_inference(&y, &x, NULL, NULL, NULL, NULL, 1e-5, &problem),
                  "rn_batch_norm_inference", "output", "[5,4,1,1]", "[5,3,1,1]");

#define LOSS(z) rn_softmax_cross_entropy_forward(&result, z, labels, loss, &problem)
#define LOSS_BACKWARD(dz, z) rn_softmax_cross_entropy_backward(dz, z, labels, 1, loss, &problem)
    REFUSED_SHAPE(LOSS(&pixels), "rn_softmax_cross_entropy_forward", "logits", "[5,3,2,1]",
                  "[5,3,1,1]");
    REFUSED_SHAPE(LOSS_BACKWARD(&fewer, &y), "rn_softmax_cross_entropy_backward", "logits_gradient",
                  "[4,4,1,1]", "[5,4,1,1]");
    REFUSED(LOSS(&x), RN_BAD_ARGUMENT, "rn_softmax_cross_entropy_forward", "label of image 1 is 3",
            "0 to 2", "");
    labels[1] = 1;
    {
        rn_real weights[3] = {0, 1, 0};
        const rn_loss zero = {0, weights}, rough = {1, NULL}, negative = {-0.1, NULL};
        loss = &zero;
        labels[0] = labels[1] = labels[2] = labels[3] = labels[4] = 0;
        REFUSED(LOSS(&x), RN_BAD_ARGUMENT, "rn_softmax_cross_entropy_forward",
                "class weights of all 5 labels are zero", "leave the batch out", "");
        weights[2] = -1;
        REFUSED(LOSS(&x), RN_BAD_ARGUMENT, "rn_softmax_cross_entropy_forward",
                "class weight of class 2 is -1", "at least 0", "");
        weights[2] = (rn_real)HUGE_VAL;
        REFUSED(LOSS_BACKWARD(&x, &x), RN_BAD_ARGUMENT, "rn_softmax_cross_entropy_backward",
                "class weight of class 2 is inf", "finite", "");
        loss = &rough;
        REFUSED(LOSS(&x), RN_BAD_ARGUMENT, "rn_softmax_cross_entropy_forward",
                "label_smoothing is 1", "below 1", "");
        loss = &negative;
        REFUSED(LOSS_BACKWARD(&x, &x), RN_BAD_ARGUMENT, "rn_softmax_cross_entropy_backward",
                "label_smoothing is -0.1", "at least 0", "");
        loss = NULL;
    }
    labels[4] = -1;
    REFUSED(LOSS_BACKWARD(&y, &y), RN_BAD_ARGUMENT, "rn_softmax_cross_entropy_backward",
            "label of image 4 is -1", "0 to 3", "");
}

/* ---- tensors ------------------------------------------------------------------------------- */

static void test_tensors(void) {
    array a = draw(3, 4, 2, 5), b;
    placed from, to;
    rn_tensor t, other;
    const int half = 1 << (sizeof(size_t) * 4 - 2);
    int i, j, n, c, h, w;

    CHECK(rn_tensor_bytes(2, 3, 4, 5) == 120 * sizeof(rn_real));
    CHECK(rn_tensor_bytes(2, 0, 4, 5) == 0);
    CHECK(rn_tensor_bytes(2, -3, 4, -5) == 0);
    CHECK(rn_tensor_bytes(INT_MAX, INT_MAX, INT_MAX, INT_MAX) == 0);
    /* The largest power of two that a ptrdiff_t holds, and twice that. */
    CHECK(rn_tensor_bytes(half, half, 1, 1) ==
          (sizeof(rn_real) == 4 ? (size_t)PTRDIFF_MAX / 2 + 1 : 0));
    CHECK(rn_tensor_bytes(half, half, 2, 1) == 0);

    from = place(&a, PLAIN);
    t = from.t;
    RN__EACH(&a) CHECK(t.data[((n * 4 + c) * 2 + h) * 5 + w] == (rn_real)*at(&a, n, c, h, w));
    t = rn_tensor_channels(rn_tensor_images(from.t, 1, 2), 2, 1);
    CHECK(t.n == 2 && t.c == 1 && t.h == 2 && t.w == 5);
    RN__EACH(&t) CHECK(*rn__at(&t, n, c, h, w) == (rn_real)*at(&a, n + 1, c + 2, h, w));
    b = copy(&a);
    for (n = 1; n < 3; n++)
        for (i = 0; i < 10; i++) at(&b, n, 2, 0, 0)[i] = 0.5;
    rn_tensor_fill(t, (rn_real)0.5);
    CHECK_NEAR(distance(&from, &b), 0, 0);

    for (i = 0; i < LAYOUTS; i++)
        for (j = 0; j < LAYOUTS; j++) {
            from = place(&a, i);
            to = place_empty(3, 4, 2, 5, j);
            CHECK_OK(rn_tensor_copy(to.t, from.t, &problem));
            CHECK_NEAR(distance(&to, &a), 0, 0);
            CHECK_NEAR(rn_tensor_difference(to.t, from.t), 0, 0);
        }
    other = shape(3, 4, 2, 4);
    REFUSED_SHAPE(rn_tensor_copy(other, from.t, &problem), "rn_tensor_copy", "to", "[3,4,2,4]",
                  "[3,4,2,5]");
    CHECK(rn_tensor_difference(other, from.t) > DBL_MAX);

    /* Largest difference over the second's largest magnitude, whatever its sign. */
    rn_tensor_fill(from.t, 1);
    rn_tensor_fill(to.t, 1);
    *rn__at(&from.t, 2, 3, 1, 4) = -4;
    *rn__at(&to.t, 2, 3, 1, 4) = -3;
    CHECK_NEAR(rn_tensor_difference(to.t, from.t), 0.25, 1e-15);
    CHECK_NEAR(rn_tensor_difference(from.t, to.t), 1 / 3.0, 1e-15);
    rn_tensor_fill(from.t, 0);
    rn_tensor_fill(to.t, (rn_real)0.125);
    CHECK_NEAR(rn_tensor_difference(to.t, from.t), 0.125, 1e-15);
    *rn__at(&to.t, 1, 1, 1, 1) = (rn_real)NAN;
    CHECK(rn_tensor_difference(to.t, from.t) > DBL_MAX);
    CHECK(rn_tensor_difference(from.t, to.t) > DBL_MAX);
    CHECK(rn_tensor_difference(to.t, to.t) > DBL_MAX);
    *rn__at(&to.t, 1, 1, 1, 1) = (rn_real)-HUGE_VAL;
    CHECK(rn_tensor_difference(to.t, from.t) > DBL_MAX);
    CHECK(rn_tensor_difference(to.t, to.t) > DBL_MAX);

    /* ReLU hides nothing; dropout sets to zero whatever was there. */
    rn_tensor_fill(from.t, (rn_real)NAN);
#ifndef __FAST_MATH__
    CHECK_OK(rn_relu_forward(&to.t, &from.t, NULL));
    CHECK(isnan(*rn__at(&to.t, 0, 0, 0, 0)) && isnan(*rn__at(&to.t, 2, 3, 1, 4)));
#endif
    CHECK_OK(rn_dropout(&to.t, &from.t, 0.999999, key_of(0, RN_PURPOSE_DROPOUT, 0), 0, NULL));
    CHECK(*rn__at(&to.t, 2, 3, 1, 4) == 0);
    release_all();
}

/* ---- random numbers ------------------------------------------------------------------------ */

static void check_permutation(uint64_t count, rn_key key) {
    unsigned char *seen = (unsigned char *)take((size_t)count);
    uint64_t i, hits = 0, fixed = 0;
    for (i = 0; i < count; i++) {
        uint64_t image = rn_shuffle(key, i, count);
        hits += image < count && !seen[image]++;
        fixed += image == i;
    }
    CHECK_INT(hits, count);
    CHECK(count < 20 || fixed < 10); /* one is expected */
    release_all();
}

static void test_shuffle(void) {
    static const uint64_t counts[] = {1, 2, 3, 4, 5, 7, 16, 17, 64, 65, 1000, 4096, 4097, 50000};
    int at_place[5][5] = {{0}}, i, j, same = 0;
    uint64_t epoch;
    for (i = 0; i < (int)(sizeof counts / sizeof counts[0]); i++)
        for (epoch = 0; epoch < 2; epoch++)
            check_permutation(counts[i], key_of(9, RN_PURPOSE_SHUFFLE, epoch));
    for (i = 0; i < 1000; i++)
        same += rn_shuffle(key_of(9, RN_PURPOSE_SHUFFLE, 0), (uint64_t)i, 1000) ==
                rn_shuffle(key_of(9, RN_PURPOSE_SHUFFLE, 1), (uint64_t)i, 1000);
    CHECK(same < 10);
    /* Every image comes to every place equally often: 1000 of 5000, deviation 28. */
    for (epoch = 0; epoch < 5000; epoch++)
        for (i = 0; i < 5; i++)
            at_place[i][rn_shuffle(key_of(3, RN_PURPOSE_SHUFFLE, epoch), (uint64_t)i, 5)]++;
    for (i = 0; i < 5; i++)
        for (j = 0; j < 5; j++) CHECK_NEAR(at_place[i][j], 1000, 150);
}

/* Moments of 100,000 numbers: of (x - centre)^power. */
static double moment(double (*draw_one)(rn_key, uint64_t), double centre, int power) {
    rn_key key = key_of(11, RN_PURPOSE_INIT, 5);
    double sum = 0;
    uint64_t i;
    for (i = 0; i < 100000; i++) sum += pow(draw_one(key, i) - centre, power);
    return sum / 100000;
}

static void test_random(void) {
    rn_key key = key_of(11, RN_PURPOSE_INIT, 5);
    double forwards[100], chi = 0, product = 0, low = 1, high = 0;
    int buckets[64] = {0}, tails = 0, i;
    rn_key others[5];

    for (i = 0; i < 100000; i++) {
        double u = rn_uniform(key, (uint64_t)i), next = rn_uniform(key, (uint64_t)i + 1);
        low = fmin(low, u);
        high = fmax(high, u);
        buckets[(int)(u * 64) & 63]++;
        product += (u - 0.5) * (next - 0.5) / 100000;
        tails += fabs(rn_normal(key, (uint64_t)i)) > 1.959964;
    }
    CHECK(low >= 0 && low < 1e-3 && high < 1 && high > 1 - 1e-3);
    for (i = 0; i < 64; i++) chi += (buckets[i] - 1562.5) * (buckets[i] - 1562.5) / 1562.5;
    CHECK_NEAR(chi, 63, 50); /* deviation 11 */
    CHECK_NEAR(product, 0, 0.0015);
    CHECK_NEAR(tails, 5000, 350);
    CHECK_NEAR(moment(rn_uniform, 0, 1), 0.5, 0.005);
    CHECK_NEAR(moment(rn_uniform, 0.5, 2), 1.0 / 12, 0.002);
    CHECK_NEAR(moment(rn_normal, 0, 1), 0, 0.015);
    CHECK_NEAR(moment(rn_normal, 0, 2), 1, 0.025);
    CHECK_NEAR(moment(rn_normal, 0, 3), 0, 0.06);
    CHECK_NEAR(moment(rn_normal, 0, 4), 3, 0.15);

    /* A number depends on key and index, not on what was drawn before. */
    for (i = 0; i < 100; i++) forwards[i] = rn_normal(key, (uint64_t)i);
    for (i = 99; i >= 0; i--) {
        CHECK(rn_uniform(key, 1000) >= 0);
        CHECK_NEAR(rn_normal(key, (uint64_t)i), forwards[i], 0);
    }

    /* Every field of the key makes another stream, in its own way. */
    others[0] = key_of(12, RN_PURPOSE_INIT, 5);
    others[1] = key_of(11, RN_PURPOSE_SHUFFLE, 5);
    others[2] = key_of(11, RN_PURPOSE_INIT, 6);
    others[3] = key_of(5, RN_PURPOSE_INIT, 11);
    others[4] = key_of(11 | (uint64_t)1 << 63, RN_PURPOSE_INIT, 5);
    for (i = 0; i < 5; i++) {
        uint64_t j, equal = 0;
        double together = 0;
        for (j = 0; j < 10000; j++) {
            equal += rn_random(key, j) == rn_random(others[i], j);
            together += (rn_uniform(key, j) - 0.5) * (rn_uniform(others[i], j) - 0.5) / 10000;
        }
        CHECK_INT(equal, 0);
        CHECK_NEAR(together, 0, 0.004); /* deviation 0.0008 */
    }
}

int main(void) {
    test_tensors();
    test_layers();
    if (DOUBLE) test_slopes();
    test_conv2d_errors();
    test_pool_errors();
    test_pad_subsample_errors();
    test_elementwise_errors();
    test_other_errors();
    test_grouped_errors();
    test_shuffle();
    test_random();
    return test_end(DOUBLE ? "layers, double" : "layers, float");
}
