"""How long things live: callables, codes and arguments; no leak; the end of the interpreter, with events fired before,
during and after it; fork; and rmon imported again.

What can crash or hang runs in a process of its own, with a watchdog.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import sysconfig
import textwrap
import types
import weakref
from pathlib import Path
from typing import Any, Callable

import pytest

import rmon
import rmon.testing
from rmon import monitoring as M

E = M.events
TOOL, OTHER = 3, 1
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
# What that build of CPython cannot do by itself.
mortal = pytest.mark.skipif(FREE_THREADED, reason="modules, and classes and functions in them, never die there")
forks_at_any_moment = pytest.mark.skipif(
    FREE_THREADED, reason="the child hangs in CPython's own locks that another thread of the parent holds"
)


class Callback:
    """A callable that can be referred to weakly, and remembers nothing."""

    def __call__(self, *args: Any) -> None: ...


def claim(tool: int = TOOL) -> None:
    M.use_tool_id(tool, f"tool {tool}")


def make_code() -> Any:
    return rmon.CodeLike("f", "f.py")


# ---- When things die ----


RELEASES: dict[str, Callable[[], Any]] = {
    "None": lambda: M.register_callback(TOOL, E.LINE, None),
    "another": lambda: M.register_callback(TOOL, E.LINE, print),
    "clear": lambda: M.clear_tool_id(TOOL),
    "free": lambda: M.free_tool_id(TOOL),
}


@pytest.mark.parametrize("how", sorted(RELEASES))
@pytest.mark.parametrize("fired", [False, True])
def test_a_callable_dies_when_it_is_no_longer_registered(how: str, fired: bool) -> None:
    claim()
    callback, code = Callback(), make_code()
    alive = weakref.ref(callback)
    M.register_callback(TOOL, E.LINE, callback)
    M.set_local_events(TOOL, code, E.LINE)
    if fired:
        with rmon.Scope(code, E.LINE) as scope:
            scope.line(1)
    del callback
    gc.collect()
    assert alive() is not None
    RELEASES[how]()
    assert alive() is None


@pytest.mark.parametrize("event", ["BRANCH", "BRANCH_LEFT", "RAISE", "C_RETURN"])
def test_callables_of_odd_events_die(event: str) -> None:
    claim()
    callback = Callback()
    alive = weakref.ref(callback)
    M.register_callback(TOOL, getattr(E, event), callback)
    del callback
    assert alive() is not None
    M.register_callback(TOOL, getattr(E, event), None)
    assert alive() is None


def test_the_old_callable_is_the_callers() -> None:
    claim()
    callback = Callback()
    before = sys.getrefcount(callback)
    M.register_callback(TOOL, E.LINE, callback)
    old = M.register_callback(TOOL, E.LINE, None)
    assert old is callback
    del old
    assert sys.getrefcount(callback) == before


def test_a_callable_that_is_removed_by_an_illegal_disable_dies() -> None:
    class Disabling(Callback):
        def __call__(self, code: Any, *args: Any) -> Any:
            return M.DISABLE if isinstance(code, rmon.CodeLike) else None

    claim()
    callback = Disabling()
    alive = weakref.ref(callback)
    M.register_callback(TOOL, E.RAISE, callback)
    M.set_events(TOOL, E.RAISE)
    del callback
    with rmon.Scope(make_code(), E.RAISE) as scope:
        try:
            scope.raise_(0, KeyError())
        except ValueError:
            pass
    M.set_events(TOOL, 0)
    gc.collect()
    assert alive() is None


def test_finalizers_of_callables_may_use_the_tools() -> None:
    class Last(Callback):
        def __del__(self) -> None:
            log.append(M.register_callback(OTHER, E.LINE, None))
            M.register_callback(TOOL, E.JUMP, print)
            M.set_events(OTHER, 0)
            with rmon.Scope(make_code(), E.LINE) as scope:
                scope.line(1)

    log: list[Any] = []
    claim()
    claim(OTHER)
    for how in sorted(RELEASES):
        if M.get_tool(TOOL) is None:
            claim()
        M.register_callback(OTHER, E.LINE, print)
        M.register_callback(TOOL, E.LINE, Last())
        RELEASES[how]()
        M.register_callback(TOOL, E.LINE, None)
    assert log == [print] * len(RELEASES)


def test_a_cycle_through_a_callback_is_collected() -> None:
    """The tool holds the callable; once it is unregistered, nothing of rmon's stands in the way."""
    claim()
    code = make_code()

    class Holder(Callback):
        def __init__(self) -> None:
            self.me = self
            self.code = code

    holder = Holder()
    alive = weakref.ref(holder)
    M.register_callback(TOOL, E.LINE, holder)
    M.set_local_events(TOOL, code, E.LINE)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(1)
    M.register_callback(TOOL, E.LINE, None)
    del holder
    gc.collect()
    assert alive() is None


class Weak:
    scope: Any


def test_a_cycle_through_a_scope_is_collected() -> None:
    code = Weak()
    code.scope = rmon.Scope(code, E.LINE)
    alive = weakref.ref(code)
    claim()
    M.set_local_events(TOOL, code, E.LINE)
    with code.scope as scope:
        scope.line(1)
    del code, scope
    gc.collect()
    assert alive() is None


