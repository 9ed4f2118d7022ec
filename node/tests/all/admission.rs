//! Rows B1 to B7, B12, B24: what the gate refuses, with the refusal it names, and that nothing is
//! charged by it.

use super::*;
use cloister_node::fixtures::{digest_of, name};
use cloister_terms::{
    Agreement, Approval, Body, Column, Digest, Grant, ModuleBody, Nonce, RunRequest, Verdict,
};
use cloister_wire::sha256;

#[test]
fn a_complete_asking_is_admitted_and_charged() {
    let rig = Rig::new();
    let papers = rig.federation.papers(&rig.granted(|_| ()), 1);
    let charge = rig.fresh(&papers);
    assert_eq!(charge.plan().group_cap, 2);
    assert!(charge.module().is_none());
    assert_eq!(rig.spent(), epsilon("1"));
    assert!(no_rho(rig.spent()));
}

#[test]
fn b01_an_approval_by_an_unknown_key_is_refused() {
    let rig = Rig::new();
    let analysis = rig.granted(|_| ());
    let mut papers = rig.federation.papers(&analysis, 1);
    let stranger = key("person:mallory");
    // A registered name under a stranger's key, and a name that nobody registered.
    for reviewer in ["rosa", "mallory"] {
        let vote = rig.federation.vote_signed_by(reviewer, &analysis, Verdict::Approve, &stranger);
        papers.approvals[1] = vote.to_bytes();
        assert_eq!(rig.refusal(&papers), Refusal::BadSignature, "{reviewer}");
    }
    // The same for the researcher's own signatures.
    let forged = Envelope::sign(&rig.federation.draft(|_| ()), &stranger).unwrap();
    let forged = Papers { analysis: forged.to_bytes(), ..rig.federation.papers(&analysis, 1) };
    assert_eq!(rig.refusal(&forged), Refusal::BadSignature);
    assert_eq!(rig.spent(), Cost::ZERO);
}

#[test]
fn b02_too_few_persons_or_organisations_are_below_quorum() {
    let rig = Rig::new();
    let analysis = rig.granted(|_| ());
    let vote = |who: &str| rig.federation.vote(who, &analysis, Verdict::Approve);
    let with = |votes: &[Envelope]| Papers {
        approvals: votes.iter().map(Envelope::to_bytes).collect(),
        request: rig.federation.request(&analysis, &deduplicated(votes), 1, NOW_S).to_bytes(),
        ..rig.federation.papers(&analysis, 1)
    };
    for votes in [
        vec![],
        vec![vote("rita")],
        vec![vote("rita"), vote("rita")],
        vec![vote("rita"), vote("ron")], // one organisation
        vec![vote("rita"), vote("rosa"), rig.federation.vote("rosa", &analysis, Verdict::Reject)],
    ] {
        assert_eq!(rig.refusal(&with(&votes)), Refusal::BelowQuorum, "{} votes", votes.len());
    }
    // One person with two keys: the second key is registered for nobody.
    let second =
        rig.federation.vote_signed_by("rita", &analysis, Verdict::Approve, &key("person:rita2"));
    assert_eq!(rig.refusal(&with(&[vote("rita"), second])), Refusal::BadSignature);
    // The request must rely on exactly the votes that count.
    let mut papers = with(&[vote("rita"), vote("rosa")]);
    papers.approvals.push(vote("ron").to_bytes());
    assert_eq!(rig.refusal(&papers), Refusal::BelowQuorum);
    papers.approvals.truncate(1);
    assert_eq!(rig.refusal(&papers), Refusal::BelowQuorum);
    rig.fresh(&with(&[vote("rita"), vote("rosa")]));
}

fn deduplicated(votes: &[Envelope]) -> Vec<Envelope> {
    let mut seen = std::collections::BTreeSet::new();
    votes.iter().filter(|vote| seen.insert(digest_of::<Approval>(vote))).cloned().collect()
}

