/* files.c - safetensors, weights and checkpoints: what is written comes back, and training goes on
   with the same bits; damaged headers of many kinds; every byte of a checkpoint flipped, and every
   place where it can be cut; saving with a failure at every step of the way; files of other nets,
   of other programs, with tensors too many, too few, twice, of another shape or not finite. Where
   loading fails, the whole net must be what it was, to the bit.

   cc -std=c99 -O2 -o files tests/files.c -lm && ./files */

#define _POSIX_C_SOURCE 200809L /* mkdir, getpid */
#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "disk.h"
#include "test.h"

#include "nets.h"

#include <sys/stat.h>

static rn_error error;
static disk d; /* where the files of most tests lie */
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

/* ---- nets ------------------------------------------------------------------------------------ */

enum { BATCH = 5, IMAGE = 2 * 6 * 6 };

static rn_desc small_desc(void) {
    rn_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.units[0] = desc.units[1] = 1;
    desc.base_width = 2;
    desc.channels = 2;
    desc.height = desc.width = 6;
    desc.classes = 3;
    desc.order = RN_ORIGINAL;
    desc.shortcut = RN_SHORTCUT_DROPOUT; /* its masks depend on seed and step */
    desc.momentum = 0.9;
    desc.weight_decay = 1e-3;
    desc.mean[1] = 0.5f;
    desc.deviation[0] = 0.25f;
    desc.seed = 0xfedcba9876543210u;
    return desc;
}

static rn_net *make_net(const rn_desc *desc, rn_mode mode) {
    rn_net *net = rn_create(desc, BATCH, mode, NULL, &error);
    if (!net) {
        fprintf(stderr, "%s\n", error.text);
        exit(2);
    }
    return net;
}

static void train(rn_net *net, int steps) {
    static rn_real images[BATCH * IMAGE];
    int labels[BATCH], i;
    for (; steps > 0; steps--) {
        rn_key key = {5, 100, 0};
        key.epoch = net->step;
        for (i = 0; i < BATCH * IMAGE; i++) images[i] = (rn_real)rn_normal(key, (uint64_t)i);
        for (i = 0; i < BATCH; i++) labels[i] = (int)(((uint64_t)i + net->step) % 3);
        OK(rn_train_step(net, images, labels, BATCH, rn_learning_rate(&net->schedule, net->step),
                         NULL, &error));
        net->cursor += BATCH;
    }
}

/* A trained net whose every field that a checkpoint keeps has a value of its own. */
static rn_net *trained_net(void) {
    rn_desc desc = small_desc();
    rn_net *net = make_net(&desc, RN_TRAINING);
    net->schedule = rn_make_schedule(RN_ONE_CYCLE, 0.1, 20);
    net->schedule.drops[0] = 11;
    net->schedule.drops[1] = UINT64_MAX;
    net->schedule.warmup_steps = 3;
    net->schedule.warmup_rate = 1e-300;
    net->epoch = 12345678901u;
    net->trainer.data = 0xfedcba9876543211u;
    net->trainer.batch = BATCH;
    net->trainer.pad = 4;
    net->trainer.loss = 0.1;
    net->trainer.correct = 7;
    net->trainer.seconds = 1e-9;
    net->trainer.test_accuracy = 87.65;
    train(net, 3);
    return net;
}

/* To the bit; but files hold floats, so with another RESNET_REAL nearly. */
static int same(const rn_real *a, const rn_real *b, ptrdiff_t count) {
    ptrdiff_t i;
    if (sizeof *a == sizeof(float)) return !memcmp(a, b, (size_t)count * sizeof *a);
    for (i = 0; i < count; i++)
        if (!(fabs((double)(a[i] - b[i])) < 1e-5)) return 0;
    return 1;
}

static int same_arrays(const rn_net *a, const rn_net *b, int velocity) {
    return a->parameter_count == b->parameter_count && a->statistic_count == b->statistic_count &&
           same(a->parameters, b->parameters, a->parameter_count) &&
           same(a->statistics, b->statistics, a->statistic_count) &&
           (!velocity || same(a->velocity, b->velocity, a->parameter_count));
}

/* Keeps the whole block of a net, and tells later whether any byte of it has changed. */
static void *keep(const rn_net *net) {
    void *copy = malloc(net->bytes);
    if (!copy) exit(2);
    return memcpy(copy, net, net->bytes);
}
static int unchanged(const rn_net *net, const void *copy) { return !memcmp(net, copy, net->bytes); }

/* rn_load that must fail and leave the net alone. */
#define REFUSES(net, path, expected, part)                        \
    do {                                                          \
        void *copy_ = keep(net);                                  \
        FAILS(rn_load(net, path, files, &error), expected, part); \
        CHECK(unchanged(net, copy_));                             \
        CHECK_INT(d.open, 0);                                     \
        free(copy_);                                              \
    } while (0)

/* ---- files made by hand ---------------------------------------------------------------------- */

/* Floats to the order of bytes that files have, or back. */
static void swap_floats(float *numbers, size_t count) {
    const uint16_t one = 1;
    unsigned char *b = (unsigned char *)numbers, swapped[4];
    size_t i;
    int k;
    for (i = 0; i < count && !*(const unsigned char *)&one; i++, b += 4) {
        for (k = 0; k < 4; k++) swapped[k] = b[3 - k];
        memcpy(b, swapped, 4);
    }
}

static void put_archive(const char *path, const char *json, const void *data, size_t bytes) {
    size_t length = strlen(json), i;
    unsigned char head[8];
    disk_file *f;
    for (i = 0; i < 8; i++) head[i] = (unsigned char)((uint64_t)length >> 8 * i & 255);
    f = disk_put(&d, path, head, 8);
    disk_write(f, json, length);
    disk_write(f, data, bytes);
}

/* The tensors of a net as another program might write them: with spaces, backwards, and beside
   others. `change` picks a fault. */
typedef enum fault {
    NO_FAULT,
    MISSING,  /* fc.bias */
    TWICE,    /* the first */
    UNKNOWN,  /* one more */
    INTEGERS, /* one more, I64 [1] */
    COUNT,    /* fc.bias as one I64 */
    NARROW,   /* conv1.weight with one channel fewer */
    DTYPE,    /* I32 in place of F32 */
    SHAPE,    /* [3,4] as [4,3] */
    NAN_WEIGHT,
    INFINITE_MEAN,
    NEGATIVE_VARIANCE,
    FOUR_DIMS, /* [2] as [2,1,1,1], which is no fault */
    FIVE_DIMS  /* [2] as [2,1,1,1,1] */
} fault;

typedef struct text {
    char *data;
    size_t length;
} text;

static void add(text *t, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    t->length += (size_t)vsprintf(t->data + t->length, format, arguments);
    va_end(arguments);
}

static void put_float(float *to, float value) {
    *to = value;
    swap_floats(to, 1);
}

