/* lesions.c - what a trained net is worth without some of its residual units, or with units in each
   other's place, and through which paths its gradient flows: the experiments of Veit, Wilber and
   Belongie, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks" (2016, [V]).

   cc -O2 -fopenmp -o examples/lesions examples/lesions.c -lm && examples/lesions --help */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "measured.h"
#include "plot.h"

enum { MOST_UNITS = 4096, MOST_DRAWS = 500, MOST_SIZES = 12 /* see next_size */ };
enum { PARAMETERS = 0, STATISTICS = 1 };

/* A residual unit, and where its numbers lie among the net's: all its parameters and running
   statistics, and of the former those of the last layer of F that has any. */
typedef struct lesion_unit {
    rn_unit of;
    ptrdiff_t begin[2], end[2]; /* PARAMETERS, STATISTICS */
    ptrdiff_t last[2];          /* begin and end */
    int split;                  /* what both shortcut and F read; -1: see find_split */
    int reader;                 /* the first node that reads it */
} lesion_unit;

/* Measurements at some sizes, and their quartiles. */
typedef struct sweep {
    double size[MOST_UNITS + 1], median[MOST_UNITS + 1], low[MOST_UNITS + 1], high[MOST_UNITS + 1];
    int count;
} sweep;

typedef struct lesions {
    measurement m;
    const char *weights;
    long most, draws, paths, path_images;
    rn_data train, test;
    image_part images;
    trainer t;
    const rn_net *whole;
    lesion_unit units[MOST_UNITS];
    int count;            /* of them */
    const char *no_paths; /* why none is measured; NULL: they are */
    int bypass; /* a net without shortcuts: units are taken out, with their place in the list */
    /* The net that is measured next: see make_changed. */
    int order[MOST_UNITS];
    char out[MOST_UNITS];
    rn_real *changed[2];
    results results, gradients;
    progress progress;
    double intact[2];               /* loss and error of the whole net */
    double unit_errors[MOST_UNITS]; /* NaN: the unit stays */
    double swap_errors[MOST_SIZES * MOST_DRAWS], swap_taus[MOST_SIZES * MOST_DRAWS];
    int swap_count;
    sweep sets, swaps, norms;          /* errors, errors, gradients by paths' length */
    double mean_norms[MOST_UNITS + 2]; /* by paths' length; behind these that by all paths */
} lesions;

/* ---- the units ------------------------------------------------------------------------------- */

/* The node of F whose parameters are its last: all zero, they make F zero. What follows it in F
   (a ReLU, a gate, a scale) leaves zero as it is. */
static int last_layer(const rn_net *net, const char *has_parameters, const rn_unit *unit) {
    int node = unit->residual;
    while (!has_parameters[node]) node = net->nodes[node].inputs[0];
    return node;
}

static void widen(ptrdiff_t *begin, ptrdiff_t *end, ptrdiff_t first, ptrdiff_t count) {
    if (*begin == *end) *begin = *end = first;
    *end = first + count;
}

/* Where the numbers of unit u lie. A net's arrays are in the order of its nodes. */
static void find_numbers(const rn_net *net, lesion_unit *u, int last) {
    rn_parameter p = {0};
    while (rn_next_parameter(net, &p)) {
        const rn_node *node = &net->nodes[p.node];
        const int which = p.role == RN_RUNNING_MEAN || p.role == RN_RUNNING_VAR;
        const ptrdiff_t first = p.data - (which ? net->statistics : net->parameters);
        if (node->stage != u->of.stage || node->unit != u->of.unit) continue;
        widen(&u->begin[which], &u->end[which], first, p.count);
        if (p.node == last && !which) widen(&u->last[0], &u->last[1], first, p.count);
    }
}

/* Where F and the shortcut part, if the shortcut is the identity, a scale, or A: only backward
   along those is computed here. */
static void find_split(const rn_net *net, lesion_unit *u) {
    const rn_node *nodes = net->nodes;
    int split = u->of.shortcut, v = u->of.residual;
    while (nodes[split].kind == RN_SCALE || nodes[split].kind == RN_PAD_SUBSAMPLE)
        split = nodes[split].inputs[0];
    while (v > split) v = nodes[v].inputs[0];
    u->split = v == split && u->of.gates[0] < 0 ? split : -1;
    for (u->reader = split + 1; u->split >= 0 && nodes[u->reader].inputs[0] != split;) u->reader++;
}

