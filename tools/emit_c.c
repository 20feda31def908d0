/* emit_c.c - writes a net as one C file that predicts: no libc but memcpy and memset, no allocator,
   no double, one static array whose size is known beforehand.

   make -C tools emit_c && tools/emit_c --help

   lowered.h says what is left of a net for that, arena.h where its values lie, emit.h what the file
   looks like; emit_float.h and emit_int8.h write the layers. */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "../resnet.h" /* looks inside, to save files as it does */
#include "emit_float.h"
#include "emit_int8.h"
#include "evaluate.h"
#include "folded.h"
#include "quantise.h"
#include <ctype.h>

typedef struct job {
    const char *weights, *to, *name;
    const char *calibration; /* a directory; NULL: float, or what the weights are */
    calibration_options options;
    rn_desc desc;       /* of a net that is not folded: how its images are cropped */
    long height, width; /* of folded nets; 0: not given */
    long arena;         /* bytes; 0: layer by layer */
} job;

/* ---- the net --------------------------------------------------------------------------------- */

static lowered read_net(job *j) {
    lowered net = read_layers(j->weights, (int)j->height, (int)j->width, &j->desc, &j->options);
    if (j->calibration && net.quantised)
        quit(2, "%s is in integers already; leave --int8 out", j->weights);
    if (j->calibration) calibrate(&net, j->calibration, &j->options);
    return net;
}

/* A test vector: an image of random bytes and what the layers, one by one, make of it. */
static void make_test_vector(const lowered *net, float *image, float *result) {
    const layer *in = &net->layers[0];
    const rn_key key = {1, RN_PURPOSE_AUGMENT, 0};
    size_t i;
    for (i = 0; i < value_count(in); i++) {
        const float byte = (float)(rn_random(key, i) & 255);
        const int c = (int)(i % (size_t)in->c) & 3;
        image[i] = net->quantised ? byte - 128 : (byte / 255 - net->mean[c]) / net->deviation[c];
    }
    evaluate_naively(net, image, result);
    for (i = 0; i < value_count(&net->layers[net->count - 1]); i++)
        if (!(fabsf(result[i]) <= FLT_MAX))
            quit(1, "the logits of a test image are not finite: the weights are too large");
}

/* ---- what it says ---------------------------------------------------------------------------- */

static arena choose_arena(const job *j, const lowered *net) {
    arena a = plan_arena(net, j->arena ? (size_t)j->arena : SIZE_MAX), least;
    size_t bytes;
    if (j->arena && a.bytes > (size_t)j->arena)
        quit(1, "--arena %ld is too small: the least that is found for %s is %zu", j->arena,
             j->weights, a.bytes);
    least = plan_arena(net, 0);
    bytes = least.bytes;
    free_arena(&least);
    if (bytes < a.bytes)
        printf("arena: %zu bytes; --arena %zu is the least that is found, in stripes\n", a.bytes,
               bytes);
    else
        printf("arena: %zu bytes, the least that is found\n", a.bytes);
    return a;
}

static void save_text(const char *path, const char *text) {
    output out;
    open_output(&out, path);
    write_output(&out, text, strlen(text));
    finish_outputs(&out, 1);
}

static void emit(job *j) {
    lowered net = read_net(j);
    arena a = choose_arena(j, &net);
    const back_end *back = net.quantised ? &int8_back_end : &float_back_end;
    float *image = allocate_floats(value_count(&net.layers[0]));
    float *result = allocate_floats(value_count(&net.layers[net.count - 1]));
    char *text;
    make_test_vector(&net, image, result);
    text = emit_net(&net, &a, back, j->name, name_alone(j->weights), image, result);
    save_text(j->to, text);
    printf("%s: %s_predict in %s\n", j->to, j->name, net.quantised ? "int8" : "float");
    free(text), free(image), free(result);
    free_arena(&a);
    free_lowered(&net);
}

/* ---- the program ----------------------------------------------------------------------------- */

static void help(void) {
    printf("usage: emit_c [--flag VALUE] WEIGHTS OUT.c\n\n"
           "Writes the net of a weights file of resnet.h as one C file that needs no library:\n"
           "NAME_predict(image, logits), NAME_selftest(), one static array NAME_ARENA_BYTES long.\n"
           "WEIGHTS may also be a folded net such as those of MLPerf Tiny, in float or in int8.\n\n"
           "  --name NAME      of the functions (net)\n"
           "  --int8 DIR       in integers of 8 bits; training images there tell the ranges of "
           "values\n"
           "  --arena BYTES    no more memory for values: maps in stripes, as few as need be\n"
           "  --height N, --width N   of the images of a folded net (%d)\n\nWith --int8:\n",
           FOLDED_SIZE);
    print_calibration_options();
    exit(finish());
}

/* A name that C allows, and that is no longer than lines are. */
static void check_name(const char *name) {
    size_t i;
    for (i = 0; name[i]; i++)
        if (!(isalpha((unsigned char)name[i]) || name[i] == '_' ||
              (i && isdigit((unsigned char)name[i]))))
            break;
    if (name[i] || i == 0 || i > 32)
        quit(2, "--name is \"%s\" and should be a name of C: letters, digits and _, at most 32",
             name);
}

/* Options of integers say nothing about floats. */
static void refuse_options(const job *j, const arguments *a) {
    static const char *const names[] = {"dataset", "images", "ranges", "percentile"};
    int i;
    for (i = 0; i < 4; i++)
        if (!j->calibration && is_given(*a, names[i]))
            quit(2, "--%s is of integers: give --int8 DIR, too", names[i]);
}

int main(int count, char **words) {
    arguments a = {count, 1, words};
    job j;
    program = "emit_c";
    memset(&j, 0, sizeof j);
    j.name = "net";
    j.options = default_calibration();
    for (; a.at < count; a.at++) {
        if (is_help(&a)) help();
        if (has_text(&a, "name", &j.name) || has_text(&a, "int8", &j.calibration) ||
            has_whole(&a, "arena", 1, LONG_MAX, &j.arena) ||
            has_whole(&a, "height", 1, 4096, &j.height) ||
            has_whole(&a, "width", 1, 4096, &j.width) || has_calibration_option(&a, &j.options))
            continue;
        if (words[a.at][0] == '-') quit(2, "there is no flag %s", words[a.at]);
        if (j.to) quit(2, "two files, but there is a third: %s", words[a.at]);
        *(j.weights ? &j.to : &j.weights) = words[a.at];
    }
    if (!j.to) quit(2, "it takes the name of a weights file and of a C file to write");
    check_name(j.name);
    refuse_options(&j, &a);
    if (same_file(j.weights, j.to))
        quit(2, "%s and %s are the same file, which would be lost", j.weights, j.to);
    refuse_output(j.to);
    emit(&j);
    return finish();
}
