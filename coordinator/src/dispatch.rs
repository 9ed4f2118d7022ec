//! Pushing offers and runs to nodes over their own connections, and taking in what they report.
//! Nothing a node says is believed unsigned: a release counts when it verifies against agreement,
//! analysis and request; one that does not is excluded and recorded as an incident.

use crate::hub::Hub;
use crate::intake::{AcceptedRun, Documents, RejectionOr, analysis_of, request_of, round_of};
use crate::opened::AskedRound;
use crate::store::{Moved, RunState, Store, StoreError, StoredAnalysis, StoredVote};
use cloister_net::{Clock, Connection};
use cloister_terms::limits::CLOCK_SKEW_MAX_S;
use cloister_terms::{Digest, Name, Refusal, RunRequest};
use cloister_wire::dsse::{Envelope, Opened};
use cloister_wire::message::{
    FromNode, NodeReport, NodeState, Outcome, Rejection, ReportTaken, ToNode,
};
use cloister_wire::proof::open_release;
use cloister_wire::{CodecError, DsseError, ProofError};
use std::sync::Arc;
use std::time::Duration;

/// Longest a node may take to answer a push (admission compiles modules).
const PUSH_DEADLINE: Duration = Duration::from_secs(60);
/// Largest answer to a push.
const PUSH_ANSWER_BYTES_MAX: usize = 1024;
/// Pause before a run whose end could not be stored is ended again.
const END_RETRY: Duration = Duration::from_secs(5);

/// What all tasks of the coordinator share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The coordinator's name.
    pub name: Name,
    /// What is kept.
    pub store: Store,
    /// Who is connected.
    pub hub: Arc<Hub>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl Shared {
    /// Seconds since 1970 UTC.
    pub fn now_s(&self) -> i64 {
        i64::try_from(self.clock.now_unix_s()).unwrap_or(i64::MAX)
    }

    /// Runs `work` on the store without holding up the connections.
    pub async fn on_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> Option<T> {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::error!(%error, "store task");
                None
            }
        }
    }
}

/// Sends a stored run to every connected node that it asks, and ends it at its deadline.
pub fn start(shared: &Shared, run: AcceptedRun) {
    tokio::spawn(push_to_all(shared.clone(), run.nodes, run.request));
    let (shared, request) = (shared.clone(), run.request);
    tokio::spawn(async move {
        let left_ms = run.deadline_ms.saturating_sub(shared.now_s().saturating_mul(1_000));
        tokio::time::sleep(Duration::from_millis(left_ms.max(0) as u64)).await;
        // A full disk or a busy store passes; a run that was never ended would stay open for ever.
        loop {
            let ended = shared.on_store(move |store| store.end_run(request)).await;
            if report_fault("ending a run, which is tried again", ended).is_some() {
                break;
            }
            tokio::time::sleep(END_RETRY).await;
        }
        shared.hub.forget(request);
        shared.hub.changed();
    });
}

/// Takes up the runs that were open when the coordinator stopped.
pub async fn resume(shared: &Shared) {
    let open = shared.on_store(Store::open_runs).await;
    for request in report_fault("open runs", open).unwrap_or_default() {
        let run = shared.on_store(move |store| store.run(request)).await;
        if let Some(run) = report_fault("open run", run).flatten() {
            // No node is connected yet; each gets the run when it dials in.
            start(shared, AcceptedRun { request, nodes: vec![], deadline_ms: run.deadline_ms });
        }
    }
}

/// Offers an analysis to every connected node that it asks.
pub async fn offer(shared: &Shared, analysis: Digest) {
    let found = shared.on_store(move |store| to_offer(store, analysis)).await;
    let Some((nodes, stored)) = report_fault("an offer", found) else { return };
    for node in nodes {
        let Some(connection) = shared.hub.node(&node) else { continue };
        let (shared, stored) = (shared.clone(), Arc::clone(&stored));
        tokio::spawn(async move {
            offer_to(&shared, &node, &connection, analysis, &stored).await;
        });
    }
}

