"""Has Cython compile for rmon: what _instrument.py puts, as sitecustomize.py, before all else that builds a package.

Whatever Python process runs Cython then compiles with the directive linetrace=True, unless a source says otherwise, and
with rmon_python.h among the includes of the C code, as if the source said `cimport rmon`. Needs nothing but Python, as
a build environment has no rmon.
"""

import importlib.machinery
import importlib.util
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
LOG = os.path.join(HERE, "compiled")  # the names of the modules that Cython compiles, and of those that they cimport


def trace_lines(options):
    options.get_directive_defaults()["linetrace"] = True


def include_rmon(symtab):
    """Every module includes the header, right after Cython's own preamble."""
    make = symtab.ModuleScope.__init__

    def make_and_include(self, name, *args, **kwargs):
        make(self, name, *args, **kwargs)
        self.add_include_file("rmon_python.h")
        with open(LOG, "a", encoding="utf-8") as log:
            log.write(name + "\n")

    symtab.ModuleScope.__init__ = make_and_include


def check_version(shadow):
    if tuple(int(part) for part in shadow.__version__.split(".")[:2]) < (3, 1):
        with open(LOG, "a", encoding="utf-8") as log:
            log.write(f"too old: {shadow.__version__}\n")
        raise ImportError(f"rmon needs Cython 3.1 or newer, and this build has Cython {shadow.__version__}")


HOOKS = {
    "Cython.Shadow": check_version,
    "Cython.Compiler.Options": trace_lines,
    "Cython.Compiler.Symtab": include_rmon,
}


class Finder:
    """Finds the modules in HOOKS as others do, and has the hook run after the module's own code."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in HOOKS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_hook(module):
            execute(module)
            HOOKS[name](module)

        spec.loader.exec_module = execute_and_hook
        return spec


def run_next():
    """Runs the sitecustomize.py that this one hides; pip's build environments depend on theirs."""
    path = [entry for entry in sys.path if os.path.abspath(entry or ".") != HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


sys.meta_path.insert(0, Finder)
run_next()
