/* finetune.c - a net that was trained on a computer learns new classes on the device, in 64 KB of
   RAM: its last stage and classifier train, from pictures in flash; the rest stays as it is.

   make -C examples/mcu finetune        on a Cortex-M4, by QEMU
   make -C examples/mcu finetune-m7     on a Cortex-M7

   The trunk was trained on five classes of clothes (flash.c does it, in seconds), the device learns
   the five others. Words that it takes: steps=100, and test=100 pictures before and after. */

#include "device.h"
#include "new_pictures.h"
#include "trunk.h"

enum { BATCH = 4, BOARD_ARENA = 48 * 1024 };

static char arena[BOARD_ARENA] __attribute__((aligned(64)));
static rn_real images[BATCH * PICTURE_SIZE * PICTURE_SIZE];

/* The net of the file, but that its last stage alone trains. The naive execution keeps values and
   weights as they are, where the fast one fills all up to blocks of 16 channels, which takes too
   much of 64 KB; it sums in double, for which a Cortex-M4 needs many instructions. */
static rn_net *make_net(const rn_files *files) {
    rn_memory memory = {arena, sizeof arena, NULL, NULL, NULL};
    rn_error error;
    rn_desc desc;
    rn_net *net;
    check(rn_load_desc(&desc, "the trunk", files, &error), &error);
    desc.classes = CLASSES;
    desc.frozen_below = 3;
    desc.micro_batch = 1;
    desc.naive = 1;
    desc.budget = sizeof arena;
    net = rn_create(&desc, BATCH, RN_TRAINING, &memory, &error);
    if (!net) fail(error.text);
    check(rn_load_trunk(net, "the trunk", files, &error), &error);
    return net;
}

/* One step, on the next pictures of a shuffled epoch. */
static void train_step(rn_net *net, const rn_source *source, uint64_t steps, progress *p) {
    const rn_augment shuffled = {0, 0};
    const uint64_t start = board_instructions(), an_epoch = (uint64_t)source->count / BATCH;
    const double rate = rn_learning_rate(&net->schedule, net->step);
    const ptrdiff_t first = (ptrdiff_t)(net->step % an_epoch) * BATCH;
    rn_result result = {0, 0};
    rn_error error;
    int labels[BATCH];
    check(rn_batch(source, &net->desc, &shuffled, net->step / an_epoch, first, BATCH, images,
                   labels, &error),
          &error);
    check(rn_train_step(net, images, labels, BATCH, rate, &result, &error), &error);
    write_step(p, net->step, steps, result.loss, board_instructions() - start);
}

int main(int argc, char **argv) {
    static pictures training = {TRAIN_COUNT, PICTURE_SIZE, CLASSES, train_pixels, train_labels};
    static pictures testing = {TEST_COUNT, PICTURE_SIZE, CLASSES, test_pixels, test_labels};
    rn_mapping trunk = {trunk_file, sizeof trunk_file};
    const rn_files files = rn_files_in_memory(&trunk);
    const rn_source source = source_of(&training);
    uint64_t steps = 100, count = TEST_COUNT / 2;
    progress p = {0, 0};
    rn_source test;
    rn_net *net;
    for (int i = 1; i < argc; i++)
        if (!has_number(argv[i], "steps", &steps) && !has_number(argv[i], "test", &count))
            fail("it takes steps= and test=");
    if (count > TEST_COUNT) fail("test= is at most all pictures");
    testing.count = (int)count;
    test = source_of(&testing);
    board_paint_stack();
    net = make_net(&files);
    net->schedule = rn_make_schedule(RN_ONE_CYCLE, 0.05, steps);
    if (count) write_accuracy("before", count_right(net, &test, images), test.count);
    while (net->step < steps) train_step(net, &source, steps, &p);
    if (count) write_accuracy("after", count_right(net, &test, images), test.count);
    write_count("checksum of the parameters: ", (int64_t)(checksum(net) >> 1));
    board_write("\n");
    write_memory(net, sizeof arena, sizeof images);
    return 0;
}
