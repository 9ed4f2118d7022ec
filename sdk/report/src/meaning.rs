//! What a privacy loss means for one person, as a sentence that is true as it is read. It is told to
//! people only: nothing is ever charged, refused or converted in a ledger by these floats.

use crate::digits::grouped;
use cloister_terms::Cost;
use serde::Serialize;
use std::fmt;

/// The chance of failure stated for costs with a rho.
pub const DELTA_STATED: f64 = 1e-6;
/// Range of `ln(alpha - 1)` that is searched: the best alpha is near `1 + sqrt(ln(1/delta) / rho)`,
/// and rho lies in 10^-9 ..= 10^10.
const LOG_ORDER_RANGE: (f64, f64) = (-16.0, 28.0);
/// Steps of the golden-section search; the bracket ends below 1e-12 of its width.
const SEARCH_STEPS: u32 = 60;
/// Rounds a loss outward by more than floats lose.
const OUTWARD: f64 = 1.0 + 1e-12;

/// What someone may learn at most about whether one person is in the data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Meaning {
    /// How sure, in percent, someone can become who was 50 % sure before; 50 to 100.
    pub at_most_percent: f64,
    /// The chance, over the noise, that this fails; 0 to 1.
    pub delta: f64,
}

/// What `cost` means. Someone who is 50 % sure has even odds; a privacy loss `L` turns them into
/// `e^L`, so at most `e^L / (1 + e^L)` sure. Pure epsilon bounds `L` always; rho bounds it but for a
/// chance of [`DELTA_STATED`] ([`zcdp_loss_bound`]); key thresholding fails with its own delta. Losses
/// and chances add up (basic composition).
///
/// [`approximate_epsilon`] is smaller, but bounds sets of outcomes and not the loss itself: the loss
/// may exceed that epsilon with more than the stated chance, and the sentence would not hold.
pub fn meaning(cost: Cost) -> Meaning {
    let rho = cost.rho.to_f64();
    let (loss, delta) =
        if rho > 0.0 { (zcdp_loss_bound(rho, DELTA_STATED), DELTA_STATED) } else { (0.0, 0.0) };
    let loss = cost.epsilon.to_f64() + loss;
    let loss = if loss > 0.0 { loss * OUTWARD } else { 0.0 };
    let delta = (cost.delta.to_f64() + delta).min(1.0);
    let at_most_percent = if delta >= 1.0 { 100.0 } else { 100.0 / (1.0 + (-loss).exp()) };
    Meaning { at_most_percent, delta }
}

/// The bound that the privacy loss of a `rho`-zCDP release exceeds with a chance of at most `delta`:
/// `rho + 2 sqrt(rho ln(1/delta))` (Bun, Steinke 2016, proof of proposition 1.3: Markov's inequality on
/// `exp((alpha - 1) L)`, at the best alpha). `delta` in (0, 1); 0 for a `rho` that is not above 0.
pub fn zcdp_loss_bound(rho: f64, delta: f64) -> f64 {
    if rho.is_nan() || rho <= 0.0 {
        return 0.0;
    }
    let log = (1.0 / delta.clamp(f64::MIN_POSITIVE, 1.0)).ln();
    rho + 2.0 * (rho * log).sqrt()
}

/// The epsilon for which a `rho`-zCDP release is (epsilon, delta)-differentially private: the least,
/// over alpha > 1, of `alpha rho + (ln(1/delta) - ln alpha) / (alpha - 1) + ln(1 - 1/alpha)` (Canonne,
/// Kamath, Steinke 2020, proposition 12 and corollary 13). Every alpha gives a valid bound, so an
/// imperfect search only errs outward. `delta` in (0, 1); 0 for a `rho` that is not above 0.
pub fn approximate_epsilon(rho: f64, delta: f64) -> f64 {
    if rho.is_nan() || rho <= 0.0 {
        return 0.0;
    }
    let log = (1.0 / delta.clamp(f64::MIN_POSITIVE, 1.0)).ln();
    let epsilon = |log_order: f64| {
        let above_one = log_order.exp();
        let alpha = 1.0 + above_one;
        alpha * rho + (log - above_one.ln_1p()) / above_one + log_order - above_one.ln_1p()
    };
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = LOG_ORDER_RANGE;
    for _ in 0..SEARCH_STEPS {
        let (a, b) = (high - golden * (high - low), low + golden * (high - low));
        if epsilon(a) < epsilon(b) {
            high = b;
        } else {
            low = a;
        }
    }
    (epsilon(f64::midpoint(low, high)) * OUTWARD).max(0.0)
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at_most_percent >= 100.0 {
            return f.write_str(
                "nothing is promised: someone can become certain that a person is in the data",
            );
        }
        let percent = outward_percent(self.at_most_percent);
        write!(
            f,
            "someone 50 % sure that a person is in the data can become at most {percent} % sure"
        )?;
        if self.delta > 0.0 {
            let one_in = (1.0 / self.delta * OUTWARD).floor();
            write!(f, " (this fails with a chance of at most 1 in {})", grouped(one_in))?;
        }
        Ok(())
    }
}

