#!/bin/sh
# tiny.sh - nets whose norms are folded into their convolutions, as MLPerf Tiny's ResNet-8: made here
# from whole ones, converted, and their logits and norms compared in both executions; the same net as
# a TFLite file by way of tools/convert_tflite.py, and what that refuses. With ../shared/mlperf_tiny the
# published nets, and with ../shared/data and Pillow what they predict.
#
# tests/tiny.sh   (from anywhere; it writes to a temporary directory)

# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"
python=/usr/bin/python3
[ -x $python ] || python=python3

cat >nets.c <<END
#define RESNET_IMPLEMENTATION
#include "$root/resnet.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64, FEW = 4 };
static float images[MOST * 3072], values[2][MOST * 3 * 16384], logits[MOST * 10], wanted[MOST * 10];
static int labels[MOST];

static void need(rn_status status, const rn_error *error) {
    if (status) printf("%s\n", error->text), exit(1);
}

/* ---- a folded net */

static unsigned draw(void) { /* 0 to 255 */
    static uint32_t state = 1;
    state = state * 1664525 + 1013904223;
    return state >> 24;
}

/* Random norms, so that folding changes every number. */
static void shake(rn_net *net) {
    rn_parameter p = {0};
    ptrdiff_t i;
    while (rn_next_parameter(net, &p))
        for (i = 0; i < p.count && p.dims == 1; i++)
            p.data[i] = (p.role == RN_BN_WEIGHT || p.role == RN_RUNNING_VAR ? 0.5f : -0.5f) +
                        (float)draw() / 256;
}

/* The norm behind a convolution, as scale and shift of channel k; none is 1 and 0. */
static void norm_of(const rn_net *net, int conv, int k, double of[2]) {
    static const char *const parts[] = {"weight", "bias", "running_mean", "running_var"};
    double values[4];
    char node[64], name[100];
    rn_parameter p;
    int i, n = conv + 1;
    of[0] = 1, of[1] = 0;
    while (n < net->node_count && (net->nodes[n].kind != RN_BATCH_NORM || net->nodes[n].inputs[0] != conv)) n++;
    if (n == net->node_count) return;
    rn_node_name(net, n, node);
    for (i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s.%s", node, parts[i]);
        if (!rn_find_parameter(net, name, &p)) exit(3);
        values[i] = (double)p.data[k];
    }
    of[0] = values[0] / sqrt(values[3] + net->desc.bn_eps);
    of[1] = values[1] - values[2] * of[0];
}

static int is_weight(const rn_parameter *p) {
    return p->role == RN_CONV_WEIGHT || p->role == RN_CONV_BIAS || p->role == RN_LINEAR_WEIGHT ||
           p->role == RN_LINEAR_BIAS;
}

/* Writes the net as \`theirs\`, with its norms folded and PyTorch's names. */
static int write_folded(const rn_net *net) {
    static char json[20000];
    static float data[500000];
    rn_parameter p = {0};
    FILE *file = fopen("theirs", "wb");
    ptrdiff_t i, count = 0;
    int length = 1, d;
    double norm[2];
    json[0] = '{';
    while (rn_next_parameter(net, &p)) {
        const char *s = strstr(p.name, "shortcut.");
        if (!is_weight(&p)) continue;
        length += sprintf(json + length, "%s\"%.*s%s%s\":{\"dtype\":\"F32\",\"shape\":", length > 1 ? "," : "",
                          s ? (int)(s - p.name) : 64, p.name, s ? "downsample.0." : "", s ? s + 9 : "");
        for (d = 0; d < p.dims; d++) length += sprintf(json + length, "%c%d", d ? ',' : '[', p.shape[d]);
        length += sprintf(json + length, "],\"data_offsets\":[%ld,%ld]}", 4 * (long)count, 4 * (long)(count + p.count));
        for (i = 0; i < p.count; i++) {
            norm_of(net, p.node, (int)(i / (p.count / p.shape[0])), norm);
            data[count++] = (float)((double)p.data[i] * norm[0] + (p.role == RN_CONV_BIAS ? norm[1] : 0));
        }
    }
    length += sprintf(json + length, "}");
    for (i = 0; i < 8; i++) fputc(i < 4 ? length >> 8 * i & 255 : 0, file);
    fwrite(json, 1, (size_t)length, file);
    fwrite(data, 4, (size_t)count, file);
    return fclose(file);
}

