//! Rows B1 to B6 and B25 with real keys and documents: whose signature counts for what, and that
//! nothing can be changed after it was signed. Each misdeed is offered in otherwise perfect papers.

use cloister_terms::approval::Bound;
use cloister_terms::release::Int;
use cloister_terms::{
    Agreement, Analysis, Approval, DOCUMENT_VERSION, Digest, Nonce, Refusal, ReleaseRecord, Verdict,
};
use cloister_tests::fixtures::{EPOCH_S, NOW_S, key, name};
use cloister_tests::study::{PARTNERS, Study};
use cloister_wire::Round;
use cloister_wire::proof::{open_analysis, open_release, open_request};
use cloister_wire::quorum::QuorumState;
use cloister_wire::{Envelope, Opened, ProofError, count_approvals};
use serde_json::Value;

/// Counts these votes on the study's analysis.
fn counted(study: &Study, votes: &[Envelope]) -> Result<QuorumState, Refusal> {
    count_approvals(&study.federation.document, &study.opened_analysis(), votes, NOW_S)
}

/// A vote on the study's analysis.
fn vote(study: &Study, who: &str) -> Envelope {
    study.federation.vote(who, &study.analysis, Verdict::Approve)
}

/// Whether a request that names these votes is accepted.
fn asked(study: &Study, votes: &[Envelope]) -> Result<(), ProofError> {
    let request = study.federation.request(&study.analysis, votes, 7, NOW_S);
    open_request(&study.agreement(), &study.opened_analysis(), votes, &request).map(|_| ())
}

#[test]
fn the_study_itself_holds() {
    let study = Study::new();
    let state = counted(&study, &study.approvals).unwrap();
    assert!(state.is_met() && state.approved_by().len() == 2 && state.organisations().len() == 2);
    asked(&study, &study.approvals).unwrap();
}

#[test]
fn b01_an_approval_by_an_unknown_key_is_refused() {
    let study = Study::new();
    let forged =
        study.federation.vote_signed_by("rosa", &study.analysis, Verdict::Approve, &key("nobody"));
    let stranger = study.federation.vote("mallory", &study.analysis, Verdict::Approve);
    // Signed by another reviewer in Rosa's name.
    let borrowed = study.federation.vote_signed_by(
        "rosa",
        &study.analysis,
        Verdict::Approve,
        &key("person:rita"),
    );
    // Signed by a steward and by a node: registered keys, but of another role.
    let steward = study.federation.vote_signed_by(
        "rosa",
        &study.analysis,
        Verdict::Approve,
        &key("steward:north"),
    );
    for bad in [forged, stranger, borrowed, steward] {
        let votes = [study.approvals[0].clone(), bad];
        assert_eq!(counted(&study, &votes).unwrap_err(), Refusal::BadSignature);
        let refused = asked(&study, &votes).unwrap_err();
        assert_eq!(refused, ProofError::Approvals(Refusal::BadSignature));
    }
}

#[test]
fn b02_too_few_votes_are_below_quorum() {
    let study = Study::new();
    let below = |votes: &[Envelope]| {
        assert!(!counted(&study, votes).unwrap().is_met());
        assert_eq!(asked(&study, votes), Err(ProofError::BelowQuorum));
    };
    below(&[]);
    below(&[vote(&study, "rita")]);
    // Two reviewers, but of one organisation.
    below(&[vote(&study, "rita"), vote(&study, "ron")]);
    // Three keys of two organisations are enough.
    asked(&study, &["rita", "ron", "rosa"].map(|who| vote(&study, who))).unwrap();
}

