/* finetune.c - training with frozen stages, and loading all but the classifier. What is frozen
   stays to the bit, and takes no memory for gradients; what trains gets the gradients of a net that
   trains whole: for with a batch's own statistics as running ones, frozen batch norms compute what
   training ones do. Both executions, every order, shortcuts, norms; in parts, under a budget,
   resumed from a checkpoint. (tests/executors compares the executions of frozen nets node by node.)

   cc -std=c99 -O2 -fopenmp -o finetune tests/finetune.c -lm && ./finetune */

#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "disk.h"
#include "test.h"

#include "nets.h"

enum { BATCH = 6 };

static int same(const rn_real *a, const rn_real *b, ptrdiff_t count) {
    return !memcmp(a, b, (size_t)count * sizeof *a);
}

static rn_real *copy_of(const rn_real *data, ptrdiff_t count) {
    return (rn_real *)memcpy(net_take((size_t)count * sizeof *data), data,
                             (size_t)count * sizeof *data);
}

/* A net with numbers drawn, and a batch for it. */
static rn_net *draw(const rn_desc *desc, int batch, uint64_t seed, net_batch *images) {
    rn_net *net = net_create(desc, batch, RN_TRAINING);
    if (!net) exit(2);
    net_draw(net, seed);
    *images = net_draw_batch(&net->desc, batch, seed);
    return net;
}

static void step(rn_net *net, const net_batch *images, int count) {
    rn_error error = {RN_OK, ""};
    rn_train_step(net, images->images, images->labels, count, 0.05, NULL, &error);
    net_check(!error.status, __LINE__, &net->desc, error.text, error.status, 0);
}

/* ---- what stays and what has room ------------------------------------------------------------ */

/* Each parameter has a gradient or is frozen; what is frozen is as before, all else has changed. */
static void check_changes(const rn_net *net, const rn_real *parameters, const rn_real *statistics) {
    ptrdiff_t trained = 0;
    rn_parameter p;
    memset(&p, 0, sizeof p);
    while (rn_next_parameter(net, &p)) {
        const int learned = rn__slot_behind(net, &p)->learned;
        const int trains = p.node >= net->first_trained;
        const rn_real *before = learned ? parameters + (p.data - net->parameters)
                                        : statistics + (p.data - net->statistics);
        CHECK_INT(p.gradient != NULL, learned && trains);
        CHECK_INT(p.velocity != NULL, learned && trains);
        if (p.gradient) CHECK(p.gradient - net->gradients == trained);
        if (p.gradient) CHECK(p.velocity - net->velocity == trained);
        if (p.gradient) trained += p.count;
        if (trains && net_zero_by_analysis(net, &p)) continue; /* a bias that nothing comes of */
        net_check(same(p.data, before, p.count) == !trains, __LINE__, &net->desc, p.name, trains,
                  0);
    }
    CHECK_INT(trained, net->trained_count);
}

/* The first node that trains is that of its stage, of the tail or the classifier. */
static void check_first(const rn_net *net) {
    const int below = net->desc.frozen_below, first = net->first_trained;
    int i;
    for (i = 0; i < net->node_count; i++) {
        const rn_node *node = &net->nodes[i];
        const int rank = node->kind == RN_LINEAR ? 9 : node->stage < 0 ? 4 : node->stage;
        CHECK_INT(i < first, below == 5 ? rank < 9 : rank < below);
    }
}

static void check_kept(const rn_desc *desc, uint64_t seed) {
    net_batch images;
    rn_net *net = draw(desc, BATCH, seed, &images);
    rn_real *parameters = copy_of(net->parameters, net->parameter_count);
    rn_real *statistics = copy_of(net->statistics, net->statistic_count);
    int i;
    check_first(net);
    for (i = 0; i < 3; i++) step(net, &images, BATCH - i);
    check_changes(net, parameters, statistics);
    free(parameters);
    free(statistics);
    net_free_batch(&images);
    rn_destroy(net);
}

/* ---- gradients ------------------------------------------------------------------------------- */

/* The whole net's gradients of what trains in the frozen one, and its logits; in what is frozen the
   batch's statistics become the running ones. */
