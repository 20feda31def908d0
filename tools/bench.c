/* bench.c - how fast resnet.h trains and predicts on this machine, and how near its limit.

   First the machine's own limits are measured, multiply-adds in registers and copies in memory;
   then each net. Before a net is timed its fast execution is compared with the naive one on a few
   images: if they differ, there is no figure. GFLOP/s count the direct arithmetic, 2 per
   multiply-add (a training step is forward, backward and update, three times the arithmetic of
   forward but for the gradients that nobody needs, of the image and of what is frozen), so
   Winograd's convolutions can go beyond the peak.

   cc -O2 -fopenmp -o tools/bench tools/bench.c -lm && tools/bench --net resnet20 */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "../resnet.h" /* looks inside for --layers */
#include "../examples/example.h"
#include "nets.h"

/* ---- the machine ----------------------------------------------------------------------------- */

/* Twelve independent chains hide the latency of the multiply-adds. */
#define CHAINS(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define STEP(i) a##i = a##i * factor + term;
#define BEGIN(i) vector a##i = term * (float)(i + 1);
#define ADD(i) total += a##i[0];
#define MULTIPLY_ADDS(name, target, floats)                            \
    target static double name(long count) {                            \
        typedef float vector __attribute__((vector_size(4 * floats))); \
        vector term = {0}, factor;                                     \
        double total = 0;                                              \
        long i;                                                        \
        term += 1e-4f, factor = term + 0.999f;                         \
        CHAINS(BEGIN)                                                  \
        for (i = 0; i < count; i++) {                                  \
            CHAINS(STEP)                                               \
        }                                                              \
        CHAINS(ADD)                                                    \
        return total;                                                  \
    }

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=fast")
#else
#pragma STDC FP_CONTRACT ON
#endif
MULTIPLY_ADDS(multiply_add_4, , 4)
#ifdef __x86_64__
MULTIPLY_ADDS(multiply_add_8, __attribute__((target("avx2,fma"))), 8)
MULTIPLY_ADDS(multiply_add_16, __attribute__((target("avx512f"))), 16)
#endif

/* GFLOP/s of all threads together with the vectors of an instruction set, the best of some
   tries. */
static double measure_peak(const char *isa, int threads) {
    const long count = 4000000;
    double best = 0;
    int floats = 4, i, try;
    double (*run)(long) = multiply_add_4;
#ifdef __x86_64__
    if (!strcmp(isa, "avx2")) floats = 8, run = multiply_add_8;
    if (!strcmp(isa, "avx512")) floats = 16, run = multiply_add_16;
#else
    (void)isa;
#endif
    for (try = 0; try < 5; try++) {
        volatile double keep = 0;
        double begun = seconds_now(), rate;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
        for (i = 0; i < threads; i++) keep = run(count);
        (void)keep;
        rate = 2e-9 * 12 * floats * (double)count * threads / (seconds_now() - begun);
        if (rate > best) best = rate;
    }
    return best;
}

/* GB/s read and written by copies between arrays too large for the caches. */
static double measure_copy(int threads) {
    const size_t bytes = (size_t)64 << 20;
    char *from = (char *)allocate(bytes * (size_t)threads);
    char *to = (char *)allocate(bytes * (size_t)threads);
    double best = 0;
    int i, try;
    memset(from, 1, bytes * (size_t)threads);
    for (try = 0; try < 5; try++) {
        double begun = seconds_now(), rate;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
        for (i = 0; i < threads; i++)
            memcpy(to + bytes * (size_t)i, from + bytes * (size_t)i, bytes);
        rate = 2e-9 * (double)bytes * threads / (seconds_now() - begun);
        if (rate > best) best = rate;
    }
    free(from);
    free(to);
    return best;
}

/* ---- the nets -------------------------------------------------------------------------------- */

/* What is timed without --net: the papers' nets. */
static const char usual[] =
    "resnet20,resnet20-original,resnet110,resnet110-original,resnet164,resnet164-original,"
    "resnet1001,resnet1001-original,resnet50,resnet50-original";

