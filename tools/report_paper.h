/* report_paper.h - what came out, in words and in tables beside the paper's figures. */
#ifndef REPORT_PAPER_H
#define REPORT_PAPER_H

#include "../examples/paper.h"
#include "report_page.h"

/* ---- words, in the order of the enums, NULL behind the last ---------------------------------- */

static const char *const block_words[] = {
    "", "two 3\303\2273 convolutions",
    "a bottleneck of 1\303\2271, 3\303\2273 and 1\303\2271 convolutions",
    "one 3\303\2273 convolution", NULL};
static const char *const order_words[] = {
    "full pre-activation: BN and ReLU before each convolution, nothing after the addition",
    "the original order: BN and ReLU behind each convolution, ReLU after the addition",
    "BN after the addition, and ReLU behind it",
    "ReLU before the addition, so that F is never below zero",
    "ReLU-only pre-activation: ReLU before each convolution, BN behind it",
    NULL};
static const char *const shortcut_words[] = {"the identity",
                                             "scaled by",
                                             "exclusive gating: (1 \xE2\x88\x92 g) x beside g F",
                                             "shortcut-only gating: (1 \xE2\x88\x92 g) x beside F",
                                             "highway gates, one for x and one for F",
                                             "a 1\303\2271 convolution in every unit",
                                             "dropout of x",
                                             NULL};

/* The words for a value of the field `key`; the field itself, in `own`, where a changed header has
   values without words here. */
static inline const char *words_for(const rn_desc *desc, const char *key, int value,
                                    const char *const *words, char own[96]) {
    for (; *words && value; words++) value--;
    return *words ? *words : field_of(desc, key, own);
}

/* What the shortcut is, by `words`, with its factor if it has one; none, where that is 0. */
static inline void put_shortcut(plot_buffer *out, const rn_desc *desc, const char *before,
                                const char *words) {
    if (is_plain(desc)) {
        plot_puts(out, "no shortcut (plain)");
        return;
    }
    plot_format(out, "%w%w", before, words);
    if (desc->shortcut == RN_SHORTCUT_SCALE) put_text(out, " %g", desc->shortcut_scale);
}

/* An error of the run in percent, of how many images if that is known. */
static inline void put_error(plot_buffer *out, double error, double images) {
    put_text(out, "%.2f %%", error);
    plot_puts(out, " of the ");
    if (images > 0) put_count(out, images);
    plot_puts(out, " test images");
    if (images > 0) put_text(out, " (%.0f of them)", floor(error * images / 100 + 0.5));
}

static inline void put_training_words(plot_buffer *out, const report_run *r) {
    char schedule[64], data[256], set[64];
    const double steps = run_number(r, "iterations"), rate = run_number(r, "learning_rate");
    plot_puts(out, "<p>");
    if (steps > 0) plot_puts(out, "Trained for ");
    if (!is_finished(r)) put_text(out, "%.0f of ", run_number(r, "iteration"));
    if (steps > 0) put_text(out, "%.0f steps", steps);
    if (steps > 0 && run_number(r, "batch") > 0)
        put_text(out, " of %.0f images", run_number(r, "batch"));
    if (steps > 0 && run_value(r, "schedule", schedule, sizeof schedule))
        put_text(out, ", schedule %s", schedule);
    if (steps > 0 && rate > 0) put_text(out, " with learning rates up to %g", rate);
    put_text(out, "%s %g, weight decay %g", steps > 0 ? ", momentum" : "Momentum", r->desc.momentum,
             r->desc.weight_decay);
    if (run_value(r, "data", data, sizeof data) && run_value(r, "dataset", set, sizeof set))
        put_text(out, ", on %s (%s)", data, set);
    if (run_number(r, "training_images") > 0) {
        plot_puts(out, " of ");
        put_count(out, run_number(r, "training_images"));
        plot_puts(out, " training images");
    }
    put_text(out, "; seed %" PRIu64 ".", r->desc.seed);
    plot_puts(out, "</p>\n");
}

