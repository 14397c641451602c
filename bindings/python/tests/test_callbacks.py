"""What callbacks get, when they are called, and what their answers do, for events of look-alikes.

The first part is the contract's list of points where rmon is better than CPython's own implementation. Each point is a
function that takes the two interfaces, the tools' (sys.monitoring, rmon.monitoring) and the emitter's (_testcapi,
rmon.testing). It must succeed with rmon's, and, where the interpreter has an implementation of its own, fail with
that one: otherwise the point is not a difference, and README should not say so.
"""

from __future__ import annotations

import gc
import sys
import types
from typing import Any, Callable, NamedTuple

TOOL, LOWER, HIGHER = 3, 1, 5


# ---- The points of the contract ----


class Interface(NamedTuple):
    M: Any  # the tools'
    T: Any  # the emitter's

    def number(self, event: str) -> int:
        value: int = getattr(self.M.events, event)
        return value.bit_length() - 1

    def use(self, tool: int, **callbacks: Callable[..., Any]) -> None:
        """A tool with global events, and a callback for each."""
        if self.M.get_tool(tool) is None:
            self.M.use_tool_id(tool, f"tool {tool}")
        chosen = self.M.get_events(tool)
        for event, function in callbacks.items():
            self.M.register_callback(tool, getattr(self.M.events, event), function)
            if event not in ("C_RETURN", "C_RAISE"):
                chosen |= getattr(self.M.events, event)
        self.M.set_events(tool, chosen)

    def enter(self, code: Any, *events: str) -> None:
        self.T.monitoring_enter_scope(code, *(self.number(event) for event in events))


def recorder(of: Any, log: list[Any], answer: Any = None) -> Callable[..., Any]:
    """A callback for one code. Since 3.12 tools are told of the test's own code too."""

    def record(code: Any, *args: Any) -> Any:
        if code is of:
            log.append(args)
            return answer
        return None

    return record


def nothing(*args: Any) -> None: ...


def disabling_one_line_leaves_the_others(x: Interface) -> None:
    code, log = x.T.CodeLike(1), []
    x.use(TOOL, LINE=recorder(code, log, x.M.DISABLE))
    x.enter(code, "LINE")
    for line in (1, 2, 1, 2, 3):
        x.T.fire_event_line(code, 0, line)
    assert log == [(1,), (2,), (3,)], log


def disabling_holds_in_the_next_scope(x: Interface) -> None:
    code, log = x.T.CodeLike(2), []
    x.use(TOOL, JUMP=recorder(code, log, x.M.DISABLE))
    for _ in range(2):
        x.T.monitoring_exit_scope()
        x.enter(code, "JUMP", "JUMP")
        x.T.fire_event_jump(code, 0, 8)
        x.use(LOWER, PY_START=nothing)  # CPython's version of the tools goes up
        x.M.set_events(LOWER, 0)
    assert log == [(0, 8)], log
    x.T.fire_event_jump(code, 1, 8)
    assert log == [(0, 8), (1, 8)], log


def disabling_ends_with_restart_events_only(x: Interface) -> None:
    code, log = x.T.CodeLike(1), []
    x.use(TOOL, PY_YIELD=recorder(code, log, x.M.DISABLE))
    x.enter(code, "PY_YIELD")
    x.T.fire_event_py_yield(code, 0, 1)
    x.use(HIGHER, LINE=nothing)
    x.enter(code, "PY_YIELD")
    x.T.fire_event_py_yield(code, 0, 2)
    x.M.restart_events()
    x.enter(code, "PY_YIELD")
    x.T.fire_event_py_yield(code, 0, 3)
    assert log == [(0, 1), (0, 3)], log


def local_events_of_a_look_alike(x: Interface) -> None:
    code, other, log = x.T.CodeLike(1), x.T.CodeLike(1), []
    x.use(TOOL)
    x.M.register_callback(TOOL, x.M.events.LINE, lambda code, line: log.append((code, line)))
    x.M.set_local_events(TOOL, code, x.M.events.LINE)
    assert x.M.get_local_events(TOOL, code) == x.M.events.LINE
    for each in (code, other):
        x.enter(each, "LINE")
        x.T.fire_event_line(each, 0, 7)
    assert log == [(code, 7)], log


def local_events_set_by_the_start_of_the_same_invocation(x: Interface) -> None:
    code, log = x.T.CodeLike(2), []

    def start(started: Any, offset: int) -> Any:
        if started is code:
            x.M.set_local_events(TOOL, code, x.M.events.LINE)
        return x.M.DISABLE

    x.use(TOOL, PY_START=start)
    x.M.register_callback(TOOL, x.M.events.LINE, recorder(code, log))
    x.enter(code, "PY_START", "LINE")
    x.T.fire_event_py_start(code, 0)
    x.T.fire_event_line(code, 1, 12)
    assert log == [(12,)], log


def global_events_set_inside_a_scope_begin_there(x: Interface) -> None:
    code, log = x.T.CodeLike(2), []

    def start(started: Any, offset: int) -> Any:
        if started is code:
            x.M.set_events(TOOL, x.M.events.PY_START | x.M.events.LINE)

    x.use(TOOL, PY_START=start)
    x.M.register_callback(TOOL, x.M.events.LINE, recorder(code, log))
    x.enter(code, "PY_START", "LINE")
    x.T.fire_event_py_start(code, 0)
    x.T.fire_event_line(code, 1, 12)
    assert log == [(12,)], log


def no_events_at_once_in_a_scope_already_entered(x: Interface) -> None:
    code, log = x.T.CodeLike(1), []
    x.use(TOOL, LINE=recorder(code, log))
    x.enter(code, "LINE")
    x.T.fire_event_line(code, 0, 1)
    x.M.set_events(TOOL, 0)
    x.T.fire_event_line(code, 0, 2)
    assert log == [(1,)], log


def a_higher_tool_silences_a_lower_one_in_the_same_fire(x: Interface) -> None:
    code, log = x.T.CodeLike(1), []

    def silence(fired: Any, line: int) -> None:
        if fired is code:
            x.M.set_events(LOWER, 0)

    x.use(LOWER, LINE=recorder(code, log))
    x.use(TOOL, LINE=silence)
    x.enter(code, "LINE")
    x.T.fire_event_line(code, 0, 1)
    assert log == [], log


def a_fire_inside_a_callback_is_suppressed(x: Interface) -> None:
    code, log = x.T.CodeLike(1), []

    def again(fired: Any, line: int) -> None:
        if fired is code:
            log.append(line)
            if line < 3:
                x.T.fire_event_line(code, 0, line + 1)

    x.use(TOOL, LINE=again)
    x.enter(code, "LINE")
    x.T.fire_event_line(code, 0, 1)
    assert log == [1], log


def a_failing_callbacks_error_has_the_events_exception_as_context(x: Interface) -> None:
    code, raised = x.T.CodeLike(1), ValueError("the event's")

    def fail(fired: Any, offset: int, exception: Any) -> None:
        if fired is code:
            assert exception is raised
            raise OSError("the callback's")

    x.use(TOOL, RAISE=fail)
    x.enter(code, "RAISE")
    try:
        x.T.fire_event_raise(code, 0, raised)
    except OSError as error:
        x.M.set_events(TOOL, 0)
        assert error.__context__ is raised, error.__context__
    else:
        raise AssertionError("the callback's error was lost")


def an_illegal_offset_does_not_lose_the_exception(x: Interface) -> None:
    code, raised = x.T.CodeLike(1), ValueError("the event's")
    x.use(TOOL, RAISE=lambda *args: x.M.DISABLE if args[0] is code else None)
    x.enter(code, "RAISE")
    try:
        x.T.fire_event_raise(code, 0, raised)
    except ValueError as error:
        x.M.set_events(TOOL, 0)
        assert str(error) == "Cannot disable RAISE events. Callback removed."
        assert error.__context__ is raised, error.__context__
    else:
        raise AssertionError("no error")


def c_return_and_c_raise_follow_call(x: Interface) -> None:
    code, log = x.T.CodeLike(2), []

    def noted(name: str) -> Callable[..., None]:
        def note(fired: Any, offset: int, callable: Any, arg0: Any) -> None:
            if fired is code:
                log.append((name, callable, arg0))

        return note

    x.use(TOOL, CALL=noted("CALL"), C_RETURN=noted("C_RETURN"), C_RAISE=noted("C_RAISE"))
    for after in ("C_RETURN", "C_RAISE"):
        x.enter(code, "CALL", after)
        x.T.fire_event_call(code, 0, len, "x")
        if after == "C_RETURN":
            x.T.fire_event_c_return(code, 1, 1)
        else:
            x.T.fire_event_c_raise(code, 1, ValueError())
    x.M.set_events(TOOL, 0)
    assert log == [("CALL", len, "x"), ("C_RETURN", len, "x"), ("CALL", len, "x"), ("C_RAISE", len, "x")], log


def branch_stands_for_both_directions(x: Interface) -> None:
    code, log = x.T.CodeLike(2), []
    x.use(TOOL, BRANCH=recorder(code, log))
    x.enter(code, "BRANCH_LEFT", "BRANCH_RIGHT")
    x.T.fire_event_branch_left(code, 0, 10)
    x.T.fire_event_branch_right(code, 1, 20)
    assert log == [(0, 10), (1, 20)], log


def an_unknown_event_is_an_error(x: Interface) -> None:
    code = x.T.CodeLike(1)
    x.use(TOOL, LINE=nothing)
    try:
        x.T.monitoring_enter_scope(code, 19)
    except ValueError as error:
        assert str(error) == "invalid event 19", error
    else:
        raise AssertionError("accepted")
    finally:
        x.M.set_events(TOOL, 0)


