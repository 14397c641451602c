"""rmon.CodeLike: a look-alike for emitters in Python, and what stands for the codes of emitters without Python."""

from __future__ import annotations

import copy
import ctypes
import dis
import gc
import inspect
import os
import pickle
import subprocess
import sys
import threading
import weakref
from typing import Any, Callable, Iterator

import pytest
from conftest import Tool
from native_types import CodeInfo, LineEntry

import rmon
from rmon import monitoring

events = monitoring.events

# ---- What tools read ----


def test_the_attributes_of_a_code_object() -> None:
    code = rmon.CodeLike("render", "page.html", 12, qualname="Page.render")
    assert code.co_name == "render"
    assert code.co_qualname == "Page.render"
    assert code.co_filename == "page.html"
    assert code.co_firstlineno == 12


def test_defaults() -> None:
    code = rmon.CodeLike("render", "page.html")
    assert code.co_qualname == "render"
    assert code.co_firstlineno == 1
    assert list(code.co_lines()) == [(0, 2, 1)]
    assert list(code.co_positions()) == [(1, 1, None, None)]
    assert code.co_code == b"\0\0"
    assert rmon.CodeLike("render", "page.html", qualname=None, lines=None).co_qualname == "render"
    assert list(rmon.CodeLike("f", "f.x", 7).co_lines()) == [(0, 2, 7)]
    assert list(rmon.CodeLike("f", "f.x", 7, lines=[]).co_lines()) == [(0, 2, 7)]


def test_what_it_has_not_is_as_in_an_empty_function() -> None:
    code = rmon.CodeLike("f", "f.x")
    real = (lambda: None).__code__
    for name in ("co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_nlocals"):
        assert getattr(code, name) == getattr(real, name) == 0
    for name in ("co_varnames", "co_names", "co_freevars", "co_cellvars", "co_consts"):
        assert getattr(code, name) == ()
    assert code.co_stacksize == 1
    optimized_newlocals = 3
    assert code.co_flags == optimized_newlocals == real.co_flags & 3


def test_all_keywords() -> None:
    code = rmon.CodeLike(name="f", filename="f.x", firstlineno=3, qualname="g.f", lines=[(0, 3)])
    assert (code.co_name, code.co_filename, code.co_firstlineno, code.co_qualname) == ("f", "f.x", 3, "g.f")


@pytest.mark.parametrize("text", ["", "naïve ☃ 𝄞", "a\0b", "\ud800", "x" * 10_000, '"'])
def test_strings_hold_anything(text: str) -> None:
    code = rmon.CodeLike(text, text + "f", qualname=text + "q")
    assert (code.co_name, code.co_filename, code.co_qualname) == (text, text + "f", text + "q")
    assert text in repr(code)


def test_strings_of_a_subclass() -> None:
    class Text(str):
        pass

    name = Text("f")
    assert rmon.CodeLike(name, name).co_name is name


@pytest.mark.parametrize(
    "arguments",
    [(), ("f",), (1, "f.x"), ("f", None), (b"f", "f.x"), ("f", "f.x", "1"), ("f", "f.x", 1.0), ("f", "f.x", 1, "q")],
)
def test_wrong_arguments(arguments: Any) -> None:
    with pytest.raises(TypeError):
        rmon.CodeLike(*arguments)


