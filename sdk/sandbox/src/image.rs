//! Memory and mutable globals as they must stand before each person, and the way back to them.
//!
//! Must never leave a byte that a person could have changed: what a tier does not copy back, its proof covers.

use wasmtime::Val;

use crate::engine::Restore;
use crate::job::JobError;
use crate::limits::{CARD_BYTES_LOG2, GROUP_CARDS_LOG2, STORE_BYTES_MAX, WHOLE_IMAGE_BYTES_MAX};
use crate::live::{Live, sandbox};
use crate::rewrite::MARKS_START;

/// Cards of a group, whose marks are looked through at once.
const GROUP_CARDS: usize = 1 << GROUP_CARDS_LOG2;
/// Bytes behind a marked card that a store which began in it may have written.
const REACH_BYTES: usize = STORE_BYTES_MAX - 1;
/// Bytes of marks that are compared at once.
const COMPARED_BYTES: usize = 64;

/// By how much the image's place in a page differs from the memory's: a load behind a store waits for it when
/// both have the same place, as if it read what was stored.
const APART_BYTES: usize = 2048;
/// What a processor compares of two addresses to tell them apart at first.
const ALIASED_BYTES: usize = 4096;

/// A fresh instance's state, its input buffer zeroed.
pub(crate) struct Image {
    memory: Apart,
    globals: Vec<Val>,
    /// Groups with marked cards, kept for its room: the first card, and a bit for each that is marked.
    dirty: Vec<(usize, u64)>,
}

impl Image {
    /// Taken from an instance that has run nothing.
    pub(crate) fn of(live: &mut Live) -> Image {
        let memory = Apart::copy_of(live.memory.data(&live.store));
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
        match how {
            Restore::Nothing | Restore::Instance => {}
            Restore::Ranges(ranges) => {
                let data = live.memory.data_mut(&mut live.store);
                for (start, end) in ranges {
                    copy(data, self.memory.bytes(), *start, *end).ok_or_else(gone)?;
                }
            }
            Restore::Cards => {
                let marks = live.marks.ok_or_else(gone)?.data_mut(&mut live.store);
                let image = self.memory.bytes();
                take_marks(marks, image.len(), &mut self.dirty).ok_or_else(gone)?;
                let data = live.memory.data_mut(&mut live.store);
                for (first, marked) in &self.dirty {
                    copy_cards(data, image, *first, *marked).ok_or_else(gone)?;
                }
            }
        }
        self.restore_globals(live)
    }

    /// Undoes whatever a run that did not return has done, its marks and the rows in the input buffer included.
    /// False, and nothing is done, where a new instance costs less than to copy the memory.
    ///
    /// # Errors
    /// [`JobError::Sandbox`] when the instance is not the image's.
    pub(crate) fn restore_whole(&self, live: &mut Live) -> Result<bool, JobError> {
        let image = self.memory.bytes();
        if image.len() > WHOLE_IMAGE_BYTES_MAX {
            return Ok(false);
        }
        copy(live.memory.data_mut(&mut live.store), image, 0, image.len()).ok_or_else(gone)?;
        if let Some(marks) = live.marks {
            // Those past the end of memory too: a mark stands before its write, also before one that traps.
            marks.data_mut(&mut live.store).fill(0);
        }
        live.rows_left = 0;
        self.restore_globals(live)?;
        Ok(true)
    }

    fn restore_globals(&self, live: &mut Live) -> Result<(), JobError> {
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
        same_globals && unmarked && memory.data(&*store) == self.memory.bytes()
    }
}

fn gone() -> JobError {
    JobError::Sandbox { detail: "the image does not fit".to_owned() }
}

/// A copy of a memory that lies [`APART_BYTES`] from it within a page.
struct Apart {
    room: Vec<u8>,
    start: usize,
}

impl Apart {
    fn copy_of(memory: &[u8]) -> Apart {
        let mut room: Vec<u8> = Vec::with_capacity(memory.len().saturating_add(ALIASED_BYTES));
        let place = memory.as_ptr().addr().wrapping_add(APART_BYTES);
        let start = place.wrapping_sub(room.as_ptr().addr()) % ALIASED_BYTES;
        room.resize(start, 0);
        room.extend_from_slice(memory);
        Apart { room, start }
    }

    fn bytes(&self) -> &[u8] {
        self.room.get(self.start..).unwrap_or_default()
    }
}

