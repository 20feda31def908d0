/* data.c - data sets and mini-batches: CIFAR and IDX files that are good, cut, too long, empty,
   missing, mislabelled, changed while they are read, or directories; mean and deviation; normalised
   values to the bit; crops and flips against every place that a crop can have, and their
   distribution; and that a batch depends on seed, epoch and position alone.

   cc -std=c99 -O2 -o data tests/data.c -lm && ./data */

#define _POSIX_C_SOURCE 200809L /* mkdir, getpid */
#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "disk.h"
#include "test.h"

#include <sys/stat.h>

static rn_error error;

/* Calls, and checks the status that they return, and a part of the sentence of a failure. */
#define OK(call)                                              \
    do {                                                      \
        rn_status status_ = (call);                           \
        CHECK_INT(status_, RN_OK);                            \
        if (status_) fprintf(stderr, "    %s\n", error.text); \
    } while (0)
#define FAILS(call, expected, part)        \
    do {                                   \
        memset(&error, 0, sizeof error);   \
        CHECK_INT(call, expected);         \
        CHECK_INT(error.status, expected); \
        CHECK_TEXT(error.text, part);      \
    } while (0)

/* ---- files ----------------------------------------------------------------------------------- */

static char directory[64]; /* temporary */

static const char *path_of(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static unsigned char byte_at(size_t i) { return (unsigned char)(i * i / 7 + i * 31 + (i >> 9)); }

/* `bytes` bytes behind a head. */
static void write_file(const char *name, const void *head, size_t head_bytes, size_t bytes) {
    FILE *file = fopen(path_of(name), "wb");
    size_t i;
    if (!file || fwrite(head, 1, head_bytes, file) != head_bytes) exit(2);
    for (i = 0; i < bytes; i++) fputc(byte_at(i), file);
    if (fclose(file)) exit(2);
}

/* Records of CIFAR: labels, then pixels that tell file and place. */
static void write_cifar(const char *name, int images, int labels, int first) {
    FILE *file = fopen(path_of(name), "wb");
    int i;
    size_t k;
    if (!file) exit(2);
    for (i = 0; i < images; i++) {
        if (labels == 2) fputc((first + i) % 10 + 7, file); /* coarse */
        fputc((first + i) % 10, file);
        for (k = 0; k < 3072; k++) fputc(byte_at(k + (size_t)(first + i) * 5000), file);
    }
    if (fclose(file)) exit(2);
}

/* Labels are those of write_cifar plus `more`. */
static void check_images(const rn_data *data, int count, int more) {
    unsigned char pixels[3072];
    int i, label;
    size_t k;
    CHECK_INT(data->source.count, count);
    for (i = 0; i < count; i++) {
        int same = 1;
        CHECK_INT(data->labels[i], i % 10 + more);
        for (k = 0; k < 3072; k++)
            same &= data->pixels[(size_t)i * 3072 + k] == byte_at(k + (size_t)i * 5000);
        CHECK(same);
        CHECK_INT(data->source.read(data->source.user, i, pixels, &label), 0);
        CHECK_INT(label, i % 10 + more);
        CHECK(!memcmp(pixels, data->pixels + (size_t)i * 3072, 3072));
    }
    CHECK(data->source.read(data->source.user, -1, pixels, &label) != 0);
    CHECK(data->source.read(data->source.user, count, pixels, &label) != 0);
}

static void test_cifar(void) {
    static const char *const names[] = {"cifar-10-batches-bin/data_batch_1.bin",
                                        "cifar-10-batches-bin/data_batch_2.bin",
                                        "cifar-10-batches-bin/data_batch_3.bin",
                                        "cifar-10-batches-bin/data_batch_4.bin",
                                        "cifar-10-batches-bin/data_batch_5.bin",
                                        "cifar-10-batches-bin/test_batch.bin",
                                        "cifar-100-binary/train.bin",
                                        "cifar-100-binary/test.bin"};
    static char longest[1200];
    unsigned char room[200000];
    rn_memory memory;
    rn_data data;
    int i;
    mkdir(path_of("cifar-10-batches-bin"), 0700);
    mkdir(path_of("cifar-100-binary"), 0700);
    FAILS(rn_load_cifar(&data, directory, 10, 1, NULL, NULL, &error), RN_NO_FILE,
          "data_batch_1.bin");
    CHECK_TEXT(error.text, "get_cifar.sh cifar10");
    CHECK_TEXT(error.text, directory);
    FAILS(rn_load_cifar(&data, "/nowhere", 100, 1, NULL, NULL, &error), RN_NO_FILE, "\"/nowhere\"");
    CHECK_TEXT(error.text, "get_cifar.sh cifar100");
    FAILS(rn_load_cifar(&data, "/nowhere", 20, 1, NULL, NULL, &error), RN_NO_FILE, "cifar100");
    for (i = 10; i <= 100; i *= 10) { /* fetched, but not unpacked */
        const char *archive = i == 10 ? "cifar-10-binary.tar.gz" : "cifar-100-binary.tar.gz";
        write_file(archive, "\x1f\x8b", 2, 100);
        FAILS(rn_load_cifar(&data, directory, i, 0, NULL, NULL, &error), RN_NO_FILE, "tar xzf");
        CHECK_TEXT(error.text, archive);
        remove(path_of(archive));
    }
    for (i = 0; i < 5; i++) write_cifar(names[i], i + 1, 1, i * (i + 1) / 2);
    write_cifar(names[5], 4, 1, 0);
    write_cifar(names[6], 13, 2, 0);
    write_cifar(names[7], 1, 2, 0);

    OK(rn_load_cifar(&data, directory, 10, 1, NULL, NULL, &error));
    check_images(&data, 15, 0);
    CHECK_INT(data.source.channels * 10000 + data.source.height * 100 + data.source.width, 33232);
    CHECK_INT(data.source.classes, 10);
    rn_data_free(&data);
    CHECK(!data.pixels && !data.block);
    OK(rn_load_cifar(&data, directory, 10, 0, NULL, NULL, &error));
    check_images(&data, 4, 0);
    rn_data_free(&data);
    OK(rn_load_cifar(&data, directory, 100, 1, NULL, NULL, &error));
    check_images(&data, 13, 0);
    CHECK_INT(data.source.classes, 100);
    rn_data_free(&data);
    OK(rn_load_cifar(&data, directory, 20, 1, NULL, NULL, &error));
    check_images(&data, 13, 7);
    CHECK_INT(data.source.classes, 20);
    rn_data_free(&data);
    OK(rn_load_cifar(&data, directory, 100, 0, NULL, NULL, &error));
    check_images(&data, 1, 0);
    rn_data_free(&data);
    rn_data_free(&data); /* may be repeated */

    memset(&memory, 0, sizeof memory);
    memory.buffer = room + 3;
    memory.bytes = sizeof room - 3;
    OK(rn_load_cifar(&data, directory, 10, 1, &memory, NULL, &error));
    check_images(&data, 15, 0);
    CHECK(data.pixels >= room && data.labels + 15 <= room + sizeof room);
    rn_data_free(&data);
    memory.bytes = 15 * 3073; /* and labels, and alignment */
    FAILS(rn_load_cifar(&data, directory, 10, 1, &memory, NULL, &error), RN_TOO_SMALL, "images");
    CHECK(!data.pixels);

    write_file(names[2], "", 0, 3073 * 2 - 1);
    FAILS(rn_load_cifar(&data, directory, 10, 1, NULL, NULL, &error), RN_BAD_FILE,
          "3.bin has 6145");
    CHECK_TEXT(error.text, "records of 3073");
    CHECK_TEXT(error.text, "get_cifar.sh");
    write_file(names[2], "", 0, 3073 + 1);
    FAILS(rn_load_cifar(&data, directory, 10, 1, NULL, NULL, &error), RN_BAD_FILE,
          "3.bin has 3074");
    write_file(names[2], "", 0, 0);
    FAILS(rn_load_cifar(&data, directory, 10, 1, NULL, NULL, &error), RN_BAD_FILE, "has 0 bytes");
    write_file(names[2], "\x0a", 1, 3072);
    FAILS(rn_load_cifar(&data, directory, 10, 1, NULL, NULL, &error), RN_BAD_FILE,
          "3.bin: image 0 has label 10; labels should be 0 to 9");
    CHECK(!data.pixels && !data.block);
    write_file(names[7], "\x14\x64", 2, 3072);
    FAILS(rn_load_cifar(&data, directory, 100, 0, NULL, NULL, &error), RN_BAD_FILE, "label 100");
    FAILS(rn_load_cifar(&data, directory, 20, 0, NULL, NULL, &error), RN_BAD_FILE, "label 20");
    remove(path_of(names[4]));
    FAILS(rn_load_cifar(&data, directory, 10, 1, NULL, NULL, &error), RN_NO_FILE,
          "data_batch_5.bin");
    mkdir(path_of(names[4]), 0700);
    write_cifar(names[2], 3, 1, 3);
    FAILS(rn_load_cifar(&data, directory, 10, 1, NULL, NULL, &error), RN_IO, "is it a directory?");
    FAILS(rn_load_cifar(&data, directory, 50, 1, NULL, NULL, &error), RN_BAD_ARGUMENT,
          "10, 20 or 100");
    FAILS(rn_load_cifar(&data, "", 10, 1, NULL, NULL, &error), RN_BAD_ARGUMENT, "directory");
    FAILS(rn_load_cifar(&data, NULL, 10, 1, NULL, NULL, &error), RN_BAD_ARGUMENT, "directory");
    memset(longest, 'a', sizeof longest - 1);
    FAILS(rn_load_cifar(&data, longest, 10, 1, NULL, NULL, &error), RN_BAD_ARGUMENT, "at most");
    for (i = 0; i < 8; i++) remove(path_of(names[i]));
    remove(path_of("cifar-10-batches-bin"));
    remove(path_of("cifar-100-binary"));
}

static void test_idx(void) {
    static const unsigned char images[] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 5};
    static const unsigned char huge[] = {0,    0,    8,    3,    0xff, 0xff, 0xff, 0xff,
                                         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 3, 6, 0, 4};
    unsigned char head[16];
    rn_data data;
    rn_archive file;
    rn_files lacking;
    int i;
    char a[256], b[256], missing[256], packed[256];
    strcpy(a, path_of("images"));
    strcpy(b, path_of("labels"));
    strcpy(missing, path_of("missing"));
    FAILS(rn_load_idx(&data, a, b, 7, NULL, NULL, &error), RN_NO_FILE, "images");
    write_file("images", images, 16, 30);
    FAILS(rn_load_idx(&data, a, b, 7, NULL, NULL, &error), RN_NO_FILE, "labels");
    write_file("labels", labels, 11, 0);
    OK(rn_load_idx(&data, a, b, 7, NULL, NULL, &error));
    CHECK_INT(data.source.count, 3);
    CHECK_INT(data.source.channels * 100 + data.source.height * 10 + data.source.width, 125);
    CHECK_INT(data.source.classes, 7);
    for (i = 0; i < 30; i++) CHECK_INT(data.pixels[i], byte_at((size_t)i));
    for (i = 0; i < 3; i++) CHECK_INT(data.labels[i], labels[8 + i]);
    rn_data_free(&data);
    FAILS(rn_load_idx(&data, a, b, 6, NULL, NULL, &error), RN_BAD_FILE,
          "label 6; labels should be 0 to 5");
    CHECK(!data.pixels && !data.block);
    FAILS(rn_load_idx(&data, b, a, 7, NULL, NULL, &error), RN_BAD_FILE,
          "11 bytes, but 16 should be there");
    FAILS(rn_load_idx(&data, a, a, 7, NULL, NULL, &error), RN_BAD_FILE,
          "starts with 0 0 8 3 and not as IDX labels");
    FAILS(rn_load_idx(&data, a, missing, 7, NULL, NULL, &error), RN_NO_FILE, "missing");
    FAILS(rn_load_idx(&data, directory, b, 7, NULL, NULL, &error), RN_IO, "is it a directory?");
    FAILS(rn_load_idx(&data, a, NULL, 7, NULL, NULL, &error), RN_BAD_ARGUMENT, "two paths");
    FAILS(rn_load_idx(&data, a, b, 0, NULL, NULL, &error), RN_BAD_ARGUMENT, "1 to 256 classes");
    FAILS(rn_load_idx(&data, a, b, 257, NULL, NULL, &error), RN_BAD_ARGUMENT, "1 to 256 classes");
    for (i = 0; i < 4; i++) { /* any of those that reading takes */
        OK(rn__open(&file, a, 0, NULL, &error));
        lacking = file.files;
        rn_archive_close(&file);
        if (i == 0) lacking.open = NULL;
        if (i == 1) lacking.size = NULL;
        if (i == 2) lacking.read = NULL;
        if (i == 3) lacking.close = NULL;
        FAILS(rn_load_idx(&data, a, b, 7, NULL, &lacking, &error), RN_BAD_ARGUMENT,
              "lacks a function");
    }

    write_file("images", images, 16, 29);
    FAILS(rn_load_idx(&data, a, b, 7, NULL, NULL, &error), RN_BAD_FILE,
          "45 bytes, but 46 by its header");
    write_file("images", images, 16, 31);
    FAILS(rn_load_idx(&data, a, b, 7, NULL, NULL, &error), RN_BAD_FILE,
          "47 bytes, but 46 by its header");
    write_file("images", images, 0, 0);
    FAILS(rn_load_idx(&data, a, b, 7, NULL, NULL, &error), RN_BAD_FILE,
          "has 0 bytes, but 16 should be there");
    write_file("images", images, 15, 0);
    FAILS(rn_load_idx(&data, a, b, 7, NULL, NULL, &error), RN_BAD_FILE, "cut");
    write_file("images", huge, 16, 30);
    FAILS(rn_load_idx(&data, a, b, 7, NULL, NULL, &error), RN_BAD_FILE, "4294967295,");
    write_file("images", "\x1f\x8b\x08\x00------------", 16, 30);
    FAILS(rn_load_idx(&data, a, b, 7, NULL, NULL, &error), RN_BAD_FILE, "gunzip < ");
    strcpy(packed, path_of("images.gz")); /* the plain file is missing */
    rename(a, packed);
    FAILS(rn_load_idx(&data, a, b, 7, NULL, NULL, &error), RN_NO_FILE, "gunzip ");
    CHECK_TEXT(error.text, packed);
    rename(packed, a);
    for (i = 4; i < 16; i += 4) { /* a size of zero */
        memcpy(head, images, 16);
        head[i + 3] = 0;
        write_file("images", head, 16, 0);
        FAILS(rn_load_idx(&data, a, b, 7, NULL, NULL, &error), RN_BAD_FILE,
              "behind a count above 0, sizes should be 1 to 16384");
    }
    memcpy(head, images, 16);
    head[7] = 4;
    write_file("images", head, 16, 40);
    FAILS(rn_load_idx(&data, a, b, 7, NULL, NULL, &error), RN_BAD_FILE, "4 images, ");
    write_file("images", images, 16, 30);
    write_file("labels", labels, 10, 0);
    FAILS(rn_load_idx(&data, a, b, 7, NULL, NULL, &error), RN_BAD_FILE, "labels has 10 bytes");
    remove(a);
    remove(b);
}

