/* pictures.c - what a net sees of a picture: interpolation, crops and normalised images against
   files of tools/pillow.py, the windows of single-crop, ten-crop, scale and aspect-ratio
   augmentation, the changes of colours and their order, and predictions over windows.

   cc -std=c99 -O2 -o pictures tests/pictures.c -lm && ./pictures tests/pillow.safetensors */

#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"

#include "nets.h"

static rn_error error;
static rn_key key = {7, RN_PURPOSE_AUGMENT, 3};

/* ---- interpolation --------------------------------------------------------------------------- */

enum { HEIGHT = 13, WIDTH = 11 };

static uint8_t pixel(int y, int x) { return (uint8_t)((y * 37 + x * x * 11 + y * x * 5) % 256); }

static rn_picture grey_picture(void) {
    static uint8_t bytes[HEIGHT * WIDTH];
    int i;
    for (i = 0; i < HEIGHT * WIDTH; i++) bytes[i] = pixel(i / WIDTH, i % WIDTH);
    return rn_planar(bytes, 1, HEIGHT, WIDTH);
}

/* The value at (y, x) of the picture, whose pixels have their centres at halves. */
static double bilinear(double y, double x) {
    const int top = (int)floor(y - 0.5), left = (int)floor(x - 0.5);
    const double down = y - 0.5 - top, right = x - 0.5 - left;
    return ((1 - down) * ((1 - right) * pixel(top, left) + right * pixel(top, left + 1)) +
            down * ((1 - right) * pixel(top + 1, left) + right * pixel(top + 1, left + 1))) /
           255;
}

/* By Pillow: Image.fromarray(pixels, "F").resize((w, h), Image.BICUBIC, box) / 255. */
static void check_interpolation(void) {
    static const double reduced[5][4] = {{0.230039, 0.532774, 0.419052, 0.493795},
                                         {0.61507, 0.533549, 0.51869, 0.571067},
                                         {0.417323, 0.410951, 0.456499, 0.504625},
                                         {0.398214, 0.434512, 0.50138, 0.394887},
                                         {0.480835, 0.524566, 0.51646, 0.31394}};
    static const double enlarged[4][6] = {
        {0.620527, 0.778799, 1.00699, 0.880208, 0.398468, 0.347549},
        {0.749939, 0.831066, 0.87212, 0.756679, 0.484743, 0.438726},
        {0.922365, 0.831434, 0.46538, 0.354841, 0.499816, 0.459804},
        {0.798652, 0.623591, 0.262439, 0.252267, 0.593076, 0.55098}};
    const rn_window whole = {0, 0, HEIGHT, WIDTH, 0}, part = {3, 2, 2, 3, 0};
    rn_picture picture = grey_picture();
    rn_real numbers[HEIGHT * WIDTH], mirrored[HEIGHT * WIDTH];
    rn_tensor to = rn_tensor_in(numbers, 1, 1, 5, 4), mirror = to;
    rn_window flipped = whole;
    int y, x;
    CHECK_INT(rn_resample(&to, &picture, whole, 1, &error), RN_OK);
    for (y = 0; y < 5; y++)
        for (x = 0; x < 4; x++) CHECK_NEAR(numbers[y * 4 + x], reduced[y][x], 2e-6);
    mirror.data = mirrored;
    flipped.flip = 1;
    CHECK_INT(rn_resample(&mirror, &picture, flipped, 1, &error), RN_OK);
    for (y = 0; y < 5; y++)
        for (x = 0; x < 4; x++) CHECK_NEAR(mirrored[y * 4 + x], numbers[y * 4 + 3 - x], 0);
    CHECK_INT(rn_resample(&mirror, &picture, whole, 0, &error), RN_OK);
    CHECK(rn_tensor_difference(mirror, to) > 0.02); /* without antialiasing */
    CHECK_INT(rn_resample(&to, &picture, whole, RN_RESAMPLE_BILINEAR, &error), RN_OK);
    for (y = 0; y < 5; y++) /* the four pixels around it, however large the reduction */
        for (x = 0; x < 4; x++)
            CHECK_NEAR(numbers[y * 4 + x], bilinear((y + 0.5) * HEIGHT / 5, (x + 0.5) * WIDTH / 4),
                       1e-6);
    to = rn_tensor_in(numbers, 1, 1, 4, 6);
    CHECK_INT(rn_resample(&to, &picture, part, 1, &error), RN_OK);
    for (y = 0; y < 4; y++)
        for (x = 0; x < 6; x++) CHECK_NEAR(numbers[y * 6 + x], enlarged[y][x], 6e-6);
    CHECK_INT(rn_resample(&to, &picture, part, 0, &error), RN_OK); /* the same without antialias */
    for (y = 0; y < 4; y++)
        for (x = 0; x < 6; x++) CHECK_NEAR(numbers[y * 6 + x], enlarged[y][x], 6e-6);
    to = rn_tensor_in(numbers, 1, 1, HEIGHT, WIDTH); /* one to one */
    CHECK_INT(rn_resample(&to, &picture, whole, 0, &error), RN_OK);
    for (y = 0; y < HEIGHT; y++)
        for (x = 0; x < WIDTH; x++) CHECK_NEAR(numbers[y * WIDTH + x], pixel(y, x) / 255.0, 1e-7);
}

/* ---- files of tools/pillow.py ---------------------------------------------------------------- */

