//! The coordinator's end of joining, on a UDP port of its own. On one port the server would have to
//! make client certificates optional and sort connections out in code afterwards; with two, the
//! working port's TLS demands a certificate without exception, and nothing here can open a way to
//! it. This end reads one small request a connection and hands nothing else on.

use crate::{
    ca::{Ca, CaError},
    clock::Clock,
    connection::CloseReason,
    enrol_message::{Answer, Request, encode_answer},
    frame::{FrameReader, header},
    identity::{Role, Serial},
    keys::{Identity, TlsError},
    limits::{
        CERT_LIFETIME_S, CLOCK_SKEW_S, ENROL_ANSWER_BYTES_MAX, ENROL_DEADLINE,
        ENROL_REQUEST_BYTES_MAX, ENROLMENTS_MAX, FLUSH_DEADLINE,
    },
    server::BindError,
    tls,
    token::{EnrolRefusal, Issued, SecretHash, TokenRefusal, TokenStore},
};
use quinn::{Endpoint, Incoming};
use std::{net::SocketAddr, sync::Arc};
use tokio::{sync::Semaphore, time::timeout};

/// A bound enrolment end; serves while [`Enroller::run`] is polled.
pub struct Enroller {
    endpoint: Endpoint,
    desk: Arc<Desk>,
}

struct Desk {
    ca: Arc<Ca>,
    tokens: Arc<dyn TokenStore>,
    clock: Arc<dyn Clock>,
}

impl Enroller {
    /// Binds `addr` (port 0 takes a free one) inside a tokio runtime. `identity` is the
    /// coordinator's own, under `ca`.
    pub fn bind(
        addr: SocketAddr,
        ca: Arc<Ca>,
        identity: &Identity,
        tokens: Arc<dyn TokenStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BindError> {
        if identity.claims()?.role != Role::Coordinator {
            return Err(TlsError::WrongRole.into());
        }
        if identity.ca_fingerprint()? != ca.fingerprint() {
            return Err(TlsError::NotOfThisCa.into());
        }
        let config = tls::enrol_server(identity, clock.clone())?;
        let endpoint =
            Endpoint::server(config, addr).map_err(|cause| BindError::Address { addr, cause })?;
        Ok(Self { endpoint, desk: Arc::new(Desk { ca, tokens, clock }) })
    }

    /// The address bound.
    pub fn local_addr(&self) -> Result<SocketAddr, BindError> {
        self.endpoint.local_addr().map_err(BindError::LocalAddress)
    }

    /// Serves until shut down.
    pub async fn run(&self) {
        let places = Arc::new(Semaphore::new(ENROLMENTS_MAX));
        while let Some(incoming) = self.endpoint.accept().await {
            // Joining is rare and unauthenticated: every client proves its address first.
            if incoming.may_retry() {
                let _ = incoming.retry();
                continue;
            }
            let Ok(place) = places.clone().try_acquire_owned() else {
                incoming.refuse();
                continue;
            };
            let desk = self.desk.clone();
            tokio::spawn(async move {
                let from = incoming.remote_address();
                if timeout(ENROL_DEADLINE, desk.serve(incoming)).await.is_err() {
                    tracing::warn!(%from, "enrolment took too long");
                }
                drop(place);
            });
        }
    }

    /// Stops serving and waits, a few seconds at most, until joiners were told.
    pub async fn shutdown(&self) {
        self.endpoint.close(CloseReason::Shutdown.code(), b"");
        let _ = timeout(FLUSH_DEADLINE, self.endpoint.wait_idle()).await;
    }
}

impl Desk {
    async fn serve(self: Arc<Self>, incoming: Incoming) {
        let from = incoming.remote_address();
        let handshake = async { incoming.accept()?.await };
        let quic = match handshake.await {
            Ok(quic) => quic,
            Err(error) => return tracing::info!(%from, %error, "enrolment handshake failed"),
        };
        let Ok((send, mut recv)) = quic.accept_bi().await else {
            return;
        };
        let request = read_request(&mut recv).await.and_then(|bytes| Request::decode(&bytes));
        let was_read = request.is_some();
        let answer = match request {
            Some(request) => self.clone().decide_apart(request).await,
            None => Err(EnrolRefusal::BadRequest),
        };
        if let Err(refusal) = answer {
            tracing::warn!(%from, %refusal, "enrolment refused");
            let desk = self.clone();
            let is_stranger = !was_read || refusal == EnrolRefusal::Token(TokenRefusal::Unknown);
            let tell = move || {
                if is_stranger {
                    desk.tokens.refused_stranger(from, refusal);
                } else {
                    desk.tokens.refused(from, refusal);
                }
            };
            // The store may block; its alert must be out before the refusal is.
            let _ = tokio::task::spawn_blocking(tell).await;
        }
        if send_answer(send, &answer).await.is_some() {
            // The joiner closes when it has read; until then the answer must stay in flight.
            quic.closed().await;
        }
    }

    /// Runs the decision on a thread that may block.
    async fn decide_apart(self: Arc<Self>, request: Request) -> Answer {
        tokio::task::spawn_blocking(move || self.decide(&request))
            .await
            .unwrap_or(Err(EnrolRefusal::Unavailable))
    }

    /// The token first: nobody without one gets bytes into the certificate parser.
    fn decide(&self, request: &Request) -> Answer {
        let now_s = self.clock.now_unix_s();
        let secret = SecretHash::of(&request.secret);
        self.tokens.consume(&secret, &request.name, request.role, now_s)?;
        let serial = Serial::random().map_err(|_| EnrolRefusal::Unavailable)?;
        let (not_before_s, not_after_s) = (
            now_s.saturating_sub(CLOCK_SKEW_S),
            now_s.saturating_add(CERT_LIFETIME_S).min(self.ca.not_after_s()),
        );
        let (name, role) = (&request.name, request.role);
        let cert_der = self
            .ca
            .sign_csr(&request.csr_der, name, role, serial, not_before_s, not_after_s)
            .map_err(|error| {
                tracing::warn!(%name, %error, "signing request refused");
                match error {
                    CaError::BadRequest | CaError::WeakKey => EnrolRefusal::BadRequest,
                    _ => EnrolRefusal::Unavailable,
                }
            })?;
        let issued =
            Issued { name: name.clone(), role, serial, not_before_s, not_after_s, cert_der };
        self.tokens.issued(&issued)?;
        Ok(issued.cert_der)
    }
}

async fn read_request(recv: &mut quinn::RecvStream) -> Option<Vec<u8>> {
    let mut reader = FrameReader::new(ENROL_REQUEST_BYTES_MAX);
    while reader.wanted() > 0 {
        let chunk = recv.read_chunk(reader.wanted(), true).await.ok()??;
        reader.push(&chunk.bytes).ok()?;
    }
    reader.finish().ok()
}

async fn send_answer(mut send: quinn::SendStream, answer: &Answer) -> Option<()> {
    let body = encode_answer(answer);
    send.write_all(&header(body.len(), ENROL_ANSWER_BYTES_MAX).ok()?).await.ok()?;
    send.write_all(&body).await.ok()?;
    send.finish().ok()
}
