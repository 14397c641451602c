"""Where mail goes and, if rmon is installed, what tools are told of it. Run with: python -m unittest"""

import gc
import os
import tempfile
import unittest

import mailfilter

try:
    from rmon import monitoring
except ImportError:
    monitoring = None

EVENTS = "PY_START LINE BRANCH_LEFT BRANCH_RIGHT RAISE PY_RETURN PY_UNWIND".split()


def filter_of(text):
    """The filter of a file m.rules."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            with open("m.rules", "w", encoding="utf-8") as file:
                file.write(text)
            return mailfilter.Filter("m.rules")
        finally:
            os.chdir(before)


RULES = "a: x is 1\n\nb: x has 2 # or more\nc: y is 3 4\n"


class Results(unittest.TestCase):
    def test_the_first_rule_that_fits_counts(self):
        rules = filter_of(RULES)
        for x, y, folder in [("1", "", "a"), ("123", "3 4", "b"), ("3", "3 4", "c"), ("11", "3", "inbox")]:
            self.assertEqual(rules.sort({"x": x, "y": y}), folder)

    def test_what_is_wrong_has_a_line(self):
        for text in ("a x is 1", "a: x was 1", "a: x is", ": "):
            with self.assertRaises(SyntaxError) as raised:
                filter_of("# comment\n" + text)
            self.assertEqual(str(raised.exception), "m.rules:2: not understood")

    def test_a_message_without_the_field(self):
        with self.assertRaisesRegex(KeyError, "y"):
            filter_of(RULES).sort({"x": ""})

    def test_the_file_is_one_for_all_pythons(self):
        self.assertTrue(os.path.basename(mailfilter.__file__).startswith("mailfilter.abi3"))


@unittest.skipUnless(monitoring, "rmon is not installed")
class Events(unittest.TestCase):
    def setUp(self):
        self.seen, self.code = [], filter_of(RULES)
        monitoring.use_tool_id(2, "test")
        self.addCleanup(monitoring.free_tool_id, 2)

    def listen(self, set_events):
        """Records all events; `set_events` gets the set."""
        wanted = 0
        for name in EVENTS:
            event = getattr(monitoring.events, name)
            monitoring.register_callback(2, event, self.recorder(name))
            wanted |= event
        set_events(wanted)

    def recorder(self, event):
        def record(code, *args):
            if code is self.code:
                self.seen.append((event, *args))

        return record

    def test_a_message_that_is_sorted(self):
        self.listen(lambda wanted: monitoring.set_events(2, wanted))
        self.code.sort({"x": "23"})
        self.assertEqual(
            self.seen,
            [
                ("PY_START", 0),
                ("LINE", 1),
                ("BRANCH_RIGHT", 0, 2),
                ("LINE", 3),
                ("BRANCH_LEFT", 2, 6),
                ("PY_RETURN", 2, "b"),
            ],
        )
        self.assertEqual(list(self.code.co_lines()), [(0, 2, 1), (2, 4, 3), (4, 6, 4)])
        self.assertEqual((self.code.co_name, self.code.co_filename), ("<filter>", "m.rules"))

    def test_an_exception(self):
        self.listen(lambda wanted: monitoring.set_events(2, wanted))
        with self.assertRaises(KeyError) as raised:
            self.code.sort({})
        error = raised.exception
        self.assertEqual(self.seen, [("PY_START", 0), ("LINE", 1), ("RAISE", 0, error), ("PY_UNWIND", 0, error)])

    def test_what_a_callback_raises_ends_the_call(self):
        def stop(code, line):
            raise InterruptedError(line)

        monitoring.register_callback(2, monitoring.events.LINE, stop)
        monitoring.set_local_events(2, self.code, monitoring.events.LINE)
        with self.assertRaises(InterruptedError):
            self.code.sort({"x": "1"})

    def test_events_of_one_filter_only(self):
        local = monitoring.events.LINE
        self.listen(lambda wanted: monitoring.set_local_events(2, self.code, local))
        self.code.sort({"x": "1"})
        other, self.code = self.code, filter_of(RULES)
        self.code.sort({"x": "1"})
        self.assertEqual(self.seen, [("LINE", 1)])
        self.assertEqual(monitoring.get_local_events(2, other), local)

    def test_a_filter_that_dies_takes_its_events_along(self):
        monitoring.set_local_events(2, self.code, monitoring.events.LINE)
        address = id(self.code)
        del self.code
        gc.collect()
        for self.code in (filter_of(RULES) for _ in range(100)):
            self.assertEqual(monitoring.get_local_events(2, self.code), 0)
            if id(self.code) == address:
                break


if __name__ == "__main__":
    unittest.main()
