#!/bin/sh
# convert.sh - tools/convert on files as PyTorch programs write them: the names of torchvision, of
# kuangliu's and akamaster's CIFAR nets, with the prefixes of several devices and of compiled nets,
# in F32, F16 and BF16, every number compared; tensors too few, too many, twice, misshapen;
# and what is refused: files of other kinds, the input as output, fields that the tensors tell.
#
# tests/convert.sh   (from anywhere; it writes to a temporary directory)

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
# shellcheck source=check.sh
. "$here/check.sh"
cd "$work" || exit 1

cat >theirs.c <<END
#define RESNET_IMPLEMENTATION
#include "$root/resnet.h"
#include <stdio.h>

/* Numbers that all three types hold: small multiples of 1/64 and, without an exponent in F16, of
   2^-20. */
static float number(long i) { return (float)(i * 37 % 101 - 50) / (i % 5 ? 64 : 1048576); }

static rn_net *make(rn_stem stem, rn_block block, rn_resize resize) {
    rn_desc desc = rn_cifar(0);
    desc.units[0] = 1, desc.units[1] = 2, desc.units[2] = stem == RN_STEM_IMAGENET;
    desc.base_width = 4, desc.classes = 7;
    desc.order = RN_ORIGINAL, desc.stem = stem, desc.block = block, desc.resize = resize;
    desc.stride_on = RN_STRIDE_3X3;
    return rn_create(&desc, 1, RN_INFERENCE, NULL, NULL);
}

