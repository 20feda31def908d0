/* weights.c - makes the constants of smallest.c, on the computer: weights, running statistics and
   an image as C arrays in the file named, and the logits that the whole header computes, in
   millionths, on standard output. */

#define RESNET_IMPLEMENTATION
#include "../../resnet.h"
#include <stdio.h>

#include "net.h"

static void write_array(FILE *file, const char *name, const rn_real *numbers, ptrdiff_t count) {
    fprintf(file, "const float %s[%ld] = {\n", name, (long)count);
    for (ptrdiff_t i = 0; i < count; i++) fprintf(file, "%.9ef,\n", (double)numbers[i]);
    fprintf(file, "};\n");
}

/* As after a training: no number is what it began with. */
static void scatter(rn_net *net, rn_real *image) {
    const rn_key key = {8, 88, 0};
    rn_parameter p;
    memset(&p, 0, sizeof p);
    while (rn_next_parameter(net, &p))
        for (ptrdiff_t i = 0; i < p.count; i++) {
            const rn_real by = (rn_real)rn_uniform(key, (uint64_t)(p.data - net->parameters + i));
            p.data[i] += p.role == RN_CONV_WEIGHT ? 0 : (by - (rn_real)0.3) / 2;
        }
    for (int i = 0; i < PIXELS; i++) image[i] = (rn_real)rn_normal(key, 1000000 + (uint64_t)i);
}

int main(int argc, char **argv) {
    static rn_real image[PIXELS], logits[CLASSES];
    const rn_desc desc = net_description();
    rn_error error = {RN_OK, ""};
    FILE *file = argc > 1 ? fopen(argv[1], "w") : NULL;
    rn_net *net = rn_create(&desc, 1, RN_INFERENCE, NULL, &error);
    if (!file || !net) return fprintf(stderr, "weights: %s\n", error.text), 1;
    scatter(net, image);
    if (rn_predict(net, rn_workspace(net), image, 1, logits, &error))
        return fprintf(stderr, "weights: %s\n", error.text), 1;
    write_array(file, "weights", net->parameters, net->parameter_count);
    write_array(file, "statistics", net->statistics, net->statistic_count);
    write_array(file, "image", image, PIXELS);
    if (fclose(file)) return 1;
    for (int i = 0; i < CLASSES; i++) printf("logit %ld\n", (long)((double)logits[i] * 1e6));
    rn_destroy(net);
    return 0;
}
