//! B21: a revoked certificate gets in nowhere, whether the connection is new, resumed or live, and
//! a stale list lets nobody in.

use crate::world::{HUB, RawClient, World, alert, any, claims, raw_server, soon, swept};
use cloister_net::{
    ALPN, CloseReason, Closed, ConnectError, REVOCATION_LIST_AGE_S, RevocationList,
};
use quinn::Endpoint;
use rustls::{
    AlertDescription, NamedGroup,
    client::{
        ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
        Tls13ClientSessionValue,
    },
    pki_types::ServerName,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

#[tokio::test(flavor = "multi_thread")]
async fn b21_revoked_new_connection_refused() {
    let world = World::new();
    let (bad, good) = (world.node("north"), world.node("south"));
    world.list.revoke(claims(&bad).serial);
    let refused = world.dialer(&bad).dial(world.addr).await;
    assert!(matches!(refused, Err(ConnectError::Revoked)), "{refused:?}");
    assert!(refused.unwrap_err().is_lasting());
    let (_dialled, accepted) = world.pair(&good).await;
    assert_eq!(accepted.peer().name().as_str(), "south", "the revoked one was never handed out");
}

#[tokio::test(flavor = "multi_thread")]
async fn b21_live_connection_closed_after_revocation() {
    let world = World::new();
    let (bad, good) = (world.node("north"), world.node("south"));
    let (bad_there, bad_here) = world.pair(&bad).await;
    let (good_there, good_here) = world.pair(&good).await;
    world.list.revoke(claims(&bad).serial);
    assert_eq!(swept(bad_there.closed()).await, Closed::ByPeer(CloseReason::Revoked));
    assert_eq!(swept(bad_here.closed()).await, Closed::ByUs);
    let (question, answer) =
        tokio::join!(good_there.call(b"still here", 64, Duration::from_secs(60)), async {
            let mut stream = good_here.accept_bi().await.unwrap();
            let body = stream.read_last_frame(64).await.unwrap();
            stream.answer(&body).await
        });
    answer.unwrap();
    assert_eq!(question.unwrap(), b"still here");
}

#[tokio::test(flavor = "multi_thread")]
async fn b21_live_connection_closed_after_a_list_from_the_store_names_it() {
    let world = World::new();
    let bad = world.node("north");
    let (there, _here) = world.pair(&bad).await;
    world.list.replace([claims(&bad).serial], world.now_s()).unwrap();
    assert_eq!(swept(there.closed()).await, Closed::ByPeer(CloseReason::Revoked));
}

#[tokio::test(flavor = "multi_thread")]
async fn b21_live_connection_closed_when_its_certificate_expires() {
    let world = World::new();
    let node = world.node("north");
    let (there, _here) = world.pair(&node).await;
    world.clock.set(claims(&node).not_after_s + 1);
    assert_eq!(swept(there.closed()).await, Closed::ByPeer(CloseReason::Expired));
}

#[tokio::test(flavor = "multi_thread")]
async fn b21_stale_revocation_list_refused() {
    let world = World::new();
    let node = world.node("north");
    world.clock.forward(REVOCATION_LIST_AGE_S + 1);
    let refused = world.dialer(&node).dial(world.addr).await;
    assert!(matches!(refused, Err(ConnectError::RevocationUnknown)), "{refused:?}");
    world.list.replace([], world.now_s()).unwrap();
    world.pair(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b21_missing_revocation_list_refused() {
    let world = World::new();
    let list = RevocationList::new(world.clock.clone());
    let server = cloister_net::Server::bind(any(), &world.hub, list, world.clock.clone()).unwrap();
    let refused = world.dialer(&world.node("north")).dial(server.local_addr().unwrap()).await;
    assert!(matches!(refused, Err(ConnectError::RevocationUnknown)), "{refused:?}");
}

/// A client's session store that counts the tickets it is given.
#[derive(Debug)]
struct Tickets {
    cache: ClientSessionMemoryCache,
    count: AtomicUsize,
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.cache.set_kx_hint(server, group);
    }
    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.cache.kx_hint(server)
    }
    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.cache.set_tls12_session(server, value);
    }
    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.cache.tls12_session(server)
    }
    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.cache.remove_tls12_session(server);
    }
    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.cache.insert_tls13_ticket(server, value);
    }
    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.cache.take_tls13_ticket(server)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b21_no_resumption() {
    let world = World::new();
    let node = world.node("north");
    let tickets =
        Arc::new(Tickets { cache: ClientSessionMemoryCache::new(8), count: AtomicUsize::new(0) });
    let config = RawClient {
        identity: Some(&node),
        alpn: Some(ALPN),
        resumption: Resumption::store(tickets.clone()),
    }
    .config(&world);
    let endpoint = Endpoint::client(any()).unwrap();
    let dial = || endpoint.connect_with(config.clone(), world.addr, HUB).unwrap();

    // Twice with one greedy client configuration: no ticket, so no early data and no resumption.
    for _ in 0..2 {
        let connecting = match dial().into_0rtt() {
            Ok(_) => panic!("early data was offered"),
            Err(connecting) => connecting,
        };
        let quic = soon(connecting).await.unwrap();
        soon(quic.accept_uni()).await.unwrap();
        let _accepted = soon(world.server.accept()).await.unwrap();
        assert_eq!(tickets.count.load(Ordering::SeqCst), 0);
    }
    // So the third handshake is a full one too, and the verifier sees the revocation.
    world.list.revoke(claims(&node).serial);
    let refused = match soon(dial()).await {
        Ok(quic) => soon(quic.accept_uni()).await.map(|_| ()).unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(alert(refused), u64::from(u8::from(AlertDescription::CertificateRevoked)));

    // The same client does collect tickets where they are handed out: the count means something.
    let lax = raw_server(&world.hub);
    let addr = lax.local_addr().unwrap();
    let connecting = endpoint.connect_with(config.clone(), addr, HUB).unwrap();
    let (there, here) =
        soon(async { tokio::join!(connecting, async { lax.accept().await.unwrap().await }) }).await;
    let (_there, _here) = (there.unwrap(), here.unwrap());
    soon(async {
        while tickets.count.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(endpoint.connect_with(config, addr, HUB).unwrap().into_0rtt().is_ok());
}
