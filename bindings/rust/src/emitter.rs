//! States: what an emitter keeps per event, and the fires.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::{AtomicU64, AtomicU8};

use crate::abi::Cell;
use crate::attach;
use crate::code::{Code, Object};
use crate::event::{Event, EVENT_COUNT};
use crate::frame::Frame;

/// A state in a scope: whether a tool may want its event. With it events are fired.
#[derive(Clone, Copy)]
pub struct State<'a> {
    /// In an array that is entered as a whole; the pointer may be used for all of it.
    cell: *const Cell,
    lifetime: PhantomData<&'a Cell>,
}

impl State<'_> {
    /// Whether a tool may want the event. What is costly to find out for an event can be left out
    /// otherwise.
    #[inline(always)]
    pub fn is_active(self) -> bool {
        // SAFETY: alive, since its scope is borrowed. Relaxed: it publishes nothing.
        unsafe { (*self.cell).active.load(Relaxed) != 0 }
    }
}

impl fmt::Debug for State<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("is_active", &self.is_active()).finish()
    }
}

/// Calls `$make!` with each event: what it carries, its function here, its variant, the table's
/// function, and what it says.
macro_rules! with_events {
    ($make:ident) => {
        $make! { nothing py_start PyStart fire_py_start "A function starts." }
        $make! { nothing py_resume PyResume fire_py_resume "A generator or coroutine goes on." }
        $make! { object(retval) py_return PyReturn fire_py_return "A function returns `retval`." }
        $make! { object(retval) py_yield PyYield fire_py_yield
        "A generator or coroutine yields `retval`." }
        $make! { call call Call fire_call
        "`callable` is about to be called; `arg0` is its first argument, or [`Object::NONE`]." }
        $make! { number(lineno) line Line fire_line "Line `lineno` is about to run." }
        $make! { nothing instruction Instruction fire_instruction
        "An instruction is about to run." }
        $make! { number(target_offset) jump Jump fire_jump "An unconditional jump." }
        $make! { number(target_offset) branch_left BranchLeft fire_branch_left
        "A conditional branch goes left." }
        $make! { number(target_offset) branch_right BranchRight fire_branch_right
        "A conditional branch goes right." }
        $make! { number(target_offset) branch Branch fire_branch
        "A conditional branch goes somewhere." }
        $make! { call c_return CReturn fire_c_return
        "`callable` returned; wanted by tools that have CALL on." }
        $make! { call c_raise CRaise fire_c_raise
        "`callable` raised; wanted by tools that have CALL on." }
        $make! { object(value) stop_iteration StopIteration fire_stop_iteration
        "An iteration ends with `value`, without an exception being raised." }
        $make! { object(exception) py_throw PyThrow fire_py_throw
        "A generator or coroutine goes on by `exception` being thrown in." }
        $make! { object(exception) raise Raise fire_raise "`exception` is raised." }
        $make! { object(exception) reraise Reraise fire_reraise "`exception` is raised again." }
        $make! { object(exception) exception_handled ExceptionHandled fire_exception_handled
        "`exception` is caught." }
        $make! { object(exception) py_unwind PyUnwind fire_py_unwind
        "A function is left by `exception`." }
    };
}

