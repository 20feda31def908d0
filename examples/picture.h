/* picture.h - what several of the example programs share about pictures: reading PBM, PGM, PPM and
   PAM files always, PNG, JPEG and BMP where stb_image is: the Makefile looks for it and defines
   STB_IMAGE as its name, such as <stb/stb_image.h>. Part of example.h, which it stands on. Errors
   end the program. */
#ifndef PICTURE_H
#define PICTURE_H

#include <ctype.h>
#include <limits.h>

#ifdef STB_IMAGE
#define STB_IMAGE_IMPLEMENTATION
#define STBI_NO_STDIO
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#include STB_IMAGE
#endif

/* An image as it comes from a file: bytes [channels, height, width], colours as RGB, and its label
   if it has one. */
typedef struct pixmap {
    int channels, height, width, label; /* -1: none */
    int alpha;                          /* 1: the file has an alpha channel, which is left out */
    uint8_t *pixels;
} pixmap;

static inline pixmap make_pixmap(const char *path, int channels, int height, int width) {
    pixmap m = {channels, height, width, -1, 0, NULL};
    size_t bytes = rn_tensor_bytes(1, channels, height, width) / sizeof(rn_real);
    if (!bytes || bytes > (size_t)1 << 30)
        quit(1, "%s: images [%d,%d,%d] are too large, or empty", path, channels, height, width);
    m.pixels = (uint8_t *)allocate(bytes);
    return m;
}

/* ---- PBM, PGM, PPM and PAM ------------------------------------------------------------------- */

typedef struct pnm {
    FILE *file;
    const char *path;
    int form;                /* the digit behind P: 1 to 3 text, 4 bits, 5 to 7 bytes */
    int width, height, most; /* most: what white is */
    int depth;               /* samples of a pixel: grey, grey and alpha, RGB, RGB and alpha */
    int bits;                /* of the byte of a P4 that is being read */
    ptrdiff_t pixels;        /* that are read */
} pnm;

static inline void quit_cut(const pnm *p) {
    if (!p->pixels) quit(1, "%s is cut: it ends before its first pixel", p->path);
    quit(1, "%s is cut: it should hold %d x %d = %td pixels, but ends at number %td", p->path,
         p->width, p->height, (ptrdiff_t)p->width * p->height, p->pixels + 1);
}

/* The next character behind white space and comments. */
static inline int next_character(const pnm *p) {
    int c = getc(p->file);
    while (c == '#' || isspace(c)) {
        if (c == '#')
            while (c != '\n' && c != EOF) c = getc(p->file);
        c = getc(p->file);
    }
    return c;
}

/* The next number, and the white space behind it. */
static inline int read_number(const pnm *p, int most, const char *where) {
    int c = next_character(p), value = c >= '0' && c <= '9' ? 0 : -1;
    if (c == EOF) quit_cut(p);
    for (; c >= '0' && c <= '9' && value <= most; c = getc(p->file)) value = value * 10 + c - '0';
    if (value > most) quit(1, "%s: a number of its %s is above %d", p->path, where, most);
    if (value < 0 || !(c == '#' || c == EOF || isspace(c)))
        quit(1, "%s: its %s is damaged", p->path, where);
    if (c == '#') ungetc(c, p->file);
    return value;
}

static inline void read_pam_header(pnm *p) {
    static const char *const types[] = {"GRAYSCALE", "GRAYSCALE_ALPHA", "RGB", "RGB_ALPHA"};
    static const char *const keys[] = {"WIDTH", "HEIGHT", "MAXVAL", "DEPTH", "TUPLTYPE"};
    int *const values[] = {&p->width, &p->height, &p->most, &p->depth, NULL};
    char line[256] = "", key[16], value[32], type[32] = "";
    int i, words;
    while (fgets(line, sizeof line, p->file) && strncmp(line, "ENDHDR", 6) != 0) {
        words = sscanf(line, "%15s %31s", key, value);
        if (words < 1 || *key == '#') continue;
        for (i = 0; i < 5 && strcmp(key, keys[i]) != 0;) i++;
        if (i == 5 || (i < 4 && (words < 2 || value[strspn(value, "0123456789")])))
            quit(1, "%s: its header is damaged at %s", p->path, key);
        if (i < 4) sscanf(value, "%6d", values[i]);
        if (i == 4 && words == 2) strcpy(type, value);
    }
    if (strncmp(line, "ENDHDR", 6) != 0 || p->depth < 1 || p->depth > 4)
        quit(1, "%s: its header is damaged or lacks a DEPTH of 1 to 4", p->path);
    if (*type && strcmp(type, types[p->depth - 1]) != 0 &&
        (p->depth > 2 || strncmp(type, "BLACKANDWHITE", 13) != 0))
        quit(1, "%s is %s with a depth of %d, which is not known here", p->path, type, p->depth);
}

