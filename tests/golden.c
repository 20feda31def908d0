/* golden.c - nets computed by PyTorch, in files as tools/golden.py makes them, against this header:
   logits, losses, gradients, parameters after two steps and inference, within the bounds of the
   project, in naive execution and in fast execution with every instruction set of the machine. For
   each file and execution one line with the largest error of each group of tensors, relative to
   what the bound is relative to. A file that lacks a tensor, or has one that the net does not know,
   fails. Files of two families: nets by this project's words and names, and (family timm_resnetv2)
   pre-activation nets by timm's names, whose channels are those of their tensors.

   cc -std=c99 -O2 -o golden tests/golden.c -lm && ./golden FILE... */

#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"

#include <stdlib.h>

/* ---- a file ---------------------------------------------------------------------------------- */

static const char *file_name;
static rn_archive archive;

static int fail(const char *format, const char *what) {
    if (test_failed(0, file_name, 0)) {
        fprintf(stderr, format, what);
        fputc('\n', stderr);
    }
    return 0;
}

static void *take(size_t bytes) {
    void *memory = calloc(1, bytes + 1);
    if (!memory) {
        fprintf(stderr, "golden: no memory\n");
        exit(2);
    }
    return memory;
}

/* A value of the metadata, or what stands there for a file that has none. */
static const char *metadata(const char *key, const char *missing) {
    static char value[64];
    rn_error error;
    rn_status status = rn_archive_metadata(&archive, key, value, sizeof value, &error);
    if (status == RN_MISMATCH) return missing;
    if (status) fail("%s", error.text);
    return value;
}

/* Height and width, written as 13x11 or as one number for both; 0 if neither. */
static int describe_size(rn_desc *desc) {
    const char *size = metadata("size", NULL);
    char height[64], *width;
    rn_error error;
    if (!size) return 1;
    snprintf(height, sizeof height, "%s", size);
    width = strchr(height, 'x');
    if (width) *width++ = 0;
    if (rn_desc_set(desc, "height", height, &error) ||
        rn_desc_set(desc, "width", width ? width : height, &error))
        return fail("%s", error.text);
    return 1;
}

/* Sets a field; 0 if it does not take the value. */
static int set_field(rn_desc *desc, const char *key, const char *value) {
    rn_error error;
    return rn_desc_set(desc, key, value, &error) ? fail("%s", error.text) : 1;
}

/* The shortcut where the shape changes: the file says in three words what the header does in one,
   and with shortcut conv1x1 its A is B. */
static int describe_resize(rn_desc *desc) {
    const int bn = !strcmp(metadata("shortcut_bn", "0"), "1");
    const int centred = !strcmp(metadata("pad", "end"), "centre");
    const char *kind = metadata("resize", "A");
    char resize[80];
    int pads = !strcmp(kind, "A");
    if (pads && desc->shortcut == RN_SHORTCUT_CONV1X1) kind = "B", pads = 0;
    snprintf(resize, sizeof resize, "%s%s", kind,
             pads ? (centred ? "_centred" : "") : (bn ? "_bn" : ""));
    return set_field(desc, "resize", resize);
}

/* Fields from the metadata; {key of the file, key of the description} behind each other, NULL. */
static int describe_keys(rn_desc *desc, const char *const keys[][2]) {
    int i;
    for (i = 0; keys[i][0]; i++) {
        const char *value = metadata(keys[i][0], NULL);
        if (value && !set_field(desc, keys[i][1], value)) return 0;
    }
    return 1;
}

/* A net in this project's words. */
static int describe_own(rn_desc *desc) {
    static const char *const keys[][2] = {
        {"block", "block"},
        {"order", "order"},
        {"shortcut", "shortcut"},
        {"stride_on", "stride_on"},
        {"padding", "padding"},
        {"stem", "stem"},
        {"width", "base_width"},
        {"short_scale", "shortcut_scale"},
        {"res_scale", "residual_scale"},
        {"gate_bias", "gate_bias"},
        {"carry_bias", "carry_bias"},
        {NULL, NULL},
    };
    return describe_keys(desc, keys) && describe_resize(desc);
}

/* Channels of timm's unit or stem, which are those of its convolutions: filters of one of them, 0
   if it is not there. */
static int timm_filters(const char *convolution) {
    char name[96];
    rn_entry entry;
    memset(&entry, 0, sizeof entry);
    snprintf(name, sizeof name, "init/%s.weight", convolution);
    return rn_archive_find(&archive, name, &entry, NULL) ? 0 : (int)entry.shape[0];
}