def test_wrong_keywords() -> None:
    with pytest.raises(TypeError, match="^qualname must be str, not int$"):
        rmon.CodeLike("f", "f.x", qualname=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        rmon.CodeLike("f", "f.x", color=1)  # type: ignore[call-arg]
    for large in (2**31, -(2**31) - 1, 10**30):
        with pytest.raises(OverflowError):
            rmon.CodeLike("f", "f.x", large)


def test_signatures_can_be_read() -> None:
    if sys.version_info >= (3, 10):  # 3.9 loses those of types
        assert str(inspect.signature(rmon.CodeLike)) == "(name, filename, firstlineno=1, *, qualname=None, lines=None)"
        assert str(inspect.signature(rmon.Scope)) == "(code, *events)"
    assert str(inspect.signature(rmon.Scope.line)) == "(self, /, lineno, offset=0)"


def test_repr() -> None:
    code = rmon.CodeLike("render", "page.html", 4)
    assert repr(code) == f'<rmon.CodeLike render at {id(code):#x}, file "page.html", line 4>'


# ---- Lines ----


def real_lines() -> list[tuple[Any, ...]]:
    def function(argument: int) -> int:
        if argument:
            return 1
        with open(os.devnull):
            return 2

    return list(function.__code__.co_lines())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([(0, 3)], [(0, 2, 3)]),
        ([(0, 3), (4, 5), (10, 4)], [(0, 4, 3), (4, 10, 5), (10, 12, 4)]),
        ([(6, 3)], [(6, 8, 3)]),
        ([[0, 3], [4, 5]], [(0, 4, 3), (4, 6, 5)]),
        (((offset, offset + 1) for offset in range(0, 6, 2)), [(0, 2, 1), (2, 4, 3), (4, 6, 5)]),
        ([(0, None), (2, 5), (4, None)], [(0, 2, None), (2, 4, 5), (4, 6, None)]),
        ([(0, 8, 3), (8, 9, None), (20, 30, 1)], [(0, 8, 3), (8, 9, None), (20, 30, 1)]),
        ([(0, 8, 3), (8, 4), (10, 12, 5), (20, 6)], [(0, 8, 3), (8, 10, 4), (10, 12, 5), (20, 22, 6)]),
        ([(0, 2**31 - 1), (2**31 - 1, -(2**31))], [(0, 2**31 - 1, 2**31 - 1), (2**31 - 1, 2**31 + 1, -(2**31))]),
        ([(0, True)], [(0, 2, 1)]),
        ([(number, number) for number in range(1000)], [(n, n + 1 if n < 999 else n + 2, n) for n in range(1000)]),
    ],
)
def test_lines(lines: Any, expected: list[tuple[Any, ...]]) -> None:
    assert list(rmon.CodeLike("f", "f.x", lines=lines).co_lines()) == expected


@pytest.mark.skipif(sys.version_info < (3, 10), reason="code objects have no co_lines()")
def test_lines_of_a_code_object_read_back() -> None:
    lines = real_lines()
    code = rmon.CodeLike("f", "f.x", lines=iter(lines))
    assert list(code.co_lines()) == lines
    assert rmon.CodeLike("f", "f.x", lines=code.co_lines()).co_code == code.co_code


