//! Keyed pseudo-random function: SipHash-2-4 (Aumasson, Bernstein 2012) over typed, length-prefixed
//! fields. Decides which groups and rows of a person are kept; never a source of noise.

use crate::entropy::{Entropy, EntropyFault};
use std::fmt;

/// A secret 128-bit key. Not `Clone`, never shown, overwritten when dropped.
pub struct PrfKey([u8; 16]);

impl PrfKey {
    /// A fresh key. Errors when the entropy source does.
    pub fn from_entropy(entropy: &mut dyn Entropy) -> Result<Self, EntropyFault> {
        let mut key = Self([0; 16]);
        entropy.fill(&mut key.0)?;
        Ok(key)
    }

    /// A key whose secrecy the caller answers for.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    fn start(&self, output_bytes: u8) -> Sip {
        let [low, high] = [0, 8].map(|at| {
            self.0.iter().skip(at).take(8).rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        });
        let wide = if output_bytes == 16 { 0xee } else { 0 };
        Sip {
            v: [
                low ^ 0x736f_6d65_7073_6575,
                high ^ 0x646f_7261_6e64_6f6d ^ wide,
                low ^ 0x6c79_6765_6e65_7261,
                high ^ 0x7465_6462_7974_6573,
            ],
            tail: 0,
            bytes: 0,
        }
    }
}

impl Drop for PrfKey {
    fn drop(&mut self) {
        self.0 = [0; 16];
        // Keeps the compiler from dropping the overwrite; best effort without unsafe code.
        std::hint::black_box(&self.0);
    }
}

impl fmt::Debug for PrfKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrfKey(secret)")
    }
}

/// 64-bit PRF of `fields` in `domain`. Domains are disjoint and every field is preceded by its
/// length (u64, little endian), so no two different lists of fields are the same message.
pub fn prf(key: &PrfKey, domain: u8, fields: &[&[u8]]) -> u64 {
    let mut sip = key.start(8);
    sip.absorb_fields(domain, fields);
    sip.finish(0xff)
}

/// 128-bit PRF (SipHash-2-4-128), for orders over so many items that 64-bit ties would matter.
pub fn prf_wide(key: &PrfKey, domain: u8, fields: &[&[u8]]) -> u128 {
    let mut sip = key.start(16);
    sip.absorb_fields(domain, fields);
    sip.finish_wide()
}

/// The 128-bit PRF of messages that begin alike: their first fields are taken in once.
#[derive(Clone, Copy)]
pub struct PrfStart(Sip);

impl PrfStart {
    /// Of messages in `domain` that begin with `fields`.
    pub fn new(key: &PrfKey, domain: u8, fields: &[&[u8]]) -> Self {
        let mut sip = key.start(16);
        sip.absorb_fields(domain, fields);
        Self(sip)
    }

    /// [`prf_wide`] of the fields so far and `last`.
    pub fn ended(&self, last: &[u8]) -> u128 {
        let mut sip = self.0;
        sip.absorb_field(last);
        sip.finish_wide()
    }

    /// The same for each of `N` last fields of 8 bytes, given as little-endian words: side by side, since
    /// one SipHash waits for itself most of the time.
    pub fn ended_each<const N: usize>(&self, last: [u64; N]) -> [u128; N] {
        let mut sip = self.0;
        sip.absorb(&8u64.to_le_bytes());
        let filled = 8 * (sip.bytes % 8) as u32;
        let length = sip.bytes.wrapping_add(8) << 56;
        let mut side_by_side = SideBySide { v: sip.v.map(|v| [v; N]) };
        side_by_side.compress(last.map(|word| sip.tail | word << filled));
        side_by_side.compress(last.map(|word| word.checked_shr(64 - filled).unwrap_or(0) | length));
        let low = side_by_side.squeeze(2, 0xee);
        let high = side_by_side.squeeze(1, 0xdd);
        let mut both =
            low.iter().zip(high).map(|(low, high)| u128::from(*low) | u128::from(high) << 64);
        std::array::from_fn(|_| both.next().unwrap_or_default())
    }
}

/// As many states of SipHash, word by word.
struct SideBySide<const N: usize> {
    v: [[u64; N]; 4],
}

impl<const N: usize> SideBySide<N> {
    fn compress(&mut self, words: [u64; N]) {
        let [_, _, _, v3] = &mut self.v;
        v3.iter_mut().zip(words).for_each(|(v, word)| *v ^= word);
        self.round();
        self.round();
        let [v0, ..] = &mut self.v;
        v0.iter_mut().zip(words).for_each(|(v, word)| *v ^= word);
    }

