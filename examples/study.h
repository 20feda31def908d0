/* study.h - trains several nets from several seeds, all alike long, in the time that is given, and
   goes on where it was stopped: measures the nets' speed, plans, and keeps of each run its log,
   checkpoint and result in DIR/NAME-seedN, of the whole DIR/study.txt. Stands on log.h. */
#ifndef STUDY_H
#define STUDY_H

#include "log.h"

enum { MOST_SEEDS = 99, MOST_VARIANTS = 64, PAPER_STEPS = 64000 };

typedef enum run_state { PENDING, CUT, DONE, FAILED } run_state;
static const char *const state_names[] = {"pending", "cut", "done", "failed"};

typedef struct outcome {
    run_state state; /* CUT: begun, but it did not end in the time */
    uint64_t steps;
    double error;   /* of the test images at the end, in percent; NAN if it is not known */
    double loss;    /* mean of the training images in the last epoch */
    double seconds; /* that it took */
} outcome;

typedef struct variant {
    const char *title;
    rn_desc desc;             /* resolved; runs put their seed in */
    char name[48];            /* of the runs' directories, before -seedN */
    double macs;              /* multiply-adds of an image, forward */
    double start, step, test; /* seconds of its making, of a step, of a test with its checkpoint;
                                 step 0: they are not measured */
    outcome runs[MOST_SEEDS];
} variant;

/* What is asked for, as flags set it, and what became of it. */
typedef struct study {
    recipe recipe;
    rn_desc base;             /* what the nets have in common */
    long depth, asked, least; /* of basic units; seeds; steps of a run with a time */
    double time;              /* seconds that are given, 0: as long as it takes */
    const char *out;          /* directory */
    int length_given;         /* --epochs or --iterations: the most that a time is planned to */
    int count;                /* the command line */
    char **words;

    rn_data train, test;
    uint64_t data; /* checksum */
    uint64_t epoch_steps;
    rn_schedule schedule; /* of all runs */
    int seeds;            /* that fit in the time */
    variant variants[MOST_VARIANTS];
    int variant_count;
    manifest manifest;
    progress progress;
    double began, earlier;  /* seconds: when this part began, those of runs in parts before */
    double planned, passed; /* seconds of this part's runs: expected, really */
    int warned;             /* that the time is too short */
} study;