#[test]
fn b03_a_document_of_one_kind_is_never_another() {
    let rig = Rig::new();
    let analysis = rig.granted(|_| ());
    let good = rig.federation.papers(&analysis, 1);
    let agreement = rig.federation.agreement.to_bytes();
    let mut papers = good.clone();
    papers.approvals[0] = agreement.clone();
    assert_eq!(rig.refusal(&papers), Refusal::WrongPayloadType);
    let papers = Papers { request: good.approvals[0].clone(), ..good.clone() };
    assert_eq!(rig.refusal(&papers), Refusal::WrongPayloadType);
    let papers = Papers { analysis: good.request.clone(), ..good.clone() };
    assert_eq!(rig.refusal(&papers), Refusal::WrongPayloadType);
    assert!(matches!(
        cloister_node::agreement::SignedAgreement::open(
            &good.analysis,
            &name("north"),
            &key("steward:north").public_key(),
            &key("node:north").public_key(),
        ),
        Err(cloister_node::agreement::NotOurAgreement::Envelope(_))
    ));
}

#[test]
fn b04_a_nonce_is_used_once_also_after_a_restart() {
    let rig = Rig::new();
    let papers = rig.federation.papers(&rig.granted(|_| ()), 1);
    rig.fresh(&papers);
    assert_eq!(rig.charge(&papers).unwrap_err(), Refusal::Replay);
    let rig = rig.reopen();
    assert_eq!(rig.charge(&papers).unwrap_err(), Refusal::Replay);
    // The same nonce in another signed request of the same person is a replay too.
    let other = rig.granted(numbered(1));
    assert_eq!(rig.charge(&rig.federation.papers(&other, 1)).unwrap_err(), Refusal::Replay);
    assert_eq!(rig.spent(), epsilon("1"));
}

#[test]
fn b05_any_changed_byte_is_refused() {
    let rig = Rig::new();
    let analysis = rig.granted(|_| ());
    let good = rig.federation.papers(&analysis, 1);
    type Part = fn(&mut Papers) -> &mut Vec<u8>;
    let flips: [(&str, Part); 3] = [
        ("analysis", |papers| &mut papers.analysis),
        ("approval", |papers| &mut papers.approvals[0]),
        ("request", |papers| &mut papers.request),
    ];
    for (what, part) in flips {
        let mut papers = good.clone();
        let length = part(&mut papers).len();
        for at in (0..length).step_by(11) {
            part(&mut papers)[at] ^= 1;
            if let Ok(admitted) = rig.admit(&papers) {
                // keyid is a hint and no part of what is signed.
                assert_eq!(admitted.request(), good.request_digest(), "{what}, byte {at}");
                let text = String::from_utf8(part(&mut papers).clone()).unwrap();
                let (before, _) = text.split_at(at);
                assert!(before.contains("keyid"), "{what}, byte {at}");
            }
            part(&mut papers)[at] ^= 1;
        }
    }
    rig.fresh(&good);
}

#[test]
fn b05_votes_do_not_carry_over_to_a_changed_analysis() {
    let rig = Rig::new();
    let approved = rig.federation.papers(&rig.granted(|_| ()), 1);
    let edits: [fn(&mut Analysis); 7] = [
        |a| a.recipients = vec![name("ada"), name("bob")],
        |a| a.nodes = vec![name("north")],
        |a| a.max_runs = 11,
        |a| a.question.push('!'),
        |a| a.group_cap = 3,
        |a| a.not_after_s += 1,
        |a| a.body = Body::Sql { text: "SELECT COUNT(*) AS n FROM trips".into() },
    ];
    for edit in edits {
        let changed = rig.granted(edit);
        let papers =
            Papers { approvals: approved.approvals.clone(), ..rig.federation.papers(&changed, 2) };
        assert_eq!(rig.refusal(&papers), Refusal::DigestMismatch);
        // And a request for the approved one does not fit the changed one.
        let papers =
            Papers { request: approved.request.clone(), ..rig.federation.papers(&changed, 2) };
        assert_eq!(rig.refusal(&papers), Refusal::DigestMismatch);
    }
}

#[test]
fn b06_an_authors_vote_is_not_counted() {
    let federation = Federation::with(|agreement| {
        agreement.reviewers[2].name = name("ada");
        agreement.reviewers[2].key = key("person:ada-the-reviewer").public_key();
    });
    let rig = Rig::with(federation, generous());
    let analysis = rig.granted(|_| ());
    let own = rig.federation.vote_signed_by(
        "ada",
        &analysis,
        Verdict::Approve,
        &key("person:ada-the-reviewer"),
    );
    let votes = [rig.federation.vote("rita", &analysis, Verdict::Approve), own];
    let papers = Papers {
        analysis: analysis.to_bytes(),
        module: None,
        approvals: votes.iter().map(Envelope::to_bytes).collect(),
        request: rig.federation.request(&analysis, &votes, 1, NOW_S).to_bytes(),
        used: vec![],
    };
    assert_eq!(rig.refusal(&papers), Refusal::BelowQuorum);
}

