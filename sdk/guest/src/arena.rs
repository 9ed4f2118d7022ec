//! Memory for modules that allocate: a static array, used up from its start.
//!
//! Must never take anything back: the host restores the array after each person, so every person begins with
//! all of it.
#![allow(
    unsafe_code,
    reason = "an allocator hands out raw memory: places in a static, each of them once"
)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

/// A global allocator of `BYTES` bytes, for modules with `std`, whose own allocator would let memory grow
/// (which the vetter refuses), and for `#![no_std]` ones that use `alloc`.
///
/// ```
/// // On the author's own machine, where tests run, the system's allocator stays.
/// #[cfg(target_arch = "wasm32")]
/// #[global_allocator]
/// static ARENA: cloister_guest::Arena<{ 64 << 10 }> = cloister_guest::Arena::new();
/// # fn main() {}
/// ```
///
/// A person for whom it does not suffice gets the default contribution. What is dropped stays used until the
/// person's end, and a vector that grows leaves its smaller places behind: with what is known beforehand
/// (`Vec::with_capacity`) a module does with half the room.
#[repr(C, align(16))]
pub struct Arena<const BYTES: usize> {
    bytes: UnsafeCell<[u8; BYTES]>,
    used: AtomicUsize,
}

// SAFETY: the bytes are reached through places alone, and no two of those share one: `used` moves past a place
// before anybody gets it.
unsafe impl<const BYTES: usize> Sync for Arena<BYTES> {}

impl<const BYTES: usize> Arena<BYTES> {
    /// Nothing used yet; it takes no room in the module's file.
    #[allow(clippy::new_without_default, reason = "made once, as a static")]
    pub const fn new() -> Self {
        Arena { bytes: UnsafeCell::new([0; BYTES]), used: AtomicUsize::new(0) }
    }

    /// Where a place for this layout begins and ends behind the first `used` bytes; `None` when it does not fit.
    fn place(&self, used: usize, layout: Layout) -> Option<(usize, usize)> {
        let first = self.bytes.get().addr();
        let address = first.checked_add(used)?.checked_next_multiple_of(layout.align())?;
        let start = address.checked_sub(first)?;
        let end = start.checked_add(layout.size())?;
        (end <= BYTES).then_some((start, end))
    }
}

// SAFETY: every place lies inside the array, is aligned as its layout asks, and is given out once.
unsafe impl<const BYTES: usize> GlobalAlloc for Arena<BYTES> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let Some((start, end)) = self.place(used, layout) else { return ptr::null_mut() };
            match self.used.compare_exchange(used, end, Ordering::Relaxed, Ordering::Relaxed) {
                // SAFETY: `start` is at most the array's length.
                Ok(_) => return unsafe { self.bytes.get().cast::<u8>().add(start) },
                Err(now) => used = now,
            }
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn places_are_aligned_apart_and_inside_until_the_array_is_used_up() {
        static ARENA: Arena<256> = Arena::new();
        let first = ARENA.bytes.get().addr();
        let mut free = first;
        for (size, align) in [(1, 1), (8, 8), (3, 1), (16, 16), (5, 64)] {
            // SAFETY: nothing is read or written there.
            let place = unsafe { ARENA.alloc(layout(size, align)) }.addr();
            assert!(place.is_multiple_of(align), "{size} {align}");
            assert!(place >= free && place + size <= first + 256, "{size} {align}");
            free = place + size;
        }
        for size in [256, isize::MAX as usize] {
            // SAFETY: as above.
            assert!(unsafe { ARENA.alloc(layout(size, 1)) }.is_null(), "{size}");
        }
    }

    #[test]
    fn what_is_given_back_is_not_given_out_again_and_what_grows_keeps_its_bytes() {
        static ARENA: Arena<64> = Arena::new();
        let bytes = layout(8, 8);
        // SAFETY: each place is used as long as its layout says.
        unsafe {
            let one = ARENA.alloc_zeroed(bytes);
            one.write(7);
            ARENA.dealloc(one, bytes);
            let other = ARENA.alloc(bytes);
            assert_eq!(other.addr(), one.addr() + 8);
            other.write(9);
            let grown = ARENA.realloc(other, bytes, 24);
            assert_eq!((grown.addr(), grown.read()), (other.addr() + 8, 9));
            assert!(ARENA.realloc(grown, layout(24, 8), 48).is_null());
        }
    }
}
