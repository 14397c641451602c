"""Cython modules: each construct reports what it should, and what Cython passes wrongly is put right.

The installed Cython is used, and each version that the environment variable RMON_TEST_CYTHON names ("3.1.8 3.2.9").
What an emitter in Cython reports of its own is in test_cython_api.py.
"""

from __future__ import annotations

import collections
import gc
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest
from conftest import Tool, run

import rmon

SOURCE = Path(__file__).with_name("cython_constructs.pyx").read_text(encoding="utf-8")
LONG = 300
SOURCE += "\n\ndef long_function(x):\n" + "    x = x + 1\n" * LONG + "    raise ValueError(x)  # raises\n"
LINES = SOURCE.splitlines()

HAS_TABLES = sys.version_info >= (3, 11)  # below, Cython's code objects have no line tables

EVENTS = [
    *("PY_START", "PY_RESUME", "PY_THROW", "PY_RETURN", "PY_YIELD", "PY_UNWIND"),
    *("LINE", "RAISE", "RERAISE", "EXCEPTION_HANDLED"),
]
BEGINS, ENDS = EVENTS[:3], EVENTS[3:6]

VERSIONS = ["installed", *os.environ.get("RMON_TEST_CYTHON", "").split()]


@pytest.fixture(scope="session", params=VERSIONS)
def cython(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a version of Cython, which is the one that build_cython uses."""
    if request.param == "installed":
        return "installed"
    folder = tmp_path_factory.mktemp("cython")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    run([*pip, f"cython=={request.param}"])
    return str(folder)


@pytest.fixture(scope="session")
def build(cython: str, build_cython: Callable[..., Any]) -> Callable[..., Any]:
    """build_cython with the version of Cython that `cython` says."""

    def build(source: str, name: str, **options: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            if cython != "installed":
                patch.setenv("PYTHONPATH", cython)
                name += "_" + re.sub(r"\W", "_", cython)
            return build_cython(source, name, **options)

    return build


@pytest.fixture(scope="session")
def constructs(build: Callable[..., Any]) -> ModuleType:
    return build(SOURCE, "cython_constructs", flags=["-O0"])  # large


Event = collections.namedtuple("Event", "name code where object")  # where: the offset, or LINE's line


@pytest.fixture
def listen(tool: Tool, constructs: ModuleType) -> Callable[..., list[Event]]:
    """listen(*events): a list that grows with each event of the module; without names, all that Cython reports."""

    def listen(*names: str, of: str | None = None) -> list[Event]:
        seen: list[Event] = []

        def recorder(name: str) -> Callable[..., None]:
            def record(code: CodeType, where: int, value: Any = None) -> None:
                if code.co_filename.endswith(constructs.__name__ + ".pyx") and of in (None, code.co_name):
                    seen.append(Event(name, code, where, value))

            return record

        for name in names or EVENTS:
            tool.callback(name, recorder(name))
        return seen

    return listen


def names(events: Iterable[Event], *without: str) -> list[str]:
    return [event.name for event in events if event.name not in without]


def line_at(code: CodeType, offset: int) -> int | None:
    """The line that a code's own table has at an offset."""
    return next((line for start, end, line in code.co_lines() if start <= offset < end), None)


def raising_line(name: str) -> int:
    """The line that is marked in the function."""
    first = next(i for i, line in enumerate(LINES) if re.match(rf"\s*(def|c?p?def int) {name}\(", line))
    return next(i for i in range(first, len(LINES)) if LINES[i].endswith("# raises")) + 1


# ---- The stream ----


def test_every_start_has_its_end(constructs, listen):
    seen = listen()
    constructs.run()
    open_calls: collections.Counter[CodeType] = collections.Counter()
    for event in seen:
        open_calls[event.code] += (event.name in BEGINS) - (event.name in ENDS)
        assert open_calls[event.code] >= 0, event
    assert not +open_calls
    assert set(names(seen)) == set(EVENTS)


def test_all_functions_report(constructs, listen):
    seen = listen("PY_START", "PY_RETURN", "PY_UNWIND", "PY_YIELD")
    constructs.run()
    reported = {event.code.co_name for event in seen}
    written = set(re.findall(r"^\s*(?:async )?(?:def|c?p?def int) (\w+)\(", SOURCE, re.MULTILINE))
    written |= {"<lambda>", "genexpr", "__get__", "__set__"}
    silent = {"with_the_gil"}  # it has no GIL, see CYTHON_TRACE_NOGIL
    elsewhere = {"triple", "long_function", "catches_in_callers_handler"}
    elsewhere |= {name for name in written if "code" in name.split("_")}
    assert written - reported == silent | elsewhere


def test_a_function_has_one_code(constructs, listen):
    seen = listen("PY_START", "LINE", "PY_RETURN")
    for _ in range(3):
        constructs.calls_c(1)
    assert {event.code for event in seen if event.code.co_name == "calls_c"} == {constructs.calls_c.__code__}
    assert len({id(event.code) for event in seen}) == 2  # the C function's, too


def test_a_return_reports_its_value(constructs, listen):
    seen = listen("PY_RETURN")
    constructs.calls_c(4)
    assert [(event.code.co_name, event.object) for event in seen] == [("c_function", 5), ("calls_c", 5)]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="older interpreters report no Python code")