/// The nodes that an analysis asks, and what they are shown of it.
fn to_offer(
    store: &Store,
    analysis: Digest,
) -> Result<(Vec<Name>, Arc<StoredAnalysis>), Rejection> {
    let (_, opened) = analysis_of(store, analysis).map_err(|error| error.0)?;
    let stored = store.analysis(analysis).map_err(|_| Rejection::Unavailable)?;
    Ok((opened.document().nodes.clone(), Arc::new(stored.ok_or(Rejection::Unknown)?)))
}

/// Offers an analysis with the votes that are there when it is this offer's turn, so that what arrives
/// last has them all.
async fn offer_to(
    shared: &Shared,
    node: &Name,
    connection: &Connection,
    analysis: Digest,
    stored: &StoredAnalysis,
) {
    let turn = shared.hub.turn(node);
    let _mine = turn.lock().await;
    if connection.close_reason().is_some() {
        return;
    }
    let votes = shared.on_store(move |store| store.votes(analysis)).await;
    let Some(votes) = report_fault("an offer's votes", votes) else { return };
    let approvals = votes.into_iter().map(|vote| vote.envelope).collect();
    let (analysis, module) = (stored.envelope.clone(), stored.module.clone());
    if let Ok(frame) = cloister_wire::encode(&ToNode::Offer { analysis, module, approvals }) {
        push(connection, &frame).await;
    }
}

/// A node has connected: it gets the analyses and runs that wait for it.
pub async fn catch_up(shared: Shared, node: Name, connection: Connection) {
    let (name, now_s) = (node.clone(), shared.now_s());
    let waiting = shared
        .on_store(move |store| -> Result<_, StoreError> {
            let mut offers = Vec::new();
            for digest in store.analyses(Some(now_s))? {
                if let Ok((_, opened)) = analysis_of(store, digest)
                    && opened.document().nodes.contains(&name)
                {
                    offers.push(digest);
                }
            }
            let mut runs = Vec::new();
            for request in store.open_runs()? {
                let run = store.run(request)?;
                let waits =
                    |(of, state): &(Name, NodeState)| *of == name && *state == NodeState::Away;
                if run.is_some_and(|run| run.progress.nodes.iter().any(waits)) {
                    runs.push(request);
                }
            }
            Ok((offers, runs))
        })
        .await;
    let Some((offers, runs)) = report_fault("catching up", waiting) else { return };
    for analysis in offers {
        let found = shared.on_store(move |store| to_offer(store, analysis)).await;
        if let Some((_, stored)) = report_fault("an offer", found) {
            offer_to(&shared, &node, &connection, analysis, &stored).await;
        }
    }
    for request in runs {
        if shared.hub.is_admitted(request, &node) || !is_fresh(&shared, request).await {
            continue;
        }
        if let Some(frame) = run_frame(&shared, request).await {
            let (shared, connection) = (shared.clone(), connection.clone());
            push_run(shared, connection, node.clone(), request, frame, Push::Again).await;
        }
    }
}

/// Whether a node that dials in may still take a request. It would refuse an older one by its clock, even
/// one that it admitted before: that node reports by itself, and any other is late at the deadline.
async fn is_fresh(shared: &Shared, request: Digest) -> bool {
    let opened = shared
        .on_store(move |store| request_of(store, request).map_err(|rejected| rejected.0))
        .await;
    let Some(opened) = report_fault("a run that waits", opened) else { return false };
    let age_s = shared.now_s().saturating_sub(opened.document().requested_at_s);
    age_s <= CLOCK_SKEW_MAX_S
}

