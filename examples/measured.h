/* measured.h - what programs share that measure trained nets again and again, each time changed a
   little (lesions, landscape): results that outlive an interruption, a part of a data set, and the
   net over weights that were changed. Stands on example.h and log.h. Errors end the program. */
#ifndef MEASURED_H
#define MEASURED_H

#include "log.h"

/* Purposes of rn_key, beside the header's own, which are below 32. */
enum { PURPOSE_SET = 32, PURPOSE_SWAP, PURPOSE_PATH, PURPOSE_DIRECTION };

/* ---- results: a CSV file, a row a measurement ------------------------------------------------ */

enum { KEY_LENGTH = 64, MOST_VALUES = 2 };

typedef struct result_row {
    char key[KEY_LENGTH]; /* the columns that say what was measured, with their commas */
    double values[MOST_VALUES];
} result_row;

/* First come the names, then rows `run,key,values`: the run's name is a checksum of all that the
   results depend on. Rows are only appended, each at once. */
typedef struct results {
    char path[1010], run[17];
    FILE *file;
    result_row *list; /* those that were there when it was opened */
    int count, room;
    int values; /* columns of a row */
    int next;   /* where the next search begins: mostly rows are asked for in their order */
} results;

static inline void check_results(const results *r, int failed) {
    if (failed) quit(1, "cannot write %s: %s", r->path, strerror(errno));
}

static inline void keep_result(results *r, const char *key, const double *values) {
    const size_t length = strlen(key) < KEY_LENGTH ? strlen(key) : KEY_LENGTH - 1;
    if (r->count == r->room) {
        r->room = 2 * r->room + 64;
        r->list = (result_row *)realloc(r->list, (size_t)r->room * sizeof *r->list);
        if (!r->list) quit(1, "no memory for the rows of %s", r->path);
    }
    memset(r->list[r->count].key, 0, KEY_LENGTH);
    memcpy(r->list[r->count].key, key, length);
    memcpy(r->list[r->count++].values, values, (size_t)r->values * sizeof *values);
}

/* Takes a row apart, from its end; 0 if it is none of this run. */
static inline int parse_result(const results *r, char *line, double *values) {
    int i;
    if (strncmp(line, r->run, 16) != 0 || line[16] != ',') return 0;
    for (i = r->values - 1; i >= 0; i--) {
        char *comma = strrchr(line, ',');
        if (comma <= line + 16) return 0;
        values[i] = strtod(comma + 1, NULL);
        *comma = 0;
    }
    return 1;
}

/* Reads the rows of this run; 0 if the file is of another. A row that was cut goes. */
static inline int read_results(results *r, const char *names) {
    char line[256];
    double values[MOST_VALUES];
    long end = 0;
    while (fgets(line, sizeof line, r->file) && strchr(line, '\n')) {
        line[strcspn(line, "\r\n")] = 0;
        if (end ? !parse_result(r, line, values) : strcmp(line, names) != 0) return 0;
        if (end) keep_result(r, line + 17, values);
        end = ftell(r->file);
    }
    check_results(r, ftruncate(fileno(r->file), end) || fseek(r->file, 0, SEEK_END));
    if (!end) check_results(r, fprintf(r->file, "%s\n", names) < 0 || fflush(r->file));
    return 1;
}

/* Opens DIR/NAME, whose first line is `names`, of which the last `values` are measured. That of
   another run is renamed to NAME.old. */
static inline results open_results(const char *directory, const char *name, const char *names,
                                   int values, uint64_t run) {
    char old[1020];
    results r;
    memset(&r, 0, sizeof r);
    r.values = values;
    snprintf(r.run, sizeof r.run, "%016" PRIx64, run);
    make_directory(directory);
    snprintf(r.path, sizeof r.path, "%s", path_in(directory, name));
    snprintf(old, sizeof old, "%s.old", r.path);
    r.file = fopen(r.path, "ab+");
    check_results(&r, !r.file);
    rewind(r.file);
    if (read_results(&r, names)) return r;
    r.count = 0;
    fclose(r.file);
    rename_file(r.path, old);
    printf("%s is of other weights, data or draws: it is now %s\n", r.path, old);
    r.file = fopen(r.path, "wb+");
    check_results(&r, !r.file || !read_results(&r, names));
    return r;
}

/* 1 if this was measured before; then its values. */
static inline int find_result(results *r, const char *key, double *values) {
    int i;
    for (i = 0; i < r->count; i++) {
        const result_row *row = &r->list[(r->next + i) % r->count];
        if (strcmp(row->key, key) != 0) continue;
        memcpy(values, row->values, (size_t)r->values * sizeof *values);
        r->next = (r->next + i + 1) % r->count;
        return 1;
    }
    return 0;
}

/* Writes a row, and makes the values those that will be read again. */
static inline void add_result(const results *r, const char *key, double *values) {
    char text[32];
    int i;
    check_results(r, fprintf(r->file, "%s,%s", r->run, key) < 0);
    for (i = 0; i < r->values; i++) {
        snprintf(text, sizeof text, "%.9g", values[i]);
        values[i] = strtod(text, NULL);
        check_results(r, fprintf(r->file, ",%s", text) < 0);
    }
    check_results(r, fprintf(r->file, "\n") < 0 || fflush(r->file));
}

static inline void close_results(results *r) {
    check_results(r, fclose(r->file));
    free(r->list);
}

