//! The ledger: what was spent, promised and released, in one SQLite file that several processes may
//! open. Everything is written in immediate transactions that are on disk when they return; a ledger
//! whose journal is broken, or whose sums are not the journal's, is never used.

/// Accounts and caps.
pub mod accounts;
/// What was paid for, as a value.
pub mod charge;
/// The transaction that charges.
mod debit;
/// Why the ledger does not answer.
pub mod fault;
/// The hash-chained journal.
pub mod journal;
/// From open to released or withheld, the outbox, and recovery after a crash.
pub mod release;
/// The tables.
mod schema;
/// Ledgers that lack a defence.
#[cfg(feature = "for-tests")]
mod seams;
/// What the steward decided: grants, offers, pause, pinned agreement.
pub mod steward;
/// What `ledger show` shows.
pub mod view;

pub use charge::{Charge, ChargeId};
pub use debit::{Charged, Room};
pub use fault::LedgerError;
pub use release::{Delivery, Release, Settled, Verdict};
pub use steward::{Offer, OfferLine};

pub(crate) use accounts::Caps;
pub(crate) use charge::ChargeTerms;
pub(crate) use steward::Standing;

use cloister_terms::{Cost, Digest};
use cloister_wire::sha256;
use journal::{ChainedRows, Journal, Proved};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longest wait for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Extension of the file that lies beside a ledger from its making on: where the one is and the other is not,
/// the ledger was lost.
const MARKER: &str = "made";
/// What stands in it.
const MARKER_TEXT: &[u8] = b"A ledger was made beside this file. If it is gone, put it back.\n";

/// Prepared statements that are kept; there are fewer of them.
const STATEMENTS_MAX: usize = 64;

/// Pages of a file on a disk that never fills up.
#[cfg(feature = "for-tests")]
const ANY_PAGES: i64 = 1_073_741_823;

/// The ledger of one unit namespace. Shared by reference; its methods block on the disk.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    journal: Box<dyn Journal>,
    /// `None` after a failed commit: opened and proved anew before the next use.
    connection: Mutex<Option<Connection>>,
    #[cfg(feature = "for-tests")]
    lose_next_commit: std::sync::atomic::AtomicBool,
    /// Most pages of the file, also on a connection that is opened anew.
    #[cfg(feature = "for-tests")]
    pages_max: std::sync::atomic::AtomicI64,
    #[cfg(feature = "for-tests")]
    mutant: Option<crate::mutant::Mutant>,
}

