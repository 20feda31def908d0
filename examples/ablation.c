/* ablation.c - every row of the paper's Tables 1, 2 and 3 at a depth and in a time of your choice:
   median, mean and deviation of the test errors of several seeds beside the published one, and the
   curves. What fails at depth 110 may well train when it is shallow: go deep (--depth 110 --epochs
   164) to see all of it. With one unit a stage (depth 8), some orders are the same net.

   cc -O2 -fopenmp -o examples/ablation examples/ablation.c -lm && examples/ablation --help */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "study.h"
#include "paper.h"

typedef struct ablation {
    long table;             /* 0: all */
    const char *rows;       /* --rows */
    int plan_only;          /* --plan */
    int chosen[PAPER_ROWS]; /* variant of a row, -1: it was not chosen */
    study study;
} ablation;

/* ---- rows ------------------------------------------------------------------------------------ */

/* The description of a row's net, resolved. */
static rn_desc row_description(const paper_row *row, rn_desc desc, long depth) {
    int layers, i;
    rn_error error;
    check(set_fields(&desc, row->fields, &error), &error);
    layers = desc.block == RN_SINGLE ? 3 : desc.block == RN_BASIC ? 6 : 9; /* of a unit a stage */
    for (i = 0; i < 3; i++)
        desc.units[i] = (row->depth == 1001 ? 3 : 1) * /* in that net's place */
                        (int)fmax(1, floor((double)(depth - 2) / layers + 0.5));
    check(rn_resolve(&desc, &error), &error);
    return desc;
}

/* Number of a row in its table, from 1. */
static int row_number(int i) {
    int number = 1;
    while (i > 0 && paper_rows[i - 1].table == paper_rows[i].table) i--, number++;
    return number;
}

/* Does a word of --rows mean the row? 2: it is its name or number; 1: its name begins so. */
static int means_row(const char *word, int length, int i, long table) {
    const char *name = paper_rows[i].name;
    int k = 0;
    if ((table && paper_rows[i].table != table) || !length) return 0;
    if (table && (int)strspn(word, "0123456789") == length)
        return 2 * (atoi(word) == row_number(i));
    for (; k < length && name[k]; k++) /* letters in either case */
        if ((word[k] | 32) != (name[k] | 32)) return 0;
    return k == length ? 1 + !name[k] : 0;
}

/* Marks the rows that a word means, by name or number if there is such a one, else all that begin
   so. */
static void choose_word(ablation *a, const char *word, int length) {
    int i, best = 0;
    for (i = 0; i < PAPER_ROWS; i++)
        if (means_row(word, length, i, a->table) > best)
            best = means_row(word, length, i, a->table);
    for (i = 0; i < PAPER_ROWS; i++)
        if (best && means_row(word, length, i, a->table) == best) a->chosen[i] = 0;
    if (best) return;
    fprintf(stderr, "%s: --rows has \"%.*s\"; the rows%s are\n", program, length, word,
            a->table ? "" : " (which have numbers if --table says whose)");
    for (i = 0; i < PAPER_ROWS; i++)
        if (!a->table || paper_rows[i].table == a->table)
            fprintf(stderr, "  table %d, %2d: %s\n", paper_rows[i].table, row_number(i),
                    paper_rows[i].name);
    exit(2);
}

/* Makes the nets of the rows, each once. A net is called as the first of its rows that is chosen;
   its directories are named by its first row in all tables, whichever are chosen, so that studies
   of several tables can share their runs. Rows of CIFAR-100 are nets of other rows once more, so
   they are there for its data only. */
static void choose_rows(ablation *a) {
    study *s = &a->study;
    const char *word = a->rows ? a->rows : "";
    int i, k;
    for (i = 0; i < PAPER_ROWS; i++) {
        const int fits = paper_rows[i].classes == 10 || s->recipe.set == CIFAR100;
        a->chosen[i] = !a->rows && fits && (!a->table || paper_rows[i].table == a->table) ? 0 : -1;
    }
    for (; *word; word += strspn(word, ", ")) {
        const int length = (int)strcspn(word, ",");
        choose_word(a, word, length);
        word += length;
    }
    for (i = 0; i < PAPER_ROWS; i++) {
        const rn_desc desc = row_description(&paper_rows[i], s->base, s->depth);
        if (a->chosen[i] < 0) continue;
        for (k = 0; k < i; k++) {
            const rn_desc other = row_description(&paper_rows[k], s->base, s->depth);
            if (same_fields(&other, &desc, "")) break;
        }
        if (paper_rows[i].classes == 100 && s->recipe.set != CIFAR100)
            quit(2, "--rows has %s, which takes --dataset cifar100", paper_rows[i].name);
        a->chosen[i] = add_variant(s, paper_rows[i].name, paper_rows[k].name, desc);
    }
    if (!s->variant_count) quit(2, "--rows is empty");
}

