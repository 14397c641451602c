/* check.h: the checks that all test programs share, and the loop that runs their tests. */
#ifndef RMON_TESTS_CHECK_H
#define RMON_TESTS_CHECK_H

#include <rmon.h>

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOOL_COUNT = 6, CHECK_SECONDS = 240, CHECK_MOST_FAILURES = 40 };

static int check_count;
static int check_failures;
static const char *check_test = "main";

/* Any thread may check. */
static inline int check_that(int good, const char *file, int line, const char *text)
{
    __atomic_fetch_add(&check_count, 1, __ATOMIC_RELAXED);
    if (!good) {
        fprintf(stderr, "%s:%d: in %s: %s\n", file, line, check_test, text);
        if (__atomic_add_fetch(&check_failures, 1, __ATOMIC_RELAXED) >= CHECK_MOST_FAILURES) {
            fprintf(stderr, "too many failures\n");
            _exit(1);
        }
    }
    return good;
}

static inline int check_equal(long long left, long long right, const char *file, int line, const char *text)
{
    int good = check_that(left == right, file, line, text);
    if (!good)
        fprintf(stderr, "    left %lld, right %lld\n", left, right);
    return good;
}

static inline int check_same_text(const char *left, const char *right, const char *file, int line, const char *text)
{
    int good = check_that(left != NULL && right != NULL && strcmp(left, right) == 0, file, line, text);
    if (!good)
        fprintf(stderr, "    left \"%s\", right \"%s\"\n", left ? left : "(NULL)", right ? right : "(NULL)");
    return good;
}

/* CHECK_EQ is for integers, CHECK_PTR for object pointers, CHECK_TEXT for strings. All give whether it held. */
#define CHECK(condition) check_that((condition) ? 1 : 0, __FILE__, __LINE__, #condition)
#define CHECK_EQ(left, right) \
    check_equal((long long)(left), (long long)(right), __FILE__, __LINE__, #left " == " #right)
#define CHECK_PTR(left, right) \
    check_that((const void *)(left) == (const void *)(right), __FILE__, __LINE__, #left " == " #right)
#define CHECK_TEXT(left, right) check_same_text((left), (right), __FILE__, __LINE__, #left " is " #right)

/* Frees all tool ids, and with them all events, callbacks, local events and disabled locations. To free an id that
   is not in use does nothing, so that callbacks registered for such an id would stay: each is used first. */
static inline void check_reset(void)
{
    int tool;
    for (tool = 0; tool < TOOL_COUNT; tool++) {
        int used = rmon_use_tool_id(tool, "reset");
        CHECK(used == RMON_OK || used == RMON_ERR_TOOL_IN_USE);
        CHECK_EQ(rmon_free_tool_id(tool), RMON_OK);
    }
    CHECK_EQ(rmon_synchronize(), RMON_OK);
}

static void check_too_slow(int number)
{
    static const char message[] = "a test did not end: ";
    (void)number;
    if (write(2, message, sizeof message - 1) < 0 || write(2, check_test, strlen(check_test)) < 0
        || write(2, "\n", 1) < 0)
        _exit(2);
    _exit(1);
}

/* Runs one test with a fresh library; a test that hangs ends the program. A test that leaves a destroy function for
   something on its stack resets the library itself before it returns. */
static inline void check_run(const char *name, void (*test)(void))
{
    check_test = name;
    signal(SIGALRM, check_too_slow);
    alarm(CHECK_SECONDS);
    check_reset();
    test();
    check_reset();
    alarm(0);
}

#define RUN(test) check_run(#test, test)

/* The result of main. */
static inline int check_result(void)
{
    if (check_failures != 0) {
        fprintf(stderr, "%d of %d checks failed\n", check_failures, check_count);
        return 1;
    }
    printf("%d checks\n", check_count);
    return 0;
}

/* How often to do something that is done often: RMON_TEST_PERCENT (default 100) of count, at least once. */
static inline int check_scaled(int count)
{
    const char *percent = getenv("RMON_TEST_PERCENT");
    long long scaled = percent != NULL ? (long long)count * atoi(percent) / 100 : count;
    return scaled < 1 ? 1 : (int)scaled;
}

#endif
