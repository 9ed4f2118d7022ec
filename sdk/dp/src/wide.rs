//! Fixed-width integers of 384 bits: just enough for the products that noise and charges need.
//! Nothing here may wrap: what does not fit is `None`.

use crate::sampler::SampleError;
use std::cmp::Ordering;

const LIMBS: usize = 6;

/// An unsigned integer below 2^384, least significant limb first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wide([u64; LIMBS]);

impl Wide {
    pub(crate) const ZERO: Self = Self([0; LIMBS]);

    /// The product of two narrow integers, which always fits.
    pub(crate) fn product(a: u128, b: u128) -> Self {
        let split = |x: u128| (x & u128::from(u64::MAX), x >> 64);
        let ((a0, a1), (b0, b1)) = (split(a), split(b));
        // (2^64 - 1)^2 + 2 (2^64 - 1) = 2^128 - 1, so no sum below overflows.
        let (r0, carry) = split(a0 * b0);
        let (middle, high) = split(a1 * b0 + carry);
        let (r1, carry) = split(a0 * b1 + middle);
        let (r2, r3) = split(a1 * b1 + high + carry);
        Self([r0 as u64, r1 as u64, r2 as u64, r3 as u64, 0, 0])
    }

    /// Bits up to the highest one set.
    pub(crate) fn bit_length(self) -> u32 {
        let unset = self.0.iter().rev().take_while(|limb| **limb == 0).count() as u32;
        let top = self.0.iter().rev().find(|limb| **limb != 0);
        top.map_or(0, |limb| u64::BITS * (LIMBS as u32 - unset) - limb.leading_zeros())
    }

    /// The whole part of `self / 2^shift`, or an error when it is 2^128 or more.
    pub(crate) fn leading(self, shift: u32) -> Result<u128, SampleError> {
        let mut limbs = self.0.into_iter().skip((shift / 64) as usize);
        let mut next = || u128::from(limbs.next().unwrap_or(0));
        let low = next() | next() << 64;
        let (bits, high) = (shift % 64, next());
        if bits == 0 {
            return if high == 0 && limbs.all(|limb| limb == 0) {
                Ok(low)
            } else {
                Err(SampleError::OutOfRange)
            };
        }
        let fits = high >> bits == 0 && limbs.all(|limb| limb == 0);
        if fits { Ok(low >> bits | high << (128 - bits)) } else { Err(SampleError::OutOfRange) }
    }

    /// The product, or `None` beyond 384 bits.
    pub(crate) fn checked_mul(self, factor: u128) -> Option<Self> {
        let low = self.checked_mul_limb(factor as u64)?;
        match (factor >> 64) as u64 {
            0 => Some(low),
            high => low.checked_add(self.checked_mul_limb(high)?.checked_shift_limb()?),
        }
    }

    /// The product with one limb, or `None` beyond 384 bits.
    pub(crate) fn checked_mul_limb(self, factor: u64) -> Option<Self> {
        let mut carry = 0u64;
        let mut product = self.0;
        for limb in &mut product {
            let wide = u128::from(*limb) * u128::from(factor) + u128::from(carry);
            *limb = wide as u64;
            carry = (wide >> 64) as u64;
        }
        (carry == 0).then_some(Self(product))
    }

    /// The square, or `None` beyond 384 bits.
    pub(crate) fn checked_square(self) -> Option<Self> {
        let mut sum = Self::ZERO;
        for limb in self.0.iter().rev() {
            sum = match sum == Self::ZERO {
                true => sum,
                false => sum.checked_shift_limb()?,
            };
            if *limb != 0 {
                sum = sum.checked_add(self.checked_mul_limb(*limb)?)?;
            }
        }
        Some(sum)
    }

    /// The sum, or `None` beyond 384 bits.
    pub(crate) fn checked_add(self, other: Self) -> Option<Self> {
        let mut carry = false;
        let mut sum = self.0;
        for (limb, more) in sum.iter_mut().zip(other.0) {
            let (partial, over) = limb.overflowing_add(more);
            let (total, again) = partial.overflowing_add(u64::from(carry));
            *limb = total;
            carry = over || again;
        }
        (!carry).then_some(Self(sum))
    }

    /// The difference, or `None` below zero.
    pub(crate) fn checked_sub(self, other: Self) -> Option<Self> {
        let mut borrow = false;
        let mut rest = self.0;
        for (limb, less) in rest.iter_mut().zip(other.0) {
            let (partial, under) = limb.overflowing_sub(less);
            let (total, again) = partial.overflowing_sub(u64::from(borrow));
            *limb = total;
            borrow = under || again;
        }
        (!borrow).then_some(Self(rest))
    }

    /// The distance between the two.
    pub(crate) fn abs_diff(self, other: Self) -> Self {
        // One of the two differences exists.
        self.checked_sub(other).or(other.checked_sub(self)).unwrap_or(Self::ZERO)
    }

