//! What `cloister-node ledger show` shows: accounts, charges, releases, head. For the steward alone;
//! it holds no figure computed from records, and no released value.

use super::accounts::{self, Account, AccountLine};
use super::fault::LedgerError;
use super::journal::Head;
use super::{ChargeTerms, Ledger, digest, steward};
use cloister_terms::{Budget, Cost, Digest};
use serde::Serialize;

/// The whole ledger at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct LedgerView {
    /// The agreement it is pinned to.
    pub agreement: Option<Digest>,
    /// Whether the steward paused the node.
    pub paused: bool,
    /// Accounts, lifetime first.
    pub accounts: Vec<AccountLine>,
    /// Charges, oldest first.
    pub charges: Vec<ChargeLine>,
    /// Size and last hash of the journal.
    pub journal: Head,
}

/// One charge.
#[derive(Debug, Clone, Serialize)]
pub struct ChargeLine {
    /// Its name.
    pub charge: Digest,
    /// `open`, `released` or `withheld`.
    pub state: String,
    /// The analysis it was made for.
    pub analysis: Digest,
    /// Release epoch.
    pub epoch: u64,
    /// What was debited from each account.
    pub cost: Cost,
    /// When, seconds since 1970 UTC.
    pub charged_at_s: i64,
    /// Attempts so far; 2 after a crash.
    pub attempt: u32,
    /// Requests that this charge answers.
    pub requests: u32,
    /// Digest of the signed release.
    pub release: Option<Digest>,
}

impl Ledger {
    /// Everything in the ledger, read in one snapshot.
    pub fn view(&self) -> Result<LedgerView, LedgerError> {
        self.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let analysis = Digest::new([0; 32]);
            Ok(LedgerView {
                agreement: steward::pinned(&snapshot)?,
                paused: steward::standing(&snapshot, analysis)?.paused,
                accounts: accounts::lines(&snapshot)?,
                charges: charges(&snapshot)?,
                journal: self.journal.head(&snapshot)?,
            })
        })
    }

    /// What is left of the lifetime account of `unit_namespace` under `caps`.
    pub fn left(
        &self,
        unit_namespace: &cloister_terms::Name,
        caps: Budget,
    ) -> Result<Budget, LedgerError> {
        self.left_of(&Account::Lifetime(unit_namespace.clone()), caps)
    }

    /// What is left of `account` under `cap`.
    pub(crate) fn left_of(&self, account: &Account, cap: Budget) -> Result<Budget, LedgerError> {
        self.read(|connection| Ok(cap.left_after(accounts::spent(connection, account)?)))
    }

    /// Refuses a unit namespace other than the one that was charged here so far: under another name the
    /// same persons would have a second allowance.
    pub fn check_namespace(
        &self,
        unit_namespace: &cloister_terms::Name,
    ) -> Result<(), LedgerError> {
        let lines = self.read(accounts::lines)?;
        let mut lifetime = lines.into_iter().filter(|line| line.kind == "lifetime");
        match lifetime.find(|line| line.holder != unit_namespace.as_str()) {
            None => Ok(()),
            Some(line) => Err(LedgerError::OtherNamespace {
                counted: line.holder,
                found: unit_namespace.clone(),
            }),
        }
    }

    /// The journal's head.
    pub fn head(&self) -> Result<Head, LedgerError> {
        self.read(|connection| self.journal.head(connection))
    }
}

fn charges(connection: &rusqlite::Connection) -> Result<Vec<ChargeLine>, LedgerError> {
    let mut rows = connection.prepare(
        "SELECT charges.charge, state, terms, charged_at_s, attempt, releases.digest,
           (SELECT count(*) FROM outbox WHERE outbox.charge = charges.charge)
         FROM charges LEFT JOIN releases ON releases.charge = charges.charge
         ORDER BY charged_at_s, charges.rowid",
    )?;
    let mut rows = rows.query([])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        let terms: String = row.get(2)?;
        let terms: ChargeTerms =
            serde_json::from_str(&terms).map_err(|_| LedgerError::Stored { what: "charge" })?;
        let release: Option<String> = row.get(5)?;
        lines.push(ChargeLine {
            charge: digest(&row.get::<_, String>(0)?, "charge")?,
            state: match (row.get::<_, String>(1)?, &release) {
                (state, None) if state == "released" => "purged".to_owned(),
                (state, _) => state,
            },
            analysis: terms.analysis,
            epoch: terms.epoch,
            cost: terms.cost,
            charged_at_s: row.get(3)?,
            attempt: row.get(4)?,
            requests: row.get(6)?,
            release: release.map(|text| digest(&text, "release")).transpose()?,
        });
    }
    Ok(lines)
}
