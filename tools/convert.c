/* convert.c - turns the weights of the usual PyTorch nets into a file of resnet.h.

   cc -O2 -o tools/convert tools/convert.c -lm && tools/convert --help

   Those nets have original units. Their tensors have our names but for a few: linear.* is our fc.*;
   downsample.0 and .1 (torchvision), or shortcut.0 and .1, are our shortcut and shortcut_bn, and
   where there is none it is shortcut A, with the zero channels half in front and half behind;
   prefixes as module. tell how the net was trained; nobody needs num_batches_tracked. They see
   pixels normalised by ImageNet's mean and deviation. */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "../examples/example.h"

/* Fields of the description that the tensors tell. */
static const char *const told[] = {"depth", "units", "base_width", "stem", "classes", "channels"};
enum { TOLD = (int)(sizeof told / sizeof told[0]) };

static void help(void) {
    printf(
        "usage: convert IN OUT [--FIELD VALUE]...\n\n"
        "IN is a safetensors file of a ResNet with original units and the names of torchvision\n"
        "or of the usual PyTorch CIFAR nets, in F32, F16 or BF16; in Python\n"
        "  safetensors.torch.save_file(model.state_dict(), \"NAME.safetensors\")\n"
        "writes one. OUT becomes a weights file of resnet.h, description and normalisation of\n"
        "the input included. Fields of the description (cifar --help lists them) may differ from\n"
        "what such nets have, for instance\n"
        "  --mean R,G,B      (0.485,0.456,0.406)\n"
        "  --deviation R,G,B (0.229,0.224,0.225)\n"
        "  --resize A        (A_centred, where the file has no shortcuts)\n"
        "  --stride_on first (3x3)\n"
        "but not what the tensors tell: depth, units, base_width, stem, classes and channels.\n");
    exit(0);
}

/* Our name of one of their tensors; NULL for what we do not need. */
static const char *our_name(const char *theirs, char ours[160]) {
    static const char *const prefixes[] = {"module.", "_orig_mod.", "model."};
    static const char *const parts[][2] = {{"downsample.0.", "shortcut."},
                                           {"downsample.1.", "shortcut_bn."},
                                           {"shortcut.0.", "shortcut."},
                                           {"shortcut.1.", "shortcut_bn."},
                                           {"linear.", "fc."}};
    const char *at = NULL, *dot = strrchr(theirs, '.');
    int i;
    if (dot && !strcmp(dot, ".num_batches_tracked")) return NULL;
    for (i = 0; i < 3; i++)
        if (!strncmp(theirs, prefixes[i], strlen(prefixes[i])))
            theirs += strlen(prefixes[i]), i = -1; /* there may be several */
    for (i = 0; i < 5 && !(at = strstr(theirs, parts[i][0]));) i++;
    if (at)
        snprintf(ours, 160, "%.*s%s%s", (int)(at - theirs), theirs, parts[i][1],
                 at + strlen(parts[i][0]));
    else
        snprintf(ours, 160, "%s", theirs);
    return ours;
}

static void open_archive(rn_archive *archive, const char *path) {
    rn_error error;
    check(rn_archive_open(archive, path, NULL, &error), &error);
}

/* Refuses files that are not what it reads, and to write the one that it reads. */
static void check_files(const char *in, const char *out) {
    unsigned char b[4] = {0};
    char format[32] = "";
    struct stat a, o;
    FILE *file = fopen(in, "rb");
    rn_archive archive;
    if (!strcmp(in, out) || (!stat(in, &a) && !stat(out, &o) && a.st_ino && /* Windows: 0 */
                             a.st_ino == o.st_ino && a.st_dev == o.st_dev))
        quit(2, "%s and %s are the same file, which would be lost", in, out);
    if (!file || fread(b, 1, 4, file) < 4) b[0] = 0; /* rn_archive_open says why */
    if (file) fclose(file);
    if (!memcmp(b, "PK\3\4", 4) || !memcmp(b, "\200\2", 2))
        quit(1,
             "%s is a PyTorch pickle; write it in Python with "
             "safetensors.torch.save_file(model.state_dict(), \"NAME.safetensors\")",
             in);
    if (!memcmp(b, "\37\213", 2))
        quit(1, "%s is compressed; take what this writes: gunzip < %s > NAME", in, in);
    open_archive(&archive, in);
    rn_archive_metadata(&archive, "format", format, sizeof format, NULL);
    rn_archive_close(&archive);
    if (!strcmp(format, "resnet.h")) quit(1, "%s is a file of resnet.h already", in);
}

