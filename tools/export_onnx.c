/* export_onnx.c - turns a weights file of resnet.h into an ONNX model, which other programs run.

   cc -O2 -fopenmp -o tools/export_onnx tools/export_onnx.c -lm && tools/export_onnx --help

   The net is a list of nodes, and each kind of node has a function here that writes its operators
   of ONNX: the table `forms`. Value and parameters keep the names that they have in resnet.h.
   Operators are of opset 14, whose basic ones every runtime has, and none depends on the number of
   images.

   The file is a protocol buffer: messages of numbered fields, each message with its length in
   front. So the same functions go through the net twice, first to learn the length of every
   message, then to write. No more of the model is in memory than the net and one convolution's
   filters. */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "../resnet.h" /* looks inside, to save files as it does */
#include "output.h"

enum { IR_VERSION = 7, OPSET = 14 }; /* of ONNX 1.9, of 2021 */

/* ---- protocol buffers ------------------------------------------------------------------------ */

/* How a field's value is stored, in the lowest bits of its tag. */
enum { VARINT = 0, LENGTH = 2, FOUR_BYTES = 5 };
enum { DEEPEST = 8 }; /* messages within messages */

typedef struct writer {
    output *model;
    output *numbers;   /* for large tensors; NULL: they lie in the model */
    int writing;       /* 0: only lengths are learned */
    uint64_t bytes;    /* of the model so far */
    uint64_t outside;  /* of the other file so far */
    uint64_t *lengths; /* of the messages in the order in which they begin */
    size_t messages, room;
    struct {
        size_t message;
        uint64_t begun; /* bytes before its contents */
    } open[DEEPEST];
    int depth;
} writer;

static void put_bytes(writer *w, const void *data, size_t bytes) {
    w->bytes += bytes;
    if (w->writing) write_output(w->model, data, bytes);
}

/* Seven bits a byte, the lowest first; the eighth says that more follow. */
static void put_varint(writer *w, uint64_t value) {
    uint8_t bytes[10];
    size_t count = 0;
    for (; value > 127; value >>= 7) bytes[count++] = (uint8_t)(value | 128);
    bytes[count++] = (uint8_t)value;
    put_bytes(w, bytes, count);
}

static void put_tag(writer *w, int field, int type) {
    put_varint(w, (uint64_t)(field << 3 | type));
}

static void put_int(writer *w, int field, int64_t value) {
    put_tag(w, field, VARINT);
    put_varint(w, (uint64_t)value);
}

static void put_float(writer *w, int field, float value) {
    uint32_t bits = 0;
    uint8_t bytes[4];
    int i;
    memcpy(&bits, &value, 4);
    for (i = 0; i < 4; i++) bytes[i] = (uint8_t)(bits >> 8 * i);
    put_tag(w, field, FOUR_BYTES);
    put_bytes(w, bytes, 4);
}

static void put_text(writer *w, int field, const char *text) {
    put_tag(w, field, LENGTH);
    put_varint(w, strlen(text));
    put_bytes(w, text, strlen(text));
}

/* Between begin and end stand the fields of a message, which is itself field `field` of the one
   around it. */
static void begin(writer *w, int field) {
    const size_t message = w->messages++;
    if (message == w->room) {
        w->room = 2 * w->room + 64;
        w->lengths = (uint64_t *)realloc(w->lengths, w->room * sizeof *w->lengths);
        if (!w->lengths) quit(1, "no memory for %zu messages", w->room);
    }
    put_tag(w, field, LENGTH);
    if (w->writing) put_varint(w, w->lengths[message]);
    w->open[w->depth].message = message;
    w->open[w->depth++].begun = w->bytes;
}

static void end(writer *w) {
    const size_t message = w->open[--w->depth].message;
    const uint64_t length = w->bytes - w->open[w->depth].begun;
    if (w->writing) return;
    w->lengths[message] = length;
    put_varint(w, length); /* counted here, for it could not be counted in front */
}

/* ---- messages of ONNX ------------------------------------------------------------------------ */

/* Numbers of fields, by message (onnx.proto3). */
enum { MODEL_IR_VERSION = 1, MODEL_PRODUCER, MODEL_DOC_STRING = 6, MODEL_GRAPH, MODEL_OPSET };
enum { MODEL_METADATA = 14, OPSET_VERSION = 2 };
enum { GRAPH_NODE = 1, GRAPH_NAME, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT };
enum { NODE_INPUT = 1, NODE_OUTPUT, NODE_NAME, NODE_OPERATOR, NODE_ATTRIBUTE };
enum {
    ATTRIBUTE_NAME = 1,
    ATTRIBUTE_FLOAT,
    ATTRIBUTE_INT,
    ATTRIBUTE_INTS = 8,
    ATTRIBUTE_TYPE = 20
};
enum { TYPE_FLOAT = 1, TYPE_INT, TYPE_INTS = 7 }; /* of attributes */
enum { TENSOR_DIMS = 1, TENSOR_TYPE, TENSOR_INT64 = 7, TENSOR_NAME, TENSOR_RAW };
enum { TENSOR_EXTERNAL = 13, TENSOR_LOCATION, IS_FLOAT = 1, IS_INT64 = 7 };
enum { KEY = 1, VALUE, VALUE_NAME = 1, VALUE_TYPE };
enum { TYPE_TENSOR = 1, TENSOR_ELEMENT = 1, TENSOR_SHAPE, SHAPE_DIM = 1, DIM_VALUE = 1, DIM_NAME };

