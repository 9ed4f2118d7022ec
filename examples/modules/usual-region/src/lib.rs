//! Moves between seasons: the region a person is usually seen in, in winter and then in summer.
//!
//! Must never emit for a person seen fewer than [`EVENTS_MIN`] times in either season. The usual region is
//! the most frequent one; of equals, the one seen first in that season.
#![no_std]

use cloister_guest::Output;

/// Regions in the public domain.
const REGIONS: usize = 8;
/// Events that a season needs.
const EVENTS_MIN: u32 = 3;

/// Microseconds UTC, from (included) to (excluded).
struct Season {
    from_us: i64,
    to_us: i64,
}

/// 2024-01-01 to 2024-04-01.
const SEASON_A: Season = Season { from_us: 1_704_067_200_000_000, to_us: 1_711_929_600_000_000 };
/// 2024-07-01 to 2024-10-01.
const SEASON_B: Season = Season { from_us: 1_719_792_000_000_000, to_us: 1_727_740_800_000_000 };

cloister_guest::person_map! {
    rows_max: 512,
    outputs_max: 1,
    columns: { event_time: Int, region: Code },
    map: usual_region,
}

/// Emits (region in season A * REGIONS + region in season B, 1), or nothing.
fn usual_region(person: &Person<'_>, out: &mut Output<'_>) {
    let (Some(from), Some(to)) = (usual(person, &SEASON_A), usual(person, &SEASON_B)) else {
        return;
    };
    out.emit((from * REGIONS + to) as u32, 1);
}

/// The usual region of one season; `None` with too few events. Events without time or region do not count.
fn usual(person: &Person<'_>, season: &Season) -> Option<usize> {
    // Per region: events, and the row that first showed it.
    let mut events = [0_u32; REGIONS];
    let mut first = [usize::MAX; REGIONS];
    let mut total = 0;
    for (row, (time, region)) in person.event_time.iter().zip(person.region.iter()).enumerate() {
        let (Some(time), Some(region)) = (time, region) else { continue };
        if time < season.from_us || time >= season.to_us {
            continue;
        }
        let region = region as usize;
        let (Some(count), Some(seen)) = (events.get_mut(region), first.get_mut(region)) else {
            continue;
        };
        *count += 1;
        *seen = row.min(*seen);
        total += 1;
    }
    if total < EVENTS_MIN {
        return None;
    }
    let mut best: Option<(usize, u32, usize)> = None;
    for (region, (count, seen)) in events.iter().zip(&first).enumerate() {
        let better = match best {
            None => true,
            Some((_, most, earliest)) => *count > most || (*count == most && *seen < earliest),
        };
        if better {
            best = Some((region, *count, *seen));
        }
    }
    best.map(|(region, _, _)| region)
}
