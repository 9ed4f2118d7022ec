//! Waiting between attempts: each pause doubles up to a cap, half of it drawn at random, so that a
//! thousand nodes do not come back at once after an outage. Never draws randomness itself.

use crate::identity::{NoEntropy, random_bytes};
use std::time::Duration;

/// Exponential pauses with jitter.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses start at `first` and never exceed `cap`.
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, next: first.min(cap) }
    }

    /// The next pause: between half and the whole of the present step, by the caller's `random`
    /// number (uniform over u64).
    pub fn next_delay(&mut self, random: u64) -> Duration {
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.cap);
        let half = step / 2;
        let share_nanos = half.as_nanos().saturating_mul(u128::from(random)) >> u64::BITS;
        half.saturating_add(Duration::from_nanos(u64::try_from(share_nanos).unwrap_or(u64::MAX)))
    }

    /// Starts anew, after a success.
    pub fn reset(&mut self) {
        self.next = self.first.min(self.cap);
    }
}

impl Default for Backoff {
    /// From half a second to one minute.
    fn default() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(60))
    }
}

/// A number from the system's generator, for [`Backoff::next_delay`].
pub fn entropy_u64() -> Result<u64, NoEntropy> {
    random_bytes().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_cap_and_start_anew() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(350));
        let halves = [0, 0, 0, 0].map(|random| backoff.next_delay(random));
        assert_eq!(halves, [ms(50), ms(100), ms(175), ms(175)]);
        backoff.reset();
        assert_eq!(backoff.next_delay(1 << 63), ms(75));
        for random in [0, 1, u64::MAX / 3, u64::MAX] {
            let pause = backoff.next_delay(random);
            assert!(pause <= ms(350), "{pause:?}");
        }
    }

    #[test]
    fn extreme_spans_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::MAX, Duration::MAX);
        assert!(backoff.next_delay(u64::MAX) <= Duration::MAX);
        assert_eq!(Backoff::new(Duration::ZERO, Duration::MAX).next_delay(7), Duration::ZERO);
    }
}
