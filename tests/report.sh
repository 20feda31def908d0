#!/bin/sh
# report.sh - tools/report's page of two small runs: it is well-formed, its numbers are those of the
# log and the net, hostile names and pictures stay text or are refused, what is missing or damaged is
# said, and where Chromium is, nothing complains or scrolls sideways.
#
# tests/report.sh [DIRECTORY]   (from anywhere; it writes to a temporary directory; screenshots into
#                               DIRECTORY, if it is given)

[ -z "$1" ] || pictures=$(cd "$1" && pwd) || exit 1
# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"
compile cifar "$root/examples/cifar.c" || exit 1
${CC:-cc} -O0 -o report "$root/tools/report.c" -lm || exit 1
idx train 205 data
idx t10k 100 data
hostile='a"b<i>&amp;'"'"'-'

# train FLAGS...: a ResNet-8
train() {
    ./cifar --dataset idx --data data --threads 1 --depth 8 --batch 25 --schedule constant --lr 0.05 "$@"
}
mkdir study
check "a run" train --epochs 3 --order original --out study/plain-seed0 --seed 7 || exit 1
check "one with another shortcut" train --epochs 2 --order original --shortcut scale \
    --shortcut_scale 0.5 --out "study/$hostile" || exit 1

# ---- the page --------------------------------------------------------------------------------------

# refuses STATUS WORDS ARGUMENTS...: report ends so, says why, and leaves no page
refuses() {
    status=$1 words=$2
    shift 2
    rm -f no.html
    fails "$status" "$words" ./report --out no.html "$@" && [ ! -e no.html ] && [ ! -e no.html.tmp ]
}
has() { grep -q -e "$1" "${2:-page.html}"; }
lacks() { [ -s "${2:-page.html}" ] && ! grep -e "$1" "${2:-page.html}"; }
# last COLUMN RUN: the last value of a column of a log
last() { tail -1 "$2/log.csv" | cut -d, -f"$1"; }
# well_formed PAGE: all elements end, ids are there once and links lead to them, tables have headers
well_formed() {
    python3 - "$1" <<'END'
import html.parser, sys
class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.faults, self.levels = [], [], [], [], []
    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        self.ids += [a["id"]] if "id" in a else []
        self.links += [a["href"]] if tag == "a" else []
        self.levels += [int(tag[1])] if tag in ("h1", "h2", "h3") else []
        if tag == "script" or any(name.startswith("on") for name in a): self.faults.append("a script")
        if "src" in a: self.faults.append("src")
        if tag == "svg" and a.get("role") != "img": self.faults.append("svg without a role")
        if tag == "table": self.headers = 0
        if tag == "th": self.headers += "scope" in a
        if tag not in ("meta", "br"): self.open.append(tag)
    def handle_startendtag(self, tag, attributes):
        pass
    def handle_endtag(self, tag):
        if tag == "table" and not self.headers: self.faults.append("a table without headers")
        if not self.open or self.open.pop() != tag: self.faults.append(f"</{tag}> at {self.getpos()}")
page = Page()
page.feed(open(sys.argv[1], encoding="utf-8").read())
page.close()
if page.open: page.faults.append(f"open: {page.open}")
if len(set(page.ids)) < len(page.ids): page.faults.append("an id twice")
page.faults += [f"no {link}" for link in page.links if link[0] != "#" or link[1:] not in page.ids]
if page.levels[0] != 1 or any(b > a + 1 for a, b in zip(page.levels, page.levels[1:])): page.faults.append("levels")
for fault in page.faults: print(fault)
sys.exit(bool(page.faults))
END
}
make_page() { ./report --out page.html study; }
check "a page of both" make_page
check "it is there at once" [ ! -e page.html.tmp ]
cp page.html first.html
check "again" make_page
check "the same page" cmp first.html page.html
if command -v python3 >/dev/null; then
    check "it is well-formed" well_formed page.html
else
    echo "report: skipped the form of the page, for there is no python3"
fi
check "it needs nothing else" lacks 'https\?://[^w]'
check "contents" has '<li><a href="#run2">plain-seed0</a>'
check "a hostile name is text" has '<li><a href="#run1">a&quot;b&lt;i&gt;&amp;amp;'
check "and no element" lacks '<i>'
error=$(printf %.2f "$(last 6 study/plain-seed0)")
check "the last error in words" has "After epoch 3, its last, it errs on $error % of the 100 test images (${error%.00} of them)"
check "the last error in the table" has "plain-seed0</a></th><td class=\"number\">$error</td>"
check "it is beside the paper's" has "<td class=\"number\">$error</td><td class=\"number\">6.61</td>"
other=$(printf %.2f "$(last 6 "study/$hostile")")
check "the other, too" has "scale 0.5</th><td class=\"number\">$other</td><td class=\"number\">fail</td>"
check "only rows of Table 1 fit the other" [ "$(grep -c "<td class=\"words\"><a href=\"#run1\"" page.html)" = 1 ]
check "each row of the log" [ "$(grep -c '^<tr><td class="number">[123]</td><td' page.html)" = 5 ]
check "parameters" has '75,002 parameters'
check "the unit of each kind" [ "$(grep -c 'class="unit"' page.html)" = 4 ]
check "three with boxes in the shortcut" [ "$(grep -c 'class="unit" role="img" width="296"' page.html)" = 3 ]
check "beside the residual path" has 'layer1.0.scaled_shortcut</title><rect x="160" y="57"'
check "which goes down" has 'layer1.0.conv2</title><rect x="4" y="243"'
check "in the order of operations" has \
    'Residual path: conv 3×3, BN, ReLU, conv 3×3, BN. Shortcut: the identity. After the addition: ReLU.'
