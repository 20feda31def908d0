/* convert.c - turns the weights of the usual PyTorch nets into a file of resnet.h.

   cc -O2 -o tools/convert tools/convert.c -lm && tools/convert --help

   In: a safetensors file with the names of torchvision's ResNets, of the CIFAR nets that are copied
   most, or of timm's resnetv2; batch norms may be folded into the convolutions, as they are in
   MLPerf Tiny's ResNet-8. Out: a weights file with description, normalisation of the images and, if
   they are given, names of the classes.

   The file is walked three times: `study` gathers what names and shapes tell, from which `describe`
   makes the description; `compare` lists whatever does not fit the net of that description; and
   `copy_tensors` reads each tensor to where it belongs. What tensors do not tell is assumed as the
   family has it, and said. */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "../examples/names.h"

/* ---- names -----------------------------------------------------------------------------------

   A tensor's place in the net: stage from 1 (0: outside of units), unit from 0, and the rest of its
   name in our words, norms called bn whatever they are: "conv1.weight", "shortcut_bn.bias". */
typedef struct place {
    int stage, unit;
    char part[96];
} place;

/* What the others call it and we do, at the begin of such a rest; all that is not here has the same
   name everywhere. */
static const struct {
    const char *theirs, *ours;
    int in_unit;
} renames[] = {{"downsample.0.", "shortcut.", 1},
               {"downsample.1.", "shortcut_bn.", 1}, /* torchvision */
               {"shortcut.0.", "shortcut.", 1},
               {"shortcut.1.", "shortcut_bn.", 1}, /* kuangliu */
               {"downsample.conv.", "shortcut.", 1},
               {"norm", "bn", 1}, /* timm */
               {"stem.conv.", "conv1.", 0},
               {"stem.conv", "conv", 0},
               {"stem.norm", "bn", 0},
               {"norm.", "bn.", 0},
               {"head.fc.", "fc.", 0},
               {"linear.", "fc.", 0}};
enum { RENAMES = (int)(sizeof renames / sizeof renames[0]) };

static const char *const norms[] = {"bn", "gn", "evonorm"}; /* our names, by rn_norm */

static int begins(const char *text, const char *with) { return !strncmp(text, with, strlen(with)); }

static int ends(const char *text, const char *with) {
    const size_t length = strlen(text), end = strlen(with);
    return length >= end && !strcmp(text + length - end, with);
}

/* What wrappers put in front of all names: several devices, a compiler, a program's own class. */
static size_t prefix_length(const char *name) {
    static const char *const prefixes[] = {"module.", "_orig_mod.", "model."};
    size_t length = 0;
    int i;
    for (i = 0; i < 3; i++) /* there may be several, in any order */
        if (begins(name + length, prefixes[i])) length += strlen(prefixes[i]), i = -1;
    return length;
}

/* What the names in a file are like. */
typedef struct naming {
    char prefix[64];
    int timm;          /* units are stages.S.blocks.B, counted from 0, not layerS.B from 1 and 0 */
    int used[RENAMES]; /* rows of renames */
} naming;

/* Reads a name; notes in *names, unless it is NULL, what it is like. */
static place find_place(const char *name, naming *names) {
    place at = {0, 0, ""};
    const char *rest = name + prefix_length(name);
    int length = 0, timm, i;
    if (sscanf(rest, "layer%d.%d.%n", &at.stage, &at.unit, &length) < 2) length = 0;
    timm = !length && sscanf(rest, "stages.%d.blocks.%d.%n", &at.stage, &at.unit, &length) == 2;
    if (!length || at.stage < !timm || at.stage > 999 || at.unit < 0 || at.unit > 99999)
        at.stage = at.unit = length = timm = 0;
    at.stage += timm;
    rest += length;
    for (i = 0; i < RENAMES; i++)
        if (renames[i].in_unit == (at.stage > 0) && begins(rest, renames[i].theirs)) break;
    if (i < RENAMES)
        snprintf(at.part, sizeof at.part, "%s%s", renames[i].ours,
                 rest + strlen(renames[i].theirs));
    else
        snprintf(at.part, sizeof at.part, "%s", rest);
    if (names && i < RENAMES) names->used[i] = 1;
    if (names && timm) names->timm = 1;
    return at;
}

/* Where in a part the name of a norm stands; NULL if there is none. */
static char *norm_in(char *part, const char *norm) {
    char *at = begins(part, "shortcut_") ? part + strlen("shortcut_") : part;
    return begins(at, norm) ? at : NULL;
}

/* Our name for it, in a net with such norms. */
static void our_name(place at, rn_norm norm, char name[160]) {
    const char *bn = norm_in(at.part, "bn");
    int length = 0;
    if (at.stage) length = snprintf(name, 160, "layer%d.%d.", at.stage, at.unit);
    if (bn)
        snprintf(name + length, 160 - (size_t)length, "%.*s%s%s", (int)(bn - at.part), at.part,
                 norms[norm], bn + 2);
    else
        snprintf(name + length, 160 - (size_t)length, "%s", at.part);
}

