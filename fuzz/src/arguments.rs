//! Bytes as calls with hostile arguments: NULL, numbers out of range, sets with any bits, structs of any
//! size, strings that are not UTF-8, tables out of order, pointers at odd addresses, a host whose hooks
//! answer anything. What each call must return, and may write, is worked out anew from rmon.h. Memory that
//! the library is given ends where the contract says, so that AddressSanitizer sees a byte read too many.

use core::cell::RefCell;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::{null, null_mut, without_provenance_mut};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::alloc::{Layout, alloc, dealloc};
use std::collections::BTreeMap;

use super::abi::{self, CodeInfo, Event, State};
use super::bytes::Bytes;
use super::op::event::{
    ALL, ANCILLARY, BRANCH, BRANCH_LEFT, BRANCH_RIGHT, C_RAISE, C_RETURN, CALL, COUNT, JUMP, LOCAL,
    set,
};
use super::op::status::{
    self, CANNOT_DISABLE, IN_CALLBACK, INVALID_ARGUMENT, INVALID_EVENT, INVALID_EVENT_SET,
    INVALID_NAME, INVALID_OFFSET, INVALID_TOOL, NOT_INDEPENDENT, OK, TOOL_IN_USE, TOOL_NOT_IN_USE,
    UNKNOWN_CODE,
};

const NO_EXCEPTION: c_int = -13;
/// What memory holds that the library must leave alone.
const FILL: u8 = 0xa5;
/// What a struct's first version has.
const INFO_SIZE: usize = size_of::<CodeInfo>();
/// The calls of a list.
const LONGEST: usize = 64;

/// `rmon_host`.
#[repr(C)]
struct Host {
    struct_size: u32,
    user_data: *mut c_void,
    current_exception: Option<unsafe extern "C" fn(*mut c_void) -> *mut c_void>,
    describe: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, c_int, *mut CodeInfo) -> c_int>,
}

/// `rmon_line_entry`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    offset: i32,
    line: i32,
}

type Code = *mut c_void;
type Object = *mut c_void;
type Plain = unsafe extern "C" fn(*mut State, Code, i32) -> c_int;
type One = unsafe extern "C" fn(*mut State, Code, i32, Object) -> c_int;
type Two = unsafe extern "C" fn(*mut State, Code, i32, Object, Object) -> c_int;
type Number = unsafe extern "C" fn(*mut State, Code, i32, i32) -> c_int;

unsafe extern "C" {
    fn rmon_version_number() -> u32;
    fn rmon_abi_version() -> u32;
    fn rmon_version() -> *const c_char;
    fn rmon_event_name(event: c_int) -> *const c_char;
    fn rmon_status_message(status: c_int) -> *const c_char;
    fn rmon_attach_slot(slot: *mut c_void) -> c_int;
    fn rmon_attach(host: u32) -> c_int;
    fn rmon_detach(host: u32) -> c_int;
    fn rmon_set_host(host: *const Host) -> c_int;
    fn rmon_host_note() -> *mut *mut c_void;
    fn rmon_enter_scope_slow(s: *mut State, v: *mut u64, types: *const u8, n: isize) -> c_int;
    fn rmon_fire_py_start_slow(s: *mut State, c: Code, offset: i32) -> c_int;
    fn rmon_fire_py_resume_slow(s: *mut State, c: Code, offset: i32) -> c_int;
    fn rmon_fire_instruction_slow(s: *mut State, c: Code, offset: i32) -> c_int;
    fn rmon_fire_py_return_slow(s: *mut State, c: Code, offset: i32, o: Object) -> c_int;
    fn rmon_fire_py_yield_slow(s: *mut State, c: Code, offset: i32, o: Object) -> c_int;
    fn rmon_fire_stop_iteration_slow(s: *mut State, c: Code, offset: i32, o: Object) -> c_int;
    fn rmon_fire_py_throw_slow(s: *mut State, c: Code, offset: i32, o: Object) -> c_int;
    fn rmon_fire_raise_slow(s: *mut State, c: Code, offset: i32, o: Object) -> c_int;
    fn rmon_fire_reraise_slow(s: *mut State, c: Code, offset: i32, o: Object) -> c_int;
    fn rmon_fire_exception_handled_slow(s: *mut State, c: Code, offset: i32, o: Object) -> c_int;
    fn rmon_fire_py_unwind_slow(s: *mut State, c: Code, offset: i32, o: Object) -> c_int;
    fn rmon_fire_call_slow(s: *mut State, c: Code, offset: i32, o: Object, a: Object) -> c_int;
    fn rmon_fire_c_return_slow(s: *mut State, c: Code, offset: i32, o: Object, a: Object) -> c_int;
    fn rmon_fire_c_raise_slow(s: *mut State, c: Code, offset: i32, o: Object, a: Object) -> c_int;
    fn rmon_fire_line_slow(s: *mut State, c: Code, offset: i32, n: i32) -> c_int;
    fn rmon_fire_jump_slow(s: *mut State, c: Code, offset: i32, n: i32) -> c_int;
    fn rmon_fire_branch_left_slow(s: *mut State, c: Code, offset: i32, n: i32) -> c_int;
    fn rmon_fire_branch_right_slow(s: *mut State, c: Code, offset: i32, n: i32) -> c_int;
    fn rmon_fire_branch_slow(s: *mut State, c: Code, offset: i32, n: i32) -> c_int;
    fn rmon_fire_current_exception_slow(s: *mut State, c: Code, offset: i32, e: c_int) -> c_int;
    fn rmon_fire_last_call_slow(s: *mut State, c: Code, offset: i32, e: c_int) -> c_int;
    fn rmon_fire_target_object_slow(
        s: *mut State,
        c: Code,
        offset: i32,
        e: c_int,
        o: Object,
    ) -> c_int;
}

