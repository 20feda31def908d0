/* main.c - one of two files that include the header; see ../compile.sh. It makes a net in a buffer,
   trains or predicts with it, and asks the other file, which must see the same. */

#define RESNET_IMPLEMENTATION
#include "../../resnet.h"

#include "other.h"

enum { BATCH = 3, SIZE = 6, NUMBERS = BATCH * 2 * SIZE * SIZE, ROOM = 1 << 20 };

static char memory[ROOM], room[ROOM];

static void draw(rn_real *images, int *labels) {
    rn_key key = {1, 2, 3};
    int i;
    for (i = 0; i < NUMBERS; i++) images[i] = (rn_real)rn_normal(key, (uint64_t)i);
    for (i = 0; i < BATCH; i++) labels[i] = i;
}

static int use(rn_net *net, const rn_real *images, const int *labels) {
    rn_real logits[BATCH * 3];
    rn_error error;
    int i, k;
#ifndef RESNET_NO_TRAIN
    rn_result first = {0, 0}, last = {0, 0};
    if (rn_train_step(net, images, labels, BATCH, 0.05, &first, &error)) return 10;
    for (i = 0; i < 4; i++)
        if (rn_train_step(net, images, labels, BATCH, 0.05, &last, &error)) return 11;
    if (!(last.loss < first.loss)) return 12;
#endif
    (void)labels;
    if (rn_predict(net, rn_workspace(net), images, BATCH, logits, &error)) return 13;
    for (i = 0; i < BATCH; i++)
        for (k = 0; k < 3; k++)
            if (logits[3 * i + k] > logits[3 * i + rn_argmax(logits + 3 * i, 3)]) return 14;
    return rn_describe(net, room, ROOM) > 100 ? 0 : 15;
}

/* Bytes and shapes of everything below, of a description that the other file makes as well. */
int main(void) {
    rn_desc desc = other_desc();
    rn_memory buffer = {NULL, 0, NULL, NULL, NULL};
    rn_real images[NUMBERS];
    int labels[BATCH], naive;
    rn_error error;
    for (naive = 0; naive < 2; naive++) {
        rn_net *net;
        size_t bytes;
        int failed;
        desc.naive = naive;
#ifdef RESNET_SMALL /* has the other execution alone */
        if (naive) return rn_create(&desc, BATCH, RN_INFERENCE, NULL, &error) ? 6 : other_layers();
#endif
        buffer.buffer = memory;
        buffer.bytes = ROOM;
#ifdef RESNET_NO_TRAIN
        if (rn_create(&desc, BATCH, RN_TRAINING, NULL, &error)) return 1; /* refused */
        bytes = rn_bytes_in(&desc, BATCH, RN_INFERENCE, &buffer, &error);
#else
        bytes = rn_bytes_in(&desc, BATCH, RN_TRAINING, &buffer, &error);
#endif
        if (!bytes || bytes != other_bytes(&desc, BATCH, &buffer) || bytes + 63 > ROOM) return 2;
#ifdef RESNET_NO_STDIO /* nor any allocator */
        if (rn_bytes(&desc, BATCH, RN_INFERENCE, &error) || error.status != RN_NO_MEMORY) return 5;
#endif
        buffer.bytes = bytes + 63;
#ifdef RESNET_NO_TRAIN
        net = rn_create(&desc, BATCH, RN_INFERENCE, &buffer, &error);
#else
        net = rn_create(&desc, BATCH, RN_TRAINING, &buffer, &error);
#endif
        if (!net) return 3;
        draw(images, labels);
        failed = use(net, images, labels);
        if (failed) return failed;
        if (other_names(net) != net->parameter_count + net->statistic_count) return 4;
        rn_destroy(net);
    }
    return other_layers();
}
