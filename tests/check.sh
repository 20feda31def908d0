# check.sh - the counting of checks, for the scripts that read this file. $work is their directory.

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
