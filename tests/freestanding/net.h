/* net.h - the net of this test: ResNet-8 as MLPerf Tiny has it. Behind #include "resnet.h". */

#ifndef NET_H
#define NET_H

enum { CLASSES = 10, PIXELS = 3 * 32 * 32 };

static rn_desc net_description(void) {
    rn_desc desc = rn_cifar(8);
    desc.order = RN_ORIGINAL;
    desc.resize = RN_RESIZE_B;
    desc.padding = RN_PADDING_SAME;
    desc.conv_bias = 1;
    desc.bn_eps = 1e-3;
    return desc;
}

#endif /* NET_H */
