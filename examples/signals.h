/* signals.h - what flows through a residual net, measured by a probe: values forward, gradients
   backward, unit by unit, and equations (4) to (8) of the paper held against the numbers of a real
   net. Stands on resnet.h alone.

       signals s;
       status = open_signals(&s, net, &error);              a training net with desc.unfused = 1
       status = measure_signals(&s, net, images, labels, count, &error);
       s.units[0].dx.squares ...
       close_signals(&s);

   A measurement is three steps of forward and backward, which change nothing of the net but its
   gradients: one for what is, one in which gradients go down the shortcuts alone, one for the
   histograms, whose width the first has found. */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIGNAL_BINS = 61 };
#define SIGNAL_WIDTH 4.0 /* histograms reach to so many root mean squares on either side */

/* Of a unit l. The entry behind the last unit has input, x and dx alone, those of x_L. */
typedef struct unit_signals {
    rn_unit unit;
    rn_moments x, h, f;  /* x_l, and h(x_l) and F(x_l) as they are added */
    rn_moments dx;       /* dE/dx_l */
    rn_moments dh;       /* what the addition hands on to h(x_l) */
    rn_moments alone;    /* dE/dx_l where the gradient goes through no F */
    rn_moments gates[2]; /* openings, 0 to 1, of the gate of F and of that of h */
    double unequal;      /* how many numbers of dh are not, bit for bit, those of dE/dx_{l+1} */
    double by_f;         /* squares of dx - dh, what F's path adds; -1: h is not the identity */
} unit_signals;

/* Of a stage: equation (4) from its first shortcut to its end, and the inputs of its units. */
typedef struct stage_signals {
    int units;
    double gap, size; /* largest magnitudes of x_L - x_l - sum of F(x_i), and of x_L */
    rn_moments x, dx;
    double x_bins[SIGNAL_BINS], dx_bins[SIGNAL_BINS];
} stage_signals;

enum signal_pass { SIGNALS_WHOLE, SIGNALS_ALONE, SIGNALS_HISTOGRAMS };

typedef struct signals {
    int count;
    unit_signals *units; /* [count + 1] */
    stage_signals stages[RN_MAX_STAGES];
    double openings[2][SIGNAL_BINS]; /* of all gates of F, and of h, from 0 to 1 */
    enum signal_pass pass;
    rn_real *next, *handed; /* dE/dx_{l+1}, and what the addition hands on; forward any value */
    double *sum;            /* x_l and the F(x_i) so far */
    rn_error error;         /* of the probe */
} signals;

static inline rn_status refuse_signals(rn_error *error) {
    if (error) error->status = RN_NO_MEMORY;
    if (error) strcpy(error->text, "no memory to measure signals in");
    return RN_NO_MEMORY;
}

static inline void close_signals(signals *s) {
    free(s->units);
    free(s->next);
    free(s->handed);
    free(s->sum);
}

/* Room for a net's units. */
static inline rn_status open_signals(signals *s, const rn_net *net, rn_error *error) {
    size_t most = 0;
    rn_unit u;
    memset(s, 0, sizeof *s);
    memset(&u, 0, sizeof u);
    while (rn_next_unit(net, &u)) s->count++;
    for (int i = 0; i < net->node_count; i++) {
        const rn_node *node = &net->nodes[i];
        const size_t numbers = (size_t)net->part * (size_t)(node->c * node->h * node->w);
        most = numbers > most ? numbers : most;
    }
    s->units = (unit_signals *)calloc((size_t)s->count + 1, sizeof *s->units);
    s->next = (rn_real *)malloc(most * sizeof(rn_real));
    s->handed = (rn_real *)malloc(most * sizeof(rn_real));
    s->sum = (double *)malloc(most * sizeof(double));
    if (s->units && s->next && s->handed && s->sum) return RN_OK;
    close_signals(s);
    memset(s, 0, sizeof *s);
    return refuse_signals(error);
}

/* A value or gradient of the images in memory, for rn_read_value and its kin. */
static inline rn_tensor signal_room(const rn_net *net, int node, rn_real *data) {
    const rn_node *of = &net->nodes[node];
    return rn_tensor_in(data, net->held, of->c, of->h, of->w);
}

static inline ptrdiff_t signal_numbers(const rn_net *net, int node) {
    const rn_node *of = &net->nodes[node];
    return (ptrdiff_t)net->held * of->c * of->h * of->w;
}

/* The sigmoid of a gate's logits or, as complement, one minus that. */
static inline rn_status add_opening(signals *s, rn_moments *m, const rn_net *net, int logits,
                                    int complement) {
    const rn_tensor room = signal_room(net, logits, s->next);
    if (rn_read_value(net, logits, room, &s->error)) return s->error.status;
    for (ptrdiff_t i = 0; i < signal_numbers(net, logits); i++) {
        const double z = (double)s->next[i];
        s->next[i] = (rn_real)(1 / (1 + exp(complement ? z : -z)));
    }
    rn_add_moments(m, room);
    return RN_OK;
}

