/* names.h - what the classes are called: by a weights file, by a list, or where there is none by a
   data set that looks like the net's. Stands on example.h. */
#ifndef NAMES_H
#define NAMES_H

#include "example.h"

static const char *const cifar10_names[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                            "dog",      "frog",       "horse", "ship", "truck"};
static const char *const fashion_names[] = {"T-shirt/top", "trouser",   "pullover", "dress",
                                            "coat",        "sandal",    "shirt",    "sneaker",
                                            "bag",         "ankle boot"};

/* Text cut into names, with `separator` between them. */
typedef struct class_names {
    const char *text;
    char separator;
    int count;
} class_names;

static inline class_names count_names(const char *text, char separator) {
    class_names names = {text, separator, 1};
    for (; *text; text++) names.count += *text == separator;
    return names;
}

/* The names in a text file, a line each, without what editors put around them: a byte order mark,
   carriage returns, blank lines at the end. Free the text. */
static inline class_names read_names(const char *path) {
    FILE *file = fopen(path, "rb");
    size_t used = 0, room = 4096, got;
    char *text = (char *)allocate(room), *from, *to;
    if (!file) quit(1, "cannot open %s: %s", path, strerror(errno));
    while ((got = fread(text + used, 1, room - 1 - used, file)) > 0)
        if ((used += got) == room - 1 && !(text = (char *)realloc(text, room *= 2)))
            quit(1, "no memory for %s", path);
    if (ferror(file)) quit(1, "cannot read %s: %s", path, strerror(errno));
    fclose(file);
    text[used] = 0;
    if (strlen(text) < used) quit(1, "%s holds a zero byte; is it text?", path);
    from = to = text;
    if (!strncmp(from, "\xef\xbb\xbf", 3)) from += 3;
    for (; *from; from++)
        if (*from != '\r') *to++ = *from;
    while (to > text && to[-1] == '\n') to--;
    *to = 0;
    return count_names(text, '\n');
}

/* Those that tools/convert put into the weights file; no text if it has none. */
static inline class_names stored_names(const char *path) {
    class_names none = {NULL, 0, 0};
    const char *text = stored_text(path, "class_names");
    return text ? count_names(text, '\n') : none;
}

/* Flags count more than the file, and that more than data sets that look like the net's. A file
   whose names are of other classes is not worth a word that is wrong, but one that says so. */
static inline class_names choose_names(const rn_desc *desc, const char *weights, const char *list,
                                       const char *file) {
    class_names names = list   ? count_names(list, ',')
                        : file ? read_names(file)
                               : stored_names(weights);
    if ((list || file) && names.count != desc->classes)
        quit(2, "%s has %d names and the net %d classes", list ? "--names" : file, names.count,
             desc->classes);
    if (names.text && names.count != desc->classes) {
        fprintf(stderr, "%s: %s has %d class names, but %d classes; --classes FILE names them\n",
                program, weights, names.count, desc->classes);
        names.text = NULL;
    }
    return names;
}

/* The name of a class; none has no letters. */
static inline void name_class(const class_names *names, const rn_desc *desc, int class_index,
                              char name[256]) {
    const char *text = names->text;
    size_t length;
    if (!text) {
        const char *const *known = desc->channels == 3 ? cifar10_names : fashion_names;
        snprintf(name, 256, "%s", desc->classes == 10 ? known[class_index] : "");
        return;
    }
    for (; class_index; text++) class_index -= *text == names->separator;
    for (length = 0; text[length] && text[length] != names->separator;) length++;
    snprintf(name, 256, "%.*s", (int)length, text);
}

#endif /* NAMES_H */