@pytest.mark.parametrize(
    ("call", "without"),
    [
        (lambda module: module.twin_branches(0), ()),
        # The line of a `while` is reported once, not before each test of the condition.
        (lambda module: module.twin_while(2), ("LINE",)),
        # The line of an `except` is reported before the exception is handled, in Python afterwards.
        (lambda module: [module.twin_handled(fail) for fail in (False, True)], ("LINE",)),
        (lambda module: pytest.raises(ZeroDivisionError, module.twin_escaping, 1), ()),
        (lambda module: list(module.twin_generator(1)), ()),
        (lambda module: module.twin_closure(1), ()),
    ],
    ids=["branches", "while", "handled", "escaping", "generator", "closure"],
)
def test_the_stream_is_that_of_the_same_function_in_python(constructs, tool, call, without):
    first, last = (LINES.index(f"# ---- {title} ----") for title in ("The same in Python", "Functions"))
    python = ModuleType("twins")
    exec(compile("\n" * first + "\n".join(LINES[first:last]), "twins.py", "exec"), python.__dict__)
    streams = []
    gc.collect()  # what other tests have left would be heard to die
    for module, file in ((constructs, constructs.__name__ + ".pyx"), (python, "twins.py")):
        stream: list[tuple[Any, ...]] = []

        def recorder(name: str, file: str = file, stream: list[tuple[Any, ...]] = stream) -> Callable[..., None]:
            def record(code: CodeType, where: int, value: Any = None) -> None:
                if code.co_filename.endswith(file):
                    stream.append((name, code.co_name, where if name == "LINE" else type(value)))

            return record

        for name in set(EVENTS) - set(without):
            tool.callback(name, recorder(name))
        call(module)
        streams.append(stream)
    assert streams[0]
    assert streams[0] == streams[1]


# ---- Offsets ----


@pytest.mark.skipif(not HAS_TABLES, reason="no line tables")
def test_every_offset_is_in_the_codes_table(constructs, listen):
    seen = listen()
    constructs.run()
    for event in seen:
        if event.name != "LINE":
            assert line_at(event.code, event.where) is not None, event
            assert event.where < len(event.code.co_code), event


@pytest.mark.skipif(not HAS_TABLES, reason="no line tables")
@pytest.mark.parametrize("event", ["RAISE", "PY_UNWIND"])
@pytest.mark.parametrize("name", ["c_function", "cp_function", "without_gil", "finally_without_gil", "long_function"])
def test_an_exception_is_where_the_line_is_that_raised_it(constructs, listen, name, event):
    seen = listen(event, of=name)
    with pytest.raises((OverflowError, ValueError)):
        getattr(constructs, name if name != "c_function" else "calls_c")(1000)
    assert [line_at(event.code, event.where) for event in seen] == [raising_line(name)]


@pytest.mark.skipif(not HAS_TABLES, reason="no line tables")
def test_the_offset_of_a_line_is_its_first_position(constructs, listen):
    seen = listen("RAISE", of="long_function")
    with pytest.raises(ValueError):
        constructs.long_function(1)
    (event,) = seen
    lines = [position[0] for position in event.code.co_positions()]
    assert event.where == 2 * lines.index(raising_line("long_function"))
    assert event.where > 2 * LONG


