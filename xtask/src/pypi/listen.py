"""Runs pytest with a tool in Python that listens to all events: listen.py REPORT PACKAGE -- [PYTEST ARGUMENTS].

REPORT gets a line for each event that a Cython module of the package reported, with how often it did; the first line
has the number of functions. Without REPORT ("") there is no tool.
"""

import collections
import functools
import importlib.util
import operator
import os
import sys

import pytest

import rmon

TOOL = 4


def listen(package):
    """Listens to everything; two counters that grow, of events and of functions."""
    monitoring, events, functions = rmon.monitoring, collections.Counter(), set()
    folder = os.path.basename(os.path.dirname(importlib.util.find_spec(package).origin))

    def callback_for(name):
        def callback(code, *arguments):
            path = getattr(code, "co_filename", "")
            if not path.endswith((".pyx", ".pxd")):
                # Python's own, of which there is too much. It is heard of once for each place.
                return monitoring.DISABLE if name in LOCAL else None
            if folder in path.split("/"):
                events[name] += 1
                functions.add((path, code.co_name, code.co_firstlineno))
            for argument in arguments:
                repr(type(argument))
            return None

        return callback

    numbers = {name: number for name, number in vars(monitoring.events).items() if number and name.isupper()}
    monitoring.use_tool_id(TOOL, "listens to everything")
    for name, number in numbers.items():
        monitoring.register_callback(TOOL, number, callback_for(name))
    ancillary = {"C_RETURN", "C_RAISE"}  # they come with CALL
    wanted = (number for name, number in numbers.items() if name not in ancillary)
    monitoring.set_events(TOOL, functools.reduce(operator.or_, wanted))
    return events, functions


LOCAL = {
    *("PY_START", "PY_RESUME", "PY_RETURN", "PY_YIELD", "CALL", "LINE", "INSTRUCTION", "JUMP", "BRANCH"),
    *("BRANCH_LEFT", "BRANCH_RIGHT", "STOP_ITERATION"),
}

report, package, _, *arguments = sys.argv[1:]
if report:
    events, functions = listen(package)
status = pytest.main(arguments)
if report:
    rmon.monitoring.set_events(TOOL, 0)
    with open(report, "w", encoding="utf-8") as file:
        print(len(functions), "functions", file=file)
        for name, count in sorted(events.items()):
            print(count, name, file=file)
sys.exit(status)
