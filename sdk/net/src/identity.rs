//! Who a peer is. A `PeerIdentity` can only come out of a certificate that a handshake verified;
//! nothing a peer says about itself afterwards may take its place.
//!
//! A certificate carries exactly one DNS name, `NAME.ROLE.cloister`, and a random 16-byte serial.

use cloister_terms::Name;
use ring::rand::{SecureRandom, SystemRandom};
use std::{fmt, str::FromStr};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const DOMAIN: &str = "cloister";

/// What a certificate lets its holder be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The server; its certificate is good for serving only.
    Coordinator,
    /// A partner's node; dials out only.
    Node,
    /// A researcher, reviewer, steward or auditor; dials out only.
    Person,
}

/// A certificate's serial: 16 random bytes whose first two bits are `01`, so that DER holds exactly
/// these bytes. Its text is 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial([u8; 16]);

/// SHA-256 of an authority's certificate (DER). Its text is 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// What a certificate says, verified or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The holder's name.
    pub name: Name,
    /// The holder's role.
    pub role: Role,
    /// The certificate's serial.
    pub serial: Serial,
    /// Start of validity, unix seconds.
    pub not_before_s: u64,
    /// End of validity, unix seconds.
    pub not_after_s: u64,
}

/// A peer whose certificate the handshake verified: chain, key possession, time, role, revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity(Claims);

/// Why a certificate, serial, role or fingerprint is not of Cloister's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAPeer {
    /// Not DER, or bytes after it.
    #[error("certificate cannot be read: make a new one by joining again")]
    Encoding,
    /// An authority's certificate in place of a party's.
    #[error("certificate is an authority's: present the party's own")]
    Authority,
    /// Not exactly one `NAME.ROLE.cloister`.
    #[error("certificate does not carry exactly one name `NAME.ROLE.cloister`: join again")]
    NameForm,
    /// Not 16 bytes with leading bits `01`.
    #[error("serial is not 32 hex digits of Cloister's form: copy it whole")]
    SerialForm,
    /// A word other than `coordinator`, `node`, `person`.
    #[error("role is none of `coordinator`, `node`, `person`: use one of them")]
    RoleForm,
    /// Not 64 hex digits.
    #[error("fingerprint is not 64 hex digits: copy it whole")]
    FingerprintForm,
}

/// The system gave no random bytes; nothing was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("system random generator failed: nothing was made, try again")]
pub struct NoEntropy;

impl Serial {
    /// A fresh serial from the system's generator. Errors when it fails.
    pub fn random() -> Result<Self, NoEntropy> {
        let mut bytes: [u8; 16] = random_bytes()?;
        if let Some(first) = bytes.first_mut() {
            *first = (*first & 0x3f) | 0x40;
        }
        Ok(Self(bytes))
    }

    /// The bytes as they stand in a certificate.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, NotAPeer> {
        let bytes: [u8; 16] = bytes.try_into().map_err(|_| NotAPeer::SerialForm)?;
        match bytes.first() {
            Some(first) if first & 0xc0 == 0x40 => Ok(Self(bytes)),
            _ => Err(NotAPeer::SerialForm),
        }
    }
}

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub fn of_der(cert_der: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, cert_der);
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl Claims {
    /// Reads what a certificate (DER) says, without any verification. Errors name the misdeed.
    pub fn read(cert_der: &[u8]) -> Result<Self, NotAPeer> {
        let (rest, cert) = X509Certificate::from_der(cert_der).map_err(|_| NotAPeer::Encoding)?;
        if !rest.is_empty() {
            return Err(NotAPeer::Encoding);
        }
        if cert.is_ca() {
            return Err(NotAPeer::Authority);
        }
        let names = cert.subject_alternative_name().ok().flatten().ok_or(NotAPeer::NameForm)?;
        let [GeneralName::DNSName(dns)] = names.value.general_names.as_slice() else {
            return Err(NotAPeer::NameForm);
        };
        let (name, role) = read_dns(dns)?;
        let seconds = |at: i64| u64::try_from(at).map_err(|_| NotAPeer::Encoding);
        Ok(Self {
            name,
            role,
            serial: Serial::from_bytes(cert.raw_serial())?,
            not_before_s: seconds(cert.validity().not_before.timestamp())?,
            not_after_s: seconds(cert.validity().not_after.timestamp())?,
        })
    }
}