static void check_gradients(const rn_desc *given, uint64_t seed) {
    rn_desc desc = *given;
    net_batch images;
    rn_net *whole, *frozen;
    double most, bound = desc.norm ? 2e-6 : 1e-4, error = 0;
    ptrdiff_t k, at;
    int i;
    desc.frozen_below = 0;
    whole = draw(&desc, BATCH, seed, &images);
    frozen = net_create(given, BATCH, RN_TRAINING);
    if (!frozen) exit(2);
    memcpy(frozen->parameters, whole->parameters, (size_t)whole->parameter_count * sizeof(rn_real));
    CHECK_INT(rn_backpropagate(whole, images.images, images.labels, BATCH, NULL, NULL), RN_OK);
    for (i = 0; i < frozen->first_trained; i++)
        if (whole->nodes[i].kind == RN_BATCH_NORM)
            memcpy(frozen->statistics + frozen->nodes[i].statistics,
                   rn__batch_statistics(whole, i, 0),
                   2 * (size_t)whole->nodes[i].c * sizeof(rn_real));
    CHECK_INT(rn_backpropagate(frozen, images.images, images.labels, BATCH, NULL, NULL), RN_OK);
    at = whole->parameter_count - frozen->trained_count;
    most = net_largest(whole->gradients + at, frozen->trained_count);
    for (k = 0; k < frozen->trained_count; k++)
        error = worse(error, fabs((double)frozen->gradients[k] - (double)whole->gradients[at + k]));
    net_check(error <= bound * most && most > 0, __LINE__, given, "gradients of a frozen net",
              error, bound * most);
    for (i = 0; i < BATCH * desc.classes; i++)
        CHECK_NEAR(frozen->logits[i], whole->logits[i], 1e-4);
    net_free_batch(&images);
    rn_destroy(whole);
    rn_destroy(frozen);
}

/* Every order with every shortcut but dropout, whose masks are another thing than its mean. */
static void check_nets(void) {
    int order, shortcut, below, turn = 0;
    for (order = 0; order < ORDERS; order++)
        for (shortcut = 0; shortcut < RN_SHORTCUT_DROPOUT; shortcut++)
            for (below = 1; below <= RN_MAX_STAGES + 1; below++, turn++) {
                rn_desc desc = net_desc((rn_order)order, (rn_block)(RN_BASIC + turn % 3),
                                        (rn_shortcut)shortcut, (rn_resize)(RN_RESIZE_A + turn % 6),
                                        (rn_stem)(turn % 2));
                desc.norm = turn % 7 == 0 ? RN_NORM_GROUP : RN_NORM_BATCH;
                desc.weight_standardisation = turn % 5 == 0;
                desc.base_width = 4;
                desc.units[2] = turn % 2;
                desc.frozen_below = below;
                desc.decay_scope = (rn_decay)(turn % 2);
                desc.naive = turn % 3 == 0;
                check_gradients(&desc, (uint64_t)turn);
                if (turn % 2) check_kept(&desc, (uint64_t)turn);
            }
    /* What only convolutions read is no value in memory, also where it is frozen and they
       are not. */
    for (turn = 0; turn < 3; turn++) {
        rn_desc desc =
            net_desc(RN_BN_AFTER_ADD, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_B, RN_STEM_CIFAR);
        desc.norm = (rn_norm)turn;
        desc.base_width = 4;
        desc.frozen_below = 2;
        check_gradients(&desc, 1);
        check_kept(&desc, 1);
    }
}

/* The optimiser's formula, for the first parameter that trains. */
static void check_update(void) {
    rn_desc desc = rn_cifar(8);
    net_batch images;
    rn_net *net;
    double w, v, g;
    desc.frozen_below = 3;
    desc.height = desc.width = 8;
    desc.sgd = RN_SGD_NESTEROV;
    net = draw(&desc, BATCH, 1, &images);
    step(net, &images, BATCH);
    w = (double)net->parameters[net->parameter_count - net->trained_count];
    v = (double)net->velocity[0];
    CHECK_INT(rn_backpropagate(net, images.images, images.labels, BATCH, NULL, NULL), RN_OK);
    g = (double)net->gradients[0] + desc.weight_decay * w;
    v = desc.momentum * v + g;
    w -= 0.1 * (g + desc.momentum * v);
    CHECK_INT(rn_update(net, 0.1, NULL), RN_OK);
    CHECK_NEAR(net->velocity[0], v, 1e-6);
    CHECK_NEAR(net->parameters[net->parameter_count - net->trained_count], w, 1e-6);
    net_free_batch(&images);
    rn_destroy(net);
}

/* ---- memory and work ------------------------------------------------------------------------- */