/// The percentage rounded up, to whole percents while those stay below 100, to one more digit after.
fn outward_percent(percent: f64) -> String {
    for decimals in 0..=12u8 {
        let scale = 10f64.powi(i32::from(decimals));
        let rounded = (percent * scale).ceil() / scale;
        if rounded < 100.0 {
            return format!("{rounded:.0$}", usize::from(decimals));
        }
    }
    "100".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(epsilon: &str, rho: &str, delta: &str) -> Cost {
        Cost {
            epsilon: epsilon.parse().unwrap(),
            rho: rho.parse().unwrap(),
            delta: delta.parse().unwrap(),
        }
    }

    #[test]
    fn pure_losses_read_as_odds() {
        let half = meaning(cost("0.5", "0", "0"));
        assert!((half.at_most_percent - 62.245_933_120_185_46).abs() < 1e-9 && half.delta == 0.0);
        assert_eq!(
            half.to_string(),
            "someone 50 % sure that a person is in the data can become at most 63 % sure"
        );
        assert_eq!(meaning(Cost::ZERO).at_most_percent, 50.0);
        assert!(meaning(Cost::ZERO).to_string().contains("at most 50 % sure"));
        assert!(meaning(cost("10", "0", "0")).to_string().contains("at most 99.996 % sure"));
        assert!(meaning(cost("1000", "0", "0")).to_string().starts_with("nothing is promised"));
    }

    #[test]
    fn rho_states_the_chance_that_it_fails() {
        let found = meaning(cost("0", "0.05", "0"));
        // loss = 0.05 + 2 sqrt(0.05 * ln 10^6) = 1.712258...
        assert!((found.at_most_percent - 84.712).abs() < 0.01, "{found:?}");
        assert!(
            found.to_string().ends_with("(this fails with a chance of at most 1 in 1,000,000)")
        );
        let both = meaning(cost("0.5", "0.05", "0.000001"));
        assert!(both.at_most_percent > found.at_most_percent);
        assert!(both.to_string().ends_with("1 in 500,000)"));
        let hopeless = meaning(cost("0.1", "0", "5"));
        assert_eq!((hopeless.at_most_percent, hopeless.delta), (100.0, 1.0));
    }

    /// For a Gaussian the loss is normal with mean rho and variance 2 rho: the sentence must hold for
    /// it, and would not with the epsilon of approximate differential privacy.
    #[test]
    fn the_stated_chance_holds_for_the_loss_itself() {
        let exceeded = |rho: f64, bound: f64| {
            let z = (bound - rho) / (2.0 * rho).sqrt();
            (1.0 - crate::normal::erf(z / std::f64::consts::SQRT_2)) / 2.0
        };
        for rho in [0.001, 0.05, 1.0, 5.0] {
            assert!(exceeded(rho, zcdp_loss_bound(rho, DELTA_STATED)) <= DELTA_STATED);
            assert!(approximate_epsilon(rho, DELTA_STATED) < zcdp_loss_bound(rho, DELTA_STATED));
        }
        assert!(exceeded(0.05, approximate_epsilon(0.05, DELTA_STATED)) > DELTA_STATED);
    }

    #[test]
    fn the_conversion_is_the_least_over_all_orders() {
        for rho in [1e-9, 1e-4, 0.05, 0.5, 10.0, 1e6] {
            let found = approximate_epsilon(rho, DELTA_STATED);
            let log = 1e6f64.ln();
            for step in 0..40_000 {
                let above_one = (f64::from(step) * 0.001 - 14.0).exp();
                let alpha = 1.0 + above_one;
                let other = alpha * rho + (log - alpha.ln()) / above_one + (above_one / alpha).ln();
                assert!(
                    found <= other * (1.0 + 1e-9) + 1e-12,
                    "rho {rho}: {found} > {other} at {alpha}"
                );
            }
        }
    }

    #[test]
    fn extreme_costs_stay_finite() {
        let most = "9000000000";
        for cost in [
            cost(most, "0", "0"),
            cost("0", most, "0"),
            cost(most, most, "9"),
            cost("0.000000001", "0.000000001", "0.000000000000000001"),
        ] {
            let found = meaning(cost);
            assert!(
                (50.0..=100.0).contains(&found.at_most_percent)
                    && (0.0..=1.0).contains(&found.delta)
            );
            assert!(found.to_string().len() < 200);
        }
        for rho in [f64::NAN, -1.0, 0.0] {
            assert_eq!((zcdp_loss_bound(rho, 0.1), approximate_epsilon(rho, 0.1)), (0.0, 0.0));
        }
    }
}
