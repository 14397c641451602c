"""The functions of rmon.monitoring, one by one: what they accept, the order of their checks, and the type and text of
each exception. Where the interpreter has sys.monitoring, its own answer is the measure; elsewhere CPython 3.14's,
which stand in the tables. What the two deliver is the matter of test_callbacks.py and test_differential.py."""

from __future__ import annotations

import decimal
import enum
import inspect
import json
import re
import sys
import textwrap
import types
from typing import Any, Callable

import pytest

import rmon
from rmon import monitoring as M

E = M.events
HAS_NATIVE = sys.version_info >= (3, 12)
HAS_BRANCH_DIRECTIONS = not (3, 12) <= sys.version_info < (3, 14)  # in the interpreter, or 3.14's rules
HAS_CLEAR = sys.version_info >= (3, 14)
NATIVE: Any = sys.monitoring if HAS_NATIVE else None  # the interpreter's own, whatever is installed later

FUNCTIONS = [
    "use_tool_id",
    "clear_tool_id",
    "free_tool_id",
    "get_tool",
    "register_callback",
    "get_events",
    "set_events",
    "get_local_events",
    "set_local_events",
    "restart_events",
    "_all_events",
]

EVENTS_OF_3_14 = {
    "PY_START": 0,
    "PY_RESUME": 1,
    "PY_RETURN": 2,
    "PY_YIELD": 3,
    "CALL": 4,
    "LINE": 5,
    "INSTRUCTION": 6,
    "JUMP": 7,
    "BRANCH_LEFT": 8,
    "BRANCH_RIGHT": 9,
    "STOP_ITERATION": 10,
    "RAISE": 11,
    "EXCEPTION_HANDLED": 12,
    "PY_UNWIND": 13,
    "PY_THROW": 14,
    "RERAISE": 15,
    "C_RETURN": 16,
    "C_RAISE": 17,
    "BRANCH": 18,
}

USED, FREE = 3, 4  # tool ids in these tests


class Index:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __index__(self) -> Any:
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


class IntOnly:
    """Can be made an int, but is not an index."""

    def __int__(self) -> int:
        return USED


class Name(str):
    pass


class Tool(enum.IntEnum):
    MINE = USED


def subject(x: int) -> int:
    if x:
        x += 1
    return x


def nothing(*args: Any) -> None: ...


CODE = subject.__code__


def without_module(text: str) -> str:
    """A message without the module that the function is in."""
    return re.sub(r"^(?:sys|rmon)\.monitoring\.(?=\w+\(\) takes)", "", text)


def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return ("returned", function(*args, **kwargs))
    except BaseException as error:
        return (type(error).__name__, without_module(str(error)))


@pytest.fixture(autouse=True)
def claimed(clean: None) -> None:
    M.use_tool_id(USED, "used")


def forget_all(api: Any) -> None:
    """USED is in use, without anything set; FREE is free."""
    everything = [value for value in vars(api.events).values() if value]
    for tool in (USED, FREE):
        for event in everything:
            api.register_callback(tool, event, None)
    if api.get_tool(FREE) is not None:
        api.set_events(FREE, 0)
        api.set_local_events(FREE, CODE, 0)
        api.free_tool_id(FREE)
    if api.get_tool(USED) is None:
        api.use_tool_id(USED, "used")
    api.set_events(USED, 0)
    api.set_local_events(USED, CODE, 0)


def too_large() -> tuple[str, str]:
    return ("OverflowError", "Python int too large to convert to C int")


def no_integer(kind: str) -> tuple[str, str]:
    return ("TypeError", f"'{kind}' object cannot be interpreted as an integer")


def invalid_tool(tool: int) -> tuple[str, str]:
    return ("ValueError", f"invalid tool {tool} (must be between 0 and 5)")


NOT_INDEPENDENT = ("ValueError", "cannot set C_RETURN or C_RAISE events independently")
ONE_AT_A_TIME = ("ValueError", "The callback can only be set for one event at a time")
NOT_IN_USE = ("ValueError", f"tool {FREE} is not in use")
OK = ("returned", None)

