//! rmon: the monitoring layer for native code.
#![warn(missing_docs)]

pub mod sync;

#[cfg(not(loom))]
mod code;
#[cfg(not(loom))]
mod dispatch;
mod event;
#[cfg(not(loom))]
pub mod ffi;
#[cfg(not(loom))]
mod host;
#[cfg(not(loom))]
mod registry;
#[cfg(not(loom))]
mod scope;
#[cfg(not(loom))]
mod state;
mod status;
#[cfg(not(loom))]
mod tool;

pub use event::{Event, EventSet};
pub use status::{Error, Result};