/* The variant of a row if it was chosen, else NULL. */
static const variant *row_variant(const ablation *a, int i) {
    return a->chosen[i] < 0 ? NULL : &a->study.variants[a->chosen[i]];
}

/* What the paper has of a row, for data of as many classes; "-": nothing. */
static const char *published(const ablation *a, int i) {
    return paper_rows[i].classes == a->study.base.classes ? paper_rows[i].published : "-";
}

/* Is no row of its table before it chosen? */
static int begins_table(const ablation *a, int i) {
    int k = i - 1;
    while (k >= 0 && paper_rows[k].table == paper_rows[i].table && a->chosen[k] < 0) k--;
    return k < 0 || paper_rows[k].table != paper_rows[i].table;
}

/* ---- output ---------------------------------------------------------------------------------- */

/* What will be trained, and how long it will take if that was measured. */
static void print_study(const ablation *a) {
    const study *s = &a->study;
    const uint64_t steps = s->schedule.steps;
    const int timed = is_timed(s);
    const double seconds = rest_seconds(s, 0, 0, s->seeds, steps);
    int i;
    for (i = 0; timed && i < PAPER_ROWS; i++) {
        const variant *v = row_variant(a, i);
        if (!v) continue;
        if (begins_table(a, i))
            printf("\nTable %d: %-25s depth    steps   ms a step   minutes a run\n",
                   paper_rows[i].table, paper_titles[paper_rows[i].table - 1]);
        printf("%3d %-30s %5d %8" PRIu64 " %11.1f %15.2f\n", row_number(i), paper_rows[i].name,
               v->desc.depth, steps, 1000 * v->step, run_seconds(s, v, NULL, steps) / 60);
    }
    printf("%s%d nets, %d %s, %" PRIu64 " steps (%.3g epochs) each", timed ? "\n" : "",
           s->variant_count, s->seeds, s->seeds == 1 ? "seed" : "seeds", steps,
           (double)steps / (double)s->epoch_steps);
    if (timed) printf(": about %s", time_text(seconds));
    if (s->time > 0) printf(" of %s", time_text(s->time));
    if (s->earlier > 0) printf(", after %s before", time_text(s->earlier));
    printf("\n");
    if (s->seeds < s->asked)
        printf("--time has room for no more than %d of %ld seeds\n", s->seeds, s->asked);
    fflush(stdout);
}

static void print_number(double number) {
    if (isnan(number))
        printf("        -");
    else if (number > 100)
        printf("     fail");
    else
        printf(" %8.2f", number);
}

static void print_results(const ablation *a) {
    int i;
    for (i = 0; i < PAPER_ROWS; i++) {
        const variant *v = row_variant(a, i);
        summary of;
        if (!v) continue;
        of = summarise(v->runs, MOST_SEEDS);
        if (begins_table(a, i))
            printf("\nTable %d: %-21s depth  runs  failed   median     mean    dev.    paper\n",
                   paper_rows[i].table, paper_titles[paper_rows[i].table - 1]);
        printf("%-30s %5d %5d %7d", paper_rows[i].name, v->desc.depth, of.runs, of.failed);
        print_number(of.median);
        print_number(of.mean);
        print_number(of.deviation);
        printf(" %8s\n", published(a, i));
    }
}

/* What was trained, beside what the paper trained. */
static void print_words(const ablation *a) {
    const study *s = &a->study;
    const rn_schedule *of = &s->schedule;
    printf(
        "\nHere: percent wrong of %td test images (%s), after %" PRIu64 " steps of %ld\n"
        "images (%.3g epochs of %td), learning rate up to %g (%s); basic units at depth\n"
        "%ld, the others as shown. Failed: the loss became no number, or the error stayed over\n"
        "%.0f %%. Median of all runs; mean and standard deviation of those that did not fail.\n"
        "Paper: CIFAR, 64,000 steps of 128 images (164 epochs); ResNet-110 with basic units,\n"
        "ResNet-164 and ResNet-1001 with bottleneck units; failed: over 20 %%. A net that is not\n"
        "as deep may train where the paper's failed, and a difference not larger than the\n"
        "deviations says nothing.\n",
        s->test.source.count, dataset_names[s->recipe.set], of->steps, s->recipe.batch,
        (double)of->steps / (double)s->epoch_steps, s->train.source.count, of->learning_rate,
        rn_schedule_name(of->kind), s->depth, failing_error(s));
    if (!a->table || a->table == 1)
        printf("Highway gates are not the paper's: Srivastava et al. (2015) defend gating.\n");
    printf("Runs, ablation.csv, ablation.svg: %s\n", s->out);
}

