"""What programs do and, if rmon is installed, what tools are told of it. Run with: python -m unittest"""

import os
import tempfile
import unittest

import stackvm

try:
    from rmon import monitoring
except ImportError:
    monitoring = None

EVENTS = "PY_START JUMP BRANCH_LEFT BRANCH_RIGHT CALL C_RETURN C_RAISE LINE RAISE EXCEPTION_HANDLED PY_RETURN PY_UNWIND"


def program(text):
    """The program of a file p.svm."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            with open("p.svm", "w") as file:
                file.write(text)
            return stackvm.Program("p.svm")
        finally:
            os.chdir(before)


COUNTDOWN = "push 2\nloop: push -1\nadd\ndup\njump_if loop\ndrop\njump end\nend: push 7"


class Results(unittest.TestCase):
    def test_instructions(self):
        for text, stack in [
            ("", []),
            ("push 2\npush 3\nsub", [-1]),
            ("push 2\npush 3\nmul # comment", [6]),
            ("push 1\npush 2\nless", [True]),
            ("push 1\npush 2\nswap\ndrop", [2]),
            ("push 9\ncall f", ["9"]),
            (COUNTDOWN, [7]),
        ]:
            self.assertEqual(program(text).run({"f": str}), stack, text)

    def test_wrong_programs_are_refused(self):
        for text, message in [
            ("\nfly", "p.svm:2: no such instruction"),
            ("push", "p.svm:1: the operand is missing"),
            ("jump x", "p.svm:1: no such label"),
        ]:
            with self.assertRaises(SyntaxError) as raised:
                program(text)
            self.assertEqual(str(raised.exception), message)

    def test_exceptions(self):
        for text, error in [
            ("push 1\npush 0\ndiv", ZeroDivisionError),
            ("add", IndexError),
            ("push 1\ncall f", ValueError),
            ("push 1\ncall g", NameError),
            ("again: push 1\njump again", OverflowError),
        ]:
            functions = {"f": lambda value: int("x")}
            with self.assertRaises(error):
                program(text).run(functions)
            self.assertEqual(program(f"try out\n{text}\nout: push 5").run(functions), [5], text)


@unittest.skipUnless(monitoring, "rmon is not installed")
class Events(unittest.TestCase):
    def setUp(self):
        self.seen, self.code = [], None
        monitoring.use_tool_id(2, "test")
        for name in EVENTS.split():
            monitoring.register_callback(2, getattr(monitoring.events, name), self.recorder(name))
        self.listen(*EVENTS.replace("C_RETURN C_RAISE ", "").split())  # those two follow CALL

    def tearDown(self):
        monitoring.free_tool_id(2)

    def listen(self, *names):
        monitoring.set_events(2, sum(getattr(monitoring.events, name) for name in names))

    def recorder(self, event):
        def record(code, *args):
            if code is self.code:
                self.seen.append((event, *args))

        return record

    def run_program(self, text, functions={}):
        """Runs a program whose events are to be seen."""
        self.code = program(text)
        self.assertEqual((self.code.co_name, self.code.co_filename), ("<program>", "p.svm"))
        return self.code.run(functions)

    def test_lines_jumps_and_branches(self):
        self.listen("LINE", "JUMP", "BRANCH_LEFT", "BRANCH_RIGHT")
        self.run_program(COUNTDOWN)
        round_ = [("LINE", line) for line in (2, 3, 4, 5)]
        expected = [("LINE", 1), *round_, ("BRANCH_LEFT", 8, 2), *round_, ("BRANCH_RIGHT", 8, 10)]
        self.assertEqual(self.seen, [*expected, ("LINE", 6), ("LINE", 7), ("JUMP", 12, 14), ("LINE", 8)])
        self.assertEqual([line for _, _, line in self.code.co_lines()], [1, 2, 3, 4, 5, 6, 7, 8])

    def test_a_call(self):
        self.run_program("push 3\ncall f", {"f": str})
        expected = [
            ("PY_START", 0),
            ("LINE", 1),
            ("LINE", 2),
            ("CALL", 2, str, 3),
            ("C_RETURN", 2, str, 3),
            ("PY_RETURN", 4, ["3"]),
        ]
        self.assertEqual(self.seen, expected)

    def test_exceptions(self):
        self.listen("CALL", "RAISE", "EXCEPTION_HANDLED", "PY_UNWIND")
        with self.assertRaises(ZeroDivisionError) as raised:
            self.run_program("try out\npush 1\ncall int\nout: push 1\npush 0\ndiv", {"int": lambda value: int("x")})
        events = [(event, offset, type(rest[-1]).__name__) for event, offset, *rest in self.seen]
        expected = [("CALL", 4, "int"), ("C_RAISE", 4, "int"), ("EXCEPTION_HANDLED", 6, "ValueError")]
        self.assertEqual(events, [*expected, ("RAISE", 10, "ZeroDivisionError"), ("PY_UNWIND", 10, "ZeroDivisionError")])
        self.assertIs(self.seen[-1][-1], raised.exception)

    def test_a_tool_may_disable_each_line_once_it_has_seen_it(self):
        lines = []

        def once(code, line):
            lines.append(line)
            return monitoring.DISABLE

        self.listen("NO_EVENTS")
        monitoring.register_callback(2, monitoring.events.LINE, once)
        code = program(COUNTDOWN)
        monitoring.set_local_events(2, code, monitoring.events.LINE)
        code.run()
        code.run()
        self.assertEqual(lines, [1, 2, 3, 4, 5, 6, 7, 8])


if __name__ == "__main__":
    unittest.main()
