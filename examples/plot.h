/* plot.h - figures as SVG files, in C with nothing but libc and libm: lines, points, bars, bands,
   heat maps, contours and pictures in panels with linear or logarithmic axes.

       plot *p = plot_begin("ResNet-20 on CIFAR-10", 2);           two panels a row
       plot_axis epoch = {"epoch", 0, 0, 0}, loss = {"loss (nats)", 1, 0, 0};
       plot_panel(p, "Training", epoch, loss);
       plot_line(p, "identity", x, y, count);
       plot_guide(p, 0.5, "the paper's");
       if (plot_save(p, "loss.svg")) perror("loss.svg");

   A figure keeps copies of all that it is given. Calls never fail: what went wrong, if anything,
   plot_save tells. Series of one name have one colour, dash and marker in all panels, and one entry
   in the legend; the name NULL is drawn in grey and has none. Values that are NaN or infinite, or
   not above 0 on a logarithmic axis, are left out: a line breaks there.

   The files have no background and can be read on white and on dark ground, by colour-blind eyes
   and, inside a page of HTML, on a telephone, where the panels stand below each other. They have no
   ids, and all have the same style rules, so that one page can hold many. The same data give the
   same bytes. */
#ifndef PLOT_H
#define PLOT_H

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct plot plot;

/* label: the quantity and its unit. log: the axis is logarithmic. least == most: both ends are
   chosen by the data; least > most: the axis runs backwards. */
typedef struct plot_axis {
    const char *label;
    int log;
    double least, most;
} plot_axis;

/* A new figure with so many panels a row. plot_save frees it. */
static inline plot *plot_begin(const char *title, int columns);

/* The next panel; what follows is drawn there. */
static inline void plot_panel(plot *p, const char *title, plot_axis x, plot_axis y);

static inline void plot_line(plot *p, const char *name, const double *x, const double *y,
                             int count);
static inline void plot_points(plot *p, const char *name, const double *x, const double *y,
                               int count);

/* A histogram: bar i has the height counts[i] and reaches from edges[i] to edges[i + 1], of which
   there are bins + 1. */
static inline void plot_bars(plot *p, const char *name, const double *edges, const double *counts,
                             int bins);

/* The area from low to high, as for the spread around a line of the same name. */
static inline void plot_band(plot *p, const char *name, const double *x, const double *low,
                             const double *high, int count);

/* A horizontal dashed line with words at its end, such as a published figure. */
static inline void plot_guide(plot *p, double y, const char *label);

/* Writes the file under a temporary name, renames it to path, and frees the figure, also where it
   fails. Returns 0, or -1 with errno. */
static inline int plot_save(plot *p, const char *path);

/* ---- what a figure is made of ---------------------------------------------------------------- */

typedef struct plot_kind plot_kind;
typedef struct plot_mark plot_mark;
typedef struct plot_frame plot_frame;

/* What one call draws into a panel. */
struct plot_mark {
    const plot_kind *kind;
    int series;        /* index of its name, -1: none */
    int count;         /* points, bars */
    double *x, *y, *z; /* [count]; bars: x[count + 1]; band: low is y, high is z */
    char *label;
    plot_mark *next;
};

/* A panel. */
struct plot_frame {
    char *title;
    plot_axis x, y; /* with labels of their own */
    plot_mark *first, *last;
    plot_frame *next;
};

struct plot {
    char *title;
    int columns;
    int panels;
    plot_frame *first, *last;
    char **names; /* [series] */
    int *kinds;   /* [series], bits of the kinds of mark that a series has: plot_swatch */
    int series;
    int error; /* errno of the first call that failed */
};

/* What a legend shows of a series. */
enum plot_swatch { PLOT_LINE = 1, PLOT_POINTS = 2, PLOT_BARS = 4, PLOT_BAND = 8 };

static inline void *plot_memory(plot *p, size_t count, size_t size) {
    void *memory = p->error || count > (size_t)-1 / size / 2 ? NULL : calloc(count + 1, size);
    if (!memory && !p->error) p->error = ENOMEM;
    return memory;
}

static inline char *plot_copy_text(plot *p, const char *text) {
    char *copy = text ? (char *)plot_memory(p, strlen(text) + 1, 1) : NULL;
    if (copy) strcpy(copy, text);
    return copy;
}

static inline double *plot_copy(plot *p, const double *values, int count) {
    double *copy = values ? (double *)plot_memory(p, (size_t)count, sizeof *values) : NULL;
    if (copy) memcpy(copy, values, (size_t)count * sizeof *values);
    return copy;
}

static inline plot *plot_begin(const char *title, int columns) {
    plot *p = (plot *)calloc(1, sizeof *p);
    if (!p) return NULL;
    p->title = plot_copy_text(p, title);
    p->columns = columns < 1 ? 1 : columns;
    return p;
}

static inline void plot_panel(plot *p, const char *title, plot_axis x, plot_axis y) {
    plot_frame *f = p ? (plot_frame *)plot_memory(p, 1, sizeof *f) : NULL;
    if (!f) return;
    f->title = plot_copy_text(p, title);
    f->x = x, f->y = y;
    f->x.label = plot_copy_text(p, x.label);
    f->y.label = plot_copy_text(p, y.label);
    if (p->last)
        p->last->next = f;
    else
        p->first = f;
    p->last = f;
    p->panels++;
}

/* Index of a series by its name, which may be new; -1 of none. */
static inline int plot_find_series(plot *p, const char *name) {
    char **names;
    int *kinds;
    if (!name || !*name || p->error) return -1;
    for (int i = 0; i < p->series; i++)
        if (!strcmp(p->names[i], name)) return i;
    names = (char **)plot_memory(p, (size_t)p->series + 1, sizeof *names);
    kinds = (int *)plot_memory(p, (size_t)p->series + 1, sizeof *kinds);
    if (names && kinds) {
        for (int i = 0; i < p->series; i++) names[i] = p->names[i], kinds[i] = p->kinds[i];
        names[p->series] = plot_copy_text(p, name);
    }
    if (p->error) {
        free(names), free(kinds);
        return -1;
    }
    free(p->names), free(p->kinds);
    p->names = names, p->kinds = kinds;
    return p->series++;
}

/* ---- text that grows ------------------------------------------------------------------------- */

typedef struct plot_buffer {
    char *text; /* with a zero at its end; NULL: empty */
    size_t length, room;
    int failed; /* no memory */
} plot_buffer;

