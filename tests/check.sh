# check.sh - what scripts begin with that read this file: a temporary directory, in which they go on,
# and the counting of checks; small data, waiting, programs that several of them need.

here=$(cd "$(dirname "$0")" && pwd) # of the script
root=$(dirname "$here")             # of the project
work=$(mktemp -d) || exit 1
pid= # of a program in the background, which must not outlive the script
trap '[ -z "$pid" ] || kill -9 $pid 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM # or what EXIT says would be left out
cd "$work" || exit 1

checks=0
failures=0

# check WORDS COMMAND...: runs it; if it fails, prints its output
check() {
    what=$1
    shift
    checks=$((checks + 1))
    if "$@" >"$work/log" 2>&1; then return 0; fi
    failures=$((failures + 1))
    echo "$(basename "$0" .sh): failed: $what"
    head -20 "$work/log"
    return 1
}

# fails STATUS WORDS COMMAND...: it ends so, and says why
fails() {
    expected=$1 words=$2
    shift 2
    "$@" >"$work/said" 2>&1
    found=$?
    [ "$found" = "$expected" ] && grep -q -e "$words" "$work/said" && return 0
    echo "status $found, not $expected, or no \"$words\":"
    cat "$work/said"
    return 1
}

# says WORDS: out.txt does
says() { grep -q -e "$1" out.txt || { cat out.txt; return 1; }; }

# idx NAME COUNT DIRECTORY: the first images of the bundled set, and their labels
idx() {
    mkdir -p "$3"
    count=$(printf '\\%03o\\%03o' $(($2 / 256)) $(($2 % 256)))
    { # the count stands in bytes 4 to 7
        printf "\\000\\000\\010\\003\\000\\000$count"
        tail -c +9 "$root/examples/data/$1-images-idx3-ubyte" | head -c $(($2 * 784 + 8))
    } >"$3/$1-images-idx3-ubyte"
    {
        printf "\\000\\000\\010\\001\\000\\000$count"
        tail -c +9 "$root/examples/data/$1-labels-idx1-ubyte" | head -c "$2"
    } >"$3/$1-labels-idx1-ubyte"
}

# wait_for FILE: at most a minute
wait_for() {
    tries=0
    until [ -s "$1" ]; do
        tries=$((tries + 1))
        [ $tries -lt 3000 ] || return 1
        sleep 0.02
    done
}

# compile NAME SOURCE FLAGS...: builds a program from a source with the implementation, which is left
# out, for it is compiled once for all of them; CFLAGS (default -O1) and IMPLEMENTATION, its object,
# are the caller's
compile() {
    name=$1 source=$2 object=${IMPLEMENTATION:-implementation.o}
    shift 2
    # shellcheck disable=SC2086
    MAKEFLAGS= make -s -C "$here" "$object" &&
        ${CC:-cc} -std=c99 ${CFLAGS:--O1} -DRESNET_IMPLEMENTED -DRN__SECOND_HALF "$@" -o "$name" "$source" \
            "$here/$object" -lm
}
