"""Draws flower.logo and, if rmon is installed, shows which of its procedures called which, and how often."""

from collections import Counter

from logo import draw

try:
    from rmon import monitoring
except ImportError:
    monitoring = None

FILE = "flower.logo"


class Calls:
    """A tool that counts the procedures' calls."""

    def __init__(self):
        self.running = []
        self.calls = Counter()
        tool, events = monitoring.PROFILER_ID, monitoring.events
        monitoring.use_tool_id(tool, "demo")
        monitoring.register_callback(tool, events.PY_START, self.on_start)
        monitoring.register_callback(tool, events.PY_RETURN, self.on_return)
        monitoring.set_events(tool, events.PY_START | events.PY_RETURN)

    def on_start(self, code, offset):
        if code.co_filename != FILE:
            return monitoring.DISABLE  # Python's own, on CPython 3.12 and newer
        if self.running:
            self.calls[self.running[-1], code.co_name] += 1
        self.running.append(code.co_name)

    def on_return(self, code, offset, value):
        if code.co_filename != FILE:
            return monitoring.DISABLE
        self.running.pop()

    def show(self):
        monitoring.free_tool_id(monitoring.PROFILER_ID)
        for (caller, called), count in sorted(self.calls.items()):
            print(f"{caller} calls {called}: {count} times")


def main():
    calls = Calls() if monitoring else None
    strokes = draw(FILE)
    if calls:
        calls.show()
    x, y = strokes[-1][2:]
    print(f"{len(strokes)} strokes, {'back where it began' if abs(x) + abs(y) < 1e-9 else 'ends elsewhere'}")


if __name__ == "__main__":
    main()
