"""Native tools beside Python's: one set of tool ids, and descriptions of Python's codes."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Iterator

import pytest
import rmon
from native_types import CodeInfo, Event
from rmon import monitoring as M

E = M.events
TOOL = 4
LINE = 5  # rmon.h's number


Callback = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Event))


def describe(library: Any, address: int) -> Any:
    """What rmon_code_describe says: the status, or the description."""
    info = CodeInfo(struct_size=ctypes.sizeof(CodeInfo))
    status = library.rmon_code_describe(ctypes.c_void_p(address), ctypes.byref(info))
    if status != 0:
        return status
    lines = [(info.lines[i].offset, info.lines[i].line) for i in range(info.line_count)]
    return info.name.decode(), info.qualname.decode(), info.filename.decode(), info.first_line, lines


@pytest.fixture
def library() -> Iterator[Any]:
    """librmon, and after the test no native tool."""
    library = ctypes.PyDLL(os.path.join(rmon.get_library_dir(), "librmon.so.0"))
    library.rmon_register_callback.argtypes = [ctypes.c_int, ctypes.c_int, Callback, ctypes.c_void_p, ctypes.c_void_p]
    yield library
    library.rmon_free_tool_id(TOOL)


def listen(library: Any, callback: Any) -> None:
    assert library.rmon_use_tool_id(TOOL, b"native") == 0
    assert library.rmon_register_callback(TOOL, LINE, callback, None, None) == 0
    assert library.rmon_set_events(TOOL, 1 << LINE) == 0


def fire(code: Any, line: int = 3) -> None:
    with rmon.Scope(code, E.LINE) as scope:
        scope.line(line)


def test_a_native_tool_can_describe_pythons_codes(library: Any) -> None:
    seen: list[Any] = []

    @Callback
    def callback(user_data: Any, event: Any) -> int:
        seen.append(describe(library, event[0].code))
        return 0

    class Page(rmon.CodeLike):
        pass

    listen(library, callback)
    page = rmon.CodeLike("render", "page.tmpl", 3, qualname="Page.render", lines=[(0, 3), (4, 5)])
    fire(page)
    fire(Page("sub", "sub.tmpl"))
    fire(describe.__code__)
    fire(rmon.CodeLike("\ud800", "x"))
    fire(object())
    assert seen == [
        ("render", "Page.render", "page.tmpl", 3, [(0, 3), (4, 5)]),
        ("sub", "sub", "sub.tmpl", 1, [(0, 1)]),
        ("describe", "describe", describe.__code__.co_filename, describe.__code__.co_firstlineno, []),
        -14,
        -14,
    ]
    assert describe(library, id(page)) == -14, "outside of its events nobody vouches for an address"


def test_tool_ids_are_one_set(library: Any) -> None:
    assert library.rmon_use_tool_id(TOOL, b"native") == 0
    assert M.get_tool(TOOL) == "native"
    with pytest.raises(ValueError, match=f"^tool {TOOL} is already in use$"):
        M.use_tool_id(TOOL, "python")
    with pytest.raises(ValueError, match=f"^tool {TOOL} is not in use$"):
        M.set_events(TOOL, E.LINE)
    M.free_tool_id(TOOL)
    assert M.get_tool(TOOL) == "native", "it is not Python's to free"
    assert library.rmon_free_tool_id(TOOL) == 0
    assert M.get_tool(TOOL) is None
    M.use_tool_id(TOOL, "python")
    assert library.rmon_use_tool_id(TOOL, b"native") == -5
    M.free_tool_id(TOOL)
    assert library.rmon_use_tool_id(TOOL, b"native") == 0


def test_a_callback_kept_for_an_unused_id_does_not_replace_a_native_one(library: Any) -> None:
    seen: list[Any] = []

    @Callback
    def callback(user_data: Any, event: Any) -> int:
        seen.append(event[0].line)
        return 0

    listen(library, callback)
    M.register_callback(TOOL, E.LINE, lambda *args: seen.append("python"))
    fire(rmon.CodeLike("f", "f"), 7)
    M.register_callback(TOOL, E.LINE, None)
    fire(rmon.CodeLike("f", "f"), 8)
    assert seen == [7, 8]


def test_both_get_an_event_the_higher_id_first(library: Any) -> None:
    seen: list[Any] = []

    @Callback
    def callback(user_data: Any, event: Any) -> int:
        seen.append("native")
        return 0

    code = rmon.CodeLike("f", "f")
    listen(library, callback)
    for tool in (3, 5):
        M.use_tool_id(tool, "python")
        M.register_callback(tool, E.LINE, lambda code, line, tool=tool: seen.append(tool))
        M.set_local_events(tool, code, E.LINE)
    fire(code)
    assert seen == [5, "native", 3]
