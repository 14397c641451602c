"""Fires from threads of all kinds: Python's own, with and without the GIL, and such that Python has never seen; with
codes that are no Python objects; and tools that come and go meanwhile.

A watchdog ends the process if a test hangs.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import random
import sys
import textwrap
import threading
import time
import types
import weakref
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

import rmon
from rmon import monitoring as M

E = M.events
TOOL, OTHER = 3, 1
LINE, PY_START, PY_RETURN, CALL, JUMP, RAISE, STOP_ITERATION = 5, 0, 2, 4, 7, 11, 10  # rmon's numbers

EMITTERS = r"""
#include <rmon.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const rmon_line_entry lines[] = {{0, 10}, {4, 11}, {8, 12}};

void *make_code(const char *name, const char *qualname, const char *filename, int first_line)
{
    rmon_code_info info = {sizeof info, first_line, name, qualname, filename, lines, 3};
    return rmon_code_new(&info);
}

/* One fire of an event; what it returns. */
int fire(int event, void *code, int offset, int number, void *object, void *arg0)
{
    rmon_state state = {0, 0};
    uint64_t version = 0;
    uint8_t type = (uint8_t)event;
    int status = rmon_enter_scope(&state, &version, &type, 1);
    if (status != RMON_OK)
        return status;
    switch (event) {
    case RMON_EVENT_PY_START: return rmon_fire_py_start(&state, code, offset);
    case RMON_EVENT_PY_RETURN: return rmon_fire_py_return(&state, code, offset, object);
    case RMON_EVENT_CALL: return rmon_fire_call(&state, code, offset, object, arg0);
    case RMON_EVENT_LINE: return rmon_fire_line(&state, code, offset, number);
    case RMON_EVENT_JUMP: return rmon_fire_jump(&state, code, offset, number);
    case RMON_EVENT_RAISE: return rmon_fire_raise(&state, code, offset, object);
    case RMON_EVENT_STOP_ITERATION: return rmon_fire_stop_iteration(&state, code, offset, object);
    default: return -1000;
    }
}

struct job { int event; void *code; int offset, number; void *object, *arg0; int count, status; };

static void *run_job(void *data)
{
    struct job *job = data;
    int i;
    for (i = 0; i < job->count; i++) {
        int status = fire(job->event, job->code, job->offset, job->number + i, job->object, job->arg0);
        if (status != RMON_OK)
            job->status = status;
    }
    return NULL;
}

/* `count` fires on a new thread, which Python does not know. Returns the last status that was not 0. */
int fire_in_thread(int event, void *code, int offset, int number, void *object, void *arg0, int count)
{
    struct job job = {event, code, offset, number, object, arg0, count, 0};
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_job, &job) != 0)
        return -1000;
    pthread_join(thread, NULL);
    return job.status;
}

/* Threads that fire until they are stopped. */
struct crowd { void *code; int stop; long fired, failed; int count; pthread_t threads[64]; };

static void *run_crowd(void *data)
{
    static const uint8_t types[] = {RMON_EVENT_PY_START, RMON_EVENT_LINE, RMON_EVENT_PY_RETURN};
    struct crowd *crowd = data;
    long fired = 0, failed = 0;
    while (!__atomic_load_n(&crowd->stop, __ATOMIC_ACQUIRE)) {
        rmon_state states[3] = {{0, 0}, {0, 0}, {0, 0}};
        uint64_t version = 0;
        int line;
        rmon_enter_scope(states, &version, types, 3);
        failed += rmon_fire_py_start(&states[0], crowd->code, 0) != RMON_OK;
        for (line = 1; line <= 10; line++)
            failed += rmon_fire_line(&states[1], crowd->code, line, line) != RMON_OK;
        failed += rmon_fire_py_return(&states[2], crowd->code, 12, NULL) != RMON_OK;
        rmon_exit_scope();
        fired += 12;
    }
    __atomic_add_fetch(&crowd->fired, fired, __ATOMIC_RELAXED);
    __atomic_add_fetch(&crowd->failed, failed, __ATOMIC_RELAXED);
    return NULL;
}

void *start_crowd(void *code, int count)
{
    struct crowd *crowd = calloc(1, sizeof *crowd);
    crowd->code = code;
    crowd->count = count;
    while (count-- > 0)
        pthread_create(&crowd->threads[count], NULL, run_crowd, crowd);
    return crowd;
}

