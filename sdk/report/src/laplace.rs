//! The sum of `k` independent Laplace draws of scale 1, exactly: its tail is a finite mixture of
//! Erlang tails with positive weights, so no normal approximation is ever needed.

/// Halvings of the quantile's bracket.
const HALVINGS: u32 = 60;

/// The law of `S = L_1 + ... + L_k`, each with density `exp(-|x|) / 2`.
///
/// `S` is the difference of two Gamma(k) variables; partial fractions of its characteristic function
/// `(1 + t^2)^-k` give, for x >= 0,
/// `Pr[|S| > x] = 2 sum_{j<k} C(k-1+j, j) 2^-(k+j) Pr[Gamma(k-j) > x]`.
/// (Kotz, Kozubowski, Podgorski 2001, section 2.3, gives the density.)
pub(crate) struct LaplaceSum {
    /// Weight of the Erlang tail with shape `n`, at `n - 1`; they sum to 1.
    weights: Vec<f64>,
}

impl LaplaceSum {
    /// For `copies >= 1` draws.
    pub(crate) fn new(copies: usize) -> Self {
        let k = copies.max(1) as f64;
        // Logarithms, since 2^-k underflows beyond 1,074 copies.
        let mut log_weight = -(k - 1.0) * std::f64::consts::LN_2;
        let mut weights = Vec::with_capacity(copies.max(1));
        for j in 0..copies.max(1) {
            weights.push(log_weight.exp());
            let j = j as f64;
            log_weight += ((k + j) / (2.0 * (j + 1.0))).ln();
        }
        weights.reverse();
        Self { weights }
    }

    /// `Pr[|S| > x]` for `x > 0`.
    pub(crate) fn tail(&self, x: f64) -> f64 {
        // Pr[Gamma(n) > x] = Pr[Poisson(x) < n].
        let (mut log_mass, mut below, mut tail) = (-x, 0.0, 0.0);
        let log_x = x.ln();
        for (index, weight) in self.weights.iter().enumerate() {
            below += log_mass.exp();
            tail += weight * below;
            log_mass += log_x - ((index + 1) as f64).ln();
        }
        tail
    }

    /// The `x` with `Pr[|S| <= x] >= level`, rounded outward; `level` in [0, 1 - 1e-9].
    pub(crate) fn half_width(&self, level: f64) -> f64 {
        let (mut low, mut high) = (0.0, 2.0 * self.standard_deviation());
        while self.tail(high) > 1.0 - level {
            (low, high) = (high, 2.0 * high);
        }
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if middle <= low || middle >= high {
                break;
            }
            if self.tail(middle) <= 1.0 - level {
                high = middle;
            } else {
                low = middle;
            }
        }
        high
    }

    /// `sqrt(2 k)`.
    pub(crate) fn standard_deviation(&self) -> f64 {
        (2.0 * self.weights.len() as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_match_closed_forms() {
        for x in [0.1f64, 1.0, 3.0, 10.0, 30.0] {
            let e = (-x).exp();
            assert!((LaplaceSum::new(1).tail(x) / e - 1.0).abs() < 1e-13);
            assert!((LaplaceSum::new(2).tail(x) / (e * (1.0 + x / 2.0)) - 1.0).abs() < 1e-13);
            let three = e * (1.0 + 5.0 * x / 8.0 + x * x / 8.0);
            assert!((LaplaceSum::new(3).tail(x) / three - 1.0).abs() < 1e-13);
        }
        assert!((LaplaceSum::new(1).half_width(0.95) - 20f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn weights_are_a_mixture_for_every_size() {
        for copies in [1, 2, 7, 1_000, 10_000] {
            let sum: f64 = LaplaceSum::new(copies).weights.iter().sum();
            assert!((sum - 1.0).abs() < 1e-9, "{copies}: {sum}");
        }
        // Many copies approach the normal law; the tail stays a little heavier.
        let many = LaplaceSum::new(10_000);
        let factor = many.half_width(0.95) / many.standard_deviation();
        assert!((1.9599..1.9603).contains(&factor), "{factor}");
    }
}
