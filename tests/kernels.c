/* kernels.c - the fast layers on blocked values against the naive ones of the same header, for
   every instruction set this machine has: many shapes, gradients that are overwritten, added up or
   not wanted, outputs in place of inputs, and lazy values, which a convolution normalises as it
   reads them. Beyond the numbers: channels that fill up the last block stay zero, workspaces are
   not overrun, and the bits are the same for 1 to 8 threads.

   cc -std=c99 -O2 -fopenmp -o kernels tests/kernels.c -lm && ./kernels */

#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"

#define DIRECT 1e-5 /* tolerances, of the largest magnitude */
#define WINOGRAD 1e-4
#define GUARD 64 /* bytes behind every array that nobody may write */
#ifdef REDUCED
#define CASES 12
#else
#define CASES 40
#endif

/* ---- memory and numbers -------------------------------------------------------------------- */

typedef struct area {
    void *memory;
    unsigned char *guard;
} area;

static area areas[256];
static int area_count;

/* Aligned bytes with a guard behind them, all set to a pattern that is not zero. */
static void *take(size_t bytes) {
    area *a = &areas[area_count++];
    char *memory = (char *)malloc(bytes + GUARD + 64);
    char *start = memory + (64 - (uintptr_t)memory % 64) % 64;
    CHECK(memory != NULL && area_count < 256);
    memset(start, 0x5a, bytes + GUARD);
    a->memory = memory;
    a->guard = (unsigned char *)start + bytes;
    return start;
}

static void release_to(int count) {
    while (area_count > count) {
        area *a = &areas[--area_count];
        int i, whole = 1;
        for (i = 0; i < GUARD; i++) whole &= a->guard[i] == 0x5a;
        CHECK(whole);
        free(a->memory);
    }
}

static uint64_t draws = 1;

static unsigned draw(unsigned range) {
    draws = draws * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(draws >> 33) % range;
}

static float number(void) { return (float)draw(1 << 23) / (float)(1 << 22) - 1; }

static float *numbers(ptrdiff_t count) {
    float *v = (float *)take((size_t)count * sizeof(float));
    ptrdiff_t i;
    for (i = 0; i < count; i++) v[i] = number();
    return v;
}

static float *copy_of(const float *from, ptrdiff_t count) {
    float *v = (float *)take((size_t)count * sizeof(float));
    memcpy(v, from, (size_t)count * sizeof(float));
    return v;
}

static ptrdiff_t count_of(rn_tensor t) { return (ptrdiff_t)t.n * t.c * t.h * t.w; }

static rn_tensor random_tensor(int n, int c, int h, int w) {
    return rn_tensor_in(numbers((ptrdiff_t)n * c * h * w), n, c, h, w);
}

static rn_tensor same(rn_tensor t) {
    return rn_tensor_in(copy_of(t.data, count_of(t)), t.n, t.c, t.h, t.w);
}

/* ---- the engine under test, and blocked values --------------------------------------------- */

static rn__engine engine;
static const char *context = "";
static double tolerance = DIRECT;

static size_t floats_of(rn_tensor t) { return rn__blocked_floats(t.n, t.c, t.h, t.w); }

/* A blocked copy of t. */
static rn__blocked blocked(rn_tensor t) {
    rn__blocked v = rn__blocked_in((float *)take(floats_of(t) * sizeof(float)), t.n, t.c, t.h, t.w);
    rn__block(&engine, v, t);
    return v;
}

/* A blocked value of the shape of t, with rubbish in it. */
static rn__blocked rubbish(rn_tensor t) {
    return rn__blocked_in((float *)take(floats_of(t) * sizeof(float)), t.n, t.c, t.h, t.w);
}

static rn__blocked nothing(rn__blocked v) {
    v.data = NULL;
    return v;
}

static const rn__room no_room = {{NULL, 0}, {NULL, 0}};

/* A workspace of these bytes, behind the area that BNs of up to n images and c channels need. */
static void set_workspace(rn__room room, int n, int c) {
    rn__executor executor;
    size_t bytes;
    memset(&executor, 0, sizeof executor);
    executor.most_channels = c;
    engine.workers = engine.threads;
    engine.workspace = NULL;
    bytes = rn__carve_handed(&engine, &executor, n, RN_TRAINING);
    engine.workspace = (char *)take(rn__add_size(bytes, rn__room_bytes(room, engine.threads)));
    rn__take_own(&engine, room.own.used);
    rn__carve_handed(&engine, &executor, n, RN_TRAINING);
}

/* The blocked value is that of the tensor within the tolerance, and zero in the filling lanes. */
static void check_blocked(int line, const char *what, rn__blocked v, rn_tensor expected) {
    rn_tensor t = same(expected);
    double difference;
    ptrdiff_t plane, i;
    int lane, filling = 0, lanes = v.c % 16 ? v.c % 16 : 16, blocks = (v.c + 15) / 16;
    rn_tensor_fill(t, NAN); /* so that what is not written shows */
    rn__unblock(&engine, t, v, 0);
    difference = rn_tensor_difference(t, expected);
    if (test_failed(difference <= tolerance, __FILE__, line))
        fprintf(stderr, "%s is off by %g (%s, %s)\n", what, difference, engine.kernels->name,
                context);
    for (plane = blocks - 1; plane < (ptrdiff_t)v.n * blocks; plane += blocks)
        for (i = 0; i < (ptrdiff_t)v.h * v.w; i++)
            for (lane = lanes; lane < 16; lane++)
                filling |= v.data[(plane * v.h * v.w + i) * 16 + lane] != 0;
    if (test_failed(!filling, __FILE__, line))
        fprintf(stderr, "%s has channels that are not there (%s, %s)\n", what, engine.kernels->name,
                context);
}
#define CHECK_BLOCKED(value, expected) check_blocked(__LINE__, #value, value, expected)

static void check_array(int line, const char *what, const float *v, const float *expected,
                        ptrdiff_t count) {
    double difference = rn_tensor_difference(rn_tensor_in((float *)v, 1, 1, 1, (int)count),
                                             rn_tensor_in((float *)expected, 1, 1, 1, (int)count));
    if (test_failed(difference <= tolerance, __FILE__, line))
        fprintf(stderr, "%s is off by %g (%s, %s)\n", what, difference, engine.kernels->name,
                context);
}
#define CHECK_ARRAY(v, expected, count) check_array(__LINE__, #v, v, expected, count)

/* ---- layers that are jobs on planes: fill a pass and run it ---------------------------------- */

typedef void (*plane_job)(const rn__task *pass, int plane);

/* y from x and z (data NULL: none). */
static void forward(plane_job job, rn__blocked y, rn__blocked x, rn__blocked z, rn_node node) {
    rn__task pass = rn__make_task(&engine, job);
    pass.y = y, pass.x = x, pass.z = z;
    pass.node = &node;
    rn__run_task(&pass);
}

