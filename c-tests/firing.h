/* firing.h: every fire function behind one call, the header's by default, the library's exported ones on request. */
#ifndef RMON_TESTS_FIRING_H
#define RMON_TESTS_FIRING_H

#include "exported.h"

enum fire_shape { FIRE_PLAIN, FIRE_OBJECT, FIRE_PAIR, FIRE_NUMBER };

struct fire_function {
    const char *name;
    enum fire_shape shape;
    int (*plain)(rmon_state *state, void *code, int32_t offset);
    int (*object)(rmon_state *state, void *code, int32_t offset, void *object);
    int (*pair)(rmon_state *state, void *code, int32_t offset, void *callable, void *arg0);
    int (*number)(rmon_state *state, void *code, int32_t offset, int32_t line_or_target);
};

#define FIRES_PLAIN(name) {#name, FIRE_PLAIN, name, NULL, NULL, NULL}
#define FIRES_OBJECT(name) {#name, FIRE_OBJECT, NULL, name, NULL, NULL}
#define FIRES_PAIR(name) {#name, FIRE_PAIR, NULL, NULL, name, NULL}
#define FIRES_NUMBER(name) {#name, FIRE_NUMBER, NULL, NULL, NULL, name}

/* By event number. */
static const struct fire_function header_fires[RMON_EVENT_COUNT] = {
    FIRES_PLAIN(rmon_fire_py_start),
    FIRES_PLAIN(rmon_fire_py_resume),
    FIRES_OBJECT(rmon_fire_py_return),
    FIRES_OBJECT(rmon_fire_py_yield),
    FIRES_PAIR(rmon_fire_call),
    FIRES_NUMBER(rmon_fire_line),
    FIRES_PLAIN(rmon_fire_instruction),
    FIRES_NUMBER(rmon_fire_jump),
    FIRES_NUMBER(rmon_fire_branch_left),
    FIRES_NUMBER(rmon_fire_branch_right),
    FIRES_OBJECT(rmon_fire_stop_iteration),
    FIRES_OBJECT(rmon_fire_raise),
    FIRES_OBJECT(rmon_fire_exception_handled),
    FIRES_OBJECT(rmon_fire_py_unwind),
    FIRES_OBJECT(rmon_fire_py_throw),
    FIRES_OBJECT(rmon_fire_reraise),
    FIRES_PAIR(rmon_fire_c_return),
    FIRES_PAIR(rmon_fire_c_raise),
    FIRES_NUMBER(rmon_fire_branch),
};

/* What a fire has beyond state, code and offset; each event takes what it has use for. */
struct fire_values {
    void *object;       /* value, callable or exception */
    void *arg0;
    int32_t number;     /* line or target offset */
};

static inline int fire_by(const struct fire_function *function, rmon_state *state, void *code, int32_t offset,
                          struct fire_values values)
{
    switch (function->shape) {
    case FIRE_PLAIN:
        return function->plain(state, code, offset);
    case FIRE_OBJECT:
        return function->object(state, code, offset, values.object);
    case FIRE_PAIR:
        return function->pair(state, code, offset, values.object, values.arg0);
    case FIRE_NUMBER:
        return function->number(state, code, offset, values.number);
    }
    return RMON_ERR_INTERNAL;
}

/* Fires without values: NULL objects, and a line or target that tells the offset. */
static inline int fire(int event, rmon_state *state, void *code, int32_t offset)
{
    struct fire_values values = {NULL, NULL, 0};
    values.number = offset;
    return fire_by(&header_fires[event], state, code, offset, values);
}

/* The same table from the library's symbols; 0 when there are none. */
static inline int library_fires(struct fire_function functions[RMON_EVENT_COUNT])
{
    int event, good = exported_symbols_are_there();
    for (event = 0; good && event < RMON_EVENT_COUNT; event++) {
        struct fire_function *function = &functions[event];
        *function = header_fires[event];
        switch (function->shape) {
        case FIRE_PLAIN:
            good = exported(function->name, &function->plain);
            break;
        case FIRE_OBJECT:
            good = exported(function->name, &function->object);
            break;
        case FIRE_PAIR:
            good = exported(function->name, &function->pair);
            break;
        case FIRE_NUMBER:
            good = exported(function->name, &function->number);
            break;
        }
    }
    return good;
}

#endif
