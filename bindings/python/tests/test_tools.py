"""Stock tools, as they come from PyPI, see Cython modules that fire into rmon: coverage.py, cProfile, line_profiler,
and debugpy, which is left in peace.

everything.pyx is built twice: for rmon, and the legacy way, whose events are made of frames that Cython fakes and
reach sys.settrace. What coverage.py's C tracer finds in the legacy build is what must be found in rmon's.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence, Set, Tuple

import pytest

coverage = pytest.importorskip("coverage")

import rmon.coverage  # noqa: E402 (needs coverage)

EVERYTHING = Path(__file__).with_name("everything.pyx").read_text(encoding="utf-8")
LEGACY = ["-DCYTHON_USE_SYS_MONITORING=0", "-DCYTHON_TRACE=1"]

Build = Callable[..., Any]

has_sys_monitoring = pytest.mark.skipif(sys.version_info < (3, 12), reason="CPython 3.12 has brought sys.monitoring")
coverage_sysmon = pytest.mark.skipif(
    sys.version_info < (3, 10), reason="coverage.py's sysmon uses co_lines(), which CPython 3.9 has not"
)


# ---- Projects: folders with modules and programs ----


class Project:
    """A folder in which programs are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def add_module(self, built: Path, to: str = ".", without: Sequence[str] = ()) -> None:
        """Adds a built extension module, with its source and its C file."""
        folder = self.folder / to
        folder.mkdir(parents=True, exist_ok=True)
        for path in built.parent.iterdir():
            if path.suffix not in without:
                shutil.copy(path, folder)

    def run(self, *arguments: str, code: int = 0, env: Dict[str, str] = {}) -> "subprocess.CompletedProcess[str]":
        """Runs the interpreter. It must end with `code`, and write nothing to standard error."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**environment, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
        )
        assert (done.returncode, done.stderr) == (code, ""), done.stdout
        return done

    def measured(self) -> Dict[str, Set[int]]:
        """The lines in the data file, by the files' paths in the project."""
        data = coverage.CoverageData(str(self.folder / ".coverage"))
        data.read()
        return {os.path.relpath(file, self.folder): set(data.lines(file)) for file in data.measured_files()}

    def report(self, *options: str) -> Dict[str, str]:
        """What `coverage report -m` says, by file: "237 17 93% 23, 57"."""
        lines = self.run("-m", "coverage", "report", "-m", *options).stdout.splitlines()
        rows = [line.split(None, 1) for line in lines if re.search(r"\d%", line)]
        return {name: " ".join(rest.split()) for name, rest in rows if name != "TOTAL"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def another_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("another"))


def everything_for_rmon(build_cython: Build, **options: Any) -> Path:
    name = "everything"
    if options:
        name += "_" + "_".join(options)
    path: Path = build_cython(EVERYTHING, name, imported=False, **options)
    return path


def everything_legacy(build_cython: Build, flags: Sequence[str] = ()) -> Path:
    source = EVERYTHING.replace("cimport rmon", "# no rmon here")
    name = "everything_legacy" + ("_with_flags" if flags else "")
    path: Path = build_cython(source, name, imported=False, flags=[*LEGACY, *flags])
    return path


def lay_out(project: Project, built: Path, config: str) -> str:
    """A project whose program uses the module. Returns the name of the module's source file."""
    project.add_module(built)
    name = built.name.partition(".")[0]
    project.write("program.py", f"import {name}\n\n{name}.run()\nif not {name}:\n    print('never')\n")
    project.write(".coveragerc", config)
    return f"{name}.pyx"


def by_the_c_tracer(project: Project, build_cython: Build, flags: Sequence[str] = (), more: str = "") -> str:
    """Measures the legacy build with coverage.py's C tracer and Cython's own plugin. Returns the source's name."""
    config = f"[run]\ncore = ctrace\nplugins = Cython.Coverage\n{more}"
    name = lay_out(project, everything_legacy(build_cython, flags), config)
    project.run("-m", "coverage", "run", "program.py")
    return name


# ---- coverage.py ----


