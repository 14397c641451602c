"""Sorts some mail by mail.rules and, if rmon is installed, shows which rules were asked, and how often they fitted."""

from collections import Counter
from pathlib import Path

from mailfilter import Filter

try:
    from rmon import monitoring
except ImportError:
    monitoring = None

RULES = "mail.rules"
MAIL = [
    {"from": "mum@example.org", "subject": "Sunday?"},
    {"from": "shop@example.com", "subject": "Your invoice"},
    {"from": "prizes@casino.example", "subject": "Your lottery invoice"},
    {"from": "win@casino.example", "subject": "Hello"},
    {"from": "boss@example.com", "subject": "Monday?"},
]


class Watcher:
    """A tool that watches one filter, and nothing else."""

    def __init__(self, filter):
        self.lines = {offset: line for offset, _, line in filter.co_lines()}
        self.asked, self.fitted = Counter(), Counter()
        tool, events = monitoring.PROFILER_ID, monitoring.events
        monitoring.use_tool_id(tool, "demo")
        monitoring.register_callback(tool, events.LINE, self.on_line)
        monitoring.register_callback(tool, events.BRANCH_LEFT, self.on_fit)
        monitoring.set_local_events(tool, filter, events.LINE | events.BRANCH_LEFT)

    def on_line(self, code, line):
        self.asked[line] += 1

    def on_fit(self, code, offset, target):
        self.fitted[self.lines[offset]] += 1

    def show(self):
        monitoring.free_tool_id(monitoring.PROFILER_ID)
        print("asked fitted")
        for number, text in enumerate(Path(RULES).read_text().splitlines(), 1):
            print(f"{self.asked[number] or '':5} {self.fitted[number] or '':6} | {text}".rstrip())


def main():
    filter = Filter(RULES)
    watcher = Watcher(filter) if monitoring else None
    folders = [filter.sort(message) for message in MAIL]
    if watcher:
        watcher.show()
    for folder, message in zip(folders, MAIL):
        print(f"{folder}: {message['subject']}")


if __name__ == "__main__":
    main()