typedef struct bench_net {
    const char *name;
    rn_desc desc;
    int train_batch, infer_batch;
    int check_images, check_size; /* the naive execution takes its time */
} bench_net;

typedef struct settings {
    const char *net;     /* names between commas */
    const char *weights; /* a file of weights to time, or NULL */
    const char *save;    /* a file to write instead of timing, or NULL */
    int train, infer, layers, direct;
    long batch, threads;
    const char *fields; /* of the description, as set_fields takes them, or "" */
    long busy;          /* processes beside this one that never sleep */
    double seconds;     /* of timing, at least */
    rn_isa isa;
    uint64_t budget;
    double peak;
    char isa_name[16];
} settings;

/* What suits a net of this description. */
static bench_net suit(const char *name, rn_desc desc) {
    bench_net net = {name, desc, 128, 128, 4, 16};
    rn_error error;
    check(rn_resolve(&desc, &error), &error);
    if (desc.depth == 20) net.check_size = 32;
    if (desc.depth > 200) net.train_batch = net.infer_batch = 32, net.check_images = 2;
    if (desc.stem != RN_STEM_CIFAR) {
        net.train_batch = 16, net.infer_batch = 8;
        net.check_images = 2, net.check_size = 64;
    }
    return net;
}

static rn_desc describe(const bench_net *which, const settings *set) {
    rn_desc desc = which->desc;
    desc.threads = (int)set->threads;
    desc.isa = set->isa;
    desc.budget = set->budget;
    desc.direct = set->direct;
    return desc;
}

static rn_net *create(const rn_desc *desc, int batch, rn_mode mode) {
    rn_error error;
    rn_net *net = rn_create(desc, batch, mode, &large_pages, &error);
    if (!net) quit(1, "%s", error.text);
    return net;
}

static size_t image_numbers(const rn_net *net) {
    return (size_t)net->nodes[0].c * (size_t)net->nodes[0].h * (size_t)net->nodes[0].w;
}

/* Images and labels for a whole batch of the net. */
static rn_real *draw_images(const rn_net *net, int **labels) {
    size_t count = image_numbers(net) * (size_t)net->batch, i;
    rn_real *images = (rn_real *)allocate(count * sizeof *images);
    rn_key key = {1, RN_PURPOSE_AUGMENT, 0};
    for (i = 0; i < count; i++) images[i] = (rn_real)rn_normal(key, i);
    *labels = (int *)allocate((size_t)net->batch * sizeof **labels);
    for (i = 0; i < (size_t)net->batch; i++) (*labels)[i] = (int)i % net->desc.classes;
    return images;
}

/* Length of the difference over the length. A ReLU whose input is zero but for rounding may open in
   one execution only, which moves single numbers far, but not the whole. */
static double difference(const rn_real *a, const rn_real *b, ptrdiff_t count) {
    double apart = 0, length = 0;
    ptrdiff_t i;
    for (i = 0; i < count; i++) {
        apart += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        length += (double)b[i] * (double)b[i];
    }
    return sqrt(apart / length);
}

/* What both executions computed so far. Errors of a thousand layers would add up to anything, so
   the fast one goes on with the values of the naive one wherever it has them in memory. */
typedef struct comparison {
    rn_real **values; /* [nodes] of the naive execution */
    double largest;   /* difference of a value */
} comparison;

static void compare_value(void *user, rn_net *net, int node, int backward) {
    comparison *c = (comparison *)user;
    const rn_node *n = &net->nodes[node];
    rn_tensor value = rn_tensor_in(NULL, net->images, n->c, n->h, n->w);
    ptrdiff_t count = (ptrdiff_t)value.n * value.stride_n;
    if (backward) return;
    value.data = (rn_real *)allocate((size_t)count * sizeof(rn_real));
    if (rn_read_value(net, node, value, NULL)) {
        free(value.data); /* only exists while others read it */
    } else if (net->desc.naive) {
        c->values[node] = value.data;
    } else {
        rn_tensor expected = value;
        expected.data = c->values[node];
        c->largest = fmax(c->largest, rn_tensor_difference(value, expected));
        rn_write_value(net, node, expected, NULL);
        free(value.data);
    }
}

