"""Native code in coverage.py, line by line: a plugin for Cython's modules, and the base of plugins for other emitters.

    [run]
    plugins = rmon.coverage

is all that coverage.py has to be told. `coverage run`, `coverage report`, `coverage html` and the rest then treat the
.pyx files of modules that fire into rmon like Python's own. Cython must be installed where the report is made, and
the C file must be where Cython.Coverage looks for it: beside the .pyx, or beside the extension module.

A package that fires events for files of its own, like a template engine, brings a plugin of its own:

    import rmon.coverage

    class Templates(rmon.coverage.EmitterPlugin):
        suffixes = (".tmpl",)

        def executable_lines(self, filename):
            return {...}

    def coverage_init(reg, options):
        rmon.coverage.register(reg, Templates())

How it measures. With the core "sysmon", coverage.py itself gets the events of look-alikes, since rmon.install() is in
force while it measures. With the others a tool of rmon's (Watch) collects the lines and puts them among those that
the core has collected. Before CPython 3.12 the core "sysmon" would see native code only; there the default core
takes its place. In all cases coverage.py's own rules (source, include, omit) say which files are measured.

What is not coverage.py's public interface. Its plugins can name files and report on them, but "sysmon" knows nothing
of plugins (it warns, and switches them off), and no public call hears when measurement begins. So `coverage.core.Core`
is told to use a subclass of the tracer that it has chosen. The names of its inside that this file uses are those of
Core, Tracer, SysMonitor and Plugins; `check_version` looks whether they are there, and says so when they are not.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
import threading
import weakref
from importlib.machinery import EXTENSION_SUFFIXES
from types import CodeType
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

import coverage
import coverage.collector
import coverage.core
import coverage.sysmon
from coverage.exceptions import PluginError
from coverage.files import canonical_filename
from coverage.plugin import CoveragePlugin, FileReporter, FileTracer

import rmon
from rmon import monitoring

__all__ = ["CythonPlugin", "EmitterPlugin", "LineReporter", "register"]


# ---- Plugins ----


class Registration(NamedTuple):
    """Where coverage.py has a plugin."""

    reg: Any  # coverage.py's Plugins
    object: Any  # the plugin, or what coverage.py has wrapped it with
    name: str  # under which coverage.py knows it


class EmitterPlugin(CoveragePlugin):
    """The base of plugins for emitters. What can be overridden:

    suffixes          those of the emitter's source files
    source_file       the file of a code
    module_name       the module that a code belongs to, for `source = package`
    executable_lines  the lines of a file that can be executed
    file_reporter     all that is reported of a file
    """

    suffixes: Tuple[str, ...] = ()

    registration: Registration  # made by register()

    def __init__(self) -> None:
        self.exclude: List[str] = []  # regular expressions
        self.report_folder = ""  # that of coverage.py's HTML report
        self.known: Set[str] = set()  # files that codes have turned out to belong to

    def source_file(self, code: Any) -> Optional[str]:
        """The path of the file that the code's lines are lines of; None if the code is none of this emitter's."""
        return os.path.abspath(code.co_filename) if self.has_suffix(code.co_filename) else None

    def module_name(self, code: Any) -> Optional[str]:
        """The name of the module that the code belongs to, if it belongs to one."""
        return None

    def executable_lines(self, filename: str) -> Set[int]:
        """The numbers of the lines that can be executed. Those that have not been are reported as missing."""
        raise NotImplementedError

    # What coverage.py calls.

    def configure(self, config: Any) -> None:
        self.exclude = list(config.get_option("report:exclude_lines") or ())
        self.report_folder = os.path.abspath(config.get_option("html:directory") or "htmlcov")
        if sys.version_info < (3, 12) and config.get_option("run:core") == "sysmon":
            config.set_option("run:core", "ctrace")  # or no Python code would be measured
        note_configured(config, self)

    def file_tracer(self, filename: str) -> Optional[FileTracer]:
        if self.has_suffix(filename) or filename in self.known:
            return _FileTracer(filename)
        return None

    def file_reporter(self, filename: str) -> FileReporter:
        return LineReporter(filename, self.executable_lines(filename), self.exclude)

    def find_executable_files(self, src_dir: str) -> Iterator[str]:
        for folder, folders, names in os.walk(os.path.abspath(src_dir)):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names if folder != self.report_folder else ():
                if self.has_suffix(name):
                    yield os.path.join(folder, name)

    def has_suffix(self, filename: str) -> bool:
        return bool(self.suffixes) and filename.endswith(self.suffixes)


class _FileTracer(FileTracer):
    """For a file that is its own source."""

    def __init__(self, filename: str) -> None:
        self.filename = filename

    def source_filename(self) -> str:
        return self.filename


class LineReporter(FileReporter):
    """Reports on a text file whose executable lines are known. Lines that match one of the regular expressions in
    `exclude` are not counted."""

    def __init__(self, filename: str, executable: Iterable[int], exclude: Sequence[str] = ()) -> None:
        super().__init__(filename)
        self.executable = set(executable)
        self.exclude = exclude

    def lines(self) -> Set[int]:
        return self.executable - self.excluded_lines()

    def excluded_lines(self) -> Set[int]:
        if not self.exclude:
            return set()
        search = re.compile("|".join(f"(?:{pattern})" for pattern in self.exclude)).search
        return {number for number, line in enumerate(self.source().splitlines(), 1) if search(line)} & self.executable


class CythonPlugin(EmitterPlugin):
    """For modules made by Cython. Which lines can be executed, Cython.Coverage finds in the C file."""

    suffixes = (".pyx", ".pxd", ".pxi")

    def __init__(self) -> None:
        super().__init__()
        self._cython: Any = None  # Cython.Coverage.Plugin, made when it is needed

    def source_file(self, code: Any) -> Optional[str]:
        filename: str = code.co_filename
        if not isinstance(code, CodeType) or not (self.has_suffix(filename) or is_compiled_python(code)):
            return None
        # The path is relative to where Cython was run.
        candidates = [os.path.abspath(filename)]
        module = extension_module(filename)
        if module is not None:
            candidates.append(os.path.join(os.path.dirname(module[1]), os.path.basename(filename)))
        candidates.append(canonical_filename(filename))  # looks into sys.path
        candidates = [path for path in candidates if os.path.exists(path)] or candidates[:1]
        return next((path for path in candidates if c_file(path)), candidates[0])

    def module_name(self, code: Any) -> Optional[str]:
        module = extension_module(code.co_filename)
        return module[0] if module is not None else None

    def file_reporter(self, filename: str) -> FileReporter:
        reporter: Optional[FileReporter] = self.cython().file_reporter(filename)
        if reporter is None:
            raise PluginError(
                f"rmon.coverage cannot tell which lines of {filename} can be executed: the C file that Cython has made "
                "of it is not there. Keep it beside the .pyx file or beside the extension module"
            )
        return reporter

    def find_executable_files(self, src_dir: str) -> Iterator[str]:
        for filename in super().find_executable_files(src_dir):
            if filename.endswith(".pyx") and has_lines_traced(c_file(filename)):
                yield filename

    def get_option(self, name: str) -> Any:
        """What Cython.Coverage asks the configuration for."""
        return self.exclude if name == "report:exclude_lines" else None

    def cython(self) -> Any:
        if self._cython is None:
            try:
                from Cython.Coverage import Plugin
            except ImportError as error:
                raise PluginError(f"rmon.coverage needs Cython to report on files that Cython compiles: {error}")
            self._cython = Plugin()
            self._cython.configure(self)
        return self._cython


def is_compiled_python(code: CodeType) -> bool:
    """Whether Cython has made the code of a .py file. What Cython makes has no instructions, except for the code of
    the module itself, which has the name of a C function."""
    return code.co_filename.endswith(".py") and (code.co_name.startswith("PyInit_") or not any(code.co_code))


def extension_module(filename: str) -> Optional[Tuple[str, str]]:
    """The imported extension module that was made of a source file: its name and its own file. Of several, the one
    whose name and the path have most in common, or else the longest name: a module of a package that was compiled
    without the package's name stands in sys.modules without it, too."""
    path = re.split(r"[\\/]", os.path.splitext(filename)[0])
    if path[-1] == "__init__":
        path.pop()
    best: Tuple[Tuple[int, int], Optional[Tuple[str, str]]] = ((0, 0), None)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file.endswith(tuple(EXTENSION_SUFFIXES)):
            continue
        parts = name.split(".")
        common = 0
        while common < min(len(parts), len(path)) and parts[-1 - common] == path[-1 - common]:
            common += 1
        # As far as both go, they must be the same: of src/package/module.pyx, package.module is a module.
        rank = common, len(parts)
        if common and common in (len(parts), len(path)) and rank > best[0]:
            best = rank, (name, file)
    return best[1]


