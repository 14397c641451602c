"""The exception rules: what is current is preserved, what fails is told, and nothing is lost."""

import sys

import emitter
import listener
from support import EVENTS, EXCEPTION_EVENTS, FIRED, LOCAL, CodeLike, ListeningTest, Scope, with_each_emitter

# Where the interpreter has events, messages have its numbers.
RENUMBERED = (3, 12) <= sys.version_info < (3, 14)


def raising(exception):
    """A function that raises it, for whatever it is called with."""

    def hook(event):
        raise exception

    return hook


class Current(ListeningTest):
    @with_each_emitter
    def test_the_current_exception_is_out_of_the_way_in_callbacks_and_back_afterwards(self, module):
        self.listen(*FIRED)
        seen = []
        self.setup(hook=lambda event: seen.append(len("works")))  # SystemError with an exception set
        scope = Scope(module, *FIRED)
        for name in FIRED:
            raised = OSError(name)
            self.assertEqual(scope.fire(name, CodeLike(), raised=raised), (0, raised))
        self.assertEqual(len(seen), len(FIRED))

    @with_each_emitter
    def test_none_is_set_where_none_was(self, module):
        self.listen(*FIRED)
        scope = Scope(module, *FIRED)
        for name in FIRED:
            if name not in EXCEPTION_EVENTS:
                self.assertEqual(scope.fire(name, CodeLike()), (0, None))

    @with_each_emitter
    def test_an_exception_event_without_an_exception_is_an_error(self, module):
        self.listen(*FIRED)
        scope = Scope(module, *EXCEPTION_EVENTS)
        for index, name in enumerate(EXCEPTION_EVENTS):
            result, error = module.fire(scope.scope, index, CodeLike(), 0)
            number = EVENTS[name] - 1 if RENUMBERED else EVENTS[name]
            self.assertEqual(result, -1)
            self.assertIs(type(error), ValueError)
            self.assertEqual(str(error), f"Firing event {number} with no exception set")
            if RENUMBERED:
                self.assertEqual(getattr(sys.monitoring.events, name), 1 << number)
        self.assertEqual(self.heard(), [])

    def test_emitters_without_python_get_it_from_the_host(self):
        self.listen("LINE", "RAISE")
        Scope(emitter, "LINE").fire("LINE", CodeLike())  # the first fire makes Python known to rmon
        self.setup()
        raised = OSError("in flight")
        references = sys.getrefcount(raised)
        listener.fire_current(raised)
        self.assertIs(self.notes()[0].object, raised)
        self.assertEqual(sys.getrefcount(raised), references)
        with self.assertRaisesRegex(OSError, "no exception set"):
            listener.fire_current(None)
        self.assertEqual(self.heard(), [])

    def test_a_traceback_survives(self):
        self.listen("RAISE")
        try:
            raise OSError("with a traceback")
        except OSError as error:
            raised = error
        before = raised.__traceback__
        self.assertIsNotNone(before)
        Scope(emitter, "RAISE").fire("RAISE", CodeLike(), raised=raised)
        self.assertIs(raised.__traceback__, before)


class Failure(ListeningTest):
    def check(self, outcome, kind, message, context):
        result, error = outcome
        self.assertEqual((result, type(error), str(error)), (-1, kind, message))
        self.assertIs(error.__context__, context)

    @with_each_emitter
    def test_a_callbacks_exception_is_the_fires(self, module):
        self.listen(*FIRED)
        scope = Scope(module, *FIRED)
        for name in FIRED:
            own, raised = KeyError(name), OSError("in flight")
            self.setup(hook=raising(own))
            result, error = scope.fire(name, CodeLike(), raised=raised)
            self.assertEqual(result, -1)
            self.assertIs(error, own)
            self.assertIs(error.__context__, raised)

    @with_each_emitter
    def test_a_callback_that_fails_without_one_gets_one(self, module):
        self.listen(*FIRED)
        self.setup(answer=listener.CALLBACK_FAILED)
        scope = Scope(module, *FIRED)
        for name in FIRED:
            raised = OSError(name)
            outcome = scope.fire(name, CodeLike(), raised=raised)
            self.check(outcome, RuntimeError, listener.CALLBACK_FAILED_TEXT, raised)
        self.check(scope.fire("LINE", CodeLike()), RuntimeError, listener.CALLBACK_FAILED_TEXT, None)

    def test_an_error_stops_lower_tools(self):
        self.listen("LINE", tool=4)
        self.listen("LINE", tool=1)
        self.setup(answer=listener.CALLBACK_FAILED)
        Scope(emitter, "LINE").fire("LINE", CodeLike())
        self.assertEqual([note.tool for note in self.notes()], [4])

    @with_each_emitter
    def test_a_negative_offset_is_an_error(self, module):
        self.listen(*FIRED)
        scope = Scope(module, *FIRED)
        for name in FIRED:
            raised = OSError(name)
            outcome = scope.fire(name, CodeLike(), -1, raised=raised)
            self.check(outcome, ValueError, "offset must be non-negative", raised)
        self.assertEqual(self.heard(), [])

    @with_each_emitter
    def test_disable_of_an_event_without_location_is_an_error(self, module):
        self.listen(*FIRED)
        self.setup(answer=listener.DISABLE)
        others = [name for name in FIRED if name not in LOCAL]
        scope = Scope(module, *others)
        for name in others:
            raised = OSError(name)
            outcome = scope.fire(name, CodeLike(), raised=raised)
            self.check(outcome, ValueError, f"Cannot disable {name} events. Callback removed.", raised)
            self.assertFalse(listener.has_callback(2, EVENTS[name]))
            self.assertEqual(scope.fire(name, CodeLike(), raised=raised), (0, raised))
        self.assertEqual(self.heard(), others)

    @with_each_emitter
    def test_an_unknown_event_type_is_an_error_and_changes_nothing(self, module):
        self.listen("LINE")
        scope = module.scope(bytes([EVENTS["LINE"], 19, 200]))
        for raised in (None, OSError("in flight")):
            self.check(module.enter(scope, raised), ValueError, "invalid event 19", raised)
        self.assertEqual(module.active(scope), bytes(3))

    @with_each_emitter
    def test_entering_leaves_the_current_exception(self, module):
        self.listen("LINE")
        raised = OSError("in flight")
        self.assertEqual(module.enter(module.scope(bytes([EVENTS["LINE"]])), raised), (0, raised))


