/* ablation.c - every row of the paper's Tables 1, 2 and 3 at a depth and budget of your choice: the
   median test error of several seeds beside the published one. What fails at depth 110 may well
   train when it is shallow: go deep (--depth 110 --epochs 164) to see all of it. With one unit a
   stage (depth 8), some orders are the same net.

   cc -O2 -fopenmp -o examples/ablation examples/ablation.c -lm && examples/ablation --help */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "example.h"
#include "paper.h"

enum { MOST_SEEDS = 99 };

static void help(const recipe *r, long depth, long seeds) {
    printf(
        "usage: ablation [--flag VALUE | --flag=VALUE]...\n\n"
        "Trains the nets of the paper's Tables 1, 2 and 3 and prints their test errors: the\n"
        "median over seeds, \"fail\" where the loss is no longer finite or the error stays near\n"
        "chance. Nets that stand in several rows are trained once.\n\n"
        "  --table N           1, 2 or 3 (default all)\n"
        "  --depth N           of basic units; the others get the units that come closest (%ld)\n"
        "  --seeds N           runs a row (%ld); --seed N is the first one\n",
        depth, seeds);
    print_recipe(r);
    printf("\nFields of the description, where rows do not differ in them:\n");
    print_fields();
    exit(0);
}

/* The description of a row's net, resolved. */
static rn_desc row_description(const paper_row *row, rn_desc desc, long depth) {
    int layers, i;
    rn_error error;
    check(paper_describe(row, &desc, &error), &error);
    layers = desc.block == RN_SINGLE ? 3 : desc.block == RN_BASIC ? 6 : 9; /* of a unit a stage */
    for (i = 0; i < 3; i++)
        desc.units[i] =
            (row->depth == 1001 ? 3 : 1) * (int)fmax(1, floor((double)(depth - 2) / layers + 0.5));
    check(rn_resolve(&desc, &error), &error);
    return desc;
}

/* Test error of one training in percent, HUGE_VAL if it fails. */
static double train_one(const rn_desc *desc, const recipe *r, const rn_data *train,
                        const rn_data *test, progress *p, const char *title) {
    trainer t = make_trainer(desc, r, RN_TRAINING, &train->source);
    rn_status status = RN_OK;
    rn_error error;
    rn_result result = {0, 0};
    double end = p->done, percent, chance = 100.0 * (desc->classes - 1) / desc->classes;
    t.net->schedule = choose_schedule(r, steps_per_epoch(&t));
    end += (double)t.net->schedule.steps;
    while (!status && t.net->step < t.net->schedule.steps)
        status = train_epoch(&t, 1e9, p, title, &error);
    if (!status) status = test_net(&t, &test->source, NULL, &result, &error);
    if (status != RN_NOT_FINITE) check(status, &error);
    p->done = end;
    free_trainer(&t);
    percent = error_rate(result.correct, (double)test->source.count);
    return status || percent > 0.9 * chance ? HUGE_VAL : percent;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median over seeds. */
static double measure(const rn_desc *base, long seeds, const recipe *r, const rn_data *train,
                      const rn_data *test, progress *p, int number) {
    double errors[MOST_SEEDS];
    char title[48];
    int i;
    for (i = 0; i < seeds; i++) {
        rn_desc desc = *base;
        desc.seed += (uint64_t)i;
        snprintf(title, sizeof title, "%d/%d seed %d ", number, PAPER_ROWS, i + 1);
        errors[i] = train_one(&desc, r, train, test, p, title);
    }
    qsort(errors, (size_t)seeds, sizeof errors[0], ascending);
    return (errors[(seeds - 1) / 2] + errors[seeds / 2]) / 2;
}

/* The first row with the same net. */
static int first_alike(int i) {
    int k = 0;
    while (strcmp(paper_rows[k].fields, paper_rows[i].fields) != 0 ||
           paper_rows[k].depth / 1000 != paper_rows[i].depth / 1000)
        k++;
    return k;
}

/* Steps that all the nets of a table (0: of all tables) take together. */
static uint64_t count_steps(int table, long seeds, const recipe *r, const rn_source *source) {
    trainer t;
    uint64_t nets = 0;
    int i, k;
    memset(&t, 0, sizeof t);
    t.source = source;
    t.batch = (int)r->batch;
    for (k = 0; k < PAPER_ROWS; k++) {
        for (i = k;
             i < PAPER_ROWS && (first_alike(i) != k || (table && paper_rows[i].table != table));)
            i++;
        nets += i < PAPER_ROWS;
    }
    return nets * (uint64_t)seeds * choose_schedule(r, steps_per_epoch(&t)).steps;
}

int main(int count, char **words) {
    arguments a = {count, 1, words};
    recipe r = make_recipe(IDX, "examples/data", 64, 2, rn_make_schedule(RN_ONE_CYCLE, 0.1, 1));
    rn_desc base = rn_cifar(0), desc;
    long depth = 14, seeds = 3, table = 0;
    double measured[PAPER_ROWS] = {0};
    rn_data train, test;
    progress p;
    int i, k;
    program = "ablation";
    r.epochs = 4;
    rn_set_dialect(&base, RN_PAPER);
    base.threads = all_cores();
    for (; a.at < count; a.at++) {
        if (!strcmp(words[a.at], "-h") || is_flag(&a, "help")) help(&r, depth, seeds);
        if (!has_whole(&a, "table", 1, 3, &table) && !has_whole(&a, "depth", 5, 100000, &depth) &&
            !has_whole(&a, "seeds", 1, MOST_SEEDS, &seeds) && !has_recipe(&a, &r) &&
            !has_field(&a, &base))
            quit(2, "there is no flag %s", words[a.at]);
    }
    row_description(&paper_rows[0], base, depth);
    open_sets(&r, &base, &train, &test);
    p = begin_progress(count_steps((int)table, seeds, &r, &train.source));
    printf("%td training and %td test images; median of %ld\n", train.source.count,
           test.source.count, seeds);
    for (i = 0; i < PAPER_ROWS; i++) {
        if (table && paper_rows[i].table != table) continue;
        if (!i || paper_rows[i].table != paper_rows[i - 1].table)
            printf("\nTable %d: %-28s depth   here %%   paper %%\n", paper_rows[i].table,
                   paper_titles[paper_rows[i].table - 1]);
        desc = row_description(&paper_rows[i], base, depth);
        k = first_alike(i);
        if (!(measured[k] > 0)) measured[k] = measure(&desc, seeds, &r, &train, &test, &p, i + 1);
        end_progress(&p);
        printf("%-36s %6d ", paper_rows[i].name, desc.depth);
        if (measured[k] > 100)
            printf("    fail %9s\n", paper_rows[i].published);
        else
            printf("%8.2f %9s\n", measured[k], paper_rows[i].published);
        fflush(stdout);
    }
    rn_data_free(&train);
    rn_data_free(&test);
    return finish();
}
