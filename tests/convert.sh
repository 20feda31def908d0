#!/bin/sh
# convert.sh - tools/convert on files as PyTorch programs write them: the names of torchvision, of
# kuangliu's and akamaster's CIFAR nets and of timm's resnetv2, with the prefixes of several devices
# and of compiled nets, in F32, F16 and BF16, every number and field compared; how pictures come in;
# names of classes; tensors too few, too many, twice, misshapen, of another type, all at once; and
# what is refused: files of other kinds, nets of other families, the input as output, fields that the
# tensors tell. tools/convert.py where PyTorch is installed.
#
# tests/convert.sh   (from anywhere; it writes to a temporary directory)

# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"

cat >theirs.c <<END
#define RESNET_IMPLEMENTATION
#include "$root/resnet.h"
#include <stdio.h>
#include <string.h>

enum { AKAMASTER, TORCHVISION, KUANGLIU, PREACT, BIASED, TIMM, TIMM_GN = 6, TIMM_EVOS, TIMM_BIT };

/* Numbers that all three types hold: small multiples of 1/64 and, without an exponent in F16, of
   2^-20. */
static float number(long i) { return (float)(i * 37 % 101 - 50) / (i % 5 ? 64 : 1048576); }

static rn_net *make(int style) {
    rn_desc desc = rn_cifar(0);
    const int timm = style >= TIMM, bottleneck = style == TORCHVISION || style >= TIMM_GN;
    desc.units[0] = 1, desc.units[1] = 2;
    desc.units[2] = desc.units[3] = style == TORCHVISION || style == PREACT || style == TIMM;
    desc.base_width = 8, desc.classes = 7;
    desc.order = timm || style == PREACT ? RN_FULL_PREACT : RN_ORIGINAL;
    desc.stem = style == TORCHVISION || style == TIMM ? RN_STEM_IMAGENET
                : style == TIMM_BIT ? RN_STEM_BIT : timm ? RN_STEM_DEEP : RN_STEM_CIFAR;
    desc.block = bottleneck ? RN_BOTTLENECK : RN_BASIC;
    desc.resize = style == AKAMASTER ? RN_RESIZE_A_CENTRED
                  : style == TIMM_GN || style == TIMM_EVOS ? RN_RESIZE_D
                  : timm || style == PREACT ? RN_RESIZE_B : RN_RESIZE_B_BN;
    desc.stride_on = RN_STRIDE_3X3;
    desc.norm = style == TIMM_EVOS ? RN_NORM_EVONORM_S0
                : style > TIMM ? RN_NORM_GROUP : RN_NORM_BATCH;
    desc.raw_identity = desc.order == RN_FULL_PREACT;
    desc.bare_tail = style == PREACT;
    desc.bare_stem = timm;
    desc.conv_bias = style == BIASED;
    desc.weight_standardisation = style == TIMM_BIT;
    return rn_create(&desc, 1, RN_INFERENCE, NULL, NULL);
}

/* What they call one of our tensors. */
static void rename_tensor(int style, const char *ours, char *theirs) {
    static const char *const norms[] = {"bn", "gn", "evonorm"};
    const char *norm = norms[style == TIMM_EVOS ? 2 : style > TIMM], *s = strstr(ours, "shortcut");
    const char *projection = style == KUANGLIU || style == PREACT ? "shortcut" : "downsample";
    int stage, unit, at = 0;
    if (style >= TIMM) {
        if (sscanf(ours, "layer%d.%d.%n", &stage, &unit, &at) == 2 && at)
            theirs += sprintf(theirs, "stages.%d.blocks.%d.", stage - 1, unit);
        ours += at;
        if (s)
            sprintf(theirs, "downsample.conv%s", s + 8);
        else if (!strncmp(ours, norm, strlen(norm)))
            sprintf(theirs, "%snorm%s", at || ours[strlen(norm)] == '.' ? "" : "stem.",
                    ours + strlen(norm));
        else if (!strncmp(ours, "fc.", 3))
            sprintf(theirs, "head.%s", ours);
        else if (!at && style != TIMM_GN && style != TIMM_EVOS)
            sprintf(theirs, "stem.conv%s", ours + 5);
        else
            sprintf(theirs, "%s%s", at ? "" : "stem.", ours);
    } else if (s)
        sprintf(theirs, "%.*s%s.%d%s", (int)(s - ours), ours, projection, s[8] == '_',
                s + (s[8] == '_' ? 11 : 8));
    else if (!strncmp(ours, "fc.", 3) && style != TORCHVISION && style != BIASED)
        sprintf(theirs, "linear.%s", ours + 3);
    else
        strcpy(theirs, ours);
}