/* A title as a file's name: letters in small, '-' for all that is neither letter, digit nor dot. */
static inline void make_name(char *name, size_t room, const char *text) {
    size_t length = 0;
    for (; *text && length + 1 < room; text++) {
        const char letter = (char)(*text >= 'A' && *text <= 'Z' ? *text - 'A' + 'a' : *text);
        const int plain = (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9');
        if (plain || letter == '.')
            name[length++] = letter;
        else if (length && name[length - 1] != '-')
            name[length++] = '-';
    }
    name[length] = 0;
}

/* The variant of this description, which is resolved and made if there is none yet: what it is
   called while it runs, a title that stays the caller's, and what its directories are named by. */
static inline int add_variant(study *s, const char *title, const char *name, rn_desc desc) {
    variant *v = &s->variants[s->variant_count];
    rn_error error;
    rn_net *net;
    int i;
    check(rn_resolve(&desc, &error), &error);
    for (i = 0; i < s->variant_count; i++)
        if (same_fields(&s->variants[i].desc, &desc, "")) return i;
    net = rn_create(&desc, 1, RN_INFERENCE, &large_pages, &error);
    if (!net) check(error.status, &error);
    memset(v, 0, sizeof *v);
    v->title = title;
    v->desc = desc;
    make_name(v->name, sizeof v->name, name);
    for (i = 0; i < net->node_count; i++) v->macs += rn_node_macs(net, i);
    rn_destroy(net);
    return s->variant_count++;
}

/* ---- a study's files: study.txt, and a directory for each run -------------------------------- */

static inline const char *study_path(const study *s, const char *name) {
    return path_in(s->out, name);
}

/* The directory of a run, in `path`. */
static inline void run_directory(const study *s, const variant *v, int k, char path[900]) {
    if (snprintf(path, 900, "%s/%s-seed%" PRIu64, s->out, v->name, s->base.seed + (uint64_t)k) >=
        900)
        quit(2, "the name of the directory --out is too long");
}

/* How a run ended; 0 if it has not. */
static inline int read_result(const char *directory, outcome *o) {
    FILE *file = fopen(path_in(directory, "result.csv"), "r");
    char line[256] = "", word[16] = "";
    int read, i;
    if (!file) return 0;
    for (i = 0; i < 2; i++)
        if (!fgets(line, sizeof line, file)) line[0] = 0;
    fclose(file);
    read = sscanf(line, "%15[a-z],%" SCNu64 ",%lf,%lf,%lf", word, &o->steps, &o->seconds, &o->error,
                  &o->loss);
    o->state = !strcmp(word, "done") ? DONE : FAILED; /* whose error may be none */
    if (read < (o->state == DONE ? 5 : 3) || strcmp(word, state_names[o->state]) != 0)
        quit(1, "%s is damaged; remove it, and the run is made again",
             path_in(directory, "result.csv"));
    return 1;
}

static inline void write_result(const char *directory, const outcome *o) {
    char path[1000], temporary[1024];
    FILE *file;
    snprintf(path, sizeof path, "%s", path_in(directory, "result.csv"));
    file = open_new(path, temporary);
    fprintf(file, "status,steps,seconds,error,loss\n%s,%" PRIu64 ",%.1f,%.10g,%.10g\n",
            state_names[o->state], o->steps, o->seconds, o->error, o->loss);
    close_new(file, temporary, path);
}

/* What there is of the runs already. */
static inline void find_runs(study *s) {
    int i, k;
    for (k = 0; k < s->asked; k++)
        for (i = 0; i < s->variant_count; i++) {
            variant *v = &s->variants[i];
            outcome *o = &v->runs[k];
            char directory[900];
            const char *checkpoint;
            run_directory(s, v, k, directory);
            o->error = o->loss = NAN;
            if (read_result(directory, o)) {
                remove(path_in(directory, "last.ckpt")); /* if it was killed just then */
            } else if (is_there(checkpoint = path_in(directory, "last.ckpt"))) {
                const uint64_t bits = stored_number(checkpoint, "trainer.seconds");
                o->state = CUT;
                o->steps = stored_number(checkpoint, "step");
                memcpy(&o->seconds, &bits, sizeof o->seconds);
            }
            s->earlier += o->seconds;
        }
}

/* Flags that may change from one part of a study to the next. */
static inline int may_change(const char *flag, int length) {
    static const char names[] = " out time seeds seed rows table data memory threads naive direct "
                                "unfused budget isa plan least "; /* not micro_batch: bn_group */
    char name[40];
    snprintf(name, sizeof name, " %.*s ", length, flag);
    return strstr(names, name) != NULL;
}

/* The next flag of the command line that may not, as NAME and VALUE; 0 at the end. Only the last of
   those with one name counts. */
static inline int next_flag(arguments *a, char name[40], char value[200]) {
    for (; a->at < a->count; a->at++) {
        const char *word = a->words[a->at];
        const char *next = a->at + 1 < a->count ? a->words[a->at + 1] : "--";
        const int length = (int)name_length(word);
        arguments later = *a;
        int i;
        if (strncmp(word, "--", 2) != 0) continue;
        snprintf(name, 40, "%.*s", length, word);
        for (i = 2; name[i]; i++)
            if (name[i] == '-') name[i] = '_';
        for (later.at++; later.at < later.count && !is_named(&later, name + 2);) later.at++;
        if (may_change(name + 2, length - 2) || later.at < later.count) continue;
        if (word[length])
            snprintf(value, 200, "%s", word + length + 1);
        else
            snprintf(value, 200, "%s", strncmp(next, "--", 2) ? next : "");
        a->at++;
        return 1;
    }
    return 0;
}

/* Refuses what differs from the flags and the data with which the study was begun. */
static inline void check_study(const study *s, const char *path) {
    arguments a = {s->count, 1, s->words};
    char name[40], value[200], old[200], line[256];
    FILE *file;
    while (next_flag(&a, name, value)) {
        if (!manifest_value(path, name, old, sizeof old))
            quit(2, "%s was begun without %s; leave it out, or give another --out", s->out, name);
        if (strcmp(old, value) != 0)
            quit(2, "%s was begun with %s %s, not %s; leave it so, or give another --out", s->out,
                 name, old, value);
    }
    file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        const size_t length = name_length(line);
        if (strncmp(line, "--", 2) != 0) continue;
        line[length] = 0;
        line[length + 1 + strcspn(line + length + 1, "\n")] = 0;
        if (!is_given(a, line + 2))
            quit(2, "%s was begun with %s %s; give it again, or another --out", s->out, line,
                 line + length + 1);
    }
    if (file) fclose(file);
    if (manifest_value(path, "data", old, sizeof old) && strtoull(old, NULL, 16) != s->data)
        quit(2, "%s was begun on other images than those of --data %s; give another --out", s->out,
             s->recipe.data);
}

