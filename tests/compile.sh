#!/bin/sh
# compile.sh - the header as a compiler sees it: in two files that are linked together, static and
# not, as C99, C11, C++11 and C++17, by gcc and clang, with and without OpenMP, under each option,
# warnings as errors, each program run; behind other headers' macros; the symbols that it defines
# and needs; the README's program, also by its lines for CMake; the length of its functions, its
# format. CC names a third compiler to try.
#
# tests/compile.sh   (from anywhere; it writes to a temporary directory)

warnings="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror"

# none FILE: no line in it
none() {
    [ ! -s "$1" ] || {
        cat "$1"
        false
    }
}

# ---- the matrix: one line a program, run by two processes side by side ---------------------------

# files COMPILER NAME: where those of this program are, less their endings
files() { echo "$work/$(echo "$1.$2" | tr / _)"; }

# program COMPILER STANDARD NAME FLAGS...
program() {
    compiler=$1 standard=$2 name=$3
    shift 3
    case $standard in
    c++*) language="-x c++ -std=$standard" driver=$(echo "$compiler" | sed 's/gcc/g++/; s/clang$/clang++/') ;;
    *) language="-std=$standard" driver=$compiler ;;
    esac
    dir=$(files "$compiler" "$name")
    mkdir "$dir"
    for file in main other; do
        # shellcheck disable=SC2086
        $compiler $language $warnings "$@" -c -o "$dir/$file.o" "$(dirname "$0")/compile/$file.c" || return 1
        set -- "$@" -O0 # the optimiser has seen the header once
    done
    openmp=
    case " $* " in *" -fopenmp "*) openmp=-fopenmp ;; esac
    # shellcheck disable=SC2086
    $driver $openmp -o "$dir/program" "$dir/main.o" "$dir/other.o" -lm || return 1
    "$dir/program" || {
        echo "the program ended with $?"
        return 1
    }
    rm -r "$dir"
}

if [ "$1" = program ]; then # one line of the list, called by xargs below
    work=$2
    shift 2
    of_this=$(files "$1" "$3")
    if program "$@" >"$of_this.log" 2>&1; then touch "$of_this.passed"; fi
    exit 0
fi
# shellcheck source=check.sh
. "$(dirname "$0")/check.sh"

compilers=
for compiler in gcc clang $CC; do
    case " $compilers " in *" $compiler "*) continue ;; esac
    case $compiler in cc | c99) continue ;; esac
    if command -v "$compiler" >/dev/null; then compilers="$compilers $compiler"
    else echo "compile: skipped $compiler, which is not installed"; fi
done
for compiler in $compilers; do
    openmp=-fopenmp
    echo 'int main(void) { return 0; }' >"$work/try.c"
    if ! "$compiler" -fopenmp -o "$work/try" "$work/try.c" 2>/dev/null; then
        echo "compile: skipped OpenMP with $compiler, which has no library for it"
        openmp=
    fi
    number=0
    for standard in c99 c11 c++11 c++17; do
        for option in '' -DRESNET_NO_STDIO -DRESNET_NO_TRAIN -DRESNET_NO_SIMD -DRESNET_NO_THREADS \
            -DRESNET_REAL=double '-DRESNET_NO_STDIO -DRESNET_NO_TRAIN -DRESNET_NO_SIMD'; do
            number=$((number + 1)) # static and OpenMP take turns: seven options, so all meet all
            flags=$option
            [ $((number % 2)) = 1 ] && flags="$flags -DRESNET_STATIC"
            [ $((number / 2 % 2)) = 1 ] && flags="$flags $openmp"
            echo "$compiler $standard p$number" $flags # unquoted: xargs joins lines that end in space
        done
    done
    # Warnings that only the optimiser can give: where all is static, functions are inlined.
    echo "$compiler c99 o1 -O1 -DRESNET_STATIC -DRESNET_NO_STDIO -DRESNET_NO_THREADS"
    echo "$compiler c99 o2 -O2" $openmp
    echo "$compiler c++11 o3 -O3 -DRESNET_STATIC" $openmp
    echo "$compiler c99 o4 -O2 -DRESNET_NO_TRAIN -DRESNET_REAL=double"
    echo "$compiler c99 o5 -O2 -DRESNET_SMALL -DRESNET_NO_STDIO"
    echo "$compiler c++11 o6 -O1 -DRESNET_SMALL -DRESNET_STATIC"
done >"$work/list"
xargs -P 2 -L 1 "$here/compile.sh" program "$work" <"$work/list"
while read -r compiler standard name flags; do
    of_this=$(files "$compiler" "$name")
    checks=$((checks + 1))
    [ -e "$of_this.passed" ] && continue
    failures=$((failures + 1))
    echo "compile: failed: $compiler $standard $name $flags"
    head -20 "$of_this.log"
