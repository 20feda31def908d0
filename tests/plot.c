/* plot.c - examples/plot.h and plot_log.h: files are well-formed whatever they are given, the same
   each time, without ids and NaN; ticks; where values lie; contours, maps and pictures; logs. */

#include "../examples/plot.h"
#include "../examples/plot_log.h"
#include "test.h"

/* ---- XML ------------------------------------------------------------------------------------- */

static const char *skip_space(const char *at) { return at + strspn(at, " \t\r\n"); }

/* Behind a character that XML allows, read as UTF-8 by its value; NULL where none is. */
static const char *skip_utf8(const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    const int more = s[0] < 0x80       ? 0
                     : s[0] >> 5 == 6  ? 1
                     : s[0] >> 4 == 14 ? 2
                     : s[0] >> 3 == 30 ? 3
                                       : -1;
    static const unsigned long least[] = {0x20, 0x80, 0x800, 0x10000};
    unsigned long value = more < 1 ? s[0] : s[0] & (0x3Fu >> more);
    if (more < 0) return NULL;
    for (int i = 1; i <= more; i++) {
        if (s[i] >> 6 != 2) return NULL;
        value = value << 6 | (s[i] & 0x3F);
    }
    if (value < least[more] || (value >= 0xD800 && value < 0xE000) || value == 0xFFFE ||
        value == 0xFFFF || value > 0x10FFFF)
        return NULL;
    return text + more + 1;
}

/* Behind an entity or a character that may stand in text, NULL where none does. */
static const char *skip_character(const char *at) {
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;"};
    for (int i = 0; i < 4; i++)
        if (!strncmp(at, entities[i], strlen(entities[i]))) return at + strlen(entities[i]);
    if (*at == '&' || *at == '<') return NULL;
    if (*at == '\n') return at + 1;
    return skip_utf8(at);
}

/* Behind the attributes of a tag, NULL if they are not well-formed or one is there twice. */
static const char *skip_attributes(const char *at) {
    char names[20][40];
    int count = 0;
    for (at = skip_space(at); *at && !strchr("/>", *at); at = skip_space(at)) {
        const size_t length =
            strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-0123456789");
        if (!length || length >= sizeof names[0] || count == 20) return NULL;
        memcpy(names[count], at, length);
        names[count][length] = 0;
        for (int i = 0; i < count; i++)
            if (!strcmp(names[i], names[count])) return NULL;
        count++;
        if (strncmp(at += length, "=\"", 2) != 0) return NULL;
        for (at += 2; *at != '"';)
            if (!(at = skip_character(at))) return NULL;
        at++;
    }
    return at;
}

/* 1 if tags are closed in the order in which they were opened, within one root. */
static int is_well_formed(const char *at) {
    char open[20][16];
    int depth = 0, roots = 0;
    while (*at) {
        const int closes = at[0] == '<' && at[1] == '/';
        size_t length;
        if (*at != '<') {
            if (!depth && *at != '\n') return 0;
            if (!(at = skip_character(at))) return 0;
            continue;
        }
        at += 1 + closes;
        length = strcspn(at, " />");
        if (!length || length > 15) return 0;
        if (closes) {
            if (!depth-- || strncmp(open[depth], at, length) != 0 || open[depth][length]) return 0;
            if (at[length] != '>') return 0;
            at += length + 1;
            continue;
        }
        roots += !depth;
        memcpy(open[depth], at, length);
        open[depth++][length] = 0;
        if (depth == 20 || !(at = skip_attributes(at + length))) return 0;
        if (*at == '/') depth--, at++;
        if (*at++ != '>') return 0;
    }
    return depth == 0 && roots == 1;
}

static void check_checker(void) {
    CHECK(is_well_formed("<a b=\"1\" c=\"&lt;\"><d/>x &amp; y</a>\n"));
    CHECK(!is_well_formed("<a><b></a></b>"));
    CHECK(!is_well_formed("<a>"));
    CHECK(!is_well_formed("<a b=\"1\" b=\"2\"/>"));
    CHECK(!is_well_formed("<a>x & y</a>"));
    CHECK(!is_well_formed("<a b=\"<\"/>"));
    CHECK(!is_well_formed("<a>\x01</a>"));
    CHECK(!is_well_formed("<a>\xFF</a>"));
    CHECK(!is_well_formed("<a/><b/>"));
}

static int count_text(const char *text, const char *part) {
    int count = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part)) count++;
    return count;
}

/* The text of a figure, which is freed, after what is true of all; to be freed. */
static char *finish_figure(plot *p) {
    char *text = plot_text(p), *again = plot_text(p), *data;
    CHECK(text != NULL && again != NULL);
    if (!text || !again) exit(test_end("plot"));
    CHECK(!strcmp(text, again));
    free(again);
    CHECK(is_well_formed(text));
    CHECK(!strstr(text, " id=\""));
    CHECK(strstr(text, plot_rules) != NULL);
    CHECK_INT(count_text(text, "<title>"), 1);
    CHECK_INT(count_text(text, "<desc>"), 1);
    for (char *at = text; (data = strstr(at, "base64,")) != NULL; at = data) /* letters by chance */
        for (data += 7; *data != '"';) *data++ = '!';
    CHECK(!strstr(text, "nan") && !strstr(text, "inf,") && !strstr(text, "inf "));
    plot_free(p);
    return text;
}

static const plot_axis open_axis = {"quantity (unit)", 0, 0, 0};

/* ---- ticks ----------------------------------------------------------------------------------- */

/* Values of the ticks with labels and with `all` of those without, as text. */
static const char *ticks_of(int is_log, double least, double most, int parts, int whole, int all) {
    static char text[2000];
    plot_scale s = {0, 0, 0, 0, 0, 0};
    plot_tick ticks[PLOT_TICKS];
    int count, length = 0;
    s.log = is_log, s.whole = whole;
    s.least = plot_on_axis(is_log, least), s.most = plot_on_axis(is_log, most);
    count = plot_ticks(&s, parts, ticks);
    *text = 0;
    for (int i = 0; i < count; i++) {
        char label[40];
        if (!ticks[i].major && !all) continue;
        plot_tick_label(label, ticks[i].value);
        length += snprintf(text + length, sizeof text - (size_t)length, "%s ", label);
    }
    return text;
}

static void check_words(const char *words, const char *expected) {
    CHECK_TEXT(words, expected);
    CHECK_INT(strlen(words), strlen(expected));
}

