/* lowered.h - a trained net as a small machine computes it: few kinds of layers in a list, what can
   be multiplied out beforehand is. tools/emit_c writes it as C, tools/quantise turns it into
   integers and measures what that costs.

       nodes of resnet.h                              layers
       conv2d, batch_norm, relu                       convolution (norm folded, ReLU fused)
       linear                                         convolution of one pixel
       batch_norm, relu that no convolution can take  affine
       scale, dropout (in inference a factor)         factors of an addition, or affine

   A pre-activation unit's first norm cannot go into a convolution: the shortcut reads what stands
   before it. It becomes an affine layer together with its ReLU, which makes a row at a time when
   the convolution behind it wants one, so that its value never lies in memory as a whole. */
#ifndef LOWERED_H
#define LOWERED_H

#include "../examples/example.h"

typedef enum layer_kind {
    LAYER_INPUT,
    LAYER_CONVOLUTION,
    LAYER_AFFINE, /* each channel times a weight plus a bias */
    LAYER_ADD,
    LAYER_GATE, /* inputs[0] times sigmoid(inputs[1]), or 1 - sigmoid */
    LAYER_MAX_POOL,
    LAYER_AVG_POOL,
    LAYER_GLOBAL_AVG_POOL,
    LAYER_PAD_SUBSAMPLE, /* every stride-th pixel; zero channels in front and behind */
    LAYER_KINDS
} layer_kind;

/* What a kind of layer is like. */
enum {
    HAS_FILTERS = 1,        /* weight [K][C][R][S]; it reads its input through a window */
    POINTWISE = 2,          /* a number of its value is made of those at the same place alone */
    READS_ALL_ROWS = 4,     /* for a row of its value */
    TAKES_NORM = 8,         /* a norm behind it can be multiplied into it */
    TAKES_RELU = 16,        /* a ReLU behind it is a part of it */
    IS_READ_ON_THE_FLY = 32 /* its value is cheap: made a row at a time, whoever reads it */
};
/* And in integers, see tools/quantise.h. */
enum {
    MAY_BE_WIDE = 64,
    READS_WIDE = 128,      /* its input, or inputs[0], may be wide */
    READS_BOTH_WIDE = 256, /* inputs[1], too */
    HANDS_ON_WIDTH = 512,  /* where it is wide, inputs[0] should be, too */
    IS_AS_WIDE = 1024,     /* as its input, no more and no less */
    IS_TRUNK = 2048,       /* without a ReLU it is wide, and so are its terms */
    KEEPS_SCALE = 4096,    /* its input's */
    RESCALES = 8192        /* a mean: its value may have a scale of its own */
};

/* A row for each kind, in the order of layer_kind. */
typedef struct layer_traits {
    const char *words;
    unsigned properties;
} layer_traits;
static const layer_traits layer_rows[] = {
    {"input", 0},
    {"convolution", HAS_FILTERS | TAKES_NORM | TAKES_RELU | MAY_BE_WIDE},
    {"affine", POINTWISE | TAKES_RELU | IS_READ_ON_THE_FLY | MAY_BE_WIDE | READS_WIDE},
    {"addition", POINTWISE | TAKES_RELU | MAY_BE_WIDE | READS_WIDE | READS_BOTH_WIDE | IS_TRUNK},
    {"gate", POINTWISE | MAY_BE_WIDE | READS_WIDE | HANDS_ON_WIDTH},
    {"max-pool", KEEPS_SCALE},
    {"mean of windows", RESCALES},
    {"mean of all pixels", READS_ALL_ROWS | RESCALES},
    {"every so many pixels", MAY_BE_WIDE | READS_WIDE | HANDS_ON_WIDTH | IS_AS_WIDE | KEEPS_SCALE}};
typedef char a_row_for_each_kind[sizeof layer_rows / sizeof layer_rows[0] == LAYER_KINDS ? 1 : -1];

/* How a layer is computed in integers; only of nets that are quantised. A value q stands for the
   real number scale (q - zero_point). All pointers are from malloc. */