#[test]
fn b06_a_vote_counts_until_the_second_before_the_reviewers_training_lapses() {
    let trained_until = |until_s: i64| {
        let edit = |agreement: &mut Agreement| {
            agreement.reviewers[2].trained_until_s = Some(until_s);
        };
        Rig::with(Federation::with(edit), generous())
    };
    let lapsed = trained_until(NOW_S);
    let papers = lapsed.federation.papers(&lapsed.granted(|_| ()), 1);
    assert_eq!(lapsed.refusal(&papers), Refusal::BelowQuorum);
    let rig = trained_until(NOW_S + 1);
    rig.admit(&rig.federation.papers(&rig.granted(|_| ()), 1)).unwrap();
    // The very votes that are remembered as valid count no more a second later.
    let late_s = NOW_S + 1;
    let late = rig.admit_at(&at_of(&rig, 2, late_s), late_s);
    assert_eq!(late.unwrap_err(), Refusal::BelowQuorum);
}

#[test]
fn b07_dates_hold_for_the_whole_run() {
    let refused = |federation: Federation, edit: fn(&mut Analysis)| {
        let rig = Rig::with(federation, generous());
        rig.refusal(&rig.federation.papers(&rig.granted(edit), 1))
    };
    // The agreement's run time is 600 s.
    let ends_in = |s: i64| Federation::with(move |agreement| agreement.not_after_s = NOW_S + s);
    for s in [-1, 0, 1, 600] {
        assert_eq!(refused(ends_in(s), |_| ()), Refusal::OutsideDates, "{s}");
    }
    let rig = Rig::with(ends_in(601), generous());
    rig.fresh(&rig.federation.papers(&rig.granted(|_| ()), 1));
    let late = Federation::with(|agreement| {
        agreement.not_before_s = NOW_S + 1;
    });
    assert_eq!(refused(late, |_| ()), Refusal::OutsideDates);
    // The analysis' own dates, and a slot longer than the agreement's run time.
    let ended = |a: &mut Analysis| a.not_after_s = NOW_S + 600;
    assert_eq!(refused(Federation::new(), ended), Refusal::OutsideDates);
    let early = |a: &mut Analysis| a.not_before_s = NOW_S + 1;
    assert_eq!(refused(Federation::new(), early), Refusal::OutsideDates);
    let mut rig = Rig::with(ends_in(700), generous());
    rig.terms.release_slot_ms = 800_000;
    let papers = rig.federation.papers(&rig.granted(|_| ()), 1);
    assert_eq!(rig.refusal(&papers), Refusal::OutsideDates);
}

#[test]
fn b07_a_grant_ends_too() {
    let rig = Rig::new();
    let analysis = rig.federation.analysis(|_| ());
    let papers = rig.federation.papers(&analysis, 1);
    let decide = |edit: &dyn Fn(&mut Grant), signer: &str| {
        let mut grant = rig
            .federation
            .decision("north", &analysis, Verdict::Approve)
            .open::<Grant>()
            .unwrap()
            .document()
            .clone();
        edit(&mut grant);
        let signed = Envelope::sign(&grant, &key(signer)).unwrap();
        rig.ledger.decide(&signed.open::<Grant>().unwrap(), NOW_S).unwrap();
        rig.refusal(&papers)
    };
    let steward = "steward:north";
    assert_eq!(decide(&|g| g.not_after_s = NOW_S + 600, steward), Refusal::OutsideDates);
    assert_eq!(decide(&|g| g.signed_at_s = NOW_S + 121, steward), Refusal::OutsideDates);
    assert_eq!(decide(&|g| g.partner = name("south"), steward), Refusal::NotGranted);
    assert_eq!(decide(&|g| g.agreement = Digest::new([1; 32]), steward), Refusal::NotGranted);
    assert_eq!(decide(&|g| g.version = 2, steward), Refusal::NotGranted);
    assert_eq!(decide(&|g| g.verdict = Verdict::Reject, steward), Refusal::Declined);
    assert_eq!(decide(&|_| (), "steward:south"), Refusal::BadSignature);
    assert_eq!(decide(&|_| (), "node:north"), Refusal::BadSignature);
}

