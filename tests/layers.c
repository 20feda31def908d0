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
        double d = fabs((double)*rn__at(&got->t, n, c, h, w) - *at(want, n, c, h, w));
        if (!(d <= difference)) difference = d;
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

/* N C H W, K R S, stride, padding. */
static const int conv_shapes[][9] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 0},  /* one number */
    {2, 3, 5, 7, 4, 3, 3, 1, 1},  /* the usual */
    {1, 17, 6, 5, 3, 3, 3, 2, 1}, /* channels that fill no block */
    {2, 3, 1, 1, 5, 3, 3, 1, 1},  /* one pixel, all else padding */
    {1, 2, 7, 7, 2, 1, 1, 3, 0},  /* stride above the kernel: some pixels have no gradient */
    {1, 2, 8, 9, 2, 2, 2, 5, 1},  {2, 3, 9, 8, 4, 7, 7, 2, 3},  {1, 1, 4, 4, 2, 2, 2, 2, 0},
    {1, 2, 3, 3, 2, 3, 3, 1, 2},  /* windows with one pixel */
    {1, 2, 3, 4, 2, 2, 3, 1, 4},  /* windows with none */
    {3, 3, 5, 5, 1, 5, 5, 5, 0},  {1, 3, 4, 6, 2, 3, 1, 2, 1},  {1, 17, 3, 3, 17, 1, 1, 2, 0},
    {5, 1, 2, 3, 1, 2, 2, 1, 1},
};

static void test_conv2d_shape(const int *s, int layout, int accumulate) {
    int stride = s[7], padding = s[8];
    int oh = (s[2] + 2 * padding - s[5]) / stride + 1, ow = (s[3] + 2 * padding - s[6]) / stride + 1;
    array x = draw(s[0], s[1], s[2], s[3]), f = draw(s[4], s[1], s[5], s[6]);
    array bias = draw(1, s[4], 1, 1), dy = draw(s[0], s[4], oh, ow);
    array y = zeros(s[0], s[4], oh, ow), before = draw(s[0], s[1], s[2], s[3]);
    array df = draw(s[4], s[1], s[5], s[6]), dbias = draw(1, s[4], 1, 1);
    array dx = base(&before, accumulate), zero_x = zeros(s[0], s[1], s[2], s[3]);
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
    CHECK(size_of(&x) == size_of(&zero_x));
    release_all();
}

static void test_conv2d(void) {
    int i, layout, accumulate;
    for (i = 0; i < (int)(sizeof conv_shapes / sizeof conv_shapes[0]); i++)
        for (layout = 0; layout < LAYOUTS; layout++)
            for (accumulate = 0; accumulate < 2; accumulate++)
                test_conv2d_shape(conv_shapes[i], layout, accumulate);
}
