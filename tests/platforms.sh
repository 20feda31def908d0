#!/bin/sh
# platforms.sh - the same small training (platforms/train.c) by every compiler and for every machine
# that is installed here: other processors under qemu-user, Windows under wine. Prints a table with
# the first logits of one net, the largest difference of all logits from those of the first row, and
# from how many of the others' files, of which many are the same, each predicted and trained on as they
# did. Fails if one that is there fails or differs; what is not installed is named.
#
# tests/platforms.sh [PART]   (from anywhere; it writes to a temporary directory; PART: only the
#                             platforms whose names contain it, and the first)

here=$(cd "$(dirname "$0")" && pwd)
data=../examples/data # relative: other systems have other names for the root
tolerance=0.001       # of logits of order 1, after two steps; see platforms/train.c
export WINEDEBUG=-all DISPLAY=

# build_and_train NAME RUNNER COMPILER FLAGS...
build_and_train() {
    name=$1 runner=$2
    shift 2
    [ "$runner" = - ] && runner=
    "$@" -o "$work/$name.exe" "$here/platforms/train.c" -lm &&
        timeout 300 $runner "$work/$name.exe" "$data" "$work/$name" >"$work/$name.printed" &&
        tr -d '\r' <"$work/$name.printed" >"$work/$name.logits"
}

# others NAME RUNNER ...: the different files that everybody wrote, read by one
others() {
    name=$1 runner=$2
    [ "$runner" = - ] && runner=
    # shellcheck disable=SC2046
    timeout 300 $runner "$work/$name.exe" "$data" read $(sed "s|^|$work/|" "$work/different") \
        >"$work/$name.largest"
}

if [ "$1" = build_and_train ] || [ "$1" = others ]; then # one line of the list, called by xargs
    part=$1 work=$2
    shift 2
    cd "$here" || exit 1
    if "$part" "$@" >"$work/$1.log" 2>&1; then touch "$work/$1.$part"; fi
    exit 0
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
export WINEPREFIX="$work/wine"
part=$1

# platform NAME RUNNER COMPILER FLAGS...: a line of the list, if compiler and runner are there
platform() {
    name=$1
    case "$name" in gcc | *"$part"*) ;; *) return ;; esac
    for command in "$2" "$3"; do
        [ "$command" = - ] || command -v "$command" >/dev/null || {
            skipped="$skipped $name"
            return
        }
    done
    shift
    runner=$1
    shift
    # A compiler may be there without the libraries that this needs.
    echo '#include <stdio.h>
int main(void) { return 0; }' >"$work/try.c"
    case " $* " in *" c++ "*) ;; *) set -- "$@" -std=c99 ;; esac
    if "$@" -o "$work/try.exe" "$work/try.c" >/dev/null 2>&1; then
        echo "$name $runner $*" >>"$work/list"
    else skipped="$skipped $name"; fi
}

skipped=
plus="-x c++ -std=c++11"
: >"$work/list"
platform gcc - gcc -O2
for version in 9 10 11 12 13 14 15; do
    if [ $version -gt 12 ] || [ $version -lt 11 ]; then command -v gcc-$version >/dev/null || continue; fi
    platform gcc-$version - gcc-$version -O1
done
for version in 13 14 15 16 17 18 19 20 21; do
    if [ $version -gt 16 ] && [ $version != 19 ]; then command -v clang-$version >/dev/null || continue; fi
    platform clang-$version - clang-$version -O1
