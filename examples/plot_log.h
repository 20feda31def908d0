/* plot_log.h - logs of training as pictures: the columns of CSV files, and what examples/cifar,
   examples/curves and others put into them as curves. Stands on plot.h alone. Functions that can
   fail return 0 and write a sentence that says why. */
#ifndef PLOT_LOG_H
#define PLOT_LOG_H

#include "plot.h"

enum { PLOT_SENTENCE = 1200 }; /* bytes of an error */

/* A file of numbers with commas between them, whose first line names its columns. */
typedef struct plot_table {
    char *names; /* each with a zero behind it */
    int columns, rows;
    double *values; /* [rows][columns], NaN where there is none */
} plot_table;

static inline void plot_free_table(plot_table *t) {
    free(t->names), free(t->values);
    memset(t, 0, sizeof *t);
}

/* All of a file with a zero at its end, to be freed; NULL and errno if that fails. */
static inline char *plot_read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    plot_buffer text;
    char part[4096];
    size_t count;
    int failed;
    if (!file) return NULL;
    memset(&text, 0, sizeof text);
    plot_puts(&text, "");
    while ((count = fread(part, 1, sizeof part, file)) > 0) plot_put(&text, part, count);
    failed = ferror(file) || text.failed;
    fclose(file);
    if (!failed) return text.text;
    free(text.text);
    errno = text.failed ? ENOMEM : EIO;
    return NULL;
}

/* The numbers of a line into a row; returns how many there are, or -1 where one is no number. */
static inline int plot_read_numbers(const char *line, const char *end, double *row, int columns) {
    int count = 0;
    for (const char *at = line;; at++) {
        char *behind;
        double value;
        while (at < end && (*at == ' ' || *at == '\t')) at++;
        value = strtod(at, &behind);
        if (at == end || *at == ',' || *at == '\r')
            value = NAN, behind = (char *)at;
        else if (behind == at || behind > end)
            return -1;
        while (behind < end && strchr(" \t\r", *behind)) behind++;
        if (behind < end && *behind != ',') return -1;
        if (count < columns) row[count] = value;
        count++;
        at = behind;
        if (at >= end) return count;
    }
}

/* Takes the names of the columns out of the first line; returns where the next one begins. */
static inline const char *plot_read_names(plot_table *t, const char *text) {
    const size_t length = strcspn(text, "\n");
    t->names = (char *)malloc(length + 2);
    if (!t->names) return NULL;
    memcpy(t->names, text, length);
    if (length && t->names[length - 1] == '\r') t->names[length - 1] = ',';
    t->names[length] = t->names[length + 1] = 0;
    t->columns = 1;
    for (char *at = t->names; *at; at++) {
        if (*at != ',') continue;
        *at = 0;
        t->columns += at + 1 < t->names + length;
    }
    return text + length + (text[length] == '\n');
}

/* A last line that is still being written, without its end, is left out. */
static inline int plot_read_rows(plot_table *t, const char *at, const char *path,
                                 char error[PLOT_SENTENCE]) {
    int lines = 0;
    for (const char *c = at; *c; c++) lines += *c == '\n';
    t->values = (double *)malloc(((size_t)lines * (size_t)t->columns + 1) * sizeof(double));
    if (!t->values) snprintf(error, PLOT_SENTENCE, "no memory for %s", path);
    for (int line = 0; line < lines && t->values; line++) {
        const char *end = strchr(at, '\n');
        double *row = t->values + (size_t)t->rows * (size_t)t->columns;
        const int count = plot_read_numbers(at, end, row, t->columns);
        const int blank = at + strspn(at, " \t\r") == end;
        at = end + 1;
        if (blank) continue;
        t->rows++;
        if (count == t->columns) continue;
        snprintf(error, PLOT_SENTENCE,
                 count < 0 ? "%s, line %d: not a number" : "%s, line %d: %d values, but %d columns",
                 path, line + 2, count, t->columns);
        return 0;
    }
    return t->values != NULL;
}

static inline int plot_read_table(plot_table *t, const char *path, char error[PLOT_SENTENCE]) {
    char *text = plot_read_file(path);
    const char *rows;
    int done = 0;
    memset(t, 0, sizeof *t);
    if (!text)
        snprintf(error, PLOT_SENTENCE, "cannot read %s: %s", path, strerror(errno));
    else if (!*text)
        snprintf(error, PLOT_SENTENCE, "%s is empty", path);
    else if (!(rows = plot_read_names(t, text)))
        snprintf(error, PLOT_SENTENCE, "no memory for %s", path);
    else
        done = plot_read_rows(t, rows, path, error);
    free(text);
    if (!done) plot_free_table(t);
    return done;
}