def an_index_out_of_range_is_an_error(x: Interface) -> None:
    code = x.T.CodeLike(1)
    x.enter(code, "LINE")
    for index in (1, 2**31 - 1):
        try:
            x.T.fire_event_line(code, index, 1)
        except IndexError:
            pass
        else:
            raise AssertionError("accepted")


def a_tuple_is_the_value_of_a_stop_iteration(x: Interface) -> None:
    code, log = x.T.CodeLike(1), []
    x.use(TOOL, STOP_ITERATION=recorder(code, log))
    x.enter(code, "STOP_ITERATION")
    x.T.fire_event_stop_iteration(code, 0, (1, 2))
    ((offset, exception),) = log
    assert type(exception) is StopIteration
    assert exception.value == (1, 2), exception.value


def freeing_a_tool_clears_it(x: Interface) -> None:
    x.use(TOOL, LINE=nothing)
    x.M.free_tool_id(TOOL)
    assert x.M.get_events(TOOL) == 0
    assert x.M.register_callback(TOOL, x.M.events.LINE, None) is None


ALWAYS = (3, 99)
# Each point, and the versions (from, before) whose own implementation fails.
POINTS: list[tuple[Callable[[Interface], None], tuple[tuple[int, int], tuple[int, int]]]] = [
    (disabling_one_line_leaves_the_others, ((3, 13), ALWAYS)),
    (disabling_holds_in_the_next_scope, ((3, 13), ALWAYS)),
    (disabling_ends_with_restart_events_only, ((3, 13), ALWAYS)),
    (local_events_of_a_look_alike, ((3, 13), ALWAYS)),
    (local_events_set_by_the_start_of_the_same_invocation, ((3, 13), ALWAYS)),
    (global_events_set_inside_a_scope_begin_there, ((3, 13), ALWAYS)),
    (no_events_at_once_in_a_scope_already_entered, ((3, 13), ALWAYS)),
    (a_higher_tool_silences_a_lower_one_in_the_same_fire, ((3, 13), ALWAYS)),
    (a_fire_inside_a_callback_is_suppressed, ((3, 13), ALWAYS)),
    (a_failing_callbacks_error_has_the_events_exception_as_context, ((3, 13), ALWAYS)),
    (an_illegal_offset_does_not_lose_the_exception, ((3, 13), ALWAYS)),
    (c_return_and_c_raise_follow_call, ((3, 13), ALWAYS)),
    (branch_stands_for_both_directions, ((3, 14), ALWAYS)),  # 3.13 has no directions to fire
    (an_unknown_event_is_an_error, ((3, 13), ALWAYS)),
    (an_index_out_of_range_is_an_error, ((3, 13), ALWAYS)),
    (a_tuple_is_the_value_of_a_stop_iteration, ((3, 13), ALWAYS)),
    (freeing_a_tool_clears_it, ((3, 12), (3, 14))),
]

if __name__ == "__main__":  # a point with the interpreter's own implementation, without rmon
    import _testcapi

    globals()[sys.argv[1]](Interface(sys.monitoring, _testcapi))  # type: ignore[attr-defined]
    sys.exit()


import functools  # noqa: E402 - all that follows needs rmon
import re  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import threading  # noqa: E402
import weakref  # noqa: E402

import pytest  # noqa: E402

import rmon  # noqa: E402
import rmon.testing  # noqa: E402
from rmon import monitoring as M  # noqa: E402

E = M.events
OURS = Interface(M, rmon.testing)
HAS_NATIVE = sys.version_info >= (3, 12)
HAS_BRANCH_DIRECTIONS = not (3, 12) <= sys.version_info < (3, 14)
NATIVE: Any = getattr(sys, "monitoring", None)


@pytest.mark.parametrize("point", [point for point, _ in POINTS], ids=lambda point: point.__name__)
def test_points_of_the_contract(point: Callable[[Interface], None]) -> None:
    point(OURS)


