"""The tests of rmon_python.h in the interpreter that runs this: run.py --include DIR --lib DIR.

Builds the modules (build.py) in a folder of its own and runs the tests (test_*.py, in this process). The last line says
`N passed, N failed, N skipped`; the exit code is 1 if any failed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


class Result(unittest.TextTestResult):
    """Counts what passed, and says what failed as it fails."""

    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def run(build_dir, names):
    sys.path[:0] = [build_dir, HERE]
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{name}*" for name in names] or None
    suite = loader.discover(HERE, top_level_dir=HERE)
    result = unittest.TextTestRunner(stream=sys.stdout, resultclass=Result, verbosity=1).run(suite)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    for test, reason in result.skipped:
        print(f"skipped: {test}: {reason}")
    print(f"{result.passed} passed, {failed} failed, {len(result.skipped)} skipped")
    return 1 if failed or not result.passed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--include", required=True, help="the folder of rmon.h and rmon_python.h")
    parser.add_argument("--lib", required=True, help="the folder of librmon.so and librmon.so.0")
    parser.add_argument("--build", metavar="DIR", help="build there, and keep it")
    parser.add_argument("names", nargs="*", help="run only the tests whose names have one of these in them")
    args = parser.parse_args()
    print(f"CPython {sys.version.split()[0]}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        build_dir = os.path.abspath(args.build or scratch)
        os.makedirs(build_dir, exist_ok=True)
        command = [sys.executable, os.path.join(HERE, "build.py"), args.include, args.lib, build_dir]
        built = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if built.returncode != 0:
            print(built.stdout)
            print("0 passed, 1 failed, 0 skipped")
            return 1
        return run(build_dir, args.names)


if __name__ == "__main__":
    sys.exit(main())
