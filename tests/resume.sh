#!/bin/sh
# resume.sh - the trainer, stopped and started again: each signal saves a checkpoint from which the
# run goes on to the same numbers; what the checkpoint knows need not be repeated and may not be
# changed; recipes; neither a lost log nor a run that ended at once costs a good net; and a net whose
# predictions are no numbers is not tested as if they were.
#
# tests/resume.sh   (from anywhere; it writes to a temporary directory)

# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"
for program in cifar predict; do
    compile $program "$root/examples/$program.c" || exit 1
done

idx train 205 data # the last batch of an epoch is a smaller one
idx t10k 100 data

# train FLAGS...: a ResNet-8
train() { ./cifar --dataset idx --data data --threads 1 "$@"; }
small="--depth 8 --batch 25 --schedule constant --lr 0.05 --pad 1 --flip 0"

# refuses STATUS WORDS FLAGS...: the trainer ends so, and says why
refuses() {
    status=$1 words=$2
    shift 2
    fails "$status" "$words" train "$@"
}

# column 1 to 7 of a log: all but speed and time
numbers() { cut -d, -f1-7 "$1/log.csv"; }
same_run() {
    numbers "$1" >numbers1
    numbers "$2" >numbers2
    [ "$(wc -l <numbers1)" -gt 1 ] && diff numbers1 numbers2 &&
        cmp "$1/best.safetensors" "$2/best.safetensors"
}

# ---- signals ---------------------------------------------------------------------------------------

# signalled NAME NUMBER
signalled() {
    rm -rf stopped
    # shellcheck disable=SC2086
    ./cifar --dataset idx --data data $small --iterations 1000000 --out stopped >out.txt 2>&1 &
    pid=$!
    wait_for stopped/last.ckpt || return 1
    kill -s "$1" $pid
    wait $pid
    status=$?
    pid=
    [ $status = $((128 + $2)) ] || { echo "status $status"; return 1; }
    [ ! -e stopped/last.ckpt.tmp ] || return 1
    step=$(sed -n 's/^stopped after iteration \([0-9]*\) of .*/\1/p' out.txt)
    [ "${step:-0}" -gt 0 ]
}
hangs_up= # not under nohup: there cifar does not hear of it, as it should be
trap 'hangs_up=1' HUP
kill -s HUP $$
trap - HUP
for signal in "HUP 1" "INT 2" "USR1 10" "TERM 15"; do
    case $signal in # what is not heard of here, or has another number than Linux's
    "HUP 1") [ "$hangs_up" ] ;;
    "USR1 10") [ "$(kill -l 10)" = USR1 ] ;;
    esac || { echo "resume: skipped SIG${signal% *}, which does not come here as it should"; continue; }
    # shellcheck disable=SC2086
    check "SIG${signal% *} saves a checkpoint" signalled $signal
done

# The last one goes on: only data and length are said again.
check "going on" train --resume --out stopped --iterations $((step + 13))
# shellcheck disable=SC2086
check "a run never stopped" train $small --out whole --iterations $((step + 13))
check "a resumed run is the same run" same_run stopped whole

# ---- what differs is refused -----------------------------------------------------------------------

# shellcheck disable=SC2086
check "a run" train $small --out run --iterations 27
cp -r run again
cp -r run lost
more="--resume --out again --iterations 45"
# shellcheck disable=SC2086
{
    check "another batch" refuses 2 "again/last.ckpt has batch 25; leave --batch out" $more --batch 26
    check "another pad" refuses 2 "has pad 1; leave --pad out" $more --pad 0
    check "another flip" refuses 2 "has flip 0; leave --flip out" $more --flip 1
    check "another seed" refuses 2 "has seed 0; leave --seed out" $more --seed 9
    check "another momentum" refuses 2 "has momentum another value" $more --momentum 0.5
    check "another depth" refuses 2 "has depth 8; leave --depth out" $more --depth 14
    check "other units" refuses 2 "has units 1,1,1,0; leave --units out" $more --units 2,1,1
    check "batch norm over parts" refuses 2 "bn_group 0, which --micro_batch 5" $more --micro_batch 5
    check "a dialect" refuses 2 "leave --dialect out" $more --dialect fb
    check "a length that is over" refuses 2 "iteration 27 already" --resume --out again --iterations 26
    check "no checkpoint" refuses 2 "no data/last.ckpt; leave --resume out" --resume --out data
    check "a file for a directory" refuses 1 "directory out.txt: Not a" $small --out out.txt
    idx train 205 other
    idx t10k 100 other
    printf x | dd of=other/train-images-idx3-ubyte bs=1 seek=100000 conv=notrunc 2>/dev/null
    check "another pixel" refuses 2 "other images than those of --data other" $more --data other
    cp data/train* other
    printf '\003' | dd of=other/t10k-labels-idx1-ubyte bs=1 seek=50 conv=notrunc 2>/dev/null
    cmp -s data/t10k-labels-idx1-ubyte other/t10k-labels-idx1-ubyte && echo "the label was 3"
    check "another label of a test image" refuses 2 "other images" $more --data other
    check "a refused run is as it was" cmp run/last.ckpt again/last.ckpt
    check "the same values may be repeated" train $more --batch 25 --pad 1 --flip 0
    check "without flags" train --resume --out run --iterations 45
}
check "and it was the same run" same_run run again

