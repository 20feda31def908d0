/* folder.h - a data set of pictures in folders: a directory for each class, whose name is the
   class's, with the pictures in it. Part of example.h, which it stands on. Errors end the program
   and name the file. */
#ifndef FOLDER_H
#define FOLDER_H

#include "picture.h"
#include <dirent.h>

/* Strings that are owned, sorted by their bytes. */
typedef struct name_list {
    char **list;
    int count;
} name_list;

typedef struct folder_picture {
    char *path;
    int label;
    uint8_t *pixels; /* as the net sees it; NULL if it is read when needed */
} folder_picture;

/* What an rn_source reads from: pictures of DIR/CLASS, of which `most` bytes at the net's size stay
   in memory once they are read. Not for two threads at a time. */
typedef struct folder {
    rn_desc desc; /* resolved: size, crop_fraction, interpolation, channels */
    name_list classes;
    folder_picture *pictures;
    ptrdiff_t count, read, alpha; /* read once; of these with an alpha channel */
    size_t kept, most;            /* bytes */
    char *room;                   /* of rn_crop_picture */
    size_t room_bytes;
    progress progress; /* of the first reading */
} folder;

static inline char *copy_text(const char *text) {
    return strcpy((char *)allocate(strlen(text) + 1), text);
}

static inline char *join_path(const char *directory, const char *name) {
    char *path = (char *)allocate(strlen(directory) + strlen(name) + 2);
    sprintf(path, "%s/%s", directory, name);
    return path;
}

static inline int is_directory(const char *path) {
    struct stat there;
    return !stat(path, &there) && (there.st_mode & S_IFMT) == S_IFDIR;
}

/* By the end of its name; what else lies in a folder (thumbnails' caches, notes) is no picture. */
static inline int has_picture_name(const char *name) {
    static const char *const ends[] = {"ppm",  "pgm", "pbm", "pnm", "pam",  "png", "jpg",
                                       "jpeg", "bmp", "gif", "tif", "tiff", "webp"};
    const char *end = strrchr(name, '.');
    for (size_t i = 0; end && i < sizeof ends / sizeof ends[0]; i++) {
        size_t k = 0;
        while (ends[i][k] && tolower((unsigned char)end[1 + k]) == ends[i][k]) k++;
        if (!ends[i][k] && !end[1 + k]) return 1;
    }
    return 0;
}

static inline int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline void free_names(name_list *n) {
    for (int i = 0; i < n->count; i++) free(n->list[i]);
    free(n->list);
}

/* Names of the directories, or of the files, in a directory, that fit (NULL: all), but hidden
   ones. */
static inline name_list list_directory(const char *path, int directories,
                                       int (*fits)(const char *name)) {
    DIR *directory = opendir(path);
    const struct dirent *entry;
    name_list n = {NULL, 0};
    if (!directory) quit(1, "cannot open the directory %s: %s", path, strerror(errno));
    while ((entry = readdir(directory))) {
        char *whole = join_path(path, entry->d_name);
        const int is = is_directory(whole);
        free(whole);
        if (entry->d_name[0] == '.' || is != directories || (fits && !fits(entry->d_name)))
            continue;
        if (!(n.count & (n.count - 1))) { /* full at 0, 1, 2, 4, 8, ... */
            n.list = (char **)realloc(n.list, (n.count ? 2 * (size_t)n.count : 1) * sizeof *n.list);
            if (!n.list) quit(1, "no memory for the names in %s", path);
        }
        n.list[n.count++] = copy_text(entry->d_name);
    }
    closedir(directory);
    if (n.count) qsort(n.list, (size_t)n.count, sizeof *n.list, compare_names);
    return n;
}

/* Picture i of a class for testing, where nothing else says so: every fifth. */
static inline int is_for_testing(int i) { return i % 5 == 4; }

