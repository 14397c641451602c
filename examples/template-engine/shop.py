"""Renders the page of an order to standard output: a program whose templates can be measured."""

from __future__ import annotations

import sys
from pathlib import Path

from plate import Template

TEMPLATES = Path(__file__).with_name("templates")

ORDER = {
    "number": 42,
    "items": [
        {"count": 2, "name": "Salt & vinegar", "note": ""},
        {"count": 1, "name": "Pepper", "note": "ground"},
    ],
    "paid": False,
    "late": False,
    "total": "7.50",
}


def main() -> None:
    page = Template(str(TEMPLATES / "order.html"))
    sys.stdout.write(page.render({"order": ORDER, "shop": "the shop"}))


if __name__ == "__main__":
    main()
