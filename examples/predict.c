/* predict.c - a weights file and an image in, the probability of each class out, or the value of
   any node of the net.

   cc -O2 -o examples/predict examples/predict.c -lm && examples/predict --help */

#define _DEFAULT_SOURCE
#define _FILE_OFFSET_BITS 64 /* files over 2 GB, where a long has 32 bits */
#define RESNET_IMPLEMENTATION
#include "names.h"

static void help(void) {
    printf(
        "usage: predict WEIGHTS IMAGE [--flag VALUE | --flag=VALUE]...\n\n"
        "Prints what the net in WEIGHTS (of rn_save or the trainer) takes IMAGE for. IMAGE is\n"
        "  a PBM, PGM, PPM or PAM (P1 to P7: text, or 1, 8 or 16 bits a colour) of any size,\n"
        "  %s,\n"
        "  a CIFAR batch such as test_batch.bin, or an IDX file of images; then\n"
        "  --index N   chooses a record, from 0 (default 0).\n"
        "An alpha channel is left out. Pictures are RGB; a net that takes BGR gets that.\n"
        "Without --crops the net sees what timm and torchvision would show it: the centre of the\n"
        "picture, scaled by Pillow's rules (crop_fraction and interpolation of WEIGHTS). A net of\n"
        "the CIFAR stem with a crop_fraction of 1 sees all of the picture, stretched.\n"
        "  --crops N   1: the centre of the picture scaled to a shorter side of --scale (by\n"
        "              crop_fraction; 256 for 224 where that is 1 and the stem CIFAR's), but not\n"
        "              rounded to bytes; 10: its corners and centre, and these mirrored, the mean\n"
        "              probability\n"
        "  --names A,B,...  names of the classes; or\n"
        "  --classes FILE   a text file with a name a line. Without either those in WEIGHTS, "
        "where\n"
        "              tools/convert put some; else those of CIFAR-10 for nets of ten classes and\n"
        "              colour images, those of Fashion-MNIST for grey ones\n"
        "  --features NODE  prints the value of that node instead, a number a line, by channels,\n"
        "              rows, columns: of pool a vector to compare images by, of layer3.1.add what\n"
        "              that unit makes of the image; a name that is none lists all\n",
        has_stb_image ? "a PNG of 8 or 16 bits, a JPEG or a BMP"
                      : "(a PNG, JPEG or BMP, if built where stb_image is: Debian's libstb-dev)");
    exit(finish());
}

/* ---- CIFAR and IDX --------------------------------------------------------------------------- */

/* Goes to record `index` of a file whose records follow `begin` bytes: `labels` bytes, then the
   image's pixels. */
static void find_record(FILE *file, const char *path, int begin, int labels, long index,
                        const pixmap *m) {
    const int64_t record = labels + (int64_t)m->channels * m->height * m->width;
    const int64_t size = fseeko(file, 0, SEEK_END) ? -1 : (int64_t)ftello(file);
    const int64_t count = (size - begin) / record;
    unsigned char b[4];
    if (size < 0) quit(1, "cannot read %s", path);
    if (size < begin || (size - begin) % record) {
        rewind(file);
        if (fread(b, 1, 4, file) == 4 && !memcmp(b, "\0\0\10\1", 4))
            quit(1, "%s holds the labels of an IDX set; take its images", path);
        quit(1, "%s is cut, or neither an image, CIFAR nor IDX", path);
    }
    if (index >= count)
        quit(2, "--index is %ld, but %s has %" PRId64 " images, counted from 0", index, path,
             count);
    if (fseeko(file, (off_t)(begin + index * record), SEEK_SET)) quit(1, "cannot read %s", path);
}

static void read_pixels(FILE *file, const char *path, const pixmap *m) {
    const size_t bytes = (size_t)m->channels * (size_t)m->height * (size_t)m->width;
    if (fread(m->pixels, 1, bytes, file) != bytes) quit(1, "cannot read %s", path);
}

/* One byte of label, or two of CIFAR-100, the coarse and the fine one. */
static pixmap read_cifar(FILE *file, const char *path, long index, int classes) {
    pixmap m = make_pixmap(path, 3, 32, 32);
    int labels[2], many = classes == 100 || classes == 20 ? 2 : 1, i;
    find_record(file, path, 0, many, index, &m);
    for (i = 0; i < many; i++) labels[i] = getc(file);
    m.label = labels[classes == 100];
    read_pixels(file, path, &m);
    return m;
}