/* A case as it comes from a file: [height,width,channels], or numbers [channels,height,width]. */
typedef struct pillow_case {
    char words[256];
    int height, width, channels, h, w; /* of the picture; of what is expected */
    uint8_t *pixels, *bytes;           /* the picture; what is expected */
    double *numbers;                   /* likewise, if it is not bytes */
} pillow_case;

/* The tensor NUMBER.what; free it. */
static uint8_t *read_tensor(rn_archive *file, int number, const char *what, rn_entry *entry) {
    char name[32];
    uint8_t *data;
    sprintf(name, "%d.%s", number, what);
    CHECK_INT(rn_archive_find(file, name, entry, &error), RN_OK);
    data = (uint8_t *)malloc((size_t)entry->bytes + 1);
    if (data) CHECK_INT(rn_archive_read(file, entry, 0, data, (size_t)entry->bytes, &error), RN_OK);
    return data;
}

/* 0 behind the last one. */
static int read_case(rn_archive *file, int number, pillow_case *to) {
    char name[16];
    rn_entry picture, expected;
    rn_status status;
    memset(to, 0, sizeof *to);
    sprintf(name, "%d", number);
    status = rn_archive_metadata(file, name, to->words, sizeof to->words, NULL);
    if (status) CHECK_INT(status, RN_MISMATCH); /* there are no more */
    if (status) return 0;
    to->pixels = read_tensor(file, number, "picture", &picture);
    to->bytes = read_tensor(file, number, "expected", &expected);
    if (!to->pixels || !to->bytes) return 0;
    to->height = (int)picture.shape[0], to->width = (int)picture.shape[1];
    to->channels = (int)picture.shape[2];
    to->h = (int)expected.shape[0], to->w = (int)expected.shape[1];
    if (!strcmp(expected.dtype, "F32")) {
        const int count = (int)(expected.bytes / 4);
        to->h = (int)expected.shape[1], to->w = (int)expected.shape[2];
        to->numbers = (double *)malloc((size_t)count * sizeof(double));
        for (int i = 0; i < count && to->numbers; i++) {
            const uint32_t bits = (uint32_t)rn__little_endian(to->bytes + 4 * i, 4);
            float number_i;
            memcpy(&number_i, &bits, 4);
            to->numbers[i] = (double)number_i;
        }
    }
    return 1;
}

/* The largest difference from what is expected, pixels in 0..255. */
static double case_difference(const pillow_case *c, const rn_real *image) {
    const int plane = c->h * c->w;
    double most = 0;
    for (int i = 0; i < plane * c->channels; i++) {
        const int k = i % plane * c->channels + i / plane; /* in bytes colours are side by side */
        most = worse(most, fabs(255 * (double)image[i] -
                                (c->numbers ? 255 * c->numbers[i] : (double)c->bytes[k])));
    }
    return most;
}

/* A crop into room of just the bytes that it asks for, not aligned. */
static void check_crop(const pillow_case *c, const rn_picture *picture, rn_crop crop,
                       const rn_desc *desc, rn_real *image) {
    const size_t bytes = rn_crop_bytes(picture, &crop);
    char *room = (char *)malloc(bytes + 1);
    uint8_t *pixels = (uint8_t *)malloc((size_t)(c->h * c->w * c->channels));
    CHECK(bytes > 0);
    if (!room || !pixels || !bytes) return;
    if (desc) {
        CHECK_INT(rn_preprocess(image, desc, picture, &crop, room + 1, bytes, &error), RN_OK);
        CHECK_NEAR(case_difference(c, image), 0, 5e-4); /* the file's floats */
    } else {
        CHECK_INT(rn_crop_picture(pixels, picture, &crop, room + 1, bytes, &error), RN_OK);
        for (int i = 0; i < c->h * c->w * c->channels; i++) image[i] = (rn_real)(pixels[i] / 255.0);
        CHECK_NEAR(case_difference(c, image), 0, 1e-4); /* the very bytes */
    }
    free(room);
    free(pixels);
}

static void check_case(const pillow_case *c) {
    char kind[16], interpolation[16], order[16];
    double n[4], mean[3], deviation[3];
    rn_real *image = (rn_real *)malloc(rn_tensor_bytes(1, c->channels, c->h, c->w));
    rn_picture picture = rn_interleaved(c->pixels, c->channels, c->height, c->width);
    rn_tensor to = rn_tensor_in(image, 1, c->channels, c->h, c->w);
    rn_desc desc = rn_imagenet(18);
    int flags = RN_RESAMPLE_ANTIALIAS;
    if (!image) return;
    if (sscanf(c->words, "%15s %15s %lf %lf %lf %lf", kind, interpolation, n, n + 1, n + 2,
               n + 3) == 6) {
        const rn_window window = {n[0], n[1], n[2], n[3], 0};
        rn_crop crop = {(int)n[0], (int)n[1], (int)n[2], (int)n[3], c->h, c->w, RN_BICUBIC};
        if (!strcmp(interpolation, "bilinear")) crop.interpolation = RN_BILINEAR, flags += 2;
        if (!strcmp(kind, "crop")) {
            check_crop(c, &picture, crop, NULL, image);
        } else {
            if (!strcmp(kind, "bytes")) flags |= RN_RESAMPLE_BYTES;
            CHECK_INT(rn_resample(&to, &picture, window, flags, &error), RN_OK);
            CHECK_NEAR(case_difference(c, image), 0, 2e-3); /* Pillow's floats; bytes: the same */
        }
    } else {
        CHECK_INT(sscanf(c->words, "net %15s %lf %15s %lf %lf %lf %lf %lf %lf", interpolation, n,
                         order, mean, mean + 1, mean + 2, deviation, deviation + 1, deviation + 2),
                  9);
        desc.channels = c->channels, desc.height = c->h, desc.width = c->w;
        desc.crop_fraction = (float)n[0];
        for (int i = 0; i < 3; i++)
            desc.mean[i] = (float)mean[i], desc.deviation[i] = (float)deviation[i];
        CHECK_INT(rn_desc_set(&desc, "interpolation", interpolation, &error), RN_OK);
        CHECK_INT(rn_desc_set(&desc, "channel_order", order, &error), RN_OK);
        check_crop(c, &picture, rn_centre_crop(&desc, c->height, c->width), &desc, image);
    }
    free(image);
}

