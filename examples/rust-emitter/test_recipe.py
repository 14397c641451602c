"""What recipes make of rows and, if rmon is installed, what tools are told of it. Run with: python -m unittest"""

import os
import subprocess
import sys
import tempfile
import unittest

from recipe import Recipe

try:
    from rmon import monitoring
except ImportError:
    monitoring = None


class Recipes(unittest.TestCase):
    """Recipes lie in a folder of their own; each is named r.recipe."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(folder.name)

    def recipe(self, text, **functions):
        with open("r.recipe", "w") as file:
            file.write(text)
        return Recipe("r.recipe", functions)

    def apply(self, text, *rows, **functions):
        return list(self.recipe(text, **functions).apply(rows))


class Results(Recipes):
    def test_steps(self):
        text = "# comment\n\nset c = a + 1\nset d = c * 2.5\nset e = d\nset name = 'x'\ndrop a\n"
        self.assertEqual(self.apply(text, {"a": 3}), [{"c": 4, "d": 10.0, "e": 10.0, "name": "x"}])

    def test_only_what_is_kept_comes_out(self):
        for compare, kept in {"<": [1], "<=": [1, 2], "==": [2], "!=": [1, 3], ">=": [2, 3], ">": [3]}.items():
            rows = self.apply(f"keep a {compare} 2", *({"a": a} for a in (1, 2, 3)))
            self.assertEqual([row["a"] for row in rows], kept, compare)

    def test_rows_are_taken_when_they_are_asked_for(self):
        taken = []
        rows = self.recipe("keep a > 1").apply(taken.append(a) or {"a": a} for a in range(9))
        self.assertEqual((next(rows), next(rows), taken), ({"a": 2}, {"a": 3}, [0, 1, 2, 3]))

    def test_errors(self):
        for text, error, message in [
            ("\nkeep a", SyntaxError, "r.recipe:2: not understood"),
            ("set a = a ^ a", SyntaxError, "r.recipe:1: not understood"),
            ("set a = b", KeyError, "'b'"),
            ("set a = a / 0", ZeroDivisionError, "division by zero"),
            ("call f", NameError, "there is no function f"),
        ]:
            with self.assertRaisesRegex(error, message):
                self.apply(text, {"a": 1})
        with self.assertRaisesRegex(TypeError, "a row must be a dict"):
            self.apply("", 7)

    def test_after_an_error_nothing_comes(self):
        rows = self.recipe("set a = 1 / a").apply([{"a": 0}, {"a": 1}])
        self.assertRaises(ZeroDivisionError, next, rows)
        self.assertRaises(StopIteration, next, rows)


@unittest.skipUnless(monitoring, "rmon is not installed")
class Events(Recipes):
    EVENTS = [
        ("PY_START", "PY_RESUME", "PY_YIELD", "PY_RETURN", "LINE", "BRANCH_LEFT", "BRANCH_RIGHT"),
        ("CALL", "C_RETURN", "C_RAISE", "RAISE", "PY_UNWIND"),
    ]

    def setUp(self):
        super().setUp()
        self.seen = []
        monitoring.use_tool_id(2, "test")
        self.addCleanup(monitoring.free_tool_id, 2)

    def listen(self, *names, answer=None):
        """Writes down these events of recipes. `answer` is what the callbacks do besides."""
        wanted = 0
        for name in names:
            event = getattr(monitoring.events, name)
            monitoring.register_callback(2, event, self.recorder(name, answer))
            if name not in ("C_RETURN", "C_RAISE"):  # They come with CALL.
                wanted |= event
        monitoring.set_events(2, wanted)

    def recorder(self, event, answer):
        def record(code, *args):
            if getattr(code, "co_filename", None) == "r.recipe":
                self.seen.append((event, *args))
                return answer() if answer else None

        return record

    def test_a_recipe_is_a_generator(self):
        self.listen(*self.EVENTS[0])
        rows = self.apply("\nkeep a > 1\nset b = a", {"a": 2}, {"a": 0})
        self.assertEqual(
            self.seen,
            [
                ("PY_START", 0),
                ("LINE", 2),
                ("BRANCH_LEFT", 1, 2),
                ("LINE", 3),
                ("PY_YIELD", 0, rows[0]),
                ("PY_RESUME", 0),
                ("LINE", 2),
                ("BRANCH_RIGHT", 1, 0),
                ("PY_RETURN", 0, None),
            ],
        )

    def test_functions_and_exceptions(self):
        def f(row):
            row["a"] -= 1
            return 1 / row["a"]

        self.listen(*self.EVENTS[1])
        row = {"a": 2}
        with self.assertRaises(ZeroDivisionError) as raised:
            self.apply("call f\ncall f", row, f=f)
        self.assertEqual(
            self.seen,
            [
                ("CALL", 1, f, row),
                ("C_RETURN", 1, f, row),
                ("CALL", 2, f, row),
                ("C_RAISE", 2, f, row),
                ("RAISE", 2, raised.exception),
                ("PY_UNWIND", 0, raised.exception),
            ],
        )

    def test_what_a_callback_raises_ends_the_recipe(self):
        def fail():
            raise RuntimeError("from the tool")

        self.listen("LINE", answer=fail)
        with self.assertRaisesRegex(RuntimeError, "from the tool"):
            self.apply("set a = 1\nset a = 2", {})
        self.assertEqual(self.seen, [("LINE", 1)])

    def test_a_line_can_be_disabled(self):
        self.listen("LINE", answer=lambda: monitoring.DISABLE)
        self.addCleanup(monitoring.restart_events)
        self.apply("set a = 1\nset b = 2", {}, {}, {})
        self.assertEqual(self.seen, [("LINE", 1), ("LINE", 2)])

    def test_the_code_is_described(self):
        codes = set()
        monitoring.register_callback(2, monitoring.events.PY_YIELD, lambda code, *args: codes.add(code))
        monitoring.set_events(2, monitoring.events.PY_YIELD)
        self.apply("# nothing\nset a = 1", {})
        monitoring.set_events(2, 0)
        [code] = [code for code in codes if code.co_filename == "r.recipe"]
        self.assertEqual((code.co_name, code.co_firstlineno), ("r", 1))
        self.assertEqual([line for _, _, line in code.co_lines()], [1, 2])

    def test_without_rmon_it_works_and_imports_nothing(self):
        self.recipe("set a = 1")
        program = "import recipe, sys; print(list(recipe.Recipe('r.recipe', {}).apply([{}])), 'rmon' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        self.assertEqual((done.stdout, done.stderr), ("[{'a': 1}] False\n", ""))


if __name__ == "__main__":
    unittest.main()
