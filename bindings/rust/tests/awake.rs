//! An emitter whose program has tools: librmon is part of it, and finds the slot.

use std::os::raw::c_void;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard};

use rmon::ffi::attach::{rmon_attach, rmon_detach, RMON_HOST_NONE, RMON_HOST_PYTHON};
use rmon::{Answer, EventSet, FiredEvent, Tool, ToolId};
use rmon_emitter::{
    BoxedScope, CodeLike, CodeRef, CodeSpec, Emitter, Error, Event, Failed, LineEntry, Object,
    Scope, State,
};

/// The emitters' host: see the feature `python`.
const HOST: u32 = if cfg!(feature = "python") { RMON_HOST_PYTHON } else { RMON_HOST_NONE };

/// What a tool is told of an event.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    name: &'static str,
    code: usize,
    offset: i32,
    line: i32,
    target_offset: i32,
    object: usize,
    arg0: usize,
}

/// A tool that writes down what it sees. There is one at a time.
struct Listener {
    tool: Tool,
    seen: Arc<Mutex<Vec<Seen>>>,
    _alone: MutexGuard<'static, ()>,
}

impl Listener {
    /// Of all events.
    fn new() -> Listener {
        Listener::answering(|_| Answer::Continue)
    }

    fn answering(answer: fn(&FiredEvent) -> Answer) -> Listener {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let tool = Tool::claim(ToolId::PROFILER, "test").unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        for event in rmon::Event::ALL {
            let seen = Arc::clone(&seen);
            let callback = move |fired: &FiredEvent| {
                seen.lock().unwrap().push(Seen {
                    name: rmon::Event::from_number(fired.event.into()).unwrap().name(),
                    code: fired.code as usize,
                    offset: fired.offset,
                    line: fired.line,
                    target_offset: fired.target_offset,
                    object: fired.object as usize,
                    arg0: fired.arg0 as usize,
                });
                answer(fired)
            };
            tool.on(event, callback).unwrap();
        }
        tool.set_events(EventSet::all()).unwrap();
        Listener { tool, seen, _alone: alone }
    }

    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    fn names(&self) -> Vec<&'static str> {
        self.seen().into_iter().map(|seen| seen.name).collect()
    }
}

fn code_like(name: &str) -> CodeLike {
    CodeLike::new(&CodeSpec::new(name, "test.x", 1)).unwrap()
}

/// An address, to be passed on.
fn object(address: usize) -> Object<'static> {
    // SAFETY: the tools here look at it only.
    unsafe { Object::from_ptr(address as *mut c_void) }
}

/// Fires each event by way of its own state.
fn fire_all(state: &dyn Fn(Event) -> State<'static>, code: &CodeLike) {
    let (o, a) = (object(0x10), object(0x20));
    let fire = |event| state(event);
    let results = [
        fire(Event::PyStart).py_start(code, 1),
        fire(Event::PyResume).py_resume(code, 2),
        fire(Event::PyReturn).py_return(code, 3, o),
        fire(Event::PyYield).py_yield(code, 4, o),
        fire(Event::Call).call(code, 5, o, a),
        fire(Event::Line).line(code, 6, 66),
        fire(Event::Instruction).instruction(code, 7),
        fire(Event::Jump).jump(code, 8, 88),
        fire(Event::BranchLeft).branch_left(code, 9, 99),
        fire(Event::BranchRight).branch_right(code, 10, 100),
        fire(Event::StopIteration).stop_iteration(code, 11, o),
        fire(Event::Raise).raise(code, 12, o),
        fire(Event::ExceptionHandled).exception_handled(code, 13, o),
        fire(Event::PyUnwind).py_unwind(code, 14, o),
        fire(Event::PyThrow).py_throw(code, 15, o),
        fire(Event::Reraise).reraise(code, 16, o),
        fire(Event::CReturn).c_return(code, 17, o, a),
        fire(Event::CRaise).c_raise(code, 18, o, a),
        fire(Event::Branch).branch(code, 19, 199),
    ];
    assert_eq!(results, [Ok(()); 19]);
}

