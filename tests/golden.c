/* golden.c - nets computed by PyTorch, in files as tools/golden.py makes them, against this header:
   logits, losses, gradients, parameters after two steps and inference, within the bounds of the
   project, in naive execution and in fast execution with every instruction set of the machine. For
   each file and execution one line with the largest error of each group of tensors, relative to
   what the bound is relative to. A file that lacks a tensor, or has one that the net does not know,
   fails.

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

/* The shortcut where the shape changes: the file says in three words what the header does in one, and
   with shortcut conv1x1 its A is B. */
static int describe_resize(rn_desc *desc) {
    const int bn = !strcmp(metadata("shortcut_bn", "0"), "1");
    const int centred = !strcmp(metadata("pad", "end"), "centre");
    const char *kind = metadata("resize", "A");
    char resize[80];
    rn_error error;
    int pads = !strcmp(kind, "A");
    if (pads && desc->shortcut == RN_SHORTCUT_CONV1X1) kind = "B", pads = 0;
    snprintf(resize, sizeof resize, "%s%s", kind,
             pads ? (centred ? "_centred" : "") : (bn ? "_bn" : ""));
    if (rn_desc_set(desc, "resize", resize, &error)) return fail("%s", error.text);
    return 1;
}

/* The description from the metadata; 0 if a word is not known. */
static int describe(rn_desc *desc, double *lr) {
    /* Keys of the file, and of the description. */
    static const char *const keys[][2] = {
        {"block", "block"},
        {"order", "order"},
        {"shortcut", "shortcut"},
        {"stride_on", "stride_on"},
        {"padding", "padding"},
        {"stem", "stem"},
        {"units", "units"},
        {"width", "base_width"},
        {"classes", "classes"},
        {"cin", "channels"},
        {"short_scale", "shortcut_scale"},
        {"res_scale", "residual_scale"},
        {"gate_bias", "gate_bias"},
        {"carry_bias", "carry_bias"},
        {"momentum", "momentum"},
        {"decay", "weight_decay"},
    };
    rn_error error;
    int i;
    memset(desc, 0, sizeof *desc);
    desc->momentum = 0.9;
    desc->weight_decay = 1e-4;
    for (i = 0; i < (int)(sizeof keys / sizeof keys[0]); i++) {
        const char *value = metadata(keys[i][0], NULL);
        if (value && rn_desc_set(desc, keys[i][1], value, &error)) return fail("%s", error.text);
    }
    if (!describe_size(desc) || !describe_resize(desc)) return 0;
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

/* The numbers of a tensor, which has to be there, of this type and shape; else NULL. */
static void *load(const char *prefix, const char *name, const char *dtype, int dims,
                  const int *shape) {
    char full[96];
    rn_entry entry;
    rn_error error;
    size_t count = 1;
    void *data;
    int i;
    snprintf(full, sizeof full, "%s%s", prefix, name);
    memset(&entry, 0, sizeof entry);
    if (rn_archive_find(&archive, full, &entry, &error)) return fail("%s", error.text), NULL;
    for (i = 0; i < dims && entry.shape[i] == shape[i];) i++;
    if (entry.dims != dims || i < dims || strcmp(entry.dtype, dtype))
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

enum { LOGITS0, LOSS0, GRAD0, LOSS1, STEP2, EVAL, GROUPS };
static const char *const group_names[] = {"logits0", "loss0", "grad0", "loss1", "step2", "eval"};
static const double bounds[] = {1e-4, 1e-4, 1e-3, 2e-4, 1e-4, 2e-4};
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
    for (i = 0; i < count; i++) {
        double difference = fabs((double)data[i] - (double)want[i]) / scale;
        if (!(difference <= error)) error = difference; /* NaN, too */
    }
    if (!(error <= worst[group])) worst[group] = error;
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
        float *want = p.gradient ? (float *)load("grad0/", p.name, "F32", p.dims, p.shape) : NULL;
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
        float *data = (float *)load("init/", p.name, "F32", p.dims, p.shape);
        if (!data) return 0;
        for (i = 0; i < p.count; i++) p.data[i] = (rn_real)data[i];
        free(data);
    }
    return 1;
}

/* Every tensor of the file has its place in the net. */
static void check_names(const rn_net *net) {
    static const char *const known[] = {"x", "labels", "logits0", "loss0", "loss1", "eval_logits"};
    rn_entry e;
    rn_error error;
    int more, i, found;
    memset(&e, 0, sizeof e);
    while ((more = rn_archive_next(&archive, &e, &error)) == 1) {
        const char *slash = strchr(e.name, '/');
        rn_parameter p;
        for (found = i = 0; i < 6; i++) found |= !strcmp(e.name, known[i]);
        if (slash && rn_find_parameter(net, slash + 1, &p)) {
            found |= !strncmp(e.name, "init/", 5) || !strncmp(e.name, "step2/", 6);
            found |= !strncmp(e.name, "grad0/", 6) && p.gradient;
        }
        if (!found) fail("the net knows no tensor %s", e.name);
    }
    if (more < 0) fail("%s", error.text);
}

static void check_net(rn_net *net, const batch *b, double lr, double gradient_floor) {
    const int shape[2] = {b->count, net->desc.classes};
    rn_real *logits = (rn_real *)take((size_t)(shape[0] * shape[1]) * sizeof(rn_real));
    rn_result result;
    rn_parameter p;
    rn_error error;
    memset(&p, 0, sizeof p);
    memset(worst, 0, sizeof worst);
    if (rn_backpropagate(net, b->images, b->labels, b->count, &result, &error))
        fail("%s", error.text);
    compare(LOGITS0, "", "logits0", net->logits, 2, shape, 0);
    compare_number(LOSS0, "loss0", result.loss);
    while (rn_next_parameter(net, &p))
        if (p.gradient)
            compare(GRAD0, "grad0/", p.name, p.gradient, p.dims, p.shape, gradient_floor);
    if (rn_update(net, lr, &error)) fail("%s", error.text);
    if (rn_train_step(net, b->images, b->labels, b->count, lr, &result, &error))
        fail("%s", error.text);
    compare_number(LOSS1, "loss1", result.loss);
    memset(&p, 0, sizeof p);
    while (rn_next_parameter(net, &p)) compare(STEP2, "step2/", p.name, p.data, p.dims, p.shape, 0);
    if (rn_predict(net, rn_workspace(net), b->images, b->count, logits, &error))
        fail("%s", error.text);
    compare(EVAL, "", "eval_logits", logits, 2, shape, 0);
    free(logits);
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
        for (i = 0; i < GROUPS; i++) printf(" %s %.1e", group_names[i], worst[i]);
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

static void check_file(void) {
    rn_desc desc;
    rn_entry x, labels;
    rn_error error;
    double lr;
    batch b;
    float *images;
    int shape[4], i;
    memset(&x, 0, sizeof x);
    memset(&labels, 0, sizeof labels);
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
    b.labels = (int *)load("", "labels", "I32", 1, shape);
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
