#!/bin/sh
# ablation.sh - small studies: one that is stopped twice and goes on gives the same table as one that
# never was; its statistics are those of ablation.csv; what differs is refused; the steps that are
# planned fit in the time; what diverges is a failed run and no end.
#
# tests/ablation.sh   (from anywhere; it writes to a temporary directory)

# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"
compile ablation "$root/examples/ablation.c" || exit 1
idx train 105 data
idx t10k 100 data

# study FLAGS...: of ResNet-8; its output is in out.txt, too
study() {
    ./ablation --data data --threads 1 --depth 8 --batch 25 "$@" >out.txt 2>&1
    status=$?
    cat out.txt
    return $status
}

# ---- stopped and never stopped ---------------------------------------------------------------------

rows="--table 1 --rows 1,3,drop --seeds 3 --iterations 12"
# shellcheck disable=SC2086
check "a study" study $rows --out whole
sed -n '/^Table/,/^$/p' out.txt >whole.txt
# shellcheck disable=SC2086
check "the same study again trains nothing" sh -c "./ablation --data data --threads 1 --depth 8 --batch 25 $rows \
    --out whole >again.txt && ! grep ' seed ' again.txt && sed -n '/^Table/,/^\$/p' again.txt | cmp - whole.txt"

# stopped RUN SIGNAL STATUS: is stopped in that run, or in one soon behind it
stopped() {
    # shellcheck disable=SC2086
    ./ablation --data data --threads 1 --depth 8 --batch 25 $rows --out parts >out.txt 2>&1 &
    pid=$!
    wait_for "parts/$1/last.ckpt" || return 1
    kill -s "$2" $pid
    wait $pid
    status=$?
    pid=
    [ $status = "$3" ] || { echo "status $status"; return 1; }
    [ "$(find parts -name result.csv | wc -l)" -lt 9 ]
}
check "Ctrl-C" stopped identity-seed0 INT 130
begun=$(find parts -name last.ckpt)
check "the run that it stops is saved" test -e "$begun"
check "and in the table" grep -q ',0,.*,cut,' parts/ablation.csv
check "an end without warning" stopped identity-seed1 KILL 137
over=$(find parts -name result.csv | head -1)
ls -i "$over" >inode
# shellcheck disable=SC2086
check "going on" study $rows --out parts
check "a run that is over is not made again" sh -c "ls -i $over | cmp - inode"
check "a run that was saved goes on" test ! -e "$(dirname "$begun")/log.csv.old"
check "no checkpoints are left" sh -c '! ls parts/*/last.ckpt 2>/dev/null'
in_order() {
    grep -o "seed [0-9] " out.txt >one
    sort one >two
    [ "$(wc -l <one)" -gt 3 ] && diff one two
}
check "every row comes before the next seed" in_order
sed -n '/^Table/,/^$/p' out.txt >parts.txt
check "the same table" cmp whole.txt parts.txt
same_runs() {
    for run in whole/*-seed*; do
        name=${run#whole/}
        cut -d, -f1-7 "$run/log.csv" >one
        cut -d, -f1-7 "parts/$name/log.csv" | diff one - || return 1
        cut -d, -f1,2,4,5 "$run/result.csv" >one
        cut -d, -f1,2,4,5 "parts/$name/result.csv" | diff one - || return 1
    done
    [ "$(find whole -name result.csv | wc -l)" = 9 ] && [ "$(wc -l <one)" = 2 ]
}
check "the same runs to the last digit" same_runs

# ---- statistics ------------------------------------------------------------------------------------

# From ablation.csv: name, runs, failed, median, mean, deviation
cat >statistics.awk <<'EOF'
BEGIN { FS = "," }
NR > 1 {
    if (!($2 in runs)) order[++rows] = $2
    failed[$2] += $11 == "failed"
    if ($11 != "failed") value[$2, ++good[$2]] = $8
    runs[$2]++
}
END {
    for (r = 1; r <= rows; r++) {
        name = order[r]; n = good[name] + 0; sum = 0; squares = 0
        for (i = 1; i <= n; i++)
            for (k = i + 1; k <= n; k++)
                if (value[name, k] < value[name, i]) {
                    t = value[name, i]; value[name, i] = value[name, k]; value[name, k] = t
                }
        for (i = 1; i <= n; i++) sum += value[name, i]
        for (i = 1; i <= n; i++) squares += (value[name, i] - sum / n) ^ 2
        low = int((runs[name] + 1) / 2); high = int(runs[name] / 2) + 1
        printf "%s %d %d %s %s %s\n", name, runs[name], failed[name] + 0,
            (high > n ? "fail" : sprintf("%.2f", (value[name, low] + value[name, high]) / 2)),
            (n ? sprintf("%.2f", sum / n) : "-"),
            (n > 1 ? sprintf("%.2f", sqrt(squares / (n - 1))) : "-")
    }
}
EOF
# statistics DIR TABLE: the printed table is that of the CSV file
statistics() {
    awk -f statistics.awk "$1/ablation.csv" >one
    sed -n '2,$s/^\(.\{30\}\) *8 */\1 /p' "$2" | awk '{ $NF = ""; print }' | sed 's/ *$//' >two
    cat one
    [ -s one ] && diff one two
}
check "statistics of three" statistics whole whole.txt
# Runs are given errors, among them failed ones.
for run in "identity 0 done 12.5" "identity 1 done 7.25" "identity 2 done 9" "identity 3 done 30.125" \
    "scale-0.5 0 failed 90" "scale-0.5 1 done 20" "scale-0.5 2 done 22" "scale-0.5 3 failed nan" \
    "dropout-0.5 0 failed 90" "dropout-0.5 1 done 20.5" "dropout-0.5 2 done 22" "dropout-0.5 3 done 19"; do
    # shellcheck disable=SC2086
    set -- $run
    mkdir -p "given/$1-seed$2"
    printf 'status,steps,seconds,error,loss\n%s,12,1.5,%s,1.25\n' "$3" "$4" >"given/$1-seed$2/result.csv"
