"""Compares rmon, CPython's own implementation, and the model of both, on lists of operations made up by hypothesis.

    python run.py [--lists N] [--seed N] [--folder DIR]

Prints how many lists were run, and in how many of them each rule made a difference. A list on which they part is made
as short as it can be, and printed with both traces.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from differential.model import Model  # noqa: E402
from differential.operations import List, lists  # noqa: E402
from differential.rules import RULES  # noqa: E402
from differential.subjects import VERSION, subjects  # noqa: E402


class Comparison:
    def __init__(self, folder: Path) -> None:
        self.subjects = {form: subjects(folder, form) for form in ("whole", "testing")}
        self.lists = 0
        self.entries = 0
        self.rules: Counter[str] = Counter()
        self.numbers: dict[str, int] = {}
        for subject in self.subjects["whole"].values():
            self.numbers = {**subject.numbers, **self.numbers}

    def difference(self, what: List) -> str:
        """How an implementation parts from the model on a list; empty if none does."""
        for name, subject in self.subjects[what.form].items():
            model = Model(self.numbers, VERSION, RULES if subject.is_rmon else (), what.form)
            expected = model.run_list(what)
            seen = subject.run_list(what)
            if subject.is_rmon:
                self.rules.update({rule for rule, count in model.used.items() if count})
                self.entries += len(seen)
            if seen != expected:
                return report(name, expected, seen)
        self.lists += 1
        return ""


def report(name: str, expected: list[Any], seen: list[Any]) -> str:
    same = 0
    while same < min(len(expected), len(seen)) and expected[same] == seen[same]:
        same += 1
    lines = [f"  {entry}" for entry in expected[max(0, same - 8) : same]]
    lines += ["model:", *(f"  {entry}" for entry in expected[same : same + 3])]
    lines += [f"{name}:", *(f"  {entry}" for entry in seen[same : same + 3])]
    return "\n".join(lines)


def listed(what: List) -> str:
    return "\n".join([f"form {what.form}", *(f"scope {types}" for types in what.scopes), *map(str, what.operations)])


def compare(folder: Path, count: int, seed: int) -> Comparison:
    """Runs so many lists. AssertionError with the shortest list on which an implementation parts from the model."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    comparison = Comparison(folder)

    @seeded(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(lists())
    def check(what: List) -> None:
        difference = comparison.difference(what)
        if difference:
            raise AssertionError(f"seed {seed}\n{listed(what)}\n{difference}")

    check()
    return comparison


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lists", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=20240311)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        comparison = compare(options.folder or Path(folder), options.lists, options.seed)
    print(
        f"CPython {sys.version.split()[0]}, seed {options.seed}: {comparison.lists} lists, {comparison.entries} entries"
    )
    for rule in RULES:
        print(f"  {comparison.rules[rule]:6}  {rule}")


if __name__ == "__main__":
    main()