/* A column by its name, to be freed; NULL if there is none, or no memory. */
static inline double *plot_column(const plot_table *t, const char *name) {
    const char *at = t->names;
    for (int i = 0; i < t->columns; i++, at += strlen(at) + 1) {
        double *column;
        if (strcmp(at, name) != 0) continue;
        column = (double *)malloc(((size_t)t->rows + 1) * sizeof(double));
        for (int row = 0; row < t->rows && column; row++)
            column[row] = t->values[(size_t)row * (size_t)t->columns + (size_t)i];
        return column;
    }
    return NULL;
}

/* ---- what logs are called -------------------------------------------------------------------- */

/* Where the last part of a path of so many bytes begins. */
static inline size_t plot_last_part(const char *path, size_t length) {
    while (length && !strchr("/\\", path[length - 1])) length--;
    return length;
}

/* The last part of a path, without .csv; of DIR/log.csv that of DIR. */
static inline void plot_name_log(char *name, const char *path) {
    size_t end = strlen(path), begin = plot_last_part(path, end);
    if (begin && !strcmp(path + begin, "log.csv")) {
        for (end = begin; end > 1 && strchr("/\\", path[end - 1]);) end--;
        begin = plot_last_part(path, end);
    } else if (end - begin > 4 && !strcmp(path + end - 4, ".csv"))
        end -= 4;
    memcpy(name, path + begin, end - begin);
    name[end - begin] = 0;
}

/* Names of logs, or of the directories of runs; where two would be the same all are their paths.
   One array to be freed; NULL if there is no memory. */
static inline char **plot_name_logs(const char *const *paths, int count) {
    size_t bytes = (size_t)count * sizeof(char *);
    char **names, *room;
    int same = 0;
    for (int i = 0; i < count; i++) bytes += strlen(paths[i]) + 1;
    names = (char **)malloc(bytes + 1);
    if (!names) return NULL;
    room = (char *)(names + count); /* behind the array */
    for (int i = 0; i < count; i++) {
        names[i] = room;
        room += strlen(paths[i]) + 1;
        plot_name_log(names[i], paths[i]);
        for (int k = 0; k < i; k++) same |= !strcmp(names[k], names[i]);
    }
    for (int i = 0; i < count && same; i++) strcpy(names[i], paths[i]);
    return names;
}

/* Takes -seedN off the end of a name, which may be the whole path of a log. */
static inline void plot_drop_seed(char *name) {
    static const char *const ends[] = {"/log.csv", "\\log.csv", ".csv", ""};
    char *end, *at;
    int i = 0;
    while (strlen(name) < strlen(ends[i]) || strcmp(name + strlen(name) - strlen(ends[i]), ends[i]))
        i++;
    at = end = name + strlen(name) - strlen(ends[i]);
    while (at > name && at[-1] >= '0' && at[-1] <= '9') at--;
    if (at < end && at - name > 5 && !strncmp(at - 5, "-seed", 5)) strcpy(at - 5, ends[i]);
}

/* ---- curves of training ---------------------------------------------------------------------- */

/* Are there numbers in a column of one of the tables? */
static inline int plot_has_column(const plot_table *tables, int count, const char *name) {
    int found = 0;
    for (int i = 0; i < count && !found; i++) {
        double *column = plot_column(&tables[i], name);
        for (int row = 0; column && row < tables[i].rows; row++)
            found |= plot_is_finite(column[row]);
        free(column);
    }
    return found;
}

/* The horizontal axis: the epoch, unless some epoch has several rows. */
static inline const char *plot_choose_x(const plot_table *tables, int count) {
    int repeated = !plot_has_column(tables, count, "epoch");
    for (int i = 0; i < count; i++) {
        double *epoch = plot_column(&tables[i], "epoch");
        for (int row = 1; epoch && row < tables[i].rows; row++)
            repeated |= epoch[row] <= epoch[row - 1];
        free(epoch);
    }
    return repeated && plot_has_column(tables, count, "iteration") ? "iteration" : "epoch";
}

