/* nets.h - small nets and batches for the tests that walk the variants of the description. Include
   it behind resnet.h and test.h. */

#ifndef NETS_H
#define NETS_H

#include <stdlib.h>

enum { ORDERS = RN_RELU_PREACT + 1, BLOCKS = RN_SINGLE + 1, SHORTCUTS = RN_SHORTCUT_DROPOUT + 1 };
enum { RESIZES = RN_RESIZE_D_BN + 1, ISAS = RN_ISA_AVX512 + 1, STEMS = RN_STEM_BIT + 1 };

enum { NET_NAME = 512 }; /* bytes of net_name */

/* The images of ImageNet stems are larger, for it divides their size by four. */
static inline rn_desc net_desc(rn_order order, rn_block block, rn_shortcut shortcut,
                               rn_resize resize, rn_stem stem) {
    rn_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.order = order;
    desc.block = block;
    desc.shortcut = shortcut;
    desc.resize = resize;
    desc.stem = stem;
    desc.units[0] = 2;
    desc.units[1] = 1;
    desc.base_width = 3;
    desc.classes = 4;
    desc.channels = 2;
    desc.height = stem == RN_STEM_CIFAR ? 7 : 21;
    desc.width = stem == RN_STEM_CIFAR ? 6 : 19;
    desc.shortcut_scale = 0.5f;
    desc.residual_scale = 0.75f;
    desc.gate_bias = -0.5f;
    desc.carry_bias = 0.5f;
    desc.momentum = 0.9;
    desc.weight_decay = 1e-3;
    desc.threads = 1;
    return desc;
}

/* Sets fields: "block single stem_width 5", see rn_desc_set. */
static inline void net_options(rn_desc *desc, const char *options) {
    char key[32], value[32];
    int length;
    for (; sscanf(options, "%31s %31s%n", key, value, &length) == 2; options += length) {
        rn_error error = {RN_OK, ""};
        if (test_failed(!rn_desc_set(desc, key, value, &error), "net", __LINE__))
            fprintf(stderr, "%s %s: %s\n", key, value, error.text);
    }
}

/* Nets beside the paper's, as options of the small one: every norm with every order that can have
   it, every shortcut and block, groups of one, several and all channels, standardised weights,
   stems and their bare forms, other widths. */
