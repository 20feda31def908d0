#!/bin/sh
# tour.sh - the tour in examples/README.md, as it stands there but shorter, in a copy of what a clone
# has: every command ends well, and every picture that an experiment names is there and whole. And the
# changes in examples/change: each fits the header line by line, is applied to it as its text says, and
# passes its gradient check, which a wrong derivative fails; all together they pass the check of the fast
# layers and train.
#
# tests/tour.sh   (from anywhere; it writes to a temporary directory)

# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"
LC_ALL=C
CC=${CC:-cc}
CFLAGS=${CFLAGS:--O0} # compiling takes longer than running
OMP_WAIT_POLICY=passive
export LC_ALL CC CFLAGS OMP_WAIT_POLICY
project=$work/project
mkdir "$project" "$project/tests" "$project/tools" "$project/examples" "$work/text"
cp -R "$root/resnet.h" "$project"
cp "$root"/tests/Makefile "$root"/tests/*.[ch] "$project/tests"
cp -R "$root"/tools/Makefile "$root"/tools/*.[ch] "$root/tools/kernels" "$project/tools"
cp -R "$root"/examples/Makefile "$root"/examples/*.mk "$root"/examples/*.[ch] "$root/examples/data" \
    "$root/examples/change" "$project/examples"
cd "$project" || exit 1
cp resnet.h "$work/original.h"

# Of the pictures the first 100 and 40: fewer NAME COUNT (in octal)
fewer() {
    for file in "examples/data/$1-images-idx3-ubyte 8 784" "examples/data/$1-labels-idx1-ubyte 4 1"; do
        # shellcheck disable=SC2086
        set -- "$1" "$2" $file
        { head -c 4 "$3"; printf '\000\000\000\'"$2"; tail -c +9 "$3" | head -c $((($4 == 8) * 8 + $5 * 0$2)); } \
            >"$work/file" && cp "$work/file" "$3"
    done
}
fewer train 144
fewer t10k 50

# ---- the text

# N.sh: the commands of the section whose heading begins with N; N.txt: its words. 0 is what stands
# before the first, end what follows them; a section of a change has the name of its first diff.
awk -v into="$work/text/" '
    /^## / { inside = /[Tt]our|Change it/; n = /Change it/ ? "change" : 0 }
    !inside { next }
    /^### / { n = $2 + 0 > 0 ? $2 + 0 : /change\// ? $NF : "end"; gsub(/.*change\/|\.diff.*/, "", n) }
    /^```/ { commands = /^```sh/; next }
    { print >(into n (commands ? ".sh" : ".txt")) }
' "$root/examples/README.md"
experiments=$(ls "$work/text" | sed -n 's/^\([1-9][0-9]*\)\.sh$/\1/p' | sort -n)

# shorten N SED...: applies these to the commands of N. Each has something to do, or the text has
# changed and this must follow.
shorten() {
    commands=$work/text/$1.sh
    shift
    for words; do
        sed "$words" "$commands" >"$work/shorter"
        cmp -s "$work/shorter" "$commands" && echo "nothing to do for $words" && return 1
        cp "$work/shorter" "$commands"
        sed "$words" "${commands%sh}txt" >"$work/shorter" && cp "$work/shorter" "${commands%sh}txt"
    done
}

# Pictures that the words of N name.
pictures_of() { grep -o '`tour/[^`*]*\.svg`' "$work/text/$1.txt" | tr -d '`' | sort -u; }

# A picture with a begin, an end and no number missing; what plot.h writes is looked at by plot.
is_whole() {
    head -c 100 "$1" | grep -q '<svg' && tail -c 10 "$1" | grep -q '</svg>' &&
        ! grep -q -i '="[^"]*\(nan\|inf\)[ ",]' "$1" && return 0
    echo "$1 is no whole picture"
    return 1
}

experiment() { # experiment N: its commands, and its pictures
    sh -e "$work/text/$1.sh" || return 1
    for picture in $(pictures_of "$1"); do is_whole "$picture" || return 1; done
}

# ---- the changes

# What a student gets wrong: words of the diff, and others that compile as well.
wrong_leaky_relu='s/rn__leak(RN__DX, &s->dy, &s->y/rn__leak(RN__DX, \&s->dy, \&s->dy/'
wrong_squeeze_excitation='s/accumulate_dz || row != h || column != w/accumulate_dz/'

# fits NAME: its lines are where it says, or GNU patch would leave a copy of the header behind
fits() {
    patch --dry-run -p1 <"examples/change/$1.diff" >"$work/said" 2>&1 &&
        ! grep -q -i -e offset -e fuzz "$work/said" && return 0
    cat "$work/said"
    echo "make examples/change/$1.diff anew: diff -u of resnet.h without and with the change"
    return 1
}

# passes NAME: applied as its text says, it passes its gradient check
passes() {
    sed -n 's/ gradients executors/ gradients/; /^patch -p1/p; /gradients/p' "$work/text/$1.sh" >"$work/alone"
    grep -q '^patch' "$work/alone" && grep -q '^tests/gradients --only' "$work/alone" &&
        CFLAGS="$CFLAGS -DREDUCED" sh -e "$work/alone"
}

