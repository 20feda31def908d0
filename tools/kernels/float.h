/* float.h - the kernels of a net that tools/emit_c writes in float. It takes the sections that a
   net needs; a section begins with a line of dashes that names it. A value lies [H][W][C] and
   is made row by row; a row is W C numbers. */
#ifndef KERNELS_FLOAT_H
#define KERNELS_FLOAT_H

#include <string.h>

/* ---- convolution --------------------------------------------------------------------------------
   Of a window, a ring of R rows of the input with the padding around them, long enough for tiles of
   4 pixels. Weights lie [K/4][R][S][C][4]: four filters side by side, which are loaded together;
   where K is no multiple of 4, filters and biases of zeros fill up. */
typedef struct convolution {
    const float *weight, *bias;
    int kernel;   /* R and S */
    int row;      /* numbers in a row of the window */
    int run;      /* S C: numbers of such a row that a pixel is made of */
    int step;     /* stride C: from those of a pixel to those of the next */
    int pixels;   /* in a row of the value */
    int channels; /* of the value, K */
    int relu;     /* 1: what is negative becomes 0 */
} convolution;

/* multiply: sums[p][f] += numbers[p step + i] weight[i][f], i < n, of 4 pixels p, 4 filters f. */
#if defined(__ARM_FEATURE_MVE) && __ARM_FEATURE_MVE & 2 && !defined(PLAIN)
#include <arm_mve.h>
typedef float32x4_t four;
#define VECTORS
#define MULTIPLY_ADD(sum, weights, x) vfmaq_n_f32(sum, weights, x)
#elif defined(__ARM_FEATURE_FMA) && __ARM_ARCH_PROFILE == 'M' && !defined(PLAIN)
/* Cortex-M4F, M7, M33: s0 to s15 are the sums, s16 to s23 two numbers of each pixel, s24 to s31 the
   weights of both, so a round is 5 loads and 32 multiply-adds. Compilers never load several
   registers at once by themselves. */
#define PIXEL(s0, s1, s2, s3, x, w0, w1, w2, w3)                                       \
    "vfma.f32 s" #s0 ", s" #x ", s" #w0 "\n\tvfma.f32 s" #s1 ", s" #x ", s" #w1 "\n\t" \
    "vfma.f32 s" #s2 ", s" #x ", s" #w2 "\n\tvfma.f32 s" #s3 ", s" #x ", s" #w3 "\n\t"
#define PIXELS(x0, x1, x2, x3, w0, w1, w2, w3) \
    PIXEL(0, 1, 2, 3, x0, w0, w1, w2, w3)      \
    PIXEL(4, 5, 6, 7, x1, w0, w1, w2, w3)      \
    PIXEL(8, 9, 10, 11, x2, w0, w1, w2, w3)    \
    PIXEL(12, 13, 14, 15, x3, w0, w1, w2, w3)
#define PRODUCTS_OF_ONE PIXELS(16, 17, 18, 19, 24, 25, 26, 27)
#define PRODUCTS_OF_TWO \
    PIXELS(16, 18, 20, 22, 24, 25, 26, 27) PIXELS(17, 19, 21, 23, 28, 29, 30, 31)
