"""`python -m rmon run` runs a program as `python` does: the same output, byte for byte, and the same exit code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Iterable, NamedTuple, Sequence

import pytest

import rmon._run


class End(NamedTuple):
    """How a process ended."""

    code: int
    output: str
    errors: str


def begin(command: Sequence[str], folder: Path, stdin: bytes) -> "subprocess.Popen[bytes]":
    with tempfile.TemporaryFile() as file:
        file.write(stdin)
        file.seek(0)
        return subprocess.Popen(
            [sys.executable, *command], cwd=folder, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )


def end(process: "subprocess.Popen[bytes]") -> End:
    try:
        output, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    return End(process.returncode, text_of(output), text_of(errors))


def start(command: Sequence[str], folder: Path, stdin: bytes = b"") -> End:
    return end(begin(command, folder, stdin))


def text_of(output: bytes) -> str:
    """As text, without what is different each time: addresses and process ids."""
    return re.sub(r"\b(0x|pid=)[0-9a-f]+", r"\1...", output.decode("utf-8", "replace"))


def lay_out(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))


def compare(folder: Path, arguments: Sequence[str], options: Sequence[str] = (), stdin: bytes = b"") -> End:
    """Runs it both ways. `options` are the interpreter's."""
    by_python = begin([*options, *arguments], folder, stdin)
    by_rmon = begin([*options, "-m", "rmon", "run", *arguments], folder, stdin)
    expected, found = end(by_python), end(by_rmon)
    assert found == expected
    return found


# ---- Programs that are one file ----

ENDS = {
    "returns": "print('done')",
    "exit": "import sys; sys.exit()",
    "exit_none": "import sys; sys.exit(None)",
    "exit_0": "import sys; sys.exit(0)",
    "exit_3": "import sys; sys.exit(3)",
    "exit_negative": "import sys; sys.exit(-1)",
    "exit_256": "import sys; sys.exit(256)",
    "exit_true": "raise SystemExit(True)",
    "exit_text": "import sys; sys.exit('what a pity: \\xe9')",
    "exit_float": "import sys; sys.exit(2.5)",
    "exit_tuple": "raise SystemExit(1, 'two')",
    "exit_empty_text": "raise SystemExit('')",
    "exit_class": "raise SystemExit",
    "exit_of_subclass": "class Bye(SystemExit): pass\nraise Bye(4)",
    "exit_in_function": "import sys\ndef f():\n    try:\n        sys.exit(5)\n    finally:\n        print('finally')\nf()",
    "exit_swallowed": "import sys\ntry:\n    sys.exit(5)\nexcept SystemExit as e:\n    print(e.code)",
    "exit_in_thread": "import sys, threading\nt = threading.Thread(target=sys.exit, args=(3,))\nt.start(); t.join()",
    "exit_at_exit": "import atexit, sys\natexit.register(sys.exit, 6)",
    "exit_with_bad_str": "class C:\n    def __str__(self): raise ValueError\nraise SystemExit(C())",
    "os_exit": "import os\nprint('lost', end='')\nos._exit(7)",
    "abort": "import os; os.abort()",
    "terminated": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "full_output": "import sys\nsys.stdout = open('/dev/full', 'w')\nprint('x')",
    "full_output_1": "import os\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1)\nprint('x')",
    "closed_output": "import sys; sys.stdout.close()",
    "closed_errors": "import sys; sys.stderr.close(); 1 / 0",
    "no_errors": "import sys; sys.stderr = None; 1 / 0",
    "interrupted": "import os, signal\nprint('before')\nos.kill(os.getpid(), signal.SIGINT)\nprint('never')",
    "interrupt_raised": "print('text')\nraise KeyboardInterrupt('reason')",
    "interrupt_of_subclass": "class K(KeyboardInterrupt): pass\nraise K",
    "interrupt_swallowed": "try:\n    raise KeyboardInterrupt\nexcept KeyboardInterrupt:\n    print('ok')",
    "interrupt_and_atexit": "import atexit\natexit.register(print, 'at exit')\nraise KeyboardInterrupt",
    "interrupt_in_asyncio": (
        "import asyncio, os, signal\nasync def f():\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "    await asyncio.sleep(5)\nasyncio.run(f())"
    ),
}

