"""rmon.Scope: an emitter in Python."""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import sys
import threading
import weakref
from typing import Any, Callable

import pytest
from conftest import Tool
from native_types import Event

import rmon
from rmon import monitoring

events = monitoring.events
MISSING = monitoring.MISSING
NAMES = [name for name in vars(events) if name != "NO_EVENTS"]
ALL = {name: getattr(events, name) for name in NAMES}

RAISED = KeyError("raised")
FUNCTION = print

# (method, event, arguments, what a callback gets after the code)
CASES = [
    ("py_start", "PY_START", (0,), (0,)),
    ("py_resume", "PY_RESUME", (1,), (1,)),
    ("py_return", "PY_RETURN", (2, "value"), (2, "value")),
    ("py_return", "PY_RETURN", (300, None), (300, None)),
    ("py_yield", "PY_YIELD", (3, "value"), (3, "value")),
    ("call", "CALL", (4, FUNCTION), (4, FUNCTION, MISSING)),
    ("call", "CALL", (4, FUNCTION, "argument"), (4, FUNCTION, "argument")),
    ("call", "CALL", (4, FUNCTION, None), (4, FUNCTION, None)),
    ("call", "CALL", (4, FUNCTION, MISSING), (4, FUNCTION, MISSING)),
    ("line", "LINE", (12,), (12,)),
    ("line", "LINE", (100_000, 5), (100_000,)),
    ("instruction", "INSTRUCTION", (6,), (6,)),
    ("jump", "JUMP", (7, 70), (7, 70)),
    ("jump", "JUMP", (7, 0), (7, 0)),
    ("jump", "JUMP", (7, -1), (7, -1)),
    ("branch", "BRANCH", (8, 80), (8, 80)),
    ("branch_left", "BRANCH_LEFT", (9, 90), (9, 90)),
    ("branch_right", "BRANCH_RIGHT", (10, 100), (10, 100)),
    ("branch_right", "BRANCH_RIGHT", (10, "else"), (10, "else")),
    ("branch_right", "BRANCH_RIGHT", (10, 2**31), (10, 2**31)),
    ("c_return", "C_RETURN", (11, FUNCTION), (11, FUNCTION, MISSING)),
    ("c_return", "C_RETURN", (11, FUNCTION, "argument"), (11, FUNCTION, "argument")),
    ("c_raise", "C_RAISE", (12, FUNCTION), (12, FUNCTION, MISSING)),
    ("c_raise", "C_RAISE", (12, FUNCTION, "argument"), (12, FUNCTION, "argument")),
    ("py_throw", "PY_THROW", (14, RAISED), (14, RAISED)),
    ("raise_", "RAISE", (15, RAISED), (15, RAISED)),
    ("reraise", "RERAISE", (16, RAISED), (16, RAISED)),
    ("exception_handled", "EXCEPTION_HANDLED", (17, RAISED), (17, RAISED)),
    ("py_unwind", "PY_UNWIND", (2**31 - 1, RAISED), (2**31 - 1, RAISED)),
]
METHODS = {method: (event, arguments) for method, event, arguments, _ in CASES}
METHODS["stop_iteration"] = ("STOP_ITERATION", (13, "value"))


class Code:
    """A code: any object is one."""

    def __repr__(self) -> str:
        return "<code>"


@pytest.fixture
def code() -> Code:
    return Code()


def listen(tool: Tool, code: object, *names: str) -> list[tuple[Any, ...]]:
    """What the tool gets of these events (all, if none is named) for this code: (name, arguments ...). Of a BRANCH
    event it then gets BRANCH_RIGHT's: some interpreters cannot have callbacks for all three kinds of branch."""
    heard: list[tuple[Any, ...]] = []

    def hear(name: str) -> Callable[..., None]:
        def callback(its_code: object, *arguments: object) -> None:
            if its_code is code:
                heard.append((name, *arguments))

        return callback

    wanted = 0
    for name in names or [name for name in NAMES if name != "BRANCH"]:
        monitoring.register_callback(tool.id, ALL[name], hear(name))
        wanted |= ALL[name]
    ancillary = events.C_RETURN | events.C_RAISE
    if wanted & ancillary:
        wanted |= ancillary | events.CALL
    monitoring.set_events(tool.id, wanted)
    return heard


