//! How a column of the answer is computed from public keys and combined lanes: post-processing of what
//! was released, so it can cost nothing. A formula that exists in a checked shape names lanes that
//! exist, is bounded in depth and size, and divides by no constant zero.

use crate::limits::{
    FORMULA_DEPTH_MAX, FORMULA_DIGITS_MAX, FORMULA_PARTS_MAX, FORMULA_READS_MAX, LANES_MAX,
};
use crate::value::Bounds;
use crate::{Ratio, Real};
use serde::{Deserialize, Serialize};

/// How a column of the answer is computed. Numbers index `keys` or `lanes`. Lane values are in units:
/// steps times `2^-grid_bits`. What a formula leaves undefined (0 / 0, too few rows) is no figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Formula {
    /// The value of a key dimension.
    Key {
        /// Index into `keys`.
        dimension: u32,
    },
    /// A lane, divided by its grid: counts and sums.
    Total {
        /// Index into `lanes`.
        lane: u32,
    },
    /// One lane divided by another: averages and shares.
    Ratio {
        /// Index of the numerator's lane.
        numerator: u32,
        /// Index of the denominator's lane.
        denominator: u32,
    },
    /// A constant.
    Constant {
        /// Its value.
        value: Real,
    },
    /// Arithmetic on figures.
    Arithmetic {
        /// Which.
        op: FigureOp,
        /// Left operand.
        left: Box<Formula>,
        /// Right operand.
        right: Box<Formula>,
    },
    /// With `m1 = sum / count`, `m2 = squares / count`: `v = max(0, m2 - m1^2) * 4^scale_bits`, over
    /// deviations from a fixed middle, which leave a variance as it is.
    Variance {
        /// Lane of n, the values.
        count: u32,
        /// Lane of `sum (x - mid) / 2^scale_bits`.
        sum: u32,
        /// Lane of `sum ((x - mid) / 2^scale_bits)^2`.
        squares: u32,
        /// Power of two that deviations are divided by.
        scale_bits: u8,
        /// v, `v n / (n - 1)`, or the root of one of them.
        spread: Spread,
    },
    /// A statistic of pairs, see [`PairStatistic`].
    Pair {
        /// Which.
        statistic: PairStatistic,
        /// Its lanes.
        lanes: PairLanes,
    },
    /// The value with a share `q` of all values at or below it, from counts of values by leaf.
    Quantile(Quantile),
    /// The number of public values that someone has, from noised person counts a value: how many counts
    /// reach a threshold that noise alone rarely reaches.
    Distinct {
        /// Lane of the first value; the others follow.
        first_lane: u32,
        /// Number of values.
        values: u32,
    },
    /// A lane added up over all rows of the answer that have the same keys `by`; over all rows where it is
    /// empty. Rows that no partner answered for add nothing.
    Across {
        /// The lane.
        lane: u32,
        /// Key dimensions, ascending.
        by: Vec<u32>,
    },
    /// A function of one figure.
    Call {
        /// Which.
        function: FigureFunction,
        /// The figure.
        of: Box<Formula>,
    },
    /// `COALESCE`: a figure, or a constant where the noised figure is undefined. Where no partner answered
    /// there is neither.
    Coalesce {
        /// The figure.
        of: Box<Formula>,
        /// The constant.
        otherwise: Real,
    },
}

/// A function of one figure, in float64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FigureFunction {
    /// `ROUND`: the nearest multiple of `10^-digits`, halves away from 0.
    Round {
        /// At most [`FORMULA_DIGITS_MAX`] either side of the point; below 0 before it.
        digits: i8,
    },
    /// `ABS`.
    Absolute,
    /// `SQRT`: undefined below 0.
    SquareRoot,
}

/// Arithmetic on figures, in float64. A result that is not finite is no figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FigureOp {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
}

