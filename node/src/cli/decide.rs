//! What the steward decides by, in plain words, and the decision, signed. The text shown is the one
//! that was checked: planned again here, with every vote verified.

use super::opened::{Opened, now_s, passphrase};
use super::words::{FirstToEnd, date, first_to_end, line, list, percent, share_percent};
use super::{CliError, Printed, Shared};
use crate::admit::{Terms, admit_offer};
use crate::agreement::SignedAgreement;
use crate::ledger::accounts::Account;
use crate::ledger::{Ledger, LedgerError, Offer, OfferLine};
use crate::module_fuel::FuelTime;
use crate::module_words::{module_groups, module_writes};
use clap::Args;
use cloister_dp::{Entropy, SystemEntropy};
use cloister_report::{meaning, printable};
use cloister_sandbox::Workers;
use cloister_terms::limits::TEXT_BYTES_MAX;
use cloister_terms::{
    Act, Analysis, Body, Budget, DOCUMENT_VERSION, Digest, Grant, ModuleBody, Nonce, Verdict,
    check_dates,
};
use cloister_wire::{Envelope, Opened as OpenedDocument, QuorumState, count_approvals};
use std::sync::Arc;

/// Fewest digits of a digest that name an analysis.
const PREFIX_DIGITS_MIN: usize = 4;

