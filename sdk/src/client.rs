//! The connection to the coordinator: one message, one answer. A refusal becomes an error that says
//! what to do.

use crate::home::{Home, HomeError};
use cloister_net::{BiStream, ConnectError, Connection, FRAME_BYTES_MAX, StreamError};
use cloister_terms::{Agreement, Digest};
use cloister_wire::dsse::{Envelope, Opened};
use cloister_wire::message::{AnalysisLine, FromPerson, Rejection, RunProgress, ToPerson};
use cloister_wire::{CodecError, ProofError};
use std::net::SocketAddr;
use std::time::Duration;

/// Longest an answer may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// A connection to the coordinator.
#[derive(Debug, Clone)]
pub struct Client(Connection);

/// Why the coordinator did not answer as asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The person's folder is unusable.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The coordinator's address is none, or its name is not known.
    #[error("`{0}` cannot be looked up: give host:port")]
    Address(String),
    /// No connection.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// The connection broke.
    #[error("the connection to the coordinator broke: {0}; try again")]
    Stream(#[from] StreamError),
    /// The answer is not one.
    #[error("the coordinator's answer: {0}")]
    Codec(#[from] CodecError),
    /// The coordinator said no.
    #[error("the coordinator refuses: {0}")]
    Refused(Rejection),
    /// It answered something else.
    #[error(
        "the coordinator gave an unexpected answer: use the same version of Cloister on both sides"
    )]
    Unexpected,
    /// A document it sent does not hold.
    #[error("a document from the coordinator does not hold: {0}")]
    Proof(#[from] ProofError),
    /// No analysis, or several, of that name or digest.
    #[error(
        "{found} analyses match `{wanted}`: name one of `cloister status`, or more digits of its digest"
    )]
    NotOne {
        /// What was asked for.
        wanted: String,
        /// How many match.
        found: usize,
    },
    /// No agreement, or several, of that name or digest.
    #[error(
        "{found} agreements match `{wanted}`: name one with --agreement FILE, or publish it first"
    )]
    Agreement {
        /// What was asked for.
        wanted: String,
        /// How many match.
        found: usize,
    },
    /// An analysis that never ran.
    #[error("the analysis has no run yet: ask for one with `cloister run`")]
    NoRun,
}

impl Client {
    /// Connects with the certificate of `home`.
    pub async fn connect(home: &Home) -> Result<Self, ClientError> {
        let (profile, identity) = (home.profile()?, home.identity()?);
        let addresses = look_up(&profile.coordinator).await?;
        Ok(Self(cloister_net::connect(&addresses, &identity).await?))
    }

    /// Takes leave, so that the coordinator does not keep the connection until it times out.
    pub async fn close(self) {
        self.0.close_and_flush(cloister_net::CloseReason::Done).await;
    }

    /// Sends `message`; a refusal is an error.
    pub async fn ask(&self, message: &FromPerson) -> Result<ToPerson, ClientError> {
        let request = cloister_wire::encode(message)?;
        let answer = self.0.call(&request, FRAME_BYTES_MAX, ANSWER_DEADLINE).await?;
        match cloister_wire::decode(&answer)? {
            ToPerson::Refused(rejection) => Err(ClientError::Refused(rejection)),
            answer => Ok(answer),
        }
    }

    /// Sends a document to be stored; its digest.
    pub async fn store(&self, message: &FromPerson) -> Result<Digest, ClientError> {
        match self.ask(message).await? {
            ToPerson::Stored { digest } => Ok(digest),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// All analyses.
    pub async fn analyses(&self) -> Result<Vec<AnalysisLine>, ClientError> {
        match self.ask(&FromPerson::List).await? {
            ToPerson::List(lines) => Ok(lines),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// The one analysis of that name or digest prefix.
    pub async fn analysis(&self, wanted: &str) -> Result<AnalysisLine, ClientError> {
        let mut found: Vec<AnalysisLine> = self
            .analyses()
            .await?
            .into_iter()
            .filter(|line| matches(wanted, line.name.as_str(), line.analysis))
            .collect();
        match (found.pop(), found.len()) {
            (Some(line), 0) => Ok(line),
            (last, rest) => {
                let found = rest + usize::from(last.is_some());
                Err(ClientError::NotOne { wanted: wanted.into(), found })
            }
        }
    }

    /// The one published agreement of that name or digest prefix (any, when there is one only).
    pub async fn agreement(&self, wanted: Option<&str>) -> Result<Opened<Agreement>, ClientError> {
        let ToPerson::Agreements(all) = self.ask(&FromPerson::Agreements).await? else {
            return Err(ClientError::Unexpected);
        };
        let mut found = Vec::new();
        for bytes in &all {
            let malformed = |error| ProofError::Envelope { link: "agreement", error };
            let envelope = Envelope::parse(bytes).map_err(malformed)?;
            let opened = cloister_wire::proof::open_agreement(&envelope)?;
            let name = opened.document().name.to_string();
            if wanted.is_none_or(|wanted| matches(wanted, &name, opened.digest())) {
                found.push(opened);
            }
        }
        let count = found.len();
        match (found.pop(), count) {
            (Some(opened), 1) => Ok(opened),
            _ => {
                let wanted = wanted.unwrap_or("any").to_owned();
                Err(ClientError::Agreement { wanted, found: count })
            }
        }
    }

    /// Follows a run until it is done, giving each change to `seen`.
    pub async fn watch(
        &self,
        request: Digest,
        mut seen: impl FnMut(&RunProgress),
    ) -> Result<RunProgress, ClientError> {
        let mut stream: BiStream = self.0.open_bi().await?;
        stream.write_frame(&cloister_wire::encode(&FromPerson::Watch { request })?).await?;
        stream.finish()?;
        loop {
            match cloister_wire::decode(&stream.read_frame(FRAME_BYTES_MAX).await?)? {
                ToPerson::Progress(progress) => {
                    seen(&progress);
                    if progress.done {
                        return Ok(progress);
                    }
                }
                ToPerson::Refused(rejection) => return Err(ClientError::Refused(rejection)),
                _ => return Err(ClientError::Unexpected),
            }
        }
    }
}

/// The addresses of host:port, one at least.
pub async fn look_up(address: &str) -> Result<Vec<SocketAddr>, ClientError> {
    let unknown = || ClientError::Address(address.chars().take(80).collect());
    let found: Vec<_> = tokio::net::lookup_host(address).await.map_err(|_| unknown())?.collect();
    if found.is_empty() { Err(unknown()) } else { Ok(found) }
}

/// Whether `wanted` is the name, or at least eight digits that the digest begins with.
fn matches(wanted: &str, name: &str, digest: Digest) -> bool {
    wanted == name || (wanted.len() >= 8 && digest.to_string().starts_with(wanted))
}