static inline void set_steps(study *s, uint64_t steps) {
    recipe r = s->recipe;
    r.epochs = 0;
    r.iterations = (long)steps;
    s->schedule = choose_schedule(&r, s->epoch_steps);
}

/* What an earlier part planned and measured; 0 if there was none. */
static inline int read_plan(study *s) {
    char path[1000], key[80], value[200];
    double time = 0;
    long asked = 0;
    int i, seeds = 0;
    snprintf(path, sizeof path, "%s", study_path(s, "study.txt"));
    if (!is_there(path)) return 0;
    check_study(s, path);
    for (i = 0; i < s->variant_count; i++) {
        variant *v = &s->variants[i];
        snprintf(key, sizeof key, "seconds.%s", v->name);
        if (manifest_value(path, key, value, sizeof value))
            sscanf(value, "%lf %lf %lf", &v->start, &v->step, &v->test);
    }
    if (!manifest_value(path, "steps", value, sizeof value)) return 0;
    set_steps(s, strtoull(value, NULL, 10));
    if (manifest_value(path, "planned", value, sizeof value) &&
        sscanf(value, "%lf %ld %d", &time, &asked, &seeds) == 3 && asked == s->asked &&
        fabs(time - s->time) < 0.5)
        s->seeds = seeds;
    return 1;
}

/* Is it known how long a step of every net takes? */
static inline int is_timed(const study *s) {
    int i = 0;
    while (i < s->variant_count && s->variants[i].step > 0) i++;
    return i == s->variant_count;
}

static inline void write_plan(const study *s) {
    arguments a = {s->count, 1, s->words};
    char path[1000], temporary[1024], name[40], value[200];
    FILE *file;
    int i;
    snprintf(path, sizeof path, "%s", study_path(s, "study.txt"));
    file = open_new(path, temporary);
    while (next_flag(&a, name, value)) fprintf(file, "%s=%s\n", name, value);
    fprintf(file, "data=0x%016" PRIx64 "\nsteps=%" PRIu64 "\nplanned=%.0f %ld %d\n", s->data,
            s->schedule.steps, s->time, s->asked, s->seeds);
    for (i = 0; i < s->variant_count; i++)
        if (s->variants[i].step > 0)
            fprintf(file, "seconds.%s=%.6g %.6g %.6g\n", s->variants[i].name, s->variants[i].start,
                    s->variants[i].step, s->variants[i].test);
    close_new(file, temporary, path);
}

/* ---- time: measured before it is planned ----------------------------------------------------- */