    /// Quotient and remainder by long division, one bit at a time; `None` when dividing by 0.
    pub(crate) fn checked_div_rem(self, divisor: u128) -> Option<(Self, u128)> {
        if divisor == 0 {
            return None;
        }
        let mut quotient = self.0;
        let mut rest = 0u128;
        for limb in quotient.iter_mut().rev() {
            let digits = *limb;
            *limb = 0;
            for bit in (0..64).rev() {
                let over = rest >> 127 == 1;
                rest = rest << 1 | u128::from(digits >> bit & 1);
                // The true value is below twice the divisor, so wrapping once is the exact difference.
                if over || rest >= divisor {
                    rest = rest.wrapping_sub(divisor);
                    *limb |= 1 << bit;
                }
            }
        }
        Some((Self(quotient), rest))
    }

    /// The value as u128, or `None` when it is larger.
    pub(crate) fn to_u128(self) -> Option<u128> {
        let [low, high, rest @ ..] = self.0;
        (rest == [0; LIMBS - 2]).then_some(u128::from(high) << 64 | u128::from(low))
    }

    fn checked_shift_limb(self) -> Option<Self> {
        let [a, b, c, d, e, top] = self.0;
        (top == 0).then_some(Self([0, a, b, c, d, e]))
    }
}

impl From<u128> for Wide {
    fn from(value: u128) -> Self {
        Self([value as u64, (value >> 64) as u64, 0, 0, 0, 0])
    }
}

impl Ord for Wide {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.iter().rev().cmp(other.0.iter().rev())
    }
}

impl PartialOrd for Wide {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::{Entropy, SeededEntropy};

    fn word(entropy: &mut SeededEntropy) -> u128 {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes).unwrap();
        // Varying widths, so that carries and empty limbs both occur.
        u128::from_le_bytes(bytes) >> (bytes[0] % 128)
    }

    #[test]
    fn products_quotients_and_differences_agree() {
        let mut entropy = SeededEntropy::new(1);
        for _ in 0..2_000 {
            let [a, b, c] = [word(&mut entropy), word(&mut entropy), word(&mut entropy)];
            let product = Wide::from(a).checked_mul(b).unwrap();
            assert_eq!(product, Wide::from(b).checked_mul(a).unwrap());
            assert_eq!(product, Wide::product(a, b));
            let shift = product.bit_length().saturating_sub(100);
            let power = 1u128.checked_shl(shift % 120).unwrap();
            let shifted = product.checked_div_rem(power).unwrap().0;
            let shifted = shifted.checked_div_rem(1 << (shift - shift % 120).min(120)).unwrap().0;
            assert_eq!(product.leading(shift).ok(), shifted.to_u128());
            assert!(product.leading(shift).unwrap() >> 100 == 0);
            if let Some(small) = a.checked_mul(b) {
                assert_eq!(product.to_u128(), Some(small));
            }
            let Some(divisor) = b.checked_add(1) else { continue };
            let sum = Wide::from(a)
                .checked_mul(divisor)
                .unwrap()
                .checked_add(Wide::from(c % divisor))
                .unwrap();
            assert_eq!(sum.checked_div_rem(divisor), Some((Wide::from(a), c % divisor)));
            assert_eq!(sum.abs_diff(product).checked_add(product.min(sum)), Some(sum.max(product)));
            // (a + b)^2 = a^2 + b^2 + 2ab
            let whole = Wide::from(a).checked_add(Wide::from(b)).unwrap().checked_square().unwrap();
            let [left, right] = [a, b].map(|x| Wide::from(x).checked_square().unwrap());
            let parts =
                left.checked_add(right).unwrap().checked_add(product.checked_mul_limb(2).unwrap());
            assert_eq!(Some(whole), parts);
        }
    }

    #[test]
    fn what_does_not_fit_is_none() {
        let most = Wide([u64::MAX; LIMBS]);
        assert_eq!(most.checked_add(Wide::from(1)), None);
        assert_eq!(most.checked_mul_limb(2), None);
        assert_eq!(Wide([0, 0, 0, 1, 0, 0]).checked_square(), None);
        assert_eq!(Wide([0, 0, 0, 0, 0, 1]).checked_mul(1 << 64), None);
        assert_eq!(Wide::ZERO.checked_sub(Wide::from(1)), None);
        assert_eq!(most.checked_div_rem(0), None);
        assert_eq!(most.to_u128(), None);
        assert_eq!(most.leading(255), Err(SampleError::OutOfRange));
        assert_eq!(most.leading(256), Ok(u128::MAX));
        assert_eq!(
            (most.bit_length(), Wide::ZERO.bit_length(), Wide::from(1).bit_length()),
            (384, 0, 1)
        );
        assert!(Wide([0, 0, 0, 0, 0, 1]) > Wide([u64::MAX, 0, 0, 0, 0, 0]));
        assert_eq!(most.checked_div_rem(1), Some((most, 0)));
        assert_eq!(most.checked_div_rem(u128::MAX).map(|d| d.1), Some(0));
    }
}
