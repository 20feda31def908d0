/* same_bits.c - do nets still compute the same bits? A table of small nets of every kind, each
   trained for some steps and asked for predictions: a line for each net and instruction set, with
   checksums of what training left and of the predictions. For changes to the header that must not
   change a bit: print the table before, compare with it afterwards, by the same compiler and flags
   and on the same machine.

   cc -std=c99 -O2 -fopenmp -o same_bits tests/same_bits.c -lm -lpthread
   ./same_bits --print > table  before the change
   ./same_bits table            after it: names the nets that differ

   In any case it checks what the header promises of bits without knowing them: they are the same
   for one and two threads, in parts of the batch and under a budget, for frozen weights, for
   images that come one by one, and when all is done again. */

#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"

#include "nets.h"

#ifdef REDUCED
enum { EVERY = 17, ALL_ISAS = 0 };
#else
enum { EVERY = 1, ALL_ISAS = 1 };
#endif

/* ---- the nets -------------------------------------------------------------------------------- */

typedef struct net_case {
    const char *name;
    const char *twin; /* a net above with the same bits; NULL: none */
    int batch;
    int budget;          /* in percent of the bytes that the net takes without one; 0: none */
    const char *options; /* keys and values, see rn_desc_set; the others as desc_of has them */
} net_case;

/* With 16 x 16 pixels the 3x3 convolutions of stride 1 go through Winograd's transforms, with 8 x 8
   those of the first stage. Wide is where the weights are more than the images. */