#[derive(Debug, Args)]
pub(super) struct Pending {
    /// Show decided analyses too
    #[arg(long)]
    all: bool,
    /// Show exact budgets and the plan's digest
    #[arg(long)]
    verbose: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Pending {
    pub fn run(self, shared: &Shared) -> Printed {
        let opened = Opened::open(shared)?;
        let agreement = opened.agreement()?;
        let terms = terms(&opened, agreement);
        let mut found = Vec::new();
        for offer_line in opened.ledger.offers()? {
            let wanted = self.all || offer_line.granted.is_none() || offer_line.frozen;
            let Some(offer) = opened.ledger.offer(offer_line.analysis)?.filter(|_| wanted) else {
                continue;
            };
            // An offer of an earlier agreement no longer stands.
            if let Ok((analysis, votes)) = check_again(&offer, &terms) {
                let left = Left::of(&opened.ledger, analysis.document(), &terms)?;
                found.push((offer_line, analysis, votes, left));
            }
        }
        if self.json {
            let found = found.iter().map(|(line, analysis, votes, left)| {
                json(line, analysis.document(), votes, &terms, left)
            });
            return Ok(format!("{}\n", serde_json::to_string_pretty(&found.collect::<Vec<_>>())?));
        }
        if found.is_empty() {
            return Ok("No analysis waits for your decision.\n".to_owned());
        }
        let texts = found.iter().map(|(line, analysis, votes, left)| {
            describe(line, analysis.document(), votes, &terms, left, self.verbose)
        });
        let mut text = texts.collect::<Vec<_>>().join("\n");
        text.push_str(
            "\nDecide with `cloister-node grant NAME --reason TEXT` or `cloister-node decline NAME --reason TEXT`.\n",
        );
        Ok(text)
    }
}

#[derive(Debug, Args)]
pub(super) struct Decision {
    /// The analysis: its name, or the first digits of its digest
    analysis: String,
    /// Why, in a sentence; kept and signed
    #[arg(long)]
    reason: String,
}

impl Decision {
    pub fn run(self, shared: &Shared, grants: bool) -> Printed {
        let opened = Opened::open(shared)?;
        if self.reason.trim().is_empty() || self.reason.len() > TEXT_BYTES_MAX {
            return Err(CliError::Reason);
        }
        let terms = terms(&opened, opened.agreement()?);
        let found = find(&opened.ledger.offers()?, &self.analysis)?;
        let missing = || CliError::NoSuchAnalysis(self.analysis.clone());
        let offer = opened.ledger.offer(found.analysis)?.ok_or_else(missing)?;
        let (analysis, _) = check_again(&offer, &terms).map_err(CliError::Offer)?;
        // First the key: whoever types a passphrase may take long over it.
        let key = opened.state.steward_key_file()?.open(&passphrase(shared)?)?;
        let signed_at_s = now_s();
        if grants {
            let agreement = terms.agreement.document();
            check_dates(agreement, Some(analysis.document()), Act::Sign, signed_at_s)?;
        }
        let verdict = if grants { Verdict::Approve } else { Verdict::Reject };
        let grant = Grant {
            version: DOCUMENT_VERSION,
            partner: terms.agreement.own().partner.clone(),
            analysis: found.analysis,
            agreement: terms.agreement.digest(),
            verdict,
            reason: self.reason,
            signed_at_s,
            not_after_s: analysis.document().not_after_s,
            nonce: nonce()?,
        };
        let signed = Envelope::sign(&grant, &key)?.open::<Grant>()?;
        opened.ledger.decide(&signed, signed_at_s)?;
        let did = match (grants, found.frozen) {
            (true, false) => "Granted",
            (true, true) => "Granted, and no longer frozen:",
            (false, _) => "Declined",
        };
        Ok(format!("{did} `{}` ({}).\n", found.name, found.analysis.short()))
    }
}

fn nonce() -> Result<Nonce, CliError> {
    let mut bytes = [0; 16];
    SystemEntropy::new().fill(&mut bytes).map_err(|_| CliError::Entropy)?;
    Ok(Nonce::new(bytes))
}

fn terms(opened: &Opened, agreement: SignedAgreement) -> Terms {
    let (lifetime_caps, release_slot_ms) =
        (opened.config.lifetime_caps, opened.config.release_slot_ms);
    // Nothing runs for a decision; what would run is the node's own.
    let workers = Workers::of_this_program(opened.config.sandbox.require_kernel_isolation);
    Terms { agreement, lifetime_caps, release_slot_ms, workers, remembered: Arc::default() }
}

type Checked = (Arc<OpenedDocument<Analysis>>, QuorumState);

fn check_again(offer: &Offer, terms: &Terms) -> Result<Checked, cloister_terms::Refusal> {
    let analysis = admit_offer(&offer.envelope, offer.module.as_deref(), &offer.approvals, terms)?;
    let votes = count_approvals(terms.agreement.document(), &analysis, &offer.votes(), now_s())?;
    Ok((analysis, votes))
}

/// What is left for an analysis.
struct Left {
    /// Of the lifetime account.
    lifetime: Budget,
    /// Of the account that its runs use up first.
    tightest: Option<Tightest>,
}

/// An account with what is left of it.
struct Tightest {
    kind: &'static str,
    /// Whose, in words.
    of: String,
    cap: Budget,
    left: Budget,
    ends: FirstToEnd,
}

impl Left {
    /// Of the data owner's account, the researcher's and the agreement's, under the cap of each.
    fn of(ledger: &Ledger, analysis: &Analysis, terms: &Terms) -> Result<Self, LedgerError> {
        let (own, digest) = (terms.agreement.own(), terms.agreement.digest());
        let lifetime = Account::Lifetime(own.unit_namespace.clone());
        let mut accounts =
            vec![(lifetime, terms.lifetime_caps, "what may ever be spent".to_owned())];
        if let Some(person) = terms.agreement.document().researcher(&analysis.researcher) {
            let account = Account::Researcher(digest, person.name.clone());
            accounts.push((account, person.caps, format!("what {} may spend here", person.name)));
        }
        let of = "what the agreement may spend here".to_owned();
        accounts.push((Account::Agreement(digest), own.caps, of));
        let cost = analysis.cost_per_run().unwrap_or(analysis.cost_per_round);
        let mut tightest: Option<Tightest> = None;
        for (account, cap, of) in accounts {
            let left = ledger.left_of(&account, cap)?;
            let Some(ends) = first_to_end(cost, left, cap) else { continue };
            if tightest.as_ref().is_none_or(|found| ends.taken >= found.ends.taken) {
                tightest = Some(Tightest { kind: account.kind(), of, cap, left, ends });
            }
        }
        let lifetime = ledger.left(&own.unit_namespace, terms.lifetime_caps)?;
        Ok(Self { lifetime, tightest })
    }
}

impl Tightest {
    fn in_words(&self) -> String {
        let enough =
            if self.ends.taken > 1.0 { "too little for one run" } else { "which ends first" };
        format!("{} is left of {}, {enough}.", percent(Some(self.ends.left_percent)), self.of)
    }
}

/// The one offered analysis of that name or digest prefix.
fn find(offers: &[OfferLine], given: &str) -> Result<OfferLine, CliError> {
    let is_prefix =
        |id: Digest| given.len() >= PREFIX_DIGITS_MIN && id.to_string().starts_with(given);
    let matches: Vec<_> =
        offers.iter().filter(|o| o.name == given || is_prefix(o.analysis)).collect();
    match matches.as_slice() {
        [] => Err(CliError::NoSuchAnalysis(printable(given).chars().take(80).collect())),
        [one] => Ok((*one).clone()),
        many => Err(CliError::Ambiguous { given: printable(given), found: many.len() }),
    }
}

fn state(line: &OfferLine) -> &'static str {
    match (line.granted, line.frozen) {
        (_, true) => "frozen: an earlier run was withheld; grant it again once you know why",
        (None, _) => "waits for your decision",
        (Some(true), _) => "granted",
        (Some(false), _) => "declined",
    }
}

