"""Every event arrives as it was fired, and only when it should."""

import shutil
import subprocess
import sys
import threading
import unittest

import emitter
import emitter_disabled
import listener
from listener import NULL
from support import EMITTERS, EVENTS, FIRED, LOCAL, TARGET_EVENTS, CodeLike, ListeningTest, Scope, bit, with_each_emitter

MISSING = getattr(getattr(sys, "monitoring", None), "MISSING", None)


class Arrival(ListeningTest):
    @with_each_emitter
    def test_each_event_carries_what_it_was_fired_with(self, module):
        code, value, other = CodeLike(), object(), object()
        self.listen(*FIRED)
        scope = Scope(module, *FIRED)
        for name in FIRED:
            raised = OSError(name)
            values = (77,) if name == "LINE" else (value, other) if name == "CALL" else (value,)
            result, after = scope.fire(name, code, 300, *values, raised=raised)
            self.assertEqual((name, result, after), (name, 0, raised))
            notes = self.notes()
            self.assertEqual(len(notes), 1, name)
            note = notes[0]
            self.assertEqual((note.event, note.tool, note.offset), (EVENTS[name], 2, 300))
            self.assertEqual(note.line, 77 if name == "LINE" else -1)
            self.assertEqual(note.target_offset, -1)
            self.assertIs(note.code, code)
            if name in ("PY_RETURN", "PY_YIELD", "CALL") or name in TARGET_EVENTS:
                self.assertIs(note.object, value, name)
            elif name in ("C_RETURN", "C_RAISE"):
                self.assertIn((note.object, note.arg0), [(value, other), (NULL, NULL)])
            elif name == "STOP_ITERATION":
                self.assertIs(type(note.object), StopIteration)
                self.assertIs(note.object.value, value)
            elif name in ("PY_START", "PY_RESUME", "LINE"):
                self.assertEqual(note.object, NULL)
            else:
                self.assertIs(note.object, raised, name)
            if name not in ("C_RETURN", "C_RAISE"):
                self.assertIs(note.arg0, other if name == "CALL" else NULL, name)

    @with_each_emitter
    def test_c_return_and_c_raise_carry_the_last_call_of_their_code(self, module):
        code = CodeLike()
        self.listen("CALL", "C_RETURN", "C_RAISE")
        scope = Scope(module, "CALL", "C_RETURN", "C_RAISE")
        for name in ("C_RETURN", "C_RAISE"):
            scope.fire("CALL", code, 0, len, "argument")
            self.assertEqual(scope.fire(name, code, 0, "value")[0], 0)
            call, end = self.notes()
            self.assertEqual((end.event, end.object, end.arg0), (EVENTS[name], len, "argument"))

    @with_each_emitter
    def test_numbers_are_targets_and_other_objects_stay_objects(self, module):
        self.listen(*TARGET_EVENTS)
        scope = Scope(module, *TARGET_EVENTS)
        for name in TARGET_EVENTS:
            for target, expected in [
                (12, (NULL, 12)),
                (0, (NULL, 0)),
                (2**31 - 1, (NULL, 2**31 - 1)),
                (2**31, (2**31, -1)),
                (-(10**30), (-(10**30), -1)),
                ("there", ("there", -1)),
                (None, (None, -1)),
            ]:
                self.assertEqual(scope.fire(name, CodeLike(), 4, target), (0, None))
                (note,) = self.notes()
                self.assertEqual((note.object, note.target_offset, note.offset), (*expected, 4))

    @with_each_emitter
    def test_null_is_passed_on(self, module):
        names = ("PY_START", "PY_RETURN", "PY_YIELD", "CALL", *TARGET_EVENTS)
        self.listen(*names)
        scope = Scope(module, *names)
        for name in names:
            self.assertEqual(scope.fire(name, None), (0, None))
            (note,) = self.notes()
            self.assertEqual((note.code, note.object, note.arg0, note.target_offset), (NULL, NULL, NULL, -1))

    @unittest.skipUnless(MISSING, "the interpreter has no sys.monitoring")
    def test_missing_as_an_argument_is_none(self):
        self.listen("CALL")
        Scope(emitter, "CALL").fire("CALL", CodeLike(), 0, len, MISSING)
        (note,) = self.notes()
        self.assertEqual((note.object, note.arg0), (len, NULL))

    def test_a_real_code_object_is_one_like_any_other(self):
        self.listen("PY_START")
        code = self.test_null_is_passed_on.__code__
        Scope(emitter, "PY_START").fire("PY_START", code, 2)
        self.assertIs(self.notes()[0].code, code)

    def test_the_highest_tool_is_first(self):
        self.listen("LINE", tool=1)
        self.listen("LINE", tool=4)
        Scope(emitter, "LINE").fire("LINE", CodeLike())
        self.assertEqual([note.tool for note in self.notes()], [4, 1])