/* An IDX file on the disk: its head and sizes, then `bytes` items. */
static void put_idx(disk *d, const char *path, int type, int dims, const int *size,
                    const unsigned char *items, size_t bytes) {
    unsigned char file[4 + 16 + 400] = {0};
    int i;
    file[2] = (unsigned char)type, file[3] = (unsigned char)dims;
    for (i = 0; i < 4 * dims; i++) file[4 + i] = (unsigned char)(size[i / 4] >> (24 - i % 4 * 8));
    memcpy(file + 4 + 4 * dims, items, bytes);
    disk_put(d, path, file, (size_t)(4 + 4 * dims) + bytes);
}

/* The same images [3,C,5,6] with planes one after the other, and with their channels side by side;
   the last size counts channels unless it is above 4, and what has neither is refused. */
static void test_idx_channels(void) {
    unsigned char planes[3 * 4 * 30], mixed[3 * 4 * 30];
    disk d;
    const rn_files *files = disk_init(&d);
    rn_data data;
    int channels, order, i;
    disk_put(&d, "l", "\0\0\10\1\0\0\0\3\1\2\0", 11);
    for (channels = 1; channels <= 5; channels++)
        for (order = 0; order < 2; order++) {
            const int first[4] = {3, channels, 5, 6}, last[4] = {3, 5, 6, channels};
            const int size = channels * 30;
            if (channels == 5) {
                put_idx(&d, "i", 8, 4, order ? last : first, planes, 0);
                FAILS(rn_load_idx(&data, "i", "l", 3, NULL, files, &error), RN_BAD_FILE,
                      "the second 1 to 4, the channels");
                continue;
            }
            for (i = 0; i < 3 * size; i++) {
                planes[i] = byte_at((size_t)i);
                mixed[i / size * size + i % 30 * channels + i % size / 30] = byte_at((size_t)i);
            }
            put_idx(&d, "i", 8, 4, order ? last : first, order ? mixed : planes, (size_t)size * 3);
            OK(rn_load_idx(&data, "i", "l", 3, NULL, files, &error));
            CHECK_INT(data.source.channels, channels);
            CHECK_INT(data.source.height * 10 + data.source.width, 56);
            CHECK_INT(data.source.count, 3);
            CHECK(data.pixels && !memcmp(data.pixels, planes, (size_t)size * 3));
            CHECK(data.labels && !memcmp(data.labels, "\1\2", 3));
            rn_data_free(&data);
            CHECK_INT(d.open, 0);
        }
    disk_free(&d);
}

