//! Runs through a real coordinator on loopback: who gets the answer, who is waited for, and what is
//! done about a node that lies. Nodes are scripted; nothing is timed.

use cloister::answer::answer_of;
use cloister_net::{CloseReason, Role};
use cloister_terms::limits::CLOCK_SKEW_MAX_S;
use cloister_terms::{Refusal, RunRequest, Verdict};
use cloister_tests::fixtures::{NOW_S, key, name};
use cloister_tests::hub::{Hub, until};
use cloister_tests::scripted::{Script, Seen, report};
use cloister_tests::study::{PARTNERS, Study, figures, partners};
use cloister_wire::message::{
    FromPerson, NodeReport, NodeState, Outcome, Rejection, RunProgress, ToPerson,
};

/// Long enough for answers, short enough to wait for: a run's deadline where one must pass.
const SHORT_RUN_MS: u64 = 3_000;

fn state(progress: &RunProgress, partner: &str) -> NodeState {
    progress.nodes.iter().find(|(node, _)| node.as_str() == partner).unwrap().1
}

/// A study whose runs end soon even when somebody is missing.
fn short_study() -> Study {
    Study::with(|agreement| agreement.run_time_max_ms = SHORT_RUN_MS)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_gathers_every_nodes_release_for_its_recipients() {
    let (hub, study) = (Hub::start().await, Study::new());
    let mut nodes = Vec::new();
    for partner in PARTNERS {
        nodes.push(hub.node(partner, Script::Release).await);
    }
    let ada = hub.approved(&study).await;
    let request = ada.run(&study).await;
    let told = ada.watched(request).await;
    let last = told.last().unwrap();
    assert!(PARTNERS.iter().all(|partner| state(last, partner) == NodeState::Released));
    for node in &mut nodes {
        assert_eq!(node.next_run().await, request);
    }
    let answer = answer_of(&ada.results(request, 4).await).unwrap();
    assert!(!answer.report.partial);
    let sum: i128 = PARTNERS.iter().map(|partner| figures(partner, 6)[0]).sum();
    assert_eq!(answer.report.rows[0].figures[0].estimate().unwrap().value, sum as f64);
    // Whoever is no recipient is not even told that there is a run.
    for who in ["bob", "rita-2", "steward"] {
        let other = hub.person(who).await;
        for message in [FromPerson::Results { request }, FromPerson::Watch { request }] {
            let answer = other.ask(&message).await;
            assert!(matches!(answer, ToPerson::Refused(Rejection::Unknown)), "{who}: {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stewards_are_offered_an_analysis_and_their_decisions_are_shown() {
    let (hub, study) = (Hub::start().await, Study::new());
    // The node takes longer than the next vote, so that an offer could overtake another.
    let mut node = hub.node("north", Script::Ponder).await;
    let ada = hub.approved(&study).await;
    // Once submitted, then again with each vote: each alone, the last one with both votes.
    let mut votes = Vec::new();
    for _ in 0..=2 {
        let seen = node.next().await;
        let Seen::Offer(with) = seen else { panic!("{seen:?}") };
        votes.push(with);
    }
    assert!(votes.is_sorted() && votes.last() == Some(&2), "{votes:?}");
    let analysis = study.analysis_digest();
    report(&node.connection, &NodeReport::Decision { analysis, granted: true }).await.unwrap();
    let ToPerson::Analysis(shown) = ada.ask(&FromPerson::Show { analysis }).await else {
        panic!("not shown");
    };
    assert_eq!(shown.decisions, [(name("north"), true)]);
    assert_eq!(shown.approvals.len(), 2);
    let ToPerson::List(lines) = ada.ask(&FromPerson::List).await else { panic!("no list") };
    assert_eq!((lines.len(), lines[0].approvals, lines[0].approved), (1, 2, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dials_late_gets_the_run_that_waits_for_it() {
    let (hub, study) = (Hub::start().await, Study::new());
    for partner in ["east", "north", "south"] {
        hub.node(partner, Script::Release).await;
    }
    let ada = hub.approved(&study).await;
    let request = ada.run(&study).await;
    assert_eq!(ada.results(request, 3).await.releases.len(), 3);
    let waiting = ada.results(request, 3).await.progress;
    assert!(!waiting.done && state(&waiting, "west") == NodeState::Away);
    let mut west = hub.node("west", Script::Release).await;
    assert_eq!(west.next_run().await, request);
    let last = ada.watched(request).await.pop().unwrap();
    assert_eq!(state(&last, "west"), NodeState::Released);
    assert!(!answer_of(&ada.results(request, 4).await).unwrap().report.partial);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_starts_again_takes_open_runs_up() {
    let (hub, study) = (Hub::start().await, Study::new());
    let mut identities = Vec::new();
    for partner in PARTNERS {
        identities.push((partner, hub.enrolled(partner, Role::Node).await));
    }
    let ada_keeps = hub.enrolled("ada-2", Role::Person).await;
    let ada = hub.approved(&study).await;
    let request = ada.run(&study).await;
    let hub = hub.restart().await;
    for (partner, identity) in &identities {
        let mut node = hub.known_node(identity, partner, Script::Release).await;
        assert_eq!(node.next_run().await, request);
        // The node stays connected while the test looks at its run.
        until(async || {
            let progress = hub.store().run(request).unwrap().unwrap().progress;
            state(&progress, partner) == NodeState::Released
        })
        .await;
    }
    let run = hub.store().run(request).unwrap().unwrap();
    assert!(run.progress.done && run.releases.len() == 4);
    hub.dial(&ada_keeps).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_node_has_or_would_find_too_old_is_not_pushed_when_it_dials_in() {
    let (hub, study) = (Hub::start().await, Study::new());
    let identity = hub.enrolled("north", Role::Node).await;
    let mut north = hub.known_node(&identity, "north", Script::Ponder).await;
    let ada = hub.approved(&study).await;
    let first = ada.run(&study).await;
    assert_eq!(north.next_run().await, first);
    until(async || {
        let progress = ada.results(first, 0).await.progress;
        state(&progress, "north") == NodeState::Admitted
    })
    .await;
    north.connection.close(CloseReason::Done);
    let ask = async |nonce, at_s| {
        let request = study.federation.request(&study.analysis, &study.approvals, nonce, at_s);
        ada.stored(&FromPerson::Run { request: request.to_bytes() }).await
    };
    // Runs are pushed oldest first: what comes first was not preceded by an older one.
    let second = ask(2, NOW_S).await;
    let mut north = hub.known_node(&identity, "north", Script::Release).await;
    assert_eq!(north.next_run().await, second, "it has the first one");
    let later_s = NOW_S + CLOCK_SKEW_MAX_S + 1;
    hub.clock.set(later_s);
    let (third, fourth) = (ask(3, later_s).await, ask(4, later_s).await);
    // Both were sent to those who are here before west dials in, so that for west they waited.
    for request in [third, fourth] {
        until(async || {
            let progress = ada.results(request, 0).await.progress;
            state(&progress, "north") != NodeState::Away
        })
        .await;
    }
    let mut west = hub.node("west", Script::Refuse(Refusal::ClockSkew)).await;
    assert_eq!(west.next_run().await, third, "the others are too old");
    assert_eq!(west.next_run().await, fourth);
    // What it says of its clock ends no run that waited: it may have it from before.
    let (away, sent) = (NodeState::Away, NodeState::Sent);
    for (request, wanted) in [(first, away), (second, away), (third, sent)] {
        let progress = ada.results(request, 0).await.progress;
        assert_eq!(state(&progress, "west"), wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_answer_is_called_partial_after_the_deadline() {
    let (hub, study) = (Hub::start().await, short_study());
    for partner in ["east", "north", "south"] {
        hub.node(partner, Script::Release).await;
    }
    let ada = hub.approved(&study).await;
    let request = ada.run(&study).await;
    let last = ada.watched(request).await.pop().unwrap();
    assert_eq!(state(&last, "west"), NodeState::Late);
    let answer = answer_of(&ada.results(request, 3).await).unwrap();
    assert!(answer.report.partial);
    assert_eq!(answer.missing, [name("west")]);
    assert!(answer.report.rows.iter().all(|row| row.behind.to_string() == "3 of 4"));
    assert!(cloister::answer::verify_bundle(&answer.bundle().unwrap().to_bytes()).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_withheld_answers_are_told_as_such() {
    let (hub, study) = (Hub::start().await, Study::new());
    hub.node("east", Script::Release).await;
    hub.node("north", Script::Refuse(Refusal::OverBudget)).await;
    hub.node("south", Script::Withhold).await;
    hub.node("west", Script::Refuse(Refusal::NotGranted)).await;
    let ada = hub.approved(&study).await;
    let request = ada.run(&study).await;
    let last = ada.watched(request).await.pop().unwrap();
    assert_eq!(state(&last, "north"), NodeState::Refused(Refusal::OverBudget));
    assert_eq!(state(&last, "south"), NodeState::Withheld);
    assert_eq!(state(&last, "west"), NodeState::Refused(Refusal::NotGranted));
    let answer = answer_of(&ada.results(request, 1).await).unwrap();
    assert_eq!(answer.missing.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn b25_a_forged_release_is_excluded_and_an_incident() {
    let (hub, study) = (Hub::start().await, Study::new());
    hub.node("east", Script::Release).await;
    hub.node("north", Script::Forge).await;
    // A genuine release, but another partner's.
    hub.node("south", Script::Borrow("east")).await;
    hub.node("west", Script::Release).await;
    let ada = hub.approved(&study).await;
    let request = ada.run(&study).await;
    let last = ada.watched(request).await.pop().unwrap();
    for (partner, wanted) in [
        ("east", NodeState::Released),
        ("north", NodeState::Excluded),
        ("south", NodeState::Excluded),
        ("west", NodeState::Released),
    ] {
        assert_eq!(state(&last, partner), wanted, "{partner}");
    }
    let alerts = hub.alerts();
    for liar in ["north", "south"] {
        let named = |what: &&String| what.contains(&format!("release of {liar} "));
        assert_eq!(alerts.iter().filter(named).count(), 1, "{alerts:?}");
    }
    let file = ada.results(request, 2).await;
    assert_eq!(file.releases.len(), 2, "what does not verify is not handed out");
    assert_eq!(answer_of(&file).unwrap().missing, [name("north"), name("south")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn b25_a_release_that_is_there_is_never_replaced() {
    let (hub, study) = (Hub::start().await, Study::new());
    let north = hub.node("north", Script::Release).await;
    let ada = hub.approved(&study).await;
    let request = ada.run(&study).await;
    let before = ada.results(request, 1).await.releases;
    // The same node comes back with another figure, with nonsense and with nothing.
    let mut record = study.record("north");
    record.values[0].0 += 1;
    let key = cloister_tests::fixtures::key("node:north");
    let other = cloister_wire::Envelope::sign(&record, &key).unwrap().to_bytes();
    for outcome in [Outcome::Released(other), Outcome::Released(vec![7; 9]), Outcome::Withheld] {
        report(&north.connection, &NodeReport::Outcome { request, outcome }).await.unwrap();
    }
    let after = ada.results(request, 1).await;
    assert_eq!(after.releases, before);
    assert_eq!(state(&after.progress, "north"), NodeState::Released);
}

#[tokio::test(flavor = "multi_thread")]
async fn b02_a_run_needs_the_quorum() {
    let (hub, study) = (Hub::start().await, Study::new());
    let ada = hub.person("ada").await;
    let rita = hub.person("rita").await;
    let agreement = study.federation.agreement.to_bytes();
    ada.stored(&FromPerson::Publish { agreement }).await;
    ada.stored(&FromPerson::Submit { analysis: study.analysis.to_bytes(), module: None }).await;
    let approval = study.approvals[0].to_bytes();
    rita.stored(&FromPerson::Review { approval: approval.clone() }).await;
    let again = rita.ask(&FromPerson::Review { approval }).await;
    assert!(matches!(again, ToPerson::Refused(Rejection::Duplicate)), "{again:?}");
    for votes in [&study.approvals[..1], &study.approvals[..]] {
        let now_s = cloister_tests::fixtures::NOW_S;
        let request = study.federation.request(&study.analysis, votes, 5, now_s).to_bytes();
        let refused = ada.ask(&FromPerson::Run { request }).await;
        assert!(matches!(refused, ToPerson::Refused(_)), "{refused:?}");
    }
    let ToPerson::List(lines) = ada.ask(&FromPerson::List).await else { panic!("no list") };
    assert!(lines[0].runs.is_empty() && !lines[0].approved);
}

#[tokio::test(flavor = "multi_thread")]
async fn b04_the_same_request_is_taken_once() {
    let (hub, study) = (Hub::start().await, Study::new());
    let ada = hub.approved(&study).await;
    ada.run(&study).await;
    let again = ada.ask(&FromPerson::Run { request: study.request.to_bytes() }).await;
    assert!(matches!(again, ToPerson::Refused(Rejection::Duplicate)), "{again:?}");
    // Another request with its nonce would be a replay at every node: it never gets there.
    let mut other = study.request.open::<RunRequest>().unwrap().document().clone();
    other.requested_at_s += 1;
    let other = cloister_wire::Envelope::sign(&other, &key("person:ada")).unwrap();
    let refused = ada.ask(&FromPerson::Run { request: other.to_bytes() }).await;
    assert!(matches!(refused, ToPerson::Refused(Rejection::NonceUsed)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_taken_from_the_person_they_name_only() {
    let (hub, study) = (Hub::start().await, Study::new());
    let (bob, ada) = (hub.person("bob").await, hub.person("ada").await);
    let analysis = study.analysis.to_bytes();
    let submit = FromPerson::Submit { analysis: analysis.clone(), module: None };
    let refused = |answer: ToPerson, why: Rejection| match answer {
        ToPerson::Refused(found) => assert_eq!(found, why),
        other => panic!("{other:?}"),
    };
    refused(ada.ask(&submit).await, Rejection::Unknown);
    // An agreement that a party has not signed, and one for another coordinator.
    let unsigned = cloister_wire::Envelope::unsigned(&study.federation.document).unwrap();
    let publish = |agreement| FromPerson::Publish { agreement };
    refused(ada.ask(&publish(unsigned.to_bytes())).await, Rejection::BadSignature);
    let elsewhere = Study::with(|agreement| agreement.coordinator = name("elsewhere"));
    let elsewhere = elsewhere.federation.agreement.to_bytes();
    refused(ada.ask(&publish(elsewhere)).await, Rejection::Malformed);
    refused(ada.ask(&publish(analysis.clone())).await, Rejection::Malformed);
    ada.stored(&publish(study.federation.agreement.to_bytes())).await;
    refused(bob.ask(&submit).await, Rejection::NotAllowed);
    let with_module = FromPerson::Submit { analysis, module: Some(vec![0; 8]) };
    refused(ada.ask(&with_module).await, Rejection::ModuleMismatch);
    ada.stored(&submit).await;
    refused(ada.ask(&submit).await, Rejection::Duplicate);
    // Corrected, it is another document: she must not take the old one for it.
    let corrected = study.federation.analysis(|analysis| {
        analysis.nodes = partners();
        analysis.question.push_str(" And when?");
    });
    let submit = FromPerson::Submit { analysis: corrected.to_bytes(), module: None };
    refused(ada.ask(&submit).await, Rejection::NameTaken);
    let approval = study.approvals[0].to_bytes();
    refused(bob.ask(&FromPerson::Review { approval }).await, Rejection::NotAllowed);
    let rita = hub.person("rita").await;
    let signer = cloister_tests::fixtures::key("nobody");
    let forged =
        study.federation.vote_signed_by("rita", &study.analysis, Verdict::Approve, &signer);
    let approval = forged.to_bytes();
    refused(rita.ask(&FromPerson::Review { approval }).await, Rejection::BadSignature);
    let request = study.request.to_bytes();
    refused(bob.ask(&FromPerson::Run { request }).await, Rejection::NotAllowed);
}
