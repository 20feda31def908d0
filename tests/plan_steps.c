/* plan_steps.c - planning takes no longer than n log n: the steps of the program (basic blocks,
   which the compiler is told to count) are counted for a deep net and for one four times as deep,
   with and without a budget. Where the compiler cannot count, the test says so and passes.

   cc -std=c99 -O1 -fsanitize-coverage=trace-pc -DCOUNTED -o plan_steps tests/plan_steps.c -lm */

#define RESNET_IMPLEMENTATION
#include "../resnet.h"
#include "test.h"

#if defined(__clang__)
#define UNCOUNTED __attribute__((no_sanitize("coverage")))
#elif defined(__GNUC__)
#define UNCOUNTED __attribute__((no_sanitize_coverage))
#else
#define UNCOUNTED
#endif

static double steps;

void __sanitizer_cov_trace_pc(void);
UNCOUNTED void __sanitizer_cov_trace_pc(void) { steps++; }

/* Steps that rn_bytes takes for a net of so many units a stage; *bytes gets its result. */
static double steps_of(rn_desc desc, int units, uint64_t budget, size_t *bytes) {
    rn_error error = {RN_OK, ""};
    desc.units[0] = desc.units[1] = desc.units[2] = units;
    desc.budget = budget;
    steps = 0;
    *bytes = rn_bytes(&desc, 32, RN_TRAINING, &error);
    if (!*bytes) fprintf(stderr, "%s\n", error.text);
    return steps;
}

int main(void) {
    static const rn_order orders[] = {RN_FULL_PREACT, RN_ORIGINAL, RN_BN_AFTER_ADD};
    enum { UNITS = 100, TIMES = 4 };
    const double most = 1.5 * TIMES; /* n n would be TIMES TIMES; log n adds a fifth at most */
    int i, naive;
    for (i = 0; i < 3; i++)
        for (naive = 0; naive < 2; naive++) {
            rn_desc desc;
            size_t few, many, least;
            double a, b;
            memset(&desc, 0, sizeof desc);
            desc.block = i ? RN_BOTTLENECK : RN_BASIC;
            desc.order = orders[i];
            desc.naive = naive;
            desc.base_width = 4;
            desc.height = desc.width = 8;
            a = steps_of(desc, UNITS, 0, &few);
            b = steps_of(desc, TIMES * UNITS, 0, &many);
            CHECK(few > 0 && many > few);
#ifdef COUNTED
            CHECK(a > UNITS);
            CHECK(b > a && b < most * a);
#endif
            a = steps_of(desc, UNITS, few / 10 * 7, &least);
            CHECK(least > 0 && least < few);
            b = steps_of(desc, TIMES * UNITS, many / 10 * 7, &least);
            CHECK(least > 0 && least < many);
#ifdef COUNTED /* the search halves the units: two plans more of each size of segment */
            CHECK(b > a && b < 1.5 * most * a);
#endif
            (void)a, (void)b, (void)most;
        }
#ifndef COUNTED
    printf("plan_steps: this compiler does not count steps\n");
#endif
    return test_end("plan_steps");
}
