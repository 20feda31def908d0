#!/bin/sh
# images.sh - pictures in: one picture in every form that the examples read, with stb_image (if it is
# there) and without; what is refused; and the data set of a folder for each class: its classes, its
# parts, its images, with memory for them or none; the trainer on it, and predict's names.
#
# tests/images.sh   (from anywhere; it writes to a temporary directory)

LC_ALL=C
# What a program that ends with a message leaves is no leak; a fault is not one of our messages.
ASAN_OPTIONS=detect_leaks=0:exitcode=99
UBSAN_OPTIONS=exitcode=99
export LC_ALL ASAN_OPTIONS UBSAN_OPTIONS
# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"
files=$here/picture_files

# refused STATUS WORDS COMMAND...: it ends with this status and says so
refused() {
    status=$1 words=$2
    shift 2
    "$@" >"$work/said" 2>&1
    found=$?
    cat "$work/said"
    [ $found = "$status" ] && grep -q -e "$words" "$work/said"
}

# says WORDS COMMAND...: it succeeds, and prints just this
says() {
    words=$1
    shift
    "$@" >"$work/said" 2>"$work/errors" || { cat "$work/errors"; return 1; }
    cat "$work/said" "$work/errors"
    [ "$(cat "$work/said")" = "$words" ]
}

cat >"$work/reader.c" <<'END'
#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "example.h"
static pixmap open_any(const char *path) {
    unsigned char b[20];
    FILE *file = open_picture(path, b);
    pixmap m = read_picture(file, path, b);
    fclose(file);
    if (!m.channels) quit(1, "%s is no picture", path);
    return m;
}
/* Sizes and the largest difference of two pictures. */
static void compare(const char *path, const char *other) {
    pixmap a = open_any(path), b = open_any(other);
    int i, most = 0;
    if (a.channels != b.channels || a.height != b.height || a.width != b.width)
        quit(1, "%s is [%d,%d,%d]", path, a.channels, a.height, a.width);
    for (i = 0; i < a.channels * a.height * a.width; i++)
        if (abs(a.pixels[i] - b.pixels[i]) > most) most = abs(a.pixels[i] - b.pixels[i]);
    printf("%d%s\n", most, a.alpha ? " alpha" : "");
    free(a.pixels);
    free(b.pixels);
}
/* A data set: classes and images; then what two readings have in common. */
static void show_folder(const char *path, int train, const char *stem, int bytes) {
    rn_desc desc;
    rn_data data;
    rn_error error;
    rn_status status;
    uint64_t sums[2] = {0, 0};
    const folder *f;
    memset(&desc, 0, sizeof desc);
    desc.height = 6, desc.width = 8;
    check(rn_desc_set(&desc, "stem", stem, &error), &error);
    open_folder(&data, &desc, path, train, (size_t)bytes);
    f = (const folder *)data.source.user;
    for (int i = 0; i < f->classes.count; i++) printf("%s ", f->classes.list[i]);
    printf("%td:", data.source.count);
    for (ptrdiff_t i = 0; i < f->count; i++)
        printf(" %d%s", f->pictures[i].label, strrchr(f->pictures[i].path, '/'));
    for (int i = 0; i < 2; i++) {
        status = rn_source_checksum(&data.source, &sums[i], &error);
        check(status, &error);
    }
    printf(" %d kept, %s\n", (int)(f->kept / (3 * 6 * 8)), sums[0] == sums[1] ? "the same" : "other");
    fprintf(stderr, "sum %llu\n", (unsigned long long)sums[0]);
    rn_data_free(&data);
}
int main(int count, char **words) {
    program = "reader";
    if (count == 3) compare(words[1], words[2]);
    if (count == 5) show_folder(words[1], atoi(words[2]), words[3], atoi(words[4]));
    return finish();
}
END
warnings="-Wall -Wextra -Werror -Wno-unknown-pragmas"
# build NAME FLAGS...: of the reader
build() {
    name=$1
    shift
    # shellcheck disable=SC2086
    compile "$name" reader.c $warnings "$@" -I"$root/examples"
}
check "the reader without stb_image" build plain || exit 1
stb=
for name in '<stb/stb_image.h>' '<stb_image.h>'; do
    [ -n "$stb" ] || ! echo "#include $name" | ${CC:-cc} -x c -E - >/dev/null 2>&1 || stb=$name
