//! Two rounds over private keys, at the gate: the second one stands on signed releases of the first, asks
//! for their keys and no other, and is charged and counted by itself.

use super::*;
use cloister_node::fixtures::name;
use cloister_terms::release::Int;
use cloister_terms::{DOCUMENT_VERSION, Delta, Digest, Key, KeyValue, ReleaseRecord, RunRequest};
use cloister_wire::{ProofError, Round, sha256};

/// By whole kilometres, of which the dictionary lists none.
const BY_KM: &str = "SELECT CAST(distance_km AS BIGINT) AS km, COUNT(*) AS trips FROM trips \
     GROUP BY CAST(distance_km AS BIGINT)";
const DELTA: &str = "0.000001";

pub fn rig() -> Rig {
    let delta: Delta = "0.001".parse().unwrap();
    let federation = Federation::with(|agreement| {
        agreement.parties.iter_mut().for_each(|party| party.caps.delta = delta);
        agreement.researchers.iter_mut().for_each(|researcher| researcher.caps.delta = delta);
    });
    Rig::with(federation, Budget { delta, ..generous() })
}

pub fn two_rounds(analysis: &mut Analysis) {
    analysis.body = cloister_terms::Body::Sql { text: BY_KM.into() };
    analysis.cost_per_round.delta = DELTA.parse().unwrap();
    analysis.rounds = 2;
    analysis.max_runs = 1;
}

/// What `partner` would sign for the first round, showing these kilometres.
pub fn shown(analysis: &Envelope, partner: &str, km: &[i64]) -> ReleaseRecord {
    let analysis = analysis.open::<Analysis>().unwrap();
    let asked = analysis.document();
    let round = Round::first(asked).unwrap();
    let people = round.shape.key_threshold().unwrap().people;
    ReleaseRecord {
        version: DOCUMENT_VERSION,
        node: name(partner),
        unit_namespace: name(&format!("{partner}-persons")),
        agreement: asked.agreement,
        analysis: analysis.digest(),
        plan: round.plan,
        parameters: round.parameters,
        round: 1,
        epoch: 40,
        cost: round.cost,
        charge: Digest::new([3; 32]),
        keys: km.iter().map(|km| vec![KeyValue::Int(*km)]).collect(),
        values: km.iter().map(|_| Int(i128::from(people))).collect(),
    }
}

pub fn signed(record: &ReleaseRecord) -> Envelope {
    Envelope::sign(record, &key(&format!("node:{}", record.node))).unwrap()
}

/// The second round of `papers` on these releases.
pub fn second(
    rig: &Rig,
    analysis: &Envelope,
    papers: &Papers,
    used: &[Envelope],
    nonce: u64,
) -> Papers {
    let first = Envelope::parse(&papers.request).unwrap();
    let request = rig.federation.second_request(analysis, &first, used, nonce);
    Papers {
        request: request.to_bytes(),
        used: used.iter().map(Envelope::to_bytes).collect(),
        ..papers.clone()
    }
}

fn keys(km: impl IntoIterator<Item = i64>) -> Vec<Key> {
    km.into_iter().map(|km| vec![KeyValue::Int(km)]).collect()
}

#[test]
fn the_second_round_asks_for_the_keys_of_the_first_and_is_charged_by_itself() {
    let rig = rig();
    let analysis = rig.granted(two_rounds);
    let papers = rig.federation.papers(&analysis, 1);
    let first = rig.fresh(&papers);
    let lanes: Vec<_> = first.plan().shape.lanes.iter().map(|lane| lane.name.clone()).collect();
    assert_eq!(lanes.len(), 1, "the first round counts people alone: {lanes:?}");
    let one = Cost { delta: DELTA.parse().unwrap(), ..rig.spent() };
    assert_eq!(rig.spent(), one);
    // One run, and its second round is none of its own.
    let used =
        [signed(&shown(&analysis, "north", &[1, 4])), signed(&shown(&analysis, "south", &[2, 4]))];
    let again = second(&rig, &analysis, &papers, &used, 2);
    let charge = rig.fresh(&again);
    let private = charge.plan().shape.private_keys.clone().unwrap();
    assert_eq!((private.found, private.threshold), (keys([1, 2, 4]), None));
    let both = Cost { delta: one.delta, ..one.checked_add(one).unwrap() };
    assert_eq!(rig.spent(), both, "a second round shows no key anew: it spends no delta");
    // The same keys are the same question, also through fewer releases; others are another run.
    let wider = [signed(&shown(&analysis, "north", &[1, 2, 4]))];
    let repeated = second(&rig, &analysis, &papers, &wider, 3);
    assert!(matches!(rig.charge(&repeated), Ok(Charged::Repeat(same)) if same == charge.id()));
    let fewer = second(&rig, &analysis, &papers, &used[..1], 4);
    assert_eq!(rig.charge(&fewer).unwrap_err(), Refusal::NoRunsLeft);
    assert_eq!(rig.spent(), both);
}

