#!/bin/sh
# freestanding.sh - the header as a library on small machines: RESNET_SMALL for Cortex-M0+, M4, M7,
# M33, M55 and two RV32, in C and C++, where their compilers are installed. No allocator, no printing,
# no double, no libm and no random numbers are linked; on the M4 the code takes 24 KB at most. On
# boards of QEMU a ResNet-8 with its weights in flash computes what the computer does, in 200 KB of
# RAM and less than 4 KB of stack. And small nets of every kind, on this computer, compute with
# RESNET_SMALL what they compute without.
#
# tests/freestanding.sh   (from anywhere; it writes to a temporary directory)

# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"
here=$here/freestanding
# shellcheck source=freestanding/cores.sh
. "$here/cores.sh"

# clean CORE: nothing is linked that has no business there
clean() {
    "$(tool "$1" nm)" "$work/$1.elf" >"$work/symbols" && [ -s "$work/symbols" ] || return 1
    awk '{ print $NF }' "$work/symbols" | grep -E \
        '^(__aeabi_d.*|__aeabi_[a-z0-9]*2d|__[a-z]+df[0-9a-z]*|_?(malloc|calloc|realloc|free|sbrk)(_r)?|.*printf.*|(sqrt|exp|log|pow|cos|sin|floor|ceil|fabs|fmax)f?|rn_random|rn_normal|rn_uniform|rn__draw)(\.[a-z0-9.]+)?$' \
        >"$work/found"
    [ ! -s "$work/found" ] || {
        cat "$work/found"
        false
    }
}

# at_most NUMBER LIMIT
at_most() {
    echo "$1, and $2 at most"
    [ "$1" -le "$2" ]
}

# near FILE FILE: the logits of both, in millionths, agree within 1e-5 of the largest
near() {
    [ "$(grep -c '^logit' "$1")" = 10 ] || {
        cat "$1"
        return 1
    }
    grep -h '^logit' "$1" "$2" | awk '
        { value[NR] = $2; size = $2 < 0 ? -$2 : $2; if (size > largest) largest = size }
        END {
            for (i = 1; i <= NR / 2; i++) {
                difference = value[i] - value[i + NR / 2]
                if (difference < 0) difference = -difference
                if (difference > 1e-5 * largest) { print "logit", i, "differs by", difference; bad = 1 }
            }
            exit bad || NR != 20
        }'
}

told() { awk -v what="$2" '$1 == what { print $2 }' "$1"; } # told FILE WHAT

check "weights and an image" constants || exit 1
# smallest.c takes what 32 bits need; on a computer of 64 some pointers more
host() {
    ${CC:-cc} -std=c99 -Dmain=not_run -DMEMORY_BYTES=300000 -c -o "$work/predict.o" \
        "$here/smallest.c" &&
        ${CC:-cc} -std=c99 -o "$work/computer" "$here/run.c" "$here/../../examples/mcu/pc.c" \
            "$work/predict.o" "$work/constants.c" -lm && "$work/computer" >"$work/computer.out"
}
check "the small build on this computer" host
check "the small build computes what the whole header does" near "$work/computer.out" "$work/logits"

built=
for core in $cores; do
    if ! has_core "$core"; then
        echo "freestanding: skipped $core, for which no compiler is installed"
        continue
    fi
    for language in c c++; do
        case $language$core in c++*plus | c++*m7 | c++*33 | c++*55 | c++rv32imac) continue ;; esac
        check "$core, $language" smallest "$core" $language || continue
        check "$core, $language: what is linked" clean "$core"
    done
    built="$built $core"
done
case $built in *cortex-m4*)
    check "code on the M4" at_most "$(section cortex-m4 .text)" 24576
    ;;
esac
for core in cortex-m4 cortex-m7; do
    case $built in *$core*) ;; *) continue ;; esac
    if ! command -v qemu-system-arm >/dev/null; then
        echo "freestanding: skipped running on $core: qemu-system-arm is not installed"
        continue
    fi
    check "$core: an image in 200 KB of RAM" image $core || continue
    check "$core: it runs" board $core
    cp "$work/log" "$work/$core.out"
    check "$core: logits" near "$work/$core.out" "$work/computer.out"
    check "$core: stack" at_most "$(told "$work/$core.out" stack)" 4095
done

check "footprint knows no other processor" fails 2 "there is no cortex_m4" "$root/tools/footprint" cortex_m4

# Nets of every kind, by two builds on this computer.
kinds() {
    ${CC:-cc} -std=c99 "$@" -o "$work/kinds" "$here/kinds.c" -lm && "$work/kinds"
}
check "nets of every kind, small" kinds -DRESNET_SMALL && cp "$work/log" "$work/kinds.small"
check "nets of every kind, whole" kinds && cp "$work/log" "$work/kinds.whole"
same_nets() {
    paste "$work/kinds.small" "$work/kinds.whole" | awk '
        $1 != $3 || !NF { print; bad = 1 }
        $2 == "refused" { refused++; next }
        { compared += $1 ~ /:/; d = $2 - $4; if (d < 0) d = -d; if (d > 20) { print; bad = 1 } }
        $1 !~ /:/ && $2 == 0 { print; bad = 1 } # of a logit
        END { exit bad || NR < 200 || !refused || compared < refused }' # in millionths of the largest logit, or of a sum
}
check "they compute the same" same_nets
check "what small builds refuse" kinds -DRESNET_SMALL -DREFUSED

# Files of different flags: enums are as large in all, and another scalar type is not linked.
mixed() {
    ${CC:-cc} -std=c99 "$1" -DRESNET_IMPLEMENTATION -c -o "$work/one.o" "$here/mixed.c" &&
        ${CC:-cc} -std=c99 "${2:--O0}" -c -o "$work/two.o" "$here/mixed.c" &&
        ${CC:-cc} -o "$work/mixed" "$work/one.o" "$work/two.o" -lm && "$work/mixed"
}
check "a file with -fshort-enums, one without" mixed -fshort-enums
check "a file with float by name, one by default" mixed -DRESNET_REAL=float
refuses() {
    if mixed "$@" >"$work/linker" 2>&1; then return 1; fi
    grep 'rn_create_of_RESNET_REAL_double' "$work/linker"
}
check "a file in float, one in double" refuses -DRESNET_REAL=float -DRESNET_REAL=double

echo "freestanding: $checks checks, $failures failed"
[ "$failures" = 0 ]