/* Adds the pictures of a class: all, or those for training (part 1) or for testing (part 0). */
static inline void add_class(folder *f, const char *root, int label, int part) {
    char *path = join_path(root, f->classes.list[label]);
    name_list n = list_directory(path, 0, has_picture_name);
    if (!n.count)
        quit(1,
             "%s holds no picture, a file whose name ends in .ppm, .pgm, .pbm, .pam, .png, .jpg or "
             "another of a picture",
             path);
    f->pictures =
        (folder_picture *)realloc(f->pictures, (size_t)(f->count + n.count) * sizeof *f->pictures);
    if (!f->pictures) quit(1, "no memory for the names in %s", path);
    for (int i = 0; i < n.count; i++) {
        const folder_picture p = {join_path(path, n.list[i]), label, NULL};
        if (part < 0 || part != is_for_testing(i))
            f->pictures[f->count++] = p;
        else
            free(p.path);
    }
    free_names(&n);
    free(path);
}

/* A file as the net sees it, into pixels [C,H,W]. */
static inline void read_folder_picture(folder *f, const char *path, uint8_t *pixels) {
    unsigned char b[20];
    FILE *file = open_picture(path, b);
    pixmap m = read_picture(file, path, b);
    rn_picture picture;
    rn_crop crop;
    size_t bytes;
    rn_error error;
    fclose(file);
    if (!m.channels) quit(1, "%s is no picture, whatever its name", path);
    f->alpha += m.alpha && f->read < f->count;
    m = match_channels(m, path, f->desc.channels);
    picture = rn_planar(m.pixels, m.channels, m.height, m.width);
    crop = choose_crop(&f->desc, &m);
    bytes = rn_crop_bytes(&picture, &crop);
    if (bytes > f->room_bytes) {
        free(f->room);
        f->room = (char *)allocate(bytes);
        f->room_bytes = bytes;
    }
    if (rn_crop_picture(pixels, &picture, &crop, f->room, f->room_bytes, &error))
        quit(1, "%s: %s", path, error.text);
    free(m.pixels);
}

/* Of an rn_source. */
static inline int read_from_folder(void *user, ptrdiff_t index, uint8_t *pixels, int *label) {
    folder *f = (folder *)user;
    folder_picture *p = &f->pictures[index];
    const size_t bytes = (size_t)f->desc.channels * (size_t)f->desc.height * (size_t)f->desc.width;
    *label = p->label;
    if (p->pixels) {
        memcpy(pixels, p->pixels, bytes);
        return 0;
    }
    read_folder_picture(f, p->path, pixels);
    if (f->kept + bytes <= f->most && (p->pixels = (uint8_t *)malloc(bytes))) {
        memcpy(p->pixels, pixels, bytes);
        f->kept += bytes;
    }
    if (f->read == f->count) return 0;
    if (!f->read) f->progress = begin_progress((uint64_t)f->count);
    f->progress.done = (double)++f->read;
    show_progress(&f->progress, "reading pictures: %td of %td", f->read, f->count);
    if (f->read < f->count) return 0;
    end_progress(&f->progress);
    if (f->alpha)
        fprintf(stderr, "%s: %td pictures have an alpha channel, which is left out\n", program,
                f->alpha);
    return 0;
}

/* As rn_data_free calls it. */
static inline void free_folder(void *memory, void *user) {
    folder *f = (folder *)memory;
    (void)user;
    for (ptrdiff_t i = 0; i < f->count; i++) {
        free(f->pictures[i].path);
        free(f->pictures[i].pixels);
    }
    free_names(&f->classes);
    free(f->pictures);
    free(f->room);
    free(f);
}

/* Where the pictures of a part lie; free it. `part` becomes what add_class takes. */
static inline char *find_part(const char *directory, int train, int *part) {
    char *root = join_path(directory, "train"), *test = join_path(directory, "test");
    char *wanted;
    if (!is_directory(root)) { /* nothing says which are for testing */
        *part = train;
        free(root);
        free(test);
        return copy_text(directory);
    }
    if (!is_directory(test)) strcpy(test + strlen(directory), "/val");
    *part = is_directory(test) ? -1 : train;
    wanted = *part < 0 && !train ? test : root;
    free(wanted == test ? root : test);
    return wanted;
}

