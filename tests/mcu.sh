#!/bin/sh
# mcu.sh - training on a microcontroller, examples/mcu, by QEMU: a Cortex-M4 and a Cortex-M7 give the
# losses of this computer; a power cut at any moment costs steps, but no bit of the parameters; the
# linker refuses what does not fit 256 KB and 64 KB; the stack suffices.
#
# tests/mcu.sh   (from anywhere; it writes to a temporary directory)

# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"

# With a compiler that only notes what it is to link: another net is built, even an older one.
cat >note <<'END'
#!/bin/sh
echo "$*" | sed -n 's/.* predict\.c \([^ ]*\) .*/\1/p' >>"$NOTES"
while [ $# -gt 1 ]; do
    [ "$1" != -o ] || : >"$2"
    shift
done
END
chmod +x note
echo 'int net_predict(const float *' >old.c
cp old.c new.c
touch -t 202001010000 old.c
chosen() {
    for net in new old old new; do
        NOTES=$work/notes make -s -C "$root/examples/mcu" predict NET="$work/$net.c" OUT="$work/board" \
            ARM_CC="$work/note" QEMU=true || return 1
    done
    sed 's/.*\///' notes | tr '\n' ' ' | grep -x 'new.c old.c new.c '
}
check "the net that is named" chosen
[ $failures = 0 ] || exit 1

for command in "${ARM_CC:=arm-none-eabi-gcc}" "${QEMU:=qemu-system-arm}"; do
    command -v "$command" >/dev/null && continue
    echo "mcu: skipped, there is no $command"
    exit 0
done

mcu() { make -s -C "$root/examples/mcu" OUT="$work" CC="${CC:-cc}" ARM_CC="$ARM_CC" QEMU="$QEMU" "$@"; }

# ---- the same losses, and memory -------------------------------------------------------------------

check "the losses of a computer, of Cortex-M4 and -M7" mcu -j2 pc PC_STEPS=5 || exit 1
cat "$work/log"

# stack NAME: the program tells what it used, and that it was less than there is
stack() {
    sed -n 's/.*; stack \([0-9]* of [0-9]*\)$/\1/p' "$work/$1.txt" | tee "$work/stack"
    awk '{ good = NF == 3 && $1 > 0 && $1 + 256 <= $3 } END { exit NR != 1 || !good }' "$work/stack"
}
for name in train_m4 train_m7 finetune_m4; do
    check "the stack of $name" stack "$name"
    echo "$name: $(cat "$work/stack") bytes of stack"
done

check "training links in 256 KB" mcu "$work/train_m4"
check "fine-tuning links in 64 KB" mcu "$work/finetune_m4"
# refused NAME BYTES: does not link with less
refused() {
    rm -f "$work/$1"
    mcu "$work/$1" "RAM_${1%_*}=$2" >"$work/words" 2>&1 && return 1
    grep "region .RAM. overflowed" "$work/words"
}
cp "$work/train_m4" "$work/kept"
check "240 KB are too few for training" refused train_m4 245760
check "56 KB are too few for fine-tuning" refused finetune_m4 57344
mv "$work/kept" "$work/train_m4"

# ---- power cuts ------------------------------------------------------------------------------------

cd "$work" || exit 1

# on_board WORDS...: training on the Cortex-M4
on_board() { mcu run WORDS="test=0 $*"; }
on_pc() { ./train_pc test=0 "$@"; }
sum() { sed -n 's/^checksum of the parameters: //p' "$1"; }

# same A B: both runs came to their end, with the same parameters
same() { [ -n "$(sum "$1")" ] && [ "$(sum "$1")" = "$(sum "$2")" ]; }

# resumed WHERE STEP WORDS...: a run on a board or computer that goes on behind that step (0: starts
# again) and ends as the one without a cut
resumed() {
    where=$1 step=$2
    shift 2
    "$where" "$@" >resumed.txt || return 1
    if [ "$step" = 0 ]; then ! grep resumed resumed.txt; else grep -x "resumed behind step $step" resumed.txt; fi &&
        same "whole_$where.txt" resumed.txt
}

# cut WHERE WORDS...: the power goes
cut_at() {
    where=$1
    shift
    "$where" "$@" >cut.txt 2>&1 && return 1
    grep "^power cut" cut.txt
}

on_board steps=4 save=2 >whole_on_board.txt
check "the stack, with checkpoints" stack whole_on_board
check "a whole run on the board" test -n "$(sum whole_on_board.txt)"
check "the power goes between two checkpoints" cut_at on_board steps=4 save=2 cut=3 "flash=$work/chip"
cp chip copy
check "the run goes on to the same bits" resumed on_board 2 steps=4 save=2 "flash=$work/chip"
check "and on a computer from the board's checkpoint" sh -c \
    './train_pc test=0 steps=4 flash=copy >out.txt && grep -x "resumed behind step 2" out.txt'
rm -f chip
# A slot of 80 KB is erased, some 70 KB are written: here in the second checkpoint.
check "the power goes while it saves" cut_at on_board steps=4 save=1 cut_bytes=240000 "flash=$work/chip"
check "what was saved before is whole" resumed on_board 1 steps=4 save=1 "flash=$work/chip"

# On the computer, which is quicker, all over three checkpoints, byte by byte at the end of one.
on_pc steps=4 save=1 >whole_on_pc.txt
check "a whole run on the computer" test -n "$(sum whole_on_pc.txt)"

# cut_anywhere BYTES: then it goes on behind the last step that was saved
cut_anywhere() {
    rm -f chip
    cut_at on_pc steps=4 save=1 cut_bytes="$1" flash=chip || return 1
    last=$(sed -n 's/^step \([0-9]*\) of.*/\1/p' cut.txt | tail -1)
    resumed on_pc $((last - 1)) steps=4 save=1 flash=chip
}
at=0
while [ $at -lt 600000 ]; do
    check "the power goes behind $at bytes" cut_anywhere $at
    at=$((at + 37717))
done
low=81920 high=163840 # the first checkpoint ends between them: the power goes before that, or step 2
while [ $((high - low)) -gt 1 ]; do
    at=$(((low + high) / 2))
    cut_at on_pc steps=4 save=1 cut_bytes=$at flash= >/dev/null || break
    if grep -q "^step 2" cut.txt; then high=$at; else low=$at; fi
done
check "the end of a checkpoint is found" [ $((high - low)) = 1 ]
check "within those bounds" [ $low -gt 81920 ]
for at in $((low - 9)) $((low - 4)) $((low - 1)) $low $high; do
    check "the power goes behind $at bytes, at the end of a checkpoint" cut_anywhere "$at"
done

# A newest checkpoint that is damaged: the one before it counts.
rm -f chip
check "the power goes behind two checkpoints" cut_at on_pc steps=4 save=1 cut=3 flash=chip
printf '\000\000\000\000' | dd of=chip bs=1 seek=$((81920 + 50000)) conv=notrunc 2>/dev/null
check "a damaged checkpoint is refused, the older one loads" resumed on_pc 1 steps=4 save=1 flash=chip
check "and the reason is told" grep "the checkpoint" resumed.txt
check "another length of the run" sh -c './train_pc steps=5 flash=chip >out.txt; [ $? = 1 ] && grep "another steps=" out.txt'
check "a word that it does not know" fails 1 "it takes steps=" ./train_pc stepps=1
check "no number" fails 1 "the value should be a whole number" ./train_pc steps=x
check "nothing at all" fails 1 "the value should be a whole number" ./train_pc steps=

echo "mcu: $checks checks, $failures failed"
[ "$failures" = 0 ]