/* Stem, units of each stage, their kind and shortcut, first width, channels and classes: names and
   shapes tell. */
static void derive_description(rn_desc *desc, const char *path) {
    rn_archive archive;
    rn_entry e;
    rn_error error;
    char name[160];
    int found, stage, unit, three = 0;
    rn_resize resize = RN_RESIZE_A_CENTRED;
    open_archive(&archive, path);
    while ((found = rn_archive_next(&archive, &e, &error)) == 1) {
        if (!our_name(e.name, name)) continue;
        if (!strcmp(name, "conv1.weight")) {
            desc->base_width = (int)e.shape[0];
            desc->channels = (int)e.shape[1];
            desc->stem = e.shape[2] == 7 ? RN_STEM_IMAGENET : RN_STEM_CIFAR;
        } else if (!strcmp(name, "fc.weight")) {
            desc->classes = (int)e.shape[0];
        } else if (sscanf(name, "layer%d.%d.", &stage, &unit) == 2 && stage >= 1 &&
                   stage <= RN_MAX_STAGES && unit >= desc->units[stage - 1] && unit < 10000) {
            desc->units[stage - 1] = unit + 1;
        }
        three |= strstr(name, ".conv3.") != NULL;
        if (strstr(name, ".shortcut_bn."))
            resize = RN_RESIZE_B_BN;
        else if (strstr(name, ".shortcut.") && resize == RN_RESIZE_A_CENTRED)
            resize = RN_RESIZE_B;
    }
    if (found) check((rn_status)found, &error);
    rn_archive_close(&archive);
    if (desc->block == RN_BLOCK_AUTO) desc->block = three ? RN_BOTTLENECK : RN_BASIC;
    if (desc->resize == RN_RESIZE_AUTO) desc->resize = resize;
    if (!desc->base_width || !desc->classes || !desc->units[0])
        quit(1, "%s is no ResNet with the usual names: it has no %s", path,
             !desc->base_width ? "conv1.weight"
             : !desc->classes  ? "fc.weight or linear.weight"
                               : "layer1.0.conv1.weight");
}

/* The bits of a float that is as large as one of 16 bits, of which 5 are the exponent. */
static uint32_t widen_half(uint32_t half) {
    const uint32_t sign = (half & 0x8000) << 16, exponent = half >> 10 & 31, rest = half & 1023;
    const float small = (float)rest / 16777216; /* without an exponent, 2^-24 counts */
    uint32_t bits;
    memcpy(&bits, &small, 4);
    if (exponent) bits = (exponent == 31 ? 255 : exponent + 112) << 23 | rest << 13;
    return sign | bits;
}

/* The first four sizes, as [16,3,3,3]. */
static const char *shape_text(int dims, const int64_t shape[4], char text[120]) {
    int i, at = 0;
    for (i = 0; i < dims && i < 4; i++)
        at += snprintf(text + at, 120 - (size_t)at, "%c%" PRId64, i ? ',' : '[', shape[i]);
    snprintf(text + at, 120 - (size_t)at, !dims ? "[]" : dims > 4 ? ",...]" : "]");
    return text;
}

