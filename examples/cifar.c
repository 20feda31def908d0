/* cifar.c - the trainer: a residual network on CIFAR-10, CIFAR-100 or IDX files, by the recipe of
   the paper unless flags say otherwise. Every field of the description is a flag.

   cc -O2 -fopenmp -o examples/cifar examples/cifar.c -lm && examples/cifar --help */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "example.h"

typedef struct run {
    recipe recipe;
    const char *out, *eval, *predictions, *dialect;
    int resume, describe, plan;
    trainer t;
    rn_data train, test;
    progress progress;
    FILE *log;          /* a row an epoch */
    long log_end;       /* behind its last whole row, */
    uint64_t logged;    /* which was written after this step */
    double earlier;     /* seconds of the parts of the run before this one */
    double error, best; /* of the test images, in percent: the last, the lowest */
} run;

static void help(const recipe *r) {
    printf("usage: cifar [--flag VALUE | --flag=VALUE]...\n\n"
           "Trains a residual network, tests it after each epoch and last prints its test error.\n"
           "Without flags: full pre-activation ResNet-20, CIFAR-10, the paper's recipe.\n"
           "Ctrl-C saves a checkpoint and ends with status 130.\n\n");
    print_recipe(r);
    printf(
        "  --out DIR           gets log.csv, best.safetensors, last.ckpt (out); those of an\n"
        "                      earlier run are renamed to NAME.old\n"
        "  --resume            go on from DIR/last.ckpt, to the bits of a run never stopped;\n"
        "                      repeat data, batch, pad and flip: it knows the rest\n"
        "  --eval WEIGHTS      do not train, test these\n"
        "  --predictions FILE  write the class predicted for each test image, one a line\n"
        "  --describe          print the net and exit\n"
        "  --plan              print what is in memory when, draw it as DIR/plan.svg, and exit\n"
        "  --dialect NAME      paper, msra_1k, fb or torchvision (paper): rn_set_dialect\n\n"
        "Fields of the description (rn_desc in resnet.h; momentum is 0.9, weight_decay 1e-4,\n"
        "threads all cores, and mean and std are measured, unless a flag or a file says else):\n");
    print_fields();
    exit(0);
}

static void read_flags(run *r, rn_desc *desc, int count, char **words) {
    arguments a = {count, 1, words};
    for (; a.at < count; a.at++) {
        if (!strcmp(words[a.at], "-h") || is_flag(&a, "help")) help(&r->recipe);
        if (!has_switch(&a, "resume", &r->resume) && !has_switch(&a, "describe", &r->describe) &&
            !has_switch(&a, "plan", &r->plan) && !has_text(&a, "out", &r->out) &&
            !has_text(&a, "eval", &r->eval) && !has_text(&a, "predictions", &r->predictions) &&
            !has_recipe(&a, &r->recipe) && !has_text(&a, "dialect", &r->dialect) &&
            !has_field(&a, desc))
            quit(2, "there is no flag %s", words[a.at]);
    }
    if (r->eval && r->resume) quit(2, "--eval tests and --resume trains: give one of them");
}

static const char *out_path(const run *r, const char *name) {
    static char path[1000];
    if (snprintf(path, sizeof path, "%s/%s", r->out, name) >= (int)sizeof path)
        quit(2, "the name of the directory --out is too long");
    return path;
}

/* A run that is stopped within an epoch leaves a last row with nan for the test, from which the
   sums of that epoch go on, and which the row of the whole epoch replaces. */
static void write_row(run *r, const rn_result *test) {
    const rn_net *net = r->t.net;
    int digits = test ? 6 : 17;
    if (ftruncate(fileno(r->log), r->log_end) || fseek(r->log, 0, SEEK_END))
        quit(1, "cannot write %s: %s", out_path(r, "log.csv"), strerror(errno));
    if (!r->log_end)
        fprintf(r->log, "epoch,iteration,train_loss,train_error,test_loss,test_error,"
                        "learning_rate,images_per_second,seconds\n");
    fprintf(r->log, "%" PRIu64 ",%" PRIu64 ",%.*g,%.*g,%g,%g,%g,%.1f,%.1f\n", net->epoch + 1,
            net->step, digits, r->t.loss / r->t.seen, digits, error_rate(r->t.correct, r->t.seen),
            test ? test->loss : NAN, test ? r->error : NAN,
            rn_learning_rate(&net->schedule, net->step - 1), r->t.speed,
            r->earlier + seconds_now() - r->progress.begun);
    if (fflush(r->log)) quit(1, "cannot write %s: %s", out_path(r, "log.csv"), strerror(errno));
    if (!test) return;
    r->log_end = ftell(r->log);
    r->logged = net->step;
}

