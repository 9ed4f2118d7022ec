//! A connection whose peer is known. It carries frames on streams and nothing else; it is closed
//! when its last owner lets go, and its peer never changes.

use crate::{
    frame::{FrameError, FrameReader, header},
    identity::PeerIdentity,
    limits::{CHUNK_BYTES_MAX, FLUSH_DEADLINE, FRAME_BYTES_MAX},
};
use quinn::{ConnectionError, ReadError, VarInt, WriteError};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::timeout;

/// A verified connection; clones share it, and the last one dropped closes it.
#[derive(Debug, Clone)]
pub struct Connection {
    held: Arc<Held>,
}

/// A stream in both directions, for one question and its answer.
#[derive(Debug)]
pub struct BiStream {
    send: quinn::SendStream,
    recv: quinn::RecvStream,
    /// Keeps the connection open while the stream is in use.
    _held: Arc<Held>,
}

/// Why a side closed the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// Nothing more to say.
    #[error("peer is done")]
    Done,
    /// The process stops; dial again later.
    #[error("peer is shutting down: dial again later")]
    Shutdown,
    /// The certificate was revoked.
    #[error("certificate was revoked: ask the coordinator's operator, then join again")]
    Revoked,
    /// The certificate's validity ended.
    #[error("certificate expired: join again")]
    Expired,
    /// Too many connections of this peer.
    #[error("too many connections of this certificate: close the others first")]
    TooMany,
    /// A newer connection of the same certificate serves in this one's place.
    #[error(
        "another connection of this certificate took this one's place: use one copy of it at a time"
    )]
    Displaced,
    /// The peer broke the protocol.
    #[error("peer says that the protocol was broken: check that both run the same version")]
    Misbehaved,
    /// A code this version does not know.
    #[error("peer closed for a reason unknown here: check that both run the same version")]
    Unknown,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// The peer closed it.
    #[error("closed by peer: {0}")]
    ByPeer(CloseReason),
    /// This side closed it.
    #[error("closed by this side")]
    ByUs,
    /// Nothing was heard for too long.
    #[error("peer fell silent: check the network, dial again")]
    TimedOut,
    /// Reset or broken in transport.
    #[error("connection was lost in transport: dial again")]
    Lost,
}

/// Why a stream or call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The connection ended.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// What came, or should be sent, is not a frame within limits.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The peer gave this stream up.
    #[error("peer gave the stream up: ask again")]
    Stopped,
    /// The answer did not come in time.
    #[error("no answer within {waited_ms} ms: ask again")]
    Deadline {
        /// Time waited.
        waited_ms: u128,
    },
}

#[derive(Debug)]
struct Held {
    quic: quinn::Connection,
    peer: PeerIdentity,
    server_time_s: Option<u64>,
    /// The client's own socket, which closing waits for.
    endpoint: Option<quinn::Endpoint>,
}

impl Connection {
    pub(crate) fn new(
        quic: quinn::Connection,
        peer: PeerIdentity,
        server_time_s: Option<u64>,
        endpoint: Option<quinn::Endpoint>,
    ) -> Self {
        Self { held: Arc::new(Held { quic, peer, server_time_s, endpoint }) }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &PeerIdentity {
        &self.held.peer
    }

    /// The peer's address at present; it may move.
    pub fn remote_addr(&self) -> SocketAddr {
        self.held.quic.remote_address()
    }

    /// On the dialling side, the coordinator's clock (unix seconds) as it accepted us.
    pub fn server_time_s(&self) -> Option<u64> {
        self.held.server_time_s
    }

    /// Opens a stream; waits while the peer's limit of open streams is reached. The peer sees it
    /// with the first bytes written.
    pub async fn open_bi(&self) -> Result<BiStream, StreamError> {
        let (send, recv) = self.held.quic.open_bi().await.map_err(Closed::from)?;
        Ok(BiStream { send, recv, _held: self.held.clone() })
    }

    /// Takes the next stream that the peer opened. Safe to cancel. Answer each in a task of its
    /// own, so that a slow peer holds up only itself.
    pub async fn accept_bi(&self) -> Result<BiStream, StreamError> {
        let (send, recv) = self.held.quic.accept_bi().await.map_err(Closed::from)?;
        Ok(BiStream { send, recv, _held: self.held.clone() })
    }

    /// One frame there, one frame of at most `response_bytes_max` back, within `deadline`.
    pub async fn call(
        &self,
        request: &[u8],
        response_bytes_max: usize,
        deadline: Duration,
    ) -> Result<Vec<u8>, StreamError> {
        let exchange = async {
            let mut stream = self.open_bi().await?;
            stream.write_frame(request).await?;
            stream.finish()?;
            stream.read_last_frame(response_bytes_max).await
        };
        timeout(deadline, exchange)
            .await
            .unwrap_or(Err(StreamError::Deadline { waited_ms: deadline.as_millis() }))
    }

    /// Closes at once; streams under way fail on both sides.
    pub fn close(&self, reason: CloseReason) {
        self.held.quic.close(reason.code(), b"");
    }

    /// Closes, and on the dialling side waits until the peer was told (a few seconds at most):
    /// for programs that end next.
    pub async fn close_and_flush(&self, reason: CloseReason) {
        self.close(reason);
        if let Some(endpoint) = &self.held.endpoint {
            // Not being heard is no error: the peer times out by itself.
            let _ = timeout(FLUSH_DEADLINE, endpoint.wait_idle()).await;
        }
    }

    /// Waits for the end and says how it came.
    pub async fn closed(&self) -> Closed {
        self.held.quic.closed().await.into()
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.close_reason().is_some()
    }

    /// How the connection ended, if it has.
    pub fn close_reason(&self) -> Option<Closed> {
        self.held.quic.close_reason().map(Closed::from)
    }
}

impl BiStream {
    /// Sends one frame of at most [`FRAME_BYTES_MAX`].
    pub async fn write_frame(&mut self, body: &[u8]) -> Result<(), StreamError> {
        self.send.write_all(&header(body.len(), FRAME_BYTES_MAX)?).await?;
        self.send.write_all(body).await?;
        Ok(())
    }