static const char *const net_members[] = {
    /* group normalisation: 3 channels in the stem and the first stage, or 4 */
    "norm group_norm norm_groups 1",
    "norm group_norm norm_groups 3 order original resize B_bn",
    "norm group_norm norm_groups 2 base_width 4 order bn_after_add block bottleneck",
    "norm group_norm norm_groups 4 base_width 4 order relu_before_add resize D_bn",
    "norm group_norm norm_groups 3 order relu_preact block bottleneck resize D stride_on 3x3",
    "norm group_norm norm_groups 3 block bottleneck resize B",
    "norm group_norm norm_groups 2 base_width 4 block single order original resize A_centred",
    "norm group_norm norm_groups 1 shortcut scale order original",
    "norm group_norm norm_groups 2 base_width 4 shortcut exclusive_gate",
    "norm group_norm norm_groups 2 base_width 4 shortcut shortcut_gate order bn_after_add",
    "norm group_norm norm_groups 3 shortcut highway order original block bottleneck",
    "norm group_norm norm_groups 3 shortcut conv1x1 order relu_preact",
    "norm group_norm norm_groups 1 shortcut dropout order relu_before_add",
    /* EvoNorm-S0 */
    "norm evonorm_s0 norm_groups 1 resize B",
    "norm evonorm_s0 norm_groups 3 block bottleneck resize D",
    "norm evonorm_s0 norm_groups 2 base_width 4 order bn_after_add",
    "norm evonorm_s0 norm_groups 4 base_width 4 order relu_before_add block bottleneck",
    "norm evonorm_s0 norm_groups 3 block single order bn_after_add shortcut highway",
    "norm evonorm_s0 norm_groups 2 base_width 4 shortcut exclusive_gate",
    "norm evonorm_s0 norm_groups 1 shortcut shortcut_gate order relu_before_add",
    "norm evonorm_s0 norm_groups 3 shortcut conv1x1",
    "norm evonorm_s0 norm_groups 3 shortcut scale order bn_after_add block bottleneck",
    "norm evonorm_s0 norm_groups 1 shortcut dropout",
    /* standardised weights */
    "weight_standardisation 1",
    "weight_standardisation 1 standardisation_eps 1e-3 order original block bottleneck resize B_bn",
    "weight_standardisation 1 order relu_preact block single bn_group 2",
    "weight_standardisation 1 norm group_norm norm_groups 3 resize D",
    "weight_standardisation 1 norm group_norm norm_groups 1 shortcut highway order original",
    "weight_standardisation 1 norm evonorm_s0 norm_groups 3 shortcut exclusive_gate",
    "weight_standardisation 1 shortcut shortcut_gate order relu_before_add",
    "weight_standardisation 1 shortcut conv1x1 conv_bias 1",
    "weight_standardisation 1 shortcut scale order bn_after_add",
    "weight_standardisation 1 shortcut dropout block bottleneck",
    /* stems */
    "stem deep base_width 4",
    "stem deep bare_stem 1 raw_identity 1 base_width 4 resize D",
    "stem deep base_width 4 norm group_norm norm_groups 2 order original block bottleneck",
    "stem deep bare_stem 1 raw_identity 1 base_width 4 norm group_norm norm_groups 2",
    "stem deep bare_stem 1 always_project 1 base_width 6 norm evonorm_s0 norm_groups 3 resize D",
    "stem deep base_width 4 weight_standardisation 1 order relu_before_add resize B_bn",
    "stem bit",
    "stem bit bare_stem 1 order original resize B_bn",
    "stem bit order bn_after_add norm group_norm norm_groups 3",
    ("stem bit raw_identity 1 always_project 1 weight_standardisation 1 norm group_norm "
     "norm_groups 3 block bottleneck stride_on 3x3"),
    "stem bit norm evonorm_s0 norm_groups 1 order relu_before_add",
    "stem bit order relu_preact shortcut exclusive_gate conv_bias 1",
    "stem imagenet bare_stem 1 raw_identity 1 always_project 1 block bottleneck stride_on 3x3",
    "stem imagenet bare_stem 1 order original",
    "stem imagenet bare_stem 1 norm evonorm_s0 norm_groups 3 order bn_after_add",
    "stem imagenet norm group_norm norm_groups 3 order relu_preact",
    "stem cifar bare_stem 1 order original",
    "stem cifar bare_stem 1 order relu_before_add norm evonorm_s0 norm_groups 3 bare_tail 1",
    /* tails, shortcuts, biases */
    "bare_tail 1",
    "bare_tail 1 order relu_preact always_project 1 conv_bias 1",
    "bare_tail 1 norm group_norm norm_groups 3 raw_identity 1",
    "always_project 1 raw_identity 1",
    "always_project 1 order original resize B_bn block bottleneck",
    "always_project 1 resize D_bn norm group_norm norm_groups 3 order bn_after_add",
    "raw_identity 1 shortcut shortcut_gate",
    "raw_identity 1 shortcut scale order relu_preact",
    "conv_bias 1",
    "conv_bias 1 order original block bottleneck resize B_bn",
    "conv_bias 1 norm group_norm norm_groups 3 shortcut highway",
    "conv_bias 1 norm group_norm norm_groups 1 order relu_before_add",
    "conv_bias 1 norm evonorm_s0 norm_groups 3 block bottleneck",
    /* widths, which also shrink */
    "stem_width 5 widths 4,3 outputs 6,7 block bottleneck",
    "stem_width 6 outputs 8,5 resize B",
    "stem_width 9 widths 6,3 outputs 6,3 norm group_norm norm_groups 3 order original resize B_bn",
    "widths 5,4 outputs 4,9 conv_bias 1 order bn_after_add resize D",
    "stem_width 17 widths 18,16 outputs 19,33 resize A block single",
    "stem deep stem_width 10 widths 6,5 outputs 18,20 block bottleneck resize B order original",
    "stem deep padding same height 32 width 24 stem_width 6 norm group_norm norm_groups 3",
};
enum { NET_MEMBERS = (int)(sizeof net_members / sizeof net_members[0]) };