static inline void plot_put(plot_buffer *out, const char *text, size_t length) {
    if (out->failed) return;
    if (length >= out->room - out->length) {
        const size_t room = 2 * (out->length + length) + 4096;
        char *grown = (char *)realloc(out->text, room);
        if (!grown) {
            out->failed = 1;
            return;
        }
        out->text = grown, out->room = room;
    }
    memcpy(out->text + out->length, text, length);
    out->length += length;
    out->text[out->length] = 0;
}

static inline void plot_puts(plot_buffer *out, const char *text) {
    plot_put(out, text, strlen(text));
}

/* A coordinate with one decimal, whatever the locale. */
static inline void plot_put_coordinate(plot_buffer *out, double value) {
    char digits[32];
    const long tenths = (long)floor(fabs(value) * 10 + 0.5);
    int length =
        snprintf(digits, sizeof digits, "%s%ld", value < 0 && tenths ? "-" : "", tenths / 10);
    if (tenths % 10) {
        digits[length++] = '.';
        digits[length++] = (char)('0' + tenths % 10);
    }
    plot_put(out, digits, (size_t)length);
}

/* A number with so many significant digits, as printf's %g writes it in C's own locale. */
static inline void plot_format_number(char text[40], double value, int digits) {
    char raw[64];
    int to = 0;
    snprintf(raw, sizeof raw, "%.*g", digits, fabs(value) > 0 ? value : 0.0);
    for (const char *from = raw; *from && to < 38; from++)
        if (strchr("0123456789+-einfa", *from))
            text[to++] = *from;
        else if (!to || text[to - 1] != '.') /* a decimal point may take several bytes */
            text[to++] = '.';
    text[to] = 0;
}

/* Length of the UTF-8 character that begins here, 0 if none that XML allows does. */
static inline int plot_character(const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    const int length = s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    if (s[0] > 0xF4 || (length == 1 && (s[0] < 0x20 || s[0] == 0x7F))) return 0;
    for (int i = 1; i < length; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) || /* longer than need be */
        (s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F) || /* or no character */
        (s[0] == 0xEF && s[1] == 0xBF && s[2] > 0xBD))
        return 0;
    return length;
}

/* Words, safe in XML's text and attributes; at most so many bytes of them, -1: all. */
static inline void plot_put_words(plot_buffer *out, const char *words, int most) {
    const char *const begin = words;
    while (*words && (most < 0 || words < begin + most)) {
        const int length = plot_character(words);
        if (*words == '&')
            plot_puts(out, "&amp;");
        else if (*words == '<')
            plot_puts(out, "&lt;");
        else if (*words == '>')
            plot_puts(out, "&gt;");
        else if (*words == '"')
            plot_puts(out, "&quot;");
        else if (length)
            plot_put(out, words, (size_t)length);
        else
            plot_puts(out, strchr("\t\n\r", *words) ? " " : "\xEF\xBF\xBD");
        words += length ? length : 1;
    }
}

/* Text with the values of %s (a safe text), %w (words), %c (a coordinate), %g (a number of five
   digits) and %d (int) in it. */
static inline void plot_format(plot_buffer *out, const char *format, ...) {
    va_list values;
    char number[40];
    va_start(values, format);
    for (; *format; format++) {
        const size_t plain = strcspn(format, "%");
        plot_put(out, format, plain);
        format += plain;
        if (!*format) break;
        switch (*++format) {
        case 's': plot_puts(out, va_arg(values, const char *)); break;
        case 'w': plot_put_words(out, va_arg(values, const char *), -1); break;
        case 'c': plot_put_coordinate(out, va_arg(values, double)); break;
        case 'g':
            plot_format_number(number, va_arg(values, double), 5);
            plot_puts(out, number);
            break;
        default: snprintf(number, sizeof number, "%d", va_arg(values, int)); plot_puts(out, number);
        }
    }
    va_end(values);
}

/* About how wide a text is, on the safe side; the fonts of readers differ. */
static inline double plot_width(const char *words, int bytes, double size) {
    double width = 0;
    for (int i = 0; words[i] && (bytes < 0 || i < bytes); i++) {
        if ((words[i] & 0xC0) == 0x80) continue;
        width += strchr("iljtfrI.,:;'|!()[] -", words[i]) ? 0.38
                 : strchr("mwMW@%", words[i])             ? 0.9
                 : words[i] >= 'A' && words[i] <= 'Z'     ? 0.7
                                                          : 0.58;
    }
    return width * size;
}

/* ---- axes ------------------------------------------------------------------------------------ */

/* Data to coordinates. */
typedef struct plot_scale {
    int log, whole;     /* whole: all values are whole numbers, so ticks should be */
    double least, most; /* of the data, on a logarithmic axis of their decimal logarithms */
    double from, to;    /* coordinates of these */
} plot_scale;

static inline int plot_is_finite(double x) { return fabs(x) <= DBL_MAX; }

/* On the axis, or NaN. */
static inline double plot_on_axis(int is_log, double value) {
    if (!plot_is_finite(value)) return NAN;
    if (!is_log) return value;
    return value > 0 ? log10(value) : NAN;
}

/* The coordinate of a value, or NaN. */
static inline double plot_place(const plot_scale *s, double value) {
    const double at = (plot_on_axis(s->log, value) - s->least) / (s->most - s->least);
    return s->from + at * (s->to - s->from);
}

typedef struct plot_tick {
    double value;
    int major; /* has a label */
} plot_tick;
enum { PLOT_TICKS = 160 };

/* 1, 2 or 5 times a power of ten that divides the span into at most so many parts. */
static inline double plot_step(double span, int parts) {
    const double rough = span / parts, power = pow(10, floor(log10(rough)));
    const double steps[] = {1, 2, 5, 10};
    int i = 0;
    while (i < 3 && steps[i] * power < rough * 0.9999) i++;
    return steps[i] * power;
}

static inline int plot_linear_ticks(double least, double most, int parts, int whole,
                                    plot_tick ticks[PLOT_TICKS]) {
    const double step = fmax(plot_step(most - least, parts), whole ? 1 : 0);
    const double last = floor(most / step + 1e-6);
    int count = 0;
    for (double i = ceil(least / step - 1e-6); i <= last && count < PLOT_TICKS; i++) {
        ticks[count].value = i * step;
        ticks[count++].major = 1;
    }
    return count;
}

