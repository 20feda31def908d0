#!/bin/sh
# quantise.sh - tools/quantise on a net trained on the bundled sample: integers are as right as floats,
# by every rule for ranges; the table of errors; a net that is the same in floats but breaks in
# integers, whose broken layer is named; and what it refuses, in words.
#
# tests/quantise.sh   (from anywhere; it writes to a temporary directory)

# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"

# Makes a net that is the same in floats: a filter of layer2.0.conv1 and its bias times 1000, what
# conv2 makes of it by a thousandth.
cat >stretch.c <<END
#define RESNET_IMPLEMENTATION
#include "$root/resnet.h"
#include <stdio.h>
#include <stdlib.h>
static float *find(rn_net *net, const char *name, ptrdiff_t *count) {
    rn_parameter p;
    if (!rn_find_parameter(net, name, &p)) exit(2);
    *count = p.count;
    return p.data;
}
int main(int count, char **words) {
    rn_error error;
    rn_net *net = rn_create_from(NULL, 1, RN_INFERENCE, words[1], NULL, NULL, &error);
    float *w;
    ptrdiff_t n, i;
    if (count < 3 || !net) return 2;
    w = find(net, "layer2.0.bn2.weight", &n), w[0] *= 1000;
    w = find(net, "layer2.0.bn2.bias", &n), w[0] *= 1000;
    w = find(net, "layer2.0.conv2.weight", &n);
    for (i = 0; i < n; i++)
        if (i / 9 % 32 == 0) w[i] /= 1000;
    return rn_save(net, words[2], NULL, &error) != RN_OK;
}
END
compile cifar "$root/examples/cifar.c" && compile stretch stretch.c || exit 1
make -s -C "$root/tools" quantise || exit 1
quantise=$root/tools/quantise

data=$root/examples/data
./cifar --dataset idx --data "$data" --depth 8 --batch 25 --iterations 120 --threads 1 \
    --schedule cosine --lr 0.05 --pad 1 --out trained >train.log 2>&1 || { cat train.log; exit 1; }
net=trained/best.safetensors
[ -e $net ] || { ls trained; exit 1; }

# says STATUS PATTERN ARGUMENTS...: quantise ends so and says so
says() {
    status=$1 pattern=$2
    shift 2
    $quantise "$@" >said.txt 2>&1
    got=$?
    cat said.txt
    [ "$got" = "$status" ] && grep -q -- "$pattern" said.txt
}
# keeps ARGUMENTS...: of the 2000 test images integers name as many as floats, within 1.5 points, and
# 93 of 100 alike; nothing breaks
keeps() {
    says 0 "^No layer breaks" $net --data "$data" --dataset idx "$@" || return 1
    sed -n 's/^2000 test images: float \([0-9.]*\) % right, int8 \([0-9.]*\) % .* class for \([0-9.]*\) %.*/\1 \2 \3/p' \
        said.txt | awk '{ n++; if ($1 < 50 || $1 - $2 > 1.5 || $3 < 93) bad = 1 } END { exit n != 1 || bad }'
}
check "mse" keeps
check "percentile" keeps --ranges percentile --images 300
check "minmax" keeps --ranges=minmax --threads 2
check "a narrow percentile cuts" says 0 "beyond its range" $net --data "$data" --dataset idx --test 50 \
    --percentile 80
check "a percentile of another rule" says 2 "is of --ranges percentile, not mse" $net --data "$data" --percentile 80 \
    --ranges mse
check "one image is enough" says 0 "^7 test images" $net --data "$data" --dataset idx --test 7 \
    --images 1 --errors 1 --layers 1

table() {
    says 0 "^table.csv: all layers" $net --data "$data" --dataset idx --test 20 --csv table.csv \
        --layers 100 || return 1
    grep -q ">signal to noise (dB)</text>" table.svg || return 1
    head -1 table.csv | grep -q "^layer,bits,scale,zero_point,.*in_net_db,alone_db" || return 1
    awk -F, 'NR == 2 && $1 != "conv1" { bad = 1 } END { exit bad || NF != 10 || $1 != "fc" }' \
        table.csv || return 1
    # as many lines are printed, the noisiest first
    awk '/ %$/ && NF == 6 { n++; if (n > 1 && $3 < last) bad = 1; last = $3 }
        END { exit bad || n != lines }' lines="$(($(wc -l <table.csv) - 1))" said.txt
}
check "a table of all layers" table

stretched() {
    ./stretch $net stretched || return 1
    says 0 "^The first layer that breaks (has less than 10 dB) is layer2.0.conv2, by itself" \
        stretched --data "$data" --dataset idx --test 100 || return 1
    grep -q "8 bits are too few for it, or for what it reads (layer2.0.conv1)" said.txt &&
        grep -q -e "^--percentile 99.9[.]$" said.txt
}
check "the layer that breaks" stretched

check "help" says 0 "^usage: quantise" --help
check "no weights" says 2 "takes a weights file" --data "$data"
check "no data" says 2 "--data" $net
check "no such file" says 1 "cannot open none" none --data "$data" --dataset idx
check "no such data" says 1 "nowhere" $net --data nowhere --dataset idx
check "other data" says 1 "IDX files need --dataset idx" $net --data "$data"
check "no weights in it" says 1 "table.csv" table.csv --data "$data" --dataset idx
check "no such rule" says 2 "percentile, mse or minmax" $net --data "$data" --ranges median
check "no such flag" says 2 "there is no flag --int4" $net --data "$data" --int4
check "two nets" says 2 "one net at a time" $net $net --data "$data"
cp $net copy
check "over the net" says 2 "same file" copy --data "$data" --dataset idx --csv copy
check "which is still there" cmp $net copy
mkfifo pipe
check "into a pipe, before it computes" says 1 "pipe is no plain file; write elsewhere" $net --data "$data" \
    --dataset idx --csv pipe
check "nothing was computed" sh -c '! grep "test images" said.txt'
check "into no directory" says 1 "none/table.csv" $net --data "$data" --dataset idx --test 5 \
    --csv none/table.csv
check "before the work" sh -c '! grep "test images" said.txt'
int8=$root/../shared/mlperf_tiny/weights_int8.safetensors
if [ -e "$int8" ]; then
    check "a net in integers takes no rule for ranges" says 2 "is in integers already; leave --ranges out" \
        "$int8" --data . --ranges mse
else
    echo "quantise: skipped a net that is in integers already, for there is no ../shared"
fi

echo "quantise.sh: $checks checks, $failures failed"
[ "$failures" = 0 ]
