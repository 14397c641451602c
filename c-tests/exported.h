/* exported.h: the library's exported functions by name, past what the header has inline. */
#ifndef RMON_TESTS_EXPORTED_H
#define RMON_TESTS_EXPORTED_H

#include "check.h"

#include <dlfcn.h>

/* Whether the library's symbols can be looked up; says so when not. */
static inline int exported_symbols_are_there(void)
{
    if (dlsym(dlopen(NULL, RTLD_LAZY), "rmon_version") != NULL)
        return 1;
    printf("SKIPPED: %s: the library is linked statically, so there are no symbols to look up\n", check_test);
    return 0;
}

/* Sets the function pointer that `pointer` points to; a missing symbol is a failed check. */
static inline int exported(const char *name, void *pointer)
{
    void *symbol = dlsym(dlopen(NULL, RTLD_LAZY), name);
    memcpy(pointer, &symbol, sizeof symbol);
    if (symbol == NULL)
        fprintf(stderr, "    not exported: %s\n", name);
    return CHECK(symbol != NULL);
}

#endif