ERRORS = {
    "error": "def f(x):\n    return 1 / x\n\nf(0)",
    "error_in_class_body": "class C:\n    raise ValueError('in here')",
    "error_cause": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError('k') from e",
    "error_context": "def f():\n    try:\n        1 / 0\n    except ZeroDivisionError:\n        [][1]\nf()",
    "error_no_context": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise KeyError from None",
    "error_in_finally": "try:\n    1 / 0\nfinally:\n    {}['k']",
    "error_without_text": "raise RuntimeError",
    "error_with_lines": "raise ValueError('one\\ntwo')",
    "error_with_bad_str": "class E(Exception):\n    def __str__(self): raise TypeError\nraise E",
    "error_in_generator": "def g():\n    yield 1\n    1 / 0\nfor _ in g(): pass",
    "error_in_import": "import helper",
    "error_in_imported_syntax": "import broken",
    "error_in_exec": "exec('def f(): 1 / 0\\nf()')",
    "error_with_old_traceback": (
        "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    kept = e\nraise kept.with_traceback(kept.__traceback__)"
    ),
    "error_without_traceback": "import sys\ntry:\n    1 / 0\nexcept ZeroDivisionError as e:\n    sys.excepthook(type(e), e, None)",
    "error_of_missing_module": "import no_such_module",
    "error_of_missing_name": "from os import no_such_name",
    "error_of_name": "prin('x')",
    "recursion": "def f(): f()\nf()",
    "recursion_depth": "def f(n):\n    try:\n        return f(n + 1)\n    except RecursionError:\n        return n\nprint(f(0))",
    "recursion_limit": "import sys\nprint(sys.getrecursionlimit())",
    "bad_syntax": "print('x')\nif True print('y')",
    "bad_indentation": "if True:\nprint('x')",
    "bad_tabs": "if True:\n        a = 1\n\tb = 2",
    "bad_string": "x = 'no end",
    "bad_brackets": "x = (1,\ny = 2",
    "bad_return": "return 1",
    "bad_await": "await x",
    "bad_future": "from __future__ import no_such_feature",
    "syntax_warning": "x = 1 is 1\nprint(x)",
    "escape_warning": "x = '\\d'\nprint(x)",
    "assertion": "x = 1\nassert x == 2, 'no'",
    "excepthook": "import sys\nsys.excepthook = lambda t, v, tb: print(t, v, tb.tb_lineno, tb.tb_next)\n1 / 0",
    "excepthook_stack": (
        "import sys, traceback\ndef hook(*args):\n    traceback.print_stack()\nsys.excepthook = hook\n1 / 0"
    ),
    "excepthook_fails": "import sys\ndef hook(*args): {}['x']\nsys.excepthook = hook\n1 / 0",
    "excepthook_exits": "import sys\nsys.excepthook = lambda *args: sys.exit(9)\n1 / 0",
    "excepthook_gone": "import sys\ndel sys.excepthook\n1 / 0",
    "excepthook_none": "import sys\nsys.excepthook = None\n1 / 0",
    "excepthook_is_original": "import sys\nprint(sys.excepthook is sys.__excepthook__)",
    "traceback_limit": "import sys\nsys.tracebacklimit = 0\n1 / 0",
    "last_error": "import sys\nprint([n for n in dir(sys) if n.startswith('last')], sys.exc_info())",
    "last_error_at_exit": "import atexit, sys\natexit.register(lambda: print(sys.last_value, sys.last_type))\n1 / 0",
    "thread_error": "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='T')\nt.start(); t.join()",
    "unraisable": "class C:\n    def __del__(self): 1 / 0\nC()",
    "atexit_error": "import atexit\n@atexit.register\ndef f(): 1 / 0",
    "interpreter_left": "import sys\nprint(sys.exc_info())\ntry:\n    1 / 0\nexcept ZeroDivisionError as e:\n    print(e.__context__)",
}

