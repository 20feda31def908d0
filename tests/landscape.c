/* landscape.c - examples/landscape: a direction's filters are as long as the net's, and nothing
   else of it moves; the loss at a point is that of a net made by hand; the middle is the net, to
   the bits; and what examples/measured.h keeps of a run is found again.

   tests/landscape */

#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"

#include "nets.h"

#undef _DEFAULT_SOURCE /* which example programs define themselves */
#define main landscape_main
#include "../examples/landscape.c"
#undef main

enum { IMAGES = 7 };

/* Images of noise, of 4 classes. */
static int read_noise(void *user, ptrdiff_t index, uint8_t *pixels, int *label) {
    int i;
    (void)user;
    for (i = 0; i < 2 * 7 * 6; i++)
        pixels[i] = (uint8_t)(128 + 40 * net_number(4, (uint64_t)(index * 84 + i)));
    *label = (int)index % 4;
    return 0;
}
static const rn_source noise = {IMAGES, 2, 7, 6, 4, read_noise, NULL};

static rn_desc small_net(const char *options) {
    rn_desc desc =
        net_desc(RN_FULL_PREACT, RN_BASIC, RN_SHORTCUT_IDENTITY, RN_RESIZE_AUTO, RN_STEM_CIFAR);
    net_options(&desc, options);
    desc.mean[0] = desc.mean[1] = 0.5f;
    desc.deviation[0] = desc.deviation[1] = 0.25f;
    return desc;
}

/* A landscape of so many nets. */
static landscape begin_test(const char *options, int nets) {
    const rn_desc desc = small_net(options);
    landscape l;
    int i;
    memset(&l, 0, sizeof l);
    l.m = make_measurement("landscape_out", 0);
    l.m.recipe.batch = 4;
    l.points = 3;
    l.range = 0.5;
    l.count = nets;
    for (i = 0; i < nets; i++) {
        l.nets[i].t = make_trainer(&desc, &l.m.recipe, RN_INFERENCE, &noise);
        net_draw(l.nets[i].t.net, (uint64_t)(7 + i));
        make_directions(&l, &l.nets[i]);
    }
    return l;
}

static void end_test(landscape *l) {
    int i, k;
    for (i = 0; i < l->count; i++) {
        free_trainer(&l->nets[i].t);
        free(l->nets[i].centre);
        free(l->nets[i].losses);
        for (k = 0; k < 2; k++) free(l->nets[i].directions[k]);
    }
}

/* Of a filter: the norm of some numbers. */
static double norm_of(const rn_real *numbers, ptrdiff_t count) {
    double squares = 0;
    ptrdiff_t i;
    for (i = 0; i < count; i++) squares += (double)numbers[i] * (double)numbers[i];
    return sqrt(squares);
}

static void check_directions(const char *options) {
    landscape l = begin_test(options, 1);
    const rn_net *net = l.nets[0].t.net;
    const size_t bytes = (size_t)net->parameter_count * sizeof(rn_real);
    rn_real *other = (rn_real *)net_take(bytes);
    rn_parameter p = {0};
    int k, filter, weights = 0, others = 0;
    while (rn_next_parameter(net, &p)) {
        const ptrdiff_t size = p.count / p.shape[0];
        if (p.role == RN_RUNNING_MEAN || p.role == RN_RUNNING_VAR) continue;
        for (k = 0; k < 2; k++)
            for (filter = 0; filter < p.shape[0]; filter++) {
                const ptrdiff_t at = p.data - net->parameters + filter * size;
                const double own = norm_of(net->parameters + at, size);
                const double drawn = norm_of(l.nets[0].directions[k] + at, size);
                const int is_weight = p.role == RN_CONV_WEIGHT || p.role == RN_LINEAR_WEIGHT;
                CHECK_NEAR(drawn, is_weight ? own : 0, 1e-5 * own);
                weights += is_weight, others += !is_weight;
            }
    }
    CHECK(weights > 0 && others > 0);
    CHECK(memcmp(l.nets[0].directions[0], l.nets[0].directions[1], bytes) != 0);
    draw_direction(net, 0, 1, other);
    CHECK(!memcmp(other, l.nets[0].directions[1], bytes));
    draw_direction(net, 1, 1, other);
    CHECK(memcmp(other, l.nets[0].directions[1], bytes) != 0);
    free(other);
    end_test(&l);
}

/* Mean loss of a net over all images at once, without a trainer. */
static double loss_by_hand(const rn_net *net) {
    rn_real images[IMAGES * 84], logits[IMAGES * 4];
    int labels[IMAGES];
    rn_tensor z = rn_tensor_in(logits, IMAGES, 4, 1, 1);
    rn_result result = {0, 0};
    rn_error error;
    rn_net *whole = net_create(&net->desc, IMAGES, RN_INFERENCE);
    memcpy(whole->parameters, net->parameters, (size_t)net->parameter_count * sizeof(rn_real));
    memcpy(whole->statistics, net->statistics, (size_t)net->statistic_count * sizeof(rn_real));
    CHECK_INT(rn_batch(&noise, &net->desc, NULL, 0, 0, IMAGES, images, labels, &error), 0);
    CHECK_INT(rn_predict(whole, rn_workspace(whole), images, IMAGES, logits, &error), 0);
    CHECK_INT(rn_softmax_cross_entropy_forward(&result, &z, labels, NULL, &error), 0);
    rn_destroy(whole);
    return result.loss;
}

static void begin_files(landscape *l) {
    take_part(&l->images, &noise, 0);
    remove("landscape_out/landscape.csv");
    open_file(l);
}

static void end_files(landscape *l) {
    close_results(&l->results);
    remove("landscape_out/landscape.csv");
    remove("landscape_out/landscape.csv.old");
    remove("landscape_out");
}

