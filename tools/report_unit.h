/* report_unit.h - residual units drawn as SVG from a net's list of nodes, in the order of
   operations and as the picture at the top of resnet.h: the residual path F at the left, the
   shortcut h beside it, gates between them.

           x_l
            |-----------+-----------.      split
           BN       gate (1x1)      |      row 1, ...
           ...          '-------> x (1 - g)
           (+)<---------------------'
            |
         x_{l+1}                                                                             */
#ifndef REPORT_UNIT_H
#define REPORT_UNIT_H

#include "../examples/plot.h"
#include "report_run.h"

enum {
    BOX_WIDTH = 132,
    BOX_HEIGHT = 40,
    COLUMN_WIDTH = BOX_WIDTH + 24,
    ROW_HEIGHT = 62,
    UNIT_TOP = 44,   /* middle of the first row's gap: where x_l splits */
    PLAIN_WIDTH = 46 /* of the shortcut's column, if there is only a line in it */
};

/* Where the nodes of a unit stand. */
typedef struct unit_view {
    const rn_net *net;
    int first, count; /* its nodes */
    int input;        /* the value that it reads */
    int add;          /* node */
    int columns, rows;
    int *column, *row; /* [count]; column 0: F and what both paths share; the last one: h */
} unit_view;

static inline const rn_node *node_of(const unit_view *u, int i) { return &u->net->nodes[i]; }
static inline int is_inside(const unit_view *u, int i) {
    return i >= u->first && i < u->first + u->count;
}

/* ---- placing --------------------------------------------------------------------------------- */

/* Marks the nodes from i back to the unit's input, along first inputs. */
static inline void mark_path(const unit_view *u, int *marks, int i, int mark) {
    for (; is_inside(u, i); i = node_of(u, i)->inputs[0]) marks[i - u->first] |= mark;
}

static inline void place_nodes(unit_view *u) {
    enum { RESIDUAL = 1, SHORTCUT = 2 };
    int *marks = (int *)allocate((size_t)u->count * sizeof(int));
    const rn_node *add = node_of(u, u->add);
    int i, k, gates = 0;
    memset(marks, 0, (size_t)u->count * sizeof(int));
    mark_path(u, marks, add->inputs[0], RESIDUAL);
    mark_path(u, marks, add->inputs[1], SHORTCUT);
    for (i = 0; i < u->count; i++) gates += !marks[i] && u->first + i < u->add;
    u->columns = gates + 2;
    gates = 0;
    for (i = 0; i < u->count; i++) {
        u->column[i] = u->first + i >= u->add || marks[i] & RESIDUAL ? 0
                       : marks[i] & SHORTCUT                         ? u->columns - 1
                                                                     : ++gates;
        u->row[i] = 0;
        for (k = 0; k < 2; k++) {
            const int from = node_of(u, u->first + i)->inputs[k];
            if (is_inside(u, from) && u->row[from - u->first] >= u->row[i])
                u->row[i] = u->row[from - u->first] + 1;
        }
        if (u->row[i] >= u->rows) u->rows = u->row[i] + 1;
    }
    free(marks);
}

/* Free it. */
static inline unit_view view_unit(const rn_net *net, const rn_unit *unit) {
    unit_view u;
    memset(&u, 0, sizeof u);
    u.net = net;
    u.first = unit->first;
    u.count = unit->next - unit->first;
    u.input = unit->input;
    u.add = unit->add;
    u.column = (int *)allocate((size_t)u.count * sizeof(int));
    u.row = (int *)allocate((size_t)u.count * sizeof(int));
    place_nodes(&u);
    return u;
}

static inline void free_view(unit_view *u) {
    free(u->column);
    free(u->row);
}

/* Do two units differ in nothing but sizes? */
static inline int is_alike(const unit_view *a, const unit_view *b) {
    int i, k, alike = a->count == b->count;
    for (i = 0; alike && i < a->count; i++) {
        const rn_node *x = node_of(a, a->first + i), *y = node_of(b, b->first + i);
        alike = x->kind == y->kind && !strcmp(x->role, y->role) && x->kernel == y->kernel &&
                x->stride == y->stride && x->complement == y->complement;
        for (k = 0; alike && k < 2; k++) {
            const int from = x->inputs[k], other = y->inputs[k];
            alike = (is_inside(a, from) ? from - a->first : -1) ==
                    (is_inside(b, other) ? other - b->first : -1);
        }
    }
    return alike;
}

/* ---- words ----------------------------------------------------------------------------------- */

