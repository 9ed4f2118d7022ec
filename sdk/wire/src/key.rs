//! Ed25519 signing keys (RFC 8032) and key files protected by a passphrase. A secret key leaves this
//! module only sealed: PBKDF2-HMAC-SHA256 (RFC 8018) and ChaCha20-Poly1305 (RFC 8439), all from ring.

use cloister_terms::PublicKey;
use ring::rand::SecureRandom;
use ring::signature::KeyPair;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// PBKDF2 rounds of new key files (OWASP 2023 for HMAC-SHA256).
const PBKDF2_ROUNDS: u32 = 600_000;
/// Most PBKDF2 rounds a key file may ask for, so that a hostile file cannot hang its reader.
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;
/// Binds a sealed key to this use.
const SEAL_CONTEXT: &[u8] = b"cloister key file v1";

/// A key that signs. Its `Debug` shows the public half only.
pub struct SigningKey {
    pair: ring::signature::Ed25519KeyPair,
    seed: Zeroizing<[u8; 32]>,
}

/// Why a key cannot be made, sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system's random generator failed.
    #[error("the system's random generator failed: nothing was written")]
    Entropy,
    /// The file is not a Cloister key file.
    #[error("not a Cloister key file: make one with `cloister key new`")]
    Malformed,
    /// The passphrase is wrong, or the file was changed.
    #[error("the passphrase does not open this key file, or the file was changed: try again")]
    Passphrase,
    /// An empty passphrase protects nothing.
    #[error("the passphrase is empty: choose one")]
    EmptyPassphrase,
}

/// A key file as stored: JSON, secret half sealed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    kind: String,
    public_key: PublicKey,
    pbkdf2_rounds: u32,
    salt: String,
    nonce: String,
    sealed: String,
}

const KIND: &str = "cloister-key-v1";

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.public_key())
    }
}

impl SigningKey {
    /// A new key from the system's generator.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0u8; 32]);
        random(seed.as_mut())?;
        Self::from_seed(&seed)
    }

    /// The key of a 32-byte seed.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| KeyError::Malformed)?;
        Ok(Self { pair, seed: Zeroizing::new(*seed) })
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        let mut bytes = [0u8; 32];
        bytes.iter_mut().zip(self.pair.public_key().as_ref()).for_each(|(to, from)| *to = *from);
        PublicKey::new(bytes)
    }

    /// The Ed25519 signature of `message`, 64 bytes.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }

    /// Seals the key under `passphrase`.
    pub fn seal(&self, passphrase: &str) -> Result<KeyFile, KeyError> {
        if passphrase.is_empty() {
            return Err(KeyError::EmptyPassphrase);
        }
        let (mut salt, mut nonce) = ([0u8; 16], [0u8; 12]);
        random(&mut salt)?;
        random(&mut nonce)?;
        let mut sealed = self.seed.to_vec();
        sealing_key(passphrase, &salt, PBKDF2_ROUNDS)?
            .seal_in_place_append_tag(
                ring::aead::Nonce::assume_unique_for_key(nonce),
                ring::aead::Aad::from(SEAL_CONTEXT),
                &mut sealed,
            )
            .map_err(|_| KeyError::Entropy)?;
        Ok(KeyFile {
            kind: KIND.into(),
            public_key: self.public_key(),
            pbkdf2_rounds: PBKDF2_ROUNDS,
            salt: hex::encode(salt),
            nonce: hex::encode(nonce),
            sealed: hex::encode(sealed),
        })
    }
}

