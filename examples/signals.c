/* signals.c - what flows through residual nets, unit by unit: values, gradients, what shortcuts
   alone carry, what ReLUs cut, gates, scales of norms, steps against weights; and equations (4) to
   (8) of the paper as identities of a real net. Draws several nets in one picture.

   Equation (8) is about the term of the gradient that comes down the shortcuts alone, and that
   falls as the product says. The whole gradient need not: the other part of it goes through F, and
   where F normalises, F(x) stays the same when x gets smaller, so that dF/dx gets larger by as
   much. What a shortcut that scales takes away is the way past the weights, and not the norm.

   cc -O2 -fopenmp -o examples/signals examples/signals.c -lm && examples/signals --help */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "log.h"
#include "plot.h"
#include "signals.h"

enum { MOST_NETS = 6, MOST_LABEL = 199 };

/* A row of signals.csv: of a net, after so many steps, the value of a signal at a place. */
typedef struct row {
    int net; /* index of its label */
    double step;
    char signal[24];
    char name[64]; /* of the unit, parameter or stage */
    double at;     /* number of the unit or parameter from 1, or where on a histogram's axis */
    double value;
} row;

typedef struct subject {
    const char *label;
    const char *fields;  /* FIELD=VALUE ..., on top of the flags; NULL: none */
    const char *weights; /* a file; NULL: a new net */
} subject;

typedef struct laboratory {
    recipe recipe;
    const char *out;
    long images, every;
    int inference;
    subject subjects[MOST_NETS];
    int count; /* of them */
    char labels[4 * MOST_NETS][MOST_LABEL + 1];
    int label_count;
    row *rows;
    size_t row_count, room;
    row next; /* net, step and name of what is added next */
    const char *overlays[MOST_NETS];
    int overlay_count;
    rn_data train, test;
    uint64_t data; /* checksum */
    progress progress;
    double *x, *y; /* [row_count], of what is drawn next */
} laboratory;

