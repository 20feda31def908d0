#!/bin/sh
# golden_damaged.sh - tests/golden must fail where it should: a number changed in any group of
# tensors, a tensor missing, one that the net does not know, a word that it does not know, a file cut
# short, no file at all; and keys that it does not know it must ignore.
#
# tests/golden_damaged.sh   (after make -C tests golden)

here=$(cd "$(dirname "$0")" && pwd)
good=$here/golden_files/single_full_preact.safetensors
timm=$here/golden_files/timm_bn_bottleneck.safetensors
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
checks=0
failures=0
LC_ALL=C
export LC_ALL

# expect STATUS WORDS: what golden must say of the file $work/net
expect() {
    "$here/golden" "$work/net" >"$work/log" 2>&1
    found=$?
    checks=$((checks + 1))
    [ "$found" = "$1" ] && return
    failures=$((failures + 1))
    echo "golden_damaged: $2: golden ended with $found"
    head -5 "$work/log"
}

# replace SED-EXPRESSION: a copy of the good file, of the same length
replace() { sed "$1" "$good" >"$work/net"; }

# damage NAME: the last number of a tensor becomes 8 or more, by its highest byte
damage() {
    cp "$good" "$work/net"
    header=$(od -An -t u8 -N 8 "$good" | tr -d ' ')
    end=$(head -c $((8 + header)) "$good" | tr -d '\000' |
        sed -n "s,.*\"$1\":{[^}]*\"data_offsets\":\[[0-9]*\,\([0-9]*\)\].*,\1,p")
    if [ -z "$end" ]; then
        echo "golden_damaged: there is no $1"
        failures=$((failures + 1))
        return
    fi
    printf '\101' | dd of="$work/net" bs=1 seek=$((8 + header + end - 1)) conv=notrunc 2>/dev/null
}

cp "$good" "$work/net"
expect 0 "a good file"
for name in x init/conv1.weight init/layer1.0.conv1.weight logits0 loss0 grad0/conv1.weight \
    grad0/fc.bias loss1 step2/layer1.0.bn1.running_var step2/fc.weight eval_logits; do
    damage "$name"
    expect 1 "$name changed"
done
replace 's/"logits0"/"logitz0"/'
expect 1 "logits0 missing"
replace 's,"grad0/fc.bias","grad0/fc.bird",'
expect 1 "grad0/fc.bias missing"
replace 's,"init/fc.weight","init/fx.weight",'
expect 1 "init/fc.weight missing"
replace 's,"step2/bn.running_var","step2/bn.running_van",'
expect 1 "step2/bn.running_var missing"
replace 's/"order":"full_preact"/"order":"fuller_prea"/'
expect 1 "an order that nobody knows"
replace 's/"resize":"A"/"resize":"Z"/'
expect 1 "a resize shortcut that nobody knows"
replace 's/"size":"12"/"size":"1x"/'
expect 1 "a size that is no number"
replace 's/"lr":"0.05"/"lr":"0.06"/'
expect 1 "another learning rate"
replace 's/"momentum":"0.9"/"momentum":"0.8"/'
expect 1 "another momentum"
replace 's/"seed":/"deed":/'
expect 0 "a key that nobody knows"
good=$timm # whose names and words are mapped
cp "$good" "$work/net"
expect 0 "a good file of timm's family"
for name in x init/stem.conv.weight init/stages.0.blocks.0.downsample.conv.weight eval_logits0 \
    grad0/head.fc.weight grad0/stages.0.blocks.1.norm3.bias step1/stages.1.blocks.0.norm1.running_mean \
    step2/norm.weight eval_logits; do
    damage "$name"
    expect 1 "$name changed"
done
replace 's,"step1/norm.bias","step1/norm.bird",'
expect 1 "step1/norm.bias missing"
replace 's,"init/norm.num_batches_tracked","init/norm.num_batches_trackad",'
expect 1 "a scalar that nobody knows"
replace 's,"init/stages.0.blocks.1.conv2.weight","init/stages.9.blocks.1.conv2.weight",'
expect 1 "a convolution that is not there"
for word in '"norm":"bn"/"norm":"bm"' '"stem":"plain"/"stem":"plane"' '"conv":"plain"/"conv":"plein"' \
    '"down":"conv"/"down":"cone"' '"block":"bottleneck"/"block":"bottlenose"' \
    '"norm_eps":"1e-05"/"norm_eps":"3e-04"' '"down":"conv"/"down":"avg" ' \
    '"family":"timm_resnetv2"/"family":"timm_resnetv3"'; do
    replace "s/$word/"
    expect 1 "$word"
done
head -c 20000 "$good" >"$work/net"
expect 1 "a file cut short"
rm "$work/net"
expect 1 "no file"
echo "golden_damaged: $checks checks, $failures failed"
[ "$failures" = 0 ]
