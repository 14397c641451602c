/* lazy.h: what the programs about lazy attach share with their plug-ins, and how they load those. A plug-in is an
   emitter that is not linked with librmon; each has one symbol, `lazy_emitter`. */
#ifndef RMON_TESTS_LAZY_H
#define RMON_TESTS_LAZY_H

#include "check.h"

#include <dlfcn.h>
#include <limits.h>

struct lazy_emitter {
    rmon_slot *slot;
    int (*run)(int lines);         /* enters the static scope, which all threads share, and fires LINE so often */
    int (*run_on_stack)(int lines); /* the same with a scope on the stack */
    int (*enter)(void);            /* only enters the static scope */
    int (*fire)(void);             /* fires one LINE in the static scope, whatever its state says */
    void (*clear)(void);           /* clears the static scope's states, and leaves its version */
    int (*fire_garbage)(void);     /* fires every event with states that were never zeroed nor entered */
    int (*second)(int lines);      /* as run, in another unit of the plug-in, with a slot of its own */
    rmon_slot *(*second_slot)(void);
    void *(*code_new)(void);       /* a new code; NULL while asleep */
    void (*code_retain)(void *code);
    void (*code_release)(void *code);
    int (*set_host)(const rmon_host *host);
    int (*ask)(int *answers);      /* calls all other functions; how many, of them how many gave what a sleeper gives */
};

/* "FOLDER/PROGRAM.NAME.so": where the plug-ins of this program are. */
static inline void lazy_path(char *path, size_t size, const char *name)
{
    char exe[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[length > 0 ? length : 0] = '\0';
    if (snprintf(path, size, "%s.%s.so", exe, name) >= (int)size)
        path[0] = '\0';
}

static inline int lazy_copy(const char *from, const char *to)
{
    char buffer[65536];
    size_t length;
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    int good = in != NULL && out != NULL;
    while (good && (length = fread(buffer, 1, sizeof buffer, in)) > 0)
        good = fwrite(buffer, 1, length, out) == length;
    if (in != NULL)
        fclose(in);
    if (out != NULL)
        good = fclose(out) == 0 && good;
    return good;
}

/* A path that nothing else has. The file is there, and empty. */
static inline void lazy_new_file(char *path, size_t size)
{
    const char *folder = getenv("TMPDIR");
    int file;
    snprintf(path, size, "%s/rmon-lazy-XXXXXX", folder != NULL ? folder : "/tmp");
    file = mkstemp(path);
    if (!CHECK(file >= 0))
        _exit(1);
    close(file);
}

/* Loads a copy of the plug-in, which shares nothing with the other copies. */
static inline void *lazy_load(const char *name)
{
    char path[PATH_MAX], copy[PATH_MAX];
    void *handle;
    lazy_path(path, sizeof path, name);
    lazy_new_file(copy, sizeof copy);
    CHECK(lazy_copy(path, copy));
    handle = dlopen(copy, RTLD_NOW | RTLD_LOCAL);
    if (!CHECK(handle != NULL)) {
        fprintf(stderr, "    %s\n", dlerror());
        _exit(1);
    }
    unlink(copy);
    return handle;
}

static inline const struct lazy_emitter *lazy_emitter_of(void *handle)
{
    const struct lazy_emitter *emitter = (const struct lazy_emitter *)dlsym(handle, "lazy_emitter");
    if (!CHECK(emitter != NULL))
        _exit(1);
    return emitter;
}

static inline const struct lazy_emitter *lazy_load_emitter(void)
{
    return lazy_emitter_of(lazy_load("lazy_emitter"));
}

#endif