static int describe_timm_channels(rn_desc *desc) {
    const int last = desc->block == RN_BOTTLENECK ? 3 : 2;
    char name[96];
    int stage;
    for (stage = 0; stage < RN_MAX_STAGES && desc->units[stage]; stage++) {
        snprintf(name, sizeof name, "stages.%d.blocks.0.conv1", stage);
        desc->widths[stage] = timm_filters(name);
        snprintf(name, sizeof name, "stages.%d.blocks.0.conv%d", stage, last);
        desc->outputs[stage] = timm_filters(name);
        if (!desc->widths[stage] || !desc->outputs[stage]) return fail("there is no %s", name);
    }
    desc->stem_width = timm_filters(desc->stem == RN_STEM_DEEP ? "stem.conv3" : "stem.conv");
    if (!desc->stem_width) return fail("there is no %s", "convolution of the stem");
    desc->always_project = timm_filters("stages.0.blocks.0.downsample.conv") > 0;
    return 1;
}

/* A net in timm's words: each is one value of a field. */
static int describe_timm(rn_desc *desc) {
    static const char *const words[][4] = {
        {"norm", "bn", "norm", "batch_norm"},
        {"norm", "gn", "norm", "group_norm"},
        {"norm", "evonorm_s0", "norm", "evonorm_s0"},
        {"conv", "plain", "weight_standardisation", "0"},
        {"conv", "ws", "weight_standardisation", "1"},
        {"stem", "plain", "stem", "imagenet"},
        {"stem", "deep", "stem", "deep"},
        {"stem", "fixed", "stem", "bit"},
        {"down", "conv", "resize", "B"},
        {"down", "avg", "resize", "D"},
        {"block", "basic", "block", "basic"},
        {"block", "bottleneck", "block", "bottleneck"},
    };
    static const char *const keys[][2] = {
        {"norm_eps", "bn_eps"},
        {"groups", "norm_groups"},
        {"ws_eps", "standardisation_eps"},
        {NULL, NULL},
    };
    const int count = (int)(sizeof words / sizeof words[0]);
    int i, known = 0;
    for (i = 0; i < count; i++) {
        if (!i || strcmp(words[i][0], words[i - 1][0])) known = 0; /* another key */
        if (!strcmp(metadata(words[i][0], ""), words[i][1])) {
            if (!set_field(desc, words[i][2], words[i][3])) return 0;
            known = 1;
        }
        if (!known && (i + 1 == count || strcmp(words[i][0], words[i + 1][0])))
            return fail("nobody knows the word of %s", words[i][0]);
    }
    desc->stride_on = RN_STRIDE_3X3;
    desc->bare_stem = desc->raw_identity = 1;
    return describe_keys(desc, keys) && describe_timm_channels(desc);
}

static int timm; /* the file is one of timm's nets */

/* The description from the metadata; 0 if a word is not known. */
static int describe(rn_desc *desc, double *lr) {
    static const char *const keys[][2] = {
        {"units", "units"},       {"classes", "classes"},    {"cin", "channels"},
        {"momentum", "momentum"}, {"decay", "weight_decay"}, {NULL, NULL},
    };
    const char *family = metadata("family", NULL);
    timm = family && !strcmp(family, "timm_resnetv2");
    memset(desc, 0, sizeof *desc);
    desc->momentum = 0.9;
    desc->weight_decay = 1e-4;
    if (family && !timm) return fail("%s is a family of nets that nobody knows", family);
    if (!describe_keys(desc, keys)) return 0;
    if (!(timm ? describe_timm(desc) : describe_own(desc)) || !describe_size(desc)) return 0;
    if (!rn__scan_double(metadata("lr", "0.1"), lr)) return fail("%s", "lr is not a number");
    return 1;
}

/* Files are little-endian: turns `count` numbers of `bytes` each round where the machine is not. */
static void from_little_endian(unsigned char *data, size_t count, size_t bytes) {
    const int one = 1;
    size_t i, k;
    if (*(const unsigned char *)&one == 1) return;
    for (i = 0; i < count; i++, data += bytes)
        for (k = 0; k < bytes / 2; k++) {
            const unsigned char byte = data[k];
            data[k] = data[bytes - 1 - k];
            data[bytes - 1 - k] = byte;
        }
}

/* What the file calls a parameter of the net. timm's stages, units and norms count by themselves:
   layer1.0.gn2.weight is stages.0.blocks.0.norm2.weight. */
