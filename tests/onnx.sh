#!/bin/sh
# onnx.sh - tools/export_onnx: small nets of every order, shortcut, norm, stem, resize and padding, with
# random weights and statistics, plain and with norms folded, whose logits ONNX Runtime must find, for
# one image and for three; that what is refused leaves files as they were; metadata; large tensors in a
# file beside the model. The runtime is npm's package onnxruntime-node, and onnx's own checker, if there
# is Debian's python3-onnx, looks at the models, too.
#
# tests/onnx.sh   (from anywhere; it writes to a temporary directory)

# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"

cat >draw.c <<END
#define RESNET_IMPLEMENTATION
#include "$root/resnet.h"
#include "$here/test.h"
#include "$here/nets.h"

static int count, refused;

/* Writes the net as the file of the next number, with its name in "names". */
static void draw(rn_desc desc, const char *more) {
    rn_error error;
    rn_net *net;
    char path[32], name[NET_NAME];
    FILE *names;
    if (desc.padding == RN_PADDING_SAME) desc.width = desc.height;
    net = rn_create(&desc, 1, RN_INFERENCE, NULL, &error);
    if (!net) {
        refused++;
        if (!strstr(error.text, "evonorm_s0 activates") && !strstr(error.text, "appends channels"))
            fprintf(stderr, "%s\n", error.text), exit(1);
        return;
    }
    sprintf(path, "net%03d", count++);
    net_draw(net, (uint64_t)count);
    names = fopen("names", "a");
    if (!names || rn_save(net, path, NULL, &error)) fprintf(stderr, "%s\n", error.text), exit(1);
    fprintf(names, "%s %s%s\n", path, net_name(&desc, name), more);
    fclose(names);
    rn_destroy(net);
}

/* A net of two groups of channels and more. */
static void draw_norm(rn_desc desc, int norm, const char *more) {
    desc.base_width = 4, desc.norm = (rn_norm)norm, desc.norm_groups = norm ? 2 : 0;
    draw(desc, more);
}

/* Every field that takes 0 or 1, alone and all together, in every norm. */
static void draw_switches(void) {
    int i, norm;
    for (norm = 0; norm <= RN_NORM_EVONORM_S0; norm++) {
        rn_desc raw = net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO,
                               RN_STEM_CIFAR);
        raw.raw_identity = 1; /* a norm shares what it reads */
        draw_norm(raw, norm, "");
        for (i = 0; i <= 6; i++) {
            rn_desc desc = net_desc(RN_FULL_PREACT, RN_BOTTLENECK, RN_SHORTCUT_IDENTITY, RN_RESIZE_D,
                                    i % 2 ? RN_STEM_DEEP : RN_STEM_BIT);
            desc.stride_on = (rn_stride_on)(i % 2);
            desc.units[2] = desc.units[3] = 1;
            desc.conv_bias = i == 0 || i == 6, desc.weight_standardisation = i == 1 || i == 6;
            desc.bare_stem = i == 2 || i == 6, desc.bare_tail = i == 3 || i == 6;
            desc.always_project = i == 4 || i == 6, desc.raw_identity = i == 5 || i == 6;
            draw_norm(desc, norm, " 4 stages");
        }
    }
}

