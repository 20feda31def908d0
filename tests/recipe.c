/* recipe.c - what recipes of the trainer are made of: weights that look ahead against loops of
   their own, step by step, over epochs that end within five steps; answers averaged over views
   against views drawn pixel by pixel; first epochs on small images against two nets fed by hand;
   when which of these is done.

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

static trainer start(long lookahead, long tta, uint64_t steps, long small_epochs) {
    recipe r = make_recipe(IDX, "", BATCH, 1, rn_make_schedule(RN_ONE_CYCLE, 0.1, steps));
    rn_desc desc = rn_cifar(8);
    rn_error error;
    trainer t;
    desc.base_width = 4;
    check(rn_measure(&desc, &source, &error), &error);
    r.lookahead = lookahead;
    r.tta = tta;
    r.small_epochs = small_epochs;
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

static int same_net(const rn_net *a, const rn_net *b) {
    return !memcmp(a->parameters, b->parameters, (size_t)a->parameter_count * sizeof(rn_real)) &&
           !memcmp(a->velocity, b->velocity, (size_t)a->trained_count * sizeof(rn_real)) &&
           !memcmp(a->statistics, b->statistics, (size_t)a->statistic_count * sizeof(rn_real));
}

/* Another trainer goes on, as from a checkpoint, with a schedule of so many steps. */
static void go_on(trainer *t, uint64_t steps) {
    trainer other = start(t->lookahead, t->tta, steps, 0);
    ptrdiff_t i;
    copy_net(other.net, t->net);
    other.net->step = t->net->step;
    other.net->epoch = t->net->epoch;
    other.net->cursor = t->net->cursor;
    for (i = 0; other.slow && i < count_learned(other.net); i++) other.slow[i] = 1e30f;
    free_trainer(t);
    *t = other;
}

/* Steps of a plain trainer, from where the other one is before each of its own. What ended after
   `end` steps goes on. */