static void check_surface(void) {
    landscape l = begin_test("", 1);
    surface *s = &l.nets[0];
    rn_net *net = s->t.net, *hand = net_create(&net->desc, 1, RN_INFERENCE);
    const size_t bytes = (size_t)net->parameter_count * sizeof(rn_real);
    ptrdiff_t i;
    begin_files(&l);
    CHECK_NEAR(l.at[0], -0.5, 0);
    CHECK_NEAR(l.at[1], 0, 0);
    CHECK_NEAR(l.at[2], 0.5, 0);
    CHECK(measure_surface(&l, 0));
    CHECK(!memcmp(net->parameters, s->centre, bytes));
    CHECK_NEAR(s->losses[4], loss_by_hand(net), 1e-6);
    memcpy(hand->statistics, net->statistics, (size_t)net->statistic_count * sizeof(rn_real));
    for (i = 0; i < net->parameter_count; i++) /* the corner at (0.5, -0.5) */
        hand->parameters[i] = (rn_real)((double)s->centre[i] + 0.5 * ((double)s->directions[0][i] -
                                                                      (double)s->directions[1][i]));
    CHECK_NEAR(s->losses[2], loss_by_hand(hand), 1e-6);
    CHECK(fabs(s->losses[2] - s->losses[4]) > 1e-3 && fabs(s->losses[2] - s->losses[6]) > 1e-3);
    rn_destroy(hand);
    end_files(&l);
    end_test(&l);
}

static void check_between(void) {
    landscape l = begin_test("", 2);
    const rn_desc *desc = &l.nets[0].t.net->desc;
    rn_desc other = *desc;
    CHECK(are_alike(desc, &other));
    other.seed = 9;
    CHECK(are_alike(desc, &other));
    other.shortcut = RN_SHORTCUT_SCALE;
    CHECK(!are_alike(desc, &other));
    begin_files(&l);
    CHECK(measure_between(&l));
    move_to(&l.nets[0], 0, 0);
    CHECK_NEAR(l.between[0], loss_by_hand(l.nets[0].t.net), 1e-6);
    CHECK_NEAR(l.between[2], loss_by_hand(l.nets[1].t.net), 1e-6);
    CHECK(fabs(l.between[1] - l.between[0]) > 1e-3);
    end_files(&l);
    end_test(&l);
}

/* ---- measured.h ------------------------------------------------------------------------------ */

/* Rows are found again, and a cut one goes; those of another run are put aside. */
static void check_results_kept(void) {
    results r = open_results("landscape_out", "landscape.csv", "run,a,b,c,d", 2, 5);
    double values[2] = {1 / 3.0, -1e-300}, found[2];
    FILE *file;
    add_result(&r, "x,1", values);
    add_result(&r, "x,2", values);
    close_results(&r);
    file = fopen("landscape_out/landscape.csv", "ab");
    CHECK(file != NULL);
    if (file) fprintf(file, "0000000000000005,x,3,1"), fclose(file);
    r = open_results("landscape_out", "landscape.csv", "run,a,b,c,d", 2, 5);
    CHECK_INT(r.count, 2);
    CHECK(find_result(&r, "x,2", found) && find_result(&r, "x,1", found));
    CHECK(!find_result(&r, "x,3", found) && !find_result(&r, "x", found));
    CHECK(!memcmp(found, values, sizeof found));
    CHECK_NEAR(found[0], 1 / 3.0, 1e-9);
    add_result(&r, "x,3", values);
    close_results(&r);
    r = open_results("landscape_out", "landscape.csv", "run,a,b,c,d", 2, 5);
    CHECK_INT(r.count, 3);
    close_results(&r);
    r = open_results("landscape_out", "landscape.csv", "run,a,b,c,d", 2, 6);
    CHECK_INT(r.count, 0);
    CHECK(is_there("landscape_out/landscape.csv.old"));
    close_results(&r);
    remove("landscape_out/landscape.csv");
    remove("landscape_out/landscape.csv.old");
    remove("landscape_out");
}

static int read_index(void *user, ptrdiff_t index, uint8_t *pixels, int *label) {
    (void)user;
    pixels[0] = (uint8_t)index;
    *label = 0;
    return 0;
}

static void check_part(void) {
    static const rn_source whole = {100, 1, 1, 1, 1, read_index, NULL};
    image_part part;
    uint8_t pixel;
    int label, i;
    take_part(&part, &whole, 8);
    CHECK_INT(part.source.count, 8);
    for (i = 0; i < 8; i++) {
        part.source.read(part.source.user, i, &pixel, &label);
        CHECK_INT(pixel, i * 100 / 8);
    }
    take_part(&part, &whole, 0);
    CHECK_INT(part.source.count, 100);
    take_part(&part, &whole, 1000);
    CHECK_INT(part.source.count, 100);
    part.source.read(part.source.user, 99, &pixel, &label);
    CHECK_INT(pixel, 99);
}

static void check_quantiles(void) {
    double values[] = {5, 1, 4, 2, 3};
    CHECK_NEAR(quantile(values, 5, 0.5), 3, 0);
    CHECK_NEAR(quantile(values, 5, 0), 1, 0);
    CHECK_NEAR(quantile(values, 5, 1), 5, 0);
    CHECK_NEAR(quantile(values, 4, 0.25), 1.75, 1e-12);
}

int main(void) {
    check_directions("");
    check_directions("order original conv_bias 1 resize B_bn block bottleneck");
    check_directions("shortcut highway norm group_norm norm_groups 3");
    check_surface();
    check_between();
    check_results_kept();
    check_part();
    check_quantiles();
    return test_end("landscape");
}