enum { NAMES = 64 };
typedef struct exporter {
    writer out;
    rn_net *net;
    const char *beside; /* name of the file of large tensors, as seen from the model */
    int *carrier;       /* [nodes] whose value it is: of a convolution, the folded norm's, too */
    int *folded;        /* [nodes] of a convolution: the norm that is folded into it; 0: none */
    float *filters, *biases; /* room for one convolution's, as they are applied */
    char names[NAMES][96];   /* the last ones that were made */
    int named;
    float *image, *logits; /* of the self-test */
    char *class_names;     /* as the weights file has them; NULL: it has none */
    char title[32];
} exporter;

/* Name of something of node i; lives until so many others were made, which are more than any node
   takes. */
static const char *name_of(exporter *x, int i, const char *suffix) {
    char *name = x->names[x->named++ % NAMES], node[64];
    rn_node_name(x->net, i, node);
    snprintf(name, sizeof x->names[0], "%s%s", node, suffix);
    return name;
}

/* Name of the value of node i: of the last one "logits". */
static const char *value_of(exporter *x, int i) {
    return i == x->net->node_count - 1 ? "logits" : name_of(x, x->carrier[i], "");
}

/* An operator that makes `result` of one or two values; up to end its attributes, and more inputs,
   may follow. */
static void begin_operator(exporter *x, const char *what, const char *result, const char *a,
                           const char *b) {
    begin(&x->out, GRAPH_NODE);
    put_text(&x->out, NODE_OPERATOR, what);
    put_text(&x->out, NODE_NAME, result);
    put_text(&x->out, NODE_OUTPUT, result);
    put_text(&x->out, NODE_INPUT, a);
    if (b) put_text(&x->out, NODE_INPUT, b);
}

/* One without attributes; returns the result's name. */
static const char *put_operator(exporter *x, const char *what, const char *result, const char *a,
                                const char *b) {
    begin_operator(x, what, result, a, b);
    end(&x->out);
    return result;
}

static void put_float_attribute(exporter *x, const char *name, double value) {
    begin(&x->out, NODE_ATTRIBUTE);
    put_text(&x->out, ATTRIBUTE_NAME, name);
    put_float(&x->out, ATTRIBUTE_FLOAT, (float)value);
    put_int(&x->out, ATTRIBUTE_TYPE, TYPE_FLOAT);
    end(&x->out);
}

static void put_int_attribute(exporter *x, const char *name, int value) {
    begin(&x->out, NODE_ATTRIBUTE);
    put_text(&x->out, ATTRIBUTE_NAME, name);
    put_int(&x->out, ATTRIBUTE_INT, value);
    put_int(&x->out, ATTRIBUTE_TYPE, TYPE_INT);
    end(&x->out);
}

static void put_ints_attribute(exporter *x, const char *name, int count, const int *values) {
    int i;
    begin(&x->out, NODE_ATTRIBUTE);
    put_text(&x->out, ATTRIBUTE_NAME, name);
    for (i = 0; i < count; i++) put_int(&x->out, ATTRIBUTE_INTS, values[i]);
    put_int(&x->out, ATTRIBUTE_TYPE, TYPE_INTS);
    end(&x->out);
}

/* Kernel, stride and padding (top, left, bottom, right) of a convolution or pool. */
static void put_window(exporter *x, const rn_node *node, int front, int bottom, int right) {
    const int kernel[2] = {node->kernel, node->kernel}, strides[2] = {node->stride, node->stride};
    const int pads[4] = {front, front, bottom, right};
    put_ints_attribute(x, "kernel_shape", 2, kernel);
    put_ints_attribute(x, "strides", 2, strides);
    put_ints_attribute(x, "pads", 4, pads);
}

static void put_pair(exporter *x, int field, const char *key, const char *value) {
    begin(&x->out, field);
    put_text(&x->out, KEY, key);
    put_text(&x->out, VALUE, value);
    end(&x->out);
}