impl Ledger {
    /// Opens or makes the ledger at `path` and proves it: the chain of hashes holds, and what was
    /// spent is the sum of the journal's charges.
    ///
    /// # Errors
    /// [`LedgerError`]; a broken ledger is refused, with what to do.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Self::open_with(path, Box::new(ChainedRows))
    }

    /// As [`Ledger::open`], with another journal.
    pub fn open_with(path: &Path, journal: Box<dyn Journal>) -> Result<Self, LedgerError> {
        let ledger = Self {
            path: path.to_owned(),
            journal,
            connection: Mutex::new(None),
            #[cfg(feature = "for-tests")]
            lose_next_commit: false.into(),
            #[cfg(feature = "for-tests")]
            pages_max: ANY_PAGES.into(),
            #[cfg(feature = "for-tests")]
            mutant: None,
        };
        ledger.read(|_| Ok(()))?;
        Ok(ledger)
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Caps the file at its present size, as a full disk would, until
    /// [`Ledger::empty_disk_for_tests`].
    #[cfg(feature = "for-tests")]
    pub fn fill_disk_for_tests(&self) -> Result<(), LedgerError> {
        let pages = self.read(|connection| {
            // Free pages would still take rows.
            connection.execute_batch("VACUUM")?;
            Ok(connection.query_row("PRAGMA page_count", [], |row| row.get(0))?)
        })?;
        self.cap_pages_for_tests(pages)
    }

    /// Undoes [`Ledger::fill_disk_for_tests`].
    #[cfg(feature = "for-tests")]
    pub fn empty_disk_for_tests(&self) -> Result<(), LedgerError> {
        self.cap_pages_for_tests(ANY_PAGES)
    }

    #[cfg(feature = "for-tests")]
    fn cap_pages_for_tests(&self, pages: i64) -> Result<(), LedgerError> {
        self.pages_max.store(pages, std::sync::atomic::Ordering::SeqCst);
        self.read(|connection| self.cap_pages_of(connection))
    }

    /// SQLite keeps the cap with the connection, and a full disk costs the connection.
    #[cfg(feature = "for-tests")]
    fn cap_pages_of(&self, connection: &Connection) -> Result<(), LedgerError> {
        let pages = self.pages_max.load(std::sync::atomic::Ordering::SeqCst);
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
        Ok(())
    }

    /// Lets the next commit take effect and report failure, as a disk that answers too late does.
    #[cfg(feature = "for-tests")]
    pub fn lose_next_commit_for_tests(&self) {
        self.lose_next_commit.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    /// Runs `f` on the connection, outside any transaction of its own.
    fn read<T>(
        &self,
        f: impl FnOnce(&Connection) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut held = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match held.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let result = f(&connection);
        *held = Some(connection);
        result
    }

    /// Runs `f` in one immediate transaction; everything it wrote is on disk when this returns, or
    /// nothing is.
    fn write<T, E: From<LedgerError>>(
        &self,
        f: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut held = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match held.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let transaction = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)
            .map_err(LedgerError::from)?;
        let result = f(&transaction);
        let result = match result {
            Err(error) => {
                let rolled_back = transaction.rollback();
                if rolled_back.is_ok() {
                    *held = Some(connection);
                }
                return Err(error);
            }
            Ok(value) => self.commit(transaction).map(|()| value),
        };
        // After a failed commit the connection is dropped, and with it all that it believed.
        let value = result?;
        *held = Some(connection);
        Ok(value)
    }

    fn commit(&self, transaction: Transaction<'_>) -> Result<(), LedgerError> {
        transaction.commit().map_err(LedgerError::CommitUnknown)?;
        #[cfg(feature = "for-tests")]
        if self.lose_next_commit.swap(false, std::sync::atomic::Ordering::SeqCst) {
            return Err(LedgerError::CommitUnknown(rusqlite::Error::InvalidQuery));
        }
        Ok(())
    }

    fn connect(&self) -> Result<Connection, LedgerError> {
        let marker = marker_of(&self.path);
        let was_made = marker.symlink_metadata().is_ok();
        // Opening makes the file.
        if was_made && !self.path.exists() {
            return Err(self.missing());
        }
        let connection = Connection::open(&self.path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        self.check_format(&connection, was_made)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON;",
        )?;
        let snapshot = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
        let version: i64 = snapshot.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match version {
            0 => {
                snapshot.execute_batch(schema::SCHEMA)?;
                snapshot.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
            }
            1 => snapshot.execute_batch(schema::FROM_VERSION_1)?,
            _ => {}
        }
        if version != schema::SCHEMA_VERSION {
            snapshot.pragma_update(None, "user_version", schema::SCHEMA_VERSION)?;
        }
        let proved = self.journal.prove(&snapshot)?;
        check_sums(&snapshot, &proved)?;
        check_charges(&snapshot, &proved)?;
        snapshot.commit()?;
        // After the commit, so that no crash leaves one without the other; older ledgers get theirs here.
        if !was_made {
            mark(&marker)?;
        }
        #[cfg(feature = "for-tests")]
        self.cap_pages_of(&connection)?;
        Ok(connection)
    }

    fn missing(&self) -> LedgerError {
        LedgerError::Missing { path: self.path.display().to_string() }
    }

    /// Refuses a file that is not a ledger of this version, or an empty one where a ledger was made, before
    /// anything is written to it.
    fn check_format(&self, connection: &Connection, was_made: bool) -> Result<(), LedgerError> {
        let foreign = || LedgerError::NotALedger { path: self.path.display().to_string() };
        let pragma = |name: &str| -> rusqlite::Result<i64> {
            connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
        };
        let application =
            pragma("application_id").map_err(|error| match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::NotADatabase) => foreign(),
                _ => LedgerError::Sqlite(error),
            })?;
        let version = pragma("user_version")?;
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        match (application, version) {
            (0, 0) if tables == 0 && was_made => Err(self.missing()),
            (0, 0) if tables == 0 => Ok(()),
            (schema::APPLICATION_ID, 1 | schema::SCHEMA_VERSION) => Ok(()),
            (schema::APPLICATION_ID, found) => {
                Err(LedgerError::Version { found, wanted: schema::SCHEMA_VERSION })
            }
            _ => Err(foreign()),
        }
    }
}