/// A measure of spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// `VAR_POP`: v.
    VariancePopulation,
    /// `VAR_SAMP`: `v n / (n - 1)`.
    VarianceSample,
    /// `STDDEV_POP`: the root of v.
    DeviationPopulation,
    /// `STDDEV_SAMP`: the root of `v n / (n - 1)`.
    DeviationSample,
}

/// A statistic of the pairs (x, y) of which neither is missing. With `u = (x - x_mid) / 2^x_scale_bits`, v
/// likewise of y, and means over the pairs: `c = mean(uv) - mean(u) mean(v)`,
/// `a = max(0, mean(u^2) - mean(u)^2)`, b likewise of v, `f = 2^x_scale_bits`, `g = 2^y_scale_bits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairStatistic {
    /// `COVAR_POP`: `c f g`.
    CovariancePopulation,
    /// `COVAR_SAMP`: `c f g n / (n - 1)`.
    CovarianceSample,
    /// `CORR`: `c / sqrt(a b)`, kept within [-1, 1].
    Correlation,
    /// `REGR_SLOPE(y, x)`: `c g / (a f)`.
    Slope,
    /// `REGR_INTERCEPT(y, x)`: `mean(y) - slope mean(x)`.
    Intercept,
}

/// The lanes of a [`PairStatistic`]; those that it does not read repeat `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairLanes {
    /// Lane of n, the pairs.
    pub count: u32,
    /// Lane of `sum u`.
    pub x: u32,
    /// Lane of `sum v`.
    pub y: u32,
    /// Lane of `sum uv`.
    pub products: u32,
    /// Lane of `sum u^2`.
    pub x_squares: u32,
    /// Lane of `sum v^2`.
    pub y_squares: u32,
    /// The middle of x.
    pub x_mid: Real,
    /// The middle of y.
    pub y_mid: Real,
    /// Power of two that deviations of x are divided by.
    pub x_scale_bits: u8,
    /// Power of two that deviations of y are divided by.
    pub y_scale_bits: u8,
}

/// A quantile from a histogram. Leaf i counts the values from `edge_steps(i)` to below `edge_steps(i + 1)`;
/// the first has also what is below, the last what is above. NULL is in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantile {
    /// Lane of the first leaf; the others follow.
    pub first_lane: u32,
    /// Number of leaves.
    pub leaves: u32,
    /// The share, above 0 and below 1.
    pub q: Ratio,
    /// The range the leaves cut.
    pub bounds: Bounds,
    /// Whether values are whole steps, so that a leaf ends one step before the next.
    pub whole: bool,
}

/// Why a formula is unusable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormulaError {
    /// It names a key or lane that does not exist.
    #[error("is computed from a key or lane that does not exist")]
    Missing,
    /// It is nested too deeply.
    #[error("is nested more than {FORMULA_DEPTH_MAX} levels deep: compute it in two columns")]
    Depth,
    /// It has too many parts.
    #[error("is computed from more than {FORMULA_PARTS_MAX} parts: compute it in two columns")]
    Parts,
    /// Its parts read too many lanes.
    #[error("reads more than {FORMULA_READS_MAX} counts and sums: compute it in two columns")]
    Reads,
    /// A key stands among figures.
    #[error("computes with a key: give that a column of its own")]
    Alone,
    /// Division by the constant zero.
    #[error("divides by zero: correct the constant")]
    DivisionByZero,
    /// It adds up over two kinds of groups.
    #[error("adds up over two kinds of groups: give each of the sums a column of its own")]
    SumsOverGroups,
    /// A number of it is out of range, or keys out of order: share, leaves, scale, digits.
    #[error(
        "has a share, a number of leaves, a scale, digits or keys out of range: plan the analysis again"
    )]
    Range,
}

/// Most bits a deviation may be divided by.
const SCALE_BITS_MAX: u8 = 64;

impl Formula {
    /// Arithmetic.
    pub fn arithmetic(op: FigureOp, left: Self, right: Self) -> Self {
        Self::Arithmetic { op, left: Box::new(left), right: Box::new(right) }
    }

