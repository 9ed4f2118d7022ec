//! The sampler's coins: trials with exactly a rational probability, or exactly exp(-rational), over
//! uniform bits. Comparisons are lazy: a few bits first, more only while the outcome is open; it is
//! never decided by rounding.

use crate::entropy::{Entropy, EntropyFault};
use crate::sampler::SampleError;
use crate::wide::Wide;

/// Below this denominator a comparison takes a byte at a time within u128.
const BYTEWISE_MAX: u128 = 1 << 119;

/// Denominators of narrow trials stay below this: twice one still fits in u128.
pub(crate) const NARROW_MAX: u128 = 1 << 127;

/// Leading bits of a wide denominator that are compared first: with a chunk of 32 they fit in u128.
const LEADING_BITS: u32 = 88;

/// Random bits over a source of entropy. Bits left over are overwritten when dropped.
pub(crate) struct Bits<'e> {
    entropy: &'e mut dyn Entropy,
    pool: u64,
    left: u32,
}

impl<'e> Bits<'e> {
    pub(crate) fn new(entropy: &'e mut dyn Entropy) -> Self {
        Self { entropy, pool: 0, left: 0 }
    }

    /// One fair coin.
    #[inline]
    pub(crate) fn bit(&mut self) -> Result<bool, EntropyFault> {
        Ok(self.take(1)? == 1)
    }

    /// Uniform in `0..bound`, by rejection. `bound` is at least 1.
    pub(crate) fn below(&mut self, bound: u128) -> Result<u128, EntropyFault> {
        if let Ok(narrow) = u64::try_from(bound) {
            return self.below_narrow(narrow);
        }
        let mask = u128::MAX >> (bound - 1).leading_zeros();
        loop {
            let draw = (u128::from(self.word()?) << 64 | u128::from(self.word()?)) & mask;
            if draw < bound {
                return Ok(draw);
            }
        }
    }

    /// Lemire 2019: the high half of `draw * bound`, low halves below `2^width mod bound` rejected.
    /// Small bounds take fewer bits, because the system's bits cost more than the arithmetic.
    #[inline]
    fn below_narrow(&mut self, bound: u64) -> Result<u128, EntropyFault> {
        let width = match bound {
            0..=0xff => 16,
            0x100..=0xff_ffff => 32,
            _ => 64,
        };
        let (bound, span) = (u128::from(bound), 1u128 << width);
        loop {
            let product = u128::from(self.take(width)?) * bound;
            let low = product & (span - 1);
            if low >= bound || low >= span.checked_rem(bound).unwrap_or(0) {
                return Ok(product >> width);
            }
        }
    }

    /// True with probability exactly `numerator / denominator`; `numerator <= denominator`,
    /// `0 < denominator < NARROW_MAX`.
    ///
    /// With U = (chunk + U') / 2^w, U < n/d iff U' < (2^w n - chunk d) / d: at or below 0 is false,
    /// at least 1 is true, and anything between is the same question about fresh bits.
    #[inline]
    pub(crate) fn bernoulli(
        &mut self,
        numerator: u128,
        denominator: u128,
    ) -> Result<bool, EntropyFault> {
        let width = if denominator < BYTEWISE_MAX { 8 } else { 1 };
        let mut rest = numerator;
        loop {
            let target = rest << width;
            let floor = u128::from(self.take(width)?) * denominator;
            if floor >= target {
                return Ok(false);
            }
            rest = target - floor;
            if rest >= denominator {
                return Ok(true);
            }
        }
    }

    /// True with probability exactly `exp(-numerator / denominator)`; `0 < denominator < NARROW_MAX`.
    /// Canonne, Kamath, Steinke 2020, algorithm 1.
    pub(crate) fn exp_minus(
        &mut self,
        numerator: u128,
        denominator: u128,
    ) -> Result<bool, EntropyFault> {
        let mut rest = numerator;
        while rest >= denominator {
            if !self.exp_minus_one()? {
                return Ok(false);
            }
            rest -= denominator;
        }
        if rest == 0 {
            return Ok(true);
        }
        let mut trial = 1u64;
        loop {
            // Pr = rest / (denominator * trial), in one trial where it fits, as two otherwise.
            let success = match denominator.checked_mul(u128::from(trial)) {
                Some(scaled) if scaled < BYTEWISE_MAX => self.bernoulli(rest, scaled)?,
                _ => self.bernoulli(rest, denominator)? && self.one_in(trial)?,
            };
            if !success {
                return Ok(trial % 2 == 1);
            }
            trial += 1;
        }
    }

    /// As [`Self::exp_minus`] in 384 bits; errors when 2^32 times the denominator does not fit.
    pub(crate) fn exp_minus_wide(
        &mut self,
        numerator: Wide,
        denominator: Wide,
    ) -> Result<bool, SampleError> {
        let mut rest = numerator;
        while let Some(less) = rest.checked_sub(denominator) {
            if !self.exp_minus_one()? {
                return Ok(false);
            }
            rest = less;
        }
        let mut trial = 1u64;
        loop {
            let success = self.bernoulli_wide(rest, denominator)? && self.one_in(trial)?;
            if !success {
                return Ok(trial % 2 == 1);
            }
            trial += 1;
        }
    }