static void check_file(const char *path) {
    rn_archive file;
    pillow_case c;
    int number = 0;
    CHECK_INT(rn_archive_open(&file, path, NULL, &error), RN_OK);
    for (; read_case(&file, number, &c); number++) {
        const int failures = test_failures;
        check_case(&c);
        if (test_failures > failures)
            fprintf(stderr, "%s, case %d: %s, of %d x %d to %d x %d\n", path, number, c.words,
                    c.height, c.width, c.h, c.w);
        free(c.pixels);
        free(c.bytes);
        free(c.numbers);
    }
    CHECK(number > 0);
    rn_archive_close(&file);
}

/* ---- interpolation, again -------------------------------------------------------------------- */

/* Planes one after the other and colours one after the other are the same picture. */
static void check_layouts(void) {
    uint8_t planar[3 * 6 * 5] = {0}, interleaved[3 * 6 * 5] = {0};
    rn_real a[3 * 4 * 4], b[3 * 4 * 4];
    rn_tensor to_a = rn_tensor_in(a, 1, 3, 4, 4), to_b = rn_tensor_in(b, 1, 3, 4, 4);
    const rn_window window = {1, 0.5, 4.5, 4, 0};
    rn_picture p = rn_planar(planar, 3, 6, 5), q = rn_interleaved(interleaved, 3, 6, 5);
    int c, i;
    for (c = 0; c < 3; c++)
        for (i = 0; i < 30; i++) {
            planar[c * 30 + i] = (uint8_t)(c * 80 + i * i % 90);
            interleaved[i * 3 + c] = planar[c * 30 + i];
        }
    CHECK_INT(rn_resample(&to_a, &p, window, 1, &error), RN_OK);
    CHECK_INT(rn_resample(&to_b, &q, window, 1, &error), RN_OK);
    CHECK(!memcmp(a, b, sizeof a));
    CHECK(fabs((double)a[0] - (double)a[16]) > 0.1);
}

static void check_refusals(void) {
    static const rn_window outside[] = {
        {-1, 0, 5, 5, 0}, {0, 7, 5, 5, 0}, {9, 0, 5, 5, 0}, {0, 0, 0, 5, 0}, {0, 0, 5, -1, 0}};
    rn_picture picture = grey_picture(), large = picture;
    rn_real numbers[16];
    rn_tensor to = rn_tensor_in(numbers, 1, 1, 4, 4), colour = rn_tensor_in(numbers, 1, 3, 2, 2);
    const rn_window whole = {0, 0, 100, 100, 0};
    int i;
    for (i = 0; i < 5; i++) {
        CHECK_INT(rn_resample(&to, &picture, outside[i], 1, &error), RN_BAD_ARGUMENT);
        CHECK_TEXT(error.text, "should lie within the picture [1,13,11]");
    }
    large.height = large.width = 100;
    to = rn_tensor_in(numbers, 1, 1, 4, 4);
    CHECK_INT(rn_resample(&to, &large, whole, 1, &error), RN_BAD_ARGUMENT);
    CHECK_TEXT(error.text, "two steps");
    CHECK_INT(rn_resample(&colour, &picture, outside[0], 1, &error), RN_BAD_SHAPE);
    for (i = -1; i < 10; i += 9) {
        const rn_window part = {0, 0, 5, 5, 0};
        CHECK_INT(rn_resample(&to, &picture, part, i, &error), RN_BAD_ARGUMENT);
        CHECK_TEXT(error.text, "resampling");
    }
    to = rn_tensor_in(numbers, 1, 1, 2, 2);
    CHECK_INT(rn_colour_jitter(&to, 0.4, key, 0, &error), RN_BAD_SHAPE);
    CHECK_INT(rn_lighting(&to, 0.1, key, 0, &error), RN_BAD_SHAPE);
    colour.data = numbers;
    CHECK_INT(rn_colour_jitter(&colour, HUGE_VAL, key, 0, &error), RN_BAD_ARGUMENT);
    CHECK_INT(rn_lighting(&colour, -1, key, 0, &error), RN_BAD_ARGUMENT);
    CHECK_TEXT(error.text, "must be 0 or more");
}

/* ---- windows --------------------------------------------------------------------------------- */

