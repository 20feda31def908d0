/* curves.c - the paper's Fig. 1 at a length of your choice: the training loss of one very deep net
   in the original and in the full pre-activation order, from the same seed on the same batches.
   Writes a log of each, and draws both as fig1.svg.

   cc -O2 -fopenmp -o examples/curves examples/curves.c -lm && examples/curves --help */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "example.h"
#include "plot_log.h"

static const char *const orders[] = {"full_preact", "original"};

static void help(const recipe *r, long every) {
    printf("usage: curves [--flag VALUE | --flag=VALUE]...\n\n"
           "Trains ResNet-1001, full pre-activation and then original, from the same seed on the\n"
           "same batches, and logs the training loss as it falls. Ctrl-C ends it.\n\n");
    print_training(r);
    printf("  --out DIR           gets full_preact.csv, original.csv and fig1.svg, their\n"
           "                      picture (curves); logs that are there are renamed to NAME.old\n"
           "  --every N           steps whose mean loss is a row of the log (%ld)\n\n"
           "Fields of the description (rn_desc in resnet.h), order apart:\n",
           every);
    print_fields();
    exit(finish());
}

static void make_path(char path[1000], const char *directory, const char *name, const char *end) {
    if (snprintf(path, 1000, "%s/%s%s", directory, name, end) >= 1000)
        quit(2, "the name of the directory --out is too long");
}

static FILE *open_log(const char *directory, const char *name) {
    char path[1000], old[1000];
    FILE *log;
    make_directory(directory);
    make_path(path, directory, name, ".csv");
    make_path(old, directory, name, ".csv.old");
    if (is_there(path)) rename_file(path, old);
    log = fopen(path, "w");
    if (!log) quit(1, "cannot write %s: %s", path, strerror(errno));
    fprintf(log, "epoch,iteration,train_loss,train_error,test_loss,test_error\n");
    return log;
}

/* Trains to the end of the schedule, or until the loss is no number. train_next begins its sums
   anew in each epoch, a row of the log each `every` steps, so each step is told by itself. */
static void train(trainer *t, long every, FILE *log, progress *p, const char *title) {
    rn_net *net = t->net;
    double loss = 0, correct = 0, seen = 0;
    rn_status status = RN_OK;
    rn_error error;
    while (!stopped && net->step < net->schedule.steps) {
        if (net->step % (uint64_t)every == 0) loss = correct = seen = 0;
        t->loss = t->correct = t->seen = 0;
        status = train_next(t, &error);
        if (status == RN_NOT_FINITE) break;
        check(status, &error);
        loss += t->loss, correct += t->correct, seen += t->seen;
        p->done++;
        show_progress(p, "%s: step %" PRIu64 "/%" PRIu64 "  loss %.3f", title, net->step,
                      net->schedule.steps, loss / seen);
        if (net->step % (uint64_t)every && net->step < net->schedule.steps) continue;
        fprintf(log, "%" PRIu64 ",%" PRIu64 ",%g,%g,,\n", net->epoch + 1, net->step, loss / seen,
                error_rate(correct, seen));
        if (fflush(log)) quit(1, "cannot write the log: %s", strerror(errno));
    }
    end_progress(p);
    if (status) {
        printf("%-12s failed: %s\n", title, error.text);
        p->done += (double)(net->schedule.steps - net->step);
    } else if (seen > 0)
        printf("%-12s loss %.4f, error %.2f %% after %" PRIu64 " steps\n", title, loss / seen,
               error_rate(correct, seen), net->step);
}

/* What will be trained, from the first net. */
static void announce(const trainer *t) {
    printf("ResNet-%d, %s and then %s: %" PRIu64 " steps of %d images each\n", t->net->desc.depth,
           orders[0], orders[1], t->net->schedule.steps, t->batch);
    fflush(stdout);
}

static void draw(const char *directory, int depth, int logs) {
    char paths[2][1000], picture[1000], title[64], error[PLOT_SENTENCE];
    const char *const words[2] = {paths[0], paths[1]};
    const plot_logs_job job = {words, orders, logs, title, "iteration", 0};
    for (int i = 0; i < logs; i++) make_path(paths[i], directory, orders[i], ".csv");
    make_path(picture, directory, "fig1", ".svg");
    snprintf(title, sizeof title, "ResNet-%d, %s", depth,
             logs > 1 ? "both orders" : "full pre-activation");
    if (plot_logs(&job, picture, error))
        printf("drawn as %s\n", picture);
    else if (!stopped) /* perhaps before the first row */
        quit(1, "%s", error);
}

int main(int count, char **words) {
    arguments a = {count, 1, words};
    recipe r = make_recipe(CIFAR10, "data", 64, 4, rn_make_schedule(RN_CONSTANT, 0.1, 300));
    rn_desc desc = rn_cifar(1001);
    const char *out = "curves";
    long every = 10;
    rn_data images, test;
    rn_error error;
    progress p;
    int i, depth = 0;
    program = "curves";
    desc.threads = all_cores();
    for (; a.at < count; a.at++) {
        if (is_help(&a)) help(&r, every);
        if (!has_text(&a, "out", &out) && !has_whole(&a, "every", 1, 1000000, &every) &&
            !has_training(&a, &r) && !has_field(&a, &desc))
            quit(2, "there is no flag %s", words[a.at]);
    }
    check_description(desc);
    open_sets(&r, &desc, &images, &test);
    rn_data_free(&test);
    catch_signals();
    for (i = 0; i < 2 && !stopped; i++) {
        FILE *log;
        trainer t;
        check(rn_desc_set(&desc, "order", orders[i], &error), &error);
        t = make_trainer(&desc, &r, RN_TRAINING, &images.source);
        t.net->schedule = choose_schedule(&r, steps_per_epoch(&t));
        log = open_log(out, orders[i]);
        if (!i) announce(&t);
        depth = t.net->desc.depth; /* which follows from units, if those are given */
        if (!i) p = begin_progress(2 * t.net->schedule.steps);
        train(&t, every, log, &p, orders[i]);
        fclose(log);
        free_trainer(&t);
    }
    rn_data_free(&images);
    draw(out, depth, i);
    return stopped ? 128 + stopped : finish();
}
