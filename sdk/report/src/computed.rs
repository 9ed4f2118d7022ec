//! Figures computed from parts that have intervals of their own: quantiles, distinct counts, averages, what a
//! function takes. All parts are within their intervals at once as often as promised, whatever noise they
//! share, and interval arithmetic never loses a point: so the figure is within its own at least as often.

use crate::cell::{Cell, Estimate};
use crate::figure::Figure;
use crate::interval::Interval;
use crate::lane_error::{LaneError, at_confidence};
use crate::quantile::Confidence;
use crate::statistics::arithmetic;
use cloister_terms::{FigureFunction, FigureOp, Formula};

/// A computed figure made ready for all rows.
pub(crate) struct Computed {
    tree: Tree,
    /// Each part as it is by itself, and at the confidence that holds for all of them, where they are several.
    parts: Vec<(Figure, Option<Figure>)>,
    /// Errors at that confidence; empty for one part.
    errors: Vec<LaneError>,
    /// Every lane it reads.
    lanes: Vec<u32>,
    /// Whether a figure within its own half-width of 0 is too noisy to say, as sums are.
    is_total: bool,
}

/// How it is computed from its parts.
enum Tree {
    Part(usize),
    Constant(f64),
    Arithmetic(FigureOp, Box<Tree>, Box<Tree>),
    Call(FigureFunction, Box<Tree>),
    Coalesce(Box<Tree>, f64),
}

/// A figure on the way.
#[derive(Clone, Copy)]
struct Found {
    value: Option<f64>,
    interval: Option<Interval>,
    /// Whether a constant stands for what is not defined.
    is_otherwise: bool,
    /// Whether a noised figure went in.
    is_noised: bool,
    /// Whether the figure without noise may be one that is not defined.
    may_be_undefined: bool,
}

/// No figure.
const NOTHING: Found = Found {
    value: None,
    interval: None,
    is_otherwise: false,
    is_noised: false,
    may_be_undefined: false,
};

/// Whether a formula has an interval as a whole: one without functions, whose only quantile or distinct count
/// is itself.
pub(crate) fn is_whole(formula: &Formula) -> bool {
    let is_own = |part: &Formula| matches!(part, Formula::Quantile(_) | Formula::Distinct { .. });
    let is_function =
        |part: &Formula| matches!(part, Formula::Call { .. } | Formula::Coalesce { .. });
    is_own(formula) || !formula.any(&|part| is_own(part) || is_function(part))
}

impl Computed {
    /// For all rows of an answer; of a formula that is not whole.
    pub(crate) fn new(formula: &Formula, errors: &[LaneError], confidence: Confidence) -> Self {
        let mut parts = Vec::new();
        let tree = Tree::new(formula, &mut parts);
        let lanes = formula.lanes();
        let each = confidence.each_of_dependent(parts.len());
        let is_one = parts.len() < 2;
        let wider = if is_one { Vec::new() } else { at_confidence(errors, &lanes, each) };
        let made = |part: &Formula| {
            let own = Figure::new(part, errors, confidence);
            (own, (!is_one).then(|| Figure::new(part, &wider, each)))
        };
        // One quantile, wherever it is moved to, is as certain as its own place.
        let is_quantile = matches!(parts.as_slice(), [Formula::Quantile(_)]);
        let is_total = !is_one || (tree.is_moved() && !is_quantile);
        let parts = parts.iter().map(made).collect();
        Self { tree, parts, errors: wider, lanes, is_total }
    }

    /// The figure of one row; `steps` are its lanes.
    pub(crate) fn cell(&self, errors: &[LaneError], steps: &dyn Fn(u32) -> Option<i128>) -> Cell {
        // Where no partner answered there is no figure, and no constant for it.
        if self.lanes.iter().any(|lane| steps(*lane).is_none()) {
            return Cell::TooNoisy(None);
        }
        let mut is_noisy = false;
        let mut found = Vec::with_capacity(self.parts.len());
        for (own, wider) in &self.parts {
            let cell = own.cell(errors, steps).unwrap_or(Cell::TooNoisy(None));
            let wide = match wider {
                Some(figure) => figure.cell(&self.errors, steps),
                None => Some(cell),
            };
            is_noisy |= cell.is_too_noisy();
            found.push(Found::of(cell, wide));
        }
        let Found { value: Some(value), interval, is_otherwise, .. } = self.tree.at(&found) else {
            return Cell::TooNoisy(None);
        };
        if is_otherwise {
            return Cell::Otherwise(value);
        }
        let ends = interval.map(|all| (all.low.min(value), all.high.max(value)));
        let Some(estimate) = ends.and_then(|(low, high)| Estimate::new(value, low, high)) else {
            return Cell::TooNoisy(None);
        };
        if is_noisy || (self.is_total && estimate.plus_minus > value.abs()) {
            return Cell::TooNoisy(Some(estimate));
        }
        Cell::Said(estimate)
    }
}