/* Numbers as they lie in the file, little-endian. */
static void put_numbers(writer *w, const float *numbers, ptrdiff_t count, int outside) {
    uint8_t bytes[4096];
    ptrdiff_t i, k;
    int b;
    *(outside ? &w->outside : &w->bytes) += (uint64_t)count * 4;
    for (i = 0; w->writing && i < count; i += 1024) {
        const ptrdiff_t most = count - i < 1024 ? count - i : 1024;
        for (k = 0; k < most; k++) {
            uint32_t bits = 0;
            memcpy(&bits, &numbers[i + k], 4);
            for (b = 0; b < 4; b++) bytes[4 * k + b] = (uint8_t)(bits >> 8 * b);
        }
        write_output(outside ? w->numbers : w->model, bytes, (size_t)most * 4);
    }
}

/* A constant tensor of floats. With a file for numbers those of 1024 and more lie there. */
static void put_tensor(exporter *x, const char *name, int dims, const int *shape,
                       const float *numbers) {
    writer *w = &x->out;
    ptrdiff_t count = 1;
    char text[32];
    int i;
    begin(w, GRAPH_INITIALIZER);
    for (i = 0; i < dims; i++) count *= shape[i], put_int(w, TENSOR_DIMS, shape[i]);
    put_int(w, TENSOR_TYPE, IS_FLOAT);
    put_text(w, TENSOR_NAME, name);
    if (w->numbers && count >= 1024) {
        put_pair(x, TENSOR_EXTERNAL, "location", x->beside);
        snprintf(text, sizeof text, "%" PRIu64, w->outside);
        put_pair(x, TENSOR_EXTERNAL, "offset", text);
        snprintf(text, sizeof text, "%td", 4 * count);
        put_pair(x, TENSOR_EXTERNAL, "length", text);
        put_int(w, TENSOR_LOCATION, 1); /* outside */
        put_numbers(w, numbers, count, 1);
    } else {
        put_tag(w, TENSOR_RAW, LENGTH);
        put_varint(w, (uint64_t)count * 4);
        put_numbers(w, numbers, count, 0);
    }
    end(w);
}

/* A constant list of whole numbers; its name. */
static const char *put_list(exporter *x, const char *name, int count, const int *numbers) {
    int i;
    begin(&x->out, GRAPH_INITIALIZER);
    put_int(&x->out, TENSOR_DIMS, count);
    put_int(&x->out, TENSOR_TYPE, IS_INT64);
    for (i = 0; i < count; i++) put_int(&x->out, TENSOR_INT64, numbers[i]);
    put_text(&x->out, TENSOR_NAME, name);
    end(&x->out);
    return name;
}

/* ---- kinds of nodes as operators ------------------------------------------------------------- */

static rn_parameter find(const exporter *x, int i, const char *suffix) {
    rn_parameter p;
    char name[160];
    rn_node_name(x->net, i, name);
    snprintf(name + strlen(name), 64, ".%s", suffix);
    if (!rn_find_parameter(x->net, name, &p)) quit(1, "the net has no %s", name);
    return p;
}

/* A parameter with `dims` dimensions, of which those behind its own are 1; its name. */
static const char *put_parameter(exporter *x, int i, const char *suffix, int dims) {
    const rn_parameter p = find(x, i, suffix);
    char dotted[32];
    const char *name;
    snprintf(dotted, sizeof dotted, ".%s", suffix);
    name = name_of(x, i, dotted);
    put_tensor(x, name, dims, p.shape, p.data);
    return name;
}

/* `result` = a times a number. */
static void put_product(exporter *x, int i, double factor) {
    const float number = (float)factor;
    const char *name = name_of(x, i, "/factor");
    put_tensor(x, name, 0, NULL, &number);
    put_operator(x, "Mul", value_of(x, i), value_of(x, x->net->nodes[i].inputs[0]), name);
}

/* The norm behind convolution i becomes a part of its filters and biases. */
static void fold_norm(exporter *x, int i) {
    const int norm = x->folded[i], filters = x->net->nodes[i].c;
    const float *weight = find(x, norm, "weight").data, *bias = find(x, norm, "bias").data;
    const float *mean = find(x, norm, "running_mean").data;
    const float *variance = find(x, norm, "running_var").data;
    const ptrdiff_t each = find(x, i, "weight").count / filters; /* numbers of a filter */
    int k;
    for (k = 0; k < filters; k++) {
        const double factor = (double)weight[k] / sqrt((double)variance[k] + x->net->desc.bn_eps);
        const double shifted = (double)x->biases[k] - (double)mean[k];
        ptrdiff_t at;
        for (at = k * each; at < (k + 1) * each; at++)
            x->filters[at] = (float)((double)x->filters[at] * factor);
        x->biases[k] = (float)(shifted * factor + (double)bias[k]);
    }
}