static inline void read_header(pnm *p) {
    static const char where[] = "header";
    if (p->form == 7)
        read_pam_header(p);
    else {
        p->width = read_number(p, 99999, where);
        p->height = read_number(p, 99999, where);
        p->most = p->form == 1 || p->form == 4 ? 1 : read_number(p, 65535, where);
        p->depth = p->form == 3 || p->form == 6 ? 3 : 1;
    }
    if (p->width < 1 || p->height < 1 || p->width > 99999 || p->height > 99999 || p->most < 1 ||
        p->most > 65535)
        quit(1, "%s: its header is damaged: width %d, height %d, largest value %d", p->path,
             p->width, p->height, p->most);
}

/* The next sample, of a pixel in this column; in bits 1 is black. */
static inline int read_sample(pnm *p, int column) {
    int c = 0, value = 0, k;
    if (p->form == 1) {
        c = next_character(p);
        value = c == '0' ? 1 : c == '1' ? 0 : 2;
    } else if (p->form <= 3) {
        value = read_number(p, 65535, "pixels");
    } else if (p->form == 4) {
        if (column % 8 == 0) p->bits = c = getc(p->file);
        value = !(p->bits >> (7 - column % 8) & 1);
    } else {
        for (k = 0; k < (p->most > 255 ? 2 : 1); k++) value = value * 256 + (c = getc(p->file));
    }
    if (c == EOF) quit_cut(p);
    if (value > p->most)
        quit(1, "%s has a value above the largest by its header, %d", p->path, p->most);
    return value;
}

/* In the file a pixel's samples follow each other, here the planes of the colours do. */
static inline pixmap read_pnm(FILE *file, const char *path, int form) {
    pnm p = {file, path, form, 0, 0, 0, 0, 0, 0};
    pixmap m;
    ptrdiff_t plane, i;
    int k;
    read_header(&p);
    m = make_pixmap(path, p.depth < 3 ? 1 : 3, p.height, p.width);
    m.alpha = p.depth % 2 == 0;
    plane = (ptrdiff_t)p.width * p.height;
    for (i = 0; i < plane; p.pixels = ++i)
        for (k = 0; k < p.depth; k++) {
            int value = read_sample(&p, (int)(i % p.width));
            if (k < m.channels)
                m.pixels[k * plane + i] = (uint8_t)((value * 255 + p.most / 2) / p.most);
        }
    return m;
}

/* ---- PNG, JPEG and BMP ----------------------------------------------------------------------- */

/* A kind of file that begins as no other, and what makes a PNM of it. */
typedef struct file_kind {
    const char *begins; /* with this, at byte `at` */
    int at;
    const char *name, *command, *options; /* "a PNG", "pngtopnm <", "" */
    int decoded;                          /* by stb_image */
} file_kind;