static void help(const laboratory *lab) {
    printf(
        "usage: signals [--flag VALUE | --flag=VALUE]...\n\n"
        "Measures what flows through residual nets, trained ones or new ones, these also while\n"
        "they train; tells in words whether equations (4) to (8) of the paper hold; and writes\n"
        "DIR/signals.csv and DIR/signals.svg.\n\n"
        "  --weights FILE      a trained net (as often as you like, up to %d nets in all)\n"
        "  --net \"FIELD=VALUE ...\"  a new net, as the other flags describe it but for these\n"
        "                      fields; likewise. Without both: the net of the other flags\n"
        "  --label TEXT        what the last of these is called in words and pictures\n"
        "  --overlay FILE      the nets of another signals.csv, drawn in the same picture\n"
        "  --images N          measured at the first N training images (%ld)\n"
        "  --every N           new nets: measured every N steps of training, at its begin and end\n"
        "                      (%ld); without --epochs and --iterations only at the begin\n"
        "  --inference         values alone, by running statistics as in prediction\n"
        "  --out DIR           (%s)\n",
        MOST_NETS, lab->images, lab->every, lab->out);
    print_training(&lab->recipe);
    printf("\nFields of the description (see rn_desc in resnet.h):\n");
    print_fields();
    printf("\nfor example  signals --depth 56 --order original --net shortcut=identity \\\n"
           "                 --net \"shortcut=scale shortcut_scale=0.5\" --iterations 100\n");
    exit(finish());
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* The label's index, which may be new. */
static int find_label(laboratory *lab, const char *label) {
    for (int i = 0; i < lab->label_count; i++)
        if (!strcmp(lab->labels[i], label)) return i;
    if (lab->label_count == 4 * MOST_NETS) quit(2, "more than %d nets", 4 * MOST_NETS);
    snprintf(lab->labels[lab->label_count], MOST_LABEL + 1, "%s", label);
    return lab->label_count++;
}

/* Adds lab->next with this signal. */
static void add_row(laboratory *lab, const char *signal, double at, double value) {
    row *to;
    if (!isfinite(value)) return;
    if (lab->row_count == lab->room) {
        row *more;
        lab->room = 2 * lab->room + 1024;
        more = (row *)realloc(lab->rows, lab->room * sizeof *more);
        if (!more) quit(1, "no memory for %zu rows", lab->room);
        lab->rows = more;
    }
    to = &lab->rows[lab->row_count++];
    *to = lab->next;
    snprintf(to->signal, sizeof to->signal, "%s", signal);
    to->at = at;
    to->value = value;
}

static void write_rows(const laboratory *lab, const char *path) {
    char temporary[1024];
    FILE *file = open_new(path, temporary);
    fprintf(file, "net,step,signal,name,at,value\n");
    for (size_t i = 0; i < lab->row_count; i++) {
        const row *r = &lab->rows[i];
        fprintf(file, "\"%s\",%.0f,%s,%s,%.6g,%.9g\n", lab->labels[r->net], r->step, r->signal,
                r->name, r->at, r->value);
    }
    close_new(file, temporary, path);
}

/* The rows of another run, whose net keeps its label, with the file's name if there is one such. */
static void read_rows(laboratory *lab, const char *path) {
    FILE *file = fopen(path, "r");
    row *const next = &lab->next;
    char line[512];
    int number = 1, taken = lab->label_count;
    if (!file) quit(1, "cannot read %s: %s", path, strerror(errno));
    if (!fgets(line, sizeof line, file) || strcmp(line, "net,step,signal,name,at,value\n") != 0)
        quit(1, "%s is no signals.csv", path);
    while (fgets(line, sizeof line, file)) {
        char label[MOST_LABEL + 1], own[420], signal[24];
        double at, value;
        number++;
        if (sscanf(line, "\"%199[^\"]\",%lf,%23[^,],%63[^,],%lf,%lf", label, &next->step, signal,
                   next->name, &at, &value) != 6)
            quit(1, "%s: line %d is damaged", path, number);
        snprintf(own, sizeof own, "%s", label);
        for (int i = 0; i < taken; i++)
            if (!strcmp(lab->labels[i], label)) snprintf(own, sizeof own, "%s: %s", path, label);
        if (strlen(own) > MOST_LABEL)
            quit(2, "the path %s is too long to tell two nets apart that are called %s", path,
                 label);
        next->net = find_label(lab, own);
        add_row(lab, signal, at, value);
    }
    fclose(file);
}

/* Ends the program now, and not after the measuring, for what cannot be drawn or written then. */
static void check_ends(const laboratory *lab) {
    laboratory *copy = (laboratory *)allocate(sizeof *copy);
    *copy = *lab;
    for (int i = 0; i < lab->count; i++) find_label(copy, lab->subjects[i].label);
    for (int i = 0; i < lab->overlay_count; i++) read_rows(copy, lab->overlays[i]);
    refuse_unwritable(path_in(lab->out, "signals.csv"));
    free(copy->rows);
    free(copy);
}

static int is_of(const row *r, int net, const char *signal) {
    return r->net == net && !strcmp(r->signal, signal);
}

/* The first and the last step at which a net has a signal; NaN: at none. */
static void find_steps(const laboratory *lab, int net, const char *signal, double steps[2]) {
    steps[0] = steps[1] = NAN;
    for (size_t i = 0; i < lab->row_count; i++) {
        if (!is_of(&lab->rows[i], net, signal)) continue;
        steps[0] = fmin(steps[0], lab->rows[i].step);
        steps[1] = fmax(steps[1], lab->rows[i].step);
    }
}

static int has_signal(const laboratory *lab, int net, const char *signal) {
    double steps[2];
    find_steps(lab, net, signal, steps);
    return !isnan(steps[0]);
}

/* Was it read from a file? Then a row says so. */
static int is_loaded(const laboratory *lab, int net) { return has_signal(lab, net, "loaded"); }

/* When a net was measured, in words, until the next call. */
static const char *tell_when(const laboratory *lab, int net, double step) {
    static char words[40];
    snprintf(words, sizeof words, "after %.0f steps", step);
    return is_loaded(lab, net) ? "as loaded" : step > 0 ? words : "before training";
}

/* ---- measuring ------------------------------------------------------------------------------- */

/* Norm of the tensor of all images, divided by the square root of their number: of one image. */
static double norm_of_image(const rn_moments *m, int images) { return sqrt(m->squares / images); }

/* Has a shortcut a factor other than 1? */
static int has_factors(const rn_net *net, const signals *s) {
    for (int k = 0; k < s->count; k++)
        if (fabs(shortcut_factor(net, &s->units[k]) - 1) > 0) return 1;
    return 0;
}

/* Equation (8): the gradient of x_L times the factors of the shortcuts from unit k on. */
static double product_from(const rn_net *net, const signals *s, int k) {
    double product = sqrt(s->units[s->count].dx.squares);
    for (; k < s->count; k++) product *= shortcut_factor(net, &s->units[k]);
    return product;
}

static const char behind_last[] = "end"; /* the name of what comes out of the last unit */

static void add_units(laboratory *lab, const signals *s, const rn_net *net) {
    const int images = (int)lab->images;
    for (int k = 0; k <= s->count; k++) {
        const unit_signals *at = &s->units[k];
        const int last = k == s->count, backward = at->dx.count > 0;
        const double l = k + 1, total = sqrt(at->dx.squares);
        snprintf(lab->next.name, sizeof lab->next.name, "layer%d.%d", at->unit.stage,
                 at->unit.unit);
        if (last) strcpy(lab->next.name, behind_last);
        add_row(lab, "x_norm", l, norm_of_image(&at->x, images));
        if (backward) add_row(lab, "gradient_norm", l, total);
        if (backward) add_row(lab, "shortcuts_alone", l, sqrt(at->alone.squares));
        if (backward && has_factors(net, s)) add_row(lab, "product", l, product_from(net, s, k));
        if (last) break;
        add_row(lab, "f_norm", l, norm_of_image(&at->f, images));
        add_row(lab, "f_to_h", l, sqrt(at->f.squares / at->h.squares));
        add_row(lab, "cut", l, share_cut(net, at));
        if (backward) add_row(lab, "handed_on", l, sqrt(at->dh.squares));
        if (backward && at->by_f >= 0) add_row(lab, "by_f", l, sqrt(at->by_f));
        if (at->gates[0].count > 0)
            add_row(lab, "gate_of_f", l, at->gates[0].sum / at->gates[0].count);
        if (at->gates[1].count > 0)
            add_row(lab, "gate_of_h", l, at->gates[1].sum / at->gates[1].count);
    }
}

/* A density: its area would be 1, but the outer bins, where all that is beyond is, are left out. */
static void add_histogram(laboratory *lab, const rn_moments *m, const char *signal) {
    const double width = (m->most - m->least) / SIGNAL_BINS;
    for (int i = 1; i < m->bins - 1; i++)
        add_row(lab, signal, m->least + (i + 0.5) * width, m->histogram[i] / m->count / width);
}

/* Of the gates of all units. */
static void add_openings(laboratory *lab, const signals *s) {
    static const char *const names[] = {"gates of F", "gates of h"};
    for (int k = 0; k < 2; k++) {
        double count = 0;
        for (int i = 0; i < SIGNAL_BINS; i++) count += s->openings[k][i];
        strcpy(lab->next.name, names[k]);
        for (int i = 0; i < SIGNAL_BINS && count > 0; i++)
            add_row(lab, "gate_density", (i + 0.5) / SIGNAL_BINS,
                    s->openings[k][i] / count * SIGNAL_BINS);
    }
}

static void add_stages(laboratory *lab, const signals *s) {
    for (int k = 0; k < RN_MAX_STAGES && s->stages[k].units; k++) {
        snprintf(lab->next.name, sizeof lab->next.name, "stage %d", k + 1);
        add_histogram(lab, &s->stages[k].x, "x_density");
        add_histogram(lab, &s->stages[k].dx, "gradient_density");
    }
    add_openings(lab, s);
}

static int is_norm_weight(rn_role role) {
    return role == RN_BN_WEIGHT || role == RN_GN_WEIGHT || role == RN_EVONORM_WEIGHT;
}

static double deviation_of(const rn_real *a, const rn_real *minus, ptrdiff_t count) {
    double sum = 0, squares = 0;
    for (ptrdiff_t i = 0; i < count; i++) {
        const double number = (double)a[i] - (minus ? (double)minus[i] : 0);
        sum += number;
        squares += number * number;
    }
    return sqrt(fmax(0, squares / (double)count - sum / (double)count * (sum / (double)count)));
}

/* Mean magnitude of each norm's scales; and where `before` is given, the deviation of each weight's
   update over that of the weight, which was `before`. */
static void add_parameters(laboratory *lab, const rn_net *net, const rn_real *before) {
    rn_parameter p;
    int number = 0;
    memset(&p, 0, sizeof p);
    while (rn_next_parameter(net, &p)) {
        const rn_real *old = before ? before + (p.data - net->parameters) : NULL;
        double scale = 0;
        snprintf(lab->next.name, sizeof lab->next.name, "%.63s", p.name);
        if (p.role == RN_RUNNING_MEAN || p.role == RN_RUNNING_VAR) continue;
        number++;
        for (ptrdiff_t i = 0; i < p.count; i++) scale += fabs((double)p.data[i]);
        if (!before && is_norm_weight(p.role))
            add_row(lab, "norm_scale", number, scale / (double)p.count);
        if (before && p.dims > 1)
            add_row(lab, "update_to_weight", number,
                    deviation_of(p.data, old, p.count) / deviation_of(old, NULL, p.count));
    }
}

/* ---- in words -------------------------------------------------------------------------------- */

/* Equation (4): is the stage the sum of its residual functions? */
static void tell_sums(const signals *s) {
    for (int k = 0; k < RN_MAX_STAGES && s->stages[k].units; k++) {
        const stage_signals *stage = &s->stages[k];
        const double apart = stage->gap / stage->size;
        printf("  (4) stage %d, %d units: x_L and x_l + sum of F(x_i) differ by %.1e of x_L%s\n",
               k + 1, stage->units, apart,
               apart < 1e-5 ? ", which is rounding: the identity holds"
                            : ": it does not hold, for h or f is not the identity");
    }
}

/* Equation (5): does the addition hand on what it gets? Where f is a ReLU, it has masked that. */
static void tell_handed_on(const signals *s) {
    double unequal = 0, count = 0, least = HUGE_VAL, most = 0;
    int whole = 0, identity = 0;
    for (int k = 0; k < s->count; k++) {
        const unit_signals *at = &s->units[k];
        const double by_f = sqrt(at->by_f / at->dh.squares);
        unequal += at->unequal;
        count += at->dh.count;
        whole += at->unequal <= 0;
        if (at->by_f < 0) continue;
        identity++;
        least = fmin(least, by_f);
        most = fmax(most, by_f);
    }
    printf(
        "  (5) what the addition hands on to h(x_l) is dE/dx_{l+1}, bit for bit, in %d of %d units",
        whole, s->count);
    if (unequal > 0)
        printf(";\n      %.1f %% of all numbers are others: f, behind the addition, lets them not "
               "pass",
               100 * unequal / count);
    printf("\n");
    if (identity)
        printf("      F's path adds to that, in the %d units where h is the identity, a vector of\n"
               "      %.2f to %.2f times its norm\n",
               identity, least, most);
}

/* Equations (6) to (8): of each stage, behind its first unit, whose shape may change. */
static void tell_products(const signals *s, const rn_net *net) {
    for (int stage = 1, k = 0; k < s->count; stage++) {
        double product = 1;
        const unit_signals *from, *to;
        for (from = &s->units[++k]; k < s->count && s->units[k].unit.stage == stage; k++)
            product *= shortcut_factor(net, &s->units[k]);
        to = &s->units[k];
        if (from >= to) continue;
        printf("  (8) stage %d: the product of %d shortcuts' factors is %.2g; down the shortcuts\n",
               stage, (int)(to - from), product);
        if (from->alone.squares > 0)
            printf("      alone the gradient's norm goes to %.2g of what it was",
                   sqrt(from->alone.squares / to->alone.squares));
        else
            printf("      alone nothing of the gradient gets through");
        printf(", and in all to %.3g of it\n", sqrt(from->dx.squares / to->dx.squares));
    }
}

/* What the ReLU behind the addition cuts, and how far gates are open. */
static void tell_cuts(const signals *s, const rn_net *net) {
    static const char *const words[] = {"share that the ReLU behind the addition cuts:",
                                        "openings of the gates of F:", "openings of those of h:"};
    for (int what = 0; what < 3; what++) {
        double sum = 0, least = HUGE_VAL, most = 0;
        int count = 0;
        for (int k = 0; k < s->count; k++) {
            const unit_signals *at = &s->units[k];
            const rn_moments *gate = &at->gates[what == 2];
            const double value = what ? gate->sum / gate->count : share_cut(net, at);
            if (isnan(value)) continue;
            count++;
            sum += value;
            least = fmin(least, value);
            most = fmax(most, value);
        }
        if (count)
            printf("  %s %.2f in the mean, %.2f to %.2f by unit\n", words[what], sum / count, least,
                   most);
    }
}

static double first_to_last(const signals *s) {
    return sqrt(s->units[0].dx.squares / s->units[s->count - 1].dx.squares);
}

/* Of the net that was measured last. */
static void tell_net(const laboratory *lab, const signals *s, const rn_net *net) {
    const row *last = &lab->next;
    printf("%s, %s, %d units:\n", lab->labels[last->net], tell_when(lab, last->net, last->step),
           s->count);
    tell_sums(s);
    tell_cuts(s, net);
    if (!(s->units[0].dx.count > 0)) return;
    tell_handed_on(s);
    tell_products(s, net);
    printf("  dE/dx at the first unit has %.3g times the norm that it has at the last\n",
           first_to_last(s));
    fflush(stdout);
}

/* ---- nets and their training ----------------------------------------------------------------- */

/* The description of a subject, of a file or by flags. */
static rn_desc describe_subject(const subject *s, const rn_desc *flags) {
    rn_desc desc = *flags;
    rn_error error;
    if (s->weights) {
        check(rn_load_desc(&desc, s->weights, NULL, &error), &error);
        set_machine(&desc, flags);
        desc.budget = flags->budget;
    } else if (s->fields && set_fields(&desc, s->fields, &error))
        quit(2, "--net: %s", error.text);
    return desc;
}

/* May a net go on after a call? Where its numbers are not finite any more, that is told. */
static int goes_on(const laboratory *lab, rn_status status, const rn_error *error) {
    if (status != RN_NOT_FINITE) {
        check(status, error);
        return 1;
    }
    end_progress(&lab->progress);
    printf("%s: %s\n", lab->labels[lab->next.net], error->text);
    return 0;
}

/* Measures the parameters of `of` in the net that is there for it, at the first training images; 0
   if the net cannot go on. */
static int measure(laboratory *lab, const rn_net *of, rn_net *net, signals *s) {
    const rn_desc *d = &net->desc;
    const int count = (int)lab->images;
    rn_real *images = (rn_real *)allocate(rn_tensor_bytes(count, d->channels, d->height, d->width));
    int *labels = (int *)allocate((size_t)count * sizeof(int));
    rn_status status;
    rn_error error;
    memcpy(net->parameters, of->parameters, (size_t)of->parameter_count * sizeof(rn_real));
    memcpy(net->statistics, of->statistics, (size_t)of->statistic_count * sizeof(rn_real));
    check(rn_batch(&lab->train.source, d, NULL, 0, 0, count, images, labels, &error), &error);
    status = measure_signals(s, net, images, lab->inference ? NULL : labels, count, &error);
    free(images);
    free(labels);
    if (!goes_on(lab, status, &error)) return 0;
    lab->next.step = (double)of->step;
    add_units(lab, s, net);
    add_parameters(lab, net, NULL);
    strcpy(lab->next.name, "net");
    if (!lab->inference) add_row(lab, "first_to_last", (double)of->step, first_to_last(s));
    return 1;
}

/* The lines in words and the histograms, which are of the begin and the end alone. */
static int measure_whole(laboratory *lab, const rn_net *of, rn_net *net, signals *s) {
    if (!measure(lab, of, net, s)) return 0;
    add_stages(lab, s);
    end_progress(&lab->progress);
    tell_net(lab, s, net);
    return 1;
}

/* One step of training, and how far it took the weights. */
static rn_status take_step(laboratory *lab, trainer *t, rn_real *before, rn_error *error) {
    const size_t bytes = (size_t)t->net->parameter_count * sizeof(rn_real);
    rn_status status;
    lab->next.step = (double)t->net->step;
    memcpy(before, t->net->parameters, bytes);
    status = train_next(t, error);
    if (status) return status;
    add_parameters(lab, t->net, before);
    strcpy(lab->next.name, "net");
    add_row(lab, "loss", lab->next.step, t->loss / t->seen);
    return RN_OK;
}

/* A new net: measured as it begins and while it trains. */
static void train_subject(laboratory *lab, trainer *t, rn_net *net, signals *s) {
    rn_net *trained = t->net;
    const uint64_t steps = trained->schedule.steps, every = (uint64_t)lab->every;
    rn_real *before = (rn_real *)allocate((size_t)trained->parameter_count * sizeof(rn_real));
    const char *label = lab->labels[lab->next.net];
    rn_error error;
    int good = measure_whole(lab, trained, net, s);
    while (good && trained->step < steps && !stopped) {
        const int measured = trained->step % every == 0;
        rn_status status = measured ? take_step(lab, t, before, &error) : train_next(t, &error);
        good = goes_on(lab, status, &error);
        if (!good) break;
        lab->progress.done++;
        show_progress(&lab->progress, "%s  step %" PRIu64 "/%" PRIu64 "  loss %.3f", label,
                      trained->step, steps, t->loss / t->seen);
        if (trained->step % every == 0 && trained->step < steps)
            good = measure(lab, trained, net, s);
    }
    lab->progress.done += (double)(good ? 0 : steps - trained->step);
    if (good && trained->step && !stopped) measure_whole(lab, trained, net, s);
    free(before);
}

static int is_trained(const laboratory *lab, const subject *s) {
    return !s->weights && (lab->recipe.epochs || lab->recipe.iterations);
}

static void run_subject(laboratory *lab, const subject *of, const rn_desc *desc, manifest *m) {
    trainer t;
    rn_desc unfused = *desc;
    rn_error error;
    signals s;
    rn_net *net;
    lab->next.net = find_label(lab, of->label);
    unfused.unfused = 1;
    /* All units are measured, frozen ones, too, and those that a training step leaves out. */
    unfused.frozen_below = 0;
    if (!lab->inference) unfused.stochastic_depth = 0;
    net = rn_create(&unfused, (int)lab->images, lab->inference ? RN_INFERENCE : RN_TRAINING,
                    &large_pages, &error);
    if (!net) check(error.status, &error);
    check(open_signals(&s, net, &error), &error);
    t = make_trainer(desc, &lab->recipe, of->weights ? RN_INFERENCE : RN_TRAINING,
                     &lab->train.source);
    if (of->weights) {
        check(rn_load(t.net, of->weights, NULL, &error), &error);
        lab->next.step = (double)t.net->step;
        strcpy(lab->next.name, "net");
        add_row(lab, "loaded", lab->next.step, 1);
    }
    if (is_trained(lab, of)) {
        t.net->schedule = choose_schedule(&lab->recipe, steps_per_epoch(&t));
        train_subject(lab, &t, net, &s);
    } else
        measure_whole(lab, t.net, net, &s);
    tell_training(&t, lab->data);
    write_manifest(m, t.net, path_in(lab->out, "signals.manifest.txt"));
    close_signals(&s);
    rn_destroy(net);
    free_trainer(&t);
}

/* ---- pictures -------------------------------------------------------------------------------- */

/* A signal as a panel, in which `draw` draws a net: at a step, -1: at all of them. */
typedef struct panel {
    const char *signal, *title, *label;
    int log;
    double most; /* of the axis; 0: as the values say */
    void (*draw)(const laboratory *lab, plot *p, int net, const char *signal, double step);
    const char *guide_words; /* NULL: no guide */
    double guide;
} panel;

/* Takes rows of a signal, of a name (NULL: of all but what is behind the last unit), to lab->x and
   y; returns how many. */
static int pick(const laboratory *lab, int net, const char *signal, double step, const char *name) {
    int count = 0;
    for (size_t i = 0; i < lab->row_count; i++) {
        const row *r = &lab->rows[i];
        if (!is_of(r, net, signal)) continue;
        if (name ? strcmp(r->name, name) != 0 : !strcmp(r->name, behind_last)) continue;
        if (step >= 0 && fabs(r->step - step) > 0) continue;
        lab->x[count] = r->at;
        lab->y[count++] = r->value;
    }
    return count;
}

static void draw_line(const laboratory *lab, plot *p, int net, const char *signal, double step) {
    const int count = pick(lab, net, signal, step, NULL);
    if (count) plot_line(p, lab->labels[net], lab->x, lab->y, count);
}

static void draw_points(const laboratory *lab, plot *p, int net, const char *signal, double step) {
    const int count = pick(lab, net, signal, step, NULL);
    if (count) plot_points(p, lab->labels[net], lab->x, lab->y, count);
}

/* Beside what is measured, what equation (8) says. */
static void draw_both(const laboratory *lab, plot *p, int net, const char *signal, double step) {
    char name[260];
    int count;
    draw_line(lab, p, net, signal, step);
    count = pick(lab, net, "product", step, NULL);
    snprintf(name, sizeof name, "product of factors, %s", lab->labels[net]);
    if (count) plot_points(p, name, lab->x, lab->y, count);
}

/* Step by step the median, and the span from the least to the most. */
static void draw_span(const laboratory *lab, plot *p, int net, const char *signal, double all) {
    double *steps = (double *)allocate(4 * lab->row_count * sizeof *steps);
    double *median = steps + lab->row_count, *low = median + lab->row_count;
    double *high = low + lab->row_count;
    int measured = 0;
    (void)all;
    for (size_t i = 0; i < lab->row_count;) { /* rows of one step follow each other */
        const double step = lab->rows[i].step;
        int count = 0;
        for (; i < lab->row_count && fabs(lab->rows[i].step - step) <= 0; i++)
            if (is_of(&lab->rows[i], net, signal)) lab->y[count++] = lab->rows[i].value;
        if (!count) continue;
        qsort(lab->y, (size_t)count, sizeof *lab->y, plot_ascending);
        steps[measured] = step;
        median[measured] = lab->y[count / 2];
        low[measured] = lab->y[0];
        high[measured++] = lab->y[count - 1];
    }
    if (measured) plot_band(p, lab->labels[net], steps, low, high, measured);
    if (measured) plot_line(p, lab->labels[net], steps, median, measured);
    free(steps);
}

/* Of units, each at the begin and, where a net was trained, at the end. */
static const panel unit_panels[] = {
    {"gradient_norm", "Gradient of a unit's input", "norm of dE/dx", 1, 0, draw_line, NULL, 0},
    {"shortcuts_alone", "Gradient by way of shortcuts alone", "norm of dE/dx", 1, 0, draw_both,
     NULL, 0},
    {"x_norm", "Input of a unit", "norm of x, of an image", 1, 0, draw_line, NULL, 0},
    {"f_to_h", "Residual function against shortcut", "norm of F over norm of h", 1, 0, draw_line,
     NULL, 0},
    {"cut", "What the ReLU behind the addition cuts", "share of y", 0, 1, draw_line, NULL, 0},
    {"gate_of_h", "Openings of the shortcut's gate", "mean", 0, 1, draw_line, NULL, 0},
    {"gate_of_f", "Openings of the gate of F", "mean", 0, 1, draw_line, NULL, 0},
};

/* Over all steps. */
static const panel step_panels[] = {
    {"first_to_last", "Gradient of the first unit against the last", "ratio of norms of dE/dx", 1,
     0, draw_line, "as large", 1},
    {"loss", "Training loss of the epoch so far", "cross-entropy (nats)", 0, 0, draw_line, NULL, 0},
    {"update_to_weight", "Steps against weights: median and span", "std of update / std of weight",
     1, 0, draw_span, "1e-3", 1e-3},
};

/* Of parameters from the image to the classes, of nets that have learned. */
static const panel parameter_panels[] = {
    {"norm_scale", "Scales of norms", "mean magnitude", 0, 0, draw_points, NULL, 0},
    {"update_to_weight", "Steps against weights", "std of update / std of weight", 1, 0,
     draw_points, "1e-3", 1e-3},
};

/* Which measurements of a net a panel shows: LATER and ALL are there if there are several, LAST if
   it was trained, here or before it was loaded. */
enum when { FIRST, LATER, LAST, ALL };

/* Does a panel that is there show a net? */
static int is_shown(const laboratory *lab, int net, const char *signal, enum when when) {
    const int learned = is_loaded(lab, net) || has_signal(lab, net, "loss");
    return has_signal(lab, net, signal) && (learned || when != LAST);
}

/* Is a panel there: has it a net to show, measured more than once where that is asked for? */
static int has_panel(const laboratory *lab, const char *signal, enum when when) {
    int there = 0;
    for (int net = 0; net < lab->label_count; net++) {
        double steps[2];
        find_steps(lab, net, signal, steps);
        there |= is_shown(lab, net, signal, when) &&
                 (when == FIRST || when == LAST || steps[1] > steps[0]);
    }
    return there;
}

/* A panel's title, and when the nets in it were measured. */
static void title_panel(const laboratory *lab, const panel *of, enum when when, char title[200]) {
    static const char *const begin[] = {"before training", "as loaded",
                                        "before training or as loaded"};
    static const char *const end[] = {"at the end", "as loaded", "at the end or as loaded"};
    int loaded = 0, others = 0;
    for (int net = 0; net < lab->label_count; net++) {
        if (!is_shown(lab, net, of->signal, when)) continue;
        loaded |= is_loaded(lab, net);
        others |= !is_loaded(lab, net);
    }
    snprintf(title, 200, "%s", of->title);
    if (when != ALL)
        snprintf(title, 200, "%s, %s", when == LATER ? "the same" : of->title,
                 (when == FIRST ? begin : end)[loaded + (loaded && others)]);
}

static void draw_panel(const laboratory *lab, plot *p, const panel *of, const char *across,
                       enum when when) {
    const plot_axis x = {across, 0, 0, 0}, y = {of->label, of->log, 0, of->most};
    double steps[2];
    char title[200];
    if (!has_panel(lab, of->signal, when)) return;
    title_panel(lab, of, when, title);
    plot_panel(p, title, x, y);
    if (of->guide_words) plot_guide(p, of->guide, of->guide_words);
    for (int net = 0; net < lab->label_count; net++) {
        if (!is_shown(lab, net, of->signal, when)) continue;
        find_steps(lab, net, of->signal, steps);
        of->draw(lab, p, net, of->signal, when == ALL ? -1 : steps[when != FIRST]);
    }
}

/* A panel a net, a line a stage, or for gates a line each kind. */
static void draw_histograms(const laboratory *lab, plot *p, const char *signal, const char *what) {
    static const char *const names[] = {"stage 1", "stage 2",    "stage 3",
                                        "stage 4", "gates of F", "gates of h"};
    const plot_axis value = {what, 0, 0, 0}, density = {"density", 1, 0, 0};
    for (int net = 0; net < lab->label_count; net++) {
        double steps[2];
        char title[MOST_LABEL + 50];
        find_steps(lab, net, signal, steps);
        if (isnan(steps[1])) continue;
        snprintf(title, sizeof title, "%s, %s", lab->labels[net], tell_when(lab, net, steps[1]));
        plot_panel(p, title, value, density);
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            const int count = pick(lab, net, signal, steps[1], names[i]);
            if (count) plot_line(p, names[i], lab->x, lab->y, count);
        }
    }
}