done <"$work/list"

# ---- without running: every combination of options, other headers' macros, C++'s own warnings ----

printf '#define RESNET_IMPLEMENTATION\n#include "%s/resnet.h"\n' "$root" >"$work/implementation.c"
printf '#include "%s/resnet.h"\n' "$root" >"$work/declarations.c"

# only COMPILER FLAGS...: the implementation compiles without warnings
only() {
    compiler=$1
    shift
    # shellcheck disable=SC2086
    $compiler $warnings "$@"
}

# options: every combination, a line each
options() {
    for a in '' -DRESNET_NO_STDIO; do for b in '' -DRESNET_NO_TRAIN; do for c in '' -DRESNET_NO_SIMD; do
        for d in '' -DRESNET_REAL=double -DRESNET_SMALL; do for e in '' -DRESNET_STATIC; do echo $a $b $c $d $e; done; done
    done; done; done
}
# Of the two, clang alone finds unused functions without generating code; it takes a tenth of a second.
for compiler in $compilers; do
    case $compiler in clang*) ;; *) continue ;; esac
    options | while read -r line; do
        # shellcheck disable=SC2086
        only "$compiler" -std=c99 $line -fsyntax-only "$work/implementation.c" 2>&1 ||
            echo "failed: $compiler $line"
    done >"$work/found"
    check "$compiler: every combination of options" none "$work/found"
done
for compiler in $compilers; do
    for language in -std=c99 '-x c++ -std=c++17'; do
        # shellcheck disable=SC2086
        check "$compiler $language: behind other headers' macros" only "$compiler" $language \
            -fsyntax-only -include "$here/compile/macros.h" "$work/implementation.c"
    done
    style="-Wold-style-cast -Wcast-qual -Wzero-as-null-pointer-constant"
    case $compiler in gcc*) style="$style -Wuseless-cast" ;; esac
    for file in declarations implementation; do
        # shellcheck disable=SC2086
        check "$compiler: $file under C++'s warnings of style" only "$compiler" -x c++ -std=c++17 $style \
            -fsyntax-only "$work/$file.c"
    done
done

# ---- symbols -------------------------------------------------------------------------------------

# object NAME FLAGS...: the implementation alone
object() {
    name=$1
    shift
    # shellcheck disable=SC2086
    $one -fno-pie "$@" -c -o "$work/$name.o" "$work/implementation.c"
}

for compiler in $compilers; do
    # As C with every call of the source; as C++ behind the optimiser, which brings calls of its own.
    for language in '-std=c99 -O0' '-x c++ -std=c++11 -O1'; do
        one="$compiler $language"
        check "$one: object" object whole || continue
        nm -g --defined-only "$work/whole.o" | awk '{print $NF}' | grep -v '^rn_[a-z]' >"$work/found"
        check "$one: every symbol starts with rn_" none "$work/found"
        check "$one: object with RNDEF" object weak -O0 '-DRNDEF=extern __attribute__((weak))'
        nm -g --defined-only "$work/weak.o" | awk '$2 != "W"' >"$work/found"
        check "$one: RNDEF stands before every public function" none "$work/found"
        nm "$work/whole.o" | awk '$2 ~ /^[BbDdCcSs]$/' >"$work/found"
        check "$one: there are no variables" none "$work/found"
        nm -u "$work/whole.o" | awk '{print $NF}' | grep -E \
            '^(_?exit|_Exit|quick_exit|abort|v?f?printf|__v?f?printf_chk|std(in|out|err)|puts|fputs|putchar|fputc|perror|raise|signal|setlocale|rand|srand|time)$' \
            >"$work/found"
        check "$one: it does not print, exit or ask the time" none "$work/found"
        check "$one: object without stdio" object bare -DRESNET_NO_STDIO '-DRESNET_ASSERT(x)=((void)0)'
        nm -u "$work/bare.o" | awk '{print $NF}' | grep -v -E \
            '^(mem(cpy|move|set|cmp|chr)|str(len|cmp|ncmp|chr|str)|(sqrt|exp|log|cos|sin|pow|floor|ceil|fabs|fmax|fmin|round)f?|_GLOBAL_OFFSET_TABLE_|__cpu_(model|indicator_init)|__stack_chk_fail)$' \
            >"$work/found"
        check "$one: without stdio it needs string.h and math.h alone" none "$work/found"
        check "$one: object with an allocator" object own -O0 \
            '-DRESNET_MALLOC(bytes)=mine_alloc(bytes)' '-DRESNET_FREE(memory)=mine_free(memory)' \
            -include "$here/compile/allocator.h"
        nm -u "$work/own.o" | awk '{print $NF}' | grep -E '^(malloc|calloc|realloc|free)$' >"$work/found"
        check "$one: with RESNET_MALLOC it calls no other" none "$work/found"
        checks=$((checks + 1)) # half of the pair is refused in words
        if object half '-DRESNET_MALLOC(bytes)=malloc(bytes)' 2>"$work/log" ||
            ! grep -q 'define both RESNET_MALLOC' "$work/log"; then
            failures=$((failures + 1))
            echo "compile: failed: $one takes RESNET_MALLOC without RESNET_FREE"
        fi
    done