/* As the names of classes have to be for rn_save, which looks closer. */
static inline int is_utf8(const char *text) {
    int more = 0; /* bytes that the character goes on for */
    for (; *text; text++) {
        const int byte = (unsigned char)*text, goes_on = byte >> 6 == 2;
        if (goes_on != (more > 0) || byte >= 0xf8) return 0;
        more = goes_on ? more - 1 : byte < 0xc0 ? 0 : byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    }
    return !more;
}

/* Classes are the folders of the training images, in the order of their names. */
static inline void list_classes(folder *f, const char *directory, const char *root) {
    int part;
    char *first = find_part(directory, 1, &part);
    name_list others = list_directory(root, 1, NULL);
    f->classes = list_directory(first, 1, NULL);
    if (f->classes.count < 2)
        quit(1, "%s has %d directories, but it should have one for each class, two or more", first,
             f->classes.count);
    for (int i = 0; i < f->classes.count; i++)
        if (!is_utf8(f->classes.list[i]))
            quit(1, "the name of %s/%s is not UTF-8, as files have names of classes; rename it",
                 first, f->classes.list[i]);
    for (int i = 0; i < others.count; i++)
        if (!bsearch(&others.list[i], f->classes.list, (size_t)f->classes.count,
                     sizeof *f->classes.list, compare_names))
            quit(1, "%s has the class %s, but %s does not", root, others.list[i], first);
    free_names(&others);
    free(first);
}

/* The training or the test images of a directory: those of DIR/train and DIR/test (or DIR/val); if
   these are not there, every fifth picture of each class, by its name, is for testing, the others
   for training. They get the size that desc has, and keep at most so many bytes in memory.
   rn_data_free gives all of it back; data->pixels and data->labels are NULL. */
static inline void open_folder(rn_data *data, const rn_desc *desc, const char *directory, int train,
                               size_t most) {
    folder *f = (folder *)allocate(sizeof *f);
    int part;
    char *root = find_part(directory, train, &part);
    memset(f, 0, sizeof *f);
    memset(data, 0, sizeof *data);
    list_classes(f, directory, root);
    for (int i = 0; i < f->classes.count; i++) {
        char *path = join_path(root, f->classes.list[i]);
        if (part >= 0 || train || is_directory(path)) add_class(f, root, i, part);
        free(path);
    }
    if (!f->count && part < 0) quit(1, "%s has none of the classes of %s/train", root, directory);
    if (!f->count)
        quit(1,
             "%s has no picture for testing, which every fifth of a class is; or put those for "
             "training into %s/train/NAME, for testing into %s/test/NAME",
             directory, directory, directory);
    f->desc = *desc;
    if (!f->desc.classes) f->desc.classes = f->classes.count;
    check_description(f->desc);
    rn_resolve(&f->desc, NULL);
    f->most = most;
    data->source.count = f->count;
    data->source.channels = f->desc.channels;
    data->source.height = f->desc.height, data->source.width = f->desc.width;
    data->source.classes = f->classes.count;
    data->source.read = read_from_folder;
    data->source.user = f;
    data->memory.alloc = take_pages; /* never called, but without it `free` would not be */
    data->memory.free = free_folder;
    data->block = f;
    free(root);
}

/* Names of the classes, a line each, as `predict --classes` and `tools/convert --classes` take
   them. */
static inline void write_classes(const rn_data *data, const char *path) {
    const folder *f = (const folder *)data->source.user;
    char temporary[1024];
    FILE *file = open_new(path, temporary);
    for (int i = 0; i < f->classes.count; i++) fprintf(file, "%s\n", f->classes.list[i]);
    close_new(file, temporary, path);
}

/* The same as rn_net's class_names has them; free it. */
static inline char *join_classes(const rn_data *data) {
    const name_list *n = &((const folder *)data->source.user)->classes;
    size_t bytes = 0, at = 0;
    char *names;
    for (int i = 0; i < n->count; i++) bytes += strlen(n->list[i]) + 1;
    names = (char *)allocate(bytes);
    for (int i = 0; i < n->count; i++)
        at += (size_t)sprintf(names + at, "%s%s", i ? "\n" : "", n->list[i]);
    return names;
}

#endif /* FOLDER_H */
