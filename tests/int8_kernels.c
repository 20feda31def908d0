/* int8_kernels.c - the integer kernels of emitted nets, tools/kernels/int8.h, against their
   definitions written a second time, a number at a time: shapes at random, among them odd ones,
   rings of rows, int16_t beside int8_t, values in place of their inputs, sums at both ends of their
   range, and nothing written beside a row. All bytes equal. emit_int8.sh also runs it as a
   Cortex-M.

   cc -std=c99 -O2 -o int8_kernels tests/int8_kernels.c -lm && ./int8_kernels */

#include "../tools/kernels/int8.h"
#include "test.h"

enum { MOST = 4096, GUARD = 77 };

static unsigned long long draws = 1;

static int draw(int below) {
    draws = draws * 6364136223846793005u + 1442695040888963407u;
    return (int)((draws >> 33) % (unsigned)below);
}

static int between(int first, int last) { return first + draw(last - first + 1); }

static int8_t image[MOST], other[MOST], weight[MOST], packed[2 * MOST];
static int16_t ring[2 * MOST], words[3][MOST];
static int32_t bias[64], multiplier[64];
static int8_t shift[64];

/* Numbers of all sizes; every fourth time only the least and the largest. */
static void fill(int8_t *numbers, int n, int least) {
    const int extreme = draw(4) == 0;
    for (int i = 0; i < n; i++)
        numbers[i] = (int8_t)(extreme ? (draw(2) ? 127 : least) : between(least, 127));
}

static int at(int y, int x, int c, int w, int channels) { return (y * w + x) * channels + c; }

/* x multiplier 2^(shift - 31), rounded twice: halves up, then halves away from zero. */
static int64_t scaled(int64_t x, int32_t m, int e) {
    const int64_t left = e > 0 ? (int64_t)1 << e : 1, right = e < 0 ? (int64_t)1 << -e : 1;
    const int64_t h = (x * left * m + (1 << 30)) >> 31;
    const int64_t size = h < 0 ? -h : h, nearest = (size + right / 2) / right;
    return h < 0 ? -nearest : nearest;
}

static int clamped(int64_t y, int wide, int least) {
    const int most = wide ? 32767 : 127;
    return y < least ? least : y > most ? most : (int)y;
}

static void draw_factor(int i, int first, int last) {
    multiplier[i] = (1 << 30) + draw(1 << 30);
    shift[i] = (int8_t)between(first, last);
}

/* Of a value: a ReLU's least is its zero point. */
static void draw_least(int wide, int *zero_point, int *least) {
    *zero_point = wide ? 0 : between(-128, 127);
    *least = draw(2) ? *zero_point : wide ? -32768 : -128;
}

static void expect(const char *kernel, int found, int expected) {
    if (found != expected)
        test_int(kernel, 0, "a number", found, expected);
    else
        CHECK(1);
}

/* ---- convolution ----------------------------------------------------------------------------- */

typedef struct shape {
    int h, w, c, k, kernel, stride, padding, oh, ow;
    int flags, zero_points[4]; /* of the input's channels, of all the first if `image` is 0 */
    int image;
} shape;

static int64_t convolved(const shape *s, int k, int y, int x) {
    int64_t sum = bias[k];
    for (int r = 0; r < s->kernel; r++)
        for (int q = 0; q < s->kernel; q++)
            for (int c = 0; c < s->c; c++) {
                const int h = y * s->stride - s->padding + r, w = x * s->stride - s->padding + q;
                if (h < 0 || h >= s->h || w < 0 || w >= s->w) continue;
                sum += (image[at(h, w, c, s->w, s->c)] - s->zero_points[s->image ? c : 0]) *
                       weight[((k * s->c + c) * s->kernel + r) * s->kernel + q];
            }
    return sum;
}

/* The weights [K][C][R][S] as the kernel wants them. */
static void pack(const shape *s) {
    const int even = (s->c + 1) / 2 * 2, taps = s->kernel * s->kernel;
    int8_t *to = packed;
    for (int k = 0; k < s->k; k += 2)
        for (int t = 0; t < taps; t++)
            for (int c = 0; c < even; c++)
                for (int f = k; f < k + 2; f++)
                    *to++ = f < s->k && c < s->c ? weight[(f * s->c + c) * taps + t] : 0;
}

/* Factors that bring sums into the range of the value, or a bit beyond. */
static void draw_numbers(const shape *s) {
    const int wide = s->flags & WIDE, any = s->flags & ANY, bits = wide ? 3 : 11;
    fill(image, s->h * s->w * s->c, -128);
    fill(weight, s->k * s->c * s->kernel * s->kernel, -127);
    for (int k = 0; k < s->k; k++) {
        draw_factor(k, -bits - 2, any ? 2 : -bits);
        bias[k] = between(-(1 << 14), 1 << 14);
        if (any && shift[k] < -8) bias[k] = draw(2) ? 1 << 30 : -(1 << 30);
    }
    shift[s->k] = -1;
    pack(s);
}

