"""What scripts compute and, if rmon is installed, what tools are told of it. Run with: python -m unittest"""

import os
import tempfile
import unittest

import calc

try:
    from rmon import monitoring
except ImportError:
    monitoring = None


def run(text, **variables):
    """Runs a script from a file of its own, s.calc."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            with open("s.calc", "w") as file:
                file.write(text)
            return calc.run("s.calc", variables)
        finally:
            os.chdir(before)


class Results(unittest.TestCase):
    def test_operators(self):
        self.assertEqual(run("a = 2 + 3 * -(x - 1) / 4\nb = a < 0 ? 1 : 1 / 0", x=9), {"x": 9, "a": -4.0, "b": 1.0})

    def test_functions_call_themselves(self):
        self.assertEqual(run("f(n) = n < 2 ? 1 : n * f(n - 1)\na = f(5)")["a"], 120)

    def test_errors_name_the_line(self):
        for text, error, message in [
            ("\na = 1 / 0", ZeroDivisionError, "s.calc:2: division by zero"),
            ("f(x) = y\n\na = f(1)", NameError, "s.calc:1: no variable y"),
            ("a = g(1)", NameError, "s.calc:1: no function g"),
            ("f(x) = f(x)\na = f(1)", RecursionError, "s.calc:1: too deep"),
            ("a = " + "(" * 10**6, RecursionError, "s.calc:1: too deep"),
            ("a = 1 2", SyntaxError, "s.calc:1: not understood"),
        ]:
            with self.assertRaises(error) as raised:
                run(text)
            self.assertEqual(str(raised.exception), message)


@unittest.skipUnless(monitoring, "rmon is not installed")
class Events(unittest.TestCase):
    def setUp(self):
        self.seen = []
        monitoring.use_tool_id(2, "test")
        wanted = 0
        for name in ("PY_START", "LINE", "BRANCH_LEFT", "BRANCH_RIGHT", "RAISE", "PY_RETURN", "PY_UNWIND"):
            event = getattr(monitoring.events, name)
            monitoring.register_callback(2, event, self.recorder(name))
            wanted |= event
        monitoring.set_events(2, wanted)

    def tearDown(self):
        monitoring.free_tool_id(2)

    def recorder(self, event):
        def record(code, *args):
            if code.co_filename == "s.calc":
                detail = args[-1] if event in ("LINE", "PY_RETURN", "RAISE", "PY_UNWIND") else code.co_firstlineno
                self.seen.append((event, code.co_name, str(detail) if isinstance(detail, Exception) else detail))

        return record

    def test_lines_starts_returns_and_branches(self):
        run("half(x) = x < 1 ? 0 : x / 2\n\na = half(5) + half(0)")
        self.assertEqual(
            self.seen,
            [
                ("PY_START", "<script>", 1),
                ("LINE", "<script>", 1),
                ("LINE", "<script>", 3),
                ("PY_START", "half", 1),
                ("LINE", "half", 1),
                ("BRANCH_RIGHT", "half", 1),
                ("PY_RETURN", "half", 2.5),
                ("PY_START", "half", 1),
                ("LINE", "half", 1),
                ("BRANCH_LEFT", "half", 1),
                ("PY_RETURN", "half", 0.0),
                ("PY_RETURN", "<script>", 2.5),
            ],
        )

    def test_exceptions(self):
        with self.assertRaises(ZeroDivisionError):
            run("inverse(x) = 1 / x\na = inverse(0)")
        error = "s.calc:1: division by zero"
        self.assertEqual(
            self.seen[-3:],
            [("RAISE", "inverse", error), ("PY_UNWIND", "inverse", error), ("PY_UNWIND", "<script>", error)],
        )


if __name__ == "__main__":
    unittest.main()
