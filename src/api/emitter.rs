//! An emitter: the states of all events, and a method to fire each.

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::marker::PhantomData;
use core::ptr::null_mut;

use super::CodeRef;
use crate::event::{EVENT_COUNT, Event};
use crate::ffi::emit;
use crate::registry;
use crate::scope;
use crate::state::{self, State};
use crate::status::Error;

/// A fire that a callback or rmon ended with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed(c_int);

impl Failed {
    /// The status: negative; one of rmon's, or a callback's own number.
    pub fn status(self) -> c_int {
        self.0
    }

    /// The error, if the status is one of rmon's.
    pub fn error(self) -> Option<Error> {
        Error::from_status(self.0)
    }
}

impl core::fmt::Display for Failed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.error() {
            Some(error) => error.fmt(f),
            None => write!(f, "a callback failed with status {}", self.0),
        }
    }
}

impl core::error::Error for Failed {}

/// Something that an event is about: a value, a callable, an exception. Tools get its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<'a>(*mut c_void, PhantomData<&'a ()>);

impl Object<'_> {
    /// Nothing; tools get NULL.
    pub const NONE: Object<'static> = Object(null_mut(), PhantomData);

    /// An object of the host's.
    ///
    /// # Safety
    /// `object` is NULL, or what the process's tools take it for (a Python object, if Python is the
    /// host), alive during the lifetime.
    pub unsafe fn from_ptr(object: *mut c_void) -> Self {
        Object(object, PhantomData)
    }
}

/// Reports what a piece of monitored code does: one state for each event, shared by all locations.
///
/// [`Emitter::enter`] is called when a monitored function is entered, then a method for each thing
/// that happens. While nobody listens, a method is a load, a test, and a branch not taken. One
/// emitter may serve one function, a thread, or a whole program, and may be shared by threads and lie
/// in a static. What events are about is passed on to tools and not kept.
///
/// ```
/// use rmon::{CodeLike, CodeSpec, Emitter, Object};
///
/// static EMITTER: Emitter = Emitter::new();
///
/// fn monitored(code: &CodeLike) -> Result<(), rmon::Failed> {
///     EMITTER.enter();
///     EMITTER.py_start(code, 0)?;
///     EMITTER.line(code, 2, 1)?;
///     EMITTER.py_return(code, 4, Object::NONE)
/// }
///
/// let code = CodeLike::new(&CodeSpec { name: "f", filename: "f.x", ..Default::default() })?;
/// monitored(&code)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Emitter {
    states: UnsafeCell<[State; EVENT_COUNT]>,
    version: UnsafeCell<u64>,
}

// SAFETY: states and version are only used through `state` and `registry`, which access them as
// atomics.
unsafe impl Sync for Emitter {}

impl Default for Emitter {
    fn default() -> Emitter {
        Emitter::new()
    }
}

/// The types of an emitter's states: every event, by number.
const TYPES: [u8; EVENT_COUNT] = {
    let mut types = [0; EVENT_COUNT];
    let mut index = 0;
    while index < EVENT_COUNT {
        types[index] = index as u8;
        index += 1;
    }
    types
};

impl Emitter {
    /// An emitter that has not been entered.
    pub const fn new() -> Emitter {
        Emitter {
            states: UnsafeCell::new([State { active: 0, opaque: 0 }; EVENT_COUNT]),
            version: UnsafeCell::new(0),
        }
    }

    /// Brings the states up to date with what tools listen to. To be called each time a monitored
    /// function is entered or resumed; usually a comparison.
    #[inline]
    pub fn enter(&self) {
        let version = self.version.get();
        // SAFETY: the emitter's own version, shared through the registry only.
        if unsafe { !registry::is_current(version) } {
            // SAFETY: the emitter's own states, one for each type. Every type is valid, so there is
            // no failure.
            let _ = unsafe { scope::refresh(self.states.get().cast(), version, &TYPES) };
        }
    }

    /// The event's state, if somebody may want the event.
    #[inline(always)]
    fn active(&self, event: Event) -> Option<*mut State> {
        // SAFETY: an event's number is below the number of states.
        let state = unsafe { self.states.get().cast::<State>().add(event.index()) };
        // SAFETY: the emitter's own state, shared through `state` only.
        (unsafe { state::load_active(state) } != 0).then_some(state)
    }