    /// As [`Self::bernoulli`] in 384 bits: 32 bits at a time, compared with the leading digits first.
    fn bernoulli_wide(&mut self, numerator: Wide, denominator: Wide) -> Result<bool, SampleError> {
        let shift = denominator.bit_length().saturating_sub(LEADING_BITS);
        let mut rest = numerator;
        loop {
            let chunk = self.take(32)?;
            // Digits below the leading ones lie in [0, 1), so these bounds enclose the exact products.
            let (leading_rest, leading) = (rest.leading(shift)?, denominator.leading(shift)?);
            if u128::from(chunk) * leading >= (leading_rest + 1) << 32 {
                return Ok(false);
            }
            if u128::from(chunk + 1) * (leading + 1) <= leading_rest << 32 {
                return Ok(true);
            }
            let target = rest.checked_mul_limb(1 << 32).ok_or(SampleError::OutOfRange)?;
            let floor = denominator.checked_mul_limb(chunk).ok_or(SampleError::OutOfRange)?;
            match target.checked_sub(floor) {
                None | Some(Wide::ZERO) => return Ok(false),
                Some(more) if more >= denominator => return Ok(true),
                Some(more) => rest = more,
            }
        }
    }

    /// True with probability exactly exp(-1).
    #[inline]
    pub(crate) fn exp_minus_one(&mut self) -> Result<bool, EntropyFault> {
        // The first trial, of probability 1/1, always succeeds; the second is a fair coin.
        if self.bit()? {
            return Ok(false);
        }
        let mut trial = 3u64;
        while self.one_in(trial)? {
            trial += 1;
        }
        Ok(trial % 2 == 1)
    }

    #[inline]
    fn one_in(&mut self, trial: u64) -> Result<bool, EntropyFault> {
        if trial == 1 { Ok(true) } else { self.bernoulli(1, u128::from(trial)) }
    }

    /// `count` bits, 1 to 64.
    #[inline]
    fn take(&mut self, count: u32) -> Result<u64, EntropyFault> {
        if count == u64::BITS {
            return self.word();
        }
        if self.left < count {
            self.pool = self.word()?;
            self.left = u64::BITS;
        }
        let taken = self.pool & ((1 << count) - 1);
        self.pool >>= count;
        self.left -= count;
        Ok(taken)
    }

