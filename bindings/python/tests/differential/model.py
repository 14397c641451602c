"""What rmon does, and what CPython does in its place: one naive model, in which every difference is a question by name.

`Model(names, version, rules)` runs a list of operations and writes down what can be seen. With all rules of rules.py it
is rmon in a Python process; with none it is CPython's own implementation. `used` counts how often a rule made a
difference. What CPython does not define (it crashes, or reads what is not there) is left out on its side.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Callable

from differential.operations import EXCEPTION_EVENTS, EXCEPTIONS, LOCAL, TIMES, VALUES, List
from differential.rules import RULES

TOOLS = range(6)
DIRECTIONS = {"BRANCH_LEFT", "BRANCH_RIGHT"}
ENDS = {"C_RETURN", "C_RAISE"}
CONTROL = {"use", "free", "clear", "register", "set_events", "set_local_events", "restart"}
CALLS = 4  # so many calls are remembered for C_RETURN and C_RAISE


class Raised(Exception):
    """What an operation raises: what is shown of it."""


def exception(kind: str, *args: Any, context: Any = None) -> Any:
    """What is shown of an exception."""
    return ("exception", kind, args, context)


def refusal(kind: str, text: str) -> Raised:
    return Raised(exception(kind, text))


def shown(value: Any) -> Any:
    """What is shown of a value that goes from an emitter to a tool."""
    if isinstance(value, BaseException):
        return exception(type(value).__name__, *value.args)
    if callable(value):
        return value.__name__
    return value


def left_out(operation: Any, version: tuple[int, int]) -> str:
    """The rule for which CPython cannot be asked this, if there is one."""
    kind = operation[0]
    if kind == "clear" and version < (3, 14):
        return "free clears"
    if kind == "register" and operation[2] == "BRANCH" and version >= (3, 14):
        return "branch"  # its wrapper takes a look-alike for a code object
    if kind in ("register", "set_events", "set_local_events") and version < (3, 14):
        asked = operation[-1] if kind != "register" else (operation[2],)
        if isinstance(asked, tuple) and DIRECTIONS & set(asked):
            return "branch"
    return ""


def undefined(operation: Any, scopes: Any) -> str:
    """The rule for which CPython cannot be asked for this fire, if there is one: it would crash, or misbehave."""
    if operation[0] != "fire":
        return ""
    event = scopes[operation[1]][operation[2]]
    if "NULL" in operation[5:7] and event != "STOP_ITERATION":
        return "null"
    if operation[8] and event not in EXCEPTION_EVENTS:
        return "in flight"
    return ""


class Callback:
    def __init__(self, number: int, behaviour: Any) -> None:
        self.number, (self.answer, self.inside) = number, behaviour
        self.calls = 0


class Model:
    def __init__(
        self, names: dict[str, int], version: tuple[int, int], rules: Any = RULES, form: str = "whole"
    ) -> None:
        self.numbers, self.version, self.rules, self.form = names, version, set(rules), form
        self.apart = (3, 12) <= version < (3, 14)  # BRANCH is an event of its own
        self.used: Counter[str] = Counter()
        self.seen: list[Any] = []
        self.names: dict[int, Any] = {}
        self.events: dict[int, frozenset[str]] = {tool: frozenset() for tool in TOOLS}
        self.local: dict[tuple[int, int], frozenset[str]] = {}
        self.callbacks: dict[tuple[int, str], Callback] = {}
        self.as_branch: set[tuple[int, str]] = set()
        self.disabled: set[Any] = set()  # (tool, code, event, location)
        self.calls: list[Any] = []
        self.listened = 0  # the version of what is listened to
        self.versions = 0
        self.scopes: list[tuple[str, ...]] = []
        self.active: list[list[set[int]]] = []
        self.entered: list[int] = []
        self.depth = self.registrations = 0
        self.changed = False
        self.cleared: set[int] = set()

    def differs(self, rule: str, when: Any = True) -> bool:
        """Whether rmon is asked, in a case in which it makes a difference."""
        self.used[rule] += bool(when)
        return rule in self.rules

    # ---- Who listens to what ----

    def wants(self, events: frozenset[str], event: str) -> bool:
        if event in ENDS:
            return self.differs("ancillary", "CALL" in events) and "CALL" in events
        if event == "BRANCH" and not self.apart:
            return self.differs("branch", DIRECTIONS & events) and bool(DIRECTIONS & events)
        if event in DIRECTIONS and self.apart:
            meant = events & {event, "BRANCH"}
            return self.differs("branch", meant) and bool(meant)
        if event == "BRANCH" and DIRECTIONS & events:
            return self.differs("branch") or event in events
        return event in events

    def hears(self, tool: int, event: str, code: int) -> bool:
        return self.wants(self.events[tool], event) or self.wants(self.local.get((tool, code), frozenset()), event)

    def interested(self, event: str) -> set[int]:
        """A scope does not know its codes."""
        local = {tool for (tool, _), events in self.local.items() if self.wants(events, event)}
        return {tool for tool in TOOLS if self.wants(self.events[tool], event)} | local

    def new_version(self) -> None:
        self.versions += 1
        self.listened = self.versions
        if not any(self.events.values()) and not self.local:
            self.listened = 0 if self.rules else self.versions

    # ---- Tools ----

    def checked_int(self, value: Any) -> int:
        if not isinstance(value, int):
            raise refusal("TypeError", f"'{type(value).__name__}' object cannot be interpreted as an integer")
        if value >= 2**31:
            raise refusal("OverflowError", "Python int too large to convert to C int")
        return value

    def checked_tool(self, tool: Any) -> None:
        if tool not in TOOLS:
            raise refusal("ValueError", f"invalid tool {tool} (must be between 0 and 5)")

    def in_use(self, tool: int) -> None:
        if tool not in self.names:
            raise refusal("ValueError", f"tool {tool} is not in use")

    def number(self, events: Any) -> Any:
        """A set as the argument that is passed."""
        return sum(self.numbers[name] for name in events) if isinstance(events, tuple) else events

    def meant(self, events: Any, local: bool = False) -> frozenset[str]:
        """The events of a set: C_RETURN and C_RAISE come with CALL, BRANCH may be both directions."""
        given = self.number(events)
        names = frozenset(events) if isinstance(events, tuple) else frozenset()
        wrong = not isinstance(events, tuple)
        text = "invalid local event set" if local else "invalid event set"
        if wrong and not local:
            raise refusal("ValueError", f"{text} 0x{given & 0xFFFFFFFF:x}")
        if given & (self.numbers["C_RETURN"] | self.numbers["C_RAISE"]) and not {"CALL", *ENDS} <= names:
            every = self.numbers["CALL"] | self.numbers["C_RETURN"] | self.numbers["C_RAISE"]
            if given & every != every:
                raise refusal("ValueError", "cannot set C_RETURN or C_RAISE events independently")
        names -= ENDS
        given &= ~(self.numbers["C_RETURN"] | self.numbers["C_RAISE"])
        if not self.apart and given & self.numbers["BRANCH"]:
            names = (names - {"BRANCH"}) | DIRECTIONS
            given = (given & ~self.numbers["BRANCH"]) | sum(self.numbers[name] for name in DIRECTIONS)
        if local and (wrong or (self.version < (3, 15) and not names <= set(LOCAL))):
            raise refusal("ValueError", f"{text} 0x{given & 0xFFFFFFFF:x}")
        return names

    def use(self, tool: Any, name: Any) -> None:
        self.checked_tool(self.checked_int(tool))
        if not isinstance(name, str):
            raise refusal("ValueError", "tool name must be a str")
        if tool in self.names:
            raise refusal("ValueError", f"tool {tool} is already in use")
        self.names[tool] = name

    def clear(self, tool: Any) -> None:
        self.checked_tool(self.checked_int(tool))
        if tool in self.names:
            self.callbacks = {key: value for key, value in self.callbacks.items() if key[0] != tool}
            self.as_branch = {key for key in self.as_branch if key[0] != tool}
            self.events[tool] = frozenset()
            self.local = {key: value for key, value in self.local.items() if key[0] != tool}
            self.disabled = {location for location in self.disabled if location[0] != tool}
            self.cleared.add(tool)
            self.new_version()

    def free(self, tool: Any) -> None:
        self.checked_tool(self.checked_int(tool))
        kept = self.events[tool] or any(key[0] == tool for key in self.callbacks)
        if (
            self.version >= (3, 14)
            or self.version < (3, 12)
            or self.differs("free clears", tool in self.names and kept)
        ):
            self.clear(tool)
        self.names.pop(tool, None)

    def get_tool(self, tool: Any) -> Any:
        self.checked_tool(self.checked_int(tool))
        return self.names.get(tool)

    def register(self, tool: Any, event: Any, behaviour: Any) -> Any:
        number = self.registrations
        self.registrations += 1
        self.checked_int(tool)
        value = self.checked_int(self.numbers[event] if isinstance(event, str) else event)
        self.checked_tool(tool)
        if not isinstance(event, str):
            if value in (0, 3):
                raise refusal("ValueError", "The callback can only be set for one event at a time")
            raise refusal("ValueError", f"invalid event {value}")
        new = None if behaviour is None else Callback(number, behaviour)
        places = ["BRANCH_LEFT", "BRANCH_RIGHT"] if event == "BRANCH" and not self.apart else [event]
        old = self.callbacks.get((tool, places[0]))
        for place in places:
            self.callbacks.pop((tool, place), None)
            self.as_branch.discard((tool, place))
            if new is not None:
                self.callbacks[tool, place] = new
                if len(places) > 1:
                    self.as_branch.add((tool, place))
        return None if old is None else ("callback", old.number)

    def get_events(self, tool: Any) -> Any:
        self.checked_tool(self.checked_int(tool))
        return tuple(sorted(self.events[tool]))

    def set_events(self, tool: Any, events: Any) -> None:
        self.checked_int(tool)
        self.checked_int(self.number(events))
        self.checked_tool(tool)
        names = self.meant(events)
        self.in_use(tool)
        if self.events[tool] != names:
            self.events[tool] = names
            self.new_version()

    def get_local_events(self, tool: Any, code: int) -> Any:
        self.checked_int(tool)
        if not self.differs("local events"):
            raise refusal("TypeError", "code must be a code object")
        self.checked_tool(tool)
        return tuple(sorted(self.local.get((tool, code), ())))

    def set_local_events(self, tool: Any, code: int, events: Any) -> None:
        self.checked_int(tool)
        self.checked_int(self.number(events))
        if not self.differs("local events"):
            raise refusal("TypeError", "code must be a code object")
        self.checked_tool(tool)
        names = self.meant(events, local=True)
        self.in_use(tool)
        if self.local.pop((tool, code), frozenset()) != names:
            if names:
                self.local[tool, code] = names
            self.new_version()
        elif names:
            self.local[tool, code] = names

    def restart(self) -> None:
        self.disabled.clear()
        self.new_version()

    def die(self, code: int) -> None:
        if self.depth == 0 and self.form == "whole":  # what is in use lives
            kept = {key: value for key, value in self.local.items() if key[1] != code}
            if kept != self.local:
                self.local = kept
                self.new_version()
            self.disabled = {location for location in self.disabled if location[1] != code}
            self.calls = [call for call in self.calls if call[0] != code]

    # ---- Scopes and fires ----

    def enter(self, scope: int) -> None:
        if self.entered[scope] != self.listened:
            self.refresh(scope)
            self.entered[scope] = self.listened

    def refresh(self, scope: int) -> None:
        self.active[scope] = [self.interested(event) for event in self.scopes[scope]]

    def exit(self, scope: int) -> None:
        pass

    def arguments(self, event: str, code: int, offset: int, first: Any, second: Any, line: int, pending: Any) -> Any:
        """What a callback is given. CPython is not asked with NULL."""
        values = ["None" if value == "NULL" else value for value in (first, second)]
        if event == "LINE":
            return (line,)
        if event in ("PY_START", "PY_RESUME"):
            return (offset,)
        if event == "CALL":
            callee, argument = ("MISSING" if value == "NULL" else shown(VALUES[value]) for value in (first, second))
            return offset, callee, argument
        if event in ENDS:
            return offset, *self.last_call(code)
        if event in EXCEPTION_EVENTS:
            return offset, shown(EXCEPTIONS[pending])
        if first == "NULL" and (event == "JUMP" or event.startswith("BRANCH")):
            return offset, -1
        value = VALUES[values[0]]
        if event == "STOP_ITERATION":
            if isinstance(value, StopIteration):
                return offset, shown(value)
            if isinstance(value, tuple) and not self.differs("stop iteration"):
                return offset, exception("StopIteration", *value)
            return offset, exception("StopIteration", *([] if value is None else [shown(value)]))
        return offset, shown(value)

    def last_call(self, code: int) -> tuple[Any, Any]:
        for place in reversed(range(len(self.calls))):
            if self.calls[place][0] == code:
                _, callee, argument, version = self.calls[place]
                del self.calls[place:]
                return (callee, argument) if version == self.listened else ("MISSING", "MISSING")
        return "MISSING", "MISSING"

    def callback(self, tool: int, event: str) -> tuple[Any, bool]:
        """Who is called, and whether that was registered for both directions."""
        for asked in {"BRANCH_LEFT": (event, "BRANCH"), "BRANCH_RIGHT": (event, "BRANCH")}.get(event, (event,)):
            if (tool, asked) in self.callbacks:
                return self.callbacks[tool, asked], "BRANCH" in (asked, event) or (tool, asked) in self.as_branch
        if event == "BRANCH" and (tool, "BRANCH_RIGHT") in self.callbacks:
            return self.callbacks[tool, "BRANCH_RIGHT"], True
        if event == "BRANCH" and (tool, "BRANCH_LEFT") in self.as_branch:
            return self.callbacks[tool, "BRANCH_LEFT"], True
        return None, False

    def is_disabled(self, tool: int, code: int, event: str, location: int) -> bool:
        events = {"C_RETURN": ("CALL",), "C_RAISE": ("CALL",), "BRANCH": ("BRANCH_LEFT", "BRANCH_RIGHT")}
        return all((tool, code, name, location) in self.disabled for name in events.get(event, (event,)))

    def fire(
        self, scope: int, state: int, code: int, offset: int, first: str, second: str, line: int, pending: str
    ) -> tuple[int, Any]:
        event = self.scopes[scope][state]
        raised = shown(EXCEPTIONS[pending]) if pending else None
        context = raised if "in flight" in self.rules else None
        active = self.active[scope]
        if not active[state] or (self.depth and self.differs("nested")):
            return 0, raised
        if event in EXCEPTION_EVENTS and not pending:
            number = self.numbers[event].bit_length() - 1
            return -1, exception("ValueError", f"Firing event {number} with no exception set")
        if offset < 0:
            self.differs("in flight", raised)
            return -1, exception("ValueError", "offset must be non-negative", context=context)
        arguments = self.arguments(event, code, offset, first, second, line, pending)
        if event == "CALL" and any(key[1] in ENDS for key in self.callbacks):
            self.calls = [*self.calls, (code, *arguments[1:], self.listened)][-CALLS:]
        location = line if event == "LINE" else offset
        is_own = self.scopes[scope].count(event) > 1
        left = set(active[state])
        deaf = {tool for tool in left if not self.hears(tool, event, code)}
        if self.differs("at once", deaf):
            left -= deaf
        off = {tool for tool in left if self.is_disabled(tool, code, event, location)}
        if self.differs("location", off):
            left -= off
            if is_own:
                active[state] -= off
        self.depth += 1
        status, outcome = 0, raised
        while left:
            tool = max(left)
            left.discard(tool)
            callback, both = self.callback(tool, event)
            if callback is None:
                continue
            self.changed, self.cleared = False, set()
            self.seen.append(("call", callback.number, code, *arguments))
            answer = self.run_callback(callback)
            if self.changed and self.differs("at once", self.active_differs(scope)):
                self.refresh(scope)
            active = self.active[scope]
            if answer == "raise":
                self.differs("in flight", raised)
                status, outcome = -1, exception("OSError", f"callback {callback.number}", context=context)
                break
            if answer == "disable" and event not in LOCAL:
                there = self.callbacks.get((tool, event))
                if there is callback or (there and not self.differs("replaced")):
                    del self.callbacks[tool, event]
                    if self.differs("at once", self.active_differs(scope)):
                        self.refresh(scope)
                self.differs("in flight", raised)
                text = f"Cannot disable {event} events. Callback removed."
                status, outcome = -1, exception("ValueError", text, context=context)
                break
            if answer == "disable":
                self.disable(scope, state, tool, code, event, location, both, is_own)
            if self.differs("at once", {other for other in left if not self.hears(other, event, code)}):
                left = {other for other in left if self.hears(other, event, code)}
            if self.differs("location", {t for t in left if self.is_disabled(t, code, event, location)}):
                left = {other for other in left if not self.is_disabled(other, code, event, location)}
        self.depth -= 1
        return status, outcome

    def active_differs(self, scope: int) -> bool:
        return self.active[scope] != [self.interested(event) for event in self.scopes[scope]]

    def disable(
        self, scope: int, state: int, tool: int, code: int, event: str, location: int, both: bool, own: bool
    ) -> None:
        if self.differs("location", not own or tool in self.cleared):
            if tool in self.cleared:
                return
            for name in ("BRANCH_LEFT", "BRANCH_RIGHT") if both else (event,):
                self.disabled.add((tool, code, name, location))
            if own:
                self.active[scope][state].discard(tool)
        else:
            self.disabled.add((tool, code, event, location))
            self.active[scope][state].discard(tool)

    def run_callback(self, callback: Callback) -> str:
        callback.calls += 1
        if callback.calls <= TIMES:
            for operation in callback.inside:
                self.run(operation)
        answer: str = callback.answer
        return answer

    # ---- Lists ----

    def run(self, operation: Any) -> None:
        kind, *arguments = operation
        why = left_out(operation, self.version) or undefined(operation, self.scopes)
        if why and not self.differs(why):
            self.seen.append(("left out", why))
            self.registrations += kind == "register"
            return
        call: Callable[..., Any] = getattr(self, kind)
        in_use = kind in ("use", "restart") or arguments[0] in self.names  # rmon is not told of the others
        try:
            result = call(*arguments)
        except Raised as error:
            self.seen.append((kind, "raised", *error.args))
        else:
            self.changed |= kind in CONTROL and in_use
            if kind == "fire" and self.form == "testing" and result[0] == 0:
                result = (0, None)
            self.seen.append((kind, result))
        if kind in ("enter", "fire"):
            tools = self.active[arguments[0]]
            self.seen.append(("active", tuple(sum(1 << tool for tool in state) for state in tools)))

    def run_list(self, what: List) -> list[Any]:
        self.scopes = list(what.scopes)
        self.active = [[set() for _ in types] for types in what.scopes]
        self.entered = [0] * len(what.scopes)
        for operation in what.operations:
            self.run(operation)
        return self.seen