# function, arguments, and 3.14's answer. The arguments may use E, whose numbers differ between versions; so may the
# answer.
CALLS: list[tuple[str, Callable[[Any], tuple[Any, ...]], Any]] = [
    # use_tool_id: conversion, range, name, in use
    ("use_tool_id", lambda E: (FREE, "name"), OK),
    ("use_tool_id", lambda E: (0, "name"), OK),
    ("use_tool_id", lambda E: (5, "name"), OK),
    ("use_tool_id", lambda E: (FREE, ""), OK),
    ("use_tool_id", lambda E: (FREE, "a\0b"), OK),
    ("use_tool_id", lambda E: (FREE, "\udc80"), OK),
    ("use_tool_id", lambda E: (FREE, Name("name")), OK),
    ("use_tool_id", lambda E: (-1, "name"), invalid_tool(-1)),
    ("use_tool_id", lambda E: (6, "name"), invalid_tool(6)),
    ("use_tool_id", lambda E: (7, "name"), invalid_tool(7)),
    ("use_tool_id", lambda E: (2**31 - 1, "name"), invalid_tool(2**31 - 1)),
    ("use_tool_id", lambda E: (-(2**31), "name"), invalid_tool(-(2**31))),
    ("use_tool_id", lambda E: (2**31, "name"), too_large()),
    ("use_tool_id", lambda E: (-(2**31) - 1, "name"), too_large()),
    ("use_tool_id", lambda E: (2**63, 5), too_large()),
    ("use_tool_id", lambda E: (2**200, 5), too_large()),
    ("use_tool_id", lambda E: ("3", 5), no_integer("str")),
    ("use_tool_id", lambda E: (6, 5), invalid_tool(6)),
    ("use_tool_id", lambda E: (USED, 5), ("ValueError", "tool name must be a str")),
    ("use_tool_id", lambda E: (FREE, b"name"), ("ValueError", "tool name must be a str")),
    ("use_tool_id", lambda E: (FREE, None), ("ValueError", "tool name must be a str")),
    ("use_tool_id", lambda E: (USED, "name"), ("ValueError", f"tool {USED} is already in use")),
    # get_tool
    ("get_tool", lambda E: (USED,), ("returned", "used")),
    ("get_tool", lambda E: (FREE,), OK),
    ("get_tool", lambda E: (True,), OK),
    ("get_tool", lambda E: (Tool.MINE,), ("returned", "used")),
    ("get_tool", lambda E: (Index(USED),), ("returned", "used")),
    ("get_tool", lambda E: (Index(2**31),), too_large()),
    ("get_tool", lambda E: (Index(KeyError("mine")),), ("KeyError", "'mine'")),
    ("get_tool", lambda E: (Index("x"),), ("TypeError", "__index__ returned non-int (type str)")),
    ("get_tool", lambda E: (IntOnly(),), no_integer("IntOnly")),
    ("get_tool", lambda E: (3.0,), no_integer("float")),
    ("get_tool", lambda E: (decimal.Decimal(3),), no_integer("decimal.Decimal")),
    ("get_tool", lambda E: (None,), no_integer("NoneType")),
    ("get_tool", lambda E: ("",), no_integer("str")),
    ("get_tool", lambda E: (-1,), invalid_tool(-1)),
    ("get_tool", lambda E: (6,), invalid_tool(6)),
    # free_tool_id, clear_tool_id: range only
    ("free_tool_id", lambda E: (USED,), OK),
    ("free_tool_id", lambda E: (FREE,), OK),
    ("free_tool_id", lambda E: (-1,), invalid_tool(-1)),
    ("free_tool_id", lambda E: (8,), invalid_tool(8)),
    ("free_tool_id", lambda E: (2**31,), too_large()),
    ("free_tool_id", lambda E: (3.5,), no_integer("float")),
    ("clear_tool_id", lambda E: (USED,), OK),
    ("clear_tool_id", lambda E: (FREE,), OK),
    ("clear_tool_id", lambda E: (-1,), invalid_tool(-1)),
    ("clear_tool_id", lambda E: (6,), invalid_tool(6)),
    ("clear_tool_id", lambda E: (-(2**31) - 1,), too_large()),
    ("clear_tool_id", lambda E: (None,), no_integer("NoneType")),
    # register_callback: conversions, range, one event, which event
    ("register_callback", lambda E: (USED, E.LINE, None), OK),
    ("register_callback", lambda E: (USED, E.LINE, len), OK),
    ("register_callback", lambda E: (USED, E.LINE, 5), OK),
    ("register_callback", lambda E: (FREE, E.LINE, len), OK),
    ("register_callback", lambda E: (USED, E.C_RETURN, len), OK),
    ("register_callback", lambda E: (USED, E.C_RAISE, len), OK),
    ("register_callback", lambda E: (USED, E.RAISE, len), OK),
    ("register_callback", lambda E: (USED, E.BRANCH, len), OK),
    ("register_callback", lambda E: (USED, True, len), OK),
    ("register_callback", lambda E: (USED, Index(E.LINE), len), OK),
    ("register_callback", lambda E: (6, 0, len), invalid_tool(6)),
    ("register_callback", lambda E: (-1, 1 << 30, len), invalid_tool(-1)),
    ("register_callback", lambda E: (6, 2**40, len), too_large()),
    ("register_callback", lambda E: (6, "LINE", len), no_integer("str")),
    ("register_callback", lambda E: ("x", 2**40, len), no_integer("str")),
    ("register_callback", lambda E: (2**40, "x", len), too_large()),
    ("register_callback", lambda E: (USED, 0, len), ONE_AT_A_TIME),
    ("register_callback", lambda E: (USED, E.LINE | E.CALL, len), ONE_AT_A_TIME),
    ("register_callback", lambda E: (USED, -1, len), ONE_AT_A_TIME),
    ("register_callback", lambda E: (USED, -2, len), ONE_AT_A_TIME),
    ("register_callback", lambda E: (USED, 3 << 29, len), ONE_AT_A_TIME),
    ("register_callback", lambda E: (USED, 1 << 19, len), ("ValueError", f"invalid event {1 << 19}")),
    ("register_callback", lambda E: (USED, 1 << 20, len), ("ValueError", f"invalid event {1 << 20}")),
    ("register_callback", lambda E: (USED, 1 << 30, None), ("ValueError", f"invalid event {1 << 30}")),
    ("register_callback", lambda E: (USED, -(2**31), len), ("ValueError", f"invalid event {-(2**31)}")),
    # get_events: range only
    ("get_events", lambda E: (USED,), ("returned", 0)),
    ("get_events", lambda E: (FREE,), ("returned", 0)),
    ("get_events", lambda E: (6,), invalid_tool(6)),
    ("get_events", lambda E: (-1,), invalid_tool(-1)),
    ("get_events", lambda E: (2**31,), too_large()),
    ("get_events", lambda E: ([],), no_integer("list")),
    # set_events: conversions, range, the set, the ancillary rule, in use
    ("set_events", lambda E: (USED, 0), OK),
    ("set_events", lambda E: (USED, E.LINE | E.RAISE), OK),
    ("set_events", lambda E: (USED, E.BRANCH), OK),
    ("set_events", lambda E: (USED, True), OK),
    ("set_events", lambda E: (USED, E.CALL | E.C_RETURN | E.C_RAISE), OK),
    ("set_events", lambda E: (6, -1), invalid_tool(6)),
    ("set_events", lambda E: (6, 2**31), too_large()),
    ("set_events", lambda E: (2**31, "x"), too_large()),
    ("set_events", lambda E: ("x", 2**31), no_integer("str")),
    ("set_events", lambda E: (USED, 1.0), no_integer("float")),
    ("set_events", lambda E: (USED, -1), ("ValueError", "invalid event set 0xffffffff")),
    ("set_events", lambda E: (USED, -(2**31)), ("ValueError", "invalid event set 0x80000000")),
    ("set_events", lambda E: (USED, 1 << 19), ("ValueError", "invalid event set 0x80000")),
    ("set_events", lambda E: (USED, 1 << 30 | 1), ("ValueError", "invalid event set 0x40000001")),
    ("set_events", lambda E: (FREE, -1), ("ValueError", "invalid event set 0xffffffff")),
    (
        "set_events",
        lambda E: (USED, E.C_RETURN | 1 << 25),
        lambda E: ("ValueError", f"invalid event set {E.C_RETURN | 1 << 25:#x}"),
    ),
    ("set_events", lambda E: (USED, E.C_RETURN), NOT_INDEPENDENT),
    ("set_events", lambda E: (USED, E.C_RAISE), NOT_INDEPENDENT),
    ("set_events", lambda E: (USED, E.C_RETURN | E.C_RAISE), NOT_INDEPENDENT),
    ("set_events", lambda E: (USED, E.CALL | E.C_RETURN), NOT_INDEPENDENT),
    ("set_events", lambda E: (USED, E.CALL | E.C_RAISE | E.LINE), NOT_INDEPENDENT),
    ("set_events", lambda E: (FREE, E.CALL | E.C_RAISE), NOT_INDEPENDENT),
    ("set_events", lambda E: (FREE, E.LINE), NOT_IN_USE),
    ("set_events", lambda E: (FREE, 0), NOT_IN_USE),
    # get_local_events
    ("get_local_events", lambda E: (USED, CODE), ("returned", 0)),
    ("get_local_events", lambda E: (FREE, CODE), ("returned", 0)),
    ("get_local_events", lambda E: (6, CODE), invalid_tool(6)),
    ("get_local_events", lambda E: (-1, CODE), invalid_tool(-1)),
    ("get_local_events", lambda E: (2**31, CODE), too_large()),
    ("get_local_events", lambda E: ("x", CODE), no_integer("str")),
    # set_local_events: conversions, range, the ancillary rule, the set, in use
    ("set_local_events", lambda E: (USED, CODE, 0), OK),
    ("set_local_events", lambda E: (USED, CODE, E.LINE | E.PY_START), OK),
    ("set_local_events", lambda E: (USED, CODE, E.BRANCH), OK),
    ("set_local_events", lambda E: (USED, CODE, E.CALL | E.C_RETURN | E.C_RAISE), OK),
    ("set_local_events", lambda E: (6, CODE, -1), invalid_tool(6)),
    ("set_local_events", lambda E: (6, CODE, 2**31), too_large()),
    ("set_local_events", lambda E: (2**31, CODE, "x"), too_large()),
    ("set_local_events", lambda E: (USED, CODE, "x"), no_integer("str")),
    ("set_local_events", lambda E: (USED, CODE, E.C_RETURN), NOT_INDEPENDENT),
    ("set_local_events", lambda E: (USED, CODE, E.C_RETURN | E.RAISE), NOT_INDEPENDENT),
    ("set_local_events", lambda E: (USED, CODE, E.CALL | E.C_RETURN | 1 << 25), NOT_INDEPENDENT),
    ("set_local_events", lambda E: (FREE, CODE, E.C_RETURN), NOT_INDEPENDENT),
    ("set_local_events", lambda E: (USED, CODE, E.RAISE), ("ValueError", "invalid local event set 0x800")),
    ("set_local_events", lambda E: (FREE, CODE, E.RAISE), ("ValueError", "invalid local event set 0x800")),
    ("set_local_events", lambda E: (USED, CODE, E.RERAISE), ("ValueError", "invalid local event set 0x8000")),
    (
        "set_local_events",
        lambda E: (USED, CODE, E.PY_UNWIND | E.LINE),
        ("ValueError", "invalid local event set 0x2020"),
    ),
    (
        "set_local_events",
        lambda E: (USED, CODE, E.CALL | E.C_RETURN | E.C_RAISE | E.RAISE),
        ("ValueError", "invalid local event set 0x810"),
    ),
    ("set_local_events", lambda E: (USED, CODE, 1 << 20), ("ValueError", "invalid local event set 0x100000")),
    ("set_local_events", lambda E: (USED, CODE, -1), ("ValueError", "invalid local event set 0xfff8ffff")),
    ("set_local_events", lambda E: (FREE, CODE, -1), ("ValueError", "invalid local event set 0xfff8ffff")),
    ("set_local_events", lambda E: (USED, CODE, -(2**31)), ("ValueError", "invalid local event set 0x80000000")),
    ("set_local_events", lambda E: (FREE, CODE, E.LINE), NOT_IN_USE),
    ("set_local_events", lambda E: (FREE, CODE, 0), NOT_IN_USE),
    # the rest
    ("restart_events", lambda E: (), OK),
    ("restart_events", lambda E: (1,), ("TypeError", "restart_events() takes no arguments (1 given)")),
    ("_all_events", lambda E: (), ("returned", {})),
    ("_all_events", lambda E: (1,), ("TypeError", "_all_events() takes no arguments (1 given)")),
    # too few, too many
    ("use_tool_id", lambda E: (), ("TypeError", "use_tool_id expected 2 arguments, got 0")),
    ("use_tool_id", lambda E: ("x",), ("TypeError", "use_tool_id expected 2 arguments, got 1")),
    ("use_tool_id", lambda E: (1, "a", "b"), ("TypeError", "use_tool_id expected 2 arguments, got 3")),
    ("clear_tool_id", lambda E: (), ("TypeError", "clear_tool_id() takes exactly one argument (0 given)")),
    ("free_tool_id", lambda E: (1, 2), ("TypeError", "free_tool_id() takes exactly one argument (2 given)")),
    ("get_tool", lambda E: (), ("TypeError", "get_tool() takes exactly one argument (0 given)")),
    ("get_events", lambda E: (1, 2, 3), ("TypeError", "get_events() takes exactly one argument (3 given)")),
    ("register_callback", lambda E: (1, 2), ("TypeError", "register_callback expected 3 arguments, got 2")),
    ("register_callback", lambda E: (1, 2, 3, 4), ("TypeError", "register_callback expected 3 arguments, got 4")),
    ("set_events", lambda E: (1,), ("TypeError", "set_events expected 2 arguments, got 1")),
    ("get_local_events", lambda E: (1,), ("TypeError", "get_local_events expected 2 arguments, got 1")),
    ("set_local_events", lambda E: (1, CODE), ("TypeError", "set_local_events expected 3 arguments, got 2")),
]