@pytest.mark.skipif(not HAS_TABLES, reason="no line tables")
def test_a_return_is_where_the_return_statement_is(constructs, listen):
    seen = listen("PY_RETURN", of="handles")
    constructs.handles(1000)
    (event,) = seen
    assert LINES[line_at(event.code, event.where) - 1].strip() == "return error"


# ---- Exceptions ----


def test_an_exception_is_the_same_object_all_the_way(constructs, listen):
    seen = listen("RAISE", "PY_UNWIND", "EXCEPTION_HANDLED")
    error = constructs.handles(1000)
    assert names(seen) == ["RAISE", "PY_UNWIND", "RAISE", "EXCEPTION_HANDLED"]
    assert all(event.object is error for event in seen)


@pytest.mark.parametrize("events", [["RAISE"], ["RAISE", "RERAISE"], ["RAISE", "RERAISE", "PY_UNWIND"]])
def test_a_reraise_is_no_raise(constructs, listen, events):
    seen = listen(*events, of="reraises")
    with pytest.raises(OverflowError):
        constructs.reraises(1000)
    assert names(seen) == events
    if HAS_TABLES:
        line = raising_line("reraises")
        assert [line_at(event.code, event.where) for event in seen] == [line, line + 2, line + 2][: len(events)]


def test_callbacks_may_raise_and_handle_exceptions(constructs, tool):
    def callback(*args: Any) -> None:
        try:
            raise KeyError("the callback's")
        except KeyError:
            assert sys.exc_info()[0] is KeyError

    for name in EVENTS:
        tool.callback(name, callback)
    constructs.run()
    error = ValueError("handled")
    assert constructs.catches_in_callers_handler(error) is error
    assert constructs.handles(1000).__context__ is None


@pytest.mark.parametrize("event", ["PY_START", "LINE", "PY_RETURN"])
def test_what_a_callback_raises_comes_out_of_the_function(constructs, tool, event):
    error = KeyError("from the callback")

    def callback(code: CodeType, *args: Any) -> None:
        if code.co_name == "c_function":
            raise error

    tool.callback(event, callback)
    with pytest.raises(KeyError) as caught:
        constructs.calls_c(1)
    assert caught.value is error


def test_stop_iteration_from_next_reaches_tools(constructs, listen):
    seen = listen("RAISE", "PY_UNWIND", of="__next__")
    assert list(constructs.Extension(1)) == [0]
    assert [(event.name, type(event.object)) for event in seen] == [
        ("RAISE", StopIteration),
        ("PY_UNWIND", StopIteration),
    ]


def test_an_exception_passes_a_finally_clause_without_the_gil(constructs, listen):
    seen = listen("RAISE", "EXCEPTION_HANDLED", "RERAISE", "PY_UNWIND", of="finally_without_gil")
    with pytest.raises(OverflowError) as caught:
        constructs.finally_without_gil(1000)
    assert names(seen) == ["RAISE", "EXCEPTION_HANDLED", "RERAISE", "PY_UNWIND"]
    assert all(event.object is caught.value for event in seen)


# ---- cpdef ----


@pytest.mark.parametrize("call", ["cp_function", "cp_method", "calls_cp_method"])
def test_a_failing_cpdef_function_starts_once_and_ends_once(constructs, listen, call):
    extension = constructs.Extension(1)
    function, args, name = {
        "cp_function": (constructs.cp_function, (1000,), "cp_function"),
        "cp_method": (extension.cp_method, (1000,), "cp_method"),
        "calls_cp_method": (constructs.calls_cp_method, (extension, 1000), "cp_method"),
    }[call]
    seen = listen("PY_START", "RAISE", "PY_RETURN", "PY_UNWIND", of=name)
    for _ in range(2):
        with pytest.raises(OverflowError):
            function(*args)
    assert names(seen) == ["PY_START", "RAISE", "PY_UNWIND"] * 2


def test_a_cpdef_function_starts_once_and_returns_once(constructs, listen):
    seen = listen("PY_START", "PY_RETURN", of="cp_function")
    assert constructs.cp_function(1) == 2
    assert names(seen) == ["PY_START", "PY_RETURN"]