/* Keeps the rows up to the checkpoint. What followed it is trained again, to the same numbers. */
static void read_log(run *r) {
    const rn_net *net = r->t.net;
    double step, loss, error, test, seconds, now = (double)net->step;
    char line[512];
    while (fgets(line, sizeof line, r->log) && strchr(line, '\n')) {
        if (sscanf(line, "%*d,%lf,%lf,%lf,%*f,%lf,%*f,%*f,%lf", &step, &loss, &error, &test,
                   &seconds) != 5)
            continue;
        if (step > now) break;
        r->earlier = seconds;
        r->t.seen = step < now ? 0 : (double)net->cursor;
        r->t.loss = loss * r->t.seen;
        r->t.correct = floor((1 - error / 100) * r->t.seen + 0.5);
        if (strstr(line, ",nan,nan,") || (step >= now && !is_due(&r->t)))
            continue; /* of an epoch that goes on */
        r->log_end = ftell(r->log);
        r->logged = (uint64_t)step;
        r->error = test;
        r->best = fmin(r->best, test);
    }
}

static void open_log(run *r) {
    static const char *const names[] = {"log.csv", "best.safetensors", "last.ckpt"};
    char old[1010];
    int i;
    if (make_directory(r->out))
        quit(1, "cannot make the directory %s: %s", r->out, strerror(errno));
    for (i = 0; i < 3 && !r->resume; i++) {
        snprintf(old, sizeof old, "%s.old", out_path(r, names[i]));
        rename(out_path(r, names[i]), old);
    }
    r->log = fopen(out_path(r, names[0]), "a+");
    if (!r->log) quit(1, "cannot write %s: %s", out_path(r, names[0]), strerror(errno));
    rewind(r->log);
    read_log(r);
}

static void save_checkpoint(run *r) {
    rn_error error;
    if (r->logged != r->t.net->step) write_row(r, NULL);
    check(rn_save_checkpoint(r->t.net, out_path(r, "last.ckpt"), NULL, &error), &error);
}

static void finish_epoch(run *r) {
    trainer *t = &r->t;
    rn_result test;
    rn_error error;
    check(test_net(t, &r->test.source, NULL, &test, &error), &error);
    if (stopped) return;
    r->error = error_rate(test.correct, (double)r->test.source.count);
    if (r->error < r->best - 1e-6) {
        r->best = r->error;
        check(rn_save(t->net, out_path(r, "best.safetensors"), NULL, &error), &error);
    }
    write_row(r, &test);
    save_checkpoint(r);
    end_progress(&r->progress);
    printf("epoch %d/%d: loss %.4f, error %.2f %%; in test %.4g, %.2f %%; %.0f images/s\n",
           (int)t->net->epoch + 1, (int)count_epochs(t), t->loss / t->seen,
           error_rate(t->correct, t->seen), test.loss, r->error, t->speed);
    fflush(stdout);
}

