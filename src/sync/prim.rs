//! The atomics that the rest of `sync` is written with: core's, or loom's under `--cfg loom`.

#[cfg(not(loom))]
pub use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence,
    fence,
};

#[cfg(loom)]
pub use loom::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

/// Loom has no asymmetric fences: under it, every light fence is a full one.
#[cfg(loom)]
pub fn compiler_fence(order: Ordering) {
    fence(order);
}
