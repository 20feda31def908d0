/* example.h - what several of the example programs share: reading a command line, opening a data
   set, testing a net on it, and a progress line. Needs POSIX (define _DEFAULT_SOURCE before the
   first include) or Windows. Errors end the program: status 2 for a bad command line, 1 for the
   rest. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include "../resnet.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#ifdef _WIN32
#include <direct.h>
#include <io.h>
#include <malloc.h>
#define lstat(path, there) stat(path, there)
#define ftruncate(file, bytes) _chsize_s(file, bytes)
#define isatty(file) _isatty(file)
#define fileno(file) _fileno(file)
#else
#include <sys/mman.h>
#include <unistd.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

static const char *program = "example"; /* its name in messages */

#ifdef STB_IMAGE /* defined by the Makefile where it finds stb_image, see picture.h */
#define has_stb_image 1
#else
#define has_stb_image 0
#endif

#if defined(__MINGW32__)
__attribute__((noreturn, format(__MINGW_PRINTF_FORMAT, 2, 3)))
#elif defined(__GNUC__)
__attribute__((noreturn, format(printf, 2, 3)))
#endif
static inline void
quit(int status, const char *format, ...) {
    va_list values;
    fflush(stdout);
    fprintf(stderr, "%s: ", program);
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fprintf(stderr, status == 2 ? "; try --help\n" : "\n");
    exit(status);
}

/* Ends the program if a call failed; a net that cannot be built is a fault of the command line. */
static inline void check(rn_status status, const rn_error *error) {
    if (status) quit(status == RN_BAD_DESCRIPTION ? 2 : 1, "%s", error->text);
}

/* The exit status of a program that did all it should. */
static inline int finish(void) {
    if (fflush(stdout) || ferror(stdout)) quit(1, "cannot write to standard output");
    return 0;
}

static inline void check_description(rn_desc desc) {
    rn_error error;
    check(rn_resolve(&desc, &error), &error);
}

static inline void *allocate(size_t bytes) {
    void *memory = malloc(bytes ? bytes : 1);
    if (!memory) quit(1, "no memory for %zu bytes", bytes);
    return memory;
}

/* Is what path names a plain file, or nothing yet? A device, a pipe or a link is not to be
   replaced. */
static inline int is_replaceable(const char *path) {
    struct stat there;
    return lstat(path, &there) != 0 || (there.st_mode & S_IFMT) == S_IFREG;
}

/* Where what path will hold is written first; what is not to be replaced, under its own name. */
static inline void name_temporary(const char *path, char temporary[1024]) {
    if (snprintf(temporary, 1024, is_replaceable(path) ? "%s.tmp" : "%s", path) >= 1024)
        quit(1, "a path of %zu characters is too long", strlen(path));
}

/* Opens a file that close_new will rename to path: what was there stays until it is whole. */
static inline FILE *open_new(const char *path, char temporary[1024]) {
    FILE *file;
    name_temporary(path, temporary);
    file = fopen(temporary, "w");
    if (!file) quit(1, "cannot write %s: %s", temporary, strerror(errno));
    return file;
}

/* Refuses a path that cannot be written before the work whose results it is for. */
static inline void refuse_unwritable(const char *path) {
    char temporary[1024];
    struct stat there;
    FILE *file;
    if (!stat(path, &there) && (there.st_mode & S_IFMT) == S_IFIFO)
        return; /* its reader would see it closed */
    name_temporary(path, temporary);
    file = fopen(temporary, "a");
    if (!file || fclose(file)) quit(1, "cannot write %s: %s", path, strerror(errno));
    if (strcmp(temporary, path) != 0) remove(temporary);
}

/* Renames a file, also where another one has that name. */
static inline void rename_file(const char *from, const char *to) {
#ifdef _WIN32
    remove(to); /* which rename there does not */
#endif
    if (rename(from, to)) quit(1, "cannot rename %s: %s", from, strerror(errno));
}

static inline void close_new(FILE *file, const char *temporary, const char *path) {
    const int renames = strcmp(temporary, path) != 0;
    if (ferror(file) | fclose(file)) {
        if (renames) remove(temporary);
        quit(1, "writing %s failed: is the disk full?", temporary);
    }
    if (renames) rename_file(temporary, path);
}

/* Makes a directory, or finds it there. */
static inline void make_directory(const char *path) {
    struct stat there;
#ifdef _WIN32
    int failed = _mkdir(path);
#else
    int failed = mkdir(path, 0777);
#endif
    if (failed && errno == EEXIST && !stat(path, &there)) {
        failed = (there.st_mode & S_IFMT) != S_IFDIR;
        errno = ENOTDIR;
    }
    if (failed) quit(1, "cannot make the directory %s: %s", path, strerror(errno));
}

/* Where a net lives: in large pages if Linux has them, which makes deep nets a quarter faster. */
static inline void *take_pages(size_t bytes, void *user) {
    const size_t page = (size_t)2 << 20;
#ifdef _WIN32
    (void)user;
    return _aligned_malloc(bytes, page);
#else
    void *memory = NULL;
    (void)user;
    if (posix_memalign(&memory, page, bytes)) return NULL;
#ifdef MADV_HUGEPAGE
    madvise(memory, bytes / page * page, MADV_HUGEPAGE); /* what is left lies in small ones */
#endif
    return memory;
#endif
}

static inline void give_pages(void *memory, void *user) {
    (void)user;
#ifdef _WIN32
    _aligned_free(memory);
#else
    free(memory);
#endif
}

static const rn_memory large_pages = {NULL, 0, take_pages, give_pages, NULL};

/* ---- the command line: --name VALUE or --name=VALUE; '-' in a name equals '_' ---------------- */

