"""rmon.testing: the functions of CPython's _testcapi that fire events."""

from __future__ import annotations

import gc
import importlib.util
import os
import subprocess
import sys
import weakref
from typing import Any, Callable

import pytest
from conftest import Tool

import rmon
from rmon import monitoring, testing

events = monitoring.events
NAMES = [name for name in vars(events) if name != "NO_EVENTS"]
EXCEPTION_EVENTS = ["RAISE", "RERAISE", "EXCEPTION_HANDLED", "PY_UNWIND", "PY_THROW", "C_RAISE"]
LOCAL = [name for name in NAMES if name not in EXCEPTION_EVENTS and name != "C_RETURN"]
RAISED = ValueError("raised")


def identifier(name: str) -> int:
    return getattr(events, name).bit_length() - 1


def fire(name: str, code: Any, offset: int, *arguments: Any) -> int:
    return getattr(testing, "fire_event_" + name.lower())(code, offset, *arguments)


# (event, what it is fired with, what a callback gets after the code)
CASES = [
    ("PY_START", (), (0,)),
    ("PY_RESUME", (), (0,)),
    ("PY_RETURN", (20,), (0, 20)),
    ("PY_RETURN", (None,), (0, None)),
    ("PY_YIELD", (10,), (0, 10)),
    ("CALL", (callable, 40), (0, callable, 40)),
    ("CALL", (callable, monitoring.MISSING), (0, callable, monitoring.MISSING)),
    ("LINE", (55,), (55,)),
    ("LINE", (-(2**31),), (-(2**31),)),
    ("INSTRUCTION", (), (0,)),
    ("JUMP", (60,), (0, 60)),
    ("JUMP", ("target",), (0, "target")),
    ("BRANCH", (70,), (0, 70)),
    ("BRANCH_LEFT", (80,), (0, 80)),
    ("BRANCH_RIGHT", (90,), (0, 90)),
    ("RAISE", (RAISED,), (0, RAISED)),
    ("RERAISE", (RAISED,), (0, RAISED)),
    ("EXCEPTION_HANDLED", (RAISED,), (0, RAISED)),
    ("PY_UNWIND", (RAISED,), (0, RAISED)),
    ("PY_THROW", (RAISED,), (0, RAISED)),
    ("C_RETURN", (1,), (0, monitoring.MISSING, monitoring.MISSING)),
    ("C_RAISE", (RAISED,), (0, monitoring.MISSING, monitoring.MISSING)),
]
ARGUMENTS: dict[str, tuple[Any, ...]] = {name: arguments for name, arguments, _ in CASES}
ARGUMENTS["STOP_ITERATION"] = (7,)


def listen(tool: Tool, code: object, name: str) -> list[tuple[Any, ...]]:
    """What the tool gets of an event for this code."""
    heard: list[tuple[Any, ...]] = []

    def callback(its_code: object, *arguments: object) -> None:
        if its_code is code:
            heard.append(arguments)

    if name in ("C_RETURN", "C_RAISE"):
        monitoring.set_events(tool.id, events.CALL)
    tool.callback(name, callback)
    return heard


def test_the_names_of_testcapi() -> None:
    functions = {"fire_event_" + name.lower() for name in NAMES} | {"monitoring_enter_scope", "monitoring_exit_scope"}
    assert set(testing.__all__) == functions | {"CodeLike"}
    assert testing.fire_event_line.__module__ == "rmon.testing"
    assert testing.CodeLike.__module__ == "rmon.testing"


@pytest.mark.parametrize(("name", "arguments", "expected"), CASES)
def test_each_function_fires_its_event(
    tool: Tool, name: str, arguments: tuple[Any, ...], expected: tuple[Any, ...]
) -> None:
    code = testing.CodeLike(1)
    heard = listen(tool, code, name)
    assert testing.monitoring_enter_scope(code, identifier(name)) is None
    assert fire(name, code, 0, *arguments) == 1 << tool.id
    assert testing.monitoring_exit_scope() is None
    assert heard == [expected]
    assert sys.exc_info() == (None, None, None)


@pytest.mark.parametrize(("value", "expected"), [(7, 7), (None, None), ((1, 2), (1, 2)), (RAISED, RAISED)])
def test_stop_iteration(tool: Tool, value: object, expected: object) -> None:
    code = testing.CodeLike(1)
    heard = listen(tool, code, "STOP_ITERATION")
    testing.monitoring_enter_scope(code, identifier("STOP_ITERATION"))
    testing.fire_event_stop_iteration(code, 0, value)
    [(_, exception)] = heard
    assert type(exception) is StopIteration
    assert exception.value is expected


def test_the_offset_is_the_index_of_a_state(tool: Tool) -> None:
    code = testing.CodeLike(3)
    heard = listen(tool, code, "PY_START")
    testing.monitoring_enter_scope(code, identifier("LINE"), identifier("PY_START"))
    assert [testing.fire_event_py_start(code, index) for index in range(3)] == [0, 1 << tool.id, 0]
    assert heard == [(1,)]
    for index in (-1, 3, 2**31 - 1, -(2**31)):
        with pytest.raises(IndexError, match=f"^no state {index}: the CodeLike has 3$"):
            testing.fire_event_py_start(code, index)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_happens_while_nobody_listens(name: str) -> None:
    code = testing.CodeLike(1)
    testing.monitoring_enter_scope(code, identifier(name))
    assert fire(name, code, 0, *ARGUMENTS[name]) == 0
    if name in EXCEPTION_EVENTS:
        assert fire(name, code, 0, None) == 0


