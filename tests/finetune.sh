#!/bin/sh
# finetune.sh - a net trained on the bundled pictures is fine-tuned on folders of some of them: predict
# then knows the folders' names; a run that was stopped goes on to the same bits; what cannot be is
# refused with a reason.
#
# tests/finetune.sh   (from anywhere; it writes to a temporary directory)

# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"
for program in cifar predict finetune; do
    compile $program "$root/examples/$program.c" || exit 1
done

# A ResNet-8 that has seen a little, and pictures of three classes in folders.
./cifar --dataset idx --data "$root/examples/data" --depth 8 --batch 25 --iterations 60 --threads 1 \
    --schedule constant --lr 0.05 --pad 1 --out base >out.txt || exit 1
base=base/best.safetensors
i=0
for label in $(tail -c +9 "$root/examples/data/t10k-labels-idx1-ubyte" | head -c 300 | od -An -v -tu1); do
    name=
    case $label in
    1) name=trousers ;;
    5) name=sandal ;;
    9) name="ankle boot" ;;
    esac
    if [ -n "$name" ]; then
        mkdir -p "pictures/$name"
        {
            printf 'P5 28 28 255\n'
            tail -c +$((17 + i * 784)) "$root/examples/data/t10k-images-idx3-ubyte" | head -c 784
        } >"pictures/$name/$i.pgm"
        last="pictures/$name/$i.pgm"
    fi
    i=$((i + 1))
done

tune() { ./finetune "$base" pictures "$@" --threads 1 --lr 0.05 --frozen_below 3; }

learns() {
    tune whole.safetensors --epochs 6 >out.txt || return 1
    grep '^epoch 6: .* in test' out.txt | sed 's/.* \([0-9.]*\) %$/\1/' >error.txt
    awk '{ good = $1 < 35 } END { exit NR != 1 || !good }' error.txt || { cat out.txt; return 1; } # by chance: 67
    grep -q '; 3 classes, ' out.txt
}
names() { ./predict whole.safetensors "$last" >out.txt && grep "$1" out.txt; }

# Ctrl-C once the first checkpoint is there.
stops() {
    ./finetune "$base" pictures stopped.safetensors --threads 1 --lr 0.05 --frozen_below 3 \
        --epochs 600 >out.txt 2>&1 &
    pid=$!
    wait_for stopped.safetensors.ckpt || return 1
    kill -TERM $pid
    wait $pid
    [ $? = 143 ] || return 1
    pid=
    grep -q 'stopped at step .*; --resume goes on' out.txt
}

# The same schedule in one run, which is stopped by nothing but its end.
resumes() {
    tune once.safetensors --epochs 60 --pad 3 --flip 0 --lookahead 5 >out.txt || return 1
    ./finetune "$base" pictures twice.safetensors --threads 1 --lr 0.05 --frozen_below 3 \
        --epochs 60 --pad 3 --flip 0 --lookahead 5 >out.txt 2>&1 &
    pid=$!
    wait_for twice.safetensors.ckpt || return 1
    kill -TERM $pid
    wait $pid
    pid=
    grep -q 'stopped at step' out.txt || return 1
    ./finetune "$base" pictures twice.safetensors --threads 1 --resume >out.txt || return 1
    grep -q '^resumed at iteration .* of ' out.txt && cmp once.safetensors twice.safetensors
}
goes_longer() {
    ./finetune "$base" pictures twice.safetensors --threads 1 --resume --epochs 61 --lr 0.01 >out.txt || return 1
    grep -q 'the length is .*; --lr is 0.01 instead of 0.05' out.txt && grep -q '^epoch 61: ' out.txt
}

# What was trained on folders from the beginning names its classes, too.
from_folders() {
    ./cifar --dataset folder --data pictures --channels 1 --height 28 --width 28 --depth 8 --batch 16 --threads 1 \
        --epochs 1 --out folders >out.txt && ./predict folders/best.safetensors "$last" >out.txt && grep "ankle boot" out.txt
}

