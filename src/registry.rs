//! The single writer: who listens to what, and the version that scopes compare with.
//!
//! All control calls come here and are serialised by one lock. What fires and scopes need to know is
//! published in a few words per event, which they read without it. The registry calls nobody: what
//! has to be freed is handed to `sync::reclaim` after the lock is let go.
//!
//! # Synchronization
//!
//! The words per event are published first, the version after them (Release). A scope loads the
//! version (Acquire) *before* it reads the words, so that it can only store a version that is too
//! old for what it read, never one that is too new: then it merely comes again.
//!
//! States may be shared by threads. One that has read an old version may write its old states over
//! another's new ones, and the new version may be stored last: the states would be older than their
//! version says. So a thread is inside while it writes states. Between the words and the version the
//! writer makes all threads pass a fence and looks who is inside: those may have read older words, and
//! when they have left, one more version is published. Who comes later writes the new words.
//!
//! A fire reads its event's word inside (see `sync::word`), so that [`synchronize`] after a change
//! means that no fire goes by the old word any more.

use core::ffi::{CStr, c_void};
use core::sync::atomic::{
    AtomicU16, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};

use crate::code::{self, Code, CodeInfo, Codes, ENABLED, LOCAL, Marks};
use crate::event::{EVENT_COUNT, Event, EventSet};
use crate::state;
use crate::status::{Error, Result};
use crate::sync::job::{Job, Jobs};
use crate::sync::lock::Lock;
use crate::sync::reclaim;
use crate::sync::slot::Entry;
use crate::sync::{self, thread};
use crate::tool::{Candidate, Registration, ToolId, Tools};

/// Bits of an event's word: the tools that have it on globally.
const GLOBAL_SHIFT: u32 = 0;
/// The tools that have it on for some code.
const LOCAL_SHIFT: u32 = 8;
/// The tools that have disabled some location of it.
const DISABLED_SHIFT: u32 = 16;

/// CALL only: some tool has a callback for C_RETURN or C_RAISE, so what CALL says is remembered for
/// them.
const REMEMBER: u32 = 1 << 24;

/// What a fire of one event has to consider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest(u32);

impl Interest {
    /// The tools that have the event on globally.
    #[inline(always)]
    pub fn global(self) -> u8 {
        self.0 as u8
    }

    /// The tools that have it on for some code.
    #[inline(always)]
    pub fn local(self) -> u8 {
        (self.0 >> LOCAL_SHIFT) as u8
    }

    /// Whether nobody has it on.
    #[inline(always)]
    pub fn is_none(self) -> bool {
        self.0 & 0xffff == 0
    }

    /// Whether the global set says all.
    #[inline(always)]
    pub fn is_global_only(self) -> bool {
        self.0 <= 0xff
    }

    /// Whether some tool has it on for some code, or what it says is to be remembered.
    #[inline(always)]
    pub fn has_local_or_remembers(self) -> bool {
        self.0 & (0xff << LOCAL_SHIFT | REMEMBER) != 0
    }

    /// Whether what it says is to be remembered.
    #[inline(always)]
    pub fn remembers(self) -> bool {
        self.0 & REMEMBER != 0
    }

    /// Whether some tool has disabled some location of it.
    #[inline(always)]
    pub fn has_disabled(self) -> bool {
        self.0 & 0xff << DISABLED_SHIFT != 0
    }
}

static INTEREST: [AtomicU32; EVENT_COUNT] = [const { AtomicU32::new(0) }; EVENT_COUNT];
/// What entering a scope writes into a state of each event: the tools that may want it in some code,
/// and a mark (see `state`).
static FRESH: [AtomicU16; EVENT_COUNT] = quiet();
/// The same while nobody listens.
static QUIET: [AtomicU16; EVENT_COUNT] = quiet();

const fn quiet() -> [AtomicU16; EVENT_COUNT] {
    let mut all = [const { AtomicU16::new(0) }; EVENT_COUNT];
    let mut event = 0;
    while event < EVENT_COUNT {
        all[event] = AtomicU16::new(state::fresh(0, event as u8));
        event += 1;
    }
    all
}