/* Labels of 1, 2 and 4 bytes, highest first, and those that no class has. */
static void test_idx_labels(void) {
    static const unsigned char types[] = {8, 9, 11, 12};
    enum { MANY = 70 }; /* more than are read at once */
    unsigned char items[4 * MANY], images[MANY] = {0};
    const int size[3] = {MANY, 1, 1};
    disk d;
    const rn_files *files = disk_init(&d);
    rn_data data;
    int t, i;
    put_idx(&d, "i", 8, 3, size, images, MANY);
    for (t = 0; t < 4; t++) {
        const int width = types[t] == 12 ? 4 : types[t] == 11 ? 2 : 1;
        const int most = types[t] == 9 ? 127 : 255;
        char part[80];
        memset(items, 0, sizeof items);
        for (i = 0; i < MANY; i++) items[i * width + width - 1] = (unsigned char)(most - i);
        put_idx(&d, "l", types[t], 1, size, items, (size_t)(MANY * width));
        OK(rn_load_idx(&data, "i", "l", most + 1, NULL, files, &error));
        for (i = 0; data.labels && i < MANY; i++) CHECK_INT(data.labels[i], most - i);
        rn_data_free(&data);
        FAILS(rn_load_idx(&data, "i", "l", most, NULL, files, &error), RN_BAD_FILE, "image 0 has");
        items[69 * width] = 0x80; /* the sign, but not of type 8 */
        put_idx(&d, "l", types[t], 1, size, items, (size_t)(MANY * width));
        snprintf(part, sizeof part, "image 69 has label %d; labels should be 0 to ",
                 t == 1   ? -128
                 : t == 2 ? -32768 + most - 69
                          : -2147483647 - 1 + most - 69);
        if (t)
            FAILS(rn_load_idx(&data, "i", "l", 256, NULL, files, &error), RN_BAD_FILE, part);
        else
            OK(rn_load_idx(&data, "i", "l", 256, NULL, files, &error));
        rn_data_free(&data);
        put_idx(&d, "l", types[t], 1, size, items, (size_t)(MANY * width) - 1);
        FAILS(rn_load_idx(&data, "i", "l", 256, NULL, files, &error), RN_BAD_FILE, "is it whole?");
    }
    for (t = 0; t < 256; t++) { /* no other type */
        put_idx(&d, "l", t, 1, size, items, 0);
        if (!memchr(types, t, 4))
            FAILS(rn_load_idx(&data, "i", "l", 256, NULL, files, &error), RN_BAD_FILE,
                  "not as IDX labels");
        put_idx(&d, "k", t, 3, size, images, MANY);
        if (t != 8)
            FAILS(rn_load_idx(&data, "k", "l", 256, NULL, files, &error), RN_BAD_FILE,
                  "not as IDX images");
    }
    CHECK_INT(d.open, 0);
    disk_free(&d);
}

