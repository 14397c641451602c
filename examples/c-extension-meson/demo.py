"""Runs squares.svm and, if rmon is installed, shows what each of its lines did."""

import sys
from collections import Counter
from pathlib import Path

import stackvm

try:
    from rmon import monitoring
except ImportError:
    monitoring = None

SOURCE = "squares.svm"
FUNCTIONS = {"show": lambda value: print("shown:", value), "square": lambda value: value * value}


class Watcher:
    """A tool that watches one program, and nothing else."""

    def __init__(self, program):
        self.lines = {offset: line for offset, _, line in program.co_lines()}
        self.notes = {line: Counter() for line in self.lines.values()}
        tool, events = monitoring.PROFILER_ID, monitoring.events
        monitoring.use_tool_id(tool, "demo")
        monitoring.register_callback(tool, events.CALL, self.on_call)
        for event in (events.JUMP, events.BRANCH_LEFT, events.BRANCH_RIGHT):
            monitoring.register_callback(tool, event, self.on_jump)
        wanted = events.CALL | events.JUMP | events.BRANCH_LEFT | events.BRANCH_RIGHT
        monitoring.set_local_events(tool, program, wanted)

    def on_call(self, code, offset, function, argument):
        self.notes[self.lines[offset]][f"called with {argument}"] += 1

    def on_jump(self, code, offset, target):
        self.notes[self.lines[offset]][f"to line {self.lines[target]}"] += 1


def main():
    program = stackvm.Program(SOURCE)
    watcher = Watcher(program) if monitoring else None
    stack = program.run(FUNCTIONS)
    if watcher:
        monitoring.free_tool_id(monitoring.PROFILER_ID)
        for number, text in enumerate(Path(SOURCE).read_text().splitlines(), 1):
            notes = watcher.notes.get(number, {}).items()
            print(f"{number:2} | {text:30} {', '.join(f'{what} ({count})' for what, count in notes)}".rstrip())
    print("left on the stack:", stack)


if __name__ == "__main__":
    sys.exit(main())