/* The name that the file would have for one of ours: a missing tensor must be told in its words. */
static void their_name(const char *ours, rn_norm norm, const naming *names, char name[256]) {
    char part[160], *at;
    int stage = 0, unit = 0, skip = 0, i, length;
    if (sscanf(ours, "layer%d.%d.%n", &stage, &unit, &skip) < 2) stage = skip = 0;
    snprintf(part, sizeof part, "%s", ours + skip);
    at = norm_in(part, norms[norm]);
    if (at) { /* to bn, which is not longer than any */
        memmove(at + 2, at + strlen(norms[norm]), strlen(at + strlen(norms[norm])) + 1);
        memcpy(at, "bn", 2);
    }
    for (i = 0; i < RENAMES; i++)
        if (names->used[i] && renames[i].in_unit == (stage > 0) && begins(part, renames[i].ours))
            break;
    length = snprintf(name, 256, "%s", names->prefix);
    if (stage)
        length += snprintf(name + length, 256 - (size_t)length,
                           names->timm ? "stages.%d.blocks.%d." : "layer%d.%d.",
                           stage - names->timm, unit);
    snprintf(name + length, 256 - (size_t)length, "%s%s", i < RENAMES ? renames[i].theirs : "",
             part + (i < RENAMES ? strlen(renames[i].ours) : 0));
}

/* ---- what the tensors tell ------------------------------------------------------------------- */

/* Of the first unit of a stage: channels in front, of its convolutions, of its first norm. */
typedef struct stage_facts {
    int units, in, conv1, conv2_in, conv2, conv3, bn1, projects;
} stage_facts;

typedef struct facts {
    naming names;
    char first[96];            /* the file's first tensor */
    int kernel, stem_convs[3]; /* of the stem: of conv1; filters of conv1 to conv3 */
    int channels, classes;
    int stem_norms[4], tail_norm; /* bn1 to bn3 in the stem; at the end */
    int normed, running, evonorm; /* norms; running means; vectors v */
    int biased, shortcut_norm;    /* biases of convolutions */
    int quantised;                /* scales of integers */
    stage_facts stages[RN_MAX_STAGES];
} facts;

static void open_archive(rn_archive *archive, const char *path) {
    rn_error error;
    check(rn_archive_open(archive, path, NULL, &error), &error);
}

/* The next tensor that is no bookkeeping: 1, or 0 at the end. */
static int next_tensor(rn_archive *archive, rn_entry *e) {
    rn_error error;
    int found;
    while ((found = rn_archive_next(archive, e, &error)) == 1 &&
           ends(e->name, "num_batches_tracked")) {
    }
    if (found < 0) check((rn_status)found, &error);
    return found;
}

static void note_in_stem(facts *f, const char *part, const int size[4]) {
    int k;
    if (sscanf(part, "conv%d.weight", &k) == 1 && k >= 1 && k <= 3) f->stem_convs[k - 1] = size[0];
    if (sscanf(part, "bn%d.weight", &k) == 1 && k >= 1 && k <= 3) f->stem_norms[k - 1] = size[0];
    if (!strcmp(part, "conv1.weight")) f->channels = size[1], f->kernel = size[2];
    if (!strcmp(part, "bn.weight")) f->tail_norm = 1;
    if (!strcmp(part, "fc.weight")) f->classes = size[0];
}

static void note_in_unit(facts *f, const place *at, const int size[4]) {
    stage_facts *s;
    const char *part = at->part;
    if (at->stage > RN_MAX_STAGES) return;
    s = &f->stages[at->stage - 1];
    if (at->unit >= s->units) s->units = at->unit + 1;
    f->shortcut_norm |= begins(part, "shortcut_bn.");
    if (at->unit) return;
    if (!strcmp(part, "conv1.weight")) s->conv1 = size[0], s->in = size[1];
    if (!strcmp(part, "conv2.weight")) s->conv2 = size[0], s->conv2_in = size[1];
    if (!strcmp(part, "conv3.weight")) s->conv3 = size[0];
    if (!strcmp(part, "bn1.weight")) s->bn1 = size[0];
    s->projects |= !strcmp(part, "shortcut.weight");
}

/* Goes through all names and shapes. */
static void study(facts *f, const char *path) {
    rn_archive archive;
    rn_entry e;
    int i;
    memset(f, 0, sizeof *f);
    open_archive(&archive, path);
    while (next_tensor(&archive, &e)) {
        place at = find_place(e.name, &f->names);
        int size[4]; /* sizes that no net has stick at one that none has either */
        for (i = 0; i < 4; i++) size[i] = e.shape[i] > 1 << 30 ? 1 << 30 : (int)e.shape[i];
        if (!*f->first) strcpy(f->first, e.name);
        if (!strcmp(at.part, "conv1.weight") && prefix_length(e.name) < sizeof f->names.prefix)
            sprintf(f->names.prefix, "%.*s", (int)prefix_length(e.name), e.name);
        f->normed |= norm_in(at.part, "bn") != NULL;
        f->running |= ends(e.name, ".running_mean");
        f->evonorm |= ends(e.name, ".v");
        f->quantised |= ends(e.name, ".weight_scale");
        f->biased |= begins(at.part, "conv") && ends(at.part, ".bias");
        if (at.stage)
            note_in_unit(f, &at, size);
        else
            note_in_stem(f, at.part, size);
    }
    rn_archive_close(&archive);
}

