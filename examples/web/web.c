/* web.c - what the page calls: a small residual net that learns clothes inside a browser. Makefile
   compiles it to WebAssembly; worker.js fetches the files, calls these functions, and reads and
   writes their arrays in the module's memory. Nothing is imported: no files, no clock, no random
   numbers but the header's, so the same seed gives the same bits in every browser.

   What returns a pointer or a number of steps returns 0 if it failed; web_error says why. */

#include <stdlib.h>
#include <string.h>

#define RESNET_NO_STDIO
#define RESNET_NO_THREADS
#define RESNET_MALLOC(bytes) malloc(bytes)
#define RESNET_FREE(memory) free(memory)
#define RESNET_STATIC
#define RESNET_IMPLEMENTATION
#include "../../resnet.h"

#define EXPORT(name) __attribute__((export_name(#name))) name

enum { SIZE = 28, PIXELS = SIZE * SIZE, CLASSES = 10, BATCH = 25, SIDE = 504 };

static rn_error error;
static rn_data train, test;
static rn_net *net;

static float images[BATCH * PIXELS], logits[BATCH * CLASSES];
static int labels[BATCH];

const char *EXPORT(web_error)(void) { return error.text; }

/* ---- data ------------------------------------------------------------------------------------ */

static rn_mapping files[4]; /* images and labels to train with, images and labels to test with */

/* Room for a file of the data set, number 0 to 3 as above. */
void *EXPORT(web_file)(int number, int bytes) {
    files[number].bytes = (size_t)bytes;
    files[number].data = malloc((size_t)bytes);
    if (!files[number].data) strcpy(error.text, "the browser gives no memory for the images");
    return (void *)files[number].data;
}

/* The header reads files through these three. A path here is the name of the file, for sentences,
   and at its end the number. */
static void *open_file(void *user, const char *path, int write) {
    (void)user;
    return write ? NULL : &files[path[strlen(path) - 1] - '0'];
}

static int size_file(void *user, void *file, uint64_t *bytes) {
    (void)user;
    *bytes = ((rn_mapping *)file)->bytes;
    return 0;
}

static size_t read_file(void *user, void *file, uint64_t offset, void *data, size_t bytes) {
    const rn_mapping *from = (const rn_mapping *)file;
    (void)user;
    if (offset > from->bytes || bytes > from->bytes - offset) return 0;
    memcpy(data, (const char *)from->data + offset, bytes);
    return bytes;
}

static int close_file(void *user, void *file) {
    (void)user, (void)file;
    return 0;
}

/* Takes the images out of the four files, which are freed. Returns the number of test images. */
int EXPORT(web_load)(void) {
    rn_files access = {0};
    access.open = open_file;
    access.size = size_file;
    access.read = read_file;
    access.close = close_file;
    if (rn_load_idx(&train, "training images 0", "training labels 1", CLASSES, NULL, &access,
                    &error) ||
        rn_load_idx(&test, "test images 2", "test labels 3", CLASSES, NULL, &access, &error))
        return 0;
    for (int i = 0; i < 4; i++) free((void *)files[i].data);
    if (train.source.height == SIZE && train.source.width == SIZE && test.source.height == SIZE &&
        test.source.width == SIZE && train.source.count >= BATCH)
        return (int)test.source.count;
    strcpy(error.text, "the images should have 28 x 28 pixels, and be 25 at least");
    return 0;
}

uint8_t *EXPORT(web_test_pixels)(void) { return test.pixels; } /* [count,28,28] */
uint8_t *EXPORT(web_test_labels)(void) { return test.labels; } /* [count] */

/* ---- training -------------------------------------------------------------------------------- */

static uint64_t steps_of_epoch(void) { return (uint64_t)train.source.count / BATCH; }

/* A new net of `depth` layers in place of the last one. Returns the steps of its training. */
int EXPORT(web_create)(int depth, double rate, int epochs, int seed) {
    rn_desc desc = rn_cifar(depth); /* full pre-activation, momentum 0.9 */
    desc.seed = (uint64_t)seed;
    desc.weight_decay = 5e-4;
    rn_destroy(net);
    net = NULL;
    if (rn_measure(&desc, &train.source, &error) ||
        !(net = rn_create(&desc, BATCH, RN_TRAINING, NULL, &error)))
        return 0;
    net->schedule = rn_make_schedule(RN_ONE_CYCLE, rate, (uint64_t)epochs * steps_of_epoch());
    return (int)net->schedule.steps;
}

int EXPORT(web_batch)(void) { return BATCH; } /* images of a step */
int EXPORT(web_parameters)(void) { return (int)net->parameter_count; }

/* The next step of training. Returns its mean loss, or -1 if it failed. */
double EXPORT(web_step)(void) {
    const rn_augment augment = {2, 1}; /* crop at random from the image padded by 2, and mirror */
    const uint64_t epoch = net->step / steps_of_epoch(), place = net->step % steps_of_epoch();
    rn_result result = {0, 0};
    if (rn_batch(&train.source, &net->desc, &augment, epoch, (ptrdiff_t)place * BATCH, BATCH,
                 images, labels, &error) ||
        rn_train_step(net, images, labels, BATCH, rn_learning_rate(&net->schedule, net->step),
                      &result, &error))
        return -1;
    return result.loss;
}