MAKERS: dict[str, Callable[[], Any]] = {
    "CodeLike": make_code,
    "testing.CodeLike": lambda: rmon.testing.CodeLike(1),
    "instance": Weak,
    "code": lambda: compile("pass", "f.py", "exec"),
    "function": lambda: lambda: None,
    "type": lambda: type("T", (), {}),
}


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_a_code_dies_whatever_is_set_on_it(kind: str) -> None:
    if kind == "type" and FREE_THREADED:
        pytest.skip("classes in modules never die there")
    claim()

    def callback(code: Any, *args: Any) -> Any:
        return M.DISABLE

    for event in ("LINE", "JUMP", "PY_START"):
        M.register_callback(TOOL, getattr(E, event), callback)
    code = MAKERS[kind]()
    alive = weakref.ref(code)
    before = sys.getrefcount(code)
    M.set_local_events(TOOL, code, E.LINE | E.JUMP)
    M.set_events(TOOL, E.PY_START)
    scope = rmon.Scope(code, E.LINE, E.JUMP, E.PY_START)
    with scope:
        scope.py_start(0)
        scope.line(1)
        scope.jump(0, 2)
    M.set_events(TOOL, 0)
    assert M.get_local_events(TOOL, code) == E.LINE | E.JUMP
    del scope
    if kind != "code":  # the interpreter may hold a code that it has instrumented
        assert sys.getrefcount(code) == before
    del code
    gc.collect()
    assert alive() is None
    M.restart_events()


def test_weak_references_callbacks_of_codes() -> None:
    """Others' weak references to a code work as ever."""
    claim()
    code, log = make_code(), []
    first = weakref.ref(code, lambda reference: log.append("first"))
    M.set_local_events(TOOL, code, E.LINE)
    second = weakref.ref(code, lambda reference: log.append("second"))
    del code
    gc.collect()
    assert sorted(log) == ["first", "second"]
    assert first() is None and second() is None


def test_a_code_that_dies_while_it_is_forgotten() -> None:
    code = make_code()
    claim()
    M.set_local_events(TOOL, code, E.LINE)
    rmon.forget(code)
    rmon.forget(code)
    assert M.get_local_events(TOOL, code) == 0
    del code
    gc.collect()


def test_codes_without_weak_references_are_not_kept_after_forget() -> None:
    class Slotted:
        __slots__ = ("value",)

    claim()
    code = Slotted()
    before = sys.getrefcount(code)
    M.register_callback(TOOL, E.LINE, lambda code, line: M.DISABLE)
    M.set_local_events(TOOL, code, E.LINE)
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(1)
    del scope
    rmon.forget(code)
    assert sys.getrefcount(code) == before


def test_arguments_are_released() -> None:
    code, value, callable, arg0 = make_code(), object(), Callback(), object()
    exception, target = KeyError("x"), 10**9
    things = [code, value, callable, arg0, exception, M.MISSING, M.DISABLE]
    claim()
    log: list[int] = []

    def callback(fired: Any, *args: Any) -> Any:
        if fired is code:
            log.append(len(args))
        return None

    for event in ("PY_START", "PY_RETURN", "PY_YIELD", "CALL", "C_RETURN", "JUMP", "STOP_ITERATION", "RAISE", "LINE"):
        M.register_callback(TOOL, getattr(E, event), callback)
    local = E.PY_START | E.PY_RETURN | E.PY_YIELD | E.CALL | E.JUMP | E.STOP_ITERATION | E.LINE
    M.set_local_events(TOOL, code, local)
    M.set_events(TOOL, E.RAISE)
    scope = rmon.Scope(
        code, E.PY_START, E.PY_RETURN, E.PY_YIELD, E.CALL, E.C_RETURN, E.JUMP, E.STOP_ITERATION, E.RAISE, E.LINE
    )

    def fire() -> None:
        with scope:
            scope.py_start(5)
            scope.line(10**6)
            scope.py_yield(6, value)
            scope.call(7, callable, arg0)
            scope.c_return(8, callable, arg0)
            scope.call(7, callable)
            scope.jump(9, target)
            scope.stop_iteration(10, value)
            scope.raise_(11, exception)
            scope.py_return(10**6, value)

    for _ in range(4):  # of the calls that do not end, four are held
        fire()
    before = [sys.getrefcount(thing) for thing in things]
    for _ in range(50):
        fire()
    after = [sys.getrefcount(thing) for thing in things]
    M.set_events(TOOL, 0)
    assert after == before
    assert len(log) == 54 * 10


def fire_call(code: Any, callable: Any, arg0: Any) -> None:
    rmon.testing.fire_event_call(code, 0, callable, arg0)


def end_call(code: Any) -> None:
    rmon.testing.fire_event_c_return(code, 1, None)


def hear_ends(*events: int) -> tuple[Any, list[Any]]:
    """A code with a state for CALL and one for C_RETURN, and what callbacks of these events hear of it."""
    claim()
    code, log = rmon.testing.CodeLike(2), []

    def callback(fired: Any, *args: Any) -> None:
        if fired is code:
            log.append(args[1:])

    for event in events:
        M.register_callback(TOOL, event, callback)
    M.set_events(TOOL, E.CALL | E.C_RETURN | E.C_RAISE)
    rmon.testing.monitoring_enter_scope(code, *(event.bit_length() - 1 for event in (E.CALL, E.C_RETURN)))
    return code, log


