/* mapped.c - nets over weights of the caller, which are only read: constant arrays, and files that
   lie in memory. They predict with the same bits as a net with weights of its own, from memory that
   cannot be written and ends where the weights do, in any number of nets and processes. What would
   write weights refuses; so is every file that cannot serve. Nets made from files at once, and the
   memory that loading takes.

   cc -std=c99 -O2 -fopenmp -o mapped tests/mapped.c -lm -lpthread && ./mapped */

#define _DEFAULT_SOURCE /* mmap, MAP_ANONYMOUS */
#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "disk.h"
#include "test.h"

#include "nets.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#ifdef REDUCED
enum { EVERY = 41 };
#else
enum { EVERY = 7 }; /* of the combinations */
#endif
enum { BATCH = 3, WIDTH = (int)sizeof(rn_real) };

static rn_error error;
static disk d;
static const rn_files *files;

#define OK(call)                                              \
    do {                                                      \
        rn_status status_ = (call);                           \
        CHECK_INT(status_, RN_OK);                            \
        if (status_) fprintf(stderr, "    %s\n", error.text); \
    } while (0)
#define FAILS(call, expected, part)        \
    do {                                   \
        memset(&error, 0, sizeof error);   \
        CHECK_INT(call, expected);         \
        CHECK_INT(error.status, expected); \
        CHECK_TEXT(error.text, part);      \
    } while (0)
#define NO_NET(call, expected, part)       \
    do {                                   \
        memset(&error, 0, sizeof error);   \
        CHECK((call) == NULL);             \
        CHECK_INT(error.status, expected); \
        CHECK_TEXT(error.text, part);      \
    } while (0)

/* Whatever it is that fails. */
#define NO_NET_AT_ALL(call)                     \
    do {                                        \
        memset(&error, 0, sizeof error);        \
        CHECK((call) == NULL);                  \
        CHECK(error.status < 0 && *error.text); \
    } while (0)

static int little_endian(void) {
    const uint16_t one = 1;
    return *(const unsigned char *)&one;
}

/* ---- memory that can only be read, and what is in it ----------------------------------------- */

/* Pages between two that cannot be touched. */
typedef struct region {
    char *pages;
    size_t bytes; /* with these two */
    const void *data;
} region;

/* A copy that begins or ends where the pages do. */
static region guard(const void *from, size_t bytes, int at_end) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (bytes + page) / page * page;
    region r;
    char *to;
    r.bytes = inner + 2 * page;
    r.pages = (char *)mmap(NULL, r.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r.pages == MAP_FAILED || mprotect(r.pages + page, inner, PROT_READ | PROT_WRITE)) exit(2);
    to = r.pages + page + (at_end ? inner - bytes : 0);
    if (bytes) memcpy(to, from, bytes);
    if (mprotect(r.pages + page, inner, PROT_READ)) exit(2);
    r.data = to;
    return r;
}

static void unguard(region r) { munmap(r.pages, r.bytes); }

/* A net with weights of its own, drawn, saved as "net". */
static rn_net *make_net(const rn_desc *desc, uint64_t seed) {
    rn_net *net = net_create(desc, BATCH, RN_INFERENCE);
    net_draw(net, seed);
    OK(rn_save(net, "net", files, &error));
    return net;
}

static rn_mapping mapping_of(const char *path) {
    const disk_file *f = disk_find(&d, path);
    rn_mapping m = {NULL, 0};
    if (f) m.data = f->data, m.bytes = f->bytes;
    return m;
}

static rn_desc small_desc(void) {
    rn_desc desc =
        net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_B, RN_STEM_CIFAR);
    desc.base_width = 4;
    return desc;
}

/* Do both say the same of images, to the bit? */
static int agree(const rn_net *a, const rn_net *b, const rn_real *images) {
    const size_t numbers = (size_t)(BATCH * a->desc.classes);
    rn_real *logits = (rn_real *)net_take(2 * numbers * sizeof(rn_real));
    const rn_net *nets[2];
    int i, same;
    nets[0] = a, nets[1] = b;
    for (i = 0; i < 2; i++) {
        void *block = net_take(rn_predict_bytes(nets[i]) + 63);
        char *workspace = (char *)block + (64 - (uintptr_t)block % 64) % 64;
        OK(rn_predict(nets[i], workspace, images, BATCH, logits + (size_t)i * numbers, &error));
        free(block);
    }
    same = !memcmp(logits, logits + numbers, numbers * sizeof(rn_real));
    free(logits);
    return same;
}

