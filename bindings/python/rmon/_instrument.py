"""python -m rmon instrument: builds Cython packages from their sources so that they fire into rmon, and installs them.

It is `pip wheel`, with every process of the build set up by _cython_hook.py, and then `pip install`. pip takes the
interpreter that it starts for a build from sys.executable; here that is a script which puts the hook on the path.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec

import rmon

USAGE = "usage: python -m rmon instrument [--wheel-dir DIR] REQUIREMENT ...\n"

HELP = (
    USAGE
    + """
Builds Cython packages from their sources with line tracing for rmon, and installs them with what they depend on. The
packages need not know rmon. A REQUIREMENT is as for pip: name==1.2, a source archive, or a folder.

  --wheel-dir DIR  leave the wheels there and install nothing

What pip reads from its configuration and from PIP_... variables holds here, too. CFLAGS and its like are kept.
"""
)

PIP_WITH = "import runpy, sys; sys.executable = sys.argv.pop(1); runpy.run_module('pip', run_name='__main__')"


def prepare(folder: str) -> str:
    """Makes the interpreter for builds, in the folder; its path."""
    hook = os.path.join(folder, "hook")
    os.mkdir(hook)
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_cython_hook.py")
    shutil.copy(source, os.path.join(hook, "sitecustomize.py"))
    script = os.path.join(folder, "python")
    with open(script, "w", encoding="utf-8") as file:
        path = shlex.quote(hook) + '"${PYTHONPATH:+:$PYTHONPATH}"'
        file.write(f'#!/bin/sh\nPYTHONPATH={path} exec {shlex.quote(sys.executable)} "$@"\n')
    os.chmod(script, 0o755)
    return script


def environment() -> "dict[str, str]":
    """The environment of builds. gcc and clang look into CPATH for headers, whatever flags a build passes them."""
    found = dict(os.environ)
    found["CPATH"] = os.pathsep.join(filter(None, [rmon.get_include(), found.get("CPATH")]))
    found["CYTHON_FORCE_REGEN"] = "1"  # also where the sources have C files
    return found


def sources_only(requirements: "list[str]") -> "list[str]":
    """The options that keep pip from taking ready-made wheels of these packages."""
    names = [re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*(?=\s*($|[\[=<>!~;@]))", text) for text in requirements]
    return [word for name in names if name for word in ("--no-binary", name.group())]


def compiled(folder: str) -> "set[str]":
    """The modules that Cython has compiled, and those that they cimport, without their packages."""
    try:
        with open(os.path.join(folder, "hook", "compiled"), encoding="utf-8") as log:
            lines = log.read().splitlines()
    except FileNotFoundError:
        return set()
    for line in lines:
        if line.startswith("too old: "):
            raise SystemExit(f"rmon: the build uses Cython {line[len('too old: ') :]}, and events need 3.1 or newer")
    return {line.rpartition(".")[2] for line in lines}


def modules(wheel: str) -> "list[str]":
    """The extension modules in a wheel, as paths without their suffixes."""
    suffixes = sorted(EXTENSION_SUFFIXES, key=len, reverse=True)
    with zipfile.ZipFile(wheel) as archive:
        found = [(name, next(filter(name.endswith, suffixes), None)) for name in archive.namelist()]
    return sorted(name[: -len(suffix)] for name, suffix in found if suffix)


def build(requirements: "list[str]", wheel_dir: str) -> "list[str]":
    """Builds the wheels; their paths. Those of packages in which Cython compiled nothing are an error."""
    with tempfile.TemporaryDirectory(prefix="rmon-") as folder:
        made = os.path.join(folder, "wheels")
        # A cache would give the wheels to those who did not ask for them.
        command = ["wheel", "--no-cache-dir", "--no-deps", "--wheel-dir", made, *sources_only(requirements)]
        python = prepare(folder)
        code = subprocess.call([sys.executable, "-c", PIP_WITH, python, *command, *requirements], env=environment())
        names = compiled(folder)
        if code != 0:
            raise SystemExit(code)
        wheels = [os.path.join(made, name) for name in sorted(os.listdir(made))]
        for wheel in wheels:
            instrumented = [module for module in modules(wheel) if module.rpartition("/")[2] in names]
            if not instrumented:
                raise SystemExit(
                    f"rmon: {os.path.basename(wheel)}: its build compiled nothing with Cython, so there is nothing to "
                    "instrument"
                )
            print(f"instrumented: {' '.join(module.replace('/', '.') for module in instrumented)}", flush=True)
        os.makedirs(wheel_dir, exist_ok=True)
        return [shutil.copy(wheel, wheel_dir) for wheel in wheels]


def install(wheels: "list[str]") -> int:
    """Installs the wheels, in place of the same versions, too, and then what they depend on."""
    pip = [sys.executable, "-m", "pip", "install"]
    return subprocess.call([*pip, "--force-reinstall", "--no-deps", *wheels]) or subprocess.call([*pip, *wheels])


def main(argv: "list[str]") -> int:
    if "-h" in argv or "--help" in argv:
        sys.stdout.write(HELP)
        return 0
    wheel_dir = None
    if argv[:1] == ["--wheel-dir"]:
        wheel_dir, argv = (argv[1] if len(argv) > 1 else None), argv[2:]
    if not argv or any(word.startswith("-") for word in argv):
        sys.stderr.write(USAGE)
        return 2
    if find_spec("pip") is None:
        sys.stderr.write(f"rmon: this needs pip, which {sys.executable} does not have\n")
        return 1
    if wheel_dir is not None:
        build(argv, wheel_dir)
        return 0
    with tempfile.TemporaryDirectory(prefix="rmon-") as folder:
        return install(build(argv, folder))