/* A run of row i, as an ablation.csv has it. */
static void write_line(FILE *file, const ablation *a, int i, int k) {
    const study *s = &a->study;
    const paper_row *row = &paper_rows[i];
    const variant *v = row_variant(a, i);
    const outcome *o = &v->runs[k];
    const uint64_t seed = s->base.seed + (uint64_t)k;
    char block[96];
    field_of(&v->desc, "block", block);
    fprintf(file, "%d,%s,%d,%s,%s,%" PRIu64 ",%" PRIu64, row->table, row->name, v->desc.depth,
            block, rn_schedule_name(s->schedule.kind), o->steps, seed);
    fprintf(file, ",%.10g,%.10g,%.1f,%s,%s,%s-seed%" PRIu64 "\n", o->error, o->loss, o->seconds,
            state_names[o->state], published(a, i), v->name, seed);
}

/* ablation.csv: all runs that were begun, a net's under each of its rows. */
static void write_csv(const ablation *a) {
    const study *s = &a->study;
    char path[1000], temporary[1024];
    FILE *file;
    int i, k;
    snprintf(path, sizeof path, "%s", study_path(s, "ablation.csv"));
    file = open_new(path, temporary);
    fprintf(file, "table,row,depth,block,schedule,steps,seed,error,loss,seconds,status,paper,"
                  "directory\n");
    for (i = 0; i < PAPER_ROWS; i++) {
        const variant *v = row_variant(a, i);
        for (k = 0; v && k < s->asked; k++)
            if (v->runs[k].state != PENDING) write_line(file, a, i, k);
    }
    close_new(file, temporary, path);
}

/* ---- ablation.svg ---------------------------------------------------------------------------- */

/* A column of a run's log, and the epochs at which its rows were written, both to be freed, and how
   many they are; 0 if there are none. */
static int read_curve(const study *s, const variant *v, int k, const char *column, double **x,
                      double **y) {
    char directory[900], error[PLOT_SENTENCE];
    plot_table table;
    int rows, i;
    *x = *y = NULL;
    run_directory(s, v, k, directory);
    if (v->runs[k].state == PENDING ||
        !plot_read_table(&table, path_in(directory, "log.csv"), error))
        return 0;
    *x = plot_column(&table, "iteration");
    *y = plot_column(&table, column);
    rows = *x && *y ? table.rows : 0;
    for (i = 0; i < rows; i++) (*x)[i] /= (double)s->epoch_steps;
    plot_free_table(&table);
    return rows;
}

/* A line for each seed. */
static void draw_curves(plot *p, const study *s, const variant *v, const char *column,
                        const char *name) {
    double *x, *y;
    int k;
    for (k = 0; k < s->asked; k++) {
        const int count = read_curve(s, v, k, column, &x, &y);
        if (count == 1)
            plot_points(p, name, x, y, count);
        else if (count)
            plot_line(p, name, x, y, count);
        free(x), free(y);
    }
}

/* The ends of an axis for the training losses of all runs, so that panels can be compared. */
static plot_axis loss_axis(const study *s) {
    plot_axis axis = {"training loss (nats)", 1, HUGE_VAL, 0};
    double *x, *y;
    int i, k, row;
    for (i = 0; i < s->variant_count; i++)
        for (k = 0; k < s->asked; k++) {
            const int count = read_curve(s, &s->variants[i], k, "train_loss", &x, &y);
            for (row = 0; row < count; row++) {
                if (!(y[row] > 0 && y[row] < 1e9)) continue;
                axis.least = fmin(axis.least, y[row]);
                axis.most = fmax(axis.most, y[row]);
            }
            free(x), free(y);
        }
    axis.least *= 0.9;
    axis.most *= 1.1;
    if (axis.least > axis.most) axis.least = axis.most = 0;
    return axis;
}