    #[inline]
    fn word(&mut self) -> Result<u64, EntropyFault> {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

impl Drop for Bits<'_> {
    fn drop(&mut self) {
        self.pool = 0;
        std::hint::black_box(&self.pool);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FailingEntropy, SeededEntropy};

    /// Gives the same eight bytes again and again.
    struct Fixed([u8; 8]);

    impl Entropy for Fixed {
        fn fill(&mut self, into: &mut [u8]) -> Result<(), EntropyFault> {
            into.iter_mut().zip(self.0.iter().cycle()).for_each(|(to, from)| *to = *from);
            Ok(())
        }
    }

    /// Over all 2^16 prefixes of two bytes, exactly floor(2^16 n/d) must be true whatever follows,
    /// and at most one may stay open: nothing is lost to rounding.
    #[test]
    fn a01_lazy_comparison_is_exact_over_every_two_byte_prefix() {
        for (numerator, denominator) in
            [(1u128, 3u128), (2, 3), (5, 7), (1, 1), (1, 2), (0, 9), (999, 1000)]
        {
            for shift in [0u32, 100] {
                let (n, d) = (numerator << shift, denominator << shift);
                let far = |x: u128| Wide::from(x).checked_mul(1 << 120).unwrap();
                let name = format!("{numerator}/{denominator} << {shift}");
                // The narrow trial takes the first byte first, the wide one a word with it on top.
                let bytes = |a, b, rest| [a, b, rest, rest, rest, rest, rest, rest];
                assert_exact(n, d, &name, bytes, |bits| bits.bernoulli(n, d).unwrap());
                let words = |a, b, rest| [rest, rest, b, a, rest, rest, rest, rest];
                assert_exact(n, d, &name, words, |bits| {
                    bits.bernoulli_wide(far(n), far(d)).unwrap()
                });
            }
        }
    }

    fn assert_exact(
        n: u128,
        d: u128,
        name: &str,
        lay: impl Fn(u8, u8, u8) -> [u8; 8],
        trial: impl Fn(&mut Bits) -> bool,
    ) {
        let mut counts = [0u128; 3];
        for prefix in 0..=u16::MAX {
            let [a, b] = prefix.to_be_bytes();
            let outcome =
                [0u8, 0xff].map(|rest| trial(&mut Bits::new(&mut Fixed(lay(a, b, rest)))));
            counts[usize::from(outcome[0]) + usize::from(outcome[1])] += 1;
        }
        let expected =
            Wide::from(n).checked_mul_limb(1 << 16).unwrap().checked_div_rem(d).unwrap().0;
        assert_eq!(Wide::from(counts[2]), expected, "{name}");
        assert!(counts[1] <= 1, "{name}: {} left open", counts[1]);
    }

    /// The leading digits decide nothing they may not: next to the border the full digits do.
    #[test]
    fn a01_wide_comparison_is_exact_next_to_the_border() {
        let power = |exponent: u32| Wide::product(1 << 64, 1 << (exponent - 64));
        let denominator = power(182);
        // 1/2 + 2^-182: after a first chunk of 1/2 only 2^-150 of the rest is true.
        let above = power(181).checked_add(Wide::from(1)).unwrap();
        // 1/2 + 2^-32 - 2^-182: after it all but 2^-150 is true.
        let below = power(181).checked_add(power(150)).unwrap().checked_sub(Wide::from(1)).unwrap();
        for (numerator, chunk, next, expected) in [
            (above, 0x7fff_ffffu32, u32::MAX, true),
            (above, 0x8000_0000, 1, false),
            (above, 0x8000_0000, u32::MAX, false),
            (above, 0x8000_0001, 0, false),
            (below, 0x7fff_ffff, u32::MAX, true),
            (below, 0x8000_0000, 0, true),
            (below, 0x8000_0000, u32::MAX - 1, true),
            (below, 0x8000_0001, 0, false),
        ] {
            let word = u64::from(next) << 32 | u64::from(chunk);
            let mut source = Fixed(word.to_le_bytes());
            let drawn = Bits::new(&mut source).bernoulli_wide(numerator, denominator);
            assert_eq!(drawn, Ok(expected), "{chunk:x} {next:x}");
        }
    }

    /// Bit-wise and byte-wise comparison are the same question.
    #[test]
    fn a01_every_width_has_the_right_frequency() {
        let mut source = SeededEntropy::new(7);
        let mut bits = Bits::new(&mut source);
        let draws = 200_000u32;
        // 6 standard deviations of a binomial: false alarm 2e-9 a check, 1.2e-8 in all.
        let check = |hits: u32, p: f64| {
            let sd = (f64::from(draws) * p * (1.0 - p)).sqrt();
            assert!(
                (f64::from(hits) - f64::from(draws) * p).abs() < 6.0 * sd,
                "{hits} of {draws} at {p}"
            );
        };
        let mut count = |trial: &mut dyn FnMut(&mut Bits) -> bool| {
            (0..draws).filter(|_| trial(&mut bits)).count() as u32
        };
        let large = (1u128 << 125) + 1;
        check(count(&mut |b| b.bernoulli(large / 3, large).unwrap()), 1.0 / 3.0);
        check(count(&mut |b| b.exp_minus_one().unwrap()), (-1.0f64).exp());
        check(count(&mut |b| b.exp_minus(2, 5).unwrap()), (-0.4f64).exp());
        check(count(&mut |b| b.exp_minus(large / 5 * 8, large).unwrap()), (-1.6f64).exp());
        let wide = |factor| Wide::from(large).checked_mul(factor).unwrap();
        check(count(&mut |b| b.exp_minus_wide(wide(16), wide(10)).unwrap()), (-1.6f64).exp());
        check(count(&mut |b| b.below((1 << 70) + 5).unwrap() < 1 << 69), 0.5);
    }

    #[test]
    fn uniform_stays_below_and_reaches_both_ends() {
        let mut source = SeededEntropy::new(9);
        let mut bits = Bits::new(&mut source);
        for bound in [
            1u128,
            2,
            3,
            7,
            255,
            256,
            1 << 24,
            (1 << 24) + 1,
            1 << 63,
            u128::from(u64::MAX),
            1 << 64,
            (1 << 100) + 3,
        ] {
            for _ in 0..200 {
                assert!(bits.below(bound).unwrap() < bound);
            }
        }
        for bound in [5u128, 1 << 20, 1 << 40, 1 << 90] {
            let mut seen = [0; 5];
            let parts = bound.div_ceil(5);
            (0..10_000).for_each(|_| seen[(bits.below(bound).unwrap() / parts) as usize] += 1);
            // Mean 2,000, sd 40: 8 sd, false alarm 3e-14.
            assert!(seen.iter().all(|n| (1_680..2_320).contains(n)), "{bound}: {seen:?}");
        }
    }

    #[test]
    fn a01_no_coin_without_entropy() {
        let mut dry = FailingEntropy::after(0);
        let mut bits = Bits::new(&mut dry);
        assert_eq!(bits.bit(), Err(EntropyFault));
        assert_eq!(bits.below(5), Err(EntropyFault));
        assert_eq!(bits.below(1 << 90), Err(EntropyFault));
        assert_eq!(bits.bernoulli(1, 2), Err(EntropyFault));
        assert_eq!(bits.exp_minus_one(), Err(EntropyFault));
        let wide = bits.exp_minus_wide(Wide::from(1), Wide::from(2));
        assert_eq!(wide, Err(SampleError::Entropy(EntropyFault)));
    }
}