# ---- What arrives ----


@pytest.mark.parametrize(("method", "event", "arguments", "expected"), CASES)
def test_each_method_fires_its_event(
    tool: Tool, code: Code, method: str, event: str, arguments: tuple[Any, ...], expected: tuple[Any, ...]
) -> None:
    heard = listen(tool, code, event)
    with rmon.Scope(code, ALL[event]) as scope:
        assert getattr(scope, method)(*arguments) is None
    assert len(heard) == 1
    assert heard[0][0] == event
    assert len(heard[0]) == 1 + len(expected)
    for got, wanted in zip(heard[0][1:], expected):
        assert got is wanted or (type(got) is int and got == wanted)


@pytest.mark.parametrize(("method", "event", "arguments", "expected"), CASES)
def test_a_scope_without_events_fires_all(
    tool: Tool, code: Code, method: str, event: str, arguments: tuple[Any, ...], expected: tuple[Any, ...]
) -> None:
    heard = listen(tool, code)
    with rmon.Scope(code) as scope:
        getattr(scope, method)(*arguments)
    assert heard == [("BRANCH_RIGHT" if event == "BRANCH" else event, *expected)]


@pytest.mark.parametrize("value", [None, "value", (1, 2), (), KeyError(1), KeyError, 0])
def test_stop_iteration_carries_a_stop_iteration_with_the_value(tool: Tool, code: Code, value: object) -> None:
    heard = listen(tool, code, "STOP_ITERATION")
    with rmon.Scope(code) as scope:
        scope.stop_iteration(13, value)
    [(_, offset, exception)] = heard
    assert offset == 13
    assert type(exception) is StopIteration
    assert exception.value is value


def test_stop_iteration_passes_a_stop_iteration_on(tool: Tool, code: Code) -> None:
    class Stop(StopIteration):
        pass

    heard = listen(tool, code, "STOP_ITERATION")
    given = [StopIteration(5), Stop()]
    with rmon.Scope(code) as scope:
        for exception in given:
            scope.stop_iteration(1, exception)
    assert [arguments[2] for arguments in heard] == given


@pytest.mark.parametrize("code", [None, 0, "text", (), object, NAMES, rmon.CodeLike("f", "f.x"), (lambda: 0).__code__])
def test_a_code_is_any_object(tool: Tool, code: object) -> None:
    heard = listen(tool, code, "PY_START")
    scope = rmon.Scope(code, events.PY_START)
    assert scope.code is code
    with scope:
        scope.py_start(1)
    assert heard == [("PY_START", 1)]


def test_a_code_counts_by_identity(tool: Tool) -> None:
    class Equal:
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 1

    codes = [Equal(), Equal()]
    heard = listen(tool, codes[1], "LINE")
    monitoring.set_events(tool.id, 0)
    monitoring.set_local_events(tool.id, codes[1], events.LINE)
    for code in codes:
        with rmon.Scope(code) as scope:
            scope.line(5)
    assert heard == [("LINE", 5)]
    assert monitoring.get_local_events(tool.id, codes[0]) == 0