VARIANTS: Dict[str, Dict[str, Any]] = {
    "from_inside": {},
    "from_outside": {"outside": True},
    "without_gil": {"flags": ["-DCYTHON_TRACE_NOGIL=1"]},
    "cplusplus": {"cplusplus": True},
}


@coverage_sysmon
@pytest.mark.thorough
@pytest.mark.parametrize("variant", VARIANTS)
def test_sysmon_finds_the_lines_that_the_c_tracer_finds(
    variant: str, project: Project, another_project: Project, build_cython: Build
) -> None:
    """Without any plugin, so that nothing but coverage.py's own callbacks is in the game."""
    flags = VARIANTS[variant].get("flags", [])
    legacy = by_the_c_tracer(another_project, build_cython, flags)
    name = lay_out(project, everything_for_rmon(build_cython, **VARIANTS[variant]), "[run]\ncore = sysmon\n")
    project.run("-m", "rmon", "run", "-m", "coverage", "run", "program.py")
    measured = project.measured()
    assert measured[name] == another_project.measured()[legacy]
    # Before 3.12 there are no events of Python code. (rmon.coverage sees to that, too.)
    assert measured.get("program.py", set()) == ({1, 3, 4} if sys.version_info >= (3, 12) else set())


HOW = {"by_rmon_run": ["-m", "rmon", "run"], "by_itself": []}
CORES = ["sysmon", "ctrace", "pytrace"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("branch", [pytest.param(False, marks=pytest.mark.thorough), True], ids=["lines", "branches"])
def test_plugin_reports_what_is_reported_of_a_legacy_build(
    how: str, core: str, branch: bool, project: Project, another_project: Project, build_cython: Build
) -> None:
    if core == "sysmon" and branch and (3, 12) <= sys.version_info < (3, 14):
        pytest.skip("coverage.py's sysmon measures branches from 3.14 on")
    more = f"branch = {branch}\n"
    legacy = by_the_c_tracer(another_project, build_cython, more=more)
    config = f"[run]\ncore = {core}\nplugins = rmon.coverage\n{more}"
    name = lay_out(project, everything_for_rmon(build_cython), config)
    project.run(*HOW[how], "-m", "coverage", "run", "program.py")
    found, expected_lines = project.measured()[name], another_project.measured()[legacy]
    if branch and sys.version_info[:2] == (3, 11):
        # Cython's frames have no instructions. The C tracer of 3.11 takes some of them for generators that go on, and
        # notes lines that no event has reported: always two, and in a few runs of a hundred another one. What they have
        # in common is that Cython knows of nothing there that can be executed.
        assert found <= expected_lines
        assert not (expected_lines - found) & executable_lines(another_project.folder / legacy)
    else:
        assert found == expected_lines
    report, expected = project.report(), another_project.report()
    assert report == {name: expected[legacy], "program.py": expected["program.py"]}
    assert "93%" in report[name]


def executable_lines(source: Path) -> Set[int]:
    """Those of a .pyx file, as Cython itself has it."""
    from Cython.Coverage import Plugin

    plugin: Any = Plugin()
    lines: Set[int] = plugin.file_reporter(str(source)).lines()
    return lines


def test_plugin_alone_is_the_whole_configuration(project: Project, build_cython: Build) -> None:
    name = lay_out(project, everything_for_rmon(build_cython), "[run]\nplugins = rmon.coverage\n")
    project.run("-m", "coverage", "run", "program.py")
    assert set(project.report()) == {name, "program.py"}


def test_every_kind_of_report(project: Project, build_cython: Build) -> None:
    name = lay_out(project, everything_for_rmon(build_cython), "[run]\nplugins = rmon.coverage\n")
    project.run("-m", "coverage", "run", "program.py")
    missing = line_of("return self.x", -1)

    project.run("-m", "coverage", "html", "-q")
    index = (project.folder / "htmlcov" / "index.html").read_text()
    assert name in index and "93%" in index
    page = next((project.folder / "htmlcov").glob("everything_pyx*.html")).read_text()
    states = {
        int(number): state
        for state, number in re.findall(r'<p class="(\w*)[^"]*"><span class="n"><a id="t(\d+)"', page)
    }
    assert states[missing] == "mis" and states[line_of("return c")] == "run" and states[2] == "pln"
    assert "return c" in re.sub("<[^>]*>", "", page)

    project.run("-m", "coverage", "xml", "-q")
    xml = (project.folder / "coverage.xml").read_text()
    assert f'filename="{name}"' in xml and f'<line number="{missing}" hits="0"/>' in xml

    project.run("-m", "coverage", "json", "-q")
    lines = json.loads((project.folder / "coverage.json").read_text())["files"][name]
    assert missing in lines["missing_lines"] and line_of("return c") in lines["executed_lines"]

    project.run("-m", "coverage", "lcov", "-q")
    assert f"DA:{missing},0" in (project.folder / "coverage.lcov").read_text()

    project.run("-m", "coverage", "annotate")
    annotated = (project.folder / f"{name},cover").read_text().splitlines()
    assert annotated[missing - 1].startswith("!") and annotated[line_of("return c") - 1].startswith(">")


def line_of(text: str, which: int = 0) -> int:
    """The number of a line of everything.pyx, by what it says."""
    return [number for number, line in enumerate(EVERYTHING.splitlines(), 1) if line.strip() == text][which]


PACKAGE_MODULE = """\
# cython: language_level=3, linetrace=True
cimport rmon


def used(x):
    return x + 1


def unused(x):
    return x  # pragma: no cover


def missed(x):
    return x
"""


def lay_out_package(project: Project, build_cython: Build, config: str, folder: str = "") -> None:
    """package.native and package.idle (which is not imported) in a folder of the project, and a program."""
    source = project.folder / folder / "package"
    source.mkdir(parents=True)
    (source / "__init__.py").write_text("")
    (source / "python.py").write_text("def f(x):\n    return x\n\n\ndef g(x):\n    return x\n")
    (source / "other.py").write_text("x = 1\n")
    native: Path = build_cython(PACKAGE_MODULE, "native", imported=False)
    idle: Path = build_cython(PACKAGE_MODULE, "idle", imported=False)
    for built in (native, idle):
        project.add_module(built, f"{folder}/package" if folder else "package")
    project.write("program.py", "from package import native, python\n\nnative.used(1)\npython.f(1)\n")
    project.write(".coveragerc", f"[run]\nplugins = rmon.coverage\n{config}")


NATIVE = "6 1 83% 14"
IDLE = "6 6 0% 1-14"
FILTERS: Dict[str, Any] = {
    "none": ("", {"package/native.pyx": NATIVE}),
    "folder": ("source = .\n", {"package/native.pyx": NATIVE, "package/idle.pyx": IDLE}),
    "package": ("source = package\n", {"package/native.pyx": NATIVE, "package/idle.pyx": IDLE}),
    "package_by_name": ("source_pkgs = package\n", {"package/native.pyx": NATIVE, "package/idle.pyx": IDLE}),
    "module_by_name": ("source_pkgs = package.native\n", {"package/native.pyx": NATIVE}),
    "other_module_by_name": ("source_pkgs = package.python\n", {}),
    "include": ("include = */native.pyx\n", {"package/native.pyx": NATIVE}),
    "include_python": ("include = */package/python.py\n", {}),
    "omit": ("omit = */native.pyx\n", {}),
    "omit_in_source": ("source = .\nomit = */native.pyx\n", {"package/idle.pyx": IDLE}),
    "relative": ("relative_files = True\n", {"package/native.pyx": NATIVE}),
}


@pytest.mark.thorough
@pytest.mark.parametrize("core", ["sysmon", "ctrace"])
@pytest.mark.parametrize("name", FILTERS)
def test_filter(name: str, core: str, project: Project, build_cython: Build) -> None:
    config, expected = FILTERS[name]
    lay_out_package(project, build_cython, f"core = {core}\n{config}")
    project.run("-m", "coverage", "run", "program.py")
    report = project.report()
    assert {file: row for file, row in report.items() if file.endswith(".pyx")} == expected
    if name in ("none", "folder", "package", "package_by_name", "omit", "omit_in_source", "relative", "include_python"):
        assert report["package/python.py"] == "4 1 75% 6"


@pytest.mark.parametrize("core", ["sysmon", "ctrace"])
def test_sources_are_found_from_another_folder(core: str, project: Project, build_cython: Build) -> None:
    """Cython's path of a source file is relative to where Cython was run."""
    lay_out_package(project, build_cython, f"core = {core}\nsource_pkgs = package\n", folder="src")
    project.run("-m", "coverage", "run", "program.py", env={"PYTHONPATH": "src"})
    report = project.report()
    assert report["src/package/native.pyx"] == NATIVE
    assert report["src/package/python.py"] == "4 1 75% 6"


def test_parallel_runs_are_combined(project: Project, build_cython: Build) -> None:
    lay_out_package(project, build_cython, "parallel = True\n")
    project.write("second.py", "from package import native\n\nnative.missed(1)\n")
    for program in ("program.py", "second.py"):
        project.run("-m", "coverage", "run", program)
    project.run("-m", "coverage", "combine", "-q")
    assert project.report()["package/native.pyx"] == "6 0 100%"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_multiprocessing(method: str, project: Project, build_cython: Build) -> None:
    lay_out_package(project, build_cython, "concurrency = multiprocessing\n")
    program = (
        "import multiprocessing\nfrom package import native\n\nif __name__ == '__main__':\n"
        f"    process = multiprocessing.get_context('{method}').Process(target=native.missed, args=(1,))\n"
        "    process.start()\n    process.join()\n    assert process.exitcode == 0\n    native.used(1)\n"
    )
    project.write("program.py", program)
    project.run("-m", "coverage", "run", "program.py")
    project.run("-m", "coverage", "combine", "-q")
    assert project.report()["package/native.pyx"] == "6 0 100%"


@pytest.mark.parametrize("core", ["sysmon", "ctrace"])
def test_threads(core: str, project: Project, build_cython: Build) -> None:
    lay_out_package(project, build_cython, f"core = {core}\n")
    program = (
        "import threading\nfrom package import native\n\n"
        "threads = [threading.Thread(target=f, args=(1,)) for f in (native.used, native.missed) * 3]\n"
        "for thread in threads:\n    thread.start()\nfor thread in threads:\n    thread.join()\n"
    )
    project.write("program.py", program)
    project.run("-m", "coverage", "run", "program.py")
    assert project.report() == {
        "package/__init__.py": "0 0 100%",
        "package/native.pyx": "6 0 100%",
        "program.py": "7 0 100%",
    }


def test_contexts(project: Project, build_cython: Build) -> None:
    """Each test sees the lines that it runs, those that have been run before too."""
    lay_out_package(project, build_cython, "dynamic_context = test_function\n")
    program = (
        "from package import native\n\n\ndef test_one():\n    native.used(1)\n\n\n"
        "def test_two():\n    native.used(1)\n    native.missed(1)\n\n\ntest_one()\ntest_two()\n"
    )
    project.write("program.py", program)
    project.run("-m", "coverage", "run", "program.py")
    data = coverage.CoverageData(str(project.folder / ".coverage"))
    data.read()
    file = next(file for file in data.measured_files() if file.endswith(".pyx"))
    contexts = data.contexts_by_lineno(file)
    assert set(contexts[6]) == {"__main__.test_one", "__main__.test_two"}
    assert set(contexts[14]) == {"__main__.test_two"}


@pytest.mark.parametrize("core", ["sysmon", "ctrace"])
def test_stopping_and_starting_again(core: str, project: Project, build_cython: Build) -> None:
    lay_out_package(project, build_cython, f"core = {core}\n")
    program = (
        "import coverage\n\ncov = coverage.Coverage()\ncov.start()\nfrom package import native\ncov.stop()\n"
        "native.missed(1)\ncov.start()\nnative.used(1)\ncov.stop()\ncov.save()\n"
    )
    project.write("program.py", program)
    project.run("program.py")
    assert project.report()["package/native.pyx"] == NATIVE


def test_pytest_cov(project: Project, build_cython: Build) -> None:
    pytest.importorskip("pytest_cov")
    lay_out_package(project, build_cython, "")
    test = "from package import native, python\n\n\ndef test():\n    assert native.used(1) == 2\n    python.f(1)\n"
    project.write("test_it.py", test)
    command = [
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--cov=package",
        "--cov-report=term-missing",
        "test_it.py",
    ]
    text = project.run(*command).stdout
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in text.splitlines() if re.search(r"\d%", line)}
    assert rows["package/native.pyx"] == NATIVE
    assert rows["package/idle.pyx"] == IDLE
    assert rows["package/python.py"] == "4 1 75% 6"
    assert "warning" not in text.lower()


