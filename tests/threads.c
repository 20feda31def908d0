/* threads.c - helpers of a net, under conditions that are not quiet: rounds whose helpers are late,
   asleep or never come; more threads than processors; several callers of one net; calls from within
   a parallel region; a forked child; the pace, which measures whether helpers are worth their
   while, against machines that are only numbers; quotas of control groups.

   cc -std=c99 -O2 -fopenmp -o threads tests/threads.c -lm -lpthread && ./threads */

#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"

#include "nets.h"

#ifdef RN__TEAMS

#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>

int usleep(unsigned microseconds); /* strict -std=c99 hides it */

/* ---- rounds ---------------------------------------------------------------------------------- */

#ifdef REDUCED
enum { ROUNDS = 100, MOST_JOBS = 70 };
#else
enum { ROUNDS = 1500, MOST_JOBS = 70 };
#endif

typedef struct rounds {
    rn__team *team;
    int slow; /* the thread whose jobs take their time; -1: none */
    int jobs, done[MOST_JOBS], threads[MOST_JOBS];
    int helped; /* jobs of another thread's share, in all rounds */
} rounds;

static void count_job(void *user, int i, int thread) {
    rounds *r = (rounds *)user;
    volatile double work = 1;
    int k;
    for (k = 0; k < (thread == r->slow ? 5000 : 100); k++) work = work * 0.5 + 1;
    r->done[i]++;
    r->threads[i] = thread;
}

/* Every job of every round once, by a thread of the team; now and then the leader lets the helpers
   fall asleep before. */
static void run_rounds(rounds *r, int count, int sleeps) {
    const int size = r->team->size;
    int round, i, wrong = 0;
    for (round = 0; round < count; round++) {
        r->jobs = 1 + round % MOST_JOBS;
        memset(r->done, 0, sizeof r->done);
        if (sleeps && round % 16 == 0) usleep(300);
        rn__parallel(r->team, size, r->jobs, count_job, r);
        for (i = 0; i < MOST_JOBS; i++) wrong += r->done[i] != (i < r->jobs);
        for (i = 0; i < r->jobs && size > 1; i++) {
            wrong += r->threads[i] < 0 || r->threads[i] >= size;
            r->helped += r->threads[i] != ((i + 1) * size - 1) / r->jobs;
        }
    }
    CHECK_INT(wrong, 0);
}

static void check_rounds(void) {
    int threads, slow;
    for (threads = 2; threads <= 9; threads += threads < 3 ? 1 : 3)
        for (slow = -1; slow < 2; slow++) {
            rounds r = {NULL, 0, 0, {0}, {0}, 0};
            r.team = rn__start_team(threads);
            CHECK(r.team && r.team->size == threads);
            if (!r.team) return;
            r.slow = slow;
            run_rounds(&r, ROUNDS, slow < 0);
            CHECK(r.helped > 0);
            rn__end_team(r.team);
        }
}

/* Helpers that never come: the leader does all. */
static void check_absent(void) {
    rounds r = {NULL, -1, 0, {0}, {0}, 0};
    int i, k;
    r.team = (rn__team *)net_take(sizeof *r.team);
    r.team->size = 4;
    run_rounds(&r, 3 * MOST_JOBS, 0);
    for (i = k = 0; i < r.jobs; i++) k += r.threads[i] != 0;
    CHECK_INT(k, 0);
    CHECK_INT(r.team->finished, 0);
    free(r.team);
}

/* A helper that is halted in its first job: the leader does what is left of its share. */
static void halt_job(void *user, int i, int thread) {
    rounds *r = (rounds *)user;
    usleep(thread ? 30000 : 1000);
    r->done[i]++;
    if (thread) r->helped++; /* there is only one helper */
}

static void check_halted(void) {
    rounds r = {NULL, -1, 6, {0}, {0}, 0};
    int round, i, least = 3;
    r.team = rn__start_team(2);
    CHECK(r.team != NULL);
    for (round = 0; round < 1000 && least > 1 && r.team; round++) {
        r.helped = 0;
        rn__parallel(r.team, 2, r.jobs, halt_job, &r);
        for (i = 0; i < r.jobs; i++) CHECK_INT(r.done[i], round + 1);
        if (r.helped > 0 && r.helped < least) least = r.helped;
    }
    CHECK_INT(least, 1); /* of its three, in a round in which nothing else halted the leader */
    rn__end_team(r.team);
}

