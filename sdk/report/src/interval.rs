//! Intervals of finite numbers and arithmetic on them that never loses a point: what holds for every
//! number of the operands holds for the result. Whatever is unbounded or undefined is `None`.

/// Widens results by more than floating-point rounding narrows them, relative to their size.
const OUTWARD: f64 = 1e-13;

/// `[low, high]`, both finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Interval {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Interval {
    /// From two ends; `None` unless both are finite and in order.
    pub(crate) fn new(low: f64, high: f64) -> Option<Self> {
        (low.is_finite() && high.is_finite() && low <= high).then_some(Self { low, high })
    }

    /// One number.
    pub(crate) fn point(value: f64) -> Option<Self> {
        Self::new(value, value)
    }

    /// A number with a half-width.
    pub(crate) fn around(value: f64, half_width: f64) -> Option<Self> {
        Self::new(value - half_width, value + half_width)
    }

    pub(crate) fn middle(self) -> f64 {
        f64::midpoint(self.low, self.high)
    }

    pub(crate) fn add(self, other: Self) -> Option<Self> {
        Self::outward(self.low + other.low, self.high + other.high)
    }

    pub(crate) fn subtract(self, other: Self) -> Option<Self> {
        Self::outward(self.low - other.high, self.high - other.low)
    }

    pub(crate) fn multiply(self, other: Self) -> Option<Self> {
        Self::corners(self, other, |a, b| a * b)
    }

    /// `None` where the divisor may be 0.
    pub(crate) fn divide(self, other: Self) -> Option<Self> {
        let is_clear = other.low > 0.0 || other.high < 0.0;
        if is_clear { Self::corners(self, other, |a, b| a / b) } else { None }
    }

    /// Both ends times a number above zero.
    pub(crate) fn scaled(self, factor: f64) -> Option<Self> {
        Self::new(self.low * factor, self.high * factor)
    }

    /// The square root of what is not below 0.
    pub(crate) fn root(self) -> Option<Self> {
        Self::outward(self.low.max(0.0).sqrt(), self.high.max(0.0).sqrt())
    }

    /// The absolute values.
    pub(crate) fn absolute(self) -> Option<Self> {
        Self::new(self.mignitude(), self.magnitude())
    }

    /// Both ends brought into `[low, high]`.
    pub(crate) fn within(self, low: f64, high: f64) -> Self {
        Self { low: self.low.clamp(low, high), high: self.high.clamp(low, high) }
    }

    /// The smallest interval with all of both.
    pub(crate) fn hull(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// The largest absolute value.
    pub(crate) fn magnitude(self) -> f64 {
        self.low.abs().max(self.high.abs())
    }

    /// The smallest absolute value.
    pub(crate) fn mignitude(self) -> f64 {
        if self.low <= 0.0 && self.high >= 0.0 { 0.0 } else { self.low.abs().min(self.high.abs()) }
    }

    fn corners(self, other: Self, of: impl Fn(f64, f64) -> f64) -> Option<Self> {
        let ends = [
            of(self.low, other.low),
            of(self.low, other.high),
            of(self.high, other.low),
            of(self.high, other.high),
        ];
        let low = ends.iter().copied().fold(f64::INFINITY, f64::min);
        let high = ends.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if ends.iter().any(|end| end.is_nan()) { None } else { Self::outward(low, high) }
    }

    /// A degenerate interval stays one, so that a figure is computed by the arithmetic of its interval.
    fn outward(low: f64, high: f64) -> Option<Self> {
        if low == high {
            return Self::point(low);
        }
        Self::new(low - low.abs() * OUTWARD, high + high.abs() * OUTWARD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_of_the_parts_is_inside() {
        let ends = [-3.0, -1.0, -0.25, 0.0, 0.5, 2.0, 7.0];
        let all: Vec<Interval> = ends
            .iter()
            .flat_map(|a| ends.iter().filter_map(move |b| Interval::new(*a, *b)))
            .collect();
        for a in &all {
            for b in &all {
                for s in 0..=4 {
                    for t in 0..=4 {
                        let x = a.low + (a.high - a.low) * f64::from(s) / 4.0;
                        let y = b.low + (b.high - b.low) * f64::from(t) / 4.0;
                        let holds = |i: Option<Interval>, z: f64| {
                            i.is_none_or(|i| i.low <= z && z <= i.high)
                        };
                        assert!(holds(a.add(*b), x + y) && holds(a.subtract(*b), x - y));
                        assert!(holds(a.multiply(*b), x * y) && holds(a.divide(*b), x / y));
                        assert!(a.mignitude() <= x.abs() && x.abs() <= a.magnitude());
                        assert!(a.absolute().is_some() && holds(a.absolute(), x.abs()));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_finite_does_not_exist() {
        assert_eq!(Interval::new(f64::NAN, 1.0), None);
        assert_eq!(Interval::new(2.0, 1.0), None);
        let most = Interval::new(-f64::MAX, f64::MAX).unwrap();
        assert_eq!(most.add(most), None);
        assert_eq!(most.multiply(most), None);
        let zero = Interval::point(0.0).unwrap();
        assert_eq!(most.divide(zero), None);
        assert_eq!(most.divide(Interval::new(-1.0, 1.0).unwrap()), None);
        assert_eq!(zero.root(), Some(zero));
    }
}