/* Decades with labels, as many as there is room for, and what lies between; where that is less than
   two decades, twos and fives have labels too. */
static inline int plot_log_ticks(double least, double most, int parts,
                                 plot_tick ticks[PLOT_TICKS]) {
    const double first = floor(least), last = floor(most + 1e-9);
    const double every = fmax(1, ceil((most - least) / parts));
    const int decades = (int)(floor(most + 1e-9) - ceil(least - 1e-9)) + 1;
    int count = 0;
    if (most - least < 0.5) { /* hardly logarithmic */
        count = plot_linear_ticks(pow(10, least), pow(10, most), parts, 0, ticks);
        return count;
    }
    for (double e = first; e <= last; e++)
        for (int i = 1; i <= (most - least > 12 ? 1 : 9) && count < PLOT_TICKS; i++) {
            const double at = e + log10(i);
            if (at < least - 1e-9 || at > most + 1e-9) continue;
            ticks[count].value = i * pow(10, e);
            ticks[count++].major =
                i == 1 ? fabs(fmod(e, every)) < 0.5 : decades < 2 && (i == 2 || i == 5);
        }
    return count;
}

/* What stands at the ticks of an axis from least to most, about so many of them with labels. */
static inline int plot_ticks(const plot_scale *s, int parts, plot_tick ticks[PLOT_TICKS]) {
    const double least = fmin(s->least, s->most), most = fmax(s->least, s->most);
    return s->log ? plot_log_ticks(least, most, parts, ticks)
                  : plot_linear_ticks(least, most, parts, s->whole, ticks);
}

/* A tick's label: 30000 as 30k, 0.00001 as 10 with a raised -5. */
static inline void plot_tick_label(char text[40], double value) {
    static const char *const raised[] = {
        "\xE2\x81\xB0", "\xC2\xB9",     "\xC2\xB2",     "\xC2\xB3",     "\xE2\x81\xB4",
        "\xE2\x81\xB5", "\xE2\x81\xB6", "\xE2\x81\xB7", "\xE2\x81\xB8", "\xE2\x81\xB9"};
    const double size = fabs(value);
    if (size >= 1e4 && size < 1e9) {
        plot_format_number(text, value / (size >= 1e6 ? 1e6 : 1e3), 6);
        strcat(text, size >= 1e6 ? "M" : "k");
    } else if (size > 0 && (size < 0.9999e-3 || size >= 1e9)) {
        const int power = (int)floor(log10(size) + 1e-9);
        char digits[8];
        plot_format_number(text, value / pow(10, power), 4);
        strcpy(text, strcmp(text, "1") == 0 ? "" : strcmp(text, "-1") == 0 ? "-" : text);
        if (*text && strcmp(text, "-") != 0) strcat(text, "\xC2\xB7");
        strcat(text, power < 0 ? "10\xE2\x81\xBB" : "10");
        snprintf(digits, sizeof digits, "%d", abs(power) % 1000);
        for (const char *d = digits; *d; d++) strcat(text, raised[*d - '0']);
    } else
        plot_format_number(text, value, 6);
}

/* The values of an axis. */
typedef struct plot_extent {
    int log;
    double least, most; /* of the values on the axis */
    int whole, count;
    double *values; /* those of lines, [kept]; NULL: not wanted */
    int kept;
} plot_extent;

static inline void plot_reach(plot_extent *e, double value) {
    const double at = plot_on_axis(e->log, value);
    if (!plot_is_finite(at)) return;
    e->least = e->count ? fmin(e->least, at) : at;
    e->most = e->count ? fmax(e->most, at) : at;
    e->whole = (e->whole || !e->count) && !(fabs(value - floor(value)) > 0);
    e->count++;
}

static inline void plot_reach_all(plot_extent *e, const double *values, int count) {
    for (int i = 0; i < count; i++) plot_reach(e, values[i]);
}

static inline int plot_ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* ---- drawing --------------------------------------------------------------------------------- */

enum { PLOT_STYLES = 8 };
/* After Okabe and Ito, as dark or bright as three times the luminance of white and black grounds
   asks for; dashes and markers tell apart what colours do not. */
static const char *const plot_colours[PLOT_STYLES] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                      "#a67c00", "#3a96d0", "#8e5fc7", "#808080"};
static const char *const plot_dashes[PLOT_STYLES] = {"",     "7 3",         "2 3", "9 3 2 3",
                                                     "13 4", "5 2 1 2 1 2", "4 4", "1 2"};
static const char *const plot_markers[PLOT_STYLES] = {
    "m-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0z",
    "m-2.8-2.8h5.6v5.6h-5.6z",
    "m0-3.8l3.6 6.4h-7.2z",
    "m0-4l4 4l-4 4l-4-4z",
    "m0 3.8l3.6-6.4h-7.2z",
    "m-1-4h2v3h3v2h-3v3h-2v-3h-3v-2h3z",
    "m-3-3l6 6m0-6l-6 6",
    "m-4-1h8v2h-8z"};

static inline const char *plot_colour(int series) {
    return series < 0 ? "currentColor" : plot_colours[series % PLOT_STYLES];
}
/* The ninth series has the first one's colour, but not its dash and marker. */
static inline int plot_style(int series) {
    return series < 0 ? 0 : (series + series / PLOT_STYLES) % PLOT_STYLES;
}

/* Where marks of a panel are drawn. */
typedef struct plot_canvas {
    plot_buffer *out;
    plot_scale x, y;
    double left, top, right, bottom;
} plot_canvas;

struct plot_kind {
    const char *name;
    int swatch;
    void (*reach)(const plot_mark *m, plot_extent *x, plot_extent *y);
    void (*draw)(const plot_canvas *c, const plot_mark *m);
};

static inline void plot_dash(plot_buffer *out, int series) {
    const char *dash = plot_dashes[plot_style(series)];
    if (*dash) plot_format(out, " stroke-dasharray=\"%s\"", dash);
}

/* A pen that draws inside the canvas only. */
typedef struct plot_pen {
    const plot_canvas *c;
    int down;    /* x, y is the end of what was drawn */
    int started; /* there is a point */
    double x, y;
} plot_pen;

