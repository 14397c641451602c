//! The safe API for Rust programs: an emitter, tools with closures, code look-alikes.
//!
//! It stands beside the C API, on the same run-time: what is fired here reaches C tools, and the
//! other way round.

mod code;
mod emitter;
mod tool;

pub use code::{CodeLike, CodeRef, CodeSpec, Description, describe};
pub use emitter::{Emitter, Failed, Object};
pub use tool::{Answer, Tool, restart_events, synchronize};
