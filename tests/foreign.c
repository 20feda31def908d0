/* foreign.c - somebody else's net, of the layer functions alone: no rn_net, no description, memory
   of its own. A 3x3 convolution, batch norm, ReLU, max-pooling, the mean over what is left and a
   linear layer learn to tell horizontal, vertical and diagonal stripes apart, by plain SGD. The
   header is included the way a strict project does it: everything static, warnings as errors.

   cc -std=c99 -Wall -Wextra -O2 -o foreign tests/foreign.c -lm && ./foreign */

#if defined(__GNUC__) || defined(__clang__)
#pragma GCC diagnostic error "-Wconversion"
#pragma GCC diagnostic error "-Wsign-conversion"
#pragma GCC diagnostic error "-Wfloat-conversion"
#pragma GCC diagnostic error "-Wshadow"
#pragma GCC diagnostic error "-Wcast-align"
#pragma GCC diagnostic error "-Wundef"
#pragma GCC diagnostic error "-Wuninitialized"
#pragma GCC diagnostic error "-Wmissing-declarations"
#ifndef __cplusplus
#pragma GCC diagnostic error "-Wstrict-prototypes"
#endif
#endif

#define RESNET_IMPLEMENTATION
#define RESNET_STATIC
#include "../resnet.h"
#include "test.h"

enum { IMAGES = 24, SIZE = 9, FILTERS = 6, POOLED = 5, CLASSES = 3, STEPS = 150 };
#define EPS 1e-5
#define CHECK_OK(call) CHECK_INT(call, RN_OK)

/* Everything that learns, and its gradients in the same order. */
typedef struct weights {
    rn_real conv[FILTERS * 3 * 3], norm_weight[FILTERS], norm_bias[FILTERS];
    rn_real linear[CLASSES * FILTERS], linear_bias[CLASSES];
} weights;

/* The memory of one value: the largest is the convolution's output. */
typedef rn_real memory[IMAGES * FILTERS * SIZE * SIZE];

static weights parameters, gradients;
static rn_real statistics[2 * FILTERS], running_mean[FILTERS], running_var[FILTERS];
static memory image_memory, conv_memory, norm_memory, relu_memory, pool_memory, mean_memory,
    logits_memory, logits_gradient_memory, mean_gradient_memory, pool_gradient_memory,
    gradient_memory;

static rn_key key_of(uint64_t purpose, uint64_t epoch) {
    rn_key key;
    key.seed = 1;
    key.purpose = purpose;
    key.epoch = epoch;
    return key;
}

/* Stripes three pixels apart, the class their direction, at a random phase and with noise. */
static void draw_images(rn_tensor images, int *labels, uint64_t epoch) {
    static const int down[CLASSES] = {1, 0, 1}, right[CLASSES] = {0, 1, 1};
    rn_key key = key_of(RN_PURPOSE_AUGMENT, epoch);
    uint64_t index = 0;
    int n, h, w;
    for (n = 0; n < images.n; n++) {
        int phase = (int)(3 * rn_uniform(key, index++));
        labels[n] = n % CLASSES;
        for (h = 0; h < SIZE; h++)
            for (w = 0; w < SIZE; w++) {
                int on = (h * down[labels[n]] + w * right[labels[n]] + phase) % 3 == 0;
                images.data[(n * SIZE + h) * SIZE + w] =
                    (rn_real)(on + 0.3 * rn_normal(key, index++));
            }
    }
}

/* Forward in training (with running statistics updated) or inference, down to loss and correct. */
static rn_result forward(rn_tensor x, const int *labels, int training) {
    weights *p = &parameters;
    rn_tensor weight = rn_tensor_in(p->conv, FILTERS, 1, 3, 3);
    rn_tensor conv = rn_tensor_in(conv_memory, x.n, FILTERS, SIZE, SIZE);
    rn_tensor norm = rn_tensor_in(norm_memory, x.n, FILTERS, SIZE, SIZE);
    rn_tensor relu = rn_tensor_in(relu_memory, x.n, FILTERS, SIZE, SIZE);
    rn_tensor pool = rn_tensor_in(pool_memory, x.n, FILTERS, POOLED, POOLED);
    rn_tensor mean = rn_tensor_in(mean_memory, x.n, FILTERS, 1, 1);
    rn_tensor logits = rn_tensor_in(logits_memory, x.n, CLASSES, 1, 1);
    rn_result result = {0, 0};
    rn_error error;
    memset(&error, 0, sizeof error);
    CHECK_OK(rn_conv2d_naive_forward(&conv, &x, &weight, NULL, 1, 1, &error));
    if (training) {
        CHECK_OK(rn_batch_norm_forward(&norm, statistics, &conv, p->norm_weight, p->norm_bias, EPS,
                                       0, &error));
        rn_batch_norm_update(running_mean, running_var, statistics, x.n, 0, FILTERS, SIZE * SIZE,
                             0.1);
    } else {
        CHECK_OK(rn_batch_norm_inference(&norm, &conv, p->norm_weight, p->norm_bias, running_mean,
                                         running_var, EPS, &error));
    }
    CHECK_OK(rn_relu_forward(&relu, &norm, &error));
    CHECK_OK(rn_max_pool_forward(&pool, &relu, 3, 2, 1, &error));
    CHECK_OK(rn_global_avg_pool_forward(&mean, &pool, &error));
    CHECK_OK(rn_linear_forward(&logits, &mean, p->linear, p->linear_bias, &error));
    CHECK_OK(rn_softmax_cross_entropy_forward(&result, &logits, labels, NULL, &error));
    CHECK_OK(error.status);
    return result;
}

