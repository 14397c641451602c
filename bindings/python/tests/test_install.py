"""rmon.install() and rmon.uninstall(): tools that use sys.monitoring itself see native code.

Most tests run in a process of their own, since what they are about is the state of a whole process: which tools were
there before, who else has wrapped the functions, what is left afterwards.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
import types
from typing import Any, Callable

import pytest

import rmon
from rmon import monitoring as M

E = M.events
HAS_NATIVE = sys.version_info >= (3, 12)
TOOL = 3
needs_native = pytest.mark.skipif(not HAS_NATIVE, reason="the interpreter has no sys.monitoring")
needs_none = pytest.mark.skipif(HAS_NATIVE, reason="the interpreter has a sys.monitoring")

FUNCTIONS = [
    "use_tool_id",
    "free_tool_id",
    "get_tool",
    "register_callback",
    "get_events",
    "set_events",
    "get_local_events",
    "set_local_events",
    "restart_events",
    "_all_events",
]

PRELUDE = """
import sys, types, gc, weakref
log = []
class Code: pass
def lines(code, *numbers):
    import rmon
    with rmon.Scope(code, rmon.monitoring.events.LINE) as scope:
        for number in numbers:
            scope.line(number)
    found, log[:] = log[:], []
    return found
def named(name, of=None):
    def callback(code, line):
        if of is None or code is of:
            log.append((name, line))
    return callback