static int inside(rn_window w, int height, int width) {
    return w.top >= 0 && w.left >= 0 && w.height > 0 && w.width > 0 &&
           w.top + w.height <= height + 1e-9 && w.left + w.width <= width + 1e-9;
}

static void check_fixed_windows(void) {
    rn_window w = rn_centre_window(256, 320, 224, 256), ten[10];
    int i, k;
    CHECK_NEAR(w.top, 16, 1e-9);
    CHECK_NEAR(w.left, 48, 1e-9);
    CHECK_NEAR(w.height, 224, 1e-9);
    CHECK_NEAR(w.width, 224, 1e-9);
    w = rn_centre_window(512, 600, 224, 256); /* the same part of a picture twice as large */
    CHECK_NEAR(w.height, 448, 1e-9);
    rn_ten_windows(256, 320, 224, 256, ten);
    for (i = 0; i < 10; i++) {
        CHECK(inside(ten[i], 256, 320));
        CHECK_NEAR(ten[i].height, 224, 1e-9);
        CHECK_INT(ten[i].flip, i >= 5);
        for (k = 0; k < i; k++)
            CHECK(fabs(ten[i].top - ten[k].top) + fabs(ten[i].left - ten[k].left) > 1 ||
                  i == k + 5);
    }
    CHECK_NEAR(ten[3].top, 32, 1e-9); /* the last corner */
    CHECK_NEAR(ten[3].left, 96, 1e-9);
    CHECK_NEAR(ten[9].top, 16, 1e-9);
}

static void check_drawn_windows(void) {
    enum { DRAWS = 4000 };
    double area = 0, least = 1, most = 0, smallest = 1e9, largest = 0, tall = 0;
    int i, flips = 0, scale_flips = 0;
    for (i = 0; i < DRAWS; i++) {
        rn_window a = rn_aspect_window(300, 400, key, (uint64_t)i);
        rn_window s = rn_scale_window(300, 400, 224, 256, 480, key, (uint64_t)i);
        rn_window b = rn_aspect_window(400, 400, key, (uint64_t)i);
        const double share = a.height * a.width / (300 * 400), ratio = a.width / a.height;
        CHECK(inside(a, 300, 400) && inside(s, 300, 400));
        CHECK(ratio > 0.73 && ratio < 1.36);
        CHECK_NEAR(s.height, s.width, 0);
        area += share / DRAWS;
        tall += (b.width < b.height) / (double)DRAWS;
        least = fmin(least, share), most = fmax(most, share);
        smallest = fmin(smallest, s.height), largest = fmax(largest, s.height);
        flips += a.flip, scale_flips += s.flip;
    }
    CHECK(least > 0.079 && least < 0.09 && most > 0.85 && most <= 1); /* U(0.08, 1) where it fits */
    CHECK_NEAR(area, 0.49, 0.06);
    CHECK_NEAR(tall, 0.5, 0.06);
    CHECK_NEAR(smallest, 300 * 224 / 480.0, 1);
    CHECK_NEAR(largest, 300 * 224 / 256.0, 1);
    CHECK_NEAR(flips, DRAWS / 2, 130);
    CHECK_NEAR(scale_flips, DRAWS / 2, 130);
    {
        rn_window w = rn_aspect_window(10, 4000, key, 5); /* no try fits */
        CHECK_NEAR(w.height, 10, 0);
        CHECK_NEAR(w.width, 10, 0);
        CHECK_NEAR(w.left, 1995, 0);
    }
}

/* ---- any input ------------------------------------------------------------------------------- */

static uint64_t draws;

static uint64_t draw(uint64_t count) { return rn_random(key, draws++) % count; }

static int draw_size(void) {
    static const int sizes[] = {INT_MIN, INT_MIN + 1, -7, -1,    0,           1,
                                2,       3,           11, 16384, INT_MAX - 1, INT_MAX};
    return draw(2) ? sizes[draw(12)] : (int)draw(40);
}

/* Within the picture, and empty only if one of the sizes is below 1. */
static void check_window(rn_window w, int height, int width, int size) {
    const int sizes = height > 0 && width > 0 && size > 0;
    CHECK(rn__is_finite(w.top) && rn__is_finite(w.left) && w.height >= 0 && w.width >= 0);
    if (sizes) CHECK(w.height > 0 && w.width > 0 && w.top >= 0 && w.left >= 0);
    if (!sizes) CHECK(!(w.height > 0) && !(w.width > 0));
    if (sizes) CHECK(w.top + w.height <= height + 1e-6 && w.left + w.width <= width + 1e-6);
}

static void check_any_windows(void) {
    int i, k;
    for (i = 0; i < 20000; i++) {
        const int height = draw_size(), width = draw_size(), size = draw_size();
        const int least = draw_size(), most = draw_size();
        rn_window ten[10];
        check_window(rn_centre_window(height, width, size, least), height, width, size);
        check_window(rn_scale_window(height, width, size, least, most, key, draw(1u << 30)), height,
                     width, size);
        check_window(rn_aspect_window(height, width, key, UINT64_MAX - draw(99)), height, width, 1);
        rn_ten_windows(height, width, size, least, ten);
        for (k = 0; k < 10; k++) check_window(ten[k], height, width, size);
    }
}