/* The part of a line inside the canvas, by Liang and Barsky; 0 if there is none. */
static inline int plot_clip(const plot_canvas *c, double from[2], double to[2]) {
    const double dx = to[0] - from[0], dy = to[1] - from[1], x = from[0], y = from[1];
    const double p[4] = {-dx, dx, -dy, dy};
    const double q[4] = {x - c->left, c->right - x, y - c->top, c->bottom - y};
    double first = 0, last = 1;
    for (int i = 0; i < 4; i++) {
        if (!(fabs(p[i]) > 0) && q[i] < 0) return 0;
        if (p[i] < 0) first = fmax(first, q[i] / p[i]);
        if (p[i] > 0) last = fmin(last, q[i] / p[i]);
    }
    if (!(first <= last)) return 0;
    to[0] = x + last * dx, to[1] = y + last * dy;
    from[0] = x + first * dx, from[1] = y + first * dy;
    return 1;
}

static inline void plot_pen_to(plot_pen *pen, double x, double y) {
    double from[2], to[2];
    from[0] = pen->started ? pen->x : x, from[1] = pen->started ? pen->y : y;
    to[0] = x, to[1] = y;
    if (!plot_clip(pen->c, from, to))
        pen->down = 0;
    else {
        if (!pen->down) plot_format(pen->c->out, "M%c %c", from[0], from[1]);
        plot_format(pen->c->out, pen->started ? "L%c %c" : "h0", to[0], to[1]);
        pen->down = !(fabs(to[0] - x) > 0) && !(fabs(to[1] - y) > 0);
    }
    pen->started = 1;
    pen->x = x, pen->y = y;
}

/* Points that follow each other in one column of the width 1, of which a line shows no more than
   the first, the lowest, the highest and the last. */
typedef struct plot_run {
    int count, low, high; /* indices of the lowest and the highest */
    double column, x[4], y[4];
} plot_run;

static inline void plot_end_run(plot_run *run, plot_pen *pen) {
    const int swapped = run->high < run->low;
    if (run->count) plot_pen_to(pen, run->x[0], run->y[0]);
    if (run->count > 2)
        for (int i = 0; i < 2; i++) {
            const int k = 1 + (i ^ swapped), at = k == 1 ? run->low : run->high;
            if (at > 0 && at < run->count - 1) plot_pen_to(pen, run->x[k], run->y[k]);
        }
    if (run->count > 1) plot_pen_to(pen, run->x[3], run->y[3]);
    run->count = 0;
}

static inline void plot_run_to(plot_run *run, plot_pen *pen, double x, double y) {
    if (run->count && floor(x) != run->column) plot_end_run(run, pen);
    run->column = floor(x);
    for (int k = run->count ? 3 : 0; k < 4; k++) run->x[k] = x, run->y[k] = y;
    if (!run->count) run->low = run->high = 0;
    if (y > run->y[1]) run->low = run->count, run->x[1] = x, run->y[1] = y;
    if (y < run->y[2]) run->high = run->count, run->x[2] = x, run->y[2] = y;
    run->count++;
}

static inline int plot_is_inside(const plot_canvas *c, double x, double y) {
    return x >= c->left && x <= c->right && y >= c->top && y <= c->bottom;
}

/* Markers at points of a mark that are at least so far from each other. */
static inline void plot_draw_markers(const plot_canvas *c, const plot_mark *m, double apart) {
    double next = c->left - 1;
    int drawn = 0;
    if (apart > 0) next += 12 + 13 * plot_style(m->series);
    for (int i = 0; i < m->count; i++) {
        const double x = plot_place(&c->x, m->x[i]), y = plot_place(&c->y, m->y[i]);
        if (!plot_is_inside(c, x, y) || (apart > 0 && x < next)) continue;
        if (!drawn++)
            plot_format(c->out, "<path fill=\"%s\" stroke=\"%s\" d=\"", plot_colour(m->series),
                        plot_colour(m->series));
        plot_format(c->out, "M%c %c%s", x, y, plot_markers[plot_style(m->series)]);
        next = x + apart;
    }
    if (drawn) plot_puts(c->out, "\"/>\n");
}

static inline void plot_draw_line(const plot_canvas *c, const plot_mark *m) {
    plot_pen pen = {c, 0, 0, 0, 0};
    plot_run run;
    const size_t before = c->out->length;
    size_t empty;
    memset(&run, 0, sizeof run);
    plot_format(c->out, "<path class=\"plot-line\" stroke=\"%s\"", plot_colour(m->series));
    plot_dash(c->out, m->series);
    plot_puts(c->out, " d=\"");
    empty = c->out->length;
    for (int i = 0; i < m->count; i++) {
        const double x = plot_place(&c->x, m->x[i]), y = plot_place(&c->y, m->y[i]);
        if (plot_is_finite(x) && plot_is_finite(y)) {
            plot_run_to(&run, &pen, x, y);
        } else {
            plot_end_run(&run, &pen);
            pen.started = pen.down = 0;
        }
    }
    plot_end_run(&run, &pen);
    plot_puts(c->out, "\"/>\n");
    if (c->out->length == empty + 4) c->out->length = before; /* nothing of it is here */
    if (m->series >= 0) plot_draw_markers(c, m, m->count <= 16 ? 0 : 70);
}

/* Many points are dots, no two of them on one place. */
static inline void plot_draw_points(const plot_canvas *c, const plot_mark *m) {
    const int columns = (int)(c->right - c->left) + 2, rows = (int)(c->bottom - c->top) + 2;
    unsigned char *taken;
    if (m->count <= 400) {
        plot_draw_markers(c, m, 0);
        return;
    }
    taken = (unsigned char *)calloc((size_t)columns * (size_t)rows, 1);
    if (!taken) c->out->failed = 1;
    if (!taken) return;
    plot_format(c->out, "<path class=\"plot-dots\" stroke=\"%s\" d=\"", plot_colour(m->series));
    for (int i = 0; i < m->count; i++) {
        const double x = plot_place(&c->x, m->x[i]), y = plot_place(&c->y, m->y[i]);
        unsigned char *here;
        if (!plot_is_inside(c, x, y)) continue;
        here = &taken[(int)(y - c->top) * columns + (int)(x - c->left)];
        if (!*here) plot_format(c->out, "M%c %ch0", x, y);
        *here = 1;
    }
    plot_puts(c->out, "\"/>\n");
    free(taken);
}

static inline double plot_within(double value, double least, double most) {
    return fmin(fmax(value, least), most);
}

