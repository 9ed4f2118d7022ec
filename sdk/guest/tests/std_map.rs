//! A module with the collections of std, as its author tests it: compiled for this machine, its map run on
//! plain words. What it does in the sandbox is tested there, with the bytes built from the same file.
//!
//! Must never bring a panic handler: that this compiles shows that std keeps its own.

#[path = "../benches/std_map/module.rs"]
mod module;

use cloister_guest::Pair;
use module::{INPUT_WORDS, OUTPUTS_MAX, ROWS_MAX, map_words};

#[test]
fn a_module_with_std_collections_declares_itself_like_any_other() {
    let mut words = [0; INPUT_WORDS];
    let (cells, amounts) = words.split_at_mut(1 + ROWS_MAX);
    cells[..8].copy_from_slice(&[0b111_1111, 3, 1, 3, 9, 5, 4, 1]);
    // The last row has no amount.
    let four_less = (-4_i64).cast_unsigned();
    amounts[..8].copy_from_slice(&[0b011_1111, 10, 1, four_less, 2, 7, 7, 100]);
    let mut pairs = [Pair::ZERO; OUTPUTS_MAX];
    assert_eq!(map_words(&words, 7, &mut pairs), 5);
    let want = [(1, 1), (3, 6), (4, 7), (5, 7), (u32::MAX, 5)];
    assert_eq!(pairs, want.map(|(index, value)| Pair { index, zero: 0, value }));
    assert_eq!(map_words(&words, 0, &mut pairs), 1);
    assert_eq!(pairs[0], Pair { index: u32::MAX, zero: 0, value: 0 });
}
