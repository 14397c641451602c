"""What ends or interrupts Python in the middle of a fire or a call of a tool: no memory, signals, fork with threads,
atexit, interpreters that end beside a native tool.

Every test is a process of its own, with a watchdog. What is left when an interpreter ends is test_lifetime's.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any, Callable

import pytest

pytestmark = pytest.mark.thorough

PRELUDE = """
import faulthandler, os, sys, threading, time
faulthandler.enable()
faulthandler.dump_traceback_later(100, exit=True)
import rmon
M, E = rmon.monitoring, rmon.monitoring.events
code = rmon.CodeLike("f", "f.py")
scope = rmon.Scope(code, E.LINE, E.CALL)
log = []
def callback(fired, *args):
    if fired is code:
        log.append(args)
def listen(callback=callback):
    M.use_tool_id(3, "three")
    M.register_callback(3, E.LINE, callback)
    M.set_local_events(3, code, E.LINE)
def fire(line):
    with scope:
        scope.line(line)
    found = log[:]
    log.clear()
    return found
"""


@pytest.fixture
def script(run_python: Callable[..., Any]) -> Callable[..., None]:
    """Runs a script, with PRELUDE, which must print "fine" and nothing else."""

    def run(text: str, *args: str) -> None:
        done = run_python("-W", "ignore", "-c", PRELUDE + textwrap.dedent(text), *args, timeout=120)
        assert (done.stdout, done.stderr) == ("fine\n", "")

    return run


# ---- No memory ----


# What is tried; the interpreter's own part of it must be as small as can be.
OPERATIONS = {
    "use_tool_id": "M.use_tool_id(2, name)",
    "free_tool_id": "M.free_tool_id(3)",
    "clear_tool_id": "M.clear_tool_id(3)",
    "get_tool": "M.get_tool(3)",
    "set_events": "M.set_events(3, events)",
    "get_events": "M.get_events(3)",
    "set_local_events": "M.set_local_events(3, code, events)",
    "set_local_events, an instance": "M.set_local_events(3, instance, events)",
    "get_local_events": "M.get_local_events(3, code)",
    "register_callback": "M.register_callback(3, E.LINE, disable)",
    "register_callback, another event": "M.register_callback(3, E.JUMP, disable)",
    "register_callback, None": "M.register_callback(3, E.LINE, None)",
    "restart_events": "M.restart_events()",
    "forget": "rmon.forget(code)",
    "CodeLike": 'rmon.CodeLike(name, "y.py")',
    "Scope": "rmon.Scope(code, E.LINE, E.JUMP)",
    "install": "rmon.install()",
    "a fire": "enter(); line(1000); leave(None, None, None)",
    "a fire that disables": "enter(); line(6); leave(None, None, None)",
    "a call": "enter(); call(1, print, name); leave(None, None, None)",
}

# CPython 3.12 and newer have then set the events and not instrumented what is running, and do so where nobody expects
# an error.
BREAK_THE_INTERPRETER = {"set_events", "restart_events"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_memory(script: Callable[..., None], operation: str) -> None:
    """Each of Python's allocations fails in turn: that is a MemoryError, what can be asked for is as before, and all
    works again when there is memory."""
    pytest.importorskip("_testcapi")
    if operation in BREAK_THE_INTERPRETER and sys.version_info >= (3, 12):
        pytest.skip("breaks the interpreter itself")
    script(
        """
        from _testcapi import set_nomemory, remove_mem_hooks
        def view():
            tools = [tool for tool in range(6) if M.get_tool(tool) is not None]
            return [(tool, M.get_events(tool), M.get_local_events(tool, code)) for tool in tools]
        def installed():
            return getattr(sys, "monitoring", None) and sys.monitoring.get_tool
        def reset():
            for tool in range(1, 5):
                M.free_tool_id(tool)
            rmon.uninstall()
            M.use_tool_id(3, "three")
            M.register_callback(3, E.LINE, hear)
            M.register_callback(3, E.CALL, callback)
            M.set_local_events(3, code, E.LINE | E.CALL)
        def hear(fired, line):
            if fired is code:
                if line == 6:
                    return M.DISABLE
                log.append((line,))
        def disable(*args):
            return M.DISABLE
        class Instance:
            pass
        instance, name, events = Instance(), "a name", E.LINE | E.JUMP | E.CALL
        enter, leave, line, call = scope.__enter__, scope.__exit__, scope.line, scope.call
        failed, native = 0, installed()
        exec(f"def operation():\\n    {sys.argv[1]}")
        sys.unraisablehook = lambda error: None
        for first in range(60):
            for count in (1, 2):
                reset()
                before, failed_here = view(), False
                set_nomemory(first, first + count)
                try:
                    operation()
                except MemoryError:
                    remove_mem_hooks()
                    failed_here = True
                except RuntimeError:
                    remove_mem_hooks()
                    # PySys_GetObject does not say why it finds nothing
                    assert "install" in sys.argv[1]
                remove_mem_hooks()
                if failed_here:
                    failed += 1
                    assert view() == before, (first, count, before, view())
                    # to undo it takes memory, too
                    assert installed() == native or count > 1, first
                log.clear()
        reset()
        assert fire(7) == [(7,)]
        M.free_tool_id(3)
        listen()
        assert fire(8) == [(8,)]
        M.free_tool_id(3)
        if "CodeLike" in sys.argv[1]:
            assert failed, "nothing failed"
        print("fine")
        """,
        OPERATIONS[operation],
    )


# ---- Signals ----


def test_alarms_inside_callbacks(script: Callable[..., None]) -> None:
    """Handlers that raise at any moment: what they raise comes out of the fire, or of what surrounds it, once; and the
    tool stays."""
    script(
        """
        import signal
        class Alarm(Exception):
            pass
        raised, caught, calls = 0, 0, 0
        def handler(number, frame):
            global raised
            raised += 1
            scope.line(1000)  # suppressed inside a callback, heard outside
            raise Alarm
        def slow(fired, line):
            global calls
            if fired is code and line != 1000:
                calls += 1
                for _ in range(100):
                    pass
        listen(slow)
        signal.signal(signal.SIGALRM, handler)
        fired = 0
        with scope:
            while caught < 200:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.0005)
                    while True:
                        fired += 1
                        scope.line(1)
                except Alarm:
                    caught += 1
            before = calls
            scope.line(1)
            assert calls == before + 1
        assert caught == raised, (caught, raised)
        assert calls >= fired - caught, (calls, fired, caught)
        print("fine")
        """
    )


def test_keyboard_interrupt_inside_a_callback(script: Callable[..., None]) -> None:
    script(
        """
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)  # not so if whoever ran this ignores it
        def interrupted(fired, line):
            if fired is code and line == 1:
                os.kill(os.getpid(), signal.SIGINT)
                while True:
                    pass
        for _ in range(20):
            listen(interrupted)
            try:
                with scope:
                    scope.line(1)
            except KeyboardInterrupt:
                pass
            else:
                raise AssertionError("no KeyboardInterrupt")
            M.register_callback(3, E.LINE, callback)
            assert fire(2) == [(2,)]
            M.free_tool_id(3)
        print("fine")
        """
    )


# ---- Fork ----


def test_fork_inside_a_callback_while_threads_fire(script: Callable[..., None]) -> None:
    """The child goes on, with the thread that forked, and so does the parent, with all."""
    script(
        """
        stop, others = threading.Event(), rmon.CodeLike("others", "f.py")
        heard = 0
        def fork_once(fired, line):
            global heard
            if fired is others:
                heard += 1
            elif fired is code and line == 1:
                children.append(os.fork())
        def fire_on():
            own = rmon.Scope(others, E.LINE)
            while not stop.is_set():
                with own:
                    for line in range(10):
                        own.line(line)
        children = []
        listen(fork_once)
        M.set_local_events(3, others, E.LINE)
        threads = [threading.Thread(target=fire_on) for _ in range(3)]
        for thread in threads: thread.start()
        for _ in range(10):
            fire(1)
            child = children.pop()
            before = heard
            if child == 0:
                with rmon.Scope(others, E.LINE) as own:
                    own.line(1)
                M.register_callback(3, E.LINE, callback)
                good = heard == before + 1 and fire(2) == [(2,)]
                M.free_tool_id(3)
                os._exit(0 if good else 1)
            assert os.waitpid(child, 0)[1] == 0
            while heard == before:
                time.sleep(0.001)
        stop.set()
        for thread in threads: thread.join()
        print("fine")
        """
    )


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_multiprocessing_from_inside_a_callback(run_python: Callable[..., Any], tmp_path: Path, method: str) -> None:
    """A pool is started and used inside a callback, where nothing is heard, and outside; only forked children have the
    tool."""
    (tmp_path / "work.py").write_text(
        PRELUDE
        + textwrap.dedent(
            """
            import multiprocessing
            def work(number):
                return fire(number)
            def use_pool():
                with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
                    return pool.map(work, [1, 2, 3])
            def start(fired, line):
                if fired is code and not results:
                    results.append(use_pool())
            if __name__ == "__main__":
                results = []
                listen(start)
                fire(1)
                assert results == [[[], [], []]], results
                M.register_callback(3, E.LINE, callback)
                assert fire(2) == [(2,)]
                assert use_pool() == ([[(1,)], [(2,)], [(3,)]] if sys.argv[1] == "fork" else [[], [], []])
                print("fine")
            """
        )
    )
    done = run_python("-W", "ignore", "work.py", method, timeout=120)
    assert (done.stdout, done.stderr) == ("fine\n", "")


# ---- The end ----


def test_atexit_frees_tools_while_threads_fire(script: Callable[..., None]) -> None:
    """Functions that run before the one that frees are heard, later ones not."""
    script(
        """
        import atexit
        def at_exit(line, expected):
            found = fire(line)
            if found != expected:
                print("not fine:", line, found, flush=True)
        def free():
            M.free_tool_id(3)
            assert M.get_tool(3) is None
        def fire_on():
            own = rmon.Scope(rmon.CodeLike("others", "f.py"), E.LINE)
            while True:
                with own:
                    own.line(1)
        atexit.register(print, "fine")
        atexit.register(at_exit, 6, [])
        atexit.register(free)
        atexit.register(at_exit, 5, [(5,)])
        listen()
        M.set_events(3, E.LINE)
        for _ in range(2):
            threading.Thread(target=fire_on, daemon=True).start()
        """
    )


# ---- Interpreters beside a native tool ----

COUNTER = """
#include <rmon.h>