static const net_case cases[] = {
    /* orders and blocks */
    {"full_preact_basic", NULL, 7, 0, ""},
    {"full_preact_bottleneck", NULL, 7, 0, "block bottleneck"},
    {"full_preact_single", NULL, 7, 0, "block single"},
    {"original_basic", NULL, 7, 0, "order original"},
    {"original_bottleneck", NULL, 7, 0, "order original block bottleneck"},
    {"original_single", NULL, 7, 0, "order original block single"},
    {"bn_after_add_basic", NULL, 7, 0, "order bn_after_add"},
    {"bn_after_add_bottleneck", NULL, 7, 0, "order bn_after_add block bottleneck"},
    {"relu_before_add_basic", NULL, 7, 0, "order relu_before_add"},
    {"relu_before_add_bottleneck", NULL, 7, 0, "order relu_before_add block bottleneck"},
    {"relu_preact_basic", NULL, 7, 0, "order relu_preact"},
    {"relu_preact_bottleneck", NULL, 7, 0, "order relu_preact block bottleneck"},
    /* stem of ImageNet */
    {"imagenet_full_preact", NULL, 5, 0, "stem imagenet height 67 width 65"},
    {"imagenet_original", NULL, 5, 0,
     "stem imagenet height 45 width 43 order original block bottleneck units 1,1,1,1"},
    {"imagenet_bn_after_add", NULL, 5, 0, "stem imagenet height 45 width 43 order bn_after_add"},
    {"imagenet_relu_before_add", NULL, 5, 0,
     "stem imagenet height 45 width 43 order relu_before_add"},
    {"imagenet_relu_preact", NULL, 5, 0,
     "stem imagenet height 45 width 43 order relu_preact block bottleneck"},
    /* shortcuts */
    {"scale_original", NULL, 7, 0, "shortcut scale order original"},
    {"scale_preact", NULL, 7, 0, "shortcut scale residual_scale 1"},
    {"plain", NULL, 7, 0, "shortcut scale shortcut_scale 0 residual_scale 1 order original"},
    {"exclusive_gate_original", NULL, 7, 0, "shortcut exclusive_gate order original"},
    {"exclusive_gate_preact", NULL, 7, 0, "shortcut exclusive_gate block bottleneck"},
    {"shortcut_gate_original", NULL, 7, 0, "shortcut shortcut_gate order original"},
    {"shortcut_gate_relu_preact", NULL, 7, 0, "shortcut shortcut_gate order relu_preact"},
    {"highway_original", NULL, 7, 0, "shortcut highway order original block bottleneck"},
    {"highway_bn_after_add", NULL, 7, 0, "shortcut highway order bn_after_add"},
    {"conv1x1_original", NULL, 7, 0, "shortcut conv1x1 order original"},
    {"conv1x1_preact", NULL, 7, 0, "shortcut conv1x1 block single"},
    {"dropout_original", NULL, 7, 0, "shortcut dropout order original"},
    {"dropout_relu_before_add", NULL, 7, 0,
     "shortcut dropout dropout 0.3 order relu_before_add block bottleneck seed 5"},
    /* resizes */
    {"resize_A", NULL, 7, 0, "resize A order original block bottleneck height 13 width 11"},
    {"resize_A_centred", NULL, 7, 0, "resize A_centred units 1,1,1"},
    {"resize_B", NULL, 7, 0, "resize B order original units 1,1,1"},
    {"resize_B_bn", NULL, 7, 0, "resize B_bn order original block single"},
    {"resize_D", NULL, 7, 0, "resize D units 1,1,1 height 13 width 11"},
    {"resize_D_bn", NULL, 7, 0, "resize D_bn order original block bottleneck stride_on 3x3"},
    {"padding_same", NULL, 7, 0, "padding same order original resize B_bn"},
    {"padding_same_imagenet", NULL, 6, 0, "padding same stem imagenet height 48 width 32 resize D"},
    {"resize_B_bn_preact", NULL, 7, 0, "resize B_bn block bottleneck stride_on 3x3"},
    /* sizes */
    {"odd", NULL, 3, 0, "base_width 5 channels 3 height 7 width 6 order original"},
    {"narrow", NULL, 9, 0, "base_width 1 channels 1 height 9 width 20"},
    {"high", NULL, 2, 0, "height 90 width 33 order bn_after_add units 1,1"},
    {"resnet_14", NULL, 2, 0, "base_width 16 channels 3 height 32 width 32 units 2,2,2 classes 10"},
    {"many_classes", NULL, 6, 0, "classes 700 units 1 block single"},
    {"batch_40_basic", NULL, 40, 0, "base_width 16"},
    {"batch_40_bottleneck", NULL, 40, 0, "base_width 16 order original block bottleneck"},
    /* options of training */
    {"class_weights", NULL, 7, 0, "label_smoothing 0.1"},
    {"nesterov", NULL, 7, 0, "sgd nesterov init fan_in decay_scope weights"},
    {"caffe", NULL, 7, 0, "sgd caffe order original stride_on 3x3 block bottleneck"},
    {"no_momentum", NULL, 7, 0, "momentum 0 weight_decay 0 bn_eps 1e-3 bn_momentum 0.01"},
    {"groups_3", NULL, 7, 0, "bn_group 3 order original"},
    {"groups_2_preact", NULL, 7, 0, "bn_group 2 block bottleneck"},
    {"direct", NULL, 7, 0, "direct 1"},
    {"direct_original", NULL, 7, 0, "direct 1 order original shortcut highway"},
    /* parts of a batch, and budgets */
    {"groups_16", NULL, 38, 0, "bn_group 16 order original units 3,1"},
    {"micro_16", "groups_16", 38, 0, "bn_group 16 micro_batch 16 order original units 3,1"},
    {"micro_32", "groups_16", 38, 0, "bn_group 16 micro_batch 32 order original units 3,1"},
    {"micro_16_budget", "groups_16", 38, 90, "bn_group 16 micro_batch 16 order original units 3,1"},
    {"micro_4", NULL, 10, 0, "micro_batch 4"},
    {"micro_dropout", NULL, 10, 0, "micro_batch 4 shortcut dropout"},
    {"deep", NULL, 16, 0, "units 4,4 block bottleneck"},
    {"deep_budget", "deep", 16, 90, "units 4,4 block bottleneck"},
    {"deep_small_budget", "deep", 16, 65, "units 4,4 block bottleneck"},
    {"highway_deep", NULL, 16, 0, "units 3,3 order original shortcut highway"},
    {"highway_budget", "highway_deep", 16, 70, "units 3,3 order original shortcut highway"},
    {"imagenet_budget", "imagenet_full_preact", 5, 97, "stem imagenet height 67 width 65"},
    /* units that are left out */
    {"depth", NULL, 38, 0, "bn_group 16 stochastic_depth 0.8 units 3,2"},
    {"depth_micro_16", "depth", 38, 0, "bn_group 16 micro_batch 16 stochastic_depth 0.8 units 3,2"},
    {"depth_budget", "depth", 38, 85, "bn_group 16 stochastic_depth 0.8 units 3,2"},
    {"depth_original", NULL, 7, 0,
     "stochastic_depth 0.8 units 3,2 order original shortcut highway block bottleneck"},
    {"depth_biases", NULL, 7, 0,
     "stochastic_depth 0.8 conv_bias 1 norm group_norm weight_standardisation 1"},
    /* group normalisation and EvoNorm-S0: nothing in them depends on other images */
    {"gn_preact", NULL, 38, 0, "norm group_norm norm_groups 4"},
    {"gn_micro_16", "gn_preact", 38, 0, "norm group_norm norm_groups 4 micro_batch 16"},
    {"gn_micro_32", "gn_preact", 38, 0, "norm group_norm norm_groups 4 micro_batch 32"},
    {"gn_micro_16_budget", "gn_preact", 38, 95, "norm group_norm norm_groups 4 micro_batch 16"},
    {"gn_one_group", NULL, 7, 0, "norm group_norm norm_groups 1 order original resize B_bn"},
    {"gn_single_channels", NULL, 7, 0, "norm group_norm norm_groups 12 order bn_after_add"},
    {"gn_groups_of_20", NULL, 7, 0, "norm group_norm norm_groups 2 base_width 40 block bottleneck"},
    {"gn_relu_before_add", NULL, 7, 0, "norm group_norm order relu_before_add shortcut highway"},
    {"gn_relu_preact", NULL, 7, 0, "norm group_norm order relu_preact height 13 width 11"},
    {"evos_preact", NULL, 38, 0, "norm evonorm_s0 norm_groups 4 block bottleneck"},
    {"evos_micro_16", "evos_preact", 38, 0,
     "norm evonorm_s0 norm_groups 4 block bottleneck micro_batch 16"},
    {"evos_bn_after_add", NULL, 7, 0, "norm evonorm_s0 norm_groups 12 order bn_after_add"},
    {"evos_relu_before_add", NULL, 7, 0,
     "norm evonorm_s0 norm_groups 1 order relu_before_add shortcut exclusive_gate"},
    /* standardised weights */
    {"ws_preact", NULL, 7, 0, "weight_standardisation 1"},
    {"ws_original", NULL, 38, 0,
     "weight_standardisation 1 order original block bottleneck bn_group 16"},
    {"ws_micro_16", "ws_original", 38, 0,
     "weight_standardisation 1 order original block bottleneck bn_group 16 micro_batch 16"},
    {"ws_gn_gates", NULL, 7, 0, "weight_standardisation 1 norm group_norm shortcut shortcut_gate"},
    {"ws_direct", NULL, 7, 0,
     "weight_standardisation 1 direct 1 conv_bias 1 order relu_before_add"},
    /* stems, tails and widths */
    {"deep_stem", NULL, 5, 0, "stem deep height 45 width 43 resize D"},
    {"deep_bare_evos", NULL, 18, 0,
     "stem deep bare_stem 1 height 45 width 43 norm evonorm_s0 norm_groups 3 always_project 1"},
    {"deep_bare_micro", "deep_bare_evos", 18, 0,
     "stem deep bare_stem 1 height 45 width 43 norm evonorm_s0 norm_groups 3 always_project 1 "
     "micro_batch 16"},
    {"bit_stem", NULL, 5, 0,
     "stem bit height 45 width 43 weight_standardisation 1 norm group_norm raw_identity 1 "
     "always_project 1 block bottleneck stride_on 3x3"},
    {"bit_stem_original", NULL, 5, 0, "stem bit height 44 width 43 order original"},
    {"bare_imagenet", NULL, 5, 0, "stem imagenet bare_stem 1 height 45 width 43 raw_identity 1"},
    {"bare_tail", NULL, 7, 0, "bare_tail 1 conv_bias 1 always_project 1"},
    {"widths", NULL, 7, 0, "stem_width 17 widths 9,20 outputs 33,12 resize B order original"},
    {"widths_bottleneck", NULL, 7, 0, "stem_width 8 widths 16,4 outputs 48,20 block bottleneck"},
    /* wide */
    {"wide_176", NULL, 18, 0, "base_width 176 height 8 width 8 units 1"},
    {"wide_256_single", NULL, 3, 0,
     "base_width 256 height 8 width 8 units 1 block single order original"},
    {"wide_128_direct", NULL, 5, 0, "base_width 128 height 8 width 8 units 1,1 direct 1"},
    {"wide_bottleneck", NULL, 10, 0,
     "base_width 48 height 8 width 8 units 1,1 block bottleneck order original"},
    /* naive */
    {"naive_basic", NULL, 3, 0, "naive 1 base_width 4 height 8 width 8"},
    {"naive_gates", NULL, 3, 0,
     "naive 1 base_width 4 height 8 width 7 order original shortcut highway"},
    {"naive_imagenet", NULL, 3, 0,
     "naive 1 base_width 3 stem imagenet height 21 width 19 order bn_after_add resize B_bn"},
    {"naive_dropout", NULL, 3, 0,
     "naive 1 base_width 3 height 8 width 8 shortcut dropout block bottleneck bn_group 2"},
    {"naive_scale", NULL, 3, 0,
     "naive 1 base_width 3 height 8 width 8 shortcut scale order relu_preact resize A_centred"},
    {"naive_gn", NULL, 3, 0,
     "naive 1 base_width 4 height 8 width 8 norm group_norm weight_standardisation 1"},
    {"naive_evos", NULL, 3, 0,
     "naive 1 base_width 4 stem bit height 21 width 19 norm evonorm_s0 norm_groups 2"},
    {"naive_budget", "naive_basic", 3, 90, "naive 1 base_width 4 height 8 width 8"},
};
enum { CASES = (int)(sizeof cases / sizeof cases[0]) };