/* Writes a net's tensors under the names of others: theirs STYLE PREFIX DTYPE FAULT */
int main(int count, char **words) {
    const int style = words[1][0] - '0', fault = words[4][0];
    const int half = !strcmp(words[3], "F16"), brain = !strcmp(words[3], "BF16");
    const char *projection = style == 2 ? "shortcut" : "downsample";
    rn_net *net = make(style == 1 ? RN_STEM_IMAGENET : RN_STEM_CIFAR,
                       style == 1 ? RN_BOTTLENECK : RN_BASIC,
                       style ? RN_RESIZE_B_BN : RN_RESIZE_A_CENTRED);
    static char json[100000];
    static unsigned char data[1000000];
    rn_parameter p = {0};
    long at = 2, from = 0, to = 0, i;
    FILE *file = fopen("theirs", "wb");
    if (count != 5 || !net || !file) return 1;
    sprintf(json, "{ \"__metadata__\":{\"format\":null}");
    at = (long)strlen(json);
    while (rn_next_parameter(net, &p)) {
        char *name = p.name, *s = strstr(name, "shortcut");
        if (fault == 'm' && !strcmp(name, "bn1.bias")) continue;
        at += sprintf(json + at, ",\"%s", words[2]);
        if (s)
            at += sprintf(json + at, "%.*s%s.%d%s", (int)(s - name), name, projection,
                          s[8] == '_', s + (s[8] == '_' ? 11 : 8));
        else if (!strncmp(name, "fc.", 3) && style != 1)
            at += sprintf(json + at, "linear.%s", name + 3);
        else
            at += sprintf(json + at, "%s", name);
        at += sprintf(json + at, "\":{\"dtype\":\"%s\",\"shape\":[", words[3]);
        for (i = 0; i < p.dims; i++)
            at += sprintf(json + at, i ? ",%d" : "%d", p.shape[i]);
        if (fault == 's' && !strcmp(name, "fc.bias")) at += sprintf(json + at, ",1");
        for (i = 0; i < p.count; i++) {
            unsigned bits = 0;
            float x = number(p.data - (p.role < RN_RUNNING_MEAN ? net->parameters : net->statistics) + i);
            if (p.role == RN_RUNNING_VAR) x = x < 0 ? -x : x;
            p.data[i] = x;
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
        at += sprintf(json + at, "],\"data_offsets\":[%ld,%ld]}", from, to);
        if (p.role == RN_RUNNING_VAR)
            at += sprintf(json + at,
                          ",\"%s%.*snum_batches_tracked\":{\"dtype\":\"I64\",\"shape\":[],"
                          "\"data_offsets\":[%ld,%ld]}",
                          words[2], (int)strlen(name) - 11, name, to, to + 8), to += 8;
        from = to;
    }
    if (fault == 'x' || fault == '2')
        at += sprintf(json + at,
                      ",\"%s\":{\"dtype\":\"F32\",\"shape\":[7],\"data_offsets\":[%ld,%ld]}",
                      fault == '2' ? "fc.bias" : "layer1.0.se.fc", to, to + 28), to += 28;
    at += sprintf(json + at, "}");
    for (i = 0; i < 8; i++) fputc(i < 4 ? (int)(at >> 8 * i & 255) : 0, file);
    fwrite(json, 1, (size_t)at, file);
    fwrite(data, 1, (size_t)to, file);
    if (rn_save(net, "expected", NULL, NULL)) return 1;
    return fclose(file);
}
END
cat >same.c <<END
#define RESNET_IMPLEMENTATION
#include "$root/resnet.h"
int main(void) { /* 0 if both files hold the same net, the normalisation of images aside */
    rn_desc a, b;
    rn_net *net;
    rn_real *kept;
    if (rn_load_desc(&a, "expected", NULL, NULL) || rn_load_desc(&b, "out", NULL, NULL)) return 1;
    if (!(b.mean[0] > 0.48f && b.deviation[2] < 0.23f)) return 2;
    memcpy(a.mean, b.mean, sizeof a.mean);
    memcpy(a.deviation, b.deviation, sizeof a.deviation);
    if (memcmp(&a.order, &b.order, sizeof a.order) || a.stem != b.stem || a.block != b.block ||
        a.resize != b.resize || a.stride_on != b.stride_on || memcmp(a.units, b.units, sizeof a.units))
        return 3;
    net = rn_create(&b, 1, RN_INFERENCE, NULL, NULL);
    if (!net || rn_load(net, "out", NULL, NULL)) return 4;
    kept = (rn_real *)malloc((size_t)(net->parameter_count + net->statistic_count) * sizeof *kept);
    memcpy(kept, net->parameters, (size_t)net->parameter_count * sizeof *kept);
    memcpy(kept + net->parameter_count, net->statistics, (size_t)net->statistic_count * sizeof *kept);
    memset(net->desc.mean, 0, sizeof a.mean);
    net->desc.deviation[0] = net->desc.deviation[1] = net->desc.deviation[2] = net->desc.deviation[3] = 1;
    if (rn_load(net, "expected", NULL, NULL)) return 5;
    return memcmp(kept, net->parameters, (size_t)net->parameter_count * sizeof *kept) ||
           memcmp(kept + net->parameter_count, net->statistics,
                  (size_t)net->statistic_count * sizeof *kept)
               ? 6 : 0;
}
END
${CC:-cc} -O1 -o convert "$root/tools/convert.c" -lm && ${CC:-cc} -o theirs_program theirs.c -lm &&
    ${CC:-cc} -o same same.c -lm || exit 1

# converts STYLE PREFIX DTYPE
converts() {
    ./theirs_program "$1" "$2" "$3" . && ./convert theirs out && ./same
}
# refuses FAULT WORDS
refuses() {
    ./theirs_program 0 "" F32 "$1" || return 1
    ./convert theirs out >out.txt 2>&1
    [ $? = 1 ] && grep "$2" out.txt
}

for dtype in F32 F16 BF16; do
    check "akamaster's, $dtype" converts 0 module. $dtype
    check "torchvision's, $dtype" converts 1 "" $dtype
    check "kuangliu's, $dtype" converts 2 "" $dtype
done
check "compiled" converts 2 _orig_mod. F32
check "compiled, on several devices" converts 1 _orig_mod.module. F32
check "in a program that calls it model" converts 0 model. F32
check "a tensor is missing" refuses m "holds no tensor bn1.bias"
check "one too many" refuses x "tensor layer1.0.se.fc has no place"
check "one twice" refuses 2 "holds fc.bias twice"
check "one of another shape" refuses s "linear.bias is F32 .7,1. and should be F32, F16 or BF16 .7.$"

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
check "a net" converts 1 "" F32
cp theirs kept
ln -s theirs link
check "the output is the input" says 2 "same file" theirs theirs
check "by another name" says 2 "same file" theirs ./theirs
check "by a link" says 2 "same file" theirs link
for field in "depth 56" "units 1,1" "base_width 8" "stem cifar" "classes 5" "channels 1"; do
    # shellcheck disable=SC2086
    check "--$field" says 2 "tensors tell --${field% *};" theirs out --$field
done
check "--base-width=8" says 2 "tensors tell --base-width=8;" theirs out --base-width=8
check "--width, of the images" says 0 "^out" theirs out --width 16
check "a file of ours" says 1 "expected is a file of resnet.h already" expected out
printf 'PK\003\004aaaaaaaa' >pickle
check "a pickle" says 1 "pickle is a PyTorch pickle" pickle out
printf '\200\002aaaaaaaa' >pickle
check "an old pickle" says 1 "pickle is a PyTorch pickle" pickle out
printf '\037\213aaaaaaaa' >packed
check "a compressed file" says 1 "gunzip < packed" packed out
check "no file" says 1 "cannot open nowhere" nowhere out

echo "convert: $checks checks, $failures failed"
[ "$failures" = 0 ]