static inline void plot_draw_bars(const plot_canvas *c, const plot_mark *m) {
    const double floor_y = plot_is_finite(plot_place(&c->y, 0)) ? plot_place(&c->y, 0) : c->bottom;
    const double base = plot_within(floor_y, c->top, c->bottom);
    plot_format(c->out, "<path class=\"plot-bars\" fill=\"%s\" stroke=\"%s\"",
                plot_colour(m->series), plot_colour(m->series));
    plot_dash(c->out, m->series);
    plot_puts(c->out, " d=\"");
    for (int i = 0; i < m->count; i++) {
        const double y = plot_place(&c->y, m->y[i]);
        const double a = plot_place(&c->x, m->x[i]), b = plot_place(&c->x, m->x[i + 1]);
        const double x = plot_within(a, c->left, c->right);
        if (!plot_is_finite(y) || !plot_is_finite(a) || !plot_is_finite(b)) continue;
        if (fmax(a, b) < c->left || fmin(a, b) > c->right) continue;
        plot_format(c->out, "M%c %cV%cH%cV%c", x, base, plot_within(y, c->top, c->bottom),
                    plot_within(b, c->left, c->right), base);
    }
    plot_puts(c->out, "\"/>\n");
}

/* One stretch of a band without gaps: there along the low side, and back along the high one. */
static inline void plot_draw_stretch(const plot_canvas *c, const plot_mark *m, int first, int end) {
    double column = -1e9;
    for (int side = 0; side < 2; side++)
        for (int k = first; k < end; k++) {
            const int i = side ? first + end - 1 - k : k;
            const double x = plot_place(&c->x, m->x[i]);
            const double y = plot_place(&c->y, side ? m->z[i] : m->y[i]);
            if (k > first && k < end - 1 && fabs(x - column) < 1) continue;
            column = x;
            plot_format(c->out, k == first && !side ? "M%c %c" : "L%c %c",
                        plot_within(x, c->left, c->right), plot_within(y, c->top, c->bottom));
        }
    plot_puts(c->out, "z");
}

static inline void plot_draw_band(const plot_canvas *c, const plot_mark *m) {
    int first = 0;
    plot_format(c->out, "<path class=\"plot-band\" fill=\"%s\" d=\"", plot_colour(m->series));
    for (int i = 0; i <= m->count; i++) {
        if (i < m->count && plot_is_finite(plot_place(&c->x, m->x[i])) &&
            plot_is_finite(plot_place(&c->y, m->y[i])) &&
            plot_is_finite(plot_place(&c->y, m->z[i])))
            continue;
        if (i > first) plot_draw_stretch(c, m, first, i);
        first = i + 1;
    }
    plot_puts(c->out, "\"/>\n");
}

static inline void plot_draw_guide(const plot_canvas *c, const plot_mark *m) {
    const double y = plot_place(&c->y, m->y[0]);
    if (!plot_is_inside(c, c->left, y)) return;
    plot_format(c->out, "<path class=\"plot-guide\" d=\"M%c %cH%c\"/>\n", c->left, y, c->right);
    if (m->label)
        plot_format(c->out,
                    "<text class=\"plot-small\" x=\"%c\" y=\"%c\" text-anchor=\"end\">%w"
                    "</text>\n",
                    c->right - 4, y - 4 < c->top + 10 ? y + 13 : y - 4, m->label);
}

static inline void plot_reach_points(const plot_mark *m, plot_extent *x, plot_extent *y) {
    for (int i = 0; i < m->count; i++) {
        const double at_x = plot_on_axis(x->log, m->x[i]), at_y = plot_on_axis(y->log, m->y[i]);
        if (!plot_is_finite(at_x) || !plot_is_finite(at_y)) continue;
        plot_reach(x, m->x[i]);
        plot_reach(y, m->y[i]);
        if (y->values) y->values[y->kept++] = at_y;
    }
}

static inline void plot_reach_bars(const plot_mark *m, plot_extent *x, plot_extent *y) {
    plot_reach_all(x, m->x, m->count + 1);
    plot_reach_all(y, m->y, m->count);
    plot_reach(y, 0);
}

static inline void plot_reach_band(const plot_mark *m, plot_extent *x, plot_extent *y) {
    plot_reach_all(x, m->x, m->count);
    plot_reach_all(y, m->y, m->count);
    plot_reach_all(y, m->z, m->count);
}

static inline void plot_reach_guide(const plot_mark *m, plot_extent *x, plot_extent *y) {
    (void)x;
    plot_reach(y, m->y[0]);
}

static const plot_kind plot_kinds[] = {
    {"line", PLOT_LINE, plot_reach_points, plot_draw_line},
    {"points", PLOT_POINTS, plot_reach_points, plot_draw_points},
    {"bars", PLOT_BARS, plot_reach_bars, plot_draw_bars},
    {"band", PLOT_BAND, plot_reach_band, plot_draw_band},
    {"guide", 0, plot_reach_guide, plot_draw_guide},
};

/* A new mark in the last panel; NULL if that fails. */
static inline plot_mark *plot_add(plot *p, int kind, const char *name, int count) {
    static const plot_axis none = {NULL, 0, 0, 0};
    plot_mark *m;
    if (!p) return NULL;
    if (!p->last) plot_panel(p, NULL, none, none);
    m = (plot_mark *)plot_memory(p, 1, sizeof *m);
    if (!m) return NULL;
    m->kind = &plot_kinds[kind];
    m->series = plot_find_series(p, name);
    m->count = count < 0 ? 0 : count;
    if (m->series >= 0) p->kinds[m->series] |= m->kind->swatch;
    if (p->last->last)
        p->last->last->next = m;
    else
        p->last->first = m;
    p->last->last = m;
    return m;
}

static inline void plot_line(plot *p, const char *name, const double *x, const double *y,
                             int count) {
    plot_mark *m = plot_add(p, 0, name, count);
    if (!m) return;
    m->x = plot_copy(p, x, m->count);
    m->y = plot_copy(p, y, m->count);
}

static inline void plot_points(plot *p, const char *name, const double *x, const double *y,
                               int count) {
    plot_mark *m = plot_add(p, 1, name, count);
    if (!m) return;
    m->x = plot_copy(p, x, m->count);
    m->y = plot_copy(p, y, m->count);
}

static inline void plot_bars(plot *p, const char *name, const double *edges, const double *counts,
                             int bins) {
    plot_mark *m = plot_add(p, 2, name, bins);
    if (!m) return;
    m->x = plot_copy(p, edges, m->count + 1);
    m->y = plot_copy(p, counts, m->count);
}

