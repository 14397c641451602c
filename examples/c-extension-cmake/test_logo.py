"""What is drawn and, if rmon is installed, what tools are told of it. Run with: python -m unittest"""

import os
import tempfile
import unittest

import logo

try:
    from rmon import monitoring
except ImportError:
    monitoring = None


def draw(text):
    """Draws a program from a file of its own, p.logo."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            with open("p.logo", "w") as file:
                file.write(text)
            return [tuple(round(number, 6) for number in stroke) for stroke in logo.draw("p.logo")]
        finally:
            os.chdir(before)


class Results(unittest.TestCase):
    def test_strokes(self):
        self.assertEqual(draw("forward 2 # north\nright 90\nback 1"), [(0, 0, 0, 2), (0, 2, -1, 2)])
        self.assertEqual(draw("up\nforward 1\ndown\nleft 90\nforward 1"), [(0, 1, -1, 1)])
        self.assertEqual(len(draw("to step\nforward 1\nend\nrepeat 3\nrepeat 2\nstep\nend\nend")), 6)
        self.assertEqual(draw("repeat 0\nforward 1\nend\n\n# nothing"), [])

    def test_errors_name_the_line(self):
        for text, error, message in [
            ("\nforward", SyntaxError, "p.logo:2: a number is expected"),
            ("forward 1 2", SyntaxError, "p.logo:1: a number is expected"),
            ("up up", SyntaxError, "p.logo:1: not understood"),
            ("end", SyntaxError, "p.logo:1: an end of nothing"),
            ("\nrepeat 2", SyntaxError, "p.logo:2: the end is missing"),
            ("to a\nto b\nend\nend", SyntaxError, "p.logo:2: a procedure within something else"),
            ("\njump", NameError, "p.logo:2: no such procedure"),
            ("to a\na\nend\na", RecursionError, "p.logo:2: too deep"),
        ]:
            with self.assertRaises(error) as raised:
                draw(text)
            self.assertEqual(str(raised.exception), message)


@unittest.skipUnless(monitoring, "rmon is not installed")
class Events(unittest.TestCase):
    def setUp(self):
        self.seen = []
        monitoring.use_tool_id(2, "test")
        self.addCleanup(monitoring.free_tool_id, 2)
        wanted = 0
        for name in ("PY_START", "LINE", "JUMP", "RAISE", "PY_RETURN", "PY_UNWIND"):
            event = getattr(monitoring.events, name)
            monitoring.register_callback(2, event, self.recorder(name))
            wanted |= event
        monitoring.set_events(2, wanted)

    def recorder(self, event):
        def record(code, *args):
            if code.co_filename == "p.logo":
                self.seen.append((event, code.co_name, *args))

        return record

    def test_procedures_lines_and_jumps(self):
        draw("to step\nforward 1\nend\n\nrepeat 2\nstep\nend")
        step = [("PY_START", "step", 2), ("LINE", "step", 2), ("PY_RETURN", "step", 4, None)]
        self.assertEqual(
            self.seen,
            [
                ("PY_START", "<program>", 0),
                ("LINE", "<program>", 1),
                ("LINE", "<program>", 5),
                ("LINE", "<program>", 6),
                *step,
                ("JUMP", "<program>", 12, 10),
                ("LINE", "<program>", 6),
                *step,
                ("PY_RETURN", "<program>", 14, None),
            ],
        )

    def test_an_exception(self):
        with self.assertRaises(NameError) as raised:
            draw("to a\nb\nend\na")
        error = raised.exception
        self.assertEqual(
            self.seen[-3:],
            [("RAISE", "a", 2, error), ("PY_UNWIND", "a", 4, error), ("PY_UNWIND", "<program>", 8, error)],
        )


if __name__ == "__main__":
    unittest.main()
