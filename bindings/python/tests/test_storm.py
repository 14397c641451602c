"""A storm from Python: threads fire, with the GIL and without, while others register, replace and remove callbacks, set
events, restart them, and codes die. Each thread knows what must have been heard of what it fired. Then the same with one
fault after another, which must each be noticed.

RMON_TEST_SECONDS (default 2), RMON_TEST_THREADS (32) and RMON_TEST_SEED choose another storm.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import random
import sys
import threading
import time
from collections import Counter
from typing import Any, Callable, Iterator

import pytest
from test_threads import EMITTERS, STOP_ITERATION, Emitters

import rmon
from rmon import monitoring as M

E = M.events

# As in c-tests/storm.c: two that do anything at any time, two that listen for a while, one that listens all the time,
# and one that disables.
LOW_CHURN, DISABLER, LOCAL_EPOCHS, WITNESS, EPOCHS, HIGH_CHURN = range(6)
SHARED_CODES, LINES = 6, 8
SILENT, OPENING, OPEN, CLOSING = range(4)

SECONDS = float(os.environ.get("RMON_TEST_SECONDS", 2))
THREADS = int(os.environ.get("RMON_TEST_THREADS", 32))
SEED = int(os.environ.get("RMON_TEST_SEED", random.randrange(2**32)))

FAULTS = {
    "": "",
    "hears one less": "the witness",
    "hears one more": "the witness",
    "opens too early": "in an open epoch",
    "closes too early": "in a silent epoch",
    "restarts secretly": "a disabled line was heard",
    "keeps a callable": "callables died",
    "fires twice": "the witness",
}

# One invocation, in a scope of its own: a LINE event for each line, between which the GIL may change hands.
SOURCE = r"""
#include <Python.h>
#include <rmon_python.h>
#include <sched.h>

