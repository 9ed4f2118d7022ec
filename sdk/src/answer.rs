//! Answers, computed again from signed releases. Every link is checked before a figure is shown:
//! agreement, analysis, approvals, request, releases. The proof bundle carries them in one file, and
//! checking it needs nothing else.

use cloister_report::{CombineError, Combined, Report, ReportError, ReportOptions};
use cloister_terms::{Agreement, Analysis, Approval, Name, Person, ReleaseRecord, RunRequest};
use cloister_wire::bundle::{BUNDLE_VERSION, BundleError};
use cloister_wire::dsse::{DsseError, Envelope, Opened};
use cloister_wire::message::RunFile;
use cloister_wire::proof::{open_agreement, open_analysis, open_release, open_request};
use cloister_wire::{Bundle, ProofError, Round};
use std::collections::BTreeMap;

/// A verified answer.
#[derive(Debug)]
pub struct Answer {
    /// The agreement.
    pub agreement: Opened<Agreement>,
    /// The analysis.
    pub analysis: Opened<Analysis>,
    /// The request.
    pub request: Opened<RunRequest>,
    /// The round it asks for.
    pub round: Round,
    /// The releases of the round before that it builds on.
    pub used: Vec<Opened<ReleaseRecord>>,
    /// The releases behind it, by node.
    pub releases: Vec<Opened<ReleaseRecord>>,
    /// Partners that were asked and are not behind it.
    pub missing: Vec<Name>,
    /// The table.
    pub report: Report,
    combined: Combined,
    approvals: Vec<Envelope>,
}

/// Why an answer does not hold.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// A link does not hold.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A document does not parse.
    #[error("a document does not parse: {0}")]
    Dsse(#[from] DsseError),
    /// The file is not a bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The analysis cannot be planned.
    #[error("the analysis cannot be planned: {0}")]
    Plan(String),
    /// The releases do not combine.
    #[error("the releases do not combine: {0}")]
    Combine(#[from] CombineError),
    /// The table cannot be made.
    #[error("the table cannot be made: {0}")]
    Report(#[from] ReportError),
    /// Nobody released anything.
    #[error("no partner has released an answer: look at `cloister status` for what each said")]
    Nothing,
    /// The coordinator's sums are not those of the releases it sent.
    #[error(
        "the coordinator's sums are not those of the signed releases: do not use this answer, and tell its operator"
    )]
    OtherSums,
    /// A signature in the file is missing, doubled, not its signer's, or of nobody who must sign.
    #[error(
        "{0}: it carries a signature that does not hold or does not belong there: the file was changed"
    )]
    Signature(&'static str),
    /// The answer in the file is not what the releases give.
    #[error("the answer in the file is not what its signed releases give: the file was changed")]
    OtherAnswer,
    /// The list of missing partners is not what the releases give.
    #[error("the list of missing partners in the file is wrong: the file was changed")]
    OtherMissing,
    /// The file is not byte for byte what its content encodes to.
    #[error("the file is not in the form `cloister results --bundle` writes: it was changed")]
    OtherForm,
}

/// Verifies what the coordinator sent and computes the answer.
pub fn answer_of(file: &RunFile) -> Result<Answer, AnswerError> {
    let envelopes = |list: &[Vec<u8>]| -> Result<Vec<Envelope>, DsseError> {
        list.iter().map(|bytes| Envelope::parse(bytes)).collect()
    };
    let (answer, sums) = compute(
        &Envelope::parse(&file.agreement)?,
        &Envelope::parse(&file.analysis)?,
        &envelopes(&file.approvals)?,
        &Envelope::parse(&file.request)?,
        &envelopes(&file.used)?,
        &envelopes(&file.releases)?,
    )?;
    if sums == file.combined { Ok(answer) } else { Err(AnswerError::OtherSums) }
}

fn compute(
    agreement: &Envelope,
    analysis: &Envelope,
    approvals: &[Envelope],
    request: &Envelope,
    used: &[Envelope],
    releases: &[Envelope],
) -> Result<(Answer, Vec<i128>), AnswerError> {
    let agreement = open_agreement(agreement)?;
    let analysis = open_analysis(&agreement, analysis)?;
    check_plan(agreement.document(), analysis.document())?;
    let (request, quorum) = open_request(&agreement, &analysis, approvals, request)?;
    let round = Round::of(&agreement, &analysis, request.document(), used)?;
    let mut used: Vec<_> = used.iter().map(Envelope::open).collect::<Result<_, _>>()?;
    used.sort_by_key(Opened::<ReleaseRecord>::digest);
    let open = |release| open_release(&agreement, &analysis, request.document(), &round, release);
    let mut opened: Vec<_> = releases.iter().map(open).collect::<Result<_, _>>()?;
    opened.sort_by(|a, b| a.document().node.cmp(&b.document().node));
    if opened.is_empty() {
        return Err(AnswerError::Nothing);
    }
    let asked = &analysis.document().nodes;
    let records = opened.iter().map(Opened::document);
    let combined = Combined::of_releases(&round.shape, asked, records)?;
    let report = cloister_report::report(&round.shape, &combined)?;
    let report = told(report, analysis.document(), used.len());
    let answered = |node: &&Name| opened.iter().any(|r| r.document().node == **node);
    let missing = asked.iter().filter(|node| !answered(node)).cloned().collect();
    // In one order, each once, however they were handed over.
    let mut counted = BTreeMap::new();
    for approval in approvals {
        let digest = approval.open::<Approval>()?.digest();
        if quorum.counted().contains(&digest) {
            counted.entry(digest).or_insert_with(|| approval.clone());
        }
    }
    let approvals = counted.into_values().collect();
    let sums = combined.lanes().to_vec();
    let releases = opened;
    let answer = Answer {
        agreement,
        analysis,
        request,
        round,
        used,
        releases,
        missing,
        report,
        combined,
        approvals,
    };
    Ok((answer, sums))
}