/* Member i, with images that suit its stem. */
static inline rn_desc net_member(int i) {
    rn_desc desc;
    memset(&desc, 0, sizeof desc);
    net_options(&desc, net_members[i]);
    desc = net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, desc.stem);
    net_options(&desc, net_members[i]);
    return desc;
}

/* "bottleneck original highway B_bn symmetric cifar ...", for messages; of what not all nets have
   only what is there. */
static inline const char *net_name(const rn_desc *desc, char name[NET_NAME]) {
    static const char *const keys[] = {"block",        "order",
                                       "shortcut",     "resize",
                                       "padding",      "stem",
                                       "norm",         "norm_groups",
                                       "bare_stem",    "bare_tail",
                                       "conv_bias",    "always_project",
                                       "raw_identity", "weight_standardisation",
                                       "stem_width",   "widths",
                                       "outputs"};
    int i, k;
    name[0] = 0;
    for (k = 0; k < 17; k++)
        for (i = 0; rn_desc_key(i); i++) {
            char value[96];
            if (strcmp(rn_desc_key(i), keys[k])) continue;
            rn_desc_get(desc, i, value);
            if (k > 6 && (!strcmp(value, "0") || !strcmp(value, "0,0,0,0"))) continue;
            if (k) strcat(name, " ");
            if (k > 6) strcat(strcat(name, keys[k]), " ");
            strcat(name, value);
        }
    return name;
}

/* A check of a net, which is named with the values if it fails. */
static inline int net_check(int passed, int line, const rn_desc *desc, const char *what,
                            double value, double limit) {
    char name[NET_NAME];
    if (test_failed(passed, "net", line))
        fprintf(stderr, "%s: %s: %g; limit %g\n", net_name(desc, name), what, value, limit);
    return passed;
}

/* As many threads as the description says, also where the machine has fewer processors; they help
   in every step, whatever that costs. */
static inline void net_force_threads(rn_net *net) {
#ifdef RN__TEAMS
    if (!net->executor->team) return;
    rn__end_team(net->executor->team);
    net->executor->team = rn__start_team(net->desc.threads);
    if (test_failed(net->executor->team != NULL, "net", __LINE__)) exit(2);
    net->executor->team->pace.together = 1;
    net->executor->team->pace.pause = INT_MAX;
#else
    (void)net;
#endif
}

/* rn_create, which must succeed; NULL counts as a failure. */
static inline rn_net *net_create(const rn_desc *desc, int batch, rn_mode mode) {
    rn_error error;
    rn_net *net = rn_create(desc, batch, mode, NULL, &error);
    char name[NET_NAME];
    if (test_failed(net != NULL, "net", __LINE__))
        fprintf(stderr, "%s: %s\n", net_name(desc, name), error.text);
    if (net) net_force_threads(net);
    return net;
}

/* The same in all but the bytes between the members. */
static inline int net_same_schedule(const rn_schedule *a, const rn_schedule *b) {
    return a->kind == b->kind && !memcmp(&a->learning_rate, &b->learning_rate, sizeof(double)) &&
           a->steps == b->steps && !memcmp(a->drops, b->drops, sizeof a->drops) &&
           a->warmup_steps == b->warmup_steps &&
           !memcmp(&a->warmup_rate, &b->warmup_rate, sizeof(double));
}

/* A stream of test's own. */
static inline double net_number(uint64_t seed, uint64_t index) {
    rn_key key = {0, 99, 0};
    key.seed = seed;
    return rn_normal(key, index);
}

/* Biases of whatever normalises. */
static inline int net_is_norm_bias(const rn_parameter *p) {
    return p->role == RN_BN_BIAS || p->role == RN_GN_BIAS || p->role == RN_EVONORM_BIAS;
}

/* Parameters and running statistics off their usual first values, so that none hides. The stem's
   bias in front of a max-pool is low: were every window above zero, it would only add a constant,
   and a batch norm behind a 1x1 convolution would take that away again. */