typedef struct integers {
    int wide;            /* 1: value of int16, zero_point 0; 0: of int8 */
    float scale;         /* of its value; float32 as TFLite has it */
    int zero_point;      /* likewise */
    int8_t *weight;      /* convolution: [K][C][R][S], -127 to 127 */
    float *weight_scale; /* convolution: [K]; linear of TFLite: all the same */
    int32_t *bias;       /* [K], see below */
    int32_t *multiplier; /* likewise */
    int *shift;
    int left;           /* add */
    int rescales;       /* avg_pool, global_avg_pool: 1: value has a scale of its own */
    int16_t table[256]; /* gate */
} integers;
/* The arithmetic, with scale(x, m, e) and clamp as TFLite's reference kernels have them:

   m 2^(e - 31) is a real factor; scale(x, m, e) = x times it, rounded twice:
       h = (x << max(e, 0)) m / 2^31, to the nearest, halves up;
       h / 2^max(-e, 0), to the nearest, halves away from zero.
   clamp(y): not below the value's least (zero_point where a ReLU is fused, else -128 or -32768),
   not above 127 or 32767.

   convolution  acc = bias[k] + sum of weight (q - zero_point of the input) over the taps inside the
                image; clamp(scale(acc, multiplier[k], shift[k]) + zero_point)
   affine       x = q - zero_point of the input; clamp((x multiplier[c] + bias[c]) >> shift[c]);
                multiplier fits int16, bias holds zero_point and the half for rounding, too;
                >> rounds down
   add          t_i = scale((q_i - zero_point_i) << left, multiplier[i], shift[i]), i = 0, 1;
                clamp(scale(t_0 + t_1, multiplier[2], shift[2]) + zero_point); left is 20, or 15
                where one of the three is wide. Where all scales are equal this is q_0 + q_1.
   gate         x = q - zero_point of inputs[0], g = table[128 + q of inputs[1]], 15 bits behind the
                point; clamp(scale(x g, multiplier[0], shift[0]) + zero_point)
   max_pool     the largest; zeros, where they count, are zero_point
   avg_pool,    s = sum of the n pixels' q; not rescaled: clamp((s +- n / 2) / n), + for s > 0, the
   global       division cuts off; rescaled: clamp(scale(s - n zero_point of the input,
                multiplier[n - 1 of avg_pool, 0 of global], shift[likewise]) + zero_point)
   pad_subsample copies; zeros are zero_point */

typedef struct layer {
    layer_kind kind;
    char name[64];               /* of its first node: "layer1.0.conv1" */
    int inputs[2];               /* layers whose values it reads; -1: none */
    int c, h, w;                 /* of its value */
    int kernel, stride, padding; /* padding: rows in front, and columns; those behind follow from
                                    the sizes */
    int relu;                    /* 1: a ReLU behind it; convolution, affine, add */
    int linear;                  /* convolution: 1 for the classifier */
    int complement;              /* gate: 1 for 1 - sigmoid */
    int zeros;                   /* max_pool: 1 if the padding's zeros count */
    int front;                   /* pad_subsample: zero channels in front */
    float factors[2];            /* add: of its terms */
    float *weight;               /* convolution [K][C][R][S], affine [C] */
    float *bias;                 /* [K], [C] */
    integers q;
} layer;

static inline int has(const layer *l, unsigned property) {
    return (layer_rows[l->kind].properties & property) != 0;
}

typedef struct lowered {
    layer *layers; /* in the order of execution; the first is the input, the last makes logits */
    int count;
    int quantised;
    char title[64];
    /* A pixel p of 0 to 255 in channel c is input (p / 255 - mean[c]) / deviation[c] in float, and
       p - 128 in integers, where centre[c] is the p that stands for 0: the convolutions of the
       input have mean and deviation in their weights, see tools/quantise.h. */
    float mean[4], deviation[4];
    int centre[4];
    int bgr; /* 1: the net's first channel is blue; weights are as for RGB already */
} lowered;

static inline float *allocate_floats(size_t count) {
    return (float *)allocate(count * sizeof(float));
}

/* ---- what the layers are made of ------------------------------------------------------------- */