/* The gradient dx of x from that of y. */
static void backward(plane_job job, rn__blocked dx, rn__blocked dy, rn__blocked x, rn__blocked y,
                     rn_node node, int accumulate) {
    rn__task pass = rn__make_task(&engine, job);
    pass.dx = dx, pass.dy = dy, pass.x = x, pass.y = y;
    pass.backward = 1;
    pass.node = &node;
    pass.accumulate = accumulate;
    rn__run_task(&pass);
}

static rn_node window(int kernel, int stride, int padding, int front, int complement) {
    rn_node node;
    memset(&node, 0, sizeof node);
    node.kernel = (signed char)kernel, node.stride = (signed char)stride;
    node.padding = (signed char)padding;
    node.front = front, node.complement = (signed char)complement;
    return node;
}
#define PLAIN window(0, 0, 0, 0, 0)

static void add(rn__blocked out, rn__blocked a, rn__blocked b, int relu, float *partial) {
    rn__task pass = rn__addition(&engine, out, a, b, partial);
    pass.flag = relu;
    rn__run_task(&pass);
}

static void relu_forward(rn__blocked out, rn__blocked in) {
    forward(rn__relu_plane, out, in, nothing(in), PLAIN);
}

static void relu_backward(rn__blocked dx, rn__blocked dy, rn__blocked out, int accumulate) {
    backward(rn__relu_plane, dx, dy, nothing(out), out, PLAIN, accumulate);
}

/* Writes a lazy value, plus `addend` through a ReLU if `relu`. */
static void materialise(rn__blocked out, rn__blocked lazy, rn__blocked addend, int relu,
                        int accumulate) {
    rn__task pass = rn__make_task(&engine, rn__materialise_plane);
    pass.backward = lazy.lazy == RN__BN_GRADIENT;
    pass.y = pass.dx = out, pass.x = lazy, pass.z = addend;
    pass.flag = relu;
    pass.accumulate = accumulate;
    rn__run_task(&pass);
}

/* Scale and dropout are their own backward: `back` with the operands named so. */
static void by_factor(plane_job job, rn__blocked out, rn__blocked in, double factor, rn_key key,
                      int accumulate, int back) {
    rn__task pass = rn__make_task(&engine, job);
    *(back ? &pass.dx : &pass.y) = out;
    *(back ? &pass.dy : &pass.x) = in;
    pass.backward = back;
    pass.factor = (float)factor;
    pass.key = key;
    pass.accumulate = accumulate;
    rn__run_task(&pass);
}

static void gate_backward(rn__blocked dx, rn__blocked dz, rn__blocked dy, rn__blocked x,
                          rn__blocked z, int complement, int accumulate, int accumulate_second) {
    const rn_node node = window(0, 0, 0, 0, complement);
    rn__task pass = rn__make_task(&engine, rn__gate_plane);
    pass.dx = dx, pass.dz = dz, pass.dy = dy, pass.x = x, pass.z = z;
    pass.backward = 1;
    pass.node = &node;
    pass.accumulate = accumulate;
    pass.accumulate_second = accumulate_second;
    rn__run_task(&pass);
}

/* ---- convolution --------------------------------------------------------------------------- */

typedef struct conv_case {
    int n, c, h, w, k, kernel, stride, padding;
} conv_case;

/* Of the next cases: a row and column of zeros more at the bottom and right; and their output. */
static int behind;

static int output_of(conv_case s, int size) {
    return rn__window_output(size + behind, s.kernel, s.stride, s.padding);
}

/* The plan of a convolution, and a workspace for it behind the area of BNs of so many channels. */
static rn__conv plan(conv_case s, int training, int lazy, int channels) {
    const rn__filter f = {s.k, s.c, s.kernel, s.kernel, s.stride, s.padding, behind};
    rn__arena taps = {NULL, 0};
    rn__conv conv = rn__plan_conv(&engine, f, s.n, s.h, s.w, training, lazy, &taps);
    taps.base = (char *)take(taps.used);
    taps.used = 0;
    conv = rn__plan_conv(&engine, f, s.n, s.h, s.w, training, lazy, &taps);
    set_workspace(conv.room[training], s.n, channels);
    return conv;
}

/* Batch norms by their arrays. */
static rn__norm norm_of(float *statistics, const float *weight, const float *bias, double eps,
                        int group) {
    rn__norm norm;
    memset(&norm, 0, sizeof norm);
    norm.statistics = statistics;
    norm.weight = weight, norm.bias = bias;
    norm.factor = 1;
    norm.eps = eps;
    norm.group = group;
    return norm;
}

static void bn_statistics(float *statistics, rn__blocked in, int group, int measured) {
    const rn__norm norm = norm_of(statistics, NULL, NULL, 0, group);
    rn__bn_statistics(&engine, &norm, in, measured);
}

static rn__blocked normalised_by(rn__blocked in, float *statistics, const float *weight,
                                 const float *bias, double eps, int group, int activation) {
    const rn__norm norm = norm_of(statistics, weight, bias, eps, group);
    return rn__normalised_by(&engine, &norm, in, activation);
}

static rn__blocked bn_backward(float *dweight, float *dbias, rn__blocked dy, rn__blocked x,
                               float *statistics, const float *weight, double eps, int measured) {
    rn__norm norm = norm_of(statistics, weight, NULL, eps, 0);
    norm.dweight = dweight, norm.dbias = dbias;
    return rn__bn_backward(&engine, &norm, dy, x, measured);
}

static rn__weights with(const float *weight, const float *bias, float *dweight, float *dbias) {
    rn__weights w = {weight, bias, NULL, dweight, dbias, NULL};
    return w;
}

static void conv_forward(const rn__conv *conv, rn__blocked y, rn__blocked x, const float *weight,
                         const float *bias, const float *addend, rn__task *after) {
    const rn__weights w = with(weight, bias, NULL, NULL);
    rn__conv_forward(&engine, conv, &w, y, x, addend, after);
}

static void conv_backward(const rn__conv *conv, rn__blocked dx, rn__weights w, rn__blocked dy,
                          rn__blocked x, int accumulate, rn__task *after) {
    rn__conv_backward(&engine, conv, &w, dx, dy, x, accumulate, after);
}

/* The bound of what a plan of forward or input gradient makes. */
static void set_tolerance(const rn__value_plan *p) {
    tolerance = p->geometry.winograd ? WINOGRAD : DIRECT;
}

static void describe(conv_case s, const char *what) {
    static char text[160];
    sprintf(text, "%s n %d c %d h %d w %d k %d kernel %d stride %d padding %d, %d threads", what,
            s.n, s.c, s.h, s.w, s.k, s.kernel, s.stride, s.padding, engine.threads);
    context = text;
}

