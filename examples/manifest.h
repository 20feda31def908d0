/* manifest.h - manifest.txt in a run's directory: by which command, data, compiler and machine its
   results came about, as lines KEY=VALUE. Stands on example.h.

       manifest m = begin_manifest(count, words, &recipe, &train.source, &test.source);
       continue_manifest(&m, "out/manifest.txt");       where a run goes on
       write_manifest(&m, net, "out/manifest.txt");     at the start, and whenever a checkpoint is

   The fields of the net's description that are not what rn_resolve makes of zeros are net.KEY. */
#ifndef MANIFEST_H
#define MANIFEST_H

#include "example.h"

typedef struct manifest {
    const recipe *recipe;
    ptrdiff_t training_images, test_images;
    char command[2048]; /* of this part of the run */
    char first[2048];   /* of its first part; empty if this is it */
    char began[32];     /* the first part, in UTC */
} manifest;

/* Appends to a text of at most room - 1 characters, which is cut. */
static inline void append_text(char *text, size_t room, const char *more) {
    const size_t length = strlen(text);
    snprintf(text + length, room - length, "%s", more);
}

/* Appends a word as a shell takes it, in one line: control characters become '?'. */
static inline void append_word(char *text, size_t room, const char *word) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "+-_=,./:@%";
    const char *quote = *word && !word[strspn(word, plain)] ? "" : "'";
    append_text(text, room, *text ? " " : "");
    append_text(text, room, quote);
    for (; *word; word++) {
        const char letter[2] = {(char)((unsigned char)*word < ' ' ? '?' : *word), 0};
        append_text(text, room, *word == '\'' ? "'\\''" : letter);
    }
    append_text(text, room, quote);
}

/* A field of the description for people: floats as the shortest decimals that are the number. */
static inline void field_text(const rn_desc *desc, int i, char text[160]) {
    char exact[96], decimals[32], *at;
    rn_desc_get(desc, i, exact);
    snprintf(text, 160, "%s", strncmp(exact, "0x", 2) ? exact : "");
    if (*text) return;
    for (at = strtok(exact, ","); at; at = strtok(NULL, ",")) {
        const uint64_t bits = strtoull(at, NULL, 16);
        double number;
        int digits = 5;
        memcpy(&number, &bits, sizeof number);
        do snprintf(decimals, sizeof decimals, "%.*g", ++digits, number);
        while (digits < 17 && fabs(strtod(decimals, NULL) - number) > fabs(number) * 1e-8);
        append_text(text, 160, *text ? "," : "");
        append_text(text, 160, decimals);
    }
}

/* The value of a key in a file of such lines, cut if it does not fit; 1 if it is there. */
static inline int manifest_value(const char *path, const char *key, char *value, size_t room) {
    FILE *file = fopen(path, "r");
    const size_t length = strlen(key);
    char line[4096];
    int found = 0;
    while (file && !found && fgets(line, sizeof line, file)) {
        found = !strncmp(line, key, length) && line[length] == '=';
        line[strcspn(line, "\r\n")] = 0;
        if (found) snprintf(value, room, "%.*s", (int)room - 1, line + length + 1);
    }
    if (file) fclose(file);
    return found;
}

static inline const char *compiler_name(void) {
#if defined(__clang__)
    return __VERSION__;
#elif defined(__GNUC__)
    return "GCC " __VERSION__;
#else
    return "unknown";
#endif
}

static inline const char *system_name(void) {
#if defined(_WIN32)
    return "Windows";
#elif defined(__APPLE__)
    return "macOS";
#elif defined(__linux__)
    return "Linux";
#else
    return "unknown";
#endif
}

/* The processor's name, where the system tells it. */
static inline void name_processor(char *name, size_t room) {
    FILE *file = fopen("/proc/cpuinfo", "r");
    const char *told = getenv("PROCESSOR_IDENTIFIER"); /* of Windows */
    char line[512];
    snprintf(name, room, "%s", told ? told : "unknown");
    while (file && fgets(line, sizeof line, file)) {
        const char *value = strchr(line, ':');
        if (!value || (strncmp(line, "model name", 10) != 0 && strncmp(line, "Model", 5) != 0))
            continue;
        line[strcspn(line, "\r\n")] = 0;
        snprintf(name, room, "%s", value + 1 + strspn(value + 1, " "));
        break;
    }
    if (file) fclose(file);
}