"""


@pytest.fixture
def script(run_python: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., None]:
    """Runs a script, with PRELUDE, which must print "fine" at the end and nothing else."""

    def run(text: str, *flags: str, **options: Any) -> None:
        done = run_python(
            *flags, "-X", "faulthandler", "-c", PRELUDE + textwrap.dedent(text) + "\nprint('fine')", **options
        )
        assert (done.stdout, done.stderr) == ("fine\n", "")

    return run


# ---- What is seen ----


@needs_native
def test_a_tool_registered_before_is_covered(script: Callable[..., None]) -> None:
    script(
        """
        M, E = sys.monitoring, sys.monitoring.events
        code = Code()
        callback = named("early", code)
        M.use_tool_id(3, "early")
        M.register_callback(3, E.LINE, callback)
        M.register_callback(3, E.RAISE, len)
        M.set_events(3, E.LINE)
        import rmon
        assert lines(code, 1) == []
        rmon.install()
        assert lines(code, 2) == [("early", 2)]
        assert M.get_tool(3) == rmon.monitoring.get_tool(3) == "early"
        assert M.get_events(3) == rmon.monitoring.get_events(3) == E.LINE
        M.set_events(3, 0)
        assert lines(code, 3) == []
        M.set_events(3, E.LINE)
        assert lines(code, 4) == [("early", 4)]
        assert M.register_callback(3, E.LINE, None) is callback
        assert M.register_callback(3, E.RAISE, None) is len
        M.register_callback(3, E.LINE, callback)
        rmon.uninstall()
        assert lines(code, 5) == []
        assert M.register_callback(3, E.LINE, None) is callback
        """
    )


@needs_native
def test_taking_over_an_earlier_tool_changes_nothing_for_it(script: Callable[..., None]) -> None:
    """Its events of Python code go on, also between threads; its disabled locations stay disabled."""
    script(
        """
        M, E = sys.monitoring, sys.monitoring.events
        seen = []
        def function():
            x = 1
            return x
        def start(code, offset):
            if code is function.__code__:
                seen.append("start")
                return M.DISABLE
        def line(code, line):
            if code is function.__code__:
                seen.append(line - code.co_firstlineno)
        M.use_tool_id(3, "early")
        M.register_callback(3, E.PY_START, start)
        M.register_callback(3, E.LINE, line)
        M.set_events(3, E.PY_START)
        M.set_local_events(3, function.__code__, E.LINE)
        function()
        assert seen == ["start", 1, 2], seen
        import rmon
        seen.clear()
        rmon.install()
        function()
        assert seen == [1, 2], seen
        rmon.uninstall()
        function()
        assert seen == [1, 2] * 2, seen
        """
    )


def test_a_tool_that_uses_sys_monitoring_sees_native_code(script: Callable[..., None]) -> None:
    script(
        """
        import rmon
        rmon.install()
        M, E = sys.monitoring, sys.monitoring.events
        code = rmon.CodeLike("f", "f.py")
        M.use_tool_id(1, "tool")
        M.register_callback(1, E.LINE, named("tool", code))
        assert lines(code, 1) == []
        M.set_local_events(1, code, E.LINE)
        assert M.get_local_events(1, code) == E.LINE
        assert lines(code, 2) == [("tool", 2)]
        M.set_local_events(1, code, 0)
        M.set_events(1, E.LINE)
        assert lines(code, 3) == [("tool", 3)]
        M.free_tool_id(1)
        assert M.get_tool(1) is None
        assert lines(code, 4) == []
        """
    )


def test_disable_and_restart_events(script: Callable[..., None]) -> None:
    script(
        """
        import rmon
        rmon.install()
        M, E = sys.monitoring, sys.monitoring.events
        code = rmon.CodeLike("f", "f.py")
        def callback(fired, line):
            if fired is code:
                log.append(line)
                return M.DISABLE
        assert M.DISABLE is rmon.monitoring.DISABLE
        M.use_tool_id(1, "tool")
        M.register_callback(1, E.LINE, callback)
        M.set_events(1, E.LINE)
        assert lines(code, 1, 2, 1) == [1, 2]
        assert lines(code, 1, 3) == [3]
        M.restart_events()
        assert lines(code, 1, 1) == [1]
        """
    )


@needs_native
@pytest.mark.parametrize("how", ["the module", "the functions", "from import"])
def test_names_bound_early(script: Callable[..., None], how: str) -> None:
    """A tool that has bound the module sees native code; of one that has bound the functions, what they have set is
    taken over when rmon is installed."""
    script(
        f"""
        how = {how!r}
        if how == "from import":
            sys.modules["sys.monitoring"] = sys.monitoring
            from sys.monitoring import use_tool_id, register_callback, set_events, events as E
        elif how == "the module":
            monitoring = sys.monitoring
            E = monitoring.events
        else:
            use_tool_id, register_callback = sys.monitoring.use_tool_id, sys.monitoring.register_callback
            set_events, E = sys.monitoring.set_events, sys.monitoring.events
        code = Code()
        import rmon
        if how == "the module":
            rmon.install()
            assert sys.monitoring is monitoring
            use_tool_id, register_callback = monitoring.use_tool_id, monitoring.register_callback
            set_events = monitoring.set_events
        use_tool_id(1, "tool")
        register_callback(1, E.LINE, named("tool", code))
        set_events(1, E.LINE)
        if how != "the module":
            rmon.install()
        assert lines(code, 1) == [("tool", 1)]
        rmon.uninstall()
        assert lines(code, 2) == []
        """
    )


@needs_native
def test_a_callback_registered_before_for_an_id_taken_later(script: Callable[..., None]) -> None:
    script(
        """
        M, E = sys.monitoring, sys.monitoring.events
        code = Code()
        callback = named("early", code)
        M.register_callback(3, E.LINE, callback)
        import rmon
        rmon.install()
        M.use_tool_id(3, "late")
        M.set_events(3, E.LINE)
        assert lines(code, 1) == [("early", 1)]
        """
    )


@needs_native
def test_an_audit_hook_that_forbids_registering(script: Callable[..., None]) -> None:
    """install() has to look at earlier tools' callbacks by exchanging them. If it may not, they stay where they are."""
    script(
        """
        M, E = sys.monitoring, sys.monitoring.events
        callback = named("early", None)
        M.use_tool_id(3, "early")
        for event in (E.LINE, E.RAISE, E.PY_START):
            M.register_callback(3, event, callback)
        before = dict(vars(M))
        import rmon
        forbidden = []
        def hook(name, args):
            if forbidden and name == "sys.monitoring.register_callback":
                raise PermissionError("no")
        sys.addaudithook(hook)
        forbidden.append(True)
        try:
            rmon.install()
        except PermissionError:
            pass
        else:
            rmon.uninstall()
        forbidden.clear()
        assert dict(vars(M)) == before
        for event in (E.LINE, E.RAISE, E.PY_START):
            assert M.register_callback(3, event, None) is callback
        """
    )


