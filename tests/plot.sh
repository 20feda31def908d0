#!/bin/sh
# plot.sh - tools/plot: what it calls logs, what it refuses, and that Python's parser reads its pictures;
# examples/plot.h for C++ and, where there is MinGW, for Windows.
#
# tests/plot.sh   (from anywhere; it writes to a temporary directory)

# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"
python=/usr/bin/python3
[ -x $python ] || python=python3
warnings='-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror'

# shellcheck disable=SC2086
check "tools/plot compiles" ${CC:-cc} -std=c99 $warnings ${CFLAGS:--O1} -o plot "$root/tools/plot.c" -lm || exit 1

log() { # log DIR: one of three epochs
    mkdir -p "$1"
    printf '%s\n' epoch,iteration,train_loss,train_error,test_loss,test_error,learning_rate \
        "1,10,2,60,2.5,$2,0.1" "2,20,1,30,1.5,40,0.05" "3,30,0.5,20,1,30,0" >"$1/log.csv"
}
log runs/identity 70
log runs/scale 80
log 'other/a & b' 90
cp runs/scale/log.csv named.csv

refused() { # refused STATUS WORDS ARGUMENT...
    status=$1 words=$2
    shift 2
    ./plot "$@" >out 2>err
    [ $? = "$status" ] && grep -F "$words" err
}
shows() { # shows PICTURE WORDS...
    picture=$1
    shift
    for words; do grep -F ">$words</text>" "$picture" || return 1; done
}

check "one log" ./plot runs/identity/log.csv one.svg
check "it shows training, test and the learning rate" shows one.svg identity training test "Learning rate" 'error (%)'
ln -s target.svg link.svg
check "into a link" ./plot runs/identity/log.csv link.svg
check "which stays one" sh -c '[ -L link.svg ] && cmp one.svg target.svg && [ ! -e link.svg.tmp ]'
check "several logs" ./plot --title 'Three & more' runs/identity/log.csv runs//scale//log.csv 'other/a & b/log.csv' \
    named.csv many.svg
check "two without a title" ./plot runs/identity/log.csv named.csv untitled.svg
check "have one" shows untitled.svg Training
check "they have the names of their directories" shows many.svg identity scale 'a &amp; b' named 'Test error' \
    'Three &amp; more' epoch
check "of two with one name the paths" sh -c './plot runs/identity/log.csv named.csv runs/scale/log.csv \
    runs/identity/log.csv same.svg && grep -F ">runs/scale/log.csv</text>" same.svg'
check "iterations" ./plot --x iteration runs/identity/log.csv steps.svg
check "they stand at the axis" shows steps.svg iteration
log runs/scale-seed0 70
log runs/scale-seed10 80
check "seeds of one net" ./plot --seeds runs/scale-seed0/log.csv runs/scale-seed10/log.csv runs/identity/log.csv seeds.svg
check "are one line" grep -F "line scale, 3 values, 75 at 1" seeds.svg
check "in an area" grep -F "band scale, 3 values, 70 at 1 to 30 at 3, least 30, most 80" seeds.svg
check "and their names are not there" sh -c '! grep -F seed0 seeds.svg'
log other/scale-seed0 60
log other/scale-seed10 50
check "two nets of one name" ./plot --seeds runs/scale-seed*/log.csv other/scale-seed*/log.csv seeds.svg
check "are two lines" shows seeds.svg runs/scale/log.csv other/scale/log.csv
check "without the flag" ./plot runs/scale-seed0/log.csv runs/scale-seed10/log.csv two.svg
check "there are two" shows two.svg scale-seed0 scale-seed10
check "the axes of errors end at 25 %" ./plot --most_error 25 runs/scale/log.csv ends.svg
check "and the values of 30 % and more are beyond" sh -c 'grep -F ">25</text>" ends.svg && ! grep -F ">30</text>" ends.svg'
check "no temporary file stays" sh -c '! ls ./*.tmp'
check "help" sh -c './plot --help | grep -F "usage: plot"'

check "one name alone is refused" refused 2 "last the name of the picture" one.svg
check "no log is overwritten" refused 2 "has to end in .svg, not named.csv" runs/scale/log.csv named.csv
check "an end that is none" refused 2 "should be a number from" --most_error 0 named.csv out.svg
check "an unknown flag is refused" refused 2 "there is no flag --y" --y epoch named.csv out.svg
check "a column that is not there" refused 1 "log.csv has no column epochs" --x epochs runs/scale/log.csv out.svg
check "a missing log is named" refused 1 "cannot read missing.csv" missing.csv out.svg
printf 'epoch,test_error\n1,ten\n' >broken.csv
check "a broken log is named" refused 1 "broken.csv, line 2: not a number" named.csv broken.csv out.svg
check "a directory that is not there" refused 1 "cannot write nowhere/out.svg" named.csv nowhere/out.svg
check "nothing was drawn of them" sh -c '! ls out.svg'

if $python -c 'import xml.dom.minidom' 2>/dev/null; then
    check "Python reads them" $python -c '
import sys, xml.dom.minidom
for path in sys.argv[1:]:
    root = xml.dom.minidom.parse(path).documentElement
    assert root.tagName == "svg" and root.getAttribute("role") == "img"
    assert root.getElementsByTagName("title")[0].firstChild.data
    assert "Test error" in root.getElementsByTagName("desc")[0].firstChild.data or path == "one.svg"
' one.svg many.svg
else
    echo "plot: skipped reading by Python, which is not there"
fi

cat >figure.c <<END
#include "$root/examples/plot.h"
int main(void) {
    const double x[] = {1, 2}, y[] = {1, 2};
    plot_axis axis = {"x", 0, 0, 0};
    plot *p = plot_begin("Figure", 1);
    plot_panel(p, "Panel", axis, axis);
    plot_line(p, "line", x, y, 2);
    return plot_save(p, "figure.svg") != 0;
}
END
cxx=$(echo "${CC:-cc}" | sed 's/gcc/g++/; s/clang/clang++/; s/^cc$/c++/')
if $cxx --version >/dev/null 2>&1; then
    # shellcheck disable=SC2086
    check "C++11 compiles plot.h" $cxx -x c++ -std=c++11 $warnings -o figure figure.c -lm
    check "and its figure is there" sh -c './figure && grep -F "<title>Figure</title>" figure.svg'
else
    echo "plot: skipped C++, for there is no $cxx"
fi
mingw=x86_64-w64-mingw32-gcc
if $mingw --version >/dev/null 2>&1; then
    # shellcheck disable=SC2086
    check "MinGW compiles tools/plot" $mingw -std=c99 $warnings -o plot.exe "$root/tools/plot.c" -lm
else
    echo "plot: skipped Windows, for there is no $mingw"
fi

echo "plot.sh: $checks checks, $failures failed"
[ "$failures" = 0 ]