static void find_units(lesions *l) {
    const rn_net *net = l->whole;
    char *has = (char *)allocate((size_t)net->node_count);
    rn_unit unit;
    rn_parameter p = {0};
    memset(has, 0, (size_t)net->node_count);
    while (rn_next_parameter(net, &p)) has[p.node] = 1;
    memset(&unit, 0, sizeof unit);
    while (rn_next_unit(net, &unit)) {
        lesion_unit *u = &l->units[l->count];
        if (l->count++ == MOST_UNITS) quit(1, "%s has more than %d units", l->weights, MOST_UNITS);
        u->of = unit;
        find_numbers(net, u, last_layer(net, has, &unit));
        find_split(net, u);
    }
    free(has);
}

/* Makes ready for changes of a net, which is only read. */
static void examine(lesions *l, const rn_net *net) {
    l->whole = net;
    l->bypass = is_plain(&net->desc);
    l->changed[PARAMETERS] = (rn_real *)allocate((size_t)net->parameter_count * sizeof(rn_real));
    l->changed[STATISTICS] = (rn_real *)allocate((size_t)net->statistic_count * sizeof(rn_real));
    find_units(l);
}

/* A stage's first unit changes the shape, or activates what its shortcut sees: it is not like the
   others. Without a shortcut nothing can take its place. */
static int is_first(const lesions *l, int i) { return l->units[i].of.unit == 0; }

/* ---- changed nets ---------------------------------------------------------------------------- */

/* Parameters or statistics of the whole net, with unit order[i] in place of i, and without the
   place of those that are out if they are bypassed. */
static void pack(const lesions *l, int which, const int *order, const char *out) {
    const rn_real *from = which ? l->whole->statistics : l->whole->parameters;
    const ptrdiff_t all = which ? l->whole->statistic_count : l->whole->parameter_count;
    const ptrdiff_t tail = l->units[l->count - 1].end[which];
    rn_real *to = l->changed[which];
    ptrdiff_t at = l->units[0].begin[which];
    int i;
    memcpy(to, from, (size_t)at * sizeof *to);
    for (i = 0; i < l->count; i++) {
        const lesion_unit *u = &l->units[order[i]];
        const ptrdiff_t count = u->end[which] - u->begin[which];
        if (l->bypass && out[i]) continue;
        memcpy(to + at, from + u->begin[which], (size_t)count * sizeof *to);
        at += count;
    }
    memcpy(to + at, from + tail, (size_t)(all - tail) * sizeof *to);
}

/* The net with unit order[i] in place of i, and without those whose `out` is 1: of these F is zero,
   so that the shortcut, and what follows the addition, is all that is left. In a net without
   shortcuts they are not there: x_{l+1} = x_l. It lives on l->changed, until the next call. */
static rn_net *make_changed(const lesions *l, const int *order, const char *out) {
    rn_desc desc = l->whole->desc;
    rn_error error;
    rn_net *net;
    int i;
    pack(l, PARAMETERS, order, out);
    pack(l, STATISTICS, order, out);
    for (i = 0; i < l->count; i++) {
        const lesion_unit *u = &l->units[i];
        if (!out[i]) continue;
        if (l->bypass)
            desc.units[u->of.stage - 1]--;
        else
            memset(l->changed[PARAMETERS] + u->last[0], 0,
                   (size_t)(u->last[1] - u->last[0]) * sizeof(rn_real));
    }
    desc.depth = 0;
    net = rn_create_over(&desc, l->whole->batch, l->changed[PARAMETERS], l->changed[STATISTICS],
                         &large_pages, &error);
    if (!net) check(error.status, &error);
    return net;
}

/* Loss and error of the next net, from the file if it was measured before. 0 if it was stopped. */
static int measure(lesions *l, const char *key, double values[2]) {
    rn_net *whole = l->t.net;
    int done;
    if (find_result(&l->results, key, values)) {
        l->progress.total--;
        return 1;
    }
    l->t.net = make_changed(l, l->order, l->out);
    done = measure_net(&l->t, &l->images.source, values);
    rn_destroy(l->t.net);
    l->t.net = whole;
    if (!done) return 0;
    add_result(&l->results, key, values);
    l->progress.done++;
    show_progress(&l->progress, "%s: error %.2f %%", key, values[1]);
    return 1;
}

/* ---- one unit, sets of units, units swapped -------------------------------------------------- */

static void in_order(const lesions *l, int *order, char *out) {
    int i;
    for (i = 0; i < l->count; i++) order[i] = i;
    memset(out, 0, (size_t)l->count);
}