def test_look_alikes_have_local_events_through_sys_monitoring(script: Callable[..., None]) -> None:
    """As coverage.py sets them, in its callback of PY_START, for whatever code that comes."""
    script(
        """
        import rmon
        rmon.install()
        M, E = sys.monitoring, sys.monitoring.events
        for code in (rmon.CodeLike("f", "f.py"), Code(), compile("", "", "exec")):
            def start(fired, offset):
                if fired is code:
                    M.set_local_events(1, fired, E.LINE)
                return M.DISABLE
            M.use_tool_id(1, "tool")
            M.register_callback(1, E.PY_START, start)
            M.register_callback(1, E.LINE, named("tool", code))
            M.set_events(1, E.PY_START)
            with rmon.Scope(code, E.PY_START, E.LINE) as scope:
                scope.py_start(0)
                scope.line(5)
            assert log == [("tool", 5)], log
            log.clear()
            assert M.get_local_events(1, code) == E.LINE
            M.set_local_events(1, code, 0)
            assert M.get_local_events(1, code) == 0
            M.free_tool_id(1)
        """
    )


@needs_native
def test_python_code_is_reported_once(script: Callable[..., None]) -> None:
    script(
        """
        import rmon
        def function():
            return 1
        for _ in range(3):
            rmon.install()
        M, E = sys.monitoring, sys.monitoring.events
        M.use_tool_id(1, "tool")
        M.register_callback(1, E.LINE, named("tool", function.__code__))
        M.set_events(1, E.LINE)
        function()
        M.set_events(1, 0)
        assert len(log) == 1, log
        """
    )


# ---- In and out ----


def test_it_nests_by_count() -> None:
    before = {name: getattr(sys.monitoring, name) for name in FUNCTIONS} if HAS_NATIVE else None
    M.use_tool_id(TOOL, "tool")
    code, log = rmon.CodeLike("f", "f.py"), []

    def check(installed: bool) -> None:
        assert hasattr(sys, "monitoring") == (installed or HAS_NATIVE)
        if before is not None:
            same = [name for name in FUNCTIONS if getattr(sys.monitoring, name) is before[name]]
            assert same == [] if installed else FUNCTIONS

    for _ in range(2):  # and again afterwards
        check(False)
        rmon.install()
        check(True)
        rmon.install()
        rmon.install()
        rmon.uninstall()
        check(True)
        with rmon.install():
            rmon.uninstall()
            check(True)
            sys.monitoring.register_callback(TOOL, E.LINE, lambda fired, line: fired is code and log.append(line))
            M.set_local_events(TOOL, code, E.LINE)
            with rmon.Scope(code, E.LINE) as scope:
                scope.line(1)
        assert log == [1]
        log.clear()
        check(True)
        rmon.uninstall()
        rmon.uninstall()  # one too many does nothing
        check(False)
        M.clear_tool_id(TOOL)
    rmon.uninstall()
    rmon.install()
    check(True)
    rmon.uninstall()
    check(False)


def test_what_they_return() -> None:
    manager = rmon.install()
    assert hasattr(manager, "__enter__") and hasattr(manager, "__exit__")
    assert rmon.uninstall() is None
    with pytest.raises(TypeError):
        rmon.install(1, 2)
    with pytest.raises(TypeError):
        rmon.install(unknown=True)
    with pytest.raises(TypeError):
        rmon.uninstall(1)


def test_the_context_manager_uninstalls_after_an_exception() -> None:
    before = getattr(sys, "monitoring", None)
    function = before.use_tool_id if before is not None else None
    with pytest.raises(KeyError):
        with rmon.install():
            assert sys.monitoring.use_tool_id is not function
            raise KeyError
    assert getattr(sys, "monitoring", None) is before
    if before is not None:
        assert before.use_tool_id is function