    /// The figures it is computed from, one level down.
    pub fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Arithmetic { left, right, .. } => vec![&**left, &**right],
            Self::Call { of, .. } | Self::Coalesce { of, .. } => vec![&**of],
            Self::Key { .. }
            | Self::Total { .. }
            | Self::Ratio { .. }
            | Self::Constant { .. }
            | Self::Variance { .. }
            | Self::Pair { .. }
            | Self::Quantile(_)
            | Self::Distinct { .. }
            | Self::Across { .. } => Vec::new(),
        }
    }

    /// Whether it or a part of it, however deep, is so. Iterative: works on any depth.
    pub fn any(&self, is_so: &dyn Fn(&Self) -> bool) -> bool {
        let mut waiting = vec![self];
        while let Some(formula) = waiting.pop() {
            if is_so(formula) {
                return true;
            }
            waiting.extend(formula.parts());
        }
        false
    }

    /// Calls `seen` with every lane it reads, repetitions included. Iterative: works on any depth.
    pub fn each_lane(&self, seen: &mut dyn FnMut(u32)) {
        let mut waiting = vec![self];
        while let Some(formula) = waiting.pop() {
            waiting.extend(formula.parts());
            match formula {
                Self::Key { .. }
                | Self::Constant { .. }
                | Self::Arithmetic { .. }
                | Self::Call { .. }
                | Self::Coalesce { .. } => {}
                Self::Total { lane } | Self::Across { lane, .. } => seen(*lane),
                Self::Ratio { numerator, denominator } => {
                    [*numerator, *denominator].into_iter().for_each(&mut *seen);
                }
                Self::Variance { count, sum, squares, .. } => {
                    [*count, *sum, *squares].into_iter().for_each(&mut *seen);
                }
                Self::Pair { lanes: l, .. } => {
                    let all = [l.count, l.x, l.y, l.products, l.x_squares, l.y_squares];
                    all.into_iter().for_each(&mut *seen);
                }
                Self::Quantile(q) => run(q.first_lane, q.leaves).for_each(&mut *seen),
                Self::Distinct { first_lane, values } => {
                    run(*first_lane, *values).for_each(&mut *seen);
                }
            }
        }
    }

    /// Whether a sum over rows is in it.
    pub fn is_across(&self) -> bool {
        self.any(&|formula| matches!(formula, Self::Across { .. }))
    }

    /// The lanes it reads, sorted, each once.
    pub fn lanes(&self) -> Vec<u32> {
        let mut lanes = Vec::new();
        self.each_lane(&mut |lane| lanes.push(lane));
        lanes.sort_unstable();
        lanes.dedup();
        lanes
    }

    /// Checks it against the number of keys and lanes there are. Errors as [`FormulaError`] says.
    pub fn check(&self, keys: usize, lanes: usize) -> Result<(), FormulaError> {
        let mut across = None;
        let (mut waiting, mut count, mut reads) = (vec![(self, 0usize)], 0usize, 0usize);
        while let Some((formula, depth)) = waiting.pop() {
            count += 1;
            if depth >= FORMULA_DEPTH_MAX {
                return Err(FormulaError::Depth);
            }
            if count > FORMULA_PARTS_MAX {
                return Err(FormulaError::Parts);
            }
            formula.check_ranges(depth > 0)?;
            let mut exist = match formula {
                Self::Key { dimension } => (*dimension as usize) < keys,
                Self::Across { by, .. } => by.iter().all(|dimension| (*dimension as usize) < keys),
                _ => true,
            };
            if let Self::Across { by, .. } = formula {
                // Two kinds would share noise that an interval takes for independent.
                if across.is_some_and(|known: &Vec<u32>| known != by) {
                    return Err(FormulaError::SumsOverGroups);
                }
                across = Some(by);
            }
            let parts = formula.parts();
            if parts.is_empty() {
                formula.each_lane(&mut |lane| {
                    exist &= (lane as usize) < lanes;
                    reads += 1;
                });
            }
            if !exist {
                return Err(FormulaError::Missing);
            }
            if reads > FORMULA_READS_MAX {
                return Err(FormulaError::Reads);
            }
            waiting.extend(parts.into_iter().map(|part| (part, depth + 1)));
        }
        Ok(())
    }

    fn check_ranges(&self, is_inside: bool) -> Result<(), FormulaError> {
        let size = |count: u32| (1..=LANES_MAX).contains(&(count as usize));
        let is_good = match self {
            Self::Key { .. } if is_inside => return Err(FormulaError::Alone),
            Self::Arithmetic { op: FigureOp::Divide, right, .. } if matches!(&**right, Self::Constant { value } if *value == Real::ZERO) =>
            {
                return Err(FormulaError::DivisionByZero);
            }
            Self::Variance { scale_bits, .. } => *scale_bits <= SCALE_BITS_MAX,
            Self::Pair { lanes, .. } => {
                lanes.x_scale_bits.max(lanes.y_scale_bits) <= SCALE_BITS_MAX
            }
            Self::Quantile(quantile) => size(quantile.leaves) && quantile.is_sound(),
            Self::Distinct { values, .. } => size(*values),
            Self::Across { by, .. } => by.is_sorted_by(|one, next| one < next),
            Self::Call { function: FigureFunction::Round { digits }, .. } => {
                digits.unsigned_abs() <= FORMULA_DIGITS_MAX
            }
            _ => true,
        };
        if is_good { Ok(()) } else { Err(FormulaError::Range) }
    }
}

