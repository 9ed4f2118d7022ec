//! A module as an author with std writes it: a `HashMap` and a `BTreeMap` for each person, on the heap.
//!
//! Must never be shipped: it is here to be measured. Rows are (cell, amount); the first four cells in order
//! get their sums, one more pair counts the distinct ones. Built, in this folder, by
//! `rustc --edition 2024 -O -C panic=abort -C lto -C codegen-units=1 -C strip=symbols --crate-type cdylib
//! --target wasm32-unknown-unknown -C link-arg=--no-growable-memory -C link-arg=-zstack-size=16384
//! -o module.wasm module.rs`
#![allow(
    unsafe_code,
    reason = "names that the host looks up, statics that it writes, an allocator"
)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};

const ROWS: usize = 8;
const PAIRS: usize = 5;
const COLUMN_WORDS: usize = 1 + ROWS;
const ARENA_BYTES: usize = 64 << 10;

#[repr(C, align(16))]
pub struct Buffer<const N: usize>(UnsafeCell<[u64; N]>);
// SAFETY: one thread.
unsafe impl<const N: usize> Sync for Buffer<N> {}

#[unsafe(no_mangle)]
pub static CLOISTER_INPUT: Buffer<{ 2 * COLUMN_WORDS }> =
    Buffer(UnsafeCell::new([0; 2 * COLUMN_WORDS]));
#[unsafe(no_mangle)]
pub static CLOISTER_OUTPUT: Buffer<{ 2 * PAIRS }> = Buffer(UnsafeCell::new([0; 2 * PAIRS]));
#[unsafe(no_mangle)]
pub static CLOISTER_LAYOUT: [u32; 4] = [1, 2 * COLUMN_WORDS as u32 * 8, PAIRS as u32 * 16, 0];

/// Takes from a static array and never gives back: the host restores the array after each person.
struct Arena {
    bytes: Buffer<{ ARENA_BYTES / 8 }>,
    used: AtomicUsize,
}

#[global_allocator]
static ARENA: Arena =
    Arena { bytes: Buffer(UnsafeCell::new([0; ARENA_BYTES / 8])), used: AtomicUsize::new(0) };

unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.used.load(Ordering::Relaxed).next_multiple_of(layout.align());
        let end = start + layout.size();
        if end > ARENA_BYTES {
            return std::ptr::null_mut();
        }
        self.used.store(end, Ordering::Relaxed);
        // SAFETY: inside the array, which nobody else touches.
        unsafe { self.bytes.0.get().cast::<u8>().add(start) }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[unsafe(no_mangle)]
pub extern "C" fn person_map(rows: i32) -> i32 {
    let rows = (rows as usize).min(ROWS);
    // SAFETY: one call at a time, the host waits meanwhile.
    let (input, output) = unsafe { (&*CLOISTER_INPUT.0.get(), &mut *CLOISTER_OUTPUT.0.get()) };
    let (cells, amounts) = input.split_at(COLUMN_WORDS);
    let mut sums: BTreeMap<u64, i64> = BTreeMap::new();
    let mut counts: HashMap<u64, u32> = HashMap::new();
    for row in 0..rows {
        if cells[0] >> row & 1 == 1 && amounts[0] >> row & 1 == 1 {
            *sums.entry(cells[1 + row]).or_default() += amounts[1 + row] as i64;
            *counts.entry(cells[1 + row]).or_default() += 1;
        }
    }
    let distinct = counts.len() as i64;
    let pairs = sums.into_iter().take(PAIRS - 1).chain([(u64::from(u32::MAX), distinct)]);
    let mut count = 0;
    for (nth, (cell, value)) in pairs.enumerate() {
        output[2 * nth] = cell & 0xffff_ffff;
        output[2 * nth + 1] = value as u64;
        count += 1;
    }
    count
}