/// Pushes a run to each of `nodes` that is connected, all at once.
async fn push_to_all(shared: Shared, nodes: Vec<Name>, request: Digest) {
    let connected = |node: Name| shared.hub.node(&node).map(|connection| (node, connection));
    let nodes: Vec<_> = nodes.into_iter().filter_map(connected).collect();
    if nodes.is_empty() {
        return;
    }
    let Some(frame) = run_frame(&shared, request).await else { return };
    for (node, connection) in nodes {
        let (shared, frame) = (shared.clone(), Arc::clone(&frame));
        tokio::spawn(push_run(shared, connection, node, request, frame, Push::First));
    }
}

/// The message that asks a node to run, encoded; the same for every node.
async fn run_frame(shared: &Shared, request: Digest) -> Option<Arc<Vec<u8>>> {
    let frame = shared.on_store(move |store| encoded_run(store, request)).await;
    report_fault("a run that cannot be sent", frame)
}

fn encoded_run(store: &Store, request: Digest) -> Result<Arc<Vec<u8>>, Unsent> {
    // Checked when it was taken in, and by every node again.
    let run = store.run(request)?.ok_or(Unsent::Unknown)?;
    let asked = Envelope::parse(&run.envelope)?.open::<RunRequest>()?;
    let (agreement, analysis) = analysis_of(store, run.analysis)?;
    let round = round_of(store, &agreement, &analysis, &asked)?;
    let used = round.used.iter().map(Envelope::to_bytes).collect();
    let stored = store.analysis(run.analysis)?.ok_or(Unsent::Unknown)?;
    // An approval that came in later is not what the request relies on.
    let concerns =
        |vote: &StoredVote| vote.rejects || asked.document().approvals.contains(&vote.digest);
    let approvals = stored.votes.into_iter().filter(concerns);
    let approvals = approvals.map(|vote| vote.envelope).collect();
    let (analysis, module) = (stored.envelope, stored.module);
    let run = ToNode::Run { analysis, module, approvals, request: run.envelope, used };
    Ok(Arc::new(cloister_wire::encode(&run)?))
}

/// Why no node is asked to run.
#[derive(Debug, thiserror::Error)]
enum Unsent {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Envelope(#[from] DsseError),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("its documents do not stand: {0}")]
    Documents(Rejection),
    #[error(
        "the store has no such run or analysis: restore the store, or have the researcher ask again"
    )]
    Unknown,
}

impl From<RejectionOr> for Unsent {
    fn from(error: RejectionOr) -> Self {
        Self::Documents(error.0)
    }
}

/// Whether a node may have a run already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Push {
    /// It was just taken in.
    First,
    /// It waited for the node, which may have had it over an earlier connection.
    Again,
}

async fn push_run(
    shared: Shared,
    connection: Connection,
    node: Name,
    request: Digest,
    frame: Arc<Vec<u8>>,
    attempt: Push,
) {
    shared.hub.step(request, &node, NodeState::Sent);
    match push(&connection, &frame).await {
        Some(FromNode::Taken) => shared.hub.step(request, &node, NodeState::Admitted),
        // Sent twice, over a connection that broke: the node has it and will report.
        Some(FromNode::Refused(Refusal::Replay)) => {
            shared.hub.step(request, &node, NodeState::Admitted);
        }
        // A node looks at its clock before it looks whether it has the run: if it has, it will report,
        // and if not, it is late at the deadline.
        Some(FromNode::Refused(Refusal::ClockSkew)) if attempt == Push::Again => {
            tracing::warn!(%node, %request, "a run that waited for a node is too old by its clock; if it was not, set the clocks of node and coordinator");
        }
        Some(FromNode::Refused(refusal)) => {
            settle(&shared, request, node, RunState::Plain(NodeState::Refused(refusal))).await;
        }
        None => shared.hub.step(request, &node, NodeState::Away),
    }
}

/// Sends an encoded [`ToNode`]; what the node says.
async fn push(connection: &Connection, frame: &[u8]) -> Option<FromNode> {
    let answer = connection.call(frame, PUSH_ANSWER_BYTES_MAX, PUSH_DEADLINE).await;
    match answer {
        Ok(answer) => cloister_wire::decode(&answer).ok(),
        Err(error) => {
            tracing::warn!(%error, "push");
            None
        }
    }
}