/* A step that measures BN's statistics, so that predictions make sense, and changes nothing
   else. Then logits, which are the caller's to free. */
static rn_net *step_once(rn_desc desc, int batch, int naive, comparison *c, rn_real **logits) {
    rn_error error;
    rn_net *net;
    int *labels;
    rn_real *images;
    desc.naive = naive;
    desc.bn_momentum = 1;
    net = create(&desc, batch, RN_TRAINING);
    if (naive) c->values = (rn_real **)calloc((size_t)net->node_count, sizeof *c->values);
    if (!c->values) quit(1, "no memory for values");
    net->probe = compare_value;
    net->probe_user = c;
    images = draw_images(net, &labels);
    check(rn_train_step(net, images, labels, batch, 0, NULL, &error), &error);
    *logits = (rn_real *)allocate((size_t)batch * (size_t)net->desc.classes * sizeof(rn_real));
    check(rn_predict(net, rn_workspace(net), images, batch, *logits, &error), &error);
    free(images);
    free(labels);
    return net;
}

/* Compares values and gradients of a training step and logits of inference, where errors do add up,
   and returns the fast net with statistics of its BNs. */
static rn_net *check_net(const bench_net *which, const settings *set) {
    rn_desc desc = describe(which, set);
    rn_real *logits[2];
    rn_net *fast, *naive;
    comparison c = {NULL, 0};
    double gradients, predicted, bound = 0.01;
    int i;
    desc.height = desc.width = which->check_size;
    naive = step_once(desc, which->check_images, 1, &c, &logits[0]);
    fast = step_once(desc, which->check_images, 0, &c, &logits[1]);
    if (fast->desc.depth > 200) bound = 0.1;
    gradients = difference(fast->gradients, naive->gradients, fast->trained_count);
    predicted =
        difference(logits[1], logits[0], (ptrdiff_t)which->check_images * fast->desc.classes);
    if (!(c.largest < 1e-4 && gradients < 0.02 && predicted < bound))
        quit(1,
             "%s: fast and naive execution differ by %.1e in values (allowed: 1e-4), %.1e in "
             "gradients (2e-2) and %.1e in predicted logits (%.0e): no figures",
             which->name, c.largest, gradients, predicted, bound);
    printf("%s: fast within %.1e of naive in values, %.1e in gradients, %.1e in predictions\n",
           which->name, c.largest, gradients, predicted);
    for (i = 0; i < 2; i++) free(logits[i]);
    for (i = 0; i < naive->node_count; i++) free(c.values[i]);
    free(c.values);
    rn_destroy(naive);
    return fast;
}

/* ---- timing ---------------------------------------------------------------------------------- */

static int compare_numbers(const void *a, const void *b) {
    const double *x = (const double *)a, *y = (const double *)b;
    return (*x > *y) - (*x < *y);
}

/* Gradients of node i that a step computes: of its weights, and of its input if that has one. */
static int gradients_of(const rn_net *net, int i) {
    const int first = rn__max(net->first_trained, 1);
    return i < first ? 0 : 1 + (net->nodes[i].inputs[0] >= first);
}

/* FLOP of one image. */
static double arithmetic(const rn_net *net, int train) {
    double macs = 0;
    int i;
    for (i = 0; i < net->node_count; i++)
        macs += rn_node_macs(net, i) * (train ? 1 + gradients_of(net, i) : 1);
    return 2 * macs;
}

typedef struct workload {
    rn_net *net;
    rn_real *images, *logits;
    int *labels, train;
} workload;

