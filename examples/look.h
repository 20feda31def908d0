/* look.h - a trained net looked at: the test images that it gets wrong, and the filters of its
   first convolution, as pictures. Stands on example.h. */
#ifndef LOOK_H
#define LOOK_H

#include "names.h"
#include "plot.h"

enum { MISTAKES = 30 };

/* An image that the net takes for another class. */
typedef struct mistake {
    ptrdiff_t image;
    int label, taken_for;
    double probability; /* of the wrong class */
} mistake;

/* The surest ones, in descending order, and how many there are of all. */
typedef struct mistakes {
    mistake list[MISTAKES];
    int count;
    long all;
} mistakes;

static inline void keep_mistake(mistakes *m, mistake one) {
    int at = m->count < MISTAKES ? m->count++ : MISTAKES;
    m->all++;
    for (; at && m->list[at - 1].probability < one.probability; at--)
        if (at < MISTAKES) m->list[at] = m->list[at - 1];
    if (at < MISTAKES) m->list[at] = one;
}

/* Softmax of one class. */
static inline double probability_of(const rn_real *logits, int classes, int index) {
    double sum = 0;
    for (int i = 0; i < classes; i++) sum += exp((double)(logits[i] - logits[index]));
    return 1 / sum;
}

/* Those of the net as test_net tests it. */
static inline void find_mistakes(trainer *t, const rn_source *source, mistakes *m) {
    const int classes = t->net->desc.classes, views = views_of(t);
    rn_error error;
    int count;
    memset(m, 0, sizeof *m);
    for (ptrdiff_t first = 0; first < source->count && !stopped; first += count) {
        count =
            source->count - first < t->net->batch ? (int)(source->count - first) : t->net->batch;
        check(predict_views(t, source, views, first, count, &error), &error);
        for (int i = 0; i < count; i++) {
            const rn_real *logits = t->logits + (ptrdiff_t)i * classes;
            mistake one = {first + i, t->labels[i], rn_argmax(logits, classes), 0};
            one.probability = probability_of(logits, classes, one.taken_for);
            if (one.taken_for != one.label) keep_mistake(m, one);
        }
    }
}

static inline void save_picture(plot *p, const char *path) {
    if (plot_save(p, path)) quit(1, "cannot write %s: %s", path, strerror(errno));
    printf("drawn as %s\n", path);
}

/* A class's name, or its number. */
static inline void call_class(const class_names *names, const rn_desc *desc, int index,
                              char name[256]) {
    name_class(names, desc, index, name);
    if (!*name) snprintf(name, 256, "class %d", index);
}

/* Draws the test images that the net gets wrong and is surest of. */
static inline void draw_mistakes(trainer *t, const rn_source *source, const class_names *names,
                                 const char *path) {
    const size_t bytes = (size_t)source->channels * (size_t)source->height * (size_t)source->width;
    mistakes *m = (mistakes *)allocate(sizeof *m);
    char texts[MISTAKES][600], title[500], name[160];
    const char *captions[MISTAKES];
    uint8_t *pixels;
    plot *p;
    find_mistakes(t, source, m);
    if (stopped) exit(128 + stopped);
    pixels = (uint8_t *)allocate((size_t)m->count * bytes);
    for (int i = 0; i < m->count; i++) {
        const mistake *one = &m->list[i];
        char label[256], taken_for[256];
        int unused;
        if (source->read(source->user, one->image, pixels + (size_t)i * bytes, &unused))
            quit(1, "cannot read test image %td", one->image);
        call_class(names, &t->net->desc, one->label, label);
        call_class(names, &t->net->desc, one->taken_for, taken_for);
        snprintf(texts[i], sizeof texts[i], "%s\n%s\n%.1f %%", label, taken_for,
                 100 * one->probability);
        captions[i] = texts[i];
    }
    name_net(&t->net->desc, name);
    snprintf(title, sizeof title,
             "%s gets %ld of %td test images wrong. The %d of which it is surest: what the "
             "picture is, what the net takes it for, with what probability",
             name, m->all, source->count, m->count);
    p = plot_begin(title, 1);
    plot_images(p, pixels, m->count, source->channels, source->height, source->width, captions);
    save_picture(p, path);
    free(pixels);
    free(m);
}

/* Weights as bytes: 0 is the middle grey, the filter's largest magnitude black or white. */
static inline void paint_filter(const rn_real *weights, size_t count, unsigned char *pixels) {
    double largest = 0;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)weights[i]));
    for (size_t i = 0; i < count; i++)
        pixels[i] = (unsigned char)(128 + (largest > 0 ? 127 * (double)weights[i] / largest : 0));
}

/* Draws the filters of the first convolution: in colours if there are three channels, else a grey
   picture for each channel of a filter. */
static inline void draw_filters(const rn_net *net, const char *path) {
    rn_parameter w;
    char title[500], name[160];
    unsigned char *pixels;
    size_t bytes;
    int colours;
    plot *p;
    if (!rn_find_parameter(net, "conv1.weight", &w)) quit(1, "the net has no conv1.weight to draw");
    bytes = (size_t)w.shape[1] * (size_t)w.shape[2] * (size_t)w.shape[3];
    pixels = (unsigned char *)allocate((size_t)w.shape[0] * bytes);
    for (int k = 0; k < w.shape[0]; k++)
        paint_filter(w.data + (size_t)k * bytes, bytes, pixels + (size_t)k * bytes);
    colours = w.shape[1] == 3;
    name_net(&net->desc, name);
    snprintf(title, sizeof title,
             "%s, the %d filters of conv1, %d x %d, %s: the middle grey is 0, and black and "
             "white are the largest weight of the filter",
             name, w.shape[0], w.shape[2], w.shape[3],
             colours ? "channels as red, green and blue" : "a picture for each channel");
    p = plot_begin(title, 1);
    plot_images(p, pixels, colours ? w.shape[0] : w.shape[0] * w.shape[1], colours ? 3 : 1,
                w.shape[2], w.shape[3], NULL);
    save_picture(p, path);
    free(pixels);
}

#endif /* LOOK_H */
