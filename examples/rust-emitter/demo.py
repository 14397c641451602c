"""Applies orders.recipe to some orders and, if rmon is installed, shows how often each of its lines ran."""

from collections import Counter
from pathlib import Path

from recipe import Recipe

try:
    from rmon import monitoring
except ImportError:
    monitoring = None

FILE = "orders.recipe"
ORDERS = [
    {"item": "lamp", "price": 59.5, "count": 2, "currency": "EUR"},
    {"item": "chair", "price": 100, "count": 0, "currency": "EUR"},
    {"item": "bulb", "price": 2, "count": 4, "currency": "EUR"},
    {"item": "desk", "price": 119, "count": 1, "currency": "CHF"},
]


def in_euros(order):
    if order["currency"] == "CHF":
        order["gross"] *= 1.05


class Watcher:
    """A tool that counts the lines of recipes, and how often a line let a row pass."""

    def __init__(self):
        self.lines = Counter()
        self.kept = Counter()
        tool, events = monitoring.PROFILER_ID, monitoring.events
        monitoring.use_tool_id(tool, "demo")
        monitoring.register_callback(tool, events.LINE, self.on_line)
        monitoring.register_callback(tool, events.BRANCH_LEFT, self.on_kept)
        monitoring.set_events(tool, events.LINE | events.BRANCH_LEFT)

    def on_line(self, code, line):
        if code.co_filename != FILE:
            return monitoring.DISABLE  # Python's own, on CPython 3.12 and newer
        self.lines[line] += 1

    def on_kept(self, code, offset, target):
        if code.co_filename != FILE:
            return monitoring.DISABLE
        [line] = [line for start, _, line in code.co_lines() if start == offset]
        self.kept[line] += 1

    def show(self):
        monitoring.free_tool_id(monitoring.PROFILER_ID)
        for number, text in enumerate(Path(FILE).read_text().splitlines(), 1):
            kept = f"kept {self.kept[number]}" if text.startswith("keep") else ""
            print(f"{self.lines[number] or '':>3} | {text:25} {kept}".rstrip())


def main():
    watcher = Watcher() if monitoring else None
    orders = list(Recipe(FILE, {"in_euros": in_euros}).apply(ORDERS))
    if watcher:
        watcher.show()
    for order in orders:
        print(f"{order['count']} {order['item']}: {order['net']:.2f}")


if __name__ == "__main__":
    main()