/* ---- what a run depends on ------------------------------------------------------------------- */

/* Goes on from a checksum (0 at first; FNV-1a, 64 bits). */
static inline uint64_t checksum_bytes(uint64_t sum, const void *data, size_t bytes) {
    const unsigned char *byte = (const unsigned char *)data;
    size_t i;
    sum ^= 0xcbf29ce484222325u;
    for (i = 0; i < bytes; i++) sum = (sum ^ byte[i]) * 0x100000001b3u;
    return sum;
}

/* Of a net's description, but for the threads, which change nothing, and of its weights. */
static inline uint64_t checksum_net(uint64_t sum, const rn_net *net) {
    char text[96];
    int i;
    for (i = 0; rn_desc_key(i); i++) {
        rn_desc_get(&net->desc, i, text);
        if (strcmp(rn_desc_key(i), "threads") != 0) sum = checksum_bytes(sum, text, strlen(text));
    }
    sum = checksum_bytes(sum, net->parameters, (size_t)net->parameter_count * sizeof(rn_real));
    return checksum_bytes(sum, net->statistics, (size_t)net->statistic_count * sizeof(rn_real));
}

/* ---- some of the images ---------------------------------------------------------------------- */

/* `count` images of a source at equal distances, for a folder's stand class by class. */
typedef struct image_part {
    rn_source source; /* its user is this struct: do not copy it */
    const rn_source *whole;
} image_part;

static inline int read_of_part(void *user, ptrdiff_t index, uint8_t *pixels, int *label) {
    const image_part *part = (const image_part *)user;
    const double step = (double)part->whole->count / (double)part->source.count;
    return part->whole->read(part->whole->user, (ptrdiff_t)((double)index * step), pixels, label);
}

/* At most so many of them, 0: all. */
static inline void take_part(image_part *part, const rn_source *whole, long most) {
    part->whole = whole;
    part->source = *whole;
    if (most && most < whole->count) part->source.count = most;
    part->source.read = read_of_part;
    part->source.user = part;
}

/* ---- the net ------------------------------------------------------------------------------- */

/* What the command lines have in common. */
typedef struct measurement {
    recipe recipe; /* of the data; what is about training is for programs that train */
    const char *out;
    long images, seed;
    rn_desc machine; /* machine_fields alone */
} measurement;

static inline measurement make_measurement(const char *out, long images) {
    measurement m;
    memset(&m, 0, sizeof m);
    m.recipe = make_recipe(IDX, "examples/data", 250, 0, rn_make_schedule(RN_CONSTANT, 0.1, 1));
    m.out = out;
    m.images = images;
    m.machine.threads = all_cores();
    return m;
}

static inline int has_measurement(arguments *a, measurement *m) {
    return has_data(a, &m->recipe) || has_text(a, "out", &m->out) ||
           has_whole(a, "images", 0, 1 << 30, &m->images) ||
           has_whole(a, "seed", 0, 0x7fffffff, &m->seed) ||
           (names_machine(a) && has_field(a, &m->machine));
}

static inline void print_measurement(const measurement *m, const char *images) {
    printf("  --dataset NAME, --data DIR, --memory MB, --batch N\n"
           "                      of the pictures, as in examples/cifar (%s, %s, %ld, %ld);\n"
           "                      what is computed does not depend on --batch\n"
           "  --images N          %s (%ld; 0: all)\n"
           "  --out DIR           where the results go; the same command goes on there (%s)\n"
           "  --seed N            of all that is drawn (%ld)\n"
           "  --threads N, --naive N, --direct N, --isa NAME\n"
           "                      of the machine, see rn_desc in resnet.h (%d threads)\n",
           dataset_names[m->recipe.set], m->recipe.data, m->recipe.memory, m->recipe.batch, images,
           m->images, m->out, m->seed, m->machine.threads);
}

/* The description that a file of weights holds, on this machine. */
static inline rn_desc describe_file(const measurement *m, const char *path) {
    rn_desc desc;
    rn_error error;
    check(rn_load_desc(&desc, path, NULL, &error), &error);
    set_machine(&desc, &m->machine);
    return desc;
}

/* A trainer that only tests, with the net of a file of weights. */
static inline trainer load_net(const measurement *m, const rn_desc *desc, const char *path,
                               const rn_source *source) {
    trainer t = make_trainer(desc, &m->recipe, RN_INFERENCE, source);
    rn_error error;
    check(rn_load(t.net, path, NULL, &error), &error);
    return t;
}

/* Mean loss and error in percent of a net that may compute what is not finite: then its loss is NaN
   and all that it says counts as wrong. 0 if it was stopped. */
static inline int measure_net(trainer *t, const rn_source *source, double values[2]) {
    rn_result result;
    rn_error error;
    const rn_status status = test_net(t, source, NULL, &result, &error);
    if (status != RN_NOT_FINITE) check(status, &error);
    values[0] = status ? NAN : result.loss;
    values[1] = status ? 100 : error_rate(result.correct, (double)source->count);
    return !stopped;
}

/* The value below which a share of them lie, between two in proportion; sorts them. */
static inline double quantile(double *values, int count, double share) {
    const double at = share * (count - 1);
    const int below = (int)at;
    qsort(values, (size_t)count, sizeof *values, plot_ascending);
    return below + 1 < count ? values[below] + (at - below) * (values[below + 1] - values[below])
                             : values[below];
}

#endif /* MEASURED_H */
