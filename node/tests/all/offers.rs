//! Offers, decisions and the pinned agreement: what the coordinator may put before the steward, and
//! how much of it.

use super::*;
use cloister_node::admit::admit_offer;
use cloister_node::agreement::{NotOurAgreement, SignedAgreement};
use cloister_node::fixtures::name;
use cloister_node::ledger::LedgerError;
use cloister_node::ledger::steward::{OFFERS_MAX, OFFERS_PER_RESEARCHER_MAX};
use cloister_terms::{Digest, Verdict};

fn offer(rig: &Rig, papers: &Papers) -> Result<Digest, Refusal> {
    let module = papers.module.as_deref();
    let analysis = admit_offer(&papers.analysis, module, &papers.approvals, &rig.terms)?;
    let kept = rig.ledger.keep_offer(&analysis, module, &papers.approvals, NOW_S);
    kept.map_err(|fault| fault.refusal())?;
    Ok(analysis.digest())
}

#[test]
fn hostile_offers_are_refused() {
    let rig = Rig::new();
    let good = rig.federation.papers(&rig.federation.analysis(|_| ()), 1);
    let with = |edit: &dyn Fn(&mut Analysis), signer: &str| {
        let mut document = rig.federation.draft(|_| ());
        edit(&mut document);
        let analysis = Envelope::sign(&document, &key(signer)).unwrap().to_bytes();
        offer(&rig, &Papers { analysis, approvals: vec![], ..good.clone() }).unwrap_err()
    };
    let ada = "person:ada";
    assert_eq!(with(&|_| (), "person:mallory"), Refusal::BadSignature);
    assert_eq!(with(&|a| a.researcher = name("mallory"), ada), Refusal::BadSignature);
    assert_eq!(with(&|a| a.agreement = Digest::new([0; 32]), ada), Refusal::UnknownAgreement);
    assert_eq!(with(&|a| a.nodes = vec![name("south")], ada), Refusal::NotAParty);
    assert_eq!(with(&|a| a.purpose = "fun".into(), ada), Refusal::WrongPurpose);
    assert_eq!(with(&|a| a.plan = Digest::new([0; 32]), ada), Refusal::PlanMismatch);
    assert_eq!(with(&|a| a.columns.clear(), ada), Refusal::PlanMismatch);
    assert_eq!(with(&|a| a.question = "?".repeat(10_000), ada), Refusal::Malformed);
    let module = Papers { module: Some(vec![0; 100]), ..good.clone() };
    assert_eq!(offer(&rig, &module).unwrap_err(), Refusal::ModuleMismatch);
    let forged = Papers { approvals: vec![b"{}".to_vec()], ..good.clone() };
    assert_eq!(offer(&rig, &forged).unwrap_err(), Refusal::Malformed);
    assert!(rig.ledger.offers().unwrap().is_empty());
    offer(&rig, &good).unwrap();
}

#[test]
fn an_offer_that_comes_late_takes_no_vote_away() {
    let rig = Rig::new();
    let all = rig.federation.papers(&rig.federation.analysis(|_| ()), 1);
    let one = Papers { approvals: all.approvals[..1].to_vec(), ..all.clone() };
    let votes = |papers: &Papers| {
        let analysis = offer(&rig, papers).unwrap();
        rig.ledger.offer(analysis).unwrap().unwrap().approvals
    };
    assert_eq!(votes(&one), one.approvals);
    assert_eq!(votes(&all), all.approvals);
    assert_eq!(votes(&one), all.approvals, "sent before, arrived after");
    assert_eq!(votes(&Papers { approvals: vec![], ..all.clone() }), all.approvals);
}

#[test]
fn offers_are_bounded_and_one_researcher_cannot_crowd_out_another() {
    let rig = Rig::new();
    let by = |who: &str, i: usize| {
        let analysis = rig.federation.analysis(|a| {
            a.researcher = name(who);
            a.name = name(&format!("q{i}"));
        });
        rig.federation.papers(&analysis, 1)
    };
    for i in 0..OFFERS_PER_RESEARCHER_MAX as usize {
        offer(&rig, &by("ada", i)).unwrap();
    }
    assert_eq!(offer(&rig, &by("ada", 1_000)).unwrap_err(), Refusal::Busy);
    // Known ones only get newer votes; others still find room; a decision makes room.
    offer(&rig, &by("ada", 0)).unwrap();
    offer(&rig, &by("bob", 0)).unwrap();
    let first = rig.ledger.offers().unwrap()[0].clone();
    let decided = (0..OFFERS_PER_RESEARCHER_MAX as usize)
        .map(|i| by("ada", i))
        .find(|papers| {
            let envelope = Envelope::parse(&papers.analysis).unwrap();
            envelope.open::<Analysis>().unwrap().digest() == first.analysis
        })
        .unwrap();
    let envelope = Envelope::parse(&decided.analysis).unwrap();
    rig.federation.grant("north", &envelope, &rig.ledger);
    offer(&rig, &by("ada", 1_000)).unwrap();
    assert!(rig.ledger.offers().unwrap().len() < OFFERS_MAX as usize);
}

