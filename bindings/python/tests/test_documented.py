"""CPython's documentation: documented.c, written to what that says of the Monitoring C API, compiles unchanged with
rmon_python.h, in C and C++, in the whole API and in the limited one, and reports what it reports to CPython."""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rmon import monitoring as M

E = M.events
TOOL = 2
SOURCE = Path(__file__).with_name("documented.c").read_text(encoding="utf-8")

# -isystem: CPython's own headers need not be free of warnings.
STRICT = ["-Wextra", "-Wpedantic", "-Werror", "-isystem", sysconfig.get_path("include")]
LIMITED = "-DPy_LIMITED_API=0x03090000"
HAS_LIMITED = not sysconfig.get_config_var("Py_GIL_DISABLED")  # free-threaded builds before 3.15 have none
HAS_NATIVE = sys.version_info >= (3, 13)
AS_OF_3_13 = "-DAS_OF_3_13"

# How rmon_python.h may come in: flags, and what is put in the place of <Python.h>.
WAYS = {
    "in_front": (["-include", "rmon_python.h"], "<Python.h>"),
    "in_place": ([], '"rmon_python.h"'),
    "behind": ([], "<Python.h>\n#include <rmon_python.h>\n#include <rmon.h>"),
    "native": ([], "<Python.h>"),
}

# What CPython alone needs: 3.14's PY_MONITORING_IS_INSTRUMENTED_EVENT uses a name that its headers do not define.
EDITION = [AS_OF_3_13] if sys.version_info < (3, 14) else []
if sys.version_info[:2] == (3, 14):
    WAYS["native"][0].append("-D_PY_MONITORING_LOCAL_EVENTS=11")

CALLS: list[tuple[Any, ...]] = [
    ("PY_START", 0),
    ("LINE", 1),
    ("CALL", 4, abs, -7),
    ("C_RETURN", 4, abs, -7),
    ("JUMP", 6, 40),
    ("BRANCH_LEFT", 8, 40),
    ("BRANCH_RIGHT", 10, 40),
    ("PY_YIELD", 12, -7),
    ("PY_RESUME", 12),
    ("LINE", 2),
    ("STOP_ITERATION", 16, ("StopIteration", -7)),
    ("RAISE", 18, ("LookupError", "handled")),
    ("EXCEPTION_HANDLED", 20, ("LookupError", "handled")),
    ("PY_RETURN", 26, -7),
    ("PY_THROW", 12, ("OverflowError", "thrown")),
    ("RERAISE", 22, ("OverflowError", "thrown")),
    ("PY_UNWIND", 24, ("OverflowError", "thrown")),
]
END = ("OverflowError", "thrown")
FIRED = list(dict.fromkeys([*(name for name, *_ in CALLS), "C_RAISE"]))


def as_of_3_13(calls: list[Any]) -> list[Any]:
    """The same where branches have no directions."""
    return [("BRANCH", *call[1:]) if call[0].startswith("BRANCH") else call for call in calls]


@pytest.fixture(scope="session")
def build(build_c_extension: Callable[..., Any]) -> Callable[..., ModuleType]:
    """Builds documented.c one of the WAYS, with further flags."""

    def build(way: str, *flags: str, standard: str = "c99") -> ModuleType:
        first, header = WAYS[way]
        name = "documented_" + re.sub(r"\W+", "_", "_".join((way, standard, *flags)))
        flags = (*STRICT, f"-std={standard}", f"-DMODULE={name}", *first, *flags)
        return build_c_extension(SOURCE.replace("<Python.h>", header), name, cplusplus="+" in standard, flags=flags)

    return build


class Code:
    """A look-alike."""

    co_name = co_qualname = "emulated"
    co_filename = "emulated.x"
    co_firstlineno = 1


def plain(value: Any) -> Any:
    """What can be compared: of an exception its type and its arguments."""
    return (type(value).__name__, *value.args) if isinstance(value, BaseException) else value