/// The fires, in the order of their events; those behind the inline check apart.
const PLAIN: [(u8, Plain, Plain); 3] = [
    (0, abi::rmon_fire_py_start, rmon_fire_py_start_slow),
    (1, abi::rmon_fire_py_resume, rmon_fire_py_resume_slow),
    (6, abi::rmon_fire_instruction, rmon_fire_instruction_slow),
];
const ONE: [(u8, One, One); 8] = [
    (2, abi::rmon_fire_py_return, rmon_fire_py_return_slow),
    (3, abi::rmon_fire_py_yield, rmon_fire_py_yield_slow),
    (10, abi::rmon_fire_stop_iteration, rmon_fire_stop_iteration_slow),
    (11, abi::rmon_fire_raise, rmon_fire_raise_slow),
    (12, abi::rmon_fire_exception_handled, rmon_fire_exception_handled_slow),
    (13, abi::rmon_fire_py_unwind, rmon_fire_py_unwind_slow),
    (14, abi::rmon_fire_py_throw, rmon_fire_py_throw_slow),
    (15, abi::rmon_fire_reraise, rmon_fire_reraise_slow),
];
const TWO: [(u8, Two, Two); 3] = [
    (CALL, abi::rmon_fire_call, rmon_fire_call_slow),
    (C_RETURN, abi::rmon_fire_c_return, rmon_fire_c_return_slow),
    (C_RAISE, abi::rmon_fire_c_raise, rmon_fire_c_raise_slow),
];
const NUMBER: [(u8, Number, Number); 5] = [
    (5, abi::rmon_fire_line, rmon_fire_line_slow),
    (JUMP, abi::rmon_fire_jump, rmon_fire_jump_slow),
    (BRANCH_LEFT, abi::rmon_fire_branch_left, rmon_fire_branch_left_slow),
    (BRANCH_RIGHT, abi::rmon_fire_branch_right, rmon_fire_branch_right_slow),
    (BRANCH, abi::rmon_fire_branch, rmon_fire_branch_slow),
];
/// CPython's names, that take no object, and that take one.
const PY_PLAIN: [(u8, Plain); 8] = [
    (0, abi::PyMonitoring_FirePyStartEvent),
    (1, abi::PyMonitoring_FirePyResumeEvent),
    (11, abi::PyMonitoring_FireRaiseEvent),
    (12, abi::PyMonitoring_FireExceptionHandledEvent),
    (13, abi::PyMonitoring_FirePyUnwindEvent),
    (14, abi::PyMonitoring_FirePyThrowEvent),
    (15, abi::PyMonitoring_FireReraiseEvent),
    (C_RAISE, abi::PyMonitoring_FireCRaiseEvent),
];
const PY_ONE: [(u8, One); 8] = [
    (2, abi::PyMonitoring_FirePyReturnEvent),
    (3, abi::PyMonitoring_FirePyYieldEvent),
    (10, abi::PyMonitoring_FireStopIterationEvent),
    (JUMP, abi::PyMonitoring_FireJumpEvent),
    (BRANCH_LEFT, abi::PyMonitoring_FireBranchLeftEvent),
    (BRANCH_RIGHT, abi::PyMonitoring_FireBranchRightEvent),
    (BRANCH, abi::PyMonitoring_FireBranchEvent),
    (C_RETURN, abi::PyMonitoring_FireCReturnEvent),
];

/// Memory of exactly so many bytes, aligned as structs are.
struct Block {
    start: *mut u8,
    size: usize,
}

impl Block {
    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size.max(1), 8).expect("small")
    }

    fn new(size: usize) -> Block {
        // SAFETY: the layout has a size.
        let start = unsafe { alloc(Block::layout(size)) };
        assert!(!start.is_null());
        let block = Block { start, size };
        // SAFETY: so much was allocated.
        unsafe { start.write_bytes(FILL, size) };
        block
    }

    /// As much of `value` as there is room for.
    fn of<T>(size: usize, value: &T) -> Block {
        let block = Block::new(size);
        let length = size.min(size_of::<T>());
        // SAFETY: both are that long, and `T` has no secrets that bytes could not hold.
        unsafe { block.start.copy_from_nonoverlapping((&raw const *value).cast::<u8>(), length) };
        block
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: filled when it was made.
        unsafe { core::slice::from_raw_parts(self.start, self.size) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.start, Block::layout(self.size)) };
    }
}

/// A string whose NUL is the last byte of its memory, at any address; or NULL.
struct Text {
    block: Block,
    at: usize,
    null: bool,
}

impl Text {
    fn decode(bytes: &mut Bytes<'_>) -> Text {
        let how = bytes.byte();
        let at = usize::from(how & 3);
        let text: &[u8] = match how >> 2 {
            0 | 1 => b"",
            2..32 => b"name",
            32..36 => b"\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\xa7",
            length => bytes.take(usize::from(length) - 36),
        };
        let text: Vec<u8> = text.iter().copied().filter(|byte| *byte != 0).collect();
        let block = Block::new(at + text.len() + 1);
        // SAFETY: there is room for both.
        unsafe {
            block.start.add(at).copy_from_nonoverlapping(text.as_ptr(), text.len());
            block.start.add(at + text.len()).write(0);
        }
        Text { block, at, null: how >> 2 == 0 }
    }

    fn pointer(&self) -> *const c_char {
        if self.null { null() } else { self.block.start.wrapping_add(self.at).cast() }
    }