@needs_native
def test_the_interpreters_functions_come_back(script: Callable[..., None]) -> None:
    """Not merely equal ones: the very objects. The namespace stays the same object, with the same other names."""
    script(
        """
        before = dict(vars(sys.monitoring))
        module = sys.monitoring
        import rmon
        assert dict(vars(sys.monitoring)) == before
        with rmon.install():
            assert sys.monitoring is module
            now = dict(vars(module))
            assert list(before) == [name for name in now if name in before]
            assert all(now[name] is before[name] for name in ("DISABLE", "MISSING", "events", "DEBUGGER_ID"))
            assert now["events"] is before["events"]
            extra = set(now) - set(before)
            assert extra <= {"clear_tool_id"}, extra
        assert dict(vars(module)) == before
        assert all(vars(module)[name] is before[name] for name in before)
        """
    )


@needs_native
@pytest.mark.parametrize("name", FUNCTIONS)
def test_wrappers_look_like_the_interpreters(name: str) -> None:
    native = getattr(sys.monitoring, name)

    def texts(function: Any) -> list[str]:
        found = [
            repr(function),
            function.__name__,
            function.__qualname__,
            str(function.__module__),
            type(function).__name__,
        ]
        for args, kwargs in (((), {"tool_id": 1}), ((1, 2, 3, 4, 5), {})):
            with pytest.raises(TypeError) as raised:
                function(*args, **kwargs)
            found.append(str(raised.value))
        return found

    with rmon.install():
        assert getattr(sys.monitoring, name) is not native
        assert texts(getattr(sys.monitoring, name)) == texts(native)


@needs_none
def test_sys_monitoring_exists_while_installed() -> None:
    assert not hasattr(sys, "monitoring")
    with rmon.install():
        assert type(sys.monitoring) is types.ModuleType
        assert sys.monitoring.__name__ == "sys.monitoring"
        assert sys.monitoring.use_tool_id.__module__ == "sys.monitoring"
        assert vars(sys.monitoring.events) == vars(M.events)
        assert sys.monitoring.DISABLE is M.DISABLE
        with pytest.raises(TypeError, match=r"^sys\.monitoring\.get_tool\(\) takes no keyword arguments$"):
            sys.monitoring.get_tool(tool_id=1)
        bound = sys.monitoring
    assert not hasattr(sys, "monitoring")
    bound.use_tool_id(TOOL, "left over")  # who has kept it can go on
    assert bound.get_tool(TOOL) == "left over"
    bound.free_tool_id(TOOL)


@needs_none
def test_somebody_elses_sys_monitoring_is_left_alone(script: Callable[..., None]) -> None:
    script(
        """
        import rmon
        for when in ("before", "while"):
            other = types.ModuleType("other")
            if when == "before":
                sys.monitoring = other
                rmon.install()
                rmon.uninstall()
            else:
                rmon.install()
                sys.monitoring = other
                rmon.uninstall()
            assert sys.monitoring is other, when
            del sys.monitoring
        rmon.install()
        del sys.monitoring
        rmon.uninstall()
        assert not hasattr(sys, "monitoring")
        rmon.install()
        assert sys.monitoring.get_tool(1) is None
        """
    )


def test_it_is_a_module_for_line_profiler() -> None:
    with rmon.install():
        assert isinstance(sys.monitoring, types.ModuleType)


# ---- Other wrappers ----


@needs_native
def test_another_wrapper_on_top_stays(script: Callable[..., None]) -> None:
    script(
        """
        import rmon
        M, E = sys.monitoring, sys.monitoring.events
        native = M.register_callback
        rmon.install()
        ours = M.register_callback
        calls = []
        def theirs(*args):
            calls.append(args[0])
            return ours(*args)
        M.register_callback = theirs
        code = rmon.CodeLike("f", "f.py")
        M.use_tool_id(1, "tool")
        M.register_callback(1, E.LINE, named("tool", code))
        M.set_events(1, E.LINE)
        assert calls == [1]
        assert lines(code, 1) == [("tool", 1)]
        rmon.uninstall()
        assert M.register_callback is theirs, "it is not ours to remove"
        M.register_callback(1, E.LINE, None)  # and what it calls works as the interpreter's, without an endless loop
        assert native(1, E.LINE, None) is None
        assert calls == [1, 1]
        rmon.install()  # over theirs
        M.register_callback(1, E.LINE, named("again", code))
        assert calls == [1, 1, 1]
        assert lines(code, 2) == [("again", 2)]
        rmon.uninstall()
        assert M.register_callback is theirs
        M.free_tool_id(1)
        """
    )