/* What a box says, and its colour, by kind. */
static inline const char *node_words(const unit_view *u, int i, char words[64],
                                     const char **colour) {
    static const char *const times = "\xC3\x97", *const sigma = "\xCF\x83";
    const rn_node *n = node_of(u, i), *logits = node_of(u, n->inputs[1] < 0 ? i : n->inputs[1]);
    *colour = "other";
    switch (n->kind) {
    case RN_CONV2D:
        *colour = "conv";
        snprintf(words, 64, "conv %d%s%d", n->kernel, times, n->kernel);
        if (n->stride > 1) snprintf(words + strlen(words), 20, ", stride %d", n->stride);
        if (n->bias) snprintf(words + strlen(words), 20, " + bias");
        break;
    case RN_BATCH_NORM: *colour = "norm"; return "BN";
    case RN_GROUP_NORM: *colour = "norm"; return "group norm";
    case RN_EVONORM_S0: *colour = "norm"; return "EvoNorm-S0";
    case RN_RELU: *colour = "relu"; return "ReLU";
    case RN_GATE:
        *colour = "gate";
        snprintf(words, 64, n->complement ? "%s (1 \xE2\x88\x92 %s(%.20s))" : "%s %s(%.20s)", times,
                 sigma, logits->role);
        break;
    case RN_DROPOUT: /* of whole units, each with a ratio of its own */
        if (n->whole) return "stochastic depth";
        snprintf(words, 64, "dropout %g", (double)n->dropout);
        break;
    case RN_SCALE:
        *colour = "gate";
        snprintf(words, 64, "%s %g", times, (double)n->scale);
        break;
    case RN_PAD_SUBSAMPLE: return "subsample + zeros";
    case RN_AVG_POOL: snprintf(words, 64, "mean of %d%s%d", n->kernel, times, n->kernel); break;
    default: snprintf(words, 64, "%s", rn_kind_name(n->kind));
    }
    return words;
}

static inline void put_shape(plot_buffer *out, const rn_node *n) {
    plot_format(out, "%d\xC3\x97%d\xC3\x97%d", n->c, n->h, n->w);
}

/* The operations of a path, in order, to the node `last`. */
static inline void tell_path(plot_buffer *out, const unit_view *u, int last, const char *nothing) {
    char words[64];
    const char *colour;
    const int from = is_inside(u, last) ? node_of(u, last)->inputs[0] : -1;
    if (!is_inside(u, last)) {
        plot_puts(out, nothing);
        return;
    }
    tell_path(out, u, from, "");
    if (is_inside(u, from)) plot_puts(out, ", ");
    plot_format(out, "%w", node_words(u, last, words, &colour));
}

static inline void tell_unit(plot_buffer *out, const unit_view *u) {
    const rn_node *add = node_of(u, u->add);
    const int last = u->first + u->count - 1;
    plot_puts(out, "Residual path: ");
    tell_path(out, u, add->inputs[0], "nothing");
    plot_puts(out, ". Shortcut: ");
    tell_path(out, u, add->inputs[1], "the identity");
    plot_puts(out, ". After the addition: ");
    if (last == u->add) plot_puts(out, "nothing");
    for (int i = u->add + 1; i <= last; i++) {
        char words[64];
        const char *colour;
        plot_format(out, "%s%w", i > u->add + 1 ? ", " : "", node_words(u, i, words, &colour));
    }
    plot_puts(out, ".");
}

/* ---- drawing --------------------------------------------------------------------------------- */

static inline int has_boxes(const unit_view *u, int column) {
    int i;
    for (i = 0; i < u->count && u->column[i] != column;) i++;
    return i < u->count;
}

/* Middle of a column. */
static inline double column_x(const unit_view *u, int column) {
    const int plain = column == u->columns - 1 && !has_boxes(u, column);
    return 4 + BOX_WIDTH / 2.0 + column * COLUMN_WIDTH -
           (plain ? (BOX_WIDTH - PLAIN_WIDTH) / 2.0 : 0);
}

static inline double node_x(const unit_view *u, int i) {
    return column_x(u, is_inside(u, i) ? u->column[i - u->first] : 0);
}

/* Middle of a node's box; the input stands above the first one. */
static inline double node_y(const unit_view *u, int i) {
    return UNIT_TOP + ROW_HEIGHT * (is_inside(u, i) ? u->row[i - u->first] : -1) +
           ROW_HEIGHT / 2.0 + 2;
}

static inline double half_height(const unit_view *u, int i) {
    return !is_inside(u, i) ? 8 : i == u->add ? 13 : BOX_HEIGHT / 2.0;
}

/* A line from one node's value into another's input k: from above into the first one, from the side
   into the second, which is a gate's logits or what an addition's shortcut brings. */
