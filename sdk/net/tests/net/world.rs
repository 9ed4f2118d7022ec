//! What the tests share: a clock turned by hand, one coordinator, and raw QUIC ends that keep to no
//! rule of ours. Must never be kinder to our code than the network is.

use cloister_net::{
    Ca, Claims, Clock, Connection, Dialer, Identity, JoinKey, REVOCATION_SWEEP_S, RevocationList,
    Role, Serial, Server,
};
use cloister_terms::Name;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    RootCertStore,
    client::{Resumption, WebPkiServerVerifier},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub const HUB: &str = "hub.coordinator.cloister";
const DAY_S: u64 = 86_400;
/// What a busy machine may need beside the sweep itself.
const SWEEP_MARGIN: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub struct HandClock(AtomicU64);

impl HandClock {
    pub fn at(now_s: u64) -> Self {
        Self(AtomicU64::new(now_s))
    }
    pub fn set(&self, now_s: u64) {
        self.0.store(now_s, Ordering::SeqCst);
    }
    pub fn forward(&self, by_s: u64) {
        self.0.fetch_add(by_s, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now_unix_s(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub struct World {
    pub clock: Arc<HandClock>,
    pub ca: Arc<Ca>,
    pub hub: Identity,
    pub list: Arc<RevocationList>,
    pub server: Server,
    pub addr: SocketAddr,
}

impl World {
    /// A running coordinator whose revocation list is fresh and empty.
    pub fn new() -> Self {
        // The raw ends below check certificates by the machine's clock, so start there.
        let now_s = cloister_net::SystemClock.now_unix_s();
        let clock = Arc::new(HandClock::at(now_s));
        let ca = Arc::new(Ca::generate(&name("study"), now_s).unwrap());
        let serial = Serial::random().unwrap();
        let hub = ca.issue_server(&name("hub"), serial, now_s - DAY_S, now_s + 30 * DAY_S).unwrap();
        let list = RevocationList::new(clock.clone());
        list.replace([], now_s).unwrap();
        let server = Server::bind(any(), &hub, list.clone(), clock.clone()).unwrap();
        let addr = server.local_addr().unwrap();
        Self { clock, ca, hub, list, server, addr }
    }

    pub fn now_s(&self) -> u64 {
        self.clock.now_unix_s()
    }

    /// A node's identity, valid for a day around now.
    pub fn node(&self, text: &str) -> Identity {
        let now_s = self.now_s();
        issue(&self.ca, text, Role::Node, now_s - DAY_S, now_s + DAY_S)
    }

    pub fn dialer(&self, identity: &Identity) -> Dialer {
        Dialer::new(identity, self.clock.clone()).unwrap()
    }

    /// Both ends of one connection.
    pub async fn pair(&self, identity: &Identity) -> (Connection, Connection) {
        let dialer = self.dialer(identity);
        let both = async { tokio::join!(dialer.dial(self.addr), self.server.accept()) };
        let (dialled, accepted) = soon(both).await;
        (dialled.unwrap(), accepted.unwrap().1)
    }
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn any() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

pub fn issue(ca: &Ca, text: &str, role: Role, from_s: u64, to_s: u64) -> Identity {
    let key = JoinKey::generate().unwrap();
    let serial = Serial::random().unwrap();
    let cert = ca.sign_csr(key.csr_der(), &name(text), role, serial, from_s, to_s).unwrap();
    key.into_identity(&cert, &ca.cert_pem()).unwrap()
}

pub fn claims(identity: &Identity) -> Claims {
    identity.claims().unwrap()
}

/// A wait that must end; its bound only stops a broken test from hanging.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("must end")
}

/// A wait for what a sweep does: fails when it takes longer than row B21 says.
pub async fn swept<T>(what: impl Future<Output = T>) -> T {
    let promised = Duration::from_secs(REVOCATION_SWEEP_S) + SWEEP_MARGIN;
    tokio::time::timeout(promised, what).await.expect("must end within the sweep's time")
}

pub struct RawClient<'a> {
    /// The certificate shown, if any.
    pub identity: Option<&'a Identity>,
    pub alpn: Option<&'a [u8]>,
    pub resumption: Resumption,
}

impl RawClient<'_> {
    /// A client that trusts the world's authority and otherwise does as it likes.
    pub fn config(self, world: &World) -> quinn::ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(cert(&world.hub.ca_pem)).unwrap();
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), ring.clone())
            .build()
            .unwrap();
        let builder = rustls::ClientConfig::builder_with_provider(ring)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match self.identity {
            Some(me) => {
                builder.with_client_auth_cert(vec![cert(&me.cert_chain_pem)], key(me)).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.into_iter().map(<[u8]>::to_vec).collect();
        config.resumption = self.resumption;
        config.enable_early_data = true;
        quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()))
    }

    /// Connects, and waits for the server's greeting or its refusal.
    pub async fn greeted(self, world: &World) -> Result<quinn::Connection, quinn::ConnectionError> {
        let config = self.config(world);
        let endpoint = quinn::Endpoint::client(any()).unwrap();
        let quic = endpoint.connect_with(config, world.addr, HUB).unwrap().await?;
        soon(quic.accept_uni()).await?;
        Ok(quic)
    }
}

/// A server that shows `identity`'s certificate, asks for none, and hands out tickets and 0-RTT.
pub fn raw_server(identity: &Identity) -> quinn::Endpoint {
    raw_endpoint(identity, vec![cert(&identity.cert_chain_pem)], cloister_net::ALPN)
}

/// The same for the enrolment protocol, presenting the authority too.
pub fn raw_enroller(identity: &Identity) -> quinn::Endpoint {
    let chain = vec![cert(&identity.cert_chain_pem), cert(&identity.ca_pem)];
    raw_endpoint(identity, chain, cloister_net::ALPN_ENROL)
}

fn raw_endpoint(
    identity: &Identity,
    chain: Vec<CertificateDer<'static>>,
    alpn: &[u8],
) -> quinn::Endpoint {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(ring)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key(identity))
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    config.max_early_data_size = u32::MAX;
    let crypto = Arc::new(QuicServerConfig::try_from(config).unwrap());
    quinn::Endpoint::server(quinn::ServerConfig::with_crypto(crypto), any()).unwrap()
}

/// The TLS alert with which the server refused.
pub fn alert(error: quinn::ConnectionError) -> u64 {
    match error {
        quinn::ConnectionError::ConnectionClosed(close) => u64::from(close.error_code) - 0x100,
        other => panic!("not refused by the peer: {other:?}"),
    }
}

fn cert(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn key(identity: &Identity) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap()
}
