"""Events from a PyO3 extension that knows nothing of librmon, in Python's tools. The extension is `firing` (src/lib.rs)."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from types import CodeType
from typing import Any, Callable

import pytest

import firing
import rmon
from rmon import monitoring

TOOL = monitoring.PROFILER_ID
EVENTS = monitoring.events
NAMES = firing.event_names()
EXCEPTIONS = ["RAISE", "EXCEPTION_HANDLED", "PY_UNWIND", "PY_THROW", "RERAISE"]


class Thing:
    """Stands for a code, or for what an event is about."""


def fire(name: str, offset: int = 0, obj: object = None, arg0: object = None, number: int = 0) -> dict[str, object]:
    """What the extension is told of a fire."""
    return {"event": NAMES.index(name), "offset": offset, "object": obj, "arg0": arg0, "number": number}


class Tool:
    """Writes down the arguments of its callbacks, and answers as it is told to."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.answer: Callable[[], object] = lambda: None

    def callback(self, code: object, *args: Any) -> object:
        if isinstance(code, CodeType):
            return None  # On CPython 3.12 and newer a tool sees Python code, too.
        self.seen.append((code, *args))
        return self.answer()

    def listen(self, *names: str) -> None:
        """Has events on: all, if none is named."""
        event_set = 0
        for name in names or NAMES:
            event_set |= getattr(EVENTS, name)
        monitoring.set_events(TOOL, event_set)
        firing.enter()
        self.seen.clear()

    def told(self) -> list[tuple[Any, ...]]:
        """What has been seen; the end of listening."""
        monitoring.set_events(TOOL, 0)
        return self.seen


@pytest.fixture
def tool() -> Iterator[Tool]:
    tool = Tool()
    monitoring.use_tool_id(TOOL, "test")
    for name in NAMES:
        monitoring.register_callback(TOOL, getattr(EVENTS, name), tool.callback)
    yield tool
    monitoring.free_tool_id(TOOL)


def failing(error: BaseException) -> Callable[[], object]:
    def answer() -> object:
        raise error

    return answer


ARGUMENTS = {name: (3,) for name in ["PY_START", "PY_RESUME", "INSTRUCTION"]}
ARGUMENTS["LINE"] = (44,)
ARGUMENTS.update({name: (3, 44) for name in ["JUMP", "BRANCH", "BRANCH_LEFT", "BRANCH_RIGHT"]})


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_events_without_objects_arrive_with_their_numbers(tool: Tool, name: str) -> None:
    code = Thing()
    tool.listen()
    firing.fire(code, fire(name, 3, number=44))
    assert tool.told() == [(code, *ARGUMENTS[name])]


@pytest.mark.parametrize("name", ["PY_RETURN", "PY_YIELD", *EXCEPTIONS])
def test_events_with_an_object_arrive_with_it(tool: Tool, name: str) -> None:
    code, obj = Thing(), ValueError("x")
    tool.listen()
    firing.fire(code, fire(name, 3, obj))
    [(_, offset, arrived)] = tool.told()
    assert offset == 3 and arrived is obj


@pytest.mark.parametrize("name", ["CALL", "C_RETURN", "C_RAISE"])
def test_calls_arrive_with_callable_and_argument(tool: Tool, name: str) -> None:
    code, obj, arg0 = Thing(), Thing(), Thing()
    tool.listen()
    firing.fire(code, fire(name, 3, obj, arg0))
    firing.fire(code, fire(name, 4, obj))
    assert tool.told() == [(code, 3, obj, arg0), (code, 4, obj, monitoring.MISSING)]


@pytest.mark.parametrize("value", [7, (1, 2), None])
def test_stop_iteration_arrives_as_an_exception_with_the_value(tool: Tool, value: object) -> None:
    code = Thing()
    tool.listen()
    firing.fire(code, fire("STOP_ITERATION", 3, value))
    [(_, _, exception)] = tool.told()
    assert type(exception) is StopIteration and exception.value == value


def test_a_stop_iteration_that_is_one_already_arrives_as_it_is(tool: Tool) -> None:
    code, exception = Thing(), StopIteration(3)
    tool.listen()
    firing.fire(code, fire("STOP_ITERATION", 3, exception))
    assert tool.told()[0][2] is exception