static inline void put_edge(plot_buffer *out, const unit_view *u, int from, int to, int k) {
    const double x = node_x(u, from), target = node_x(u, to), y = node_y(u, to);
    const double half = to == u->add ? 14 : BOX_WIDTH / 2.0 + 1; /* of what it enters */
    const double lane = !k ? target : to == u->add ? column_x(u, u->columns - 1) : x;
    plot_format(out, "<path class=\"edge\" d=\"M%c %c", x, node_y(u, from) + half_height(u, from));
    if (fabs(lane - x) > 0) plot_format(out, "V%cH%c", node_y(u, from) + ROW_HEIGHT / 2.0, lane);
    if (k)
        plot_format(out, "V%cH%c\"/>\n", y, target + (lane > target ? half : -half));
    else
        plot_format(out, "V%c\"/>\n", y - half_height(u, to) - 1);
}

static inline void put_box(plot_buffer *out, const unit_view *u, int i) {
    const rn_node *n = node_of(u, i);
    const double x = node_x(u, i), y = node_y(u, i);
    const char *colour;
    char words[64], name[64];
    rn_node_name(u->net, i, name);
    if (i == u->add) {
        plot_format(out,
                    "<g class=\"box sum\"><title>%w</title><circle cx=\"%c\" cy=\"%c\" r=\"13\"/>"
                    "<path d=\"M%c %ch12m-6-6v12\"/></g>\n",
                    name, x, y, x - 6, y);
        return;
    }
    plot_format(out,
                "<g class=\"box %s\"><title>%w</title><rect x=\"%c\" y=\"%c\" width=\"%d\" "
                "height=\"%d\" rx=\"6\"/>",
                node_words(u, i, words, &colour) ? colour : "", name, x - BOX_WIDTH / 2.0,
                y - BOX_HEIGHT / 2.0, BOX_WIDTH, BOX_HEIGHT);
    plot_format(out, "<text x=\"%c\" y=\"%c\">%w</text><text class=\"small\" x=\"%c\" y=\"%c\">", x,
                y - 3, node_words(u, i, words, &colour), x, y + 13);
    if (strlen(n->role) <= 8) plot_format(out, "%w ", n->role); /* longer ones have no room */
    put_shape(out, n);
    plot_puts(out, "</text></g>\n");
}

/* x_l above, x_{l+1} below. */
static inline void put_ends(plot_buffer *out, const unit_view *u) {
    const double x = column_x(u, 0), y = node_y(u, u->first + u->count - 1);
    int split = node_of(u, u->add)->inputs[1]; /* what the shortcut reads */
    plot_format(out,
                "<text class=\"end\" x=\"%c\" y=\"16\">x<tspan class=\"small\" dy=\"4\">l</tspan>"
                "<tspan class=\"small\" dy=\"-4\" dx=\"8\">",
                x);
    put_shape(out, node_of(u, u->input));
    plot_format(out, "</tspan></text>\n<path class=\"edge\" d=\"M%c %cv20\"/>\n", x,
                y + half_height(u, u->first + u->count - 1));
    plot_format(out,
                "<text class=\"end\" x=\"%c\" y=\"%c\">x<tspan class=\"small\" dy=\"4\">l+1</tspan>"
                "</text>\n",
                x, y + half_height(u, u->first + u->count - 1) + 38);
    while (is_inside(u, split) && u->column[split - u->first]) split = node_of(u, split)->inputs[0];
    plot_format(out, "<text class=\"small\" x=\"%c\" y=\"%c\">%s</text>\n",
                column_x(u, u->columns - 1), node_y(u, split) + ROW_HEIGHT / 2.0 - 6,
                has_boxes(u, u->columns - 1) ? "h(x)" : "h(x) = x");
}

/* The unit as SVG: `label` is what it is called. */
static inline void put_unit(plot_buffer *out, const unit_view *u, const char *label) {
    const int last = u->first + u->count - 1;
    const double width =
        column_x(u, u->columns - 1) + (has_boxes(u, u->columns - 1) ? BOX_WIDTH / 2.0 + 4 : 40);
    const double height = node_y(u, last) + half_height(u, last) + 50;
    int i, k;
    plot_format(
        out,
        "<svg class=\"unit\" role=\"img\" width=\"%c\" height=\"%c\" viewBox=\"0 0 %c %c\">\n"
        "<title>%w</title>\n<desc>",
        width, height, width, height, label);
    tell_unit(out, u);
    plot_puts(out, "</desc>\n");
    for (i = u->first; i <= last; i++)
        for (k = 0; k < 2; k++)
            if (node_of(u, i)->inputs[k] >= 0) put_edge(out, u, node_of(u, i)->inputs[k], i, k);
    for (i = u->first; i <= last; i++) put_box(out, u, i);
    put_ends(out, u);
    plot_puts(out, "</svg>\n");
}

#endif /* REPORT_UNIT_H */