static inline void plot_band(plot *p, const char *name, const double *x, const double *low,
                             const double *high, int count) {
    plot_mark *m = plot_add(p, 3, name, count);
    if (!m) return;
    m->x = plot_copy(p, x, m->count);
    m->y = plot_copy(p, low, m->count);
    m->z = plot_copy(p, high, m->count);
}

static inline void plot_guide(plot *p, double y, const char *label) {
    plot_mark *m = plot_add(p, 4, NULL, 1);
    if (!m) return;
    m->y = plot_copy(p, &y, 1);
    m->label = plot_copy_text(p, label);
}

/* ---- a panel --------------------------------------------------------------------------------- */

enum {
    PLOT_WIDE = 600,   /* of the only panel of a row */
    PLOT_NARROW = 360, /* of one of several */
    PLOT_HIGH = 300,
    PLOT_GAP = 16,
    PLOT_FONT = 13, /* of ticks; the smallest is 12 */
    PLOT_TOP = 30,  /* for the title of a panel */
    PLOT_BOTTOM = 46
};

/* Where values of a diverging run would make all others flat, the axis ends at twice what 95 % of
   them keep below. */
static inline double plot_usual_most(plot_extent *e) {
    double usual;
    if (!e->kept || e->log) return e->most;
    qsort(e->values, (size_t)e->kept, sizeof *e->values, plot_ascending);
    usual = e->values[(int)(0.95 * (e->kept - 1))];
    return usual > 0 && e->most > 10 * usual ? 2 * usual : e->most;
}

/* The ends of an axis, those that it says or those of its values; with a margin for values. */
static inline plot_scale plot_fit(const plot_axis *a, plot_extent *e, int with_margin) {
    plot_scale s = {a->log, e->whole, e->least, e->most, 0, 0};
    double margin;
    const double least = plot_on_axis(a->log, a->least), most = plot_on_axis(a->log, a->most);
    if (plot_is_finite(least) && plot_is_finite(most) && fabs(most - least) > 0) {
        s.least = least, s.most = most;
        return s;
    }
    if (!e->count) {
        s.least = 0, s.most = 1;
        return s;
    }
    if (with_margin) s.most = plot_usual_most(e);
    if (with_margin && !a->log && s.least > 0 && s.least < 0.3 * s.most) s.least = 0;
    if (!(s.most - s.least > 1e-9 * fmax(fabs(s.most), fabs(s.least)))) {
        margin = a->log ? 0.5 : fabs(s.most) > 0 ? 0.5 * fabs(s.most) : 0.5;
        s.least -= margin, s.most += margin;
    } else if (with_margin) {
        margin = 0.05 * (s.most - s.least);
        if (a->log || fabs(s.least) > 0) s.least -= margin;
        s.most += margin;
    }
    return s;
}

/* The scales of a panel's axes; 0 if it has no value to show. */
static inline int plot_fit_axes(const plot_frame *f, plot_canvas *c) {
    plot_extent x = {f->x.log, 0, 0, 0, 0, NULL, 0}, y = {f->y.log, 0, 0, 0, 0, NULL, 0};
    size_t points = 1;
    for (const plot_mark *m = f->first; m; m = m->next) points += (size_t)m->count;
    y.values = (double *)malloc(points * sizeof(double));
    if (!y.values) c->out->failed = 1;
    if (!y.values) return 0;
    for (const plot_mark *m = f->first; m; m = m->next) m->kind->reach(m, &x, &y);
    c->x = plot_fit(&f->x, &x, 0);
    c->y = plot_fit(&f->y, &y, 1);
    free(y.values);
    return y.count;
}

/* Words in a room that they may be too long for: then they are smaller, or cut. */
static inline void plot_put_text(plot_buffer *out, const char *words, double room, double size) {
    const double width = plot_width(words, -1, size), least = 12;
    int bytes = (int)strlen(words);
    size = width > room ? fmax(least, size * room / width) : size;
    if (plot_width(words, bytes, size) > room + 1)
        while (bytes > 0 &&
               (plot_width(words, bytes, size) + size > room || (words[bytes] & 0xC0) == 0x80))
            bytes--;
    plot_format(out, " font-size=\"%c\">", size);
    plot_put_words(out, words, bytes);
    plot_puts(out, words[bytes] ? "\xE2\x80\xA6</text>\n" : "</text>\n");
}

static inline void plot_put_x_axis(const plot_canvas *c, const char *label) {
    plot_buffer *out = c->out;
    plot_tick ticks[PLOT_TICKS];
    const int count = plot_ticks(&c->x, (int)((c->right - c->left) / 50), ticks);
    char text[40];
    plot_format(out, "<path class=\"plot-axis\" d=\"M%c %cH%c", c->left, c->bottom, c->right);
    for (int i = 0; i < count; i++)
        plot_format(out, "M%c %cv%c", plot_place(&c->x, ticks[i].value), c->bottom,
                    ticks[i].major ? 5.0 : 3.0);
    plot_puts(out, "\"/>\n");
    for (int i = 0; i < count; i++) {
        if (!ticks[i].major) continue;
        plot_tick_label(text, ticks[i].value);
        plot_format(out, "<text x=\"%c\" y=\"%c\" text-anchor=\"middle\">%w</text>\n",
                    plot_place(&c->x, ticks[i].value), c->bottom + 18, text);
    }
    if (!label) return;
    plot_format(out, "<text x=\"%c\" y=\"%c\" text-anchor=\"middle\"", (c->left + c->right) / 2,
                c->bottom + 37);
    plot_put_text(out, label, c->right - c->left + 40, PLOT_FONT + 1);
}

