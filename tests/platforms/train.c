/* train.c - one small training as ../platforms.sh runs it on every platform: a net of each order of
   activation, and of some shortcuts, blocks and stems, a few steps each, fast and naive, on the
   bundled images. Everything it prints is comparable between machines but for rounding.

   train DATA NAME           trains, prints a line of logits a net, and leaves NAME.safetensors, a
                             checkpoint, and NAME.txt, the predictions that it makes: at once, and
                             after one further step
   train DATA read NAME...   loads others' checkpoints, predicts and trains on, and prints the
                             largest difference from what the writer found
   Ends with 1 if anything fails, or numbers differ that should not. */

#define RESNET_IMPLEMENTATION
#include "../../resnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES = 6, CLASSES = 10, LOGITS = IMAGES * CLASSES, STEPS = 2, PIXELS = 28 * 28 };

/* Logits are of order 1. Rounding in single precision, through two steps of training, differs by
   some 1e-6 between machines; a wrong byte, sign or index by more than this. */
#define TOLERANCE 1e-3

static rn_real images[IMAGES * PIXELS];
static int labels[IMAGES];

static void check(rn_status status, const rn_error *error) {
    if (!status) return;
    fprintf(stderr, "train: %s: %s\n", rn_status_name(status), error->text);
    exit(1);
}

static void set(rn_desc *desc, const char *key, const char *value) {
    rn_error error;
    check(rn_desc_set(desc, key, value, &error), &error);
}

/* A key and a value that make a net; the first is that of the papers. */
static const char *const variants[][2] = {
    {"order", "full_preact"},     {"order", "original"},    {"order", "bn_after_add"},
    {"order", "relu_before_add"}, {"order", "relu_preact"}, {"shortcut", "exclusive_gate"},
    {"shortcut", "dropout"},      {"block", "bottleneck"},  {"micro_batch", "4"},
    {"stem", "imagenet"},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static rn_desc describe(int variant, int naive) {
    rn_desc desc = rn_cifar(8);
    set(&desc, "seed", "7");
    desc.base_width = 4;
    set(&desc, "units", strcmp(variants[variant][0], "stem") ? "1,1,1" : "1,1,1,1");
    set(&desc, variants[variant][0], variants[variant][1]);
    desc.channels = 1;
    desc.height = desc.width = 28;
    desc.classes = CLASSES;
    desc.mean[0] = 0.3f;
    desc.deviation[0] = 0.35f;
    desc.naive = naive;
    return desc;
}

static void read_images(const char *directory) {
    char paths[2][1000];
    rn_data data;
    rn_desc desc = describe(0, 0);
    rn_error error;
    snprintf(paths[0], sizeof paths[0], "%s/train-images-idx3-ubyte", directory);
    snprintf(paths[1], sizeof paths[1], "%s/train-labels-idx1-ubyte", directory);
    check(rn_load_idx(&data, paths[0], paths[1], CLASSES, NULL, NULL, &error), &error);
    check(rn_batch(&data.source, &desc, NULL, 0, 0, IMAGES, images, labels, &error), &error);
    rn_data_free(&data);
}

static void train(rn_net *net, int steps) {
    rn_error error;
    for (; steps > 0; steps--)
        check(rn_train_step(net, images, labels, IMAGES, 0.02, NULL, &error), &error);
}

static void predict(rn_net *net, rn_real *logits) {
    rn_error error;
    check(rn_predict(net, rn_workspace(net), images, IMAGES, logits, &error), &error);
}

static rn_net *create(rn_desc desc) {
    rn_error error;
    rn_net *net = rn_create(&desc, IMAGES, RN_TRAINING, NULL, &error);
    if (!net) check(error.status, &error);
    return net;
}

/* The largest difference; a number that is none counts as one that is far off. */
static double difference(const rn_real *a, const rn_real *b, int count) {
    double largest = 0;
    int i;
    for (i = 0; i < count; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= largest)) largest = d < 1e9 ? d : 1e9;
    }
    return largest;
}

static void name_file(char path[1000], const char *name, const char *suffix) {
    snprintf(path, 1000, "%s%s", name, suffix);
}

/* The net that is stored, and the further step. */
static void write_files(rn_net *net, const char *name) {
    rn_real logits[2 * LOGITS];
    char path[1000];
    rn_error error;
    FILE *file;
    int i;
    name_file(path, name, ".safetensors");
    check(rn_save_checkpoint(net, path, NULL, &error), &error);
    predict(net, logits);
    train(net, 1);
    predict(net, logits + LOGITS);
    name_file(path, name, ".txt");
    file = fopen(path, "w");
    for (i = 0; file && i < 2 * LOGITS; i++) fprintf(file, "%.9g\n", (double)logits[i]);
    if (!file || fclose(file)) {
        fprintf(stderr, "train: cannot write %s\n", path);
        exit(1);
    }
}

static int train_all(const char *name) {
    int variant, naive, i, wrong = 0;
    for (variant = 0; variant < VARIANTS; variant++) {
        rn_real logits[2][LOGITS];
        for (naive = 0; naive < 2; naive++) {
            rn_net *net = create(describe(variant, naive));
            train(net, STEPS);
            predict(net, logits[naive]);
            printf("%s %s", variants[variant][1], naive ? "naive" : "fast");
            for (i = 0; i < CLASSES; i++) printf(" %.6f", (double)logits[naive][i]);
            printf("\n");
            if (!naive && !strcmp(variants[variant][1], "bottleneck")) write_files(net, name);
            rn_destroy(net);
        }
        if (difference(logits[0], logits[1], LOGITS) <= TOLERANCE) continue;
        fprintf(stderr, "train: %s: fast and naive differ by %g\n", variants[variant][1],
                difference(logits[0], logits[1], LOGITS));
        wrong = 1;
    }
    return wrong;
}

/* The largest difference between what a file's net predicts here and where it was written. */
static double read_files(const char *name) {
    rn_real expected[2 * LOGITS], logits[2 * LOGITS];
    char path[1000];
    rn_desc desc;
    rn_error error;
    rn_net *net;
    FILE *file;
    int i;
    name_file(path, name, ".txt");
    file = fopen(path, "r");
    for (i = 0; file && i < 2 * LOGITS; i++) {
        double number;
        if (fscanf(file, "%lf", &number) != 1) break;
        expected[i] = (rn_real)number;
    }
    if (!file || fclose(file) || i < 2 * LOGITS) {
        fprintf(stderr, "train: cannot read %s\n", path);
        exit(1);
    }
    name_file(path, name, ".safetensors");
    check(rn_load_desc(&desc, path, NULL, &error), &error);
    net = create(desc);
    check(rn_load(net, path, NULL, &error), &error);
    if (net->step != STEPS) exit(1);
    predict(net, logits);
    train(net, 1);
    predict(net, logits + LOGITS);
    rn_destroy(net);
    return difference(expected, logits, 2 * LOGITS);
}

int main(int count, char **words) {
    double largest = 0;
    int i;
    if (count < 3) return 2;
    read_images(words[1]);
    if (strcmp(words[2], "read") != 0) return train_all(words[2]);
    for (i = 3; i < count; i++) {
        double d = read_files(words[i]);
        if (d > TOLERANCE) fprintf(stderr, "train: %s differs by %g\n", words[i], d);
        largest = d > largest ? d : largest;
    }
    printf("%g\n", largest);
    return largest > TOLERANCE;
}