static void conv(conv_case s) {
    int oh = output_of(s, s.h), ow = output_of(s, s.w), set = area_count;
    rn_tensor x = random_tensor(s.n, s.c, s.h, s.w), y = random_tensor(s.n, s.k, oh, ow);
    rn_tensor w = random_tensor(s.k, s.c, s.kernel, s.kernel), dy = random_tensor(s.n, s.k, oh, ow);
    rn_tensor dx = same(x), dx2 = same(x), dw = random_tensor(s.k, s.c, s.kernel, s.kernel);
    rn_tensor sum = same(dy), fast_dw = same(dw);
    float *bias = numbers(s.k), *dbias = numbers(s.k), *fast_dbias = copy_of(dbias, s.k);
    rn__blocked bx = blocked(x), bdy = blocked(dy), out = rubbish(y), bdx = rubbish(x);
    rn__blocked bdx2 = blocked(x), onto = blocked(sum), sum2 = rubbish(y);
    rn__conv p;
    rn__task after;
    describe(s, "");
    p = plan(s, 0, 0, s.k);
    set_tolerance(&p.forward);
    CHECK_INT(rn_conv2d_naive_forward(&y, &x, &w, bias, s.stride, s.padding, NULL), RN_OK);
    conv_forward(&p, out, bx, w.data, bias, NULL, NULL);
    CHECK_BLOCKED(out, y);
    rn_conv2d_naive_forward(&y, &x, &w, NULL, s.stride, s.padding, NULL);
    rn_add(&sum, &sum, &y, NULL);
    after = rn__addition(&engine, onto, onto, bdy, NULL); /* on top, then another term, ReLU */
    after.flag = 1;
    conv_forward(&p, onto, bx, w.data, NULL, onto.data, &after);
    rn_add(&sum, &sum, &dy, NULL);
    rn_relu_forward(&sum, &sum, NULL);
    CHECK_BLOCKED(onto, sum);
    conv_forward(&p, sum2, bx, w.data, NULL, NULL, NULL);
    CHECK_BLOCKED(sum2, y);

    p = plan(s, 1, 0, s.k);
    rn_conv2d_naive_backward(&dx, &dw, dbias, &dy, &x, &w, s.stride, s.padding, 0, NULL);
    rn_add(&dx2, &dx2, &dx, NULL);
    conv_backward(&p, nothing(bdx), with(w.data, NULL, fast_dw.data, fast_dbias), bdy, bx, 0, NULL);
    CHECK_ARRAY(fast_dw.data, dw.data, count_of(dw));
    set_tolerance(&p.input);
    conv_backward(&p, bdx, with(w.data, NULL, NULL, NULL), bdy, bx, 0, NULL);
    CHECK_BLOCKED(bdx, dx);
    conv_backward(&p, bdx2, with(w.data, NULL, NULL, NULL), bdy, bx, 1, NULL);
    CHECK_BLOCKED(bdx2, dx2);
    tolerance = s.k > 1 ? DIRECT : WINOGRAD; /* a single sum may be small beside its terms */
    CHECK_ARRAY(fast_dbias, dbias, s.k);
    tolerance = DIRECT;
    release_to(set);
}

/* A convolution that reads a normalised x, and backward a gradient that has still to go through the
   BN of its output, against the layers one by one. */
static void lazy_conv(conv_case s, int group, int relu) {
    const double eps = 1e-5;
    int oh = output_of(s, s.h), ow = output_of(s, s.w), set = area_count;
    rn_tensor x = random_tensor(s.n, s.c, s.h, s.w), z = same(x), dz = same(x), dx = same(x);
    rn_tensor y = random_tensor(s.n, s.k, oh, ow), dy = same(y), out = same(y);
    rn_tensor dout = random_tensor(s.n, s.k, oh, ow),
              w = random_tensor(s.k, s.c, s.kernel, s.kernel);
    rn_tensor dw = same(w);
    float *weight = numbers(s.c), *bias = numbers(s.c), *weight2 = numbers(s.k),
          *bias2 = numbers(s.k);
    float *statistics = numbers(2 * s.n * s.c), *statistics2 = numbers(2 * s.n * s.k);
    float *dweight = numbers(s.k), *dbias = numbers(s.k), *fast_dw = copy_of(dw.data, count_of(dw));
    float *fast_dweight = copy_of(dweight, s.k), *fast_dbias = copy_of(dbias, s.k);
    float *dweight1 = numbers(s.c), *dbias1 = numbers(s.c);
    float *fast_dweight1 = copy_of(dweight1, s.c), *fast_dbias1 = copy_of(dbias1, s.c);
    rn__blocked bx = blocked(x), lx, by = rubbish(y), ly, bout = rubbish(y), bdout = blocked(dout);
    rn__blocked bdz = rubbish(x), bdx = rubbish(x), none = rn__blocked_in(NULL, 0, 0, 0, 0);
    rn__conv p;
    rn__task after;
    describe(s, relu ? "lazy, with ReLUs," : "lazy");
    p = plan(s, 1, 1, rn__max(s.c, s.k));

    /* forward: z = BN x, y = conv z with its moments, out = BN y */
    bn_statistics(statistics, bx, group, 0);
    lx = normalised_by(bx, statistics, weight, bias, eps, group, relu);
    CHECK_INT(rn_batch_norm_forward(&z, statistics, &x, weight, bias, eps, group, NULL), RN_OK);
    if (relu) rn_relu_forward(&z, &z, NULL);
    rn_conv2d_naive_forward(&y, &z, &w, NULL, s.stride, s.padding, NULL);
    after = rn__addition(&engine, by, by, none, engine.handed.partial);
    conv_forward(&p, by, lx, w.data, NULL, NULL, &after);
    set_tolerance(&p.forward);
    CHECK_BLOCKED(by, y);
    rn__unblock(&engine, y, by, 0); /* the rest on the same numbers, or ReLUs differ at zero */
    rn_batch_norm_forward(&out, statistics2, &y, weight2, bias2, eps, group, NULL);
    bn_statistics(dz.data, by, group, 1);
    tolerance = DIRECT;
    CHECK_ARRAY(dz.data, statistics2, 2 * s.k * rn__divide_up(s.n, rn__group_size(group, s.n)));
    ly = normalised_by(by, statistics2, weight2, bias2, eps, group, relu);
    materialise(bout, ly, none, 0, 0);
    if (relu) rn_relu_forward(&out, &out, NULL);
    CHECK_BLOCKED(bout, out);

    /* backward: the gradient of y is never stored, and that of z sums what BN x needs */
    rn__unblock(&engine, out, bout, 0);
    if (relu) rn_relu_backward(&dout, &dout, &out, 0, NULL);
    rn_batch_norm_backward(&dy, dweight, dbias, &dout, &y, statistics2, weight2, eps, group, 0,
                           NULL);
    rn_conv2d_naive_backward(&dz, &dw, NULL, &dy, &z, &w, s.stride, s.padding, 0, NULL);
    ly = bn_backward(fast_dweight, fast_dbias, bdout, ly, statistics2, weight2, eps, 0);
    CHECK_ARRAY(fast_dweight, dweight, s.k);
    CHECK_ARRAY(fast_dbias, dbias, s.k);
    lx = normalised_by(bx, statistics, weight, bias, eps, group, relu);
    after = rn__bn_sums(&engine, bdz, lx);
    conv_backward(&p, bdz, with(w.data, NULL, fast_dw, NULL), ly, lx, 0, &after);
    set_tolerance(&p.forward);
    CHECK_ARRAY(fast_dw, dw.data, count_of(dw));
    set_tolerance(&p.input);
    CHECK_BLOCKED(bdz, dz);
    rn__unblock(&engine, dz, bdz, 0);
    materialise(bdx, lx, none, 0, 0);
    rn__unblock(&engine, z, bdx, 0);
    if (relu) rn_relu_backward(&dz, &dz, &z, 0, NULL);
    rn_batch_norm_backward(&dx, dweight1, dbias1, &dz, &x, statistics, weight, eps, group, 0, NULL);
    lx = bn_backward(fast_dweight1, fast_dbias1, bdz, lx, statistics, weight, eps, 1);
    materialise(bdx, lx, none, 0, 0);
    tolerance = DIRECT;
    CHECK_BLOCKED(bdx, dx);
    CHECK_ARRAY(fast_dweight1, dweight1, s.c);
    CHECK_ARRAY(fast_dbias1, dbias1, s.c);
    release_to(set);
}

