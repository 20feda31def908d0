# shellcheck shell=sh disable=SC2034,SC2154
# cores.sh - the processors that the header is compiled for without an operating system, and how; for
# the scripts that read this file. $here is this directory, $work one for what is built.

cores="cortex-m0plus cortex-m4 cortex-m7 cortex-m33 cortex-m55 rv32imafc rv32imac"

# core_flags CORE: of the compiler. All but M0+ and rv32imac compute floats in hardware.
core_flags() {
    case $1 in
    cortex-m4) echo "-mcpu=cortex-m4 -mthumb -mfpu=fpv4-sp-d16 -mfloat-abi=hard" ;;
    cortex-m7) echo "-mcpu=cortex-m7 -mthumb -mfpu=fpv5-d16 -mfloat-abi=hard" ;;
    cortex-m33 | cortex-m55) echo "-mcpu=$1 -mthumb -mfloat-abi=hard" ;;
    cortex-*) echo "-mcpu=$1 -mthumb" ;;
    rv32imafc) echo "-march=rv32imafc -mabi=ilp32f" ;;
    rv32*) echo "-march=$1 -mabi=ilp32" ;;
    esac
}

# tool CORE NAME: gcc, nm, size for it
tool() {
    case $1 in
    rv32*) echo "riscv64-unknown-elf-$2" ;;
    *) echo "arm-none-eabi-$2" ;;
    esac
}

# has_core CORE: is there a compiler with a library?
has_core() {
    command -v "$(tool "$1" gcc)" >/dev/null || return 1
    echo '#include <math.h>' >"$work/try.c"
    # shellcheck disable=SC2046
    "$(tool "$1" gcc)" $(core_flags "$1") $(library "$1") -c -o "$work/try.o" "$work/try.c" 2>/dev/null
}

# library CORE: newlib as small as it comes, or picolibc
library() {
    case $1 in
    rv32*) echo "--specs=picolibc.specs -T $here/riscv.ld" ;;
    *) echo "--specs=nano.specs" ;;
    esac
}

freestanding="-Os -ffreestanding -fno-exceptions -ffunction-sections -fdata-sections -Wall -Wextra -Werror"

# constants: weights and an image as C, and the logits that the computer makes of them
constants() {
    ${CC:-cc} -std=c99 -o "$work/weights" "$here/weights.c" -lm &&
        "$work/weights" "$work/constants.c" >"$work/logits"
}

# smallest CORE LANGUAGE: the smallest program that predicts, linked, but not to run: $work/CORE.elf
smallest() {
    case $2 in c++) language="-x c++ -std=c++11 -fno-rtti" ;; *) language="-x c -std=c99" ;; esac
    # shellcheck disable=SC2046,SC2086
    "$(tool "$1" gcc)" $(core_flags "$1") $(library "$1") $freestanding $language -g -c \
        -o "$work/$1.o" "$here/smallest.c" &&
        "$(tool "$1" gcc)" $(core_flags "$1") -Os -c -o "$work/$1.constants.o" "$work/constants.c" &&
        "$(tool "$1" gcc)" $(core_flags "$1") $(library "$1") -nostartfiles -Wl,--gc-sections \
            -Wl,-e,main -o "$work/$1.elf" "$work/$1.o" "$work/$1.constants.o"
}

# section CORE NAME: bytes of .text or .rodata of what smallest linked
section() {
    "$(tool "$1" size)" -A "$work/$1.elf" | awk -v name="$2" '$1 == name { print $2 }'
}

# constant_bytes CORE: of these in .rodata
constant_bytes() {
    "$(tool "$1" nm)" -S "$work/$1.elf" | while read -r _ size _ name; do
        case $name in weights | statistics | image) echo $((0x$size)) ;; esac
    done | awk '{ sum += $1 } END { print sum + 0 }'
}

# image CORE: the same with start file and run.c, for QEMU's boards of Arm: $work/CORE.image. It has
# 200 KB of RAM in all, of them 4 KB of stack: what needs more does not link.
image() {
    # shellcheck disable=SC2046,SC2086
    "$(tool "$1" gcc)" $(core_flags "$1") $(library "$1") $freestanding -std=c99 \
        -Dmain=not_run -c -o "$work/$1.predict.o" "$here/smallest.c" &&
        "$(tool "$1" gcc)" $(core_flags "$1") $(library "$1") -Os -ffunction-sections -nostartfiles \
            -Wl,--gc-sections -Wl,-T,"$here/../../examples/mcu/mps2.ld" \
            -Wl,--defsym=RAM_BYTES=204800 -Wl,--defsym=STACK_BYTES=4096 -o "$work/$1.image" \
            "$work/$1.predict.o" "$here/run.c" "$here/../../examples/mcu/startup.c" \
            "$work/constants.c"
}

# board CORE: runs it; instructions are exact, see board.h
board() {
    case $1 in cortex-m4) machine=mps2-an386 ;; cortex-m7) machine=mps2-an500 ;; *) return 1 ;; esac
    timeout 120 qemu-system-arm -M "$machine" -display none -icount shift=0 \
        -semihosting-config enable=on,target=native -kernel "$work/$1.image" 2>&1
}