def c_file(filename: str) -> Optional[str]:
    """The C file beside a source file."""
    base = os.path.splitext(filename)[0]
    return next((base + suffix for suffix in (".c", ".cpp", ".cc", ".cxx") if os.path.exists(base + suffix)), None)


def has_lines_traced(path: Optional[str]) -> bool:
    """Whether a C file was made by Cython with linetrace."""
    if path is None:
        return False
    with open(path, encoding="utf-8", errors="replace") as file:
        return "Cython" in file.readline() and any("__Pyx_TraceLine(" in line for line in file)


def coverage_init(reg: Any, options: Mapping[str, str]) -> None:
    """What coverage.py calls for `plugins = rmon.coverage`."""
    register(reg, CythonPlugin())


def register(reg: Any, plugin: EmitterPlugin) -> None:
    """For a plugin's coverage_init(reg, options): registers it."""
    check_version()
    # As a configurer only: a file tracer would be objected to by "sysmon". It is made one when measurement begins.
    reg.add_configurer(plugin)
    plugin.registration = Registration(reg, reg.order[-1], reg.order[-1]._coverage_plugin_name)
    hook_core()


# ---- From a plugin to the tracer that is to know it ----


# Coverage objects come and go in a process. Each has a configuration of its own, and plugins of its own.
_configured: "weakref.WeakKeyDictionary[Any, List[EmitterPlugin]]" = weakref.WeakKeyDictionary()