/* The same way back. One memory serves the gradients of relu, norm and conv, each written in place
   of the one before. */
static void backward(rn_tensor x, const int *labels) {
    weights *p = &parameters, *g = &gradients;
    rn_tensor weight = rn_tensor_in(p->conv, FILTERS, 1, 3, 3);
    rn_tensor weight_gradient = rn_tensor_in(g->conv, FILTERS, 1, 3, 3);
    rn_tensor conv = rn_tensor_in(conv_memory, x.n, FILTERS, SIZE, SIZE);
    rn_tensor relu = rn_tensor_in(relu_memory, x.n, FILTERS, SIZE, SIZE);
    rn_tensor mean = rn_tensor_in(mean_memory, x.n, FILTERS, 1, 1);
    rn_tensor logits = rn_tensor_in(logits_memory, x.n, CLASSES, 1, 1);
    rn_tensor dlogits = rn_tensor_in(logits_gradient_memory, x.n, CLASSES, 1, 1);
    rn_tensor dmean = rn_tensor_in(mean_gradient_memory, x.n, FILTERS, 1, 1);
    rn_tensor dpool = rn_tensor_in(pool_gradient_memory, x.n, FILTERS, POOLED, POOLED);
    rn_tensor d = rn_tensor_in(gradient_memory, x.n, FILTERS, SIZE, SIZE);
    memset(g, 0, sizeof *g); /* gradients of parameters are added up */
    CHECK_OK(rn_softmax_cross_entropy_backward(&dlogits, &logits, labels, 1.0 / x.n, NULL, NULL));
    CHECK_OK(
        rn_linear_backward(&dmean, g->linear, g->linear_bias, &dlogits, &mean, p->linear, 0, NULL));
    CHECK_OK(rn_global_avg_pool_backward(&dpool, &dmean, 0, NULL));
    CHECK_OK(rn_max_pool_backward(&d, &dpool, &relu, 3, 2, 1, 0, NULL));
    CHECK_OK(rn_relu_backward(&d, &d, &relu, 0, NULL));
    CHECK_OK(rn_batch_norm_backward(&d, g->norm_weight, g->norm_bias, &d, &conv, statistics,
                                    p->norm_weight, EPS, 0, 0, NULL));
    CHECK_OK(
        rn_conv2d_naive_backward(NULL, &weight_gradient, NULL, &d, &x, &weight, 1, 1, 0, NULL));
}

int main(void) {
    rn_tensor x = rn_tensor_in(image_memory, IMAGES, 1, SIZE, SIZE);
    rn_real *p = (rn_real *)&parameters, *g = (rn_real *)&gradients;
    int labels[IMAGES], count = (int)(sizeof(weights) / sizeof(rn_real)), step, i;
    rn_result first = {0, 0}, last = {0, 0}, test;
    for (i = 0; i < count; i++)
        p[i] = (rn_real)rn_normal(key_of(RN_PURPOSE_INIT, 0), (uint64_t)i) / 3;
    for (i = 0; i < FILTERS; i++) parameters.norm_weight[i] = running_var[i] = 1;
    for (step = 0; step < STEPS; step++) {
        draw_images(x, labels, (uint64_t)step);
        last = forward(x, labels, 1);
        if (step == 0) first = last;
        backward(x, labels);
        for (i = 0; i < count; i++) p[i] -= (rn_real)0.3 * g[i];
    }
    draw_images(x, labels, 1u << 20);
    test = forward(x, labels, 0);
    printf("loss %.3f, after %d steps %.3f; of new images %.3f, %d of %d correct\n", first.loss,
           STEPS, last.loss, test.loss, test.correct, IMAGES);
    CHECK(first.loss > 0.9 && first.loss < 3); /* a guess among three: 1.1 */
    CHECK(last.loss < 0.1);
    CHECK(test.loss < 0.1);
    CHECK_INT(test.correct, IMAGES);
    return test_end("foreign");
}