impl Found {
    /// A part: its own value, with the interval it has beside other parts.
    fn of(cell: Cell, wide: Option<Cell>) -> Self {
        let value = cell.estimate().map(|estimate| estimate.value);
        let ends = wide.and_then(|wide| wide.estimate().map(|wide| (wide.low, wide.high)));
        let interval = ends.and_then(|(low, high)| Interval::new(low, high));
        let point = value.and_then(Interval::point);
        let interval = interval.zip(point).map(|(all, point)| all.hull(point));
        Self { value, interval, is_noised: true, ..NOTHING }
    }
}

impl Tree {
    /// Of a formula; adds its parts, each once. Recursion is bounded by the depth a checked shape allows.
    fn new(formula: &Formula, parts: &mut Vec<Formula>) -> Self {
        match formula {
            Formula::Constant { value } => Self::Constant(value.value()),
            Formula::Arithmetic { op, left, right } if !is_whole(formula) => {
                let left = Box::new(Self::new(left, parts));
                Self::Arithmetic(*op, left, Box::new(Self::new(right, parts)))
            }
            Formula::Call { function, of } => Self::Call(*function, Box::new(Self::new(of, parts))),
            Formula::Coalesce { of, otherwise } => {
                Self::Coalesce(Box::new(Self::new(of, parts)), otherwise.value())
            }
            part => {
                let known = parts.iter().position(|other| other == part);
                Self::Part(known.unwrap_or_else(|| {
                    parts.push(part.clone());
                    parts.len() - 1
                }))
            }
        }
    }

    /// Whether something is added or taken away.
    fn is_moved(&self) -> bool {
        match self {
            Self::Part(_) | Self::Constant(_) => false,
            Self::Arithmetic(FigureOp::Add | FigureOp::Subtract, ..) => true,
            Self::Arithmetic(_, left, right) => left.is_moved() || right.is_moved(),
            Self::Call(_, of) | Self::Coalesce(of, _) => of.is_moved(),
        }
    }

    fn at(&self, parts: &[Found]) -> Found {
        match self {
            Self::Part(index) => parts.get(*index).copied().unwrap_or(NOTHING),
            Self::Constant(value) => {
                Found { value: Some(*value), interval: Interval::point(*value), ..NOTHING }
            }
            Self::Arithmetic(op, left, right) => {
                let (left, right) = (left.at(parts), right.at(parts));
                let is_noised = left.is_noised || right.is_noised;
                let is_otherwise = left.is_otherwise || right.is_otherwise;
                if is_otherwise && is_noised {
                    // A constant would hide the noise of the other side.
                    return Found { is_noised, ..NOTHING };
                }
                let value = left.value.zip(right.value).map(|(left, right)| match op {
                    FigureOp::Add => left + right,
                    FigureOp::Subtract => left - right,
                    FigureOp::Multiply => left * right,
                    FigureOp::Divide => left / right,
                });
                let intervals = left.interval.zip(right.interval);
                Found {
                    value: value.filter(|value| value.is_finite()),
                    interval: intervals.and_then(|(left, right)| arithmetic(*op, left, right)),
                    is_otherwise,
                    is_noised,
                    may_be_undefined: left.may_be_undefined || right.may_be_undefined,
                }
            }
            Self::Call(function, of) => {
                let of = of.at(parts);
                let value = of.value.and_then(|value| value_of(*function, value));
                let is_root = *function == FigureFunction::SquareRoot;
                let may_be_below_0 = is_root && of.interval.is_some_and(|all| all.low < 0.0);
                Found {
                    value: value.filter(|value| value.is_finite()),
                    interval: of.interval.and_then(|interval| interval_of(*function, interval)),
                    may_be_undefined: of.may_be_undefined || may_be_below_0,
                    ..of
                }
            }
            Self::Coalesce(of, otherwise) => match of.at(parts) {
                Found { value: None, .. } => {
                    Found { value: Some(*otherwise), is_otherwise: true, ..NOTHING }
                }
                // Without noise it may be the constant.
                found if found.may_be_undefined => {
                    let both = found.interval.zip(Interval::point(*otherwise));
                    let interval = both.map(|(all, otherwise)| all.hull(otherwise));
                    Found { interval, may_be_undefined: false, ..found }
                }
                found => found,
            },
        }
    }
}