/* ---- prediction ----------------------------------------------------------------------------- */

/* Arrays that begin or end at a page that cannot be touched, as they are and frozen. */
static void check_arrays(rn_net *own, const rn_real *images, int at_end) {
    const size_t parameters = (size_t)own->parameter_count * sizeof(rn_real);
    const size_t statistics = (size_t)own->statistic_count * sizeof(rn_real);
    region p = guard(own->parameters, parameters, at_end);
    region s = guard(own->statistics, statistics, at_end);
    rn_net *net = rn_create_over(&own->desc, BATCH, (const rn_real *)p.data,
                                 (const rn_real *)s.data, NULL, &error);
    CHECK(net != NULL);
    if (!net) return;
    net_force_threads(net);
    CHECK_INT(net->read_only, 1);
    CHECK(net->parameters == p.data && net->statistics == s.data);
    CHECK(agree(own, net, images));
    OK(rn_freeze(net, NULL, &error));
    CHECK(agree(own, net, images));
    rn_destroy(net);
    unguard(p);
    unguard(s);
}

/* A file that ends where memory does, whose last tensor is its last statistic or parameter. */
static void check_file(const rn_net *own, const rn_real *images) {
    rn_mapping file = mapping_of("net");
    region r = guard(file.data, file.bytes, 1);
    rn_net *net;
    int trusted;
    file.data = r.data;
    for (trusted = 0; trusted < 2 && little_endian() && WIDTH == 4; trusted++) {
        net = rn_create_mapped(&own->desc, BATCH, &file, trusted, NULL, &error);
        CHECK(net != NULL);
        if (!net) fprintf(stderr, "    %s\n", error.text);
        if (!net) break;
        CHECK((const char *)net->parameters > (const char *)r.data);
        CHECK((const char *)(net->parameters + net->parameter_count) <=
              (const char *)r.data + file.bytes);
        CHECK((uintptr_t)((const char *)net->parameters - (const char *)r.data) % 64 == 0);
        CHECK(agree(own, net, images));
        rn_destroy(net);
    }
    unguard(r);
}

/* Every kind of weight, of sizes that are no multiple of a vector's. */
static void test_nets(void) {
    int i, nets = 0;
    for (i = 0; i < ORDERS * (BLOCKS - 1) * SHORTCUTS * RESIZES * 4; i += EVERY) {
        const int variant = i / EVERY;
        rn_desc desc = net_desc((rn_order)(i % ORDERS), (rn_block)(1 + i / 5 % (BLOCKS - 1)),
                                (rn_shortcut)(i / 15 % SHORTCUTS), (rn_resize)(i / 105 % RESIZES),
                                (rn_stem)(i / 630 % 4));
        rn_desc refused;
        net_batch batch;
        rn_net *own;
        desc.norm = (rn_norm)(variant % 3);
        desc.weight_standardisation = variant / 2 % 4 == 1;
        desc.conv_bias = variant % 5 == 1;
        desc.norm_groups = 2;
        desc.base_width = 2 * (1 + variant % 9);
        desc.isa = (rn_isa)(variant / 3 % ISAS);
        desc.direct = variant / 5 % 2;
        desc.naive = variant % 8 == 7;
        desc.threads = 1 + variant % 2;
        refused = desc;
        if (rn_resolve(&refused, NULL)) continue;
        if (!rn_bytes(&desc, 1, RN_INFERENCE, NULL)) desc.isa = RN_ISA_AUTO; /* lacks it */
        batch = net_draw_batch(&desc, BATCH, 1);
        own = make_net(&desc, (uint64_t)variant);
        check_arrays(own, batch.images, variant / 2 % 2);
        check_arrays(own, batch.images, !(variant / 2 % 2));
        check_file(own, batch.images);
        rn_destroy(own);
        net_free_batch(&batch);
        nets++;
    }
    printf("mapped: %d nets\n", nets);
    CHECK(nets > 20);
}

