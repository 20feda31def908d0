/* cifar.c - the trainer: a residual network on CIFAR-10, CIFAR-100, IDX files or folders of
   pictures, by the recipe of the paper unless flags say otherwise. Every field of the description
   is a flag.

   cc -O2 -fopenmp -o examples/cifar examples/cifar.c -lm && examples/cifar --help */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "log.h"
#include "look.h"

/* The K-th, 2K-th, ... image of a source, or all others. */
typedef struct share {
    rn_source source;
    const rn_source *all;
    ptrdiff_t every; /* K */
    int held_out;
} share;

static int read_share(void *user, ptrdiff_t i, uint8_t *pixels, int *label) {
    const share *s = (const share *)user;
    const ptrdiff_t index = s->held_out ? (i + 1) * s->every - 1 : i + i / (s->every - 1);
    return s->all->read(s->all->user, index, pixels, label);
}

static const rn_source *make_share(share *s, const rn_source *all, ptrdiff_t every, int held_out) {
    const ptrdiff_t held = all->count / every;
    if (!held) quit(2, "--hold_out %td is more than the %td training images", every, all->count);
    s->source = *all;
    s->source.count = held_out ? held : all->count - held;
    s->source.read = read_share;
    s->source.user = s;
    s->all = all;
    s->every = every;
    s->held_out = held_out;
    return &s->source;
}

typedef struct run {
    recipe recipe;
    /* named: of --recipe, or NULL */
    const char *out, *eval, *predictions, *mistakes, *filters, *dialect, *named;
    int resume, describe, plan;
    trainer t;
    rn_data train, test;
    char *class_names;                 /* of a folder, as rn_net's; or NULL */
    const rn_source *learned, *tested; /* of train; of test, or of train's that are held out */
    progress progress;
    run_log log;
} run;

/* Recipes as the flags that they stand for; flags given besides count more. */
static const struct {
    const char *name, *flags;
} recipes[] = {
    {"paper", "--iterations 64000 --batch 128 --schedule steps --lr 0.1 --weight_decay 1e-4"},
    /* Of Jordan 2024 (arXiv 2404.00498, airbench) and hlb-CIFAR10 what helps residual nets. */
    {"fast", "--depth 14 --base_width 32 --epochs 12 --batch 64 --schedule one_cycle --lr 0.1 "
             "--sgd nesterov --weight_decay 5e-4 --label_smoothing 0.1 --pad 2 --flip 2 "
             "--norm_bias_rate 16 --lookahead 5 --tta 2"},
};
enum { RECIPES = (int)(sizeof recipes / sizeof recipes[0]) };