if sys.version_info >= (3, 11):
    ERRORS["error_group"] = "raise ExceptionGroup('some', [ValueError(1), TypeError(2)])"
    ERRORS["error_note"] = "e = ValueError(1)\ne.add_note('a note')\nraise e"

STACKS = {
    "stack": "import traceback\ndef f(): traceback.print_stack()\nf()",
    "stack_at_exit": "import atexit, traceback\natexit.register(traceback.print_stack)",
    "frames": "import sys\nf = sys._getframe()\nprint(f.f_back, f.f_code.co_name, f.f_globals is globals())",
    "frames_too_deep": "import sys\nsys._getframe(1)",
    "inspect_stack": "import inspect\nprint([(i.filename, i.lineno, i.function) for i in inspect.stack()])",
    "current_frames": "import sys\nprint([f.f_code.co_name for f in sys._current_frames().values()])",
    "warning": "import warnings\nwarnings.warn('here')\ndef f(n): warnings.warn(f'level {n}', stacklevel=n)\n"
    + "".join(f"f({n})\n" for n in range(1, 6)),
    "faulthandler": "import faulthandler\ndef f(): faulthandler.dump_traceback(all_threads=False)\nf()",
    "trace": "import sys\nsys.settrace(lambda f, e, a: print(f.f_code.co_name, e))\ndef f(): pass\nf()",
    "logging": "import logging\nlogging.warning('x')\nlogging.basicConfig(format='%(pathname)s %(lineno)s %(funcName)s')\n"
    "logging.error('y', stack_info=True)",
}

MAIN = {
    "globals": "print({k: v for k, v in globals().items() if k != '__loader__'}, type(__loader__))",
    "globals_order": "print(list(globals()))",
    "loader": "print(getattr(__loader__, 'name', 0), getattr(__loader__, 'path', 0))",
    "main_module": "import __main__, sys\nprint(__main__.__dict__ is globals(), sys.modules['__main__'] is __main__, __main__)",
    "main_attributes": "import __main__\nprint(sorted(vars(__main__)), __name__, __package__, __spec__, __doc__)",
    "docstring": "'''What it is.'''\nprint(__doc__)",
    "annotations": "x: int = 1\nprint(globals().get('__annotations__'), '__annotate__' in globals())",
    "future_annotations": "from __future__ import annotations\nx: int = 1\nprint(__annotations__)",
    "file": "print(__file__)",
    "file_at_exit": "import atexit\natexit.register(lambda: print(sorted(globals())))",
    "argv": "import sys\nprint(sys.argv)",
    "path": "import sys\nprint(sys.path)",
    "flags": "import sys\nprint(sys.flags, sys.warnoptions, sys._xoptions)",
    "import_beside": "import beside\nprint(beside.x)",
    "pickle": (
        "import pickle\nclass C:\n    def __init__(self): self.x = 1\n"
        "text = pickle.dumps(C())\nprint(b'__main__' in text, pickle.loads(text).x, C)"
    ),
    "dataclass": "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nprint(P(1))",
    "reads_stdin": "import sys\nprint(sys.stdin.read())",
    "input": "print(input())",
    "own_source": "import inspect\ndef f(): return 1\nprint(inspect.getsource(f))",
    "linecache": "import linecache\nprint(linecache.getline(__file__, 1))",
    "doctest": "'''\n>>> 1 + 1\n3\n'''\nimport doctest\ndoctest.testmod()",
    "unittest": "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(1, 1)\n"
    "unittest.main(argv=['x'], exit=False, verbosity=0, testRunner=unittest.TextTestRunner(stream=open('/dev/null', 'w')))",
    "executable": "import sys\nprint(sys.executable, sys.prefix)",
    "gc": "import gc\ngc.collect()\nprint(gc.garbage)",
}

