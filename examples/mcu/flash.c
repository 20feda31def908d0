/* flash.c - runs on your computer and makes what the device has in flash, as headers of constant
   arrays: pictures of 14 x 14 pixels from IDX files of 28 x 28, and a trunk trained on some of
   them.

   flash pictures DIRECTORY FIRST CLASSES TRAIN TEST OUT.h    some pictures of some classes
   flash trunk DIRECTORY OUT.h                                a net trained on the first five */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "../example.h"

enum { SIZE = 14, HALF = 5 };

/* Some pictures of a data set: of `classes` classes from `first` on, equally many of each. */
typedef struct selection {
    rn_data data;
    rn_source source;
    int *indices; /* in the data */
    int first;
} selection;

/* Each pixel is the mean of 2 x 2. */
static int read_small(void *user, ptrdiff_t index, uint8_t *pixels, int *label) {
    const selection *s = (const selection *)user;
    const ptrdiff_t at = s->indices[index], width = 2 * SIZE;
    const uint8_t *p = s->data.pixels + at * width * width;
    int y, x;
    for (y = 0; y < SIZE; y++, p += width)
        for (x = 0; x < SIZE; x++, p += 2)
            *pixels++ = (uint8_t)((p[0] + p[1] + p[width] + p[width + 1] + 2) / 4);
    *label = s->data.labels[at] - s->first;
    return 0;
}

static void choose(selection *s, const char *directory, int train, int first, int classes,
                   ptrdiff_t count) {
    ptrdiff_t i, chosen = 0, of_class[256] = {0};
    open_data(&s->data, IDX, directory, train, 10);
    if (s->data.source.channels != 1 || s->data.source.height != 2 * SIZE ||
        s->data.source.width != 2 * SIZE)
        quit(1, "%s: the pictures should be grey, of %d x %d pixels", directory, 2 * SIZE,
             2 * SIZE);
    s->indices = (int *)allocate((size_t)s->data.source.count * sizeof *s->indices);
    s->first = first;
    for (i = 0; i < s->data.source.count; i++) {
        const int label = s->data.labels[i];
        if (label < first || label >= first + classes || of_class[label] == count / classes)
            continue;
        of_class[label]++;
        s->indices[chosen++] = (int)i;
    }
    if (chosen != count / classes * classes)
        quit(1, "%s has not %ld pictures of each of %d classes", directory, (long)(count / classes),
             classes);
    s->source = s->data.source;
    s->source.count = chosen;
    s->source.height = s->source.width = SIZE;
    s->source.classes = classes;
    s->source.read = read_small;
    s->source.user = s;
}

/* ---- headers --------------------------------------------------------------------------------- */

static FILE *begin_header(const char *path, char temporary[1024]) {
    FILE *file = open_new(path, temporary);
    fprintf(file, "/* Made by flash.c. */\n#include <stdint.h>\n");
    return file;
}

static void write_bytes(FILE *file, const char *name, const uint8_t *bytes, size_t count) {
    size_t i;
    fprintf(file, "static const uint8_t %s[%zu] __attribute__((aligned(64))) = {", name, count);
    for (i = 0; i < count; i++) fprintf(file, i % 24 ? "%d," : "\n%d,", bytes[i]);
    fprintf(file, "\n};\n");
}

static void write_pictures(FILE *file, const char *part, const selection *s) {
    const size_t count = (size_t)s->source.count, bytes = SIZE * SIZE;
    uint8_t *pixels = (uint8_t *)allocate(count * bytes), *labels = (uint8_t *)allocate(count);
    char name[32];
    size_t i;
    for (i = 0; i < count; i++) {
        int label;
        s->source.read(s->source.user, (ptrdiff_t)i, pixels + i * bytes, &label);
        labels[i] = (uint8_t)label;
    }
    snprintf(name, sizeof name, "%s_pixels", part);
    write_bytes(file, name, pixels, count * bytes);
    snprintf(name, sizeof name, "%s_labels", part);
    write_bytes(file, name, labels, count);
    free(pixels);
    free(labels);
}

static void make_pictures(const char *directory, int first, int classes, int train, int test,
                          const char *path) {
    selection sets[2];
    rn_desc desc = rn_cifar(8);
    rn_error error;
    char temporary[1024];
    FILE *file;
    choose(&sets[0], directory, 1, first, classes, train);
    choose(&sets[1], directory, 0, first, classes, test);
    check(rn_measure(&desc, &sets[0].source, &error), &error);
    file = begin_header(path, temporary);
    fprintf(file, "enum { PICTURE_SIZE = %d, CLASSES = %d, TRAIN_COUNT = %d, TEST_COUNT = %d };\n",
            SIZE, classes, (int)sets[0].source.count, (int)sets[1].source.count);
    fprintf(file, "#define PICTURE_MEAN %.9ef\n#define PICTURE_DEVIATION %.9ef\n",
            (double)desc.mean[0], (double)desc.deviation[0]);
    write_pictures(file, "train", &sets[0]);
    write_pictures(file, "test", &sets[1]);
    close_new(file, temporary, path);
}