static char json[200000];
static unsigned char data[1000000];
static long at, from, to;

static void put_number(float x, int half, int brain) {
    unsigned bits = 0;
    memcpy(&bits, &x, 4);
    if (brain) bits >>= 16;
    if (half) {
        float size = x < 0 ? -x : x;
        unsigned sign = bits >> 16 & 0x8000;
        int e = 0;
        if (size < 1.0f / 16384) bits = sign | (unsigned)(size * 16777216);
        else {
            while (size < 1) size *= 2, e++;
            bits = sign | (unsigned)(15 - e) << 10 | (unsigned)((size - 1) * 1024);
        }
    }
    data[to++] = (unsigned char)bits, data[to++] = (unsigned char)(bits >> 8);
    if (!half && !brain)
        data[to++] = (unsigned char)(bits >> 16), data[to++] = (unsigned char)(bits >> 24);
}

static void put_entry(const char *prefix, const char *name, const char *dtype, const char *shape) {
    at += sprintf(json + at, ",\"%s%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%ld,%ld]}",
                  prefix, name, dtype, shape, from, to);
    from = to;
}

/* Writes a net's tensors under the names of others: theirs STYLE PREFIX DTYPE FAULTS */
int main(int count, char **words) {
    const int style = words[1][0] - '0';
    const char *prefix = words[2], *faults = words[4];
    rn_net *net = make(style);
    rn_parameter p = {0};
    char name[96], shape[64];
    long i;
    FILE *file = fopen("theirs", "wb");
    if (count != 5 || !net || !file) return 1;
    at = 2 + sprintf(json + 2, "\"__metadata__\":{\"format\":null}");
    json[0] = '{', json[1] = ' ';
    while (rn_next_parameter(net, &p)) {
        int half = !strcmp(words[3], "F16"), brain = !strcmp(words[3], "BF16"), length = 0;
        const char *dtype = words[3];
        rename_tensor(style, p.name, name);
        if (strchr(faults, 'm') && strstr(p.name, "layer2.1.") && strstr(p.name, "2.bias")) continue;
        if (strchr(faults, 'm') && strstr(p.name, "fc.bias")) continue;
        if (strchr(faults, 'h') && !strncmp(p.name, "fc.", 3)) continue;
        for (i = 0; i < p.dims || (i < 4 && style >= TIMM && p.dims == 2); i++)
            length += sprintf(shape + length, "%c%d", i ? ',' : '[',
                              strchr(faults, 'g') && p.dims == 4 && i == 1 && p.shape[2] == 3 &&
                                      p.shape[1] == p.shape[0] ? p.shape[1] / 2 : p.shape[i]);
        if (strchr(faults, 's') && !strcmp(p.name, "conv1.weight")) length += sprintf(shape + length, ",1");
        strcpy(shape + length, "]");
        if (strchr(faults, '8') && !strcmp(p.name, "layer1.0.conv2.weight")) dtype = "F8_E4M3";
        for (i = 0; i < p.count; i++) {
            float x = number(p.data - (p.role == RN_RUNNING_MEAN || p.role == RN_RUNNING_VAR
                                           ? net->statistics : net->parameters) + i);
            if (p.role == RN_RUNNING_VAR) x = x < 0 ? -x : x;
            p.data[i] = x;
            put_number(x, half, brain);
        }
        if (*dtype == 'F' && dtype[1] == '8') to = from + p.count;
        if (strchr(faults, 'g') && strstr(shape, ",3,3]") && p.shape[0] == p.shape[1]) to = from + (to - from) / 2;
        put_entry(prefix, name, dtype, shape);
        if (p.role == RN_RUNNING_VAR) {
            sprintf(name + strlen(name) - 11, "num_batches_tracked");
            to += 8;
            put_entry(prefix, name, "I64", "[]");
        }
    }
    for (i = 0; strchr(faults, 'x') && i < 2; i++) {
        to += 28;
        put_entry(prefix, i ? "layer1.0.se.fc.weight" : "layer5.0.conv1.weight", words[3],
                  *words[3] == 'F' && words[3][1] == '3' ? "[7]" : "[14]");
    }
    for (i = 0; strchr(faults, 'n') && i < 100; i++) {
        sprintf(name, "layer1.0.adapter%ld", i), to += 4;
        put_entry(prefix, name, "F32", "[1]");
    }
    rename_tensor(style, "fc.bias", name);
    if (strchr(faults, '2')) to += 28, put_entry(prefix, name, "F32", "[7]");
    at += sprintf(json + at, "}");
    json[1] = ' ', json[at] = 0;
    for (i = 0; i < 8; i++) fputc(i < 4 ? (int)(at >> 8 * i & 255) : 0, file);
    fwrite(json, 1, (size_t)at, file);
    fwrite(data, 1, (size_t)(strchr(faults, 'c') ? to - 9 : to), file);
    if (rn_save(net, "expected", NULL, NULL)) return 1;
    return fclose(file);
}
END
cat >same.c <<END
#define RESNET_IMPLEMENTATION
#include "$root/resnet.h"
#include <stdio.h>
#include <string.h>
/* Says how pictures come in, and ends with 0 if both files hold the same net, that aside. */
int main(void) {
    static const char images[] = " mean deviation height width crop_fraction interpolation ";
    rn_desc a, b;
    rn_net *x = rn_create_from(NULL, 1, RN_INFERENCE, "expected", NULL, NULL, NULL);
    rn_net *y = rn_create_from(NULL, 1, RN_INFERENCE, "out", NULL, NULL, NULL);
    char key[64], left[96], right[96];
    int i;
    if (!x || !y || rn_load_desc(&a, "expected", NULL, NULL) || rn_load_desc(&b, "out", NULL, NULL)) return 1;
    printf("%dx%d %g %s mean %g deviation %g\n", b.height, b.width, (double)b.crop_fraction,
           b.interpolation == RN_BILINEAR ? "bilinear" : "bicubic", (double)b.mean[2],
           (double)b.deviation[2]);
    for (i = 0; rn_desc_key(i); i++) {
        snprintf(key, sizeof key, " %s ", rn_desc_key(i));
        rn_desc_get(&a, i, left), rn_desc_get(&b, i, right);
        if (!strstr(images, key) && strcmp(left, right) != 0)
            return printf("%s is %s, not %s\n", key, right, left), 2;
    }
    return memcmp(x->parameters, y->parameters, (size_t)x->parameter_count * sizeof(rn_real)) ||
           (x->statistic_count &&
            memcmp(x->statistics, y->statistics, (size_t)x->statistic_count * sizeof(rn_real)));
}
END
cat >names.c <<END
#define RESNET_IMPLEMENTATION
#include "$root/resnet.h"
#include <stdio.h>
int main(void) { /* the names of classes in a file, as they are */
    rn_archive a;
    char names[1000];
    if (rn_archive_open(&a, "out", NULL, NULL)) return 1;
    if (rn_archive_metadata(&a, "class_names", names, sizeof names, NULL)) return 2;
    rn_archive_close(&a);
    return puts(names) < 0;
}
END
compile convert "$root/tools/convert.c" && compile theirs_program theirs.c && compile same same.c &&
    compile names names.c || exit 1

