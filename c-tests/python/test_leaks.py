"""A fire holds on to nothing."""

import gc
import sys

import emitter
import listener
from support import EVENTS, EXCEPTION_EVENTS, FIRED, CodeLike, ListeningTest, Scope, with_each_emitter

FIRES = 100_000


def resident():
    """The memory of this process, in bytes; None where it cannot be known."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096
    except OSError:
        return None


class Leaks(ListeningTest):
    def check(self, fires, watched):
        """Neither references to the objects nor memory is left by `fires()`, the second time."""
        fires()
        gc.collect()
        references, memory = [sys.getrefcount(item) for item in watched], resident()
        fires()
        gc.collect()
        self.assertEqual([sys.getrefcount(item) for item in watched], references)
        if memory is not None:
            self.assertLess(resident() - memory, FIRES * 8, "bytes were left by the fires")

    @with_each_emitter
    def test_fires_that_succeed(self, module):
        self.listen(*FIRED)
        self.setup(note=False)
        scope = Scope(module, *FIRED)
        code, value, raised = CodeLike(), object(), OSError("in flight")
        for name in FIRED:
            values = (100_000,) if name == "LINE" else (value,)
            for current in {raised, raised if name in EXCEPTION_EVENTS else None}:

                def fires():
                    outcome = scope.fire(name, code, 100_000, *values, raised=current, count=FIRES)
                    self.assertEqual(outcome, (0, current), name)

                self.check(fires, (code, value, raised))

    @with_each_emitter
    def test_fires_that_fail(self, module):
        self.listen(*FIRED)
        self.setup(note=False, answer=listener.CALLBACK_FAILED)
        scope = Scope(module, *FIRED)
        code, value, raised = CodeLike(), object(), OSError("in flight")

        def fires():
            for name in FIRED:
                values = (1,) if name == "LINE" else (value,)
                for offset in (0, -1):
                    for _ in range(200):
                        result, error = scope.fire(name, code, offset, *values, raised=raised)
                        self.assertEqual(result, -1, name)
                    del error

        self.check(fires, (code, value, raised))

    def test_an_exception_that_is_raised_again(self):
        raised, below = OSError("in flight"), KeyError("below")

        def hook(event):
            raise raised if event == EVENTS["RAISE"] else below

        def fires():
            for name in ("RAISE", "RERAISE"):
                for _ in range(200):
                    raised.__context__ = below
                    raised.__traceback__ = below.__traceback__ = None
                    scope.fire(name, CodeLike(), raised=raised)
                    below.__context__ = None

        self.listen("RAISE", "RERAISE")
        self.setup(note=False, hook=hook)
        scope = Scope(emitter, "RAISE", "RERAISE")
        self.check(fires, (raised, below))

    def test_targets_and_stop_iterations(self):
        self.listen(*FIRED)
        self.setup(note=False)
        scope = Scope(emitter, "JUMP", "STOP_ITERATION")
        number, stop, pair = 2**20, StopIteration(1), (object(), 2)

        def fires():
            scope.fire("JUMP", CodeLike(), 0, number, count=FIRES)
            scope.fire("STOP_ITERATION", CodeLike(), 0, stop, count=FIRES)
            scope.fire("STOP_ITERATION", CodeLike(), 0, pair, count=FIRES)

        self.check(fires, (number, stop, pair, pair[0]))

    def test_every_fire_arrived(self):
        self.listen("LINE")
        self.setup(note=False)
        Scope(emitter, "LINE").fire("LINE", CodeLike(), count=FIRES)
        self.assertEqual(listener.heard(), FIRES)