@pytest.mark.parametrize("also_call", [False, True])
def test_what_is_called_lives_until_the_call_has_ended(also_call: bool) -> None:
    """C_RETURN says what CALL said, also if nobody but rmon holds that any more."""
    code, log = hear_ends(E.C_RETURN, *([E.CALL] if also_call else []))
    for number in range(20):
        callable = Callback()
        alive = weakref.ref(callable)
        fire_call(code, callable, [number])
        del callable
        gc.collect()
        assert alive() is not None
        end_call(code)
        heard, arg0 = log.pop()
        assert heard is alive() and arg0 == [number]
        log.clear()
        del heard
        gc.collect()
        assert alive() is None


def test_calls_that_do_not_end_are_held_four_deep_and_not_after_the_tool() -> None:
    code, log = hear_ends(E.C_RETURN)
    callables = [Callback() for _ in range(6)]
    alive = [weakref.ref(callable) for callable in callables]
    for callable in callables:
        fire_call(code, callable, None)
    del callable, callables
    gc.collect()
    assert [reference() is not None for reference in alive] == [False] * 2 + [True] * 4
    M.free_tool_id(TOOL)
    gc.collect()
    assert [reference() for reference in alive] == [None] * 6


def test_a_call_that_nobody_held_ends_with_missing() -> None:
    code, log = hear_ends()
    fire_call(code, Callback(), None)
    M.register_callback(TOOL, E.C_RETURN, lambda fired, offset, *args: log.append(args) if fired is code else None)
    end_call(code)
    assert log == [(M.MISSING, M.MISSING)]


def test_arguments_are_released_when_the_callback_fails() -> None:
    code, value, exception = make_code(), object(), KeyError("x")
    claim()

    def fail(fired: Any, *args: Any) -> Any:
        if fired is code:
            raise OSError

    for event in ("PY_RETURN", "RAISE", "STOP_ITERATION"):
        M.register_callback(TOOL, getattr(E, event), fail)
    M.set_local_events(TOOL, code, E.PY_RETURN | E.STOP_ITERATION)
    M.set_events(TOOL, E.RAISE)
    scope = rmon.Scope(code, E.PY_RETURN, E.RAISE, E.STOP_ITERATION)
    before = 0, 0, 0
    for number in range(50):
        with scope:
            for fire in (
                lambda: scope.py_return(10**6, value),
                lambda: scope.raise_(0, exception),
                lambda: scope.stop_iteration(0, value),
                lambda: scope.py_return(-1, value),
            ):
                try:
                    fire()
                except (OSError, ValueError):
                    pass
        exception.__traceback__ = None
        if number == 1:
            before = sys.getrefcount(code), sys.getrefcount(value), sys.getrefcount(exception)
    after = sys.getrefcount(code), sys.getrefcount(value), sys.getrefcount(exception)
    M.set_events(TOOL, 0)
    assert after == before


# ---- No leak ----


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def grows(action: Callable[[int], None], rounds: int, warm: int) -> int:
    action(warm)
    gc.collect()
    before = resident()
    action(rounds)
    gc.collect()
    return resident() - before


def test_no_leak_over_a_million_fires() -> None:
    code = make_code()
    claim()
    counted = [0]

    def callback(fired: Any, *args: Any) -> None:
        counted[0] += 1

    for event in ("LINE", "PY_RETURN", "JUMP", "STOP_ITERATION"):
        M.register_callback(TOOL, getattr(E, event), callback)
    M.set_local_events(TOOL, code, E.LINE | E.PY_RETURN | E.JUMP | E.STOP_ITERATION)
    scope = rmon.Scope(code, E.LINE, E.PY_RETURN, E.JUMP, E.STOP_ITERATION)

    def fire(rounds: int) -> None:
        with scope:
            for number in range(rounds):
                scope.line(number + 10**6, number)
                scope.py_return(number + 1000, number)
                scope.jump(number + 1000, number + 2000)
                scope.stop_iteration(number + 1000, number)

    assert grows(fire, 250_000, 20_000) < 2_000_000
    assert counted[0] == 4 * 270_000


def test_no_leak_with_disabled_locations_and_restarts() -> None:
    code = make_code()
    claim()
    M.register_callback(TOOL, E.LINE, lambda fired, line: M.DISABLE)
    M.set_local_events(TOOL, code, E.LINE)
    scope = rmon.Scope(code, E.LINE)

    def fire(rounds: int) -> None:
        for _ in range(rounds):
            with scope:
                for line in range(100):
                    scope.line(line)
            M.restart_events()

    assert grows(fire, 1500, 300) < 2_000_000


@pytest.mark.parametrize("kind", ["CodeLike", "instance", "testing.CodeLike"])
def test_no_leak_of_codes(kind: str) -> None:
    """Codes are made, set, fired, disabled, and die."""
    claim()
    M.register_callback(TOOL, E.LINE, lambda fired, line: M.DISABLE)
    make = MAKERS[kind]

    def live(rounds: int) -> None:
        for _ in range(rounds):
            code = make()
            M.set_local_events(TOOL, code, E.LINE)
            with rmon.Scope(code, E.LINE) as scope:
                for line in range(3):
                    scope.line(line)

    assert grows(live, 20_000, 5_000) < 2_000_000


