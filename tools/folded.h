/* folded.h - reads nets whose batch norms others have multiplied out already, as safetensors: those
   of MLPerf Tiny, in float and in integers.

   The tensors have the names of the usual PyTorch ResNets: conv1, layer1.0.conv1, layer1.0.conv2,
   layer2.0.downsample.0, ..., fc, each with .weight [K,C,R,S] and .bias [K]; units are basic, of
   the original order. In integers (weight I8, bias I32) each has .weight_scale F32, too, one for
   all or one for each filter, and .scale F32 and .zero_point I32 of its value, as have
   layer1.0.add, ..., and avgpool; and there are input.scale and input.zero_point. What such
   files do not say is as TensorFlow has it: padding "SAME", pixels from 0 to 255. */
#ifndef FOLDED_H
#define FOLDED_H

#include "lowered.h"
#include "quantise.h"

enum { FOLDED_SIZE = 32 }; /* height and width of the images, unless a flag says so */

typedef struct folded {
    rn_archive archive;
    const char *path;
    lowered *net;
} folded;

static inline int has_entry(folded *x, const char *layer_name, const char *suffix,
                            rn_entry *entry) {
    char name[96];
    snprintf(name, sizeof name, "%s.%s", layer_name, suffix);
    return rn_archive_find(&x->archive, name, entry, NULL) == RN_OK;
}

/* `count` numbers of four bytes or one, of that type; they lie as they are in a file, the lowest
   byte first, which is how the machines that this program is for have them. */
static inline void *read_numbers(folded *x, const char *layer_name, const char *suffix,
                                 const char *dtype, size_t count) {
    const size_t bytes = count * (strcmp(dtype, "I8") ? 4 : 1);
    void *numbers = allocate(bytes);
    rn_entry entry;
    rn_error error;
    if (!has_entry(x, layer_name, suffix, &entry))
        quit(1, "%s has no tensor %s.%s", x->path, layer_name, suffix);
    if (strcmp(entry.dtype, dtype) != 0 || entry.bytes != bytes)
        quit(1, "%s: %s.%s should have %zu numbers of type %s", x->path, layer_name, suffix, count,
             dtype);
    check(rn_archive_read(&x->archive, &entry, 0, numbers, bytes, &error), &error);
    return numbers;
}

/* Scale and zero point of a layer's value. */
static inline void read_scale(folded *x, layer *l, const char *name) {
    float *scale;
    int32_t *zero;
    if (!x->net->quantised) return;
    scale = (float *)read_numbers(x, name, "scale", "F32", 1);
    zero = (int32_t *)read_numbers(x, name, "zero_point", "I32", 1);
    if (!(*scale > 0) || *scale > FLT_MAX || *zero < -128 || *zero > 127)
        quit(1,
             "%s: %s.scale is %g and should be above 0, %s.zero_point is %d and should be from "
             "-128 to 127",
             x->path, name, (double)*scale, name, (int)*zero);
    l->q.scale = *scale, l->q.zero_point = (int)*zero;
    free(scale), free(zero);
}

static inline void read_integer_weights(folded *x, layer *l, const char *name) {
    const size_t count = weight_count(x->net, l), k = (size_t)l->c, filter = count / k;
    rn_entry entry;
    float *scales;
    size_t i;
    l->q.weight = (int8_t *)read_numbers(x, name, "weight", "I8", count);
    l->q.bias = (int32_t *)read_numbers(x, name, "bias", "I32", k);
    l->weight = allocate_floats(count), l->bias = allocate_floats(k);
    l->q.weight_scale = allocate_floats(k);
    if (!has_entry(x, name, "weight_scale", &entry))
        quit(1, "%s has no tensor %s.weight_scale", x->path, name);
    scales = (float *)read_numbers(x, name, "weight_scale", "F32", entry.bytes == 4 ? 1 : k);
    for (i = 0; i < k; i++) {
        const float scale = scales[entry.bytes == 4 ? 0 : i];
        if (!(scale > 0) || scale > FLT_MAX)
            quit(1, "%s: %s.weight_scale is %g and should be above 0", x->path, name,
                 (double)scale);
        l->q.weight_scale[i] = scale;
        l->bias[i] = (float)l->q.bias[i] * scale * x->net->layers[l->inputs[0]].q.scale;
    }
    for (i = 0; i < count; i++)
        l->weight[i] = (float)l->q.weight[i] * l->q.weight_scale[i / filter];
    free(scales);
}