#[test]
fn b07_a_first_round_is_not_charged_whose_second_one_has_no_time() {
    // Each round may take the agreement's 600 s.
    let ends_in = |left_s: i64| {
        let rig = rig();
        let analysis = rig.granted(|asked| {
            two_rounds(asked);
            asked.not_after_s = NOW_S + left_s;
        });
        let papers = rig.federation.papers(&analysis, 1);
        (rig, analysis, papers)
    };
    for short_s in [600, 601, 1_200] {
        let (rig, _, papers) = ends_in(short_s);
        assert_eq!(rig.refusal(&papers), Refusal::OutsideDates, "{short_s}");
    }
    let (rig, _, papers) = ends_in(1_201);
    rig.fresh(&papers);
    // The second round is the last one.
    let (rig, analysis, papers) = ends_in(601);
    let used = [signed(&shown(&analysis, "north", &[1, 4]))];
    rig.admit(&second(&rig, &analysis, &papers, &used, 2)).unwrap();
}

#[test]
fn a_second_round_that_a_crash_cut_short_runs_again_with_its_keys() {
    let rig = rig();
    let analysis = rig.granted(two_rounds);
    let papers = rig.federation.papers(&analysis, 1);
    let used = [signed(&shown(&analysis, "south", &[2, 9]))];
    let charge = rig.fresh(&second(&rig, &analysis, &papers, &used, 2));
    let (id, plan) = (charge.id(), charge.plan().clone());
    drop(charge);
    let rig = rig.reopen();
    let open = rig.ledger.recover(&rig.terms, &mut SystemEntropy::new(), NOW_S).unwrap();
    let [again] = <[Charge; 1]>::try_from(open).unwrap();
    assert_eq!((again.id(), again.plan()), (id, &plan));
}