/* As 1 h 30 min, 2.5 min or 90 s. */
static inline const char *time_text(double seconds) {
    static char texts[4][32];
    static int turn;
    char *text = texts[turn++ % 4];
    const int minutes = (int)(seconds / 60 + 0.5);
    if (minutes >= 60)
        snprintf(text, 32, "%d h %d min", minutes / 60, minutes % 60);
    else if (seconds >= 120)
        snprintf(text, 32, "%.1f min", seconds / 60);
    else
        snprintf(text, 32, "%.0f s", seconds);
    return text;
}

/* 1 if the word is --name; then *seconds is its value, which is such as 600s, 30m or 1h30m. */
static inline int has_time(arguments *a, const char *name, double *seconds) {
    const char *text, *at;
    int good;
    if (!has_text(a, name, &text)) return 0;
    *seconds = 0;
    at = text;
    do {
        char *end;
        const double number = strtod(at, &end);
        const char *unit = *end ? strchr("s m h", *end) : NULL;
        good = end > at && unit && *unit != ' ' && number >= 0 && number < 1e7;
        *seconds += number * (!unit || *unit == 's' ? 1 : *unit == 'm' ? 60 : 3600);
        at = end + 1;
    } while (good && *at);
    if (!good || !(*seconds > 0))
        quit(2, "--%s is \"%s\" and should be such as 600s, 30m or 1h30m", name, text);
    return 1;
}

/* How long a net's step takes in the mean over `allowance` seconds of them, and a test. */
static inline void measure_variant(study *s, variant *v, double allowance) {
    double began = seconds_now();
    trainer t = make_trainer(&v->desc, &s->recipe, RN_TRAINING, &s->train.source);
    rn_source part = s->test.source;
    rn_result result;
    rn_error error;
    rn_status status;
    int steps = 0;
    t.net->schedule = rn_make_schedule(RN_CONSTANT, 1e-9, PAPER_STEPS);
    status = train_next(&t, &error); /* the first one finds its memory cold */
    v->start = seconds_now() - began;
    began = seconds_now();
    while (!status && !stopped && (steps < 2 || seconds_now() - began < allowance)) {
        status = train_next(&t, &error);
        steps++;
    }
    v->step = (seconds_now() - began) / (steps ? steps : 1);
    if (part.count > 4 * t.batch) part.count = 4 * t.batch;
    began = seconds_now();
    if (!status) status = test_net(&t, &part, NULL, &result, &error);
    v->test = (seconds_now() - began) * (double)s->test.source.count / (double)part.count;
    began = seconds_now();
    if (!status) status = rn_save_checkpoint(t.net, study_path(s, "speed.ckpt"), NULL, &error);
    remove(study_path(s, "speed.ckpt"));
    v->test += seconds_now() - began;
    v->start = fmax(v->start - v->step, 0);
    free_trainer(&t);
    if (status != RN_NOT_FINITE) check(status, &error); /* a run will say that */
}

/* Takes a twenty-fifth of the time, or two steps each. */
static inline void measure_all(study *s) {
    const double allowance = s->time > 0 ? fmin(s->time / 25 / s->variant_count, 10) : 1;
    int i;
    s->progress = begin_progress((uint64_t)s->variant_count);
    for (i = 0; i < s->variant_count && !stopped; i++) {
        variant *v = &s->variants[i];
        show_progress(&s->progress, "measuring the speed of net %d/%d: %s", i + 1, s->variant_count,
                      v->title);
        if (!(v->step > 0)) measure_variant(s, v, allowance);
        s->progress.done++;
    }
    end_progress(&s->progress);
    if (stopped) exit(128 + stopped);
}

static inline int is_over(const outcome *o) { return o->state == DONE || o->state == FAILED; }

