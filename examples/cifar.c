/* cifar.c - the trainer: a residual network on CIFAR-10, CIFAR-100, IDX files or folders of pictures,
   by the recipe of the paper unless flags say otherwise. Every field of the description is a flag.

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
    uint64_t logged;    /* step of its last row */
    double earlier;     /* seconds of the parts of the run before this one */
    double error, best; /* of the test images, in percent: the last, the lowest */
} run;

static void help(const recipe *r) {
    printf("usage: cifar [--flag VALUE | --flag=VALUE]...\n\n"
           "Trains a residual network, tests it after each epoch and last prints its test error.\n"
           "Without flags: full pre-activation ResNet-20, CIFAR-10, the paper's recipe.\n"
           "Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 save a checkpoint and end with status 128 + the\n"
           "signal's number (130, 143, 129, 138).\n\n");
    print_recipe(r);
    printf(
        "  --out DIR           gets log.csv, best.safetensors, last.ckpt, and for folders\n"
        "                      classes.txt, the names of the classes (out); those of an\n"
        "                      earlier run are renamed to NAME.old (an earlier .old is kept if\n"
        "                      that run finished no epoch)\n"
        "  --resume            go on from DIR/last.ckpt, to the bits of a run never stopped: it\n"
        "                      knows all but where the data is (--dataset, --data); length, --lr,\n"
        "                      --schedule and what is of the machine (threads, naive, direct,\n"
        "                      micro_batch, budget, isa) may change, other changes are refused\n"
        "  --eval WEIGHTS      do not train, test these\n"
        "  --predictions FILE  write the class predicted for each test image, one a line, by the\n"
        "                      net at the end\n"
        "  --describe          print the net and exit\n"
        "  --plan              print what is in memory when, draw it as DIR/plan.svg, and exit\n"
        "  --dialect NAME      paper, msra_1k, fb, torchvision, timm or mlperf_tiny\n"
        "                      (paper): rn_set_dialect\n\n"
        "Fields of the description; for what they mean see rn_desc in resnet.h (momentum is 0.9,\n"
        "weight_decay 1e-4, threads all cores, and mean and deviation are measured, unless a flag\n"
        "or a file says else; frozen_below leaves stages as they begin, which for weights that\n"
        "are trained already examples/finetune does):\n");
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

static void check_log(const run *r, int failed) {
    if (failed) quit(1, "cannot write %s: %s", out_path(r, "log.csv"), strerror(errno));
}

static void write_row(run *r, const rn_result *test) {
    const rn_net *net = r->t.net;
    const int known = r->t.seen > 0;
    fprintf(r->log, "%" PRIu64 ",%" PRIu64 ",%g,%g,%g,%g,%g,%.1f,%.1f\n", net->epoch + 1, net->step,
            known ? r->t.loss / r->t.seen : NAN, known ? error_rate(r->t.correct, r->t.seen) : NAN,
            test->loss, r->error, rn_learning_rate(&net->schedule, net->step - 1), r->t.speed,
            net->trainer.seconds);
    check_log(r, fflush(r->log));
    r->logged = net->step;
}

/* The next row of an epoch that was tested; 0 at the end. */
static int read_row(FILE *log, double *step, double *error) {
    char line[512];
    while (fgets(line, sizeof line, log) && strchr(line, '\n'))
        if (sscanf(line, "%*d,%lf,%*f,%*f,%*f,%lf", step, error) == 2 && !isnan(*error)) return 1;
    return 0;
}

/* Goes on behind the rows up to the checkpoint. What followed it is trained again, to the same
   numbers. The best net tells itself how good it is; of one that does not, the rows do. */
static void read_log(run *r) {
    const char *best = out_path(r, "best.safetensors");
    const uint64_t bits = stored_number(best, "trainer.test_accuracy");
    const int untold = is_there(best) && !bits;
    double step, error, accuracy;
    long end = 0;
    memcpy(&accuracy, &bits, sizeof accuracy);
    if (bits) r->best = 100 - accuracy;
    while (read_row(r->log, &step, &error) && step <= (double)r->t.net->step) {
        end = ftell(r->log);
        r->logged = (uint64_t)step;
        r->error = error;
        if (untold) r->best = fmin(r->best, error);
    }
    check_log(r, ftruncate(fileno(r->log), end) || fseek(r->log, 0, SEEK_END));
    if (!end)
        fprintf(r->log, "epoch,iteration,train_loss,train_error,test_loss,test_error,"
                        "learning_rate,images_per_second,seconds\n");
    check_log(r, fflush(r->log));
}

/* Renames the results of an earlier run; but one that finished no epoch makes way for those that
   are aside already. */
static void put_aside(const run *r) {
    static const char *const names[] = {"log.csv", "best.safetensors", "last.ckpt"};
    FILE *log = fopen(out_path(r, names[0]), "r");
    double step, error;
    int i,
        rename_it = !is_there(out_path(r, "log.csv.old")) || (log && read_row(log, &step, &error));
    char old[1010];
    if (log) fclose(log);
    rename_it |= is_there(out_path(r, names[1]));
    for (i = 0; i < 3; i++) {
        const char *path = out_path(r, names[i]);
        snprintf(old, sizeof old, "%s.old", path);
        if (is_there(path) && (rename_it ? rename(path, old) : remove(path)))
            quit(1, "cannot rename or remove %s: %s", path, strerror(errno));
    }
}

static void open_log(run *r) {
    make_directory(r->out);
    if (!r->resume) put_aside(r);
    r->log = fopen(out_path(r, "log.csv"), "a+");
    check_log(r, !r->log);
    rewind(r->log);
    read_log(r);
}

/* The checkpoint is made of the net, so that gets what the run must find again. */
static void save_checkpoint(run *r) {
    rn_trainer *to = &r->t.net->trainer;
    rn_error error;
    to->loss = r->t.loss;
    to->correct = r->t.correct;
    to->seconds = r->earlier + seconds_now() - r->progress.begun;
    check(rn_save_checkpoint(r->t.net, out_path(r, "last.ckpt"), NULL, &error), &error);
}

static rn_result test(run *r, FILE *predictions) {
    rn_result result;
    rn_error error;
    check(test_net(&r->t, &r->test.source, predictions, &result, &error), &error);
    if (!stopped) r->error = error_rate(result.correct, (double)r->test.source.count);
    return result;
}

static void finish_epoch(run *r) {
    trainer *t = &r->t;
    const rn_result result = test(r, NULL);
    rn_error error;
    if (stopped) return;
    t->net->trainer.test_accuracy = 100 - r->error;
    if (r->error < r->best - 1e-6) {
        r->best = r->error;
        check(rn_save(t->net, out_path(r, "best.safetensors"), NULL, &error), &error);
    }
    save_checkpoint(r);
    write_row(r, &result);
    end_progress(&r->progress);
    printf("epoch %d/%d: ", (int)t->net->epoch + 1, (int)count_epochs(t));
    if (t->seen > 0)
        printf("loss %.4f, error %.2f %%; ", t->loss / t->seen, error_rate(t->correct, t->seen));
    printf("in test %.4g, %.2f %%; %.0f images/s\n", result.loss, r->error, t->speed);
    fflush(stdout);
}

/* Goes on from the checkpoint, which must be of these images; older ones do not tell. */
static void resume(run *r, uint64_t data) {
    rn_net *net = r->t.net;
    const uint64_t batch = (uint64_t)r->t.batch;
    rn_error error;
    check(rn_load(net, out_path(r, "last.ckpt"), NULL, &error), &error);
    if (net->trainer.data && net->trainer.data != data)
        quit(2, "last.ckpt was trained on other images than those of --data %s", r->recipe.data);
    if (net->step != net->epoch * steps_per_epoch(&r->t) + (net->cursor + batch - 1) / batch)
        quit(2, "last.ckpt is of a run with another --batch or other data");
    r->recipe.schedule = net->schedule;
    r->t.seen = net->trainer.batch ? (double)net->cursor : 0;
    r->t.loss = net->trainer.loss;
    r->t.correct = net->trainer.correct;
    r->earlier = net->trainer.seconds;
}

/* Says where the run goes on, and what flags changed. */
static void print_resumed(const rn_net *net, const rn_schedule *old) {
    const rn_schedule *s = &net->schedule;
    if (s->steps < net->step)
        quit(2,
             "last.ckpt is of iteration %" PRIu64 " already, so a length of %" PRIu64
             " is too short; give more --iterations or --epochs",
             net->step, s->steps);
    printf("resumed at iteration %" PRIu64 " of %" PRIu64, net->step, s->steps);
    if (s->steps != old->steps)
        printf("; the length is %" PRIu64 " instead of %" PRIu64, s->steps, old->steps);
    if (fabs(s->learning_rate - old->learning_rate) > 0)
        printf("; --lr is %g instead of %g", s->learning_rate, old->learning_rate);
    if (s->kind != old->kind)
        printf("; --schedule is %s instead of %s", rn_schedule_name(s->kind),
               rn_schedule_name(old->kind));
    printf("\n");
}

static void train(run *r) {
    rn_net *net = r->t.net;
    uint64_t data = 0;
    rn_error error;
    check(rn_source_checksum(&r->train.source, &data, &error), &error);
    check(rn_source_checksum(&r->test.source, &data, &error), &error);
    if (r->resume) resume(r, data);
    net->trainer.data = data;
    net->trainer.batch = (uint64_t)r->t.batch;
    net->trainer.pad = (uint64_t)r->t.augment.pad;
    net->trainer.flip = (uint64_t)r->t.augment.flip;
    net->schedule = choose_schedule(&r->recipe, steps_per_epoch(&r->t));
    if (r->resume) print_resumed(net, &r->recipe.schedule);
    r->progress = begin_progress(net->schedule.steps - net->step);
    open_log(r);
    if (r->recipe.set == FOLDER) write_classes(&r->train, out_path(r, "classes.txt"));
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

static void test_last(run *r) {
    FILE *predictions = r->predictions ? fopen(r->predictions, "w") : NULL;
    if (r->predictions && !predictions)
        quit(1, "cannot write %s: %s", r->predictions, strerror(errno));
    test(r, predictions);
    if (stopped) exit(128 + stopped);
    if (predictions && (ferror(predictions) | fclose(predictions)))
        quit(1, "writing %s failed: is the disk full?", r->predictions);
}

/* Batch, pad and flip of the checkpoint, if it tells; then flags on top, which may not differ. */
static void choose_recipe(run *r, rn_desc *desc, int count, char **words) {
    static const char *const keys[] = {"trainer.batch", "trainer.pad", "trainer.flip"};
    long *const fields[] = {&r->recipe.batch, &r->recipe.pad, &r->recipe.flip};
    const char *path = out_path(r, "last.ckpt");
    const int told = r->resume && stored_number(path, keys[0]);
    long stored[3];
    int i;
    for (i = 0; i < 3 && told; i++) *fields[i] = stored[i] = (long)stored_number(path, keys[i]);
    read_flags(r, desc, count, words);
    for (i = 0; i < 3 && told; i++)
        if (*fields[i] != stored[i])
            quit(2, "%s has %s %ld; leave --%s out", path, keys[i] + 8, stored[i], keys[i] + 8);
}

/* Flags count more than a file's description or a dialect, so they are read once to learn which,
   and again on top. */
static rn_desc choose_description(run *r, int count, char **words) {
    const arguments a = {count, 0, words};
    rn_desc desc = rn_cifar(20), stored;
    rn_dialect dialect = RN_PAPER;
    rn_error error;
    rn_status status = RN_MISMATCH; /* a file without description: the flags describe it */
    const char *path;
    read_flags(r, &desc, count, words);
    path = r->eval ? r->eval : out_path(r, "last.ckpt");
    if (r->dialect && rn_dialect_parse(&dialect, r->dialect, &error)) quit(2, "%s", error.text);
    if (r->resume && !is_there(path))
        quit(2, "there is no %s; leave --resume out to start anew", path);
    if (r->eval || r->resume) status = rn_load_desc(&desc, path, NULL, &error);
    if (status == RN_MISMATCH)
        rn_set_dialect(&desc, dialect);
    else
        check(status, &error);
    if (!status && r->dialect) quit(2, "%s has a description; leave --dialect out", path);
    desc.threads = all_cores();
    stored = desc;
    choose_recipe(r, &desc, count, words);
    check_description(desc); /* before data is asked for */
    if (status) return desc;
    refuse_changes(&a, path, &stored, desc, r->resume);
    r->recipe.net = path;
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
    images.classes = count_classes(r.recipe.set, desc.classes);
    if ((r.describe || r.plan) && r.recipe.set < IDX)
        fit_to_data(&desc, &images, r.recipe.net);
    else
        open_sets(&r.recipe, &desc, r.eval && is_measured(&desc) ? NULL : &r.train, &r.test);
    if (r.plan) make_directory(r.out);
    if (r.describe) print_net(&desc, (int)r.recipe.batch);
    if (r.plan) print_plan(&desc, (int)r.recipe.batch, out_path(&r, "plan.svg"));
    if (r.describe || r.plan) return finish();
    r.t = make_trainer(&desc, &r.recipe, r.eval ? RN_INFERENCE : RN_TRAINING, &r.train.source);
    if (r.eval) check(rn_load(r.t.net, r.eval, NULL, &error), &error);
    if (!r.eval) train(&r);
    if (r.eval || r.predictions) test_last(&r);
    printf("test error %.2f %%\n", r.error);
    free_trainer(&r.t);
    rn_data_free(&r.train);
    rn_data_free(&r.test);
    return finish();
}