/* The row and its median error as far as it is known; a title does not break before the % sign. */
static void name_panel(const char *row, const variant *v, char title[200]) {
    const double median = summarise(v->runs, MOST_SEEDS).median;
    if (isnan(median))
        snprintf(title, 200, "%s", row);
    else if (median > 100)
        snprintf(title, 200, "%s: fail", row);
    else
        snprintf(title, 200, "%s: %.2f\xC2\xA0%%", row, median);
}

/* Is the row of that table, and chosen? */
static int is_shown(const ablation *a, int i, int table) {
    return paper_rows[i].table == table && row_variant(a, i);
}

/* The error that the paper has of a row in percent; NAN: none, or it failed. */
static double published_error(const ablation *a, int i) {
    char *end;
    const double error = strtod(published(a, i), &end);
    return end > published(a, i) ? error : NAN;
}

/* The largest error of a table, here or in the paper, without runs that failed. */
static double largest_error(const ablation *a, int table) {
    double most = 0;
    int i, k;
    for (i = 0; i < PAPER_ROWS; i++) {
        if (!is_shown(a, i, table)) continue;
        most = fmax(most, published_error(a, i));
        for (k = 0; k < a->study.asked; k++)
            if (row_variant(a, i)->runs[k].state == DONE)
                most = fmax(most, row_variant(a, i)->runs[k].error);
    }
    return most;
}

/* A point for each seed of each row of a table, a little below those of the row. */
static void draw_seeds(plot *p, const ablation *a, int table) {
    double errors[MOST_SEEDS], places[MOST_SEEDS];
    int i, k, place = 0;
    for (i = 0; i < PAPER_ROWS; i++) {
        int count = 0;
        if (!is_shown(a, i, table)) continue;
        place++;
        for (k = 0; k < a->study.asked; k++) {
            if (row_variant(a, i)->runs[k].state != DONE) continue;
            errors[count] = row_variant(a, i)->runs[k].error;
            places[count++] = place + 0.25;
        }
        plot_points(p, "here, each seed", errors, places, count);
    }
}

/* The errors of a table's rows beside the paper's. */
static void draw_table(plot *p, const ablation *a, int table) {
    const plot_axis error = {"test error (%)", 0, 0, 1.05 * largest_error(a, table)};
    const plot_axis row = {NULL, 0, 0, 0};
    const int several = a->study.asked > 1;
    double places[PAPER_ROWS], here[PAPER_ROWS], paper[PAPER_ROWS];
    const char *names[PAPER_ROWS];
    char title[200];
    int i, count = 0;
    for (i = 0; i < PAPER_ROWS; i++) {
        if (!is_shown(a, i, table)) continue;
        names[count] = paper_rows[i].name;
        here[count] = summarise(row_variant(a, i)->runs, MOST_SEEDS).median;
        paper[count] = published_error(a, i);
        places[count] = count + 1;
        count++;
    }
    if (!count) return;
    snprintf(title, sizeof title,
             "Table %d, %s: errors here and in the paper (no mark: fail, or none)", table,
             paper_titles[table - 1]);
    plot_panel(p, title, error, row);
    plot_names(p, names, count);
    plot_points(p, several ? "here, median of seeds" : "here", here, places, count);
    plot_points(p, "the paper's", paper, places, count);
    if (several) draw_seeds(p, a, table);
}

/* Two panels a row: loss and error. The first row is drawn in grey in those of the others. */
static void draw_rows(plot *p, const ablation *a) {
    const study *s = &a->study;
    const double epochs = (double)s->schedule.steps / (double)s->epoch_steps;
    const plot_axis loss = loss_axis(s), error = {"error (%)", 0, 0, 100};
    const plot_axis epoch = {"epoch", 0, fmin(1, epochs), epochs}; /* tests come after epochs */
    const variant *reference = NULL;
    char title[200];
    int i;
    for (i = 0; i < PAPER_ROWS; i++) {
        const variant *v = row_variant(a, i);
        if (!v) continue;
        if (!reference) {
            reference = v;
            snprintf(title, sizeof title, "%s, for comparison", paper_rows[i].name);
            plot_grey(p, title);
        }
        plot_panel(p, paper_rows[i].name, epoch, loss);
        if (v != reference) draw_curves(p, s, reference, "train_loss", NULL);
        draw_curves(p, s, v, "train_loss", "training");
        name_panel(paper_rows[i].name, v, title);
        plot_panel(p, title, epoch, error);
        if (v != reference) draw_curves(p, s, reference, "test_error", NULL);
        draw_curves(p, s, v, "train_error", "training");
        draw_curves(p, s, v, "test_error", "test");
    }
}