static double draw_number(void) {
    static const double numbers[] = {0,        -1e-300,   1e-300, 1e-9,  0.5,    1,
                                     4,        5.5,       11,     13,    24,     13 + 9e-7,
                                     HUGE_VAL, -HUGE_VAL, -1,     1e300, -1e300, 1e9};
    const uint64_t i = draw(90);
    return i < 18 ? numbers[i] : i == 18 ? NAN : 14 * pow(rn_uniform(key, draws++), 3);
}

/* Windows of any numbers and sizes of any sign are refused or read the picture alone: its pixels
   are a block of their own, so that the address sanitizer sees what is not theirs. What comes out
   lies little beyond 0 and 1. */
static void check_any_resampling(void) {
    enum { DRAWS = 40000 };
    static const int sizes[] = {-5, 0, 1, 2, 4, 9, 16};
    rn_real numbers[2 * 16 * 16];
    int i, k, good = 0;
    for (i = 0; i < DRAWS; i++) {
        const int height = sizes[draw(7)], width = sizes[draw(7)], channels = 1 + (int)draw(2);
        const int pixels = height > 0 && width > 0 ? height * width * channels : 0;
        uint8_t *bytes = (uint8_t *)malloc((size_t)pixels + 1);
        const rn_window window = {draw_number(), draw_number(), draw_number(), draw_number(), 0};
        rn_picture picture = draw(2) ? rn_planar(bytes, channels, height, width)
                                     : rn_interleaved(bytes, channels, height, width);
        rn_tensor to = rn_tensor_in(numbers, 1, channels, sizes[draw(7)], sizes[draw(7)]);
        if (!bytes) break;
        for (k = 0; k < pixels; k++) bytes[k] = (uint8_t)draw(256);
        if (rn_resample(&to, &picture, window, (int)draw(8), &error))
            CHECK_INT(error.status, to.n ? RN_BAD_ARGUMENT : RN_BAD_SHAPE);
        else {
            good++;
            CHECK(rn__is_finite(window.top + window.left + window.height + window.width));
            CHECK(rn__all_finite(numbers, (ptrdiff_t)to.h * to.w * channels));
            for (k = 0; k < to.h * to.w * channels; k++) CHECK_NEAR(numbers[k], 0.5, 1.2);
        }
        free(bytes);
    }
    CHECK(good > DRAWS / 200);
}

/* Crops of any numbers are refused, without room for them, or read the picture, fill the room and
   write the pixels alone. */
static void check_any_crops(void) {
    enum { DRAWS = 20000 };
    int i, k, good = 0;
    for (i = 0; i < DRAWS; i++) {
        const int height = 1 + (int)draw(30), width = 1 + (int)draw(30);
        const int channels = 1 + (int)draw(3), scaled = (int)draw(2) ? 40 : draw_size();
        rn_crop crop = {scaled,
                        1 + (int)draw(60),
                        draw(3) ? (int)draw(9) : draw_size(),
                        (int)draw(9),
                        (int)draw(30),
                        draw(3) ? (int)draw(30) : draw_size(),
                        draw(2) ? RN_BICUBIC : RN_BILINEAR};
        const int size = channels * height * width;
        uint8_t *bytes = (uint8_t *)malloc((size_t)size), *pixels;
        rn_picture picture = rn_interleaved(bytes, channels, height, width);
        size_t needed = rn_crop_bytes(&picture, &crop), made;
        char *room = (char *)malloc(needed + 1);
        if (!bytes || !room) break;
        for (k = 0; k < size; k++) bytes[k] = (uint8_t)(draws % 2 ? 200 : draw(256));
        made = needed ? (size_t)channels * (size_t)crop.height * (size_t)crop.width : 0;
        pixels = (uint8_t *)malloc(made + 1);
        if (!pixels) break;
        CHECK_INT(rn_crop_picture(pixels, &picture, &crop, room, needed, &error),
                  needed ? RN_OK : RN_BAD_ARGUMENT);
        if (needed) {
            good++;
            CHECK_INT(rn_crop_picture(pixels, &picture, &crop, room, needed - 1, &error),
                      RN_TOO_SMALL);
        }
        free(bytes);
        free(room);
        free(pixels);
    }
    CHECK(good > DRAWS / 10);
}

static void expect_crop(float fraction, int size, int height, int width, int scaled_height,
                        int scaled_width, int top, int left) {
    rn_desc desc = rn_imagenet(18);
    rn_crop crop;
    desc.height = desc.width = size;
    desc.crop_fraction = fraction;
    crop = rn_centre_crop(&desc, height, width);
    CHECK_INT(crop.scaled_height, scaled_height);
    CHECK_INT(crop.scaled_width, scaled_width);
    CHECK_INT(crop.top, top);
    CHECK_INT(crop.left, left);
    CHECK_INT(crop.height, size);
    CHECK_INT(crop.width, size);
}