@pytest.mark.parametrize("name", EXCEPTION_EVENTS)
def test_no_exception_set(tool: Tool, name: str) -> None:
    code = testing.CodeLike(1)
    heard = listen(tool, code, name)
    testing.monitoring_enter_scope(code, identifier(name))
    with pytest.raises(ValueError, match=f"^Firing event {identifier(name)} with no exception set$"):
        fire(name, code, 0, None)
    with pytest.raises(TypeError, match="^expected an exception or None, not type$"):
        fire(name, code, 0, KeyError)
    assert heard == []


@pytest.mark.parametrize("name", NAMES)
def test_what_a_callback_raises_comes_out(tool: Tool, name: str) -> None:
    code = testing.CodeLike(1)

    def callback(its_code: object, *arguments: object) -> None:
        if its_code is code:
            raise OSError(42)

    if name in ("C_RETURN", "C_RAISE"):
        monitoring.set_events(tool.id, events.CALL)
    tool.callback(name, callback)
    testing.monitoring_enter_scope(code, identifier(name))
    with pytest.raises(OSError, match="^42$") as caught:
        fire(name, code, 0, *ARGUMENTS[name])
    assert caught.value.__context__ is (RAISED if name in EXCEPTION_EVENTS else None)


@pytest.mark.parametrize("name", NAMES)
def test_disabling(tool: Tool, name: str) -> None:
    code = testing.CodeLike(2)
    heard = []

    def callback(its_code: object, *arguments: object) -> object:
        if its_code is code:
            heard.append(arguments)
            return monitoring.DISABLE
        return None

    if name in ("C_RETURN", "C_RAISE"):
        monitoring.set_events(tool.id, events.CALL)
    tool.callback(name, callback)
    testing.monitoring_enter_scope(code, identifier(name), identifier(name))
    if name in LOCAL:
        # Each location has a state of its own, so that its byte is cleared.
        assert fire(name, code, 0, *ARGUMENTS[name]) == 0
    else:
        with pytest.raises(ValueError, match=f"^Cannot disable {name} events. Callback removed.$"):
            fire(name, code, 0, *ARGUMENTS[name])
    fire(name, code, 0, *ARGUMENTS[name])
    assert len(heard) == 1
    if name in LOCAL and name != "LINE":
        fire(name, code, 1, *ARGUMENTS[name])
        assert len(heard) == 2


def test_a_scope_of_other_events_begins_anew(tool: Tool) -> None:
    code = testing.CodeLike(2)
    heard = listen(tool, code, "LINE")
    testing.monitoring_enter_scope(code, identifier("LINE"), identifier("CALL"))
    assert testing.fire_event_line(code, 0, 1) == 1 << tool.id
    testing.monitoring_enter_scope(code, identifier("CALL"))
    assert testing.fire_event_line(code, 0, 2) == 0
    testing.monitoring_enter_scope(code, identifier("CALL"), identifier("LINE"))
    assert testing.fire_event_line(code, 0, 3) == 0
    assert testing.fire_event_line(code, 1, 4) == 1 << tool.id
    testing.monitoring_enter_scope(code)
    assert testing.fire_event_line(code, 1, 5) == 0
    assert [line for line, in heard] == [1, 4]


@pytest.mark.parametrize("wrong", [-1, 31, 32, 100, 2**31 - 1, -(2**31), 25])
def test_an_event_that_is_none(tool: Tool, wrong: int) -> None:
    code = testing.CodeLike(3)
    heard = listen(tool, code, "LINE")
    testing.monitoring_enter_scope(code, identifier("LINE"))
    with pytest.raises(ValueError, match=f"^invalid event {wrong}$"):
        testing.monitoring_enter_scope(code, identifier("CALL"), wrong)
    testing.fire_event_line(code, 0, 1)
    assert heard == [(1,)]


def test_wrong_arguments() -> None:
    code = testing.CodeLike(2)
    with pytest.raises(ValueError, match="^3 events, but the CodeLike has 2 states$"):
        testing.monitoring_enter_scope(code, 1, 1, 1)
    with pytest.raises(TypeError, match=r"^monitoring_enter_scope\(\) missing required argument 'codelike' \(pos 1\)$"):
        testing.monitoring_enter_scope()  # type: ignore[call-arg]
    with pytest.raises(OverflowError):
        testing.monitoring_enter_scope(code, 2**31)
    for event in ("LINE", 1.0, None):
        with pytest.raises(TypeError):
            testing.monitoring_enter_scope(code, event)  # type: ignore[arg-type]
    for other in (None, object(), rmon.CodeLike("f", "f.x"), testing.CodeLike):
        with pytest.raises(TypeError, match="^expected a rmon.testing.CodeLike, not "):
            testing.monitoring_enter_scope(other, 1)  # type: ignore[arg-type]
        for name in NAMES:
            with pytest.raises(TypeError, match="^expected a rmon.testing.CodeLike, not "):
                fire(name, other, 0, *ARGUMENTS[name])
    for name in NAMES:
        with pytest.raises(TypeError):
            fire(name, code, 0, *ARGUMENTS[name], 1)
        with pytest.raises(TypeError):
            getattr(testing, "fire_event_" + name.lower())(code)
        with pytest.raises(TypeError):
            fire(name, code, "0", *ARGUMENTS[name])  # type: ignore[arg-type]
        with pytest.raises(OverflowError):
            fire(name, code, 2**31, *ARGUMENTS[name])
    with pytest.raises(OverflowError):
        testing.fire_event_line(code, 0, 2**31)
    with pytest.raises(TypeError):
        testing.monitoring_exit_scope(1)  # type: ignore[call-arg]