/* A convolution of layer `input`; its filters, channels and kernel are the weight's. */
static inline int read_convolution(folded *x, const char *name, int input, int stride, int relu) {
    rn_entry entry;
    layer *l = add_layer(x->net, LAYER_CONVOLUTION, name, input);
    if (!has_entry(x, name, "weight", &entry)) quit(1, "%s has no tensor %s.weight", x->path, name);
    l->linear = entry.dims == 2;
    if ((entry.dims != 4 && entry.dims != 2) || entry.shape[0] < 1 || entry.shape[0] > 65536 ||
        entry.shape[2] < 1 || entry.shape[2] > 15 || entry.shape[3] != entry.shape[2] ||
        entry.shape[1] != l->c)
        quit(1, "%s: %s.weight should be [filters, %d, kernel, kernel], the kernel from 1 to 15",
             x->path, name, l->c);
    l->c = (int)entry.shape[0];
    l->kernel = (int)entry.shape[2];
    l->stride = stride;
    l->relu = relu;
    /* "SAME": out = ceil(in / stride); what is needed around, half of it in front. */
    {
        const int h = (l->h + stride - 1) / stride, w = (l->w + stride - 1) / stride;
        const int needed = (h - 1) * stride + l->kernel - l->h;
        if (needed != (w - 1) * stride + l->kernel - l->w && needed > 0)
            quit(1, "%s: %s needs other padding in rows than in columns; give another size",
                 x->path, name);
        l->padding = needed > 0 ? needed / 2 : 0;
        l->h = h, l->w = w;
    }
    if (x->net->quantised)
        read_integer_weights(x, l, name);
    else {
        l->weight = (float *)read_numbers(x, name, "weight", "F32", weight_count(x->net, l));
        l->bias = (float *)read_numbers(x, name, "bias", "F32", (size_t)l->c);
    }
    read_scale(x, l, name);
    return x->net->count - 1;
}

/* relu(input or its 1x1 convolution + conv2(relu(conv1(input)))), the shortcut first. */
static inline int read_unit(folded *x, int stage, int unit, int input) {
    char names[4][48];
    rn_entry entry;
    static const char *const parts[] = {"conv1", "conv2", "downsample.0", "add"};
    const int stride = stage > 1 && unit == 0 ? 2 : 1;
    int i, residual, shortcut = input;
    layer *l;
    for (i = 0; i < 4; i++)
        snprintf(names[i], sizeof names[i], "layer%d.%d.%s", stage, unit, parts[i]);
    residual = read_convolution(x, names[0], input, stride, 1);
    residual = read_convolution(x, names[1], residual, 1, 0);
    if (has_entry(x, names[2], "weight", &entry))
        shortcut = read_convolution(x, names[2], input, stride, 0);
    if (x->net->layers[shortcut].c != x->net->layers[residual].c ||
        x->net->layers[shortcut].h != x->net->layers[residual].h ||
        x->net->layers[shortcut].w != x->net->layers[residual].w)
        quit(1, "%s: the terms of %s have different shapes; is %s.weight missing?", x->path,
             names[3], names[2]);
    l = add_layer(x->net, LAYER_ADD, names[3], shortcut);
    l->inputs[1] = residual;
    l->relu = 1;
    read_scale(x, l, names[3]);
    return x->net->count - 1;
}

/* A stage ends where a unit's first weight is missing; then those behind it must be, too. */
static inline void refuse_leftovers(folded *x) {
    rn_entry entry;
    rn_error error;
    int found, i;
    rn_archive_close(&x->archive);
    check(rn_archive_open(&x->archive, x->path, NULL, &error), &error);
    while ((found = rn_archive_next(&x->archive, &entry, &error)) == 1) {
        const char *suffix = strrchr(entry.name, '.');
        if (!suffix || strcmp(suffix, ".weight") != 0 || !strcmp(entry.name, "fc.weight")) continue;
        for (i = 0; i < x->net->count; i++)
            if (strlen(x->net->layers[i].name) == (size_t)(suffix - entry.name) &&
                !strncmp(x->net->layers[i].name, entry.name, (size_t)(suffix - entry.name)))
                break;
        if (i == x->net->count)
            quit(1, "%s: %s belongs to no layer; is one missing before it?", x->path, entry.name);
    }
    if (found < 0) check(error.status, &error);
}

