//! The proof bundle: a whole chain verifies offline, and no part of the file can be changed, taken
//! out, put in or reordered. Nothing here asks a coordinator.

use cloister::answer::{Answer, AnswerError, answer_of, verify_bundle};
use cloister_report::{ReportError, ReportOptions, Row};
use cloister_terms::ReleaseRecord;
use cloister_terms::release::Int;
use cloister_tests::fixtures::key;
use cloister_tests::study::{PARTNERS, Study, figures};
use cloister_wire::bundle::BundleError;
use cloister_wire::{Bundle, Envelope};

/// Positions in a row that are all tried, wherever the window falls.
const WINDOW: usize = 2_000;
/// Beyond the window, one position in this many is tried.
const STRIDE: usize = 53;

fn bundle(answered: &[&str]) -> Bundle {
    answer_of(&Study::new().run_file(answered)).unwrap().bundle().unwrap()
}

fn verify(bundle: &Bundle) -> Result<Answer, AnswerError> {
    verify_bundle(&bundle.to_bytes())
}

/// The bundle must fail after `edit`.
fn fails(what: &str, edit: impl FnOnce(&mut Bundle)) -> AnswerError {
    let mut changed = bundle(&PARTNERS);
    let before = changed.to_bytes();
    edit(&mut changed);
    assert_ne!(changed.to_bytes(), before, "{what}: nothing was changed");
    match verify(&changed) {
        Ok(_) => panic!("{what}: the changed bundle still verifies"),
        Err(error) => error,
    }
}

#[test]
fn a_whole_chain_verifies_offline_and_gives_its_answer() {
    let whole = bundle(&PARTNERS);
    let answer = verify(&whole).unwrap();
    assert_eq!(answer.releases.len(), 4);
    assert!(answer.missing.is_empty() && !answer.report.partial);
    let cities = answer.report.rows.len();
    assert_eq!(cities, 3);
    // Counts are whole steps: the first lane of each cell, summed over the partners.
    let sums: Vec<f64> = (0..cities)
        .map(|city| PARTNERS.iter().map(|p| figures(p, 2 * cities)[2 * city] as f64).sum())
        .collect();
    let shown: Vec<f64> =
        answer.report.rows.iter().map(|row| row.figures[0].estimate().unwrap().value).collect();
    assert_eq!(shown, sums);
    assert!(answer.report.rows.iter().all(|row| row.behind.to_string() == "4 of 4"));
}

#[test]
fn a_proof_tells_what_its_cost_means_and_the_cost_itself_only_on_request() {
    let answer = verify(&bundle(&["east", "north", "south"])).unwrap();
    let plain = cloister::words::proof(&answer, false);
    assert!(plain.contains("charged    by each of them: someone 50 % sure"), "{plain}");
    assert!(!plain.contains("epsilon") && !plain.contains("rho"), "{plain}");
    assert_eq!(plain.matches("(ledger head ").count(), 3, "{plain}");
    assert!(plain.contains("missing    west"), "{plain}");
    let exact = cloister::words::proof(&answer, true);
    assert!(exact.contains("by each of them (epsilon 1): someone 50 % sure"), "{exact}");
}

#[test]
fn adjusted_figures_leave_the_answer_and_its_proof_as_released() {
    let answer = verify(&bundle(&PARTNERS)).unwrap();
    let before = answer.bundle().unwrap().to_bytes();
    let columns = &answer.analysis.document().shape.columns;
    let total = format!("{}={}", columns[1].name, columns[2].name);
    let options = ReportOptions::adjusting(&[total], &[], &[]).unwrap();
    let adjusted = answer.report_with(&options).unwrap();
    for (row, released) in adjusted.rows.iter().zip(&answer.report.rows) {
        let value = |row: &Row, at: usize| row.figures[at].estimate().unwrap().value;
        assert!((value(row, 0) - value(row, 1)).abs() < 1e-6, "moved until they add up");
        assert_ne!(value(row, 0), value(released, 0));
    }
    assert!(!adjusted.adjusted.is_empty() && answer.report.adjusted.is_empty());
    assert_eq!(answer.bundle().unwrap().to_bytes(), before);
    assert_eq!(answer.report_with(&ReportOptions::default()).unwrap(), answer.report);
    let unknown = ReportOptions::adjusting(&[], &["nothing".to_owned()], &[]).unwrap();
    assert!(matches!(answer.report_with(&unknown), Err(ReportError::NoFigure(_))));
    let count = std::slice::from_ref(&columns[1].name);
    let count = ReportOptions::adjusting(&[], &[], count).unwrap();
    assert!(matches!(answer.report_with(&count), Err(ReportError::NotAShare(_))));
}

#[test]
fn a_partial_answer_says_so_and_verifies() {
    let answer = verify(&bundle(&["north", "west"])).unwrap();
    assert!(answer.report.partial);
    assert_eq!(answer.missing.iter().map(|n| n.as_str()).collect::<Vec<_>>(), ["east", "south"]);
    assert!(answer.report.rows.iter().all(|row| row.behind.to_string() == "2 of 4"));
    assert!(matches!(answer_of(&Study::new().run_file(&[])), Err(AnswerError::Nothing)));
}

#[test]
fn sums_of_the_coordinator_that_are_not_the_releases_are_refused() {
    for edit in [
        (|sums| sums[0] += 1) as fn(&mut Vec<i128>),
        |sums| sums.truncate(1),
        |sums| sums.push(0),
        Vec::clear,
    ] {
        let mut file = Study::new().run_file(&PARTNERS);
        edit(&mut file.combined);
        assert!(matches!(answer_of(&file), Err(AnswerError::OtherSums)));
    }
}

