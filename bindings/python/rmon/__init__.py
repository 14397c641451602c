"""rmon: events from native code, for tools that are written like those of sys.monitoring.

    rmon.monitoring          sys.monitoring's functions, for native code and (from CPython 3.12 on) Python code
    rmon.install()           tools that use sys.monitoring itself see native code, until rmon.uninstall()
    rmon.CodeLike, Scope     emitters in Python: template engines, interpreters
    rmon.detach()            extensions cost what they cost without rmon, until rmon.attach()
    rmon.testing             the functions of CPython's _testcapi that fire events
    rmon.get_include() ...   for building extensions; so does `python -m rmon config`
"""

import os as _os

from rmon import monitoring, testing
from rmon._rmon import CodeLike, Scope, attach, detach, forget, install, uninstall
from rmon._version import version as __version__

__all__ = [
    "CodeLike",
    "Scope",
    "__version__",
    "attach",
    "detach",
    "forget",
    "get_include",
    "get_libraries",
    "get_library_dir",
    "install",
    "monitoring",
    "testing",
    "uninstall",
]

_FOLDER = _os.path.dirname(_os.path.abspath(__file__))


def get_include() -> str:
    """The folder that has rmon.h and rmon_python.h: for a compiler's -I, or an Extension's include_dirs."""
    return _os.path.join(_FOLDER, "include")


def get_library_dir() -> str:
    """The folder that has librmon: for a linker's -L, or an Extension's library_dirs."""
    return _os.path.join(_FOLDER, "lib")


def get_libraries() -> list[str]:
    """The libraries to link with, without "lib" and suffix: for an Extension's libraries."""
    return ["rmon"]