@needs_native
def test_another_wrapper_below_is_used(script: Callable[..., None]) -> None:
    script(
        """
        import rmon
        M, E = sys.monitoring, sys.monitoring.events
        native, calls = M.set_events, []
        def theirs(*args):
            calls.append(args)
            return native(*args)
        M.set_events = theirs
        rmon.install()
        code = rmon.CodeLike("f", "f.py")
        M.use_tool_id(1, "tool")
        M.register_callback(1, E.LINE, named("tool", code))
        M.set_events(1, E.LINE)
        assert calls == [(1, E.LINE)], calls
        assert lines(code, 1) == [("tool", 1)]
        M.set_events(1, 0)
        M.set_events = native  # they leave first, without asking who is on top
        rmon.uninstall()
        assert M.set_events is native
        M.set_events(1, E.JUMP)
        assert M.get_events(1) == E.JUMP
        assert calls == [(1, E.LINE), (1, 0)]
        """
    )


@needs_native
def test_a_wrapper_that_fails(script: Callable[..., None]) -> None:
    """What the function below refuses is not kept by rmon either."""
    script(
        """
        import rmon
        M, E = sys.monitoring, sys.monitoring.events
        native = M.set_events
        def theirs(*args):
            raise PermissionError("no")
        M.set_events = theirs
        rmon.install()
        code = rmon.CodeLike("f", "f.py")
        M.use_tool_id(1, "tool")
        M.register_callback(1, E.LINE, named("tool", code))
        try:
            M.set_events(1, E.LINE)
        except PermissionError:
            pass
        else:
            raise AssertionError
        assert lines(code, 1) == []
        assert M.get_events(1) == 0
        """
    )


@needs_native
def test_functions_bound_while_installed_go_on_afterwards(script: Callable[..., None]) -> None:
    """coverage.py keeps what it has bound. It must still reach the interpreter, and reach native code never again."""
    script(
        """
        import rmon
        with rmon.install():
            from_then = sys.monitoring.__dict__.copy()
        M, E = sys.monitoring, sys.monitoring.events
        code = rmon.CodeLike("f", "f.py")
        from_then["use_tool_id"](1, "tool")
        assert M.get_tool(1) == "tool"
        from_then["register_callback"](1, E.JUMP, len)
        assert M.register_callback(1, E.JUMP, None) is len
        from_then["set_events"](1, E.JUMP)
        assert M.get_events(1) == E.JUMP
        from_then["set_events"](1, 0)
        from_then["free_tool_id"](1)
        assert M.get_tool(1) is None
        """
    )


@needs_native
def test_a_missing_function_is_put_up_with(script: Callable[..., None]) -> None:
    """Somebody has deleted a name while rmon was installed."""
    script(
        """
        import rmon
        rmon.install()
        del sys.monitoring._all_events
        rmon.uninstall()
        rmon.install()
        rmon.uninstall()
        assert sys.monitoring.get_tool(1) is None
        """
    )


# ---- The debugger's id ----

BOTH_WAYS = """
        import rmon
        {install}
        M, E = {module}, rmon.monitoring.events
        code = rmon.CodeLike("f", "f.py")
        M.use_tool_id(0, "debugger")
        M.register_callback(0, E.LINE, named("debugger", code))
        M.{set}
        found = lines(code, 1)
        M.set_events(0, 0)
        assert found == {expected}, found
"""
ALL, NOTHING = [("debugger", 1)], []


