//! The end that dials out: nodes and people. A connection is returned only after both sides checked
//! each other; this side never listens.

use crate::{
    clock::{Clock, SystemClock},
    connection::Connection,
    fault::{Attempt, ConnectError},
    identity::{Claims, PeerIdentity, Role},
    keys::{Identity, TlsError},
    limits::{CONNECT_DEADLINE, SERVER_NAME},
    redial::Backoff,
    tls,
    verify::Seen,
};
use quinn::{ConnectionError, Endpoint, ReadError, ReadExactError};
use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;

/// Dials a coordinator with one identity. Each dial uses a fresh UDP port.
#[derive(Debug, Clone)]
pub struct Dialer {
    identity: Identity,
    own: Claims,
    clock: Arc<dyn Clock>,
    deadline: Duration,
}

/// Dials each address once, on the system's clock. See [`Dialer::dial_each`].
pub async fn connect(
    addrs: &[SocketAddr],
    identity: &Identity,
) -> Result<Connection, ConnectError> {
    Dialer::new(identity, Arc::new(SystemClock))?.dial_each(addrs).await
}

impl Dialer {
    /// Takes a node's or a person's identity. Errors for a coordinator's.
    pub fn new(identity: &Identity, clock: Arc<dyn Clock>) -> Result<Self, ConnectError> {
        let own = identity.claims()?;
        if own.role == Role::Coordinator {
            return Err(TlsError::WrongRole.into());
        }
        Ok(Self { identity: identity.clone(), own, clock, deadline: CONNECT_DEADLINE })
    }

    /// Waits this long for each dial in place of [`CONNECT_DEADLINE`].
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Connects: the server must be a coordinator under our authority, and it must have accepted
    /// our certificate before this returns.
    pub async fn dial(&self, addr: SocketAddr) -> Result<Connection, ConnectError> {
        let seen = Arc::new(Seen::default());
        let config = tls::client(&self.identity, self.clock.clone(), seen.clone())?;
        let attempt = Attempt {
            addr,
            deadline: self.deadline,
            seen: &seen,
            own: Some(&self.own),
            now_s: self.clock.now_unix_s(),
        };
        let reached = async {
            let (endpoint, quic) = handshake(addr, config, &attempt).await?;
            let server_time_s = greeting(&quic).await.map_err(|error| attempt.failed(error))?;
            let peer = PeerIdentity::of_handshake(&quic).ok_or(ConnectError::NotTheCoordinator)?;
            Ok(Connection::new(quic, peer, Some(server_time_s), Some(endpoint)))
        };
        timeout(self.deadline, reached).await.unwrap_or_else(|_| Err(attempt.too_late()))
    }

    /// Dials the addresses of one coordinator in turn, each with the deadline of one dial, until one is
    /// reached. The error is the last one, or the last that people must act on.
    pub async fn dial_each(&self, addrs: &[SocketAddr]) -> Result<Connection, ConnectError> {
        let mut told = ConnectError::NoAddress;
        for addr in addrs {
            match self.dial(*addr).await {
                Ok(connection) => return Ok(connection),
                Err(error) => told = told.or_later(error),
            }
        }
        Err(told)
    }

    /// Dials until connected, pausing by `backoff` with jitter from `random`; ends early with an
    /// error that waiting cannot mend ([`ConnectError::is_lasting`]).
    pub async fn redial(
        &self,
        addr: SocketAddr,
        backoff: &mut Backoff,
        mut random: impl FnMut() -> u64,
    ) -> Result<Connection, ConnectError> {
        loop {
            match self.dial(addr).await {
                Ok(connection) => {
                    backoff.reset();
                    return Ok(connection);
                }
                Err(error) if error.is_lasting() => return Err(error),
                Err(error) => {
                    let pause = backoff.next_delay(random());
                    tracing::info!(%addr, %error, pause_ms = pause.as_millis(), "dialling again");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

/// Opens a socket and shakes hands.
pub(crate) async fn handshake(
    addr: SocketAddr,
    config: quinn::ClientConfig,
    attempt: &Attempt<'_>,
) -> Result<(Endpoint, quinn::Connection), ConnectError> {
    let any: SocketAddr = match addr {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let endpoint = Endpoint::client(any).map_err(ConnectError::Socket)?;
    // Only an address that no packet can go to is refused here.
    let connecting = endpoint
        .connect_with(config, addr, SERVER_NAME)
        .map_err(|_| ConnectError::Unreachable { addr, waited_ms: 0 })?;
    let quic = connecting.await.map_err(|error| attempt.failed(error))?;
    Ok((endpoint, quic))
}

/// Waits for the server's word that it let us in.
async fn greeting(quic: &quinn::Connection) -> Result<u64, ConnectionError> {
    let mut stream = quic.accept_uni().await?;
    let mut time_s = [0; 8];
    match stream.read_exact(&mut time_s).await {
        Ok(()) => Ok(u64::from_le_bytes(time_s)),
        Err(ReadExactError::ReadError(ReadError::ConnectionLost(error))) => Err(error),
        Err(_) => Err(ConnectionError::Reset),
    }
}