def test_no_leak_of_tools_and_callables() -> None:
    code = make_code()

    def live(rounds: int) -> None:
        for _ in range(rounds):
            claim()
            for event in (E.LINE, E.JUMP, E.RAISE, E.BRANCH):
                M.register_callback(TOOL, event, Callback())
                M.register_callback(TOOL, event, Callback())
            M.set_local_events(TOOL, code, E.LINE | E.BRANCH)
            M.set_events(TOOL, E.JUMP)
            with rmon.Scope(code, E.LINE) as scope:
                scope.line(1)
            with rmon.install():
                pass
            M.free_tool_id(TOOL)

    assert grows(live, 5_000, 1_000) < 2_000_000


def test_no_leak_of_errors() -> None:
    code = make_code()
    claim()

    def fail(fired: Any, *args: Any) -> None:
        if fired is code:
            raise OSError("x" * 1000)

    M.register_callback(TOOL, E.LINE, fail)
    M.register_callback(TOOL, E.RAISE, fail)
    M.set_local_events(TOOL, code, E.LINE)
    scope = rmon.Scope(code, E.LINE, E.RAISE)

    def fire(rounds: int) -> None:
        for _ in range(rounds):
            with scope:
                for attempt in (
                    lambda: scope.line(1),
                    lambda: scope.line(1, -1),
                    lambda: scope.raise_(0, KeyError("y" * 1000)),
                ):
                    try:
                        attempt()
                    except (OSError, ValueError, KeyError):
                        pass

    assert grows(fire, 20_000, 2_000) < 2_000_000


# ---- The end of the interpreter ----

FIRING = r"""
#include <Python.h>
#include <rmon.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Threads that fire, of which Python knows nothing, and that go on when Python has ended. */
static int stop, count;
static pthread_t threads[16];
static long fired, failed;
static void *code;

static void *run(void *data)
{
    static const uint8_t types[] = {RMON_EVENT_LINE, RMON_EVENT_PY_RETURN};
    (void)data;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        rmon_state states[2] = {{0, 0}, {0, 0}};
        uint64_t version = 0;
        int line;
        rmon_enter_scope(states, &version, types, 2);
        for (line = 1; line <= 5; line++) {
            if (rmon_fire_line(&states[0], code, line, line) != RMON_OK)
                __atomic_add_fetch(&failed, 1, __ATOMIC_RELAXED);
            __atomic_add_fetch(&fired, 1, __ATOMIC_RELAXED);
        }
        rmon_fire_py_return(&states[1], code, 6, NULL);
    }
    return NULL;
}

void fire_once(void)
{
    rmon_state state = {0, 0};
    uint64_t version = 0;
    uint8_t type = RMON_EVENT_LINE;
    rmon_enter_scope(&state, &version, &type, 1);
    rmon_fire_line(&state, code, 0, 99);
}

void start(int wanted)
{
    rmon_code_info info = {sizeof info, 1, "f", NULL, "f.c", NULL, 0};
    code = rmon_code_new(&info);
    for (count = 0; count < wanted; count++)
        pthread_create(&threads[count], NULL, run, NULL);
}

/* After Python: the threads must still be able to fire, and end. A thread that Python has stopped inside a fire (it
 * waited for the GIL when that ended) never comes back. */
void finish(void)
{
    long before = __atomic_load_n(&fired, __ATOMIC_RELAXED), after;
    int i;
    for (i = 0; i < 5; i++)
        fire_once();
    /* On a busy machine none of them may have its turn for long. */
    for (i = 0; i < 20000 && count > 0 && __atomic_load_n(&fired, __ATOMIC_RELAXED) == before; i++)
        usleep(1000);
    after = __atomic_load_n(&fired, __ATOMIC_RELAXED);
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (i = 0; i < count; i++) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 5;
        if (pthread_timedjoin_np(threads[i], NULL, &until) != 0) {
            puts("a thread is stuck");
            fflush(stdout);
            _exit(3);
        }
    }
    printf("%s, %ld failed\n", count == 0 || after > before ? "went on" : "stood still", failed);
    fflush(stdout);
}

static void at_exit(void)
{
    finish();
}

/* finish() is to run when the interpreter has ended. */
int finish_after_python(void)
{
    return Py_AtExit(at_exit);
}
"""


@pytest.fixture(scope="session")
def firing(build_c_extension: Callable[..., Any]) -> str:
    path = build_c_extension(FIRING, "firing_at_the_end", flags=["-pthread", "-D_GNU_SOURCE"], link=True, imported=False)
    return str(path)


ENDING = """
import atexit, faulthandler, gc, os, sys, threading, time
faulthandler.enable()
faulthandler.dump_traceback_later(60, exit=True)
import rmon
M, E = rmon.monitoring, rmon.monitoring.events
calls = []
def callback(code, *args, append=calls.append, CodeLike=rmon.CodeLike):
    if isinstance(code, CodeLike):
        append(args)
def listen():
    M.use_tool_id(3, "tool")
    for event in (E.LINE, E.PY_RETURN):
        M.register_callback(3, event, callback)
    M.set_events(3, E.LINE | E.PY_RETURN)
"""


