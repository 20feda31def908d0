/* plot.h - figures as SVG files, in C with nothing but libc and libm: lines, points, bands, heat
   maps, contours and pictures in panels with linear or logarithmic axes.

       plot *p = plot_begin("ResNet-20 on CIFAR-10", 2);           two panels a row
       plot_axis epoch = {"epoch", 0, 0, 0}, loss = {"loss (nats)", 1, 0, 0};
       plot_panel(p, "Training", epoch, loss);
       plot_line(p, "identity", x, y, count);
       plot_guide(p, 0.5, "the paper's");
       if (plot_save(p, "loss.svg")) perror("loss.svg");

   A figure keeps copies of all that it is given. Calls never fail: what went wrong, if anything,
   plot_save tells. Series of one name have one colour, dash and marker in all panels, and one entry
   in the legend; the name NULL is drawn in grey and has none but what plot_grey names. Values that
   are NaN or infinite, or not above 0 on a logarithmic axis, are left out: a line breaks there.

   The files have no background and can be read on white and on dark ground, by colour-blind eyes
   and, inside a page of HTML, on a telephone, where the panels stand below each other. They have no
   ids, and all have the same style rules, so that one page can hold many. The same data give the
   same bytes. */
#ifndef PLOT_H
#define PLOT_H

#include <errno.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__unix__) || defined(__APPLE__)
#include <sys/stat.h>
#ifndef __cplusplus
int lstat(const char *path, struct stat *there); /* -std=c99 hides it */
#endif
#endif

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

/* The last panel shows these names down its y axis, the first at the top, in place of the numbers 1
   to count that points there have as y; the panel takes a whole row of the figure. */
static inline void plot_names(plot *p, const char *const *names, int count);

/* What is drawn in grey, without a name of its own, is called so in the legend. */
static inline void plot_grey(plot *p, const char *name);

/* The area from low to high, as for the spread around a line of the same name. */
static inline void plot_band(plot *p, const char *name, const double *x, const double *low,
                             const double *high, int count);

/* A horizontal dashed line with words beside it, such as a published figure: near its right end, or
   where fewer points and lines are in their way. */
static inline void plot_guide(plot *p, double y, const char *label);

/* A map of values[rows][columns] in colours, with a bar that tells which is which: what quantity
   and unit, and whether on a logarithmic scale. The first column lies at the smaller end of the x
   axis, the last one at the larger, and so do rows along y: the first row is at the bottom, or at
   the top of an axis that runs backwards. Axes that leave the ends open count columns and rows from
   0. Maps of one quantity have one scale in all panels. */
static inline void plot_heat(plot *p, const double *values, int columns, int rows,
                             const char *quantity, int log);

/* Lines of equal value, labelled, through values[rows][columns], which lie as for plot_heat. */
static inline void plot_contours(plot *p, const double *values, int columns, int rows,
                                 const double *levels, int count);

/* Pictures in rows, pixels[count][channels][height][width] of grey or of red, green and blue, each
   above its caption, of which '\n' begins a new line; captions may be NULL. Their panel has no axes
   and shows nothing else. */
static inline void plot_images(plot *p, const unsigned char *pixels, int count, int channels,
                               int height, int width, const char *const *captions);

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
    int count;         /* points, levels, pictures */
    double *x, *y, *z; /* [count]; band: low is y, high is z; contours: the levels are z; maps and
                          contours: y[rows][columns] */
    int columns, rows, channels, log;
    double ends[2]; /* map: of its scale */
    unsigned char *pixels;
    char *label;
    char **captions; /* [count] */
    plot_mark *next;
};

/* A panel. */
struct plot_frame {
    char *title;
    plot_axis x, y; /* with labels of their own */
    char **names;   /* [name_count], down the y axis; NULL: it has numbers */
    int name_count;
    plot_mark *first, *last;
    const plot_mark *map, *pictures; /* the first mark that is such; NULL: none */
    plot_frame *next;
};

/* All marks of one name. */
typedef struct plot_series {
    char *name;
    int kinds; /* bits of their kinds: plot_swatch */
} plot_series;

struct plot {
    char *title;
    int columns;
    int panels;
    plot_frame *first, *last;
    plot_series *series; /* [series_count] */
    int series_count;
    plot_series grey; /* of marks without a name */
    int error;        /* errno of the first call that failed */
};

/* What a legend shows of a series. */
enum plot_swatch { PLOT_LINE = 1, PLOT_POINTS = 2, PLOT_BAND = 4 };

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

static inline void plot_names(plot *p, const char *const *names, int count) {
    plot_frame *f = p ? p->last : NULL;
    if (!f || f->names || count < 1) return;
    f->names = (char **)plot_memory(p, (size_t)count, sizeof *f->names);
    if (!f->names) return;
    for (int i = 0; i < count; i++) f->names[i] = plot_copy_text(p, names[i]);
    f->name_count = count;
    f->y.log = 0, f->y.least = count + 0.5, f->y.most = 0.5;
}

static inline void plot_grey(plot *p, const char *name) {
    if (p && !p->grey.name) p->grey.name = plot_copy_text(p, name);
}

/* Index of a series by its name, which may be new; -1 of none. */
static inline int plot_find_series(plot *p, const char *name) {
    plot_series *grown;
    if (!name || !*name || p->error) return -1;
    for (int i = 0; i < p->series_count; i++)
        if (!strcmp(p->series[i].name, name)) return i;
    grown = (plot_series *)realloc(p->series, ((size_t)p->series_count + 1) * sizeof *grown);
    if (!grown) p->error = ENOMEM;
    if (!grown) return -1;
    p->series = grown;
    grown[p->series_count].name = plot_copy_text(p, name);
    grown[p->series_count].kinds = 0;
    return p->error ? -1 : p->series_count++;
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
    const int fits = fabs(value) < 1e8; /* all that lie in figures do */
    const long tenths = fits ? (long)floor(fabs(value) * 10 + 0.5) : 0;
    int length =
        snprintf(digits, sizeof digits, "%s%ld", value < 0 && tenths ? "-" : "", tenths / 10);
    if (tenths % 10) {
        digits[length++] = '.';
        digits[length++] = (char)('0' + tenths % 10);
    }
    plot_put(out, digits, (size_t)length);
}

/* A number that printf wrote, with a point whatever the locale's own is, which may take several
   bytes. */
static inline void plot_set_point(char text[40], const char *number) {
    int to = 0;
    for (; *number && to < 38; number++)
        if (strchr("0123456789+-einfa", *number))
            text[to++] = *number;
        else if (!to || text[to - 1] != '.')
            text[to++] = '.';
    text[to] = 0;
}

