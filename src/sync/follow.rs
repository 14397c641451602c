//! A switch that others are set by: after any number of changes from any threads, each of them is as
//! the switch was set last.

use super::prim::{AtomicBool, Ordering::SeqCst, fence};

/// See the module.
#[derive(Debug)]
pub struct Switch(AtomicBool);

impl Switch {
    /// One that is on.
    #[cfg(not(loom))]
    pub const fn on() -> Switch {
        Switch(AtomicBool::new(true))
    }

    /// One that is on.
    #[cfg(loom)]
    pub fn on() -> Switch {
        Switch(AtomicBool::new(true))
    }

    /// Changes it. Whoever follows it must then be made to follow again.
    pub fn set(&self, on: bool) {
        self.0.store(on, SeqCst);
        // Pairs with the one in `follow`: of two that store, one old and one new, the old one is stored
        // first, or sees the change.
        fence(SeqCst);
    }

    /// Sets something by the switch: calls `set` with how the switch is, again if that has changed
    /// meanwhile. What `set` stores is stored in the end by a thread that saw the last change, or
    /// whose store is followed by that of whoever made it: each looks again after its own.
    pub fn follow(&self, mut set: impl FnMut(bool)) {
        loop {
            let on = self.0.load(SeqCst);
            set(on);
            // Pairs with the one in `set`.
            fence(SeqCst);
            if self.0.load(SeqCst) == on {
                return;
            }
        }
    }
}