typedef struct arguments {
    int count, at; /* words[at] is the one being looked at */
    char **words;
} arguments;

/* Length of a flag's name: up to '=' or the end. */
static inline size_t name_length(const char *name) { return strcspn(name, "="); }

static inline int is_named(const arguments *a, const char *name) {
    const char *word = a->words[a->at];
    if (strncmp(word, "--", 2) != 0 || name_length(word + 2) != strlen(name)) return 0;
    for (word += 2; *name; word++, name++)
        if (*word != *name && !(*word == '-' && *name == '_') && !(*word == '_' && *name == '-'))
            return 0;
    return 1;
}

/* 1 if one of the words is --name. */
static inline int is_given(arguments a, const char *name) {
    for (a.at = 1; a.at < a.count; a.at++)
        if (is_named(&a, name)) return 1;
    return 0;
}

/* 1 if the word is --name, without a value. */
static inline int is_flag(const arguments *a, const char *name) {
    if (!is_named(a, name)) return 0;
    if (strchr(a->words[a->at], '=')) quit(2, "--%s takes no value", name);
    return 1;
}

static inline int is_help(const arguments *a) {
    return !strcmp(a->words[a->at], "-h") || is_flag(a, "help");
}

/* 1 if the word is --name; then *on becomes 1. */
static inline int has_switch(const arguments *a, const char *name, int *on) {
    int is = is_flag(a, name);
    *on |= is;
    return is;
}

/* 1 if the word is --name; then *value is its value, which begins with -- only behind '='. */
static inline int has_text(arguments *a, const char *name, const char **value) {
    const char *equals = strchr(a->words[a->at], '=');
    if (!is_named(a, name)) return 0;
    if (!equals && (a->at + 1 >= a->count || !strncmp(a->words[a->at + 1], "--", 2)))
        quit(2, "--%s needs a value", name);
    *value = equals ? equals + 1 : a->words[++a->at];
    return 1;
}

static inline int has_number(arguments *a, const char *name, double least, double most,
                             double *value) {
    const char *text;
    char *end;
    if (!has_text(a, name, &text)) return 0;
    *value = strtod(text, &end);
    if (end == text || *end || !(*value >= least && *value <= most))
        quit(2, "--%s is \"%s\" and should be a number from %g to %g", name, text, least, most);
    return 1;
}

static inline int has_whole(arguments *a, const char *name, long least, long most, long *value) {
    const char *text;
    char *end;
    if (!has_text(a, name, &text)) return 0;
    errno = 0;
    *value = strtol(text, &end, 10);
    if (end == text || *end || errno || *value < least || *value > most)
        quit(2, "--%s is \"%s\" and should be a whole number from %ld to %ld", name, text, least,
             most);
    return 1;
}

/* Sets a field of a description, which is not resolved. A depth replaces the units of each stage,
   which otherwise would count more than it. */
static inline rn_status set_field(rn_desc *desc, const char *key, const char *value,
                                  rn_error *error) {
    const rn_status status = rn_desc_set(desc, key, value, error);
    if (!status && !strcmp(key, "depth")) memset(desc->units, 0, sizeof desc->units);
    return status;
}

/* Sets fields from words "FIELD=VALUE FIELD=VALUE". */
static inline rn_status set_fields(rn_desc *desc, const char *words, rn_error *error) {
    char *copy = (char *)allocate(strlen(words) + 1), *field, *value;
    rn_status status = RN_OK;
    strcpy(copy, words);
    for (field = strtok(copy, " "); field && !status; field = strtok(NULL, " ")) {
        value = strchr(field, '=');
        if (!value) {
            status = RN_BAD_ARGUMENT;
            if (error) error->status = status;
            if (error)
                snprintf(error->text, sizeof error->text, "takes FIELD=VALUE, and not \"%.99s\"",
                         field);
            break;
        }
        *value++ = 0;
        status = set_field(desc, field, value, error);
    }
    free(copy);
    return status;
}

/* 1 if the word names a field of the description, which then has a new value. */
static inline int has_field(arguments *a, rn_desc *desc) {
    const char *value;
    rn_error error;
    int i;
    for (i = 0; rn_desc_key(i); i++) {
        if (!has_text(a, rn_desc_key(i), &value)) continue;
        if (set_field(desc, rn_desc_key(i), value, &error)) quit(2, "--%s", error.text);
        return 1;
    }
    return 0;
}

/* The value of a field, in `text`. */
static inline const char *field_of(const rn_desc *desc, const char *key, char text[96]) {
    int i = 0;
    while (strcmp(rn_desc_key(i), key) != 0) i++;
    rn_desc_get(desc, i, text);
    return text;
}

/* Without shortcuts: their factor is 0. */
static inline int is_plain(const rn_desc *desc) {
    return desc->shortcut == RN_SHORTCUT_SCALE && !(fabsf(desc->shortcut_scale) > 0);
}

/* Such as "ResNet-20", or "ResNet-56, order original, shortcut scale 0 (plain)": of a net's block,
   order and shortcut those that the paper's new net has not. */
static inline void name_net(const rn_desc *desc, char name[160]) {
    static const char *const keys[] = {"block", "order", "shortcut"};
    rn_desc usual = rn_cifar(20);
    size_t length = (size_t)snprintf(name, 160, "ResNet-%d", desc->depth);
    char text[96], other[96];
    int i;
    rn_resolve(&usual, NULL);
    for (i = 0; i < 3; i++) {
        field_of(desc, keys[i], text);
        field_of(&usual, keys[i], other);
        if (strcmp(text, other) != 0)
            length += (size_t)snprintf(name + length, 160 - length, ", %s %.30s", keys[i], text);
    }
    if (desc->shortcut == RN_SHORTCUT_SCALE)
        snprintf(name + length, 160 - length, " %g%s", (double)desc->shortcut_scale,
                 is_plain(desc) ? " (plain)" : "");
}

