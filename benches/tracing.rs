//! The `tracing` crate as a peer: loops over its event macro, to be called from the benchmark program in C.
//!
//! They are compiled here as in any Rust program, and timed there by the clock, and in the run, that times rmon.

use std::arch::asm;
use std::hint::black_box;

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

/// A subscriber that wants everything and does nothing with it: what remains is tracing's own dispatch.
pub struct Silent;

impl Subscriber for Silent {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::always()
    }
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Sets the silent subscriber for the whole program.
#[unsafe(no_mangle)]
pub extern "C" fn bench_tracing_subscribe() {
    let result = tracing::subscriber::set_global_default(Silent);
    result.expect("nobody has set a subscriber before");
}

/// Sends `n` events of two fields: an offset and a line, as rmon's LINE has.
#[unsafe(no_mangle)]
pub extern "C" fn bench_tracing_events(n: u64) {
    let (offset, line) = black_box((16_i32, 7_i32));
    for _ in 0..n {
        tracing::event!(Level::INFO, offset, line);
        barrier();
    }
}

/// Memory may have changed here: what is loaded before is not good after. Costs no instruction.
fn barrier() {
    // SAFETY: there is no instruction in it.
    unsafe { asm!("", options(nostack, preserves_flags)) }
}
