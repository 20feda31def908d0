/* cifar.c - the trainer: a residual network on CIFAR-10, CIFAR-100, IDX files or folders of pictures,
   by the recipe of the paper unless flags say otherwise. Every field of the description is a flag.

   cc -O2 -fopenmp -o examples/cifar examples/cifar.c -lm && examples/cifar --help */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "log.h"
#include "look.h"

typedef struct run {
    recipe recipe;
    const char *out, *eval, *predictions, *mistakes, *filters, *dialect;
    int resume, describe, plan;
    trainer t;
    rn_data train, test;
    progress progress;
    run_log log;
} run;

static void help(const recipe *r) {
    printf("usage: cifar [--flag VALUE | --flag=VALUE]...\n\n"
           "Trains a residual network, tests it after each epoch and last prints its test error.\n"
           "Without flags: full pre-activation ResNet-20, CIFAR-10, the paper's recipe.\n"
           "Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 save a checkpoint and end with status 128 + the\n"
           "signal's number (130, 143, 129, 138).\n\n");
    print_recipe(r);
    printf(
        "  --out DIR           gets log.csv and its picture log.svg, best.safetensors, last.ckpt,\n"
        "                      manifest.txt (command, data, compiler, machine), and for folders\n"
        "                      classes.txt, the names of the classes (out); those of an earlier "
        "run are renamed to\n"
        "                      NAME.old (an earlier .old is kept if that run finished no epoch)\n"
        "  --resume            go on from DIR/last.ckpt, to the bits of a run never stopped: it\n"
        "                      knows all but where the data is (--dataset, --data); length, --lr,\n"
        "                      --schedule and what is of the machine (threads, naive, direct,\n"
        "                      unfused, micro_batch, budget, isa) may change, other changes are "
        "refused\n"
        "  --eval WEIGHTS      do not train, test these\n"
        "  --predictions FILE  write the class predicted for each test image, one a line, by the\n"
        "                      net at the end\n"
        "  --mistakes FILE.svg draw the test images that this net gets wrong and is surest of\n"
        "  --filters FILE.svg  draw the filters of its first convolution\n"
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
            !has_text(&a, "mistakes", &r->mistakes) && !has_text(&a, "filters", &r->filters) &&
            !has_recipe(&a, &r->recipe) && !has_text(&a, "dialect", &r->dialect) &&
            !has_field(&a, desc))
            quit(2, "there is no flag %s", words[a.at]);
    }
    if (r->eval && r->resume) quit(2, "--eval tests and --resume trains: give one of them");
}

static const char *out_path(const run *r, const char *name) { return path_in(r->out, name); }

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
    rn_error error;
    if (r->resume) r->log.resumed = r->recipe.data;
    begin_run(&r->log, checksum_sets(&r->train.source, &r->test.source));
    if (r->resume) r->recipe.schedule = net->schedule;
    net->schedule = choose_schedule(&r->recipe, steps_per_epoch(&r->t));
    if (r->resume) print_resumed(net, &r->recipe.schedule);
    r->progress = begin_progress(net->schedule.steps - net->step);
    open_log(&r->log);
    if (r->recipe.set == FOLDER) write_classes(&r->train, out_path(r, "classes.txt"));
    catch_signals();
    printf("ResNet-%d, %td parameters, %.1f MB, %d threads; %td training, %td test images\n",
           net->desc.depth, net->parameter_count, (double)net->bytes / 1e6, net->desc.threads,
           r->train.source.count, r->test.source.count);
    check(train_run(&r->log, "", &error), &error);
    if (!stopped) return;
    end_progress(&r->progress);
    printf("stopped after iteration %" PRIu64 " of %" PRIu64 "; --resume goes on from %s\n",
           net->step, net->schedule.steps, out_path(r, "last.ckpt"));
    exit(128 + stopped);
}

static void test_last(run *r) {
    FILE *predictions = r->predictions ? fopen(r->predictions, "w") : NULL;
    rn_result result;
    rn_error error;
    if (r->predictions && !predictions)
        quit(1, "cannot write %s: %s", r->predictions, strerror(errno));
    check(test_run(&r->log, predictions, &result, &error), &error);
    if (stopped) exit(128 + stopped);
    if (predictions && (ferror(predictions) | fclose(predictions)))
        quit(1, "writing %s failed: is the disk full?", r->predictions);
}

/* What the classes are called: by the folder, the weights file, or a list beside the data. */
static class_names find_names(const run *r) {
    static const char *const lists[] = {"cifar-100-binary/fine_label_names.txt",
                                        "cifar-100-binary/coarse_label_names.txt", "classes.txt"};
    const int classes = r->t.net->desc.classes;
    class_names names = {NULL, 0, 0};
    if (r->recipe.set == FOLDER) return count_names(join_classes(&r->test), '\n');
    if (r->eval) names = stored_names(r->eval);
    for (int i = 0; i < 3 && (!names.text || names.count != classes); i++) {
        char path[1000];
        snprintf(path, sizeof path, "%s/%s", r->recipe.data, lists[i]);
        if (is_there(path)) names = read_names(path);
    }
    if (names.count != classes) names.text = NULL;
    return names;
}

static void draw_pictures(run *r) {
    if (r->mistakes) {
        const class_names names = find_names(r);
        draw_mistakes(&r->t, &r->test.source, &names, r->mistakes);
    }
    if (r->filters) draw_filters(r->t.net, r->filters);
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
    static run r = {.out = "out", .log.best = HUGE_VAL};
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
    r.log.directory = r.out;
    r.log.trainer = &r.t;
    r.log.test = &r.test.source;
    r.log.progress = &r.progress;
    r.log.manifest = begin_manifest(count, words, &r.recipe, &r.train.source, &r.test.source);
    if (r.eval) check(rn_load(r.t.net, r.eval, NULL, &error), &error);
    if (!r.eval) train(&r);
    if (r.eval || r.predictions) test_last(&r);
    draw_pictures(&r);
    printf("test error %.2f %%\n", r.log.error);
    free_trainer(&r.t);
    rn_data_free(&r.train);
    rn_data_free(&r.test);
    return finish();
}