/* The bar: at most 0.4 of the memory, at 224 and batch 16 frozen below stage 4. */
static void check_memory(void) {
    int order, k;
    for (order = 0; order < 2; order++) {
        double whole = 0, before = 0;
        for (k = 0; k <= RN_MAX_STAGES + 1; k++) {
            rn_desc desc = rn_imagenet(50);
            double bytes;
            desc.order = (rn_order)order;
            desc.frozen_below = k;
            bytes = (double)rn_bytes(&desc, 16, RN_TRAINING, NULL);
            CHECK(bytes > 0 && (!k || bytes < 0.93 * before));
            if (!k) whole = bytes;
            if (k == 4) CHECK(bytes <= 0.4 * whole);
            before = bytes;
        }
    }
}

static int steps_back, least_back;

static void count_backward(void *user, rn_net *net, int node, int backward) {
    (void)user, (void)net;
    steps_back += backward;
    if (backward && node < least_back) least_back = node;
}

/* Backward ends with the first operation that trains; and what rn_describe says of the work. */
static void check_work(void) {
    char text[1 << 14];
    int below, before = INT_MAX;
    for (below = 0; below <= RN_MAX_STAGES + 1; below++) {
        rn_desc desc =
            net_desc(RN_ORIGINAL, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_B_BN, RN_STEM_CIFAR);
        net_batch images;
        rn_net *net;
        desc.units[2] = 1;
        desc.frozen_below = below;
        net = draw(&desc, BATCH, 1, &images);
        net->probe = count_backward;
        steps_back = 0;
        least_back = INT_MAX;
        step(net, &images, BATCH);
        CHECK_INT(least_back, below ? net->first_trained : 1);
        CHECK(steps_back < before);
        if (below == 5) CHECK_INT(steps_back, 1);
        before = steps_back;
        rn_describe(net, text, sizeof text);
        CHECK_INT(strstr(text, "frozen before") != NULL, below > 0);
        if (below == 2) CHECK_TEXT(text, "frozen before layer2.0.shortcut (node ");
        net_free_batch(&images);
        rn_destroy(net);
    }
}

/* ---- parts, budget, prediction --------------------------------------------------------------- */

static rn_desc large(int below) {
    rn_desc desc =
        net_desc(RN_ORIGINAL, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, RN_STEM_CIFAR);
    desc.units[0] = desc.units[1] = desc.units[2] = 2;
    desc.base_width = 8;
    desc.height = desc.width = 16;
    desc.bn_group = 16;
    desc.frozen_below = below;
    return desc;
}

/* Two steps of the description; the net. */
static rn_net *train(const rn_desc *desc, int batch) {
    net_batch images;
    rn_net *net = draw(desc, batch, 3, &images);
    step(net, &images, batch);
    step(net, &images, batch);
    net_free_batch(&images);
    return net;
}

static void check_same_net(const rn_net *a, const rn_net *b) {
    CHECK(same(a->parameters, b->parameters, b->parameter_count));
    CHECK(same(a->velocity, b->velocity, b->trained_count));
    CHECK(same(a->statistics, b->statistics, b->statistic_count));
}

/* Bytes of the net for 32 images if all that can be is computed again. */
static uint64_t least_budget(const rn_desc *given) {
    rn_desc desc = *given;
    const char *words = "takes at least ", *least;
    rn_error error = {RN_OK, ""};
    desc.budget = 1;
    CHECK_INT(rn_bytes(&desc, 32, RN_TRAINING, &error), 0);
    CHECK_TEXT(error.text, words);
    least = strstr(error.text, words);
    return least ? strtoull(least + strlen(words), NULL, 10) : 0;
}

/* In parts, with threads and under the least budget: the same bits. */
static void check_variants(void) {
    rn_desc desc = large(2);
    rn_net *whole = train(&desc, 32), *net;
    int k, repeated = 0;
    desc.micro_batch = 16;
    net = train(&desc, 32);
    check_same_net(net, whole);
    CHECK(net->bytes < whole->bytes);
    rn_destroy(net);
    desc.threads = 3;
    net = train(&desc, 32);
    check_same_net(net, whole);
    rn_destroy(net);
    desc = large(2);
    desc.budget = least_budget(&desc);
    net = train(&desc, 32);
    check_same_net(net, whole);
    for (k = 0; k < net->executor->count; k++) {
        const rn__operation *op = &net->executor->operations[k];
        repeated += op->again;
        CHECK(!op->again || op->node >= net->first_trained);
    }
    CHECK(repeated > 0);
    rn_destroy(net);
    rn_destroy(whole);
}