/* Two nets of this process and one of another over one mapping of one file. */
static void test_sharing(void) {
    const rn_desc desc = small_desc();
    rn_net *own = net_create(&desc, BATCH, RN_INFERENCE), *nets[2];
    net_batch batch = net_draw_batch(&desc, BATCH, 1);
    char directory[200], path[256];
    struct stat there;
    rn_mapping file;
    int i, descriptor, status = 1;
    pid_t child;
    make_directory(directory, sizeof directory);
    snprintf(path, sizeof path, "%s/net", directory);
    OK(rn_save(own, path, NULL, &error));
    descriptor = open(path, O_RDONLY);
    if (descriptor < 0 || fstat(descriptor, &there)) exit(2);
    file.bytes = (size_t)there.st_size;
    file.data = mmap(NULL, file.bytes, PROT_READ, MAP_SHARED, descriptor, 0);
    if (file.data == MAP_FAILED) exit(2);
    for (i = 0; i < 2; i++) {
        nets[i] = rn_create_mapped(NULL, BATCH, &file, i, NULL, &error);
        CHECK(nets[i] != NULL);
        if (!nets[i]) exit(2);
        CHECK(agree(own, nets[i], batch.images));
    }
    CHECK(nets[0]->parameters == nets[1]->parameters);
    CHECK(nets[0]->statistics == nets[1]->statistics);
    CHECK((const char *)nets[0]->parameters >= (const char *)file.data &&
          (const char *)nets[0]->parameters < (const char *)file.data + file.bytes);
    child = fork();
    if (!child) _exit(agree(own, nets[0], batch.images) && test_failures == 0 ? 7 : 8);
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    rn_destroy(nets[0]);
    CHECK(agree(own, nets[1], batch.images)); /* the file is still there */
    rn_destroy(nets[1]);
    munmap((void *)(uintptr_t)file.data, file.bytes);
    close(descriptor);
    remove(path);
    rmdir(directory);
    rn_destroy(own);
    net_free_batch(&batch);
}

/* The block is smaller by the weights, and a buffer of its size is enough. */
static void test_bytes(void) {
    const rn_desc desc = small_desc();
    rn_net *own = make_net(&desc, 1), *net;
    const size_t bytes = rn_bytes_over(&desc, BATCH, NULL, &error);
    const size_t weights = rn__align_size((size_t)own->parameter_count * sizeof(rn_real)) +
                           rn__align_size((size_t)own->statistic_count * sizeof(rn_real));
    rn_memory memory;
    memset(&memory, 0, sizeof memory);
    memory.bytes = bytes + 63;
    memory.buffer = net_take(memory.bytes);
    CHECK_INT(bytes, rn_bytes(&desc, BATCH, RN_INFERENCE, &error) - weights);
    net = rn_create_over(&desc, BATCH, own->parameters, own->statistics, &memory, &error);
    CHECK(net != NULL && net->bytes == bytes);
    CHECK((char *)net >= (char *)memory.buffer &&
          (char *)net + bytes <= (char *)memory.buffer + memory.bytes);
    rn_destroy(net);
    memory.bytes = 100;
    NO_NET(rn_create_over(&desc, BATCH, own->parameters, own->statistics, &memory, &error),
           RN_TOO_SMALL, "nodes alone takes");
    free(memory.buffer);
    CHECK_INT(rn_bytes_over(&desc, 0, NULL, &error), 0);
    rn_destroy(own);
}

/* A deep net of few numbers, where planning takes more memory than the net: that much is said, and
   is enough. */
static void test_deep_bytes(void) {
    static const int depths[] = {110, 164, 1001}, widths[] = {1, 8, 16};
    static const rn_real weights[1] = {0}; /* nobody looks at them */
    int i;
    for (i = 0; i < 9; i++) {
        rn_desc desc = rn_cifar(depths[i / 3]);
        rn_memory memory;
        rn_net *net;
        desc.base_width = widths[i % 3];
        if (i % 2) desc.height = desc.width = 8;
        memset(&memory, 0, sizeof memory);
        memory.bytes = rn_bytes_over(&desc, 1, NULL, &error) + 63;
        memory.buffer = net_take(memory.bytes);
        net = rn_create_over(&desc, 1, weights, weights, &memory, &error);
        CHECK(net != NULL && net->bytes + 63 == memory.bytes);
        rn_destroy(net);
        net = rn_create_over(&desc, 1, weights, weights, NULL, &error);
        CHECK(net != NULL);
        rn_destroy(net);
        free(memory.buffer);
    }
}

