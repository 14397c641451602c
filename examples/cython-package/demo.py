"""Looks for words like a misspelt one and, if rmon is installed, shows what the
module's functions did.
"""

from collections import Counter, defaultdict

from spelling import Dictionary

try:
    from rmon import monitoring
except ImportError:
    monitoring = None

WORDS = "monitor monotone minitour motor month manual monument".split()


class Counts:
    """A tool that counts the calls of functions in .pyx files, and notes which of their lines run."""

    def __init__(self):
        self.calls, self.lines = Counter(), defaultdict(set)
        tool, events = monitoring.PROFILER_ID, monitoring.events
        monitoring.use_tool_id(tool, "demo")
        monitoring.register_callback(tool, events.PY_START, self.on_start)
        monitoring.register_callback(tool, events.LINE, self.on_line)
        monitoring.set_events(tool, events.PY_START | events.LINE)

    def on_start(self, code, offset):
        if not code.co_filename.endswith(".pyx"):
            return monitoring.DISABLE  # Python's own, on CPython 3.12 and newer
        self.calls[code.co_name] += 1

    def on_line(self, code, line):
        if not code.co_filename.endswith(".pyx"):
            return monitoring.DISABLE
        self.lines[code.co_name].add(line)

    def show(self):
        monitoring.free_tool_id(monitoring.PROFILER_ID)
        for name, calls in sorted(self.calls.items()):
            print(f"{name:8}  calls: {calls:3}   of its lines run: {len(self.lines[name])}")


def main():
    counts = Counts() if monitoring else None
    suggestions = Dictionary(WORDS).suggest("monitur")
    if counts:
        counts.show()
    print("monitur?", *suggestions)


if __name__ == "__main__":
    main()