/* Have two descriptions the same fields, but for some, as " FIELD FIELD "? */
static inline int same_fields(const rn_desc *a, const rn_desc *b, const char *but_for) {
    char texts[2][96], key[64];
    int i;
    for (i = 0; rn_desc_key(i); i++) {
        rn_desc_get(a, i, texts[0]);
        rn_desc_get(b, i, texts[1]);
        snprintf(key, sizeof key, " %s ", rn_desc_key(i));
        if (strcmp(texts[0], texts[1]) != 0 && !strstr(but_for, key)) return 0;
    }
    return 1;
}

/* The fields of the machine on which a file's net is used. */
static const char *const machine_fields[] = {"threads", "naive", "direct", "isa"};
enum { MACHINE_FIELDS = (int)(sizeof machine_fields / sizeof machine_fields[0]) };

static inline int names_machine(const arguments *a) {
    int i, names = 0;
    for (i = 0; i < MACHINE_FIELDS; i++) names |= is_named(a, machine_fields[i]);
    return names;
}

static inline void set_machine(rn_desc *desc, const rn_desc *machine) {
    char text[96];
    int i;
    for (i = 0; i < MACHINE_FIELDS; i++) {
        field_of(machine, machine_fields[i], text);
        rn_desc_set(desc, machine_fields[i], text, NULL);
    }
}

/* A number that a file of ours keeps beside its tensors; 0 if it does not. */
static inline uint64_t stored_number(const char *path, const char *key) {
    rn_archive a;
    char text[32];
    uint64_t number = 0;
    if (!rn_archive_open(&a, path, NULL, NULL) &&
        !rn_archive_metadata(&a, key, text, sizeof text, NULL))
        number = strtoull(text, NULL, 0);
    rn_archive_close(&a);
    return number;
}

/* A text of any length that a file of ours keeps so; NULL: it does not. Free it. */
static inline char *stored_text(const char *path, const char *key) {
    rn_archive a;
    rn_error error;
    size_t room = 4096;
    char *text = NULL;
    rn_status status = rn_archive_open(&a, path, NULL, &error);
    for (; !status || status == RN_TOO_SMALL; room *= 2) {
        free(text);
        text = (char *)allocate(room);
        status = rn_archive_metadata(&a, key, text, room, &error);
        if (!status) break;
    }
    rn_archive_close(&a);
    if (!status) return text;
    free(text);
    if (status != RN_MISMATCH) check(status, &error);
    return NULL;
}

/* Do two paths lead to one file, which reading one and writing the other would lose? */
static inline int same_file(const char *a, const char *b) {
    struct stat of_a, of_b;
    return !strcmp(a, b) || (!stat(a, &of_a) && !stat(b, &of_b) && of_a.st_ino && /* Windows: 0 */
                             of_a.st_ino == of_b.st_ino && of_a.st_dev == of_b.st_dev);
}

static inline int is_there(const char *path) {
    FILE *file = fopen(path, "rb");
    return file && !fclose(file);
}

/* Fields that a net's training may go on with other values of. */
static const char execution_fields[] = " threads naive direct unfused micro_batch budget isa ";

/* A file's description counts, and flags that ask for another are refused; but not those of the
   execution, and those of the images' size only if training goes on. */
static inline void refuse_changes(const arguments *a, const char *path, const rn_desc *stored,
                                  rn_desc asked, int training) {
    char key[64], texts[2][96];
    int i;
    rn_resolve(&asked, NULL);
    for (i = 0; rn_desc_key(i); i++) {
        snprintf(key, sizeof key, " %s ", rn_desc_key(i));
        rn_desc_get(stored, i, texts[0]);
        rn_desc_get(&asked, i, texts[1]);
        if (strcmp(texts[0], texts[1]) != 0 && is_given(*a, rn_desc_key(i)) &&
            !strstr(execution_fields, key) && (training || !strstr(" height width ", key)))
            quit(2, "%s has%s%s; leave --%s out", path, key,
                 strncmp(texts[0], "0x", 2) ? texts[0] : "another value", /* 0x: bits */
                 rn_desc_key(i));
    }
    if (training && asked.bn_group != stored->bn_group)
        quit(2, "%s has bn_group %d, which --micro_batch %d would change; leave it out", path,
             stored->bn_group, asked.micro_batch);
}

/* One line for each field of the description, in the words of its own error message. */
static inline void print_fields(void) {
    rn_desc desc = rn_cifar(20);
    rn_error error;
    int i;
    for (i = 0; rn_desc_key(i); i++) {
        const char *takes = "it takes ", *text;
        rn_desc_set(&desc, rn_desc_key(i), "?", &error);
        text = strstr(error.text, takes);
        printf("  --%-16s %s\n", rn_desc_key(i), text ? text + strlen(takes) : "");
    }
}