static void check_ticks(void) {
    check_words(ticks_of(0, 0, 1, 5, 0, 1), "0 0.2 0.4 0.6 0.8 1 ");
    check_words(ticks_of(0, -0.3, 0.3, 6, 0, 1), "-0.3 -0.2 -0.1 0 0.1 0.2 0.3 ");
    check_words(ticks_of(0, 1, 3, 6, 1, 1), "1 2 3 ");
    check_words(ticks_of(0, 0, 64000, 4, 1, 1), "0 20k 40k 60k ");
    check_words(ticks_of(0, 64000, 0, 4, 1, 1), "0 20k 40k 60k ");
    check_words(ticks_of(0, 2.3, 2.4, 5, 0, 1), "2.3 2.32 2.34 2.36 2.38 2.4 ");
    check_words(ticks_of(1, 1e-6, 1, 6, 0, 0),
                "10\xE2\x81\xBB\xE2\x81\xB6 10\xE2\x81\xBB\xE2\x81\xB5 10\xE2\x81\xBB\xE2\x81\xB4 "
                "0.001 0.01 0.1 1 ");
    check_words(ticks_of(1, 1e-6, 1, 3, 0, 0),
                "10\xE2\x81\xBB\xE2\x81\xB6 10\xE2\x81\xBB\xE2\x81\xB4 0.01 1 ");
    check_words(ticks_of(1, 3, 30, 6, 0, 0), "5 10 20 ");
    check_words(ticks_of(1, 5, 200, 6, 0, 1), "5 6 7 8 9 10 20 30 40 50 60 70 80 90 100 200 ");
    check_words(ticks_of(1, 7.1, 7.4, 3, 0, 1), "7.1 7.2 7.3 7.4 ");
}

static void check_label(double value, const char *expected) {
    char label[40];
    plot_tick_label(label, value);
    check_words(label, expected);
}

static void check_labels(void) {
    check_label(0, "0");
    check_label(-0.0, "0");
    check_label(0.1 + 0.2, "0.3");
    check_label(30000, "30k");
    check_label(12500, "12.5k");
    check_label(9000, "9000");
    check_label(1.5e6, "1.5M");
    check_label(0.001, "0.001");
    check_label(-2e-7, "-2\xC2\xB7"
                       "10\xE2\x81\xBB\xE2\x81\xB7");
    check_label(1e12, "10\xC2\xB9\xC2\xB2");
}

static void check_numbers(void) {
    char text[40];
    plot_buffer out = {NULL, 0, 0, 0};
    plot_set_point(text, "-3,25e-07");
    check_words(text, "-3.25e-07");
    plot_set_point(text, "3\xD9\xAB"
                         "5"); /* the Arabic point */
    check_words(text, "3.5");
    plot_format(&out, "%c %c %c %c %c", 1.0, 12.34, -0.04, -7.96, 100000.05);
    check_words(out.text, "1 12.3 0 -8 100000.1");
    free(out.text);
}

/* ---- where values lie ------------------------------------------------------------------------ */

enum { MOST_POINTS = 20000 };
typedef struct path {
    int count, pieces; /* points; moves of the pen */
    double x[MOST_POINTS], y[MOST_POINTS];
} path;

/* The absolute coordinates of the nth path, from 0, of a class. */
static void read_path(path *p, const char *text, const char *name, int n) {
    char mark[40];
    snprintf(mark, sizeof mark, "class=\"%s\"", name);
    p->count = p->pieces = 0;
    for (int i = 0; i <= n && text; i++)
        if ((text = strstr(text, mark)) != NULL) text += strlen(mark);
    if (!text || !(text = strstr(text, " d=\""))) return;
    for (text += 4; *text != '"' && p->count < MOST_POINTS;) {
        const char command = *text++;
        char *end;
        if (command == 'z' || command == ' ') continue;
        if (command == 'h') { /* no other step than none */
            text++;
            continue;
        }
        p->pieces += command == 'M';
        p->x[p->count] = p->count ? p->x[p->count - 1] : 0;
        p->y[p->count] = p->count ? p->y[p->count - 1] : 0;
        if (command != 'V') p->x[p->count] = strtod(text, &end), text = end;
        if (command != 'H') p->y[p->count] = strtod(text, &end), text = end;
        p->count++;
    }
}

static path found, frame; /* frame: its y axis, from the top to the bottom at the left */

static char *draw_line(plot_axis x_axis, plot_axis y_axis, const double *x, const double *y,
                       int count) {
    plot *p = plot_begin("A line", 1);
    char *text;
    plot_panel(p, "Panel", x_axis, y_axis);
    plot_line(p, "line", x, y, count);
    text = finish_figure(p);
    read_path(&frame, text, "plot-axis", 0);
    read_path(&found, text, "plot-line", 1); /* behind the legend's */
    return text;
}

static void check_places(void) {
    static const plot_axis x_axis = {"x", 0, 0, 10}, y_axis = {"y", 0, -1, 1};
    static const plot_axis back = {"x", 0, 10, 0}, decades = {"y", 1, 1, 1000};
    static const double x[] = {0, 5, 10}, y[] = {-1, 0, 1}, powers[] = {1, 10, 1000};
    const double right = plot_wide - 14;
    double left;
    free(draw_line(x_axis, y_axis, x, y, 3));
    left = frame.x[0];
    CHECK_INT(found.count, 3);
    CHECK_NEAR(found.x[0], left, 0.06);
    CHECK_NEAR(found.y[0], frame.y[1], 0.06); /* the bottom */
    CHECK_NEAR(found.x[1], (left + right) / 2, 0.06);
    CHECK_NEAR(found.y[1], (frame.y[0] + frame.y[1]) / 2, 0.06);
    CHECK_NEAR(found.x[2], right, 0.06);
    CHECK_NEAR(found.y[2], frame.y[0], 0.06);
    free(draw_line(back, decades, x, powers, 3));
    CHECK_NEAR(found.x[0], right, 0.06);
    CHECK_NEAR(found.x[2], frame.x[0], 0.06);
    CHECK_NEAR(found.y[1], frame.y[1] - (frame.y[1] - frame.y[0]) / 3, 0.06);
    CHECK_NEAR(found.y[2], frame.y[0], 0.06);
}

/* Lines end at the edge of the panel, in the direction in which they go on. */
static void check_clipping(void) {
    static const plot_axis x_axis = {"x", 0, 0, 10}, y_axis = {"y", 0, 0, 1};
    static const double x[] = {-10, 10, 20, 5}, y[] = {-1, 1, 4, 9}, beyond[] = {-1e300, 1e300};
    free(draw_line(x_axis, y_axis, x, y, 2)); /* from the lower left corner */
    CHECK_INT(found.count, 2);
    CHECK_NEAR(found.x[0], frame.x[0], 0.06);
    CHECK_NEAR(found.y[0], frame.y[1], 0.06);
    free(draw_line(x_axis, y_axis, x + 2, y + 2, 2)); /* above */
    CHECK_INT(found.count, 0);
    free(draw_line(x_axis, y_axis, beyond, beyond, 2));
    CHECK(found.count > 0);
    for (int i = 0; i < found.count; i++)
        CHECK(found.x[i] >= frame.x[0] - 0.06 && found.y[i] >= frame.y[0] - 0.06 &&
              found.x[i] <= frame.x[1] + 0.06 && found.y[i] <= frame.y[1] + 0.06);
}

/* NaN and infinities break a line; a lone point stays; on a logarithmic axis so do 0 and less. */
static void check_gaps(void) {
    static const double x[] = {1, 2, 3, 4, 5, 6, 7}, y[] = {1, NAN, 2, INFINITY, 3, 4, -INFINITY};
    static const double falls[] = {10, 1, 0, -1, 1, 10, 100};
    plot_axis decades = {"y", 1, 0, 0};
    free(draw_line(open_axis, open_axis, x, y, 7));
    CHECK_INT(found.pieces, 3);
    free(draw_line(open_axis, decades, x, falls, 7));
    CHECK_INT(found.pieces, 2);
    CHECK_INT(found.count, 5);
}

