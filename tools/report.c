/* report.c - one page of HTML from the directories of runs: what was trained, how its units
   look, what came out beside the paper's figures, curves, pictures, memory, and how to do it again.

   cc -O2 -o tools/report tools/report.c -lm && tools/report --help */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "output.h"
#include "report_paper.h"

enum { MOST_PLAN = 1500000 /* bytes */, FEW_RUNS = 5 };

/* A directory that was named. */
typedef struct study {
    char *path; /* of a directory with runs in it; NULL: the run itself was named */
    int first, count;
} study;

typedef struct report {
    const char *out, *title;
    study *studies;
    int study_count;
    report_run *runs;
    char **names; /* [count], of the runs */
    int count;
    plot_buffer page;
} report;

static void help(void) {
    printf(
        "usage: report [--out FILE] [--title WORDS] DIRECTORY...\n\n"
        "Makes one page of HTML, which needs nothing but itself, from directories of runs: those\n"
        "that examples/cifar writes (--out), or directories with such directories in them, as\n"
        "examples/ablation writes. What lies beside a run's log.csv is shown, too: signals,\n"
        "lesions, landscape, and other pictures (.svg).\n\n"
        "  --out FILE          the page (report.html)\n"
        "  --title WORDS       its heading\n");
    exit(finish());
}

/* ---- the directories ------------------------------------------------------------------------- */

static void add_run(report *r, const char *path) {
    report_run *grown = (report_run *)realloc(r->runs, (size_t)(r->count + 1) * sizeof(report_run));
    if (!grown) quit(1, "no memory for %d runs", r->count + 1);
    r->runs = grown;
    r->runs[r->count++] = open_run(path);
}

/* A run, or a directory of runs. */
static void add_directory(report *r, const char *path) {
    study s = {NULL, r->count, 0};
    study *grown = (study *)realloc(r->studies, (size_t)(r->study_count + 1) * sizeof(study));
    int i;
    if (!grown) quit(1, "no memory for %d directories", r->study_count + 1);
    r->studies = grown;
    if (!is_directory(path)) quit(1, "there is no directory %s", path);
    if (is_run(path)) {
        add_run(r, path);
    } else {
        name_list inside = list_directory(path, 1, NULL);
        s.path = copy_text(path);
        trim_path(s.path);
        for (i = 0; i < inside.count; i++) {
            char *whole = join_path(path, inside.list[i]);
            if (is_run(whole)) add_run(r, whole);
            free(whole);
        }
        free_names(&inside);
    }
    s.count = r->count - s.first;
    if (s.path) {
        char *picture = join_path(s.path, "ablation.svg");
        for (i = s.first; i < r->count; i++) r->runs[i].drawn = is_there(picture);
        free(picture);
    }
    if (!s.count)
        quit(1, "%s holds no run: neither log.csv nor manifest.txt, here or in directories below",
             path);
    r->studies[r->study_count++] = s;
}

/* Calls the runs as tools/plot calls their logs. */
static void name_runs(report *r) {
    const char **paths = (const char **)allocate((size_t)r->count * sizeof *paths);
    int i;
    for (i = 0; i < r->count; i++) paths[i] = r->runs[i].path;
    r->names = plot_name_logs(paths, r->count);
    if (!r->names) quit(1, "no memory for the names of %d runs", r->count);
    for (i = 0; i < r->count; i++) r->runs[i].name = r->names[i];
    free(paths);
}

/* ---- curves ---------------------------------------------------------------------------------- */

/* Is it in the picture of all runs? A study has one of its own. */
static int is_in_overlay(const report_run *r) { return r->log.rows && !r->drawn; }

/* Are there runs to compare in one picture? */
static int has_overlay(const report *r) {
    int i, there = 0;
    for (i = 0; i < r->count; i++) there |= is_in_overlay(&r->runs[i]);
    return r->count > 1 && there;
}

/* All runs in one picture, where those that differ in nothing but the -seedN at the ends of their
   names are one line. */
