//! Connections: who may say what. A certificate's role decides which messages are understood; what a
//! message may do is decided by the signatures in it.

use crate::config::{Config, ConfigError, Folder};
use crate::dispatch::{self, Shared};
use crate::hub::Hub;
use crate::intake::{self, RejectionOr};
use crate::store::Store;
use cloister_net::{
    BiStream, Clock, CloseReason, Connection, Enroller, FRAME_BYTES_MAX, PeerIdentity,
    REVOCATION_LIST_AGE_S, REVOCATION_SWEEP_S, RevocationList, Role, Server, StreamError,
};
use cloister_terms::{Digest, Name};
use cloister_wire::message::{
    AnalysisFile, FromPerson, NodeReport, Rejection, RunFile, RunProgress, ToPerson,
};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Requests read in one go on one connection; each may hold a frame in memory. More wait their turn.
const READS_AT_ONCE_MAX: usize = 4;
/// Longest a request may take to arrive once it is its turn.
const READ_DEADLINE: Duration = Duration::from_secs(60);
/// Longest a frame of an answer may take to be taken.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// Why the coordinator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its folder is unusable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its store is unusable.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// A port cannot be bound.
    #[error(
        "cannot listen on {address}: {error}; is another coordinator running, or the address not this machine's?"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: cloister_net::BindError,
    },
}

/// A coordinator that listens.
pub struct Running {
    /// Where nodes and persons connect.
    pub listen: SocketAddr,
    /// Where tokens are exchanged.
    pub enrol: SocketAddr,
    server: Arc<Server>,
    enroller: Arc<Enroller>,
    shared: Shared,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// Starts the coordinator of `folder` and returns once it listens.
pub async fn start(
    folder: &Folder,
    config: &Config,
    clock: Arc<dyn Clock>,
) -> Result<Running, ServeError> {
    let store = Store::open(&folder.store())?;
    let (ca, identity) = folder.load_keys()?;
    store.nobody_connected()?;
    let revocations = RevocationList::new(clock.clone());
    let first = revocations.replace(store.revoked()?, clock.now_unix_s());
    if let Err(error) = first {
        tracing::error!(%error, "revocations");
    }
    let bind = |address, error| ServeError::Bind { address, error };
    let server = Server::bind(config.listen, &identity, revocations.clone(), clock.clone())
        .map_err(|error| bind(config.listen, error))?;
    let tokens = Arc::new(store.clone());
    let enroller =
        Enroller::bind(config.enrol_listen, Arc::new(ca), &identity, tokens, clock.clone())
            .map_err(|error| bind(config.enrol_listen, error))?;
    let (server, enroller) = (Arc::new(server), Arc::new(enroller));
    let listen = server.local_addr().map_err(|error| bind(config.listen, error))?;
    let enrol = enroller.local_addr().map_err(|error| bind(config.enrol_listen, error))?;
    let shared = Shared { name: config.name.clone(), store, hub: Arc::new(Hub::default()), clock };
    dispatch::resume(&shared).await;
    let tasks = vec![
        tokio::spawn(accept(shared.clone(), server.clone())),
        tokio::spawn({
            let enroller = enroller.clone();
            async move { enroller.run().await }
        }),
        tokio::spawn(sweep(shared.clone(), revocations)),
    ];
    Ok(Running { listen, enrol, server, enroller, shared, tasks })
}

impl Running {
    /// What the tasks share; for tests that look at the store.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Stops listening and closes every connection.
    pub async fn stop(self) {
        self.server.shutdown().await;
        self.enroller.shutdown().await;
        for task in self.tasks {
            task.abort();
        }
    }
}

/// Re-reads revocations well within both limits, so that a revoked party is out in time even when
/// the revocation was made by the command line beside this process.
async fn sweep(shared: Shared, revocations: Arc<RevocationList>) {
    let every = Duration::from_secs((REVOCATION_SWEEP_S / 2).clamp(1, REVOCATION_LIST_AGE_S));
    loop {
        tokio::time::sleep(every).await;
        let now_s = shared.clock.now_unix_s();
        if let Some(Ok(serials)) = shared.on_store(Store::revoked).await
            && let Err(error) = revocations.replace(serials, now_s)
        {
            tracing::error!(%error, "revocations");
        }
    }
}

async fn accept(shared: Shared, server: Arc<Server>) {
    while let Some((peer, connection)) = server.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            match peer.role() {
                Role::Node => node(shared.clone(), peer, connection).await,
                Role::Person => person(shared.clone(), peer, connection).await,
                Role::Coordinator => connection.close(CloseReason::Misbehaved),
            }
        });
    }
}

async fn note_seen(shared: &Shared, name: &Name, connected: bool) {
    let (name, now_s) = (name.clone(), shared.clock.now_unix_s());
    if let Some(Err(error)) =
        shared.on_store(move |store| store.seen(&name, connected, now_s)).await
    {
        tracing::error!(%error, "seen");
    }
}

