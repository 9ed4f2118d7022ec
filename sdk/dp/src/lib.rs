//! Exact integer mechanisms and accounting. Noise is drawn from exactly the distribution that is
//! charged for: no floats, no I/O but the system's entropy; a fault is an error, never less noise.

/// The sampler's coins: exact Bernoulli, uniform and exp(-x) trials over random bits.
mod bits;
/// Noise from a loss, and the loss of the noise that will really be drawn.
pub mod calibrate;
/// Where random bytes come from; fails closed.
pub mod entropy;
/// Discrete Gaussian noise.
pub mod gaussian;
/// Discrete Laplace noise.
pub mod laplace;
/// Keyed pseudo-random function for caps and samples.
pub mod prf;
/// Noise for whole lane vectors, whatever the mechanism.
pub mod sampler;
/// Real numbers between two fixed-point ends.
mod span;
/// The count from which a private key may be shown.
pub mod threshold;
/// Goodness-of-fit trials against the exact probabilities, for tests only.
#[cfg(any(test, feature = "for-tests"))]
pub mod trial;
/// Fixed-width integers wider than 128 bits.
mod wide;

#[cfg(test)]
mod a01_tests;

pub use calibrate::{
    CalibrateError, cost_of, cost_of_lanes, gaussian_sigma_sq, gaussian_sigma_sq_of_group,
    laplace_scale,
};
pub use entropy::{Entropy, EntropyFault, SystemEntropy};
#[cfg(any(test, feature = "for-tests"))]
pub use entropy::{FailingEntropy, SeededEntropy};
pub use gaussian::DiscreteGaussian;
pub use laplace::DiscreteLaplace;
pub use prf::{PrfKey, PrfStart, prf, prf_wide};
pub use sampler::{SampleError, Sampler, sample, sample_vector};
pub use threshold::{ThresholdError, key_threshold};
