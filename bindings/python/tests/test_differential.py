"""rmon.monitoring against the interpreter's own implementation, on random programs (3.12 and newer).

A program is a list of calls of tool functions, good and bad, with real Python functions executed in between, while
callbacks return DISABLE, raise, and change the tools themselves. It runs in three processes: with sys.monitoring alone,
with rmon.monitoring, and with sys.monitoring while rmon.install() is in force. Each writes down what every call
returned or raised and what every callback got; the three lists must be the same. (Events of look-alikes are compared
by test_semantics.py.)

What is named here differs by contract and is left out or levelled:
  - free_tool_id clears the tool on every version; 3.12's and 3.13's does not.
  - clear_tool_id exists on every version; on 3.12 and 3.13 the interpreter has none.
  - get_local_events and set_local_events take any object.
  - rmon.monitoring.events has BRANCH_LEFT and BRANCH_RIGHT on 3.12 and 3.13 too.

The seed of a failing program is in the test's message: python test_differential.py rmon SEED LENGTH prints its list.
"""

from __future__ import annotations

import difflib
import json
import os
import random
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from typing import Any

SEED = int(os.environ.get("RMON_TEST_SEED", "20240311"))
TOOLS = (1, 2, 3)
LENGTH = 300  # calls in a program

# ---- The subject: functions that the interpreter executes ----

# Each has lines of its own: whether 3.15 reports the line of a lambda depends on what is in memory by chance.

SUBJECT = """
def loop(n):
    total = 0
    for i in range(n):
        if i % 2:
            total += i
        else:
            total -= 1
    while total > 10:
        total -= 7
    return total

def generator(n):
    try:
        for i in range(n):
            yield i
    finally:
        n = 0

def consume(n):
    return sum(x for x in generator(n)) + len([x * 2 for x in generator(n)])

def failing(kind):
    if kind:
        raise ValueError(kind)
    return {}["missing"]

def handling(kind):
    try:
        failing(kind)
    except ValueError as error:
        return str(error)
    finally:
        len("x")

def reraising():
    try:
        failing(1)
    except ValueError:
        raise

def throwing():
    g = generator(3)
    next(g)
    try:
        g.throw(ValueError(2))
    except ValueError:
        pass
    try:
        int("no number")
    except ValueError:
        pass

def calling():
    def key(x):
        return -x
    s = "abc".upper()
    return len(s), max(1, 2), sorted([3, 1, 2], key=key)

def delegating():
    r = yield from generator(2)
    return r

def delegate():
    return list(delegating())
"""

RUNS: list[tuple[str, tuple[Any, ...]]] = [
    ("loop", (5,)),
    ("consume", (3,)),
    ("handling", (1,)),
    ("handling", (0,)),
    ("reraising", ()),
    ("throwing", ()),
    ("calling", ()),
    ("delegate", ()),
]

OWN_EVENTS = ("BRANCH_LEFT", "BRANCH_RIGHT")  # not in the interpreter on 3.12 and 3.13


def show(value: Any) -> Any:
    """A value as text, the same in every process."""
    if value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, BaseException):
        return f"{type(value).__name__}({value})"
    if isinstance(value, (tuple, list)):
        return [show(item) for item in value]
    if isinstance(value, dict):
        return {key: show(item) for key, item in value.items()}
    for name in ("co_qualname", "__qualname__"):
        if hasattr(value, name):
            return getattr(value, name)
    return type(value).__name__


class Native:
    """sys.monitoring, with what it lacks on 3.12 and 3.13 and rmon has."""

    def __init__(self, codes: list[Any]) -> None:
        monitoring = sys.monitoring
        self.__dict__.update({name: getattr(monitoring, name) for name in dir(monitoring) if name[:2] != "__"})
        if sys.version_info < (3, 14):
            everything = [value for value in vars(monitoring.events).values() if value]

            def clear_tool_id(tool: int, /) -> None:
                if monitoring.get_tool(tool) is not None:
                    for event in everything:
                        monitoring.register_callback(tool, event, None)
                    monitoring.set_events(tool, 0)
                    for code in codes:
                        monitoring.set_local_events(tool, code, 0)

            def free_tool_id(tool: int, /) -> None:
                clear_tool_id(tool)
                monitoring.free_tool_id(tool)

            self.clear_tool_id, self.free_tool_id = clear_tool_id, free_tool_id