akamaster=0 torchvision=1 kuangliu=2 preact=3 biased=4 timm=5 gn=6 evos=7 bit=8

# converts STYLE PREFIX DTYPE [SAYS [PICTURES]]
converts() {
    ./theirs_program "$1" "$2" "$3" . && ./convert theirs out >out.txt || return 1
    cat out.txt
    head -1 out.txt | grep "$4" && ./same >same.txt && grep "$5" same.txt && return 0
    cat same.txt
    return 1
}
for dtype in F32 F16 BF16; do
    check "akamaster's, $dtype" converts $akamaster module. $dtype "usual CIFAR"
    check "torchvision's, $dtype" converts $torchvision "" $dtype torchvision
    check "kuangliu's, $dtype" converts $kuangliu "" $dtype CIFAR
    check "with biases, $dtype" converts $biased "" $dtype CIFAR
    check "timm's EvoNorm, $dtype" converts $evos "" $dtype "timm's resnetv2"
done
check "compiled" converts $kuangliu _orig_mod. F32
check "compiled, on several devices" converts $torchvision _orig_mod.module. F32
check "in a program that calls it model" converts $akamaster model. F32
check "timm's, compiled" converts $gn module._orig_mod. F16
check "three stages: akamaster's pictures" converts $akamaster "" F32 "" "^32x32 1 bicubic mean 0.406 deviation 0.225"
check "torchvision's pictures" converts $torchvision "" F32 "" "^224x224 0.875 bilinear mean 0.406 deviation 0.225"
check "kuangliu's PreActResNet" converts $preact "" F32 pre-activation "^32x32 1 bicubic mean 0.4465 deviation 0.201"
check "timm's, basic" converts $timm "" F32 resnetv2 "^224x224 0.9 bicubic mean 0.5 deviation 0.5"
check "timm's, GN and deep stem" converts $gn "" F32 resnetv2 "^224x224 0.95 bicubic mean 0.5 deviation 0.5"
check "timm's BiT" converts $bit "" F32 resnetv2 "^448x448 1 bilinear mean 0.5 deviation 0.5"

