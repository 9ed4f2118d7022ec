//! Formulas that are sums of lanes with constant factors, or one such sum divided by another. Shared
//! lanes are collected first, so that one draw of noise is counted once, with its sign.

use cloister_terms::{FigureOp, Formula};
use std::collections::BTreeMap;

/// `constant + sum factor * lane`, lanes in units.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Linear {
    pub(crate) constant: f64,
    pub(crate) factors: BTreeMap<u32, f64>,
}

/// A sum of lanes divided by another.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quotient {
    pub(crate) above: Linear,
    pub(crate) below: Linear,
}

impl Linear {
    pub(crate) fn constant(constant: f64) -> Self {
        Self { constant, factors: BTreeMap::new() }
    }

    pub(crate) fn lane(lane: u32) -> Self {
        Self { constant: 0.0, factors: BTreeMap::from([(lane, 1.0)]) }
    }

    /// `self + factor * other`.
    pub(crate) fn plus(&self, other: &Self, factor: f64) -> Self {
        let mut sum = self.clone();
        sum.constant += factor * other.constant;
        for (lane, more) in &other.factors {
            *sum.factors.entry(*lane).or_insert(0.0) += factor * more;
        }
        sum.factors.retain(|_, factor| *factor != 0.0);
        sum
    }

    pub(crate) fn times(&self, factor: f64) -> Self {
        Self::constant(0.0).plus(self, factor)
    }

    /// The constant it is, if it reads no lane.
    pub(crate) fn as_constant(&self) -> Option<f64> {
        self.factors.is_empty().then_some(self.constant)
    }

    /// Its value; `None` when a lane is missing or the sum is not finite.
    pub(crate) fn value(&self, lane: &dyn Fn(u32) -> Option<f64>) -> Option<f64> {
        let sum = self
            .factors
            .iter()
            .try_fold(self.constant, |sum, (index, factor)| Some(sum + factor * lane(*index)?));
        sum.filter(|sum| sum.is_finite())
    }

    /// The product, if at most one side reads lanes.
    fn product(&self, other: &Self) -> Option<Self> {
        match (self.as_constant(), other.as_constant()) {
            (Some(factor), _) => Some(other.times(factor)),
            (_, Some(factor)) => Some(self.times(factor)),
            _ => None,
        }
    }
}

impl Quotient {
    fn whole(above: Linear) -> Self {
        Self { above, below: Linear::constant(1.0) }
    }

    /// The quotient a formula is; `None` when it is none, or divides by a constant zero.
    pub(crate) fn of(formula: &Formula) -> Option<Self> {
        Some(match formula {
            Formula::Total { lane } => Self::whole(Linear::lane(*lane)),
            Formula::Constant { value } => Self::whole(Linear::constant(value.value())),
            Formula::Ratio { numerator, denominator } => {
                Self { above: Linear::lane(*numerator), below: Linear::lane(*denominator) }
            }
            Formula::Arithmetic { op, left, right } => {
                let (left, right) = (Self::of(left)?, Self::of(right)?);
                match op {
                    FigureOp::Add => left.plus(&right, 1.0)?,
                    FigureOp::Subtract => left.plus(&right, -1.0)?,
                    FigureOp::Multiply => left.product(&right)?,
                    FigureOp::Divide => {
                        left.product(&Self { above: right.below, below: right.above })?
                    }
                }
            }
            _ => return None,
        })
    }

    /// The sum it is, when it divides by a constant.
    pub(crate) fn as_linear(&self) -> Option<Linear> {
        let divisor = self.below.as_constant().filter(|divisor| *divisor != 0.0)?;
        Some(self.above.times(1.0 / divisor))
    }

    fn plus(&self, other: &Self, factor: f64) -> Option<Self> {
        if self.below == other.below {
            let above = self.above.plus(&other.above, factor);
            return Some(Self { above, below: self.below.clone() });
        }
        let left = self.above.product(&other.below)?;
        let right = other.above.product(&self.below)?;
        let below = self.below.product(&other.below)?;
        Some(Self { above: left.plus(&right, factor), below })
    }

    fn product(&self, other: &Self) -> Option<Self> {
        if self.above == other.below {
            return Some(Self { above: other.above.clone(), below: self.below.clone() });
        }
        if self.below == other.above {
            return Some(Self { above: self.above.clone(), below: other.below.clone() });
        }
        let above = self.above.product(&other.above)?;
        Some(Self { above, below: self.below.product(&other.below)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloister_terms::Real;

    fn total(lane: u32) -> Formula {
        Formula::Total { lane }
    }

    fn number(value: f64) -> Formula {
        Formula::Constant { value: Real::new(value).unwrap() }
    }

    fn op(op: FigureOp, left: Formula, right: Formula) -> Formula {
        Formula::arithmetic(op, left, right)
    }

    #[test]
    fn shared_lanes_are_collected() {
        let twice = op(FigureOp::Add, total(0), op(FigureOp::Multiply, number(3.0), total(0)));
        let linear = Quotient::of(&twice).unwrap().as_linear().unwrap();
        assert_eq!(linear.factors, BTreeMap::from([(0, 4.0)]));
        let none = op(FigureOp::Subtract, total(0), total(0));
        assert_eq!(Quotient::of(&none).unwrap().as_linear().unwrap().as_constant(), Some(0.0));
        let halved = op(FigureOp::Divide, total(1), number(2.0));
        assert_eq!(Quotient::of(&halved).unwrap().as_linear().unwrap().factors[&1], 0.5);
    }

    #[test]
    fn quotients_are_found_and_nothing_else() {
        let mean = Formula::Ratio { numerator: 1, denominator: 0 };
        let moved = op(FigureOp::Add, number(0.5), mean.clone());
        let quotient = Quotient::of(&moved).unwrap();
        assert_eq!(quotient.above.factors, BTreeMap::from([(0, 0.5), (1, 1.0)]));
        assert_eq!(quotient.below, Linear::lane(0));
        let other = Formula::Ratio { numerator: 2, denominator: 0 };
        let fraction = Quotient::of(&op(FigureOp::Divide, mean.clone(), other.clone())).unwrap();
        assert_eq!((fraction.above, fraction.below), (Linear::lane(1), Linear::lane(2)));
        let difference = Quotient::of(&op(FigureOp::Subtract, mean.clone(), other)).unwrap();
        assert_eq!(difference.below, Linear::lane(0));
        let third = Formula::Ratio { numerator: 2, denominator: 3 };
        assert_eq!(Quotient::of(&op(FigureOp::Add, mean, third)), None);
        assert_eq!(Quotient::of(&op(FigureOp::Multiply, total(0), total(1))), None);
        assert_eq!(
            Quotient::of(&op(FigureOp::Divide, total(0), number(0.0))).unwrap().as_linear(),
            None
        );
    }
}