/* Numbers in files are little-endian. */
static void copy_tensor(rn_archive *archive, const rn_entry *e, const rn_parameter *p) {
    const int half = !strcmp(e->dtype, "F16"), brain = !strcmp(e->dtype, "BF16"), *s = p->shape;
    const size_t bytes = (size_t)p->count * (half || brain ? 2 : 4);
    uint8_t *data = (uint8_t *)allocate(bytes), *b = data;
    rn_error error;
    ptrdiff_t i;
    if ((!half && !brain && strcmp(e->dtype, "F32") != 0) || e->dims != p->dims ||
        e->shape[0] != s[0] || e->shape[1] != s[1] || e->shape[2] != s[2] || e->shape[3] != s[3]) {
        const int64_t ours[4] = {s[0], s[1], s[2], s[3]};
        char theirs_text[120], ours_text[120];
        quit(1, "%s: %s is %s %s and should be F32, F16 or BF16 %s", archive->path, e->name,
             e->dtype, shape_text(e->dims, e->shape, theirs_text),
             shape_text(p->dims, ours, ours_text));
    }
    check(rn_archive_read(archive, e, 0, data, bytes, &error), &error);
    for (i = 0; i < p->count; i++) {
        uint32_t bits = b[0] | (uint32_t)b[1] << 8;
        if (half) bits = widen_half(bits);
        if (brain) bits <<= 16;
        if (!half && !brain) bits |= (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        memcpy(&p->data[i], &bits, 4);
        b += half || brain ? 2 : 4;
    }
    free(data);
}

/* In the order of the file; each tensor has a place in the net, and each place gets one. */
static void copy_tensors(rn_net *net, const char *path) {
    char *filled = (char *)allocate((size_t)net->node_count * 4), name[160];
    rn_archive archive;
    rn_parameter p;
    rn_entry e;
    rn_error error;
    int found;
    memset(filled, 0, (size_t)net->node_count * 4);
    open_archive(&archive, path);
    while ((found = rn_archive_next(&archive, &e, &error)) == 1) {
        if (!our_name(e.name, name)) continue;
        if (e.name_length >= sizeof e.name || !rn_find_parameter(net, name, &p))
            quit(1, "%s: its tensor %s has no place in a ResNet of such units", path, e.name);
        if (filled[4 * p.node + p.index - 1]++) quit(1, "%s holds %s twice", path, name);
        copy_tensor(&archive, &e, &p);
    }
    if (found) check((rn_status)found, &error);
    for (memset(&p, 0, sizeof p); rn_next_parameter(net, &p);)
        if (!filled[4 * p.node + p.index - 1]) quit(1, "%s holds no tensor %s", path, p.name);
    rn_archive_close(&archive);
    free(filled);
}

int main(int count, char **words) {
    arguments a = {count, 1, words};
    const char *paths[2] = {NULL, NULL};
    rn_desc desc = rn_cifar(0);
    rn_error error;
    rn_net *net;
    int i;
    program = "convert";
    desc.order = RN_ORIGINAL;
    desc.stride_on = RN_STRIDE_3X3;
    rn_desc_set(&desc, "mean", "0.485,0.456,0.406", NULL);
    rn_desc_set(&desc, "deviation", "0.229,0.224,0.225", NULL);
    for (; a.at < count; a.at++) {
        if (!strcmp(words[a.at], "-h") || is_flag(&a, "help")) help();
        for (i = 0; i < TOLD; i++)
            if (is_named(&a, told[i])) quit(2, "the tensors tell %s; leave it out", words[a.at]);
        if (has_field(&a, &desc)) continue;
        if (words[a.at][0] == '-') quit(2, "there is no flag %s", words[a.at]);
        if (paths[1]) quit(2, "two files, but there is a third: %s", words[a.at]);
        paths[paths[0] != NULL] = words[a.at];
    }
    if (!paths[1]) quit(2, "it takes the name of a file to read and of one to write");

    check_files(paths[0], paths[1]);
    derive_description(&desc, paths[0]);
    net = rn_create(&desc, 1, RN_INFERENCE, NULL, &error);
    if (!net) check(error.status, &error);
    copy_tensors(net, paths[0]);
    check(rn_save(net, paths[1], NULL, &error), &error);
    printf("%s: ResNet-%d, width %d, %d classes, %td parameters\n", paths[1], net->desc.depth,
           net->desc.base_width, net->desc.classes, net->parameter_count);
    rn_destroy(net);
    return finish();
}