#[test]
fn b12_clocks_that_disagree_are_refused() {
    let rig = Rig::new();
    let analysis = rig.granted(|_| ());
    let at = |nonce: u64, requested_at_s: i64| {
        let votes =
            ["rita", "rosa"].map(|who| rig.federation.vote(who, &analysis, Verdict::Approve));
        Papers {
            request: rig.federation.request(&analysis, &votes, nonce, requested_at_s).to_bytes(),
            ..rig.federation.papers(&analysis, nonce)
        }
    };
    for apart_s in [121, -121, 1_000_000_000, -NOW_S, -2 * NOW_S] {
        assert_eq!(rig.refusal(&at(1, NOW_S + apart_s)), Refusal::ClockSkew, "{apart_s}");
    }
    for apart_s in [120, -120] {
        rig.admit(&at(1, NOW_S + apart_s)).unwrap();
    }
    // The ledger has seen NOW_S + 1000 s: the clock may stand 120 s behind that, no more.
    rig.ledger.note_time(NOW_S + 1_000).unwrap();
    let rig = rig.reopen();
    let late = NOW_S + 1_000 - 120;
    assert_eq!(rig.admit_at(&at_of(&rig, 2, late - 1), late - 1).unwrap_err(), Refusal::ClockSkew);
    rig.admit_at(&at_of(&rig, 2, late), late).unwrap();
    rig.ledger.note_time(NOW_S).unwrap();
    assert_eq!(rig.admit_at(&at_of(&rig, 2, late - 1), late - 1).unwrap_err(), Refusal::ClockSkew);
}

fn at_of(rig: &Rig, nonce: u64, requested_at_s: i64) -> Papers {
    let analysis = rig.federation.analysis(|_| ());
    let votes = ["rita", "rosa"].map(|who| rig.federation.vote(who, &analysis, Verdict::Approve));
    Papers {
        request: rig.federation.request(&analysis, &votes, nonce, requested_at_s).to_bytes(),
        ..rig.federation.papers(&analysis, nonce)
    }
}

#[test]
fn b24_cost_plan_and_nodes_are_planned_again_here() {
    let rig = Rig::new();
    let refused = |edit: &dyn Fn(&mut Analysis)| {
        let mut document = rig.federation.draft(|_| ());
        edit(&mut document);
        let analysis = Envelope::sign(&document, &key("person:ada")).unwrap();
        rig.federation.grant("north", &analysis, &rig.ledger);
        let refusal = rig.refusal(&rig.federation.papers(&analysis, 1));
        assert_eq!(rig.spent(), Cost::ZERO);
        refusal
    };
    // Fully signed and approved, but not what the text says: raised or lowered cost, wider noise
    // bought for less, a plan or column that is another's, nodes from outside.
    assert_eq!(refused(&|a| a.cost_per_round = epsilon("0.5")), Refusal::PlanMismatch);
    assert_eq!(refused(&|a| a.cost_per_round = epsilon("2")), Refusal::PlanMismatch);
    assert_eq!(refused(&|a| a.plan = Digest::new([1; 32])), Refusal::PlanMismatch);
    assert_eq!(refused(&|a| a.columns[0].columns.truncate(1)), Refusal::PlanMismatch);
    assert_eq!(refused(&|a| a.group_cap = 1), Refusal::PlanMismatch);
    assert_eq!(refused(&|a| a.shape.lanes[0].sensitivity_steps = 1), Refusal::PlanMismatch);
    let outside = |a: &mut Analysis| a.nodes = vec![name("east"), name("north")];
    assert_eq!(refused(&outside), Refusal::NotAParty);
    assert_eq!(refused(&|a| a.nodes = vec![name("south")]), Refusal::NotAParty);
    assert_eq!(refused(&|a| a.cost_per_round = Cost::ZERO), Refusal::Malformed);
    let both = Cost { rho: "0.1".parse().unwrap(), ..epsilon("1") };
    assert_eq!(refused(&|a| a.cost_per_round = both), Refusal::PlanMismatch);
    let drop = |a: &mut Analysis| a.body = Body::Sql { text: "DROP TABLE trips".into() };
    assert_eq!(refused(&drop), Refusal::PlanMismatch);
}

