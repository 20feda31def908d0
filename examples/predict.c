/* predict.c - a weights file and an image in, the probability of each class out.

   cc -O2 -o examples/predict examples/predict.c -lm && examples/predict --help */

#define _DEFAULT_SOURCE
#define _FILE_OFFSET_BITS 64 /* files over 2 GB, where a long has 32 bits */
#define RESNET_IMPLEMENTATION
#include "example.h"
#include <ctype.h>
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
        "  a PBM, PGM, PPM or PAM (P1 to P7: text, or 1, 8 or 16 bits a colour; the alpha of a\n"
        "  PAM is left out) of any size,\n"
        "  a CIFAR batch such as test_batch.bin, or an IDX file of images; then\n"
        "  --index N   chooses a record, from 0 (default 0).\n"
        "  --crops N   1: the centre of the picture scaled to a shorter side of --scale (256 for\n"
        "              nets of 224); 10: its corners and centre, and these mirrored, the mean\n"
        "              probability; without it all of the picture, stretched\n"
        "  --names A,B,...  names of the classes; without it those of CIFAR-10 are taken for nets\n"
        "              of ten classes and colour images, those of Fashion-MNIST for grey ones\n");
    exit(0);
}

static image make_image(const char *path, int channels, int height, int width) {
    image m = {channels, height, width, -1, NULL};
    size_t bytes = rn_tensor_bytes(1, channels, height, width) / sizeof(rn_real);
    if (!bytes || bytes > (size_t)1 << 30)
        quit(1, "%s: images [%d,%d,%d] are too large, or empty", path, channels, height, width);
    m.pixels = (uint8_t *)allocate(bytes);
    return m;
}

/* ---- PBM, PGM, PPM and PAM ------------------------------------------------------------------- */

typedef struct pnm {
    FILE *file;
    const char *path;
    int form;                /* the digit behind P: 1 to 3 text, 4 bits, 5 to 7 bytes */
    int width, height, most; /* most: what white is */
    int depth;               /* samples of a pixel: grey, grey and alpha, RGB, RGB and alpha */
    int bits;                /* of the byte of a P4 that is being read */
    ptrdiff_t pixels;        /* that are read */
} pnm;

static void quit_cut(const pnm *p) {
    if (!p->pixels) quit(1, "%s is cut: it ends before its first pixel", p->path);
    quit(1, "%s is cut: it should hold %d x %d = %td pixels, but ends at number %td", p->path,
         p->width, p->height, (ptrdiff_t)p->width * p->height, p->pixels + 1);
}

/* The next character behind white space and comments. */
static int next_character(const pnm *p) {
    int c = getc(p->file);
    while (c == '#' || isspace(c)) {
        if (c == '#')
            while (c != '\n' && c != EOF) c = getc(p->file);
        c = getc(p->file);
    }
    return c;
}

/* The next number, and the white space behind it. */
static int read_number(const pnm *p, int most, const char *where) {
    int c = next_character(p), value = c >= '0' && c <= '9' ? 0 : -1;
    if (c == EOF) quit_cut(p);
    for (; c >= '0' && c <= '9' && value <= most; c = getc(p->file)) value = value * 10 + c - '0';
    if (value > most) quit(1, "%s: a number of its %s is above %d", p->path, where, most);
    if (value < 0 || !(c == '#' || c == EOF || isspace(c)))
        quit(1, "%s: its %s is damaged", p->path, where);
    if (c == '#') ungetc(c, p->file);
    return value;
}

static void read_pam_header(pnm *p) {
    static const char *const types[] = {"GRAYSCALE", "GRAYSCALE_ALPHA", "RGB", "RGB_ALPHA"};
    static const char *const keys[] = {"WIDTH", "HEIGHT", "MAXVAL", "DEPTH", "TUPLTYPE"};
    int *const values[] = {&p->width, &p->height, &p->most, &p->depth, NULL};
    char line[256] = "", key[16], value[32], type[32] = "";
    int i, words;
    while (fgets(line, sizeof line, p->file) && strncmp(line, "ENDHDR", 6) != 0) {
        words = sscanf(line, "%15s %31s", key, value);
        if (words < 1 || *key == '#') continue;
        for (i = 0; i < 5 && strcmp(key, keys[i]) != 0;) i++;
        if (i == 5 || (i < 4 && (words < 2 || value[strspn(value, "0123456789")])))
            quit(1, "%s: its header is damaged at %s", p->path, key);
        if (i < 4) sscanf(value, "%6d", values[i]);
        if (i == 4 && words == 2) strcpy(type, value);
    }
    if (strncmp(line, "ENDHDR", 6) != 0 || p->depth < 1 || p->depth > 4)
        quit(1, "%s: its header is damaged or lacks a DEPTH of 1 to 4", p->path);
    if (*type && strcmp(type, types[p->depth - 1]) != 0 &&
        (p->depth > 2 || strncmp(type, "BLACKANDWHITE", 13) != 0))
        quit(1, "%s is %s with a depth of %d, which is not known here", p->path, type, p->depth);
}