static void draw(laboratory *lab, const char *path) {
    plot *p = plot_begin("Signals of residual nets, unit by unit", 2);
    lab->x = (double *)allocate(lab->row_count * sizeof *lab->x);
    lab->y = (double *)allocate(lab->row_count * sizeof *lab->y);
    for (size_t i = 0; i < sizeof unit_panels / sizeof unit_panels[0]; i++) {
        draw_panel(lab, p, &unit_panels[i], "unit", FIRST);
        draw_panel(lab, p, &unit_panels[i], "unit", LATER);
    }
    for (size_t i = 0; i < sizeof step_panels / sizeof step_panels[0]; i++)
        draw_panel(lab, p, &step_panels[i], "step", ALL);
    for (size_t i = 0; i < sizeof parameter_panels / sizeof parameter_panels[0]; i++)
        draw_panel(lab, p, &parameter_panels[i], "parameter", LAST);
    draw_histograms(lab, p, "x_density", "inputs of units");
    draw_histograms(lab, p, "gradient_density", "gradients of these");
    draw_histograms(lab, p, "gate_density", "openings of gates");
    if (plot_save(p, path)) quit(1, "cannot write %s: %s", path, strerror(errno));
    free(lab->x);
    free(lab->y);
}

/* ---- the command line ------------------------------------------------------------------------ */

