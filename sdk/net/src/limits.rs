//! Every limit of the transport in one place, each with its reason. No other file of this crate may
//! hold a bare number that bounds time, memory or count.

use std::time::Duration;

/// Application protocol of nodes and people (RFC 7301).
pub const ALPN: &[u8] = b"cloister/1";
/// Application protocol of enrolment, on a port of its own.
pub const ALPN_ENROL: &[u8] = b"cloister-enrol/1";
/// Server name every client sends: who the coordinator is stands in its certificate, not in SNI,
/// and a name in clear would tell an onlooker more than it must.
pub(crate) const SERVER_NAME: &str = "coordinator.cloister";

/// Largest frame, in bytes of body.
pub const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes taken from a stream at once, so that memory grows with what came, not with what is claimed.
pub(crate) const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// A live connection of a revoked or expired certificate is closed within this time.
pub const REVOCATION_SWEEP_S: u64 = 5;
/// Pause between two sweeps; a revocation also wakes the sweep at once.
pub(crate) const SWEEP_PAUSE: Duration = Duration::from_secs(1);
/// A revocation list older than this admits nobody.
pub const REVOCATION_LIST_AGE_S: u64 = 300;
/// How far two honest clocks may differ.
pub const CLOCK_SKEW_S: u64 = 120;

/// Life of a certificate given by enrolment.
pub const CERT_LIFETIME_S: u64 = 365 * 24 * 3600;
/// Life of a new authority.
pub const CA_LIFETIME_S: u64 = 20 * 365 * 24 * 3600;
/// Suggested life of a join token.
pub const TOKEN_LIFETIME_S: u64 = 24 * 3600;
/// Longest text that is looked at as a join token, in bytes.
pub(crate) const TOKEN_TEXT_BYTES_MAX: usize = 256;
/// Largest certificate signing request, in bytes; an ECDSA P-256 one takes about 250.
pub const CSR_BYTES_MAX: usize = 4096;
/// Largest enrolment request: secret, role, name and signing request.
pub(crate) const ENROL_REQUEST_BYTES_MAX: usize = CSR_BYTES_MAX + 512;
/// Largest enrolment answer: one certificate.
pub(crate) const ENROL_ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Enrolments under way at once; more are turned away and try again.
pub(crate) const ENROLMENTS_MAX: usize = 16;
/// Longest an enrolment may take.
pub(crate) const ENROL_DEADLINE: Duration = Duration::from_secs(10);

/// Live connections of one server.
pub const CONNECTIONS_MAX: usize = 4096;
/// Live connections of one certificate: a reconnecting node may briefly hold two.
pub const CONNECTIONS_PER_PEER_MAX: usize = 8;
/// Handshakes under way, and verified connections not yet taken by `accept`.
pub(crate) const HANDSHAKES_MAX: usize = 256;
/// From this many handshakes on, a client must first prove its address (RFC 9000, section 8.1).
pub(crate) const HANDSHAKES_UNPROVEN_MAX: usize = 64;
/// Longest a handshake may take at the server.
pub(crate) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Longest a dial may take unless the caller says otherwise.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Streams a peer may hold open in each direction of calling.
pub(crate) const STREAMS_MAX: u32 = 128;
/// Unread bytes of one stream; above what one round trip carries, well below a frame.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Unread bytes of one connection.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// Unacknowledged bytes kept for sending on one connection.
pub(crate) const SEND_WINDOW_BYTES: u64 = 16 * 1024 * 1024;
/// Silence after which a connection counts as lost, in milliseconds.
pub(crate) const IDLE_MS: u32 = 30_000;
/// Pause between two keep-alive packets; several fit into the idle time.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(8);
/// Longest a close waits for its packets to go out.
pub(crate) const FLUSH_DEADLINE: Duration = Duration::from_secs(3);

// The sweep keeps its promise with room to spare.
const _: () = assert!(SWEEP_PAUSE.as_secs() < REVOCATION_SWEEP_S);
