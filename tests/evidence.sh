#!/bin/sh
# evidence.sh - tools/evidence: examples/cifar takes its flags; what was stopped goes on, what is finished
# rests; its table.
#
# tests/evidence.sh   (from anywhere; it writes to a temporary directory)

# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"

check "cifar compiles" compile cifar "$root/examples/cifar.c" || exit 1

"$root/tools/evidence" --list cifar10 runs >list.txt
check "it lists 61 runs" [ "$(grep -c . list.txt)" = 61 ]
ln -s "$root/examples" examples
grep -e '-seed0 ' list.txt | while read -r name flags; do
    # shellcheck disable=SC2086
    ./cifar $flags --describe >described.txt 2>&1 </dev/null || echo "$name: $(cat described.txt)"
done >refused.txt
check "cifar takes the flags of all" cmp refused.txt /dev/null
rm examples

# The driver beside a cifar that only writes down what it is asked: seed 1 is cut at first, seed 2 fails.
mkdir tools examples
cp "$root/tools/evidence" tools/
printf 'cifar:\n' >examples/Makefile
cat >examples/cifar <<'END'
#!/bin/sh
echo "$*" >>called.txt
for word; do out=$word; done # the last one
case $* in
    *"seed 1"*--resume*) ;;
    *"seed 1"*) touch "$out/last.ckpt"; exit 143 ;;
    *"seed 2"*) echo "cifar: no such luck"; exit 1 ;;
esac
echo "test error 12.00 %"
END
chmod +x examples/cifar
export JOBS=1 THREADS=3
check "a run that fails is told, and others go on" fails 123 "runs/fast-seed2 stopped" \
    tools/evidence cifar10 runs fast-seed2 fast-seed0
check "what cifar says is kept" grep -q "no such luck" runs/fast-seed2/output.txt
check "the other one ended" [ -e runs/fast-seed0/finished ]
check "a signal ends all" fails 124 "runs/fast-seed1 stopped" tools/evidence cifar10 runs fast
check "what was to come was not called again" [ "$(grep -c 'seed 2' called.txt)" = 1 ]
rm -r runs/fast-seed2 called.txt
exec 8<runs/fast-seed1
flock 8
check "one at a time" fails 123 "runs/fast-seed1 is in training already" tools/evidence cifar10 runs fast-seed1
exec 8<&-
check "none twice" [ "$(tools/evidence --list cifar10 runs fast-seed0 fast | grep -c .)" = 3 ]
check "a name with a blank" fails 2 "a b has blanks or quotes" tools/evidence "a b" runs fast
tools/evidence cifar10 runs fast-seed0 fast-seed1 >told.txt
check "a run goes on, by the checkpoint's recipe; one that is finished rests" cmp called.txt - <<'END'
--seed 1 --data cifar10 --resume --threads 3 --out runs/fast-seed1
END
check "it tells how a run ends" grep -q "^runs/fast-seed1: test error 12.00 %" told.txt
check "no such run" fails 2 "no run begins with slow" tools/evidence cifar10 runs slow

run() { # run NAME ERROR...: a log, by epochs
    mkdir -p "runs/$1"
    name=$1 epoch=0
    shift
    echo epoch,iteration,train_loss,train_error,test_loss,test_error >"runs/$name/log.csv"
    for error; do
        epoch=$((epoch + 1))
        echo "$epoch,$((epoch * 10)),1,20,1,$error" >>"runs/$name/log.csv"
    done
    printf '30.5 1\n28 0.5\n' >"runs/$name/processor.txt"
}
rm -r runs
run resnet20-original-seed0 50 9.5
run resnet20-original-seed1 50 10.25
run resnet20-original-seed2 50 9.75
run fast-seed0 40 8
run fast-seed1 7.5
run fast-seed2
touch runs/resnet20-original-seed0/finished runs/resnet20-original-seed1/finished \
    runs/resnet20-original-seed2/finished runs/fast-seed0/finished
tools/evidence --table cifar10 runs >table.txt
check "the table: medians of what is finished" cmp table.txt - <<'END'
| net | test error by seed, % | median | training error, % | minutes of processor |
|---|---|---|---|---|
| fast | 8, 7.5 (epoch 1) | 8.00 | 20.00 | 1.0 |
| resnet20-original | 9.5, 10.25, 9.75 | 9.75 | 20.00 | 1.0 |
END
mkdir elsewhere
check "the same from another directory" sh -c 'cd elsewhere && ../tools/evidence --table ../cifar10 ../runs | cmp - ../table.txt'

cd "$root" || exit 1
tools/evidence --table data examples/evidence >"$work/table.txt"
grep '^|' examples/evidence/README.md >"$work/page.txt"
check "the page of evidence has the table of its logs" cmp "$work/table.txt" "$work/page.txt"
for run in examples/evidence/*/finished; do
    run=${run%/finished}
    steps=$(sed -n 's/^iterations=//p' "$run/manifest.txt")
    tail -1 "$run/log.csv" >"$work/end.txt"
    check "$run ends where its manifest says" grep "^[0-9]*,$steps," "$work/end.txt"
done
echo "evidence: $checks checks, $failures failed"
[ $failures = 0 ]