/// Reads the one request of a stream, when it is its turn on its connection: a peer's many streams hold
/// no more memory than a few.
async fn read_request(stream: &mut BiStream, room: &Semaphore) -> Result<Vec<u8>, StreamError> {
    // The semaphore is never closed, so a permit always comes.
    let _permit = room.acquire().await.ok();
    within(READ_DEADLINE, stream.read_last_frame(FRAME_BYTES_MAX)).await
}

/// A peer that neither sends nor reads costs its stream, and holds up nothing for ever.
async fn within<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T, StreamError>>,
) -> Result<T, StreamError> {
    let late = StreamError::Deadline { waited_ms: deadline.as_millis() };
    timeout(deadline, work).await.unwrap_or(Err(late))
}

/// A connection is the node's own from its first `Hello`; until then (a steward's check, say) it
/// takes nobody's place.
async fn node(shared: Shared, peer: PeerIdentity, connection: Connection) {
    let name = peer.name().clone();
    let ticket = Arc::new(std::sync::OnceLock::new());
    let room = Arc::new(Semaphore::new(READS_AT_ONCE_MAX));
    while let Ok(stream) = connection.accept_bi().await {
        let (shared, name) = (shared.clone(), name.clone());
        let (connection, ticket) = (connection.clone(), ticket.clone());
        let room = Arc::clone(&room);
        tokio::spawn(async move {
            let told = node_stream(shared, name, &connection, &ticket, &room, stream);
            if let Err(error) = told.await {
                tracing::warn!(%error, "node stream");
            }
        });
    }
    if let Some(ticket) = ticket.get()
        && shared.hub.leave(&name, *ticket)
    {
        note_seen(&shared, &name, false).await;
        tracing::info!(node = %name, "left");
    }
}

async fn node_stream(
    shared: Shared,
    name: Name,
    connection: &Connection,
    ticket: &std::sync::OnceLock<u64>,
    room: &Semaphore,
    mut stream: BiStream,
) -> Result<(), StreamError> {
    let bytes = read_request(&mut stream, room).await?;
    let Ok(report) = cloister_wire::decode::<NodeReport>(&bytes) else {
        tracing::warn!(node = %name, "unknown message; use the same version of Cloister on both sides");
        connection.close(CloseReason::Misbehaved);
        return Ok(());
    };
    if matches!(report, NodeReport::Hello { .. }) {
        ticket.get_or_init(|| {
            tracing::info!(node = %name, "connected");
            // Joined first: a run that starts in between is pushed twice rather than not at all.
            let ticket = shared.hub.join(&name, connection.clone());
            tokio::spawn(dispatch::catch_up(shared.clone(), name.clone(), connection.clone()));
            ticket
        });
        note_seen(&shared, &name, true).await;
    }
    // No answer means "not taken": the node keeps the report and sends it again.
    let Some(taken) = dispatch::report(&shared, name, report).await else { return Ok(()) };
    let frame = cloister_wire::encode(&taken).unwrap_or_default();
    within(ANSWER_DEADLINE, stream.answer(&frame)).await
}

async fn person(shared: Shared, peer: PeerIdentity, connection: Connection) {
    let name = peer.name().clone();
    note_seen(&shared, &name, true).await;
    let room = Arc::new(Semaphore::new(READS_AT_ONCE_MAX));
    while let Ok(stream) = connection.accept_bi().await {
        let (shared, name, connection) = (shared.clone(), name.clone(), connection.clone());
        let room = Arc::clone(&room);
        tokio::spawn(async move {
            if let Err(error) = person_stream(shared, name, &connection, &room, stream).await {
                tracing::debug!(%error, "person stream");
            }
        });
    }
    note_seen(&shared, &name, false).await;
}

async fn person_stream(
    shared: Shared,
    name: Name,
    connection: &Connection,
    room: &Semaphore,
    mut stream: BiStream,
) -> Result<(), StreamError> {
    let bytes = read_request(&mut stream, room).await?;
    let message = cloister_wire::decode::<FromPerson>(&bytes);
    // A watcher stays for long; its request need not.
    drop(bytes);
    match message {
        Ok(FromPerson::Watch { request }) => watch(&shared, name, request, stream).await,
        Ok(message) => {
            let answer = answer(&shared, name, message).await;
            let frame = cloister_wire::encode(&answer).or_else(|error| {
                tracing::error!(%error, "an answer that cannot be sent");
                cloister_wire::encode(&ToPerson::Refused(Rejection::TooLarge))
            });
            within(ANSWER_DEADLINE, stream.answer(&frame.unwrap_or_default())).await
        }
        Err(_) => {
            connection.close(CloseReason::Misbehaved);
            Ok(())
        }
    }
}

async fn answer(shared: &Shared, sender: Name, message: FromPerson) -> ToPerson {
    let now_s = shared.now_s();
    let coordinator = shared.name.clone();
    let done = shared
        .on_store(move |store| act(store, &coordinator, &sender, message, now_s))
        .await
        .unwrap_or(Err(RejectionOr(Rejection::Unavailable)));
    match done {
        Ok(Done::Said(answer)) => *answer,
        Ok(Done::Changed { stored, analysis }) => {
            dispatch::offer(shared, analysis).await;
            ToPerson::Stored { digest: stored }
        }
        Ok(Done::Started(run)) => {
            let digest = run.request;
            dispatch::start(shared, run);
            ToPerson::Stored { digest }
        }
        Ok(Done::Results(request, mut file)) => {
            file.progress = shared.hub.with_steps(request, file.progress);
            ToPerson::Results(*file)
        }
        Err(RejectionOr(rejection)) => ToPerson::Refused(rejection),
    }
}

