//! The node on the network: dials out and never listens, takes offers and runs from the coordinator,
//! reports decisions and answers until they are taken. The coordinator decides nothing here: each
//! push goes through the gate, and a node works on while the coordinator is away.

use crate::admit::{Asking, Terms, admit_offer};
use crate::ledger::{Delivery, Ledger, Verdict};
use crate::run::Runs;
use crate::slot::Departures;
use cloister_net::{
    Backoff, BiStream, CloseReason, Closed, Connection, Dialer, FRAME_BYTES_MAX, StreamError,
    entropy_u64,
};
use cloister_terms::{Digest, Refusal, RunRequest};
use cloister_wire::message::{FromNode, NodeReport, Outcome, ReportTaken, ToNode};
use cloister_wire::{CodecError, Envelope, decode, encode};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

/// Pushes looked at in one go; each may hold a frame in memory.
const PUSHES_AT_ONCE_MAX: usize = 4;
/// Longest a push may take to arrive.
const PUSH_DEADLINE: Duration = Duration::from_secs(60);
/// Longest a report may take to be taken.
const REPORT_DEADLINE: Duration = Duration::from_secs(60);
/// Largest answer to a report, in bytes.
const REPORT_ANSWER_BYTES_MAX: usize = 64;
/// How often new decisions of the steward are looked for, and failed reports tried again.
const POLL: Duration = Duration::from_secs(1);
/// How often the clock's high-water mark is kept without other writes, in polls.
const POLLS_A_TIME_NOTE: u32 = 60;
/// How often tables are looked at for files that changed, in polls: so that mostly nobody who asks has to wait
/// for their check.
const POLLS_A_LOOK: u32 = 60;
/// Refusals journaled within one hour; more are logged only, so that nobody fills the disk.
const REFUSALS_JOURNALED_PER_HOUR_MAX: u32 = 1_000;
/// Pauses between attempts to reach the coordinator.
const REDIAL_FIRST: Duration = Duration::from_millis(250);
const REDIAL_CAP: Duration = Duration::from_secs(30);

/// A node that serves its coordinator.
#[derive(Debug)]
pub struct Node {
    ledger: Arc<Ledger>,
    departures: Arc<Departures>,
    /// `None` until the partner has a signed agreement: every push is refused.
    runs: Option<Arc<Runs>>,
    clock: Arc<dyn cloister_net::Clock>,
    refusals: Mutex<RefusalCount>,
}

#[derive(Debug, Default)]
struct RefusalCount {
    hour: u64,
    count: u32,
}

/// Another process serves with this node's certificate. Dialling again would only take the place
/// back, for ever: people must stop one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another process took this node's place at the coordinator: stop one of the two")]
pub struct Displaced;

