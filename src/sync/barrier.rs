//! The fence that the writer makes all readers pass.
//!
//! On Linux membarrier(2), "private expedited": when it returns, every running thread of the process
//! has executed a full fence since it was called. Where the kernel refuses it (too old, seccomp, not
//! Linux) the writer executes an ordinary fence, and readers are told, by [`readers_must_fence`], to
//! execute one as well.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst, fence};

/// Whether membarrier is refused; decided once, in [`start`].
static READERS_MUST_FENCE: AtomicBool = AtomicBool::new(false);

#[cfg(target_os = "linux")]
mod membarrier {
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;

    fn call(command: libc::c_int) -> bool {
        // SAFETY: membarrier takes no pointers; an unknown command is refused.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }

    pub fn register() -> bool {
        call(REGISTER_PRIVATE_EXPEDITED) && call(PRIVATE_EXPEDITED)
    }

    pub fn is_unwanted() -> bool {
        // SAFETY: both only read; the name is a string. (Not std's, which copies what it finds.)
        unsafe {
            libc::getauxval(libc::AT_SECURE) == 0
                && !libc::getenv(c"RMON_NO_MEMBARRIER".as_ptr()).is_null()
        }
    }

    pub fn execute() -> bool {
        // A registration belongs to the address space; a second one is for a kernel that forgets it
        // across fork.
        call(PRIVATE_EXPEDITED) || register()
    }
}

#[cfg(not(target_os = "linux"))]
mod membarrier {
    pub fn register() -> bool {
        false
    }

    pub fn is_unwanted() -> bool {
        false
    }

    pub fn execute() -> bool {
        false
    }
}

/// Chooses the fence; before any reader exists. `RMON_NO_MEMBARRIER` in the environment takes
/// the fall-back, for tests of it, but not in a program with privileges that its user has not.
pub fn start() {
    let refused = membarrier::is_unwanted() || !membarrier::register();
    READERS_MUST_FENCE.store(refused, Relaxed);
}

/// The same by other means, for a process that forbade itself membarrier after the library started
/// (a seccomp filter): taking a right from a page that is in use interrupts every processor that runs
/// a thread of the process, and the interrupt is a fence.
fn shoot_down() -> bool {
    const SIZE: usize = 4096;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a mapping of its own, at an address that the kernel chooses, written to while it may be
    // and given back.
    unsafe {
        let page = libc::mmap(core::ptr::null_mut(), SIZE, access, flags, -1, 0);
        if page == libc::MAP_FAILED {
            return false;
        }
        page.cast::<u8>().write_volatile(1);
        let done = libc::mprotect(page, SIZE, libc::PROT_NONE) == 0;
        libc::munmap(page, SIZE);
        done
    }
}

/// Whether a reader must execute a full fence of its own after entering.
pub fn readers_must_fence() -> bool {
    READERS_MUST_FENCE.load(Relaxed)
}

/// What was stored before this is seen by every reader that enters after it; every reader that
/// entered before it is seen by loads after it.
pub fn barrier() {
    // SeqCst: one half of the two-variable reasoning in `word`; the other half is the reader's own
    // fence, or the kernel's on its behalf.
    fence(SeqCst);
    if !readers_must_fence() && !membarrier::execute() && !shoot_down() {
        // One of the two worked when the library started. Readers do not fence, so going on would be
        // unsound.
        std::process::abort();
    }
    fence(SeqCst);
}

/// The reader's own fence after entering, where [`readers_must_fence`].
#[inline]
pub fn reader_fence() {
    // SeqCst: the reader's half of the two-variable reasoning in `word`.
    fence(SeqCst);
}