/* A round that is long over: a helper that wakes up with its number takes nothing. */
static void check_late(void) {
    rounds r = {NULL, -1, 0, {0}, {0}, 0};
    uint64_t old;
    r.team = (rn__team *)net_take(sizeof *r.team);
    r.team->size = 2;
    r.jobs = 8;
    rn__parallel(r.team, 2, 8, count_job, &r);
    old = r.team->round;
    CHECK_INT(rn__do_jobs(r.team, old, 1, RN__ANY), 0);
    rn__parallel(r.team, 2, 6, count_job, &r);
    CHECK_INT(rn__do_jobs(r.team, old, 1, RN__ANY), 0);
    r.team->round = r.team->round + (1 << RN__ROUND_BITS); /* of which nobody has done a job */
    CHECK_INT(rn__do_jobs(r.team, old, 1, RN__ANY), 0);
    CHECK_INT(rn__do_jobs(r.team, r.team->round, 1, RN__ANY), 6);
    CHECK_INT(rn__do_jobs(r.team, r.team->round, 0, RN__ANY), 0);
    free(r.team);
}

/* A net's memory is used again although nobody has destroyed it: its helpers sleep on. */
static void check_abandoned(void) {
    rn_desc desc = rn_cifar(8);
    rn_memory memory = {NULL, 0, NULL, NULL, NULL};
    rn_net *net = NULL;
    int i;
    desc.threads = 3;
    memory.bytes = rn_bytes(&desc, 2, RN_INFERENCE, NULL) + 63;
    memory.buffer = net_take(memory.bytes);
    for (i = 0; i < 3; i++) {
        memset(memory.buffer, 0xa5, memory.bytes);
        net = rn_create(&desc, 2, RN_INFERENCE, &memory, NULL);
        CHECK(net != NULL);
        usleep(1000);
    }
    rn_destroy(net);
    memset(memory.buffer, 0xa5, memory.bytes);
    usleep(1000);
    free(memory.buffer);
}

/* ---- callers --------------------------------------------------------------------------------- */

enum { IMAGES = 5, LOGITS = IMAGES * 4 };

static rn_net *make_net(int threads, rn_mode mode, net_batch *batch) {
    rn_desc desc =
        net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, RN_STEM_CIFAR);
    rn_net *net;
    desc.base_width = 20;
    desc.height = desc.width = 16;
    desc.threads = threads;
    net = net_create(&desc, IMAGES, mode);
    if (!net) exit(test_end("threads"));
    net_draw(net, 3);
    *batch = net_draw_batch(&net->desc, IMAGES, 4);
    return net;
}

typedef struct client {
    const rn_net *net;
    const net_batch *batch;
    const rn_real *want;
    int wrong;
} client;

/* Predictions in a workspace of the caller's own. */
static void *predict(void *user) {
    client *c = (client *)user;
    char *memory = (char *)net_take(rn_predict_bytes(c->net) + 63);
    rn_real logits[LOGITS];
    int i;
    for (i = 0; i < 20; i++) {
        memset(logits, 0, sizeof logits);
        c->wrong += rn_predict(c->net, memory + rn__gap(memory), c->batch->images, IMAGES, logits,
                               NULL) != RN_OK;
        c->wrong += memcmp(logits, c->want, sizeof logits) != 0;
    }
    free(memory);
    return NULL;
}

/* Helpers are for one caller at a time. */
static void check_meetings(rn_net *net) {
    rn__meeting first = rn__meet(net->executor->team, 3), second = rn__meet(net->executor->team, 3),
                third;
    int within = -1;
    CHECK(first.team == net->executor->team && first.workers == 3);
    CHECK(second.team == NULL && second.workers == 1);
    rn__part(net->executor->team, &second, RN__UPDATES, 0);
    rn__part(net->executor->team, &first, RN__UPDATES, 0);
    third = rn__meet(net->executor->team, 3);
    CHECK(third.team == net->executor->team);
    rn__part(net->executor->team, &third, RN__UPDATES, 0);
#pragma omp parallel num_threads(2)
#pragma omp single
    if (omp_get_num_threads() == 2) {
        rn__meeting inner = rn__meet(net->executor->team, 3);
        within = inner.workers;
        rn__part(net->executor->team, &inner, RN__UPDATES, 0);
    }
    CHECK(within == 1 || within == -1); /* -1: this machine gave no second thread */
    CHECK_INT(net->executor->team->callers, 0);
}

