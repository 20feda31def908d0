/* hello.c - the whole of resnet.h in one sitting: a residual network learns to tell clothes apart
   from 5,000 small pictures, and then names some that it has not seen.

   cc -O2 -fopenmp -o examples/hello examples/hello.c -lm && examples/hello */

#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include <stdio.h>
#include <string.h>

enum { BATCH = 50, EPOCHS = 4 };

int main(int argc, char **argv) {
    static const char *const names[] = {"T-shirt", "trouser", "pullover", "dress", "coat",
                                        "sandal",  "shirt",   "sneaker",  "bag",   "boot"};
    static float images[BATCH * 28 * 28], logits[BATCH * 10];
    int labels[BATCH], steps, i;
    const char *directory = argc > 1 ? argv[1] : "examples/data";
    char paths[4][256];
    rn_augment augment = {2, 1}; /* crop at random from the image padded by 2, and mirror */
    rn_error error = {RN_OK, ""};
    rn_data train, test;
    rn_desc desc = rn_cifar(8); /* three units, of two convolutions each, full pre-activation */
    rn_schedule schedule;
    rn_result result = {0, 0};
    rn_net *net = NULL;
    if (directory[0] == '-' || argc > 2)
        return printf(
                   "usage: hello [DIRECTORY]\n\nTrains a ResNet-8 for seconds on the IDX files of "
                   "DIRECTORY (examples/data),\nten classes of 28 x 28 pixels such as "
                   "Fashion-MNIST's, and names ten test images.\n"),
               strcmp(directory, "--help") ? 2 : 0;
    for (i = 0; i < 4; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%s-%s-ubyte", directory, i < 2 ? "train" : "t10k",
                 i % 2 ? "labels-idx1" : "images-idx3");
    if (rn_load_idx(&train, paths[0], paths[1], 10, NULL, NULL, &error) ||
        rn_load_idx(&test, paths[2], paths[3], 10, NULL, NULL, &error) ||
        rn_measure(&desc, &train.source, &error) ||
        !(net = rn_create(&desc, BATCH, RN_TRAINING, NULL, &error)))
        return fprintf(stderr, "hello: %s\n", error.text), 1;
    if (train.source.channels != 1 || train.source.height != 28 || train.source.width != 28)
        return fprintf(stderr, "hello: the images should have 28 x 28 pixels, in grey\n"), 1;
    if (train.source.count < BATCH)
        return fprintf(stderr, "hello: %d training images are the least\n", BATCH), 1;
    steps = (int)train.source.count / BATCH; /* an epoch */
    schedule = rn_make_schedule(RN_ONE_CYCLE, 0.1, (uint64_t)(EPOCHS * steps));
    for (i = 0; i < EPOCHS * steps && !error.status; i++) {
        if (!rn_batch(&train.source, &net->desc, &augment, (uint64_t)(i / steps), i % steps * BATCH,
                      BATCH, images, labels, &error))
            rn_train_step(net, images, labels, BATCH, rn_learning_rate(&schedule, (uint64_t)i),
                          &result, &error);
        if ((i + 1) % 50 == 0) printf("step %d: loss %.3f\n", i + 1, result.loss);
    }
    if (error.status ||
        rn_batch(&test.source, &net->desc, NULL, 0, 0, BATCH, images, labels, &error) ||
        rn_predict(net, rn_workspace(net), images, BATCH, logits, &error))
        return fprintf(stderr, "hello: %s\n", error.text), 1;
    for (i = 0; i < 10; i++)
        printf("%-12s named %s\n", names[labels[i]], names[rn_argmax(logits + i * 10, 10)]);
    rn_destroy(net);
    rn_data_free(&train);
    rn_data_free(&test);
    return 0;
}
