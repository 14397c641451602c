"""Runs pytest in this process with shared libraries loaded: pytest_with.py [LIBRARY ...] -- [PYTEST ARGUMENTS].

Loading is all that a native tool needs. Unlike LD_PRELOAD it happens in this process only, not in those that it starts.
"""

import ctypes
import sys

import pytest

at = sys.argv.index("--")
loaded = [ctypes.CDLL(library) for library in sys.argv[1:at]]
sys.exit(pytest.main(sys.argv[at + 1 :]))