static inline int all_cores(void) {
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

/* ---- data ------------------------------------------------------------------------------------ */

typedef enum dataset { CIFAR10, CIFAR100, IDX, FOLDER } dataset;
static const char *const dataset_names[] = {"cifar10", "cifar100", "idx", "folder"};

static inline int has_dataset(arguments *a, dataset *set) {
    const char *name;
    int i;
    if (!has_text(a, "dataset", &name)) return 0;
    for (i = 0; i < 4 && strcmp(name, dataset_names[i]) != 0;) i++;
    if (i == 4) quit(2, "--dataset is \"%s\" and should be cifar10, cifar100, idx or folder", name);
    *set = (dataset)i;
    return 1;
}

/* Path of an IDX file whose name MNIST gave as PART-WHAT-KIND, or as others do, PART-WHAT.KIND, for
   one of the kinds, or that is there compressed; if there is none the path of the first name. Free
   it. */
static inline char *find_idx(const char *directory, const char *part, const char *what,
                             const char *const kinds[2]) {
    const size_t room = strlen(directory) + 48;
    char *path = (char *)allocate(room);
    int i;
    for (i = 0; i < 8; i++) {
        snprintf(path, room, "%s/%s-%s%c%s%s", directory, part, what, i % 2 ? '.' : '-',
                 kinds[i / 2 % 2], i < 4 ? "" : ".gz");
        if (is_there(path)) break;
    }
    if (i == 8)
        snprintf(path, room, "%s/%s-%s-%s", directory, part, what, kinds[0]);
    else if (i >= 4)
        path[strlen(path) - 3] = 0; /* rn_load_idx says what to do */
    return path;
}

/* Classes of a data set of which so many are asked for, 0: no matter. Those of IDX, 10 if it does
   not matter; CIFAR-100 has 20 coarse labels besides. */
static inline int count_classes(dataset set, int asked) {
    if (set >= IDX && asked) return asked;
    return set != CIFAR100 ? 10 : asked == 20 ? 20 : 100;
}

/* The training or the test images in a directory: CIFAR's own folders, or four IDX files with the
   names that MNIST gave them; `classes` as in count_classes. */
static inline void open_data(rn_data *data, dataset set, const char *directory, int train,
                             int classes) {
    static const char *const kinds[2][2] = {{"idx3-ubyte", "idx4-ubyte"},
                                            {"idx1-ubyte", "idx1-int"}};
    rn_error error;
    if (set == IDX) {
        const char *part = train ? "train" : "t10k";
        char *images = find_idx(directory, part, "images", kinds[0]);
        char *labels = find_idx(directory, part, "labels", kinds[1]);
        check(rn_load_idx(data, images, labels, count_classes(set, classes), NULL, NULL, &error),
              &error);
        free(images);
        free(labels);
    } else {
        rn_status status =
            rn_load_cifar(data, directory, count_classes(set, classes), train, NULL, NULL, &error);
        if (status == RN_NO_FILE)
            quit(1, "%s; IDX files need --dataset idx, folders of pictures --dataset folder",
                 error.text);
        check(status, &error);
    }
}

static inline void fit_size(int *field, int size, const char *name, const char *net) {
    if (*field && *field != size)
        quit(2, "the %s of %s is %d, but the data's is %d", name, net, *field, size);
    *field = size;
}

/* Gives the description of a net, in words `net`, the sizes of the data; those that it has already
   must agree. */
static inline void fit_to_data(rn_desc *desc, const rn_source *source, const char *net) {
    fit_size(&desc->channels, source->channels, "number of channels", net);
    fit_size(&desc->height, source->height, "image height", net);
    fit_size(&desc->width, source->width, "image width", net);
    fit_size(&desc->classes, source->classes, "number of classes", net);
}

static inline int is_measured(const rn_desc *desc) {
    return fabsf(desc->mean[0]) + desc->deviation[0] > 0;
}

/* ---- the recipe: data and training, as far as the description does not say ------------------- */

typedef struct recipe {
    dataset set;
    const char *data;                          /* directory */
    long batch, epochs, iterations, pad, flip; /* epochs and iterations 0: not given */
    rn_schedule schedule;                      /* what it is without flags */
    int kind;                                  /* -1: not given */
    double learning_rate;                      /* 0: not given */
    const char *net;                           /* what errors call it */
    long memory;       /* MB of pictures of a folder that stay decoded, of each part */
    long lookahead;    /* steps, see look_ahead; 0: none */
    long tta;          /* see predict_views */
    long small_epochs; /* the first ones, on images of half the height and width */
    long hold_out;     /* every so many images to train on are for testing instead; 0: none */
} recipe;

static inline recipe make_recipe(dataset set, const char *data, long batch, long pad,
                                 rn_schedule schedule) {
    recipe r = {set, data, batch, 0, 0, pad, 1, schedule, -1, 0, "the net", 1024, 0, 0, 0, 0};
    return r;
}

/* What says where the data is and how it is read. */
static inline int has_data(arguments *a, recipe *r) {
    return has_dataset(a, &r->set) || has_text(a, "data", &r->data) ||
           has_whole(a, "batch", 1, 1 << 20, &r->batch) ||
           has_whole(a, "memory", 0, 1 << 20, &r->memory);
}

/* The recipe but its last test, which not every program makes. */
static inline int has_training(arguments *a, recipe *r) {
    rn_schedule_kind kind = RN_CONSTANT;
    const char *name;
    rn_error error;
    if (is_given(*a, "epochs") && is_given(*a, "iterations"))
        quit(2, "--epochs and --iterations both give the length: give one of them");
    if (has_text(a, "schedule", &name)) {
        if (rn_schedule_parse(&kind, name, &error)) quit(2, "%s", error.text);
        r->kind = (int)kind;
        return 1;
    }
    if (has_whole(a, "epochs", 1, 1000000, &r->epochs)) {
        r->iterations = 0; /* the one that is read last counts */
        return 1;
    }
    if (has_whole(a, "iterations", 1, 1000000000, &r->iterations)) {
        r->epochs = 0;
        return 1;
    }
    return has_data(a, r) || has_number(a, "lr", 1e-12, 1e6, &r->learning_rate) ||
           has_whole(a, "pad", 0, 1000, &r->pad) || has_whole(a, "flip", 0, 2, &r->flip) ||
           has_whole(a, "lookahead", 0, 1000000, &r->lookahead);
}

static inline int has_recipe(arguments *a, recipe *r) {
    return has_training(a, r) || has_whole(a, "tta", 0, 2, &r->tta);
}

static inline void print_training(const recipe *r) {
    printf(
        "  --dataset NAME      cifar10, cifar100 (with --classes 20 its coarse labels), idx or\n"
        "                      folder (%s)\n"
        "  --data DIR          holds cifar-10-batches-bin, cifar-100-binary (tools/get_cifar.sh\n"
        "                      fetches them), four IDX files with MNIST's names, or for folder a\n"
        "                      directory of pictures (PNM%s) for each class, which has the\n"
        "                      class's name: DIR/train/NAME and DIR/test/NAME (or DIR/val/NAME),\n"
        "                      or only DIR/NAME, of which every fifth picture by name is for\n"
        "                      testing (%s)\n"
        "  --memory MB         of a folder's training and of its test pictures so much stays in\n"
        "                      memory at the net's size, the others are read each time (%ld)\n"
        "  --batch N           images of a step (%ld)\n",
        dataset_names[r->set],
        has_stb_image ? ", PNG, JPEG, BMP" : "; with stb_image also PNG, JPEG, BMP", r->data,
        r->memory, r->batch);
    printf("  --epochs N          length");
    if (r->epochs) printf(" (%ld)", r->epochs);
    printf("\n  --iterations N      instead of --epochs, the length in steps");
    if (!r->epochs && r->schedule.steps) printf(" (%" PRIu64 ")", r->schedule.steps);
    printf(
        "\n  --lr X              largest learning rate (%g)\n"
        "  --schedule NAME     constant, steps, cosine or one_cycle (%s)\n"
        "  --pad N             crop at random from the image padded by N (%ld)\n"
        "  --flip N            1: mirror half of the images; 2: alternating, each of them every\n"
        "                      other epoch (%ld)\n"
        "  --lookahead N       every N steps, such as 5, the weights go back part of the way to\n"
        "                      slow ones: nearly none at first, three quarters at last (%ld)\n",
        r->schedule.learning_rate, rn_schedule_name(r->schedule.kind), r->pad, r->flip,
        r->lookahead);
}

static inline void print_recipe(const recipe *r) {
    print_training(r);
    printf(
        "  --tta N             the last test, or --eval, takes of each image the mean answer to\n"
        "                      1: it and its mirror image; 2: also both moved by a pixel (%ld)\n",
        r->tta);
}

/* The recipe's schedule with what the flags say otherwise. */
static inline rn_schedule choose_schedule(const recipe *r, uint64_t steps_per_epoch) {
    uint64_t steps =
        r->iterations ? (uint64_t)r->iterations : (uint64_t)r->epochs * steps_per_epoch;
    rn_schedule s = r->schedule;
    if (r->kind < 0 && !steps && !(r->learning_rate > 0)) return s;
    return rn_make_schedule(r->kind < 0 ? s.kind : (rn_schedule_kind)r->kind,
                            r->learning_rate > 0 ? r->learning_rate : s.learning_rate,
                            steps ? steps : s.steps);
}

/* ---- the net in words and pictures ----------------------------------------------------------- */

/* The net, layer by layer, and what training takes. */
static inline void print_net(const rn_desc *desc, int batch) {
    rn_error error;
    rn_net *net = rn_create(desc, 1, RN_INFERENCE, &large_pages, &error);
    size_t bytes = net ? rn_bytes(desc, batch, RN_TRAINING, &error) : 0, length;
    char *text;
    if (!bytes) check(error.status, &error);
    length = rn_describe(net, NULL, 0);
    text = (char *)allocate(length + 1);
    rn_describe(net, text, length + 1);
    printf("%straining at batch %d takes %.1f MB\n", text, batch, (double)bytes / 1e6);
    free(text);
    rn_destroy(net);
}

/* The plan of a training net's memory as text, or as a picture. */
static inline void print_plan(const rn_desc *desc, int batch, const char *picture) {
    rn_error error;
    size_t words = rn_plan_text(desc, batch, RN_TRAINING, NULL, 0, &error);
    size_t lines = words ? rn_plan_svg(desc, batch, RN_TRAINING, NULL, 0, &error) : 0;
    size_t room = (words > lines ? words : lines) + 1;
    char *text = (char *)allocate(room), temporary[1024];
    FILE *file;
    if (!lines) check(error.status, &error);
    rn_plan_text(desc, batch, RN_TRAINING, text, room, &error);
    fputs(text, stdout);
    rn_plan_svg(desc, batch, RN_TRAINING, text, room, &error);
    file = open_new(picture, temporary);
    fputs(text, file);
    close_new(file, temporary, picture);
    printf("drawn as %s\n", picture);
    free(text);
}

/* ---- progress: a line that renews itself on a terminal, a plain one now and then elsewhere --- */

static inline double seconds_now(void) {
#ifdef _WIN32
    return (double)clock() / CLOCKS_PER_SEC; /* which is no processor time there */
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
#endif
}

typedef struct progress {
    double done, total;  /* steps, or what else they are weighed by */
    double step;         /* what a step of training adds: 1 */
    double begun, shown; /* seconds */
    int live;            /* standard output is a terminal */
} progress;

static inline progress begin_progress(uint64_t total) {
    progress p;
    p.done = 0;
    p.total = (double)total;
    p.step = 1;
    p.begun = p.shown = seconds_now();
    p.live = isatty(fileno(stdout));
    return p;
}

/* Shows the line, and how long the rest will take at the pace so far, unless one was shown just
   now. On a terminal it is cut to 79 characters, because a longer one could not renew itself. */
static inline void show_progress(progress *p, const char *format, ...) {
    double now = seconds_now(), pace = p->done > 0 ? (now - p->begun) / p->done : 0;
    long left = (long)(pace * (p->total - p->done) + 0.5);
    char line[200], eta[40];
    va_list values;
    if (now - p->shown < (p->live ? 0.2 : 30)) return;
    p->shown = now;
    va_start(values, format);
    vsnprintf(line, sizeof line, format, values);
    va_end(values);
    if (left >= 3600)
        snprintf(eta, sizeof eta, "%ld:%02ld:%02ld", left / 3600, left / 60 % 60, left % 60);
    else
        snprintf(eta, sizeof eta, "%ld:%02ld", left / 60, left % 60);
    if (p->live)
        printf("\r%.*s  ETA %s\033[K", 79 - 6 - (int)strlen(eta), line, eta);
    else
        printf("%s  ETA %s\n", line, eta);
    fflush(stdout);
}

/* Makes room for a line that stays. */
static inline void end_progress(const progress *p) {
    if (p->live) printf("\r\033[K");
}

static volatile sig_atomic_t stopped; /* the signal that asked for the end */
static inline void note_signal(int number) {
    stopped = number;
    signal(number, SIG_DFL);
}

/* From here on Ctrl-C and its kin set `stopped`; a second one kills. Among them are a connection
   that is lost, but not under nohup, and an end of what reads the output. */
static inline void catch_signals(void) {
    signal(SIGINT, note_signal);
    signal(SIGTERM, note_signal);
#ifdef SIGHUP
    if (signal(SIGHUP, note_signal) == SIG_IGN) signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, note_signal);
#endif
#ifdef SIGUSR1
    signal(SIGUSR1, note_signal); /* batch systems send it before the time is over */
#endif
}

