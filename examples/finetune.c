/* finetune.c - takes a trained net to other classes: loads all of its weights but the classifier's,
   keeps the stages below --frozen_below as they are, and trains the rest on pictures in folders,
   one for each class, or on IDX files. What it writes knows the classes' names: see predict.

   cc -O2 -fopenmp -o examples/finetune examples/finetune.c -lm && examples/finetune --help */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "log.h"

typedef struct run {
    recipe recipe;
    const char *weights, *out; /* files */
    char checkpoint[1000];     /* OUT.ckpt */
    int resume;
} run;

static void help(const recipe *r) {
    printf(
        "usage: finetune WEIGHTS DIR OUT [--flag VALUE | --flag=VALUE]...\n\n"
        "Trains the net in WEIGHTS (of tools/convert or cifar) for the classes of the pictures in\n"
        "DIR. After each epoch it is tested and written to OUT, with the classes' names, for\n"
        "predict. Its classifier begins anew. Each minute and at Ctrl-C, OUT.ckpt is written.\n"
        "Both files of an earlier run that wrote OUT are renamed to NAME.old.\n\n"
        "  --frozen_below K    stem and stages below K stay as they are: 1 the stem alone, 5 all\n"
        "                      but the classifier, 0 nothing (4). The more stays, the less time,\n"
        "                      memory and pictures it takes.\n"
        "  --resume            go on from OUT.ckpt to the bits of a run never stopped; it knows\n"
        "                      all but DIR and --dataset; length, --lr, --schedule and what is of\n"
        "                      the machine may change, other changes are refused\n");
    print_recipe(r);
    printf("--data is DIR. Fields of the description, see rn_desc in resnet.h (those of the net's\n"
           "shape and of its input are as in WEIGHTS, momentum is 0.9, threads all cores):\n");
    print_fields();
    exit(finish());
}

static void read_words(run *r, rn_desc *desc, arguments a) {
    const char **const files[] = {&r->weights, &r->recipe.data, &r->out};
    int given = 0;
    for (a.at = 1; a.at < a.count; a.at++) {
        const char *word = a.words[a.at];
        if (is_help(&a)) help(&r->recipe);
        if (is_named(&a, "data")) quit(2, "DIR is the data; leave --data out");
        if (strncmp(word, "--", 2) != 0 && given == 3)
            quit(2, "WEIGHTS, DIR and OUT are %s, %s and %s; what is %s?", *files[0], *files[1],
                 *files[2], word);
        if (strncmp(word, "--", 2) != 0)
            *files[given++] = word;
        else if (!has_switch(&a, "resume", &r->resume) && !has_recipe(&a, &r->recipe) &&
                 !has_field(&a, desc))
            quit(2, "there is no flag %s", a.words[a.at]);
    }
    if (given < 3) quit(2, "give WEIGHTS, DIR and OUT");
}

static void name_old(const char *path, char old[1010]) {
    if (snprintf(old, 1010, "%s.old", path) >= 1010)
        quit(1, "a path of %zu characters is too long", strlen(path));
}

/* Refuses weights that are where this run will write, or put aside what is there. */
static void refuse_loss(const run *r) {
    const char *const files[] = {r->out, r->checkpoint};
    char old[1010];
    int i, k;
    for (i = 0; i < 2; i++) {
        name_old(files[i], old);
        for (k = 0; k < 2; k++)
            if (same_file(r->weights, k ? old : files[i]))
                quit(2, "%s and %s are the same file, which would be lost", r->weights,
                     k ? old : files[i]);
    }
}

/* That of the file, with other classes; and flags on top. */
static rn_desc choose_description(run *r, arguments a) {
    rn_desc desc = rn_cifar(20), stored;
    recipe begun;
    rn_error error;
    rn_status status;
    int told;
    read_words(r, &desc, a);
    if (snprintf(r->checkpoint, sizeof r->checkpoint, "%s.ckpt", r->out) >=
        (int)sizeof r->checkpoint)
        quit(1, "a path of %zu characters is too long", strlen(r->out));
    refuse_loss(r);
    r->recipe.net = r->resume ? r->checkpoint : r->weights;
    status = rn_load_desc(&desc, r->recipe.net, NULL, &error);
    if (status == RN_MISMATCH) quit(1, "%s, or convert it with tools/convert", error.text);
    check(status, &error);
    desc.threads = all_cores();
    if (!r->resume) desc.classes = 0, desc.frozen_below = 4, desc.momentum = 0.9;
    stored = desc;
    if (r->resume) r->recipe.epochs = 0; /* the checkpoint knows its length */
    told = r->resume && recall_recipe(&r->recipe, r->checkpoint);
    begun = r->recipe;
    read_words(r, &desc, a);
    if (told) refuse_recipe(r->recipe, begun, r->checkpoint);
    if (r->resume) refuse_changes(&a, r->checkpoint, &stored, desc, 1);
    return desc;
}