# ---- what may be changed ---------------------------------------------------------------------------

# goes_on LINE FLAGS...: the trainer does, and says where and what is new
goes_on() {
    line=$1
    shift
    fails 0 "^$line\$" train --resume --out again "$@"
}
check "nothing" goes_on "resumed at iteration 45 of 45"
check "length and rate" goes_on "resumed at iteration 45 of 46; the length is 46 instead of 45; --lr is 0.02 instead of 0.05" \
    --iterations 46 --lr 0.02
check "the schedule" goes_on "resumed at iteration 46 of 46; --schedule is cosine instead of constant" --schedule cosine
check "the machine" goes_on "resumed at iteration 46 of 48; .* instead of 46" --iterations 48 \
    --threads 2 --isa portable --direct 1 --budget 100M

# ---- flags that have nothing to say ----------------------------------------------------------------

check "the values of a field" sh -c './cifar --help >out.txt && grep -e "--naive  *0 or 1$" out.txt'
check "two lengths" refuses 2 "give one of them" --epochs 1 --iterations 9 --out no
check "two lengths, the other first" refuses 2 "give one of them" --iterations 9 --epochs 1 --out no
check "--eval of another depth" refuses 2 "best.safetensors has depth 8" --eval run/best.safetensors --depth 20
check "--eval and a dialect" refuses 2 "leave --dialect out" --eval run/best.safetensors --dialect fb
check "--eval in small parts" train --eval run/best.safetensors --micro_batch 5
mkdir colour colour/cifar-10-batches-bin
head -c 3073 /dev/zero >colour/cifar-10-batches-bin/test_batch.bin
check "--eval on colours" refuses 2 "channels of run/best.safetensors is 1, but the data's is 3" \
    --eval run/best.safetensors --dataset cifar10 --data colour
check "no CIFAR" refuses 1 "need --dataset idx" --resume --out run --dataset cifar10
check "predictions of a trained net" sh -c "./cifar --dataset idx --data data $small --iterations 1 \
    --out predicting --predictions named >out.txt && grep -c '^[0-9]$' named | grep -x 100"
mkfifo pipe
timeout 60 cat pipe >piped &
check "predictions into a pipe" train --eval predicting/best.safetensors --predictions pipe
wait $!
check "are the same, and the pipe is there" sh -c 'cmp named piped && [ -p pipe ]'
check "predictions nowhere, before it trains" refuses 1 "cannot write none/named" $small --out unwritable \
    --predictions none/named
check "nothing was begun" [ ! -e unwritable ]
ln -s target link
check "a link to nothing" train $small --iterations 1 --out fresh --predictions link
check "is there, and so is what it is to" sh -c '[ -L link ] && [ -s target ]'
check "predictions into a directory that the run makes" train $small --iterations 1 --out new \
    --predictions new/predictions.txt
check "are there" [ -s new/predictions.txt ]
check "with a slash" train $small --iterations 1 --out newer/ --predictions newer/predictions.txt
check "the log is drawn" grep -c ">learning rate</text>" predicting/log.svg
check "of the run before, too" sh -c "./cifar --dataset idx --data data $small --iterations 1 \
    --out predicting >out.txt && [ -s predicting/log.svg.old ] && [ -s predicting/log.svg ]"
check "mistakes and filters" sh -c "./cifar --dataset idx --data data \
    --eval run/best.safetensors --predictions named --mistakes wrong.svg --filters filters.svg >out.txt"
# The picture counts what the predictions get wrong; it has as many filters as the net.
wrong=$(od -An -v -tu1 -w1 -j8 data/t10k-labels-idx1-ubyte | tr -d ' ' | paste - named |
    awk '$1 != $2' | wc -l)
check "all mistakes are counted" grep "gets $wrong of 100 test images wrong" wrong.svg
check "the surest are shown" sh -c "[ \"\$(grep -c '<image ' wrong.svg)\" = $((wrong < 30 ? wrong : 30)) ]"
check "by name" grep ">ankle boot</text>" wrong.svg
check "a picture a filter" sh -c '[ "$(grep -c "<image " filters.svg)" = "$(sed -n "s/.*the \([0-9]*\) filters.*/\1/p" filters.svg | head -1)" ]'

# ---- the fast recipe -------------------------------------------------------------------------------