static void put_foreign(const char *path, const rn_net *net, fault change) {
    static char json[20000];
    static float data[20000];
    rn_parameter list[64];
    int count = 0, i, k;
    size_t at = 0;
    text t = {json, 0};
    memset(list, 0, sizeof list);
    memset(data, 0, sizeof data);
    while (rn_next_parameter(net, &list[count])) {
        list[count + 1] = list[count];
        count++;
    }
    if (change == TWICE) list[count] = list[0], count++;
    add(&t, "{ \"note\"\t:\r\n {\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}\n");
    at += 2;
    for (i = count - 1; i >= 0; i--) {
        const rn_parameter *p = &list[i];
        size_t begin = at;
        if (change == MISSING && !strcmp(p->name, "fc.bias")) continue;
        if (change == COUNT && !strcmp(p->name, "fc.bias")) {
            add(&t, ",\"fc.bias\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[%d,%d]}",
                (int)(4 * at), (int)(4 * at + 8));
            at += 2;
            continue;
        }
        for (k = 0; k < p->count / (change == NARROW && i == 0 ? 2 : 1); k++)
            put_float(&data[at++], (float)p->data[k]);
        if (change == NAN_WEIGHT && !strcmp(p->name, "layer2.0.conv2.weight"))
            memset(&data[begin + 7], 0xff, 4);
        if (change == NEGATIVE_VARIANCE && !strcmp(p->name, "layer2.0.bn2.running_var"))
            put_float(&data[begin + 1], -1);
        if (change == INFINITE_MEAN && p->role == RN_RUNNING_MEAN) {
            static const unsigned char infinity[4] = {0, 0, 0x80, 0xff}; /* little-endian */
            memcpy(&data[begin], infinity, 4);
        }
        add(&t, ",\n \"%s\" : {\"shape\":[", p->name);
        for (k = 0; k < p->dims; k++) {
            int swap = change == SHAPE && !strcmp(p->name, "fc.weight");
            int narrow = change == NARROW && i == 0 && k == 1;
            add(&t, k ? ", %d" : "%d", narrow ? 1 : p->shape[swap ? 1 - k : k]);
        }
        if (change == FOUR_DIMS && p->dims == 1) add(&t, ",1,1,1");
        if (change == FIVE_DIMS && p->dims == 1) add(&t, ",1,1,1,1");
        add(&t, "], \"data_offsets\" :[%d,%d] ,\"dtype\":\"%s\"}", (int)(4 * begin), (int)(4 * at),
            change == DTYPE && i == 0 ? "I32" : "F32");
        if (p->role == RN_RUNNING_VAR) {
            add(&t, ",\"%.*s.num_batches_tracked\":{\"dtype\":\"I64\",\"shape\":[1],",
                (int)strlen(p->name) - 12, p->name);
            add(&t, "\"data_offsets\":[%d,%d]}", (int)(4 * at), (int)(4 * at + 8));
            at += 2;
        }
    }
    if (change == INTEGERS) {
        add(&t, ",\"fc.count\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
            (int)(4 * at), (int)(4 * at + 8));
        at += 2;
    }
    if (change == UNKNOWN) {
        add(&t, ",\"fc.scale\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
            (int)(4 * at), (int)(4 * at + 4));
        put_float(&data[at++], 1);
    }
    add(&t, ",\"__metadata__\":{\"format\":\"pt\",\"schedule.kind\":\"steps\",\"step\":\"no number "
            "of ours\"}}");
    put_archive(path, json, data, 4 * at);
}

/* ---- the archive ----------------------------------------------------------------------------- */

