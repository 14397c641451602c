"""The package as a whole: what is in the wheel, how others build against it, and that all share one run-time."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from conftest import compiler, load, rmon_compile_flags, rmon_link_flags, run

import rmon

pytestmark = pytest.mark.thorough

FOLDER = Path(rmon.__file__).parent

PROGRAM = """
#include <rmon.h>
#include <stdio.h>

int main(void)
{
    if (rmon_version_number() != RMON_VERSION_NUMBER || rmon_use_tool_id(RMON_PROFILER_ID, "probe") != RMON_OK)
        return 1;
    puts(rmon_version());
    return 0;
}
"""

# A module whose run() fires a LINE event, line 7, in a code that has the module's name; and the names of tools.
EMITTER = """
#include <Python.h>
#include <rmon.h>

#define TEXT_(name) #name
#define TEXT(name) TEXT_(name)
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

static PyObject *run(PyObject *module, PyObject *unused)
{
    static const uint8_t types[] = {RMON_EVENT_LINE};
    rmon_code_info info = {sizeof info, 1, TEXT(NAME), NULL, TEXT(NAME) ".tmpl", NULL, 0};
    rmon_state states[1] = {{0, 0}};
    uint64_t version = 0;
    void *code = rmon_code_new(&info);
    int status;
    (void)module, (void)unused;
    rmon_enter_scope(states, &version, types, 1);
    status = rmon_fire_line(&states[0], code, 0, 7);
    rmon_exit_scope();
    rmon_code_release(code);
    return PyErr_Occurred() ? NULL : PyLong_FromLong(status);
}

static PyObject *tool(PyObject *module, PyObject *id)
{
    char name[64] = "";
    (void)module;
    if (rmon_get_tool((int)PyLong_AsLong(id), name, sizeof name) <= 0)
        Py_RETURN_NONE;
    return PyUnicode_FromString(name);
}

static PyObject *use_tool(PyObject *module, PyObject *id)
{
    (void)module;
    return PyLong_FromLong(rmon_use_tool_id((int)PyLong_AsLong(id), TEXT(NAME)));
}

static PyObject *free_tool(PyObject *module, PyObject *id)
{
    (void)module;
    return PyLong_FromLong(rmon_free_tool_id((int)PyLong_AsLong(id)));
}