/* What was trained, and what came out. */
static inline void put_story(plot_buffer *out, const report_run *r) {
    static const char *const ends[] = {"", ", which is not its last,", ", its last,"};
    const double error = log_number(r, "test_error", 0), images = run_number(r, "test_images");
    double macs = 0;
    char own[96];
    int i;
    if (r->net) {
        for (i = 0; i < r->net->node_count; i++) macs += rn_node_macs(r->net, i);
        plot_puts(out, "<p>");
        put_text(out, "ResNet-%d: units of %s", r->desc.depth,
                 words_for(&r->desc, "block", (int)r->desc.block, block_words, own));
        put_text(out, "; order: %s; ",
                 words_for(&r->desc, "order", (int)r->desc.order, order_words, own));
        put_shortcut(out, &r->desc, "shortcut: ",
                     words_for(&r->desc, "shortcut", (int)r->desc.shortcut, shortcut_words, own));
        if (r->desc.stochastic_depth > 0)
            put_text(out,
                     "; stochastic depth: a step of training leaves units out, the last one with "
                     "probability %g",
                     r->desc.stochastic_depth);
        plot_puts(out, ". ");
        put_count(out, (double)r->net->parameter_count);
        put_text(out, " parameters, %.1f million multiply-adds an image.", macs / 1e6);
        plot_puts(out, "</p>\n");
        put_training_words(out, r);
    }
    if (isnan(error)) {
        plot_puts(out, "<p class=\"missing\">No epoch of it was tested yet.</p>\n");
        return;
    }
    plot_puts(out, "<p><strong>After ");
    put_text(out, "epoch %.0f%s it errs on ", log_number(r, "epoch", 0), ends[is_finished(r) + 1]);
    put_error(out, error, images);
    plot_puts(out, ".</strong>");
    if (log_number(r, "test_error", 1) < error)
        put_text(out, " The lowest after any epoch was %.2f %%.", log_number(r, "test_error", 1));
    plot_puts(out, "</p>\n");
}

/* ---- all runs in a table --------------------------------------------------------------------- */

/* "ResNet-20, basic, full_preact, identity" */
static inline void put_net_name(plot_buffer *out, const report_run *r) {
    static const char *const keys[] = {"block", "order"};
    char text[96];
    int i;
    put_text(out, "ResNet-%d", r->desc.depth);
    for (i = 0; i < 2; i++) {
        field_of(&r->desc, keys[i], text);
        put_text(out, ", %s", text);
    }
    plot_puts(out, ", ");
    field_of(&r->desc, "shortcut", text);
    put_shortcut(out, &r->desc, "", text);
    if (r->desc.stochastic_depth > 0)
        put_text(out, ", stochastic depth %g", r->desc.stochastic_depth);
}

/* The error that the run ended with, and whether it failed. */
static inline void put_result(plot_buffer *out, const report_run *r) {
    const double error = log_number(r, "test_error", 0);
    if (!isnan(error)) put_text(out, "%.2f", error);
    if (has_failed(r)) plot_puts(out, isnan(error) ? "fail" : " (fail)");
    if (isnan(error) && !has_failed(r)) plot_puts(out, "\xE2\x80\x93");
}

static inline void put_outcome_row(plot_buffer *out, const report_run *r, int number) {
    const double seconds = run_number(r, "seconds");
    plot_format(out, "<tr><th scope=\"row\"><a href=\"#run%d\">%w</a></th>", number, r->name);
    plot_puts(out, "<td class=\"number\">");
    put_result(out, r);
    plot_puts(out, "</td>");
    put_number_cell(out, log_number(r, "test_error", 1), 2);
    put_number_cell(out, log_number(r, "train_error", 0), 2);
    put_number_cell(out, log_number(r, "epoch", 0), 0);
    put_number_cell(out, seconds > 0 ? seconds / 60 : NAN, 1);
    put_number_cell(out, r->net ? (double)r->net->parameter_count / 1e6 : NAN, 2);
    plot_puts(out, "<td class=\"words\">");
    if (r->net)
        put_net_name(out, r);
    else
        plot_puts(out, "not known");
    plot_puts(out, "</td></tr>\n");
}

