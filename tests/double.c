/* double.c - a checkpoint of a double build holds every bit: a run that is resumed goes on as one
   that was never interrupted, and ends in other bits if the numbers had gone through float. */

#define RESNET_REAL double
#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"
#include "nets.h"

#include "disk.h"

enum { IMAGES = 4 };

static void step(rn_net *net, const net_batch *batch) {
    CHECK_INT(rn_train_step(net, batch->images, batch->labels, IMAGES, 0.1, NULL, NULL), RN_OK);
}

static int same_bits(const rn_net *a, const rn_net *b) {
    const size_t bytes = (size_t)a->parameter_count * sizeof(rn_real);
    return !memcmp(a->parameters, b->parameters, bytes) &&
           !memcmp(a->velocity, b->velocity, bytes) &&
           !memcmp(a->statistics, b->statistics, (size_t)a->statistic_count * sizeof(rn_real));
}

int main(void) {
    rn_desc desc =
        net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_A, RN_STEM_CIFAR);
    net_batch batch;
    rn_net *net, *resumed, *rounded;
    rn_error error = {RN_OK, ""};
    const rn_files *files;
    static disk d;
    ptrdiff_t i;
    files = disk_init(&d);
    CHECK_INT(rn_resolve(&desc, NULL), RN_OK);
    batch = net_draw_batch(&desc, IMAGES, 1);
    net = net_create(&desc, IMAGES, RN_TRAINING);
    resumed = net_create(&desc, IMAGES, RN_TRAINING);
    rounded = net_create(&desc, IMAGES, RN_TRAINING);
    if (!net || !resumed || !rounded) return 1;
    step(net, &batch);
    CHECK_INT(rn_save_checkpoint(net, "double.safetensors", files, &error), RN_OK);
    CHECK_INT(rn_load(resumed, "double.safetensors", files, &error), RN_OK);
    CHECK(same_bits(net, resumed));
    for (i = 0; i < net->parameter_count; i++) rounded->parameters[i] = (float)net->parameters[i];
    CHECK(memcmp(net->parameters, rounded->parameters,
                 (size_t)net->parameter_count * sizeof(rn_real)) !=
          0); /* bits that a float lacks */
    step(net, &batch);
    step(resumed, &batch);
    CHECK(same_bits(net, resumed));
    /* Weights alone are floats, and load into either. */
    CHECK_INT(rn_save(net, "double.safetensors", files, &error), RN_OK);
    CHECK_INT(rn_load(rounded, "double.safetensors", files, &error), RN_OK);
    for (i = 0; i < net->parameter_count; i++)
        CHECK(fabs(rounded->parameters[i] - (float)net->parameters[i]) <= 0);
    rn_destroy(net), rn_destroy(resumed), rn_destroy(rounded);
    net_free_batch(&batch);
    disk_free(&d);
    return test_end("double");
}