/// Checks that the analysis' text plans to what it says of itself: plan, shape, columns and cost.
/// Reviewers sign by it, and an answer is read by it.
pub fn check_plan(agreement: &Agreement, analysis: &Analysis) -> Result<(), AnswerError> {
    let planned = cloister_plan::replan(&agreement.dictionary, analysis)
        .map_err(|error| AnswerError::Plan(error.to_string()))?;
    let same = planned.digest() == analysis.plan
        && planned.plan.shape == analysis.shape
        && planned.keys_round() == analysis.keys_round.as_ref()
        && planned.columns == analysis.columns
        && planned.cost == analysis.cost_per_round;
    let (link, field) = ("analysis", "plan");
    if same { Ok(()) } else { Err(ProofError::Mismatch { link, field }.into()) }
}

/// The table of a second round says where its groups come from.
pub(crate) fn told(mut report: Report, analysis: &Analysis, found_by: usize) -> Report {
    let first = analysis.keys_round.as_ref().and_then(|first| first.shape.key_threshold());
    if let (Some(threshold), true) = (first, found_by > 0) {
        let (asked, people) = (analysis.nodes.len(), threshold.people);
        report.notes.push(format!(
            "the groups are those that {found_by} of {asked} partners found in a first round, each from {people} people on, counted with noise; others are left out, also of sums over groups"
        ));
    }
    report
}

impl Answer {
    /// The table with free post-processing on request; [`Answer::report`] and the proof stay as they are.
    /// Errors on adjustments of figures that are not there.
    pub fn report_with(&self, options: &ReportOptions) -> Result<Report, ReportError> {
        let report = cloister_report::report_with(&self.round.shape, &self.combined, options)?;
        Ok(told(report, self.analysis.document(), self.used.len()))
    }

    /// The answer with its proof, as a file.
    pub fn bundle(&self) -> Result<Bundle, AnswerError> {
        Ok(Bundle {
            version: BUNDLE_VERSION,
            agreement: self.agreement.envelope().clone(),
            analysis: self.analysis.envelope().clone(),
            approvals: self.approvals.clone(),
            request: self.request.envelope().clone(),
            used: self.used.iter().map(|release| release.envelope().clone()).collect(),
            releases: self.releases.iter().map(|release| release.envelope().clone()).collect(),
            missing: self.missing.clone(),
            answer: self.report.to_json()?,
        })
    }
}

/// Checks a bundle offline: every signature, every link, and that the answer is what the releases
/// give. Any changed byte fails.
pub fn verify_bundle(bytes: &[u8]) -> Result<Answer, AnswerError> {
    let bundle = Bundle::parse(bytes)?;
    if bundle.to_bytes() != bytes {
        return Err(AnswerError::OtherForm);
    }
    let (answer, _) = compute(
        &bundle.agreement,
        &bundle.analysis,
        &bundle.approvals,
        &bundle.request,
        &bundle.used,
        &bundle.releases,
    )?;
    every_signature_holds(&answer)?;
    if bundle.missing != answer.missing {
        return Err(AnswerError::OtherMissing);
    }
    let again = answer.bundle()?;
    if again.answer != bundle.answer {
        return Err(AnswerError::OtherAnswer);
    }
    // Order of releases and approvals, and approvals that do not count.
    if again.to_bytes() == bytes { Ok(answer) } else { Err(AnswerError::OtherForm) }
}

/// A file may carry no signature that means nothing, key hints included.
fn every_signature_holds(answer: &Answer) -> Result<(), AnswerError> {
    let holds = |what, all: bool| if all { Ok(()) } else { Err(AnswerError::Signature(what)) };
    let terms = answer.agreement.document();
    let stewards: Vec<_> = terms.parties.iter().map(|party| party.steward_key).collect();
    holds("agreement", answer.agreement.is_signed_by_exactly(&stewards))?;
    let researcher = terms.researcher(&answer.analysis.document().researcher);
    let researcher: Vec<_> = researcher.map(|person| person.key).into_iter().collect();
    holds("analysis", answer.analysis.is_signed_by_exactly(&researcher))?;
    holds("request", answer.request.is_signed_by_exactly(&researcher))?;
    for release in answer.used.iter().chain(&answer.releases) {
        let party = terms.party(&release.document().node);
        let node: Vec<_> = party.map(|party| party.node_key).into_iter().collect();
        holds("release", release.is_signed_by_exactly(&node))?;
    }
    for approval in &answer.approvals {
        let opened = approval.open::<Approval>()?;
        let named = |person: &&Person| person.name == opened.document().reviewer;
        let reviewer: Vec<_> = terms.reviewers.iter().filter(named).map(|p| p.key).collect();
        holds("approval", opened.is_signed_by_exactly(&reviewer))?;
    }
    Ok(())
}