    fn bytes(&self) -> Option<&[u8]> {
        let bytes = self.block.bytes();
        (!self.null).then(|| &bytes[self.at..bytes.len() - 1])
    }

    fn is_utf8(&self) -> bool {
        self.bytes().is_some_and(|bytes| core::str::from_utf8(bytes).is_ok())
    }
}

/// What a code is described by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Description {
    first_line: i32,
    name: Vec<u8>,
    qualname: Vec<u8>,
    filename: Vec<u8>,
    lines: Vec<Line>,
}

/// An array of states at any address; the library's memory ends with it.
struct Array {
    states: Block,
    at: usize,
    version: Box<u64>,
    types: Block,
}

impl Array {
    fn state(&self, index: usize) -> *mut State {
        self.states.start.wrapping_add(self.at + 2 * index).cast()
    }

    fn len(&self) -> usize {
        self.types.size
    }
}

/// What the hooks of the host answer.
#[derive(Clone, Copy, Default)]
struct Hooks {
    exception: usize,
    status: c_int,
    /// Which of the fields the hook fills in; bit 6: it removes the host, bit 7: it asks for itself.
    fills: u8,
    line_count: usize,
}

thread_local! {
    static HOOKS: RefCell<Hooks> = RefCell::default();
}

static DESTROYED: AtomicUsize = AtomicUsize::new(0);
static LINES: [Line; 2] = [Line { offset: 0, line: 1 }, Line { offset: 4, line: 2 }];

unsafe extern "C" fn callback(user_data: *mut c_void, event: *const Event) -> c_int {
    // SAFETY: valid during the call.
    let event = unsafe { &*event };
    assert!(event.event < COUNT && event.tool_id < 6 && event.offset >= 0);
    // SAFETY: no pointer is given.
    assert_eq!(unsafe { abi::rmon_synchronize() }, IN_CALLBACK);
    user_data.addr() as c_int
}

unsafe extern "C" fn destroy(_: *mut c_void) {
    DESTROYED.fetch_add(1, Relaxed);
}

unsafe extern "C" fn current_exception(_: *mut c_void) -> *mut c_void {
    without_provenance_mut(HOOKS.with_borrow(|hooks| hooks.exception))
}

unsafe extern "C" fn describe(_: *mut c_void, _: Code, _: c_int, info: *mut CodeInfo) -> c_int {
    let hooks = HOOKS.with_borrow(|hooks| *hooks);
    // SAFETY: the library gives a whole one, of the size that it says.
    let info = unsafe { &mut *info };
    assert_eq!(info.struct_size as usize, INFO_SIZE);
    let text = |bit: u8, text: &'static CStr| {
        if hooks.fills & bit == 0 { null() } else { text.as_ptr() }
    };
    info.first_line = 7;
    info.name = text(1, c"hook");
    info.qualname = text(2, c"hook.qualified");
    info.filename = text(4, c"hook.x");
    info.lines = if hooks.fills & 8 == 0 { null() } else { LINES.as_ptr().cast() };
    info.line_count = hooks.line_count;
    if hooks.fills & 16 != 0 {
        info.struct_size = u32::MAX;
    }
    if hooks.fills & 64 != 0 {
        // SAFETY: NULL is allowed.
        unsafe { rmon_set_host(null()) };
    }
    hooks.status
}

struct World {
    names: [Option<Vec<u8>>; 6],
    on: BTreeMap<(usize, Option<usize>), u32>,
    callbacks: BTreeMap<(usize, u8), (usize, bool)>,
    codes: Vec<(usize, usize, Description)>,
    arrays: Vec<Array>,
    /// Whether there is a host that tells the exception, and one that describes.
    host: Option<(bool, bool)>,
    /// Destroy functions that were handed over.
    owed: usize,
}

/// Runs a list of calls.
///
/// # Panics
/// If one does not do what rmon.h says.
pub fn run(bytes: &[u8]) {
    let mut world = World {
        names: Default::default(),
        on: BTreeMap::new(),
        callbacks: BTreeMap::new(),
        codes: Vec::new(),
        arrays: Vec::new(),
        host: None,
        owed: 0,
    };
    DESTROYED.store(0, Relaxed);
    let mut bytes = Bytes(bytes);
    for _ in 0..LONGEST {
        if bytes.is_empty() {
            break;
        }
        world.call(&mut bytes);
    }
    world.end();
}

fn tool_id(tool: i32) -> Option<usize> {
    usize::try_from(tool).ok().filter(|tool| *tool < 6)
}

fn wild(bytes: &mut Bytes<'_>) -> i32 {
    match bytes.byte() {
        number @ 0..200 => i32::from(number % 24) - 2,
        200..210 => i32::MIN,
        210..220 => i32::MAX,
        220..230 => 256,
        _ => bytes.i32(),
    }
}

/// Few tools, so that the same ones are met again.
fn tool(bytes: &mut Bytes<'_>) -> i32 {
    match bytes.byte() {
        224.. => wild(bytes),
        tool => [0, 1, 5][usize::from(tool % 3)],
    }
}

fn event(bytes: &mut Bytes<'_>) -> i32 {
    match bytes.byte() {
        224.. => wild(bytes),
        event => i32::from(event % COUNT),
    }
}

fn event_set(bytes: &mut Bytes<'_>) -> u32 {
    match bytes.byte() {
        0..64 => ALL,
        64..96 => LOCAL,
        96..128 => bytes.u32() & LOCAL,
        _ => bytes.u32(),
    }
}