static void read_header(pnm *p) {
    static const char where[] = "header";
    if (p->form == 7)
        read_pam_header(p);
    else {
        p->width = read_number(p, 99999, where);
        p->height = read_number(p, 99999, where);
        p->most = p->form == 1 || p->form == 4 ? 1 : read_number(p, 65535, where);
        p->depth = p->form == 3 || p->form == 6 ? 3 : 1;
    }
    if (p->width < 1 || p->height < 1 || p->width > 99999 || p->height > 99999 || p->most < 1 ||
        p->most > 65535)
        quit(1, "%s: its header is damaged: width %d, height %d, largest value %d", p->path,
             p->width, p->height, p->most);
}

/* The next sample, of a pixel in this column; in bits 1 is black. */
static int read_sample(pnm *p, int column) {
    int c = 0, value = 0, k;
    if (p->form == 1) {
        c = next_character(p);
        value = c == '0' ? 1 : c == '1' ? 0 : 2;
    } else if (p->form <= 3) {
        value = read_number(p, 65535, "pixels");
    } else if (p->form == 4) {
        if (column % 8 == 0) p->bits = c = getc(p->file);
        value = !(p->bits >> (7 - column % 8) & 1);
    } else {
        for (k = 0; k < (p->most > 255 ? 2 : 1); k++) value = value * 256 + (c = getc(p->file));
    }
    if (c == EOF) quit_cut(p);
    if (value > p->most)
        quit(1, "%s has a value above the largest by its header, %d", p->path, p->most);
    return value;
}

/* In the file a pixel's samples follow each other, here the planes of the colours do. */
static image read_pnm(FILE *file, const char *path, int form) {
    pnm p = {file, path, form, 0, 0, 0, 0, 0, 0};
    image m;
    ptrdiff_t plane, i;
    int k;
    read_header(&p);
    m = make_image(path, p.depth < 3 ? 1 : 3, p.height, p.width);
    plane = (ptrdiff_t)p.width * p.height;
    for (i = 0; i < plane; p.pixels = ++i)
        for (k = 0; k < p.depth; k++) {
            int value = read_sample(&p, (int)(i % p.width));
            if (k < m.channels)
                m.pixels[k * plane + i] = (uint8_t)((value * 255 + p.most / 2) / p.most);
        }
    return m;
}

/* ---- CIFAR and IDX --------------------------------------------------------------------------- */

/* Goes to record `index` of a file whose records follow `begin` bytes: `labels` bytes, then the
   image's pixels. */
