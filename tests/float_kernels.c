/* float_kernels.c - the float kernels of emitted nets, tools/kernels/float.h, against their
   definitions written a second time, in double and over whole images: shapes at random, among them
   odd ones, rings of rows, values in place of their inputs, and nothing written beside a row.
   emit_float.sh also runs it as a Cortex-M.

   cc -std=c99 -O2 -o float_kernels tests/float_kernels.c -lm && ./float_kernels */

#include "../tools/kernels/float.h"
#include "test.h"
#include <stdlib.h>

enum { MOST = 4096, GUARD = 12345 };

static unsigned long long draws = 1;

static int draw(int below) {
    draws = draws * 6364136223846793005u + 1442695040888963407u;
    return (int)((draws >> 40) % (unsigned)below);
}

static float image[MOST], other[MOST], weight[MOST], bias[MOST], packed[2 * MOST], ring[2 * MOST],
    value[MOST + 1];

static void fill(float *numbers, int n) {
    for (int i = 0; i < n; i++) numbers[i] = (float)draw(20001) / 10000 - 1;
}

static int at(int y, int x, int c, int w, int channels) { return (y * w + x) * channels + c; }

/* One number of a value, of the magnitude of its terms. */
static void expect(const char *kernel, float found, double expected, double magnitude) {
    if (!(fabs((double)found - expected) <= 1e-6 * magnitude))
        test_near(kernel, 0, "a number", (double)found, expected, 1e-6 * magnitude);
    else
        CHECK(1);
}

/* ---- convolution ----------------------------------------------------------------------------- */

typedef struct shape {
    int h, w, c, k, kernel, stride, padding, oh, ow, relu;
} shape;

static double convolved(const shape *s, int k, int y, int x, double *magnitude) {
    double sum = (double)bias[k];
    *magnitude = fabs(sum) + 1;
    for (int r = 0; r < s->kernel; r++)
        for (int q = 0; q < s->kernel; q++)
            for (int c = 0; c < s->c; c++) {
                const int h = y * s->stride - s->padding + r, w = x * s->stride - s->padding + q;
                double product;
                if (h < 0 || h >= s->h || w < 0 || w >= s->w) continue;
                product = (double)image[at(h, w, c, s->w, s->c)] *
                          (double)weight[((k * s->c + c) * s->kernel + r) * s->kernel + q];
                sum += product, *magnitude += fabs(product);
            }
    return s->relu && sum < 0 ? 0 : sum;
}

/* The weights [K][C][R][S] as the kernel wants them. */
static void pack(const shape *s) {
    float *to = packed;
    for (int k = 0; k < s->k; k += 4)
        for (int rq = 0; rq < s->kernel * s->kernel; rq++)
            for (int c = 0; c < s->c; c++)
                for (int f = k; f < k + 4; f++)
                    *to++ = f < s->k ? weight[(f * s->c + c) * s->kernel * s->kernel + rq] : 0;
    for (int f = s->k; f < s->k + 3; f++) bias[f] = 0;
}

static void test_convolution(shape s) {
    const int columns = ((s.ow + 3) / 4 * 4 - 1) * s.stride + s.kernel;
    const convolution c = {packed,         bias, s.kernel, columns * s.c, s.kernel * s.c,
                           s.stride * s.c, s.ow, s.k,      s.relu};
    const int copied = s.w < columns - s.padding ? s.w : columns - s.padding;
    int row = 0;
    fill(image, s.h * s.w * s.c), fill(weight, s.k * s.c * s.kernel * s.kernel), fill(bias, s.k);
    pack(&s);
    for (int y = 0; y < s.oh; y++) {
        for (; row < y * s.stride + s.kernel; row++) {
            float *to = ring + row % s.kernel * c.row;
            const int h = row - s.padding, inside = h >= 0 && h < s.h;
            const float behind = to[c.row];
            for (int i = 0; i < c.row; i++) to[i] = GUARD;
            gather(to, inside ? image + h * s.w * s.c : 0, s.padding * s.c, copied * s.c, c.row);
            CHECK(to[c.row] == behind);
        }
        value[s.ow * s.k] = GUARD;
        convolve(&c, ring, y * s.stride % s.kernel, value);
        CHECK(value[s.ow * s.k] == GUARD);
        for (int x = 0; x < s.ow; x++)
            for (int k = 0; k < s.k; k++) {
                double magnitude;
                const double expected = convolved(&s, k, y, x, &magnitude);
                expect("convolve", value[x * s.k + k], expected, magnitude);
            }
    }
}

static void test_convolutions(void) {
    for (int i = 0; i < 60; i++) {
        shape s;
        s.kernel = i % 5 < 3 ? 3 : i % 5 == 3 ? 1 : 7;
        s.stride = 1 + draw(2);
        s.padding = draw(s.kernel / 2 + 1);
        s.h = s.kernel + draw(4), s.w = s.kernel + draw(9);
        s.c = 1 + draw(6), s.k = 1 + draw(9);
        s.relu = draw(2);
        /* as many as begin inside: kernels reach over the bottom and the right edge, too */
        s.oh = (s.h + s.padding - 1) / s.stride + 1, s.ow = (s.w + s.padding - 1) / s.stride + 1;
        test_convolution(s);
    }
}

/* ---- number by number ------------------------------------------------------------------------ */