static inline void multiply(float *sums, const float *numbers, int step, const float *weight,
                            int n) {
    const float *a = numbers, *b = a + step, *c = b + step, *d = c + step;
    __asm__ volatile(
        "vldmia %[sums], {s0-s15}\n\t"
        "lsrs %[n], %[n], #1\n\t"
        "bcc 1f\n\t" /* where n is odd, one number by itself; the flags stay */
        "vldmia %[a]!, {s16}\n\tvldmia %[b]!, {s17}\n\t"
        "vldmia %[c]!, {s18}\n\tvldmia %[d]!, {s19}\n\t"
        "vldmia %[weight]!, {s24-s27}\n\t" PRODUCTS_OF_ONE "1:\n\t"
        "beq 3f\n"
        "2:\n\t"
        "vldmia %[a]!, {s16-s17}\n\tvldmia %[b]!, {s18-s19}\n\t"
        "vldmia %[c]!, {s20-s21}\n\tvldmia %[d]!, {s22-s23}\n\t"
        "vldmia %[weight]!, {s24-s31}\n\t" PRODUCTS_OF_TWO "subs %[n], %[n], #1\n\t"
        "bne 2b\n"
        "3:\n\t"
        "vstmia %[sums], {s0-s15}"
        : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [weight] "+r"(weight), [n] "+r"(n)
        : [sums] "r"(sums)
        : "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11",
          "s12", "s13", "s14", "s15", "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24",
          "s25", "s26", "s27", "s28", "s29", "s30", "s31");
}
#elif defined(__GNUC__) && !defined(PLAIN)
typedef float four __attribute__((vector_size(16)));
#define VECTORS
#define MULTIPLY_ADD(sum, weights, x) ((sum) + (weights) * (x))
#else
static inline void multiply(float *sums, const float *numbers, int step, const float *weight,
                            int n) {
    for (int i = 0; i < n; i++, weight += 4)
        for (int p = 0; p < 4; p++)
            for (int f = 0; f < 4; f++) sums[4 * p + f] += numbers[p * step + i] * weight[f];
}
#endif
#ifdef VECTORS /* of Helium, SSE, Neon, WebAssembly */
static inline void multiply(float *sums, const float *numbers, int step, const float *weight,
                            int n) {
    const float *a = numbers, *b = a + step, *c = b + step, *d = c + step;
    four s[4], w;
    memcpy(s, sums, sizeof s);
    for (int i = 0; i < n; i++, weight += 4) {
        memcpy(&w, weight, sizeof w);
        s[0] = MULTIPLY_ADD(s[0], w, a[i]);
        s[1] = MULTIPLY_ADD(s[1], w, b[i]);
        s[2] = MULTIPLY_ADD(s[2], w, c[i]);
        s[3] = MULTIPLY_ADD(s[3], w, d[i]);
    }
    memcpy(sums, s, sizeof s);
}
#endif

/* Writes the sums of pixels x, x + 1, ... and filters k, k + 1, ..., at most 4, into a row. */
static inline void put(const convolution *c, const float *sums, int x, int k, float *row) {
    const int pixels = c->pixels - x < 4 ? c->pixels - x : 4;
    const int filters = c->channels - k < 4 ? c->channels - k : 4;
    float *out = row + x * c->channels + k;
    for (int p = 0; p < pixels; p++, out += c->channels, sums += 4)
        for (int f = 0; f < filters; f++) out[f] = c->relu && sums[f] < 0 ? 0 : sums[f];
}

/* Copies a row of the input, `copied` numbers, into a row of the window that has `front` numbers of
   padding before them and is `length` long; from 0: all of it is padding. */
static void gather(float *to, const float *from, int front, int copied, int length) {
    const int begin = from ? front : length, end = from ? front + copied : length;
    memset(to, 0, (size_t)begin * sizeof(float));
    if (from) memcpy(to + begin, from, (size_t)copied * sizeof(float));
    memset(to + end, 0, (size_t)(length - end) * sizeof(float));
}

/* A row of a convolution's value; row `top` of the ring is the uppermost that it is made of. */
static void convolve(const convolution *c, const float *window, int top, float *out) {
    const float *weight = c->weight;
    for (int k = 0; k < c->channels; k += 4, weight += 4 * c->kernel * c->run)
        for (int x = 0; x < c->pixels; x += 4) {
            float sums[16];
            int row = top;
            for (int p = 0; p < 4; p++) memcpy(sums + 4 * p, c->bias + k, 4 * sizeof(float));
            for (int r = 0; r < c->kernel; r++) {
                multiply(sums, window + row * c->row + x * c->step, c->step,
                         weight + 4 * r * c->run, c->run);
                if (++row == c->kernel) row = 0;
            }
            put(c, sums, x, k, out);
        }
}

/* ---- affine ---------------------------------------------------------------------------------- */

/* A row of an affine layer: out = in weight + bias, a number a channel. out may be in. */
static void affine(const float *weight, const float *bias, int relu, const float *in, int pixels,
                   int channels, float *out) {
    for (int x = 0; x < pixels; x++, in += channels, out += channels)
        for (int c = 0; c < channels; c++) {
            const float y = in[c] * weight[c] + bias[c];
            out[c] = relu && y < 0 ? 0 : y;
        }
}

/* ---- add ------------------------------------------------------------------------------------- */

/* out = a + b, n numbers. out may be a or b. */
static void add(const float *a, const float *b, int relu, int n, float *out) {
    for (int i = 0; i < n; i++) {
        const float y = a[i] + b[i];
        out[i] = relu && y < 0 ? 0 : y;
    }
}

