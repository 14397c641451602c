"""What the tests of the Python package share: extensions built against the installed rmon, a tool that records, and
an end of every test with no tool left. Run them with `cargo xtask test`, or with pytest where rmon is installed.

Fixtures for tests:

    build_c_extension(source, name)   compiles C (or C++) and imports it
    build_cython(source, name)        the same for Cython
    run_python(*args)                 another process of this interpreter
    tool                              a claimed tool that can record events
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import pytest

SOURCES = Path(__file__).resolve().parent.parent
spec = importlib.util.find_spec("rmon")
if spec is None or spec.origin is None:
    raise pytest.UsageError(f"rmon is not installed: pip install {SOURCES}")
if Path(spec.origin).resolve().parent == SOURCES / "rmon":
    raise pytest.UsageError(f"rmon would come from {SOURCES}, not from where it is installed: start pytest elsewhere")

import rmon  # noqa: E402

TOOL_IDS = range(6)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--brief", action="store_true", help="leave out the tests that are marked thorough")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "thorough: takes long, and is hardly about what differs between CPythons")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--brief"):
        thorough = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=thorough)
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]


def compiler(cplusplus: bool = False) -> list[str]:
    """The C (or C++) compiler as words of a command: CC (CXX), or the one that this CPython was built with, or cc."""
    name, fallback = ("CXX", "c++") if cplusplus else ("CC", "cc")
    for command in (os.environ.get(name), sysconfig.get_config_var(name)):
        words = shlex.split(command or "")
        if words and shutil.which(words[0]):
            return words
    return [fallback]


def rmon_compile_flags() -> list[str]:
    """What a compiler needs in order to find rmon's headers."""
    return [f"-I{rmon.get_include()}"]


def rmon_link_flags() -> list[str]:
    """What links with the installed librmon and finds it again at run time."""
    directory = rmon.get_library_dir()
    return [f"-L{directory}", *(f"-l{name}" for name in rmon.get_libraries()), f"-Wl,-rpath,{directory}"]