done
# shellcheck disable=SC2086
check "runs that are there" study $rows --seeds 4 --out given
sed -n '/^Table/,/^$/p' out.txt >given.txt
check "statistics of four" statistics given given.txt
row() { grep -q "^$1" given.txt || { cat given.txt; return 1; }; }
check "by hand" row "identity *8 *4 *0 *10.75 *14.72 *10.50 *6.61"
check "two of four failed" row "scale 0.5 *8 *4 *2 *fail *21.00 *1.41 *fail"
check "one of four failed" row "dropout 0.5 *8 *4 *1 *21.25 *20.50 *1.50 *fail"
check "another table has the nets that it shares" study --table 2 --rows original --iterations 12 --out whole
check "and does not train them" sh -c '! grep " seed " out.txt'
check "a net that has several names" study --table 2 --rows original --seeds 1 --iterations 2 --out named
check "runs under that of its table" says "^original  *seed 0  "
check "in the directory of the others" test -e named/identity-seed0/result.csv
if script -qec true /dev/null >/dev/null 2>&1; then
    check "on a terminal" script -qec "./ablation --data data --threads 1 --depth 8 --batch 25 --seeds 1 --epochs 40 \
        --rows 'ResNet-164 ReLU before addition' --out shown" out.txt
    check "names are whole" says "seed 1/1 ResNet-164 ReLU before addition: epoch"
else
    echo "ablation: skipped the progress, for there is no script -e"
fi

# ---- what differs is refused -----------------------------------------------------------------------

check "a row of other data" fails 2 "takes --dataset cifar100" ./ablation --data data --threads 1 --depth 8 --table 3 \
    --rows 9 --out other

# shellcheck disable=SC2086
{
    check "another rate" fails 2 "whole was begun without --lr" study $rows --lr 0.3 --out whole
    check "another batch" fails 2 "begun with --batch 25, not 26" study $rows --batch 26 --out whole
    check "another length" fails 2 "begun with --iterations 12, not 13" study $rows --iterations=13 --out whole
    check "a flag that is missing" fails 2 "begun with --iterations 12; give it again" study --out whole
    idx train 105 other
    idx t10k 100 other
    printf x | dd of=other/train-images-idx3-ubyte bs=1 seek=50000 conv=notrunc 2>/dev/null
    check "another pixel" fails 2 "begun on other images than those of --data other" study $rows --data other --out whole
    check "another writing of the same" study $rows --batch=25 --out whole
    printf 'status\n' >given/identity-seed0/result.csv
    check "a damaged result" fails 1 "result.csv is damaged; remove it" study $rows --out given
}
check "no such row" fails 2 "table 3,  1: 1-layer units original" study --table 3 --rows identity --out no
check "numbers without a table" fails 2 "--rows has \"3\"" study --rows 3 --out no
check "no time" fails 2 "should be such as 600s, 30m or 1h30m" study --time 30 --out no
check "no time either" fails 2 "should be such as" study --time -3m --out no
check "a file for a directory" fails 1 "directory out.txt: Not a" study --iterations 1 --out out.txt

# ---- time ------------------------------------------------------------------------------------------

# fits DIR SECONDS SEEDS: the plan takes the steps and the speeds, and fits
fits() {
    cat "$1/study.txt"
    awk -F '[= ]' -v time="$2" -v seeds="$3" '
        /^steps=/ { steps = $2 }
        /^planned=/ { planned = $4 }
        /^seconds/ { start += $2; step += $3; test += $4; nets++ }
        END {
            needs = planned * (start + steps * step + int((steps + 4) / 5) * test)
            print nets " nets, " planned " seeds: " needs " s"
            exit !(nets == 2 && planned == seeds && steps >= 5 && step > 0 && needs <= 0.97 * time)
        }' "$1/study.txt"
}
check "a plan" study --rows identity,dropout --seeds 2 --time 8s --least 5 --base_width 4 --out timed
check "it fits" fits timed 8 2
steps=$(sed -n "s/^steps=//p" timed/study.txt)
check "all runs have its steps" awk -F, -v steps="$steps" \
    'NR > 1 { runs++ } NR > 1 && $6 != steps { exit 1 } END { if (!runs) exit 1 }' timed/ablation.csv
