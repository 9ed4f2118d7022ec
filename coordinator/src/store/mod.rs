//! What the coordinator keeps, in SQLite: write-ahead log, `synchronous=FULL`, one writer. Documents
//! are stored as the signed envelopes that came in; everything else can be computed from them.

mod documents;
mod enrolment;
mod outcomes;
mod runs;

pub use documents::{StoredAnalysis, StoredVote};
pub use enrolment::{InviteError, Peer, Revoked};
pub use runs::{Moved, RunPut, RunState, StoredRun};

use crate::opened::OpenedDocuments;
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// How long a writer waits for another process (the command line beside the running coordinator).
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Prepared statements that are kept; there are fewer of them.
const STATEMENTS_MAX: usize = 64;

/// Why the store failed. Nothing that was being written is there.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the coordinator's store failed: {0}; check the disk, nothing was written")]
pub struct StoreError(Arc<rusqlite::Error>);

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self(Arc::new(error))
    }
}

/// The store; clones share one connection.
#[derive(Debug, Clone)]
pub struct Store {
    connection: Arc<Mutex<Connection>>,
    opened: Arc<OpenedDocuments>,
    waiting: Arc<outcomes::Waiting>,
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS tokens (
  secret_hash TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL,
  expires_s INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE IF NOT EXISTS certificates (
  serial TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL,
  not_after_s INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE IF NOT EXISTS peers (
  name TEXT PRIMARY KEY, connected INTEGER NOT NULL, seen_s INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS alerts (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at_s INTEGER NOT NULL, what TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS strangers (
  alert INTEGER PRIMARY KEY REFERENCES alerts(seq), hour INTEGER NOT NULL,
  refusal TEXT NOT NULL, times INTEGER NOT NULL, UNIQUE (hour, refusal)) STRICT;
CREATE TABLE IF NOT EXISTS agreements (
  digest TEXT PRIMARY KEY, envelope BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS analyses (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL UNIQUE,
  agreement TEXT NOT NULL REFERENCES agreements(digest),
  researcher TEXT NOT NULL, name TEXT NOT NULL, not_after_s INTEGER NOT NULL,
  envelope BLOB NOT NULL, module BLOB, UNIQUE (researcher, name)) STRICT;
CREATE TABLE IF NOT EXISTS approvals (
  digest TEXT PRIMARY KEY, analysis TEXT NOT NULL REFERENCES analyses(digest),
  reviewer TEXT NOT NULL, verdict TEXT NOT NULL, envelope BLOB NOT NULL,
  UNIQUE (analysis, reviewer, verdict)) STRICT;
CREATE TABLE IF NOT EXISTS decisions (
  analysis TEXT NOT NULL, node TEXT NOT NULL, granted INTEGER NOT NULL,
  PRIMARY KEY (analysis, node)) STRICT;
CREATE TABLE IF NOT EXISTS nonces (
  researcher TEXT NOT NULL, nonce TEXT NOT NULL, request TEXT NOT NULL, PRIMARY KEY (researcher, nonce)) STRICT;
CREATE TABLE IF NOT EXISTS runs (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, request TEXT NOT NULL UNIQUE,
  analysis TEXT NOT NULL REFERENCES analyses(digest), envelope BLOB NOT NULL,
  deadline_ms INTEGER NOT NULL, done INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE IF NOT EXISTS outcomes (
  request TEXT NOT NULL REFERENCES runs(request), node TEXT NOT NULL, state TEXT NOT NULL,
  release BLOB, PRIMARY KEY (request, node)) STRICT;
";

impl Store {
    /// Opens or makes the store at `path`.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::with(Connection::open(path)?)
    }

    /// A store in memory, for tests.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::with(Connection::open_in_memory()?)
    }

    fn with(connection: Connection) -> Result<Self, StoreError> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.execute_batch(SCHEMA)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        let connection = Arc::new(Mutex::new(connection));
        Ok(Self { connection, opened: Arc::default(), waiting: Arc::default() })
    }

    /// Its documents that were opened before.
    pub(crate) fn opened(&self) -> &OpenedDocuments {
        &self.opened
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held rolled its transaction back; the connection is sound.
        self.connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A digest or name that the store itself wrote; anything else is a damaged store.
fn parsed<T: std::str::FromStr>(column: usize, text: &str) -> Result<T, rusqlite::Error> {
    text.parse().map_err(|_| {
        rusqlite::Error::InvalidColumnType(column, text.to_owned(), rusqlite::types::Type::Text)
    })
}