/// Lists the groups with marked cards and clears all marks. A return leaves marks for existing
/// cards only, and for the one past them: a mark farther on stands before a write past the end of memory,
/// which traps.
fn take_marks(marks: &mut [u8], memory_bytes: usize, dirty: &mut Vec<(usize, u64)>) -> Option<()> {
    dirty.clear();
    let groups = (memory_bytes >> (CARD_BYTES_LOG2 + GROUP_CARDS_LOG2)) + 1;
    let (group_marks, card_marks) = marks.split_at_mut_checked(MARKS_START as usize)?;
    let (words, _) = group_marks.as_chunks_mut::<8>();
    let (cards, _) = card_marks.as_chunks_mut::<GROUP_CARDS>();
    for (word_nth, word) in words.get_mut(..groups.div_ceil(8))?.iter_mut().enumerate() {
        if *word == [0; 8] {
            continue;
        }
        let mut marked = bits(*word);
        *word = [0; 8];
        while marked != 0 {
            let group = word_nth * 8 + marked.trailing_zeros() as usize;
            marked &= marked - 1;
            let chunk = cards.get_mut(group)?;
            dirty.push((group * GROUP_CARDS, bits_of_group(chunk)));
            *chunk = [0; GROUP_CARDS];
        }
    }
    Some(())
}

/// Bit i: byte i of the group is not zero.
fn bits_of_group(chunk: &[u8; GROUP_CARDS]) -> u64 {
    let (words, _) = chunk.as_chunks::<8>();
    words.iter().zip((0..).step_by(8)).fold(0, |mask, (word, shift)| {
        // Most words hold no mark.
        if *word == [0; 8] { mask } else { mask | bits(*word) << shift }
    })
}

/// Bit i, of eight: byte i is not zero.
fn bits(word: [u8; 8]) -> u64 {
    const LOW_SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let word = u64::from_le_bytes(word);
    // The top bit of each byte; no byte's sum reaches into the next.
    let top = (((word & LOW_SEVEN) + LOW_SEVEN) | word) & !LOW_SEVEN;
    // Brings the bit of byte i to bit 56 + i; no two products meet.
    (top >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// Copies back the marked cards of a group, those next to each other together, and what a store into the
/// last of them may have reached behind it. What is marked past the end of memory is no card: a mark there
/// stands before an empty range.
fn copy_cards(data: &mut [u8], image: &[u8], first: usize, marked: u64) -> Option<()> {
    let (mut card, mut marked) = (first, marked);
    while marked != 0 {
        let skipped = marked.trailing_zeros();
        marked >>= skipped;
        let cards = marked.trailing_ones();
        marked = marked.checked_shr(cards).unwrap_or(0);
        card += skipped as usize;
        let start = card << CARD_BYTES_LOG2;
        card += cards as usize;
        let end = ((card << CARD_BYTES_LOG2) + REACH_BYTES).min(image.len());
        copy(data, image, start.min(end), end)?;
    }
    Some(())
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
        let cards = dirty.iter().flat_map(|(first, marked)| {
            let bits = (0..u64::BITS as usize).filter(move |nth| marked >> nth & 1 == 1);
            bits.map(move |nth| first + nth)
        });
        cards.collect()
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
    fn marked_cards_come_back_with_what_a_store_reaches_behind_them_and_no_other() {
        let (cards, card_bytes) = (GROUP_CARDS + 3, 1 << CARD_BYTES_LOG2);
        let image: Vec<u8> = (0..cards * card_bytes).map(|byte| (byte % 251) as u8).collect();
        let last = cards - 1;
        for marked in
            [&[0][..], &[1, 2], &[0, 2, 3, 31], &[last], &[3, 5, last, last + 1], &[last + 1]]
        {
            let mut data = vec![0xff; image.len()];
            let mut want = data.clone();
            for first in [0, GROUP_CARDS] {
                let of_group = marked.iter().filter_map(|card| card.checked_sub(first));
                let of_group = of_group.filter(|nth| *nth < GROUP_CARDS);
                let bits = of_group.fold(0, |bits, nth| bits | 1 << nth);
                copy_cards(&mut data, &image, first, bits).unwrap();
            }
            for card in marked.iter().filter(|card| **card < cards) {
                let end = ((card + 1) * card_bytes + 15).min(image.len());
                let bytes = card * card_bytes..end;
                want[bytes.clone()].copy_from_slice(&image[bytes]);
            }
            assert_eq!(data, want, "{marked:?}");
        }
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
