//! Rows B6 and B7 where time decides: votes of reviewers whose training lapsed, and what the coordinator
//! takes in under an agreement that has no time left for a run.

use cloister_coordinator::intake::{self, RejectionOr};
use cloister_coordinator::store::Store;
use cloister_terms::Verdict;
use cloister_tests::fixtures::{EPOCH_S, NOW_S, name};
use cloister_tests::study::Study;
use cloister_wire::message::Rejection;
use cloister_wire::proof::open_request;
use cloister_wire::{Envelope, ProofError, count_approvals};
use std::fmt::Debug;

/// A coordinator that knows the study's agreement.
fn store(study: &Study) -> Store {
    let store = Store::in_memory().unwrap();
    let agreement = study.federation.agreement.to_bytes();
    intake::publish(&store, &name("hub"), &agreement).unwrap();
    store
}

fn rejected<T: Debug>(done: Result<T, RejectionOr>) -> Rejection {
    done.unwrap_err().0
}

fn review(store: &Store, who: &str, vote: &Envelope, now_s: i64) -> Result<(), RejectionOr> {
    intake::review(store, &name(who), &vote.to_bytes(), now_s).map(|_| ())
}

#[test]
fn b06_a_vote_of_a_reviewer_whose_training_lapsed_does_not_count() {
    // Rosa's; without her there is one organisation only.
    let lapses_s = NOW_S + 100;
    let study = Study::with(|agreement| agreement.reviewers[2].trained_until_s = Some(lapses_s));
    let (agreement, analysis) = (study.agreement(), study.opened_analysis());
    let counted =
        |at_s| count_approvals(agreement.document(), &analysis, &study.approvals, at_s).unwrap();
    assert!(counted(lapses_s - 1).is_met(), "the second before");
    let lapsed = counted(lapses_s);
    assert!(!lapsed.is_met() && !lapsed.approved_by().contains(&name("rosa")));
    assert_eq!((lapsed.counted().len(), lapsed.organisations().len()), (1, 1));

    // A run stands on the votes that counted when it was asked for, whenever its proof is checked.
    let asked = |votes: &[Envelope], at_s: i64| {
        let request = study.federation.request(&study.analysis, votes, 7, at_s);
        open_request(&agreement, &analysis, &study.approvals, &request).map(|_| ())
    };
    asked(&study.approvals, lapses_s - 1).unwrap();
    let named = asked(&study.approvals, lapses_s).unwrap_err();
    assert!(matches!(named, ProofError::Mismatch { field: "approvals", .. }), "{named}");
    assert_eq!(asked(&study.approvals[..1], lapses_s), Err(ProofError::BelowQuorum));

    // Her rejection stands all the same.
    let no = study.federation.vote("rosa", &study.analysis, Verdict::Reject);
    let votes = [study.approvals.clone(), vec![no]].concat();
    let state = count_approvals(agreement.document(), &analysis, &votes, lapses_s).unwrap();
    assert!(state.rejected_by().contains(&name("rosa")));

    let store = store(&study);
    intake::submit(&store, &name("ada"), &study.analysis.to_bytes(), None, NOW_S).unwrap();
    for (who, vote) in ["rita", "rosa"].iter().zip(&study.approvals) {
        review(&store, who, vote, NOW_S).unwrap();
    }
    for (at_s, approvals, approved) in [(lapses_s - 1, 2, true), (lapses_s, 1, false)] {
        let lines = intake::list(&store, at_s).unwrap();
        assert_eq!((lines[0].approvals, lines[0].approved), (approvals, approved));
    }
}

#[test]
fn b07_nothing_is_taken_in_under_an_expired_agreement_but_a_rejection() {
    // Its runs take 600 s at most.
    let study = Study::with(|agreement| agreement.not_after_s = NOW_S + 1_000);
    let (store, ada, late_s) = (store(&study), name("ada"), NOW_S + 400);
    let analysis = study.analysis.to_bytes();
    let submit = |now_s| intake::submit(&store, &ada, &analysis, None, now_s);
    assert_eq!(rejected(submit(late_s)), Rejection::OutsideDates);
    submit(late_s - 1).unwrap();

    let (rita, rosa) = (&study.approvals[0], &study.approvals[1]);
    review(&store, "rita", rita, late_s - 1).unwrap();
    assert_eq!(rejected(review(&store, "rosa", rosa, late_s)), Rejection::OutsideDates);
    review(&store, "rosa", rosa, late_s - 1).unwrap();

    let request = study.request.to_bytes();
    let ask = |now_s| intake::request(&store, &ada, &request, now_s);
    for outside_s in [NOW_S - 2 * EPOCH_S, late_s, i64::MAX] {
        assert_eq!(rejected(ask(outside_s)), Rejection::OutsideDates, "{outside_s}");
    }
    ask(late_s - 1).unwrap();

    let no = study.federation.vote("ron", &study.analysis, Verdict::Reject);
    review(&store, "ron", &no, NOW_S + 1_000_000).unwrap();
}

#[test]
fn b07_an_analysis_that_has_ended_is_not_taken_in() {
    let study = Study::new();
    let (store, ada) = (store(&study), name("ada"));
    let over = study.federation.analysis(|asked| {
        asked.nodes = cloister_tests::study::partners();
        asked.not_after_s = NOW_S + 600;
    });
    let submit = |now_s| intake::submit(&store, &ada, &over.to_bytes(), None, now_s);
    assert_eq!(rejected(submit(NOW_S)), Rejection::OutsideDates);
    submit(NOW_S - 1).unwrap();
}
