//! Memory and mutable globals as they must stand before each person, and the way back to them.
//!
//! Must never leave a byte that a person could have changed: what a tier does not copy back, its proof covers.

use wasmtime::Val;

use crate::engine::Restore;
use crate::job::JobError;
use crate::live::{Live, sandbox};

/// Marks that are looked through at once.
const MARKS_AT_ONCE: usize = 64;

/// A fresh instance's state, its input buffer zeroed.
pub(crate) struct Image {
    memory: Vec<u8>,
    globals: Vec<Val>,
    /// Cards found dirty, kept for its room.
    dirty: Vec<usize>,
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
            Restore::Cards { card_bytes_log2 } => {
                let cards = self.memory.len() >> card_bytes_log2;
                self.take_marks(live, cards).ok_or_else(gone)?;
                let data = live.memory.data_mut(&mut live.store);
                for card in &self.dirty {
                    let start = card << card_bytes_log2;
                    copy(data, &self.memory, start, start + (1 << card_bytes_log2))
                        .ok_or_else(gone)?;
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
        let unmarked = marks.is_none_or(|marks| marks.data(&*store).iter().all(|mark| *mark == 0));
        same_globals && unmarked && memory.data(&*store) == self.memory.as_slice()
    }

    /// Lists the marked cards and clears the marks. A return leaves marks for existing cards only: a mark
    /// past them stands before a write past the end of memory, which traps.
    fn take_marks(&mut self, live: &mut Live, cards: usize) -> Option<()> {
        self.dirty.clear();
        let marks = live.marks?.data_mut(&mut live.store);
        let (chunks, _) = marks.as_chunks_mut::<MARKS_AT_ONCE>();
        let mut first = 0;
        for chunk in chunks {
            if first >= cards {
                break;
            }
            if *chunk != [0; MARKS_AT_ONCE] {
                self.dirty.extend(marked(chunk).map(|nth| first + nth));
                chunk.fill(0);
            }
            first += MARKS_AT_ONCE;
        }
        Some(())
    }
}

/// Indices of the bytes that are not zero, found eight at a time.
fn marked(chunk: &[u8; MARKS_AT_ONCE]) -> impl Iterator<Item = usize> {
    let (words, _) = chunk.as_chunks::<8>();
    words.iter().enumerate().flat_map(|(word_nth, word)| {
        let mut word = u64::from_le_bytes(*word);
        std::iter::from_fn(move || {
            let byte = (word != 0).then(|| word.trailing_zeros() / 8)?;
            word &= !(0xff << (byte * 8));
            Some(word_nth * 8 + byte as usize)
        })
    })
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

    #[test]
    fn every_mark_is_found_whatever_its_value() {
        let mut chunk = [0; MARKS_AT_ONCE];
        assert_eq!(marked(&chunk).count(), 0);
        let mut want = Vec::new();
        for (nth, value) in [(0, 1), (1, 0x80), (7, 0xff), (8, 2), (30, 1), (31, 1), (63, 1)] {
            chunk[nth] = value;
            want.push(nth);
            assert_eq!(marked(&chunk).collect::<Vec<_>>(), want);
        }
        assert_eq!(marked(&[1; MARKS_AT_ONCE]).count(), MARKS_AT_ONCE);
    }
}