/* Units that train are computed again, as many as there are. */
static void check_budget(void) {
    rn_desc desc = rn_cifar(20);
    desc.order = RN_ORIGINAL;
    desc.frozen_below = 2;
    CHECK((double)least_budget(&desc) < 0.7 * (double)rn_bytes(&desc, 32, RN_TRAINING, NULL));
}

/* A net for training predicts as one that only predicts does. */
static void check_prediction(void) {
    const rn_desc desc = large(3);
    net_batch images;
    rn_net *net = draw(&desc, BATCH, 5, &images), *other = net_create(&desc, BATCH, RN_INFERENCE);
    static rn_real values[2][BATCH * 8 * 16 * 16];
    rn_real logits[2][BATCH * 4];
    int i;
    if (!other) exit(2);
    step(net, &images, BATCH);
    memcpy(other->parameters, net->parameters, (size_t)net->parameter_count * sizeof(rn_real));
    memcpy(other->statistics, net->statistics, (size_t)net->statistic_count * sizeof(rn_real));
    CHECK_INT(rn_predict(net, rn_workspace(net), images.images, BATCH, logits[0], NULL), RN_OK);
    CHECK_INT(rn_predict(other, rn_workspace(other), images.images, BATCH, logits[1], NULL), RN_OK);
    CHECK(same(logits[0], logits[1], BATCH * 4));
    for (i = 0; i < net->node_count; i++) {
        const ptrdiff_t count =
            (ptrdiff_t)BATCH * net->nodes[i].c * net->nodes[i].h * net->nodes[i].w;
        CHECK_INT(rn_features(net, rn_workspace(net), images.images, BATCH, i, values[0], NULL), 0);
        CHECK_INT(rn_features(other, rn_workspace(other), images.images, BATCH, i, values[1], NULL),
                  0);
        CHECK(same(values[0], values[1], count));
    }
    net_free_batch(&images);
    rn_destroy(net);
    rn_destroy(other);
}

/* Frozen batch norms need no variance: one image of one pixel behind them trains. */
static void check_one_image(void) {
    rn_desc desc = large(5);
    net_batch images;
    rn_net *net;
    rn_error error;
    desc.height = desc.width = 4;
    desc.bn_group = 0;
    net = draw(&desc, 1, 1, &images);
    step(net, &images, 1);
    net_free_batch(&images);
    rn_destroy(net);
    desc.frozen_below = 3;
    net = draw(&desc, 1, 1, &images);
    CHECK_INT(rn_train_step(net, images.images, images.labels, 1, 0.1, NULL, &error), RN_BAD_SHAPE);
    CHECK_TEXT(error.text, "layer3.0.bn1: batch norm over one value");
    net_free_batch(&images);
    rn_destroy(net);
}

/* Numbers that are not finite are found where they are, frozen or not, and change nothing. */
static void check_not_finite(void) {
    const rn_desc desc = large(3);
    net_batch images;
    rn_net *net = draw(&desc, BATCH, 1, &images);
    rn_real *parameters;
    rn_parameter p;
    rn_error error;
    CHECK(rn_find_parameter(net, "layer1.0.conv2.weight", &p));
    p.data[0] = (rn_real)HUGE_VAL;
    parameters = copy_of(net->parameters, net->parameter_count);
    CHECK_INT(rn_train_step(net, images.images, images.labels, BATCH, 0.1, NULL, &error),
              RN_NOT_FINITE);
    CHECK_TEXT(error.text, "is the first that is not finite");
    CHECK_TEXT(error.text, "layer1.0.");
    CHECK(same(net->parameters, parameters, net->parameter_count));
    free(parameters);
    net_free_batch(&images);
    rn_destroy(net);
}

/* ---- probes ---------------------------------------------------------------------------------- */

static void ask_for_gradient(void *user, rn_net *net, int node, int backward) {
    static rn_real room[1 << 16];
    rn_error error;
    if (!backward || net->nodes[node].stage != 2) return;
    ++*(int *)user;
    CHECK_INT(rn_read_gradient(net, 1, rn_tensor_in(room, BATCH, 8, 16, 16), &error),
              RN_BAD_ARGUMENT);
    CHECK_TEXT(error.text, "the gradient of conv1 (node 1) is not there: frozen_below is 2");
}