static void help(const recipe *r) {
    int i;
    printf("usage: cifar [--flag VALUE | --flag=VALUE]...\n\n"
           "Trains a residual network, tests it after each epoch and last prints its test error.\n"
           "Without flags: full pre-activation ResNet-20, CIFAR-10, the paper's recipe.\n"
           "Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 save a checkpoint and end with status 128 + the\n"
           "signal's number (130, 143, 129, 138).\n\n"
           "  --recipe NAME       many flags by one name; those given besides count more:\n");
    for (i = 0; i < RECIPES; i++) printf("    %-8s%s\n", recipes[i].name, recipes[i].flags);
    print_recipe(r);
    printf(
        "  --out DIR           gets log.csv and its picture log.svg, best.safetensors, last.ckpt,\n"
        "                      manifest.txt (command, data, compiler, machine), and for folders\n"
        "                      classes.txt, the names of the classes (out); those of an earlier\n"
        "                      run, and what signals, lesions and landscape measured of its net,\n"
        "                      are renamed to NAME.old (if that run finished no epoch, its files\n"
        "                      go, and those of an earlier one stay aside)\n"
        "  --resume            go on from DIR/last.ckpt, to the bits of a run never stopped: it\n"
        "                      knows all but where the data is (--dataset, --data); length, --lr,\n"
        "                      --schedule and what is of the machine (threads, naive, direct,\n"
        "                      unfused, micro_batch, budget, isa) may change, other changes are "
        "refused\n"
        "  --small_epochs N    the first N epochs train and are tested on images of half the\n"
        "                      height and width, in about a third of the time (0)\n"
        "  --hold_out K        tests on every K-th training image, which are not trained on, in\n"
        "                      place of the test images: these should not see what is chosen\n"
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
    exit(finish());
}

static void read_flags(run *r, rn_desc *desc, int count, char **words) {
    arguments a = {count, 1, words};
    for (; a.at < count; a.at++) {
        if (is_help(&a)) help(&r->recipe);
        if (!has_switch(&a, "resume", &r->resume) && !has_switch(&a, "describe", &r->describe) &&
            !has_switch(&a, "plan", &r->plan) && !has_text(&a, "out", &r->out) &&
            !has_text(&a, "eval", &r->eval) && !has_text(&a, "predictions", &r->predictions) &&
            !has_text(&a, "mistakes", &r->mistakes) && !has_text(&a, "filters", &r->filters) &&
            !has_text(&a, "recipe", &r->named) &&
            !has_whole(&a, "hold_out", 0, 1000000, &r->recipe.hold_out) &&
            !has_whole(&a, "small_epochs", 0, 1000000, &r->recipe.small_epochs) &&
            !has_recipe(&a, &r->recipe) && !has_text(&a, "dialect", &r->dialect) &&
            !has_field(&a, desc))
            quit(2, "there is no flag %s", words[a.at]);
    }
    if (r->recipe.hold_out == 1) quit(2, "--hold_out 1 would leave no image to train on");
    if (r->eval && r->resume) quit(2, "--eval tests and --resume trains: give one of them");
}

/* What the recipe says, which is told. */
static void follow_recipe(run *r, rn_desc *desc) {
    static char flags[500];
    char *words[64] = {NULL};
    int i = 0, count = 1;
    while (i < RECIPES && strcmp(recipes[i].name, r->named) != 0) i++;
    if (i == RECIPES) quit(2, "--recipe is \"%s\" and should be paper or fast", r->named);
    if (r->resume || r->eval)
        quit(2, "--recipe begins a training; with --%s leave it out",
             r->resume ? "resume" : "eval");
    printf("recipe %s: %s; flags given here count more\n", recipes[i].name, recipes[i].flags);
    snprintf(flags, sizeof flags, "%s", recipes[i].flags);
    for (words[count] = strtok(flags, " "); words[count]; words[count] = strtok(NULL, " ")) count++;
    read_flags(r, desc, count, words);
}

static const char *out_path(const run *r, const char *name) { return path_in(r->out, name); }

static void train(run *r) {
    rn_net *net = r->t.net;
    const size_t small = r->t.small ? r->t.small->bytes : 0;
    char name[160];
    rn_error error;
    if (r->resume) r->log.resumed = r->recipe.data;
    begin_run(&r->log, checksum_sets(r->learned, r->tested));
    net->trainer.hold_out = (uint64_t)r->recipe.hold_out;
    if (r->resume)
        continue_schedule(&r->t, &r->recipe, out_path(r, "last.ckpt"));
    else
        net->schedule = choose_schedule(&r->recipe, steps_per_epoch(&r->t));
    net->class_names = r->class_names;
    if (r->t.small_epochs && (uint64_t)r->t.small_epochs >= count_epochs(&r->t))
        quit(2, "--small_epochs %d leaves none of %" PRIu64 " epochs for whole images",
             r->t.small_epochs, count_epochs(&r->t));
    r->progress = begin_progress(net->schedule.steps - net->step);
    open_log(&r->log);
    if (r->recipe.set == FOLDER) write_classes(&r->train, out_path(r, "classes.txt"));
    catch_signals();
    name_net(&net->desc, name);
    printf("%s, %td parameters, %.1f MB, %d threads; %td training, %td test images\n", name,
           net->parameter_count, (double)(net->bytes + small) / 1e6, net->desc.threads,
           r->learned->count, r->tested->count);
    check(train_run(&r->log, "", &error), &error);
    if (!stopped) return;
    end_progress(&r->progress);
    printf("stopped after iteration %" PRIu64 " of %" PRIu64 "; --resume goes on from %s\n",
           net->step, net->schedule.steps, out_path(r, "last.ckpt"));
    exit(128 + stopped);
}

static void write_predictions(const char *path, const int *predictions, ptrdiff_t count) {
    char temporary[1024];
    FILE *file = open_new(path, temporary);
    ptrdiff_t i;
    for (i = 0; i < count; i++) fprintf(file, "%d\n", predictions[i]);
    close_new(file, temporary, path);
}

static void test_last(run *r) {
    const ptrdiff_t count = r->log.test->count;
    int *predictions = (int *)allocate((size_t)count * sizeof(int));
    rn_result result;
    rn_error error;
    check(test_run(&r->log, predictions, &result, &error), &error);
    if (stopped) exit(128 + stopped);
    if (r->predictions) write_predictions(r->predictions, predictions, count);
    free(predictions);
}

/* What the classes are called: by the folder, the weights file, or a list beside the data. */
static class_names find_names(const run *r) {
    static const char *const lists[] = {"cifar-100-binary/fine_label_names.txt",
                                        "cifar-100-binary/coarse_label_names.txt", "classes.txt"};
    const int classes = r->t.net->desc.classes;
    class_names names = {NULL, 0, 0};
    if (r->class_names) return count_names(r->class_names, '\n');
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
        draw_mistakes(&r->t, r->tested, &names, r->mistakes);
    }
    if (r->filters) draw_filters(r->t.net, r->filters);
}

