//! What happens around fork: the child has one thread, and finds the library whole.
//!
//! Before, everything is taken that another thread may be in the middle of: the registry's lock, that of
//! `sync::reclaim`, and the walk through what is loaded, during which the loader holds a lock that a
//! child would inherit. After, it is let go in the parent and made anew in the child, where all other
//! threads are gone.
//!
//! The walk comes first: whoever is on one waits for the loader's lock, and who holds that may be making
//! a control call, from inside dl_iterate_phdr. So nothing that control calls need is held meanwhile.

use crate::{attach, registry, sync::reclaim};

unsafe extern "C" fn before() {
    attach::lock_for_fork();
    registry::lock_for_fork();
    reclaim::lock_for_fork();
}

unsafe extern "C" fn after_in_parent() {
    // SAFETY: all were locked by `before` on this thread; pthread_atfork calls them in pairs.
    unsafe {
        reclaim::unlock_after_fork();
        registry::unlock_after_fork();
        attach::unlock_after_fork();
    }
}

unsafe extern "C" fn after_in_child() {
    // SAFETY: as in the parent; the child has this thread only.
    unsafe {
        reclaim::keep_only_this_thread();
        registry::reset_after_fork();
        attach::reset_after_fork();
    }
}

/// When the library is loaded: so that a fork during the first control call finds the hooks. Should
/// there be no memory for them, fork is only safe while no other thread makes a control call.
extern "C" fn watch() {
    // SAFETY: the hooks have the signatures that pthread_atfork asks for.
    unsafe { libc::pthread_atfork(Some(before), Some(after_in_parent), Some(after_in_child)) };
}

// SAFETY: the section holds functions of this type, which are called once when the library is loaded.
#[used]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
static WATCH: extern "C" fn() = watch;
