#!/bin/sh
# windows_files.sh - files on Windows, by MinGW-w64 and wine: names in UTF-8 and in the system's own
# letters, an older file that survives a failing rename, three gigabytes; as C99 and as C++11.
#
# tests/windows_files.sh   (from anywhere; it writes to a temporary directory)

here=$(cd "$(dirname "$0")" && pwd)
compiler=x86_64-w64-mingw32-gcc
wine=$(command -v wine64 || command -v wine)
if [ -z "$wine" ] || ! command -v $compiler >/dev/null; then
    echo "windows_files: skipped, for there is no MinGW-w64 or no wine"
    exit 0
fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
cat >files.c <<END
#define RESNET_IMPLEMENTATION
#include "$here/../resnet.h"
#include "$here/test.h"

int main(void) {
    const char *path = "caf\xc3\xa9-\xd0\xb6.ckpt", *ansi = "caf\xe9.ckpt";
    const wchar_t name[] = {'c', 'a', 'f', 0xe9, '-', 0x436, '.', 'c', 'k', 'p', 't', 0};
    const wchar_t temporary[] = {'c', 'a', 'f', 0xe9, '-', 0x436, '.', 'c', 'k', 'p', 't', '.', 't', 'm', 'p', 0};
    const char *json = "{\"x\":{\"dtype\":\"U8\",\"shape\":[3221225472],"
                       "\"data_offsets\":[0,3221225472]}}";
    const uint64_t length = strlen(json), last = 3221225471u;
    rn_error error = {RN_OK, ""};
    rn_desc desc = rn_cifar(8);
    rn_net *net = rn_create(&desc, 1, RN_TRAINING, NULL, &error);
    rn_archive a;
    rn_entry e;
    unsigned char byte = 0;
    FILE *file;
    CHECK_INT(rn_save_checkpoint(net, path, NULL, &error), RN_OK);
    CHECK_INT(rn_save_checkpoint(net, path, NULL, &error), RN_OK); /* replaces it */
    CHECK_INT(rn_save(net, ansi, NULL, &error), RN_OK);
    CHECK_INT(rn_load(net, ansi, NULL, &error), RN_OK);
    file = _wfopen(name, L"rb"); /* which nobody can replace while it is open */
    CHECK(file != NULL);
    CHECK_INT(rn_save(net, path, NULL, &error), RN_IO);
    CHECK_TEXT(error.text, "renaming");
    if (file) fclose(file);
    net->step = 5;
    CHECK_INT(rn_load(net, path, NULL, &error), RN_OK); /* the checkpoint, as it was */
    CHECK_INT(net->step, 0);
    CHECK(!_wfopen(temporary, L"rb")); /* nothing is left over */

    file = fopen("big", "wb"); /* sparse */
    if (!file || fwrite(&length, 8, 1, file) != 1 || fputs(json, file) < 0 ||
        _fseeki64(file, (int64_t)(8 + length + last), SEEK_SET) || fputc(7, file) < 0 || fclose(file))
        return 1;
    CHECK_INT(rn_archive_open(&a, "big", NULL, &error), RN_OK);
    CHECK_INT(rn_archive_find(&a, "x", &e, &error), RN_OK);
    CHECK_INT(rn_archive_read(&a, &e, last, &byte, 1, &error), RN_OK);
    CHECK_INT(byte, 7);
    rn_archive_close(&a);
    remove("big");
    rn_destroy(net);
    return test_end("windows_files");
}
END
$compiler -std=c99 -Wall -Wextra -Wpedantic -O1 -o c.exe files.c || exit 1
$compiler -x c++ -std=c++11 -Wall -Wextra -Wpedantic -O1 -o cpp.exe files.c -static -lstdc++ || exit 1
WINEPREFIX=$work/wine WINEDEBUG=-all
export WINEPREFIX WINEDEBUG
"$wine" c.exe 2>errors && "$wine" cpp.exe 2>>errors && exit 0
cat errors
exit 1
