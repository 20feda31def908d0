/* predict.c - a weights file and an image in, the probability of each class out.

   cc -O2 -o examples/predict examples/predict.c -lm && examples/predict --help */

#define _POSIX_C_SOURCE 200809L
#define RESNET_IMPLEMENTATION
#include "example.h"
#include <limits.h>

/* An image as it comes from a file: bytes [channels, height, width], and its label if it has
   one. */
typedef struct image {
    int channels, height, width, label; /* -1: none */
    uint8_t *pixels;
} image;

static const char *const cifar10_names[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                            "dog",      "frog",       "horse", "ship", "truck"};
static const char *const fashion_names[] = {"T-shirt/top", "trouser",   "pullover", "dress",
                                            "coat",        "sandal",    "shirt",    "sneaker",
                                            "bag",         "ankle boot"};

static void help(void) {
    printf(
        "usage: predict WEIGHTS IMAGE [--index N] [--names A,B,...]\n\n"
        "Prints what the net in WEIGHTS (of rn_save or the trainer) takes IMAGE for. IMAGE is\n"
        "  a binary PPM or PGM (P5, P6), which is scaled to the size of the net's images,\n"
        "  a CIFAR batch such as test_batch.bin, or an IDX file of images; then\n"
        "  --index N   chooses a record, from 0 (default 0).\n"
        "  --names     names the classes; without it those of CIFAR-10 are taken for nets of ten\n"
        "              classes and colour images, those of Fashion-MNIST for grey ones\n");
    exit(0);
}

static image make_image(int channels, int height, int width) {
    image m = {channels, height, width, -1, NULL};
    size_t bytes = rn_tensor_bytes(1, channels, height, width) / sizeof(rn_real);
    if (!bytes || bytes > (size_t)1 << 30) quit(1, "the image has an impossible size");
    m.pixels = (uint8_t *)allocate(bytes);
    return m;
}

/* The next number of a PPM's header, behind white space and comments. */
static int read_size(FILE *file, const char *path) {
    int c = getc(file), value = 0;
    while (c == '#' || c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        if (c == '#')
            while (c != '\n' && c != EOF) c = getc(file);
        c = getc(file);
    }
    for (; c >= '0' && c <= '9' && value < 100000; c = getc(file)) value = value * 10 + c - '0';
    if (value < 1 || value >= 100000) quit(1, "%s: its header is damaged", path);
    return value;
}

/* P5 has one byte a pixel, P6 three; here the planes of the colours follow each other. */
static image read_pnm(FILE *file, const char *path, int channels) {
    int width = read_size(file, path), height = read_size(file, path), most = read_size(file, path);
    image m = make_image(channels, height, width);
    ptrdiff_t plane = (ptrdiff_t)width * height, i;
    if (most > 255) quit(1, "%s has two bytes a colour; only one is read", path);
    for (i = 0; i < plane * channels; i++) {
        int c = getc(file);
        if (c == EOF) quit(1, "%s is cut", path);
        m.pixels[i % channels * plane + i / channels] = (uint8_t)(c >= most ? 255 : c * 255 / most);
    }
    return m;
}

/* Record `index` of a file whose records follow `begin` bytes; the last of their `labels` first
   bytes is the label. */
static image read_record(FILE *file, const char *path, long begin, int labels, long index,
                         image m) {
    size_t bytes = (size_t)m.channels * (size_t)m.height * (size_t)m.width;
    long size = fseek(file, 0, SEEK_END) ? -1 : ftell(file), record = labels + (long)bytes;
    if (size < 0) quit(1, "cannot read %s", path);
    if ((size - begin) % record) quit(1, "%s is cut, or neither an image, CIFAR nor IDX", path);
    if (index >= (size - begin) / record)
        quit(2, "--index is %ld, but %s has %ld images", index, path, (size - begin) / record);
    fseek(file, begin + index * record, SEEK_SET);
    while (labels--) m.label = getc(file);
    if (fread(m.pixels, 1, bytes, file) != bytes) quit(1, "cannot read %s", path);
    return m;
}

static image read_image(const char *path, long index, int classes) {
    FILE *file = fopen(path, "rb");
    unsigned char b[16] = {0};
    image m;
    if (!file) quit(1, "cannot open %s: %s", path, strerror(errno));
    if (fread(b, 1, 16, file) < 2) quit(1, "%s is empty, or cannot be read", path);
    if (b[0] == 'P' && (b[1] == '5' || b[1] == '6')) {
        fseek(file, 2, SEEK_SET);
        m = read_pnm(file, path, b[1] == '5' ? 1 : 3);
    } else if (!memcmp(b, "\0\0\10\3", 4)) {
        m = make_image(1, b[8] << 24 | b[9] << 16 | b[10] << 8 | b[11],
                       b[12] << 24 | b[13] << 16 | b[14] << 8 | b[15]);
        m = read_record(file, path, 16, 0, index, m);
    } else
        m = read_record(file, path, 0, classes == 100 ? 2 : 1, index, make_image(3, 32, 32));
    fclose(file);
    return m;
}

/* Grey from colour by the weights of television, colour from grey by repeating it. */
static image match_channels(image from, int channels) {
    image to = make_image(channels, from.height, from.width);
    ptrdiff_t plane = (ptrdiff_t)from.height * from.width, i;
    to.label = from.label;
    for (i = 0; i < plane * channels; i++) {
        const uint8_t *p = from.pixels + i % plane;
        if (from.channels == channels)
            to.pixels[i] = from.pixels[i];
        else if (from.channels == 1)
            to.pixels[i] = *p;
        else
            to.pixels[i] = (uint8_t)((299 * p[0] + 587 * p[plane] + 114 * p[2 * plane]) / 1000);
    }
    free(from.pixels);
    return to;
}