/* Returns how many events were fired; the failed ones in *failed. */
long stop_crowd(void *data, long *failed)
{
    struct crowd *crowd = data;
    long fired;
    __atomic_store_n(&crowd->stop, 1, __ATOMIC_RELEASE);
    while (crowd->count-- > 0)
        pthread_join(crowd->threads[crowd->count], NULL);
    fired = crowd->fired;
    *failed = crowd->failed;
    free(crowd);
    return fired;
}
"""


class Emitters:
    """The functions above, called with the GIL released."""

    def __init__(self, path: Path) -> None:
        self.library = ctypes.CDLL(os.fspath(path))
        self.with_gil = ctypes.PyDLL(os.fspath(path))
        pointer, integer = ctypes.c_void_p, ctypes.c_int
        for library in (self.library, self.with_gil):
            library.fire.argtypes = [integer, pointer, integer, integer, pointer, pointer]
            library.fire_in_thread.argtypes = [integer, pointer, integer, integer, pointer, pointer, integer]
        self.library.make_code.restype = pointer
        self.library.make_code.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, integer]
        self.library.start_crowd.restype = pointer
        self.library.start_crowd.argtypes = [pointer, integer]
        self.library.stop_crowd.restype = ctypes.c_long
        self.library.stop_crowd.argtypes = [pointer, ctypes.POINTER(ctypes.c_long)]
        self.rmon = ctypes.CDLL(os.path.join(rmon.get_library_dir(), "librmon.so.0"))
        self.rmon.rmon_code_release.argtypes = [pointer]
        self.rmon.rmon_code_retain.argtypes = [pointer]

    def make_code(self, name: str = "native") -> int:
        made: int = self.library.make_code(name.encode(), f"module.{name}".encode(), b"native.c", 10)
        assert made
        return made

    def release(self, code: int) -> None:
        self.rmon.rmon_code_release(code)

    def fire(
        self, event: int, code: Any, offset: int = 0, number: int = 1, object: Any = None, arg0: Any = None
    ) -> int:
        status: int = self.library.fire(event, code, offset, number, object, arg0)
        return status

    def fire_in_thread(
        self,
        event: int,
        code: Any,
        offset: int = 0,
        number: int = 1,
        object: Any = None,
        arg0: Any = None,
        count: int = 1,
    ) -> int:
        status: int = self.library.fire_in_thread(event, code, offset, number, object, arg0, count)
        return status

    def start(self, code: Any, count: int) -> Any:
        return self.library.start_crowd(code, count)

    def stop(self, crowd: Any) -> tuple[int, int]:
        failed = ctypes.c_long()
        return self.library.stop_crowd(crowd, ctypes.byref(failed)), failed.value


@pytest.fixture(scope="session")
def emitters(build_c_extension: Callable[..., Any]) -> Emitters:
    return Emitters(build_c_extension(EMITTERS, "emitters_in_c", flags=["-pthread"], link=True, imported=False))


@pytest.fixture(autouse=True)
def watchdog(clean: None) -> Iterator[None]:
    faulthandler.dump_traceback_later(100, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What comes to sys.unraisablehook: the exceptions."""
    caught: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: caught.append((args.exc_value, args.object)))
    return caught


def listen(event: str, function: Any, tool: int = TOOL) -> None:
    """With global events; from 3.12 on the function is called for the test's own code too."""
    if M.get_tool(tool) is None:
        M.use_tool_id(tool, f"tool {tool}")
    M.register_callback(tool, getattr(E, event), function)
    M.set_events(tool, M.get_events(tool) | getattr(E, event))


def python_code(code: Any) -> bool:
    """Whether an event is one of Python code, which a global tool is told of, too."""
    return isinstance(code, types.CodeType)


WAYS = ["without the GIL", "another thread"]


def fire_by(emitters: Emitters, way: str) -> Callable[..., int]:
    return emitters.fire if way == WAYS[0] else emitters.fire_in_thread


# ---- Threads without the GIL, and codes of all kinds ----


@pytest.mark.parametrize("way", WAYS)
def test_a_code_of_librmons(emitters: Emitters, way: str) -> None:
    fire, seen, threads = fire_by(emitters, way), [], set()

    def callback(code: Any, line: int) -> None:
        if not python_code(code):
            seen.append((code, line))
            threads.add(threading.get_ident())

    native = emitters.make_code()
    listen("LINE", callback)
    assert fire(LINE, native, 4, 11) == 0
    M.set_events(TOOL, 0)
    ((code, line),) = seen
    assert line == 11
    assert (code.co_name, code.co_qualname, code.co_filename) == ("native", "module.native", "native.c")
    assert code.co_firstlineno == 10
    assert [(start, line) for start, _, line in code.co_lines()] == [(0, 10), (4, 11), (8, 12)]
    assert isinstance(code, rmon.CodeLike)
    hash(code)
    weakref.ref(code)
    assert (threading.get_ident() in threads) == (way == WAYS[0])
    emitters.release(native)