/* Shapes that are constants of the code, as in emitted files, or not. */
static void make_row(const shape *s, const convolution *l, int top, void *out) {
    const int even = (s->c + 1) / 2 * 2, three = s->kernel == 3 && s->flags == CUT;
    if (three && even == 4 && s->stride == 1)
        convolve(l, 3, 4, 1, CUT, ring, top, out);
    else if (three && even == 6 && s->stride == 2)
        convolve(l, 3, 6, 2, CUT, ring, top, out);
    else
        convolve(l, s->kernel, even, s->stride, s->flags, ring, top, out);
}

static void test_convolution(shape s) {
    const int columns = ((s.ow + 3) / 4 * 4 - 1) * s.stride + s.kernel, wide = s.flags & WIDE;
    const int row = columns * ((s.c + 1) / 2 * 2), count = s.ow * s.k;
    const int pixels = s.w < columns - s.padding ? s.w : columns - s.padding;
    const int16_t zero_points[4] = {(int16_t)s.zero_points[0], (int16_t)s.zero_points[1],
                                    (int16_t)s.zero_points[2], (int16_t)s.zero_points[3]};
    int zero_point, least, next = 0;
    draw_numbers(&s);
    draw_least(wide, &zero_point, &least);
    if (least > (wide ? -32768 : -128)) s.flags |= FLOOR;
    const convolution l = {packed, bias, multiplier, shift, row, s.ow, s.k, zero_point, least};
    for (int y = 0; y < s.oh; y++) {
        for (; next < y * s.stride + s.kernel; next++) {
            const int h = next - s.padding;
            const int8_t *from = h < 0 || h >= s.h ? NULL : image + h * s.w * s.c;
            int16_t *to = ring + next % s.kernel * row;
            to[row] = next % s.kernel == s.kernel - 1 ? GUARD : to[row];
            if (s.image)
                widen_image(to, from, pixels, s.c, zero_points, s.padding, row);
            else
                widen(to, from, pixels, s.c, zero_points[0], s.padding, row);
            CHECK(next % s.kernel < s.kernel - 1 || to[row] == GUARD);
        }
        put(words[0], count, wide, GUARD, 0);
        make_row(&s, &l, y * s.stride % s.kernel, words[0]);
        CHECK(get(words[0], count, wide) == GUARD);
        for (int i = 0; i < count; i++) {
            const int k = i % s.k;
            const int64_t sum = convolved(&s, k, y, i / s.k);
            expect("convolve", get(words[0], i, wide),
                   clamped(scaled(sum, multiplier[k], shift[k]) + zero_point, wide, least));
        }
    }
}

static void test_convolutions(void) {
    for (int i = 0; i < 80; i++) {
        shape s;
        s.kernel = i % 5 < 3 ? 3 : i % 5 == 3 ? 1 : 7;
        s.stride = 1 + draw(2);
        s.padding = draw(s.kernel / 2 + 1);
        s.h = s.kernel + draw(4), s.w = s.kernel + draw(9);
        s.c = 1 + draw(s.kernel == 1 ? 20 : 6), s.k = 1 + draw(9);
        s.flags = draw(4) == 0 ? WIDE : 0;
        s.flags |= draw(4) == 0 ? ANY : 0;
        s.image = s.c <= 4 && draw(2);
        for (int c = 0; c < 4; c++) s.zero_points[c] = between(-128, 127);
        /* as many as begin inside: kernels reach over the bottom and the right edge, too */
        s.oh = (s.h + s.padding - 1) / s.stride + 1, s.ow = (s.w + s.padding - 1) / s.stride + 1;
        s.flags |= s.ow % 4 || s.k % 2 || draw(2) ? CUT : 0;
        test_convolution(s);
    }
}

/* ---- number by number ------------------------------------------------------------------------ */

static int a[MOST], b[MOST]; /* terms */

static void fill_row(int *numbers, void *row, int n, int wide, int bits) {
    const int extreme = draw(4) == 0;
    for (int i = 0; i < n; i++) {
        const int least = -(1 << bits);
        numbers[i] = extreme ? (draw(2) ? -1 - least : least) : between(least, -1 - least);
        put(row, i, wide, numbers[i], -32768);
    }
}

/* What is behind a row stays; over a term the next number may be one of the term. */
static void guard(void *out, int n, int wide) {
    if (out == words[2]) put(out, n, wide, GUARD, 0);
}

static void check_guard(const void *out, int n, int wide) {
    if (out == words[2]) CHECK(get(out, n, wide) == GUARD);
}