static void check_callers(void) {
    net_batch batch;
    rn_real want[LOGITS];
    rn_net *alone = make_net(1, RN_INFERENCE, &batch), *net;
    client clients[4];
    pthread_t threads[4];
    int i, status = -1;
    pid_t child;
    CHECK_INT(rn_predict(alone, rn_workspace(alone), batch.images, IMAGES, want, NULL), RN_OK);
    net_free_batch(&batch);
    rn_destroy(alone);
    net = make_net(3, RN_INFERENCE, &batch);
    check_meetings(net);
    for (i = 0; i < 4; i++) {
        client c = {NULL, NULL, NULL, 0};
        c.net = net, c.batch = &batch, c.want = want;
        clients[i] = c;
        CHECK_INT(pthread_create(&threads[i], NULL, predict, &clients[i]), 0);
    }
    for (i = 0; i < 4; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
        CHECK_INT(clients[i].wrong, 0);
    }
#pragma omp parallel for num_threads(4)
    for (i = 0; i < 4; i++) predict(&clients[i]);
    for (i = 0; i < 4; i++) CHECK_INT(clients[i].wrong, 0);
    child = fork();
    if (!child) {
        rn_net *own;
        alarm(60); /* a child that hangs is one that fails */
        predict(&clients[0]);
        own = make_net(3, RN_INFERENCE, &batch); /* its threads take over the stacks of others */
        predict(&clients[0]);
        clients[0].net = own;
        predict(&clients[0]);
        rn_destroy(net);
        predict(&clients[0]);
        rn_destroy(own);
        _exit(clients[0].wrong);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
    predict(&clients[0]); /* nor is the parent harmed */
    CHECK_INT(clients[0].wrong, 0);
    net_free_batch(&batch);
    rn_destroy(net);
}

/* More threads than processors: memory for all, helpers for those that are there, one result. */
static void check_many(void) {
    net_batch batch;
    rn_real logits[2][LOGITS];
    int i;
    for (i = 0; i < 2; i++) {
        rn_net *net = make_net(i ? 64 : 1, RN_TRAINING, &batch);
        CHECK_INT(rn_train_step(net, batch.images, batch.labels, IMAGES, 0.1, NULL, NULL), RN_OK);
        CHECK_INT(rn_predict(net, rn_workspace(net), batch.images, IMAGES, logits[i], NULL), RN_OK);
        net_free_batch(&batch);
        if (i) { /* as rn_create makes it */
            rn_desc desc = net->desc;
            rn_destroy(net);
            net = rn_create(&desc, IMAGES, RN_TRAINING, NULL, NULL);
            CHECK(net &&
                  (!net->executor->team || net->executor->team->size <= omp_get_num_procs()));
        }
        rn_destroy(net);
    }
    CHECK(!memcmp(logits[0], logits[1], sizeof logits[0]));
}

/* ---- pace ------------------------------------------------------------------------------------ */

/* A machine of numbers: seconds of a work alone and together, a share of which is halted. */
typedef struct machine {
    double alone, together, halts, halt;
} machine;

/* Works for so many seconds; the share of works done together in the last half of them, and in
   *late how many works took more than 1.5 times the time alone. */
static double share_together(rn__pace *p, machine m, double seconds, double *late) {
    const rn_key key = {7, 99, 0};
    double now = 0, works = 0, together = 0;
    uint64_t i;
    *late = 0;
    for (i = 0; now < seconds; i++) {
        double time = p->together ? m.together : m.alone;
        time *= 1 + 0.1 * rn_uniform(key, 2 * i);
        if (p->together && rn_uniform(key, 2 * i + 1) < m.halts) time += m.halt;
        if (now > seconds / 2) {
            works++;
            together += p->together;
            *late += time > 1.5 * m.alone;
        }
        rn__count_work(p, RN__PREDICTS, time, 1);
        p->jobs = 2, p->helped = p->together && m.halts < 0.01 && m.together < m.alone;
        rn__judge(p, 2);
        now += time;
    }
    *late /= works;
    return together / works;
}

static void check_pace(void) {
    static const double scales[] = {2e-4, 2e-3, 3e-2};
    int i;
    for (i = 0; i < 3; i++) {
        const double t = scales[i], long_enough = fmax(20, 4000 * t);
        const machine quiet = {t, 0.6 * t, 0, 0}, useless = {t, 1.05 * t, 0, 0};
        const machine hiccups = {t, 0.6 * t, 0.001, 0.004}, busy = {t, 0.7 * t, 0.1, 0.004};
        rn__pace pace, *p = &pace;
        double late, share;
        memset(p, 0, sizeof pace);
        p->pause = p->intervals = 4;
        p->together = 1;
        share = share_together(p, quiet, long_enough, &late);
        CHECK(share > 0.97);
        CHECK(share_together(p, hiccups, long_enough, &late) > 0.97);
        share = share_together(p, busy, long_enough, &late);
        if (t < 0.01) CHECK(share < 0.03 && late < 0.01); /* a halt of 4 ms is felt */
        if (t > 0.01) CHECK(share > 0.97);                /* and here is not */
        CHECK(share_together(p, quiet, long_enough, &late) > 0.97);
        CHECK(share_together(p, useless, long_enough, &late) < 0.06); /* trials of 60 ms */
        CHECK(share_together(p, quiet, long_enough, &late) > 0.97);
    }
}

/* What a step does without images, the gradient of standardised weights, tells no time an image. */
static void check_usual_times(void) {
    rn_desc desc =
        net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_A, RN_STEM_CIFAR);
    net_batch batch;
    rn_net *net;
    int i, k;
    desc.threads = 2, desc.weight_standardisation = 1;
    net = net_create(&desc, 4, RN_TRAINING);
    if (!net) return;
    net_force_threads(net);
    batch = net_draw_batch(&net->desc, 4, 1);
    for (i = 0; i < 3 && net->executor->team; i++) {
        rn__pace *p = &net->executor->team->pace;
        p->together = p->settles = 0; /* the leader alone, and it counts */
        CHECK_INT(rn_backpropagate(net, batch.images, batch.labels, 4, NULL, NULL), RN_OK);
        for (k = RN__GOES_FORWARD; k <= RN__GOES_BACKWARD; k++)
            CHECK(p->usual[k] > 0 && p->usual[k] < HUGE_VAL);
    }
    net_free_batch(&batch);
    rn_destroy(net);
}

