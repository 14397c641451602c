"""The limited API: what an emitter says that is compiled for it arrives as it does from one with the whole API.

Each emitter is alone in a process of its own, where none helps the other.
"""

import os
import subprocess
import sys
import unittest

from support import EMITTERS

# Prints what a tool hears, and what the fires give: for the emitter that is named.
SCRIPT = """
import importlib, sys

sys.modules["emitter"] = sys.modules["emitter_linked"] = emitter = importlib.import_module(sys.argv[1])
import listener
from support import EVENTS, EXCEPTION_EVENTS, FIRED, LOCAL, TARGET_EVENTS, NAMES, Scope, bit, settable

try:
    MISSING = sys.monitoring.MISSING
except AttributeError:
    MISSING = "no MISSING"


class Named:
    co_name, co_filename, co_firstlineno = "named", "file", 7


class Qualified(Named):
    co_qualname = "Class.named"


class Strange(Named):
    co_name = 5


class Raising:
    @property
    def co_name(self):
        raise OSError


def function():
    pass


CODES = [function.__code__, Named(), Qualified(), Strange(), Raising(), object(), None]


def shown(value):
    if isinstance(value, BaseException):
        args = tuple(map(shown, value.args))
        return type(value).__name__, args, shown(value.__context__), value.__traceback__ is not None
    return CODES.index(value) if value in CODES else value if isinstance(value, (str, int, float)) else type(value)


def heard():
    for event, *rest in listener.take():
        print("   ", NAMES[event], *map(shown, rest[:-1]), rest[-1])


def fire(*args, **options):
    result, raised = scope.fire(*args, **options)
    print(args[0], result, shown(raised))
    heard()


listener.setup(True, True, 0)
listener.listen(2, settable(bit(*FIRED)), bit(*FIRED))
scope = Scope(emitter, *FIRED)
raised = KeyError("in flight")
raised.__context__ = ValueError("before")
try:
    raise OSError("raised")
except OSError as error:
    traced = error

for name in FIRED:
    first = 5 if name in TARGET_EVENTS else (1, "tuple") if name == "STOP_ITERATION" else "value"
    for code in CODES:
        fire(name, code, 4, *([3] if name == "LINE" else [first]), raised=raised)
    fire(name, CODES[0], 4, *([3] if name == "LINE" else [None]), raised=traced)
    # Without an exception, and with an offset that is not allowed.
    print(emitter.fire(scope.scope, FIRED.index(name), CODES[0], 4, (3,) if name == "LINE" else ())[0])
    for values, given in [((3,), None), ((3,), raised)]:
        result, left = emitter.fire(scope.scope, FIRED.index(name), CODES[0], -1, values, given)
        print(name, result, shown(left))
    heard()
for value in (MISSING, None, StopIteration(4), 2**40, -1):
    fire("CALL", CODES[0], 0, len, value)
    fire("C_RETURN", CODES[0], 0, value)
    fire("STOP_ITERATION", CODES[0], 0, value)
    fire("JUMP", CODES[0], 0, value)
print(*map(shown, emitter.enter(emitter.scope(bytes([5, 99])), raised)))


def failing(event):
    raise ZeroDivisionError("callback")


listener.setup(True, False, 0, failing)
for name in FIRED:
    fire(name, CODES[1], 4, raised=raised)
listener.setup(True, False, listener.DISABLE)
for name in FIRED:
    for offset in (0, 0, 2):
        fire(name, CODES[1], offset, raised=raised)

"""


class Limited(unittest.TestCase):
    def said(self, module):
        """What the script prints for an emitter."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path[:2])}
        command = [sys.executable, "-c", SCRIPT, module.__name__]
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout.splitlines()

    def test_what_arrives_is_the_same(self):
        whole = self.said(EMITTERS[0])
        self.assertGreater(len(whole), 300)
        for module in EMITTERS[1:]:
            self.assertEqual(self.said(module), whole, module.__name__)
