"""Lists of operations on tools, scopes and events, as data, and a strategy of hypothesis that makes them up.

An operation is a tuple that begins with its name:

    use TOOL NAME, free TOOL, clear TOOL, get_tool TOOL
    register TOOL EVENT BEHAVIOUR     None unregisters
    set_events TOOL EVENTS, get_events TOOL, restart
    set_local_events TOOL CODE EVENTS, get_local_events TOOL CODE
    die CODE                          and another takes its place
    enter SCOPE, exit SCOPE
    fire SCOPE STATE CODE OFFSET FIRST SECOND LINE PENDING

Tools, and what stands for events, may be wrong. EVENTS is a tuple of names, or a wrong value. A behaviour is
(ANSWER, OPERATIONS): what a callback does the first two times that it is called, and what it answers then and later.
Values and exceptions are named by keys of VALUES and of EXCEPTIONS.

A list has one of two forms. In form "testing", the one that CPython's _testcapi knows, a code is a scope, the offset
of a fire is the index of a state, and an exception is raised only for the events of exceptions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

EXCEPTION_EVENTS = ("RAISE", "RERAISE", "EXCEPTION_HANDLED", "PY_UNWIND", "PY_THROW", "C_RAISE")
EVENTS = (
    *("LINE", "PY_START", "CALL", "PY_RETURN", "RAISE", "PY_YIELD", "PY_RESUME", "JUMP", "STOP_ITERATION"),
    *("BRANCH_LEFT", "BRANCH_RIGHT", "BRANCH", "C_RETURN", "C_RAISE", "RERAISE", "EXCEPTION_HANDLED", "PY_UNWIND"),
    "PY_THROW",
)
LOCAL = tuple(name for name in EVENTS if name not in (*EXCEPTION_EVENTS, "C_RETURN"))

VALUES: dict[str, Any] = {
    "None": None,
    "int": 5,
    "str": "x",
    "tuple": (1, 2),
    "empty": (),
    "len": len,
    "stop": StopIteration(3),
    "error": KeyError("a value"),
    "class": ValueError,
    "MISSING": "MISSING",
    "NULL": "NULL",
}
EXCEPTIONS: dict[str, BaseException] = {"ValueError": ValueError("pending"), "StopIteration": StopIteration("pending")}

CODES = 3
TIMES = 2  # a callback does its operations so often


@dataclass
class List:
    """The events of each scope's states, by name, and the operations."""

    form: str
    scopes: tuple[tuple[str, ...], ...]
    operations: tuple[Any, ...]


def fitted(form: str, scopes: Any, operation: Any, outer: Any = (1, "LINE")) -> Any:
    """An operation of which scopes and states are there, and which the form allows. `outer` is the tool and the event
    of the callback that does it."""
    kind = operation[0]
    if kind == "register" and operation[2] == "itself":
        operation = (kind, *outer, operation[3])
    if kind == "register" and operation[3] is not None:
        answer, inside = operation[3]
        return (*operation[:3], (answer, tuple(fitted(form, scopes, each, operation[1:3]) for each in inside)))
    if kind in ("enter", "exit"):
        return kind, operation[1] % len(scopes)
    if kind != "fire":
        return operation
    scope = operation[1] % len(scopes)
    state = operation[2] % len(scopes[scope])
    code, offset, first, second, line, pending = operation[3:]
    if form == "testing":
        code, offset = scope, state
        first, second = ("None" if value == "NULL" else value for value in (first, second))
        pending = pending if scopes[scope][state] in EXCEPTION_EVENTS else ""
    if pending == "" and scopes[scope][state] in EXCEPTION_EVENTS and line != 2:
        pending = "ValueError"  # mostly there is one
    return "fire", scope, state, code, offset, first, second, line, pending