static inline void net_draw(rn_net *net, uint64_t seed) {
    rn_parameter p;
    uint64_t index = 0;
    ptrdiff_t i;
    memset(&p, 0, sizeof p);
    while (rn_next_parameter(net, &p))
        for (i = 0; i < p.count; i++) {
            double x = net_number(seed, index++);
            double fan = (double)p.count / p.shape[0];
            if (p.role == RN_CONV_WEIGHT)
                x *= sqrt(2 / fan);
            else if (p.role == RN_LINEAR_WEIGHT)
                x *= sqrt(1 / fan);
            else if (p.role == RN_BN_WEIGHT || p.role == RN_GN_WEIGHT ||
                     p.role == RN_EVONORM_WEIGHT || p.role == RN_EVONORM_V ||
                     p.role == RN_RUNNING_VAR)
                x = 1 + 0.2 * tanh(x);
            else
                x *= 0.3;
            if (net_is_norm_bias(&p) && net->nodes[p.node].stage == 0 &&
                net->desc.stem != RN_STEM_CIFAR)
                x -= 0.8;
            p.data[i] = (rn_real)x;
        }
}

static inline ptrdiff_t net_image_count(const rn_desc *desc, int count) {
    return (ptrdiff_t)count * desc->channels * desc->height * desc->width;
}

/* Memory for a test's array; a test that has none cannot go on. */
static inline void *net_take(size_t bytes) {
    void *memory = calloc(1, bytes + 1);
    if (!memory) {
        fprintf(stderr, "no memory for the test\n");
        exit(2);
    }
    return memory;
}

/* A batch of random images and labels, to be freed by free(images) and free(labels). */
typedef struct net_batch {
    rn_real *images;
    int *labels;
} net_batch;

static inline net_batch net_draw_batch(const rn_desc *desc, int count, uint64_t seed) {
    net_batch batch;
    ptrdiff_t i, numbers = net_image_count(desc, count);
    batch.images = (rn_real *)net_take((size_t)numbers * sizeof(rn_real));
    batch.labels = (int *)net_take((size_t)count * sizeof(int));
    for (i = 0; i < numbers; i++)
        batch.images[i] = (rn_real)net_number(seed + 1000000, (uint64_t)i);
    for (i = 0; i < count; i++) batch.labels[i] = (int)((i * 7 + (ptrdiff_t)seed) % desc->classes);
    return batch;
}

static inline void net_free_batch(net_batch *batch) {
    free(batch->images);
    free(batch->labels);
}

static inline double net_largest(const rn_real *data, ptrdiff_t count) {
    double largest = 0;
    ptrdiff_t i;
    for (i = 0; i < count; i++) largest = worse(largest, fabs((double)data[i]));
    return largest;
}

/* The last node that reads value v; -1: none does. */
static inline int net_last_reader(const rn_net *net, int v) {
    int i;
    for (i = net->node_count - 1; i > v; i--)
        if (net->nodes[i].inputs[0] == v || net->nodes[i].inputs[1] == v) return i;
    return -1;
}

/* Is the value of node v of no consequence in a training step, because stochastic depth leaves out
   the unit that it belongs to? Then every way from it to the logits leads through nodes that end
   such units. */
static inline int net_left_out(const rn_net *net, int v) {
    const rn_node *node = &net->nodes[v];
    const uint64_t unit = (uint64_t)node->stage << 32 | (uint64_t)node->unit;
    const int last = net_last_reader(net, v);
    rn_key key = {0, RN_PURPOSE_DEPTH, 0};
    int i;
    key.seed = net->desc.seed, key.epoch = net->step;
    if (node->whole && v >= net->first_trained && rn_uniform(key, unit) < (double)node->dropout)
        return 1;
    for (i = v + 1; i <= last; i++)
        if ((net->nodes[i].inputs[0] == v || net->nodes[i].inputs[1] == v) && !net_left_out(net, i))
            return 0;
    return last >= 0;
}

/* What becomes of a constant added to each channel of what a node of this kind reads: it goes on as
   another such constant, it is taken away, or it changes more than that. */
enum { NET_CHANGES, NET_HANDS_ON, NET_TAKES_AWAY };