/* ---- processors ------------------------------------------------------------------------------ */

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    CHECK(file && fputs(text, file) >= 0 && !fclose(file));
}

static void check_quota(void) {
    char directory[32], list[64], here[64], inner[64], path[128];
    snprintf(directory, sizeof directory, "quota_%ld", (long)getpid());
    snprintf(list, sizeof list, "%s/list", directory);
    snprintf(here, sizeof here, "%s/cpu.max", directory);
    snprintf(inner, sizeof inner, "%s/a", directory);
    snprintf(path, sizeof path, "mkdir %s %s", directory, inner);
    CHECK_INT(system(path), 0);
    snprintf(path, sizeof path, "%s/cpu.max", inner);
    CHECK_INT(rn__quota(list, directory, 8), 8); /* no such file */
    write_text(list, "1:name=systemd:/\n0::/a/b\n");
    CHECK_INT(rn__quota(list, directory, 8), 8);
    write_text(here, "max 100000\n");
    CHECK_INT(rn__quota(list, directory, 8), 8);
    write_text(here, "450000 100000\n");
    CHECK_INT(rn__quota(list, directory, 8), 5);
    CHECK_INT(rn__quota(list, directory, 2), 2);
    write_text(path, "20000 100000\n");
    CHECK_INT(rn__quota(list, directory, 8), 1);
    write_text(list, "0::/\n");
    CHECK_INT(rn__quota(list, directory, 8), 5);
    write_text(here, "rubbish\n");
    CHECK_INT(rn__quota(list, directory, 8), 8);
    snprintf(path, sizeof path, "rm -r %s", directory);
    CHECK_INT(system(path), 0);
    CHECK(rn__processors() >= 1 && rn__processors() <= omp_get_num_procs());
}

int main(int count, char **words) {
    check_rounds();
    check_absent();
    check_late();
    check_halted();
    check_abandoned();
    check_many();
    if (count == 2 && !strcmp(words[1], "rounds")) return test_end("threads"); /* no OpenMP's */
    check_callers();
    check_pace();
    check_usual_times();
#ifdef __linux__
    check_quota();
#endif
    return test_end("threads");
}

#else

int main(void) {
    printf("threads: skipped what only POSIX threads with OpenMP have\n");
    CHECK_INT(rn__workers(1), 1);
    return test_end("threads");
}

#endif
