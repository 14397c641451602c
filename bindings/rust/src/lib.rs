#![doc = include_str!("../README.md")]
#![deny(unsafe_op_in_unsafe_fn)]

mod abi;
mod attach;
mod code;
mod emitter;
mod error;
mod event;
mod frame;
#[cfg(feature = "pyo3")]
mod pyo3;
#[cfg(feature = "python")]
pub mod python;

pub use abi::LineEntry;
pub use code::{Code, CodeLike, CodeRef, CodeSpec, Object};
pub use emitter::{BoxedScope, Emitter, Scope, State};
pub use error::{Error, Failed};
pub use event::Event;
pub use frame::Frame;