/* Seconds that a run of so many steps takes, without what there is of it; NULL: nothing. */
static inline double run_seconds(const study *s, const variant *v, const outcome *o,
                                 uint64_t steps) {
    const uint64_t from = o ? o->steps : 0;
    if ((o && is_over(o)) || from > steps) return 0;
    return v->start + (double)(steps - from) * v->step +
           (double)((steps - 1) / s->epoch_steps + 1 - from / s->epoch_steps) * v->test;
}

/* ... that what is left of so many seeds takes, from this variant of the first of them on. */
static inline double rest_seconds(const study *s, int first, int i, int seeds, uint64_t steps) {
    double seconds = 0;
    int k;
    for (k = first; k < seeds; k++, i = 0)
        for (; i < s->variant_count; i++)
            seconds += run_seconds(s, &s->variants[i], &s->variants[i].runs[k], steps);
    return seconds;
}

/* The most steps a run, up to `most`, with which so many seeds take no longer; 0: none. */
static inline uint64_t fitting_steps(const study *s, int seeds, double seconds, uint64_t most) {
    uint64_t fits = 0, fits_not = most + 1;
    while (fits_not - fits > 1) {
        const uint64_t middle = fits + (fits_not - fits) / 2;
        if (rest_seconds(s, 0, 0, seeds, middle) <= seconds)
            fits = middle;
        else
            fits_not = middle;
    }
    return fits;
}

/* Ends: not even one seed of the least steps fits. */
static inline void refuse_time(const study *s, double seconds, uint64_t least) {
    const double need = rest_seconds(s, 0, 0, 1, least);
    const int depth = (int)((double)(s->depth - 2) * seconds / need) / 6 * 6 + 2;
    const uint64_t steps = fitting_steps(s, 1, seconds, least);
    int nets = 0;
    fprintf(stderr,
            "%s: one seed of %d nets of %" PRIu64 " steps takes about %s, and --time leaves %s\n"
            "of %s. What would fit: --time %.0fm",
            program, s->variant_count, least, time_text(need), time_text(fmax(seconds, 0)),
            time_text(s->time), ceil((need / 0.97 + s->time - seconds) / 60));
    if (depth >= 8) fprintf(stderr, "; about --depth %d", depth);
    if (steps > 0) fprintf(stderr, "; --least %" PRIu64, steps);
    for (; nets < s->variant_count; nets++)
        if ((seconds -= run_seconds(s, &s->variants[nets], NULL, least)) < 0) break;
    if (nets) fprintf(stderr, "; %d of the nets, by --rows", nets);
    fprintf(stderr, "\n");
    exit(1);
}

/* Chooses how many steps each run has, if no earlier part did, and how many seeds fit. */
static inline void plan_time(study *s, int planned) {
    const double left = s->time - s->earlier - (seconds_now() - s->began);
    const double seconds = 0.97 * left; /* a part for what is not measured */
    const uint64_t most = s->length_given ? s->schedule.steps : PAPER_STEPS;
    const uint64_t least = (uint64_t)s->least < most ? (uint64_t)s->least : most;
    uint64_t steps = 0;
    if (planned) {
        while (s->seeds > 1 && rest_seconds(s, 0, 0, s->seeds, s->schedule.steps) > 1.1 * left)
            s->seeds--;
        return;
    }
    for (s->seeds = (int)s->asked + 1; steps < least;) {
        if (--s->seeds < 1) refuse_time(s, seconds, least);
        steps = fitting_steps(s, s->seeds, seconds, most);
    }
    set_steps(s, steps);
}

/* ---- the beginning: begin_flags, open_study when flags are read, begin_study when there are
   variants ------------------------------------------------------------------------------------- */

/* Without flags: dialect of the paper, all cores, 3 seeds of 4 epochs of nets of depth 14. */
static inline void begin_flags(study *s, const char *out, recipe r) {
    memset(s, 0, sizeof *s);
    s->recipe = r;
    s->recipe.epochs = 4;
    s->base = rn_cifar(0);
    rn_set_dialect(&s->base, RN_PAPER);
    s->base.threads = all_cores();
    s->depth = 14;
    s->asked = 3;
    s->least = 200;
    s->out = out;
}