@pytest.mark.parametrize("point, versions", POINTS, ids=[point.__name__ for point, _ in POINTS])
def test_the_interpreters_own_implementation_fails(point: Callable[[Interface], None], versions: Any) -> None:
    if not versions[0] <= sys.version_info[:2] < versions[1]:
        pytest.skip("not on this version")
    pytest.importorskip("_testcapi")
    done = subprocess.run(
        [sys.executable, __file__, point.__name__],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0, "CPython's own implementation does this too: no difference to claim"
    assert "ImportError" not in done.stderr and "NameError" not in done.stderr, done.stderr


# ---- Arguments ----

FIRED = ValueError("fired")

# Event: how to fire it at offset 4, and what the callback gets after the code.
FIRES: dict[str, tuple[Callable[[Any], Any], tuple[Any, ...]]] = {
    "PY_START": (lambda s: s.py_start(4), (4,)),
    "PY_RESUME": (lambda s: s.py_resume(4), (4,)),
    "PY_RETURN": (lambda s: s.py_return(4, "value"), (4, "value")),
    "PY_YIELD": (lambda s: s.py_yield(4, "value"), (4, "value")),
    "CALL": (lambda s: s.call(4, len, "arg"), (4, len, "arg")),
    "LINE": (lambda s: s.line(17, 4), (17,)),
    "INSTRUCTION": (lambda s: s.instruction(4), (4,)),
    "JUMP": (lambda s: s.jump(4, 20), (4, 20)),
    "BRANCH_LEFT": (lambda s: s.branch_left(4, 20), (4, 20)),
    "BRANCH_RIGHT": (lambda s: s.branch_right(4, 20), (4, 20)),
    "BRANCH": (lambda s: s.branch(4, 20), (4, 20)),
    "C_RETURN": (lambda s: s.c_return(4, len, "arg"), (4, len, "arg")),
    "C_RAISE": (lambda s: s.c_raise(4, len, "arg"), (4, len, "arg")),
    "RAISE": (lambda s: s.raise_(4, FIRED), (4, FIRED)),
    "RERAISE": (lambda s: s.reraise(4, FIRED), (4, FIRED)),
    "EXCEPTION_HANDLED": (lambda s: s.exception_handled(4, FIRED), (4, FIRED)),
    "PY_UNWIND": (lambda s: s.py_unwind(4, FIRED), (4, FIRED)),
    "PY_THROW": (lambda s: s.py_throw(4, FIRED), (4, FIRED)),
    "STOP_ITERATION": (lambda s: s.stop_iteration(4, FIRED), (4, FIRED)),
}
NON_LOCAL = ["RAISE", "RERAISE", "EXCEPTION_HANDLED", "PY_UNWIND", "PY_THROW", "C_RETURN", "C_RAISE"]
LOCAL = [name for name in FIRES if name not in NON_LOCAL]


def claim(tool: int = TOOL) -> None:
    if M.get_tool(tool) is None:
        M.use_tool_id(tool, f"tool {tool}")


def listen(event: str, function: Any, code: Any = None, tool: int = TOOL) -> None:
    """Registers a callback. With a code it gets the event from there alone (if it is a local one)."""
    claim(tool)
    M.register_callback(tool, getattr(E, event), function)
    number = E.CALL if event in ("C_RETURN", "C_RAISE") else getattr(E, event)
    if code is not None and event not in ("RAISE", "RERAISE", "EXCEPTION_HANDLED", "PY_UNWIND", "PY_THROW"):
        M.set_local_events(tool, code, M.get_local_events(tool, code) | number)
    else:
        M.set_events(tool, M.get_events(tool) | number)


def make_code(name: str = "f", **more: Any) -> Any:
    return rmon.CodeLike(name, "f.py", **more)


def check_arguments(event: str, log: list[Any], code: Any, expected: tuple[Any, ...]) -> None:
    ((seen, *args),) = log
    assert seen is code
    if event == "STOP_ITERATION" and not isinstance(expected[1], StopIteration):
        assert type(args[1]) is StopIteration
        args[1] = args[1].value
    assert tuple(args) == expected
    assert [type(arg) for arg in args] == [type(arg) for arg in expected]
    if len(args) > 1:
        assert args[1] is expected[1] or type(args[1]) is int


@pytest.mark.parametrize("where", ["global", "local"])
@pytest.mark.parametrize("event", sorted(FIRES))
def test_arguments_are_exact(event: str, where: str) -> None:
    code, log = make_code(), []

    def callback(*args: Any) -> None:
        if args[0] is code:
            log.append(args)

    listen(event, callback, code if where == "local" else None)
    fire, expected = FIRES[event]
    with rmon.Scope(code, getattr(E, event)) as scope:
        assert fire(scope) is None
    M.set_events(TOOL, 0)
    check_arguments(event, log, code, expected)


@pytest.mark.parametrize("event", sorted(FIRES))
def test_nobody_listens(event: str) -> None:
    with rmon.Scope(make_code(), getattr(E, event)) as scope:
        assert FIRES[event][0](scope) is None


@pytest.mark.parametrize("event", sorted(FIRES))
def test_other_events_are_not_delivered(event: str) -> None:
    code, log = make_code(), []
    related = {event, "CALL"} if event in ("C_RETURN", "C_RAISE") else {event}
    if event.startswith("BRANCH"):
        related = {"BRANCH", "BRANCH_LEFT", "BRANCH_RIGHT"}
    for other in LOCAL:
        M.register_callback(TOOL, getattr(E, other), lambda *args: log.append(args))
        if other not in related:
            claim()
            M.set_local_events(TOOL, code, M.get_local_events(TOOL, code) | getattr(E, other))
    with rmon.Scope(code, getattr(E, event)) as scope:
        FIRES[event][0](scope)
    assert log == []


@pytest.mark.parametrize("offset", [0, 1, 255, 256, 257, 2**31 - 1])
def test_offsets_and_targets_of_all_sizes(offset: int) -> None:
    code, log = make_code(), []
    for event in ("PY_START", "JUMP", "PY_RETURN", "CALL"):
        listen(event, recorder(code, log), code)
    with rmon.Scope(code, E.PY_START, E.JUMP, E.PY_RETURN, E.CALL) as scope:
        scope.py_start(offset)
        scope.jump(offset, offset)
        scope.py_return(offset, None)
        scope.call(offset, len)
    assert log == [(offset,), (offset, offset), (offset, None), (offset, len, M.MISSING)]


@pytest.mark.parametrize("line", [0, -1, -(2**31), 2**31 - 1])
def test_lines_of_all_sizes(line: int) -> None:
    code, log = make_code(), []
    listen("LINE", recorder(code, log), code)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(line)
        scope.line(lineno=line, offset=3)
    assert log == [(line,), (line,)]


def test_a_missing_argument_is_missing() -> None:
    code, log = make_code(), []
    for event in ("CALL", "C_RETURN", "C_RAISE"):
        listen(event, recorder(code, log), code)
    with rmon.Scope(code, E.CALL, E.C_RETURN, E.C_RAISE) as scope:
        for fire in (scope.call, scope.c_return, scope.c_raise):
            fire(0, len)
            fire(0, len, M.MISSING)
            fire(0, len, None)
    assert log == [(0, len, M.MISSING), (0, len, M.MISSING), (0, len, None)] * 3
    assert all(args[2] is M.MISSING or args[2] is None for args in log)


HOSTILE: list[tuple[Any, type]] = [
    (-1, ValueError),
    (-(2**31), ValueError),
    (2**31, OverflowError),
    (-(2**31) - 1, OverflowError),
    (2**100, OverflowError),
    ("4", TypeError),
    (4.0, TypeError),
    (None, TypeError),
]


@pytest.mark.parametrize("offset, error", HOSTILE, ids=repr)
@pytest.mark.parametrize("event", sorted(FIRES))
def test_hostile_offsets(event: str, offset: Any, error: type) -> None:
    """Before any callback; and a negative one only matters if somebody listens."""
    code, log = make_code(), []

    class At:
        """A scope whose methods are called with another offset."""

        def __init__(self, scope: Any) -> None:
            self.scope = scope

        def __getattr__(self, name: str) -> Any:
            method = getattr(self.scope, name)
            if name == "line":
                return lambda line, _: method(line, offset)
            return lambda _, *args: method(offset, *args)

    listen(event, recorder(code, log), code)
    with rmon.Scope(code, getattr(E, event)) as scope:
        with pytest.raises(error) as raised:
            FIRES[event][0](At(scope))
    if error is ValueError:
        assert str(raised.value) == "offset must be non-negative"
    assert log == []
    M.set_events(TOOL, 0)
    M.set_local_events(TOOL, code, 0)
    if error is ValueError:
        with rmon.Scope(code, getattr(E, event)) as scope:
            assert FIRES[event][0](At(scope)) is None


@pytest.mark.parametrize("event", [0, 3, -1, 1 << 25, 1 << 30])
def test_a_scope_of_no_event(event: int) -> None:
    with pytest.raises(ValueError, match="^invalid event "):
        with rmon.Scope(make_code(), event):
            pass


def test_a_scope_of_an_event_and_fires_of_others() -> None:
    """An event that the scope was not made for has no state."""
    code, log = make_code(), []
    for event in LOCAL:
        listen(event, recorder(code, log), code)
    with rmon.Scope(code, E.LINE) as scope:
        for event in sorted(FIRES):
            if event == "LINE":
                continue
            try:
                FIRES[event][0](scope)
            except (ValueError, RuntimeError):
                pass
    assert log == []


def test_scopes_nest_and_come_again() -> None:
    one, two, log = make_code("one"), make_code("two"), []
    claim()
    M.register_callback(TOOL, E.LINE, lambda code, line: log.append((code.co_name, line)))
    outer, inner = rmon.Scope(one, E.LINE), rmon.Scope(two, E.LINE)
    for code in (one, two):
        M.set_local_events(TOOL, code, E.LINE)
    for _ in range(2):
        with outer:
            outer.line(1)
            with inner:
                inner.line(1)
                with outer:  # recursion
                    outer.line(2)
            outer.line(3)
    assert log == [("one", 1), ("two", 1), ("one", 2), ("one", 3)] * 2


def test_an_exception_that_leaves_a_scope() -> None:
    with pytest.raises(KeyError):
        with rmon.Scope(make_code(), E.LINE):
            raise KeyError


def test_an_emitter_that_gives_bad_exceptions() -> None:
    code, log = make_code(), []
    listen("RAISE", recorder(code, log))
    with rmon.Scope(code, E.RAISE) as scope:
        for bad in (5, "x", ValueError):
            try:
                scope.raise_(0, bad)
            except (TypeError, ValueError):
                pass
    M.set_events(TOOL, 0)
    assert all(isinstance(args[1], BaseException) for args in log)


# ---- Through rmon.testing ----

FIRES_OF_TESTING: dict[str, tuple[str, tuple[Any, ...], tuple[Any, ...]]] = {
    "PY_START": ("py_start", (), ()),
    "PY_RESUME": ("py_resume", (), ()),
    "PY_RETURN": ("py_return", ("value",), ("value",)),
    "PY_YIELD": ("py_yield", ("value",), ("value",)),
    "CALL": ("call", (len, "arg"), (len, "arg")),
    "LINE": ("line", (17,), (17,)),
    "JUMP": ("jump", (20,), (20,)),
    "BRANCH": ("branch", (20,), (20,)),
    "BRANCH_LEFT": ("branch_left", (20,), (20,)),
    "BRANCH_RIGHT": ("branch_right", (20,), (20,)),
    "PY_THROW": ("py_throw", (FIRED,), (FIRED,)),
    "RAISE": ("raise", (FIRED,), (FIRED,)),
    "RERAISE": ("reraise", (FIRED,), (FIRED,)),
    "EXCEPTION_HANDLED": ("exception_handled", (FIRED,), (FIRED,)),
    "PY_UNWIND": ("py_unwind", (FIRED,), (FIRED,)),
    "STOP_ITERATION": ("stop_iteration", ("value",), ("value",)),
}


@pytest.mark.parametrize("event", sorted(FIRES_OF_TESTING))
def test_arguments_through_testing(event: str) -> None:
    name, args, expected = FIRES_OF_TESTING[event]
    code, log = rmon.testing.CodeLike(3), []

    def callback(*args: Any) -> None:
        if args[0] is code:
            log.append(args)

    listen(event, callback)
    OURS.enter(code, event, event, event)
    active = getattr(rmon.testing, f"fire_event_{name}")(code, 2, *args)
    assert type(active) is int and active & 1 << TOOL
    M.set_events(TOOL, 0)
    check_arguments(event, log, code, expected if event == "LINE" else (2, *expected))
    rmon.testing.monitoring_exit_scope()


@pytest.mark.parametrize("target", [0, 2**31 - 1, -1, 2**40, "there", None, (1, 2)])
def test_targets_of_any_kind(target: Any) -> None:
    """CPython's functions take an object for a target, and pass it on."""
    code, log = rmon.testing.CodeLike(1), []
    listen("JUMP", recorder(code, log), code)
    OURS.enter(code, "JUMP")
    rmon.testing.fire_event_jump(code, 0, target)
    assert log == [(0, target)]


def test_an_index_is_checked_whoever_listens() -> None:
    code = rmon.testing.CodeLike(2)
    for prepare in (lambda: None, lambda: listen("LINE", print, code)):
        prepare()
        OURS.enter(code, "LINE", "LINE")
        for index in (2, 3, 10_000, 2**31 - 1):
            with pytest.raises(IndexError):
                rmon.testing.fire_event_line(code, index, 1)


def test_testing_refuses_what_the_interpreters_aborts_for() -> None:
    code = rmon.testing.CodeLike(2)
    numbers = [OURS.number("LINE")] * 3
    for count in (1, 3):  # not as many as it has states
        try:
            rmon.testing.monitoring_enter_scope(code, *numbers[:count])
        except (ValueError, TypeError, IndexError):
            pass
    with pytest.raises(TypeError):
        rmon.testing.fire_event_line(object(), 0, 1)
    with pytest.raises(TypeError):
        rmon.testing.monitoring_enter_scope(None, 5)
    for states in (-1, 2**31, "x"):
        with pytest.raises((ValueError, OverflowError, TypeError)):
            rmon.testing.CodeLike(states)


@pytest.mark.parametrize("event", ["PY_THROW", "RAISE", "RERAISE", "EXCEPTION_HANDLED", "PY_UNWIND"])
def test_no_exception_set(event: str) -> None:
    code, log = rmon.testing.CodeLike(1), []
    fire = getattr(rmon.testing, f"fire_event_{event.lower()}")
    OURS.enter(code, event)
    assert fire(code, 0, None) == 0, "nobody listens"
    listen("LINE", print, code)
    OURS.enter(code, event)
    fire(code, 0, None)  # nobody listens to this event
    claim()
    for function in (recorder(code, log), None):  # also without a callback
        M.register_callback(TOOL, getattr(E, event), function)
        M.set_events(TOOL, getattr(E, event))
        OURS.enter(code, event)
        with pytest.raises(ValueError) as raised:
            fire(code, 0, None)
        M.set_events(TOOL, 0)
        assert str(raised.value) == f"Firing event {OURS.number(event)} with no exception set"
    assert log == []


# ---- Tools and their order ----


def test_the_highest_tool_is_called_first() -> None:
    code, log = make_code(), []
    for tool in (2, 5, 0, 4, 1, 3):
        listen("LINE", lambda code, line, tool=tool: log.append(tool), code, tool)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(1)
        assert log == [5, 4, 3, 2, 1, 0]
        log.clear()
        M.register_callback(3, E.LINE, None)
        M.set_local_events(4, code, 0)
        scope.line(1)
        assert log == [5, 2, 1, 0]


def test_an_error_stops_the_fire() -> None:
    code, log = make_code(), []

    def fail(code: Any, line: int) -> None:
        log.append("middle")
        raise OSError("middle")

    listen("LINE", lambda code, line: log.append("high"), code, HIGHER)
    listen("LINE", fail, code, TOOL)
    listen("LINE", lambda code, line: log.append("low"), code, LOWER)
    with rmon.Scope(code, E.LINE) as scope:
        with pytest.raises(OSError, match="^middle$"):
            scope.line(1)
        assert log == ["high", "middle"]
        with pytest.raises(OSError):  # it stays
            scope.line(1)


def test_disables_before_an_error_stay() -> None:
    code, log = make_code(), []

    def fail(code: Any, line: int) -> None:
        raise OSError

    listen("LINE", recorder(code, log, M.DISABLE), code, HIGHER)
    listen("LINE", fail, code, TOOL)
    with rmon.Scope(code, E.LINE) as scope:
        for _ in range(3):
            with pytest.raises(OSError):
                scope.line(1)
    assert log == [(1,)]


def test_global_and_local_events_call_once() -> None:
    code, log = make_code(), []
    listen("LINE", recorder(code, log), code)
    M.set_events(TOOL, E.LINE)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(1)
    M.set_local_events(TOOL, code, 0)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(2)
    M.set_events(TOOL, 0)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(3)
    assert log == [(1,), (2,)]


# ---- DISABLE ----


@pytest.mark.parametrize("event", LOCAL)
def test_disabling_is_by_location(event: str) -> None:
    one, two, log = make_code("one"), make_code("two"), []
    claim()

    def callback(code: Any, *args: Any) -> Any:
        log.append((code.co_name, args[0]))
        return M.DISABLE

    M.register_callback(TOOL, getattr(E, event), callback)
    other = []
    M.use_tool_id(LOWER, "other")
    M.register_callback(LOWER, getattr(E, event), lambda code, *args: other.append((code.co_name, args[0])))
    for tool in (TOOL, LOWER):
        for code in (one, two):
            M.set_local_events(tool, code, getattr(E, event))

    def fire(scope: Any, where: int) -> None:
        name = event.lower()
        more = {
            "PY_RETURN": (0,), "PY_YIELD": (0,), "CALL": (len,), "JUMP": (9,), "BRANCH": (9,), "BRANCH_LEFT": (9,),
            "BRANCH_RIGHT": (9,), "STOP_ITERATION": (0,),
        }.get(event, ())  # fmt: skip
        if event == "LINE":
            scope.line(where, where % 3)  # the line counts, not the offset
        else:
            getattr(scope, name)(where, *more)

    every = [("one", 1), ("one", 2), ("two", 1), ("one", 3)]
    for _ in range(3):
        for name, where in every:
            with rmon.Scope(one if name == "one" else two, getattr(E, event)) as scope:
                fire(scope, where)
                fire(scope, where)
    assert log == every
    assert other == [place for place in every for _ in range(2)] * 3
    M.restart_events()
    log.clear()
    with rmon.Scope(one, getattr(E, event)) as scope:
        fire(scope, 1)
        fire(scope, 1)
    assert log == [("one", 1)]


def test_a_line_is_disabled_at_all_its_offsets() -> None:
    code, log = make_code(), []
    listen("LINE", recorder(code, log, M.DISABLE), code)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(5, 0)
        scope.line(5, 10)
        scope.line(6, 0)
    assert log == [(5,), (6,)]


def test_two_tools_on_one_code() -> None:
    code, log, other = make_code(), [], []
    listen("LINE", recorder(code, log, M.DISABLE), code)
    listen("LINE", recorder(code, other), code, LOWER)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(1)
        scope.line(1)
        M.clear_tool_id(TOOL)
        assert M.get_local_events(LOWER, code) == E.LINE
        scope.line(1)
        M.set_local_events(TOOL, code, E.JUMP)
        M.free_tool_id(LOWER)
        assert M.get_local_events(TOOL, code) == E.JUMP
        scope.line(1)
    assert log == [(1,)]
    assert other == [(1,)] * 3


def test_forgetting_a_code_in_its_own_callback() -> None:
    code, log = make_code(), []

    def callback(fired: Any, line: int) -> Any:
        log.append(line)
        rmon.forget(code)
        return M.DISABLE

    listen("LINE", callback, code)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(1)
        scope.line(2)
    assert log == [1]
    M.restart_events()
    M.set_local_events(TOOL, code, E.LINE)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(1)
    assert log == [1, 1]


def test_events_at_one_offset_are_disabled_separately() -> None:
    code, log = make_code(), []
    for event in ("PY_START", "JUMP", "PY_RETURN"):
        listen(event, recorder(code, log, M.DISABLE), code)
    with rmon.Scope(code, E.PY_START, E.JUMP, E.PY_RETURN) as scope:
        for _ in range(2):
            scope.py_start(0)
            scope.jump(0, 2)
            scope.py_return(0, None)
    assert log == [(0,), (0, 2), (0, None)]


def test_disabling_outlives_other_changes() -> None:
    code, log = make_code(), []
    listen("LINE", recorder(code, log, M.DISABLE), code)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(1)
        M.use_tool_id(LOWER, "other")
        M.set_events(LOWER, E.LINE)
        scope.line(1)
        M.set_local_events(LOWER, code, E.LINE)
        M.free_tool_id(LOWER)
        scope.line(1)
        M.register_callback(TOOL, E.LINE, recorder(code, log))  # the new function knows of nothing
        scope.line(1)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(1)
    assert log == [(1,)]
    M.restart_events()
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(1)
    assert log == [(1,), (1,)]


def test_restart_events_holds_in_a_scope_already_entered_on_the_next_entry() -> None:
    code, log = make_code(), []
    listen("LINE", recorder(code, log, M.DISABLE), code)
    scope = rmon.Scope(code, E.LINE)
    with scope:
        scope.line(1)
    M.restart_events()
    with scope:
        scope.line(1)
    assert log == [(1,), (1,)]


@pytest.mark.parametrize("release", ["clear_tool_id", "free_tool_id"])
def test_disabled_locations_end_with_the_tool(release: str) -> None:
    code, log = make_code(), []
    for _ in range(2):
        listen("LINE", recorder(code, log, M.DISABLE), code)
        with rmon.Scope(code, E.LINE) as scope:
            scope.line(1)
            scope.line(1)
        getattr(M, release)(TOOL)
    assert log == [(1,), (1,)]


@pytest.mark.parametrize("event", NON_LOCAL)
def test_what_has_no_location_cannot_be_disabled(event: str) -> None:
    code, log, low = make_code(), [], []
    listen(event, recorder(code, log, M.DISABLE))
    listen(event, recorder(code, low), tool=LOWER)
    listen("LINE", recorder(code, log), code)
    with rmon.Scope(code, getattr(E, event), E.LINE) as scope:
        with pytest.raises(ValueError) as raised:
            FIRES[event][0](scope)
        M.set_events(LOWER, 0)
        assert str(raised.value) == f"Cannot disable {event} events. Callback removed."
        assert len(log) == 1 and low == []
        assert M.register_callback(TOOL, getattr(E, event), None) is None
        FIRES[event][0](scope)
        assert len(log) == 1
        scope.line(1)  # the tool's other callbacks stay
        assert log[1:] == [(1,)]
    number = E.CALL if event in ("C_RETURN", "C_RAISE") else getattr(E, event)
    assert M.get_events(TOOL) == number
    if HAS_NATIVE:
        assert NATIVE.register_callback(TOOL, getattr(NATIVE.events, event), None) is None


@pytest.mark.parametrize(
    "answer", [None, 0, 1, -1, True, False, "DISABLE", NotImplemented, object(), M.MISSING, (), 2**70]
)
def test_other_answers_mean_nothing(answer: Any) -> None:
    code, log = make_code(), []
    for event in ("LINE", "RAISE"):
        listen(event, recorder(code, log, answer), code)
    with rmon.Scope(code, E.LINE, E.RAISE) as scope:
        for _ in range(2):
            scope.line(1)
            scope.raise_(0, FIRED)
    M.set_events(TOOL, 0)
    assert len(log) == 4


# ---- What callbacks may do ----


@pytest.mark.parametrize(
    "error", [OSError(1), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopIteration(2)], ids=repr
)
def test_callbacks_that_raise(error: BaseException) -> None:
    code = make_code()

    def fail(code: Any, line: int) -> None:
        raise error

    listen("LINE", fail, code)
    with rmon.Scope(code, E.LINE) as scope:
        for _ in range(2):
            with pytest.raises(type(error)) as raised:
                scope.line(1)
            assert raised.value is error


def test_a_callback_that_calls_sys_exit(run_python: Any) -> None:
    script = """if True:
        import sys, rmon
        M, E = rmon.monitoring, rmon.monitoring.events
        code = rmon.CodeLike("f", "f.py")
        M.use_tool_id(3, "x")
        M.register_callback(3, E.LINE, lambda code, line: sys.exit(line))
        M.set_local_events(3, code, E.LINE)
        with rmon.Scope(code, E.LINE) as scope:
            scope.line(42)
        print("not reached")
    """
    done = run_python("-c", script, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (42, "", "")


def test_a_signal_inside_a_callback() -> None:
    code, log = make_code(), []

    def callback(fired: Any, line: int) -> None:
        log.append("inside")
        signal.raise_signal(signal.SIGUSR1)
        for _ in range(1000):  # handlers run between two instructions
            pass
        log.append("not reached")

    def handler(number: int, frame: Any) -> None:
        with rmon.Scope(code, E.LINE) as inner:
            inner.line(2)
        raise LookupError("from the handler")

    listen("LINE", callback, code)
    old = signal.signal(signal.SIGUSR1, handler)
    try:
        with rmon.Scope(code, E.LINE) as scope:
            with pytest.raises(LookupError, match="^from the handler$"):
                scope.line(1)
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert log == ["inside"]


def test_callbacks_that_are_no_callables() -> None:
    code = make_code()
    for function in (5, "text", object(), ()):
        listen("LINE", function, code)
        with rmon.Scope(code, E.LINE) as scope:
            with pytest.raises(TypeError) as raised:
                scope.line(1)
        assert str(raised.value) == f"'{type(function).__name__}' object is not callable"


def test_callbacks_with_the_wrong_number_of_arguments() -> None:
    code = make_code()

    def none() -> None: ...

    listen("LINE", none, code)
    with rmon.Scope(code, E.LINE) as scope:
        with pytest.raises(TypeError, match="takes 0 positional arguments but 2 were given$"):
            scope.line(1)


def test_callables_of_all_kinds() -> None:
    code, log = make_code(), []

    class Object:
        def __call__(self, *args: Any) -> None:
            log.append(args)

        def method(self, *args: Any) -> None:
            log.append(args)

        @staticmethod
        def static(*args: Any) -> None:
            log.append(args)

        @classmethod
        def of_class(cls, *args: Any) -> None:
            log.append(args)

        def __init__(self, *args: Any) -> None:
            log.append(args)

    kinds = [Object(), Object().method, Object.static, Object.of_class, Object, functools.partial(Object.static)]
    log.clear()
    for kind in kinds:
        listen("LINE", kind, code)
        with rmon.Scope(code, E.LINE) as scope:
            scope.line(1)
        assert log == [(code, 1)], kind
        log.clear()
    items: list[Any] = []
    listen("LINE", items.__contains__, code)  # wrong arguments for a builtin
    with rmon.Scope(code, E.LINE) as scope:
        with pytest.raises(TypeError):
            scope.line(1)


@pytest.mark.parametrize("how", ["remove", "replace", "free", "clear", "no events", "no local events"])
def test_callbacks_that_end_themselves(how: str) -> None:
    code, log = make_code(), []

    class Once:
        def __call__(self, fired: Any, line: int) -> None:
            if fired is not code:
                return
            log.append(("once", line))
            if how == "remove":
                assert M.register_callback(TOOL, E.LINE, None) is self
            elif how == "replace":
                assert M.register_callback(TOOL, E.LINE, recorder(code, log)) is self
            elif how == "free":
                M.free_tool_id(TOOL)
            elif how == "clear":
                M.clear_tool_id(TOOL)
            elif how == "no events":
                M.set_events(TOOL, 0)
            else:
                M.set_local_events(TOOL, code, 0)
            del self
            gc.collect()
            log.append("still there")

    once = Once()
    alive = weakref.ref(once)
    with rmon.Scope(code, E.LINE) as scope:
        listen("LINE", once, None if how == "no events" else code)
        listen("LINE", nothing, code, LOWER)
        del once
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(1)
        scope.line(2)
    assert log == [("once", 1), "still there"] + ([(2,)] if how == "replace" else [])
    assert (alive() is None) == (how in ("remove", "replace", "free", "clear"))


def test_callbacks_that_remove_a_lower_tool() -> None:
    code, log = make_code(), []
    ways: list[Callable[[], Any]] = [
        lambda: M.register_callback(LOWER, E.LINE, None),
        lambda: M.set_local_events(LOWER, code, 0),
        lambda: M.free_tool_id(LOWER),
        lambda: M.clear_tool_id(LOWER),
    ]
    for way in ways:
        listen("LINE", recorder(code, log), code, LOWER)
        listen("LINE", lambda code, line, way=way: way(), code, HIGHER)
        with rmon.Scope(code, E.LINE) as scope:
            scope.line(1)
            scope.line(1)
        assert log == []


def test_a_callback_may_use_every_function() -> None:
    code, log = make_code(), []

    def busy(fired: Any, line: int) -> None:
        M.use_tool_id(LOWER, "made inside")
        M.register_callback(LOWER, E.LINE, recorder(code, log))
        M.set_events(LOWER, E.JUMP)
        M.set_local_events(LOWER, code, E.LINE)
        assert M.get_events(LOWER) == E.JUMP
        assert M.get_local_events(LOWER, code) == E.LINE
        assert M.get_tool(LOWER) == "made inside"
        M._all_events()
        M.restart_events()
        M.register_callback(TOOL, E.LINE, None)
        rmon.install()
        rmon.uninstall()

    listen("LINE", busy, code)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(1)
        log.clear()
        scope.line(2)
    assert log == [(2,)]


def test_a_fire_from_inside_is_suppressed_whatever_it_is() -> None:
    code, other, log = make_code("f"), make_code("g"), []

    def callback(fired: Any, line: int) -> None:
        log.append((fired.co_name, line))
        with rmon.Scope(other, E.LINE, E.PY_START, E.RAISE) as inner:
            assert inner.line(100) is None
            assert inner.py_start(0) is None
            assert inner.raise_(0, FIRED) is None
        outer.line(101)
        if line == 2:
            raise OSError

    listen("LINE", callback, code)
    M.set_local_events(TOOL, other, E.LINE | E.PY_START)
    M.register_callback(TOOL, E.PY_START, lambda *args: log.append(args))
    M.register_callback(TOOL, E.RAISE, lambda *args: log.append(args))
    listen("LINE", lambda code, line: log.append(("lower", line)), code, LOWER)
    with rmon.Scope(code, E.LINE) as outer:
        outer.line(1)
        with pytest.raises(OSError):
            outer.line(2)
        outer.line(3)
    assert log == [("f", 1), ("lower", 1), ("f", 2), ("f", 3), ("lower", 3)]


def test_another_threads_fires_are_not_suppressed() -> None:
    code, log = make_code(), []

    def fire_there() -> None:
        with rmon.Scope(code, E.LINE) as scope:
            scope.line(2)

    def callback(fired: Any, line: int) -> None:
        log.append(line)
        if line == 1:
            thread = threading.Thread(target=fire_there)
            thread.start()
            thread.join(20)
            assert not thread.is_alive()

    listen("LINE", callback, code)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(1)
    assert log == [1, 2]


def test_a_callback_near_the_recursion_limit() -> None:
    code, log = make_code(), []

    def callback(fired: Any, line: int) -> None:
        log.append(line)

    listen("LINE", callback, code)

    def dive(scope: Any) -> None:
        try:
            dive(scope)
        except RecursionError:
            scope.line(1)
            raise

    with rmon.Scope(code, E.LINE) as scope:
        with pytest.raises(RecursionError):
            dive(scope)
    assert log
    with rmon.Scope(code, E.LINE) as scope:
        log.clear()
        scope.line(2)
    assert log == [2]


# ---- The interpreter's own events while a callback runs ----


def inner_function() -> int:
    x = 1
    return x


@pytest.mark.parametrize("how", ["settrace", "setprofile"])
def test_trace_functions_do_not_see_callbacks(how: str) -> None:
    code, seen, log = make_code(), [], []

    def callback(fired: Any, line: int) -> None:
        log.append(inner_function())

    def trace(frame: Any, event: str, arg: Any) -> Any:
        seen.append((event, frame.f_code.co_name))
        return trace

    def traced(scope: Any) -> None:
        scope.line(1)
        inner_function()
        scope.line(2)

    listen("LINE", callback, code)
    old = getattr(sys, how.replace("set", "get"))()
    with rmon.Scope(code, E.LINE) as scope:
        getattr(sys, how)(trace)
        try:
            traced(scope)
        finally:
            getattr(sys, how)(old)
    assert log == [1, 1]
    names = [name for event, name in seen if event == "call"]
    assert names.count("traced") == 1
    assert names.count("inner_function") == 1
    assert "callback" not in names and "recorder" not in names
    if how == "settrace":
        assert sum(name == "traced" and event == "line" for event, name in seen) == 3, "tracing goes on afterwards"


@pytest.mark.skipif(not HAS_NATIVE, reason="no sys.monitoring")
@pytest.mark.parametrize("outcome", ["returns", "raises"])
def test_the_interpreters_tools_do_not_see_callbacks(outcome: str) -> None:
    code, seen = make_code(), []

    def callback(fired: Any, line: int) -> None:
        inner_function()
        if outcome == "raises":
            raise OSError

    def native(code: Any, *args: Any) -> None:
        seen.append(code.co_name)

    def traced(scope: Any) -> None:
        try:
            scope.line(1)
        except OSError:
            pass
        inner_function()

    listen("LINE", callback, code)
    NATIVE.use_tool_id(LOWER, "the interpreter's")
    try:
        for event in ("LINE", "PY_START"):
            NATIVE.register_callback(LOWER, getattr(NATIVE.events, event), native)
        with rmon.Scope(code, E.LINE) as scope:
            NATIVE.set_events(LOWER, NATIVE.events.LINE | NATIVE.events.PY_START)
            traced(scope)
            NATIVE.set_events(LOWER, 0)
    finally:
        for event in ("LINE", "PY_START"):
            NATIVE.register_callback(LOWER, getattr(NATIVE.events, event), None)
        NATIVE.free_tool_id(LOWER)
    assert "callback" not in seen
    assert seen.count("inner_function") == 3, "once, with its start and two lines"
    assert "traced" in seen


@pytest.mark.skipif(not HAS_NATIVE, reason="no sys.monitoring")
def test_one_tool_sees_python_and_native_code() -> None:
    code, seen = make_code("native"), []

    def emit(scope: Any) -> None:
        scope.line(101)

    def callback(fired: Any, line: int) -> None:
        if fired is code or fired is emit.__code__:
            seen.append((fired.co_name, line - (emit.__code__.co_firstlineno if fired is not code else 0)))

    listen("LINE", callback)
    with rmon.Scope(code, E.LINE) as scope:
        emit(scope)
    M.set_events(TOOL, 0)
    assert seen == [("emit", 1), ("native", 101)]


def test_fires_from_a_trace_function_are_suppressed() -> None:
    code, log = make_code(), []
    listen("LINE", recorder(code, log), code)
    fired = []

    def trace(frame: Any, event: str, arg: Any) -> Any:
        with rmon.Scope(code, E.LINE) as scope:
            scope.line(1)
            fired.append(event)
        return None

    old = sys.gettrace()
    sys.settrace(trace)
    try:
        inner_function()
    finally:
        sys.settrace(old)
    assert fired
    assert log == []
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(2)
    assert log == [(2,)]


@pytest.mark.skipif(not HAS_NATIVE, reason="no sys.monitoring")
def test_fires_from_a_callback_of_the_interpreter_are_suppressed() -> None:
    code, log, fired = make_code(), [], []
    listen("LINE", recorder(code, log), code)

    def native(started: Any, offset: int) -> None:
        with rmon.Scope(code, E.LINE) as scope:
            scope.line(1)
            fired.append(started.co_name)

    NATIVE.use_tool_id(LOWER, "the interpreter's")
    NATIVE.register_callback(LOWER, NATIVE.events.PY_START, native)
    NATIVE.set_events(LOWER, NATIVE.events.PY_START)
    inner_function()
    NATIVE.set_events(LOWER, 0)
    NATIVE.register_callback(LOWER, NATIVE.events.PY_START, None)
    NATIVE.free_tool_id(LOWER)
    assert "inner_function" in fired
    assert log == []


# ---- Exceptions in flight ----

IN_FLIGHT = r"""
#include "rmon_python.h"

/* fire(event, code, exception or None) -> (status, the exception set afterwards or None), with that exception set */
static PyObject *fire(PyObject *self, PyObject *args)
{
    PyObject *code, *raised, *type, *value, *traceback;
    PyMonitoringState state = {0, 0};
    uint64_t version = 0;
    uint8_t event_type;
    int event, status;
    if (!PyArg_ParseTuple(args, "iOO", &event, &code, &raised))
        return NULL;
    event_type = (uint8_t)event;
    if (PyMonitoring_EnterScope(&state, &version, &event_type, 1) < 0)
        return NULL;
    if (raised != Py_None) {
        Py_INCREF(Py_TYPE(raised));
        Py_INCREF(raised);
        PyErr_Restore((PyObject *)Py_TYPE(raised), raised, NULL);
    }
    if (code == Py_None)
        code = NULL;
    switch (event) {
    case PY_MONITORING_EVENT_PY_START: status = PyMonitoring_FirePyStartEvent(&state, code, 0); break;
    case PY_MONITORING_EVENT_PY_RESUME: status = PyMonitoring_FirePyResumeEvent(&state, code, 0); break;
    case PY_MONITORING_EVENT_PY_RETURN: status = PyMonitoring_FirePyReturnEvent(&state, code, 0, NULL); break;
    case PY_MONITORING_EVENT_PY_YIELD: status = PyMonitoring_FirePyYieldEvent(&state, code, 0, NULL); break;
    case PY_MONITORING_EVENT_CALL: status = PyMonitoring_FireCallEvent(&state, code, 0, NULL, NULL); break;
    case PY_MONITORING_EVENT_LINE: status = PyMonitoring_FireLineEvent(&state, code, 0, 1); break;
    case PY_MONITORING_EVENT_JUMP: status = PyMonitoring_FireJumpEvent(&state, code, 0, NULL); break;
    case PY_MONITORING_EVENT_BRANCH_LEFT: status = PyMonitoring_FireBranchLeftEvent(&state, code, 0, NULL); break;
    case PY_MONITORING_EVENT_BRANCH_RIGHT: status = PyMonitoring_FireBranchRightEvent(&state, code, 0, NULL); break;
    case PY_MONITORING_EVENT_BRANCH: status = PyMonitoring_FireBranchEvent(&state, code, 0, NULL); break;
    case PY_MONITORING_EVENT_STOP_ITERATION: status = PyMonitoring_FireStopIterationEvent(&state, code, 0, NULL); break;
    case PY_MONITORING_EVENT_RAISE: status = PyMonitoring_FireRaiseEvent(&state, code, 0); break;
    case PY_MONITORING_EVENT_RERAISE: status = PyMonitoring_FireReraiseEvent(&state, code, 0); break;
    case PY_MONITORING_EVENT_EXCEPTION_HANDLED: status = PyMonitoring_FireExceptionHandledEvent(&state, code, 0); break;
    case PY_MONITORING_EVENT_PY_UNWIND: status = PyMonitoring_FirePyUnwindEvent(&state, code, 0); break;
    case PY_MONITORING_EVENT_PY_THROW: status = PyMonitoring_FirePyThrowEvent(&state, code, 0); break;
    case PY_MONITORING_EVENT_C_RETURN: status = PyMonitoring_FireCReturnEvent(&state, code, 0, NULL); break;
    case PY_MONITORING_EVENT_C_RAISE: status = PyMonitoring_FireCRaiseEvent(&state, code, 0); break;
    default: status = -99;
    }
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return Py_BuildValue("iN", status, value != NULL ? value : Py_NewRef(Py_None));
}

static PyMethodDef methods[] = {{"fire", fire, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "in_flight", NULL, -1, methods};

PyMODINIT_FUNC PyInit_in_flight(void)
{
    return PyModule_Create(&module);
}
"""

RMON_NUMBERS = {
    "PY_START": 0, "PY_RESUME": 1, "PY_RETURN": 2, "PY_YIELD": 3, "CALL": 4, "LINE": 5, "JUMP": 7, "BRANCH_LEFT": 8,
    "BRANCH_RIGHT": 9, "STOP_ITERATION": 10, "RAISE": 11, "EXCEPTION_HANDLED": 12, "PY_UNWIND": 13, "PY_THROW": 14,
    "RERAISE": 15, "C_RETURN": 16, "C_RAISE": 17, "BRANCH": 18,
}  # fmt: skip


@pytest.fixture
def fire_in_flight(build_c_extension: Callable[..., Any]) -> Callable[..., Any]:
    source = IN_FLIGHT.replace("Py_NewRef(Py_None)", "(Py_INCREF(Py_None), Py_None)")
    fire: Callable[..., Any] = build_c_extension(source, "in_flight").fire
    return fire


@pytest.mark.parametrize("event", sorted(RMON_NUMBERS))
def test_an_exception_in_flight_is_preserved(event: str, fire_in_flight: Callable[..., Any]) -> None:
    code, log, raised = make_code(), [], KeyError("in flight")

    def callback(fired: Any, *args: Any) -> None:
        if fired is code:
            log.append(args)
            assert int("7") == 7  # would fail with an exception set
            try:
                raise LookupError
            except LookupError:
                pass

    listen(event, callback, code)
    status, after = fire_in_flight(RMON_NUMBERS[event], code, raised)
    M.set_events(TOOL, 0)
    assert status == 0 and after is raised
    assert after.__context__ is None
    assert len(log) == 1


@pytest.mark.parametrize("event", sorted(RMON_NUMBERS))
def test_a_callbacks_error_has_the_exception_in_flight_as_context(
    event: str, fire_in_flight: Callable[..., Any]
) -> None:
    code, raised = make_code(), KeyError("in flight")
    error = OSError("the callback's")

    def callback(fired: Any, *args: Any) -> None:
        if fired is code:
            raise error

    listen(event, callback, code)
    status, after = fire_in_flight(RMON_NUMBERS[event], code, raised)
    M.set_events(TOOL, 0)
    assert status == -1 and after is error
    assert after.__context__ is raised
    assert raised.__context__ is None


def test_contexts_are_chained_without_a_ring(fire_in_flight: Callable[..., Any]) -> None:
    code, raised = make_code(), KeyError("in flight")
    inner = LookupError("inner")
    behaviours: list[Callable[[], None]] = []

    def callback(fired: Any, line: int) -> None:
        behaviours[-1]()

    def again() -> None:
        raise raised

    def chained() -> None:
        try:
            raise inner
        except LookupError:
            raise OSError("outer")

    def from_raised() -> None:
        raise OSError("outer") from raised

    def with_context() -> None:
        error = OSError("outer")
        error.__context__ = raised
        raise error

    listen("LINE", callback, code)
    for behaviour in (again, chained, from_raised, with_context):
        behaviours.append(behaviour)
        raised.__context__ = None
        status, after = fire_in_flight(RMON_NUMBERS["LINE"], code, raised)
        assert status == -1
        chain, seen = [], after
        while seen is not None and len(chain) < 10:
            chain.append(seen)
            seen = seen.__context__
        expected = [1, 3, 2, 2][len(behaviours) - 1]
        assert len(chain) == expected, behaviour
        assert chain[-1] is raised


def test_an_error_of_a_callback_without_an_exception_in_flight_has_no_context(
    fire_in_flight: Callable[..., Any],
) -> None:
    code = make_code()

    def callback(fired: Any, line: int) -> None:
        raise OSError

    listen("LINE", callback, code)
    status, after = fire_in_flight(RMON_NUMBERS["LINE"], code, None)
    assert status == -1 and type(after) is OSError and after.__context__ is None
    assert after.__traceback__ is not None or sys.version_info < (3, 12)


@pytest.mark.parametrize(
    "event", sorted(set(RMON_NUMBERS) - {"RAISE", "RERAISE", "EXCEPTION_HANDLED", "PY_UNWIND", "PY_THROW"})
)
def test_null_values(event: str, fire_in_flight: Callable[..., Any]) -> None:
    """A NULL value is None, a NULL argument MISSING; a code that is not there gets only global events."""
    code, log = make_code(), []
    listen(event, recorder(code, log), code)
    exception = KeyError() if event == "C_RAISE" else None
    assert fire_in_flight(RMON_NUMBERS[event], code, exception)[0] == 0
    ((*_, last),) = log
    if event in ("PY_RETURN", "PY_YIELD"):
        assert last is None
    if event in ("CALL", "C_RETURN", "C_RAISE"):
        assert last is M.MISSING
    if event == "STOP_ITERATION":
        assert type(last) is StopIteration and last.value is None and last.args == ()


def test_a_null_code(fire_in_flight: Callable[..., Any]) -> None:
    log = []

    def callback(fired: Any, line: int) -> None:
        if fired is None:
            log.append(line)

    listen("LINE", callback)
    status = fire_in_flight(RMON_NUMBERS["LINE"], None, None)
    M.set_events(TOOL, 0)
    assert status == (0, None)
    assert log == [1]


# ---- STOP_ITERATION ----


class OwnStop(StopIteration):
    pass


@pytest.mark.parametrize(
    "value", [None, 5, (), (1, 2), ValueError(3), ValueError, StopIteration, [1], ((1,),)], ids=repr
)
@pytest.mark.parametrize("by", ["Scope", "testing"])
def test_any_value_of_a_stop_iteration(value: Any, by: str) -> None:
    log: list[Any] = []
    if by == "Scope":
        code = make_code()
        listen("STOP_ITERATION", recorder(code, log), code)
        with rmon.Scope(code, E.STOP_ITERATION) as scope:
            assert scope.stop_iteration(3, value) is None
    else:
        code = rmon.testing.CodeLike(4)
        listen("STOP_ITERATION", recorder(code, log), code)
        OURS.enter(code, *["STOP_ITERATION"] * 4)
        rmon.testing.fire_event_stop_iteration(code, 3, value)
    ((offset, exception),) = log
    assert offset == 3
    assert type(exception) is StopIteration
    assert exception.value is value
    assert exception.args == (() if value is None else (value,))


@pytest.mark.parametrize("value", [StopIteration(5), StopIteration(), OwnStop((1, 2))], ids=repr)
def test_a_stop_iteration_passes_through(value: Any) -> None:
    code, log = make_code(), []
    listen("STOP_ITERATION", recorder(code, log), code)
    with rmon.Scope(code, E.STOP_ITERATION) as scope:
        scope.stop_iteration(0, value)
    assert log[0][1] is value


# ---- BRANCH, C_RETURN, C_RAISE ----


def branch_tools(code: Any, log: list[Any], **callbacks: Any) -> None:
    claim()
    for event in ("BRANCH_LEFT", "BRANCH_RIGHT", "BRANCH"):
        M.register_callback(TOOL, getattr(E, event), None)
    for event, answer in callbacks.items():
        M.register_callback(
            TOOL,
            getattr(E, event),
            lambda code, *args, event=event, answer=answer: (log.append((event, *args)), answer)[1],
        )
    M.set_local_events(TOOL, code, E.BRANCH)


def fire_branches(code: Any) -> None:
    with rmon.Scope(code, E.BRANCH_LEFT, E.BRANCH_RIGHT, E.BRANCH) as scope:
        scope.branch_left(0, 10)
        scope.branch_right(2, 20)
        scope.branch(4, 30)


LEFT, RIGHT, EITHER = (0, 10), (2, 20), (4, 30)


def test_a_branch_goes_to_its_directions_callback_or_to_branchs() -> None:
    code, log = make_code(), []
    branch_tools(code, log, BRANCH=None)
    fire_branches(code)
    assert log == [("BRANCH", *LEFT), ("BRANCH", *RIGHT), ("BRANCH", *EITHER)]
    log.clear()
    branch_tools(code, log, BRANCH_RIGHT=None)
    fire_branches(code)
    assert log == [("BRANCH_RIGHT", *RIGHT), ("BRANCH_RIGHT", *EITHER)], "a BRANCH's direction counts as right"
    log.clear()
    branch_tools(code, log, BRANCH_LEFT=None)
    fire_branches(code)
    assert log == [("BRANCH_LEFT", *LEFT)]
    log.clear()
    branch_tools(code, log, BRANCH=None, BRANCH_LEFT=None)
    fire_branches(code)
    assert log[:2] == [("BRANCH_LEFT", *LEFT), ("BRANCH", *RIGHT)]
    assert log[2:] == [("BRANCH", *EITHER)]
    log.clear()
    branch_tools(code, log, BRANCH_LEFT=None, BRANCH_RIGHT=None)
    fire_branches(code)
    assert log == [("BRANCH_LEFT", *LEFT), ("BRANCH_RIGHT", *RIGHT), ("BRANCH_RIGHT", *EITHER)]


def test_one_direction_is_set() -> None:
    code, log = make_code(), []
    branch_tools(code, log, BRANCH_LEFT=None, BRANCH_RIGHT=None)
    M.set_local_events(TOOL, code, E.BRANCH_LEFT)
    with rmon.Scope(code, E.BRANCH_LEFT, E.BRANCH_RIGHT) as scope:
        scope.branch_left(0, 10)
        scope.branch_right(2, 20)
    assert log == [("BRANCH_LEFT", *LEFT)]


def test_disabling_a_branch() -> None:
    code, log = make_code(), []

    def fire() -> list[Any]:
        log.clear()
        with rmon.Scope(code, E.BRANCH_LEFT, E.BRANCH_RIGHT) as scope:
            for _ in range(2):
                scope.branch_left(0, 10)
                scope.branch_right(0, 20)
        return list(log)

    branch_tools(code, log, BRANCH_LEFT=M.DISABLE, BRANCH_RIGHT=None)
    assert fire() == [("BRANCH_LEFT", 0, 10), ("BRANCH_RIGHT", 0, 20), ("BRANCH_RIGHT", 0, 20)]
    M.restart_events()
    branch_tools(code, log, BRANCH=M.DISABLE)
    assert fire() == [("BRANCH", 0, 10)], "BRANCH disables both directions"
    assert fire() == []


@pytest.mark.parametrize("where", ["global", "local"])
def test_c_events_are_on_where_call_is(where: str) -> None:
    code, other, log = make_code(), make_code(), []

    def callback(fired: Any, *args: Any) -> None:
        if fired is code or fired is other:
            log.append((fired, *args))

    listen("C_RETURN", callback, code if where == "local" else None)
    for each in (code, other):
        with rmon.Scope(each, E.CALL, E.C_RETURN, E.C_RAISE) as scope:
            scope.call(0, len)
            scope.c_return(2, len, "x")
            scope.c_raise(2, len, "x")
    M.set_events(TOOL, 0)
    assert log == [(code, 2, len, "x")] + ([(other, 2, len, "x")] if where == "global" else [])
    log.clear()
    M.set_events(TOOL, E.LINE)
    M.set_local_events(TOOL, code, E.LINE)
    with rmon.Scope(code, E.C_RETURN) as scope:
        scope.c_return(2, len, "x")
    M.set_events(TOOL, 0)
    assert log == []


def test_c_return_without_a_call_before_it() -> None:
    code, log = rmon.testing.CodeLike(1), []
    listen("C_RETURN", recorder(code, log), code)
    OURS.enter(code, "C_RETURN")
    rmon.testing.fire_event_c_return(code, 0, "value")
    assert log == [(0, M.MISSING, M.MISSING)]


def test_c_return_after_another_codes_call() -> None:
    code, other, log = rmon.testing.CodeLike(1), rmon.testing.CodeLike(1), []
    listen("C_RETURN", recorder(code, log), code)
    M.register_callback(TOOL, E.CALL, lambda *args: None)
    M.set_local_events(TOOL, other, E.CALL)
    OURS.enter(other, "CALL")
    rmon.testing.fire_event_call(other, 0, len, "x")
    OURS.enter(code, "C_RETURN")
    rmon.testing.fire_event_c_return(code, 0, "value")
    assert log == [(0, M.MISSING, M.MISSING)]


# ---- Codes of all kinds, and their end ----


class Slotted:
    __slots__ = ()


class Weak:
    __slots__ = ("__weakref__",)


CODES: list[Callable[[], Any]] = [
    lambda: types.SimpleNamespace(co_name="f", co_filename="f.py"),
    lambda: 12345678901,
    object,
    lambda: "a code",
    list,
    lambda: None,
    lambda: len,
    Slotted,
    Weak,
    lambda: compile("pass", "f.py", "exec"),
    lambda: rmon.testing.CodeLike(1),
]


@pytest.mark.parametrize("make", CODES, ids=range(len(CODES)))
def test_any_object_is_a_code(make: Callable[[], Any]) -> None:
    code, other, log = make(), object(), []
    listen("LINE", recorder(code, log), code)
    M.register_callback(TOOL, E.JUMP, recorder(code, log, M.DISABLE))
    M.set_local_events(TOOL, code, E.LINE | E.JUMP)
    for each in (code, other):
        with rmon.Scope(each, E.LINE, E.JUMP) as scope:
            scope.line(1)
            scope.jump(0, 2)
            scope.jump(0, 2)
    assert log == [(1,), (0, 2)]
    rmon.forget(code)
    if not (HAS_NATIVE and isinstance(code, types.CodeType)):  # the interpreter remembers its own
        assert M.get_local_events(TOOL, code) == 0
    log.clear()
    M.set_local_events(TOOL, code, E.JUMP)
    with rmon.Scope(code, E.JUMP) as scope:
        scope.jump(0, 2)
    assert log == [(0, 2)], "the disabled location is forgotten"
    rmon.forget(code)


def test_forgetting_what_was_never_known() -> None:
    for code in (object(), 5, None, make_code(), rmon):
        assert rmon.forget(code) is None


def at_the_same_address(make: Callable[[], Any], prepare: Callable[[Any], None]) -> Any:
    """Makes an object, prepares it, lets it die, and makes another one at its address; None if that does not happen."""
    for _ in range(50):
        first = make()
        prepare(first)
        address = id(first)
        del first
        kept = []
        for _ in range(200):
            second = make()
            if id(second) == address:
                return second
            kept.append(second)
    return None


@pytest.mark.parametrize(
    "make",
    [make_code, Weak, lambda: rmon.testing.CodeLike(1), lambda: compile("pass", "f", "exec")],
    ids=["CodeLike", "Weak", "testing", "code"],
)
def test_what_is_set_for_a_code_dies_with_it(make: Callable[[], Any]) -> None:
    log: list[Any] = []
    claim()

    def callback(code: Any, *args: Any) -> Any:
        log.append(args)
        return M.DISABLE

    M.register_callback(TOOL, E.JUMP, callback)
    M.register_callback(TOOL, E.LINE, callback)

    def prepare(code: Any) -> None:
        M.set_local_events(TOOL, code, E.JUMP | E.LINE)
        with rmon.Scope(code, E.JUMP, E.LINE) as scope:
            scope.jump(0, 2)
            scope.line(1)
        log.clear()

    code = at_the_same_address(make, prepare)
    if code is None:
        pytest.skip("no address was used again")
    assert M.get_local_events(TOOL, code) == 0
    with rmon.Scope(code, E.JUMP, E.LINE) as scope:
        scope.jump(0, 2)
        scope.line(1)
    assert log == []
    M.set_local_events(TOOL, code, E.JUMP | E.LINE)
    with rmon.Scope(code, E.JUMP, E.LINE) as scope:
        scope.jump(0, 2)
        scope.line(1)
    assert log == [(0, 2), (1,)]


@pytest.mark.parametrize("make", [make_code, Weak], ids=["CodeLike", "Weak"])
def test_disabled_locations_of_global_events_die_with_the_code(make: Callable[[], Any]) -> None:
    """Nothing but a fire has told of this code."""
    log: list[Any] = []
    kind = type(make())

    def callback(code: Any, *args: Any) -> Any:
        if type(code) is kind:
            log.append(args)
            return M.DISABLE
        return None

    claim()
    M.register_callback(TOOL, E.JUMP, callback)
    M.set_events(TOOL, E.JUMP)

    def prepare(code: Any) -> None:
        with rmon.Scope(code, E.JUMP) as scope:
            scope.jump(0, 2)
        log.clear()

    code = at_the_same_address(make, prepare)
    if code is None:
        M.set_events(TOOL, 0)
        pytest.skip("no address was used again")
    with rmon.Scope(code, E.JUMP) as scope:
        scope.jump(0, 2)
        scope.jump(0, 2)
    M.set_events(TOOL, 0)
    assert log == [(0, 2)]


def test_a_code_that_dies_inside_a_callback() -> None:
    """The emitter holds its code; the tool's last reference goes while the callback runs."""
    claim()
    seen = []

    def callback(code: Any, line: int) -> None:
        seen.append(line)
        holders.clear()
        del code
        gc.collect()

    M.register_callback(TOOL, E.LINE, callback)
    holders = [make_code()]
    M.set_local_events(TOOL, holders[0], E.LINE)
    scope = rmon.Scope(holders[0], E.LINE)
    with scope:
        scope.line(1)
        scope.line(2)
    assert seen == [1, 2]


def test_codes_attributes_are_not_asked_for() -> None:
    class Hostile:
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(name)

        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        def __hash__(self) -> int:
            raise AssertionError("hashed")

    code, log = Hostile(), []
    listen("LINE", recorder(code, log, M.DISABLE), code)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(1)
        scope.line(1)
    assert log == [(1,)]


# ---- Scopes of real code objects ----


def test_a_code_object_that_is_never_executed() -> None:
    """Cython makes such. On 3.12 and newer the interpreter is told too, and may refuse; rmon does not mind."""
    code, log = compile("x = 1", "f.py", "exec"), []
    listen("LINE", recorder(code, log), code)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(1)
    assert log == [(1,)]


@pytest.mark.skipif(not HAS_NATIVE, reason="no sys.monitoring")
def test_code_that_the_interpreter_executes_is_reported_once() -> None:
    def function() -> int:
        return 1

    log: list[Any] = []
    listen("LINE", recorder(function.__code__, log), function.__code__)
    assert function() == 1
    assert log == [(function.__code__.co_firstlineno + 1,)]
    M.set_events(TOOL, E.LINE)
    assert function() == 1
    M.set_events(TOOL, 0)
    assert len(log) == 2


@pytest.mark.skipif(not HAS_NATIVE, reason="no sys.monitoring")
@pytest.mark.parametrize("by", ["rmon.monitoring", "sys.monitoring"])
def test_a_code_that_the_interpreter_cannot_instrument(by: str) -> None:
    code, log = inner_function.__code__.replace(co_code=bytes(16)), []
    NATIVE.use_tool_id(LOWER, "the interpreter's")
    with pytest.raises(SystemError, match="^cannot instrument shim code object"):
        NATIVE.set_local_events(LOWER, code, E.LINE)
    NATIVE.free_tool_id(LOWER)
    claim()
    with rmon.install():
        functions = M if by == "rmon.monitoring" else sys.monitoring
        functions.register_callback(TOOL, E.LINE, recorder(code, log))
        functions.set_local_events(TOOL, code, E.LINE)
        assert functions.get_local_events(TOOL, code) == E.LINE
        with rmon.Scope(code, E.LINE) as scope:
            scope.line(1)
        with pytest.raises(ValueError, match=f"^tool {LOWER} is not in use$"):
            functions.set_local_events(LOWER, code, E.LINE)
        functions.set_local_events(TOOL, code, 0)
        assert functions.get_local_events(TOOL, code) == 0
        with rmon.Scope(code, E.LINE) as scope:
            scope.line(2)
    assert log == [(1,)]


# ---- Callables in C that do not keep to the rules ----

RULE_BREAKERS = r"""
#include <Python.h>

static PyObject *result_and_exception(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    PyErr_SetString(PyExc_KeyError, "left behind");
    Py_INCREF(Py_None);
    return Py_None;
}

static PyObject *neither(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return NULL;
}

static PyMethodDef methods[] = {
    {"result_and_exception", (PyCFunction)(void (*)(void))result_and_exception, METH_FASTCALL, NULL},
    {"neither", (PyCFunction)(void (*)(void))neither, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "rule_breakers", NULL, -1, methods};

PyMODINIT_FUNC PyInit_rule_breakers(void)
{
    return PyModule_Create(&module);
}
"""


@pytest.mark.parametrize("in_flight", [False, True])
@pytest.mark.parametrize("how", ["result_and_exception", "neither"])
def test_callables_that_break_the_rules(
    how: str, in_flight: bool, build_c_extension: Callable[..., Any], fire_in_flight: Callable[..., Any]
) -> None:
    """They are a SystemError, as anywhere."""
    code, raised = make_code(), KeyError("in flight")
    listen("LINE", getattr(build_c_extension(RULE_BREAKERS, "rule_breakers"), how), code)
    status, after = fire_in_flight(RMON_NUMBERS["LINE"], code, raised if in_flight else None)
    assert status == -1
    assert type(after) is SystemError
    chain, seen = [], after
    while seen is not None:
        chain.append(type(seen))
        seen = seen.__context__
    expected = [SystemError] + ([KeyError] if how == "result_and_exception" else []) + ([KeyError] if in_flight else [])
    assert chain == expected


# ---- Texts ----


def test_messages_of_callback_errors_have_the_callback_in_their_traceback() -> None:
    code = make_code()

    def the_callback(fired: Any, line: int) -> None:
        raise OSError

    listen("LINE", the_callback, code)
    with rmon.Scope(code, E.LINE) as scope:
        with pytest.raises(OSError) as raised:
            scope.line(1)
    names = [entry.name for entry in raised.traceback]
    assert names[-1] == "the_callback"
    assert not any(re.search("rmon", str(entry.path).rpartition("/")[2]) for entry in raised.traceback[:-1])