static void put_overlay(report *r) {
    plot_table *logs = (plot_table *)allocate((size_t)r->count * sizeof *logs);
    char **names = (char **)allocate((size_t)r->count * sizeof *names);
    plot *p = plot_begin(NULL, 2);
    int i, count = 0;
    for (i = 0; i < r->count; i++)
        if (is_in_overlay(&r->runs[i])) {
            logs[count] = r->runs[i].log;
            names[count] = copy_text(r->runs[i].name);
            plot_drop_seed(names[count++]);
        }
    if (p)
        plot_many_logs(p, logs, (const char *const *)names, count, plot_choose_x(logs, count), 0);
    plot_puts(&r->page, "<h2 id=\"curves\">Curves</h2>\n");
    put_plot(
        &r->page, p,
        "Errors and losses: of the test images after each epoch, of the training images, cropped "
        "and mirrored at random, during it. Of runs that differ in nothing but the seed the line "
        "is the median, in the area from the lowest to the highest.");
    for (i = 0; i < count; i++) free(names[i]);
    free(logs);
    free(names);
}

static void put_curves(plot_buffer *out, const report_run *r) {
    plot *p;
    csv table;
    plot_puts(out, "<h3>Curves</h3>\n");
    if (!r->log.rows) {
        put_missing(out, "rows in log.csv", NULL, "; the trainer writes one after each epoch");
        return;
    }
    p = plot_begin(NULL, 3);
    if (p) plot_one_log(p, &r->log, plot_choose_x(&r->log, 1), 0);
    put_plot(out, p,
             "Training images are cropped and mirrored at random and seen while the net still "
             "changes, so that their error may lie above that of the test images.");
    table = read_csv(r->path, "log.csv");
    put_csv(out, &table, "log.csv");
    free_csv(&table);
}

/* ---- what the laboratory's programs add ------------------------------------------------------ */

static const struct part {
    const char *name, *title, *words, *command; /* to which weights, data and --out are added */
} parts[] = {
    {"signals", "Signals",
     "What flows through the units: sizes of x, of F(x) and of gradients, from the first unit to "
     "the last.",
     "examples/signals --weights"},
    {"lesions", "Lesions",
     "What the trained net still knows where units are left out or exchanged (Veit et al. 2016).",
     "examples/lesions"},
    {"landscape", "Landscape of the loss",
     "The loss around the trained weights, in two random directions that are normalised filter by "
     "filter (Li et al. 2018).",
     "examples/landscape"},
};
enum { PARTS = (int)(sizeof parts / sizeof parts[0]) };

/* The word behind --data of a command as a shell takes it; 0 if there is none. */
static int find_data(const char *command, char *word, size_t room) {
    const char *at = strstr(command, " --data");
    int quoted = 0;
    while (at && at[7] != ' ' && at[7] != '=')
        at = strstr(at + 1, " --data"); /* such as --dataset */
    if (!at) return 0;
    for (at += 8; *at && room > 1 && (quoted || *at != ' '); at++, room--) {
        quoted ^= *at == '\'';
        *word++ = *at;
    }
    *word = 0;
    return 1;
}

/* The command that makes a part, as it may be typed where the run was made. */
static void tell_command(const report_run *r, const char *example, char *text, size_t room) {
    char path[1000], command[2048], data[1000], set[32] = "idx";
    snprintf(path, sizeof path, "%s", in_run(r, "best.safetensors"));
    snprintf(text, room, "%s", example);
    append_word(text, room, path);
    if (run_value(r, "dataset", set, sizeof set)) {
        append_text(text, room, " --dataset");
        append_word(text, room, set);
    }
    if (run_value(r, "command", command, sizeof command) && find_data(command, data, sizeof data)) {
        append_text(text, room, " --data ");
        append_text(text, room, data);
    } else if (strcmp(set, "idx") != 0) {
        append_text(text, room, " --data data"); /* as examples/cifar has it without the flag */
    }
    append_text(text, room, " --out");
    append_word(text, room, r->path);
}

/* How results came about, but for the net's fields; 0 if the file is not there. */
static int put_manifest_table(plot_buffer *out, const char *path) {
    char *text = read_text(path), *at, *end;
    if (!text) return 0;
    begin_pairs(out, "By what the results came about");
    for (at = text; *at; at = end) {
        char *line_end = at + strcspn(at, "\r\n"), *equals = strchr(at, '=');
        end = line_end + strspn(line_end, "\r\n");
        *line_end = 0;
        if (!equals || equals > line_end || !strncmp(at, "net.", 4)) continue;
        *equals = 0;
        if (!strcmp(at, "command") || !strcmp(at, "resumed")) {
            plot_format(out, "<tr><th scope=\"row\">%w</th><td>", at);
            put_command(out, equals + 1);
            plot_puts(out, "</td></tr>\n");
        } else
            put_pair(out, at, equals + 1);
    }
    end_pairs(out);
    free(text);
    return 1;
}