#[test]
fn everything_not_allowed_is_denied() {
    let rig = Rig::new();
    let purpose = rig.granted(|a| a.purpose = "https://w3id.org/dpv#Marketing".into());
    assert_eq!(rig.refusal(&rig.federation.papers(&purpose, 1)), Refusal::WrongPurpose);
    let elsewhere = rig.granted(|a| a.agreement = Digest::new([8; 32]));
    assert_eq!(rig.refusal(&rig.federation.papers(&elsewhere, 1)), Refusal::UnknownAgreement);
    // Public keys need no second round.
    let rounds = rig.granted(|a| a.rounds = 2);
    assert_eq!(rig.refusal(&rig.federation.papers(&rounds, 1)), Refusal::Malformed);
    let ungranted = rig.federation.analysis(|a| a.max_runs = 3);
    assert_eq!(rig.refusal(&rig.federation.papers(&ungranted, 1)), Refusal::NotGranted);
    let good = rig.federation.papers(&rig.granted(|_| ()), 1);
    let extra = Papers { module: Some(vec![0]), ..good.clone() };
    assert_eq!(rig.refusal(&extra), Refusal::ModuleMismatch);
    rig.ledger.set_paused(true, NOW_S).unwrap();
    assert_eq!(rig.refusal(&good), Refusal::Paused);
    rig.ledger.set_paused(false, NOW_S).unwrap();
    rig.fresh(&good);
}

#[test]
fn requests_are_taken_as_signed_or_not_at_all() {
    let rig = Rig::new();
    let analysis = rig.granted(|_| ());
    let good = rig.federation.papers(&analysis, 1);
    let signed = Envelope::parse(&good.request).unwrap().open::<RunRequest>().unwrap();
    let refused = |edit: &dyn Fn(&mut RunRequest), signer: &str| {
        let mut request = signed.document().clone();
        edit(&mut request);
        let request = Envelope::sign(&request, &key(signer)).unwrap().to_bytes();
        rig.refusal(&Papers { request, ..good.clone() })
    };
    let ada = "person:ada";
    assert_eq!(refused(&|r| r.round = 2, ada), Refusal::WrongRound);
    assert_eq!(refused(&|r| r.round = 0, ada), Refusal::WrongRound);
    assert_eq!(refused(&|r| r.parameters = Digest::new([0; 32]), ada), Refusal::WrongRound);
    assert_eq!(refused(&|r| r.releases_used = vec![r.analysis], ada), Refusal::WrongRound);
    assert_eq!(refused(&|r| r.version = 2, ada), Refusal::Malformed);
    assert_eq!(refused(&|r| r.approvals.reverse(), ada), Refusal::Malformed);
    assert_eq!(refused(&|r| r.researcher = name("bob"), ada), Refusal::BadSignature);
    assert_eq!(refused(&|_| (), "person:bob"), Refusal::BadSignature);
    assert_eq!(refused(&|r| r.analysis = Digest::new([3; 32]), ada), Refusal::DigestMismatch);
    let again = refused(&|r| r.nonce = Nonce::new([1; 16]), "person:mallory");
    assert_eq!(again, Refusal::BadSignature);
}

#[test]
fn hostile_bytes_are_malformed() {
    let rig = Rig::new();
    let good = rig.federation.papers(&rig.granted(|_| ()), 1);
    for bytes in [&b""[..], b"{}", b"null", b"[[[[", &[0xff; 64], &vec![b'['; 100_000]] {
        for papers in [
            Papers { request: bytes.to_vec(), ..good.clone() },
            Papers { analysis: bytes.to_vec(), ..good.clone() },
            Papers { approvals: vec![bytes.to_vec()], ..good.clone() },
        ] {
            assert_eq!(rig.refusal(&papers), Refusal::Malformed);
        }
    }
    let many = Papers { approvals: vec![good.approvals[0].clone(); 2_001], ..good.clone() };
    assert_eq!(rig.refusal(&many), Refusal::Malformed);
}

#[test]
fn only_the_approved_module_bytes_are_vetted() {
    let rig = Rig::new();
    let bytes = b"\0asm not a module".to_vec();
    let body = |sha256: Digest| {
        Body::Module(ModuleBody {
            sha256,
            rows: "SELECT distance_km FROM trips".into(),
            keys: vec![],
            lanes: vec![cloister_terms::ModuleLane {
                name: "n".into(),
                value: cloister_terms::Bounds::from_steps(0, 10, 0).unwrap(),
            }],
            numbers: cloister_terms::ModuleNumbers::Int,
            outputs: cloister_terms::ModuleOutputs::Sparse,
            norm_max_steps: None,
            fuel_per_person: 1_000,
        })
    };
    let analysis = rig.granted(|a| a.body = body(sha256(&bytes)));
    let papers = rig.federation.papers(&analysis, 1);
    assert_eq!(rig.refusal(&papers), Refusal::ModuleMismatch);
    let other = Papers { module: Some(b"other".to_vec()), ..papers.clone() };
    assert_eq!(rig.refusal(&other), Refusal::ModuleMismatch);
    let hostile = Papers { module: Some(bytes), ..papers };
    assert_eq!(rig.refusal(&hostile), Refusal::ModuleRejected);
}

