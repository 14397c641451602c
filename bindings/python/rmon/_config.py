"""python -m rmon config: prints flags and folders for building with rmon, on one line, quoted for a shell."""

import os
import shlex
import sys

import rmon

USAGE = """\
usage: python -m rmon config [--cflags] [--includes] [--libs] [--cython] [--cmakedir] [--pkgconfigdir] [--version]
"""

HELP = (
    USAGE
    + """
Prints flags in the order of the options, on one line, quoted for a shell.

  --cflags        for the compiler: where rmon.h, rmon_python.h and rmon.hpp are
  --includes      the same
  --libs          for the linker: librmon, and where it is, at run time too. Extensions link with nothing
  --cython        CFLAGS (or CXXFLAGS) that make a Cython module fire into rmon that does not cimport it. Compile it
                  with Cython's directive linetrace=True
  --cmakedir      for CMake's variable rmon_DIR: the folder with rmonConfig.cmake
  --pkgconfigdir  for PKG_CONFIG_PATH: the folder with rmon.pc and rmon-headers.pc
  --version       rmon's version
"""
)


def compile_flags() -> list[str]:
    return ["-I" + rmon.get_include()]


def link_flags() -> list[str]:
    folder = rmon.get_library_dir()
    return ["-L" + folder, *("-l" + name for name in rmon.get_libraries()), "-Wl,-rpath," + folder]


def cython_flags() -> list[str]:
    return [*compile_flags(), "-include", "rmon_python.h"]


OPTIONS = {
    "--cflags": compile_flags,
    "--includes": compile_flags,
    "--libs": link_flags,
    "--cython": cython_flags,
    "--cmakedir": lambda: [os.path.join(rmon.get_library_dir(), "cmake", "rmon")],
    "--pkgconfigdir": lambda: [os.path.join(rmon.get_library_dir(), "pkgconfig")],
    "--version": lambda: [rmon.__version__],
}


def main(argv: list[str]) -> int:
    if "-h" in argv or "--help" in argv:
        sys.stdout.write(HELP)
        return 0
    unknown = [option for option in argv if option not in OPTIONS]
    if unknown or not argv:
        sys.stderr.write(USAGE)
        if unknown:
            sys.stderr.write("unknown: " + " ".join(unknown) + "\n")
        return 2
    words = []
    for option in argv:
        flags = OPTIONS[option]()
        if flags[0] in words:  # --cython after --cflags, say: no -I twice
            del flags[0]
        words += flags
    sys.stdout.write(" ".join(map(shlex.quote, words)) + "\n")
    return 0
