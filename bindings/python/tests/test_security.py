"""What the package and lazily attaching extensions load, open and start: nothing but the wheel's own library and what
RMON_LIBRARY names. SECURITY.md says what is trusted; c-tests/lazy.c has the programs with privileges."""

from __future__ import annotations

import ctypes.util
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import files
from pathlib import Path
from typing import Any

import pytest
from conftest import compiler, run
from test_attach import source

import rmon

pytestmark = pytest.mark.thorough

# A library with librmon's name and symbols, which says that it has been loaded.
TRAP = r"""
#include <stdio.h>

__attribute__((constructor)) static void loaded(void)
{
    puts("trapped");
    fflush(stdout);
}

int rmon_attach_slot(void *slot)
{
    (void)slot;
    puts("trapped");
    return 0;
}
"""

LIBRARIES = """
def libraries():
    with open("/proc/self/maps") as maps:
        return sorted({line.split()[-1] for line in maps if "librmon" in line})
"""


@pytest.fixture(scope="session")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the library that must not be loaded."""
    folder = tmp_path_factory.mktemp("trap")
    (folder / "trap.c").write_text(TRAP, encoding="utf-8")
    command = [*compiler(), "-shared", "-fPIC", "-Wl,-soname,librmon.so.0", "-o", folder / "librmon.so.0"]
    run([*command, folder / "trap.c"])
    (folder / "librmon.so").symlink_to("librmon.so.0")
    (folder / "lib").symlink_to(".")
    return folder


@pytest.fixture
def trapped(trap: Path, run_python: Callable[..., Any]) -> Callable[..., list[str]]:
    """Runs a script where every place that the loader and Python might look into has the trap; what it prints."""

    def start(text: str, **env: str) -> list[str]:
        around = {"LD_LIBRARY_PATH": f"{trap}:", "PYTHONPATH": str(trap), "PATH": f"{trap}:{os.environ['PATH']}", **env}
        done: subprocess.CompletedProcess[str] = run_python("-c", LIBRARIES + text, cwd=trap, env=around)
        return done.stdout.split("\n")[:-1]

    return start


@pytest.fixture(scope="session")
def attached(build_c_extension: Callable[..., Any]) -> str:
    path = build_c_extension(source("secure"), "secure", imported=False)
    return (
        "import importlib.util\n"
        f"spec = importlib.util.spec_from_file_location('secure', {str(path)!r})\n"
        "secure = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(secure)\n"
        "code = compile('', 'f.py', 'exec')\n"
        "secure.fire(code, 3)\n"
    )


def test_the_trap_works(trapped: Callable[..., list[str]], attached: str, trap: Path) -> None:
    assert trapped("import ctypes; ctypes.CDLL('librmon.so.0')") == ["trapped"]
    assert trapped(attached, RMON_LIBRARY=str(trap / "librmon.so.0")) == ["trapped", "trapped"]


def test_an_extension_loads_nothing(trapped: Callable[..., list[str]], attached: str) -> None:
    assert trapped(attached + "print(secure.awake(), libraries())") == ["False []"]


@pytest.mark.parametrize("name", ["librmon.so.0", "./librmon.so.0", "lib/librmon.so.0"])
def test_no_library_is_looked_for(trapped: Callable[..., list[str]], attached: str, name: str) -> None:
    assert trapped(attached + "print(secure.awake(), libraries())", RMON_LIBRARY=name) == ["False []"]


def test_the_package_loads_its_own_library(trapped: Callable[..., list[str]], attached: str) -> None:
    own = os.path.realpath(os.path.join(rmon.get_library_dir(), "librmon.so.0"))
    for first, second in (("import rmon\n", attached), (attached, "import rmon\n")):
        assert trapped(first + second + "print(secure.awake(), libraries())") == [f"True {[own]}"]
    assert trapped("import rmon; print(libraries())", RMON_LIBRARY="librmon.so.0") == [str([own])]


def test_importing_only_imports(run_python: Callable[..., Any]) -> None:
    """No file is written, nothing is started or connected to, and what is opened is the package's own or Python's."""
    done = run_python(
        "-B",
        "-c",
        """
import os, sys
seen = []
sys.addaudithook(lambda event, args: seen.append((event, args)))
import rmon
found, seen = seen, []
kinds = {event for event, args in found}
assert "import" in kinds and "open" in kinds, kinds # the hook works
allowed = {"import", "open", "exec", "compile", "marshal.loads", "marshal.load", "os.listdir", "os.scandir"}
allowed |= {"object.__getattr__", "object.__setattr__", "sys._getframe", "sys.monitoring.register_callback"}
print(sorted(kinds - allowed))
roots = [os.path.dirname(rmon.__file__), sys.base_prefix, sys.prefix, sys.base_exec_prefix]
files = [args for event, args in found if event == "open"]
print([args for args in files if args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)])
print([args[0] for args in files if not str(args[0]).startswith(tuple(map(os.path.realpath, roots)))])
""",
    )
    assert done.stdout == "[]\n[]\n[]\n"


def test_nothing_runs_before_the_import() -> None:
    """The distribution has no .pth file and no sitecustomize, by which code would run in every process."""
    found = files("rmon")
    assert found and any(path.name == "__init__.py" for path in found)
    assert not [path for path in found if path.suffix in (".pth", ".start") or "customize" in path.name]
    assert not [path for path in found if path.suffix in (".so", ".0") and path.parts[0] != "rmon"]