/* Equation (4): the stage's first shortcut, and what is added to it from unit to unit, against what
   comes out of the last. */
static inline rn_status follow_sum(signals *s, const unit_signals *at, const rn_net *net, int i) {
    const rn_unit *u = &at->unit;
    stage_signals *stage = &s->stages[u->stage - 1];
    const int begins = i == u->shortcut && u->unit == 0;
    const int ends = i == u->output && u->unit == stage->units - 1;
    const ptrdiff_t numbers = signal_numbers(net, i);
    if (!begins && !ends && i != u->residual) return RN_OK;
    if (rn_read_value(net, i, signal_room(net, i, s->next), &s->error)) return s->error.status;
    for (ptrdiff_t k = 0; k < numbers; k++) {
        const double number = (double)s->next[k];
        if (begins) s->sum[k] = 0;
        if (begins || i == u->residual) s->sum[k] += number;
        if (!ends) continue;
        stage->gap = fmax(stage->gap, fabs(number - s->sum[k]));
        stage->size = fmax(stage->size, fabs(number));
    }
    return RN_OK;
}

/* Node i has a new value; it may be x_{l+1} of one unit and x_l of the next. */
static inline rn_status see_value(signals *s, unit_signals *at, const rn_net *net, int i) {
    const rn_unit *u = &at->unit;
    rn_error *error = &s->error;
    rn_status status = RN_OK;
    if (i == u->input) status = rn_add_moments_of(&at->x, net, i, 0, error);
    if (at == &s->units[s->count]) return status;
    if (!status && i == u->shortcut) status = rn_add_moments_of(&at->h, net, i, 0, error);
    if (!status && i == u->residual) status = rn_add_moments_of(&at->f, net, i, 0, error);
    for (int k = 0; k < 2 && !status; k++) {
        const int term = k ? u->shortcut : u->residual;
        if (i == u->gates[k])
            status = add_opening(s, &at->gates[k], net, i, net->nodes[term].complement);
    }
    return status ? status : follow_sum(s, at, net, i);
}

/* Backward has done node i. */
static inline rn_status see_gradient(signals *s, unit_signals *at, const rn_net *net, int i) {
    const rn_unit *u = &at->unit;
    rn_error *error = &s->error;
    if (at < &s->units[s->count] && i == u->add) {
        const rn_tensor room = signal_room(net, u->shortcut, s->handed);
        if (rn_read_gradient(net, u->shortcut, room, error)) return error->status;
        rn_add_moments(&at->dh, room);
        for (ptrdiff_t k = 0; k < signal_numbers(net, u->shortcut); k++)
            at->unequal += memcmp(&s->handed[k], &s->next[k], sizeof s->next[k]) != 0;
    }
    if (i == u->first) { /* that is complete, and dE/dx_{l+1} of the unit before */
        const rn_tensor room = signal_room(net, u->input, s->next);
        if (rn_read_gradient(net, u->input, room, error)) return error->status;
        rn_add_moments(&at->dx, room);
        if (at == &s->units[s->count] || u->shortcut != u->input)
            at->by_f = -1;
        else
            for (ptrdiff_t k = 0; k < signal_numbers(net, u->input); k++) {
                const double by_f = (double)s->next[k] - (double)s->handed[k];
                at->by_f += by_f * by_f;
            }
    }
    return RN_OK;
}

static inline rn_status clear_gradient(signals *s, rn_net *net, int node) {
    const rn_tensor room = signal_room(net, node, s->next);
    rn_tensor_fill(room, 0);
    return rn_write_gradient(net, node, room, &s->error);
}

/* Nothing goes back through F, from its last node on, nor to the logits of gates. What that node
   reads has a gradient already if h(x_l) is the same value, and keeps that. */
static inline rn_status stop_at_f(signals *s, unit_signals *at, rn_net *net, int i) {
    const rn_unit *u = &at->unit;
    const int from = net->nodes[u->residual].inputs[0], shared = from == u->shortcut;
    rn_status status = RN_OK;
    if (i == u->first) status = rn_add_moments_of(&at->alone, net, u->input, 1, &s->error);
    if (at == &s->units[s->count] || status) return status;
    if (shared && i == u->add)
        status = rn_read_gradient(net, from, signal_room(net, from, s->handed), &s->error);
    if (i == u->residual)
        status = shared ? rn_write_gradient(net, from, signal_room(net, from, s->handed), &s->error)
                        : clear_gradient(s, net, from);
    if (!status && i == u->residual && u->gates[0] >= 0)
        status = clear_gradient(s, net, u->gates[0]);
    if (!status && i == u->shortcut && u->gates[1] >= 0)
        status = clear_gradient(s, net, u->gates[1]);
    return status;
}

/* Inputs of a stage's units, by which its histograms are. */
static inline rn_status fill_histograms(signals *s, unit_signals *at, const rn_net *net, int i,
                                        int backward) {
    const rn_unit *u = &at->unit;
    stage_signals *stage = at < &s->units[s->count] ? &s->stages[u->stage - 1] : NULL;
    if (stage && !backward && i == u->input)
        return rn_add_moments_of(&stage->x, net, i, 0, &s->error);
    if (stage && backward && i == u->first)
        return rn_add_moments_of(&stage->dx, net, u->input, 1, &s->error);
    return RN_OK;
}

