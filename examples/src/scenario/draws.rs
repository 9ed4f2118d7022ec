//! The seeded generator: SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number
//! generators", section 4), integers only, so that every platform draws the same. It must never be
//! used for noise or keys: it is predictable on purpose.

const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// A stream of draws. Streams of different `(seed, stream, index)` are unrelated.
pub(super) struct Draws {
    state: u64,
}

impl Draws {
    /// The stream of one person or one block.
    pub(super) fn new(seed: u64, stream: u64, index: u64) -> Self {
        let seeded = scramble(seed.wrapping_add(stream.wrapping_mul(GAMMA)));
        Self { state: scramble(seeded ^ index.wrapping_mul(GAMMA)) }
    }

    /// 64 fresh bits.
    pub(super) fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        scramble(self.state)
    }

    /// A number in `0..end` (0 if `end` is 0), with a bias below `end / 2^32`.
    pub(super) fn below(&mut self, end: u32) -> u32 {
        let high = self.word() >> 32;
        ((high * u64::from(end)) >> 32) as u32
    }

    /// True `share` times in ten thousand.
    pub(super) fn chance(&mut self, share: u32) -> bool {
        self.below(10_000) < share
    }

    /// An index, drawn in proportion to `weights`.
    pub(super) fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return index;
            }
            left -= weight;
        }
        0
    }

    /// Puts `items` into a drawn order (Fisher-Yates).
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let end = u32::try_from(last + 1).unwrap_or(u32::MAX);
            items.swap(last, self.below(end) as usize);
        }
    }
}

/// The finalizer of SplitMix64: a one-to-one map of 64-bit words, so ids made with it are unique.
pub(super) fn scramble(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}