static inline layer *add_layer(lowered *net, layer_kind kind, const char *name, int input) {
    layer *l;
    net->layers = (layer *)realloc(net->layers, ((size_t)net->count + 1) * sizeof *net->layers);
    if (!net->layers) quit(1, "no memory for %d layers", net->count + 1);
    l = &net->layers[net->count++];
    memset(l, 0, sizeof *l);
    snprintf(l->name, sizeof l->name, "%s", name);
    l->kind = kind;
    l->inputs[0] = input;
    l->inputs[1] = -1;
    l->kernel = l->stride = 1;
    l->factors[0] = l->factors[1] = 1;
    if (input >= 0) l->c = net->layers[input].c, l->h = net->layers[input].h;
    if (input >= 0) l->w = net->layers[input].w;
    return l;
}

static inline layer *add_affine(lowered *net, const char *name, int input, float weight) {
    layer *l = add_layer(net, LAYER_AFFINE, name, input);
    int c;
    l->weight = allocate_floats((size_t)l->c);
    l->bias = allocate_floats((size_t)l->c);
    for (c = 0; c < l->c; c++) l->weight[c] = weight, l->bias[c] = 0;
    return l;
}

static inline size_t value_count(const layer *l) {
    return (size_t)l->c * (size_t)l->h * (size_t)l->w;
}

static inline size_t weight_count(const lowered *net, const layer *l) {
    if (!has(l, HAS_FILTERS)) return 0;
    return (size_t)l->c * (size_t)net->layers[l->inputs[0]].c * (size_t)(l->kernel * l->kernel);
}

/* Multiply-adds of a layer for one image, of convolutions. */
static inline double layer_macs(const lowered *net, const layer *l) {
    return (double)weight_count(net, l) * l->h * l->w;
}

/* Rows first <= row < last of input `which` that row y of the layer's value is made of. */
static inline void rows_read(const lowered *net, const layer *l, int which, int y, int *first,
                             int *last) {
    const int h = net->layers[l->inputs[which]].h;
    *first = y * l->stride - l->padding;
    *last = *first + l->kernel;
    if (has(l, READS_ALL_ROWS)) *first = 0, *last = h;
    if (*first < 0) *first = 0;
    if (*last > h) *last = h;
}

/* Neither floats of C nor integers can be made of NaN and infinity. */
static inline void refuse_infinite(const lowered *net) {
    int i;
    for (i = 0; i < net->count; i++) {
        const layer *l = &net->layers[i];
        const size_t biases = l->bias ? (size_t)l->c : 0, filters = weight_count(net, l);
        const size_t weights = l->weight && !filters ? (size_t)l->c : filters;
        size_t k;
        for (k = 0; k < weights + biases; k++)
            if (!(fabsf(k < weights ? l->weight[k] : l->bias[k - weights]) <= FLT_MAX))
                quit(1, "%s: a weight or bias is not finite; did the training diverge?", l->name);
    }
}

static inline void free_lowered(lowered *net) {
    int i;
    for (i = 0; i < net->count; i++) {
        layer *l = &net->layers[i];
        free(l->weight), free(l->bias), free(l->q.weight), free(l->q.weight_scale);
        free(l->q.bias), free(l->q.multiplier), free(l->q.shift);
    }
    free(net->layers);
    memset(net, 0, sizeof *net);
}

/* ---- nodes become layers --------------------------------------------------------------------- */

typedef struct lowering {
    lowered *to;
    const rn_net *net;
    int *readers;   /* [nodes] */
    int *layers;    /* [nodes] the layer that makes its value, but for a factor */
    float *factors; /* [nodes] */
} lowering;

static inline const float *parameter_of(const lowering *x, int i, const char *suffix) {
    rn_parameter p;
    char name[160];
    rn_node_name(x->net, i, name);
    snprintf(name + strlen(name), 64, ".%s", suffix);
    return rn_find_parameter(x->net, name, &p) ? p.data : NULL;
}

/* The layer with the value of node i, the factor made good. */
static inline int value_layer(lowering *x, int i) {
    if (x->factors[i] != 1) { /* nobody could take it */
        layer *l = add_affine(x->to, "", x->layers[i], x->factors[i]);
        rn_node_name(x->net, i, l->name);
        x->layers[i] = x->to->count - 1;
        x->factors[i] = 1;
    }
    return x->layers[i];
}