/* Opens the data. */
static inline void open_study(study *s) {
    s->began = seconds_now();
    open_sets(&s->recipe, &s->base, &s->train, &s->test);
    s->manifest = begin_manifest(s->count, s->words, &s->recipe, &s->train.source, &s->test.source);
    s->data = checksum_sets(&s->train.source, &s->test.source);
    s->epoch_steps = count_steps(&s->train.source, s->recipe.batch);
    if (!s->epoch_steps) quit(1, "one training image is not enough");
    printf("%td training and %td test images\n", s->train.source.count, s->test.source.count);
}

/* Finds what there is, measures where that is needed, and plans; writes the plan unless it is only
   to be looked at. */
static inline void begin_study(study *s, int plan_only) {
    int planned;
    make_directory(s->out);
    s->schedule = choose_schedule(&s->recipe, s->epoch_steps);
    s->seeds = (int)s->asked;
    planned = read_plan(s);
    find_runs(s);
    catch_signals();
    if (s->time > 0 || plan_only) measure_all(s);
    if (s->time > 0) plan_time(s, planned);
    if (!plan_only) write_plan(s);
}

/* ---- the runs, seed by seed ------------------------------------------------------------------ */

/* Test error from which a net counts as failed: nine tenths of chance. */
static inline double failing_error(const study *s) {
    const int classes = s->variants[0].desc.classes;
    return 0.9 * 100 * (classes - 1) / classes;
}

/* What a step adds to the progress: seconds if they are measured, else multiply-adds. */
static inline double step_weight(const study *s, const variant *v) {
    return is_timed(s) ? v->step : 1e-9 * v->macs;
}

/* Notes how a run ended, in its directory, too, which needs its checkpoint no more. */
static inline void end_run(study *s, const variant *v, outcome *o, const char *directory, int k,
                           const rn_error *error) {
    if (error) o->error = o->loss = NAN;
    o->state = o->error < failing_error(s) ? DONE : FAILED;
    write_result(directory, o);
    remove(path_in(directory, "last.ckpt"));
    end_progress(&s->progress);
    printf("%-30s seed %-3" PRIu64, v->title, s->base.seed + (uint64_t)k);
    if (error)
        printf(" fail: %s", error->text);
    else
        printf(" %6.2f %%%s", o->error, o->state == FAILED ? ", fail" : "");
    printf(" (%s)\n", time_text(o->seconds));
    fflush(stdout);
}

/* Makes a run, or its rest. */
static inline void train_one(study *s, variant *v, int k) {
    outcome *o = &v->runs[k];
    const double begun = seconds_now(), expected = run_seconds(s, v, o, s->schedule.steps);
    const double weight = step_weight(s, v);
    const double end = s->progress.done + weight * (double)(s->schedule.steps - o->steps);
    char directory[900], title[100];
    rn_desc desc = v->desc;
    rn_status status;
    rn_error error;
    trainer t;
    run_log l;
    desc.seed = s->base.seed + (uint64_t)k;
    run_directory(s, v, k, directory);
    snprintf(title, sizeof title, "seed %d/%d %.60s: ", k + 1, s->seeds, v->title);
    t = make_trainer(&desc, &s->recipe, RN_TRAINING, &s->train.source);
    l = make_log(directory, &t, &s->test.source, &s->progress);
    l.quiet = 1;
    l.manifest = s->manifest;
    if (o->state == CUT) l.resumed = s->recipe.data;
    begin_run(&l, s->data);
    t.net->schedule = s->schedule;
    open_log(&l);
    s->progress.step = weight;
    status = train_run(&l, title, &error);
    fclose(l.file);
    if (status != RN_NOT_FINITE) check(status, &error);
    o->state = CUT;
    o->steps = t.net->step;
    o->error = l.error;
    o->loss = t.seen > 0 ? t.loss / t.seen : NAN;
    o->seconds = l.earlier + seconds_now() - l.begun;
    if (!stopped) end_run(s, v, o, directory, k, status ? &error : NULL);
    s->progress.total -= fmax(end - s->progress.done, 0); /* of one that failed */
    s->planned += stopped || status ? 0 : expected;
    s->passed += stopped || status ? 0 : seconds_now() - begun;
    free_trainer(&t);
}