/* A picture and the table beside it, NAME.svg and NAME.csv, as far as they are there. */
static void put_results(plot_buffer *out, const char *path, const char *name, const char *words) {
    char file[64], *whole;
    csv t;
    snprintf(file, sizeof file, "%s.svg", name);
    whole = join_path(path, file);
    put_picture(out, whole, words);
    free(whole);
    snprintf(file, sizeof file, "%s.csv", name);
    t = read_csv(path, file);
    if (t.text) put_csv(out, &t, file);
    free_csv(&t);
}

/* Has the run that file of a part? */
static int has_part(const report_run *r, const struct part *part, const char *end) {
    char name[64];
    snprintf(name, sizeof name, "%s%s", part->name, end);
    return is_there(in_run(r, name));
}

static void put_part(plot_buffer *out, const report_run *r, const struct part *part) {
    char name[64];
    if (!has_part(r, part, ".svg") && !has_part(r, part, ".csv") &&
        !has_part(r, part, ".manifest.txt"))
        return;
    plot_format(out, "<h3>%w</h3>\n", part->title);
    put_results(out, r->path, part->name, part->words);
    snprintf(name, sizeof name, "%s.manifest.txt", part->name);
    if (is_there(in_run(r, name))) {
        plot_puts(out, "<details>\n<summary>How it came about</summary>\n");
        put_manifest_table(out, in_run(r, name));
        plot_puts(out, "</details>\n");
    }
}

/* Says once for the page how parts come about that the runs lack, by the first run that could have
   each. */
static void put_hints(report *r) {
    char name[1100], command[4096];
    int i, k, hints = 0;
    for (k = 0; k < PARTS; k++) {
        for (i = 0; i < r->count; i++)
            if (is_there(in_run(&r->runs[i], "best.safetensors")) &&
                !has_part(&r->runs[i], &parts[k], ".svg"))
                break;
        if (i == r->count) continue;
        if (!hints++)
            plot_puts(&r->page,
                      "<h2>What could be added</h2>\n<p>This page shows more of runs that "
                      "have it in their directories, made so:</p>\n");
        tell_command(&r->runs[i], parts[k].command, command, sizeof command);
        snprintf(name, sizeof name, "%.40s.svg in %.1000s", parts[k].name, r->runs[i].name);
        put_missing(&r->page, name, command, NULL);
    }
}

static int ends_with(const char *name, const char *end) {
    const size_t length = strlen(name), of_end = strlen(end);
    return length > of_end && !strcmp(name + length - of_end, end);
}
static int is_extra(const char *name) { return ends_with(name, ".svg") || ends_with(name, ".csv"); }

/* Has the name of a file its own place on the page? */
static int has_place(const char *name) {
    static const char *const others[] = {"log", "plan", "result", "ablation"};
    int i, has = 0;
    for (i = 0; i < PARTS; i++)
        has |= strlen(name) == strlen(parts[i].name) + 4 &&
               !strncmp(name, parts[i].name, strlen(parts[i].name));
    for (i = 0; i < 4; i++)
        has |=
            strlen(name) == strlen(others[i]) + 4 && !strncmp(name, others[i], strlen(others[i]));
    return has;
}