PURE = "def f(x):\n    if x:\n        return 1\n    return [i for i in range(3)]\n\n\ndef g():\n    yield f(0)\n\n\nlist(g())\n"


@pytest.mark.parametrize("branch", [False, True], ids=["lines", "branches"])
@pytest.mark.parametrize("core", CORES)
def test_python_code_is_measured_as_without_the_plugin(core: str, branch: bool, project: Project) -> None:
    if core == "sysmon" and sys.version_info < (3, 14 if branch else 12):
        pytest.skip("coverage.py itself has no such core here")
    project.write("program.py", PURE)
    results: List[Any] = []
    for plugins in ("", "plugins = rmon.coverage\n"):
        project.write(".coveragerc", f"[run]\ncore = {core}\nbranch = {branch}\n{plugins}")
        project.run("-m", "coverage", "run", "program.py")
        results.append((project.measured(), project.report()))
    assert results[0] == results[1] and results[0][0]


@pytest.mark.thorough
def test_both_builds_with_one_configuration(project: Project, build_cython: Build) -> None:
    """The C tracer sees legacy builds: then rmon.coverage is what Cython.Coverage is for them."""
    name = lay_out(project, everything_for_rmon(build_cython), "[run]\ncore = ctrace\nplugins = rmon.coverage\n")
    project.add_module(everything_legacy(build_cython))
    project.write("program.py", "import everything, everything_legacy\n\neverything.run()\neverything_legacy.run()\n")
    project.run("-m", "coverage", "run", "program.py")
    report = project.report()
    assert report[name] == report["everything_legacy.pyx"]


