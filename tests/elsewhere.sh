#!/bin/sh
# elsewhere.sh - tests built for other systems, where their compilers are installed, and run here: the
# kernels for AArch64 and its vectors (by qemu-user), those that a pointer's size can spoil with 32
# bits, those of files and data on a big-endian machine (s390x, by qemu-user), and for Windows
# (MinGW-w64, by wine) all examples and tools, of which some run, the kernels, the layers and the
# executors.
#
# tests/elsewhere.sh   (from anywhere; it writes to a temporary directory)

here=$(cd "$(dirname "$0")" && pwd)
warnings="-Wall -Wextra -Werror -Wno-unknown-pragmas" # no OpenMP here
export WINEDEBUG=-all DISPLAY=

# Compiled once for a system, and linked to most of its programs; see the Makefile.
# implementation SYSTEM COMPILER FLAGS...
implementation() {
    object=$work/$1.o
    shift
    # shellcheck disable=SC2086
    "$@" $warnings -std=c99 -O2 -DRESNET_IMPLEMENTATION -x c -c -o "$object" "$here/../resnet.h"
}
declared='-DRNDEF=extern inline __attribute__((gnu_inline))'

# one NAME-SYSTEM RUNNER COMPILER SOURCE [ARGUMENTS...]: builds a program and runs it
one() {
    name=$1 runner=$2 compiler="$3 $warnings -std=c99 -DREDUCED" source=$4 libraries="-lm -lpthread"
    shift 4
    [ "$runner" = - ] && runner=
    case "$name $1" in
    *-aarch64*) whole=-O2 ;; # as its users build it
    *--help) whole=-O0 ;;    # it only starts
    data-* | kernels-* | planner-*) whole=-O1 ;;
    *) whole= ;;
    esac
    # shellcheck disable=SC2086
    if [ "$whole" ]; then $compiler $whole -o "$work/$name.exe" "$source" $libraries
    else
        $compiler -fsyntax-only "$source" &&
            $compiler -w -O1 -fno-inline "$declared" -o "$work/$name.exe" "$source" "$work/${name##*-}.o" $libraries
    fi || return 1
    # shellcheck disable=SC2086
    timeout 600 $runner "$work/$name.exe" "$@"
}

if [ "$1" = one ]; then # one line of the list, called by xargs
    work=$2
    shift 2
    cd "$here" || exit 1
    if one "$@" >"$work/$1.log" 2>&1; then touch "$work/$1.passed"; fi
    exit 0
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
export WINEPREFIX="$work/wine" TMPDIR="$work"
data="../examples/data"
machines=0

# system NAME RUNNER COMPILER FLAGS...: true if programs for it can be built, and its runner is there;
# begins to build the implementation for NAME
system() {
    what=$1 runner=$2
    shift 2
    echo 'int main(void) { return 0; }' >"$work/try.c"
    if { [ "$runner" = - ] || command -v "$runner" >/dev/null; } &&
        "$@" -o "$work/try.exe" "$work/try.c" 2>/dev/null; then
        machines=$((machines + 1))
        [ "$what" = aarch64 ] || implementation "$what" "$@" >"$work/$what.implementation" 2>&1 &
    else
        echo "elsewhere: skipped those for $what, whose compiler or emulator is not installed"
        return 1
    fi
}

{
    if system aarch64 qemu-aarch64 aarch64-linux-gnu-gcc -static >&2; then # first: it runs longest
        arm="'aarch64-linux-gnu-gcc -static -Wpedantic -Wshadow -Wconversion'"
        echo "kernels-aarch64 qemu-aarch64 $arm kernels.c"
    fi
    if system 32 - gcc -m32 >&2; then
        for test in layers files mapped data planner executors features; do
            echo "$test-32 - 'gcc -m32' $test.c"
        done
        echo "pictures-32 - 'gcc -m32' pictures.c pillow.safetensors"
        echo "golden-32 - 'gcc -m32' golden.c golden_files/*.safetensors"
    fi
    if system s390x qemu-s390x s390x-linux-gnu-gcc -static >&2; then
        for test in layers files mapped data; do
            echo "$test-s390x qemu-s390x 's390x-linux-gnu-gcc -static' $test.c"
        done
        echo "pictures-s390x qemu-s390x 's390x-linux-gnu-gcc -static' pictures.c pillow.safetensors"
        echo "golden-s390x qemu-s390x 's390x-linux-gnu-gcc -static' golden.c golden_files/single*"
    fi
    if system windows wine x86_64-w64-mingw32-gcc -static >&2; then
        wine cmd /c exit >/dev/null 2>&1 # makes its directory
        windows="wine 'x86_64-w64-mingw32-gcc -static'"
        for test in layers kernels executors plot; do
            echo "$test-windows wine 'x86_64-w64-mingw32-gcc -static -include windows.h' $test.c"
        done
        for program in ablation by_hand curves finetune landscape lesions predict signals; do
            echo "$program-windows $windows ../examples/$program.c --help"
        done
        echo "hello-windows $windows ../examples/hello.c $data"
        echo "tiny-windows $windows ../examples/tiny.c"
        echo "cifar-windows $windows ../examples/cifar.c --dataset idx --data $data --depth 8" \
            "--iterations 45 --out $work/out"
        echo "convert-windows $windows ../tools/convert.c --help"
        echo "export_onnx-windows $windows ../tools/export_onnx.c --help"
        echo "bench-windows $windows ../tools/bench.c --help"
        echo "plot-tool-windows $windows ../tools/plot.c --help"
        echo "report-windows $windows ../tools/report.c --help"
    fi
    [ $machines -gt 0 ] || echo "elsewhere: no other system's compiler is installed" >&2
} >"$work/list"
wait
cat "$work"/*.implementation 2>/dev/null
cd "$here" || exit 1
sed "s|golden_files/\*.safetensors|$(echo golden_files/*.safetensors)|
     s|golden_files/single\*|$(echo golden_files/single*)|" "$work/list" |
    xargs -P 2 -L 1 "$0" one "$work"

count=0
failures=0
while read -r name line; do
    count=$((count + 1))
    if [ -e "$work/$name.passed" ]; then echo "-- $name: $(tail -1 "$work/$name.log" | tr -d '\r')"; else
        failures=$((failures + 1))
        echo "elsewhere: failed: $name $line"
        tail -20 "$work/$name.log"
    fi
done <"$work/list"
if grep -q '^cifar-windows' "$work/list" && [ "$(wc -l <"$work/out/log.csv")" != 3 ]; then
    failures=$((failures + 1))
    echo "elsewhere: failed: the log that the trainer wrote on Windows:"
    cat "$work/out/log.csv"
fi
echo "elsewhere: $count tests, $failures failed"
[ "$failures" = 0 ]