/* First what came out beside the paper, then how. */
static void draw_study(const ablation *a) {
    const study *s = &a->study;
    char title[200];
    plot *p;
    int table;
    snprintf(title, sizeof title, "Basic units at depth %ld, %d %s, %" PRIu64 " steps of %ld",
             s->depth, s->seeds, s->seeds == 1 ? "seed" : "seeds", s->schedule.steps,
             s->recipe.batch);
    p = plot_begin(title, 4);
    for (table = 1; table <= 3; table++) draw_table(p, a, table);
    draw_rows(p, a);
    if (plot_save(p, study_path(s, "ablation.svg")))
        fprintf(stderr, "%s: cannot write %s: %s\n", program, study_path(s, "ablation.svg"),
                strerror(errno));
}

/* ---- the program ----------------------------------------------------------------------------- */

static void help(const study *s) {
    printf(
        "usage: ablation [--flag VALUE | --flag=VALUE]...\n\n"
        "Trains the nets of the paper's Tables 1, 2 and 3 and prints their test errors beside the\n"
        "paper's: median, mean and standard deviation over seeds, and how many runs failed. All\n"
        "runs have the same length. Nets that stand in several rows are trained once. Ctrl-C\n"
        "saves the run that it stops; the same command goes on with it.\n\n"
        "  --table N           1, 2 or 3 (default all)\n"
        "  --rows LIST         only these: names, their beginnings, or with --table numbers, such\n"
        "                      as \"identity,scale 0.5\" or 1,3\n"
        "  --depth N           of basic units; the others get the units that come closest (%ld)\n"
        "  --seeds N           runs a row (%ld); --seed N is the first one\n"
        "  --time TIME         how long it may take, such as 30m: measures how fast the nets are,\n"
        "                      then gives all runs the steps that fit, or fewer seeds; --epochs\n"
        "                      and --iterations are the most\n"
        "  --least N           steps a run with which --time is content (%ld)\n"
        "  --plan              measure, print the plan and exit\n"
        "  --out DIR           gets ablation.csv, a line a run; ablation.svg, errors beside\n"
        "                      the paper's, and curves; study.txt, by which it goes on; and a\n"
        "                      directory for each run with log.csv, log.svg, manifest.txt and\n"
        "                      result.csv (%s)\n",
        s->depth, s->asked, s->least, s->out);
    print_recipe(&s->recipe);
    printf("\nFields of the description, where rows do not differ in them:\n");
    print_fields();
    exit(finish());
}

static void read_flags(ablation *all, int count, char **words) {
    arguments a = {count, 1, words};
    study *s = &all->study;
    for (; a.at < count; a.at++) {
        if (is_help(&a)) help(s);
        if (!has_whole(&a, "table", 1, 3, &all->table) && !has_text(&a, "rows", &all->rows) &&
            !has_whole(&a, "depth", 5, 100000, &s->depth) &&
            !has_whole(&a, "seeds", 1, MOST_SEEDS, &s->asked) &&
            !has_whole(&a, "least", 1, PAPER_STEPS, &s->least) && !has_time(&a, "time", &s->time) &&
            !has_switch(&a, "plan", &all->plan_only) && !has_text(&a, "out", &s->out) &&
            !has_recipe(&a, &s->recipe) && !has_field(&a, &s->base))
            quit(2, "there is no flag %s", words[a.at]);
    }
    s->length_given = is_given(a, "epochs") || is_given(a, "iterations");
    s->count = count;
    s->words = words;
}

int main(int count, char **words) {
    static ablation a;
    study *s = &a.study;
    program = "ablation";
    begin_flags(s, "ablation",
                make_recipe(IDX, "examples/data", 64, 2, rn_make_schedule(RN_ONE_CYCLE, 0.1, 1)));
    read_flags(&a, count, words);
    row_description(&paper_rows[0], s->base, s->depth); /* before data is asked for */
    open_study(s);
    choose_rows(&a);
    begin_study(s, a.plan_only);
    print_study(&a);
    if (a.plan_only) return finish();
    begin_runs(s);
    do {
        write_csv(&a);
        draw_study(&a);
    } while (next_run(s));
    write_csv(&a);
    draw_study(&a);
    end_progress(&s->progress);
    if (stopped) {
        printf("stopped; the same command goes on\n");
        fflush(stdout);
        exit(128 + stopped);
    }
    print_results(&a);
    print_words(&a);
    end_study(s);
    return finish();
}