int main(void) {
    int a, b, c;
    for (a = 0; a < ORDERS; a++)
        for (b = 0; b < SHORTCUTS; b++)
            for (c = 0; c <= RN_NORM_EVONORM_S0; c++) {
                rn_desc desc = net_desc((rn_order)a, RN_BASIC, (rn_shortcut)b, RN_RESIZE_AUTO,
                                        RN_STEM_CIFAR);
                draw_norm(desc, c, "");
            }
    for (a = 0; a < ORDERS; a++)
        for (b = 0; b <= RN_STEM_BIT; b++)
            for (c = 0; c <= RN_NORM_EVONORM_S0; c++) {
                rn_desc desc = net_desc((rn_order)a, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO,
                                        (rn_stem)b);
                draw_norm(desc, c, "");
            }
    for (a = 1; a < RESIZES; a++) /* odd sizes, in which windows are cut, and even ones */
        for (b = 0; b < BLOCKS; b++)
            for (c = 0; c < 4; c++) {
                rn_desc desc = net_desc(c / 2 ? RN_ORIGINAL : RN_FULL_PREACT, (rn_block)b,
                                        RN_SHORTCUT_IDENTITY, (rn_resize)a, RN_STEM_CIFAR);
                desc.padding = c % 2 ? RN_PADDING_SAME : RN_PADDING_SYMMETRIC;
                if (b % 2) desc.height = 8;
                draw(desc, b % 2 ? " even" : "");
            }
    draw_switches();
    for (a = 0; a < NET_MEMBERS; a++) draw(net_member(a), "");
    printf("%d nets\n", count);
    return count < 230 + NET_MEMBERS || refused > 70;
}
END
build() { # build NAME SOURCE FLAGS...
    name=$1 source=$2
    shift 2
    ${CC:-cc} -O0 "$@" -o "$name" "$source" -lm
}
build draw draw.c && build export "$root/tools/export_onnx.c" || exit 1
check "drawing nets" ./draw || exit 1

# ---- every net, plain and folded -----------------------------------------------------------------

exports() {
    while read -r net _; do
        ./export "$net" "$net.onnx" && ./export --fold "$net" "$net.folded.onnx" || return 1
    done <names
}
check "exports" exports || exit 1
check "twice the same bytes" sh -c "./export net000 again.onnx && cmp net000.onnx again.onnx"

# In ONNX Runtime; it skips in words where that is not. Models that differ get their nets' words.
in_runtime() {
    "$root/tools/check_onnx.js" --quiet "$@" >found.txt 2>&1 && return 0
    sed -n 's/^\(net[0-9]*\).*onnx: .*/\1/p' found.txt | sort -u | while read -r net; do
        grep "^$net " names
    done
    cat found.txt
    return 1
}
runtime=
if ! command -v node >/dev/null; then echo "onnx: skipped the runtime, for there is no node"; else
    "$root/tools/check_onnx.js" net000.onnx >found.txt 2>&1
    if [ $? = 3 ]; then echo "onnx: skipped the runtime: $(cat found.txt)"; else runtime=yes; fi
fi
[ -z "$runtime" ] || check "logits in ONNX Runtime" in_runtime net*.onnx

cat >checker.py <<'END'
import glob
import onnx
for path in sorted(glob.glob("net*.onnx")):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    row = [d.dim_param or d.dim_value for d in inferred.graph.output[0].type.tensor_type.shape.dim]
    assert row == ["N", 4], (path, row)
    unknown = [v.name for v in inferred.graph.value_info if not v.type.tensor_type.HasField("shape")]
    assert not unknown, (path, unknown)
END
if /usr/bin/python3 -c 'import onnx' 2>/dev/null; then
    check "onnx's checker" /usr/bin/python3 checker.py
else
    echo "onnx: skipped onnx's checker, for there is no python3-onnx"
fi

# ---- folding -------------------------------------------------------------------------------------

# norms MODEL COUNT: so many batch norms are operators of their own
norms() {
    found=$(grep -a -o BatchNormalization "$1" | wc -l)
    [ "$found" = "$2" ] || { echo "$found norms"; false; }
}
original=$(grep ' basic original identity auto symmetric cifar batch_norm$' names | head -1 | cut -d' ' -f1)
check "an original net has a norm behind each convolution" norms "$original.onnx" 7
check "all are folded" norms "$original.folded.onnx" 0
preact=$(grep ' basic full_preact identity auto symmetric cifar batch_norm$' names | head -1 | cut -d' ' -f1)
check "a pre-activation net has one in front of each but the first, and at its end" norms "$preact.onnx" 7
# The last norm and those in front of the second and third unit stand behind additions.
check "those behind a convolution alone are folded" norms "$preact.folded.onnx" 3

# ---- metadata, and large tensors in a file beside the model --------------------------------------

