/* smallest.c - the smallest program that predicts: a net over weights in flash, in a buffer.
   Nothing is printed; what is linked is the header, and what that asks for. */

#define RESNET_SMALL
#define RESNET_NO_STDIO
#define RESNET_NO_THREADS
#define RESNET_ASSERT(condition) ((void)0)
#define RESNET_KINDS                                                                    \
    (1 << RN_INPUT | 1 << RN_CONV2D | 1 << RN_BATCH_NORM | 1 << RN_RELU | 1 << RN_ADD | \
     1 << RN_GLOBAL_AVG_POOL | 1 << RN_LINEAR)
#define RESNET_IMPLEMENTATION
#include "../../resnet.h"

#include "net.h"

#ifdef __cplusplus
extern "C" {
#endif
extern const float weights[], statistics[], image[];
extern float logits[CLASSES];
extern size_t net_bytes[3];
int predict(void);
#ifdef __cplusplus
}
#endif

/* In all a board with 200 KB has, less 4 KB of stack and a little for others. */
#ifndef MEMORY_BYTES
#define MEMORY_BYTES (192 << 10)
#endif
static union memory {
    char bytes[MEMORY_BYTES];
    double aligned;
} memory;
float logits[CLASSES];
/* Struct, nodes, operations and plans; values; workspace. */
size_t net_bytes[3];

int predict(void) {
    const rn_desc desc = net_description();
    rn_memory where = {NULL, 0, NULL, NULL, NULL};
    rn_net *net;
    where.buffer = memory.bytes;
    where.bytes = sizeof memory.bytes;
    net = rn_create_over(&desc, 1, weights, statistics, &where, NULL);
    if (!net) return 1;
    net_bytes[1] = net->executor->activation_bytes[RN_INFERENCE];
    net_bytes[2] = net->executor->workspace_bytes[RN_INFERENCE];
    net_bytes[0] = net->bytes - net_bytes[1] - net_bytes[2];
    return rn_predict(net, rn_workspace(net), image, 1, logits, NULL) != RN_OK;
}

int main(void) { return predict(); }