fn value_of(function: FigureFunction, value: f64) -> Option<f64> {
    match function {
        FigureFunction::Round { digits } => Some(rounded(value, digits)),
        FigureFunction::Absolute => Some(value.abs()),
        FigureFunction::SquareRoot => (value >= 0.0).then(|| value.sqrt()),
    }
}

/// All values of the function over an interval, those it has none for left out; `None` where it has none at all.
fn interval_of(function: FigureFunction, of: Interval) -> Option<Interval> {
    match function {
        // It never falls, so its ends are those of the interval.
        FigureFunction::Round { digits } => {
            Interval::new(rounded(of.low, digits), rounded(of.high, digits))
        }
        FigureFunction::Absolute => of.absolute(),
        FigureFunction::SquareRoot => (of.high >= 0.0).then_some(of)?.root(),
    }
}

/// The nearest multiple of `10^-digits`, halves away from 0, as `ROUND` of a row's value.
fn rounded(value: f64, digits: i8) -> f64 {
    // Powers up to 10^22 are exact.
    let power = 10f64.powi(i32::from(digits).abs());
    let rounded = if digits < 0 {
        (value / power).round() * power
    } else {
        let scaled = value * power;
        // From 2^52 on every float is whole: there is nothing left to round.
        let is_coarse = scaled.is_finite() && scaled.abs() < 4_503_599_627_370_496.0;
        if is_coarse { scaled.round() / power } else { value }
    };
    // Adding 0 turns -0 into 0 and changes nothing else (IEEE 754, section 6.3).
    rounded + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_never_falls_and_goes_away_from_zero() {
        for (value, digits, expected) in [
            (17.25, 1, 17.3),
            (-17.25, 1, -17.3),
            (0.125, 2, 0.13),
            (1_250.0, -2, 1_300.0),
            (49.0, -2, 0.0),
            (-0.4, 0, 0.0),
            (1e300, 15, 1e300),
            (f64::MIN_POSITIVE, 15, 0.0),
        ] {
            assert_eq!(rounded(value, digits), expected, "{value} to {digits}");
        }
        assert!(rounded(-0.4, 0).is_sign_positive());
        for digits in [-15, -1, 0, 1, 7, 15] {
            let mut before = f64::NEG_INFINITY;
            for step in -4_000..4_000 {
                let now = rounded(f64::from(step) * 0.37, digits);
                assert!(now >= before, "{step} to {digits}");
                before = now;
            }
        }
    }

    #[test]
    fn intervals_of_functions_hold_every_value() {
        let functions = [
            FigureFunction::Round { digits: 1 },
            FigureFunction::Round { digits: -1 },
            FigureFunction::Absolute,
            FigureFunction::SquareRoot,
        ];
        let ends = [-30.0, -4.0, -0.25, 0.0, 0.04, 2.0, 17.3];
        for low in ends {
            for high in ends {
                let Some(all) = Interval::new(low, high) else { continue };
                for function in functions {
                    let of_all = interval_of(function, all);
                    for step in 0..=20 {
                        let value = low + (high - low) * f64::from(step) / 20.0;
                        let Some(found) = value_of(function, value.min(high)) else { continue };
                        let of_all = of_all.unwrap();
                        assert!(
                            of_all.low <= found && found <= of_all.high,
                            "{function:?} {all:?}"
                        );
                    }
                }
            }
        }
        let below = Interval::new(-4.0, -1.0).unwrap();
        assert_eq!(interval_of(FigureFunction::SquareRoot, below), None);
    }
}
