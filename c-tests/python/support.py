"""What the tests share: emitters, a tool that listens, and the names of what arrives."""

import collections
import functools
import importlib
import unittest

import emitter
import emitter_linked
import listener

EVENTS = emitter.EVENTS
NAMES = {number: name for name, number in EVENTS.items()}

# The events that carry the current exception.
EXCEPTION_EVENTS = ("RAISE", "RERAISE", "EXCEPTION_HANDLED", "PY_UNWIND", "PY_THROW", "C_RAISE")
TARGET_EVENTS = ("JUMP", "BRANCH", "BRANCH_LEFT", "BRANCH_RIGHT")
# No function fires INSTRUCTION.
FIRED = tuple(name for name in EVENTS if name != "INSTRUCTION")
LOCAL = tuple(name for name in FIRED if EVENTS[name] in emitter.LOCAL)

# Attached lazily, linked, and with the limited API if the interpreter has it.
EMITTERS = [emitter, emitter_linked]
try:
    EMITTERS.append(importlib.import_module("emitter_limited"))
except ImportError:
    pass

TOOL = 2

Note = collections.namedtuple("Note", "event tool offset line target_offset code object arg0 description")


class CodeLike:
    """A look-alike: any object will do."""


def bit(*names):
    """The event set of these events."""
    return sum(1 << EVENTS[name] for name in names)


def settable(events):
    """The event set with what must be set along with it."""
    ancillary = bit("C_RETURN", "C_RAISE")
    return events | ancillary | bit("CALL") if events & ancillary else events


class Scope:
    """A scope of an emitter, with a state for each of these events, in their order."""

    def __init__(self, emitter, *names):
        self.emitter = emitter
        self.names = names
        self.scope = emitter.scope(bytes(EVENTS[name] for name in names))
        self.enter()

    def enter(self):
        result, raised = self.emitter.enter(self.scope)
        assert (result, raised) == (0, None), raised

    def active(self):
        return dict(zip(self.names, self.emitter.active(self.scope)))

    def fire(self, name, code, offset=0, *values, raised=None, count=1):
        """Fires; (result, the exception that is set afterwards). Values that an event must have are made up."""
        if not values:
            values = (1,) if name == "LINE" else ()
        if raised is None and name in EXCEPTION_EVENTS:
            raised = KeyError("in flight")
        return self.emitter.fire(self.scope, self.names.index(name), code, offset, values, raised, count)


class ListeningTest(unittest.TestCase):
    """A test with a tool that hears nothing yet."""

    def setUp(self):
        self.addCleanup(self.stop)
        self.setup()

    def stop(self):
        for tool in range(6):
            listener.leave(tool)
        listener.setup(False, False, 0)

    def setup(self, answer=0, hook=None, describe=False, note=True):
        """What the callback does from now on."""
        listener.setup(note, describe, answer, hook)

    def listen(self, *names, tool=TOOL):
        """Hears these events everywhere."""
        listener.listen(tool, settable(bit(*names)), bit(*names))

    def notes(self):
        return [Note(*item) for item in listener.take()]

    def heard(self):
        """The names of the events that arrived."""
        return [NAMES[note.event] for note in self.notes()]


def with_each(modules):
    """Makes a test of one module a test of each of these, with a tool that hears nothing yet."""

    def decorate(test):
        @functools.wraps(test)
        def run(self):
            for module in modules:
                with self.subTest(module=module.__name__):
                    self.stop()
                    self.setup()
                    test(self, module)

        return run

    return decorate


with_each_emitter = with_each(EMITTERS)
