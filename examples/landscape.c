/* landscape.c - the loss around a trained net, over a plane of two random directions: with
   shortcuts and without, as in Li, Xu, Taylor, Studer and Goldstein, "Visualizing the Loss
   Landscape of Neural Nets" (2018, [L]).

   cc -O2 -fopenmp -o examples/landscape examples/landscape.c -lm && examples/landscape --help */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "measured.h"
#include "plot.h"

enum { MOST_NETS = 2, MOST_POINTS = 401 };

/* A net and the losses around it. */
typedef struct surface {
    char weights[1000];
    trainer t;
    rn_real *centre;        /* parameters as trained */
    rn_real *directions[2]; /* as many */
    double *losses;         /* [points][points], the first direction along rows */
} surface;

typedef struct landscape {
    measurement m;
    recipe training;
    rn_desc desc; /* of nets that are trained here */
    int trains;
    long points;
    double range;
    surface nets[MOST_NETS];
    int count;
    rn_data train, test;
    image_part images;
    double at[MOST_POINTS]; /* [points], from -range to range */
    int joined;             /* both nets are of one description: the line between them counts */
    double part[MOST_POINTS], between[MOST_POINTS]; /* places on that line and losses there */
    results results;
    progress progress;
} landscape;

/* ---- directions ------------------------------------------------------------------------------ */

/* A random direction, normalised filter by filter ([L], section 4): normal numbers, each filter's
   (or linear neuron's) scaled to the norm of the net's own; nothing of biases and norms, as in the
   authors' code. A net of the same shape and seed gets the same numbers before they are scaled. */
static void draw_direction(const rn_net *net, long seed, int which, rn_real *direction) {
    const rn_key key = {(uint64_t)seed, PURPOSE_DIRECTION, (uint64_t)which};
    rn_parameter p = {0};
    memset(direction, 0, (size_t)net->parameter_count * sizeof *direction);
    while (rn_next_parameter(net, &p)) {
        const ptrdiff_t first = p.data - net->parameters, size = p.count / p.shape[0];
        int filter;
        for (filter = 0; filter < p.shape[0] && p.dims > 1; filter++) {
            const ptrdiff_t begin = first + filter * size;
            double own = 0, drawn = 0;
            ptrdiff_t i;
            for (i = begin; i < begin + size; i++) {
                const double w = (double)net->parameters[i];
                const double d = rn_normal(key, (uint64_t)i);
                direction[i] = (rn_real)d;
                own += w * w;
                drawn += d * d;
            }
            for (i = begin; i < begin + size && drawn > 0; i++)
                direction[i] *= (rn_real)sqrt(own / drawn);
        }
    }
}

static void make_directions(const landscape *l, surface *s) {
    const rn_net *net = s->t.net;
    const size_t bytes = (size_t)net->parameter_count * sizeof(rn_real);
    int i;
    s->centre = (rn_real *)allocate(bytes);
    memcpy(s->centre, net->parameters, bytes);
    for (i = 0; i < 2; i++) {
        s->directions[i] = (rn_real *)allocate(bytes);
        draw_direction(net, l->m.seed, i, s->directions[i]);
    }
    s->losses = (double *)allocate((size_t)(l->points * l->points) * sizeof *s->losses);
}

/* The net at a point of its plane. Running statistics of norms stay as trained, as in the authors'
   code. */
static void move_to(surface *s, double x, double y) {
    rn_net *net = s->t.net;
    ptrdiff_t i;
    for (i = 0; i < net->parameter_count; i++)
        net->parameters[i] = (rn_real)((double)s->centre[i] + x * (double)s->directions[0][i] +
                                       y * (double)s->directions[1][i]);
}

/* ---- losses ---------------------------------------------------------------------------------- */