# fails_for NAME SED: the check fails for the gradient, and says of which weight
fails_for() {
    sed "$2" resnet.h >"$work/wrong.h"
    cmp -s resnet.h "$work/wrong.h" && echo "nothing to do for $2" && return 1
    cp resnet.h "$work/right.h"
    cp "$work/wrong.h" resnet.h
    CFLAGS="$CFLAGS -DREDUCED" make -C tests gradients &&
        ! sh -e -c "$(grep '^tests/gradients' "$work/alone")" >"$work/wrong" 2>&1 && grep '[.]\(weight\|bias\): .*; limit' "$work/wrong"
    failed=$?
    cp "$work/right.h" resnet.h
    return $failed
}

# undone NAME: the header is as it was, and nothing else is left
undone() {
    sh -e -c "$(grep '^patch -R' "$work/text/$1.sh")" && cmp resnet.h "$work/original.h" &&
        ! find . -name '*.orig' -o -name '*.rej' | grep .
}

# Of all three texts the lines behind the gradient's, once all are applied.
together() {
    for change in $changes; do
        sh -e -c "$(grep '^patch -p1' "$work/text/$change.sh")" || return 1
    done
    for change in $changes; do
        sed 's/ gradients executors/ executors/; /^patch/d; /^tests.gradients/d' "$work/text/$change.sh"
    done >"$work/all"
    sh -e "$work/all"
}

# ---- what is checked

changes="leaky_relu my_order squeeze_excitation"
sequence="1 2 3 4 5 6 7 8 9 10 11 12"
has() { [ "$(echo $2)" = "$1" ] || { echo "$2, not $1"; return 1; }; }
check "twelve experiments" has "$sequence" "$experiments"
for n in $experiments; do check "experiment $n names a picture" [ -n "$(pictures_of "$n")" ]; done
check "every change has its text" has "$(echo examples/change/*.diff | sed 's/examples.change.//g; s/\.diff//g')" "$changes"


tiny='s/--data examples\/data/& --base_width 4 --batch 20/'
small='s/--depth 56/--depth 14/; s/--base_width 8/--base_width 4/; s/--batch 32/--batch 20/; s/--epochs 2/--iterations 2/'
check "shorter 2" shorten 2 "$tiny" 's/--recipe fast/& --epochs 2/'
check "shorter 4" shorten 4 "$tiny" 's/--epochs 6/--epochs 1/' 's/in 20 56/in 8 14/; s/n20/n8/g; s/n56/n14/g; s/l20/l8/g; s/l56/l14/g'
for n in 5 9 10; do check "shorter $n" shorten $n 's/residual56/residual14/g; s/plain56/plain14/g'; done
check "shorter 6" shorten 6 "$small" 's/$/ --images 20/;s/\\ --images 20/--images 20 \\/'
for n in 7 8; do check "shorter $n" shorten $n "$small" 's/--table/--dataset idx --data examples\/data --table/'; done
check "shorter 9" shorten 9 's/--images 500 --draws 3 --most 10/--images 20 --draws 1 --most 2 --paths 1 --path_images 4/'
check "shorter 10" shorten 10 's/--points 13 --images 200/--points 3 --images 20/'
check "shorter 11" shorten 11 "$tiny" 's/--epochs 6/--epochs 1/' 's/--depth 56/--depth 14/' 's/residual56/residual14/'
check "shorter 12" shorten 12 's/--depth 1001 --base_width 4 --batch 32/--depth 11 --base_width 4 --batch 20/' 's/--iterations 60 --every 5/--iterations 4 --every 2/'
check "shorter report" shorten end 's/l56/l14/; s/n56/n14/'
for change in $changes; do check "shorter $change" shorten "$change" "$tiny" 's/--epochs 4/--epochs 1/' 's/--batch 64/--batch 20/'; done

check "what it takes is built" sh -e "$work/text/0.sh"
for n in $experiments end; do check "experiment $n" experiment "$n"; done
cp -r tour/thousand thousand
check "curves that cannot begin" fails 2 "pad is 32" examples/curves --dataset idx --data examples/data --depth 11 \
    --pad 32 --out tour/thousand
check "leave the earlier ones" diff -r thousand tour/thousand
check "no number of an image" fails 2 "usage: by_hand" examples/by_hand 5x
for change in $changes; do
    check "$change fits" fits "$change"
    check "$change" passes "$change"
    eval "wrong=\${wrong_$change:-}"
    [ -z "$wrong" ] || check "$change, done wrong" fails_for "$change" "$wrong"
    check "$change undone" undone "$change"
done
CFLAGS=-O1
check "all changes together" together
# The report has no words for an order that is not its own, but its name.
reported() {
    make -s -C tools report && tools/report --out mine.html tour/mine && grep -q '; order: my_order; shortcut: ' mine.html
}
check "a report of an order of one's own" reported

echo "tour: $checks checks, $failures failed"
[ "$failures" = 0 ]