/* Each unit alone left out; NaN for those that stay. */
static int leave_out_each(lesions *l) {
    char key[KEY_LENGTH];
    double values[2];
    int i;
    in_order(l, l->order, l->out);
    if (!measure(l, "whole,0,0,,1", l->intact)) return 0;
    for (i = 0; i < l->count; i++) {
        const rn_unit *u = &l->units[i].of;
        l->unit_errors[i] = NAN;
        if (l->bypass && is_first(l, i)) continue;
        in_order(l, l->order, l->out);
        l->out[i] = 1;
        snprintf(key, sizeof key, "unit,1,%d,layer%d.%d,1", i, u->stage, u->unit);
        if (!measure(l, key, values)) return 0;
        l->unit_errors[i] = values[1];
    }
    return 1;
}

/* A whole number below `count`: draw `index` of a stream. */
static int draw_below(const lesions *l, uint64_t purpose, int size, uint64_t index, int count) {
    rn_key key;
    int drawn;
    key.seed = (uint64_t)l->m.seed;
    key.purpose = purpose;
    key.epoch = (uint64_t)size;
    drawn = (int)(rn_uniform(key, index) * count);
    return drawn < count ? drawn : count - 1;
}

/* Draws `size` different ones of the units that may be left out; returns how many these are. */
static int draw_set(const lesions *l, uint64_t purpose, int size, int draw, char *out) {
    int *left = (int *)allocate((size_t)l->count * sizeof *left), count = 0, i;
    memset(out, 0, (size_t)l->count);
    for (i = 0; i < l->count; i++)
        if (!l->bypass || !is_first(l, i)) left[count++] = i;
    for (i = 0; i < size && i < count; i++) {
        const uint64_t index = (uint64_t)draw * MOST_UNITS + (uint64_t)i;
        const int k = i + draw_below(l, purpose, size, index, count - i);
        out[left[k]] = 1;
        left[k] = left[i];
    }
    free(left);
    return count;
}

/* The pair with this number of those of one stage, stages' first units aside; returns how many
   there are. */
static int find_pair(const lesions *l, int number, int pair[2]) {
    int i, k, count = 0;
    for (i = 0; i < l->count; i++)
        for (k = i + 1; k < l->count && l->units[k].of.stage == l->units[i].of.stage; k++)
            if (!is_first(l, i) && count++ == number) pair[0] = i, pair[1] = k;
    return count;
}

/* Swaps `size` pairs, one after the other. */
static void draw_order(const lesions *l, int size, int draw, int *order) {
    int i, pair[2], unit;
    const int pairs = find_pair(l, -1, pair);
    for (i = 0; i < l->count; i++) order[i] = i;
    for (i = 0; i < size; i++) {
        const uint64_t index = (uint64_t)draw * MOST_UNITS + (uint64_t)i;
        find_pair(l, draw_below(l, PURPOSE_SWAP, size, index, pairs), pair);
        unit = order[pair[0]];
        order[pair[0]] = order[pair[1]];
        order[pair[1]] = unit;
    }
}

/* Kendall's rank correlation of an order with that of the net: 1 if nothing was moved. */
static double kendall_tau(const int *order, int count) {
    double inversions = 0;
    int i, k;
    for (i = 0; i < count; i++)
        for (k = i + 1; k < count; k++) inversions += order[i] > order[k];
    return count < 2 ? 1 : 1 - 4 * inversions / ((double)count * (count - 1));
}

/* The next size, of which these are the measurements; sorts them. */
static void add_size(sweep *s, int size, double *values, int count) {
    s->size[s->count] = size;
    s->median[s->count] = quantile(values, count, 0.5);
    s->low[s->count] = quantile(values, count, 0.25);
    s->high[s->count++] = quantile(values, count, 0.75);
}

/* Sizes 1 to `most`, a dozen of them at most: the one behind `size`, from 0 on. */
static int next_size(int size, int most) {
    const int step = (most + 9) / 10;
    return size == 0 ? 1 : size == 1 && step > 1 ? step : size + step;
}

static int count_sizes(int most) {
    int count = 0, size;
    for (size = 1; size <= most; size = next_size(size, most)) count++;
    return count;
}

/* Sets of units left out, or pairs of units swapped. */
static int run_sweep(lesions *l, sweep *s, int most, int swaps) {
    double errors[MOST_DRAWS], values[2], tau;
    char key[KEY_LENGTH];
    int draw, size;
    for (size = 1; size <= most; size = next_size(size, most)) {
        for (draw = 0; draw < l->draws; draw++) {
            in_order(l, l->order, l->out);
            if (swaps)
                draw_order(l, size, draw, l->order);
            else
                draw_set(l, PURPOSE_SET, size, draw, l->out);
            tau = kendall_tau(l->order, l->count);
            snprintf(key, sizeof key, "%s,%d,%d,,%.6g", swaps ? "swap" : "set", size, draw, tau);
            if (!measure(l, key, values)) return 0;
            errors[draw] = values[1];
            if (!swaps) continue;
            l->swap_errors[l->swap_count] = values[1];
            l->swap_taus[l->swap_count++] = tau;
        }
        add_size(s, size, errors, (int)l->draws);
    }
    return 1;
}