/* Times slower than it was measured. */
static inline double slowness(const study *s) {
    return s->planned > 0 ? s->passed / s->planned : 1;
}

/* Seconds of the study when this seed ends, of which the variants from i on are to come. */
static inline double expected_end(const study *s, int k, int i) {
    return s->earlier + seconds_now() - s->began +
           slowness(s) * rest_seconds(s, k, i, k + 1, s->schedule.steps);
}

/* May this run begin? Where the time turns out too short for a seed, that is left out; but the
   first one is made, and no run is shortened. */
static inline int has_time_left(study *s, int k, int i) {
    const double end = expected_end(s, k, i);
    if (!(s->time > 0) || end <= 1.1 * s->time || (!k && (s->warned || !(s->planned > 0))))
        return 1;
    end_progress(&s->progress);
    printf(
        "The machine takes %.2f times as long as measured: seed %d would end after %s, not %s%s\n",
        slowness(s), k + 1, time_text(end), time_text(s->time), k ? "; it is left out" : "");
    s->warned = 1;
    return !k;
}

/* Makes the next run, of all variants before the next seed; 0: there is none, or it was stopped. */
static inline int next_run(study *s) {
    int k, i;
    for (k = 0; k < s->seeds; k++)
        for (i = 0; i < s->variant_count; i++) {
            if (is_over(&s->variants[i].runs[k])) continue;
            if (has_time_left(s, k, i))
                train_one(s, &s->variants[i], k);
            else
                s->seeds = k;
            return k < s->seeds && !stopped;
        }
    return 0;
}

/* Before the first next_run. */
static inline void begin_runs(study *s) {
    int i, k;
    s->progress = begin_progress(0);
    for (i = 0; i < s->variant_count; i++)
        for (k = 0; k < s->seeds; k++) {
            const outcome *o = &s->variants[i].runs[k];
            if (!is_over(o))
                s->progress.total +=
                    step_weight(s, &s->variants[i]) * (double)(s->schedule.steps - o->steps);
        }
}

static inline void end_study(study *s) {
    rn_data_free(&s->train);
    rn_data_free(&s->test);
}

/* ---- statistics ------------------------------------------------------------------------------ */

typedef struct summary {
    int runs, failed;
    double median;          /* of all: a failed run is worse than any other; HUGE_VAL: it failed */
    double mean, deviation; /* of those that did not fail; NAN where there are too few */
} summary;

static inline summary summarise(const outcome *runs, int count) {
    summary s = {0, 0, NAN, NAN, NAN};
    double errors[MOST_SEEDS], sum = 0, squares = 0;
    int i, good;
    for (i = 0; i < count; i++) {
        if (!is_over(&runs[i])) continue;
        errors[s.runs++] = runs[i].state == FAILED ? HUGE_VAL : runs[i].error;
        s.failed += runs[i].state == FAILED;
    }
    qsort(errors, (size_t)s.runs, sizeof errors[0], plot_ascending);
    good = s.runs - s.failed;
    for (i = 0; i < good; i++) sum += errors[i];
    if (good) s.mean = sum / good;
    for (i = 0; i < good; i++) squares += (errors[i] - s.mean) * (errors[i] - s.mean);
    if (good > 1) s.deviation = sqrt(squares / (good - 1));
    if (s.runs) s.median = (errors[(s.runs - 1) / 2] + errors[s.runs / 2]) / 2;
    return s;
}

#endif /* STUDY_H */
