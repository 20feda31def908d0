#!/bin/sh
# lesions.sh - examples/lesions and examples/landscape as programs: two nets are trained, damaged and
# surrounded; runs that were stopped go on to the same files, on any number of threads; other weights
# begin anew; what cannot be is refused with a reason.
#
# tests/lesions.sh   (from anywhere; it writes to a temporary directory)

# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"
for program in lesions landscape; do
    compile $program "$root/examples/$program.c" || exit 1
done
data="--data $root/examples/data --threads 1"

# trains: two nets of four units, of which one has no shortcuts
trains() {
    # shellcheck disable=SC2086
    ./landscape --train $data --block single --depth 0 --units 2,3 --base_width 4 --iterations 150 --batch 25 \
        --lr 0.05 --points 5 --images 60 --out nets >out.txt || { cat out.txt; return 1; }
    grep '^60 training images, 5 x 5 points from -1 to 1' out.txt &&
        grep '^To be measured: 50 losses, those of the points around 2 nets$' out.txt &&
        grep '^nets/identity/last.ckpt: loss [0-9.]* in the middle' out.txt &&
        grep '^nets/plain/last.ckpt: loss' out.txt && [ "$(wc -l <nets/landscape.csv)" = 51 ] &&
        grep 'panels. 1: 1: ResNet-[0-9]*, block single;' nets/landscape.svg &&
        grep ' 2: 2: ResNet-[0-9]*, block single, shortcut scale 0 (plain);' nets/landscape.svg
}

# other FLAGS...: nets that are there are not taken for those of other flags
other() {
    # shellcheck disable=SC2086
    fails 2 "$1" ./landscape --train $data --block single --depth 0 --units 2,3 --base_width 4 --iterations 150 \
        --batch 25 --lr 0.05 --points 5 --images 60 --out nets $2
}

# stopped PROGRAM CSV ARGUMENTS...: it is interrupted once it has written three rows, and has said by
# then what it measures
stopped() {
    command=$1 csv=$2
    shift 2
    # shellcheck disable=SC2086
    "./$command" "$@" $data >out.txt 2>&1 &
    pid=$!
    tries=0
    until [ -s "$csv" ] && [ "$(wc -l <"$csv")" -gt 3 ]; do
        tries=$((tries + 1))
        [ $tries -lt 3000 ] || return 1
        sleep 0.02
    done
    grep '^To be measured: ' out.txt
    told=$?
    kill -TERM $pid
    wait $pid
    status=$?
    pid=
    cat out.txt
    [ $told = 0 ] && [ $status = 143 ] && grep 'stopped; the same command goes on' out.txt
}

# same A B NAME...: these files of two directories are equal
same() {
    first=$1 second=$2
    shift 2
    for name; do cmp "$first/$name" "$second/$name" || return 1; done
}

net=nets/identity/last.ckpt
wide="--points 13 --images 60"
landscape_goes_on() {
    # shellcheck disable=SC2086
    ./landscape $net $wide $data --out once >once.txt && stopped landscape twice/landscape.csv $net $wide --out twice &&
        ./landscape $net $wide $data --threads 2 --out twice >twice.txt && same once twice landscape.csv landscape.svg
}
finer() { # the points of a coarser grid are there already
    # shellcheck disable=SC2086
    ./landscape $net --points 5 --images 60 $data --out once >out.txt && same once twice landscape.csv
}
anew() {
    # shellcheck disable=SC2086
    ./landscape $net --points 3 --images 60 --seed 1 $data --out once >out.txt && grep 'once/landscape.csv.old' out.txt &&
        cmp once/landscape.csv.old twice/landscape.csv && [ "$(wc -l <once/landscape.csv)" = 10 ]
}
between() {
    # shellcheck disable=SC2086
    ./landscape nets/identity/best.safetensors $net --points 3 --images 60 $data --out line >out.txt &&
        [ "$(grep -c ',between,' line/landscape.csv)" = 3 ] &&
        grep '^To be measured: 21 losses, .* 2 nets, and on the line between them$' out.txt &&
        grep 'From the first net' line/landscape.svg
}