static void file_parameter(const rn_net *net, const char *name, char of_file[128]) {
    static const char *const norms[] = {"bn", "gn", "evonorm"}; /* in the order of rn_norm */
    const size_t length = strlen(norms[net->desc.norm]);
    int stage, unit, rest = 0, at = 0;
    snprintf(of_file, 128, "%s", name);
    if (!timm) return;
    if (sscanf(name, "layer%d.%d.%n", &stage, &unit, &rest) == 2 && rest) {
        at = snprintf(of_file, 64, "stages.%d.blocks.%d.", stage - 1, unit);
        name += rest;
    }
    if (!strncmp(name, norms[net->desc.norm], length))
        snprintf(of_file + at, 60, "%snorm%s", at || name[length] == '.' ? "" : "stem.",
                 name + length);
    else if (!strncmp(name, "shortcut.", 9))
        snprintf(of_file + at, 60, "downsample.conv.%s", name + 9);
    else if (!strncmp(name, "fc.", 3))
        snprintf(of_file, 128, "head.%s", name);
    else if (at)
        snprintf(of_file + at, 60, "%s", name);
    else /* a plain stem's convolution has no number */
        snprintf(of_file, 128, "stem.conv%s", name + (net->desc.stem == RN_STEM_DEEP ? 4 : 5));
}

/* The numbers of a tensor, which has to be there, of this type and shape; else NULL. A shape may go
   on with ones, as that of a matrix that is written as a convolution. */
static void *load(const char *prefix, const char *name, const char *dtype, int dims,
                  const int *shape) {
    char full[160];
    rn_entry entry;
    rn_error error;
    size_t count = 1;
    void *data;
    int i;
    snprintf(full, sizeof full, "%s%s", prefix, name);
    memset(&entry, 0, sizeof entry);
    if (rn_archive_find(&archive, full, &entry, &error)) return fail("%s", error.text), NULL;
    for (i = 0; i < dims && entry.shape[i] == shape[i];) i++;
    while (i >= dims && i < entry.dims && entry.shape[i] == 1) i++;
    if (entry.dims < dims || i < entry.dims || strcmp(entry.dtype, dtype))
        return fail("%s has another shape or type than this net has", full), NULL;
    data = take((size_t)entry.bytes);
    if (rn_archive_read(&archive, &entry, 0, data, (size_t)entry.bytes, &error)) {
        free(data);
        return fail("%s", error.text), NULL;
    }
    for (i = 0; i < dims; i++) count *= (size_t)shape[i];
    from_little_endian((unsigned char *)data, count, count ? (size_t)entry.bytes / count : 0);
    return data;
}

/* ---- errors ---------------------------------------------------------------------------------- */

enum { LOGITS0, LOSS0, GRAD0, LOSS1, STEP2, EVAL, EVAL0, STEP1, GROUPS }; /* the last two: timm's */
static const char *const group_names[] = {"logits0", "loss0", "grad0", "loss1",
                                          "step2",   "eval",  "eval0", "step1"};
static const double bounds[] = {1e-4, 1e-4, 1e-3, 2e-4, 1e-4, 2e-4, 1e-4, 1e-4};
static double worst[GROUPS];

static double largest(const float *data, ptrdiff_t count) {
    double most = 0;
    ptrdiff_t i;
    for (i = 0; i < count; i++) most = fmax(most, fabs((double)data[i]));
    return most;
}

/* A tensor against the file's, the error relative to its largest magnitude, or to `floor`. */
static void compare(int group, const char *prefix, const char *name, const rn_real *data, int dims,
                    const int *shape, double least) {
    float *want = (float *)load(prefix, name, "F32", dims, shape);
    double scale, error = 0;
    ptrdiff_t count = 1, i;
    if (!want) return;
    for (i = 0; i < dims; i++) count *= shape[i];
    scale = fmax(fmax(largest(want, count), least), 1e-30);
    for (i = 0; i < count; i++)
        error = worse(error, fabs((double)data[i] - (double)want[i]) / scale);
    worst[group] = worse(worst[group], error);
    if (test_failed(error <= bounds[group], file_name, 0))
        fprintf(stderr, "%s%s is off by %g of %g; the bound is %g\n", prefix, name, error, scale,
                bounds[group]);
    free(want);
}

static void compare_number(int group, const char *name, double value) {
    static const int one[1] = {1};
    rn_real number = (rn_real)value;
    rn_entry entry;
    memset(&entry, 0, sizeof entry);
    rn_archive_find(&archive, name, &entry, NULL); /* a single number may also have no dimension */
    compare(group, "", name, &number, entry.dims == 0 && entry.bytes ? 0 : 1, one, 0);
}

/* ---- a net ----------------------------------------------------------------------------------- */