impl Quantile {
    /// Lower edge of leaf `leaf` in steps of the bounds' grid, or the end of the range for `leaves`.
    pub fn edge_steps(&self, leaf: u32) -> i64 {
        let part = self.span() * i128::from(leaf.min(self.leaves)) / i128::from(self.leaves.max(1));
        // Within the bounds, at most one step above them.
        i64::try_from(i128::from(self.bounds.min_steps()) + part).unwrap_or(i64::MAX)
    }

    /// Where leaf `leaf` starts and ends, in units; a leaf of one whole value starts and ends there.
    pub fn leaf_range(&self, leaf: u32) -> (f64, f64) {
        let unit = (1u64 << self.bounds.grid_bits()) as f64;
        let last = i64::from(self.whole);
        let (low, high) = (self.edge_steps(leaf), self.edge_steps(leaf.saturating_add(1)) - last);
        (low as f64 / unit, high.max(low) as f64 / unit)
    }

    /// Steps the leaves share.
    fn span(&self) -> i128 {
        let (min, max) = (self.bounds.min_steps(), self.bounds.max_steps());
        i128::from(max) - i128::from(min) + i128::from(self.whole)
    }

    fn is_sound(&self) -> bool {
        let inside = 0 < self.q.numerator() && self.q.numerator() < self.q.denominator();
        inside && self.span() >= i128::from(self.leaves)
    }
}