@pytest.mark.parametrize(
    ("lines", "error", "text"),
    [
        ([(-1, 1)], ValueError, "^the offsets of lines must be non-negative, not -1$"),
        ([(0, 1), (0, 2)], ValueError, "^the offsets of lines must ascend, but 0 comes after 0$"),
        ([(4, 1), (2, 2)], ValueError, "^the offsets of lines must ascend, but 2 comes after 4$"),
        ([(0, 8, 1), (6, 9, 2)], ValueError, "^the offsets of lines must ascend, but 6 comes after 8$"),
        ([(0, 8, 1), (6, 2)], ValueError, "^the offsets of lines must ascend, but 6 comes after 8$"),
        ([(4, 4, 1)], ValueError, "^lines must end after their start, not start at 4 and end at 4$"),
        ([(4, 2, 1)], ValueError, "^lines must end after their start, not start at 4 and end at 2$"),
        ([(4, -1, 1)], ValueError, "^lines must end after their start, not start at 4 and end at -1$"),
        ([(1,)], ValueError, r"^lines must be \(offset, line\) pairs or \(start, end, line\) triples$"),
        ([()], ValueError, r"^lines must be \(offset, line\) pairs or \(start, end, line\) triples$"),
        ([(0, 1, 2, 3)], ValueError, r"^lines must be \(offset, line\) pairs or \(start, end, line\) triples$"),
        ([1], TypeError, r"^lines must be \(offset, line\) pairs or \(start, end, line\) triples, not int$"),
        (["01"], TypeError, r"^lines must be \(offset, line\) pairs or \(start, end, line\) triples, not str$"),
        ([None], TypeError, r"^lines must be .*, not NoneType$"),
        (1, TypeError, "^'int' object is not iterable$"),
        ([("0", 1)], TypeError, "^'str' object cannot be interpreted as an integer$"),
        ([(0, 1.5)], TypeError, "^'float' object cannot be interpreted as an integer$"),
        ([(None, 1)], TypeError, "^'NoneType' object cannot be interpreted as an integer$"),
        ([(0, None, 1)], TypeError, "^'NoneType' object cannot be interpreted as an integer$"),
        ([(2**31, 1)], OverflowError, "^Python int too large to convert to C int$"),
        ([(0, 2**31)], OverflowError, "^Python int too large to convert to C int$"),
    ],
)
def test_wrong_lines(lines: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        rmon.CodeLike("f", "f.x", lines=lines)


def test_an_iterable_of_lines_that_fails() -> None:
    def fail() -> Iterator[tuple[int, int]]:
        yield 0, 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rmon.CodeLike("f", "f.x", lines=fail())

    class Index:
        def __index__(self) -> int:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rmon.CodeLike("f", "f.x", lines=[(0, 1), (Index(), 1)])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "lines",
    [
        [(0, 3), (4, 5), (10, 4)],
        [(6, 3)],
        [(1, 3), (3, 5)],
        [(0, 1), (1, 2), (2, 3), (3, 4)],
        [(0, 8, 3), (8, 9, None), (20, 30, 1)],
        [(5, 6, 1), (7, 9, 2), (10, 11, 3)],
        [(5, 7, 1), (7, 8, 2), (9, 10, 3), (10, 11, 4)],
    ],
)
def test_positions_agree_with_lines(lines: Any) -> None:
    code = rmon.CodeLike("f", "f.x", lines=lines)
    expected = []
    for offset in range(0, len(code.co_code), 2):
        line = None
        for start, end, its_line in code.co_lines():
            if start <= offset < end:
                line = its_line
        expected.append((line, line, None, None))
    assert list(code.co_positions()) == expected


def test_code_is_zeros_as_long_as_the_lines() -> None:
    for lines in ([(0, 1)], [(0, 1), (7, 2)], [(0, 3, 1)], [(8, 100, 1)]):
        code = rmon.CodeLike("f", "f.x", lines=lines)
        assert code.co_code == bytes(max(end for _, end, _ in code.co_lines()))


def test_a_long_code_is_not_laid_out() -> None:
    code = rmon.CodeLike("f", "f.x", lines=[(0, 1), (2**31 - 1, 2)])
    assert next(iter(code.co_positions())) == (1, 1, None, None)


@pytest.mark.skipif(sys.version_info < (3, 10), reason="reads co_lnotab")
def test_dis_finds_the_lines() -> None:
    code = rmon.CodeLike("f", "f.x", lines=[(0, 3), (4, 5), (10, 4)])
    assert list(dis.findlinestarts(code)) == [(0, 3), (4, 5), (10, 4)]  # type: ignore[arg-type]


# ---- The object ----


def test_equal_only_to_itself() -> None:
    one, other = rmon.CodeLike("f", "f.x"), rmon.CodeLike("f", "f.x")
    assert one == one
    assert one != other
    assert len({one, other, one}) == 2
    assert hash(one) == hash(one)


def test_read_only() -> None:
    code = rmon.CodeLike("f", "f.x")
    for name in dir(code):
        if name.startswith("co_"):
            with pytest.raises(AttributeError):
                setattr(code, name, "other")
            with pytest.raises(AttributeError):
                delattr(code, name)
    with pytest.raises(AttributeError):
        code.other = 1  # type: ignore[attr-defined]
    if sys.version_info >= (3, 10):
        with pytest.raises(TypeError):
            rmon.CodeLike.co_name = "other"  # type: ignore[assignment, misc]
    with pytest.raises(TypeError):
        pickle.dumps(code)
    with pytest.raises(TypeError):
        copy.copy(code)