static void test_archive(void) {
    rn_archive a;
    rn_entry e;
    char value[32];
    float numbers[8];
    int i;
    float data[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    static char wide[4000];
    text t = {wide, 0};
    swap_floats(data, 8);
    put_archive(
        "a",
        " { \"x\\u0041\\n\\\"\\u00e9\\u20AC\\ud83d\\ude00\" : "
        "{\"dtype\":\"F32\",\"shape\":[2,1,3], "
        "\"data_offsets\":[8,32]}, \"__metadata__\":{\"k\":\"v\\/\\\\\",\"long\":\"0123456789\"},"
        "\"y\":{\"data_offsets\":[0,8],\"shape\":[],\"dtype\":\"F64\"},"
        "\"none\":{\"dtype\":\"BOOL\",\"shape\":[0,7],\"data_offsets\":[8,8]}}  ",
        data, sizeof data);
    OK(rn_archive_open(&a, "a", files, &error));
    CHECK_INT(rn_archive_next(&a, &e, &error), 1);
    CHECK_TEXT(e.name, "xA\n\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    CHECK_INT(strlen(e.name), 13);
    CHECK_TEXT(e.dtype, "F32");
    CHECK_INT(e.dims, 3);
    CHECK_INT(e.shape[0] * 1000 + e.shape[1] * 100 + e.shape[2] * 10 + e.shape[3], 2131);
    CHECK_INT(e.bytes, 24);
    OK(rn_archive_read(&a, &e, 4, numbers, 12, &error));
    swap_floats(numbers, 3);
    for (i = 0; i < 3; i++) CHECK_NEAR(numbers[i], i + 4, 0);
    FAILS(rn_archive_read(&a, &e, 16, numbers, 9, &error), RN_BAD_ARGUMENT, "which has 24");
    FAILS(rn_archive_read(&a, &e, 25, numbers, 0, &error), RN_BAD_ARGUMENT, "which has 24");
    FAILS(rn_archive_read(&a, &e, UINT64_MAX, numbers, 8, &error), RN_BAD_ARGUMENT, "which has 24");
    OK(rn_archive_metadata(&a, "k", value, sizeof value, &error));
    CHECK(!strcmp(value, "v/\\"));
    OK(rn_archive_metadata(&a, "long", value, 11, &error));
    FAILS(rn_archive_metadata(&a, "long", value, 10, &error), RN_TOO_SMALL, "takes 11 bytes");
    CHECK(!strcmp(value, "012345678"));
    FAILS(rn_archive_metadata(&a, "other", value, sizeof value, &error), RN_MISMATCH, "other");
    CHECK_INT(rn_archive_next(&a, &e, &error), 1); /* goes on where it stood */
    CHECK(!strcmp(e.name, "y") && e.dims == 0 && e.shape[0] == 1 && e.bytes == 8);
    CHECK_INT(rn_archive_next(&a, &e, &error), 1);
    CHECK(!strcmp(e.name, "none") && e.bytes == 0 && e.shape[0] == 0);
    CHECK_INT(rn_archive_next(&a, &e, &error), 0);
    CHECK_INT(rn_archive_next(&a, &e, &error), 0);
    OK(rn_archive_find(&a, "y", &e, &error));
    OK(rn_archive_find(&a, "y", &e, &error));
    OK(rn_archive_find(&a, "none", &e, &error));
    OK(rn_archive_find(&a, "y", &e, &error));
    FAILS(rn_archive_find(&a, "z", &e, &error), RN_MISMATCH, "no tensor \"z\"");
    rn_archive_close(&a);
    rn_archive_close(&a);
    CHECK_INT(d.open, 0);

    put_archive("a", "{}", data, 0);
    OK(rn_archive_open(&a, "a", files, &error));
    CHECK_INT(rn_archive_next(&a, &e, &error), 0);
    CHECK_INT(rn_archive_next(&a, &e, &error), 0);
    FAILS(rn_archive_find(&a, "x", &e, &error), RN_MISMATCH, "no tensor");
    FAILS(rn_archive_metadata(&a, "x", value, sizeof value, &error), RN_MISMATCH, "no metadata");
    rn_archive_close(&a);

    add(&t, "{"); /* longer than the window, everything at every place in it */
    for (i = 0; i < 50; i++)
        add(&t, "%s\"%.*s%d\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
            i ? "," : "", i % 7, "abcdefg", i, 49 - i, 50 - i);
    add(&t, "}");
    put_archive("a", wide, wide, 50);
    OK(rn_archive_open(&a, "a", files, &error));
    for (i = 0; i < 50; i++) {
        char name[32], byte = 0;
        snprintf(name, sizeof name, "%.*s%d", i * 11 % 50 % 7, "abcdefg", i * 11 % 50);
        OK(rn_archive_find(&a, name, &e, &error));
        OK(rn_archive_read(&a, &e, 0, &byte, 1, &error));
        CHECK_INT(byte, wide[49 - i * 11 % 50]);
    }
    rn_archive_close(&a);
    FAILS(rn_archive_open(&a, "nothing", files, &error), RN_NO_FILE, "cannot open nothing");
    rn_archive_close(&a);
}

/* What stands beside the tensors that are wanted does not spoil them. */
static void test_others_archives(void) {
#define T(shape, from, to) \
    "{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"
#define NAME_81 "0123456789012345678901234567890123456789.0123456789012345678901234567890123456789"
    const char *json = "{\"" NAME_81 NAME_81 "\":" T(
        "[1]", 0, 4) ",\"__metadata__\":{\"format\":\"pt\",\"none\":null,"
                     "\"tree\":{\"a\":[1,{}]},\"good\":\"value\"},\"" NAME_81
                     "01234567890123\":" T("[]", 4, 8) ",\"six\":" T(
                         "[1,2,1,1,1,3]", 8,
                         32) ",\"packed\":{\"dtype\":\"Q4_0\",\"shape\":[32],"
                             "\"data_offsets\":[32,50],\"scale\":null},\"x\":" T("[2]", 50, 58) "}";
    unsigned char data[58];
    rn_archive a;
    rn_entry e;
    char value[16], name[sizeof e.name];
    float numbers[2];
    int i;
    for (i = 0; i < 58; i++)
        data[i] = (unsigned char)(i == 52 || i == 56 ? 0x80 : i == 53 || i == 57 ? 0x3f : 0);
    put_archive("a", json, data, sizeof data);
    OK(rn_archive_open(&a, "a", files, &error));
    CHECK_INT(rn_archive_next(&a, &e, &error), 1);
    CHECK_INT(e.name_length, 162);
    CHECK_INT(strlen(e.name), 95);
    memcpy(name, e.name, sizeof name); /* is the whole name of another */
    CHECK(!strcmp(name, NAME_81 "01234567890123"));
    OK(rn_archive_find(&a, name, &e, &error));
    CHECK_INT(e.name_length, 95);
    CHECK_INT(e.begin - a.json_end, 4);
    OK(rn_archive_find(&a, "six", &e, &error));
    CHECK_INT(e.dims, 6);
    CHECK(e.shape[0] == 1 && e.shape[1] == 2 && e.shape[2] == 1 && e.shape[3] == 1);
    OK(rn_archive_find(&a, "packed", &e, &error));
    CHECK_INT(e.bytes, 18);
    CHECK_TEXT(e.dtype, "Q4_0");
    OK(rn_archive_find(&a, "x", &e, &error));
    OK(rn_archive_read(&a, &e, 0, numbers, 8, &error));
    swap_floats(numbers, 2);
    CHECK(numbers[0] == 1 && numbers[1] == 1);
    OK(rn_archive_find(&a, name, &e, &error)); /* and the longer one stands first now */
    CHECK_INT(e.begin - a.json_end, 4);
    OK(rn_archive_metadata(&a, "good", value, sizeof value, &error));
    CHECK(!strcmp(value, "value"));
    FAILS(rn_archive_metadata(&a, "none", value, sizeof value, &error), RN_MISMATCH, "no metadata");
    FAILS(rn_archive_metadata(&a, "tree", value, sizeof value, &error), RN_MISMATCH, "no metadata");
    FAILS(rn_archive_metadata(&a, "a", value, sizeof value, &error), RN_MISMATCH, "no metadata");
    rn_archive_close(&a);
#undef T
}

static void test_damaged_headers(void) {
#define T "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}" /* a good tensor of 8 bytes */
    static const char *const cases[][2] = {
        {"{\"a\":" T "}", NULL}, /* the good one */
        {"{\"a\":" T ",\"__metadata__\":{}}", NULL},
        {"{\"a\":" T, "damaged"},
        {"\"a\":" T "}", "damaged at byte 8"},
        {"[\"a\":" T "]", "damaged"},
        {"{\"a\":" T "}}", "where the end"},
        {"{\"a\":" T "} x", "where the end"},
        {"{\"a\":" T ",}", "a name"},
        {"{,\"a\":" T "}", "a name"},
        {"{\"a\" " T "}", "a name"},
        {"{a:" T "}", "a name"},
        {"{\"a:" T "}", "damaged"},
        {"{\"a\n\":" T "}", "a name"},
        {"{\"\\u12g4\":" T "}", "a name"},
        {"{\"\\u0000\":" T "}", "a name"},
        {"{\"\\ud800\":" T "}", "a name"},
        {"{\"\\ud800\\u0041\":" T "}", "a name"},
        {"{\"\\udc00\":" T "}", "a name"},
        {"{\"\\x41\":" T "}", "a name"},
        {"{\"\\", "a name"},
        {"{\"a\":" T " \"b\":" T "}", "a name"},
        {"{\"01234567890123456789012345678901234567890123456789012345678901234567890123456789012345"
         "67"
         "89012345\":" T "}",
         NULL},
        {"{\"a\":[]}", "the { of a tensor"},
        {"{\"a\":{}}", "dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "the rest of"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", "the rest of"},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", "the rest of"},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
         "once"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"more\":[1]}}", NULL},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"more\":}}", "dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"more\":[1,]}}", "dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"more\":{\"x\":[{}]}}}",
         NULL},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"more\":{\"x\":[{]}}}}",
         "dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],"
         "\"more\":[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}}",
         "dtype"},
        {"{\"a\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}", NULL},
        {"{\"a\":{\"dtype\":\"F32345678\",\"shape\":[2],\"data_offsets\":[0,8]}}", NULL},
        {"{\"a\":{\"dtype\":\"F32456789012345678\",\"shape\":[2],\"data_offsets\":[0,8]}}", NULL},
        {"{\"a\":{\"dtype\":\"\",\"shape\":[2],\"data_offsets\":[0,8]}}", NULL},
        {"{\"a\":{\"dtype\":32,\"shape\":[2],\"data_offsets\":[0,8]}}", "dtype"},
        {"{\"a\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,8]}}",
         "8 bytes, but its dtype F64 and shape say 16"},
        {"{\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,8]}}", "shape say 4"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", "shape say 12"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", "dtype, shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", "dtype, shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2,],\"data_offsets\":[0,8]}}", "dtype, shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,2],\"data_offsets\":[0,8]}}", NULL},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,3],\"data_offsets\":[0,8]}}", "say 12"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,2],\"data_offsets\":[0,8]}}",
         "shape say 9223372036854775807"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,1,2,1],\"data_offsets\":[0,8]}}",
         "shape say 9223372036854775807"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[18446744073709551618],\"data_offsets\":[0,8]}}",
         "dtype, shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8]}}", "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8}}", "data_offsets"},
        {"{\"a\":{\"dtype\":\"F8_E4M3X\",\"shape\":[8],\"data_offsets\":[0,8]}}", NULL},
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[9],\"data_offsets\":[0,8]}}", "say 9"},
        {"{\"a\":" T ",\"b\":{\"dtype\":\"X\",\"shape\":[0],\"data_offsets\":[8,8]}}", NULL},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "lies at 8 to 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", "is the file cut?"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "unused"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "unused"},
        {"{\"a\":" T ",\"b\":" T "}", "overlap"},
        {"{\"a\":" T ",\"b\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[2,6]}}", "overlap"},
        {"{}", "unused"},
        {"{\"a\":" T ",\"__metadata__\":[]}", NULL},
        {"{\"a\":" T ",\"__metadata__\":null}", NULL},
        {"{\"a\":" T ",\"__metadata__\":{\"x\":null,\"y\":{\"z\":[1.5e-3,true]}}}", NULL},
        {"{\"a\":" T ",\"__metadata__\":{\"x\":1}}", NULL},
        {"{\"a\":" T ",\"__metadata__\":{\"x\":\"y\",}}", "{\"key\":\"value\"}"},
        {"{\"a\":" T ",\"__metadata__\":{\"x\":\"y\"{\"z\":\"y\"}}", "{\"key\":\"value\"}"},
        {"{\"a\":" T ",\"__metadata__\":{\"x\"}}", "{\"key\":\"value\"}"},
        {"{\"a\":" T ",\"__metadata__\":{\"x\":\"y\"", "{\"key\":\"value\"}"},
        {"{\"a\":" T "\"b\"}", "a name"}};
    rn_desc desc = small_desc();
    rn_net *net = make_net(&desc, RN_TRAINING);
    rn_archive a;
    unsigned char head[16] = {0};
    int i;
    size_t k;
    for (i = 0; i < (int)(sizeof cases / sizeof cases[0]); i++) {
        put_archive("a", cases[i][0], "12345678", 8);
        if (cases[i][1]) {
            FAILS(rn_archive_open(&a, "a", files, &error), RN_BAD_FILE, cases[i][1]);
            REFUSES(net, "a", RN_BAD_FILE, cases[i][1]);
        } else {
            OK(rn_archive_open(&a, "a", files, &error));
            rn_archive_close(&a);
            REFUSES(net, "a", RN_MISMATCH, "which this net has not");
        }
        rn_archive_close(&a);
        CHECK_INT(d.open, 0);
        for (k = 8; k < 8 + strlen(cases[i][0]); k++) { /* cut anywhere, and the length with it */
            disk_file *f = disk_find(&d, "a");
            unsigned char keep_byte = f->data[0];
            size_t keep_bytes = f->bytes;
            f->data[0] = (unsigned char)(k - 8);
            f->bytes = k;
            if (k - 8 < 256) CHECK(rn_archive_open(&a, "a", files, &error) < 0);
            f->bytes = keep_bytes;
            f->data[0] = keep_byte;
        }
    }
    for (k = 0; k < 10; k++) { /* no room for a header, or one of length 0 */
        disk_put(&d, "a", head, k);
        FAILS(rn_archive_open(&a, "a", files, &error), RN_BAD_FILE, "is it safetensors");
    }
    memset(head, 0xff, 8);
    disk_put(&d, "a", head, sizeof head);
    FAILS(rn_archive_open(&a, "a", files, &error), RN_BAD_FILE, "its header 18446744073709551615");
    memset(head, 0, 8);
    head[0] = 9;
    disk_put(&d, "a", head, sizeof head);
    FAILS(rn_archive_open(&a, "a", files, &error), RN_BAD_FILE, "has 16 bytes, its header 9");
    rn_destroy(net);
}

