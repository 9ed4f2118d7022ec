//! Frames: a length (u32, little endian) and that many bytes. The reader is fed what arrived and
//! never sets memory aside for bytes that are only claimed.

use crate::limits::CHUNK_BYTES_MAX;

const HEADER_BYTES: usize = 4;

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// More bytes than this frame may have.
    #[error(
        "frame of {claimed} bytes exceeds the limit of {bytes_max}: send less, or ask in parts"
    )]
    Oversized {
        /// Bytes claimed or given.
        claimed: usize,
        /// Bytes allowed here.
        bytes_max: usize,
    },
    /// The stream ended inside the frame.
    #[error("stream ended {missing} bytes before its frame did: ask again")]
    Truncated {
        /// Bytes that are known to be missing (of the header, if that is short).
        missing: usize,
    },
    /// Bytes after the last frame.
    #[error("bytes follow the last frame: peer speaks another protocol version")]
    Trailing,
}

/// Puts a frame together from pieces.
#[derive(Debug)]
pub(crate) struct FrameReader {
    bytes_max: usize,
    header: Vec<u8>,
    claimed: Option<usize>,
    body: Vec<u8>,
}

impl FrameReader {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, header: Vec::new(), claimed: None, body: Vec::new() }
    }

    /// Bytes to take from the stream next; 0 when the frame is whole.
    pub(crate) fn wanted(&self) -> usize {
        self.missing().min(CHUNK_BYTES_MAX)
    }

    /// Takes at most `wanted()` bytes. Errors when the claimed length exceeds the limit.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if self.claimed.is_some() {
            self.body.extend_from_slice(bytes);
            return Ok(());
        }
        self.header.extend_from_slice(bytes);
        let Ok(header) = <[u8; HEADER_BYTES]>::try_from(self.header.as_slice()) else {
            return Ok(());
        };
        let claimed = usize::try_from(u32::from_le_bytes(header)).unwrap_or(usize::MAX);
        if claimed > self.bytes_max {
            return Err(FrameError::Oversized { claimed, bytes_max: self.bytes_max });
        }
        self.claimed = Some(claimed);
        Ok(())
    }

    /// The body, once whole.
    pub(crate) fn finish(self) -> Result<Vec<u8>, FrameError> {
        match self.missing() {
            0 => Ok(self.body),
            missing => Err(FrameError::Truncated { missing }),
        }
    }

    fn missing(&self) -> usize {
        match self.claimed {
            None => HEADER_BYTES.saturating_sub(self.header.len()),
            Some(claimed) => claimed.saturating_sub(self.body.len()),
        }
    }
}

/// The header of a body of `body_bytes`. Errors above `bytes_max`.
pub(crate) fn header(body_bytes: usize, bytes_max: usize) -> Result<[u8; 4], FrameError> {
    let oversized = FrameError::Oversized { claimed: body_bytes, bytes_max };
    if body_bytes > bytes_max {
        return Err(oversized);
    }
    u32::try_from(body_bytes).map(u32::to_le_bytes).map_err(|_| oversized)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], bytes_max: usize) -> Result<(Vec<u8>, usize), FrameError> {
        let (mut reader, mut rest) = (FrameReader::new(bytes_max), bytes);
        while reader.wanted() > 0 && !rest.is_empty() {
            let (piece, after) = rest.split_at(reader.wanted().min(rest.len()));
            reader.push(piece)?;
            rest = after;
        }
        Ok((reader.finish()?, rest.len()))
    }

    #[test]
    fn frames_come_back_whole_and_leave_the_rest() {
        for bytes in [0, 1, 7, CHUNK_BYTES_MAX, 3 * CHUNK_BYTES_MAX + 1] {
            let body = vec![7; bytes];
            let mut wire = header(bytes, bytes).unwrap().to_vec();
            wire.extend_from_slice(&body);
            wire.push(9);
            assert_eq!(read(&wire, bytes), Ok((body, 1)));
        }
    }

    #[test]
    fn every_truncation_is_named() {
        let wire = [3, 0, 0, 0, 1, 2, 3];
        for cut in 0..wire.len() {
            let missing = if cut < 4 { 4 - cut } else { 7 - cut };
            let part = wire.get(..cut).unwrap();
            assert_eq!(read(part, 9), Err(FrameError::Truncated { missing }));
        }
    }

    #[test]
    fn a_claim_costs_no_memory() {
        let mut reader = FrameReader::new(usize::MAX);
        reader.push(&u32::MAX.to_le_bytes()).unwrap();
        assert!(reader.wanted() <= CHUNK_BYTES_MAX);
        assert_eq!(reader.body.capacity(), 0);
        let claimed = usize::try_from(u32::MAX).unwrap();
        assert_eq!(
            read(&u32::MAX.to_le_bytes(), 64),
            Err(FrameError::Oversized { claimed, bytes_max: 64 })
        );
        assert_eq!(header(65, 64), Err(FrameError::Oversized { claimed: 65, bytes_max: 64 }));
    }
}