def interface(which: str, codes: list[Any]) -> Any:
    """The functions under test: "sys", "rmon", or "installed"."""
    if which == "sys":
        return Native(codes)
    import rmon

    if which == "installed":
        rmon.install()
        return Native(codes)
    return rmon.monitoring


class Program:
    """Makes the calls up, makes them, and writes down what happens."""

    def __init__(self, which: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.log: list[Any] = []
        self.codes: list[Any] = []
        self.functions: dict[str, Any] = {}
        code = compile(SUBJECT, "<subject>", "exec")
        exec(code, self.functions)
        self.find_codes(code)
        self.api = interface(which, self.codes)
        events = vars(sys.monitoring.events)  # what all have
        self.local = [v for k, v in events.items() if 0 < v < events["STOP_ITERATION"] * 2 or k == "BRANCH"]
        self.events = [value for value in events.values() if value]
        self.names = {value: name for name, value in events.items()}
        self.made = 0

    def find_codes(self, code: Any) -> None:
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self.codes.append(constant)
                self.find_codes(constant)

    # What a call is made with. Random numbers are drawn in the same order whatever the calls answer.

    def tool(self) -> Any:
        return self.random.choice(TOOLS) if self.random.random() < 0.97 else self.random.choice((-1, 6, 7, 2**31, "x"))

    def event(self) -> Any:
        if self.random.random() < 0.97:
            return self.random.choice(self.events)
        return self.random.choice((0, 3, 1 << 25, -1, 2**31, None))

    def event_set(self, among: list[int]) -> Any:
        draw = self.random.random()
        if draw < 0.03:
            return self.random.choice((-1, 1 << 25, 2**31, "x"))
        if draw < 0.15:
            return 0
        chosen = 0
        for event in self.random.sample(among, self.random.randint(1, 4)):
            chosen |= event
        return chosen

    def callback(self) -> Any:
        """A function that writes down what it gets, and does this or that."""
        kind = self.random.choice(["plain"] * 6 + ["disable"] * 4 + ["some"] * 3 + ["raise", "meddle", "remove"])
        self.made += 1
        name = f"{kind} {self.made}"
        inner = random.Random(self.random.random())
        count = 0

        def function(code: Any, *args: Any) -> Any:
            nonlocal count
            if code.co_filename != "<subject>":
                return None
            count += 1
            if args and isinstance(args[0], int) and not 0 <= args[0] < 10_000:
                args = ("anything", *args[1:])  # 3.12 and 3.13 sometimes report an offset from beyond the code
            self.log.append([name, code.co_qualname, show(args)])
            if kind == "disable" or kind == "some" and count % 2:
                return self.api.DISABLE
            if kind == "raise" and count % 5 == 0:
                raise OSError(name)
            if kind == "meddle" and count % 3 == 0:
                tool = inner.choice(TOOLS)
                what = inner.randrange(4)
                if what == 0:
                    self.attempt("set_events", tool, self.events[inner.randrange(4)])
                elif what == 1:
                    self.attempt("set_local_events", tool, code, self.local[inner.randrange(4)])
                elif what == 2:
                    self.attempt("set_events", tool, 0)
                else:
                    self.attempt("restart_events")
            if kind == "remove" and count == 2:
                for tool in TOOLS:
                    self.attempt("register_callback", tool, self.events[5], None)
            return None

        function.__qualname__ = name
        return function

    def attempt(self, name: str, *args: Any) -> None:
        try:
            result = show(getattr(self.api, name)(*args))
        except Exception as error:
            result = show(error)
        self.log.append([f"{name}{show(args)}", result])

    def step(self) -> None:
        r = self.random
        choice = r.choices(range(11), weights=[4, 1, 1, 2, 12, 2, 10, 3, 8, 2, 2])[0]
        if choice == 0:
            self.attempt("use_tool_id", self.tool(), r.choice(("one", "two", "", 5) if r.random() < 0.2 else ("one",)))
        elif choice == 1:
            self.attempt("free_tool_id", self.tool())
        elif choice == 2:
            self.attempt("clear_tool_id", self.tool())
        elif choice == 3:
            self.attempt("get_tool", self.tool())
        elif choice == 4:
            self.attempt("register_callback", self.tool(), self.event(), self.callback() if r.random() < 0.85 else None)
        elif choice == 5:
            self.attempt("get_events", self.tool())
        elif choice == 6:
            self.attempt("set_events", self.tool(), self.event_set(self.events))
        elif choice == 7:
            self.attempt("get_local_events", self.tool(), r.choice(self.codes))
        elif choice == 8:
            self.attempt("set_local_events", self.tool(), r.choice(self.codes), self.event_set(self.local))
        elif choice == 9:
            self.attempt("restart_events")
        else:
            self.attempt("_all_events")

    def execute(self) -> None:
        name, args = self.random.choice(RUNS)
        try:
            result = show(self.functions[name](*args))
        except Exception as error:
            result = show(error)
        self.log.append([f"run {name}{show(args)}", result])

    def run(self, length: int) -> list[Any]:
        for tool in TOOLS[:2]:
            self.attempt("use_tool_id", tool, "at first")
            for event in self.random.sample(self.events, 10):
                self.attempt("register_callback", tool, event, self.callback())
            self.attempt("set_events", tool, self.event_set(self.events))
        for _ in range(length):
            self.step()
            if self.random.random() < 0.4:
                self.execute()
        for tool in range(6):
            self.api.free_tool_id(tool)
        return self.log


# ---- The comparison ----


def main(which: str, seed: str, length: str) -> None:
    """Runs a program in this process, and prints its list."""
    for entry in Program(which, int(seed)).run(int(length)):
        print(json.dumps(entry))


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.exit()

import pytest  # noqa: E402 - not where "sys" is measured

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="the interpreter has no implementation of its own")
PROGRAMS = 14