/* With more padding behind than in front. */
static void one_sided_convolutions(void) {
    static const conv_case one_sided[] = {
        {2, 16, 16, 16, 16, 3, 2, 0}, {9, 3, 20, 14, 20, 7, 2, 2}, {3, 33, 8, 8, 40, 3, 2, 0},
        {2, 80, 6, 6, 80, 5, 2, 1},   {2, 16, 8, 8, 16, 3, 1, 1},
    };
    int i;
    behind = 1;
    for (i = 0; i < (int)(sizeof one_sided / sizeof *one_sided); i++) {
        engine.threads = 1 + i % 3;
        conv(one_sided[i]);
        lazy_conv(one_sided[i], i % 3, 1);
    }
    behind = 0;
}

static void convolutions(void) {
    static const int channels[] = {1, 3, 12, 16, 17, 40}, kernels[] = {1, 3, 3, 3, 5, 7, 2};
    static const conv_case fixed[] = {
        {2, 16, 32, 32, 16, 3, 1, 1},  {9, 64, 8, 8, 64, 3, 1, 1},   {2, 40, 7, 7, 33, 3, 1, 1},
        {3, 3, 23, 22, 16, 7, 2, 3},   {2, 32, 16, 16, 64, 3, 2, 1}, {2, 64, 16, 16, 128, 1, 2, 0},
        {1, 20, 9, 17, 40, 1, 1, 0},   {1, 16, 5, 1, 16, 3, 1, 2},   {17, 80, 3, 3, 80, 3, 1, 1},
        {1, 130, 60, 60, 17, 3, 1, 1}, {1, 16, 40, 3, 272, 1, 1, 0}, {40, 3, 8, 8, 5, 3, 1, 1},
        {9, 24, 10, 13, 20, 3, 1, 1},  {4, 8, 5, 30, 16, 3, 1, 1},   {3, 176, 6, 6, 176, 3, 1, 1},
        {2, 370, 6, 5, 40, 1, 1, 0},   {2, 70, 7, 9, 33, 3, 2, 1},   {1, 330, 5, 8, 20, 5, 1, 2},
    };
    static const conv_case lazy[] = {
        {3, 16, 16, 16, 16, 3, 1, 1}, {12, 20, 9, 7, 40, 3, 1, 1}, {4, 16, 9, 8, 33, 3, 2, 1},
        {5, 33, 6, 6, 16, 1, 1, 0},   {2, 20, 8, 8, 24, 1, 2, 0},  {3, 3, 12, 12, 16, 5, 1, 2},
        {2, 80, 5, 5, 80, 3, 1, 1},   {17, 64, 4, 4, 64, 1, 1, 0}, {3, 176, 8, 8, 176, 3, 1, 1},
    };
    int i;
    for (i = 0; i < (int)(sizeof fixed / sizeof *fixed); i++) conv(fixed[i]);
    for (i = 0; i < (int)(sizeof lazy / sizeof *lazy); i++) {
        engine.threads = 1 + i % 3;
        if (lazy[i].c < 100) lazy_conv(lazy[i], i % 4, 0);
        lazy_conv(lazy[i], i % 3 * 2, 1);
    }
    for (i = 0; i < CASES; i++) {
        conv_case s;
        s.n = 1 + (int)draw(9);
        s.c = channels[draw(6)];
        s.k = channels[draw(6)];
        s.kernel = kernels[draw(7)];
        s.stride = 1 + (int)draw(3);
        s.padding = (int)draw((unsigned)s.kernel);
        behind = i % 4 == 3;
        s.h = s.kernel + (int)draw(14);
        s.w = s.kernel + (int)draw(20);
        if ((double)s.n * s.c * s.k * s.h * s.w * s.kernel * s.kernel > 5e6)
            s.n = 1, s.h = 7, s.w = 8;
        engine.threads = 1 + (int)draw(3);
        conv(s);
    }
    behind = 0;
}

static void linear(int n, int c, int k) {
    int set = area_count;
    rn_tensor x = random_tensor(n, c, 1, 1), y = random_tensor(n, k, 1, 1), dx = same(x);
    rn_tensor dy = random_tensor(n, k, 1, 1);
    float *w = numbers(k * c), *bias = numbers(k), *dw = numbers(k * c), *dbias = numbers(k);
    float *fast_dw = copy_of(dw, k * c), *fast_dbias = copy_of(dbias, k);
    const rn__filter f = {k, c, 1, 1, 1, 0, 0};
    const rn__weights weights = {w, bias, NULL, fast_dw, fast_dbias, NULL};
    rn__weights none = {w, NULL, NULL, NULL, NULL, NULL};
    rn__arena taps = {NULL, 0};
    rn__conv p;
    rn__blocked bx = blocked(x), out = rubbish(y), bdx = blocked(x), bdy = blocked(dy);
    context = "linear";
    taps.base = (char *)take(1 << 10);
    p = rn__plan_linear(&engine, f, n, 1, &taps);
    set_workspace(p.room[0], 1, 1);
    rn_linear_forward(&y, &x, w, bias, NULL);
    rn__linear_forward(&engine, &p, &weights, out, bx);
    CHECK_BLOCKED(out, y);
    set_workspace(p.room[1], 1, 1);
    rn_linear_backward(&dx, dw, dbias, &dy, &x, w, 1, NULL);
    rn__linear_backward(&engine, &p, &weights, bdx, bdy, bx, 1);
    CHECK_BLOCKED(bdx, dx);
    CHECK_ARRAY(fast_dw, dw, k * c);
    CHECK_ARRAY(fast_dbias, dbias, k);
    rn_linear_backward(&dx, NULL, NULL, &dy, &x, w, 0, NULL);
    rn__linear_backward(&engine, &p, &none, bdx, bdy, bx, 0);
    CHECK_BLOCKED(bdx, dx);
    rn_linear_backward(NULL, dw, NULL, &dy, &x, w, 0, NULL);
    none.dweight = fast_dw;
    rn__linear_backward(&engine, &p, &none, nothing(bdx), bdy, bx, 0);
    CHECK_ARRAY(fast_dw, dw, k * c);
    release_to(set);
}

