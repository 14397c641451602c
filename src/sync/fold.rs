//! Accesses folded into the instruction that uses them.
//!
//! The compiler keeps an atomic load and the comparison or operation after it apart, which costs an
//! instruction each on the fire path; and it takes some ways around a bit that one instruction would
//! do. Here the one instruction is written out for x86-64; elsewhere, and under loom, the same is said
//! in Rust. Every load is relaxed, or acquire where it says so: on x86-64 all loads are.

#[cfg(all(target_arch = "x86_64", not(loom), not(rmon_portable_tls)))]
mod machine {
    use core::arch::asm;

    /// The pointer, of which the compiler then knows nothing: it computes it once.
    #[inline(always)]
    pub fn hide<T>(mut pointer: *const T) -> *const T {
        // SAFETY: does nothing. `readonly` for the pointer's sake, of which nothing is read.
        unsafe {
            asm!("/* {0} */", inout(reg) pointer, options(pure, readonly, nostack, preserves_flags));
        }
        pointer
    }

    /// The set without a bit.
    #[inline(always)]
    pub fn without_bit(mut set: u32, bit: u32) -> u32 {
        // SAFETY: an operation on a register.
        unsafe {
            asm!(
                "btr {set:e}, {bit:e}",
                set = inout(reg) set,
                bit = in(reg) bit,
                options(pure, nomem, nostack),
            );
        }
        set
    }

    /// The bits of a set that the byte `DISPLACEMENT` bytes behind `base + offset` has too.
    ///
    /// # Safety
    /// The byte is valid for reads.
    #[inline(always)]
    pub unsafe fn and_byte<const DISPLACEMENT: usize>(
        mut set: u8,
        base: *const u8,
        offset: usize,
    ) -> u8 {
        // SAFETY: a load from a byte that is valid for it.
        unsafe {
            asm!(
                "and {set}, byte ptr [{base} + {offset} + {displacement}]",
                set = inout(reg_byte) set,
                base = in(reg) base,
                offset = in(reg) offset,
                displacement = const DISPLACEMENT,
                options(readonly, nostack),
            );
        }
        set
    }

    /// The bits of a set that a byte in memory has too. The set has eight bits at most: it is as wide as a
    /// register, so that it need not be widened again.
    ///
    /// # Safety
    /// The byte is valid for reads.
    #[inline(always)]
    pub unsafe fn and_byte_at(mut set: u32, byte: *const u8) -> u32 {
        // SAFETY: a load from a byte that is valid for it.
        unsafe {
            asm!(
                "and {set:l}, byte ptr [{byte}]",
                set = inout(reg) set,
                byte = in(reg) byte,
                options(readonly, nostack),
            );
        }
        set
    }

    /// Whether a byte in memory has a bit of the set.
    ///
    /// # Safety
    /// The byte is valid for reads.
    #[inline(always)]
    pub unsafe fn has_any_of(set: u8, byte: *const u8) -> bool {
        // SAFETY: a load from a byte that is valid for it.
        unsafe {
            asm!(
                "test byte ptr [{byte}], {set}",
                "jnz {some}",
                set = in(reg_byte) set,
                byte = in(reg) byte,
                some = label { return true },
                options(readonly, nostack),
            );
        }
        false
    }

    /// Stores two bytes at once, of whatever alignment, `DISPLACEMENT` bytes behind `base`.
    ///
    /// # Safety
    /// Both bytes are valid for writes.
    #[inline(always)]
    pub unsafe fn store_bytes<const DISPLACEMENT: usize>(base: *mut u8, pair: u16) {
        // SAFETY: a store to two bytes that are valid for it.
        unsafe {
            asm!(
                "mov word ptr [{base} + {displacement}], {pair:x}",
                base = in(reg) base,
                pair = in(reg) pair,
                displacement = const DISPLACEMENT,
                options(nostack, preserves_flags),
            );
        }
    }

    /// Whether the byte `DISPLACEMENT` bytes behind `base` is above a number.
    ///
    /// # Safety
    /// The byte is valid for reads.
    #[inline(always)]
    pub unsafe fn is_above<const DISPLACEMENT: usize, const NUMBER: u8>(base: *const u8) -> bool {
        // SAFETY: a load from a byte that is valid for it.
        unsafe {
            asm!(
                "cmp byte ptr [{base} + {displacement}], {number}",
                "ja {above}",
                base = in(reg) base,
                displacement = const DISPLACEMENT,
                number = const NUMBER,
                above = label { return true },
                options(readonly, nostack),
            );
        }
        false
    }

    /// Whether the byte `DISPLACEMENT` bytes behind `base + offset` is zero.
    ///
    /// # Safety
    /// The byte is valid for reads.
    #[inline(always)]
    pub unsafe fn is_zero<const DISPLACEMENT: usize>(base: *const u8, offset: usize) -> bool {
        // SAFETY: a load from a byte that is valid for it.
        unsafe {
            asm!(
                "cmp byte ptr [{base} + {offset} + {displacement}], 0",
                "je {zero}",
                base = in(reg) base,
                offset = in(reg) offset,
                displacement = const DISPLACEMENT,
                zero = label { return true },
                options(readonly, nostack),
            );
        }
        false
    }

    /// Whether the word `DISPLACEMENT` bytes behind `base + offset` differs; an acquire load.
    ///
    /// # Safety
    /// The word is valid for reads.
    #[inline(always)]
    pub unsafe fn word_differs<const DISPLACEMENT: usize>(
        base: *const u8,
        offset: usize,
        word: usize,
    ) -> bool {
        // SAFETY: a load from a word that is valid for it.
        unsafe {
            asm!(
                "cmp qword ptr [{base} + {offset} + {displacement}], {word}",
                "jne {differs}",
                base = in(reg) base,
                offset = in(reg) offset,
                word = in(reg) word,
                displacement = const DISPLACEMENT,
                differs = label { return true },
                options(readonly, nostack),
            );
        }
        false
    }