check "what changes the shape" has 'Shortcut: subsample + zeros. After'
check "a scaled shortcut" has 'BN, × 1. Shortcut: × 0.5. After'
check "what differs from the default" has '<tr class="ours"><th scope="row"><code>shortcut_scale</code></th><td>0.5</td>'
check "the memory" has "training at batch 25</th><td>$(awk -F= '/^bytes/ {printf "%.1f", $2 / 1e6}' study/plain-seed0/manifest.txt) MB"
for key in seed compiler instructions threads checksum machine began; do
    line=$(grep "^$key=" study/plain-seed0/manifest.txt)
    check "$key of the manifest" has "$key</th><td>${line#*=}</td>"
done
check "what is missing is said once" [ "$(grep -c 'No [a-z]*\.svg' page.html)" = 3 ]
check "without headings" lacks '<h3>Signals'
check "one run" ./report --out one.html study/plain-seed0
check "no signals, but how" has \
    'signals.svg in .*: <code>.*--weights</span> <span class="word">study/plain-seed0/best.safetensors<.*>data<' one.html
check "its shortcut in words" has 'behind each convolution, ReLU after the addition; shortcut: the identity\. ' one.html
check "a factor in words" has 'after the addition; shortcut: scaled by 0\.5\. '
check "and in the table" has '<td class="words">ResNet-8, basic, original, scale 0\.5</td>'

mkdir ablation
cp -r study/plain-seed0 ablation/of-ablation-seed0
cp -r study/plain-seed0 ablation/of-ablation-seed1
# curves PAGE: its section of all runs' curves
curves() { sed -n '/<h2 id="curves">/,/<h2/p' "$1"; }
in_curves() { curves page.html | grep -q -e ">$1</text>"; }
check "runs of several seeds" ./report --out page.html ablation study
check "are among all curves" in_curves of-ablation
check "as their range" sh -c 'grep -o "band [a-z-]*" page.html | grep -x "band of-ablation"'
printf '<svg xmlns="http://www.w3.org/2000/svg" role="img"/>' >ablation/ablation.svg
check "those of an ablation" ./report --out page.html ablation study
check "are not" lacks '>of-ablation</text>'
check "the others are" in_curves plain
check "an ablation alone" ./report --out page.html ablation
check "has no such curves, nor a link there" lacks 'id="curves"\|#curves'

mkdir twin
cp -r study/plain-seed0 twin
check "two of one name" ./report --out twins.html study twin
for run in study/plain-seed0 twin/plain-seed0; do
    check "are called by their paths" has ">$run</a></li>" twins.html
done
check "a net that leaves units out" train --epochs 1 --order original --stochastic_depth 0.3 --out deep
check "its page" ./report --out page.html deep
check "it says so first" has 'shortcut: the identity; stochastic depth: .* with probability 0\.3\. '
check "how they are left out" has 'conv 3×3, BN, stochastic depth. Shortcut: the identity. After'
check "the paper has no such net" [ "$(grep -c 'no run is in it' page.html)" = 3 ]

check "a net without shortcuts" train --epochs 1 --order original --shortcut scale --out plain
check "its page" ./report --out page.html plain
check "is called plain" has 'ReLU after the addition; no shortcut (plain)\. '
check "also in the table" has '<td class="words">ResNet-8, basic, original, no shortcut (plain)</td>'

# ---- what is missing, what is damaged --------------------------------------------------------------

mkdir bare bare/log bare/net bare/manifest
cp study/plain-seed0/log.csv bare/log
cp study/plain-seed0/best.safetensors bare/net
cp study/plain-seed0/manifest.txt bare/manifest
check "parts of runs" ./report --out page.html bare/log bare/net/ bare/manifest
! command -v python3 >/dev/null || check "their page is well-formed" well_formed page.html
check "no net" has 'No last.ckpt, best.safetensors or manifest.txt'
check "no log" has 'No rows in log.csv'
check "how long it was to be is not known" has 'After epoch 3 it errs on'
check "no manifest" has 'No manifest.txt'
check "a manifest tells the net" has '<code>manifest.txt</code> tells them'
check "of the same fields" [ "$(grep -c '<code>order</code></th><td>original</td>' page.html)" = 2 ]
check "no run" refuses 1 "data holds no run" data
check "no directory" refuses 1 "no directory nowhere" nowhere
check "no name" refuses 2 "name the directory"
check "no such flag" refuses 2 "no flag --page" --page x study