/* A long curve is a small file that still shows its spikes, where they are. */
static void check_many(void) {
    enum { COUNT = 64000, SPIKE = 31234, HOLE = 50001 };
    static double x[COUNT], y[COUNT];
    static const plot_axis x_axis = {"step", 0, 0, 64000}, y_axis = {"y", 0, -2, 2};
    char *text;
    int up = -1, down = -1;
    for (int i = 0; i < COUNT; i++) x[i] = i, y[i] = sin(i * 12.9898) * sin(i * 0.07) / 2;
    y[SPIKE] = 1.5, y[HOLE] = -1.25;
    text = draw_line(x_axis, y_axis, x, y, COUNT);
    CHECK(strlen(text) < 40000);
    for (int i = 0; i < found.count; i++) {
        if (fabs(found.y[i] - (frame.y[1] - 3.5 / 4 * (frame.y[1] - frame.y[0]))) < 0.06) up = i;
        if (fabs(found.y[i] - (frame.y[1] - 0.75 / 4 * (frame.y[1] - frame.y[0]))) < 0.06) down = i;
        if (i) CHECK(found.x[i] >= found.x[i - 1]);
    }
    CHECK(up >= 0 && down >= 0);
    CHECK_NEAR(found.x[up > 0 ? up : 0],
               frame.x[0] + SPIKE / 64000.0 * (plot_wide - 14 - frame.x[0]), 0.06);
    free(text);
}

/* Axes that the data choose: from 0 if that is near, else with a margin; a diverging run leaves the
   others to be seen. */
static void check_ends(void) {
    static const double x[] = {1, 2, 3}, around[] = {10, 5, 1}, beyond[] = {10, 10.5, 11};
    double run[100], at[100];
    plot_frame f;
    plot_mark m;
    plot_canvas c;
    memset(&f, 0, sizeof f), memset(&m, 0, sizeof m), memset(&c, 0, sizeof c);
    plot_buffer out = {NULL, 0, 0, 0};
    c.out = &out;
    f.first = &m;
    m.kind = &plot_kind_line, m.count = 3;
    m.x = (double *)x, m.y = (double *)around;
    CHECK(plot_fit_axes(&f, &c));
    CHECK_NEAR(c.y.least, 0, 0);
    CHECK_NEAR(c.y.most, 10.5, 1e-12);
    CHECK_NEAR(c.x.least, 1, 0);
    CHECK_NEAR(c.x.most, 3, 0);
    CHECK_INT(c.x.whole, 1);
    m.y = (double *)beyond;
    plot_fit_axes(&f, &c);
    CHECK_NEAR(c.y.least, 9.95, 1e-12);
    CHECK_INT(c.y.whole, 0);
    for (int i = 0; i < 100; i++) at[i] = i, run[i] = i == 50 ? 1e6 : 1 + i % 2;
    m.x = at, m.y = run, m.count = 100;
    plot_fit_axes(&f, &c);
    CHECK(c.y.most > 2 && c.y.most < 5);
    f.y.log = 1;
    plot_fit_axes(&f, &c);
    CHECK(c.y.most > 6); /* there is room for it */
}

/* ---- bands, points, guides ------------------------------------------------------------------- */

static void check_bands(void) {
    static const plot_axis x_axis = {"x", 1, 1, 100}, y_axis = {"count", 0, 0, 4};
    static const double x[] = {1, 10}, y[] = {1, 4}, low[] = {0, 1}, high[] = {2, 9};
    plot *p = plot_begin(NULL, 1);
    char *text;
    plot_panel(p, NULL, x_axis, y_axis);
    plot_band(p, "band", x, low, high, 2);
    plot_points(p, "points", x, y, 2);
    plot_guide(p, 3, "the paper's");
    text = finish_figure(p);
    read_path(&frame, text, "plot-axis", 0);
    read_path(&found, text, "plot-band", 1); /* behind the legend's */
    CHECK_INT(found.count, 4);
    CHECK_NEAR(found.x[0], frame.x[0], 0.06);
    CHECK_NEAR(found.x[1], (frame.x[0] + plot_wide - 14) / 2, 0.06);
    CHECK_NEAR(found.y[0], frame.y[1], 0.06);
    CHECK_NEAR(found.y[1], frame.y[1] - (frame.y[1] - frame.y[0]) / 4, 0.06);
    CHECK_NEAR(found.y[2], frame.y[0], 0.06); /* 9 is beyond the axis */
    CHECK_NEAR(found.y[3], (frame.y[0] + frame.y[1]) / 2, 0.06);
    read_path(&found, text, "plot-guide", 0);
    CHECK_NEAR(found.y[0], frame.y[1] - 3.0 / 4 * (frame.y[1] - frame.y[0]), 0.06);
    CHECK_TEXT(text, ">the paper's</text>");
    free(text);
}

/* Where the words of a guide at 50 stand, below it and left of the panel's right end, beside points
   at these heights, from a column on. */
static void find_words(double from, const double *heights, int rows, double *below, double *left) {
    static const plot_axis x_axis = {"x", 0, 0, 10}, y_axis = {"y", 0, 0, 100};
    double x[400], y[400];
    int count = 0;
    plot *p = plot_begin(NULL, 1);
    char *text;
    const char *words;
    for (int i = 0; i < rows; i++)
        for (double at = from; at <= 10; at += 0.25) x[count] = at, y[count++] = heights[i];
    plot_panel(p, NULL, x_axis, y_axis);
    plot_points(p, "points", x, y, count);
    plot_guide(p, 50, "the paper's");
    text = finish_figure(p);
    read_path(&found, text, "plot-guide", 0);
    words = strstr(text, "class=\"plot-small\" x=\"");
    CHECK(words != NULL);
    if (!words) exit(test_end("plot"));
    *left = plot_wide - 14 - strtod(strchr(words, 'x') + 3, NULL);
    *below = strtod(strstr(words, " y=\"") + 4, NULL) - found.y[0];
    free(text);
}

/* Words beside a guide make way for points. */
static void check_guides(void) {
    static const double heights[] = {51, 47, 44,
                                     56}; /* 2.2 units of the figure are one of the axis */
    double below, left;
    find_words(0, heights, 0, &below, &left);
    CHECK_NEAR(below, -4, 0.11); /* above the guide, at its end */
    CHECK_NEAR(left, 4, 0.11);
    find_words(0, heights, 1, &below, &left);
    CHECK_NEAR(below, 13, 0.11); /* below it */
    CHECK_NEAR(left, 4, 0.11);
    find_words(0, heights, 2, &below, &left);
    CHECK_NEAR(below, -10, 0.11); /* farther above */
    CHECK_NEAR(left, 4, 0.11);
    find_words(5, heights, 4, &below, &left);
    CHECK_NEAR(below, -4, 0.11); /* where there are none */
    CHECK(left > 200);
}