/* ---- prediction ------------------------------------------------------------------------------ */

/* Makes probabilities of logits, where they are: the softmax. */
static void make_probabilities(float *z) {
    const float most = z[rn_argmax(z, CLASSES)];
    float sum = 0;
    for (int k = 0; k < CLASSES; k++) sum += z[k] = expf(z[k] - most);
    for (int k = 0; k < CLASSES; k++) z[k] /= sum;
}

/* The probabilities [count,10] of the images that lie in `images`. */
static float *predict(int count) {
    if (rn_predict(net, rn_workspace(net), images, count, logits, &error)) return NULL;
    for (int i = 0; i < count; i++) make_probabilities(logits + i * CLASSES);
    return logits;
}

/* The probabilities of at most 25 test images from number `first` on. */
float *EXPORT(web_predict)(int first, int count) {
    if (rn_batch(&test.source, &net->desc, NULL, 0, first, count, images, labels, &error))
        return NULL;
    return predict(count);
}

/* ---- the user's picture ----------------------------------------------------------------------
   It is made into what the data set's images are, by the steps that they were made by: grey, white
   on black, trimmed to what differs from the background, its longer side scaled to 28 pixels, and
   put into the middle. One of 28 x 28 pixels counts as one of them. */

static uint8_t picture[SIDE * SIDE * 4]; /* [height,width,4] red, green, blue, alpha; then grey */
static uint8_t seen[PIXELS];             /* what the net gets */

uint8_t *EXPORT(web_seen)(void) { return seen; }

/* Room for a picture. */
uint8_t *EXPORT(web_picture)(int height, int width) {
    if (height >= 1 && height <= SIDE && width >= 1 && width <= SIDE) return picture;
    strcpy(error.text, "a picture should have 1 to 504 pixels a side");
    return NULL;
}

/* By the weights of television. */
static void make_grey(int pixels) {
    for (int i = 0; i < pixels; i++) {
        const uint8_t *p = picture + 4 * i;
        picture[i] = (uint8_t)((19595u * p[0] + 38470u * p[1] + 7471u * p[2] + 32768u) >> 16);
    }
}

/* The median of the pixels at the edge. */
static int find_background(int height, int width) {
    int counts[256] = {0}, value = 0, rest = height + width;
    for (int y = 0; y < height; y++)
        counts[picture[y * width]]++, counts[picture[y * width + width - 1]]++;
    for (int x = 0; x < width; x++)
        counts[picture[x]]++, counts[picture[(height - 1) * width + x]]++;
    while ((rest -= counts[value]) > 0) value++;
    return value;
}

/* The background becomes black, and what is farther from it lighter: inverted, if more of the
   picture is darker than the background than lighter. */
static void put_on_black(int height, int width) {
    const int background = find_background(height, width), pixels = height * width;
    double sum = 0;
    int inverted, most;
    for (int i = 0; i < pixels; i++) sum += picture[i] - background;
    inverted = sum < 0;
    most = inverted ? background : 255 - background;
    for (int i = 0; i < pixels; i++) {
        const int above = inverted ? background - picture[i] : picture[i] - background;
        picture[i] = (uint8_t)(above > 0 ? (above * 255 + most / 2) / most : 0);
    }
}

/* Where anything is above a twentieth of white; all of it where nothing is. */
static rn_picture trim(int height, int width) {
    int top = height, left = width, bottom = -1, right = -1;
    rn_picture all = rn_planar(picture, 1, height, width);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            if (picture[y * width + x] <= 255 / 20) continue;
            if (top > y) top = y;
            if (bottom < y) bottom = y;
            if (left > x) left = x;
            if (right < x) right = x;
        }
    if (bottom < 0) return all;
    all.pixels += top * width + left;
    all.height = bottom - top + 1;
    all.width = right - left + 1;
    return all;
}

/* Into the middle of `seen`. 0 if it failed. */
static int scale(rn_picture from) {
    static uint8_t scaled[PIXELS];
    const int longer = from.height > from.width ? from.height : from.width;
    const int height = (from.height * SIZE + longer - 1) / longer;
    const int width = (from.width * SIZE + longer - 1) / longer;
    const rn_crop whole = {height, width, 0, 0, height, width, RN_BICUBIC};
    const size_t bytes = rn_crop_bytes(&from, &whole);
    void *room = malloc(bytes);
    const rn_status status = rn_crop_picture(scaled, &from, &whole, room, bytes, &error);
    uint8_t *to = seen + (SIZE - height) / 2 * SIZE + (SIZE - width) / 2;
    free(room);
    memset(seen, 0, PIXELS);
    for (int y = 0; y < height; y++) memcpy(to + y * SIZE, scaled + y * width, (size_t)width);
    return !status;
}

/* The probabilities of what lies in web_picture(), which is overwritten. */
float *EXPORT(web_classify)(int height, int width) {
    rn_tensor image = rn_tensor_in(images, 1, 1, SIZE, SIZE);
    make_grey(height * width);
    if (height == SIZE && width == SIZE)
        memcpy(seen, picture, PIXELS);
    else {
        put_on_black(height, width);
        if (!scale(trim(height, width))) return NULL;
    }
    for (int i = 0; i < PIXELS; i++) images[i] = (float)seen[i] / 255;
    return rn_normalise(&image, &net->desc, &error) ? NULL : predict(1);
}