/* ---- the trunk ------------------------------------------------------------------------------- */

static rn_desc describe_trunk(void) {
    rn_desc desc = rn_cifar(8);
    desc.widths[0] = desc.stem_width = 4;
    desc.widths[1] = 8;
    desc.widths[2] = 12;
    desc.order = RN_ORIGINAL;
    desc.norm = RN_NORM_GROUP;
    desc.norm_groups = 2;
    desc.isa = RN_ISA_PORTABLE; /* the same bits on all computers of a kind */
    return desc;
}

static void train_trunk(rn_net *net, const rn_source *source) {
    enum { BATCH = 32, EPOCHS = 10 };
    static rn_real images[BATCH * SIZE * SIZE];
    const rn_augment augment = {1, 1};
    const int an_epoch = (int)source->count / BATCH;
    progress p = begin_progress((uint64_t)(EPOCHS * an_epoch));
    rn_error error;
    net->schedule = rn_make_schedule(RN_ONE_CYCLE, 0.1, (uint64_t)(EPOCHS * an_epoch));
    while (net->step < net->schedule.steps) {
        const int at = (int)net->step % an_epoch;
        int labels[BATCH];
        check(rn_batch(source, &net->desc, &augment, net->step / (uint64_t)an_epoch, at * BATCH,
                       BATCH, images, labels, &error),
              &error);
        check(rn_train_step(net, images, labels, BATCH, rn_learning_rate(&net->schedule, net->step),
                            NULL, &error),
              &error);
        p.done++;
        show_progress(&p, "training the trunk");
    }
    end_progress(&p);
}

static void make_trunk(const char *directory, const char *path) {
    selection set;
    rn_desc desc = describe_trunk();
    rn_error error;
    rn_net *net;
    char temporary[1024], weights[1024];
    uint8_t *bytes;
    size_t count;
    FILE *file;
    choose(&set, directory, 1, 0, HALF, HALF * 500);
    check(rn_measure(&desc, &set.source, &error), &error);
    net = rn_create(&desc, 32, RN_TRAINING, NULL, &error);
    if (!net) quit(1, "%s", error.text);
    train_trunk(net, &set.source);
    snprintf(weights, sizeof weights, "%s.safetensors", path);
    check(rn_save(net, weights, NULL, &error), &error);
    bytes = (uint8_t *)allocate(count = (size_t)1 << 20);
    file = fopen(weights, "rb");
    if (!file) quit(1, "cannot read %s: %s", weights, strerror(errno));
    count = fread(bytes, 1, count, file);
    fclose(file);
    file = begin_header(path, temporary);
    write_bytes(file, "trunk_file", bytes, count);
    close_new(file, temporary, path);
}

static const char usage[] =
    "usage: flash pictures DIRECTORY FIRST CLASSES TRAIN TEST OUT.h\n"
    "       flash trunk DIRECTORY OUT.h\n\n"
    "Makes headers of constant arrays for the flash of a microcontroller from the IDX files of\n"
    "DIRECTORY (examples/data), ten classes of 28 x 28 grey pixels, scaled to 14 x 14.\n\n"
    "pictures: TRAIN training and TEST test pictures of CLASSES classes from FIRST on, equally "
    "many\n"
    "of each. trunk: a small net trained on all pictures of the first five classes.\n";

static int number(const char *text, int least, int most) {
    char *end;
    const long value = strtol(text, &end, 10);
    if (end == text || *end || value < least || value > most)
        quit(2, "\"%s\" should be a whole number from %d to %d", text, least, most);
    return (int)value;
}

int main(int argc, char **argv) {
    program = "flash";
    if (argc == 2 && !strcmp(argv[1], "--help")) return fputs(usage, stdout), finish();
    if (argc == 8 && !strcmp(argv[1], "pictures"))
        make_pictures(argv[2], number(argv[3], 0, 9), number(argv[4], 2, 10),
                      number(argv[5], 10, 5000), number(argv[6], 10, 2000), argv[7]);
    else if (argc == 4 && !strcmp(argv[1], "trunk"))
        make_trunk(argv[2], argv[3]);
    else
        quit(2, "it takes pictures and six words, or trunk and two");
    return finish();
}