static PyMethodDef methods[] = {
    {"run", run, METH_NOARGS, NULL},
    {"tool", tool, METH_O, NULL},
    {"use_tool", use_tool, METH_O, NULL},
    {"free_tool", free_tool, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, TEXT(NAME), NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC JOIN(PyInit_, NAME)(void)
{
    return PyModule_Create(&definition);
}
"""


def emitter(build_c_extension, name):
    return build_c_extension(EMITTER, name, flags=[f"-DNAME={name}"], link=True)


def config(run_python, *options):
    return shlex.split(run_python("-m", "rmon", "config", *options).stdout)


def library():
    """librmon by way of ctypes."""
    lib = ctypes.CDLL(os.path.join(rmon.get_library_dir(), "librmon.so.0"))
    lib.rmon_version.restype = ctypes.c_char_p
    return lib


def needed(path):
    """The libraries that a binary asks the loader for."""
    text = run(["readelf", "--wide", "--dynamic", os.fspath(path)]).stdout
    return re.findall(r"\(NEEDED\).*\[(.*)\]", text)


# ---- What is there ----


def test_the_headers_are_in_the_include_folder():
    assert Path(rmon.get_include()) == FOLDER / "include"
    assert {path.name for path in Path(rmon.get_include()).iterdir()} == {"rmon.h", "rmon.hpp", "rmon_python.h"}


def test_the_licences_are_in_the_package():
    licences = {file.name for file in importlib.metadata.files("rmon") if file.parent.name == "licenses"}
    assert licences == {"LICENSE", "LICENSE-APACHE", "LICENSE-MIT"}


def test_there_is_one_copy_of_the_library():
    assert Path(rmon.get_library_dir()) == FOLDER / "lib"
    assert rmon.get_libraries() == ["rmon"]
    binaries = [path.name for path in FOLDER.rglob("*.so*") if path.read_bytes().startswith(b"\x7fELF")]
    assert sorted(name.partition(".")[0] for name in binaries) == ["_rmon", "librmon"]
    assert "librmon.so.0" in binaries


def test_all_versions_agree(run_python):
    header = Path(rmon.get_include(), "rmon.h").read_text()
    number = re.findall(r"#define RMON_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header)
    versions = {
        rmon.__version__,
        importlib.metadata.version("rmon"),
        library().rmon_version().decode(),
        ".".join(number),
        *config(run_python, "--version"),
    }
    assert len(versions) == 1


def test_the_package_needs_no_other():
    assert not importlib.metadata.requires("rmon")
    assert importlib.metadata.metadata("rmon")["Requires-Python"] == ">=3.9"


def test_all_public_names_are_there():
    for module in (rmon, rmon.monitoring, rmon.testing):
        assert module.__all__ and len(set(module.__all__)) == len(module.__all__)
        for name in module.__all__:
            assert hasattr(module, name)
    ids = ("DEBUGGER_ID", "COVERAGE_ID", "PROFILER_ID", "OPTIMIZER_ID")
    assert [getattr(rmon.monitoring, name) for name in ids] == [0, 1, 2, 5]


def test_what_sys_monitoring_has_is_in_rmon_monitoring():
    theirs = getattr(sys, "monitoring", None)
    if theirs is None:
        pytest.skip("no sys.monitoring")
    assert set(dir(theirs)) - {"__loader__", "__spec__", "__file__"} <= set(dir(rmon.monitoring))
    assert rmon.monitoring.DISABLE is theirs.DISABLE
    assert rmon.monitoring.MISSING is theirs.MISSING


def test_the_import_loads_little(run_python):
    code = "import sys; before = set(sys.modules); import rmon; print(*sorted(set(sys.modules) - before))"
    loaded = run_python("-c", code).stdout.split()
    others = {name for name in loaded if name.partition(".")[0] != "rmon"}
    assert others <= {"atexit", "types", "enum", "_types"}


# ---- Building against it ----


@pytest.mark.parametrize("linker", ["", "bfd", "gold", "lld", "mold"])
def test_a_program_links_and_runs(linker, run_python, tmp_path):
    if linker and not shutil.which(f"ld.{linker}"):
        pytest.skip(f"no ld.{linker}")
    source, program = tmp_path / "program.c", tmp_path / "program"
    source.write_text(PROGRAM)
    flags = config(run_python, "--cflags", "--libs") + ([f"-fuse-ld={linker}"] if linker else [])
    run([*compiler(), str(source), "-o", str(program), *flags])
    assert run([str(program)]).stdout.strip() == rmon.__version__
    if shutil.which("readelf"):
        assert "librmon.so.0" in needed(program)


@pytest.fixture
def pkg_config():
    """pkg_config("--cflags", "rmon"): the words that pkg-config prints, in a process that finds rmon as the entry point
    group pkg_config says."""
    if not shutil.which("pkg-config"):
        pytest.skip("no pkg-config")
    folders = entry_point("pkg_config").load().__path__
    environment = {**os.environ, "PKG_CONFIG_PATH": os.pathsep.join(folders)}
    return lambda *words: shlex.split(run(["pkg-config", *words], env=environment).stdout)


def entry_point(group):
    (found,) = [entry for entry in importlib.metadata.distribution("rmon").entry_points if entry.group == group]
    assert found.name == "rmon"
    return found


def test_pkg_config_finds_it(pkg_config, tmp_path):
    assert pkg_config("--modversion", "rmon") == [rmon.__version__]
    source, program = tmp_path / "program.c", tmp_path / "program"
    source.write_text(PROGRAM)
    run([*compiler(), str(source), "-o", str(program), *pkg_config("--cflags", "--libs", "rmon")])
    assert run([str(program)]).stdout.strip() == rmon.__version__


def test_pkg_config_gives_extensions_the_headers_alone(pkg_config):
    assert pkg_config("--modversion", "rmon-headers") == [rmon.__version__]
    (flag,) = pkg_config("--cflags", "--libs", "--static", "rmon-headers")
    assert flag.startswith("-I") and os.path.samefile(flag[2:], rmon.get_include())


def test_the_pkgconf_of_pypi_finds_it(run_python):
    pytest.importorskip("pkgconf")
    for name in ("rmon", "rmon-headers"):
        assert run_python("-m", "pkgconf", "--modversion", name).stdout.strip() == rmon.__version__
    (flag,) = shlex.split(run_python("-m", "pkgconf", "--cflags", "--libs", "rmon-headers").stdout)
    assert os.path.samefile(flag[2:], rmon.get_include())


PROJECT = """\
cmake_minimum_required(VERSION 3.13)
project(user C)
find_package(rmon @VERSION@ REQUIRED @COMPONENTS@)
add_executable(program program.c)
target_link_libraries(program PRIVATE rmon::rmon)
add_library(emitter MODULE emitter.c)
target_link_libraries(emitter PRIVATE rmon::headers)
set_target_properties(emitter PROPERTIES PREFIX "")
target_include_directories(emitter PRIVATE @PYTHON@)
"""

# As CPython's documentation has it, but for the include.
LAZY = """\
#include <rmon_python.h>

static PyObject *run(PyObject *module, PyObject *code)
{
    static const uint8_t types[] = {PY_MONITORING_EVENT_LINE};
    PyMonitoringState states[1] = {{0, 0}};
    uint64_t version = 0;
    int status;
    (void)module;
    if (PyMonitoring_EnterScope(states, &version, types, 1) < 0)
        return NULL;
    status = PyMonitoring_FireLineEvent(&states[0], code, 0, 7);
    if (PyMonitoring_ExitScope() < 0 || status < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"run", run, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "emitter", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_emitter(void)
{
    return PyModule_Create(&definition);
}
"""


@pytest.fixture
def cmake(tmp_path):
    """cmake(version, *options, components=""): configures and builds a project; the finished process of the first that
    fails, or of the second."""
    if not shutil.which("cmake"):
        pytest.skip("no cmake")
    (tmp_path / "program.c").write_text(PROGRAM)
    (tmp_path / "emitter.c").write_text(LAZY)

    def build(version, *options, components=""):
        text = PROJECT.replace("@VERSION@", version).replace("@COMPONENTS@", components)
        (tmp_path / "CMakeLists.txt").write_text(text.replace("@PYTHON@", f'"{sysconfig.get_path("include")}"'))
        shutil.rmtree(tmp_path / "build", ignore_errors=True)
        done = None
        for command in (["cmake", "-S", ".", "-B", "build", *options], ["cmake", "--build", "build"]):
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
            if done.returncode != 0:
                break
        return done

    return build


def test_cmake_finds_it(cmake, run_python, tmp_path):
    (folder,) = config(run_python, "--cmakedir")
    done = cmake("0.1", f"-Drmon_DIR={folder}", components="COMPONENTS rmon headers")
    assert done.returncode == 0, done.stdout + done.stderr
    assert run([tmp_path / "build" / "program"]).stdout.strip() == rmon.__version__


def test_cmake_finds_it_where_scikit_build_core_tells_it_to_look(cmake, tool, tmp_path):
    (prefix,) = entry_point("cmake.prefix").load().__path__
    done = cmake(rmon.__version__, f"-DCMAKE_PREFIX_PATH={prefix}")
    assert done.returncode == 0, done.stdout + done.stderr
    path = tmp_path / "build" / "emitter.so"
    seen = tool.record("LINE", of="made_by_cmake")
    load(path, "emitter").run(rmon.CodeLike("made_by_cmake", "made_by_cmake.tmpl"))
    assert [line for _, _, line in seen] == [7]
    if shutil.which("readelf"):
        assert "librmon" not in run(["readelf", "--wide", "--dynamic", path]).stdout


@pytest.mark.parametrize(
    "version, components, message",
    [
        ("0.2", "", "0.2"),
        ("0.1", "COMPONENTS static", "rmon is here without its part static"),
        ("0.1", "COMPONENTS rmon nonsense", "rmon is here without its part nonsense"),
    ],
)
def test_cmake_says_what_is_missing(version, components, message, cmake, run_python):
    (folder,) = config(run_python, "--cmakedir")
    done = cmake(version, f"-Drmon_DIR={folder}", components=components)
    assert done.returncode != 0
    assert message in done.stderr


def test_config_prints_what_is_asked_for(run_python):
    include, folder = rmon.get_include(), rmon.get_library_dir()
    assert config(run_python, "--cflags") == [f"-I{include}"] == rmon_compile_flags()
    assert config(run_python, "--includes") == config(run_python, "--cflags")
    assert config(run_python, "--libs") == [f"-L{folder}", "-lrmon", f"-Wl,-rpath,{folder}"] == rmon_link_flags()
    assert config(run_python, "--cython") == [f"-I{include}", "-include", "rmon_python.h"]
    assert config(run_python, "--cmakedir") == [f"{folder}/cmake/rmon"]
    assert config(run_python, "--pkgconfigdir") == [f"{folder}/pkgconfig"]
    every = config(run_python, "--cflags", "--libs", "--includes", "--version", "--cython")
    assert every == [*rmon_compile_flags(), *rmon_link_flags(), rmon.__version__, "-include", "rmon_python.h"]


@pytest.mark.parametrize("arguments", [[], ["config"], ["config", "--nothing"], ["nothing"], ["config", "--libs", "x"]])
def test_wrong_commands_are_answered_with_the_usage(arguments, run_python):
    done = run_python("-m", "rmon", *arguments, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: python -m rmon ")


@pytest.mark.parametrize("arguments", [["--help"], ["config", "-h"]])
def test_help_is_no_error(arguments, run_python):
    assert run_python("-m", "rmon", *arguments).stdout.startswith("usage: python -m rmon ")


def test_flags_are_quoted_for_a_shell(run_python, tmp_path):
    copy = tmp_path / "a b" / "rmon"
    shutil.copytree(FOLDER, copy)
    line = run_python("-m", "rmon", "config", "--cflags", env={"PYTHONPATH": str(copy.parent)}).stdout
    assert shlex.split(line) == [f"-I{copy}/include"]


# ---- Cython ----

CIMPORTS = """\
# cython: linetrace=True
cimport rmon

def twice(x):
    y = x * 2
    return y

def version():
    return (<bytes>rmon.rmon_version()).decode()

def fire(str name):
    cdef rmon.rmon_state states[1]
    cdef rmon.uint8_t types[1]
    cdef rmon.uint64_t version = 0
    cdef rmon.rmon_code_info info
    text = name.encode()
    info.struct_size = sizeof(info)
    info.first_line = 1
    info.name = info.filename = text
    info.qualname = NULL
    info.lines = NULL
    info.line_count = 0
    states[0].active = states[0].opaque = 0
    types[0] = rmon.RMON_EVENT_LINE
    code = rmon.rmon_code_new(&info)
    rmon.rmon_enter_scope(states, &version, types, 1)
    with nogil:
        status = rmon.rmon_fire_line(&states[0], code, 0, 3)
    rmon.rmon_exit_scope()
    rmon.rmon_code_release(code)
    return status
"""

PLAIN = """\
# cython: linetrace=True
def twice(x):
    y = x * 2
    return y
"""


def lines_of(tool, module):
    """The lines of twice() that a tool is told of, as distances from its def."""
    seen = tool.record("LINE", of="twice")
    assert module.twice(21) == 42
    return [line - code.co_firstlineno for _, code, line in seen]


def test_cimport_redirects_the_module(build_cython, tool):
    module = build_cython(CIMPORTS, "cimports_rmon")
    assert lines_of(tool, module) == [1, 2]


def test_cimport_gives_the_c_api(build_cython, tool):
    module = build_cython(CIMPORTS, "cimports_rmon")
    assert module.version() == rmon.__version__
    seen = tool.record("LINE", of="look-alike")
    assert module.fire("look-alike") == 0
    assert [line for _, _, line in seen] == [3]


@pytest.mark.parametrize("cplusplus", [False, True])
def test_flags_redirect_somebody_elses_module(cplusplus, build_cython, run_python, tool):
    flags = config(run_python, "--cython")
    module = build_cython(PLAIN, f"plain_{cplusplus}", cplusplus=cplusplus, flags=flags)
    assert lines_of(tool, module) == [1, 2]


def test_the_pxd_declares_what_the_header_has(tmp_path):
    pxd = (FOLDER / "__init__.pxd").read_text()
    header = "".join(Path(rmon.get_include(), name).read_text() for name in ("rmon.h", "rmon_python.h"))
    names = set(re.findall(r"\b(?:rmon|RMON)_\w+", re.sub(r"#.*|rmon_python\.h", "", pxd)))
    assert names and not [name for name in names if not re.search(rf"\b{name}\b", header)]
    functions = re.findall(r"^    (\w.*?[ *])(rmon_\w+)\((.*)\)$", pxd, re.MULTILINE)
    assert len(functions) > 20
    pointers = [f"{result}(*p_{name})({types or 'void'}) = {name};" for result, name, types in functions]
    source = tmp_path / "pxd.c"
    source.write_text("\n".join(["#include <rmon_python.h>", *pointers, ""]))
    python = f"-I{sysconfig.get_path('include')}"
    # A pointer of another type than the function's is an error.
    run([*compiler(), "-fsyntax-only", "-Werror", *rmon_compile_flags(), python, str(source)])


SETUP = """\
import rmon
from Cython.Build import cythonize
from setuptools import Extension, setup

extension = Extension("made_by_setuptools", ["made_by_setuptools.pyx"], include_dirs=[rmon.get_include()])
setup(name="x", ext_modules=cythonize([extension], language_level=3))
"""


def test_setuptools_builds_with_it(run_python, tmp_path):
    (tmp_path / "setup.py").write_text(SETUP)
    (tmp_path / "made_by_setuptools.pyx").write_text(CIMPORTS)
    run_python("setup.py", "-q", "build_ext", "--inplace")
    code = "import rmon, made_by_setuptools; print(made_by_setuptools.version())"
    assert run_python("-c", code).stdout.strip() == rmon.__version__


# ---- One run-time ----


def test_extensions_and_ctypes_share_the_tools(build_c_extension):
    one, other = emitter(build_c_extension, "emitter_one"), emitter(build_c_extension, "emitter_other")
    assert one.use_tool(4) == 0
    try:
        assert (one.tool(4), other.tool(4)) == ("emitter_one", "emitter_one")
        name = ctypes.create_string_buffer(64)
        assert library().rmon_get_tool(4, name, ctypes.c_size_t(64)) == len("emitter_one")
        assert name.value == b"emitter_one"
    finally:
        assert other.free_tool(4) == 0
    assert one.tool(4) is None


def test_a_python_tool_sees_every_extension(build_c_extension, tool):
    seen = tool.record("LINE")
    for name in ("emitter_one", "emitter_other"):
        assert emitter(build_c_extension, name).run() == 0
    seen = [(code.co_name, line) for _, code, line in seen if code.co_name.startswith("emitter_")]
    assert seen == [("emitter_one", 7), ("emitter_other", 7)]


def test_the_process_has_one_librmon(build_c_extension):
    emitter(build_c_extension, "emitter_one"), emitter(build_c_extension, "emitter_other"), library()
    maps = Path("/proc/self/maps").read_text()
    libraries = {line.split(None, 5)[5] for line in maps.splitlines() if "librmon" in line}
    assert libraries == {os.path.join(rmon.get_library_dir(), "librmon.so.0")}


def test_the_order_of_loading_does_not_matter(build_c_extension, run_python):
    path = build_c_extension(EMITTER, "emitter_first", flags=["-DNAME=emitter_first"], link=True, imported=False)
    code = """
import emitter_first
import rmon
seen = []
rmon.monitoring.use_tool_id(2, "t")
rmon.monitoring.register_callback(2, rmon.monitoring.events.LINE, lambda code, line: seen.append((code.co_name, line)))
rmon.monitoring.set_events(2, rmon.monitoring.events.LINE)
emitter_first.run()
rmon.monitoring.set_events(2, 0)
assert ("emitter_first", 7) in seen, seen
assert len({line.split(None, 5)[5] for line in open("/proc/self/maps") if "librmon" in line}) == 1
"""
    run_python("-c", code, env={"PYTHONPATH": str(path.parent)})


# ---- Types ----

TYPED = """\
from types import CodeType

import rmon
from rmon import monitoring

def on_line(code: CodeType, line: int) -> object:
    return monitoring.DISABLE

monitoring.use_tool_id(monitoring.PROFILER_ID, "typed")
before = monitoring.register_callback(2, monitoring.events.LINE | monitoring.events.PY_START, on_line)
monitoring.set_events(2, monitoring.events.LINE)
name: str | None = monitoring.get_tool(2)
code = rmon.CodeLike("f", "f.tmpl", 3, qualname="C.f", lines=[(0, 3), (2, 4)])
with rmon.Scope(code, monitoring.events.PY_START, monitoring.events.LINE) as scope:
    scope.py_start(0)
    scope.line(3)
    scope.line(4, offset=2)
with rmon.install(debugger=True):
    pass
rmon.uninstall()
folders: list[str] = [rmon.get_include(), rmon.get_library_dir(), *rmon.get_libraries()]
state: int = rmon.testing.fire_event_line(rmon.testing.CodeLike(1), 0, 7)
rmon.forget(code)
text: str = rmon.__version__
"""


def test_a_typed_program_passes_a_strict_mypy(run_python, tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "typed.py").write_text(TYPED)
    run_python("-m", "mypy", "--strict", "--python-version", "3.10", "typed.py")


def test_mypy_finds_mistakes(run_python, tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "wrong.py").write_text('import rmon\nrmon.monitoring.use_tool_id("2", "name")\nrmon.CodeLike()\n')
    done = run_python("-m", "mypy", "--strict", "--python-version", "3.10", "wrong.py", check=False)
    assert done.returncode == 1
    assert re.findall(r"wrong.py:(\d+): error", done.stdout) == ["2", "3"]


# Where the stubs are right to say something else.
ALLOWED = r"""
rmon\.(_rmon|monitoring)\.events     # a types.SimpleNamespace, whose names only the stub knows
rmon\.(_rmon\.)?(install|uninstall)  # functions with a class as their module
rmon\.lib\.librmon                   # no module, though it is called so
rmon\.testing\.__all__               # all that there is
rmon\.(_run|coverage)\..*            # have no stubs
"""


def test_the_stubs_say_what_the_modules_have(run_python, tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "allowed").write_text(ALLOWED)
    # Files without stubs, whose types depend on the versions of Python and of coverage.
    (tmp_path / "mypy.ini").write_text("[mypy]\n[mypy-rmon._run,rmon.coverage]\nignore_errors = True\n")
    options = ["--allowlist", "allowed", "--ignore-unused-allowlist", "--mypy-config-file", "mypy.ini"]
    run_python("-m", "mypy.stubtest", "rmon", *options)
