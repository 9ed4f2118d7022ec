//! The coordinator's certificate authority: signs what the coordinator has decided, with names and
//! roles written by the authority. Nothing a signing request asks for ever reaches a certificate
//! but its public key.

use crate::{
    identity::{Fingerprint, NoEntropy, Role, Serial, dns_name},
    keys::{Identity, JoinKey, TlsError, pem_text},
    limits::{CA_LIFETIME_S, CLOCK_SKEW_S, CSR_BYTES_MAX},
};
use cloister_terms::Name;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SanType, SerialNumber,
};
use std::fmt;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// A certificate authority with its private key.
pub struct Ca {
    cert_der: Vec<u8>,
    not_after_s: u64,
    issuer: Issuer<'static, KeyPair>,
}

/// Why the authority did not sign.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CaError {
    /// The stored certificate or key cannot be used.
    #[error("authority's certificate or key cannot be read: restore both from one backup")]
    Stored,
    /// The stored key is another one's.
    #[error("authority's key does not belong to its certificate: restore both from one backup")]
    KeyMismatch,
    /// Not a signing request, or not signed by its own key.
    #[error("signing request is malformed or not signed by its key: make a new one")]
    BadRequest,
    /// A key that is neither ECDSA P-256 nor Ed25519.
    #[error("signing request uses another key than ECDSA P-256 or Ed25519: make a new one")]
    WeakKey,
    /// Coordinator certificates are not given on request.
    #[error("coordinator certificates are not signed on request: issue one on the coordinator")]
    RoleNotOffered,
    /// Empty, or reaching past the authority's own end.
    #[error(
        "validity from {not_before_s} to {not_after_s} is empty or outlives the authority: choose a shorter one"
    )]
    Validity {
        /// Start asked for, unix seconds.
        not_before_s: u64,
        /// End asked for, unix seconds.
        not_after_s: u64,
    },
    /// The cryptographic library failed.
    #[error("key or signature could not be made: try again")]
    Signing,
    /// No random bytes.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// What was issued does not hold together.
    #[error(transparent)]
    Issued(#[from] TlsError),
}