/* That of a net as it is; 0 if it was stopped. */
static int measure_loss(landscape *l, surface *s, const char *key, double *loss) {
    double values[2];
    if (!measure_net(&s->t, &l->images.source, values)) return 0;
    add_result(&l->results, key, values);
    *loss = values[0];
    l->progress.done++;
    show_progress(&l->progress, "net %s: loss %.4g, error %.1f %%", key, values[0], values[1]);
    return 1;
}

/* Was it measured before? */
static int is_known(landscape *l, const char *key, double *loss) {
    double values[2];
    if (!find_result(&l->results, key, values)) return 0;
    *loss = values[0];
    l->progress.total--;
    return 1;
}

static int measure_surface(landscape *l, int number) {
    surface *s = &l->nets[number];
    char key[KEY_LENGTH];
    int i, k;
    for (k = 0; k < l->points; k++)
        for (i = 0; i < l->points; i++) {
            double *loss = &s->losses[k * l->points + i];
            snprintf(key, sizeof key, "%d,%.6g,%.6g", number + 1, l->at[i], l->at[k]);
            if (is_known(l, key, loss)) continue;
            move_to(s, l->at[i], l->at[k]);
            if (!measure_loss(l, s, key, loss)) return 0;
        }
    move_to(s, 0, 0);
    return 1;
}

/* Nets of one description lie in one space: parameters and running statistics go from those of the
   first, in proportion, to those of the second ([L], section 3). */
static int measure_between(landscape *l) {
    rn_net *first = l->nets[0].t.net;
    const rn_net *second = l->nets[1].t.net;
    const size_t bytes = (size_t)first->statistic_count * sizeof(rn_real);
    rn_real *statistics = (rn_real *)allocate(bytes);
    char key[KEY_LENGTH];
    ptrdiff_t k;
    int i, done = 1;
    if (bytes) memcpy(statistics, first->statistics, bytes);
    for (i = 0; i < l->points && done; i++) {
        const double part = l->part[i];
        snprintf(key, sizeof key, "between,%.6g,0", part);
        if (is_known(l, key, &l->between[i])) continue;
        for (k = 0; k < first->parameter_count; k++)
            first->parameters[k] = (rn_real)((1 - part) * (double)l->nets[0].centre[k] +
                                             part * (double)second->parameters[k]);
        for (k = 0; k < first->statistic_count; k++)
            first->statistics[k] = (rn_real)((1 - part) * (double)statistics[k] +
                                             part * (double)second->statistics[k]);
        done = measure_loss(l, &l->nets[0], key, &l->between[i]);
    }
    if (bytes) memcpy(first->statistics, statistics, bytes);
    free(statistics);
    return done;
}

/* Do two nets differ in nothing but what they learned? */
static int are_alike(const rn_desc *a, const rn_desc *b) {
    return same_fields(a, b, " seed weight_decay momentum label_smoothing ");
}

/* ---- words and pictures ---------------------------------------------------------------------- */

static void tell_surface(const landscape *l, const surface *s) {
    const int count = (int)(l->points * l->points), middle = count / 2;
    double *sorted = (double *)allocate((size_t)count * sizeof *sorted), most = 0, limit;
    int i, finite = 0, near = 0;
    limit = 10 * fmax(s->losses[middle], 0.01);
    for (i = 0; i < count; i++) {
        if (isnan(s->losses[i])) continue;
        sorted[finite++] = s->losses[i];
        near += s->losses[i] < limit;
        most = fmax(most, s->losses[i]);
    }
    printf("%s: loss %.4g in the middle, %.4g in the median, %.4g at most; ", s->weights,
           s->losses[middle], finite ? quantile(sorted, finite, 0.5) : NAN, most);
    printf("below %.3g in %.0f %% of the plane", limit, 100.0 * near / count);
    if (finite && sorted[0] < s->losses[middle])
        printf("; the middle is not the lowest, which is %.4g", sorted[0]);
    printf(".\n");
    free(sorted);
}

