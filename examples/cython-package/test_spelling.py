"""What is suggested and, if rmon is installed, what tools see of it. Run with: python -m unittest

Coverage.py, if it is installed, measures the .pyx file.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from importlib.util import find_spec
from pathlib import Path

import spelling
from spelling import Dictionary, distance

try:
    from rmon import monitoring
except ImportError:
    monitoring = None

SOURCE = Path(spelling.__file__).with_name("_distance.pyx")
LINES = SOURCE.read_text().splitlines()


def line_with(text):
    """The number of the only line that has this text in it."""
    [number] = [number for number, line in enumerate(LINES, 1) if text in line]
    return number


class Results(unittest.TestCase):
    def test_distances(self):
        for one, other, letters in [
            ("", "", 0),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("über", "uber", 1),
        ]:
            self.assertEqual((distance(one, other), distance(other, one)), (letters, letters), one)

    def test_long_words_are_refused(self):
        with self.assertRaisesRegex(ValueError, "too long a word"):
            distance("a" * 65, "a")

    def test_suggestions_are_near_and_in_order(self):
        words = Dictionary(["there", "three", "tree", "these", "elsewhere"])
        self.assertEqual(words.suggest("thre"), ["there", "three", "these", "tree"])
        self.assertEqual(words.suggest("thre", 1), ["there", "three"])


@unittest.skipUnless(monitoring, "rmon is not installed")
class Events(unittest.TestCase):
    def setUp(self):
        self.seen = []
        monitoring.use_tool_id(2, "test")
        self.addCleanup(monitoring.free_tool_id, 2)

    def record(self, *names):
        """Records the events of these names that come from the .pyx file."""
        wanted = 0
        for name in names:
            event = getattr(monitoring.events, name)
            monitoring.register_callback(2, event, self.recorder(name))
            wanted |= event
        monitoring.set_events(2, wanted)

    def recorder(self, event):
        def callback(code, *args):
            if code.co_filename.endswith("_distance.pyx"):
                self.seen.append((event, code.co_name, args[-1]))

        return callback

    def test_each_line_that_runs_is_seen(self):
        self.record("LINE")
        distance("a", "b")
        lines = list(dict.fromkeys(line for _, name, line in self.seen if name == "distance"))
        first = ("if len(one) > LONGEST", "for j in range(len(other) + 1)", "row[j] = j")
        self.assertEqual(lines[:3], [line_with(text) for text in first])
        self.assertEqual(lines[-1], line_with("return row[len(other)]"))
        self.assertNotIn(line_with("raise ValueError"), lines)

    def test_generators_start_yield_and_go_on(self):
        self.record("PY_START", "PY_YIELD", "PY_RESUME", "PY_RETURN")
        Dictionary(["tree"]).suggest("tre")
        events = [(event, name) for event, name, _ in self.seen if name != "least"]
        self.assertEqual(
            events,
            [
                ("PY_START", "nearest"),
                ("PY_START", "distance"),
                ("PY_RETURN", "distance"),
                ("PY_YIELD", "nearest"),
                ("PY_RESUME", "nearest"),
                ("PY_RETURN", "nearest"),
            ],
        )
        self.assertIn(("PY_RETURN", "distance", 1), self.seen)
        self.assertIn(("PY_YIELD", "nearest", (1, "tree")), self.seen)

    def test_an_exception(self):
        self.record("RAISE", "PY_UNWIND")
        with self.assertRaises(ValueError) as raised:
            distance("a" * 65, "a")
        self.assertEqual(self.seen, [(event, "distance", raised.exception) for event in ("RAISE", "PY_UNWIND")])


@unittest.skipUnless(monitoring and find_spec("coverage") and find_spec("Cython"), "rmon, coverage or Cython is not there")
class Coverage(unittest.TestCase):
    def test_it_measures_the_pyx_file(self):
        program = "from spelling import Dictionary; print(Dictionary(['tree']).suggest('tre'))"
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "program.py").write_text(program)
            Path(folder, ".coveragerc").write_text("[run]\nplugins = rmon.coverage\nsource_pkgs = spelling\n")

            def python(*args):
                environment = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
                command = [sys.executable, "-m", *args]
                return subprocess.check_output(command, cwd=folder, env=environment, text=True)

            self.assertEqual(python("rmon", "run", "-m", "coverage", "run", "program.py"), "['tree']\n")
            python("coverage", "json", "-q", "-o", "report.json")
            files = json.loads(Path(folder, "report.json").read_text())["files"]
        [report] = [report for name, report in files.items() if name.endswith("_distance.pyx")]
        self.assertEqual(report["missing_lines"], [line_with("raise ValueError"), line_with("continue")])
        self.assertGreater(len(report["executed_lines"]), 15)


if __name__ == "__main__":
    unittest.main()