static void run(const workload *w) {
    rn_error error;
    if (w->train)
        check(rn_train_step(w->net, w->images, w->labels, w->net->batch, 1e-3, NULL, &error),
              &error);
    else
        check(rn_predict(w->net, rn_workspace(w->net), w->images, w->net->batch, w->logits, &error),
              &error);
}

/* The times of a workload's runs, in order once they are sorted. */
typedef struct timings {
    double *seconds; /* [MOST_TIMES] */
    int count;
} timings;
enum { MOST_TIMES = 200000 };

/* Runs for so many seconds, and at least once. */
static void take_turn(const workload *w, timings *t, double seconds) {
    const double begun = seconds_now();
    double before = begun;
    do {
        run(w);
        t->seconds[t->count++] = seconds_now() - before;
        before = seconds_now();
    } while (t->count < MOST_TIMES && before - begun < seconds);
}

static double quantile(const timings *t, double share) {
    return t->seconds[(int)((t->count - 1) * share)];
}

/* Times the workload, in turns with the same on one thread if there is `alone`. */
static void time_net(const bench_net *which, const workload *w, const workload *alone,
                     const settings *set) {
    const int batch = w->net->batch;
    const double turn = alone ? 0.25 : set->seconds;
    timings t[2];
    double begun, rate;
    int i;
    for (i = 0; i < 2; i++) {
        t[i].seconds = (double *)allocate(MOST_TIMES * sizeof(double));
        t[i].count = 0;
    }
    run(w), run(w);
    if (alone) run(alone), run(alone);
    for (begun = seconds_now();
         (t[0].count < 5 || seconds_now() - begun < set->seconds) && t[0].count < MOST_TIMES;) {
        take_turn(w, &t[0], turn);
        if (alone && t[1].count < MOST_TIMES) take_turn(alone, &t[1], turn);
    }
    for (i = 0; i < 2; i++)
        qsort(t[i].seconds, (size_t)t[i].count, sizeof(double), compare_numbers);
    rate = 1e-9 * arithmetic(w->net, w->train) * batch / quantile(&t[0], 0.5);
    printf("%s %s batch %d threads %ld: %.1f images/s (min %.1f max %.1f) %.0f GFLOP/s %.0f %% of "
           "peak",
           which->name, w->train ? "train" : "infer", batch, set->threads,
           batch / quantile(&t[0], 0.5), batch / quantile(&t[0], 1), batch / quantile(&t[0], 0),
           rate, 100 * rate / set->peak);
    if (batch == 1)
        printf(", %.3f ms, p99 %.3f", 1e3 * quantile(&t[0], 0.5), 1e3 * quantile(&t[0], 0.99));
    if (alone)
        printf("; one thread %.1f images/s: %.2f x, p99 %.2f x", batch / quantile(&t[1], 0.5),
               quantile(&t[1], 0.5) / quantile(&t[0], 0.5),
               quantile(&t[0], 0.99) / quantile(&t[1], 0.99));
    printf("\n");
    fflush(stdout);
    for (i = 0; i < 2; i++) free(t[i].seconds);
}

/* ---- layer by layer -------------------------------------------------------------------------- */

typedef struct layer_times {
    int step;         /* first node of it */
    double begun;     /* when the last step ended */
    double *forward;  /* [nodes] seconds of each step */
    double *backward; /* of both gradients */
} layer_times;

static void note_time(void *user, rn_net *net, int node, int backward) {
    layer_times *times = (layer_times *)user;
    double now = seconds_now();
    node = rn__operation_of(net, node)->node;
    (backward ? times->backward : times->forward)[node] += now - times->begun;
    times->begun = seconds_now();
}