# Weights look ahead, so it stops where slow and fast ones are one; flips alternate; and the first epochs,
# in one of which it is stopped, see small images.
fast="--recipe fast --depth 8 --base_width 8 --batch 25 --lookahead 4 --small_epochs 12 --epochs"
stopped_fast() { # in a later epoch, nine steps each
    # shellcheck disable=SC2086
    ./cifar --dataset idx --data data --threads 1 $fast 20 --out fast >out.txt &
    pid=$!
    wait_for fast/last.ckpt || return 1
    kill -s INT $pid
    wait $pid
    pid=
    step=$(sed -n 's/^stopped after iteration \([0-9]*\) of .*/\1/p' out.txt)
    [ "${step:-0}" -gt 8 ] && [ $((step % 9 % 4)) = 0 ] || { cat out.txt; return 1; }
}
# shellcheck disable=SC2086
{
    check "SIGINT where slow weights are the net's" stopped_fast
    check "another lookahead" refuses 2 "has lookahead 4; leave --lookahead out" --resume --out fast --lookahead 0
    check "another number of small epochs" refuses 2 "has small_epochs 12; leave --small_epochs out" \
        --resume --out fast --small_epochs 11
    check "small epochs alone" refuses 2 "leaves none of 12 epochs for whole images" --resume --out fast --epochs 12
    check "another average of views" refuses 2 "has tta 2; leave --tta out" --resume --out fast --tta 1
    check "a recipe again" refuses 2 "begins a training; with --resume leave it out" --resume --out fast --recipe fast
    check "going on fast" train --resume --out fast
    check "a fast run never stopped" train $fast 20 --out fast_whole
    check "a resumed fast run is the same run" same_run fast fast_whole
    check "flags count more than a recipe" sh -c 'grep -q \"desc.base_width\":\"8\" fast/last.ckpt &&
        grep -q \"trainer.flip\":\"2\" fast/last.ckpt'
    check "no such recipe" refuses 2 "should be paper or fast" --recipe slow
    check "flags of a recipe" sh -c './cifar --dataset idx --data data --describe --recipe fast --depth 8 >out.txt &&
        grep "^recipe fast: --depth 14 .*; flags given here count more$" out.txt'
    check "a share held out" sh -c "./cifar --dataset idx --data data $small --iterations 1 --hold_out 5 \
        --out held >out.txt && grep '; 164 training, 41 test images' out.txt"
    check "the share is known" train --resume --out held --iterations 2
    check "another share" refuses 2 "has hold_out 5; leave --hold_out out" --resume --out held --hold_out 4
    mkdir odd
    { printf '\0\0\010\003\0\0\0\144\0\0\0\033\0\0\0\033' && head -c 72900 /dev/zero; } >odd/train-images-idx3-ubyte
    cp odd/train-images-idx3-ubyte odd/t10k-images-idx3-ubyte
    cp data/t10k-labels-idx1-ubyte odd
    cp data/t10k-labels-idx1-ubyte odd/train-labels-idx1-ubyte
    check "small images of an odd height" refuses 2 "even height and width; these are 27 x 27" \
        --data odd $small --small_epochs 1
    check "a share of one" refuses 2 "no image to train on" $small --hold_out 1
    check "a share of none" refuses 2 "--hold_out 206 is more than the 205" $small --hold_out 206
}
check "a plan" sh -c "./cifar --plan --batch 8 --out planned >out.txt && grep '^drawn as planned/plan.svg' out.txt &&
    grep '<svg' planned/plan.svg"
check "what the net of small images takes, too" sh -c "./cifar --describe --small_epochs 2 >out.txt &&
    grep 'MB for the net of the first 2 epochs, on images of 16 x 16' out.txt"
# shellcheck disable=SC2086
check "a first epoch on small images" train $small --lr 1e-9 --small_epochs 1 --iterations 18 --out small
check "is not the best one's, were its error lower" sh -c "./cifar --dataset idx --data data \
    --eval small/best.safetensors | tail -1 | tee /dev/stderr |
    awk '{ found = \$3 } END { exit found != $(tail -1 small/log.csv | cut -d, -f6) }'"
# The best net is chosen by one view of each image, also at the end.
# shellcheck disable=SC2086
{
    check "a run" train $small --iterations 18 --out one_view
    check "one that ends with more views" train $small --iterations 18 --tta 2 --out views
}
check "which test otherwise" sh -c '[ "$(tail -1 one_view/log.csv | cut -d, -f5)" != "$(tail -1 views/log.csv | cut -d, -f5)" ]'
check "the best net is the same, and its error" cmp one_view/best.safetensors views/best.safetensors
# names WORDS FLAGS...: a training begins so
names() {
    words=$1
    shift
    # shellcheck disable=SC2086
    train $small --iterations 1 --out named_net "$@" >out.txt && grep "^$words, [0-9]* parameters" out.txt &&
        grep "<title>$words</title>" named_net/log.svg
}
check "the usual net by its depth" names ResNet-8
check "a plain one as such" names "ResNet-8, order original, shortcut scale 0 (plain)" --order original \
    --shortcut scale --shortcut_scale 0