done
if [ -n "$stb" ]; then check "the reader with stb_image" build stb "-DSTB_IMAGE=$stb" || exit 1
else echo "images: skipped PNG, JPEG and BMP, for there is no stb_image (libstb-dev)"; fi
cd "$work" || exit 1
# makes FLAG: how the example is built by a compiler that finds headers nowhere but by FLAG
makes() { MAKEFLAGS= make -n -B -C "$root/examples" predict CFLAGS="-nostdinc $1" >made; }
mkdir one one/stb other
touch one/stb/stb_image.h other/stb_image.h
check "examples without stb_image" makes
check "do not take it" sh -c 'grep predict.c made && ! grep STB_IMAGE made'
check "where Debian has it" makes "-I$work/one"
check "it is taken" grep -e "-DSTB_IMAGE='<stb/stb_image.h>'" made
check "where it has no directory" makes "-I$work/other"
check "it is taken, too" grep -e "-DSTB_IMAGE='<stb_image.h>'" made

# ---- forms ---------------------------------------------------------------------------------------

check "a PPM" says 0 ./plain "$files/colour.ppm" "$files/colour.ppm"
for name in colour.png:PNG colour.jpg:JPEG colour.bmp:BMP; do
    check "without stb_image: $name" refused 1 \
        "is a ${name#*:}; this program was built without stb_image: install it (Debian's libstb-dev)" \
        ./plain "$files/${name%:*}" "$files/colour.ppm"
done
check "a PPM from a pipe" refused 1 "/dev/stdin cannot be read twice" \
    sh -c "cat '$files/colour.ppm' | ./plain /dev/stdin '$files/colour.ppm'"
printf 'GIF89aaaaaaaaaaaaaaaaa' >a.gif
check "a GIF" refused 1 'a.gif is a GIF; take what this writes: giftopnm < a.gif > NAME' ./plain a.gif a.gif
printf 'RIFFaaaaWEBPVP8 aaaaaaa' >a.webp
check "a WebP" refused 1 'a.webp is a WebP; .*: dwebp -ppm a.webp -o - > NAME' ./plain a.webp a.webp
if [ -n "$stb" ]; then
    check "a PPM beside stb_image" says 0 ./stb "$files/colour.ppm" "$files/colour.ppm"
    for name in colour.png colour.bmp top_down.bmp deep.png; do
        check "$name" says 0 ./stb "$files/$name" "$files/colour.ppm"
    done
    check "a PNG with a palette" says 0 ./stb "$files/palette.png" "$files/palette.ppm"
    check "a PNG with an alpha channel" says "0 alpha" ./stb "$files/alpha.png" "$files/colour.ppm"
    check "a grey PNG" says 0 ./stb "$files/grey.png" "$files/grey.pgm"
    check "a grey PNG of 16 bits" says 0 ./stb "$files/deep_grey.png" "$files/grey.pgm"
    check "a grey PNG with an alpha channel" says "0 alpha" ./stb "$files/grey_alpha.png" "$files/grey.pgm"
    # By decoders that may differ: near.
    near() { "$@" >said && cat said && [ "$(cat said)" -le 8 ]; }
    for name in colour.jpg progressive.jpg cmyk.jpg; do
        check "$name" near ./stb "$files/$name" "$files/colour.ppm"
    done
    check "a grey JPEG" near ./stb "$files/grey.jpg" "$files/grey.pgm"
    check "CMYK that is not told" refused 1 \
        'cmyk_untold.jpg is a JPEG of four colours (CMYK) .*; take .* -colorspace sRGB' \
        ./stb "$files/cmyk_untold.jpg" "$files/colour.ppm"
    head -c 700 "$files/colour.jpg" >cut.jpg
    check "a JPEG that is cut" refused 1 'cut.jpg is a JPEG that is cut' ./stb cut.jpg cut.jpg
    head -c 500 "$files/colour.png" >cut.png
    check "a PNG that is cut" refused 1 'cut.png is a PNG that is damaged' ./stb cut.png cut.png
    head -c 20 "$files/colour.png" >cut.png
    check "a PNG without its header" refused 1 'cut.png is a PNG that is damaged' ./stb cut.png cut.png
    { head -c 16 "$files/colour.png" && printf '\000\001\000\000\000\001\000\000\010\002\000\000\000aaaa'; } >huge.png
    check "a PNG that is too large" refused 1 'huge.png is a PNG that is damaged, or of a kind not' \
        ./stb huge.png huge.png
    i=0 # bytes of the file, each another value: a picture or a message, and no more
    while [ $i -lt 120 ]; do
        for name in colour.png cmyk.jpg colour.bmp; do
            cp "$files/$name" damaged
            printf '\376' | dd of=damaged bs=1 seek=$((i * 7 % 800)) conv=notrunc 2>/dev/null
            ./stb damaged damaged >said 2>&1
            [ $? -le 1 ] || { cp damaged "kept_$i" && echo "$name, byte $((i * 7 % 800))" >>crashed; }
        done
        i=$((i + 1))
    done
    check "pictures with a byte changed" test ! -e crashed