/// The methods of a state. Inline is the test alone; the rest is in a function of its own, since what
/// stands in the way of the code around it costs, too.
macro_rules! state_method {
    (nothing $name:ident $event:ident $function:ident $doc:literal) => {
        state_method! { @ $name $event $function $doc; ; }
    };
    (number($number:ident) $name:ident $event:ident $function:ident $doc:literal) => {
        state_method! { @ $name $event $function $doc; ; $number }
    };
    (object($object:ident) $name:ident $event:ident $function:ident $doc:literal) => {
        #[doc = $doc]
        ///
        /// # Errors
        /// A callback's error, or a negative offset.
        #[inline]
        pub fn $name<'o, C: Code>(
            self,
            code: C,
            offset: i32,
            $object: impl Into<Object<'o>>,
        ) -> Result<(), C::Error> {
            #[cold]
            #[inline(never)]
            fn fire<C: Code>(
                state: State<'_>,
                code: C,
                offset: i32,
                object: Object<'_>,
            ) -> Result<(), C::Error> {
                let cell = state.cell as *mut Cell;
                code.deliver(Event::$event, object, |table, code, object| {
                    // SAFETY: the state lies in its array; the rest is passed on as it came.
                    unsafe { (table.$function)(cell, code, offset, object) }
                })
            }
            if self.is_active() {
                fire(self, code, offset, $object.into())
            } else {
                Ok(())
            }
        }
    };
    (call $name:ident $event:ident $function:ident $doc:literal) => {
        #[doc = $doc]
        ///
        /// # Errors
        /// A callback's error, or a negative offset.
        #[inline]
        pub fn $name<'o, C: Code>(
            self,
            code: C,
            offset: i32,
            callable: impl Into<Object<'o>>,
            arg0: impl Into<Object<'o>>,
        ) -> Result<(), C::Error> {
            #[cold]
            #[inline(never)]
            fn fire<C: Code>(
                state: State<'_>,
                code: C,
                offset: i32,
                callable: Object<'_>,
                arg0: Object<'_>,
            ) -> Result<(), C::Error> {
                let cell = state.cell as *mut Cell;
                code.deliver(Event::$event, callable, |table, code, callable| {
                    // SAFETY: the state lies in its array; the rest is passed on as it came.
                    unsafe { (table.$function)(cell, code, offset, callable, arg0.0) }
                })
            }
            if self.is_active() {
                fire(self, code, offset, callable.into(), arg0.into())
            } else {
                Ok(())
            }
        }
    };
    (@ $name:ident $event:ident $function:ident $doc:literal; ; $($number:ident)?) => {
        #[doc = $doc]
        ///
        /// # Errors
        /// A callback's error, or a negative offset.
        #[inline]
        pub fn $name<C: Code>(
            self,
            code: C,
            offset: i32,
            $($number: i32,)?
        ) -> Result<(), C::Error> {
            #[cold]
            #[inline(never)]
            fn fire<C: Code>(
                state: State<'_>,
                code: C,
                offset: i32,
                $($number: i32,)?
            ) -> Result<(), C::Error> {
                let cell = state.cell as *mut Cell;
                code.deliver(Event::$event, Object::NONE, |table, code, _| {
                    // SAFETY: the state lies in its array; the rest is passed on as it came.
                    unsafe { (table.$function)(cell, code, offset, $($number)?) }
                })
            }
            if self.is_active() {
                fire(self, code, offset, $($number)?)
            } else {
                Ok(())
            }
        }
    };
}

/// Fires. Each reports one event of `code` at `offset` (0 or above; its unit is the emitter's) to the
/// tools that want it, on the calling thread. While nobody does, it is a load, a test, and a branch not
/// taken.
impl State<'_> {
    with_events! { state_method }
}

/// A state that is not active, to begin with.
// In const contexts: a value to copy, not one to share.
#[allow(clippy::declare_interior_mutable_const)]
const INACTIVE: Cell = Cell { active: AtomicU8::new(0), opaque: AtomicU8::new(0) };

/// States, one for each of some events, that are entered together.
///
/// An event that stands several times has a state per location: when a tool disables that location,
/// the test of [`State::is_active`] is all that is left of it. One that stands once is shared by all
/// locations. It may be a static or live on the stack, and be shared by threads.
///
/// ```
/// use rmon_emitter::{CodeLike, CodeSpec, Event, Failed, Object, Scope};
///
/// static CODE: CodeLike = CodeLike::from_static(CodeSpec::new("copy", "copy.rs", 1));
/// static SCOPE: Scope<4> = Scope::new([Event::PyStart, Event::Line, Event::Line, Event::PyReturn]);
///
/// fn copy() -> Result<(), Failed> {
///     SCOPE.enter();
///     SCOPE.state::<0>().py_start(&CODE, 0)?;
///     SCOPE.state::<1>().line(&CODE, 1, 2)?; // read
///     SCOPE.state::<2>().line(&CODE, 2, 3)?; // write
///     SCOPE.state::<3>().py_return(&CODE, 3, Object::NONE)
/// }
/// # copy().unwrap();
/// ```
pub struct Scope<const N: usize> {
    version: AtomicU64,
    events: [Event; N],
    states: [Cell; N],
}

