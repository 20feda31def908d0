/* int8.h - the kernels of a net that tools/emit_c writes in integers. It takes the sections that a
   net needs; a section begins with a line of dashes that names it. A value lies [H][W][C] and is
   made row by row; a row is W C numbers. Three sets of kernels give the same bytes: for Helium
   (Cortex-M55, M85), for Arm's DSP extension (Cortex-M4, M7, M33), and plain C. */
#ifndef KERNELS_INT8_H
#define KERNELS_INT8_H

#include <stdint.h>
#include <string.h>

/* ---- integers -------------------------------------------------------------------------------- */

#if !defined(__GNUC__) || defined(__ARM_BIG_ENDIAN) || defined(PLAIN)
#elif defined(__ARM_FEATURE_MVE) && __ARM_FEATURE_MVE & 1
#define HELIUM
#include <arm_mve.h>
#elif defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_SIMD32)
#define DSP
#endif

#ifdef __GNUC__ /* numbers that are the same in each call become constants of the instructions */
#define INLINE static inline __attribute__((always_inline, unused))
#define SHARED static __attribute__((noinline, unused))
#define ALIGNED __attribute__((aligned(4)))
#else
#define INLINE static inline
#define SHARED static
#define ALIGNED
#endif
#if defined(__GNUC__) && !defined(__clang__)
#define PRAGMA(text) _Pragma(#text)
#define UNROLL(n) PRAGMA(GCC unroll n)
#else
#define UNROLL(n)
#endif

/* Number i of a row: int8_t, or int16_t of a value that is wide. */
INLINE int32_t get(const void *row, int i, int wide) {
    return wide ? ((const int16_t *)row)[i] : ((const int8_t *)row)[i];
}

/* Puts y where number i of a row is, not below `least` and not above the most that fits there. */
INLINE void put(void *row, int i, int wide, int32_t y, int32_t least) {
    const int32_t lowest = wide ? -32768 : -128;
#if defined(HELIUM) || defined(DSP)
    if (wide)
        __asm__("ssat %0, #16, %0" : "+r"(y));
    else
        __asm__("ssat %0, #8, %0" : "+r"(y));
#else
    y = y < lowest ? lowest : y > -1 - lowest ? -1 - lowest : y;
#endif
    if (least > lowest && y < least) y = least;
    if (wide)
        ((int16_t *)row)[i] = (int16_t)y;
    else
        ((int8_t *)row)[i] = (int8_t)y;
}

/* x multiplier / 2^31, to the nearest, halves up; |x| < 2^30. */
INLINE int32_t multiply_high(int32_t x, int32_t multiplier) {
#if defined(HELIUM) || defined(DSP)
    int32_t high; /* of 64 bits the upper 32, rounded */
    __asm__("smmulr %0, %1, %2" : "=r"(high) : "r"(2 * x), "r"(multiplier));
    return high;
#else
    return (int32_t)(((int64_t)x * multiplier + (1 << 30)) >> 31);
#endif
}

/* h / 2^right, to the nearest, halves away from zero; right > 0, |h| < 2^30. */
INLINE int32_t shift_right(int32_t h, int right) {
    return (h + (h >> 31) + (1 << (right - 1))) >> right;
}

/* x times the real number multiplier 2^(shift - 31), rounded twice; |x| < 2^30, shift <= 0 ... */
INLINE int32_t rescale(int32_t x, int32_t multiplier, int shift) {
    const int32_t h = multiply_high(x, multiplier);
    return shift ? shift_right(h, -shift) : h;
}

/* ... and for any x and shift with which x 2^shift fits. */
SHARED int32_t rescale_any(int32_t x, int32_t multiplier, int shift) {
    const int64_t product = (int64_t)x * (1 << (shift > 0 ? shift : 0)) * multiplier;
    const int64_t h = (product + (1 << 30)) >> 31;
    return (int32_t)(shift < 0 ? (h + (h >> 63) + ((int64_t)1 << (-shift - 1))) >> -shift : h);
}

#ifdef HELIUM
/* The same with `count` numbers, at most four; those of a row that are put are `step` apart. */
INLINE int32x4_t get_4(const void *row, int i, int wide, int count) {
    const mve_pred16_t lanes = vctp32q((uint32_t)count);
    return wide ? vldrhq_z_s32((const int16_t *)row + i, lanes)
                : vldrbq_z_s32((const int8_t *)row + i, lanes);
}