/* Points by the thousands are dots, no two of them in one place. */
static void check_dots(void) {
    static double x[50000], y[50000];
    plot *p = plot_begin("Dots", 1);
    char *text;
    for (int i = 0; i < 50000; i++) x[i] = i % 7, y[i] = i % 5;
    plot_points(p, "dots", x, y, 50000);
    text = finish_figure(p);
    read_path(&found, text, "plot-dots", 0);
    CHECK_INT(found.count, 35);
    free(text);
}

/* ---- series ---------------------------------------------------------------------------------- */

static void check_series(void) {
    static const double x[] = {1, 2}, y[] = {1, 2};
    plot *p = plot_begin("Series", 2);
    char *text, name[8] = "S0";
    plot_panel(p, "One", open_axis, open_axis);
    for (int i = 0; i < 9; i++, name[1]++) plot_line(p, name, x, y, 2);
    plot_panel(p, "Two", open_axis, open_axis);
    plot_line(p, "S1", x, y, 2);
    plot_line(p, NULL, x, y, 2);
    CHECK_INT(p->series_count, 9);
    text = finish_figure(p);
    CHECK_INT(count_text(text, ">S1</text>"), 2); /* for wide and for narrow pages */
    /* In both legends and both panels. */
    CHECK_INT(count_text(text, "class=\"plot-line\" stroke=\"#d55e00\" stroke-dasharray=\"7 3\""),
              4);
    CHECK_INT(count_text(text, "class=\"plot-line\" stroke=\"currentColor\""), 1);
    CHECK_TEXT(text, "style=\"--plot-shape:360/");
    CHECK(plot_style(0) != plot_style(8));
    free(text);
}

static double linear(int byte) {
    const double s = byte / 255.0;
    return s <= 0.03928 ? s / 12.92 : pow((s + 0.055) / 1.055, 2.4);
}
/* Contrast of two colours, as WCAG defines it. */
static double contrast(unsigned long a, unsigned long b) {
    double light[2];
    for (int i = 0; i < 2; i++) {
        const unsigned long c = i ? b : a;
        light[i] = 0.05 + 0.2126 * linear((int)(c >> 16 & 255)) +
                   0.7152 * linear((int)(c >> 8 & 255)) + 0.0722 * linear((int)(c & 255));
    }
    return fmax(light[0], light[1]) / fmin(light[0], light[1]);
}

/* What a colour is to the eyes of most, to those without red, green or blue cones (Machado,
   Oliveira and Fernandes 2009), as CIELAB of white D65. */
static void see(unsigned long colour, int eyes, double lab[3]) {
    static const double cones[4][3][3] = {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
                                          {{0.152286, 1.052583, -0.204868},
                                           {0.114503, 0.786281, 0.099216},
                                           {-0.003882, -0.048116, 1.051998}},
                                          {{0.367322, 0.860646, -0.227968},
                                           {0.280085, 0.672501, 0.047413},
                                           {-0.011820, 0.042940, 0.968881}},
                                          {{1.255528, -0.076749, -0.178779},
                                           {-0.078411, 0.930809, 0.147602},
                                           {0.004733, 0.691367, 0.303900}}};
    static const double xyz[3][3] = {{0.4124 / 0.95047, 0.3576 / 0.95047, 0.1805 / 0.95047},
                                     {0.2126, 0.7152, 0.0722},
                                     {0.0193 / 1.08883, 0.1192 / 1.08883, 0.9505 / 1.08883}};
    double rgb[3], seen[3], f[3];
    for (int i = 0; i < 3; i++) rgb[i] = linear((int)(colour >> (16 - 8 * i) & 255));
    for (int i = 0; i < 3; i++) {
        seen[i] = 0;
        for (int k = 0; k < 3; k++) seen[i] += cones[eyes][i][k] * rgb[k];
    }
    for (int i = 0; i < 3; i++) {
        const double t = xyz[i][0] * seen[0] + xyz[i][1] * seen[1] + xyz[i][2] * seen[2];
        f[i] = t > 0.008856 ? cbrt(t) : 7.787 * fmax(t, 0) + 16.0 / 116;
    }
    lab[0] = 116 * f[1] - 16, lab[1] = 500 * (f[0] - f[1]), lab[2] = 200 * (f[1] - f[2]);
}

/* No two colours are alike to any eyes: a difference of 2 can just be seen. */
static void check_eyes(void) {
    for (int eyes = 0; eyes < 4; eyes++)
        for (int i = 0; i < PLOT_STYLES; i++)
            for (int k = 0; k < i; k++) {
                double a[3], b[3];
                see(strtoul(plot_colours[i] + 1, NULL, 16), eyes, a);
                see(strtoul(plot_colours[k] + 1, NULL, 16), eyes, b);
                CHECK(sqrt(pow(a[0] - b[0], 2) + pow(a[1] - b[1], 2) + pow(a[2] - b[2], 2)) > 15);
            }
}

/* Lines have three times the luminance of either ground, or a third; words 4.5 times. */
static void check_contrast(void) {
    const unsigned long white = 0xFFFFFF, dark = 0x0D1117;
    for (int i = 0; i < PLOT_STYLES; i++) {
        const unsigned long colour = strtoul(plot_colours[i] + 1, NULL, 16);
        CHECK(contrast(colour, white) >= 3 && contrast(colour, dark) >= 3);
        for (int k = 0; k < i; k++) CHECK(strcmp(plot_colours[i], plot_colours[k]) != 0);
    }
    CHECK_TEXT(plot_rules, ".plot:root{color:#656d76");
    CHECK(contrast(0x656D76, white) >= 4.5 && contrast(0x656D76, dark) >= 3.5);
    CHECK_TEXT(plot_rules, "dark){.plot:root{color:#9aa4ae");
    CHECK(contrast(0x9AA4AE, dark) >= 4.5 && contrast(0x9AA4AE, white) >= 2.5);
    CHECK(contrast(0x767676, white) >= 4.5 && contrast(0x767676, dark) >= 4);
}

/* ---- maps and contours ----------------------------------------------------------------------- */

/* The values of a map as the bytes of its picture, from the top. */
static void read_map(const double *values, int columns, int rows, int is_log,
                     unsigned char *pixels) {
    plot *p = plot_begin("Map", 1);
    plot_heat(p, values, columns, rows, NULL, is_log);
    plot_paint_map(p->first->first, 0, 0, pixels);
    free(finish_figure(p));
}

/* Maps of one quantity have one scale, others their own. */
static void check_scales(void) {
    static const double low[] = {0, 1}, high[] = {3, 4};
    plot *p = plot_begin("Maps", 2);
    const plot_axis axis = {"", 0, 0, 0};
    unsigned char pixels[2];
    plot_heat(p, low, 2, 1, "loss", 0);
    plot_panel(p, NULL, axis, axis);
    plot_heat(p, high, 2, 1, "loss", 0);
    plot_panel(p, NULL, axis, axis);
    plot_heat(p, high, 2, 1, "norm", 0);
    plot_paint_map(p->first->first, 0, 0, pixels);
    CHECK_INT(pixels[0], 1);
    CHECK_INT(pixels[1], 1 + 64);
    plot_paint_map(p->first->next->first, 0, 0, pixels);
    CHECK_INT(pixels[0], 1 + 191);
    CHECK_INT(pixels[1], 255);
    plot_paint_map(p->last->first, 0, 0, pixels);
    CHECK_INT(pixels[0], 1);
    free(finish_figure(p));
}