@pytest.mark.thorough
def test_missing_c_file_is_an_error_with_a_hint(project: Project, build_cython: Build) -> None:
    config = "[run]\nplugins = rmon.coverage\n"
    lay_out(project, everything_for_rmon(build_cython), config)
    (project.folder / "everything.c").unlink()
    project.run("-m", "coverage", "run", "program.py")
    text = project.run("-m", "coverage", "report", code=1).stdout
    assert "rmon.coverage cannot tell which lines of" in text and "Keep it beside the .pyx file" in text


def test_unknown_coverage_py_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    from coverage.exceptions import PluginError

    monkeypatch.delattr("coverage.sysmon.SysMonitor.sysmon_py_start")
    with pytest.raises(PluginError, match=r"rmon.coverage does not know coverage.py [\d.]+: it needs"):
        coverage.Coverage(plugins=[lambda reg: rmon.coverage.coverage_init(reg, {})]).load()


EMITTER = """\
import rmon

E = rmon.monitoring.events


def run(filename, *lines):
    code = rmon.CodeLike("text", filename, lines=[(2 * line, 2 * line + 2, line) for line in range(1, 10)])
    with rmon.Scope(code, E.PY_START, E.LINE, E.BRANCH_LEFT, E.PY_RETURN) as scope:
        scope.py_start(0)
        for line in lines:
            scope.line(line)
            scope.branch_left(2 * line, 2 * line + 2)
        scope.py_return(0, None)
"""