def test_a_code_is_the_same_object_while_somebody_holds_it(emitters: Emitters) -> None:
    seen: list[Any] = []
    other: list[Any] = []
    listen("LINE", lambda code, line: python_code(code) or seen.append(code))
    listen("JUMP", lambda code, *args: python_code(code) or other.append(code), OTHER)
    one, two = emitters.make_code("one"), emitters.make_code("two")
    for _ in range(3):
        for native in (one, two):
            emitters.fire_in_thread(LINE, native)
            emitters.fire(JUMP, native)
    M.set_events(TOOL, 0)
    M.set_events(OTHER, 0)
    assert [code.co_name for code in seen] == ["one", "two"] * 3
    assert seen[0] is seen[2] is seen[4] is other[0] is other[2]
    assert seen[1] is seen[3] is seen[5] is other[1]
    assert seen[0] is not seen[1]
    emitters.release(one)
    emitters.release(two)
    assert seen[0].co_name == "one", "what a tool holds stays alive"


def test_local_events_and_disables_of_a_code_of_librmons(emitters: Emitters) -> None:
    seen: list[Any] = []
    lines: list[int] = []

    def start(code: Any, offset: int) -> Any:
        if python_code(code):
            return M.DISABLE
        seen.append(code)
        M.set_local_events(TOOL, code, E.LINE)
        return M.DISABLE

    def line(code: Any, number: int) -> Any:
        assert code is seen[0]
        lines.append(number)
        return M.DISABLE if number == 1 else None

    native, other = emitters.make_code(), emitters.make_code()
    listen("PY_START", start)
    M.register_callback(TOOL, E.LINE, line)
    for _ in range(2):
        emitters.fire_in_thread(PY_START, native)
    M.set_events(TOOL, 0)
    assert len(seen) == 1
    assert M.get_local_events(TOOL, seen[0]) == E.LINE
    for number in (1, 2, 1, 2):
        emitters.fire_in_thread(LINE, native, 0, number)
        emitters.fire_in_thread(LINE, other, 0, number)
    assert lines == [1, 2, 2]
    emitters.release(native)
    emitters.release(other)


def test_local_events_outlive_a_tools_reference(emitters: Emitters) -> None:
    """They belong to the code, not to the object that stands for it."""
    lines: list[Any] = []
    native = emitters.make_code()

    def start(code: Any, offset: int) -> Any:
        if not python_code(code):
            M.set_local_events(TOOL, code, E.LINE)
        return M.DISABLE

    listen("PY_START", start)
    M.register_callback(TOOL, E.LINE, lambda code, line: lines.append((code.co_name, line)))
    emitters.fire_in_thread(PY_START, native)
    M.set_events(TOOL, 0)
    gc.collect()
    emitters.fire_in_thread(LINE, native, 0, 7)
    assert lines == [("native", 7)]
    emitters.release(native)


def test_a_code_dies_and_its_address_is_used_again(emitters: Emitters) -> None:
    seen: list[Any] = []
    listen("LINE", lambda code, line: python_code(code) or seen.append((code.co_name, line)))
    for number in range(300):
        native = emitters.make_code(f"code {number}")
        emitters.fire_in_thread(LINE, native, 0, number)
        emitters.release(native)
    M.set_events(TOOL, 0)
    assert seen == [(f"code {number}", number) for number in range(300)]


def test_objects_as_codes_and_values(emitters: Emitters) -> None:
    """An extension fires with Python objects, having released the GIL, say. They arrive as what they are."""
    code, value, seen = rmon.CodeLike("f", "f.py"), object(), []

    def callback(fired: Any, *args: Any) -> None:
        if not python_code(fired):
            seen.append((fired, *args))

    listen("PY_RETURN", callback)
    listen("CALL", callback)
    for fire in (emitters.fire, emitters.fire_in_thread):
        assert fire(PY_RETURN, id(code), 4, 0, id(value)) == 0
        assert fire(CALL, id(code), 6, 0, id(len), id(value)) == 0
        assert fire(CALL, id(code), 6, 0, id(len), None) == 0
    M.set_events(TOOL, 0)
    assert seen == [(code, 4, value), (code, 6, len, value), (code, 6, len, M.MISSING)] * 2
    assert all(entry[0] is code for entry in seen)