    /// A function starts.
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`].
    #[inline]
    pub fn py_start<'a>(&self, code: impl Into<CodeRef<'a>>, offset: i32) -> Result<(), Failed> {
        match self.active(Event::PyStart) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_py_start_slow(state, code.into().as_ptr(), offset)
            }),
            None => Ok(()),
        }
    }

    /// A generator or coroutine goes on.
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`].
    #[inline]
    pub fn py_resume<'a>(&self, code: impl Into<CodeRef<'a>>, offset: i32) -> Result<(), Failed> {
        match self.active(Event::PyResume) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_py_resume_slow(state, code.into().as_ptr(), offset)
            }),
            None => Ok(()),
        }
    }

    /// A function returns `retval`.
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`].
    #[inline]
    pub fn py_return<'a>(
        &self,
        code: impl Into<CodeRef<'a>>,
        offset: i32,
        retval: Object<'_>,
    ) -> Result<(), Failed> {
        match self.active(Event::PyReturn) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_py_return_slow(state, code.into().as_ptr(), offset, retval.0)
            }),
            None => Ok(()),
        }
    }

    /// A generator or coroutine yields `retval`.
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`].
    #[inline]
    pub fn py_yield<'a>(
        &self,
        code: impl Into<CodeRef<'a>>,
        offset: i32,
        retval: Object<'_>,
    ) -> Result<(), Failed> {
        match self.active(Event::PyYield) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_py_yield_slow(state, code.into().as_ptr(), offset, retval.0)
            }),
            None => Ok(()),
        }
    }

    /// `callable` is about to be called; `arg0` is its first argument, or [`Object::NONE`].
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`].
    #[inline]
    pub fn call<'a>(
        &self,
        code: impl Into<CodeRef<'a>>,
        offset: i32,
        callable: Object<'_>,
        arg0: Object<'_>,
    ) -> Result<(), Failed> {
        match self.active(Event::Call) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_call_slow(state, code.into().as_ptr(), offset, callable.0, arg0.0)
            }),
            None => Ok(()),
        }
    }

    /// Line `lineno` is about to run.
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`].
    #[inline]
    pub fn line<'a>(
        &self,
        code: impl Into<CodeRef<'a>>,
        offset: i32,
        lineno: i32,
    ) -> Result<(), Failed> {
        match self.active(Event::Line) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_line_slow(state, code.into().as_ptr(), offset, lineno)
            }),
            None => Ok(()),
        }
    }

    /// An instruction is about to run.
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`].
    #[inline]
    pub fn instruction<'a>(&self, code: impl Into<CodeRef<'a>>, offset: i32) -> Result<(), Failed> {
        match self.active(Event::Instruction) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_instruction_slow(state, code.into().as_ptr(), offset)
            }),
            None => Ok(()),
        }
    }

    /// An unconditional jump.
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`].
    #[inline]
    pub fn jump<'a>(
        &self,
        code: impl Into<CodeRef<'a>>,
        offset: i32,
        target_offset: i32,
    ) -> Result<(), Failed> {
        match self.active(Event::Jump) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_jump_slow(state, code.into().as_ptr(), offset, target_offset)
            }),
            None => Ok(()),
        }
    }

    /// A conditional branch goes left.
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`].
    #[inline]
    pub fn branch_left<'a>(
        &self,
        code: impl Into<CodeRef<'a>>,
        offset: i32,
        target_offset: i32,
    ) -> Result<(), Failed> {
        match self.active(Event::BranchLeft) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_branch_left_slow(state, code.into().as_ptr(), offset, target_offset)
            }),
            None => Ok(()),
        }
    }

    /// A conditional branch goes right.
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`].
    #[inline]
    pub fn branch_right<'a>(
        &self,
        code: impl Into<CodeRef<'a>>,
        offset: i32,
        target_offset: i32,
    ) -> Result<(), Failed> {
        match self.active(Event::BranchRight) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_branch_right_slow(
                    state,
                    code.into().as_ptr(),
                    offset,
                    target_offset,
                )
            }),
            None => Ok(()),
        }
    }

    /// A conditional branch goes somewhere.
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`].
    #[inline]
    pub fn branch<'a>(
        &self,
        code: impl Into<CodeRef<'a>>,
        offset: i32,
        target_offset: i32,
    ) -> Result<(), Failed> {
        match self.active(Event::Branch) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_branch_slow(state, code.into().as_ptr(), offset, target_offset)
            }),
            None => Ok(()),
        }
    }

    /// `callable` returned; wanted by tools that have CALL on.
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`], or [`Error::CannotDisable`].
    #[inline]
    pub fn c_return<'a>(
        &self,
        code: impl Into<CodeRef<'a>>,
        offset: i32,
        callable: Object<'_>,
        arg0: Object<'_>,
    ) -> Result<(), Failed> {
        match self.active(Event::CReturn) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_c_return_slow(
                    state,
                    code.into().as_ptr(),
                    offset,
                    callable.0,
                    arg0.0,
                )
            }),
            None => Ok(()),
        }
    }

    /// `callable` raised; wanted by tools that have CALL on.
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`], or [`Error::CannotDisable`].
    #[inline]
    pub fn c_raise<'a>(
        &self,
        code: impl Into<CodeRef<'a>>,
        offset: i32,
        callable: Object<'_>,
        arg0: Object<'_>,
    ) -> Result<(), Failed> {
        match self.active(Event::CRaise) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_c_raise_slow(
                    state,
                    code.into().as_ptr(),
                    offset,
                    callable.0,
                    arg0.0,
                )
            }),
            None => Ok(()),
        }
    }

    /// An iteration ends with `value`.
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`].
    #[inline]
    pub fn stop_iteration<'a>(
        &self,
        code: impl Into<CodeRef<'a>>,
        offset: i32,
        value: Object<'_>,
    ) -> Result<(), Failed> {
        match self.active(Event::StopIteration) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_stop_iteration_slow(state, code.into().as_ptr(), offset, value.0)
            }),
            None => Ok(()),
        }
    }

    /// A generator or coroutine goes on by an exception thrown in.
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`], or [`Error::CannotDisable`].
    #[inline]
    pub fn py_throw<'a>(
        &self,
        code: impl Into<CodeRef<'a>>,
        offset: i32,
        exception: Object<'_>,
    ) -> Result<(), Failed> {
        match self.active(Event::PyThrow) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_py_throw_slow(state, code.into().as_ptr(), offset, exception.0)
            }),
            None => Ok(()),
        }
    }

    /// An exception is raised.
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`], or [`Error::CannotDisable`].
    #[inline]
    pub fn raise<'a>(
        &self,
        code: impl Into<CodeRef<'a>>,
        offset: i32,
        exception: Object<'_>,
    ) -> Result<(), Failed> {
        match self.active(Event::Raise) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_raise_slow(state, code.into().as_ptr(), offset, exception.0)
            }),
            None => Ok(()),
        }
    }

    /// An exception is raised again.
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`], or [`Error::CannotDisable`].
    #[inline]
    pub fn reraise<'a>(
        &self,
        code: impl Into<CodeRef<'a>>,
        offset: i32,
        exception: Object<'_>,
    ) -> Result<(), Failed> {
        match self.active(Event::Reraise) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_reraise_slow(state, code.into().as_ptr(), offset, exception.0)
            }),
            None => Ok(()),
        }
    }

    /// An exception is caught.
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`], or [`Error::CannotDisable`].
    #[inline]
    pub fn exception_handled<'a>(
        &self,
        code: impl Into<CodeRef<'a>>,
        offset: i32,
        exception: Object<'_>,
    ) -> Result<(), Failed> {
        match self.active(Event::ExceptionHandled) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_exception_handled_slow(
                    state,
                    code.into().as_ptr(),
                    offset,
                    exception.0,
                )
            }),
            None => Ok(()),
        }
    }

    /// A function is left by an exception.
    ///
    /// # Errors
    /// A callback's error, or [`Error::InvalidOffset`], or [`Error::CannotDisable`].
    #[inline]
    pub fn py_unwind<'a>(
        &self,
        code: impl Into<CodeRef<'a>>,
        offset: i32,
        exception: Object<'_>,
    ) -> Result<(), Failed> {
        match self.active(Event::PyUnwind) {
            // SAFETY: the state lies in the emitter's array, which is entered as a whole.
            Some(state) => result(unsafe {
                emit::rmon_fire_py_unwind_slow(state, code.into().as_ptr(), offset, exception.0)
            }),
            None => Ok(()),
        }
    }
}

fn result(status: c_int) -> Result<(), Failed> {
    if status < 0 { Err(Failed(status)) } else { Ok(()) }
}