impl<const N: usize> Scope<N> {
    /// Of these events; not entered.
    pub const fn new(events: [Event; N]) -> Scope<N> {
        Scope { version: AtomicU64::new(0), events, states: [INACTIVE; N] }
    }

    /// Brings the states up to date with what tools listen to. To be called each time a monitored
    /// function is entered or resumed; usually a comparison. Nothing needs to be called at the end.
    #[inline]
    pub fn enter(&self) {
        // SAFETY: a state for each event, always entered together.
        unsafe { enter(&self.states, &self.version, &self.events) }
    }

    /// The state of the event at an index that is known when the program is compiled, and checked then.
    #[inline(always)]
    pub fn state<const INDEX: usize>(&self) -> State<'_> {
        let () = Within::<INDEX, N>::OK;
        at(&self.states, INDEX)
    }

    /// The state of the event at an index.
    #[inline]
    pub fn get(&self, index: usize) -> Option<State<'_>> {
        // Not by `then_some`, which would make it in any case.
        if index < N {
            Some(at(&self.states, index))
        } else {
            None
        }
    }
}

/// An index into an array.
struct Within<const INDEX: usize, const N: usize>;

impl<const INDEX: usize, const N: usize> Within<INDEX, N> {
    const OK: () = assert!(INDEX < N, "the scope has no such state");
}

impl<const N: usize> fmt::Debug for Scope<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("events", &self.events).finish_non_exhaustive()
    }
}

/// A [`Scope`] whose events are known when the program runs: those of a function of an interpreter, with
/// a state for each of its lines.
pub struct BoxedScope {
    version: AtomicU64,
    events: Box<[Event]>,
    states: Box<[Cell]>,
}

impl BoxedScope {
    /// Of these events; not entered.
    pub fn new(events: impl Into<Box<[Event]>>) -> BoxedScope {
        let events = events.into();
        let states = events.iter().map(|_| INACTIVE).collect();
        BoxedScope { version: AtomicU64::new(0), events, states }
    }

    /// See [`Scope::enter`].
    #[inline]
    pub fn enter(&self) {
        // SAFETY: a state for each event, always entered together.
        unsafe { enter(&self.states, &self.version, &self.events) }
    }

    /// See [`Scope::get`].
    #[inline]
    pub fn get(&self, index: usize) -> Option<State<'_>> {
        if index < self.states.len() {
            Some(at(&self.states, index))
        } else {
            None
        }
    }
}

impl fmt::Debug for BoxedScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxedScope").field("events", &self.events).finish_non_exhaustive()
    }
}

/// # Safety
/// There is a state for each event, and they are always entered together.
#[inline(always)]
unsafe fn enter(states: &[Cell], version: &AtomicU64, events: &[Event]) {
    // Acquire: who sees that another thread has entered sees the states, too.
    if version.load(Acquire) != attach::current_version() {
        // SAFETY: the caller's promise.
        unsafe { attach::refresh(states.as_ptr() as *mut Cell, version, events) }
    }
}

/// The state at an index, which is within the array.
#[inline(always)]
fn at(states: &[Cell], index: usize) -> State<'_> {
    debug_assert!(index < states.len());
    // By way of the array's pointer, since from a state librmon goes to its neighbours.
    State { cell: states.as_ptr().wrapping_add(index), lifetime: PhantomData }
}

