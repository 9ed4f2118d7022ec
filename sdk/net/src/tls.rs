//! TLS and QUIC configurations, built by hand: TLS 1.3 only, on ring named explicitly, no tickets,
//! no session store, no early data. A resumed session would skip the client verifier, and quinn's
//! convenience constructors ask for no client certificate and allow 0-RTT; neither may be used.

use crate::{
    clock::Clock,
    identity::Fingerprint,
    keys::{Identity, TlsError},
    limits::{
        ALPN, ALPN_ENROL, CONNECTION_WINDOW_BYTES, IDLE_MS, KEEP_ALIVE, SEND_WINDOW_BYTES,
        STREAM_WINDOW_BYTES, STREAMS_MAX,
    },
    revocation::RevocationList,
    verify::{Anchor, CoordinatorOnly, PeersOnly, Seen},
};
use quinn::{
    IdleTimeout, TransportConfig, ValidationTokenConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    ClientConfig, ConfigBuilder, ServerConfig, WantsVerifier, client::Resumption,
    crypto::CryptoProvider, pki_types::UnixTime, server::NoServerSessionStorage,
    time_provider::TimeProvider, version::TLS13,
};
use std::{sync::Arc, time::Duration};

/// ring, named explicitly: a process default could be anything.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The coordinator's configuration for nodes and people: client certificates are mandatory.
pub(crate) fn server(
    identity: &Identity,
    revocations: Arc<RevocationList>,
    clock: Arc<dyn Clock>,
) -> Result<quinn::ServerConfig, TlsError> {
    quic_server(server_tls(identity, revocations, clock)?, STREAMS_MAX)
}

/// The coordinator's configuration for joining: the server alone is authenticated, by its chain.
pub(crate) fn enrol_server(
    identity: &Identity,
    clock: Arc<dyn Clock>,
) -> Result<quinn::ServerConfig, TlsError> {
    let config = server_builder(clock)?
        .with_no_client_auth()
        .with_single_cert(vec![identity.leaf()?, identity.ca()?], identity.key()?)
        .map_err(TlsError::Refused)?;
    quic_server(locked(config, ALPN_ENROL), 1)
}

/// A node's or person's configuration; `seen` learns why a coordinator was refused.
pub(crate) fn client(
    identity: &Identity,
    clock: Arc<dyn Clock>,
    seen: Arc<Seen>,
) -> Result<quinn::ClientConfig, TlsError> {
    let config = client_builder(clock)?
        .dangerous()
        .with_custom_certificate_verifier(CoordinatorOnly::new(Anchor::Ca(identity.ca()?), seen))
        .with_client_auth_cert(vec![identity.leaf()?], identity.key()?)
        .map_err(TlsError::Refused)?;
    quic_client(config, ALPN)
}

/// A joiner's configuration: it trusts the authority that its token pins, and shows nothing.
pub(crate) fn enrol_client(
    pinned: Fingerprint,
    clock: Arc<dyn Clock>,
    seen: Arc<Seen>,
) -> Result<quinn::ClientConfig, TlsError> {
    let config = client_builder(clock)?
        .dangerous()
        .with_custom_certificate_verifier(CoordinatorOnly::new(Anchor::Pinned(pinned), seen))
        .with_no_client_auth();
    quic_client(config, ALPN_ENROL)
}

fn server_tls(
    identity: &Identity,
    revocations: Arc<RevocationList>,
    clock: Arc<dyn Clock>,
) -> Result<ServerConfig, TlsError> {
    let peers = PeersOnly::new(identity.ca()?, revocations).map_err(|_| TlsError::BadCa)?;
    let config = server_builder(clock)?
        .with_client_cert_verifier(peers)
        .with_single_cert(vec![identity.leaf()?], identity.key()?)
        .map_err(TlsError::Refused)?;
    Ok(locked(config, ALPN))
}

fn server_builder(
    clock: Arc<dyn Clock>,
) -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, TlsError> {
    ServerConfig::builder_with_details(provider(), Arc::new(TlsTime(clock)))
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Refused)
}

fn client_builder(
    clock: Arc<dyn Clock>,
) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TlsError> {
    ClientConfig::builder_with_details(provider(), Arc::new(TlsTime(clock)))
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Refused)
}

/// Shuts every way past the client verifier and every replayable byte.
fn locked(mut config: ServerConfig, alpn: &[u8]) -> ServerConfig {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    config.send_half_rtt_data = false;
    config
}

fn quic_server(config: ServerConfig, streams_max: u32) -> Result<quinn::ServerConfig, TlsError> {
    let crypto = QuicServerConfig::try_from(config).map_err(|_| TlsError::NoCipherSuite)?;
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let mut no_tokens = ValidationTokenConfig::default();
    // An address token kept by a client would let an onlooker link its visits.
    no_tokens.sent(0);
    server.validation_token_config(no_tokens);
    // The client's greeting stream is the server's to open; clients open none.
    server.transport_config(Arc::new(transport(streams_max, 0)));
    Ok(server)
}

fn quic_client(mut config: ClientConfig, alpn: &[u8]) -> Result<quinn::ClientConfig, TlsError> {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    let crypto = QuicClientConfig::try_from(config).map_err(|_| TlsError::NoCipherSuite)?;
    let mut client = quinn::ClientConfig::new(Arc::new(crypto));
    client.transport_config(Arc::new(transport(STREAMS_MAX, 1)));
    Ok(client)
}

fn transport(bi_streams_max: u32, uni_streams_max: u32) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(bi_streams_max))
        .max_concurrent_uni_streams(VarInt::from_u32(uni_streams_max))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MS))))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .datagram_receive_buffer_size(None)
        .allow_spin(false);
    transport
}

#[derive(Debug)]
struct TlsTime(Arc<dyn Clock>);

impl TimeProvider for TlsTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.now_unix_s())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SystemClock, ca::Ca, identity::Serial};
    use cloister_terms::Name;

    #[test]
    fn b21_the_server_can_neither_resume_nor_take_early_data() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let now_s = clock.now_unix_s();
        let name = Name::new("hub").unwrap();
        let ca = Ca::generate(&name, now_s).unwrap();
        let identity =
            ca.issue_server(&name, Serial::random().unwrap(), now_s, now_s + 60).unwrap();
        let config = server_tls(&identity, RevocationList::new(clock.clone()), clock).unwrap();
        assert_eq!(config.send_tls13_tickets, 0);
        assert_eq!(config.max_early_data_size, 0);
        assert!(!config.send_half_rtt_data);
        assert!(!config.session_storage.can_cache());
        assert!(!config.session_storage.put(vec![1], vec![2]));
        assert!(!config.ticketer.enabled());
        assert_eq!(config.alpn_protocols, vec![ALPN.to_vec()]);
    }
}
