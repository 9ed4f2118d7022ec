//! The frame codec; the only file that names bincode (2.0.1, pinned: the crate is finished, not
//! maintained). Decoding has a limit, and trailing bytes are refused, so that a frame has one meaning.

use serde::{Serialize, de::DeserializeOwned};

/// Most bytes one message may decode from or claim to hold.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why bytes are not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// More bytes than any message has.
    #[error("the message is larger than {MESSAGE_BYTES_MAX} bytes")]
    TooLarge,
    /// Not a message of this version of Cloister.
    #[error(
        "the message is not one of this version of Cloister: use the same version on both sides"
    )]
    Unknown,
    /// A message followed by something else.
    #[error("the message has {0} trailing bytes")]
    Trailing(usize),
    /// The value cannot be encoded; only a programming error makes one.
    #[error("the message cannot be encoded")]
    Unencodable,
}

type Configuration = bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<MESSAGE_BYTES_MAX>,
>;

fn configuration() -> Configuration {
    bincode::config::standard().with_limit::<MESSAGE_BYTES_MAX>()
}

/// The bytes of `message`.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CodecError> {
    let bytes = bincode::serde::encode_to_vec(message, configuration())
        .map_err(|_| CodecError::Unencodable)?;
    if bytes.len() > MESSAGE_BYTES_MAX { Err(CodecError::TooLarge) } else { Ok(bytes) }
}

/// The message in `bytes`, all of them.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(CodecError::TooLarge);
    }
    let (message, read) =
        bincode::serde::decode_from_slice(bytes, configuration()).map_err(|error| match error {
            // What it claims to hold, which short encodings make more than its bytes.
            bincode::error::DecodeError::LimitExceeded => CodecError::TooLarge,
            _ => CodecError::Unknown,
        })?;
    match bytes.len().saturating_sub(read) {
        0 => Ok(message),
        rest => Err(CodecError::Trailing(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{FromPerson, NodeReport};

    #[test]
    fn frames_have_one_meaning() {
        let message = FromPerson::List;
        let mut bytes = encode(&message).unwrap();
        assert!(matches!(decode::<FromPerson>(&bytes), Ok(FromPerson::List)));
        bytes.push(0);
        assert_eq!(decode::<FromPerson>(&bytes).unwrap_err(), CodecError::Trailing(1));
    }

    #[test]
    fn hostile_frames_are_refused_without_large_allocations() {
        assert_eq!(decode::<FromPerson>(&[]).unwrap_err(), CodecError::Unknown);
        assert_eq!(decode::<FromPerson>(&[250]).unwrap_err(), CodecError::Unknown);
        // A vector that claims 2^60 bytes and has none.
        for variant in 0..20u8 {
            let mut claim = vec![variant, 253];
            claim.extend_from_slice(&(1u64 << 60).to_le_bytes());
            let _ = decode::<FromPerson>(&claim);
            assert!(decode::<NodeReport>(&claim).is_err());
        }
        let whole = encode(&FromPerson::Publish { agreement: vec![7; 1000] }).unwrap();
        for cut in 0..whole.len() {
            assert!(decode::<FromPerson>(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }
}
