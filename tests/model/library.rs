//! Runs a case through the library, by its C ABI.

use core::cell::{Cell, RefCell};
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::{null, null_mut, without_provenance_mut};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::thread;

use super::abi::{self, CodeInfo, Event, State};
use super::op::{
    Behaviour, Case, Code, FOREIGN_CODES, Fault, Fire, MADE_CODES, Names, Op, Seen, Told,
    UNTOUCHED, VERSIONS, ending, event,
};

/// The codes that rmon did not make.
static FOREIGN: [u64; FOREIGN_CODES] = [0; FOREIGN_CODES];
/// The address of one of them.
pub fn foreign(number: u8) -> usize {
    (&raw const FOREIGN[usize::from(number) % FOREIGN_CODES]).addr()
}

/// Calls of the destroy function that goes with a NULL callback, and is to be ignored.
static IGNORED: AtomicUsize = AtomicUsize::new(0);

/// A case stops here if it is going round in circles.
const TOO_MUCH: usize = 20_000;

/// What an emitter and its tools have, apart from rmon.
struct World {
    arrays: Vec<Array>,
    seen: RefCell<Vec<Seen>>,
    registrations: RefCell<Vec<Rc<Registration>>>,
    made: [Cell<usize>; MADE_CODES],
    /// References to codes that rmon made.
    references: RefCell<BTreeMap<usize, usize>>,
    codes: Cell<i32>,
    ending: Cell<bool>,
}

struct Array {
    types: Vec<u8>,
    states: Vec<Cell<State>>,
    versions: [Cell<u64>; VERSIONS],
}

/// A callback's user data.
struct Registration {
    world: *const World,
    number: usize,
    behaviour: Behaviour,
    destroyed: Cell<usize>,
}

unsafe extern "C" fn callback(user_data: *mut c_void, event: *const Event) -> c_int {
    // SAFETY: `user_data` is what was registered, which lives as long as its world, and the event is
    // valid during the call.
    let (registration, event) = unsafe { (&*user_data.cast::<Registration>(), &*event) };
    // SAFETY: the world outlives all that is registered in it.
    let world = unsafe { &*registration.world };
    world.sees(Seen::Call(
        registration.number,
        Told {
            struct_size: event.struct_size,
            event: event.event,
            tool: event.tool_id,
            offset: event.offset,
            line: event.line,
            target_offset: event.target_offset,
            code: event.code.addr(),
            object: event.object.addr(),
            arg0: event.arg0.addr(),
        },
    ));
    world.run_all(&registration.behaviour.inside);
    registration.behaviour.answer
}

unsafe extern "C" fn destroy(user_data: *mut c_void) {
    // SAFETY: as in `callback`.
    let registration = unsafe { &*user_data.cast::<Registration>() };
    // SAFETY: as in `callback`.
    let world = unsafe { &*registration.world };
    world.sees(Seen::Destroyed(registration.number));
    registration.destroyed.set(registration.destroyed.get() + 1);
    world.run_all(registration.behaviour.destroy.as_deref().unwrap_or(&[]));
}

unsafe extern "C" fn ignored(_: *mut c_void) {
    IGNORED.fetch_add(1, Relaxed);
}

/// Runs a case and returns its trace. The library is then as it was, but for versions.
///
/// # Panics
/// If a destroy function was not called exactly once.
pub fn run(case: &Case) -> Vec<Seen> {
    let world = World {
        arrays: case.arrays.iter().map(|types| Array::new(types)).collect(),
        seen: RefCell::default(),
        registrations: RefCell::default(),
        made: Default::default(),
        references: RefCell::default(),
        codes: Cell::new(0),
        ending: Cell::new(false),
    };
    // To the library a case's first thread, too, is one that it never saw; and the end of each is part
    // of what is tested.
    for ops in case.ops.split(|op| matches!(op, Op::NewThread)) {
        on_a_new_thread(&world, |world| world.run_all(ops));
    }
    world.ending.set(true);
    ending().for_each(|op| world.run(&op));
    for array in &world.arrays {
        world.sees_array(array);
    }
    for (code, references) in world.references.take() {
        for _ in 0..references {
            // SAFETY: any address may be released.
            unsafe { abi::rmon_code_release(pointer(code)) };
        }
    }
    for registration in world.registrations.take() {
        let expected = usize::from(registration.behaviour.destroy.is_some());
        let number = registration.number;
        assert_eq!(registration.destroyed.get(), expected, "destructions of registration {number}");
    }
    assert_eq!(IGNORED.load(Relaxed), 0, "a destroy function beside a NULL callback was called");
    world.seen.take()
}

