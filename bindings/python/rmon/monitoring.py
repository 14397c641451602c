"""The names of sys.monitoring (CPython 3.14's, on every version), for native code too.

On 3.12 and newer a tool that is claimed here is one of sys.monitoring's: it sees Python code and native code in one
stream. On 3.9 to 3.11 it sees native code.
"""

from rmon._rmon import (
    DISABLE,
    MISSING,
    _all_events,
    clear_tool_id,
    events,
    free_tool_id,
    get_events,
    get_local_events,
    get_tool,
    register_callback,
    restart_events,
    set_events,
    set_local_events,
    use_tool_id,
)

__all__ = [
    "COVERAGE_ID",
    "DEBUGGER_ID",
    "DISABLE",
    "MISSING",
    "OPTIMIZER_ID",
    "PROFILER_ID",
    "_all_events",
    "clear_tool_id",
    "events",
    "free_tool_id",
    "get_events",
    "get_local_events",
    "get_tool",
    "register_callback",
    "restart_events",
    "set_events",
    "set_local_events",
    "use_tool_id",
]

DEBUGGER_ID = 0
COVERAGE_ID = 1
PROFILER_ID = 2
OPTIMIZER_ID = 5