/// What [`fire_all`] is to be seen as.
fn all_seen(code: &CodeLike) -> Vec<Seen> {
    Event::ALL
        .iter()
        .map(|event| {
            let offset = *event as i32 + 1;
            let (mut line, mut target_offset, mut object, mut arg0) = (-1, -1, 0, 0);
            match event {
                Event::Line => line = 66,
                Event::Jump | Event::BranchLeft | Event::BranchRight => {
                    target_offset = offset * 10 + offset
                }
                Event::Branch => target_offset = 199,
                Event::Call | Event::CReturn | Event::CRaise => (object, arg0) = (0x10, 0x20),
                Event::PyStart | Event::PyResume | Event::Instruction => {}
                _ => object = 0x10,
            }
            if *event == Event::BranchRight {
                target_offset = 100;
            }
            let (name, code) = (event.name(), code.as_ptr() as usize);
            Seen { name, code, offset, line, target_offset, object, arg0 }
        })
        .collect()
}

#[test]
fn every_event_of_an_emitter_arrives_as_it_was_fired() {
    static EMITTER: Emitter = Emitter::new();
    let (listener, code) = (Listener::new(), code_like("all"));
    EMITTER.enter();
    fire_all(&|event| EMITTER.state(event), &code);
    assert_eq!(listener.seen(), all_seen(&code));
}

#[test]
fn every_method_of_an_emitter_fires_its_own_event() {
    let (listener, code, emitter) = (Listener::new(), code_like("methods"), Emitter::new());
    let (code, o, a) = (&code, object(0x10), object(0x20));
    emitter.enter();
    let results = [
        emitter.py_start(code, 1),
        emitter.py_resume(code, 2),
        emitter.py_return(code, 3, o),
        emitter.py_yield(code, 4, o),
        emitter.call(code, 5, o, a),
        emitter.line(code, 6, 66),
        emitter.instruction(code, 7),
        emitter.jump(code, 8, 88),
        emitter.branch_left(code, 9, 99),
        emitter.branch_right(code, 10, 100),
        emitter.stop_iteration(code, 11, o),
        emitter.raise(code, 12, o),
        emitter.exception_handled(code, 13, o),
        emitter.py_unwind(code, 14, o),
        emitter.py_throw(code, 15, o),
        emitter.reraise(code, 16, o),
        emitter.c_return(code, 17, o, a),
        emitter.c_raise(code, 18, o, a),
        emitter.branch(code, 19, 199),
    ];
    assert_eq!(results, [Ok(()); 19]);
    assert_eq!(listener.seen(), all_seen(code));
}

#[test]
fn tools_learn_what_a_code_is_made_of() {
    static LINES: [LineEntry; 2] =
        [LineEntry { offset: 0, line: 7 }, LineEntry { offset: 4, line: 9 }];
    static CODE: CodeLike = CodeLike::from_static(
        CodeSpec::new("size", "shape.x", 7).qualname("Shape.size").lines(&LINES),
    );
    let listener = Listener::new();
    let emitter = Emitter::new();
    emitter.enter();
    emitter.py_start(&CODE, 0).unwrap();
    let found = rmon::describe(listener.seen()[0].code as *mut c_void).unwrap();
    assert_eq!((found.name.as_str(), found.qualname.as_str()), ("size", "Shape.size"));
    assert_eq!((found.filename.as_str(), found.first_line), ("shape.x", 7));
    let lines: Vec<_> = found.lines.iter().map(|entry| (entry.offset, entry.line)).collect();
    assert_eq!(lines, [(0, 7), (4, 9)]);
}

#[test]
fn a_code_dies_with_its_owner() {
    let (_listener, code) = (Listener::new(), code_like("short"));
    let address = code.as_ptr();
    assert_eq!(rmon::describe(address).unwrap().qualname, "short");
    drop(code);
    assert_eq!(rmon::describe(address), None);
}

#[test]
fn a_code_of_nobodys_is_an_address() {
    let (listener, emitter) = (Listener::new(), Emitter::new());
    emitter.enter();
    // SAFETY: there is no host.
    emitter.line(unsafe { CodeRef::from_ptr(0x1234 as *mut c_void) }, 0, 1).unwrap();
    assert_eq!(listener.seen()[0].code, 0x1234);
}

#[test]
fn threads_that_fire_a_code_first_make_one_of_it() {
    static EMITTER: Emitter = Emitter::new();
    let (listener, code) = (Listener::new(), code_like("shared"));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                EMITTER.enter();
                EMITTER.line(&code, 0, 1).unwrap();
            });
        }
    });
    let codes: Vec<_> = listener.seen().into_iter().map(|seen| seen.code).collect();
    assert_eq!(codes, [code.as_ptr() as usize; 8]);
}