/* Images [count,h,w], [count,h,w,c] or [count,c,h,w], as rn_load_idx reads them. */
static pixmap read_idx(FILE *file, const char *path, long index, int dims, const unsigned char *b) {
    int size[4] = {1, 1, 1, 1}, i, last;
    ptrdiff_t plane, k;
    pixmap m, mixed;
    for (i = 1; i < dims; i++) {
        const unsigned char *at = b + 4 + 4 * i;
        size[i] = at[0] || at[1] ? 1 << 16 : at[2] << 8 | at[3];
        if (size[i] < 1 || size[i] > 16384) quit(1, "%s: its header is damaged", path);
    }
    last = size[3] <= 4;
    m = make_pixmap(path, size[last ? 3 : 1], size[last ? 1 : 2], size[last ? 2 : 3]);
    find_record(file, path, 4 + 4 * dims, 0, index, &m);
    read_pixels(file, path, &m);
    if (!last || m.channels == 1) return m;
    mixed = m;
    m = make_pixmap(path, m.channels, m.height, m.width);
    plane = (ptrdiff_t)m.height * m.width;
    for (k = 0; k < plane * m.channels; k++)
        m.pixels[k % m.channels * plane + k / m.channels] = mixed.pixels[k];
    free(mixed.pixels);
    return m;
}

/* `index`: -1 if none was asked for. */
static pixmap read_image(const char *path, long index, int classes) {
    unsigned char b[20];
    FILE *file = open_picture(path, b);
    pixmap m = read_picture(file, path, b);
    if (m.channels && index >= 0) quit(2, "%s is one picture; leave --index out", path);
    if (m.alpha) fprintf(stderr, "%s: %s has an alpha channel, which is left out\n", program, path);
    if (!m.channels && !memcmp(b, "\0\0\10", 3) && (b[3] == 3 || b[3] == 4))
        m = read_idx(file, path, index < 0 ? 0 : index, b[3], b);
    else if (!m.channels)
        m = read_cifar(file, path, index < 0 ? 0 : index, classes);
    fclose(file);
    return m;
}

/* ---- what the net says ----------------------------------------------------------------------- */

/* The windows of --crops, or all of the picture. Returns how many. */
static int choose_windows(const rn_desc *desc, const pixmap *m, long crops, long scale,
                          rn_window windows[10]) {
    const rn_window whole = {0, 0, m->height, m->width, 0};
    const int size = desc->height < desc->width ? desc->height : desc->width;
    windows[0] = whole;
    if (!crops) return 1;
    if (!scale && is_stretched(desc)) scale = (size * 256 + 112) / 224;
    if (!scale) scale = (long)(size / (double)desc->crop_fraction + 1e-3);
    if (scale < size) quit(2, "--scale is %ld and should be %d or more", scale, size);
    if (crops == 1) windows[0] = rn_centre_window(m->height, m->width, size, (int)scale);
    if (crops == 10) rn_ten_windows(m->height, m->width, size, (int)scale, windows);
    return (int)crops;
}

/* Of one image [1,C,H,W]: logits become probabilities. */
static void predict_image(rn_net *net, const rn_real *image, rn_real *probabilities) {
    const int classes = net->desc.classes;
    rn_error error;
    double sum = 0, largest;
    check(rn_predict(net, rn_workspace(net), image, 1, probabilities, &error), &error);
    largest = (double)probabilities[rn_argmax(probabilities, classes)];
    for (int k = 0; k < classes; k++) sum += exp((double)probabilities[k] - largest);
    for (int k = 0; k < classes; k++)
        probabilities[k] = (rn_real)(exp((double)probabilities[k] - largest) / sum);
}

/* Does the net see a crop, as timm and torchvision make it? Windows cannot be reduced by more than
   24, so of a large picture it does in any case. */
static int is_cropped(const rn_desc *desc, const pixmap *m) {
    return m->height > 24 * desc->height || m->width > 24 * desc->width || !is_stretched(desc);
}

/* The one image that the net sees without --crops, [1,C,H,W] in `to`. */
static void make_image(const rn_net *net, const pixmap *m, rn_real *to) {
    const rn_desc *desc = &net->desc;
    const rn_picture picture = rn_planar(m->pixels, m->channels, m->height, m->width);
    const rn_window whole = {0, 0, m->height, m->width, 0};
    const int bilinear = desc->interpolation == RN_BILINEAR ? RN_RESAMPLE_BILINEAR : 0;
    rn_tensor image = rn_tensor_in(to, 1, desc->channels, desc->height, desc->width);
    rn_error error;
    if (is_cropped(desc, m)) {
        const rn_crop crop = choose_crop(desc, m);
        const size_t bytes = rn_crop_bytes(&picture, &crop);
        void *rows = allocate(bytes);
        check(rn_preprocess(to, desc, &picture, &crop, rows, bytes, &error), &error);
        free(rows);
        return;
    }
    check(rn_resample(&image, &picture, whole, RN_RESAMPLE_ANTIALIAS | bilinear, &error), &error);
    check(rn_normalise(&image, desc, &error), &error);
}

/* The centre of the picture, as timm and torchvision show it, for a net that expects that; the
   windows of --crops, or all of it, else. */