/* ---- paths ----------------------------------------------------------------------------------

   A net of n units is 2^n paths: each goes through F or along the shortcut of each unit ([V],
   section 3). Backward along one path, and its gradient dE/dx_0 at the first unit, is measured in a
   training pass whose probe changes, behind each unit, what it hands on ([V], section 4.3): all of
   it is

       dE/dx_l = dE/dy_l (dh/dx_l + dF/dx_l)

   of which the first term is the shortcut's. Forward is the whole net's. */

typedef struct path_walk {
    const lesions *l;
    rn_net *net; /* a training one of the whole net's weights */
    rn_real *images;
    int *labels;
    const char *through; /* [unit] 1: through F, 0: along the shortcut; NULL: all paths */
    int unit;            /* whose input's gradient is next */
    double norm;         /* of dE/dx_0 */
    rn_real *room[3];    /* each for the largest gradient */
    rn_status status;
    rn_error error;
} path_walk;

static rn_tensor value_of(const rn_net *net, int node, rn_real *room) {
    const rn_node *n = &net->nodes[node];
    return rn_tensor_in(room, net->held, n->c, n->h, n->w);
}

/* dE/dy dh/dx into room[0], from dE/dy there, by room[1]. */
static void shortcut_backward(path_walk *w, const rn_net *net, const lesion_unit *u) {
    int v;
    for (v = u->of.shortcut; v != u->split && !w->status; v = net->nodes[v].inputs[0]) {
        const rn_node *node = &net->nodes[v];
        rn_tensor dy = value_of(net, v, w->room[0]);
        rn_tensor dx = value_of(net, node->inputs[0], w->room[1]);
        w->status = node->kind == RN_SCALE ? rn_scale(&dx, &dy, (double)node->scale, 0, &w->error)
                                           : rn_pad_subsample_backward(&dx, &dy, node->stride,
                                                                       node->front, 0, &w->error);
        w->room[0] = dx.data;
        w->room[1] = dy.data;
    }
}

/* Behind a unit in backward: what goes on of the gradient where F and the shortcut parted. */
static void choose_path(path_walk *w, rn_net *net, const lesion_unit *u) {
    rn_tensor all = value_of(net, u->split, w->room[2]);
    const ptrdiff_t count = all.n * all.stride_n;
    double squares = 0;
    ptrdiff_t i;
    w->status = rn_read_gradient(net, u->split, all, &w->error);
    if (w->through && !w->status) shortcut_backward(w, net, u);
    for (i = 0; i < count && w->through; i++)
        all.data[i] = w->through[w->unit] ? all.data[i] - w->room[0][i] : w->room[0][i];
    if (w->through && w->unit && !w->status)
        w->status = rn_write_gradient(net, u->split, all, &w->error);
    for (i = 0; i < count; i++) squares += (double)all.data[i] * (double)all.data[i];
    w->norm = sqrt(squares);
    w->unit--;
}

static void follow_path(void *user, rn_net *net, int node, int backward) {
    path_walk *w = (path_walk *)user;
    const lesion_unit *u;
    if (!backward || w->status || w->unit < 0) return;
    u = &w->l->units[w->unit];
    if (node == u->of.add)
        w->status = rn_read_gradient(net, u->of.shortcut, value_of(net, u->of.shortcut, w->room[0]),
                                     &w->error);
    if (node == u->reader && !w->status) choose_path(w, net, u);
}

/* A net that trains, with the weights of the whole one. */
static rn_net *make_training(const lesions *l) {
    const rn_net *whole = l->whole;
    rn_desc desc = whole->desc;
    rn_error error;
    rn_net *net;
    desc.seed = (uint64_t)l->m.seed;
    desc.unfused = 1;
    desc.frozen_below = desc.bn_group = desc.micro_batch = 0;
    desc.budget = 0;
    net = rn_create(&desc, (int)l->path_images, RN_TRAINING, &large_pages, &error);
    if (!net) check(error.status, &error);
    memcpy(net->parameters, whole->parameters, (size_t)whole->parameter_count * sizeof(rn_real));
    if (whole->statistic_count)
        memcpy(net->statistics, whole->statistics,
               (size_t)whole->statistic_count * sizeof(rn_real));
    return net;
}