class Silence(ListeningTest):
    @with_each_emitter
    def test_nothing_happens_while_nobody_listens(self, module):
        scope = Scope(module, *FIRED)
        self.assertEqual(set(scope.active().values()), {0})
        for name in FIRED:
            # No exception is missed, no offset is looked at.
            values = (1,) if name == "LINE" else ()
            self.assertEqual(module.fire(scope.scope, FIRED.index(name), None, -1, values), (0, None))

    def test_only_wanted_events_arrive(self):
        self.listen("PY_RETURN")
        scope = Scope(emitter, *FIRED)
        for name in FIRED:
            scope.fire(name, CodeLike())
        self.assertEqual(self.heard(), ["PY_RETURN"])

    def test_local_events_are_those_of_one_code(self):
        here, there = CodeLike(), CodeLike()
        listener.listen(2, 0, bit("LINE"))
        listener.listen_in(2, here, bit("LINE"))
        scope = Scope(emitter, "LINE")
        for code in (here, there):
            scope.fire("LINE", code)
        self.assertEqual([note.code for note in self.notes()], [here])

    def test_local_events_set_in_a_callback_hold_in_that_scope(self):
        code = CodeLike()
        self.setup(hook=lambda event: listener.listen_in(2, code, bit("LINE")) if event == EVENTS["PY_START"] else None)
        listener.listen(2, bit("PY_START"), bit("PY_START", "LINE"))
        scope = Scope(emitter, "PY_START", "LINE")
        scope.fire("PY_START", code)
        scope.fire("LINE", code)
        self.assertEqual(self.heard(), ["PY_START", "LINE"])

    @with_each_emitter
    def test_a_fire_inside_a_callback_is_suppressed(self, module):
        self.listen("LINE", "RAISE")
        scope = Scope(module, "LINE", "RAISE")
        inner = []
        self.setup(hook=lambda event: inner.append(scope.fire("LINE", CodeLike())))
        self.assertEqual(scope.fire("LINE", CodeLike()), (0, None))
        self.assertEqual((self.heard(), inner), (["LINE"], [(0, None)]))

    @with_each_emitter
    def test_a_fire_while_the_interpreter_traces_is_suppressed(self, module):
        self.listen("LINE", "RAISE")
        scope = Scope(module, "LINE", "RAISE")
        inside = []

        def trace(frame, event, argument):
            if not inside:
                inside.append(scope.fire("LINE", CodeLike()))
                inside.append(module.fire(scope.scope, 1, None, 0, (), None))  # no exception, and no error

        def traced():
            pass

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            traced()
        finally:
            sys.settrace(before)
        self.assertEqual((inside, self.heard()), ([(0, None)] * 2, []))
        scope.fire("LINE", CodeLike())
        self.assertEqual(self.heard(), ["LINE"])

    @with_each_emitter
    def test_disable_silences_one_location(self, module):
        code = CodeLike()
        self.listen(*LOCAL)
        scope = Scope(module, *LOCAL)
        for name in LOCAL:
            self.setup(answer=listener.DISABLE)
            places = [(0, (1,)), (0, (1,)), (2, (2,)), (0, (1,)), (2, (2,))]
            for offset, line in places:
                values = line if name == "LINE" else ("value",)
                self.assertEqual(scope.fire(name, code, offset, *values), (0, None))
            self.assertEqual([note.offset for note in self.notes()], [0, 2], name)
            listener.restart()
            scope.enter()
            scope.fire(name, code, 0, *((1,) if name == "LINE" else ("value",)))
            self.assertEqual(self.heard(), [name])

    def test_exits_need_not_match_enters(self):
        for module in EMITTERS:
            self.assertEqual([module.exit(), module.exit()], [0, 0])