check "its table" says "^identity *8 "
check "the same length for other rows" study --rows "scale 0.5" --seeds 1 --base_width 4 --out timed
check "has the same steps" grep "^1,scale 0.5,8,basic,one_cycle,$steps," timed/ablation.csv
check "rows are what they are called" study --table 1 --rows 5,7 --gate_bias -6 --seeds 1 --iterations 2 --out biased
check "two nets, though a flag says one bias" says "^2 nets, 1 seed, "
# A net of which an earlier part has found 40 steps a second, whatever this machine does: 97 % of 10
# minutes are 3.88 runs of 6,000 steps.
mkdir plan
{ grep -v '^steps=' timed/study.txt; echo "seconds.identity=0 0.025 0"; } >plan/study.txt
cp plan/study.txt planned.txt
check "fewer seeds" study --rows identity --seeds 99 --time 10m --least 6000 --base_width 4 --plan --out plan
check "it says so" says "has room for no more than 3 of 99 seeds"
check "a plan trains nothing" [ "$(ls plan)" = study.txt ]
check "and writes nothing" cmp plan/study.txt planned.txt
check "no time at all" fails 1 "What would fit: --time [0-9]*m" study --rows identity --time 1s --least 60000 --out no

# The second seed of a net that is thought slow, on a machine that turned out slower still.
check "a first run" study --rows "scale 0.5" --seeds 1 --iterations 5 --out slow
printf '%s\n' "seconds.identity=0 1e-9 0" "seconds.scale-0.5=0 100 0" >>slow/study.txt
check "a machine too slow" study --rows "identity,scale 0.5" --seeds 2 --iterations 5 --time 1h --out slow
check "leaves a seed out" says "seed 2 would end after .* h .*; it is left out"
check "with one run a row" sh -c '[ "$(tail -n +2 slow/ablation.csv | cut -d, -f2,7)" = "identity,0
scale 0.5,0" ] || { cat slow/ablation.csv; exit 1; }'

# ---- failing ---------------------------------------------------------------------------------------

check "a rate at which all diverge" study --rows 1,3 --table 1 --seeds 1 --iterations 12 --lr 1e6 --out far
check "both are failed" sh -c '[ "$(grep -c ",failed," far/ablation.csv)" = 2 ]'
check "and are so in the table" says "^scale 0.5 *8 *1 *1 *fail *- *- *fail"
check "they are not made again" study --rows 1,3 --table 1 --seeds 1 --iterations 12 --lr 1e6 --out far
check "indeed" sh -c '! grep " seed " out.txt'
check "a net that learns nothing" study --rows identity --seeds 1 --iterations 1 --lr 1e-12 --out chance
check "is a failed one, with its error" grep "^1,identity,8,basic,one_cycle,1,0,[89][0-9.]*,.*,failed," chance/ablation.csv
check "pictures" sh -c 'for file in whole/ablation.svg far/ablation.svg; do
    grep -q "</svg>" $file || exit 1; done; grep -q "dropout 0.5" whole/ablation.svg'

# picture WORDS...: these texts are in the picture of the study, in that order
picture() {
    sed -n 's/.*>\([^<]*\)<\/text>.*/\1/p' whole/ablation.svg >texts
    for words; do printf '%s\n' "$words"; done >wanted
    grep -x -F -f wanted texts | awk '!seen[$0]++' | diff wanted -
}
# shellcheck disable=SC2086
check "the first study once more" study $rows --out whole
check "what is in the legend" picture "here, median of seeds" "the paper's" "here, each seed" training test \
    "identity, for comparison"
check "rows beside the paper's, in order" picture "Table 1, shortcuts: errors here and in the paper (no mark: fail, or none)" \
    identity "scale 0.5" "dropout 0.5" "test error (%)"
check "one of them has an error there" grep -q "points the paper's, 1 value, 1 at 6.61\." whole/ablation.svg
check "titles do not break before %" [ "$(grep -c ' %</text>' whole/ablation.svg)" = 0 ]
check "of errors" grep -q ">scale 0.5: [0-9.]*$(printf '\302\240')%</text>" whole/ablation.svg
check "only errors begin at 0" [ "$(grep -c 'text-anchor="middle">0</text>' whole/ablation.svg)" = 2 ]

echo "ablation: $checks checks, $failures failed"
[ "$failures" = 0 ]
