"""The event stream of a Cython module is the same on every CPython, and, from 3.13 on, the one that Cython reports to
the interpreter itself, apart from what is put right.

The module is cython_constructs.pyx, and the log that it is to give is in cython_record.txt, an event a line: name,
function, offset (or line, for LINE), value. RMON_TEST_RECORD=write writes that file anew.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SOURCE = HERE.joinpath("cython_constructs.pyx").read_text(encoding="utf-8")
RECORD = HERE / "cython_record.txt"

# Below 3.11 Cython's code objects have no tables, and an offset is a number that no table knows.
HAS_OFFSETS = sys.version_info >= (3, 11)

PROGRAM = """
import importlib, sys

folder, name, which = sys.argv[1:]
sys.path.insert(0, folder)
if which == "rmon":
    import rmon
    monitoring = rmon.monitoring
else:
    monitoring = sys.monitoring
events = ("PY_START", "PY_RESUME", "PY_THROW", "PY_RETURN", "PY_YIELD", "PY_UNWIND", "LINE", "RAISE", "RERAISE",
          "EXCEPTION_HANDLED")
log = []

def shown(value):
    if isinstance(value, BaseException):
        return f"{type(value).__name__}{value.args}"
    if value is None or isinstance(value, (int, str, list, tuple, dict)):
        return repr(value)
    return type(value).__name__

def lines(code):
    # The first offset of each line; where the table ends.
    if not hasattr(code, "co_lines"):
        return {}, 0
    first = {}
    for start, end, line in code.co_lines():
        first.setdefault(line, start)
    return first, len(code.co_code)

def recorder(event):
    def record(code, where, *value):
        if code.co_filename.endswith(".pyx"):
            log.append((event, code, where, " ".join(map(shown, value))))
    return record

monitoring.use_tool_id(2, "log")
wanted = 0
for event in events:
    number = getattr(monitoring.events, event)
    monitoring.register_callback(2, number, recorder(event))
    wanted |= number
monitoring.set_events(2, wanted)
importlib.import_module(name).run()
monitoring.free_tool_id(2)
for event, code, where, value in log:
    first, end = lines(code)
    table = ",".join(f"{line}:{offset}" for line, offset in first.items())
    print(event, code.co_name.replace(name, "MODULE"), where, value, end, table, sep="\\t")
"""


class Code:
    """A code's table, as the program prints it."""

    def __init__(self, end: str, table: str) -> None:
        self.end = int(end)
        self.first = {int(line): int(offset) for line, offset in re.findall(r"(\d+):(\d+)", table)}


def logged(run_python: Callable[..., Any], module: Path, which: str) -> list[tuple[Any, Code]]:
    """The log of a module, through rmon or through the interpreter."""
    done = run_python("-c", PROGRAM, str(module.parent), module.name.partition(".")[0], which)
    entries = []
    for line in done.stdout.splitlines():
        event, name, where, value, end, table = line.split("\t")
        entries.append(((event, name, int(where), value), Code(end, table)))
    return entries


def text(entries: list[tuple[Any, Code]]) -> list[str]:
    """The log's lines. A module's code has no table, and room for more or fewer positions on different CPythons: its
    offsets say nothing."""
    lines = [" ".join(map(str, entry)).rstrip() for entry, _ in entries]
    return [without_offset(line) if " PyInit_MODULE " in line else line for line in lines]


def without_offset(line: str) -> str:
    event, name, where, *value = line.split(" ")
    return " ".join((event, name, where if event == "LINE" else "*", *value))


@pytest.fixture(scope="module")
def redirected(build_cython: Callable[..., Any]) -> Path:
    module: Path = build_cython(SOURCE, "record", flags=["-O0"], imported=False)
    return module


def test_the_stream_is_the_one_on_record(redirected, run_python):
    seen = text(logged(run_python, redirected, "rmon"))
    if os.environ.get("RMON_TEST_RECORD") == "write":
        RECORD.write_text("\n".join(seen) + "\n", encoding="utf-8")
    record = RECORD.read_text(encoding="utf-8").splitlines()
    if not HAS_OFFSETS:
        seen, record = ([without_offset(line) for line in lines] for lines in (seen, record))
    assert seen == record