@pytest.mark.parametrize(
    "install, module, expected",
    [
        ("rmon.install()", "sys.monitoring", NOTHING),
        ("rmon.install(debugger=True)", "sys.monitoring", ALL),
        ("rmon.install(); rmon.install(debugger=True)", "sys.monitoring", ALL),
        ("rmon.install(debugger=False)", "sys.monitoring", NOTHING),
        ("rmon.install()", "rmon.monitoring", ALL),
        ("", "rmon.monitoring", ALL),
    ],
)
@pytest.mark.parametrize("set", ["set_events(0, E.LINE)", "set_local_events(0, code, E.LINE)"])
def test_the_debuggers_id(script: Callable[..., None], install: str, module: str, expected: Any, set: str) -> None:
    script(BOTH_WAYS.format(install=install, module=module, expected=expected, set=set))


def test_other_ids_are_no_debuggers(script: Callable[..., None]) -> None:
    script(
        """
        import rmon
        rmon.install()
        M, E = sys.monitoring, sys.monitoring.events
        code = rmon.CodeLike("f", "f.py")
        for tool in range(6):
            M.use_tool_id(tool, "tool")
            M.register_callback(tool, E.LINE, named(tool, code))
            M.set_events(tool, E.LINE)
        assert lines(code, 1) == [(5, 1), (4, 1), (3, 1), (2, 1), (1, 1)]
        """
    )


@needs_native
def test_the_debugger_sees_python_code_as_ever(script: Callable[..., None]) -> None:
    script(
        """
        import rmon
        rmon.install()
        M, E = sys.monitoring, sys.monitoring.events
        def function():
            return 1
        M.use_tool_id(0, "debugger")
        M.register_callback(0, E.LINE, named("debugger", function.__code__))
        M.set_local_events(0, function.__code__, E.LINE)
        assert M.get_local_events(0, function.__code__) == E.LINE
        function()
        assert len(log) == 1
        """
    )


@needs_native
def test_an_earlier_debugger_gets_no_look_alikes_either(script: Callable[..., None]) -> None:
    script(
        """
        M, E = sys.monitoring, sys.monitoring.events
        code = Code()
        M.use_tool_id(0, "debugger")
        M.register_callback(0, E.LINE, named("debugger", code))
        M.set_events(0, E.LINE)
        import rmon
        rmon.install()
        found = lines(code, 1)
        rmon.uninstall()
        rmon.install(debugger=True)
        more = lines(code, 2)
        M.set_events(0, 0)
        assert (found, more) == ([], [("debugger", 2)]), (found, more)
        """
    )


def test_a_debuggers_callback_through_either_module(script: Callable[..., None]) -> None:
    """It is the way of registration that counts, and it is one slot."""
    script(
        """
        import rmon
        rmon.install()
        S, R, E = sys.monitoring, rmon.monitoring, rmon.monitoring.events
        code = rmon.CodeLike("f", "f.py")
        S.use_tool_id(0, "debugger")
        R.set_local_events(0, code, E.LINE)
        one, two = named("one", code), named("two", code)
        assert S.register_callback(0, E.LINE, one) is None
        assert lines(code, 1) == []
        assert R.register_callback(0, E.LINE, two) is one
        assert lines(code, 2) == [("two", 2)]
        assert S.register_callback(0, E.LINE, one) is two
        assert lines(code, 3) == []
        """
    )


# ---- Both modules, one set of tools ----


def test_both_modules_have_the_same_tools(script: Callable[..., None]) -> None:
    script(
        """
        import rmon
        rmon.install()
        S, R, E = sys.monitoring, rmon.monitoring, rmon.monitoring.events
        code = rmon.CodeLike("f", "f.py")
        S.use_tool_id(1, "tool")
        assert R.get_tool(1) == "tool"
        R.set_events(1, E.JUMP)
        assert S.get_events(1) == E.JUMP
        S.set_events(1, 0)
        assert R.get_events(1) == 0
        S.register_callback(1, E.LINE, len)
        callback = named("tool", code)
        assert R.register_callback(1, E.LINE, callback) is len
        R.set_local_events(1, code, E.LINE)
        assert lines(code, 1) == [("tool", 1)]
        rmon.uninstall()
        assert R.get_tool(1) == "tool"
        assert lines(code, 2) == [("tool", 2)], "what came by rmon.monitoring stays"
        """
    )