static inline void put_outcome(plot_buffer *out, const report_run *runs, int count) {
    static const char *const names[] = {
        "run",    "test error (%)", "lowest test error (%)", "training error (%)",
        "epochs", "minutes",        "parameters (millions)", "net"};
    int i;
    plot_puts(out, "<h2 id=\"outcome\">What came out</h2>\n");
    begin_table(out, "Errors after the last epoch that was tested", names, 8, 1, 6);
    for (i = 0; i < count; i++) put_outcome_row(out, &runs[i], i + 1);
    end_table(out);
}

/* ---- beside the paper ------------------------------------------------------------------------ */

/* How far apart two depths are. */
static inline double depth_distance(int a, int b) { return fabs(log((double)a / b)); }

/* Is there a row like this one in its table whose depth is nearer? */
static inline int has_nearer(const paper_row *row, int depth) {
    int i;
    for (i = 0; i < PAPER_ROWS; i++) {
        const paper_row *other = &paper_rows[i];
        if (other->table == row->table && other->classes == row->classes &&
            !strcmp(other->fields, row->fields) &&
            depth_distance(other->depth, depth) < depth_distance(row->depth, depth))
            return 1;
    }
    return 0;
}

/* Is the run's net that of the row, but for its depth? */
static inline int corresponds(const paper_row *row, const report_run *r) {
    static const char *const keys[] = {"block",          "order",          "shortcut",
                                       "shortcut_scale", "residual_scale", "gate_bias",
                                       "carry_bias",     "dropout",        "stochastic_depth"};
    char texts[2][96];
    rn_desc asked;
    size_t i;
    memset(&asked, 0, sizeof asked);
    if (!r->net || set_fields(&asked, row->fields, NULL) || rn_resolve(&asked, NULL)) return 0;
    if (r->desc.stem != RN_STEM_CIFAR || r->desc.norm != RN_NORM_BATCH) return 0;
    if ((row->classes == 100) != (r->desc.classes == 100)) return 0;
    for (i = 0; i < sizeof keys / sizeof *keys; i++) {
        field_of(&asked, keys[i], texts[0]);
        field_of(&r->desc, keys[i], texts[1]);
        if (strcmp(texts[0], texts[1]) != 0) return 0;
    }
    return !has_nearer(row, r->desc.depth);
}

/* The cell with the runs of a row; returns how many they are. */
static inline int put_our_runs(plot_buffer *out, const paper_row *row, const report_run *runs,
                               int count, double *median) {
    double *errors = (double *)allocate((size_t)count * sizeof(double));
    int i, ours = 0, known = 0;
    plot_puts(out, "<td class=\"words\">");
    for (i = 0; i < count; i++) {
        const report_run *r = &runs[i];
        const double error = has_failed(r) ? HUGE_VAL : log_number(r, "test_error", 0);
        if (!corresponds(row, r)) continue;
        plot_format(out, "%s<a href=\"#run%d\">%w</a>", ours++ ? "<br>" : "", i + 1, r->name);
        put_text(out, ", ResNet-%d%s: ", r->desc.depth,
                 is_finished(r) || has_failed(r) ? "" : ", not finished");
        put_result(out, r);
        if (!isnan(error)) errors[known++] = error;
    }
    plot_puts(out, "</td>");
    qsort(errors, (size_t)known, sizeof *errors, plot_ascending);
    *median = known ? (errors[(known - 1) / 2] + errors[known / 2]) / 2 : NAN;
    free(errors);
    return ours;
}