impl KeyFile {
    /// Reads a key file. Errors on anything that is not one.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let file: Self = serde_json::from_slice(bytes).map_err(|_| KeyError::Malformed)?;
        let rounds_ok = (1..=PBKDF2_ROUNDS_MAX).contains(&file.pbkdf2_rounds);
        if file.kind == KIND && rounds_ok { Ok(file) } else { Err(KeyError::Malformed) }
    }

    /// The file's bytes: pretty JSON with a final newline.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// The public half, readable without the passphrase.
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// Opens the key. Errors on a wrong passphrase and on any changed byte.
    pub fn open(&self, passphrase: &str) -> Result<SigningKey, KeyError> {
        let salt = hex::decode(&self.salt).map_err(|_| KeyError::Malformed)?;
        let nonce = hex::decode(&self.nonce).map_err(|_| KeyError::Malformed)?;
        let nonce: [u8; 12] = nonce.try_into().map_err(|_| KeyError::Malformed)?;
        let mut sealed =
            Zeroizing::new(hex::decode(&self.sealed).map_err(|_| KeyError::Malformed)?);
        let opened = sealing_key(passphrase, &salt, self.pbkdf2_rounds)?
            .open_in_place(
                ring::aead::Nonce::assume_unique_for_key(nonce),
                ring::aead::Aad::from(SEAL_CONTEXT),
                &mut sealed,
            )
            .map_err(|_| KeyError::Passphrase)?;
        let seed = <&[u8; 32]>::try_from(&*opened).map_err(|_| KeyError::Malformed)?;
        let key = SigningKey::from_seed(seed)?;
        if key.public_key() == self.public_key { Ok(key) } else { Err(KeyError::Passphrase) }
    }
}

/// Fills `bytes` from the system's generator.
pub fn random(bytes: &mut [u8]) -> Result<(), KeyError> {
    ring::rand::SystemRandom::new().fill(bytes).map_err(|_| KeyError::Entropy)
}

/// A fresh nonce from the system's generator.
pub fn random_nonce() -> Result<cloister_terms::Nonce, KeyError> {
    let mut bytes = [0u8; 16];
    random(&mut bytes)?;
    Ok(cloister_terms::Nonce::new(bytes))
}

fn sealing_key(
    passphrase: &str,
    salt: &[u8],
    rounds: u32,
) -> Result<ring::aead::LessSafeKey, KeyError> {
    let rounds = NonZeroU32::new(rounds).ok_or(KeyError::Malformed)?;
    let mut key = Zeroizing::new([0u8; 32]);
    let prf = ring::pbkdf2::PBKDF2_HMAC_SHA256;
    ring::pbkdf2::derive(prf, rounds, salt, passphrase.as_bytes(), key.as_mut());
    let unbound = ring::aead::UnboundKey::new(&ring::aead::CHACHA20_POLY1305, key.as_ref())
        .map_err(|_| KeyError::Malformed)?;
    Ok(ring::aead::LessSafeKey::new(unbound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_files_open_with_their_passphrase_only() {
        let key = SigningKey::generate().unwrap();
        let file = KeyFile::parse(&key.seal("river").unwrap().to_bytes()).unwrap();
        assert_eq!(file.open("river").unwrap().public_key(), key.public_key());
        assert!(matches!(file.open("rivet"), Err(KeyError::Passphrase)));
        assert!(matches!(key.seal(""), Err(KeyError::EmptyPassphrase)));
        let mut changed = file.clone();
        changed.public_key = SigningKey::generate().unwrap().public_key();
        assert!(matches!(changed.open("river"), Err(KeyError::Passphrase)));
    }

    #[test]
    fn hostile_key_files_are_refused() {
        for bad in ["", "{}", "[]", "null", "{\"kind\":\"cloister-key-v1\"}"] {
            assert!(matches!(KeyFile::parse(bad.as_bytes()), Err(KeyError::Malformed)));
        }
        let mut file = SigningKey::generate().unwrap().seal("x").unwrap();
        file.pbkdf2_rounds = u32::MAX;
        assert!(KeyFile::parse(&file.to_bytes()).is_err(), "a file must not hang its reader");
        file.pbkdf2_rounds = 1;
        file.nonce = "00".into();
        assert!(matches!(file.open("x"), Err(KeyError::Malformed)));
        file.nonce = "zz".repeat(12);
        assert!(matches!(file.open("x"), Err(KeyError::Malformed)));
    }
}
