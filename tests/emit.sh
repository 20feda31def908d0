#!/bin/sh
# emit.sh - tools/emit_c: nets of random descriptions, over orders, blocks, shortcuts, resizes, stems
# and paddings, as C files that predict: in float the header's logits, in integers those of the plain
# formulas, both layer by layer and in the shortest arena. And what it refuses, in words.
#
# tests/emit.sh   (from anywhere; it writes to a temporary directory)

# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"

make -s -C "$root/tools" emit_c || exit 1
emit_c=$root/tools/emit_c

# ---- nets, images and the header's logits ---------------------------------------------------------

cat >draw.c <<END
#define RESNET_IMPLEMENTATION
#include "$root/resnet.h"
#include "$here/test.h"
#include "$here/nets.h"

enum { NETS = 24, IMAGES = 3, SAMPLES = 40 };

static int pick(uint64_t *state, int count) {
    const rn_key key = {7, RN_PURPOSE_AUGMENT, 0};
    return (int)(rn_random(key, (*state)++) % (uint64_t)count);
}

static FILE *create(const char *name, int i, const char *suffix) {
    char path[64];
    FILE *file;
    sprintf(path, "%s%02d%s", name, i, suffix);
    file = fopen(path, "wb");
    if (!file) perror(path), exit(1);
    return file;
}

static void put_sizes(FILE *file, int type, int dims, const int *sizes) {
    int i, k;
    const int magic[4] = {0, 0, type, dims};
    for (i = 0; i < 4; i++) fputc(magic[i], file);
    for (i = 0; i < dims; i++)
        for (k = 3; k >= 0; k--) fputc(sizes[i] >> 8 * k & 255, file);
}

/* Images of random bytes as a data set for calibration, [N][H][W][C]. */
static void write_samples(const rn_desc *desc, int i) {
    static const char *const parts[] = {"train", "t10k"};
    const int sizes[4] = {SAMPLES, desc->height, desc->width, desc->channels};
    const rn_key key = {3, RN_PURPOSE_AUGMENT, (uint64_t)i};
    char suffix[64];
    uint64_t k, at = 0;
    int part;
    for (part = 0; part < 2; part++) {
        FILE *images, *labels;
        sprintf(suffix, "-%s-images-idx%d-ubyte", parts[part], desc->channels == 1 ? 3 : 4);
        images = create("data", i, suffix);
        sprintf(suffix, "-%s-labels-idx1-ubyte", parts[part]);
        labels = create("data", i, suffix);
        put_sizes(images, 8, desc->channels == 1 ? 3 : 4, sizes);
        put_sizes(labels, 8, 1, sizes);
        for (k = 0; k < (uint64_t)SAMPLES; k++) fputc((int)(k % (uint64_t)desc->classes), labels);
        for (k = 0; k < (uint64_t)(SAMPLES * sizes[1] * sizes[2] * sizes[3]); k++)
            fputc((int)(rn_random(key, at++) & 255), images);
        fclose(images), fclose(labels);
    }
}

/* Images as the emitted function takes them, [H][W][C] in the order of RGB, and the logits. */
static void write_expected(rn_net *net, int i) {
    const rn_desc *d = &net->desc;
    const int pixels = d->height * d->width, bgr = d->channel_order == RN_BGR;
    const size_t size = (size_t)(d->channels * pixels);
    float *image = (float *)malloc(size * sizeof(float)), *turned = (float *)malloc(size * sizeof(float));
    float logits[16];
    FILE *images = create("net", i, ".images"), *results = create("net", i, ".logits");
    const rn_key key = {5, RN_PURPOSE_AUGMENT, (uint64_t)i};
    rn_error error;
    int n, c, p;
    for (n = 0; n < IMAGES; n++) {
        for (c = 0; c < d->channels; c++)
            for (p = 0; p < pixels; p++) {
                const int of = c * pixels + p, turn = bgr ? 2 - c : c;
                image[of] = (float)rn_normal(key, (uint64_t)(n * (int)size + of));
                turned[p * d->channels + turn] = image[of];
            }
        if (rn_predict(net, rn_workspace(net), image, 1, logits, &error))
            fprintf(stderr, "%s\n", error.text), exit(1);
        fwrite(turned, sizeof(float), size, images);
        fwrite(logits, sizeof(float), (size_t)d->classes, results);
    }
    fclose(images), fclose(results), free(image), free(turned);
}