/* Filters and biases of convolution i as they are applied. */
static void prepare_filters(exporter *x, int i) {
    const rn_node *node = &x->net->nodes[i];
    const rn_parameter weight = find(x, i, "weight");
    rn_tensor f =
        rn_tensor_in(x->filters, weight.shape[0], weight.shape[1], node->kernel, node->kernel);
    rn_error error;
    memcpy(x->filters, weight.data, (size_t)weight.count * sizeof(float));
    if (node->standardised)
        check(rn_standardise_forward(&f, &f, x->net->desc.standardisation_eps, &error), &error);
    memset(x->biases, 0, (size_t)node->c * sizeof(float));
    if (node->bias) memcpy(x->biases, find(x, i, "bias").data, (size_t)node->c * sizeof(float));
    if (x->folded[i]) fold_norm(x, i);
}

static void form_input(exporter *x, int i) { (void)x, (void)i; /* stands before the operators */ }

static void form_conv2d(exporter *x, int i) {
    const rn_node *node = &x->net->nodes[i];
    const rn_parameter weight = find(x, i, "weight");
    const char *names[2] = {name_of(x, i, ".weight"), name_of(x, i, ".bias")};
    const int has_bias = node->bias || x->folded[i];
    const int behind = node->padding + node->padding_behind;
    if (x->out.writing) prepare_filters(x, i);
    put_tensor(x, names[0], 4, weight.shape, x->filters);
    if (has_bias) put_tensor(x, names[1], 1, weight.shape, x->biases);
    begin_operator(x, "Conv", value_of(x, i), value_of(x, node->inputs[0]), names[0]);
    if (has_bias) put_text(&x->out, NODE_INPUT, names[1]);
    put_window(x, node, node->padding, behind, behind);
    end(&x->out);
}

static void form_batch_norm(exporter *x, int i) {
    static const char *const slots[] = {"weight", "bias", "running_mean", "running_var"};
    const int input = x->net->nodes[i].inputs[0];
    const char *names[4];
    int k;
    if (x->carrier[i] != i) return; /* folded */
    for (k = 0; k < 4; k++) names[k] = put_parameter(x, i, slots[k], 1);
    begin_operator(x, "BatchNormalization", value_of(x, i), value_of(x, input), names[0]);
    for (k = 1; k < 4; k++) put_text(&x->out, NODE_INPUT, names[k]);
    put_float_attribute(x, "epsilon", x->net->desc.bn_eps);
    end(&x->out);
}

static void form_relu(exporter *x, int i) {
    put_operator(x, "Relu", value_of(x, i), value_of(x, x->net->nodes[i].inputs[0]), NULL);
}

static void form_gate(exporter *x, int i) {
    const rn_node *node = &x->net->nodes[i];
    const char *gate = name_of(x, i, "/sigmoid"), *one = name_of(x, i, "/one");
    const char *rest = name_of(x, i, "/complement");
    const float number = 1;
    put_operator(x, "Sigmoid", gate, value_of(x, node->inputs[1]), NULL);
    if (node->complement) {
        put_tensor(x, one, 0, NULL, &number);
        put_operator(x, "Sub", rest, one, gate);
    }
    put_operator(x, "Mul", value_of(x, i), value_of(x, node->inputs[0]),
                 node->complement ? rest : gate);
}

/* In inference every number is multiplied by the probability to be kept. */
static void form_dropout(exporter *x, int i) {
    put_product(x, i, 1 - (double)x->net->nodes[i].dropout);
}

static void form_scale(exporter *x, int i) { put_product(x, i, (double)x->net->nodes[i].scale); }

static void form_add(exporter *x, int i) {
    const int *inputs = x->net->nodes[i].inputs;
    put_operator(x, "Add", value_of(x, i), value_of(x, inputs[0]), value_of(x, inputs[1]));
}

/* Does this window, of a row or column of so many pixels, reach over an edge? */
static int over_edge(const rn_node *node, int window, int pixels) {
    const int first = window * node->stride - node->padding;
    return first < 0 || first + node->kernel > pixels;
}

/* Padding counts nothing in MaxPool. Where its zeros count, windows over the edge get the larger of
   their maximum and zero, the others of theirs and the least number. (An operator Pad would say it
   plainly, but runtimes take it together with the pool as if its zeros counted nothing.) */
static void form_max_pool(exporter *x, int i) {
    const rn_node *node = &x->net->nodes[i], *input = &x->net->nodes[node->inputs[0]];
    const char *least = name_of(x, i, "/least"), *inner = name_of(x, i, "/inner");
    const int p = node->padding, shape[2] = {node->h, node->w};
    begin_operator(x, "MaxPool", node->zeros ? inner : value_of(x, i), value_of(x, node->inputs[0]),
                   NULL);
    put_window(x, node, p, p, p);
    end(&x->out);
    if (node->zeros) {
        float *numbers = (float *)allocate((size_t)node->h * (size_t)node->w * sizeof(float));
        int h, w;
        for (h = 0; h < node->h; h++)
            for (w = 0; w < node->w; w++)
                numbers[h * node->w + w] =
                    over_edge(node, h, input->h) || over_edge(node, w, input->w) ? 0 : -FLT_MAX;
        put_tensor(x, least, 2, shape, numbers);
        put_operator(x, "Max", value_of(x, i), inner, least);
        free(numbers);
    }
}

