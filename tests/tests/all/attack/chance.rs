//! Bounds on a chance from a count of trials (Clopper, Pearson 1934), by the incomplete beta function
//! (Abramowitz, Stegun 26.5.8). Both bounds hold for every chance and every number of trials.

/// Steps of the halvings.
const HALVINGS: u32 = 60;
/// Terms of the continued fraction at most.
const TERMS_MAX: u32 = 5_000;

/// The largest chance below which `seen` or more of `trials` has a probability of at most `alpha`.
pub fn at_least(seen: u64, trials: u64, alpha: f64) -> f64 {
    if seen == 0 {
        return 0.0;
    }
    halved(|p| beta(p, seen as f64, (trials - seen + 1) as f64) < alpha).0
}

/// The smallest chance above which `seen` or fewer of `trials` has a probability of at most `alpha`.
pub fn at_most(seen: u64, trials: u64, alpha: f64) -> f64 {
    if seen >= trials {
        return 1.0;
    }
    halved(|p| beta(1.0 - p, (trials - seen) as f64, (seen + 1) as f64) >= alpha).1
}

/// The border within 0 to 1 below which `is_low` holds, from both sides.
fn halved(is_low: impl Fn(f64) -> bool) -> (f64, f64) {
    let (mut low, mut high) = (0.0f64, 1.0f64);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if is_low(middle) { low = middle } else { high = middle }
    }
    (low, high)
}

/// The regularised incomplete beta function: the probability of `a` or more of `a + b - 1` trials.
fn beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta(1.0 - x, b, a);
    }
    let front = a * x.ln() + b * (1.0 - x).ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b);
    front.exp() / a / fraction(x, a, b)
}

/// The continued fraction `1 + d1/(1 + d2/(1 + ...))`, by Lentz' method.
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let (mut value, mut c, mut d) = (1.0f64, 1.0f64, 0.0f64);
    for term in 1..TERMS_MAX {
        let m = f64::from(term / 2);
        let step = if term % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        d = 1.0 + step * d;
        d = 1.0 / if d.abs() < TINY { TINY } else { d };
        c = 1.0 + step / c;
        c = if c.abs() < TINY { TINY } else { c };
        value *= c * d;
        if (c * d - 1.0).abs() < 1e-13 {
            return value;
        }
    }
    panic!("the fraction of {x}, {a}, {b} did not settle");
}

/// Logarithm of the gamma function from 1 on, by Stirling's series beyond 12.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut below) = (x, 0.0);
    while x < 12.0 {
        below += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series =
        1.0 / 12.0 - inverse * (1.0 / 360.0 - inverse * (1.0 / 1_260.0 - inverse / 1_680.0));
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series / x - below
}

#[test]
fn bounds_on_a_chance_are_those_of_the_exact_binomial() {
    let choose = |n: u64, k: u64| (0..k).fold(1.0, |all, i| all * (n - i) as f64 / (i + 1) as f64);
    let term =
        |n: u64, k: u64, p: f64| choose(n, k) * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32);
    for (seen, trials) in [(1, 7), (3, 20), (19, 20), (20, 20), (0, 20), (50, 100)] {
        for alpha in [1e-3, 1e-9] {
            let (low, high) = (at_least(seen, trials, alpha), at_most(seen, trials, alpha));
            if seen > 0 {
                let more: f64 = (seen..=trials).map(|k| term(trials, k, low)).sum();
                assert!((more / alpha - 1.0).abs() < 1e-4, "{seen} of {trials}: {more}");
            }
            if seen < trials {
                let fewer: f64 = (0..=seen).map(|k| term(trials, k, high)).sum();
                assert!((fewer / alpha - 1.0).abs() < 1e-4, "{seen} of {trials}: {fewer}");
            }
            assert!(low <= seen as f64 / trials as f64 && seen as f64 / trials as f64 <= high);
        }
    }
    // Many trials: the normal law is close.
    let (low, high) = (at_least(5_000, 20_000, 1e-9), at_most(5_000, 20_000, 1e-9));
    let six = 6.0 * (0.25f64 * 0.75 / 20_000.0).sqrt();
    assert!((low - 0.25 + six).abs() < 5e-4 && (high - 0.25 - six).abs() < 5e-4, "{low} {high}");
}