/* Every read fails once: no leak, no handle left open, and nothing half loaded. */
static void test_failing_reads(void) {
    static const unsigned char images[46] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 5};
    static const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 3, 6, 0, 4};
    disk d;
    const rn_files *files = disk_init(&d);
    rn_data data;
    rn_status status = RN_IO;
    disk_put(&d, "i", images, sizeof images);
    disk_put(&d, "l", labels, sizeof labels);
    for (d.fail_read = 1; status; d.fail_read++) {
        d.reads = 0;
        memset(&error, 0, sizeof error);
        status = rn_load_idx(&data, "i", "l", 7, NULL, files, &error);
        CHECK_INT(d.open, 0);
        if (!status) break;
        CHECK_INT(status, RN_IO);
        CHECK_TEXT(error.text, "failed");
        CHECK(!data.pixels && !data.block);
    }
    CHECK_INT(d.fail_read, 7); /* six reads: two headers, all images, three labels */
    rn_data_free(&data);
    disk_free(&d);
}

/* ---- batches --------------------------------------------------------------------------------- */

enum { COUNT = 37, C = 3, H = 7, W = 5, PAD = 2, PIXELS = C * H * W };

/* Image i has pixels of its own, and label i % 10; the last index read is remembered. */
static ptrdiff_t last_index, failing_index, wrong_index;
static int wrong_label;

