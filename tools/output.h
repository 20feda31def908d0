/* output.h - files that tools write: whole and on the disk before they take an older one's place.
   The program includes resnet.h with its implementation first: it saves files as that does. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include "../examples/example.h"

typedef struct output {
    rn_archive file;
    char target[1024], temporary[1024]; /* without symbolic links; what is written, to be renamed */
    const char *failed;                 /* what failed first; NULL: nothing */
} output;

/* Where it goes, refused where that cannot be; nothing is begun there. */
static inline void aim_output(output *out, const char *path) {
    const char *fault = NULL;
    if (strlen(path) > sizeof out->target - 5)
        quit(1, "a path of %zu characters is too long", strlen(path));
    strcpy(out->target, path);
    fault = rn__find_target(out->target, sizeof out->target - 4);
    if (fault) quit(1, "%s %s; write elsewhere", path, fault);
    snprintf(out->temporary, sizeof out->temporary, "%.1019s.tmp", out->target);
}

static inline void open_output(output *out, const char *path) {
    rn_error error;
    aim_output(out, path);
    check(rn__open(&out->file, out->temporary, 1, NULL, &error), &error);
    rn__keep_mode(out->target, out->temporary);
    out->failed = NULL;
}

/* Ends the program now, and not after the work, where that could not be. */
static inline void refuse_output(const char *path) {
    output out;
    aim_output(&out, path);
    refuse_unwritable(out.target);
}

static inline void write_output(output *out, const void *data, size_t bytes) {
    const rn_files *files = &out->file.files;
    if (!out->failed && files->write(files->user, out->file.file, data, bytes) != bytes)
        out->failed = "writing";
}

/* All files, or none: the last one is that which tells of the others. */
static inline void finish_outputs(output *outs, int count) {
    const rn_files *files = &outs[0].file.files;
    const char *failed = NULL;
    int i, at = 0;
    for (i = 0; i < count; i++) {
        output *out = &outs[i];
        if (!out->failed && files->sync(files->user, out->file.file)) out->failed = "synchronising";
        if (files->close(files->user, out->file.file) && !out->failed) out->failed = "closing";
        if (out->failed && !failed) failed = out->failed, at = i;
    }
    for (i = 0; i < count && !failed; i++)
        if (files->rename(files->user, outs[i].temporary, outs[i].target))
            failed = "renaming", at = i;
    if (!failed) return;
    for (i = 0; i < count; i++) files->remove(files->user, outs[i].temporary);
    quit(1, "%s %s failed; is the disk full, or in use?", failed, outs[at].temporary);
}

/* The name of a file without those of its directories. */
static inline const char *name_alone(const char *path) {
#ifdef _WIN32
    const char *const separators = "/\\:";
#else
    const char *const separators = "/";
#endif
    const char *at = path + strlen(path);
    while (at > path && !strchr(separators, at[-1])) at--;
    return at;
}

#endif
