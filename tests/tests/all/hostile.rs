//! Peers with a good certificate and bad manners: oversized, truncated, doubled and unknown messages
//! cost them their stream or their connection, and nobody else anything.

use cloister_net::Clock;
use cloister_net::{CloseReason, Closed, Identity, Role};
use cloister_tests::fixtures::{HandClock, NOW_S, name};
use cloister_tests::hub::{Hub, Person, soon};
use cloister_tests::scripted::Script;
use cloister_tests::study::Study;
use cloister_wire::encode;
use cloister_wire::message::{FromPerson, NodeReport, ToPerson};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use std::sync::Arc;
use std::time::Duration;

/// A client's TLS takes its time from the tests' clock.
#[derive(Debug)]
struct HandTime(HandClock);

impl rustls::time_provider::TimeProvider for HandTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.now_unix_s())))
    }
}

/// A connection that keeps to no limit of ours.
async fn raw(hub: &Hub, identity: &Identity) -> quinn::Connection {
    let cert = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert(&identity.ca_pem)).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let time = Arc::new(HandTime(HandClock::at(NOW_S)));
    let mut config = rustls::ClientConfig::builder_with_details(ring, time)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![cert(&identity.cert_chain_pem)],
            PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![cloister_net::ALPN.to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()));
    let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
    let connecting = endpoint.connect_with(config, hub.address(), "hub.coordinator.cloister");
    let connection = soon(connecting.unwrap()).await.unwrap();
    // The coordinator's word that it let us in.
    soon(connection.accept_uni()).await.unwrap();
    connection
}

/// Sends bytes on a stream of its own; what came back.
async fn send(connection: &quinn::Connection, bytes: &[u8]) -> Vec<u8> {
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    // The other end may have stopped reading already.
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    soon(recv.read_to_end(1 << 20)).await.unwrap_or_default()
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
}

async fn is_served(person: &Person) {
    let answer = person.ask(&FromPerson::List).await;
    assert!(matches!(answer, ToPerson::List(_)), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_and_broken_frames_cost_their_stream_and_change_nothing() {
    let hub = Hub::start().await;
    let bystander = hub.person("bob").await;
    let good = framed(&encode(&FromPerson::Agreements).unwrap());
    for role in [Role::Person, Role::Node] {
        let identity = hub.enrolled(&format!("bad-{role}"), role).await;
        let connection = raw(&hub, &identity).await;
        for bytes in [
            // More than any frame may claim, with and without a body.
            u32::MAX.to_le_bytes().to_vec(),
            [&u32::MAX.to_le_bytes()[..], &[7; 4096]].concat(),
            // Less than claimed; half a header; nothing; two frames where one is due.
            [&good[..4], &[]].concat().iter().map(|b| b.saturating_add(9)).collect(),
            vec![1, 0],
            vec![],
            [good.clone(), good.clone()].concat(),
        ] {
            assert_eq!(send(&connection, &bytes).await, [0; 0], "{role}: {bytes:?}");
        }
    }
    is_served(&bystander).await;
    let store = hub.store();
    assert!(store.agreements().unwrap().is_empty() && store.analyses(None).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_and_unfinished_requests_hold_up_nobody_else() {
    let (hub, study) = (Hub::start().await, Study::new());
    let ada = hub.approved(&study).await;
    let request = ada.run(&study).await;
    let watch = encode(&FromPerson::Watch { request }).unwrap();
    // No node is there: the run goes on for as long as it is watched.
    let mut watched = Vec::new();
    for _ in 0..16 {
        let mut stream = ada.0.open_bi().await.unwrap();
        stream.write_frame(&watch).await.unwrap();
        stream.finish().unwrap();
        soon(stream.read_frame(1 << 20)).await.unwrap();
        watched.push(stream);
    }
    is_served(&ada).await;
    let identity = hub.enrolled("slow", Role::Person).await;
    let slow = raw(&hub, &identity).await;
    let mut unfinished = Vec::new();
    for _ in 0..16 {
        let (mut send, recv) = slow.open_bi().await.unwrap();
        send.write_all(&[9, 0, 0, 0, 1]).await.unwrap();
        unfinished.push((send, recv));
    }
    is_served(&ada).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_messages_close_their_connection_and_no_other() {
    let (hub, study) = (Hub::start().await, Study::new());
    let bystander = hub.approved(&study).await;
    let good_node = hub.node("north", Script::Release).await;
    let claims_much = [[0u8].as_slice(), &[253], &(1u64 << 60).to_le_bytes()].concat();
    let wrong_way = encode(&NodeReport::Hello { agreement: None }).unwrap();
    for body in [vec![], vec![255; 9], claims_much, [wrong_way, vec![0]].concat()] {
        for role in [Role::Person, Role::Node] {
            // The name's last byte only tells the connections apart.
            let who = format!("bad-{role}-{}", body.len());
            let identity = hub.enrolled(&who, role).await;
            let connection = hub.dial(&identity).await.unwrap();
            let answer = connection.call(&body, 1 << 20, Duration::from_secs(120)).await;
            assert!(answer.is_err(), "{role}: {answer:?}");
            let ended = soon(connection.closed()).await;
            assert_eq!(ended, Closed::ByPeer(CloseReason::Misbehaved), "{role}: {body:?}");
            // It may come back and behave.
            hub.dial(&identity).await.unwrap();
        }
    }
    is_served(&bystander).await;
    assert!(!good_node.connection.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_speak_their_own_messages_only() {
    let hub = Hub::start().await;
    let node = hub.enrolled("north", Role::Node).await;
    let person = hub.enrolled("ada", Role::Person).await;
    let list = encode(&FromPerson::List).unwrap();
    let analysis = cloister_wire::sha256(b"any");
    let decision = encode(&NodeReport::Decision { analysis, granted: true }).unwrap();
    for (identity, message) in [(&node, list), (&person, decision)] {
        let connection = hub.dial(identity).await.unwrap();
        let answer = connection.call(&message, 1 << 20, Duration::from_secs(120)).await;
        assert!(answer.is_err(), "{answer:?}");
    }
    assert!(hub.store().decisions(analysis).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nodes_reports_count_for_itself_and_for_runs_that_ask_it() {
    let (hub, study) = (Hub::start().await, Study::new());
    let ada = hub.approved(&study).await;
    let request = ada.run(&study).await;
    // Enrolled, but no party: its release is for nobody, and its word changes no run.
    let stranger = hub.enrolled("mallory", Role::Node).await;
    let stranger = hub.dial(&stranger).await.unwrap();
    let release = study.release("north").to_bytes();
    for outcome in [
        cloister_wire::message::Outcome::Withheld,
        cloister_wire::message::Outcome::Released(release),
    ] {
        let message = NodeReport::Outcome { request, outcome };
        cloister_tests::scripted::report(&stranger, &message).await.unwrap();
    }
    let run = hub.store().run(request).unwrap().unwrap();
    assert!(run.releases.is_empty() && !run.progress.done);
    assert!(run.progress.nodes.iter().all(|(node, _)| *node != name("mallory")));
}