fn run(first: u32, count: u32) -> impl Iterator<Item = u32> {
    // A hostile count stops at the first lane that cannot exist.
    let most = u32::try_from(LANES_MAX).unwrap_or(u32::MAX);
    (0..count.min(most.saturating_add(1))).map(move |step| first.saturating_add(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(lane: u32) -> Formula {
        Formula::Total { lane }
    }

    fn constant(value: f64) -> Formula {
        Formula::Constant { value: Real::new(value).unwrap() }
    }

    fn call(function: FigureFunction, of: Formula) -> Formula {
        Formula::Call { function, of: Box::new(of) }
    }

    fn root(of: Formula) -> Formula {
        call(FigureFunction::SquareRoot, of)
    }

    fn otherwise(of: Formula) -> Formula {
        Formula::Coalesce { of: Box::new(of), otherwise: Real::ZERO }
    }

    fn quantile(min: i64, max: i64, leaves: u32, whole: bool, q: (u128, u128)) -> Quantile {
        let bounds = Bounds::from_steps(min, max, 0).unwrap();
        Quantile { first_lane: 0, leaves, q: Ratio::new(q.0, q.1).unwrap(), bounds, whole }
    }

    #[test]
    fn hostile_formulas_are_refused() {
        let check = |formula: Formula| formula.check(1, 4);
        assert_eq!(check(total(4)), Err(FormulaError::Missing));
        assert_eq!(check(Formula::Key { dimension: 1 }), Err(FormulaError::Missing));
        let inside = |inner| Formula::arithmetic(FigureOp::Add, inner, total(0));
        assert_eq!(check(inside(total(u32::MAX))), Err(FormulaError::Missing));
        for inner in [
            Formula::Distinct { first_lane: 0, values: 2 },
            Formula::Quantile(quantile(0, 9, 2, true, (1, 2))),
        ] {
            assert_eq!(check(inner.clone()), Ok(()));
            assert_eq!(check(inside(inner)), Ok(()));
        }
        let key = || Formula::Key { dimension: 0 };
        assert_eq!(check(key()), Ok(()));
        for among in [inside(key()), root(key()), otherwise(key())] {
            assert_eq!(check(among), Err(FormulaError::Alone));
        }
        let by_zero = Formula::arithmetic(FigureOp::Divide, total(0), constant(-0.0));
        assert_eq!(check(by_zero), Err(FormulaError::DivisionByZero));
        let mut deep = total(0);
        for _ in 0..5_000 {
            deep = Formula::arithmetic(FigureOp::Multiply, deep, constant(1.0));
        }
        assert_eq!(deep.check(1, 4), Err(FormulaError::Depth));
        assert_eq!(deep.lanes(), [0]);
        let mut wide = vec![total(0); 512];
        while wide.len() > 1 {
            wide = wide
                .chunks(2)
                .map(|p| Formula::arithmetic(FigureOp::Add, p[0].clone(), p[1].clone()))
                .collect();
        }
        assert_eq!(check(wide.remove(0)), Err(FormulaError::Parts));
        for range in [
            Formula::Distinct { first_lane: 0, values: 0 },
            Formula::Distinct { first_lane: 0, values: u32::MAX },
            Formula::Quantile(quantile(0, 9, 2, true, (0, 1))),
            Formula::Quantile(quantile(0, 9, 2, true, (1, 1))),
            Formula::Quantile(quantile(0, 9, 0, true, (1, 2))),
            Formula::Quantile(quantile(0, 1, 3, true, (1, 2))),
            Formula::Variance {
                count: 0,
                sum: 0,
                squares: 0,
                scale_bits: 65,
                spread: Spread::VarianceSample,
            },
        ] {
            assert_eq!(check(range), Err(FormulaError::Range));
        }
        let across = |lane, by: &[u32]| check(Formula::Across { lane, by: by.to_vec() });
        assert_eq!((across(3, &[]), across(3, &[0])), (Ok(()), Ok(())));
        assert_eq!(across(4, &[]), Err(FormulaError::Missing));
        assert_eq!(across(0, &[1]), Err(FormulaError::Missing));
        assert_eq!(across(0, &[0, 0]), Err(FormulaError::Range));
        let sums = |by: &[u32]| Formula::Across { lane: 0, by: by.to_vec() };
        let both = |one, other| check(Formula::arithmetic(FigureOp::Divide, one, other));
        assert_eq!(both(sums(&[0]), sums(&[0])), Ok(()));
        assert_eq!(both(sums(&[0]), sums(&[])), Err(FormulaError::SumsOverGroups));
        let beyond = Formula::Distinct { first_lane: u32::MAX, values: 2 };
        assert_eq!(check(beyond.clone()), Err(FormulaError::Missing));
        for beyond in [root(beyond.clone()), otherwise(beyond)] {
            assert_eq!(check(beyond), Err(FormulaError::Missing));
        }
    }

    #[test]
    fn hostile_functions_of_figures_are_refused() {
        let check = |formula: Formula| formula.check(1, 4);
        let round = |digits| call(FigureFunction::Round { digits }, total(0));
        for digits in [-15, 0, 15] {
            assert_eq!(check(round(digits)), Ok(()));
        }
        for digits in [i8::MIN, -16, 16, i8::MAX] {
            assert_eq!(check(round(digits)), Err(FormulaError::Range));
            assert_eq!(check(otherwise(round(digits))), Err(FormulaError::Range));
        }
        for wrap in [root, otherwise] {
            let mut deep = total(0);
            for _ in 0..5_000 {
                deep = wrap(deep);
            }
            assert_eq!(deep.check(1, 4), Err(FormulaError::Depth));
            assert!(deep.lanes() == [0] && !deep.is_across());
        }
        // Wide parts are few.
        let wide = Formula::Distinct { first_lane: 0, values: 1_024 };
        let sum = |left, right| Formula::arithmetic(FigureOp::Add, left, right);
        let four = sum(sum(wide.clone(), wide.clone()), sum(wide.clone(), wide.clone()));
        assert_eq!(four.check(0, 1_024), Ok(()));
        assert_eq!(sum(four, total(0)).check(0, 1_024), Err(FormulaError::Reads));
        let hidden = root(otherwise(Formula::Across { lane: 0, by: vec![1] }));
        assert!(hidden.is_across());
        assert_eq!(check(hidden), Err(FormulaError::Missing));
        let by_zero = Formula::arithmetic(FigureOp::Divide, total(0), constant(0.0));
        assert_eq!(check(root(by_zero)), Err(FormulaError::DivisionByZero));
    }

    #[test]
    fn leaves_tile_their_range() {
        for (min, max, leaves, whole) in
            [(0, 9, 10, true), (-5, 100, 7, true), (0, 50_000, 64, false)]
        {
            let q = quantile(min, max, leaves, whole, (1, 2));
            assert_eq!(q.edge_steps(0), min);
            assert_eq!(q.edge_steps(leaves), max + i64::from(whole));
            assert!((0..leaves).all(|leaf| q.edge_steps(leaf) < q.edge_steps(leaf + 1)));
        }
        let ten = quantile(0, 9, 10, true, (1, 2));
        assert_eq!(ten.leaf_range(3), (3.0, 3.0));
        assert_eq!(quantile(0, 64, 64, false, (1, 2)).leaf_range(63), (63.0, 64.0));
    }

    #[test]
    fn formulas_survive_writing() {
        let formula = Formula::arithmetic(FigureOp::Divide, total(3), constant(0.1));
        let json = serde_json::to_string(&formula).unwrap();
        assert_eq!(serde_json::from_str::<Formula>(&json).unwrap(), formula);
        assert!(serde_json::from_str::<Formula>(&json.replace("\"0.1\"", "0.1")).is_err());
        assert!(serde_json::from_str::<Formula>(&json.replace("0.1", "NaN")).is_err());
        let called = otherwise(call(FigureFunction::Round { digits: -2 }, root(total(3))));
        let json = serde_json::to_string(&called).unwrap();
        assert_eq!(serde_json::from_str::<Formula>(&json).unwrap(), called);
        assert!(serde_json::from_str::<Formula>(&json.replace("-2", "-2.5")).is_err());
        assert!(serde_json::from_str::<Formula>(&json.replace("-2", "-200")).is_err());
        assert!(serde_json::from_str::<Formula>(&json.replace("square_root", "log")).is_err());
        for level in [r#"{"arithmetic":{"op":"add","left":"#, r#"{"coalesce":{"of":"#] {
            let deep = format!("{}{}", level.repeat(10_000), "1");
            assert!(serde_json::from_str::<Formula>(&deep).is_err());
        }
    }
}
