/* quantise.c - what a net loses in integers of 8 bits: accuracy in floats and in integers on a data
   set, and the error of each layer. tools/emit_c --int8 writes the same integers as C.

   cc -O2 -fopenmp -o tools/quantise tools/quantise.c -lm && tools/quantise --help */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "../resnet.h" /* looks inside, to save files as it does */
#include "../examples/plot.h"
#include "errors.h"
#include "folded.h"
#include "output.h"
#include "quantise.h"

/* In dB: below BROKEN the noise is over a third of the signal, below WEAK over a tenth; where there
   is none, signal_to_noise is above EXACT. */
enum { BROKEN = 10, WEAK = 20, EXACT = 900 };

typedef struct job {
    const char *weights, *data, *csv;
    calibration_options options;
    rn_desc desc;
    long test, layers, errors, threads; /* images to test; layers to print; images of the errors */
    long height, width;                 /* of a folded net's images; 0: not given */
    int given;                          /* 1: the net in the file is in integers already */
} job;

/* ---- errors by layer ------------------------------------------------------------------------- */

typedef struct ranked {
    int layer;
    double in_net, alone, cut; /* dB, dB, percent */
} ranked;

static int compare_ranks(const void *a, const void *b) {
    const ranked *x = (const ranked *)a, *y = (const ranked *)b;
    if (x->in_net < y->in_net || x->in_net > y->in_net) return x->in_net < y->in_net ? -1 : 1;
    return x->layer - y->layer;
}

/* In the order of execution, [layers - 1]: all but the input. */
static ranked *rank_layers(const lowered *net, const layer_error *errors) {
    ranked *list = (ranked *)allocate((size_t)net->count * sizeof(ranked));
    int i;
    for (i = 1; i < net->count; i++) {
        const layer_error *e = &errors[i];
        list[i - 1].layer = i;
        list[i - 1].in_net = signal_to_noise(e->signal, e->noise);
        list[i - 1].alone = signal_to_noise(e->signal, e->alone);
        list[i - 1].cut = 100 * e->cut / e->count;
    }
    return list;
}

static void print_decibels(double x) {
    if (x < EXACT)
        printf("%10.1f", x);
    else
        printf("%10s", "exact");
}

static void print_ranks(const lowered *net, const ranked *list, long layers) {
    ranked *sorted = (ranked *)allocate((size_t)net->count * sizeof(ranked));
    long i;
    memcpy(sorted, list, (size_t)(net->count - 1) * sizeof(ranked));
    qsort(sorted, (size_t)(net->count - 1), sizeof(ranked), compare_ranks);
    if (layers > net->count - 1) layers = net->count - 1;
    printf("Error against float, worst layers first: signal to noise in dB, 6 more are half the "
           "noise.\n\n%-30s bits  in the net    alone  beyond its range\n",
           "");
    for (i = 0; i < layers; i++) {
        const layer *l = &net->layers[sorted[i].layer];
        printf("%-30s %4d  ", l->name, l->q.wide ? 16 : 8);
        print_decibels(sorted[i].in_net);
        printf(" ");
        print_decibels(sorted[i].alone);
        printf("  %.3f %%\n", sorted[i].cut);
    }
    printf("\nin the net: as the value comes there. alone: only this layer is in integers, what it "
           "reads are\nthe floats, rounded.\n");
    free(sorted);
}

/* What to do about a layer that is bad in itself, where its range follows from that rule. */
static void print_remedy(const lowered *net, const ranked *r, range_rule rule) {
    static const char *const wider[] = {"a higher --percentile, --ranges minmax, or more --images",
                                        "--ranges minmax, or more --images", "more --images"};
    static const char *const narrower[] = {"--ranges mse, or a lower --percentile",
                                           "--percentile 99.9",
                                           "--ranges mse, or --percentile 99.9"};
    const layer *reads = &net->layers[net->layers[r->layer].inputs[0]];
    if (r->cut > 0.05)
        printf("%.2f %% of its numbers lie beyond its range: try\n%s.\n", r->cut, wider[rule]);
    else
        printf("Hardly a number lies beyond its range: 8 bits are too few for it, or for what it "
               "reads (%s),\nbecause a few channels or numbers are far larger than the others: "
               "try\n%s.\n",
               reads->name, narrower[rule]);
}

