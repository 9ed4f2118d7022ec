//! Who gets in: only certificates of the coordinator's own authority, each in its own role.

use crate::world::{HUB, RawClient, World, alert, any, claims, issue, name, raw_server, soon};
use cloister_net::{
    ALPN, Ca, CloseReason, Closed, ConnectError, Dialer, Identity, Party, Role, Server, TlsError,
};
use rustls::{AlertDescription, client::Resumption};
use std::time::Duration;

fn number(alert: AlertDescription) -> u64 {
    u64::from(u8::from(alert))
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_know_each_other() {
    let world = World::new();
    let person = issue(&world.ca, "ana", Role::Person, world.now_s(), world.now_s() + 60);
    let (there, here) = world.pair(&person).await;
    assert_eq!((here.peer().name(), here.peer().role()), (&name("ana"), Role::Person));
    assert_eq!(here.peer().serial(), claims(&person).serial);
    assert_eq!((there.peer().name(), there.peer().role()), (&name("hub"), Role::Coordinator));
    assert_eq!((there.server_time_s(), here.server_time_s()), (Some(world.now_s()), None));
    for size in [0, 1, 1000, 300_000] {
        let body = vec![7; size];
        let (answer, served) = soon(async {
            tokio::join!(there.call(&body, size, Duration::from_secs(60)), async {
                let mut stream = here.accept_bi().await?;
                let question = stream.read_last_frame(size).await?;
                stream.answer(&question).await
            })
        })
        .await;
        served.unwrap();
        assert_eq!(answer.unwrap(), body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_coordinator_calls_a_node_that_dialled_out() {
    let world = World::new();
    let (there, here) = world.pair(&world.node("north")).await;
    let (answer, served) = soon(async {
        tokio::join!(here.call(b"run", 64, Duration::from_secs(60)), async {
            let mut stream = there.accept_bi().await?;
            stream.read_last_frame(64).await?;
            stream.answer(b"done").await
        })
    })
    .await;
    served.unwrap();
    assert_eq!(answer.unwrap(), b"done");
}

#[tokio::test(flavor = "multi_thread")]
async fn client_without_certificate_refused() {
    let world = World::new();
    let client = RawClient { identity: None, alpn: Some(ALPN), resumption: Resumption::disabled() };
    let refused = client.greeted(&world).await.unwrap_err();
    assert_eq!(alert(refused), number(AlertDescription::CertificateRequired));
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_of_another_authority_refused() {
    let world = World::new();
    let (now_s, end_s) = (world.now_s(), world.now_s() + 60);
    // Another authority of the very same name.
    let other = Ca::generate(&name("study"), now_s).unwrap();
    let stranger = issue(&other, "north", Role::Node, now_s, end_s);
    let refused = world.dialer(&stranger).dial(world.addr).await;
    let whose = Party::Coordinator;
    assert!(
        matches!(&refused, Err(ConnectError::WrongCa { whose: w }) if *w == whose),
        "{refused:?}"
    );
    // It trusts us, but we do not know it.
    let forger = Identity { ca_pem: world.hub.ca_pem.clone(), ..stranger };
    let refused = world.dialer(&forger).dial(world.addr).await;
    assert!(matches!(refused, Err(ConnectError::WrongCa { whose: Party::Own })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn node_certificate_used_as_server_refused() {
    let world = World::new();
    let impostor = raw_server(&world.node("north"));
    let addr = impostor.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = impostor.accept().await {
            if let Ok(connecting) = incoming.accept() {
                let _ = connecting.await;
            }
        }
    });
    let refused = world.dialer(&world.node("south")).dial(addr).await;
    assert!(matches!(refused, Err(ConnectError::NotTheCoordinator)), "{refused:?}");
    let node = world.node("north");
    let refused = Server::bind(any(), &node, world.list.clone(), world.clock.clone());
    assert!(matches!(refused, Err(cloister_net::BindError::Setup(TlsError::WrongRole))));
}

#[tokio::test(flavor = "multi_thread")]
async fn coordinator_certificate_used_as_client_refused() {
    let world = World::new();
    let refused = Dialer::new(&world.hub, world.clock.clone());
    assert!(matches!(refused, Err(ConnectError::Setup(TlsError::WrongRole))));
    let client = RawClient {
        identity: Some(&world.hub),
        alpn: Some(ALPN),
        resumption: Resumption::disabled(),
    };
    let refused = client.greeted(&world).await.unwrap_err();
    assert_eq!(alert(refused), number(AlertDescription::UnsupportedCertificate));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_protocols_refused() {
    let world = World::new();
    let node = world.node("north");
    for alpn in [None, Some(&b"h3"[..]), Some(cloister_net::ALPN_ENROL)] {
        let client = RawClient { identity: Some(&node), alpn, resumption: Resumption::disabled() };
        let refused = client.greeted(&world).await.unwrap_err();
        assert_eq!(alert(refused), number(AlertDescription::NoApplicationProtocol));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_certificate_cannot_take_every_place() {
    let world = World::new();
    let node = world.node("north");
    let mut held = Vec::new();
    for _ in 0..cloister_net::limits::CONNECTIONS_PER_PEER_MAX {
        held.push(world.pair(&node).await);
    }
    let refused = world.dialer(&node).dial(world.addr).await;
    assert!(matches!(refused, Err(ConnectError::Refused(CloseReason::TooMany))), "{refused:?}");
    let (there, here) = held.pop().unwrap();
    drop(there);
    assert_eq!(soon(here.closed()).await, Closed::ByPeer(CloseReason::Done));
    // Its place is free as soon as the server has seen the close.
    soon(async {
        while world.dialer(&node).dial(world.addr).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letting_go_closes_and_shutdown_is_told() {
    let world = World::new();
    let (there, here) = world.pair(&world.node("north")).await;
    drop(here);
    assert_eq!(soon(there.closed()).await, Closed::ByPeer(CloseReason::Done));
    let (there, _here) = world.pair(&world.node("south")).await;
    world.server.shutdown().await;
    assert_eq!(soon(there.closed()).await, Closed::ByPeer(CloseReason::Shutdown));
    assert!(soon(world.server.accept()).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_name_in_sni_means_nothing() {
    let world = World::new();
    let node = world.node("north");
    let config =
        RawClient { identity: Some(&node), alpn: Some(ALPN), resumption: Resumption::disabled() }
            .config(&world);
    let endpoint = quinn::Endpoint::client(any()).unwrap();
    let quic = endpoint.connect_with(config, world.addr, HUB).unwrap().await.unwrap();
    let (peer, _here) = soon(world.server.accept()).await.unwrap();
    assert_eq!(peer.name(), &name("north"));
    drop(quic);
}
