#!/bin/sh
# wide.sh - the kernels for AVX-512 where there is none: the header, copied with the target of that
# instruction set changed to AVX2, under which a compiler makes two vectors of each. What the code
# computes is tested so, if not the instructions.
#
# tests/wide.sh   (from anywhere; it writes to a temporary directory)

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
if ! grep -q avx2 /proc/cpuinfo 2>/dev/null || grep -q avx512f /proc/cpuinfo; then
    echo "wide: skipped; the kernels for AVX-512 run as they are, or not at all"
    exit 0
fi
mkdir "$work/tests"
cp "$here"/*.c "$here"/*.h "$work/tests"
sed 's/avx512f,avx512bw,avx512dq,avx512vl,fma[a-z0-9=,-]*"/avx2,fma"/
     s/__builtin_cpu_supports("avx512[a-z]*")/__builtin_cpu_supports("avx2")/g' \
    "$here/../resnet.h" >"$work/resnet.h"
if grep -q '"avx512f' "$work/resnet.h"; then
    echo "wide: the header asks for AVX-512 in words that this script does not know"
    exit 1
fi
for test in kernels golden; do
    ${CC:-cc} -std=c99 -O2 -o "$work/$test" "$work/tests/$test.c" -lm -lpthread || exit 1
done
cd "$here" || exit 1
"$work/kernels" && "$work/golden" golden_files/*.safetensors >"$work/log" &&
    grep -q avx512 "$work/log" && tail -1 "$work/log"