/// What a set means: an error, or what reads back.
fn meant(wish: u32) -> Result<u32, c_int> {
    if wish & ANCILLARY != 0 && wish & (ANCILLARY | set(CALL)) != ANCILLARY | set(CALL) {
        return Err(NOT_INDEPENDENT);
    }
    let both = if wish & set(BRANCH) == 0 { 0 } else { set(BRANCH_LEFT) | set(BRANCH_RIGHT) };
    Ok(wish & !ANCILLARY & !set(BRANCH) | both)
}

impl World {
    fn code(&self, bytes: &mut Bytes<'_>) -> usize {
        match bytes.byte() {
            0 => 0,
            1..32 => bytes.usize(),
            number @ 32..64 => usize::from(number),
            number => {
                let count = self.codes.len();
                self.codes.get(usize::from(number) % count.max(1)).map_or(1, |code| code.0)
            }
        }
    }

    fn events(&self, tool: usize, code: Option<usize>) -> u32 {
        self.on.get(&(tool, code)).copied().unwrap_or(0)
    }

    fn call(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.below(32) {
            0 | 1 => self.use_tool(bytes),
            2 => self.clear_or_free(bytes),
            3 => self.get_tool(bytes),
            4 | 5 => self.set_events(bytes),
            6 | 7 => self.set_local(bytes),
            8 => self.get_events(bytes),
            9 | 10 => self.register(bytes),
            11 => self.get_callback(bytes),
            12..15 => self.code_new(bytes),
            15 => self.retain_or_release(bytes),
            16 | 17 => self.describe(bytes),
            18 => self.forget(bytes),
            19 => self.set_host(bytes),
            20..23 => self.enter(bytes),
            23..30 => self.fire(bytes),
            30 => names(bytes),
            _ => attach(bytes),
        }
    }

    fn use_tool(&mut self, bytes: &mut Bytes<'_>) {
        let (tool, name) = (tool(bytes), Text::decode(bytes));
        // SAFETY: NULL or a string.
        let status = unsafe { abi::rmon_use_tool_id(tool, name.pointer()) };
        let expected = match (name.bytes(), tool_id(tool)) {
            (None, _) => status::NULL,
            (_, None) => INVALID_TOOL,
            (Some(text), _) if text.is_empty() || !name.is_utf8() => INVALID_NAME,
            (_, Some(tool)) if self.names[tool].is_some() => TOOL_IN_USE,
            (Some(text), Some(tool)) => {
                self.names[tool] = Some(text.to_vec());
                OK
            }
        };
        assert_eq!(status, expected, "rmon_use_tool_id({tool}, {:?})", name.bytes());
    }

    fn clear_or_free(&mut self, bytes: &mut Bytes<'_>) {
        let (tool, free) = (tool(bytes), bytes.flag());
        // SAFETY: no pointer is given.
        let status = unsafe {
            if free { abi::rmon_free_tool_id(tool) } else { abi::rmon_clear_tool_id(tool) }
        };
        let expected = if tool_id(tool).is_some() { OK } else { INVALID_TOOL };
        assert_eq!(status, expected, "clear or free tool {tool}");
        if let Some(tool) = tool_id(tool).filter(|tool| self.names[*tool].is_some()) {
            self.on.retain(|key, _| key.0 != tool);
            self.callbacks.retain(|key, _| key.0 != tool);
            if free {
                self.names[tool] = None;
            }
        }
    }

    fn get_tool(&self, bytes: &mut Bytes<'_>) {
        let (tool, how) = (tool(bytes), bytes.byte());
        // About as much as the usual name needs, or anything.
        let capacity = usize::from(if how < 192 { how % 16 } else { bytes.byte() });
        let is_null = how % 16 == 15;
        let block = Block::new(capacity);
        let pointer = if is_null { null_mut() } else { block.start.cast() };
        // SAFETY: NULL or of that capacity.
        let length = unsafe { abi::rmon_get_tool(tool, pointer, capacity) };
        let untouched = |from: usize| block.bytes()[from..].iter().all(|byte| *byte == FILL);
        match tool_id(tool) {
            _ if is_null && capacity != 0 => assert_eq!(length, status::NULL),
            None => assert_eq!(length, INVALID_TOOL),
            Some(tool) => {
                let name = self.names[tool].as_deref().unwrap_or_default();
                assert_eq!(usize::try_from(length), Ok(name.len()));
                if is_null || capacity == 0 {
                    assert!(untouched(0));
                } else {
                    let fits = |cut: &usize| {
                        *cut < capacity && core::str::from_utf8(&name[..*cut]).is_ok()
                    };
                    let cut = (0..=name.len()).rev().find(fits).unwrap_or(0);
                    assert_eq!(&block.bytes()[..cut], &name[..cut]);
                    assert_eq!(block.bytes()[cut], 0);
                    assert!(untouched(cut + 1));
                }
                return;
            }
        }
        assert!(untouched(0));
    }

    fn set_events(&mut self, bytes: &mut Bytes<'_>) {
        let (tool, wish) = (tool(bytes), event_set(bytes));
        // SAFETY: no pointer is given.
        let status = unsafe { abi::rmon_set_events(tool, wish) };
        let expected = match (tool_id(tool), meant(wish)) {
            (None, _) => INVALID_TOOL,
            _ if wish & !ALL != 0 => INVALID_EVENT_SET,
            (_, Err(error)) => error,
            (Some(tool), _) if self.names[tool].is_none() => TOOL_NOT_IN_USE,
            (Some(tool), Ok(events)) => {
                self.on.insert((tool, None), events);
                OK
            }
        };
        assert_eq!(status, expected, "rmon_set_events({tool}, {wish:#x})");
    }