impl PeerIdentity {
    /// The peer's name.
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// The peer's role.
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// Its certificate's serial: what a revocation names.
    pub fn serial(&self) -> Serial {
        self.0.serial
    }

    /// End of its certificate's validity, unix seconds.
    pub fn not_after_s(&self) -> u64 {
        self.0.not_after_s
    }

    /// For a certificate which the handshake of `connection` verified; the only maker of this type.
    pub(crate) fn of_handshake(connection: &quinn::Connection) -> Option<Self> {
        let identity = connection.peer_identity()?;
        let chain = identity.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().ok()?;
        Claims::read(chain.first()?).ok().map(Self)
    }
}

impl Role {
    /// The role as a lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Node => "node",
            Self::Person => "person",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = NotAPeer;
    fn from_str(text: &str) -> Result<Self, NotAPeer> {
        match text {
            "coordinator" => Ok(Self::Coordinator),
            "node" => Ok(Self::Node),
            "person" => Ok(Self::Person),
            _ => Err(NotAPeer::RoleForm),
        }
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

impl FromStr for Serial {
    type Err = NotAPeer;
    fn from_str(text: &str) -> Result<Self, NotAPeer> {
        Self::from_bytes(&hex_exact::<16>(text).ok_or(NotAPeer::SerialForm)?)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = NotAPeer;
    fn from_str(text: &str) -> Result<Self, NotAPeer> {
        hex_exact::<32>(text).map(Self).ok_or(NotAPeer::FingerprintForm)
    }
}

/// The one DNS name of a certificate.
pub(crate) fn dns_name(name: &Name, role: Role) -> String {
    format!("{name}.{role}.{DOMAIN}")
}

pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], NoEntropy> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoEntropy)?;
    Ok(bytes)
}

/// Exactly `N` bytes in lower- or upper-case hex, or nothing.
pub(crate) fn hex_exact<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

fn read_dns(dns: &str) -> Result<(Name, Role), NotAPeer> {
    let mut labels = dns.split('.');
    let (Some(name), Some(role), Some(DOMAIN), None) =
        (labels.next(), labels.next(), labels.next(), labels.next())
    else {
        return Err(NotAPeer::NameForm);
    };
    let name = Name::new(name).map_err(|_| NotAPeer::NameForm)?;
    Ok((name, role.parse().map_err(|_| NotAPeer::NameForm)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_certificates_have_one_form() {
        let name = Name::new("north-bank").unwrap();
        let text = dns_name(&name, Role::Node);
        assert_eq!(text, "north-bank.node.cloister");
        assert_eq!(read_dns(&text), Ok((name, Role::Node)));
        for bad in [
            "",
            "cloister",
            "node.cloister",
            "a.node.cloister.",
            "a.b.node.cloister",
            "A.node.cloister",
            "a.admin.cloister",
            "a.node.example",
            "*.node.cloister",
            ".node.cloister",
            "a.node.cloister\0",
        ] {
            assert_eq!(read_dns(bad), Err(NotAPeer::NameForm), "{bad:?}");
        }
    }

    #[test]
    fn serials_have_one_form() {
        let serial = Serial::random().unwrap();
        assert_eq!(serial.to_string().parse(), Ok(serial));
        for bad in ["", "00", "zz", "80112233445566778899aabbccddeeff", "4011é"] {
            assert_eq!(bad.parse::<Serial>(), Err(NotAPeer::SerialForm), "{bad:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_certificate_are_refused() {
        for bad in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", &[0x30; 4096]] {
            assert_eq!(Claims::read(bad), Err(NotAPeer::Encoding));
        }
    }
}
