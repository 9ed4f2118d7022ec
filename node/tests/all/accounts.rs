//! Rows A14, A17, A21, A27: sums only grow, never pass a cap, whoever asks and whatever fails.

use super::*;
use cloister_node::fixtures::name;
use cloister_node::ledger::{LedgerError, Settled};
use cloister_terms::Epsilon;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn a14_success_and_failure_spend_alike() {
    let [good, bad] = [Rig::new(), Rig::new()];
    for rig in [&good, &bad] {
        let analysis = rig.granted(|_| ());
        let charge = rig.fresh(&rig.federation.papers(&analysis, 1));
        if std::ptr::eq(rig, &good) {
            rig.release(charge, 1);
        } else {
            assert_eq!(rig.ledger.withhold(charge.id(), NOW_S).unwrap(), Settled::Withheld);
        }
    }
    let accounts = |rig: &Rig| rig.ledger.view().unwrap().accounts;
    assert_eq!(accounts(&good), accounts(&bad));
    assert_eq!(accounts(&good).len(), 4);
    assert!(accounts(&good).iter().all(|account| account.spent == epsilon("1")));
    // A failure freezes the analysis until the steward grants it anew, and is never refunded.
    let analysis = bad.federation.analysis(|_| ());
    assert_eq!(bad.refusal(&bad.federation.papers(&analysis, 2)), Refusal::Frozen);
    let bad = bad.reopen();
    bad.federation.grant("north", &analysis, &bad.ledger);
    bad.fresh(&bad.federation.papers(&analysis, 3));
    assert_eq!(bad.spent(), epsilon("2"));
}

#[test]
fn a14_a_withheld_charge_is_never_released_nor_a_released_one_withheld() {
    let rig = Rig::new();
    let analysis = rig.granted(|_| ());
    let charge = rig.fresh(&rig.federation.papers(&analysis, 1));
    rig.ledger.withhold(charge.id(), NOW_S).unwrap();
    let late = values(&charge, 1);
    let late = rig.ledger.release_for_tests(charge, late, &key("node:north"), NOW_S);
    assert!(matches!(late, Err(LedgerError::Settled(_))));
    let charge = rig.fresh(&rig.federation.papers(&rig.granted(numbered(1)), 2));
    let id = charge.id();
    rig.release(charge, 1);
    assert_eq!(rig.ledger.withhold(id, NOW_S).unwrap(), Settled::Released);
    let charge = rig.fresh(&rig.federation.papers(&rig.granted(numbered(2)), 3));
    let wrong = rig.ledger.release_for_tests(charge, vec![1; 7], &key("node:north"), NOW_S);
    assert!(matches!(wrong, Err(LedgerError::WrongShape(_))));
    rig.reopen();
}

#[test]
fn a17_a_hundred_at_once_never_pass_the_cap() {
    const ASKINGS: usize = 100;
    let rig = Rig::with(Federation::new(), epsilon("7.5"));
    let papers: Vec<_> =
        (0..ASKINGS).map(|i| rig.federation.papers(&rig.granted(numbered(i)), i as u64)).collect();
    // Two handles, as two processes have.
    let second = Ledger::open(rig.ledger.path()).unwrap();
    let (charged, over) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for (i, papers) in papers.iter().enumerate() {
            let ledger = if i % 2 == 0 { &rig.ledger } else { &second };
            let (rig, charged, over) = (&rig, &charged, &over);
            scope.spawn(move || {
                let admitted = rig.admit(papers).unwrap();
                match ledger.charge(admitted, Room::Free, &mut SystemEntropy::new()) {
                    Ok(Charged::Fresh(_)) => charged.fetch_add(1, Ordering::SeqCst),
                    Err(Refusal::OverBudget) => over.fetch_add(1, Ordering::SeqCst),
                    other => panic!("unexpected: {other:?}"),
                };
            });
        }
    });
    assert_eq!(charged.into_inner(), 7);
    assert_eq!(over.into_inner(), ASKINGS - 7);
    assert_eq!(rig.spent(), epsilon("7"));
    drop(second);
    let rig = rig.reopen();
    assert_eq!(rig.spent(), epsilon("7"));
    assert_eq!(rig.ledger.view().unwrap().charges.len(), 7);
}

#[test]
fn a17_each_cap_holds_alone() {
    // Agreement, researcher and run count; the study's cap is the run count in another unit.
    type Edit = fn(&mut cloister_terms::Agreement);
    let cases: [(Edit, Refusal, usize); 2] = [
        (|agreement| agreement.parties[0].caps = epsilon("2"), Refusal::OverBudget, 2),
        (|agreement| agreement.researchers[0].caps = epsilon("3"), Refusal::OverBudget, 3),
    ];
    for (edit, refusal, allowed) in cases {
        let rig = Rig::with(Federation::with(edit), generous());
        for i in 0..allowed {
            rig.fresh(&rig.federation.papers(&rig.granted(numbered(i)), i as u64));
        }
        let more = rig.federation.papers(&rig.granted(numbered(allowed)), 1_000);
        assert_eq!(rig.charge(&more).unwrap_err(), refusal);
        assert_eq!(rig.spent(), epsilon(&allowed.to_string()));
    }
    let rig = Rig::new();
    let analysis = rig.granted(|a| a.max_runs = 1);
    rig.fresh(&rig.federation.papers(&analysis, 1));
    // In the next epoch the question is fresh, and its one run is used.
    let tomorrow = NOW_S + cloister_node::fixtures::EPOCH_S;
    let votes = ["rita", "rosa"]
        .map(|who| rig.federation.vote(who, &analysis, cloister_terms::Verdict::Approve));
    let again = Papers {
        request: rig.federation.request(&analysis, &votes, 2, tomorrow).to_bytes(),
        ..rig.federation.papers(&analysis, 2)
    };
    let admitted = rig.admit_at(&again, tomorrow).unwrap();
    let charged = rig.ledger.charge(admitted, Room::Free, &mut SystemEntropy::new());
    assert_eq!(charged.unwrap_err(), Refusal::NoRunsLeft);
    assert_eq!(rig.spent(), epsilon("1"));
}