/// What came of a message, and what must follow from it.
enum Done {
    Said(Box<ToPerson>),
    Changed { stored: Digest, analysis: Digest },
    Started(intake::AcceptedRun),
    Results(Digest, Box<RunFile>),
}

fn act(
    store: &Store,
    coordinator: &Name,
    sender: &Name,
    message: FromPerson,
    now_s: i64,
) -> Result<Done, RejectionOr> {
    let said = |answer| Ok(Done::Said(Box::new(answer)));
    match message {
        FromPerson::Publish { agreement } => {
            said(ToPerson::Stored { digest: intake::publish(store, coordinator, &agreement)? })
        }
        FromPerson::Agreements => said(ToPerson::Agreements(store.agreements()?)),
        FromPerson::Submit { analysis, module } => {
            let digest = intake::submit(store, sender, &analysis, module.as_deref(), now_s)?;
            Ok(Done::Changed { stored: digest, analysis: digest })
        }
        FromPerson::List => said(ToPerson::List(intake::list(store, now_s)?)),
        FromPerson::Show { analysis } => {
            let stored = store.analysis(analysis)?.ok_or(Rejection::Unknown)?;
            said(ToPerson::Analysis(AnalysisFile {
                approvals: stored.approvals(),
                agreement: stored.agreement,
                analysis: stored.envelope,
                module: stored.module,
                decisions: store.decisions(analysis)?,
            }))
        }
        FromPerson::Review { approval } => {
            let (stored, analysis) = intake::review(store, sender, &approval, now_s)?;
            Ok(Done::Changed { stored, analysis })
        }
        FromPerson::Run { request } => {
            Ok(Done::Started(intake::request(store, sender, &request, now_s)?))
        }
        FromPerson::Results { request } => {
            Ok(Done::Results(request, Box::new(results(store, sender, request)?)))
        }
        // Answered frame by frame, in `watch`.
        FromPerson::Watch { .. } => Err(Rejection::Malformed.into()),
    }
}

/// Results go to the recipients the approved analysis lists, and to nobody else.
fn results(store: &Store, sender: &Name, request: Digest) -> Result<RunFile, RejectionOr> {
    let run = store.run(request)?.ok_or(Rejection::Unknown)?;
    let (agreement, analysis) = intake::analysis_of(store, run.analysis)?;
    if !analysis.document().recipients.contains(sender) {
        return Err(Rejection::Unknown.into());
    }
    let asked = intake::request_of(store, request)?;
    let asked = intake::round_of(store, &agreement, &analysis, &asked)?;
    let stored = store.analysis(run.analysis)?.ok_or(Rejection::Unknown)?;
    Ok(RunFile {
        used: asked.used.iter().map(cloister_wire::Envelope::to_bytes).collect(),
        approvals: stored.approvals(),
        agreement: stored.agreement,
        analysis: stored.envelope,
        combined: crate::combine::combine(
            &asked.round.shape,
            &analysis.document().nodes,
            &run.releases,
        )?,
        request: run.envelope,
        releases: run.releases,
        progress: run.progress,
    })
}

async fn watch(
    shared: &Shared,
    sender: Name,
    request: Digest,
    mut stream: BiStream,
) -> Result<(), StreamError> {
    let mut changes = shared.hub.watch();
    let mut last: Option<RunProgress> = None;
    loop {
        changes.borrow_and_update();
        let sender = sender.clone();
        let progress = shared
            .on_store(move |store| progress(store, &sender, request))
            .await
            .unwrap_or(Err(RejectionOr(Rejection::Unavailable)));
        let progress = match progress {
            Ok(progress) => shared.hub.with_steps(request, progress),
            Err(RejectionOr(rejection)) => {
                let refused = cloister_wire::encode(&ToPerson::Refused(rejection));
                return within(ANSWER_DEADLINE, stream.answer(&refused.unwrap_or_default())).await;
            }
        };
        if last.as_ref() != Some(&progress) {
            let frame = cloister_wire::encode(&ToPerson::Progress(progress.clone()));
            let frame = frame.unwrap_or_default();
            within(ANSWER_DEADLINE, stream.write_frame(&frame)).await?;
        }
        if progress.done || changes.changed().await.is_err() {
            return stream.finish();
        }
        last = Some(progress);
    }
}

fn progress(store: &Store, sender: &Name, request: Digest) -> Result<RunProgress, RejectionOr> {
    let run = store.run(request)?.ok_or(Rejection::Unknown)?;
    let (_, analysis) = intake::analysis_of(store, run.analysis)?;
    let analysis = analysis.document();
    let may_see = analysis.recipients.contains(sender) || analysis.researcher == *sender;
    if may_see { Ok(run.progress) } else { Err(Rejection::Unknown.into()) }
}
