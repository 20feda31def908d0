/* stack.c - what a call takes of its thread's stack: at most 8 KB, as resnet.h says. Each runs on a
   thread whose stack is painted beforehand; what is no longer paint was used.

   cc -std=c99 -O2 -fopenmp -o stack tests/stack.c -lm -lpthread && ./stack */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"

#include "nets.h"

#include <pthread.h>

enum { STACK = 512 << 10, LIMIT = 8 << 10, BATCH = 4, ROOM = 64 << 20 };

static unsigned char *stack, *memory, *memory_of_file;
static rn_desc desc;
static rn_net *net;
static net_batch batch;
static rn_real logits[BATCH * 1000], features[1 << 18];
static char text[1 << 18];
static rn_error error;
static rn_memory place;

static void nothing(void) {}

static void resolve(void) {
    rn_desc copy = desc;
    rn_resolve(&copy, &error);
}

static void say(void) {
    rn_desc_get(&desc, 5, text);
    rn_desc_set(&desc, "momentum", "0.9", &error);
    rn_node_name(net, 3, text);
    rn_describe(net, text, sizeof text);
}

static void plan(void) {
    place.bytes = ROOM;
    place.bytes = rn_bytes_in(&desc, BATCH, RN_TRAINING, &place, &error) + 63;
    rn_bytes(&desc, BATCH, RN_INFERENCE, &error);
    rn_plan_text(&desc, BATCH, RN_TRAINING, text, sizeof text, &error);
    rn_plan_svg(&desc, BATCH, RN_TRAINING, text, sizeof text, &error);
}

static void create(void) { net = rn_create(&desc, BATCH, RN_TRAINING, &place, &error); }

static void train(void) {
    CHECK_INT(rn_train_step(net, batch.images, batch.labels, BATCH, 0.01, NULL, &error), RN_OK);
}

static void explain(void) { /* a step that fails */
    batch.images[0] = (rn_real)HUGE_VAL;
    CHECK_INT(rn_train_step(net, batch.images, batch.labels, BATCH, 0.01, NULL, &error),
              RN_NOT_FINITE);
    batch.images[0] = 0;
}

static void predict(void) {
    CHECK_INT(rn_predict(net, rn_workspace(net), batch.images, BATCH, logits, &error), RN_OK);
}

static void take_features(void) {
    for (int i = 0; i < net->node_count; i++)
        CHECK_INT(rn_features(net, rn_workspace(net), batch.images, 1, i, features, &error), RN_OK);
}

static void freeze(void) { CHECK_INT(rn_freeze(net, NULL, &error), RN_OK); }

#define OK(call) CHECK_INT(call, RN_OK)

static void layers(void) {
    static const int labels[3] = {0, 1, 2};
    rn_real *x = batch.images, *statistics = logits;
    rn_tensor image = rn_tensor_in(x, 1, 3, 8, 8), y = rn_tensor_in(logits + 64, 1, 3, 8, 8);
    rn_tensor f = rn_tensor_in(x + 300, 3, 3, 3, 3), df = rn_tensor_in(logits + 300, 3, 3, 3, 3);
    rn_tensor z = rn_tensor_in(x, 3, 3, 1, 1), dz = rn_tensor_in(logits + 400, 3, 3, 1, 1);
    rn_result result;
    void *room = text + rn__gap(text);
    const size_t bytes = sizeof text - 64;
    const rn_real *w = x; /* for whatever has a value a channel */
    OK(rn_conv2d_naive_forward(&y, &image, &f, NULL, 1, 1, &error));
    OK(rn_conv2d_naive_backward(&y, &df, NULL, &image, &image, &f, 1, 1, 0, &error));
    OK(rn_conv2d_forward(&y, &image, &f, NULL, 1, 1, RN_ISA_AUTO, 1, room, bytes, &error));
    OK(rn_conv2d_backward(&y, &df, NULL, &image, &image, &f, 1, 1, 0, RN_ISA_AUTO, 1, room, bytes,
                          &error));
    OK(rn_batch_norm_forward(&y, statistics, &image, w, w, 1e-5, 0, &error));
    OK(rn_batch_norm_backward(&y, logits, logits, &image, &image, w, w, 1e-5, 0, 0, &error));
    OK(rn_max_pool_backward(&y, &image, &image, 1, 1, 0, 0, &error));
    OK(rn_zero_max_pool_backward(&y, &image, &image, 1, 1, 0, 0, &error));
    OK(rn_group_norm_forward(&y, &image, w, w, 1e-5, 3, &error));
    OK(rn_group_norm_backward(&y, logits, logits, &image, &image, w, 1e-5, 3, 0, &error));
    OK(rn_evonorm_forward(&y, &image, w, w, w, 1e-5, 1, &error));
    OK(rn_evonorm_backward(&y, logits, logits, logits, &image, &image, w, w, 1e-5, 1, 0, &error));
    OK(rn_standardise_forward(&df, &f, 1e-8, &error));
    OK(rn_standardise_backward(&df, &df, &f, 1e-8, &error));
    OK(rn_softmax_cross_entropy_forward(&result, &z, labels, NULL, &error));
    OK(rn_softmax_cross_entropy_backward(&dz, &z, labels, 1, NULL, &error));
}