static subject *add_subject(laboratory *lab, const char *label) {
    subject *s = &lab->subjects[lab->count];
    if (lab->count++ == MOST_NETS) quit(2, "more than %d nets", MOST_NETS);
    s->label = label;
    return s;
}

static int has_subject(laboratory *lab, arguments *a) {
    const char *text;
    if (has_text(a, "weights", &text))
        add_subject(lab, text)->weights = text;
    else if (has_text(a, "net", &text))
        add_subject(lab, text)->fields = text;
    else if (has_text(a, "overlay", &text)) {
        if (lab->overlay_count == MOST_NETS) quit(2, "more than %d files by --overlay", MOST_NETS);
        lab->overlays[lab->overlay_count++] = text;
    } else if (has_text(a, "label", &text)) {
        if (!lab->count) quit(2, "--label names the --net or --weights before it");
        lab->subjects[lab->count - 1].label = text;
    } else
        return 0;
    return 1;
}

/* What nets are called stands in signals.csv, and tells them apart. */
static void check_labels(const laboratory *lab) {
    for (int i = 0; i < lab->count; i++) {
        const char *label = lab->subjects[i].label;
        if (!*label || strpbrk(label, "\"\r\n") || strlen(label) > MOST_LABEL)
            quit(2, "\"%.60s\" has quotes, ends of lines or not 1 to %d characters; give --label",
                 label, MOST_LABEL);
        for (int k = 0; k < i; k++)
            if (!strcmp(label, lab->subjects[k].label))
                quit(2, "two nets are called %s; give one another --label", label);
    }
}

