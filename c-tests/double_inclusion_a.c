/* double_inclusion_a.c: rmon.h may be included twice, and in many units (with double_inclusion_b.c). */
#include "double_inclusion.h"
#include "double_inclusion.h"
#include "listener.h"
#include <rmon.h>

static char code;

static void units_share_tools_and_states(void)
{
    static const uint8_t types[] = {RMON_EVENT_PY_START, RMON_EVENT_LINE};
    rmon_state states[2] = {{0, 0}, {0, 0}};
    uint64_t version = 0, before;
    struct listener listener = {0};
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    CHECK_EQ(enter_in_b(states, &version, types, 2), RMON_OK);
    before = version;
    CHECK_EQ(rmon_enter_scope(states, &version, types, 2), RMON_OK);
    CHECK_EQ(version, before);
    CHECK_EQ(rmon_fire_line(&states[1], &code, 1, 10), RMON_OK);
    CHECK_EQ(listener.last.line, 10);
    CHECK_EQ(fire_in_b(&states[1], &code), RMON_OK);
    CHECK_EQ(listener.last.line, 20);
    CHECK_EQ(fire_line_of_b()(&states[1], &code, 1, 30), RMON_OK);
    CHECK_EQ(listener.last.line, 30);
    CHECK_EQ(listener.calls, 3);
    CHECK_EQ(rmon_exit_scope(), RMON_OK);
}

int main(void)
{
    RUN(units_share_tools_and_states);
    return check_result();
}