/* ---- what is refused ------------------------------------------------------------------------ */

static void test_writers(void) {
    const rn_desc desc = small_desc();
    rn_net *own = make_net(&desc, 1), *net;
    net_batch batch = net_draw_batch(&desc, BATCH, 1);
    region p = guard(own->parameters, (size_t)own->parameter_count * sizeof(rn_real), 1);
    region s = guard(own->statistics, (size_t)own->statistic_count * sizeof(rn_real), 1);
    rn_mapping before = mapping_of("net"), after;
    void *copy = net_take(before.bytes);
    net = rn_create_over(&desc, BATCH, (const rn_real *)p.data, (const rn_real *)s.data, NULL,
                         &error);
    if (!net) exit(2);
    rn_initialise(net); /* its memory is guarded against writing */
    FAILS(rn_load(net, "net", files, &error), RN_BAD_ARGUMENT, "only read, see rn_create_over");
    FAILS(rn_load_trunk(net, "net", files, &error), RN_BAD_ARGUMENT, "rn_load_trunk: ");
#ifndef RESNET_NO_TRAIN
    FAILS(rn_train_step(net, batch.images, batch.labels, BATCH, 0.1, NULL, &error), RN_BAD_ARGUMENT,
          "a net of RN_TRAINING");
    FAILS(rn_backpropagate(net, batch.images, batch.labels, BATCH, NULL, &error), RN_BAD_ARGUMENT,
          "a net of RN_TRAINING");
    FAILS(rn_update(net, 0.1, &error), RN_BAD_ARGUMENT, "");
    {
        rn_source source;
        memset(&source, 0, sizeof source);
        CHECK(rn_recalibrate(net, &source, 1, batch.images, batch.labels, NULL, &error) != RN_OK);
    }
#endif
    FAILS(rn_save_checkpoint(net, "checkpoint", files, &error), RN_BAD_ARGUMENT, "inference net");
    /* What only reads them works: the file is the same, byte by byte. */
    memcpy(copy, before.data, before.bytes);
    OK(rn_save(net, "net", files, &error));
    after = mapping_of("net");
    CHECK(after.bytes == before.bytes && !memcmp(copy, after.data, after.bytes));
    CHECK(agree(own, net, batch.images));
    rn_initialise(own);
    free(copy);
    rn_destroy(net);
    rn_destroy(own);
    unguard(p);
    unguard(s);
    net_free_batch(&batch);
}

static void test_arrays_refused(void) {
    rn_desc desc = small_desc();
    rn_net *own = make_net(&desc, 1), *net;
    const rn_real *p = own->parameters, *s = own->statistics;
    const rn_real *odd = (const rn_real *)(const void *)((const char *)p + 1);
    NO_NET(rn_create_over(&desc, BATCH, NULL, s, NULL, &error), RN_BAD_ARGUMENT, "not be NULL");
    NO_NET(rn_create_over(&desc, BATCH, p, NULL, NULL, &error), RN_BAD_ARGUMENT, "not be NULL");
    NO_NET(rn_create_over(&desc, BATCH, odd, s, NULL, &error), RN_BAD_ARGUMENT, "must be aligned");
    NO_NET(rn_create_over(&desc, BATCH, p, odd, NULL, &error), RN_BAD_ARGUMENT, "must be aligned");
    NO_NET(rn_create_over(&desc, 0, p, s, NULL, &error), RN_BAD_ARGUMENT, "batch is 0");
    /* Nothing runs by its batch. */
    desc.norm = RN_NORM_GROUP;
    desc.norm_groups = 2;
    net = rn_create_over(&desc, BATCH, p, NULL, NULL, &error);
    CHECK(net != NULL);
    rn_destroy(net);
    rn_destroy(own);
}

