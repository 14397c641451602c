"""Emitters written in Cython: the C API that `cimport rmon` gives, and CPython's, declared by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rmon

PXD = (Path(rmon.__file__).parent / "__init__.pxd").read_text(encoding="utf-8")
HEADER = re.sub(r"/\*.*?\*/", "", (Path(rmon.get_include()) / "rmon.h").read_text(encoding="utf-8"), flags=re.DOTALL)


# ---- Completeness ----


def structs() -> dict[str, set[str]]:
    """The structures that the .pxd declares, with their fields."""
    found = {}
    for name, body in re.findall(r"    ctypedef struct (\w+):\n((?:        .+\n)+)", PXD):
        found[name] = set(re.findall(r"^        .*?\(?\*?(\w+)\)?(?:\(.*|)$", body, re.MULTILINE))
    return found


def functions() -> set[str]:
    return set(re.findall(r"^    (?!ctypedef)[\w *]+?\b(\w+)(?: \"\w+\")?\(", PXD, re.MULTILINE))


def constants() -> set[str]:
    return set(re.findall(r"^    (?:    |const uint\d\d_t )([A-Z]+_\w+)$", PXD, re.MULTILINE))


def test_all_of_the_header_is_declared():
    # What ends in _slow is half of a function; rmon_priv_ is the header's own.
    exported = set(re.findall(r"\b(rmon_\w+)\((?!\*)[^;{()]*\)(?:\s*RMON_PRIV_NO_PLT)?\s*[;{]", HEADER))
    exported = {name for name in exported if not name.endswith("_slow") and not name.startswith("rmon_priv_")}
    assert {"rmon_fire_line", "rmon_enter_scope", "rmon_use_tool_id", "rmon_attach_slot"} <= exported
    assert exported - functions() == set()
    numbers = {
        name
        for name in re.findall(r"^#define (RMON_\w+) ", HEADER, re.MULTILINE)
        if not name.startswith(("RMON_PRIV_", "RMON_LAZY", "RMON_H"))
    }
    assert {"RMON_EVENT_LINE", "RMON_ERR_CALLBACK", "RMON_ALL_EVENTS"} <= numbers
    assert numbers - constants() == set()


def test_the_declared_structures_are_the_headers():
    for name in ("rmon_state", "rmon_event", "rmon_code_info", "rmon_line_entry", "rmon_host", "rmon_slot"):
        body = re.search(rf"typedef struct {name} {{(.*?)}} {name};", HEADER, re.DOTALL)
        assert body is not None, name
        fields = set(re.findall(r"(\w+)(?:\[\d\])?;|\(\*(\w+)\)", body[1]))
        assert structs()[name] == {"".join(field) for field in fields}


def test_every_declared_name_compiles(build_cython):
    macros = {"RMON_EVENT_SET", "PY_MONITORING_IS_INSTRUMENTED_EVENT"}
    assert len(functions()) > 60
    assert len(constants()) > 60
    lines = ["cimport rmon", "from libc.stdint cimport uintptr_t", "", "def look():", "    seen = []"]
    lines += [f"    seen.append(<uintptr_t>&rmon.{name})" for name in sorted(functions() - macros)]
    lines += [f"    seen.append(rmon.{name}(1))" for name in sorted(macros)]
    lines += [f"    seen.append(<long long>rmon.{name})" for name in sorted(constants())]
    for name, fields in structs().items():
        lines += [f"    cdef rmon.{name} a_{name}"]
        lines += [f"    seen.append(sizeof(a_{name}.{field}))" for field in sorted(fields)]
    lines += ["    return seen"]
    module = build_cython("\n".join(lines) + "\n", "cython_api_names", flags=["-O0"], link=True)
    assert len(module.look()) > 170


# ---- Emitters ----

TYPES = "PY_START PY_RESUME PY_RETURN PY_YIELD CALL LINE JUMP BRANCH_LEFT STOP_ITERATION C_RETURN".split()

EMITTER = """\
# cython: language_level=3{directives}
from libc.stdint cimport uint8_t, uint64_t, int32_t
{declarations}
from libc.string cimport memset


cdef class Emitter:
    cdef {prefix}PyMonitoringState[10] states
    cdef uint64_t version

    def __cinit__(self):
        memset(self.states, 0, sizeof(self.states))
        self.version = 0

    def fire(self, code, value):
        cdef uint8_t[10] types = [{types}]
        cdef {prefix}PyMonitoringState *states = self.states
        {prefix}PyMonitoring_EnterScope(states, &self.version, types, 10)
        {prefix}PyMonitoring_FirePyStartEvent(&states[0], code, 1)
        {prefix}PyMonitoring_FirePyResumeEvent(&states[1], code, 3)
        {prefix}PyMonitoring_FirePyReturnEvent(&states[2], code, 5, value)
        {prefix}PyMonitoring_FirePyYieldEvent(&states[3], code, 7, value)
        {prefix}PyMonitoring_FireCallEvent(&states[4], code, 9, len, value)
        {prefix}PyMonitoring_FireCReturnEvent(&states[9], code, 9, value)
        {prefix}PyMonitoring_FireLineEvent(&states[5], code, 11, 100)
        {prefix}PyMonitoring_FireJumpEvent(&states[6], code, 13, 50)
        {prefix}PyMonitoring_FireBranchLeftEvent(&states[7], code, 15, 60)
        {prefix}PyMonitoring_FireStopIterationEvent(&states[8], code, 17, value)
        {prefix}PyMonitoring_ExitScope()