def call_id(call: Any) -> str:
    name, arguments, _ = call
    shown = ", ".join("code" if a is CODE else re.sub(r" at 0x\w+", "", repr(a))[:30] for a in arguments(E))
    return re.sub(r"[^\x20-\x7e]", "?", f"{name}({shown})".replace("::", ":").replace("\0", "?"))


@pytest.mark.parametrize("call", CALLS, ids=call_id)
def test_a_call_does_what_the_interpreters_does(call: Any) -> None:
    name, arguments, answer = call
    if callable(answer):
        answer = answer(E)
    if HAS_NATIVE and hasattr(NATIVE, name):
        M.free_tool_id(USED)
        forget_all(NATIVE)
        expected = outcome(getattr(NATIVE, name), *arguments(E))
        if sys.version_info[:2] == (3, 14):
            assert expected == answer, "the table is wrong"
        for tool in (0, 5, FREE):
            NATIVE.free_tool_id(tool)
        forget_all(NATIVE)
        NATIVE.free_tool_id(USED)
        M.use_tool_id(USED, "used")
    else:
        expected = answer
    assert outcome(getattr(M, name), *arguments(E)) == expected


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_are_positional_only(name: str) -> None:
    expected = ("TypeError", f"{name}() takes no keyword arguments")
    assert outcome(getattr(M, name), tool_id=1) == expected
    assert outcome(getattr(M, name), USED, "x", event=1) == expected


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_builtin_functions(name: str) -> None:
    function = getattr(M, name)
    assert type(function) is types.BuiltinFunctionType
    assert function.__name__ == function.__qualname__ == name
    assert repr(function) == f"<built-in function {name}>"
    assert function.__module__ == "rmon.monitoring"
    if HAS_NATIVE and hasattr(NATIVE, name):
        assert inspect.signature(function) == inspect.signature(getattr(NATIVE, name))