@pytest.fixture
def end(run_python: Callable[..., Any]) -> Callable[..., str]:
    """Runs a script, with ENDING, which must end well. Returns what it printed; it must not print errors."""

    def run(text: str, code: int = 0) -> str:
        done = run_python("-W", "ignore", "-c", ENDING + textwrap.dedent(text), check=False, timeout=100)
        assert (done.returncode, done.stderr) == (code, ""), (done.returncode, done.stdout, done.stderr)
        output: str = done.stdout
        return output

    return run


@pytest.mark.parametrize("attempt", range(4))
def test_foreign_threads_fire_through_the_end(end: Callable[..., str], firing: str, attempt: int) -> None:
    output = end(
        f"""
        import ctypes
        library = ctypes.CDLL({firing!r})
        assert library.finish_after_python() == 0
        listen()
        library.start(4)
        while not calls:
            time.sleep(0.01)
        """
    )
    assert output == "went on, 0 failed\n"


def test_foreign_threads_fire_through_the_end_with_a_busy_callback(end: Callable[..., str], firing: str) -> None:
    """Callbacks that give the GIL away are under way when the interpreter ends."""
    output = end(
        f"""
        import ctypes
        library = ctypes.CDLL({firing!r})
        assert library.finish_after_python() == 0
        def callback(code, *args):
            time.sleep(0.001)
        listen()
        library.start(8)
        time.sleep(0.1)
        """
    )
    assert output == "went on, 0 failed\n"


def test_no_call_after_the_end(end: Callable[..., str], firing: str) -> None:
    """One fire after another when all is over, from the main thread; nobody is called."""
    output = end(
        f"""
        import ctypes
        library = ctypes.CDLL({firing!r})
        assert library.finish_after_python() == 0
        def callback(code, *args, write=os.write):
            if not args or args[0] == 99:
                write(1, b"called")
        listen()
        library.start(0)
        """
    )
    assert output == "went on, 0 failed\n"


def test_fires_from_atexit_handlers(end: Callable[..., str]) -> None:
    """Registered before rmon was imported, they run after all others: fires are fine, delivered or not."""
    output = end(
        """
        code = rmon.CodeLike("f", "f.py")
        scope = rmon.Scope(code, E.LINE)
        def fire(name):
            with scope:
                scope.line(1)
            M.register_callback(3, E.LINE, None)
            M.set_events(3, 0)
            M.get_tool(3)
            print(name)
        atexit.register(fire, "after")
        listen()
        with scope:
            scope.line(1)
        assert calls
        """
    )
    assert output == "after\n"


def test_fires_from_an_atexit_handler_registered_before_rmon(run_python: Callable[..., Any]) -> None:
    script = """if True:
        import atexit, sys
        def fire():
            import rmon
            M, E = rmon.monitoring, rmon.monitoring.events
            with rmon.Scope(code, E.LINE) as scope:
                scope.line(1)
            for attempt in (lambda: M.use_tool_id(4, "late"), lambda: M.set_events(3, 0), lambda: M.free_tool_id(3),
                            lambda: M.restart_events(), rmon.uninstall, rmon.install):
                try:
                    attempt()
                except RuntimeError:
                    pass
            with rmon.Scope(code, E.LINE) as scope:
                scope.line(1)
            print("fine")
        atexit.register(fire)
        import rmon
        M, E = rmon.monitoring, rmon.monitoring.events
        code = rmon.CodeLike("f", "f.py")
        M.use_tool_id(3, "tool")
        M.register_callback(3, E.LINE, lambda *args: None)
        M.set_events(3, E.LINE)
    """
    done = run_python("-X", "faulthandler", "-c", script)
    assert (done.stdout, done.stderr) == ("fine\n", "")


def test_daemon_threads_fire_through_the_end(end: Callable[..., str], firing: str) -> None:
    for _ in range(3):
        end(
            """
            code = rmon.CodeLike("f", "f.py")
            def work():
                scope = rmon.Scope(code, E.LINE)
                while True:
                    with scope:
                        for line in range(5):
                            scope.line(line)
            listen()
            for _ in range(4):
                threading.Thread(target=work, daemon=True).start()
            time.sleep(0.05)
            assert calls
            """
        )


def test_daemon_threads_without_the_gil(end: Callable[..., str], firing: str) -> None:
    for _ in range(3):
        end(
            f"""
            import ctypes
            library = ctypes.CDLL({firing!r})
            library.start(0)
            def work():
                while True:
                    library.fire_once()
            listen()
            for _ in range(4):
                threading.Thread(target=work, daemon=True).start()
            time.sleep(0.05)
            assert calls
            """
        )


def test_a_daemon_thread_that_stays_inside_a_callback(end: Callable[..., str], firing: str) -> None:
    """It does not keep the process from ending, as it does not elsewhere."""
    end(
        f"""
        import ctypes
        library = ctypes.CDLL({firing!r})
        library.start(0)
        inside, never = threading.Semaphore(0), threading.Event()
        def callback(code, *args):
            if isinstance(code, rmon.CodeLike):
                inside.release()
                never.wait()
        code = rmon.CodeLike("f", "f.py")
        def with_gil():
            with rmon.Scope(code, E.LINE) as scope:
                scope.line(1)
        listen()
        for work in (with_gil, library.fire_once):
            threading.Thread(target=work, daemon=True).start()
            inside.acquire()
        faulthandler.cancel_dump_traceback_later()
        faulthandler.dump_traceback_later(20, exit=True)
        """
    )


