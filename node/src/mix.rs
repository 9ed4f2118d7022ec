//! Bits mixed, so that values that lie close together fall far apart: for tables and piles alone. Nothing
//! secret and nothing released may rest on it: what decides about persons is the keyed PRF of `cloister_dp`.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Odd, and without a pattern in its bits: the golden ratio's.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// A one-to-one mixture of a word's bits (SplitMix64's, Steele, Lea, Flood 2014).
pub fn mixed(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// A mixture of bytes; different ones may share it.
pub fn mixed_bytes(seed: u64, bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    let mut sum = seed ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    for word in words {
        sum = folded(sum ^ u64::from_le_bytes(*word));
    }
    mixed(folded(sum ^ last_word(bytes)))
}

/// The last eight bytes, in part those of the word before; fewer where there are no more.
fn last_word(bytes: &[u8]) -> u64 {
    match (bytes.last_chunk::<8>(), bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(last), ..) => u64::from_le_bytes(*last),
        (None, Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
        }
        _ => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// A text of at most 16 bytes as numbers that no other text has; `None` for a longer one.
pub fn packed(text: &str) -> Option<(u64, u64, u64)> {
    let bytes = text.as_bytes();
    let first = bytes.first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first));
    (bytes.len() <= 16).then(|| (first, last_word(bytes), bytes.len() as u64))
}

/// Both halves of a product, so that high bits reach low ones.
fn folded(word: u64) -> u64 {
    let product = u128::from(word ^ FACTOR.rotate_left(32)) * u128::from(FACTOR);
    (product as u64) ^ (product >> 64) as u64
}

/// A fast hash of texts for tables that no row adds to. Seeded at random, so that nobody can choose texts
/// that share a place.
#[derive(Debug, Clone)]
pub struct TextHash(u64);

impl Default for TextHash {
    fn default() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }
}

impl BuildHasher for TextHash {
    type Hasher = TextHasher;

    fn build_hasher(&self) -> TextHasher {
        TextHasher(self.0)
    }
}

/// Hashes one text.
#[derive(Debug)]
pub struct TextHasher(u64);

impl Hasher for TextHasher {
    fn finish(&self) -> u64 {
        mixed(self.0)
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = mixed_bytes(self.0, bytes);
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = folded(self.0 ^ word).wrapping_add(FACTOR);
    }

    /// The mark behind a text, which its length makes needless.
    fn write_u8(&mut self, byte: u8) {
        self.0 = self.0.wrapping_add(u64::from(byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn close_values_fall_far_apart_and_none_together() {
        let mixtures: HashSet<u64> = (0..100_000).map(mixed).collect();
        assert_eq!(mixtures.len(), 100_000);
        let mut piles = [0usize; 16];
        mixtures.iter().for_each(|mixture| piles[(mixture >> 60) as usize] += 1);
        // 6,250 expected, with a standard deviation of 77.
        assert!(piles.iter().all(|count| count.abs_diff(6_250) < 700), "{piles:?}");
    }

    #[test]
    fn texts_are_told_apart_by_every_byte_and_their_length() {
        let texts: Vec<Vec<u8>> = (0..40)
            .flat_map(|length| {
                let base = vec![0u8; length];
                let changed = (0..length).map({
                    let base = base.clone();
                    move |place| {
                        let mut text = base.clone();
                        text[place] = 1;
                        text
                    }
                });
                changed.chain([base]).collect::<Vec<_>>()
            })
            .collect();
        let mixtures: HashSet<u64> = texts.iter().map(|text| mixed_bytes(7, text)).collect();
        assert_eq!(mixtures.len(), texts.len());
    }

    #[test]
    fn short_texts_are_told_apart_by_their_numbers() {
        let mut texts: Vec<String> = vec![String::new(), "\0".into(), "\0\0".into()];
        for length in 1..=16 {
            for place in 0..length {
                for letter in ["b", "c"] {
                    let (before, after) = ("a".repeat(place), "a".repeat(length - place - 1));
                    texts.push(format!("{before}{letter}{after}"));
                }
            }
            texts.push("a".repeat(length));
            texts.push("\0".repeat(length + 3).chars().take(length.max(3)).collect());
        }
        let texts: HashSet<String> = texts.into_iter().collect();
        let numbers: HashSet<_> = texts.iter().map(|text| packed(text).unwrap()).collect();
        assert_eq!(numbers.len(), texts.len());
        assert_eq!(packed("a text of 17 char"), None);
    }

    #[test]
    fn a_table_by_this_hash_finds_what_was_put_in_and_nothing_else() {
        let mut table = HashMap::with_hasher(TextHash::default());
        (0..5_000u32).for_each(|n| {
            table.insert(format!("town {n}"), n);
        });
        for n in 0..5_000 {
            assert_eq!(table.get(format!("town {n}").as_str()), Some(&n));
        }
        assert!(!table.contains_key("town 5000") && !table.contains_key(""));
    }
}
