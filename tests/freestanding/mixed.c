/* mixed.c - two files of one program, compiled with different flags: that with the implementation
   says what it takes the structs to be, the other, which has main, makes a net. */

#include "../../resnet.h"

size_t there(int *order, const rn_desc *desc);

#ifdef RESNET_IMPLEMENTATION
size_t there(int *order, const rn_desc *desc) {
    *order = (int)desc->order;
    return sizeof(rn_desc) + 7 * sizeof(rn_node) + 31 * sizeof(rn_net) + 71 * sizeof(rn_parameter);
}
#else
int main(void) {
    int order = 0;
    rn_desc desc = rn_cifar(8);
    rn_net *net;
    desc.order = RN_RELU_PREACT;
    if (there(&order, &desc) != sizeof(rn_desc) + 7 * sizeof(rn_node) + 31 * sizeof(rn_net) +
                                    71 * sizeof(rn_parameter) ||
        order != 4)
        return 1;
    net = rn_create(&desc, 1, RN_INFERENCE, NULL, NULL);
    if (!net || net->nodes[1].kind != RN_CONV2D) return 2;
    rn_destroy(net);
    return 0;
}
#endif