/// Does something with a world on another thread, and waits for it.
fn on_a_new_thread(world: &World, body: impl FnOnce(&World) + Send) {
    struct Lent<'a>(&'a World);
    // SAFETY: the thread that lends it waits until the other is over.
    unsafe impl Send for Lent<'_> {}
    let lent = Lent(world);
    let run = move || {
        let lent: Lent<'_> = lent; // all of it, not the reference inside
        body(lent.0);
    };
    let ended = thread::scope(|scope| scope.spawn(run).join());
    if let Err(panic) = ended {
        resume_unwind(panic);
    }
}

/// Identities go to and fro as numbers; nobody follows them.
fn pointer(address: usize) -> *mut c_void {
    without_provenance_mut(address)
}

impl Array {
    fn new(types: &[u8]) -> Array {
        Array {
            types: types.to_vec(),
            states: types.iter().map(|_| Cell::default()).collect(),
            versions: Default::default(),
        }
    }
}

impl World {
    fn sees(&self, seen: Seen) {
        self.seen.borrow_mut().push(seen);
    }

    fn sees_array(&self, array: &Array) {
        let active = array.states.iter().map(|state| state.get().active).collect();
        let versions = array.versions.each_ref().map(Cell::get);
        self.sees(Seen::Array { active, versions });
    }

    fn array(&self, number: u8) -> &Array {
        &self.arrays[usize::from(number) % self.arrays.len()]
    }

    fn code(&self, code: Code) -> *mut c_void {
        pointer(match code {
            Code::Null => 0,
            Code::Foreign(number) => foreign(number),
            Code::Made(place) => self.made[usize::from(place) % MADE_CODES].get(),
        })
    }

    fn run_all(&self, ops: &[Op]) {
        if !self.ending.get() {
            ops.iter().for_each(|op| self.run(op));
        }
    }

    fn run(&self, op: &Op) {
        if self.seen.borrow().len() > TOO_MUCH {
            return;
        }
        // SAFETY: pointers are valid or NULL, identities any address; what is registered lives as long
        // as the world.
        unsafe {
            match *op {
                Op::UseTool { tool, name } => {
                    let name = name.map_or(null(), CStr::as_ptr);
                    self.sees(Seen::Status(abi::rmon_use_tool_id(tool, name)));
                }
                Op::FreeTool { tool } => self.sees(Seen::Status(abi::rmon_free_tool_id(tool))),
                Op::ClearTool { tool } => self.sees(Seen::Status(abi::rmon_clear_tool_id(tool))),
                Op::GetTool { tool, buffer, capacity } => {
                    let mut text = vec![UNTOUCHED as u8; capacity + 1];
                    let name = if buffer { text.as_mut_ptr().cast() } else { null_mut() };
                    let length = abi::rmon_get_tool(tool, name, capacity);
                    self.sees(Seen::Name(length, text));
                }
                Op::SetEvents { tool, set } => {
                    self.sees(Seen::Status(abi::rmon_set_events(tool, set)));
                }
                Op::GetEvents { tool } => {
                    let mut set = UNTOUCHED;
                    let status = abi::rmon_get_events(tool, &mut set);
                    self.sees(Seen::Set(status, set));
                }
                Op::SetLocalEvents { tool, code, set } => {
                    let status = abi::rmon_set_local_events(tool, self.code(code), set);
                    self.sees(Seen::Status(status));
                }
                Op::GetLocalEvents { tool, code } => {
                    let mut set = UNTOUCHED;
                    let status = abi::rmon_get_local_events(tool, self.code(code), &mut set);
                    self.sees(Seen::Set(status, set));
                }
                Op::Register { tool, event, ref behaviour } => {
                    self.register(tool, event, behaviour)
                }
                Op::Unregister { tool, event } => {
                    let status =
                        abi::rmon_register_callback(tool, event, None, null_mut(), Some(ignored));
                    self.sees(Seen::Status(status));
                }
                Op::GetCallback { tool, event } => {
                    let (mut found, mut data) = (None, null_mut::<c_void>());
                    let status = abi::rmon_get_callback(tool, event, &mut found, &mut data);
                    assert_eq!(found.is_none(), data.is_null());
                    let number = data.cast::<Registration>().as_ref().map_or(0, |r| r.number + 1);
                    self.sees(Seen::Callback(status, number));
                }
                Op::Restart => self.sees(Seen::Status(abi::rmon_restart_events())),
                Op::Synchronize => self.sees(Seen::Status(abi::rmon_synchronize())),
                Op::Enter { array, version, fault } => self.enter(array, version, fault),
                Op::Exit => self.sees(Seen::Status(abi::rmon_exit_scope())),
                Op::NewThread => {} // see `run`
                Op::Fire(ref fire) => self.fire(fire),
                Op::MakeCode { place } => self.make_code(place),
                Op::RetainCode { code } => {
                    let code = self.code(code);
                    abi::rmon_code_retain(code);
                    self.references.borrow_mut().entry(code.addr()).and_modify(|n| *n += 1);
                }
                Op::ReleaseCode { code } => {
                    let code = self.code(code);
                    let mut references = self.references.borrow_mut();
                    if let Some(count) = references.get_mut(&code.addr()) {
                        *count -= 1;
                        if *count == 0 {
                            references.remove(&code.addr());
                        }
                    }
                    drop(references); // destroy functions may run now
                    abi::rmon_code_release(code);
                }
                Op::DescribeCode { code } => self.describe(code),
                Op::ForgetCode { code } => {
                    self.sees(Seen::Status(abi::rmon_code_forget(self.code(code))));
                }
            }
        }
    }