static int read_image(void *user, ptrdiff_t index, uint8_t *pixels, int *label) {
    int i;
    const rn_source *source = (const rn_source *)user;
    for (i = 0; i < source->channels * H * W; i++) pixels[i] = byte_at((size_t)(index * 977 + i));
    *label = index == wrong_index ? wrong_label : (int)(index % 10);
    last_index = index;
    return index == failing_index;
}

static rn_source make_source(int channels) {
    rn_source source;
    source.count = COUNT;
    source.channels = channels;
    source.height = H;
    source.width = W;
    source.classes = 10;
    source.read = read_image;
    source.user = NULL;
    failing_index = wrong_index = -1;
    return source;
}

static rn_desc make_desc(void) {
    rn_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.seed = 77;
    desc.mean[0] = 0.5f, desc.mean[1] = 0.25f, desc.mean[2] = 0.125f, desc.mean[3] = 0.75f;
    desc.deviation[0] = 0.25f, desc.deviation[1] = 0, desc.deviation[2] = 3;
    return desc;
}

static rn_real normalised(const rn_desc *desc, int c, ptrdiff_t index, int i) {
    double deviation = desc->deviation[c] > 0 ? desc->deviation[c] : 1;
    return (rn_real)((byte_at((size_t)(index * 977 + c * H * W + i)) / 255.0 - desc->mean[c]) /
                     deviation);
}

/* Whether `image` is image `index` moved by (dy, dx), mirrored afterwards if flip. */
static int is_crop(const rn_real *image, const rn_desc *desc, ptrdiff_t index, int dy, int dx,
                   int flip) {
    int c, h, w;
    for (c = 0; c < C; c++)
        for (h = 0; h < H; h++)
            for (w = 0; w < W; w++) {
                int y = h + dy, x = (flip ? W - 1 - w : w) + dx;
                rn_real expected =
                    y < 0 || y >= H || x < 0 || x >= W ? 0 : normalised(desc, c, index, y * W + x);
                if (image[(c * H + h) * W + w] != expected) return 0;
            }
    return 1;
}

static void test_normalisation(void) {
    enum { MANY = 4 };
    rn_source source = make_source(MANY), more = make_source(MANY + 1);
    rn_desc desc = make_desc();
    static rn_real images[COUNT * MANY * H * W];
    int labels[COUNT], i, c, k;
    source.user = &source;
    more.user = &more;
    OK(rn_batch(&source, &desc, NULL, 5, 0, COUNT, images, labels, &error));
    for (i = 0; i < COUNT; i++) {
        int same = 1;
        CHECK_INT(labels[i], i % 10);
        for (c = 0; c < MANY; c++)
            for (k = 0; k < H * W; k++)
                same &= images[(i * MANY + c) * H * W + k] == normalised(&desc, c, i, k);
        CHECK(same);
    }
    FAILS(rn_batch(&more, &desc, NULL, 5, 0, 1, images, labels, &error), RN_BAD_ARGUMENT,
          "rn_batch: images of 5 channels");
    FAILS(rn_measure(&desc, &more, &error), RN_BAD_ARGUMENT, "rn_measure: images of 5 channels");
    CHECK_TEXT(error.text, "rn_train_step and rn_predict take any");
}

/* Each image is its shuffled original at exactly one of all places and mirrorings; 50 of them come
   equally often. */
static void test_augmentation(void) {
    enum { EPOCHS = 200, PLACES = 2 * PAD + 1, CELLS = PLACES * PLACES * 2 };
    static rn_real images[COUNT * PIXELS];
    static int times[CELLS];
    int labels[COUNT], epoch, i, cell, seen[COUNT];
    rn_source source = make_source(C);
    rn_desc desc = make_desc();
    rn_augment augment = {PAD, 1}, none = {0, 0};
    double chi = 0, mean = (double)EPOCHS * COUNT / CELLS;
    source.user = &source;
    for (epoch = 0; epoch < EPOCHS; epoch++) {
        OK(rn_batch(&source, &desc, &augment, (uint64_t)epoch, 0, COUNT, images, labels, &error));
        memset(seen, 0, sizeof seen);
        for (i = 0; i < COUNT; i++) {
            int found = 0, at = -1;
            rn_key key = {77, RN_PURPOSE_SHUFFLE, 0};
            ptrdiff_t index;
            key.epoch = (uint64_t)epoch;
            index = (ptrdiff_t)rn_shuffle(key, (uint64_t)i, COUNT);
            seen[index]++;
            CHECK_INT(labels[i], index % 10);
            for (cell = 0; cell < CELLS; cell++)
                if (is_crop(images + i * PIXELS, &desc, index, cell / 2 % PLACES - PAD,
                            cell / 2 / PLACES - PAD, cell % 2))
                    found++, at = cell;
            CHECK_INT(found, 1);
            if (at >= 0) times[at]++;
        }
        for (i = 0; i < COUNT; i++) CHECK_INT(seen[i], 1);
    }
    for (cell = 0; cell < CELLS; cell++) chi += (times[cell] - mean) * (times[cell] - mean) / mean;
    CHECK(chi > 20 && chi < 90); /* 49 degrees of freedom: 49 +- 10 */

    OK(rn_batch(&source, &desc, &none, 3, 0, COUNT, images, labels, &error));
    for (i = 0; i < COUNT; i++) {
        rn_key key = {77, RN_PURPOSE_SHUFFLE, 3};
        CHECK(is_crop(images + i * PIXELS, &desc, (ptrdiff_t)rn_shuffle(key, (uint64_t)i, COUNT), 0,
                      0, 0));
    }
    augment.flip = 0;
    for (epoch = 0; epoch < EPOCHS; epoch++) { /* places alone */
        int found = 0;
        OK(rn_batch(&source, &desc, &augment, (uint64_t)epoch, 4, 1, images, labels, &error));
        for (cell = 0; cell < CELLS; cell += 2)
            found += is_crop(images, &desc, last_index, cell / 2 % PLACES - PAD,
                             cell / 2 / PLACES - PAD, 0);
        CHECK_INT(found, 1);
    }
}

