//! Serials whose certificates no longer count, held in memory as the coordinator's store gives
//! them. Once revoked is revoked: no later list brings a serial back, and a list that is missing or
//! old admits nobody.

use crate::{
    clock::Clock,
    identity::Serial,
    limits::{CLOCK_SKEW_S, REVOCATION_LIST_AGE_S},
};
use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
};
use tokio::sync::watch;

/// The set of revoked serials, with the time of which it is true.
#[derive(Debug)]
pub struct RevocationList {
    clock: Arc<dyn Clock>,
    held: RwLock<Held>,
    /// Counts changes, so that the sweep of live connections wakes at once.
    changes: watch::Sender<u64>,
}

/// Why a certificate or a list is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RevocationFault {
    /// The certificate was revoked.
    #[error("certificate is revoked: ask the coordinator's operator, then join again")]
    Revoked,
    /// No list was ever loaded.
    #[error("no revocation list is loaded: load it from the store before accepting")]
    NeverLoaded,
    /// The list is too old to trust.
    #[error("revocation list is {age_s} s old: refresh it from the store")]
    Stale {
        /// Its age in seconds.
        age_s: u64,
    },
    /// The list claims a time still to come: a clock went backwards.
    #[error("revocation list is {ahead_s} s ahead of the clock: set the clock right")]
    Ahead {
        /// How far ahead, in seconds.
        ahead_s: u64,
    },
    /// A list older than the one held.
    #[error("offered list is older than the one held: load the newest from the store")]
    Older,
}

#[derive(Debug, Default)]
struct Held {
    serials: HashSet<Serial>,
    as_of_s: Option<u64>,
}

impl RevocationList {
    /// An empty list that was never loaded: it admits nobody until the first `replace`.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, held: RwLock::default(), changes: watch::Sender::new(0) })
    }

    /// Loads what the store holds as of `as_of_s` (unix seconds); call at start and well within
    /// every [`REVOCATION_LIST_AGE_S`]. Errors when it is older than the list held or ahead of
    /// the clock; its serials are then still added, as revoking is always safe.
    pub fn replace(
        &self,
        serials: impl IntoIterator<Item = Serial>,
        as_of_s: u64,
    ) -> Result<(), RevocationFault> {
        let ahead_s = as_of_s.saturating_sub(self.clock.now_unix_s());
        let verdict = {
            let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
            held.serials.extend(serials);
            if ahead_s > CLOCK_SKEW_S {
                Err(RevocationFault::Ahead { ahead_s })
            } else if held.as_of_s.is_some_and(|held_s| as_of_s < held_s) {
                Err(RevocationFault::Older)
            } else {
                held.as_of_s = Some(as_of_s);
                Ok(())
            }
        };
        self.announce();
        verdict
    }

    /// Revokes one serial at once: new connections are refused, live ones closed by the sweep.
    pub fn revoke(&self, serial: Serial) {
        self.held.write().unwrap_or_else(PoisonError::into_inner).serials.insert(serial);
        self.announce();
    }

    /// Whether a certificate with this serial may connect now.
    pub fn check(&self, serial: Serial) -> Result<(), RevocationFault> {
        let now_s = self.clock.now_unix_s();
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        if held.serials.contains(&serial) {
            return Err(RevocationFault::Revoked);
        }
        let as_of_s = held.as_of_s.ok_or(RevocationFault::NeverLoaded)?;
        let (age_s, ahead_s) = (now_s.saturating_sub(as_of_s), as_of_s.saturating_sub(now_s));
        if age_s > REVOCATION_LIST_AGE_S {
            return Err(RevocationFault::Stale { age_s });
        }
        if ahead_s > CLOCK_SKEW_S {
            return Err(RevocationFault::Ahead { ahead_s });
        }
        Ok(())
    }

    /// Whether this serial is revoked, however old the list.
    pub(crate) fn is_revoked(&self, serial: Serial) -> bool {
        self.held.read().unwrap_or_else(PoisonError::into_inner).serials.contains(&serial)
    }

    /// Wakes with each change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn announce(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Debug)]
    struct Hand(AtomicU64);
    impl Clock for Hand {
        fn now_unix_s(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn b21_a_list_is_good_for_its_age_and_no_longer() {
        let clock = Arc::new(Hand(AtomicU64::new(10_000)));
        let list = RevocationList::new(clock.clone());
        let (good, bad) = (Serial::random().unwrap(), Serial::random().unwrap());
        assert_eq!(list.check(good), Err(RevocationFault::NeverLoaded));
        list.replace([bad], 10_000).unwrap();
        assert_eq!(list.check(good), Ok(()));
        assert_eq!(list.check(bad), Err(RevocationFault::Revoked));
        clock.0.store(10_000 + REVOCATION_LIST_AGE_S, Ordering::SeqCst);
        assert_eq!(list.check(good), Ok(()));
        clock.0.store(10_001 + REVOCATION_LIST_AGE_S, Ordering::SeqCst);
        let age_s = REVOCATION_LIST_AGE_S + 1;
        assert_eq!(list.check(good), Err(RevocationFault::Stale { age_s }));
        clock.0.store(10_000 - CLOCK_SKEW_S - 1, Ordering::SeqCst);
        let ahead_s = CLOCK_SKEW_S + 1;
        assert_eq!(list.check(good), Err(RevocationFault::Ahead { ahead_s }));
    }

    #[test]
    fn b21_an_old_list_neither_counts_nor_brings_anyone_back() {
        let list = RevocationList::new(Arc::new(Hand(AtomicU64::new(10_000))));
        let (first, second) = (Serial::random().unwrap(), Serial::random().unwrap());
        list.replace([first], 10_000).unwrap();
        assert_eq!(list.replace([second], 9_999), Err(RevocationFault::Older));
        assert_eq!(list.replace([], 10_000), Ok(()));
        assert_eq!(list.check(first), Err(RevocationFault::Revoked));
        assert_eq!(list.check(second), Err(RevocationFault::Revoked));
        assert!(matches!(list.replace([], u64::MAX), Err(RevocationFault::Ahead { .. })));
    }
}
