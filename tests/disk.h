/* disk.h - a disk in memory for the tests of files: an rn_files over a few named arrays of bytes,
   which can be told to fail at its n-th operation. Include it behind resnet.h. */

#ifndef DISK_H
#define DISK_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DISK_FILES = 12 };

typedef struct disk_file {
    char path[64]; /* "": no file */
    unsigned char *data;
    size_t bytes;
    int writing;
} disk_file;

typedef struct disk {
    disk_file files[DISK_FILES];
    int open;            /* handles */
    long fail_change;    /* opening to write, write, sync, close after writing, rename: which one */
    long fail_read;      /* which read; 0: none */
    long changes, reads; /* so far */
    rn_files calls;
} disk;

static inline disk_file *disk_find(disk *d, const char *path) {
    int i;
    for (i = 0; i < DISK_FILES; i++)
        if (!strcmp(d->files[i].path, path)) return &d->files[i];
    return NULL;
}

static inline void disk_delete(disk *d, const char *path) {
    disk_file *f = disk_find(d, path);
    if (!f) return;
    free(f->data);
    memset(f, 0, sizeof *f);
}

static inline void disk_write(disk_file *f, const void *data, size_t bytes) {
    f->data = (unsigned char *)realloc(f->data, f->bytes + bytes + 1);
    if (bytes) memcpy(f->data + f->bytes, data, bytes);
    f->bytes += bytes;
}

/* A file with these bytes, in place of one that may be there. */
static inline disk_file *disk_put(disk *d, const char *path, const void *data, size_t bytes) {
    disk_file *f;
    disk_delete(d, path);
    f = disk_find(d, "");
    strncpy(f->path, path, sizeof f->path - 1);
    disk_write(f, data, bytes);
    return f;
}

static inline int disk_fails(disk *d) { return ++d->changes == d->fail_change; }

static inline void *disk_open(void *user, const char *path, int write) {
    disk *d = (disk *)user;
    disk_file *f = disk_find(d, path);
    if (write) {
        if (disk_fails(d)) return NULL;
        f = disk_put(d, path, "", 0);
    }
    if (!f) return NULL;
    f->writing = write;
    d->open++;
    return f;
}

static inline int disk_size(void *user, void *file, uint64_t *bytes) {
    (void)user;
    *bytes = ((disk_file *)file)->bytes;
    return 0;
}

static inline size_t disk_read(void *user, void *file, uint64_t offset, void *data, size_t bytes) {
    disk_file *f = (disk_file *)file;
    if (++((disk *)user)->reads == ((disk *)user)->fail_read) return 0;
    if (offset > f->bytes) return 0;
    if (bytes > f->bytes - offset) bytes = f->bytes - (size_t)offset;
    memcpy(data, f->data + offset, bytes);
    return bytes;
}

/* A full disk takes a part. */
static inline size_t disk_append(void *user, void *file, const void *data, size_t bytes) {
    if (disk_fails((disk *)user)) bytes /= 2;
    disk_write((disk_file *)file, data, bytes);
    return bytes;
}

static inline int disk_sync(void *user, void *file) {
    (void)file;
    return disk_fails((disk *)user) ? -1 : 0;
}

static inline int disk_close(void *user, void *file) {
    ((disk *)user)->open--;
    return ((disk_file *)file)->writing && disk_fails((disk *)user) ? -1 : 0;
}

static inline int disk_rename(void *user, const char *from, const char *to) {
    disk *d = (disk *)user;
    disk_file *f = disk_find(d, from);
    if (!f || disk_fails(d)) return -1;
    disk_delete(d, to);
    strncpy(f->path, to, sizeof f->path - 1);
    return 0;
}

static inline int disk_remove(void *user, const char *path) {
    disk_delete((disk *)user, path);
    return 0;
}

static inline const rn_files *disk_init(disk *d) {
    static const rn_files calls = {NULL,      disk_open,  disk_size,   disk_read,  disk_append,
                                   disk_sync, disk_close, disk_rename, disk_remove};
    memset(d, 0, sizeof *d);
    d->calls = calls;
    d->calls.user = d;
    return &d->calls;
}

static inline void disk_free(disk *d) {
    int i;
    for (i = 0; i < DISK_FILES; i++) free(d->files[i].data);
    memset(d, 0, sizeof *d);
}

/* A new, empty directory in $TMPDIR, or else here, for what only stdio can show. */
static inline void make_directory(char *path, size_t capacity) {
    const char *parent = getenv("TMPDIR");
    int length = snprintf(path, capacity, "%s/resnet_test_%ld", parent && *parent ? parent : ".",
                          (long)getpid());
    if (length < 0 || (size_t)length >= capacity || mkdir(path, 0700)) {
        fprintf(stderr, "cannot make the directory %s\n", path);
        exit(2);
    }
}

#endif /* DISK_H */
