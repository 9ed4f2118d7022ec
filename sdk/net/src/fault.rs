//! Why a connection could not be made, one variant for each thing a person can do about it. Reasons
//! are read from types, alert numbers and clocks, never from error text.

use crate::{
    connection::{CloseReason, Closed},
    identity::Claims,
    keys::TlsError,
    verify::Seen,
};
use quinn::{ConnectionError, TransportErrorCode};
use rustls::{AlertDescription, CertificateError};
use std::{fmt, io, net::SocketAddr, time::Duration};

/// Whose certificate or authority an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// This side's own.
    Own,
    /// The coordinator's.
    Coordinator,
}

/// Why a coordinator could not be reached or did not let us in.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not one packet came back.
    #[error(
        "no packet came back from `{addr}` within {waited_ms} ms: check address and port, and that UDP is let through both ways"
    )]
    Unreachable {
        /// The address dialled.
        addr: SocketAddr,
        /// Time waited.
        waited_ms: u128,
    },
    /// The coordinator answered, but the handshake did not end in time.
    #[error(
        "`{addr}` answered but did not finish within {waited_ms} ms: check the network's packet size and the coordinator's load, try again"
    )]
    TimedOut {
        /// The address dialled.
        addr: SocketAddr,
        /// Time waited.
        waited_ms: u128,
    },
    /// The certificate comes from another authority.
    #[error(
        "{whose} certificate comes from another authority: check that this is the right coordinator, or join again with a new token"
    )]
    WrongCa {
        /// Whose certificate.
        whose: Party,
    },
    /// The server's certificate is not a coordinator's.
    #[error(
        "server's certificate is not a coordinator's: somebody else answers at this address, tell the operator"
    )]
    NotTheCoordinator,
    /// Our certificate's role or form is not let in.
    #[error("coordinator does not take certificates of this role or form: join again")]
    WrongRole,
    /// Our certificate was revoked.
    #[error("own certificate is revoked: ask the coordinator's operator, then join again")]
    Revoked,
    /// The coordinator has no fresh revocation list and admits nobody.
    #[error(
        "coordinator has no fresh revocation list and admits nobody: tell its operator, try again later"
    )]
    RevocationUnknown,
    /// We showed no certificate.
    #[error("coordinator asks for a certificate and got none: join first")]
    NoCertificate,
    /// A validity ended, or this machine's clock runs ahead of it.
    #[error(
        "{whose} certificate has expired, or this machine's clock is ahead: check the clock, then renew the certificate by joining again"
    )]
    CertificateExpired {
        /// Whose certificate.
        whose: Party,
    },
    /// A validity has not begun, or both sides disagree about the time.
    #[error(
        "{whose} certificate is not valid yet, or the two clocks disagree: set both clocks right"
    )]
    ClockSkew {
        /// Whose certificate.
        whose: Party,
    },
    /// The other end speaks something else.
    #[error(
        "the other end does not speak this protocol version here: check the port (joining has its own) and the versions"
    )]
    AlpnMismatch,
    /// The server turns connections away.
    #[error("coordinator is busy and turned the connection away: try again later")]
    Busy,
    /// The server closed right after the handshake.
    #[error("coordinator closed the connection: {0}")]
    Refused(CloseReason),
    /// Broken in transport.
    #[error("connection was lost while it was made: try again")]
    Lost,
    /// Another TLS alert.
    #[error(
        "handshake failed with TLS alert {alert} (RFC 8446, section 6.2): check that both run the same version"
    )]
    Tls {
        /// The alert's number.
        alert: u8,
    },
    /// Our own files do not work.
    #[error(transparent)]
    Setup(#[from] TlsError),
    /// There was no address to dial.
    #[error("coordinator's name has no address: check it")]
    NoAddress,
    /// No UDP socket.
    #[error("no UDP socket could be opened: {0}")]
    Socket(#[source] io::Error),
}

impl ConnectError {
    /// Whether waiting cannot mend it: people must act first.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::WrongCa { .. }
            | Self::NotTheCoordinator
            | Self::WrongRole
            | Self::Revoked
            | Self::NoCertificate
            | Self::CertificateExpired { .. }
            | Self::AlpnMismatch
            | Self::Refused(CloseReason::Revoked | CloseReason::Expired)
            | Self::Setup(_) => true,
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::RevocationUnknown
            | Self::ClockSkew { .. }
            | Self::Busy
            | Self::Refused(_)
            | Self::Lost
            | Self::Tls { .. }
            | Self::NoAddress
            | Self::Socket(_) => false,
        }
    }

    /// Which of two is told, of one coordinator's addresses: what people must act on, else the later one.
    pub(crate) fn or_later(self, later: Self) -> Self {
        if self.is_lasting() && !later.is_lasting() { self } else { later }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "own",
            Self::Coordinator => "coordinator's",
        })
    }
}

