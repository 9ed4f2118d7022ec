//! What has no time left is signed by nobody, to the second: agreements, analyses and approvals. A rejection
//! is signed at any time.

use super::{CliError, PersonArguments, agreement, analysis, review};
use crate::dry_run::tests as documents;
use cloister_terms::approval::Bound;
use cloister_terms::{
    Agreement, Analysis, Approval, DOCUMENT_VERSION, Digest, Nonce, Person, Verdict,
};
use cloister_wire::{Envelope, SigningKey};
use std::path::Path;

/// The first second at which nothing may run any more, and the first at which a run of 600 s has no time.
const UNTIL_S: i64 = 10_000;
const LATE_S: i64 = UNTIL_S - 600;

/// An agreement until [`UNTIL_S`].
fn agreed() -> Agreement {
    let dictionary = cloister_plan::reference::dictionary().unwrap();
    let mut agreed = documents::agreement(&dictionary, &["north", "south"]);
    (agreed.not_after_s, agreed.run_time_max_ms) = (UNTIL_S, 600_000);
    agreed.reviewers = vec![Person {
        name: "rita".parse().unwrap(),
        organisation: "city".to_owned(),
        key: key(20).public_key(),
        trained_until_s: None,
    }];
    agreed
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

/// A person whose key is that of the first party's steward.
fn person(folder: &Path) -> PersonArguments {
    let passphrase = folder.join("passphrase");
    std::fs::write(&passphrase, "correct horse\n").unwrap();
    let person = PersonArguments { home: folder.join("home"), passphrase_file: Some(passphrase) };
    person.home().write_key(&key(10).seal("correct horse").unwrap()).unwrap();
    person
}

fn is_refused<T>(signed: &Result<T, CliError>) -> bool {
    matches!(signed, Err(CliError::Dates(_)))
}

#[test]
fn b07_nothing_is_signed_under_an_expired_agreement_by_a_steward() {
    let folder = tempfile::tempdir().unwrap();
    let (person, file) = (person(folder.path()), folder.path().join("agreement.json"));
    let unsigned = Envelope::unsigned(&agreed()).unwrap().to_bytes();
    std::fs::write(&file, &unsigned).unwrap();
    for late_s in [LATE_S, UNTIL_S, i64::MAX] {
        assert!(is_refused(&agreement::sign(&person, &file, None, || late_s)), "{late_s}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), unsigned);
    agreement::sign(&person, &file, None, || LATE_S - 1).unwrap();
    let signed = Envelope::parse(&std::fs::read(&file).unwrap()).unwrap();
    assert!(signed.open::<Agreement>().unwrap().is_signed_by(&key(10).public_key()));
}

#[test]
fn b07_nothing_is_signed_under_an_expired_agreement_by_a_researcher() {
    let folder = tempfile::tempdir().unwrap();
    let (person, agreed) = (person(folder.path()), agreed());
    let asked = documents::analysis(&agreed);
    let sign = |asked: &Analysis, now_s| analysis::signed(&person, asked, &agreed, || now_s);
    assert!(is_refused(&sign(&asked, LATE_S)));
    sign(&asked, LATE_S - 1).unwrap();
    // The analysis' own dates count too; before they begin it may be signed.
    let short = Analysis { not_before_s: 4_000, not_after_s: 5_000, ..asked };
    assert!(is_refused(&sign(&short, 4_400)));
    sign(&short, 0).unwrap();
}

/// Rita's vote on an analysis.
fn ritas(asked: &Analysis, verdict: Verdict) -> Approval {
    Approval {
        version: DOCUMENT_VERSION,
        reviewer: "rita".parse().unwrap(),
        verdict,
        reason: "Looked at it.".to_owned(),
        bound: Bound::of(asked, Digest::new([2; 32])).unwrap(),
        nonce: Nonce::new([3; 16]),
    }
}

#[test]
fn b07_nothing_is_signed_under_an_expired_agreement_by_a_reviewer_but_a_rejection() {
    let folder = tempfile::tempdir().unwrap();
    let (person, agreed) = (person(folder.path()), agreed());
    let asked = documents::analysis(&agreed);
    let sign = |verdict, now_s| {
        review::signed(&person, &ritas(&asked, verdict), (&agreed, &asked), || now_s)
    };
    assert!(is_refused(&sign(Verdict::Approve, LATE_S)));
    sign(Verdict::Approve, LATE_S - 1).unwrap();
    sign(Verdict::Reject, UNTIL_S).unwrap();
}

#[test]
fn b06_a_reviewer_whose_training_lapsed_signs_no_approval_but_a_rejection() {
    let folder = tempfile::tempdir().unwrap();
    let (person, mut agreed) = (person(folder.path()), agreed());
    let asked = documents::analysis(&agreed);
    let rita = agreed.reviewers.iter_mut().find(|own| own.name.as_str() == "rita").unwrap();
    rita.trained_until_s = Some(LATE_S - 10);
    let sign = |verdict, now_s| {
        review::signed(&person, &ritas(&asked, verdict), (&agreed, &asked), || now_s)
    };
    sign(Verdict::Approve, LATE_S - 11).unwrap();
    let refused = sign(Verdict::Approve, LATE_S - 10);
    assert!(matches!(refused, Err(CliError::TrainingLapsed(_))));
    sign(Verdict::Reject, LATE_S - 10).unwrap();
}

#[test]
fn b07_the_clock_is_read_once_the_passphrase_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (person, agreed) = (person(folder.path()), agreed());
    std::fs::write(folder.path().join("passphrase"), "battery staple\n").unwrap();
    let file = folder.path().join("agreement.json");
    std::fs::write(&file, Envelope::unsigned(&agreed).unwrap().to_bytes()).unwrap();
    let unread = || -> i64 { panic!("the clock was read before the key was open") };
    let signed = agreement::sign(&person, &file, None, unread);
    assert!(matches!(signed, Err(CliError::Home(_))));
    let signed = analysis::signed(&person, &documents::analysis(&agreed), &agreed, unread);
    assert!(matches!(signed, Err(CliError::Home(_))));
}
