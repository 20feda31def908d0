/* log.h - what a run of training keeps in its directory: log.csv, a row an epoch; last.ckpt, from
   which it goes on to the bits of a run never stopped; best.safetensors, the net of its lowest test
   error by one view of each image; log.svg, the curves of log.csv; manifest.txt, how they came
   about. And how any training goes on from its checkpoint. Stands on example.h. */
#ifndef LOG_H
#define LOG_H

#include "manifest.h"
#include "plot_log.h"

typedef struct run_log {
    const char *directory;
    trainer *trainer; /* the caller's, as are these */
    const rn_source *test;
    progress *progress;
    int quiet;           /* 1: neither best.safetensors nor a line an epoch */
    FILE *file;          /* log.csv */
    uint64_t logged;     /* step of its last row */
    double earlier;      /* seconds of the parts of the run before this one */
    double begun;        /* when this one began */
    double error, best;  /* of the test images, in percent: the last; that of best.safetensors */
    const char *resumed; /* what the data is called if the run goes on; NULL: a new one */
    manifest manifest;   /* of begin_manifest; all zero: none is written */
} run_log;

/* Path of a file in a directory, which stays until the next call. */
static inline const char *path_in(const char *directory, const char *name) {
    static char path[1000];
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
        quit(2, "the name of the directory --out is too long");
    return path;
}

/* Of a new run, which the caller may change. */
static inline run_log make_log(const char *directory, trainer *t, const rn_source *test,
                               progress *p) {
    run_log l;
    memset(&l, 0, sizeof l);
    l.directory = directory;
    l.trainer = t;
    l.test = test;
    l.progress = p;
    l.error = NAN;
    l.best = HUGE_VAL;
    return l;
}

/* The images of both parts of a data set, by which a checkpoint knows them. */
static inline uint64_t checksum_sets(const rn_source *train, const rn_source *test) {
    uint64_t sum = 0;
    rn_error error;
    check(rn_source_checksum(train, &sum, &error), &error);
    check(rn_source_checksum(test, &sum, &error), &error);
    return sum;
}

/* ---- log.csv --------------------------------------------------------------------------------- */

static inline void check_log(const run_log *l, int failed) {
    if (failed) quit(1, "cannot write %s: %s", path_in(l->directory, "log.csv"), strerror(errno));
}

static inline void write_row(run_log *l, const rn_result *test) {
    const trainer *t = l->trainer;
    const rn_net *net = t->net;
    const int known = t->seen > 0;
    fprintf(l->file, "%" PRIu64 ",%" PRIu64 ",%g,%g,%g,%g,%g,%.1f,%.1f\n", net->epoch + 1,
            net->step, known ? t->loss / t->seen : NAN,
            known ? error_rate(t->correct, t->seen) : NAN, test->loss, l->error,
            rn_learning_rate(&net->schedule, net->step - 1), t->speed, net->trainer.seconds);
    check_log(l, fflush(l->file));
    l->logged = net->step;
}

/* The next row of an epoch that was tested; 0 at the end. */
static inline int read_row(FILE *log, double *step, double *error) {
    char line[512];
    while (fgets(line, sizeof line, log) && strchr(line, '\n'))
        if (sscanf(line, "%*d,%lf,%*f,%*f,%*f,%lf", step, error) == 2 && !isnan(*error)) return 1;
    return 0;
}

/* Goes on behind the rows up to the checkpoint. What followed it is trained again, to the same
   numbers. best.safetensors says how good it is; where it does not, the lowest error of the rows
   counts. */
static inline void read_log(run_log *l) {
    const char *best = path_in(l->directory, "best.safetensors");
    const uint64_t bits = stored_number(best, "trainer.test_accuracy");
    const int untold = is_there(best) && !bits;
    double step, error, accuracy;
    long end = 0;
    memcpy(&accuracy, &bits, sizeof accuracy);
    if (bits) l->best = 100 - accuracy;
    while (read_row(l->file, &step, &error) && step <= (double)l->trainer->net->step) {
        end = ftell(l->file);
        l->logged = (uint64_t)step;
        l->error = error;
        if (untold) l->best = fmin(l->best, error);
    }
    check_log(l, ftruncate(fileno(l->file), end) || fseek(l->file, 0, SEEK_END));
    if (!end)
        fprintf(l->file, "epoch,iteration,train_loss,train_error,test_loss,test_error,"
                         "learning_rate,images_per_second,seconds\n");
    check_log(l, fflush(l->file));
}

/* Draws log.csv as log.svg. A run does not end because that fails. */
static inline void draw_log(const run_log *l) {
    char csv[1000], title[160], error[PLOT_SENTENCE];
    const char *paths[1];
    const plot_logs_job job = {paths, NULL, 1, title, NULL, 0};
    snprintf(csv, sizeof csv, "%s", path_in(l->directory, "log.csv"));
    paths[0] = csv;
    name_net(&l->trainer->net->desc, title);
    if (plot_logs(&job, path_in(l->directory, "log.svg"), error)) return;
    end_progress(l->progress);
    fprintf(stderr, "%s: %s\n", program, error);
}

