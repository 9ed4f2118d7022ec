//! Runs and what came of them at each node. A state only moves forward: a release that is here is
//! never replaced, whatever a node says later.

use super::{Store, StoreError, parsed};
use cloister_terms::{Digest, Name, RunRequest};
use cloister_wire::message::{NodeState, RunProgress};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

/// One run as stored.
#[derive(Debug, Clone)]
pub struct StoredRun {
    /// Digest of the analysis document.
    pub analysis: Digest,
    /// The request's envelope.
    pub envelope: Vec<u8>,
    /// When missing nodes count as late, milliseconds since 1970 UTC.
    pub deadline_ms: i64,
    /// Where it stands.
    pub progress: RunProgress,
    /// Signed releases, as envelopes, in the order of the nodes' names.
    pub releases: Vec<Vec<u8>>,
}

/// A state with the release it may carry.
#[derive(Debug, Clone)]
pub enum RunState {
    /// A state without a release.
    Plain(NodeState),
    /// A verified release (envelope).
    Released(Vec<u8>),
}

/// What became of a node's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// It moved forward.
    Forward,
    /// It stood there or further already, or the run does not ask this node.
    Not,
    /// There is no such run.
    Unknown,
}

/// What became of a run that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunPut {
    /// It is new.
    Stored,
    /// This very request is there already.
    Known,
    /// Another request of this researcher has its nonce; every node would take it for a replay.
    NonceUsed,
}

impl Store {
    /// Stores a run of `asked`, whose document has digest `request`, with every asked node `Away`.
    pub fn put_run(
        &self,
        request: Digest,
        asked: &RunRequest,
        envelope: &[u8],
        nodes: &[Name],
        deadline_ms: i64,
    ) -> Result<RunPut, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (researcher, nonce) = (asked.researcher.as_str(), asked.nonce.to_string());
        let sql = "INSERT OR IGNORE INTO nonces (researcher, nonce, request) VALUES (?1, ?2, ?3)";
        transaction.prepare_cached(sql)?.execute(params![
            researcher,
            nonce,
            request.to_string()
        ])?;
        let sql = "SELECT request FROM nonces WHERE researcher = ?1 AND nonce = ?2";
        let holder: String = transaction
            .prepare_cached(sql)?
            .query_row(params![researcher, nonce], |row| row.get(0))?;
        if holder != request.to_string() {
            return Ok(RunPut::NonceUsed);
        }
        let sql = "INSERT OR IGNORE INTO runs (request, analysis, envelope, deadline_ms)
             VALUES (?1, ?2, ?3, ?4)";
        let analysis = asked.analysis.to_string();
        let values = params![request.to_string(), analysis, envelope, deadline_ms];
        if transaction.prepare_cached(sql)?.execute(values)? == 0 {
            return Ok(RunPut::Known);
        }
        let away = state_text(NodeState::Away);
        for node in nodes {
            transaction
                .prepare_cached("INSERT INTO outcomes (request, node, state) VALUES (?1, ?2, ?3)")?
                .execute(params![request.to_string(), node.as_str(), away])?;
        }
        transaction.commit()?;
        Ok(RunPut::Stored)
    }

    /// Ends a run at its deadline: nodes that have not answered are late.
    pub fn end_run(&self, request: Digest) -> Result<(), StoreError> {
        let pending: Vec<Name> = match self.run(request)? {
            Some(run) => run
                .progress
                .nodes
                .iter()
                .filter(|(_, s)| !is_final(*s))
                .map(|(n, _)| n.clone())
                .collect(),
            None => return Ok(()),
        };
        for node in pending {
            self.set_outcome(request, &node, &RunState::Plain(NodeState::Late))?;
        }
        Ok(())
    }

    /// One run.
    pub fn run(&self, request: Digest) -> Result<Option<StoredRun>, StoreError> {
        let connection = self.lock();
        let sql = "SELECT analysis, envelope, deadline_ms, done FROM runs WHERE request = ?1";
        let found = connection
            .prepare_cached(sql)?
            .query_row([request.to_string()], |row| {
                let analysis = parsed(0, &row.get::<_, String>(0)?)?;
                Ok((analysis, row.get(1)?, row.get(2)?, row.get::<_, bool>(3)?))
            })
            .optional()?;
        let Some((analysis, envelope, deadline_ms, done)) = found else { return Ok(None) };
        let outcomes = outcomes_of(&connection, request)?;
        let releases = outcomes.iter().filter_map(|(_, _, release)| release.clone()).collect();
        let nodes = outcomes.into_iter().map(|(node, state, _)| (node, state)).collect();
        let progress = RunProgress { nodes, done };
        Ok(Some(StoredRun { analysis, envelope, deadline_ms, progress, releases }))
    }

    /// Digests of the runs of an analysis, oldest first.
    pub fn runs_of(&self, analysis: Digest) -> Result<Vec<Digest>, StoreError> {
        self.run_digests(
            "SELECT request FROM runs WHERE analysis = ?1 ORDER BY seq",
            &analysis.to_string(),
        )
    }

    /// Digests of the runs that are not done.
    pub fn open_runs(&self) -> Result<Vec<Digest>, StoreError> {
        self.run_digests("SELECT request FROM runs WHERE done = 0 AND ?1 = '' ORDER BY seq", "")
    }

    fn run_digests(&self, sql: &str, parameter: &str) -> Result<Vec<Digest>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([parameter], |row| parsed(0, &row.get::<_, String>(0)?))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Moves one node's state forward. Marks the run done when all are final.