/// Ada's module question over `rows`, as the sample module `town-flows` is built for: 512 rows of two
/// columns, at most four outputs.
fn town_flows(rig: &Rig, rows: &str, row_cap: u32, group_cap: u32) -> Papers {
    let wasm = crate::modules::town_flows();
    let towns: Vec<_> = (0..6).map(cloister_terms::KeyValue::Int).collect();
    let key =
        |name: &str| cloister_terms::KeyDimension { name: name.into(), values: towns.clone() };
    let analysis = rig.granted(|a| {
        a.name = name("town-flows");
        (a.row_cap, a.group_cap) = (row_cap, group_cap);
        a.body = Body::Module(ModuleBody {
            sha256: sha256(&wasm),
            rows: rows.into(),
            keys: vec![key("from"), key("to")],
            lanes: vec![cloister_terms::ModuleLane {
                name: "people".into(),
                value: cloister_terms::Bounds::from_steps(0, 1, 0).unwrap(),
            }],
            numbers: cloister_terms::ModuleNumbers::Int,
            outputs: cloister_terms::ModuleOutputs::Sparse,
            norm_max_steps: None,
            fuel_per_person: 2_000_000,
        });
    });
    Papers { module: Some(wasm), ..rig.federation.papers(&analysis, 1) }
}

/// A gate whose dictionary lets a person have as many rows as the sample module takes, and two towns in each.
fn rig_of_many_rows() -> Rig {
    let federation = Federation::with(|a| {
        let trips = &mut a.dictionary.datasets[0];
        trips.rows_per_unit_max = 600;
        let city = trips.column("city").unwrap().clone();
        trips.columns.push(Column { name: name("end_city"), ..city });
    });
    Rig::with(federation, generous())
}

#[test]
fn a_module_that_fits_its_question_is_admitted_and_charged() {
    let rig = rig_of_many_rows();
    let papers = town_flows(&rig, "SELECT city, end_city FROM trips", 512, 4);
    let charge = rig.fresh(&papers);
    assert_eq!(charge.module(), papers.module.as_deref());
    assert_eq!((charge.plan().row_cap, charge.plan().group_cap), (512, 4));
    assert_eq!(rig.spent(), epsilon("1"));
}

#[test]
fn b05_any_changed_byte_of_the_module_is_refused() {
    let rig = rig_of_many_rows();
    let good = town_flows(&rig, "SELECT city, end_city FROM trips", 512, 4);
    let refusal =
        |wasm: &[u8]| rig.refusal(&Papers { module: Some(wasm.to_vec()), ..good.clone() });
    let mut wasm = good.module.clone().unwrap();
    let last = wasm.len() - 1;
    for at in (0..last).step_by(1 + last / 40).chain([last]) {
        wasm[at] ^= 1;
        assert_eq!(refusal(&wasm), Refusal::ModuleMismatch, "byte {at}");
        wasm[at] ^= 1;
    }
    assert_eq!(refusal(&wasm[..last]), Refusal::ModuleMismatch, "one byte less");
    wasm.push(0);
    assert_eq!(refusal(&wasm), Refusal::ModuleMismatch, "one byte more");
    assert_eq!(rig.spent(), Cost::ZERO);
    rig.fresh(&good);
}

#[test]
fn a_module_built_for_another_question_is_refused_before_the_charge() {
    let rig = rig_of_many_rows();
    let two = "SELECT city, end_city FROM trips";
    for (what, rows, row_cap, group_cap) in [
        ("fewer rows", two, 448, 4),
        ("more rows", two, 576, 4),
        ("one column", "SELECT city FROM trips", 512, 4),
        ("more outputs", two, 512, 5),
        ("columns of other kinds", "SELECT city, distance_km FROM trips", 512, 4),
    ] {
        let papers = town_flows(&rig, rows, row_cap, group_cap);
        assert_eq!(rig.refusal(&papers), Refusal::ModuleRejected, "{what}");
    }
    assert_eq!(rig.spent(), Cost::ZERO);
}
