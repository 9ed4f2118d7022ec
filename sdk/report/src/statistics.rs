//! Variances, covariances, correlations, regressions and products of figures over a box of lanes: the
//! interval holds the figure of every point in the box, so it holds the true one whenever the box does.
//! Conservative by design; never a first-order approximation.

use crate::interval::Interval;
use cloister_terms::{FigureOp, Formula, PairLanes, PairStatistic, Spread};

/// Where lanes are, in units.
pub(crate) type Lanes<'a> = &'a dyn Fn(u32) -> Option<Interval>;

/// The interval of a formula over a box; its value where the box is a point. `None` where it is
/// undefined or unbounded. Recursion is bounded by the depth a checked shape allows.
pub(crate) fn over(formula: &Formula, at: Lanes<'_>) -> Option<Interval> {
    match formula {
        Formula::Total { lane } => at(*lane),
        Formula::Constant { value } => Interval::point(value.value()),
        Formula::Ratio { numerator, denominator } => at(*numerator)?.divide(at(*denominator)?),
        Formula::Arithmetic { op, left, right } => {
            arithmetic(*op, over(left, at)?, over(right, at)?)
        }
        Formula::Variance { count, sum, squares, scale_bits, spread } => {
            let (n, sum, squares) = (at(*count)?, at(*sum)?, at(*squares)?);
            let population = central(n, sum, squares)?.scaled(4f64.powi(i32::from(*scale_bits)))?;
            match spread {
                Spread::VariancePopulation => Some(population),
                Spread::VarianceSample => sample(population, n),
                Spread::DeviationPopulation => population.root(),
                Spread::DeviationSample => sample(population, n)?.root(),
            }
        }
        Formula::Pair { statistic, lanes } => pair(*statistic, lanes, at),
        // Read in a row's own lanes and those of the other rows.
        Formula::Across { .. } => None,
        // Computed from parts with intervals of their own.
        Formula::Call { .. } | Formula::Coalesce { .. } => None,
        Formula::Key { .. } | Formula::Quantile(_) | Formula::Distinct { .. } => None,
    }
}

/// Arithmetic on intervals; `None` where it is unbounded.
pub(crate) fn arithmetic(op: FigureOp, left: Interval, right: Interval) -> Option<Interval> {
    match op {
        FigureOp::Add => left.add(right),
        FigureOp::Subtract => left.subtract(right),
        FigureOp::Multiply => left.multiply(right),
        FigureOp::Divide => left.divide(right),
    }
}

/// `max(0, squares / n - (sum / n)^2)`, exactly over the box: it grows with `squares`, falls with `|sum|`,
/// and is concave in `1 / n`, so that its extremes are at the ends or at the parabola's top.
fn central(n: Interval, sum: Interval, squares: Interval) -> Option<Interval> {
    if n.low <= 0.0 {
        return None;
    }
    let (u_low, u_high) = (1.0 / n.high, 1.0 / n.low);
    let at = |squares: f64, sum: f64, u: f64| u * (squares - sum * sum * u);
    let (far, near) = (sum.magnitude(), sum.mignitude());
    let low = at(squares.low, far, u_low).min(at(squares.low, far, u_high));
    let mut high = at(squares.high, near, u_low).max(at(squares.high, near, u_high));
    let top = squares.high / (2.0 * near * near);
    if (u_low..=u_high).contains(&top) {
        high = high.max(at(squares.high, near, top));
    }
    Interval::new(low.max(0.0), high.max(0.0))
}

/// Times `n / (n - 1)`, which falls with n.
fn sample(population: Interval, n: Interval) -> Option<Interval> {
    if n.low <= 1.0 {
        return None;
    }
    population.multiply(Interval::new(n.high / (n.high - 1.0), n.low / (n.low - 1.0))?)
}

