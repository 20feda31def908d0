#!/bin/sh
# emit_float.sh - nets in float that tools/emit_c writes, on this computer and as programs for Arm's
# Cortex-M under QEMU: small nets with every kind of layer against the header's logits, the kernels of
# each processor, MLPerf Tiny's ResNet-8 against its reference, and nothing of double in a program.
# What emit.sh does for many nets on this computer it does for few, but on other machines.
#
# tests/emit_float.sh   (from anywhere; it writes to a temporary directory)

# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"
# shellcheck source=boards.sh
. "$here/boards.sh"
cd "$work" || exit 1

make -s -C "$root/tools" emit_c || exit 1

# ---- nets, images [N][H][W][C] and the logits that they should have --------------------------------

cat >draw.c <<END
#define RESNET_IMPLEMENTATION
#include "$root/resnet.h"
#include "$here/test.h"
#include "$here/nets.h"

enum { IMAGES = 4, CLASSES = 5 };

static void save(const char *name, const char *suffix, const float *numbers, size_t count) {
    char path[64];
    FILE *file;
    sprintf(path, "%s.%s", name, suffix);
    file = fopen(path, "wb");
    if (!file || fwrite(numbers, sizeof(float), count, file) != count || fclose(file)) exit(2);
}

static void draw(const char *name, rn_desc desc, int base_width) {
    static float image[1 << 12], turned[IMAGES << 12], logits[IMAGES * CLASSES];
    const int pixels = desc.height * desc.width;
    const rn_key key = {5, RN_PURPOSE_AUGMENT, 0};
    rn_error error = {RN_OK, ""};
    rn_net *net;
    int n, i;
    desc.channels = 3, desc.classes = CLASSES, desc.base_width = base_width;
    net = rn_create(&desc, 1, RN_INFERENCE, NULL, &error);
    if (!net) fprintf(stderr, "%s\n", error.text), exit(2);
    net_draw(net, 1);
    for (n = 0; n < IMAGES; n++) {
        for (i = 0; i < 3 * pixels; i++) {
            image[i] = (float)rn_normal(key, (uint64_t)(n * 3 * pixels + i));
            turned[(n * pixels + i % pixels) * 3 + i / pixels] = image[i];
        }
        if (rn_predict(net, rn_workspace(net), image, 1, logits + n * CLASSES, &error)) exit(2);
    }
    save(name, "images", turned, (size_t)(IMAGES * 3 * pixels));
    save(name, "expected", logits, IMAGES * CLASSES);
    if (rn_save(net, name, NULL, &error)) exit(2);
    rn_destroy(net);
}