/* Losses 1, 2 and 5 times the powers of ten. */
static int make_levels(double *levels) {
    int i;
    for (i = 0; i < 24; i++) levels[i] = pow(10, i / 3 - 2) * (i % 3 == 0 ? 1 : i % 3 == 1 ? 2 : 5);
    return 24;
}

/* Such as "1: ResNet-56, shortcut scale 0 (plain)". */
static void name_surface(const surface *s, int number, char title[200]) {
    char name[160];
    name_net(&s->t.net->desc, name);
    snprintf(title, 200, "%d: %s", number + 1, name);
}

static void draw(const landscape *l) {
    const plot_axis x = {"first direction", 0, -l->range, l->range};
    const plot_axis y = {"second direction", 0, -l->range, l->range};
    const plot_axis part = {"part of the way to the second net", 0, 0, 1};
    const plot_axis loss = {"training loss (nats)", 1, 0, 0};
    const char *path = path_in(l->m.out, "landscape.svg");
    double levels[24];
    const int level_count = make_levels(levels), points = (int)l->points;
    plot *p = plot_begin("Loss around trained nets", l->count);
    char title[200];
    int i;
    for (i = 0; i < l->count; i++) {
        name_surface(&l->nets[i], i, title);
        plot_panel(p, title, x, y);
        plot_heat(p, l->nets[i].losses, points, points, "loss (nats)", 1);
        plot_contours(p, l->nets[i].losses, points, points, levels, level_count);
    }
    if (l->joined) {
        plot_panel(p, "From the first net to the second", part, loss);
        plot_line(p, "loss", l->part, l->between, points);
    }
    if (plot_save(p, path)) quit(1, "cannot write %s: %s", path, strerror(errno));
}

/* ---- nets trained here ----------------------------------------------------------------------- */

/* Ends if what was trained before, which the net has from its checkpoint, is not what is asked. */
static void refuse_other(const char *path, const rn_net *net, const rn_desc *desc,
                         const rn_schedule *schedule) {
    const rn_schedule *s = &net->schedule;
    if (s->kind != schedule->kind || s->steps != schedule->steps ||
        fabs(s->learning_rate - schedule->learning_rate) > 0 ||
        !same_fields(&net->desc, desc, execution_fields))
        quit(2, "%s was trained by other flags: repeat those, or give another --out", path);
}

/* Trains a net in a directory of its own, or goes on there; its weights are then last.ckpt. */
static void train_net(landscape *l, const rn_desc *desc, const char *name, surface *s,
                      const manifest *about) {
    char directory[1000];
    rn_error error;
    trainer t = make_trainer(desc, &l->training, RN_TRAINING, &l->train.source);
    const rn_schedule schedule = choose_schedule(&l->training, steps_per_epoch(&t));
    const rn_desc resolved = t.net->desc;
    progress p;
    run_log log;
    make_directory(l->m.out);
    snprintf(directory, sizeof directory, "%s", path_in(l->m.out, name));
    snprintf(s->weights, sizeof s->weights, "%s", path_in(directory, "last.ckpt"));
    log = make_log(directory, &t, &l->test.source, &p);
    log.manifest = *about;
    log.resumed = is_there(s->weights) ? l->training.data : NULL;
    begin_run(&log, checksum_sets(&l->train.source, &l->test.source));
    if (log.resumed) refuse_other(s->weights, t.net, &resolved, &schedule);
    t.net->schedule = schedule;
    p = begin_progress(t.net->schedule.steps - t.net->step);
    open_log(&log);
    printf("%s: ResNet-%d, %" PRIu64 " steps\n", directory, t.net->desc.depth, schedule.steps);
    fflush(stdout);
    check(train_run(&log, "", &error), &error);
    end_progress(&p);
    if (fclose(log.file)) quit(1, "cannot write %s", path_in(directory, "log.csv"));
    free_trainer(&t);
}