#[test]
fn a_second_round_on_anything_but_good_releases_is_refused() {
    let rig = rig();
    let analysis = rig.granted(two_rounds);
    let papers = rig.federation.papers(&analysis, 1);
    let (north, south) = (shown(&analysis, "north", &[1, 4]), shown(&analysis, "south", &[2]));
    let good = second(&rig, &analysis, &papers, &[signed(&north), signed(&south)], 2);
    let refused = |papers: Papers, want: Refusal, why: &str| {
        assert_eq!(rig.refusal(&papers), want, "{why}");
    };
    // What is handed over is not what the request names.
    let bytes = |record: &ReleaseRecord| signed(record).to_bytes();
    for (used, why) in [
        (vec![], "nothing"),
        (vec![bytes(&north)], "one less"),
        (vec![bytes(&north), bytes(&south), bytes(&south)], "one twice"),
        (vec![bytes(&north), bytes(&shown(&analysis, "south", &[3]))], "another one"),
        (vec![bytes(&north); 2_000], "more than there are partners"),
    ] {
        refused(Papers { used, ..good.clone() }, Refusal::WrongRound, why);
    }
    // Releases that are none of the first round, though named and handed over.
    type Change = fn(&mut ReleaseRecord);
    let changes: [(&str, Change); 9] = [
        ("another plan", |r| r.plan = Digest::new([8; 32])),
        ("of a second round", |r| r.round = 2),
        ("another agreement", |r| r.agreement = Digest::new([8; 32])),
        ("other parameters", |r| r.parameters = Digest::new([8; 32])),
        ("another cost", |r| r.cost = Cost::ZERO),
        ("below the threshold", |r| r.values[0] = Int(0)),
        ("a key of another type", |r| r.keys[0] = vec![KeyValue::Bool(true)]),
        ("keys out of order", |r| r.keys.reverse()),
        ("somebody else's namespace", |r| r.unit_namespace = name("else")),
    ];
    for (why, change) in changes {
        let mut record = north.clone();
        change(&mut record);
        let used = [signed(&record), signed(&south)];
        refused(second(&rig, &analysis, &papers, &used, 2), Refusal::WrongRound, why);
    }
    let forged = Envelope::sign(&north, &key("node:south")).unwrap();
    refused(
        second(&rig, &analysis, &papers, std::slice::from_ref(&forged), 2),
        Refusal::BadSignature,
        "forged",
    );
    // Signed twice, it would be two envelopes of one release.
    let json = |envelope: &Envelope| {
        serde_json::from_slice::<serde_json::Value>(&envelope.to_bytes()).unwrap()
    };
    let mut both_signed = json(&signed(&north));
    let other = json(&forged)["signatures"][0].clone();
    both_signed["signatures"].as_array_mut().unwrap().push(other);
    let both_signed = Envelope::parse(&serde_json::to_vec(&both_signed).unwrap()).unwrap();
    let papers_of = second(&rig, &analysis, &papers, &[both_signed], 2);
    refused(papers_of, Refusal::BadSignature, "with a signature too many");
    let twice = [signed(&north), signed(&shown(&analysis, "north", &[5]))];
    let request = Envelope::parse(&good.request).unwrap().open::<RunRequest>().unwrap();
    let edited = |edit: &dyn Fn(&mut RunRequest), used: &[Envelope]| {
        let mut request = request.document().clone();
        request.releases_used =
            used.iter().map(|used| used.open::<ReleaseRecord>().unwrap().digest()).collect();
        request.releases_used.sort();
        edit(&mut request);
        Papers {
            request: Envelope::sign(&request, &key("person:ada")).unwrap().to_bytes(),
            used: used.iter().map(Envelope::to_bytes).collect(),
            ..papers.clone()
        }
    };
    let both = [signed(&north), signed(&south)];
    refused(edited(&|_| (), &twice), Refusal::WrongRound, "two of one partner");
    let nothing = [signed(&shown(&analysis, "north", &[]))];
    refused(edited(&|_| (), &nothing), Refusal::WrongRound, "no key at all");
    refused(
        edited(&|r| r.round = 1, &both),
        Refusal::WrongRound,
        "a first round builds on nothing",
    );
    refused(edited(&|r| r.round = 3, &both), Refusal::WrongRound, "a third round");
    let empty = sha256(b"{}");
    refused(edited(&|r| r.parameters = empty, &both), Refusal::WrongRound, "no keys named");
    refused(edited(&|r| r.releases_used.reverse(), &both), Refusal::WrongRound, "unsorted");
    assert_eq!(rig.spent(), Cost::ZERO);
    rig.fresh(&good);
}

/// What cannot be answered must not be charged: the groups of two partners, each with a histogram, are more
/// than a release holds.
#[test]
fn more_keys_than_a_release_can_answer_are_refused_before_anything_is_charged() {
    let rig = rig();
    let analysis = rig.granted(|analysis| {
        two_rounds(analysis);
        let text = BY_KM.replace("COUNT(*) AS trips", "MEDIAN(distance_km) AS half");
        analysis.body = cloister_terms::Body::Sql { text };
    });
    let lanes = analysis.open::<Analysis>().unwrap().document().shape.lanes.len() as i64;
    let papers = rig.federation.papers(&analysis, 1);
    let most = cloister_terms::limits::VECTOR_MAX as i64 / lanes;
    assert!((10_000..20_000).contains(&most), "{most}");
    let of = |count: i64, nonce| {
        let km: Vec<i64> = (0..count).collect();
        let (north, south) = km.split_at(9_000);
        let used = [("north", north), ("south", south)];
        let used = used.map(|(partner, km)| signed(&shown(&analysis, partner, km)));
        second(&rig, &analysis, &papers, &used, nonce)
    };
    assert_eq!(rig.refusal(&of(most + 1, 2)), Refusal::WrongRound);
    assert_eq!(rig.spent(), Cost::ZERO);
    rig.fresh(&of(most, 3));
}

