/* tiny.c - training and prediction inside one static array: no allocator, no stdio in the header,
   no files. The data, bars of four directions in noise, is made up as it is needed.

   cc -O2 -o examples/tiny examples/tiny.c -lm && examples/tiny */

#define RESNET_NO_STDIO
#define RESNET_NO_THREADS
#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include <stdio.h>
#include <string.h>

enum { SIZE = 12, CLASSES = 4, BATCH = 32, STEPS = 150, MEMORY = 4 << 20 };

static unsigned char memory[MEMORY]; /* everything lives here */

/* Image number `index`: a bar that lies (0), rises (1), stands (2) or falls (3). */
static int draw(void *user, ptrdiff_t index, uint8_t *pixels, int *label) {
    static const int across[CLASSES] = {0, 1, 1, 1}, down[CLASSES] = {1, 1, 0, -1};
    rn_key key = {1, 0, 0};
    int i, where;
    (void)user;
    key.epoch = (uint64_t)index; /* a stream of random numbers for each image */
    *label = (int)(rn_uniform(key, 0) * CLASSES);
    where = (int)(rn_uniform(key, 1) * 7) - 3;
    for (i = 0; i < SIZE * SIZE; i++) {
        int x = i % SIZE - SIZE / 2, y = i / SIZE - SIZE / 2;
        int distance = across[*label] * x + down[*label] * y - where;
        int bar = distance >= -1 && distance <= 1 ? 120 : 0;
        pixels[i] = (uint8_t)(bar + (int)(rn_uniform(key, 2 + (uint64_t)i) * 130));
    }
    return 0;
}

/* The next `bytes` bytes of the array, aligned as anything needs. */
static void *take(size_t bytes) {
    static size_t used;
    size_t begin = used;
    used += (bytes + 63) / 64 * 64;
    return used <= MEMORY ? memory + begin : NULL;
}

int main(int argc, char **argv) {
    rn_source source = {100000, 1, SIZE, SIZE, CLASSES, draw, NULL};
    rn_error error = {RN_OK, ""};
    rn_desc desc = rn_cifar(8);
    rn_memory place = {NULL, 0, NULL, NULL, NULL};
    float *images = (float *)take(BATCH * SIZE * SIZE * sizeof(float));
    float *logits = (float *)take(BATCH * CLASSES * sizeof(float));
    int *labels = (int *)take(BATCH * sizeof(int)), i, right = 0;
    rn_net *net;
    if (argc > 1) {
        printf(
            "usage: tiny\n\nTrains a ResNet-8 inside one static array on bars of four directions, "
            "which it makes\nup, and says how many new ones it names. It takes no arguments.\n");
        return strcmp(argv[1], "--help") ? 2 : 0;
    }
    desc.channels = 1;
    desc.height = desc.width = SIZE;
    desc.classes = CLASSES;
    desc.base_width = 8;
    desc.mean[0] = desc.deviation[0] = 0.3f;
    place.buffer = take(0); /* the rest, first to plan in and then to live in */
    place.bytes = (size_t)(memory + MEMORY - (unsigned char *)place.buffer);
    place.bytes = rn_bytes_in(&desc, BATCH, RN_TRAINING, &place, &error) + 63;
    net = rn_create(&desc, BATCH, RN_TRAINING, &place, &error);
    for (i = 0; net && i < STEPS; i++) {
        rn_result result = {0, 0};
        if (rn_batch(&source, &net->desc, NULL, 0, i * BATCH, BATCH, images, labels, &error) ||
            rn_train_step(net, images, labels, BATCH, 0.05, &result, &error))
            break;
        if (i % 25 == 0) printf("step %3d: loss %.3f\n", i, result.loss);
    }
    if (error.status ||
        rn_batch(&source, &net->desc, NULL, 0, 50000, BATCH, images, labels, &error) ||
        rn_predict(net, rn_workspace(net), images, BATCH, logits, &error))
        return printf("tiny: %s\n", error.text), 1;
    for (i = 0; i < BATCH; i++) right += rn_argmax(logits + i * CLASSES, CLASSES) == labels[i];
    printf("%d of %d new images right, in %d bytes\n", right, BATCH, (int)place.bytes);
    return 0;
}
