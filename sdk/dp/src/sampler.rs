//! Noise for whole lane vectors, whatever the mechanism of a lane. A vector comes back complete or
//! not at all: a fault on the last draw must never leave a release with zeros for noise.

use crate::bits::Bits;
use crate::entropy::{Entropy, EntropyFault};
use crate::gaussian::DiscreteGaussian;
use crate::laplace::DiscreteLaplace;
use cloister_terms::limits::{CELLS_MAX, LANES_MAX};
use cloister_terms::{Noise, Ratio};

/// Why there is no noise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// The source of randomness failed.
    #[error(transparent)]
    Entropy(#[from] EntropyFault),
    /// A scale or variance of zero.
    #[error("noise of scale `0` protects nobody: give a scale or variance above zero")]
    NoNoise,
    /// A scale beyond the accepted range.
    #[error(
        "noise of scale or variance `{scale}` steps is beyond the range of exact sums: use a coarser grid or a larger loss"
    )]
    TooWide {
        /// What was asked for.
        scale: Ratio,
    },
    /// A draw so far out that exact arithmetic does not reach it (probability `exp(-2^32)`).
    #[error(
        "a draw of noise left the range of exact arithmetic: nothing can be released; check the random device"
    )]
    OutOfRange,
    /// A vector with no lanes, too many lanes or too many cells.
    #[error(
        "a vector of {cells} cells and {lanes} lanes cannot be noised: it must have 1 to {CELLS_MAX} cells and 1 to {LANES_MAX} lanes"
    )]
    Length {
        /// Cells asked for.
        cells: u64,
        /// Lanes asked for.
        lanes: usize,
    },
}

/// A mechanism ready to draw: the checks and products of [`Noise`] made once.
#[derive(Debug, Clone, Copy)]
pub enum Sampler {
    /// Pure epsilon.
    Laplace(DiscreteLaplace),
    /// Zero-concentrated.
    Gaussian(DiscreteGaussian),
}

impl Sampler {
    /// Prepares `noise`. Errors where [`DiscreteLaplace::new`] and [`DiscreteGaussian::new`] do.
    pub fn new(noise: &Noise) -> Result<Self, SampleError> {
        match noise {
            Noise::DiscreteLaplace { scale } => DiscreteLaplace::new(*scale).map(Self::Laplace),
            Noise::DiscreteGaussian { sigma_sq } => {
                DiscreteGaussian::new(*sigma_sq).map(Self::Gaussian)
            }
        }
    }

    fn draw(&self, bits: &mut Bits<'_>) -> Result<i128, SampleError> {
        match self {
            Self::Laplace(law) => law.draw(bits),
            Self::Gaussian(law) => law.draw(bits),
        }
    }
}

/// One draw of `noise`, in steps. Errors on unusable noise and when entropy does.
pub fn sample(noise: &Noise, entropy: &mut dyn Entropy) -> Result<i128, SampleError> {
    Sampler::new(noise)?.draw(&mut Bits::new(entropy))
}

/// Independent draws for `cells` cells of `lanes`, in steps, in the order of a released vector
/// (`index = cell * lanes.len() + lane`). Errors on unusable noise or sizes, and when entropy does;
/// nothing partial is ever returned.
pub fn sample_vector(
    lanes: &[Noise],
    cells: u64,
    entropy: &mut dyn Entropy,
) -> Result<Vec<i128>, SampleError> {
    let refused = SampleError::Length { cells, lanes: lanes.len() };
    if lanes.is_empty() || lanes.len() > LANES_MAX || cells == 0 || cells > CELLS_MAX {
        return Err(refused);
    }
    let samplers = lanes.iter().map(Sampler::new).collect::<Result<Vec<_>, _>>()?;
    let length = usize::try_from(cells).ok().and_then(|cells| cells.checked_mul(lanes.len()));
    let mut drawn = Vec::new();
    drawn.try_reserve_exact(length.unwrap_or(usize::MAX)).map_err(|_| refused)?;
    let mut bits = Bits::new(entropy);
    for _ in 0..cells {
        for sampler in &samplers {
            drawn.push(sampler.draw(&mut bits)?);
        }
    }
    Ok(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FailingEntropy, SeededEntropy, SystemEntropy};

    fn laplace(t: u128, s: u128) -> Noise {
        Noise::DiscreteLaplace { scale: Ratio::new(t, s).unwrap() }
    }

    fn gaussian(a: u128, b: u128) -> Noise {
        Noise::DiscreteGaussian { sigma_sq: Ratio::new(a, b).unwrap() }
    }

    #[test]
    fn a_vector_is_cell_major_and_each_lane_has_its_own_noise() {
        let lanes = [laplace(1 << 60, 1), gaussian(1, 1 << 40), gaussian(1 << 90, 1)];
        let drawn = sample_vector(&lanes, 200, &mut SeededEntropy::new(6)).unwrap();
        assert_eq!(drawn.len(), 600);
        for cell in drawn.chunks(3) {
            assert_eq!(cell[1], 0);
            assert!(cell[0].abs() > 1 << 30 && cell[2].abs() > 1 << 20, "{cell:?}");
        }
        assert_eq!(drawn, sample_vector(&lanes, 200, &mut SeededEntropy::new(6)).unwrap());
    }

    #[test]
    fn the_system_source_draws_fresh_noise_each_time() {
        let mut source = SystemEntropy::new();
        let [first, second] =
            [0, 1].map(|_| sample_vector(&[gaussian(1 << 40, 1)], 50, &mut source).unwrap());
        assert_ne!(first, second);
        let dynamic: &mut dyn Entropy = &mut source;
        assert!(sample(&laplace(5, 2), dynamic).is_ok());
    }

    #[test]
    fn a01_hostile_sizes_and_noise_are_typed_errors() {
        let mut source = SeededEntropy::new(1);
        let good = gaussian(1, 1);
        for (lanes, cells) in
            [(0, 1), (1, 0), (LANES_MAX + 1, 1), (1, CELLS_MAX + 1), (1, u64::MAX)]
        {
            let refused = sample_vector(&vec![good; lanes], cells, &mut source);
            assert_eq!(refused, Err(SampleError::Length { cells, lanes }));
        }
        assert_eq!(
            sample_vector(&[good, laplace(0, 1)], 1, &mut source),
            Err(SampleError::NoNoise)
        );
        let refused = sample_vector(&[good, laplace(1 << 65, 1)], 1, &mut source);
        assert!(matches!(refused, Err(SampleError::TooWide { .. })));
    }

    #[test]
    fn a01_a_fault_anywhere_leaves_no_vector() {
        let lanes = [laplace(3, 1), gaussian(9, 1)];
        for bytes in (0..4_000).step_by(97) {
            let refused = sample_vector(&lanes, 1_000, &mut FailingEntropy::after(bytes));
            assert_eq!(refused, Err(SampleError::Entropy(EntropyFault)));
        }
    }
}