static inline int net_constant_through(const rn_net *net, const rn_node *node) {
    if (net_left_out(net, (int)(node - net->nodes))) return NET_TAKES_AWAY;
    switch (node->kind) {
    case RN_DROPOUT: return node->whole ? NET_HANDS_ON : NET_CHANGES;
    case RN_BATCH_NORM: return NET_TAKES_AWAY; /* it is part of the mean */
    case RN_GROUP_NORM:                        /* of a channel alone, likewise */
        return net->desc.norm_groups == node->c ? NET_TAKES_AWAY : NET_CHANGES;
    case RN_MAX_POOL: return node->zeros ? NET_CHANGES : NET_HANDS_ON;
    case RN_CONV2D: /* but at the edge, where a kernel sees padding */
        return node->padding + node->padding_behind == 0 ? NET_HANDS_ON : NET_CHANGES;
    case RN_ADD:
    case RN_SCALE:
    case RN_PAD_SUBSAMPLE:
    case RN_AVG_POOL:
    case RN_GLOBAL_AVG_POOL:
    case RN_LINEAR: return NET_HANDS_ON;
    default: return NET_CHANGES; /* ReLU, gate, EvoNorm */
    }
}

/* Does a norm take it away on every path from value v to the logits? */
static inline int net_constant_dies(const rn_net *net, int v) {
    int k;
    for (k = v + 1; k <= net_last_reader(net, v); k++) {
        int through;
        if (net->nodes[k].inputs[0] != v && net->nodes[k].inputs[1] != v) continue;
        through = net_constant_through(net, &net->nodes[k]);
        if (through == NET_CHANGES) return 0;
        if (through == NET_HANDS_ON && !net_constant_dies(net, k)) return 0;
    }
    return net_last_reader(net, v) >= 0;
}

/* Is the gradient of this parameter zero, but for rounding? Biases add a constant to each channel;
   one that dies on its way leaves the loss as it is. What is left out has none in any case. */
static inline int net_zero_by_analysis(const rn_net *net, const rn_parameter *p) {
    if (net_left_out(net, p->node)) return 1;
    return (net_is_norm_bias(p) || p->role == RN_CONV_BIAS || p->role == RN_LINEAR_BIAS) &&
           net_constant_dies(net, p->node);
}

/* ---- nets by arguments ---------------------------------------------------------------------- */

/* The list of an option has so many values. */
static inline int net_count_values(const char *const *names) {
    int count = 0;
    while (names && names[count]) count++;
    return count;
}

/* The value of an option by its name; -1: it has none such. */
static inline int net_value_of(const rn__field *field, const char *word) {
    int value = net_count_values(field->names) - 1;
    while (value >= 0 && !rn__same_name(field->names[value], word)) value--;
    return value;
}

/* Whatever the description knows, also what was added to it since this was written. */
static inline void net_print_options(FILE *to) {
    int i, k;
    for (i = 0; i < RN__FIELDS; i++) {
        if (!rn__fields[i].names) continue;
        fprintf(to, "  %s:", rn__fields[i].key);
        for (k = 0; rn__fields[i].names[k]; k++) fprintf(to, " %s", rn__fields[i].names[k]);
        fputc('\n', to);
    }
}

static inline void net_help(const char *program, const char *what) {
    int i;
    printf("usage: %s [--only WORD... | --KEY VALUE...]\n"
           "Without arguments: %s.\n"
           "--only: of some fifteen small nets that have what the words say, with every order and\n"
           "block and, by turns, all other options; seconds. A word is a value of one of these\n"
           "options, KEY=VALUE, or a KEY alone, for 1:\n",
           program, what);
    net_print_options(stdout);
    printf("--KEY VALUE: of the one small net that is so described. KEY is a field of the\n"
           "description (see rn_desc_set):\n ");
    for (i = 0; rn_desc_key(i); i++) printf(" --%s", rn_desc_key(i));
    printf("\nfor example %s --only highway\n"
           "or %s --order original --shortcut highway --resize B_bn --units 2,2\n",
           program, program);
}

