//! Row A18: within one epoch a question has one answer and one price.

use super::*;
use cloister_node::fixtures::{EPOCH_S, NOW_S, name};
use cloister_node::ledger::{LedgerError, Verdict};
use cloister_terms::Verdict as Vote;

fn answer(rig: &Rig, papers: &Papers) -> Option<Vec<u8>> {
    let delivery = rig.ledger.delivery(papers.request_digest()).unwrap()?;
    match delivery.verdict {
        Verdict::Released(release) => Some(release.bytes().to_vec()),
        Verdict::Withheld => None,
    }
}

#[test]
fn a18_a_thousand_askings_are_one_charge_and_the_same_bytes() {
    let rig = Rig::new();
    let analysis = rig.granted(|a| a.max_runs = 1);
    let first = rig.federation.papers(&analysis, 0);
    let charge = rig.fresh(&first);
    let id = charge.id();
    // One asking while the first is still under way.
    let early = rig.federation.papers(&analysis, 1);
    assert!(matches!(rig.charge(&early), Ok(Charged::Repeat(same)) if same == id));
    assert_eq!(answer(&rig, &early), None);
    let release = rig.release(charge, 1);
    for nonce in 2..1_000 {
        let again = rig.federation.papers(&analysis, nonce);
        assert!(matches!(rig.charge(&again), Ok(Charged::Repeat(same)) if same == id));
        if nonce % 100 == 2 {
            assert_eq!(answer(&rig, &again).unwrap(), release.bytes());
        }
    }
    assert_eq!(answer(&rig, &first).unwrap(), release.bytes());
    assert_eq!(answer(&rig, &early).unwrap(), release.bytes());
    assert_eq!(rig.spent(), epsilon("1"));
    // A repeat has a nonce of its own, used once like any other.
    assert_eq!(rig.charge(&early).unwrap_err(), Refusal::Replay);
    let rig = rig.reopen();
    let after = rig.federation.papers(&analysis, 5_000);
    assert!(matches!(rig.charge(&after), Ok(Charged::Repeat(same)) if same == id));
    assert_eq!(answer(&rig, &after).unwrap(), release.bytes());
    assert_eq!(rig.spent(), epsilon("1"));
    assert_eq!(rig.ledger.waiting_for(id).unwrap().len(), 1_001);
}

#[test]
fn a18_other_recipients_need_new_approval_and_get_the_same_bytes() {
    let rig = Rig::new();
    let first = rig.federation.papers(&rig.granted(|_| ()), 1);
    let release = rig.release(rig.fresh(&first), 1);
    let wider = rig.granted(|a| a.recipients = vec![name("ada"), name("bob")]);
    let wider = rig.federation.papers(&wider, 2);
    assert!(matches!(rig.charge(&wider), Ok(Charged::Repeat(_))));
    assert_eq!(answer(&rig, &wider).unwrap(), release.bytes());
    assert_eq!(rig.spent(), epsilon("1"));
}

#[test]
fn a18_another_plan_cost_or_epoch_is_charged_in_full() {
    let rig = Rig::new();
    let analysis = rig.granted(|_| ());
    rig.release(rig.fresh(&rig.federation.papers(&analysis, 1)), 1);
    let capped = rig.granted(|a| a.group_cap = 1);
    rig.release(rig.fresh(&rig.federation.papers(&capped, 2)), 2);
    let dearer = rig.granted(|a| a.cost_per_round = epsilon("2"));
    rig.release(rig.fresh(&rig.federation.papers(&dearer, 3)), 3);
    assert_eq!(rig.spent(), epsilon("4"));
    let tomorrow = NOW_S + EPOCH_S;
    let votes = ["rita", "rosa"].map(|who| rig.federation.vote(who, &analysis, Vote::Approve));
    let papers = Papers {
        request: rig.federation.request(&analysis, &votes, 4, tomorrow).to_bytes(),
        ..rig.federation.papers(&analysis, 4)
    };
    let admitted = rig.admit_at(&papers, tomorrow).unwrap();
    fresh(rig.ledger.charge(admitted, Room::Free, &mut SystemEntropy::new()));
    assert_eq!(rig.spent(), epsilon("5"));
}