static void check_map(void) {
    static const double values[] = {0, 1, NAN, 0.5}, powers[] = {1, 10, 100, 0};
    unsigned char pixels[4];
    read_map(values, 2, 2, 0, pixels);
    CHECK_INT(pixels[0], 0); /* no value */
    CHECK_INT(pixels[1], 128);
    CHECK_INT(pixels[2], 1);
    CHECK_INT(pixels[3], 255);
    read_map(powers, 4, 1, 1, pixels);
    CHECK_INT(pixels[0], 1);
    CHECK_INT(pixels[1], 128);
    CHECK_INT(pixels[2], 255);
    CHECK_INT(pixels[3], 0);
}

/* What a map of three columns and two rows looks like, and its contour, up to the axes' numbers; to
   be freed. */
static char *draw_turned(plot_axis x, plot_axis y, const double *values) {
    const double level = 2.5;
    plot *p = plot_begin("Map", 1);
    char *text, *image, *end;
    plot_panel(p, NULL, x, y);
    plot_heat(p, values, 3, 2, NULL, 0);
    plot_contours(p, values, 3, 2, &level, 1);
    text = plot_text(p);
    image = strstr(strstr(text, "base64,") + 1, "base64,"); /* behind that of the colours */
    end = strchr(image, '"');
    read_path(&found, text, "plot-light", 0);
    memmove(text, image, (size_t)(end - image));
    text[end - image] = 0;
    plot_free(p);
    return text;
}

/* On an axis that runs backwards the first row is at the top, where the axis has its number, and
   the first column at the right: as the values turned on axes that do not. */
static void check_backwards(void) {
    static const double values[] = {0, 1, 2, 3, 4, 6};
    static const double rows[] = {3, 4, 6, 0, 1, 2}, columns[] = {2, 1, 0, 6, 4, 3};
    static const plot_axis x = {"x", 0, 0, 2}, y = {"y", 0, 0, 1};
    static const plot_axis left = {"x", 0, 2, 0}, down = {"y", 0, 1, 0};
    static path expected;
    char *upright = draw_turned(x, y, values);
    for (int i = 0; i < 2; i++) {
        char *turned = draw_turned(x, y, i ? columns : rows), *backwards;
        double apart = 0;
        expected = found;
        backwards = draw_turned(i ? left : x, i ? y : down, values);
        CHECK(strcmp(turned, upright) != 0);
        CHECK(!strcmp(turned, backwards));
        CHECK(expected.count > 2 && expected.count == found.count);
        for (int k = 0; k < found.count; k++) {
            double nearest = 1e9;
            for (int n = 0; n < found.count; n++)
                nearest =
                    fmin(nearest, hypot(found.x[k] - expected.x[n], found.y[k] - expected.y[n]));
            apart = fmax(apart, nearest);
        }
        CHECK_NEAR(apart, 0, 0.11);
        free(turned), free(backwards);
    }
    free(upright);
}

static char *draw_contours(plot_axis axis, const double *values, int columns, int rows,
                           double level, int on_map) {
    plot *p = plot_begin("Contours", 1);
    char *text;
    plot_panel(p, "Panel", axis, axis);
    if (on_map) plot_heat(p, values, columns, rows, "loss (nats)", 0);
    plot_contours(p, values, columns, rows, &level, 1);
    text = finish_figure(p);
    read_path(&frame, text, "plot-axis", on_map);
    return text;
}

/* Points of a circle's contour lie on the circle, on a map, too, whose cells reach beyond the
   axis. */
static void check_circle(int on_map) {
    enum { SIDE = 41 };
    static double values[SIDE * SIDE];
    static const plot_axis axis = {"x", 0, -1, 1};
    const double reach = on_map ? 1 + 1.0 / (SIDE - 1) : 1;
    const double right = plot_wide - 14 - (on_map ? plot_key : 0);
    char *text;
    for (int i = 0; i < SIDE * SIDE; i++)
        values[i] = hypot(i % SIDE / 20.0 - 1, i / SIDE / 20.0 - 1);
    text = draw_contours(axis, values, SIDE, SIDE, 0.5, on_map);
    read_path(&found, text, on_map ? "plot-light" : "plot-contour", 0);
    CHECK(found.count > 60);
    for (int i = 0; i < found.count; i++) {
        const double x = (found.x[i] - frame.x[0]) / (right - frame.x[0]) * 2 * reach - reach;
        const double y = (frame.y[1] - found.y[i]) / (frame.y[1] - frame.y[0]) * 2 * reach - reach;
        CHECK_NEAR(hypot(x, y), 0.5, 0.004);
    }
    CHECK_TEXT(text, ">0.5</text>");
    free(text);
}

/* In a saddle of high corners at the lower left and the upper right, lines go around the low
   corners where the middle is above the level, else around the high ones. */
static void check_saddle(void) {
    static const double values[] = {1, 0, 0, 1};
    static const plot_axis axis = {"x", 0, 0, 1};
    for (int high = 0; high < 2; high++) {
        char *text = draw_contours(axis, values, 2, 2, high ? 0.75 : 0.25, 0);
        int slopes = 0;
        for (int i = 0; i < 2; i++) {
            read_path(&found, text, "plot-contour", i);
            CHECK_INT(found.count, 4); /* the label's gap is between the middle two */
            slopes += (found.x[3] > found.x[0]) == (found.y[3] < found.y[0]) ? 1 : -1;
        }
        CHECK_INT(slopes, high ? -2 : 2); /* rising, or falling to the right */
        free(text);
    }
}

static void check_contour_gaps(void) {
    static const double values[] = {0, 1, 0, 1, NAN, 1, 0, 1, 0};
    static const double flat[] = {1, 1, 1, 1};
    char *text = draw_contours(open_axis, values, 3, 3, 0.5, 0);
    CHECK_INT(count_text(text, "\"plot-contour\""), 0); /* all cells have the NaN */
    free(text);
    text = draw_contours(open_axis, flat, 2, 2, 1, 1);
    free(text);
    free(draw_contours(open_axis, flat, 1, 1, 1, 1));
    free(draw_contours(open_axis, flat, 0, 3, 1, 1));
}

/* ---- pictures -------------------------------------------------------------------------------- */

static unsigned long word_at(const char *bytes) {
    const unsigned char *b = (const unsigned char *)bytes;
    return (unsigned long)b[0] << 24 | (unsigned long)b[1] << 16 | (unsigned long)b[2] << 8 | b[3];
}

