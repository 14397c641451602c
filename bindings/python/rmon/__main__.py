"""python -m rmon: hands over to the command that is named."""

import sys

USAGE = """\
usage: python -m rmon run [--debugger] [-m MODULE | -c CODE | SCRIPT] [ARGUMENTS ...]
       python -m rmon config [--cflags] [--includes] [--libs] [--cython] [--cmakedir] [--pkgconfigdir] [--version]
       python -m rmon instrument [--wheel-dir DIR] REQUIREMENT ...
"""


def main(argv: list[str]) -> int:
    command, rest = (argv[0] if argv else None), argv[1:]
    if command == "run":
        from rmon import _run

        return _run.main(rest)  # which does not return
    if command == "config":
        from rmon import _config

        return _config.main(rest)
    if command == "instrument":
        from rmon import _instrument

        return _instrument.main(rest)
    if command in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0
    sys.stderr.write(USAGE)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