def test_it_is_a_real_module() -> None:
    assert type(M) is types.ModuleType
    assert M.__name__ == "rmon.monitoring"
    assert sys.modules["rmon.monitoring"] is M is rmon.monitoring
    import rmon.monitoring as imported

    assert imported is M
    names = {name for name in dir(M) if not name.startswith("__")}
    assert {*FUNCTIONS, "events", "DISABLE", "MISSING"} <= names
    assert [M.DEBUGGER_ID, M.COVERAGE_ID, M.PROFILER_ID, M.OPTIMIZER_ID] == [0, 1, 2, 5]
    if HAS_NATIVE:
        assert {name for name in dir(NATIVE) if not name.startswith("__")} <= names


def test_disable_and_missing_are_the_interpreters_own_objects() -> None:
    if HAS_NATIVE:
        assert M.DISABLE is NATIVE.DISABLE
        assert M.MISSING is NATIVE.MISSING
    assert type(M.DISABLE) is object
    assert type(M.MISSING) is object
    assert M.DISABLE is not M.MISSING


def test_events_have_the_interpreters_numbers() -> None:
    assert type(E) is types.SimpleNamespace
    assert set(vars(E)) == {"NO_EVENTS", *EVENTS_OF_3_14}
    assert all(type(value) is int for value in vars(E).values())
    assert E.NO_EVENTS == 0
    assert len(set(vars(E).values())) == len(vars(E)), "an event for each number"
    if not HAS_NATIVE:
        assert vars(E) == {"NO_EVENTS": 0, **{name: 1 << bit for name, bit in EVENTS_OF_3_14.items()}}
        return
    native = vars(NATIVE.events)
    assert {name: value for name, value in vars(E).items() if name in native} == native
    lacking = [value for name, value in vars(E).items() if name not in native]
    assert all(value > max(native.values()) and value & (value - 1) == 0 for value in lacking)