static inline layer *lower_layer(lowering *x, int i, layer_kind kind) {
    const rn_node *node = &x->net->nodes[i];
    char name[64];
    int input = node->inputs[0] < 0 ? -1 : value_layer(x, node->inputs[0]);
    layer *l;
    rn_node_name(x->net, i, name);
    l = add_layer(x->to, kind, name, input);
    l->c = node->c, l->h = node->h, l->w = node->w;
    l->kernel = node->kernel, l->stride = node->stride, l->padding = node->padding;
    x->layers[i] = x->to->count - 1;
    return l;
}

/* The layer that is to do what node i does: the one that makes its input, if it takes such things
   and nobody else reads it; else an affine one that is added. */
static inline layer *layer_taking(lowering *x, int i, unsigned property) {
    const int input = x->net->nodes[i].inputs[0];
    layer *l = &x->to->layers[x->layers[input]];
    if (x->readers[input] == 1 && !(x->factors[input] != 1) && !l->relu && has(l, property))
        x->layers[i] = x->layers[input];
    else {
        const int from = value_layer(x, input);
        l = add_affine(x->to, "", from, 1);
        rn_node_name(x->net, i, l->name);
        x->layers[i] = x->to->count - 1;
    }
    return l;
}

static inline void lower_input(lowering *x, int i) { lower_layer(x, i, LAYER_INPUT); }

/* Weights as the net applies them: standardised where it does, channels in the order of RGB. */
static inline void lower_weights(lowering *x, int i, layer *l) {
    const rn_node *node = &x->net->nodes[i];
    const int c = x->to->layers[l->inputs[0]].c, first = l->inputs[0] == 0;
    const size_t taps = (size_t)(l->kernel * l->kernel);
    const float *weight = parameter_of(x, i, "weight"), *bias = parameter_of(x, i, "bias");
    rn_error error;
    int k, j;
    l->weight = allocate_floats(weight_count(x->to, l));
    l->bias = allocate_floats((size_t)l->c);
    for (k = 0; k < l->c; k++) l->bias[k] = bias ? bias[k] : 0;
    memcpy(l->weight, weight, weight_count(x->to, l) * sizeof(float));
    if (node->standardised) {
        rn_tensor y = rn_tensor_in(l->weight, l->c, c, l->kernel, l->kernel);
        const rn_tensor f = rn_tensor_in((float *)(uintptr_t)weight, l->c, c, l->kernel, l->kernel);
        check(rn_standardise_forward(&y, &f, x->net->desc.standardisation_eps, &error), &error);
    }
    for (k = 0; first && x->to->bgr && k < l->c; k++)
        for (j = 0; j < (int)taps; j++) {
            float *at = l->weight + (size_t)(k * c) * taps + j, blue = at[0];
            at[0] = at[2 * taps], at[2 * taps] = blue;
        }
}

static inline void lower_convolution(lowering *x, int i) {
    lower_weights(x, i, lower_layer(x, i, LAYER_CONVOLUTION));
}

static inline void lower_linear(lowering *x, int i) {
    layer *l = lower_layer(x, i, LAYER_CONVOLUTION);
    l->linear = 1;
    lower_weights(x, i, l);
}

/* y = weight (x - mean) / sqrt(var + eps) + bias, multiplied out. */
static inline void lower_batch_norm(lowering *x, int i) {
    const float *weight = parameter_of(x, i, "weight"), *bias = parameter_of(x, i, "bias");
    const float *mean = parameter_of(x, i, "running_mean"),
                *var = parameter_of(x, i, "running_var");
    layer *l = layer_taking(x, i, TAKES_NORM);
    size_t filter, j;
    int c;
    filter = has(l, HAS_FILTERS) ? weight_count(x->to, l) / (size_t)l->c : 1;
    for (c = 0; c < l->c; c++) {
        const double factor = (double)weight[c] / sqrt((double)var[c] + x->net->desc.bn_eps);
        for (j = 0; j < filter; j++) {
            float *w = &l->weight[(size_t)c * filter + j];
            *w = (float)(*w * factor);
        }
        l->bias[c] = (float)(((double)l->bias[c] - (double)mean[c]) * factor + (double)bias[c]);
    }
}