static void test_lookahead(int every, int end) {
    enum { STEPS = 21 }; /* eight an epoch, the last of two images */
    trainer t = start(every, 0, (uint64_t)end, 0), plain = start(0, 0, (uint64_t)end, 0);
    const ptrdiff_t n = count_learned(t.net);
    double *slow = (double *)allocate((size_t)n * sizeof *slow), *fast, *now;
    int step, since = 0, moved = 0;
    ptrdiff_t i;
    rn_error error;
    fast = (double *)allocate((size_t)n * sizeof *fast);
    now = (double *)allocate((size_t)n * sizeof *now);
    take(slow, t.net);
    for (step = 1; step <= STEPS; step++) {
        const int joins = since + 1 == every || step % 8 == 0 || step == end || step == STEPS;
        double behind = 0;
        copy_net(plain.net, t.net);
        check(train_next(&t, &error), &error);
        check(train_next(&plain, &error), &error);
        take(now, t.net);
        take(fast, plain.net);
        since++;
        CHECK_INT(t.steps_ahead, joins ? 0 : since);
        if (joins) behind = pow(0.95, since) * pow((double)step / (step > end ? STEPS : end), 3);
        for (i = 0; i < n; i++) {
            const double want = joins ? behind * slow[i] + (1 - behind) * fast[i] : fast[i];
            CHECK_NEAR(now[i], want, joins ? 1e-6 * fmax(1, fabs(want)) : 0);
            moved += joins && fabs(slow[i] - fast[i]) > 1e-4;
        }
        if (!joins) continue;
        take(slow, t.net);
        since = 0;
        if (step != end || end == STEPS) continue;
        go_on(&t, STEPS);
        go_on(&plain, STEPS);
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

/* Of images one pixel high a move down or up leaves zeros, a mirror all pixels. */
static void test_one_row(void) {
    rn_real pixels[W];
    rn_tensor row = rn_tensor_in(pixels, 1, 1, 1, W);
    int shift, i;
    for (shift = -1; shift <= 1; shift++) {
        for (i = 0; i < W; i++) pixels[i] = (rn_real)(i + 1);
        change_view(&row, shift, 1);
        for (i = 0; i < W; i++) CHECK_NEAR(pixels[i], shift ? 0 : W - i, 0);
    }
}

static void test_views(int tta) {
    trainer t = start(0, tta, 30, 0);
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

/* Images of half the height and width, pixel by pixel. */
static void shrink(rn_real *to, const rn_real *from, int count) {
    int i, y, x;
    for (i = 0; i < count * C; i++)
        for (y = 0; y < H / 2; y++)
            for (x = 0; x < W / 2; x++) {
                const rn_real *at = from + (i * H + 2 * y) * W + 2 * x;
                to[(i * H / 2 + y) * W / 2 + x] = (at[0] + at[1] + at[W] + at[W + 1]) / 4;
            }
}

/* Mean loss over all images, in inference, of a net of either size. */
static double mean_loss(rn_net *net, const rn_desc *whole) {
    static rn_real image[C * H * W], small_image[C * H / 2 * W / 2];
    const int is_small = net->desc.height < H;
    rn_real logits[CLASSES];
    double loss = 0;
    int label, i, k;
    rn_error error;
    for (i = 0; i < COUNT; i++) {
        double sum = 0;
        check(rn_batch(&source, whole, NULL, 0, i, 1, image, &label, &error), &error);
        shrink(small_image, image, 1);
        check(rn_predict(net, rn_workspace(net), is_small ? small_image : image, 1, logits, &error),
              &error);
        for (k = 0; k < CLASSES; k++) sum += exp((double)logits[k]);
        loss += (log(sum) - (double)logits[label]) / COUNT;
    }
    return loss;
}

/* The first epochs against a net of half the size that is fed by hand, and hands its numbers to one
   of the whole size, which does the others. */
static void test_small(int small_epochs) {
    enum { STEPS = 21, EPOCH = 8 };
    static rn_real images[BATCH * C * H * W], small_images[BATCH * C * H / 2 * W / 2];
    trainer t = start(0, 0, STEPS, small_epochs), plain = start(0, 0, STEPS, 0);
    rn_desc half = plain.net->desc;
    rn_net *small;
    int labels[BATCH], step;
    rn_error error;
    half.height = H / 2, half.width = W / 2;
    small = rn_create(&half, BATCH, RN_TRAINING, NULL, &error);
    if (!small) check(error.status, &error);
    copy_net(small, plain.net);
    for (step = 0; step < STEPS; step++) {
        const int epoch = step / EPOCH, first = step % EPOCH * BATCH,
                  is_small = epoch < small_epochs;
        const int count = first + BATCH > COUNT ? COUNT - first : BATCH;
        const double rate = rn_learning_rate(&t.net->schedule, (uint64_t)step);
        rn_result result;
        if (step == small_epochs * EPOCH) copy_net(plain.net, small);
        check(rn_batch(&source, &t.net->desc, &t.augment, (uint64_t)epoch, first, count, images,
                       labels, &error),
              &error);
        shrink(small_images, images, count);
        check(rn_train_step(is_small ? small : plain.net, is_small ? small_images : images, labels,
                            count, rate, NULL, &error),
              &error);
        check(train_next(&t, &error), &error);
        CHECK_INT(in_small_epoch(&t), is_small);
        CHECK_INT(t.net->step, step + 1);
        CHECK(same_net(t.net, is_small ? small : plain.net));
        if (step % EPOCH != EPOCH - 1) continue;
        check(test_net(&t, &source, NULL, &result, &error), &error);
        CHECK_NEAR(result.loss, mean_loss(is_small ? small : plain.net, &t.net->desc), 1e-5);
    }
    rn_destroy(small);
    free_trainer(&t);
    free_trainer(&plain);
}

int main(void) {
    int i;
    program = "recipe";
    test_lookahead(5, 21);
    test_lookahead(3, 21);
    test_lookahead(1, 21);
    test_lookahead(5, 11);
    for (i = 0; i < 3; i++) test_views(i), test_small(i);
    test_one_row();
    return test_end("recipe");
}
