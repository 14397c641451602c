"""Runs the benchmark rows that live in an interpreter: driver.py FOLDER PROGRAM HOW AMOUNT ROW...

FOLDER has the modules. HOW and AMOUNT are those of the C harness. Before what a row reports comes a line "row ROW"; the
rows of one call share a process. What a row claims, it proves before it is measured and, where it can, afterwards.
"""

import ctypes
import importlib
import os
import sys
import tempfile
import time

TOOL_IDS = range(6)

folder = sys.argv[1]


def load(name):
    return importlib.import_module(name)


def expect(holds, what):
    if not holds:
        sys.exit("this does not hold: " + what)


# ---- Tools ----


def monitoring_of(implementation):
    """CPython's own functions, or rmon's, which wake whatever in the process fires into rmon."""
    if implementation == "rmon":
        from rmon import monitoring

        return monitoring
    return sys.monitoring


def listen(monitoring, count, callbacks):
    """The first tools listen everywhere to the events that the callbacks are for."""
    events = 0
    for name in callbacks:
        events |= getattr(monitoring.events, name)
    for tool in TOOL_IDS[:count]:
        monitoring.use_tool_id(tool, "bench")
        for name, callback in callbacks.items():
            monitoring.register_callback(tool, getattr(monitoring.events, name), callback)
        monitoring.set_events(tool, events)


def leave(monitoring):
    for tool in TOOL_IDS:
        if monitoring.get_tool(tool) is not None:
            monitoring.set_events(tool, 0)
            for event in ("PY_START", "LINE", "PY_RETURN"):
                monitoring.register_callback(tool, getattr(monitoring.events, event), None)
            monitoring.free_tool_id(tool)


def callback(kind):
    """Does nothing: a function in C, or a Python function."""
    return load("rmon_bench_fires_rmon").nothing if kind == "builtin" else lambda code, offset: None


def native_library():
    import rmon

    path = os.path.join(rmon.get_library_dir(), "librmon.so.0")
    return ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)


# ---- Programs ----


def run_cpython(how, amount, row):
    return load("rmon_bench_cpython").rows(how, row, amount)


def run_callbacks(how, amount, row):
    """IMPLEMENTATION_CALLBACK_TOOLS_OFFSET, or call_CALLBACK: the call of the callback alone."""
    code = run_callbacks.__code__
    words = row.split("_")
    if words[0] == "call":
        return load("rmon_bench_fires_rmon").rows(code, callback(words[1]), how, "call", amount)
    implementation, kind, tools, offset = words
    monitoring, fires = monitoring_of(implementation), load("rmon_bench_fires_" + implementation)

    heard = []
    listen(monitoring, int(tools), {"PY_START": lambda *event: heard.append(event)})
    fires.fire(code)
    leave(monitoring)
    expect(len([event for event in heard if event[0] is code]) == int(tools), "one fire reaches each tool once")

    listen(monitoring, int(tools), {"PY_START": callback(kind)})
    try:
        return fires.rows(code, None, how, offset, amount)
    finally:
        leave(monitoring)


def run_cython(how, amount, row):
    """cython_FUNCTION_VARIANT:LISTENER. Without one, nobody listens, and rmon sleeps; "awake": nobody listens."""
    function, _, listener = row.partition(":")
    module = load("rmon_bench_cython_" + function.rsplit("_", 1)[1])
    implementation = "sys" if function.endswith("native") else "rmon"
    if not listener:
        expect("rmon" not in sys.modules, "rmon is not in the process")
        return module.rows(how, function, amount)
    monitoring = monitoring_of(implementation)
    if listener == "native":
        listen_natively()
    elif listener != "awake":
        function_of_three = callback(listener) if listener == "builtin" else lambda code, offset, value: None
        call = callback(listener)
        listen(monitoring, 1, {"PY_START": call, "LINE": call, "PY_RETURN": function_of_three})
    try:
        return module.rows(how, function, amount)
    finally:
        if listener == "native":
            expect(native_library().rmon_free_tool_id(3) == 0, "the native tool leaves")
        leave(monitoring)