static inline void probe_signals(void *user, rn_net *net, int i, int backward) {
    signals *s = (signals *)user;
    for (int k = 0; k <= s->count; k++) {
        unit_signals *at = &s->units[k];
        if (s->error.status) return;
        if (s->pass == SIGNALS_HISTOGRAMS)
            fill_histograms(s, at, net, i, backward);
        else if (s->pass == SIGNALS_ALONE && backward)
            stop_at_f(s, at, net, i);
        else if (s->pass == SIGNALS_WHOLE && backward)
            see_gradient(s, at, net, i);
        else if (s->pass == SIGNALS_WHOLE)
            see_value(s, at, net, i);
    }
}

/* Nothing measured yet, and the units of the net. */
static inline void clear_signals(signals *s, const rn_net *net) {
    rn_unit u;
    memset(&u, 0, sizeof u);
    memset(s->units, 0, ((size_t)s->count + 1) * sizeof *s->units);
    memset(s->stages, 0, sizeof s->stages);
    memset(s->openings, 0, sizeof s->openings);
    memset(&s->error, 0, sizeof s->error);
    for (int k = 0; rn_next_unit(net, &u); k++) {
        s->units[k].unit = u;
        s->stages[u.stage - 1].units++;
        for (int i = 0; i < 2; i++) {
            rn_moments *m = &s->units[k].gates[i];
            m->histogram = s->openings[i];
            m->bins = SIGNAL_BINS;
            m->most = 1;
        }
    }
    u.first = u.next;
    u.input = u.output;
    s->units[s->count].unit = u;
}

/* How wide the histograms of a stage are, by all that it has of one kind. */
static inline void set_width(rn_moments *m, double *bins, double squares, double count) {
    const double width = SIGNAL_WIDTH * sqrt(squares / fmax(count, 1));
    m->bins = width > 0 ? SIGNAL_BINS : 0;
    m->least = -width;
    m->most = width;
    m->histogram = bins;
}

static inline void set_widths(signals *s) {
    for (int k = 0; k < RN_MAX_STAGES; k++) {
        stage_signals *stage = &s->stages[k];
        rn_moments x, dx;
        memset(&x, 0, sizeof x);
        memset(&dx, 0, sizeof dx);
        for (int i = 0; i < s->count; i++) {
            if (s->units[i].unit.stage != k + 1) continue;
            x.squares += s->units[i].x.squares, x.count += s->units[i].x.count;
            dx.squares += s->units[i].dx.squares, dx.count += s->units[i].dx.count;
        }
        set_width(&stage->x, stage->x_bins, x.squares, x.count);
        set_width(&stage->dx, stage->dx_bins, dx.squares, dx.count);
    }
}

/* Measures at images and labels as rn_backpropagate takes them; labels NULL: values alone, in
   inference. The probe that the net has is there again afterwards. */
static inline rn_status measure_signals(signals *s, rn_net *net, const rn_real *images,
                                        const int *labels, int count, rn_error *error) {
    const rn_probe probe = net->probe;
    void *const user = net->probe_user;
    rn_status status = RN_OK;
    rn_real *logits =
        labels ? NULL
               : (rn_real *)malloc((size_t)count * (size_t)net->desc.classes * sizeof(rn_real));
    if (!labels && !logits) return refuse_signals(error);
    clear_signals(s, net);
    net->probe = probe_signals;
    net->probe_user = s;
    for (int pass = SIGNALS_WHOLE; pass <= SIGNALS_HISTOGRAMS && !status; pass++) {
        s->pass = (enum signal_pass)pass;
        if (pass == SIGNALS_HISTOGRAMS) set_widths(s);
        if (labels)
            status = rn_backpropagate(net, images, labels, count, NULL, error);
        else if (pass != SIGNALS_ALONE)
            status = rn_predict_probed(net, images, count, logits, error);
        if (!status && s->error.status) {
            if (error) *error = s->error;
            status = s->error.status;
        }
    }
    net->probe = probe;
    net->probe_user = user;
    free(logits);
    return status;
}

/* What the shortcut of a unit multiplies by: its scale, or its gate's mean opening; else 1. */
static inline double shortcut_factor(const rn_net *net, const unit_signals *at) {
    const rn_node *node = &net->nodes[at->unit.shortcut];
    if (at->gates[1].count > 0) return at->gates[1].sum / at->gates[1].count;
    return node->kind == RN_SCALE ? (double)node->scale : 1;
}

/* Share of the numbers that the ReLU behind the addition cuts, which x_{l+1} has as zeros; NaN
   where there is none. */
static inline double share_cut(const rn_net *net, const unit_signals *at) {
    const rn_unit *u = &at->unit;
    return u->output > u->add && net->nodes[u->output].kind == RN_RELU
               ? at[1].x.zeros / at[1].x.count
               : NAN;
}

#endif /* SIGNALS_H */