fn pair(statistic: PairStatistic, lanes: &PairLanes, at: Lanes<'_>) -> Option<Interval> {
    let (n, x, y) = (at(lanes.count)?, at(lanes.x)?, at(lanes.y)?);
    let (mean_x, mean_y) = (x.divide(n)?, y.divide(n)?);
    let c = at(lanes.products)?.divide(n)?.subtract(mean_x.multiply(mean_y)?)?;
    let (f, g) = (2f64.powi(lanes.x_scale_bits.into()), 2f64.powi(lanes.y_scale_bits.into()));
    let variance = |squares: u32, sum: Interval| central(n, sum, at(squares)?);
    match statistic {
        PairStatistic::CovariancePopulation => c.scaled(f * g),
        PairStatistic::CovarianceSample => sample(c.scaled(f * g)?, n),
        PairStatistic::Correlation => {
            let (a, b) = (variance(lanes.x_squares, x)?, variance(lanes.y_squares, y)?);
            // Roots apart, so that their product does not overflow.
            let quotient = c.divide(a.root()?.multiply(b.root()?)?)?;
            Some(quotient.within(-1.0, 1.0))
        }
        PairStatistic::Slope => c.divide(variance(lanes.x_squares, x)?)?.scaled(g / f),
        PairStatistic::Intercept => {
            let slope = c.divide(variance(lanes.x_squares, x)?)?.scaled(g / f)?;
            let whole = |mean: Interval, scale: f64, mid: f64| {
                mean.scaled(scale)?.add(Interval::point(mid)?)
            };
            let mean_x = whole(mean_x, f, lanes.x_mid.value())?;
            whole(mean_y, g, lanes.y_mid.value())?.subtract(slope.multiply(mean_x)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloister_terms::Real;

    /// xorshift64*: a fixed sequence, so that a failure is found again.
    struct Sequence(u64);

    impl Sequence {
        fn unit(&mut self) -> f64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    fn variance(spread: Spread) -> Formula {
        Formula::Variance { count: 0, sum: 1, squares: 2, scale_bits: 1, spread }
    }

    fn statistic(statistic: PairStatistic) -> Formula {
        let lanes = PairLanes {
            count: 0,
            x: 1,
            y: 3,
            products: 4,
            x_squares: 2,
            y_squares: 5,
            x_mid: Real::new(10.0).unwrap(),
            y_mid: Real::new(-3.0).unwrap(),
            x_scale_bits: 1,
            y_scale_bits: 0,
        };
        Formula::Pair { statistic, lanes }
    }

    /// The lanes of some pairs, deviations of x halved.
    fn lanes(pairs: &[(f64, f64)]) -> [f64; 6] {
        let mut sums = [0.0; 6];
        for (x, y) in pairs {
            let (u, v) = ((x - 10.0) / 2.0, y + 3.0);
            for (sum, more) in sums.iter_mut().zip([1.0, u, u * u, v, u * v, v * v]) {
                *sum += more;
            }
        }
        sums
    }

    fn value(formula: &Formula, lanes: &[f64; 6]) -> Option<f64> {
        over(formula, &|lane| Interval::point(lanes[lane as usize])).map(Interval::middle)
    }

    #[test]
    fn statistics_are_the_textbook_ones() {
        let pairs = [(8.0, 1.0), (12.0, 2.5), (15.0, 2.0), (4.0, -1.0), (11.0, 0.5)];
        let lanes = lanes(&pairs);
        let n = pairs.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / n;
        let (mx, my) = (mean(|p| p.0), mean(|p| p.1));
        let sxx: f64 = pairs.iter().map(|p| (p.0 - mx).powi(2)).sum();
        let syy: f64 = pairs.iter().map(|p| (p.1 - my).powi(2)).sum();
        let sxy: f64 = pairs.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
        for (formula, expected) in [
            (variance(Spread::VariancePopulation), sxx / n),
            (variance(Spread::VarianceSample), sxx / (n - 1.0)),
            (variance(Spread::DeviationPopulation), (sxx / n).sqrt()),
            (variance(Spread::DeviationSample), (sxx / (n - 1.0)).sqrt()),
            (statistic(PairStatistic::CovariancePopulation), sxy / n),
            (statistic(PairStatistic::CovarianceSample), sxy / (n - 1.0)),
            (statistic(PairStatistic::Correlation), sxy / (sxx * syy).sqrt()),
            (statistic(PairStatistic::Slope), sxy / sxx),
            (statistic(PairStatistic::Intercept), my - sxy / sxx * mx),
        ] {
            let found = value(&formula, &lanes).unwrap();
            assert!((found - expected).abs() < 1e-9, "{formula:?}: {found} against {expected}");
        }
    }

    #[test]
    fn every_point_of_the_box_is_inside() {
        let mut random = Sequence(7);
        let formulas = [
            variance(Spread::VariancePopulation),
            variance(Spread::DeviationSample),
            statistic(PairStatistic::CovarianceSample),
            statistic(PairStatistic::Correlation),
            statistic(PairStatistic::Slope),
            statistic(PairStatistic::Intercept),
            Formula::arithmetic(
                FigureOp::Multiply,
                variance(Spread::VarianceSample),
                Formula::Total { lane: 3 },
            ),
        ];
        let mut bounded = 0;
        for _ in 0..400 {
            let pairs: Vec<(f64, f64)> =
                (0..20).map(|_| (20.0 * random.unit(), 6.0 * random.unit() - 6.0)).collect();
            let centre = lanes(&pairs);
            let widths: Vec<f64> = (0..6).map(|_| 4.0 * random.unit()).collect();
            let boxed = |lane: u32| Interval::around(centre[lane as usize], widths[lane as usize]);
            for formula in &formulas {
                let Some(interval) = over(formula, &boxed) else { continue };
                bounded += 1;
                for _ in 0..20 {
                    let mut point = centre;
                    for (place, width) in point.iter_mut().zip(&widths) {
                        *place += width * (2.0 * random.unit() - 1.0);
                    }
                    let Some(found) = value(formula, &point) else { continue };
                    let slack = 1e-9 * found.abs().max(1.0);
                    assert!(
                        interval.low - slack <= found && found <= interval.high + slack,
                        "{formula:?}: {found} outside {interval:?}"
                    );
                }
            }
        }
        assert!(bounded > 1_000);
    }

    #[test]
    fn too_few_rows_and_extremes_are_undefined() {
        for n in [0.0, -5.0, 1.0] {
            assert_eq!(
                value(&variance(Spread::VarianceSample), &[n, 0.0, 1.0, 0.0, 0.0, 0.0]),
                None
            );
        }
        let constant = [4.0, 8.0, 16.0, 1.0, 2.0, 1.0];
        assert_eq!(
            value(&statistic(PairStatistic::Correlation), &constant),
            None,
            "x never varies"
        );
        for extreme in [f64::MAX, -f64::MAX, f64::MIN_POSITIVE] {
            let lanes = [2.0, extreme, f64::MAX, extreme, f64::MAX, f64::MAX];
            for formula in [variance(Spread::VarianceSample), statistic(PairStatistic::Intercept)] {
                let found = over(&formula, &|lane| Interval::around(lanes[lane as usize], 1.0));
                assert!(found.is_none_or(|i| i.low.is_finite() && i.high.is_finite()));
            }
        }
    }
}