/* What the checkpoint tells of the recipe, if it does; then flags on top, which may not differ. */
static void choose_recipe(run *r, rn_desc *desc, int count, char **words) {
    const char *path = out_path(r, "last.ckpt");
    const int told = r->resume && recall_recipe(&r->recipe, path);
    const recipe stored = r->recipe;
    read_flags(r, desc, count, words);
    if (told) refuse_recipe(r->recipe, stored, path);
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
    if (r->named) follow_recipe(r, &desc);
    stored = desc;
    choose_recipe(r, &desc, count, words);
    check_description(desc); /* before data is asked for */
    if (status) return desc;
    refuse_changes(&a, path, &stored, desc, r->resume);
    r->recipe.net = path;
    return desc;
}

static void open_images(run *r, rn_desc *desc) {
    static share rest, held_out;
    const int only_test = r->eval && is_measured(desc) && !r->recipe.hold_out;
    open_sets(&r->recipe, desc, only_test ? NULL : &r->train, &r->test);
    r->learned = &r->train.source, r->tested = &r->test.source;
    if (r->recipe.set == FOLDER) r->class_names = join_classes(&r->test);
    if (!r->recipe.hold_out) return;
    r->learned = make_share(&rest, &r->train.source, r->recipe.hold_out, 0);
    r->tested = make_share(&held_out, &r->train.source, r->recipe.hold_out, 1);
}

/* What the net of the small epochs takes beside the whole one. */
static void print_small(const rn_desc *whole, const recipe *r) {
    const rn_desc small = halve_description(*whole);
    rn_error error;
    const size_t bytes = rn_bytes(&small, (int)r->batch, RN_TRAINING, &error);
    if (!bytes) check(error.status, &error);
    printf("and %.1f MB for the net of the first %ld epochs, on images of %d x %d\n",
           (double)bytes / 1e6, r->small_epochs, small.height, small.width);
}

/* A file that a flag names, NULL without it, has to be writable before the work. One in --out does
   not need to have that directory yet. */
static void refuse_result(const run *r, const char *path) {
    size_t length = strlen(r->out);
    if (!path) return;
    while (length > 1 && r->out[length - 1] == '/') length--;
    if (!r->eval && !strncmp(path, r->out, length) && path[length] == '/') make_directory(r->out);
    refuse_unwritable(path);
}

int main(int count, char **words) {
    static run r = {.out = "out"};
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
        open_images(&r, &desc);
    if (r.plan) make_directory(r.out);
    if (r.describe) print_net(&desc, (int)r.recipe.batch);
    if (r.plan) print_plan(&desc, (int)r.recipe.batch, out_path(&r, "plan.svg"));
    if ((r.describe || r.plan) && r.recipe.small_epochs) print_small(&desc, &r.recipe);
    if (r.describe || r.plan) return finish();
    refuse_result(&r, r.predictions);
    refuse_result(&r, r.mistakes);
    refuse_result(&r, r.filters);
    r.t = make_trainer(&desc, &r.recipe, r.eval ? RN_INFERENCE : RN_TRAINING, r.learned);
    r.log = make_log(r.out, &r.t, r.tested, &r.progress);
    r.log.manifest = begin_manifest(count, words, &r.recipe, r.learned, r.tested);
    if (r.eval) check(rn_load(r.t.net, r.eval, NULL, &error), &error);
    if (!r.eval) train(&r);
    if (r.eval || r.predictions) test_last(&r);
    draw_pictures(&r);
    printf("test error %.2f %%\n", r.log.error);
    free_trainer(&r.t);
    free(r.class_names);
    rn_data_free(&r.train);
    rn_data_free(&r.test);
    return finish();
}