/* Changes each `from` in the file's header to `to`, of the same length. */
static void rename_in(char *file, size_t bytes, const char *from, const char *to) {
    const size_t length = strlen(from);
    int found = 0;
    size_t i;
    CHECK_INT(length, strlen(to));
    for (i = 0; i + length <= bytes; i++)
        if (!memcmp(file + i, from, length)) memcpy(file + i, to, length), found = 1;
    CHECK(found);
}

static rn_net *map(const rn_mapping *file, int trusted) {
    return rn_create_mapped(NULL, BATCH, file, trusted, NULL, &error);
}

/* A file of the weights of a net, all numbers of `width` bytes, of which none matters. */
static void put_wide(const rn_net *net, int width) {
    static char json[20000];
    size_t length = 0, at = 0, i;
    unsigned char head[8];
    disk_file *f;
    rn_parameter p;
    memset(&p, 0, sizeof p);
    while (rn__next_tensor(net, 0, &p)) {
        const size_t end = at + (size_t)p.count * (size_t)width;
        length += (size_t)sprintf(json + length, "%s\"%s\":{\"dtype\":\"F%d\",\"shape\":[",
                                  length ? "," : "{", p.name, 8 * width);
        for (i = 0; i < (size_t)p.dims; i++)
            length += (size_t)sprintf(json + length, i ? ",%d" : "%d", p.shape[i]);
        length += (size_t)sprintf(json + length, "],\"data_offsets\":[%d,%d]}", (int)at, (int)end);
        at = end;
    }
    length += (size_t)sprintf(json + length, "}");
    while (length % 8) json[length++] = ' ';
    for (i = 0; i < 8; i++) head[i] = (unsigned char)((uint64_t)length >> 8 * i & 255);
    f = disk_put(&d, "wide", head, 8);
    disk_write(f, json, length);
    memset(json, 0, sizeof json);
    for (; at >= sizeof json; at -= sizeof json) disk_write(f, json, sizeof json);
    disk_write(f, json, at);
}

