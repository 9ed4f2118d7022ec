//! Joining: the key is made here and stays here; the secret is sent only to a coordinator under the
//! authority that the token pins, and what comes back is checked against key, name and role.

use crate::{
    ca::CaError,
    clock::Clock,
    connection::{CloseReason, Connection, StreamError},
    dial::handshake,
    enrol_message::{Request, decode_answer},
    fault::{Attempt, ConnectError, Party},
    identity::{Fingerprint, PeerIdentity, Role},
    keys::{Identity, JoinKey, TlsError, pem_text},
    limits::{CONNECT_DEADLINE, ENROL_ANSWER_BYTES_MAX, ENROL_DEADLINE},
    tls,
    token::{EnrolRefusal, Token},
    verify::Seen,
};
use cloister_terms::Name;
use rustls::pki_types::CertificateDer;
use std::{net::SocketAddr, sync::Arc};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Why joining failed. Unless the refusal says otherwise, the token is still good.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// No connection; the secret was not sent.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The coordinator refused.
    #[error(transparent)]
    Refused(#[from] EnrolRefusal),
    /// The connection broke after the secret was sent: the token may be spent.
    #[error(
        "connection broke while joining: {0}; try again, and ask for a new token if this one is spent"
    )]
    Stream(#[from] StreamError),
    /// The answer is not an enrolment answer.
    #[error("coordinator's answer cannot be read: check that both run the same version")]
    BadAnswer,
    /// The certificate is not the one asked for.
    #[error("coordinator signed another name or role than asked for: tell its operator")]
    OtherIdentity,
    /// The certificate does not belong to our key or the pinned authority.
    #[error(transparent)]
    Certificate(#[from] TlsError),
    /// No key could be made.
    #[error(transparent)]
    Key(#[from] CaError),
}

/// Joins as `name` in `role` at the coordinator's enrolment address. Returns what to keep: store
/// it before anything else, for the token is spent.
pub async fn enrol(
    addr: SocketAddr,
    token: &Token,
    name: &Name,
    role: Role,
    clock: Arc<dyn Clock>,
) -> Result<Identity, EnrolError> {
    let key = JoinKey::generate()?;
    let (connection, ca_pem) = reach(addr, token.ca(), clock).await?;
    let request = Request {
        secret: Zeroizing::new(*token.secret()),
        role,
        name: name.clone(),
        csr_der: key.csr_der().to_vec(),
    };
    let answer = connection.call(&request.encode(), ENROL_ANSWER_BYTES_MAX, ENROL_DEADLINE).await;
    connection.close_and_flush(CloseReason::Done).await;
    let cert_der = decode_answer(&answer?).ok_or(EnrolError::BadAnswer)??;
    let identity = key.into_identity(&cert_der, &ca_pem)?;
    let claims = identity.claims()?;
    if claims.name != *name || claims.role != role {
        return Err(EnrolError::OtherIdentity);
    }
    Ok(identity)
}

/// Joins at the first of these addresses that is reached. See [`enrol`]; none is tried once the secret was
/// sent.
pub async fn enrol_at_each(
    addrs: &[SocketAddr],
    token: &Token,
    name: &Name,
    role: Role,
    clock: Arc<dyn Clock>,
) -> Result<Identity, EnrolError> {
    let mut told = ConnectError::NoAddress;
    for addr in addrs {
        match enrol(*addr, token, name, role, clock.clone()).await {
            Err(EnrolError::Connect(error)) => told = told.or_later(error),
            settled => return settled,
        }
    }
    Err(told.into())
}

/// Connects, and returns the pinned authority's certificate (PEM) with the connection.
async fn reach(
    addr: SocketAddr,
    pinned: Fingerprint,
    clock: Arc<dyn Clock>,
) -> Result<(Connection, String), ConnectError> {
    let seen = Arc::new(Seen::default());
    let now_s = clock.now_unix_s();
    let config = tls::enrol_client(pinned, clock, seen.clone())?;
    let attempt = Attempt { addr, deadline: CONNECT_DEADLINE, seen: &seen, own: None, now_s };
    let (endpoint, quic) = timeout(CONNECT_DEADLINE, handshake(addr, config, &attempt))
        .await
        .unwrap_or_else(|_| Err(attempt.too_late()))?;
    let peer = PeerIdentity::of_handshake(&quic).ok_or(ConnectError::NotTheCoordinator)?;
    let ca_pem =
        pinned_ca(&quic, pinned).ok_or(ConnectError::WrongCa { whose: Party::Coordinator })?;
    Ok((Connection::new(quic, peer, None, Some(endpoint)), ca_pem))
}

fn pinned_ca(quic: &quinn::Connection, pinned: Fingerprint) -> Option<String> {
    let chain = quic.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    let ca = chain.iter().find(|cert| Fingerprint::of_der(cert) == pinned)?;
    Some(pem_text("CERTIFICATE", ca))
}