# flagged STYLE PICTURES FLAG...: flags say how pictures come in, or the rest that no tensor tells
flagged() {
    style=$1 pictures=$2
    shift 2
    ./theirs_program "$style" "" F32 . && ./convert theirs out "$@" || return 1
    ./same >same.txt
    cat same.txt
    grep "$pictures" same.txt
}
check "a tag" flagged $bit "^224x224 0.875 bilinear" --tag goog_in21k
check "a tag behind a name" flagged $bit "^224x224 0.875 bicubic" --tag resnetv2_50x1_bit.goog_distilled_in1k
check "a flag wins over a tag" flagged $timm "^384x100 0.5 bilinear mean 0.25 deviation 1$" --width 100 \
    --tag=ra4_e3600_r384_in1k --crop_fraction 0.5 --interpolation bilinear --mean 0,0,0.25 --deviation 1,1,1
check "not standardised" flagged $bit "weight_standardisation  is 0, not 1" --weight_standardisation 0
check "another max-pool" flagged $bit "stem  is imagenet, not bit" --stem imagenet
check "other groups" flagged $gn "norm_groups  is 2, not 4" --norm_groups 2
check "another stride" flagged $torchvision "stride_on  is first, not 3x3" --stride-on first
check "another shortcut" flagged $gn "resize  is B, not D" --resize B

# says STATUS WORDS ARGUMENT...: it ends so, says why, and leaves its input as it was
says() {
    status=$1 words=$2
    shift 2
    ./convert "$@" >out.txt 2>&1
    found=$?
    [ $found = "$status" ] && grep -e "$words" out.txt && cmp theirs kept && return 0
    echo "status $found"
    cat out.txt
    return 1
}
# refuses STYLE FAULTS WORDS...: such a file is refused with all these words, and OUT stays away
refuses() {
    ./theirs_program "$1" "" F32 "$2" && cp theirs kept || return 1
    rm -f out
    shift 2
    for words in "$@"; do says 1 "$words" theirs out || return 1; done
    [ ! -e out ]
}
check "a tensor is missing" refuses $akamaster m "missing: layer2.1.bn2.bias$" "missing: linear.bias$"
check "in timm's words" refuses $evos m "missing: stages.1.blocks.1.norm2.bias$" "missing: head.fc.bias$"
check "one too many" refuses $akamaster x "unknown: layer1.0.se.fc.weight F32 .7.$" "unknown: layer5.0.conv1.weight"
check "one twice" refuses $akamaster 2 "twice: linear.bias$"
check "one of another shape" refuses $torchvision s "misshapen: conv1.weight is .8,3,7,7,.* and should be .8,3,7,7.$"
check "one of another type" refuses $gn 8 "type: stages.0.blocks.0.conv2.weight is F8_E4M3, and F32" "float()"
check "all at once" refuses $akamaster msx8 "missing: linear.bias" "missing: layer2.1.bn2.bias" \
    "misshapen: conv1" "unknown: layer5" "unknown: layer1.0.se" "type: layer1.0.conv2.weight" "6 of the tensors"
check "very many" refuses $kuangliu n "and 52 more" "100 of the tensors" "unknown: layer1.0.adapter47"
check "no classifier" refuses $torchvision h "no classifier (fc.weight or linear.weight)"
check "timm's without one" refuses $timm h "no classifier (head.fc.weight)"
check "groups" refuses $torchvision g "conv2 of the units of layer1 reads 4 channels of 8: a convolution of 2 groups, as ResNeXt has"
check "cut" refuses $torchvision c "is the file cut?"

check "a net" converts $torchvision "" F32
cp theirs kept
ln -s theirs link
check "the output is the input" says 2 "same file" theirs theirs
check "by another name" says 2 "same file" theirs ./theirs
check "by a link" says 2 "same file" theirs link
for field in "depth 56" "units 1,1" "base_width 8" "stem cifar" "stem deep" "classes 5" "channels 1" \
    "norm group_norm" "widths 8" "bare_tail 1"; do
    # shellcheck disable=SC2086
    check "--$field" says 2 "the tensors tell" theirs out --$field