def test_local_events_of_a_code_of_librmons_die_with_it(emitters: Emitters) -> None:
    first: list[int] = []
    lines: list[str] = []

    def start(code: Any, offset: int) -> None:
        if not python_code(code):
            first.append(M.get_local_events(TOOL, code))
            M.set_local_events(TOOL, code, E.LINE)

    listen("PY_START", start)
    M.register_callback(TOOL, E.LINE, lambda code, line: (lines.append(code.co_name), M.DISABLE)[1])
    for number in range(200):
        native = emitters.make_code(f"code {number}")
        emitters.fire_in_thread(LINE, native)
        emitters.fire_in_thread(PY_START, native)
        emitters.fire_in_thread(LINE, native, 0, 1, count=1)
        emitters.fire_in_thread(LINE, native, 0, 1, count=1)
        emitters.release(native)
        if number % 50 == 0:
            gc.collect()
    M.set_events(TOOL, 0)
    assert first == [0] * 200
    assert lines == [f"code {number}" for number in range(200)]


class Meta(type):
    def __subclasses__(self) -> list[type]:
        return []

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    def __hash__(self) -> int:
        raise AssertionError("hashed")


class WithMeta(metaclass=Meta): ...


class Slotted:
    __slots__ = ("a",)


class Several(dict, WithMeta): ...  # type: ignore[type-arg]


def make_short_lived() -> Any:
    return Meta("ShortLived", (WithMeta,), {})()


@pytest.mark.parametrize(
    "make",
    [
        WithMeta,
        Slotted,
        Several,
        make_short_lived,
        lambda: WithMeta,
        lambda: Meta,
        ValueError,
        lambda: 10**30,
        lambda: None,
    ],
    ids=range(9),
)
def test_objects_of_all_types_arrive(emitters: Emitters, make: Callable[[], Any]) -> None:
    """Nobody vouches for these addresses, but they are objects."""
    seen: list[Any] = []

    def callback(fired: Any, *args: Any) -> None:
        if not python_code(fired):
            seen.append((fired, *args))

    listen("PY_RETURN", callback)
    for _ in range(3):
        thing = make()
        assert emitters.fire_in_thread(PY_RETURN, id(thing), 4, 0, id(thing)) == 0
        ((code, offset, value),) = seen
        assert code is thing and value is thing and offset == 4
        seen.clear()
        del thing, code, value
        gc.collect()
    M.set_events(TOOL, 0)


def test_local_events_of_an_object_fired_without_the_gil(emitters: Emitters) -> None:
    code, seen = rmon.CodeLike("f", "f.py"), []
    M.use_tool_id(TOOL, "tool")
    M.register_callback(TOOL, E.LINE, lambda fired, line: seen.append((fired, line)))
    M.set_local_events(TOOL, code, E.LINE)
    emitters.fire_in_thread(LINE, id(code), 0, 3)
    emitters.fire_in_thread(LINE, emitters.make_code(), 0, 4)
    assert seen == [(code, 3)]


def test_null(emitters: Emitters) -> None:
    seen: list[Any] = []

    def callback(code: Any, *args: Any) -> None:
        if not python_code(code):
            seen.append((code, *args))

    for event in ("LINE", "PY_RETURN", "CALL", "RAISE"):
        listen(event, callback)
    for event in (LINE, PY_RETURN, CALL):
        assert emitters.fire_in_thread(event, None) == 0
    assert emitters.fire_in_thread(STOP_ITERATION, None) == 0
    emitters.fire_in_thread(RAISE, None)
    M.set_events(TOOL, 0)
    assert seen[:3] == [(None, 1), (None, 0, None), (None, 0, seen[2][2], M.MISSING)]
    assert seen[2][2] in (None, M.MISSING)
    assert [entry[:2] for entry in seen[3:]] == [(None, 0)]


