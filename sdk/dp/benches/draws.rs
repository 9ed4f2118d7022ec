//! Speed of a draw, in nanoseconds, and as a ratio against filling random bytes beside it. Prints
//! figures only; never asserts, because a time is a property of a machine.

use cloister_dp::{Entropy, SystemEntropy, sample_vector};
use cloister_terms::{Noise, Ratio};
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

/// Draws a figure.
const DRAWS: u64 = 1_000_000;
/// Bytes filled beside each draw: the size of what is drawn.
const BYTES_A_DRAW: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let mut entropy = SystemEntropy::new();
    let beside = random_bytes_ns(&mut entropy)?;
    println!("{BYTES_A_DRAW} random bytes: {beside:.1} ns");
    for sigma in [10u128, 1_000, 1_000_000] {
        let scale = Ratio::new(sigma, 1)?;
        let sigma_sq = Ratio::new(sigma * sigma, 1)?;
        // A variance as calibration makes it: its parts leave the fast arithmetic.
        let odd = Ratio::new((sigma * sigma) << 70 | 1, 1 << 70)?;
        for (name, noise) in [
            ("discrete laplace", Noise::DiscreteLaplace { scale }),
            ("discrete gaussian", Noise::DiscreteGaussian { sigma_sq }),
            ("discrete gaussian, wide ratio", Noise::DiscreteGaussian { sigma_sq: odd }),
        ] {
            let start = Instant::now();
            black_box(sample_vector(&[noise], DRAWS, &mut entropy)?);
            let ns = start.elapsed().as_nanos() as f64 / DRAWS as f64;
            println!(
                "{name}, sigma {sigma}: {ns:.0} ns a draw, {:.1} times the bytes",
                ns / beside
            );
        }
    }
    Ok(())
}

fn random_bytes_ns(entropy: &mut SystemEntropy) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    for _ in 0..DRAWS {
        let mut bytes = [0u8; BYTES_A_DRAW];
        entropy.fill(&mut bytes)?;
        black_box(bytes);
    }
    Ok(start.elapsed().as_nanos() as f64 / DRAWS as f64)
}