static void check_probe(void) {
    const rn_desc desc = large(2);
    net_batch images;
    rn_net *net = draw(&desc, BATCH, 1, &images);
    int asked = 0;
    net->probe = ask_for_gradient;
    net->probe_user = &asked;
    step(net, &images, BATCH);
    CHECK(asked > 0);
    net_free_batch(&images);
    rn_destroy(net);
}

/* ---- running statistics ---------------------------------------------------------------------- */

static int read_noise(void *user, ptrdiff_t index, uint8_t *pixels, int *label) {
    int i;
    (void)user;
    for (i = 0; i < 2 * 16 * 16; i++)
        pixels[i] = (uint8_t)(128 + 40 * net_number((uint64_t)index, (uint64_t)i));
    *label = (int)(index % 4);
    return 0;
}

static void check_recalibration(void) {
    const rn_desc desc = large(3);
    const rn_source source = {20, 2, 16, 16, 4, read_noise, NULL};
    net_batch images;
    rn_net *net = draw(&desc, BATCH, 1, &images);
    rn_real *parameters = copy_of(net->parameters, net->parameter_count);
    rn_real *statistics = copy_of(net->statistics, net->statistic_count);
    const ptrdiff_t kept = rn__frozen_statistics(net);
    CHECK_INT(rn_recalibrate(net, &source, 3, images.images, images.labels, NULL, NULL), RN_OK);
    CHECK(kept > 0 && same(net->statistics, statistics, kept));
    CHECK(!same(net->statistics + kept, statistics + kept, net->statistic_count - kept));
    CHECK(same(net->parameters, parameters, net->parameter_count));
    free(parameters);
    free(statistics);
    net_free_batch(&images);
    rn_destroy(net);
}

/* ---- files ----------------------------------------------------------------------------------- */

static int has_tensor(const char *path, const rn_files *files, const char *name) {
    rn_archive a;
    rn_entry e;
    const int found =
        !rn_archive_open(&a, path, files, NULL) && !rn_archive_find(&a, name, &e, NULL);
    rn_archive_close(&a);
    return found;
}

/* Two steps, a checkpoint, two more steps elsewhere: as four in one. */
static void check_resumed(const rn_files *files) {
    rn_desc desc = large(2);
    rn_net *net = train(&desc, 32), *other = net_create(&desc, 32, RN_TRAINING), *whole;
    net_batch images = net_draw_batch(&net->desc, 32, 3);
    rn_error error;
    if (!other) exit(2);
    CHECK_INT(rn_save_checkpoint(net, "frozen.ckpt", files, NULL), RN_OK);
    CHECK(has_tensor("frozen.ckpt", files, "layer1.0.conv1.weight"));
    CHECK(!has_tensor("frozen.ckpt", files, "velocity/layer1.0.conv1.weight"));
    CHECK(has_tensor("frozen.ckpt", files, "velocity/layer2.0.conv1.weight"));
    CHECK_INT(rn_load(other, "frozen.ckpt", files, NULL), RN_OK);
    check_same_net(other, net);
    step(net, &images, 32);
    step(net, &images, 32);
    step(other, &images, 32);
    step(other, &images, 32);
    check_same_net(other, net);
    CHECK_INT(other->step, 4);
    /* Another freezing cannot go on with it, but begin with its weights. */
    desc.frozen_below = 0;
    whole = net_create(&desc, 32, RN_TRAINING);
    if (!whole) exit(2);
    CHECK_INT(rn_load(whole, "frozen.ckpt", files, &error), RN_MISMATCH);
    CHECK_TEXT(error.text, "frozen_below is 2 there, 0 here");
    CHECK_INT(rn_load_trunk(whole, "frozen.ckpt", files, NULL), RN_OK);
    CHECK(whole->step == 0 && whole->velocity[0] == 0);
    CHECK(net->parameter_count > net->trained_count);
    CHECK(same(whole->parameters, net->parameters, net->parameter_count - net->trained_count));
    net_free_batch(&images);
    rn_destroy(net);
    rn_destroy(other);
    rn_destroy(whole);
}