HOSTILE = """
    import ctypes, mmap, os, struct, sys
    import faulthandler; faulthandler.enable()
    sys.path.insert(0, {tests!r})
    import rmon
    from test_threads import Emitters, LINE, PY_RETURN, CALL, JUMP, RAISE, STOP_ITERATION, python_code
    M, E = rmon.monitoring, rmon.monitoring.events
    emitters = Emitters({library!r})

    def mapped(words):
        "Memory full of these words, as the address; it stays."
        memory = mmap.mmap(-1, 1 << 16)
        kept.append(memory)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        memory[:] = (struct.pack("=%dQ" % len(words(address)), *words(address)) * (1 << 16))[: 1 << 16]
        return address
    kept = []
    end = mapped(lambda address: [0])
    addresses = [
        1, 2, 3, 8, 16, 4096, 0x1234, 0xdeadbeef, 2**47 - 8, 2**47, 2**63 - 1, 2**63, 2**64 - 1, 2**64 - 8,
        id(Emitters) + 1, id(Emitters) + 8, id(Emitters) + 16,
        end, end + (1 << 16) - 8, end + (1 << 16) - 16,
        mapped(lambda address: [0x4141414141414141]),
        mapped(lambda address: [2**64 - 1]),
        mapped(lambda address: [1]),
        mapped(lambda address: [1, address]),  # an empty circular list is a pointer to itself
        mapped(lambda address: [address, address]),
        mapped(lambda address: [1, id(object())]),  # its type is no type
        mapped(lambda address: [1, id(len)]),
        mapped(lambda address: [0, id(int)]),  # nobody has a reference to it
    ]
    # structs whose pointers all lead to a struct of the same kind, and whose addresses have all bits that matter
    libc = ctypes.CDLL(None)
    libc.mmap.restype, libc.mmap.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 4
    hint = 0x3fff_ffff_0000
    address = libc.mmap(hint, 1 << 16, 3, 0x22, -1, 0)
    if address == hint and {looks_like_one}:
        addresses.clear()
        struct_at = address + 0xf000
        for place in range(address, address + (1 << 16), 8):
            ctypes.c_void_p.from_address(place).value = struct_at
        addresses.append(struct_at)
    seen = []
    def callback(code, *args):
        if python_code(code):
            return
        seen.append(code)
        for value in (code, *args):
            repr(value), hash(value), type(value), value == 5, getattr(value, "co_name", None)
        return M.DISABLE if len(seen) % 7 == 0 and {disabling} else None
    M.use_tool_id(3, "tool")
    for event in (E.LINE, E.PY_RETURN, E.CALL, E.JUMP, E.RAISE, E.STOP_ITERATION):
        M.register_callback(3, event, callback)
        M.set_events(3, M.get_events(3) | event)
    fired = 0
    for address in addresses:
        for fire in (emitters.fire, emitters.fire_in_thread):
            for event in (LINE, JUMP) if {disabling} else (LINE, PY_RETURN, CALL, STOP_ITERATION, RAISE):
                status = fire(event, address, 0, 1, address, address)
                assert status == 0, (hex(address), event, status)
                fired += 1
    M.set_events(3, 0)
    assert {disabling} or len(seen) == fired, (len(seen), fired)
    seen.clear()
    print("fine")
"""


@pytest.mark.parametrize("looks_like_one", [False, True])
@pytest.mark.parametrize("disabling", [False, True])
def test_addresses_of_no_object(
    emitters: Emitters, run_python: Callable[..., Any], disabling: bool, looks_like_one: bool
) -> None:
    """An emitter without Python has codes and values of its own. A tool in Python is told of them without a crash."""
    values = {"disabling": disabling, "looks_like_one": looks_like_one}
    script = HOSTILE.format(tests=os.path.dirname(__file__), library=emitters.library._name, **values)
    assert run_python("-c", textwrap.dedent(script)).stdout == "fine\n"


def test_a_tool_may_set_local_events_on_whatever_it_gets(emitters: Emitters) -> None:
    """It need not do anything for a code that is no object, but it must not fail."""

    def callback(code: Any, *args: Any) -> None:
        if not python_code(code):
            M.set_local_events(TOOL, code, E.LINE)
            assert M.get_local_events(TOOL, code) == E.LINE
            seen.append(code)

    seen: list[Any] = []
    listen("PY_START", callback)
    for address in (None, 0x1000, id(seen), emitters.make_code()):
        assert emitters.fire_in_thread(PY_START, address) == 0
    M.set_events(TOOL, 0)
    assert len(seen) == 4
    rmon.forget(None)