#[test]
fn b02_one_person_counts_once_however_often_she_signs() {
    let study = Study::new();
    let first = vote(&study, "rita");
    // The same key in a second document: another nonce, so another digest.
    let opened = first.open::<Approval>().unwrap();
    let again = Approval { nonce: Nonce::new([8; 16]), ..opened.document().clone() };
    let again = Envelope::sign(&again, &key("person:rita")).unwrap();
    let state = counted(&study, &[first.clone(), again, first.clone()]).unwrap();
    assert_eq!((state.approved_by().len(), state.is_met()), (1, false));
    // A second key of hers signs beside the first: one vote still.
    let mut both = first;
    both.add_signature(&key("person:rita-2")).unwrap();
    let state = counted(&study, &[both]).unwrap();
    assert_eq!((state.approved_by().len(), state.is_met()), (1, false));
}

#[test]
fn b02_an_agreement_cannot_register_one_key_or_name_twice() {
    let mut document: Agreement = Study::new().federation.document;
    document.check().unwrap();
    let (rita_key, rosa_key) = (document.reviewers[0].key, document.reviewers[2].key);
    document.reviewers[2].key = rita_key;
    assert!(document.check().is_err(), "two names share a key");
    document.reviewers[2].key = rosa_key;
    document.reviewers[2].name = document.reviewers[0].name.clone();
    assert!(document.check().is_err(), "one name has two keys");
}

#[test]
fn b02_a_rejection_outweighs_the_same_persons_approval() {
    let study = Study::new();
    let against = study.federation.vote("rosa", &study.analysis, Verdict::Reject);
    let votes = [study.approvals.clone(), vec![against]].concat();
    let state = counted(&study, &votes).unwrap();
    assert!(!state.is_met() && state.rejected_by().contains(&name("rosa")));
}

#[test]
fn b03_the_signature_of_an_agreement_is_no_approval() {
    let study = Study::new();
    // Rosa signed the agreement too, and that envelope is offered as her vote.
    let mut agreement = study.federation.agreement.clone();
    agreement.add_signature(&key("person:rosa")).unwrap();
    let votes = [study.approvals[0].clone(), agreement.clone()];
    assert_eq!(counted(&study, &votes).unwrap_err(), Refusal::WrongPayloadType);
    // Renaming its type does not help: the type is signed, and the fields are others.
    let mut json: Value = serde_json::from_slice(&agreement.to_bytes()).unwrap();
    let approval: Value = serde_json::from_slice(&study.approvals[1].to_bytes()).unwrap();
    json["payloadType"] = approval["payloadType"].clone();
    let votes = [study.approvals[0].clone(), parsed(&json)];
    assert_eq!(counted(&study, &votes).unwrap_err(), Refusal::Malformed);
    // Nor does putting her signature of the agreement under the approval's own bytes.
    let mut json = approval;
    let signed: Value = serde_json::from_slice(&agreement.to_bytes()).unwrap();
    json["signatures"] = signed["signatures"].clone();
    let votes = [study.approvals[0].clone(), parsed(&json)];
    assert_eq!(counted(&study, &votes).unwrap_err(), Refusal::BadSignature);
}

fn parsed(json: &Value) -> Envelope {
    Envelope::parse(&serde_json::to_vec(json).unwrap()).unwrap()
}

#[test]
fn b05_any_changed_field_of_the_analysis_voids_its_approvals() {
    let study = Study::new();
    let original = serde_json::to_value(study.opened_analysis().document()).unwrap();
    let mut fields: Vec<String> = original.as_object().unwrap().keys().cloned().collect();
    let analyses = changes(&original).filter_map(document::<Analysis>);
    // A total beyond every budget has no approval at all.
    for analysis in analyses.filter(|analysis| analysis.cost_total().is_some()) {
        let envelope = Envelope::sign(&analysis, &key("person:ada")).unwrap();
        let opened: Opened<Analysis> = envelope.open().unwrap();
        let refused = count_approvals(&study.federation.document, &opened, &study.approvals, NOW_S);
        assert_eq!(refused.unwrap_err(), Refusal::DigestMismatch);
        let json = serde_json::to_value(analysis).unwrap();
        fields.retain(|field| json[field] == original[field]);
    }
    assert!(fields.is_empty(), "never changed: {fields:?}");
}

