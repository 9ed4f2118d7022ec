//! Functions of numbers. Logarithms, powers and angles come from `libm`, one implementation in Rust for
//! every machine: the system's own differ in the last bit, and nodes must agree. Nothing here may wrap,
//! trap or leave the finite numbers.

use super::{Datum, settled};
use crate::expr::FloatBits;
use crate::function::Function;

/// A function of one float64.
pub(super) fn of_float<'a>(function: &Function, x: f64) -> Option<Datum<'a>> {
    let value = match function {
        Function::Abs => x.abs(),
        Function::Sign if x == 0.0 => 0.0,
        Function::Sign => x.signum(),
        Function::Round { digits } => at_digits(x, *digits, libm::round),
        Function::Truncate { digits } => at_digits(x, *digits, libm::trunc),
        Function::Floor => libm::floor(x),
        Function::Ceiling => libm::ceil(x),
        Function::SquareRoot => libm::sqrt(x),
        Function::Exponential => libm::exp(x),
        Function::NaturalLog => libm::log(x),
        Function::Log10 => libm::log10(x),
        Function::Log2 => libm::log2(x),
        Function::Sine => libm::sin(x),
        Function::Cosine => libm::cos(x),
        Function::Tangent => libm::tan(x),
        Function::ArcSine => libm::asin(x),
        Function::ArcCosine => libm::acos(x),
        Function::ArcTangent => libm::atan(x),
        Function::Radians => x * (std::f64::consts::PI / 180.0),
        Function::Degrees => x * (180.0 / std::f64::consts::PI),
        Function::WidthBucket { low, high, buckets } => {
            return Some(Datum::Int(bucket(x, *low, *high, *buckets)));
        }
        _ => return None,
    };
    settled(value)
}

/// A function of one int64.
pub(super) fn of_int<'a>(function: &Function, x: i64) -> Option<Datum<'a>> {
    match function {
        Function::Abs => x.checked_abs().map(Datum::Int),
        Function::Sign => Some(Datum::Int(x.signum())),
        _ => None,
    }
}

/// A function of two float64.
pub(super) fn of_floats<'a>(function: &Function, x: f64, y: f64) -> Option<Datum<'a>> {
    settled(match function {
        // NaN when the divisor is 0, which settling makes NULL.
        Function::Modulo => libm::fmod(x, y),
        Function::Power => libm::pow(x, y),
        Function::ArcTangent2 => libm::atan2(x, y),
        Function::LogOf => libm::log(y) / libm::log(x),
        _ => return None,
    })
}

/// A function of two int64.
pub(super) fn of_ints<'a>(function: &Function, x: i64, y: i64) -> Option<Datum<'a>> {
    let value = match function {
        Function::Add => x.checked_add(y),
        Function::Subtract => x.checked_sub(y),
        Function::Multiply => x.checked_mul(y),
        // The least int64 leaves no remainder by -1, though its quotient overflows.
        Function::Modulo if y == -1 => Some(0),
        Function::Modulo => x.checked_rem(y),
        _ => None,
    };
    value.map(Datum::Int)
}

/// Rounds at so many digits after the point. Powers of ten up to 10^22 are exact floats.
fn at_digits(x: f64, digits: i8, round: impl Fn(f64) -> f64) -> f64 {
    if digits == 0 {
        return round(x);
    }
    let mut power = 1.0;
    for _ in 0..digits.unsigned_abs() {
        power *= 10.0;
    }
    if digits < 0 {
        return round(x / power) * power;
    }
    let scaled = x * power;
    // From 2^52 on every float is whole: there is nothing left to round.
    if scaled.is_finite() && scaled.abs() < 4_503_599_627_370_496.0 {
        round(scaled) / power
    } else {
        x
    }
}

fn bucket(x: f64, low: FloatBits, high: FloatBits, buckets: u32) -> i64 {
    let (low, high) = (low.value(), high.value());
    if x < low {
        return 0;
    }
    if x >= high {
        return i64::from(buckets) + 1;
    }
    let place = libm::floor((x - low) / (high - low) * f64::from(buckets));
    // Rounding may lift a value just below the upper end onto it; a conversion saturates.
    (place as i64).clamp(0, i64::from(buckets) - 1) + 1
}