    fn set_local(&mut self, bytes: &mut Bytes<'_>) {
        let (tool, code, wish) = (tool(bytes), self.code(bytes), event_set(bytes));
        // SAFETY: a code may be any address.
        let status =
            unsafe { abi::rmon_set_local_events(tool, without_provenance_mut(code), wish) };
        let expected = match (tool_id(tool), meant(wish)) {
            _ if code == 0 => status::NULL,
            (None, _) => INVALID_TOOL,
            (_, Err(error)) => error,
            (_, Ok(events)) if events & !LOCAL != 0 => INVALID_EVENT_SET,
            (Some(tool), _) if self.names[tool].is_none() => TOOL_NOT_IN_USE,
            (Some(tool), Ok(events)) => {
                self.on.insert((tool, Some(code)), events);
                OK
            }
        };
        assert_eq!(status, expected, "rmon_set_local_events({tool}, {code:#x}, {wish:#x})");
    }

    fn get_events(&self, bytes: &mut Bytes<'_>) {
        let (tool, how) = (tool(bytes), bytes.byte());
        let mut events = u32::MAX;
        let out = if how & 1 == 0 { &raw mut events } else { null_mut() };
        let code = (how & 2 != 0).then(|| self.code(bytes));
        // SAFETY: NULL or valid; a code may be any address.
        let status = unsafe {
            match code {
                None => abi::rmon_get_events(tool, out),
                Some(code) => abi::rmon_get_local_events(tool, without_provenance_mut(code), out),
            }
        };
        let expected = match tool_id(tool) {
            _ if out.is_null() || code == Some(0) => (status::NULL, u32::MAX),
            None => (INVALID_TOOL, u32::MAX),
            Some(tool) => (OK, self.events(tool, code)),
        };
        assert_eq!((status, events), expected, "events of tool {tool}, code {code:x?}");
    }

    fn register(&mut self, bytes: &mut Bytes<'_>) {
        let (tool, event, how) = (tool(bytes), event(bytes), bytes.byte());
        let answer = if how & 8 == 0 { usize::from(how & 1) } else { bytes.usize() };
        let is_null = how & 0x30 == 0x30;
        let function: Option<abi::Callback> = (!is_null).then_some(callback);
        let destroyed: Option<abi::Destroy> = (how & 2 != 0).then_some(destroy);
        let place = tool_id(tool).filter(|_| (0..i32::from(COUNT)).contains(&event));
        let before = DESTROYED.load(Relaxed);
        // SAFETY: the functions follow no user data.
        let status = unsafe {
            let data = without_provenance_mut(answer);
            abi::rmon_register_callback(tool, event, function, data, destroyed)
        };
        let expected = match (tool_id(tool), place) {
            (None, _) => INVALID_TOOL,
            (_, None) => INVALID_EVENT,
            (Some(tool), _) => {
                self.callbacks.remove(&(tool, event as u8));
                if !is_null {
                    self.callbacks.insert((tool, event as u8), (answer, destroyed.is_some()));
                }
                OK
            }
        };
        assert_eq!(status, expected, "rmon_register_callback({tool}, {event})");
        let owed = usize::from(!is_null && destroyed.is_some());
        self.owed += owed;
        if status != OK {
            assert_eq!(DESTROYED.load(Relaxed), before + owed, "destroyed at once");
        }
    }

    fn get_callback(&self, bytes: &mut Bytes<'_>) {
        let (tool, event, how) = (tool(bytes), event(bytes), bytes.byte());
        let (mut found, mut data) = (None, without_provenance_mut::<c_void>(77));
        let function = if how & 3 == 1 { null_mut() } else { &raw mut found };
        let user_data = if how & 12 == 4 { null_mut() } else { &raw mut data };
        // SAFETY: NULL or valid.
        let status = unsafe { abi::rmon_get_callback(tool, event, function, user_data) };
        let expected = match tool_id(tool) {
            _ if function.is_null() || user_data.is_null() => status::NULL,
            None => INVALID_TOOL,
            Some(_) if !(0..i32::from(COUNT)).contains(&event) => INVALID_EVENT,
            Some(tool) => {
                let there = self.callbacks.get(&(tool, event as u8));
                assert_eq!(found.is_some(), there.is_some());
                assert_eq!(data.addr(), there.map_or(0, |there| there.0));
                OK
            }
        };
        assert_eq!(status, expected, "rmon_get_callback({tool}, {event})");
        assert!(status == OK || found.is_none() && data.addr() == 77);
    }