/* All other pictures and tables of a directory, in the order of their names. */
static void put_extras(plot_buffer *out, const char *path) {
    name_list n = list_directory(path, 0, is_extra);
    int i, shown = 0;
    for (i = 0; i < n.count; i++) {
        char *whole = join_path(path, n.list[i]);
        csv t;
        if (!has_place(n.list[i]) && !shown++)
            plot_puts(out, "<h3>More pictures and numbers</h3>\n");
        if (!has_place(n.list[i]) && ends_with(whole, ".svg")) put_picture(out, whole, n.list[i]);
        if (!has_place(n.list[i]) && ends_with(whole, ".csv")) {
            t = read_csv(path, n.list[i]);
            put_csv(out, &t, n.list[i]);
            free_csv(&t);
        }
        free(whole);
    }
    free_names(&n);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void put_memory_numbers(plot_buffer *out, const report_run *r, int batch, size_t training) {
    rn_error error;
    char value[64], key[64];
    const double parameters = (double)r->net->parameter_count * sizeof(rn_real);
    begin_pairs(out, "What the net takes in memory");
    snprintf(value, sizeof value, "%.2f MB", parameters / 1e6);
    put_pair(out, "parameters alone", value);
    snprintf(key, sizeof key, "training at batch %d", batch);
    snprintf(value, sizeof value, "%.1f MB", (double)training / 1e6);
    put_pair(out, key, value);
    snprintf(value, sizeof value, "%.1f MB",
             (double)rn_bytes(&r->desc, 1, RN_INFERENCE, &error) / 1e6);
    put_pair(out, "predicting an image at a time", value);
    end_pairs(out);
}

/* The plan as rn_plan_svg draws it, in the page's colours. */
static void put_memory(plot_buffer *out, const report_run *r) {
    const int batch = (int)run_number(r, "batch");
    rn_error error;
    size_t training, length;
    char *text;
    plot_puts(out, "<h3>Memory</h3>\n");
    if (!r->net || batch < 1) {
        put_missing(out, "last.ckpt or manifest.txt that tells the net and its batch", NULL, NULL);
        return;
    }
    training = rn_bytes(&r->desc, batch, RN_TRAINING, &error);
    if (!training) quit(1, "the net of %s cannot be made: %s", r->path, error.text);
    put_memory_numbers(out, r, batch, training);
    length = rn_plan_svg(&r->desc, batch, RN_TRAINING, NULL, 0, &error);
    if (!length) quit(1, "the plan of %s cannot be drawn: %s", r->path, error.text);
    if (length > MOST_PLAN) {
        plot_puts(out, "<p class=\"missing\">The picture of the plan is too large for a page: "
                       "<code>examples/cifar --plan</code> with the same flags draws it.</p>\n");
        return;
    }
    text = (char *)allocate(length + 1);
    rn_plan_svg(&r->desc, batch, RN_TRAINING, text, length + 1, &error);
    plot_puts(out, "<figure>\n");
    begin_scroll(out, "Plan of the memory");
    plot_puts(out,
              "<svg class=\"plan\" role=\"img\" aria-label=\"Memory of values and gradients over "
              "the time of a training step\"");
    plot_puts(out, text + strlen("<svg"));
    plot_puts(out,
              "</div>\n<figcaption>What is in memory when, in a step of training: time runs to "
              "the right, through forward and back, and each rectangle is a value or gradient "
              "that lives so long. What is not wanted at the same time shares its "
              "place.</figcaption>\n</figure>\n");
    free(text);
}

/* ---- the net --------------------------------------------------------------------------------- */

static int describe_stage(const rn_net *net, int stage, char text[64]) {
    const rn_node *last = NULL;
    int i;
    for (i = 0; i < net->node_count; i++)
        if (net->nodes[i].stage == stage) last = &net->nodes[i];
    if (last) snprintf(text, 64, "%d\xC3\x97%d\xC3\x97%d", last->c, last->h, last->w);
    return last != NULL;
}

/* One picture for each kind of unit that there is. */
static void put_units(plot_buffer *out, const report_run *r) {
    enum { MOST_KINDS = 8 };
    unit_view views[MOST_KINDS];
    int counts[MOST_KINDS], kinds = 0, k;
    rn_unit unit;
    memset(&unit, 0, sizeof unit);
    while (rn_next_unit(r->net, &unit)) {
        unit_view u = view_unit(r->net, &unit);
        for (k = 0; k < kinds && !is_alike(&u, &views[k]);) k++;
        if (k < kinds || kinds == MOST_KINDS) {
            if (k < kinds) counts[k]++;
            free_view(&u);
            continue;
        }
        counts[kinds] = 1;
        views[kinds++] = u;
    }
    plot_puts(out,
              "<h3>The residual unit</h3>\n<p>y = h(x) + F(x): the residual path F at the left, "
              "the shortcut h beside it, in the order of operations; below each name channels "
              "\xC3\x97 height \xC3\x97 width of what comes out.</p>\n<div class=\"units\">\n");
    for (k = 0; k < kinds; k++) {
        const rn_node *n = node_of(&views[k], views[k].first);
        char label[96];
        snprintf(label, sizeof label, "Unit %d of stage %d%s", n->unit + 1, n->stage,
                 counts[k] > 1 ? "" : ", the only one of its kind");
        if (counts[k] > 1)
            snprintf(label + strlen(label), 48, ", and %d more like it", counts[k] - 1);
        plot_puts(out, "<figure>\n");
        begin_scroll(out, label);
        put_unit(out, &views[k], label);
        plot_format(out, "</div>\n<figcaption>%w</figcaption>\n</figure>\n", label);
        free_view(&views[k]);
    }
    plot_puts(out, "</div>\n");
}

/* Fields of the description: those that differ from the default first. */
static void put_fields(plot_buffer *out, const report_run *r, int differing) {
    char own[160], standard[160], exact[2][96];
    rn_desc zeros;
    int i;
    memset(&zeros, 0, sizeof zeros);
    rn_resolve(&zeros, NULL);
    for (i = 0; rn_desc_key(i); i++) {
        rn_desc_get(&r->desc, i, exact[0]);
        rn_desc_get(&zeros, i, exact[1]);
        if (differing != (strcmp(exact[0], exact[1]) != 0)) continue;
        field_text(&r->desc, i, own);
        field_text(&zeros, i, standard);
        plot_format(out,
                    "<tr%s><th scope=\"row\"><code>%w</code></th><td>%w</td><td>%w</td></tr>\n",
                    differing ? " class=\"ours\"" : "", rn_desc_key(i), own, standard);
    }
}

static void put_description(plot_buffer *out, const report_run *r) {
    static const char *const names[] = {"field", "here", "default"};
    size_t length;
    char *text;
    plot_puts(out, "<h3>Description</h3>\n");
    if (!r->net) {
        put_missing(out, "last.ckpt, best.safetensors or manifest.txt, which tell the net", NULL,
                    NULL);
        return;
    }
    plot_format(out,
                "<details>\n<summary>All fields, as <code>%w</code> tells them; those that differ "
                "from the default first</summary>\n",
                r->from);
    begin_table(out, "Fields of rn_desc", names, 3, 0, 0);
    put_fields(out, r, 1);
    put_fields(out, r, 0);
    end_table(out);
    plot_puts(out,
              "</details>\n<details>\n<summary>All nodes, in the order of execution</summary>\n");
    length = rn_describe(r->net, NULL, 0);
    text = (char *)allocate(length + 1);
    rn_describe(r->net, text, length + 1);
    begin_scroll(out, "Nodes of the net");
    plot_format(out, "<pre>%w</pre>\n</div>\n</details>\n", text);
    free(text);
}

static void put_manifest(plot_buffer *out, const report_run *r) {
    plot_puts(out, "<h3>Manifest</h3>\n");
    if (!put_manifest_table(out, in_run(r, "manifest.txt")))
        put_missing(out, "manifest.txt", NULL,
                    "; examples/cifar writes it, also where it goes on with --resume");
}

/* ---- the page -------------------------------------------------------------------------------- */

static void put_run(report *r, int i) {
    const report_run *of = &r->runs[i];
    plot_buffer *out = &r->page;
    int k;
    char stage[64];
    plot_format(out, "<section aria-labelledby=\"run%d\">\n<h2 id=\"run%d\">%w</h2>\n", i + 1,
                i + 1, of->name);
    put_story(out, of);
    if (r->count > FEW_RUNS)
        plot_puts(out,
                  "<details>\n<summary>The residual unit, curves, pictures, memory, description, "
                  "manifest</summary>\n");
    if (of->net) {
        plot_puts(out, "<p class=\"soft\">Values behind");
        for (k = 1; k <= RN_MAX_STAGES && describe_stage(of->net, k, stage); k++)
            plot_format(out, "%s stage %d (%d unit%s): %s", k > 1 ? ";" : "", k,
                        of->desc.units[k - 1], of->desc.units[k - 1] == 1 ? "" : "s", stage);
        plot_puts(out, ".</p>\n");
        put_units(out, of);
    }
    put_curves(out, of);
    for (k = 0; k < PARTS; k++) put_part(out, of, &parts[k]);
    put_extras(out, of->path);
    put_memory(out, of);
    put_description(out, of);
    put_manifest(out, of);
    plot_puts(out, r->count > FEW_RUNS ? "</details>\n</section>\n" : "</section>\n");
}

static void put_contents(report *r) {
    plot_buffer *out = &r->page;
    int i;
    if (r->count < 2) return;
    plot_puts(out, "<nav aria-label=\"Contents\">\n<h2>Contents</h2>\n<ul>\n"
                   "<li><a href=\"#outcome\">What came out</a></li>\n");
    if (has_overlay(r)) plot_puts(out, "<li><a href=\"#curves\">Curves</a></li>\n");
    plot_puts(out, "<li><a href=\"#paper\">Beside the paper</a></li>\n");
    for (i = 0; i < r->count; i++)
        plot_format(out, "<li><a href=\"#run%d\">%w</a></li>\n", i + 1, r->runs[i].name);
    plot_puts(out, "</ul>\n</nav>\n");
}

/* The tables and pictures of directories that hold runs. */
static void put_studies(report *r) {
    plot_buffer *out = &r->page;
    int i, k;
    for (i = 0; i < r->study_count; i++) {
        const study *s = &r->studies[i];
        if (!s->path) continue;
        plot_format(out, "<h2>%w</h2>\n", name_alone(s->path));
        put_results(out, s->path, "ablation",
                    "The rows of the paper's tables, as examples/ablation trained them.");
        for (k = 0; k < PARTS; k++) put_results(out, s->path, parts[k].name, parts[k].words);
        put_extras(out, s->path);
    }
}

static void put_page(report *r) {
    char title[512];
    plot_buffer *out = &r->page;
    int i;
    snprintf(title, sizeof title, "%s", r->title ? r->title : "");
    if (!*title && r->count == 1)
        snprintf(title, sizeof title, "Report of %.400s", r->runs[0].name);
    if (!*title) snprintf(title, sizeof title, "Report of %d runs", r->count);
    put_head(out, title);
    plot_format(
        out,
        "<header>\n<h1>%w</h1>\n<p class=\"soft\">Residual networks, beside \xE2\x80\x9CIdentity "
        "Mappings in Deep Residual Networks\xE2\x80\x9D (He, Zhang, Ren, Sun 2016).</p>\n"
        "</header>\n",
        title);
    put_contents(r);
    plot_puts(out, "<main>\n");
    put_outcome(out, r->runs, r->count);
    if (has_overlay(r)) put_overlay(r);
    put_studies(r);
    put_paper(out, r->runs, r->count);
    for (i = 0; i < r->count; i++) put_run(r, i);
    put_hints(r);
    plot_puts(out,
              "</main>\n<footer class=\"soft\"><p>Made by tools/report of resnet.h, from the files "
              "in the directories of the runs.</p></footer>\n</body>\n</html>\n");
    if (out->failed) quit(1, "no memory for the page");
}

int main(int count, char **words) {
    static report r = {.out = "report.html"};
    arguments a = {count, 1, words};
    output out;
    int i;
    program = "report";
    for (; a.at < count; a.at++) {
        if (is_help(&a)) help();
        if (has_text(&a, "out", &r.out) || has_text(&a, "title", &r.title)) continue;
        if (!strncmp(words[a.at], "--", 2)) quit(2, "there is no flag %s", words[a.at]);
        add_directory(&r, words[a.at]);
    }
    if (!r.count) quit(2, "name the directory of a run");
    name_runs(&r);
    put_page(&r);
    open_output(&out, r.out);
    write_output(&out, r.page.text, r.page.length);
    finish_outputs(&out, 1);
    printf("%s: %d run%s, %.1f MB\n", r.out, r.count, r.count == 1 ? "" : "s",
           (double)r.page.length / 1e6);
    for (i = 0; i < r.count; i++) close_run(&r.runs[i]);
    for (i = 0; i < r.study_count; i++) free(r.studies[i].path);
    free(r.studies);
    free(r.runs);
    free(r.names);
    free(r.page.text);
    return finish();
}