/// Takes in a report of `node`. `None`: not durably taken, the node will send it again.
pub async fn report(shared: &Shared, node: Name, report: NodeReport) -> Option<ReportTaken> {
    match report {
        NodeReport::Hello { .. } => Some(ReportTaken),
        NodeReport::Decision { analysis, granted } => {
            let stored =
                shared.on_store(move |store| store.put_decision(analysis, &node, granted)).await;
            report_fault("decision", stored).map(|()| ReportTaken)
        }
        NodeReport::Outcome { request, outcome } => {
            let of = node.clone();
            let state = shared.on_store(move |store| judge(store, &of, request, outcome)).await??;
            settle(shared, request, node, state).await
        }
    }
}

/// What an outcome is worth. `None` when the store failed or knows no such run.
fn judge(store: &Store, node: &Name, request: Digest, outcome: Outcome) -> Option<RunState> {
    let Outcome::Released(bytes) = outcome else {
        return Some(RunState::Plain(NodeState::Withheld));
    };
    let asked = match asked_of(store, request) {
        Err(RejectionOr(Rejection::Unknown | Rejection::Unavailable)) => return None,
        asked => asked,
    };
    match asked.map_err(Excluded::from).and_then(|asked| verify(node, &asked, &bytes)) {
        Ok(()) => Some(RunState::Released(bytes)),
        Err(why) => {
            let what = format!("release of {node} for run {} excluded: {why}", request.short());
            tracing::warn!("{what}");
            let now_s = Clock::now_unix_s(&cloister_net::SystemClock);
            store.alert(&what, now_s).ok()?;
            Some(RunState::Plain(NodeState::Excluded))
        }
    }
}

/// Everything that a release of a run is held against.
struct Asked {
    documents: Documents,
    request: Arc<Opened<RunRequest>>,
    round: Arc<AskedRound>,
}

fn asked_of(store: &Store, request: Digest) -> Result<Asked, RejectionOr> {
    let request = request_of(store, request)?;
    let documents = analysis_of(store, request.document().analysis)?;
    let round = round_of(store, &documents.0, &documents.1, &request)?;
    Ok(Asked { documents, request, round })
}

fn verify(node: &Name, asked: &Asked, release: &[u8]) -> Result<(), Excluded> {
    let (agreement, analysis) = &asked.documents;
    let release = Envelope::parse(release)?;
    let round = &asked.round.round;
    let opened = open_release(agreement, analysis, asked.request.document(), round, &release)?;
    if opened.document().node == *node { Ok(()) } else { Err(Excluded::OtherNode) }
}

/// Why a release does not count.
#[derive(Debug, thiserror::Error)]
enum Excluded {
    #[error("its documents do not stand: {0}")]
    Documents(Rejection),
    #[error(transparent)]
    Envelope(#[from] DsseError),
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error("signed by another node")]
    OtherNode,
}

impl From<RejectionOr> for Excluded {
    fn from(error: RejectionOr) -> Self {
        Self::Documents(error.0)
    }
}

async fn settle(
    shared: &Shared,
    request: Digest,
    node: Name,
    state: RunState,
) -> Option<ReportTaken> {
    let stored = shared.on_store(move |store| store.set_outcome(request, &node, &state)).await;
    // Of a run that is not there nothing was kept: the node keeps it.
    let known = report_fault("outcome", stored).filter(|moved| *moved != Moved::Unknown);
    let taken = known.map(|_| ReportTaken);
    shared.hub.changed();
    taken
}

fn report_fault<T, E: std::fmt::Display>(what: &str, result: Option<Result<T, E>>) -> Option<T> {
    match result? {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(%error, what);
            None
        }
    }
}