/* Ticks and labels at the left, and lines across the panel. */
static inline void plot_put_y_axis(const plot_canvas *c, const char *label, const plot_tick *ticks,
                                   int count) {
    plot_buffer *out = c->out;
    char text[40];
    plot_puts(out, "<path class=\"plot-grid\" d=\"");
    for (int i = 0; i < count; i++)
        if (ticks[i].major)
            plot_format(out, "M%c %cH%c", c->left, plot_place(&c->y, ticks[i].value), c->right);
    plot_format(out, "\"/>\n<path class=\"plot-axis\" d=\"M%c %cV%c", c->left, c->top, c->bottom);
    for (int i = 0; i < count; i++)
        plot_format(out, "M%c %ch%c", c->left, plot_place(&c->y, ticks[i].value),
                    ticks[i].major ? -5.0 : -3.0);
    plot_puts(out, "\"/>\n");
    for (int i = 0; i < count; i++) {
        if (!ticks[i].major) continue;
        plot_tick_label(text, ticks[i].value);
        plot_format(out, "<text x=\"%c\" y=\"%c\" text-anchor=\"end\">%w</text>\n", c->left - 8,
                    plot_place(&c->y, ticks[i].value) + 4.5, text);
    }
    if (!label) return;
    plot_format(out, "<text transform=\"translate(14 %c) rotate(-90)\" text-anchor=\"middle\"",
                (c->top + c->bottom) / 2);
    plot_put_text(out, label, c->bottom - c->top + 30, PLOT_FONT + 1);
}

/* Room for the labels of the ticks at the left. */
static inline double plot_left_margin(const plot_frame *f, const plot_tick *ticks, int count) {
    double widest = 0;
    char text[40];
    for (int i = 0; i < count; i++) {
        if (!ticks[i].major) continue;
        plot_tick_label(text, ticks[i].value);
        widest = fmax(widest, plot_width(text, -1, PLOT_FONT));
    }
    return widest + 12 + (f->y.label ? 22 : 4);
}

static inline void plot_put_panel(plot_buffer *out, const plot_frame *f, double width) {
    plot_canvas c;
    plot_tick ticks[PLOT_TICKS];
    int count, filled;
    memset(&c, 0, sizeof c);
    c.out = out;
    filled = plot_fit_axes(f, &c);
    c.top = PLOT_TOP, c.bottom = PLOT_HIGH - PLOT_BOTTOM;
    c.y.from = c.bottom, c.y.to = c.top;
    count = plot_ticks(&c.y, 6, ticks);
    c.left = c.x.from = plot_left_margin(f, ticks, count);
    c.right = c.x.to = width - 14;
    if (f->title) {
        plot_format(out, "<text class=\"plot-name\" x=\"%c\" y=\"18\"", c.left);
        plot_put_text(out, f->title, c.right - c.left, PLOT_FONT + 2);
    }
    plot_put_y_axis(&c, f->y.label, ticks, count);
    plot_put_x_axis(&c, f->x.label);
    for (const plot_mark *m = f->first; m; m = m->next) m->kind->draw(&c, m);
    if (!filled)
        plot_format(out, "<text x=\"%c\" y=\"%c\" text-anchor=\"middle\">no values</text>\n",
                    (c.left + c.right) / 2, (c.top + c.bottom) / 2);
}

/* ---- the figure ------------------------------------------------------------------------------ */

/* The same in all files. A page's text colour counts inside it; alone, the file goes by what the
   reader prefers, in colours that can be read on the other ground as well. */
static const char plot_rules[] =
    "<style>.plot{max-width:100%;height:auto}html .plot{color:inherit}"
    ".plot:root{color:#57606a;color-scheme:light dark}"
    "@media (prefers-color-scheme:dark){.plot:root{color:#9aa4ae}}"
    ".plot text{fill:currentColor}.plot .plot-small{font-size:12px}"
    ".plot .plot-title{font-size:17px;font-weight:600}.plot .plot-name{font-weight:600}"
    ".plot .plot-axis,.plot .plot-grid,.plot .plot-guide,.plot .plot-line{fill:none}"
    ".plot .plot-bars{fill-opacity:.4}.plot .plot-band{fill-opacity:.22}"
    ".plot .plot-axis{stroke:currentColor}"
    ".plot .plot-grid{stroke:currentColor;stroke-opacity:.18}"
    ".plot .plot-guide{stroke:currentColor;stroke-width:1.2;stroke-dasharray:5 4}"
    ".plot .plot-line{stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}"
    ".plot .plot-dots{stroke-width:3;stroke-linecap:round;stroke-opacity:.7}"
    "@media (max-width:560px){html .plot{aspect-ratio:var(--plot-shape,auto)}"
    "html .plot-panel{transform:var(--plot-place)}html .plot-wide{display:none}"
    "html .plot-thin{display:inline}}</style>\n";

/* Words in lines of a room; returns how many lines. */
static inline int plot_put_lines(plot_buffer *out, const char *words, double size, double room) {
    int lines = 0;
    while (*words) {
        int length = (int)strcspn(words, " "), next;
        while (words[length] == ' ') {
            next = length + 1 + (int)strcspn(words + length + 1, " ");
            if (plot_width(words, next, size) > room) break;
            length = next;
        }
        plot_format(out, "<text class=\"plot-title\" x=\"4\" y=\"%c\">", 18 + 22.0 * lines++);
        plot_put_words(out, words, length);
        plot_puts(out, "</text>\n");
        words += length;
        words += strspn(words, " ");
    }
    return lines;
}

/* A series as the legend shows it, 28 wide. */
static inline void plot_put_swatch(plot_buffer *out, int series, int kinds, double x, double y) {
    const char *colour = plot_colour(series);
    if (kinds & PLOT_BAND)
        plot_format(out, "<path class=\"plot-band\" fill=\"%s\" d=\"M%c %ch28v10h-28z\"/>\n",
                    colour, x, y - 5);
    if (kinds & PLOT_BARS) {
        plot_format(out, "<path class=\"plot-bars\" fill=\"%s\" stroke=\"%s\"", colour, colour);
        plot_dash(out, series);
        plot_format(out, " d=\"M%c %ch28v10h-28z\"/>\n", x, y - 5);
    }
    if (kinds & PLOT_LINE) {
        plot_format(out, "<path class=\"plot-line\" stroke=\"%s\"", colour);
        plot_dash(out, series);
        plot_format(out, " d=\"M%c %ch28\"/>\n", x, y);
    }
    if (kinds & (PLOT_LINE | PLOT_POINTS))
        plot_format(out, "<path fill=\"%s\" stroke=\"%s\" d=\"M%c %c%s\"/>\n", colour, colour,
                    x + 14, y, plot_markers[plot_style(series)]);
}