/* The tensor without which a file is none of these nets; NULL if it has all of them. */
static const char *missing_part(const facts *f) {
    if (!f->kernel) return f->names.timm ? "stem.conv.weight or stem.conv1.weight" : "conv1.weight";
    if (f->stages[0].conv1) return NULL;
    return f->names.timm ? "stages.0.blocks.0.conv1.weight" : "layer1.0.conv1.weight";
}

/* Refuses what is no ResNet, or one of a kind that no description holds. */
static void refuse_others(const facts *f, const char *path) {
    const stage_facts *s = f->stages;
    const int timm = f->names.timm;
    int i;
    if (missing_part(f))
        quit(1,
             "%s is no ResNet with names that are known here: it has no %s, and begins with "
             "\"%s\"; known are those of torchvision's resnet18 to 152, of kuangliu's and other "
             "CIFAR nets, and of timm's resnetv2",
             path, missing_part(f), f->first);
    if (f->quantised)
        quit(1,
             "%s holds integers and their scales; tools/emit_c takes it as it is, and this program "
             "the net in float",
             path);
    if (!f->classes)
        quit(1,
             "%s has no classifier (%s): it gives features, and not classes; take the file of the "
             "whole net",
             path, timm ? "head.fc.weight" : "fc.weight or linear.weight");
    for (i = 0; i < RN_MAX_STAGES; i++)
        if (s[i].conv2_in && s[i].conv2_in < s[i].conv1 && s[i].conv1 % s[i].conv2_in == 0)
            quit(1,
                 "%s: conv2 of the units of %s%d reads %d channels of %d: a convolution of %d "
                 "groups, as ResNeXt has, which resnet.h has not; take a plain or wide ResNet",
                 path, timm ? "stages." : "layer", i + !timm, s[i].conv2_in, s[i].conv1,
                 s[i].conv1 / s[i].conv2_in);
    if (!timm && f->kernel != 3 && f->kernel != 7)
        quit(1, "%s: conv1.weight is %dx%d; the stems that are known here begin with 3x3 or 7x7",
             path, f->kernel, f->kernel);
}

/* Norms are folded into the convolutions' weights and biases. The order is the original one then:
   in no other stands each norm behind a convolution. */
static int is_folded(const facts *f) { return !f->normed && f->biased && !f->names.timm; }

/* Norms stand before convolutions if a unit's first has the channels in front of it; where these
   and its filters are equally many everywhere, if the stem has no norm. */
static int is_preact(const facts *f) {
    int i;
    if (is_folded(f)) return 0;
    if (f->names.timm) return 1;
    for (i = 0; i < RN_MAX_STAGES; i++) {
        const stage_facts *s = &f->stages[i];
        if (s->bn1 && s->in != s->conv1) return s->bn1 == s->in;
    }
    return !f->stem_norms[0];
}

/* The description as far as the tensors tell it, and where they do not, as such nets are. */
static void describe(const facts *f, rn_desc *d) {
    const int deep = f->stem_convs[2] > 0, preact = is_preact(f);
    int i;
    *d = rn_cifar(0);
    d->base_width = d->stem_width = f->stem_convs[deep ? 2 : 0];
    d->channels = f->channels, d->classes = f->classes;
    for (i = 0; i < RN_MAX_STAGES; i++) {
        const stage_facts *s = &f->stages[i];
        d->units[i] = s->units;
        d->widths[i] = s->conv1;
        d->outputs[i] = s->conv3 ? s->conv3 : s->conv2 ? s->conv2 : s->conv1;
    }
    d->block = f->stages[0].conv3 ? RN_BOTTLENECK : f->stages[0].conv2 ? RN_BASIC : RN_SINGLE;
    d->order = preact ? RN_FULL_PREACT : RN_ORIGINAL;
    d->norm = f->evonorm                   ? RN_NORM_EVONORM_S0
              : f->running || is_folded(f) ? RN_NORM_BATCH
                                           : RN_NORM_GROUP;
    d->conv_bias = f->biased;
    d->always_project = f->stages[0].projects && d->outputs[0] == d->stem_width;
    d->raw_identity = preact;
    d->bare_tail = preact && !f->tail_norm;
    d->stem = deep ? RN_STEM_DEEP : f->kernel == 7 ? RN_STEM_IMAGENET : RN_STEM_CIFAR;
    d->bare_stem = preact && d->stem != RN_STEM_CIFAR && !f->stem_norms[deep ? 2 : 0];
    if (f->names.timm && d->stem == RN_STEM_IMAGENET && d->norm == RN_NORM_GROUP) {
        d->stem = RN_STEM_BIT;
        d->weight_standardisation = 1;
    }
    d->stride_on = RN_STRIDE_3X3;
    d->resize = RN_RESIZE_A_CENTRED;
    for (i = 0; i < RN_MAX_STAGES; i++)
        if (f->stages[i].projects)
            d->resize = f->shortcut_norm ? deep ? RN_RESIZE_D_BN : RN_RESIZE_B_BN
                        : deep           ? RN_RESIZE_D
                                         : RN_RESIZE_B;
}