static rn_desc desc_of(const net_case *c) {
    rn_desc desc =
        net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, RN_STEM_CIFAR);
    desc.base_width = 12;
    desc.height = desc.width = 16;
    if (strstr(c->options, "units")) memset(desc.units, 0, sizeof desc.units);
    net_options(&desc, c->options);
    return desc;
}

/* Together the nets have every value of these. */
static void check_coverage(void) {
    int order = 0, block = 0, shortcut = 0, resize = 0, stem = 0, sgd = 0, norm = 0, i;
    for (i = 0; i < CASES; i++) {
        const rn_desc desc = desc_of(&cases[i]);
        order |= 1 << desc.order;
        block |= 1 << desc.block;
        shortcut |= 1 << desc.shortcut;
        resize |= 1 << desc.resize;
        stem |= 1 << desc.stem;
        norm |= 1 << desc.norm;
        sgd |= 1 << desc.sgd;
    }
    CHECK_INT(order, (1 << ORDERS) - 1);
    CHECK_INT(block, (1 << BLOCKS) - 1 - (1 << RN_BLOCK_AUTO));
    CHECK_INT(shortcut, (1 << SHORTCUTS) - 1);
    CHECK_INT(resize, (1 << RESIZES) - 1);
    CHECK_INT(stem, (1 << STEMS) - 1);
    CHECK_INT(norm, 1 << RN_NORM_BATCH | 1 << RN_NORM_GROUP | 1 << RN_NORM_EVONORM_S0);
    CHECK_INT(sgd, 1 << RN_SGD_TORCH | 1 << RN_SGD_NESTEROV | 1 << RN_SGD_CAFFE);
}