/// The version of what is listened to: 0 while nobody listens to anything, otherwise a number that
/// never comes back. The inline part of the header compares a scope's version with it; for that it is
/// exported, the only thing outside of `ffi` that is.
#[unsafe(export_name = "rmon_current_version")]
pub static VERSION: AtomicU64 = AtomicU64::new(0);

/// What a fire of `event` has to consider.
///
/// # Safety
/// `event` is below [`EVENT_COUNT`].
#[inline(always)]
pub unsafe fn interest(event: u8) -> Interest {
    // SAFETY: the caller keeps it in bounds.
    Interest(unsafe { INTEREST.get_unchecked(usize::from(event)) }.load(Relaxed))
}

/// The tools that may want `event` in some code.
///
/// # Safety
/// `event` is below [`EVENT_COUNT`].
#[inline(always)]
pub unsafe fn active(event: u8) -> u8 {
    // SAFETY: the caller keeps it in bounds.
    unsafe { FRESH.get_unchecked(usize::from(event)) }.load(Relaxed) as u8
}

/// What a scope of this version writes into its states.
#[derive(Clone, Copy)]
pub struct Fresh(&'static [AtomicU16; EVENT_COUNT]);

impl Fresh {
    /// For a version. Version 0 may stay in a scope while others come and go, so it always means that
    /// nobody listens.
    #[inline(always)]
    pub fn of(version: u64) -> Fresh {
        Fresh(if version == 0 { &QUIET } else { &FRESH })
    }

    /// For a state of `event`.
    ///
    /// # Safety
    /// `event` is below [`EVENT_COUNT`].
    #[inline(always)]
    pub unsafe fn state(self, event: u8) -> u16 {
        // SAFETY: the caller keeps it in bounds.
        unsafe { self.0.get_unchecked(usize::from(event)) }.load(Relaxed)
    }
}

/// The version; what is read of the registry after this is at least as new.
#[inline(always)]
pub fn version() -> u64 {
    // Acquire: pairs with the Release in `Control::publish`.
    VERSION.load(Acquire)
}

/// Whether a scope's states are as new as the registry.
///
/// # Safety
/// `version` is valid for reads, aligned, and shared with other threads through this module, the
/// header's inline part, or atomics only.
#[inline(always)]
pub unsafe fn is_current(scope: *mut u64) -> bool {
    // SAFETY: the caller's promise.
    let scope = unsafe { AtomicU64::from_ptr(scope) };
    // Acquire: pairs with the Release in `store_version`: who sees the version sees the states.
    scope.load(Acquire) == version()
}

/// Stores the version of a scope whose states have been filled.
///
/// # Safety
/// As for [`is_current`], and `scope` is valid for writes.
#[inline(always)]
pub unsafe fn store_version(scope: *mut u64, filled: u64) {
    // SAFETY: the caller's promise.
    let scope = unsafe { AtomicU64::from_ptr(scope) };
    // Release: pairs with the Acquire in `is_current` and in the header.
    scope.store(filled, Release);
}

/// Between writing states and asking for the version again, where a thread may have been writing what
/// is older over what is newer.
pub fn after_states() {
    // SeqCst: the states must be out before the version is loaded again.
    fence(SeqCst);
}

/// Everything that the lock protects.
struct Control {
    tools: Tools,
    local: Marks<0>,
    disabled: Marks<0xff>,
    codes: Codes,
    last_version: u64,
    /// Whether `sync` is ready for events to be delivered.
    started: bool,
    /// What became free in this call, to be dropped when no reader is inside any more.
    freed: Jobs,
}

/// `None` before the first call.
static CONTROL: Lock<Option<Control>> = Lock::new(None);

impl Default for Control {
    fn default() -> Control {
        Control {
            tools: Tools::new(),
            local: Marks::new(&LOCAL),
            disabled: Marks::new(&ENABLED),
            codes: Codes::default(),
            last_version: 0,
            started: false,
            freed: Jobs::new(),
        }
    }
}

impl Control {
    /// Publishes the words of all events.
    fn publish_interest(&mut self) {
        self.publish_interest_in(|_| true);
    }

    /// Publishes the words of some events: of all takes ten times as long as disabling a location.
    fn publish_interest_in(&mut self, is_wanted: impl Fn(Event) -> bool) {
        for event in Event::ALL.into_iter().filter(|event| is_wanted(*event)) {
            let global = self.tools.listening(event);
            let local = self.local.tools(event);
            let word = u32::from(global) << GLOBAL_SHIFT
                | u32::from(local) << LOCAL_SHIFT
                | u32::from(self.disabled.tools(event)) << DISABLED_SHIFT
                | if event == Event::Call && self.tools.hear_of_ends() { REMEMBER } else { 0 };
            INTEREST[event.index()].store(word, Relaxed);
            FRESH[event.index()].store(state::fresh(global | local, event.number()), Relaxed);
        }
    }

    /// Publishes a change of what is listened to.
    fn publish(&mut self) {
        self.publish_interest();
        let anybody = INTEREST.iter().any(|word| !Interest(word.load(Relaxed)).is_none());
        let version = if anybody {
            self.last_version += 1;
            self.last_version
        } else {
            0
        };
        if version != 0 {
            reclaim::when_others_left(publish_again);
        }
        // Release: pairs with the Acquire in `version`.
        VERSION.store(version, Release);
    }

    /// Removes a callback; what depends on it is to be published.
    fn unregister(&mut self, tool: ToolId, event: Event) {
        if let Some(old) = self.tools.unregister(tool, event) {
            self.freed.push(old);
        }
    }

    fn clear_tool(&mut self, tool: ToolId) {
        for event in Event::ALL {
            self.unregister(tool, event);
        }
        self.tools.set_events(tool, EventSet::empty());
        self.local.remove_tool(tool.number(), &mut self.freed);
        self.disabled.remove_tool(tool.number(), &mut self.freed);
        self.publish();
    }

    fn forget(&mut self, code: *mut c_void) {
        let unlistened = self.local.forget(code, &mut self.freed);
        let enabled = self.disabled.forget(code, &mut self.freed);
        if unlistened {
            self.publish();
        } else if enabled {
            self.publish_interest();
        }
    }
}

/// Before fork: takes the lock, so that the child finds everything whole.
pub fn lock_for_fork() {
    CONTROL.keep();
}

/// After fork, in the parent: lets the lock go again.
///
/// # Safety
/// Follows [`lock_for_fork`] on the same thread.
pub unsafe fn unlock_after_fork() {
    // SAFETY: the caller's promise.
    unsafe { CONTROL.let_go() };
}

/// After fork, in the child: the lock is free.
///
/// # Safety
/// Follows [`lock_for_fork`] on the same thread, in the child.
pub unsafe fn reset_after_fork() {
    // SAFETY: the caller's promise; the child has this thread only.
    unsafe { CONTROL.change_and_reset(|_| ()) };
}

/// What the lock protects, made when it is first asked for: apart, since that takes much stack.
fn made(control: &mut Option<Control>) -> &mut Control {
    #[cold]
    #[inline(never)]
    fn make(control: &mut Option<Control>) -> &mut Control {
        control.insert(Control::default())
    }
    match control {
        Some(control) => control,
        none => make(none),
    }
}

/// Does something under the lock that leaves nothing to be freed.
fn locked<R>(body: impl FnOnce(&mut Control) -> R) -> R {
    body(made(&mut CONTROL.lock()))
}

/// Changes something under the lock, then lets go of what became free. Who needs memory for a change
/// takes it before the lock, or before the first change: a call that fails has changed nothing.
fn write<R>(body: impl FnOnce(&mut Control) -> Result<R>) -> Result<R> {
    let mut guard = CONTROL.lock();
    let control = made(&mut guard);
    if !control.started {
        control.started = sync::start();
        if !control.started {
            return Err(Error::NoMemory);
        }
    }
    let result = body(control);
    let freed = core::mem::take(&mut control.freed);
    drop(guard);
    reclaim::defer(freed);
    result
}

/// Has all scopes filled once more: because some thread may have been filling one when what is
/// listened to was changed, or when emitters slept.
pub fn publish_again() {
    locked(|control| {
        if VERSION.load(Relaxed) != 0 {
            control.last_version += 1;
            // Release: as in `Control::publish`.
            VERSION.store(control.last_version, Release);
        }
    });
}

/// As [`write`], for changes that the delivery which is going on on this thread must heed.
fn change<R>(body: impl FnOnce(&mut Control) -> Result<R>) -> Result<R> {
    let result = write(body);
    if result.is_ok() {
        thread::current().note_change();
    }
    result
}

/// Takes a tool id.
///
/// # Errors
/// [`Error::InvalidName`] if the name is empty or not UTF-8, then [`Error::ToolInUse`], then
/// [`Error::NoMemory`].
pub fn use_tool_id(tool: ToolId, name: &CStr) -> Result<()> {
    if name.is_empty() || name.to_str().is_err() {
        return Err(Error::InvalidName);
    }
    change(|control| {
        if control.tools.name(tool).is_some() {
            return Err(Error::ToolInUse);
        }
        control.tools.set_name(tool, Some(code::copy(name)?));
        Ok(())
    })
}

/// Removes all that a tool has set: callbacks, events, local events, disabled locations. The id stays
/// in use. Nothing happens for an id that is not.
pub fn clear_tool_id(tool: ToolId) -> Result<()> {
    clear_and(tool, |_| ())
}

/// Clears a tool, then gives its id back.
pub fn free_tool_id(tool: ToolId) -> Result<()> {
    clear_and(tool, |control| control.tools.set_name(tool, None))
}

fn clear_and(tool: ToolId, then: impl FnOnce(&mut Control)) -> Result<()> {
    let cleared = change(|control| {
        let in_use = control.tools.name(tool).is_some();
        if in_use {
            control.clear_tool(tool);
            then(control);
        }
        Ok(in_use)
    })?;
    if cleared {
        thread::current().note_cleared(tool.number());
    }
    Ok(())
}

/// Tells `body` the name under which an id is in use, or `None`.
pub fn with_tool_name<R>(tool: ToolId, body: impl FnOnce(Option<&CStr>) -> R) -> R {
    locked(|control| body(control.tools.name(tool)))
}

/// A tool's global events, normalised.
pub fn get_events(tool: ToolId) -> EventSet {
    locked(|control| control.tools.events(tool))
}

/// Sets a tool's global events.
///
/// # Errors
/// [`Error::NotIndependent`], then [`Error::ToolNotInUse`].
pub fn set_events(tool: ToolId, set: EventSet) -> Result<()> {
    let set = set.normalised()?;
    change(|control| {
        if control.tools.name(tool).is_none() {
            return Err(Error::ToolNotInUse);
        }
        if control.tools.set_events(tool, set) {
            control.publish();
        }
        Ok(())
    })
}

/// A tool's local events on a code, normalised.
pub fn get_local_events(tool: ToolId, code: *mut c_void) -> EventSet {
    locked(|control| code::local_events(&control.local, tool.number(), code))
}

/// Sets a tool's local events on a code.
///
/// # Errors
/// [`Error::NotIndependent`], then [`Error::InvalidEventSet`] if an event is not local, then
/// [`Error::ToolNotInUse`].
pub fn set_local_events(tool: ToolId, code: *mut c_void, set: EventSet) -> Result<()> {
    let set = set.normalised()?;
    if !EventSet::LOCAL.contains(set) {
        return Err(Error::InvalidEventSet);
    }
    change(|control| {
        if control.tools.name(tool).is_none() {
            return Err(Error::ToolNotInUse);
        }
        if code::local_events(&control.local, tool.number(), code) != set {
            let freed = &mut control.freed;
            code::set_local_events(&mut control.local, tool.number(), code, set, freed)?;
            control.publish();
        }
        Ok(())
    })
}

/// Has a registration put inline when it is dropped.
struct Settle {
    tool: ToolId,
    event: Event,
    number: u64,
}

impl Drop for Settle {
    fn drop(&mut self) {
        // 0 is no registration's number.
        if self.number != 0 {
            locked(|control| control.tools.settle(self.tool, self.event, self.number));
        }
    }
}

/// Registers a callback, instead of what was registered.
///
/// # Errors
/// [`Error::NoMemory`].
pub fn register_callback(tool: ToolId, event: Event, candidate: Candidate) -> Result<()> {
    let registration = candidate.prepare()?;
    let mut settle = Job::new(Settle { tool, event, number: 0 })?;
    change(|control| {
        let (old, number) = control.tools.register(tool, event, registration);
        control.publish_interest();
        control.freed.extend(old.map(|old| old as Box<Job>));
        settle.work.number = number;
        control.freed.push(settle);
        Ok(())
    })
}

/// Removes a callback, if there is one.
pub fn unregister_callback(tool: ToolId, event: Event) -> Result<()> {
    change(|control| {
        control.unregister(tool, event);
        control.publish_interest();
        Ok(())
    })
}

/// Removes a callback if it is still the one that a fire found.
pub fn unregister_if(tool: ToolId, event: Event, entry: Entry) -> Result<()> {
    change(|control| {
        let found = control.tools.registration(tool, event);
        if found.is_some_and(|registration| registration.is(entry)) {
            control.unregister(tool, event);
            control.publish_interest();
        }
        Ok(())
    })
}

/// Tells `body` what is registered, or `None`.
pub fn with_callback<R>(
    tool: ToolId,
    event: Event,
    body: impl FnOnce(Option<&Registration>) -> R,
) -> R {
    locked(|control| body(control.tools.registration(tool, event)))
}

/// Enables all disabled locations again, for all tools.
pub fn restart_events() -> Result<()> {
    change(|control| {
        control.disabled.clear(&mut control.freed);
        control.publish();
        Ok(())
    })
}

/// Waits until no callback that was removed before can be running, and frees those.
///
/// # Errors
/// [`Error::InCallback`], without waiting, when called from inside a callback or destroy function.
pub fn synchronize() -> Result<()> {
    write(|_| Ok(()))?;
    if reclaim::synchronize() { Ok(()) } else { Err(Error::InCallback) }
}

/// Disables a location for a tool, because its callback for `asked` said so. Called by a fire of
/// `event`. `found` is the callback; if it is registered no more, and not because the thread that
/// fires changed something itself, the tool may be another by now, and nothing is disabled.
pub fn disable(
    tool: ToolId,
    asked: Event,
    found: (Entry, bool),
    event: Event,
    code: *mut c_void,
    location: i32,
) -> Result<()> {
    write(|control| {
        let (entry, changed_here) = found;
        let registered = control.tools.registration(tool, asked);
        let same = registered.is_some_and(|registration| registration.is(entry));
        if control.tools.name(tool).is_none() || !(same || changed_here) {
            return Ok(());
        }
        let (disabled, freed) = (&mut control.disabled, &mut control.freed);
        code::disable(disabled, tool.number(), code, location, event, freed)?;
        control.publish_interest_in(|other| code::is_disabled_with(other, event));
        Ok(())
    })
}

/// Takes a code look-alike in.
///
/// # Errors
/// [`Error::NoMemory`].
pub fn insert_code(code: Box<Job<Code>>) -> Result<*mut c_void> {
    write(|control| control.codes.insert(code))
}

/// Adds a reference to a look-alike of ours.
pub fn retain_code(code: *mut c_void) {
    locked(|control| control.codes.retain(code));
}

/// Drops a reference to a look-alike of ours; with the last one, all that tools have set on it goes.
pub fn release_code(code: *mut c_void) -> Result<()> {
    change(|control| {
        if let Some(dead) = control.codes.release(code) {
            thread::current().note_dead(code);
            control.forget(code);
            // Its address must not be given to another before readers have left.
            control.freed.push(dead);
        }
        Ok(())
    })
}

/// Tells `body` the description of a living look-alike of ours, or `None`. The code cannot die
/// before `body` returns, unless its last reference is dropped there.
pub fn with_code<R>(
    code: *mut c_void,
    struct_size: u32,
    body: impl FnOnce(Option<CodeInfo>) -> R,
) -> R {
    locked(|control| body(control.codes.describe(code, struct_size)))
}

/// Drops all that tools have set on a code.
pub fn forget_code(code: *mut c_void) -> Result<()> {
    change(|control| {
        thread::current().note_dead(code);
        control.forget(code);
        Ok(())
    })
}