THREADS = {
    "thread_outlives": "import threading, time\ndef f():\n    time.sleep(0.2)\n    print('end')\nthreading.Thread(target=f).start()",
    "thread_daemon": "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "thread_main": "import threading\nprint(threading.current_thread() is threading.main_thread(), threading.active_count())",
    "thread_pool": "from concurrent.futures import ThreadPoolExecutor as P\nwith P(2) as p: print(list(p.map(abs, [-1, 2])))",
    "thread_started_at_end": (
        "import threading\ndef g(): print('second')\ndef f():\n    threading.main_thread().join(0.1)\n"
        "    t = threading.Thread(target=g)\n    t.start()\n    t.join()\nthreading.Thread(target=f).start()"
    ),
    "atexit_order": "import atexit\nfor n in range(3): atexit.register(print, n)\nprint('end')",
    "object_dies_at_end": "class C:\n    def __del__(self): print('gone')\nc = C()",
    "signal_handler": "import os, signal\nsignal.signal(signal.SIGUSR1, lambda s, f: print('got', f.f_code.co_name))\n"
    "os.kill(os.getpid(), signal.SIGUSR1)",
    "fork": "import os, sys\npid = os.fork()\nif pid == 0:\n    sys.exit(5)\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))",
    "fork_fails": (
        "import os, sys\npid = os.fork()\nif pid == 0:\n    1 / 0\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    ),
    "execs": "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'print(5)'])",
    **{
        f"multiprocessing_{method}": (
            "import multiprocessing as m, sys\nclass C:\n    x = 2\ndef f(c): return c.x * 3, __name__, sys.argv\n"
            f"if __name__ == '__main__':\n    m.set_start_method('{method}')\n"
            "    with m.Pool(1) as p: print(p.map(f, [C()]))\n"
            "    q = m.Process(target=sys.exit, args=(4,)); q.start(); q.join(); print(q.exitcode)\n"
        )
        for method in ("fork", "spawn", "forkserver")
    },
    "subprocess_interpreter": (
        "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', '1 / 0'], stderr=subprocess.PIPE).stderr)"
    ),
    "asyncio": "import asyncio\nasync def f(): return 1\nprint(asyncio.run(f()))",
}

SOURCES: dict[str, bytes] = {
    "empty": b"",
    "no_newline": b"print(1)",
    "cookie": "# coding: latin-1\nprint(ascii('\xe9'))\n1 / 0 # \xe9\n".encode("latin-1"),
    "bom": b"\xef\xbb\xbfprint('\xc3\xa9')\n",
    "bom_and_cookie": b"\xef\xbb\xbf# coding: latin-1\nprint(1)\n",
    "bad_cookie": b"# coding: no-such\nprint(1)\n",
    "not_utf_8": b"# \xe9\nprint(1)\n",
    "not_utf_8_in_string": b"print(1)\nx = '\xff'\n",
    "null": b"print(1)\nx = '\0'\n",
    "windows_lines": b"print(1)\r\n1 / 0\r\n",
    "hash_bang": b"#!/usr/bin/env python\nprint(1)\n",
    "form_feed": b"x = 1\n\x0cprint(x)\n",
    "wide": "print('\U0001f600', 1 / 0)\n".encode(),
}

PROGRAMS: dict[str, str | bytes] = {**ENDS, **ERRORS, **STACKS, **MAIN, **THREADS, **SOURCES}

BESIDE: dict[str, str | bytes] = {
    "beside.py": "x = 'beside'",
    "helper.py": "def f():\n    raise OSError('in helper')\nf()",
    "broken.py": "x = = 1",
}


def with_slow_ones_marked(names: Iterable[str]) -> list[Any]:
    return [
        pytest.param(name, marks=pytest.mark.thorough) if name == "interrupt_in_asyncio" else name for name in names
    ]


@pytest.mark.parametrize("name", with_slow_ones_marked(PROGRAMS))
def test_script(name: str, tmp_path: Path) -> None:
    lay_out(tmp_path, {"program.py": PROGRAMS[name], **BESIDE})
    compare(tmp_path, ["program.py", "one", "-x"], stdin=b"some input\n")


@pytest.mark.parametrize("name", with_slow_ones_marked(name for name in PROGRAMS if name not in SOURCES))
def test_module(name: str, tmp_path: Path) -> None:
    lay_out(tmp_path, {"program.py": PROGRAMS[name], **BESIDE})
    compare(tmp_path, ["-m", "program", "one", "-x"], stdin=b"some input\n")


# Those have no file, or hang where their children import one.
WITHOUT_FILE = [name for name in PROGRAMS if name not in SOURCES and not name.startswith("multiprocessing_")]


@pytest.mark.parametrize("name", with_slow_ones_marked(WITHOUT_FILE))
def test_command(name: str, tmp_path: Path) -> None:
    lay_out(tmp_path, BESIDE)
    program = PROGRAMS[name]
    assert isinstance(program, str)
    compare(tmp_path, ["-c", program, "one", "-x"], stdin=b"some input\n")


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in PROGRAMS if not name.startswith("multiprocessing_")])
def test_standard_input(name: str, tmp_path: Path) -> None:
    lay_out(tmp_path, BESIDE)
    program = PROGRAMS[name]
    compare(tmp_path, ["-", "one", "-x"], stdin=program if isinstance(program, bytes) else program.encode("utf-8"))