/* ---- batch normalisation ------------------------------------------------------------------- */

/* A mean far from zero must not cost the digits of what lies around it. */
static void large_mean(void) {
    const int c = 20;
    int set = area_count, i;
    rn_tensor x = random_tensor(2, c, 5, 3), y = same(x);
    float *weight = numbers(c), *bias = numbers(c), *running = numbers(2 * c);
    rn__blocked none = rn__blocked_in(NULL, 0, 0, 0, 0), out = rubbish(x), lazy;
    context = "batch norm of a large mean";
    for (i = 0; i < (int)count_of(x); i++) x.data[i] += 1e4f;
    for (i = 0; i < c; i++) running[i] = 1e4f, running[c + i] = 0.5f;
    set_workspace(no_room, 2, c);
    rn_batch_norm_inference(&y, &x, weight, bias, running, running + c, 1e-5, NULL);
    lazy = normalised_by(blocked(x), running, weight, bias, 1e-5, 0, 0);
    materialise(out, lazy, none, 0, 0);
    CHECK_BLOCKED(out, y);
    release_to(set);
}

static void batch_norm(int n, int c, int h, int w, int group, double offset) {
    const double eps = 1e-5;
    int set = area_count, groups = rn__divide_up(n, rn__group_size(group, n)), i;
    rn_tensor x = random_tensor(n, c, h, w), y = same(x), dy = random_tensor(n, c, h, w);
    rn_tensor dx = same(x), masked = same(x), z = random_tensor(n, c, h, w);
    float *weight = numbers(c), *bias = numbers(c), *running = numbers(2 * c);
    float *statistics = numbers(2 * c * groups), *fast_statistics = numbers(2 * c * groups);
    float *dweight = numbers(c), *dbias = numbers(c);
    float *fast_dweight = copy_of(dweight, c), *fast_dbias = copy_of(dbias, c);
    rn__blocked bx, lazy, out = rubbish(x), bdy = blocked(dy), bdx, bz = blocked(z);
    rn__blocked none = rn__blocked_in(NULL, 0, 0, 0, 0);
    context = "batch norm";
    for (i = 0; i < (int)count_of(x); i++) x.data[i] += (float)offset;
    bx = blocked(x);
    bdx = blocked(dx);
    set_workspace(no_room, n, c);

    for (i = 0; i < c; i++) running[c + i] = running[c + i] * running[c + i] + (float)0.1;
    rn_batch_norm_inference(&y, &x, weight, bias, running, running + c, eps, NULL);
    lazy = normalised_by(bx, running, weight, bias, eps, 0, 0);
    materialise(out, lazy, none, 0, 0);
    CHECK_BLOCKED(out, y);
    CHECK_INT(rn_batch_norm_forward(&y, statistics, &x, weight, bias, eps, group, NULL), RN_OK);
    bn_statistics(fast_statistics, bx, group, 0);
    CHECK_ARRAY(fast_statistics, statistics, 2 * c * groups);
    lazy = normalised_by(bx, fast_statistics, weight, bias, eps, group, 0);
    materialise(out, lazy, none, 0, 0);
    CHECK_BLOCKED(out, y);
    /* backward, on top of what is there */
    rn_batch_norm_backward(&dx, dweight, dbias, &dy, &x, statistics, weight, eps, group, 1, NULL);
    lazy = bn_backward(fast_dweight, fast_dbias, bdy, lazy, statistics, weight, eps, 0);
    materialise(bdx, lazy, none, 0, 1);
    CHECK_BLOCKED(bdx, dx);
    CHECK_ARRAY(fast_dweight, dweight, c);
    CHECK_ARRAY(fast_dbias, dbias, c);
    /* with a shortcut and the ReLU behind both */
    lazy = normalised_by(bx, fast_statistics, weight, bias, eps, group, 0);
    materialise(bz, lazy, bz, 1, 0);
    rn_add(&z, &z, &y, NULL);
    rn_relu_forward(&z, &z, NULL);
    CHECK_BLOCKED(bz, z);
    /* with its own ReLU; what passed is what the fast forward let through; in place */
    rn_relu_forward(&y, &y, NULL);
    lazy = normalised_by(bx, fast_statistics, weight, bias, eps, group, 1);
    materialise(out, lazy, none, 0, 0);
    CHECK_BLOCKED(out, y);
    rn__unblock(&engine, y, out, 0);
    rn_relu_backward(&masked, &dy, &y, 0, NULL);
    rn_batch_norm_backward(&dx, dweight, dbias, &masked, &x, statistics, weight, eps, group, 0,
                           NULL);
    lazy = bn_backward(fast_dweight, fast_dbias, bdy, lazy, statistics, weight, eps, 0);
    materialise(bdy, lazy, none, 0, 0);
    CHECK_BLOCKED(bdy, dx);
    CHECK_ARRAY(fast_dweight, dweight, c);
    CHECK_ARRAY(fast_dbias, dbias, c);
    /* the statistics of a sum, whose moments the addition leaves */
    rn_add(&z, &z, &x, NULL);
    rn_batch_norm_forward(&y, statistics, &z, weight, bias, eps, group, NULL);
    add(bx, bz, bx, 0, engine.handed.partial);
    CHECK_BLOCKED(bx, z);
    bn_statistics(fast_statistics, bx, group, 1);
    CHECK_ARRAY(fast_statistics, statistics, 2 * c * groups);
    release_to(set);
}

/* ---- layers without parameters ------------------------------------------------------------- */

