/* The locks: what of the interpreters' one thread at a time may read or change, and how a fork finds it.
 *
 * The first is for what is kept for the process; all builds have it. The others are for builds without a GIL.
 */
#include "module.h"

#include <pthread.h>
#include <time.h>

/* ---- The lock ---- */

/* Recursive: a destroy function of a native tool, which librmon may run under it, may come back here. */
static pthread_mutex_t mutex;
static int depth; /* how often its holder has it */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_lock(void)
{
    pthread_mutexattr_t attributes;
    depth = 0;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

/* Its holder may be waiting for the GIL, which a destroy function has given away. So nobody waits for the one while he
 * has the other. */
void locks_lock(void)
{
    while (pthread_mutex_trylock(&mutex) != 0) {
        PyThreadState *thread = rmon_python_attached() != NULL ? PyEval_SaveThread() : NULL;
        pthread_mutex_lock(&mutex);
        pthread_mutex_unlock(&mutex);
        if (thread != NULL)
            PyEval_RestoreThread(thread);
    }
    depth++;
}

void locks_unlock(void)
{
    depth--;
    pthread_mutex_unlock(&mutex);
}

bool locks_is_nested(void)
{
    return depth > 1;
}

#ifdef Py_GIL_DISABLED
/* ---- One thread at a time ---- */

/* Taken before the other lock: who has only that one does not wait for this. Who waits is not attached, so that the
 * world can be stopped meanwhile. A thread that is stopped for good when Python ends may have one of these; then there
 * is one thread left, which does without. */
static pthread_mutex_t serial = PTHREAD_MUTEX_INITIALIZER, stand_ins = PTHREAD_MUTEX_INITIALIZER;
static __thread int serialised; /* how often this thread is */
static __thread bool has_serial;

/* False: this is the last thread. */
static bool take(pthread_mutex_t *which)
{
    PyThreadState *thread;
    if (pthread_mutex_trylock(which) == 0)
        return true;
    if (Py_IsFinalizing())
        return false;
    thread = PyEval_SaveThread();
    pthread_mutex_lock(which);
    PyEval_RestoreThread(thread);
    return true;
}

void locks_serialise(void)
{
    if (serialised++ == 0)
        has_serial = take(&serial);
}

static void let_go(void)
{
    serialised = 0;
    if (has_serial)
        pthread_mutex_unlock(&serial);
    has_serial = false;
}

bool locks_serialise_end(void)
{
    if (serialised > 1) {
        serialised--;
        return false;
    }
    let_go();
    return true;
}

bool locks_is_serialised(void)
{
    return serialised > 0;
}

int locks_let_others(void)
{
    int times = serialised;
    if (times > 0)
        let_go();
    return times;
}

void locks_take_back(int times)
{
    if (times > 0)
        locks_serialise();
    serialised = times;
}

bool locks_take_stand_ins(void)
{
    return take(&stand_ins);
}

void locks_give_stand_ins(bool is_held)
{
    if (is_held)
        pthread_mutex_unlock(&stand_ins);
}

/* In the child of a fork. CPython forks while the world is stopped. So who was serialised wanted that, too, or waited
 * for the lock, and was between two changes; to wait for him would be in vain. */
static void renew_serial(void)
{
    pthread_mutex_init(&serial, NULL);
    pthread_mutex_init(&stand_ins, NULL);
    if (has_serial)
        pthread_mutex_lock(&serial);
}
#endif

/* ---- Fork ---- */

static __thread bool is_locked_for_fork;

/* Before fork: the child is to find all this whole. But the thread that forks usually has the GIL, and cannot give it
 * away here. So it does not wait for ever for who wants that in a destroy function, and is between two changes. */
static void lock_for_fork(void)
{
    enum { STEPS = 500 };
    const struct timespec step = {0, 1000000};
    bool got = pthread_mutex_trylock(&mutex) == 0;
    int i;
    for (i = 0; i < STEPS && !got; i++) {
        nanosleep(&step, NULL);
        got = pthread_mutex_trylock(&mutex) == 0;
    }
    is_locked_for_fork = got;
    if (got)
        depth++;
}

static void unlock_after_fork(void)
{
    if (is_locked_for_fork)
        locks_unlock();
}

/* How a mutex that is held survives in the child differs: it gets a new one. */
static void start_child(void)
{
    make_lock();
#ifdef Py_GIL_DISABLED
    renew_serial();
#endif
}

static void start_process(void)
{
    make_lock();
    pthread_atfork(lock_for_fork, unlock_after_fork, start_child);
}

void locks_init(void)
{
    pthread_once(&once, start_process);
}