/* ---- checksums ------------------------------------------------------------------------------- */

typedef struct checksums {
    uint64_t trained;   /* of losses, parameters, gradients, velocity and running statistics */
    uint64_t predicted; /* of logits, by nets made for training and for inference, and frozen */
} checksums;

/* FNV-1a, 64 bits: continues `sum`, which starts as FNV_START. */
static const uint64_t FNV_START = 0xcbf29ce484222325u, FNV_PRIME = 0x100000001b3u;

static uint64_t add_bytes(uint64_t sum, const void *data, size_t count) {
    const unsigned char *bytes = (const unsigned char *)data;
    size_t i;
    for (i = 0; i < count; i++) sum = (sum ^ bytes[i]) * FNV_PRIME;
    return sum;
}

static uint64_t add_numbers(uint64_t sum, const rn_real *numbers, ptrdiff_t count) {
    return add_bytes(sum, numbers, (size_t)count * sizeof *numbers);
}

static int same_checksums(checksums a, checksums b) {
    return a.trained == b.trained && a.predicted == b.predicted;
}

/* ---- running a net --------------------------------------------------------------------------- */

enum { STEPS = 5 };

static const rn_real class_weights[4] = {1, 0.5f, 0, 3};

/* A check of a net of the table, which is named if it fails. */
static void check_case(const net_case *c, int passed, int line, const char *what) {
    if (test_failed(passed, __FILE__, line)) fprintf(stderr, "%s: %s\n", c->name, what);
}