def lists() -> Any:
    """The strategy."""
    from hypothesis import strategies as st

    def often(*groups: tuple[int, tuple[Any, ...]]) -> Any:
        """One of the values of the groups, which have weights."""
        return st.sampled_from([value for weight, values in groups for value in values * weight])

    def one(*strategies: tuple[int, Any]) -> Any:
        """What one of the strategies makes, which have weights."""
        chosen = [number for number, (weight, _) in enumerate(strategies) for _ in range(weight)]
        return st.sampled_from(chosen).flatmap(lambda number: strategies[number][1])

    tool = often((24, (1, 2)), (8, (5,)), (2, (0, 3, 4)), (1, (-1, 6, 2**31, "x")))
    event = often((12, ("LINE", "PY_START")), (8, EVENTS[2:5]), (4, EVENTS[5:]))
    event_argument = one((20, event), (1, st.sampled_from((0, 3, 1 << 25, 2**31, None))))
    wrong_set = st.sampled_from((-1, 1 << 25, 2**31, "x"))
    ends = st.just(("CALL", "C_RETURN", "C_RAISE"))
    some = st.lists(event, min_size=1, max_size=4, unique=True).map(tuple)
    everything = st.just(tuple(name for name in EVENTS if name[:2] != "C_"))
    event_set = one((4, some), (2, everything), (1, ends), (1, st.just(())), (1, wrong_set))
    local_set = one((2, some), (2, st.just(LOCAL)), (1, ends), (1, st.just(())), (1, wrong_set))
    code = often((4, (0,)), (1, (1, 2)))
    value = often((2, ("None", "int", "len")), (1, (*VALUES, "tuple", "tuple")))
    pending = often((6, ("",)), (1, tuple(EXCEPTIONS)))
    offset = often((10, (0,)), (4, (1, 2)), (1, (300, 2**31 - 1, -1)))
    line = often((10, (1,)), (4, (2,)), (1, (0, -5, 2**31 - 1)))
    scope = st.integers(0, 2)
    state = st.integers(0, 7)
    name = often((9, ("a tool",)), (1, ("", 5)))

    def calls(inside: Any, registered_for: Any) -> Any:
        """Operations; `inside` is the strategy of what callbacks do, `registered_for` that of their events."""
        answer = often((4, ("none",)), (4, ("disable",)), (1, ("value", "raise")))
        behaviour = st.tuples(answer, inside)
        fire = st.tuples(st.just("fire"), scope, state, code, offset, value, value, line, pending)
        registered = st.tuples(st.just("register"), tool, registered_for, one((5, behaviour), (1, st.none())))
        return one(
            (12, fire),
            (4, st.tuples(st.just("enter"), scope)),
            (5, registered),
            (4, st.tuples(st.just("set_events"), tool, event_set)),
            (2, st.tuples(st.just("set_local_events"), tool, code, local_set)),
            (2, st.tuples(st.just("use"), tool, name)),
            (1, st.tuples(st.just("free"), tool)),
            (1, st.tuples(st.just("clear"), tool)),
            (1, st.tuples(st.just("get_tool"), tool)),
            (1, st.tuples(st.just("get_events"), tool)),
            (1, st.tuples(st.just("get_local_events"), tool, code)),
            (1, st.tuples(st.just("restart"))),
            (1, st.tuples(st.just("die"), code)),
            (1, st.tuples(st.just("exit"), scope)),
        )

    def several(operation: Any, low: int, high: int) -> Any:
        return st.lists(operation, min_size=low, max_size=high).map(tuple)

    nothing: Any = st.just(())
    for_callbacks = one((1, event_argument), (1, st.just("itself")))
    deepest = several(calls(nothing, for_callbacks), 0, 2)
    inside = one((2, nothing), (1, several(calls(deepest, for_callbacks), 1, 3)))
    # A list begins with two tools that listen: most of what there is to see needs that.
    beginning = st.tuples(
        event_set,
        event_set,
        several(st.tuples(event, st.tuples(often((4, ("none",)), (3, ("disable",)), (1, ("raise",))), inside)), 2, 8),
    )

    def made(drawn: Any) -> List:
        form, scopes, (first, second, registered), operations = drawn
        names = [name for name, _ in registered]
        scopes = tuple(tuple(names[at % len(names)] if isinstance(at, int) else at for at in types) for types in scopes)
        if form == "testing":
            scopes = tuple(types[:2] for types in scopes)  # _testcapi has no more
        begin: list[Any] = [("use", 1, "one"), ("use", 2, "two")]
        for number, (event_name, behaviour) in enumerate(registered):
            begin.append(("register", 1 + number % 2, event_name, behaviour))
        begin += [("set_events", 1, first), ("set_events", 2, second)]
        begin += [("enter", number) for number in range(len(scopes))]
        return List(form, scopes, tuple(fitted(form, scopes, operation) for operation in (*begin, *operations)))

    # Mostly there is somebody who listens: a number stands for one of the events that callbacks are registered for.
    scopes = several(several(one((4, st.integers(0, 7)), (1, event)), 1, 6), 1, 3)
    form = st.sampled_from(("whole", "whole", "testing"))
    return st.tuples(form, scopes, beginning, several(calls(inside, event_argument), 8, 40)).map(made)
