#!/bin/sh
# predict.sh - what the examples read: the same picture in every form that examples/predict knows
# gives the same line, damaged ones and other files are refused in words, data sets are found by
# their names, and --help says what a program does.
#
# tests/predict.sh   (from anywhere; it writes to a temporary directory)

# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"
LC_ALL=C
ASAN_OPTIONS=detect_leaks=0 # what a program that ends with a message leaves is no leak
export LC_ALL ASAN_OPTIONS

# Writes weights of some nets, or opens a data set: DIRECTORY CLASSES, 0 for IDX.
cat >helper.c <<'END'
#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "example.h"
static void save(const char *path, int channels, int classes) {
    const int imagenet = !strcmp(path, "centre") || !strcmp(path, "whole");
    rn_desc desc = imagenet ? rn_imagenet(18) : rn_cifar(8);
    rn_error error;
    rn_net *net;
    desc.base_width = 4, desc.channels = channels, desc.classes = classes;
    desc.height = desc.width = imagenet ? 12 : 8;
    desc.crop_fraction = strcmp(path, "centre") ? 1 : 0.8f;
    desc.interpolation = RN_BILINEAR;
    desc.channel_order = strcmp(path, "bgr") ? RN_RGB : RN_BGR;
    net = rn_create(&desc, 1, RN_INFERENCE, NULL, &error);
    if (!net) check(error.status, &error);
    check(rn_save(net, path, NULL, &error), &error);
    rn_destroy(net);
}
int main(int count, char **words) {
    rn_data data;
    if (count == 3) {
        const int classes = atoi(words[2]);
        open_data(&data, classes ? CIFAR100 : IDX, words[1], 1, classes ? classes : 3);
        printf("%d %d %d,%d,%d %d\n", data.source.classes, (int)data.source.count,
               data.source.channels, data.source.height, data.source.width, data.labels[0]);
        return finish();
    }
    save("colour", 3, 5);
    save("grey", 1, 5);
    save("hundred", 3, 100);
    save("twenty", 3, 20);
    save("bgr", 3, 5);
    save("centre", 3, 5);
    save("whole", 3, 5);
    return finish();
}
END
compile helper helper.c -I"$root/examples" && compile predict "$root/examples/predict.c" || exit 1
./helper || exit 1

# fail WORDS: counts a check that went wrong, and shows what the program said
fail() {
    failures=$((failures + 1))
    echo "predict: $*"
    head -3 log
}

# same NET [FLAG...]: the picture in `picture` gives what `expected` holds
same() {
    checks=$((checks + 1))
    net=$1
    shift
    ./predict "$net" picture "$@" >log 2>errors && cmp -s log expected || fail "$what gives something else"
}

# tells WORDS: the last picture made it say this
tells() {
    checks=$((checks + 1))
    grep -q "$1" errors || fail "$what should make it say $1"
}

# other NET: it does not, so what `same` says is worth something
other() {
    checks=$((checks + 1))
    ./predict "$1" picture >log 2>&1 && ! cmp -s log expected || fail "$what should make a difference"
}

# refused STATUS WORDS COMMAND...: ends with this status and says so
refused() {
    checks=$((checks + 1))
    status=$1
    words=$2
    shift 2
    "$@" >log 2>&1
    found=$?
    [ $found = "$status" ] && grep -q -e "$words" log || fail "$what: status $found, without \"$words\""
}

# put WHAT FORMAT: writes the picture
put() {
    what=$1
    # shellcheck disable=SC2059
    printf "$2" >picture
}

# Six colours, 2 rows of 3: (0 51 255) (1 102 200) (255 0 9), (50 60 70) (128 127 126) (35 10 254)
put P6 'P6 3 2 255\n\000\063\377\001\146\310\377\000\011\062\074\106\200\177\176\043\012\376'
./predict colour picture >expected || exit 1
same colour
put "P6 with another byte" \
    'P6 3 2 255\n\000\063\377\001\146\310\377\000\014\062\074\106\200\177\176\043\012\376'
other colour
put "P6 with comments" \
    'P6#a\n# 9 9\n3 # wide\n2\n255\n\000\063\377\001\146\310\377\000\011\062\074\106\200\177\176\043\012\376'
