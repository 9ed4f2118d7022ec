//! When an answer may leave: at its slot, a fixed time after the charge, whatever the work took and
//! whether it went well. No answer may become due before its slot, a repeated question's no sooner
//! than the first one's.

use crate::ledger::ChargeId;
use cloister_terms::Digest;
use futures::future::BoxFuture;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Times that a run may go through all persons: rows that were taken for sorted turn out not to be.
pub const PASSES_MAX: u64 = 2;

/// Whether work of so many milliseconds a pass can be done by the slot; always without a slot, which
/// benches, tests and answers that stay at home have.
pub fn fits(pass_ms: u64, release_slot_ms: u64) -> bool {
    release_slot_ms == 0 || pass_ms.saturating_mul(PASSES_MAX) <= release_slot_ms
}

/// Where waiting happens: a value handed in, so that tests turn it.
pub trait Pace: Send + Sync + Debug + 'static {
    /// Time since a fixed moment; never goes back.
    fn now(&self) -> Duration;
    /// Waits until [`Pace::now`] is at least `at`.
    fn until(&self, at: Duration) -> BoxFuture<'_, ()>;
}

/// The machine's monotonic clock.
#[derive(Debug)]
pub struct SystemPace {
    start: Instant,
}

impl Default for SystemPace {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Pace for SystemPace {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn until(&self, at: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            match self.start.checked_add(at) {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        })
    }
}

/// The moment at which one charge's answer leaves.
#[derive(Debug, Clone)]
pub struct Slot {
    pace: Arc<dyn Pace>,
    /// `None`: as soon as the work is done, for benches and tests only.
    at: Option<Duration>,
}

impl Slot {
    /// The slot of a charge made now. A slot of 0 is refused by the configuration of every build but
    /// those for tests.
    pub fn from_now(pace: Arc<dyn Pace>, release_slot_ms: u64) -> Self {
        let at = pace.now().saturating_add(Duration::from_millis(release_slot_ms));
        Self { pace, at: Some(at).filter(|_| release_slot_ms > 0) }
    }

    /// Waits for `work` until the slot; `None` when it is not done by then.
    pub async fn hurry<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let Some(at) = self.at else { return Some(work.await) };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.pace.until(at) => None,
        }
    }

    /// Whether the slot has come.
    pub fn is_past(&self) -> bool {
        self.at.is_some_and(|at| self.pace.now() >= at)
    }

    /// Waits for the slot.
    pub async fn reached(&self) {
        if let Some(at) = self.at {
            self.pace.until(at).await;
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

    #[tokio::test]
    async fn work_that_is_done_is_taken_and_late_work_is_not() {
        let pace: Arc<dyn Pace> = Arc::new(SystemPace::default());
        let long = Slot::from_now(pace.clone(), u64::MAX);
        assert_eq!(long.hurry(async { 7 }).await, Some(7));
        let short = Slot::from_now(pace.clone(), 1);
        assert!(short.hurry(std::future::pending::<()>()).await.is_none());
        short.reached().await;
        assert!(pace.now() >= Duration::from_millis(1));
        // A slot of 0 waits for nothing but the work.
        let none = Slot::from_now(pace, 0);
        none.reached().await;
        assert_eq!(none.hurry(async { 7 }).await, Some(7));
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