static void read_flags(laboratory *lab, rn_desc *desc, int count, char **words) {
    arguments a = {count, 1, words};
    for (; a.at < count; a.at++) {
        if (is_help(&a)) help(lab);
        if (!has_subject(lab, &a) && !has_text(&a, "out", &lab->out) &&
            !has_whole(&a, "images", 2, 1 << 20, &lab->images) &&
            !has_whole(&a, "every", 1, 1000000000, &lab->every) &&
            !has_switch(&a, "inference", &lab->inference) && !has_training(&a, &lab->recipe) &&
            !has_field(&a, desc))
            quit(2, "there is no flag %s", words[a.at]);
    }
    if (!lab->count && !lab->overlay_count) add_subject(lab, "net");
    check_labels(lab);
}

/* Opens the data, and fits the descriptions of all nets to it. */
static void open_subjects(laboratory *lab, const rn_desc *flags, rn_desc descs[MOST_NETS]) {
    rn_error error;
    for (int i = 0; i < lab->count; i++) {
        descs[i] = describe_subject(&lab->subjects[i], flags);
        lab->recipe.net = lab->subjects[i].label;
        if (!i) open_sets(&lab->recipe, &descs[i], &lab->train, &lab->test);
        fit_to_data(&descs[i], &lab->train.source, lab->recipe.net);
        if (!is_measured(&descs[i]))
            check(rn_measure(&descs[i], &lab->train.source, &error), &error);
        check_description(descs[i]);
    }
    if (lab->images > lab->train.source.count)
        quit(2, "--images is %ld, and there are %td", lab->images, lab->train.source.count);
}