check "other blocks" names "ResNet-11, block bottleneck, shortcut scale 0.5" --block bottleneck --depth 11 \
    --shortcut scale --shortcut_scale 0.5
# the paper's recipe is the default: says the same, trains to the same bits
check "the paper's recipe" train --recipe paper --depth 8 --iterations 2 --out paper
check "no recipe" train --depth 8 --iterations 2 --out none
check "they are one" cmp paper/best.safetensors none/best.safetensors

# ---- a lost log ------------------------------------------------------------------------------------

# shellcheck disable=SC2086
check "a better net" train $small --out better --iterations 270
check "mistakes by several views" sh -c "./cifar --dataset idx --data data --eval better/best.safetensors --tta 2 \
    --predictions named --mistakes wrong.svg >out.txt"
wrong=$(od -An -v -tu1 -w1 -j8 data/t10k-labels-idx1-ubyte | tr -d ' ' | paste - named |
    awk '$1 != $2' | wc -l)
check "are those of the predictions" grep "gets $wrong of 100 test images wrong" wrong.svg
rm lost/log.csv
cp better/best.safetensors lost
check "going on without a log" train --resume --out lost --iterations 36
check "it keeps the better net" cmp better/best.safetensors lost/best.safetensors
check "it knows the losses" sh -c '! grep -i nan lost/log.csv && [ "$(wc -l <lost/log.csv)" -gt 1 ]'
rm lost/log.csv
check "a whole run without a log" sh -c './cifar --dataset idx --data data --resume --out lost >out.txt &&
    ! grep -i nan out.txt lost/log.csv && grep "^epoch 4/4: loss " out.txt'

# ---- the run before --------------------------------------------------------------------------------

kept() { # kept FROM TO: the results of a run lie aside
    for file in log.csv best.safetensors last.ckpt; do cmp "$1/$file" "$2/$file.old" || return 1; done
}
# killed OUT: a run that is killed before its first epoch is over
killed() {
    ./cifar --dataset idx --data "$root/examples/data" --depth 8 --out "$1" >out.txt 2>&1 &
    pid=$!
    wait_for "$1/last.ckpt.old" && wait_for "$1/log.csv" # the new one
    kill -9 $pid
    wait $pid 2>/dev/null
    pid=
    [ -e "$1/log.csv" ] && [ ! -e "$1/best.safetensors" ]
}
cp -r better finished
check "killed at once" killed finished
check "the finished run lies aside" kept better finished
echo measured >finished/landscape.csv
# shellcheck disable=SC2086
check "started afresh" train $small --out finished --iterations 9
check "the finished run still lies aside" kept better finished
check "and what was measured meanwhile" grep measured finished/landscape.csv.old
check "a flag for a value" refuses 2 "--out needs a value" --iterations 1 --out --resume
echo measured >finished/lesions.csv
cp -r finished second
# shellcheck disable=SC2086
check "and again" train $small --out finished --iterations 9
check "the second lies aside" kept second finished
check "and what was measured of it" sh -c 'cmp second/lesions.csv finished/lesions.csv.old && [ ! -e finished/lesions.csv ]'

# ---- no numbers ------------------------------------------------------------------------------------

cat >overflow.c <<END
#define RESNET_IMPLEMENTATION
#include "$root/resnet.h"
int main(void) {
    rn_desc desc;
    rn_parameter p;
    rn_net *net = NULL;
    if (!rn_load_desc(&desc, "better/best.safetensors", NULL, NULL))
        net = rn_create(&desc, 1, RN_INFERENCE, NULL, NULL);
    if (!net || rn_load(net, "better/best.safetensors", NULL, NULL)) return 1;
    if (!rn_find_parameter(net, "fc.weight", &p)) return 1;
    while (p.count--) p.data[p.count] = 3e38f;
    return rn_save(net, "overflow.safetensors", NULL, NULL);
}
END
check "a program compiles" compile overflow overflow.c
check "a net that overflows" ./overflow
check "--eval of it" refuses 1 "logits of image" --eval overflow.safetensors
check "--eval of a good one" train --eval better/best.safetensors
predicts() {
    ./predict "$1" data/t10k-images-idx3-ubyte >out.txt 2>&1
    [ $? = "$2" ] && { [ "$2" = 0 ] || grep "logits of image" out.txt; }
}
check "predict with it" predicts overflow.safetensors 1
check "predict with a good one" predicts better/best.safetensors 0

echo "resume: $checks checks, $failures failed"
[ "$failures" = 0 ]