static rn_desc draw_desc(uint64_t *state, int i) {
    static const rn_resize resizes[] = {RN_RESIZE_AUTO, RN_RESIZE_A, RN_RESIZE_A_CENTRED,
                                        RN_RESIZE_B,    RN_RESIZE_B_BN, RN_RESIZE_D, RN_RESIZE_D_BN};
    rn_desc desc = net_desc((rn_order)(i % ORDERS), (rn_block)pick(state, BLOCKS),
                            (rn_shortcut)(i % SHORTCUTS), resizes[pick(state, 7)],
                            (rn_stem)(i < 14 ? 0 : i % STEMS));
    int c;
    desc.channels = i % 4 ? 3 : 1;
    desc.base_width = 3 + pick(state, 6);
    desc.classes = 2 + pick(state, 9);
    desc.height = (desc.stem == RN_STEM_CIFAR ? 8 : 24) + pick(state, 9);
    desc.width = desc.height - pick(state, 3);
    desc.units[0] = 1 + pick(state, 2), desc.units[1] = 1;
    desc.padding = (rn_padding)pick(state, 2);
    if (desc.padding == RN_PADDING_SAME) desc.width = desc.height;
    desc.conv_bias = pick(state, 2), desc.weight_standardisation = pick(state, 3) == 0;
    desc.stride_on = (rn_stride_on)pick(state, 2);
    desc.always_project = pick(state, 4) == 0, desc.raw_identity = pick(state, 4) == 0;
    desc.bare_tail = pick(state, 6) == 0;
    if (desc.channels == 3) desc.channel_order = (rn_channel_order)pick(state, 2);
    for (c = 0; c < 3; c++) desc.mean[c] = 0.35f + 0.05f * (float)c;
    for (c = 0; c < 3; c++) desc.deviation[c] = 0.2f + 0.03f * (float)c;
    desc.shortcut_scale = 0.3f, desc.residual_scale = 0.7f; /* which no float is exactly */
    desc.direct = 1;
    return desc;
}

int main(void) {
    uint64_t state = 0;
    char path[32], name[NET_NAME];
    rn_error error;
    int i;
    FILE *names = fopen("names", "w");
    for (i = 0; i < NETS && names; i++) {
        rn_desc desc;
        rn_net *net = NULL;
        do {
            desc = draw_desc(&state, i);
            net = rn_create(&desc, 1, RN_INFERENCE, NULL, &error);
        } while (!net && state < 100000);
        if (!net) fprintf(stderr, "%s\n", error.text), exit(1);
        net_draw(net, (uint64_t)i + 1);
        sprintf(path, "net%02d", i);
        if (rn_save(net, path, NULL, &error)) fprintf(stderr, "%s\n", error.text), exit(1);
        fprintf(names, "%s %s\n", path, net_name(&net->desc, name));
        write_samples(&net->desc, i);
        write_expected(net, i);
        rn_destroy(net);
    }
    return i != NETS || fclose(names);
}
END
${CC:-cc} -O1 -o draw draw.c -lm || exit 1
check "drawing nets" ./draw || exit 1

# ---- what calls an emitted file -------------------------------------------------------------------

# driver IMAGES LOGITS PIXELS CLASSES: float logits within 1e-5 of the largest
cat >driver.c <<END
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
void net_predict(const float *image, float *logits);
int net_selftest(void);
static double worse(double a, double b) { return a != a || b != b ? HUGE_VAL : a > b ? a : b; }
int main(int count, char **words) {
    static float image[1 << 16], logits[64], expected[64];
    const size_t pixels = (size_t)atoi(words[3]), classes = (size_t)atoi(words[4]);
    FILE *images = fopen(words[1], "rb"), *results = fopen(words[2], "rb");
    double worst = 0;
    int n, wrong = net_selftest();
    if (count < 5 || !images || !results) return 2;
    for (n = 0; fread(image, sizeof(float), pixels, images) == pixels; n++) {
        double difference = 0, largest = 0;
        size_t k;
        if (fread(expected, sizeof(float), classes, results) != classes) return 2;
        net_predict(image, logits);
        for (k = 0; k < classes; k++) {
            difference = worse(difference, fabs(logits[k] - expected[k]));
            if (fabs(expected[k]) > largest) largest = fabs(expected[k]);
        }
        worst = worse(worst, difference / largest);
    }
    printf("%d images, worst %.2g, %d wrong in the self-test\n", n, worst, wrong);
    return n < 3 || !(worst <= 1e-5) || wrong;
}
END
cat >selftest.c <<END
#include <stdio.h>
int net_selftest(void);
int main(void) {
    const int wrong = net_selftest();
    printf("%d wrong\n", wrong);
    return wrong != 0;
}
END

strict="-std=c99 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -fsanitize=address,undefined
    -fno-sanitize-recover=all"