#[test]
fn every_changed_bit_of_the_file_fails() {
    let bytes = bundle(&PARTNERS).to_bytes();
    assert!(bytes.len() > WINDOW, "{} bytes", bytes.len());
    verify_bundle(&bytes).unwrap();
    // Where the window falls and which bit is turned follow from the file's own digest.
    let digest = cloister_wire::sha256(&bytes);
    let seed = u64::from_le_bytes(*digest.as_bytes().first_chunk().unwrap());
    let start = seed as usize % (bytes.len() - WINDOW);
    let is_tried = |at: &usize| (start..start + WINDOW).contains(at) || at.is_multiple_of(STRIDE);
    let positions: Vec<usize> = (0..bytes.len()).filter(is_tried).collect();
    let accepted = |positions: &[usize]| -> Vec<(usize, u32)> {
        let mut changed = bytes.clone();
        let mut accepted = Vec::new();
        for at in positions {
            let bit = (seed.rotate_left(*at as u32 % 64) % 8) as u32;
            changed[*at] ^= 1 << bit;
            if verify_bundle(&changed).is_ok() {
                accepted.push((*at, bit));
            }
            changed[*at] ^= 1 << bit;
        }
        accepted
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let found: Vec<(usize, u32)> = std::thread::scope(|scope| {
        let shares = positions.chunks(positions.len().div_ceil(workers));
        let running: Vec<_> = shares.map(|share| scope.spawn(|| accepted(share))).collect();
        running.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(found.is_empty(), "(position, bit) that change nothing: {found:?}");
}

#[test]
fn bytes_before_after_or_missing_fail() {
    let bytes = bundle(&PARTNERS).to_bytes();
    for wrong in [
        [b" ".as_slice(), &bytes].concat(),
        [&bytes, b"\n".as_slice()].concat(),
        [&bytes, bytes.as_slice()].concat(),
        bytes[..bytes.len() - 1].to_vec(),
        bytes[1..].to_vec(),
        Vec::new(),
    ] {
        assert!(verify_bundle(&wrong).is_err(), "{} bytes", wrong.len());
    }
    let minified: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert!(verify_bundle(&serde_json::to_vec(&minified).unwrap()).is_err());
    let other = fails("another version", |b| b.version += 1);
    assert!(matches!(other, AnswerError::Bundle(BundleError::Version(_))), "{other}");
}

#[test]
fn a_release_cannot_be_removed_swapped_doubled_or_replaced() {
    let error = fails("removed", |b| drop(b.releases.remove(1)));
    assert!(matches!(error, AnswerError::OtherMissing), "{error}");
    let error = fails("removed and called missing", |b| {
        b.releases.remove(1);
        b.missing.push("north".parse().unwrap());
    });
    assert!(matches!(error, AnswerError::OtherAnswer), "{error}");
    fails("swapped", |b| b.releases.swap(0, 1));
    let error = fails("doubled", |b| b.releases.push(b.releases[0].clone()));
    assert!(matches!(error, AnswerError::Combine(_)), "{error}");
    let study = Study::new();
    let mut record: ReleaseRecord = study.record("north");
    record.values[0] = Int(0);
    let forged = |signer: &str| Envelope::sign(&record, &key(signer)).unwrap();
    let error = fails("forged", |b| b.releases[1] = forged("nobody"));
    assert!(matches!(error, AnswerError::Proof(_)), "{error}");
    // Even another figure under the node's own key is not the answer in the file.
    let error = fails("another figure", |b| b.releases[1] = forged("node:north"));
    assert!(matches!(error, AnswerError::OtherAnswer), "{error}");
}

#[test]
fn documents_cannot_be_taken_from_another_study() {
    let other = Study::with(|agreement| agreement.charter.push('!'));
    fails("agreement", |b| b.agreement = other.federation.agreement.clone());
    fails("analysis", |b| b.analysis = other.analysis.clone());
    fails("request", |b| b.request = other.request.clone());
    fails("approvals", |b| b.approvals = other.approvals.clone());
    fails("a release", |b| b.releases[0] = other.release("east"));
    let error = fails("an approval less", |b| drop(b.approvals.pop()));
    assert!(matches!(error, AnswerError::Proof(_)), "{error}");
    fails("approvals swapped", |b| b.approvals.swap(0, 1));
    fails("the answer", |b| b.answer.push(' '));
    fails("somebody missing", |b| b.missing.push("mallory".parse().unwrap()));
}

#[test]
fn no_signature_can_be_added() {
    // By a stranger, and by somebody registered whose signature does not belong there.
    for signer in ["nobody", "person:bob", "node:north"] {
        let add = |envelope: &mut Envelope| envelope.add_signature(&key(signer)).unwrap();
        fails("to the agreement", |b| add(&mut b.agreement));
        fails("to the analysis", |b| add(&mut b.analysis));
        fails("to the request", |b| add(&mut b.request));
        fails("to an approval", |b| add(&mut b.approvals[0]));
        fails("to a release", |b| add(&mut b.releases[0]));
    }
    fails("the same one twice", |b| {
        let mut json: serde_json::Value = serde_json::from_slice(&b.request.to_bytes()).unwrap();
        let twice = json["signatures"][0].clone();
        json["signatures"].as_array_mut().unwrap().push(twice);
        b.request = Envelope::parse(&serde_json::to_vec(&json).unwrap()).unwrap();
    });
}
