"""CPython's own tests of sys.monitoring, the interpreter's file test/test_monitoring.py, with rmon in the way.

The whole file must have the same outcomes, test by test, with rmon.install() in force and with rmon.monitoring in
sys.monitoring's place, as without rmon (3.12 and newer). Its class for the C API, TestCApiEventGeneration, must pass
with the functions of _testcapi replaced by rmon.testing's (3.13 and newer).
"""

from __future__ import annotations

import json
import sys
import textwrap
from typing import Any, Callable

import pytest

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="the interpreter has no sys.monitoring")

# Tests whose outcome differs, by how rmon is in the way, with the reason. None is known that must.
EXPECTED: dict[str, dict[str, str]] = {"install": {}, "monitoring": {}, "testing": {}, "testing and install": {}}

RUNNER = """
    import faulthandler, json, sys, types, unittest

    faulthandler.dump_traceback_later(100, exit=True)
    how, what = sys.argv[1], sys.argv[2:]
    native = sys.monitoring
    if how != "without":
        import rmon, rmon.testing
    if "install" in how:
        rmon.install()
    if how in ("monitoring", "testing"):
        sys.monitoring = rmon.monitoring
    if "testing" in how:
        import _testcapi
        replaced = types.ModuleType("_testcapi")
        replaced.__dict__.update(vars(_testcapi))
        fires = [name for name in dir(_testcapi) if name.startswith(("fire_event_", "monitoring_", "CodeLike"))]
        for name in fires:
            setattr(replaced, name, getattr(rmon.testing, name))
        sys.modules["_testcapi"] = replaced

    class Result(unittest.TestResult):
        def __init__(self):
            super().__init__()
            self.outcomes = {}

        def note(self, test, outcome):
            self.outcomes.setdefault(str(test), []).append(outcome)

        def startTest(self, test):
            super().startTest(test)
            self.outcomes.setdefault(str(test), [])

        def addSuccess(self, test): self.note(test, "passed")
        def addSkip(self, test, reason): self.note(test, "skipped: " + reason)
        def addExpectedFailure(self, test, error): self.note(test, "expected failure")
        def addUnexpectedSuccess(self, test): self.note(test, "unexpected success")
        def addError(self, test, error): self.note(test, "error: " + self._exc_info_to_string(error, test))
        def addFailure(self, test, error): self.note(test, "failed: " + self._exc_info_to_string(error, test))
        def addSubTest(self, test, subtest, error):
            text = "passed" if error is None else "failed: " + self._exc_info_to_string(error, test)
            self.note(test, str(subtest) + " " + text)

    result = Result()
    unittest.defaultTestLoader.loadTestsFromNames(what).run(result)
    faulthandler.cancel_dump_traceback_later()
    assert native is not None
    with open("outcomes", "w") as file:
        json.dump(result.outcomes, file)
"""


@pytest.fixture
def outcomes(run_python: Callable[..., Any], tmp_path: Any) -> Callable[..., dict[str, list[str]]]:
    pytest.importorskip("test.test_monitoring", reason="the interpreter comes without its tests")

    def run(how: str, *what: str) -> dict[str, list[str]]:
        (tmp_path / "outcomes").unlink(missing_ok=True)
        done = run_python("-c", textwrap.dedent(RUNNER), how, *what, check=False)
        try:
            result: dict[str, list[str]] = json.loads((tmp_path / "outcomes").read_text())
        except FileNotFoundError:
            pytest.fail(f"ended with {done.returncode}\n{done.stdout}{done.stderr}", pytrace=False)
        return result

    return run


def leave_out(found: dict[str, list[str]], how: str) -> dict[str, list[str]]:
    return {name: outcome for name, outcome in found.items() if name.split(" ")[0] not in EXPECTED[how]}


def without_location(texts: list[str]) -> list[str]:
    return [text.split(":")[0] if text.startswith(("failed", "error")) else text for text in texts]


@pytest.mark.parametrize("how", ["install", "monitoring"])
def test_the_interpreters_own_tests(outcomes: Callable[..., dict[str, list[str]]], how: str) -> None:
    without = leave_out(outcomes("without", "test.test_monitoring"), how)
    found = leave_out(outcomes(how, "test.test_monitoring"), how)
    assert len(without) > 50
    assert list(found) == list(without)
    differing = [
        f"{name}\nwithout rmon: {without[name]}\nwith rmon: {''.join(found[name])}"
        for name in without
        if without_location(found[name]) != without_location(without[name])
    ]
    if differing:
        pytest.fail("\n".join(differing), pytrace=False)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="the interpreter has no C API of monitoring")
@pytest.mark.parametrize("how", ["testing", "testing and install"])
def test_the_interpreters_tests_of_its_c_api(outcomes: Callable[..., dict[str, list[str]]], how: str) -> None:
    found = leave_out(outcomes(how, "test.test_monitoring.TestCApiEventGeneration"), how)
    assert len(found) >= 5
    failed = {name: "".join(texts) for name, texts in found.items() if any(not t.endswith("passed") for t in texts)}
    if failed:
        pytest.fail("\n".join(f"{name}\n{text}" for name, text in failed.items()), pytrace=False)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="the interpreter has no C API of monitoring")
def test_testing_has_all_that_testcapi_has() -> None:
    testcapi = pytest.importorskip("_testcapi")
    import rmon.testing

    names = [name for name in dir(testcapi) if name.startswith(("fire_event_", "monitoring_", "CodeLike"))]
    assert len(names) > 15
    assert [name for name in names if not hasattr(rmon.testing, name)] == []