def test_what_a_native_tool_gets(code: Code) -> None:
    library = ctypes.PyDLL(os.path.join(rmon.get_library_dir(), "librmon.so.0"))
    signature = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Event))
    library.rmon_register_callback.argtypes = [ctypes.c_int] * 2 + [signature] + [ctypes.c_void_p] * 2
    heard: list[tuple[int | None, ...]] = []

    def hear(_: int, pointer: Any) -> int:
        event = pointer.contents
        assert (event.tool_id, event.code) == (4, id(code))
        heard.append((event.event, event.offset, event.line, event.target_offset, event.object, event.arg0))
        return 0

    callback = signature(hear)
    assert library.rmon_use_tool_id(4, b"native") == 0
    try:
        for event in range(19):
            assert library.rmon_register_callback(4, event, callback, None, None) == 0
        assert library.rmon_set_events(4, 0x7FFFF) == 0
        value = object()
        with rmon.Scope(code) as scope:
            scope.py_start(1)
            scope.py_return(2, value)
            scope.call(3, FUNCTION)
            scope.call(3, FUNCTION, MISSING)
            scope.call(3, FUNCTION, value)
            scope.line(10, offset=4)
            scope.line(11)
            scope.instruction(5)
            scope.jump(6, 60)
            scope.jump(6, value)
            scope.branch(7, 70)
            scope.c_return(8, FUNCTION, value)
            scope.c_raise(9, FUNCTION)
            scope.raise_(10, RAISED)
    finally:
        assert library.rmon_free_tool_id(4) == 0
    called, given = id(FUNCTION), id(value)
    assert heard == [
        (0, 1, -1, -1, None, None),
        (2, 2, -1, -1, given, None),
        (4, 3, -1, -1, called, None),
        (4, 3, -1, -1, called, None),
        (4, 3, -1, -1, called, given),
        (5, 4, 10, -1, None, None),
        (5, 0, 11, -1, None, None),
        (6, 5, -1, -1, None, None),
        (7, 6, -1, 60, None, None),
        (7, 6, -1, -1, given, None),
        (18, 7, -1, 70, None, None),
        (16, 8, -1, -1, called, given),
        (17, 9, -1, -1, called, None),
        (11, 10, -1, -1, id(RAISED), None),
    ]


# ---- When ----


def test_nothing_is_fired_before_the_scope_is_entered(tool: Tool, code: Code) -> None:
    heard = listen(tool, code)
    scope = rmon.Scope(code)
    for method, (_, arguments) in METHODS.items():
        assert getattr(scope, method)(*arguments) is None
    assert heard == []


def test_enter_returns_the_scope_and_exit_swallows_nothing(code: Code) -> None:
    scope = rmon.Scope(code)
    assert scope.__enter__() is scope
    assert scope.__exit__(None, None, None) is False
    assert scope.__exit__(KeyError, RAISED, None) is False
    with pytest.raises(KeyError) as caught:
        with scope:
            raise RAISED
    assert caught.value is RAISED


def test_a_scope_stays_as_it_is_after_its_end(tool: Tool, code: Code) -> None:
    heard = listen(tool, code, "LINE")
    with rmon.Scope(code) as scope:
        pass
    scope.line(1)
    assert heard == [("LINE", 1)]


def test_who_listens_is_found_out_on_entering(tool: Tool, code: Code) -> None:
    heard = listen(tool, code, "LINE")
    monitoring.set_events(tool.id, 0)
    scope = rmon.Scope(code, events.LINE)
    with scope:
        scope.line(1)
    monitoring.set_events(tool.id, events.LINE)
    with scope:
        scope.line(2)
        monitoring.set_events(tool.id, 0)
        scope.line(3)
    assert heard == [("LINE", 2)]


def test_a_scope_can_be_nested_in_itself_and_used_again(tool: Tool, code: Code) -> None:
    heard = listen(tool, code, "LINE")
    scope = rmon.Scope(code)
    with scope:
        scope.line(1)
        with scope:
            scope.line(2)
        scope.line(3)
    with scope:
        scope.line(4)
    assert [line for _, line in heard] == [1, 2, 3, 4]