/* Images and labels of a step, without libm. */
static void draw_batch(const rn_desc *desc, int count, int step, net_batch *batch) {
    rn_key key = {7, 99, 0};
    ptrdiff_t i, numbers = net_image_count(desc, count);
    key.epoch = (uint64_t)step;
    for (i = 0; i < numbers; i++)
        batch->images[i] = (rn_real)(3 * rn_uniform(key, (uint64_t)i) - 1.5);
    for (i = 0; i < count; i++)
        batch->labels[i] = (int)(rn_random(key, (uint64_t)(numbers + i)) % (uint64_t)desc->classes);
}

static int is_repeated(const rn_net *net) {
    int i, repeated = 0;
    for (i = 0; i < net->executor->count; i++) repeated |= net->executor->operations[i].again;
    return repeated;
}

/* Trains, the third step with fewer images than the others. */
static uint64_t train(const net_case *c, rn_net *net, net_batch *batch) {
    uint64_t sum = FNV_START;
    int step;
    if (net->desc.label_smoothing > 0) net->class_weights = class_weights;
    for (step = 0; step < STEPS; step++) {
        const int count = c->batch - (step == 2 ? c->batch / 3 : 0);
        rn_result result = {0, 0};
        rn_error error = {RN_OK, ""};
        draw_batch(&net->desc, count, step, batch);
        check_case(c,
                   !rn_train_step(net, batch->images, batch->labels, count, 0.05, &result, &error),
                   __LINE__, error.text);
        sum = add_bytes(sum, &result.loss, sizeof result.loss);
        sum = add_bytes(sum, &result.correct, sizeof result.correct);
    }
    sum = add_numbers(sum, net->logits, (ptrdiff_t)c->batch * net->desc.classes);
    sum = add_numbers(sum, net->gradients, net->parameter_count);
    sum = add_numbers(sum, net->parameters, net->parameter_count);
    sum = add_numbers(sum, net->velocity, net->parameter_count);
    return add_numbers(sum, net->statistics, net->statistic_count);
}

/* Logits of `count` images, `at_once` of them in a call. */
static void predict(const net_case *c, rn_net *net, const rn_real *images, int count, int at_once,
                    rn_real *logits) {
    int first;
    for (first = 0; first < count; first += at_once) {
        const rn_real *from = images + net_image_count(&net->desc, first);
        rn_error error = {RN_OK, ""};
        check_case(c,
                   !rn_predict(net, rn_workspace(net), from, rn__min(at_once, count - first),
                               logits + (ptrdiff_t)first * net->desc.classes, &error),
                   __LINE__, error.text);
    }
}

/* A net for inference with what another has learned. */
static rn_net *copy_for_inference(const rn_net *net) {
    rn_net *copy = net_create(&net->desc, net->batch, RN_INFERENCE);
    if (!copy) exit(test_end("same_bits"));
    memcpy(copy->parameters, net->parameters, (size_t)net->parameter_count * sizeof(rn_real));
    memcpy(copy->statistics, net->statistics, (size_t)net->statistic_count * sizeof(rn_real));
    return copy;
}