    fn register(&self, tool: i32, event: i32, behaviour: &Behaviour) {
        let number = self.registrations.borrow().len();
        let registration = Rc::new(Registration {
            world: self,
            number,
            behaviour: behaviour.clone(),
            destroyed: Cell::new(0),
        });
        let data = Rc::as_ptr(&registration).cast_mut().cast();
        self.registrations.borrow_mut().push(registration);
        let destroy: Option<abi::Destroy> =
            behaviour.destroy.is_some().then_some(destroy as abi::Destroy);
        // SAFETY: the registration lives as long as the world, which is emptied of callbacks in `run`.
        let status =
            unsafe { abi::rmon_register_callback(tool, event, Some(callback), data, destroy) };
        self.sees(Seen::Status(status));
    }

    fn enter(&self, array: u8, version: u8, fault: Option<Fault>) {
        let array = self.array(array);
        let mut states = array.states.as_ptr().cast_mut().cast::<State>();
        let mut version = array.versions[usize::from(version) % VERSIONS].as_ptr();
        let mut types = array.types.as_ptr();
        let mut length = array.types.len() as isize;
        match fault {
            Some(Fault::NullStates) => states = null_mut(),
            Some(Fault::NullVersion) => version = null_mut(),
            Some(Fault::NullTypes) => types = null(),
            Some(Fault::NegativeLength) => length = isize::MIN,
            None => {}
        }
        // SAFETY: the array has as many states as types; cells may be written to.
        let status = unsafe { abi::rmon_enter_scope(states, version, types, length) };
        self.sees(Seen::Status(status));
        self.sees_array(array);
    }

    fn fire(&self, fire: &Fire) {
        let array = self.array(fire.array);
        let index = fire.state.filter(|_| !array.states.is_empty());
        let index = index.map(|index| usize::from(index) % array.states.len());
        let state = match index {
            // A pointer into the array, not to one state: the library finds the others from it.
            Some(index) => array.states.as_ptr().cast_mut().cast::<State>().wrapping_add(index),
            None => null_mut(),
        };
        let own = index.map_or(event::LINE, |index| array.types[index]);
        let status = fires(fire.event.unwrap_or(own), fire, state, self.code(fire.code));
        self.sees(Seen::Status(status));
        self.sees_array(array);
    }

    fn make_code(&self, place: u8) {
        self.codes.set(self.codes.get() + 1);
        let name = CString::new(format!("code {}", self.codes.get())).unwrap_or_default();
        let info = CodeInfo {
            struct_size: size_of::<CodeInfo>() as u32,
            first_line: self.codes.get(),
            name: name.as_ptr(),
            qualname: null(),
            filename: c"model.rs".as_ptr(),
            lines: null(),
            line_count: 0,
        };
        // SAFETY: `info` and its strings are valid.
        let code = unsafe { abi::rmon_code_new(&info) }.addr();
        self.made[usize::from(place) % MADE_CODES].set(code);
        self.references.borrow_mut().insert(code, 1);
        self.sees(Seen::Made(code));
    }

    fn describe(&self, code: Code) {
        let mut info = CodeInfo {
            struct_size: size_of::<CodeInfo>() as u32,
            first_line: 0,
            name: null(),
            qualname: null(),
            filename: null(),
            lines: null(),
            line_count: 0,
        };
        // SAFETY: `info` is valid for writes.
        let status = unsafe { abi::rmon_code_describe(self.code(code), &mut info) };
        let text = |text: *const c_char| {
            // SAFETY: not NULL, so the string of a code that lives.
            (!text.is_null())
                .then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
        };
        let name = text(info.name).map(|name| (info.first_line, name));
        self.sees(Seen::Described(status, name));
    }
}