#[test]
fn decisions_are_reported_until_taken_and_the_last_one_counts() {
    let rig = Rig::new();
    let papers = rig.federation.papers(&rig.federation.analysis(|_| ()), 1);
    let id = offer(&rig, &papers).unwrap();
    assert_eq!(rig.ledger.offers().unwrap()[0].granted, None);
    let kept = rig.ledger.offer(id).unwrap().unwrap();
    assert_eq!(
        (kept.envelope, kept.approvals),
        (papers.analysis.clone(), papers.approvals.clone())
    );
    let analysis = Envelope::parse(&papers.analysis).unwrap();
    rig.federation.grant("north", &analysis, &rig.ledger);
    assert_eq!(rig.ledger.decisions_to_report().unwrap(), [(id, true)]);
    let decline = rig.federation.decision("north", &analysis, Verdict::Reject);
    rig.ledger.decide(&decline.open().unwrap(), NOW_S).unwrap();
    // The report of the older decision does not hide the newer one.
    rig.ledger.decision_reported(id, true).unwrap();
    assert_eq!(rig.ledger.decisions_to_report().unwrap(), [(id, false)]);
    rig.ledger.decision_reported(id, false).unwrap();
    let rig = rig.reopen();
    assert!(rig.ledger.decisions_to_report().unwrap().is_empty());
    assert_eq!(rig.ledger.offers().unwrap()[0].granted, Some(false));
    assert_eq!(rig.refusal(&papers), Refusal::Declined);
}

#[test]
fn an_agreement_needs_every_signature_and_our_own_keys() {
    let federation = Federation::new();
    let own = |role: &str| key(&format!("{role}:north")).public_key();
    let open = |bytes: &[u8]| {
        SignedAgreement::open(bytes, &name("north"), &own("steward"), &own("node")).map(drop)
    };
    open(&federation.agreement.to_bytes()).unwrap();
    let signed_by = |keys: &[&str]| {
        let mut envelope = Envelope::unsigned(&federation.document).unwrap();
        keys.iter().for_each(|role| envelope.add_signature(&key(role)).unwrap());
        envelope.to_bytes()
    };
    for keys in [&[][..], &["steward:north"], &["steward:south"], &["steward:north", "node:south"]]
    {
        assert!(matches!(open(&signed_by(keys)), Err(NotOurAgreement::Unsigned(_))), "{keys:?}");
    }
    let bytes = federation.agreement.to_bytes();
    let stranger = SignedAgreement::open(&bytes, &name("east"), &own("steward"), &own("node"));
    assert!(matches!(stranger, Err(NotOurAgreement::NotAParty(_))));
    let other = key("steward:south").public_key();
    let swapped = SignedAgreement::open(&bytes, &name("north"), &other, &own("node"));
    assert!(matches!(swapped, Err(NotOurAgreement::StewardKey(_))));
    let swapped = SignedAgreement::open(&bytes, &name("north"), &own("steward"), &other);
    assert!(matches!(swapped, Err(NotOurAgreement::NodeKey(_))));
    assert!(matches!(open(b"{}"), Err(NotOurAgreement::Envelope(_))));
}

#[test]
fn the_agreement_is_pinned_at_its_first_use() {
    let rig = Rig::new();
    let (first, second) = (Digest::new([1; 32]), Digest::new([2; 32]));
    rig.ledger.pin_first(first, NOW_S).unwrap();
    rig.ledger.pin_first(first, NOW_S).unwrap();
    let rig = rig.reopen();
    let other = rig.ledger.pin_first(second, NOW_S);
    assert!(matches!(other, Err(LedgerError::OtherAgreement { pinned, .. }) if pinned == first));
    rig.ledger.pin(second, NOW_S).unwrap();
    rig.ledger.pin_first(second, NOW_S).unwrap();
    assert_eq!(rig.ledger.pinned().unwrap(), Some(second));
}