#[test]
fn b05_an_approval_that_binds_anything_else_is_refused() {
    let study = Study::new();
    let analysis = study.opened_analysis();
    let bound = Bound::of(analysis.document(), analysis.digest()).unwrap();
    let original = serde_json::to_value(&bound).unwrap();
    let mut fields: Vec<String> = original.as_object().unwrap().keys().cloned().collect();
    for bound in changes(&original).filter_map(document::<Bound>) {
        let json = serde_json::to_value(&bound).unwrap();
        fields.retain(|field| json[field] == original[field]);
        let vote = Approval {
            version: DOCUMENT_VERSION,
            reviewer: name("rosa"),
            verdict: Verdict::Approve,
            reason: "Looked at it.".into(),
            bound,
            nonce: Nonce::new([1; 16]),
        };
        let vote = Envelope::sign(&vote, &key("person:rosa")).unwrap();
        let votes = [study.approvals[0].clone(), vote];
        assert_eq!(counted(&study, &votes).unwrap_err(), Refusal::DigestMismatch);
    }
    assert!(fields.is_empty(), "never changed: {fields:?}");
}

/// The document in `json`, when it is one: a change that leaves no document needs no approval to fail.
fn document<T: serde::de::DeserializeOwned>(json: Value) -> Option<T> {
    serde_json::from_value(json).ok()
}

/// `whole` with one leaf changed or one item taken out, in every place and several ways.
fn changes(whole: &Value) -> impl Iterator<Item = Value> {
    let mut places = Vec::new();
    collect(whole, String::new(), &mut places);
    places.into_iter().flat_map(move |place| {
        let old = whole.pointer(&place).unwrap();
        let new = |value: Value| {
            let mut changed = whole.clone();
            *changed.pointer_mut(&place).unwrap() = value;
            changed
        };
        others(old).into_iter().map(new).collect::<Vec<_>>()
    })
}

fn collect(value: &Value, place: String, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                collect(
                    field,
                    format!("{place}/{}", key.replace('~', "~0").replace('/', "~1")),
                    places,
                );
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, format!("{place}/{index}"), places);
            }
            places.push(place);
        }
        _ => places.push(place),
    }
}

/// Values near `old` that may be valid in its place.
fn others(old: &Value) -> Vec<Value> {
    match old {
        Value::String(text) => {
            let digit = |c: char| if c == '0' { '1' } else { '0' };
            let last = text.chars().last().map(digit);
            let turned = last.map(|c| format!("{}{c}", &text[..text.len() - 1]));
            [Some(format!("{text}x")), Some(format!("{text}1")), turned, Some("1/3".into())]
                .into_iter()
                .flatten()
                .filter(|other| other != text)
                .map(Value::from)
                .collect()
        }
        Value::Number(number) => vec![Value::from(number.as_i64().unwrap() + 1)],
        Value::Bool(bool) => vec![Value::from(!bool)],
        Value::Array(items) => {
            items.split_last().map(|(_, rest)| Value::from(rest.to_vec())).into_iter().collect()
        }
        Value::Null | Value::Object(_) => vec![],
    }
}

#[test]
fn b06_the_authors_vote_is_not_counted() {
    // Ada is a researcher and, with a key of its own, a reviewer of a third organisation.
    let study = Study::with(|agreement| {
        let mut ada = agreement.reviewers[2].clone();
        (ada.name, ada.organisation) = (name("ada"), "university".into());
        ada.key = key("person:ada-reviews").public_key();
        agreement.reviewers.push(ada);
    });
    let own = study.federation.vote_signed_by(
        "ada",
        &study.analysis,
        Verdict::Approve,
        &key("person:ada-reviews"),
    );
    let votes = [vote(&study, "rita"), own];
    let state = counted(&study, &votes).unwrap();
    assert!(!state.is_met() && !state.approved_by().contains(&name("ada")));
    // A request that leans on it is refused; two others make the quorum without it.
    assert!(asked(&study, &votes).is_err());
    asked(&study, &[vote(&study, "rita"), vote(&study, "rosa")]).unwrap();
}