@pytest.mark.parametrize("where", ["module", "builtins", "cycle", "thread local"])
def test_fires_from_finalizers_at_the_end(end: Callable[..., str], where: str) -> None:
    """Objects that are left die while modules are torn down, and their __del__ fires."""
    end(
        f"""
        import builtins
        where = {where!r}
        class Last:
            def __init__(self):
                self.code = rmon.CodeLike("f", "f.py")
                self.scope = rmon.Scope(self.code, E.LINE)
                self.M, self.line = M, E.LINE
            def __del__(self):
                with self.scope:
                    self.scope.line(1)
                try:
                    self.M.set_local_events(3, self.code, self.line)
                    self.M.register_callback(3, self.line, None)
                    self.M.get_tool(3)
                except RuntimeError:
                    pass
                with self.scope:
                    self.scope.line(1)
        last = Last()
        if where == "builtins":
            builtins.kept = last
            del last
        elif where == "cycle":
            last.me = last
            gc.disable()
        elif where == "thread local":
            local = threading.local()
            local.value = last
            del last
        listen()
        """
    )


def test_sys_exit_inside_a_callback_of_a_foreign_thread(end: Callable[..., str], firing: str) -> None:
    """It cannot end the process; it is reported, and life goes on."""
    output = end(
        f"""
        import ctypes
        library = ctypes.CDLL({firing!r})
        library.start(0)
        caught = []
        sys.unraisablehook = lambda args: caught.append(args.exc_value)
        def callback(code, *args):
            if isinstance(code, rmon.CodeLike):
                sys.exit(5)
        listen()
        thread = threading.Thread(target=library.fire_once)
        thread.start()
        thread.join()
        M.set_events(3, 0)
        assert [type(error) for error in caught] == [SystemExit], caught
        print("fine")
        """
    )
    assert output == "fine\n"


def test_os_exit_inside_a_callback(end: Callable[..., str], firing: str) -> None:
    end(
        f"""
        import ctypes
        library = ctypes.CDLL({firing!r})
        def callback(code, *args):
            if isinstance(code, rmon.CodeLike):
                os._exit(7)
        listen()
        library.start(2)
        time.sleep(30)
        """,
        code=7,
    )


EMBEDDING = r"""
#include <Python.h>
#include <stdio.h>

void start(int wanted);
void finish(void);
void fire_once(void);

static long heard;

static int hear(void *user_data, const rmon_event *event)
{
    (void)user_data;
    (void)event;
    __atomic_add_fetch(&heard, 1, __ATOMIC_RELAXED);
    return RMON_CONTINUE;
}

/* Starts Python, runs a script, and ends Python, as often as asked for; threads that Python does not know fire all the
 * time. A native tool is there before Python, and stays. */
int main(int argc, char **argv)
{
    int round, rounds = atoi(argv[2]);
    (void)argc;
    if (rmon_use_tool_id(1, "native") != RMON_OK
        || rmon_register_callback(1, RMON_EVENT_LINE, hear, NULL, NULL) != RMON_OK
        || rmon_set_events(1, RMON_EVENT_SET(RMON_EVENT_LINE)) != RMON_OK)
        return 3;
    start(4);
    for (round = 0; round < rounds; round++) {
        PyThreadState *saved;
        Py_Initialize();
        if (PyRun_SimpleString(argv[1]) != 0)
            return 1;
        saved = PyEval_SaveThread();
        usleep(30000);
        PyEval_RestoreThread(saved);
        if (PyRun_SimpleString("end()") != 0)
            return 1;
        if (Py_FinalizeEx() != 0)
            return 2;
        if (rmon_get_tool(1, NULL, 0) != 6 || rmon_get_tool(3, NULL, 0) != 0)
            return 4; /* the native tool is in use, and Python's is not */
        __atomic_store_n(&heard, 0, __ATOMIC_RELAXED);
        fire_once();
        if (__atomic_load_n(&heard, __ATOMIC_RELAXED) == 0)
            return 5;
        usleep(5000);
    }
    finish();
    return 0;
}
"""