/* Names the first layer that breaks, where that comes from, and what to try. */
static void print_first_broken(const job *j, const lowered *net, const ranked *list) {
    int i, worst = 0, last = net->count - 1;
    for (i = 0; i < last && list[i].in_net >= BROKEN;) i++;
    if (i == last) {
        printf("No layer breaks: none has less than %d dB.\n", BROKEN);
        return;
    }
    printf("The first layer that breaks (has less than %d dB) is %s", BROKEN,
           net->layers[list[i].layer].name);
    if (list[i].alone < WEAK) {
        printf(", by itself: it has %.1f dB alone.\n", list[i].alone);
        if (!j->given) print_remedy(net, &list[i], j->options.ranges);
        return;
    }
    for (worst = last = 0; last < i; last++)
        if (list[last].alone < list[worst].alone) worst = last;
    printf(", by the noise of those before it: alone it\nhas %.1f dB. The weakest of them is %s, "
           "%.1f dB alone.%s",
           list[i].alone, net->layers[list[worst].layer].name, list[worst].alone,
           j->given ? "\n" : " ");
    if (!j->given) print_remedy(net, &list[worst], j->options.ranges);
}

static void save_csv(const char *path, const lowered *net, const ranked *list) {
    output out;
    char line[400];
    int i;
    open_output(&out, path);
    strcpy(line, "layer,bits,scale,zero_point,channels,height,width,in_net_db,alone_db,"
                 "beyond_range_percent\n");
    write_output(&out, line, strlen(line));
    for (i = 0; i < net->count - 1; i++) {
        const layer *l = &net->layers[list[i].layer];
        snprintf(line, sizeof line, "%s,%d,%.9g,%d,%d,%d,%d,%.2f,%.2f,%.4f\n", l->name,
                 l->q.wide ? 16 : 8, (double)l->q.scale, l->q.zero_point, l->c, l->h, l->w,
                 list[i].in_net, list[i].alone, list[i].cut);
        write_output(&out, line, strlen(line));
    }
    finish_outputs(&out, 1);
    printf("%s: all layers in the order of execution; \"exact\" is 999 dB\n", path);
}

/* Draws what save_csv writes; an exact layer has no point. */
static void draw_errors(const char *path, const lowered *net, const ranked *list) {
    const plot_axis order = {"layer, in the order of execution", 0, 0, 0};
    const plot_axis decibels = {"signal to noise (dB)", 0, 0, 0};
    const plot_axis beyond = {"numbers beyond the range (%)", 0, 0, 0};
    const int count = net->count - 1;
    double *values = (double *)allocate(4 * (size_t)count * sizeof(double));
    double *x = values, *in_net = x + count, *alone = in_net + count, *cut = alone + count;
    plot *p = plot_begin("Errors of 8-bit integers, layer by layer", 2);
    for (int i = 0; i < count; i++) {
        x[i] = i + 1;
        in_net[i] = list[i].in_net < EXACT ? list[i].in_net : NAN;
        alone[i] = list[i].alone < EXACT ? list[i].alone : NAN;
        cut[i] = list[i].cut;
    }
    plot_panel(p, "Error against float", order, decibels);
    plot_line(p, "in the net", x, in_net, count);
    plot_line(p, "alone, reading floats", x, alone, count);
    plot_guide(p, BROKEN, "below it a layer breaks");
    plot_panel(p, "Beyond the range", order, beyond);
    plot_line(p, "in the net", x, cut, count);
    free(values);
    if (plot_save(p, path)) quit(1, "cannot write %s: %s", path, strerror(errno));
    printf("%s: its picture\n", path);
}

/* Where the picture of a table stands: NAME.csv has NAME.svg. Free it. */
static char *picture_beside(const char *csv) {
    const size_t length = strlen(csv);
    char *path = (char *)allocate(length + 5);
    strcpy(path, csv);
    strcpy(path + length - (length > 4 && !strcmp(csv + length - 4, ".csv") ? 4 : 0), ".svg");
    return path;
}

static void report_errors(const job *j, const evaluator *e, const rn_source *source) {
    const long images = j->errors < source->count ? j->errors : (long)source->count;
    layer_error *errors = survey_errors(e, source, (int)images);
    ranked *list = rank_layers(e->net, errors);
    printf("\n");
    print_ranks(e->net, list, j->layers);
    print_first_broken(j, e->net, list);
    if (j->csv) {
        char *picture = picture_beside(j->csv);
        save_csv(j->csv, e->net, list);
        draw_errors(picture, e->net, list);
        free(picture);
    }
    free(errors), free(list);
}

/* ---- accuracy -------------------------------------------------------------------------------- */