done
# shellcheck disable=SC2086
{
    platform g++ - g++ $plus -O1
    platform clang++ - clang++ $plus -O1
    platform tcc - tcc
    platform musl - musl-gcc -O1
    platform 32-bits - gcc -m32 -O1
    platform clang-32-bits - clang -m32 -O1
    platform windows wine x86_64-w64-mingw32-gcc -O1 -static -include windows.h
    platform windows-g++ wine x86_64-w64-mingw32-g++ $plus -O1 -static
    platform aarch64 qemu-aarch64 aarch64-linux-gnu-gcc -O1 -static
    platform armv7 qemu-arm arm-linux-gnueabihf-gcc -O1 -static
    platform riscv64 qemu-riscv64 riscv64-linux-gnu-gcc -O1 -static
    platform s390x qemu-s390x s390x-linux-gnu-gcc -O1 -static
    platform short-enums - gcc -O1 -fshort-enums
    platform unsigned-char - gcc -O1 -funsigned-char
    platform fast-math - gcc -O2 -ffast-math
    platform clang-fast-math - clang -O2 -ffast-math
    platform no-simd - gcc -O1 -DRESNET_NO_SIMD
    platform native - gcc -O3 -march=native
    platform double - gcc -O1 -DRESNET_REAL=double
}
[ -d "$work/wine" ] || ! grep -q ' wine ' "$work/list" || wine cmd /c exit >/dev/null 2>&1

failures=0
# fails NAME WORDS: says so, with what it printed
fails() {
    failures=$((failures + 1))
    echo "platforms: failed: $1 $2"
    head -20 "$work/$1.log"
}

xargs -P 2 -L 1 "$0" build_and_train "$work" <"$work/list"
while read -r name rest; do
    if [ -e "$work/$name.build_and_train" ]; then echo "$name"; else fails "$name" "($rest)" >&2; fi
done <"$work/list" >"$work/written"
failures=$(($(wc -l <"$work/list") - $(wc -l <"$work/written")))
while read -r name; do grep "^$name " "$work/list"; done <"$work/written" >"$work/readers"
while read -r name; do
    echo "$(cat "$work/$name.safetensors" "$work/$name.txt" | cksum) $name"
done <"$work/written" | sort -u -k 1,2 | awk '{ print $3 }' >"$work/different"
xargs -P 2 -L 1 "$0" others "$work" <"$work/readers"

# ---- the table -----------------------------------------------------------------------------------

# farthest FILE: the largest difference of its numbers from those of the first platform; -1 if their
# lines do not match
farthest() {
    awk 'NR == FNR { line[FNR] = $0; lines = FNR; next }
         { count++; n = split(line[FNR], first)
           if (n != NF || n < 3 || $1 != first[1] || $2 != first[2]) bad = 1
           for (i = 3; i <= n; i++) {
               if ($i !~ /^-?[0-9]+\.[0-9]+$/) bad = 1
               d = $i - first[i]; if (d < 0) d = -d; if (d > largest) largest = d
           } }
         END { printf "%.6f\n", bad || !lines || count != lines ? -1 : largest }' \
        "$work/gcc.logits" "$1"
}

everybody=$(wc -l <"$work/written")
different=$(wc -l <"$work/different")
printf '%-16s %-58s %-28s %-9s %s\n' platform compiler 'logits (full_preact)' differs 'files of others'
while read -r name runner line; do
    far=$(farthest "$work/$name.logits")
    if [ -e "$work/$name.others" ]; then files="$different ok, within $(tr -d '\r' <"$work/$name.largest")"
    else
        files=failed
        fails "$name" "reading what others wrote"
    fi
    if ! awk -v far="$far" -v most=$tolerance 'BEGIN { exit !(far >= 0 && far <= most) }'; then
        fails "$name" "its logits differ"
    fi
    [ "$runner" = - ] || line="$line, $runner"
    line=$(echo "$line" | sed 's/ -std=[a-z+0-9]*//; s/ -x c++//')
    printf '%-16s %-58s %-28s %-9s %s\n' "$name" "$line" \
        "$(awk 'NR == 1 { print $3, $4, $5 }' "$work/$name.logits")" "$far" "$files"
done <"$work/readers"
[ -z "$skipped" ] || echo "platforms: skipped, for they are not installed:$skipped"
echo "platforms: $(wc -l <"$work/list") tried, $failures failed"
[ "$failures" = 0 ] && [ "$everybody" -gt 1 ] && [ "$different" -gt 0 ]