#[test]
fn a17_a_busy_node_charges_nothing_and_keeps_no_nonce() {
    let rig = Rig::new();
    let papers = rig.federation.papers(&rig.granted(|_| ()), 1);
    let admitted = rig.admit(&papers).unwrap();
    let busy = rig.ledger.charge(admitted, Room::Full, &mut SystemEntropy::new());
    assert_eq!(busy.unwrap_err(), Refusal::Busy);
    assert_eq!(rig.spent(), Cost::ZERO);
    rig.fresh(&papers);
    // A repeat needs no room.
    let again = rig.admit(&rig.federation.papers(&rig.federation.analysis(|_| ()), 2)).unwrap();
    let again = rig.ledger.charge(again, Room::Full, &mut SystemEntropy::new());
    assert!(matches!(again, Ok(Charged::Repeat(_))));
}

#[test]
fn a21_sums_stay_exact_at_both_ends() {
    let most = Epsilon::from_units(i64::MAX as u64).unwrap();
    let most = Budget { epsilon: most, ..Cost::ZERO };
    let federation = Federation::with(|agreement| {
        agreement.parties[0].caps = most;
        agreement.researchers[0].caps = most;
    });
    let rig = Rig::with(federation, most);
    let mut before = Cost::ZERO;
    for (i, cost) in ["0.000000001", "1", "1000", "0.123456789"].into_iter().enumerate() {
        let analysis = rig.granted(|a| {
            numbered(i)(a);
            a.cost_per_round = epsilon(cost);
        });
        match rig.charge(&rig.federation.papers(&analysis, i as u64)) {
            Ok(_) => {
                let sum = before.checked_add(epsilon(cost)).unwrap();
                assert_eq!(rig.spent(), sum, "charged exactly what was signed");
                before = sum;
            }
            // The planner may have no noise for so small a loss; then nothing is charged.
            Err(refusal) => {
                assert_eq!(refusal, Refusal::PlanMismatch);
                assert_eq!(rig.spent(), before);
            }
        }
    }
    assert!(before.epsilon >= "1001".parse().unwrap());
    // One unit below the end of the range a further charge is refused, never wrapped.
    let spare = rusqlite::Connection::open(rig.ledger.path()).unwrap();
    let changed = spare.execute("UPDATE accounts SET epsilon = ?", [i64::MAX - 1]).unwrap();
    assert_eq!(changed, 7, "lifetime, agreement, researcher and one for each study");
    let papers = rig.federation.papers(&rig.granted(numbered(9)), 9);
    assert_eq!(rig.charge(&papers).unwrap_err(), Refusal::OverBudget);
}

#[test]
fn a21_a_negative_or_free_account_cannot_be_stored() {
    let rig = Rig::new();
    rig.fresh(&rig.federation.papers(&rig.granted(|_| ()), 1));
    let spare = rusqlite::Connection::open(rig.ledger.path()).unwrap();
    assert!(spare.execute("UPDATE accounts SET epsilon = -1", []).is_err());
    assert!(spare.execute("UPDATE accounts SET epsilon = 0.5", []).is_err());
    assert_eq!(rig.spent(), epsilon("1"));
}

#[test]
fn a27_researchers_and_agreements_share_one_lifetime_account() {
    let cap = epsilon("3");
    let rig = Rig::with(Federation::new(), cap);
    let second = Federation::with(|agreement| agreement.charter.push_str(" Again."));
    assert_ne!(rig.federation.digest, second.digest);
    let mut charged = 0;
    let mut question = 0;
    for _ in 0..4 {
        for who in ["ada", "bob"] {
            for federation in [&rig.federation, &second] {
                question += 1;
                let analysis = federation.analysis(|a| {
                    numbered(question)(a);
                    a.researcher = name(who);
                });
                federation.grant("north", &analysis, &rig.ledger);
                let papers = federation.papers(&analysis, question as u64);
                let terms = federation.terms("north", cap, 30_000);
                let admitted = admit(&papers.asking(), &terms, &rig.ledger, NOW_S).unwrap();
                let result = rig.ledger.charge(admitted, Room::Free, &mut SystemEntropy::new());
                match result {
                    Ok(Charged::Fresh(_)) => charged += 1,
                    Err(Refusal::OverBudget) => {}
                    other => panic!("unexpected: {other:?}"),
                }
                assert!(rig.spent().within(cap));
            }
        }
    }
    assert_eq!(charged, 3);
    let rig = rig.reopen();
    assert_eq!(rig.spent(), cap);
}

#[test]
fn a27_columns_are_never_converted() {
    let rig = Rig::with(Federation::new(), Budget { rho: "5".parse().unwrap(), ..Cost::ZERO });
    let papers = rig.federation.papers(&rig.granted(|_| ()), 1);
    assert_eq!(rig.charge(&papers).unwrap_err(), Refusal::OverBudget);
    let analysis = rig.granted(|a| {
        a.name = name("in-rho");
        a.cost_per_round = Cost { rho: "0.5".parse().unwrap(), ..Cost::ZERO };
    });
    rig.fresh(&rig.federation.papers(&analysis, 2));
    assert_eq!(rig.spent(), Cost { rho: "0.5".parse().unwrap(), ..Cost::ZERO });
}
