"""Cython modules, instrumented from the inside and from the outside: what they pass wrongly is put right."""

import sys
import unittest

import inside
import listener
import outside
import outside_cpp
from support import EVENTS, NAMES, ListeningTest, bit, with_each

MODULES = (inside, outside, outside_cpp)
with_each_module = with_each(MODULES)

HAS_POSITIONS = sys.version_info >= (3, 11)


def line_of(function, text, after=0):
    """The line, counted from the function's first, that starts with `text`."""
    lines = SOURCE[function.__code__.co_firstlineno - 1 :]
    return next(i for i, line in enumerate(lines) if line.strip().startswith(text) and i >= after)


def source():
    with open(inside.__file__.rsplit("inside", 1)[0] + "inside.pyx", encoding="utf-8") as file:
        return file.read().splitlines()


SOURCE = source()


def line_at(code, offset):
    """The line that the code's own table has at this offset."""
    for start, end, line in code.co_lines():
        if start <= offset < end:
            return line
    return None


class CythonTest(ListeningTest):
    def lines(self, function, notes=None):
        """The lines that were reported in the function, from its first line."""
        code = function.__code__
        notes = self.notes() if notes is None else notes
        return [n.line - code.co_firstlineno for n in notes if n.event == EVENTS["LINE"] and n.code is code]


class Stream(CythonTest):
    @with_each_module
    def test_a_function_starts_runs_its_lines_and_returns(self, module):
        self.listen("PY_START", "LINE", "PY_RETURN")
        self.assertEqual(module.loop(2), 1)
        notes = self.notes()
        names = [NAMES[note.event] for note in notes]
        self.assertEqual((names[0], names[-1]), ("PY_START", "PY_RETURN"))
        self.assertEqual({note.code for note in notes}, {module.loop.__code__})
        self.assertEqual(notes[-1].object, 1)
        self.assertEqual(set(self.lines(module.loop, notes)), {1, 2, 3, 4})

    def test_inside_and_outside_report_the_same(self):
        streams = []
        for module in MODULES:
            self.stop()
            self.setup()
            self.listen(*EVENTS)
            module.loop(3)
            module.handles("message")
            module.handles("")
            list(module.numbers(3))
            list(module.Countdown(2))
            module.without_gil(1)
            streams.append([(NAMES[n.event], n.offset, n.line, n.code.co_name) for n in self.notes()])
        self.assertEqual(streams[0], streams[1])
        self.assertEqual(streams[0], streams[2])
        self.assertGreater(len(streams[0]), 50)

    @unittest.skipUnless(HAS_POSITIONS, "Cython's code objects have no positions before 3.11")
    @with_each_module
    def test_offsets_are_those_of_the_codes_own_table(self, module):
        self.listen("LINE", "PY_RETURN", "RAISE", "EXCEPTION_HANDLED", "RERAISE")
        module.loop(3)
        module.handles("message")
        with self.assertRaises(ValueError):
            module.reraises("message")
        notes = self.notes()
        for note in notes:
            self.assertIsNotNone(line_at(note.code, note.offset), note)
            if note.event == EVENTS["LINE"]:
                self.assertEqual(line_at(note.code, note.offset), note.line, note)
        raised = [note for note in notes if note.event == EVENTS["RAISE"] and note.code is module.fails.__code__]
        expected = module.fails.__code__.co_firstlineno + line_of(module.fails, "raise")
        self.assertEqual({line_at(note.code, note.offset) for note in raised}, {expected})

    @with_each_module
    def test_an_exception_is_raised_unwound_and_handled(self, module):
        self.listen("RAISE", "PY_UNWIND", "EXCEPTION_HANDLED", "RERAISE")
        self.assertEqual(module.handles("message"), "message")
        notes = self.notes()
        self.assertEqual({str(note.object) for note in notes}, {"message"})
        names = [(NAMES[note.event], note.code.co_name) for note in notes]
        for expected in [("RAISE", "fails"), ("PY_UNWIND", "fails"), ("EXCEPTION_HANDLED", "handles")]:
            self.assertEqual(names.count(expected), 1, names)

    @with_each_module
    def test_code_without_the_gil_is_silent(self, module):
        self.listen("PY_START")
        self.assertEqual(module.without_gil(1), 2)
        self.assertEqual([note.code.co_name for note in self.notes()], ["without_gil"])

    @with_each_module
    def test_a_described_code_is_the_functions(self, module):
        self.setup(describe=True)
        self.listen("PY_START")
        module.loop(1)
        name, qualname, filename, first_line = self.notes()[0].description
        self.assertEqual((name, first_line), ("loop", module.loop.__code__.co_firstlineno))
        self.assertTrue(filename.endswith(module.__name__ + ".pyx"), filename)


class Generators(CythonTest):
    @with_each_module
    def test_yields_are_heard_alone(self, module):
        self.listen("PY_YIELD")
        self.assertEqual(list(module.numbers(3)), [0, 1, 2])
        notes = self.notes()
        self.assertEqual([note.object for note in notes], [0, 1, 2])
        self.assertEqual({note.event for note in notes}, {EVENTS["PY_YIELD"]})

    @with_each_module
    def test_yields_are_not_heard_when_returns_are(self, module):
        self.listen("PY_RETURN")
        self.assertEqual(list(module.numbers(3)), [0, 1, 2])
        self.assertEqual({NAMES[note.event] for note in self.notes()}, {"PY_RETURN"})

    @with_each_module
    def test_an_exception_thrown_in_is_there_after_the_throw(self, module):
        seen = []
        self.setup(hook=lambda event: seen.append(len("works")))
        self.listen("PY_START", "PY_RESUME", "PY_THROW", "PY_YIELD", "LINE", "RAISE", "EXCEPTION_HANDLED")
        generator = module.resists()
        self.assertEqual(next(generator), "before")
        self.assertEqual(generator.throw(ValueError("thrown")), "after")
        heard = self.heard()
        self.assertIn("PY_THROW", heard)
        self.assertNotIn("PY_RESUME", heard)

    @with_each_module
    def test_an_end_that_cython_does_not_make_is_a_stop_iteration(self, module):
        self.listen("RAISE", "PY_UNWIND")
        self.assertEqual(list(module.Countdown(2)), [1, 0])
        notes = self.notes()
        self.assertEqual([NAMES[note.event] for note in notes], ["RAISE", "PY_UNWIND"])
        self.assertEqual([type(note.object) for note in notes], [StopIteration] * 2)
        self.assertIsNone(next(module.Countdown(0), None))


class Answers(CythonTest):
    @with_each_module
    def test_a_line_can_be_disabled_on_its_own(self, module):
        self.setup(answer=listener.DISABLE)
        self.listen("LINE")
        module.loop(5)
        module.loop(5)
        self.assertEqual(sorted(self.lines(module.loop)), [1, 2, 3, 4])
        listener.restart()
        module.loop(5)
        self.assertEqual(sorted(self.lines(module.loop)), [1, 2, 3, 4])

    @with_each_module
    def test_a_callbacks_error_is_the_functions(self, module):
        def hook(event):
            raise KeyError("of the callback")

        self.setup(hook=hook)
        self.listen("LINE")
        with self.assertRaisesRegex(KeyError, "of the callback"):
            module.loop(1)

    @with_each_module
    def test_local_events_of_a_cython_function(self, module):
        listener.listen(2, 0, bit("LINE"))
        listener.listen_in(2, module.loop.__code__, bit("LINE"))
        module.loop(1)
        module.handles("")
        notes = self.notes()
        self.assertEqual({note.code for note in notes}, {module.loop.__code__})