# ---- Names and ids ----


@pytest.mark.parametrize("name", ["x", "", "a\0b", "\udc80", "\U0001f600", "n" * 100_000, Name("a name")], ids=ascii)
def test_a_tools_name_reads_back(name: str) -> None:
    M.use_tool_id(FREE, name)
    assert M.get_tool(FREE) == name
    assert type(M.get_tool(FREE)) is type(name)
    with pytest.raises(ValueError, match=f"^tool {FREE} is already in use$"):
        M.use_tool_id(FREE, name)
    M.set_events(FREE, E.LINE)
    M.free_tool_id(FREE)
    assert M.get_tool(FREE) is None


def test_all_six_ids_can_be_used_at_once() -> None:
    M.free_tool_id(USED)
    for tool in range(6):
        M.use_tool_id(tool, f"tool {tool}")
    assert [M.get_tool(tool) for tool in range(6)] == [f"tool {tool}" for tool in range(6)]
    M.free_tool_id(2)
    assert M.get_tool(2) is None
    assert M.get_tool(1) == "tool 1"


@pytest.mark.parametrize("release", ["free_tool_id", "clear_tool_id"])
def test_freeing_and_clearing_end_all_that_a_tool_has_set(release: str) -> None:
    code, log = rmon.CodeLike("f", "f.py"), []
    executed = compile("pass", "f.py", "exec")
    M.register_callback(USED, E.LINE, lambda fired, line: fired is code and log.append(line))
    M.register_callback(USED, E.RAISE, nothing)
    M.set_events(USED, E.LINE | E.CALL)
    M.set_local_events(USED, code, E.PY_START)
    M.set_local_events(USED, executed, E.PY_START)
    getattr(M, release)(USED)
    exec(executed)  # the interpreter's own local events end when the code is next executed (3.14)
    assert M.get_tool(USED) == (None if release == "free_tool_id" else "used")
    assert M.get_events(USED) == 0
    assert M.get_local_events(USED, code) == 0
    assert M.get_local_events(USED, executed) == 0
    assert M._all_events() == {}
    if HAS_NATIVE:
        assert NATIVE.get_tool(USED) == M.get_tool(USED)
        assert NATIVE.get_events(USED) == 0
        assert NATIVE.get_local_events(USED, executed) == 0
        assert NATIVE.register_callback(USED, NATIVE.events.LINE, None) is None
    assert M.register_callback(USED, E.LINE, None) is None
    assert M.register_callback(USED, E.RAISE, None) is None
    if release == "free_tool_id":
        M.use_tool_id(USED, "again")
    M.set_events(USED, E.LINE)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(1)
    assert log == []


def test_clearing_an_unused_id_leaves_callbacks_alone() -> None:
    M.register_callback(FREE, E.LINE, len)
    M.clear_tool_id(FREE)
    M.free_tool_id(FREE)
    assert M.register_callback(FREE, E.LINE, None) is len


def test_a_callback_registered_before_the_id_is_used_counts() -> None:
    code, log = rmon.CodeLike("f", "f.py"), []
    M.register_callback(FREE, E.LINE, lambda code, line: log.append(line))
    M.use_tool_id(FREE, "late")
    M.set_local_events(FREE, code, E.LINE)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(7)
    assert log == [7]
    M.free_tool_id(FREE)


@pytest.mark.skipif(not HAS_NATIVE, reason="no sys.monitoring")
def test_ids_are_the_interpreters() -> None:
    """rmon.monitoring passes on to sys.monitoring, whoever took or freed an id there."""
    assert NATIVE.get_tool(USED) == "used"
    NATIVE.use_tool_id(FREE, "taken behind rmon's back")
    assert M.get_tool(FREE) == "taken behind rmon's back"
    with pytest.raises(ValueError, match=f"^tool {FREE} is already in use$"):
        M.use_tool_id(FREE, "mine")
    M.set_events(FREE, E.LINE)
    assert NATIVE.get_events(FREE) == E.LINE
    code, log = rmon.CodeLike("f", "f.py"), []
    M.set_events(FREE, 0)
    M.register_callback(FREE, E.LINE, lambda code, line: log.append(line))
    M.set_local_events(FREE, code, E.LINE)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(7)
    assert log == [7]
    M.set_local_events(FREE, code, 0)
    M.register_callback(FREE, E.LINE, None)
    NATIVE.free_tool_id(FREE)
    NATIVE.free_tool_id(USED)
    assert M.get_tool(USED) is None
    assert M.get_tool(FREE) is None
    with pytest.raises(ValueError, match=f"^tool {USED} is not in use$"):
        M.set_events(USED, E.LINE)
    M.use_tool_id(USED, "again")
    assert M.get_tool(USED) == NATIVE.get_tool(USED) == "again"
    M.set_events(USED, E.LINE)
    assert NATIVE.get_events(USED) == E.LINE


@pytest.mark.skipif(not HAS_NATIVE, reason="no sys.monitoring")
@pytest.mark.parametrize("code", [None, CODE], ids=["look-alike", "code"])
def test_an_id_that_was_given_back_behind_rmons_back_is_not_in_use(code: Any) -> None:
    code = code or rmon.CodeLike("f", "f.py")
    NATIVE.free_tool_id(USED)
    with pytest.raises(ValueError, match=f"^tool {USED} is not in use$"):
        M.set_local_events(USED, code, E.LINE)
    assert M.get_local_events(USED, code) == 0