/* The windows that are cut reach into padding that does not count: as with ceil_mode, of which
   runtimes have had notions of their own. */
static void form_avg_pool(exporter *x, int i) {
    const rn_node *node = &x->net->nodes[i], *input = &x->net->nodes[node->inputs[0]];
    const int h = (node->h - 1) * node->stride + node->kernel - input->h;
    const int w = (node->w - 1) * node->stride + node->kernel - input->w;
    begin_operator(x, "AveragePool", value_of(x, i), value_of(x, node->inputs[0]), NULL);
    put_window(x, node, 0, h > 0 ? h : 0, w > 0 ? w : 0);
    put_int_attribute(x, "count_include_pad", 0);
    end(&x->out);
}

static void form_global_avg_pool(exporter *x, int i) {
    put_operator(x, "GlobalAveragePool", value_of(x, i), value_of(x, x->net->nodes[i].inputs[0]),
                 NULL);
}

/* The images' channels, one pixel each, as rows of a matrix. */
static void form_linear(exporter *x, int i) {
    const char *rows = name_of(x, i, "/rows"), *weight = put_parameter(x, i, "weight", 2);
    const char *bias = put_parameter(x, i, "bias", 1);
    put_operator(x, "Flatten", rows, value_of(x, x->net->nodes[i].inputs[0]), NULL);
    begin_operator(x, "Gemm", value_of(x, i), rows, weight);
    put_text(&x->out, NODE_INPUT, bias);
    put_int_attribute(x, "transB", 1);
    end(&x->out);
}

/* Every stride-th row and column, and then zeros for the channels that are more. */
static void form_pad_subsample(exporter *x, int i) {
    const rn_node *node = &x->net->nodes[i], *input = &x->net->nodes[node->inputs[0]];
    const int pads[8] = {0, node->front, 0, 0, 0, node->c - input->c - node->front, 0, 0};
    const int lists[4][2] = {{0, 0}, {input->h, input->w}, {2, 3}, {node->stride, node->stride}};
    static const char *const words[] = {"/starts", "/ends", "/axes", "/steps"};
    const char *names[4], *pixels = name_of(x, i, "/pixels");
    int k;
    for (k = 0; k < 4; k++) names[k] = put_list(x, name_of(x, i, words[k]), 2, lists[k]);
    begin_operator(x, "Slice", pixels, value_of(x, node->inputs[0]), names[0]);
    for (k = 1; k < 4; k++) put_text(&x->out, NODE_INPUT, names[k]);
    end(&x->out);
    put_operator(x, "Pad", value_of(x, i), pixels,
                 put_list(x, name_of(x, i, "/channels"), 8, pads));
}

/* Shapes for Reshape: 0 stands for the size that is there, -1 for what is left. First channels as
   groups of them, [images, groups, numbers of a group]; then as they were. */
static void put_shapes(exporter *x, int i) {
    const rn_node *node = &x->net->nodes[i];
    const int groups[3] = {0, x->net->desc.norm_groups, -1},
              pixels[4] = {0, node->c, node->h, node->w};
    put_list(x, name_of(x, i, "/groups_shape"), 3, groups);
    put_list(x, name_of(x, i, "/pixels_shape"), 4, pixels);
}

static const char *put_groups(exporter *x, int i, const char *result, const char *input) {
    return put_operator(x, "Reshape", result, input, name_of(x, i, "/groups_shape"));
}

/* The value of node i: from groups back to channels, then times weight plus bias. */
static void put_affine(exporter *x, int i, const char *groups) {
    const char *pixels = put_operator(x, "Reshape", name_of(x, i, "/pixels"), groups,
                                      name_of(x, i, "/pixels_shape"));
    const char *scaled =
        put_operator(x, "Mul", name_of(x, i, "/scaled"), pixels, put_parameter(x, i, "weight", 3));
    put_operator(x, "Add", value_of(x, i), scaled, put_parameter(x, i, "bias", 3));
}

/* Groups are what instance normalisation calls channels; its own weights are 1 and 0. */
static void form_group_norm(exporter *x, int i) {
    const char *one = name_of(x, i, "/one"), *zero = name_of(x, i, "/zero");
    const char *normal = name_of(x, i, "/normal"), *groups;
    const int count = x->net->desc.norm_groups;
    int k;
    for (k = 0; k < count; k++) x->biases[k] = 1;
    put_tensor(x, one, 1, &count, x->biases);
    for (k = 0; k < count; k++) x->biases[k] = 0;
    put_tensor(x, zero, 1, &count, x->biases);
    put_shapes(x, i);
    groups = put_groups(x, i, name_of(x, i, "/groups"), value_of(x, x->net->nodes[i].inputs[0]));
    begin_operator(x, "InstanceNormalization", normal, groups, one);
    put_text(&x->out, NODE_INPUT, zero);
    put_float_attribute(x, "epsilon", x->net->desc.bn_eps);
    end(&x->out);
    put_affine(x, i, normal);
}