def test_the_object() -> None:
    code = testing.CodeLike(num_events=3)
    assert str(code) == "CodeLike: 0 0 0"
    assert str(testing.CodeLike(0)) == "CodeLike:"
    assert code != testing.CodeLike(3)
    reference = weakref.ref(code)
    del code
    assert reference() is None
    with pytest.raises(ValueError, match="^num_events must be non-negative, not -1$"):
        testing.CodeLike(-1)
    for wrong in ("3", 1.0, None):
        with pytest.raises(TypeError):
            testing.CodeLike(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        testing.CodeLike()  # type: ignore[call-arg]
    with pytest.raises(OverflowError):
        testing.CodeLike(2**31)
    with pytest.raises(TypeError):
        type("Other", (testing.CodeLike,), {})


def test_without_states() -> None:
    code = testing.CodeLike(0)
    testing.monitoring_enter_scope(code)
    with pytest.raises(IndexError, match="^no state 0: the CodeLike has 0$"):
        testing.fire_event_py_start(code, 0)


def test_local_events(tool: Tool) -> None:
    codes = [testing.CodeLike(1), testing.CodeLike(1)]
    heard = []
    monitoring.register_callback(tool.id, events.LINE, lambda *arguments: heard.append(arguments))
    monitoring.set_local_events(tool.id, codes[0], events.LINE)
    for code in codes:
        testing.monitoring_enter_scope(code, identifier("LINE"))
        testing.fire_event_line(code, 0, 5)
    assert heard == [(codes[0], 5)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fails", [False, True])
def test_a_fire_leaks_nothing(tool: Tool, name: str, fails: bool) -> None:
    code = testing.CodeLike(1)
    arguments = ARGUMENTS[name]
    function = getattr(testing, "fire_event_" + name.lower())

    def callback(its_code: object, *_: object) -> None:
        if fails and its_code is code:
            raise ZeroDivisionError

    if name in ("C_RETURN", "C_RAISE"):
        monitoring.register_callback(tool.id, events.CALL, lambda *_: None)
    monitoring.register_callback(tool.id, getattr(events, name), callback)

    def work() -> None:
        if name in LOCAL:
            monitoring.set_local_events(tool.id, code, getattr(events, name))
        else:
            monitoring.set_events(tool.id, events.CALL if name.startswith("C_") else getattr(events, name))
        testing.monitoring_enter_scope(code, identifier(name))
        for _ in range(5000):
            try:
                function(code, 0, *arguments)
            except ZeroDivisionError:
                pass
        monitoring.set_events(tool.id, 0)
        RAISED.__context__ = RAISED.__traceback__ = None

    objects = [code, *(each for each in arguments if not isinstance(each, (int, type(None))))]
    counts = []
    for _ in range(3):
        work()
        gc.collect()
        counts.append((sys.getallocatedblocks(), [sys.getrefcount(each) for each in objects]))
    assert abs(counts[2][0] - counts[1][0]) < 200
    assert counts[2][1] == counts[1][1]


# CPython's own tests of its C API, with rmon in its place.
CPYTHON = """
import sys, types, unittest
import rmon, rmon.testing
rmon.install()
testcapi = types.ModuleType("_testcapi")
testcapi.__dict__.update(vars(sys.modules.pop("_testcapi", types.SimpleNamespace())))
testcapi.__dict__.update({name: getattr(rmon.testing, name) for name in rmon.testing.__all__})
testcapi.INT_MAX = 2**31 - 1
sys.modules["_testcapi"] = testcapi
from test import test_monitoring
suite = unittest.defaultTestLoader.loadTestsFromTestCase(test_monitoring.TestCApiEventGeneration)
result = unittest.TextTestRunner(stream=sys.stdout).run(suite)
sys.exit(0 if result.wasSuccessful() and result.testsRun >= 5 else 1)
"""


@pytest.mark.skipif(sys.version_info < (3, 13), reason="CPython has no C API")
def test_cpythons_own_tests_pass(run_python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    found = importlib.util.find_spec("test")
    places = found.submodule_search_locations if found is not None else None
    if not any(os.path.exists(os.path.join(place, "test_monitoring.py")) for place in places or []):
        pytest.skip("CPython's tests are not installed")
    run_python("-c", CPYTHON)