/// Reports what a piece of monitored code does: one state for each event, shared by all locations.
///
/// [`Emitter::enter`] is called when a monitored function is entered, then a method for each thing that
/// happens; or [`Emitter::frame`] does the first and the last. One emitter may serve one function, a
/// thread, or a whole program, and may be shared by threads and lie in a static. What events are about
/// is passed on to tools and not kept.
///
/// ```
/// use rmon_emitter::{CodeLike, CodeSpec, Emitter, Failed, Object};
///
/// static EMITTER: Emitter = Emitter::new();
///
/// fn monitored(code: &CodeLike) -> Result<(), Failed> {
///     EMITTER.enter();
///     EMITTER.py_start(code, 0)?;
///     EMITTER.line(code, 2, 1)?;
///     EMITTER.py_return(code, 4, Object::NONE)
/// }
///
/// let code = CodeLike::new(&CodeSpec::new("f", "f.x", 1))?;
/// monitored(&code)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Emitter(Scope<EVENT_COUNT>);

impl Default for Emitter {
    fn default() -> Emitter {
        Emitter::new()
    }
}

impl Emitter {
    /// An emitter that has not been entered.
    pub const fn new() -> Emitter {
        Emitter(Scope::new(Event::ALL))
    }

    /// Brings the states up to date with what tools listen to. To be called each time a monitored
    /// function is entered or resumed; usually a comparison. Nothing needs to be called at the end.
    #[inline]
    pub fn enter(&self) {
        self.0.enter();
    }

    /// The event's state.
    #[inline(always)]
    pub fn state(&self, event: Event) -> State<'_> {
        at(&self.0.states, event as usize)
    }

    /// Enters, and fires PY_START. The end fires PY_RETURN, or PY_UNWIND if the thread panics.
    ///
    /// # Errors
    /// A callback's error, or a negative offset.
    #[inline]
    pub fn frame<C: Code>(&self, code: C, offset: i32) -> Result<Frame<'_, C>, C::Error> {
        self.enter();
        self.py_start(code, offset)?;
        Ok(Frame::new(self, code, offset))
    }
}

/// The methods of an emitter.
macro_rules! emitter_method {
    (nothing $name:ident $event:ident $function:ident $doc:literal) => {
        #[doc = $doc]
        ///
        /// # Errors
        /// A callback's error, or a negative offset.
        #[inline]
        pub fn $name<C: Code>(&self, code: C, offset: i32) -> Result<(), C::Error> {
            self.state(Event::$event).$name(code, offset)
        }
    };
    (number($number:ident) $name:ident $event:ident $function:ident $doc:literal) => {
        #[doc = $doc]
        ///
        /// # Errors
        /// A callback's error, or a negative offset.
        #[inline]
        pub fn $name<C: Code>(&self, code: C, offset: i32, $number: i32) -> Result<(), C::Error> {
            self.state(Event::$event).$name(code, offset, $number)
        }
    };
    (object($object:ident) $name:ident $event:ident $function:ident $doc:literal) => {
        #[doc = $doc]
        ///
        /// # Errors
        /// A callback's error, or a negative offset.
        #[inline]
        pub fn $name<'o, C: Code>(
            &self,
            code: C,
            offset: i32,
            $object: impl Into<Object<'o>>,
        ) -> Result<(), C::Error> {
            self.state(Event::$event).$name(code, offset, $object)
        }
    };
    (call $name:ident $event:ident $function:ident $doc:literal) => {
        #[doc = $doc]
        ///
        /// # Errors
        /// A callback's error, or a negative offset.
        #[inline]
        pub fn $name<'o, C: Code>(
            &self,
            code: C,
            offset: i32,
            callable: impl Into<Object<'o>>,
            arg0: impl Into<Object<'o>>,
        ) -> Result<(), C::Error> {
            self.state(Event::$event).$name(code, offset, callable, arg0)
        }
    };
}

/// Fires: as those of [`State`].
impl Emitter {
    with_events! { emitter_method }
}