/* Are steps a and b of one kind and shape? */
static int same_row(const rn_net *net, int a, int b) {
    const rn__operation *p = rn__operation_of(net, a), *q = rn__operation_of(net, b);
    const rn_node *m = &net->nodes[a], *n = &net->nodes[b];
    const rn_node *x = &net->nodes[m->inputs[0]], *y = &net->nodes[n->inputs[0]];
    int i;
    for (i = 0; i <= p->last - a; i++)
        if (p->last - a != q->last - b || m[i].kind != n[i].kind) return 0;
    return m->c == n->c && m->h == n->h && m->w == n->w && m->kernel == n->kernel &&
           m->stride == n->stride && p->lazy == q->lazy && x->c == y->c && x->h == y->h;
}

/* Seconds of the gradient of the input (0) or of the weights (1) of convolution i alone. */
static double time_gradient(const rn_net *net, int i, int weights) {
    const rn_node *node = &net->nodes[i], *in = &net->nodes[node->inputs[0]];
    const int n = net->batch;
    size_t x_floats = rn__blocked_floats(n, in->c, in->h, in->w), k;
    size_t y_floats = rn__blocked_floats(n, node->c, node->h, node->w);
    size_t weight_floats = (size_t)node->c * (size_t)in->c * (size_t)(node->kernel * node->kernel);
    rn__engine engine = rn__engine_of(net);
    const rn__conv *conv = rn__conv_of(net, rn__operation_of(net, i));
    const rn__room room = conv->room[1];
    rn__weights parameters;
    float *memory = (float *)allocate(rn__room_bytes(room, engine.threads) +
                                      4 * (2 * x_floats + y_floats + 2 * weight_floats) + 512);
    float *x = memory + rn__gap(memory) / 4, *y = x + x_floats, *dx = y + y_floats;
    float *weight = dx + x_floats, *dweight = weight + weight_floats;
    rn__blocked none = rn__blocked_in(NULL, n, in->c, in->h, in->w);
    double best = 1e30;
    int try;
    engine.workers = engine.threads;
    engine.workspace = (char *)(dweight + weight_floats);
    engine.workspace += rn__gap(engine.workspace);
    rn__take_own(&engine, room.own.used);
    memset(&parameters, 0, sizeof parameters);
    parameters.weight = weight;
    if (weights) parameters.dweight = dweight;
    for (k = 0; k < 2 * x_floats + y_floats + 2 * weight_floats; k++) x[k] = 0.01f;
    for (try = 0; try < 4; try++) {
        double begun = seconds_now(), took;
        rn__conv_backward(&engine, conv, &parameters,
                          weights ? none : rn__blocked_in(dx, n, in->c, in->h, in->w),
                          rn__blocked_in(y, n, node->c, node->h, node->w),
                          rn__blocked_in(x, n, in->c, in->h, in->w), 0, NULL);
        took = seconds_now() - begun;
        if (took < best) best = took;
    }
    free(memory);
    return best;
}

static void print_rate(double flop, double seconds) {
    if (flop > 0 && seconds > 0)
        printf(" %6.0f", 1e-9 * flop / seconds);
    else
        printf("      -");
}

static void print_row(const rn_net *net, int i, int count, double forward, double backward,
                      double total) {
    const rn_node *node = &net->nodes[i], *in = &net->nodes[node->inputs[0]];
    const int gradients = gradients_of(net, i);
    double flop = 2 * rn_node_macs(net, i) * net->batch;
    char what[64];
    int k, at = snprintf(what, sizeof what, "%s", rn_kind_name(node->kind));
    for (k = 1; k <= rn__operation_of(net, i)->last - i; k++)
        at += snprintf(what + at, sizeof what - (size_t)at, "+%s", rn_kind_name(node[k].kind));
    if (node->kind == RN_CONV2D || node->kind == RN_MAX_POOL)
        snprintf(what + at, sizeof what - (size_t)at, " %dx%d/%d", node->kernel, node->kernel,
                 node->stride);
    printf("%4d %-30s %4d -> %-4d %3dx%-3d %8.2f %8.2f %5.1f %%", count, what, in->c, node->c,
           node->h, node->w, 1e3 * forward, 1e3 * backward, 100 * (forward + backward) / total);
    print_rate(flop * count, forward);
    print_rate(flop * count * gradients, backward);
    if (node->kind == RN_CONV2D) {
        print_rate(gradients < 2 ? 0 : flop, gradients < 2 ? 0 : time_gradient(net, i, 0));
        print_rate(gradients < 1 ? 0 : flop, gradients < 1 ? 0 : time_gradient(net, i, 1));
    }
    printf("\n");
}