/* ---- weights and checkpoints ----------------------------------------------------------------- */

static void test_round_trip(void) {
    rn_desc desc = small_desc(), stored, resolved = desc;
    rn_net *net = trained_net(), *again, *weights, *predicting;
    rn_archive a;
    char value[96], other[96];
    int i;
    void *copy = keep(net);
    OK(rn_save_checkpoint(net, "c", files, &error));
    OK(rn_save(net, "w", files, &error));
    CHECK(unchanged(net, copy));
    CHECK(!disk_find(&d, "c.tmp") && !disk_find(&d, "w.tmp") && d.open == 0);
    CHECK(disk_find(&d, "w")->bytes < disk_find(&d, "c")->bytes);

    OK(rn_load_desc(&stored, "c", files, &error)); /* a file alone recreates its net */
    OK(rn_resolve(&resolved, &error));
    resolved.isa = RN_ISA_AUTO;
    resolved.threads = 1;
    for (i = 0; rn_desc_key(i); i++) {
        rn_desc_get(&stored, i, value);
        rn_desc_get(&resolved, i, other);
        CHECK(!strcmp(value, other));
    }
    again = make_net(&stored, RN_TRAINING);
    CHECK(!same_arrays(net, again, 1));
    OK(rn_load(again, "c", files, &error));
    CHECK(same_arrays(net, again, 1));
    CHECK_INT(again->step, 3);
    CHECK_INT(again->epoch, 12345678901);
    CHECK_INT(again->cursor, 15);
    CHECK(net_same_schedule(&again->schedule, &net->schedule));
    CHECK(!memcmp(&again->trainer, &net->trainer, sizeof net->trainer));
    train(net, 4); /* 3 + 4 steps either way */
    train(again, 4);
    CHECK(same_arrays(net, again, 1));
    CHECK_INT(again->step, 7);

    stored.seed = 1; /* what a checkpoint brings along */
    stored.sgd = RN_SGD_CAFFE;
    stored.momentum = stored.weight_decay = 0;
    stored.decay_scope = RN_DECAY_WEIGHTS;
    stored.bn_momentum = 0.5;
    stored.threads = 3;
    weights = make_net(&stored, RN_TRAINING);
    OK(rn_load(weights, "c", files, &error));
    CHECK_INT(weights->desc.threads, 3);
    train(weights, 4);
    CHECK(same_arrays(net, weights, 1));
    rn_destroy(weights);

    weights = make_net(&stored, RN_TRAINING); /* weights alone leave the rest alone */
    copy = memcpy(copy, weights, weights->bytes < net->bytes ? weights->bytes : net->bytes);
    weights->images = again->images = BATCH; /* gradients as rn_backpropagate leaves them, */
    OK(rn_load(weights, "w", files, &error));
    OK(rn_load(again, "c", files, &error));
    CHECK(weights->images == 0 && again->images == 0); /* which are not of these weights */
    CHECK(same_arrays(weights, again, 0));
    CHECK(weights->step == 0 && weights->epoch == 0 && weights->desc.seed == 1);
    CHECK(weights->desc.momentum == 0 && weights->velocity[0] == 0);

    memset(&net->trainer, 0, sizeof net->trainer); /* as in files of older programs */
    OK(rn_save_checkpoint(net, "older", files, &error));
    CHECK(again->trainer.batch == BATCH);
    OK(rn_load(again, "older", files, &error));
    CHECK(!memcmp(&again->trainer, &net->trainer, sizeof net->trainer));
    CHECK_INT(again->step, 7);
    disk_delete(&d, "older");

    predicting = make_net(&desc, RN_INFERENCE);
    OK(rn_load(predicting, "c", files, &error));
    CHECK(same_arrays(predicting, weights, 0));
    CHECK_INT(predicting->step, 0);
    FAILS(rn_save_checkpoint(predicting, "p", files, &error), RN_BAD_ARGUMENT, "use rn_save");
    predicting->trainer.test_accuracy = 87.65;
    OK(rn_save(predicting, "w2", files, &error));
    CHECK_INT(disk_find(&d, "w2")->bytes, disk_find(&d, "w")->bytes);
    rn_initialise(predicting);
    CHECK(!(predicting->trainer.test_accuracy > 0)); /* that of other weights */

    OK(rn_archive_open(&a, "c", files, &error)); /* what others see */
    CHECK_INT(a.json_end % 64, 0);
    OK(rn_archive_metadata(&a, "format", value, sizeof value, &error));
    CHECK_TEXT(value, "resnet.h");
    OK(rn_archive_metadata(&a, "schedule.warmup_rate", value, sizeof value, &error));
    CHECK_TEXT(value, "0x01a56e1fc2f8f359"); /* 1e-300 */
    OK(rn_archive_metadata(&a, "schedule.drop2", value, sizeof value, &error));
    CHECK_TEXT(value, "18446744073709551615");
    FAILS(rn_archive_metadata(&a, "trainer.flip", value, sizeof value, &error), RN_MISMATCH,
          "no metadata"); /* zero */
    OK(rn_archive_metadata(&a, "crc", value, sizeof value, &error));
    CHECK_INT(strlen(value), 8);
    rn_archive_close(&a);
    OK(rn_archive_open(&a, "w", files, &error)); /* weights alone tell how good they are */
    OK(rn_archive_metadata(&a, "trainer.test_accuracy", value, sizeof value, &error));
    CHECK_TEXT(value, "0x4055e9999999999a"); /* 87.65 */
    FAILS(rn_archive_metadata(&a, "trainer.batch", value, sizeof value, &error), RN_MISMATCH, "no");
    rn_archive_close(&a);
    free(copy);
    rn_destroy(net);
    rn_destroy(again);
    rn_destroy(weights);
    rn_destroy(predicting);

    desc.naive = 1; /* how one machine computed is not for the next one */
    desc.threads = 7;
    desc.isa = RN_ISA_PORTABLE;
    net = make_net(&desc, RN_INFERENCE);
    OK(rn_save(net, "w", files, &error));
    OK(rn_load_desc(&stored, "w", files, &error));
    CHECK_INT(stored.threads, 1);
    CHECK_INT(stored.isa, RN_ISA_AUTO);
    CHECK_INT(stored.naive, sizeof(rn_real) != sizeof(float));
    rn_destroy(net);
}

/* Sets the digits of the CRC right. */
static void repair(disk_file *f) {
    static const char key[] = "\"crc\":\"";
    char digits[9];
    size_t at = 0;
    while (memcmp(f->data + at, key, sizeof key - 1)) at++;
    at += sizeof key - 1;
    memcpy(f->data + at, "00000000", 8);
    snprintf(digits, sizeof digits, "%08lx", (unsigned long)rn__crc32(0, f->data, f->bytes));
    memcpy(f->data + at, digits, 8);
}