/* NULL if it is none of them. `b` are the first 20 bytes. */
static inline const file_kind *find_kind(const unsigned char *b) {
    static const file_kind kinds[] = {{"\211PNG", 0, "a PNG", "pngtopnm <", "", 1},
                                      {"\377\330\377", 0, "a JPEG", "djpeg <", "", 1},
                                      {"BM", 0, "a BMP", "bmptopnm <", "", 1},
                                      {"GIF8", 0, "a GIF", "giftopnm <", "", 0},
                                      {"II*", 0, "a TIFF", "tifftopnm <", "", 0},
                                      {"MM", 0, "a TIFF", "tifftopnm <", "", 0},
                                      {"WEBP", 8, "a WebP", "dwebp -ppm", " -o -", 0},
                                      {"\037\213", 0, "compressed", "gunzip <", "", 0}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (!memcmp(b + kinds[i].at, kinds[i].begins, strlen(kinds[i].begins))) return &kinds[i];
    return NULL;
}

#ifdef STB_IMAGE
/* All of a file, from its first byte on; free it. */
static inline uint8_t *read_whole(FILE *file, const char *path, int *bytes) {
    const int64_t size = fseek(file, 0, SEEK_END) ? -1 : (int64_t)ftell(file);
    uint8_t *data;
    if (size < 0 || size > INT_MAX) quit(1, "cannot read %s, or it has over 2 GB", path);
    data = (uint8_t *)allocate((size_t)size);
    rewind(file);
    if (fread(data, 1, (size_t)size, file) != (size_t)size) quit(1, "cannot read %s", path);
    *bytes = (int)size;
    return data;
}

/* Where the next marker of a JPEG is: 255 and its kind, but no 0 or restart, as in the picture. */
static inline int next_marker(const uint8_t *b, int at, int bytes) {
    for (; at + 1 < bytes; at++)
        if (b[at] == 0xff && b[at + 1] && b[at + 1] != 0xff &&
            (b[at + 1] < 0xd0 || b[at + 1] > 0xd7))
            return at;
    return bytes;
}

/* A segment of Huffman tables: each is its number, how many codes there are of each of 16 lengths,
   at most 256 in all, which not every stb_image checks, and their values. */
static inline int has_good_tables(const uint8_t *b, int at, int end, int bytes) {
    while (at < end) {
        int codes = 0;
        if (at + 17 > bytes) return 0;
        for (int i = 1; i <= 16; i++) codes += b[at + i];
        if (codes > 256) return 0;
        at += 17 + codes;
    }
    return 1;
}

/* Refuses JPEGs of which stb_image would make a picture of its own, or worse: one that is cut, one
   whose tables are too large, and one of four colours without Adobe's marker, which says what they
   are. A segment is marker, length with itself in two bytes, and content. */
static inline void check_jpeg(const char *path, const uint8_t *b, int bytes) {
    int at = next_marker(b, 2, bytes), colours = 0, adobe = 0;
    while (at + 10 <= bytes && b[at + 1] != 0xd9) {
        const int kind = b[at + 1], length = b[at + 2] << 8 | b[at + 3];
        if (kind >= 0xc0 && kind <= 0xcf && kind != 0xc4 && kind != 0xc8 && kind != 0xcc)
            colours = b[at + 9];
        if (kind == 0xee && !memcmp(b + at + 4, "Adobe", 5)) adobe = 1;
        if (kind == 0xc4 && !has_good_tables(b, at + 4, at + 2 + length, bytes))
            quit(1, "%s is a JPEG that is damaged: its tables are too large", path);
        at = next_marker(b, at + 2 + length, bytes);
    }
    if (at + 1 >= bytes || b[at + 1] != 0xd9)
        quit(1, "%s is a JPEG that is cut: its end is missing", path);
    if (colours == 4 && !adobe)
        quit(1,
             "%s is a JPEG of four colours (CMYK) that does not say how they are meant; take what "
             "this writes: convert %s -colorspace sRGB NAME.png",
             path, path);
}

/* 16 bits are scaled, as those of a PNM. */
static inline pixmap read_stb(FILE *file, const char *path, const char *name) {
    int bytes, width = 0, height = 0, stored = 0, wanted, deep, k;
    uint8_t *data = read_whole(file, path, &bytes);
    uint16_t *words = NULL;
    uint8_t *pixels = NULL;
    ptrdiff_t plane, i;
    pixmap m;
    if (data[0] == 0xff) check_jpeg(path, data, bytes);
    if (!stbi_info_from_memory(data, bytes, &width, &height, &stored))
        quit(1, "%s is %s that is damaged, or of a kind not known here: %s", path, name,
             stbi_failure_reason());
    if (height < 0 && height > -INT_MAX) height = -height; /* a BMP that begins at the top */
    wanted = stored < 3 ? 1 : 3;
    deep = stbi_is_16_bit_from_memory(data, bytes);
    m = make_pixmap(path, wanted, height, width);
    m.alpha = stored % 2 == 0;
    if (deep)
        words = stbi_load_16_from_memory(data, bytes, &width, &height, &stored, wanted);
    else
        pixels = stbi_load_from_memory(data, bytes, &width, &height, &stored, wanted);
    if (!words && !pixels)
        quit(1, "%s is %s that is damaged: %s", path, name, stbi_failure_reason());
    plane = (ptrdiff_t)width * height;
    for (i = 0; i < plane; i++)
        for (k = 0; k < wanted; k++)
            m.pixels[k * plane + i] = deep
                                          ? (uint8_t)((words[i * wanted + k] * 255 + 32767) / 65535)
                                          : pixels[i * wanted + k];
    stbi_image_free(deep ? (void *)words : (void *)pixels);
    free(data);
    return m;
}
#endif

/* ---- any of them ----------------------------------------------------------------------------- */

/* A picture whose first 20 bytes are b. Channels: none if the file is of no kind known here. */
static inline pixmap read_picture(FILE *file, const char *path, const unsigned char *b) {
    const file_kind *kind = find_kind(b);
    pixmap none = {0, 0, 0, -1, 0, NULL};
    if (b[0] == 'P' && b[1] >= '1' && b[1] <= '7' && (isspace(b[2]) || b[2] == '#')) {
        if (fseek(file, 2, SEEK_SET))
            quit(1, "%s cannot be read twice, as a pipe cannot; give a file", path);
        return read_pnm(file, path, b[1] - '0');
    }
    if (!kind) return none;
#ifdef STB_IMAGE
    if (kind->decoded) return read_stb(file, path, kind->name);
#endif
    quit(1, "%s is %s; %stake what this writes: %s %s%s > NAME", path, kind->name,
         kind->decoded && !has_stb_image ? "this program was built without stb_image: install it "
                                           "(Debian's libstb-dev) and build with make, or "
                                         : "",
         kind->command, path, kind->options);
    return none;
}

/* Opens a file and reads its first 20 bytes; those that are not there are 0. */
static inline FILE *open_picture(const char *path, unsigned char b[20]) {
    FILE *file = fopen(path, "rb");
    char *packed = (char *)allocate(strlen(path) + 4);
    if (!file) {
        const char *why = strerror(errno);
        strcat(strcpy(packed, path), ".gz");
        if (is_there(packed))
            quit(1, "%s is not there, but compressed it is: gunzip %s", path, packed);
        quit(1, "cannot open %s: %s", path, why);
    }
    free(packed);
    memset(b, 0, 20);
    errno = 0;
    if (fread(b, 1, 20, file) < 3)
        quit(1, "%s cannot be read: %s", path, errno ? strerror(errno) : "it is too short");
    return file;
}

/* Grey from colour by the weights of television, as Pillow has them; colour from grey by repeating
   it. */
static inline pixmap match_channels(pixmap from, const char *path, int channels) {
    pixmap to;
    ptrdiff_t plane = (ptrdiff_t)from.height * from.width, i;
    if (from.channels == channels) return from;
    if ((from.channels != 1 && from.channels != 3) || (channels != 1 && channels != 3))
        quit(1, "%s has %d channels, but the net takes %d", path, from.channels, channels);
    to = make_pixmap(path, channels, from.height, from.width);
    to.label = from.label;
    to.alpha = from.alpha;
    for (i = 0; i < plane * channels; i++) {
        const uint8_t *p = from.pixels + i % plane;
        if (from.channels == 1)
            to.pixels[i] = *p;
        else
            to.pixels[i] = (uint8_t)((19595 * (uint32_t)p[0] + 38470 * (uint32_t)p[plane] +
                                      7471 * (uint32_t)p[2 * plane] + 32768) >>
                                     16);
    }
    free(from.pixels);
    return to;
}

/* 1: nets of the CIFAR stem are shown all of a picture, stretched to their size; but with a
   crop_fraction below 1, as others always, its centre. */
static inline int is_stretched(const rn_desc *desc) {
    return desc->stem == RN_STEM_CIFAR && !(desc->crop_fraction < 1);
}

/* What a net sees of a picture. desc is that of a net, or resolved. */
static inline rn_crop choose_crop(const rn_desc *desc, const pixmap *m) {
    const rn_crop all = {desc->height, desc->width,        0, 0, desc->height,
                         desc->width,  desc->interpolation};
    return is_stretched(desc) ? all : rn_centre_crop(desc, m->height, m->width);
}

#endif /* PICTURE_H */