static void train(run *r) {
    rn_net *net = r->t.net;
    const rn_desc asked = net->desc;
    uint64_t per_epoch = steps_per_epoch(&r->t), batch = (uint64_t)r->t.batch, used;
    rn_error error;
    if (r->resume) check(rn_load(net, out_path(r, "last.ckpt"), NULL, &error), &error);
    refuse_changes(&asked, &net->desc);
    used = net->epoch * per_epoch + (net->cursor + batch - 1) / batch;
    if (net->step != used) quit(2, "last.ckpt is of a run with another --batch or other data");
    if (r->resume) r->recipe.schedule = net->schedule;
    net->schedule = choose_schedule(&r->recipe, per_epoch);
    r->progress = begin_progress(net->schedule.steps - net->step);
    open_log(r);
    catch_signals();
    printf("ResNet-%d, %td parameters, %.1f MB, %d threads; %td training, %td test images\n",
           net->desc.depth, net->parameter_count, (double)net->bytes / 1e6, net->desc.threads,
           r->train.source.count, r->test.source.count);
    while (!stopped && (net->step < net->schedule.steps || r->logged != net->step)) {
        if (is_due(&r->t) && r->logged != net->step)
            finish_epoch(r);
        else
            check(train_epoch(&r->t, 600, &r->progress, "", &error), &error);
        if (!stopped && !is_due(&r->t)) save_checkpoint(r);
    }
    if (!stopped) return;
    save_checkpoint(r);
    end_progress(&r->progress);
    printf("stopped after iteration %" PRIu64 " of %" PRIu64 "; --resume goes on from %s\n",
           net->step, net->schedule.steps, out_path(r, "last.ckpt"));
    exit(128 + stopped);
}

static void test(run *r) {
    FILE *predictions = r->predictions ? fopen(r->predictions, "w") : NULL;
    rn_result result;
    rn_error error;
    if (r->predictions && !predictions) quit(1, "%s: %s", r->predictions, strerror(errno));
    check(test_net(&r->t, &r->test.source, predictions, &result, &error), &error);
    if (stopped) exit(128 + stopped);
    r->error = error_rate(result.correct, (double)r->test.source.count);
    if (predictions && (ferror(predictions) | fclose(predictions)))
        quit(1, "writing %s failed: is the disk full?", r->predictions);
}

static void describe(run *r, const rn_desc *desc) {
    if (r->plan && make_directory(r->out))
        quit(1, "cannot make the directory %s: %s", r->out, strerror(errno));
    if (r->describe) print_net(desc, (int)r->recipe.batch);
    if (r->plan) print_plan(desc, (int)r->recipe.batch, out_path(r, "plan.svg"));
    exit(finish());
}

/* Flags count more than a file's description or a dialect, so they are read once to learn which,
   and again on top. */
static rn_desc choose_description(run *r, int count, char **words) {
    rn_desc desc = rn_cifar(20);
    rn_dialect dialect = RN_PAPER;
    rn_error error;
    rn_status status = RN_MISMATCH; /* a file without description: the flags describe it */
    read_flags(r, &desc, count, words);
    if (r->dialect && rn_dialect_parse(&dialect, r->dialect, &error)) quit(2, "%s", error.text);
    if (r->eval || r->resume)
        status = rn_load_desc(&desc, r->eval ? r->eval : out_path(r, "last.ckpt"), NULL, &error);
    if (status == RN_MISMATCH)
        rn_set_dialect(&desc, dialect);
    else
        check(status, &error);
    desc.threads = all_cores();
    read_flags(r, &desc, count, words);
    check_description(desc); /* before data is asked for */
    return desc;
}

int main(int count, char **words) {
    static run r = {.out = "out", .best = HUGE_VAL};
    rn_source images = {1, 3, 32, 32, 10, NULL, NULL}; /* CIFAR's, to be described without data */
    rn_desc desc;
    rn_error error;
    program = "cifar";
    r.recipe = make_recipe(CIFAR10, "data", 128, 4, rn_make_schedule(RN_STEPS, 0.1, 64000));
    desc = choose_description(&r, count, words);
    if (r.recipe.set == CIFAR100) images.classes = 100;
    if ((r.describe || r.plan) && r.recipe.set != IDX)
        fit_to_data(&desc, &images);
    else
        open_sets(&r.recipe, &desc, r.eval && is_measured(&desc) ? NULL : &r.train, &r.test);
    if (r.describe || r.plan) describe(&r, &desc);
    r.t = make_trainer(&desc, &r.recipe, r.eval ? RN_INFERENCE : RN_TRAINING, &r.train.source);
    if (r.eval) check(rn_load(r.t.net, r.eval, NULL, &error), &error);
    if (!r.eval) train(&r);
    if (r.eval || r.predictions) test(&r);
    printf("test error %.2f %%\n", r.error);
    free_trainer(&r.t);
    rn_data_free(&r.train);
    rn_data_free(&r.test);
    return finish();
}
