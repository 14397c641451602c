"""Runs the setup.py in the current folder, unchanged, with one Cython directive more: linetrace=True.

The arguments are setup.py's.
"""

import runpy
import sys

from Cython.Compiler.Options import get_directive_defaults

get_directive_defaults()["linetrace"] = True
sys.argv[0] = "setup.py"
runpy.run_path("setup.py", run_name="__main__")
