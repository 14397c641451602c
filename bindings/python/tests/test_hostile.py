"""Hostile arguments to everything that rmon exports, in random lists of calls: clean exceptions, no crash, no leak.

Arguments are of wrong types, out of range, or objects whose special methods raise or call rmon themselves; callbacks
return anything, raise, replace, remove and free themselves, and fire; codes and scopes die in the middle. An exception
is well, a SystemError is not: it says that a C function broke the interpreter's rules. After each list rmon must work,
and nothing that it was given may be alive.

A list runs in a process of its own. Its seed is in the message of a failure, with the last calls:
python test_hostile.py SEED CALLS repeats it. RMON_TEST_SEED has the tests begin elsewhere, RMON_TEST_HOSTILE is the
number of lists.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import random
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import rmon
from rmon import monitoring, testing

SEED = int(os.environ.get("RMON_TEST_SEED", "20261128"))
LISTS = int(os.environ.get("RMON_TEST_HOSTILE", "4"))
CALLS = 2000
DEEP = 3  # calls inside calls

EVENTS = {name: number for name in dir(monitoring.events) if name.isupper() and (number := getattr(monitoring.events, name))}
EXCEPTIONS = ("RAISE", "EXCEPTION_HANDLED", "PY_UNWIND", "PY_THROW", "RERAISE")
LOCAL = [name for name in EVENTS if name not in (*EXCEPTIONS, "C_RETURN", "C_RAISE")]
ALL_EVENTS = sum(EVENTS.values())

SCOPE_METHODS = [name for name in dir(rmon.Scope) if not name.startswith("_") and name not in ("code", "events")]
FIRES = [name for name in dir(testing) if name.startswith("fire_event_")]
SPECIAL = (
    *("__index__", "__int__", "__hash__", "__eq__", "__bool__", "__len__", "__iter__", "__next__", "__call__"),
    *("__str__", "__repr__", "__float__", "__fspath__", "__getattr__", "__enter__", "__lt__", "__or__"),
)


class Raised(Exception):
    """What special methods and callbacks of ours raise."""


class World:
    """A random list of calls, and what it has made so far."""

    def __init__(self, seed: int, say: Callable[[str], object]) -> None:
        self.random = random.Random(seed)
        self.say = say
        self.depth = 0
        self.objects: list[Any] = []  # all that calls are made with
        self.known: list[weakref.ref[Any]] = []
        self.system_errors: list[str] = []
        self.counts = {"calls": 0, "exceptions": 0, "callbacks": 0}

    # ---- Objects ----

    def keep(self, made: Any) -> Any:
        """Remembers an object, to be met again, and to be gone in the end."""
        if len(self.objects) > 60:
            self.objects.pop(self.random.randrange(len(self.objects)))
        self.objects.append(made)
        if not isinstance(made, (type, types.CodeType)):
            try:
                self.known.append(weakref.ref(made))
            except TypeError:
                pass
        return made

    def hostile_object(self) -> Any:
        """An object of a class of its own, whose special methods raise, call rmon, or answer nonsense."""
        world = self

        def method(name: str) -> Callable[..., Any]:
            does = self.random.randrange(5)
            answer = self.random.choice([0, 1, 3, -1, 2**70, "text", None, 2.5, (), True])

            def special(*args: Any) -> Any:
                if name == "__getattr__" and args[-1:] and str(args[-1]).startswith("__"):
                    raise AttributeError(args[-1])
                if does == 0:
                    raise Raised(name)
                if does == 1:
                    world.call_inside()
                if does == 2:
                    gc.collect()
                return args[0] if name == "__iter__" else answer

            return special

        names = self.random.sample(SPECIAL, self.random.randrange(1, 6))
        base = self.random.choice([object, object, int, str, list, dict, tuple, BaseException, rmon.CodeLike])
        members: dict[str, Any] = {name: method(name) for name in names if name not in ("__str__", "__repr__")}
        if "__eq__" in members and "__hash__" not in members:
            members["__hash__"] = base.__hash__ if self.random.random() < 0.5 else None
        if self.random.random() < 0.3:
            members["__del__"] = lambda self: world.call_inside()
        made = type("Hostile", (base,), members)
        return made("name", "file") if base is rmon.CodeLike else made()

    def rows(self) -> Iterator[Any]:
        """A table of lines for CodeLike that may do anything on the way."""
        for _ in range(self.random.randrange(6)):
            kind = self.random.randrange(8)
            if kind == 0:
                raise Raised("rows")
            if kind == 1:
                self.call_inside()
            yield self.random.choice(
                [(0, 1), (1, 2), (4, 9), (8, None), (-1, 1), (2**31, 1), (0, 2**40), (1, 2, 3), (1,), (), 7, None, "ab"]
            )

    def number(self) -> Any:
        return self.random.choice(
            [
                *(0, 1, 2, 3, 4, 5, 6, 7, 19, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64, 10**30),
                *(-1, -2, -(2**31), -(2**31) - 1, -(2**63), -(10**30), True, 1.0, float("nan"), float("inf"), 1j),
            ]
        )

    def text(self) -> Any:
        return self.random.choice(
            ["name", "", "n\0ul", "\ud800", "\U0001f527", "x" * 5000, b"bytes", bytearray(b"b"), Path("file"), None, 7]
        )

    def anything(self) -> Any:
        kind = self.random.randrange(10)
        if kind < 2:
            return self.number()
        if kind == 2:
            return self.text()
        if kind < 6 and self.objects:
            return self.random.choice(self.objects)
        if kind == 6:
            return self.random.choice(
                [None, ..., NotImplemented, monitoring.DISABLE, monitoring.MISSING, int, type, rmon, len, [], {}]
            )
        if kind == 7:
            return self.random.choice([ValueError("v"), ValueError, StopIteration(3), KeyboardInterrupt()])
        return self.keep(self.hostile_object())

    # ---- Sensible arguments ----

    def tool(self) -> Any:
        return self.random.randrange(6)

    def event(self) -> Any:
        return self.random.choice(list(EVENTS.values()))

    def event_set(self) -> Any:
        if self.random.random() < 0.3:
            return ALL_EVENTS
        names = self.random.sample(LOCAL, self.random.randrange(4))
        return sum(EVENTS[name] for name in names)

    def code(self) -> Any:
        kind = self.random.randrange(6)
        codes = [made for made in self.objects if isinstance(made, (rmon.CodeLike, testing.CodeLike))]
        if kind < 4 and codes:
            return self.random.choice(codes)
        if kind == 4:
            return self.random.choice([victim.__code__, object(), "any object", testing.CodeLike(3)])
        return self.keep(rmon.CodeLike("name", "file", lines=[(0, 1), (4, 2)]))

    def test_code(self) -> Any:
        codes = [made for made in self.objects if isinstance(made, testing.CodeLike)]
        return self.random.choice(codes) if codes else self.keep(testing.CodeLike(5))

    def scope(self) -> Any:
        scopes = [made for made in self.objects if isinstance(made, rmon.Scope)]
        if scopes and self.random.random() < 0.8:
            return self.random.choice(scopes)
        count = self.random.randrange(1, len(EVENTS) + 1)
        events = self.random.sample(list(EVENTS.values()), count)
        return self.keep(rmon.Scope(self.code(), *events))

    def callback(self) -> Callable[..., Any]:
        """A function for events of look-alikes. It leaves alone the events of the code that runs this."""
        world = self
        does = self.random.randrange(10)
        tool, event = self.tool(), self.event()
        answer = self.random.choice([None, None, monitoring.DISABLE, monitoring.DISABLE, 1, "text", self.anything()])

        def function(code: Any, *args: Any) -> Any:
            if isinstance(code, types.CodeType) and code is not victim.__code__:
                return None
            world.counts["callbacks"] += 1
            if does == 0:
                raise Raised("callback")
            if does == 1:
                raise world.random.choice([KeyboardInterrupt, SystemExit, StopIteration, MemoryError, GeneratorExit])
            if does == 2:
                monitoring.register_callback(tool, event, None)
            if does == 3:
                monitoring.register_callback(tool, event, world.callback())
            if does == 4:
                world.random.choice([monitoring.free_tool_id, monitoring.clear_tool_id])(tool)
            if does == 5:
                world.objects.clear()
                gc.collect()
            if does == 6:
                world.call_inside()
            return answer

        if self.random.random() < 0.3:
            return self.keep(type("Callable", (), {"__call__": lambda self, *args: function(*args)})())
        return self.keep(function)

    # ---- Calls ----

    def arguments(self, *sensible: Callable[[], Any]) -> list[Any]:
        """Sensible arguments, of which some are replaced, left out or doubled."""
        made = [one() for one in sensible]
        for place in range(len(made)):
            if self.random.random() < 0.1:
                made[place] = self.anything()
        if self.random.random() < 0.04:
            made.append(self.anything())
        if made and self.random.random() < 0.04:
            made.pop()
        return made

    def chosen(self) -> tuple[Callable[..., Any], list[Any], dict[str, Any]]:
        """A function and what it is called with."""
        a, r = self.arguments, self.random
        kind = r.randrange(48)
        keywords: dict[str, Any] = {}
        if kind < 3:
            return monitoring.use_tool_id, a(self.tool, lambda: "tool"), keywords
        if kind == 3:
            return r.choice([monitoring.free_tool_id, monitoring.clear_tool_id]), a(self.tool), keywords
        if kind == 4:
            return r.choice([monitoring.get_tool, monitoring.get_events]), a(self.tool), keywords
        if kind < 8:
            # What is no function of ours raises, so that it may not hear of the code that runs this.
            return monitoring.register_callback, [*a(self.tool, self.event)[:2], self.callback()], keywords
        if kind == 8:
            return monitoring.register_callback, [6, self.event(), self.anything()], keywords
        if kind < 11:
            return monitoring.set_events, a(self.tool, self.event_set), keywords
        if kind < 14:
            return monitoring.set_local_events, a(self.tool, self.code, self.event_set), keywords
        if kind == 14:
            return monitoring.get_local_events, a(self.tool, self.code), keywords
        if kind == 15:
            return r.choice([monitoring.restart_events, rmon.attach, rmon.detach, rmon.attach]), a(), keywords
        if kind == 16:
            return rmon.forget, a(self.code), keywords
        if kind < 19:
            if r.random() < 0.5:
                keywords["lines"] = r.choice([self.rows(), list(range(5)), self.anything()])
            if r.random() < 0.3:
                keywords["qualname"] = self.text()
            if r.random() < 0.05:
                keywords["nonsense"] = 1
            return self.made(rmon.CodeLike), a(self.text, self.text, self.number), keywords
        if kind == 19:
            return self.made(rmon.Scope), a(self.code, *[self.event] * r.randrange(12)), keywords
        if kind < 25:
            scope = self.scope()
            method = getattr(scope, r.choice(SCOPE_METHODS))
            last = r.choice([self.anything, self.number, lambda: ValueError("v")])
            return method, a(*[lambda: r.randrange(9), last, self.anything][: r.randrange(1, 4)]), keywords
        if kind == 25:
            scope = self.scope()
            return r.choice([scope.__enter__, scope.__enter__, lambda *args: scope.__exit__(*args)]), a(), keywords
        if kind == 26:
            return self.made(testing.CodeLike), a(lambda: r.randrange(6)), keywords
        if kind == 27:
            return testing.monitoring_enter_scope, a(self.test_code, *[lambda: r.randrange(19)] * r.randrange(6)), keywords
        if kind < 31:
            fire, last = getattr(testing, r.choice(FIRES)), r.choice([self.anything, lambda: ValueError("v")])
            return fire, a(self.test_code, lambda: r.randrange(4), *[last] * r.randrange(3)), keywords
        if kind == 31:
            keywords = {} if r.random() < 0.7 else {"debugger": self.anything()}
            return r.choice([rmon.install, rmon.uninstall]), [], keywords
        if kind == 32:
            return self.attributes, a(self.code), keywords
        if kind < 38:
            return self.listen, [], keywords
        if kind < 47:
            return self.emit, [], keywords
        return r.choice([gc.collect, self.objects.clear, victim, testing.monitoring_exit_scope]), [], keywords

    def listen(self) -> None:
        """A tool comes and listens, so that there is somebody."""
        tool = self.tool()
        if monitoring.get_tool(tool) is None:
            monitoring.use_tool_id(tool, "tool")
        for _ in range(4):
            monitoring.register_callback(tool, self.event(), self.callback())
        monitoring.set_local_events(tool, self.code(), sum(EVENTS[name] for name in LOCAL))
        if self.random.random() < 0.2:
            monitoring.set_events(tool, ALL_EVENTS)

    def emit(self) -> None:
        """A scope is entered and fires, with good arguments but for the objects."""
        scope = self.scope()
        scope.__enter__()
        for _ in range(8):
            name = self.random.choice(SCOPE_METHODS)
            exception = name in ("py_throw", "raise_", "reraise", "exception_handled", "py_unwind")
            last = ValueError("v") if exception else self.anything()
            method = getattr(scope, name)
            for args in ((self.random.randrange(3), last), (self.random.randrange(3),)):
                try:
                    method(*args)
                    break
                except (TypeError, ValueError, OverflowError):
                    pass

    def made(self, kind: Callable[..., Any]) -> Callable[..., Any]:
        def make(*args: Any, **keywords: Any) -> None:
            self.keep(kind(*args, **keywords))

        make.__name__ = getattr(kind, "__name__", "make")
        return make

    def attributes(self, made: Any) -> None:
        """Everything that can be done to a look-alike or a scope without a call of ours."""
        if isinstance(made, types.ModuleType):
            return  # rmon itself is still needed
        name = self.random.choice([name for name in dir(made) if not name.startswith("__")] or ["co_name"])
        kind = self.random.randrange(6)
        if kind == 0:
            setattr(made, name, self.anything())
        elif kind == 1:
            delattr(made, name)
        elif kind == 2:
            self.keep(iter(getattr(made, name)()))
        elif kind == 3:
            hash(made), repr(made), made == self.anything(), bool(made)
        elif kind == 4:
            made.__init__(self.anything())
        else:
            getattr(made, name)

    def call(self) -> None:
        """One call. Whatever it raises is well, but for a SystemError."""
        self.counts["calls"] += 1
        name = "?"
        try:
            function, args, keywords = self.chosen()
            name = getattr(function, "__name__", "?")
            shown = [type(arg).__name__ if not isinstance(arg, (int, float)) else repr(arg) for arg in args]
            self.say(f"{'  ' * self.depth}{name}({', '.join(shown)}{', ...' if keywords else ''})")
            function(*args, **keywords)
        except SystemError as error:
            self.system_errors.append(f"{name}: {error}")
        except BaseException:
            self.counts["exceptions"] += 1

    def call_inside(self) -> None:
        """A call from inside another, not too deep."""
        if self.depth < DEEP:
            self.depth += 1
            try:
                self.call()
            finally:
                self.depth -= 1


def victim() -> int:
    """Python code that tools may hear of."""
    return sum(range(3))


def rmon_works() -> None:
    """A whole tool and a whole emitter, as if nothing had happened."""
    for _ in range(100):
        rmon.uninstall()
    rmon.attach()
    for tool in range(6):
        monitoring.clear_tool_id(tool)
        monitoring.free_tool_id(tool)
        for event in EVENTS.values():
            monitoring.register_callback(tool, event, None)
    monitoring.restart_events()
    seen: list[Any] = []
    code = rmon.CodeLike("name", "file")
    monitoring.use_tool_id(1, "tool")
    monitoring.register_callback(1, EVENTS["LINE"], lambda code, line: seen.append((code.co_name, line)))
    monitoring.set_local_events(1, code, EVENTS["LINE"])
    with rmon.Scope(code, EVENTS["LINE"]) as scope:
        scope.line(3)
        scope.line(4)
    monitoring.free_tool_id(1)
    assert seen == [("name", 3), ("name", 4)], seen


def main(seed: int, calls: int, log: str | None = None, planted: str = "") -> None:
    faulthandler.enable()
    sys.unraisablehook = lambda raised: None  # __del__ and foreign threads: said to nobody
    with open(log or os.devnull, "w", encoding="utf-8", buffering=1) as file:
        world = World(seed, file.write if log is None else lambda text: file.write(text + "\n"))
        for _ in range(calls):
            world.call()
        world.depth = DEEP  # what dies now calls nobody
        if planted == "crash":
            os.abort()
        if planted == "leak":
            gc.leaked = world.keep(rmon.CodeLike("name", "file"))  # type: ignore[attr-defined]
        if planted == "system error":
            world.system_errors.append("planted")
        rmon_works()
    assert not world.system_errors, world.system_errors
    known = world.known
    counts = world.counts
    world.objects.clear()
    world.__dict__.clear()
    for _ in range(3):
        gc.collect()
    alive = [type(made).__name__ for made in (reference() for reference in known) if made is not None]
    assert not alive, f"{len(alive)} of {len(known)} objects are alive: {alive[:10]}"
    assert calls < 1000 or counts["callbacks"] > calls // 20, f"hardly anybody was called: {counts}"
    print(f"seed {seed}: {counts}, {len(known)} objects gone")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
    sys.exit()

import pytest  # noqa: E402

pytestmark = pytest.mark.thorough


def run(run_python: Callable[..., Any], tmp_path: Path, seed: int, calls: int = CALLS, planted: str = "") -> str:
    """Runs a list; what went wrong, if something did."""
    log = tmp_path / "calls"
    done = run_python("-Wignore", __file__, str(seed), str(calls), str(log), planted, check=False)
    if done.returncode == 0:
        print(done.stdout)
        return ""
    last = log.read_text(encoding="utf-8").splitlines()[-12:]
    return "\n".join([f"seed {seed} ended with {done.returncode}", done.stderr[-3000:], "the last calls:", *last])


def test_hostile_arguments_raise_and_do_no_more(run_python: Callable[..., Any], tmp_path: Path) -> None:
    wrong = run(run_python, tmp_path, SEED)
    assert not wrong, wrong


@pytest.mark.parametrize("seed", range(SEED + 1, SEED + LISTS))
def test_more_hostile_arguments(run_python: Callable[..., Any], tmp_path: Path, seed: int) -> None:
    wrong = run(run_python, tmp_path, seed)
    assert not wrong, wrong


@pytest.mark.parametrize("planted", ["crash", "leak", "system error"])
def test_what_it_would_see(run_python: Callable[..., Any], tmp_path: Path, planted: str) -> None:
    assert run(run_python, tmp_path, SEED, 50, planted)