/* How a file says that its machine computed is not taken, be it possible or not. */
static void test_machine(void) {
    static const char *const values[] = {"7", "4711", "-3", "many", "1", "avx512", "\\u00e9"};
    static const char *const keys[] = {"threads", "naive",       "direct", "unfused",
                                       "isa",     "micro_batch", "budget"};
    rn_desc desc, machine;
    char json[800], value[96], expected[96];
    int i, k, n;
    put_archive("a", "{\"__metadata__\":{\"format\":\"resnet.h\",\"crc\":\"00000000\"}}", "", 0);
    repair(disk_find(&d, "a"));
    OK(rn_load_desc(&machine, "a", files, &error)); /* a file that says nothing */
    CHECK_INT(machine.threads, 1);
    CHECK_INT(machine.naive, sizeof(rn_real) != sizeof(float));
    CHECK(machine.budget == 0 && machine.micro_batch == 0 && machine.direct == 0 &&
          machine.unfused == 0);
    for (i = 0; i < 7; i++) {
        n = snprintf(json, sizeof json,
                     "{\"__metadata__\":{\"format\":\"resnet.h\",\"crc\":\"00000000\"");
        for (k = 0; k < 7; k++)
            n += snprintf(json + n, sizeof json - (size_t)n, ",\"desc.%s\":\"%s\"", keys[k],
                          values[i]);
        snprintf(json + n, sizeof json - (size_t)n, "}}");
        put_archive("a", json, "", 0);
        repair(disk_find(&d, "a"));
        OK(rn_load_desc(&desc, "a", files, &error));
        for (k = 0; rn_desc_key(k); k++) {
            rn_desc_get(&desc, k, value);
            rn_desc_get(&machine, k, expected);
            CHECK(!strcmp(value, expected));
        }
    }
}

/* The CRC is that of zip: of "123456789" it is cbf43926. */
static void test_crc(void) {
    CHECK_INT(rn__crc32(0, (const uint8_t *)"123456789", 9), 0xcbf43926);
    CHECK_INT(rn__crc32(rn__crc32(0, (const uint8_t *)"1234", 4), (const uint8_t *)"56789", 5),
              0xcbf43926);
}

/* The same for data of any length and place at once and byte by byte, which is another way. */
static void test_long_crc(void) {
    static uint8_t data[1024 + 2];
    size_t bytes, at, i;
    for (i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * i / 3 ^ i >> 2);
    for (bytes = 0; bytes <= 1024; bytes += bytes < 200 ? 1 : 103)
        for (at = 0; at < 3; at++) {
            uint32_t crc = 77;
            for (i = 0; i < bytes; i++) crc = rn__crc32(crc, data + at + i, 1);
            CHECK_INT(rn__crc32(77, data + at, bytes), crc);
        }
}

/* Names of classes come back as they are, whatever is in them, and are refused where they are not
   one a class, or no UTF-8; then the older file stays. */
static void test_class_names(void) {
    static const char names[] = "a \"b\" \\n\ntab\there, bell\a\n"
                                "\xc3\xa9t\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xbb\x7f";
    static const char *const damaged[] = {
        "a\nb\n\xff",   "a\nb\n\xc3",       "a\nb\n\xc0\xaf", "\xed\xa0\x80\n\n",
        "\xe2\x82\n\n", "\xe0\x82\xac\n\n", "\n\x80\n",       "\xf4\x90\x80\x80\n\n"};
    rn_net *net = trained_net();
    rn_archive a;
    char read[100];
    size_t i;
    int checkpoint;
    net->class_names = names;
    for (checkpoint = 0; checkpoint < 2; checkpoint++) {
        OK(checkpoint ? rn_save_checkpoint(net, "n", files, &error)
                      : rn_save(net, "n", files, &error));
        OK(rn_archive_open(&a, "n", files, &error));
        OK(rn_archive_metadata(&a, "class_names", read, sizeof read, &error));
        CHECK(!strcmp(read, names));
        rn_archive_close(&a);
        OK(rn_load(net, "n", files, &error));
        CHECK(net->class_names == names);
    }
    for (i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        net->class_names = damaged[i];
        FAILS(rn_save(net, "n", files, &error), RN_BAD_ARGUMENT, "is not UTF-8");
    }
    net->class_names = "a\nb";
    FAILS(rn_save(net, "n", files, &error), RN_BAD_ARGUMENT, "has 2 lines and the net 3 classes");
    OK(rn_load(net, "n", files, &error));
    rn_destroy(net);
}

/* Every byte with one of its bits flipped, and every length. */
static void test_flips_and_cuts(void) {
    rn_net *net = trained_net();
    rn_desc desc = small_desc(), stored;
    rn_net *other = make_net(&desc, RN_TRAINING);
    disk_file *f;
    void *before = keep(other);
    size_t i;
    int loaded = 0;
    OK(rn_save_checkpoint(net, "c", files, &error));
    f = disk_find(&d, "c");
    for (i = 0; i < f->bytes; i++) {
        f->data[i] ^= (unsigned char)(1 << i % 8);
        memset(&error, 0, sizeof error);
        if (rn_load(other, "c", files, &error) == RN_OK) {
            loaded++;
            fprintf(stderr, "byte %d flipped, and yet loaded\n", (int)i);
        } else
            CHECK(error.text[0] != 0);
        CHECK(unchanged(other, before));
        CHECK(rn_load_desc(&stored, "c", files, &error) < 0);
        f->data[i] ^= (unsigned char)(1 << i % 8);
    }
    CHECK_INT(loaded, 0);
    for (i = f->bytes; i-- > 0;) {
        f->bytes = i;
        CHECK(rn_load(other, "c", files, &error) == RN_BAD_FILE);
        CHECK(unchanged(other, before));
    }
    CHECK_INT(d.open, 0);
    free(before);
    rn_destroy(net);
    rn_destroy(other);
}

/* Files that say that they are ours, with a CRC that is right, and yet are not. */
static void test_forged(void) {
    static const char *const metadata[][2] = {
        {"\"desc.order\":\"future\"", "a: order cannot be \"future\""},
        {"\"desc.base_width\":\"-1\"", "a: base_width is -1"},
        {"\"desc.units\":"
         "\"0000000000000000000000000000000000000000000000000000000000000000000000000"
         "000000000000000000000000000000000000\"",
         "metadata \"desc.units\" takes"},
        {"\"desc.depth\":\"20\",\"schedule.kind\":\"steps\",\"step\":\"-1\"",
         "step cannot be \"-1\"; it takes a whole number"},
        {"\"desc.depth\":\"20\",\"schedule.kind\":\"steps\",\"step\":\"18446744073709551616\"",
         "step cannot be"},
        {"\"desc.depth\":\"20\",\"schedule.kind\":\"steps\",\"step\":\"1x\"", "step cannot be"}};
    rn_desc desc = small_desc(), stored;
    rn_net *net = make_net(&desc, RN_TRAINING);
    char json[600], digits[9];
    int i;
    for (i = 0; i < (int)(sizeof metadata / sizeof metadata[0]); i++) {
        disk_file *f;
        int at =
            snprintf(json, sizeof json, "{\"__metadata__\":{\"format\":\"resnet.h\",\"crc\":\"");
        snprintf(json + at, sizeof json - (size_t)at, "00000000\",%s}}", metadata[i][0]);
        put_archive("a", json, "", 0);
        f = disk_find(&d, "a");
        snprintf(digits, sizeof digits, "%08lx", (unsigned long)rn__crc32(0, f->data, f->bytes));
        FAILS(rn_load_desc(&stored, "a", files, &error), RN_BAD_FILE, "damaged: its CRC is");
        memcpy(f->data + 8 + at, digits, 8);
        if (i < 3) FAILS(rn_load_desc(&stored, "a", files, &error), RN_BAD_FILE, metadata[i][1]);
        REFUSES(net, "a", RN_BAD_FILE, metadata[i][1]);
    }
    put_archive("a", "{\"__metadata__\":{\"format\":\"resnet.h\",\"desc.depth\":\"20\"}}", "", 0);
    REFUSES(net, "a", RN_BAD_FILE, "not the \"\"");
    rn_destroy(net);
}