static void run_subjects(laboratory *lab, const rn_desc *flags, int count, char **words) {
    rn_desc descs[MOST_NETS];
    uint64_t steps = 0, per_epoch;
    manifest m;
    open_subjects(lab, flags, descs);
    per_epoch = count_steps(&lab->train.source, lab->recipe.batch);
    lab->data = checksum_sets(&lab->train.source, &lab->test.source);
    m = begin_manifest(count, words, &lab->recipe, &lab->train.source, &lab->test.source);
    for (int i = 0; i < lab->count; i++)
        if (is_trained(lab, &lab->subjects[i]))
            steps += choose_schedule(&lab->recipe, per_epoch).steps;
    lab->progress = begin_progress(steps);
    for (int i = 0; i < lab->count && !stopped; i++)
        run_subject(lab, &lab->subjects[i], &descs[i], &m);
    rn_data_free(&lab->train);
    rn_data_free(&lab->test);
}

int main(int count, char **words) {
    static laboratory lab = {.out = "out", .images = 64, .every = 10};
    rn_desc desc = rn_cifar(20);
    program = "signals";
    lab.recipe = make_recipe(IDX, "examples/data", 64, 2, rn_make_schedule(RN_CONSTANT, 0.1, 0));
    rn_set_dialect(&desc, RN_PAPER);
    desc.threads = all_cores();
    read_flags(&lab, &desc, count, words);
    make_directory(lab.out);
    check_ends(&lab);
    catch_signals();
    if (lab.count) run_subjects(&lab, &desc, count, words);
    for (int i = 0; i < lab.overlay_count; i++) read_rows(&lab, lab.overlays[i]);
    write_rows(&lab, path_in(lab.out, "signals.csv"));
    draw(&lab, path_in(lab.out, "signals.svg"));
    printf("%zu numbers in %s, drawn beside it as signals.svg\n", lab.row_count,
           path_in(lab.out, "signals.csv"));
    free(lab.rows);
    if (stopped) exit(128 + stopped);
    return finish();
}