/* Which images of an epoch are mirrored, by index, read in batches of `size`. */
static void read_flips(const rn_desc *desc, uint64_t epoch, int size, int flips[COUNT]) {
    static rn_real images[COUNT * PIXELS];
    const rn_augment alternating = {PAD, 2};
    const rn_key key = {desc->seed, RN_PURPOSE_SHUFFLE, epoch};
    int labels[COUNT], i, cell;
    rn_source source = make_source(C);
    source.user = &source;
    for (i = 0; i < COUNT; i += size)
        OK(rn_batch(&source, desc, &alternating, epoch, i, i + size > COUNT ? COUNT - i : size,
                    images + i * PIXELS, labels + i, &error));
    for (i = 0; i < COUNT; i++) {
        const ptrdiff_t index = (ptrdiff_t)rn_shuffle(key, (uint64_t)i, COUNT);
        enum { PLACES = 2 * PAD + 1 };
        flips[index] = -1;
        for (cell = 0; cell < PLACES * PLACES * 2; cell++)
            if (is_crop(images + i * PIXELS, desc, index, cell / 2 % PLACES - PAD,
                        cell / 2 / PLACES - PAD, cell % 2))
                flips[index] = cell % 2;
        CHECK(flips[index] >= 0);
    }
}

/* By chance in epoch 0, and then every other epoch, whatever the batches and wherever a run begins;
   places are those of other flips. */
static void test_alternating(void) {
    enum { SEEDS = 100 };
    int first[COUNT], flips[COUNT], labels[COUNT], i, size, mirrored = 0, alike = 0, moved = 0;
    static rn_real images[2][COUNT * PIXELS];
    const rn_augment other = {PAD, 0}, alternating = {PAD, 2};
    rn_source source = make_source(C);
    rn_desc desc = make_desc();
    uint64_t epoch;
    source.user = &source;
    for (desc.seed = 0; desc.seed < SEEDS; desc.seed++) {
        read_flips(&desc, 0, COUNT, first);
        for (i = 0; i < COUNT; i++) mirrored += first[i], alike += first[i] == first[0];
    }
    CHECK_NEAR(mirrored, SEEDS * COUNT / 2, 4 * sqrt(SEEDS * COUNT / 4.0));
    CHECK_NEAR(alike, SEEDS * (COUNT + 1) / 2, 4 * sqrt(SEEDS * COUNT / 4.0)); /* each its own */
    for (epoch = 7; epoch-- > 0;) /* backward: no epoch knows of another */
        for (size = 1; size <= COUNT; size += 3) {
            read_flips(&desc, epoch, size, flips);
            if (epoch == 6) memcpy(first, flips, sizeof first);
            for (i = 0; i < COUNT; i++) CHECK_INT(flips[i], first[i] ^ (int)(epoch % 2));
        }
    OK(rn_batch(&source, &desc, &alternating, 2, 0, COUNT, images[0], labels, &error));
    OK(rn_batch(&source, &desc, &other, 2, 0, COUNT, images[1], labels, &error));
    for (i = 0; i < COUNT; i++)
        moved += !memcmp(images[0] + i * PIXELS, images[1] + i * PIXELS, PIXELS * sizeof(rn_real));
    for (i = size = 0; i < COUNT; i++) size += !first[i]; /* not mirrored: as in epoch 6 */
    CHECK(size > 0 && size < COUNT);
    CHECK_INT(moved, size);
}

/* The same images whatever the batches, and others for another seed or epoch. */
static void test_independence(void) {
    static rn_real whole[COUNT * PIXELS], other[COUNT * PIXELS];
    int labels[COUNT], labels2[COUNT], size, i;
    rn_source source = make_source(C);
    rn_desc desc = make_desc();
    rn_augment augment = {PAD, 1};
    source.user = &source;
    OK(rn_batch(&source, &desc, &augment, 9, 0, COUNT, whole, labels, &error));
    for (size = 1; size < COUNT; size++) {
        memset(other, 0x55, sizeof other);
        for (i = 0; i < COUNT; i += size)
            OK(rn_batch(&source, &desc, &augment, 9, i, i + size > COUNT ? COUNT - i : size,
                        other + i * PIXELS, labels2 + i, &error));
        CHECK(!memcmp(whole, other, sizeof whole));
        CHECK(!memcmp(labels, labels2, sizeof labels));
    }
    OK(rn_batch(&source, &desc, &augment, 10, 0, COUNT, other, labels2, &error));
    CHECK(memcmp(labels, labels2, sizeof labels) != 0);
    desc.seed = 78;
    OK(rn_batch(&source, &desc, &augment, 9, 0, COUNT, other, labels2, &error));
    CHECK(memcmp(labels, labels2, sizeof labels) != 0);
}