/* By Python: floor(size / fraction), int(scale * longer / shorter), round((scaled - size) / 2). */
static void check_centre_crops(void) {
    static const rn_crop bad[] = {
        {0, 9, 0, 0, 4, 4, RN_BICUBIC},      {9, 9, 6, 0, 4, 4, RN_BICUBIC},
        {9, 9, 0, -1, 4, 4, RN_BICUBIC},     {9, 9, 0, 6, 4, 4, RN_BICUBIC},
        {9, 9, 0, 0, 0, 4, RN_BICUBIC},      {9, 9, 0, 0, 4, 10, RN_BICUBIC},
        {INT_MIN, 9, 0, 0, 1, 1, RN_BICUBIC}};
    rn_picture picture = grey_picture();
    rn_desc desc = rn_cifar(8);
    rn_real image[16] = {0};
    uint8_t pixels[100] = {0};
    char room[20000];
    rn_crop crop;
    int i;
    expect_crop(0.875f, 224, 375, 500, 256, 341, 16, 58);
    expect_crop(0.95f, 224, 500, 375, 313, 235, 44, 6);
    expect_crop(0.9f, 224, 480, 640, 248, 330, 12, 53);
    expect_crop(1.0f, 448, 333, 500, 448, 672, 0, 112);
    expect_crop(0.8f, 224, 100, 100, 280, 280, 28, 28); /* 0.8f is above 0.8 */
    expect_crop((float)(224 / 232.0), 224, 300, 400, 232, 309, 4, 42);
    expect_crop((float)(224 / 235.0), 224, 300, 300, 235, 235, 6, 6); /* 5.5 */
    expect_crop((float)(224 / 233.0), 224, 300, 300, 233, 233, 4, 4); /* 4.5 */
    for (i = 0; i < 7; i++) {
        CHECK_INT(rn_crop_bytes(&picture, &bad[i]), 0);
        CHECK_INT(rn_crop_picture(pixels, &picture, &bad[i], room, sizeof room, &error),
                  RN_BAD_ARGUMENT);
        CHECK_TEXT(error.text, "of a picture [1,13,11] scaled to [");
    }
    for (i = 0; i < 100; i++) CHECK_INT(pixels[i], 0);
    desc.channels = 1, desc.height = desc.width = 4;
    crop = rn_centre_crop(&desc, HEIGHT, WIDTH); /* not resolved: no crop_fraction */
    CHECK_INT(rn_preprocess(image, &desc, &picture, &crop, room, sizeof room, &error),
              RN_BAD_ARGUMENT);
    CHECK_INT(rn_resolve(&desc, &error), RN_OK);
    crop = rn_centre_crop(&desc, HEIGHT, WIDTH);
    CHECK_INT(rn_preprocess(image, &desc, &picture, &crop, room, 99, &error), RN_TOO_SMALL);
    CHECK_TEXT(error.text, "the room has 99 bytes and needs");
    crop.width = 3;
    CHECK_INT(rn_preprocess(image, &desc, &picture, &crop, room, sizeof room, &error),
              RN_BAD_SHAPE);
    CHECK_TEXT(error.text, "images [1,4,3] for a net that takes [1,4,4]");
    for (i = 0; i < 16; i++) CHECK_NEAR(image[i], 0, 0);
}

/* Sizes that nothing can hold, and none at all, before any pixel is looked at. */
static void check_sizes(void) {
    static const int sizes[][3] = {
        {INT_MAX, INT_MAX, INT_MAX}, {3, 0, 5}, {0, 5, 5}, {-1, -5, 5}, {3, 5, INT_MIN}};
    const rn_window window = {0, 0, 1, 1, 0};
    rn_real number[5] = {0};
    rn_desc desc = rn_cifar(8);
    int i;
    for (i = 0; i < 5; i++) {
        const int *size = sizes[i];
        rn_tensor to = rn_tensor_in(number, 1, 1, 1, 1);
        rn_picture planar = rn_planar(NULL, size[0], size[1], size[2]);
        rn_picture interleaved = rn_interleaved(NULL, size[0], size[1], size[2]);
        to.c = size[0];
        CHECK_INT(rn_resample(&to, &planar, window, 1, &error), RN_BAD_ARGUMENT);
        CHECK_TEXT(error.text, "should lie within the picture");
        CHECK_INT(rn_resample(&to, &interleaved, window, 1, &error), RN_BAD_ARGUMENT);
    }
    for (i = 0; i < 4; i++) { /* from a good picture to none */
        rn_picture picture = grey_picture();
        rn_tensor to = rn_tensor_in(number, 1, 1, i == 0 ? 0 : 1, i == 2 ? 0 : 1);
        if (i == 1) to.h = -1;
        if (i == 3) to.w = INT_MIN;
        CHECK_INT(rn_resample(&to, &picture, window, 1, &error), RN_BAD_ARGUMENT);
        CHECK_TEXT(error.text, "the picture [1,13,11]");
    }
    for (i = 1; i <= 5; i++) { /* channels that a description can normalise */
        rn_tensor t = rn_tensor_in(number, 1, i, 1, 1);
        number[i - 1] = 1;
        if (i < 5) desc.mean[i - 1] = 0.5f, desc.deviation[i - 1] = i == 2 ? 0.25f : 0;
        CHECK_INT(rn_normalise(&t, &desc, &error), i < 5 ? RN_OK : RN_BAD_ARGUMENT);
        if (i < 5) CHECK_NEAR(number[i - 1], i == 2 ? 2 : 0.5, 0);
    }
    CHECK_TEXT(error.text, "rn_normalise: images of 5 channels");
    CHECK_NEAR(number[4], 1, 0);
}

/* ---- colours --------------------------------------------------------------------------------- */

static int read_colours(void *user, ptrdiff_t index, uint8_t *pixels, int *label) {
    memcpy(pixels, user, 3 * 4 * 4);
    *label = (int)index;
    return 0;
}

/* What makes a net's input of colours: all say the same, BGR is RGB turned round, and mean and
   deviation belong to the colours. */
