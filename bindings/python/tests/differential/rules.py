"""Where rmon differs from CPython's own implementation of its Monitoring C API, by contract: every difference that
the tests allow is here, under a name. The texts are those of README.md, "Differences from CPython", which a test
compares."""

from __future__ import annotations

#: What model.py asks about.
RULES = {
    "location": """`DISABLE` disables that location (code and offset, or code and line) for that tool, and lasts until
        `restart_events`, whatever other tools do. CPython clears one state, and any change brings it back.""",
    "local events": """`set_local_events` works for every code, also from inside the callback of the very invocation
        that it is to affect. CPython ignores or refuses it for look-alikes.""",
    "at once": """Events that are switched off and callbacks that are removed stop at once, in scopes that were entered
        before. CPython's scopes notice when they are entered again.""",
    "nested": "A fire from inside a callback is suppressed. CPython recurses.",
    "in flight": """An exception in flight survives every callback, and a callback's own error has it as its context. In
        CPython the error replaces it, and events other than those of exceptions must not be fired with one.""",
    "ancillary": """C_RETURN and C_RAISE follow CALL and carry its callable and argument. In CPython they never
        fire.""",
    "branch": """BRANCH works in both directions and under either numbering. On CPython 3.13 there are no directions,
        and from 3.14 on no BRANCH for look-alikes.""",
    "null": """NULL for a value is `None`, for a callable or an argument `MISSING`, for a target -1; hostile offsets and
        unknown events give an error. In CPython some of them crash.""",
    "stop iteration": "A STOP_ITERATION value that is a tuple is not spread.",
    "replaced": """A callback that answers `DISABLE` where there is nothing to disable is removed, but not one that it
        has put in its own place. CPython removes whichever is there.""",
    "free clears": """Freeing a tool id clears it, and there is `clear_tool_id`, on every version; in CPython since
        3.14.""",
}

#: What is put right of Cython's events, and is not CPython's to do.
CYTHON_RULES = {
    "stop iteration without one": """A `StopIteration` that Cython raises from `__next__` without setting it reaches
        tools as a `StopIteration`. With CPython's own API the fire fails and breaks the program.""",
}


def in_one_line(text: str) -> str:
    return " ".join(text.split())