static inline void plot_table_line(plot *p, const plot_table *t, const char *name, const char *x,
                                   const char *y) {
    double *across = plot_column(t, x), *up = plot_column(t, y);
    if (across && up) plot_line(p, name, across, up, t->rows);
    free(across), free(up);
}

/* Several logs of one name, each with its x and y: at every x the median of those that have a value
   there, and the area from the lowest to the highest. */
typedef struct plot_seeds {
    int count;
    double (*values)[2]; /* [count] of x and y, sorted */
    double *x, *low, *median, *high;
} plot_seeds;

static inline int plot_by_x(const void *a, const void *b) {
    const double *p = (const double *)a, *q = (const double *)b;
    return p[0] < q[0] ? -1 : p[0] > q[0] ? 1 : plot_ascending(p + 1, q + 1);
}

static inline void plot_take_seed(plot_seeds *s, const plot_table *t, const char *x,
                                  const char *y) {
    double *across = plot_column(t, x), *up = plot_column(t, y);
    for (int row = 0; across && up && row < t->rows; row++) {
        if (!plot_is_finite(across[row]) || !plot_is_finite(up[row])) continue;
        s->values[s->count][0] = across[row];
        s->values[s->count++][1] = up[row];
    }
    free(across), free(up);
}

/* Returns at how many x there are values. */
static inline int plot_summarise_seeds(plot_seeds *s) {
    int places = 0;
    qsort(s->values, (size_t)s->count, sizeof *s->values, plot_by_x);
    for (int first = 0, end; first < s->count; first = end, places++) {
        for (end = first + 1; end < s->count && !(s->values[end][0] > s->values[first][0]);) end++;
        s->x[places] = s->values[first][0];
        s->low[places] = s->values[first][1], s->high[places] = s->values[end - 1][1];
        s->median[places] =
            (s->values[(first + end - 1) / 2][1] + s->values[(first + end) / 2][1]) / 2;
    }
    return places;
}

/* Draws logs 0 to count - 1 of the name that the first one has, by one line. */
static inline void plot_same_name(plot *p, const plot_table *tables, const char *const *names,
                                  int count, const char *x, const char *y) {
    size_t rows = 0;
    int logs = 0, places;
    plot_seeds s;
    double *room;
    for (int i = 0; i < count; i++)
        if (!strcmp(names[i], names[0])) rows += (size_t)tables[i].rows, logs++;
    if (logs == 1) {
        plot_table_line(p, &tables[0], names[0], x, y);
        return;
    }
    room = (double *)plot_memory(p, rows, 6 * sizeof(double));
    if (!room) return;
    s.count = 0, s.values = (double(*)[2])room;
    s.x = room + 2 * rows, s.low = s.x + rows, s.median = s.low + rows, s.high = s.median + rows;
    for (int i = 0; i < count; i++)
        if (!strcmp(names[i], names[0])) plot_take_seed(&s, &tables[i], x, y);
    places = plot_summarise_seeds(&s);
    plot_band(p, names[0], s.x, s.low, s.high, places);
    plot_line(p, names[0], s.x, s.median, places);
    free(room);
}

/* Does the axis of a loss, in columns of these names, want to be logarithmic: is its largest value
   10 times its smallest, and none 0? On another the small ones would be flat, or the large ones
   beyond the end. */
static inline int plot_wants_log(const plot_table *tables, int count, const char *const *names,
                                 int name_count) {
    double least = HUGE_VAL, most = 0;
    for (int i = 0; i < count * name_count; i++) {
        const plot_table *t = &tables[i / name_count];
        const char *name = names[i % name_count];
        double *column = strstr(name, "_loss") ? plot_column(t, name) : NULL;
        for (int row = 0; column && row < t->rows; row++) {
            if (!plot_is_finite(column[row])) continue;
            least = fmin(least, column[row]), most = fmax(most, column[row]);
        }
        free(column);
    }
    return least > 0 && most > 10 * least;
}

/* The y axis of a panel for columns of these names; that of an error ends at most_error, unless
   that is 0. */
static inline plot_axis plot_log_axis(const char *label, const plot_table *tables, int count,
                                      const char *const *names, int name_count, double most_error) {
    plot_axis y = {label, plot_wants_log(tables, count, names, name_count), 0, 0};
    if (strstr(names[0], "_error")) y.most = most_error;
    return y;
}