static void test_files_refused(void) {
    rn_desc desc = small_desc(), other = small_desc();
    rn_net *own = make_net(&desc, 1), *net;
    const rn_mapping saved = mapping_of("net");
    char *copy = (char *)net_take(saved.bytes + 64),
         *data = copy + (64 - (uintptr_t)copy % 64) % 64;
    const uint64_t header = rn__little_endian((const uint8_t *)saved.data, 8);
    rn_mapping file = saved;
    file.data = data;
#define AFRESH() memcpy(data, saved.data, saved.bytes)
    AFRESH();
    if (!little_endian()) {
        NO_NET(map(&file, 0), RN_BAD_ARGUMENT, "is little-endian and this machine is not");
        goto end;
    }
    if (WIDTH == 8) {
        NO_NET(map(&file, 0), RN_MISMATCH, "computes with F64");
        goto end;
    }
    net = map(&file, 0);
    CHECK(net != NULL);
    rn_destroy(net);
    /* As long as it is, and a byte less. */
    file.bytes = saved.bytes - 1;
    NO_NET(map(&file, 1), RN_BAD_FILE, "is the file cut?");
    file.bytes = 0;
    NO_NET(map(&file, 1), RN_BAD_FILE, "safetensors");
    file.bytes = saved.bytes;
    /* A number that is not finite: the CRC finds it, and nobody if the file is trusted. */
    memset(data + 8 + header, 0xff, 4);
    NO_NET(map(&file, 0), RN_BAD_FILE, "its CRC is");
    net = map(&file, 1);
    CHECK(net != NULL);
    rn_destroy(net);
    /* Names that change places: another order. */
    AFRESH();
    rename_in(data, saved.bytes, "layer1.0.bn1.weight", "layer1.0.bnx.weight");
    rename_in(data, saved.bytes, "layer1.0.bn2.weight", "layer1.0.bn1.weight");
    rename_in(data, saved.bytes, "layer1.0.bnx.weight", "layer1.0.bn2.weight");
    NO_NET(map(&file, 1), RN_MISMATCH, "lies elsewhere than in the net");
    CHECK_TEXT(error.text, "layer1.0.bn1.weight");
    AFRESH();
    rename_in(data, saved.bytes, "layer1.0.bn2.running_var", "layer1.0.bnx.running_var");
    rename_in(data, saved.bytes, "layer1.0.bn1.running_var", "layer1.0.bn2.running_var");
    rename_in(data, saved.bytes, "layer1.0.bnx.running_var", "layer1.0.bn1.running_var");
    NO_NET(map(&file, 1), RN_MISMATCH, "layer1.0.bn1.running_var lies elsewhere");
    /* A name too many, and so one too few. */
    AFRESH();
    rename_in(data, saved.bytes, "layer1.0.bn1.weight", "layer1.0.bn7.weight");
    NO_NET(map(&file, 1), RN_MISMATCH, "layer1.0.bn7.weight, which this net has not");
    /* A shape that says the same number of bytes. */
    AFRESH();
    rename_in(data, saved.bytes, "\"shape\":[4,2,3,3]", "\"shape\":[2,4,3,3]");
    NO_NET(map(&file, 1), RN_MISMATCH, "should be F32 [4,2,3,3]");
    /* Elsewhere in memory. */
    memmove(data + 1, saved.data, saved.bytes);
    file.data = data + 1;
    NO_NET(map(&file, 0), RN_BAD_ARGUMENT, "not aligned in memory");
    file.data = data;
    /* Another net; and the same for other images. */
    AFRESH();
    other.shortcut = RN_SHORTCUT_DROPOUT;
    NO_NET(rn_create_mapped(&other, BATCH, &file, 1, NULL, &error), RN_MISMATCH,
           "is of another net: shortcut is identity there, dropout here");
    other = desc;
    other.height = 9;
    other.naive = 1;
    net = rn_create_mapped(&other, 1, &file, 0, NULL, &error);
    CHECK(net != NULL && net->desc.height == 9 && net->desc.naive == 1);
    rn_destroy(net);
    /* Others' files: with a description, if all else is as in ours. */
    put_wide(own, 4);
    file = mapping_of("wide");
    NO_NET(map(&file, 0), RN_MISMATCH, "has no description; give one");
    net = rn_create_mapped(&desc, 1, &file, 0, NULL, &error);
    CHECK(net != NULL && net->parameters[0] == 0);
    rn_destroy(net);
    put_wide(own, 8);
    file = mapping_of("wide");
    NO_NET(rn_create_mapped(&desc, 1, &file, 0, NULL, &error), RN_MISMATCH, "is F64");
end:
    free(copy);
    rn_destroy(own);
}

/* A header that is damaged anywhere is refused, or does no harm. */
static void test_damaged_headers(void) {
    rn_desc desc = small_desc();
    rn_net *own = make_net(&desc, 1);
    const rn_mapping saved = mapping_of("net");
    const size_t header = 8 + (size_t)rn__little_endian((const uint8_t *)saved.data, 8);
    region r = guard(saved.data, saved.bytes, 1);
    rn_mapping file = saved;
    size_t i;
    int made = 0;
    if (mprotect(r.pages + sysconf(_SC_PAGESIZE), r.bytes - 2 * (size_t)sysconf(_SC_PAGESIZE),
                 PROT_READ | PROT_WRITE))
        exit(2);
    file.data = r.data;
    for (i = 0; i < header; i++) {
        char *byte = r.pages + ((const char *)r.data - r.pages) + i, was = *byte;
        rn_net *net;
        *byte = (char)(was ^ 1 << i % 7);
        net = map(&file, 1);
        made += net != NULL;
        rn_destroy(net);
        NO_NET_AT_ALL(map(&file, 0));
        *byte = was;
    }
    CHECK(made < (int)header / 2);
    unguard(r);
    rn_destroy(own);
}

/* ---- files in memory, nets made of files ----------------------------------------------------- */

static long blocks, taken; /* not given back; in all */
static void *take(size_t bytes, void *user) {
    (void)user;
    blocks++;
    taken++;
    return malloc(bytes);
}
static void give(void *memory, void *user) {
    (void)user;
    blocks--;
    free(memory);
}

