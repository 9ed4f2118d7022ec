//! Rows A9, A14, A17, A21, A27: what is debited is what the noise costs; sums only grow, never pass a cap,
//! whoever asks and whatever fails.

use super::*;
use crate::rounds;
use cloister_dp::key_threshold;
use cloister_node::fixtures::name;
use cloister_node::ledger::{LedgerError, Settled};
use cloister_terms::{Body, Delta, Epsilon, Noise};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a person loses through the noise that a charge's run draws, as epsilon and rho, by the definitions
/// alone: each lane, or group of lanes once, in every cell that she may be in; each diagnostic in its one.
fn drawn(charge: &Charge) -> (f64, f64) {
    let (shape, cells) = (&charge.plan().shape, f64::from(charge.plan().group_cap));
    let (mut epsilon, mut rho, mut open) = (0.0, 0.0, None);
    let mut add = |noise: &Noise, total: f64, squared: f64| match noise {
        Noise::DiscreteLaplace { scale } => epsilon += total / scale.to_f64(),
        Noise::DiscreteGaussian { sigma_sq } => rho += squared / (2.0 * sigma_sq.to_f64()),
    };
    for lane in &shape.lanes {
        let group = lane.one_of.map(|own| own.group);
        let most = lane.sensitivity_steps as f64;
        let total = lane.one_of.map_or(most, |own| own.total_steps as f64);
        if group.is_none() || group != open {
            add(&lane.noise, cells * total, cells * most * total);
        }
        open = group;
    }
    shape.diagnostics.iter().for_each(|one| add(&one.noise, 1.0, 1.0));
    (epsilon, rho)
}

/// No less is debited than the noise costs, and no more but for the rounding of a few shares; delta as the
/// threshold keeps it.
fn assert_costs(charge: &Charge, debited: Cost) {
    let (epsilon, rho) = drawn(charge);
    for (paid, lost) in [(debited.epsilon.to_f64(), epsilon), (debited.rho.to_f64(), rho)] {
        assert!((-1e-12..1e-8).contains(&(paid - lost)), "{debited}: the noise costs {lost}");
    }
    let shape = &charge.plan().shape;
    let Some(threshold) = shape.key_threshold() else {
        assert_eq!(debited.delta, Delta::ZERO, "no key is shown by its people");
        return;
    };
    assert_eq!(debited.delta, threshold.delta);
    let people = &shape.lanes[threshold.persons_lane as usize].noise;
    let least = key_threshold(people, charge.plan().group_cap, debited.delta).unwrap();
    assert!(threshold.people >= least, "{} people, {least} keep delta", threshold.people);
}

#[test]
fn a09_the_ledger_debits_what_lanes_diagnostics_and_keys_cost() {
    type Edit = fn(&mut Analysis);
    fn asked(analysis: &mut Analysis, text: &str, cost: Cost) {
        analysis.body = Body::Sql { text: text.into() };
        analysis.cost_per_round = cost;
    }
    fn of(epsilon: &str, rho: &str, delta: &str) -> Cost {
        let (epsilon, rho) = (epsilon.parse().unwrap(), rho.parse().unwrap());
        Cost { epsilon, rho, delta: delta.parse().unwrap() }
    }
    const COMPOSITES: &str = "SELECT MEDIAN(distance_km) AS half, COUNT(DISTINCT city) AS cities, \
         VAR_POP(distance_km) AS spread, AVG(distance_km) AS mean, COUNT(*) AS trips FROM trips";
    const BY_KM: &str = "SELECT CAST(distance_km AS BIGINT) AS km, MEDIAN(distance_km) AS half, \
         SUM(distance_km) AS all_km FROM trips GROUP BY CAST(distance_km AS BIGINT)";
    let rig = rounds::rig();
    let edits: [Edit; 6] = [
        |_| (),
        |a| a.diagnostics = true,
        |a| asked(a, COMPOSITES, of("0.777777777", "0", "0")),
        |a| {
            asked(a, COMPOSITES, of("0", "0.3", "0"));
            a.diagnostics = true;
        },
        |a| {
            asked(a, BY_KM, of("1", "0", "0.000001"));
            a.diagnostics = true;
        },
        |a| asked(a, BY_KM, of("0", "0.033333337", "0.00001")),
    ];
    let mut all = Cost::ZERO;
    let mut debit = |charge: &Charge| {
        let debited = rig.ledger.view().unwrap().charges.last().unwrap().cost;
        all = all.checked_add(debited).unwrap();
        assert_eq!(rig.spent(), all);
        assert_costs(charge, debited);
    };
    for (number, edit) in edits.into_iter().enumerate() {
        let analysis = rig.granted(|a| {
            a.name = name(&format!("question-{number}"));
            edit(a);
        });
        debit(&rig.fresh(&rig.federation.papers(&analysis, number as u64)));
    }
    let analysis = rig.granted(|a| {
        rounds::two_rounds(a);
        a.diagnostics = true;
    });
    let papers = rig.federation.papers(&analysis, 100);
    debit(&rig.fresh(&papers));
    let used = [rounds::signed(&rounds::shown(&analysis, "north", &[1, 4]))];
    debit(&rig.fresh(&rounds::second(&rig, &analysis, &papers, &used, 101)));
    // Every account of theirs, and the studies' together.
    let accounts = rig.ledger.view().unwrap().accounts;
    let (studies, others): (Vec<_>, Vec<_>) = accounts.iter().partition(|a| a.kind == "study");
    assert_eq!((studies.len(), others.len()), (7, 3));
    assert!(others.iter().all(|account| account.spent == all));
    let mut sum = Cost::ZERO;
    studies.iter().for_each(|study| sum = sum.checked_add(study.spent).unwrap());
    assert_eq!(sum, all);
}

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
