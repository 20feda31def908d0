/* paper.h - the figures of "Identity Mappings in Deep Residual Networks" (He, Zhang, Ren and Sun,
   2016): the rows of its Tables 1, 2 and 3, each with its net, to hold others against. */
#ifndef PAPER_H
#define PAPER_H

typedef struct paper_row {
    int table;
    int depth, classes; /* of the paper's net; 10 or 100: of CIFAR */
    const char *name; /* in the paper, of ResNet-110 and CIFAR-10 unless it says otherwise; without
                         commas */
    const char *published; /* test error in percent, median of five runs, or "fail"; "-": none */
    const char *fields;    /* of the description, see set_fields */
} paper_row;

/* The last two of Table 1 are not the paper's: highway networks (Srivastava et al. 2015) in their
   full form, where the gates of F and of the shortcut have weights of their own. Their biases are
   such that the units carry at first: -3 and 3 as their authors set them (there the carry gate is
   1 - T, and sigmoid(3) = 1 - sigmoid(-3)); with -1 and 6, 54 units together still carry 0.87. */
static const paper_row paper_rows[] = {
    {1, 110, 10, "identity", "6.61", "block=basic order=original"},
    {1, 110, 10, "scale 0", "fail",
     "block=basic order=original shortcut=scale shortcut_scale=0 residual_scale=1"},
    {1, 110, 10, "scale 0.5", "fail",
     "block=basic order=original shortcut=scale shortcut_scale=0.5 residual_scale=1"},
    {1, 110, 10, "scale 0.5 and F x 0.5", "12.35",
     "block=basic order=original shortcut=scale shortcut_scale=0.5 residual_scale=0.5"},
    {1, 110, 10, "exclusive gate bias 0", "fail",
     "block=basic order=original shortcut=exclusive_gate gate_bias=0"},
    {1, 110, 10, "exclusive gate bias -5", "fail",
     "block=basic order=original shortcut=exclusive_gate gate_bias=-5"},
    {1, 110, 10, "exclusive gate bias -6", "8.70",
     "block=basic order=original shortcut=exclusive_gate gate_bias=-6"},
    {1, 110, 10, "exclusive gate bias -7", "9.81",
     "block=basic order=original shortcut=exclusive_gate gate_bias=-7"},
    {1, 110, 10, "shortcut-only gate bias 0", "12.86",
     "block=basic order=original shortcut=shortcut_gate gate_bias=0"},
    {1, 110, 10, "shortcut-only gate bias -6", "6.91",
     "block=basic order=original shortcut=shortcut_gate gate_bias=-6"},
    {1, 110, 10, "1x1 convolution", "12.22", "block=basic order=original shortcut=conv1x1"},
    {1, 110, 10, "dropout 0.5", "fail", "block=basic order=original shortcut=dropout dropout=0.5"},
    {1, 110, 10, "highway gates bias -3 and 3", "-",
     "block=basic order=original shortcut=highway gate_bias=-3 carry_bias=3"},
    {1, 110, 10, "highway gates bias -1 and 6", "-",
     "block=basic order=original shortcut=highway gate_bias=-1 carry_bias=6"},
    {2, 110, 10, "original", "6.61", "block=basic order=original"},
    {2, 110, 10, "BN after addition", "8.17", "block=basic order=bn_after_add"},
    {2, 110, 10, "ReLU before addition", "7.84", "block=basic order=relu_before_add"},
    {2, 110, 10, "ReLU-only pre-activation", "6.71", "block=basic order=relu_preact"},
    {2, 110, 10, "full pre-activation", "6.37", "block=basic order=full_preact"},
    {2, 164, 10, "ResNet-164 original", "5.93", "block=bottleneck order=original"},
    {2, 164, 10, "ResNet-164 BN after addition", "6.50", "block=bottleneck order=bn_after_add"},
    {2, 164, 10, "ResNet-164 ReLU before addition", "6.14",
     "block=bottleneck order=relu_before_add"},
    {2, 164, 10, "ResNet-164 ReLU-only pre-act.", "5.91", "block=bottleneck order=relu_preact"},
    {2, 164, 10, "ResNet-164 full pre-activation", "5.46", "block=bottleneck order=full_preact"},
    {3, 110, 10, "1-layer units original", "9.90", "block=single order=original"},
    {3, 110, 10, "1-layer units pre-activation", "8.91", "block=single order=full_preact"},
    {3, 110, 10, "ResNet-110 original", "6.61", "block=basic order=original"},
    {3, 110, 10, "ResNet-110 pre-activation", "6.37", "block=basic order=full_preact"},
    {3, 164, 10, "ResNet-164 original", "5.93", "block=bottleneck order=original"},
    {3, 164, 10, "ResNet-164 pre-activation", "5.46", "block=bottleneck order=full_preact"},
    {3, 1001, 10, "ResNet-1001 original", "7.61", "block=bottleneck order=original"},
    {3, 1001, 10, "ResNet-1001 pre-activation", "4.92", "block=bottleneck order=full_preact"},
    {3, 164, 100, "CIFAR-100 ResNet-164 original", "25.16", "block=bottleneck order=original"},
    {3, 164, 100, "CIFAR-100 ResNet-164 pre-act.", "24.33", "block=bottleneck order=full_preact"},
    {3, 1001, 100, "CIFAR-100 ResNet-1001 original", "27.82", "block=bottleneck order=original"},
    {3, 1001, 100, "CIFAR-100 ResNet-1001 pre-act.", "22.71", "block=bottleneck order=full_preact"},
};
enum { PAPER_ROWS = (int)(sizeof paper_rows / sizeof paper_rows[0]) };

static const char *const paper_titles[] = {"shortcuts", "orders of activation", "units"};

#endif /* PAPER_H */