/* fold FORM: writes the folded net, images as records of CIFAR, and the logits of the whole net. */
static int fold(int form) {
    rn_desc desc = rn_cifar(8);
    rn_error error;
    rn_data data;
    rn_net *net;
    int i;
    FILE *file = fopen("cifar-10-batches-bin/test_batch.bin", "wb");
    desc.base_width = form;
    rn_set_dialect(&desc, RN_MLPERF_TINY);
    if (!form) { /* what is no net of MLPerf Tiny */
        desc = rn_cifar(0);
        desc.units[0] = desc.units[2] = 1, desc.units[1] = 2, desc.base_width = 8;
        desc.order = RN_ORIGINAL, desc.resize = RN_RESIZE_B_BN, desc.conv_bias = 1;
        for (i = 0; i < 3; i++) desc.mean[i] = 0.25f, desc.deviation[i] = 0.125f;
    }
    desc.naive = 1;
    net = rn_create(&desc, FEW, RN_INFERENCE, NULL, &error);
    if (!net) need(error.status, &error);
    shake(net);
    for (i = 0; i < FEW * 3073; i++) fputc(i % 3073 ? (int)draw() : i % 10, file);
    fclose(file);
    need(rn_load_cifar(&data, ".", 10, 0, NULL, NULL, &error), &error);
    need(rn_batch(&data.source, &desc, NULL, 0, 0, FEW, images, labels, &error), &error);
    need(rn_predict(net, rn_workspace(net), images, FEW, logits, &error), &error);
    file = fopen("logits", "wb");
    fwrite(logits, 40, FEW, file);
    return fclose(file) | write_folded(net);
}

/* ---- a converted one */

/* Norms of \`count\` images change nothing at all. */
static void check_norms(rn_net *net, int count) {
    rn_error error;
    int i, k;
    for (i = 0; i < net->node_count; i++) {
        const rn_node *node = &net->nodes[i];
        if (node->kind != RN_BATCH_NORM) continue;
        need(rn_features(net, rn_workspace(net), images, count, i, values[0], &error), &error);
        need(rn_features(net, rn_workspace(net), images, count, node->inputs[0], values[1], &error), &error);
        for (k = 0; k < count * node->c * node->h * node->w; k++)
            if (values[0][k] < values[1][k] || values[0][k] > values[1][k])
                printf("node %d changes %.9g to %.9g\n", i, values[1][k], values[0][k]), exit(1);
    }
}

/* Classes of the first images against a column of a text file. */
static int check_classes(rn_net *net, const rn_source *source, const char *path, int column, int count) {
    FILE *file = fopen(path, "r");
    char line[64];
    int at, i, differ = 0;
    rn_error error;
    for (at = 0; at < count; at += MOST) {
        const int n = count - at < MOST ? count - at : MOST;
        need(rn_batch(source, &net->desc, NULL, 0, at, n, images, labels, &error), &error);
        need(rn_predict(net, rn_workspace(net), images, n, logits, &error), &error);
        for (i = 0; i < n; i++)
            if (!fgets(line, sizeof line, file)) return 1;
            else differ += line[column] - '0' != rn_argmax(logits + 10 * i, 10);
    }
    printf("%d of %d classes differ\n", differ, count);
    fclose(file);
    return differ;
}

/* Logits of the first images, and norms. */
static int check_logits(rn_net *net, const rn_source *source, int count) {
    double difference = 0, largest = 0;
    rn_error error;
    int i;
    need(rn_batch(source, &net->desc, NULL, 0, 0, count, images, labels, &error), &error);
    need(rn_predict(net, rn_workspace(net), images, count, logits, &error), &error);
    for (i = 0; i < 10 * count; i++) {
        const double apart = fabs((double)logits[i] - (double)wanted[i]);
        difference = apart >= 0 ? fmax(difference, apart) : HUGE_VAL; /* NaN */
        largest = fmax(largest, fabs((double)wanted[i]));
    }
    printf("%s: %g apart, %g of the largest\n", net->desc.naive ? "naive" : "fast", difference,
           difference / largest);
    check_norms(net, 1);
    return !(difference <= 1e-5 * largest);
}