/* Times of the steps of a training step, those of one kind and shape in one row. A value that is
   computed where it is read costs there: the row of a lazy batch norm has its statistics only. */
static void print_layers(const workload *w) {
    rn_net *net = w->net;
    const int repeats = 5;
    layer_times times = {0, 0, NULL, NULL};
    double begun, total, inside = 0;
    int i, k;
    times.forward = (double *)calloc((size_t)net->node_count * 2, sizeof(double));
    if (!times.forward) quit(1, "no memory for times");
    times.backward = times.forward + net->node_count;
    net->probe = note_time;
    net->probe_user = &times;
    begun = times.begun = seconds_now();
    for (i = 0; i < repeats; i++) {
        times.begun = seconds_now();
        run(w);
    }
    total = seconds_now() - begun;
    net->probe = NULL;
    printf("   n %-30s channels     pixels  forward backward   share    GFLOP/s: f      b  alone: "
           "dx     dw\n",
           "step");
    for (i = 1; i < net->node_count; i++) {
        double forward = 0, backward = 0;
        int count = 0;
        if (rn__operation_of(net, i)->node < i || times.forward[i] < 0) continue;
        for (k = i; k < net->node_count; k++) {
            if (rn__operation_of(net, k)->node < k || times.forward[k] < 0) continue;
            if (!same_row(net, i, k)) continue;
            forward += times.forward[k], backward += times.backward[k];
            if (k > i) times.forward[k] = -1; /* told */
            count++;
        }
        inside += forward + backward;
        print_row(net, i, count, forward / repeats, backward / repeats, total / repeats);
    }
    printf("%4s %-30s %31.2f ms %4.1f %%\n", "", "update of the parameters",
           1e3 * (total - inside) / repeats, 100 * (total - inside) / total);
    free(times.forward);
}

/* ---- the program ----------------------------------------------------------------------------- */

/* With the weights of the file, or those of a new net and the statistics of the one that was
   checked. */
static workload make_workload(const bench_net *which, int train, int batch, const rn_net *checked,
                              const settings *set, int threads) {
    rn_desc desc = describe(which, set);
    rn_error error;
    workload w;
    desc.threads = threads;
    w.train = train;
    w.net = create(&desc, batch, train ? RN_TRAINING : RN_INFERENCE);
    if (checked)
        memcpy(w.net->statistics, checked->statistics,
               (size_t)checked->statistic_count * sizeof(rn_real));
    else
        check(rn_load(w.net, set->weights, NULL, &error), &error);
    if (!train) check(rn_freeze(w.net, &large_pages, &error), &error);
    w.images = draw_images(w.net, &w.labels);
    w.logits = (rn_real *)allocate((size_t)batch * (size_t)w.net->desc.classes * sizeof(rn_real));
    return w;
}

static void free_workload(workload *w) {
    free(w->images);
    free(w->labels);
    free(w->logits);
    rn_destroy(w->net);
}

static void bench(const bench_net *which, int train, int batch, const rn_net *checked,
                  const settings *set) {
    const int alternates = set->busy && set->threads > 1;
    workload w = make_workload(which, train, batch, checked, set, (int)set->threads), alone = w;
    if (alternates) alone = make_workload(which, train, batch, checked, set, 1);
    time_net(which, &w, alternates ? &alone : NULL, set);
    if (set->layers && train) print_layers(&w);
    if (alternates) free_workload(&alone);
    free_workload(&w);
}