static PyObject *fire(PyObject *module, PyObject *args)
{
    static const uint8_t types[] = {PY_MONITORING_EVENT_LINE};
    PyMonitoringState state = {0, 0};
    uint64_t version = 0;
    PyObject *code;
    int first, count, gives_way, i;
    (void)module;
    if (!PyArg_ParseTuple(args, "Oiii", &code, &first, &count, &gives_way))
        return NULL;
    if (PyMonitoring_EnterScope(&state, &version, types, 1) < 0)
        return NULL;
    for (i = 0; i < count; i++) {
        if (PyMonitoring_FireLineEvent(&state, code, first + i, first + i) < 0)
            return NULL;
        if (gives_way) {
            Py_BEGIN_ALLOW_THREADS
            sched_yield();
            Py_END_ALLOW_THREADS
        }
    }
    PyMonitoring_ExitScope();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"fire", fire, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "storm_emitter", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_storm_emitter(void)
{
    return PyModule_Create(&definition);
}
"""


class Instance:
    """A code of a type that has nothing to do with codes."""


class Epoch:
    """A time in which a tool surely listens, or surely does not, by its sequence modulo 4."""

    def __init__(self, tool: int) -> None:
        self.tool = tool
        self.sequence = SILENT
        self.counted = 0  # batches that lay wholly in this phase

    def next(self) -> None:
        self.counted = 0
        self.sequence += 1


class Storm:
    def __init__(self, emitters: Emitters, fire: Callable[..., None], fault: str, seed: int) -> None:
        self.emitters, self.fire_lines, self.fault, self.seed = emitters, fire, fault, seed
        self.stop = False
        self.problems: list[str] = []
        self.codes = [rmon.CodeLike(f"shared{number}", "storm.py") for number in range(SHARED_CODES)]
        self.natives = [emitters.make_code(f"native{number}") for number in range(SHARED_CODES)]
        self.epochs = [Epoch(EPOCHS), Epoch(LOCAL_EPOCHS)]
        self.restarts_begun = self.restarts_done = 0
        self.lock = threading.Lock()
        self.kept: list[Any] = []
        self.done: Counter[str] = Counter()
        self.heard: dict[int, list[int]] = {}  # by thread, then by tool
        self.made = self.died = 0
        self.classes = self.callback_class()

    # ---- Noticing ----

    def notice(self, what: str) -> None:
        self.problems.append(what)
        self.stop = True

    def expect(self, condition: bool, what: str) -> None:
        if not condition:
            self.notice(what)

    def mine(self) -> list[int]:
        """How much each tool has heard on this thread."""
        return self.heard.setdefault(threading.get_ident(), [0] * 6)

    # ---- Callables ----

    def callback_class(self) -> type:
        """The class of all callables, of which none may be left at the end."""
        storm = self

        class Callback:
            def __init__(self, tool: int, rng: random.Random | None = None) -> None:
                with storm.lock:
                    storm.made += 1
                self.tool, self.rng = tool, rng
                self.me = self if rng is not None else None  # some are in cycles

            def __call__(self, code: Any, *args: Any) -> Any:
                if isinstance(code, type(storm.__init__.__code__)):
                    return None
                heard = storm.mine()
                heard[self.tool] += 1
                if self.tool == WITNESS and storm.fault.startswith("hears one") and random.random() < 0.01:
                    heard[WITNESS] += 1 if storm.fault == "hears one more" else -1
                if self.tool == DISABLER:
                    return M.DISABLE
                if self.rng is not None:
                    return storm.churn_inside(self, code)
                return None

            def __del__(self) -> None:
                with storm.lock:
                    storm.died += 1

        return Callback

    def register(self, tool: int, event: int, rng: random.Random | None = None) -> None:
        callback = self.classes(tool, rng)
        if self.fault == "keeps a callable" and not self.kept:
            self.kept.append(callback)
            self.stop = True  # it is noticed at the end
        M.register_callback(tool, event, callback)

    # ---- Those who disturb ----

    def churn_inside(self, callback: Any, code: Any) -> Any:
        rng, tool = callback.rng, callback.tool
        action = rng.randrange(40)
        if action == 0:
            M.register_callback(tool, E.LINE, None)
        elif action == 1:
            self.register(tool, E.LINE, rng)
        elif action == 2:
            self.control_once(rng)
        elif action == 3:
            self.restart()
        elif action == 4:
            time.sleep(0)
        elif action < 8:
            return M.DISABLE
        return None

    def restart(self) -> None:
        if self.fault == "restarts secretly":
            M.restart_events()
            return
        with self.lock:
            self.restarts_begun += 1
        M.restart_events()
        with self.lock:
            self.restarts_done += 1
        self.done["restarts"] += 1

    def control_once(self, rng: random.Random) -> None:
        """Anything, with one of the two tools to which anything may happen; that it is in use is not sure."""
        tool = rng.choice((LOW_CHURN, HIGH_CHURN))
        action = rng.randrange(8)
        try:
            if action == 0:
                M.use_tool_id(tool, "churn")
            elif action == 1:
                rng.choice((M.free_tool_id, M.clear_tool_id))(tool)
            elif action < 4:
                self.register(tool, E.LINE, rng)
            elif action == 4:
                M.register_callback(tool, rng.choice((E.LINE, E.STOP_ITERATION)), None)
            elif action == 5:
                self.register(tool, E.STOP_ITERATION, rng)
                M.set_events(tool, rng.choice((0, E.STOP_ITERATION)))
            elif action == 6:
                M.set_local_events(tool, rng.choice(self.codes), rng.choice((0, E.LINE, E.LINE | E.JUMP)))
            else:
                M.get_events(tool), M.get_tool(tool)
        except ValueError as error:
            self.expect("in use" in str(error), f"an error of {action}: {error}")
        self.done["control calls"] += 1

    def churn(self, rng: random.Random) -> None:
        while not self.stop:
            self.control_once(rng)
            time.sleep(0)

    def make_restarts(self, rng: random.Random) -> None:
        while not self.stop:
            self.restart()
            for _ in range(rng.randrange(20)):
                time.sleep(0)

    def replace_the_witness(self, rng: random.Random) -> None:
        while not self.stop:
            self.register(WITNESS, rng.choice((E.LINE, E.STOP_ITERATION)))
            self.done["witnesses replaced"] += 1
            time.sleep(0)

    # ---- Epochs ----

    def let_it_be(self, epoch: Epoch, rng: random.Random) -> None:
        enough = rng.randrange(1, 8)
        while epoch.counted < enough and not self.stop:
            time.sleep(0)

    def make_epochs(self, epoch: Epoch, rng: random.Random) -> None:
        tool, is_local = epoch.tool, epoch.tool == LOCAL_EPOCHS
        event = E.LINE if is_local else E.STOP_ITERATION
        while not self.stop:
            epoch.next()
            if self.fault == "opens too early":
                epoch.next()
                self.let_it_be(epoch, rng)
            if M.get_tool(tool) is None:
                M.use_tool_id(tool, "epochs")
            self.register(tool, event)
            if is_local:
                for code in self.codes:
                    M.set_local_events(tool, code, E.LINE)
            else:
                M.set_events(tool, event)
            if self.fault != "opens too early":
                epoch.next()
            self.let_it_be(epoch, rng)
            epoch.next()
            if self.fault == "closes too early":
                epoch.next()
                self.let_it_be(epoch, rng)
            rng.choice((M.clear_tool_id, M.free_tool_id, lambda tool: M.register_callback(tool, event, None)))(tool)
            if self.fault != "closes too early":
                epoch.next()
            self.let_it_be(epoch, rng)
            self.done["epochs"] += 1

    def watched(self, fire: Callable[[], int]) -> None:
        """A batch of fires that gives how many each tool for epochs must hear, whatever else goes on."""
        before = [(epoch.sequence, self.mine()[epoch.tool]) for epoch in self.epochs]
        counts = fire()
        for epoch, (sequence, heard) in zip(self.epochs, before):
            if epoch.sequence != sequence:
                continue
            got = self.mine()[epoch.tool] - heard
            is_its_event = (counts < 0) == (epoch.tool == EPOCHS)
            if sequence % 4 == OPEN and is_its_event:
                self.expect(got == abs(counts), f"{got} of {abs(counts)} events heard in an open epoch")
                epoch.counted += 1
                self.done["batches exact"] += 1
            elif sequence % 4 == SILENT:
                self.expect(got == 0, f"{got} events heard in a silent epoch")
                epoch.counted += 1
                self.done["batches silent"] += 1

    # ---- Emitters ----

    def fire(self, code: Any, first: int, count: int, gives_way: bool) -> None:
        """Whatever else is going on, the witness hears it."""
        mine = self.mine()
        before = mine[WITNESS]
        self.fire_lines(code, first, count, gives_way)
        if self.fault == "fires twice":
            self.fire_lines(code, first, count, gives_way)
        self.done["events"] += count
        self.expect(mine[WITNESS] - before == count, f"the witness heard {mine[WITNESS] - before} of {count} lines")

    def emit_shared(self, rng: random.Random) -> None:
        code, count, gives_way = rng.choice(self.codes), rng.randrange(1, 12), rng.random() < 0.3

        def batch() -> int:
            self.fire(code, 100, count, gives_way)
            return count

        self.watched(batch)

    def emit_without_the_gil(self, rng: random.Random) -> None:
        """And negative numbers for STOP_ITERATION, which Python code hardly ever has."""
        native, count = rng.choice(self.natives), rng.randrange(1, 6)
        mine = self.mine()

        def batch() -> int:
            before = mine[WITNESS]
            for offset in range(count):
                self.emitters.fire(STOP_ITERATION, native, offset)
            heard = mine[WITNESS] - before
            self.expect(heard == count, f"the witness heard {heard} of {count} without the GIL")
            return -count

        self.done["events without the GIL"] += count
        self.watched(batch)

    def emit_mortal(self, rng: random.Random) -> None:
        """A code of this thread's own, made where one has just died."""
        code = rng.choice((lambda: rmon.CodeLike("mortal", "storm.py"), Instance))()
        for tool in range(6):
            self.expect(M.get_local_events(tool, code) == 0, "a new code has local events")
        M.set_local_events(WITNESS, code, E.LINE)
        M.set_local_events(DISABLER, code, E.LINE)
        silent: dict[int, int] = {}  # by line: how many restarts there had been; -1: not known
        mine = self.mine()
        for _ in range(rng.randrange(1, 16)):
            line, before = rng.randrange(LINES), mine[DISABLER]
            done, begun = self.restarts_done, self.restarts_begun
            self.fire(code, line, 1, rng.random() < 0.2)
            heard, stable = mine[DISABLER] - before, done == begun == self.restarts_begun
            if stable and silent.get(line) == begun:
                self.expect(heard == 0, "a disabled line was heard")
                self.done["fires found silent"] += 1
            elif stable and silent.get(line) != -1:
                self.expect(heard == 1, "a line was silent after a restart" if line in silent else "a new code was silent")
            silent[line] = begun if stable else -1
        self.done["codes"] += 1

    def emit(self, rng: random.Random) -> None:
        while not self.stop:
            rng.choice((self.emit_shared, self.emit_mortal, self.emit_without_the_gil))(rng)

    def emit_in_short_threads(self, rng: random.Random) -> None:
        while not self.stop:
            thread = threading.Thread(target=self.emit_shared, args=(rng,))
            thread.start()
            thread.join()
            self.done["short threads"] += 1

    # ---- All of it ----

    def run(self, seconds: float, threads: int) -> None:
        M.use_tool_id(WITNESS, "witness")
        M.use_tool_id(DISABLER, "disabler")
        self.register(WITNESS, E.LINE)
        self.register(WITNESS, E.STOP_ITERATION)
        self.register(DISABLER, E.LINE)
        for code in self.codes:
            M.set_local_events(WITNESS, code, E.LINE)
        M.set_events(WITNESS, E.STOP_ITERATION)
        jobs: list[Callable[[random.Random], None]] = [
            *(lambda rng, epoch=epoch: self.make_epochs(epoch, rng) for epoch in self.epochs),
            self.replace_the_witness,
            self.make_restarts,
            self.churn,
            self.churn,
            self.emit_in_short_threads,
        ]
        jobs += [self.emit] * max(3, threads - len(jobs))

        def work(number: int) -> None:
            try:
                jobs[number](random.Random(self.seed * 1000 + number))
            except BaseException as error:
                self.notice(f"{type(error).__name__}: {error}")
                raise

        workers = [threading.Thread(target=work, args=(number,)) for number in range(len(jobs))]
        for worker in workers:
            worker.start()
        until = time.monotonic() + seconds
        while not self.stop and time.monotonic() < until:
            time.sleep(0.01)
        self.stop = True
        for worker in workers:
            worker.join()
        for tool in range(6):
            if M.get_tool(tool) is None:  # what is registered for an id that is not in use stays
                M.use_tool_id(tool, "end")
            M.free_tool_id(tool)
        for native in self.natives:
            self.emitters.release(native)
        gc.collect()
        self.expect(self.died == self.made, f"{self.died} of {self.made} callables died")


@pytest.fixture(scope="session")
def emitters(build_c_extension: Callable[..., Any]) -> Emitters:
    return Emitters(build_c_extension(EMITTERS, "emitters_in_c", flags=["-pthread"], link=True, imported=False))


@pytest.fixture
def often() -> Iterator[None]:
    """The interpreter lets threads take turns often; what hangs ends with all stacks."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    faulthandler.dump_traceback_later(SECONDS + 200, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()
    sys.setswitchinterval(interval)


@pytest.mark.thorough
@pytest.mark.parametrize("fault", FAULTS)
def test_storm(build_c_extension: Callable[..., Any], emitters: Emitters, often: None, fault: str) -> None:
    print(f"RMON_TEST_SEED={SEED}")
    storm = Storm(emitters, build_c_extension(SOURCE, "storm_emitter").fire, fault, SEED)
    storm.run(SECONDS if fault == "" else 60, THREADS if fault == "" else 12)
    figures = ", ".join(f"{count} {what}" for what, count in sorted(storm.done.items()))
    print(f"{THREADS} threads, {SECONDS} s: {figures}; {storm.made} callables, {storm.died} died")
    if fault == "":
        assert storm.problems == []
        for what in ("epochs", "batches exact", "batches silent", "fires found silent", "codes", "restarts"):
            assert storm.done[what] > 0, what
    else:
        assert any(FAULTS[fault] in problem for problem in storm.problems), storm.problems
