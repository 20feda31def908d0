/* recipe.c - what recipes of the trainer are made of: weights that look ahead against loops of their
   own, step by step, over epochs that end within five steps; answers averaged over views against
   views drawn pixel by pixel; when which of both is done.

   cc -std=c99 -O2 -o recipe tests/recipe.c -lm && ./recipe */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "../examples/example.h"

#include "test.h"

enum { H = 12, W = 8, C = 2, CLASSES = 4, COUNT = 30, BATCH = 4 };

static int draw_image(void *user, ptrdiff_t index, uint8_t *pixels, int *label) {
    const rn_key key = {5, 99, (uint64_t)index};
    int i;
    (void)user;
    for (i = 0; i < C * H * W; i++) pixels[i] = (uint8_t)(rn_uniform(key, (uint64_t)i) * 256);
    *label = (int)(index % CLASSES);
    return 0;
}

static const rn_source source = {COUNT, C, H, W, CLASSES, draw_image, NULL};

static trainer start(long lookahead, long tta, uint64_t steps) {
    recipe r = make_recipe(IDX, "", BATCH, 1, rn_make_schedule(RN_ONE_CYCLE, 0.1, steps));
    rn_desc desc = rn_cifar(8);
    rn_error error;
    trainer t;
    desc.base_width = 4;
    check(rn_measure(&desc, &source, &error), &error);
    r.lookahead = lookahead;
    r.tta = tta;
    t = make_trainer(&desc, &r, RN_TRAINING, &source);
    t.net->schedule = choose_schedule(&r, steps_per_epoch(&t));
    return t;
}

/* Parameters and running statistics as one array. */
static void take(double *to, const rn_net *net) {
    ptrdiff_t i;
    for (i = 0; i < net->parameter_count; i++) to[i] = (double)net->parameters[i];
    for (i = 0; i < net->statistic_count; i++)
        to[net->parameter_count + i] = (double)net->statistics[i];
}

static void copy_net(rn_net *to, const rn_net *from) {
    memcpy(to->parameters, from->parameters, (size_t)from->parameter_count * sizeof(rn_real));
    memcpy(to->velocity, from->velocity, (size_t)from->trained_count * sizeof(rn_real));
    memcpy(to->statistics, from->statistics, (size_t)from->statistic_count * sizeof(rn_real));
}

/* Steps of a plain trainer, from where the other one is before each of its own. */
static void test_lookahead(int every) {
    enum { STEPS = 21 }; /* eight an epoch, the last of two images */
    trainer t = start(every, 0, STEPS), plain = start(0, 0, STEPS);
    const ptrdiff_t n = count_learned(t.net);
    double *slow = (double *)allocate((size_t)n * sizeof *slow), *fast, *now;
    int step, since = 0, moved = 0;
    ptrdiff_t i;
    rn_error error;
    fast = (double *)allocate((size_t)n * sizeof *fast);
    now = (double *)allocate((size_t)n * sizeof *now);
    take(slow, t.net);
    for (step = 1; step <= STEPS; step++) {
        const int joins = (step - 1) % 8 % every == every - 1 || step % 8 == 0 || step == STEPS;
        double behind = 0;
        copy_net(plain.net, t.net);
        check(train_next(&t, &error), &error);
        check(train_next(&plain, &error), &error);
        take(now, t.net);
        take(fast, plain.net);
        since++;
        CHECK_INT(steps_ahead(&t), joins ? 0 : since);
        if (joins) behind = pow(0.95, since) * pow((double)step / STEPS, 3);
        for (i = 0; i < n; i++) {
            const double want = joins ? behind * slow[i] + (1 - behind) * fast[i] : fast[i];
            CHECK_NEAR(now[i], want, joins ? 1e-6 * fmax(1, fabs(want)) : 0);
            moved += joins && fabs(slow[i] - fast[i]) > 1e-4;
        }
        if (!joins) continue;
        take(slow, t.net);
        since = 0;
    }
    CHECK(moved > n); /* so there was something to see */
    free(slow);
    free(fast);
    free(now);
    free_trainer(&t);
    free_trainer(&plain);
}

/* The pixel that stands at (y, x) of a view. */
static rn_real seen(const rn_real *plane, int y, int x, int shift, int mirror) {
    if (mirror) x = W - 1 - x;
    y -= shift, x -= shift;
    return y < 0 || y >= H || x < 0 || x >= W ? 0 : plane[y * W + x];
}

/* Mean logits of an image, in double. */
static void answer(trainer *t, int tta, ptrdiff_t index, double logits[CLASSES]) {
    static const int shifts[3] = {0, -1, 1};
    static rn_real image[C * H * W], view[C * H * W];
    rn_real one[CLASSES];
    int label, shift, mirror, i, k;
    rn_error error;
    check(rn_batch(&source, &t->net->desc, NULL, 0, index, 1, image, &label, &error), &error);
    memset(logits, 0, CLASSES * sizeof *logits);
    for (shift = 0; shift < (tta == 2 ? 3 : 1); shift++)
        for (mirror = 0; mirror <= (tta > 0); mirror++) {
            const double share = tta == 0 ? 1 : tta == 1 ? 0.5 : shift ? 0.125 : 0.25;
            for (i = 0; i < C * H * W; i++)
                view[i] =
                    seen(image + i / (H * W) * (H * W), i / W % H, i % W, shifts[shift], mirror);
            check(rn_predict(t->net, rn_workspace(t->net), view, 1, one, &error), &error);
            for (k = 0; k < CLASSES; k++) logits[k] += share * (double)one[k];
        }
}

static void test_views(int tta) {
    trainer t = start(0, tta, 30);
    rn_result result;
    rn_error error;
    double logits[CLASSES], loss, plain;
    int over, i, k;
    for (over = 0; over < 2; over++) {
        const int views = over ? tta : 0; /* before the end a test is plain */
        int correct = 0;
        do check(train_next(&t, &error), &error);
        while (t.net->step < (over ? 30 : 20));
        check(test_net(&t, &source, NULL, &result, &error), &error);
        for (i = 0, loss = plain = 0; i < COUNT; i++) {
            double sum = 0;
            int best = 0;
            answer(&t, 0, i, logits);
            plain += logits[0];
            answer(&t, views, i, logits);
            plain -= logits[0];
            for (k = 0; k < CLASSES; k++) sum += exp(logits[k]);
            for (k = 1; k < CLASSES; k++) best = logits[k] > logits[best] ? k : best;
            loss += log(sum) - logits[i % CLASSES];
            correct += best == i % CLASSES;
        }
        CHECK_NEAR(result.loss, loss / COUNT, 1e-5);
        CHECK_INT(result.correct, correct);
        CHECK(views ? fabs(plain) > 1e-3 : fabs(plain) <= 0); /* views differ */
    }
    free_trainer(&t);
}

int main(void) {
    int i;
    program = "recipe";
    test_lookahead(5);
    test_lookahead(3);
    test_lookahead(1);
    for (i = 0; i < 3; i++) test_views(i);
    return test_end("recipe");
}
