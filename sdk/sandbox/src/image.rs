//! Memory and mutable globals as they must stand before each person, and the way back to them.
//!
//! Must never leave a byte that a person could have changed: what a tier does not copy back, its proof covers.

use wasmtime::Val;

use crate::engine::Restore;
use crate::job::JobError;
use crate::limits::{CARD_BYTES_LOG2, GROUP_CARDS_LOG2, STORE_BYTES_MAX};
use crate::live::{Live, sandbox};
use crate::rewrite::MARKS_START;

/// Cards of a group, whose marks are looked through at once.
const GROUP_CARDS: usize = 1 << GROUP_CARDS_LOG2;
/// Bytes behind a marked card that a store which began in it may have written.
const REACH_BYTES: usize = STORE_BYTES_MAX - 1;
/// Bytes of marks that are compared at once.
const COMPARED_BYTES: usize = 64;

/// A fresh instance's state, its input buffer zeroed.
pub(crate) struct Image {
    memory: Vec<u8>,
    globals: Vec<Val>,
    /// Runs of marked cards, kept for its room: the first one and how many.
    dirty: Vec<(usize, usize)>,
}

impl Image {
    /// Taken from an instance that has run nothing.
    pub(crate) fn of(live: &mut Live) -> Image {
        let memory = live.memory.data(&live.store).to_vec();
        let globals = live.globals.iter().map(|global| global.get(&mut live.store)).collect();
        Image { memory, globals, dirty: Vec::new() }
    }

    /// Number of globals.
    #[cfg(test)]
    pub(crate) fn globals_len(&self) -> usize {
        self.globals.len()
    }

    /// Undoes what a person's run wrote, after a return; the input that the host wrote is not its concern.
    ///
    /// # Errors
    /// [`JobError::Sandbox`] when the instance is not the image's.
    pub(crate) fn restore(&mut self, live: &mut Live, how: &Restore) -> Result<(), JobError> {
        let gone = || JobError::Sandbox { detail: "the image does not fit".to_owned() };
        match how {
            Restore::Nothing | Restore::Instance => {}
            Restore::Ranges(ranges) => {
                let data = live.memory.data_mut(&mut live.store);
                for (start, end) in ranges {
                    copy(data, &self.memory, *start, *end).ok_or_else(gone)?;
                }
            }
            Restore::Cards => {
                let marks = live.marks.ok_or_else(gone)?.data_mut(&mut live.store);
                take_marks(marks, self.memory.len(), &mut self.dirty).ok_or_else(gone)?;
                let data = live.memory.data_mut(&mut live.store);
                for (first, cards) in &self.dirty {
                    // What is marked past the end of memory is no card; it stands behind an empty range.
                    let start = (first << CARD_BYTES_LOG2).min(self.memory.len());
                    let end = ((first + cards) << CARD_BYTES_LOG2) + REACH_BYTES;
                    copy(data, &self.memory, start, end.min(self.memory.len())).ok_or_else(gone)?;
                }
            }
        }
        for (global, value) in live.globals.iter().zip(&self.globals) {
            global.set(&mut live.store, *value).map_err(sandbox)?;
        }
        Ok(())
    }

    /// Whether memory and globals are the image's, byte for byte, and no mark is left.
    pub(crate) fn matches(&self, live: &mut Live) -> bool {
        let Live { store, memory, marks, globals, .. } = live;
        let values = globals.iter().map(|global| global.get(&mut *store));
        let same_globals = values.zip(&self.globals).all(|(found, want)| same(&found, want));
        let unmarked = marks.is_none_or(|marks| {
            let (chunks, rest) = marks.data(&*store).as_chunks::<COMPARED_BYTES>();
            chunks.iter().all(|chunk| *chunk == [0; COMPARED_BYTES])
                && rest.iter().all(|mark| *mark == 0)
        });
        same_globals && unmarked && memory.data(&*store) == self.memory.as_slice()
    }
}

/// Lists the runs of marked cards, group by group, and clears all marks. A return leaves marks for existing
/// cards only, and for the one past them: a mark farther on stands before a write past the end of memory,
/// which traps.
fn take_marks(
    marks: &mut [u8],
    memory_bytes: usize,
    dirty: &mut Vec<(usize, usize)>,
) -> Option<()> {
    dirty.clear();
    let groups = (memory_bytes >> (CARD_BYTES_LOG2 + GROUP_CARDS_LOG2)) + 1;
    let (group_marks, card_marks) = marks.split_at_mut_checked(MARKS_START as usize)?;
    let (words, _) = group_marks.as_chunks_mut::<8>();
    let (cards, _) = card_marks.as_chunks_mut::<GROUP_CARDS>();
    for (word_nth, word) in words.get_mut(..groups.div_ceil(8))?.iter_mut().enumerate() {
        let mut marked = bits(*word);
        if marked == 0 {
            continue;
        }
        *word = [0; 8];
        while marked != 0 {
            let group = word_nth * 8 + marked.trailing_zeros() as usize;
            marked &= marked - 1;
            let chunk = cards.get_mut(group)?;
            push_runs(group * GROUP_CARDS, bits_of_group(chunk), dirty);
            *chunk = [0; GROUP_CARDS];
        }
    }
    Some(())
}

