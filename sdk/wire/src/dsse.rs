//! DSSE envelopes (Dead Simple Signing Envelope v1) over canonical JSON. The payload type is signed
//! with the payload, so that a document of one kind can never be offered as another. `keyid` is a
//! hint and never decides anything: a signature counts for the key it verifies under.

use crate::canonical::{canonical, sha256};
use crate::key::SigningKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use cloister_terms::limits::DOCUMENT_BYTES_MAX;
use cloister_terms::{
    Agreement, Analysis, Approval, Digest, Grant, PublicKey, ReleaseRecord, RunRequest,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeSet;

/// Most signatures one envelope may carry; an agreement has one a party.
const SIGNATURES_MAX: usize = 10_000;
/// Most signatures tried for one key. By its hint a key has one; where many hints are wrong, trying all for
/// each of many keys would take their square.
const SIGNATURES_TRIED_MAX: usize = 64;

/// A kind of signed document.
pub trait Document: Serialize + DeserializeOwned {
    /// Its payload type, signed with it.
    const PAYLOAD_TYPE: &'static str;
}

macro_rules! documents {
    ($($type:ty => $payload_type:literal),+ $(,)?) => {
        $(impl Document for $type { const PAYLOAD_TYPE: &'static str = $payload_type; })+
    };
}

documents! {
    Agreement => "application/vnd.cloister.agreement.v1+json",
    Analysis => "application/vnd.cloister.analysis.v1+json",
    Approval => "application/vnd.cloister.approval.v1+json",
    Grant => "application/vnd.cloister.grant.v1+json",
    RunRequest => "application/vnd.cloister.run-request.v1+json",
    ReleaseRecord => "application/vnd.cloister.release.v1+json",
}

/// A DSSE envelope as it is stored and sent: JSON with base64 payload and signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    keyid: String,
    sig: String,
}

/// A document whose envelope was parsed and whose bytes are its one canonical form. It says nothing
/// of who signed: ask [`Opened::is_signed_by`].
#[derive(Debug, Clone)]
pub struct Opened<T> {
    document: T,
    digest: Digest,
    signed_bytes: Vec<u8>,
    signatures: Vec<Vec<u8>>,
    envelope: Envelope,
}

/// Why an envelope cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DsseError {
    /// Not JSON of an envelope.
    #[error("not a signed document: expected a DSSE envelope in JSON")]
    Malformed,
    /// Too large.
    #[error("the signed document is larger than {DOCUMENT_BYTES_MAX} bytes")]
    TooLarge,
    /// Of another type than the place it was offered in.
    #[error(
        "a document of type `{found}` was offered where `{wanted}` is needed: pass the right file"
    )]
    WrongType {
        /// The type it has.
        found: String,
        /// The type needed.
        wanted: &'static str,
    },
    /// The payload does not parse as a document of its type.
    #[error("the document does not follow its type, or has unknown fields: {0}")]
    Payload(String),
    /// The payload parses, but its bytes are not its canonical form.
    #[error("the document is not in canonical form (RFC 8785): sign it again with `cloister`")]
    NotCanonical,
}

impl Envelope {
    /// Puts `document` in an envelope signed by `key`.
    pub fn sign<T: Document>(document: &T, key: &SigningKey) -> Result<Self, DsseError> {
        let mut envelope = Self::unsigned(document)?;
        envelope.add_signature(key)?;
        Ok(envelope)
    }

    /// Puts `document` in an envelope that nobody signed yet.
    pub fn unsigned<T: Document>(document: &T) -> Result<Self, DsseError> {
        let payload = canonical(document).map_err(|e| DsseError::Payload(e.to_string()))?;
        if payload.len() > DOCUMENT_BYTES_MAX {
            return Err(DsseError::TooLarge);
        }
        let payload_type = T::PAYLOAD_TYPE.to_owned();
        Ok(Self { payload: BASE64.encode(payload), payload_type, signatures: vec![] })
    }

    /// Adds the signature of `key`; a second one by the same key replaces the first.
    pub fn add_signature(&mut self, key: &SigningKey) -> Result<(), DsseError> {
        let payload = BASE64.decode(&self.payload).map_err(|_| DsseError::Malformed)?;
        let sig = BASE64.encode(key.sign(&pre_authentication(&self.payload_type, &payload)));
        let keyid = key.public_key().to_string();
        self.signatures.retain(|signature| signature.keyid != keyid);
        self.signatures.push(Signature { keyid, sig });
        Ok(())
    }