def run_program(which: str, seed: int) -> tuple[int, list[str], str]:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "ignore", __file__, which, str(seed), str(LENGTH)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


def compare(which: str, seed: int) -> None:
    with ThreadPoolExecutor(2) as pool:
        native, ours = pool.map(lambda name: run_program(name, seed), ("sys", which))
    if native[0] < 0:
        pytest.skip(f"the interpreter itself crashes with seed {seed}")
    where = f"seed {seed}, {LENGTH} calls: python {os.path.basename(__file__)} {which} {seed} {LENGTH}"
    assert native[0] == 0, f"the test is wrong: {where}\n{native[2]}"
    assert ours[0] == 0, f"{where}\n{ours[2]}"
    assert len(native[1]) > LENGTH
    if native[1] != ours[1]:
        lines = list(difflib.unified_diff(native[1], ours[1], "the interpreter", which, n=12, lineterm=""))
        pytest.fail("\n".join([where, *lines[:60]]), pytrace=False)


@pytest.mark.parametrize("which", ["rmon", "installed"])
@pytest.mark.parametrize(
    "number", [0, 1, 2, *(pytest.param(number, marks=pytest.mark.thorough) for number in range(3, PROGRAMS))]
)
def test_random_calls_with_functions_executed_in_between(which: str, number: int) -> None:
    compare(which, SEED + number)


def test_the_programs_are_worth_running() -> None:
    """They get callbacks called, calls refused, and callables raise."""
    text = "\n".join(line for number in range(5) for line in run_program("sys", SEED + number)[1])
    assert text.count('["plain ') > 100
    assert "is not in use" in text
    assert "OSError" in text
