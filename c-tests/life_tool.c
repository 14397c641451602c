/* life_tool.c: a plug-in for life.c: a tool that is unloaded after it has removed itself. It has two functions,
   `life_tool_opens` and `life_tool_closes`; what it hears it counts where the program says. */
#include <rmon.h>

enum { TOOL = 4 };

int life_tool_opens(int *heard);
int life_tool_closes(void);

static int hear(void *user_data, const rmon_event *event)
{
    (void)event;
    __atomic_add_fetch((int *)user_data, 1, __ATOMIC_SEQ_CST);
    return RMON_CONTINUE;
}

static void forget(void *user_data)
{
    (void)user_data; /* but the function lies in what is unloaded */
}

int life_tool_opens(int *heard)
{
    if (rmon_use_tool_id(TOOL, "a plug-in") != RMON_OK)
        return -1;
    if (rmon_register_callback(TOOL, RMON_EVENT_LINE, hear, heard, forget) != RMON_OK)
        return -1;
    return rmon_set_events(TOOL, RMON_EVENT_SET(RMON_EVENT_LINE));
}

/* After this no thread is in `hear`, and `forget` has run. */
int life_tool_closes(void)
{
    int status = rmon_free_tool_id(TOOL);
    return status != RMON_OK ? status : rmon_synchronize();
}