EMITTER_PLUGIN = """\
import rmon.coverage


class Texts(rmon.coverage.EmitterPlugin):
    suffixes = (".text",)

    def executable_lines(self, filename):
        with open(filename) as file:
            return {number for number, line in enumerate(file, 1) if line.strip()}


def coverage_init(reg, options):
    rmon.coverage.register(reg, Texts())
"""


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("branch", [False, True], ids=["lines", "branches"])
def test_plugin_of_another_emitter(branch: bool, core: str, project: Project) -> None:
    if core == "sysmon" and branch and (3, 12) <= sys.version_info < (3, 14):
        pytest.skip("coverage.py's sysmon measures branches from 3.14 on")
    project.write("emitter.py", EMITTER)
    project.write("emitter_plugin.py", EMITTER_PLUGIN)
    project.write("a.text", "one\ntwo\n\nfour\nfive # pragma: no cover\n")
    project.write("b.text", "one\n")
    project.write("program.py", "import emitter\n\nemitter.run('a.text', 1, 2)\n")
    config = f"[run]\ncore = {core}\nbranch = {branch}\nplugins =\n    rmon.coverage\n    emitter_plugin\n"
    config += "source = .\nomit = emitter_plugin.py\n"
    project.write(".coveragerc", config)
    project.run("-m", "coverage", "run", "program.py")
    report = project.report()
    if branch:  # two more columns
        assert (report["a.text"], report["b.text"]) == ("3 1 0 0 67% 4", "1 1 0 0 0% 1")
    else:
        assert (report["a.text"], report["b.text"]) == ("3 1 67% 4", "1 1 0% 1")


