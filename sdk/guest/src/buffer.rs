//! The two static buffers that the host writes and reads between calls.
//!
//! Must never be read or written while the host is at it: the host acts only before and after the one call.
#![allow(
    unsafe_code,
    reason = "the interface is memory shared with the host: statics that something outside Rust writes"
)]

use core::cell::UnsafeCell;

use crate::output::{Number, Pair};

/// 64-bit words of a validity bitmap over so many rows.
pub const fn bitmap_words(rows_max: usize) -> usize {
    rows_max.div_ceil(64)
}

/// 64-bit words of one column: bitmap, then values.
pub const fn column_words(rows_max: usize) -> usize {
    bitmap_words(rows_max) + rows_max
}

/// 64-bit words of the input buffer.
pub const fn input_words(rows_max: usize, columns: usize) -> usize {
    column_words(rows_max) * columns
}

/// Where the host puts one person's columns.
#[repr(C, align(16))]
pub struct InputBuffer<const WORDS: usize>(UnsafeCell<[u64; WORDS]>);

/// Where the module puts its pairs.
#[repr(C, align(16))]
pub struct OutputBuffer<const PAIRS: usize>(UnsafeCell<[Pair; PAIRS]>);

/// Where the module puts its values in order.
#[repr(C, align(16))]
pub struct ValueBuffer<T, const VALUES: usize>(UnsafeCell<[T; VALUES]>);

// SAFETY: a module has one thread, and the host touches the bytes only while no code of the module runs.
unsafe impl<const WORDS: usize> Sync for InputBuffer<WORDS> {}
// SAFETY: as above.
unsafe impl<const PAIRS: usize> Sync for OutputBuffer<PAIRS> {}
// SAFETY: as above.
unsafe impl<T: Number, const VALUES: usize> Sync for ValueBuffer<T, VALUES> {}

impl<const WORDS: usize> InputBuffer<WORDS> {
    /// An empty buffer; it takes no room in the module's file.
    #[allow(clippy::new_without_default, reason = "made once, as a static")]
    pub const fn new() -> Self {
        InputBuffer(UnsafeCell::new([0; WORDS]))
    }

    /// The words, for [`person_map!`](crate::person_map) alone.
    ///
    /// # Safety
    /// Nothing may write the buffer while the slice lives: call it once, at the start of `person_map`.
    #[doc(hidden)]
    pub unsafe fn words(&self) -> &[u64] {
        // SAFETY: every bit pattern is a u64, and the caller vouches that nothing writes meanwhile.
        unsafe { &*self.0.get() }
    }
}

impl<const PAIRS: usize> OutputBuffer<PAIRS> {
    /// An empty buffer; it takes no room in the module's file.
    #[allow(clippy::new_without_default, reason = "made once, as a static")]
    pub const fn new() -> Self {
        OutputBuffer(UnsafeCell::new([Pair::ZERO; PAIRS]))
    }

    /// The pairs, for [`person_map!`](crate::person_map) alone.
    ///
    /// # Safety
    /// Nothing else may use the buffer while the slice lives: call it once, at the start of `person_map`.
    #[doc(hidden)]
    #[allow(clippy::mut_from_ref, reason = "the cell makes it sound, the caller makes it unique")]
    pub unsafe fn pairs(&self) -> &mut [Pair] {
        // SAFETY: the caller vouches that this is the only reference.
        unsafe { &mut *self.0.get() }
    }
}

impl<T: Number, const VALUES: usize> ValueBuffer<T, VALUES> {
    /// An empty buffer; it takes no room in the module's file.
    #[allow(clippy::new_without_default, reason = "made once, as a static")]
    pub const fn new() -> Self {
        ValueBuffer(UnsafeCell::new([T::ZERO; VALUES]))
    }

    /// The values, for [`person_map!`](crate::person_map) alone.
    ///
    /// # Safety
    /// Nothing else may use the buffer while the reference lives: call it once, at the start of `person_map`.
    #[doc(hidden)]
    #[allow(clippy::mut_from_ref, reason = "the cell makes it sound, the caller makes it unique")]
    pub unsafe fn values(&self) -> &mut [T; VALUES] {
        // SAFETY: the caller vouches that this is the only reference.
        unsafe { &mut *self.0.get() }
    }
}