def test_what_came_by_sys_monitoring_ends_with_uninstall(script: Callable[..., None]) -> None:
    script(
        """
        import rmon
        code = rmon.CodeLike("f", "f.py")
        rmon.install()
        M, E = sys.monitoring, sys.monitoring.events
        M.use_tool_id(1, "tool")
        M.register_callback(1, E.LINE, named("tool", code))
        M.set_events(1, E.LINE)
        assert lines(code, 1) == [("tool", 1)]
        rmon.uninstall()
        assert lines(code, 2) == []
        rmon.install()
        assert lines(code, 3) == [("tool", 3)], "and goes on when it is installed again"
        M.free_tool_id(1)
        """
    )


# ---- Threads, scopes and callbacks ----


def test_installing_inside_a_callback(script: Callable[..., None]) -> None:
    script(
        """
        import rmon
        M, E = rmon.monitoring, rmon.monitoring.events
        code = rmon.CodeLike("f", "f.py")
        def callback(fired, line):
            log.append(line)
            for _ in range(2):
                rmon.install()
            sys.monitoring.get_tool(1)
            for _ in range(3):
                rmon.uninstall()
        M.use_tool_id(1, "tool")
        M.register_callback(1, E.LINE, callback)
        M.set_local_events(1, code, E.LINE)
        assert lines(code, 1, 2) == [1, 2]
        """
    )


def test_installing_in_many_threads_at_once(script: Callable[..., None]) -> None:
    script(
        """
        import faulthandler, threading, rmon
        faulthandler.dump_traceback_later(60, exit=True)
        had = hasattr(sys, "monitoring")
        before = sys.monitoring.get_tool if had else None
        errors = []
        def work():
            try:
                for _ in range(200):
                    with rmon.install():
                        sys.monitoring.get_tool(1)
            except BaseException as error:
                errors.append(error)
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert errors == [], errors
        assert hasattr(sys, "monitoring") == had
        assert before is None or sys.monitoring.get_tool is before
        """
    )


def test_installed_until_the_end(script: Callable[..., None]) -> None:
    """Nobody uninstalls; the interpreter ends with tools that listen to everything."""
    script(
        """
        import rmon
        rmon.install()
        M, E = sys.monitoring, sys.monitoring.events
        M.use_tool_id(1, "tool")
        def callback(*args): pass
        everything = 0
        for name in ("PY_START", "LINE", "CALL", "PY_RETURN", "RAISE", "PY_UNWIND"):
            M.register_callback(1, getattr(E, name), callback)
            everything |= getattr(E, name)
        M.set_events(1, everything)
        """
    )


@needs_native
def test_the_stock_profiler_goes_on_working(script: Callable[..., None]) -> None:
    """cProfile looks sys.monitoring's functions up by name."""
    script(
        """
        import cProfile, io, pstats, rmon
        def function(): return sum(range(10))
        def profiled():
            profile = cProfile.Profile()
            profile.enable()
            for _ in range(5): function()
            profile.disable()
            return {key[2]: value[0] for key, value in pstats.Stats(profile, stream=io.StringIO()).stats.items()}
        without = profiled()
        with rmon.install():
            installed = profiled()
        assert installed["function"] == without["function"] == 5
        assert installed["<built-in method builtins.sum>"] == 5
        assert profiled() == without
        """
    )


def test_cprofile_sees_native_code(script: Callable[..., None]) -> None:
    if sys.version_info < (3, 12):
        pytest.skip("it does not use sys.monitoring")
    script(
        """
        import cProfile, io, pstats, rmon
        rmon.install()
        E = rmon.monitoring.events
        code = rmon.CodeLike("native", "f.py", 7)
        profile = cProfile.Profile()
        profile.enable()
        for _ in range(3):
            with rmon.Scope(code, E.PY_START, E.PY_RETURN) as scope:
                scope.py_start(0)
                scope.py_return(2, None)
        profile.disable()
        entries = [entry for entry in profile.getstats() if entry.code is code]
        assert [entry.callcount for entry in entries] == [3], entries
        """
    )