static void test_batch_errors(void) {
    static rn_real images[(COUNT + 1) * PIXELS];
    int labels[COUNT];
    rn_source source = make_source(C), none = make_source(C);
    rn_desc desc = make_desc();
    rn_augment augment = {-1, 0};
    source.user = &source;
#define BATCH(first, count) rn_batch(&source, &desc, NULL, 0, first, count, images, labels, &error)
    FAILS(BATCH(-1, 1), RN_BAD_ARGUMENT, "1 images from -1 of 37");
    FAILS(BATCH(0, 0), RN_BAD_ARGUMENT, "images from");
    FAILS(BATCH(0, COUNT + 1), RN_BAD_ARGUMENT, "38 images from 0 of 37");
    FAILS(BATCH(COUNT, 1), RN_BAD_ARGUMENT, "1 images from 37 of 37");
    FAILS(BATCH(PTRDIFF_MAX, 1), RN_BAD_ARGUMENT, "images from");
    OK(BATCH(COUNT - 1, 1));
    failing_index = 2;
    FAILS(BATCH(0, 4), RN_IO, "cannot read image 2 of 37");
    failing_index = -1;
    wrong_index = 3;
    wrong_label = 10;
    FAILS(BATCH(0, 4), RN_BAD_FILE, "image 3 has label 10; labels should be 0 to 9");
    wrong_label = -1;
    FAILS(BATCH(0, 4), RN_BAD_FILE, "image 3 has label -1");
    wrong_index = -1;
    desc.height = H + 1;
    FAILS(BATCH(0, 4), RN_BAD_SHAPE, "images [3,7,5] for a net that takes [0,8,0]");
    desc.height = H;
    desc.channels = 1;
    FAILS(BATCH(0, 4), RN_BAD_SHAPE, "[1,7,0]");
    desc.channels = C;
    desc.width = W - 1;
    FAILS(BATCH(0, 4), RN_BAD_SHAPE, "[3,7,4]");
    desc.width = W;
    OK(BATCH(0, 4));
    FAILS(rn_batch(&source, &desc, &augment, 0, 0, 1, images, labels, &error), RN_BAD_ARGUMENT,
          "pad is -1 and should be 0 to 4");
    augment.pad = W;
    FAILS(rn_batch(&source, &desc, &augment, 0, 0, 1, images, labels, &error), RN_BAD_ARGUMENT,
          "pad is 5");
    augment.pad = W - 1;
    OK(rn_batch(&source, &desc, &augment, 0, 0, 1, images, labels, &error));
    augment.flip = 3;
    FAILS(rn_batch(&source, &desc, &augment, 0, 0, 1, images, labels, &error), RN_BAD_ARGUMENT,
          "rn_batch: flip is 3 and should be 0 to 2");
    none.read = NULL;
    FAILS(rn_batch(&none, &desc, NULL, 0, 0, 1, images, labels, &error), RN_BAD_ARGUMENT,
          "lacks read");
    none = source;
    none.width = 0;
    FAILS(rn_batch(&none, &desc, NULL, 0, 0, 1, images, labels, &error), RN_BAD_ARGUMENT,
          "[3,7,0]");
    FAILS(rn_measure(&desc, &none, &error), RN_BAD_ARGUMENT, "[3,7,0]");
}

static void test_measure(void) {
    rn_source source = make_source(C);
    rn_desc desc = make_desc(), desc2 = make_desc();
    rn_data data;
    double sum[C] = {0}, squares[C] = {0}, n = (double)COUNT * H * W;
    static uint8_t pixels[COUNT * PIXELS];
    int i, c, k;
    source.user = &source;
    for (i = 0; i < COUNT; i++)
        for (c = 0; c < C; c++)
            for (k = 0; k < H * W; k++) {
                double v = byte_at((size_t)(i * 977 + c * H * W + k)) / 255.0;
                pixels[(i * C + c) * H * W + k] = byte_at((size_t)(i * 977 + c * H * W + k));
                sum[c] += v, squares[c] += v * v;
            }
    OK(rn_measure(&desc, &source, &error));
    for (c = 0; c < C; c++) {
        CHECK_NEAR(desc.mean[c], sum[c] / n, 1e-7);
        CHECK_NEAR(desc.deviation[c], sqrt(squares[c] / n - sum[c] / n * (sum[c] / n)), 1e-6);
    }
    CHECK_INT(desc.channels, C);
    CHECK_INT(desc.height, H);
    CHECK_INT(desc.width, W);
    CHECK_INT(desc.classes, 10);
    memset(&data, 0, sizeof data); /* the same pixels in memory, read where they lie */
    data.source = source;
    data.source.read = rn__data_read;
    data.source.user = &data;
    data.pixels = pixels;
    OK(rn_measure(&desc2, &data.source, &error));
    for (c = 0; c < C; c++) {
        CHECK(desc2.mean[c] == desc.mean[c] && desc2.deviation[c] == desc.deviation[c]);
        desc.mean[c] = desc.deviation[c] = 2;
    }
    failing_index = COUNT - 1;
    FAILS(rn_measure(&desc, &source, &error), RN_IO, "cannot read image 36");
    CHECK(desc.mean[0] == 2 && desc.deviation[2] == 2);
}

static uint8_t only_value;
static ptrdiff_t only_index; /* of the image whose first pixel is different by one */

static int read_constant(void *user, ptrdiff_t index, uint8_t *pixels, int *label) {
    const rn_source *source = (const rn_source *)user;
    memset(pixels, only_value, (size_t)(source->channels * source->height * source->width));
    if (index == only_index) pixels[0] = (uint8_t)(only_value ^ 1);
    *label = 0;
    return 0;
}