    /// Parses the envelope's own JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self, DsseError> {
        // base64 grows by a third; signatures and quotes fit in the rest.
        if bytes.len() > DOCUMENT_BYTES_MAX.saturating_mul(2) {
            return Err(DsseError::TooLarge);
        }
        let envelope: Self = serde_json::from_slice(bytes).map_err(|_| DsseError::Malformed)?;
        if envelope.signatures.len() > SIGNATURES_MAX {
            return Err(DsseError::Malformed);
        }
        Ok(envelope)
    }

    /// The envelope's JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings only: serialising cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Opens the envelope as a `T`: type, form and canonical bytes are checked, signatures are not.
    pub fn open<T: Document>(&self) -> Result<Opened<T>, DsseError> {
        if self.payload_type != T::PAYLOAD_TYPE {
            let found = self.payload_type.chars().take(80).collect();
            return Err(DsseError::WrongType { found, wanted: T::PAYLOAD_TYPE });
        }
        let payload = BASE64.decode(&self.payload).map_err(|_| DsseError::Malformed)?;
        if payload.len() > DOCUMENT_BYTES_MAX {
            return Err(DsseError::TooLarge);
        }
        let document: T =
            serde_json::from_slice(&payload).map_err(|e| DsseError::Payload(e.to_string()))?;
        let again = canonical(&document).map_err(|e| DsseError::Payload(e.to_string()))?;
        if again != payload {
            return Err(DsseError::NotCanonical);
        }
        let decode = |s: &Signature| BASE64.decode(&s.sig).map_err(|_| DsseError::Malformed);
        Ok(Opened {
            document,
            digest: sha256(&payload),
            signed_bytes: pre_authentication(&self.payload_type, &payload),
            signatures: self.signatures.iter().map(decode).collect::<Result<_, _>>()?,
            envelope: self.clone(),
        })
    }
}

impl<T> Opened<T> {
    /// The document.
    pub fn document(&self) -> &T {
        &self.document
    }

    /// SHA-256 of the payload: the document's identity, whoever signed it.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Bytes of the document and its signatures.
    pub fn size(&self) -> usize {
        let signatures = self.signatures.iter().map(Vec::len);
        signatures.fold(self.signed_bytes.len(), usize::saturating_add)
    }

    /// The envelope it came in.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// Whether one of the signatures verifies under `key` (RFC 8032, over the DSSE encoding). Those whose
    /// hint names another key are tried as far as they are few.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let name = key.to_string();
        let signed = || self.envelope.signatures.iter().zip(&self.signatures);
        // The hint says which to try first, and never makes a signature good: an agreement has one a
        // party, and trying all for each would take their square.
        let is_found = |hinted: bool| {
            let like = signed().filter(|(named, _)| (named.keyid == name) == hinted);
            like.take(SIGNATURES_TRIED_MAX).any(|(_, one)| self.verifies(key, one))
        };
        is_found(true) || is_found(false)
    }
}

impl<T> Opened<T> {
    /// Whether there is one signature of each of `keys` and no other, each under the key its `keyid`
    /// names: what a file that proves something must hold, so that no byte of it is without meaning.
    pub fn is_signed_by_exactly(&self, keys: &[PublicKey]) -> bool {
        let signed = self.envelope.signatures.iter().zip(&self.signatures);
        let signers: Option<BTreeSet<PublicKey>> = signed
            .map(|(named, signature)| {
                named.keyid.parse().ok().filter(|key| self.verifies(key, signature))
            })
            .collect();
        let wanted: BTreeSet<PublicKey> = keys.iter().copied().collect();
        // As many signatures as signers: none stands twice.
        signers.is_some_and(|signers| signers == wanted && signers.len() == self.signatures.len())
    }

    fn verifies(&self, key: &PublicKey, signature: &[u8]) -> bool {
        ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, key.as_bytes())
            .verify(&self.signed_bytes, signature)
            .is_ok()
    }
}