/* Predictions for a whole batch, of the net, of one for inference, and of that one frozen; this
   gets two images one by one, too. */
static uint64_t predict_all(const net_case *c, rn_net *net, const net_batch *batch) {
    const ptrdiff_t classes = net->desc.classes, count = c->batch * classes;
    rn_real *logits = (rn_real *)net_take((size_t)(3 * count) * sizeof(rn_real));
    rn_real *single = (rn_real *)net_take((size_t)(2 * classes) * sizeof(rn_real));
    rn_net *inference = copy_for_inference(net);
    const size_t bytes = (size_t)count * sizeof(rn_real);
    uint64_t sum;
    predict(c, net, batch->images, c->batch, c->batch, logits);
    predict(c, inference, batch->images, c->batch, c->batch, logits + count);
    CHECK_INT(rn_freeze(inference, NULL, NULL), RN_OK);
    predict(c, inference, batch->images, c->batch, c->batch, logits + 2 * count);
    predict(c, inference, batch->images, 2, 1, single);
    check_case(c, !memcmp(logits, logits + count, bytes), __LINE__, "other bits for inference");
    check_case(c, !memcmp(logits + count, logits + 2 * count, bytes), __LINE__,
               "other bits when frozen");
    check_case(c, !memcmp(logits, single, (size_t)(2 * classes) * sizeof(rn_real)), __LINE__,
               "other bits image by image");
    sum = add_numbers(add_numbers(FNV_START, logits, 3 * count), single, 2 * classes);
    rn_destroy(inference);
    free(logits);
    free(single);
    return sum;
}

/* Creates, trains and asks a net of the table. */
static checksums run(const net_case *c, rn_isa isa, int threads) {
    rn_desc desc = desc_of(c);
    checksums sums;
    net_batch batch;
    rn_net *net;
    desc.isa = isa;
    desc.threads = threads;
    desc.budget = rn_bytes(&desc, c->batch, RN_TRAINING, NULL) / 100 * (uint64_t)c->budget;
    net = net_create(&desc, c->batch, RN_TRAINING);
    if (!net) exit(test_end("same_bits"));
    check_case(c, is_repeated(net) == (c->budget > 0), __LINE__,
               "its budget makes it repeat nothing");
    batch = net_draw_batch(&net->desc, c->batch, 0);
    sums.trained = train(c, net, &batch);
    sums.predicted = predict_all(c, net, &batch);
    net_free_batch(&batch);
    rn_destroy(net);
    return sums;
}

/* ---- the table ------------------------------------------------------------------------------- */

typedef struct table_line {
    char name[32], isa[16];
    checksums sums;
    int met; /* of an earlier table: 1 if made again */
} table_line;

enum { MOST_LINES = CASES * ISAS };

typedef struct table {
    table_line lines[MOST_LINES];
    int count;
} table;

/* NULL if there is no such line. */
static table_line *find_line(table *t, const char *name, const char *isa) {
    int i;
    for (i = 0; i < t->count; i++)
        if (!strcmp(t->lines[i].name, name) && !strcmp(t->lines[i].isa, isa)) return &t->lines[i];
    return NULL;
}

static void write_line(const table_line *line) {
    printf("%-27s %-8s %08lx%08lx %08lx%08lx\n", line->name, line->isa,
           (unsigned long)(line->sums.trained >> 32), (unsigned long)(uint32_t)line->sums.trained,
           (unsigned long)(line->sums.predicted >> 32),
           (unsigned long)(uint32_t)line->sums.predicted);
    fflush(stdout);
}

/* 1 if the text is a line of a table. */
static int read_line(const char *text, table_line *line) {
    unsigned long numbers[4];
    line->met = 0;
    if (sscanf(text, "%31s %15s %8lx%8lx %8lx%8lx", line->name, line->isa, &numbers[0], &numbers[1],
               &numbers[2], &numbers[3]) != 6)
        return 0;
    line->sums.trained = (uint64_t)numbers[0] << 32 | numbers[1];
    line->sums.predicted = (uint64_t)numbers[2] << 32 | numbers[3];
    return 1;
}