/* The trainer gets what the checkpoint says, or all of the weights but the classifier's. */
static void begin(run *r, trainer *t, uint64_t data) {
    rn_error error;
    if (r->resume) {
        load_checkpoint(t, r->checkpoint, data, r->recipe.data);
        continue_schedule(t, &r->recipe, r->checkpoint);
        return;
    }
    check(rn_load_trunk(t->net, r->weights, NULL, &error), &error);
    t->net->schedule = choose_schedule(&r->recipe, steps_per_epoch(t));
    tell_training(t, data);
}

static void test_and_save(const run *r, trainer *t, const rn_source *test) {
    rn_error error;
    rn_result result;
    check(test_net(t, test, NULL, &result, &error), &error);
    if (stopped) return;
    t->net->trainer.test_accuracy = 100 - error_rate(result.correct, (double)test->count);
    check(rn_save(t->net, r->out, NULL, &error), &error);
    printf("%sepoch %d: loss %.4f, error %.2f %%; in test %.4f, %.2f %%\n",
           isatty(fileno(stdout)) ? "\r\033[K" : "", (int)t->net->epoch + 1, t->loss / t->seen,
           error_rate(t->correct, t->seen), result.loss, 100 - t->net->trainer.test_accuracy);
}

static int is_file(const struct stat *there) { return (there->st_mode & S_IFMT) == S_IFREG; }

/* Refuses an output before the work that could not be written after it. */
static void refuse_output(const char *path) {
    struct stat there;
    if (!stat(path, &there) && !is_file(&there))
        quit(1, "%s is no plain file; write elsewhere", path);
    refuse_unwritable(path);
}

/* Files of an earlier run that has tested a net are renamed to NAME.old, before training writes its
   own. What a link leads to is written over. */
static void put_aside_files(const run *r) {
    const char *const files[] = {r->checkpoint, r->out};
    struct stat there;
    char old[1010];
    int i, tested = !lstat(r->out, &there) && is_file(&there);
    for (i = 0; i < 2 && tested; i++) {
        if (lstat(files[i], &there) || !is_file(&there)) continue;
        name_old(files[i], old);
        rename_file(files[i], old);
    }
}

int main(int count, char **words) {
    static run r;
    static rn_data train, test;
    rn_desc desc;
    rn_error error;
    trainer t;
    progress p;
    int tested = 0; /* the net as it is */
    program = "finetune";
    r.recipe = make_recipe(FOLDER, "DIR", 16, 0, rn_make_schedule(RN_COSINE, 0.01, 0));
    r.recipe.epochs = 5;
    desc = choose_description(&r, (arguments){count, 1, words});
    open_sets(&r.recipe, &desc, &train, &test);
    refuse_output(r.out);
    refuse_output(r.checkpoint);
    t = make_trainer(&desc, &r.recipe, RN_TRAINING, &train.source);
    begin(&r, &t, checksum_sets(&train.source, &test.source));
    if (r.recipe.set == FOLDER) t.net->class_names = join_classes(&train);
    printf("%.1f MB, %td of %td parameters train; %d classes, %td pictures, %td to test\n",
           (double)t.net->bytes / 1e6, t.net->trained_count, t.net->parameter_count, desc.classes,
           train.source.count, test.source.count);
    p = begin_progress(t.net->schedule.steps - t.net->step);
    if (!r.resume) put_aside_files(&r);
    for (catch_signals(); !stopped && (t.net->step < t.net->schedule.steps || !tested);) {
        tested = is_due(&t) && !tested;
        if (tested) {
            test_and_save(&r, &t, &test.source);
            continue;
        }
        check(train_epoch(&t, 60, &p, "", &error), &error);
        t.net->trainer.loss = t.loss, t.net->trainer.correct = t.correct;
        check(rn_save_checkpoint(t.net, r.checkpoint, NULL, &error), &error);
    }
    if (stopped) quit(128 + stopped, "stopped at step %d; --resume goes on", (int)t.net->step);
    return finish();
}