def test_threads_can_share_a_scope(tool: Tool, code: Code) -> None:
    counts = {number: 0 for number in range(8)}
    scope = rmon.Scope(code, events.LINE, events.PY_RETURN)

    def count(its_code: object, _: int, number: int) -> None:
        if its_code is code:
            counts[number] += 1  # a key belongs to one thread

    def work(number: int) -> None:
        for round in range(200):
            with scope:
                scope.line(round)
                scope.py_return(round, number)
                if number == 0 and round % 20 == 0:
                    monitoring.restart_events()

    tool.callback("PY_RETURN", count)
    threads = [threading.Thread(target=work, args=(number,)) for number in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(counts.values()) == {200}


def test_what_a_callback_fires_is_suppressed(tool: Tool, code: Code) -> None:
    scope = rmon.Scope(code)
    heard = []

    def callback(its_code: object, line: int) -> None:
        if its_code is code:
            heard.append(line)
            with scope:
                scope.line(line + 1)

    tool.callback("LINE", callback)
    with scope:
        scope.line(1)
        scope.line(5)
    assert heard == [1, 5]


def test_disable_is_for_a_location(tool: Tool, code: Code) -> None:
    heard = []

    def callback(its_code: object, *arguments: object) -> object:
        if its_code is code:
            heard.append(arguments)
        return monitoring.DISABLE

    tool.callback("LINE", callback)
    tool.callback("PY_RETURN", callback)
    scope = rmon.Scope(code)
    for _ in range(3):
        with scope:
            for location in (1, 2):
                scope.line(location)
                scope.py_return(location, None)
    assert heard == [(1,), (1, None), (2,), (2, None)]
    monitoring.restart_events()
    with scope:
        scope.line(2)
    assert heard[4:] == [(2,)]


def test_local_events(tool: Tool, code: Code) -> None:
    heard = listen(tool, code, "LINE", "CALL", "C_RETURN")
    monitoring.set_events(tool.id, 0)
    scope = rmon.Scope(code)
    monitoring.set_local_events(tool.id, code, events.CALL)
    with scope:
        scope.line(1)
        scope.call(2, FUNCTION)
        scope.c_return(2, FUNCTION)
    assert [name for name, *_ in heard] == ["CALL", "C_RETURN"]


def test_local_events_set_by_the_callback_of_this_start(tool: Tool, code: Code) -> None:
    heard = []

    def start(its_code: object, _: int) -> None:
        if its_code is code:
            monitoring.set_local_events(tool.id, code, events.LINE)

    tool.callback("PY_START", start)
    monitoring.register_callback(tool.id, events.LINE, lambda its_code, line: heard.append(line))
    with rmon.Scope(code) as scope:
        scope.line(1)
        scope.py_start(0)
        scope.line(2)
    assert heard == [2]


# ---- Exceptions ----


@pytest.mark.parametrize("method", METHODS)
def test_what_a_callback_raises_comes_out(tool: Tool, code: Code, method: str) -> None:
    event, arguments = METHODS[method]

    def callback(its_code: object, *arguments: object) -> None:
        if its_code is code:
            raise ZeroDivisionError(method)

    if event in ("C_RETURN", "C_RAISE"):
        tool.callback("CALL", lambda *arguments: None)
    tool.callback(event, callback)
    with rmon.Scope(code) as scope:
        with pytest.raises(ZeroDivisionError, match=f"^{method}$"):
            getattr(scope, method)(*arguments)
        assert sys.exc_info() == (None, None, None)


@pytest.mark.parametrize("method", ["raise_", "reraise", "py_unwind", "py_throw", "exception_handled", "py_start"])
def test_the_exception_that_is_handled_stays(tool: Tool, code: Code, method: str) -> None:
    event, arguments = METHODS[method]
    heard = listen(tool, code, event)
    with rmon.Scope(code) as scope:
        try:
            raise OSError("handled")
        except OSError as handled:
            before = handled.__traceback__
            getattr(scope, method)(*arguments)
            assert sys.exc_info()[1] is handled
            assert handled.__traceback__ is before
            assert handled.__context__ is None
    assert len(heard) == 1
    assert RAISED.__context__ is None


@pytest.mark.parametrize("method", ["raise_", "reraise", "py_unwind", "py_throw", "exception_handled"])
@pytest.mark.parametrize("wrong", [None, KeyError, "KeyError", 1])
def test_an_exception_must_be_one(tool: Tool, code: Code, method: str, wrong: object) -> None:
    listen(tool, code)
    with rmon.Scope(code) as scope:
        with pytest.raises(TypeError, match="^exception must be an instance of BaseException, not "):
            getattr(scope, method)(0, wrong)


@pytest.mark.parametrize("exception", [KeyboardInterrupt(), GeneratorExit(), SystemExit(), StopIteration()])
def test_any_exception_will_do(tool: Tool, code: Code, exception: BaseException) -> None:
    heard = listen(tool, code, "RAISE")
    with rmon.Scope(code) as scope:
        scope.raise_(0, exception)
    assert heard == [("RAISE", 0, exception)]


@pytest.mark.parametrize("method", ["raise_", "py_unwind", "c_return"])
def test_what_has_no_location_cannot_be_disabled(tool: Tool, code: Code, method: str) -> None:
    event, arguments = METHODS[method]
    heard = []

    def callback(its_code: object, *arguments: object) -> object:
        if its_code is code:
            heard.append(arguments)
            return monitoring.DISABLE
        return None

    if event == "C_RETURN":
        tool.callback("CALL", lambda *arguments: None)
    tool.callback(event, callback)
    with rmon.Scope(code) as scope:
        with pytest.raises(ValueError, match=f"^Cannot disable {event} events. Callback removed.$"):
            getattr(scope, method)(*arguments)
        getattr(scope, method)(*arguments)
    assert len(heard) == 1


# ---- Arguments of the methods ----


def test_keywords(tool: Tool, code: Code) -> None:
    heard = listen(tool, code)
    with rmon.Scope(code) as scope:
        scope.line(3, offset=4)
        scope.line(lineno=5)
        scope.line(offset=4, lineno=6)
        scope.py_start(offset=1)
        scope.py_return(1, retval="value")
        scope.py_return(retval="other", offset=2)
        scope.call(0, FUNCTION, arg0=1)
        scope.call(0, FUNCTION, arg0=MISSING)
        scope.call(offset=0, callable=FUNCTION)
        scope.jump(0, target=9)
        scope.raise_(0, exception=RAISED)
        scope.line(7, **{})
    assert heard == [
        ("LINE", 3),
        ("LINE", 5),
        ("LINE", 6),
        ("PY_START", 1),
        ("PY_RETURN", 1, "value"),
        ("PY_RETURN", 2, "other"),
        ("CALL", 0, FUNCTION, 1),
        ("CALL", 0, FUNCTION, MISSING),
        ("CALL", 0, FUNCTION, MISSING),
        ("JUMP", 0, 9),
        ("RAISE", 0, RAISED),
        ("LINE", 7),
    ]


@pytest.mark.parametrize("wanted", [False, True])
def test_wrong_numbers_of_arguments_are_always_reported(tool: Tool, code: Code, wanted: bool) -> None:
    if wanted:
        listen(tool, code)
    with rmon.Scope(code) as scope:
        for method, (_, arguments) in METHODS.items():
            first = "lineno" if method == "line" else "offset"
            with pytest.raises(TypeError, match=rf"^{method}\(\) missing required argument '{first}' \(pos 1\)$"):
                getattr(scope, method)()
            with pytest.raises(TypeError, match=rf"^{method}\(\) takes at most \d arguments? \(4 given\)$"):
                getattr(scope, method)(0, 0, 0, 0)
            with pytest.raises(TypeError, match=rf"^{method}\(\) got an unexpected keyword argument 'color'$"):
                getattr(scope, method)(*arguments, color=1)
        with pytest.raises(TypeError, match=r"^py_return\(\) missing required argument 'retval' \(pos 2\)$"):
            scope.py_return(0)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match=r"^call\(\) missing required argument 'callable' \(pos 2\)$"):
            scope.call(0, arg0=1)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match=r"^line\(\) got multiple values for argument 'lineno'$"):
            scope.line(1, lineno=2)  # type: ignore[misc]
        with pytest.raises(TypeError, match=r"^py_start\(\) takes at most 1 argument \(2 given\)$"):
            scope.py_start(1, 2)  # type: ignore[call-arg]