same colour
put "P6 of 16 bits" 'P6\n3 2\n65535\n\000\000\063\063\377\377\001\001\146\146\310\310\377\377\000\000\011\011\062\062\074\074\106\106\200\200\177\177\176\176\043\043\012\012\376\376'
same colour
put P3 'P3\r\n3 2 255 0 51 255 1 102 200\n255 0 9 # a row\n50 60 70 128 127 126 35 10 254'
same colour
put "P3 of 16 bits" 'P3 3 2 65535 0 13107 65535 257 26214 51400 65535 0 2313
12850 15420 17990 32896 32639 32382 8995 2570 65278\n'
same colour
put "PAM of RGB" 'P7\nWIDTH 3\nHEIGHT 2\n#WIDTH 4\n\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n\000\063\377\001\146\310\377\000\011\062\074\106\200\177\176\043\012\376'
same colour
put "PAM without a type" 'P7\nMAXVAL 255\nWIDTH 3\nHEIGHT 2\nDEPTH 3\nENDHDR\n\000\063\377\001\146\310\377\000\011\062\074\106\200\177\176\043\012\376'
same colour
put "PAM of RGB_ALPHA" 'P7\nWIDTH 3\nHEIGHT 2\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n\000\063\377\000\001\146\310\377\377\000\011\001\062\074\106\002\200\177\176\003\043\012\376\004'
same colour
tells 'picture has an alpha channel, which is left out'
put "P3 in the order of BGR, for a net that takes it" \
    'P3 3 2 255 255 51 0 200 102 1 9 0 255 70 60 50 126 127 128 254 10 35'
same bgr
other colour
head='\000\000\010\004\000\000\000\002'
put "IDX [2,2,3,3]" "$head\000\000\000\002\000\000\000\003\000\000\000\003@@@@@@@@@@@@@@@@@@\000\063\377\001\146\310\377\000\011\062\074\106\200\177\176\043\012\376"
same colour --index 1
put "IDX [2,3,2,5]" "$head\000\000\000\003\000\000\000\002\000\000\000\005"'@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@abcdefghijklmnopqrstuvwxyz!?*+'
./predict colour picture --index 1 >expected
put "the same as P3" 'P3 5 2 255
97 107 117 98 108 118 99 109 119 100 110 120 101 111 121
102 112 122 103 113 33 104 114 63 105 115 42 106 116 43'
same colour

put P5 'P5\n3\n2\n255\n\000\063\377\001\146\310'
./predict grey picture >expected || exit 1
put "P5 of 16 bits" 'P5 3 2 65535\n\000\000\063\063\377\377\001\001\146\146\310\310'
same grey
put "P5 of 10 bits" 'P5 3 2 1023\n\000\000\000\315\003\377\000\004\001\231\003\042'
same grey
put P2 'P2 3 2 255 0 51 255 1 102 200'
same grey
put "P2 of another value" 'P2 3 2 255 0 51 255 3 102 200'
other grey
put "PAM of GRAYSCALE" 'P7\nWIDTH 3\nHEIGHT 2\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n\000\063\377\001\146\310'
same grey
put "PAM of GRAYSCALE_ALPHA, 16 bits" 'P7\nWIDTH 3\nHEIGHT 2\nDEPTH 2\nMAXVAL 65535\nTUPLTYPE GRAYSCALE_ALPHA\nENDHDR\n\000\000AB\063\063CD\377\377EF\001\001GH\146\146IJ\310\310KL'
same grey
tells 'picture has an alpha channel, which is left out'
put "IDX [1,2,3]" '\000\000\010\003\000\000\000\001\000\000\000\002\000\000\000\003\000\063\377\001\146\310'
same grey

put "P2 of bits" 'P2 9 2 1  1 0 1 0 0 1 1 1 0  0 1 1 1 1 0 1 0 0'
./predict grey picture >expected || exit 1
put P1 'P1\n# bits\n9 2\n010110001\n1 0 0 0 0 1 0 1 1'
same grey
put P4 'P4\n9 2\n\130\200\205\200'
same grey
put "PAM of BLACKANDWHITE" 'P7\nWIDTH 9\nHEIGHT 2\nDEPTH 1\nMAXVAL 1\nTUPLTYPE BLACKANDWHITE\nENDHDR\n\001\000\001\000\000\001\001\001\000\000\001\001\001\001\000\001\000\000'
same grey

put "a grey of a large picture" "P5 300 2 255\n$(head -c 600 /dev/zero | tr '\000' 'a')"
./predict grey picture >expected || exit 1
put "the same grey of a small one" 'P5 3 2 255\naaaaaa'
same grey

