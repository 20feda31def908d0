# boards.sh - Cortex-M boards under QEMU, for the scripts that read this file. $root is the project's
# directory, $here that of the tests.

mcu=$root/examples/mcu

choose() { # choose BOARD: its machine, processor and memory, as $machine, $target and $origin
    origin=0x20000000
    case $1 in
    m3) machine=mps2-an385 target="-mcpu=cortex-m3" ;;
    m4) machine=mps2-an386 target="-mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard" ;;
    m7) machine=mps2-an500 target="-mcpu=cortex-m7 -mfpu=fpv5-d16 -mfloat-abi=hard" ;;
    m55)
        machine=mps3-an547 origin=0x30000000
        target="-mcpu=cortex-m55 -mfloat-abi=hard -DBOARD_HERTZ=32000000u
            -Wl,--defsym=FLASH_BYTES=524288 -Wl,--defsym=FLASH_ORIGIN=0x10000000
            -Wl,--defsym=RAM_ORIGIN=$origin"
        ;;
    esac
    target="$target -mthumb -nostartfiles -T $mcu/mps2.ld -I$mcu -ffunction-sections
        -fdata-sections -Wl,--gc-sections"
}

run_on_board() { # run_on_board WORD...: board.elf, on the machine chosen last
    words=
    for word in "$@"; do words="$words,arg=$word"; done
    timeout 120 qemu-system-arm -M "$machine" -icount shift=0 -nographic -monitor none -serial none \
        -semihosting-config "enable=on,target=native$words" -kernel board.elf
}

kernels_on_board() { # kernels_on_board BOARD TEST; newlib's printf wants memory behind ours
    choose "$1"
    # shellcheck disable=SC2086
    arm-none-eabi-gcc -std=c99 -O2 $target --specs=rdimon.specs -Wl,--defsym=RAM_BYTES=393216 \
        -Wl,--defsym=end=$((origin + 393216)) -o board.elf "$here/$2" "$mcu/startup.c" -lm &&
        run_on_board
}

find_boards() { # find_boards NAME BOARD...: those that are there, as $boards; NAME says what is not
    name=$1 boards=
    shift
    if ! command -v arm-none-eabi-gcc >/dev/null || ! command -v qemu-system-arm >/dev/null; then
        echo "$name: skipped boards, for there is no arm-none-eabi-gcc or no qemu-system-arm"
        return
    fi
    for board in "$@"; do
        choose "$board"
        if qemu-system-arm -M help | grep -q "^$machine "; then boards="$boards $board"; else
            echo "$name: skipped $board, for this qemu-system-arm has no $machine"
        fi
    done
}