    /// Says that no more frames follow.
    pub fn finish(&mut self) -> Result<(), StreamError> {
        self.send.finish().map_err(|_| StreamError::Stopped)
    }

    /// Reads one frame of at most `bytes_max` (and never more than [`FRAME_BYTES_MAX`]).
    pub async fn read_frame(&mut self, bytes_max: usize) -> Result<Vec<u8>, StreamError> {
        let mut reader = FrameReader::new(bytes_max.min(FRAME_BYTES_MAX));
        while reader.wanted() > 0 {
            match self.recv.read_chunk(reader.wanted(), true).await? {
                Some(chunk) => reader.push(&chunk.bytes)?,
                None => break,
            }
        }
        Ok(reader.finish()?)
    }

    /// Reads one frame, after which the stream must end.
    pub async fn read_last_frame(&mut self, bytes_max: usize) -> Result<Vec<u8>, StreamError> {
        let body = self.read_frame(bytes_max).await?;
        match self.recv.read_chunk(CHUNK_BYTES_MAX, true).await? {
            None => Ok(body),
            Some(_) => Err(FrameError::Trailing.into()),
        }
    }

    /// Sends the one frame that answers, and ends the stream. Returns when all is handed to the
    /// transport: keep a [`Connection`] until the peer has had time to read it.
    pub async fn answer(mut self, response: &[u8]) -> Result<(), StreamError> {
        self.write_frame(response).await?;
        self.finish()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The server's table of live connections keeps a handle of its own, so letting go must
        // close expressly; after an earlier close this does nothing.
        self.quic.close(CloseReason::Done.code(), b"");
    }
}

impl CloseReason {
    pub(crate) fn code(self) -> VarInt {
        VarInt::from_u32(match self {
            Self::Done => 0,
            Self::Shutdown => 1,
            Self::Revoked => 2,
            Self::Expired => 3,
            Self::TooMany => 4,
            Self::Misbehaved => 5,
            Self::Unknown => 6,
            Self::Displaced => 7,
        })
    }

    fn of_code(code: VarInt) -> Self {
        [
            Self::Done,
            Self::Shutdown,
            Self::Revoked,
            Self::Expired,
            Self::TooMany,
            Self::Misbehaved,
            Self::Displaced,
        ]
        .into_iter()
        .find(|reason| reason.code() == code)
        .unwrap_or(Self::Unknown)
    }
}

impl From<ConnectionError> for Closed {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => {
                Self::ByPeer(CloseReason::of_code(close.error_code))
            }
            ConnectionError::LocallyClosed => Self::ByUs,
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::VersionMismatch
            | ConnectionError::TransportError(_)
            | ConnectionError::ConnectionClosed(_)
            | ConnectionError::Reset
            | ConnectionError::CidsExhausted => Self::Lost,
        }
    }
}

impl From<ReadError> for StreamError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => Self::Closed(error.into()),
            ReadError::Reset(_)
            | ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => Self::Stopped,
        }
    }
}

impl From<WriteError> for StreamError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => Self::Closed(error.into()),
            WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected => {
                Self::Stopped
            }
        }
    }
}