    fn squeeze(&mut self, word: usize, mark: u64) -> [u64; N] {
        self.v.get_mut(word).into_iter().flatten().for_each(|v| *v ^= mark);
        for _ in 0..4 {
            self.round();
        }
        let mut sums = [0; N];
        for v in &self.v {
            sums.iter_mut().zip(v).for_each(|(sum, v)| *sum ^= v);
        }
        sums
    }

    fn round(&mut self) {
        let [a, b, c, d] = &mut self.v;
        for ((a, b), (c, d)) in a.iter_mut().zip(b).zip(c.iter_mut().zip(d)) {
            [*a, *b, *c, *d] = round([*a, *b, *c, *d]);
        }
    }
}

/// One SipRound.
fn round([mut a, mut b, mut c, mut d]: [u64; 4]) -> [u64; 4] {
    a = a.wrapping_add(b);
    c = c.wrapping_add(d);
    b = b.rotate_left(13) ^ a;
    d = d.rotate_left(16) ^ c;
    a = a.rotate_left(32).wrapping_add(d);
    c = c.wrapping_add(b);
    d = d.rotate_left(21) ^ a;
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    [a, b, c, d]
}

#[derive(Clone, Copy)]
struct Sip {
    v: [u64; 4],
    /// Bytes that do not fill a word yet, the first in the lowest place.
    tail: u64,
    bytes: u64,
}

impl Sip {
    fn absorb_fields(&mut self, domain: u8, fields: &[&[u8]]) {
        self.absorb(&[domain]);
        fields.iter().for_each(|field| self.absorb_field(field));
    }

    fn absorb_field(&mut self, field: &[u8]) {
        self.absorb(&(field.len() as u64).to_le_bytes());
        self.absorb(field);
    }

    fn absorb(&mut self, bytes: &[u8]) {
        let (words, end) = bytes.as_chunks::<8>();
        for word in words {
            self.take(u64::from_le_bytes(*word), 8);
        }
        let word = end.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        self.take(word, end.len() as u64);
    }

    /// Takes in the lowest `count` bytes of a word, at most eight; the others are zero.
    fn take(&mut self, word: u64, count: u64) {
        let filled = self.bytes % 8;
        self.bytes = self.bytes.wrapping_add(count);
        self.tail |= word << (8 * filled);
        if filled + count >= 8 {
            self.compress(self.tail);
            // What did not fit; nothing, where the word began the tail.
            self.tail = word.checked_shr(64 - 8 * filled as u32).unwrap_or(0);
        }
    }

    fn compress(&mut self, word: u64) {
        let [_, _, _, v3] = &mut self.v;
        *v3 ^= word;
        self.round();
        self.round();
        let [v0, ..] = &mut self.v;
        *v0 ^= word;
    }

    fn finish(&mut self, mark: u64) -> u64 {
        // The last word carries the length, modulo 256, in its highest byte.
        self.compress(self.tail | self.bytes << 56);
        self.squeeze(2, mark)
    }

    fn finish_wide(&mut self) -> u128 {
        let low = self.finish(0xee);
        u128::from(low) | u128::from(self.squeeze(1, 0xdd)) << 64
    }

    fn squeeze(&mut self, word: usize, mark: u64) -> u64 {
        if let Some(v) = self.v.get_mut(word) {
            *v ^= mark;
        }
        for _ in 0..4 {
            self.round();
        }
        self.v.iter().fold(0, |sum, v| sum ^ v)
    }