def run(command: Sequence[str | os.PathLike[str]], **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a program, which must end with 0, and returns what it printed (`.stdout`, `.stderr`). If it does not, the
    test fails with all of that."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        words = " ".join(shlex.quote(os.fspath(word)) for word in command)
        pytest.fail(f"{words}\nended with {done.returncode}\n{done.stdout}{done.stderr}", pytrace=False)
    return done


def load(path: Path, name: str) -> ModuleType:
    """Imports an extension module from its file."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def compile_extension(
    source: Path, name: str, cplusplus: bool = False, flags: Iterable[str] = (), link: bool = False
) -> Path:
    """Compiles a C (or C++) file to an extension module beside it, with rmon's headers, and (unless `link` is false)
    linked with librmon. Returns the module's file."""
    path = source.with_name(name.rpartition(".")[2] + sysconfig.get_config_var("EXT_SUFFIX"))
    run(
        [
            *compiler(cplusplus),
            *("-shared", "-fPIC", "-O1", "-Wall"),
            *(f"-I{sysconfig.get_path(which)}" for which in ("include", "platinclude")),
            *rmon_compile_flags(),
            *flags,
            *(str(source), "-o", str(path)),
            *(rmon_link_flags() if link else ()),
        ]
    )
    return path


class Builder:
    """Builds modules in temporary folders. A module (by name) is built and imported once in a session; asking again
    with the same source gives the same one."""

    def __init__(self, folder: Callable[[str], Path]) -> None:
        self.folder = folder
        self.made: dict[str, tuple[Any, Any]] = {}

    def once(self, name: str, key: Any, make: Callable[[Path], Any]) -> Any:
        known = self.made.get(name)
        if known is None:
            known = self.made[name] = (key, make(self.folder(name)))
        if known[0] != key:
            raise ValueError(f"a module {name} was built from something else: use another name")
        return known[1]


@pytest.fixture(scope="session")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(lambda name: tmp_path_factory.mktemp(name.replace(".", "_"), numbered=True))


@pytest.fixture(scope="session")
def build_c_extension(builder: Builder) -> Callable[..., Any]:
    """build_c_extension(source, name, *, cplusplus=False, flags=(), link=False, imported=True)

    Compiles C source text to an extension module called `name` against the installed rmon and imports it. `flags` are
    further ones for the compiler; `link=True` links with librmon, which rmon.h
    alone and the functions for tools need; `imported=False` returns the module's path in place of the module, for
    another process."""

    def build(
        source: str,
        name: str,
        *,
        cplusplus: bool = False,
        flags: Sequence[str] = (),
        link: bool = False,
        imported: bool = True,
    ) -> Any:
        def make(folder: Path) -> Any:
            file = folder / f"{name}{'.cpp' if cplusplus else '.c'}"
            file.write_text(source, encoding="utf-8")
            path = compile_extension(file, name, cplusplus, flags, link)
            return load(path, name) if imported else path

        return builder.once(name, (source, cplusplus, tuple(flags), link, imported), make)

    return build


@pytest.fixture(scope="session")
def build_cython(builder: Builder) -> Callable[..., Any]:
    """build_cython(source, name, *, outside=False, cplusplus=False, directives={}, flags=(), link=False, imported=True)

    Compiles Cython source text to an extension module called `name` against the installed rmon and imports it. The
    module fires into rmon if it says

        # cython: linetrace=True
        cimport rmon

    or, without the cimport, with `outside=True`, which puts rmon_python.h in front of the C code by a flag. The file
    is called NAME.pyx. `directives` are Cython's, {"linetrace": True}; the others are as in build_c_extension."""
    pytest.importorskip("Cython")

    def build(
        source: str,
        name: str,
        *,
        outside: bool = False,
        cplusplus: bool = False,
        directives: Mapping[str, Any] = MappingProxyType({}),
        flags: Sequence[str] = (),
        link: bool = False,
        imported: bool = True,
    ) -> Any:
        def make(folder: Path) -> Any:
            file = folder / f"{name}.pyx"
            file.write_text(source, encoding="utf-8")
            generated = file.with_suffix(".cpp" if cplusplus else ".c")
            settings = [word for key, value in directives.items() for word in ("-X", f"{key}={value}")]
            language = ["--cplus"] if cplusplus else []
            run(
                [sys.executable, "-m", "cython", "-3", *language, *settings, file.name, "-o", generated.name],
                cwd=folder,
            )
            more = [*flags, *(["-include", "rmon_python.h"] if outside else [])]
            path = compile_extension(generated, name, cplusplus, more, link)
            return load(path, name) if imported else path

        key = (source, outside, cplusplus, dict(directives), tuple(flags), link, imported)
        return builder.once(name, key, make)

    return build


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """run_python(*args, check=True, env={}, **options): runs this interpreter with the arguments in an empty folder
    and returns the subprocess.CompletedProcess, with text. `check`: it must end with 0. `env` is added to the
    environment; the other options are subprocess.run's."""

    def start(
        *args: str | os.PathLike[str], check: bool = True, env: Mapping[str, str] = MappingProxyType({}), **options: Any
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *args]
        options = {"cwd": tmp_path, "env": {**os.environ, **env}, "timeout": 300, **options}
        if check:
            return run(command, **options)
        return subprocess.run(command, capture_output=True, text=True, **options)

    return start


class Tool:
    """A claimed tool. `record` and `callback` switch events on; the end of the test frees it."""

    def __init__(self, tool_id: int) -> None:
        self.id = tool_id
        rmon.monitoring.use_tool_id(tool_id, f"test tool {tool_id}")

    def callback(self, event: str, function: Callable[..., Any]) -> None:
        """Registers a function for an event, "LINE", and adds the event to the tool's."""
        number = getattr(rmon.monitoring.events, event)
        rmon.monitoring.register_callback(self.id, number, function)
        if event not in ("C_RETURN", "C_RAISE"):  # those follow CALL
            rmon.monitoring.set_events(self.id, rmon.monitoring.get_events(self.id) | number)

    def record(self, *events: str, of: str | None = None) -> list[tuple[Any, ...]]:
        """A list that grows by (event, code, arguments ...) with each event. `of`: only those of codes with this
        co_name. (From 3.12 on a tool sees the test's own Python code too.)"""
        seen: list[tuple[Any, ...]] = []

        def recorder(event: str) -> Callable[..., Any]:
            def record(code: Any, *args: Any) -> None:
                if of is None or code.co_name == of:
                    seen.append((event, code, *args))

            return record

        for event in events:
            self.callback(event, recorder(event))
        return seen


@pytest.fixture
def tool() -> Tool:
    """A tool with an id of its own, claimed in rmon.monitoring. tool.record("LINE", "PY_START", of="f") returns a
    list that grows by a tuple with each event; tool.callback("LINE", function) registers one's own function."""
    return Tool(3)


def free_everything() -> None:
    """Undoes all that tests do to rmon: install(), and tools."""
    for _ in range(10):  # install() counts
        rmon.uninstall()
    for tool_id in TOOL_IDS:
        if rmon.monitoring.get_tool(tool_id) is not None:
            rmon.monitoring.free_tool_id(tool_id)
    rmon.monitoring.restart_events()


@pytest.fixture(autouse=True)
def clean() -> Iterable[None]:
    """After every test: nothing installed, no tool in use, nothing disabled."""
    yield
    free_everything()
