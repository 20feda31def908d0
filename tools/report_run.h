/* report_run.h - what the directory of a run says: its log, manifest, net and tables. Errors end the
   program and name the file and the line. */
#ifndef REPORT_RUN_H
#define REPORT_RUN_H

#include "../examples/manifest.h"

/* ---- tables: CSV files with a first line of names -------------------------------------------- */

typedef struct csv {
    char *text;   /* of the file, which the cells lie in; NULL: there is none */
    char **cells; /* [1 + rows][columns], names first */
    int *lines;   /* [1 + rows] of the file, from 1 */
    int columns, rows;
    char path[1000];
} csv;

/* The bytes of a file with a zero behind them, to be freed; NULL if there is none. */
static inline char *read_text(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    size_t room = 4096, length = 0, got;
    char *text;
    if (!file && errno == ENOENT) return NULL;
    if (!file) quit(1, "cannot open %s: %s", path, strerror(errno));
    text = (char *)allocate(room + 1);
    while ((got = fread(text + length, 1, room - length, file)) > 0) {
        length += got;
        if (length < room) continue;
        room *= 2;
        text = (char *)realloc(text, room + 1);
        if (!text) quit(1, "no memory for %s", path);
    }
    if (ferror(file)) quit(1, "cannot read %s: %s", path, strerror(errno));
    fclose(file);
    text[length] = 0;
    if (bytes) *bytes = length;
    return text;
}

/* Ends a cell of a CSV file, perhaps within quotes, where it stands: *at goes behind the comma or to
   the end of the line. */
static inline char *next_cell(char **at) {
    char *from = *at, *to = *at, *cell = *at;
    const int quoted = *from == '"';
    if (quoted) from++;
    for (; *from && (quoted || !strchr(",\r\n", *from)); from++) {
        if (quoted && *from == '"' && *++from != '"') break;
        *to++ = *from;
    }
    from += strcspn(from, ",\r\n");
    *at = from;
    if (*from == ',') (*at)++;
    if (to < from) *to = 0;
    return cell;
}

static inline void add_cell(csv *t, int count, char *cell) {
    if (!(count & (count - 1))) { /* full at 0, 1, 2, 4, 8, ... */
        t->cells = (char **)realloc(t->cells, (count ? 2 * (size_t)count : 1) * sizeof *t->cells);
        if (!t->cells) quit(1, "no memory for %s", t->path);
    }
    t->cells[count] = cell;
}

/* Reads one line's cells; what ends them is the last to be overwritten. Returns where the next line
   begins. */
static inline char *read_line(csv *t, char *at, int line, int *count) {
    const int before = *count;
    char *end;
    int more = 1;
    while (more) {
        char *cell = next_cell(&at);
        more = at > cell && at[-1] == ',';
        if (more) at[-1] = 0;
        add_cell(t, (*count)++, cell);
    }
    end = at;
    if (*at == '\r') at++;
    if (*at == '\n') at++;
    *end = 0;
    if (line == 1) t->columns = *count;
    if (*count - before != t->columns)
        quit(1,
             "%s, line %d: %d values, but the first line names %d columns; mend or remove the line",
             t->path, line, *count - before, t->columns);
    return at;
}

/* The table in a file; a last line that is still being written is left out. */
static inline csv read_csv(const char *directory, const char *name) {
    csv t;
    size_t bytes;
    int line = 1, count = 0, lines = 1;
    char *at, *end;
    memset(&t, 0, sizeof t);
    snprintf(t.path, sizeof t.path, "%s/%s", directory, name);
    t.text = read_text(t.path, &bytes);
    if (!t.text) return t;
    if (strlen(t.text) != bytes) quit(1, "%s is no text: it has a zero byte", t.path);
    end = strrchr(t.text, '\n');
    if (!end) quit(1, "%s has no line; remove it, or let its program end", t.path);
    end[1] = 0;
    for (at = t.text; *at; at++) lines += *at == '\n';
    t.lines = (int *)allocate((size_t)lines * sizeof *t.lines);
    for (at = t.text; *at; line++) {
        if (line > 1 && (*at == '\n' || *at == '\r')) {
            at += strcspn(at, "\n") + 1;
            continue;
        }
        at = read_line(&t, at, line, &count);
        t.lines[count / t.columns - 1] = line;
    }
    t.rows = count / t.columns - 1;
    return t;
}

static inline void free_csv(csv *t) {
    free(t->text);
    free(t->cells);
    free(t->lines);
}

static inline const char *csv_cell(const csv *t, int row, int column) {
    return t->cells[(row + 1) * t->columns + column];
}

static inline int csv_column(const csv *t, const char *name) {
    int i;
    for (i = 0; i < t->columns; i++)
        if (!strcmp(t->cells[i], name)) return i;
    return -1;
}

/* A column as numbers [rows], to be freed; NaN where it says nan or nothing, or there is no such
   column. */
static inline double *csv_numbers(const csv *t, const char *name) {
    const int column = csv_column(t, name);
    double *numbers = (double *)allocate((size_t)t->rows * sizeof(double));
    int i;
    for (i = 0; i < t->rows; i++) {
        const char *cell = column < 0 ? "" : csv_cell(t, i, column);
        char *end;
        numbers[i] = strtod(cell, &end);
        if (*end && strncmp(cell, "-nan", 4) != 0) /* as Windows writes it */
            quit(1, "%s, line %d: %s is \"%.40s\", which is no number; mend or remove the line",
                 t->path, t->lines[i + 1], name, cell);
        if (!*cell || *end) numbers[i] = NAN;
    }
    return numbers;
}

/* ---- a run ----------------------------------------------------------------------------------- */

