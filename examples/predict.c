/* predict.c - a weights file and an image in, the probability of each class out.

   cc -O2 -o examples/predict examples/predict.c -lm && examples/predict --help */

#define _DEFAULT_SOURCE
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
        "usage: predict WEIGHTS IMAGE [--flag VALUE | --flag=VALUE]...\n\n"
        "Prints what the net in WEIGHTS (of rn_save or the trainer) takes IMAGE for. IMAGE is\n"
        "  a binary PPM or PGM (P5, P6) of any size,\n"
        "  a CIFAR batch such as test_batch.bin, or an IDX file of images; then\n"
        "  --index N   chooses a record, from 0 (default 0).\n"
        "  --crops N   1: the centre of the picture scaled to a shorter side of --scale (256 for\n"
        "              nets of 224); 10: its corners and centre, and these mirrored, the mean\n"
        "              probability; without it all of the picture, stretched\n"
        "  --names A,B,...  names of the classes; without it those of CIFAR-10 are taken for nets\n"
        "              of ten classes and colour images, those of Fashion-MNIST for grey ones\n");
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

/* What the net looks at: all of the picture, or its centre or ten crops of it scaled to a shorter
   side of `scale`. Returns the number of windows. */
static int choose_windows(const rn_desc *desc, const image *m, long crops, long scale,
                          rn_window windows[10]) {
    const rn_window whole = {0, 0, m->height, m->width, 0};
    const int size = desc->height < desc->width ? desc->height : desc->width;
    windows[0] = whole;
    if (!crops) return 1;
    if (!scale) scale = (size * 256 + 112) / 224;
    if (scale < size) quit(2, "--scale is %ld and should be %d or more", scale, size);
    if (crops == 1) windows[0] = rn_centre_window(m->height, m->width, size, (int)scale);
    if (crops == 10) rn_ten_windows(m->height, m->width, size, (int)scale, windows);
    return (int)crops;
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
static void print_classes(const rn_desc *desc, const char *names, rn_real *probabilities) {
    int lines = desc->classes > 20 ? 5 : desc->classes, best;
    for (; lines; lines--) {
        best = rn_argmax(probabilities, desc->classes);
        printf("%7.3f %%  %d %s\n", 100 * (double)probabilities[best], best,
               class_name(desc, names, best));
        probabilities[best] = -1;
    }
}

int main(int count, char **words) {
    arguments a = {count, 1, words};
    const char *paths[2] = {NULL, NULL}, *names = NULL;
    rn_desc desc;
    rn_error error;
    rn_net *net;
    rn_real *room, *probabilities;
    rn_window windows[10];
    rn_picture picture;
    image m;
    long index = 0, crops = 0, scale = 0;
    program = "predict";
    for (; a.at < count; a.at++) {
        if (!strcmp(words[a.at], "-h") || is_flag(&a, "help")) help();
        if (has_whole(&a, "index", 0, LONG_MAX, &index) || has_text(&a, "names", &names) ||
            has_whole(&a, "crops", 1, 10, &crops) || has_whole(&a, "scale", 1, 100000, &scale))
            continue;
        if (words[a.at][0] == '-') quit(2, "there is no flag %s", words[a.at]);
        if (paths[1])
            quit(2, "one image at a time, but there are %s and %s", paths[1], words[a.at]);
        paths[paths[0] != NULL] = words[a.at];
    }
    if (crops != 0 && crops != 1 && crops != 10) quit(2, "--crops is 1 or 10");
    if (scale && !crops) quit(2, "--scale is for --crops 1 or 10");
    if (!paths[1]) quit(2, "it takes a weights file and an image");
    check(rn_load_desc(&desc, paths[0], NULL, &error), &error);
    net = rn_create(&desc, 1, RN_INFERENCE, &large_pages, &error);
    if (!net) check(error.status, &error);
    check(rn_load(net, paths[0], NULL, &error), &error);
    desc = net->desc;

    m = read_image(paths[1], index, desc.classes);
    if (desc.channels != 1 && desc.channels != 3)
        quit(1, "images of this net have %d channels; only 1 and 3 are known here", desc.channels);
    if (m.channels != desc.channels) m = match_channels(m, desc.channels);
    picture = rn_planar(m.pixels, m.channels, m.height, m.width);
    probabilities = (rn_real *)allocate(rn_tensor_bytes(1, desc.classes, 1, 1));
    room = (rn_real *)allocate(rn_tensor_bytes(1, desc.channels, desc.height, desc.width) +
                               rn_tensor_bytes(1, desc.classes, 1, 1));
    check(rn_predict_windows(net, rn_workspace(net), &picture, windows,
                             choose_windows(&desc, &m, crops, scale, windows), 1, room,
                             probabilities, &error),
          &error);
    print_classes(&desc, names, probabilities);
    if (m.label >= 0 && m.label < desc.classes)
        printf("the file says %d %s\n", m.label, class_name(&desc, names, m.label));
    free(room);
    free(probabilities);
    free(m.pixels);
    rn_destroy(net);
    return finish();
}
