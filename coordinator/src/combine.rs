//! Verified releases of a run -> combined lanes. The coordinator adds up what nodes signed, and
//! nothing else; recipients get the releases too and add up again.

use crate::intake::{RejectionOr, analysis_of, round_of};
use crate::store::{Store, StoredRun};
use cloister_report::Combined;
use cloister_terms::{ReleaseRecord, RunRequest};
use cloister_wire::dsse::{Envelope, Opened};
use cloister_wire::message::Rejection;

/// The sums of a run's verified releases, cell-major; empty while nobody has released.
pub fn combine(store: &Store, run: &StoredRun) -> Result<Vec<i128>, RejectionOr> {
    if run.releases.is_empty() {
        return Ok(vec![]);
    }
    let (agreement, analysis) = analysis_of(store, run.analysis)?;
    let asked = Envelope::parse(&run.envelope).and_then(|envelope| envelope.open::<RunRequest>());
    let asked = asked.map_err(|_| RejectionOr(Rejection::Unavailable))?;
    let asked = round_of(store, &agreement, &analysis, &asked)?;
    // Only releases that verified are stored (see `dispatch`); a store that holds others is damaged.
    let open = |bytes: &Vec<u8>| Envelope::parse(bytes).ok()?.open::<ReleaseRecord>().ok();
    let opened: Option<Vec<_>> = run.releases.iter().map(open).collect();
    let analysis = analysis.document();
    let combine = |opened: Vec<Opened<ReleaseRecord>>| {
        let releases = opened.iter().map(Opened::document);
        Combined::of_releases(&asked.round.shape, &analysis.nodes, releases).ok()
    };
    opened
        .and_then(combine)
        .map(|combined| combined.lanes().to_vec())
        .ok_or(RejectionOr(Rejection::Unavailable))
}