def test_a_look_alike_arrives_with_what_tools_read_of_a_code(tool: Tool) -> None:
    tool.listen()
    firing.fire_look_alike(fire("PY_START", 0))
    [code] = {args[0] for args in tool.told()}
    assert (code.co_name, code.co_qualname, code.co_filename) == ("area", "Shape.area", "shape.x")
    assert (code.co_firstlineno, [entry[2] for entry in code.co_lines()]) == (7, [7, 8])


def test_events_of_a_look_alike_can_be_about_objects(tool: Tool) -> None:
    obj, arg0 = Thing(), Thing()
    tool.listen()
    firing.fire_look_alike(fire("CALL", 3, obj, arg0))
    [args] = [args[1:] for args in tool.told()]
    assert args == (3, obj, arg0)


def test_a_look_alike_is_fired_on_a_thread_that_is_not_attached(tool: Tool) -> None:
    tool.listen()
    assert firing.fire_detached(8) == 0
    assert [args[1] for args in tool.told()] == [8]


@pytest.mark.parametrize("how", ["object", "look-alike"])
def test_what_a_callback_raises_comes_out_of_the_fire(tool: Tool, how: str) -> None:
    error = KeyError("mine")
    tool.listen("PY_YIELD")
    tool.answer = failing(error)
    with pytest.raises(KeyError) as caught:
        if how == "object":
            firing.fire(Thing(), fire("PY_YIELD"))
        else:
            firing.fire_look_alike(fire("PY_YIELD"))
    assert caught.value is error


@pytest.mark.parametrize("how", ["object", "look-alike"])
def test_a_negative_offset_is_a_value_error(tool: Tool, how: str) -> None:
    tool.listen()
    with pytest.raises(ValueError, match="^offset must be non-negative$"):
        if how == "object":
            firing.fire(Thing(), fire("LINE", -1))
        else:
            firing.fire_look_alike(fire("LINE", -1))


@pytest.mark.parametrize("set_function", [sys.settrace, sys.setprofile])
def test_nothing_is_seen_while_tracing_is_off(tool: Tool, set_function: Callable[[Any], None]) -> None:
    fired = []

    def trace(*_: object) -> None:
        fired.append(firing.fire(Thing(), fire("LINE", number=4)))

    tool.listen("LINE")
    set_function(trace)
    try:
        failing(ValueError())
    finally:
        set_function(None)
    assert fired
    assert tool.told() == []
    tool.listen("LINE")
    firing.fire(Thing(), fire("LINE", number=5))
    assert [line for _, line in tool.told()] == [5]


def test_disable_disables_the_location(tool: Tool) -> None:
    code = Thing()
    tool.listen("PY_YIELD")
    tool.answer = lambda: monitoring.DISABLE
    for offset in [1, 1, 2, 1]:
        firing.fire(code, fire("PY_YIELD", offset))
    assert [args[1] for args in tool.told()] == [1, 2]
    monitoring.restart_events()


def test_what_cannot_be_disabled_says_so(tool: Tool) -> None:
    tool.listen("PY_THROW")
    tool.answer = lambda: monitoring.DISABLE
    with pytest.raises(ValueError, match="^Cannot disable PY_THROW events. Callback removed.$"):
        firing.fire(Thing(), fire("PY_THROW", 0, ValueError()))


@pytest.mark.parametrize("name", ["PY_YIELD", "PY_THROW", "STOP_ITERATION"])
def test_an_exception_in_flight_survives_the_fire(tool: Tool, name: str) -> None:
    during: list[object] = []
    code, exception = Thing(), KeyError("in flight")
    tool.answer = lambda: during.append(sys.exc_info()[1])
    tool.listen()
    after = firing.fire_in_flight(code, fire(name, 0, ValueError()), exception)
    assert after is exception and tool.told()
    assert set(during) == {None}


def test_an_exception_in_flight_is_the_context_of_a_callbacks(tool: Tool) -> None:
    exception, error = KeyError("in flight"), RuntimeError("callback")
    tool.listen("PY_YIELD")
    tool.answer = failing(error)
    with pytest.raises(RuntimeError) as caught:
        firing.fire_in_flight(Thing(), fire("PY_YIELD"), exception)
    assert caught.value is error and error.__context__ is exception


def test_contexts_never_form_a_ring(tool: Tool) -> None:
    error, exception = RuntimeError("callback"), KeyError("in flight")
    exception.__context__ = error
    tool.listen("PY_YIELD")
    tool.answer = failing(error)
    with pytest.raises(RuntimeError):
        firing.fire_in_flight(Thing(), fire("PY_YIELD"), exception)
    assert error.__context__ is exception and exception.__context__ is None