def test_weak_references() -> None:
    code = rmon.CodeLike("f", "f.x")
    reference = weakref.ref(code)
    table = weakref.WeakKeyDictionary({code: 1})
    assert reference() is code
    del code
    assert reference() is None
    assert len(table) == 0


def test_subclass() -> None:
    class Template(rmon.CodeLike):
        def __new__(cls, source: str) -> Template:
            return super().__new__(cls, "template", source, lines=[(0, 1), (2, 2)])

        def __init__(self, source: str) -> None:
            self.source = source

        @property
        def co_qualname(self) -> str:  # type: ignore[override]
            return "Template." + self.co_name

    code = Template("page.html")
    assert (code.co_filename, code.source, code.co_qualname) == ("page.html", "page.html", "Template.template")
    assert "Template" in repr(code)
    code.itself = code  # type: ignore[attr-defined]
    reference = weakref.ref(code)
    del code
    gc.collect()
    assert reference() is None


def test_a_ring_through_a_name_is_collected() -> None:
    class Text(str):
        pass

    name = Text("f")
    name.code = rmon.CodeLike(name, "f.x")  # type: ignore[attr-defined]
    reference = weakref.ref(name.code)  # type: ignore[attr-defined]
    del name
    gc.collect()
    assert reference() is None


def test_no_leaks() -> None:
    def work() -> None:
        for _ in range(2000):
            code = rmon.CodeLike("f", "f.x", 5, qualname="g.f", lines=[(0, 1), (2, 2), (4, 9, None)])
            list(code.co_lines())
            list(code.co_positions())
            repr(code)
            for name in dir(code):
                getattr(code, name)
            for lines in ([(0, 1), (0, 1)], [(0,)], [1], 1, [(0, "1")]):
                try:
                    rmon.CodeLike("f", "f.x", lines=lines)  # type: ignore[arg-type]
                except (TypeError, ValueError):
                    pass

    work()
    gc.collect()
    before = sys.getallocatedblocks()
    work()
    gc.collect()
    assert abs(sys.getallocatedblocks() - before) < 200  # of 2000 rounds; the interpreter itself keeps a few


def test_a_tool_gets_the_object_itself(tool: Tool) -> None:
    code = rmon.CodeLike("f", "f.x")
    heard = tool.record("LINE", of="f")
    with rmon.Scope(code) as scope:
        scope.line(1)
    assert heard == [("LINE", code, 1)]
    assert heard[0][1] is code


def test_local_events_end_with_the_code(tool: Tool) -> None:
    code = rmon.CodeLike("f", "f.x")
    monitoring.set_local_events(tool.id, code, events.LINE)
    assert monitoring.get_local_events(tool.id, code) == events.LINE
    reference = weakref.ref(code)
    del code
    assert reference() is None


# ---- Stand-ins: codes of emitters without Python ----


class State(ctypes.Structure):
    _fields_ = [("active", ctypes.c_uint8), ("opaque", ctypes.c_uint8)]


LINE, PY_RETURN, UNKNOWN_CODE = 5, 2, -14