/* Processes that want a processor each, as long as this one lives. */
static void start_competitors(long count) {
#ifdef _WIN32
    if (count) quit(2, "--busy needs POSIX");
#else
    const pid_t parent = getpid();
    volatile unsigned work = 0;
    for (; count > 0; count--) {
        const pid_t child = fork();
        if (child < 0) quit(1, "cannot start a competitor: %s", strerror(errno));
        while (!child && (++work % (1u << 20) || getppid() == parent)) {
        }
        if (!child) _exit(0);
    }
#endif
}

/* Writes the net as it would be timed. */
static void save_net(const bench_net *which, const rn_net *checked, const settings *set) {
    workload w = make_workload(which, 0, 1, checked, set, (int)set->threads);
    rn_error error;
    check(rn_save(w.net, set->save, NULL, &error), &error);
    printf("%s saved as %s\n", which->name, set->save);
    free_workload(&w);
}

static void print_help(void) {
    int i, at = 0; /* letters of this line */
    printf("usage: bench [--flag VALUE | --flag=VALUE]...\n\n"
           "Measures the machine's peak, then images/s of training steps and predictions.\n\n"
           "  --net NAMES   of nets, between commas (the papers'), from");
    for (i = 0; i < NAMED_NETS; i++) {
        const int length = (int)strlen(named_nets[i].name) + 2;
        at = i && at + length < 76 ? at + length : length;
        printf(at > length ? " %s%s" : "\n                %s%s", named_nets[i].name,
               i + 1 < NAMED_NETS ? "," : "\n");
    }
    printf(
        "  --weights F   the net of the weights file F instead, unchecked\n"
        "  --save F      writes random weights of the one net that is named, and times nothing\n"
        "  --mode NAME   train or infer (both)\n"
        "  --batch N     images of a step or prediction (what suits the net; infer also 1)\n"
        "  --threads N   (all cores)\n"
        "  --isa NAME    portable, avx2 or avx512 (the best there is)\n"
        "  --budget N    bytes of the net in training, with K, M or G (no limit)\n"
        "  --set \"FIELD=VALUE ...\"  fields of the description (see rn_desc), such as depth=56,\n"
        "                stochastic_depth=0.5 or frozen_below=3\n"
        "  --direct      without Winograd's convolutions\n"
        "  --busy N      beside N processes that never sleep; then in turns with one thread, as\n"
        "                which several should be no slower\n"
        "  --seconds X   of timing a line, at least; never less than 5 runs (3)\n"
        "  --layers      also each kind and shape of layer in training, where the time goes\n\n"
        "Shares of the peak count the direct arithmetic. Winograd's convolutions do with less, so\n"
        "there may be more than 100 %% of it.\n");
}

static void read_arguments(arguments *a, settings *set) {
    const char *text;
    rn_desc desc = rn_cifar(20), fields = desc;
    rn_error error;
    for (a->at = 1; a->at < a->count; a->at++) {
        if (is_help(a)) {
            print_help();
            exit(finish());
        } else if (has_text(a, "mode", &text)) {
            set->train = !strcmp(text, "train");
            set->infer = !strcmp(text, "infer");
            if (!set->train && !set->infer)
                quit(2, "--mode is \"%s\" and should be train or infer", text);
        } else if (has_text(a, "isa", &text)) {
            if (rn_desc_set(&desc, "isa", text, &error)) quit(2, "--%s", error.text);
            set->isa = desc.isa;
        } else if (has_text(a, "budget", &text)) {
            if (rn_desc_set(&desc, "budget", text, &error)) quit(2, "--%s", error.text);
            set->budget = desc.budget;
        } else if (has_text(a, "set", &set->fields)) {
            if (set_fields(&fields, set->fields, &error)) quit(2, "--set: %s", error.text);
            if (fields.threads || fields.isa || fields.budget || fields.direct)
                quit(2, "--set: threads, isa, budget and direct have flags of their own");
        } else if (!has_text(a, "net", &set->net) && !has_text(a, "weights", &set->weights) &&
                   !has_text(a, "save", &set->save) &&
                   !has_whole(a, "batch", 1, 1 << 16, &set->batch) &&
                   !has_whole(a, "threads", 1, 1024, &set->threads) &&
                   !has_whole(a, "busy", 0, 1024, &set->busy) &&
                   !has_number(a, "seconds", 0, 1e6, &set->seconds) &&
                   !has_switch(a, "layers", &set->layers) && !has_switch(a, "direct", &set->direct))
            quit(2, "unknown argument \"%s\"", a->words[a->at]);
    }
    if (set->layers && (!set->train || set->save))
        quit(2, "--layers times steps of training; leave --%s out",
             set->save ? "save" : "mode infer");
}