/* A number with so many significant digits, as %g writes it. */
static inline void plot_format_number(char text[40], double value, int digits) {
    char number[64];
    snprintf(number, sizeof number, "%.*g", digits, fabs(value) > 0 ? value : 0.0);
    plot_set_point(text, number);
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

/* The first so many bytes of words, -1: all, in a room that they may be too long for: then they are
   smaller, or cut. */
static inline void plot_put_text(plot_buffer *out, const char *words, int bytes, double room,
                                 double size) {
    const int all = bytes < 0 ? (int)strlen(words) : bytes;
    const double width = plot_width(words, all, size), least = 12;
    bytes = all;
    size = width > room ? fmax(least, size * room / width) : size;
    if (plot_width(words, bytes, size) > room + 1)
        while (bytes > 0 &&
               (plot_width(words, bytes, size) + size > room || (words[bytes] & 0xC0) == 0x80))
            bytes--;
    plot_format(out, " font-size=\"%c\">", size);
    plot_put_words(out, words, bytes);
    plot_puts(out, bytes < all ? "\xE2\x80\xA6</text>\n" : "</text>\n");
}

/* Bytes of a title, which is bold, that fill a line of a room. */
static inline int plot_cut_line(const char *words, double size, double room) {
    int length = (int)strcspn(words, " "), next;
    while (words[length] == ' ') {
        next = length + 1 + (int)strcspn(words + length + 1, " ");
        if (plot_width(words, next, 1.15 * size) > room) break;
        length = next;
    }
    return length;
}

/* Behind the spaces after a line. */
static inline const char *plot_next_line(const char *words, int length) {
    words += length;
    return words + strspn(words, " ");
}

static inline int plot_count_lines(const char *words, double size, double room) {
    int lines = 0;
    for (; words && *words; lines++)
        words = plot_next_line(words, plot_cut_line(words, size, room));
    return lines;
}

/* A title in lines, the first one's feet at y. */
static inline void plot_put_lines(plot_buffer *out, const char *words, double x, double y,
                                  double size, double room) {
    while (*words) {
        const int length = plot_cut_line(words, size, room);
        plot_format(out, "<text class=\"plot-title\" x=\"%c\" y=\"%c\"", x, y);
        plot_put_text(out, words, length, room, size);
        words = plot_next_line(words, length);
        y += floor(1.3 * size);
    }
}

/* ---- pictures as PNG ------------------------------------------------------------------------- */

static inline void plot_put_word(plot_buffer *out, unsigned long word) {
    char bytes[4];
    for (int i = 0; i < 4; i++) bytes[i] = (char)(word >> (24 - 8 * i) & 255);
    plot_put(out, bytes, 4);
}

/* A chunk of a PNG file with its checksum. */
static inline void plot_put_chunk(plot_buffer *out, const char *name, const char *data,
                                  size_t length) {
    unsigned long crc = 0xFFFFFFFF;
    const size_t begin = out->length + 4;
    plot_put_word(out, (unsigned long)length);
    plot_put(out, name, 4);
    plot_put(out, data, length);
    for (size_t i = begin; i < out->length; i++) {
        crc ^= (unsigned char)out->text[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
    }
    plot_put_word(out, crc ^ 0xFFFFFFFF);
}

/* Bytes as zlib's format holds them without compression. */
static inline void plot_put_stored(plot_buffer *out, const char *data, size_t length) {
    unsigned long a = 1, b = 0;
    plot_put(out, "\x78\x01", 2);
    for (size_t at = 0; at < length || !at;) {
        const size_t part = length - at < 65535 ? length - at : 65535;
        char head[5];
        head[0] = at + part == length;
        head[1] = (char)(part & 255), head[2] = (char)(part >> 8);
        head[3] = (char)~head[1], head[4] = (char)~head[2];
        plot_put(out, head, 5);
        plot_put(out, data + at, part);
        at += part;
        if (!part) break;
    }
    for (size_t i = 0; i < length; i++) {
        a = (a + (unsigned char)data[i]) % 65521;
        b = (b + a) % 65521;
    }
    plot_put_word(out, b << 16 | a);
}

/* pixels[height][width][channels], channels 1 or 3, as a PNG file; a palette of 256 colours, of
   which the first is transparent, says what the values of one channel mean, NULL: greys. */
static inline void plot_put_png(plot_buffer *out, const unsigned char *pixels, int width,
                                int height, int channels, const unsigned char palette[768]) {
    plot_buffer rows, data;
    const size_t row = (size_t)width * (size_t)channels;
    char head[5] = {8, 0, 0, 0, 0};
    memset(&rows, 0, sizeof rows);
    data = rows;
    for (int y = 0; y < height; y++) {
        plot_put(&rows, "", 1); /* no filter */
        plot_put(&rows, (const char *)pixels + (size_t)y * row, row);
    }
    plot_put(out, "\x89PNG\r\n\x1a\n", 8);
    plot_put_word(&data, (unsigned long)width);
    plot_put_word(&data, (unsigned long)height);
    head[1] = palette ? 3 : channels == 3 ? 2 : 0;
    plot_put(&data, head, 5);
    plot_put_chunk(out, "IHDR", data.text, data.length);
    if (palette) plot_put_chunk(out, "PLTE", (const char *)palette, 768);
    if (palette) plot_put_chunk(out, "tRNS", "", 1);
    data.length = 0;
    plot_put_stored(&data, rows.text, rows.length);
    plot_put_chunk(out, "IDAT", data.text, data.length);
    plot_put_chunk(out, "IEND", "", 0);
    out->failed |= rows.failed | data.failed;
    free(rows.text), free(data.text);
}

static inline void plot_put_base64(plot_buffer *out, const char *data, size_t length) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < length; i += 3) {
        unsigned long word = 0;
        char four[4];
        for (size_t k = 0; k < 3; k++)
            word = word << 8 | (i + k < length ? (unsigned char)data[i + k] : 0);
        for (int k = 0; k < 4; k++) four[k] = letters[word >> (18 - 6 * k) & 63];
        if (i + 1 >= length) four[2] = '=';
        if (i + 2 >= length) four[3] = '=';
        plot_put(out, four, 4);
    }
}

/* A rectangle of the figure. */
typedef struct plot_box {
    double x, y, width, height;
} plot_box;

/* A picture, as for plot_put_png, stretched over a box; its pixels stay squares. */
static inline void plot_put_image(plot_buffer *out, plot_box box, const unsigned char *pixels,
                                  int width, int height, int channels,
                                  const unsigned char *palette) {
    plot_buffer png;
    memset(&png, 0, sizeof png);
    plot_put_png(&png, pixels, width, height, channels, palette);
    plot_format(out,
                "<image x=\"%c\" y=\"%c\" width=\"%c\" height=\"%c\" preserveAspectRatio=\"none\" "
                "image-rendering=\"pixelated\" href=\"data:image/png;base64,",
                box.x, box.y, box.width, box.height);
    plot_put_base64(out, png.text, png.length);
    plot_puts(out, "\"/>\n");
    out->failed |= png.failed;
    free(png.text);
}

/* The palette of maps: viridis, and transparent for no value. */
static inline void plot_make_palette(unsigned char palette[768]) {
    static const unsigned char viridis[11][3] = {{68, 1, 84},    {72, 36, 117},  {65, 68, 135},
                                                 {53, 95, 141},  {42, 120, 142}, {33, 145, 140},
                                                 {34, 168, 132}, {68, 191, 112}, {122, 209, 81},
                                                 {189, 223, 38}, {253, 231, 37}};
    memset(palette, 0, 3);
    for (int i = 1; i < 256; i++) {
        const double at = (i - 1) / 254.0 * 10;
        const int k = at < 9 ? (int)at : 9;
        for (int c = 0; c < 3; c++)
            palette[3 * i + c] =
                (unsigned char)(viridis[k][c] + (at - k) * (viridis[k + 1][c] - viridis[k][c]) +
                                0.5);
    }
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
        char factor[40], digits[8];
        plot_format_number(factor, value / pow(10, power), 4);
        if (!strcmp(factor, "1") || !strcmp(factor, "-1"))
            factor[strlen(factor) - 1] = 0;
        else
            strcat(factor, "\xC2\xB7"); /* a raised dot */
        snprintf(text, 40, "%.20s10%s", factor, power < 0 ? "\xE2\x81\xBB" : "");
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

/* Lengths, in units of the figure, which are pixels where it has its full size. */
static const double plot_font = 13;        /* of ticks; the smallest is 12 */
static const double plot_key = 64;         /* room for a map's bar of colours */
static const double plot_caption = 15;     /* height of a line */
static const double plot_wide = 480;       /* of the only panel of a row */
static const double plot_narrow = 360;     /* of one of several */
static const double plot_high = 300;       /* of a panel with axes */
static const double plot_name_height = 22; /* of a name on a y axis */
static const double plot_gap = 16;         /* between panels */
static const double plot_line_height = 19; /* of the title of a panel */
static const double plot_top = 30;         /* for the title of a panel */
static const double plot_bottom = 46;      /* for the ticks and label of the x axis */

/* Four after Okabe and Ito and four that colour-blind eyes, too, tell from these and each other;
   all with three times the luminance of white and black grounds, or a third. Dashes and markers
   tell them apart as well. */
static const char *const plot_colours[PLOT_STYLES] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                      "#8811ff", "#dd0044", "#8877ff", "#994477"};
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
    const plot_frame *frame;
    plot_scale x, y;
    double left, top, right, bottom;
    int on_grid; /* there are maps or contours, for which lines at the ticks are none */
    int on_map;  /* the ground is a map of colours */
} plot_canvas;

struct plot_kind {
    const char *name;
    int swatch;
    int is_map;      /* has a bar of colours, and cells of half a width beyond the first and last */
    int is_pictures; /* has the panel for itself, without axes */
    void (*reach)(const plot_mark *m, plot_extent *x, plot_extent *y);
    void (*draw)(const plot_canvas *c, const plot_mark *m);
    void (*tell)(plot_buffer *out, const plot_mark *m); /* what follows its name */
};

static inline void plot_dash(plot_buffer *out, int series) {
    const char *dash = plot_dashes[plot_style(series)];
    if (*dash) plot_format(out, " stroke-dasharray=\"%s\"", dash);
}