static void predict_picture(rn_net *net, const pixmap *m, long crops, long scale,
                            rn_real *probabilities) {
    const rn_desc *desc = &net->desc;
    const rn_picture picture = rn_planar(m->pixels, m->channels, m->height, m->width);
    rn_real *room =
        (rn_real *)allocate(rn_tensor_bytes(1, desc->channels, desc->height, desc->width) +
                            rn_tensor_bytes(1, desc->classes, 1, 1));
    rn_error error;
    if (!crops && is_cropped(desc, m)) {
        make_image(net, m, room);
        predict_image(net, room, probabilities);
    } else {
        const int bilinear = desc->interpolation == RN_BILINEAR ? RN_RESAMPLE_BILINEAR : 0;
        rn_window windows[10];
        const int count = choose_windows(desc, m, crops, scale, windows);
        check(rn_predict_windows(net, rn_workspace(net), &picture, windows, count,
                                 RN_RESAMPLE_ANTIALIAS | bilinear, room, probabilities, &error),
              &error);
    }
    free(room);
}

/* The value of a node, a number a line. */
static void print_features(rn_net *net, const pixmap *m, const char *name) {
    const rn_desc *desc = &net->desc;
    const int node = rn_find_node(net, name);
    rn_real *image, *features;
    rn_error error;
    char other[64];
    ptrdiff_t count, i;
    for (i = 0; node < 0 && i < net->node_count; i++) {
        rn_node_name(net, (int)i, other);
        fprintf(stderr, "%s%s", other, i + 1 < net->node_count ? " " : "\n");
    }
    if (node < 0) quit(2, "the net has no node %s; the names above are those that it has", name);
    count = (ptrdiff_t)net->nodes[node].c * net->nodes[node].h * net->nodes[node].w;
    features = (rn_real *)allocate((size_t)count * sizeof *features);
    image = (rn_real *)allocate(rn_tensor_bytes(1, desc->channels, desc->height, desc->width));
    make_image(net, m, image);
    check(rn_features(net, rn_workspace(net), image, 1, node, features, &error), &error);
    for (i = 0; i < count; i++) printf("%.9g\n", (double)features[i]);
    free(image);
    free(features);
}

/* The five likeliest classes, or all if there are no more than twenty. */
static void print_classes(const rn_desc *desc, const class_names *names, rn_real *probabilities) {
    int lines = desc->classes > 20 ? 5 : desc->classes, best;
    char name[256];
    for (; lines; lines--) {
        best = rn_argmax(probabilities, desc->classes);
        name_class(names, desc, best, name);
        printf("%7.3f %%  %d %s\n", 100 * (double)probabilities[best], best, name);
        probabilities[best] = -1;
    }
}

/* The net in a weights file, for inference. */
static rn_net *open_net(const char *path) {
    rn_desc desc;
    rn_error error;
    rn_status status = rn_load_desc(&desc, path, NULL, &error);
    rn_net *net;
    if (status == RN_MISMATCH)
        quit(1, "%s has no description; tools/convert makes a file with one", path);
    check(status, &error);
    desc.threads = all_cores();
    net = rn_create_from(&desc, 1, RN_INFERENCE, path, NULL, &large_pages, &error);
    if (!net) check(error.status, &error);
    return net;
}

int main(int count, char **words) {
    arguments a = {count, 1, words};
    const char *paths[2] = {NULL, NULL}, *list = NULL, *file = NULL, *node = NULL;
    rn_net *net;
    rn_real *probabilities;
    class_names names;
    pixmap m;
    char label[256];
    long index = -1, crops = 0, scale = 0;
    program = "predict";
    for (; a.at < count; a.at++) {
        if (is_help(&a)) help();
        if (has_whole(&a, "index", 0, LONG_MAX, &index) || has_text(&a, "names", &list) ||
            has_text(&a, "classes", &file) || has_text(&a, "features", &node) ||
            has_whole(&a, "crops", 1, 10, &crops) || has_whole(&a, "scale", 1, 100000, &scale))
            continue;
        if (words[a.at][0] == '-') quit(2, "there is no flag %s", words[a.at]);
        if (paths[1])
            quit(2, "one image at a time, but there are %s and %s", paths[1], words[a.at]);
        paths[paths[0] != NULL] = words[a.at];
    }
    if (crops != 0 && crops != 1 && crops != 10) quit(2, "--crops is 1 or 10");
    if (scale && !crops) quit(2, "--scale is for --crops 1 or 10");
    if (list && file) quit(2, "--names and --classes both name the classes: give one of them");
    if (node && (crops || list || file))
        quit(2, "--features is of one image and no class; leave --crops, --names, --classes out");
    if (!paths[1]) quit(2, "it takes a weights file and an image");
    net = open_net(paths[0]);
    m = match_channels(read_image(paths[1], index, net->desc.classes), paths[1],
                       net->desc.channels);
    if (node) {
        print_features(net, &m, node);
        free(m.pixels);
        rn_destroy(net);
        return finish();
    }
    names = choose_names(&net->desc, paths[0], list, file);
    probabilities = (rn_real *)allocate(rn_tensor_bytes(1, net->desc.classes, 1, 1));
    predict_picture(net, &m, crops, scale, probabilities);
    print_classes(&net->desc, &names, probabilities);
    if (m.label >= 0 && m.label < net->desc.classes) {
        name_class(&names, &net->desc, m.label, label);
        printf("the file says %d %s\n", m.label, label);
    }
    free(probabilities);
    free(m.pixels);
    rn_destroy(net);
    return finish();
}