cat >more.c <<END
#define RESNET_IMPLEMENTATION
#include "$root/resnet.h"
int main(void) { /* a net with preprocessing of its own, as weights and as a checkpoint, and others */
    rn_desc desc = rn_cifar(8);
    rn_net *net;
    rn_error error;
    int k;
    for (k = 0; k < 3; k++) desc.mean[k] = 0.25f * (float)(k + 1), desc.deviation[k] = 0.5f;
    desc.channel_order = RN_BGR, desc.crop_fraction = 0.75f, desc.interpolation = RN_BILINEAR;
    net = rn_create(&desc, 2, RN_TRAINING, NULL, &error);
    if (!net || rn_save(net, "weights", NULL, &error)) return puts(error.text), 1;
    if (rn_save_checkpoint(net, "checkpoint", NULL, &error)) return puts(error.text), 1;
    for (k = 0; k < net->parameter_count; k++) net->parameters[k] = 3e30f;
    return rn_save(net, "huge", NULL, &error);
}
END
build more more.c && ./more || exit 1
# tells KEY VALUE: what stands behind a key in the model, between the tag and length of the value
tells() { LC_ALL=C grep -a -q "$1..$2" weights.onnx; }
check "weights" ./export weights weights.onnx
check "mean" tells mean 0.25,0.5,0.75
check "deviation" tells deviation 0.5,0.5,0.5
check "channel_order" tells channel_order bgr
check "crop_fraction" tells crop_fraction 0.75
check "interpolation" tells interpolation bilinear
check "no class names" sh -c '! grep -a -q class_names weights.onnx'
check "a checkpoint" ./export checkpoint checkpoint.onnx
check "gives the same" cmp weights.onnx checkpoint.onnx
mkdir out
check "weights beside the model" ./export --external weights out/model.onnx
check "are there" [ "$(wc -c <out/model.onnx.data)" -gt 200000 ]
check "and not in it" [ "$(wc -c <out/model.onnx)" -lt "$(($(wc -c <weights.onnx) - 200000))" ]
[ -z "$runtime" ] || check "and are found there" in_runtime out/model.onnx

# ---- what is refused -----------------------------------------------------------------------------

# says STATUS WORDS ARGUMENT...: it ends so, says why, and leaves files as they were
says() {
    status=$1 words=$2
    shift 2
    ls -R >before.txt
    ./export "$@" >out.txt 2>&1
    found=$?
    ls -R >after.txt
    [ $found = "$status" ] && grep -e "$words" out.txt && cmp weights kept && cmp model.onnx kept.onnx &&
        cmp before.txt after.txt && return 0
    echo "status $found"
    cat out.txt
    return 1
}
cp weights kept
cp weights.onnx model.onnx
cp weights.onnx kept.onnx
touch out.txt after.txt
ln -s weights link
head -c 5000 weights >short
check "no file" says 1 "cannot open nowhere" nowhere model.onnx
check "a cut file" says 1 "short" short model.onnx
check "a file of another kind" says 1 "model.onnx" model.onnx model.onnx2
check "the output is the input" says 2 "same file" weights weights
check "by a link" says 2 "same file" weights link
cp weights model.onnx.data
check "the output beside is the input" says 2 "large tensors would lie in model.onnx.data" \
    --external model.onnx.data model.onnx
check "no directory" says 1 "cannot open nowhere/model.onnx.tmp" weights nowhere/model.onnx
check "the output is a directory" says 1 "out is no plain file" weights out
check "with a file beside it" says 1 "out is no plain file" --external weights out
check "a net whose logits are not finite" says 1 "huge: " huge model.onnx
check "one file alone" says 2 "name of a weights file" weights
check "a third" says 2 "third: b" weights a b
check "a flag that is not there" says 2 "no flag --opset" --opset 17 weights a
check "help" says 0 "^usage: export_onnx" --help
# A model that would be too large for its format: the limit is made small.
sed 's/INT32_MAX/100000/' "$root/tools/export_onnx.c" >small.c
build export small.c -I "$root/tools" || exit 1
check "a model of more than its format takes" says 1 "with --external the weights lie in" weights model.onnx

echo "onnx: $checks checks, $failures failed"
[ "$failures" = 0 ]