static inline double error_rate(double correct, double count) {
    return 100 * (count - correct) / count;
}

/* ---- both parts of a data set ---------------------------------------------------------------- */

#include "folder.h" /* which stands on what is above */

static inline void open_part(rn_data *data, const recipe *r, rn_desc *desc, int train) {
    if (r->set == FOLDER)
        open_folder(data, desc, r->data, train, (size_t)r->memory << 20);
    else
        open_data(data, r->set, r->data, train, desc->classes);
    fit_to_data(desc, &data->source, r->net);
}

/* Training and test images, or only these where train is NULL; the description gets their sizes,
   and their mean and deviation if it has none. */
static inline void open_sets(const recipe *r, rn_desc *desc, rn_data *train, rn_data *test) {
    rn_error error;
    open_part(test, r, desc, 0);
    if (!train) return;
    open_part(train, r, desc, 1);
    if (!is_measured(desc)) check(rn_measure(desc, &train->source, &error), &error);
}

/* ---- training and testing -------------------------------------------------------------------- */

/* A net, what it learns from, and sums over the images of this epoch that it has seen. */
typedef struct trainer {
    rn_net *net;
    rn_net *small; /* stands in for it in the first small_epochs, see learning_net; or NULL */
    const rn_source *source;
    rn_augment augment;
    int batch; /* images of a step */
    double seen, loss, correct;
    double speed;                    /* images a second in this epoch */
    rn_real *images, *logits, *sums; /* room for one batch; sums: of logits */
    int *labels;
    int lookahead, tta, small_epochs; /* as in recipe */
    rn_real *slow;   /* parameters and running statistics, for look_ahead; or NULL */
    int steps_ahead; /* since these last became the net's, as they are at the end of every epoch; a
                        checkpoint, which holds one set of weights, is saved only at 0 */
} trainer;