impl Ca {
    /// Makes an authority (ECDSA P-256, path length 0) that is valid from a clock skew before
    /// `now_s` (unix seconds) for [`CA_LIFETIME_S`].
    pub fn generate(name: &Name, now_s: u64) -> Result<Self, CaError> {
        let key = KeyPair::generate().map_err(|_| CaError::Signing)?;
        let end = now_s.saturating_add(CA_LIFETIME_S);
        let mut params = params_between(now_s.saturating_sub(CLOCK_SKEW_S), end)?;
        params.serial_number = Some(SerialNumber::from_slice(Serial::random()?.as_bytes()));
        params.distinguished_name = subject(&format!("{name} cloister authority"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let cert = params.self_signed(&key).map_err(|_| CaError::Signing)?;
        Self::from_parts(cert.der(), key)
    }

    /// Takes a stored authority. Errors unless both texts belong together.
    pub fn from_pem(cert_pem: &str, key_pem: &str) -> Result<Self, CaError> {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        let cert =
            CertificateDer::from_pem_slice(cert_pem.as_bytes()).map_err(|_| CaError::Stored)?;
        Self::from_parts(&cert, KeyPair::from_pem(key_pem).map_err(|_| CaError::Stored)?)
    }

    /// The certificate, PEM. Public.
    pub fn cert_pem(&self) -> String {
        pem_text("CERTIFICATE", &self.cert_der)
    }

    /// The private key, PKCS#8 PEM. Whoever has it can be anybody.
    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    /// End of the authority's validity, unix seconds; nothing it signs may outlive it.
    pub fn not_after_s(&self) -> u64 {
        self.not_after_s
    }

    /// SHA-256 of the certificate: what join tokens pin.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_der(&self.cert_der)
    }

    /// Signs a node's or a person's key; times in unix seconds. Of `csr_der` only the public key is
    /// used, after its proof of possession holds. Returns the certificate, DER.
    pub fn sign_csr(
        &self,
        csr_der: &[u8],
        name: &Name,
        role: Role,
        serial: Serial,
        not_before_s: u64,
        not_after_s: u64,
    ) -> Result<Vec<u8>, CaError> {
        if role == Role::Coordinator {
            return Err(CaError::RoleNotOffered);
        }
        self.sign(csr_der, name, role, serial, (not_before_s, not_after_s))
    }

    /// Makes the coordinator's own key and certificate; times in unix seconds.
    pub fn issue_server(
        &self,
        name: &Name,
        serial: Serial,
        not_before_s: u64,
        not_after_s: u64,
    ) -> Result<Identity, CaError> {
        let key = JoinKey::generate()?;
        let validity = (not_before_s, not_after_s);
        let cert = self.sign(key.csr_der(), name, Role::Coordinator, serial, validity)?;
        Ok(key.into_identity(&cert, &self.cert_pem())?)
    }

    fn sign(
        &self,
        csr_der: &[u8],
        name: &Name,
        role: Role,
        serial: Serial,
        (not_before_s, not_after_s): (u64, u64),
    ) -> Result<Vec<u8>, CaError> {
        if not_before_s >= not_after_s || not_after_s > self.not_after_s {
            return Err(CaError::Validity { not_before_s, not_after_s });
        }
        if csr_der.len() > CSR_BYTES_MAX {
            return Err(CaError::BadRequest);
        }
        let request = CertificateSigningRequestParams::from_der(&csr_der.into())
            .map_err(|_| CaError::BadRequest)?;
        let algorithm = request.public_key.algorithm();
        if *algorithm != PKCS_ECDSA_P256_SHA256 && *algorithm != PKCS_ED25519 {
            return Err(CaError::WeakKey);
        }
        let dns = dns_name(name, role);
        let mut params = params_between(not_before_s, not_after_s)?;
        params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
        params.distinguished_name = subject(name.as_str());
        params.subject_alt_names =
            vec![SanType::DnsName(dns.try_into().map_err(|_| CaError::Signing)?)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match role {
            Role::Coordinator => ExtendedKeyUsagePurpose::ServerAuth,
            Role::Node | Role::Person => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.use_authority_key_identifier_extension = true;
        let cert =
            params.signed_by(&request.public_key, &self.issuer).map_err(|_| CaError::Signing)?;
        Ok(cert.der().to_vec())
    }

    fn from_parts(cert_der: &[u8], key: KeyPair) -> Result<Self, CaError> {
        let (rest, cert) = X509Certificate::from_der(cert_der).map_err(|_| CaError::Stored)?;
        if !rest.is_empty() || !cert.is_ca() {
            return Err(CaError::Stored);
        }
        if cert.public_key().raw != key.subject_public_key_info() {
            return Err(CaError::KeyMismatch);
        }
        let not_after_s =
            u64::try_from(cert.validity().not_after.timestamp()).map_err(|_| CaError::Stored)?;
        let issuer =
            Issuer::from_ca_cert_der(&cert_der.into(), key).map_err(|_| CaError::Stored)?;
        Ok(Self { cert_der: cert_der.to_vec(), not_after_s, issuer })
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

fn params_between(not_before_s: u64, not_after_s: u64) -> Result<CertificateParams, CaError> {
    let at = |unix_s: u64| {
        i64::try_from(unix_s)
            .ok()
            .and_then(|unix_s| OffsetDateTime::from_unix_timestamp(unix_s).ok())
            .ok_or(CaError::Validity { not_before_s, not_after_s })
    };
    let mut params = CertificateParams::default();
    params.not_before = at(not_before_s)?;
    params.not_after = at(not_after_s)?;
    Ok(params)
}

fn subject(text: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, text);
    subject
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Claims;

    const NOW_S: u64 = 1_800_000_000;

    fn ca() -> Ca {
        Ca::generate(&Name::new("study").unwrap(), NOW_S).unwrap()
    }

    fn name() -> Name {
        Name::new("north-bank").unwrap()
    }

    #[test]
    fn a_stored_authority_comes_back_and_signs() {
        let made = ca();
        let ca = Ca::from_pem(&made.cert_pem(), &made.key_pem()).unwrap();
        assert_eq!(ca.fingerprint(), made.fingerprint());
        let (key, serial) = (JoinKey::generate().unwrap(), Serial::random().unwrap());
        let cert =
            ca.sign_csr(key.csr_der(), &name(), Role::Node, serial, NOW_S, NOW_S + 60).unwrap();
        let identity = key.into_identity(&cert, &made.cert_pem()).unwrap();
        let expected = Claims {
            name: name(),
            role: Role::Node,
            serial,
            not_before_s: NOW_S,
            not_after_s: NOW_S + 60,
        };
        assert_eq!(identity.claims().unwrap(), expected);
        assert_eq!(identity.ca_fingerprint().unwrap(), made.fingerprint());
        assert!(!format!("{identity:?}{made:?}").contains("PRIVATE"));
    }

    #[test]
    fn parts_of_different_parties_do_not_fit() {
        let (one, other) = (ca(), ca());
        assert_eq!(
            Ca::from_pem(&one.cert_pem(), &other.key_pem()).unwrap_err(),
            CaError::KeyMismatch
        );
        let serial = Serial::random().unwrap();
        let sign = |ca: &Ca, key: &JoinKey| {
            ca.sign_csr(key.csr_der(), &name(), Role::Node, serial, NOW_S, NOW_S + 60).unwrap()
        };
        let key = JoinKey::generate().unwrap();
        let cert = sign(&one, &key);
        assert_eq!(key.into_identity(&cert, &other.cert_pem()).unwrap_err(), TlsError::NotOfThisCa);
        let (key, stranger) = (JoinKey::generate().unwrap(), JoinKey::generate().unwrap());
        let cert = sign(&one, &key);
        assert_eq!(
            stranger.into_identity(&cert, &one.cert_pem()).unwrap_err(),
            TlsError::KeyMismatch
        );
    }

    #[test]
    fn hostile_requests_are_refused() {
        let ca = ca();
        let serial = Serial::random().unwrap();
        let sign = |csr: &[u8], role, from, to| ca.sign_csr(csr, &name(), role, serial, from, to);
        let csr = JoinKey::generate().unwrap().csr_der().to_vec();
        for cut in 0..csr.len() {
            let part = csr.get(..cut).unwrap();
            assert_eq!(sign(part, Role::Node, NOW_S, NOW_S + 9), Err(CaError::BadRequest));
        }
        let mut flipped = csr.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert_eq!(sign(&flipped, Role::Node, NOW_S, NOW_S + 9), Err(CaError::BadRequest));
        assert_eq!(
            sign(&[0x30; CSR_BYTES_MAX + 1], Role::Node, NOW_S, NOW_S + 9),
            Err(CaError::BadRequest)
        );
        assert_eq!(sign(&csr, Role::Coordinator, NOW_S, NOW_S + 9), Err(CaError::RoleNotOffered));
        for (from, to) in [(NOW_S, NOW_S), (NOW_S, NOW_S + 2 * CA_LIFETIME_S), (9, u64::MAX)] {
            assert!(matches!(sign(&csr, Role::Node, from, to), Err(CaError::Validity { .. })));
        }
    }

    #[test]
    fn a_request_cannot_make_itself_an_authority() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["root.coordinator.cloister".into()]).unwrap();
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let csr = params.serialize_request(&key).unwrap();
        let cert = ca()
            .sign_csr(csr.der(), &name(), Role::Node, Serial::random().unwrap(), NOW_S, NOW_S + 60)
            .unwrap();
        let claims = Claims::read(&cert).unwrap();
        assert_eq!((claims.name, claims.role), (name(), Role::Node));
    }
}