mkdir stopped
sed 's/^iteration=.*/iteration=17/' bare/manifest/manifest.txt >stopped/manifest.txt
head -2 bare/log/log.csv >stopped/log.csv
check "a run that was stopped" ./report --out page.html stopped
check "its steps" has 'Trained for 17 of 27 steps of 25 images'
check "its error is not of the end" has 'After epoch 1, which is not its last, it errs on'
check "nor in the table" has 'ResNet-8, not finished: '
check "a run to its end" has 'Trained for 27 steps of 25 images' first.html
check "is not called unfinished" lacks 'ResNet-8, not finished' first.html

# damaged NAME SED WORDS: a file that is changed so is refused with these words
damaged() {
    rm -rf spoiled
    cp -r study/plain-seed0 spoiled
    sed "$2" "study/plain-seed0/$1" >"spoiled/$1"
    refuses 1 "$3" spoiled
}
check "a value too few" damaged log.csv '3s/,[^,]*$//' 'spoiled/log.csv, line 3: 8 values, but 9 columns'
check "no number" damaged log.csv '4s/,[^,]*/,?/' 'spoiled/log.csv, line 4: not a number'
rm -rf spoiled && cp -r bare/manifest spoiled && sed -i.bak 's/=original/=unheard/' spoiled/manifest.txt
check "an order that is none" refuses 1 'manifest.txt: order cannot be "unheard"' spoiled
printf 'unit,share\n1,2\n3\n' >study/plain-seed0/signals.csv
check "a part's table" refuses 1 'plain-seed0/signals.csv, line 3: 1 values' study/plain-seed0
printf 'unit,share\n1,"2, ""or"" <3"\n3,4\n5' >study/plain-seed0/signals.csv
check "one that is still written" ./report --out page.html study/plain-seed0
check "has its whole lines" has '<td>2, &quot;or&quot; &lt;3</td>'
check "and no other" has 'The numbers: signals.csv, 2 rows<'
printf 'program=signals\ncommand=x <y>\n' >study/plain-seed0/signals.manifest.txt
printf 'a,b\n1,2\n' >study/plain-seed0/other.csv
check "what a part came from, other tables" ./report --out page.html study/plain-seed0
check "are there" has '<td>signals</td></tr>'
check "likewise" has 'The numbers: other.csv, 1 row<'

# ---- pictures --------------------------------------------------------------------------------------

svg='<svg xmlns="http://www.w3.org/2000/svg" role="img"'
# picture WORDS SVG: is refused with these words
picture() {
    printf '%s' "$2" >study/plain-seed0/lesions.svg
    refuses 1 "lesions.svg $1" study/plain-seed0
}
check "a script" picture "has an element" "$svg><script>alert(1)</script></svg>"
check "a handler" picture "would run a script" "$svg><path onload='alert(1)' d='M0 0'/></svg>"
check "a link to elsewhere" picture "would fetch" "$svg><image href='http://x/'/></svg>"
check "one in capitals" picture "would fetch" "$svg><image HREF='http://x/'/></svg>"
check "one of several" picture "would fetch" "$svg><image srcset='http://x/ 2x'/></svg>"
check "a bracket by its number" picture "would fetch" "$svg><path style='fill:url&#40;http://x/)' d='M0 0'/></svg>"
check "a colon by its name" picture "would fetch" "$svg><style>&commat;import 'x'</style></svg>"
check "a set of pictures" picture "would fetch" "$svg><g style='mask:image-set(\"//x/\" 1x)'/></svg>"
check "a style from elsewhere" picture "would fetch" "$svg><style>@import 'x';</style></svg>"
check "a page in it" picture "has an element" "$svg><foreignObject/></svg>"
check "half a picture" picture "is no well-formed" "$svg><g><path d='M0 0'/></svg>"
check "its end alone" picture "is no well-formed" "$svg><g></g>"
check "two of them" picture "is no well-formed" "$svg/>$svg/>"
check "no picture" picture "is no well-formed" "words"
printf '<?xml version="1.0"?>\n%s viewBox="0 0 9 9"><path d="M1 1h7v7"/></svg>' "$svg" >study/plain-seed0/lesions.svg
cp study/plain-seed0/lesions.svg study/plain-seed0/more.svg
check "a good one" ./report --out page.html study
check "is in the page twice" [ "$(grep -c 'M1 1h7v7' page.html)" = 2 ]
check "without its declaration" lacks '<?xml'
check "its own curves are not there twice" lacks log.svg

# ---- in a browser ----------------------------------------------------------------------------------

if ! node -e 'fetch' 2>/dev/null || ! command -v "${CHROMIUM:-chromium}" >/dev/null ||
    ! command -v "${CHROMEDRIVER:-chromedriver}" >/dev/null; then
    echo "report: skipped the browser, for there are no Node.js, Chromium and ChromeDriver"
else
    check "Chromium" "$here/report.js" "$work/page.html" $pictures
fi

echo "report: $checks checks, $failures failed"
[ "$failures" = 0 ]
