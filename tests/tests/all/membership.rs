//! Rows B21 and B22 at a running coordinator: a one-time token lets one party in, a revoked one is
//! out everywhere, two nodes cannot share a name, and the operator is told.

use cloister_coordinator::store::{InviteError, Revoked};
use cloister_net::{
    Ca, Clock, CloseReason, Closed, ConnectError, EnrolError, EnrolRefusal, Role, Token,
    TokenRefusal,
};
use cloister_tests::fixtures::name;
use cloister_tests::hub::{Hub, soon, swept, until};
use cloister_tests::scripted::Script;
use cloister_tests::study::Study;
use cloister_wire::message::FromPerson;

/// Joining must fail so, with one alert more than before, and nobody new is enrolled.
async fn refused(hub: &Hub, token: &Token, who: &str, role: Role, why: TokenRefusal) {
    let (peers, alerts) = (hub.store().peers().unwrap().len(), hub.alerts().len());
    let joined = hub.enrol_with(token, who, role).await;
    let expected = EnrolRefusal::Token(why);
    let is_expected = matches!(&joined, Err(EnrolError::Refused(found)) if *found == expected);
    assert!(is_expected, "{joined:?}");
    assert_eq!(hub.store().peers().unwrap().len(), peers);
    assert_eq!(hub.alerts().len(), alerts + 1);
    assert!(hub.alerts()[0].contains(&expected.to_string()), "{:?}", hub.alerts());
}