/* Images of the next step; 0 at the end of an epoch. Its last, smaller batch counts, unless it is a
   single image. */
static inline int next_count(const trainer *t) {
    ptrdiff_t left = t->source->count - (ptrdiff_t)t->net->cursor;
    return left >= t->batch ? t->batch : left >= 2 ? (int)left : 0;
}

static inline uint64_t count_steps(const rn_source *source, long batch) {
    return (uint64_t)(source->count / batch + (source->count % batch >= 2));
}

static inline uint64_t steps_per_epoch(const trainer *t) {
    return count_steps(t->source, t->batch);
}

/* Epochs that the schedule takes, the last one perhaps in part. */
static inline uint64_t count_epochs(const trainer *t) {
    return (t->net->schedule.steps - 1) / steps_per_epoch(t) + 1;
}

/* At the end of an epoch, or of the schedule. */
static inline int is_due(const trainer *t) {
    return !next_count(t) || t->net->step >= t->net->schedule.steps;
}

/* Numbers of a net that change in training: parameters, then running statistics. */
static inline ptrdiff_t count_learned(const rn_net *net) {
    return net->parameter_count + net->statistic_count;
}

/* A net of half the height and width, whose weights fit the whole net, too. */
static inline rn_desc halve_description(rn_desc desc) {
    if (desc.height % 2 || desc.width % 2)
        quit(2, "--small_epochs takes images of even height and width; these are %d x %d",
             desc.height, desc.width);
    desc.height /= 2;
    desc.width /= 2;
    return desc;
}

static inline rn_net *make_small(const rn_desc *whole, int batch) {
    const rn_desc desc = halve_description(*whole);
    rn_error error;
    rn_net *small = rn_create(&desc, batch, RN_TRAINING, &large_pages, &error);
    if (!small) check(error.status, &error);
    return small;
}

