//! Mutations of byte strings: the same seed gives the same ones. It must never make an input longer than asked.

/// Mutations of one input, at most.
const MUTATIONS_MAX: usize = 6;
/// Times that a part is repeated, at most.
const REPEATS_MAX: usize = 64;
/// Numbers at which programs break.
const NUMBERS: [&[u8]; 14] = [
    &[0],
    &[0x7f],
    &[0x80],
    &[0xff],
    &[0xff, 0xff],
    &[0xff, 0x7f],
    &[0, 0, 0, 0x80],
    &[0xff, 0xff, 0xff, 0x7f],
    &[0xff; 4],
    &[0xff; 8],
    &[0, 0, 0, 0, 0, 0, 0, 0x80],
    b"-1",
    b"9223372036854775808",
    b"1e308",
];

/// Makes inputs of inputs.
#[derive(Debug)]
pub struct Mutator {
    state: u64,
    pieces: &'static [&'static str],
}

impl Mutator {
    /// Draws from `seed`; `pieces` are put in as they are.
    pub fn new(seed: u64, pieces: &'static [&'static str]) -> Mutator {
        Mutator { state: seed.max(1), pieces }
    }

    /// A seed after a few mutations, at most `bytes_max` long.
    pub fn mutated(&mut self, seeds: &[Vec<u8>], bytes_max: usize) -> Vec<u8> {
        let mut input = self.one_of(seeds);
        for _ in 0..=self.below(MUTATIONS_MAX) {
            self.mutate(&mut input, seeds);
            input.truncate(bytes_max);
        }
        input
    }

    fn mutate(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let (from, to) = self.range(input);
        let part = input.get(from..to).unwrap_or_default().to_vec();
        match self.below(10) {
            0 => {
                let bit = self.below(8);
                if let Some(byte) = input.get_mut(from) {
                    *byte ^= 1 << bit;
                }
            }
            1 => {
                let any = self.below(256) as u8;
                if let Some(byte) = input.get_mut(from) {
                    *byte = any;
                }
            }
            2 => put(input, from, to, &[]),
            3 => put(input, to, to, &part),
            4 => {
                let times = 1 + self.below(REPEATS_MAX);
                put(input, from, from, &part.repeat(times));
            }
            5 => {
                let number = NUMBERS.get(self.below(NUMBERS.len())).copied().unwrap_or_default();
                put(input, from, from.saturating_add(number.len()), number);
            }
            6 => {
                let other = self.one_of(seeds);
                let (start, end) = self.range(&other);
                put(input, from, to, other.get(start..end).unwrap_or_default());
            }
            7 => self.swap_words(input),
            _ => {
                let piece = self.pieces.get(self.below(self.pieces.len())).copied();
                let times = if self.below(8) == 0 { 1 + self.below(REPEATS_MAX) } else { 1 };
                let end = if self.below(2) == 0 { from } else { to };
                put(input, from, end, &piece.unwrap_or_default().as_bytes().repeat(times));
            }
        }
    }

    /// Texts: two words change places.
    fn swap_words(&mut self, input: &mut Vec<u8>) {
        let mut words: Vec<&[u8]> = input.split(|byte| *byte == b' ').collect();
        let (one, other) = (self.below(words.len()), self.below(words.len()));
        words.swap(one, other);
        *input = words.join(&b' ');
    }

    fn one_of(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let nth = self.below(seeds.len());
        seeds.get(nth).cloned().unwrap_or_default()
    }

    /// Mostly a short part: long ones destroy more than they try.
    fn range(&mut self, input: &[u8]) -> (usize, usize) {
        let from = self.below(input.len().saturating_add(1));
        let left = input.len().saturating_sub(from);
        let longest = if self.below(4) == 0 { left } else { left.min(16) };
        (from, from.saturating_add(self.below(longest.saturating_add(1))))
    }

    /// Marsaglia's xorshift64*.
    fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let drawn = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap_or(0).checked_rem(end).unwrap_or(0)
    }
}

fn put(input: &mut Vec<u8>, from: usize, to: usize, bytes: &[u8]) {
    let end = to.min(input.len());
    input.splice(from.min(end)..end, bytes.iter().copied());
}
