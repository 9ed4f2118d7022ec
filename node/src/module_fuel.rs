//! A module's fuel as time, for those who declare it, sign it, and size a release slot by it. From the analysis
//! alone: how much of it anybody's records use up is nobody's to know.

use crate::contribute::module::{FUEL_PER_MS_MIN, fuel_ms_max};
use crate::slot::{PASSES_MAX, fits};
use serde::Serialize;
use std::fmt;

/// Persons for whom a slot is told; their steward alone knows how many she has.
const PERSONS_TOLD: u64 = 1_000;

/// What the fuel of each person may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FuelTime {
    /// As the analysis declares it.
    pub fuel_per_person: u64,
    /// Longest that one person takes at a pass, on the slowest machine that nodes reckon with.
    pub person_ms_max: u64,
    /// The release slot for 1,000 persons who all take so long, one after the other.
    pub slot_ms_for_1000_persons: u64,
}

impl FuelTime {
    /// Of so much fuel.
    pub fn of(fuel_per_person: u64) -> Self {
        let all = fuel_per_person.saturating_mul(PERSONS_TOLD);
        Self {
            fuel_per_person,
            person_ms_max: fuel_ms_max(fuel_per_person),
            slot_ms_for_1000_persons: fuel_ms_max(all).saturating_mul(PASSES_MAX),
        }
    }

    /// Whether a node with this release slot admits it: one person fits.
    pub fn fits(&self, slot_ms: u64) -> bool {
        fits(self.person_ms_max, slot_ms)
    }
}

/// Most fuel of a person that a node with this release slot admits.
pub fn fuel_max(slot_ms: u64) -> u64 {
    (slot_ms / PASSES_MAX).saturating_mul(FUEL_PER_MS_MIN)
}

impl fmt::Display for FuelTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fuel_per_person, person_ms_max, slot_ms_for_1000_persons } = self;
        write!(
            f,
            "{fuel_per_person} for each person, which takes {person_ms_max} ms at most on a slow machine; {PERSONS_TOLD} persons who all use it up need a release slot of {slot_ms_for_1000_persons} ms"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuel_is_told_as_the_time_that_the_gate_reckons_with() {
        let time = FuelTime::of(30 * FUEL_PER_MS_MIN + 1);
        assert_eq!((time.person_ms_max, time.slot_ms_for_1000_persons), (31, 2 * 30_001));
        assert!(time.fits(62) && !time.fits(61));
        assert!(time.to_string().contains("31 ms at most"), "{time}");
        assert!(time.to_string().contains("a release slot of 60002 ms"), "{time}");
        for slot_ms in [2, 3, 60_000] {
            let most = fuel_max(slot_ms);
            assert!(FuelTime::of(most).fits(slot_ms) && !FuelTime::of(most + 1).fits(slot_ms));
        }
        assert_eq!(FuelTime::of(u64::MAX).person_ms_max, u64::MAX.div_ceil(FUEL_PER_MS_MIN));
    }
}