static inline trainer make_trainer(const rn_desc *desc, const recipe *r, rn_mode mode,
                                   const rn_source *source) {
    const rn_desc *d;
    rn_error error;
    trainer t;
    memset(&t, 0, sizeof t);
    t.source = source;
    t.augment.pad = (int)r->pad;
    t.augment.flip = (int)r->flip;
    t.batch = (int)r->batch;
    t.tta = (int)r->tta;
    t.net = rn_create(desc, t.batch, mode, &large_pages, &error);
    if (!t.net) check(error.status, &error);
    if (mode == RN_TRAINING && (r->pad >= source->height || r->pad >= source->width))
        quit(2, "--pad is %ld and must be less than the images' %d x %d", r->pad, source->height,
             source->width);
    if (mode == RN_TRAINING && !steps_per_epoch(&t)) quit(1, "one training image is not enough");
    d = &t.net->desc;
    t.images = (rn_real *)allocate(rn_tensor_bytes(t.batch, d->channels, d->height, d->width));
    t.logits = (rn_real *)allocate(rn_tensor_bytes(t.batch, d->classes, 1, 1));
    t.sums = (rn_real *)allocate(rn_tensor_bytes(t.batch, d->classes, 1, 1));
    t.labels = (int *)allocate((size_t)t.batch * sizeof(int));
    if (mode == RN_TRAINING && r->small_epochs) {
        t.small_epochs = (int)r->small_epochs;
        t.small = make_small(desc, t.batch);
    }
    if (mode == RN_TRAINING && r->lookahead) {
        t.lookahead = (int)r->lookahead;
        t.slow = (rn_real *)allocate((size_t)count_learned(t.net) * sizeof(rn_real));
    }
    return t;
}

static inline void free_trainer(trainer *t) {
    free(t->images);
    free(t->logits);
    free(t->sums);
    free(t->labels);
    free(t->slow);
    rn_destroy(t->small);
    rn_destroy(t->net);
}

/* Lookahead (Zhang et al. 2019, arXiv 1907.08610) as in Jordan 2024 (arXiv 2404.00498, section
   3.4): after some steps slow weights, and running statistics, go towards the net's, and the net's
   become what they are then. They stay behind by 0.95^steps (the part of training done)^3: with
   five steps by nothing at first, by three quarters at last. */
static inline void look_ahead(trainer *t) {
    rn_net *net = t->net;
    const double done = (double)net->step / (double)net->schedule.steps;
    double behind = done * done * done;
    ptrdiff_t i;
    for (; t->steps_ahead > 0; t->steps_ahead--) behind *= 0.95;
    for (i = 0; i < count_learned(net); i++) {
        rn_real *fast = i < net->parameter_count ? net->parameters + i
                                                 : net->statistics + (i - net->parameter_count);
        *fast += (rn_real)behind * (t->slow[i] - *fast);
    }
}

/* All that training changes in a net. */
static inline void copy_learned(rn_net *to, const rn_net *from) {
    memcpy(to->parameters, from->parameters, (size_t)to->parameter_count * sizeof(rn_real));
    memcpy(to->statistics, from->statistics, (size_t)to->statistic_count * sizeof(rn_real));
    memcpy(to->velocity, from->velocity, (size_t)to->trained_count * sizeof(rn_real));
    to->step = from->step;
}

static inline int in_small_epoch(const trainer *t) {
    return t->small && t->net->epoch < (uint64_t)t->small_epochs;
}

/* The net of the trainer's images in this epoch. In the first ones that is the small net, which
   gets what the whole one has learned so far: most of what there is to learn early shows in small
   images too, at a quarter of the multiply-adds (progressive learning, Tan and Le 2021, arXiv
   2104.00298, section 4). */
static inline rn_net *learning_net(trainer *t) {
    if (!in_small_epoch(t)) return t->net;
    copy_learned(t->small, t->net);
    return t->small;
}

/* Images of the whole net's size become those of the learning net, in place: with the small one
   means of 2 x 2 pixels. */
static inline void fit_images(const trainer *t, int count) {
    const rn_desc *d = &t->net->desc;
    const ptrdiff_t w = d->width, rows = (ptrdiff_t)count * d->channels * d->height;
    rn_real *to = t->images;
    ptrdiff_t y, x;
    for (y = 0; in_small_epoch(t) && y < rows; y += 2)
        for (x = 0; x < w; x += 2) {
            const rn_real *from = t->images + y * w + x;
            *to++ = (from[0] + from[1] + from[w] + from[w + 1]) / 4;
        }
}

/* One step of training; it begins a new epoch where the last one ended. */
static inline rn_status train_next(trainer *t, rn_error *error) {
    rn_net *net = t->net, *learning;
    rn_result result;
    rn_status status;
    double rate = rn_learning_rate(&net->schedule, net->step);
    int count = next_count(t);
    if (t->lookahead && !t->steps_ahead) {
        memcpy(t->slow, net->parameters, (size_t)net->parameter_count * sizeof(rn_real));
        memcpy(t->slow + net->parameter_count, net->statistics,
               (size_t)net->statistic_count * sizeof(rn_real));
    }
    if (!count) {
        net->epoch++;
        net->cursor = 0;
        t->seen = t->loss = t->correct = 0;
        count = next_count(t);
    }
    status = rn_batch(t->source, &net->desc, &t->augment, net->epoch, (ptrdiff_t)net->cursor, count,
                      t->images, t->labels, error);
    if (status) return status;
    fit_images(t, count);
    learning = learning_net(t);
    status = rn_train_step(learning, t->images, t->labels, count, rate, &result, error);
    if (status) return status;
    if (learning != net) copy_learned(net, learning);
    net->cursor += (uint64_t)count;
    t->seen += count;
    t->loss += result.loss * count;
    t->correct += result.correct;
    if (t->lookahead && (++t->steps_ahead == t->lookahead || is_due(t))) look_ahead(t);
    return RN_OK;
}