/* Is the name one of those between the commas? */
static int is_listed(const char *list, const char *name) {
    const size_t length = strlen(name);
    const char *at = list;
    while (at && (strncmp(at, name, length) != 0 || (at[length] && at[length] != ',')))
        at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL;
    return at != NULL;
}

/* Refuses names that no net has. */
static void check_names(const char *list) {
    const char *at = list;
    while (at) {
        const int length = (int)strcspn(at, ",");
        char name[64];
        rn_desc desc;
        snprintf(name, sizeof name, "%.*s", length, at);
        if (!describe_named(&desc, name))
            quit(2, "--net is \"%s\", and %s is none of those that --help lists", list, name);
        at = at[length] ? at + length + 1 : NULL;
    }
}

/* The net's lines. */
static void bench_net_of(const char *name, rn_desc desc, const settings *set) {
    const int batch = (int)set->batch;
    bench_net which;
    rn_net *net;
    rn_error error;
    check(set_fields(&desc, set->fields, &error), &error);
    which = suit(name, desc);
    net = set->weights ? NULL : check_net(&which, set);
    if (set->save) {
        save_net(&which, net, set);
    } else {
        if (set->train) bench(&which, 1, batch ? batch : which.train_batch, net, set);
        if (set->infer) bench(&which, 0, batch ? batch : which.infer_batch, net, set);
        if (set->infer && !batch) bench(&which, 0, 1, net, set);
    }
    rn_destroy(net);
}

static void measure_machine(settings *set) {
    rn_desc desc = rn_cifar(20);
    rn_net *net;
    desc.isa = set->isa;
    net = create(&desc, 1, RN_INFERENCE);
    snprintf(set->isa_name, sizeof set->isa_name, "%s", net->executor->kernels->name);
    rn_destroy(net);
    set->peak = measure_peak(set->isa_name, (int)set->threads);
    printf("machine: %s, threads %ld: peak %.0f GFLOP/s (one thread %.0f), copy %.1f GB/s\n",
           set->isa_name, set->threads, set->peak, measure_peak(set->isa_name, 1),
           measure_copy((int)set->threads));
    fflush(stdout);
}

int main(int argc, char **argv) {
    arguments a = {0, 1, NULL};
    settings set;
    rn_desc desc;
    rn_error error;
    int i;
    a.count = argc, a.words = argv;
    program = "bench";
    memset(&set, 0, sizeof set);
    set.net = usual;
    set.fields = "";
    set.train = set.infer = 1;
    set.seconds = 3;
    set.threads = all_cores();
    read_arguments(&a, &set);
    check_names(set.net);
    if (set.save && (set.weights || strchr(set.net, ',')))
        quit(2, "--save writes the weights of one net: name it with --net");
    if (set.weights) check(rn_load_desc(&desc, set.weights, NULL, &error), &error);
    if (!set.save) measure_machine(&set);
    start_competitors(set.busy);
    if (set.weights) {
        bench_net_of(set.weights, desc, &set);
        return finish();
    }
    for (i = 0; i < NAMED_NETS; i++)
        if (is_listed(set.net, named_nets[i].name)) {
            describe_named(&desc, named_nets[i].name);
            bench_net_of(named_nets[i].name, desc, &set);
        }
    return finish();
}
