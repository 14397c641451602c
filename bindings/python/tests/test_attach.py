"""Extensions that attach lazily: they use no symbol of rmon's and import nothing; importing rmon wakes them, whenever
it comes, and rmon.detach() puts them to sleep.

What an extension does before rmon is there, and what can crash, runs in a process of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path
from typing import Any, Callable

import pytest
from conftest import compiler, rmon_compile_flags, run

import rmon

pytestmark = pytest.mark.thorough

# An extension, for all versions and the limited API. NAME is the module's name.
SOURCE = r"""
#include "rmon_python.h"
#include <string.h>

static const uint8_t types[] = {PY_MONITORING_EVENT_LINE, PY_MONITORING_EVENT_RAISE};
static PyMonitoringState states[2];
static uint64_t version;

/* fire(code, n): a scope on the stack, and n lines */
static PyObject *fire(PyObject *self, PyObject *args)
{
    PyMonitoringState mine[1] = {{0, 0}};
    uint64_t its_version = 0;
    PyObject *code;
    int n, i;
    if (!PyArg_ParseTuple(args, "Oi", &code, &n) || PyMonitoring_EnterScope(mine, &its_version, types, 1) < 0)
        return NULL;
    for (i = 1; i <= n; i++)
        if (PyMonitoring_FireLineEvent(&mine[0], code, i, i) < 0)
            return NULL;
    PyMonitoring_ExitScope();
    Py_RETURN_NONE;
}