/* All but the classifier of a net of other classes. */
static void check_trunk(const rn_files *files) {
    rn_desc desc = large(3);
    rn_net *net = train(&desc, BATCH), *other, *deeper;
    const ptrdiff_t trunk = net->nodes[net->node_count - 1].parameters;
    rn_real *before;
    rn_error error;
    CHECK_INT(rn_save(net, "trained", files, NULL), RN_OK);
    desc.classes = 7;
    desc.frozen_below = 2;
    desc.height = 20;
    other = net_create(&desc, BATCH, RN_TRAINING);
    desc.units[2] = 3;
    deeper = net_create(&desc, BATCH, RN_TRAINING);
    if (!other || !deeper) exit(2);
    before = copy_of(other->parameters, other->parameter_count);
    CHECK_INT(rn_load(other, "trained", files, &error), RN_MISMATCH);
    CHECK_TEXT(error.text, "classes is 4 there, 7 here; see rn_load_trunk");
    CHECK(same(other->parameters, before, other->parameter_count));
    CHECK_INT(rn_load_trunk(other, "trained", files, &error), RN_OK);
    CHECK(same(other->parameters, net->parameters, trunk));
    CHECK(same(other->statistics, net->statistics, net->statistic_count));
    CHECK(same(other->parameters + trunk, before + trunk, other->parameter_count - trunk));
    CHECK_INT(rn_load_trunk(deeper, "trained", files, &error), RN_MISMATCH);
    CHECK_TEXT(error.text, "units is 2,2,2,0 there, 2,2,3,0 here");
    free(before);
    rn_destroy(net);
    rn_destroy(other);
    rn_destroy(deeper);
}

/* A file of others without description and without a classifier, written by hand. */
static void write_foreign(const rn_files *files, const rn_net *net, const char *without) {
    static char header[1 << 16];
    uint64_t offset = 0, length;
    char bytes[8];
    rn_parameter p;
    void *file = files->open(files->user, "foreign", 1);
    int at = sprintf(header, "{"), i;
    memset(&p, 0, sizeof p);
    while (rn_next_parameter(net, &p) && strcmp(p.name, "fc.weight")) {
        if (!strcmp(p.name, without)) continue;
        at += sprintf(header + at, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", at > 1 ? "," : "",
                      p.name);
        for (i = 0; i < p.dims; i++) at += sprintf(header + at, "%s%d", i ? "," : "", p.shape[i]);
        at += sprintf(header + at, "],\"data_offsets\":[%llu,%llu]}", (rn__llu)offset,
                      (rn__llu)(offset + 4 * (uint64_t)p.count));
        offset += 4 * (uint64_t)p.count;
    }
    length = (uint64_t)sprintf(header + at, "}") + (uint64_t)at;
    for (i = 0; i < 8; i++) bytes[i] = (char)(length >> 8 * i & 255);
    files->write(files->user, file, bytes, 8);
    files->write(files->user, file, header, (size_t)length);
    memset(&p, 0, sizeof p);
    while (rn_next_parameter(net, &p) && strcmp(p.name, "fc.weight"))
        if (strcmp(p.name, without))
            files->write(files->user, file, p.data, (size_t)p.count * sizeof(rn_real));
    files->close(files->user, file);
}

static void check_foreign(const rn_files *files) {
    const rn_desc desc = large(3);
    rn_net *net = train(&desc, BATCH), *other = net_create(&desc, BATCH, RN_TRAINING);
    rn_real *before;
    rn_error error;
    if (!other) exit(2);
    before = copy_of(other->parameters, other->parameter_count);
    write_foreign(files, net, "layer2.1.bn2.running_var");
    CHECK_INT(rn_load_trunk(other, "foreign", files, &error), RN_MISMATCH);
    CHECK_TEXT(error.text, "layer2.1.bn2.running_var");
    CHECK(same(other->parameters, before, other->parameter_count));
    write_foreign(files, net, "");
    CHECK_INT(rn_load(other, "foreign", files, &error), RN_MISMATCH);
    CHECK_TEXT(error.text, "fc.weight");
    CHECK_INT(rn_load_trunk(other, "foreign", files, &error), RN_OK);
    CHECK(same(other->parameters, net->parameters, net->nodes[net->node_count - 1].parameters));
    free(before);
    rn_destroy(net);
    rn_destroy(other);
}

int main(void) {
    static disk d;
    const rn_files *files = disk_init(&d);
    check_nets();
    check_update();
    check_memory();
    check_work();
    check_variants();
    check_budget();
    check_prediction();
    check_one_image();
    check_not_finite();
    check_probe();
    check_recalibration();
    check_resumed(files);
    check_trunk(files);
    check_foreign(files);
    disk_free(&d);
    return test_end("finetune");
}