static long heard;

static int hear(void *user_data, const rmon_event *event)
{
    (void)user_data;
    (void)event;
    __atomic_add_fetch(&heard, 1, __ATOMIC_RELAXED);
    return RMON_CONTINUE;
}

int counter_opens(void)
{
    return rmon_use_tool_id(1, "counter") | rmon_register_callback(1, RMON_EVENT_LINE, hear, 0, 0)
        | rmon_set_events(1, RMON_EVENT_SET(RMON_EVENT_LINE));
}

int counter_heard(void)
{
    return (int)__atomic_load_n(&heard, __ATOMIC_RELAXED);
}
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no interpreter has a GIL of its own")
def test_a_native_tool_beside_interpreters_with_their_own_gil(
    script: Callable[..., None], build_c_extension: Callable[..., Any]
) -> None:
    """Two threads make interpreters, each of which imports rmon and fires for a tool of its own, and end them; the
    native tool hears all of it."""
    library = build_c_extension(COUNTER, "counter", link=True, imported=False)
    script(
        f"""
        import ctypes
        try:
            import _interpreters as interpreters
            create = lambda: interpreters.create("isolated")
            run = interpreters.exec
        except ImportError:
            import _xxsubinterpreters as interpreters
            create = lambda: interpreters.create(isolated=True)
            run = interpreters.run_string
        counter = ctypes.CDLL({str(library)!r})
        assert counter.counter_opens() == 0
        INSIDE = '''if True:
            import rmon
            M, E = rmon.monitoring, rmon.monitoring.events
            code, heard = rmon.CodeLike("f", "f.py"), 0
            def callback(fired, line):
                global heard
                heard += fired is code
            M.use_tool_id(3, "three")
            M.register_callback(3, E.LINE, callback)
            M.set_local_events(3, code, E.LINE)
            try:
                M.use_tool_id(1, "taken")
            except ValueError:
                pass
            else:
                raise AssertionError("the native tool's id was to be had")
            with rmon.Scope(code, E.LINE) as scope:
                for line in range(1000):
                    scope.line(line)
            assert heard == 1000, heard
        '''
        failures, ROUNDS = [], 6
        def work():
            try:
                for _ in range(ROUNDS):
                    sub = create()
                    failed = run(sub, INSIDE)
                    assert failed is None, failed.errdisplay
                    interpreters.destroy(sub)
            except BaseException as error:
                failures.append(error)
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert failures == [], failures
        assert counter.counter_heard() == 2 * ROUNDS * 1000, counter.counter_heard()
        listen()
        assert fire(1) == [(1,)]
        assert counter.counter_heard() == 2 * ROUNDS * 1000 + 1
        print("fine")
        """
    )