INLINE void put_4(void *row, int i, int step, int wide, int32x4_t y, int32_t least, int count) {
    const mve_pred16_t lanes = vctp32q((uint32_t)count);
    const uint32x4_t offsets = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)step);
    y = vminq_s32(y, vdupq_n_s32(wide ? 32767 : 127));
    y = vmaxq_s32(y, vdupq_n_s32(wide || least > -128 ? least : -128));
    if (wide)
        vstrhq_scatter_shifted_offset_p_s32((int16_t *)row + i, offsets, y, lanes);
    else
        vstrbq_scatter_offset_p_s32((int8_t *)row + i, offsets, y, lanes);
}

INLINE int32x4_t rescale_4(int32x4_t x, int32_t multiplier, int shift) {
    const int32x4_t h = vqrdmulhq_n_s32(x, multiplier);
    return shift ? vrshlq_n_s32(vaddq_s32(h, vshrq_n_s32(h, 31)), shift) : h;
}
#endif

/* ---- convolution --------------------------------------------------------------------------------
   Of a window, a ring of R rows of the input with zeros around them, in 16 bits, less the input's
   zero point. An odd number of channels gets one of zeros, so that numbers go in pairs. Weights lie
   [K/2][R][S C/2] in words of two filters, k and k + 1, and two neighbours i and i + 1 of S C:

       byte   0        1            2            3
              w[k][i]  w[k + 1][i]  w[k][i + 1]  w[k + 1][i + 1]

   A tile is 2 filters x 4 pixels: each weight is read once for 4 pixels, each number of the window
   once for 2 filters, and the 8 sums stay in registers. */
typedef struct convolution {
    const int8_t *weight;
    const int32_t *bias, *multiplier; /* [K], to even */
    const int8_t *shift;              /* likewise */
    int row;                          /* numbers in a row of the window */
    int pixels, filters;              /* in a row of the value; K */
    int zero_point, least;            /* of the value */
} convolution;

/* What `convolve` is told beforehand of a layer. */
enum {
    WIDE = 1,  /* its value is of int16_t */
    ANY = 2,   /* its sums may be above 2^30, or its shifts not be to the right */
    FLOOR = 4, /* its `least` is more than the least that fits */
    CUT = 8    /* K is odd, or the pixels are no multiple of 4 */
};

/* A row of the input goes into the window, behind `padding` pixels; from 0: a row of zeros. */
SHARED void widen(int16_t *to, const int8_t *from, int pixels, int channels, int zero_point,
                  int padding, int row) {
    const int even = channels + (channels & 1), count = from ? pixels * channels : 0;
    int16_t *const end = to + row;
    int i = 0;
    memset(to, 0, (size_t)(padding * even) * sizeof *to);
    to += padding * even;
#ifdef HELIUM
    for (; even == channels && i + 8 <= count; i += 8, to += 8)
        vst1q_s16(to, vsubq_n_s16(vldrbq_s16(from + i), (int16_t)zero_point));
#endif
#ifdef DSP
    for (; even == channels && i + 4 <= count; i += 4, to += 4) {
        const uint32_t minus = (uint32_t)(-zero_point & 0xffff) * 0x10001u;
        uint32_t bytes, bytes02, bytes13, pairs[2];
        memcpy(&bytes, from + i, 4);
        __asm__("sxtab16 %0, %1, %2" : "=r"(bytes02) : "r"(minus), "r"(bytes));
        __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(bytes13) : "r"(minus), "r"(bytes));
        pairs[0] = (bytes02 & 0xffff) | bytes13 << 16;
        pairs[1] = (bytes13 & 0xffff0000) | bytes02 >> 16;
        memcpy(to, pairs, 8);
    }
#endif
    for (; even == channels && i < count; i++) *to++ = (int16_t)(from[i] - zero_point);
    while (i < count) {
        for (int c = 0; c < channels; c++) *to++ = (int16_t)(from[i++] - zero_point);
        *to++ = 0;
    }
    memset(to, 0, (size_t)(end - to) * sizeof *to);
}

/* multiply: sums[2 p + f] += number[p step + i] weight[i][f], i < 2 words, of 4 pixels p and the
   filters k + f; returns where the weights end. */