class Context(ListeningTest):
    def fail_with(self, error, raised):
        self.listen("RAISE")
        self.setup(hook=raising(error))
        result, after = Scope(emitter, "RAISE").fire("RAISE", CodeLike(), raised=raised)
        self.assertEqual(result, -1)
        self.assertIs(after, error)

    def chain(self, error):
        found = []
        while error is not None:
            self.assertNotIn(error, found, "a ring")
            found.append(error)
            error = error.__context__
        return found

    def test_what_was_handled_meanwhile_stays_below(self):
        outer, raised, error = LookupError("outer"), OSError("raised"), KeyError("error")
        try:
            raise outer
        except LookupError:
            # The interpreter gives both `outer` for a context, as it is being handled.
            raised.__context__ = outer
            self.fail_with(error, raised)
        self.assertEqual(self.chain(error), [error, raised, outer])

    def test_the_callbacks_own_context_stays_above(self):
        first, error, raised = LookupError("first"), KeyError("error"), OSError("raised")
        error.__context__ = first
        self.fail_with(error, raised)
        self.assertEqual(self.chain(error), [error, first, raised])

    def test_the_same_exception_raised_again_is_no_context_of_itself(self):
        raised = OSError("raised")
        self.fail_with(raised, raised)
        self.assertEqual(self.chain(raised), [raised])

    def test_a_context_of_the_current_exception_raised_again_makes_no_ring(self):
        below, raised = KeyError("below"), OSError("raised")
        raised.__context__ = below
        self.fail_with(below, raised)
        self.assertEqual(self.chain(below), [below, raised])

    def test_a_ring_that_was_there_before_is_survived(self):
        one, two, error = OSError("one"), OSError("two"), KeyError("error")
        one.__context__ = two
        two.__context__ = one
        self.fail_with(error, one)
        self.assertIs(error.__context__, one)


class StopIterations(ListeningTest):
    @with_each_emitter
    def test_the_value_is_the_value(self, module):
        self.listen("STOP_ITERATION")
        scope = Scope(module, "STOP_ITERATION")
        for value in (1, "text", (1, 2), (), [3], KeyError("k"), StopIteration, None):
            self.assertEqual(scope.fire("STOP_ITERATION", CodeLike(), 0, value), (0, None))
            (note,) = self.notes()
            self.assertIs(type(note.object), StopIteration)
            self.assertIs(note.object.value, value)

    @with_each_emitter
    def test_null_is_none(self, module):
        self.listen("STOP_ITERATION")
        self.assertEqual(Scope(module, "STOP_ITERATION").fire("STOP_ITERATION", CodeLike()), (0, None))
        (note,) = self.notes()
        self.assertEqual((type(note.object), note.object.args), (StopIteration, ()))

    @with_each_emitter
    def test_a_stop_iteration_is_itself(self, module):
        class Own(StopIteration):
            pass

        self.listen("STOP_ITERATION")
        scope = Scope(module, "STOP_ITERATION")
        for value in (StopIteration(5), Own((1, 2))):
            self.assertEqual(scope.fire("STOP_ITERATION", CodeLike(), 0, value), (0, None))
            self.assertIs(self.notes()[0].object, value)