typedef struct batch {
    rn_real *images;
    int *labels;
    int count;
} batch;

/* The largest gradient of the file, over all of the net's parameters. */
static double largest_gradient(const rn_net *net) {
    double most = 0;
    rn_parameter p;
    memset(&p, 0, sizeof p);
    while (rn_next_parameter(net, &p)) {
        char name[128];
        float *want = NULL;
        file_parameter(net, p.name, name);
        if (p.gradient) want = (float *)load("grad0/", name, "F32", p.dims, p.shape);
        if (want) most = fmax(most, largest(want, p.count));
        free(want);
    }
    return most;
}

static int load_parameters(rn_net *net) {
    rn_parameter p;
    ptrdiff_t i;
    memset(&p, 0, sizeof p);
    while (rn_next_parameter(net, &p)) {
        char name[128];
        float *data;
        file_parameter(net, p.name, name);
        data = (float *)load("init/", name, "F32", p.dims, p.shape);
        if (!data) return 0;
        for (i = 0; i < p.count; i++) p.data[i] = (rn_real)data[i];
        free(data);
    }
    return 1;
}

/* A tensor of the file that belongs to a parameter; one with a gradient, if it is one. */
static int is_known(const rn_net *net, const char *of_file, int gradient) {
    rn_parameter p;
    memset(&p, 0, sizeof p);
    while (rn_next_parameter(net, &p)) {
        char name[128];
        file_parameter(net, p.name, name);
        if (!strcmp(name, of_file)) return !gradient || p.gradient;
    }
    return 0;
}

/* Every tensor of the file has its place in the net, but how many batches PyTorch has counted. */
static void check_names(const rn_net *net) {
    static const char *const known[] = {"x",     "labels",      "logits0",     "loss0",
                                        "loss1", "eval_logits", "eval_logits0"};
    rn_archive whole; /* from the first tensor on */
    rn_entry e;
    rn_error error;
    int more, i, found;
    memset(&e, 0, sizeof e);
    if (rn_archive_open(&whole, file_name, NULL, &error)) {
        fail("%s", error.text);
        return;
    }
    while ((more = rn_archive_next(&whole, &e, &error)) == 1) {
        const char *slash = strchr(e.name, '/'), *dot = strrchr(e.name, '.');
        for (found = i = 0; i < 6 + timm; i++) found |= !strcmp(e.name, known[i]);
        if (slash && dot && !strcmp(dot, ".num_batches_tracked"))
            found |= timm && e.dims == 0 && !strcmp(e.dtype, "I64");
        else if (slash && is_known(net, slash + 1, !strncmp(e.name, "grad0/", 6)))
            found |= !strncmp(e.name, "init/", 5) || !strncmp(e.name, "grad0/", 6) ||
                     !strncmp(e.name, "step2/", 6) || (timm && !strncmp(e.name, "step1/", 6));
        if (!found) fail("the net knows no tensor %s", e.name);
    }
    if (more < 0) fail("%s", error.text);
    rn_archive_close(&whole);
}

/* Parameters, or gradients, against those of the file under a prefix. */
static void compare_parameters(int group, const char *prefix, const rn_net *net, double least) {
    rn_parameter p;
    memset(&p, 0, sizeof p);
    while (rn_next_parameter(net, &p)) {
        const rn_real *data = group == GRAD0 ? p.gradient : p.data;
        char name[128];
        file_parameter(net, p.name, name);
        if (data) compare(group, prefix, name, data, p.dims, p.shape, least);
    }
}

static void compare_prediction(int group, const char *name, rn_net *net, const batch *b) {
    const int shape[2] = {b->count, net->desc.classes};
    rn_real *logits = (rn_real *)take((size_t)(shape[0] * shape[1]) * sizeof(rn_real));
    rn_error error;
    if (rn_predict(net, rn_workspace(net), b->images, b->count, logits, &error))
        fail("%s", error.text);
    compare(group, "", name, logits, 2, shape, 0);
    free(logits);
}

static void check_net(rn_net *net, const batch *b, double lr, double gradient_floor) {
    const int shape[2] = {b->count, net->desc.classes};
    rn_result result;
    rn_error error;
    memset(worst, 0, sizeof worst);
    if (timm) compare_prediction(EVAL0, "eval_logits0", net, b);
    if (rn_backpropagate(net, b->images, b->labels, b->count, &result, &error))
        fail("%s", error.text);
    compare(LOGITS0, "", "logits0", net->logits, 2, shape, 0);
    compare_number(LOSS0, "loss0", result.loss);
    compare_parameters(GRAD0, "grad0/", net, gradient_floor);
    if (rn_update(net, lr, &error)) fail("%s", error.text);
    if (timm) compare_parameters(STEP1, "step1/", net, 0);
    if (rn_train_step(net, b->images, b->labels, b->count, lr, &result, &error))
        fail("%s", error.text);
    compare_number(LOSS1, "loss1", result.loss);
    compare_parameters(STEP2, "step2/", net, 0);
    compare_prediction(EVAL, "eval_logits", net, b);
}