#[test]
fn a_disabled_location_with_a_state_of_its_own_is_not_active() {
    let listener = Listener::answering(|_| Answer::Disable);
    let (code, scope) = (code_like("own"), Scope::new([Event::Line, Event::Line]));
    scope.enter();
    scope.state::<0>().line(&code, 0, 1).unwrap();
    assert!(!scope.state::<0>().is_active() && scope.state::<1>().is_active());
    scope.state::<1>().line(&code, 4, 2).unwrap();
    assert!(!scope.state::<1>().is_active());
    assert_eq!(listener.names(), ["LINE", "LINE"]);
}

#[test]
fn a_boxed_scope_has_as_many_states_as_events() {
    let (listener, code) = (Listener::new(), code_like("boxed"));
    let scope = BoxedScope::new(vec![Event::PyStart, Event::Line, Event::Line]);
    scope.enter();
    for (index, line) in [(1, 5), (2, 6)] {
        scope.get(index).unwrap().line(&code, line, line).unwrap();
    }
    assert!(scope.get(3).is_none());
    assert_eq!(listener.seen().iter().map(|seen| seen.line).collect::<Vec<_>>(), [5, 6]);
}

#[test]
fn a_scope_that_is_moved_goes_on() {
    let listener = Listener::answering(|_| Answer::Disable);
    let (code, scope) =
        (code_like("moved"), Scope::new([Event::Line, Event::PyStart, Event::Line]));
    scope.enter();
    let scope = Box::new(scope);
    scope.state::<0>().line(&code, 0, 1).unwrap();
    scope.state::<2>().line(&code, 1, 2).unwrap();
    let active = (0..4).map(|index| scope.get(index).map(State::is_active)).collect::<Vec<_>>();
    assert_eq!(active, [Some(false), Some(true), Some(false), None]);
    assert_eq!(listener.names().len(), 2);
}

#[test]
fn states_are_inactive_until_entered_and_after_the_tool() {
    let (listener, emitter) = (Listener::new(), Emitter::new());
    assert!(!emitter.state(Event::Line).is_active());
    emitter.enter();
    assert!(emitter.state(Event::Line).is_active());
    drop(listener);
    let _alone = Listener::new(); // another one, of no events
    _alone.tool.set_events(EventSet::empty()).unwrap();
    emitter.enter();
    assert!(!emitter.state(Event::Line).is_active());
}

#[test]
fn a_callback_that_fails_ends_the_fire() {
    let _listener = Listener::answering(|_| Answer::Fail);
    let (emitter, code) = (Emitter::new(), code_like("failing"));
    emitter.enter();
    let failed = emitter.line(&code, 0, 1).unwrap_err();
    assert_eq!((failed.status(), failed.error()), (-1, Some(Error::Callback)));
    assert_eq!(failed.to_string(), "a callback failed");
}

#[test]
fn a_negative_offset_and_a_disabled_exception_are_errors() {
    let _listener = Listener::answering(|_| Answer::Disable);
    let (emitter, code) = (Emitter::new(), code_like("wrong"));
    emitter.enter();
    let error = |result: Result<(), Failed>| result.unwrap_err().error();
    assert_eq!(error(emitter.py_start(&code, -1)), Some(Error::InvalidOffset));
    assert_eq!(error(emitter.raise(&code, 0, Object::NONE)), Some(Error::CannotDisable));
}

#[test]
fn codes_that_rmon_would_refuse_are_not_made() {
    let entry = |offset| LineEntry { offset, line: 1 };
    let spec = CodeSpec::new("f", "f.x", 1);
    let refused = |spec: &CodeSpec<'_>| CodeLike::new(spec).unwrap_err();
    for bad in [
        CodeSpec { name: "a\0", ..spec },
        CodeSpec { filename: "\0", ..spec },
        spec.qualname("a.\0"),
        spec.lines(&[entry(-1)]),
        spec.lines(&[entry(2), entry(2)]),
        spec.lines(&[entry(2), entry(1)]),
    ] {
        assert_eq!(refused(&bad), Error::InvalidArgument, "{bad:?}");
    }
    assert!(CodeLike::new(&spec.lines(&[entry(0), entry(i32::MAX)])).is_ok());
}