/* Four fields had other names in files; one that has desc.image_height has those. */
static void test_former_names(void) {
    static const char *const fields[] = {"\"desc.width\":\"5\",\"desc.image_height\":\"12\",\"desc."
                                         "image_width\":\"14\",\"desc.std\":",
                                         "\"desc.base_width\":\"5\",\"desc.height\":\"12\",\"desc."
                                         "width\":\"14\",\"desc.deviation\":"};
    int i;
    for (i = 0; i < 2; i++) {
        char json[400], digits[9];
        disk_file *f;
        rn_desc desc;
        int at =
            snprintf(json, sizeof json, "{\"__metadata__\":{\"format\":\"resnet.h\",\"crc\":\"");
        snprintf(json + at, sizeof json - (size_t)at, "00000000\",%s\"0.25,0.5,2\",\"desc.%s\"}}",
                 fields[i], "depth\":\"8");
        put_archive("a", json, "", 0);
        f = disk_find(&d, "a");
        snprintf(digits, sizeof digits, "%08lx", (unsigned long)rn__crc32(0, f->data, f->bytes));
        memcpy(f->data + 8 + at, digits, 8);
        CHECK_INT(rn_load_desc(&desc, "a", files, &error), RN_OK);
        CHECK_INT(desc.base_width, 5);
        CHECK_INT(desc.height, 12);
        CHECK_INT(desc.width, 14);
        CHECK_INT(desc.depth, 8);
        CHECK_NEAR(desc.deviation[0], 0.25, 0);
        CHECK_NEAR(desc.deviation[2], 2, 0);
    }
}

/* Saving fails at each step in turn: the old file stays, no other appears, nothing stays open. */
static void test_failing_disk(void) {
    rn_net *net = trained_net();
    disk_file *f;
    unsigned char *old;
    size_t bytes;
    int checkpoint;
    const char *const what[] = {"open", "writing", "synchronising", "closing", "renaming"};
    for (checkpoint = 0; checkpoint < 2; checkpoint++) {
        int seen[5] = {0}, i;
        OK(rn_save(net, "c", files, &error));
        f = disk_find(&d, "c");
        bytes = f->bytes;
        old = (unsigned char *)malloc(bytes);
        if (!old) exit(2);
        memcpy(old, f->data, bytes);
        train(net, 1);
        for (d.fail_change = 1; d.fail_change < 1000; d.fail_change++) {
            rn_status status;
            d.changes = 0;
            status = checkpoint ? rn_save_checkpoint(net, "c", files, &error)
                                : rn_save(net, "c", files, &error);
            CHECK(!disk_find(&d, "c.tmp"));
            CHECK_INT(d.open, 0);
            f = disk_find(&d, "c");
            CHECK(f != NULL);
            if (!status || !f) break;
            CHECK_INT(status, RN_IO);
            CHECK_TEXT(error.text, "c.tmp");
            CHECK(f->bytes == bytes && !memcmp(f->data, old, bytes));
            for (i = 0; i < 5; i++) seen[i] += strstr(error.text, what[i]) != NULL;
        }
        CHECK(d.fail_change > 6); /* several writes */
        for (i = 0; i < 5; i++) CHECK(i == 1 ? seen[i] > 1 : seen[i] == 1);
        CHECK(f && memcmp(f->data, old, bytes));
        d.fail_change = 0;
        OK(rn_load(net, "c", files, &error));
        free(old);
    }
    rn_destroy(net);
}

/* Reading fails at each read in turn. Only while numbers are stored may the net have changed, and
   then the sentence says so. */
static void test_failing_reads(void) {
    rn_net *net = trained_net();
    rn_desc desc = small_desc();
    int halves = 0, failures = 0;
    OK(rn_save_checkpoint(net, "c", files, &error));
    for (d.fail_read = 1; d.fail_read < 1000; d.fail_read++) {
        rn_net *other = make_net(&desc, RN_TRAINING);
        void *before = keep(other);
        rn_status status;
        d.reads = 0;
        status = rn_load(other, "c", files, &error);
        CHECK_INT(d.open, 0);
        if (status) {
            int half = strstr(error.text, "load again") != NULL;
            failures++;
            halves += half;
            CHECK_INT(status, RN_IO);
            CHECK(half || unchanged(other, before));
            CHECK_INT(other->step, 0);
        }
        free(before);
        rn_destroy(other);
        if (!status) break;
    }
    CHECK(failures > 20 && halves > 5 && halves < failures);
    d.fail_read = 0;
    rn_destroy(net);
}

static void test_other_nets(void) {
    rn_net *net = trained_net(), *other;
    rn_desc desc;
    OK(rn_save_checkpoint(net, "c", files, &error));
#define DIFFERS(change, part)               \
    desc = small_desc();                    \
    change;                                 \
    other = make_net(&desc, RN_TRAINING);   \
    REFUSES(other, "c", RN_MISMATCH, part); \
    rn_destroy(other)
    DIFFERS(desc.units[1] = 2, "units is 1,1,0,0 there, 1,2,0,0 here");
    DIFFERS(desc.base_width = 3, "width is 2 there, 3 here");
    DIFFERS(desc.classes = 4, "classes is 3 there, 4 here");
    DIFFERS(desc.order = RN_RELU_PREACT, "order is original there, relu_preact here");
    DIFFERS(desc.bn_eps = 2e-5, "bn_eps is 0.000010000 there, 0.000020000 here");
    DIFFERS(desc.mean[1] = 0.25f, "mean is 0.000000000,0.500000000,");
    DIFFERS(desc.deviation[2] = 2, "there, 0.250000000,1.000000000,2.000000000,");
    DIFFERS(desc.shortcut = RN_SHORTCUT_IDENTITY, "shortcut is dropout there, identity here");
    DIFFERS(desc.dropout = 0.25f, "dropout is");
    DIFFERS(desc.height = 8, "height is 6 there, 8 here");
    DIFFERS(desc.bn_group = 2, "bn_group is 0 there, 2 here");
    DIFFERS(desc.norm = RN_NORM_GROUP, "norm is batch_norm there, group_norm here");
    DIFFERS(desc.stem = RN_STEM_BIT, "stem is cifar there, bit here");
    DIFFERS(desc.weight_standardisation = 1, "weight_standardisation is 0 there, 1 here");
    DIFFERS(desc.widths[1] = 3, "widths is ");
    DIFFERS(desc.bare_stem = 1, "bare_stem is 0 there, 1 here");
    DIFFERS(desc.raw_identity = 1, "raw_identity is 0 there, 1 here");
    DIFFERS(desc.conv_bias = 1, "conv_bias is 0 there, 1 here");
    desc = small_desc(); /* what weights do not depend on */
    desc.bn_group = 2;
    desc.naive = 1;
    desc.threads = 2;
    desc.init = RN_FAN_IN;
    desc.seed = 3;
    desc.height = 9; /* fully convolutional: the last pool is over all pixels */
    desc.width = 10;
    desc.budget = (uint64_t)1 << 30;
    OK(rn_save(net, "w", files, &error));
    other = make_net(&desc, RN_TRAINING);
    OK(rn_load(other, "w", files, &error));
    CHECK(other->desc.budget == (uint64_t)1 << 30);
    CHECK(same_arrays(net, other, 0));
    rn_destroy(other);
    rn_destroy(net);
}

/* A file of a net beside the paper's recreates it, with all that it has learned. */
static void test_members(void) {
    int i;
    for (i = 0; i < NET_MEMBERS; i++) {
        rn_desc desc = net_member(i), stored;
        net_batch batch = net_draw_batch(&desc, 2, 1);
        rn_net *net = make_net(&desc, RN_TRAINING), *again, *other;
        net_draw(net, 3);
        OK(rn_train_step(net, batch.images, batch.labels, 2, 0.01, NULL, &error));
        OK(rn_save_checkpoint(net, "c", files, &error));
        OK(rn_load_desc(&stored, "c", files, &error));
        again = make_net(&stored, RN_TRAINING);
        CHECK(!same_arrays(net, again, 1));
        OK(rn_load(again, "c", files, &error));
        CHECK(same_arrays(net, again, 1));
        desc.norm = desc.norm ? RN_NORM_BATCH : RN_NORM_GROUP;
        desc.norm_groups = 0;
        desc.resize = stored.resize;
        other = make_net(&desc, RN_TRAINING);
        CHECK_INT(rn_load(other, "c", files, &error), RN_MISMATCH);
        CHECK_TEXT(error.text, "norm is ");
        rn_destroy(net);
        rn_destroy(again);
        rn_destroy(other);
        net_free_batch(&batch);
    }
    disk_delete(&d, "c");
}

