/* plot.c - draws logs of training: one with its training and test together, or several in one
   picture to compare them.

   cc -O2 -o tools/plot tools/plot.c -lm && tools/plot --help */

#define _DEFAULT_SOURCE
#include "../examples/example.h" /* for the command line; nothing of resnet.h is called */
#include "../examples/plot_log.h"

static void help(void) {
    printf(
        "usage: plot [--flag VALUE | --flag=VALUE]... LOG.csv... OUT.svg\n\n"
        "Draws logs as examples/cifar and examples/curves write them, CSV files with some of\n"
        "the columns epoch, iteration, train_loss, train_error, test_loss, test_error (errors\n"
        "in percent) and learning_rate: loss and error of one log, or of several, each in a\n"
        "colour. The legend calls DIR/log.csv DIR, and NAME.csv NAME, or all by their paths where\n"
        "two would be alike.\n\n"
        "  --seeds                logs whose names differ in nothing but the -seedN at their\n"
        "                         ends are one line, the median, in the area from the lowest\n"
        "                         to the highest\n"
        "  --most_error PERCENT   where the axes of errors end (at the largest error)\n"
        "  --title TEXT           above the picture (the name of the only log, or Training)\n"
        "  --x NAME               the column of the horizontal axis (epoch; iteration where an\n"
        "                         epoch has several rows)\n");
    exit(finish());
}

int main(int count, char **words) {
    arguments a = {count, 1, words};
    const char **paths = (const char **)allocate((size_t)count * sizeof *paths);
    plot_logs_job job = {paths, NULL, 0, NULL, NULL, 0};
    const char *picture;
    char **names, error[PLOT_SENTENCE];
    int seeds = 0, i;
    program = "plot";
    for (; a.at < count; a.at++) {
        if (is_help(&a)) help();
        if (has_switch(&a, "seeds", &seeds) || has_text(&a, "title", &job.title) ||
            has_text(&a, "x", &job.across) ||
            has_number(&a, "most_error", 1e-6, 100, &job.most_error))
            continue;
        if (words[a.at][0] == '-') quit(2, "there is no flag %s", words[a.at]);
        paths[job.count++] = words[a.at];
    }
    if (job.count < 2) quit(2, "it takes one log or more and last the name of the picture");
    picture = paths[--job.count];
    if (strlen(picture) < 4 || strcmp(picture + strlen(picture) - 4, ".svg") != 0)
        quit(2, "the last name is the picture's and has to end in .svg, not %s", picture);
    names = plot_name_logs(paths, job.count);
    if (!names) quit(1, "no memory for %d names", job.count);
    for (i = 0; i < job.count && seeds; i++) plot_drop_seed(names[i]);
    job.names = (const char *const *)names;
    if (!job.title) job.title = job.count == 1 ? names[0] : "Training";
    if (!plot_logs(&job, picture, error)) quit(1, "%s", error);
    free(names);
    free(paths);
    return finish();
}
