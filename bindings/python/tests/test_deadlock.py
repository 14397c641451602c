"""Threads that wait for each other through callbacks, destroy functions and the GIL. What hangs ends with all stacks.

Waiting callbacks that test_threads.py has (for a thread that uses the tools, or fires; two that wait for each other)
are not repeated.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import textwrap
import threading
import time
from typing import Any, Callable, Iterator

import pytest
from test_threads import CALL, EMITTERS, JUMP, LINE, Emitters, listen, python_code

import rmon
from rmon import monitoring as M

pytestmark = pytest.mark.thorough

E = M.events
TOOL, OTHER = 3, 1
SECONDS = 60

CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
DESTROY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@pytest.fixture(autouse=True)
def watchdog(clean: None) -> Iterator[None]:
    faulthandler.dump_traceback_later(SECONDS, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session")
def emitters(build_c_extension: Callable[..., Any]) -> Emitters:
    return Emitters(build_c_extension(EMITTERS, "emitters_in_c", flags=["-pthread"], link=True, imported=False))


@CALLBACK
def go_on(user_data: Any, event: Any) -> int:
    return 0


def nothing(*args: Any) -> None: ...


def run_together(*functions: Callable[[], None]) -> None:
    """Each in a thread; the first error of any is raised."""
    errors: list[BaseException] = []

    def guarded(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def use_everything(tool: int) -> None:
    code = rmon.CodeLike("f", "f.py")
    M.use_tool_id(tool, "meanwhile")
    M.register_callback(tool, E.LINE, nothing)
    M.register_callback(tool, E.LINE, None)
    M.set_events(tool, E.JUMP)
    M.set_events(tool, 0)
    M.set_local_events(tool, code, E.LINE)
    M.restart_events()
    M.clear_tool_id(tool)
    M.free_tool_id(tool)
    rmon.forget(code)


# ---- Callbacks that wait for the GIL ----


def test_control_with_the_gil_while_callbacks_wait_for_it(emitters: Emitters) -> None:
    """A removal waits for nobody: the callbacks get the GIL when it is over."""
    native, seen = emitters.make_code(), []
    crowd = emitters.start(native, 4)
    for _ in range(30):
        listen("LINE", lambda code, *args: seen.append(None) if not python_code(code) else None)
        M.set_events(TOOL, E.LINE)
        while not seen:
            time.sleep(0.001)
        use_everything(OTHER)
        M.register_callback(TOOL, E.LINE, None)
        M.free_tool_id(TOOL)
    _, failed = emitters.stop(crowd)
    assert failed == 0 and seen
    emitters.release(native)


@pytest.mark.parametrize("with_gil", [False, True])
def test_synchronize_while_callbacks_wait_for_the_gil(emitters: Emitters, with_gil: bool) -> None:
    """It gives the GIL away while it waits."""
    library = (ctypes.PyDLL if with_gil else ctypes.CDLL)(emitters.rmon._name)
    native, seen = emitters.make_code(), []
    crowd = emitters.start(native, 4)
    listen("LINE", lambda code, *args: seen.append(None) if not python_code(code) else None)

    def synchronize() -> None:
        for _ in range(10):
            assert library.rmon_synchronize() == 0

    run_together(synchronize, synchronize)
    M.free_tool_id(TOOL)
    assert library.rmon_synchronize() == 0
    count = len(seen)
    _, failed = emitters.stop(crowd)
    assert failed == 0 and count == len(seen) > 0
    emitters.release(native)


def test_synchronize_inside_callbacks_on_two_threads(emitters: Emitters) -> None:
    """It is refused in both, with the GIL and without."""
    with_gil = ctypes.PyDLL(emitters.rmon._name)
    barrier, statuses = threading.Barrier(2), []

    def callback(code: Any, line: int) -> None:
        if not python_code(code):
            barrier.wait()
            M.register_callback(OTHER, E.LINE, None)
            statuses.extend([emitters.rmon.rmon_synchronize(), with_gil.rmon_synchronize()])
            barrier.wait()

    listen("LINE", callback)
    run_together(lambda: emitters.fire(LINE, 0x1000), lambda: emitters.fire_in_thread(LINE, 0x1000))
    M.free_tool_id(TOOL)
    assert statuses == [-15] * 4
    assert emitters.rmon.rmon_synchronize() == 0


def test_the_tools_used_inside_callbacks_on_two_threads(emitters: Emitters) -> None:
    """Both are inside, and take turns with the GIL in the midst of what they do."""
    barrier, done = threading.Barrier(2), []

    def callback(code: Any, line: int) -> None:
        if not python_code(code):
            barrier.wait()
            for _ in range(100):
                use_everything(line)
                time.sleep(0)
            done.append(line)

    listen("LINE", callback)
    run_together(
        lambda: emitters.fire_in_thread(LINE, 0x1000, 0, 1) and None,
        lambda: emitters.fire(LINE, 0x1000, 0, 2) and None,
    )
    M.free_tool_id(TOOL)
    assert sorted(done) == [1, 2]


def test_a_callback_that_joins_a_python_thread_that_fires(emitters: Emitters) -> None:
    code, seen = rmon.CodeLike("f", "f.py"), []

    def fire(line: int) -> None:
        with rmon.Scope(code, E.LINE) as scope:
            scope.line(line)

    def callback(fired: Any, line: int) -> None:
        seen.append(line)
        if line < 5:
            thread = threading.Thread(target=fire, args=(line + 1,))
            thread.start()
            thread.join()

    M.use_tool_id(TOOL, "tool")
    M.register_callback(TOOL, E.LINE, callback)
    M.set_local_events(TOOL, code, E.LINE)
    fire(1)
    assert seen == [1, 2, 3, 4, 5]


def test_a_callback_that_blocks_while_others_register_and_free(emitters: Emitters) -> None:
    inside, over, log = threading.Event(), threading.Event(), []

    def callback(code: Any, line: int) -> None:
        if not python_code(code):
            inside.set()
            over.wait()
            log.append("callback")

    listen("LINE", callback)

    def others() -> None:
        inside.wait()
        use_everything(OTHER)
        M.register_callback(TOOL, E.LINE, nothing)
        M.free_tool_id(TOOL)
        use_everything(TOOL)
        log.append("others")
        over.set()

    run_together(lambda: emitters.fire_in_thread(LINE, 0x1000) and None, others)
    assert log == ["others", "callback"]


# ---- Python code inside control functions ----

# It waits for a thread that uses other tools.
INSIDE = """
import sys, threading
from rmon import monitoring as M
import rmon
E = M.events