static void test_addition(int i, int n) {
    const int wide = draw(8), one_scale = i % 6 == 5, first = draw(2);
    void *const places[3] = {words[0], words[1], words[2]};
    const int place = wide & 4 && !(wide & 1 && wide & 2) ? 2 : draw(3); /* none that is shorter */
    void *out = places[place];
    addition l;
    l.zero_points[0] = wide & 1 ? 0 : between(-128, 127);
    l.zero_points[1] = wide & 2 ? 0 : between(-128, 127);
    l.left = wide ? 15 : 20;
    for (int k = 0; k < 3; k++) {
        draw_factor(k, k < 2 ? -4 : 2 - l.left, k < 2 ? -1 : 4 - l.left);
        if (one_scale || k == first) multiplier[k] = 1 << 30, shift[k] = 0;
        if (one_scale && k == 2) shift[k] = (int8_t)(2 - l.left);
        l.multiplier[k] = multiplier[k], l.shift[k] = shift[k];
    }
    draw_least(wide & 4, &l.zero_point, &l.least);
    fill_row(a, words[0], n, wide & 1, wide & 1 ? 15 : 7);
    fill_row(b, words[1], n, wide & 2, wide & 2 ? 15 : 7);
    guard(out, n, wide & 4);
    add(&l, words[0], words[1], wide, n, out);
    check_guard(out, n, wide & 4);
    for (int k = 0; k < n; k++) {
        const int64_t one = (int64_t)1 << l.left;
        const int64_t sum = scaled((a[k] - l.zero_points[0]) * one, multiplier[0], shift[0]) +
                            scaled((b[k] - l.zero_points[1]) * one, multiplier[1], shift[1]);
        expect("add", get(out, k, wide & 4),
               clamped(scaled(sum, multiplier[2], shift[2]) + l.zero_point, wide & 4, l.least));
    }
}

static void test_affinity(int pixels, int channels) {
    static int16_t factor[64];
    const int wide = draw(2) + 4 * draw(2), n = pixels * channels;
    void *out = wide == 4 || draw(2) ? words[2] : words[0];
    affinity l = {factor, bias, shift, 0, 0};
    int zero_point;
    draw_least(wide & 4, &zero_point, &l.least);
    l.zero_point = wide & 1 ? 0 : between(-128, 127);
    for (int c = 0; c < channels; c++) {
        factor[c] = (int16_t)between(-32768, 32767), shift[c] = (int8_t)between(0, 24);
        bias[c] = between(-(1 << 29), 1 << 29);
    }
    fill_row(a, words[0], n, wide & 1, wide & 1 ? 15 : 7);
    guard(out, n, wide & 4);
    affine(&l, words[0], wide, pixels, channels, out);
    check_guard(out, n, wide & 4);
    for (int i = 0; i < n; i++) {
        const int c = i % channels;
        const int64_t sum = (int64_t)(a[i] - l.zero_point) * factor[c] + bias[c];
        expect("affine", get(out, i, wide & 4), clamped(sum >> shift[c], wide & 4, l.least));
    }
}

static void test_gating(int n) {
    static int16_t table[256];
    const int wide = draw(2) + 4 * draw(2);
    void *out = wide == 4 || draw(2) ? words[2] : words[0];
    gating l = {table, 0, 0, 0, 0, 0};
    for (int i = 0; i < 256; i++) table[i] = (int16_t)draw(32768);
    draw_factor(0, wide & 1 && !(wide & 4) ? -23 : -17, wide == 4 ? -8 : -15);
    l.zero_point_in = wide & 1 ? 0 : between(-128, 127);
    l.multiplier = multiplier[0], l.shift = shift[0];
    draw_least(wide & 4, &l.zero_point, &l.least);
    fill_row(a, words[0], n, wide & 1, wide & 1 ? 15 : 7);
    fill(other, n, -128);
    guard(out, n, wide & 4);
    gate(&l, words[0], other, wide, n, out);
    check_guard(out, n, wide & 4);
    for (int i = 0; i < n; i++) {
        const int64_t product = (int64_t)(a[i] - l.zero_point_in) * table[128 + other[i]];
        expect("gate", get(out, i, wide & 4),
               clamped(scaled(product, l.multiplier, l.shift) + l.zero_point, wide & 4, l.least));
    }
}

/* ---- pools ----------------------------------------------------------------------------------- */

static int meant(const rescaling *l, int sum, int count, int where) {
    const int size = sum < 0 ? -sum : sum, nearest = (size + count / 2) / count;
    if (!l->multiplier) return sum < 0 ? -nearest : nearest;
    return clamped(scaled(sum - count * l->zero_point_in, multiplier[where], shift[where]) +
                       l->zero_point,
                   0, -128);
}