echo 'int main(void) { return 0; }' >empty.c
# shellcheck disable=SC2086
if ! ${CC:-cc} $strict -o empty empty.c 2>/dev/null; then
    echo "emit: skipped warnings and sanitizers, which ${CC:-cc} has not"
    strict="-std=c99"
fi
build() { # build NAME SOURCE...: with every warning, under the sanitizers
    name=$1
    shift
    # shellcheck disable=SC2086
    ${CC:-cc} -O1 $strict -o "$name" "$@" -lm
}

# emitted NET FLAGS...: the net as C, compiled, run, its answers compared
emitted_float() {
    net=$1
    shift
    $emit_c "$net" "$net.c" "$@" && build run "$net.c" driver.c || return 1
    size=$(wc -c <"$net.images") classes=$(wc -c <"$net.logits")
    ./run "$net.images" "$net.logits" $((size / 12)) $((classes / 12))
}
emitted_int8() {
    net=$1 number=${1#net}
    shift
    rm -rf data && mkdir data || return 1
    for file in data"$number"-*; do ln -s "../$file" "data/${file#data"$number"-}"; done
    $emit_c --int8 data --dataset idx "$net" "$net.c" "$@" && build run "$net.c" selftest.c && ./run
}
least() { # the least arena that emit_c tells
    sed -n 's/.*--arena \([0-9]*\) is the least.*/\1/p' "$work/log"
}
stripes=0
while read -r net words; do
    for type in float int8; do
        check "$words: $type" emitted_$type "$net"
        bytes=$(least)
        [ -n "$bytes" ] || continue
        stripes=$((stripes + 1))
        check "$words: $type in $bytes bytes" emitted_$type "$net" --arena "$bytes"
    done
done <names
check "many do with less, in stripes" [ $stripes -gt 10 ]

# ---- what it refuses ------------------------------------------------------------------------------

# says STATUS PATTERN ARGUMENTS...: emit_c ends so and says so; nothing is written
says() {
    status=$1 pattern=$2
    shift 2
    rm -f out.c
    $emit_c "$@" >said.txt 2>&1
    got=$?
    cat said.txt
    [ "$got" = "$status" ] && grep -q -- "$pattern" said.txt && [ ! -e out.c ]
}
check "no file" says 1 "cannot open none" none out.c
check "no name of C" says 2 "should be a name of C" net00 out.c --name 2net
check "too small an arena" says 1 "the least that is found" net00 out.c --arena 8
check "one file" says 2 "same file" net00 net00
check "no data" says 1 "cannot open nowhere" net00 out.c --int8 nowhere --dataset idx
check "no directory, before it looks for data" says 1 "cannot write none/out.c" net00 none/out.c --int8 nowhere \
    --dataset idx
check "help" says 0 "^usage: emit_c" --help
# folded OTHER BYTES: a file of that name, a folded net of zeros; in its JSON maybe another tensor; its
# last bytes, octal
folded() {
    tensor='"%s":{"dtype":"F32","shape":%s,"data_offsets":%s}'
    # shellcheck disable=SC2059
    json="{$(printf "$tensor,$tensor,$tensor,$tensor" conv1.weight '[1,1,1,1]' '[0,4]' conv1.bias '[1]' '[4,8]' \
        fc.weight '[2,1]' '[8,16]' fc.bias '[2]' '[16,24]')$1}"
    printf '\000\002\000\000\000\000\000\000%-512s' "$json" >folded
    head -c 20 /dev/zero >>folded
    # shellcheck disable=SC2059
    printf "${2:-\\000\\000\\000\\000}" >>folded
}
folded ''
folded_emitted() { $emit_c folded folded.c; }
check "a folded net" folded_emitted
check "the size of a folded net's images" $emit_c folded folded.c --height 16
check "a net that has one" says 2 "leave --height and --width out" net00 out.c --height 16
check "ranges of floats" says 2 "ranges is of integers: give --int8 DIR, too" net00 out.c --ranges minmax
folded '' '\000\000\300\177'
check "NaN" says 1 "fc: a weight or bias is not finite" folded out.c
folded ',"layer1.0.conv2.weight":{"dtype":"F32","shape":[1],"data_offsets":[24,28]}' \
    '\000\000\000\000\000\000\000\000'
check "a weight too many" says 1 "layer1.0.conv2.weight belongs to no layer" folded out.c
echo "int main(void) { return 0; }" >text
check "no weights" says 1 "safetensors" text out.c

echo "emit: $checks checks, $failures failed"
[ "$failures" = 0 ]