def test_a_callback_that_fails_at_the_start_of_a_cpdef_function_ends_it(constructs, tool, listen):
    seen = listen("PY_START", "PY_RETURN", "PY_UNWIND", of="cp_function")
    error = KeyError("from the callback")

    def fail(code: CodeType, *args: Any) -> None:
        if code.co_name == "cp_function":
            seen.append(Event("PY_START", code, 0, None))
            raise error

    tool.callback("PY_START", fail)
    with pytest.raises(KeyError):
        constructs.cp_function(1)
    assert names(seen) == ["PY_START", "PY_UNWIND"]


# ---- Generators ----


def test_a_throw_is_a_throw(constructs, listen):
    seen = listen(of="generator")
    generator = constructs.generator(2)
    next(generator)
    error = KeyError("thrown")
    assert generator.throw(error) is error
    events = [event for event in seen if event.name != "LINE"]
    assert names(events) == ["PY_START", "PY_YIELD", "PY_THROW", "RAISE", "EXCEPTION_HANDLED", "PY_YIELD"]
    assert all(event.object is error for event in events[2:])


def test_a_throw_before_the_first_step_is_a_throw(constructs, listen):
    seen = listen(of="generator")
    error = ValueError("thrown")
    with pytest.raises(ValueError) as caught:
        constructs.generator(2).throw(error)
    assert caught.value is error
    assert names(seen) == ["PY_THROW", "RAISE", "PY_UNWIND"]


def test_a_close_throws_generator_exit(constructs, listen):
    seen = listen("PY_THROW", "PY_RESUME", "PY_RETURN", "PY_UNWIND")
    for make, ends_with in ((constructs.generator, "PY_UNWIND"), (lambda n: constructs.stubborn(), "PY_RETURN")):
        del seen[:]
        generator = make(3)
        next(generator), next(generator)
        generator.close()
        assert names(seen) == ["PY_RESUME", "PY_THROW", ends_with]
        assert type(seen[1].object) is GeneratorExit


@pytest.mark.parametrize("is_started", [False, True])
def test_a_tool_for_throws_alone_hears_of_them(constructs, listen, is_started):
    seen = listen("PY_THROW")
    for _ in range(2):
        generator = constructs.generator(2)
        if is_started:
            next(generator)
        with pytest.raises(ZeroDivisionError):
            generator.throw(ZeroDivisionError())
        assert list(constructs.generator(2)) == [0, 1]
    assert names(seen) == ["PY_THROW"] * 2


@pytest.mark.parametrize(("event", "count"), [("PY_START", 1), ("PY_RESUME", 2)])
def test_a_throw_is_nothing_else(constructs, listen, event, count):
    seen = listen(event)
    assert list(constructs.generator(2)) == [0, 1]
    assert names(seen) == [event] * count
    del seen[:]
    generator = constructs.generator(2)
    with pytest.raises(ZeroDivisionError):
        generator.throw(ZeroDivisionError())
    assert names(seen) == []


def test_yields_alone_are_reported(constructs, listen):
    seen = listen("PY_YIELD")
    list(constructs.generator(2))
    assert [event.object for event in seen] == [0, 1]


def test_an_async_generator_is_thrown_and_closed(constructs, listen):
    import asyncio

    seen = listen(*BEGINS, *ENDS, of="async_generator")
    asyncio.run(constructs.drives_async_generators())
    first, second = ["PY_START", "PY_YIELD", "PY_THROW", "PY_YIELD"], ["PY_START", "PY_YIELD"]
    assert names(seen) == [*first, "PY_THROW", "PY_UNWIND", *second, "PY_THROW", "PY_UNWIND"]


# ---- Code objects made anew per call ----


def test_what_has_no_code_object_gets_one_for_all_calls(constructs):
    code = constructs.code_without_a_table(10)
    assert (code.co_name, code.co_filename, code.co_firstlineno) == ("without_code", "nowhere.pyx", 10)
    assert constructs.code_without_a_table(10) is code
    assert constructs.code_without_a_table(11) is not code


