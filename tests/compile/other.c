/* other.c - the other file that includes the header: only the declarations, or, where everything is
   static, an implementation of its own. */

#ifdef RESNET_STATIC
#define RESNET_IMPLEMENTATION
#endif
#include "../../resnet.h"

#include "other.h"

rn_desc other_desc(void) {
    rn_desc desc = rn_cifar(20);
    int i;
    for (i = 0; i < 3; i++) desc.units[i] = 1;
    desc.base_width = 5;
    desc.classes = 3;
    desc.channels = 2;
    desc.height = desc.width = 6;
    desc.threads = 2;
    return desc;
}

size_t other_bytes(const rn_desc *desc, int batch, const rn_memory *memory) {
#ifdef RESNET_NO_TRAIN
    return rn_bytes_in(desc, batch, RN_INFERENCE, memory, NULL);
#else
    return rn_bytes_in(desc, batch, RN_TRAINING, memory, NULL);
#endif
}

/* Numbers in all parameters and statistics. */
ptrdiff_t other_names(const rn_net *net) {
    ptrdiff_t count = 0;
    rn_parameter p;
    char *at = (char *)&p;
    size_t i;
    for (i = 0; i < sizeof p; i++) at[i] = 0;
    while (rn_next_parameter(net, &p)) count += p.count;
    return count;
}

/* A layer of level 2, and the convolution of the fast kernels where there are any. */
int other_layers(void) {
    rn_real x[2 * 4 * 4], w[3 * 2 * 3 * 3], y[3 * 4 * 4], z[3 * 4 * 4];
    rn_tensor input = rn_tensor_in(x, 1, 2, 4, 4), weight = rn_tensor_in(w, 3, 2, 3, 3);
    rn_tensor output = rn_tensor_in(y, 1, 3, 4, 4), fast = rn_tensor_in(z, 1, 3, 4, 4);
    static char workspace[1 << 18];
    char *aligned = workspace + (64 - (uintptr_t)workspace % 64) % 64;
    rn_error error;
    rn_status status;
    int i;
    for (i = 0; i < 2 * 4 * 4; i++) x[i] = (rn_real)(i % 5) - 2;
    for (i = 0; i < 3 * 2 * 3 * 3; i++) w[i] = (rn_real)(i % 7) - 3;
    if (rn_conv2d_naive_forward(&output, &input, &weight, NULL, 1, 1, &error)) return 20;
    if (rn_conv2d_bytes(&input, &weight, 1, 1, 1) > sizeof workspace / 2) return 21;
    status = rn_conv2d_forward(&fast, &input, &weight, NULL, 1, 1, RN_ISA_AUTO, 1, aligned,
                               (size_t)1 << 17, &error);
    if (sizeof(rn_real) != sizeof(float)) return status == RN_BAD_ARGUMENT ? 0 : 22;
    if (status) return 23;
    return rn_tensor_difference(fast, output) < 1e-5 ? 0 : 24;
}
