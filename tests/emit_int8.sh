#!/bin/sh
# emit_int8.sh - nets in integers that tools/emit_c writes, on this computer and as programs for
# Cortex-M under QEMU: MLPerf Tiny's ResNet-8, all bytes those of its reference, its instructions,
# memory and code within limits; nets with every kind of layer; the kernels of each processor.
# emit.sh does more nets on this computer.
#
# tests/emit_int8.sh   (from anywhere; it writes to a temporary directory)

# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"
# shellcheck source=boards.sh
. "$here/boards.sh"
cd "$work" || exit 1

make -s -C "$root/tools" emit_c || exit 1
emit_c=$root/tools/emit_c
tiny=$root/../shared/mlperf_tiny
[ -e "$tiny/weights_int8.safetensors" ] || tiny=

# ---- nets, samples for their ranges, images --------------------------------------------------------

cat >draw.c <<END
#define RESNET_IMPLEMENTATION
#include "$root/resnet.h"
#include "$here/test.h"
#include "$here/nets.h"

enum { SAMPLES = 30, CLASSES = 5, IMAGES = 5 };

static FILE *create(const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file) perror(path), exit(2);
    return file;
}

/* Images of random bytes as an IDX data set, [N][H][W][C]. */
static void save_samples(const char *name, const char *part, const rn_desc *desc) {
    const unsigned char images[20] = {0, 0, 8, 4, 0, 0, 0, SAMPLES, 0, 0, 0,
                                      (unsigned char)desc->height, 0, 0, 0,
                                      (unsigned char)desc->width, 0, 0, 0, 3};
    const unsigned char labels[8] = {0, 0, 8, 1, 0, 0, 0, SAMPLES};
    const rn_key key = {3, RN_PURPOSE_AUGMENT, 0};
    char path[128];
    FILE *file;
    int i;
    sprintf(path, "%s_data/%s-images-idx4-ubyte", name, part);
    file = create(path);
    fwrite(images, 1, sizeof images, file);
    for (i = 0; i < SAMPLES * desc->height * desc->width * 3; i++)
        fputc((int)(rn_random(key, (uint64_t)i) & 255), file);
    fclose(file);
    sprintf(path, "%s_data/%s-labels-idx1-ubyte", name, part);
    file = create(path);
    fwrite(labels, 1, sizeof labels, file);
    for (i = 0; i < SAMPLES; i++) fputc(i % CLASSES, file);
    fclose(file);
}

static void draw(const char *name, rn_desc desc, int base_width) {
    rn_error error = {RN_OK, ""};
    rn_net *net;
    int c;
    desc.channels = 3, desc.classes = CLASSES, desc.base_width = base_width;
    for (c = 0; c < 3; c++) desc.mean[c] = 0.4f + 0.05f * (float)c, desc.deviation[c] = 0.25f;
    net = rn_create(&desc, 1, RN_INFERENCE, NULL, &error);
    if (!net) fprintf(stderr, "%s\n", error.text), exit(2);
    net_draw(net, 1);
    if (rn_save(net, name, NULL, &error)) exit(2);
    save_samples(name, "train", &desc), save_samples(name, "t10k", &desc);
    rn_destroy(net);
}

/* Images of MLPerf Tiny's net: two of the test set, three of random bytes. */
static void published(const char *directory) {
    static signed char bytes[IMAGES * 3072];
    const rn_key key = {4, RN_PURPOSE_AUGMENT, 0};
    char path[1024];
    rn_archive archive;
    rn_entry entry;
    FILE *file;
    int i;
    sprintf(path, "%.900s/int8_tensors4.safetensors", directory);
    if (rn_archive_open(&archive, path, NULL, NULL)) exit(3);
    if (rn_archive_find(&archive, "input", &entry, NULL) || entry.bytes != 4 * 3072) exit(3);
    if (rn_archive_read(&archive, &entry, 0, bytes, 2 * 3072, NULL)) exit(3);
    rn_archive_close(&archive);
    for (i = 2 * 3072; i < IMAGES * 3072; i++) {
        const uint64_t word = rn_random(key, (uint64_t)i);
        bytes[i] = (signed char)(i < 4 * 3072 ? (int)(word & 255) - 128 : word & 1 ? 127 : -128);
    }
    for (i = 0; i < IMAGES; i++) {
        sprintf(path, "image%d", i);
        file = create(path);
        fwrite(bytes + i * 3072, 1, 3072, file), fclose(file);
    }
}