def test_threads_get_the_same_code_object(constructs):
    codes: list[Any] = []
    barrier = threading.Barrier(4)

    def get() -> None:
        barrier.wait()
        codes.append(constructs.code_without_a_table(20))

    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(codes) == 4
    assert len(set(map(id, codes))) == 1


def test_code_objects_for_tracebacks_are_not_shared(constructs):
    assert constructs.code_for_others(10) is not constructs.code_for_others(10)


def test_making_it_leaves_an_exception_in_flight_alone(constructs):
    error = KeyError("in flight")
    for _ in range(2):  # made, and found
        with pytest.raises(KeyError) as caught:
            constructs.code_in_flight(30, error)
        assert caught.value is error
    assert error.__context__ is None


def test_local_events_and_disable_hold_for_the_next_call(constructs, tool):
    monitoring, lines = rmon.monitoring, []
    code = constructs.code_without_a_table(40)

    def on_line(code: CodeType, line: int) -> object:
        lines.append(line)
        return monitoring.DISABLE

    monitoring.register_callback(tool.id, monitoring.events.LINE, on_line)
    monitoring.set_local_events(tool.id, code, monitoring.events.LINE)
    constructs.fires_without_code(40)
    assert lines == [41]
    constructs.fires_without_code(40)
    assert lines == [41]
    monitoring.restart_events()
    constructs.fires_without_code(40)
    assert lines == [41, 41]


def test_calls_do_not_make_the_process_grow(constructs):
    def pages() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    for _ in range(1000):
        constructs.fires_without_code(50)
    before = pages()
    for _ in range(100_000):
        constructs.fires_without_code(50)
    assert pages() - before < 64  # 256 KiB: less than three bytes a call


# ---- Modules ----

MODULE = """\
# cython: linetrace=True
cimport rmon
first = 1
second = first + 1
def function(x):
    y = x
    return y
def generator(n):
    for i in range(n):
        yield i
"""


def test_the_module_level_is_reported(build, tool):
    seen = tool.record("PY_START", "LINE", "PY_RETURN")
    name = build(MODULE, "cython_module_level").__name__
    mine = [event for event in seen if event[1].co_filename == name + ".pyx"]
    assert [event[0] for event in mine if event[0] != "LINE"] == ["PY_START", "PY_RETURN"]
    assert len({id(event[1]) for event in mine}) == 1
    assert {3, 4} <= {event[2] for event in mine if event[0] == "LINE"}
    if HAS_TABLES:
        assert all(event[2] < len(event[1].co_code) for event in mine if event[0] != "LINE")


@pytest.mark.skipif(sys.version_info < (3, 13), reason="older interpreters have no Monitoring C API")
def test_a_native_and_a_redirected_module_report_where_they_should(build, run_python):
    native = build(MODULE.replace("cimport rmon", ""), "cython_native", flags=["-DCYTHON_TRACE=1"], imported=False)
    redirected = build(MODULE, "cython_redirected", imported=False)
    symbols = subprocess.run(["nm", "-D", "--undefined-only", redirected], capture_output=True, text=True, check=True)
    assert "Monitoring" not in symbols.stdout
    symbols = subprocess.run(["nm", "-D", "--undefined-only", native], capture_output=True, text=True, check=True)
    assert "Monitoring" in symbols.stdout
    names = [path.name.partition(".")[0] for path in (native, redirected)]
    code = f"""
import sys
sys.path[:0] = {[str(path.parent) for path in (native, redirected)]!r}
import rmon, {names[0]} as native, {names[1]} as redirected
heard = dict(interpreter=[], rmon=[])
def listen(monitoring, tool, into):
    events = monitoring.events
    monitoring.use_tool_id(tool, into)
    for event in ("PY_START", "PY_RESUME", "PY_YIELD", "PY_RETURN", "LINE"):
        def callback(code, where, *args, event=event):
            if code.co_filename.endswith(".pyx"):
                heard[into].append((code.co_filename, code.co_name, event))
        monitoring.register_callback(tool, getattr(events, event), callback)
    monitoring.set_events(tool, events.PY_START | events.PY_RESUME | events.PY_YIELD | events.PY_RETURN | events.LINE)
listen(sys.monitoring, 1, "interpreter")
listen(rmon.monitoring, 2, "rmon")
generators = [native.generator(2), redirected.generator(2)]
assert type(generators[0]) is type(generators[1])  # Cython's modules share it
assert [list(generator) for generator in generators] == [[0, 1]] * 2
assert native.function(1) == redirected.function(1) == 1
def of(into, module):
    return [(name, event) for file, name, event in heard[into] if file == module.__name__ + ".pyx"]
assert of("interpreter", redirected) == []
assert of("interpreter", native) == of("rmon", native)
heard_of = [of("rmon", module) for module in (native, redirected)]
assert ("generator", "PY_RESUME") in heard_of[0] and ("function", "LINE") in heard_of[0]
assert heard_of[0] == heard_of[1]
"""
    run_python("-c", code)