static void read_table(const char *path, table *t) {
    char text[256];
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    while (t->count < MOST_LINES && fgets(text, sizeof text, file))
        t->count += read_line(text, &t->lines[t->count]);
    fclose(file);
}

/* A line of a net for one instruction set, by one thread and by two. */
static void make_line(const net_case *c, rn_isa isa, const char *isa_name, table *made) {
    table_line *line = &made->lines[made->count], *twin;
    strcpy(line->name, c->name);
    strcpy(line->isa, isa_name);
    line->sums = run(c, isa, 1);
    check_case(c, same_checksums(line->sums, run(c, isa, 2)), __LINE__, "other bits of 2 threads");
    twin = c->twin ? find_line(made, c->twin, isa_name) : NULL;
    check_case(c, !twin || same_checksums(line->sums, twin->sums), __LINE__,
               "other bits than its twin");
    check_case(c, twin || !c->twin || EVERY > 1, __LINE__, "no twin above it");
    made->count++;
}

/* "portable", as in descriptions. */
static void name_isa(rn_isa isa, char name[96]) {
    rn_desc desc = rn_cifar(8);
    int i;
    desc.isa = isa;
    for (i = 0; rn_desc_key(i); i++)
        if (!strcmp(rn_desc_key(i), "isa")) rn_desc_get(&desc, i, name);
}

static int has_isa(rn_isa isa) {
    rn_desc desc = rn_cifar(8);
    desc.isa = isa;
    return rn_bytes(&desc, 1, RN_INFERENCE, NULL) > 0;
}

/* The lines of a net: one for each instruction set, of which a naive one knows nothing. */
static void make_lines(const net_case *c, table *made) {
    const int naive = desc_of(c).naive;
    char name[96];
    int isa;
    for (isa = ISAS - 1; isa > RN_ISA_AUTO; isa--) {
        if (!has_isa((rn_isa)isa)) continue;
        name_isa((rn_isa)isa, name);
        make_line(c, (rn_isa)isa, naive ? "naive" : name, made);
        if (naive || !ALL_ISAS) return;
    }
}

/* Names what is not the same in both tables. */
static int compare_tables(const table *made, table *earlier) {
    int i, differences = 0;
    for (i = 0; i < made->count; i++) {
        const table_line *line = &made->lines[i];
        table_line *old = find_line(earlier, line->name, line->isa);
        if (old) old->met = 1;
        if (old && same_checksums(old->sums, line->sums)) continue;
        printf("%s %s: %s\n", line->name, line->isa,
               !old                                      ? "not in the earlier table"
               : old->sums.trained != line->sums.trained ? "training differs"
                                                         : "predictions differ");
        differences++;
    }
    for (i = 0; i < earlier->count; i++) {
        if (earlier->lines[i].met) continue;
        printf("%s %s: only in the earlier table\n", earlier->lines[i].name, earlier->lines[i].isa);
        differences++;
    }
    return differences;
}

int main(int argc, char **argv) {
    static table made, earlier;
    const int prints = argc == 2 && !strcmp(argv[1], "--print"), compares = argc == 2 && !prints;
    int i, before;
    if (argc > 2 || (compares && argv[1][0] == '-')) {
        printf("usage: %s [--print | TABLE]\n"
               "Prints a table of checksums, or compares with an earlier one.\n",
               argv[0]);
        return 2;
    }
    if (compares) read_table(argv[1], &earlier);
    check_coverage();
    for (i = 0; i < CASES; i += EVERY) {
        before = made.count;
        make_lines(&cases[i], &made);
        for (; prints && before < made.count; before++) write_line(&made.lines[before]);
    }
    CHECK(same_checksums(run(&cases[0], RN_ISA_AUTO, 1), made.lines[0].sums)); /* once more */
    if (compares) CHECK_INT(compare_tables(&made, &earlier), 0);
    return test_end("same_bits");
}