/* Images of MLPerf Tiny's ResNet-8, whose pixels are those of the int8 net plus 128. */
static void published(const char *directory) {
    static signed char bytes[IMAGES * 3072];
    static float images[IMAGES * 3072], logits[IMAGES * 10];
    char path[1024];
    rn_archive archive;
    rn_entry entry;
    FILE *file;
    int i;
    sprintf(path, "%.900s/int8_tensors4.safetensors", directory);
    if (rn_archive_open(&archive, path, NULL, NULL)) exit(3);
    if (rn_archive_find(&archive, "input", &entry, NULL) || entry.bytes != sizeof bytes) exit(3);
    if (rn_archive_read(&archive, &entry, 0, bytes, sizeof bytes, NULL)) exit(3);
    rn_archive_close(&archive);
    for (i = 0; i < IMAGES * 3072; i++) images[i] = (float)bytes[i] + 128;
    sprintf(path, "%.900s/float_logits64.f32", directory);
    file = fopen(path, "rb");
    if (!file || fread(logits, sizeof logits, 1, file) != 1 || fclose(file)) exit(3);
    save("published", "images", images, IMAGES * 3072);
    save("published", "expected", logits, IMAGES * 10);
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

# compare FOUND EXPECTED: prints the largest difference and fails above 1e-5 of the largest number
cat >compare.c <<END
#include <math.h>
#include <stdio.h>
static double worse(double a, double b) { return a != a || b != b ? HUGE_VAL : a > b ? a : b; }
int main(int count, char **words) {
    FILE *found = fopen(words[1], "rb"), *expected = fopen(words[2], "rb");
    double worst = 0, largest = 0;
    float a, b;
    int n = 0;
    if (count != 3 || !found || !expected) return 2;
    while (fread(&b, sizeof b, 1, expected) == 1) {
        if (fread(&a, sizeof a, 1, found) != 1) return 3;
        worst = worse(worst, fabs((double)a - b));
        if (fabs(b) > largest) largest = fabs(b);
        n++;
    }
    printf("%d numbers, difference %.3g, %.3g of the largest\n", n, worst, worst / largest);
    return n == 0 || fread(&a, sizeof a, 1, found) == 1 || !(worst <= 1e-5 * largest);
}
END

# predict IMAGES LOGITS, here or on a board
cat >predict.c <<END
#include "board.h"
void net_predict(const float *image, float *logits);
int net_selftest(void);
static float images[4 * IMAGE], logits[4 * CLASSES];
int main(int count, char **words) {
    uint64_t before;
    if (count < 2 || net_selftest()) return 4;
    if (board_read_file(words[count - 2], images, sizeof images) != sizeof images) return 5;
    board_paint_stack();
    before = board_instructions();
    net_predict(images, logits);
    board_write_number((int64_t)(board_instructions() - before));
    board_write(" instructions, stack ");
    board_write_number((int64_t)board_stack_used());
    board_write("\n");
    for (int n = 1; n < 4; n++) net_predict(images + n * IMAGE, logits + n * CLASSES);
    return board_write_file(words[count - 1], logits, sizeof logits);
}
END

tiny=$root/../shared/mlperf_tiny
[ -e "$tiny/weights_float.safetensors" ] || tiny=
${CC:-cc} -O1 -o draw draw.c -lm && ${CC:-cc} -o compare compare.c -lm || exit 1
check "nets" ./draw ${tiny:+"$tiny"} || exit 1
[ -z "$tiny" ] || cp "$tiny/weights_float.safetensors" published

# ---- how they are compiled and run ---------------------------------------------------------------

warnings="-std=c99 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror"
sizes() { # macros of a net's sizes
    echo "-DIMAGE=$(($(wc -c <"$1.images") / 16)) -DCLASSES=$(($(wc -c <"$1.expected") / 16))"
}

on_this_computer() { # on_this_computer NET FLAG...
    net=$1
    shift
    # shellcheck disable=SC2046,SC2086
    ${CC:-cc} $warnings "$@" $(sizes "$net") -I"$mcu" -o run predict.c "$net.c" "$mcu/pc.c" -lm &&
        ./run "$net.images" found && ./compare found "$net.expected"
}

no_double() { # of the functions that a processor without an FPU for double needs
    arm-none-eabi-nm board.elf >symbols && ! grep -E '__aeabi_(d|.*2d)' symbols
}
on_board() { # on_board BOARD NET: within 1e-5 of this computer's logits and of the right ones
    choose "$1"
    net=$2
    # shellcheck disable=SC2046,SC2086
    arm-none-eabi-gcc $warnings -O2 $target $(sizes "$net") -o board.elf predict.c "$net.c" "$mcu/startup.c" -lm &&
        no_double && run_on_board "$net.images" on_board && ./compare on_board found &&
        ./compare on_board "$net.expected"
}

find_boards emit_float m3 m4 m7 m55

# ---- all of it -----------------------------------------------------------------------------------

for net in gated scaled original ${tiny:+published}; do
    check "$net: emitted" "$root/tools/emit_c" "$net" "$net.c"
    check "$net: as plain loops" on_this_computer "$net" -O1 -DPLAIN
    check "$net: here" on_this_computer "$net" -O2
    for board in $boards; do
        [ "$net $board" = "published m3" ] || check "$net: on $board" on_board "$board" "$net"
    done
done
for board in $boards; do check "kernels on $board" kernels_on_board "$board" float_kernels.c; done
[ -n "$tiny" ] || echo "emit_float: skipped ../shared/mlperf_tiny, which is not there"

echo "emit_float: $checks checks, $failures failed"
[ "$failures" = 0 ]
