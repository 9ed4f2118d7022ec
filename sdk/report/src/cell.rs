//! One figure of the answer, as it may be said: a value with its error, or a plain "too noisy". No
//! NaN and no infinity fits into these types' makers, so none reaches a reader.

use serde::{Serialize, Serializer};

/// What a cell that is mostly noise says.
pub(crate) const TOO_NOISY: &str = "too noisy to say";

/// A value and its interval, in the column's own units; all numbers are finite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// The larger distance from the figure to an end of its interval.
    pub plus_minus: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Standard deviation of the noise on the figure: exact for counts, sums and what is added up of
    /// them, to first order for averages and shares; none for other figures.
    pub standard_error: Option<f64>,
}

/// One figure of one row. In JSON all kinds have the fields `value`, `plus_minus`, `low`, `high`,
/// `standard_error` (null where undefined) and `too_noisy`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell {
    /// The figure stands out of its noise.
    Said(Estimate),
    /// The figure is mostly noise; it is given where it is defined at all, for adding up only.
    TooNoisy(Option<Estimate>),
    /// A constant that the question names for where the noised figure is not defined (`COALESCE`), or a figure
    /// computed from one; finite. It has no interval, since the noise alone may leave a figure undefined.
    Otherwise(f64),
}

impl Estimate {
    /// From a value and its interval, without a standard error; `None` unless all is finite and
    /// `low <= value <= high`.
    pub fn new(value: f64, low: f64, high: f64) -> Option<Self> {
        let plus_minus = (high - value).max(value - low);
        let finite = [value, low, high, plus_minus].iter().all(|number| number.is_finite());
        let standard_error = None;
        let is_ordered = low <= value && value <= high;
        (finite && is_ordered).then_some(Self { value, plus_minus, low, high, standard_error })
    }
}

impl Cell {
    /// The figure, where it is defined.
    pub fn estimate(&self) -> Option<&Estimate> {
        match self {
            Self::Said(estimate) => Some(estimate),
            Self::TooNoisy(estimate) => estimate.as_ref(),
            Self::Otherwise(_) => None,
        }
    }

    /// The figure's value, where it is defined or the question names another.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Otherwise(value) => Some(*value),
            _ => self.estimate().map(|estimate| estimate.value),
        }
    }

    /// Whether a reader must be told that this is mostly noise.
    pub fn is_too_noisy(&self) -> bool {
        matches!(self, Self::TooNoisy(_))
    }

    /// The same with a standard error, where that is finite.
    pub(crate) fn with_standard_error(self, error: f64) -> Self {
        let standard_error = Some(error).filter(|error| error.is_finite());
        let told = |estimate: Estimate| Estimate { standard_error, ..estimate };
        match self {
            Self::Said(estimate) => Self::Said(told(estimate)),
            Self::TooNoisy(estimate) => Self::TooNoisy(estimate.map(told)),
            Self::Otherwise(value) => Self::Otherwise(value),
        }
    }

    /// A total: too noisy when the half-width exceeds the figure's size.
    pub(crate) fn total(value: f64, half_width: f64) -> Self {
        match Estimate::new(value, value - half_width, value + half_width) {
            Some(estimate) if half_width <= value.abs() => Self::Said(estimate),
            estimate => Self::TooNoisy(estimate),
        }
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Flat {
            value: Option<f64>,
            plus_minus: Option<f64>,
            low: Option<f64>,
            high: Option<f64>,
            standard_error: Option<f64>,
            too_noisy: bool,
        }
        let part = |of: fn(&Estimate) -> f64| self.estimate().map(of);
        let flat = Flat {
            value: self.value(),
            plus_minus: part(|e| e.plus_minus),
            low: part(|e| e.low),
            high: part(|e| e.high),
            standard_error: self.estimate().and_then(|e| e.standard_error),
            too_noisy: self.is_too_noisy(),
        };
        flat.serialize(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finite_ordered_estimates_exist() {
        assert!(Estimate::new(1.0, 0.0, 3.0).is_some_and(|e| e.plus_minus == 2.0));
        for (value, low, high) in [
            (f64::NAN, 0.0, 1.0),
            (0.0, f64::NEG_INFINITY, 1.0),
            (0.0, -1.0, f64::INFINITY),
            (5.0, 0.0, 1.0),
            (5.0, 6.0, 7.0),
        ] {
            assert_eq!(Estimate::new(value, low, high), None);
        }
        assert_eq!(Estimate::new(f64::MAX, -f64::MAX, f64::MAX), None, "the width overflows");
        assert_eq!(Cell::total(f64::INFINITY, 1.0), Cell::TooNoisy(None));
    }

    #[test]
    fn a_total_smaller_than_its_half_width_is_too_noisy() {
        assert!(!Cell::total(25.0, 24.0).is_too_noisy());
        assert!(Cell::total(-23.0, 24.0).is_too_noisy());
        assert!(Cell::total(0.0, 24.0).is_too_noisy());
        let json = serde_json::to_value(Cell::TooNoisy(None)).unwrap();
        assert!(json["value"].is_null() && json["too_noisy"] == true);
        let json = serde_json::to_value(Cell::total(25.0, 24.0)).unwrap();
        assert_eq!((json["low"].as_f64(), json["high"].as_f64()), (Some(1.0), Some(49.0)));
        let json = serde_json::to_value(Cell::Otherwise(2.5)).unwrap();
        assert!(json["value"] == 2.5 && json["low"].is_null() && json["plus_minus"].is_null());
        assert_eq!(json["too_noisy"], false);
    }
}