/* The mean of the numbers of each group. */
static const char *put_means(exporter *x, const char *result, const char *groups) {
    const int last = 2;
    begin_operator(x, "ReduceMean", result, groups, NULL);
    put_ints_attribute(x, "axes", 1, &last);
    put_int_attribute(x, "keepdims", 1);
    end(&x->out);
    return result;
}

/* The deviation of each group: by squares about the mean, for those of the numbers themselves would
   lose what a large mean hides. */
static const char *put_deviations(exporter *x, int i, const char *groups) {
    const float number = (float)x->net->desc.bn_eps;
    const char *eps = name_of(x, i, "/eps");
    const char *means = put_means(x, name_of(x, i, "/means"), groups);
    const char *centred = put_operator(x, "Sub", name_of(x, i, "/centred"), groups, means);
    const char *squares = put_operator(x, "Mul", name_of(x, i, "/squares"), centred, centred);
    const char *variances = put_means(x, name_of(x, i, "/variances"), squares);
    put_tensor(x, eps, 0, NULL, &number);
    variances = put_operator(x, "Add", name_of(x, i, "/variances_eps"), variances, eps);
    return put_operator(x, "Sqrt", name_of(x, i, "/deviations"), variances, NULL);
}

/* x sigmoid(v x) / deviation, times weight plus bias. */
static void form_evonorm_s0(exporter *x, int i) {
    const char *input = value_of(x, x->net->nodes[i].inputs[0]), *product, *deviations;
    put_shapes(x, i);
    deviations = put_deviations(x, i, put_groups(x, i, name_of(x, i, "/groups"), input));
    product = put_operator(x, "Mul", name_of(x, i, "/v_x"), input, put_parameter(x, i, "v", 3));
    product = put_operator(x, "Sigmoid", name_of(x, i, "/sigmoid"), product, NULL);
    product = put_operator(x, "Mul", name_of(x, i, "/numerator"), input, product);
    product = put_groups(x, i, name_of(x, i, "/numerator_groups"), product);
    put_affine(x, i, put_operator(x, "Div", name_of(x, i, "/normal"), product, deviations));
}

/* A row for each kind of node, in the order of rn_kind. */
static void (*const forms[])(exporter *x, int i) = {
    form_input,   form_conv2d,        form_batch_norm,      form_relu,       form_gate,
    form_dropout, form_max_pool,      form_global_avg_pool, form_linear,     form_add,
    form_scale,   form_pad_subsample, form_avg_pool,        form_group_norm, form_evonorm_s0};
typedef char a_form_for_each_kind[sizeof forms / sizeof forms[0] == RN_KINDS ? 1 : -1];

/* ---- what stands around the operators -------------------------------------------------------- */

/* A value with images of any number, the graph's input or output; sizes that are 0 are left out. */
static void put_value(exporter *x, int field, const char *name, const int sizes[3]) {
    writer *w = &x->out;
    int i;
    begin(w, field);
    put_text(w, VALUE_NAME, name);
    begin(w, VALUE_TYPE);
    begin(w, TYPE_TENSOR);
    put_int(w, TENSOR_ELEMENT, IS_FLOAT);
    begin(w, TENSOR_SHAPE);
    begin(w, SHAPE_DIM);
    put_text(w, DIM_NAME, "N");
    end(w);
    for (i = 0; i < 3 && sizes[i]; i++) {
        begin(w, SHAPE_DIM);
        put_int(w, DIM_VALUE, sizes[i]);
        end(w);
    }
    for (i = 0; i < 4; i++) end(w);
}

/* Little-endian floats in base64, to be freed. */
static char *encode(const float *numbers, size_t count) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t bytes = 4 * count;
    char *text = (char *)allocate((bytes + 2) / 3 * 4 + 1), *at = text;
    size_t i, k;
    for (i = 0; i < bytes; i += 3) {
        uint32_t three = 0;
        for (k = i; k < i + 3; k++) {
            uint32_t bits = 0;
            if (k < bytes) memcpy(&bits, &numbers[k / 4], 4);
            three = three << 8 | (bits >> 8 * (k % 4) & 255);
        }
        for (k = 0; k < 4; k++) *at++ = i + k > bytes ? '=' : digits[three >> 6 * (3 - k) & 63];
    }
    *at = 0;
    return text;
}

/* As many numbers between commas as there are channels, of the four that a description has. */
static const char *list_numbers(const rn_desc *desc, const float numbers[4], char text[96]) {
    const int count = desc->channels < 4 ? desc->channels : 4;
    int i, at = 0;
    for (i = 0; i < count; i++)
        at += snprintf(text + at, 96 - (size_t)at, "%s%.9g", i ? "," : "", (double)numbers[i]);
    return text;
}