/* ---- how pictures come in, which no tensor tells --------------------------------------------- */

static const float colours[][2][3] = {{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}},
                                      {{0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}},
                                      {{0.4914f, 0.4822f, 0.4465f}, {0.2023f, 0.1994f, 0.2010f}},
                                      {{0, 0, 0}, {1 / 255.0f, 1 / 255.0f, 1 / 255.0f}}};
enum { OF_IMAGENET, OF_INCEPTION, OF_CIFAR, OF_BYTES };

/* By the tags of published weights (timm writes them behind a dot), or by whose program it was. */
typedef struct preset {
    const char *tag;
    int size, colour;
    float crop_fraction;
    rn_interpolation interpolation;
} preset;
static const preset presets[] = {
    {"IMAGENET1K_V1", 224, OF_IMAGENET, 0.875f, RN_BILINEAR},
    {"IMAGENET1K_V2", 224, OF_IMAGENET, 0.9655f, RN_BILINEAR}, /* of 232 */
    {"akamaster", 32, OF_IMAGENET, 1, RN_BICUBIC},
    {"kuangliu", 32, OF_CIFAR, 1, RN_BICUBIC},
    {"mlperf_tiny", 32, OF_BYTES, 1, RN_BICUBIC},
    {"a1h_in1k", 224, OF_INCEPTION, 0.95f, RN_BICUBIC},
    {"ah_in1k", 224, OF_INCEPTION, 0.95f, RN_BICUBIC},
    {"ra4_e3600_r224_in1k", 224, OF_INCEPTION, 0.9f, RN_BICUBIC},
    {"ra4_e3600_r384_in1k", 384, OF_INCEPTION, 1, RN_BICUBIC},
    {"goog_in21k", 224, OF_INCEPTION, 0.875f, RN_BILINEAR},
    {"goog_in21k_ft_in1k", 448, OF_INCEPTION, 1, RN_BILINEAR}, /* 152x4: 480 */
    {"goog_distilled_in1k", 224, OF_INCEPTION, 0.875f, RN_BICUBIC},
    {"goog_teacher_in21k_ft_in1k", 224, OF_INCEPTION, 0.875f, RN_BICUBIC},
    {"goog_teacher_in21k_ft_in1k_384", 384, OF_INCEPTION, 1, RN_BICUBIC}};
enum { PRESETS = (int)(sizeof presets / sizeof presets[0]) };

static int is_bit(const rn_desc *d) { return d->stem == RN_STEM_BIT; }

/* The form of MLPerf Tiny's ResNet-8, of any width. */
static int is_mlperf_tiny(const facts *f, const rn_desc *d) {
    return is_folded(f) && d->stem == RN_STEM_CIFAR && d->block == RN_BASIC &&
           d->resize == RN_RESIZE_B && !d->always_project && d->channels == 3 && d->units[0] == 1 &&
           d->units[1] == 1 && d->units[2] == 1 && !d->units[3];
}

/* The tag that most nets of such a kind have. */
static const char *usual_tag(const facts *f, const rn_desc *d) {
    if (is_mlperf_tiny(f, d)) return "mlperf_tiny";
    if (!f->names.timm && d->stem != RN_STEM_CIFAR) return "IMAGENET1K_V1";
    if (!f->names.timm) return d->units[3] || d->bare_tail ? "kuangliu" : "akamaster";
    if (is_bit(d)) return d->classes == 21843 ? "goog_in21k" : "goog_in21k_ft_in1k";
    if (d->block == RN_BASIC) return "ra4_e3600_r224_in1k";
    return d->norm == RN_NORM_BATCH ? "a1h_in1k" : "ah_in1k";
}

/* Writes what a tag means, resnetv2_50.a1h_in1k or a1h_in1k alone. */
static void set_pictures(const facts *f, rn_desc *d, const char *tag) {
    const char *dot = strrchr(tag, '.');
    char known[600] = "";
    int i;
    if (dot) tag = dot + 1;
    if (is_folded(f) && !strcmp(tag, "mlperf_tiny")) rn_set_dialect(d, RN_MLPERF_TINY);
    for (i = 0; i < PRESETS && strcmp(presets[i].tag, tag) != 0; i++)
        strcat(strcat(known, i ? ", " : ""), presets[i].tag);
    if (i == PRESETS)
        quit(2,
             "no tag %s is known here, but %s; or give --height, --width, --crop_fraction, "
             "--interpolation, --mean and --deviation",
             tag, known);
    d->height = d->width = presets[i].size;
    if (!strcmp(tag, "goog_in21k_ft_in1k") && d->stem_width == 256) d->height = d->width = 480;
    d->crop_fraction = presets[i].crop_fraction;
    d->interpolation = presets[i].interpolation;
    memcpy(d->mean, colours[presets[i].colour][0], 3 * sizeof(float));
    memcpy(d->deviation, colours[presets[i].colour][1], 3 * sizeof(float));
}

/* ---- what is said of it ---------------------------------------------------------------------- */