pub(super) fn move_forward(
    connection: &Connection,
    request: Digest,
    node: &Name,
    state: &RunState,
) -> Result<Moved, StoreError> {
    let (new, release) = match state {
        RunState::Plain(state) => (*state, None),
        RunState::Released(release) => (NodeState::Released, Some(release)),
    };
    let sql = "SELECT state FROM outcomes WHERE request = ?1 AND node = ?2";
    let old = connection
        .prepare_cached(sql)?
        .query_row(params![request.to_string(), node.as_str()], |row| {
            state_of(&row.get::<_, String>(0)?)
        })
        .optional()?;
    let Some(old) = old else {
        let is_known = connection
            .prepare_cached("SELECT 1 FROM runs WHERE request = ?1")?
            .exists([request.to_string()])?;
        return Ok(if is_known { Moved::Not } else { Moved::Unknown });
    };
    if rank(new) <= rank(old) {
        return Ok(Moved::Not);
    }
    let sql = "UPDATE outcomes SET state = ?3, release = ?4 WHERE request = ?1 AND node = ?2";
    let values = params![request.to_string(), node.as_str(), state_text(new), release];
    connection.prepare_cached(sql)?.execute(values)?;
    finish_if_final(connection, request)?;
    Ok(Moved::Forward)
}

fn finish_if_final(connection: &Connection, request: Digest) -> Result<(), StoreError> {
    let mut states = connection.prepare_cached("SELECT state FROM outcomes WHERE request = ?1")?;
    let mut states = states.query_map([request.to_string()], |row| {
        Ok(is_final(state_of(&row.get::<_, String>(0)?)?))
    })?;
    let all_final = states.try_fold(true, |all, is_final| is_final.map(|this| all && this))?;
    if all_final {
        connection
            .prepare_cached("UPDATE runs SET done = 1 WHERE request = ?1")?
            .execute([request.to_string()])?;
    }
    Ok(())
}

type OutcomeRow = (Name, NodeState, Option<Vec<u8>>);

fn outcomes_of(connection: &Connection, request: Digest) -> Result<Vec<OutcomeRow>, StoreError> {
    let sql = "SELECT node, state, release FROM outcomes WHERE request = ?1 ORDER BY node";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([request.to_string()], |row| {
        let state = state_of(&row.get::<_, String>(1)?)?;
        Ok((parsed(0, &row.get::<_, String>(0)?)?, state, row.get(2)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn state_text(state: NodeState) -> String {
    serde_json::to_string(&state).unwrap_or_default()
}

fn state_of(text: &str) -> Result<NodeState, rusqlite::Error> {
    serde_json::from_str(text).map_err(|_| {
        rusqlite::Error::InvalidColumnType(0, text.to_owned(), rusqlite::types::Type::Text)
    })
}

/// Whether nothing more is expected of the node.
fn is_final(state: NodeState) -> bool {
    rank(state) >= 3
}

/// States only move to a higher rank. A late node may still deliver; nothing outranks a release.
fn rank(state: NodeState) -> u8 {
    match state {
        NodeState::Away => 0,
        NodeState::Sent => 1,
        NodeState::Admitted => 2,
        NodeState::Late => 3,
        NodeState::Refused(_) | NodeState::Excluded => 4,
        NodeState::Withheld => 5,
        NodeState::Released => 6,
    }
}