static void check_channel_order(void) {
    enum { PIXELS = 16, SIZE = 3 * PIXELS };
    uint8_t bytes[SIZE] = {0};
    const rn_source source = {2, 3, 4, 4, 2, read_colours, bytes};
    rn_real batch[2 * SIZE], image[SIZE], made[SIZE];
    rn_tensor t = rn_tensor_in(image, 1, 3, 4, 4);
    rn_picture picture = rn_planar(bytes, 3, 4, 4);
    rn_desc desc = rn_cifar(8), measured = desc;
    char room[20000];
    rn_crop crop;
    int labels[2], i, c, order;
    for (i = 0; i < SIZE; i++) bytes[i] = (uint8_t)(i * i % 251);
    desc.height = desc.width = 4;
    for (c = 0; c < 3; c++)
        desc.mean[c] = 0.3f + 0.1f * (float)c, desc.deviation[c] = 0.2f + 0.05f * (float)c;
    CHECK_INT(rn_resolve(&desc, &error), RN_OK);
    crop = rn_centre_crop(&desc, 4, 4);
    for (order = 0; order < 2; order++) {
        desc.channel_order = order ? RN_BGR : RN_RGB;
        CHECK_INT(rn_batch(&source, &desc, NULL, 0, 0, 2, batch, labels, &error), RN_OK);
        for (i = 0; i < SIZE; i++) image[i] = (rn_real)(bytes[i] / 255.0);
        CHECK_INT(rn_normalise(&t, &desc, &error), RN_OK);
        CHECK_INT(rn_preprocess(made, &desc, &picture, &crop, room, sizeof room, &error), RN_OK);
        for (i = 0; i < SIZE; i++) {
            c = order ? 2 - i / PIXELS : i / PIXELS; /* the colour of channel i / PIXELS */
            CHECK_NEAR(batch[i],
                       (bytes[c * PIXELS + i % PIXELS] / 255.0 - (0.3 + 0.1 * c)) /
                           (0.2 + 0.05 * c),
                       1e-5);
            CHECK_NEAR(batch[SIZE + i], batch[i], 0);
            CHECK_NEAR(image[i], batch[i], 1e-5);
            CHECK_NEAR(made[i], batch[i], 0);
        }
    }
    for (order = 0; order < 2; order++) { /* the net says so, too */
        char text[200];
        rn_net *net;
        desc.channel_order = order ? RN_BGR : RN_RGB;
        net = rn_create(&desc, 1, RN_INFERENCE, NULL, &error);
        CHECK(net != NULL);
        if (!net) return;
        rn_describe(net, text, sizeof text);
        CHECK_INT(strstr(text, ", colours bgr\n") != NULL, order);
        rn_destroy(net);
    }
    measured.channel_order = RN_BGR;
    CHECK_INT(rn_measure(&measured, &source, &error), RN_OK);
    for (i = 0, desc.mean[0] = 0; i < PIXELS; i++)
        desc.mean[0] += (float)bytes[i] / 255 / PIXELS; /* of red */
    CHECK_NEAR(measured.mean[0], desc.mean[0], 1e-5);
    CHECK(fabs((double)measured.mean[0] - (double)measured.mean[2]) > 1e-3);
    desc.channels = 1;
    CHECK_INT(rn_resolve(&desc, &error), RN_BAD_DESCRIPTION);
    CHECK_TEXT(error.text, "channel_order bgr turns three colours round, but the images have 1 ");
}

static double grey_mean(const rn_real *image, int pixels) {
    double sum = 0;
    int i;
    for (i = 0; i < pixels; i++)
        sum += 0.299 * (double)image[i] + 0.587 * (double)image[pixels + i] +
               0.114 * (double)image[2 * pixels + i];
    return sum / pixels;
}

/* Contrast and saturation leave the mean grey as it is, so that it tells the factor of brightness.
   The spread of grey about the mean is multiplied by those of brightness and contrast, and the
   colour, red minus grey, by all three. */
static void check_jitter(void) {
    enum { SIDE = 4, PIXELS = SIDE * SIDE, DRAWS = 3000 };
    const double strength = 0.4;
    rn_real image[3 * PIXELS], original[3 * PIXELS];
    rn_tensor t = rn_tensor_in(image, 1, 3, SIDE, SIDE);
    double factors[3], sums[3] = {0, 0, 0}, lowest[3] = {9, 9, 9}, highest[3] = {0, 0, 0};
    int i, k;
    for (i = 0; i < 3 * PIXELS; i++)
        original[i] = (rn_real)(0.5 + 0.3 * sin(i * 1.7) + 0.05 * (i / PIXELS));
    memcpy(image, original, sizeof image);
    CHECK_INT(rn_colour_jitter(&t, 0, key, 4, &error), RN_OK);
    for (i = 0; i < 3 * PIXELS; i++) CHECK_NEAR(image[i], original[i], 1e-6);
    for (k = 0; k < DRAWS; k++) {
        double before = 0, after = 0, spread_before = 0, spread_after = 0;
        const double mean = grey_mean(original, PIXELS);
        memcpy(image, original, sizeof image);
        CHECK_INT(rn_colour_jitter(&t, strength, key, (uint64_t)k, &error), RN_OK);
        factors[0] = grey_mean(image, PIXELS) / mean;
        for (i = 0; i < PIXELS; i++) {
            const double g0 = 0.299 * (double)original[i] + 0.587 * (double)original[PIXELS + i] +
                              0.114 * (double)original[2 * PIXELS + i];
            const double g1 = 0.299 * (double)image[i] + 0.587 * (double)image[PIXELS + i] +
                              0.114 * (double)image[2 * PIXELS + i];
            spread_before += fabs(g0 - mean), spread_after += fabs(g1 - mean * factors[0]);
            before += fabs((double)original[i] - g0), after += fabs((double)image[i] - g1);
        }
        factors[1] = spread_after / spread_before / factors[0];
        factors[2] = after / before / factors[0] / factors[1];
        for (i = 0; i < 3; i++) {
            sums[i] += factors[i] / DRAWS;
            lowest[i] = fmin(lowest[i], factors[i]), highest[i] = fmax(highest[i], factors[i]);
        }
    }
    for (i = 0; i < 3; i++) {
        CHECK_NEAR(sums[i], 1, 0.02);
        CHECK(lowest[i] > 1 - strength - 1e-4 && lowest[i] < 1 - strength + 0.01);
        CHECK(highest[i] < 1 + strength + 1e-4 && highest[i] > 1 + strength - 0.01);
    }
}