/* A field of the description under its own name. */
static void put_field(exporter *x, const char *key) {
    char text[96];
    int i = 0;
    while (strcmp(rn_desc_key(i), key) != 0) i++;
    rn_desc_get(&x->net->desc, i, text);
    put_pair(x, MODEL_METADATA, key, text);
}

/* What a user has to do with a picture, and what shall come out for one. */
static void put_metadata(exporter *x) {
    const rn_desc *desc = &x->net->desc;
    const size_t image = (size_t)desc->channels * (size_t)desc->height * (size_t)desc->width;
    char text[96], *numbers;
    put_pair(x, MODEL_METADATA, "mean", list_numbers(desc, desc->mean, text));
    put_pair(x, MODEL_METADATA, "deviation", list_numbers(desc, desc->deviation, text));
    put_field(x, "channel_order");
    snprintf(text, sizeof text, "%.9g", (double)desc->crop_fraction);
    put_pair(x, MODEL_METADATA, "crop_fraction", text);
    put_field(x, "interpolation");
    if (x->class_names) put_pair(x, MODEL_METADATA, "class_names", x->class_names);
    snprintf(text, sizeof text, "1,%d,%d,%d", desc->channels, desc->height, desc->width);
    put_pair(x, MODEL_METADATA, "selftest_shape", text);
    numbers = encode(x->image, image);
    put_pair(x, MODEL_METADATA, "selftest_input", numbers);
    free(numbers);
    numbers = encode(x->logits, (size_t)desc->classes);
    put_pair(x, MODEL_METADATA, "selftest_logits", numbers);
    free(numbers);
}

static void put_model(exporter *x) {
    writer *w = &x->out;
    const rn_desc *desc = &x->net->desc;
    const int image[3] = {desc->channels, desc->height, desc->width},
              row[3] = {desc->classes, 0, 0};
    int i;
    w->bytes = w->outside = 0;
    w->messages = 0;
    put_int(w, MODEL_IR_VERSION, IR_VERSION);
    put_text(w, MODEL_PRODUCER, "resnet.h");
    put_text(
        w, MODEL_DOC_STRING,
        "input: images [N,C,H,W], pixels from 0 to 1, less mean, divided by deviation (see the "
        "metadata); logits [N,classes]. selftest_input of selftest_shape gives "
        "selftest_logits: little-endian floats in base64.");
    begin(w, MODEL_OPSET);
    put_int(w, OPSET_VERSION, OPSET);
    end(w);
    put_metadata(x);
    begin(w, MODEL_GRAPH);
    put_text(w, GRAPH_NAME, x->title);
    put_value(x, GRAPH_INPUT, value_of(x, 0), image);
    put_value(x, GRAPH_OUTPUT, value_of(x, x->net->node_count - 1), row);
    for (i = 0; i < x->net->node_count; i++) forms[x->net->nodes[i].kind](x, i);
    end(w);
}

/* ---- the program ----------------------------------------------------------------------------- */

/* Norms that alone read what a convolution makes become a part of it. */
static void fold_norms(exporter *x) {
    const rn_net *net = x->net;
    int *readers = (int *)calloc((size_t)net->node_count, sizeof(int)), i, k;
    if (!readers) quit(1, "no memory for %d nodes", net->node_count);
    for (i = 0; i < net->node_count; i++)
        for (k = 0; k < 2; k++)
            if (net->nodes[i].inputs[k] >= 0) readers[net->nodes[i].inputs[k]]++;
    for (i = 0; i < net->node_count; i++) {
        const int input = net->nodes[i].inputs[0];
        if (net->nodes[i].kind != RN_BATCH_NORM || net->nodes[input].kind != RN_CONV2D ||
            readers[input] != 1)
            continue;
        x->folded[input] = i;
        x->carrier[i] = input;
    }
    free(readers);
}

/* An image of random numbers and its logits. Without Winograd's convolutions, which round more. */
static void make_selftest(exporter *x, const char *path) {
    const rn_desc *desc = &x->net->desc;
    const size_t count = (size_t)desc->channels * (size_t)desc->height * (size_t)desc->width;
    const rn_key key = {1, RN_PURPOSE_AUGMENT, 0};
    rn_error error;
    size_t i;
    x->image = (float *)allocate(count * sizeof(float));
    x->logits = (float *)allocate((size_t)desc->classes * sizeof(float));
    for (i = 0; i < count; i++) x->image[i] = (float)rn_normal(key, i);
    if (rn_predict(x->net, rn_workspace(x->net), x->image, 1, x->logits, &error))
        quit(1, "%s: %s", path, error.text);
}

