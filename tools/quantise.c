#define _DEFAULT_SOURCE
#define RESNET_IMPLEMENTATION
#include "quantise.h"
int main(int argc, char **argv) {
    rn_error error; rn_desc desc; rn_data train, test; 
    quantisation how = default_quantisation();
    (void)argc;
    rn_net *rn = rn_create_from(NULL, 1, RN_INFERENCE, argv[1], NULL, &large_pages, &error);
    if (!rn) quit(1, "%s", error.text);
    desc = rn->desc;
    open_data(&train, CIFAR10, argv[2], 1, 10); open_data(&test, CIFAR10, argv[2], 0, 10);
    int tests = argc > 3 ? atoi(argv[3]) : 1000;
    if (argc > 4) how.ranges = atoi(argv[4]);
    if (argc > 5) how.percentile = atof(argv[5]);
    lowered net = lower_net(rn);
    double t = seconds_now();
    quantise(&net, &train.source, &how);
    printf("calibrated in %.1f s\n", seconds_now() - t); t = seconds_now();
    evaluator e = make_evaluator(&net, how.threads);
    accuracy a = measure_accuracy(&e, &test.source, tests);
    printf("%d images: float %.2f int8 %.2f same %.2f in %.1f s\n", a.images, 100.0 * a.right / a.images, 100.0 * a.right_integers / a.images, 100.0 * a.same / a.images, seconds_now() - t);
    if (getenv("DUMP")) for (int i = 0; i < net.count; i++) printf("%3d %d %-28s wide %d scale %g zero %d inputs %d %d\n", i, net.layers[i].kind, net.layers[i].name, net.layers[i].q.wide, (double)net.layers[i].q.scale, net.layers[i].q.zero_point, net.layers[i].inputs[0], net.layers[i].inputs[1]);
    return 0;
}