/// A hundred and one partners with groups of their own, as many each as one may show.
#[test]
fn more_keys_than_an_answer_may_have_make_no_second_round() {
    let rig = rig();
    let analysis = rig.federation.analysis(two_rounds);
    let opened = analysis.open::<Analysis>().unwrap();
    let of = |partner: i64| {
        let km: Vec<i64> = (partner * 10_000..(partner + 1) * 10_000).collect();
        let node = name(&format!("p{partner}"));
        ReleaseRecord { node, ..shown(&analysis, "north", &km) }
    };
    let releases: Vec<_> = (0..101).map(of).collect();
    let refused = Round::second(opened.document(), &releases).unwrap_err();
    assert_eq!(refused, ProofError::TooManyKeys);
    assert!(refused.to_string().contains("more groups than one answer may have"), "{refused}");
    Round::second(opened.document(), &releases[..2]).unwrap();
    // Few enough for one partner's release; not for the answer of all who would release them.
    let mut many = opened.document().clone();
    many.nodes = (10..40).map(|partner| name(&format!("p{partner}"))).collect();
    assert_eq!(Round::second(&many, &releases[..12]).unwrap_err(), ProofError::TooManyKeys);
    Round::second(opened.document(), &releases[..12]).unwrap();
    Round::second(&many, &releases[..2]).unwrap();
}

#[test]
fn b24_rounds_that_do_not_belong_to_the_text_are_refused() {
    let rig = rig();
    // A document that names another first round than its text plans to.
    let wrong = |edit: &dyn Fn(&mut Analysis)| {
        let mut document = rig.federation.draft(two_rounds);
        edit(&mut document);
        let analysis = Envelope::sign(&document, &key("person:ada")).unwrap();
        let bound = rig.federation.papers(&analysis, 1);
        rig.federation.grant("north", &analysis, &rig.ledger);
        rig.refusal(&bound)
    };
    let plan = |a: &mut Analysis| a.keys_round.as_mut().unwrap().plan = Digest::new([7; 32]);
    assert_eq!(wrong(&plan), Refusal::PlanMismatch);
    let cheaper = |a: &mut Analysis| {
        let lane = &mut a.keys_round.as_mut().unwrap().shape.lanes[0];
        lane.noise = a.shape.lanes[0].noise;
        a.keys_round.as_mut().unwrap().shape.private_keys.as_mut().unwrap().threshold =
            Some(cloister_terms::KeyThreshold {
                persons_lane: 0,
                people: 1,
                delta: DELTA.parse().unwrap(),
            });
    };
    assert_eq!(wrong(&cheaper), Refusal::PlanMismatch, "a lower threshold");
    let good = rig.federation.papers(&rig.granted(two_rounds), 1);
    for (edit, why) in [
        ((|a: &mut Analysis| a.rounds = 1) as fn(&mut Analysis), "one round named, two planned"),
        (|a| a.keys_round = None, "no first round"),
        (|a| a.rounds = 3, "a third round"),
        (|a| a.recipients = vec![name("bob")], "the researcher could not ask the second"),
        (|a| a.keys_round.as_mut().unwrap().shape = a.shape.clone(), "a first that shows nothing"),
        (
            |a| {
                let found = vec![vec![KeyValue::Int(1)]];
                let shape = a.keys_round.as_ref().unwrap().shape.of_keys(found);
                a.keys_round.as_mut().unwrap().shape = shape;
            },
            "keys named beforehand",
        ),
    ] {
        let mut document = rig.federation.draft(two_rounds);
        edit(&mut document);
        let analysis = Envelope::sign(&document, &key("person:ada")).unwrap();
        assert!(document.check().is_err(), "{why}");
        let papers = Papers { analysis: analysis.to_bytes(), ..good.clone() };
        assert_eq!(rig.refusal(&papers), Refusal::Malformed, "{why}");
    }
}
