#!/bin/sh
# Fetch CIFAR-10 and CIFAR-100 (binary versions), verify them and unpack them. See --help.

set -u

host=https://www.cs.toronto.edu/~kriz
part=   # the download under way, removed on exit
unpack= # the folder being unpacked, removed on exit

usage() {
    cat <<'END'
usage: get_cifar.sh [cifar10 | cifar100 | both] [DIR]

Fetches the binary versions of CIFAR-10 and CIFAR-100 (default: both) with curl or wget, verifies
their MD5 sums and unpacks them into DIR (default: data):

    DIR/cifar-10-batches-bin     data_batch_1.bin .. data_batch_5.bin, test_batch.bin
    DIR/cifar-100-binary         train.bin, test.bin

A folder that exists already is left alone. An archive that lies in DIR already, under the name
that it has on the server, is verified and used in place of a download. Nothing appears under its
final name before it is whole; what an interrupted run leaves has a name that starts with ".get_cifar".

    -h, --help    print this text
END
}

fail() {
    echo "get_cifar.sh: $*" >&2
    exit 1
}

clean() {
    [ -z "$part" ] || rm -f -- "$part"
    [ -z "$unpack" ] || rm -rf -- "$unpack"
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# download URL FILE
download() {
    if have curl; then
        curl -f -L --retry 3 -o "$2" "$1"
    elif have wget; then
        wget -O "$2" "$1"
    else
        fail "neither curl nor wget is installed"
    fi
}

# md5_of FILE: print its MD5 sum
md5_of() {
    if have md5sum; then
        md5sum <"$1" | cut -c 1-32
    elif have md5; then
        md5 -q "$1"
    elif have openssl; then
        openssl dgst -md5 -r <"$1" | cut -c 1-32
    else
        fail "none of md5sum, md5 and openssl is installed: cannot verify the download"
    fi
}

# verify FILE MD5 TITLE: exit unless FILE has that sum
verify() {
    sum=$(md5_of "$1") || exit 1
    [ "$sum" = "$2" ] ||
        fail "$3 is damaged or not the archive it should be: its MD5 sum is ${sum:-empty}, not $2"
}

# get ARCHIVE MD5 FOLDER: FOLDER is the one inside the archive
get() {
    if [ -d "$dir/$3" ]; then
        echo "$dir/$3 exists already"
        return
    fi
    [ ! -e "$dir/$3" ] || fail "$dir/$3 is in the way: it is no folder"

    archive=$dir/$1
    if [ -f "$archive" ]; then
        verify "$archive" "$2" "$archive"
    else
        archive=$dir/.get_cifar.$$.$1
        part=$archive
        echo "fetching $host/$1"
        download "$host/$1" "$archive" || fail "could not fetch $host/$1"
        verify "$archive" "$2" "what came from $host/$1"
    fi

    unpack=$dir/.get_cifar.$$.$3
    mkdir -- "$unpack" || fail "cannot make the folder $unpack"
    gzip -dc <"$archive" | (cd -- "$unpack" && tar -xf -) || fail "could not unpack $1: is the disk full?"
    [ -d "$unpack/$3" ] || fail "$1 holds no folder $3"
    [ ! -e "$dir/$3" ] || fail "$dir/$3 has come from elsewhere in the meantime"
    mv -- "$unpack/$3" "$dir/$3" || fail "cannot move the data to $dir/$3"
    clean
    part=
    unpack=
    echo "$dir/$3 is complete"
}

sets=
dir=
for word; do
    case $word in
    -h | --help)
        usage
        exit 0
        ;;
    cifar10 | cifar100 | both)
        [ -z "$sets" ] || fail "$sets or $word? Name one (both means both; a folder of that name is ./$word)"
        sets=$word
        ;;
    -*) fail "unknown option $word; try --help" ;;
    '') fail "the name of the folder is empty; try --help" ;;
    *)
        [ -z "$dir" ] || fail "one folder at most, but there are $dir and $word; try --help"
        dir=$word
        ;;
    esac
done
sets=${sets:-both}
dir=${dir:-data}

trap clean EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p -- "$dir" || fail "cannot make the folder $dir"
if [ "$sets" != cifar100 ]; then
    get cifar-10-binary.tar.gz c32a1d4ab5d03f1284b67883e8d87530 cifar-10-batches-bin
fi
if [ "$sets" != cifar10 ]; then
    get cifar-100-binary.tar.gz 03b5dce01913d631647c71ecec9e9cb8 cifar-100-binary
fi