# ---- Where the program is ----

SHOW = "import sys\nprint(__name__, __package__, __spec__ and __spec__.name, __file__, sys.argv, sys.path)\n"

PACKAGE: dict[str, str | bytes] = {
    "pkg/__init__.py": "print('pkg', __name__)\n",
    "pkg/__main__.py": SHOW + "from . import other\n",
    "pkg/other.py": SHOW + "from . import *\n1 / 0\n",
    "bare/__init__.py": "",
    "eager/__init__.py": "from . import sub\n",
    "eager/sub.py": SHOW,
    "failing/__init__.py": "import no_such_module\n",
    "failing/sub.py": "",
    "wrong/__init__.py": "1 / 0\n",
    "space/inner.py": SHOW,
    "bad_syntax.py": "x = = 1\n",
    "folder/__main__.py": SHOW + "import beside\n1 / 0\n",
    "folder/beside.py": "",
    "nothing/beside.py": "",
    "deep/er/program.py": SHOW + "1 / 0\n",
    "program": SHOW,
    "-m.py": SHOW,
    "indented.py": "  print(1)\n",
}

PLACES = {
    "missing_file": ["missing.py"],
    "missing_folder": ["missing/program.py", "x"],
    "missing_absolute": ["/missing/program.py"],
    "missing_with_quote": ["it's.py"],
    "module_in_place_of_script": ["pkg.other"],
    "no_suffix": ["program"],
    "dot_slash": ["./program"],
    "dots": ["deep/../deep/er/program.py"],
    "deep": ["deep/er/program.py", "a"],
    "absolute": ["{folder}/deep/er/program.py", "a"],
    "link": ["link.py", "a"],
    "folder": ["folder", "a"],
    "folder_slash": ["folder/", "a"],
    "folder_absolute": ["{folder}/folder"],
    "folder_here": ["."],
    "folder_without_main": ["nothing"],
    "folder_is_package": ["pkg"],
    "zip": ["program.zip", "a"],
    "zip_without_main": ["empty.zip"],
    "compiled": ["compiled.pyc", "a"],
    "bad_compiled": ["bad.pyc"],
    "module_package": ["-m", "pkg", "a", "-m", "b"],
    "module_in_package": ["-m", "pkg.other"],
    "module_attached": ["-mpkg", "a"],
    "module_without_main": ["-m", "bare"],
    "module_missing": ["-m", "no_such_module", "x"],
    "module_missing_in_package": ["-m", "pkg.missing"],
    "module_missing_package": ["-m", "missing.sub"],
    "module_with_suffix": ["-m", "bad_syntax.py"],
    "module_relative": ["-m", ".pkg"],
    "module_empty": ["-m", ""],
    "module_broken": ["-m", "bad_syntax"],
    "module_twice": ["-m", "eager.sub"],
    "module_namespace": ["-m", "space"],
    "module_in_namespace": ["-m", "space.inner"],
    "module_failing_package": ["-m", "failing.sub"],
    "module_wrong_package": ["-m", "wrong"],
    "module_of_stdlib": ["-m", "base64", "-t"],
    "module_builtin": ["-m", "sys"],
    "module_frozen": ["-m", "__phello__"],
    "module_runpy": ["-m", "runpy", "program"],
    "module_usage": ["-m", "calendar", "x"],
    "module_main": ["-m", "__main__"],
    "command_attached": ["-cprint(1)", "a"],
    "command_empty": ["-c", ""],
    "command_lines": ["-c", "import sys\n\ndef f():\n    return sys.argv\nprint(f())\nf(1)", "a", "-c", "b"],
    "command_indented": ["-c", "  print(1)\n  print(2)"],
    "command_indented_wrongly": ["-c", "  print(1)\nprint(2)"],
    "command_indented_with_blanks": ["-c", "\n    if 1:\n\n        print('''a\n        b''')\n    "],
    "command_with_wide_text": ["-c", "print('\U0001f600'); 1 / 0"],
    "command_with_surrogate": ["-c", b"print('\xff')".decode("utf-8", "surrogateescape")],
    "command_cookie": ["-c", "# coding: latin-1\nprint('\xe9')"],
    "options_behind": ["program", "-m", "x", "-c", "y", "--help", "-h", "--debugger", "--"],
}