/* Norm of the gradient that reaches the first unit along one path, or all if `through` is NULL; the
   gradient itself is then in w->room[2]. */
static double walk_path(path_walk *w, const char *through) {
    rn_net *net = w->net;
    w->through = through;
    w->unit = w->l->count - 1;
    w->status = RN_OK;
    net->probe = follow_path;
    net->probe_user = w;
    check(rn_backpropagate(net, w->images, w->labels, net->batch, NULL, &w->error), &w->error);
    check(w->status, &w->error);
    return w->norm;
}

/* That of a path of this length, which is drawn, or of all (-1), in a batch of training images,
   which is drawn, too; from the file if it was measured before. 0 if it was stopped. */
static int find_path(lesions *l, path_walk *w, int length, int draw, double *norm) {
    static const rn_augment shuffled = {0, 0};
    char key[KEY_LENGTH], number[16];
    rn_error error;
    snprintf(number, sizeof number, "%d", length);
    snprintf(key, sizeof key, "%s,%d", length < 0 ? "all" : number, draw);
    if (stopped) return 0;
    if (find_result(&l->gradients, key, norm)) {
        l->progress.total--;
        return 1;
    }
    check(rn_batch(&l->train.source, &w->net->desc, &shuffled, (uint64_t)draw, 0, w->net->batch,
                   w->images, w->labels, &error),
          &error);
    if (length >= 0) draw_set(l, PURPOSE_PATH, length, draw, l->out);
    *norm = walk_path(w, length < 0 ? NULL : l->out);
    add_result(&l->gradients, key, norm);
    l->progress.done++;
    show_progress(&l->progress, "gradient along a path through %s of %d units: %.3g",
                  length < 0 ? "all" : number, l->count, *norm);
    return 1;
}

static path_walk begin_walk(const lesions *l) {
    const rn_desc *d = &l->whole->desc;
    rn_net *net = make_training(l);
    path_walk w;
    size_t most = 0;
    int i;
    for (i = 0; i < net->node_count; i++) {
        const rn_node *n = &net->nodes[i];
        const size_t bytes = rn_tensor_bytes(net->batch, n->c, n->h, n->w);
        if (bytes > most) most = bytes;
    }
    memset(&w, 0, sizeof w);
    for (i = 0; i < 3; i++) w.room[i] = (rn_real *)allocate(most);
    w.l = l;
    w.net = net;
    w.images = (rn_real *)allocate(rn_tensor_bytes(net->batch, d->channels, d->height, d->width));
    w.labels = (int *)allocate((size_t)net->batch * sizeof(int));
    return w;
}

static void end_walk(path_walk *w) {
    int i;
    for (i = 0; i < 3; i++) free(w->room[i]);
    free(w->images);
    free(w->labels);
    rn_destroy(w->net);
}

static const char *why_no_paths(const lesions *l) {
    int i;
    if (!l->paths) return "none are asked for";
    if (l->bypass) return "a net without shortcuts has only one";
    if (l->whole->desc.stochastic_depth > 0) return "stochastic depth leaves units out in training";
    for (i = 0; i < l->count; i++)
        if (l->units[i].split < 0)
            return "they are measured where shortcuts are the identity, a scale, or A";
    return NULL;
}

static int run_paths(lesions *l) {
    const int paths = (int)l->paths, lengths = l->count + 2; /* the last one: all paths */
    double *norms, mean;
    int length, draw, done = 1;
    path_walk w;
    if (l->no_paths) return 1;
    w = begin_walk(l);
    norms = (double *)allocate((size_t)lengths * (size_t)paths * sizeof *norms);
    for (draw = 0; draw < paths && done; draw++)
        for (length = l->count; length >= -1 && done; length--)
            done = find_path(l, &w, length, draw,
                             &norms[(length < 0 ? l->count + 1 : length) * paths + draw]);
    for (length = 0; length < lengths && done; length++) {
        for (draw = 0, mean = 0; draw < paths; draw++) mean += norms[length * paths + draw] / paths;
        l->mean_norms[length] = mean;
        if (length <= l->count) add_size(&l->norms, length, norms + length * paths, paths);
    }
    free(norms);
    end_walk(&w);
    return done;
}

/* Shares in percent of the paths of each length, and with weights of what the weights sum up. */
static void share_by_length(const lesions *l, const double *weights, double *shares) {
    double largest = -HUGE_VAL, sum = 0;
    int k;
    for (k = 0; k <= l->count; k++) { /* logarithms, for there may be 2^333 paths */
        shares[k] = lgamma(l->count + 1.0) - lgamma(k + 1.0) - lgamma(l->count - k + 1.0) +
                    (weights ? log(weights[k]) : 0);
        largest = fmax(largest, shares[k]);
    }
    for (k = 0; k <= l->count; k++) sum += shares[k] = exp(shares[k] - largest);
    for (k = 0; k <= l->count; k++) shares[k] *= 100 / sum;
}

