//! Where random bytes come from. Every source either fills the whole buffer or fails; a caller must
//! treat a fault as the end of the release, never as noise of zero.

use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;

/// Bytes asked of the system at once.
const POOL_BYTES: usize = 4 * 1024;

/// A source of uniform, independent random bytes.
pub trait Entropy {
    /// Fills `into` whole, or errors and leaves it unspecified.
    fn fill(&mut self, into: &mut [u8]) -> Result<(), EntropyFault>;
}

/// The source of randomness failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes: nothing can be released; check its random device")]
pub struct EntropyFault;

/// The operating system's generator, through ring, read in pools. Bytes are overwritten as they are
/// handed out, so that memory never holds a bit of noise that was already drawn.
pub struct SystemEntropy {
    system: SystemRandom,
    pool: Box<[u8; POOL_BYTES]>,
    /// Unused bytes stand at the end of the pool.
    unused: usize,
}

impl SystemEntropy {
    /// An empty pool; the system is asked at the first use.
    pub fn new() -> Self {
        Self { system: SystemRandom::new(), pool: Box::new([0; POOL_BYTES]), unused: 0 }
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for SystemEntropy {
    #[inline]
    fn fill(&mut self, into: &mut [u8]) -> Result<(), EntropyFault> {
        if into.len() > POOL_BYTES {
            return self.system.fill(into).map_err(|_| EntropyFault);
        }
        if self.unused < into.len() {
            // Cleared first: after a failure nothing old can be handed out again.
            self.unused = 0;
            self.system.fill(self.pool.as_mut_slice()).map_err(|_| EntropyFault)?;
            self.unused = POOL_BYTES;
        }
        let start = POOL_BYTES - self.unused;
        let used = self.pool.get_mut(start..start + into.len()).ok_or(EntropyFault)?;
        into.copy_from_slice(used);
        used.fill(0);
        self.unused -= into.len();
        Ok(())
    }
}

impl Drop for SystemEntropy {
    fn drop(&mut self) {
        self.pool.fill(0);
        // Keeps the compiler from dropping the overwrite; best effort without unsafe code.
        std::hint::black_box(&self.pool);
    }
}

impl fmt::Debug for SystemEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemEntropy")
    }
}

/// Repeatable bytes for tests: SipHash-2-4 in counter mode. Never in a shipped binary.
#[cfg(any(test, feature = "for-tests"))]
#[derive(Debug)]
pub struct SeededEntropy {
    key: crate::PrfKey,
    counter: u64,
}

#[cfg(any(test, feature = "for-tests"))]
impl SeededEntropy {
    /// The stream of one seed.
    pub fn new(seed: u64) -> Self {
        Self { key: crate::PrfKey::from_bytes(u128::from(seed).to_le_bytes()), counter: 0 }
    }
}

#[cfg(any(test, feature = "for-tests"))]
impl Entropy for SeededEntropy {
    fn fill(&mut self, into: &mut [u8]) -> Result<(), EntropyFault> {
        for chunk in into.chunks_mut(8) {
            let word = crate::prf(&self.key, 0, &[&self.counter.to_le_bytes()]).to_le_bytes();
            chunk.iter_mut().zip(word).for_each(|(to, from)| *to = from);
            self.counter += 1;
        }
        Ok(())
    }
}

/// A source that gives zero bytes until its allowance is spent, then fails. For tests.
#[cfg(any(test, feature = "for-tests"))]
#[derive(Debug)]
pub struct FailingEntropy {
    bytes_left: usize,
}

#[cfg(any(test, feature = "for-tests"))]
impl FailingEntropy {
    /// Fails once more than `bytes` were asked for.
    pub fn after(bytes: usize) -> Self {
        Self { bytes_left: bytes }
    }
}

#[cfg(any(test, feature = "for-tests"))]
impl Entropy for FailingEntropy {
    fn fill(&mut self, into: &mut [u8]) -> Result<(), EntropyFault> {
        self.bytes_left = self.bytes_left.checked_sub(into.len()).ok_or(EntropyFault)?;
        into.fill(0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_bytes_differ_and_used_ones_are_overwritten() {
        let mut source = SystemEntropy::new();
        let [mut first, mut second] = [[0u8; 32]; 2];
        source.fill(&mut first).unwrap();
        source.fill(&mut second).unwrap();
        assert_ne!(first, second);
        assert_eq!(source.pool[..64], [0; 64]);
        assert_ne!(source.pool[64..128], [0; 64]);
        // Across the pool's end, and past its size.
        let mut long = vec![0; POOL_BYTES - 10];
        source.fill(&mut long).unwrap();
        source.fill(&mut vec![0; 3 * POOL_BYTES]).unwrap();
        assert_eq!(format!("{source:?}"), "SystemEntropy");
    }

    #[test]
    fn seeds_repeat_and_differ() {
        let draw = |seed| {
            let mut bytes = [0; 20];
            SeededEntropy::new(seed).fill(&mut bytes).unwrap();
            bytes
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn a_spent_source_fails() {
        let mut source = FailingEntropy::after(8);
        assert_eq!(source.fill(&mut [0; 8]), Ok(()));
        assert_eq!(source.fill(&mut [0; 1]), Err(EntropyFault));
    }
}