def note_configured(config: Any, plugin: EmitterPlugin) -> None:
    """Notes that the plugin is one of this configuration's: a CoverageConfig, or the Coverage that has it."""
    plugins = _configured.setdefault(getattr(config, "config", config), [])
    if plugin not in plugins:
        plugins.append(plugin)


_hook_lock = threading.Lock()


def hook_core() -> None:
    """Makes coverage.py's Core give the tracers it chooses to `tracer_class`, once in a process."""
    with _hook_lock:
        original = coverage.core.Core.__init__
        if getattr(original, "_rmon", False):
            return
        signature = inspect.signature(original)

        @functools.wraps(original)
        def init(core: Any, *args: Any, **kwargs: Any) -> None:
            original(core, *args, **kwargs)
            plugins = _configured.get(signature.bind(core, *args, **kwargs).arguments["config"])
            if plugins:
                core.tracer_class = tracer_class(core.tracer_class, Watch(plugins, core.packed_arcs))

        setattr(init, "_rmon", True)
        setattr(coverage.core.Core, "__init__", init)


def check_version() -> None:
    """Raises an error if this coverage.py is not as this file knows it."""
    sysmon = getattr(coverage.sysmon, "SysMonitor", None)
    known = (
        coverage.version_info >= (7, 9)
        and "config" in inspect.signature(coverage.core.Core.__init__).parameters
        and all(hasattr(sysmon, "sysmon_" + name) for name in ("py_start", "py_return", "branch_either"))
        and arc_shift() is not None
    )
    if not known:
        raise PluginError(f"rmon.coverage does not know coverage.py {coverage.__version__}: it needs 7.9 or newer")


def arc_shift() -> Optional[int]:
    """How far to the left the C tracer puts the second line of an arc, which it packs into one number."""
    constants = coverage.collector.Collector.flush_data.__code__.co_consts
    return next((bits for bits in (28, 20) if (1 << bits) - 1 in constants), None)


# ---- Measurement ----