static inline void put_paper_table(plot_buffer *out, int table, const report_run *runs, int count) {
    static const char *const names[] = {"row", "error here (%)", "in the paper (%)", "its depth",
                                        "runs here"};
    char caption[96];
    int i;
    snprintf(caption, sizeof caption, "Table %d of the paper: %s", table, paper_titles[table - 1]);
    begin_table(out, caption, names, 5, 1, 3);
    for (i = 0; i < PAPER_ROWS; i++) {
        const paper_row *row = &paper_rows[i];
        plot_buffer cell;
        double median;
        if (row->table != table) continue;
        memset(&cell, 0, sizeof cell);
        plot_format(out, "<tr%s><th scope=\"row\">%w</th>",
                    put_our_runs(&cell, row, runs, count, &median) ? " class=\"ours\"" : "",
                    row->name);
        if (isinf(median))
            plot_puts(out, "<td class=\"number\">fail</td>");
        else
            put_number_cell(out, median, 2);
        plot_format(out, "<td class=\"number\">%w</td><td class=\"number\">%d</td>%s",
                    strcmp(row->published, "-") ? row->published : "not in it", row->depth,
                    cell.failed ? "" : cell.text);
        out->failed |= cell.failed;
        plot_puts(out, "</tr>\n");
        free(cell.text);
    }
    end_table(out);
}

/* How many runs have a row in the table. */
static inline int count_in_table(int table, const report_run *runs, int count) {
    int i, k, in = 0;
    for (i = 0; i < count; i++) {
        for (k = 0; k < PAPER_ROWS &&
                    !(paper_rows[k].table == table && corresponds(&paper_rows[k], &runs[i]));)
            k++;
        in += k < PAPER_ROWS;
    }
    return in;
}

/* The conditions of a run, in words. */
static inline void tell_conditions(const report_run *r, char words[512]) {
    char data[128] = "data that are not told", set[32] = "?", schedule[64] = "?";
    run_value(r, "data", data, sizeof data);
    run_value(r, "dataset", set, sizeof set);
    run_value(r, "schedule", schedule, sizeof schedule);
    snprintf(
        words, 512,
        "ResNet-%d for %.0f steps of %.0f images, schedule %s, on %s (%s) of %.0f training images",
        r->desc.depth, run_number(r, "iterations"), run_number(r, "batch"), schedule, data, set,
        run_number(r, "training_images"));
}

/* What must be known to compare: each of the conditions once. */
static inline void put_conditions(plot_buffer *out, const report_run *runs, int count) {
    char words[512], others[512];
    int i, k;
    plot_puts(out, "<p>The paper\xE2\x80\x99s figures are medians of five runs on CIFAR-10 (50,000 "
                   "training images; CIFAR-100 where a row says so), of 64,000 steps of 128 images "
                   "each: learning rate 0.1, a tenth from step 32,000 and a hundredth from step "
                   "48,000 on; \xE2\x80\x9C"
                   "fail\xE2\x80\x9D is an error over 20 %. Highway gates are not in it: "
                   "Srivastava et al. (2015) defend gating. Where depth, data or schedule differ, "
                   "compare the order of the rows, "
                   "not the figures. The runs here:</p>\n<ul class=\"plain\">\n");
    for (i = 0; i < count; i++) {
        if (!runs[i].net) continue;
        tell_conditions(&runs[i], words);
        for (k = 0; k < i; k++) {
            tell_conditions(&runs[k], others);
            if (runs[k].net && !strcmp(words, others)) break;
        }
        if (k == i) plot_format(out, "<li>%w</li>\n", words);
    }
    plot_puts(out, "</ul>\n");
}

static inline void put_paper(plot_buffer *out, const report_run *runs, int count) {
    int table;
    plot_puts(out, "<h2 id=\"paper\">Beside the paper</h2>\n");
    put_conditions(out, runs, count);
    for (table = 1; table <= 3; table++) {
        const int in = count_in_table(table, runs, count);
        if (in)
            put_paper_table(out, table, runs, count);
        else {
            plot_format(out, "<details>\n<summary>Table %d, %w: no run is in it</summary>\n", table,
                        paper_titles[table - 1]);
            put_paper_table(out, table, runs, count);
            plot_puts(out, "</details>\n");
        }
    }
}

#endif /* REPORT_PAPER_H */