static void test_elements(int pixels, int channels, int relu) {
    const int n = pixels * channels;
    float *places[3];
    places[0] = value, places[1] = image, places[2] = other;
    for (int place = 0; place < 3; place++)
        for (int kernel = 0; kernel < 5; kernel++) {
            float *out = places[place];
            static float a[MOST], b[MOST];
            fill(a, n), fill(b, n), fill(weight, channels), fill(bias, channels);
            memcpy(image, a, sizeof image), memcpy(other, b, sizeof other);
            out[n] = GUARD;
            if (kernel == 0) affine(weight, bias, relu, image, pixels, channels, out);
            if (kernel == 1) add(image, other, relu, n, out);
            if (kernel == 2) add_scaled(image, 0.5f, other, -3, relu, n, out);
            if (kernel > 2) gate(image, other, kernel == 3 ? 1.0f : -1.0f, n, out);
            CHECK(out[n] == GUARD);
            for (int i = 0; i < n; i++) {
                const double x = (double)a[i], z = (double)b[i];
                double y = x * (double)weight[i % channels] + (double)bias[i % channels];
                if (kernel == 1) y = x + z;
                if (kernel == 2) y = 0.5 * x - 3 * z;
                if (kernel > 2) y = x / (1 + exp(kernel == 3 ? -z : z));
                if (relu && kernel < 3 && y < 0) y = 0;
                expect("an element", out[i], y, 4);
            }
        }
}

/* ---- pools ----------------------------------------------------------------------------------- */

enum { MAXIMUM, MAXIMUM_OR_ZERO, MEAN };

static double pooled(const pooling *p, int what, int y, int x, int c) {
    double sum = 0, largest = -2;
    int pixels = 0;
    for (int r = 0; r < p->kernel; r++)
        for (int q = 0; q < p->kernel; q++) {
            const int h = y * p->stride - p->padding + r, w = x * p->stride - p->padding + q;
            if (h < 0 || h >= p->height || w < 0 || w >= p->width) continue;
            sum += (double)image[at(h, w, c, p->width, p->channels)], pixels++;
            largest = fmax(largest, (double)image[at(h, w, c, p->width, p->channels)]);
        }
    if (what == MEAN) return sum / pixels;
    return what == MAXIMUM_OR_ZERO && pixels < p->kernel * p->kernel ? fmax(largest, 0) : largest;
}

/* Rows of the image go into a ring just before they are read. */
static void test_pool(pooling p, int what, int height) {
    int row = 0, n = p.width * p.channels;
    fill(image, p.height * n);
    if (draw(2))
        for (int i = 0; i < p.height * n; i++) image[i] = -(float)fabs((double)image[i]);
    for (int y = 0; y < height; y++) {
        for (; row < p.height && row < y * p.stride - p.padding + p.kernel; row++)
            memcpy(ring + row % p.rows * n, image + row * n, (size_t)n * sizeof(float));
        value[p.pixels * p.channels] = GUARD;
        if (what == MEAN)
            avg_pool(&p, ring, y, value);
        else
            max_pool(&p, what == MAXIMUM_OR_ZERO, ring, y, value);
        CHECK(value[p.pixels * p.channels] == GUARD);
        for (int x = 0; x < p.pixels; x++)
            for (int c = 0; c < p.channels; c++)
                expect("a pool", value[x * p.channels + c], pooled(&p, what, y, x, c), 1);
    }
}

static void test_pools(void) {
    for (int i = 0; i < 60; i++) {
        const int what = i % 3;
        pooling p;
        int height;
        p.kernel = 1 + draw(3), p.stride = 1 + draw(p.kernel);
        p.padding = what == MEAN ? 0 : draw(p.kernel);
        p.height = p.kernel + draw(6), p.width = p.kernel + draw(6), p.channels = 1 + draw(6);
        p.rows = p.kernel + draw(2);
        p.pixels = (p.width + p.padding - 1) / p.stride + 1; /* every window holds a pixel */
        height = (p.height + p.padding - 1) / p.stride + 1;
        test_pool(p, what, height);
    }
}

static void test_mean_and_padding(int pixels, int channels, int stride, int front) {
    const int more = channels + front + draw(3), width = (pixels - 1) / stride + 1;
    fill(image, pixels * channels);
    value[channels] = GUARD;
    global_avg_pool(image, pixels, channels, value);
    CHECK(value[channels] == GUARD);
    for (int c = 0; c < channels; c++) {
        double sum = 0;
        for (int i = 0; i < pixels; i++) sum += (double)image[i * channels + c];
        expect("global_avg_pool", value[c], sum / pixels, 1);
    }
    value[width * more] = GUARD;
    pad_subsample(image, stride, channels, front, more, width, value);
    CHECK(value[width * more] == GUARD);
    for (int x = 0; x < width; x++)
        for (int c = 0; c < more; c++) {
            const int inside = c >= front && c < front + channels;
            expect("pad_subsample", value[x * more + c],
                   inside ? (double)image[x * stride * channels + c - front] : 0, 1);
        }
}

#if defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
void initialise_monitor_handles(void); /* newlib's: printf writes to QEMU's console */
#else
static void initialise_monitor_handles(void) {}
#endif

int main(void) {
    initialise_monitor_handles();
    test_convolutions();
    for (int i = 0; i < 6; i++) test_elements(1 + i * 5 % 9, 1 + i * 7 % 10, i % 2);
    test_pools();
    for (int i = 0; i < 10; i++) test_mean_and_padding(1 + 4 * i, 1 + i * 7 % 10, 1 + i % 2, i % 4);
    return test_end("float_kernels");
}
