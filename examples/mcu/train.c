/* train.c - a residual net learns on the device: from pictures in flash, by full backpropagation,
   in 256 KB of RAM. A power cut costs the steps since the last checkpoint and nothing else: the run
   that goes on gets to the same bits.

   make -C examples/mcu run        on a Cortex-M4, by QEMU
   make -C examples/mcu run-m7     on a Cortex-M7
   make -C examples/mcu pc         the same steps on your computer, whose losses are compared

   Words that it takes: steps=250 in all; save=50 steps from one checkpoint to the next; flash=FILE
   of the computer, which keeps the simulated flash while the device is off; cut=STEP behind which
   the power goes; cut_bytes=N: it goes when N bytes of flash have been erased or written; test=200
   pictures at the end. */

#include "device.h"
#include "pictures.h"
#include "store.h"

enum { BATCH = 4, BOARD_ARENA = 244 * 1024 };

/* All the memory that the net gets. It does not fit without a budget: the planner then drops values
   and computes them again. Pointers of 64 bits, on a computer, take some more. */
static char arena[BOARD_ARENA] __attribute__((aligned(64)));
static rn_real images[BATCH * PICTURE_SIZE * PICTURE_SIZE];

typedef struct options {
    uint64_t steps, save, cut, cut_bytes, test;
    const char *flash;
} options;

static options read_options(int count, char **words) {
    options o = {250, 50, 0, UINT64_MAX, TEST_COUNT, NULL};
    for (int i = 1; i < count; i++)
        if (!has_number(words[i], "steps", &o.steps) && !has_number(words[i], "save", &o.save) &&
            !has_number(words[i], "cut", &o.cut) && !has_number(words[i], "test", &o.test) &&
            !has_number(words[i], "cut_bytes", &o.cut_bytes) &&
            !has_text(words[i], "flash", &o.flash))
            fail("it takes steps=, save=, flash=, cut=, cut_bytes= and test=");
    if (o.flash && !*o.flash) o.flash = NULL;
    if (!o.save || o.test > TEST_COUNT) fail("save= is 1 or more, test= at most all pictures");
    return o;
}

/* Three units of two convolutions, with ReLU after the addition as in the first paper. Group norm,
   for a step sees its pictures one by one. */
static rn_desc describe(void) {
    rn_desc desc = rn_cifar(8);
    const int widths[3] = {8, 12, 16};
    for (int i = 0; i < 3; i++) desc.widths[i] = widths[i];
    desc.stem_width = 8;
    desc.order = RN_ORIGINAL;
    desc.norm = RN_NORM_GROUP;
    desc.norm_groups = 4;
    desc.channels = 1;
    desc.height = desc.width = PICTURE_SIZE;
    desc.classes = CLASSES;
    desc.mean[0] = PICTURE_MEAN;
    desc.deviation[0] = PICTURE_DEVIATION;
    desc.direct = 1; /* Winograd's algorithm takes four times the memory for weights */
    desc.micro_batch = 1;
    desc.budget = sizeof arena;
    return desc;
}

/* The newest checkpoint that is not damaged, if there is one. */
static void resume(rn_net *net, uint64_t steps) {
    rn_error error;
    while (rn_load(net, "the checkpoint", store_files(), &error)) {
        if (error.status != RN_BAD_FILE) fail(error.text);
        board_write(error.text);
        board_write("\n");
        if (!store_reject()) return;
    }
    if (net->schedule.steps != steps) fail("the checkpoint is of a run with another steps=");
    write_count("resumed behind step ", (int64_t)net->step);
    board_write("\n");
}

/* The next step, on the next pictures of a shuffled epoch. */
static void train_step(rn_net *net, const rn_source *source, const options *o, progress *p) {
    const rn_augment shuffled = {0, 0};
    const uint64_t start = board_instructions();
    rn_result result = {0, 0};
    rn_error error;
    int labels[BATCH];
    check(rn_batch(source, &net->desc, &shuffled, net->epoch, (ptrdiff_t)net->cursor, BATCH, images,
                   labels, &error),
          &error);
    check(rn_train_step(net, images, labels, BATCH, rn_learning_rate(&net->schedule, net->step),
                        &result, &error),
          &error);
    net->cursor += BATCH;
    if ((ptrdiff_t)net->cursor + BATCH > source->count) net->epoch++, net->cursor = 0;
    write_step(p, net->step, o->steps, result.loss, board_instructions() - start);
}

static void save(const rn_net *net) {
    rn_error error;
    check(rn_save_checkpoint(net, "the checkpoint", store_files(), &error), &error);
}

static void train(rn_net *net, const rn_source *source, const options *o) {
    progress p = {0, 0};
    while (net->step < o->steps) {
        train_step(net, source, o, &p);
        if (net->step == o->cut) {
            store_end();
            board_write("power cut\n");
            board_exit(75);
        }
        if (net->step % o->save == 0) save(net);
    }
}

int main(int argc, char **argv) {
    static pictures training = {TRAIN_COUNT, PICTURE_SIZE, CLASSES, train_pixels, train_labels};
    static pictures testing = {TEST_COUNT, PICTURE_SIZE, CLASSES, test_pixels, test_labels};
    const rn_source source = source_of(&training);
    rn_memory memory = {arena, sizeof arena, NULL, NULL, NULL};
    const options o = read_options(argc, argv);
    rn_desc desc = describe();
    rn_source test;
    rn_error error;
    rn_net *net;
    board_paint_stack();
    net = rn_create(&desc, BATCH, RN_TRAINING, &memory, &error);
    if (!net) fail(error.text);
    net->schedule = rn_make_schedule(RN_ONE_CYCLE, 0.05, o.steps);
    store_cut_after(o.cut_bytes);
    if (store_begin(o.flash)) resume(net, o.steps);
    train(net, &source, &o);
    store_end();
    testing.count = (int)o.test;
    test = source_of(&testing);
    if (o.test) write_accuracy("after", count_right(net, &test, images), test.count);
    write_count("checksum of the parameters: ", (int64_t)(checksum(net) >> 1));
    board_write("\n");
    write_memory(net, sizeof arena, sizeof images);
    return 0;
}