/* One log: training and test in one panel. */
static inline void plot_one_log(plot *p, const plot_table *t, const char *across,
                                double most_error) {
    static const char *const panels[3][5] = {
        {"Loss", "loss (nats)", "train_loss", "test_loss", ""},
        {"Error", "error (%)", "train_error", "test_error", ""},
        {"Learning rate", "learning rate", "", "", "learning_rate"}};
    static const char *const names[3] = {"training", "test", NULL};
    const plot_axis x = {across, 0, 0, 0};
    for (int i = 0; i < 3; i++) {
        const plot_axis y = plot_log_axis(panels[i][1], t, 1, panels[i] + 2, 3, most_error);
        int there = 0;
        for (int k = 0; k < 3; k++) {
            if (!plot_has_column(t, 1, panels[i][2 + k])) continue;
            if (!there++) plot_panel(p, panels[i][0], x, y);
            plot_table_line(p, t, names[k], across, panels[i][2 + k]);
        }
    }
}

/* Is there no log before this one that has its name? */
static inline int plot_is_first(const char *const *names, int k) {
    for (int i = 0; i < k; i++)
        if (!strcmp(names[i], names[k])) return 0;
    return 1;
}

/* Several logs: a colour for each name. */
static inline void plot_many_logs(plot *p, const plot_table *tables, const char *const *names,
                                  int count, const char *across, double most_error) {
    static const char *const panels[4][3] = {{"Test error", "error (%)", "test_error"},
                                             {"Training error", "error (%)", "train_error"},
                                             {"Test loss", "loss (nats)", "test_loss"},
                                             {"Training loss", "loss (nats)", "train_loss"}};
    const plot_axis x = {across, 0, 0, 0};
    for (int i = 0; i < 4; i++) {
        const plot_axis y =
            plot_log_axis(panels[i][1], tables, count, panels[i] + 2, 1, most_error);
        if (!plot_has_column(tables, count, panels[i][2])) continue;
        plot_panel(p, panels[i][0], x, y);
        for (int k = 0; k < count; k++)
            if (plot_is_first(names, k))
                plot_same_name(p, tables + k, names + k, count - k, across, panels[i][2]);
    }
}

typedef struct plot_logs_job {
    const char *const *paths; /* [count] */
    const char *const *names; /* [count], for the legend; NULL will do for a single log. Logs of
                                 one name are drawn as their median and range */
    int count;
    const char *title;
    const char *across; /* the column of the horizontal axis; NULL: as plot_choose_x says */
    double most_error;  /* where the axes of errors end; 0: at the largest one */
} plot_logs_job;

/* Draws logs, which are CSV files with some of the columns epoch, iteration, train_loss,
   train_error, test_loss, test_error (errors in percent) and learning_rate: loss and error of
   training and test if it is one, each of these of all logs if there are more. */
static inline int plot_logs(const plot_logs_job *job, const char *picture,
                            char error[PLOT_SENTENCE]) {
    const int count = job->count;
    plot_table *tables = (plot_table *)calloc((size_t)count + 1, sizeof *tables);
    int read = 0, rows = 0;
    plot *p = plot_begin(job->title, 2);
    snprintf(error, PLOT_SENTENCE, "no memory for %s", picture);
    while (tables && read < count && plot_read_table(&tables[read], job->paths[read], error))
        rows += tables[read++].rows;
    if (read == count && tables && p) {
        const char *across = job->across ? job->across : plot_choose_x(tables, count);
        *error = 0;
        if (job->across && rows && !plot_has_column(tables, count, across))
            snprintf(error, PLOT_SENTENCE, "%s has no column %s; its first line names those it has",
                     job->paths[0], across);
        else if (count == 1)
            plot_one_log(p, tables, across, job->most_error);
        else
            plot_many_logs(p, tables, job->names, count, across, job->most_error);
        if (!p->panels && !*error)
            snprintf(error, PLOT_SENTENCE,
                     rows ? "%s has no column of a log of training" : "%s has no row of values yet",
                     count ? job->paths[0] : "no file");
    }
    for (int i = 0; i < read; i++) plot_free_table(&tables[i]);
    free(tables);
    if (*error)
        plot_free(p);
    else if (plot_save(p, picture))
        snprintf(error, PLOT_SENTENCE, "cannot write %s: %s", picture, strerror(errno));
    return !*error;
}

#endif /* PLOT_LOG_H */