/// Calls the function of an event with those of the arguments that it has.
fn fires(event: u8, fire: &Fire, state: *mut State, code: *mut c_void) -> c_int {
    let (offset, number) = (fire.offset, fire.number);
    let (object, arg0) = (pointer(fire.object), pointer(fire.arg0));
    // SAFETY: `state` is NULL or lies in an array that was entered or is zero; the other pointers are
    // identities.
    unsafe {
        if fire.names == Names::PyMonitoring && event != event::INSTRUCTION {
            return match event {
                event::PY_START => abi::PyMonitoring_FirePyStartEvent(state, code, offset),
                event::PY_RESUME => abi::PyMonitoring_FirePyResumeEvent(state, code, offset),
                event::PY_RETURN => {
                    abi::PyMonitoring_FirePyReturnEvent(state, code, offset, object)
                }
                event::PY_YIELD => abi::PyMonitoring_FirePyYieldEvent(state, code, offset, object),
                event::CALL => abi::PyMonitoring_FireCallEvent(state, code, offset, object, arg0),
                event::LINE => abi::PyMonitoring_FireLineEvent(state, code, offset, number),
                event::JUMP => abi::PyMonitoring_FireJumpEvent(state, code, offset, object),
                event::BRANCH_LEFT => {
                    abi::PyMonitoring_FireBranchLeftEvent(state, code, offset, object)
                }
                event::BRANCH_RIGHT => {
                    abi::PyMonitoring_FireBranchRightEvent(state, code, offset, object)
                }
                event::BRANCH => abi::PyMonitoring_FireBranchEvent(state, code, offset, object),
                event::STOP_ITERATION => {
                    abi::PyMonitoring_FireStopIterationEvent(state, code, offset, object)
                }
                event::RAISE => abi::PyMonitoring_FireRaiseEvent(state, code, offset),
                event::EXCEPTION_HANDLED => {
                    abi::PyMonitoring_FireExceptionHandledEvent(state, code, offset)
                }
                event::PY_UNWIND => abi::PyMonitoring_FirePyUnwindEvent(state, code, offset),
                event::PY_THROW => abi::PyMonitoring_FirePyThrowEvent(state, code, offset),
                event::RERAISE => abi::PyMonitoring_FireReraiseEvent(state, code, offset),
                event::C_RETURN => abi::PyMonitoring_FireCReturnEvent(state, code, offset, object),
                event::C_RAISE => abi::PyMonitoring_FireCRaiseEvent(state, code, offset),
                _ => 0,
            };
        }
        match event {
            event::PY_START => abi::rmon_fire_py_start(state, code, offset),
            event::PY_RESUME => abi::rmon_fire_py_resume(state, code, offset),
            event::PY_RETURN => abi::rmon_fire_py_return(state, code, offset, object),
            event::PY_YIELD => abi::rmon_fire_py_yield(state, code, offset, object),
            event::CALL => abi::rmon_fire_call(state, code, offset, object, arg0),
            event::LINE => abi::rmon_fire_line(state, code, offset, number),
            event::INSTRUCTION => abi::rmon_fire_instruction(state, code, offset),
            event::JUMP => abi::rmon_fire_jump(state, code, offset, number),
            event::BRANCH_LEFT => abi::rmon_fire_branch_left(state, code, offset, number),
            event::BRANCH_RIGHT => abi::rmon_fire_branch_right(state, code, offset, number),
            event::BRANCH => abi::rmon_fire_branch(state, code, offset, number),
            event::STOP_ITERATION => abi::rmon_fire_stop_iteration(state, code, offset, object),
            event::RAISE => abi::rmon_fire_raise(state, code, offset, object),
            event::EXCEPTION_HANDLED => {
                abi::rmon_fire_exception_handled(state, code, offset, object)
            }
            event::PY_UNWIND => abi::rmon_fire_py_unwind(state, code, offset, object),
            event::PY_THROW => abi::rmon_fire_py_throw(state, code, offset, object),
            event::RERAISE => abi::rmon_fire_reraise(state, code, offset, object),
            event::C_RETURN => abi::rmon_fire_c_return(state, code, offset, object, arg0),
            event::C_RAISE => abi::rmon_fire_c_raise(state, code, offset, object, arg0),
            _ => 0,
        }
    }
}