"""

BY_HAND = """\
{cimport}
cdef extern from "Python.h":
    ctypedef struct PyMonitoringState:
        pass
    enum:
        {constants}
    int PyMonitoring_EnterScope(PyMonitoringState *, uint64_t *, const uint8_t *, Py_ssize_t) except -1
    int PyMonitoring_ExitScope() except -1
    int PyMonitoring_FirePyStartEvent(PyMonitoringState *, object, int32_t) except -1
    int PyMonitoring_FirePyResumeEvent(PyMonitoringState *, object, int32_t) except -1
    int PyMonitoring_FirePyReturnEvent(PyMonitoringState *, object, int32_t, object) except -1
    int PyMonitoring_FirePyYieldEvent(PyMonitoringState *, object, int32_t, object) except -1
    int PyMonitoring_FireCallEvent(PyMonitoringState *, object, int32_t, object, object) except -1
    int PyMonitoring_FireLineEvent(PyMonitoringState *, object, int32_t, int) except -1
    int PyMonitoring_FireJumpEvent(PyMonitoringState *, object, int32_t, object) except -1
    int PyMonitoring_FireBranchLeftEvent(PyMonitoringState *, object, int32_t, object) except -1
    int PyMonitoring_FireStopIterationEvent(PyMonitoringState *, object, int32_t, object) except -1
    int PyMonitoring_FireCReturnEvent(PyMonitoringState *, object, int32_t, object) except -1
"""


def emitter(declared: str, directives: str = "") -> str:
    prefix = "rmon." if declared == "cimport" else ""
    names = [f"PY_MONITORING_EVENT_{name}" for name in TYPES]
    declarations = "cimport rmon"
    if declared != "cimport":
        cimport = "cimport rmon" if declared == "by hand, with cimport" else ""
        declarations = BY_HAND.format(cimport=cimport, constants="\n        ".join(names))
    types = ", ".join(prefix + name for name in names)
    return EMITTER.format(directives=directives, declarations=declarations, prefix=prefix, types=types)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("declared", "traced", "cplusplus"),
    [
        ("cimport", True, False),
        ("cimport", False, True),
        ("by hand, with cimport", True, True),
        ("by hand", True, False),
        ("by hand", False, False),
    ],
)
def test_an_emitter_reports_what_it_passes(build_cython: Callable[..., Any], tool, declared, traced, cplusplus):
    name = f"cython_emitter_{re.sub(r'[^a-z]+', '_', declared)}_{traced:d}{cplusplus:d}"
    source = emitter(declared, ", linetrace=True" if traced else "")
    module = build_cython(source, name, cplusplus=cplusplus, outside=declared == "by hand", flags=["-O0"])
    seen: list[tuple[Any, ...]] = []
    code = rmon.CodeLike("name", "file", 1)

    def recorder(event: str) -> Callable[..., None]:
        def record(fired: object, *args: Any) -> None:
            if fired is code:
                seen.append((event, *args))

        return record

    for event in TYPES:
        tool.callback(event, recorder(event))
    value = "value"
    for _ in range(2):
        module.Emitter().fire(code, value)
    seen[:] = [(event, *(x.value if isinstance(x, StopIteration) else x for x in args)) for event, *args in seen]
    assert seen == 2 * [
        ("PY_START", 1),
        ("PY_RESUME", 3),
        ("PY_RETURN", 5, value),
        ("PY_YIELD", 7, value),
        ("CALL", 9, len, value),
        ("C_RETURN", 9, len, value),
        ("LINE", 100),
        ("JUMP", 13, 50),
        ("BRANCH_LEFT", 15, 60),
        ("STOP_ITERATION", 17, value),
    ]


PLAIN = """\
cimport rmon
from libc.string cimport memset

cdef char here

def fire(int line):
    cdef rmon.rmon_state state
    cdef rmon.uint64_t version = 0
    cdef rmon.uint8_t event = rmon.RMON_EVENT_LINE
    cdef int status
    memset(&state, 0, sizeof(state))
    with nogil:
        rmon.rmon_enter_scope(&state, &version, &event, 1)
        status = rmon.rmon_fire_line(&state, &here, 0, line)
        rmon.rmon_exit_scope()
    return status, rmon.rmon_event_name(rmon.RMON_EVENT_LINE)
"""


def test_rmons_own_functions_need_no_gil(build_cython, tool):
    module = build_cython(PLAIN, "cython_plain", flags=["-O0"])
    lines = []
    tool.callback("LINE", lambda code, line: lines.append(line) if not hasattr(code, "co_code") else None)
    assert module.fire(7) == (0, b"LINE")
    assert lines == [7]


def test_a_callbacks_error_is_the_emitters(build_cython, tool):
    module = build_cython(emitter("cimport"), "cython_emitter_fails", flags=["-O0"])
    code = rmon.CodeLike("name", "file", 1)
    error = KeyError("the callback's")

    def fail(fired: object, *args: Any) -> None:
        if fired is code:
            raise error

    tool.callback("LINE", fail)
    with pytest.raises(KeyError) as caught:
        module.Emitter().fire(code, 1)
    assert caught.value is error