/* Renames the results of an earlier run, and what was measured of nets; but what a run wrote that
   finished no epoch, the first five, makes way for those that are aside already. */
static inline void put_aside(const char *directory) {
    enum { OWN = 5 };
    static const char *const names[] = {
        "log.csv",          "last.ckpt",   "manifest.txt",         "log.svg",      "classes.txt",
        "best.safetensors", "signals.csv", "signals.manifest.txt", "signals.svg",  "lesions.csv",
        "lesions.svg",      "paths.csv",   "landscape.csv",        "landscape.svg"};
    FILE *log = fopen(path_in(directory, names[0]), "r");
    double step, error;
    int rename_it =
        !is_there(path_in(directory, "log.csv.old")) || (log && read_row(log, &step, &error));
    char old[1010];
    if (log) fclose(log);
    rename_it |= is_there(path_in(directory, "best.safetensors"));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *path = path_in(directory, names[i]);
        if (!is_there(path)) continue;
        snprintf(old, sizeof old, "%s.old", path);
        if (rename_it || i >= OWN)
            rename_file(path, old);
        else if (remove(path))
            quit(1, "cannot remove %s: %s", path, strerror(errno));
    }
}

/* ---- going on from a checkpoint -------------------------------------------------------------- */

/* What checkpoints keep of a recipe: the key is "trainer." and the flag. */
static inline long *recipe_field(recipe *r, int i, const char **flag) {
    static const char *const flags[] = {"batch", "pad",      "flip",         "lookahead",
                                        "tta",   "hold_out", "small_epochs", NULL};
    long *const fields[] = {&r->batch, &r->pad,      &r->flip,         &r->lookahead,
                            &r->tta,   &r->hold_out, &r->small_epochs, NULL};
    *flag = flags[i];
    return fields[i];
}

/* The recipe becomes what the checkpoint was trained by; 0 if it is an older one, which does not
   tell. */
static inline int recall_recipe(recipe *r, const char *checkpoint) {
    const char *flag;
    char key[40];
    long *field;
    if (!stored_number(checkpoint, "trainer.batch")) return 0;
    for (int i = 0; (field = recipe_field(r, i, &flag)); i++) {
        snprintf(key, sizeof key, "trainer.%s", flag);
        *field = (long)stored_number(checkpoint, key);
    }
    return 1;
}

/* Refuses flags that make another recipe of what recall_recipe said. */
static inline void refuse_recipe(recipe asked, recipe told, const char *checkpoint) {
    const char *flag;
    long *field;
    for (int i = 0; (field = recipe_field(&told, i, &flag)); i++)
        if (*recipe_field(&asked, i, &flag) != *field)
            quit(2, "%s has %s %ld; leave --%s out", checkpoint, flag, *field, flag);
}

/* What checkpoint and manifest say of a training: its data (checksum_sets) and batches. */
static inline void tell_training(const trainer *t, uint64_t data) {
    rn_trainer *to = &t->net->trainer;
    to->data = data;
    to->batch = (uint64_t)t->batch;
    to->pad = (uint64_t)t->augment.pad;
    to->flip = (uint64_t)t->augment.flip;
    to->lookahead = (uint64_t)t->lookahead;
    to->tta = (uint64_t)t->tta;
    to->small_epochs = (uint64_t)t->small_epochs;
}

/* Goes on from the checkpoint, which must be of the same training; older ones do not tell.
   `directory`: what the data is called. */
static inline void load_checkpoint(trainer *t, const char *checkpoint, uint64_t data,
                                   const char *directory) {
    rn_net *net = t->net;
    const uint64_t batch = (uint64_t)t->batch;
    rn_trainer stored;
    rn_error error;
    check(rn_load(net, checkpoint, NULL, &error), &error);
    stored = net->trainer;
    tell_training(t, data);
    if (stored.data && stored.data != data)
        quit(2, "%s was trained on other images than those of --data %s", checkpoint, directory);
    if (net->step != net->epoch * steps_per_epoch(t) + (net->cursor + batch - 1) / batch)
        quit(2, "%s is of a run with another --batch or other data", checkpoint);
    stored.data = data;
    if (stored.batch && memcmp(&stored, &net->trainer, sizeof stored) != 0)
        quit(2,
             "%s is of a run with another --batch, --pad, --flip, --lookahead, --tta or "
             "--small_epochs",
             checkpoint);
    t->seen = net->trainer.batch ? (double)net->cursor : 0;
    t->loss = net->trainer.loss;
    t->correct = net->trainer.correct;
}

