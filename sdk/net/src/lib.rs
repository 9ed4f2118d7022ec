//! QUIC with mutual TLS 1.3 between nodes, people and the coordinator: who is at the other end is
//! settled before the first byte of a message. Frames are opaque bytes here; this crate never reads
//! a message, never resumes a session, never accepts 0-RTT data and never touches a file.

/// The coordinator's certificate authority.
pub mod ca;
/// Where the time comes from.
pub mod clock;
/// A verified connection, its streams and calls.
pub mod connection;
/// The node's and the person's end: dials out.
pub mod dial;
/// Joining: key made here, certificate signed there.
pub mod enrol;
/// The bytes of an enrolment request and its answer.
mod enrol_message;
/// The coordinator's end of joining.
pub mod enroller;
/// Why a connection could not be made, told apart so that people know what to do.
pub mod fault;
/// Length-prefixed frames.
mod frame;
/// Roles, serials, fingerprints, and who a verified peer is.
pub mod identity;
/// What one party keeps: its certificate, its private key, the authority it trusts.
pub mod keys;
/// Every limit and constant of the transport.
pub mod limits;
/// Live connections, and closing those that lost their right.
mod live;
/// Waiting between attempts.
pub mod redial;
/// Serials whose certificates no longer count.
pub mod revocation;
/// The coordinator's end: accepts verified peers.
pub mod server;
/// TLS and QUIC configurations.
mod tls;
/// One-time join tokens and the rule by which they are judged.
pub mod token;
/// Certificate checks during the handshake.
mod verify;

pub use ca::{Ca, CaError};
pub use clock::{Clock, SystemClock};
pub use connection::{BiStream, CloseReason, Closed, Connection, StreamError};
pub use dial::{Dialer, connect};
pub use enrol::{EnrolError, enrol, enrol_at_each};
pub use enroller::Enroller;
pub use fault::{ConnectError, Party};
pub use frame::FrameError;
pub use identity::{Claims, Fingerprint, NoEntropy, NotAPeer, PeerIdentity, Role, Serial};
pub use keys::{Identity, JoinKey, TlsError};
pub use limits::{
    ALPN, ALPN_ENROL, CERT_LIFETIME_S, CLOCK_SKEW_S, FRAME_BYTES_MAX, REVOCATION_LIST_AGE_S,
    REVOCATION_SWEEP_S, TOKEN_LIFETIME_S,
};
pub use redial::{Backoff, entropy_u64};
pub use revocation::{RevocationFault, RevocationList};
pub use server::{BindError, Server};
pub use token::{
    EnrolRefusal, Issued, SecretHash, Token, TokenError, TokenRecord, TokenRefusal, TokenStore,
    judge,
};
