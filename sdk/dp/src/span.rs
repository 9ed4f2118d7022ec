//! Real numbers from 0 to 2 enclosed between two fixed-point ends, each step rounded outward. An end may
//! never be on the wrong side of the number it bounds.

use crate::wide::Wide;
use cloister_terms::Ratio;

/// Binary places of the fixed point.
const PLACES: u32 = 120;
/// One, in fixed point.
pub(crate) const ONE: u128 = 1 << PLACES;
/// Halvings after which an exponent is small enough for its series.
const HALVINGS_MAX: u32 = 8;
/// `exp(-x)` is bounded by one unit of the last place from here: `2^-120 > exp(-84)`.
const NOTHING_FROM: u128 = 84;

/// A number known to lie from `low` to `high`, in units of `2^-120`, at most 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub low: u128,
    pub high: u128,
}

impl Span {
    pub(crate) const ONE: Self = Self { low: ONE, high: ONE };

    /// The product of two numbers of at most 2 whose product is at most 2.
    pub(crate) fn times(self, other: Self) -> Self {
        let low = Wide::product(self.low, other.low).leading(PLACES).unwrap_or(0);
        let high = Wide::product(self.high, other.high).leading(PLACES);
        // Truncated, so that one more unit is above; what does not fit is above everything.
        let high = high.map_or(u128::MAX, |high| high.saturating_add(1));
        Self { low, high }
    }

    /// The number times itself `exponent` times; at most 1 to begin with.
    pub(crate) fn power(self, exponent: u64) -> Self {
        let (mut result, mut square, mut rest) = (Self::ONE, self, exponent);
        while rest > 0 {
            if rest & 1 == 1 {
                result = result.times(square);
            }
            square = square.times(square);
            rest >>= 1;
        }
        result.at_most_one()
    }

    /// What is left of one.
    pub(crate) fn complement(self) -> Self {
        Self { low: ONE.saturating_sub(self.high), high: ONE.saturating_sub(self.low) }
    }

    pub(crate) fn at_most_one(self) -> Self {
        Self { low: self.low.min(ONE), high: self.high.min(ONE) }
    }

    /// `numerator / denominator` of two sums in units of `2^-120`, neither beyond 2^127 and the quotient
    /// at most 1. `None` when the denominator may be 0.
    pub(crate) fn quotient(numerator: Self, denominator: Self) -> Option<Self> {
        let divide = |above: u128, below: u128| {
            Wide::product(above, ONE).checked_div_rem(below)?.0.to_u128()
        };
        let low = divide(numerator.low, denominator.high)?;
        let high = divide(numerator.high, denominator.low)?.saturating_add(1);
        Some(Self { low, high }.at_most_one())
    }

    /// `exp(-x)`, by the alternating series after halving x until it is at most 1/2.
    pub(crate) fn exp_minus(x: Ratio) -> Self {
        let (numerator, denominator) = (x.numerator(), x.denominator());
        if numerator / denominator >= NOTHING_FROM {
            return Self { low: 0, high: 1 };
        }
        let Some((whole, rest)) = Wide::product(numerator, ONE).checked_div_rem(denominator) else {
            return Self { low: 0, high: ONE };
        };
        // Below 84 * 2^120 < 2^127.
        let Some(low) = whole.to_u128() else { return Self { low: 0, high: 1 } };
        let high = low + u128::from(rest != 0);
        let halvings = (0..HALVINGS_MAX).find(|h| high >> h <= ONE / 2).unwrap_or(HALVINGS_MAX);
        let round_up = u128::from(halvings > 0);
        let small = Self { low: low >> halvings, high: (high >> halvings) + round_up };
        let mut result = Self::series(small);
        for _ in 0..halvings {
            result = result.times(result);
        }
        result.at_most_one()
    }

    /// `1 - y + y^2/2 - ...` for y at most 1/2 and a little: terms fall, so the first one left out bounds
    /// the rest.
    fn series(y: Self) -> Self {
        let mut term = Self::ONE;
        let (mut even, mut odd) = (Self::ONE, Self { low: 0, high: 0 });
        for index in 1u128.. {
            let next = term.times(y);
            term = Self { low: next.low / index, high: next.high / index + 1 };
            let sum = if index % 2 == 1 { &mut odd } else { &mut even };
            *sum = Self { low: sum.low + term.low, high: sum.high + term.high };
            if term.high <= 2 {
                break;
            }
        }
        let low = even.low.saturating_sub(odd.high).saturating_sub(2);
        Self { low, high: even.high.saturating_sub(odd.low).saturating_add(2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(units: u128) -> f64 {
        units as f64 / ONE as f64
    }

    #[test]
    fn the_exponential_is_enclosed_tightly() {
        for (numerator, denominator) in
            [(0, 1), (1, 1), (1, 2), (1, 3), (7, 5), (83, 1), (1, 1_000_000), (1 << 100, 1 << 101)]
        {
            let x = Ratio::new(numerator, denominator).unwrap();
            let span = Span::exp_minus(x);
            assert!(span.low <= span.high && span.high <= ONE);
            let wanted = (-(numerator as f64 / denominator as f64)).exp();
            assert!((float(span.low) - wanted).abs() <= 1e-14 * (1.0 + wanted), "{x}");
            assert!(span.high - span.low < 1 << 20, "{x}: {}", span.high - span.low);
        }
        let far = Span::exp_minus(Ratio::new(u128::MAX >> 1, 1).unwrap());
        assert_eq!((far.low, far.high), (0, 1));
    }

    #[test]
    fn powers_and_quotients_stay_outside_the_number() {
        let third = Span::quotient(Span::ONE, Span { low: 3 * ONE, high: 3 * ONE }).unwrap();
        assert!(third.low * 3 <= ONE && third.high * 3 >= ONE);
        let ninth = third.power(2);
        assert!(ninth.low * 9 <= ONE && ninth.high * 9 >= ONE && ninth.high - ninth.low < 8);
        assert_eq!(third.power(0), Span::ONE);
        assert!(Span::quotient(Span::ONE, Span { low: 0, high: 1 }).is_none());
        assert_eq!(Span { low: ONE, high: ONE + 9 }.complement(), Span { low: 0, high: 0 });
    }
}