NOGIL = """\
# cython: linetrace=True
# distutils: language=c
cimport rmon
from cython.parallel cimport parallel, prange

cdef long leaf(long x) noexcept nogil:
    cdef long y = x + 1
    return y

cdef long failing(long x) except -1 nogil:
    if x > 1:
        with gil:
            raise ValueError(x)
    return x

def calls(long x):
    cdef long result
    with nogil:
        result = leaf(x)
    return result

def fails(long x):
    cdef long result
    with nogil:
        result = failing(x)
    return result

def sums(int n):
    cdef int i
    cdef long total = 0
    for i in prange(n, nogil=True, num_threads=2):
        total += leaf(i)
    return total

def in_parallel():
    cdef long x = 0
    with nogil, parallel(num_threads=2):
        x = leaf(1)
    return True
"""


@pytest.fixture
def traced_without_gil(build: Callable[..., Any]) -> ModuleType:
    return build(NOGIL, "cython_nogil", flags=["-DCYTHON_TRACE_NOGIL=1", "-fopenmp"])


def test_functions_without_the_gil_report_if_told_to(traced_without_gil, tool):
    seen = tool.record("PY_START", "LINE", "PY_RETURN", of="leaf")
    assert traced_without_gil.calls(1) == 2
    assert [event[0] for event in seen] == ["PY_START", "LINE", "LINE", "PY_RETURN"]
    assert seen[-1][3] == 2


def test_an_exception_leaves_a_function_without_the_gil(traced_without_gil, tool):
    seen = tool.record("PY_START", "RAISE", "PY_RETURN", "PY_UNWIND", of="failing")
    with pytest.raises(ValueError) as caught:
        traced_without_gil.fails(2)
    assert [event[0] for event in seen] == ["PY_START", "RAISE", "PY_UNWIND"]
    assert seen[1][3] is seen[2][3] is caught.value


def test_parallel_loops_work_with_a_tool_listening(traced_without_gil, tool):
    seen = tool.record("PY_START", "LINE", "PY_RETURN", of="sums")
    assert traced_without_gil.sums(100) == sum(range(1, 101))
    assert traced_without_gil.in_parallel() is True
    assert [event[0] for event in seen if event[0] != "LINE"] == ["PY_START", "PY_RETURN"]


def test_parallel_loops_work_with_nobody_listening(traced_without_gil):
    assert traced_without_gil.sums(100) == sum(range(1, 101))
    assert traced_without_gil.in_parallel() is True


PROFILED = """\
# cython: profile=True
cimport rmon

cdef int c_function(int x) except -1:
    return x

def function(x):
    y = c_function(x)
    return y
"""


def test_the_directive_profile_gives_all_but_lines(build, tool):
    seen = tool.record("PY_START", "LINE", "PY_RETURN", of="function")
    assert build(PROFILED, "cython_profiled").function(1) == 1
    assert [event[0] for event in seen] == ["PY_START", "PY_RETURN"]


@pytest.mark.parametrize("macros", [["-DRMON_DISABLED"], ["-DCYTHON_PROFILE=0", "-DCYTHON_TRACE=0"]])
def test_macros_switch_all_off(build, tool, macros):
    seen = tool.record("PY_START", "LINE", "PY_RETURN", of="function")
    module = build(MODULE, f"cython_off_{len(macros)}", flags=macros)
    assert module.function(1) == 1
    assert list(module.generator(2)) == [0, 1]
    assert seen == []