/* Shifts have the covariance deviation^2 V diag(values^2) V^T. */
static void check_lighting(void) {
    static const double values[3] = {0.2175, 0.0188, 0.0045};
    static const double vectors[3][3] = {
        {-0.5675, 0.7192, 0.4009}, {-0.5808, -0.0045, -0.8140}, {-0.5836, -0.6948, 0.4203}};
    enum { DRAWS = 20000 };
    double covariance[3][3] = {{0}};
    int i, a, b, k;
    for (i = 0; i < DRAWS; i++) {
        rn_real image[12] = {0};
        rn_tensor t = rn_tensor_in(image, 1, 3, 2, 2);
        CHECK_INT(rn_lighting(&t, 0.1, key, (uint64_t)i, &error), RN_OK);
        for (a = 0; a < 3; a++) CHECK_NEAR(image[4 * a], image[4 * a + 3], 0);
        for (a = 0; a < 3; a++)
            for (b = 0; b < 3; b++)
                covariance[a][b] += (double)image[4 * a] * (double)image[4 * b] / DRAWS;
    }
    for (a = 0; a < 3; a++)
        for (b = 0; b < 3; b++) {
            double expected = 0;
            for (k = 0; k < 3; k++)
                expected += 0.01 * vectors[a][k] * vectors[b][k] * values[k] * values[k];
            CHECK_NEAR(covariance[a][b] / expected, 1, 0.06);
        }
}

/* ---- predictions over windows ---------------------------------------------------------------- */

static void check_predictions(void) {
    rn_desc desc =
        net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, RN_STEM_CIFAR);
    uint8_t bytes[2 * 20 * 24] = {0};
    rn_picture picture = rn_interleaved(bytes, 2, 20, 24);
    rn_window windows[10];
    rn_real room[2 * 7 * 6 + 4], mean[4], one[4], sums[4] = {0, 0, 0, 0};
    rn_tensor image = rn_tensor_in(room, 1, 2, 7, 6);
    rn_net *net;
    int i, k;
    desc.mean[0] = 0.4f;
    desc.deviation[0] = 0.2f;
    net = net_create(&desc, 1, RN_INFERENCE);
    if (!net) return;
    net_draw(net, 3);
    for (i = 0; i < (int)sizeof bytes; i++) bytes[i] = (uint8_t)(i * i % 251);
    rn_ten_windows(20, 24, 7, 8, windows);
    CHECK_INT(
        rn_predict_windows(net, rn_workspace(net), &picture, windows, 10, 1, room, mean, &error),
        RN_OK);
    for (i = 0; i < 10; i++) {
        double sum = 0;
        CHECK_INT(rn_resample(&image, &picture, windows[i], 1, NULL), RN_OK);
        for (k = 0; k < 42; k++) room[k] = (rn_real)(((double)room[k] - 0.4) / 0.2);
        CHECK_INT(rn_predict(net, rn_workspace(net), room, 1, one, NULL), RN_OK);
        for (k = 0; k < 4; k++) sum += exp((double)one[k]);
        for (k = 0; k < 4; k++) sums[k] += (rn_real)(exp((double)one[k]) / sum / 10);
    }
    for (k = 0; k < 4; k++) CHECK_NEAR(mean[k], sums[k], 1e-5);
    windows[9].left = 20;
    CHECK_INT(
        rn_predict_windows(net, rn_workspace(net), &picture, windows, 10, 1, room, mean, &error),
        RN_BAD_ARGUMENT);
    CHECK_INT(
        rn_predict_windows(net, rn_workspace(net), &picture, windows, 0, 1, room, mean, &error),
        RN_BAD_ARGUMENT);
    rn_destroy(net);
}

int main(int count, char **words) {
    for (int i = 1; i < count; i++) check_file(words[i]);
    check_interpolation();
    check_layouts();
    check_refusals();
    check_fixed_windows();
    check_drawn_windows();
    check_any_windows();
    check_any_resampling();
    check_any_crops();
    check_centre_crops();
    check_sizes();
    check_channel_order();
    check_jitter();
    check_lighting();
    check_predictions();
    return test_end("pictures");
}