static void test_files_in_memory(void) {
    const rn_desc desc = small_desc();
    rn_net *own = make_net(&desc, 1), *net = net_create(&desc, BATCH, RN_INFERENCE);
    rn_mapping file = mapping_of("net");
    rn_files in_memory = rn_files_in_memory(&file);
    rn_desc found;
    OK(rn_load(net, "flash", &in_memory, &error));
    CHECK(
        !memcmp(net->parameters, own->parameters, (size_t)own->parameter_count * sizeof(rn_real)) ||
        WIDTH == 8);
    OK(rn_load_desc(&found, "flash", &in_memory, &error));
    CHECK_INT(found.base_width, 4);
    FAILS(rn_save(net, "flash", &in_memory, &error), RN_BAD_ARGUMENT, "rn_files lacks a function");
    file.bytes /= 2;
    FAILS(rn_load(net, "flash", &in_memory, &error), RN_BAD_FILE, "flash");
    rn_destroy(net);
    rn_destroy(own);
}

#ifndef RESNET_NO_TRAIN
/* Weights, and all of a checkpoint; files that fail leave nothing. */
static void test_create_from(void) {
    rn_memory memory;
    rn_desc desc = small_desc(), other = small_desc();
    rn_net *net = net_create(&desc, BATCH, RN_TRAINING), *from, *loaded;
    net_batch batch = net_draw_batch(&desc, BATCH, 1);
    long k;
    memset(&memory, 0, sizeof memory);
    memory.alloc = take;
    memory.free = give;
    for (k = 0; k < 3; k++)
        OK(rn_train_step(net, batch.images, batch.labels, BATCH, 0.1, NULL, &error));
    net->epoch = 7;
    net->trainer.seconds = 3;
    OK(rn_save_checkpoint(net, "checkpoint", files, &error));
    OK(rn_save(net, "weights", files, &error));
    from = rn_create_from(NULL, BATCH, RN_TRAINING, "checkpoint", files, &memory, &error);
    CHECK(from != NULL);
    CHECK(blocks == 1);
    CHECK(from->step == 3 && from->epoch == 7 && from->trainer.seconds == 3);
    CHECK(!memcmp(from->velocity, net->velocity, (size_t)net->parameter_count * sizeof(rn_real)));
    OK(rn_train_step(net, batch.images, batch.labels, BATCH, 0.1, NULL, &error));
    OK(rn_train_step(from, batch.images, batch.labels, BATCH, 0.1, NULL, &error));
    CHECK(
        !memcmp(from->parameters, net->parameters, (size_t)net->parameter_count * sizeof(rn_real)));
    rn_destroy(from);
    /* Weights alone: all else as of a new net that loads them. */
    from = rn_create_from(NULL, BATCH, RN_TRAINING, "weights", files, NULL, &error);
    loaded = net_create(&desc, BATCH, RN_TRAINING);
    OK(rn_load(loaded, "weights", files, &error));
    CHECK(from->step == 0 && from->epoch == 0 && from->trainer.seconds == 0);
    for (k = 0; k < from->parameter_count; k++) CHECK(from->velocity[k] == 0);
    CHECK(!memcmp(from->parameters, loaded->parameters,
                  (size_t)net->parameter_count * sizeof(rn_real)));
    CHECK(!memcmp(from->statistics, loaded->statistics,
                  (size_t)net->statistic_count * sizeof(rn_real)));
    rn_destroy(from);
    rn_destroy(loaded);
    /* With a description of one's own. */
    other.naive = 1;
    from = rn_create_from(&other, 1, RN_INFERENCE, "weights", files, &memory, &error);
    CHECK(from != NULL && from->desc.naive == 1 && from->batch == 1);
    rn_destroy(from);
    other.order = RN_ORIGINAL;
    NO_NET(rn_create_from(&other, 1, RN_INFERENCE, "weights", files, &memory, &error), RN_MISMATCH,
           "order is full_preact there, original here");
    NO_NET(rn_create_from(NULL, 1, RN_INFERENCE, "nothing", files, &memory, &error), RN_NO_FILE,
           "nothing");
    NO_NET(rn_create_from(NULL, 0, RN_INFERENCE, "weights", files, &memory, &error),
           RN_BAD_ARGUMENT, "batch is 0");
    /* Reading that fails anywhere; and a byte that is not what it was, anywhere. */
    for (k = 1; k < 1000; k++) {
        d.reads = 0;
        d.fail_read = k;
        from = rn_create_from(NULL, 1, RN_INFERENCE, "weights", files, &memory, &error);
        rn_destroy(from);
        if (from) break;
        CHECK(error.status != RN_OK);
    }
    d.fail_read = 0;
    CHECK(k > 10 && k < 1000);
    {
        disk_file *f = disk_find(&d, "weights");
        for (k = 0; k < (long)f->bytes; k += 7) {
            f->data[k] ^= 4;
            NO_NET_AT_ALL(rn_create_from(NULL, 1, RN_INFERENCE, "weights", files, &memory, &error));
            f->data[k] ^= 4;
        }
    }
    CHECK(blocks == 0 && taken > 3);
    CHECK_INT(d.open, 0);
    rn_destroy(net);
    net_free_batch(&batch);
}
#endif

