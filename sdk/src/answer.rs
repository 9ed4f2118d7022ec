//! Answers, computed again from signed releases. Every link is checked before a figure is shown:
//! agreement, analysis, approvals, request, releases. The proof bundle carries them in one file, and
//! checking it needs nothing else.

use cloister_report::{CombineError, Combined, Report, ReportError};
use cloister_terms::{Agreement, Analysis, Name, ReleaseRecord, RunRequest};
use cloister_wire::bundle::{BUNDLE_VERSION, BundleError};
use cloister_wire::dsse::{DsseError, Envelope, Opened};
use cloister_wire::message::RunFile;
use cloister_wire::proof::{open_agreement, open_analysis, open_release, open_request};
use cloister_wire::{Bundle, ProofError};

/// A verified answer.
#[derive(Debug)]
pub struct Answer {
    /// The agreement.
    pub agreement: Opened<Agreement>,
    /// The analysis.
    pub analysis: Opened<Analysis>,
    /// The request.
    pub request: Opened<RunRequest>,
    /// The releases behind it, by node.
    pub releases: Vec<Opened<ReleaseRecord>>,
    /// Partners that were asked and are not behind it.
    pub missing: Vec<Name>,
    /// The table.
    pub report: Report,
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
    /// The releases do not combine.
    #[error("the releases do not combine: {0}")]
    Combine(#[from] CombineError),
    /// The table cannot be made.
    #[error("the table cannot be made: {0}")]
    Report(#[from] ReportError),
    /// Nobody released anything.
    #[error("no partner has released an answer: look at `cloister status` for what each said")]
    Nothing,
    /// A signature in the file does not verify under the key it names.
    #[error("{0}: it carries a signature that does not verify under the key it names")]
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
    compute(
        &Envelope::parse(&file.agreement)?,
        &Envelope::parse(&file.analysis)?,
        &envelopes(&file.approvals)?,
        &Envelope::parse(&file.request)?,
        &envelopes(&file.releases)?,
    )
}

fn compute(
    agreement: &Envelope,
    analysis: &Envelope,
    approvals: &[Envelope],
    request: &Envelope,
    releases: &[Envelope],
) -> Result<Answer, AnswerError> {
    let agreement = open_agreement(agreement)?;
    let analysis = open_analysis(&agreement, analysis)?;
    let (request, quorum) = open_request(&agreement, &analysis, approvals, request)?;
    let open = |release| open_release(&agreement, &analysis, request.document(), release);
    let mut opened: Vec<_> = releases.iter().map(open).collect::<Result<_, _>>()?;
    opened.sort_by(|a, b| a.document().node.cmp(&b.document().node));
    if opened.is_empty() {
        return Err(AnswerError::Nothing);
    }
    let vectors: Vec<(Name, Vec<i128>)> = opened
        .iter()
        .map(|release| release.document())
        .map(|r| (r.node.clone(), r.values.iter().map(|value| value.0).collect()))
        .collect();
    let asked = &analysis.document().nodes;
    let shape = &analysis.document().shape;
    let combined = Combined::new(shape, asked.len(), &vectors)?;
    let report = cloister_report::report(shape, &combined)?;
    let answered = |node: &&Name| opened.iter().any(|r| r.document().node == **node);
    let missing = asked.iter().filter(|node| !answered(node)).cloned().collect();
    let counted = |approval: &&Envelope| {
        approval
            .open::<cloister_terms::Approval>()
            .is_ok_and(|opened| quorum.counted().contains(&opened.digest()))
    };
    let approvals = approvals.iter().filter(counted).cloned().collect();
    Ok(Answer { agreement, analysis, request, releases: opened, missing, report, approvals })
}

impl Answer {
    /// The answer with its proof, as a file.
    pub fn bundle(&self) -> Result<Bundle, AnswerError> {
        Ok(Bundle {
            version: BUNDLE_VERSION,
            agreement: self.agreement.envelope().clone(),
            analysis: self.analysis.envelope().clone(),
            approvals: self.approvals.clone(),
            request: self.request.envelope().clone(),
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
    let answer = compute(
        &bundle.agreement,
        &bundle.analysis,
        &bundle.approvals,
        &bundle.request,
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
    holds("agreement", answer.agreement.has_only_valid_signatures())?;
    holds("analysis", answer.analysis.has_only_valid_signatures())?;
    holds("request", answer.request.has_only_valid_signatures())?;
    for release in &answer.releases {
        holds("release", release.has_only_valid_signatures())?;
    }
    for approval in &answer.approvals {
        let opened = approval.open::<cloister_terms::Approval>()?;
        holds("approval", opened.has_only_valid_signatures())?;
    }
    Ok(())
}