#if defined(HELIUM)
/* The first or second of two filters, 8 numbers; of lanes that are off zero. */
INLINE int16x8_t filter_8(const int8_t *weight, mve_pred16_t lanes) {
    return vldrbq_gather_offset_z_s16(weight, vidupq_n_u16(0, 2), lanes);
}

/* The same address; gcc 12 would let VLD2 step it by a register, which that cannot. */
INLINE const int16_t *hidden(const int16_t *at) {
    __asm__("" : "+r"(at));
    return at;
}

INLINE const int8_t *multiply(int32_t *sums, const int16_t *number, int step, const int8_t *weight,
                              int words) {
    int left = 2 * words;
    for (; left >= 16; left -= 16, weight += 32, number += 16) {
        const int8x16x2_t filters = vld2q_s8(weight);
        const int16x8_t even0 = vmovlbq_s8(filters.val[0]), odd0 = vmovltq_s8(filters.val[0]);
        const int16x8_t even1 = vmovlbq_s8(filters.val[1]), odd1 = vmovltq_s8(filters.val[1]);
        UNROLL(4)
        for (int p = 0; p < 4; p++) {
            const int16x8x2_t pixel = vld2q_s16(hidden(number + p * step));
            __asm__ volatile("" : : : "memory"); /* loads stay apart: there are 8 registers */
            sums[2 * p] = vmladavaq_s16(sums[2 * p], even0, pixel.val[0]);
            sums[2 * p] = vmladavaq_s16(sums[2 * p], odd0, pixel.val[1]);
            sums[2 * p + 1] = vmladavaq_s16(sums[2 * p + 1], even1, pixel.val[0]);
            sums[2 * p + 1] = vmladavaq_s16(sums[2 * p + 1], odd1, pixel.val[1]);
        }
    }
    for (; left > 0; left -= 8, number += 8) {
        const mve_pred16_t lanes = vctp16q((uint32_t)left);
        const int16x8_t filter0 = filter_8(weight, lanes), filter1 = filter_8(weight + 1, lanes);
        UNROLL(4)
        for (int p = 0; p < 4; p++) {
            const int16x8_t pixel = vldrhq_z_s16(number + p * step, lanes);
            sums[2 * p] = vmladavaq_s16(sums[2 * p], filter0, pixel);
            sums[2 * p + 1] = vmladavaq_s16(sums[2 * p + 1], filter1, pixel);
        }
        weight += left < 8 ? 2 * left : 16;
    }
    return weight;
}

#elif defined(DSP)
/* Instructions that stay in this order: 8 sums, 2 addresses, weights of both filters and a pair of
   the window fit into 14 registers, and a compiler would load more beforehand. */
INLINE uint32_t load_next(const void **at) { /* a word, and on to the next */
    uint32_t word;
    __asm__ volatile("ldr %0, [%1], #4" : "=r"(word), "+r"(*at));
    return word;
}

INLINE uint32_t load(const void *at, int offset) {
    uint32_t word;
    __asm__ volatile("ldr %0, [%1, %2]" : "=r"(word) : "r"(at), "Jr"(offset)); /* J: below 4096 */
    return word;
}

INLINE uint32_t bytes_0_2(uint32_t word) { /* as two numbers of 16 bits */
    uint32_t pair;
    __asm__ volatile("sxtb16 %0, %1" : "=r"(pair) : "r"(word));
    return pair;
}