fi

# ---- folders -------------------------------------------------------------------------------------

# picture FILE NUMBER: a PPM of one colour
picture() {
    printf 'P3 2 2 255 %d 9 9 %d 9 9 %d 9 9 %d 9 9\n' "$2" "$2" "$2" "$2" >"$1"
}
mkdir -p set/pear set/apple set/.hidden set/fig
for i in 1 2 3 4 5 6; do picture set/pear/$i.ppm $i; done
for i in a b c d e; do picture set/apple/$i.PNM 50; done
for i in 1 2 3 4; do picture set/fig/$i.pnm 70; done
echo notes >set/apple/notes.txt
echo notes >set/notes.txt
picture set/apple/.x.ppm 1
check "classes and pictures for training" says \
    "apple fig pear 13: 0/a.PNM 0/b.PNM 0/c.PNM 0/d.PNM 1/1.pnm 1/2.pnm 1/3.pnm 1/4.pnm 2/1.ppm 2/2.ppm 2/3.ppm 2/4.ppm 2/6.ppm 13 kept, the same" \
    ./plain set 1 cifar 100000
mv errors all
check "for testing" says "apple fig pear 2: 0/e.PNM 2/5.ppm 2 kept, the same" ./plain set 0 cifar 100000
check "without memory for them" says \
    "apple fig pear 13: 0/a.PNM 0/b.PNM 0/c.PNM 0/d.PNM 1/1.pnm 1/2.pnm 1/3.pnm 1/4.pnm 2/1.ppm 2/2.ppm 2/3.ppm 2/4.ppm 2/6.ppm 2 kept, the same" \
    ./plain set 1 cifar 300
check "the same images" cmp all errors
mkdir parts
cp -r set parts/train
check "only train" says "apple fig pear 2: 0/e.PNM 2/5.ppm 2 kept, the same" ./plain parts 0 cifar 100000
mkdir -p parts/val/pear
picture parts/val/pear/v.ppm 3
check "train and val: all for training" says \
    "apple fig pear 15: 0/a.PNM 0/b.PNM 0/c.PNM 0/d.PNM 0/e.PNM 1/1.pnm 1/2.pnm 1/3.pnm 1/4.pnm 2/1.ppm 2/2.ppm 2/3.ppm 2/4.ppm 2/5.ppm 2/6.ppm 15 kept, the same" \
    ./plain parts 1 cifar 100000
check "train and val: for testing" says "apple fig pear 1: 2/v.ppm 1 kept, the same" ./plain parts 0 cifar 100000
mkdir -p parts/test/fig
picture parts/test/fig/t.ppm 3
check "test counts more than val" says "apple fig pear 1: 1/t.ppm 1 kept, the same" ./plain parts 0 cifar 100000
mkdir parts/test/plum
check "a class that only the test has" refused 1 'parts/test has the class plum, but parts/train does not' \
    ./plain parts 0 cifar 9
check "no directory" refused 1 'cannot open the directory nowhere' ./plain nowhere 1 cifar 9
check "no classes" refused 1 'set/pear has 0 directories, but .* one for each class' ./plain set/pear 1 cifar 9
mkdir -p empty/a empty/b
picture empty/a/1.ppm 1
check "a class without pictures" refused 1 'empty/b holds no picture' ./plain empty 1 cifar 9
picture empty/b/1.ppm 1
check "none for testing" refused 1 'for testing, .*; or put those for training into empty/train/NAME' \
    ./plain empty 0 cifar 9
mkdir -p parted/test
cp -r empty parted/train
check "none of its classes" refused 1 'parted/test has none of the classes of parted/train' ./plain parted 0 cifar 9
printf 'P6 9 9 255\nabc' >empty/b/1.ppm
check "errors name the file" refused 1 'empty/b/1.ppm is cut' ./plain empty 1 cifar 9
echo "this is no picture at all" >empty/b/1.ppm
check "a picture by its name alone" refused 1 'empty/b/1.ppm is no picture, whatever its name' \
    ./plain empty 1 cifar 9