/* Least and greatest length that leave out at most 2.5 % at either end. */
static void find_middle(const double *shares, int count, int ends[2]) {
    double below = 0, above = 0;
    for (ends[0] = 0; below + shares[ends[0]] <= 2.5; ends[0]++) below += shares[ends[0]];
    for (ends[1] = count; above + shares[ends[1]] <= 2.5; ends[1]--) above += shares[ends[1]];
}

/* ---- words and pictures ---------------------------------------------------------------------- */

/* The units that cost most when they are left out, the worst first. */
static void tell_worst(const lesions *l) {
    static char said[MOST_UNITS];
    int i, k, worst;
    printf("The worst:");
    for (k = 0; k < 3; k++) {
        for (i = 0, worst = -1; i < l->count; i++)
            if (!said[i] && !isnan(l->unit_errors[i]) &&
                (worst < 0 || l->unit_errors[i] > l->unit_errors[worst]))
                worst = i;
        if (worst < 0) break;
        said[worst] = 1;
        printf("%s layer%d.%d %+.2f", k ? "," : "", l->units[worst].of.stage,
               l->units[worst].of.unit, l->unit_errors[worst] - l->intact[1]);
    }
    printf(".\n");
}

static void tell_units(const lesions *l) {
    double *costs = (double *)allocate((size_t)l->count * sizeof *costs);
    int i, count = 0, dear = 0;
    for (i = 0; i < l->count; i++) {
        if (isnan(l->unit_errors[i])) continue;
        costs[count] = l->unit_errors[i] - l->intact[1];
        dear += costs[count++] > 1;
    }
    if (count) {
        const double middle = quantile(costs, count, 0.5); /* which sorts them */
        printf(
            "One unit left out costs %.2f points in the median, from %.2f to %.2f; more than one "
            "point: %d of %d.\n",
            middle, costs[0], costs[count - 1], dear, count);
        tell_worst(l);
    }
    if (l->bypass)
        printf(
            "Without shortcuts, x_{l+1} = x_l takes a unit's place; first units of stages stay.\n");
    free(costs);
}

static void tell_sweep(const sweep *s, const char *what) {
    int i;
    if (s->count) printf("%s, median error in %%:", what);
    for (i = 0; i < s->count; i++) printf("%s %.0f: %.2f", i ? "," : "", s->size[i], s->median[i]);
    if (s->count) printf("\n");
}

static void tell_paths(const lesions *l, const double *paths, const double *gradient) {
    double share = 0;
    int middle[2], of_gradient[2], k;
    if (!l->norms.count) {
        printf("Paths: %s.\n", l->no_paths);
        return;
    }
    find_middle(paths, l->count, middle);
    find_middle(gradient, l->count, of_gradient);
    for (k = of_gradient[0]; k <= of_gradient[1]; k++) share += paths[k];
    printf("Of 2^%d paths through units, 95 %% go through %d to %d of them; but 95 %% of the\n"
           "gradients' norms come by those through %d to %d, which are %.3g %% of all paths.\n"
           "By one path through 0, %d, %d units: %.3g, %.3g, %.3g; by all together: %.3g.\n",
           l->count, middle[0], middle[1], of_gradient[0], of_gradient[1], share, l->count / 2,
           l->count, l->mean_norms[0], l->mean_norms[l->count / 2], l->mean_norms[l->count],
           l->mean_norms[l->count + 1]);
}

/* An axis for these and the whole net's: up to the largest, since a few far above the others are
   what a lesion is made to see. */
static plot_axis error_axis(const lesions *l, const double *errors, int count) {
    plot_axis axis = {"test error (%)", 0, 0, l->intact[1]};
    for (int i = 0; i < count; i++) axis.most = fmax(axis.most, errors[i]);
    axis.most *= 1.05;
    return axis;
}

static void draw_sweep(plot *p, const lesions *l, const sweep *s, const char *title,
                       const char *label) {
    const plot_axis x = {label, 0, 0, 0};
    if (!s->count) return;
    plot_panel(p, title, x, error_axis(l, s->high, s->count));
    plot_band(p, "median and quartiles", s->size, s->low, s->high, s->count);
    plot_line(p, "median and quartiles", s->size, s->median, s->count);
    plot_guide(p, l->intact[1], "whole net");
}

