//! What one party keeps: its certificate, its private key and the authority it trusts, as PEM text.
//! The private key is made where it is used and never leaves; this file writes nothing to disk.

use crate::{
    ca::CaError,
    identity::{Claims, Fingerprint, NotAPeer},
    tls, verify,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    sign::CertifiedKey,
};
use std::{fmt, time::Duration};
use zeroize::Zeroizing;

/// A party's certificate, key and authority, checked to belong together.
/// On disk the key belongs in a file that only its owner may read (mode 0600).
#[derive(Clone)]
pub struct Identity {
    /// The party's own certificate, PEM.
    pub cert_chain_pem: String,
    /// The party's private key, PKCS#8 PEM; wiped from memory when dropped.
    pub key_pem: Zeroizing<String>,
    /// The authority's certificate, PEM.
    pub ca_pem: String,
}

/// A fresh private key (ECDSA P-256) with a signing request for it.
pub struct JoinKey {
    key: KeyPair,
    csr_der: Vec<u8>,
}

/// Why keys and certificates cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TlsError {
    /// The text holds no such item.
    #[error("no {what} in the given PEM text: check that the file is whole")]
    Pem {
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// The private key is another one's.
    #[error(
        "private key does not belong to the certificate: restore the pair that was made together, or join again"
    )]
    KeyMismatch,
    /// The certificate was signed by somebody else.
    #[error(
        "certificate was not signed by the given authority: restore the files of one enrolment, or join again"
    )]
    NotOfThisCa,
    /// The authority's certificate is not usable as one.
    #[error("authority certificate cannot be used: fetch it again by joining")]
    BadCa,
    /// The certificate is not of Cloister's form.
    #[error(transparent)]
    Certificate(#[from] NotAPeer),
    /// The certificate's role does not serve here.
    #[error(
        "certificate has the wrong role for this end: the coordinator serves, nodes and people dial"
    )]
    WrongRole,
    /// The cryptographic library refused the configuration.
    #[error("TLS configuration refused: {0}")]
    Refused(rustls::Error),
    /// The provider lacks QUIC's initial cipher suite.
    #[error("no cipher suite for QUIC: the build lacks AES-128-GCM")]
    NoCipherSuite,
}

impl Identity {
    /// Takes stored PEM texts. Errors unless key, certificate and authority belong together;
    /// an expired certificate is accepted here and refused by the handshake.
    pub fn from_pem(cert_chain_pem: &str, key_pem: &str, ca_pem: &str) -> Result<Self, TlsError> {
        let identity = Self {
            cert_chain_pem: cert_chain_pem.to_owned(),
            key_pem: Zeroizing::new(key_pem.to_owned()),
            ca_pem: ca_pem.to_owned(),
        };
        identity.certified_key()?;
        let claims = identity.claims()?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(claims.not_before_s));
        verify::signed_by(&identity.leaf()?, claims.role, identity.ca()?, at)
            .map_err(|_| TlsError::NotOfThisCa)?;
        Ok(identity)
    }

    /// What the party's certificate says.
    pub fn claims(&self) -> Result<Claims, TlsError> {
        Ok(Claims::read(&self.leaf()?)?)
    }

    /// Fingerprint of the authority.
    pub fn ca_fingerprint(&self) -> Result<Fingerprint, TlsError> {
        Ok(Fingerprint::of_der(&self.ca()?))
    }

    pub(crate) fn leaf(&self) -> Result<CertificateDer<'static>, TlsError> {
        certificate(&self.cert_chain_pem)
    }

    pub(crate) fn ca(&self) -> Result<CertificateDer<'static>, TlsError> {
        certificate(&self.ca_pem)
    }

    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
            .map_err(|_| TlsError::Pem { what: "private key" })
    }

    fn certified_key(&self) -> Result<CertifiedKey, TlsError> {
        CertifiedKey::from_der(vec![self.leaf()?], self.key()?, &tls::provider())
            .map_err(|_| TlsError::KeyMismatch)
    }
}

impl JoinKey {
    /// Makes a key and its signing request. Errors when the system has no entropy.
    pub fn generate() -> Result<Self, CaError> {
        let key = KeyPair::generate().map_err(|_| CaError::Signing)?;
        // The request proves possession of the key and says nothing else: name and role are the
        // authority's to write.
        let request =
            CertificateParams::default().serialize_request(&key).map_err(|_| CaError::Signing)?;
        Ok(Self { key, csr_der: request.der().to_vec() })
    }

    /// The signing request, DER.
    pub fn csr_der(&self) -> &[u8] {
        &self.csr_der
    }

    /// Joins the key with the certificate signed for it. Errors unless they and `ca_pem` belong
    /// together.
    pub fn into_identity(self, cert_der: &[u8], ca_pem: &str) -> Result<Identity, TlsError> {
        let key_pem = Zeroizing::new(self.key.serialize_pem());
        Identity::from_pem(&pem_text("CERTIFICATE", cert_der), &key_pem, ca_pem)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("claims", &self.claims()).finish_non_exhaustive()
    }
}

impl fmt::Debug for JoinKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinKey").finish_non_exhaustive()
    }
}

/// PEM of DER bytes (RFC 7468).
pub(crate) fn pem_text(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let body = STANDARD.encode(der);
    for (at, letter) in body.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(letter);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}

fn certificate(pem: &str) -> Result<CertificateDer<'static>, TlsError> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| TlsError::Pem { what: "certificate" })
}