@pytest.mark.skipif(not HAS_NATIVE, reason="no sys.monitoring")
def test_who_takes_an_id_behind_rmons_back_has_nothing_of_the_last_one() -> None:
    code, log = rmon.CodeLike("f", "f.py"), []
    M.register_callback(USED, E.LINE, lambda fired, line: log.append(line) if fired is code else None)
    M.set_events(USED, E.LINE)
    NATIVE.free_tool_id(USED)
    NATIVE.use_tool_id(USED, "another")
    M.set_local_events(USED, code, E.PY_START)
    with rmon.Scope(code, E.LINE, E.PY_START) as scope:
        scope.line(7)
    assert log == []
    assert M.get_local_events(USED, code) == E.PY_START
    assert M.get_tool(USED) == "another"
    M.register_callback(USED, E.LINE, None)  # the interpreter's own stays registered below 3.14


# ---- Events ----


@pytest.mark.parametrize("name", sorted(EVENTS_OF_3_14))
def test_each_event_can_be_set_and_registered(name: str) -> None:
    event = getattr(E, name)
    if name in ("C_RETURN", "C_RAISE"):
        M.set_events(USED, E.CALL | E.C_RETURN | E.C_RAISE)
        assert M.get_events(USED) == E.CALL
    else:
        M.set_events(USED, event)
        both = E.BRANCH_LEFT | E.BRANCH_RIGHT
        assert M.get_events(USED) == (both if name == "BRANCH" and HAS_BRANCH_DIRECTIONS else event)
    M.set_events(USED, 0)
    assert M.register_callback(USED, event, len) is None
    assert M.register_callback(USED, event, repr) is len
    assert M.register_callback(USED, event, 5) is repr
    assert M.register_callback(USED, event, None) == 5
    assert M.register_callback(USED, event, None) is None


LOCAL = ["PY_START", "PY_RESUME", "PY_RETURN", "PY_YIELD", "CALL", "LINE", "INSTRUCTION", "JUMP", "STOP_ITERATION"]
GLOBAL = ["RAISE", "EXCEPTION_HANDLED", "PY_UNWIND", "PY_THROW", "RERAISE"]


@pytest.mark.parametrize("name", LOCAL + ["BRANCH_LEFT", "BRANCH_RIGHT", "BRANCH"])
def test_each_local_event_can_be_set_for_a_look_alike(name: str) -> None:
    code, other = rmon.CodeLike("f", "f.py"), rmon.CodeLike("f", "f.py")
    event = getattr(E, name)
    M.set_local_events(USED, code, event)
    both = E.BRANCH_LEFT | E.BRANCH_RIGHT
    assert M.get_local_events(USED, code) == (both if name == "BRANCH" and HAS_BRANCH_DIRECTIONS else event)
    assert M.get_local_events(USED, other) == 0
    assert M.get_local_events(FREE, code) == 0
    assert M.get_events(USED) == 0
    M.set_local_events(USED, code, 0)
    assert M.get_local_events(USED, code) == 0


@pytest.mark.parametrize("name", GLOBAL)
def test_other_events_are_local_where_the_interpreters_are(name: str) -> None:
    code, event = rmon.CodeLike("f", "f.py"), getattr(E, name)
    if sys.version_info >= (3, 15):
        M.set_local_events(USED, code, event)
        assert M.get_local_events(USED, code) == event
    else:
        with pytest.raises(ValueError, match=f"^invalid local event set {event:#x}$"):
            M.set_local_events(USED, code, event)
        assert M.get_local_events(USED, code) == 0


def test_the_ancillary_rule_holds_for_look_alikes() -> None:
    code = rmon.CodeLike("f", "f.py")
    for events in (E.C_RETURN, E.C_RAISE, E.C_RETURN | E.C_RAISE, E.CALL | E.C_RAISE):
        with pytest.raises(ValueError, match="^cannot set C_RETURN or C_RAISE events independently$"):
            M.set_local_events(USED, code, events)
    M.set_local_events(USED, code, E.CALL | E.C_RETURN | E.C_RAISE | E.LINE)
    assert M.get_local_events(USED, code) == E.CALL | E.LINE


def test_a_failed_call_changes_nothing() -> None:
    code = rmon.CodeLike("f", "f.py")
    M.set_events(USED, E.JUMP)
    M.set_local_events(USED, code, E.LINE)
    M.register_callback(USED, E.JUMP, nothing)
    for events in (-1, 1 << 30, E.C_RETURN):
        with pytest.raises(ValueError):
            M.set_events(USED, events)
        with pytest.raises(ValueError):
            M.set_local_events(USED, code, events)
    with pytest.raises(ValueError):
        M.register_callback(USED, E.JUMP | E.LINE, print)
    with pytest.raises(ValueError):
        M.use_tool_id(USED, "other")
    assert M.get_tool(USED) == "used"
    assert M.get_events(USED) == E.JUMP
    assert M.get_local_events(USED, code) == E.LINE
    assert M.register_callback(USED, E.JUMP, None) is nothing


def test_all_events_names_who_listens() -> None:
    M.use_tool_id(FREE, "free")
    M.set_events(USED, E.LINE | E.CALL)
    M.set_events(FREE, E.LINE | E.RAISE)
    assert M._all_events() == {"CALL": 1 << USED, "LINE": 1 << USED | 1 << FREE, "RAISE": 1 << FREE}
    if HAS_NATIVE:
        assert M._all_events() == NATIVE._all_events()
    M.set_events(USED, E.CALL | E.C_RETURN | E.C_RAISE)
    M.set_events(FREE, 0)
    assert M._all_events() == {"CALL": 1 << USED}
    M.set_events(USED, E.BRANCH)
    if HAS_BRANCH_DIRECTIONS:
        assert M._all_events() == {"BRANCH_LEFT": 1 << USED, "BRANCH_RIGHT": 1 << USED}
    else:
        assert M._all_events() == {"BRANCH": 1 << USED}