# ---- Errors ----


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", [OSError("mine"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_errors_go_to_the_unraisable_hook(
    emitters: Emitters, unraisable: list[Any], way: str, error: BaseException
) -> None:
    native = emitters.make_code()
    fire = fire_by(emitters, way)
    calls: list[str] = []

    def callback(code: Any, line: int) -> None:
        if not python_code(code):
            calls.append("higher")
            raise error

    def lower(code: Any, line: int) -> None:
        if not python_code(code):
            calls.append("lower")

    listen("LINE", callback)
    listen("LINE", lower, OTHER)
    statuses = [fire(LINE, native) for _ in range(2)]
    M.set_events(TOOL, 0)
    M.set_events(OTHER, 0)
    assert [exception for exception, _ in unraisable] == [error, error]
    assert all(caused_by is callback for _, caused_by in unraisable)
    assert all(status < 0 for status in statuses), "the emitter is told"
    assert calls == ["higher", "higher"], "an error stops the fire"
    assert sys.exc_info() == (None, None, None)
    emitters.release(native)


def test_an_illegal_disable_without_the_gil(emitters: Emitters, unraisable: list[Any]) -> None:
    def callback(code: Any, *args: Any) -> Any:
        return None if python_code(code) else M.DISABLE

    listen("RAISE", callback)
    assert emitters.fire_in_thread(RAISE, 0x1000, 0, 0, id(ValueError())) < 0
    M.set_events(TOOL, 0)
    assert [str(error) for error, _ in unraisable] == ["Cannot disable RAISE events. Callback removed."]
    assert M.register_callback(TOOL, E.RAISE, None) is None