# ---- cProfile ----

PROFILED = """\
# cython: language_level=3, profile=True, linetrace=True
cimport rmon


def outer(n):
    return [inner(i) for i in range(n)]


cdef int inner(int x) except -1:
    return x + leaf(x)


cdef int leaf(int x):
    return 1


def generator(n):
    for i in range(n):
        yield i


def failing():
    raise ValueError


cdef class Extension:
    def method(self):
        return leaf(1)


class Plain:
    def method(self):
        return leaf(2)
"""


@has_sys_monitoring
def test_cprofile(project: Project, build_cython: Build) -> None:
    project.add_module(build_cython(PROFILED, "profiled", imported=False))
    project.write(
        "program.py",
        "import profiled\n\nprofiled.outer(5)\nlist(profiled.generator(3))\nprofiled.Extension().method()\n"
        "profiled.Plain().method()\ntry:\n    profiled.failing()\nexcept ValueError:\n    pass\n",
    )
    project.run("-m", "rmon", "run", "-m", "cProfile", "-o", "profile", "program.py")
    show = (
        "import pstats; s = pstats.Stats('profile');"
        "print({name: v[:2] for (file, line, name), v in s.stats.items() if file == 'profiled.pyx'});"
        "print([(c[2], v[:2]) for (f, l, name), row in s.stats.items() if name == 'leaf' for c, v in row[4].items()])"
    )
    calls, callers = project.run("-c", show).stdout.splitlines()
    counts = {name: count for name, (_, count) in ast.literal_eval(calls).items() if not name.startswith("PyInit_")}
    # A generator counts once for its start and once for each time it goes on, as Python's do.
    expected = {"outer": 1, "inner": 5, "leaf": 7, "generator": 4, "failing": 1, "method": 1}
    assert {name: counts[name] for name in expected} == expected
    assert sum(count for name, (_, count) in ast.literal_eval(calls).items() if name == "method") == 1
    assert dict(ast.literal_eval(callers))["inner"][0] == 5
    printed = "import pstats; pstats.Stats('profile').sort_stats('name').print_stats('profiled.pyx')"
    text = project.run("-c", printed).stdout
    assert re.search(r"^ +5 .* profiled\.pyx:9\(inner\)$", text, re.MULTILINE)
    assert re.search(r"^ +7 .* profiled\.pyx:13\(leaf\)$", text, re.MULTILINE)


# ---- line_profiler ----

LINE_PROFILED = """\
import sys

import rmon

rmon.install()
import line_profiler
import everything

if "3.12" in sys.argv:
    import line_profiler._line_profiler
    import line_profiler.profiler_mixin

    line_profiler._line_profiler.CANNOT_LINE_TRACE_CYTHON = False
    line_profiler.profiler_mixin._CANNOT_LINE_TRACE_CYTHON = False


def python(n):
    total = 0
    for i in range(n):
        total += i
    return total


profiler = line_profiler.LineProfiler()
for function in (everything.simple, everything.loops, everything.Plain.static, python):
    profiler.add_callable(function)
with profiler:
    everything.simple(1)
    everything.loops(4)
    everything.loops(3)
    everything.Plain.static(1)
    python(3)
stats = profiler.get_stats()
print({name: {line: hits for line, hits, _ in times} for (_, _, name), times in stats.timings.items()})
profiler.print_stats()
"""