static void train_nets(landscape *l, int count, char **words) {
    static const char *const names[] = {"identity", "plain"};
    manifest about;
    int i;
    open_sets(&l->training, &l->desc, &l->train, &l->test);
    about = begin_manifest(count, words, &l->training, &l->train.source, &l->test.source);
    for (i = 0; i < 2 && !stopped; i++) {
        rn_desc desc = l->desc;
        desc.shortcut = i ? RN_SHORTCUT_SCALE : RN_SHORTCUT_IDENTITY;
        train_net(l, &desc, names[i], &l->nets[i], &about);
    }
    l->count = 2;
    rn_data_free(&l->train);
    rn_data_free(&l->test);
}

/* ---- the command line ------------------------------------------------------------------------ */

static void help(const landscape *l) {
    printf("usage: landscape WEIGHTS [WEIGHTS] [--flag VALUE | --flag=VALUE]...\n"
           "       landscape --train [--depth N] [--flag VALUE | --flag=VALUE]...\n\n"
           "Measures the training loss around one or two trained nets, in the plane of two random\n"
           "directions whose filters are as long as the net's own. Writes landscape.csv and\n"
           "landscape.svg. Two nets of the same description are also compared on the line between\n"
           "them. Where it was interrupted, the same command goes on. Norms keep the running\n"
           "statistics of the trained net.\n\n"
           "  --points N          of the grid along each direction (%ld)\n"
           "  --range X           the grid reaches from -X to X (%g)\n"
           "  --train             train two nets first, one with identity shortcuts and one with "
           "none,\n"
           "                      into DIR/identity and DIR/plain; with it the flags of "
           "examples/cifar\n"
           "                      for recipe and description count, but for the shortcut (%ld\n"
           "                      epochs at batch %ld, depth %d, learning rate %g by %s)\n",
           l->points, l->range, l->training.epochs, l->training.batch, l->desc.depth,
           l->training.schedule.learning_rate, rn_schedule_name(l->training.schedule.kind));
    print_measurement(&l->m, "training images, at equal distances");
    exit(finish());
}

/* With --train, recipe and description come first, of which the measurement takes its data. */
static int has_trained_net(landscape *l, arguments *a) {
    if (names_machine(a) || is_named(a, "seed")) return 0; /* of both */
    if (is_named(a, "shortcut") || is_named(a, "shortcut_scale") || is_named(a, "residual_scale"))
        quit(2, "--train makes a net with identity shortcuts and one with none; leave %s out",
             a->words[a->at]);
    return has_recipe(a, &l->training) || has_field(a, &l->desc);
}

static void read_words(landscape *l, int count, char **words) {
    arguments a = {count, 1, words};
    l->trains = is_given(a, "train");
    for (; a.at < count; a.at++) {
        if (is_help(&a)) help(l);
        if (words[a.at][0] != '-' && l->trains)
            quit(2, "--train makes the nets; leave %s out", words[a.at]);
        if (words[a.at][0] != '-' && l->count == MOST_NETS)
            quit(2, "one or two nets, but there is a third: %s", words[a.at]);
        if (words[a.at][0] != '-')
            snprintf(l->nets[l->count++].weights, sizeof l->nets[0].weights, "%s", words[a.at]);
        else if (!is_flag(&a, "train") && !(l->trains && has_trained_net(l, &a)) &&
                 !has_whole(&a, "points", 3, MOST_POINTS, &l->points) &&
                 !has_number(&a, "range", 1e-6, 1e6, &l->range) && !has_measurement(&a, &l->m))
            quit(2, "there is no flag %s%s", words[a.at],
                 l->trains ? "" : "; for one of a training, give --train");
    }
    if (!l->count && !l->trains) quit(2, "give one or two files of WEIGHTS, or --train");
    if (l->points % 2 == 0) quit(2, "--points is even, so that the net is none of them");
    if (!l->trains) return;
    l->m.recipe.set = l->training.set;
    l->m.recipe.data = l->training.data;
    l->m.recipe.memory = l->training.memory;
    set_machine(&l->desc, &l->m.machine);
    l->desc.seed = (uint64_t)l->m.seed;
    check_description(l->desc);
}