# What timm shows a net of a picture: the centre that Pillow makes of it.
what="the centre by crop_fraction and interpolation"
cp "$here/picture_files/centre_12.ppm" picture
./predict whole picture >expected || exit 1
cp "$here/picture_files/colour.ppm" picture
same centre
other whole

for bad in 'P5 3' 'P5 3 0 255\n' 'P5 -3 2 255\n' 'P5 3 2 0\nabcdef' 'P5 3 2 65536\nabcdef' 'P5 3x 2 255\nabcdef' \
    'P5 100000 2 255\n' 'P5 4294967297 1 255\na' 'P6 99999 99999 255\n' 'P5 3 2 255\nabcde' 'P5 1 1 999\na' \
    'P2 2 1 255 1' 'P2 2 1 255 1 256' 'P2 2 1 255 1 x' 'P1 2 1 02' 'P1 2 1 0' 'P4 9 2\nabc' 'P7\nWIDTH 1\n' \
    'P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nENDHDR\na' 'P7\nWIDTH 1\nHEIGHT 1\nDEPTH 5\nMAXVAL 9\nENDHDR\naaaaa' \
    'P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE CMYK\nENDHDR\naaaa' 'P7\nWIDTH x\nENDHDR\na' \
    'P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 65536\nENDHDR\naa' \
    'P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nDAPTH 2\nENDHDR\na' 'P8 1 1 255\na' 'P512 1 255\na' 'P' \
    '\000\000\010\003\200\000\000\001\200\000\000\002\200\000\000\003abc' \
    '\000\000\010\003\000\000\000\001\000\000\000\000\000\000\000\003abc' \
    '\000\000\010\003\000\000\000\001\000\000\000\002\000\000\000\003abcde'; do
    put "$bad" "$bad"
    refused 1 '^predict: picture' ./predict grey picture
done
put "gzip" '\037\213\010\000aaaaaaaaaaaaaaaaaaaaaaa'
refused 1 'gunzip < picture' ./predict grey picture
put "PNG" '\211PNG\r\n\032\naaaaaaaaaaaaaaaaaaaaaaa'
refused 1 'picture is a PNG; .* pngtopnm < picture' ./predict grey picture
put "JPEG" '\377\330\377\340aaaaaaaaaaaaaaaaaaaaaaa'
refused 1 'picture is a JPEG; .* djpeg < picture' ./predict grey picture
put "IDX labels" '\000\000\010\001\000\000\000\003abc'
refused 1 'picture holds the labels of an IDX set' ./predict grey picture
put "a value above 65535" 'P5 3 2 70000\nabcdef'
refused 1 'a number of its header is above 65535' ./predict grey picture
put "P5, cut" 'P5 3 2 255\nabcd'
refused 1 'cut: it should hold 3 x 2 = 6 pixels, but ends at number 5' ./predict grey picture
put "P2, cut" 'P2 3 2 255 1 2'
refused 1 'ends at number 3' ./predict grey picture
put "nothing" ''
refused 1 'picture cannot be read: it is too short' ./predict grey picture
what="a directory"
refused 1 '[.] cannot be read: Is a directory' ./predict grey .
put "--index" 'P5 3 2 255\nabcdef'
refused 2 'picture is one picture; leave --index out' ./predict grey picture --index 0
what="too few names"
refused 2 '--names has 2 names and the net 5 classes' ./predict grey picture --names a,b
what="no name"
refused 2 '--names has 1 names' ./predict grey picture --names ''
what="a list of names as editors write it"
printf '\357\273\277a\r\nb\r\nc\r\nd\r\nlast\r\n\r\n' >list
checks=$((checks + 1))
./predict grey picture --classes list >log 2>&1 && grep -q '0 a$' log && grep -q '4 last$' log || fail "$what"
what="names"
checks=$((checks + 1))
./predict grey picture --names a,b,c,d,last >log 2>&1 && grep -q '4 last$' log || fail "the names"

# The softmax of the logits, which are the value of the last node, is what the classes get.
what="the features"
checks=$((checks + 1))
./predict grey picture >log 2>&1
./predict grey picture --features fc 2>&1 | awk '
    FNR == NR { z[FNR - 1] = $1; sum += exp($1); next }
    { p = 100 * exp(z[$3]) / sum; if (p - $1 > 0.001 || $1 - p > 0.001) bad++ }
    END { exit bad || NR != 10 }' - log || fail "the features of fc are not the logits"