/* What rn_measure writes of channels that are constant, or all but constant, a net takes. */
static void test_constant(void) {
    rn_source source = make_source(C);
    rn_desc desc = rn_cifar(8), resolved;
    int value, c;
    source.read = read_constant;
    source.user = &source;
    only_index = -1;
    for (value = 0; value < 256; value++) {
        only_value = (uint8_t)value;
        OK(rn_measure(&desc, &source, &error));
        for (c = 0; c < C; c++) {
            CHECK_NEAR(desc.mean[c], value / 255.0, 1e-6);
            CHECK_NEAR(desc.deviation[c], 1, 0);
        }
    }
    source.channels = 1;
    source.height = source.width = 32;
    only_index = 6;
    only_value = 200;
    for (source.count = 10000; source.count <= 20000; source.count += 10000) {
        double deviation = sqrt(1 / (1024 * (double)source.count)) / 255;
        OK(rn_measure(&desc, &source, &error));
        CHECK_NEAR(desc.deviation[0], deviation < 1e-6 ? 1 : deviation, 1e-8);
        resolved = desc;
        OK(rn_resolve(&resolved, &error));
    }
    CHECK_NEAR(desc.deviation[0], 1, 0);
}

/* Sizes that wrap in 32 or 64 bits are refused, whatever the length of the file is said to be. */
static uint64_t told_bytes;

static int tell_bytes(void *user, void *file, uint64_t *bytes) {
    (void)user, (void)file;
    *bytes = told_bytes;
    return 0;
}

static void test_huge(void) {
    static const int most[4] = {-1, 4, 16384, 16384}; /* 2^32 - 1 images */
    disk d;
    const rn_files *files = disk_init(&d);
    rn_source source = make_source(C);
    rn_desc desc = make_desc();
    rn_data data;
    rn_real images[1];
    int labels[1];
    d.calls.size = tell_bytes;
    told_bytes = 20 + ((uint64_t)UINT32_MAX << 30);
    put_idx(&d, "i", 8, 4, most, (const unsigned char *)"", 0);
    FAILS(rn_load_idx(&data, "i", "i", 256, NULL, files, &error), RN_BAD_FILE,
          "not as IDX labels"); /* so the images pass */
    source.channels = 4;
    source.height = source.width = 1 << 20; /* an image fits into 64 bits, but many do not */
    source.count = INT_MAX;
    FAILS(rn_batch(&source, &desc, NULL, 0, 0, INT_MAX, images, labels, &error),
          sizeof(size_t) > 4 ? RN_TOO_LARGE : RN_BAD_ARGUMENT, "rn_batch: ");
    source.height = source.width = INT_MAX;
    FAILS(rn_measure(&desc, &source, &error), RN_BAD_ARGUMENT, "rn_measure: the source lacks");
    told_bytes = UINT64_MAX / 3073 * 3073;
    disk_put(&d, "x/cifar-10-batches-bin/test_batch.bin", "", 0);
    FAILS(rn_load_cifar(&data, "x", 10, 0, NULL, files, &error), RN_TOO_LARGE, "images [3,32,32]");
    CHECK_INT(d.open, 0);
    disk_free(&d);
}

/* Damaged IDX files: bytes of good heads replaced, and lengths that do not fit, are refused or give
   images whose every byte is there; no handle stays open. */
static void test_damaged_idx(void) {
    static const rn_key key = {1, RN_PURPOSE_SHUFFLE, 1};
    unsigned char images[20 + 64], labels[8 + 64];
    uint64_t draws = 0;
    disk d;
    const rn_files *files = disk_init(&d);
    int i, good = 0;
    for (i = 0; i < 20000; i++) {
        static const unsigned char types[] = {8, 8, 8, 9, 11, 12};
        const uint64_t word = rn_random(key, draws++);
        const int dims = 3 + (int)(word & 1), items = dims == 4 ? 36 : 12;
        const unsigned char type = types[(word >> 8) % 6];
        const size_t width = type == 12 ? 4 : type == 11 ? 2 : 1;
        rn_data data;
        int sum = 0;
        size_t k;
        for (k = 0; k < sizeof images; k++) images[k] = (unsigned char)rn_random(key, draws++);
        memset(images, 0, 4 + 4 * (size_t)dims), memset(labels, 0, sizeof labels);
        images[2] = 8, images[3] = (unsigned char)dims;
        images[7] = 2, images[11] = 2, images[15] = 3, images[19] = dims == 4 ? 3 : images[19];
        labels[2] = type, labels[3] = 1, labels[7] = 2;
        if (word >> 16 & 1) images[(word >> 20) % 20] = (unsigned char)(word >> 30);
        if (word >> 17 & 1) labels[(word >> 40) % 8] = (unsigned char)(word >> 50);
        disk_put(&d, "i", images, (size_t)(4 + 4 * dims + items) - (size_t)((word >> 18 & 7) == 7));
        disk_put(&d, "l", labels, 8 + 2 * width - (size_t)(word >> 60 == 15));
        memset(&error, 0, sizeof error);
        if (rn_load_idx(&data, "i", "l", 256, NULL, files, &error)) {
            CHECK(!data.pixels && *error.text);
            continue;
        }
        good++;
        for (k = 0; k < (size_t)items; k++)
            sum += data.pixels[k] - images[(size_t)(4 + 4 * dims) + k];
        CHECK_INT(sum, 0);
        CHECK_INT(data.labels[0] + data.labels[1], 0);
        rn_data_free(&data);
    }
    CHECK_INT(d.open, 0);
    CHECK(good > 4000 && good < 12000);
    disk_free(&d);
}

int main(void) {
    make_directory(directory, sizeof directory);
    test_cifar();
    test_idx();
    test_idx_channels();
    test_idx_labels();
    test_huge();
    test_damaged_idx();
    test_failing_reads();
    test_normalisation();
    test_augmentation();
    test_alternating();
    test_independence();
    test_batch_errors();
    test_measure();
    test_constant();
    CHECK(!remove(directory)); /* so it is empty */
    return test_end("data");
}