WRONG_INTS = [
    ("text", TypeError, "^'str' object cannot be interpreted as an integer$"),
    (1.0, TypeError, "^'float' object cannot be interpreted as an integer$"),
    (None, TypeError, "^'NoneType' object cannot be interpreted as an integer$"),
    (2**31, OverflowError, "^Python int too large to convert to C int$"),
    (-(2**31) - 1, OverflowError, "^Python int too large to convert to C int$"),
    (10**100, OverflowError, "^Python int too large to convert to C int$"),
]


@pytest.mark.parametrize(("wrong", "error", "text"), WRONG_INTS)
def test_offsets_and_lines_are_c_ints(
    tool: Tool, code: Code, wrong: Any, error: type[Exception], text: str
) -> None:
    heard = listen(tool, code)
    with rmon.Scope(code) as scope:
        for method, (_, arguments) in METHODS.items():
            with pytest.raises(error, match=text):
                getattr(scope, method)(wrong, *arguments[1:])
        with pytest.raises(error, match=text):
            scope.line(1, wrong)
    assert heard == []


@pytest.mark.parametrize("method", METHODS)
def test_an_offset_is_not_negative(tool: Tool, code: Code, method: str) -> None:
    heard = listen(tool, code)
    with rmon.Scope(code) as scope:
        arguments = METHODS[method][1]
        negative = (1, -1) if method == "line" else (-1, *arguments[1:])
        with pytest.raises(ValueError, match="^offset must be non-negative$"):
            getattr(scope, method)(*negative)
    assert heard == []