@pytest.mark.skipif(HAS_BRANCH_DIRECTIONS, reason="the interpreter knows the directions")
def test_directions_that_the_interpreter_lacks() -> None:
    """On 3.12 and 3.13 BRANCH_LEFT and BRANCH_RIGHT are rmon's own; the interpreter is told nothing of them."""
    code = rmon.CodeLike("f", "f.py")
    M.set_events(USED, E.BRANCH_LEFT | E.LINE)
    assert M.get_events(USED) == E.BRANCH_LEFT | E.LINE
    assert NATIVE.get_events(USED) == E.LINE
    assert M._all_events() == {"LINE": 1 << USED, "BRANCH_LEFT": 1 << USED}
    M.set_events(USED, E.BRANCH | E.BRANCH_RIGHT)
    assert M.get_events(USED) == E.BRANCH | E.BRANCH_RIGHT
    assert NATIVE.get_events(USED) == E.BRANCH
    M.set_events(USED, 0)
    for subject in (code, CODE):
        M.set_local_events(USED, subject, E.BRANCH_RIGHT | E.LINE)
        assert M.get_local_events(USED, subject) == E.BRANCH_RIGHT | E.LINE
    assert NATIVE.get_local_events(USED, CODE) == E.LINE
    assert M.register_callback(USED, E.BRANCH_LEFT, len) is None
    assert NATIVE.register_callback(USED, E.BRANCH, None) is None
    assert M.register_callback(USED, E.BRANCH_LEFT, None) is len
    over = E.BRANCH_LEFT | E.BRANCH_RIGHT
    over = 1 << over.bit_length()
    with pytest.raises(ValueError, match=f"^invalid event set {over:#x}$"):
        M.set_events(USED, over)
    with pytest.raises(ValueError, match=f"^invalid event {over}$"):
        M.register_callback(USED, over, len)
    with pytest.raises(ValueError, match=f"^tool {FREE} is not in use$"):
        M.set_events(FREE, E.BRANCH_LEFT)


# ---- BRANCH's callback ----


@pytest.mark.skipif(not HAS_BRANCH_DIRECTIONS, reason="the interpreter has one kind of branch")
def test_registering_branch_stands_for_both_directions() -> None:
    def one(*args: Any) -> None: ...
    def two(*args: Any) -> None: ...

    def check(register: Callable[[int, int, Any], Any], E: Any) -> None:
        def swap(event: int, function: Any) -> Any:
            return register(USED, event, function)

        assert swap(E.BRANCH, one) is None
        assert swap(E.BRANCH_LEFT, None) is one  # without a wrapper
        assert swap(E.BRANCH_RIGHT, None) is one
        assert swap(E.BRANCH, None) is None
        # BRANCH returns what was there for LEFT
        assert swap(E.BRANCH_LEFT, one) is None
        assert swap(E.BRANCH_RIGHT, two) is None
        assert swap(E.BRANCH, None) is one
        assert swap(E.BRANCH_LEFT, None) is None
        assert swap(E.BRANCH_RIGHT, None) is None
        assert swap(E.BRANCH_RIGHT, two) is None
        assert swap(E.BRANCH, one) is None
        assert swap(E.BRANCH_RIGHT, two) is one
        assert swap(E.BRANCH, two) is one
        assert swap(E.BRANCH, None) is two

    if HAS_NATIVE:
        check(NATIVE.register_callback, NATIVE.events)
    check(M.register_callback, E)


@pytest.mark.skipif(HAS_BRANCH_DIRECTIONS, reason="BRANCH stands for both directions")
def test_branch_is_registered_separately() -> None:
    assert M.register_callback(USED, E.BRANCH, len) is None
    assert M.register_callback(USED, E.BRANCH_LEFT, repr) is None
    assert M.register_callback(USED, E.BRANCH_RIGHT, abs) is None
    assert M.register_callback(USED, E.BRANCH, None) is len
    assert M.register_callback(USED, E.BRANCH_LEFT, None) is repr
    assert M.register_callback(USED, E.BRANCH_RIGHT, None) is abs


# ---- Any object is a code ----

SHARED = object()


@pytest.mark.parametrize(
    "code",
    [
        SHARED,
        5,
        2**100,
        "text",
        None,
        types.SimpleNamespace(co_name="x"),
        [1],
        {},
        len,
        int,
        rmon,
        compile("", "", "exec"),
        subject,
    ],
    ids=lambda code: type(code).__name__,
)
def test_local_events_of_any_object(code: Any) -> None:
    assert M.get_local_events(USED, code) == 0
    M.set_local_events(USED, code, E.LINE | E.JUMP)
    assert M.get_local_events(USED, code) == E.LINE | E.JUMP
    assert M.get_local_events(FREE, code) == 0
    with pytest.raises(ValueError, match=f"^tool {FREE} is not in use$"):
        M.set_local_events(FREE, code, E.LINE)
    with pytest.raises(ValueError, match=r"^invalid tool 6 \(must be between 0 and 5\)$"):
        M.set_local_events(6, code, E.LINE)
    with pytest.raises(ValueError, match="^invalid local event set 0x40000000$"):
        M.set_local_events(USED, code, 1 << 30)
    M.set_local_events(USED, code, 0)
    assert M.get_local_events(USED, code) == 0


