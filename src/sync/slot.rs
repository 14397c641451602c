//! A (function, user data) pair that is replaced while others use it.
//!
//! A reader needs both halves of one registration. The pair lies inline, so that a fire follows no
//! pointer; but two words cannot be replaced at once, and the writer must not wait for a reader that
//! may sit in a callback for hours. So:
//!
//! - Every registration is also an [`Entry`] of its own, never changed, reached by a pointer.
//! - To install one, the writer publishes the entry and sets the inline function to a marker that
//!   sends readers to the entry. The slot works from then on; nothing was missed in between.
//! - Once every reader that was inside at that moment has left (and so none can be between the two
//!   inline loads of an older pair), the writer puts the new pair inline: data first, then function.
//! - To remove, function and pointer become NULL.
//!
//! # Synchronization
//!
//! Function: Release store after the data, Acquire load before it. A reader that loaded an older
//! function still finds that function's data, because the data is not overwritten until such readers
//! have left. Entry: Release publication, Acquire load; freed after a grace period.

use core::ffi::c_void;
use core::ptr::null_mut;

use super::prim::{
    AtomicPtr,
    Ordering::{Acquire, Relaxed, Release},
};

/// One registration, as readers see it. `call` is a function pointer, neither NULL nor 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The function.
    pub call: *mut (),
    /// Its user data.
    pub data: *mut c_void,
}

/// No function has this address: "the pair is in the entry".
fn marker() -> *mut () {
    core::ptr::without_provenance_mut(1)
}

/// The inline half. 16 bytes, so that the slots of the tools of one event fill two cache lines.
#[derive(Debug)]
#[repr(C)]
pub struct Slot {
    call: AtomicPtr<()>,
    data: AtomicPtr<c_void>,
}

/// The half that is only read while a registration is young.
#[derive(Debug)]
#[repr(transparent)]
pub struct Backing(AtomicPtr<Entry>);

// loom's atomics cannot be made in a constant.
macro_rules! constructors {
    ($($const:tt)?) => {
        impl Slot {
            /// An empty slot.
            pub $($const)? fn new() -> Slot {
                Slot { call: AtomicPtr::new(null_mut()), data: AtomicPtr::new(null_mut()) }
            }
        }
        impl Backing {
            /// Of an empty slot.
            pub $($const)? fn new() -> Backing {
                Backing(AtomicPtr::new(null_mut()))
            }
        }
    };
}
#[cfg(not(loom))]
constructors!(const);
#[cfg(loom)]
constructors!();

impl Default for Slot {
    fn default() -> Slot {
        Slot::new()
    }
}

impl Default for Backing {
    fn default() -> Backing {
        Backing::new()
    }
}

impl Slot {
    /// The pair, if it is inline; readers only, inside.
    #[inline(always)]
    pub fn inline(&self) -> Option<Entry> {
        // Acquire: pairs with the Release in `settle`, so the data below is this function's.
        let call = self.call.load(Acquire);
        // Loaded before it is known to be of use: both addresses are then made in one place.
        let data = self.data.load(Relaxed);
        (call.addr() > 1).then_some(Entry { call, data })
    }

    /// The pair, wherever it is; `None` for an empty slot. Readers only, inside.
    #[inline(always)]
    pub fn load(&self, backing: &Backing) -> Option<Entry> {
        self.inline().or_else(|| self.load_backing(backing))
    }

    #[cold]
    fn load_backing(&self, backing: &Backing) -> Option<Entry> {
        // Relaxed: only tells an empty slot; the entry's own Acquire follows.
        if self.call.load(Relaxed).is_null() {
            return None;
        }
        // Acquire: pairs with the Release in `install`, so the entry's fields are seen.
        let entry = backing.0.load(Acquire);
        // SAFETY: an entry is freed only after every reader that could have loaded its address has
        // left, and this reader is inside.
        (!entry.is_null()).then(|| unsafe { *entry })
    }

    /// Publishes a registration. The old entry may be freed, and [`Slot::settle`] called, once every
    /// reader that is inside now has left. Writer only.
    pub fn install(&self, backing: &Backing, entry: *mut Entry) {
        // Release: pairs with the Acquire in `load_backing`.
        backing.0.store(entry, Release);
        // Release: whoever sees the marker sees the entry too.
        self.call.store(marker(), Release);
    }

    /// Puts an installed registration inline. Writer only, after the grace period of its `install`,
    /// and only if nothing was installed or removed since.
    pub fn settle(&self, entry: Entry) {
        self.data.store(entry.data, Relaxed);
        // Release: pairs with the Acquire in `inline`.
        self.call.store(entry.call, Release);
    }

    /// Empties the slot. The entry may be freed once every reader that is inside now has left.
    /// Writer only.
    pub fn remove(&self, backing: &Backing) {
        self.call.store(null_mut(), Relaxed);
        backing.0.store(null_mut(), Relaxed);
    }
}
