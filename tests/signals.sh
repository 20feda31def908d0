#!/bin/sh
# signals.sh - examples/signals at small size: several nets in one table and picture, while they train
# and from files; the same bytes on any number of threads and where others' tables are laid over;
# what it tells of equations (4), (5) and (8); what is refused; and an end by Ctrl-C that keeps what
# was measured. (tests/probes holds the numbers to plain loops.)
#
# tests/signals.sh   (from anywhere; it writes to a temporary directory)

# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"
for program in signals cifar; do
    compile $program "$root/examples/$program.c" || exit 1
done
idx train 105 data
idx t10k 100 data

# signals FLAGS...: of small nets; its words are in out.txt, too
signals() {
    ./signals --data data --depth 14 --base_width 4 --images 8 --batch 25 "$@" >out.txt 2>&1
    status=$?
    cat out.txt
    return $status
}
# rows NET STEP SIGNAL COUNT
rows() {
    found=$(grep -c "^\"$1\",$2,$3," "$5")
    [ "$found" = "$4" ] || { echo "$found rows of $3, not $4"; return 1; }
}

# ---- two nets while they train -----------------------------------------------------------------------

half="shortcut=scale shortcut_scale=0.5"
two() {
    signals --net shortcut=identity --label whole --net "$half" --label half --iterations 6 \
        --every 3 "$@"
}
# titled PICTURE WORDS, untitled PICTURE WORDS: one of its panels is so, none is
titled() { grep -q "<desc>.* [0-9]*: $2; " "$1" || { grep '<desc>' "$1"; return 1; }; }
untitled() { ! titled "$@"; }
check "two nets" two --out two --threads 1
check "how they begin" says "^whole, before training, 6 units:"
check "how they end" says "^half, after 6 steps, 6 units:"
check "is told in the picture" titled two/signals.svg "Input of a unit, before training"
check "and again at the end" titled two/signals.svg "the same, at the end"
check "what norms have learned" titled two/signals.svg "Scales of norms, at the end"
check "histograms" titled two/signals.svg "half, after 6 steps"
check "six units as six points" sh -c 'grep "<desc>" two/signals.svg | grep -q "Input of a unit, before training; [^.]*. line whole, 6 values"'
check "equation (4)" says "(4) stage 1, 2 units: .*: the identity holds"
check "equation (4) of half" says "(4) stage 1, 2 units: .*: it does not hold"
check "equation (5)" says "bit for bit, in 6 of 6 units"
check "equation (8)" says "(8) stage 3: the product of 1 shortcuts' factors is 0.5;"
check "equation (8), measured" says "alone the gradient's norm goes to 0.5 of what it was"
for net in whole half; do
    for step in 0 3 6; do
        check "units" rows $net $step gradient_norm 7 two/signals.csv
        check "norms" rows $net $step norm_scale 13 two/signals.csv
    done
    check "weights" rows $net 3 update_to_weight 14 two/signals.csv
    check "no step behind the last" rows $net 6 update_to_weight 0 two/signals.csv
    check "histograms" rows $net 6 x_density 177 two/signals.csv
done
check "products" rows half 0 product 7 two/signals.csv
check "none of the identity" rows whole 0 product 0 two/signals.csv
check "a picture" grep -q '</svg>' two/signals.svg
check "a manifest" grep -q 'program=signals' two/signals.manifest.txt
check "of these images" sh -c "grep 'checksum=0x[0-9a-f]*[1-9a-f]' two/signals.manifest.txt"
check "with two threads" two --out again --threads 2
check "the same numbers" cmp two/signals.csv again/signals.csv
check "the same picture" cmp two/signals.svg again/signals.svg

# ---- files, tables laid over, inference, gates ------------------------------------------------------

check "a trained net" ./cifar --dataset idx --data data --depth 14 --base_width 4 --batch 25 \
    --epochs 1 --order original --out run
