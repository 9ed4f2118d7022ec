//! Goodness-of-fit trials: draws against the exact probabilities, and two sets of draws against each
//! other. Floats are allowed here because nothing here is ever released. For tests only.

/// Bins are closed once they hold this share of the mass, towards the tails half of what is left.
const BIN_SHARE: f64 = 1.0 / 256.0;
/// Fewest draws a bin must expect, so that its count is nearly normal.
const EXPECTED_MIN: f64 = 32.0;

/// An exact law over the integers, symmetric about zero.
#[derive(Debug, Clone, Copy)]
pub enum Law {
    /// `Pr[x]` proportional to `exp(-|x| / scale)`.
    Laplace {
        /// Scale, in steps.
        scale: f64,
    },
    /// `Pr[x]` proportional to `exp(-x^2 / (2 sigma_sq))`.
    Gaussian {
        /// Variance parameter, in squared steps.
        sigma_sq: f64,
    },
}

/// Bins over the integers with their exact probabilities.
#[derive(Debug, Clone)]
pub struct Bins {
    /// Bin i holds the magnitudes from `starts[i]` (to below `starts[i + 1]`) on the positive side.
    starts: Vec<i128>,
    /// Probability of the central bin, then of each bin of one side.
    masses: Vec<f64>,
}

/// Outcome of a trial.
#[derive(Debug, Clone, Copy)]
pub struct Fit {
    /// Pearson's statistic.
    pub chi_square: f64,
    /// Degrees of freedom.
    pub degrees: usize,
    /// Probability of a statistic at least this large if both laws are equal.
    pub p_value: f64,
}

impl Law {
    fn weight(self, x: f64) -> f64 {
        match self {
            Self::Laplace { scale } => (-x / scale).exp(),
            Self::Gaussian { sigma_sq } => (-x * x / (2.0 * sigma_sq)).exp(),
        }
    }

    /// Beyond this magnitude lies less than 1e-16 of the mass.
    fn reach(self) -> i128 {
        let reach = match self {
            Self::Laplace { scale } => 40.0 * scale,
            Self::Gaussian { sigma_sq } => 9.0 * sigma_sq.sqrt(),
        };
        reach as i128 + 4
    }

    /// Bins for `draws` draws of this law; the last bin of each side is its whole tail.
    pub fn bins(self, draws: usize) -> Bins {
        let one_side: f64 = (1..=self.reach()).map(|x| self.weight(x as f64)).sum();
        let total = self.weight(0.0) + 2.0 * one_side;
        let least = EXPECTED_MIN / draws as f64;
        let (mut starts, mut masses) = (vec![0], vec![]);
        let mut rest = one_side / total;
        let mut open = self.weight(0.0) / total;
        for x in 1..=self.reach() {
            let wanted = BIN_SHARE.min(rest / 2.0).max(least);
            if open >= wanted && rest >= least {
                masses.push(open);
                starts.push(x);
                open = 0.0;
            }
            let mass = self.weight(x as f64) / total;
            rest -= mass;
            // The central bin spans both sides.
            open += if masses.is_empty() { 2.0 * mass } else { mass };
        }
        masses.push(open);
        Bins { starts, masses }
    }
}

impl Bins {
    /// Number of bins.
    pub fn count(&self) -> usize {
        2 * self.starts.len() - 1
    }

    /// How many of `draws` fall into each bin: the centre, then the positive and negative bin of
    /// each magnitude.
    pub fn histogram(&self, draws: &[i128]) -> Vec<u64> {
        let mut counts = vec![0; self.count()];
        for draw in draws {
            let bin = self.starts.partition_point(|start| *start <= draw.abs()) - 1;
            counts[if bin == 0 { 0 } else { 2 * bin - usize::from(*draw > 0) }] += 1;
        }
        counts
    }

    fn probabilities(&self) -> Vec<f64> {
        let sides = self.masses[1..].iter().flat_map(|mass| [*mass, *mass]);
        std::iter::once(self.masses[0]).chain(sides).collect()
    }

    /// Pearson's chi-square of `draws` against the exact probabilities.
    pub fn against_law(&self, draws: &[i128]) -> Fit {
        let n = draws.len() as f64;
        let cells = self.histogram(draws).into_iter().zip(self.probabilities());
        let terms = cells.map(|(seen, p)| (seen as f64 - n * p).powi(2) / (n * p));
        Fit::new(terms.sum(), self.count() - 1)
    }

    /// Two-sample chi-square of `left` against `right`; bins empty in both are left out.
    pub fn against_sample(&self, left: &[i128], right: &[i128]) -> Fit {
        let (a, b) = (self.histogram(left), self.histogram(right));
        let ratio = (right.len() as f64 / left.len() as f64).sqrt();
        let cells = a.iter().zip(&b).filter(|(a, b)| **a + **b > 0);
        let terms: Vec<f64> = cells
            .map(|(a, b)| (ratio * *a as f64 - *b as f64 / ratio).powi(2) / (a + b) as f64)
            .collect();
        Fit::new(terms.iter().sum(), terms.len() - 1)
    }