static inline double plot_within(double value, double least, double most) {
    return fmin(fmax(value, least), most);
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
    /* Very long lines round to points elsewhere. */
    to[0] = plot_within(x + last * dx, c->left, c->right);
    to[1] = plot_within(y + last * dy, c->top, c->bottom);
    from[0] = plot_within(x + first * dx, c->left, c->right);
    from[1] = plot_within(y + first * dy, c->top, c->bottom);
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
    if (m->series >= 0 || m->count == 1) plot_draw_markers(c, m, m->count <= 16 ? 0 : 70);
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

/* How many points, and pieces of lines, of a panel are in a box. */
static inline int plot_count_inside(const plot_canvas *c, plot_box box) {
    plot_canvas part = *c;
    int count = 0;
    part.left = box.x, part.right = box.x + box.width;
    part.top = box.y, part.bottom = box.y + box.height;
    for (const plot_mark *m = c->frame->first; m; m = m->next)
        for (int i = 0; m->kind->swatch & (PLOT_LINE | PLOT_POINTS) && i < m->count; i++) {
            const int to = m->kind->swatch & PLOT_LINE && i + 1 < m->count ? i + 1 : i;
            double ends[2][2] = {{plot_place(&c->x, m->x[i]), plot_place(&c->y, m->y[i])},
                                 {plot_place(&c->x, m->x[to]), plot_place(&c->y, m->y[to])}};
            if (plot_is_finite(ends[0][0] + ends[0][1] + ends[1][0] + ends[1][1]))
                count += plot_clip(&part, ends[0], ends[1]);
        }
    return count;
}

/* Where words beside a guide at y stand: where they hide the least, near its right end rather than
   elsewhere, above it rather than below. */
static inline plot_box plot_find_place(const plot_canvas *c, const char *words, double y) {
    static const double feet[4] = {-4, 13, -10, 19}; /* of the words, below the guide */
    const double width = plot_width(words, -1, 12), marker = 4;
    const double step = fmax(0, c->right - c->left - width - 8) / 8;
    plot_box best = {c->right - 4 - width, y + 13, width, 0};
    int least = INT_MAX;
    for (int i = 0; i < 36 && least; i++) {
        const double x = c->right - 4 - width - step * (i / 4), foot = y + feet[i % 4];
        const plot_box around = {x - marker, foot - 10 - marker, width + 2 * marker,
                                 12 + 2 * marker};
        int count;
        if (foot < c->top + 10 || foot > c->bottom - 3) continue;
        count = plot_count_inside(c, around);
        if (count < least) best.x = x, best.y = foot;
        least = count < least ? count : least;
    }
    return best;
}

static inline void plot_draw_guide(const plot_canvas *c, const plot_mark *m) {
    const double y = plot_place(&c->y, m->y[0]);
    plot_box place;
    if (!plot_is_inside(c, c->left, y)) return;
    plot_format(c->out, "<path class=\"plot-guide\" d=\"M%c %cH%c\"/>\n", c->left, y, c->right);
    if (!m->label) return;
    place = plot_find_place(c, m->label, y);
    plot_format(c->out,
                "<text class=\"plot-small\" x=\"%c\" y=\"%c\" text-anchor=\"end\">%w</text>\n",
                place.x + place.width, place.y, m->label);
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

static inline void plot_reach_band(const plot_mark *m, plot_extent *x, plot_extent *y) {
    plot_reach_all(x, m->x, m->count);
    plot_reach_all(y, m->y, m->count);
    plot_reach_all(y, m->z, m->count);
}

static inline void plot_reach_guide(const plot_mark *m, plot_extent *x, plot_extent *y) {
    (void)x;
    plot_reach(y, m->y[0]);
}

/* ---- maps and contours ----------------------------------------------------------------------- */

static inline int plot_is_given(const plot_axis *a) {
    const double least = plot_on_axis(a->log, a->least), most = plot_on_axis(a->log, a->most);
    return plot_is_finite(least) && plot_is_finite(most) && fabs(most - least) > 0;
}

/* The coordinate of column or row i, perhaps a fraction, of so many. */
static inline double plot_node(const plot_axis *a, const plot_scale *s, int count, double i) {
    double at = i;
    if (plot_is_given(a)) {
        const double ends[2] = {plot_on_axis(a->log, a->least), plot_on_axis(a->log, a->most)};
        const double least = fmin(ends[0], ends[1]), most = fmax(ends[0], ends[1]);
        at = count > 1 ? least + i * (most - least) / (count - 1)
                       : least + (i + 0.5) * (most - least);
    }
    return s->from + (at - s->least) / (s->most - s->least) * (s->to - s->from);
}

/* The values of a map on a scale from 0 to 1. */
static inline plot_scale plot_fit_map(const plot_mark *m) {
    plot_scale s = {m->log, 0, m->ends[0], m->ends[1], 0, 1};
    if (!(s.most > s.least)) s.least -= 0.5, s.most += 0.5;
    return s;
}

/* A map's values as indices of its palette, pixels[rows][columns] from the left and the top: the
   last row first, unless y runs backwards, and the first column, unless x does. */
static inline void plot_paint_map(const plot_mark *m, int x_backwards, int y_backwards,
                                  unsigned char *pixels) {
    const plot_scale s = plot_fit_map(m);
    for (int j = 0; j < m->rows; j++)
        for (int i = 0; i < m->columns; i++) {
            const int row = y_backwards ? j : m->rows - 1 - j;
            const int column = x_backwards ? m->columns - 1 - i : i;
            const double at = plot_place(&s, m->y[row * m->columns + column]);
            *pixels++ = (unsigned char)(plot_is_finite(at) ? 1 + (int)(254 * at + 0.5) : 0);
        }
}

static inline void plot_draw_heat(const plot_canvas *c, const plot_mark *m) {
    const plot_axis *x = &c->frame->x, *y = &c->frame->y;
    const double x0 = plot_node(x, &c->x, m->columns, -0.5);
    const double x1 = plot_node(x, &c->x, m->columns, m->columns - 0.5);
    const double y0 = plot_node(y, &c->y, m->rows, -0.5);
    const double y1 = plot_node(y, &c->y, m->rows, m->rows - 0.5);
    const plot_box box = {fmin(x0, x1), fmin(y0, y1), fabs(x1 - x0), fabs(y1 - y0)};
    unsigned char *pixels = (unsigned char *)malloc((size_t)m->count + 1), palette[768];
    if (!pixels) c->out->failed = 1;
    if (pixels && m->count) {
        plot_paint_map(m, x0 > x1, y0 < y1, pixels); /* y grows downwards */
        plot_make_palette(palette);
        plot_put_image(c->out, box, pixels, m->columns, m->rows, 1, palette);
    }
    free(pixels);
}

/* The bar of a map's colours, at the right of the panel. */
static inline void plot_draw_key(const plot_canvas *c, const plot_mark *m) {
    const plot_box box = {c->right + 12, c->top, 12, c->bottom - c->top};
    plot_scale s = plot_fit_map(m);
    unsigned char pixels[255], palette[768];
    plot_tick ticks[PLOT_TICKS];
    const int count = plot_ticks(&s, 6, ticks);
    char text[40];
    for (int i = 0; i < 255; i++) pixels[i] = (unsigned char)(255 - i);
    plot_make_palette(palette);
    plot_put_image(c->out, box, pixels, 1, 255, 1, palette);
    s.from = c->bottom, s.to = c->top;
    plot_format(c->out, "<path class=\"plot-axis\" d=\"M%c %cv%ch12v%cz", box.x, box.y, box.height,
                -box.height);
    for (int i = 0; i < count; i++)
        plot_format(c->out, "M%c %ch%c", box.x + 12, plot_place(&s, ticks[i].value),
                    ticks[i].major ? 5.0 : 3.0);
    plot_puts(c->out, "\"/>\n");
    for (int i = 0; i < count; i++) {
        if (!ticks[i].major) continue;
        plot_tick_label(text, ticks[i].value);
        plot_format(c->out, "<text x=\"%c\" y=\"%c\">%w</text>\n", box.x + 20,
                    plot_place(&s, ticks[i].value) + 4.5, text);
    }
    if (!m->label) return;
    plot_format(c->out, "<text x=\"%c\" y=\"%c\" text-anchor=\"end\"", box.x + plot_key - 12,
                c->top - 12);
    plot_put_text(c->out, m->label, -1, 120, plot_font);
}

/* Lines through the edges of a grid where it crosses a level. Edge 2 i leads from node i to the
   next in its row, edge 2 i + 1 to that above it. */
typedef struct plot_tracer {
    const plot_canvas *c;
    const plot_mark *m;
    double level;
    int *links;    /* [edges][2]: the edges to which a line goes on, -1: none */
    double *x, *y; /* [points] of one line, room for all edges and one more */
    int points;
    plot_box labels[100]; /* where there is a label already */
    int labelled;
} plot_tracer;

/* The node at the other end of an edge. */
static inline int plot_edge_end(const plot_mark *m, int edge) {
    return edge / 2 + (edge % 2 ? m->columns : 1);
}

static inline int plot_is_crossed(const plot_tracer *t, int edge) {
    return (t->m->y[edge / 2] >= t->level) != (t->m->y[plot_edge_end(t->m, edge)] >= t->level);
}

static inline void plot_link(int *links, int a, int b) {
    links[2 * a + (links[2 * a] >= 0)] = b;
    links[2 * b + (links[2 * b] >= 0)] = a;
}

/* Links the crossed edges of the cell above and right of a node; of a saddle, whose four edges are
   crossed, as the mean of its corners says. */
static inline void plot_link_cell(plot_tracer *t, int node) {
    const double *at = &t->m->y[node];
    const int columns = t->m->columns;
    const int edges[4] = {2 * node, 2 * node + 3, 2 * (node + columns), 2 * node + 1};
    const double mean = (at[0] + at[1] + at[columns] + at[columns + 1]) / 4;
    int crossed[4], count = 0;
    if (!plot_is_finite(mean)) return;
    for (int k = 0; k < 4; k++)
        if (plot_is_crossed(t, edges[k])) crossed[count++] = edges[k];
    if (count == 2) plot_link(t->links, crossed[0], crossed[1]);
    if (count == 4) { /* bottom and right, or bottom and left */
        const int with = (at[0] >= t->level) == (mean >= t->level) ? 1 : 3;
        plot_link(t->links, edges[0], edges[with]);
        plot_link(t->links, edges[2], edges[4 - with]);
    }
}

/* Where the level crosses an edge. */
static inline void plot_cross(plot_tracer *t, int edge) {
    const plot_canvas *c = t->c;
    const plot_mark *m = t->m;
    const int node = edge / 2;
    const double a = m->y[node], b = m->y[plot_edge_end(m, edge)], part = (t->level - a) / (b - a);
    t->x[t->points] =
        plot_node(&c->frame->x, &c->x, m->columns, node % m->columns + (edge % 2 ? 0 : part));
    t->y[t->points++] =
        plot_node(&c->frame->y, &c->y, m->rows, node / m->columns + (edge % 2 ? part : 0));
}

/* Takes the line that begins at an edge out of the links. */
static inline void plot_follow(plot_tracer *t, int edge) {
    t->points = 0;
    for (int next; edge >= 0; edge = next) {
        plot_cross(t, edge);
        next = t->links[2 * edge] >= 0 ? t->links[2 * edge] : t->links[2 * edge + 1];
        t->links[2 * edge] = t->links[2 * edge + 1] = -1;
        for (int k = 0; next >= 0 && k < 2; k++)
            if (t->links[2 * next + k] == edge) t->links[2 * next + k] = -1;
    }
}

/* Is there a place for a label of this box, apart from the others? */
static inline int plot_is_free(const plot_tracer *t, const plot_box *box) {
    const double right = box->x + box->width, bottom = box->y + box->height;
    if (!plot_is_inside(t->c, box->x, box->y) || !plot_is_inside(t->c, right, bottom)) return 0;
    for (int i = 0; i < t->labelled; i++) {
        const plot_box *other = &t->labels[i];
        if (box->x < other->x + other->width && other->x < right &&
            box->y < other->y + other->height && other->y < bottom)
            return 0;
    }
    return t->labelled < (int)(sizeof t->labels / sizeof t->labels[0]);
}

/* The point so far along the line. */
static inline void plot_walk(const plot_tracer *t, double distance, double *x, double *y) {
    *x = t->x[0], *y = t->y[0];
    for (int i = 1; i < t->points && distance > 0; i++) {
        const double dx = t->x[i] - t->x[i - 1], dy = t->y[i] - t->y[i - 1];
        const double step = hypot(dx, dy), part = step > distance ? distance / step : 1;
        *x = t->x[i - 1] + part * dx, *y = t->y[i - 1] + part * dy;
        distance -= step;
    }
}

/* A box on the line, of no width where the line is too short or has no place. */
static inline plot_box plot_place_label(plot_tracer *t, const char *text) {
    static const double places[] = {0.5, 0.35, 0.65, 0.2, 0.8, 0.42, 0.58, 0.1, 0.9};
    plot_box box = {0, 0, plot_width(text, -1, 12) + 4, 14};
    const plot_box none = {0, 0, 0, 0};
    double length = 0;
    for (int i = 1; i < t->points; i++)
        length += hypot(t->x[i] - t->x[i - 1], t->y[i] - t->y[i - 1]);
    for (int k = 0; k < 9 && length > 2.5 * box.width; k++) {
        plot_walk(t, places[k] * length, &box.x, &box.y);
        box.x -= box.width / 2, box.y -= box.height / 2;
        if (!plot_is_free(t, &box)) continue;
        t->labels[t->labelled++] = box;
        return box;
    }
    return none;
}

/* The line without what is in the gap. */
static inline void plot_draw_lines(const plot_tracer *t, plot_box gap) {
    plot_canvas inside;
    memset(&inside, 0, sizeof inside);
    inside.left = gap.x, inside.right = gap.x + gap.width;
    inside.top = gap.y, inside.bottom = gap.y + gap.height;
    for (int i = 0; i < t->points; i++) {
        double from[2], to[2];
        from[0] = t->x[i ? i - 1 : 0], from[1] = t->y[i ? i - 1 : 0];
        to[0] = t->x[i], to[1] = t->y[i];
        if (i && gap.width > 0 && plot_clip(&inside, from, to)) {
            if (!plot_is_inside(&inside, t->x[i - 1], t->y[i - 1]))
                plot_format(t->c->out, "L%c %c", from[0], from[1]);
            plot_format(t->c->out, "M%c %c", to[0], to[1]);
        }
        if (!plot_is_inside(&inside, t->x[i], t->y[i]) || !(gap.width > 0))
            plot_format(t->c->out, i ? "L%c %c" : "M%c %c", t->x[i], t->y[i]);
    }
}

/* One line: on a map white on black, elsewhere with a gap for its label. */
static inline void plot_draw_contour(plot_tracer *t) {
    plot_buffer *out = t->c->out;
    plot_box label;
    char text[40];
    plot_tick_label(text, t->level);
    label = plot_place_label(t, text);
    for (int pass = !t->c->on_map; pass < 2; pass++) {
        plot_format(out, "<path class=\"%s\" d=\"",
                    !t->c->on_map ? "plot-contour"
                    : pass        ? "plot-light"
                                  : "plot-shade");
        plot_draw_lines(t, label);
        plot_puts(out, "\"/>\n");
    }
    if (label.width > 0)
        plot_format(out,
                    "<text class=\"plot-small%s\" x=\"%c\" y=\"%c\" text-anchor=\"middle\">%w"
                    "</text>\n",
                    t->c->on_map ? " plot-halo" : "", label.x + label.width / 2,
                    label.y + label.height / 2 + 4, text);
}

static inline void plot_trace_level(plot_tracer *t) {
    const int edges = 2 * t->m->columns * t->m->rows;
    for (int i = 0; i < 2 * edges; i++) t->links[i] = -1;
    for (int j = 0; j + 1 < t->m->rows; j++)
        for (int i = 0; i + 1 < t->m->columns; i++) plot_link_cell(t, j * t->m->columns + i);
    for (int closed = 0; closed < 2; closed++) /* lines with ends first */
        for (int e = 0; e < edges; e++) {
            const int *links = &t->links[2 * e];
            if ((links[0] >= 0) + (links[1] >= 0) != 1 + closed) continue;
            plot_follow(t, e);
            if (closed) t->x[t->points] = t->x[0], t->y[t->points] = t->y[0], t->points++;
            plot_draw_contour(t);
        }
}

static inline void plot_draw_contours(const plot_canvas *c, const plot_mark *m) {
    const size_t edges = 2 * (size_t)m->columns * (size_t)m->rows;
    plot_tracer t;
    memset(&t, 0, sizeof t);
    t.c = c, t.m = m;
    t.links = (int *)malloc(2 * (edges + 1) * sizeof(int));
    t.x = (double *)malloc((edges + 1) * sizeof(double));
    t.y = (double *)malloc((edges + 1) * sizeof(double));
    if (!t.links || !t.x || !t.y) c->out->failed = 1;
    for (int i = 0; i < m->count && !c->out->failed; i++) {
        t.level = m->z[i];
        if (plot_is_finite(t.level)) plot_trace_level(&t);
    }
    free(t.links), free(t.x), free(t.y);
}

static inline void plot_reach_grid(const plot_mark *m, plot_extent *x, plot_extent *y) {
    const double beyond = m->kind->is_map ? 0.5 : 0;
    if (m->columns < 1 || m->rows < 1) return;
    x->least = y->least = -beyond;
    x->most = m->columns - 1 + beyond, y->most = m->rows - 1 + beyond;
    x->count += m->columns, y->count += m->rows;
    x->whole = y->whole = 1;
}

/* ---- pictures -------------------------------------------------------------------------------- */

/* How pictures lie in a panel. */
typedef struct plot_gallery {
    double width, height; /* of one */
    double across, down;  /* from one to the next */
    int columns;          /* pictures of a row */
} plot_gallery;

static inline plot_gallery plot_arrange(const plot_mark *m, double room) {
    const int least = m->captions ? 84 : 48; /* width that captions need */
    plot_gallery g;
    int lines = 0;
    for (int i = 0; m->captions && i < m->count; i++) {
        int own = 1;
        for (const char *at = m->captions[i]; at && *at; at++) own += *at == '\n';
        if (own > lines) lines = own;
    }
    g.width = m->columns < least && m->columns > 0 ? least / m->columns * m->columns : least;
    g.height = g.width * m->rows / (m->columns > 0 ? m->columns : 1);
    g.across = fmax(g.width, m->captions ? least : 0) + 8;
    g.down = g.height + plot_caption * lines + 10;
    g.columns = (int)((room + 8) / g.across);
    if (g.columns < 1) g.columns = 1;
    return g;
}

static inline void plot_put_caption(plot_buffer *out, const char *text, double x, double y,
                                    double room) {
    for (int line = 0; *text; line++) {
        char words[200];
        const size_t length = strcspn(text, "\n");
        const size_t kept = length < sizeof words ? length : sizeof words - 1;
        memcpy(words, text, kept);
        words[kept] = 0;
        plot_format(out, "<text x=\"%c\" y=\"%c\" text-anchor=\"middle\"", x,
                    y + plot_caption * line);
        plot_put_text(out, words, -1, room, plot_font);
        text += length + (text[length] != 0);
    }
}

/* Picture i with its channels side by side in each pixel. */
static inline void plot_interleave(const plot_mark *m, int i, unsigned char *pixels) {
    const size_t area = (size_t)m->rows * (size_t)m->columns;
    const unsigned char *from = m->pixels + (size_t)i * area * (size_t)m->channels;
    const size_t channels = m->channels < 3 ? 1 : 3;
    for (size_t k = 0; k < area; k++)
        for (size_t c = 0; c < channels; c++) pixels[k * channels + c] = from[c * area + k];
}

static inline void plot_draw_images(const plot_canvas *c, const plot_mark *m) {
    const plot_gallery g = plot_arrange(m, c->right - c->left);
    const size_t area = (size_t)m->rows * (size_t)m->columns;
    unsigned char *pixels = (unsigned char *)malloc(3 * area + 1);
    if (!pixels) c->out->failed = 1;
    for (int i = 0; i < m->count && !c->out->failed && area; i++) {
        plot_box box = {c->left + (i % g.columns) * g.across, c->top + (i / g.columns) * g.down, 0,
                        0};
        box.x += (g.across - 8 - g.width) / 2;
        box.width = g.width, box.height = g.height;
        plot_interleave(m, i, pixels);
        plot_put_image(c->out, box, pixels, m->columns, m->rows, m->channels < 3 ? 1 : 3, NULL);
        plot_format(c->out, "<path class=\"plot-grid\" fill=\"none\" d=\"M%c %ch%cv%ch%cz\"/>\n",
                    box.x, box.y, box.width, box.height, -box.width);
        if (m->captions && m->captions[i])
            plot_put_caption(c->out, m->captions[i], box.x + box.width / 2, box.y + box.height + 13,
                             g.across - 4);
    }
    free(pixels);
}

static inline void plot_reach_nothing(const plot_mark *m, plot_extent *x, plot_extent *y) {
    (void)m, (void)x, (void)y;
}

/* ---- marks in words, for those who do not see them ------------------------------------------- */

/* The values of a line, points or a band in words: how many, the ends, the least and most. */
static inline void plot_tell_values(plot_buffer *out, const plot_mark *m) {
    const double *high = m->z ? m->z : m->y;
    int count = 0, first = 0, last = 0;
    double least = 0, most = 0;
    for (int i = 0; i < m->count; i++) {
        if (!plot_is_finite(m->x[i]) || !plot_is_finite(m->y[i]) || !plot_is_finite(high[i]))
            continue;
        if (!count) first = i, least = m->y[i], most = high[i];
        least = fmin(least, m->y[i]), most = fmax(most, high[i]);
        last = i, count++;
    }
    plot_format(out, ", %d value%s", count, count == 1 ? "" : "s");
    if (!count) return;
    plot_format(out, ", %g at %g", m->y[first], m->x[first]);
    if (count > 1) plot_format(out, " to %g at %g", m->y[last], m->x[last]);
    if (count > 2) plot_format(out, ", least %g, most %g", least, most);
}

static inline void plot_tell_grid(plot_buffer *out, const plot_mark *m) {
    plot_extent e = {0, 0, 0, 0, 0, NULL, 0};
    plot_reach_all(&e, m->y, m->columns * m->rows);
    plot_format(out, " of %d x %d values from %g to %g", m->columns, m->rows, e.least, e.most);
    for (int i = 0; m->z && i < m->count; i++) plot_format(out, i ? ", %g" : " at %g", m->z[i]);
}

static inline void plot_tell_pictures(plot_buffer *out, const plot_mark *m) {
    plot_format(out, ", %d of %d x %d pixels", m->count, m->columns, m->rows);
    for (int i = 0; m->captions && i < m->count; i++)
        if (m->captions[i]) plot_format(out, "; %w", m->captions[i]);
}

static inline void plot_tell_guide(plot_buffer *out, const plot_mark *m) {
    plot_format(out, " at %g", m->y[0]);
}

/* ---- kinds of mark --------------------------------------------------------------------------- */

static const plot_kind plot_kind_line = {"line",         PLOT_LINE,       0, 0, plot_reach_points,
                                         plot_draw_line, plot_tell_values};
static const plot_kind plot_kind_points = {
    "points", PLOT_POINTS, 0, 0, plot_reach_points, plot_draw_points, plot_tell_values};
static const plot_kind plot_kind_band = {"band",         PLOT_BAND,       0, 0, plot_reach_band,
                                         plot_draw_band, plot_tell_values};
static const plot_kind plot_kind_guide = {
    "guide", 0, 0, 0, plot_reach_guide, plot_draw_guide, plot_tell_guide};
static const plot_kind plot_kind_map = {"map",         0, 1, 0, plot_reach_grid, plot_draw_heat,
                                        plot_tell_grid};
static const plot_kind plot_kind_contours = {
    "contours", 0, 0, 0, plot_reach_grid, plot_draw_contours, plot_tell_grid};
static const plot_kind plot_kind_pictures = {
    "pictures", 0, 0, 1, plot_reach_nothing, plot_draw_images, plot_tell_pictures};

/* A new mark in the last panel; NULL if that fails. */
static inline plot_mark *plot_add(plot *p, const plot_kind *kind, const char *name, int count) {
    static const plot_axis none = {NULL, 0, 0, 0};
    plot_mark *m;
    if (!p) return NULL;
    if (!p->last) plot_panel(p, NULL, none, none);
    m = (plot_mark *)plot_memory(p, 1, sizeof *m);
    if (!m) return NULL;
    m->kind = kind;
    m->series = plot_find_series(p, name);
    m->count = count < 0 ? 0 : count;
    (m->series < 0 ? &p->grey : &p->series[m->series])->kinds |= kind->swatch;
    if (kind->is_map && !p->last->map) p->last->map = m;
    if (kind->is_pictures && !p->last->pictures) p->last->pictures = m;
    if (p->last->last)
        p->last->last->next = m;
    else
        p->last->first = m;
    p->last->last = m;
    return m;
}

/* A mark of points; z may be NULL. */
static inline void plot_add_points(plot *p, const plot_kind *kind, const char *name, int count,
                                   const double *x, const double *y, const double *z) {
    plot_mark *m = plot_add(p, kind, name, count);
    if (!m) return;
    m->x = plot_copy(p, x, m->count);
    m->y = plot_copy(p, y, m->count);
    m->z = plot_copy(p, z, m->count);
}

static inline void plot_line(plot *p, const char *name, const double *x, const double *y,
                             int count) {
    plot_add_points(p, &plot_kind_line, name, count, x, y, NULL);
}

static inline void plot_points(plot *p, const char *name, const double *x, const double *y,
                               int count) {
    plot_add_points(p, &plot_kind_points, name, count, x, y, NULL);
}

static inline void plot_band(plot *p, const char *name, const double *x, const double *low,
                             const double *high, int count) {
    plot_add_points(p, &plot_kind_band, name, count, x, low, high);
}

static inline void plot_guide(plot *p, double y, const char *label) {
    plot_mark *m = plot_add(p, &plot_kind_guide, NULL, 1);
    if (!m) return;
    m->y = plot_copy(p, &y, 1);
    m->label = plot_copy_text(p, label);
}

/* A mark of values[rows][columns]; NULL if that fails. */
static inline plot_mark *plot_add_grid(plot *p, const plot_kind *kind, const double *values,
                                       int columns, int rows) {
    const int fits = columns > 0 && rows > 0 && columns < INT_MAX / 4 / rows;
    plot_mark *m = plot_add(p, kind, NULL, fits ? columns * rows : 0);
    if (!m) return NULL;
    m->columns = fits ? columns : 0, m->rows = fits ? rows : 0;
    m->y = plot_copy(p, values, m->count);
    return m;
}

/* Gives maps of the quantity of this one the ends of all their values. */
static inline void plot_share_scale(plot *p, const plot_mark *map) {
    plot_extent e = {map->log, 0, 0, 0, 0, NULL, 0};
    for (int pass = 0; pass < 2; pass++)
        for (plot_frame *f = p->first; f; f = f->next)
            for (plot_mark *m = f->first; m; m = m->next) {
                const int alike = m->label && map->label && !strcmp(m->label, map->label);
                if (!m->kind->is_map || m->log != map->log || (m != map && !alike)) continue;
                if (!pass && m->y) plot_reach_all(&e, m->y, m->count);
                m->ends[0] = e.count ? e.least : 0, m->ends[1] = e.count ? e.most : 1;
            }
}

static inline void plot_heat(plot *p, const double *values, int columns, int rows,
                             const char *quantity, int log) {
    plot_mark *m = plot_add_grid(p, &plot_kind_map, values, columns, rows);
    if (!m) return;
    m->label = plot_copy_text(p, quantity);
    m->log = log;
    plot_share_scale(p, m);
}

static inline void plot_contours(plot *p, const double *values, int columns, int rows,
                                 const double *levels, int count) {
    plot_mark *m = plot_add_grid(p, &plot_kind_contours, values, columns, rows);
    if (!m) return;
    m->count = count < 0 || !m->columns ? 0 : count;
    m->z = plot_copy(p, levels, m->count);
}

static inline void plot_images(plot *p, const unsigned char *pixels, int count, int channels,
                               int height, int width, const char *const *captions) {
    plot_mark *m = plot_add(p, &plot_kind_pictures, NULL, count);
    size_t bytes;
    if (!m) return;
    m->columns = width < 0 ? 0 : width, m->rows = height < 0 ? 0 : height;
    m->channels = channels < 1 ? 1 : channels;
    bytes = (size_t)m->count * (size_t)m->channels * (size_t)m->rows * (size_t)m->columns;
    m->pixels = (unsigned char *)plot_memory(p, bytes, 1);
    if (m->pixels) memcpy(m->pixels, pixels, bytes);
    if (captions) m->captions = (char **)plot_memory(p, (size_t)m->count, sizeof *m->captions);
    for (int i = 0; m->captions && i < m->count; i++)
        m->captions[i] = plot_copy_text(p, captions[i]);
}

/* ---- a panel --------------------------------------------------------------------------------- */

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
    if (plot_is_given(a)) {
        s.least = plot_on_axis(a->log, a->least), s.most = plot_on_axis(a->log, a->most);
        s.whole = s.whole && s.most - s.least >= 2; /* or there would be one tick at most */
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

/* Makes room for the half cells beyond the ends that an axis gives. */
static inline void plot_widen(const plot_axis *a, plot_scale *s, int count) {
    const double half = count > 1 ? (s->most - s->least) / (count - 1) / 2 : 0;
    if (plot_is_given(a)) s->least -= half, s->most += half;
}

/* The scales of a panel's axes; 0 if it has no value to show. */
static inline int plot_fit_axes(const plot_frame *f, plot_canvas *c) {
    plot_extent x = {f->x.log, 0, 0, 0, 0, NULL, 0}, y = {f->y.log, 0, 0, 0, 0, NULL, 0};
    const plot_mark *map = f->map;
    size_t points = 1;
    int filled = 0;
    for (const plot_mark *m = f->first; m; m = m->next) {
        points += (size_t)m->count;
        c->on_grid |= m->columns > 0;
    }
    y.values = (double *)malloc(points * sizeof(double));
    if (!y.values) c->out->failed = 1;
    if (!y.values) return 0;
    for (const plot_mark *m = f->first; m; m = m->next) {
        const int before = y.count;
        m->kind->reach(m, &x, &y);
        if (m->kind->swatch || m->columns) filled |= y.count > before; /* guides are no values */
    }
    c->x = plot_fit(&f->x, &x, 0);
    c->y = plot_fit(&f->y, &y, !c->on_grid);
    if (map) {
        plot_widen(&f->x, &c->x, map->columns);
        plot_widen(&f->y, &c->y, map->rows);
    }
    free(y.values);
    return filled;
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
    plot_put_text(out, label, -1, c->right - c->left + 40, plot_font + 1);
}

/* What stands at the ticks of a y axis: its names, or numbers. */
static inline int plot_y_ticks(const plot_frame *f, const plot_scale *y,
                               plot_tick ticks[PLOT_TICKS]) {
    const int count = f->name_count < PLOT_TICKS ? f->name_count : PLOT_TICKS;
    if (!f->names) return plot_ticks(y, 6, ticks);
    for (int i = 0; i < count; i++) ticks[i].value = i + 1, ticks[i].major = 1;
    return count;
}

/* A tick's name, or its number in `text`. */
static inline const char *plot_y_label(const plot_frame *f, double value, char text[40]) {
    const char *name = f->names ? f->names[(int)value - 1] : NULL;
    if (!f->names) plot_tick_label(text, value);
    return !f->names ? text : name ? name : "";
}

/* Ticks and labels at the left, and lines across the panel. */
static inline void plot_put_y_axis(const plot_canvas *c, const char *label, const plot_tick *ticks,
                                   int count) {
    plot_buffer *out = c->out;
    char text[40];
    plot_puts(out, "<path class=\"plot-grid\" d=\"");
    for (int i = 0; i < count; i++)
        if (ticks[i].major && !c->on_grid)
            plot_format(out, "M%c %cH%c", c->left, plot_place(&c->y, ticks[i].value), c->right);
    plot_format(out, "\"/>\n<path class=\"plot-axis\" d=\"M%c %cV%c", c->left, c->top, c->bottom);
    for (int i = 0; i < count; i++)
        plot_format(out, "M%c %ch%c", c->left, plot_place(&c->y, ticks[i].value),
                    ticks[i].major ? -5.0 : -3.0);
    plot_puts(out, "\"/>\n");
    for (int i = 0; i < count; i++) {
        const double y = plot_place(&c->y, ticks[i].value) + 4.5;
        if (!ticks[i].major) continue;
        plot_format(out, "<text x=\"%c\" y=\"%c\" text-anchor=\"end\"", c->left - 8, y);
        plot_put_text(out, plot_y_label(c->frame, ticks[i].value, text), -1, c->left - 10,
                      plot_font);
    }
    if (!label) return;
    plot_format(out, "<text transform=\"translate(14 %c) rotate(-90)\" text-anchor=\"middle\"",
                (c->top + c->bottom) / 2);
    plot_put_text(out, label, -1, c->bottom - c->top + 30, plot_font + 1);
}

/* Room for the labels of the ticks at the left of a panel, three fifths of it at most. */
static inline double plot_left_margin(const plot_frame *f, const plot_tick *ticks, int count,
                                      double width) {
    double widest = 0;
    char text[40];
    for (int i = 0; i < count; i++) {
        if (!ticks[i].major) continue;
        widest = fmax(widest, plot_width(plot_y_label(f, ticks[i].value, text), -1, plot_font));
    }
    return fmin(widest, 0.6 * width) + 12 + (f->y.label ? 22 : 4);
}

/* How the panels of a figure lie: in rows, and below each other on a narrow page. */
typedef struct plot_layout {
    int columns;
    int lines;                 /* of the longest title of a panel */
    double width;              /* of a panel */
    double whole;              /* of the figure */
    double scale;              /* by which a panel is larger on a narrow page */
    double wide[2], narrow[2]; /* height of title and legend, and of the figure, in either */
} plot_layout;

/* Room for the title of a panel. */
static inline double plot_title_room(const plot_frame *f, double width) {
    if (f->pictures || f->names) return width - 8;
    return width - 70 - (f->map ? plot_key + 40 : 0);
}

/* Where a panel begins below its title. */
static inline double plot_panel_top(const plot_frame *f, const plot_layout *l) {
    return f->title || !f->pictures ? plot_top + plot_line_height * (l->lines - 1) : 4;
}

static inline double plot_panel_height(const plot_frame *f, const plot_layout *l) {
    const plot_mark *m = f->pictures;
    const double top = plot_panel_top(f, l);
    plot_gallery g;
    if (f->names) return top + plot_name_height * f->name_count + plot_bottom;
    if (!m) return top - plot_top + plot_high;
    g = plot_arrange(m, l->width - 8);
    return top + ((m->count - 1) / g.columns + 1) * g.down;
}

/* The title's last line stands above the panel. */
static inline void plot_put_title(const plot_canvas *c, const plot_frame *f, double width) {
    const double room = plot_title_room(f, width), size = plot_font + 2;
    const int lines = plot_count_lines(f->title, size, room);
    if (f->title)
        plot_put_lines(c->out, f->title, f->names ? 4 : c->left,
                       c->top - 12 - plot_line_height * (lines - 1), size, room);
}

static inline void plot_put_panel(plot_buffer *out, const plot_frame *f, const plot_layout *l,
                                  double width) {
    const plot_mark *map = f->map, *pictures = f->pictures;
    plot_canvas c;
    plot_tick ticks[PLOT_TICKS];
    int count, filled;
    memset(&c, 0, sizeof c);
    c.out = out, c.frame = f;
    c.top = plot_panel_top(f, l);
    if (pictures) {
        c.left = 4, c.right = width - 4;
        plot_put_title(&c, f, width);
        pictures->kind->draw(&c, pictures);
        return;
    }
    filled = plot_fit_axes(f, &c);
    c.on_map = map != NULL;
    c.bottom = plot_panel_height(f, l) - plot_bottom;
    c.y.from = c.bottom, c.y.to = c.top;
    count = plot_y_ticks(f, &c.y, ticks);
    c.left = c.x.from = plot_left_margin(f, ticks, count, width);
    c.right = c.x.to = width - 14 - (map ? plot_key : 0);
    plot_put_title(&c, f, width);
    if (map) plot_draw_key(&c, map);
    for (const plot_mark *m = f->first; m; m = m->next)
        if (m->kind->is_map) m->kind->draw(&c, m); /* below the axes */
    plot_put_y_axis(&c, f->y.label, ticks, count);
    plot_put_x_axis(&c, f->x.label);
    for (const plot_mark *m = f->first; m; m = m->next)
        if (!m->kind->is_map) m->kind->draw(&c, m);
    if (!filled)
        plot_format(out, "<text x=\"%c\" y=\"%c\" text-anchor=\"middle\">no values</text>\n",
                    (c.left + c.right) / 2, (c.top + c.bottom) / 2);
}

/* ---- the figure ------------------------------------------------------------------------------ */

/* On a narrow page, of figures of a class: the panels of a row stand below each other. */
#define PLOT_STACKED(figure)                                                             \
    "html .plot-row" figure "{aspect-ratio:var(--plot-shape);max-width:min(100%,440px)}" \
    "html " figure " .plot-panel{transform:var(--plot-place)}"                           \
    "html " figure " .plot-wide{display:none}html " figure " .plot-thin{display:inline}"

/* The same in all files. A page's text colour counts inside it; alone, the file goes by what the
   reader prefers, in colours that can be read on the other ground as well. */
static const char plot_rules[] =
    "<style>.plot{max-width:100%;height:auto}html .plot{color:inherit}"
    ".plot:root{color:#656d76;color-scheme:light dark}"
    "@media (prefers-color-scheme:dark){.plot:root{color:#9aa4ae}}"
    ".plot text{fill:currentColor}.plot .plot-small{font-size:12px}"
    ".plot .plot-title{font-weight:600}"
    ".plot .plot-axis,.plot .plot-grid,.plot .plot-guide,.plot .plot-line{fill:none}"
    ".plot .plot-band{fill-opacity:.22}"
    ".plot .plot-axis{stroke:currentColor}"
    ".plot .plot-grid{stroke:currentColor;stroke-opacity:.18}"
    ".plot .plot-contour{fill:none;stroke:currentColor}"
    ".plot .plot-light{fill:none;stroke:#fff;stroke-width:1.2}"
    ".plot .plot-shade{fill:none;stroke:#000;stroke-opacity:.6;stroke-width:3}"
    ".plot .plot-halo{fill:#fff;stroke:#000;stroke-opacity:.6;stroke-width:3;paint-order:stroke}"
    ".plot .plot-guide{stroke:currentColor;stroke-width:1.2;stroke-dasharray:5 4}"
    ".plot .plot-line{stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}"
    ".plot .plot-dots{stroke-width:3;stroke-linecap:round;stroke-opacity:.7}"
    "@media (max-width:560px){" PLOT_STACKED("") "}"
                                                 "@media (max-width:900px){" PLOT_STACKED(
                                                     ".plot-many") "}</style>\n";

/* A series as the legend shows it, 28 wide. */
static inline void plot_put_swatch(plot_buffer *out, int series, int kinds, double x, double y) {
    const char *colour = plot_colour(series);
    if (kinds & PLOT_BAND)
        plot_format(out, "<path class=\"plot-band\" fill=\"%s\" d=\"M%c %ch28v10h-28z\"/>\n",
                    colour, x, y - 5);
    if (kinds & PLOT_LINE) {
        plot_format(out, "<path class=\"plot-line\" stroke=\"%s\"", colour);
        plot_dash(out, series);
        plot_format(out, " d=\"M%c %ch28\"/>\n", x, y);
    }
    if (kinds & PLOT_POINTS || (kinds & PLOT_LINE && series >= 0)) /* grey lines have no markers */
        plot_format(out, "<path fill=\"%s\" stroke=\"%s\" d=\"M%c %c%s\"/>\n", colour, colour,
                    x + 14, y, plot_markers[plot_style(series)]);
}

/* Title and legend in a room; returns the height. */
static inline double plot_put_head(plot_buffer *out, const plot *p, double room) {
    double x = 4, y = p->title ? 22.0 * plot_count_lines(p->title, 17, room - 8) + 8 : 0;
    const int entries = p->series_count + (p->grey.name && p->grey.kinds);
    if (p->title) plot_put_lines(out, p->title, 4, 18, 17, room - 8);
    for (int i = 0; i < entries; i++) {
        const int is_grey = i == p->series_count;
        const plot_series *s = is_grey ? &p->grey : &p->series[i];
        const double width = fmin(plot_width(s->name, -1, plot_font), room - 44);
        if (x > 4 && x + 36 + width > room) x = 4, y += 22;
        plot_put_swatch(out, is_grey ? -1 : i, s->kinds, x, y + 10);
        plot_format(out, "<text x=\"%c\" y=\"%c\"", x + 34, y + 14.5);
        plot_put_text(out, s->name, -1, room - 38, plot_font);
        x += 34 + width + 18;
    }
    return entries ? y + 28 : y;
}

/* What is shown, in words. */
static inline void plot_tell(plot_buffer *out, const plot *p) {
    int number = 0;
    plot_format(out, "%d panel%s.", p->panels, p->panels == 1 ? "" : "s");
    for (const plot_frame *f = p->first; f; f = f->next) {
        plot_format(out, " %d: %w", ++number, f->title ? f->title : "untitled");
        if (!f->pictures)
            plot_format(out, "; %w%s against %w%s", f->y.label ? f->y.label : "values",
                        f->y.log ? " (logarithmic)" : "", f->x.label ? f->x.label : "values",
                        f->x.log ? " (logarithmic)" : "");
        for (int i = 0; i < f->name_count; i++)
            plot_format(out, "%s %d %w", i ? "," : "; rows", i + 1, f->names[i] ? f->names[i] : "");
        plot_puts(out, ".");
        for (const plot_mark *m = f->first; m; m = m->next) {
            plot_format(out, " %s", m->kind->name);
            if (m->series >= 0) plot_format(out, " %w", p->series[m->series].name);
            if (m->label) plot_format(out, " %w", m->label);
            m->kind->tell(out, m);
            plot_puts(out, ".");
        }
    }
}

/* Where a panel lies in the figure. */
typedef struct plot_place_of_panel {
    int column, next;    /* of the row; of the panel behind it */
    double wide, narrow; /* where it begins, in rows and below the others */
    double row, height;  /* height of its row so far, and its own; with the gap behind them */
} plot_place_of_panel;

/* Before the first panel. */
static inline plot_place_of_panel plot_begin_places(const plot_layout *l) {
    plot_place_of_panel at = {0, 0, 0, 0, 0, 0};
    at.wide = l->wide[0], at.narrow = l->narrow[0];
    return at;
}

/* Goes on to a panel, which begins a new row where the last one has no room for it. */
static inline void plot_next_place(plot_place_of_panel *at, const plot_frame *f,
                                   const plot_layout *l) {
    const int across = f->names ? l->columns : 1;
    at->narrow += at->height;
    at->height = plot_panel_height(f, l) + plot_gap;
    if (at->next + across > l->columns) at->wide += at->row, at->row = at->next = 0;
    at->column = at->next;
    at->next += across;
    at->row = fmax(at->row, at->height);
}

static inline plot_layout plot_lay_out(const plot *p, double wide_head, double narrow_head) {
    plot_layout l;
    plot_place_of_panel at;
    l.columns = p->columns < p->panels ? p->columns : p->panels > 0 ? p->panels : 1;
    l.width = l.columns > 1 ? plot_narrow : plot_wide;
    l.whole = l.columns * (l.width + plot_gap) - plot_gap;
    l.scale = l.whole / l.width;
    l.lines = 1;
    for (const plot_frame *f = p->first; f; f = f->next) {
        const int lines = plot_count_lines(f->title, plot_font + 2, plot_title_room(f, l.width));
        if (lines > l.lines) l.lines = lines;
    }
    l.wide[0] = wide_head, l.narrow[0] = narrow_head;
    at = plot_begin_places(&l);
    for (const plot_frame *f = p->first; f; f = f->next) plot_next_place(&at, f, &l);
    l.wide[1] = at.wide + at.row, l.narrow[1] = at.narrow + at.height;
    return l;
}

/* A panel as wide as the figure, once for rows and once, narrow, for panels below each other. */
static inline void plot_put_wide_panel(plot_buffer *out, const plot_frame *f, const plot_layout *l,
                                       const plot_place_of_panel *at) {
    plot_format(out, "<g class=\"plot-wide\" transform=\"translate(0 %c)\">\n", at->wide);
    plot_put_panel(out, f, l, l->whole);
    plot_format(out,
                "</g>\n<g class=\"plot-thin\" display=\"none\" transform=\"scale(%g) "
                "translate(0 %c)\">\n",
                l->scale, at->narrow);
    plot_put_panel(out, f, l, l->width);
    plot_puts(out, "</g>\n");
}

static inline void plot_put_panels(plot_buffer *out, const plot *p, const plot_layout *l) {
    plot_place_of_panel at = plot_begin_places(l);
    for (const plot_frame *f = p->first; f; f = f->next) {
        plot_next_place(&at, f, l);
        if (f->names && l->columns > 1) {
            plot_put_wide_panel(out, f, l, &at);
            continue;
        }
        plot_format(out, "<g transform=\"translate(%c %c)\"", at.column * (l->width + plot_gap),
                    at.wide);
        if (l->columns > 1)
            plot_format(out,
                        " class=\"plot-panel\" style=\"--plot-place:translate(0,%cpx) scale(%g)\"",
                        at.narrow * l->scale, l->scale);
        plot_puts(out, ">\n");
        plot_put_panel(out, f, l, l->width);
        plot_puts(out, "</g>\n");
    }
}

static inline void plot_put_figure(plot_buffer *out, const plot *p, const plot_layout *l,
                                   const char *wide, const char *narrow) {
    plot_format(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot%s\" role=\"img\" width=\"%c\" "
        "height=\"%c\" viewBox=\"0 0 %c %c\" preserveAspectRatio=\"xMinYMin\" "
        "color=\"#767676\" font-size=\"%c\" font-family=\"system-ui,'Segoe UI',Helvetica,"
        "Arial,'DejaVu Sans',sans-serif\"",
        l->columns > 2   ? " plot-row plot-many"
        : l->columns > 1 ? " plot-row"
                         : "",
        l->whole, l->wide[1], l->whole, l->wide[1], plot_font);
    if (l->columns > 1) plot_format(out, " style=\"--plot-shape:%c/%c\"", l->width, l->narrow[1]);
    plot_format(out, ">\n<title>%w</title>\n<desc>", p->title ? p->title : "Figure");
    plot_tell(out, p);
    plot_format(out, "</desc>\n%s<g%s>\n%s</g>\n", plot_rules,
                l->columns > 1 ? " class=\"plot-wide\"" : "", wide);
    if (l->columns > 1)
        plot_format(out,
                    "<g class=\"plot-thin\" display=\"none\" transform=\"scale(%g)\">\n%s"
                    "</g>\n",
                    l->scale, narrow);
    plot_put_panels(out, p, l);
    plot_puts(out, "</svg>\n");
}

/* The figure as text, to be freed; NULL if there is no memory. */
static inline char *plot_text(const plot *p) {
    plot_buffer out, wide, narrow;
    plot_layout l = plot_lay_out(p, 0, 0);
    memset(&out, 0, sizeof out);
    wide = narrow = out;
    plot_puts(&wide, "");
    plot_puts(&narrow, "");
    l = plot_lay_out(p, plot_put_head(&wide, p, l.whole), plot_put_head(&narrow, p, l.width));
    if (!wide.failed && !narrow.failed) plot_put_figure(&out, p, &l, wide.text, narrow.text);
    if (out.failed || wide.failed || narrow.failed) {
        free(out.text);
        out.text = NULL;
    }
    free(wide.text), free(narrow.text);
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
            for (int i = 0; m->captions && i < m->count; i++) free(m->captions[i]);
            free(m->x), free(m->y), free(m->z), free(m->pixels), free(m->captions);
            free(m->label), free(m);
        }
        for (int i = 0; i < f->name_count; i++) free(f->names[i]);
        free(f->names);
        free(f->title), free((char *)f->x.label), free((char *)f->y.label), free(f);
    }
    for (int i = 0; i < p->series_count; i++) free(p->series[i].name);
    free(p->series), free(p->grey.name), free(p->title), free(p);
}

/* Is it a plain file, or nothing yet? A device, a pipe or a link is not to be replaced. */
static inline int plot_is_replaceable(const char *path) {
#if defined(__unix__) || defined(__APPLE__)
    struct stat there;
    return lstat(path, &there) != 0 || S_ISREG(there.st_mode);
#else
    return (void)path, 1;
#endif
}

/* Writes text to path, by way of path.tmp if that is replaced; 0, or errno. */
static inline int plot_write(const char *path, const char *text) {
    const int replaces = plot_is_replaceable(path);
    char *temporary = (char *)malloc(strlen(path) + 5);
    FILE *file;
    int error = temporary ? 0 : ENOMEM;
    if (error) return error;
    strcpy(temporary, path);
    if (replaces) strcat(temporary, ".tmp");
    errno = 0;
    file = fopen(temporary, "wb");
    if (!file) error = errno ? errno : EIO;
    if (file && fputs(text, file) < 0) error = errno ? errno : EIO;
    if (file && fclose(file) && !error) error = errno ? errno : EIO;
#ifdef _WIN32
    if (!error) remove(path); /* rename does not replace files there */
#endif
    if (!error && replaces && rename(temporary, path)) error = errno ? errno : EIO;
    if (error && replaces && file) remove(temporary);
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