/* compare NET DIRECTORY LOGITS COUNT [CLASSES COLUMN COUNT]: the logits of so many of CIFAR's test
   images, in the naive execution of a few, and the classes that it predicts. */
static int compare(int words, char **word) {
    const int count = atoi(word[5]);
    int naive, wrong = 0;
    rn_desc desc;
    rn_error error;
    rn_data data;
    rn_net *net = NULL;
    FILE *file = fopen(word[4], "rb");
    if (!file || fread(wanted, 40, (size_t)count, file) != (size_t)count) return 1;
    need(rn_load_cifar(&data, word[3], 10, 0, NULL, NULL, &error), &error);
    for (naive = 1; naive >= 0; naive--) {
        need(rn_load_desc(&desc, word[2], NULL, &error), &error);
        desc.naive = naive;
        rn_destroy(net);
        net = rn_create_from(&desc, MOST, RN_INFERENCE, word[2], NULL, NULL, &error);
        if (!net) need(error.status, &error);
        wrong |= check_logits(net, &data.source, naive ? FEW : count);
    }
    return wrong || (words > 6 && check_classes(net, &data.source, word[6], atoi(word[7]), atoi(word[8])));
}

int main(int words, char **word) {
    return words == 3 ? fold(atoi(word[2])) : words >= 6 ? compare(words, word) : 1;
}
END
compile convert "$root/tools/convert.c" && compile nets nets.c || exit 1
mkdir cifar-10-batches-bin

# ---- folded here

# folded FORM NAME FLAG...: goes the whole way, and is told by this name
folded() {
    ./nets fold "$1" && shift || return 1
    name=$1
    shift
    ./convert theirs out "$@" >out.txt || return 1
    cat out.txt
    grep "theirs is $name" out.txt && grep "norms are folded" out.txt && ./nets compare out . logits 4
}
check "MLPerf Tiny's" folded 16 "MLPerf Tiny's ResNet-8" && cp out out16 && cp theirs theirs16 && cp logits logits16
check "is said" grep "padding same" out.txt
check "and how pixels come in" grep "images 32x32.*mean 0,0,0, deviation 0.00392157," out.txt
check "eps is Keras's" grep "eps of norms 0.001" out.txt
check "large" folded 40 "MLPerf Tiny's large ResNet-8"
check "of another width" folded 8 "a ResNet-8 of the form of MLPerf Tiny's"
check "by its tag" folded 16 "MLPerf" --tag mlperf_tiny
check "another eps" folded 16 "MLPerf" --bn_eps 0.7
check "an eps that is not there" folded 16 "MLPerf" --bn_eps 1e-12
check "another net" folded 0 "a ResNet-10 with the names" --mean 0.25,0.25,0.25 --deviation 0.125,0.125,0.125
check "has symmetric padding" grep "padding symmetric" out.txt
./nets fold 16
other_padding() { ./convert theirs out --padding symmetric && ! ./nets compare out . logits 4 >apart && grep apart apart; }
check "other padding is another net" other_padding

# ---- as a TFLite file