/* Columns of log.csv. */
enum { EPOCH, ITERATION, TRAIN_LOSS, TRAIN_ERROR, TEST_LOSS, TEST_ERROR, RATE, LOG_COLUMNS };
static const char *const log_names[] = {"epoch",     "iteration",  "train_loss",   "train_error",
                                        "test_loss", "test_error", "learning_rate"};

typedef struct report_run {
    char *path;
    const char *name; /* on the page: the path, or its end */
    csv log;
    double *numbers[LOG_COLUMNS]; /* [rows] of the log; NULL without one */
    int rows;
    rn_desc desc;     /* resolved */
    const char *from; /* the file that told it; NULL: none did */
    rn_net *net;      /* for its nodes; NULL: none */
} report_run;

static inline const char *in_run(const report_run *r, const char *name) {
    static char path[1000];
    if (snprintf(path, sizeof path, "%s/%s", r->path, name) >= (int)sizeof path)
        quit(2, "the path %.80s... is too long", r->path);
    return path;
}

/* A value of the run's manifest or, without one, of its checkpoint; 1 if it is known. */
static inline int run_value(const report_run *r, const char *key, char *value, size_t room) {
    char stored[64];
    rn_archive a;
    int found = manifest_value(in_run(r, "manifest.txt"), key, value, room);
    if (found || is_there(in_run(r, "manifest.txt"))) return found;
    snprintf(stored, sizeof stored, "%s%s",
             !strcmp(key, "batch") || !strcmp(key, "pad") || !strcmp(key, "flip") ? "trainer." : "",
             !strcmp(key, "iterations")  ? "schedule.steps"
             : !strcmp(key, "schedule")  ? "schedule.kind"
             : !strcmp(key, "iteration") ? "step"
                                         : key);
    if (!rn_archive_open(&a, in_run(r, "last.ckpt"), NULL, NULL))
        found = !rn_archive_metadata(&a, stored, value, room, NULL);
    rn_archive_close(&a);
    return found;
}

/* A number of the run, 0 if it is not known. */
static inline double run_number(const report_run *r, const char *key) {
    char text[64];
    return run_value(r, key, text, sizeof text) ? strtod(text, NULL) : 0;
}

/* The description as the manifest tells it; 1 if it does. */
static inline int read_manifest_desc(const report_run *r, rn_desc *desc) {
    char key[64], value[256];
    const char *path = in_run(r, "manifest.txt");
    rn_error error;
    int i;
    if (!is_there(path)) return 0;
    memset(desc, 0, sizeof *desc);
    for (i = 0; rn_desc_key(i); i++) {
        snprintf(key, sizeof key, "net.%s", rn_desc_key(i));
        if (manifest_value(path, key, value, sizeof value) &&
            rn_desc_set(desc, rn_desc_key(i), value, &error))
            quit(1, "%s: %s", path, error.text);
    }
    if (rn_resolve(desc, &error)) quit(1, "%s: %s", path, error.text);
    return 1;
}

/* What the net is, by the first file that is there. */
static inline void read_desc(report_run *r) {
    static const char *const files[] = {"last.ckpt", "best.safetensors"};
    rn_error error;
    int i;
    for (i = 0; i < 2 && !r->from; i++) {
        if (!is_there(in_run(r, files[i]))) continue;
        check(rn_load_desc(&r->desc, in_run(r, files[i]), NULL, &error), &error);
        r->from = files[i];
    }
    if (!r->from && read_manifest_desc(r, &r->desc)) r->from = "manifest.txt";
    if (!r->from) return;
    if (run_number(r, "threads") > 0) r->desc.threads = (int)run_number(r, "threads");
    check(rn_resolve(&r->desc, &error), &error);
    r->net = rn_create(&r->desc, 1, RN_INFERENCE, &large_pages, &error);
    if (!r->net) quit(1, "the net of %s cannot be made: %s", r->path, error.text);
}

/* Is something of a run in this directory? */
static inline int is_run(const char *path) {
    static const char *const files[] = {"log.csv", "manifest.txt", "last.ckpt", "best.safetensors"};
    report_run r;
    int i, is = 0;
    memset(&r, 0, sizeof r);
    r.path = copy_text(path);
    for (i = 0; i < 4; i++) is |= is_there(in_run(&r, files[i]));
    free(r.path);
    return is;
}

static inline report_run open_run(const char *path) {
    report_run r;
    size_t length;
    int i;
    memset(&r, 0, sizeof r);
    r.path = copy_text(path);
    for (length = strlen(path); length > 1 && strchr("/\\", r.path[length - 1]);)
        r.path[--length] = 0;
    r.name = r.path;
    r.log = read_csv(r.path, "log.csv");
    r.rows = r.log.rows;
    for (i = 0; i < LOG_COLUMNS && r.log.text; i++)
        r.numbers[i] = csv_numbers(&r.log, log_names[i]);
    read_desc(&r);
    return r;
}

static inline void close_run(report_run *r) {
    int i;
    for (i = 0; i < LOG_COLUMNS; i++) free(r->numbers[i]);
    free_csv(&r->log);
    rn_destroy(r->net);
    free(r->path);
}

/* The last number of a column that is one; NaN: none. */
static inline double last_number(const report_run *r, int column) {
    int i = r->rows - 1;
    while (i >= 0 && isnan(r->numbers[column][i])) i--;
    return i < 0 ? NAN : r->numbers[column][i];
}

static inline double least_number(const report_run *r, int column) {
    double least = NAN;
    int i;
    for (i = 0; i < r->rows; i++) least = fmin(least, r->numbers[column][i]);
    return least;
}

/* 1: it was trained to its end; 0: it was not, or that is not known. */
static inline int is_finished(const report_run *r) {
    const double steps = run_number(r, "iterations");
    return steps > 0 && last_number(r, ITERATION) >= steps;
}

#endif /* REPORT_RUN_H */