static void report_accuracy(const job *j, const evaluator *e, const rn_source *source) {
    const double begun = seconds_now();
    const long images = j->test && j->test < source->count ? j->test : (long)source->count;
    const accuracy a = measure_accuracy(e, source, (int)images);
    const double all = a.images / 100.0;
    printf("%d test images: float %.2f %% right, int8 %.2f %% (%+.2f points), the same class for "
           "%.2f %%; %.0f s\n",
           a.images, a.right / all, a.right_integers / all, (a.right_integers - a.right) / all,
           a.same / all, seconds_now() - begun);
}

/* Where the file tells the ranges nothing is calibrated. */
static void refuse_calibration(const char *weights, const arguments *a) {
    static const char *const names[] = {"images", "ranges", "percentile"};
    int i;
    for (i = 0; i < 3; i++)
        if (is_given(*a, names[i]))
            quit(2, "%s is in integers already; leave --%s out", weights, names[i]);
}

static void run(job *j, const arguments *a) {
    lowered net = read_layers(j->weights, (int)j->height, (int)j->width, &j->desc, &j->options);
    rn_data test;
    evaluator e;
    j->given = net.quantised;
    j->options.threads = (int)j->threads;
    if (j->given) refuse_calibration(j->weights, a);
    open_images(&test, &net, j->data, 0, &j->options);
    if (j->given)
        printf("%s is in integers already; \"float\" is what they stand for\n", j->weights);
    else
        calibrate(&net, j->data, &j->options);
    e = make_evaluator(&net, (int)j->threads);
    report_accuracy(j, &e, &test.source);
    if (j->errors) report_errors(j, &e, &test.source);
    free_evaluator(&e);
    rn_data_free(&test);
    free_lowered(&net);
}

/* ---- the program ----------------------------------------------------------------------------- */

static void help(const job *j) {
    printf("usage: quantise WEIGHTS --data DIR [--flag VALUE | --flag=VALUE]...\n\n"
           "Turns the net of a weights file of resnet.h, or a folded one such as those of MLPerf\n"
           "Tiny, into integers of 8 bits, and says what that costs: accuracy in float and in\n"
           "int8 on the test images, bit for bit what tools/emit_c --int8 writes, and the error\n"
           "of each layer.\n\n"
           "  --data DIR       holds the images, as for examples/cifar\n");
    print_calibration_options();
    printf("                   (a net that is in integers already takes none of the last three)\n"
           "  --test N         only N of the test images (all)\n"
           "  --errors N       the errors by layer are those of N test images (%ld); 0: none\n"
           "  --layers N       so many layers are printed (%ld)\n"
           "  --csv FILE       all of them as a table, and beside it as a picture, NAME.svg\n"
           "  --threads N      (%ld)\n"
           "  --height N, --width N   of the images of a folded net (%d)\n",
           j->errors, j->layers, j->threads, FOLDED_SIZE);
    exit(finish());
}

int main(int count, char **words) {
    arguments a = {count, 1, words};
    job j;
    program = "quantise";
    memset(&j, 0, sizeof j);
    j.options = default_calibration();
    j.threads = all_cores();
    j.errors = 100, j.layers = 10;
    for (; a.at < count; a.at++) {
        if (is_help(&a)) help(&j);
        if (has_text(&a, "data", &j.data) || has_text(&a, "csv", &j.csv) ||
            has_whole(&a, "test", 1, INT_MAX, &j.test) ||
            has_whole(&a, "errors", 0, INT_MAX, &j.errors) ||
            has_whole(&a, "layers", 0, INT_MAX, &j.layers) ||
            has_whole(&a, "threads", 1, 1024, &j.threads) ||
            has_whole(&a, "height", 1, 4096, &j.height) ||
            has_whole(&a, "width", 1, 4096, &j.width) || has_calibration_option(&a, &j.options))
            continue;
        if (words[a.at][0] == '-') quit(2, "there is no flag %s", words[a.at]);
        if (j.weights)
            quit(2, "one net at a time, but there are %s and %s", j.weights, words[a.at]);
        j.weights = words[a.at];
    }
    if (!j.weights) quit(2, "it takes a weights file");
    if (!j.data) quit(2, "--data says where the images are, as for examples/cifar");
    if (j.csv && !j.errors) quit(2, "--csv writes the errors by layer; leave --errors 0 out");
    if (j.csv && same_file(j.csv, j.weights))
        quit(2, "%s and %s are the same file, which would be lost", j.weights, j.csv);
    if (j.csv) refuse_output(j.csv);
    run(&j, &a);
    return finish();
}