class Descriptions(ListeningTest):
    def test_a_code_object_is_described_while_its_event_is_delivered(self):
        self.setup(describe=True)
        self.listen("PY_START")
        code = self.test_a_code_object_is_described_while_its_event_is_delivered.__code__
        scope = Scope(emitter, "PY_START")
        scope.fire("PY_START", code)
        qualname = getattr(code, "co_qualname", code.co_name)
        expected = (code.co_name, qualname, code.co_filename, code.co_firstlineno)
        self.assertEqual(self.notes()[0].description, expected)
        self.assertIsNone(listener.describe(code), "it may be any address now")

    def test_other_objects_and_addresses_are_not_looked_into(self):
        self.setup(describe=True)
        self.listen("LINE")
        scope = Scope(emitter, "LINE")
        for code in (CodeLike(), None, "code"):
            scope.fire("LINE", code)
        for address in (1, 0x1000, 2**40):
            listener.fire_foreign(address)
        notes = self.notes()
        self.assertEqual([note.description for note in notes], [None] * 6)
        self.assertEqual([note.code for note in notes[3:]], [1, 0x1000, 2**40])

    def test_each_thread_describes_its_own(self):
        self.listen("PY_START")
        wrong = []

        def function_of_thread(number):
            return compile("0", f"file {number}", "eval")

        def work(number):
            code = function_of_thread(number)
            scope = Scope(emitter, "PY_START")
            for _ in range(200):
                scope.fire("PY_START", code)
            if not code.co_filename.endswith(str(number)):
                wrong.append(code)

        self.setup(describe=True)
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        notes = self.notes()
        self.assertEqual(len(notes), 800)
        self.assertEqual([note for note in notes if note.description[2] != note.code.co_filename], wrong)


class Numbers(unittest.TestCase):
    def test_numbers_are_rmons_on_every_interpreter(self):
        names = "PY_START PY_RESUME PY_RETURN PY_YIELD CALL LINE INSTRUCTION JUMP BRANCH_LEFT BRANCH_RIGHT STOP_ITERATION "
        names += "RAISE EXCEPTION_HANDLED PY_UNWIND PY_THROW RERAISE C_RETURN C_RAISE BRANCH"
        self.assertEqual(EVENTS, {name: number for number, name in enumerate(names.split())})
        for module in EMITTERS:
            self.assertEqual(module.EVENTS, EVENTS)

    def test_instrumented_events_are_the_local_ones(self):
        self.assertEqual(emitter.LOCAL, {*range(11), EVENTS["BRANCH"]})


class Linkage(unittest.TestCase):
    def symbols(self, module):
        command = ["nm", "-D", "--undefined-only", module.__file__]
        return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout

    @unittest.skipUnless(shutil.which("nm"), "nm is not there")
    def test_no_module_imports_pymonitoring_functions(self):
        import inside
        import outside
        import outside_cpp

        for module in (*EMITTERS, inside, outside, outside_cpp):
            symbols = self.symbols(module)
            self.assertNotIn("PyMonitoring_", symbols, module.__name__)
            # Nor rmon's, unless they are to be linked.
            check = self.assertIn if module.__name__ == "emitter_linked" else self.assertNotIn
            check("rmon_", symbols, module.__name__)

    @unittest.skipUnless(shutil.which("nm"), "nm is not there")
    def test_rmon_disabled_leaves_nothing(self):
        self.assertNotIn("rmon_", self.symbols(emitter_disabled))

    def test_rmon_disabled_fires_nothing(self):
        scope = emitter_disabled.scope(bytes(EVENTS[name] for name in FIRED))
        self.assertEqual(emitter_disabled.enter(scope), (0, None))
        for index, name in enumerate(FIRED):
            values = (1,) if name == "LINE" else ()
            self.assertEqual(emitter_disabled.fire(scope, index, None, -1, values), (0, None))
