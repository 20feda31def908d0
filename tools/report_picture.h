/* report_picture.h - SVG files of a run's directory, which become part of a page: only whole ones,
   that bring nothing from elsewhere and run nothing. */
#ifndef REPORT_PICTURE_H
#define REPORT_PICTURE_H

#include "report_run.h"
#include <ctype.h>

enum { PICTURE_DEPTH = 64 }; /* of elements in elements */

typedef struct picture_scan {
    const char *at;
    const char *open[PICTURE_DEPTH]; /* names of the elements that are open */
    int depth, elements;
    const char *fault; /* why it is refused; NULL: it is not */
} picture_scan;

static inline size_t xml_name(const char *at) {
    size_t length = 0;
    while (isalnum((unsigned char)at[length]) || (at[length] && strchr("-_:.", at[length])))
        length++;
    return length;
}

static inline int is_word(const char *name, size_t length, const char *word) {
    return length == strlen(word) && !strncmp(name, word, length);
}

/* Does it hold the word, in letters of any case? */
static inline int holds_word(const char *text, size_t length, const char *word) {
    size_t i, k;
    for (i = 0; i + strlen(word) <= length; i++) {
        for (k = 0; word[k] && tolower((unsigned char)text[i + k]) == word[k];) k++;
        if (!word[k]) return 1;
    }
    return 0;
}

/* Has it a character by its number or name, which a browser would put in its place? Not the five
   that every XML has. */
static inline int hides_characters(const char *text, size_t length) {
    static const char *const open[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"};
    const char *at = text;
    size_t i;
    while ((at = (const char *)memchr(at, '&', (size_t)(text + length - at))) != NULL) {
        for (i = 0; i < 5 && strncmp(at, open[i], strlen(open[i])) != 0;) i++;
        if (i == 5) return 1;
        at++;
    }
    return 0;
}

/* Whether a style or an attribute's value would fetch or run something. */
static inline int reaches_out(const char *value, size_t length) {
    return holds_word(value, length, "@import") || holds_word(value, length, "url(") ||
           holds_word(value, length, "src(") || holds_word(value, length, "image-set(") ||
           holds_word(value, length, "script:") || holds_word(value, length, "expression(") ||
           memchr(value, '\\', length) != NULL || hides_characters(value, length);
}

/* Behind the attributes of an element; NULL if they are refused. In a page their names are the same
   in letters of any case. */
static inline const char *scan_attributes(picture_scan *s, const char *at) {
    for (at += strspn(at, " \t\r\n"); *at && !strchr("/>", *at); at += strspn(at, " \t\r\n")) {
        const char *name = at, *value, *end;
        const size_t length = xml_name(at);
        at += length;
        value = at + 2;
        end = length && *at == '=' && (at[1] == '"' || at[1] == '\'') ? strchr(value, at[1]) : NULL;
        s->fault = "is no well-formed SVG";
        if (!end || memchr(value, '<', (size_t)(end - value))) return NULL;
        s->fault = "would run a script";
        if (holds_word(name, length < 2 ? length : 2, "on")) return NULL;
        s->fault = "would fetch what is elsewhere";
        if (holds_word(name, length < 3 ? length : 3, "src")) return NULL;
        if (reaches_out(value, (size_t)(end - value))) return NULL;
        if (holds_word(name, length, "href") && *value != '#' &&
            strncmp(value, "data:image/png;base64,", 22) != 0)
            return NULL;
        s->fault = NULL;
        at = end + 1;
    }
    return at;
}

/* A tag, whose '<' is read. */
static inline void scan_tag(picture_scan *s) {
    static const char *const allowed[] = {
        "svg",  "g",     "path",  "rect", "circle", "ellipse", "line", "polygon", "polyline",
        "text", "tspan", "title", "desc", "style",  "image",   "defs", "use",     "symbol"};
    const char *name = s->at, *at;
    const size_t length = xml_name(name);
    size_t i;
    for (i = 0; i < sizeof allowed / sizeof *allowed && !is_word(name, length, allowed[i]);) i++;
    s->fault = "has an element that a picture of ours has not";
    if (i == sizeof allowed / sizeof *allowed) return;
    s->fault = "is no well-formed SVG";
    if ((!s->depth && (s->elements || i)) || s->depth == PICTURE_DEPTH) return;
    s->fault = NULL;
    s->elements++;
    at = scan_attributes(s, name + length);
    if (!at) return;
    if (*at == '>') s->open[s->depth++] = name;
    s->at = at + 1 + (*at == '/');
    if (!*at || s->at[-1] != '>') s->fault = "is no well-formed SVG";
    if (is_word(name, length, "style") && *at == '>') {
        const size_t rules = strcspn(s->at, "<");
        if (reaches_out(s->at, rules)) s->fault = "would fetch what is elsewhere";
    }
}

static inline void scan_end_tag(picture_scan *s) {
    const size_t length = xml_name(s->at);
    const char *name = s->depth ? s->open[--s->depth] : "";
    if (length != xml_name(name) || strncmp(name, s->at, length) != 0 || s->at[length] != '>')
        s->fault = "is no well-formed SVG";
    s->at += length + 1;
}

/* Why an SVG file's text must not become part of a page; NULL: it may. */
static inline const char *picture_fault(const char *text) {
    picture_scan s;
    memset(&s, 0, sizeof s);
    for (s.at = text; *s.at && !s.fault;) {
        if (*s.at != '<') {
            if (!s.depth && !isspace((unsigned char)*s.at)) s.fault = "is no well-formed SVG";
            s.at++;
        } else if (s.at[1] == '/') {
            s.at += 2;
            scan_end_tag(&s);
        } else {
            s.at++;
            scan_tag(&s);
        }
    }
    return s.fault ? s.fault : s.depth || !s.elements ? "is no well-formed SVG" : NULL;
}

/* Where the first element begins: behind <?xml ...?>, which a page must not have inside. */
static inline const char *skip_declaration(const char *text) {
    const char *end = strncmp(text, "<?xml", 5) ? NULL : strstr(text, "?>");
    const char *at = end ? end + 2 : text;
    return at + strspn(at, " \t\r\n");
}

#endif /* REPORT_PICTURE_H */