/* Checksums against published ones: of the chunk that ends all PNG files, and of a word. */
static void check_checksums(void) {
    plot_buffer out = {NULL, 0, 0, 0};
    plot_put_chunk(&out, "IEND", "", 0);
    CHECK_INT(out.length, 12);
    CHECK_INT(word_at(out.text + 8), 0xAE426082);
    out.length = 0;
    plot_put_stored(&out, "Wikipedia", 9);
    CHECK_INT(word_at(out.text + out.length - 4), 0x11E60398);
    out.length = 0;
    plot_put_base64(&out, "Man", 3);
    plot_put_base64(&out, "Ma", 2);
    plot_put_base64(&out, "M", 1);
    check_words(out.text, "TWFuTWE=TQ==");
    free(out.text);
}

/* A picture larger than a block of stored bytes comes back. */
static void check_png(void) {
    enum { WIDTH = 200, HEIGHT = 150 };
    static unsigned char pixels[HEIGHT * WIDTH * 3], rows[HEIGHT * (WIDTH * 3 + 1)];
    plot_buffer out = {NULL, 0, 0, 0};
    const char *at;
    size_t length = 0, wrong = 0;
    unsigned long long a = 1, b = 0; /* sums of Adler-32 */
    int last = 0;
    for (int i = 0; i < HEIGHT * WIDTH * 3; i++) pixels[i] = (unsigned char)(i * 7 + i / 251);
    plot_put_png(&out, pixels, WIDTH, HEIGHT, 3, NULL);
    CHECK(!memcmp(out.text, "\x89PNG\r\n\x1a\n", 8));
    CHECK_INT(word_at(out.text + 16), WIDTH);
    CHECK_INT(word_at(out.text + 20), HEIGHT);
    CHECK(!memcmp(out.text + 24, "\x08\x02\0\0\0", 5));
    at = out.text + 33; /* IDAT */
    CHECK(!memcmp(at + 4, "IDAT\x78\x01", 6));
    for (at += 10; !last;) {
        const size_t part = (size_t)(unsigned char)at[1] | (size_t)(unsigned char)at[2] << 8;
        last = at[0];
        CHECK_INT((unsigned char)at[1] ^ (unsigned char)at[3], 255);
        if (length + part > sizeof rows) break;
        memcpy(rows + length, at + 5, part);
        length += part, at += 5 + part;
    }
    CHECK_INT(length, sizeof rows);
    for (size_t y = 0; y < HEIGHT; y++) {
        wrong += rows[y * (WIDTH * 3 + 1)] != 0;
        wrong += memcmp(rows + y * (WIDTH * 3 + 1) + 1, pixels + y * WIDTH * 3, WIDTH * 3) != 0;
    }
    CHECK_INT(wrong, 0);
    for (size_t i = 0; i < sizeof rows; i++) a += rows[i], b += a;
    CHECK_INT(word_at(at), b % 65521 << 16 | a % 65521);
    free(out.text);
}

static void check_images(void) {
    static unsigned char pixels[3 * 3 * 4]; /* three of 2 x 2, RGB */
    static const char *const captions[] = {"cat\nnot dog", NULL, "a < b"};
    unsigned char mixed[12];
    plot *p = plot_begin("Pictures", 1);
    char *text;
    for (int i = 0; i < 36; i++) pixels[i] = (unsigned char)i;
    plot_images(p, pixels, 3, 3, 2, 2, captions);
    plot_interleave(p->first->first, 1, mixed);
    CHECK_INT(mixed[0], 12);
    CHECK_INT(mixed[1], 16);
    CHECK_INT(mixed[2], 20);
    CHECK_INT(mixed[3], 13);
    text = finish_figure(p);
    CHECK_INT(count_text(text, "<image "), 3);
    CHECK_TEXT(text, ">not dog</text>");
    CHECK_TEXT(text, ">a &lt; b</text>");
    CHECK(!strstr(text, "plot-axis\""));
    free(text);
}

/* ---- words ----------------------------------------------------------------------------------- */

/* A long title of a panel has lines, and all panels make room for them. */
static void check_titles(void) {
    static const double x[] = {1, 2, 3}, y[] = {5, NAN, 7};
    plot *p = plot_begin("Titles", 2);
    char *text;
    plot_panel(p, "order=full_preact shortcut=scale shortcut_scale=0.5, step 160", open_axis,
               open_axis);
    plot_line(p, "a", x, y, 3);
    plot_panel(p, "Short", open_axis, open_axis);
    plot_guide(p, 6, "here");
    text = finish_figure(p);
    CHECK_TEXT(text, ">order=full_preact shortcut=scale</text>");
    CHECK_TEXT(text, ">shortcut_scale=0.5, step 160</text>");
    for (int i = 0; i < 2; i++) { /* a panel has two axes */
        read_path(&frame, text, "plot-axis", 2 * i);
        CHECK_NEAR(frame.y[0], plot_top + plot_line_height, 0.06);
        CHECK_NEAR(frame.y[1] - frame.y[0], plot_high - plot_bottom - plot_top, 0.06);
    }
    CHECK_TEXT(text, "line a, 2 values, 5 at 1 to 7 at 3.");
    CHECK_TEXT(text, "guide here at 6.");
    free(text);
}

/* Reads the place behind `before`, behind `at`; returns where it ends, NULL: there is none. */
static const char *read_place(const char *at, const char *before, double place[2]) {
    char *end;
    if (!at || !(at = strstr(at, before))) return NULL;
    place[0] = strtod(at + strlen(before), &end);
    place[1] = strtod(end, &end);
    return end;
}

/* A figure of two columns, in which a panel of names stands between one panel and two. */
static char *draw_names(void) {
    static const char *const names[] = {"one & all", "two", NULL};
    static const double x[] = {1, 3, NAN}, y[] = {1, 2, 3};
    plot *p = plot_begin("Names", 2);
    plot_panel(p, "First", open_axis, open_axis);
    plot_line(p, NULL, x, y, 3);
    plot_grey(p, "grey < all");
    plot_panel(p, "Second", open_axis, open_axis);
    plot_names(p, names, 3);
    plot_points(p, "points", x, y, 3);
    for (int i = 0; i < 2; i++) plot_panel(p, "Small", open_axis, open_axis);
    return finish_figure(p);
}

/* A panel of names has a row of the figure for itself, and its points stand at their names. */
static void check_names(void) {
    static const char label[] = "text-anchor=\"end\" font-size=\"13\">two</text>";
    static const char panel[] = "<g transform=\"translate(";
    const double high = plot_top + 3 * plot_name_height + plot_bottom + plot_gap;
    double first[2], wide[2], thin[2], third[2], fourth[2], mark[2];
    char *text = draw_names();
    const char *at;
    CHECK_INT(count_text(text, ">one &amp; all</text>"), 2); /* in rows, and narrow */
    CHECK_INT(count_text(text, label), 2);
    CHECK(strstr(text, "rows 1 one &amp; all, 2 two, 3 .") && strstr(text, "points, 2 values"));
    CHECK_INT(count_text(text, ">grey &lt; all</text>"), 2);
    at = read_place(text, panel, first);
    at = read_place(at, "<g class=\"plot-wide\" transform=\"translate(", wide);
    at = read_place(at, "<path fill=\"#0072b2\" stroke=\"#0072b2\" d=\"M", mark);
    at = read_place(at, "translate(", thin);
    at = read_place(at, panel, third);
    at = read_place(at, panel, fourth);
    CHECK(at != NULL);
    if (!at) exit(test_end("plot"));
    CHECK_NEAR(wide[0], 0, 0.06);
    CHECK_NEAR(wide[1] - first[1], plot_high + plot_gap, 0.06);
    CHECK_NEAR(thin[1] - first[1], plot_high + plot_gap, 0.06);
    CHECK_NEAR(mark[1], plot_top + plot_name_height / 2, 0.06); /* of the first name */
    CHECK_NEAR(third[0], 0, 0.06);
    CHECK_NEAR(third[1] - wide[1], high, 0.06);
    CHECK_NEAR(fourth[0], plot_narrow + plot_gap, 0.06);
    CHECK_NEAR(fourth[1], third[1], 0.06);
    free(text);
}