def listen_natively():
    """A tool of librmon's, whose callbacks are in C and do nothing."""
    library = native_library()
    tools = ctypes.CDLL(os.path.join(os.path.dirname(folder), "libbench_tool.so"))
    nothing = (ctypes.c_void_p * 6).in_dll(tools, "bench_nothing")
    register = library.rmon_register_callback
    register.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    status = library.rmon_use_tool_id(3, b"bench")
    events = (0, 2, 5)  # PY_START, PY_RETURN, LINE
    for event in events:
        status = status or register(3, event, nothing[3], None, None)
    status = status or library.rmon_set_events(3, ctypes.c_uint32(sum(1 << event for event in events)))
    expect(status == 0, "a native tool listens")


# ---- Coverage of the large module ----


def run_large(how, amount, row):
    """large_VARIANT:TOOL."""
    name, _, tool = row.partition(":")
    measure = {
        "": lambda name: (lambda: None),
        "native_tool": native_coverage,
        "python_tool": python_coverage,
        "coverage_sysmon": lambda name: stock_coverage(name, "sysmon"),
        "coverage_ctrace": lambda name: stock_coverage(name, "ctrace"),
    }[tool]
    check = measure("rmon_bench_" + name)
    run = load("rmon_bench_" + name).run
    first = processor_time(run)
    check()
    processor_time(run)  # what is disabled when it is seen is disabled by now
    best, end = 1e300, time.monotonic() + float(amount) / 1e3
    while time.monotonic() < end:
        best = min(best, processor_time(run))
    check()
    print("cpu_ns", best)
    print("first_ns", first)
    return 0


def processor_time(run):
    begin = time.thread_time_ns()
    run(7)
    return time.thread_time_ns() - begin


def executed_lines():
    """How many lines of the large module a run executes at least."""
    return 7 * sum(name[:1] == "f" for name in dir(large_module()))


def large_module():
    return next(module for name, module in sys.modules.items() if name.startswith("rmon_bench_large_"))


def native_coverage(name):
    """A tool in C: PY_START sets local LINE events, LINE is disabled."""
    native_library()
    tool = ctypes.CDLL(os.path.join(os.path.dirname(folder), "libbench_coverage.so"))
    tool.bench_coverage_lines.restype = ctypes.c_uint64
    expect(tool.bench_coverage_begin(3) == 0, "the tool listens")
    return seen_once(tool.bench_coverage_lines)


def python_coverage(name):
    """The same in Python."""
    monitoring = monitoring_of("rmon")
    lines = []

    def on_start(code, offset):
        if code.co_filename.endswith(".pyx"):
            monitoring.set_local_events(3, code, monitoring.events.LINE)
        return monitoring.DISABLE

    def on_line(code, line):
        lines.append(line)
        return monitoring.DISABLE

    monitoring.use_tool_id(3, "coverage-like")
    monitoring.register_callback(3, monitoring.events.PY_START, on_start)
    monitoring.register_callback(3, monitoring.events.LINE, on_line)
    monitoring.set_events(3, monitoring.events.PY_START)
    return seen_once(lambda: len(lines))


def seen_once(lines):
    """Checks that all lines have been seen, and that no more have been since the last check."""
    before = []

    def check():
        expect(lines() >= executed_lines(), "every line is seen")
        before.append(lines())
        expect(before[-1] - before[0] <= 1, "what was disabled is not seen again")  # one for the end of a loop

    return check


def stock_coverage(name, core):
    """coverage.py, with the core that has the events from sys.monitoring, or with the one that is a trace function."""
    plugin = "Cython.Coverage"
    if core == "sysmon":
        plugin = "rmon.coverage"
        import rmon

        rmon.install()
    import coverage

    settings = tempfile.NamedTemporaryFile("w", suffix=".ini", delete=False)
    with settings:
        settings.write("[run]\ncore = %s\nplugins = %s\ninclude = %s/*\n" % (core, plugin, folder))
    measured = coverage.Coverage(data_file=None, config_file=settings.name)
    os.remove(settings.name)
    measured.start()

    def check():
        lines = measured.get_data().lines(os.path.join(folder, name + ".pyx")) or ()
        expect(len(lines) >= executed_lines(), "coverage.py measures every line")

    return check


PROGRAMS = {"cpython": run_cpython, "callbacks": run_callbacks, "cython": run_cython, "large": run_large}


def main():
    program, how, amount = sys.argv[2:5]
    sys.path.insert(0, folder)
    for row in sys.argv[5:]:
        print("row", row, flush=True)
        status = PROGRAMS[program](how, amount, row)
        if status != 0:
            return status
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
