"""The Python program in the project's README does what it seems to do."""

from __future__ import annotations

import os
from typing import Any, Callable

README = os.path.join(os.path.dirname(__file__), "..", "..", "..", "README.md")


def test_the_example(run_python: Callable[..., Any]) -> None:
    with open(README, encoding="utf-8") as file:
        program = file.read().split("```python\n")[1].split("```")[0]
    assert run_python("-c", program).stdout == "greeting 1\ngreeting 2\n"