/* Title and legend in a room; returns the height. */
static inline double plot_put_head(plot_buffer *out, const plot *p, double room) {
    double x = 4, y = p->title ? 22.0 * plot_put_lines(out, p->title, 17, room - 8) + 8 : 0;
    for (int i = 0; i < p->series; i++) {
        const double width = fmin(plot_width(p->names[i], -1, PLOT_FONT), room - 44);
        if (x > 4 && x + 36 + width > room) x = 4, y += 22;
        plot_put_swatch(out, i, p->kinds[i], x, y + 10);
        plot_format(out, "<text x=\"%c\" y=\"%c\"", x + 34, y + 14.5);
        plot_put_text(out, p->names[i], room - 38, PLOT_FONT);
        x += 34 + width + 18;
    }
    return p->series ? y + 28 : y;
}

/* What is shown, in words. */
static inline void plot_tell(plot_buffer *out, const plot *p) {
    int number = 0;
    plot_format(out, "%d panel%s.", p->panels, p->panels == 1 ? "" : "s");
    for (const plot_frame *f = p->first; f; f = f->next) {
        plot_format(out, " %d: %w; %w%s against %w%s.", ++number, f->title ? f->title : "untitled",
                    f->y.label ? f->y.label : "values", f->y.log ? " (logarithmic)" : "",
                    f->x.label ? f->x.label : "values", f->x.log ? " (logarithmic)" : "");
        for (const plot_mark *m = f->first; m; m = m->next) {
            plot_format(out, " %s", m->kind->name);
            if (m->series >= 0) plot_format(out, " %w", p->names[m->series]);
            if (m->label) plot_format(out, " %w", m->label);
            plot_puts(out, ".");
        }
    }
}

static inline void plot_put_panels(plot_buffer *out, const plot *p, double width, double heads[2],
                                   double scale) {
    const int columns = p->columns < p->panels ? p->columns : p->panels;
    int i = 0;
    for (const plot_frame *f = p->first; f; f = f->next, i++) {
        plot_format(out, "<g class=\"plot-panel\" transform=\"translate(%c %c)\"",
                    (i % columns) * (width + PLOT_GAP),
                    heads[0] + (i / columns) * (PLOT_HIGH + PLOT_GAP));
        if (columns > 1)
            plot_format(out, " style=\"--plot-place:translate(0,%cpx) scale(%g)\"",
                        (heads[1] + i * (PLOT_HIGH + PLOT_GAP)) * scale, scale);
        plot_puts(out, ">\n");
        plot_put_panel(out, f, width);
        plot_puts(out, "</g>\n");
    }
}

/* The figure as text, to be freed; NULL, and errno, if there is no memory. */
static inline char *plot_text(const plot *p) {
    const int panels = p->panels ? p->panels : 1;
    const int columns = p->columns < panels ? p->columns : panels,
              rows = (panels - 1) / columns + 1;
    const double width = columns > 1 ? PLOT_NARROW : PLOT_WIDE;
    const double whole = columns * (width + PLOT_GAP) - PLOT_GAP, scale = whole / width;
    plot_buffer out, wide, thin;
    double heads[2], heights[2];
    memset(&out, 0, sizeof out);
    wide = thin = out;
    heads[0] = plot_put_head(&wide, p, whole);
    heads[1] = plot_put_head(&thin, p, width);
    heights[0] = heads[0] + rows * (PLOT_HIGH + PLOT_GAP) - PLOT_GAP;
    heights[1] = heads[1] + panels * (PLOT_HIGH + PLOT_GAP) - PLOT_GAP;
    plot_format(
        &out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" role=\"img\" width=\"%c\" "
        "height=\"%c\" viewBox=\"0 0 %c %c\" preserveAspectRatio=\"xMinYMin\" "
        "color=\"#767676\" font-size=\"%d\" font-family=\"system-ui,'Segoe UI',Helvetica,"
        "Arial,'DejaVu Sans',sans-serif\"",
        whole, heights[0], whole, heights[0], PLOT_FONT);
    if (columns > 1) plot_format(&out, " style=\"--plot-shape:%c/%c\"", width, heights[1]);
    plot_format(&out, ">\n<title>%w</title>\n<desc>", p->title ? p->title : "Figure");
    plot_tell(&out, p);
    plot_format(&out, "</desc>\n%s<g class=\"plot-wide\">\n%s</g>\n", plot_rules,
                wide.text ? wide.text : "");
    if (columns > 1)
        plot_format(&out,
                    "<g class=\"plot-thin\" display=\"none\" transform=\"scale(%g)\">\n%s"
                    "</g>\n",
                    scale, thin.text ? thin.text : "");
    plot_put_panels(&out, p, width, heads, scale);
    plot_puts(&out, "</svg>\n");
    if (out.failed || wide.failed || thin.failed) {
        free(out.text);
        out.text = NULL;
        errno = ENOMEM;
    }
    free(wide.text), free(thin.text);
    return out.text;
}

static inline void plot_free(plot *p) {
    plot_frame *f, *next_frame;
    plot_mark *m, *next;
    if (!p) return;
    for (f = p->first; f; f = next_frame) {
        next_frame = f->next;
        for (m = f->first; m; m = next) {
            next = m->next;
            free(m->x), free(m->y), free(m->z), free(m->label), free(m);
        }
        free(f->title), free((char *)f->x.label), free((char *)f->y.label), free(f);
    }
    for (int i = 0; i < p->series; i++) free(p->names[i]);
    free(p->names), free(p->kinds), free(p->title), free(p);
}

/* Writes text to path by way of path.tmp; 0, or errno. */
static inline int plot_write(const char *path, const char *text) {
    char *temporary = (char *)malloc(strlen(path) + 5);
    FILE *file;
    int error = temporary ? 0 : ENOMEM;
    if (error) return error;
    strcpy(temporary, path);
    strcat(temporary, ".tmp");
    errno = 0;
    file = fopen(temporary, "wb");
    if (!file) error = errno ? errno : EIO;
    if (file && fputs(text, file) < 0) error = errno ? errno : EIO;
    if (file && fclose(file) && !error) error = errno ? errno : EIO;
#ifdef _WIN32
    if (!error) remove(path); /* rename does not replace files there */
#endif
    if (!error && rename(temporary, path)) error = errno ? errno : EIO;
    if (error && file) remove(temporary);
    free(temporary);
    return error;
}

static inline int plot_save(plot *p, const char *path) {
    int error = !p ? ENOMEM : p->error;
    char *text = error ? NULL : plot_text(p);
    if (!error) error = text ? plot_write(path, text) : ENOMEM;
    free(text);
    plot_free(p);
    if (error) errno = error;
    return error ? -1 : 0;
}

#endif /* PLOT_H */