done
check "--base-width=8" says 2 "tensors tell --base-width=8;" theirs out --base-width=8
check "--width, of the images" says 0 "^out" theirs out --width 16
check "a tag that is not known" says 2 "no tag nonsense is known here, but IMAGENET1K_V1," theirs out --tag nonsense
check "a flag that is none" says 2 "there is no flag --fast" theirs out --fast
check "three files" says 2 "there is a third: more" theirs out more
check "a file of ours" says 1 "expected is a file of resnet.h already" expected out
printf 'PK\003\004aaaaaaaa' >pickle
check "a pickle" says 1 "pickle is a PyTorch pickle; tools/convert.py pickle" pickle out
printf '\200\002aaaaaaaa' >pickle
check "an old pickle" says 1 "pickle is a PyTorch pickle" pickle out
printf '\037\213aaaaaaaa' >packed
check "a compressed file" says 1 "gunzip < packed" packed out
check "no file" says 1 "cannot open nowhere" nowhere out
./theirs_program $torchvision features. F32 .
cp theirs kept
check "another family" says 1 'no ResNet with names that are known here: it has no conv1.weight, and begins with "features.conv1.weight"' theirs out
./theirs_program $torchvision "" F32 .
cp theirs kept

# ---- names of classes

printf 'tench\r\na "cat"\nback\\slash\n\tb\303\244r\n5\nsix\nseven\n\n' >classes
tr -d '\r' <classes | head -7 >wanted
named() { ./convert theirs out --classes classes >out.txt && ./names >got && cmp got wanted; }
check "names of classes" named
check "which are said" says 0 "classes named as in classes" theirs out --classes=classes
printf 'a\nb\n' >few
check "too few" says 1 "few has 2 names, a line each, but the head 7 classes; .*examples/finetune" theirs out --classes few
printf 'a\nb\nc\nd\ne\nf\n\351\n' >latin
check "in Latin-1" says 1 "class_names is not UTF-8" theirs out --classes latin
check "not there" says 1 "cannot open nowhere" theirs out --classes nowhere

# ---- golden files of timm's nets, of which init/ taken off leaves a checkpoint

cat >checkpoint.py <<END
import json, struct, sys
data = open(sys.argv[1], "rb").read()
length, = struct.unpack("<Q", data[:8])
header, body, at, out = json.loads(data[8:8 + length]), data[8 + length:], 0, b""
meta, kept = header.pop("__metadata__"), {}
for name, entry in header.items():
    if name.startswith("init/"):
        begin, end = entry["data_offsets"]
        out += body[begin:end]
        kept[name[5:]] = dict(entry, data_offsets=[at, at + end - begin])
        at += end - begin