/// Bit i: byte i of the group is not zero.
fn bits_of_group(chunk: &[u8; GROUP_CARDS]) -> u64 {
    let (words, _) = chunk.as_chunks::<8>();
    words.iter().rev().fold(0, |mask, word| mask << 8 | bits(*word))
}

/// Bit i, of eight: byte i is not zero.
fn bits(word: [u8; 8]) -> u64 {
    const LOW_SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let word = u64::from_le_bytes(word);
    // The top bit of each byte; no byte's sum reaches into the next.
    let top = ((word & LOW_SEVEN) + LOW_SEVEN | word) & !LOW_SEVEN;
    // Brings the bit of byte i to bit 56 + i; no two products meet.
    (top >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

fn push_runs(first: usize, mut marked: u64, dirty: &mut Vec<(usize, usize)>) {
    let mut at = first;
    while marked != 0 {
        let skipped = marked.trailing_zeros();
        marked >>= skipped;
        let cards = marked.trailing_ones();
        at += skipped as usize;
        dirty.push((at, cards as usize));
        at += cards as usize;
        marked = marked.checked_shr(cards).unwrap_or(0);
    }
}

fn copy(data: &mut [u8], image: &[u8], start: usize, end: usize) -> Option<()> {
    data.get_mut(start..end)?.copy_from_slice(image.get(start..end)?);
    Some(())
}

/// Same bits; floats too, so that a NaN equals itself.
fn same(one: &Val, other: &Val) -> bool {
    match (one, other) {
        (Val::I32(one), Val::I32(other)) => one == other,
        (Val::I64(one), Val::I64(other)) => one == other,
        (Val::F32(one), Val::F32(other)) => one == other,
        (Val::F64(one), Val::F64(other)) => one == other,
        (Val::V128(one), Val::V128(other)) => one.as_u128() == other.as_u128(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PAGE_BYTES;

    fn found(marks: &mut [u8], memory_bytes: usize) -> Vec<usize> {
        let mut dirty = vec![(7, 7)];
        take_marks(marks, memory_bytes, &mut dirty).unwrap();
        dirty.iter().flat_map(|(first, cards)| *first..first + cards).collect()
    }

    #[test]
    fn every_mark_is_found_whatever_its_value_and_cleared() {
        let start = MARKS_START as usize;
        let memory_bytes = 16 << 20;
        let last = memory_bytes >> CARD_BYTES_LOG2;
        let mut marks = vec![0; (2 * PAGE_BYTES) as usize];
        assert!(found(&mut marks, memory_bytes).is_empty());
        let mut want = Vec::new();
        // The last card is the one past the end.
        let values = [1, 0x80, 0xff, 2, 1, 1, 0x7f, 1, 0x40, 1];
        let cards = [0, 1, 7, 8, 30, 63, 64, 65, last - 1, last];
        for (card, value) in cards.into_iter().zip(values) {
            want.push(card);
            for card in &want {
                marks[start + card] = value;
                marks[card >> GROUP_CARDS_LOG2] = value;
            }
            assert_eq!(found(&mut marks, memory_bytes), want);
            assert!(marks.iter().all(|mark| *mark == 0));
        }
        for group in 0..last / GROUP_CARDS {
            marks[group] = 1;
            marks[start + group * GROUP_CARDS..][..GROUP_CARDS].fill(1);
        }
        assert_eq!(found(&mut marks, memory_bytes), (0..last).collect::<Vec<_>>());
    }

    #[test]
    fn bytes_become_bits_in_their_order() {
        for bit in 0..8 {
            for value in 1..=u8::MAX {
                let mut word = [0; 8];
                word[bit] = value;
                assert_eq!(bits(word), 1 << bit);
                let mut others = [value; 8];
                others[bit] = 0;
                assert_eq!(bits(others), 0xff & !(1 << bit));
            }
        }
    }

    #[test]
    fn marks_that_are_too_short_are_refused() {
        for bytes in [0, 1, MARKS_START as usize, MARKS_START as usize + 63] {
            let mut marks = vec![1; bytes];
            assert_eq!(take_marks(&mut marks, 1 << 20, &mut Vec::new()), None);
        }
    }
}