def test_what_counts_as_an_int(tool: Tool, code: Code) -> None:
    class Index:
        def __index__(self) -> int:
            return 7

    heard = listen(tool, code, "LINE")
    with rmon.Scope(code) as scope:
        scope.line(Index(), Index())
        scope.line(True)
        scope.line(-5)
    assert heard == [("LINE", 7), ("LINE", 1), ("LINE", -5)]


def test_values_are_not_read_while_nobody_listens(code: Code) -> None:
    class Never:
        def __index__(self) -> int:
            raise AssertionError("read")

    with rmon.Scope(code) as scope:
        for method, (_, arguments) in METHODS.items():
            assert getattr(scope, method)(*[Never()] * len(arguments)) is None
        scope.line(2**40)
        scope.py_start(-1)


# ---- The constructor ----


@pytest.mark.parametrize("name", NAMES)
def test_each_event_can_be_asked_for(code: Code, name: str) -> None:
    scope = rmon.Scope(code, ALL[name])
    assert scope.events == (ALL[name],)
    assert all(type(event) is int for event in scope.events)


def test_events_are_kept_in_their_order(code: Code) -> None:
    scope = rmon.Scope(code, events.RAISE, events.LINE, events.PY_START)
    assert scope.events == (events.RAISE, events.LINE, events.PY_START)
    every = rmon.Scope(code).events
    assert len(every) == len(set(every)) == 19
    assert set(every) == set(ALL.values())
    assert rmon.Scope(code, *every).events == every


@pytest.mark.parametrize("wrong", [0, 3, -1, -(2**31), 1 << 25, 1 << 31, 1 << 40, -(1 << 70), events.LINE | 1])
def test_an_event_is_one_event(code: Code, wrong: int) -> None:
    before = sys.getrefcount(code)
    with pytest.raises(ValueError, match=f"^invalid event {wrong}$"):
        rmon.Scope(code, wrong)
    with pytest.raises(ValueError, match=f"^invalid event {wrong}$"):
        rmon.Scope(code, events.LINE, wrong, events.CALL)
    assert sys.getrefcount(code) == before


