//! A module as an author with std writes it: a `HashMap` and a `BTreeMap` for each person, on the heap.
//!
//! Must never be shipped: it is here to be measured. Rows are (cell, amount); the first four cells in order
//! get their sums, one more pair counts the distinct ones. Built, in this folder, by
//! `rustc --edition 2024 -O -C panic=abort -C codegen-units=1 --crate-type rlib --crate-name cloister_guest
//! --target wasm32-unknown-unknown -o libcloister_guest.rlib ../../src/lib.rs`, then
//! `rustc --edition 2024 -O -C panic=abort -C lto -C codegen-units=1 -C strip=symbols --crate-type cdylib
//! --target wasm32-unknown-unknown -C link-arg=--no-growable-memory -C link-arg=-zstack-size=16384
//! --extern cloister_guest=libcloister_guest.rlib -o module.wasm module.rs`

use std::collections::{BTreeMap, HashMap};

use cloister_guest::Output;

/// Cells whose sums are given.
const SUMS_MAX: usize = 4;

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ARENA: cloister_guest::Arena<{ 64 << 10 }> = cloister_guest::Arena::new();

cloister_guest::person_map_std! {
    rows_max: 8,
    outputs_max: SUMS_MAX + 1,
    columns: { cell: Int, amount: Int },
    map: sums,
}

/// Emits (cell, sum) for the first [`SUMS_MAX`] cells in order, then how many cells there are.
fn sums(person: &Person<'_>, out: &mut Output<'_>) {
    let mut sums: BTreeMap<i64, i64> = BTreeMap::new();
    let mut counts: HashMap<i64, u32> = HashMap::new();
    for (cell, amount) in person.cell.iter().zip(person.amount.iter()) {
        let (Some(cell), Some(amount)) = (cell, amount) else { continue };
        *sums.entry(cell).or_default() += amount;
        *counts.entry(cell).or_default() += 1;
    }
    for (cell, sum) in sums.into_iter().take(SUMS_MAX) {
        out.emit(cell as u32, sum);
    }
    out.emit(u32::MAX, counts.len() as i64);
}