text = json.dumps(kept).encode()
open("theirs", "wb").write(struct.pack("<Q", len(text)) + text + out)
height, width = meta["size"].split("x")
print("--height", height, "--width", width, *(["--norm_groups", meta["groups"]] if meta["groups"] != "0" else []))
END
cat >golden.c <<END
#define RESNET_IMPLEMENTATION
#include "$root/resnet.h"
#include <stdio.h>
/* The logits of \`out\` for the images of a golden file against those in it. */
int main(int count, char **words) {
    static float images[1 << 20], expected[1 << 16], logits[1 << 16];
    rn_net *net = rn_create_from(NULL, 16, RN_INFERENCE, "out", NULL, NULL, NULL);
    rn_archive a;
    rn_entry x, e;
    double difference;
    if (count != 2 || !net || rn_archive_open(&a, words[1], NULL, NULL) ||
        rn_archive_find(&a, "x", &x, NULL) || rn_archive_read(&a, &x, 0, images, x.bytes, NULL) ||
        rn_archive_find(&a, "eval_logits0", &e, NULL) ||
        rn_archive_read(&a, &e, 0, expected, e.bytes, NULL) ||
        rn_predict(net, rn_workspace(net), images, (int)x.shape[0], logits, NULL))
        return 1;
    count = (int)(e.bytes / 4);
    difference = rn_tensor_difference(rn_tensor_in(logits, 1, 1, 1, count), rn_tensor_in(expected, 1, 1, 1, count));
    printf("%g\n", difference);
    return difference > 1e-4;
}
END
golden() {
    flags=$(python3 checkpoint.py "$1") || return 1
    # shellcheck disable=SC2086
    ./convert theirs out $flags && ./golden "$1"
}
shared=$root/../shared/golden_timm
if ls "$shared"/*.safetensors >/dev/null 2>&1 && command -v python3 >/dev/null; then
    compile golden golden.c || exit 1
    for file in "$shared"/*.safetensors; do check "$(basename "$file")" golden "$file"; done
else
    echo "convert: skipped ../shared/golden_timm, which is not there, or needs python3"
fi

# ---- tools/convert.py

python=/usr/bin/python3
if ! $python -c 'import torch' 2>/dev/null; then
    echo "convert: skipped tools/convert.py, for there is no PyTorch (Debian: python3-torch)"
else
    cat >make.py <<END
import argparse, collections, torch
state = collections.OrderedDict()
state["b.weight"] = torch.arange(12.).reshape(3, 4).t()  # not contiguous
state["a.half"] = torch.tensor([1.5, -2], dtype=torch.float16)
state["a.brain"] = torch.tensor([1.5, -2], dtype=torch.bfloat16)
state["a.count"] = torch.tensor(7)
state["a.none"] = torch.zeros(0, 3)
torch.save(state, "zip.pth")
torch.save(state, "old.pt", _use_new_zipfile_serialization=False)
torch.save({"epoch": 3, "net": state, "args": {"lr": 0.1}}, "inside.pth")
torch.save({"epoch": 3, "ema": state}, "elsewhere.pth")
torch.save({"state_dict": state, "args": argparse.Namespace(lr=1)}, "objects.pth")
torch.save(torch.nn.Linear(2, 2), "module.pth")
torch.save({"w": torch.zeros(2, dtype=torch.complex64)}, "complex.pth")
open("cut.pth", "wb").write(open("zip.pth", "rb").read()[:300])
END
    cat >look.py <<END
import json, struct, sys
data = open(sys.argv[1], "rb").read()
length, = struct.unpack("<Q", data[:8])
header, body = json.loads(data[8:8 + length]), data[8 + length:]
assert length % 8 == 0 and header.pop("__metadata__") == {"format": "pt"}
assert list(header) == ["b.weight", "a.half", "a.brain", "a.count", "a.none"], list(header)
of = lambda name: body[slice(*header[name]["data_offsets"])]
assert header["b.weight"]["shape"] == [4, 3] and header["a.count"]["shape"] == []
assert [e["dtype"] for e in header.values()] == ["F32", "F16", "BF16", "I64", "F32"]
assert struct.unpack("<12f", of("b.weight")) == (0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11)
assert struct.unpack("<2e", of("a.half")) == (1.5, -2) and of("a.brain") == b"\xc0\x3f\x00\xc0"
assert of("a.count") == struct.pack("<q", 7) and of("a.none") == b""
END
    # writes FILE [FLAG...]: what it makes of it is right
    writes() {
        rm -f made
        from=$1
        shift
        "$root/tools/convert.py" "$from" made "$@" && $python look.py made
    }
    # declines WORDS FILE [FLAG...]: one sentence, and nothing is written
    declines() {
        words=$1 from=$2
        shift 2
        rm -f made made.tmp
        "$root/tools/convert.py" "$from" made "$@" >out.txt 2>&1 && return 1
        cat out.txt
        grep -e "$words" out.txt && [ "$(wc -l <out.txt)" = 1 ] && [ ! -e made ] && [ ! -e made.tmp ]
    }
    says_of_pipe() {
        "$root/tools/convert.py" zip.pth pipe >out.txt 2>&1 && return 1
        cat out.txt
        grep -e "$1" out.txt && [ -p pipe ]
    }
    check "make.py" $python make.py
    check "a state dict, zip form" writes zip.pth
    check "old form" writes old.pt
    check "within a checkpoint" writes inside.pth
    check "under a key" writes elsewhere.pth --key ema
    check "other objects" declines "objects.pth holds more than weights, and is not loaded.*argparse.Namespace" objects.pth
    check "a whole module" declines "holds more than weights" module.pth
    check "a key that is not there" declines "has no --key w; it has epoch, ema" elsewhere.pth --key w
    check "no tensors where they use to be" declines "holds no dictionary of tensors: epoch, ema" elsewhere.pth
    check "complex numbers" declines "w is torch.complex64" complex.pth
    check "a cut file" declines "cut.pth is cut, damaged" cut.pth
    check "safetensors" declines "is safetensors already" theirs
    check "not there" declines "nowhere is not there" nowhere
    mkfifo pipe
    check "to no pipe" says_of_pipe "pipe is no plain file; write elsewhere"
fi

echo "convert: $checks checks, $failures failed"
[ "$failures" = 0 ]