    fn round(&mut self) {
        self.v = round(self.v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference vectors of the authors: key 00..0f, input of n bytes 00..n-1, for n below 64.
    #[rustfmt::skip]
    const REFERENCE: [u64; 64] = [
        0x726f_db47_dd0e_0e31, 0x74f8_39c5_93dc_67fd, 0x0d6c_8009_d9a9_4f5a, 0x8567_6696_d7fb_7e2d,
        0xcf27_94e0_2771_87b7, 0x1876_5564_cd99_a68d, 0xcbc9_466e_58fe_e3ce, 0xab02_00f5_8b01_d137,
        0x93f5_f579_9a93_2462, 0x9e00_82df_0ba9_e4b0, 0x7a5d_bbc5_94dd_b9f3, 0xf4b3_2f46_226b_ada7,
        0x751e_8fbc_860e_e5fb, 0x14ea_5627_c084_3d90, 0xf723_ca90_8e7a_f2ee, 0xa129_ca61_49be_45e5,
        0x3f2a_cc7f_57c2_9bdb, 0x699a_e9f5_2cbe_4794, 0x4bc1_b3f0_968d_d39c, 0xbb6d_c91d_a779_61bd,
        0xbed6_5cf2_1aa2_ee98, 0xd0f2_cbb0_2e3b_67c7, 0x9353_6795_e3a3_3e88, 0xa80c_038c_cd5c_cec8,
        0xb8ad_50c6_f649_af94, 0xbce1_92de_8a85_b8ea, 0x17d8_35b8_5bbb_15f3, 0x2f2e_6163_076b_cfad,
        0xde4d_aaac_a71d_c9a5, 0xa6a2_5066_8795_6571, 0xad87_a353_5c49_ef28, 0x32d8_92fa_d841_c342,
        0x7127_512f_72f2_7cce, 0xa7f3_2346_f959_78e3, 0x12e0_b01a_bb05_1238, 0x15e0_34d4_0fa1_97ae,
        0x314d_ffbe_0815_a3b4, 0x0279_90f0_2962_3981, 0xcadc_d4e5_9ef4_0c4d, 0x9abf_d876_6a33_735c,
        0x0e3e_a96b_5304_a7d0, 0xad0c_42d6_fc58_5992, 0x1873_06c8_9bc2_15a9, 0xd4a6_0abc_f379_2b95,
        0xf935_451d_e4f2_1df2, 0xa953_8f04_1975_5787, 0xdb9a_cddf_f56c_a510, 0xd06c_98cd_5c09_75eb,
        0xe612_a3cb_9ecb_a951, 0xc766_e62c_fcad_af96, 0xee64_435a_9752_fe72, 0xa192_d576_b245_165a,
        0x0a87_87bf_8ecb_74b2, 0x81b3_e73d_20b4_9b6f, 0x7fa8_220b_a3b2_ecea, 0x2457_31c1_3ca4_2499,
        0xb78d_bfaf_3a8d_83bd, 0xea1a_d565_322a_1a0b, 0x60e6_1c23_a379_5013, 0x6606_d7e4_4628_2b93,
        0x6ca4_ecb1_5c5f_91e1, 0x9f62_6da1_5c96_25f3, 0xe51b_3860_8ef2_5f57, 0x958a_324c_eb06_4572,
    ];

    fn reference_key() -> PrfKey {
        PrfKey::from_bytes(std::array::from_fn(|i| i as u8))
    }

    #[test]
    fn siphash_agrees_with_the_reference_vectors_however_the_input_is_cut() {
        let input: Vec<u8> = (0..64).collect();
        for (length, expected) in REFERENCE.iter().enumerate() {
            for cut in 0..=length {
                let mut sip = reference_key().start(8);
                sip.absorb(&input[..cut]);
                sip.absorb(&input[cut..length]);
                assert_eq!(sip.finish(0xff), *expected, "length {length} cut at {cut}");
            }
        }
        let empty = reference_key().start(16).finish_wide().to_le_bytes();
        assert_eq!(
            empty,
            [163, 129, 127, 4, 186, 37, 168, 230, 109, 246, 114, 20, 199, 85, 2, 147]
        );
    }

    #[test]
    fn fields_domains_and_keys_are_told_apart() {
        let key = reference_key();
        let lists: [&[&[u8]]; 6] =
            [&[], &[b""], &[b"", b""], &[b"ab"], &[b"a", b"b"], &[b"", b"ab"]];
        let mut seen: Vec<u64> = lists.iter().map(|fields| prf(&key, 1, fields)).collect();
        seen.push(prf(&key, 2, &[b"ab"]));
        seen.push(prf(&PrfKey::from_bytes([1; 16]), 1, &[b"ab"]));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 8);
        assert_ne!(prf_wide(&key, 1, &[b"ab"]), prf_wide(&key, 1, &[b"a", b"b"]));
        assert_eq!(format!("{key:?}"), "PrfKey(secret)");
    }

    #[test]
    fn messages_that_begin_alike_end_as_they_would_alone() {
        let key = reference_key();
        let long: Vec<u8> = (0..40).collect();
        for length in 0..=long.len() {
            let unit = &long[..length];
            let start = PrfStart::new(&key, 7, &[b"of", unit]);
            let words = [0, 1, 0x0123_4567_89ab_cdef, u64::MAX];
            let alone = |word: u64| prf_wide(&key, 7, &[b"of", unit, &word.to_le_bytes()]);
            assert_eq!(start.ended_each(words), words.map(alone), "length {length}");
            assert_eq!(start.ended_each([5]), [alone(5)]);
            assert_eq!(start.ended(&long), prf_wide(&key, 7, &[b"of", unit, &long]));
        }
    }

    #[test]
    fn a_fresh_key_needs_entropy() {
        assert!(PrfKey::from_entropy(&mut crate::FailingEntropy::after(15)).is_err());
        assert!(PrfKey::from_entropy(&mut crate::FailingEntropy::after(16)).is_ok());
    }
}