class Emitter:
    """An emitter that knows no Python: its codes are made by librmon. `kind` says whether it fires with the GIL."""

    def __init__(self, kind: type[ctypes.CDLL]) -> None:
        self.rmon = kind(os.path.join(rmon.get_library_dir(), "librmon.so.0"))
        for function in ("code_new", "code_retain", "code_release", "code_describe"):
            getattr(self.rmon, f"rmon_{function}").argtypes = [ctypes.c_void_p] * (1 + (function == "code_describe"))
        self.rmon.rmon_code_new.restype = ctypes.c_void_p
        self.rmon.rmon_fire_line.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32]

    def new(self, name: bytes, *lines: tuple[int, int], qualname: bytes | None = None, first_line: int = 1) -> int:
        table = (LineEntry * len(lines))(*lines)
        size = ctypes.sizeof(CodeInfo)
        info = CodeInfo(size, first_line, name, qualname, b"native.lua", table, len(lines))
        code = self.rmon.rmon_code_new(ctypes.byref(info))
        assert code is not None
        return code

    def line(self, code: int | None, line: int) -> int:
        state, version, types = State(), ctypes.c_uint64(), (ctypes.c_uint8 * 1)(LINE)
        assert self.rmon.rmon_enter_scope(ctypes.byref(state), ctypes.byref(version), types, ctypes.c_ssize_t(1)) == 0
        return self.rmon.rmon_fire_line(ctypes.addressof(state), code, 0, line)

    def release(self, code: int) -> None:
        self.rmon.rmon_code_release(code)

    def is_known(self, code: int) -> bool:
        info = CodeInfo(ctypes.sizeof(CodeInfo))
        status = self.rmon.rmon_code_describe(code, ctypes.byref(info))
        assert status in (0, UNKNOWN_CODE)
        return status == 0


@pytest.fixture(params=[ctypes.PyDLL, ctypes.CDLL], ids=["with the GIL", "without the GIL"])
def emitter(request: pytest.FixtureRequest) -> Emitter:
    return Emitter(request.param)


def listen(tool: Tool) -> list[Any]:
    """The codes of LINE events of native.lua, as they come."""
    codes: list[Any] = []

    def callback(code: Any, line: int) -> None:
        if code.co_filename == "native.lua":
            codes.append(code)

    tool.callback("LINE", callback)
    return codes


def test_a_stand_in_describes_the_code(tool: Tool, emitter: Emitter) -> None:
    codes = listen(tool)
    native = [
        emitter.new("naïve".encode(), (0, 3), (4, 5), qualname=b"module.f", first_line=3),
        emitter.new(b"g"),
    ]
    for code in native:
        assert emitter.line(code, 3) == 0
        emitter.release(code)
    described, bare = codes
    assert type(described) is rmon.CodeLike
    assert (described.co_name, described.co_qualname, described.co_filename) == ("naïve", "module.f", "native.lua")
    assert described.co_firstlineno == 3
    assert list(described.co_lines()) == [(0, 4, 3), (4, 6, 5)]
    assert described.co_code == bytes(6)
    assert (bare.co_name, bare.co_qualname, list(bare.co_lines())) == ("g", "g", [(0, 2, 1)])
    assert "naïve" in repr(described)


def test_a_stand_in_is_the_same_as_long_as_it_is_held(tool: Tool, emitter: Emitter) -> None:
    codes = listen(tool)
    native, other = emitter.new(b"f"), emitter.new(b"f")
    for code in (native, other, native):
        emitter.line(code, 1)
    assert codes[0] is codes[2]
    assert codes[0] is not codes[1]
    assert codes[0] != codes[1]
    reference = weakref.ref(codes[0])
    codes.clear()
    gc.collect()
    assert reference() is None
    emitter.line(native, 1)
    assert codes[0].co_name == "f"
    emitter.release(native)
    emitter.release(other)


def test_a_stand_in_keeps_the_code(tool: Tool, emitter: Emitter) -> None:
    codes = listen(tool)
    native = emitter.new(b"f")
    emitter.line(native, 1)
    emitter.release(native)
    assert emitter.is_known(native)
    emitter.line(native, 1)
    assert codes[0] is codes[1]
    codes.clear()
    gc.collect()
    assert not emitter.is_known(native)


def test_local_events_of_a_stand_in_are_the_codes(tool: Tool, emitter: Emitter) -> None:
    codes = listen(tool)
    native, other = emitter.new(b"f"), emitter.new(b"f")
    emitter.line(native, 1)
    monitoring.set_events(tool.id, 0)
    monitoring.set_local_events(tool.id, codes[0], events.LINE)
    assert monitoring.get_local_events(tool.id, codes[0]) == events.LINE
    codes.clear()
    gc.collect()
    emitter.line(native, 2)
    emitter.line(other, 2)
    assert len(codes) == 1
    assert monitoring.get_local_events(tool.id, codes[0]) == events.LINE
    monitoring.set_local_events(tool.id, codes[0], 0)
    emitter.line(native, 3)
    assert len(codes) == 1
    emitter.release(native)
    emitter.release(other)
    codes.clear()
    gc.collect()
    assert not emitter.is_known(native)


