"""Cython packages that know nothing of rmon: built with the flags of `config --cython`, and by `instrument`."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import run

import rmon

pytestmark = pytest.mark.thorough

PYX = """\
def add(a, b):
    c = a + b
    return c
"""

SETUP = """\
from setuptools import setup, Extension
from Cython.Build import cythonize
setup(name="stranger", version="1.0", packages=["stranger"],
      ext_modules=cythonize([Extension("stranger.sums", ["stranger/sums.pyx"])], compiler_directives={directives}))
"""

PYPROJECT = """\
[build-system]
requires = ["setuptools", "cython"]
build-backend = "setuptools.build_meta"
"""

LISTEN = """\
import sys
sys.path.insert(0, {wheel!r})
import rmon
heard = []
def heard_of(name):
    def callback(code, *arguments):
        if code.co_filename.endswith("sums.pyx"):
            heard.append((name, code.co_name))
    return callback
monitoring = rmon.monitoring
monitoring.use_tool_id(3, "test")
for name in ("PY_START", "LINE", "PY_RETURN"):
    monitoring.register_callback(3, getattr(monitoring.events, name), heard_of(name))
monitoring.set_events(3, monitoring.events.PY_START | monitoring.events.LINE | monitoring.events.PY_RETURN)
from stranger.sums import add
assert add(1, 2) == 3
print(*(event for event, name in heard if name == "add"))
"""


@pytest.fixture
def stranger(tmp_path):
    """stranger(directives): the folder of a package."""
    if importlib.util.find_spec("pip") is None:
        pytest.skip("this interpreter has no pip")

    def make(directives=None):
        folder = tmp_path / "project"
        (folder / "stranger").mkdir(parents=True)
        (folder / "stranger" / "__init__.py").write_text("")
        (folder / "stranger" / "sums.pyx").write_text(PYX)
        (folder / "setup.py").write_text(SETUP.replace("{directives}", repr(directives or {})))
        (folder / "pyproject.toml").write_text(PYPROJECT)
        return folder

    return make


@pytest.fixture
def events(run_python, tmp_path):
    """events(wheel): what a function of the package in the wheel reports."""

    def events(wheel):
        folder = tmp_path / "unpacked"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        return run_python("-c", LISTEN.replace("{wheel!r}", repr(str(folder)))).stdout.split()

    return events


HEARD = ["PY_START", "LINE", "LINE", "PY_RETURN"]

# Not from PyPI: what is installed here builds the package. (pip reads this one as its opposite.)
HERE = {**os.environ, "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
INSTRUMENT = [sys.executable, "-m", "rmon", "instrument"]


def test_the_flags_are_all_that_a_traced_package_needs(stranger, events, tmp_path):
    flags = run([sys.executable, "-m", "rmon", "config", "--cython"]).stdout.strip()
    assert "\n" not in flags
    wheels = tmp_path / "wheels"
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(wheels)]
    run([*pip, str(stranger({"linetrace": True}))], env={**HERE, "CFLAGS": flags})
    assert events(next(wheels.iterdir())) == HEARD


def test_instrument_needs_no_change_at_all(stranger, events, tmp_path):
    wheels = tmp_path / "wheels"
    done = run([*INSTRUMENT, "--wheel-dir", str(wheels), str(stranger())], env=HERE)
    assert "instrumented: stranger.sums" in done.stdout
    assert events(next(wheels.iterdir())) == HEARD


def test_instrument_compiles_again_what_was_compiled(stranger, events, tmp_path):
    folder, wheels = stranger(), tmp_path / "wheels"
    run([sys.executable, "setup.py", "build_ext", "--inplace"], cwd=folder)
    assert (folder / "stranger" / "sums.c").is_file()
    run([*INSTRUMENT, "--wheel-dir", str(wheels), str(folder)], env=HERE)
    assert events(next(wheels.iterdir())) == HEARD


def test_instrument_says_that_there_is_nothing_to_instrument(stranger, tmp_path, run_python):
    folder, wheels = stranger(), tmp_path / "wheels"
    (folder / "setup.py").write_text(
        "from setuptools import setup\nsetup(name='plain', version='1.0', py_modules=[])\n"
    )
    shutil.rmtree(folder / "stranger")
    done = run_python(*INSTRUMENT[1:], "--wheel-dir", str(wheels), str(folder), env=HERE, check=False)
    assert done.returncode == 1
    assert "compiled nothing with Cython" in done.stderr
    assert not wheels.exists()


def test_a_build_that_fails_is_a_failure(tmp_path, run_python, stranger):
    folder = stranger()
    (folder / "stranger" / "sums.pyx").write_text("def (\n")
    done = run_python(*INSTRUMENT[1:], "--wheel-dir", str(tmp_path / "wheels"), str(folder), env=HERE, check=False)
    assert done.returncode == 1


@pytest.mark.parametrize("words", [[], ["--wheel-dir"], ["--wheel-dir", "x"], ["--upgrade", "x"]])
def test_a_wrong_command_line_is_refused(words, run_python):
    done = run_python("-m", "rmon", "instrument", *words, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


def test_help(run_python):
    text = run_python("-m", "rmon", "instrument", "--help").stdout
    assert text.startswith("usage: ") and "--wheel-dir" in text
    assert Path(rmon.__file__).with_name("_cython_hook.py").is_file()