fn describe(
    offer: &OfferLine,
    analysis: &Analysis,
    votes: &QuorumState,
    terms: &Terms,
    left: &Left,
    verbose: bool,
) -> String {
    let agreement = terms.agreement.document();
    let organisation = agreement.researcher(&analysis.researcher).map(|r| r.organisation.as_str());
    let mut text = format!("{} ({}): {}\n", offer.name, offer.analysis.short(), state(offer));
    text += &line("question", &printable(&analysis.question));
    let researcher = analysis.researcher.to_string();
    let by = [Some(researcher.as_str()), organisation];
    text += &line("asked by", &list(by.into_iter().flatten()));
    text += &line("purpose", &printable(&analysis.purpose));
    for used in &analysis.columns {
        text += &line("reads", &format!("{}: {}", used.dataset, list(&used.columns)));
    }
    text += &line("runs", &body(&analysis.body));
    if let Some(fuel) = fuel(&analysis.body) {
        text += &line("fuel", &fuel.to_string());
    }
    if analysis.diagnostics {
        let what = "people who contribute, and people whom the limits touch, each with noise";
        text += &line("also counts", what);
    }
    if analysis.rounds > 1 {
        let what = "a first round that shows which groups there are, and a second one that asks \
                    every partner for all of them";
        text += &line("rounds", what);
    }
    text += &line("asked of", &list(&analysis.nodes));
    text += &line("told to", &list(&analysis.recipients));
    text += &line("cost", &cost(analysis, terms, left));
    if verbose {
        let total = analysis.cost_total().unwrap_or(analysis.cost_per_round);
        let run = analysis.cost_per_run().unwrap_or(analysis.cost_per_round);
        let tightest = left.tightest.as_ref();
        let left = tightest.map(|found| format!("; {} left of {}", found.left, found.of));
        let exact = format!("{run} a run, {total} in all{}", left.unwrap_or_default());
        text += &line("exactly", &exact);
        text += &line("plan", &analysis.plan.to_string());
    }
    let dates = format!("{} until {}", date(analysis.not_before_s), date(analysis.not_after_s));
    text += &line("dates", &dates);
    text += &line("approvals", &approvals(votes, terms));
    text
}

fn body(body: &Body) -> String {
    match body {
        Body::Sql { text } => {
            // Line by line: escaping a line break would hide the query's form.
            text.lines().map(printable).collect::<Vec<_>>().join("\n")
        }
        Body::Module(module) => {
            let rows: Vec<_> = module.rows.lines().map(printable).collect();
            let gives = module.contributions();
            let gives: Vec<_> = gives.iter().map(|line| printable(line)).collect();
            format!(
                "module {} over\n{}\n{}writing {}\ngiving of one person and group\n{}",
                module.sha256,
                rows.join("\n"),
                groups(module),
                module_writes(module),
                gives.join("\n")
            )
        }
    }
}

/// Its groups, a line each below a heading; nothing where it has none.
fn groups(module: &ModuleBody) -> String {
    let told: String = module.keys.iter().map(|key| module_groups(key) + "\n").collect();
    if told.is_empty() { told } else { format!("in groups by\n{told}") }
}

/// What a module's fuel may come to: the release slot must hold it.
fn fuel(body: &Body) -> Option<FuelTime> {
    match body {
        Body::Sql { .. } => None,
        Body::Module(module) => Some(FuelTime::of(module.fuel_per_person)),
    }
}

fn cost(analysis: &Analysis, terms: &Terms, left: &Left) -> String {
    let caps = terms.lifetime_caps;
    let total = analysis.cost_total().unwrap_or(analysis.cost_per_round);
    format!(
        "{} of what may ever be spent, for one run; {} for all {} that may be asked.\n\
         {}\nAll runs together: {}",
        percent(share_percent(analysis.cost_per_run().unwrap_or(total), caps)),
        percent(share_percent(total, caps)),
        analysis.max_runs,
        left.tightest.as_ref().map(Tightest::in_words).unwrap_or_default(),
        meaning(total),
    )
}