    /// As [`word_differs`], for half a word.
    ///
    /// # Safety
    /// The half word is valid for reads.
    #[inline(always)]
    pub unsafe fn half_differs<const DISPLACEMENT: usize>(
        base: *const u8,
        offset: usize,
        half: u32,
    ) -> bool {
        // SAFETY: a load from half a word that is valid for it.
        unsafe {
            asm!(
                "cmp dword ptr [{base} + {offset} + {displacement}], {half:e}",
                "jne {differs}",
                base = in(reg) base,
                offset = in(reg) offset,
                half = in(reg) half,
                displacement = const DISPLACEMENT,
                differs = label { return true },
                options(readonly, nostack),
            );
        }
        false
    }
}

#[cfg(not(all(target_arch = "x86_64", not(loom), not(rmon_portable_tls))))]
mod machine {
    use super::super::prim::{
        AtomicU8, AtomicU32, AtomicUsize,
        Ordering::{Acquire, Relaxed},
    };

    /// The pointer.
    #[inline(always)]
    pub fn hide<T>(pointer: *const T) -> *const T {
        pointer
    }

    /// The set without a bit.
    #[inline(always)]
    pub fn without_bit(set: u32, bit: u32) -> u32 {
        set & !(1 << bit)
    }

    /// The bits of a set that a byte in memory has too. The set has eight bits at most.
    ///
    /// # Safety
    /// The byte is valid for reads, and an atomic for all who use it.
    #[inline(always)]
    pub unsafe fn and_byte_at(set: u32, byte: *const u8) -> u32 {
        // SAFETY: the caller's promise.
        set & u32::from(unsafe { &*byte.cast::<AtomicU8>() }.load(Relaxed))
    }

    /// The bits of a set that the byte `DISPLACEMENT` bytes behind `base + offset` has too.
    ///
    /// # Safety
    /// As for [`and_byte_at`].
    #[inline(always)]
    pub unsafe fn and_byte<const DISPLACEMENT: usize>(
        set: u8,
        base: *const u8,
        offset: usize,
    ) -> u8 {
        // SAFETY: the caller's promise.
        unsafe { and_byte_at(set.into(), base.add(offset + DISPLACEMENT)) as u8 }
    }

    /// Whether a byte in memory has a bit of the set.
    ///
    /// # Safety
    /// As for [`and_byte_at`].
    #[inline(always)]
    pub unsafe fn has_any_of(set: u8, byte: *const u8) -> bool {
        // SAFETY: the caller's promise.
        unsafe { and_byte_at(set.into(), byte) != 0 }
    }

    /// Stores two bytes, of whatever alignment, `DISPLACEMENT` bytes behind `base`, the lower half of
    /// the pair first.
    ///
    /// # Safety
    /// Both bytes are valid for writes, and atomics for all who use them.
    #[inline(always)]
    pub unsafe fn store_bytes<const DISPLACEMENT: usize>(base: *mut u8, pair: u16) {
        // SAFETY: the caller's promise.
        unsafe {
            let bytes = base.add(DISPLACEMENT);
            (*bytes.cast::<AtomicU8>()).store(pair as u8, Relaxed);
            (*bytes.add(1).cast::<AtomicU8>()).store((pair >> 8) as u8, Relaxed);
        }
    }

    /// Whether the byte `DISPLACEMENT` bytes behind `base` is above a number.
    ///
    /// # Safety
    /// As for [`and_byte_at`].
    #[inline(always)]
    pub unsafe fn is_above<const DISPLACEMENT: usize, const NUMBER: u8>(base: *const u8) -> bool {
        // SAFETY: the caller's promise.
        unsafe { &*base.add(DISPLACEMENT).cast::<AtomicU8>() }.load(Relaxed) > NUMBER
    }

    /// Whether the byte `DISPLACEMENT` bytes behind `base + offset` is zero.
    ///
    /// # Safety
    /// As for [`and_byte_at`].
    #[inline(always)]
    pub unsafe fn is_zero<const DISPLACEMENT: usize>(base: *const u8, offset: usize) -> bool {
        // SAFETY: the caller's promise.
        unsafe { &*base.add(offset + DISPLACEMENT).cast::<AtomicU8>() }.load(Relaxed) == 0
    }

    /// Whether the word `DISPLACEMENT` bytes behind `base + offset` differs; an acquire load.
    ///
    /// # Safety
    /// The word is valid for reads, and an atomic for all who use it.
    #[inline(always)]
    pub unsafe fn word_differs<const DISPLACEMENT: usize>(
        base: *const u8,
        offset: usize,
        word: usize,
    ) -> bool {
        // SAFETY: the caller's promise.
        let found = unsafe { &*base.add(offset + DISPLACEMENT).cast::<AtomicUsize>() };
        found.load(Acquire) != word
    }

    /// As [`word_differs`], for half a word.
    ///
    /// # Safety
    /// As for [`word_differs`].
    #[inline(always)]
    pub unsafe fn half_differs<const DISPLACEMENT: usize>(
        base: *const u8,
        offset: usize,
        half: u32,
    ) -> bool {
        // SAFETY: the caller's promise.
        let found = unsafe { &*base.add(offset + DISPLACEMENT).cast::<AtomicU32>() };
        found.load(Relaxed) != half
    }
}

pub use machine::{
    and_byte, and_byte_at, half_differs, has_any_of, hide, is_above, is_zero, store_bytes,
    without_bit, word_differs,
};