@pytest.mark.parametrize("name", PLACES)
def test_place(name: str, tmp_path: Path) -> None:
    lay_out(tmp_path, PACKAGE)
    (tmp_path / "link.py").symlink_to("deep/er/program.py")
    with zipfile.ZipFile(tmp_path / "program.zip", "w") as archive:
        archive.writestr("__main__.py", SHOW + "import beside\n1 / 0\n")
        archive.writestr("beside.py", "")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("beside.py", "")
    compiled = "import py_compile; py_compile.compile('program', 'compiled.pyc')"
    assert start(["-c", compiled], tmp_path).code == 0
    (tmp_path / "bad.pyc").write_bytes(b"\0" * 20)
    arguments = [argument.replace("{folder}", str(tmp_path)) for argument in PLACES[name]]
    compare(tmp_path, arguments)


# ---- The interpreter's own options ----

OPTIONS = [
    ["-I"],
    ["-E"],
    ["-s"],
    ["-B"],
    ["-u"],
    ["-O"],
    ["-OO"],
    ["-W", "error"],
    ["-W", "ignore"],
    ["-W", "default"],
    ["-X", "utf8"],
    ["-X", "dev"],
    ["-X", "faulthandler"],
    ["-X", "tracemalloc"],
    ["-X", "what=ever"],
]
if sys.version_info >= (3, 11):
    OPTIONS += [["-P"], ["-X", "no_debug_ranges"]]

OPTIONS_PROGRAM = (
    "'''Text.'''\nimport sys, warnings\n"
    "print(sys.flags, sys.warnoptions, sys._xoptions, sys.path, __doc__)\n"
    "assert not sys.argv[1:]\nwarnings.warn('text')\n1 / 0\n"
)


