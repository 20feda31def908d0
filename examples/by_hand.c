/* by_hand.c - one convolution with all its numbers: an image, a filter that answers to vertical
   edges, what comes out, one number of it summed by hand, and the gradient by the filter, as the
   layer computes it and as a difference of two losses.

   cc -O2 -o examples/by_hand examples/by_hand.c -lm && examples/by_hand */

#define RESNET_REAL double
#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "plot.h"

enum { SIZE = 28, OUT = SIZE - 2 };
static double image[SIZE * SIZE], output[OUT * OUT], gradient[9];
static double filter[9] = {-1, 0, 1, -2, 0, 2, -1, 0, 1}; /* Sobel's: right less left */

static void print_numbers(const char *title, const double *numbers, int side) {
    printf("\n%s, in tenths:\n", title);
    for (int i = 0; i < side * side; i++)
        printf("%3d%s", (int)lround(10 * numbers[i]), (i + 1) % side ? "" : "\n");
}

static void draw(plot *p, const char *title, const char *quantity, const double *numbers,
                 int side) {
    const plot_axis column = {"column", 0, 0, side - 1}, row = {"row", 0, side - 1, 0};
    plot_panel(p, title, column, row);
    plot_heat(p, numbers, side, side, quantity, 0);
}

/* Forward, and the loss L = 1/2 sum of y^2, whose gradient by y is y. */
static double loss(rn_tensor *y, const rn_tensor *x, const rn_tensor *f) {
    double sum = 0;
    rn_conv2d_naive_forward(y, x, f, NULL, 1, 0, NULL);
    for (int i = 0; i < OUT * OUT; i++) sum += output[i] * output[i] / 2;
    return sum;
}

int main(int argc, char **argv) {
    const char *path = argc > 2 ? argv[2] : "by_hand.svg";
    const char *const files[] = {"examples/data/t10k-images-idx3-ubyte",
                                 "examples/data/t10k-labels-idx1-ubyte"};
    rn_tensor x = rn_tensor_in(image, 1, 1, SIZE, SIZE), y = rn_tensor_in(output, 1, 1, OUT, OUT);
    rn_tensor f = rn_tensor_in(filter, 1, 1, 3, 3), df = rn_tensor_in(gradient, 1, 1, 3, 3);
    const double h = 1e-3; /* of the differences */
    double sum = 0;
    int label, at = 0; /* the strongest answer */
    char *end = NULL;
    const long number = argc > 1 ? strtol(argv[1], &end, 10) : 0; /* the image's */
    rn_desc desc = rn_cifar(8);
    rn_error error;
    rn_data data;
    plot *p;
    if (argc > 3 || (end && (*end || end == argv[1] || number < 0 || number > INT_MAX)))
        return puts(
                   "usage: by_hand [IMAGE [PICTURE.svg]]\n\nConvolves one of the 2,000 test images "
                   "in examples/data, in numbers."),
               strcmp(argv[1], "--help") ? 2 : 0;
    desc.channels = 1,
    desc.height = desc.width = SIZE; /* mean 0, deviation 1: pixels from 0 to 1 */
    if (rn_load_idx(&data, files[0], files[1], 10, NULL, NULL, &error) ||
        rn_resolve(&desc, &error) ||
        rn_batch(&data.source, &desc, NULL, 0, (ptrdiff_t)number, 1, image, &label, &error))
        return fprintf(stderr, "by_hand: %s\n", error.text), 1;
    loss(&y, &x, &f);
    print_numbers("The image", image, SIZE);
    print_numbers("What the filter makes of it", output, OUT);
    for (int i = 0; i < OUT * OUT; i++) at = fabs(output[i]) > fabs(output[at]) ? i : at;
    printf("\nIts strongest answer, row %d and column %d (both count from 0), by hand:\n", at / OUT,
           at % OUT);
    for (int i = 0; i < 9; i++) {
        const double pixel = image[(at / OUT + i / 3) * SIZE + at % OUT + i % 3];
        sum += pixel * filter[i];
        printf("  %.2f x %2.0f%s", pixel, filter[i], i % 3 < 2 ? "  +" : i < 8 ? "  +\n" : "\n");
    }
    printf("  = %.4f; the layer says %.4f\n", sum, output[at]);
    rn_conv2d_naive_backward(NULL, &df, NULL, &y, &x, &f, 1, 0, 0, NULL);
    p = plot_begin("One convolution", 3);
    draw(p, "the image", "brightness", image, SIZE), draw(p, "the filter", "weight", filter, 3),
        draw(p, "what comes out", "answer", output, OUT);
    printf("\nThe gradient of L = 1/2 sum y^2 by the filter's nine weights w:\n"
           "       w   backward   (L(w + h) - L(w - h)) / 2h, h = 0.001\n");
    for (int i = 0; i < 9; i++) {
        const double w = filter[i];
        double more, less;
        filter[i] = w + h, more = loss(&y, &x, &f);
        filter[i] = w - h, less = loss(&y, &x, &f);
        filter[i] = w;
        printf("  %6.0f %10.4f %10.4f\n", w, gradient[i], (more - less) / (2 * h));
    }
    rn_data_free(&data);
    return plot_save(p, path) ? perror(path), 1 : (printf("\npicture: %s\n", path), 0);
}
