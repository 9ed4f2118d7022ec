//! One run: admit, charge, measure, noise, release, wait for the slot, let the answer go. A run that
//! faults, panics or overruns ends in one withheld answer at the very slot, and freezes its analysis;
//! nothing outside may tell these apart, or tell them sooner.

use crate::admit::{Asking, Terms, admit};
use crate::aggregate::Exact;
use crate::catalog::Catalog;
use crate::fault::Fault;
use crate::ledger::{Charge, ChargeId, Charged, Ledger, LedgerError, Room, Settled};
use crate::measure::{MeasureOptions, measure, prepare};
use crate::noise::{NoiseFault, Noised, noise};
use crate::slot::{Departures, Pace, Slot};
use cloister_dp::SystemEntropy;
use cloister_net::Clock;
use cloister_plan::{ContributionPlan, Planned};
use cloister_terms::{Digest, Refusal};
use cloister_wire::SigningKey;
use futures::future::BoxFuture;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::sleep;

/// Most runs whose slot is still to come; one more is refused as busy before it is charged.
pub const RUNS_AT_ONCE_MAX: usize = 8;
/// Pause before a ledger that could not be written is tried again.
const LEDGER_RETRY: Duration = Duration::from_secs(1);

/// From a charge to noised lanes: the only stage that reads records.
pub trait Work: Send + Sync + std::fmt::Debug + 'static {
    /// Does the work that `charge` paid for.
    fn noised(&self, charge: Charge) -> BoxFuture<'_, Result<Noised, WorkFault>>;

    /// Makes ready for a plan that may be charged soon. It reads no record, and whether it succeeds
    /// changes nothing but time.
    fn prepare(&self, _plan: ContributionPlan) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Whether the tables of a plan stand as they were last checked. It reads no record: a run over others is
    /// refused before it is charged.
    fn stands(&self, _plan: &ContributionPlan) -> bool {
        true
    }

    /// Checks tables that have changed since. It reads their files, so it may take long.
    fn look_again(&self) {}
}

/// Why a charged run has nothing to release. Stays inside the node.
#[derive(Debug, thiserror::Error)]
pub enum WorkFault {
    /// Reading, contributing or summing failed.
    #[error(transparent)]
    Measure(#[from] Fault),
    /// No noise.
    #[error(transparent)]
    Noise(#[from] NoiseFault),
}

/// The partner's own tables as [`Work`].
#[derive(Debug)]
pub struct Tables {
    /// Where the tables lie.
    pub catalog: Catalog,
    /// How they are read.
    pub options: MeasureOptions,
}

impl Work for Tables {
    fn noised(&self, charge: Charge) -> BoxFuture<'_, Result<Noised, WorkFault>> {
        Box::pin(async move {
            let exact: Exact = measure(&charge, &self.catalog, &self.options).await?;
            Ok(noise(exact, charge, &mut SystemEntropy::new())?)
        })
    }

    fn prepare(&self, plan: ContributionPlan) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // A run that cannot be planned says so itself.
            if let Err(fault) = prepare(&plan, &self.catalog, &self.options).await {
                tracing::debug!(%fault, "not planned beforehand");
            }
        })
    }

    fn stands(&self, plan: &ContributionPlan) -> bool {
        self.catalog.stands(plan.tables.iter().map(|table| &table.dataset))
    }

    fn look_again(&self) {
        for fault in self.catalog.look_again() {
            tracing::error!(%fault, "a table changed and cannot be read: no run over it is charged until it is mended");
        }
    }
}

/// Threads that do the work of runs. Those of the connection and of slots must never wait for a person's rows.
#[derive(Debug)]
struct WorkThreads(Option<Runtime>);

impl WorkThreads {
    /// As many as the machine has cores; where none can be had, work shares the caller's.
    fn start() -> Self {
        let threads = Builder::new_multi_thread().thread_name("work").enable_all().build();
        Self(threads.inspect_err(|error| tracing::warn!(%error, "no threads for work")).ok())
    }

    fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |threads| threads.handle().clone())
    }
}

impl Drop for WorkThreads {
    fn drop(&mut self) {
        // Whoever drops it may be a task, which must not wait for others.
        if let Some(threads) = self.0.take() {
            threads.shutdown_background();
        }
    }
}

/// Everything a run needs; shared by all runs of a node.
#[derive(Debug)]
pub struct Runs {
    /// The node's ledger.
    pub ledger: Arc<Ledger>,
    /// The stage that reads records.
    pub work: Arc<dyn Work>,
    /// The key releases are signed with.
    pub node_key: SigningKey,
    /// Wall clock, for what the ledger records.
    pub clock: Arc<dyn Clock>,
    /// Waits for slots.
    pub pace: Arc<dyn Pace>,
    /// Which answers may leave.
    pub departures: Arc<Departures>,
    /// What askings are held against.
    pub terms: Terms,
    /// What work runs on.
    threads: WorkThreads,
    room: Arc<Semaphore>,
    /// Whoever makes ready holds it: however many offers come at once, one is made ready.
    readying: Arc<Semaphore>,
    /// Whoever checks changed tables holds it.
    looking: Arc<Semaphore>,
    /// Charges that a crash left open and that might not run at the start, while the node was paused: whoever
    /// asks for one again has it run.
    waiting: Mutex<BTreeSet<ChargeId>>,
}