    /// Lower estimate of the chance that `draws` draws of `other` are rejected at `false_alarm`:
    /// the noncentral chi-square, by its normal approximation, in standard deviations above the
    /// critical value (2.33 is a power of 0.99).
    pub fn power_deviations(&self, other: Law, draws: usize, false_alarm: f64) -> f64 {
        let degrees = (self.count() - 1) as f64;
        let mine = self.probabilities();
        let distances = mine.iter().zip(self.masses_of(other)).map(|(p, q)| (q - p).powi(2) / p);
        let noncentral = draws as f64 * distances.sum::<f64>();
        let critical = critical_value(degrees, false_alarm);
        (degrees + noncentral - critical) / (2.0 * (degrees + 2.0 * noncentral)).sqrt()
    }

    /// Probabilities of another law in these bins.
    fn masses_of(&self, law: Law) -> Vec<f64> {
        let one_side: f64 = (1..=law.reach()).map(|x| law.weight(x as f64)).sum();
        let total = law.weight(0.0) + 2.0 * one_side;
        let ends = self.starts[1..].iter().copied().chain([i128::MAX]);
        let mut masses = Vec::new();
        for (start, end) in self.starts.iter().zip(ends) {
            let inside = (*start).max(1)..end.min(law.reach() + 1);
            let side: f64 = inside.map(|x| law.weight(x as f64)).sum::<f64>() / total;
            match start {
                0 => masses.push(law.weight(0.0) / total + 2.0 * side),
                _ => masses.extend([side, side]),
            }
        }
        masses
    }
}

impl Fit {
    fn new(chi_square: f64, degrees: usize) -> Self {
        Self { chi_square, degrees, p_value: upper_tail(chi_square, degrees as f64) }
    }
}

/// Smallest statistic with at most `false_alarm` above it, by bisection.
fn critical_value(degrees: f64, false_alarm: f64) -> f64 {
    let (mut low, mut high) = (0.0, 10.0 * degrees + 1_000.0);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if upper_tail(middle, degrees) > false_alarm { low = middle } else { high = middle }
    }
    high
}

/// Upper tail of chi-square: the regularised incomplete gamma function Q(k/2, x/2), by its series
/// below the mean and its continued fraction above (Abramowitz, Stegun 6.5.29 and 6.5.31).
fn upper_tail(chi_square: f64, degrees: f64) -> f64 {
    let (a, x) = (degrees / 2.0, chi_square / 2.0);
    if x <= 0.0 {
        return 1.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        while term > sum * 1e-16 {
            n += 1.0;
            term *= x / n;
            sum += term;
        }
        return 1.0 - front * sum;
    }
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1e300, 1.0 / b);
    let mut h = d;
    for i in 1..10_000 {
        let an = -f64::from(i) * (f64::from(i) - a);
        b += 2.0;
        d = 1.0 / (an * d + b);
        c = b + an / c;
        h *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front * h
}

/// ln of the gamma function, by Stirling's series after shifting the argument past 20.
fn ln_gamma(argument: f64) -> f64 {
    let (mut x, mut shift) = (argument, 0.0);
    while x < 20.0 {
        shift += x.ln();
        x += 1.0;
    }
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_tails_are_those_of_the_tables() {
        let cases = [
            (3.841_458_820_694_124, 1.0, 0.05),
            (18.307_038_053_275_146, 10.0, 0.05),
            (124.342_113_403_918_4, 100.0, 0.05),
            (149.449_252_8, 100.0, 0.001),
            (4.605_170_185_988_091, 2.0, 0.1),
            (27.631_021_115_928_547, 2.0, 1e-6),
        ];
        for (x, degrees, tail) in cases {
            assert!((upper_tail(x, degrees) / tail - 1.0).abs() < 1e-4, "{x} {degrees}");
        }
    }

    #[test]
    fn bins_hold_all_the_mass() {
        let laws = [
            Law::Laplace { scale: 0.5 },
            Law::Gaussian { sigma_sq: 0.25 },
            Law::Laplace { scale: 1e3 },
            Law::Gaussian { sigma_sq: 1e6 },
        ];
        for law in laws {
            let bins = law.bins(1_000_000);
            assert!((bins.probabilities().iter().sum::<f64>() - 1.0).abs() < 1e-9, "{law:?}");
            assert!(bins.probabilities().iter().all(|p| p * 1e6 >= EXPECTED_MIN), "{law:?}");
            let same = bins.masses_of(law);
            assert!(
                bins.probabilities().iter().zip(same).all(|(p, q)| (p - q).abs() < 1e-9),
                "{law:?}"
            );
            assert!(bins.count() >= 5);
        }
    }
}