/// Why a report was not taken.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl Node {
    /// A node with an agreement.
    pub fn new(runs: Arc<Runs>) -> Self {
        Self {
            ledger: runs.ledger.clone(),
            departures: runs.departures.clone(),
            clock: runs.clock.clone(),
            refusals: Mutex::default(),
            runs: Some(runs),
        }
    }

    /// A node whose partner has no signed agreement yet: it connects, and refuses every push.
    pub fn without_agreement(ledger: Arc<Ledger>, clock: Arc<dyn cloister_net::Clock>) -> Self {
        let departures = Arc::default();
        Self { ledger, departures, runs: None, clock, refusals: Mutex::default() }
    }

    /// Dials `address` (host:port) and serves, redialling for ever; `connected` is called after each
    /// connection. Ends when `stop` turns true or its sender is gone.
    ///
    /// # Errors
    /// [`Displaced`] when the coordinator closes the connection in use because another one of the
    /// same certificate took its place. This process has no other, so another process has: a line
    /// that broke is given up here first, and what is closed afterwards is not looked at.
    pub async fn serve(
        self: Arc<Self>,
        dialer: &Dialer,
        address: &str,
        mut connected: impl FnMut(),
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), Displaced> {
        let mut backoff = Backoff::new(REDIAL_FIRST, REDIAL_CAP);
        loop {
            let pause = tokio::select! {
                biased;
                () = stopped(&mut stop) => return Ok(()),
                dialled = dial(dialer, address) => match dialled {
                    Ok(connection) => {
                        backoff.reset();
                        connected();
                        self.converse(&connection, &mut stop).await;
                        if connection.close_reason() == Some(Closed::ByPeer(CloseReason::Displaced)) {
                            return Err(Displaced);
                        }
                        backoff.next_delay(entropy_u64().unwrap_or(u64::MAX / 2))
                    }
                    Err(error) => {
                        let pause = backoff.next_delay(entropy_u64().unwrap_or(u64::MAX / 2));
                        tracing::warn!(address, error, pause_ms = pause.as_millis(), "no connection to the coordinator");
                        pause
                    }
                },
            };
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return Ok(()),
                () = sleep(pause) => {}
            }
        }
    }

    /// One connection, until it ends.
    async fn converse(self: &Arc<Self>, connection: &Connection, stop: &mut watch::Receiver<bool>) {
        tracing::info!(coordinator = %connection.peer().name(), address = %connection.remote_addr(), "connected");
        tokio::select! {
            biased;
            () = stopped(stop) => connection.close_and_flush(CloseReason::Shutdown).await,
            ended = self.take_pushes(connection) => tracing::info!(%ended, "disconnected"),
            ended = self.report(connection) => tracing::info!(%ended, "disconnected"),
        }
    }

    /// Takes each stream that the coordinator opens, a few at once.
    async fn take_pushes(self: &Arc<Self>, connection: &Connection) -> StreamError {
        let room = Arc::new(Semaphore::new(PUSHES_AT_ONCE_MAX));
        loop {
            // The semaphore is never closed, so a permit always comes.
            let permit = room.clone().acquire_owned().await.ok();
            let stream = match connection.accept_bi().await {
                Ok(stream) => stream,
                Err(ended) => return ended,
            };
            let node = self.clone();
            tokio::spawn(async move {
                if let Err(error) = node.push(stream).await {
                    tracing::warn!(%error, "a push of the coordinator failed");
                }
                drop(permit);
            });
        }
    }

    async fn push(self: Arc<Self>, mut stream: BiStream) -> Result<(), ReportError> {
        let late = |_| StreamError::Deadline { waited_ms: PUSH_DEADLINE.as_millis() };
        let read = timeout(PUSH_DEADLINE, stream.read_last_frame(FRAME_BYTES_MAX));
        let frame = read.await.map_err(late)??;
        // Vetting, compiling and the ledger block: off the runtime's own threads.
        let judged = tokio::task::spawn_blocking(move || self.judge(&frame)).await;
        let answer = judged.unwrap_or_else(|_| {
            tracing::error!("a push ended in a panic and is refused");
            FromNode::Refused(Refusal::Malformed)
        });
        Ok(stream.answer(&encode(&answer)?).await?)
    }

    /// Judges one push; the answer says nothing that documents, clock and ledger do not.
    pub fn judge(&self, frame: &[u8]) -> FromNode {
        let judged = match decode::<ToNode>(frame) {
            Err(_) => Err((None, Refusal::Malformed)),
            Ok(ToNode::Offer { analysis, module, approvals }) => self
                .take_offer(&analysis, module.as_deref(), &approvals)
                .map_err(|refusal| (None, refusal)),
            Ok(ToNode::Run { analysis, module, approvals, request, used }) => {
                let asking = Asking {
                    analysis: &analysis,
                    module: module.as_deref(),
                    approvals: &approvals,
                    request: &request,
                    used: &used,
                };
                self.take_run(&asking).map_err(|refusal| (request_digest(&request), refusal))
            }
        };
        match judged {
            Ok(()) => FromNode::Taken,
            Err((request, refusal)) => {
                self.note_refusal(request, refusal);
                FromNode::Refused(refusal)
            }
        }
    }

    fn take_run(&self, asking: &Asking<'_>) -> Result<(), Refusal> {
        self.runs.as_ref().ok_or(Refusal::UnknownAgreement)?.take(asking)
    }

    fn take_offer(
        &self,
        analysis: &[u8],
        module: Option<&[u8]>,
        approvals: &[Vec<u8>],
    ) -> Result<(), Refusal> {
        let runs = self.runs.as_ref().ok_or(Refusal::UnknownAgreement)?;
        let terms: &Terms = &runs.terms;
        let analysis = admit_offer(analysis, module, approvals, terms)?;
        self.ledger.keep_offer(&analysis, module, approvals, runs.now_s()).map_err(|fault| {
            tracing::error!(%fault, "an offer was not kept");
            fault.refusal()
        })?;
        tracing::info!(analysis = %analysis.digest(), name = %analysis.document().name, "offered: see `cloister-node pending`");
        if let Some(planned) = terms.remembered.known_plan(terms.agreement.digest(), &analysis) {
            runs.expect(&planned);
        }
        Ok(())
    }

    fn note_refusal(&self, request: Option<Digest>, refusal: Refusal) {
        let now_s = self.clock.now_unix_s();
        tracing::warn!(?request, %refusal, "refused");
        {
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            if refusals.hour != now_s / 3600 {
                *refusals = RefusalCount { hour: now_s / 3600, count: 0 };
            }
            refusals.count = refusals.count.saturating_add(1);
            if refusals.count > REFUSALS_JOURNALED_PER_HOUR_MAX {
                return;
            }
        }
        let now_s = i64::try_from(now_s).unwrap_or(i64::MAX);
        if let Err(fault) = self.ledger.note_refusal(request, refusal, now_s) {
            tracing::error!(%fault, "a refusal was not journaled");
        }
    }

    /// Says hello, then reports decisions and answers as they come.
    async fn report(&self, connection: &Connection) -> ReportError {
        let agreement = self.runs.as_ref().map(|runs| runs.terms.agreement.digest());
        if let Err(ended) = call(connection, &NodeReport::Hello { agreement }).await {
            return ended;
        }
        for poll in 0u32.. {
            let reported = async {
                self.report_decisions(connection).await?;
                self.report_answers(connection).await
            };
            if let Err(ended) = reported.await {
                if connection.close_reason().is_some() {
                    return ended;
                }
                tracing::warn!(error = %ended, "a report was not taken: sent again");
                sleep(POLL).await;
            }
            if poll % POLLS_A_TIME_NOTE == 0 {
                let now_s = i64::try_from(self.clock.now_unix_s()).unwrap_or(i64::MAX);
                self.on_ledger(move |ledger| ledger.note_time(now_s)).await;
            }
            if poll % POLLS_A_LOOK == 0 {
                self.runs.iter().for_each(Runs::look_again);
            }
            tokio::select! {
                () = self.departures.changed() => {}
                () = sleep(POLL) => {}
            }
        }
        StreamError::Stopped.into()
    }

    async fn report_decisions(&self, connection: &Connection) -> Result<(), ReportError> {
        let decisions = self.on_ledger(Ledger::decisions_to_report).await.unwrap_or_default();
        for (analysis, granted) in decisions {
            call(connection, &NodeReport::Decision { analysis, granted }).await?;
            self.on_ledger(move |ledger| ledger.decision_reported(analysis, granted)).await;
        }
        Ok(())
    }

    /// Sends what may leave. An answer that is not taken does not hold up the others.
    async fn report_answers(&self, connection: &Connection) -> Result<(), ReportError> {
        let mut outcome_of_all = Ok(());
        for request in self.departures.due() {
            let found = self.on_ledger(move |ledger| ledger.delivery(request)).await;
            // A ledger that cannot be read is tried again; nothing is lost.
            let Some(Some(Delivery { verdict, .. })) = found else { continue };
            let outcome = match verdict {
                Verdict::Released(release) => Outcome::Released(release.bytes().to_vec()),
                Verdict::Withheld => Outcome::Withheld,
            };
            match call(connection, &NodeReport::Outcome { request, outcome }).await {
                Ok(()) => {
                    self.departures.gone(request);
                    self.on_ledger(move |ledger| ledger.delivered(request)).await;
                }
                Err(ended) if connection.close_reason().is_some() => return Err(ended),
                Err(error) => outcome_of_all = Err(error),
            }
        }
        outcome_of_all
    }

    /// Asks the ledger off the runtime's own threads; a fault is logged.
    async fn on_ledger<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Ledger) -> Result<T, crate::ledger::LedgerError> + Send + 'static,
    ) -> Option<T> {
        let ledger = self.ledger.clone();
        match tokio::task::spawn_blocking(move || ask(&ledger)).await {
            Ok(Ok(value)) => Some(value),
            Ok(Err(fault)) => {
                tracing::error!(%fault, "the ledger does not answer");
                None
            }
            Err(_) => None,
        }
    }
}

/// One report, taken.
async fn call(connection: &Connection, report: &NodeReport) -> Result<(), ReportError> {
    let frame = encode(report)?;
    let answer = connection.call(&frame, REPORT_ANSWER_BYTES_MAX, REPORT_DEADLINE).await?;
    let ReportTaken = decode(&answer)?;
    Ok(())
}

/// Looks the address up anew each time: it may move.
async fn dial(dialer: &Dialer, address: &str) -> Result<Connection, String> {
    let found: Vec<_> = tokio::net::lookup_host(address)
        .await
        .map_err(|error| format!("`{address}` cannot be looked up: {error}"))?
        .collect();
    dialer.dial_each(&found).await.map_err(|error| error.to_string())
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone: nobody could stop the node any more.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn request_digest(request: &[u8]) -> Option<Digest> {
    Some(Envelope::parse(request).ok()?.open::<RunRequest>().ok()?.digest())
}