@pytest.mark.parametrize("wrong", ["LINE", 1.0, None, [1]])
def test_an_event_is_an_int(code: Code, wrong: Any) -> None:
    with pytest.raises(TypeError, match="object cannot be interpreted as an integer$"):
        rmon.Scope(code, wrong)


def test_an_event_is_given_once(code: Code) -> None:
    with pytest.raises(ValueError, match="^event LINE is given twice$"):
        rmon.Scope(code, events.LINE, events.CALL, events.LINE)


def test_a_scope_needs_a_code() -> None:
    with pytest.raises(TypeError, match=r"^Scope\(\) missing required argument 'code' \(pos 1\)$"):
        rmon.Scope()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^Scope\(\) takes no keyword arguments$"):
        rmon.Scope(code=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("method", METHODS)
def test_an_event_without_a_state(code: Code, method: str) -> None:
    event, arguments = METHODS[method]
    other = events.CALL if event == "LINE" else events.LINE
    scope = rmon.Scope(code, other)
    for _ in range(2):
        with pytest.raises(ValueError, match=f"^this scope has no state for {event}$"):
            getattr(scope, method)(*arguments)
        scope.__enter__()


@pytest.mark.parametrize(
    ("state", "methods", "others"),
    [
        ("BRANCH", ["branch", "branch_left", "branch_right"], []),
        ("BRANCH_RIGHT", ["branch", "branch_right"], ["branch_left"]),
        ("BRANCH_LEFT", ["branch_left"], ["branch", "branch_right"]),
    ],
)
def test_branches_use_each_others_states(
    tool: Tool, code: Code, state: str, methods: list[str], others: list[str]
) -> None:
    heard = listen(tool, code, "BRANCH_LEFT", "BRANCH_RIGHT")
    with rmon.Scope(code, ALL[state]) as scope:
        for method in methods:
            getattr(scope, method)(1, 2)
        for method in others:
            with pytest.raises(ValueError, match="^this scope has no state for "):
                getattr(scope, method)(1, 2)
    assert heard == [("BRANCH_LEFT" if method == "branch_left" else "BRANCH_RIGHT", 1, 2) for method in methods]


# ---- The object ----


def test_a_scope_is_not_changed(code: Code) -> None:
    scope = rmon.Scope(code)
    for name in ("code", "events", "line", "other"):
        with pytest.raises(AttributeError):
            setattr(scope, name, 1)
    with pytest.raises(TypeError, match="^cannot pickle"):
        pickle.dumps(scope)
    assert hash(scope) == hash(scope)
    assert scope != rmon.Scope(code)


def test_a_scope_can_be_subclassed(tool: Tool, code: Code) -> None:
    class Noting(rmon.Scope):
        def __init__(self, code: object, *events: int) -> None:
            self.entered = 0

        def __enter__(self) -> Noting:
            self.entered += 1
            return super().__enter__()

        def line(self, lineno: int, offset: int = 0) -> None:
            super().line(lineno + 100, offset)

    heard = listen(tool, code, "LINE")
    scope = Noting(code, events.LINE)
    with scope as entered:
        assert entered is scope
        scope.line(1)
    assert scope.entered == 1
    assert heard == [("LINE", 101)]
    reference = weakref.ref(scope)
    del scope, entered
    gc.collect()
    assert reference() is None


def test_a_scope_keeps_its_code() -> None:
    code = Code()
    reference = weakref.ref(code)
    scope = rmon.Scope(code)
    del code
    gc.collect()
    assert scope.code is reference()
    del scope
    assert reference() is None


def test_rings_are_collected() -> None:
    code = Code()
    code.scope = rmon.Scope(code)  # type: ignore[attr-defined]
    references = [weakref.ref(code), weakref.ref(code.scope)]  # type: ignore[attr-defined]
    with code.scope as scope:  # type: ignore[attr-defined]
        scope.line(1)
    del code, scope
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_a_long_chain_of_scopes_ends() -> None:
    scope = rmon.Scope(None)
    for _ in range(200_000):
        scope = rmon.Scope(scope)
    del scope  # not by as many calls within each other


def test_a_callback_can_drop_the_scope(tool: Tool) -> None:
    scopes = [rmon.Scope(Code())]
    reference = weakref.ref(scopes[0].code)
    heard = []

    def callback(code: object, *_: object) -> None:
        if code is reference():
            scopes.clear()
            gc.collect()
            heard.append(repr(code))

    tool.callback("PY_START", callback)
    scopes[0].__enter__().py_start(0)
    assert heard == ["<code>"]
    assert reference() is None


def blocks(work: Callable[[], None]) -> int:
    """How many blocks of memory are left over by some work that was done before."""
    work()
    gc.collect()
    before = sys.getallocatedblocks()
    work()
    gc.collect()
    return sys.getallocatedblocks() - before


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fails", [False, True])
def test_a_fire_leaks_nothing(tool: Tool, code: Code, method: str, fails: bool) -> None:
    event, arguments = METHODS[method]
    arguments = (100_000, *arguments[1:])

    def callback(its_code: object, *_: object) -> None:
        if fails and its_code is code:
            raise ZeroDivisionError

    monitoring.register_callback(tool.id, ALL[event], callback)
    if event in ("C_RETURN", "C_RAISE"):
        monitoring.register_callback(tool.id, events.CALL, lambda *_: None)
        event = "CALL"
    scope = rmon.Scope(code)
    fire = getattr(scope, method)
    objects = [code, scope, *(each for each in arguments[1:] if not isinstance(each, (int, type(None))))]

    def work() -> None:
        # Only this code's events: the others of this process would be many.
        if ALL[event] in LOCAL:
            monitoring.set_local_events(tool.id, code, ALL[event])
        else:
            monitoring.set_events(tool.id, ALL[event])
        with scope:
            for _ in range(10_000):
                try:
                    fire(*arguments)
                except ZeroDivisionError:
                    pass
        monitoring.set_events(tool.id, 0)
        for argument in arguments:  # a chain of exceptions is no leak
            if isinstance(argument, BaseException):
                argument.__context__ = argument.__traceback__ = None

    work()
    gc.collect()
    before = [sys.getrefcount(each) for each in objects]
    assert abs(blocks(work)) < 200
    assert [sys.getrefcount(each) for each in objects] == before


LOCAL = {
    ALL[name]
    for name in ["PY_START", "PY_RESUME", "PY_RETURN", "PY_YIELD", "CALL", "LINE", "INSTRUCTION", "JUMP"]
    + ["BRANCH", "BRANCH_LEFT", "BRANCH_RIGHT", "STOP_ITERATION"]
}


def test_a_call_that_nobody_wants_leaves_nothing_behind(code: Code) -> None:
    scope = rmon.Scope(code)

    def work() -> None:
        with scope:
            for _ in range(10_000):
                for method, (_, arguments) in METHODS.items():
                    getattr(scope, method)(*arguments)
                scope.line(1, offset=2)
                try:
                    scope.line(color=1)  # type: ignore[call-arg]
                except TypeError:
                    pass

    assert abs(blocks(work)) < 200


def test_making_scopes_leaks_nothing(code: Code) -> None:
    def work() -> None:
        for _ in range(2000):
            rmon.Scope(code)
            rmon.Scope(code, events.LINE, events.CALL)
            for wrong in [(), (code, 0), (code, events.LINE, events.LINE), (code, "LINE")]:
                try:
                    rmon.Scope(*wrong)  # type: ignore[arg-type]
                except (TypeError, ValueError):
                    pass

    before = sys.getrefcount(code)
    assert abs(blocks(work)) < 200
    assert sys.getrefcount(code) == before
