//! Verified releases of a run -> combined lanes. The coordinator adds up what nodes signed, and
//! nothing else; recipients get the releases too and add up again.

use crate::intake::RejectionOr;
use cloister_report::{CombineError, Combined};
use cloister_terms::private_keys::PrivateKeysError;
use cloister_terms::shape::ShapeError;
use cloister_terms::{Name, OutputShape, ReleaseRecord};
use cloister_wire::codec::MESSAGE_BYTES_MAX;
use cloister_wire::dsse::{Envelope, Opened};
use cloister_wire::message::Rejection;

/// The sums of a run's verified releases of `shape`, cell-major; empty while nobody has released. `nodes`
/// are those that were asked.
///
/// # Errors
/// [`Rejection::TooLarge`] where the releases, or the groups that they show together, are more than one answer
/// holds: nothing is added up then. [`Rejection::Unavailable`] where the store is damaged.
pub fn combine(
    shape: &OutputShape,
    nodes: &[Name],
    releases: &[Vec<u8>],
) -> Result<Vec<i128>, RejectionOr> {
    if releases.is_empty() {
        return Ok(vec![]);
    }
    // They go out in one message with their sums: what does not fit is not even opened.
    if releases.iter().map(Vec::len).sum::<usize>() > MESSAGE_BYTES_MAX {
        return Err(Rejection::TooLarge.into());
    }
    // Only releases that verified are stored (see `dispatch`); a store that holds others is damaged.
    let open = |bytes: &Vec<u8>| Envelope::parse(bytes).ok()?.open::<ReleaseRecord>().ok();
    let opened: Option<Vec<_>> = releases.iter().map(open).collect();
    let opened = opened.ok_or(Rejection::Unavailable)?;
    let combined = Combined::of_releases(shape, nodes, opened.iter().map(Opened::document))?;
    Ok(combined.lanes().to_vec())
}

impl From<CombineError> for RejectionOr {
    fn from(error: CombineError) -> Self {
        Self(match error {
            CombineError::Shape(ShapeError::PrivateKeys(PrivateKeysError::TooMany(_))) => {
                Rejection::TooLarge
            }
            _ => Rejection::Unavailable,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_one_answer_holds_is_refused_as_too_large_and_a_damaged_store_is_not() {
        let shape = OutputShape {
            keys: vec![],
            lanes: vec![],
            columns: vec![],
            served: vec![],
            recipe: Default::default(),
            private_keys: None,
            diagnostics: vec![],
        };
        let refused = |releases: &[Vec<u8>]| combine(&shape, &[], releases).unwrap_err().0;
        assert_eq!(refused(&[vec![0; MESSAGE_BYTES_MAX], vec![0]]), Rejection::TooLarge);
        assert_eq!(refused(&[b"{}".to_vec()]), Rejection::Unavailable);
        let too_many = ShapeError::from(PrivateKeysError::TooMany(7));
        let of = |error: CombineError| RejectionOr::from(error).0;
        assert_eq!(of(too_many.into()), Rejection::TooLarge);
        assert_eq!(of(CombineError::NoVectors), Rejection::Unavailable);
        let too_many = RejectionOr::from(cloister_wire::ProofError::TooManyKeys);
        assert_eq!(too_many.0, Rejection::TooLarge);
    }
}
