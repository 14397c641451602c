"""Builds the extension modules that the tests use: build.py INCLUDE_DIR LIB_DIR INTO.

The C modules must compile without a warning. Needs setuptools and Cython.
"""

import os
import shutil
import sys
import sysconfig

from Cython.Build import cythonize
from setuptools import Extension, setup

HERE = os.path.dirname(os.path.abspath(__file__))

# Free-threaded builds before 3.15 have no limited API.
HAS_LIMITED_API = not sysconfig.get_config_var("Py_GIL_DISABLED")


def c_modules(include, link):
    """(module, source, extension) for each module in C."""
    # -isystem: Python.h's own warnings are not ours.
    strict = ["-O1", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    strict += ["-isystem", sysconfig.get_path("include")]

    def module(name, source, macros=(), **link):
        macros = [("MODULE", name), *macros]
        sources = [name + ".c"]
        return source, Extension(name, sources, include_dirs=[include], define_macros=macros, extra_compile_args=strict, **link)

    yield module("listener", "listener.c", **link)
    yield module("emitter", "emitter.c")
    yield module("emitter_linked", "emitter.c", [("RMON_LINK", None)], **link)
    yield module("emitter_disabled", "emitter.c", [("RMON_DISABLED", None)])
    if HAS_LIMITED_API:
        yield module("emitter_limited", "emitter.c", [("Py_LIMITED_API", "0x03090000")])


def cython_modules(include):
    """(source text, extension) for each Cython module: instrumented from the inside, or from the outside, by flags."""
    with open(os.path.join(HERE, "sample.pyx"), encoding="utf-8") as file:
        inside = file.read()
    outside = inside.replace('cdef extern from "rmon_python.h"', "if True")
    quiet = ["-O1", "-w"]
    flags = quiet + ["-include", "rmon_python.h"]
    common = dict(include_dirs=[include])
    yield inside, Extension("inside", ["inside.pyx"], extra_compile_args=quiet, **common)
    yield outside, Extension("outside", ["outside.pyx"], extra_compile_args=flags, **common)
    yield outside, Extension("outside_cpp", ["outside_cpp.pyx"], extra_compile_args=flags, language="c++", **common)


def main():
    include, lib, into = map(os.path.abspath, sys.argv[1:])
    os.chdir(into)
    link = dict(libraries=["rmon"], library_dirs=[lib], runtime_library_dirs=[lib])
    extensions = []
    for source, extension in c_modules(include, link):
        shutil.copy(os.path.join(HERE, source), extension.sources[0])
        extensions.append(extension)
    for text, extension in cython_modules(include):
        with open(extension.sources[0], "w", encoding="utf-8") as file:
            file.write(text)
        extensions += cythonize([extension], quiet=True)
    setup(name="rmon-tests", ext_modules=extensions, script_args=["--quiet", "build_ext", "--inplace", "--parallel=2"])


if __name__ == "__main__":
    main()