static const char path[] = "stack_test.safetensors"; /* in this folder, for a moment */

static void save(void) { CHECK_INT(rn_save_checkpoint(net, path, NULL, &error), RN_OK); }
static void load(void) { CHECK_INT(rn_load(net, path, NULL, &error), RN_OK); }

static void make_of_file(void) {
    rn_net *other = rn_create_from(NULL, BATCH, RN_TRAINING, path, NULL, NULL, &error);
    CHECK(other != NULL);
    rn_destroy(other);
}

static rn_mapping file; /* what lies at path */

static void read_whole(void) {
    FILE *f = fopen(path, "rb");
    file.data = memory_of_file;
    file.bytes = f ? fread(memory_of_file, 1, ROOM, f) : 0;
    CHECK(f != NULL && file.bytes > 1000);
    if (f) fclose(f);
}

static void make_over(void) {
    rn_net *over = rn_create_over(&desc, BATCH, net->parameters, net->statistics, NULL, &error);
    CHECK(over != NULL);
    rn_destroy(over);
    rn_destroy(rn_create_mapped(NULL, BATCH, &file, 0, NULL, &error)); /* big-endian: it refuses */
}

static void look(void) {
    rn_desc stored;
    rn_archive a;
    rn_entry e;
    CHECK_INT(rn_load_desc(&stored, path, NULL, &error), RN_OK);
    CHECK_INT(rn_archive_open(&a, path, NULL, &error), RN_OK);
    CHECK_INT(rn_archive_find(&a, "fc.weight", &e, &error), RN_OK);
    CHECK_INT(rn_archive_metadata(&a, "format", text, 32, &error), RN_OK);
    rn_archive_close(&a);
}

static void data(void) {
    static const char images[] = "../examples/data/t10k-images-idx3-ubyte";
    static const char labels[] = "../examples/data/t10k-labels-idx1-ubyte";
    rn_data set;
    rn_desc grey = desc;
    rn_augment augment = {2, 1};
    uint64_t sum = 0;
    int answers[2];
    CHECK(rn_load_cifar(&set, "nowhere", 10, 1, NULL, NULL, &error) == RN_NO_FILE);
    CHECK_INT(rn_load_idx(&set, images, labels, 10, NULL, NULL, &error), RN_OK);
    CHECK_INT(rn_measure(&grey, &set.source, &error), RN_OK);
    CHECK_INT(rn_source_checksum(&set.source, &sum, &error), RN_OK);
    CHECK_INT(rn_batch(&set.source, &grey, &augment, 0, 0, 2, logits, answers, &error), RN_OK);
    rn_data_free(&set);
}