/* What is called grey is in the legend only where something is. */
static void check_grey(void) {
    plot *p = plot_begin("Nothing in grey", 1);
    char *text;
    plot_panel(p, NULL, open_axis, open_axis);
    plot_grey(p, "grey");
    plot_guide(p, 1, "a guide");
    text = finish_figure(p);
    CHECK(!strstr(text, ">grey</text>"));
    free(text);
}

/* A contour leaves out what its label covers, and no more. */
static void check_label_gap(void) {
    static const double values[] = {0, 0, 2, 2}; /* one line, straight across */
    static const plot_axis axis = {"x", 0, 0, 1};
    char *text = draw_contours(axis, values, 2, 2, 1, 0);
    read_path(&found, text, "plot-contour", 0);
    CHECK_INT(found.count, 4);
    CHECK_INT(found.pieces, 2);
    CHECK_NEAR(found.x[0], frame.x[0], 0.06);
    CHECK_NEAR(found.x[2] - found.x[1], plot_width("1", -1, 12) + 4, 0.11);
    CHECK_NEAR(found.x[3], plot_wide - 14, 0.06);
    free(text);
}

/* ---- what nobody should do ------------------------------------------------------------------- */

static void check_hostile(void) {
    static const char *const words[] = {"</svg><script>alert(1)</script>",
                                        "\"quoted\" & 'so' ]]>",
                                        "\x01\x02\x1B\x7F",
                                        "\xFF\xC0\x80\xED\xA0\x80\xEF\xBF\xBF\xF5\x80\x80\x80",
                                        "\xE2\x88\x82",
                                        "cut \xE2\x88",
                                        "%s%n%c",
                                        "",
                                        "line\none\ttab"};
    static const double x[] = {1, 2}, y[] = {3, 4};
    for (int i = 0; i < 9; i++) {
        const plot_axis axis = {words[i], 0, 0, 0};
        plot *p = plot_begin(words[i], 2);
        char *text;
        plot_panel(p, words[i], axis, axis);
        plot_line(p, words[i], x, y, 2);
        plot_guide(p, 3, words[i]);
        plot_panel(p, words[i], axis, axis);
        plot_heat(p, y, 2, 1, words[i], 1);
        plot_panel(p, words[i], axis, axis);
        plot_images(p, (const unsigned char *)"1234", 1, 1, 2, 2, &words[i]);
        text = finish_figure(p);
        CHECK(!strstr(text, "<script"));
        free(text);
    }
}

static void check_nothing(void) {
    static const double none[1] = {NAN}, one[2] = {5, 5}, huge[2] = {-1e308, 1e308};
    const plot_axis decades = {"y", 1, 0, 0}, wrong = {"y", 1, -1, 0};
    char *text;
    plot *p = plot_begin(NULL, 0);
    free(finish_figure(p));
    p = plot_begin("Nothing", 3);
    for (int i = 0; i < 7; i++) {
        plot_panel(p, NULL, i % 2 ? decades : open_axis,
                   i == 6  ? wrong
                   : i > 3 ? decades
                           : open_axis);
        plot_line(p, "a", none, none, i % 2);
        plot_points(p, "b", one, one, i / 2 - 1);
        plot_band(p, "d", none, none, none, 1);
        plot_guide(p, i ? NAN : 1, NULL);
        if (i == 5) plot_heat(p, none, 1, 1, NULL, 0);
    }
    text = finish_figure(p);
    CHECK_TEXT(text, ">no values</text>");
    free(text);
    p = plot_begin("A guide alone", 1);
    plot_guide(p, 5, "the paper's");
    text = finish_figure(p);
    CHECK_TEXT(text, ">no values</text>");
    free(text);
    p = plot_begin("Huge", 1);
    plot_line(p, "huge", huge, huge, 2);
    free(finish_figure(p));
    errno = 0;
    plot_line(NULL, "a", one, one, 1); /* of a figure for which there was no memory */
    plot_panel(NULL, "a", decades, decades);
    CHECK(plot_save(NULL, "plot_test.svg") == -1 && errno == ENOMEM);
}

/* Is a file there? */
static int exists(const char *name) {
    FILE *file = fopen(name, "rb");
    return file && !fclose(file);
}

static void check_saving(void) {
    static const double x[] = {1, 2};
    plot *p = plot_begin("Saved", 1);
    char *text, *stored;
    plot_line(p, "a", x, x, 2);
    text = plot_text(p);
    CHECK_INT(plot_save(p, "plot_test.svg"), 0);
    stored = plot_read_file("plot_test.svg");
    CHECK(stored && text && !strcmp(stored, text));
    CHECK(!exists("plot_test.svg.tmp"));
    free(text), free(stored);
    p = plot_begin("Again", 1);
    CHECK_INT(plot_save(p, "plot_test.svg"), 0); /* over the old one */
    p = plot_begin("Nowhere", 1);
    errno = 0;
    CHECK(plot_save(p, "no_such_directory/plot_test.svg") == -1 && errno == ENOENT);
    remove("plot_test.svg");
    p = plot_begin("A directory", 1);
    CHECK_INT(plot_save(p, "."), -1);
    CHECK(!exists("..tmp"));
}

/* ---- logs ------------------------------------------------------------------------------------ */

static void write_file(const char *name, const char *text) {
    FILE *file = fopen(name, "wb");
    CHECK(file && fputs(text, file) >= 0 && !fclose(file));
}

static void check_table(void) {
    char error[PLOT_SENTENCE] = "";
    plot_table t;
    double *column;
    write_file("plot_test.csv",
               "epoch,iteration,loss\r\n1,10,0.5\r\n\r\n2,20,\r\n3, 30 ,nan\r\n4,40");
    CHECK(plot_read_table(&t, "plot_test.csv", error));
    CHECK_INT(t.columns, 3);
    CHECK_INT(t.rows, 3); /* the last is still being written */
    column = plot_column(&t, "iteration");
    CHECK(column && column[2] == 30);
    free(column);
    column = plot_column(&t, "loss");
    CHECK(column && column[0] == 0.5 && column[1] != column[1] && column[2] != column[2]);
    free(column);
    CHECK(!plot_column(&t, "los"));
    plot_free_table(&t);
    write_file("plot_test.csv", "a,b\n1,2\n3\n");
    CHECK(!plot_read_table(&t, "plot_test.csv", error));
    CHECK_TEXT(error, "plot_test.csv, line 3: 1 values, but 2 columns");
    write_file("plot_test.csv", "a,b\n1,2x\n");
    CHECK(!plot_read_table(&t, "plot_test.csv", error));
    CHECK_TEXT(error, "plot_test.csv, line 2: not a number");
    write_file("plot_test.csv", "");
    CHECK(!plot_read_table(&t, "plot_test.csv", error));
    CHECK_TEXT(error, "is empty");
    remove("plot_test.csv");
    CHECK(!plot_read_table(&t, "plot_test.csv", error));
    CHECK_TEXT(error, "cannot read plot_test.csv");
}

