//! The coordinator's end. A peer is handed out only after its certificate was verified in this very
//! handshake, entered into the table of live connections and told so; nothing is read before.

use crate::{
    clock::Clock,
    connection::{CloseReason, Connection},
    identity::{PeerIdentity, Role},
    keys::{Identity, TlsError},
    limits::{
        ALPN, FLUSH_DEADLINE, HANDSHAKE_DEADLINE, HANDSHAKES_MAX, HANDSHAKES_UNPROVEN_MAX,
        SWEEP_PAUSE,
    },
    live::Live,
    revocation::RevocationList,
    tls,
};
use quinn::{Endpoint, Incoming, crypto::rustls::HandshakeData};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{
    sync::{Mutex, Semaphore, mpsc},
    task::JoinHandle,
    time::timeout,
};

/// A bound server. Dropping it closes its connections.
#[derive(Debug)]
pub struct Server {
    endpoint: Endpoint,
    ready: Mutex<mpsc::Receiver<(PeerIdentity, Connection)>>,
    sweep: JoinHandle<()>,
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be had.
    #[error("UDP address `{addr}` cannot be bound: {cause}; choose another or stop its owner")]
    Address {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// The bound address cannot be read back.
    #[error("bound address cannot be read: {0}")]
    LocalAddress(#[source] io::Error),
    /// The coordinator's files do not work.
    #[error(transparent)]
    Setup(#[from] TlsError),
}

/// What each handshake needs.
#[derive(Debug, Clone)]
struct Door {
    live: Arc<Live>,
    revocations: Arc<RevocationList>,
    clock: Arc<dyn Clock>,
    ready: mpsc::Sender<(PeerIdentity, Connection)>,
}

impl Server {
    /// Binds `addr` (port 0 takes a free one) and starts accepting; must be called inside a tokio
    /// runtime. `identity` must be a coordinator's.
    pub fn bind(
        addr: SocketAddr,
        identity: &Identity,
        revocations: Arc<RevocationList>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BindError> {
        if identity.claims()?.role != Role::Coordinator {
            return Err(TlsError::WrongRole.into());
        }
        let config = tls::server(identity, revocations.clone(), clock.clone())?;
        let endpoint =
            Endpoint::server(config, addr).map_err(|cause| BindError::Address { addr, cause })?;
        let (sender, ready) = mpsc::channel(HANDSHAKES_MAX);
        let live = Arc::new(Live::default());
        let sweep = tokio::spawn(sweep(live.clone(), revocations.clone(), clock.clone()));
        let door = Door { live, revocations, clock, ready: sender };
        tokio::spawn(door.stand(endpoint.clone()));
        Ok(Self { endpoint, ready: Mutex::new(ready), sweep })
    }

    /// The address bound.
    pub fn local_addr(&self) -> Result<SocketAddr, BindError> {
        self.endpoint.local_addr().map_err(BindError::LocalAddress)
    }

    /// The next verified peer; `None` once shut down. Safe to cancel.
    pub async fn accept(&self) -> Option<(PeerIdentity, Connection)> {
        self.ready.lock().await.recv().await
    }

    /// Closes every connection and waits, a few seconds at most, until peers were told.
    pub async fn shutdown(&self) {
        self.endpoint.close(CloseReason::Shutdown.code(), b"");
        // Peers that cannot be told time out by themselves.
        let _ = timeout(FLUSH_DEADLINE, self.endpoint.wait_idle()).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.endpoint.close(CloseReason::Shutdown.code(), b"");
        self.sweep.abort();
    }
}

impl Door {
    async fn stand(self, endpoint: Endpoint) {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        while let Some(incoming) = endpoint.accept().await {
            let under_way = HANDSHAKES_MAX.saturating_sub(handshakes.available_permits());
            if under_way >= HANDSHAKES_UNPROVEN_MAX && incoming.may_retry() {
                // An error means the packet was already answered; the client tries again.
                let _ = incoming.retry();
                continue;
            }
            let Ok(permit) = handshakes.clone().try_acquire_owned() else {
                incoming.refuse();
                continue;
            };
            if self.live.is_full() {
                incoming.refuse();
                continue;
            }
            let door = self.clone();
            tokio::spawn(async move {
                let from = incoming.remote_address();
                match timeout(HANDSHAKE_DEADLINE, door.admit(incoming)).await {
                    Ok(Some(admitted)) => {
                        // The receiver is gone only when the server is.
                        let _ = door.ready.send(admitted).await;
                    }
                    Ok(None) => {}
                    Err(_) => tracing::warn!(%from, "handshake took too long"),
                }
                drop(permit);
            });
        }
    }

    /// Takes one client through handshake, entry and greeting.
    async fn admit(&self, incoming: Incoming) -> Option<(PeerIdentity, Connection)> {
        let from = incoming.remote_address();
        let handshake = async { incoming.accept()?.await };
        let quic = match handshake.await {
            Ok(quic) => quic,
            Err(error) => {
                tracing::warn!(%from, %error, "handshake refused");
                return None;
            }
        };
        let Some(peer) = verified(&quic) else {
            tracing::warn!(%from, "connection without a verified certificate refused");
            quic.close(CloseReason::Misbehaved.code(), b"");
            return None;
        };
        if let Err(reason) = self.live.enter(&peer, &quic) {
            tracing::warn!(name = %peer.name(), %reason, "connection refused");
            quic.close(reason.code(), b"");
            return None;
        }
        let (live, leaver) = (self.live.clone(), quic.clone());
        tokio::spawn(async move {
            leaver.closed().await;
            live.leave(&leaver);
        });
        // A revocation that fell between the handshake and the entry was seen by no sweep.
        if self.revocations.is_revoked(peer.serial()) {
            quic.close(CloseReason::Revoked.code(), b"");
            return None;
        }
        let connection = Connection::new(quic.clone(), peer.clone(), None, None);
        self.greet(&quic).await?;
        Some((peer, connection))
    }

    /// Tells the client that it was let in, and what time it is here. In TLS 1.3 a client ends its
    /// handshake before the server has looked at its certificate, so without this it could not
    /// know.
    async fn greet(&self, quic: &quinn::Connection) -> Option<()> {
        let mut greeting = quic.open_uni().await.ok()?;
        greeting.write_all(&self.clock.now_unix_s().to_le_bytes()).await.ok()?;
        greeting.finish().ok()
    }
}

/// The peer, if this handshake spoke our protocol and verified a certificate that may dial in.
fn verified(quic: &quinn::Connection) -> Option<PeerIdentity> {
    let data = quic.handshake_data()?.downcast::<HandshakeData>().ok()?;
    if data.protocol.as_deref() != Some(ALPN) {
        return None;
    }
    PeerIdentity::of_handshake(quic).filter(|peer| peer.role() != Role::Coordinator)
}

/// Sweeps after every change of the list and at every pause, so that expiry is seen too.
async fn sweep(live: Arc<Live>, revocations: Arc<RevocationList>, clock: Arc<dyn Clock>) {
    let mut changes = revocations.changes();
    loop {
        live.sweep(&revocations, clock.now_unix_s());
        // Either outcome, change or pause, is a reason to look again.
        let _ = timeout(SWEEP_PAUSE, changes.changed()).await;
    }
}