@has_sys_monitoring
@pytest.mark.parametrize("argument", ["", "3.12"])
def test_line_profiler(argument: str, project: Project, build_cython: Build) -> None:
    pytest.importorskip("line_profiler")
    if argument and sys.version_info >= (3, 13):
        pytest.skip("needed on 3.12 only")
    project.add_module(everything_for_rmon(build_cython))
    project.write("program.py", LINE_PROFILED)
    text = project.run("program.py", *argument.split()).stdout
    hits = ast.literal_eval(text.splitlines()[0])
    python = hits.pop("python")
    assert sorted(python.values()) == [1, 1, 3, 4]
    if sys.version_info < (3, 13) and not argument:
        # line_profiler itself leaves out all functions of Cython on 3.12, whatever has made them: by two constants,
        # which the program can change, as that of the other case does. There is no option for it.
        assert hits == {}
        return
    assert hits["simple"] == {line_of("c = a + b"): 1, line_of("return c"): 1}
    assert hits["loops"][line_of("total = 0")] == 2
    assert hits["loops"][line_of("total += i")] == 5
    # Cython reports the line of a `for` when the loop begins, and twice for each item.
    assert hits["loops"][line_of("for i in range(n):")] == 2 * (4 + 3)
    assert hits["Plain.static" if "Plain.static" in hits else "static"] == {line_of("return y", -1): 1}
    assert re.search(rf"^ +{line_of('total += i')} +5 .* total \+= i$", text, re.MULTILINE)


# ---- debugpy ----


class Client:
    """A client of the debug adapter protocol, as an editor is one."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.stream = self.socket.makefile("rwb")
        self.sequence = 0
        self.waiting: List[Dict[str, Any]] = []

    def send(self, command: str, **arguments: Any) -> int:
        self.sequence += 1
        message = {"seq": self.sequence, "type": "request", "command": command, "arguments": arguments}
        text = json.dumps(message).encode()
        self.stream.write(b"Content-Length: %d\r\n\r\n%s" % (len(text), text))
        self.stream.flush()
        return self.sequence

    def receive(self) -> Dict[str, Any]:
        length = 0
        while True:
            line = self.stream.readline()
            if not line:
                raise EOFError("the debugger has closed the connection")
            if line == b"\r\n":
                break
            length = int(line.partition(b":")[2])
        message: Dict[str, Any] = json.loads(self.stream.read(length))
        return message

    def wait(self, **what: Any) -> Dict[str, Any]:
        """The next message that has these fields."""

        def fits(message: Dict[str, Any]) -> bool:
            return all(message.get(name) == value for name, value in what.items())

        for message in self.waiting:
            if fits(message):
                self.waiting.remove(message)
                return message
        while True:
            message = self.receive()
            if fits(message):
                return message
            self.waiting.append(message)

    def request(self, command: str, **arguments: Any) -> Dict[str, Any]:
        response = self.wait(type="response", request_seq=self.send(command, **arguments))
        assert response["success"], response
        body: Dict[str, Any] = response.get("body", {})
        return body

    def stopped_line(self) -> int:
        """Waits until the program stops; where it does."""
        body = self.wait(event="stopped")["body"]
        self.thread = body["threadId"]
        frame = self.request("stackTrace", threadId=self.thread)["stackFrames"][0]
        assert frame["source"]["path"].endswith("debugged.py"), frame
        line: int = frame["line"]
        return line


DEBUGGED = """\
import sys
import debugpy
_, port = debugpy.listen(("127.0.0.1", 0))
print(port, flush=True)
debugpy.wait_for_client()
import everything
first = everything.simple(1)  # here
everything.run()
try:
    everything.exceptions(True)  # here
    everything.escaping()
except ZeroDivisionError as error:
    second = type(error).__name__
