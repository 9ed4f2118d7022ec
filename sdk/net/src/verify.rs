//! Certificate checks inside the handshake: chain, time and usage by webpki, then role and
//! revocation by us. A check that fails ends the handshake; no stream is ever opened first.
//!
//! Each refusal maps to one TLS alert, so that the refused side can tell its reason apart:
//! `certificate_revoked`, `certificate_expired`, `unknown_ca`, `unsupported_certificate` (role),
//! `access_denied` (no fresh revocation list).

use crate::{
    identity::{Claims, Fingerprint, Role},
    revocation::{RevocationFault, RevocationList},
    tls::provider,
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible,
    RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::verify_tls13_signature,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ParsedCertificate, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use std::sync::{Arc, Mutex, PoisonError};

/// The server's check of nodes and people.
#[derive(Debug)]
pub(crate) struct PeersOnly {
    chain: Arc<dyn ClientCertVerifier>,
    revocations: Arc<RevocationList>,
}

/// A client's check of the coordinator.
#[derive(Debug)]
pub(crate) struct CoordinatorOnly {
    anchor: Anchor,
    seen: Arc<Seen>,
}

/// Whom a client trusts.
#[derive(Debug)]
pub(crate) enum Anchor {
    /// The authority it joined under.
    Ca(CertificateDer<'static>),
    /// The authority whose fingerprint its join token carries; the server sends the certificate.
    Pinned(Fingerprint),
}

/// What a client's check saw: the reason survives here, as QUIC reports alerts only.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<Option<Result<(), CertificateError>>>);

impl PeersOnly {
    pub(crate) fn new(
        ca: CertificateDer<'static>,
        revocations: Arc<RevocationList>,
    ) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self { chain: client_chain(ca)?, revocations }))
    }
}

impl CoordinatorOnly {
    pub(crate) fn new(anchor: Anchor, seen: Arc<Seen>) -> Arc<Self> {
        Arc::new(Self { anchor, seen })
    }

    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        let ca = match &self.anchor {
            Anchor::Ca(ca) => ca.clone(),
            Anchor::Pinned(fingerprint) => sent
                .iter()
                .find(|cert| Fingerprint::of_der(cert) == *fingerprint)
                .map(|cert| cert.clone().into_owned())
                .ok_or(CertificateError::UnknownIssuer)?,
        };
        signed_by(leaf, Role::Coordinator, ca, now)?;
        match Claims::read(leaf) {
            Ok(Claims { role: Role::Coordinator, .. }) => Ok(()),
            Ok(_) | Err(_) => Err(CertificateError::InvalidPurpose),
        }
    }
}

impl Seen {
    /// Whether a certificate of the server came at all.
    pub(crate) fn answered(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Why the server's certificate was refused, if it was.
    pub(crate) fn refusal(&self) -> Option<CertificateError> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().and_then(|verdict| verdict.as_ref().err()).cloned()
    }

    fn note(&self, verdict: Result<(), CertificateError>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
    }
}

impl ClientCertVerifier for PeersOnly {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)
            .map_err(|error| Error::from(plain(error)))?;
        let claims = Claims::read(end_entity).map_err(|_| CertificateError::InvalidPurpose)?;
        if claims.role == Role::Coordinator {
            return Err(CertificateError::InvalidPurpose.into());
        }
        match self.revocations.check(claims.serial) {
            Ok(()) => Ok(verified),
            Err(RevocationFault::Revoked) => Err(CertificateError::Revoked.into()),
            Err(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

impl ServerCertVerifier for CoordinatorOnly {
    /// The server name is not looked at: the certificate's role decides, under one authority.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.check(end_entity, intermediates, now);
        self.seen.note(verdict.clone());
        verdict?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Whether `ca` signed `leaf` for the usage of `role`, at `now`.
pub(crate) fn signed_by(
    leaf: &CertificateDer<'_>,
    role: Role,
    ca: CertificateDer<'static>,
    now: UnixTime,
) -> Result<(), CertificateError> {
    let verdict = match role {
        Role::Coordinator => roots(ca).and_then(|roots| {
            let algorithms = provider().signature_verification_algorithms.all;
            let parsed = ParsedCertificate::try_from(leaf)?;
            verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], now, algorithms)
        }),
        Role::Node | Role::Person => {
            client_chain(ca).and_then(|chain| chain.verify_client_cert(leaf, &[], now).map(|_| ()))
        }
    };
    verdict.map_err(plain)
}

fn client_chain(ca: CertificateDer<'static>) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider())
        .build()
        .map_err(|_| CertificateError::UnknownIssuer.into())
}

fn roots(ca: CertificateDer<'static>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(ca)?;
    Ok(roots)
}

/// One form for each reason. A signature that fails under an authority of the same name is a
/// certificate of another authority.
fn plain(error: Error) -> CertificateError {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            CertificateError::UnknownIssuer
        }
        Error::InvalidCertificate(error) => error,
        _ => CertificateError::BadEncoding,
    }
}