def test_an_error_of_rmons_has_the_exception_in_flight_as_its_context(tool: Tool) -> None:
    exception = KeyError("in flight")
    tool.listen()
    with pytest.raises(ValueError, match="non-negative") as caught:
        firing.fire_in_flight(Thing(), fire("PY_YIELD", -1), exception)
    assert caught.value.__context__ is exception


def test_a_frame_returns_when_it_is_dropped(tool: Tool) -> None:
    code = Thing()
    tool.listen()
    firing.call(code, False)
    assert tool.told() == [(code, 0), (code, 2), (code, 4, None)]


def test_a_frame_unwinds_when_it_panics(tool: Tool) -> None:
    code = Thing()
    tool.listen("PY_START", "PY_RETURN", "PY_UNWIND")
    monitoring.register_callback(TOOL, EVENTS.PY_UNWIND, lambda *args: tool.callback(*args, "unwound"))
    with pytest.raises(BaseException, match="as it was told to"):
        firing.call(code, True)
    assert tool.told() == [(code, 0), (code, 4, None, "unwound")]


@pytest.mark.parametrize("panics", [False, True])
def test_what_is_raised_at_a_frames_end_is_unraisable(
    tool: Tool, monkeypatch: pytest.MonkeyPatch, panics: bool
) -> None:
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: unraisable.append(args.exc_value))
    error = KeyError("too late")
    code = Thing()
    tool.listen("PY_UNWIND" if panics else "PY_RETURN")
    tool.answer = failing(error)
    if panics:
        with pytest.raises(BaseException, match="as it was told to"):
            firing.call(code, panics)
    else:
        firing.call(code, panics)
    assert tool.told() and unraisable == [error]


def test_fires_hold_nothing(tool: Tool) -> None:
    code, obj, value = Thing(), Thing(), (1, 2)
    monitoring.register_callback(TOOL, EVENTS.CALL, lambda *args: None)
    monitoring.register_callback(TOOL, EVENTS.STOP_ITERATION, lambda *args: None)
    tool.listen("CALL", "C_RETURN", "C_RAISE", "STOP_ITERATION")
    for _ in range(4):  # of the calls that do not end, four are held
        firing.fire(code, fire("CALL", 0, obj, value))
    before = [sys.getrefcount(thing) for thing in (code, obj, value)]
    for _ in range(100):
        firing.fire(code, fire("CALL", 0, obj, value))
        firing.fire(code, fire("STOP_ITERATION", 0, value))
    assert [sys.getrefcount(thing) for thing in (code, obj, value)] == before


def test_errors_hold_nothing(tool: Tool) -> None:
    code, error = Thing(), KeyError()
    tool.listen("PY_YIELD")
    tool.answer = failing(error)
    before = [sys.getrefcount(thing) for thing in (code, error)]
    for _ in range(100):
        try:
            firing.fire_in_flight(code, fire("PY_YIELD", 0), ValueError())
        except KeyError:
            pass
    tool.seen.clear()
    error.__traceback__ = error.__context__ = None
    assert [sys.getrefcount(thing) for thing in (code, error)] == before


def test_detached_extensions_sleep(tool: Tool) -> None:
    code = Thing()
    tool.listen()
    rmon.detach()
    try:
        firing.fire(code, fire("LINE"))
        firing.enter()
        assert not firing.is_active()
    finally:
        rmon.attach()
    firing.enter()
    assert firing.is_active() and not tool.told()


def test_the_extension_works_without_rmon_and_wakes_when_it_comes() -> None:
    program = """
        import firing, sys

        fire = {"event": 5, "offset": 0, "object": None, "arg0": None, "number": 9}
        firing.enter()
        firing.fire(firing, fire)
        firing.fire_look_alike(fire)
        print(firing.is_active(), "rmon" in sys.modules)

        from rmon import monitoring
        monitoring.use_tool_id(2, "late")
        monitoring.register_callback(2, monitoring.events.LINE, lambda code, line: print(code.co_name, line))
        monitoring.set_events(2, monitoring.events.LINE)
        firing.enter()
        firing.fire_look_alike(fire)
        monitoring.set_events(2, 0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True, timeout=60
    )
    said = [line for line in done.stdout.splitlines() if "<module>" not in line]
    assert (said, done.stderr) == (["False False", "area 9"], "")