/* ---- the memory that loading takes ----------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || !defined(__linux__) || defined(__s390x__)
#define UNTOLD
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNTOLD
#endif
#endif

#ifndef UNTOLD
/* The most memory that this process has had, in KB. */
static long peak(void) {
    char line[128];
    long kb = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status)) sscanf(line, "VmHWM: %ld", &kb);
    if (status) fclose(status);
    return kb;
}

/* What a child's peak grows by, in KB; `way` 0: rn_load, 1: rn_create_from. Less the net that the
   latter makes. */
static long growth(const char *path, int way) {
    int ends[2];
    long kb = -1;
    pid_t child;
    if (pipe(ends)) exit(2);
    child = fork();
    if (!child) {
        rn_desc desc;
        rn_net *net = NULL;
        if (way == 0 && !rn_load_desc(&desc, path, NULL, &error))
            net = rn_create(&desc, 1, RN_INFERENCE, NULL, &error);
        kb = peak();
        if (way == 0 && rn_load(net, path, NULL, &error)) _exit(1);
        if (way == 1) net = rn_create_from(NULL, 1, RN_INFERENCE, path, NULL, NULL, &error);
        if (!net) _exit(1);
        kb = peak() - kb - (way == 1 ? (long)(net->bytes / 1024) : 0);
        if (write(ends[1], &kb, sizeof kb) != (ssize_t)sizeof kb) _exit(1);
        _exit(0);
    }
    close(ends[1]);
    CHECK(read(ends[0], &kb, sizeof kb) == (ssize_t)sizeof kb);
    close(ends[0]);
    waitpid(child, NULL, 0);
    return kb;
}
#endif

/* The net and 1 MiB. */
static void test_peak(void) {
#ifdef UNTOLD
    printf("mapped: skipped the memory that loading takes, which cannot be told here\n");
#else
    rn_desc desc = rn_cifar(20);
    char directory[200], path[256];
    pid_t child;
    int way;
    make_directory(directory, sizeof directory);
    snprintf(path, sizeof path, "%s/large", directory);
    desc.base_width = 96; /* 10 M parameters */
    child = fork();
    if (!child) {
        rn_net *net = rn_create(&desc, 1, RN_INFERENCE, NULL, &error);
        _exit(!net || net->parameter_count < 5000000 || rn_save(net, path, NULL, &error));
    }
    waitpid(child, &way, 0);
    CHECK(WIFEXITED(way) && WEXITSTATUS(way) == 0);
    for (way = 0; way < 2; way++) {
        const long kb = growth(path, way);
        printf("mapped: %s takes %ld KB beside the net\n", way ? "rn_create_from" : "rn_load", kb);
        CHECK(kb <= 1024);
    }
    remove(path);
    rmdir(directory);
#endif
}

int main(void) {
    test_peak(); /* first, while this process is small */
    files = disk_init(&d);
    test_nets();
    if (little_endian() && WIDTH == 4) test_sharing();
    test_bytes();
    test_deep_bytes();
    test_writers();
    test_arrays_refused();
    test_files_refused();
    if (little_endian() && WIDTH == 4) test_damaged_headers();
    test_files_in_memory();
#ifndef RESNET_NO_TRAIN
    test_create_from();
#endif
    disk_free(&d);
    return test_end("mapped");
}
