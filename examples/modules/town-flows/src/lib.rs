//! Flows between towns: a person's first four distinct (start, end) pairs count once each.
//!
//! Must never count a pair twice for one person. Rows come in order of (start time, trip id); a row
//! without a start or an end town is skipped; trips inside one town count as a pair.
#![no_std]

use cloister_guest::Output;

/// Towns in the public domain; both columns are indices into it.
const TOWNS: u32 = 6;
/// Distinct pairs that one person may contribute.
const PAIRS_MAX: usize = 4;

cloister_guest::person_map! {
    rows_max: 512,
    outputs_max: PAIRS_MAX,
    columns: { start_city: Code, end_city: Code },
    map: town_flows,
}

/// Emits (start * TOWNS + end, 1) for each of the first [`PAIRS_MAX`] distinct pairs.
fn town_flows(person: &Person<'_>, out: &mut Output<'_>) {
    let mut seen: u64 = 0;
    let mut kept = 0;
    for (start, end) in person.start_city.iter().zip(person.end_city.iter()) {
        let (Some(start), Some(end)) = (start, end) else { continue };
        if start >= TOWNS || end >= TOWNS {
            continue;
        }
        let flow = start * TOWNS + end;
        // TOWNS squared is 36: one bit a flow.
        if seen >> flow & 1 == 1 {
            continue;
        }
        seen |= 1 << flow;
        out.emit(flow, 1);
        kept += 1;
        if kept == PAIRS_MAX {
            return;
        }
    }
}
