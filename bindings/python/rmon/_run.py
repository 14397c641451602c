"""`python -m rmon run`: runs a program as `python` would, with rmon installed.

What the program writes, the tracebacks of its errors and its exit code are those that `python` gives, and nothing of
rmon is on its stack: see src/run.c. This file finds out what is to be run, and makes sys and __main__ ready for it.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from importlib.machinery import BuiltinImporter, ExtensionFileLoader
from types import ModuleType
from typing import Any, Callable, List, NamedTuple, NoReturn, Optional, Tuple

import rmon
from rmon import _rmon

USAGE = """\
usage: python -m rmon run [--debugger] [-m MODULE | -c CODE | SCRIPT | -] [ARGUMENTS ...]

Runs a program as `python` does; tools in it that use sys.monitoring see native code, too.

  -m MODULE      a module, as a script
  -c CODE        the code itself
  SCRIPT         a file, or a folder or zip file with a __main__.py; - is the standard input
  --debugger     native code's events reach the tool id of debuggers (0), too
  -h, --help     prints this

Options of the interpreter itself (-X, -W, -P ...) stand before the first -m.
"""

Job = Tuple[str, Any, Tuple[Any, ...]]  # for rmon._program


class Program(NamedTuple):
    """What is to be run."""

    kind: str  # "module", "command", "file" or "stdin"
    what: str  # the module, the code, the file
    argv: List[str]
    debugger: bool


class UsageError(Exception):
    """The command line is wrong."""


class _Leave(BaseException):
    """Leaves all Python code, up to the interpreter's main. Nobody may catch it."""


def parse(argv: List[str]) -> Optional[Program]:
    """What the command line says; None if it asks for help. Everything behind the program is the program's."""
    debugger = False
    for index, word in enumerate(argv):
        rest = argv[index + 1 :]
        if word in ("-h", "--help"):
            return None
        if word == "--debugger":
            debugger = True
        elif word.startswith(("-m", "-c")):
            if word[2:]:
                what = word[2:]
            elif rest:
                what = rest.pop(0)
            else:
                raise UsageError(f"argument expected for the {word} option")
            return Program("module" if word[1] == "m" else "command", what, [word[:2], *rest], debugger)
        elif word == "-":
            return Program("stdin", word, [word, *rest], debugger)
        elif word == "--" and rest:
            return Program("file", rest[0], rest, debugger)
        elif word.startswith("-"):
            raise UsageError(f"unknown option {word}")
        else:
            return Program("file", word, [word, *rest], debugger)
    raise UsageError("no program is given")


def main(argv: List[str]) -> int:
    """Runs a program. Returns (with an exit code) only if there is none to run; otherwise the process ends with it."""
    try:
        program = parse(argv)
    except UsageError as error:
        sys.stderr.write(f"{USAGE.splitlines()[0]}\npython -m rmon run: {error}\n")
        return 2
    if program is None:
        sys.stdout.write(USAGE)
        return 0
    hand_over(program)


def hand_over(program: Program) -> NoReturn:
    """Leaves everything that is running, and runs the program instead."""
    hook: Callable[..., object] = load_program_module().hook
    before = sys.excepthook

    def prepare_program() -> Job:
        sys.excepthook = before
        for name in ("last_exc", "last_type", "last_value", "last_traceback"):
            if hasattr(sys, name):
                delattr(sys, name)
        return prepare(program)

    rmon.install(debugger=program.debugger)
    sys.excepthook = functools.partial(hook, prepare_program)
    raise _Leave


def load_program_module() -> ModuleType:
    """rmon._program, which is a module of its own in the file of rmon._rmon."""
    path = _rmon.__file__
    loader = ExtensionFileLoader("rmon._program", path)
    spec = importlib.util.spec_from_file_location("rmon._program", path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


# ---- What the interpreter's main does before it runs a program ----


_left: List[ModuleType] = []  # the __main__ before: 3.9 uses it without owning it, if it is a script's


def prepare(program: Program) -> Job:
    sys.argv[:] = program.argv
    _left.append(sys.modules["__main__"])
    sys.modules["__main__"] = fresh_main()
    safe = is_path_safe()
    if not safe:
        del sys.path[0]  # of `python -m rmon`: the current folder
    if program.kind == "file":
        path = absolute(program.what)
        if has_importer(path):
            sys.path.insert(0, path)
            return run_module("__main__", False)
    if not safe:
        sys.path.insert(0, first_path(program))
    if program.kind == "module":
        return run_module(program.what, True)
    if program.kind == "command":
        sys.audit("cpython.run_command", program.what)
        return "command", dedented(program.what), ()
    if program.kind == "stdin":
        sys.audit("cpython.run_stdin")
        return "stdin", None, ()
    return run_file(absolute(program.what))


def absolute(script: str) -> str:
    """As the interpreter makes it."""
    if script == "." and sys.version_info >= (3, 11):
        return os.getcwd()
    return os.path.join(os.getcwd(), script)


def fresh_main() -> ModuleType:
    module = ModuleType("__main__")
    names = vars(module)
    names["__loader__"] = BuiltinImporter
    if sys.version_info < (3, 14):
        names["__annotations__"] = {}
    names["__builtins__"] = sys.modules["builtins"]
    return module


def is_path_safe() -> bool:
    """Whether the interpreter leaves the program's folder out of sys.path."""
    return bool(getattr(sys.flags, "safe_path", sys.flags.isolated))


def first_path(program: Program) -> str:
    if program.kind == "module":
        return os.getcwd()
    if program.kind == "file":
        return os.path.dirname(os.path.realpath(program.what))
    return ""


def has_importer(path: str) -> bool:
    """Whether modules can be imported from it: a folder, or a zip file."""
    for hook in sys.path_hooks:
        try:
            sys.path_importer_cache[path] = hook(path)
        except ImportError:
            continue
        return True
    return False


def run_module(name: str, alter_argv: bool) -> Job:
    import runpy

    sys.audit("cpython.run_module", name)
    return "module", getattr(runpy, "_run_module_as_main"), (name, alter_argv)


def run_file(path: str) -> Job:
    sys.audit("cpython.run_file", path)
    try:
        open(path, "rb").close()
    except OSError as error:
        quoted = repr(path) if sys.version_info >= (3, 10) else f"'{path}'"
        sys.stderr.write(f"{interpreter_name()}: can't open file {quoted}: [Errno {error.errno}] {error.strerror}\n")
        raise SystemExit(2)
    return "file", path, ()


def dedented(source: str) -> str:
    """Since 3.14 the code of -c may be indented."""
    if sys.version_info >= (3, 14):
        import textwrap

        return textwrap.dedent(source)
    return source


def interpreter_name() -> str:
    """The interpreter as it was called: argv[0] of the process."""
    if sys.version_info >= (3, 10):
        return sys.orig_argv[0]
    try:
        with open("/proc/self/cmdline", "rb") as file:
            return os.fsdecode(file.read().partition(b"\0")[0])
    except OSError:
        return sys.executable
