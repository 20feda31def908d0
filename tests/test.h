/* test.h - what the tests share: checks that print file, line and values when they fail and then go
   on, and the last line of every test. A test returns test_end("name") from main: 0 for success, as
   a program's exit code. */

#ifndef TEST_H
#define TEST_H

#include <math.h>
#include <stdio.h>
#include <string.h>

static int test_checks, test_failures;

/* Counts one check; nonzero if it failed and is to be printed: behind 30 they are only counted. */
static inline int test_failed(int passed, const char *file, int line) {
    test_checks++;
    if (passed || ++test_failures > 30) return 0;
    fprintf(stderr, "%s:%d: ", file, line);
    return 1;
}

static inline void test_int(const char *file, int line, const char *what, long long value,
                            long long expected) {
    if (test_failed(value == expected, file, line))
        fprintf(stderr, "%s is %lld and should be %lld\n", what, value, expected);
}

static inline void test_near(const char *file, int line, const char *what, double value,
                             double expected, double tolerance) {
    if (test_failed(fabs(value - expected) <= tolerance, file, line))
        fprintf(stderr, "%s is %.17g and should be %.17g within %g\n", what, value, expected,
                tolerance);
}

static inline void test_text(const char *file, int line, const char *text, const char *part) {
    if (test_failed(strstr(text, part) != NULL, file, line))
        fprintf(stderr, "\"%s\" should contain \"%s\"\n", text, part);
}

#define CHECK(condition)                                       \
    do {                                                       \
        if (test_failed((condition) != 0, __FILE__, __LINE__)) \
            fprintf(stderr, "%s\n", #condition);               \
    } while (0)
#define CHECK_INT(value, expected) \
    test_int(__FILE__, __LINE__, #value, (long long)(value), (long long)(expected))
#define CHECK_NEAR(value, expected, tolerance) \
    test_near(__FILE__, __LINE__, #value, (double)(value), (double)(expected), (double)(tolerance))
#define CHECK_TEXT(text, part) test_text(__FILE__, __LINE__, text, part)

/* The larger of two errors; NaN is the largest of all. */
static inline double worse(double a, double b) {
    if (isnan(a) || isnan(b)) return HUGE_VAL;
    return a > b ? a : b;
}

/* A test that checked nothing has failed. */
static inline int test_end(const char *name) {
    printf("%s: %d checks, %d failed\n", name, test_checks, test_failures);
    return test_failures != 0 || test_checks == 0;
}

#endif /* TEST_H */