fn approvals(votes: &QuorumState, terms: &Terms) -> String {
    let quorum = terms.agreement.document().quorum;
    let met = if votes.is_met() { "enough" } else { "not enough yet" };
    let mut text = format!(
        "{met}: {} ({} reviewers of {} organisations are needed)",
        list(votes.approved_by()),
        quorum.approvals,
        quorum.organisations,
    );
    if !votes.rejected_by().is_empty() {
        text += &format!("; rejected by {}", list(votes.rejected_by()));
    }
    text
}

fn json(
    offer: &OfferLine,
    analysis: &Analysis,
    votes: &QuorumState,
    terms: &Terms,
    left: &Left,
) -> serde_json::Value {
    let total = analysis.cost_total().unwrap_or(analysis.cost_per_round);
    let said = meaning(total);
    let tightest = left.tightest.as_ref().map(|found| {
        serde_json::json!({
            "account": found.kind, "cap": found.cap, "left": found.left,
            "left_percent": found.ends.left_percent,
        })
    });
    serde_json::json!({
        "analysis": offer.analysis,
        "name": offer.name,
        "granted": offer.granted,
        "frozen": offer.frozen,
        "researcher": analysis.researcher,
        "question": analysis.question,
        "purpose": analysis.purpose,
        "body": analysis.body,
        "fuel": fuel(&analysis.body),
        "columns": analysis.columns,
        "nodes": analysis.nodes,
        "diagnostics": analysis.diagnostics,
        "recipients": analysis.recipients,
        "rounds": analysis.rounds,
        "cost_per_run": analysis.cost_per_run(),
        "cost_total": total,
        "meaning": said.to_string(),
        "lifetime_cap": terms.lifetime_caps,
        "lifetime_left": left.lifetime,
        "ends_first": tightest,
        "max_runs": analysis.max_runs,
        "not_before_s": analysis.not_before_s,
        "not_after_s": analysis.not_after_s,
        "approved_by": votes.approved_by(),
        "rejected_by": votes.rejected_by(),
        "quorum_met": votes.is_met(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modules_fuel_is_told_with_what_it_takes() {
        let body = serde_json::json!({ "module": {
            "sha256": Digest::new([1; 32]), "rows": "SELECT n FROM trips", "keys": [], "lanes": [],
            "numbers": "int", "outputs": "sparse", "fuel_per_person": 1_000_000 } });
        let told = fuel(&serde_json::from_value(body).unwrap()).unwrap();
        assert_eq!(told, FuelTime::of(1_000_000));
        assert!(told.to_string().starts_with("1000000 for each person"), "{told}");
        assert!(fuel(&Body::Sql { text: String::new() }).is_none());
    }

    #[test]
    fn a_module_is_told_with_its_whole_digest_its_groups_and_what_it_writes() {
        let (digest, towns) = (Digest::new([1; 32]), ["a\nb", "c", "d", "e"]);
        let towns = towns.map(|town| serde_json::json!({ "text": town }));
        let of = serde_json::json!({ "module": {
            "sha256": digest, "rows": "SELECT n FROM trips",
            "keys": [{ "name": "town", "values": towns }], "lanes": [],
            "numbers": "float", "outputs": "dense", "fuel_per_person": 1_000_000 } });
        let told = body(&serde_json::from_value(of).unwrap());
        let want = format!(
            "module {digest} over\nSELECT n FROM trips\nin groups by\ntown: 4 values: a\\u{{a}}b, c, d, ...\nwriting floats, for all places in order\ngiving of one person and group\n"
        );
        assert_eq!(told, want);
    }

    fn offer(name: &str, byte: u8) -> OfferLine {
        let analysis = Digest::new([byte; 32]);
        OfferLine { analysis, name: name.into(), granted: None, frozen: false }
    }

    #[test]
    fn analyses_are_named_by_name_or_prefix_and_never_guessed() {
        let offers = [offer("trips", 0xab), offer("cards", 0xac), offer("trips", 0xcd)];
        assert_eq!(find(&offers, "cards").unwrap().analysis, Digest::new([0xac; 32]));
        assert_eq!(find(&offers, "cdcd").unwrap().name, "trips");
        assert!(matches!(find(&offers, "trips"), Err(CliError::Ambiguous { found: 2, .. })));
        for none in ["", "ab", "zzzz", "card"] {
            assert!(matches!(find(&offers, none), Err(CliError::NoSuchAnalysis(_))), "{none}");
        }
    }
}