/// DSSE v1 pre-authentication encoding: `DSSEv1 SP len(type) SP type SP len(body) SP body`.
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("DSSEv1 {} {} {} ", payload_type.len(), payload_type, payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloister_terms::Nonce;

    fn request() -> RunRequest {
        RunRequest {
            version: 1,
            researcher: "ada".parse().unwrap(),
            analysis: Digest::new([1; 32]),
            approvals: vec![],
            round: 1,
            parameters: Digest::new([2; 32]),
            releases_used: vec![],
            requested_at_s: 5,
            nonce: Nonce::new([3; 16]),
        }
    }

    #[test]
    fn pre_authentication_follows_the_specification() {
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(pre_authentication("http://example.com/HelloWorld", b"hello world"), expected);
    }

    #[test]
    fn signatures_count_for_the_key_they_verify_under_only() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let mut envelope = Envelope::sign(&request(), &key).unwrap();
        envelope.signatures[0].keyid = other.public_key().to_string();
        let opened = envelope.open::<RunRequest>().unwrap();
        assert!(opened.is_signed_by(&key.public_key()), "keyid is a hint only");
        assert!(!opened.is_signed_by(&other.public_key()));
    }

    #[test]
    fn wrong_hints_are_made_up_for_among_few_signatures_only() {
        let key = SigningKey::generate().unwrap();
        let is_signed = |envelope: &Envelope| {
            envelope.open::<RunRequest>().unwrap().is_signed_by(&key.public_key())
        };
        let mut envelope = Envelope::sign(&request(), &key).unwrap();
        envelope.signatures[0].keyid = "nobody".into();
        let stray = Signature { keyid: "nobody".into(), sig: BASE64.encode([7u8; 64]) };
        while envelope.signatures.len() < SIGNATURES_TRIED_MAX {
            envelope.signatures.insert(0, stray.clone());
        }
        assert!(is_signed(&envelope));
        envelope.signatures.insert(0, stray);
        assert!(!is_signed(&envelope), "one more than is tried");
        // Any number of others takes nothing from a signature whose hint is right.
        envelope.signatures.last_mut().unwrap().keyid = key.public_key().to_string();
        assert!(is_signed(&envelope));
    }

    #[test]
    fn b03_a_document_of_another_type_is_refused() {
        let key = SigningKey::generate().unwrap();
        let mut envelope = Envelope::sign(&request(), &key).unwrap();
        assert!(matches!(envelope.open::<Approval>(), Err(DsseError::WrongType { .. })));
        // Renaming the type breaks the signature, since the type is signed too.
        envelope.payload_type = Approval::PAYLOAD_TYPE.into();
        assert!(matches!(envelope.open::<Approval>(), Err(DsseError::Payload(_))));
    }

    #[test]
    fn b05_every_flipped_byte_of_the_payload_voids_the_signature() {
        let key = SigningKey::generate().unwrap();
        let envelope = Envelope::sign(&request(), &key).unwrap();
        let payload = BASE64.decode(&envelope.payload).unwrap();
        for at in 0..payload.len() {
            let mut changed = payload.clone();
            changed[at] ^= 1;
            let mut envelope = envelope.clone();
            envelope.payload = BASE64.encode(changed);
            let accepted = envelope
                .open::<RunRequest>()
                .is_ok_and(|opened| opened.is_signed_by(&key.public_key()));
            assert!(!accepted, "byte {at} changed and the signature still counted");
        }
    }

    #[test]
    fn only_canonical_bytes_open() {
        let key = SigningKey::generate().unwrap();
        let mut envelope = Envelope::sign(&request(), &key).unwrap();
        let payload = BASE64.decode(&envelope.payload).unwrap();
        let spaced = [b" ".as_slice(), &payload].concat();
        envelope.payload = BASE64.encode(spaced);
        assert_eq!(envelope.open::<RunRequest>().unwrap_err(), DsseError::NotCanonical);
        let text = String::from_utf8(payload).unwrap();
        let unknown = text.replacen('{', "{\"a\":1,", 1);
        envelope.payload = BASE64.encode(unknown);
        assert!(matches!(envelope.open::<RunRequest>(), Err(DsseError::Payload(_))));
        let twice = text.replacen('{', "{\"round\":1,", 1);
        envelope.payload = BASE64.encode(twice);
        assert!(envelope.open::<RunRequest>().is_err(), "duplicate fields must not open");
    }

    #[test]
    fn hostile_envelopes_are_refused() {
        for bad in ["", "{", "[]", "{\"payload\":\"\"}", "\u{0}"] {
            assert_eq!(Envelope::parse(bad.as_bytes()).unwrap_err(), DsseError::Malformed);
        }
        let deep = "[".repeat(100_000);
        assert_eq!(Envelope::parse(deep.as_bytes()).unwrap_err(), DsseError::Malformed);
        let mut envelope = Envelope::unsigned(&request()).unwrap();
        envelope.payload = "!".into();
        assert_eq!(envelope.open::<RunRequest>().unwrap_err(), DsseError::Malformed);
        assert!(
            !Envelope::unsigned(&request())
                .unwrap()
                .open::<RunRequest>()
                .unwrap()
                .is_signed_by(&SigningKey::generate().unwrap().public_key())
        );
    }
}