class _FrameLike:
    """What coverage.py wants to know of a frame: to which module it belongs."""

    def __init__(self, module_name: Optional[str]) -> None:
        self.f_globals = {"__name__": module_name} if module_name else {}


class Watch:
    """Look-alikes in the measurement of one Coverage object. For cores other than "sysmon" it is a tool, too."""

    def __init__(self, plugins: List[EmitterPlugin], packed_arcs: bool) -> None:
        self.plugins = plugins
        self.shift = arc_shift() if packed_arcs else None
        self.lock = threading.RLock()
        self.tracers: List[Any] = []  # those that have been started
        self.tool_id: Optional[int] = None
        self.filenames: Set[str] = set()  # of look-alikes, as these have them
        self.codes: Dict[int, Tuple[Any, Set[Any]]] = {}  # by id: the code, and where its lines go
        self.active = False  # since it was last asked

    def enlist(self) -> None:
        """Makes the plugins file tracers. (In front, so that no other gets hold of the same files.)"""
        for plugin in reversed(self.plugins):
            registration = plugin.registration
            if registration.object not in registration.reg.file_tracers:
                registration.reg.file_tracers.insert(0, registration.object)

    def disposition(self, tracer: Any, should_trace: Any, code: Any) -> Any:
        """What coverage.py decides about a look-alike; None if no plugin knows the code."""
        for plugin in self.plugins:
            source = plugin.source_file(code)
            if source is None:
                continue
            self.filenames.add(code.co_filename)
            plugin.known.add(canonical_filename(source))
            disposition = should_trace(source, _FrameLike(plugin.module_name(code)))
            if disposition.trace:
                tracer.file_tracers[disposition.source_filename] = plugin.registration.name
            return disposition
        return None

    # The tool

    def start(self, tracer: Any) -> None:
        """A tracer starts; each thread can have its own."""
        with self.lock:
            self.tracers.append(tracer)
            if self.tool_id is not None:
                return
            self.tool_id = claim_tool_id()
            if self.tool_id is None:
                tracer.warn("No tool id is free: native code isn't measured")
                return
            events = monitoring.events
            monitoring.register_callback(self.tool_id, events.PY_START, self.on_start)
            monitoring.register_callback(self.tool_id, events.LINE, self.on_line)
            monitoring.set_events(self.tool_id, events.PY_START)
            monitoring.restart_events()

    def stop(self, tracer: Any) -> None:
        with self.lock:
            if tracer in self.tracers:
                self.tracers.remove(tracer)
            if not self.tracers and self.tool_id is not None:
                monitoring.free_tool_id(self.tool_id)
                self.tool_id = None
                self.codes.clear()

    def on_start(self, code: Any, offset: int) -> object:
        with self.lock:
            if self.tool_id is not None and id(code) not in self.codes:
                lines = self.lines_of(code)
                if lines is not None:
                    self.codes[id(code)] = code, lines
                    monitoring.set_local_events(self.tool_id, code, monitoring.events.LINE)
        return monitoring.DISABLE

    def lines_of(self, code: Any) -> Optional[Set[Any]]:
        """The set that the code's lines go to; None if they are not measured."""
        tracer = self.tracers[0]
        disposition = self.disposition(tracer, tracer.should_trace, code)
        if disposition is None or not disposition.trace:
            return None
        lines: Set[Any] = tracer.data.setdefault(disposition.source_filename, set())
        return lines

    def on_line(self, code: Any, line: int) -> object:
        known = self.codes.get(id(code))
        if known is not None:
            self.active = True
            known[1].add(self.datum(line))
        return monitoring.DISABLE

    def datum(self, line: int) -> Any:
        """A line as the tracer keeps it: with branches, an arc from the line to itself."""
        if not self.tracers or not self.tracers[0].trace_arcs:
            return line
        return (line, line) if self.shift is None else line | line << self.shift

    def take_active(self) -> bool:
        active, self.active = self.active, False
        return active


def claim_tool_id() -> Optional[int]:
    for tool_id in range(monitoring.COVERAGE_ID, 6):
        try:
            monitoring.use_tool_id(tool_id, "coverage.py (rmon)")
        except ValueError:
            continue
        return tool_id
    return None