/* Trains to the end of the epoch or of the schedule, to Ctrl-C, or for so many seconds. */
static inline rn_status train_epoch(trainer *t, double seconds, progress *p, const char *title,
                                    rn_error *error) {
    rn_net *net = t->net;
    double began = seconds_now(), before = next_count(t) ? t->seen : 0;
    rn_status status;
    do {
        if ((status = train_next(t, error))) return status;
        t->speed = (t->seen - before) / (seconds_now() - began);
        p->done += p->step;
        show_progress(
            p, "%sepoch %" PRIu64 "/%" PRIu64 " %3.0f %%  loss %.3f  error %.1f %%  %.0f images/s",
            title, net->epoch + 1, count_epochs(t),
            100 * (double)net->cursor / (double)t->source->count, t->loss / t->seen,
            error_rate(t->correct, t->seen), t->speed);
    } while (!is_due(t) && (t->steps_ahead || (!stopped && seconds_now() - began < seconds)));
    return RN_OK;
}

/* Images, moved down and to the right by `shift`, 1 or -1, with zeros coming in; then mirrored. */
static inline void change_view(rn_tensor *images, int shift, int mirror) {
    const int h = images->h, w = images->w, edge = shift > 0 ? 0 : -1; /* where zeros come in */
    const ptrdiff_t by = w + 1, plane = (ptrdiff_t)h * w;
    ptrdiff_t i, rows = (ptrdiff_t)images->n * images->c * h;
    int x;
    for (i = 0; shift && i < rows; i += h) {
        rn_real *to = images->data + i * w;
        if (plane > by) /* else no pixel stays */
            memmove(shift > 0 ? to + by : to, shift > 0 ? to : to + by,
                    (size_t)(plane - by) * sizeof *to);
        for (x = 0; x < w; x++) to[(edge ? plane - w : 0) + x] = 0;
        for (x = 0; x < h; x++) to[(ptrdiff_t)x * w + (edge ? w - 1 : 0)] = 0;
    }
    for (i = 0; mirror && i < rows; i++)
        for (x = 0; x < w / 2; x++) {
            rn_real *row = images->data + i * w, swapped = row[x];
            row[x] = row[w - 1 - x];
            row[w - 1 - x] = swapped;
        }
}

/* Logits of images [first, first + count) in t->logits, and their labels in t->labels: with tta 1
   the mean over image and mirror image, with 2 half of that, and half the mean over both moved by a
   pixel to either corner (multi-crop evaluation, Jordan 2024, arXiv 2404.00498, section 3.5). */
static inline rn_status predict_views(trainer *t, const rn_source *source, int tta, ptrdiff_t first,
                                      int count, rn_error *error) {
    static const int shifts[] = {0, 0, -1, -1, 1, 1}, counts[] = {1, 2, 6};
    const rn_desc *d = &t->net->desc;
    const ptrdiff_t numbers = (ptrdiff_t)count * d->classes;
    rn_tensor images = rn_tensor_in(t->images, count, d->channels, d->height, d->width);
    rn_net *net = learning_net(t);
    int view;
    ptrdiff_t i;
    for (view = 0; view < counts[tta]; view++) {
        const double weight = tta < 2 ? 1.0 / counts[tta] : view < 2 ? 0.25 : 0.125;
        rn_status status = rn_batch(source, d, NULL, 0, first, count, t->images, t->labels, error);
        if (status) return status;
        change_view(&images, shifts[view], view % 2);
        fit_images(t, count);
        status = rn_predict(net, rn_workspace(net), t->images, count, t->logits, error);
        if (status) return status;
        for (i = 0; i < numbers; i++)
            t->sums[i] = (view ? t->sums[i] : 0) + (rn_real)weight * t->logits[i];
    }
    memcpy(t->logits, t->sums, (size_t)numbers * sizeof(rn_real));
    return RN_OK;
}

/* By how many views a test goes: those of t->tta when the training is over. */
static inline int views_of(const trainer *t) {
    const rn_net *net = t->net;
    return net->mode == RN_INFERENCE || net->step >= net->schedule.steps ? t->tta : 0;
}

/* Mean loss and number of right answers of the net in inference, by views_of, and the class that it
   predicts for each image, predictions[source->count], unless that is NULL. Ctrl-C ends it early,
   with results of no worth. */
static inline rn_status test_net(trainer *t, const rn_source *source, int *predictions,
                                 rn_result *result, rn_error *error) {
    const rn_net *net = t->net;
    int classes = net->desc.classes, count, i;
    ptrdiff_t first;
    memset(result, 0, sizeof *result);
    for (first = 0; first < source->count && !stopped; first += count) {
        rn_tensor logits;
        rn_result part;
        rn_status status;
        count = source->count - first < net->batch ? (int)(source->count - first) : net->batch;
        logits = rn_tensor_in(t->logits, count, classes, 1, 1);
        status = predict_views(t, source, views_of(t), first, count, error);
        if (!status)
            status = rn_softmax_cross_entropy_forward(&part, &logits, t->labels, NULL, error);
        if (status) return status;
        result->loss += part.loss * count / (double)source->count;
        result->correct += part.correct;
        for (i = 0; predictions && i < count; i++)
            predictions[first + i] = rn_argmax(t->logits + (ptrdiff_t)i * classes, classes);
    }
    return RN_OK;
}

#endif /* EXAMPLE_H */