/* ---- add_scaled ------------------------------------------------------------------------------ */

/* out = a factor_a + b factor_b, n numbers. out may be a or b. */
static void add_scaled(const float *a, float factor_a, const float *b, float factor_b, int relu,
                       int n, float *out) {
    for (int i = 0; i < n; i++) {
        const float y = a[i] * factor_a + b[i] * factor_b;
        out[i] = relu && y < 0 ? 0 : y;
    }
}

/* ---- gate ------------------------------------------------------------------------------------ */

#include <math.h> /* expf */

/* out = in sigmoid(sign logits), n numbers; sigmoid(-z) is 1 - sigmoid(z). out may be either. */
static void gate(const float *in, const float *logits, float sign, int n, float *out) {
    for (int i = 0; i < n; i++) out[i] = in[i] / (1 + expf(-sign * logits[i]));
}

/* ---- pool ------------------------------------------------------------------------------------ */

/* A pool. It reads a ring of rows of its input; its windows are cut at the edges of that. */
typedef struct pooling {
    int kernel, stride, padding;
    int height, width, channels; /* of the input */
    int rows;                    /* of the ring */
    int pixels;                  /* in a row of the value */
} pooling;

/* Where a window that begins at `first` begins and ends in an image of `size`. */
static inline int begin_of(int first) { return first < 0 ? 0 : first; }
static inline int end_of(int first, int kernel, int size) {
    return first + kernel < size ? first + kernel : size;
}

/* ---- max_pool -------------------------------------------------------------------------------- */

/* Row y of a max-pool's value; with zeros 1 the padding counts as zeros, otherwise not at all. */
static void max_pool(const pooling *p, int zeros, const float *ring, int y, float *out) {
    const int top = y * p->stride - p->padding, bottom = end_of(top, p->kernel, p->height);
    for (int x = 0; x < p->pixels; x++, out += p->channels) {
        const int left = x * p->stride - p->padding, right = end_of(left, p->kernel, p->width);
        const int cut = (bottom - begin_of(top)) * (right - begin_of(left)) < p->kernel * p->kernel;
        for (int c = 0; c < p->channels; c++) {
            float largest = 0;
            int none = !(zeros && cut);
            for (int h = begin_of(top); h < bottom; h++)
                for (int w = begin_of(left); w < right; w++, none = 0) {
                    const float z = ring[((h % p->rows) * p->width + w) * p->channels + c];
                    if (none || z > largest) largest = z;
                }
            out[c] = largest;
        }
    }
}

/* ---- avg_pool -------------------------------------------------------------------------------- */

/* Row y of an average pool's value: the mean of the pixels that are there. */
static void avg_pool(const pooling *p, const float *ring, int y, float *out) {
    const int top = y * p->stride - p->padding, bottom = end_of(top, p->kernel, p->height);
    for (int x = 0; x < p->pixels; x++, out += p->channels) {
        const int left = x * p->stride - p->padding, right = end_of(left, p->kernel, p->width);
        const float share = 1 / (float)((bottom - begin_of(top)) * (right - begin_of(left)));
        for (int c = 0; c < p->channels; c++) {
            float sum = 0;
            for (int h = begin_of(top); h < bottom; h++)
                for (int w = begin_of(left); w < right; w++)
                    sum += ring[((h % p->rows) * p->width + w) * p->channels + c];
            out[c] = sum * share;
        }
    }
}

/* ---- global_avg_pool ------------------------------------------------------------------------- */

/* The mean of all pixels, in each channel. */
static void global_avg_pool(const float *in, int pixels, int channels, float *out) {
    for (int c = 0; c < channels; c++) {
        float sum = 0;
        for (int i = 0; i < pixels; i++) sum += in[i * channels + c];
        out[c] = sum / (float)pixels;
    }
}

/* ---- pad_subsample --------------------------------------------------------------------------- */

/* Every stride-th pixel of a row of `channels` channels, as `more`, zeros in front and behind. */
static void pad_subsample(const float *in, int stride, int channels, int front, int more,
                          int pixels, float *out) {
    for (int x = 0; x < pixels; x++, in += stride * channels, out += more) {
        for (int c = 0; c < more; c++) out[c] = 0;
        memcpy(out + front, in, (size_t)channels * sizeof(float));
    }
}

#endif