    fn code_new(&mut self, bytes: &mut Bytes<'_>) {
        let how = bytes.byte();
        let size = match how & 7 {
            0..6 => INFO_SIZE,
            6 => INFO_SIZE + usize::from(bytes.byte()),
            _ => usize::from(bytes.below(INFO_SIZE as u8)),
        };
        let (name, filename) = (Text::decode(bytes), Text::decode(bytes));
        let qualname = if how & 8 == 0 { None } else { Some(Text::decode(bytes)) };
        let lines: Vec<Line> = (0..bytes.below(6))
            .scan(0i32, |offset, _| {
                // Mostly ascending.
                *offset = match bytes.byte() {
                    step @ 0..224 => offset.wrapping_add(i32::from(step % 16)),
                    _ => bytes.i32(),
                };
                Some(Line { offset: *offset, line: i32::from(bytes.byte()) })
            })
            .collect();
        let table = Block::of(size_of_val(&lines[..]), &[0u8; 0]);
        // SAFETY: there is room for all of them.
        unsafe { table.start.cast::<Line>().copy_from_nonoverlapping(lines.as_ptr(), lines.len()) };
        let (lines_null, line_count) = match how >> 4 {
            0 => (true, lines.len()),
            1 => (false, usize::MAX),
            2 => (false, 1 << 60),
            3 => (true, usize::MAX),
            4 => (true, 0),
            _ => (false, lines.len()),
        };
        let first_line = if how & 0xf8 == 0xf8 { bytes.i32() } else { 1 };
        let info = CodeInfo {
            struct_size: size as u32,
            first_line,
            name: name.pointer(),
            qualname: qualname.as_ref().map_or(null(), Text::pointer),
            filename: filename.pointer(),
            lines: if lines_null { null() } else { table.start.cast() },
            line_count,
        };
        let block = Block::of(size.max(4), &info);
        let pointer = if how == 255 { null() } else { block.start.cast::<CodeInfo>() };
        // SAFETY: NULL or as large as it says; all that it points to is valid.
        let code = unsafe { abi::rmon_code_new(pointer) }.addr();
        let ascending = lines.windows(2).all(|pair| pair[0].offset < pair[1].offset);
        let from_zero = lines.first().is_none_or(|line| line.offset >= 0);
        let good_lines = match (lines_null, line_count) {
            (_, 0) => true,
            (true, _) => false,
            (false, count) => count == lines.len() && ascending && from_zero,
        };
        let qualname = qualname.filter(|text| !text.null);
        let good = !pointer.is_null()
            && size >= INFO_SIZE
            && name.is_utf8()
            && filename.is_utf8()
            && qualname.as_ref().is_none_or(Text::is_utf8)
            && good_lines;
        assert_eq!(code != 0, good, "rmon_code_new, size {size}, lines {lines:?}");
        if let (true, Some(name), Some(filename)) = (good, name.bytes(), filename.bytes()) {
            let qualname = qualname.as_ref().and_then(Text::bytes).unwrap_or(name);
            let description = Description {
                first_line,
                name: name.to_vec(),
                qualname: qualname.to_vec(),
                filename: filename.to_vec(),
                lines: if line_count == 0 { Vec::new() } else { lines },
            };
            assert!(self.codes.iter().all(|(other, ..)| *other != code), "two codes, one address");
            self.codes.push((code, 1, description));
        }
    }

    fn retain_or_release(&mut self, bytes: &mut Bytes<'_>) {
        let (code, retain) = (self.code(bytes), bytes.flag());
        let pointer = without_provenance_mut(code);
        let place = self.codes.iter().position(|(other, ..)| *other == code);
        // SAFETY: any address may be given.
        unsafe {
            if retain { abi::rmon_code_retain(pointer) } else { abi::rmon_code_release(pointer) }
        }
        let Some(place) = place else { return };
        match (retain, self.codes[place].1) {
            (true, references) => self.codes[place].1 = references + 1,
            (false, 1) => {
                self.codes.remove(place);
                self.on.retain(|key, _| key.1 != Some(code));
            }
            (false, references) => self.codes[place].1 = references - 1,
        }
    }

    fn describe(&mut self, bytes: &mut Bytes<'_>) {
        let (code, how) = (self.code(bytes), bytes.byte());
        let size = match how & 3 {
            0 | 1 => INFO_SIZE,
            2 => usize::from(bytes.below(INFO_SIZE as u8)),
            _ => INFO_SIZE + usize::from(bytes.byte()),
        };
        HOOKS.set(Hooks {
            exception: 0,
            status: if how & 0x30 == 0x30 { bytes.i32() } else { 0 },
            fills: if how & 0x40 == 0 { 0xf } else { bytes.byte() },
            line_count: LINES.len(),
        });
        let hooks = HOOKS.with_borrow(|hooks| *hooks);
        let block = Block::of(size.max(4), &(size as u32));
        let before = block.bytes().to_vec();
        let out = if how & 0xc == 4 { null_mut() } else { block.start.cast::<CodeInfo>() };
        // SAFETY: NULL or as large as it says.
        let status = unsafe { abi::rmon_code_describe(without_provenance_mut(code), out) };
        let own = self.codes.iter().find(|(other, ..)| *other == code);
        let by_hook = self.host.is_some_and(|host| host.1) && own.is_none();
        let expected = match own {
            _ if code == 0 || out.is_null() => status::NULL,
            _ if size < INFO_SIZE => INVALID_ARGUMENT,
            Some(_) => OK,
            None if by_hook && hooks.status == 0 && hooks.fills & 5 == 5 => OK,
            None => UNKNOWN_CODE,
        };
        assert_eq!(status, expected, "rmon_code_describe({code:#x}), size {size}");
        if by_hook && code != 0 && !out.is_null() && size >= INFO_SIZE && hooks.fills & 64 != 0 {
            self.host = None;
        }
        if status != OK {
            assert_eq!(block.bytes(), before, "written to in spite of an error");
            return;
        }
        assert_eq!(block.bytes()[INFO_SIZE..], before[INFO_SIZE..], "written to beyond");
        // SAFETY: written by the library.
        let info = unsafe { &*out };
        assert_eq!(info.struct_size as usize, size);
        // SAFETY: what it points to lives as long as the code, or for ever.
        let described = unsafe {
            let text = |text: *const c_char| CStr::from_ptr(text).to_bytes().to_vec();
            let lines = match info.line_count {
                0 => &[],
                count => core::slice::from_raw_parts(info.lines.cast::<Line>(), count),
            };
            Description {
                first_line: info.first_line,
                name: text(info.name),
                qualname: text(info.qualname),
                filename: text(info.filename),
                lines: lines.to_vec(),
            }
        };
        match own {
            Some((.., description)) => assert_eq!(described, *description),
            None => {
                let qualname: &[u8] =
                    if hooks.fills & 2 == 0 { b"hook" } else { b"hook.qualified" };
                let lines: &[Line] = if hooks.fills & 8 == 0 { &[] } else { &LINES };
                assert_eq!((described.first_line, &described.name[..]), (7, &b"hook"[..]));
                assert_eq!((&described.qualname[..], &described.lines[..]), (qualname, lines));
            }
        }
    }