refused 2 'has no node nothing; the names above' ./predict grey picture --features nothing
refused 2 'leave --crops' ./predict grey picture --features fc --crops 1
# Ten crops of a picture of one grey are one; of another they are not.
checks=$((checks + 1))
put "ten crops of one grey" "P2 8 8 255 $(printf '97 %.0s' $(seq 64))\n"
./predict grey picture --crops 1 --scale 10 >log 2>&1 && ./predict grey picture --crops 10 --scale 10 >ten 2>&1 && cmp log ten ||
    fail "$what"
checks=$((checks + 1))
put "ten crops" "P2 8 8 255 $(echo $(seq 64))\n"
./predict grey picture --crops 1 --scale 10 >log 2>&1 && ./predict grey picture --crops 10 --scale 10 >ten 2>&1 && ! cmp -s log ten ||
    fail "$what"
what="weights of others"
{
    printf '\002\000\000\000\000\000\000\000{}'
} >others
refused 1 'others has no description; tools/convert' ./predict others picture
mv picture packed.gz
refused 1 'gunzip packed.gz' ./predict grey packed
refused 1 'cannot open nowhere' ./predict grey nowhere

# A record of CIFAR-100: coarse label 7, fine label 42.
what="a record of CIFAR-100"
{
    printf '\007\052'
    head -c 3072 /dev/zero | tr '\000' 'x'
} >picture
checks=$((checks + 2))
refused 2 'picture has 1 images, counted from 0' ./predict hundred picture --index 1
./predict hundred picture >log 2>&1 && grep -q 'the file says 42' log || fail "the fine label"
./predict twenty picture >log 2>&1 && grep -q 'the file says 7' log || fail "the coarse label"

# opens DIRECTORY CLASSES WORDS
opens() {
    checks=$((checks + 1))
    what=$1
    ./helper "$1" "$2" >log 2>&1
    [ "$(cat log)" = "$3" ] || fail "$1 should give $3"
}

mkdir dash dot four packed cifar-100-binary
cp picture cifar-100-binary/train.bin
opens . 20 "20 1 3,32,32 7"
opens . 100 "100 1 3,32,32 42"
printf '\000\000\010\003\000\000\000\001\000\000\000\002\000\000\000\003abcdef' >dash/train-images-idx3-ubyte
printf '\000\000\010\001\000\000\000\001\002' >dash/train-labels-idx1-ubyte
cp dash/train-images-idx3-ubyte dot/train-images.idx3-ubyte
cp dash/train-labels-idx1-ubyte dot/train-labels.idx1-ubyte
printf '\000\000\010\004\000\000\000\001\000\000\000\001\000\000\000\002\000\000\000\003abcdef' >four/train-images-idx4-ubyte
printf '\000\000\014\001\000\000\000\001\000\000\000\001' >four/train-labels.idx1-int
opens dash 0 "3 1 1,2,3 2"
opens dot 0 "3 1 1,2,3 2"
opens four 0 "3 1 3,1,2 1"
cp dash/train-images-idx3-ubyte packed
printf 'x' >packed/train-labels.idx1-ubyte.gz
refused 1 'gunzip packed/train-labels.idx1-ubyte.gz' ./helper packed 0
rm packed/*
refused 1 'cannot open packed/train-images-idx3-ubyte;' ./helper packed 0

# helps WORDS COMMAND...: --help says what the program does, and succeeds
helps() {
    checks=$((checks + 1))
    words=$1
    shift
    "$@" --help >log 2>&1 && grep -q -e "$words" log || fail "$* --help"
}
for name in hello tiny; do
    compile $name "$root/examples/$name.c" || exit 1
    helps 'Trains a ResNet-8' ./$name
done
# fewer pictures than a batch has
idx train 49 few
idx t10k 50 few
check "too few pictures" fails 1 "50 training images are the least" ./hello few
helps 'WEIGHTS IMAGE' ./predict
if command -v python3 >/dev/null; then # -S: without numpy and torch
    helps 'Make and check golden files' python3 -S "$root/tools/golden.py"
    helps 'Make files of pictures' python3 -S "$root/tools/pillow.py"
else
    echo "predict: skipped --help of Python's tools, for there is no python3"
fi

echo "predict: $checks checks, $failures failed"
[ "$failures" = 0 ]