/* The net of such a file, for images of that size; 0 if the file is of another kind: one of
   resnet.h, which has a description, or with norms. */
static inline int read_folded(lowered *net, const char *path, int height, int width) {
    folded x;
    rn_entry entry;
    rn_error error;
    rn_desc desc;
    layer *l;
    int stage, unit, at = 0;
    char name[48];
    x.path = path, x.net = net;
    memset(net, 0, sizeof *net);
    if (!rn_load_desc(&desc, path, NULL, NULL)) return 0;
    check(rn_archive_open(&x.archive, path, NULL, &error), &error);
    if (!has_entry(&x, "conv1", "weight", &entry) || entry.dims != 4 ||
        !has_entry(&x, "conv1", "bias", &entry) || has_entry(&x, "bn1", "weight", &entry)) {
        rn_archive_close(&x.archive);
        return 0;
    }
    has_entry(&x, "conv1", "weight", &entry);
    net->quantised = !strcmp(entry.dtype, "I8");
    snprintf(net->title, sizeof net->title, "residual net");
    for (unit = 0; unit < 4; unit++) net->mean[unit] = 0, net->deviation[unit] = 1.0f / 255;
    l = add_layer(net, LAYER_INPUT, "input", -1);
    if (entry.shape[1] < 1 || entry.shape[1] > 4)
        quit(1, "%s: conv1.weight should be of 1 to 4 channels, as images have", path);
    l->c = (int)entry.shape[1], l->h = height, l->w = width;
    read_scale(&x, l, "input");
    if (net->quantised && (l->q.scale != 1 || l->q.zero_point != -128))
        quit(1, "%s: the input's scale should be 1 and its zero point -128: pixels less 128", path);
    at = read_convolution(&x, "conv1", 0, 1, 1);
    for (stage = 1; stage < 100; stage++) {
        for (unit = 0; unit < 1000; unit++) {
            snprintf(name, sizeof name, "layer%d.%d.conv1", stage, unit);
            if (!has_entry(&x, name, "weight", &entry)) break;
            at = read_unit(&x, stage, unit, at);
        }
        if (unit == 0) break;
    }
    refuse_leftovers(&x);
    l = add_layer(net, LAYER_GLOBAL_AVG_POOL, "avgpool", at);
    l->h = l->w = 1;
    read_scale(&x, l, "avgpool");
    l->q.rescales =
        l->q.scale != net->layers[at].q.scale || l->q.zero_point != net->layers[at].q.zero_point;
    read_convolution(&x, "fc", net->count - 1, 1, 0);
    rn_archive_close(&x.archive);
    refuse_infinite(net);
    return 1;
}

/* The layers of any weights file, folded or of resnet.h, whose images are cropped as *desc then
   says. Of a folded one it prints what is taken for granted; only of such a one height and width
   may be given, 0: FOLDED_SIZE. */
static inline lowered read_layers(const char *path, int height, int width, rn_desc *desc,
                                  calibration_options *options) {
    lowered net;
    rn_net *from;
    rn_error error;
    if (read_folded(&net, path, height ? height : FOLDED_SIZE, width ? width : FOLDED_SIZE)) {
        printf("%s: norms are folded; padding as TensorFlow's, pixels from 0 to 255, %d x %d, are "
               "assumed\n",
               path, net.layers[0].h, net.layers[0].w);
        if (net.quantised) set_arithmetic(&net);
        return net;
    }
    from = rn_create_from(NULL, 1, RN_INFERENCE, path, NULL, &large_pages, &error);
    if (!from) check(error.status, &error);
    if (height || width)
        quit(2, "%s says how large its images are, %d x %d; leave --height and --width out", path,
             from->desc.height, from->desc.width);
    net = lower_net(from);
    *desc = from->desc;
    options->desc = desc;
    rn_destroy(from);
    return net;
}

#endif