print(first, second, flush=True)
"""


class Debugged:
    """debugged.py, waiting for what the client says. Its output goes to files, which its adapter can keep open."""

    def __init__(self, project: Project, options: Sequence[str]) -> None:
        self.output = project.folder / "output"
        self.errors = project.folder / "errors"
        with open(self.output, "w") as output, open(self.errors, "w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *options, "debugged.py"],
                cwd=project.folder,
                stdout=output,
                stderr=errors,
                env={**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"},
            )
        self.client = Client(self.port())

    def port(self) -> int:
        until = time.monotonic() + 60
        while not self.output.read_text().endswith("\n"):
            assert self.process.poll() is None and time.monotonic() < until, self.errors.read_text()
            time.sleep(0.05)
        return int(self.output.read_text())

    def end(self) -> Tuple[int, str, str]:
        """Its exit code, what it has printed behind the port, and what it has written to standard error."""
        code = self.process.wait(timeout=60)
        return code, self.output.read_text().partition("\n")[2], self.errors.read_text()


@pytest.fixture
def debugged(project: Project, build_cython: Build) -> Iterator[Callable[..., Debugged]]:
    pytest.importorskip("debugpy")
    project.add_module(everything_for_rmon(build_cython))
    path = project.write("debugged.py", DEBUGGED)
    breakpoints = [{"line": number} for number, line in enumerate(DEBUGGED.splitlines(), 1) if "# here" in line]
    started: List[Debugged] = []

    def start(*options: str) -> Debugged:
        program = Debugged(project, options)
        started.append(program)
        client = program.client
        client.request("initialize", adapterID="test", pathFormat="path")
        attached = client.send("attach", justMyCode=True)
        client.wait(event="initialized")
        client.request("setBreakpoints", source={"path": str(path)}, breakpoints=breakpoints)
        client.request("configurationDone")
        client.wait(type="response", request_seq=attached)
        return program

    yield start
    for program in started:
        program.client.socket.close()
        program.process.kill()
        program.process.wait()


def test_debugpy_is_not_disturbed(debugged: Callable[..., Debugged]) -> None:
    """Breakpoints before and after Cython code, and steps over it, under `rmon run`."""
    program = debugged("-m", "rmon", "run")
    client = program.client
    assert client.stopped_line() == 7
    client.request("next", threadId=client.thread)
    assert client.stopped_line() == 8
    client.request("next", threadId=client.thread)
    assert client.stopped_line() == 9
    client.request("continue", threadId=client.thread)
    assert client.stopped_line() == 10
    client.request("stepIn", threadId=client.thread)  # there is nothing that could be stepped into
    assert client.stopped_line() == 11
    client.request("continue", threadId=client.thread)
    assert program.end() == (0, "2 ZeroDivisionError\n", "")


@has_sys_monitoring
def test_debugpy_with_the_events_of_native_code(debugged: Callable[..., Debugged]) -> None:
    """With --debugger they arrive at the debugger, which insists on a frame. That is why they do not by default."""
    code, _, errors = debugged("-m", "rmon", "run", "--debugger").end()
    assert code == 1
    assert "pydevd" in errors
    assert re.search(
        "^AssertionError: .*_call_with_frames_removed.* != <code object .*everything", errors, re.MULTILINE
    )


def test_debugger_of_ones_own(project: Project, build_cython: Build) -> None:
    """A tool in the debugger's place gets look-alikes by install(debugger=True) only."""
    project.add_module(everything_for_rmon(build_cython))
    program = (
        "import sys, rmon\n\nwith_debugger = sys.argv[1] == 'True'\nrmon.install(debugger=with_debugger)\n"
        "m = sys.monitoring\nseen = []\nm.use_tool_id(m.DEBUGGER_ID, 'debugger')\n"
        "m.register_callback(m.DEBUGGER_ID, m.events.LINE, lambda code, line: seen.append((code.co_name, line)))\n"
        "m.set_events(m.DEBUGGER_ID, m.events.LINE)\nimport everything\neverything.simple(1)\n"
        "m.set_events(m.DEBUGGER_ID, 0)\nprint(sorted(line for name, line in seen if name == 'simple'))\n"
    )
    project.write("program.py", program)
    lines = [line_of("c = a + b"), line_of("return c")]
    assert project.run("program.py", "False").stdout == "[]\n"
    # The decorators of twice_decorated call it, too.
    assert sorted(set(ast.literal_eval(project.run("program.py", "True").stdout))) == lines
