"""What runs lists of operations: CPython's own implementation, and rmon, each in two ways.

    interpreter   sys.monitoring, and emitter.c compiled as it is
    _testcapi     sys.monitoring, and CPython's _testcapi
    c             rmon.monitoring, and emitter.c compiled with rmon_python.h
    testing       rmon.monitoring, and rmon.testing

Each gives the trace that model.py gives.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from differential.model import left_out, undefined
from differential.operations import CODES, EXCEPTION_EVENTS, EXCEPTIONS, TIMES, VALUES, List

VERSION = sys.version_info[:2]


class LookAlike:
    """A code."""


def built(folder: Path, with_rmon: bool) -> Any:
    """The emitter as a module, compiled in the folder."""
    name = "rmon_emitter" if with_rmon else "plain_emitter"
    source = Path(__file__).with_name("emitter.c")
    target = folder / (name + sysconfig.get_config_var("EXT_SUFFIX"))
    flags = [f"-DMODULE={name}", f'-DMODULE_NAME="{name}"']
    if with_rmon:
        import rmon

        flags += ["-DWITH_RMON", f"-I{rmon.get_include()}"]
    includes = [f"-I{sysconfig.get_path(which)}" for which in ("include", "platinclude")]
    compiler = shlex.split(os.environ.get("CC", "cc"))
    command = [*compiler, "-shared", "-fPIC", "-O1", "-Wall", *includes, *flags, str(source), "-o", str(target)]
    subprocess.run(command, check=True)
    spec = importlib.util.spec_from_file_location(name, target)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def events_of(api: Any) -> dict[str, int]:
    """The events by name."""
    return {name: value for name, value in vars(api.events).items() if value}


class TestingScope:
    """A scope of emitter.c, in terms of _testcapi or rmon.testing. It is its own code."""

    def __init__(self, capi: Any, numbers: dict[str, int], types: tuple[str, ...]) -> None:
        self.capi = capi
        self.code = capi.CodeLike(len(types))
        self.types = [numbers[name].bit_length() - 1 if name in numbers else -1 for name in types]
        self.dead = [number < 0 for number in self.types]

    def enter(self) -> None:
        self.capi.monitoring_enter_scope(self.code, *(max(number, 0) for number in self.types))

    def exit(self) -> None:
        self.capi.monitoring_exit_scope()

    def active(self) -> tuple[int, ...]:
        states = re.findall("[0-9]+", str(self.code))
        return tuple(0 if dead else int(state) for dead, state in zip(self.dead, states))

    def fire(
        self, name: str, state: int, code: Any, offset: int, first: Any, second: Any, line: int, pending: Any
    ) -> tuple[int, Any]:
        if self.dead[state]:
            return 0, None
        fire = getattr(self.capi, f"fire_event_{name.lower()}")
        arguments: tuple[Any, ...] = (first,)
        if name in ("PY_START", "PY_RESUME"):
            arguments = ()
        elif name == "CALL":
            arguments = (first, second)
        elif name == "LINE":
            arguments = (line,)
        elif name in EXCEPTION_EVENTS:
            arguments = (pending,)
        try:
            fire(self.code, offset, *arguments)
        except Exception as error:
            return -1, error
        return 0, None


class Subject:
    """An implementation. `make_scope` makes a scope of the names of events."""

    def __init__(self, api: Any, is_rmon: bool, make_scope: Callable[[Any], Any], null: Any = None) -> None:
        self.api, self.is_rmon, self.make_scope, self.null = api, is_rmon, make_scope, null
        self.numbers = events_of(api)
        self.names = {value: name for name, value in self.numbers.items()}

    # ---- What is shown ----

    def shown(self, value: Any) -> Any:
        if value is self.api.MISSING:
            return "MISSING"
        if value is self.api.DISABLE:
            return "DISABLE"
        if isinstance(value, BaseException):
            args = tuple(self.shown(arg) for arg in value.args)
            context = None if value.__context__ is None else self.shown(value.__context__)
            return ("exception", type(value).__name__, args, context)
        if isinstance(value, Registered):
            return ("callback", value.number)
        for number, code in enumerate(self.codes):
            if value is code:
                return number
        if callable(value):
            return value.__name__
        return value

    def value(self, name: str) -> Any:
        return {"MISSING": self.api.MISSING, "NULL": self.null}.get(name, VALUES[name])

    def event_set(self, events: Any) -> Any:
        return sum(self.numbers[name] for name in events) if isinstance(events, tuple) else events

    # ---- The operations ----

    def use(self, tool: Any, name: Any) -> Any:
        return self.api.use_tool_id(tool, name)

    def clear(self, tool: Any) -> Any:
        return self.api.clear_tool_id(tool)

    def free(self, tool: Any) -> Any:
        return self.api.free_tool_id(tool)

    def get_tool(self, tool: Any) -> Any:
        return self.api.get_tool(tool)

    def register(self, tool: Any, event: Any, behaviour: Any) -> Any:
        number = self.registrations
        self.registrations += 1
        callback = None if behaviour is None else Registered(self, number, behaviour)
        return self.shown(self.api.register_callback(tool, self.numbers.get(event, event), callback))

    def get_events(self, tool: Any) -> Any:
        return self.listed(self.api.get_events(tool))

    def set_events(self, tool: Any, events: Any) -> Any:
        return self.api.set_events(tool, self.event_set(events))

    def get_local_events(self, tool: Any, code: int) -> Any:
        return self.listed(self.api.get_local_events(tool, self.codes[code]))

    def set_local_events(self, tool: Any, code: int, events: Any) -> Any:
        return self.api.set_local_events(tool, self.codes[code], self.event_set(events))

    def restart(self) -> Any:
        return self.api.restart_events()

    def die(self, code: int) -> Any:
        if not self.depth and not self.is_testing:
            self.codes[code] = self.spare.pop()

    def listed(self, events: int) -> tuple[str, ...]:
        return tuple(sorted(name for value, name in self.names.items() if value & events))

    def enter(self, scope: int) -> Any:
        return self.scopes[scope].enter()

    def exit(self, scope: int) -> Any:
        return self.scopes[scope].exit()

    def fire(
        self, scope: int, state: int, code: int, offset: int, first: str, second: str, line: int, pending: str
    ) -> Any:
        raised: BaseException | None = None
        if pending:
            raised = type(EXCEPTIONS[pending])(*EXCEPTIONS[pending].args)
        name = self.types[scope][state]
        values = self.value(first), self.value(second)
        self.depth += 1
        status, outcome = self.scopes[scope].fire(name, state, self.codes[code], offset, *values, line, raised)
        self.depth -= 1
        result = (status, None if outcome is None else self.shown(outcome))
        if isinstance(outcome, BaseException):  # whoever holds it would make it a part of the next one
            outcome.__traceback__ = None
        return result

    # ---- Lists ----

    def run(self, operation: Any) -> None:
        kind, *arguments = operation
        if not self.is_rmon:
            why = left_out(operation, VERSION) or undefined(operation, self.types)
            if why:
                self.seen.append(("left out", why))
                self.registrations += kind == "register"
                return
        try:
            result = getattr(self, kind)(*arguments)
        except Exception as error:
            self.seen.append((kind, "raised", self.shown(error)))
        else:
            self.seen.append((kind, result))
        if kind in ("enter", "fire"):
            self.seen.append(("active", tuple(self.scopes[arguments[0]].active())))

    def run_list(self, what: List) -> list[Any]:
        self.seen: list[Any] = []
        self.registrations = 0
        self.depth = 0
        self.is_testing = what.form == "testing"
        self.types = what.scopes
        self.codes: list[Any] = [LookAlike() for _ in range(CODES)]
        # None gets the address of one that has died: what CALL said there would be remembered.
        self.spare = [LookAlike() for operation in what.operations if operation[0] == "die"]
        self.scopes = [self.make_scope(types) for types in what.scopes]
        if self.is_testing:
            self.codes = [scope.code for scope in self.scopes]
            self.codes += [LookAlike() for _ in range(CODES - len(self.codes))]
        for operation in what.operations:
            self.run(operation)
        seen = self.seen
        self.reset()
        return seen

    def reset(self) -> None:
        """All tools are gone, whoever is in use, and nothing is disabled."""
        self.seen = []
        for tool in range(6):
            if self.api.get_tool(tool) is None:
                self.api.use_tool_id(tool, "reset")
            self.api.set_events(tool, 0)
            for value in self.numbers.values():
                self.api.register_callback(tool, value, None)
            self.api.free_tool_id(tool)
        self.api.restart_events()
        self.scopes, self.codes = [], []


class Registered:
    """A callback."""

    def __init__(self, subject: Subject, number: int, behaviour: Any) -> None:
        self.subject, self.number, self.calls = subject, number, 0
        self.answer, self.inside = behaviour

    def __call__(self, code: Any, *arguments: Any) -> Any:
        subject = self.subject
        if not any(code is known for known in subject.codes):
            return None  # the test's own code, which the interpreter executes
        subject.seen.append(("call", self.number, subject.shown(code), *map(subject.shown, arguments)))
        self.calls += 1
        if self.calls <= TIMES:
            for operation in self.inside:
                subject.run(operation)
        if self.answer == "raise":
            raise OSError(f"callback {self.number}")
        return {"disable": subject.api.DISABLE, "value": 7}.get(self.answer)


def subjects(folder: Path, form: str) -> dict[str, Subject]:
    """All that there are here, by name."""
    import rmon
    from rmon import testing

    found: dict[str, Subject] = {}
    numbers = events_of(rmon.monitoring)
    if form == "whole":
        emitter = built(folder, True)
        found["c"] = Subject(rmon.monitoring, True, emitter.Scope, emitter.NULL)
        if VERSION >= (3, 13):
            emitter = built(folder, False)
            found["interpreter"] = Subject(sys.monitoring, False, emitter.Scope, emitter.NULL)
    else:
        found["testing"] = Subject(rmon.monitoring, True, lambda types: TestingScope(testing, numbers, types))
        if VERSION >= (3, 13) and importlib.util.find_spec("_testcapi") is None:
            warnings.warn("no _testcapi, so it is not compared with: a CPython without its test modules", stacklevel=2)
        elif VERSION >= (3, 13):
            import _testcapi  # type: ignore[import-not-found]

            lacking = {"BRANCH", "C_RETURN", "C_RAISE"} if VERSION >= (3, 14) else {"C_RETURN", "C_RAISE"}
            own = {name: value for name, value in events_of(sys.monitoring).items() if name not in lacking}
            found["_testcapi"] = Subject(sys.monitoring, False, lambda types: TestingScope(_testcapi, own, types))
    return found