/* Builds the net for one execution and checks it; 0 if this machine does not have the kernels. */
static int check_execution(const rn_desc *desc, const batch *b, double lr, const char *execution) {
    rn_error error;
    int i;
    rn_net *net = rn_create(desc, b->count, RN_TRAINING, NULL, &error);
    if (!net && strstr(error.text, "kernels")) return 0;
    if (!net) return fail("%s", error.text);
    if (load_parameters(net)) {
        if (desc->naive) check_names(net);
        check_net(net, b, lr, 1e-3 * largest_gradient(net));
        printf("%s %s:", file_name, execution);
        for (i = 0; i < (timm ? GROUPS : EVAL0); i++) printf(" %s %.1e", group_names[i], worst[i]);
        printf("\n");
    }
    rn_destroy(net);
    return 1;
}

static void check_executions(rn_desc *desc, const batch *b, double lr) {
    desc->naive = 1;
    check_execution(desc, b, lr, "naive");
#if RN__FAST
    {
        int isa, ran = 0;
        desc->naive = 0;
        desc->threads = 2;
        for (isa = RN_ISA_PORTABLE; isa <= RN_ISA_AVX512; isa++) {
            char execution[32] = "fast ";
            desc->isa = (rn_isa)isa;
            strcat(execution, rn__isa_names[isa]);
            ran += check_execution(desc, b, lr, execution);
        }
        CHECK(ran > 0);
    }
#endif
}

/* Labels of either type, each in its class; NULL if there are none. */
static int *load_labels(int count, int classes) {
    rn_entry entry;
    int *labels = (int *)take((size_t)count * sizeof(int)), wide, i, bad = 0;
    void *data;
    memset(&entry, 0, sizeof entry);
    rn_archive_find(&archive, "labels", &entry, NULL);
    wide = !strcmp(entry.dtype, "I64");
    data = load("", "labels", wide ? "I64" : "I32", 1, &count);
    for (i = 0; data && i < count; i++) {
        const int64_t label = wide ? ((const int64_t *)data)[i] : ((const int32_t *)data)[i];
        bad |= label < 0 || (classes && label >= classes);
        labels[i] = (int)label;
    }
    if (bad) fail("%s", "a label is not one of the classes");
    if (data && !bad) {
        free(data);
        return labels;
    }
    free(data);
    free(labels);
    return NULL;
}

static void check_file(void) {
    rn_desc desc;
    rn_entry x;
    rn_error error;
    double lr;
    batch b;
    float *images;
    int shape[4], i;
    memset(&x, 0, sizeof x);
    if (!describe(&desc, &lr)) return;
    if (rn_archive_find(&archive, "x", &x, &error)) {
        fail("%s", error.text);
        return;
    }
    for (i = 0; i < 4; i++) shape[i] = (int)x.shape[i];
    if (!desc.channels) desc.channels = shape[1];
    if (!desc.height) desc.height = shape[2];
    if (!desc.width) desc.width = shape[3];
    shape[1] = desc.channels, shape[2] = desc.height, shape[3] = desc.width;
    b.count = shape[0];
    images = (float *)load("", "x", "F32", 4, shape);
    b.labels = load_labels(b.count, desc.classes);
    if (images && b.labels) {
        ptrdiff_t numbers = (ptrdiff_t)b.count * shape[1] * shape[2] * shape[3], k;
        b.images = (rn_real *)take((size_t)numbers * sizeof(rn_real));
        for (k = 0; k < numbers; k++) b.images[k] = (rn_real)images[k];
        check_executions(&desc, &b, lr);
        free(b.images);
    }
    free(images);
    free(b.labels);
}

int main(int argc, char **argv) {
    rn_error error;
    int i;
    if (argc < 2) {
        fprintf(stderr, "usage: golden FILE...   files as tools/golden.py makes them\n");
        return 2;
    }
    for (i = 1; i < argc; i++) {
        file_name = argv[i];
        if (rn_archive_open(&archive, file_name, NULL, &error))
            fail("%s", error.text);
        else
            check_file();
        rn_archive_close(&archive);
    }
    return test_end("golden");
}
