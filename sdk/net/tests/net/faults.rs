//! What a person is told when a connection fails: each cause by its own variant.

use crate::world::{HandClock, World, any, issue, name, soon};
use cloister_net::{Backoff, ConnectError, Dialer, Party, Role, Serial, Server};
use std::{net::UdpSocket, sync::Arc, time::Duration};

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_address_is_unreachable() {
    let world = World::new();
    // Bound, so that no error comes back either: as behind a firewall that drops.
    let silent = UdpSocket::bind(any()).unwrap();
    let addr = silent.local_addr().unwrap();
    let dialer = world.dialer(&world.node("north")).with_deadline(Duration::from_millis(300));
    let refused = dialer.dial(addr).await.unwrap_err();
    assert!(
        matches!(refused, ConnectError::Unreachable { addr: a, waited_ms: 300 } if a == addr),
        "{refused:?}"
    );
    assert!(!refused.is_lasting());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_addresses_each_is_tried() {
    let world = World::new();
    let dialer = world.dialer(&world.node("north"));
    // No packet can go to port 0.
    let addrs = [any(), world.addr];
    let both = async { tokio::join!(dialer.dial_each(&addrs), world.server.accept()) };
    let (dialled, _accepted) = soon(both).await;
    assert_eq!(dialled.unwrap().remote_addr(), world.addr);
    let refused = dialer.dial_each(&[any(), any()]).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Unreachable { .. }), "{refused:?}");
    let refused = dialer.dial_each(&[]).await.unwrap_err();
    assert!(matches!(refused, ConnectError::NoAddress), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn own_certificate_out_of_date() {
    let world = World::new();
    let now_s = world.now_s();
    let old = issue(&world.ca, "north", Role::Node, now_s - 90, now_s - 30);
    let refused = world.dialer(&old).dial(world.addr).await;
    assert!(
        matches!(refused, Err(ConnectError::CertificateExpired { whose: Party::Own })),
        "{refused:?}"
    );
    let early = issue(&world.ca, "north", Role::Node, now_s + 3600, now_s + 7200);
    let refused = world.dialer(&early).dial(world.addr).await;
    assert!(matches!(refused, Err(ConnectError::ClockSkew { whose: Party::Own })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn coordinators_certificate_out_of_date() {
    let world = World::new();
    let now_s = world.now_s();
    for (from_s, to_s) in [(now_s - 90, now_s - 30), (now_s + 3600, now_s + 7200)] {
        let serial = Serial::random().unwrap();
        let hub = world.ca.issue_server(&name("hub"), serial, from_s, to_s).unwrap();
        let server = Server::bind(any(), &hub, world.list.clone(), world.clock.clone()).unwrap();
        let addr = server.local_addr().unwrap();
        let refused = world.dialer(&world.node("north")).dial(addr).await.unwrap_err();
        let whose = Party::Coordinator;
        match (to_s < now_s, &refused) {
            (true, ConnectError::CertificateExpired { whose: w }) => assert_eq!(*w, whose),
            (false, ConnectError::ClockSkew { whose: w }) => assert_eq!(*w, whose),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_far_ahead_is_told_as_such() {
    let world = World::new();
    // The coordinator's certificate is good for 30 days.
    let ahead = Arc::new(HandClock::at(world.now_s() + 60 * 86_400));
    let dialer = Dialer::new(&world.node("north"), ahead).unwrap();
    let refused = dialer.dial(world.addr).await.unwrap_err();
    assert!(
        matches!(refused, ConnectError::CertificateExpired { whose: Party::Coordinator }),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("this machine's clock is ahead"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_dials_until_the_coordinator_lets_it_in() {
    let world = World::new();
    let node = world.node("north");
    world.clock.forward(cloister_net::REVOCATION_LIST_AGE_S + 1);
    let dialer = world.dialer(&node);
    let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(20));
    let mut draws = 0;
    let redialled = dialer.redial(world.addr, &mut backoff, || {
        // The second failure is when the coordinator's store comes back.
        draws += 1;
        if draws == 2 {
            world.list.replace([], world.now_s()).unwrap();
        }
        0
    });
    let (dialled, accepted) = soon(async { tokio::join!(redialled, world.server.accept()) }).await;
    assert!(dialled.is_ok() && accepted.is_some());
    assert_eq!(draws, 2);
    // Being revoked is nothing to wait for.
    world.list.revoke(node.claims().unwrap().serial);
    let ended = soon(dialer.redial(world.addr, &mut backoff, || panic!("waited"))).await;
    assert!(matches!(ended, Err(ConnectError::Revoked)), "{ended:?}");
}