/* A max-pool's value if l is NULL; `padding` is what the padding counts as. */
static int pooled(const pooling *p, const rescaling *l, int padding, int y, int x, int c) {
    int sum = 0, largest = -128, pixels = 0;
    for (int r = 0; r < p->kernel; r++)
        for (int q = 0; q < p->kernel; q++) {
            const int h = y * p->stride - p->padding + r, w = x * p->stride - p->padding + q;
            int number;
            if (h < 0 || h >= p->height || w < 0 || w >= p->width) continue;
            number = image[at(h, w, c, p->width, p->channels)];
            sum += number, pixels++, largest = number > largest ? number : largest;
        }
    if (l) return meant(l, sum, pixels, pixels - 1);
    return pixels < p->kernel * p->kernel && padding > largest ? padding : largest;
}

static rescaling draw_rescaling(int counts) {
    rescaling l = {NULL, NULL, between(-128, 127), between(-128, 127)};
    for (int i = 0; i < counts; i++) draw_factor(i, -6, 0);
    if (draw(2)) l.multiplier = multiplier, l.shift = shift;
    return l;
}

/* Rows of the image go into a ring just before they are read. */
static void test_pool(pooling p, int mean_of_them, int height) {
    static int8_t rows[MOST], value[MOST];
    const rescaling l = draw_rescaling(p.kernel * p.kernel);
    const int n = p.width * p.channels, padding = draw(2) ? -128 : between(-128, 127);
    int row = 0;
    fill(image, p.height * n, -128);
    for (int y = 0; y < height; y++) {
        for (; row < p.height && row < y * p.stride - p.padding + p.kernel; row++)
            memcpy(rows + row % p.rows * n, image + row * n, (size_t)n);
        value[p.pixels * p.channels] = GUARD;
        if (mean_of_them)
            avg_pool(&p, &l, rows, y, value);
        else
            max_pool(&p, (int8_t)padding, rows, y, value);
        CHECK(value[p.pixels * p.channels] == GUARD);
        for (int i = 0; i < p.pixels * p.channels; i++)
            expect(
                "a pool", value[i],
                pooled(&p, mean_of_them ? &l : NULL, padding, y, i / p.channels, i % p.channels));
    }
}

static void test_pools(void) {
    for (int i = 0; i < 60; i++) {
        pooling p;
        p.kernel = 1 + draw(3), p.stride = 1 + draw(p.kernel);
        p.padding = draw(p.kernel);
        p.height = p.kernel + draw(6), p.width = p.kernel + draw(6), p.channels = 1 + draw(6);
        p.rows = p.kernel + draw(2);
        p.pixels = (p.width + p.padding - 1) / p.stride + 1; /* every window holds a pixel */
        test_pool(p, i % 2, (p.height + p.padding - 1) / p.stride + 1);
    }
}

static void test_mean_of_all(int pixels, int channels) {
    static int8_t value[MOST];
    rescaling l = draw_rescaling(1);
    fill(image, pixels * channels, -128);
    value[channels] = GUARD;
    global_avg_pool(&l, image, pixels, channels, value);
    CHECK(value[channels] == GUARD);
    for (int c = 0; c < channels; c++) {
        int sum = 0;
        for (int i = 0; i < pixels; i++) sum += image[i * channels + c];
        expect("global_avg_pool", value[c], meant(&l, sum, pixels, 0));
    }
}

static void test_padding(int pixels, int channels, int stride, int front) {
    const int filters = channels + front + draw(3), width = (pixels - 1) / stride + 1;
    const int wide = draw(2), zero_point = between(-128, 127);
    fill_row(a, words[0], pixels * channels, wide, wide ? 15 : 7);
    put(words[1], width * filters, wide, GUARD, 0);
    pad_subsample(words[0], wide, stride, channels, front, filters, width, zero_point, words[1]);
    CHECK(get(words[1], width * filters, wide) == GUARD);
    for (int x = 0; x < width; x++)
        for (int c = 0; c < filters; c++)
            expect("pad_subsample", get(words[1], x * filters + c, wide),
                   c >= front && c < front + channels ? a[x * stride * channels + c - front]
                                                      : zero_point);
}

#if defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
void initialise_monitor_handles(void); /* newlib's: printf writes to QEMU's console */
#else
static void initialise_monitor_handles(void) {}
#endif

int main(void) {
    initialise_monitor_handles();
    test_convolutions();
    for (int i = 0; i < 60; i++) test_addition(i, 1 + i * 7 % 50);
    for (int i = 0; i < 20; i++) test_affinity(1 + i * 5 % 9, 1 + i * 7 % 10);
    for (int i = 0; i < 20; i++) test_gating(1 + i * 7 % 50);
    test_pools();
    for (int i = 0; i < 20; i++) test_mean_of_all(1 + 4 * i, 1 + i * 7 % 10);
    for (int i = 0; i < 20; i++) test_padding(1 + 4 * i, 1 + i * 7 % 10, 1 + i % 2, i % 4);
    return test_end("int8_kernels");
}