static void draw_paths(plot *p, const lesions *l, const double *paths, const double *gradient) {
    const plot_axis length = {"units whose F a path takes", 0, 0, 0};
    const plot_axis norm = {"norm of dE/dx at the first unit", 1, 0, 0};
    const plot_axis share = {"share (%)", 0, 0, 0};
    const sweep *s = &l->norms;
    if (!s->count) return;
    plot_panel(p, "Gradient by one path", length, norm);
    plot_band(p, "median and quartiles", s->size, s->low, s->high, s->count);
    plot_line(p, "median and quartiles", s->size, s->median, s->count);
    plot_guide(p, l->mean_norms[l->count + 1], "all paths");
    plot_panel(p, "Paths, and the gradient they carry", length, share);
    plot_line(p, "of all paths", s->size, paths, s->count);
    plot_line(p, "of the gradients' norms", s->size, gradient, s->count);
}

static void draw_all(const lesions *l, const double *paths, const double *gradient) {
    const plot_axis unit = {"unit, from the input on", 0, 0, 0};
    const plot_axis tau = {"Kendall's tau of the order (1: the net's own)", 0, 0, 0};
    const char *path = path_in(l->m.out, "lesions.svg");
    double *number = (double *)allocate((size_t)l->count * sizeof *number);
    char name[160], title[400];
    plot *p;
    int i;
    name_net(&l->whole->desc, name);
    snprintf(title, sizeof title, "%s, %.200s: lesions", name, l->weights);
    p = plot_begin(title, 2);
    for (i = 0; i < l->count; i++) number[i] = i + 1;
    plot_panel(p, "One unit left out", unit, error_axis(l, l->unit_errors, l->count));
    plot_points(p, "one net each", number, l->unit_errors, l->count);
    plot_guide(p, l->intact[1], "whole net");
    draw_sweep(p, l, &l->sets, "Units left out at random", "units left out");
    draw_sweep(p, l, &l->swaps, "Pairs of units swapped at random", "pairs swapped");
    if (l->swaps.count) {
        plot_panel(p, "The same by what is left of the order", tau,
                   error_axis(l, l->swap_errors, l->swap_count));
        plot_points(p, "one net each", l->swap_taus, l->swap_errors, l->swap_count);
        plot_guide(p, l->intact[1], "whole net");
    }
    draw_paths(p, l, paths, gradient);
    if (plot_save(p, path)) quit(1, "cannot write %s: %s", path, strerror(errno));
    free(number);
}

static void report(const lesions *l) {
    const size_t bytes = (size_t)(l->count + 1) * sizeof(double);
    double *paths = (double *)allocate(bytes), *gradient = (double *)allocate(bytes);
    share_by_length(l, NULL, paths);
    if (l->norms.count) share_by_length(l, l->mean_norms, gradient);
    end_progress(&l->progress);
    printf("The whole net: loss %.4f, error %.2f %% of %td images.\n", l->intact[0], l->intact[1],
           l->images.source.count);
    tell_units(l);
    tell_sweep(&l->sets, "Units left out at random");
    tell_sweep(&l->swaps, "Pairs of units swapped");
    tell_paths(l, paths, gradient);
    draw_all(l, paths, gradient);
    free(paths);
    free(gradient);
    printf("written: lesions.csv%s and lesions.svg in %s\n", l->norms.count ? ", paths.csv" : "",
           l->m.out);
}

/* ---- the command line ------------------------------------------------------------------------ */

static void help(const lesions *l) {
    printf(
        "usage: lesions WEIGHTS [--flag VALUE | --flag=VALUE]...\n\n"
        "Damages a trained net and tests it: each unit left out alone, random sets of units left\n"
        "out, random pairs of units swapped; and measures which of the paths through a residual\n"
        "net carry its gradient. Writes lesions.csv, paths.csv and lesions.svg, and says what it\n"
        "found. Where it was interrupted, the same command goes on.\n"
        "A unit is left out by making its F zero; in a net without shortcuts (shortcut scale, 0)\n"
        "by taking it out of the list, but for first units of stages, which stay.\n\n"
        "  --most K            sets of up to K units left out, up to K pairs swapped, if there "
        "are\n"
        "                      so many (%ld)\n"
        "  --draws N           nets drawn for each size of these, 0: none (%ld)\n"
        "  --paths N           paths drawn for each length, 0: none (%ld)\n"
        "  --path_images N     training images that each goes with (%ld)\n",
        l->most, l->draws, l->paths, l->path_images);
    print_measurement(&l->m, "test images");
    exit(finish());
}

