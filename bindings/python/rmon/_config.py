"""python -m rmon config: prints the flags for building with rmon, on one line, quoted for a shell."""

import shlex
import sys

import rmon

USAGE = "usage: python -m rmon config [--cflags] [--includes] [--libs] [--cython] [--version]\n"

HELP = (
    USAGE
    + """
Prints flags in the order of the options, on one line, quoted for a shell.

  --cflags    for the compiler: where rmon.h and rmon_python.h are
  --includes  the same
  --libs      for the linker: librmon, and where it is, at run time too
  --cython    CFLAGS (or CXXFLAGS) that make a Cython module fire into rmon that does not cimport it. Compile it with
              Cython's directive linetrace=True, and link it with what --libs prints
  --version   rmon's version
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