/* The schedule of the loaded checkpoint, with what the flags say otherwise; tells both. */
static inline void continue_schedule(trainer *t, recipe *r, const char *checkpoint) {
    rn_net *net = t->net;
    const rn_schedule old = net->schedule, *s = &net->schedule;
    r->schedule = old;
    net->schedule = choose_schedule(r, steps_per_epoch(t));
    if (s->steps < net->step)
        quit(2,
             "%s is of iteration %" PRIu64 " already, so a length of %" PRIu64
             " is too short; give more --iterations or --epochs",
             checkpoint, net->step, s->steps);
    printf("resumed at iteration %" PRIu64 " of %" PRIu64, net->step, s->steps);
    if (s->steps != old.steps)
        printf("; the length is %" PRIu64 " instead of %" PRIu64, s->steps, old.steps);
    if (fabs(s->learning_rate - old.learning_rate) > 0)
        printf("; --lr is %g instead of %g", s->learning_rate, old.learning_rate);
    if (s->kind != old.kind)
        printf("; --schedule is %s instead of %s", rn_schedule_name(s->kind),
               rn_schedule_name(old.kind));
    printf("\n");
}

/* ---- a run, from its beginning or from last.ckpt --------------------------------------------- */

static inline void save_checkpoint(run_log *l) {
    rn_trainer *to = &l->trainer->net->trainer; /* from which the checkpoint is made */
    rn_error error;
    to->loss = l->trainer->loss;
    to->correct = l->trainer->correct;
    to->seconds = l->earlier + seconds_now() - l->begun;
    check(rn_save_checkpoint(l->trainer->net, path_in(l->directory, "last.ckpt"), NULL, &error),
          &error);
    write_manifest(&l->manifest, l->trainer->net, path_in(l->directory, "manifest.txt"));
}

/* The trainer's net gets what its checkpoint says if the run goes on. The schedule is the caller's
   to set. */
static inline void begin_run(run_log *l, uint64_t data) {
    l->begun = seconds_now();
    if (!l->resumed) {
        tell_training(l->trainer, data);
        return;
    }
    load_checkpoint(l->trainer, path_in(l->directory, "last.ckpt"), data, l->resumed);
    l->earlier = l->trainer->net->trainer.seconds;
}

/* After begin_run: log.csv and manifest.txt in the directory, which is made. */
static inline void open_log(run_log *l) {
    make_directory(l->directory);
    if (!l->resumed) put_aside(l->directory);
    l->file = fopen(path_in(l->directory, "log.csv"), "a+");
    check_log(l, !l->file);
    rewind(l->file);
    read_log(l);
    if (l->resumed) continue_manifest(&l->manifest, path_in(l->directory, "manifest.txt"));
    write_manifest(&l->manifest, l->trainer->net, path_in(l->directory, "manifest.txt"));
}

/* Tests the net as test_net does. */
static inline rn_status test_run(run_log *l, int *predictions, rn_result *result, rn_error *error) {
    const rn_status status = test_net(l->trainer, l->test, predictions, result, error);
    if (!status && !stopped) l->error = error_rate(result->correct, (double)l->test->count);
    return status;
}

/* Saves the net if its error is the lowest, those on small images aside. Where the last test takes
   several views of an image, another one takes one, as in the epochs before. */
static inline rn_status keep_best(run_log *l, rn_error *error) {
    trainer t = *l->trainer;
    double now = l->error;
    if (in_small_epoch(&t)) return RN_OK;
    if (views_of(&t)) {
        rn_result result;
        rn_status status;
        t.tta = 0;
        status = test_net(&t, l->test, NULL, &result, error);
        if (status || stopped) return status;
        now = error_rate(result.correct, (double)l->test->count);
    }
    if (now >= l->best - 1e-6) return RN_OK;
    l->best = now;
    t.net->trainer.test_accuracy = 100 - now;
    return rn_save(t.net, path_in(l->directory, "best.safetensors"), NULL, error);
}

static inline rn_status finish_epoch(run_log *l, rn_error *error) {
    const trainer *t = l->trainer;
    rn_net *net = t->net;
    rn_result result;
    rn_status status = test_run(l, NULL, &result, error);
    if (!status && !stopped && !l->quiet) status = keep_best(l, error);
    if (status || stopped) return status;
    net->trainer.test_accuracy = 100 - l->error;
    save_checkpoint(l);
    write_row(l, &result);
    draw_log(l);
    if (l->quiet) return RN_OK;
    end_progress(l->progress);
    printf("epoch %d/%d: ", (int)net->epoch + 1, (int)count_epochs(t));
    if (t->seen > 0)
        printf("loss %.4f, error %.2f %%; ", t->loss / t->seen, error_rate(t->correct, t->seen));
    printf("in test %.4g, %.2f %%; %.0f images/s\n", result.loss, l->error, t->speed);
    fflush(stdout);
    return RN_OK;
}

/* Trains to the end of the schedule, tests after each epoch, saves a checkpoint then and every ten
   minutes, and one when it is `stopped`. */
static inline rn_status train_run(run_log *l, const char *title, rn_error *error) {
    const rn_net *net = l->trainer->net;
    while (!stopped && (net->step < net->schedule.steps || l->logged != net->step)) {
        const int tests = is_due(l->trainer) && l->logged != net->step;
        const rn_status status = tests ? finish_epoch(l, error)
                                       : train_epoch(l->trainer, 600, l->progress, title, error);
        if (status) return status;
        if (!stopped && !is_due(l->trainer)) save_checkpoint(l);
    }
    if (stopped) save_checkpoint(l);
    return RN_OK;
}

#endif /* LOG_H */