static void read_words(lesions *l, int count, char **words) {
    arguments a = {count, 1, words};
    for (; a.at < count; a.at++) {
        if (is_help(&a)) help(l);
        if (words[a.at][0] != '-' && l->weights)
            quit(2, "one net at a time, but there are %s and %s", l->weights, words[a.at]);
        if (words[a.at][0] != '-')
            l->weights = words[a.at];
        else if (!has_whole(&a, "most", 1, MOST_UNITS, &l->most) &&
                 !has_whole(&a, "draws", 0, MOST_DRAWS, &l->draws) &&
                 !has_whole(&a, "paths", 0, MOST_DRAWS, &l->paths) &&
                 !has_whole(&a, "path_images", 2, 1 << 16, &l->path_images) &&
                 !has_measurement(&a, &l->m))
            quit(2, "there is no flag %s", words[a.at]);
    }
    if (!l->weights) quit(2, "give the file of WEIGHTS");
}

/* The files of results, for which all counts that the numbers depend on. */
static void open_files(lesions *l) {
    uint64_t run = checksum_net(0, l->whole), path;
    rn_error error;
    run = checksum_bytes(run, &l->m.seed, sizeof l->m.seed);
    path = checksum_bytes(run, &l->path_images, sizeof l->path_images);
    check(rn_source_checksum(&l->images.source, &run, &error), &error);
    l->results =
        open_results(l->m.out, "lesions.csv", "run,lesion,units,draw,unit,tau,loss,error", 2, run);
    if (l->no_paths) return;
    check(rn_source_checksum(&l->train.source, &path, &error), &error);
    l->gradients = open_results(l->m.out, "paths.csv", "run,through,draw,gradient_norm", 1, path);
}

static void begin(lesions *l, int count, char **words) {
    rn_desc desc;
    read_words(l, count, words);
    desc = describe_file(&l->m, l->weights);
    l->m.recipe.net = l->weights;
    open_sets(&l->m.recipe, &desc, l->paths ? &l->train : NULL, &l->test);
    take_part(&l->images, &l->test.source, l->m.images);
    if (l->paths && l->path_images > l->train.source.count)
        l->path_images = (long)l->train.source.count;
    l->t = load_net(&l->m, &desc, l->weights, &l->images.source);
    examine(l, l->t.net);
    l->no_paths = why_no_paths(l);
    open_files(l);
    catch_signals();
}

/* The measurements, one after the other, until it is stopped. */
static void measure_all(lesions *l) {
    int pair[2];
    const int left = draw_set(l, PURPOSE_SET, 0, 0, l->out), pairs = find_pair(l, -1, pair);
    const int most = l->draws ? (int)l->most : 0;
    const int sets = most < left ? most : left, swaps = most < pairs ? most : pairs;
    const uint64_t drawn = (uint64_t)(count_sizes(sets) + count_sizes(swaps));
    const uint64_t nets = 1 + (uint64_t)left + drawn * (uint64_t)l->draws;
    const uint64_t paths = l->no_paths ? 0 : (uint64_t)l->paths * ((uint64_t)l->count + 2);
    printf("To be measured: %" PRIu64 " nets on %td test images each (the whole one, %d with one "
           "unit left out,\n%" PRIu64 " with several left out or swapped)",
           nets, l->images.source.count, left, nets - 1 - (uint64_t)left);
    if (paths) printf(", and %" PRIu64 " gradients of %ld training images", paths, l->path_images);
    printf("\n");
    fflush(stdout);
    l->progress = begin_progress(nets + paths);
    if (leave_out_each(l) && run_sweep(l, &l->sets, sets, 0) && run_sweep(l, &l->swaps, swaps, 1) &&
        run_paths(l))
        return;
    end_progress(&l->progress);
    printf("stopped; the same command goes on from %s\n", l->results.path);
    exit(128 + stopped);
}

static void end(lesions *l) {
    int i;
    for (i = 0; i < 2; i++) free(l->changed[i]);
    close_results(&l->results);
    if (!l->no_paths) close_results(&l->gradients);
    if (l->paths) rn_data_free(&l->train);
    rn_data_free(&l->test);
    free_trainer(&l->t);
}

int main(int count, char **words) {
    static lesions l;
    char name[160];
    program = "lesions";
    l.m = make_measurement("out", 0);
    l.most = 20, l.draws = 5, l.paths = 5, l.path_images = 32;
    begin(&l, count, words);
    name_net(&l.whole->desc, name);
    printf("%s: %s, %d units, %td parameters; %td test images\n", l.weights, name, l.count,
           l.whole->parameter_count, l.images.source.count);
    measure_all(&l);
    report(&l);
    end(&l);
    return finish();
}