static void find_record(FILE *file, const char *path, int begin, int labels, long index,
                        const image *m) {
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

static void read_pixels(FILE *file, const char *path, const image *m) {
    const size_t bytes = (size_t)m->channels * (size_t)m->height * (size_t)m->width;
    if (fread(m->pixels, 1, bytes, file) != bytes) quit(1, "cannot read %s", path);
}

/* One byte of label, or two of CIFAR-100, the coarse and the fine one. */
static image read_cifar(FILE *file, const char *path, long index, int classes) {
    image m = make_image(path, 3, 32, 32);
    int labels[2], many = classes == 100 || classes == 20 ? 2 : 1, i;
    find_record(file, path, 0, many, index, &m);
    for (i = 0; i < many; i++) labels[i] = getc(file);
    m.label = labels[classes == 100];
    read_pixels(file, path, &m);
    return m;
}

/* Images [count,h,w], [count,h,w,c] or [count,c,h,w], as rn_load_idx reads them. */
static image read_idx(FILE *file, const char *path, long index, int dims, const unsigned char *b) {
    int size[4] = {1, 1, 1, 1}, i, last;
    ptrdiff_t plane, k;
    image m, mixed;
    for (i = 1; i < dims; i++) {
        const unsigned char *at = b + 4 + 4 * i;
        size[i] = at[0] || at[1] ? 1 << 16 : at[2] << 8 | at[3];
        if (size[i] < 1 || size[i] > 16384) quit(1, "%s: its header is damaged", path);
    }
    last = size[3] <= 4;
    m = make_image(path, size[last ? 3 : 1], size[last ? 1 : 2], size[last ? 2 : 3]);
    find_record(file, path, 4 + 4 * dims, 0, index, &m);
    read_pixels(file, path, &m);
    if (!last || m.channels == 1) return m;
    mixed = m;
    m = make_image(path, m.channels, m.height, m.width);
    plane = (ptrdiff_t)m.height * m.width;
    for (k = 0; k < plane * m.channels; k++)
        m.pixels[k % m.channels * plane + k / m.channels] = mixed.pixels[k];
    free(mixed.pixels);
    return m;
}

/* Refuses files that begin as others do, and says which program makes them readable. */
static void refuse_others(const char *path, const unsigned char *b) {
    static const char *const others[][3] = {{"\037\213", "compressed", "gunzip"},
                                            {"\211PNG", "a PNG", "pngtopnm"},
                                            {"\377\330\377", "a JPEG", "djpeg"}};
    int i;
    for (i = 0; i < 3; i++)
        if (!memcmp(b, others[i][0], strlen(others[i][0])))
            quit(1, "%s is %s; take what this writes: %s < %s > NAME", path, others[i][1],
                 others[i][2], path);
}

/* `index`: -1 if none was asked for. */
static image read_image(const char *path, long index, int classes) {
    FILE *file = fopen(path, "rb");
    char *packed = (char *)allocate(strlen(path) + 4);
    unsigned char b[20] = {0};
    image m;
    if (!file) {
        const char *why = strerror(errno);
        strcat(strcpy(packed, path), ".gz");
        if (is_there(packed))
            quit(1, "%s is not there, but compressed it is: gunzip %s", path, packed);
        quit(1, "cannot open %s: %s", path, why);
    }
    free(packed);
    errno = 0;
    if (fread(b, 1, sizeof b, file) < 3)
        quit(1, "%s cannot be read: %s", path, errno ? strerror(errno) : "it is too short");
    refuse_others(path, b);
    if (b[0] == 'P' && b[1] >= '1' && b[1] <= '7' && (isspace(b[2]) || b[2] == '#')) {
        if (index >= 0) quit(2, "%s is one picture; leave --index out", path);
        fseek(file, 2, SEEK_SET);
        m = read_pnm(file, path, b[1] - '0');
    } else if (!memcmp(b, "\0\0\10", 3) && (b[3] == 3 || b[3] == 4))
        m = read_idx(file, path, index < 0 ? 0 : index, b[3], b);
    else
        m = read_cifar(file, path, index < 0 ? 0 : index, classes);
    fclose(file);
    return m;
}

/* Grey from colour by the weights of television, colour from grey by repeating it. */
static image match_channels(image from, const char *path, int channels) {
    image to;
    ptrdiff_t plane = (ptrdiff_t)from.height * from.width, i;
    if (from.channels == channels) return from;
    if ((from.channels != 1 && from.channels != 3) || (channels != 1 && channels != 3))
        quit(1, "%s has %d channels, but the net takes %d", path, from.channels, channels);
    to = make_image(path, channels, from.height, from.width);
    to.label = from.label;
    for (i = 0; i < plane * channels; i++) {
        const uint8_t *p = from.pixels + i % plane;
        if (from.channels == 1)
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

static void check_names(const char *names, int classes) {
    int count = 1;
    for (; *names; names++) count += *names == ',';
    if (count != classes) quit(2, "--names has %d names and the net %d classes", count, classes);
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
    rn_status status;
    rn_net *net;
    rn_real *room, *probabilities;
    rn_window windows[10];
    rn_picture picture;
    image m;
    long index = -1, crops = 0, scale = 0;
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
    status = rn_load_desc(&desc, paths[0], NULL, &error);
    if (status == RN_MISMATCH)
        quit(1, "%s has no description; tools/convert makes a file with one", paths[0]);
    check(status, &error);
    if (names) check_names(names, desc.classes);
    net = rn_create(&desc, 1, RN_INFERENCE, &large_pages, &error);
    if (!net) check(error.status, &error);
    check(rn_load(net, paths[0], NULL, &error), &error);
    desc = net->desc;

    m = match_channels(read_image(paths[1], index, desc.classes), paths[1], desc.channels);
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
