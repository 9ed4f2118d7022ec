//! Pushing offers and runs to nodes over their own connections, and taking in what they report.
//! Nothing a node says is believed unsigned: a release counts when it verifies against agreement,
//! analysis and request; one that does not is excluded and recorded as an incident.

use crate::hub::Hub;
use crate::intake::{AcceptedRun, analysis_of, envelopes};
use crate::store::{RunState, Store, StoreError};
use cloister_net::{Clock, Connection};
use cloister_terms::{Approval, Digest, Name, Refusal, RunRequest, Verdict};
use cloister_wire::dsse::{Envelope, Opened};
use cloister_wire::message::{FromNode, NodeReport, NodeState, Outcome, ReportTaken, ToNode};
use cloister_wire::proof::{names, open_release, open_request};
use std::sync::Arc;
use std::time::Duration;

/// Longest a node may take to answer a push (admission compiles modules).
const PUSH_DEADLINE: Duration = Duration::from_secs(60);
/// Largest answer to a push.
const PUSH_ANSWER_BYTES_MAX: usize = 1024;

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
    for node in run.nodes {
        if let Some(connection) = shared.hub.node(&node) {
            tokio::spawn(push_run(shared.clone(), connection, node, run.request));
        }
    }
    let (shared, request) = (shared.clone(), run.request);
    tokio::spawn(async move {
        let left_ms = run.deadline_ms.saturating_sub(shared.now_s().saturating_mul(1_000));
        tokio::time::sleep(Duration::from_millis(left_ms.max(0) as u64)).await;
        let ended = shared.on_store(move |store| store.end_run(request)).await;
        report_fault("ending a run", ended);
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
    let found = shared.on_store(move |store| analysis_of(store, analysis)).await;
    let Some(Ok((stored, _, opened))) = found else { return };
    for node in &opened.document().nodes {
        let Some(connection) = shared.hub.node(node) else { continue };
        let message = ToNode::Offer {
            analysis: stored.envelope.clone(),
            module: stored.module.clone(),
            approvals: stored.approvals.clone(),
        };
        tokio::spawn(async move { push(&connection, &message).await });
    }
}

/// A node has connected: it gets the analyses and runs that wait for it.
pub async fn catch_up(shared: Shared, node: Name, connection: Connection) {
    let (name, now_s) = (node.clone(), shared.now_s());
    let waiting = shared
        .on_store(move |store| -> Result<_, StoreError> {
            let mut offers = Vec::new();
            for digest in store.analyses(Some(now_s))? {
                if let Ok((stored, _, opened)) = analysis_of(store, digest)
                    && opened.document().nodes.contains(&name)
                {
                    offers.push(stored);
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
    for stored in offers {
        let (analysis, module, approvals) = (stored.envelope, stored.module, stored.approvals);
        push(&connection, &ToNode::Offer { analysis, module, approvals }).await;
    }
    for request in runs {
        push_run(shared.clone(), connection.clone(), node.clone(), request).await;
    }
}

async fn push_run(shared: Shared, connection: Connection, node: Name, request: Digest) {
    let message = shared
        .on_store(move |store| {
            let run = store.run(request).ok()??;
            let stored = store.analysis(run.analysis).ok()??;
            let asked = Envelope::parse(&run.envelope).ok()?.open::<RunRequest>().ok()?;
            let approvals = stored.approvals.into_iter();
            let approvals = approvals.filter(|vote| concerns(asked.document(), vote)).collect();
            let (analysis, module) = (stored.envelope, stored.module);
            Some(ToNode::Run { analysis, module, approvals, request: run.envelope })
        })
        .await
        .flatten();
    let Some(message) = message else { return };
    shared.hub.step(request, &node, NodeState::Sent);
    match push(&connection, &message).await {
        Some(FromNode::Taken) => shared.hub.step(request, &node, NodeState::Admitted),
        // Sent twice, over a connection that broke: the node has it and will report.
        Some(FromNode::Refused(Refusal::Replay)) => {
            shared.hub.step(request, &node, NodeState::Admitted);
        }
        Some(FromNode::Refused(refusal)) => {
            settle(&shared, request, node, RunState::Plain(NodeState::Refused(refusal))).await;
        }
        None => shared.hub.step(request, &node, NodeState::Away),
    }
}

/// Whether a vote goes with a request: it relies on it, or somebody rejects. An approval that came
/// in later is not what the request relies on.
fn concerns(request: &RunRequest, vote: &[u8]) -> bool {
    let Ok(envelope) = Envelope::parse(vote) else { return false };
    let rejects = |vote: Opened<Approval>| vote.document().verdict == Verdict::Reject;
    names(request, &envelope) || envelope.open::<Approval>().is_ok_and(rejects)
}

async fn push(connection: &Connection, message: &ToNode) -> Option<FromNode> {
    let bytes = cloister_wire::encode(message).ok()?;
    let answer = connection.call(&bytes, PUSH_ANSWER_BYTES_MAX, PUSH_DEADLINE).await;
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
    let run = store.run(request).ok()??;
    match verify(store, node, &run.envelope, run.analysis, &bytes) {
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

fn verify(
    store: &Store,
    node: &Name,
    request: &[u8],
    analysis: Digest,
    release: &[u8],
) -> Result<(), String> {
    let unavailable = |_| "its documents are not available".to_owned();
    let (stored, agreement, analysis) =
        analysis_of(store, analysis).map_err(|e| e.0.to_string())?;
    let approvals = envelopes(&stored.approvals).map_err(|e| e.to_string())?;
    let request = Envelope::parse(request).map_err(|e| unavailable(e.to_string()))?;
    let (request, _) =
        open_request(&agreement, &analysis, &approvals, &request).map_err(|e| e.to_string())?;
    let release = Envelope::parse(release).map_err(|e| e.to_string())?;
    let opened = open_release(&agreement, &analysis, request.document(), &release)
        .map_err(|e| e.to_string())?;
    if opened.document().node == *node { Ok(()) } else { Err("signed by another node".into()) }
}

async fn settle(
    shared: &Shared,
    request: Digest,
    node: Name,
    state: RunState,
) -> Option<ReportTaken> {
    let stored = shared.on_store(move |store| store.set_outcome(request, &node, &state)).await;
    let taken = report_fault("outcome", stored).map(|_| ReportTaken);
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
