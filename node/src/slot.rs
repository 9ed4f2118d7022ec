//! When an answer may leave: at its slot, a fixed time after the charge, whatever the work took and
//! whether it went well. No answer may become due before its slot, a repeated question's no sooner
//! than the first one's.

use crate::ledger::ChargeId;
use cloister_terms::Digest;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The moment at which one charge's answer leaves.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// `None`: as soon as the work is done, for benches and tests only.
    at: Option<Instant>,
}

impl Slot {
    /// The slot of a charge made at `charged_at`. A slot of 0 is refused by the configuration of
    /// every build but those for tests.
    pub fn after(charged_at: Instant, release_slot_ms: u64) -> Self {
        let at = charged_at.checked_add(Duration::from_millis(release_slot_ms));
        Self { at: at.filter(|_| release_slot_ms > 0) }
    }

    /// Waits for `work` until the slot; `None` when it is not done by then.
    pub async fn hurry<T>(self, work: impl Future<Output = T>) -> Option<T> {
        match self.at {
            Some(at) => tokio::time::timeout_at(at, work).await.ok(),
            None => Some(work.await),
        }
    }

    /// Waits for the slot.
    pub async fn reached(self) {
        if let Some(at) = self.at {
            sleep_until(at).await;
        }
    }
}

/// Which answers may leave now, and which charges still wait for their slot.
#[derive(Debug, Default)]
pub struct Departures {
    boards: Mutex<Boards>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Boards {
    held: BTreeSet<ChargeId>,
    due: BTreeSet<Digest>,
}

impl Departures {
    /// Holds every answer of `charge` back until [`Departures::open`].
    pub fn hold(&self, charge: ChargeId) {
        self.boards().held.insert(charge);
    }

    /// Whether the slot of `charge` is still to come.
    pub fn is_held(&self, charge: ChargeId) -> bool {
        self.boards().held.contains(&charge)
    }

    /// The slot is reached. What waits in the outbox is listed with [`Departures::send`] after this.
    pub fn open(&self, charge: ChargeId) {
        self.boards().held.remove(&charge);
    }

    /// The answers to these requests leave with the next report.
    pub fn send(&self, requests: impl IntoIterator<Item = Digest>) {
        self.boards().due.extend(requests);
        self.changed.notify_one();
    }

    /// Requests whose answers may leave.
    pub fn due(&self) -> Vec<Digest> {
        self.boards().due.iter().copied().collect()
    }

    /// The coordinator holds the answer to this request.
    pub fn gone(&self, request: Digest) {
        self.boards().due.remove(&request);
    }

    /// Waits until something was sent off since the last wait.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn boards(&self) -> MutexGuard<'_, Boards> {
        self.boards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn slots_are_reached_exactly_then() {
        let start = Instant::now();
        let slot = Slot::after(start, 5_000);
        assert_eq!(slot.hurry(async { 7 }).await, Some(7));
        assert_eq!(start.elapsed(), Duration::ZERO);
        let slow = tokio::time::sleep(Duration::from_secs(9));
        assert!(slot.hurry(slow).await.is_none());
        slot.reached().await;
        assert_eq!(start.elapsed(), Duration::from_millis(5_000));
    }

    #[tokio::test]
    async fn held_answers_are_not_due() {
        let (departures, charge) = (Departures::default(), ChargeId(Digest::new([1; 32])));
        departures.hold(charge);
        assert!(departures.is_held(charge) && departures.due().is_empty());
        departures.open(charge);
        departures.send([Digest::new([2; 32])]);
        departures.changed().await;
        assert!(!departures.is_held(charge));
        assert_eq!(departures.due(), [Digest::new([2; 32])]);
        departures.gone(Digest::new([2; 32]));
        assert!(departures.due().is_empty());
    }
}