class _SysMonitorPart:
    """What is different in a SysMonitor that knows look-alikes."""

    watch: Watch
    installed = False
    file_tracers: Dict[str, str] = {}  # the collector sets it if it is there
    should_trace_cache: Dict[str, Any]
    decide: Any  # what the collector sets should_trace to

    @property
    def should_trace(self) -> Any:
        # SysMonitor passes the frame below its own sysmon_py_start. That is the frame of ours.
        return lambda filename, frame: self.decide(filename, frame and frame.f_back)

    @should_trace.setter
    def should_trace(self, function: Any) -> None:
        self.decide = function

    def start(self) -> None:
        self.watch.enlist()
        if not self.installed:
            rmon.install()
            self.installed = True
        super().start()  # type: ignore[misc]

    def stop(self) -> None:
        super().stop()  # type: ignore[misc]
        if self.installed:
            rmon.uninstall()
            self.installed = False

    def sysmon_py_start(self, code: Any, instruction_offset: int) -> Any:
        if code.co_filename not in self.should_trace_cache:
            disposition = self.watch.disposition(self, self.decide, code)
            if disposition is not None:
                self.should_trace_cache[code.co_filename] = disposition
        return super().sysmon_py_start(code, instruction_offset)  # type: ignore[misc]

    # With branches. A look-alike has no bytecode that could be followed.

    def sysmon_py_return(self, code: Any, instruction_offset: int, retval: object) -> Any:
        if code.co_filename not in self.watch.filenames:
            return super().sysmon_py_return(code, instruction_offset, retval)  # type: ignore[misc]
        info = self.code_infos.get(id(code))  # type: ignore[attr-defined]
        line = line_at(code, instruction_offset)
        if info is not None and info.file_data is not None:
            info.last_line = None
            if (line, line) in info.file_data:  # or it is not a line that can be executed
                info.file_data.add((line, -code.co_firstlineno))
        return monitoring.DISABLE

    def sysmon_branch_either(self, code: Any, instruction_offset: int, destination_offset: int) -> Any:
        if code.co_filename not in self.watch.filenames:
            return super().sysmon_branch_either(code, instruction_offset, destination_offset)  # type: ignore[misc]
        info = self.code_infos.get(id(code))  # type: ignore[attr-defined]
        arc = line_at(code, instruction_offset), line_at(code, destination_offset)
        if info is not None and info.file_data is not None and None not in arc and arc[0] != arc[1]:
            info.file_data.add(arc)
        return monitoring.DISABLE


def line_at(code: Any, offset: int) -> Optional[int]:
    """The line of an offset, by the code's table."""
    for start, end, line in code.co_lines():
        if start <= offset < end:
            return line  # type: ignore[no-any-return]
    return None


class _OtherTracerPart:
    """What is different in a tracer that sees no events of rmon by itself."""

    watch: Watch
    file_tracers: Dict[str, str] = {}  # PyTracer has none

    def start(self) -> Any:
        self.watch.enlist()
        self.watch.start(self)
        return super().start()  # type: ignore[misc]

    def stop(self) -> None:
        super().stop()  # type: ignore[misc]
        self.watch.stop(self)

    def post_fork(self) -> None:
        self.watch.stop(self)  # what goes on in the child is another Coverage's business

    def activity(self) -> bool:
        return super().activity() or self.watch.active  # type: ignore[misc]

    def reset_activity(self) -> None:
        super().reset_activity()  # type: ignore[misc]
        if self.watch.take_active():
            monitoring.restart_events()  # the data has been taken away, and what comes may belong to another context


def tracer_class(base: Any, watch: Watch) -> Any:
    """A subclass of one of coverage.py's tracers that knows look-alikes. It has the tracer's name."""
    part: Any = _SysMonitorPart if issubclass(base, coverage.sysmon.SysMonitor) else _OtherTracerPart
    # CTracer has a file_tracers of its own, which must not be hidden.
    attributes = {"watch": watch}
    if hasattr(base, "file_tracers"):
        attributes["file_tracers"] = base.file_tracers
    return type(base.__name__, (part, base), attributes)