/// Where it is noted that the ledger of this file was made.
pub(crate) fn marker_of(ledger: &Path) -> PathBuf {
    ledger.with_extension(MARKER)
}

/// Notes on the disk that a ledger was made.
fn mark(marker: &Path) -> Result<(), LedgerError> {
    let written = (|| {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(marker)?;
        file.write_all(MARKER_TEXT)?;
        file.sync_all()?;
        let folder = marker.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    })();
    written.map_err(|cause| LedgerError::Marker { path: marker.display().to_string(), cause })
}

/// Every account equals the sum of the journal's charges, and there is no other account.
fn check_sums(connection: &Connection, proved: &Proved) -> Result<(), LedgerError> {
    let named = |(account, sum): (&accounts::Account, &Cost)| {
        ((account.kind().to_owned(), account.holder()), *sum)
    };
    let mut sums: BTreeMap<(String, String), Cost> = proved.spent.iter().map(named).collect();
    for line in accounts::lines(connection)? {
        let account = (line.kind, line.holder);
        if sums.remove(&account) != Some(line.spent) {
            let (kind, holder) = account;
            return Err(LedgerError::SpentMismatch { kind, holder });
        }
    }
    // One that was deleted.
    match sums.into_keys().next() {
        Some((kind, holder)) => Err(LedgerError::SpentMismatch { kind, holder }),
        None => Ok(()),
    }
}

/// Every charge and release of the tables is the journal's.
fn check_charges(connection: &Connection, proved: &Proved) -> Result<(), LedgerError> {
    let mut rows = connection.prepare(
        "SELECT charges.charge, state, releases.digest FROM charges
         LEFT JOIN releases ON releases.charge = charges.charge",
    )?;
    let mut rows = rows.query([])?;
    let mut found = 0usize;
    while let Some(row) = rows.next()? {
        let (charge, state): (String, String) = (row.get(0)?, row.get(1)?);
        let stored: Option<String> = row.get(2)?;
        let known = charge.parse::<Digest>().ok().filter(|id| proved.charges.contains_key(id));
        let is_purged = known.is_some_and(|id| proved.purged.contains(&id));
        let kept = known.and_then(|id| proved.releases.get(&id)).filter(|_| !is_purged);
        let is_released = state == "released";
        let journal = kept.map(Digest::to_string);
        if known.is_none() || stored != journal || is_released != (stored.is_some() || is_purged) {
            return Err(LedgerError::ChargeMismatch { charge });
        }
        found += 1;
    }
    if found != proved.charges.len() {
        return Err(LedgerError::ChargeMismatch { charge: "that was deleted".to_owned() });
    }
    Ok(())
}

/// A digest as stored.
fn digest(text: &str, what: &'static str) -> Result<Digest, LedgerError> {
    text.parse().map_err(|_| LedgerError::Stored { what })
}

/// Reads one of the small facts kept beside the tables.
fn meta(connection: &Connection, key: &str) -> Result<Option<String>, LedgerError> {
    Ok(connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?")?
        .query_row([key], |row| row.get(0))
        .optional()?)
}

/// Keeps one of the small facts.
fn set_meta(transaction: &Transaction<'_>, key: &str, value: &str) -> Result<(), LedgerError> {
    transaction
        .prepare_cached(
            "INSERT INTO meta(key, value) VALUES (?1, ?2)
             ON CONFLICT(key) DO UPDATE SET value = ?2",
        )?
        .execute([key, value])?;
    Ok(())
}

/// Key of the clock's high-water mark.
const CLOCK_KEY: &str = "clock_high_water_s";

/// The latest second this ledger has seen.
fn high_water_s(connection: &Connection) -> Result<i64, LedgerError> {
    let kept = meta(connection, CLOCK_KEY)?;
    kept.map_or(Ok(i64::MIN), |text| {
        text.parse().map_err(|_| LedgerError::Stored { what: "clock" })
    })
}

/// Raises the clock's high-water mark; it never falls.
fn raise_high_water(transaction: &Transaction<'_>, now_s: i64) -> Result<(), LedgerError> {
    if now_s > high_water_s(transaction)? {
        set_meta(transaction, CLOCK_KEY, &now_s.to_string())?;
    }
    Ok(())
}

/// SHA-256 of stored bytes, as stored beside them.
fn digest_text(bytes: &[u8]) -> String {
    sha256(bytes).to_string()
}
