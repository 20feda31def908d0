#!/bin/sh
# web.sh - examples/web built by clang, warnings as errors, and looked at by web.js in Chromium, where
# there is what that takes.

here=$(cd "$(dirname "$0")" && pwd)
CLANG=${CLANG:-clang}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# need WORDS PACKAGES COMMAND...: without the command nothing can be said
need() {
    words=$1 packages=$2
    shift 2
    "$@" >/dev/null 2>&1 && return
    echo "web: skipped, for there is no $words (Debian: $packages)"
    exit 0
}
printf '#include <math.h>\nint f(double x) { return (int)exp(x); }\n' >"$work/try.c"
need "WebAssembly from $CLANG" "clang lld wasi-libc libclang-rt-14-dev-wasm32" \
    "$CLANG" --target=wasm32-wasi -nostartfiles -Wl,--no-entry -o "$work/try.wasm" "$work/try.c"
need "Node.js from version 18 on" nodejs node -e 'fetch'
need Chromium chromium command -v "${CHROMIUM:-chromium}"
need ChromeDriver chromium-driver command -v "${CHROMEDRIVER:-chromedriver}"

MAKEFLAGS='' make -s -B -C "$here/../examples/web" CLANG="$CLANG" \
    WARNINGS="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror" || exit 1
exec "$here/web.js" "$@"