int main(int count, char **words) {
    /* gates, max-pool, average pools, affine; pad_subsample and factors; odd widths; zeros that count */
    draw("gated", net_desc(RN_RELU_PREACT, RN_BOTTLENECK, RN_SHORTCUT_EXCLUSIVE, RN_RESIZE_D,
                           RN_STEM_IMAGENET), 3);
    draw("scaled", net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_SCALE, RN_RESIZE_A_CENTRED,
                            RN_STEM_CIFAR), 5);
    draw("original", net_desc(RN_ORIGINAL, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_B_BN,
                              RN_STEM_BIT), 4);
    if (count > 1) published(words[1]);
    return 0;
}
END
mkdir gated_data scaled_data original_data
${CC:-cc} -O1 -o draw draw.c -lm || exit 1
check "nets" ./draw ${tiny:+"$tiny"} || exit 1

# ---- what is compiled with an emitted file -------------------------------------------------------

# selftest: the test vector in the file
cat >selftest.c <<END
#include "board.h"
int net_selftest(void);
int main(void) {
    const int wrong = net_selftest();
    board_write_number(wrong);
    board_write(" wrong\n");
    return wrong != 0;
}
END
# predict IMAGE... LOGITS: of the published net
cat >predict.c <<END
#include "board.h"
void net_predict(const int8_t *image, int8_t *logits);
enum { IMAGES = 5 };
static int8_t image[3072], logits[IMAGES * 10];
int main(int count, char **words) {
    uint64_t before, instructions = 0;
    size_t images = 0;
    for (int i = count - 1 - IMAGES; i < count - 1; i++, images++) {
        if (i < 0 || board_read_file(words[i], image, sizeof image) != sizeof image) return 5;
        if (!images) board_paint_stack();
        before = board_instructions();
        net_predict(image, logits + 10 * images);
        if (!images) instructions = board_instructions() - before;
        if (!images) board_write("stack "), board_write_number((int64_t)board_stack_used());
    }
    board_write(" bytes, ");
    board_write_number((int64_t)instructions);
    board_write(" instructions\n");
    return board_write_file(words[count - 1], logits, sizeof logits);
}
END
# batch TEST_BATCH LOGITS COUNT: the first test images
cat >batch.c <<END
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
void net_predict(const int8_t *image, int8_t *logits);
int main(int count, char **words) {
    static unsigned char record[3073];
    static int8_t image[3072], logits[10], expected[10];
    FILE *batch = fopen(words[1], "rb"), *results = fopen(words[2], "rb");
    int images = 0, wrong = 0, i, c;
    if (count != 4 || !batch || !results) return 2;
    for (; images < atoi(words[3]) && fread(record, 1, 3073, batch) == 3073; images++) {
        for (i = 0; i < 1024; i++)
            for (c = 0; c < 3; c++) image[3 * i + c] = (int8_t)(record[1 + 1024 * c + i] - 128);
        if (fread(expected, 1, 10, results) != 10) return 3;
        net_predict(image, logits);
        for (i = 0; i < 10; i++) wrong += logits[i] != expected[i];
    }
    printf("%d images, %d bytes wrong\n", images, wrong);
    return images != atoi(words[3]) || wrong;
}
END

# ---- how they are compiled and run ---------------------------------------------------------------

warnings="-std=c99 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror"
sanitizers="-fsanitize=address,undefined -fno-sanitize-recover=all"
echo 'int main(void) { return 0; }' >empty.c
# shellcheck disable=SC2086
if ! ${CC:-cc} $sanitizers -o empty empty.c 2>/dev/null; then
    echo "emit_int8: skipped the sanitizers, which ${CC:-cc} has not"
    sanitizers=
fi

on_this_computer() { # on_this_computer PROGRAM NET WORD...
    program=$1 net=$2
    shift 2
    # shellcheck disable=SC2086
    ${CC:-cc} -O1 $warnings $sanitizers -I"$mcu" -o run "$program.c" "$net.c" "$mcu/pc.c" -lm &&
        ./run "$@"
}

no_float() { arm-none-eabi-nm board.elf >symbols && ! grep -E '__aeabi_(f|d|.*2f|.*2d)' symbols; }
on_board() { # on_board BOARD FLAG PROGRAM NET WORD...
    choose "$1"
    flag=$2 program=$3 net=$4
    shift 4
    # shellcheck disable=SC2086
    arm-none-eabi-gcc $warnings $flag $target -o board.elf "$program.c" "$net.c" \
        "$mcu/startup.c" && no_float && run_on_board "$@"
}