def use_everything(tool):
    code = rmon.CodeLike("f", "f.py")
    M.use_tool_id(tool, "meanwhile")
    M.register_callback(tool, E.LINE, print)
    M.register_callback(tool, E.LINE, None)
    M.set_events(tool, E.JUMP)
    M.set_local_events(tool, code, E.LINE)
    M.restart_events()
    M.free_tool_id(tool)
    rmon.forget(code)
    del code

main, waited = threading.current_thread(), []

def wait(*args):
    if threading.current_thread() is main:
        thread = threading.Thread(target=use_everything, args=(1,), daemon=True)
        thread.start()
        thread.join(30)
        assert not thread.is_alive(), "they wait for each other"
        waited.append(args)

class Index:
    def __init__(self, value):
        self.value = value
    def __index__(self):
        wait()
        return self.value

class Name(str):
    def __del__(self):
        wait()

class Callback:
    def __call__(self, *args): ...
    def __del__(self):
        wait()
"""

INSIDES = {
    "an audit hook": """
        sys.addaudithook(lambda event, args: event == "sys.monitoring.register_callback" and wait())
        M.use_tool_id(3, "tool")
        M.register_callback(3, E.LINE, print)
        assert M.register_callback(3, E.STOP_ITERATION, print) is None
        M.free_tool_id(3)
    """,
    "an audit hook and a DISABLE": """
        sys.addaudithook(lambda event, args: event == "sys.monitoring.register_callback" and wait())
        code = rmon.CodeLike("f", "f.py")
        M.use_tool_id(3, "tool")
        M.register_callback(3, E.RAISE, lambda *args: M.DISABLE if args[0] is code else None)
        M.set_events(3, E.RAISE)
        with rmon.Scope(code, E.RAISE) as scope:
            try:
                scope.raise_(0, KeyError())
            except ValueError:
                pass
        M.free_tool_id(3)
    """,
    "__index__": """
        M.use_tool_id(Index(3), "tool")
        M.register_callback(Index(3), Index(E.LINE), print)
        M.set_events(Index(3), Index(0))
        M.set_local_events(Index(3), rmon.CodeLike("f", "f.py"), Index(E.LINE))
        M.clear_tool_id(Index(3))
        M.free_tool_id(Index(3))
    """,
    "a callable that dies": """
        for end in (M.clear_tool_id, M.free_tool_id, lambda tool: M.register_callback(tool, E.LINE, None)):
            M.use_tool_id(3, "tool")
            M.register_callback(3, E.LINE, Callback())
            end(3)
            M.free_tool_id(3)
        assert len(waited) == 3
    """,
    "a name that dies": """
        M.use_tool_id(3, Name("tool"))
        M.free_tool_id(3)
    """,
    "what stood in a function's place": """
        if not hasattr(sys, "monitoring"):
            wait()
            sys.exit()
        below = sys.monitoring.use_tool_id
        sys.monitoring.use_tool_id = lambda tool, name: (wait(), below(tool, name))[1]
        rmon.install()
        sys.monitoring.use_tool_id(3, "tool")
        sys.monitoring.free_tool_id(3)
    """,
}


@pytest.mark.parametrize("inside", INSIDES)
def test_python_code_in_a_control_function_waits_for_a_thread_that_uses_the_tools(
    run_python: Callable[..., Any], inside: str
) -> None:
    run_python("-c", f"{INSIDE}{textwrap.dedent(INSIDES[inside])}\nassert waited")


# ---- Destroy functions of native tools ----


def test_a_destroy_function_that_needs_the_gil(emitters: Emitters) -> None:
    """It runs on a thread without it, while threads that have it make control calls."""
    destroyed: list[int] = []
    stop = threading.Event()

    @DESTROY
    def destroy(user_data: Any) -> None:
        use_everything(OTHER)
        destroyed.append(user_data)

    def register() -> None:
        for number in range(1, 101):
            status = emitters.rmon.rmon_register_callback(4, JUMP, go_on, ctypes.c_void_p(number), destroy)
            assert status == 0
        emitters.rmon.rmon_register_callback(4, JUMP, None, None, None)
        assert emitters.rmon.rmon_synchronize() == 0
        stop.set()

    def control() -> None:
        while not stop.is_set():
            use_everything(TOOL)

    run_together(register, control)
    assert sorted(destroyed) == list(range(1, 101))


def test_a_destroy_function_inside_a_tool_function_gives_the_gil_away(emitters: Emitters) -> None:
    """It runs in the midst of free_tool_id, whose callbacks it was, while other threads use the tools."""
    log: list[str] = []
    inside = threading.Event()

    @DESTROY
    def destroy(user_data: Any) -> None:
        inside.set()
        for _ in range(50):  # the other thread is at it, and has the GIL meanwhile
            time.sleep(0.001)
        use_everything(TOOL - 1)
        log.append("destroy")

    def free() -> None:
        M.use_tool_id(TOOL, "tool")
        assert emitters.rmon.rmon_register_callback(TOOL, CALL, go_on, None, destroy) == 0
        M.free_tool_id(TOOL)

    def use() -> None:
        inside.wait()
        use_everything(OTHER)
        log.append("others")

    run_together(free, use, use_in_turn)
    assert sorted(log) == ["destroy", "others"]


def use_in_turn() -> None:
    for _ in range(20):
        use_everything(5)
        time.sleep(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_while_a_destroy_function_gives_the_gil_away(emitters: Emitters) -> None:
    inside, statuses = threading.Event(), []

    @DESTROY
    def destroy(user_data: Any) -> None:
        inside.set()
        for _ in range(50):
            time.sleep(0.001)

    def free() -> None:
        M.use_tool_id(TOOL, "tool")
        assert emitters.rmon.rmon_register_callback(TOOL, CALL, go_on, None, destroy) == 0
        M.free_tool_id(TOOL)

    def fork() -> None:
        inside.wait()
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(SECONDS)
                use_everything(OTHER)
                os._exit(0)
            finally:
                os._exit(1)
        statuses.append(os.waitpid(child, 0)[1])

    run_together(free, fork)
    assert statuses == [0]


# ---- Attaching ----


def test_attach_and_detach_while_threads_import_and_fire(
    build_c_extension: Callable[..., Any], emitters: Emitters
) -> None:
    """The loader's locks and the GIL: extensions that attach lazily are loaded meanwhile."""
    source = """
    #include <Python.h>
    #include <rmon_python.h>
    static PyMethodDef methods[] = {{NULL, NULL, 0, NULL}};
    static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "m", NULL, -1, methods, NULL, NULL, NULL, NULL};
    PyMODINIT_FUNC PyInit_deadlock_lazy(void)
    {
        static const uint8_t types[] = {PY_MONITORING_EVENT_LINE};
        PyMonitoringState state = {0, 0};
        uint64_t version = 0;
        if (PyMonitoring_EnterScope(&state, &version, types, 1) < 0
            || PyMonitoring_FireLineEvent(&state, Py_None, 0, 1) < 0)
            return NULL;
        return PyModule_Create(&definition);
    }
    """
    path = build_c_extension(source, "deadlock_lazy", imported=False)
    copies = [path.with_name(f"copy{number}-{path.name}") for number in range(20)]
    for copy in copies:
        copy.write_bytes(path.read_bytes())
    stop = threading.Event()

    def load() -> None:
        for copy in copies:
            library = ctypes.PyDLL(os.fspath(copy))
            library.PyInit_deadlock_lazy.restype = ctypes.py_object
            library.PyInit_deadlock_lazy()
            time.sleep(0)
        stop.set()

    def attach() -> None:
        while not stop.is_set():
            rmon.detach()
            rmon.attach()
            use_everything(OTHER)

    native = emitters.make_code()
    crowd = emitters.start(native, 2)
    run_together(load, attach)
    rmon.attach()
    assert emitters.stop(crowd)[1] == 0
    emitters.release(native)