def test_a_hook_that_fails(emitters: Emitters, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    def hook(args: Any) -> None:
        raise LookupError

    def callback(code: Any, line: int) -> None:
        if not python_code(code):
            raise OSError

    monkeypatch.setattr(sys, "unraisablehook", hook)
    listen("LINE", callback)
    assert emitters.fire_in_thread(LINE, 0x1000) < 0
    M.set_events(TOOL, 0)


def test_errors_with_the_gil_are_raised(emitters: Emitters, unraisable: list[Any]) -> None:
    """A thread that is attached has somebody to raise it for."""
    error = OSError("mine")

    def callback(code: Any, line: int) -> None:
        if not python_code(code):
            raise error

    listen("LINE", callback)
    with pytest.raises(OSError) as raised:
        emitters.with_gil.fire(LINE, 0x1000, 0, 1, None, None)
    M.set_events(TOOL, 0)
    assert raised.value is error
    assert unraisable == []


# ---- What is inside a callback is inside on its thread only ----


def test_a_fire_without_the_gil_from_inside_is_suppressed(emitters: Emitters) -> None:
    seen: list[int] = []

    def callback(code: Any, line: int) -> None:
        if not python_code(code):
            seen.append(line)
            if line == 1:
                assert emitters.fire(LINE, 0x1000, 0, 2) == 0  # this thread
                assert emitters.with_gil.fire(LINE, 0x1000, 0, 3, None, None) == 0
                assert emitters.fire_in_thread(LINE, 0x1000, 0, 4) == 0  # another one

    listen("LINE", callback)
    emitters.fire_in_thread(LINE, 0x1000, 0, 1)
    M.set_events(TOOL, 0)
    assert seen == [1, 4]


def test_thread_local_data_of_foreign_threads(emitters: Emitters) -> None:
    """Python's own data of such a thread live as long as a callback at least."""
    local, seen = threading.local(), []

    def callback(code: Any, line: int) -> None:
        if not python_code(code):
            local.value = line
            seen.append(local.value)

    listen("LINE", callback)
    emitters.fire_in_thread(LINE, 0x1000, 0, 1, count=100)
    M.set_events(TOOL, 0)
    assert seen == list(range(1, 101))


# ---- Many threads ----


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "nothing happens"
        time.sleep(0.001)


def test_many_threads_fire_while_tools_come_and_go(emitters: Emitters, unraisable: list[Any]) -> None:
    native = emitters.make_code()
    crowd = emitters.start(native, 6)
    count, bad = [0], []
    until = time.monotonic() + 4
    rounds = 0

    def callback(code: Any, *args: Any) -> Any:
        if not python_code(code):
            count[0] += 1
            if code.co_name != "native":
                bad.append(code)
            return M.DISABLE if count[0] % 97 == 0 else None
        return None

    while time.monotonic() < until:
        rounds += 1
        for tool in (0, 2, 5):
            M.use_tool_id(tool, "come and gone")
            for event in (E.LINE, E.PY_START, E.PY_RETURN):
                M.register_callback(tool, event, lambda *args: callback(*args))
            M.set_events(tool, E.PY_START | E.LINE)
        time.sleep(0.002)
        M.restart_events()
        M.register_callback(2, E.LINE, None)
        M.clear_tool_id(5)
        for tool in (0, 2, 5):
            M.free_tool_id(tool)
    fired, failed = emitters.stop(crowd)
    assert bad == [] and unraisable == []
    assert failed == 0
    # Without a GIL they all run at once, and who changes things waits for a processor.
    enough = 20 if getattr(sys, "_is_gil_enabled", lambda: True)() else 1
    assert count[0] > 100 and fired > 10_000 and rounds > enough, (count, fired, rounds)
    emitters.release(native)


def test_many_python_threads_share_a_scope() -> None:
    code, per_thread, threads = rmon.CodeLike("f", "f.py"), 2000, 8
    seen: list[int] = []
    M.use_tool_id(TOOL, "tool")
    M.register_callback(TOOL, E.LINE, lambda fired, line: seen.append(line))
    M.set_local_events(TOOL, code, E.LINE)
    scope = rmon.Scope(code, E.LINE)

    def work(number: int) -> None:
        with scope:
            for _ in range(per_thread):
                scope.line(number)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(set(seen)) == list(range(threads))
    assert len(seen) == per_thread * threads


def test_python_threads_with_everything_at_once(emitters: Emitters, unraisable: list[Any]) -> None:
    """Registering, clearing, setting and firing in many threads, each with a tool of its own."""
    codes = [rmon.CodeLike(f"f{number}", "f.py") for number in range(4)]
    errors: list[BaseException] = []
    stop = threading.Event()

    def work(tool: int) -> None:
        try:
            while not stop.is_set():
                M.use_tool_id(tool, "worker")
                M.register_callback(tool, E.LINE, lambda code, line: M.DISABLE if line % 3 == 0 else None)
                for code in codes:
                    M.set_local_events(tool, code, E.LINE)
                for code in codes:
                    with rmon.Scope(code, E.LINE) as scope:
                        for line in range(20):
                            scope.line(line)
                short = rmon.CodeLike("short", "f.py")
                M.set_local_events(tool, short, E.LINE)
                del short
                M.restart_events()
                M.clear_tool_id(tool)
                M.free_tool_id(tool)
        except BaseException as error:
            errors.append(error)
            raise

    workers = [threading.Thread(target=work, args=(tool,)) for tool in range(6)]
    for worker in workers:
        worker.start()
    time.sleep(3)
    stop.set()
    for worker in workers:
        worker.join(30)
        assert not worker.is_alive()
    assert errors == [] and unraisable == []


def test_the_last_reference_goes_in_another_thread(emitters: Emitters, unraisable: list[Any]) -> None:
    """Callbacks are replaced while threads without the GIL are about to call them."""
    native = emitters.make_code()
    crowd = emitters.start(native, 4)
    alive = []

    class Callback:
        def __call__(self, code: Any, line: int) -> None:
            assert self.value == 5

        def __init__(self) -> None:
            self.value = 5
            self.cycle = self

    M.use_tool_id(TOOL, "tool")
    for number in range(500):
        callback = Callback()
        alive.append(weakref.ref(callback))
        M.register_callback(TOOL, E.LINE, callback)
        del callback
        if number == 0:
            M.set_events(TOOL, E.LINE)
        if number % 100 == 0:
            gc.collect()
            time.sleep(0.01)
    M.register_callback(TOOL, E.LINE, None)
    _, failed = emitters.stop(crowd)
    M.free_tool_id(TOOL)
    gc.collect()
    assert failed == 0 and unraisable == []
    assert not any(reference() for reference in alive)
    emitters.release(native)


# ---- Control functions of many threads ----


def test_control_functions_are_whole() -> None:
    """What sys.monitoring, librmon and rmon know of a tool does not come apart when threads use it at the same time."""
    codes = [rmon.CodeLike(f"f{number}", "f.py") for number in range(3)]
    alive: list[Any] = []
    errors: list[BaseException] = []
    barrier = threading.Barrier(8, timeout=60)

    class Callback:
        def __call__(self, *args: Any) -> None: ...

    def register(event: int) -> None:
        callback = Callback()
        alive.append(weakref.ref(callback))
        M.register_callback(TOOL, event, callback)

    actions: list[Callable[[random.Random], Any]] = [
        lambda rng: M.use_tool_id(TOOL, "tool"),
        lambda rng: M.free_tool_id(TOOL),
        lambda rng: M.clear_tool_id(TOOL),
        lambda rng: register(rng.choice((E.LINE, E.STOP_ITERATION))),
        lambda rng: M.register_callback(TOOL, E.LINE, None),
        lambda rng: M.set_events(TOOL, rng.choice((0, E.STOP_ITERATION))),
        lambda rng: M.set_local_events(TOOL, rng.choice(codes), rng.choice((0, E.LINE, E.JUMP))),
    ]

    def work(number: int) -> None:
        rng = random.Random(number)
        try:
            barrier.wait()
            for _ in range(400):
                try:
                    rng.choice(actions)(rng)
                except ValueError as error:
                    assert "in use" in str(error)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if M.get_tool(TOOL) is None:  # what is registered for an id that is not in use stays
        M.use_tool_id(TOOL, "end")
    M.free_tool_id(TOOL)
    gc.collect()
    assert errors == []
    assert len(alive) > 100 and not any(reference() for reference in alive)


# ---- No deadlock ----


def test_a_callback_waits_for_a_thread_that_uses_the_tools(emitters: Emitters) -> None:
    done: list[str] = []

    def other() -> None:
        M.use_tool_id(OTHER, "made meanwhile")
        M.register_callback(OTHER, E.LINE, print)
        M.set_events(OTHER, E.JUMP)
        M.register_callback(TOOL, E.LINE, None)
        M.set_events(TOOL, 0)
        M.free_tool_id(OTHER)
        M.clear_tool_id(TOOL)
        with rmon.install():
            pass
        gc.collect()
        done.append("other")

    def callback(code: Any, line: int) -> None:
        if not python_code(code) and not done:
            thread = threading.Thread(target=other)
            thread.start()
            thread.join(30)
            assert not thread.is_alive(), "they wait for each other"
            done.append("callback")

    for fire in (emitters.fire, emitters.fire_in_thread):
        done.clear()
        listen("LINE", callback)
        fire(LINE, 0x1000)
        assert done == ["other", "callback"]


def test_a_callback_waits_for_a_foreign_thread_that_fires(emitters: Emitters) -> None:
    seen: list[int] = []

    def callback(code: Any, line: int) -> None:
        if not python_code(code):
            seen.append(line)
            if line == 1:
                assert emitters.fire_in_thread(LINE, 0x1000, 0, 2) == 0

    listen("LINE", callback)
    emitters.fire(LINE, 0x1000, 0, 1)
    emitters.fire_in_thread(LINE, 0x1000, 0, 1)
    M.set_events(TOOL, 0)
    assert seen == [1, 2, 1, 2]


def test_a_callback_that_gives_the_gil_away(emitters: Emitters) -> None:
    """Two threads are inside callbacks at the same time, and each waits for the other."""
    barrier = threading.Barrier(2, timeout=30)
    seen: list[int] = []

    def callback(code: Any, line: int) -> None:
        if not python_code(code):
            barrier.wait()
            seen.append(line)

    native = emitters.make_code()
    listen("LINE", callback)
    threads = [threading.Thread(target=emitters.fire, args=(LINE, native, 0, line)) for line in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    M.set_events(TOOL, 0)
    assert sorted(seen) == [1, 2]
    emitters.release(native)


def test_synchronize_waits_for_callbacks(emitters: Emitters) -> None:
    """rmon_synchronize, called without the GIL, returns when the callback in flight is over."""
    inside, over = threading.Event(), []

    def callback(code: Any, line: int) -> None:
        if not python_code(code):
            inside.set()
            time.sleep(0.2)
            over.append(line)

    listen("LINE", callback)
    thread = threading.Thread(target=emitters.fire, args=(LINE, 0x1000))
    thread.start()
    assert inside.wait(30)
    M.register_callback(TOOL, E.LINE, None)
    assert emitters.rmon.rmon_synchronize() == 0
    assert over == [1]
    thread.join()
    M.set_events(TOOL, 0)


def test_a_native_tool_beside_python_ones(emitters: Emitters) -> None:
    """A tool id that C code has taken in librmon is in use for Python, too."""
    seen: list[int] = []
    lib = emitters.rmon
    assert lib.rmon_use_tool_id(4, b"native") == 0
    try:
        with pytest.raises(ValueError, match="^tool 4 is already in use$"):
            M.use_tool_id(4, "python")
        M.use_tool_id(TOOL, "python")
        M.register_callback(TOOL, E.LINE, lambda code, line: python_code(code) or seen.append(line))
        M.set_events(TOOL, E.LINE)
        emitters.fire_in_thread(LINE, 0x1000, 0, 5)
        M.free_tool_id(TOOL)
    finally:
        assert lib.rmon_free_tool_id(4) == 0
    assert seen == [5]
    M.use_tool_id(4, "python")
    M.free_tool_id(4)