@pytest.fixture(scope="session")
def embedding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that embeds Python, and fires."""
    import conftest

    shared = sysconfig.get_config_var("LDLIBRARY") or ""
    base = Path(sys.base_prefix)
    found = [
        path
        for folder in (
            Path(sysconfig.get_config_var("LIBDIR") or "/"),
            base / "lib",
            *(base / "lib").glob("*-linux-gnu"),
        )
        for path in folder.glob(f"{shared}*")
        if ".so" in path.name
    ]
    if not found:
        pytest.skip("no shared libpython")
    folder = tmp_path_factory.mktemp("embedding")
    source, program = folder / "embedding.c", folder / "embedding"
    source.write_text(FIRING + EMBEDDING, encoding="utf-8")
    directory = found[0].parent
    done = subprocess.run(
        [
            *conftest.compiler(),
            *("-O1", "-pthread", "-D_GNU_SOURCE"),
            *(f"-I{sysconfig.get_path(which)}" for which in ("include", "platinclude")),
            *conftest.rmon_compile_flags(),
            *(str(source), "-o", str(program), str(found[0]), f"-Wl,-rpath,{directory}"),
            *conftest.rmon_link_flags(),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if "GLIBC_" in done.stdout:
        pytest.skip("this libpython is for another C library")
    assert done.returncode == 0, done.stdout
    return program


EMBEDDED = """
import sys, time
sys.path[:0] = {path!r}
import rmon
M, E = rmon.monitoring, rmon.monitoring.events
calls = []
def callback(code, *args, append=calls.append, CodeLike=rmon.CodeLike):
    if isinstance(code, CodeLike):
        append(args)
M.use_tool_id(3, "tool")
for event in (E.LINE, E.PY_RETURN):
    M.register_callback(3, event, callback)
M.set_events(3, E.LINE | E.PY_RETURN)
def end():
    while not calls:  # on a busy machine it takes its time
        time.sleep(0.01)
"""


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_program_that_embeds_python(embedding: Path, rounds: int) -> None:
    """Its threads fire on after Py_Finalize; and rmon comes back to life when Python is started again."""
    site = [entry for entry in sys.path if entry.endswith("site-packages")]
    script = EMBEDDED.format(path=site)
    environment = {**os.environ, "PYTHONHOME": sys.base_prefix, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [embedding, script, str(rounds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=100,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, ""), (done.returncode, done.stdout, done.stderr)
    assert done.stdout == "went on, 0 failed\n"


# ---- Fork ----

FORKING = """
import faulthandler, os, sys, threading, time
faulthandler.enable()
faulthandler.dump_traceback_later(60, exit=True)
import rmon
M, E = rmon.monitoring, rmon.monitoring.events
code = rmon.CodeLike("f", "f.py")
log = []
def callback(fired, line):
    if fired is code:
        log.append(line)
def fire(*lines):
    with rmon.Scope(code, E.LINE) as scope:
        for line in lines:
            scope.line(line)
    found = log[:]
    log.clear()
    return found
def use():
    "All that tools do, in this process."
    M.use_tool_id(4, "four")
    M.register_callback(4, E.LINE, callback)
    M.set_local_events(4, code, E.LINE)
    M.restart_events()
    assert fire(1, 2) == [1, 2], log
    with rmon.install():
        pass
    M.free_tool_id(4)
    short = rmon.CodeLike("short", "f.py")
    M.set_local_events(3, short, E.LINE)
    del short
    thread = threading.Thread(target=fire, args=(1,))
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
def wait(child):
    _, status = os.waitpid(child, 0)
    assert status == 0, status
