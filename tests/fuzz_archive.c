/* fuzz_archive.c - arbitrary bytes as a file of weights: the archive is walked and read in every
   way, and a small net loads it. Whatever the bytes are, nothing may crash, and a net that refuses
   them must stay as it was. The CRC keeps a fuzzer out of what comes behind it, so each input is
   tried with a right one as well.

   clang -std=c99 -g -O1 -DLIBFUZZER -fsanitize=fuzzer,address,undefined -o fuzz_archive \
       tests/fuzz_archive.c -lm && ./fuzz_archive -max_total_time=60 CORPUS

   Without -DLIBFUZZER the program runs the files that are its arguments, and without arguments a
   checkpoint of the net and 20,000 mutations of it:

   cc -std=c99 -O2 -o fuzz_archive tests/fuzz_archive.c -lm && ./fuzz_archive [FILE...] */

#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "disk.h"
#include "test.h"

static rn_net *make_net(void) {
    rn_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.units[0] = 1;
    desc.base_width = 1;
    desc.channels = 1;
    desc.height = desc.width = 4;
    desc.classes = 2;
    return rn_create(&desc, 2, RN_TRAINING, NULL, NULL);
}

/* Sets the digits of the CRC right where the file has some. */
static void repair(disk_file *file, const rn_files *files) {
    rn_archive a;
    char digits[16];
    rn__text text = rn__text_in(digits, sizeof digits);
    if (rn_archive_open(&a, "f", files, NULL)) return;
    if (rn__find_metadata(&a, "crc", &text, NULL) == 1 && text.length == 8) {
        unsigned char *at = file->data + a.at - 9;
        memset(at, '0', 8);
        snprintf(digits, sizeof digits, "%08lx",
                 (unsigned long)rn__crc32(0, file->data, file->bytes));
        memcpy(at, digits, 8);
    }
    rn_archive_close(&a);
}

static void walk(const rn_files *files) {
    rn_archive a;
    rn_entry e;
    rn_error error;
    char value[40];
    unsigned char bytes[64];
    if (rn_archive_open(&a, "f", files, &error)) return;
    while (rn_archive_next(&a, &e, &error) == 1) {
        uint64_t size = e.bytes < sizeof bytes ? e.bytes : sizeof bytes;
        if (e.begin > a.bytes || e.bytes > a.bytes - e.begin || strlen(e.name) > 95) abort();
        if (rn_archive_read(&a, &e, e.bytes - size, bytes, (size_t)size, &error)) abort();
        if (!rn_archive_read(&a, &e, e.bytes, bytes, 1, &error)) abort();
    }
    rn_archive_metadata(&a, "desc.order", value, sizeof value, &error);
    rn_archive_metadata(&a, "nothing", value, sizeof value, &error);
    rn_archive_find(&a, "fc.bias", &e, &error);
    rn_archive_close(&a);
}

static long behind; /* inputs that got behind the CRC, once that was repaired */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    disk d;
    const rn_files *files = disk_init(&d);
    rn_net *net = make_net();
    void *before = malloc(net->bytes);
    rn_desc desc;
    rn_error error;
    rn_status status;
    int i;
    disk_put(&d, "f", data, size);
    for (i = 0; i < 2; i++) {
        walk(files);
        rn_load_desc(&desc, "f", files, &error);
        memcpy(before, net, net->bytes);
        status = rn_load(net, "f", files, &error);
        if (status && memcmp(before, net, net->bytes)) abort();
        behind += i == 1 && (!status || !strstr(error.text, "CRC"));
        repair(disk_find(&d, "f"), files);
    }
    if (d.open) abort();
    free(before);
    rn_destroy(net);
    disk_free(&d);
    return 0;
}

#ifndef LIBFUZZER
#ifdef REDUCED
enum { MUTATIONS = 2000 };
#else
enum { MUTATIONS = 20000 };
#endif

/* One to four bytes of the file changed, or it is cut, or a part is copied to elsewhere. */
static void mutate(unsigned char *data, size_t *bytes, uint64_t number) {
    rn_key key = {1, 1, 0};
    uint64_t i;
    key.epoch = number;
    for (i = 0; i <= rn_random(key, 0) % 4; i++) {
        size_t at = (size_t)(rn_random(key, 5 * i + 1) % *bytes);
        size_t from = (size_t)(rn_random(key, 5 * i + 2) % *bytes);
        size_t most = *bytes - (at > from ? at : from);
        switch (rn_random(key, 5 * i + 3) % 4) {
        case 0: data[at] = (unsigned char)rn_random(key, 5 * i + 4); break;
        case 1:
            data[at] = (unsigned char)"0123456789{}[],:\"\\"[rn_random(key, 5 * i + 4) % 18];
            break;
        case 2: memmove(data + at, data + from, (size_t)(rn_random(key, 5 * i + 4) % most)); break;
        default:
            if (i == 0 && number % 16 == 0) *bytes = at + 1;
        }
    }
}

int main(int count, char **arguments) {
    static unsigned char bytes[1 << 20];
    disk d;
    const rn_files *files = disk_init(&d);
    rn_net *net = make_net();
    size_t size;
    int i;
    for (i = 1; i < count; i++) {
        FILE *file = fopen(arguments[i], "rb");
        CHECK(file != NULL);
        if (!file) continue;
        size = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        CHECK_INT(LLVMFuzzerTestOneInput(bytes, size), 0);
    }
    CHECK_INT(rn_save_checkpoint(net, "c", files, NULL), RN_OK);
    for (i = 0; count == 1 && i < MUTATIONS; i++) {
        disk_file *file = disk_find(&d, "c");
        size = file->bytes;
        memcpy(bytes, file->data, size);
        mutate(bytes, &size, (uint64_t)i);
        CHECK_INT(LLVMFuzzerTestOneInput(bytes, size), 0);
    }
    CHECK(count > 1 || behind > MUTATIONS / 2);
    rn_destroy(net);
    disk_free(&d);
    return test_end("fuzz_archive");
}
#endif