static void element_wise(int n, int c, int h, int w) {
    static const rn_key key = {7, RN_PURPOSE_DROPOUT, 3};
    int set = area_count, complement;
    rn_tensor a = random_tensor(n, c, h, w), b = random_tensor(n, c, h, w), y = same(a),
              z = same(a);
    rn_tensor g = random_tensor(n, c, h, w);
    rn__blocked ba = blocked(a), bb = blocked(b), out = rubbish(a), out2 = rubbish(a),
                bg = blocked(g);
    context = "element-wise";
    rn_add(&y, &a, &b, NULL);
    add(out, ba, bb, 0, NULL);
    CHECK_BLOCKED(out, y);
    rn_relu_forward(&y, &y, NULL);
    add(out, ba, bb, 1, NULL);
    CHECK_BLOCKED(out, y);
    rn_relu_forward(&y, &a, NULL);
    relu_forward(out, ba);
    CHECK_BLOCKED(out, y);
    rn_relu_backward(&z, &g, &y, 0, NULL);
    relu_backward(out2, bg, out, 0);
    CHECK_BLOCKED(out2, z);
    rn_relu_backward(&z, &g, &y, 1, NULL);
    relu_backward(out2, bg, out, 1);
    CHECK_BLOCKED(out2, z);
    rn_scale(&z, &a, -0.75, 1, NULL);
    by_factor(rn__scale_plane, out2, ba, -0.75, key, 1, 1);
    CHECK_BLOCKED(out2, z);
    rn_scale(&z, &a, 1.5, 0, NULL);
    by_factor(rn__scale_plane, out2, ba, 1.5, key, 0, 0);
    CHECK_BLOCKED(out2, z);
    rn_dropout(&z, &a, 0.4, key, 0, NULL);
    by_factor(rn__dropout_plane, out2, ba, 0.4, key, 0, 0);
    CHECK_BLOCKED(out2, z);
    rn_dropout(&z, &g, 0.4, key, 1, NULL);
    by_factor(rn__dropout_plane, out2, bg, 0.4, key, 1, 1);
    CHECK_BLOCKED(out2, z);
    for (complement = 0; complement < 2; complement++) {
        rn_gate_forward(&y, &a, &b, complement, NULL);
        forward(rn__gate_plane, out, ba, bb, window(0, 0, 0, 0, complement));
        CHECK_BLOCKED(out, y);
        rn_gate_backward(&y, &z, &g, &a, &b, complement, complement, !complement, NULL);
        gate_backward(out, out2, bg, ba, bb, complement, complement, !complement);
        CHECK_BLOCKED(out, y);
        CHECK_BLOCKED(out2, z);
        gate_backward(nothing(out), nothing(out2), bg, ba, bb, complement, 0, 0);
    }
    rn_add(&a, &a, &b, NULL); /* in place, each way */
    add(ba, ba, bb, 0, NULL);
    CHECK_BLOCKED(ba, a);
    rn_add(&b, &a, &b, NULL);
    add(bb, ba, bb, 0, NULL);
    CHECK_BLOCKED(bb, b);
    rn_relu_forward(&b, &b, NULL);
    relu_forward(bb, bb);
    CHECK_BLOCKED(bb, b);
    rn_relu_backward(&g, &g, &b, 0, NULL);
    relu_backward(bg, bg, bb, 0);
    CHECK_BLOCKED(bg, g);
    release_to(set);
}

static void pools(int n, int c, int h, int w, int kernel, int stride, int padding) {
    int oh = rn__window_output(h, kernel, stride, padding);
    int ow = rn__window_output(w, kernel, stride, padding), set = area_count, accumulate;
    rn_tensor x = random_tensor(n, c, h, w), y = random_tensor(n, c, oh, ow), dx = same(x);
    rn_tensor dy = random_tensor(n, c, oh, ow);
    rn__blocked bx, out = rubbish(y), bdy = blocked(dy), bdx = rubbish(x);
    const rn_node node = window(kernel, stride, padding, 0, 0);
    int i;
    context = "pools";
    for (i = 0; i < (int)count_of(x); i++) x.data[i] = (float)(int)(x.data[i] * 4); /* some equal */
    bx = blocked(x);
    rn_max_pool_forward(&y, &x, kernel, stride, padding, NULL);
    forward(rn__max_pool_plane, out, bx, nothing(bx), node);
    CHECK_BLOCKED(out, y);
    for (accumulate = 0; accumulate < 2; accumulate++) {
        rn_max_pool_backward(&dx, &dy, &x, kernel, stride, padding, accumulate, NULL);
        backward(rn__max_pool_plane, bdx, bdy, bx, nothing(bdy), node, accumulate);
        CHECK_BLOCKED(bdx, dx);
    }
    y = random_tensor(n, c, 1, 1);
    out = rubbish(y);
    rn_global_avg_pool_forward(&y, &x, NULL);
    forward(rn__global_avg_pool_plane, out, bx, nothing(bx), node);
    CHECK_BLOCKED(out, y);
    for (accumulate = 1; accumulate >= 0; accumulate--) {
        rn_global_avg_pool_backward(&dx, &y, accumulate, NULL);
        backward(rn__global_avg_pool_plane, bdx, out, nothing(bx), nothing(out), node, accumulate);
        CHECK_BLOCKED(bdx, dx);
    }
    release_to(set);
}

static void pad_subsample(int n, int c, int h, int w, int k, int stride, int front) {
    int oh = (h + stride - 1) / stride, ow = (w + stride - 1) / stride, set = area_count,
        accumulate;
    rn_tensor x = random_tensor(n, c, h, w), y = random_tensor(n, k, oh, ow), dx = same(x);
    rn__blocked bx = blocked(x), out = rubbish(y), bdx = rubbish(x), bdy;
    const rn_node node = window(0, stride, 0, front, 0);
    context = "pad-subsample";
    CHECK_INT(rn_pad_subsample_forward(&y, &x, stride, front, NULL), RN_OK);
    forward(rn__pad_subsample_plane, out, bx, nothing(bx), node);
    CHECK_BLOCKED(out, y);
    y = random_tensor(n, k, oh, ow);
    bdy = blocked(y);
    for (accumulate = 0; accumulate < 2; accumulate++) {
        rn_pad_subsample_backward(&dx, &y, stride, front, accumulate, NULL);
        backward(rn__pad_subsample_plane, bdx, bdy, nothing(bx), nothing(bdy), node, accumulate);
        CHECK_BLOCKED(bdx, dx);
    }
    release_to(set);
}

/* The gate's own exponential, over all that floats can say. */
static void gates(void) {
    float z[RN__BLOCK], x[RN__BLOCK], y[RN__BLOCK], dx[RN__BLOCK], dz[RN__BLOCK];
    int i, k;
    for (i = 0; i < RN__BLOCK; i++) x[i] = 1;
    for (k = 0; k < 4000; k++) {
        for (i = 0; i < RN__BLOCK; i++) z[i] = (float)(k - 2000) * 0.043f + (float)i * 0.0027f;
        engine.kernels->gate(y, x, z, 1, 1);
        engine.kernels->gate_gradient(dx, dz, x, x, z, 1, -1, 0, 0);
        for (i = 0; i < RN__BLOCK; i++) {
            const double gate = 1 / (1 + exp(-(double)z[i])), rest = 1 / (1 + exp((double)z[i]));
            CHECK_NEAR(y[i], gate, 3e-7 * gate);
            CHECK_NEAR(dx[i], rest, 3e-7 * rest);
            CHECK_NEAR(dz[i], -gate * rest, 1e-6 * gate * rest);
        }
    }
    for (i = 0; i < RN__BLOCK; i++) z[i] = i % 2 ? 1e30f : -1e30f;
    z[2] = rn__float_of_bits(0x7fc00000), z[3] = rn__float_of_bits(-0x400000);
    engine.kernels->gate(y, x, z, 1, 1);
    for (i = 0; i < RN__BLOCK; i++) {
        if (i == 2 || i == 3)
            CHECK(rn__not_finite(y[i])); /* a NaN stays one */
        else
            CHECK_NEAR(y[i], i % 2, 1e-37);
    }
}