#[test]
fn a18_a_repeat_passes_the_whole_gate_again() {
    let rig = Rig::new();
    let analysis = rig.granted(|_| ());
    rig.release(rig.fresh(&rig.federation.papers(&analysis, 1)), 1);
    let again = rig.federation.papers(&analysis, 2);
    rig.ledger.set_paused(true, NOW_S).unwrap();
    assert_eq!(rig.refusal(&again), Refusal::Paused);
    rig.ledger.set_paused(false, NOW_S).unwrap();
    // Admitted, then declined before the charge: the ledger looks again.
    let admitted = rig.admit(&again).unwrap();
    let decline = rig.federation.decision("north", &analysis, Vote::Reject);
    rig.ledger.decide(&decline.open().unwrap(), NOW_S).unwrap();
    let charged = rig.ledger.charge(admitted, Room::Free, &mut SystemEntropy::new());
    assert_eq!(charged.unwrap_err(), Refusal::NotGranted);
    assert_eq!(rig.refusal(&again), Refusal::Declined);
}

#[test]
fn a_node_charges_nothing_once_another_agreement_is_pinned() {
    let rig = Rig::new();
    let papers = rig.federation.papers(&rig.granted(|_| ()), 1);
    rig.ledger.pin(cloister_terms::Digest::new([9; 32]), NOW_S).unwrap();
    assert_eq!(rig.charge(&papers).unwrap_err(), Refusal::UnknownAgreement);
    assert_eq!(rig.spent(), Cost::ZERO);
    rig.ledger.pin(rig.federation.digest, NOW_S).unwrap();
    rig.fresh(&papers);
}

/// Whether a file of the folder holds these bytes.
fn lies_in(folder: &std::path::Path, part: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        bytes.windows(part.len()).any(|found| found == part)
    })
}

#[test]
fn a18_a_purged_answer_is_gone_and_its_question_is_charged_in_full() {
    let rig = Rig::new();
    let analysis = rig.granted(|a| a.max_runs = 2);
    let first = rig.federation.papers(&analysis, 1);
    let charge = rig.fresh(&first);
    let id = charge.id();
    let nothing = |found| matches!(found, Err(LedgerError::NothingToPurge { .. }));
    assert!(nothing(rig.ledger.purge(id.digest(), NOW_S)), "nothing is released yet");
    let release = rig.release(charge, 1);
    let waits = rig.ledger.purge(id.digest(), NOW_S);
    assert!(matches!(waits, Err(LedgerError::StillWaiting { waiting: 1, .. })), "{waits:?}");
    assert_eq!(answer(&rig, &first).unwrap(), release.bytes(), "and is kept");
    rig.ledger.delivered(first.request_digest()).unwrap();
    // From the middle on: other documents begin alike.
    let part = release.bytes().iter().copied().skip(release.bytes().len() / 2).take(48);
    let part: Vec<u8> = part.collect();
    assert!(lies_in(rig.folder.path(), &part));
    assert!(rig.ledger.purge(id.digest(), NOW_S).unwrap(), "nobody else reads the ledger");
    assert!(!lies_in(rig.folder.path(), &part), "the bytes are gone from every file");
    assert!(nothing(rig.ledger.purge(id.digest(), NOW_S)), "once is enough");
    assert_eq!(answer(&rig, &first), None);
    // What was charged stays so, also for a ledger that is proved anew.
    let rig = rig.reopen();
    assert_eq!((answer(&rig, &first), rig.spent()), (None, epsilon("1")));
    let states: Vec<_> =
        rig.ledger.view().unwrap().charges.into_iter().map(|charge| charge.state).collect();
    assert_eq!(states, ["purged"]);
    let again = rig.federation.papers(&analysis, 2);
    let fresh = rig.fresh(&again);
    assert_ne!(fresh.id(), id);
    assert_eq!(rig.spent(), epsilon("2"));
    let other = rig.release(fresh, 2);
    assert_eq!(answer(&rig, &again).unwrap(), other.bytes());
    assert_ne!(other.bytes(), release.bytes(), "noise of its own");
    let third = rig.federation.papers(&analysis, 3);
    assert!(matches!(rig.charge(&third), Ok(Charged::Repeat(_))), "and repeats it from then on");
    drop(rig.reopen());
}
