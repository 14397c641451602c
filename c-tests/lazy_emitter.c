/* A plug-in that attaches lazily: the first of its two units. See lazy.h. */
#define _GNU_SOURCE
#define RMON_LAZY
#include "lazy.h"

int lazy_second_run(int lines);
rmon_slot *lazy_second_slot(void);

static const uint8_t types[] = {RMON_EVENT_LINE, RMON_EVENT_PY_START};
static rmon_state states[2];
static uint64_t version;

static int enter(void)
{
    return rmon_enter_scope(states, &version, types, 2);
}

static int fire(void)
{
    return rmon_fire_line_slow(&states[0], states, 0, 1);
}

static void clear(void)
{
    states[0].active = states[1].active = 0;
}

static int run(int lines)
{
    int line, status = enter();
    for (line = 1; line <= lines && status == RMON_OK; line++)
        status = rmon_fire_line(&states[0], states, line, line);
    return status;
}

static int run_on_stack(int lines)
{
    rmon_state mine[2] = {{0, 0}, {0, 0}};
    uint64_t its_version = 0;
    int line, status = rmon_enter_scope(mine, &its_version, types, 2);
    for (line = 1; line <= lines && status == RMON_OK; line++)
        status = rmon_fire_line(&mine[0], states, line, line);
    return status;
}

static int fire_garbage(void)
{
    rmon_state garbage[RMON_EVENT_COUNT];
    int code, status = 0;
    memset(garbage, 0xa5, sizeof garbage);
    status |= rmon_fire_py_start(&garbage[0], &code, 0);
    status |= rmon_fire_py_resume(&garbage[1], &code, 0);
    status |= rmon_fire_py_return(&garbage[2], &code, 0, NULL);
    status |= rmon_fire_py_yield(&garbage[3], &code, 0, NULL);
    status |= rmon_fire_call(&garbage[4], &code, 0, NULL, NULL);
    status |= rmon_fire_line(&garbage[5], &code, 0, 1);
    status |= rmon_fire_instruction(&garbage[6], &code, 0);
    status |= rmon_fire_jump(&garbage[7], &code, 0, 1);
    status |= rmon_fire_branch_left(&garbage[8], &code, 0, 1);
    status |= rmon_fire_branch_right(&garbage[9], &code, 0, 1);
    status |= rmon_fire_branch(&garbage[18], &code, 0, 1);
    status |= rmon_fire_stop_iteration(&garbage[10], &code, 0, NULL);
    status |= rmon_fire_raise(&garbage[11], &code, 0, NULL);
    status |= rmon_fire_exception_handled(&garbage[12], &code, 0, NULL);
    status |= rmon_fire_py_unwind(&garbage[13], &code, 0, NULL);
    status |= rmon_fire_py_throw(&garbage[14], &code, 0, NULL);
    status |= rmon_fire_reraise(&garbage[15], &code, 0, NULL);
    status |= rmon_fire_c_return(&garbage[16], &code, 0, NULL, NULL);
    status |= rmon_fire_c_raise(&garbage[17], &code, 0, NULL, NULL);
    return status;
}

static void *code_new(void)
{
    rmon_code_info info = {sizeof info, 7, "lazy", NULL, "lazy.c", NULL, 0};
    return rmon_code_new(&info);
}

static void code_retain(void *code)
{
    rmon_code_retain(code);
}

static void code_release(void *code)
{
    rmon_code_release(code);
}

static int set_host(const rmon_host *host)
{
    return rmon_set_host(host);
}

static int ask(int *answers)
{
    int asleep = 0;
    asleep += rmon_version_number() == 0;
    asleep += rmon_version() == NULL;
    asleep += rmon_event_name(RMON_EVENT_LINE) == NULL;
    asleep += rmon_status_message(RMON_ERR_NULL) == NULL;
    asleep += rmon_host_note() == NULL;
    asleep += rmon_code_forget(NULL) == RMON_OK;
    asleep += rmon_set_host(NULL) == RMON_OK; /* as awake */
    *answers = 7;
    return asleep;
}

const struct lazy_emitter lazy_emitter = {
    &rmon_priv_slot, run,         run_on_stack, enter,    fire, clear, fire_garbage, lazy_second_run, lazy_second_slot,
    code_new,        code_retain, code_release, set_host, ask,
};