@pytest.mark.parametrize(
    "arguments",
    [
        ["program.py"],
        *(
            pytest.param(arguments, marks=pytest.mark.thorough)
            for arguments in (["-m", "program"], ["-c", OPTIONS_PROGRAM], ["folder"])
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_option(options: list[str], arguments: list[str], tmp_path: Path) -> None:
    lay_out(tmp_path, {"program.py": OPTIONS_PROGRAM, "folder/__main__.py": OPTIONS_PROGRAM})
    compare(tmp_path, arguments, options)


def test_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    lay_out(tmp_path, {"program.py": OPTIONS_PROGRAM})
    for arguments in (["program.py"], ["-m", "program"], ["-c", OPTIONS_PROGRAM], ["-"]):
        compare(tmp_path, arguments, stdin=OPTIONS_PROGRAM.encode())


# ---- What is rmon's ----


def test_rmon_is_installed(tmp_path: Path) -> None:
    seen = "import sys; print(sys.monitoring.get_tool(3)); import rmon; print(rmon.monitoring.get_tool(3))"
    program = "import sys; sys.monitoring.use_tool_id(3, 'mine'); " + seen
    assert start(["-m", "rmon", "run", "-c", program], tmp_path) == (0, "mine\nmine\n", "")


@pytest.mark.parametrize("debugger", [False, True])
def test_debugger_option(debugger: bool, tmp_path: Path) -> None:
    program = (
        "import rmon, sys; m = sys.monitoring; E = m.events; m.use_tool_id(0, 'd')\n"
        "m.register_callback(0, E.LINE, lambda code, line: print(code.co_name, line) if code is c else None)\n"
        "c = rmon.CodeLike('look-alike', 'file')\n"
        "m.set_events(0, E.LINE)\n"
        "with rmon.Scope(c, rmon.monitoring.events.LINE) as scope: scope.line(5)\n"
        "m.set_events(0, 0)\n"
    )
    options = ["--debugger"] if debugger else []
    found = start(["-m", "rmon", "run", *options, "-c", program], tmp_path)
    assert found == (0, "look-alike 5\n" if debugger else "", "")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "no program is given"),
        (["--debugger"], "no program is given"),
        (["--no-such", "x.py"], "unknown option --no-such"),
        (["-x"], "unknown option -x"),
        (["-m"], "argument expected for the -m option"),
        (["-c"], "argument expected for the -c option"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, tmp_path: Path) -> None:
    found = start(["-m", "rmon", "run", *arguments], tmp_path)
    assert (found.code, found.output) == (2, "")
    assert found.errors.startswith("usage: python -m rmon run ") and found.errors.endswith(f": {message}\n")


def test_help(tmp_path: Path) -> None:
    for option in ("-h", "--help"):
        assert start(["-m", "rmon", "run", option, "x"], tmp_path) == (0, rmon._run.USAGE, "")


def test_script_whose_name_is_an_option(tmp_path: Path) -> None:
    lay_out(tmp_path, {"-m": "import sys; print(sys.argv)"})
    assert start(["-m", "rmon", "run", "--", "-m", "x"], tmp_path) == (0, "['-m', 'x']\n", "")


def test_running_under_another_runner(tmp_path: Path) -> None:
    """Who runs `-m rmon` from Python code is left like the rest."""
    lay_out(tmp_path, {"program.py": "import traceback; traceback.print_stack(); 1 / 0"})
    outer = "import runpy, sys; sys.argv[1:] = ['run', 'program.py']; runpy.run_module('rmon', run_name='__main__')"
    (tmp_path / "outer.py").write_text(outer)
    by_rmon = start(["outer.py"], tmp_path)
    assert by_rmon == start(["program.py"], tmp_path)


def test_prompt_after_the_program(tmp_path: Path) -> None:
    """With -i, the prompt sees the program's names. (Only a terminal gets a prompt.)"""
    pty = pytest.importorskip("pty")
    lay_out(tmp_path, {"program.py": "x = 'from the program'\n"})
    controller, terminal = pty.openpty()
    os.write(controller, b"print(x.upper(), __name__)\nexit(3)\n")
    done = subprocess.run(
        [sys.executable, "-i", "-m", "rmon", "run", "program.py"],
        cwd=tmp_path,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHON_BASIC_REPL": "1"},
        timeout=60,
    )
    os.close(controller)
    os.close(terminal)
    assert b"FROM THE PROGRAM __main__" in done.stdout
    assert done.returncode == 3