    fn forget(&mut self, bytes: &mut Bytes<'_>) {
        let code = self.code(bytes);
        // SAFETY: any address may be given.
        let status = unsafe { abi::rmon_code_forget(without_provenance_mut(code)) };
        assert_eq!(status, if code == 0 { status::NULL } else { OK });
        self.on.retain(|key, _| key.1 != Some(code));
    }

    fn set_host(&mut self, bytes: &mut Bytes<'_>) {
        let how = bytes.byte();
        let least = size_of::<Host>();
        let size = match how & 3 {
            0 | 1 => least,
            2 => usize::from(bytes.below(least as u8)),
            _ => least + usize::from(bytes.byte()),
        };
        let host = Host {
            struct_size: size as u32,
            user_data: null_mut(),
            current_exception: (how & 4 == 0).then_some(current_exception as _),
            describe: (how & 8 == 0).then_some(describe as _),
        };
        let block = Block::of(size.max(4), &host);
        let pointer = if how & 0x30 == 0x30 { null() } else { block.start.cast::<Host>() };
        // SAFETY: NULL or as large as it says; the hooks live for ever.
        let status = unsafe { rmon_set_host(pointer) };
        let expected = if pointer.is_null() || size >= least { OK } else { INVALID_ARGUMENT };
        assert_eq!(status, expected, "rmon_set_host, size {size}");
        if status == OK {
            self.host = (!pointer.is_null()).then_some((how & 4 == 0, how & 8 == 0));
        }
    }

    fn enter(&mut self, bytes: &mut Bytes<'_>) {
        let how = bytes.byte();
        let again = how & 1 != 0 && !self.arrays.is_empty();
        if !again {
            let length = usize::from(bytes.below(40));
            let types = Block::new(length);
            for index in 0..length {
                // SAFETY: below the length.
                unsafe { types.start.add(index).write(bytes.below(COUNT + u8::from(how >= 240))) };
            }
            let at = usize::from(how >> 1 & 1);
            let states = Block::new(at + 2 * length);
            // SAFETY: states are zeroed before their first scope; what is before them is filled.
            unsafe { states.start.add(at).write_bytes(0, 2 * length) };
            self.arrays.push(Array { states, at, version: Box::new(0), types });
        }
        let place = if again { usize::from(bytes.byte()) % self.arrays.len() } else { 0 };
        let place = if again { place } else { self.arrays.len() - 1 };
        let array = &mut self.arrays[place];
        let bad = array.types.bytes().iter().any(|event| *event >= COUNT);
        let (mut states, mut types, mut length) =
            (array.state(0), array.types.start.cast_const(), array.len() as isize);
        let mut version = &raw mut *array.version;
        let before = (array.states.bytes().to_vec(), *array.version);
        match how >> 2 & 15 {
            0 => states = null_mut(),
            1 => types = null(),
            2 => version = null_mut(),
            3 => length = [-1, isize::MIN, -4, isize::MIN + 1][usize::from(how >> 6)],
            _ => {}
        }
        // SAFETY: NULL, or as many states as types. The slow part may be asked too.
        let status = unsafe {
            if how >> 2 & 15 == 4 {
                rmon_enter_scope_slow(states, version, types, length)
            } else {
                abi::rmon_enter_scope(states, version, types, length)
            }
        };
        let nothing = length == 0;
        let expected = match () {
            () if version.is_null() => status::NULL,
            () if !nothing && (states.is_null() || types.is_null()) => status::NULL,
            () if length < 0 => INVALID_ARGUMENT,
            () if bad => INVALID_EVENT,
            () => OK,
        };
        // With nobody listening, or nothing changed, a scope is not looked at.
        assert!(status == expected || status == OK && expected == INVALID_EVENT, "enter: {status}");
        let after = (array.states.bytes().to_vec(), *array.version);
        assert!(status == OK || after == before, "written to in spite of an error");
        assert!(array.at == 0 || array.states.bytes()[0] == FILL, "written before the array");
    }