check "from its file" signals --weights run/best.safetensors --out file
check "as it is there" says "^run/best.safetensors, as loaded, 6 units:"
check "in the picture, too" titled file/signals.svg "Input of a unit, as loaded"
check "and of its norms" titled file/signals.svg "Scales of norms, as loaded"
check "and in histograms" titled file/signals.svg "run/best.safetensors, as loaded"
check "nothing of a training" sh -c '! grep -e "before training" -e "at the end" -e "step 0" file/signals.svg'
check "what ReLUs cut" says "share that the ReLU behind the addition cuts: 0\.[0-9]* in the mean"
check "what does not pass" says "lets them not pass"
check "its table" rows run/best.safetensors "[0-9]*" cut 6 file/signals.csv
check "laid over" signals --net "$half" --overlay two/signals.csv --overlay file/signals.csv \
    --out all
check "new and loaded ones" titled all/signals.svg "Input of a unit, before training or as loaded"
check "the trained ones" titled all/signals.svg "Scales of norms, at the end or as loaded"
check "all of them" sh -c "cut -d, -f1 all/signals.csv | sort -u | wc -l | grep -qx 5"
check "tables alone" signals --overlay two/signals.csv --out table
check "as they were" cmp two/signals.csv table/signals.csv
check "two of one name" signals --overlay two/signals.csv --overlay again/signals.csv --out twins
check "apart" rows again/signals.csv:.half 0 gradient_norm 7 twins/signals.csv
check "inference" signals --inference --weights run/best.safetensors --label trained --out infer
check "values" rows trained "[0-9]*" x_norm 7 infer/signals.csv
check "without gradients" rows trained "[0-9]*" gradient_norm 0 infer/signals.csv
for p in 0 0.6; do
    check "in inference" signals --inference --net "stochastic_depth=$p" --label net --out depth$p
    sed -n 's/^"net",0,f_norm,layer1.0,1,//p' depth$p/signals.csv >f_norm$p
done
check "a unit counts as often as it is there" sh -c "paste f_norm0.6 f_norm0 | \
    awk '{ d = \$1 / \$2 - 0.9; good = d < 1e-5 && d > -1e-5 } END { exit !good }'" # the first of six is left out in a tenth of steps
check "gates" signals --net "shortcut=exclusive_gate gate_bias=-6" --label gates --out gates
check "norms that learned nothing are not drawn" untitled gates/signals.svg "Scales of norms.*"
check "openings" says "openings of the gates of F: 0.0[01] in the mean"
check "and of h" says "openings of those of h: \(0.99\|1.00\) in the mean"
check "their histogram" rows gates 0 gate_density 122 gates/signals.csv

check "stages that stay as they are" signals --net frozen_below=2 --iterations 2 --out frozen
check "are measured" rows frozen_below=2 0 gradient_norm 7 frozen/signals.csv
check "a rate at which it diverges" signals --net order=original --iterations 10 --every 2 --lr 1e6 --out far
check "that is told" says "order=original: .* is the first that is not finite"
check "what was measured before is there" rows order=original 0 gradient_norm 7 far/signals.csv

# ---- what is refused, and Ctrl-C --------------------------------------------------------------------

check "no such flag" fails 2 "there is no flag --nets" signals --nets a
check "what tests nothing has no --tta" fails 2 "there is no flag --tta" signals --tta 1
check "no such field" fails 2 "shortcuts" signals --net shortcuts=identity
check "no value" fails 2 "FIELD=VALUE" signals --net shortcut
check "one name twice" fails 2 "two nets are called" signals --net order=original --net order=original
check "a label of nothing" fails 2 "names the --net" signals --label a
check "a label with quotes" fails 2 "has quotes" signals --net order=original --label 'a"b'
many=$(for i in 1 2 3 4 5 6 7; do echo --overlay two/signals.csv; done)
# shellcheck disable=SC2086
check "too many tables" fails 2 "more than 6 files" signals $many
check "more images than there are" fails 2 "there are 105" signals --images 200
check "no table" fails 1 "is no signals.csv" signals --net order=original --overlay data/train-labels-idx1-ubyte
check "before anything was measured" sh -c '! grep units said'
check "no file" fails 1 "cannot" signals --weights none.safetensors
rm -f out.txt
./signals --data data --depth 14 --iterations 100000 --out stopped --images 8 >out.txt 2>&1 &
pid=$!
wait_for out.txt # which tells what was measured before training
kill -s INT $pid
wait $pid
status=$?
pid=
check "Ctrl-C" [ $status = 130 ]
check "what was measured" grep -q '"net",0,x_norm' stopped/signals.csv

echo "signals: $checks checks, $failures failed"
[ $failures = 0 ]