/* ---- the same bits for any number of threads ----------------------------------------------- */

/* What a training step computes with a convolution between two batch normalisations. */
typedef struct outcome {
    rn__blocked out, dx, sum;
    float *dw, *dbias, *statistics, *dweight;
} outcome;

static outcome train(conv_case s, rn_tensor x, rn_tensor dy, const float *w, int threads,
                     int workers) {
    const int group = 4;
    ptrdiff_t weights = (ptrdiff_t)s.k * s.c * s.kernel * s.kernel;
    rn__blocked bx = blocked(x), bdy = blocked(dy), lx, ly;
    rn__conv p;
    rn__task after;
    outcome o;
    o.out = rubbish(dy), o.dx = rubbish(x), o.sum = rubbish(x);
    o.dw = copy_of(w, weights), o.dbias = copy_of(w, s.k);
    o.statistics = numbers(2 * s.n * rn__max(s.c, s.k)), o.dweight = copy_of(w, s.k);
    engine.threads = threads;
    p = plan(s, 1, 1, rn__max(s.c, s.k));
    engine.workers = workers;
    conv_backward(&p, o.sum, with(w, NULL, o.dw, o.dbias), bdy, bx, 0, NULL);
    bn_statistics(o.statistics, bx, group, 0);
    lx = normalised_by(bx, o.statistics, w, w, 1e-5, group, 1);
    after = rn__addition(&engine, o.out, o.out, bdy, engine.handed.partial);
    conv_forward(&p, o.out, lx, w, w, NULL, &after);
    bn_statistics(o.statistics, o.out, group, 1);
    ly = normalised_by(o.out, o.statistics, w, w, 1e-5, group, 1);
    ly = bn_backward(o.dweight, o.dbias, bdy, ly, o.statistics, w, 1e-5, 0);
    conv_backward(&p, o.dx, with(w, NULL, o.dw, NULL), ly, bx, 0, NULL);
    return o;
}

static void check_bits(int line, const char *what, const float *a, const float *b, size_t floats) {
    if (test_failed(!memcmp(a, b, floats * sizeof(float)), __FILE__, line))
        fprintf(stderr, "%s has other bits with %d threads (%s)\n", what, engine.threads,
                engine.kernels->name);
}
#define CHECK_BITS(a, b, floats) check_bits(__LINE__, #a, a, b, floats)

static void same_bits(conv_case s) {
    int oh = rn__window_output(s.h, s.kernel, s.stride, s.padding);
    int ow = rn__window_output(s.w, s.kernel, s.stride, s.padding), set = area_count, threads;
    rn_tensor x = random_tensor(s.n, s.c, s.h, s.w), dy = random_tensor(s.n, s.k, oh, ow);
    ptrdiff_t weights = (ptrdiff_t)s.k * s.c * s.kernel * s.kernel;
    const float *w = numbers(weights);
    outcome first = train(s, x, dy, w, 1, 1);
    float *dw = copy_of(w, weights), *dbias = copy_of(w, s.k);
    for (threads = 2; threads <= 8; threads++) {
        int here = area_count;
        outcome o =
            train(s, x, dy, w, threads, rn__max(1, threads - threads % 3)); /* some do not come */
        CHECK_BITS(o.out.data, first.out.data, floats_of(dy));
        CHECK_BITS(o.dx.data, first.dx.data, floats_of(x));
        CHECK_BITS(o.sum.data, first.sum.data, floats_of(x));
        CHECK_BITS(o.dw, first.dw, (size_t)weights);
        CHECK_BITS(o.dbias, first.dbias, (size_t)s.k);
        CHECK_BITS(o.dweight, first.dweight, (size_t)s.k);
        CHECK_BITS(o.statistics, first.statistics, (size_t)(2 * s.k * rn__divide_up(s.n, 4)));
        release_to(here);
    }
    /* and weight gradients of a batch in micro-batches of 16 */
    if (s.n > 16) {
        rn__blocked bx = blocked(x), bdy = blocked(dy);
        float *whole = copy_of(w, weights), *whole_bias = copy_of(w, s.k);
        rn__conv p = plan(s, 1, 0, 1);
        int n, count;
        conv_backward(&p, nothing(bx), with(w, NULL, whole, whole_bias), bdy, bx, 0, NULL);
        for (n = 0; n < s.n; n += count) {
            count = rn__min(16, s.n - n);
            bx = blocked(rn_tensor_images(x, n, count));
            bdy = blocked(rn_tensor_images(dy, n, count));
            conv_backward(&p, nothing(bx), with(w, NULL, dw, dbias), bdy, bx, 0, NULL);
        }
        CHECK_BITS(dw, whole, (size_t)weights);
        CHECK_BITS(dbias, whole_bias, (size_t)s.k);
    }
    tolerance = DIRECT;
    release_to(set);
    engine.threads = 1;
}

/* ---- the public convolution ---------------------------------------------------------------- */

