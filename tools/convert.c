/* convert.c - turns the weights of the usual PyTorch CIFAR nets into a file of resnet.h.

   cc -O2 -o tools/convert tools/convert.c -lm && tools/convert --help

   Those nets have the original basic unit and shortcut A with the zero channels half in front and
   half behind, and see pixels normalised by ImageNet's mean and deviation. Their tensors have our
   names but for linear.* in place of fc.*, num_batches_tracked, which nobody needs, and a prefix
   module. where several devices trained the net. */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "../examples/example.h"

static void help(void) {
    printf("usage: convert IN OUT [--FIELD VALUE]...\n\n"
           "IN is a safetensors file with the names of the usual PyTorch CIFAR nets (ResNet-20 to\n"
           "1202, original units, option A); OUT becomes a weights file of resnet.h, description\n"
           "and normalisation of the input included. A field of the description may differ from\n"
           "what such nets have, for instance\n"
           "  --mean R,G,B      (0.485,0.456,0.406)\n"
           "  --deviation R,G,B (0.229,0.224,0.225)\n"
           "  --resize A        (A_centred)\n");
    exit(0);
}

/* Our name of one of their tensors; NULL for what we do not need. */
static const char *our_name(const char *theirs, char ours[128]) {
    const char *dot = strrchr(theirs, '.');
    if (!strncmp(theirs, "module.", 7)) theirs += 7;
    if (dot && !strcmp(dot, ".num_batches_tracked")) return NULL;
    if (!strncmp(theirs, "linear.", 7))
        snprintf(ours, 128, "fc.%s", theirs + 7);
    else
        snprintf(ours, 128, "%s", theirs);
    return ours;
}

static void open_archive(rn_archive *archive, const char *path) {
    rn_error error;
    check(rn_archive_open(archive, path, NULL, &error), &error);
}

/* Units of each stage, first width, channels and classes: names and shapes tell. */
static void derive_description(rn_desc *desc, const char *path) {
    rn_archive archive;
    rn_entry e;
    rn_error error;
    char name[128];
    int found, stage, unit;
    open_archive(&archive, path);
    while ((found = rn_archive_next(&archive, &e, &error)) == 1) {
        if (!our_name(e.name, name)) continue;
        if (!strcmp(name, "conv1.weight")) {
            desc->base_width = (int)e.shape[0];
            desc->channels = (int)e.shape[1];
        } else if (!strcmp(name, "fc.weight")) {
            desc->classes = (int)e.shape[0];
        } else if (sscanf(name, "layer%d.%d.", &stage, &unit) == 2 && stage >= 1 &&
                   stage <= RN_MAX_STAGES && unit >= desc->units[stage - 1] && unit < 10000) {
            desc->units[stage - 1] = unit + 1;
        }
    }
    if (found) check((rn_status)found, &error);
    rn_archive_close(&archive);
    if (!desc->base_width || !desc->classes || !desc->units[0])
        quit(1, "%s is no CIFAR net with the usual names: it has no %s", path,
             !desc->base_width ? "conv1.weight"
             : !desc->classes  ? "linear.weight"
                               : "layer1.0.conv1.weight");
}

/* Every tensor has a place in the net. */
static void check_places(const rn_net *net, const char *path) {
    rn_archive archive;
    rn_parameter p;
    rn_entry e;
    rn_error error;
    char name[128];
    int found;
    open_archive(&archive, path);
    while ((found = rn_archive_next(&archive, &e, &error)) == 1)
        if (our_name(e.name, name) && !rn_find_parameter(net, name, &p))
            quit(1, "%s: its tensor %s has no place in a net of basic units with shortcut A", path,
                 e.name);
    if (found) check((rn_status)found, &error);
    rn_archive_close(&archive);
}

/* The tensor that they call like our parameter, with or without module. and linear. */
static void find_tensor(rn_archive *archive, const char *ours, rn_entry *e) {
    char names[4][160];
    const char *rest = strncmp(ours, "fc.", 3) ? ours : ours + 3;
    rn_error error;
    int i;
    for (i = 0; i < 4; i++) {
        snprintf(names[i], sizeof names[i], "%s%s%s", i % 2 ? "module." : "",
                 rest == ours ? ""
                 : i < 2      ? "linear."
                              : "fc.",
                 rest);
        if (!rn_archive_find(archive, names[i], e, &error)) return;
    }
    quit(1, "%s holds no tensor %s", archive->path, names[0]);
}

/* Numbers in files are little-endian. */
static void copy_tensor(rn_archive *archive, const rn_entry *e, const rn_parameter *p) {
    uint8_t *bytes = (uint8_t *)allocate((size_t)p->count * 4), *b = bytes;
    const int *s = p->shape;
    rn_error error;
    ptrdiff_t i;
    if (strcmp(e->dtype, "F32") != 0 || e->dims != p->dims || e->shape[0] != s[0] ||
        e->shape[1] != s[1] || e->shape[2] != s[2] || e->shape[3] != s[3])
        quit(1,
             "%s: %s is %s [%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64
             "] and should be F32 [%d,%d,%d,%d]",
             archive->path, e->name, e->dtype, e->shape[0], e->shape[1], e->shape[2], e->shape[3],
             s[0], s[1], s[2], s[3]);
    check(rn_archive_read(archive, e, 0, bytes, (size_t)p->count * 4, &error), &error);
    for (i = 0; i < p->count; i++, b += 4) {
        uint32_t bits = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        memcpy(&p->data[i], &bits, 4);
    }
    free(bytes);
}

int main(int count, char **words) {
    arguments a = {count, 1, words};
    const char *paths[2] = {NULL, NULL};
    rn_desc desc = rn_cifar(0);
    rn_archive archive;
    rn_entry e;
    rn_error error;
    rn_parameter p;
    rn_net *net;
    program = "convert";
    desc.block = RN_BASIC;
    desc.order = RN_ORIGINAL;
    desc.resize = RN_RESIZE_A_CENTRED;
    rn_desc_set(&desc, "mean", "0.485,0.456,0.406", NULL);
    rn_desc_set(&desc, "deviation", "0.229,0.224,0.225", NULL);
    for (; a.at < count; a.at++) {
        if (!strcmp(words[a.at], "-h") || is_flag(&a, "help")) help();
        if (has_field(&a, &desc)) continue;
        if (words[a.at][0] == '-') quit(2, "there is no flag %s", words[a.at]);
        if (paths[1]) quit(2, "two files, but there is a third: %s", words[a.at]);
        paths[paths[0] != NULL] = words[a.at];
    }
    if (!paths[1]) quit(2, "it takes the name of a file to read and of one to write");

    derive_description(&desc, paths[0]);
    net = rn_create(&desc, 1, RN_INFERENCE, NULL, &error);
    if (!net) check(error.status, &error);
    check_places(net, paths[0]);
    open_archive(&archive, paths[0]);
    for (memset(&p, 0, sizeof p); rn_next_parameter(net, &p);) {
        find_tensor(&archive, p.name, &e);
        copy_tensor(&archive, &e, &p);
    }
    rn_archive_close(&archive);
    check(rn_save(net, paths[1], NULL, &error), &error);
    printf("%s: ResNet-%d, width %d, %d classes, %td parameters\n", paths[1], net->desc.depth,
           net->desc.base_width, net->desc.classes, net->parameter_count);
    rn_destroy(net);
    return finish();
}