static char *draw_logs(int count, const char *across) {
    static const char *const paths[] = {"plot_test.csv", "plot_test2.csv"};
    static const char *const names[] = {"first", "second"};
    plot_logs_job job = {paths, names, 0, "Logs", NULL, 0};
    char error[PLOT_SENTENCE] = "", *text;
    job.count = count, job.across = across;
    if (!plot_logs(&job, "plot_test.svg", error)) return NULL;
    text = plot_read_file("plot_test.svg");
    remove("plot_test.svg");
    return text;
}

static void check_logs(void) {
    char *text;
    write_file("plot_test.csv", "epoch,iteration,train_loss,train_error,test_loss,test_error\n"
                                "1,10,2,50,3,60\n2,20,1,40,2,50\n");
    text = draw_logs(1, NULL);
    CHECK(text && is_well_formed(text));
    CHECK(text && strstr(text, ">epoch</text>") && !strstr(text, ">Learning rate</text>"));
    CHECK(text && strstr(text, ">training</text>") && strstr(text, ">error (%)</text>"));
    free(text);
    write_file("plot_test2.csv", "epoch,iteration,train_loss,train_error,test_loss,test_error\n"
                                 "1,10,2,50,,\n1,20,1,40,,\n");
    text = draw_logs(2, NULL);
    CHECK(text && is_well_formed(text));
    CHECK(text && strstr(text, ">iteration</text>") && strstr(text, ">second</text>"));
    CHECK(text && strstr(text, ">Test error</text>") && strstr(text, ">Training loss</text>"));
    free(text);
    text = draw_logs(2, "epoch");
    CHECK(text && strstr(text, ">epoch</text>") && !strstr(text, ">iteration</text>"));
    free(text);
    write_file("plot_test.csv", "epoch,train_loss,test_loss,test_error\n1,2.4,73,60\n2,2,3,1\n");
    text = draw_logs(1, "epoch"); /* 73 is more than 10 times 2, but 2.4 is not; 60 % is no loss */
    CHECK(text && strstr(text, "Loss; loss (nats) (logarithmic) against epoch"));
    CHECK(text && strstr(text, "Error; error (%) against epoch"));
    free(text);
    text = draw_logs(2, "epoch");
    CHECK(text && strstr(text, "Test loss; loss (nats) (logarithmic) against epoch"));
    CHECK(text && strstr(text, "Training loss; loss (nats) against epoch"));
    free(text);
    write_file("plot_test2.csv", "epoch,train_loss,test_loss\n1,90,0\n2,80,0.1\n");
    text = draw_logs(2, "epoch"); /* 0 has no place on a logarithmic axis */
    CHECK(text && strstr(text, "Test loss; loss (nats) against epoch"));
    CHECK(text && strstr(text, "Training loss; loss (nats) (logarithmic) against epoch"));
    free(text);
    write_file("plot_test.csv", "epoch,train_loss,test_loss\n1,10.1,9.9\n2,1,1\n");
    text = draw_logs(1, "epoch"); /* what is more than 10 times the usual would be cut */
    CHECK(text && strstr(text, "Loss; loss (nats) (logarithmic) against epoch"));
    free(text);
    write_file("plot_test.csv", "iteration,train_loss,test_error\n10,2,\n20,1,\n");
    text = draw_logs(2, NULL); /* no panel without values */
    CHECK(text && !strstr(text, ">Test error</text>") && strstr(text, ">Training loss</text>"));
    free(text);
    write_file("plot_test.csv", "a,b\n1,2\n");
    CHECK(!draw_logs(1, NULL));
    write_file("plot_test.csv", "epoch,test_error\n");
    CHECK(!draw_logs(1, NULL));
    remove("plot_test.csv"), remove("plot_test2.csv");
}

static void check_name_without_seed(const char *name, const char *without) {
    char copy[40];
    strcpy(copy, name);
    plot_drop_seed(copy);
    check_words(copy, without);
}

/* Three logs of one name: what is missing in one does not count there. */
static void check_seeds(void) {
    static const char *const paths[] = {"plot_test.csv", "plot_test2.csv", "plot_test3.csv"};
    static const char *const names[] = {"same", "same", "same"};
    const plot_logs_job job = {paths, names, 3, "Seeds", NULL, 0};
    char error[PLOT_SENTENCE] = "", *text, *line;
    write_file("plot_test.csv", "epoch,test_error\n1,60\n2,50\n3,40\n");
    write_file("plot_test2.csv", "epoch,test_error\n1,70\n2,\n4,20\n5,nan\n");
    write_file("plot_test3.csv", "epoch,test_error\n4,30\n1,90\n"); /* in no order */
    CHECK(plot_logs(&job, "plot_test.svg", error));
    text = plot_read_file("plot_test.svg");
    CHECK(text && strstr(text, "band same, 4 values, 60 at 1 to 20 at 4, least 20, most 90."));
    line =
        text ? strstr(text, "line same, 4 values, 70 at 1 to 25 at 4, least 25, most 70.") : NULL;
    CHECK(line && !strstr(line + 1, "line same")); /* once */
    free(text);
    check_name_without_seed("a-seed0", "a");
    check_name_without_seed("a-seed1-seed10", "a-seed1");
    check_name_without_seed("a-seed", "a-seed");
    check_name_without_seed("-seed1", "-seed1");
    check_name_without_seed("seed1", "seed1");
    check_name_without_seed("a20", "a20");
    check_name_without_seed("b/a-seed12/log.csv", "b/a/log.csv");
    check_name_without_seed("b\\a-seed1\\log.csv", "b\\a\\log.csv");
    check_name_without_seed("b/a-seed1.csv", "b/a.csv");
    check_name_without_seed("b-seed1/a/log.csv", "b-seed1/a/log.csv");
    check_name_without_seed("log.csv", "log.csv");
    check_name_without_seed("", "");
    for (int i = 0; i < 3; i++) remove(paths[i]);
    remove("plot_test.svg");
}

int main(void) {
    check_checker();
    check_ticks(), check_labels(), check_numbers();
    check_places(), check_clipping(), check_gaps(), check_many(), check_ends();
    check_bands(), check_guides(), check_dots();
    check_series(), check_contrast(), check_eyes();
    check_map(), check_scales(), check_backwards(), check_circle(0), check_circle(1),
        check_saddle(), check_contour_gaps();
    check_checksums(), check_png(), check_images();
    check_titles(), check_names(), check_grey(), check_label_gap();
    check_hostile(), check_nothing(), check_saving();
    check_table(), check_logs(), check_seeds();
    return test_end("plot");
}
