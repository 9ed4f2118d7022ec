//! Verified releases of a run -> combined lanes. The coordinator adds up what nodes signed, and
//! nothing else; recipients get the releases too and add up again.

use crate::intake::RejectionOr;
use cloister_report::Combined;
use cloister_terms::{Name, OutputShape, ReleaseRecord};
use cloister_wire::dsse::{Envelope, Opened};
use cloister_wire::message::Rejection;

/// The sums of a run's verified releases of `shape`, cell-major; empty while nobody has released. `nodes`
/// are those that were asked.
pub fn combine(
    shape: &OutputShape,
    nodes: &[Name],
    releases: &[Vec<u8>],
) -> Result<Vec<i128>, RejectionOr> {
    if releases.is_empty() {
        return Ok(vec![]);
    }
    // Only releases that verified are stored (see `dispatch`); a store that holds others is damaged.
    let open = |bytes: &Vec<u8>| Envelope::parse(bytes).ok()?.open::<ReleaseRecord>().ok();
    let opened: Option<Vec<_>> = releases.iter().map(open).collect();
    let combine = |opened: Vec<Opened<ReleaseRecord>>| {
        Combined::of_releases(shape, nodes, opened.iter().map(Opened::document)).ok()
    };
    opened
        .and_then(combine)
        .map(|combined| combined.lanes().to_vec())
        .ok_or(RejectionOr(Rejection::Unavailable))
}