static void load(exporter *x, const char *path) {
    rn_desc desc;
    rn_error error;
    size_t most = 1;
    int i, channels = 1;
    check(rn_load_desc(&desc, path, NULL, &error), &error);
    desc.threads = all_cores();
    desc.direct = 1;
    x->net = rn_create_from(&desc, 1, RN_INFERENCE, path, NULL, &large_pages, &error);
    if (!x->net) check(error.status, &error);
    x->class_names = stored_text(path, "class_names");
    snprintf(x->title, sizeof x->title, "ResNet-%d", x->net->desc.depth);
    x->carrier = (int *)allocate((size_t)x->net->node_count * sizeof(int));
    x->folded = (int *)allocate((size_t)x->net->node_count * sizeof(int));
    for (i = 0; i < x->net->node_count; i++) {
        const rn_node *node = &x->net->nodes[i];
        x->carrier[i] = i;
        x->folded[i] = 0;
        if (node->c > channels) channels = node->c;
        if (node->kind == RN_CONV2D && (size_t)find(x, i, "weight").count > most)
            most = (size_t)find(x, i, "weight").count;
    }
    x->filters = (float *)allocate(most * sizeof(float));
    x->biases = (float *)allocate((size_t)channels * sizeof(float));
}

/* Twice through the net: now the lengths are known, now it is written. */
static void save(exporter *x, const char *weights, const char *path, int external) {
    static const char suffix[] = ".data";
    output outs[2]; /* the numbers, if they lie outside, and the model */
    writer *w = &x->out;
    char *beside = (char *)allocate(strlen(path) + sizeof suffix);
    sprintf(beside, "%s%s", path, suffix);
    if (external && same_file(weights, beside))
        quit(2, "large tensors would lie in %s, which would be lost", weights);
    x->beside = name_alone(beside);
    w->numbers = external ? &outs[0] : NULL;
    w->model = &outs[external];
    put_model(x);
    if (w->bytes > INT32_MAX)
        quit(1,
             "%s would have %" PRIu64 " bytes, and an ONNX file has less than 2 GiB; with "
             "--external the weights lie in %s",
             path, w->bytes, beside);
    aim_output(w->model, path); /* refused before any file is begun */
    if (external) open_output(&outs[0], beside);
    open_output(w->model, path);
    w->writing = 1;
    put_model(x);
    finish_outputs(outs, external + 1);
    printf("%s: %s, opset %d, %d nodes, %" PRIu64 " bytes", path, x->title, OPSET,
           x->net->node_count, w->bytes);
    if (external) printf(", and %" PRIu64 " in %s", w->outside, beside);
    printf("\n");
    free(beside);
}

static void help(void) {
    printf(
        "usage: export_onnx [--fold] [--external] WEIGHTS OUT.onnx\n\n"
        "Writes the net of a weights file or checkpoint of resnet.h as an ONNX model of opset %d:\n"
        "input [N,C,H,W] of any number of images, logits [N,classes]. Weights that are\n"
        "standardised are so in the model.\n\n"
        "  --fold      batch norms become a part of the convolutions before them, where they can\n"
        "  --external  large tensors lie in OUT.onnx.data; an ONNX file of its own has 2 GiB at "
        "most\n\n"
        "The metadata tell what the net wants and what shall come out:\n"
        "  mean, deviation   of each channel, pixels from 0 to 1: input = (pixel - mean) / "
        "deviation\n"
        "  channel_order     rgb or bgr\n"
        "  crop_fraction, interpolation, class_names (one a line, if the weights file has them)\n"
        "  selftest_input, selftest_shape, selftest_logits   an input and its logits: 32-bit\n"
        "                    floats, little-endian, in base64; tools/check_onnx.js compares them\n",
        OPSET);
    exit(finish());
}

int main(int count, char **words) {
    arguments a = {count, 1, words};
    const char *paths[2] = {NULL, NULL};
    int fold = 0, external = 0;
    exporter x;
    program = "export_onnx";
    memset(&x, 0, sizeof x);
    for (; a.at < count; a.at++) {
        if (is_help(&a)) help();
        if (has_switch(&a, "fold", &fold) || has_switch(&a, "external", &external)) continue;
        if (words[a.at][0] == '-') quit(2, "there is no flag %s", words[a.at]);
        if (paths[1]) quit(2, "two files, but there is a third: %s", words[a.at]);
        paths[paths[0] != NULL] = words[a.at];
    }
    if (!paths[1]) quit(2, "it takes the name of a weights file and of an ONNX file to write");
    if (same_file(paths[0], paths[1]))
        quit(2, "%s and %s are the same file, which would be lost", paths[0], paths[1]);
    load(&x, paths[0]);
    if (fold) fold_norms(&x);
    make_selftest(&x, paths[0]);
    save(&x, paths[0], paths[1], external);
    rn_destroy(x.net);
    free(x.carrier), free(x.folded), free(x.filters), free(x.biases), free(x.image), free(x.logits);
    free(x.class_names), free(x.out.lengths);
    return finish();
}
