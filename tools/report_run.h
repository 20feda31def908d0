/* report_run.h - what the directory of a run says: its log, manifest, net and tables. Errors end
   the program and name the file and the line. */
#ifndef REPORT_RUN_H
#define REPORT_RUN_H

#include "../examples/manifest.h"
#include "../examples/plot_log.h"

/* ---- tables: CSV files with a first line of names -------------------------------------------- */

typedef struct csv {
    char *text;   /* of the file, which the cells lie in; NULL: there is none */
    char **cells; /* [1 + rows][columns], names first */
    int columns, rows;
    char path[1000];
} csv;

/* The text of a file, to be freed; NULL if there is none. */
static inline char *read_text(const char *path) {
    char *text = is_there(path) ? plot_read_file(path) : NULL;
    if (!text && is_there(path)) quit(1, "cannot read %s: %s", path, strerror(errno));
    return text;
}

/* Ends a cell of a CSV file, perhaps within quotes, where it stands: *at goes behind the comma or
   to the end of the line. */
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
    int line = 1, count = 0;
    char *at, *end;
    memset(&t, 0, sizeof t);
    snprintf(t.path, sizeof t.path, "%s/%s", directory, name);
    t.text = read_text(t.path);
    if (!t.text) return t;
    end = strrchr(t.text, '\n');
    if (!end) quit(1, "%s has no line; remove it, or let its program end", t.path);
    end[1] = 0;
    for (at = t.text; *at; line++) {
        if (line > 1 && (*at == '\n' || *at == '\r')) {
            at += strcspn(at, "\n") + 1;
            continue;
        }
        at = read_line(&t, at, line, &count);
    }
    t.rows = count / t.columns - 1;
    return t;
}

static inline void free_csv(const csv *t) {
    free(t->text);
    free(t->cells);
}

static inline const char *csv_cell(const csv *t, int row, int column) {
    return t->cells[(row + 1) * t->columns + column];
}

/* ---- a run ----------------------------------------------------------------------------------- */

typedef struct report_run {
    char *path;
    const char *name; /* on the page, see plot_name_logs */
    plot_table log;   /* rows 0: there is none, or nothing in it */
    rn_desc desc;     /* resolved */
    const char *from; /* the file that told it; NULL: none did */
    rn_net *net;      /* for its nodes; NULL: none */
    int drawn;        /* in the picture of the study that it belongs to, ablation.svg */
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

/* Takes the separators from the end of a path. */
static inline void trim_path(char *path) {
    size_t length = strlen(path);
    while (length > 1 && strchr("/\\", path[length - 1])) path[--length] = 0;
}

static inline report_run open_run(const char *path) {
    report_run r;
    char error[PLOT_SENTENCE];
    memset(&r, 0, sizeof r);
    r.path = copy_text(path);
    trim_path(r.path);
    if (is_there(in_run(&r, "log.csv")) && !plot_read_table(&r.log, in_run(&r, "log.csv"), error))
        quit(1, "%s; mend or remove that line", error);
    read_desc(&r);
    return r;
}

static inline void close_run(report_run *r) {
    plot_free_table(&r->log);
    rn_destroy(r->net);
    free(r->path);
}

/* The last number of a column of the log, or its least; NaN: it has none. */
static inline double log_number(const report_run *r, const char *name, int least) {
    double *column = r->log.rows ? plot_column(&r->log, name) : NULL, number = NAN;
    int i;
    for (i = 0; column && i < r->log.rows; i++)
        if (!isnan(column[i])) number = least ? fmin(number, column[i]) : column[i];
    free(column);
    return number;
}

/* Did it end without a net that is better than chance? examples/ablation says so. */
static inline int has_failed(const report_run *r) {
    const csv result = read_csv(r->path, "result.csv");
    const int failed = result.text && result.rows && !strcmp(csv_cell(&result, 0, 0), "failed");
    free_csv(&result);
    return failed;
}

/* 1: it was trained to its end; 0: it was not; -1: how long it was to be is not known. */
static inline int is_finished(const report_run *r) {
    const double steps = run_number(r, "iterations");
    return steps > 0 ? log_number(r, "iteration", 0) >= steps : -1;
}

#endif /* REPORT_RUN_H */
