"""Runs invoice.calc and, if rmon is installed, shows how often each of its lines ran."""

from collections import Counter
from pathlib import Path

import calc

try:
    from rmon import monitoring
except ImportError:
    monitoring = None

SCRIPT = "invoice.calc"
lines: Counter = Counter()


def on_line(code, line):
    if code.co_filename != SCRIPT:
        return monitoring.DISABLE  # Python's own, on CPython 3.12 and newer
    lines[line] += 1


def main():
    if monitoring:
        monitoring.use_tool_id(monitoring.PROFILER_ID, "demo")
        monitoring.register_callback(monitoring.PROFILER_ID, monitoring.events.LINE, on_line)
        monitoring.set_events(monitoring.PROFILER_ID, monitoring.events.LINE)
    result = calc.run(SCRIPT, {"count": 3, "price": 50})
    if monitoring:
        monitoring.free_tool_id(monitoring.PROFILER_ID)
        for number, text in enumerate(Path(SCRIPT).read_text().splitlines(), 1):
            print(f"{lines[number] or '':>3} | {text}".rstrip())
    print(f"total: {result['total']:.2f}, each: {result['each']:.2f}")


if __name__ == "__main__":
    main()