/* enter(): the static scope, which threads and interpreters share */
static PyObject *enter(PyObject *self, PyObject *nothing)
{
    if (PyMonitoring_EnterScope(states, &version, types, 2) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* line(code): a line in the static scope as it is, with an exception set if `set` is true */
static PyObject *line(PyObject *self, PyObject *args)
{
    PyObject *code;
    int set = 0;
    if (!PyArg_ParseTuple(args, "O|i", &code, &set))
        return NULL;
    if (set)
        PyErr_SetString(PyExc_KeyError, "in flight");
    if (PyMonitoring_FireLineEvent(&states[0], code, 0, 1) < 0 || set)
        return NULL;
    Py_RETURN_NONE;
}

/* raise_(code): a RAISE in the static scope as it is */
static PyObject *raise_(PyObject *self, PyObject *code)
{
    PyErr_SetString(PyExc_KeyError, "in flight");
    PyMonitoring_FireRaiseEvent(&states[1], code, 0);
    return NULL;
}

/* garbage(code): events without a scope, with states that nobody has zeroed */
static PyObject *garbage(PyObject *self, PyObject *code)
{
    PyMonitoringState state;
    memset(&state, 0xa5, sizeof state);
    if (PyMonitoring_FirePyStartEvent(&state, code, 0) < 0 || PyMonitoring_FireLineEvent(&state, code, 0, 1) < 0
        || PyMonitoring_FireCallEvent(&state, code, 0, code, NULL) < 0
        || PyMonitoring_FireJumpEvent(&state, code, 0, code) < 0
        || PyMonitoring_FireCReturnEvent(&state, code, 0, code) < 0
        || PyMonitoring_FireStopIterationEvent(&state, code, 0, code) < 0
        || PyMonitoring_FirePyReturnEvent(&state, code, 0, code) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* awake(): whether there is a library */
static PyObject *awake(PyObject *self, PyObject *nothing)
{
    return PyBool_FromLong(rmon_version() != NULL);
}

#ifdef RMON_LAZY
/* change(field, number): what another header would have put into the slot */
static PyObject *change(PyObject *self, PyObject *args)
{
    const char *field;
    int number;
    if (!PyArg_ParseTuple(args, "si", &field, &number))
        return NULL;
    if (strcmp(field, "abi") == 0)
        rmon_priv_slot.abi_version += (uint32_t)number;
    else
        rmon_priv_slot.table_size += (uint32_t)number;
    Py_RETURN_NONE;
}
#endif

#ifdef SECOND
PyObject *second(PyObject *self, PyObject *args);
#endif

static PyMethodDef functions[] = {
    {"fire", fire, METH_VARARGS, NULL},   {"enter", enter, METH_NOARGS, NULL}, {"line", line, METH_VARARGS, NULL},
    {"raise_", raise_, METH_O, NULL},     {"garbage", garbage, METH_O, NULL},  {"awake", awake, METH_NOARGS, NULL},
#ifdef RMON_LAZY
    {"change", change, METH_VARARGS, NULL},
#endif
#ifdef SECOND
    {"second", second, METH_VARARGS, NULL},
#endif
    {NULL, NULL, 0, NULL},
};

/* The end of the module, which is later than the interpreter's atexit functions. */
static void fire_last(void *module)
{
    static PyMonitoringState last[1];
    static uint64_t its_version;
    if (PyMonitoring_EnterScope(last, &its_version, types, 1) < 0
        || PyMonitoring_FireLineEvent(&last[0], (PyObject *)module, 0, 1) < 0
        || PyMonitoring_FireLineEvent(&states[0], (PyObject *)module, 0, 1) < 0)
        PyErr_WriteUnraisable(NULL);
}

static PyModuleDef_Slot slots[] = {
#if defined(Py_mod_multiple_interpreters) && !defined(Py_LIMITED_API)
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};
static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "NAME", NULL, 0, functions, slots, NULL, NULL, fire_last,
};

PyMODINIT_FUNC PyInit_NAME(void)
{
    return PyModuleDef_Init(&definition);
}
"""

# Another unit of the same extension.
SECOND = r"""
#include "rmon_python.h"

PyObject *second(PyObject *self, PyObject *args);

PyObject *second(PyObject *self, PyObject *args)
{
    static const uint8_t types[] = {PY_MONITORING_EVENT_LINE};
    PyMonitoringState mine[1] = {{0, 0}};
    uint64_t version = 0;
    PyObject *code;
    int n, i;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oi", &code, &n) || PyMonitoring_EnterScope(mine, &version, types, 1) < 0)
        return NULL;
    for (i = 1; i <= n; i++)
        if (PyMonitoring_FireLineEvent(&mine[0], code, i, i) < 0)
            return NULL;
    Py_RETURN_NONE;
}
"""

# What scripts begin with. After `import rmon` they call `listen()`; `heard(function, ...)` is how many lines of CODE a
# call of it makes the tool hear.
WATCHDOG = """
import faulthandler
faulthandler.enable()
faulthandler.dump_traceback_later(60, exit=True)
"""
PRELUDE = r"""
import importlib.util, os, sys, threading
CODE = compile("", "f.py", "exec")
seen = []

def load(path, name="attached"):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

def on_line(code, number):
    if code is CODE:
        seen.append(number)

def listen(tool=3):
    import rmon
    M, E = rmon.monitoring, rmon.monitoring.events
    M.use_tool_id(tool, "tool")
    M.register_callback(tool, E.LINE, on_line)
    M.set_events(tool, E.LINE)

def heard(function, *args):
    before = len(seen)
    function(*args)
    return len(seen) - before
"""


def source(name: str) -> str:
    return SOURCE.replace("NAME", name)


@pytest.fixture(scope="session")
def extension(build_c_extension: Callable[..., Any]) -> Path:
    """The file of an extension that attaches lazily, not imported."""
    path: Path = build_c_extension(source("attached"), "attached", imported=False)
    return path


@pytest.fixture
def script(run_python: Callable[..., Any], extension: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a script, with PRELUDE, in another process. Its EXTENSION is a file; it must print "fine" at the end and
    nothing else, and write what `errors` is part of to standard error: nothing, if it is empty."""

    def start(
        text: str, *args: str, path: Path = extension, errors: str = "", lines: int = 1, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        whole = f"{WATCHDOG}{PRELUDE}\nEXTENSION = {str(path)!r}\n{textwrap.dedent(text)}\nprint('fine')"
        done: subprocess.CompletedProcess[str] = run_python("-W", "ignore", *args, "-c", whole, **options)
        assert done.stdout == "fine\n"
        if errors:
            assert errors in done.stderr and done.stderr.count("\n") == lines, done.stderr
        else:
            assert done.stderr == ""
        return done

    return start


# ---- In which order ----


ROUND_TRIP = """
    assert not extension.awake()
    assert [heard(fire, CODE, 3) for fire in fires] == [0] * len(fires)
    import rmon
    assert extension.awake()
    assert [heard(fire, CODE, 3) for fire in fires] == [0] * len(fires)
    listen()
    assert [heard(fire, CODE, 3) for fire in fires] == [3] * len(fires)
    rmon.detach()
    assert [heard(fire, CODE, 3) for fire in fires] == [0] * len(fires)
    assert not extension.awake()
    rmon.attach()
    assert [heard(fire, CODE, 3) for fire in fires] == [3] * len(fires)
"""


def test_an_extension_wakes_when_rmon_is_imported(script: Callable[..., Any]) -> None:
    script("extension = load(EXTENSION)\nfires = [extension.fire]\n" + textwrap.dedent(ROUND_TRIP))


def test_an_extension_that_comes_after_rmon_is_awake(script: Callable[..., Any]) -> None:
    script(
        """
        import rmon
        listen()
        extension = load(EXTENSION)
        assert heard(extension.fire, CODE, 3) == 3
        """
    )


def test_an_extension_that_has_not_begun_is_found(script: Callable[..., Any]) -> None:
    script(
        """
        extension = load(EXTENSION)
        listen()
        extension.enter()
        assert heard(extension.line, CODE) == 1
        """
    )


def test_extensions_are_independent(script: Callable[..., Any], extension: Path, tmp_path: Path) -> None:
    other = tmp_path / extension.name.replace("attached", "another")
    shutil.copy(extension, other)
    script(
        f"""
        import shutil
        extension = load(EXTENSION)
        extension.fire(CODE, 1)
        listen()
        another = load({str(other)!r})
        assert heard(another.fire, CODE, 2) == 2
        assert heard(extension.fire, CODE, 3) == 3
        """
    )


def test_an_extension_and_rmon_may_be_imported_in_threads(script: Callable[..., Any]) -> None:
    script(
        """
        def in_thread(function):
            thread = threading.Thread(target=function)
            thread.start()
            thread.join()

        def load_it():
            global extension
            extension = load(EXTENSION)
            extension.fire(CODE, 1)

        in_thread(load_it)
        in_thread(listen)
        assert heard(extension.fire, CODE, 3) == 3
        in_thread(lambda: extension.fire(CODE, 3))
        assert len(seen) == 6
        """
    )


def test_a_cython_module_wakes_and_sleeps(script: Callable[..., Any], build_cython: Callable[..., Any]) -> None:
    text = "# cython: linetrace=True\ncimport rmon\ndef f():\n    a = 1\n    return a\n"
    path = build_cython(text, "lazy_cython", imported=False)
    script(
        """
        extension = load(EXTENSION, "lazy_cython")
        assert extension.f() == 1 and "rmon" not in sys.modules
        lines = []
        on_line = lambda code, line: lines.append(line) if code.co_name == "f" else None
        listen()
        import rmon
        extension.f()
        assert lines == [4, 5], lines
        rmon.detach()
        extension.f()
        assert lines == [4, 5], lines
        rmon.attach()
        extension.f()
        assert lines == [4, 5] * 2, lines
        """,
        path=path,
    )


# ---- Without rmon ----


def test_nothing_of_rmon_is_linked_or_left_open(extension: Path) -> None:
    needed = [line for line in run(["readelf", "-d", extension]).stdout.splitlines() if "NEEDED" in line]
    assert needed and not any("rmon" in line for line in needed)
    symbols = run(["nm", "-D", extension]).stdout
    assert "PyModuleDef_Init" in symbols
    assert "rmon" not in symbols and "PyMonitoring" not in symbols


def test_nothing_is_imported(script: Callable[..., Any]) -> None:
    script(
        """
        extension = load(EXTENSION)
        before = set(sys.modules)
        extension.enter()
        extension.fire(CODE, 3)
        assert set(sys.modules) == before and not any("rmon" in name for name in before)
        assert not any("rmon" in line for line in open("/proc/self/maps")), "librmon is loaded"
        """
    )


def test_an_extension_runs_where_rmon_is_not_installed(script: Callable[..., Any]) -> None:
    script(
        """
        assert importlib.util.find_spec("rmon") is None
        extension = load(EXTENSION)
        for _ in range(3):
            extension.enter()
            assert heard(extension.fire, CODE, 3) == 0
            extension.line(CODE)
            for fails in (lambda: extension.line(CODE, 1), lambda: extension.raise_(CODE)):
                try:
                    fails()
                except KeyError as error:
                    assert error.args == ("in flight",) and error.__context__ is None
                else:
                    raise AssertionError
        assert not extension.awake()
        """,
        "-I",
        "-S",
    )


def test_states_that_were_not_zeroed_do_no_harm_without_rmon(script: Callable[..., Any]) -> None:
    script("load(EXTENSION).garbage(CODE)")


def test_the_environment_can_name_the_library(script: Callable[..., Any]) -> None:
    script(
        """
        extension = load(EXTENSION)
        assert extension.awake() and "rmon" not in sys.modules
        listen() # the same library
        assert heard(extension.fire, CODE, 3) == 3
        """,
        env={"RMON_LIBRARY": os.path.join(rmon.get_library_dir(), "librmon.so.0")},
    )


def test_a_bad_name_in_the_environment_is_said_once(script: Callable[..., Any]) -> None:
    script(
        """
        extension = load(EXTENSION)
        for _ in range(3):
            extension.fire(CODE, 3)
            assert not extension.awake()
        listen()
        assert heard(extension.fire, CODE, 3) == 3
        """,
        env={"RMON_LIBRARY": "/nowhere/librmon.so.0"},
        errors="rmon: RMON_LIBRARY cannot be loaded: /nowhere/librmon.so.0: ",
    )


# ---- detach() and attach() ----


def test_detach_and_attach_do_not_count(script: Callable[..., Any]) -> None:
    script(
        """
        extension = load(EXTENSION)
        listen()
        import rmon
        for _ in range(3):
            rmon.detach()
            rmon.detach()
            assert heard(extension.fire, CODE, 3) == 0
            rmon.attach()
            assert heard(extension.fire, CODE, 3) == 3
            rmon.attach()
            assert heard(extension.fire, CODE, 3) == 3
        """
    )


def test_an_extension_that_comes_while_rmon_is_detached_sleeps(script: Callable[..., Any]) -> None:
    script(
        """
        listen()
        import rmon
        rmon.detach()
        extension = load(EXTENSION)
        assert heard(extension.fire, CODE, 3) == 0
        rmon.monitoring.use_tool_id(4, "another")
        assert heard(extension.fire, CODE, 3) == 0
        rmon.attach()
        assert heard(extension.fire, CODE, 3) == 3
        """
    )


def test_detach_concerns_extensions_alone(script: Callable[..., Any]) -> None:
    script(
        """
        listen()
        import rmon
        rmon.detach()
        with rmon.Scope(CODE, rmon.monitoring.events.LINE) as scope:
            scope.line(7)
        assert seen == [7]
        """
    )


def test_states_that_are_active_when_rmon_detaches_fire_nothing(script: Callable[..., Any]) -> None:
    script(
        """
        extension = load(EXTENSION)
        listen()
        import rmon
        extension.enter()
        assert heard(extension.line, CODE) == 1
        rmon.detach()
        assert heard(extension.line, CODE) == 0
        rmon.attach()
        assert heard(extension.line, CODE) == 1
        rmon.detach()
        extension.enter()
        rmon.attach()
        assert heard(extension.line, CODE) == 0 # as in a scope that was entered before the tool came
        extension.enter()
        assert heard(extension.line, CODE) == 1
        """
    )


def test_an_exception_in_flight_survives_a_fire_after_detach(script: Callable[..., Any]) -> None:
    script(
        """
        extension = load(EXTENSION)
        listen()
        import rmon
        rmon.monitoring.set_events(3, rmon.monitoring.events.LINE | rmon.monitoring.events.RAISE)
        extension.enter()
        rmon.detach()
        for fails in (lambda: extension.line(CODE, 1), lambda: extension.raise_(CODE)):
            try:
                fails()
            except KeyError as error:
                assert error.args == ("in flight",) and error.__context__ is None, error
            else:
                raise AssertionError
        assert seen == []
        """
    )


@pytest.mark.parametrize("again", [False, True])
def test_a_callback_may_detach(script: Callable[..., Any], again: bool) -> None:
    script(
        f"""
        import rmon
        again = {again}
        def on_line(code, number):
            if code is CODE:
                seen.append(number)
                rmon.detach()
                if again:
                    rmon.attach()
        extension = load(EXTENSION)
        listen()
        extension.enter()
        try:
            extension.line(CODE, 1) # with an exception set
        except KeyError as error:
            assert error.args == ("in flight",)
        assert len(seen) == 1
        assert heard(extension.fire, CODE, 3) == (3 if again else 0)
        rmon.attach()
        assert heard(extension.fire, CODE, 3) == (3 if again else 1)
        """
    )


def test_threads_may_detach_and_attach_while_others_fire(script: Callable[..., Any]) -> None:
    script(
        """
        import rmon, time
        sys.setswitchinterval(1e-5)
        extension = load(EXTENSION)
        listen()
        stop = False

        def fire():
            while not stop:
                extension.fire(CODE, 2)
                extension.enter()
                extension.line(CODE)

        def sleep_and_wake():
            while not stop:
                rmon.detach()
                rmon.attach()

        for _ in range(5):
            stop = False
            threads = [threading.Thread(target=target) for target in (fire, fire, sleep_and_wake, sleep_and_wake)]
            for thread in threads:
                thread.start()
            time.sleep(0.05)
            stop = True
            for thread in threads:
                thread.join()
            extension.enter()
            assert heard(extension.line, CODE) == 1
            assert heard(extension.fire, CODE, 3) == 3
        """
    )


# ---- Interpreters, and their ends ----


INTERPRETERS = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

def create():
    if sys.version_info >= (3, 13):
        return interpreters.create(CONFIG)
    return interpreters.create(isolated=CONFIG == "isolated")

def run(interpreter, text):
    text = f"if 'CODE' not in globals():\\n    exec({PRELUDE!r})\\n    EXTENSION = {EXTENSION!r}\\n{text}"
    if sys.version_info >= (3, 13):
        failed = interpreters.exec(interpreter, text)
        assert failed is None, failed.errdisplay
    else:
        interpreters.run_string(interpreter, text)
"""


@pytest.fixture(params=["isolated", "legacy"])
def in_interpreters(script: Callable[..., Any], request: pytest.FixtureRequest) -> Callable[..., Any]:
    """As script, for those that make interpreters."""

    def start(text: str) -> None:
        before = f"CONFIG = {request.param!r}\nPRELUDE = {PRELUDE!r}\n{INTERPRETERS}"
        script(before + textwrap.dedent(text))

    return start


def test_rmon_in_a_subinterpreter_alone_wakes_the_extension_there(in_interpreters: Callable[..., Any]) -> None:
    in_interpreters(
        """
        extension = load(EXTENSION)
        extension.fire(CODE, 1)
        sub = create()
        run(sub, "extension = load(EXTENSION); listen(); assert heard(extension.fire, CODE, 3) == 3")
        assert "rmon" not in sys.modules and extension.awake()
        extension.fire(CODE, 3)
        run(sub, "assert len(seen) == 3 and heard(extension.fire, CODE, 3) == 3")
        interpreters.destroy(sub)
        assert not extension.awake()
        extension.fire(CODE, 3)
        listen()
        assert heard(extension.fire, CODE, 3) == 3
        """
    )


def test_extensions_sleep_when_all_interpreters_have_detached(in_interpreters: Callable[..., Any]) -> None:
    in_interpreters(
        """
        import rmon
        extension = load(EXTENSION)
        listen()
        sub, other = create(), create()
        run(sub, "import rmon")
        run(other, "import rmon; rmon.detach()")
        rmon.detach()
        rmon.detach()
        assert heard(extension.fire, CODE, 3) == 3 # for sub
        run(other, "import rmon; rmon.detach()")
        assert extension.awake()
        run(sub, "import rmon; rmon.detach()")
        assert not extension.awake()
        run(other, "import rmon; rmon.attach()")
        assert extension.awake()
        interpreters.destroy(other)
        assert not extension.awake()
        interpreters.destroy(sub)
        assert not extension.awake()
        rmon.attach()
        assert heard(extension.fire, CODE, 3) == 3
        """
    )


def test_nothing_happens_after_the_interpreters_end(script: Callable[..., Any]) -> None:
    script(
        """
        import atexit
        class Last:
            def __del__(self, fire=lambda: extension.fire(CODE, 3), seen=seen, write=os.write):
                fire()
                if len(seen) != 3:
                    write(2, b"heard after the end")
        def at_end(): # rmon's comes before
            assert not extension.awake()
            extension.fire(CODE, 3)
            extension.line(CODE)
            import rmon
            rmon.attach() # too late
            extension.fire(CODE, 3)
            assert len(seen) == 3
        atexit.register(at_end)
        extension = load(EXTENSION)
        listen()
        extension.enter()
        extension.fire(CODE, 3)
        sys.last = Last()
        """
    )


def test_a_forked_child_goes_on(script: Callable[..., Any]) -> None:
    script(
        """
        def in_child(function):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    function()
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0

        def first():
            listen()
            assert heard(extension.fire, CODE, 3) == 3

        def later():
            import rmon
            assert heard(extension.fire, CODE, 3) == 3
            rmon.detach()
            assert heard(extension.fire, CODE, 3) == 0
            rmon.attach()
            assert heard(extension.fire, CODE, 3) == 3

        extension = load(EXTENSION)
        extension.fire(CODE, 1)
        in_child(first)
        assert not extension.awake()
        listen()
        in_child(later)
        assert heard(extension.fire, CODE, 3) == 3
        """
    )


PROGRAM = r"""
PyMODINIT_FUNC PyInit_attached(void);

/* Runs each argument in an interpreter of its own, one after the other. */
int main(int argc, char **argv)
{
    int i, status = 0;
    PyImport_AppendInittab("attached", PyInit_attached);
    for (i = 1; i < argc && status == 0; i++) {
        Py_Initialize();
        status = PyRun_SimpleString(argv[i]);
        if (Py_FinalizeEx() < 0)
            status = 3;
    }
    return status == 0 ? 0 : 1;
}
"""


@pytest.fixture(scope="session")
def embedding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that has an interpreter and the extension in it."""
    folder = tmp_path_factory.mktemp("embedding")
    directory = sysconfig.get_config_var("LIBDIR")
    library = sysconfig.get_config_var("LDLIBRARY")
    if not sysconfig.get_config_var("Py_ENABLE_SHARED") or not os.path.exists(os.path.join(directory, library)):
        pytest.skip("this interpreter has no shared library to link with")
    (folder / "program.c").write_text(source("attached") + PROGRAM)
    run(
        [
            *(*compiler(), "-O1", f"-I{sysconfig.get_path('include')}", *rmon_compile_flags()),
            *(str(folder / "program.c"), "-o", str(folder / "program"), os.path.join(directory, library)),
            *(f"-Wl,-rpath,{directory}", "-ldl", "-lm", "-lpthread"),
        ]
    )
    return folder / "program"


def test_an_extension_in_the_program_survives_restarts_of_the_interpreter(embedding: Path) -> None:
    """The slot lies in the main executable, and outlives the interpreter."""
    place = f"import sys; sys.path.insert(0, {os.path.dirname(os.path.dirname(rmon.__file__))!r})\n"
    with_rmon = f"""{place}{PRELUDE}
import attached
assert not attached.awake()
attached.fire(CODE, 3)
listen()
attached.enter()
assert heard(attached.fire, CODE, 3) == 3 and heard(attached.line, CODE) == 1
"""
    without = f"""{place}{PRELUDE}
import attached
assert not attached.awake()
attached.line(CODE)
attached.enter()
attached.fire(CODE, 3)
"""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    env["PYTHONHOME"] = sys.base_prefix
    run([embedding, without, with_rmon, without, with_rmon, with_rmon], env=env)


# ---- How it is built ----


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """Compiles the two units of an extension, with flags."""
    known: dict[tuple[str, ...], list[str]] = {}

    def make(*flags: str) -> list[str]:
        if flags not in known:
            folder = tmp_path_factory.mktemp("objects")
            (folder / "first.c").write_text(source("attached"))
            (folder / "second.c").write_text(SECOND)
            known[flags] = []
            for name in ("first", "second"):
                include = [f"-I{sysconfig.get_path(which)}" for which in ("include", "platinclude")]
                command = [*compiler(), "-c", "-fPIC", "-DSECOND", *flags, *include, *rmon_compile_flags()]
                run([*command, str(folder / f"{name}.c"), "-o", str(folder / f"{name}.o")])
                known[flags].append(str(folder / f"{name}.o"))
        return known[flags]

    return make


SECTIONS = ("-Os", "-ffunction-sections", "-fdata-sections", "-fvisibility=hidden")
LINKS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "plain": (SECTIONS, ()),
    "gc-sections": (SECTIONS, ("-Wl,--gc-sections", "-Wl,-O2")),
    "stripped": (SECTIONS, ("-s", "-Wl,--gc-sections")),
    "gold": (SECTIONS, ("-fuse-ld=gold", "-Wl,--gc-sections", "-Wl,--icf=all")),
    "bind-now": (SECTIONS, ("-Wl,-z,now", "-Wl,-z,relro", "-Wl,-z,separate-code")),
    "packed": (SECTIONS, ("-Wl,-z,pack-relative-relocs",)),
    "lto": (("-O2", "-flto"), ("-O2", "-flto", "-Wl,--gc-sections")),
}


@pytest.mark.parametrize("how", sorted(LINKS))
def test_links(script: Callable[..., Any], objects: Callable[..., list[str]], tmp_path: Path, how: str) -> None:
    compile_flags, link_flags = LINKS[how]
    (tmp_path / "exports.map").write_text("{ global: PyInit_*; local: *; };")
    path = tmp_path / "attached.so"
    link = [*compiler(), "-shared", f"-Wl,--version-script,{tmp_path / 'exports.map'}"]
    done = subprocess.run(
        [*link, *link_flags, *objects(*compile_flags), "-o", str(path)], capture_output=True, text=True
    )
    if done.returncode != 0 and how in ("gold", "packed", "lto"):
        pytest.skip(f"the linker cannot: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert "rmon" not in run(["nm", "-D", path]).stdout
    script(
        "extension = load(EXTENSION)\nfires = [extension.fire, extension.second]\n" + textwrap.dedent(ROUND_TRIP),
        path=path,
    )


def test_an_extension_may_be_patched(script: Callable[..., Any], extension: Path, tmp_path: Path) -> None:
    """What makes wheels gives extensions a run path that does not fit, and so moves their headers."""
    if shutil.which("patchelf") is None:
        pytest.skip("no patchelf")
    path = tmp_path / "attached.so"
    shutil.copy(extension, path)
    run(["patchelf", "--force-rpath", "--set-rpath", "$ORIGIN/" + "long/" * 1000, path])
    run(["patchelf", "--add-needed", "libm.so.6", path])
    script("extension = load(EXTENSION)\nfires = [extension.fire]\n" + textwrap.dedent(ROUND_TRIP), path=path)


def test_an_extension_may_be_of_cplusplus(script: Callable[..., Any], build_c_extension: Callable[..., Any]) -> None:
    text = source("attached")
    path = build_c_extension(text, "attached_cpp", cplusplus=True, imported=False)
    script("extension = load(EXTENSION)\nfires = [extension.fire]\n" + textwrap.dedent(ROUND_TRIP), path=path)


def test_an_extension_may_use_the_limited_api(
    script: Callable[..., Any], build_c_extension: Callable[..., Any]
) -> None:
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("there is no limited API without the GIL")
    path = build_c_extension(source("attached"), "attached_abi3", flags=["-DPy_LIMITED_API=0x03090000"], imported=False)
    script("extension = load(EXTENSION)\nfires = [extension.fire]\n" + textwrap.dedent(ROUND_TRIP), path=path)


def test_an_extension_may_be_linked_instead(script: Callable[..., Any], build_c_extension: Callable[..., Any]) -> None:
    path = build_c_extension(source("attached"), "attached_linked", flags=["-DRMON_LINK"], link=True, imported=False)
    assert "librmon.so.0" in run(["readelf", "-d", path]).stdout
    assert "rmon" not in run(["readelf", "-n", path]).stdout
    script(
        """
        extension = load(EXTENSION)
        assert extension.awake()
        listen()
        assert heard(extension.fire, CODE, 3) == 3
        import rmon
        rmon.detach()
        assert heard(extension.fire, CODE, 3) == 3
        """,
        path=path,
    )


# ---- What does not fit ----


@pytest.mark.parametrize("first", ["extension", "rmon"])
@pytest.mark.parametrize(
    ("field", "said"), [("abi", "was built for ABI 1 of rmon, and this is ABI 0"), ("size", "built for a newer rmon")]
)
def test_what_does_not_fit_is_said_once(script: Callable[..., Any], first: str, field: str, said: str) -> None:
    script(
        f"""
        if {first == "rmon"}:
            import rmon
        extension = load(EXTENSION)
        extension.change({field!r}, 1)
        extension.fire(CODE, 3)
        import rmon
        listen()
        for _ in range(3):
            assert heard(extension.fire, CODE, 3) == 0 and not extension.awake()
            extension.garbage(CODE)
            rmon.attach()
        listen(4)
        with rmon.Scope(CODE, rmon.monitoring.events.LINE) as scope:
            scope.line(7)
        assert seen == [7, 7]
        """,
        errors=said,
    )


def test_an_older_extension_is_attached(script: Callable[..., Any]) -> None:
    script(
        """
        extension = load(EXTENSION)
        extension.change("size", -64)
        listen()
        assert heard(extension.fire, CODE, 3) == 3
        """
    )
