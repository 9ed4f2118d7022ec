//! Ledgers that lack a defence, for the tests that must miss it. Only in test builds.

use super::fault::LedgerError;
use super::{ChargeId, ChargeTerms, Ledger};
use crate::mutant::Mutant;
use cloister_plan::ContributionPlan;
use cloister_terms::Name;
use rusqlite::{Transaction, params};

impl Ledger {
    /// The same ledger, which lacks a defence from now on.
    pub fn lacking(self, mutant: Mutant) -> Self {
        Self { mutant: Some(mutant), ..self }
    }

    /// Whose lifetime account a charge debits.
    pub(super) fn lifetime_holder<'a>(
        &self,
        namespace: &'a Name,
        plan: &'a ContributionPlan,
    ) -> &'a Name {
        let is_per_dataset = self.mutant == Some(Mutant::AccountPerDataset);
        let table = plan.tables.first().filter(|_| is_per_dataset);
        table.map_or(namespace, |table| &table.dataset)
    }

    /// Gives a withheld charge back, where refunds are on.
    pub(super) fn refund(
        &self,
        transaction: &Transaction<'_>,
        charge: ChargeId,
    ) -> Result<(), LedgerError> {
        if self.mutant != Some(Mutant::RefundOnFailure) {
            return Ok(());
        }
        let terms: String = transaction.query_row(
            "SELECT terms FROM charges WHERE charge = ?",
            [charge.to_string()],
            |row| row.get(0),
        )?;
        let terms: ChargeTerms =
            serde_json::from_str(&terms).map_err(|_| LedgerError::Stored { what: "charge" })?;
        let units = |units: u64| i64::try_from(units).unwrap_or(i64::MAX);
        transaction.execute(
            "UPDATE accounts SET epsilon = epsilon - ?, rho = rho - ?, delta = delta - ?
             WHERE kind = 'lifetime' AND holder = ?",
            params![
                units(terms.cost.epsilon.units()),
                units(terms.cost.rho.units()),
                units(terms.cost.delta.units()),
                terms.unit_namespace.as_str()
            ],
        )?;
        Ok(())
    }
}