def log(module: ModuleType, argument: Any = -7, failing: str = "") -> tuple[list[Any], Any]:
    """What a tool hears of a call, and the exception that this ends with. A callback may fail."""
    names = [name for name in FIRED if not name.startswith("BRANCH")]
    names += ["BRANCH"] if "AS_OF_3_13" in module.__name__ else ["BRANCH_LEFT", "BRANCH_RIGHT"]
    heard: list[Any] = []
    code = Code()

    def callback(name: str) -> Callable[..., None]:
        def record(of: Any, *args: Any) -> None:
            if of is code:
                heard.append((name, *map(plain, args)))
                if name == failing:
                    raise ZeroDivisionError(name)

        return record

    M.use_tool_id(TOOL, "documented")
    try:
        for name in names:
            M.register_callback(TOOL, getattr(E, name), callback(name))
        M.set_events(TOOL, sum(getattr(E, name) for name in names))
        with pytest.raises(Exception) as raised:
            module.emulate(code, abs, argument)
    finally:
        M.free_tool_id(TOOL)
    return heard, plain(raised.value)


@pytest.mark.parametrize("way", ["in_front", "in_place", "behind"])
@pytest.mark.parametrize("standard", ["c99", pytest.param("c++11", marks=pytest.mark.thorough)])
@pytest.mark.parametrize(
    "limited", [False, pytest.param(True, marks=pytest.mark.skipif(not HAS_LIMITED, reason="none"))]
)
def test_every_event_arrives(build: Callable[..., ModuleType], way: str, standard: str, limited: bool) -> None:
    flags = [LIMITED] if limited else []
    assert log(build(way, *flags, standard=standard)) == (CALLS, END)
    assert log(build(way, *flags, AS_OF_3_13, standard=standard)) == (as_of_3_13(CALLS), END)


@pytest.mark.skipif(not HAS_NATIVE, reason="CPython has no Monitoring C API")
@pytest.mark.parametrize("standard", ["c99", "c++11"])
def test_cpython_gets_the_same(build: Callable[..., ModuleType], standard: str) -> None:
    ours, native = (build(way, *EDITION, standard=standard) for way in ("in_front", "native"))
    for argument in (-7, "no number"):
        # README, Differences from CPython, 6: the two that it never fires.
        for failing in ["", *(set(FIRED) - {"C_RETURN", "C_RAISE"})]:
            if EDITION and failing.startswith("BRANCH"):
                failing = "BRANCH"
            heard, end = log(ours, argument, failing)
            theirs, their_end = log(native, argument, failing)
            # Once sys.setprofile was used it does fire them: it reads its states beyond the end of a table.
            heard, theirs = (
                [call for call in calls if call[0] not in ("C_RETURN", "C_RAISE")] for calls in (heard, theirs)
            )
            assert (theirs, their_end) == (heard, end), (argument, failing)
            assert (end == ("ZeroDivisionError", failing)) == (failing in [name for name, *_ in heard])


def test_local_events(build: Callable[..., ModuleType]) -> None:
    local = [True] * 8 + [False] * 7 + [True] * (2 if EDITION else 3)  # in the order of documented.c
    for way in ["in_front", *(["native"] if HAS_NATIVE else [])]:
        module = build(way, *EDITION)
        assert [module.is_local(place) for place in range(len(local))] == local, way


TRACED = """
import ctypes, os, sys
import rmon

sys.path[:0] = sys.argv[2:]
from native_types import Event

module = __import__(sys.argv[1])
Callback = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Event))
heard = []
callback = Callback(lambda user_data, event: heard.append(event[0].line) or 0)
library = ctypes.PyDLL(os.path.join(rmon.get_library_dir(), "librmon.so.0"))
library.rmon_register_callback.argtypes = [ctypes.c_int, ctypes.c_int, Callback, ctypes.c_void_p, ctypes.c_void_p]
library.rmon_use_tool_id(4, b"native")
library.rmon_register_callback(4, 5, callback, None, None)
library.rmon_set_events(4, 1 << 5)


def emulate(*args):
    try:
        module.emulate(module, abs, -7)
    except OverflowError:
        print("lines:", *heard)


sys.settrace(emulate)
(lambda: 0)()
sys.settrace(None)
emulate()
"""


@pytest.mark.skipif(not HAS_LIMITED, reason="there is no limited API without the GIL")
def test_the_limited_api_knows_when_tracing_is_off(
    build: Callable[..., ModuleType], run_python: Callable[..., Any]
) -> None:
    module = build("in_front", LIMITED)
    assert module.__file__ is not None
    folders = [str(Path(file).parent) for file in (__file__, module.__file__)]
    done = run_python("-c", TRACED, module.__name__, *folders)
    assert done.stdout == "lines:\nlines: 1 2\n"