def test_disabling_a_location_of_a_stand_in(tool: Tool, emitter: Emitter) -> None:
    lines = []

    def callback(code: Any, line: int) -> object:
        if code.co_filename == "native.lua":
            lines.append(line)
        return monitoring.DISABLE

    tool.callback("LINE", callback)
    native = emitter.new(b"f")
    for line in (1, 2, 1, 2):
        emitter.line(native, line)
    assert lines == [1, 2]
    emitter.release(native)
    assert not emitter.is_known(native)


def test_a_stand_in_has_no_scope(tool: Tool, emitter: Emitter) -> None:
    codes = listen(tool)
    native = emitter.new(b"f")
    emitter.line(native, 1)
    emitter.release(native)
    with pytest.raises(TypeError, match="^the code of an emitter without Python cannot have a Scope$"):
        rmon.Scope(codes[0])


def test_many_codes_come_and_go(tool: Tool, emitter: Emitter) -> None:
    names = []

    def callback(code: Any, line: int) -> None:
        if code.co_filename == "native.lua":
            names.append(code.co_name == f"code {line}")

    tool.callback("LINE", callback)

    def work() -> None:
        names.clear()
        for number in range(2000):
            native = emitter.new(f"code {number}".encode(), (0, number))
            emitter.line(native, number)
            emitter.line(native, number)
            emitter.release(native)
        assert names == [True] * 4000
        names.clear()

    work()
    gc.collect()
    before = sys.getallocatedblocks()
    work()
    gc.collect()
    assert abs(sys.getallocatedblocks() - before) < 200


def test_threads_get_the_same_stand_in(tool: Tool) -> None:
    emitter = Emitter(ctypes.CDLL)
    codes = listen(tool)
    native = emitter.new(b"f")
    threads = [threading.Thread(target=lambda: [emitter.line(native, 1) for _ in range(100)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(codes) == 800
    assert len(set(map(id, codes))) == 1
    emitter.release(native)


# ---- Interpreters ----

IN_EACH = """
import rmon
from rmon import monitoring
events = monitoring.events
code = rmon.CodeLike("f", "f.x")
monitoring.use_tool_id(3, "in each")
heard = []
monitoring.register_callback(3, events.LINE, lambda *arguments: heard.append(arguments))
monitoring.set_local_events(3, code, events.LINE)
with rmon.Scope(code) as scope:
    for line in range(100):
        scope.line(line)
assert heard == [(code, line) for line in range(100)], heard
held = rmon.testing.CodeLike(1)
rmon.testing.monitoring_enter_scope(held, events.LINE.bit_length() - 1)
monitoring.set_local_events(3, held, events.LINE)
rmon.testing.monitoring_enter_scope(held, events.LINE.bit_length() - 1)
rmon.testing.fire_event_line(held, 0, 5)
assert heard[-1] == (held, 5)
left = [code, scope, held, rmon.CodeLike]  # to be collected at the end
left.append(left)
"""

INTERPRETERS = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
exec(sys.argv[1])
for _ in range(3):
    one = interpreters.create()
    for _ in range(2):
        failure = interpreters.run_string(one, sys.argv[1])
        assert failure is None, failure
        sys.argv[1] = sys.argv[1].replace('use_tool_id(3, "in each")', "get_tool(3)")
    sys.argv[1] = sys.argv[1].replace("get_tool(3)", 'use_tool_id(3, "in each")')
    interpreters.destroy(one)
exec("assert heard[-1] == (held, 5)")
print("done")
"""


def test_interpreters_have_types_of_their_own(run_python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = run_python("-c", INTERPRETERS, IN_EACH)
    assert done.stdout.strip().splitlines()[-1] == "done"
    assert done.stderr == ""