static inline void lower_relu(lowering *x, int i) {
    layer *l = layer_taking(x, i, TAKES_RELU);
    l->relu = 1;
}

static inline void lower_gate(lowering *x, int i) {
    const int gate = value_layer(x, x->net->nodes[i].inputs[1]);
    layer *l = lower_layer(x, i, LAYER_GATE);
    l->inputs[1] = gate;
    l->complement = x->net->nodes[i].complement;
}

static inline void lower_factor(lowering *x, int i, float factor) {
    const int input = x->net->nodes[i].inputs[0];
    x->layers[i] = x->layers[input];
    x->factors[i] = x->factors[input] * factor;
}

static inline void lower_scale(lowering *x, int i) { lower_factor(x, i, x->net->nodes[i].scale); }

/* In inference every number is multiplied by the probability to be kept. */
static inline void lower_dropout(lowering *x, int i) {
    lower_factor(x, i, 1 - x->net->nodes[i].dropout);
}

static inline void lower_add(lowering *x, int i) {
    const int *inputs = x->net->nodes[i].inputs;
    const float factors[2] = {x->factors[inputs[0]], x->factors[inputs[1]]};
    layer *l;
    x->factors[inputs[0]] = x->factors[inputs[1]] = 1;
    l = lower_layer(x, i, LAYER_ADD);
    l->inputs[1] = x->layers[inputs[1]];
    x->factors[inputs[0]] = l->factors[0] = factors[0];
    x->factors[inputs[1]] = l->factors[1] = factors[1];
}

static inline void lower_max_pool(lowering *x, int i) {
    lower_layer(x, i, LAYER_MAX_POOL)->zeros = x->net->nodes[i].zeros;
}

static inline void lower_avg_pool(lowering *x, int i) { lower_layer(x, i, LAYER_AVG_POOL); }

static inline void lower_global_avg_pool(lowering *x, int i) {
    lower_layer(x, i, LAYER_GLOBAL_AVG_POOL);
}

static inline void lower_pad_subsample(lowering *x, int i) {
    lower_layer(x, i, LAYER_PAD_SUBSAMPLE)->front = x->net->nodes[i].front;
}

static inline void refuse_norm(lowering *x, int i) {
    quit(1,
         "%s normalises by statistics that it makes of each image, which cannot be multiplied out "
         "beforehand: train the net with norm batch_norm",
         rn_kind_name(x->net->nodes[i].kind));
}

/* A row for each kind of node, in the order of rn_kind. */
static void (*const lowerings[])(lowering *x, int i) = {
    lower_input,   lower_convolution,   lower_batch_norm,      lower_relu,   lower_gate,
    lower_dropout, lower_max_pool,      lower_global_avg_pool, lower_linear, lower_add,
    lower_scale,   lower_pad_subsample, lower_avg_pool,        refuse_norm,  refuse_norm};
typedef char a_lowering_for_each_kind[sizeof lowerings / sizeof lowerings[0] == RN_KINDS ? 1 : -1];

/* The layers of a net of inference; to be freed by free_lowered. */
static inline lowered lower_net(const rn_net *net) {
    const size_t nodes = (size_t)net->node_count;
    lowered to;
    lowering x = {&to, net, (int *)allocate(nodes * sizeof(int)),
                  (int *)allocate(nodes * sizeof(int)), allocate_floats(nodes)};
    int i, k;
    memset(&to, 0, sizeof to);
    snprintf(to.title, sizeof to.title, "ResNet-%d", net->desc.depth);
    for (i = 0; i < 4; i++)
        to.mean[i] = net->desc.mean[i], to.deviation[i] = net->desc.deviation[i];
    to.bgr = net->desc.channel_order == RN_BGR && net->desc.channels == 3;
    memset(x.readers, 0, nodes * sizeof(int));
    for (i = 0; i < net->node_count; i++) {
        x.factors[i] = 1;
        for (k = 0; k < 2; k++)
            if (net->nodes[i].inputs[k] >= 0) x.readers[net->nodes[i].inputs[k]]++;
    }
    for (i = 0; i < net->node_count; i++) lowerings[net->nodes[i].kind](&x, i);
    free(x.readers), free(x.layers), free(x.factors);
    refuse_infinite(&to);
    return to;
}

#endif