most="--images 300 --draws 2 --paths 3 --path_images 4"
finds() {
    # shellcheck disable=SC2086
    ./lesions $net $most $data --out whole >whole.txt || { cat whole.txt; return 1; }
    cat whole.txt
    sed -n '2,3p' whole.txt >told.txt
    grep '^To be measured: 18 nets on 300 test images each (the whole one, 5 with one unit' told.txt &&
        grep '^12 with several left out or swapped), and 21 gradients of 4 training images$' told.txt || return 1
    grep 'layer1.0,1,' whole/lesions.csv && [ "$(grep -c ',unit,1,' whole/lesions.csv)" = 5 ] &&
        [ "$(grep -c ',set,' whole/lesions.csv)" = 10 ] && [ "$(grep -c ',swap,' whole/lesions.csv)" = 2 ] &&
        [ "$(wc -l <whole/paths.csv)" = 22 ] && grep '^One unit left out costs' whole.txt &&
        grep '^Of 2^5 paths' whole.txt && grep 'Gradient by one path' whole/lesions.svg
}
lesions_go_on() {
    # shellcheck disable=SC2086
    stopped lesions part/lesions.csv $net $most --out part && ./lesions $net $most $data --threads 2 --out part >part.txt &&
        same whole part lesions.csv paths.csv lesions.svg || return 1
    sed '2,3d' whole.txt >all # but for what is still to be measured
    sed '2,3d; s/ in part$/ in whole/' part.txt | diff all -
}
# Its whole net is the one that the trainer tested.
plain() {
    # shellcheck disable=SC2086
    ./lesions nets/plain/last.ckpt --draws 1 --most 1 $data --out plain >plain.txt || { cat plain.txt; return 1; }
    cat plain.txt
    error=$(tail -1 nets/plain/log.csv | cut -d, -f6)
    grep '^nets/plain/last.ckpt: ResNet-[0-9]*, block single, shortcut scale 0 (plain), 5 units' plain.txt &&
        grep '<title>ResNet-[0-9]*, block single, shortcut scale 0 (plain), nets/plain/last.ckpt: lesions</title>' \
            plain/lesions.svg && grep ",whole,0,0,,1,.*,$error\$" plain/lesions.csv && [ "$(grep -c ',unit,1,' plain/lesions.csv)" = 3 ] &&
        ! grep ',layer[12].0,' plain/lesions.csv && grep 'a net without shortcuts has only one' plain.txt
}
# Of units that cost as much as others, too, the worst is told first.
worst_first() {
    # shellcheck disable=SC2086
    ./lesions $net --images 7 --draws 0 --paths 0 $data --out few >few.txt || { cat few.txt; return 1; }
    cat few.txt few/lesions.csv
    told=$(sed -n 's/^The worst: \([^ ]*\) .*/\1/p' few.txt)
    awk -F, -v told="$told" '$2 == "unit" { if ($8 > most) most = $8; if ($5 == told) its = $8 }
        END { exit !(its == most && most > 0) }' few/lesions.csv
}
narrow() { # has more ticks than the one in the middle
    # shellcheck disable=SC2086
    ./landscape $net --points 3 --range 0.5 --images 60 $data --out narrow >out.txt && grep '>0.5</text>' narrow/landscape.svg
}
check "landscape trains two nets and goes around them" trains
check "the same nets are there already" trains
check "and are not trained again" sh -c '! ls nets/*/log.csv.old'
check "not with another rate" other "identity/last.ckpt was trained by other flags" "--lr 0.04"
check "nor another length" other "was trained by other flags" "--iterations 200"
check "nor another momentum" other "was trained by other flags" "--momentum 0.5"
check "nor other crops" other "is of a run with another --batch, --pad" "--pad 1"
check "a landscape that was stopped goes on to the same bytes" landscape_goes_on
check "a grid within another is there already" finer
check "another seed begins anew" anew
check "two nets of one description, and the line between them" between
check "lesions of a net with shortcuts" finds
check "lesions that were stopped go on to the same bytes" lesions_go_on
check "lesions of a plain net" plain
check "the worst unit" worst_first
check "a landscape of a small range" narrow
check "lesions without weights" fails 2 "give the file of WEIGHTS" ./lesions
check "weights that are not there" fails 1 "nowhere" ./lesions nowhere
check "other pictures" fails 1 "cannot open ./cifar-10-batches-bin" ./lesions $net --dataset cifar10 --data .
check "an even grid" fails 2 "points is even" ./landscape $net --points 4
check "a training's flag without it" fails 2 "give --train" ./landscape $net --lr 1
check "a shortcut for both nets" fails 2 "identity shortcuts and one with none; leave --shortcut=conv1x1 out" \
    ./landscape --train --shortcut=conv1x1
for factor in shortcut_scale residual_scale; do
    check "a $factor for both nets" fails 2 "leave --$factor out" ./landscape --train --$factor 0.5
done
check "help of lesions" fails 0 "usage: lesions" ./lesions --help
check "help of landscape" fails 0 "usage: landscape" ./landscape --help

echo "lesions.sh: $checks checks, $failures failed"
[ "$failures" = 0 ]
