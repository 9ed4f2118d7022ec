//! Pause, pin, `ledger show` and `ledger purge`. What is shown is the ledger as proved on opening; nothing here
//! changes a sum.

use super::opened::{Opened, now_s};
use super::words::{date, list, percent, share_percent};
use super::{Printed, Shared};
use crate::agreement::SignedAgreement;
use crate::ledger::accounts::AccountLine;
use crate::ledger::view::{ChargeLine, LedgerView};
use crate::state::read_bounded;
use clap::{Args, Subcommand};
use cloister_terms::Digest;
use cloister_terms::limits::DOCUMENT_BYTES_MAX;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Pause {
    /// Take the pause back
    #[arg(long)]
    resume: bool,
}

impl Pause {
    pub fn run(self, shared: &Shared) -> Printed {
        let opened = Opened::open(shared)?;
        opened.ledger.set_paused(!self.resume, now_s())?;
        Ok(if self.resume {
            "Resumed: granted analyses run again.\n".to_owned()
        } else {
            "Paused: every new run is refused until `cloister-node pause --resume`; runs under way end at their slot.\n".to_owned()
        })
    }
}

#[derive(Debug, Args)]
pub(super) struct Pin {
    /// The agreement, signed by every party
    file: PathBuf,
}

impl Pin {
    pub fn run(self, shared: &Shared) -> Printed {
        let opened = Opened::open(shared)?;
        let bytes = read_bounded(&self.file, (DOCUMENT_BYTES_MAX as u64).saturating_mul(2))?;
        let steward = opened.state.steward_key_file()?.public_key();
        let node = opened.state.node_key_file()?.public_key();
        let agreement = SignedAgreement::open(&bytes, &opened.config.name, &steward, &node)?;
        opened.ledger.pin(agreement.digest(), now_s())?;
        Ok(format!(
            "Adopted agreement `{}` ({}). Put it at {} and start the node again; grants under the old agreement no longer hold.\n",
            agreement.document().name,
            agreement.digest().short(),
            opened.config.agreement.display(),
        ))
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum LedgerCommand {
    /// Show accounts, charges and releases
    Show(Show),
    /// Delete the released bytes of a charge; the same question is charged in full from then on
    Purge(Purge),
}

#[derive(Debug, Args)]
pub(super) struct Purge {
    /// The charge, as `ledger show --verbose` prints it
    charge: Digest,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Show exact budgets and whole digests
    #[arg(long)]
    verbose: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl LedgerCommand {
    pub fn run(self, shared: &Shared) -> Printed {
        let ledger = Opened::open(shared)?.ledger;
        let show = match self {
            Self::Show(show) => show,
            Self::Purge(Purge { charge }) => {
                let gone = if ledger.purge(charge, now_s())? {
                    "is gone from this node"
                } else {
                    "is deleted (the ledger's `-wal` file holds it until every program that reads the ledger, the node too, was stopped once)"
                };
                return Ok(format!(
                    "Purged: what was released under {} {gone}, and the same question costs in full from now on. Whoever got it still has it.\n",
                    charge.short()
                ));
            }
        };
        let view = ledger.view()?;
        if show.json {
            return Ok(format!("{}\n", serde_json::to_string_pretty(&view)?));
        }
        Ok(in_words(&view, show.verbose))
    }
}

fn in_words(view: &LedgerView, verbose: bool) -> String {
    let mut text = String::new();
    if view.paused {
        text += "Paused: every new run is refused.\n\n";
    }
    if view.accounts.is_empty() {
        text += "Nothing was spent yet.\n";
    } else {
        text += "Accounts                                spent       left\n";
    }
    for account in &view.accounts {
        text += &account_line(account, verbose);
    }
    for (at, charge) in view.charges.iter().enumerate() {
        if at == 0 {
            text += "\nCharges\n";
        }
        text += &charge_line(charge, verbose);
    }
    let head = view.journal.hash;
    let head = if verbose { head.to_string() } else { head.short() };
    text + &format!("\nJournal: {} entries, unbroken, head {head}\n", view.journal.size)
}

fn account_line(account: &AccountLine, verbose: bool) -> String {
    let name: String = account.holder.chars().take(24).collect();
    let name = format!("{} {}", account.kind, list([name]));
    if verbose {
        let AccountLine { spent, left, cap, kind, holder } = account;
        return format!("  {kind} {holder}\n    {spent} of {cap} spent, {left} left\n");
    }
    let spent = share_percent(account.spent, account.cap);
    let left = percent(spent.map(|spent| (100.0 - spent).max(0.0)));
    format!("  {name:<36} {:>6}     {left:>6}\n", percent(spent))
}

fn charge_line(charge: &ChargeLine, verbose: bool) -> String {
    let ChargeLine { state, requests, epoch, attempt, .. } = charge;
    let again = if *attempt > 1 { ", run again after a crash" } else { "" };
    let asked = if *requests == 1 { "once".to_owned() } else { format!("{requests} times") };
    let mut text = format!(
        "  {} {} for analysis {}, {state}, epoch {epoch}, asked {asked}{again}\n",
        date(charge.charged_at_s),
        charge.charge.short(),
        charge.analysis.short(),
    );
    if verbose {
        text += &format!("    {} charged; charge {}\n", charge.cost, charge.charge);
        if let Some(release) = charge.release {
            text += &format!("    signed release {release}\n");
        }
    }
    text
}