cat >tflite.py <<END
"""Writes the folded net \`theirs\` as \`net.tflite\`, or with a word another file that is refused."""
import importlib.util, json, struct, sys
spec = importlib.util.spec_from_file_location("convert_tflite", "$root/tools/convert_tflite.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)
fault = sys.argv[1] if len(sys.argv) > 1 else ""
data = open("theirs", "rb").read()
length, = struct.unpack("<Q", data[:8])
header, body = json.loads(data[8:8 + length]), data[8 + length:]
buffers, tensors, operators, codes = [{}], [], [], [3, 0, 1, 9, 4 if fault == "kind" else 25]

def tensor(shape, raw=b""):
    if raw:
        buffers.append({"data": raw})
    tensors.append({"shape": shape, "type": 0, "buffer": len(buffers) - 1 if raw else 0})
    return len(tensors) - 1

def operator(kind, inputs, **options):
    operators.append({"code": codes.index(kind), "inputs": inputs, "outputs": [tensor([1])], "options": options})
    return operators[-1]["outputs"][0]

def constant(name):
    entry = header[name]
    shape, (begin, end) = entry["shape"], entry["data_offsets"]
    values = struct.unpack(f"<{(end - begin) // 4}f", body[begin:end])
    if len(shape) == 4:  # K,R,S,C
        k, c, r, s = shape
        values = [values[((i * c + channel) * r + y) * s + x]
                  for i in range(k) for y in range(r) for x in range(s) for channel in range(c)]
        shape = [k, r, s, c]
    return tensor(shape, struct.pack(f"<{len(values)}f", *values)[:-4 if fault == "short" else None])

def conv(name, x, stride=1):
    dilation = {"dilation_w": 2} if fault == "dilated" else {}
    return operator(3, [x, constant(name + ".weight"), constant(name + ".bias")], padding=0, stride=stride, **dilation)

first = tensor([1, 32, 32, 3])
x = conv("conv1", first)
for stage in 1, 2, 3:
    unit, stride = f"layer{stage}.0.", 2 if stage > 1 else 1
    y = conv(unit + "conv2", conv(unit + "conv1", x, stride))
    if stage > 1:
        x = conv(unit + "downsample.0", x, stride)
    if fault != "plain":
        y = operator(0, [x, y] if stage < 3 else [y, x])
    x = y
x = operator(9, [operator(1, [x]), constant("fc.weight"), constant("fc.bias")])
operator(codes[4], [x])

out = bytearray(b"\0\0\0\0TFL3")
def put(kind, value):
    """Appends what an offset leads to, and tells where it begins."""
    at = len(out)
    if isinstance(kind, dict):
        slots = {slot: (form, value[name]) for name, (slot, form) in kind.items() if name in value}
        count = max(slots, default=-1) + 1
        out.extend(struct.pack("<HH", 4 + 2 * count, 4 + 8 * count))
        out.extend(b"".join(struct.pack("<H", 4 + 8 * i if i in slots else 0) for i in range(count)))
        table = len(out)
        out.extend(struct.pack("<i", table - at) + bytes(8 * count))
        for slot, (form, what) in slots.items():
            place = table + 4 + 8 * slot
            if isinstance(form, str) and len(form) == 1:
                struct.pack_into("<" + form, out, place, what)
            else:
                target = put(tool.CONV_OPTIONS if form == "place" else form, what)
                struct.pack_into("<I", out, place, target - place)
        return table
    out.extend(struct.pack("<I", len(value)))
    if not isinstance(kind, list):
        out.extend(bytes(value) if kind == "[B" else struct.pack(f"<{len(value)}{kind[1:]}", *value))
        return at
    out.extend(bytes(4 * len(value)))
    for i, what in enumerate(value):
        target = put(kind[0], what)
        struct.pack_into("<I", out, at + 4 + 4 * i, target - at - 4 - 4 * i)
    return at

graph = {"tensors": tensors, "inputs": [first], "operators": operators}
model = {"codes": [{"old": code, "new": code} for code in codes], "graphs": [graph], "buffers": buffers}
struct.pack_into("<I", out, 0, put(tool.MODEL, model))
open("net.tflite", "wb").write(out[:len(out) * 9 // 10] if fault == "cut" else out)
END

# tflite FAULT WORDS: such a file is refused in one sentence with these words, and none is written
tflite() {
    $python tflite.py "$1" && rm -f made || return 1
    $python "$root/tools/convert_tflite.py" net.tflite made >out.txt 2>&1 && return 1
    cat out.txt
    grep -e "$2" out.txt && [ "$(wc -l <out.txt)" = 1 ] && [ ! -e made ] && [ ! -e made.tmp ]
}
whole_tflite() {
    $python tflite.py && $python "$root/tools/convert_tflite.py" net.tflite made >out.txt && cat out.txt &&
        grep "20 tensors of net.tflite, 3 stages; padded as SAME" out.txt && ./convert made out && cmp out out16
}
says() { # says WORDS COMMAND...: it fails, and says so
    words=$1
    shift
    "$@" >out.txt 2>&1 && return 1
    cat out.txt
    grep -e "$words" out.txt
}
if command -v $python >/dev/null; then
    cp theirs16 theirs
    check "a TFLite file" whole_tflite
    cp made whole_made
    rm made && ln -s led_to made
    check "by a link" whole_tflite
    check "which stays one" sh -c '[ -L made ] && cmp led_to whole_made'
    mkfifo pipe
    check "to no pipe" says "pipe is no plain file" $python "$root/tools/convert_tflite.py" net.tflite pipe
    check "is no safetensors" says "tools/convert_tflite.py net.tflite" ./convert net.tflite out
    check "of a mobile net" tflite kind "it holds DEPTHWISE_CONV_2D"
    check "without units" tflite plain "no ADD"
    check "dilated" tflite dilated "conv1 is dilated"
    check "of missing weights" tflite short "conv1 has 1724 bytes of weights, which are not .16, 3, 3, 3."
    check "cut" tflite cut "cut, damaged"
    check "of another kind" says "theirs is no TFLite file" $python "$root/tools/convert_tflite.py" theirs made
    check "that is not there" says "nowhere is not there" $python "$root/tools/convert_tflite.py" nowhere made
    check "its own output" says "same file" $python "$root/tools/convert_tflite.py" net.tflite ./net.tflite
else
    echo "tiny: skipped tools/convert_tflite.py, for there is no python3"
fi

# ---- the published nets

shared=$root/../shared
same_batch() {
    $python "$here/test_batch.py" "$shared/data/cifar10-jpeg.tar.xz" \
        cifar-10-batches-bin/test_batch.bin 2>/dev/null &&
        (cd cifar-10-batches-bin && sha256sum test_batch.bin) >sum && grep -q -F "$(cat sum)" "$shared/data/SHA256SUMS"
}
# published NAME FLOAT.tflite LOGITS COLUMN COUNT
published() {
    $python "$root/tools/convert_tflite.py" "$shared/mlperf_tiny/$2" made && ./convert made out >out.txt &&
        head -1 out.txt | grep "$1" &&
        ./nets compare out . "$shared/mlperf_tiny/$3" 64 "$shared/mlperf_tiny/top1.txt" "$4" "$5"
}
safetensors_too() {
    $python "$root/tools/convert_tflite.py" "$shared/mlperf_tiny/pretrainedResnet.tflite" made && ./convert made out &&
        ./convert "$shared/mlperf_tiny/weights_float.safetensors" other && cmp out other
}
cat >same.py <<END
"""The tensors of made are those of another file, which has integers derived from them besides."""
import json, struct, sys
def read(path):
    data = open(path, "rb").read()
    length, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__")
    return {name: (entry["dtype"], entry["shape"], data[8 + length:][slice(*entry["data_offsets"])])
            for name, entry in header.items()}
ours, theirs = read("made"), read(sys.argv[1])
derived = ".multiplier", ".shift", ".lowest_difference"
assert not [name for name in theirs if name not in ours and not name.endswith(derived)]
assert not [name for name in ours if name in theirs and ours[name] != theirs[name]]
assert {name for name in ours if name not in theirs} == {"flatten.scale", "flatten.zero_point"}
END
integers() {
    $python "$root/tools/convert_tflite.py" "$shared/mlperf_tiny/pretrainedResnet_quant.tflite" made &&
        $python same.py "$shared/mlperf_tiny/weights_int8.safetensors"
}
if [ ! -d "$shared/mlperf_tiny" ] || ! command -v $python >/dev/null; then
    echo "tiny: skipped ../shared/mlperf_tiny, which is not there, or needs python3"
else
    check "the published weights" safetensors_too
    check "in integers" integers
    check "which are not converted" says "made holds integers and their scales" ./convert made out
    if ! same_batch; then
        echo "tiny: skipped what they predict: ../shared/data is not there, or Pillow reads its JPEG otherwise"
    else
        check "published" published "MLPerf Tiny's ResNet-8" pretrainedResnet.tflite float_logits64.f32 1 10000
        check "published, large" published "large ResNet-8" pretrainedResnet_large_float.tflite \
            large_float_logits64.f32 3 1000
    fi
fi

echo "tiny: $checks checks, $failures failed"
[ "$failures" = 0 ]
