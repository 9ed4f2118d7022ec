//! Verified releases of a run -> combined lanes. The coordinator adds up what nodes signed, and
//! nothing else; recipients get the releases too and add up again.

use crate::intake::{RejectionOr, analysis_of};
use crate::store::{Store, StoredRun};
use cloister_report::Combined;
use cloister_terms::{Name, ReleaseRecord};
use cloister_wire::dsse::Envelope;
use cloister_wire::message::Rejection;

/// The sums of a run's verified releases, cell-major; empty while nobody has released.
pub fn combine(store: &Store, run: &StoredRun) -> Result<Vec<i128>, RejectionOr> {
    if run.releases.is_empty() {
        return Ok(vec![]);
    }
    let (_, _, analysis) = analysis_of(store, run.analysis)?;
    // Only releases that verified are stored (see `dispatch`); a store that holds others is damaged.
    let vector = |bytes: &Vec<u8>| -> Option<(Name, Vec<i128>)> {
        let opened = Envelope::parse(bytes).ok()?.open::<ReleaseRecord>().ok()?;
        let release = opened.document();
        Some((release.node.clone(), release.values.iter().map(|value| value.0).collect()))
    };
    let vectors: Option<Vec<_>> = run.releases.iter().map(vector).collect();
    let analysis = analysis.document();
    vectors
        .and_then(|vectors| Combined::new(&analysis.shape, &analysis.nodes, &vectors).ok())
        .map(|combined| combined.lanes().to_vec())
        .ok_or(RejectionOr(Rejection::Unavailable))
}