/* Views in, views out, a kernel that is not square, and what is refused. */
static void public_conv(rn_isa isa) {
    const int h = 9, w = 12, r = 3, s = 2, stride = 2, padding = 1;
    const int oh = rn__window_output(h, r, stride, padding);
    const int ow = rn__window_output(w, s, stride, padding), set = area_count;
    rn_tensor x = rn_tensor_channels(random_tensor(3, 24, h, w), 2, 20);
    rn_tensor weight = random_tensor(18, 20, r, s), dw = same(weight), fast_dw = same(weight);
    rn_tensor y = random_tensor(3, 18, oh, ow), all = random_tensor(3, 20, oh, ow);
    rn_tensor fast_y = rn_tensor_channels(all, 1, 18), dy = rn_tensor_channels(same(all), 2, 18);
    rn_tensor dx = random_tensor(3, 20, h, w), fast_dx = same(dx);
    float *bias = numbers(18), *dbias = numbers(18), *fast_dbias = copy_of(dbias, 18);
    const size_t bytes = rn_conv2d_bytes(&x, &weight, stride, padding, 2);
    void *workspace = take(bytes);
    rn_error error;
    int accumulate;
    context = "rn_conv2d";
    CHECK_INT(rn_conv2d_naive_forward(&y, &x, &weight, bias, stride, padding, NULL), RN_OK);
    CHECK_INT(rn_conv2d_forward(&fast_y, &x, &weight, bias, stride, padding, isa, 2, workspace,
                                bytes, NULL),
              RN_OK);
    CHECK(rn_tensor_difference(fast_y, y) <= DIRECT);
    for (accumulate = 1; accumulate >= 0; accumulate--) {
        CHECK_INT(rn_conv2d_naive_backward(&dx, &dw, dbias, &dy, &x, &weight, stride, padding,
                                           accumulate, NULL),
                  RN_OK);
        CHECK_INT(rn_conv2d_backward(&fast_dx, &fast_dw, fast_dbias, &dy, &x, &weight, stride,
                                     padding, accumulate, isa, 2, workspace, bytes, NULL),
                  RN_OK);
        CHECK(rn_tensor_difference(fast_dx, dx) <= DIRECT);
        CHECK(rn_tensor_difference(fast_dw, dw) <= DIRECT);
        CHECK_ARRAY(fast_dbias, dbias, 18);
    }
    CHECK_INT(rn_conv2d_backward(NULL, NULL, NULL, &dy, &x, &weight, stride, padding, 0, isa, 1,
                                 workspace, bytes, NULL),
              RN_OK);

    CHECK_INT(
        rn_conv2d_forward(&x, &x, &weight, bias, stride, padding, isa, 2, workspace, bytes, &error),
        RN_BAD_SHAPE);
    CHECK_TEXT(error.text, "rn_conv2d_forward: output is [3,20,9,12] and should be [3,18,5,7]");
    CHECK_INT(rn_conv2d_forward(&fast_y, &x, &weight, bias, stride, padding, isa, 0, workspace,
                                bytes, &error),
              RN_BAD_ARGUMENT);
    CHECK_TEXT(error.text, "threads is 0");
    CHECK_INT(rn_conv2d_forward(&fast_y, &x, &weight, bias, stride, padding, isa, 2, workspace,
                                bytes - 1, &error),
              RN_TOO_SMALL);
    CHECK_TEXT(error.text, "see rn_conv2d_bytes");
    CHECK_INT(rn_conv2d_backward(NULL, NULL, NULL, &dy, &x, &weight, stride, padding, 0, isa, 2,
                                 workspace, 0, &error),
              RN_TOO_SMALL);
    CHECK_INT(rn_conv2d_forward(&fast_y, &x, &weight, bias, stride, padding, isa, 2,
                                (char *)workspace + 4, bytes, &error),
              RN_BAD_ARGUMENT);
    CHECK_TEXT(error.text, "aligned to 64");
    weight = rn_tensor_channels(random_tensor(18, 21, r, s), 0, 20);
    CHECK_INT(rn_conv2d_forward(&fast_y, &x, &weight, bias, stride, padding, isa, 2, workspace,
                                bytes, &error),
              RN_BAD_ARGUMENT);
    CHECK_TEXT(error.text, "weight is a view");
    CHECK_INT(rn_conv2d_backward(NULL, NULL, NULL, &dy, &x, &weight, 0, padding, 0, isa, 1,
                                 workspace, bytes, &error),
              RN_BAD_ARGUMENT);
    CHECK(rn_conv2d_bytes(&x, &weight, 0, padding, 2) == 0);
    release_to(set);
}

/* Not a number and infinity go through a ReLU, so that they are found. */
static void not_finite(void) {
    int set = area_count;
    rn_tensor t = random_tensor(1, 16, 1, 2);
    rn__blocked v, out = rubbish(t);
    t.data[4] = (float)NAN;
    t.data[5] = (float)INFINITY;
    t.data[6] = -(float)NAN;
    v = blocked(t);
    relu_forward(out, v);
    rn__unblock(&engine, t, out, 0);
    CHECK(!rn__is_finite((double)t.data[4]));
    CHECK(!rn__is_finite((double)t.data[5]));
    CHECK(!rn__is_finite((double)t.data[6]));
    CHECK(rn__all_finite(t.data, 4) && rn__all_finite(t.data + 7, 25));
    release_to(set);
}

static void all_layers(void) {
    static const conv_case bits[] = {{35, 16, 8, 8, 16, 3, 1, 1},   {20, 40, 7, 5, 20, 3, 2, 1},
                                     {2, 64, 6, 6, 80, 3, 1, 1},    {20, 64, 4, 4, 64, 3, 1, 1},
                                     {1, 16, 33, 20, 33, 1, 1, 0},  {12, 3, 12, 12, 16, 5, 1, 2},
                                     {18, 176, 8, 8, 176, 3, 1, 1}, {40, 96, 8, 8, 96, 3, 1, 1}};
    int i;
    convolutions();
    large_mean();
    for (i = 1; i < 4; i++) {
        engine.threads = i;
        linear(1, 16, 10), linear(9, 40, 3), linear(17, 5, 33), linear(3, 64, 100);
        batch_norm(8, 16, 8, 8, 0, 0), batch_norm(5, 17, 3, 5, 2, 1),
            batch_norm(4, 19, 1, 1, 0, -3);
        batch_norm(1, 40, 9, 7, 0, 4), batch_norm(9, 12, 6, 6, 3, 0), batch_norm(3, 1, 17, 2, 8, 1);
        element_wise(1, 3, 5, 7), element_wise(9, 16, 4, 4), element_wise(3, 40, 3, 2);
        pools(2, 17, 11, 9, 3, 2, 1), pools(9, 16, 8, 8, 2, 2, 0), pools(1, 5, 7, 7, 3, 1, 2);
        pools(3, 40, 6, 5, 5, 3, 2);
        pad_subsample(3, 16, 8, 8, 32, 2, 0), pad_subsample(2, 16, 7, 5, 32, 2, 8);
        pad_subsample(9, 12, 5, 5, 40, 1, 17), pad_subsample(1, 40, 6, 6, 80, 3, 20);
    }
    for (i = 0; i < (int)(sizeof bits / sizeof *bits); i++) same_bits(bits[i]);
    not_finite();
}

int main(void) {
    static const rn_isa sets[] = {RN_ISA_PORTABLE, RN_ISA_AVX2, RN_ISA_AVX512};
    int i;
    CHECK(rn__choose_kernels(RN_ISA_AUTO) != NULL);
    CHECK(rn__choose_kernels(RN_ISA_PORTABLE) != NULL);
    for (i = 0; i < 3; i++) {
        engine.kernels = rn__choose_kernels(sets[i]);
        engine.threads = 1;
        if (!engine.kernels) {
            rn_error error;
            rn_tensor t = random_tensor(1, 1, 3, 3);
            CHECK_INT(rn_conv2d_forward(&t, &t, &t, NULL, 1, 1, sets[i], 1, t.data, 64, &error),
                      RN_BAD_ARGUMENT);
            release_to(0);
            continue;
        }
        all_layers();
        gates();
        public_conv(sets[i]);
        CHECK_INT(area_count, 0);
    }
    for (i = 0; i < 3; i++) {
        engine.kernels = rn__choose_kernels(sets[i]);
        if (engine.kernels) one_sided_convolutions();
    }
    return test_end("kernels");
}