#[tokio::test(flavor = "multi_thread")]
async fn b22_a_token_lets_one_party_in_once() {
    let hub = Hub::start().await;
    let until_s = hub.clock.now_unix_s() + 3_600;
    let token = hub.token("north", Role::Node, until_s);
    refused(&hub, &token, "south", Role::Node, TokenRefusal::WrongName).await;
    refused(&hub, &token, "north", Role::Person, TokenRefusal::WrongRole).await;
    let identity = hub.enrol_with(&token, "north", Role::Node).await.unwrap();
    hub.dial(&identity).await.unwrap();
    refused(&hub, &token, "north", Role::Node, TokenRefusal::Reused).await;
    let stranger = Token::generate(hub.ca.fingerprint()).unwrap();
    refused(&hub, &stranger, "south", Role::Node, TokenRefusal::Unknown).await;
    let late = hub.token("south", Role::Node, hub.clock.now_unix_s());
    refused(&hub, &late, "south", Role::Node, TokenRefusal::Expired).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b22_strangers_cannot_bury_alerts_about_real_tokens() {
    let hub = Hub::start().await;
    let token = hub.token("north", Role::Node, hub.clock.now_unix_s() + 3_600);
    for _ in 0..3 {
        refused(&hub, &token, "south", Role::Node, TokenRefusal::WrongName).await;
    }
    for _ in 0..3 {
        let stranger = Token::generate(hub.ca.fingerprint()).unwrap();
        assert!(hub.enrol_with(&stranger, "south", Role::Node).await.is_err());
    }
    // One row; two where the hour ended in between.
    assert!(matches!(hub.alerts().len(), 4 | 5), "{:?}", hub.alerts());
}

#[tokio::test(flavor = "multi_thread")]
async fn b22_a_used_token_stays_used_after_a_restart() {
    let hub = Hub::start().await;
    let token = hub.token("north", Role::Node, hub.clock.now_unix_s() + 3_600);
    let identity = hub.enrol_with(&token, "north", Role::Node).await.unwrap();
    let hub = hub.restart().await;
    refused(&hub, &token, "north", Role::Node, TokenRefusal::Reused).await;
    hub.dial(&identity).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn b22_a_token_for_another_authority_shows_its_secret_to_nobody() {
    let hub = Hub::start().await;
    let other = Ca::generate(&name("other"), hub.clock.now_unix_s()).unwrap();
    let token = Token::generate(other.fingerprint()).unwrap();
    let joined = hub.enrol_with(&token, "north", Role::Node).await;
    assert!(
        matches!(&joined, Err(EnrolError::Connect(ConnectError::WrongCa { .. }))),
        "{joined:?}"
    );
    assert!(hub.store().peers().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn b21_a_revocation_in_the_store_closes_the_live_connection() {
    let hub = Hub::start().await;
    let north = hub.enrolled("north", Role::Node).await;
    let ada = hub.enrolled("ada", Role::Person).await;
    let south = hub.node("south", Script::Release).await;
    for identity in [&north, &ada] {
        let live = hub.dial(identity).await.unwrap();
        let revoked = identity.claims().unwrap().name;
        // As `cloister-coordinator revoke` does it: another process, another handle.
        let ended = hub.store().revoke(&revoked).unwrap();
        assert_eq!(ended, Revoked { certificates: 1, tokens: 0 });
        assert_eq!(swept(live.closed()).await, Closed::ByPeer(CloseReason::Revoked));
        let again = hub.dial(identity).await;
        assert!(matches!(again, Err(ConnectError::Revoked)), "{again:?}");
    }
    assert!(!south.connection.is_closed(), "nobody else is touched");
    let hub = hub.restart().await;
    let again = hub.dial(&north).await;
    assert!(matches!(again, Err(ConnectError::Revoked)), "after a restart: {again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn b21_a_revoked_name_can_be_invited_again() {
    let hub = Hub::start().await;
    let first = hub.enrolled("north", Role::Node).await;
    hub.store().revoke(&name("north")).unwrap();
    let second = hub.enrolled("north", Role::Node).await;
    until(async || matches!(hub.dial(&first).await, Err(ConnectError::Revoked))).await;
    hub.dial(&second).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_with_one_name_do_not_both_serve() {
    let (hub, study) = (Hub::start().await, Study::new());
    let identity = hub.enrolled("north", Role::Node).await;
    // A second certificate of the name is not to be had.
    let now_s = hub.clock.now_unix_s();
    let token = Token::generate(hub.ca.fingerprint()).unwrap();
    let invited =
        hub.store().invite(&token.secret_hash(), &name("north"), Role::Node, now_s + 60, now_s);
    assert!(matches!(invited, Err(InviteError::Taken(_))), "{invited:?}");
    // A copy of the first one takes the other's place, which is told so.
    let first = hub.known_node(&identity, "north", Script::Release).await;
    let mut second = hub.known_node(&identity, "north", Script::Release).await;
    let ended = soon(first.connection.closed()).await;
    assert_eq!(ended, Closed::ByPeer(CloseReason::Displaced));
    let ada = hub.approved(&study).await;
    let request = ada.run(&study).await;
    assert_eq!(second.next_run().await, request);
    assert_eq!(ada.results(request, 1).await.releases.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_no_hello_takes_nobodys_place() {
    let (hub, study) = (Hub::start().await, Study::new());
    let identity = hub.enrolled("north", Role::Node).await;
    let mut node = hub.known_node(&identity, "north", Script::Release).await;
    // As a steward's check does: connects with the node's certificate, and leaves.
    let check = hub.dial(&identity).await.unwrap();
    let ada = hub.approved(&study).await;
    let request = ada.run(&study).await;
    assert_eq!(node.next_run().await, request);
    check.close_and_flush(CloseReason::Done).await;
    assert_eq!(ada.results(request, 1).await.releases.len(), 1);
    assert!(!node.connection.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_is_shown_as_away() {
    let hub = Hub::start().await;
    let node = hub.node("north", Script::Release).await;
    let person = hub.person("ada").await;
    let shown = |who: &'static str| {
        let peers = hub.store().peers().unwrap();
        peers.iter().find(|peer| peer.name.as_str() == who).unwrap().connected
    };
    until(async || shown("north") && shown("ada")).await;
    node.connection.close_and_flush(CloseReason::Done).await;
    until(async || !shown("north")).await;
    person.stored_nothing().await;
    assert!(shown("ada"));
}

/// A question that changes nothing and is answered.
trait StillServed {
    async fn stored_nothing(&self);
}

impl StillServed for cloister_tests::hub::Person {
    async fn stored_nothing(&self) {
        let answer = self.ask(&FromPerson::Agreements).await;
        assert!(matches!(answer, cloister_wire::message::ToPerson::Agreements(_)), "{answer:?}");
    }
}