/// One attempt to connect: all that is needed to say why it failed.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) addr: SocketAddr,
    pub(crate) deadline: Duration,
    pub(crate) seen: &'a Seen,
    /// Our own certificate's claims, if we show one.
    pub(crate) own: Option<&'a Claims>,
    pub(crate) now_s: u64,
}

impl Attempt<'_> {
    /// Time ran out.
    pub(crate) fn too_late(&self) -> ConnectError {
        let (addr, waited_ms) = (self.addr, self.deadline.as_millis());
        match self.seen.answered() {
            true => ConnectError::TimedOut { addr, waited_ms },
            false => ConnectError::Unreachable { addr, waited_ms },
        }
    }

    /// The handshake or the greeting failed.
    pub(crate) fn failed(&self, error: ConnectionError) -> ConnectError {
        if let Some(refusal) = self.seen.refusal() {
            return self.refused_here(&refusal);
        }
        match error {
            ConnectionError::TimedOut => self.too_late(),
            ConnectionError::VersionMismatch => ConnectError::AlpnMismatch,
            ConnectionError::TransportError(error) => self.coded(error.code),
            ConnectionError::ConnectionClosed(close) => self.coded(close.error_code),
            ConnectionError::ApplicationClosed(_) => match Closed::from(error) {
                Closed::ByPeer(CloseReason::Revoked) => ConnectError::Revoked,
                Closed::ByPeer(reason) => ConnectError::Refused(reason),
                Closed::ByUs | Closed::TimedOut | Closed::Lost => ConnectError::Lost,
            },
            ConnectionError::Reset
            | ConnectionError::LocallyClosed
            | ConnectionError::CidsExhausted => ConnectError::Lost,
        }
    }

    fn refused_here(&self, refusal: &CertificateError) -> ConnectError {
        let whose = Party::Coordinator;
        match refusal {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ConnectError::CertificateExpired { whose }
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ConnectError::ClockSkew { whose }
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                ConnectError::NotTheCoordinator
            }
            _ => ConnectError::WrongCa { whose },
        }
    }

    fn coded(&self, code: TransportErrorCode) -> ConnectError {
        if code == TransportErrorCode::CONNECTION_REFUSED {
            return ConnectError::Busy;
        }
        // Crypto errors are 0x100 plus the TLS alert (RFC 9001, section 4.8).
        let alert = u64::from(code).checked_sub(0x100).and_then(|alert| u8::try_from(alert).ok());
        let Some(alert) = alert else {
            return ConnectError::Lost;
        };
        match AlertDescription::from(alert) {
            AlertDescription::CertificateRevoked => ConnectError::Revoked,
            AlertDescription::CertificateExpired => self.own_out_of_date(),
            AlertDescription::UnknownCA | AlertDescription::BadCertificate => {
                ConnectError::WrongCa { whose: Party::Own }
            }
            AlertDescription::UnsupportedCertificate => ConnectError::WrongRole,
            AlertDescription::AccessDenied => ConnectError::RevocationUnknown,
            AlertDescription::CertificateRequired => ConnectError::NoCertificate,
            AlertDescription::NoApplicationProtocol => ConnectError::AlpnMismatch,
            _ => ConnectError::Tls { alert },
        }
    }

    /// The server's one alert covers "expired" and "not yet valid"; our own clock tells them apart.
    fn own_out_of_date(&self) -> ConnectError {
        let whose = Party::Own;
        match self.own {
            Some(own) if self.now_s > own.not_after_s => ConnectError::CertificateExpired { whose },
            Some(_) | None => ConnectError::ClockSkew { whose },
        }
    }
}