# ---- The interpreter's own log, from 3.13 on ----

# With its own API these parts of the module's run() end the process, or fail.
LEFT_OUT = [
    "finally_without_gil, ",  # RAISE without the GIL
    ", list(extension)",  # StopIteration from __next__, which is not set
    "    asyncio.run(coroutine(1))\n",  # the same from a coroutine's __await__
    "    asyncio.run(drives_async_generators())\n",
]

# A generator is thrown, or closed, so often; Cython then reports nothing of how it begins.
THROWN = {"generator": 5, "stubborn": 1, "delegating": 1}


def offsets_from_indices(entries: list[tuple[Any, Code]]) -> list[tuple[Any, Code]]:
    """What Cython passes is the index of a position, in RAISE the line, and in PY_UNWIND nothing of use. An offset is
    twice the index, and that of the first position on the line that raised."""
    raised: dict[str, int] = {}
    put_right = []
    for (event, name, where, value), code in entries:
        if event == "RAISE":
            where = raised[name] = code.first.get(where, 0)
        elif event == "PY_UNWIND":
            where = raised[name]
        elif event != "LINE":
            where = 2 * where if 2 * where < code.end else 0
        if event == "RERAISE":
            raised[name] = where
        put_right.append(((event, name, where, value), code))
    return put_right


def cpdef_functions_end_once(entries: list[tuple[Any, Code]]) -> list[tuple[Any, Code]]:
    """A cpdef function that Python calls reports its exception twice: itself, and then as the wrapper that called."""
    put_right = list(entries)
    for i in reversed(range(len(entries) - 3)):
        names = [entry[0] for entry, _ in entries[i : i + 4]]
        if names == ["RAISE", "PY_UNWIND"] * 2 and len({entry[1] for entry, _ in entries[i : i + 4]}) == 1:
            del put_right[i + 2 : i + 4]
    return put_right


def throws_are_reported(entries: list[tuple[Any, Code]]) -> list[tuple[Any, Code]]:
    """A generator that is thrown an exception begins with PY_THROW, which Cython reports as nothing at all: its RAISE
    comes without a start, a yield or a line of the generator's before it."""
    put_right: list[tuple[Any, Code]] = []
    last: dict[str, str] = {}
    for entry, code in entries:
        event, name, _, value = entry
        if event == "RAISE" and name in THROWN and last.get(name, "") in ("", *ENDS):
            put_right.append((("PY_THROW", name, 0, value), code))
        last[name] = event
        put_right.append((entry, code))
    return put_right


ENDS = ("PY_RETURN", "PY_YIELD", "PY_UNWIND")
CORRECTIONS = [cpdef_functions_end_once, offsets_from_indices, throws_are_reported]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="older interpreters have no Monitoring C API")
def test_the_stream_is_the_interpreters_own_apart_from_what_is_put_right(build_cython, run_python):
    source = SOURCE[: SOURCE.index("def fires_without_code")]
    for part in LEFT_OUT:
        assert part in source
        source = source.replace(part, "")
    redirected = build_cython(source, "record_redirected", flags=["-O0"], imported=False)
    assert source.count("cimport rmon\n") == 1
    source = source.replace("cimport rmon\n", "\n")
    native = build_cython(source, "record_native", flags=["-O0", "-DCYTHON_TRACE=1"], imported=False)
    entries = logged(run_python, native, "interpreter")
    for correction in CORRECTIONS:
        before = entries
        entries = correction(entries)
        assert entries != before, f"{correction.__name__} is not needed any more"
    thrown = [entry[1] for entry, _ in entries if entry[0] == "PY_THROW"]
    assert {name: thrown.count(name) for name in set(thrown)} == THROWN
    ours = text(logged(run_python, redirected, "rmon"))
    assert text(entries) == ours