static void pictures(void) {
    rn_picture picture = rn_planar((const unsigned char *)text, 3, 64, 80);
    rn_tensor to = rn_tensor_in(logits, 1, 3, 16, 16);
    const rn_key key = {1, 2, 3};
    const rn_crop crop = {24, 30, 4, 7, 16, 16, RN_BICUBIC};
    static char room[20000];
    rn_desc fitted = desc;
    fitted.channels = 3, fitted.height = fitted.width = 16;
    CHECK_INT(rn_preprocess(logits, &fitted, &picture, &crop, room, sizeof room, &error), RN_OK);
    CHECK_INT(rn_resample(&to, &picture, rn_aspect_window(64, 80, key, 0), 1, &error), RN_OK);
    CHECK_INT(rn_colour_jitter(&to, 0.4, key, 0, &error), RN_OK);
    CHECK_INT(rn_lighting(&to, 0.1, key, 0, &error), RN_OK);
}

static const struct {
    const char *name;
    void (*call)(void);
} calls[] = {{"nothing", nothing},
             {"rn_resolve", resolve},
             {"rn_bytes, plans", plan},
             {"rn_create", create},
             {"rn_describe", say},
             {"rn_train_step", train},
             {"a failing step", explain},
             {"rn_predict", predict},
             {"rn_features", take_features},
             {"rn_freeze", freeze},
             {"rn_predict, frozen", predict},
             {"layers", layers},
             {"saving", save},
             {"reading the file", read_whole},
             {"loading", load},
             {"rn_create_from", make_of_file},
             {"rn_create_over, rn_create_mapped", make_over},
             {"looking", look},
             {"data", data},
             {"pictures", pictures}};

static void *run(void *call) {
    calls[*(const int *)call].call();
    return NULL;
}

/* Bytes that a call takes, a thread's own beginning included. */
static int taken(int call) {
    pthread_attr_t attributes;
    pthread_t thread;
    int at = 0;
    memset(stack, 0xa5, STACK);
    pthread_attr_init(&attributes);
    if (pthread_attr_setstack(&attributes, stack, STACK) ||
        pthread_create(&thread, &attributes, run, &call))
        return -1;
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    while (stack[at] == 0xa5) at++;
    return STACK - at;
}

static void measure(const char *what) {
    const int calls_count = (int)(sizeof calls / sizeof calls[0]), none = taken(0);
    int i;
    CHECK(none > 0);
    for (i = 1; i < calls_count; i++) {
        const int all = taken(i), bytes = all - none;
        if (test_failed(all > 0 && bytes <= LIMIT, __FILE__, __LINE__))
            fprintf(stderr, "%s, %s: %d bytes\n", calls[i].name, what, bytes);
    }
    CHECK(net != NULL);
    if (net) rn_destroy(net);
    remove(path);
}

int main(void) {
    void *raw;
    int isa, i, naive;
    if (posix_memalign(&raw, 4096, STACK)) return 2;
    stack = (unsigned char *)raw;
    memory = (unsigned char *)net_take(ROOM);
    memory_of_file = (unsigned char *)net_take(ROOM);
    place.buffer = memory;
    for (isa = RN_ISA_PORTABLE; isa < ISAS; isa++)
        for (i = 0; i < 4; i++)
            for (naive = 0; naive < 2; naive++) {
                char what[80];
                desc = rn_cifar(i % 2 ? 164 : 20);
                if (i % 2) desc.units[0] = desc.units[1] = desc.units[2] = 2;
                desc.block = i % 2 ? RN_BOTTLENECK : RN_BASIC;
                desc.order = i % 2 ? RN_ORIGINAL : RN_FULL_PREACT;
                desc.weight_standardisation = i > 1;
                if (i > 1) desc.norm = i % 2 ? RN_NORM_GROUP : RN_NORM_EVONORM_S0;
                desc.isa = (rn_isa)isa;
                desc.naive = naive;
                desc.threads = 2;
                if (naive) desc.height = desc.width = 8; /* or it would take long */
                if (naive && isa > RN_ISA_PORTABLE) continue;
#if RN__FAST
                if (!rn__choose_kernels(desc.isa)) continue;
#endif
                snprintf(what, sizeof what, "net %d, isa %d, naive %d", i, isa, naive);
                rn_resolve(&desc, NULL);
                batch = net_draw_batch(&desc, BATCH, 1);
                measure(what);
                net_free_batch(&batch);
            }
    free(memory);
    free(memory_of_file);
    free(stack);
    return test_end("stack");
}