static void test_foreign(void) {
    rn_net *net = trained_net(), *other;
    rn_desc desc = small_desc(), stored;
    put_foreign("f", net, NO_FAULT);
    other = make_net(&desc, RN_TRAINING);
    OK(rn_load(other, "f", files, &error));
    CHECK(same_arrays(net, other, 0));
    CHECK_INT(other->step, 0);
    FAILS(rn_load_desc(&stored, "f", files, &error), RN_MISMATCH, "no description");
    put_foreign("f", net, MISSING);
    REFUSES(other, "f", RN_MISMATCH, "no tensor \"fc.bias\"");
    put_foreign("f", net, TWICE);
    REFUSES(other, "f", RN_BAD_FILE, "the tensor conv1.weight twice");
    put_foreign("f", net, UNKNOWN);
    REFUSES(other, "f", RN_MISMATCH, "fc.scale, which this net has not");
    put_foreign("f", net, INTEGERS);
    REFUSES(other, "f", RN_MISMATCH, "fc.count, which this net has not");
    put_foreign("f", net, COUNT);
    REFUSES(other, "f", RN_MISMATCH, "fc.bias is I64 [1,1,1,1] and should be F32 [3,1,1,1]");
    put_foreign("f", net, NARROW);
    REFUSES(other, "f", RN_MISMATCH, "conv1.weight is F32 [2,1,3,3] and should be F32 [2,2,3,3]");
    put_foreign("f", net, DTYPE);
    REFUSES(other, "f", RN_MISMATCH, "conv1.weight is I32 [2,2,3,3] and should be F32 [2,2,3,3]");
    put_foreign("f", net, SHAPE);
    REFUSES(other, "f", RN_MISMATCH, "fc.weight is F32 [4,3,1,1] and should be F32 [3,4,1,1]");
    put_foreign("f", net, FOUR_DIMS);
    OK(rn_load(other, "f", files, &error));
    put_foreign("f", net, FIVE_DIMS);
    REFUSES(other, "f", RN_MISMATCH, "[3,1,1,1,...] and should be F32 [3,1,1,1]");
    put_foreign("f", net, NAN_WEIGHT);
    REFUSES(other, "f", RN_NOT_FINITE, "layer2.0.conv2.weight[7] is infinite or not a number");
    put_foreign("f", net, INFINITE_MEAN);
    REFUSES(other, "f", RN_NOT_FINITE, "bn2.running_mean[0] is infinite");
    {
        const uint32_t nan_bits = 0x7fc00000u; /* what cannot be loaded is not saved either */
        float value;
        memcpy(&value, &nan_bits, 4);
        OK(rn_save(other, "c", files, &error));
        other->velocity[4] = (rn_real)value;
        FAILS(rn_save_checkpoint(other, "c", files, &error), RN_NOT_FINITE,
              "velocity/conv1.weight[4]");
        OK(rn_load(other, "c", files, &error));
    }
    rn_destroy(other);
    rn_destroy(net);
}

/* Moves tensor `from` of a header in front of tensor `to`; entries are what stands between "}," and
   the end. Sorts the entries of a file of ours by name, forwards or backwards. */
static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}
static void reorder(const char *path, int backwards) {
    static char json[2000000];
    static char *entries[20000];
    disk_file *f = disk_find(&d, path);
    int count = 0, i;
    size_t length = 0, k, end, at;
    char *c, *copy;
    for (k = 4; k-- > 0;) length = length << 8 | f->data[k];
    copy = (char *)malloc(length + 1);
    if (!copy || length > sizeof json) exit(2);
    memcpy(copy, f->data + 8, length);
    copy[length] = 0;
    end = (size_t)(strrchr(copy, '}') - copy) - 1;
    copy[end] = 0;
    for (c = copy; c; c = strstr(c, "},\"")) {
        if (c > copy)
            *c = 0, c += 2;
        else
            c++;
        entries[count++] = c;
    }
    qsort(entries, (size_t)count, sizeof entries[0], by_name);
    for (at = 0, i = 0; i < count; i++)
        at += (size_t)sprintf(json + at, "%c%s}", i ? ',' : '{',
                              entries[backwards ? count - 1 - i : i]);
    at += (size_t)sprintf(json + at, "}");
    CHECK(at <= length);
    memset(f->data + 8, ' ', length);
    memcpy(f->data + 8, json, at);
    repair(f);
    free(copy);
}

/* A file in any order is read about as often as one in the order of the net. */
static void test_orders(void) {
    rn_desc desc = small_desc();
    rn_net *net, *other;
    rn_parameter p, found;
    long reads[3];
    int i;
    desc.units[0] = 40;
    desc.units[1] = 160;
    net = make_net(&desc, RN_TRAINING);
    train(net, 1);
    net->schedule = rn_make_schedule(RN_STEPS, 0.1, 20);
    other = make_net(&desc, RN_TRAINING);
    OK(rn_save_checkpoint(net, "c", files, &error));
    for (i = 0; i < 3; i++) {
        if (i) reorder("c", i == 2);
        memset(other->parameters, 0, (size_t)other->parameter_count * sizeof(rn_real));
        d.reads = 0;
        OK(rn_load(other, "c", files, &error));
        reads[i] = d.reads;
        CHECK(same_arrays(net, other, 1));
        CHECK_INT(other->step, 1);
    }
    CHECK(reads[0] > 1000);
    CHECK(reads[1] < reads[0] * 11 / 10);
    CHECK(reads[2] < reads[0] * 11 / 10);
    disk_delete(&d, "c");
    for (memset(&p, 0, sizeof p); rn_next_parameter(net, &p);) { /* each is found by its name */
        CHECK_INT(rn_find_parameter(net, p.name, &found), 1);
        CHECK(found.data == p.data && found.node == p.node && found.index == p.index);
    }
    CHECK_INT(rn_find_parameter(net, "bn1.weight", &found), 1);
    CHECK_INT(rn_find_parameter(net, "fc.bias", &found), 1);
    {
        static const char *const none[] = {"",
                                           "layer",
                                           "layer2",
                                           "layer2.",
                                           "layer2.x",
                                           "layer2.0.",
                                           "layer2.160.conv1.weight",
                                           "layer3.0.conv1.weight",
                                           "layer5.0.fc.bias",
                                           "layer0.0.conv1.weight",
                                           "layer02.0.conv1.weight",
                                           "layer2.00.conv1.weight",
                                           "layer99999999999999999999.0.conv1.weight",
                                           "layer2.4294967296.conv1.weight",
                                           "fc.bias2",
                                           "conv1",
                                           "velocity/fc.bias"};
        for (i = 0; i < (int)(sizeof none / sizeof none[0]); i++)
            CHECK_INT(rn_find_parameter(net, none[i], &found), 0);
    }
    rn_destroy(net);
    rn_destroy(other);
}

/* What no net can compute with is neither saved nor loaded. */
static void test_numbers(void) {
    rn_net *net = trained_net(), *other;
    rn_desc desc = small_desc();
    rn_parameter p;
    other = make_net(&desc, RN_TRAINING);
    put_foreign("f", net, NEGATIVE_VARIANCE);
    REFUSES(other, "f", RN_NOT_FINITE, "f: layer2.0.bn2.running_var[1] is below zero");
    memset(&p, 0, sizeof p);
    CHECK(rn_find_parameter(net, "layer1.0.bn1.running_var", &p));
    d.changes = 0;
    p.data[1] = -1e-30f;
    FAILS(rn_save(net, "n", files, &error), RN_NOT_FINITE, "layer1.0.bn1.running_var[1] is below");
    FAILS(rn_save_checkpoint(net, "n", files, &error), RN_NOT_FINITE, "variance");
    p.data[1] = 0;
    net->parameters[3] = (rn_real)HUGE_VAL;
    FAILS(rn_save(net, "n", files, &error), RN_NOT_FINITE, "conv1.weight[3] is infinite");
    CHECK_INT(d.changes, 0); /* nothing was written */
    net->parameters[3] = -1; /* where it is no variance, it may be less than zero */
    OK(rn_save(net, "n", files, &error));
    OK(rn_load(other, "n", files, &error));
    rn_destroy(other);
    rn_destroy(net);
}