/* Units and widths of a published net, `wide` times so many filters within its units? */
static int is_standard(const rn_desc *d, int factor, int wide) {
    rn_desc standard = rn_imagenet(d->depth);
    int i;
    standard.base_width = 64 * factor;
    if (rn_resolve(&standard, NULL) || standard.block != d->block) return 0;
    for (i = 0; i < RN_MAX_STAGES; i++)
        if (standard.units[i] != d->units[i] || standard.widths[i] * wide != d->widths[i] ||
            standard.outputs[i] != d->outputs[i])
            return 0;
    return d->stem_width == 64 * factor;
}

/* What people call it. d is resolved. */
static void model_name(const facts *f, const rn_desc *d, char name[96]) {
    static const char *const endings[] = {"", "_gn", "_evos"};
    const int average = d->resize == RN_RESIZE_D, plain = is_standard(d, 1, 1);
    const int factor = d->stem_width / 64;
    if (is_mlperf_tiny(f, d) && (d->stem_width == 16 || d->stem_width == 40) &&
        d->widths[1] == 2 * d->stem_width && d->widths[2] == 4 * d->stem_width)
        snprintf(name, 96, "MLPerf Tiny's %sResNet-8", d->stem_width == 40 ? "large " : "");
    else if (is_mlperf_tiny(f, d))
        snprintf(name, 96, "a ResNet-8 of the form of MLPerf Tiny's");
    else if (f->names.timm && is_bit(d) && is_standard(d, factor, 1))
        snprintf(name, 96, "timm's resnetv2_%dx%d_bit", d->depth, factor);
    else if (f->names.timm && plain && !is_bit(d) && average == (d->stem == RN_STEM_DEEP))
        snprintf(name, 96, "timm's resnetv2_%d%s%s", d->depth, average ? "d" : "",
                 endings[d->norm]);
    else if (f->names.timm)
        snprintf(name, 96, "a ResNet-%d of the form of timm's resnetv2", d->depth);
    else if (d->stem == RN_STEM_IMAGENET && d->order == RN_ORIGINAL && plain)
        snprintf(name, 96, "torchvision's resnet%d", d->depth);
    else if (d->stem == RN_STEM_IMAGENET && d->order == RN_ORIGINAL && is_standard(d, 1, 2))
        snprintf(name, 96, "torchvision's wide_resnet%d_2", d->depth);
    else if (d->stem == RN_STEM_CIFAR && plain)
        snprintf(name, 96, "kuangliu's %sResNet%d",
                 d->order == RN_FULL_PREACT && d->bare_tail ? "PreAct" : "", d->depth);
    else
        snprintf(name, 96, "a %sResNet-%d with the names of %s",
                 d->order == RN_FULL_PREACT ? "pre-activation " : "", d->depth,
                 d->stem == RN_STEM_CIFAR ? "the usual CIFAR nets" : "torchvision");
}

static void print_colour(const char *name, const float *values, int channels) {
    int i;
    for (i = 0; i < channels && i < 4; i++) printf("%s%g", i ? "," : name, (double)values[i]);
}

static void print_found(const facts *f, const rn_desc *d, const char *path) {
    char name[96], text[5][96];
    model_name(f, d, name);
    printf("%s is %s\n", path, name);
    printf("  %s %s units in the order %s, %s, %s stem of %d filters, %d channel%s, %d classes\n",
           field_of(d, "units", text[0]), field_of(d, "block", text[1]),
           field_of(d, "order", text[2]), field_of(d, "norm", text[3]),
           field_of(d, "stem", text[4]), d->stem_width, d->channels, d->channels == 1 ? "" : "s",
           d->classes);
}