def in_child(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child
M.use_tool_id(3, "three")
"""


@pytest.fixture
def forking(run_python: Callable[..., Any]) -> Callable[..., None]:
    def run(text: str) -> None:
        done = run_python("-W", "ignore", "-c", FORKING + textwrap.dedent(text) + "\nprint('fine')", timeout=100)
        assert (done.stdout, done.stderr) == ("fine\n", "")

    return run


def test_fork(forking: Callable[..., None]) -> None:
    forking(
        """
        M.register_callback(3, E.LINE, callback)
        def work():
            M.set_local_events(3, code, E.LINE)
            assert fire(1) == [1]
            M.set_local_events(3, code, 0)
            use()
        wait(in_child(work))
        assert fire(1) == [], "what the child does is the child's"
        use()
        """
    )


def test_fork_inside_a_callback(forking: Callable[..., None]) -> None:
    """The child returns from the callback, as the parent does."""
    forking(
        """
        children = []
        def callback_that_forks(fired, line):
            if fired is code:
                log.append(line)
                if line == 1:
                    M.register_callback(3, E.LINE, callback)
                    children.append(os.fork())
                    assert fire(7) == [1], "fires are suppressed inside, and this took the log"
        M.register_callback(3, E.LINE, callback_that_forks)
        M.set_local_events(3, code, E.LINE)
        with rmon.Scope(code, E.LINE) as scope:
            scope.line(1)
            scope.line(2)
        assert log == [2], log
        log.clear()
        M.set_local_events(3, code, 0)
        use()
        if children[0] == 0:
            os._exit(0)
        wait(children[0])
        """
    )


@forks_at_any_moment
def test_fork_while_threads_fire_and_register(forking: Callable[..., None]) -> None:
    """Other threads are inside callbacks, and inside rmon's own functions, when the process forks."""
    forking(
        """
        stop = threading.Event()
        other = rmon.CodeLike("other", "f.py")
        def firing():
            while not stop.is_set():
                with rmon.Scope(other, E.LINE) as scope:
                    for line in range(5):
                        scope.line(line)
        def registering():
            while not stop.is_set():
                M.use_tool_id(1, "one")
                M.register_callback(1, E.LINE, lambda *args: None)
                M.set_local_events(1, other, E.LINE)
                M.clear_tool_id(1)
                M.free_tool_id(1)
        def slow(fired, line):
            if fired is other:
                time.sleep(0.001)
        M.register_callback(3, E.LINE, slow)
        M.set_local_events(3, other, E.LINE)
        threads = [threading.Thread(target=work) for work in (firing, firing, registering)]
        for thread in threads: thread.start()
        for _ in range(20):
            time.sleep(0.003)
            wait(in_child(use))
        stop.set()
        for thread in threads: thread.join()
        use()
        """
    )


@pytest.mark.skipif(
    sys.version_info < (3, 12),
    reason="CPython's own child may hang: the lock of its thread states is used before it is made anew",
)
@forks_at_any_moment
def test_fork_while_foreign_threads_fire(forking: Callable[..., None], firing: str) -> None:
    forking(
        f"""
        import ctypes
        library = ctypes.CDLL({firing!r})
        calls = []
        def count(fired, line):
            if isinstance(fired, rmon.CodeLike) and fired is not code:
                calls.append(line)
        M.register_callback(3, E.LINE, count)
        M.set_events(3, E.LINE)
        library.start(3)
        time.sleep(0.05)
        def work():
            calls.clear()
            library.fire_once()
            assert calls == [99], calls
            M.set_events(3, 0)
            use()
        for _ in range(10):
            wait(in_child(work))
        assert calls
        M.set_events(3, 0)
        """
    )


def test_multiprocessing_with_tools(run_python: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(
        textwrap.dedent(
            """
            import multiprocessing, sys
            import rmon
            M, E = rmon.monitoring, rmon.monitoring.events
            code = rmon.CodeLike("f", "f.py")
            log = []
            def work(number):
                with rmon.Scope(code, E.LINE) as scope:
                    scope.line(number)
                return log[:]
            if __name__ == "__main__":
                M.use_tool_id(3, "tool")
                M.register_callback(3, E.LINE, lambda fired, line: log.append(line))
                M.set_local_events(3, code, E.LINE)
                with multiprocessing.get_context("fork").Pool(2) as pool:
                    results = pool.map(work, [5] * 6, chunksize=1)
                assert all(result and set(result) == {5} for result in results), results
                assert log == []
                print("fine")
            """
        )
    )
    assert run_python("-W", "ignore", "work.py").stdout == "fine\n"


# ---- Imported again ----


def test_rmon_imported_again(run_python: Callable[..., Any]) -> None:
    script = """if True:
        import gc, sys
        import rmon
        old = rmon
        M, E = rmon.monitoring, rmon.monitoring.events
        code = rmon.CodeLike("f", "f.py")
        log = []
        def callback(fired, line):
            if fired is code:
                log.append(line)
        def fire(module, line):
            with module.Scope(code, E.LINE) as scope:
                scope.line(line)
            found = log[:]
            log.clear()
            return found
        M.use_tool_id(3, "tool")
        M.register_callback(3, E.LINE, callback)
        M.set_local_events(3, code, E.LINE)
        rmon.install()
        for _ in range(3):
            for name in [name for name in sys.modules if name == "rmon" or name.startswith("rmon.")]:
                del sys.modules[name]
            del rmon
            gc.collect()
            import rmon
            new = rmon.monitoring
            assert new.events.LINE == E.LINE and new.DISABLE is M.DISABLE and new.MISSING is M.MISSING
            assert new.get_tool(3) == M.get_tool(3) == "tool"
            assert new.get_local_events(3, code) == E.LINE
            assert fire(old, 1) == [1] and fire(rmon, 2) == [2]
            try:
                new.use_tool_id(3, "again")
            except ValueError:
                pass
            else:
                raise AssertionError
            rmon.install()
            rmon.uninstall()
            other = rmon.CodeLike("g", "f.py")
            M.set_local_events(3, other, E.LINE)
            assert new.get_local_events(3, other) == E.LINE
        rmon.uninstall()
        assert new.register_callback(3, E.LINE, None) is callback
        new.free_tool_id(3)
        assert M.get_tool(3) is None
        print("fine")
    """
    done = run_python("-X", "faulthandler", "-c", script)
    assert (done.stdout, done.stderr) == ("fine\n", "")


def test_only_part_of_rmon_imported_again(run_python: Callable[..., Any]) -> None:
    script = """if True:
        import importlib, sys
        import rmon, rmon.testing
        M, E = rmon.monitoring, rmon.monitoring.events
        M.use_tool_id(3, "tool")
        for name in ("rmon._rmon", "rmon.monitoring", "rmon.testing", "rmon"):
            module = importlib.reload(sys.modules[name])
            assert M.get_tool(3) == "tool"
        assert rmon.monitoring.get_tool(3) == "tool"
        del sys.modules["rmon._rmon"]
        import rmon._rmon
        assert M.get_tool(3) == "tool"
        print("fine")
    """
    done = run_python("-X", "faulthandler", "-c", script)
    assert (done.stdout, done.stderr) == ("fine\n", "")


@mortal
def test_nothing_of_rmon_keeps_modules_alive() -> None:
    def use() -> Any:
        module = types.ModuleType("tool_module")
        module.callback = lambda *args: module  # type: ignore[attr-defined]
        claim()
        M.register_callback(TOOL, E.LINE, module.callback)
        M.free_tool_id(TOOL)
        return weakref.ref(module)

    alive = use()
    gc.collect()
    assert alive() is None