/* A prediction with numbers that are none is a failure; images beside it do not matter. */
static void test_prediction(void) {
    static rn_real images[BATCH * IMAGE];
    rn_real logits[BATCH * 3];
    rn_net *net = trained_net();
    rn_desc desc = small_desc();
    int naive, i;
    for (naive = 0; naive < 2; naive++) {
        rn_net *other;
        desc.naive = naive;
        other = make_net(&desc, RN_INFERENCE);
        for (i = 0; i < BATCH * IMAGE; i++) images[i] = (rn_real)(i % 7) / 3;
        OK(rn_predict(other, rn_workspace(other), images, BATCH, logits, &error));
        images[3 * IMAGE + 5] = (rn_real)NAN;
        FAILS(rn_predict(other, rn_workspace(other), images, BATCH, logits, &error), RN_NOT_FINITE,
              "logits of image 3 ");
        OK(rn_predict(other, rn_workspace(other), images, 3, logits, &error));
        images[3 * IMAGE + 5] = 0;
        other->parameters[other->parameter_count - 1] = (rn_real)HUGE_VAL; /* fc.bias */
        FAILS(rn_predict(other, rn_workspace(other), images, 1, logits, &error), RN_NOT_FINITE,
              "logits of image 0 ");
        rn_destroy(other);
    }
    rn_destroy(net);
}

static int read_bytes(void *user, ptrdiff_t index, uint8_t *pixels, int *label) {
    const uint8_t *data = (const uint8_t *)user;
    memcpy(pixels, data + 12 * index, 12);
    *label = data[36 + index];
    return 0;
}

/* Every pixel and label, their order and the sizes count; how a source is read does not. */
static void test_checksum(void) {
    uint8_t data[39] = {0};
    rn_source source = {3, 1, 3, 4, 10, read_bytes, NULL};
    rn_data memory;
    uint64_t seen[64] = {0}, sum = 0;
    int i, k, count = 0;
    source.user = data;
    OK(rn_source_checksum(&source, &seen[count++], &error));
    for (i = 0; i < 39; i++) {
        data[i]++;
        OK(rn_source_checksum(&source, &seen[count++], &error));
        data[i]--;
    }
    source.height = 4, source.width = 3;
    OK(rn_source_checksum(&source, &seen[count++], &error));
    source.height = 3, source.width = 4, source.count = 2;
    OK(rn_source_checksum(&source, &seen[count++], &error));
    for (i = 0; i < count; i++)
        for (k = 0; k < i; k++) CHECK(seen[i] != seen[k]);
    source.count = 3;
    OK(rn_source_checksum(&source, &sum, &error)); /* one behind the other */
    CHECK(sum == seen[0]);
    OK(rn_source_checksum(&source, &sum, &error));
    CHECK(sum != seen[0]);
    memset(&memory, 0, sizeof memory);
    memory.source = source;
    memory.source.read = rn__data_read;
    memory.source.user = &memory;
    memory.pixels = data;
    memory.labels = data + 36;
    sum = 0;
    OK(rn_source_checksum(&memory.source, &sum, &error));
    CHECK(sum == seen[0]);
    data[37] = 10;
    FAILS(rn_source_checksum(&source, &sum, &error), RN_BAD_FILE, "label 10");
    CHECK(sum == seen[0]);
}

static int mode_of(const char *path) {
    struct stat s;
    return lstat(path, &s) ? -1 : S_ISLNK(s.st_mode) ? 1000 : (int)(s.st_mode & 0777);
}

/* A link to a link to a file in another directory, and permissions; what is no file is refused. */
static void test_links(rn_net *net, const char *directory) {
    char names[5][192], start[512];
    int i;
    static const char *const ends[] = {"to", "to/net", "first", "to/second", "loop"};
    for (i = 0; i < 5; i++) snprintf(names[i], sizeof names[i], "%s/%s", directory, ends[i]);
    if (mkdir(names[0], 0700) || symlink("to/second", names[2]) || symlink("net", names[3]) ||
        symlink("loop", names[4]) || !getcwd(start, sizeof start))
        exit(2);
    OK(rn_save(net, names[2], NULL, &error)); /* a link to nothing makes it */
    CHECK_INT(mode_of(names[2]), 1000);
    CHECK_INT(mode_of(names[3]), 1000);
    if (chmod(names[1], 0640)) exit(2);
    net->parameters[0] = 42;
    OK(rn_save_checkpoint(net, names[2], NULL, &error));
    CHECK_INT(mode_of(names[2]), 1000);
    CHECK_INT(mode_of(names[3]), 1000);
    CHECK_INT(mode_of(names[1]), 0640);
    net->parameters[0] = 0;
    OK(rn_load(net, names[1], NULL, &error)); /* the new one */
    CHECK(net->parameters[0] > 41);
    if (chmod(names[1], 0600) || chdir(names[0])) exit(2);
    OK(rn_save(net, "second", NULL, &error)); /* without a folder in its name */
    OK(rn_save(net, "net", NULL, &error));
    CHECK_INT(mode_of("second"), 1000);
    CHECK_INT(mode_of("net"), 0600);
    CHECK_INT(mode_of("net.tmp"), -1);
    CHECK_INT(mode_of("second.tmp"), -1);
    if (chdir(start)) exit(2);
    FAILS(rn_save(net, names[4], NULL, &error), RN_BAD_ARGUMENT, "leads too far");
    FAILS(rn_save(net, names[0], NULL, &error), RN_BAD_ARGUMENT, "is no plain file");
    FAILS(rn_save(net, "/dev/null", NULL, &error), RN_BAD_ARGUMENT, "/dev/null is no plain file");
    CHECK(mode_of("/dev/null") >= 0);
    for (i = 4; i >= 0; i--)
        CHECK(!remove(names[i == 4 ? 4 : i == 3 ? 3 : i == 2 ? 1 : i == 1 ? 2 : 0]));
}

/* The same through stdio, in a directory of its own. */
static void test_stdio(void) {
    char directory[128], path[160], temporary[192], other[256];
    static char longest[1100];
    rn_net *net = trained_net();
    rn_archive a;
    FILE *file;
    make_directory(directory, sizeof directory);
    snprintf(path, sizeof path, "%s/net.safetensors", directory);
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    OK(rn_save(net, path, NULL, &error));
    OK(rn_save_checkpoint(net, path, NULL, &error)); /* replaces it */
    CHECK(!fopen(temporary, "rb"));
    train(net, 1);
    OK(rn_load(net, path, NULL, &error));
    CHECK_INT(net->step, 3);
    file = fopen(path, "ab");
    if (!file || fputc(0, file) || fclose(file)) exit(2);
    FAILS(rn_load(net, path, NULL, &error), RN_BAD_FILE, "unused");
    FAILS(rn_load(net, directory, NULL, &error), RN_IO, "directory?");
    FAILS(rn_archive_open(&a, directory, NULL, &error), RN_IO, "directory?");
    snprintf(other, sizeof other, "%s/nowhere/net", directory);
    FAILS(rn_load(net, other, NULL, &error), RN_NO_FILE, "nowhere");
    FAILS(rn_load_desc(&net->desc, other, NULL, &error), RN_NO_FILE, "nowhere");
    FAILS(rn_save(net, other, NULL, &error), RN_IO, "cannot open");
    memset(longest, 'a', sizeof longest - 1);
    FAILS(rn_save(net, longest, NULL, &error), RN_BAD_ARGUMENT,
          "1099 characters is too long; 1019");
    mkdir(temporary, 0700); /* where the temporary file should be */
    FAILS(rn_save(net, path, NULL, &error), RN_IO, "cannot open");
    remove(temporary);
    test_links(net, directory);
    remove(path);
    CHECK(!remove(directory)); /* so it is empty */
    rn_destroy(net);
}

int main(void) {
    files = disk_init(&d);
    test_archive();
    test_others_archives();
    test_damaged_headers();
    test_crc();
    test_long_crc();
    test_class_names();
    test_round_trip();
    test_flips_and_cuts();
    test_forged();
    test_machine();
    test_orders();
    test_numbers();
    test_prediction();
    test_checksum();
    test_former_names();
    test_failing_disk();
    test_failing_reads();
    test_other_nets();
    test_members();
    test_foreign();
    test_stdio();
    disk_free(&d);
    return test_end("files");
}
