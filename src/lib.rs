//! rmon: the monitoring layer for native code.
//!
//! CPython's `sys.monitoring` (PEP 669) tells tools what a program does: functions start and return,
//! lines run, branches go left or right, exceptions fly. rmon is the native half of that as a library
//! of its own: *emitters* (code in C, C++, Cython or Rust) report events with a *code* look-alike that
//! says where they are, and *tools* get them through callbacks, without a lock on the way.
//!
//! The main API is C's (`rmon.h`, made from [`ffi`]). Rust programs use what is exported here:
//! [`Emitter`], [`Tool`], [`CodeLike`], [`EventSet`]. Both share one run-time per process.
//!
//! ```
//! use rmon::{Answer, CodeLike, CodeSpec, Emitter, Event, EventSet, Tool, ToolId};
//!
//! let tool = Tool::claim(ToolId::PROFILER, "example")?;
//! tool.on(Event::PyStart, |event| {
//!     println!("started: {}", rmon::describe(event.code).unwrap().name);
//!     Answer::Continue
//! })?;
//! tool.set_events(EventSet::PY_START)?;
//!
//! let code = CodeLike::new(&CodeSpec { name: "main", filename: "m.x", ..Default::default() })?;
//! let emitter = Emitter::new();
//! emitter.enter();
//! emitter.py_start(&code, 0)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! How it is built, and what must never be in it, is in ARCHITECTURE.md.

// Modules in the order in which they build on each other; see ARCHITECTURE.md.
#[doc(hidden)]
pub mod sync;

mod event;
mod status;

// What is left out under `--cfg loom` needs atomics in statics, which loom's are not fit for.
#[cfg(not(loom))]
mod api;
#[cfg(not(loom))]
mod attach;
#[cfg(not(loom))]
mod code;
#[cfg(not(loom))]
mod dispatch;
#[cfg(not(loom))]
pub mod ffi;
#[cfg(not(loom))]
mod fork;
#[cfg(not(loom))]
mod host;
#[cfg(not(loom))]
mod registry;
#[cfg(not(loom))]
mod scope;
#[cfg(not(loom))]
mod state;
#[cfg(not(loom))]
mod tool;

pub use event::{Event, EventSet};
pub use status::{Error, Result};

#[cfg(not(loom))]
pub use api::{
    Answer, CodeLike, CodeRef, CodeSpec, Description, Emitter, Failed, Object, Tool, describe,
    restart_events, synchronize,
};
#[cfg(not(loom))]
pub use code::{CodeInfo, LineEntry};
#[cfg(not(loom))]
pub use host::Host;
#[cfg(not(loom))]
pub use state::State;
#[cfg(not(loom))]
pub use tool::{FiredEvent, ToolId};