#[test]
fn a_frame_starts_and_returns() {
    let (listener, emitter, code) = (Listener::new(), Emitter::new(), code_like("frame"));
    {
        let mut frame = emitter.frame(&code, 0).unwrap();
        frame.line(6, 2).unwrap();
    }
    let seen = listener.seen();
    let places: Vec<_> = seen.iter().map(|seen| (seen.name, seen.offset)).collect();
    assert_eq!(places, [("PY_START", 0), ("LINE", 6), ("PY_RETURN", 6)]);
}

#[test]
fn a_frame_ends_once() {
    let (listener, emitter, code) = (Listener::new(), Emitter::new(), code_like("once"));
    emitter.frame(&code, 0).unwrap().py_return(8, object(0x30)).unwrap();
    emitter.frame(&code, 0).unwrap().py_unwind(9, object(0x40)).unwrap();
    let ends: Vec<_> = listener.seen().iter().map(|seen| (seen.name, seen.object)).collect();
    assert_eq!(ends, [("PY_START", 0), ("PY_RETURN", 0x30), ("PY_START", 0), ("PY_UNWIND", 0x40)]);
}

#[test]
fn a_panic_unwinds_the_frames_that_it_leaves() {
    /// Is dropped in a panic, and calls something meanwhile.
    struct CleanUp<'a>(&'a Emitter, &'a CodeLike);
    impl Drop for CleanUp<'_> {
        fn drop(&mut self) {
            drop(self.0.frame(self.1, 1));
        }
    }
    let (listener, emitter) = (Listener::new(), Emitter::new());
    let (code, called) = (code_like("panics"), code_like("cleans up"));
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _frame = emitter.frame(&code, 0).unwrap();
        let _clean_up = CleanUp(&emitter, &called);
        std::panic::resume_unwind(Box::new(())); // a panic without a message
    }));
    assert!(result.is_err());
    assert_eq!(listener.names(), ["PY_START", "PY_START", "PY_RETURN", "PY_UNWIND"]);
}

#[test]
fn a_frame_whose_start_fails_has_not_begun() {
    let listener = Listener::answering(|_| Answer::Fail);
    let (emitter, code) = (Emitter::new(), code_like("refused"));
    assert!(emitter.frame(&code, 0).is_err());
    assert_eq!(listener.names(), ["PY_START"]);
}

#[test]
fn a_detached_emitter_sleeps_until_it_is_attached() {
    let (listener, emitter, code) = (Listener::new(), Emitter::new(), code_like("sleeper"));
    emitter.enter();
    let address = code.as_ptr();
    assert_eq!(rmon_detach(HOST), 0);
    emitter.line(&code, 0, 1).unwrap(); // entered when it was awake
    emitter.enter();
    let active = emitter.state(Event::Line).is_active();
    drop(code);
    let known = rmon::describe(address).is_some();
    assert_eq!(rmon_attach(HOST), 0);
    assert!(!active, "its states are inactive once it has been entered");
    assert!(!known, "what was made is released all the same");
    assert_eq!(listener.names(), [""; 0]);

    emitter.enter();
    emitter.line(&code_like("awake"), 0, 1).unwrap();
    assert_eq!(listener.names(), ["LINE"]);
}

#[test]
fn threads_fire_while_they_are_put_to_sleep_and_woken() {
    static EMITTER: Emitter = Emitter::new();
    static SCOPE: Scope<3> = Scope::new([Event::Line, Event::Jump, Event::Line]);
    let (listener, code) = (Listener::new(), code_like("storm"));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    let own = code_like("own"); // made awake, dropped asleep, and the other way round
                    EMITTER.enter();
                    EMITTER.line(&code, 0, 1).unwrap();
                    EMITTER.py_start(&own, 0).unwrap();
                    SCOPE.enter();
                    SCOPE.state::<2>().line(&own, 1, 2).unwrap();
                }
            });
        }
        for _ in 0..500 {
            assert_eq!(rmon_detach(HOST), 0);
            listener.seen();
            assert_eq!(rmon_attach(HOST), 0);
        }
        over.store(true, Relaxed);
    });
    listener.seen();
    EMITTER.enter();
    SCOPE.enter();
    EMITTER.line(&code, 0, 7).unwrap();
    SCOPE.state::<1>().jump(&code, 0, 8).unwrap();
    assert_eq!(listener.names(), ["LINE", "JUMP"]);
}