check "it learns the folders" learns
check "predict knows a folder's name" names "ankle boot"
check "predict knows another's" names trousers
check "a signal ends it with a checkpoint" stops
check "a stopped run goes on to the same bits" resumes
check "a resumed run keeps its frozen stages" fails 2 "has frozen_below 3; leave --frozen_below out" \
    ./finetune "$base" pictures twice.safetensors --resume --frozen_below 4
check "a finished one goes on, if it is to be longer" goes_longer
check "a resumed run keeps its recipe" fails 2 "has pad 3; leave --pad out" \
    ./finetune "$base" pictures twice.safetensors --resume --pad 6
check "a resumed run keeps its pictures" fails 2 "on other images than those of --data fewer" \
    sh -c "cp -r pictures fewer && rm '$(echo "$last" | sed 's/^pictures/fewer/')' &&
        ./finetune $base fewer twice.safetensors --resume"
check "two directories" fails 2 "DIR is the data; leave --data out" ./finetune "$base" pictures two --data pictures
check "a name that leaves no room for .ckpt" fails 1 "a path of 996 characters is too long" \
    ./finetune "$base" pictures "$(printf %0996d 0)"
check "the given weights are kept" fails 2 "are the same file, which would be lost" \
    ./finetune "$base" pictures "./$base"
kept() { # kept NAME: weights there are not given up for those of `whole`
    cp "$base" "$1" && fails 2 "$1 and $1 are the same file" ./finetune "$1" pictures whole.safetensors && cmp "$base" "$1"
}
check "nor what was put aside" kept whole.safetensors.old
check "nor a checkpoint that was" kept whole.safetensors.ckpt.old
rm whole.safetensors.ckpt.old whole.safetensors.old
mkdir directory
check "a directory is no place" fails 1 "directory is no plain file" ./finetune "$base" pictures directory
check "cifar trained on folders keeps their names" from_folders
check "which have to be UTF-8" fails 1 "is not UTF-8, as files have names of classes; rename it" \
    sh -c 'mkdir latin && cp -r pictures/sandal "latin/$(printf "caf\\351")" && cp -r pictures/trousers latin &&
        ./cifar --dataset folder --data latin --channels 1 --height 28 --width 28 --depth 8'
check "a word too many" fails 2 "what is another?" ./finetune "$base" pictures out.safetensors another
check "nothing to resume" fails 1 "cannot open other.safetensors.ckpt" \
    ./finetune "$base" pictures other.safetensors --resume
check "words are missing" fails 2 "give WEIGHTS, DIR and OUT" ./finetune "$base" pictures
check "no such stage" fails 2 "frozen_below is 6 and must lie in 0 to 5" \
    ./finetune "$base" pictures other.safetensors --frozen_below 6
check "the net is the file's" fails 1 "is of another net: base_width is 16 there, 8 here" \
    ./finetune "$base" pictures other.safetensors --base_width 8 --stem_width 0 --widths 0 --outputs 0
# The files of `whole`, beside which another run writes its own.
put_aside() {
    cp whole.safetensors first && cp whole.safetensors.ckpt first.ckpt || return 1
    tune whole.safetensors --epochs 1 --seed 2 >out.txt || return 1
    cmp first whole.safetensors.old && cmp first.ckpt whole.safetensors.ckpt.old && ! cmp first whole.safetensors
}
check "an earlier run is put aside" put_aside
check "an unwritable name, before it trains" fails 1 "cannot write none/out: No such" \
    ./finetune "$base" pictures none/out
check "so nothing was trained" sh -c '! grep parameters said'
check "no pictures" fails 1 "it should have one for each class" ./finetune "$base" base other.safetensors
check "IDX files" fails 0 "epoch 1: loss" ./finetune "$base" "$root/examples/data" other.safetensors --dataset idx \
    --classes 10 --epochs 1 --batch 128

echo "finetune.sh: $checks checks, $failures failed"
[ "$failures" = 0 ]
