/* waiting.h: what programs with threads share: starting, joining, and waiting for a flag with an end to patience. */
#ifndef RMON_TESTS_WAITING_H
#define RMON_TESTS_WAITING_H

#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

enum { PATIENCE_MILLISECONDS = 60000 };

static inline void sleep_milliseconds(int milliseconds)
{
    struct timespec pause;
    pause.tv_sec = milliseconds / 1000;
    pause.tv_nsec = (long)(milliseconds % 1000) * 1000000;
    nanosleep(&pause, NULL);
}

static inline int flag_get(const int *flag)
{
    return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}

static inline void flag_set(int *flag, int value)
{
    __atomic_store_n(flag, value, __ATOMIC_SEQ_CST);
}

/* Waits until the flag is `value` or more; 0 when patience ended first. */
static inline int flag_reaches(const int *flag, int value)
{
    int waited;
    for (waited = 0; flag_get(flag) < value; waited++) {
        if (waited >= PATIENCE_MILLISECONDS)
            return 0;
        sleep_milliseconds(1);
    }
    return 1;
}

static inline pthread_t thread_start(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, argument) != 0) {
        fprintf(stderr, "no more threads\n");
        _exit(1);
    }
    return thread;
}

static inline void thread_join(pthread_t thread)
{
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

#endif