find_boards emit_int8 m3 m4 m55

# ---- the published net ---------------------------------------------------------------------------

images="image0 image1 image2 image3 image4"
is_published() { cmp -n 20 found "$tiny/int8_logits.i8" && cmp found expected; }
published_here() {
    # shellcheck disable=SC2086
    on_this_computer predict "$1" $images found && is_published
}
published_on_board() { # published_on_board BOARD FLAG NET
    # shellcheck disable=SC2086
    on_board "$1" "$2" predict "$3" $images found && is_published
}
# On a Cortex-M4 at most 32 million instructions (CMSIS-NN: 28.5 million), in 50 KB with the stack
# and the image, 12 KB of code and 80 KB of constants besides those of the image.
within_its_limits() {
    choose m4
    # shellcheck disable=SC2086
    arm-none-eabi-gcc -O2 $target -Wl,--defsym=RAM_BYTES=51200 -Wl,--defsym=STACK_BYTES=1024 \
        -o board.elf predict.c published.c "$mcu/startup.c" && arm-none-eabi-size -A board.elf &&
        arm-none-eabi-gcc -O2 $target -c -o net.o published.c || return 1
    text=$(arm-none-eabi-size -A net.o | awk '/^.text/ { n += $2 } END { print n }')
    constants=$(arm-none-eabi-size -A net.o | awk '/^.rodata/ && !/test_/ { n += $2 } END { print n }')
    echo "$instructions instructions, $stack bytes of stack, $text of code, $constants of constants"
    [ "$instructions" -le 32000000 ] && [ "$stack" -le 1024 ] && [ "$text" -le 12288 ] && [ "$constants" -le 81920 ]
}
all_images() {
    ${CC:-cc} -O3 -o batch batch.c published.c &&
        "$python" "$here/test_batch.py" "$root/../shared/data/cifar10-jpeg.tar.xz" test_batch.bin &&
        ./batch test_batch.bin "$tiny/int8_logits.i8" 10000
}
# The wider net of 2026, read from TensorFlow's own file.
wider() {
    "$root/tools/convert_tflite.py" "$tiny/pretrainedResnet_large_int8.tflite" wider.safetensors &&
        "$emit_c" wider.safetensors wider.c && ${CC:-cc} -O3 -o batch batch.c wider.c &&
        ./batch test_batch.bin "$tiny/large_int8_logits1000.i8" 300
}
python=/usr/bin/python3
[ -x $python ] || python=python3
if [ -n "$tiny" ]; then
    check "published: emitted" "$emit_c" "$tiny/weights_int8.safetensors" published.c
    least=$(sed -n 's/.*--arena \([0-9]*\) is the least.*/\1/p' "$work/log")
    check "published: emitted in $least bytes" "$emit_c" --arena "$least" \
        "$tiny/weights_int8.safetensors" striped.c
    # shellcheck disable=SC2086
    check "published: here" on_this_computer predict published $images expected
    check "published: in stripes" published_here striped
    if $python -c 'import PIL' 2>/dev/null; then
        check "published: all test images" all_images
        check "published: the wider net" wider
    else
        echo "emit_int8: skipped all test images but two, for there is no python3 with Pillow"
    fi
    for board in $boards; do
        check "published: on $board" published_on_board "$board" -O2 published
        stack=$(sed -n 's/.*stack \([0-9]*\) bytes, .*/\1/p' "$work/log")
        instructions=$(sed -n 's/.* \([0-9]*\) instructions$/\1/p' "$work/log")
        [ "$board" != m4 ] || check "published: its limits" within_its_limits
        [ "$board" != m4 ] ||
            check "published: in stripes on $board" published_on_board m4 -Os striped
    done
else
    echo "emit_int8: skipped ../shared/mlperf_tiny, which is not there"
fi

# ---- nets of all kinds ---------------------------------------------------------------------------

for net in gated scaled original; do
    check "$net: emitted" "$emit_c" --int8 ${net}_data --dataset idx $net $net.c
    check "$net: here" on_this_computer selftest $net
    for board in $boards; do
        check "$net: on $board" on_board "$board" -O2 selftest $net
        check "$net: on $board, not optimised" on_board "$board" -O0 selftest $net
    done
done
for board in $boards; do check "kernels on $board" kernels_on_board "$board" int8_kernels.c; done

echo "emit_int8: $checks checks, $failures failed"
[ "$failures" = 0 ]
