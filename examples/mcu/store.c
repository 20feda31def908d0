/* store.c - see store.h. Three functions know what flash is, flash_erase, flash_program and
   flash_read: put those of your chip in their place. */

#include "store.h"
#include "board.h"
#include <string.h>

/* On the board it lies outside of the RAM that the program has, see mps2.ld. */
#if defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
__attribute__((section(".flash")))
#endif
static uint8_t flash[2 * STORE_SLOT];

static const char *kept_in;                 /* path; NULL: nowhere */
static uint64_t until_the_cut = UINT64_MAX; /* bytes */

/* ---- the flash ------------------------------------------------------------------------------- */

/* Every byte that changes: here the power may go. */
static void wear(void) {
    if (until_the_cut-- > 0) return;
    store_end();
    board_write("power cut while the flash was written\n");
    board_exit(75);
}

/* A whole page becomes 0xFF. */
static void flash_erase(size_t page) {
    for (size_t i = 0; i < STORE_PAGE; i++) {
        wear();
        flash[page + i] = 0xFF;
    }
}

/* Programming turns ones into zeros; what was zero stays. 0 if it then holds the data. */
static int flash_program(size_t at, const void *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        wear();
        flash[at + i] &= ((const uint8_t *)data)[i];
    }
    return memcmp(flash + at, data, bytes) != 0;
}

static void flash_read(void *data, size_t at, size_t bytes) { memcpy(data, flash + at, bytes); }

/* ---- slots ------------------------------------------------------------------------------------
   A slot begins with this header; the file follows. The header is programmed when the file is
   complete, and its last word, the mark, last of all: a slot counts only with the mark. */

typedef struct header {
    uint32_t sequence; /* from 1; the larger one is newer */
    uint32_t bytes;    /* of the file */
    uint32_t mark;     /* COMPLETE; 0xFFFFFFFF before that, 0 when rejected */
} header;

enum { COMPLETE = 0x434B5054, DATA = 64, NONE = -1 };

static int writing = NONE; /* slot; between open and rename */
static uint32_t written;   /* bytes of its file */

/* The header of a slot; sequence 0 if there is no complete file. */
static header header_of(int slot) {
    header h;
    flash_read(&h, (size_t)slot * STORE_SLOT, sizeof h);
    if (h.mark != COMPLETE || h.bytes > STORE_SLOT - DATA) h.sequence = h.bytes = 0;
    return h;
}

/* The slot of the newest complete file. */
static int newest(void) {
    const uint32_t first = header_of(0).sequence, second = header_of(1).sequence;
    return !first && !second ? NONE : second > first;
}

/* ---- rn_files ---------------------------------------------------------------------------------
   A handle is a pointer to the slot's number. */

static int slot_numbers[2] = {0, 1};

static void *store_open(void *user, const char *path, int write) {
    const int latest = newest();
    (void)user, (void)path;
    if (!write) return latest == NONE ? NULL : &slot_numbers[latest];
    writing = latest == 0;
    written = 0;
    for (size_t page = 0; page < STORE_SLOT; page += STORE_PAGE) /* the header's comes first */
        flash_erase((size_t)writing * STORE_SLOT + page);
    return &slot_numbers[writing];
}

static int store_size(void *user, void *file, uint64_t *bytes) {
    (void)user;
    *bytes = header_of(*(int *)file).bytes;
    return 0;
}

static size_t store_read(void *user, void *file, uint64_t offset, void *data, size_t bytes) {
    const int slot = *(int *)file;
    const size_t there = header_of(slot).bytes;
    (void)user;
    if (offset > there) return 0;
    if (bytes > there - (size_t)offset) bytes = there - (size_t)offset;
    flash_read(data, (size_t)slot * STORE_SLOT + DATA + (size_t)offset, bytes);
    return bytes;
}

static size_t store_write(void *user, void *file, const void *data, size_t bytes) {
    const int slot = *(int *)file;
    const size_t at = (size_t)slot * STORE_SLOT + DATA + written;
    (void)user;
    if (bytes > STORE_SLOT - DATA - written || flash_program(at, data, bytes)) return 0;
    written += (uint32_t)bytes;
    return bytes;
}

static int store_sync(void *user, void *file) { return (void)user, (void)file, 0; }

static int store_close(void *user, void *file) { return (void)user, (void)file, 0; }

static int store_rename(void *user, const char *from, const char *to) {
    const size_t at = (size_t)writing * STORE_SLOT;
    const int latest = newest();
    header h = {1, 0, COMPLETE};
    (void)user, (void)from, (void)to;
    if (writing == NONE) return -1;
    if (latest != NONE) h.sequence = header_of(latest).sequence + 1;
    h.bytes = written;
    writing = NONE;
    return flash_program(at, &h, offsetof(header, mark)) ||
           flash_program(at + offsetof(header, mark), &h.mark, sizeof h.mark);
}

/* Of a file that could not be written: without its mark it does not count. */
static int store_remove(void *user, const char *path) {
    (void)user, (void)path;
    writing = NONE;
    return 0;
}

/* ---- what store.h declares ------------------------------------------------------------------- */

int store_begin(const char *path) {
    kept_in = path;
    if (!path || board_read_file(path, flash, sizeof flash) != sizeof flash)
        memset(flash, 0xFF, sizeof flash);
    return newest() != NONE;
}

void store_end(void) {
    if (kept_in && board_write_file(kept_in, flash, sizeof flash)) {
        board_write("cannot write ");
        board_write(kept_in);
        board_write("; is its directory there?\n");
        board_exit(1);
    }
}

const rn_files *store_files(void) {
    static const rn_files files = {NULL,       store_open,  store_size,   store_read,  store_write,
                                   store_sync, store_close, store_rename, store_remove};
    return &files;
}

int store_reject(void) {
    const int latest = newest();
    const uint32_t nothing = 0;
    if (latest != NONE)
        flash_program((size_t)latest * STORE_SLOT + offsetof(header, mark), &nothing,
                      sizeof nothing);
    return newest() != NONE;
}

void store_cut_after(uint64_t bytes) { until_the_cut = bytes; }