/* Each new pixel is the mean of the old ones in its place, or the nearest where there is none. */
static image match_size(image from, int height, int width) {
    image to = make_image(from.channels, height, width);
    int c, y, x, i, j;
    to.label = from.label;
    for (c = 0; c < to.channels; c++)
        for (y = 0; y < height; y++)
            for (x = 0; x < width; x++) {
                const uint8_t *plane = from.pixels + (ptrdiff_t)c * from.height * from.width;
                int64_t sum = 0, count = 0;
                int top = (int)((int64_t)y * from.height / height);
                int left = (int)((int64_t)x * from.width / width);
                int bottom = (int)((int64_t)(y + 1) * from.height / height);
                int right = (int)((int64_t)(x + 1) * from.width / width);
                for (i = top; i < bottom || i == top; i++)
                    for (j = left; j < right || j == left; j++, count++)
                        sum += plane[(ptrdiff_t)i * from.width + j];
                to.pixels[((ptrdiff_t)c * height + y) * width + x] = (uint8_t)(sum / count);
            }
    free(from.pixels);
    return to;
}

static int read_pixels(void *user, ptrdiff_t index, uint8_t *pixels, int *label) {
    const image *m = (const image *)user;
    (void)index;
    memcpy(pixels, m->pixels, (size_t)m->channels * (size_t)m->height * (size_t)m->width);
    *label = 0;
    return 0;
}

/* Name of a class: from the list between commas, of a data set that looks like the net's, or
   none. */
static const char *class_name(const rn_desc *desc, const char *names, int class_index) {
    static char name[64];
    if (names) {
        for (; class_index && *names; names++) class_index -= *names == ',';
        snprintf(name, sizeof name, "%.*s", (int)strcspn(names, ","), names);
        return name;
    }
    if (desc->classes != 10) return "";
    return desc->channels == 3 ? cifar10_names[class_index] : fashion_names[class_index];
}

/* The five likeliest classes, or all if there are no more than twenty. */
static void print_classes(const rn_desc *desc, const char *names, const rn_real *logits) {
    int classes = desc->classes, lines = classes > 20 ? 5 : classes, i, best;
    double sum = 0, largest = (double)logits[rn_argmax(logits, classes)];
    rn_real *left = (rn_real *)allocate((size_t)classes * sizeof *left);
    for (i = 0; i < classes; i++) sum += exp((double)logits[i] - largest);
    memcpy(left, logits, (size_t)classes * sizeof *left);
    while (lines--) {
        best = rn_argmax(left, classes);
        printf("%7.3f %%  %d %s\n", 100 * exp((double)left[best] - largest) / sum, best,
               class_name(desc, names, best));
        left[best] = (rn_real)-HUGE_VAL;
    }
    free(left);
}

int main(int count, char **words) {
    arguments a = {count, 1, words};
    const char *paths[2] = {NULL, NULL}, *names = NULL;
    rn_source source = {1, 0, 0, 0, 0, read_pixels, NULL};
    rn_desc desc;
    rn_error error;
    rn_net *net;
    rn_real *pixels, *logits;
    image m;
    long index = 0;
    int label;
    program = "predict";
    for (; a.at < count; a.at++) {
        if (!strcmp(words[a.at], "-h") || is_flag(&a, "help")) help();
        if (has_whole(&a, "index", 0, LONG_MAX, &index) || has_text(&a, "names", &names)) continue;
        if (words[a.at][0] == '-') quit(2, "there is no flag %s", words[a.at]);
        if (paths[1])
            quit(2, "one image at a time, but there are %s and %s", paths[1], words[a.at]);
        paths[paths[0] != NULL] = words[a.at];
    }
    if (!paths[1]) quit(2, "it takes a weights file and an image");
    check(rn_load_desc(&desc, paths[0], NULL, &error), &error);
    net = rn_create(&desc, 1, RN_INFERENCE, NULL, &error);
    if (!net) check(error.status, &error);
    check(rn_load(net, paths[0], NULL, &error), &error);
    desc = net->desc;

    m = read_image(paths[1], index, desc.classes);
    if (desc.channels != 1 && desc.channels != 3)
        quit(1, "images of this net have %d channels; only 1 and 3 are known here", desc.channels);
    if (m.channels != desc.channels) m = match_channels(m, desc.channels);
    if (m.height != desc.height || m.width != desc.width)
        m = match_size(m, desc.height, desc.width);
    source.channels = m.channels;
    source.height = m.height;
    source.width = m.width;
    source.classes = desc.classes;
    source.user = &m;
    pixels = (rn_real *)allocate(rn_tensor_bytes(1, m.channels, m.height, m.width));
    logits = (rn_real *)allocate(rn_tensor_bytes(1, desc.classes, 1, 1));
    check(rn_batch(&source, &desc, NULL, 0, 0, 1, pixels, &label, &error), &error);
    check(rn_predict(net, rn_workspace(net), pixels, 1, logits, &error), &error);
    print_classes(&desc, names, logits);
    if (m.label >= 0 && m.label < desc.classes)
        printf("the file says %d %s\n", m.label, class_name(&desc, names, m.label));
    free(pixels);
    free(logits);
    free(m.pixels);
    rn_destroy(net);
    return finish();
}