#[test]
fn an_analysis_counts_under_its_own_agreement_and_researcher_only() {
    let study = Study::new();
    let other = Study::with(|agreement| agreement.charter.push('!'));
    let refused = open_analysis(&other.agreement(), &study.analysis).unwrap_err();
    assert!(matches!(refused, ProofError::Mismatch { field: "agreement", .. }), "{refused}");
    let document = study.opened_analysis().document().clone();
    for signer in ["person:bob", "person:rita", "nobody"] {
        let envelope = Envelope::sign(&document, &key(signer)).unwrap();
        let refused = open_analysis(&study.agreement(), &envelope).unwrap_err();
        assert_eq!(refused, ProofError::BadSignature("analysis"));
    }
}

/// What comes of a release record signed by `signer`.
fn released(study: &Study, record: &ReleaseRecord, signer: &str) -> Result<(), ProofError> {
    let envelope = Envelope::sign(record, &key(signer)).unwrap();
    let (agreement, analysis) = (study.agreement(), study.opened_analysis());
    let request = open_request(&agreement, &analysis, &study.approvals, &study.request).unwrap();
    let round = Round::first(analysis.document()).unwrap();
    open_release(&agreement, &analysis, request.0.document(), &round, &envelope).map(|_| ())
}

#[test]
fn b25_a_release_counts_under_its_own_nodes_key_only() {
    let study = Study::new();
    for partner in PARTNERS {
        released(&study, &study.record(partner), &format!("node:{partner}")).unwrap();
    }
    let record = study.record("north");
    for signer in ["node:south", "steward:north", "person:ada", "nobody"] {
        let refused = released(&study, &record, signer).unwrap_err();
        assert_eq!(refused, ProofError::BadSignature("release"), "{signer}");
    }
    // Figures changed after signing.
    let mut json: Value = serde_json::from_slice(&study.release("north").to_bytes()).unwrap();
    let mut other = record.clone();
    other.values[0] = Int(other.values[0].0 + 1);
    let other = Envelope::unsigned(&other).unwrap().to_bytes();
    let other: Value = serde_json::from_slice(&other).unwrap();
    json["payload"] = other["payload"].clone();
    let (agreement, analysis) = (study.agreement(), study.opened_analysis());
    let request = open_request(&agreement, &analysis, &study.approvals, &study.request).unwrap();
    let round = Round::first(analysis.document()).unwrap();
    let refused = open_release(&agreement, &analysis, request.0.document(), &round, &parsed(&json));
    assert_eq!(refused.unwrap_err(), ProofError::BadSignature("release"));
}

#[test]
fn b25_a_release_of_another_question_is_excluded() {
    let study = Study::new();
    type Edit = fn(&mut ReleaseRecord);
    let edits: [(&str, Edit); 10] = [
        ("version", |r| r.version += 1),
        ("unit_namespace", |r| r.unit_namespace = name("south-persons")),
        ("agreement", |r| r.agreement = Digest::new([9; 32])),
        ("plan", |r| r.plan = Digest::new([9; 32])),
        ("parameters", |r| r.parameters = Digest::new([9; 32])),
        ("round", |r| r.round += 1),
        ("cost", |r| r.cost = r.cost.checked_mul(2).unwrap()),
        ("epoch", |r| r.epoch += 2),
        ("values", |r| r.values.push(Int(0))),
        ("values", |r| r.values.clear()),
    ];
    for (wanted, edit) in edits {
        let mut record = study.record("north");
        edit(&mut record);
        let refused = released(&study, &record, "node:north").unwrap_err();
        let named =
            matches!(refused, ProofError::Mismatch { link: "release", field } if field == wanted);
        assert!(named, "`{wanted}`: {refused}");
    }
    assert_eq!(EPOCH_S, 86_400, "the epoch of `study::record` counts days");
}
