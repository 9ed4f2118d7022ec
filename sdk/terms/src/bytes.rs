//! Fixed-size byte strings that documents name: digests, public keys, nonces. Written as lower-case
//! hex; nothing here is secret.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Why a text is not the wanted hex string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {digits} lower-case hex digits for a {kind}")]
pub struct NotHex {
    digits: usize,
    kind: &'static str,
}

macro_rules! hex_bytes {
    ($(#[$doc:meta])* $name:ident, $len:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; $len]);

        impl $name {
            /// Wraps the bytes.
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// The first eight hex digits, for people; never for a comparison.
            pub fn short(&self) -> String {
                hex::encode(self.0.first_chunk::<4>().copied().unwrap_or_default())
            }
        }

        impl FromStr for $name {
            type Err = NotHex;
            fn from_str(text: &str) -> Result<Self, NotHex> {
                let wrong = NotHex { digits: 2 * $len, kind: $kind };
                // One text per value: upper case would be a second spelling of a signed field.
                if text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(wrong);
                }
                let mut bytes = [0u8; $len];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| wrong)?;
                Ok(Self(bytes))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotHex;
            fn try_from(text: String) -> Result<Self, NotHex> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                hex::encode(value.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

hex_bytes!(
    /// A SHA-256 digest.
    Digest, 32, "digest"
);
hex_bytes!(
    /// An Ed25519 public key (RFC 8032).
    PublicKey, 32, "public key"
);
hex_bytes!(
    /// A number used once, from a secure generator.
    Nonce, 16, "nonce"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_has_one_spelling() {
        let digest = Digest::new([0xab; 32]);
        let text = digest.to_string();
        assert_eq!(text.parse::<Digest>().unwrap(), digest);
        assert!(text.to_uppercase().parse::<Digest>().is_err());
        assert!(text[1..].parse::<Digest>().is_err());
        assert!("zz".repeat(32).parse::<Digest>().is_err());
        assert_eq!(digest.short(), "abababab");
    }
}