impl Runs {
    /// Puts the parts together.
    pub fn new(
        ledger: Arc<Ledger>,
        work: Arc<dyn Work>,
        node_key: SigningKey,
        clock: Arc<dyn Clock>,
        pace: Arc<dyn Pace>,
        terms: Terms,
    ) -> Self {
        let room = Arc::new(Semaphore::new(RUNS_AT_ONCE_MAX));
        let (readying, looking) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1)));
        let departures = Arc::default();
        let threads = WorkThreads::start();
        Self {
            ledger,
            work,
            node_key,
            clock,
            pace,
            departures,
            terms,
            threads,
            room,
            readying,
            looking,
            waiting: Mutex::default(),
        }
    }

    /// Admits and charges one asking, and starts its run. Blocks on the disk: call it off the
    /// runtime's own threads, with the runtime entered.
    ///
    /// # Errors
    /// The [`Refusal`] to send. Nothing was charged by a refused request.
    pub fn take(self: &Arc<Self>, asking: &Asking<'_>) -> Result<(), Refusal> {
        let admitted = admit(asking, &self.terms, &self.ledger, self.now_s())?;
        let request = admitted.request();
        let permit = self.room.clone().try_acquire_owned().ok();
        let room = match permit {
            None => Room::Full,
            Some(_) if self.work.stands(&admitted.plan) => Room::Free,
            Some(_) => Room::Unchecked,
        };
        let charged = self.ledger.charge(admitted, room, &mut SystemEntropy::new());
        if matches!(charged, Err(Refusal::TablesChanged)) {
            self.look_again();
        }
        match charged? {
            Charged::Fresh(charge) => {
                tracing::info!(%request, charge = %charge.id(), "charged");
                self.start(charge, permit);
            }
            Charged::Repeat(charge) => {
                tracing::info!(%request, %charge, "asked before in this epoch: the same answer");
                match self.waited_for(charge) {
                    Some(again) => self.start(again, permit),
                    None => self.repeat(request, charge),
                }
            }
        }
        Ok(())
    }

    /// Makes ready for the first round of an analysis that was offered, off the way of whoever offers it;
    /// leaves it, where another is being made ready.
    pub fn expect(self: &Arc<Self>, planned: &Planned) {
        let Ok(turn) = self.readying.clone().try_acquire_owned() else { return };
        let plan = planned.keys_plan.as_ref().unwrap_or(&planned.plan).clone();
        let Ok(runtime) = Handle::try_current() else { return };
        let (runs, inside) = (self.clone(), runtime.clone());
        runtime.spawn_blocking(move || {
            inside.block_on(runs.work.prepare(plan));
            drop(turn);
        });
    }

    /// Checks tables that have changed, off the way of whoever asks; leaves it, where they are being checked.
    pub fn look_again(self: &Arc<Self>) {
        let Ok(turn) = self.looking.clone().try_acquire_owned() else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        let runs = self.clone();
        runtime.spawn_blocking(move || {
            runs.work.look_again();
            drop(turn);
        });
    }

    /// At the start of a node: lets stored answers leave that did not, and runs charges that a crash
    /// left open once more, where they would still be admitted. Blocks on the disk, with the runtime entered.
    pub fn resume(self: &Arc<Self>) -> Result<(), LedgerError> {
        let now_s = self.now_s();
        // First, since it also settles what may not run again and must be answered below.
        let open = self.ledger.recover(&self.terms, &mut SystemEntropy::new(), now_s)?;
        for (charge, slot_at_s) in self.ledger.undelivered()? {
            let wait_s = u64::try_from(slot_at_s.saturating_sub(now_s)).unwrap_or(0);
            self.departures.hold(charge);
            let slot = Slot::from_now(self.pace.clone(), wait_s.saturating_mul(1000));
            let runs = self.clone();
            tokio::spawn(async move {
                slot.reached().await;
                runs.depart(charge).await;
            });
        }
        let mut left: BTreeSet<ChargeId> = self.ledger.left_open()?.into_iter().collect();
        left.retain(|id| open.iter().all(|charge| charge.id() != *id));
        *self.lock_waiting() = left;
        for charge in open {
            tracing::warn!(charge = %charge.id(), "left open by a crash: runs once more");
            self.start(charge, self.room.clone().try_acquire_owned().ok());
        }
        Ok(())
    }

    /// The wall clock as the ledger counts it.
    pub fn now_s(&self) -> i64 {
        i64::try_from(self.clock.now_unix_s()).unwrap_or(i64::MAX)
    }

    /// Fixes the slot, then starts the work. The permit is given back at the slot, not sooner, so
    /// that "busy" tells nothing of how fast a run was.
    fn start(self: &Arc<Self>, charge: Charge, permit: Option<OwnedSemaphorePermit>) {
        let slot = Slot::from_now(self.pace.clone(), self.terms.release_slot_ms);
        self.departures.hold(charge.id());
        tokio::spawn(self.clone().run(charge, slot, permit));
    }

    /// A charge that waits to be asked for again, taken up; the gate has just let its question through.
    fn waited_for(&self, charge: ChargeId) -> Option<Charge> {
        if !self.lock_waiting().remove(&charge) {
            return None;
        }
        let again = self.ledger.recover_one(charge, &mut SystemEntropy::new(), self.now_s());
        again.unwrap_or_else(|fault| {
            tracing::error!(%charge, %fault, "could not be taken up again");
            self.lock_waiting().insert(charge);
            None
        })
    }

    fn lock_waiting(&self) -> MutexGuard<'_, BTreeSet<ChargeId>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A repeated question: its stored answer leaves at once, or with the first one's at the slot.
    fn repeat(self: &Arc<Self>, request: Digest, charge: ChargeId) {
        // In this order: whatever is settled was held before it was, so that an answer seen settled
        // and not held is past its slot. What is not settled leaves with its charge.
        let is_settled = self.ledger.delivery(request).is_ok_and(|found| found.is_some());
        if is_settled && !self.departures.is_held(charge) {
            self.departures.send([request]);
        }
    }

    async fn run(
        self: Arc<Self>,
        charge: Charge,
        slot: Slot,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let id = charge.id();
        let began = std::time::Instant::now();
        let (overrun, cancelled) = oneshot::channel();
        let (runs, runtime) = (self.clone(), self.threads.handle());
        // On threads of its own: heavy work must not hold up the connection, nor slots.
        let by = slot.clone();
        let worker = tokio::task::spawn_blocking(move || {
            runtime.block_on(runs.work_and_commit(charge, by, cancelled))
        });
        let is_released = match slot.hurry(worker).await {
            Some(Ok(Ok(()))) => true,
            Some(Ok(Err(fault))) => {
                tracing::error!(charge = %id, %fault, "the run failed");
                false
            }
            Some(Err(_)) => {
                tracing::error!(charge = %id, "the run panicked");
                false
            }
            None => {
                tracing::error!(charge = %id, "the run overran its slot: raise `release_slot_ms`");
                false
            }
        };
        // By this the steward chooses the slot. It depends on the data: it stays in this log.
        let took_ms = began.elapsed().as_millis();
        tracing::info!(charge = %id, took_ms, slot_ms = self.terms.release_slot_ms, "worked; the answer waits for its slot");
        drop(overrun);
        slot.reached().await;
        if !is_released {
            self.withhold(id).await;
        }
        self.depart(id).await;
        drop(permit);
    }

    async fn work_and_commit(
        self: Arc<Self>,
        charge: Charge,
        slot: Slot,
        mut cancelled: oneshot::Receiver<()>,
    ) -> Result<(), RunFault> {
        let noised = tokio::select! {
            biased;
            _ = &mut cancelled => return Err(RunFault::Overrun),
            noised = self.work.noised(charge) => noised?,
        };
        // Whatever delayed the one who waits for the slot: past it nothing is released.
        if slot.is_past() {
            return Err(RunFault::Overrun);
        }
        self.ledger.release(noised, &self.node_key, self.now_s())?;
        Ok(())
    }

    /// Withholds until the ledger took it: an answer is sent only after it is on disk.
    async fn withhold(self: &Arc<Self>, charge: ChargeId) {
        loop {
            let runs = self.clone();
            let settled =
                tokio::task::spawn_blocking(move || runs.ledger.withhold(charge, runs.now_s()));
            match settled.await {
                Ok(Ok(Settled::Withheld)) => {
                    tracing::error!(%charge, "withheld: the analysis is frozen until people act");
                    return;
                }
                // Committed at the very slot.
                Ok(Ok(Settled::Released)) => return,
                Ok(Err(fault)) => tracing::error!(%charge, %fault, "cannot be withheld yet"),
                Err(_) => tracing::error!(%charge, "cannot be withheld yet"),
            }
            sleep(LEDGER_RETRY).await;
        }
    }

    /// The slot is reached: every request that waits for this charge is answered.
    async fn depart(self: &Arc<Self>, charge: ChargeId) {
        self.departures.open(charge);
        loop {
            let ledger = self.ledger.clone();
            let waiting = tokio::task::spawn_blocking(move || ledger.waiting_for(charge)).await;
            match waiting {
                Ok(Ok(requests)) => return self.departures.send(requests),
                Ok(Err(fault)) => tracing::error!(%charge, %fault, "cannot be sent yet"),
                Err(_) => tracing::error!(%charge, "cannot be sent yet"),
            }
            sleep(LEDGER_RETRY).await;
        }
    }
}

/// Why a run ends without a release; told to the log only.
#[derive(Debug, thiserror::Error)]
enum RunFault {
    #[error(transparent)]
    Work(#[from] WorkFault),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the slot was reached first")]
    Overrun,
}