INLINE uint32_t bytes_1_3(uint32_t word) {
    uint32_t pair;
    __asm__ volatile("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    return pair;
}

INLINE void multiply_add(int32_t *sum, uint32_t a, uint32_t b) { /* both halves */
    __asm__ volatile("smlad %0, %1, %2, %0" : "+r"(*sum) : "r"(a), "r"(b));
}

INLINE const int8_t *multiply(int32_t *sums, const int16_t *number, int step, const int8_t *weight,
                              int words) {
    const int rounds = words % 4 == 0 ? 4 : words % 3 == 0 ? 3 : words % 2 == 0 ? 2 : 1;
    const void *w = weight, *at = number, *const end = weight + 4 * words;
    __asm__ volatile("" : : : "memory"); /* the window is complete */
    do {
        UNROLL(4)
        for (int i = 0; i < rounds; i++) {
            const uint32_t word = load_next(&w);
            const uint32_t filter0 = bytes_0_2(word), filter1 = bytes_1_3(word);
            uint32_t pair;
            pair = load(at, 2 * step);
            multiply_add(&sums[2], filter0, pair), multiply_add(&sums[3], filter1, pair);
            pair = load(at, 4 * step);
            multiply_add(&sums[4], filter0, pair), multiply_add(&sums[5], filter1, pair);
            pair = load(at, 6 * step);
            multiply_add(&sums[6], filter0, pair), multiply_add(&sums[7], filter1, pair);
            pair = load_next(&at);
            multiply_add(&sums[0], filter0, pair), multiply_add(&sums[1], filter1, pair);
        }
    } while (w < end);
    __asm__ volatile("" : : : "memory"); /* and stays so until here */
    return (const int8_t *)end;
}

#else
INLINE const int8_t *multiply(int32_t *sums, const int16_t *number, int step, const int8_t *weight,
                              int words) {
    for (int i = 0; i < 2 * words; i++, weight += 2) {
        UNROLL(4)
        for (int p = 0; p < 4; p++) {
            sums[2 * p] += number[p * step + i] * weight[0];
            sums[2 * p + 1] += number[p * step + i] * weight[1];
        }
    }
    return weight;
}
#endif

/* A sum of filter k as number of the value, but for the bounds. */
INLINE int32_t finish(int flags, int32_t sum, int32_t multiplier, int right, int zero_point) {
    return zero_point + (flags & ANY ? rescale_any(sum, multiplier, -right)
                                     : shift_right(multiply_high(sum, multiplier), right));
}

/* Sums 0, 2, 4, 6 become filter k of the pixels x, x + 1, ... */
INLINE void put_filter(const convolution *l, int flags, const int32_t *sums, int k, int x,
                       void *out) {
    const int32_t multiplier = l->multiplier[k], zero = l->zero_point;
    const int32_t least = flags & FLOOR ? l->least : -32768;
    const int right = -l->shift[k], filters = l->filters, wide = flags & WIDE;
#ifdef HELIUM
    if (!(flags & ANY)) {
        const int32_t four[4] = {sums[0], sums[2], sums[4], sums[6]};
        const int32x4_t y = vaddq_n_s32(rescale_4(vld1q_s32(four), multiplier, -right), zero);
        put_4(out, x * filters + k, filters, wide, y, least, flags & CUT ? l->pixels - x : 4);
        return;
    }
#endif
    const int32_t y0 = finish(flags, sums[0], multiplier, right, zero);
    const int32_t y1 = finish(flags, sums[2], multiplier, right, zero);
    const int32_t y2 = finish(flags, sums[4], multiplier, right, zero);
    const int32_t y3 = finish(flags, sums[6], multiplier, right, zero);
    const int at = x * filters + k, pixels = flags & CUT ? l->pixels - x : 4;
    put(out, at, wide, y0, least);
    if (pixels > 1) put(out, at + filters, wide, y1, least);
    if (pixels > 2) put(out, at + 2 * filters, wide, y2, least);
    if (pixels > 3) put(out, at + 3 * filters, wide, y3, least);
}

/* A row of a convolution's value; row `top` of the ring is the uppermost that it is made of. */
INLINE void convolve(const convolution *l, int kernel, int channels, int stride, int flags,
                     const int16_t *window, int top, void *out) {
    const int words = kernel * channels / 2, step = stride * channels;
    const int8_t *weight = l->weight;
    for (int k = 0; k < l->filters; k += 2, weight += 4 * words * kernel)
        for (int x = 0; x < l->pixels; x += 4) {
            const int32_t bias0 = l->bias[k], bias1 = l->bias[k + 1];
            int32_t sums[8] = {bias0, bias1, bias0, bias1, bias0, bias1, bias0, bias1};
            const int8_t *at = weight;
            int row = top;
            UNROLL(1)
            for (int r = 0; r < kernel; r++) {
                at = multiply(sums, window + row * l->row + x * step, step, at, words);
                if (++row == kernel) row = 0;
            }
            put_filter(l, flags, sums, k, x, out);
            if (!(flags & CUT) || k + 1 < l->filters) put_filter(l, flags, sums + 1, k + 1, x, out);
        }
}

/* ---- image ----------------------------------------------------------------------------------- */

/* As `widen`, of an image whose channels have zero points of their own. */
SHARED void widen_image(int16_t *to, const int8_t *from, int pixels, int channels,
                        const int16_t *zero_points, int padding, int row) {
    const int even = channels + (channels & 1);
    int i = 0;
    memset(to, 0, (size_t)row * sizeof *to);
    to += padding * even;
    for (int x = 0; from && x < pixels; x++, to += even)
        for (int c = 0; c < channels; c++, i++) to[c] = (int16_t)(from[i] - zero_points[c]);
}

/* ---- add ----------------------------------------------------------------------------------------
   Each term has a zero point and a factor multiplier 2^(shift - 31) of its own and gets `left` more
   bits; then the sum has such a factor. */
typedef struct addition {
    int zero_points[2], left;
    int32_t multiplier[3];
    int shift[3];
    int zero_point, least; /* of the value */
} addition;

/* Have all three the same scale? Then it is an addition of whole numbers. */
INLINE int has_one_scale(const addition *l) {
    const int32_t *m = l->multiplier, half = 1 << 30;
    return m[0] == half && m[1] == half && m[2] == half && l->shift[0] == 0 && l->shift[1] == 0 &&
           l->shift[2] == 2 - l->left;
}

INLINE int32_t term(const addition *l, int which, int32_t q) {
    const int32_t x = q - l->zero_points[which], multiplier = l->multiplier[which];
    if (has_one_scale(l)) return x;
    if (multiplier == 1 << 30 && !l->shift[which]) return x * (1 << (l->left - 1)); /* a half */
    return rescale(x * (1 << l->left), multiplier, l->shift[which]);
}

INLINE int32_t total(const addition *l, int32_t sum) {
    return l->zero_point + (has_one_scale(l) ? sum : rescale(sum, l->multiplier[2], l->shift[2]));
}

#ifdef HELIUM
INLINE int32x4_t term_4(const addition *l, int which, int32x4_t q) {
    const int32x4_t x = vshlq_r_s32(vsubq_n_s32(q, l->zero_points[which]), l->left);
    return rescale_4(x, l->multiplier[which], l->shift[which]);
}
#endif

/* A row of a sum. Which are wide: 1 and 2 the terms, 4 the sum. out may be a or b. */
INLINE void add(const addition *l, const void *a, const void *b, int wide, int count, void *out) {
#ifdef HELIUM
    for (int i = 0; i < count; i += 4) {
        const int32x4_t sum = vaddq_s32(term_4(l, 0, get_4(a, i, wide & 1, count - i)),
                                        term_4(l, 1, get_4(b, i, wide & 2, count - i)));
        const int32x4_t y = rescale_4(sum, l->multiplier[2], l->shift[2]);
        put_4(out, i, 1, wide & 4, vaddq_n_s32(y, l->zero_point), l->least, count - i);
    }
#else
    for (int i = 0; i < count; i++) {
        const int32_t sum = term(l, 0, get(a, i, wide & 1)) + term(l, 1, get(b, i, wide & 2));
        put(out, i, wide & 4, total(l, sum), l->least);
    }
#endif
}

/* ---- affine -------------------------------------------------------------------------------------
   Each channel times a number of 16 bits, plus one of 32 that also rounds, shifted. */
typedef struct affinity {
    const int16_t *multiplier; /* [C] */
    const int32_t *bias;
    const int8_t *shift;
    int zero_point; /* of the input */
    int least;      /* of the value */
} affinity;

/* A row of an affine layer. Which are wide: 1 the input, 4 the value. out may be in. */
INLINE void affine(const affinity *l, const void *in, int wide, int pixels, int channels,
                   void *out) {
    for (int x = 0, i = 0; x < pixels; x++)
        for (int c = 0; c < channels; c++, i++) {
            const int32_t q = get(in, i, wide & 1) - l->zero_point;
            put(out, i, wide & 4, (q * l->multiplier[c] + l->bias[c]) >> l->shift[c], l->least);
        }
}

/* ---- gate ------------------------------------------------------------------------------------ */

typedef struct gating {
    const int16_t *table;      /* sigmoid of -128 to 127, 15 bits behind the point */
    int zero_point_in;         /* of the input */
    int32_t multiplier, shift; /* of the products */
    int zero_point, least;     /* of the value */
} gating;

/* A row of the input times sigmoids. Wide are: 1 the input, 4 the value. out may be either. */
INLINE void gate(const gating *l, const void *in, const int8_t *logits, int wide, int count,
                 void *out) {
    for (int i = 0; i < count; i++) {
        const int32_t x = get(in, i, wide & 1) - l->zero_point_in;
        const int32_t y = rescale_any(x * l->table[128 + logits[i]], l->multiplier, l->shift);
        put(out, i, wide & 4, y + l->zero_point, l->least);
    }
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
INLINE int from(int first) { return first < 0 ? 0 : first; }
INLINE int upto(int first, int kernel, int size) {
    return first + kernel < size ? first + kernel : size;
}

/* ---- max_pool -------------------------------------------------------------------------------- */

/* Row y of a max-pool's value. `padding` is what the padding counts as; -128: not at all. */
INLINE void max_pool(const pooling *p, int8_t padding, const int8_t *ring, int y, int8_t *out) {
    const int top = y * p->stride - p->padding, bottom = upto(top, p->kernel, p->height);
    for (int x = 0; x < p->pixels; x++, out += p->channels) {
        const int left = x * p->stride - p->padding, right = upto(left, p->kernel, p->width);
        const int cut = (bottom - from(top)) * (right - from(left)) < p->kernel * p->kernel;
        for (int c = 0; c < p->channels; c++) {
            int8_t largest = cut ? padding : -128;
            for (int h = from(top); h < bottom; h++)
                for (int w = from(left); w < right; w++) {
                    const int8_t q = ring[((h % p->rows) * p->width + w) * p->channels + c];
                    if (q > largest) largest = q;
                }
            out[c] = largest;
        }
    }
}

/* ---- mean ------------------------------------------------------------------------------------ */

/* What becomes of sums where the value has a scale of its own. */
typedef struct rescaling {
    const int32_t *multiplier; /* of sums of 1, 2, ... pixels; NULL: the scale stays */
    const int8_t *shift;
    int zero_point_in; /* of the input */
    int zero_point;    /* of the value */
} rescaling;

/* The mean of `count` pixels; `at` is where their number stands among the multipliers. */
INLINE int32_t mean(const rescaling *l, int32_t sum, int count, int at) {
    if (!l->multiplier) return (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
    sum -= count * l->zero_point_in;
    return rescale_any(sum, l->multiplier[at], l->shift[at]) + l->zero_point;
}

/* ---- avg_pool -------------------------------------------------------------------------------- */

/* Row y of an average pool's value: the mean of the pixels that are there. */
INLINE void avg_pool(const pooling *p, const rescaling *l, const int8_t *ring, int y, int8_t *out) {
    const int top = y * p->stride - p->padding, bottom = upto(top, p->kernel, p->height);
    for (int x = 0; x < p->pixels; x++, out += p->channels) {
        const int left = x * p->stride - p->padding, right = upto(left, p->kernel, p->width);
        const int count = (bottom - from(top)) * (right - from(left));
        for (int c = 0; c < p->channels; c++) {
            int32_t sum = 0;
            for (int h = from(top); h < bottom; h++)
                for (int w = from(left); w < right; w++)
                    sum += ring[((h % p->rows) * p->width + w) * p->channels + c];
            put(out, c, 0, mean(l, sum, count, count - 1), -128);
        }
    }
}

/* ---- global_avg_pool ------------------------------------------------------------------------- */

/* The mean of all pixels, in each channel. */
INLINE void global_avg_pool(const rescaling *l, const int8_t *in, int pixels, int channels,
                            int8_t *out) {
    for (int c = 0; c < channels; c++) {
        int32_t sum = 0;
        for (int i = 0; i < pixels; i++) sum += in[i * channels + c];
        put(out, c, 0, mean(l, sum, pixels, 0), -128);
    }
}

/* ---- pad_subsample --------------------------------------------------------------------------- */

/* Every stride-th pixel of a row of `channels` channels. In the value they begin at number `front`;
   the others are zero_point. */
INLINE void pad_subsample(const void *in, int wide, int stride, int channels, int front,
                          int filters, int pixels, int zero_point, void *out) {
    for (int x = 0, i = 0; x < pixels; x++)
        for (int c = -front; c < filters - front; c++, i++)
            put(out, i, wide,
                c < 0 || c >= channels ? zero_point : get(in, x * stride * channels + c, wide),
                -32768);
}

#endif