# What a net of the CIFAR stem sees of a tall picture is all of it; one of ImageNet's sees the centre.
mkdir -p tall/a tall/b
printf 'P2 4 12 255 %s\n' "$(printf '%d ' 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9)" >tall/a/1.ppm
printf '255 255 255 255 255 255 255 255 255 255 255 255 255 255 255 255\n' >>tall/a/1.ppm
cp tall/a/1.ppm tall/b/1.ppm
checks=$((checks + 1))
if ! ./plain tall 1 cifar 0 2>stretched >said || ! ./plain tall 1 imagenet 0 2>centre >said || cmp -s stretched centre; then
    failures=$((failures + 1))
    echo "images: failed: stems see different parts of a picture"
fi

# ---- the trainer, and names ----------------------------------------------------------------------

for program in cifar predict; do
    # shellcheck disable=SC2086
    check "$program" compile $program "$root/examples/$program.c" $warnings ${stb:+"-DSTB_IMAGE=$stb"} || exit 1
done
rm -r parts/test set/.hidden
[ -z "$stb" ] || cp "$files/alpha.png" parts/train/fig/
small="--dataset folder --data parts --depth 8 --base-width 4 --height 8 --width 8 --batch 8"
# shellcheck disable=SC2086
check "training" ./cifar $small --iterations 6 --pad 1 --out out
cp log trained
if [ -n "$stb" ]; then
    check "says what is left out" grep -q '1 pictures have an alpha channel' trained
fi
printf 'apple\nfig\npear\n' >expected
check "names of the classes" cmp expected out/classes.txt
# shellcheck disable=SC2086
check "testing" ./cifar $small --eval out/last.ckpt --memory 0
# shellcheck disable=SC2086
check "resuming" ./cifar $small --iterations 8 --pad 1 --out out --resume
# shellcheck disable=SC2086
check "another number of classes" refused 2 'the number of classes of the net is 5, but the data.s is 3' \
    ./cifar $small --classes 5 --iterations 1 --out other
check "what the data is" refused 2 'should be cifar10, cifar100, idx or folder' ./cifar --dataset folders
check "predict" ./predict out/last.ckpt set/pear/1.ppm --classes out/classes.txt
./predict out/last.ckpt set/pear/1.ppm --classes out/classes.txt >said
check "with names" grep -q '0 apple$' said
printf 'apple\r\nfig\r\npear, green' >dos.txt
./predict out/last.ckpt set/pear/1.ppm --classes dos.txt >said
check "with names that end in other ways" sh -c "grep -q '1 fig\$' said && grep -q '2 pear, green\$' said"
check "too few names" refused 2 'short.txt has 1 names and the net 3 classes' sh -c \
    'echo one >short.txt; ./predict out/last.ckpt set/pear/1.ppm --classes short.txt'
check "two lists" refused 2 'give one of them' ./predict out/last.ckpt set/pear/1.ppm --classes dos.txt --names a,b,c
# Names that the file has: written by a copy of its header with another key.
cat >name.py <<'END'
import json, struct, sys, zlib
source, target, names = sys.argv[1:]
data = open(source, "rb").read()
size, = struct.unpack("<Q", data[:8])
header = json.loads(data[8:8 + size])
header["__metadata__"].update(class_names=names.replace("/", "\n"), crc="00000000")
text = json.dumps(header).encode()
data = struct.pack("<Q", len(text)) + text + data[8 + size:]
open(target, "wb").write(data.replace(b"00000000", b"%08x" % zlib.crc32(data), 1))
END
if command -v python3 >/dev/null; then
    python3 -S name.py out/last.ckpt named "red apple/fig \"a\"/pear"
    ./predict named set/pear/1.ppm >said
    check "names in the file" sh -c "grep -q '0 red apple\$' said && grep -q '1 fig \"a\"\$' said"
    ./predict named set/pear/1.ppm --names x,y,z >said
    check "flags count more" grep -q '2 z$' said
    python3 -S name.py out/last.ckpt named "$(head -c 40000 /dev/zero | tr '\000' a)/b/c"
    ./predict named set/pear/1.ppm >said
    check "long names" grep -q '1 b$' said
    python3 -S name.py out/last.ckpt named a/b
    ./predict named set/pear/1.ppm >said 2>errors
    check "names of others" sh -c "grep -q 'named has 2 class names, but 3 classes' errors && grep -q '1 \$' said"
else
    echo "images: skipped names in a file, for there is no python3"
fi

echo "images: $checks checks, $failures failed"
[ "$failures" = 0 ]