/* What no tensor tells, and how to say otherwise. */
static void print_assumed(const facts *f, const rn_desc *d, const char *tag) {
    char text[3][96];
    printf("assumed, for no tensor tells it:\n  images %dx%d, the centre %g of the picture, %s, ",
           d->height, d->width, (double)d->crop_fraction, field_of(d, "interpolation", text[0]));
    printf("%s", field_of(d, "channel_order", text[1]));
    print_colour(", mean ", d->mean, d->channels);
    print_colour(", deviation ", d->deviation, d->channels);
    printf(",\n    as of %s (--tag NAME, or --height --width --crop_fraction --interpolation\n"
           "    --channel_order --mean --deviation)\n",
           tag);
    printf("  strides on %s, resize %s, padding %s (--stride_on, --resize, --padding)\n",
           d->block == RN_BOTTLENECK ? field_of(d, "stride_on", text[0]) : "the first convolution",
           field_of(d, "resize", text[1]), field_of(d, "padding", text[2]));
    if (is_folded(f))
        printf("  order original, for norms are folded; the net's own change nothing (--order)\n");
    if (d->norm) printf("  norms of %d groups (--norm_groups)\n", d->norm_groups);
    printf("  eps of norms %g (--bn_eps)\n", d->bn_eps);
    if (f->kernel == 7 && d->weight_standardisation)
        printf("  standardised filters, eps %g (--weight_standardisation 0, "
               "--standardisation_eps)\n",
               d->standardisation_eps);
    if (is_bit(d)) printf("  a max-pool that counts zeros around the image (--stem imagenet)\n");
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Refuses files that are not what it reads, and to write the one that it reads. */
static void check_files(const char *in, const char *out) {
    unsigned char b[8] = {0};
    char format[32] = "";
    FILE *file = fopen(in, "rb");
    rn_archive archive;
    if (same_file(in, out)) quit(2, "%s and %s are the same file, which would be lost", in, out);
    if (!file || fread(b, 1, 8, file) < 8) b[0] = 0; /* rn_archive_open says why */
    if (file) fclose(file);
    if (!memcmp(b, "PK\3\4", 4) || !memcmp(b, "\200\2", 2))
        quit(1,
             "%s is a PyTorch pickle; tools/convert.py %s NAME.safetensors makes a file that this "
             "program reads",
             in, in);
    if (!memcmp(b + 4, "TFL3", 4))
        quit(1,
             "%s is a TFLite file; tools/convert_tflite.py %s NAME.safetensors makes a file that "
             "this program reads",
             in, in);
    if (!memcmp(b, "\37\213", 2))
        quit(1, "%s is compressed; take what this writes: gunzip < %s > NAME", in, in);
    open_archive(&archive, in);
    rn_archive_metadata(&archive, "format", format, sizeof format, NULL);
    rn_archive_close(&archive);
    if (!strcmp(format, "resnet.h")) quit(1, "%s is a file of resnet.h already", in);
}

/* The names in the file of --classes, as many as the head has classes; free them. */
static char *read_classes(const char *path, int classes, const char *out) {
    class_names names;
    if (!is_there(path) && *path && !path[strspn(path, "0123456789")])
        quit(2, "the tensors tell how many classes there are; --classes takes a file of names");
    names = read_names(path);
    if (names.count != classes)
        quit(1,
             "%s has %d names, a line each, but the head %d classes; for a head of other classes "
             "train one: convert without --classes, then examples/finetune with %s",
             path, names.count, classes, out);
    return (char *)names.text;
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* Room for what is wrong with a file: so many lines of it are shown. */
enum { MOST_LINES = 48 };
typedef struct faults {
    const char *path;
    int count;
} faults;

static void add_fault(faults *list, const char *format, ...) {
    va_list values;
    fflush(stdout);
    if (!list->count++) fprintf(stderr, "%s: what does not fit in %s:\n", program, list->path);
    if (list->count > MOST_LINES) return;
    fprintf(stderr, "  ");
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fprintf(stderr, "\n");
}

/* The first four sizes, as [16,3,3,3]. */
static const char *shape_text(int dims, const int64_t shape[4], char text[120]) {
    int i, at = 0;
    for (i = 0; i < dims && i < 4; i++)
        at += snprintf(text + at, 120 - (size_t)at, "%c%" PRId64, i ? ',' : '[', shape[i]);
    snprintf(text + at, 120 - (size_t)at, !dims ? "[]" : dims > 4 ? ",...]" : "]");
    return text;
}

static int is_readable(const rn_entry *e) {
    return !strcmp(e->dtype, "F32") || !strcmp(e->dtype, "F16") || !strcmp(e->dtype, "BF16");
}

/* A classifier may be a 1x1 convolution. */
static int has_shape(const rn_entry *e, const rn_parameter *p) {
    int i;
    for (i = 0; i < 4; i++)
        if (e->shape[i] != p->shape[i]) return 0;
    return e->dims == p->dims || (e->dims == 4 && p->dims == 2);
}

/* The bias of a convolution, which ports have for some and not for others. */
static int is_conv_bias(const rn_net *net, const rn_parameter *p) {
    return net->nodes[p->node].kind == RN_CONV2D && p->role == RN_CONV_BIAS;
}

/* Part of a norm that is folded. */
static int is_of_folded(const rn_net *net, const facts *f, const rn_parameter *p) {
    return is_folded(f) && net->nodes[p->node].kind == RN_BATCH_NORM;
}

/* A place of its own for each tensor of a net: no node has more than so many. */
enum { MOST_TENSORS = 8 };
static char *filled_mark(char *filled, const rn_parameter *p) {
    return &filled[MOST_TENSORS * p->node + p->index - 1];
}

/* Where a tensor of the file belongs; 0 if nowhere. */
static int find_parameter(const rn_net *net, const rn_entry *e, rn_parameter *p) {
    char name[160];
    if (e->name_length >= sizeof e->name) return 0;
    our_name(find_place(e->name, NULL), net->desc.norm, name);
    return rn_find_parameter(net, name, p);
}

/* Lists what has no place in the net, what is there twice, misshapen, or of another type, and what
   is missing; then ends the program, if there was any. Returns how many biases are missing. */
static int compare(const rn_net *net, const facts *f, const char *path) {
    const size_t places = (size_t)net->node_count * MOST_TENSORS;
    char *filled = (char *)allocate(places), theirs[120], ours[256];
    faults list = {path, 0};
    rn_archive archive;
    rn_parameter p;
    rn_entry e;
    int biases = 0;
    memset(filled, 0, places);
    open_archive(&archive, path);
    while (next_tensor(&archive, &e)) {
        shape_text(e.dims, e.shape, theirs);
        if (!find_parameter(net, &e, &p)) {
            add_fault(&list, "unknown: %s%s %s %s", e.name,
                      e.name_length >= sizeof e.name ? "..." : "", e.dtype, theirs);
            continue;
        }
        if ((*filled_mark(filled, &p))++) add_fault(&list, "twice: %s", e.name);
        if (!has_shape(&e, &p)) {
            const int64_t shape[4] = {p.shape[0], p.shape[1], p.shape[2], p.shape[3]};
            add_fault(&list, "misshapen: %s is %s and should be %s", e.name, theirs,
                      shape_text(p.dims, shape, ours));
        }
        if (!is_readable(&e))
            add_fault(&list,
                      "type: %s is %s, and F32, F16 and BF16 are read; in Python its .float() is "
                      "one",
                      e.name, e.dtype);
    }
    rn_archive_close(&archive);
    for (memset(&p, 0, sizeof p); rn_next_parameter(net, &p);) {
        if (*filled_mark(filled, &p) || is_of_folded(net, f, &p)) continue;
        biases += is_conv_bias(net, &p);
        their_name(p.name, net->desc.norm, &f->names, ours);
        if (!is_conv_bias(net, &p)) add_fault(&list, "missing: %s", ours);
    }
    free(filled);
    if (list.count > MOST_LINES) fprintf(stderr, "  and %d more\n", list.count - MOST_LINES);
    if (list.count)
        quit(1,
             "%d of the tensors do not fit the net that the others tell: is %s whole, and of one "
             "of the families that --help lists? Nothing was written",
             list.count, path);
    return biases;
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

/* Numbers in files are little-endian; `b` of so many bytes each. */
static void decode(float *to, const uint8_t *b, int width, int half, ptrdiff_t count) {
    ptrdiff_t i;
    for (i = 0; i < count; i++, b += width) {
        uint32_t bits = b[0] | (uint32_t)b[1] << 8;
        if (half) bits = widen_half(bits);
        if (width == 2 && !half) bits <<= 16;
        if (width == 4) bits |= (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        memcpy(&to[i], &bits, 4);
    }
}

/* Reads a tensor to where it belongs. Numbers of two bytes are read to the second half of their
   place, and widened from its front: a piece is written behind what it was made from, or there.

       |                 | h0 | h1 | h2 | h3 |
       | f0      | f1      | f2      | f3      |                                              */
static void copy_tensor(rn_archive *archive, const rn_entry *e, const rn_parameter *p) {
    const ptrdiff_t most = 256;
    const int half = !strcmp(e->dtype, "F16"), width = strcmp(e->dtype, "F32") ? 2 : 4;
    uint8_t *read = (uint8_t *)p->data + (size_t)p->count * (size_t)(4 - width), piece[512];
    const uint16_t one = 1;
    rn_error error;
    ptrdiff_t i, count;
    check(rn_archive_read(archive, e, 0, read, (size_t)e->bytes, &error), &error);
    if (width == 4 && *(const uint8_t *)&one) return; /* as they lie in memory */
    for (i = 0; i < p->count; i += count) {
        count = p->count - i < most ? p->count - i : most;
        memcpy(piece, read + i * width, (size_t)(count * width));
        decode(p->data + i, piece, width, half, count);
    }
}

/* A net over weights that are to be written yet: nothing draws random ones that the file's would
   replace. Without a net of this form before, to know their number from, it is only to be looked
   at. */
static rn_net *make_net(const rn_desc *desc, const rn_net *like, rn_real **parameters) {
    static const rn_real nothing[1] = {0};
    rn_error error;
    rn_net *net;
    if (like) {
        const size_t count = (size_t)(like->parameter_count + like->statistic_count);
        *parameters = (rn_real *)take_pages(count * sizeof(rn_real), NULL);
        if (!*parameters) quit(1, "there is no memory for %zu weights", count);
    }
    net = rn_create_over(desc, 1, like ? *parameters : nothing,
                         like ? *parameters + like->parameter_count : nothing, NULL, &error);
    if (!net) check(error.status, &error);
    return net;
}

/* What a file may leave out: no bias, and norms of scale 1 and shift 0. 1 - eps is rounded, so that
   the scale, weight / sqrt(running_var + eps), is 1 within 2^-26: a product with it rounds to the
   very number. */
static void fill_defaults(rn_net *net) {
    rn_parameter p;
    ptrdiff_t i;
    for (memset(&p, 0, sizeof p); rn_next_parameter(net, &p);) {
        const rn_real value = p.role == RN_BN_WEIGHT     ? 1
                              : p.role == RN_RUNNING_VAR ? (rn_real)(1 - net->desc.bn_eps)
                                                         : 0;
        for (i = 0; i < p.count && p.dims == 1; i++) p.data[i] = value;
    }
}

/* In the order of the file; `compare` has seen that each has its place. */
static void copy_tensors(rn_net *net, const char *path) {
    rn_archive archive;
    rn_parameter p;
    rn_entry e;
    fill_defaults(net);
    open_archive(&archive, path);
    while (next_tensor(&archive, &e))
        if (find_parameter(net, &e, &p)) copy_tensor(&archive, &e, &p);
    rn_archive_close(&archive);
}

/* ---- the command line ------------------------------------------------------------------------ */

static void help(void) {
    int i;
    printf(
        "usage: convert IN OUT [--flag VALUE | --flag=VALUE]...\n\n"
        "IN is a safetensors file in F32, F16 or BF16, with the names of\n"
        "  torchvision's resnet18 to 152 and wide_resnet,\n"
        "  the usual PyTorch CIFAR nets (fc or linear, with biases or without), kuangliu's ResNet\n"
        "  and PreActResNet,\n"
        "  timm's resnetv2: 18, 34, 18d, 34d, 50, 101, 152, 50d, 50d_gn, 50d_evos, ..._bit,\n"
        "  MLPerf Tiny's ResNet-8 (tools/convert_tflite.py makes the file of its .tflite),\n"
        "or of nets like these with other units and widths; module., _orig_mod. and model. in "
        "front\n"
        "of names count as nothing. Batch norms of the original order may be folded into the\n"
        "convolutions. tools/convert.py makes such a file from a .pth or .pt.\n"
        "OUT becomes a weights file of resnet.h, with all that is needed to use it.\n\n"
        "  --classes FILE  names of the classes, a line each, which OUT keeps\n"
        "  --tag NAME      pictures come in as for these published weights (behind the dot of\n"
        "                  timm's names):");
    for (i = 0; i < PRESETS; i++)
        printf("%s%s%s", i ? "," : "", i % 3 ? " " : "\n                  ", presets[i].tag);
    printf("\n"
           "and the fields of the description (cifar --help lists them) that no tensor tells, as\n"
           "  --height --width --crop_fraction --interpolation --channel_order --mean --deviation\n"
           "  --norm_groups N --bn_eps X --weight_standardisation 0 --stem imagenet\n"
           "  --resize A, --stride_on first, --padding same\n"
           "convert says which of them it assumed.\n");
    exit(finish());
}

/* Fields that the tensors tell, all but the stem, of which they tell the kernel. */
static void refuse_told(const arguments *a) {
    static const char *const told[] = {
        "depth",      "block",     "units", "base_width", "widths",    "outputs",       "channels",
        "stem_width", "bare_stem", "norm",  "bare_tail",  "conv_bias", "always_project"};
    size_t i;
    for (i = 0; i < sizeof told / sizeof told[0]; i++)
        if (is_named(a, told[i])) quit(2, "the tensors tell %s; leave it out", a->words[a->at]);
}

typedef struct command {
    const char *paths[2], *classes, *tag;
} command;

/* Reads the words once into what they ask for, and once more over the description that was found:
   then flags win. */
static command read_words(int count, char **words, rn_desc *desc) {
    arguments a = {count, 1, words};
    command c = {{NULL, NULL}, NULL, NULL};
    for (; a.at < count; a.at++) {
        if (is_help(&a)) help();
        if (has_text(&a, "classes", &c.classes) || has_text(&a, "tag", &c.tag)) continue;
        refuse_told(&a);
        if (has_field(&a, desc)) continue;
        if (words[a.at][0] == '-') quit(2, "there is no flag %s", words[a.at]);
        if (c.paths[1]) quit(2, "two files, but there is a third: %s", words[a.at]);
        c.paths[c.paths[0] != NULL] = words[a.at];
    }
    if (!c.paths[1]) quit(2, "it takes the name of a file to read and of one to write");
    return c;
}

/* The description of the file, with what the flags say. */
static rn_desc make_description(const facts *f, int count, char **words, const char **tag) {
    rn_desc desc;
    rn_stem stem;
    describe(f, &desc);
    if (!*tag) *tag = usual_tag(f, &desc);
    set_pictures(f, &desc, *tag);
    stem = desc.stem;
    read_words(count, words, &desc);
    if (desc.stem != stem &&
        (f->kernel != 7 || desc.stem == RN_STEM_DEEP || desc.stem == RN_STEM_CIFAR))
        quit(2, "the tensors tell the stem; leave --stem out");
    check_description(desc);
    return desc;
}

int main(int count, char **words) {
    rn_desc desc = rn_cifar(0);
    command asked;
    char *names = NULL;
    rn_error error;
    facts found;
    rn_net *form, *net; /* without weights, and with them */
    rn_real *parameters;
    int biases;
    program = "convert";
    asked = read_words(count, words, &desc);
    check_files(asked.paths[0], asked.paths[1]);
    study(&found, asked.paths[0]);
    refuse_others(&found, asked.paths[0]);
    desc = make_description(&found, count, words, &asked.tag);
    if (asked.classes) names = read_classes(asked.classes, desc.classes, asked.paths[1]);
    form = make_net(&desc, NULL, NULL);
    print_found(&found, &form->desc, asked.paths[0]);
    biases = compare(form, &found, asked.paths[0]);
    print_assumed(&found, &form->desc, asked.tag);
    if (biases) printf("  %d convolutions without a bias have one of 0\n", biases);
    net = make_net(&desc, form, &parameters);
    copy_tensors(net, asked.paths[0]);
    net->class_names = names;
    check(rn_save(net, asked.paths[1], NULL, &error), &error);
    printf("%s: %td parameters%s%s\n", asked.paths[1], net->parameter_count,
           names ? ", classes named as in " : "", names ? asked.classes : "");
    rn_destroy(net);
    rn_destroy(form);
    give_pages(parameters, NULL);
    free(names);
    return finish();
}