def test_local_events_go_by_identity() -> None:
    class Same:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        def __hash__(self) -> int:
            raise AssertionError("hashed")

    one, two = Same(), Same()
    M.set_local_events(USED, one, E.LINE)
    assert M.get_local_events(USED, one) == E.LINE
    assert M.get_local_events(USED, two) == 0
    equal = [], []
    M.set_local_events(USED, equal[0], E.LINE)
    assert M.get_local_events(USED, equal[1]) == 0
    twins = [compile("pass", "twins", "exec") for _ in range(2)]
    assert twins[0] == twins[1]
    M.set_local_events(USED, twins[0], E.LINE)
    assert M.get_local_events(USED, twins[1]) == 0


@pytest.mark.skipif(not HAS_NATIVE, reason="no sys.monitoring")
def test_local_events_of_a_real_code_are_the_interpreters_too() -> None:
    M.set_local_events(USED, CODE, E.LINE | E.PY_START)
    assert NATIVE.get_local_events(USED, CODE) == E.LINE | E.PY_START
    M.set_local_events(USED, CODE, E.CALL | E.C_RETURN | E.C_RAISE)
    assert NATIVE.get_local_events(USED, CODE) == M.get_local_events(USED, CODE) == E.CALL
    M.set_local_events(USED, CODE, E.BRANCH)
    assert NATIVE.get_local_events(USED, CODE) == M.get_local_events(USED, CODE)


# ---- Audit events ----

AUDITED = """
    import json, sys
    import rmon
    M, E = rmon.monitoring, rmon.monitoring.events
    if {installed}:
        rmon.install()
        M = sys.monitoring
    seen, fail = [], False

    def hook(name, args):
        if name.startswith("sys.monitoring") or name.startswith("rmon"):
            seen.append([name, [repr(arg) for arg in args]])
            if fail:
                raise LookupError("forbidden")

    sys.addaudithook(hook)
    def calls(code=hook.__code__):
        M.use_tool_id(3, "tool")
        M.set_events(3, E.LINE)
        M.set_events(3, 0)
        M.set_local_events(3, code, E.LINE)
        M.set_local_events(3, code, 0)
        M.get_events(3), M.get_local_events(3, code), M.get_tool(3), M._all_events()
        M.restart_events()
        assert seen == [], seen
        for event, function in ((E.LINE, len), (E.LINE, None), (E.BRANCH, len), (E.BRANCH, None), (E.C_RAISE, 5)):
            M.register_callback(3, event, function)
            assert seen == [["sys.monitoring.register_callback", [repr(function)]]], (event, seen)
            seen.clear()
        for args in ((6, E.LINE, len), (3, 0, len), (3, 1 << 25, len)):
            try:
                M.register_callback(*args)
            except ValueError:
                pass
            else:
                raise AssertionError(args)
        assert seen == [], seen
        M.register_callback(3, E.C_RAISE, None)
        seen.clear()
        M.free_tool_id(3)
        assert seen == [], seen
    calls()

    M.use_tool_id(3, "tool")
    log = []
    def old(*args): log.append("old")
    def new(*args): log.append("new")
    code = rmon.CodeLike("f", "f.py")
    rmon.monitoring.set_local_events(3, code, E.JUMP)
    M.register_callback(3, E.JUMP, old)
    for function in (new, None, 5):
        fail = True
        try:
            M.register_callback(3, E.JUMP, function)
        except LookupError as error:
            assert str(error) == "forbidden"
        else:
            raise AssertionError("the hook's exception was lost")
        fail = False
    with rmon.Scope(code, E.JUMP) as scope:
        scope.jump(0, 2)
    assert log == ["old"], log
    assert M.register_callback(3, E.JUMP, None) is old
    print("fine")
"""


@pytest.mark.parametrize("installed", [False, True], ids=["rmon.monitoring", "sys.monitoring installed"])
def test_register_callback_raises_one_audit_event(run_python: Any, installed: bool) -> None:
    script = textwrap.dedent(AUDITED).format(installed=installed)
    assert run_python("-c", script).stdout == "fine\n"


# ---- Odd moments ----


def test_an_index_that_uses_the_tools_meanwhile() -> None:
    """Arguments are converted before anything is looked at."""

    class Sly:
        def __index__(self) -> int:
            M.free_tool_id(USED)
            return E.LINE

    with pytest.raises(ValueError, match=f"^tool {USED} is not in use$"):
        M.set_events(USED, Sly())
    assert M.get_events(USED) == 0


def test_a_callables_own_protocol_is_not_used_by_registration() -> None:
    class Hostile:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        def __bool__(self) -> bool:
            raise AssertionError("asked for truth")

        def __hash__(self) -> int:
            raise AssertionError("hashed")

    hostile = Hostile()
    assert M.register_callback(USED, E.LINE, hostile) is None
    assert M.register_callback(USED, E.LINE, None) is hostile


def test_setting_events_very_often_is_possible() -> None:
    """No counter of rmon's own runs out. (The interpreter's does after millions of changes.)"""
    for _ in range(20_000):
        M.set_events(USED, E.LINE)
        M.set_events(USED, 0)
    assert M.get_events(USED) == 0


def test_the_answers_are_json() -> None:
    """Plain ints, strings and dicts, no subclass."""
    M.set_events(USED, E.LINE)
    assert json.dumps([M.get_events(USED), M.get_tool(USED), M._all_events()]) == f'[{E.LINE}, "used", {{"LINE": 8}}]'
    assert type(M.get_events(USED)) is int
    assert type(M._all_events()) is dict