done
one="$(echo "$compilers" | awk '{print $1}') -std=c99"

# Under another name.
mkdir "$work/renamed"
cp "$root/resnet.h" "$work/renamed/net.h"
printf '#define RESNET_IMPLEMENTATION\n#include "net.h"\n' >"$work/renamed/implementation.c"
# shellcheck disable=SC2086
check "renamed to net.h" $one -DRESNET_FILENAME='"net.h"' -c -o "$work/renamed.o" \
    "$work/renamed/implementation.c"

# ---- the README's program ------------------------------------------------------------------------

# readme_block LANGUAGE: the first block of code in it
readme_block() {
    awk -v first="\`\`\`$1" '$0 == first && !done { on = 1; next } /^```$/ { if (on) done = 1; on = 0 } on' \
        "$root/README.md"
}
# learns PROGRAM: in the project's directory; of 50 pictures in ten classes it gets half right
learns() {
    (cd "$root" && "$1") >"$work/readme.out"
    cat "$work/readme.out"
    right=$(sed -n 's/^\([0-9]*\) of 50 right$/\1/p' "$work/readme.out")
    [ "${right:-0}" -ge 25 ]
}
readme() {
    readme_block c >"$work/readme.c"
    # shellcheck disable=SC2086
    $one -O1 -I "$root" -o "$work/readme" "$work/readme.c" -lm && learns "$work/readme"
}
check "the README's program learns" readme
with_cmake() {
    mkdir "$work/cmake"
    {
        echo 'cmake_minimum_required(VERSION 3.10)' && echo 'project(program C)'
        readme_block cmake | sed "s|DIRECTORY_OF_RESNET_H|$root|"
        echo 'add_executable(program program.c)' && echo 'target_link_libraries(program resnet)'
    } >"$work/cmake/CMakeLists.txt"
    grep -v RESNET_IMPLEMENTATION "$work/readme.c" >"$work/cmake/program.c"
    cmake -S "$work/cmake" -B "$work/cmake/build" && cmake --build "$work/cmake/build" &&
        learns "$work/cmake/build/program"
}
if command -v cmake >/dev/null; then check "and so it does by the lines for CMake" with_cmake
else echo "compile: skipped the lines for CMake, for there is no cmake"; fi

# ---- the text ------------------------------------------------------------------------------------

# Functions: from a line at the margin with a bracket, over one that ends in {, to the } at the margin.
functions() {
    awk '/^[A-Za-z].*\(/ { start = NR; name = $0; body = 0 }
         start && !body && /;$/ { start = 0 }
         start && /\{$/ { body = 1 }
         /^\}/ { if (start && body) {
                     count++
                     if (NR - start + 1 > 80) { print name ": " NR - start + 1 " lines"; bad = 1 }
                 }
                 start = 0 }
         END { if (count < 100) print "found only " count " functions"; exit bad || count < 100 }' \
        "$root/resnet.h"
}
check "no function has more than 80 lines" functions

# Comments, too, which clang-format leaves as they are; but not what make writes.
narrow() {
    for file in "$root"/resnet.h "$here"/*.[ch] "$here"/*/*.[ch] "$root"/examples/*.[ch] "$root"/examples/*/*.[ch] \
        "$root"/tools/*.[ch] "$root"/tools/*/*.[ch]; do
        case $file in *_text.h) ;; *) awk 'length > 100 { print FILENAME ", line " FNR; bad = 1 } END { exit bad }' "$file" || wide=1 ;; esac
    done
    [ -z "${wide:-}" ]
}
check "lines have no more than 100 columns" narrow

if clang-format --version 2>/dev/null | grep -q 'version 14'; then
    for file in "$root/resnet.h" "$here"/*.[ch] "$here"/*/*.[ch] "$root"/examples/*.[ch] \
        "$root"/examples/*/*.[ch] "$root"/tools/*.[ch] "$root"/tools/*/*.[ch]; do
        check "format of $file" clang-format --dry-run --Werror --ferror-limit=1 "$file"
    done
else
    echo "compile: skipped the format, for there is no clang-format 14"
fi

echo "compile: $checks checks, $failures failed"
[ "$failures" = 0 ]