/* The training images, which both nets see; each normalises them in its own way. */
static void open_nets(landscape *l) {
    rn_desc descs[MOST_NETS];
    int i;
    for (i = 0; i < l->count; i++) {
        descs[i] = describe_file(&l->m, l->nets[i].weights);
        l->m.recipe.net = l->nets[i].weights;
        if (!i) open_part(&l->train, &l->m.recipe, &descs[i], 1);
        fit_to_data(&descs[i], &l->train.source, l->nets[i].weights);
    }
    take_part(&l->images, &l->train.source, l->m.images);
    for (i = 0; i < l->count; i++) {
        l->nets[i].t = load_net(&l->m, &descs[i], l->nets[i].weights, &l->images.source);
        make_directions(l, &l->nets[i]);
    }
    l->joined = l->count == 2 && are_alike(&l->nets[0].t.net->desc, &l->nets[1].t.net->desc);
}

static void open_file(landscape *l) {
    const long points = l->points;
    uint64_t run = 0;
    rn_error error;
    int i;
    for (i = 0; i < l->count; i++) run = checksum_net(run, l->nets[i].t.net);
    run = checksum_bytes(run, &l->m.seed, sizeof l->m.seed);
    check(rn_source_checksum(&l->images.source, &run, &error), &error);
    l->results = open_results(l->m.out, "landscape.csv", "run,net,x,y,loss,error", 2, run);
    for (i = 0; i < points; i++) {
        l->part[i] = i / (double)(points - 1);
        l->at[i] = l->range * (2 * i - (double)(points - 1)) / (double)(points - 1);
    }
}

/* Says what there is to measure, before the first of it is. */
static void announce(landscape *l) {
    const long points = l->points, line = l->joined ? points : 0;
    const long losses = l->count * points * points + line;
    printf("%td training images, %ld x %ld points from %g to %g\n", l->images.source.count, points,
           points, -l->range, l->range);
    printf("To be measured: %ld losses, those of the points around %d net%s%s\n", losses, l->count,
           l->count > 1 ? "s" : "", line ? ", and on the line between them" : "");
    fflush(stdout);
    l->progress = begin_progress((uint64_t)losses);
}

static void end(landscape *l) {
    int i;
    for (i = 0; i < l->count; i++) {
        surface *s = &l->nets[i];
        free_trainer(&s->t);
        free(s->centre);
        free(s->directions[0]);
        free(s->directions[1]);
        free(s->losses);
    }
    rn_data_free(&l->train);
    close_results(&l->results);
}

static void stop(const landscape *l) {
    end_progress(&l->progress);
    printf("stopped; the same command goes on from what is in %s\n", l->m.out);
    exit(128 + stopped);
}

int main(int count, char **words) {
    static landscape l;
    int i;
    program = "landscape";
    l.m = make_measurement("out", 256);
    l.points = 25, l.range = 1;
    l.desc = rn_cifar(56);
    l.training = make_recipe(IDX, "examples/data", 64, 2, rn_make_schedule(RN_ONE_CYCLE, 0.1, 1));
    l.training.epochs = 6;
    read_words(&l, count, words);
    catch_signals();
    if (l.trains) train_nets(&l, count, words);
    if (stopped) stop(&l);
    open_nets(&l);
    open_file(&l);
    announce(&l);
    for (i = 0; i < l.count; i++)
        if (!measure_surface(&l, i)) stop(&l);
    if (l.joined && !measure_between(&l)) stop(&l);
    end_progress(&l.progress);
    for (i = 0; i < l.count; i++) tell_surface(&l, &l.nets[i]);
    draw(&l);
    printf("written: landscape.csv and landscape.svg in %s\n", l.m.out);
    end(&l);
    return finish();
}
