//! Accounts: what each charge debits, in whole units, against caps that stand in columns of their
//! own. A debit either keeps every column of every account within its cap or changes nothing, and
//! no statement here ever lowers a sum.

use super::fault::{LedgerError, Stop};
use cloister_terms::{Budget, Cost, Delta, Digest, Epsilon, Name, Refusal, Rho};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;

/// Whose spending is counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    /// All spending of a unit namespace, for ever: across datasets, agreements and researchers.
    Lifetime(Name),
    /// Spending under one agreement.
    Agreement(Digest),
    /// Spending of one analysis.
    Study(Digest),
    /// Spending of one researcher under one agreement.
    Researcher(Digest, Name),
}

impl Account {
    /// The four accounts that a charge debits.
    pub fn all(
        unit_namespace: &Name,
        agreement: Digest,
        analysis: Digest,
        researcher: &Name,
    ) -> [Self; 4] {
        [
            Self::Lifetime(unit_namespace.clone()),
            Self::Agreement(agreement),
            Self::Study(analysis),
            Self::Researcher(agreement, researcher.clone()),
        ]
    }

    /// `lifetime`, `agreement`, `study` or `researcher`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Lifetime(_) => "lifetime",
            Self::Agreement(_) => "agreement",
            Self::Study(_) => "study",
            Self::Researcher(..) => "researcher",
        }
    }

    /// Whose it is, as stored.
    pub fn holder(&self) -> String {
        match self {
            Self::Lifetime(name) => name.to_string(),
            Self::Agreement(digest) | Self::Study(digest) => digest.to_string(),
            Self::Researcher(agreement, name) => format!("{name} {agreement}"),
        }
    }
}

/// Caps of the four accounts of a charge, from the documents that set them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caps {
    /// The data owner's own, from `node.toml`.
    pub lifetime: Budget,
    /// The agreement's for this partner.
    pub agreement: Budget,
    /// Everything the analysis may cost.
    pub study: Budget,
    /// The agreement's for this researcher.
    pub researcher: Budget,
}

impl Caps {
    fn of(&self, account: &Account) -> Budget {
        match account {
            Account::Lifetime(_) => self.lifetime,
            Account::Agreement(_) => self.agreement,
            Account::Study(_) => self.study,
            Account::Researcher(..) => self.researcher,
        }
    }
}

/// One account as the ledger shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountLine {
    /// `lifetime`, `agreement`, `study` or `researcher`.
    pub kind: String,
    /// Whose it is.
    pub holder: String,
    /// Cap at the last charge.
    pub cap: Budget,
    /// Spent so far, runs in flight included.
    pub spent: Cost,
    /// What is left.
    pub left: Cost,
}

/// Debits `cost` from every account. Errors with [`Refusal::OverBudget`] when one sum would pass its
/// cap or leave its range; the caller's transaction is then rolled back whole.
pub(super) fn debit(
    in_: &Transaction<'_>,
    accounts: &[Account; 4],
    caps: &Caps,
    cost: Cost,
) -> Result<(), Stop> {
    for account in accounts {
        let cap = caps.of(account);
        let sum = spent(in_, account)?.checked_add(cost).ok_or(Refusal::OverBudget)?;
        if !sum.within(cap) {
            return Err(Refusal::OverBudget.into());
        }
        in_.prepare_cached(
            "INSERT INTO accounts(kind, holder, epsilon, rho, delta, cap_epsilon, cap_rho, cap_delta)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT(kind, holder) DO UPDATE SET epsilon = ?3, rho = ?4, delta = ?5,
               cap_epsilon = ?6, cap_rho = ?7, cap_delta = ?8",
        )?
        .execute(params![
            account.kind(),
            account.holder(),
            stored(sum.epsilon.units()),
            stored(sum.rho.units()),
            stored(sum.delta.units()),
            stored(cap.epsilon.units()),
            stored(cap.rho.units()),
            stored(cap.delta.units()),
        ])?;
    }
    Ok(())
}

/// What an account has spent; nothing for one that was never debited.
pub(super) fn spent(in_: &Connection, account: &Account) -> Result<Cost, LedgerError> {
    let row = in_
        .prepare_cached("SELECT epsilon, rho, delta FROM accounts WHERE kind = ? AND holder = ?")?
        .query_row(params![account.kind(), account.holder()], |row| columns(row, 0))
        .optional()?;
    row.map_or(Ok(Cost::ZERO), cost_of)
}

/// All accounts, lifetime first.
pub(super) fn lines(in_: &Connection) -> Result<Vec<AccountLine>, LedgerError> {
    let mut statement = in_.prepare(
        "SELECT kind, holder, epsilon, rho, delta, cap_epsilon, cap_rho, cap_delta FROM accounts
         ORDER BY kind = 'lifetime' DESC, kind, holder",
    )?;
    let rows = statement.query_map([], |row| {
        let names: (String, String) = (row.get(0)?, row.get(1)?);
        Ok((names, columns(row, 2)?, columns(row, 5)?))
    })?;
    rows.map(|row| {
        let ((kind, holder), spent, cap) = row?;
        let (spent, cap) = (cost_of(spent)?, cost_of(cap)?);
        Ok(AccountLine { kind, holder, cap, spent, left: cap.left_after(spent) })
    })
    .collect()
}

fn columns(row: &Row<'_>, at: usize) -> rusqlite::Result<[i64; 3]> {
    Ok([row.get(at)?, row.get(at + 1)?, row.get(at + 2)?])
}

fn cost_of([epsilon, rho, delta]: [i64; 3]) -> Result<Cost, LedgerError> {
    let wrong = || LedgerError::Stored { what: "account" };
    let units = |stored: i64| u64::try_from(stored).map_err(|_| wrong());
    Ok(Cost {
        epsilon: Epsilon::from_units(units(epsilon)?).map_err(|_| wrong())?,
        rho: Rho::from_units(units(rho)?).map_err(|_| wrong())?,
        delta: Delta::from_units(units(delta)?).map_err(|_| wrong())?,
    })
}

/// Units never exceed i64 (see `cloister_terms::budget`).
fn stored(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}