/* The instruction set of the net's kernels, or "naive", as rn_describe tells it. */
static inline void name_instructions(const rn_net *net, char *name, size_t room) {
    const size_t length = rn_describe(net, NULL, 0) + 1;
    char *text = (char *)allocate(length), *at;
    rn_describe(net, text, length);
    at = strstr(text, " bytes for ");
    at = at ? strchr(at, '(') : NULL;
    snprintf(name, room, "%.*s", at ? (int)strcspn(at + 1, ")") : 1, at ? at + 1 : "?");
    free(text);
}

/* The last name of a path, which alone says nothing of the machine's folders. */
static inline void print_folder(FILE *file, const char *key, const char *path) {
    size_t end = strlen(path), begin;
    while (end > 1 && strchr("/\\", path[end - 1])) end--;
    for (begin = end; begin > 0 && !strchr("/\\", path[begin - 1]);) begin--;
    fprintf(file, "%s=%.*s\n", key, (int)(end - begin), path + begin);
}

/* recipe stays the caller's, who keeps it. */
static inline manifest begin_manifest(int count, char **words, const recipe *r,
                                      const rn_source *train, const rn_source *test) {
    const time_t now = time(NULL);
    const struct tm *utc = gmtime(&now);
    manifest m;
    int i;
    memset(&m, 0, sizeof m);
    m.recipe = r;
    m.training_images = train->count;
    m.test_images = test->count;
    for (i = 0; i < count; i++) append_word(m.command, sizeof m.command, words[i]);
    if (utc) strftime(m.began, sizeof m.began, "%Y-%m-%dT%H:%M:%SZ", utc);
    return m;
}

/* Of a run that goes on: when and by which command it began. */
static inline void continue_manifest(manifest *m, const char *path) {
    if (manifest_value(path, "command", m->first, sizeof m->first))
        manifest_value(path, "began", m->began, sizeof m->began);
}

static inline void print_machine(FILE *file, const rn_net *net) {
    char text[256];
    fprintf(file, "compiler=%s\nsystem=%s\n", compiler_name(), system_name());
    name_processor(text, sizeof text);
    fprintf(file, "machine=%s\n", text);
    name_instructions(net, text, sizeof text);
    fprintf(file, "instructions=%s\nthreads=%d\n", text, net->desc.threads);
}

static inline void print_data(FILE *file, const manifest *m, const rn_net *net) {
    fprintf(file, "dataset=%s\n", dataset_names[m->recipe->set]);
    print_folder(file, "data", m->recipe->data);
    fprintf(file, "checksum=0x%016" PRIx64 "\ntraining_images=%td\ntest_images=%td\n",
            net->trainer.data, m->training_images, m->test_images);
}

/* What of the description is not the default. */
static inline void print_description(FILE *file, const rn_desc *desc) {
    char text[160], standard[96], own[96];
    rn_desc zeros;
    int i;
    memset(&zeros, 0, sizeof zeros);
    rn_resolve(&zeros, NULL);
    for (i = 0; rn_desc_key(i); i++) {
        rn_desc_get(desc, i, own);
        rn_desc_get(&zeros, i, standard);
        field_text(desc, i, text);
        if (strcmp(own, standard) != 0) fprintf(file, "net.%s=%s\n", rn_desc_key(i), text);
    }
}

/* Writes the file at once, by way of path + ".tmp"; not of a manifest that was not begun. */
static inline void write_manifest(const manifest *m, const rn_net *net, const char *path) {
    char temporary[1024];
    FILE *file;
    if (!m->recipe) return;
    file = open_new(path, temporary);
    fprintf(file, "program=%s\ncommand=%s\n", program, *m->first ? m->first : m->command);
    if (*m->first) fprintf(file, "resumed=%s\n", m->command);
    fprintf(file, "began=%s\nseconds=%.1f\n", m->began, net->trainer.seconds);
    fprintf(file, "iteration=%" PRIu64 "\niterations=%" PRIu64 "\nschedule=%s\n", net->step,
            net->schedule.steps, rn_schedule_name(net->schedule.kind));
    fprintf(file, "learning_rate=%g\nbatch=%" PRIu64 "\npad=%" PRIu64 "\nflip=%" PRIu64 "\n",
            net->schedule.learning_rate, net->trainer.batch, net->trainer.pad, net->trainer.flip);
    fprintf(file, "seed=%" PRIu64 "\nparameters=%td\nbytes=%zu\n", net->desc.seed,
            net->parameter_count, net->bytes);
    print_data(file, m, net);
    print_machine(file, net);
    print_description(file, &net->desc);
    close_new(file, temporary, path);
}

#endif /* MANIFEST_H */
