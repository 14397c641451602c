"""rmon does what CPython's own implementation of its Monitoring C API does, but for the named rules.

Both run lists of operations made up at random and are compared with one model of both (differential/). Each rule has
a test of its own, which shows what CPython does and what rmon does side by side.

RMON_TEST_LISTS says how many lists are run, RMON_TEST_SEED which; `python differential/run.py` does the same as a
command and counts the rules.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from differential.model import Model
from differential.operations import List, lists
from differential.rules import CYTHON_RULES, RULES, in_one_line
from differential.run import compare
from differential.subjects import VERSION, Subject, subjects

SEED = int(os.environ.get("RMON_TEST_SEED", "20240311"))
PARTS = 4 if VERSION >= (3, 13) else 1  # below 3.13 there is only rmon, to be compared with the model
LISTS = int(os.environ.get("RMON_TEST_LISTS", "6800" if VERSION >= (3, 13) else "600"))

README = Path(__file__).resolve().parents[3] / "README.md"

has_native = pytest.mark.skipif(VERSION < (3, 13), reason="the interpreter has no Monitoring C API")


@pytest.mark.parametrize("part", range(PARTS))
def test_random_lists(tmp_path: Path, part: int) -> None:
    comparison = compare(tmp_path, LISTS // PARTS, SEED + part)
    assert comparison.lists >= LISTS // PARTS


@pytest.mark.thorough
def test_each_rule_makes_a_difference_in_the_model(found: dict[str, Subject]) -> None:
    """So the comparison would notice if rmon did in one point as CPython does, and the lists reach every rule."""
    from hypothesis import HealthCheck, Phase, example, given, seed, settings

    numbers = found["c"].numbers
    noticed: set[str] = set()

    @seed(SEED)
    @settings(
        max_examples=800,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(lists())
    @example(List("whole", (("RAISE",),), REPLACING))  # few lists reach these
    @example(List("whole", (("STOP_ITERATION",),), SPREADING))
    def look(what: List) -> None:
        whole = Model(numbers, (3, 13), RULES, what.form).run_list(what)
        for rule in set(RULES) - noticed:
            if Model(numbers, (3, 13), set(RULES) - {rule}, what.form).run_list(what) != whole:
                noticed.add(rule)

    look()
    assert noticed == set(RULES)


def test_the_readme_lists_the_rules() -> None:
    section = README.read_text(encoding="utf-8").split("## Differences from CPython\n")[1].split("\n## ")[0]
    items = [in_one_line(item) for item in re.split(r"^\d+\. ", section, flags=re.M)[1:]]
    assert items == [in_one_line(text) for text in (*RULES.values(), *CYTHON_RULES.values())]


# ---- Each rule by itself ----


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Subject]:
    return subjects(tmp_path_factory.mktemp("emitters"), "whole")


def listen(event: str, answer: str = "none", inside: tuple[Any, ...] = (), tool: int = 1) -> list[Any]:
    return [("use", tool, "a tool"), ("register", tool, event, (answer, inside)), ("set_events", tool, (event,))]


def fire(
    state: int = 0,
    *,
    code: int = 0,
    offset: int = 0,
    first: str = "None",
    second: str = "None",
    line: int = 1,
    pending: str = "",
) -> tuple[Any, ...]:
    return "fire", 0, state, code, offset, first, second, line, pending


def run(subject: Subject, types: tuple[str, ...], *operations: Any) -> list[Any]:
    return subject.run_list(List("whole", (types,), operations))


def calls(trace: list[Any]) -> list[Any]:
    """What callbacks were called with, without their number."""
    return [entry[2:] for entry in trace if entry[0] == "call"]


def outcome(trace: list[Any]) -> Any:
    """The status of the last fire, and what was raised after it."""
    return [entry[1] for entry in trace if entry[0] == "fire"][-1]


def both(found: dict[str, Subject], types: tuple[str, ...], *operations: Any) -> tuple[list[Any], list[Any]]:
    """The traces of CPython and of rmon."""
    return run(found["interpreter"], types, *operations), run(found["c"], types, *operations)


@has_native
def test_rule_location(found: dict[str, Subject]) -> None:
    cpython, rmon = both(
        found,
        ("LINE",),
        *listen("LINE", "disable"),
        ("enter", 0),
        fire(line=1),
        fire(line=2),
        *listen("CALL", tool=2),
        ("enter", 0),
        fire(line=1),
    )
    assert calls(cpython) == [(0, 1), (0, 1)]
    assert calls(rmon) == [(0, 1), (0, 2)]


@has_native
def test_rule_local_events(found: dict[str, Subject]) -> None:
    cpython, rmon = both(
        found,
        ("PY_START", "LINE"),
        *listen("PY_START", inside=(("set_local_events", 1, 0, ("LINE",)),)),
        ("register", 1, "LINE", ("none", ())),
        ("enter", 0),
        fire(0),
        fire(1),
        fire(1, code=1),
    )
    assert calls(cpython) == [(0, 0)]
    refused = ("exception", "TypeError", ("code must be a code object",), None)
    assert ("set_local_events", "raised", refused) in cpython
    assert calls(rmon) == [(0, 0), (0, 1)]


@has_native
def test_rule_at_once(found: dict[str, Subject]) -> None:
    cpython, rmon = both(found, ("LINE",), *listen("LINE"), ("enter", 0), ("set_events", 1, ()), fire())
    assert calls(cpython) == [(0, 1)]
    assert calls(rmon) == []


@has_native
def test_rule_at_once_for_what_begins(found: dict[str, Subject]) -> None:
    begin = (("set_events", 1, ("PY_START", "LINE")),)
    cpython, rmon = both(
        found,
        ("PY_START", "LINE"),
        *listen("PY_START", inside=begin),
        ("register", 1, "LINE", ("none", ())),
        ("enter", 0),
        fire(0),
        fire(1),
    )
    assert calls(cpython) == [(0, 0)]
    assert calls(rmon) == [(0, 0), (0, 1)]


@has_native
def test_rule_nested(found: dict[str, Subject]) -> None:
    cpython, rmon = both(found, ("LINE",), *listen("LINE", inside=(fire(line=2),)), ("enter", 0), fire(line=1))
    assert calls(cpython) == [(0, 1), (0, 2), (0, 2)]
    assert calls(rmon) == [(0, 1)]


@has_native
@pytest.mark.parametrize("answer, offset", [("raise", 0), ("disable", 0), ("none", -1)])
def test_rule_in_flight_as_context(found: dict[str, Subject], answer: str, offset: int) -> None:
    operations = (*listen("RAISE", answer), ("enter", 0), fire(pending="ValueError", offset=offset))
    cpython, rmon = (outcome(trace) for trace in both(found, ("RAISE",), *operations))
    pending = ("exception", "ValueError", ("pending",), None)
    assert cpython[0] == rmon[0] == -1
    assert cpython[1][:3] == rmon[1][:3]
    assert cpython[1][3] is None
    assert rmon[1][3] == pending


IN_FLIGHT = (*listen("PY_RETURN"), ("enter", 0), fire(pending="ValueError"))


def test_rule_in_flight_with_other_events(found: dict[str, Subject]) -> None:
    trace = run(found["c"], ("PY_RETURN",), *IN_FLIGHT)
    assert calls(trace) == [(0, 0, None)]
    assert outcome(trace) == (0, ("exception", "ValueError", ("pending",), None))


@has_native
def test_rule_in_flight_with_other_events_in_cpython() -> None:
    """The callback runs with the exception set, and fails for that, or the process does."""
    seen = alone("import test_semantics as t; t.fire_in_flight()")
    assert seen.returncode != 0 or "SystemError" in seen.stdout


@has_native
def test_rule_ancillary(found: dict[str, Subject]) -> None:
    cpython, rmon = both(
        found,
        ("CALL", "C_RETURN", "CALL", "C_RAISE"),
        ("use", 1, "a tool"),
        *(("register", 1, event, ("none", ())) for event in ("CALL", "C_RETURN", "C_RAISE")),
        ("set_events", 1, ("CALL", "C_RETURN", "C_RAISE")),
        ("enter", 0),
        fire(0, first="len", second="str"),
        fire(1, first="int"),
        fire(2, first="len", second="MISSING"),
        fire(3, pending="ValueError"),
    )
    with_argument, without = (0, 0, "len", "x"), (0, 0, "len", "MISSING")
    assert calls(cpython) == [with_argument, without]
    assert calls(rmon) == [with_argument, with_argument, without, without]


BRANCHES = (
    ("use", 1, "a tool"),
    ("register", 1, "BRANCH", ("none", ())),
    ("set_events", 1, ("BRANCH",)),
    ("enter", 0),
    *(fire(state, first="int") for state in range(3)),
)


@has_native
def test_rule_branch(found: dict[str, Subject]) -> None:
    types = ("BRANCH", "BRANCH_LEFT", "BRANCH_RIGHT")
    assert calls(run(found["c"], types, *BRANCHES)) == [(0, 0, 5)] * 3
    if VERSION < (3, 14):
        assert calls(run(found["interpreter"], types, *BRANCHES)) == [(0, 0, 5)]  # there are no directions
    else:  # it reads a code object's bytecode from what is none: it is not called, or worse happens
        seen = alone("import test_semantics as t; t.show_branches()")
        assert seen.returncode != 0 or seen.stdout == "[]\n"


@has_native
def test_rule_null(found: dict[str, Subject]) -> None:
    types = ("PY_RETURN", "CALL", "JUMP", "STOP_ITERATION")
    operations: list[Any] = [("use", 1, "a tool"), *(("register", 1, event, ("none", ())) for event in types)]
    operations += [("set_events", 1, types), ("enter", 0)]
    operations += [fire(state, first="NULL", second="NULL") for state in range(4)]
    stop = ("exception", "StopIteration", (), None)
    assert calls(run(found["c"], types, *operations)) == [
        (0, 0, None),
        (0, 0, "MISSING", "MISSING"),
        (0, 0, -1),
        (0, 0, stop),
    ]
    assert alone("import test_semantics as t; t.fire_null()").returncode != 0


SPREADING = (*listen("STOP_ITERATION"), ("enter", 0), fire(first="tuple"))


@has_native
def test_rule_stop_iteration(found: dict[str, Subject]) -> None:
    cpython, rmon = both(found, ("STOP_ITERATION",), *SPREADING)
    assert calls(cpython) == [(0, 0, ("exception", "StopIteration", (1, 2), None))]
    assert calls(rmon) == [(0, 0, ("exception", "StopIteration", ((1, 2),), None))]


REPLACING = (
    *listen("RAISE", "disable", (("register", 1, "RAISE", ("none", ())),)),
    ("enter", 0),
    *[fire(pending="ValueError")] * 2,
)


@has_native
def test_rule_replaced(found: dict[str, Subject]) -> None:
    cpython, rmon = both(found, ("RAISE",), *REPLACING)
    assert [entry[1] for entry in cpython if entry[0] == "call"] == [0]
    assert [entry[1] for entry in rmon if entry[0] == "call"] == [0, 1]


@has_native
def test_rule_free_clears(found: dict[str, Subject]) -> None:
    operations = (*listen("LINE"), ("free", 1), ("use", 1, "again"), ("get_events", 1))
    cpython, rmon = both(found, ("LINE",), *operations)
    assert cpython[-1] == ("get_events", ("LINE",) if VERSION < (3, 14) else ())
    assert rmon[-1] == ("get_events", ())


# ---- What CPython does not survive, in processes of their own ----


def alone(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def unprotected() -> Subject:
    """CPython, asked for what is left out otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        subject = subjects(Path(folder), "whole")["interpreter"]
    subject.is_rmon = True
    return subject


def fire_in_flight() -> None:
    print(outcome(run(unprotected(), ("PY_RETURN",), *IN_FLIGHT)))


def show_branches() -> None:
    subject = unprotected()
    print(calls(run(subject, ("BRANCH_LEFT", "BRANCH_RIGHT"), *BRANCHES[:-1])))


def fire_null() -> None:
    run(unprotected(), ("PY_RETURN",), *listen("PY_RETURN"), ("enter", 0), fire(first="NULL"))