/* Sets what a word behind --only says; a program ends that has no sense for it. */
static inline void net_set_word(rn_desc *desc, const char *word) {
    char key[64];
    const char *equals = strchr(word, '=');
    const rn__field *found = NULL;
    rn_error error = {RN_OK, ""};
    int i, options = 0;
    for (i = 0; i < RN__FIELDS && !equals; i++)
        if (net_value_of(&rn__fields[i], word) >= 0) found = &rn__fields[i], options++;
    if (options > 1) {
        fprintf(stderr, "--only %s: several options have that value; say KEY=%s\n", word, word);
        net_print_options(stderr);
        exit(2);
    }
    if (equals) snprintf(key, sizeof key, "%.*s", (int)(equals - word), word);
    if (!(equals  ? rn_desc_set(desc, key, equals + 1, &error)
          : found ? rn_desc_set(desc, found->key, word, &error)
                  : rn_desc_set(desc, word, "1", &error)))
        return;
    fprintf(stderr, "--only %s: %s; it takes a value of an option, KEY=VALUE, or a KEY:\n", word,
            error.text);
    net_print_options(stderr);
    exit(2);
}

/* Net i of --only without its words: order and block by i, all else by turns, where the description
   allows. */
static inline rn_desc net_by_turns(int i) {
    const int orders = net_count_values(rn__order_names);
    const int shortcuts = net_count_values(rn__shortcut_names);
    const int resizes = net_count_values(rn__resize_names);
    const int norms = net_count_values(rn__norm_names);
    const int block = RN_BASIC + i / orders % (BLOCKS - RN_BASIC), turn = i + i / orders;
    rn_desc desc =
        net_desc((rn_order)(i % orders), (rn_block)block, (rn_shortcut)(turn % shortcuts),
                 (rn_resize)(turn % resizes), turn % 8 ? RN_STEM_CIFAR : RN_STEM_DEEP);
    rn_desc resolved;
    if (desc.stem == RN_STEM_DEEP) desc.base_width = 4; /* begins with half of it */
    desc.weight_standardisation = turn % 5 == 0;
    desc.norm = (rn_norm)(turn % norms);
    desc.seed = (uint64_t)i; /* other masks, other units left out */
    resolved = desc;
    if (rn_resolve(&resolved, NULL)) desc.norm = RN_NORM_BATCH;
    return desc;
}

/* Are the arguments --only WORD...? Then all nets with these words are checked. */
static inline int net_only(int argc, char **argv,
                           void (*check)(const rn_desc *desc, uint64_t seed)) {
    const int nets = net_count_values(rn__order_names) * (BLOCKS - RN_BASIC);
    rn_error error = {RN_OK, ""};
    int i, k, checked = 0;
    if (argc < 3 || strcmp(argv[1], "--only")) return 0;
    for (i = 0; i < nets; i++) {
        rn_desc desc = net_by_turns(i), resolved;
        for (k = 2; k < argc; k++) net_set_word(&desc, argv[k]);
        resolved = desc;
        if (rn_resolve(&resolved, &error)) continue; /* words that exclude an option */
        check(&desc, (uint64_t)i + 1);
        checked++;
    }
    if (!checked) {
        fprintf(stderr, "--only: no net has all of this: %s\n", error.text);
        exit(2);
    }
    printf("%s: %d nets with", argv[0], checked);
    for (k = 2; k < argc; k++) printf(" %s", argv[k]);
    printf("\n");
    return 1;
}

static inline void net_set(rn_desc *desc, int argc, char **argv) {
    rn_error error;
    int i;
    for (i = 1; i < argc; i += 2) {
        if (i + 1 < argc && !strncmp(argv[i], "--", 2) &&
            !rn_desc_set(desc, argv[i] + 2, argv[i + 1], &error))
            continue;
        fprintf(stderr, "%s: %s; see --help\n", argv[i],
                i + 1 < argc && !strncmp(argv[i], "--", 2) ? error.text : "wants --KEY VALUE");
        exit(2);
    }
}

/* 1 if the arguments describe a net, which *desc becomes. */
static inline int net_arguments(int argc, char **argv, const char *what, rn_desc *desc) {
    rn_desc asked;
    if (argc == 1) return 0;
    if (!strcmp(argv[1], "--help")) {
        net_help(argv[0], what);
        exit(0);
    }
    memset(&asked, 0, sizeof asked);
    net_set(&asked, argc, argv); /* for sizes depend on the stem, units on the depth */
    *desc =
        net_desc(RN_FULL_PREACT, RN_BLOCK_AUTO, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, asked.stem);
    if (asked.depth) memset(desc->units, 0, sizeof desc->units);
    net_set(desc, argc, argv);
    return 1;
}

#endif /* NETS_H */