    fn fire(&mut self, bytes: &mut Bytes<'_>) {
        let (which, how) = (bytes.byte(), bytes.byte());
        let code = without_provenance_mut::<c_void>(self.code(bytes));
        let offset = match bytes.byte() {
            0..16 => wild(bytes),
            number => i32::from(number),
        };
        let number = wild(bytes);
        let (object, arg0) = (without_provenance_mut(bytes.usize()), null_mut());
        HOOKS.set(Hooks { exception: usize::from(how & 1), ..Hooks::default() });
        // A state of a scope that was entered, or will be, or that is zero; or none.
        let mut zero = State::default();
        let mut state = &raw mut zero;
        if let Some(array) = self.arrays.get(usize::from(how >> 4) % self.arrays.len().max(1))
            && array.len() != 0
        {
            state = array.state(usize::from(which) % array.len());
        }
        let slow = how & 6 == 6;
        if how & 15 == 8 && !slow {
            state = null_mut();
        }
        let wild_event = event(bytes);
        let function = usize::from(which);
        let (mut cpython, mut generic) = (false, None);
        // SAFETY: the state is NULL (not behind the inline check) or valid; the others are identities.
        let status = unsafe {
            match how >> 1 & 7 {
                0 | 3 => {
                    let (_, inline, behind) = PLAIN[function % PLAIN.len()];
                    if slow { behind(state, code, offset) } else { inline(state, code, offset) }
                }
                1 => {
                    let (_, inline, behind) = ONE[function % ONE.len()];
                    (if which & 128 == 0 || state.is_null() { inline } else { behind })(
                        state, code, offset, object,
                    )
                }
                2 => {
                    let (_, inline, behind) = TWO[function % TWO.len()];
                    (if which & 128 == 0 || state.is_null() { inline } else { behind })(
                        state, code, offset, object, arg0,
                    )
                }
                4 => {
                    let (_, inline, behind) = NUMBER[function % NUMBER.len()];
                    (if which & 128 == 0 || state.is_null() { inline } else { behind })(
                        state, code, offset, number,
                    )
                }
                5 => {
                    cpython = true;
                    match function % 18 {
                        0..8 => (PY_PLAIN[function % 18].1)(state, code, offset),
                        8..16 => (PY_ONE[function % 18 - 8].1)(state, code, offset, object),
                        16 => abi::PyMonitoring_FireCallEvent(state, code, offset, object, arg0),
                        _ => abi::PyMonitoring_FireLineEvent(state, code, offset, number),
                    }
                }
                _ if state.is_null() => status::NULL,
                _ => {
                    let among: &[u8] = match function % 3 {
                        0 => &[11, 12, 13, 14, 15],
                        1 => &[C_RETURN, C_RAISE],
                        _ => &[JUMP, BRANCH_LEFT, BRANCH_RIGHT, BRANCH],
                    };
                    generic = Some(among.iter().any(|event| i32::from(*event) == wild_event));
                    match function % 3 {
                        0 => rmon_fire_current_exception_slow(state, code, offset, wild_event),
                        1 => rmon_fire_last_call_slow(state, code, offset, wild_event),
                        _ => rmon_fire_target_object_slow(state, code, offset, wild_event, object),
                    }
                }
            }
        };
        let answered =
            |status| self.callbacks.values().any(|(answer, _)| *answer as c_int == status);
        let no_exception = self.host.is_some_and(|host| host.0) && how & 1 == 0;
        let good = match status {
            _ if cpython && state.is_null() => status == -1,
            _ if cpython => matches!(status, OK | -1),
            _ if state.is_null() => status == status::NULL,
            OK => true,
            INVALID_OFFSET if offset < 0 => true,
            INVALID_EVENT if generic == Some(false) => true,
            NO_EXCEPTION if generic.is_some() && no_exception => true,
            CANNOT_DISABLE if answered(1) => {
                self.find_removed();
                true
            }
            status => status < 0 && answered(status),
        };
        assert!(good, "a fire returned {status}");
        if cpython && status == -1 {
            self.find_removed();
        }
    }

    /// Who answered that an event be disabled which cannot be is registered no more.
    fn find_removed(&mut self) {
        self.callbacks.retain(|(tool, event), (answer, _)| {
            let (mut found, mut data) = (None, null_mut::<c_void>());
            // SAFETY: both are valid.
            let status = unsafe {
                abi::rmon_get_callback(*tool as i32, (*event).into(), &mut found, &mut data)
            };
            assert_eq!(status, OK);
            let may_go = *answer as c_int == 1 && LOCAL & set(*event) == 0;
            assert!(found.is_some() || may_go, "a callback is gone");
            found.is_some()
        });
    }

    /// Leaves the library as it was.
    fn end(mut self) {
        // SAFETY: pointers are NULL or addresses; what is gone is not used again.
        unsafe {
            for tool in 0..6 {
                assert_eq!(abi::rmon_free_tool_id(tool), OK);
                for event in 0..i32::from(COUNT) {
                    let status =
                        abi::rmon_register_callback(tool, event, None, null_mut(), Some(destroy));
                    assert_eq!(status, OK);
                }
            }
            for (_, code) in self.on.keys() {
                if let Some(code) = code {
                    abi::rmon_code_forget(without_provenance_mut(*code));
                }
            }
            for (code, references, _) in self.codes.drain(..) {
                (0..references).for_each(|_| abi::rmon_code_release(without_provenance_mut(code)));
            }
            if self.host.is_some() {
                assert_eq!(rmon_set_host(null()), OK);
            }
            assert_eq!(abi::rmon_restart_events(), OK);
            assert_eq!(abi::rmon_synchronize(), OK);
        }
        assert_eq!(DESTROYED.load(Relaxed), self.owed, "each exactly once");
    }
}

fn names(bytes: &mut Bytes<'_>) {
    let (event, status) = (event(bytes), wild(bytes));
    // SAFETY: no pointer is given; the texts are static.
    unsafe {
        let name = rmon_event_name(event);
        assert_eq!(name.is_null(), !(0..i32::from(COUNT)).contains(&event));
        assert!(name.is_null() || !CStr::from_ptr(name).is_empty());
        assert!(CStr::from_ptr(rmon_status_message(status)).to_str().is_ok_and(|t| !t.is_empty()));
        assert!(!CStr::from_ptr(rmon_version()).is_empty());
        assert!(rmon_version_number() != 0 && rmon_abi_version() == 0);
        let note = rmon_host_note();
        assert_eq!(note, rmon_host_note());
        *note = without_provenance_mut(bytes.usize());
    }
}

fn attach(bytes: &mut Bytes<'_>) {
    let (host, how) = (bytes.u32(), bytes.byte());
    let host = if how & 2 == 0 { host & 3 } else { host };
    // SAFETY: NULL is allowed.
    unsafe {
        let status = if how & 1 == 0 { rmon_detach(host) } else { rmon_attach(host) };
        assert_eq!(status, if host < 2 { OK } else { INVALID_ARGUMENT });
        assert_eq!(rmon_attach_slot(null_mut()), status::NULL);
    }
}
