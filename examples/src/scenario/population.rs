//! Who lives where, who moves, and how busy a person is. A person follows from (seed, partner,
//! index) alone, so that any block of persons can be made without the others. It must never hold a
//! list of all persons.

use super::PartnerKind;
use super::calendar::{S_PER_DAY, SEASON_A, SEASON_B};
use super::draws::Draws;

/// The shared dictionary's public domain of `region`.
pub const REGIONS: [&str; 8] =
    ["Ashford", "Bramley", "Coldmere", "Dunholt", "Elmstead", "Fairhaven", "Glenbrook", "Harwick"];

/// Persons by region before (first index) and after (second index), as in [`REGIONS`].
pub type FlowMatrix = [[u64; 8]; 8];

/// The corridors that were made strong, as (from, to) indices into [`REGIONS`]: each takes at
/// least half of those who leave its first region.
pub const STRONG_CORRIDORS: [(usize, usize); 4] = [(0, 5), (3, 1), (5, 0), (7, 6)];

/// Share of a region's people who move between the seasons, in ten thousandths: 15 % overall.
const LEAVING: [u32; 8] = [2_400, 800, 1_200, 2_200, 1_000, 1_400, 900, 1_800];

/// Where those who leave go: a row a region left, weights of the regions reached.
const DESTINATIONS: [[u32; 8]; 8] = [
    [0, 6, 4, 3, 10, 70, 4, 3],
    [20, 0, 20, 15, 15, 15, 10, 5],
    [10, 30, 0, 20, 20, 10, 5, 5],
    [5, 65, 10, 0, 8, 6, 3, 3],
    [25, 10, 10, 10, 0, 30, 10, 5],
    [55, 10, 5, 5, 10, 0, 10, 5],
    [10, 10, 5, 5, 15, 20, 0, 35],
    [4, 6, 4, 4, 6, 16, 60, 0],
];

/// Every so many persons one has thousands of rows: a shared handset, a company card, a wholesaler.
const TAIL_EVERY: u32 = 2_048;
const TAIL_OFFSET: u32 = 17;
const TAIL_ROWS_MIN: u32 = 1_000;
const TAIL_ROWS_SPAN: u32 = 3_001;
/// Share of busy persons, in ten thousandths, and how many rows they have.
const BUSY_SHARE: u32 = 300;
const BUSY_ROWS_MIN: u32 = 31;
const BUSY_ROWS_SPAN: u32 = 90;
/// Rows of everybody else.
const USUAL_ROWS_MIN: u32 = 5;
const USUAL_ROWS_SPAN: u32 = 26;

/// One person, before any row is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    /// Index at the partner, from 0; ids are scrambled from it.
    pub index: u32,
    /// Home until `moved_s`, an index into [`REGIONS`].
    pub home_before: usize,
    /// Home from `moved_s` on.
    pub home_after: usize,
    /// Second of the move, between the seasons; without meaning if the homes are the same.
    pub moved_s: i64,
    /// Rows before duplicates.
    pub rows: u32,
}

impl Person {
    /// Draws a person of the partner.
    pub(super) fn draw(partner: PartnerKind, index: u32, draws: &mut Draws) -> Self {
        let home_before = draws.weighted(footprint(partner));
        let leaves = LEAVING.get(home_before).is_some_and(|s| draws.chance(*s));
        let home_after = match DESTINATIONS.get(home_before) {
            Some(weights) if leaves => draws.weighted(weights),
            _ => home_before,
        };
        let days_between = (SEASON_B.start_s - SEASON_A.end_s) / S_PER_DAY;
        let day = draws.below(u32::try_from(days_between).unwrap_or(1));
        Self {
            index,
            home_before,
            home_after,
            moved_s: SEASON_A.end_s + i64::from(day) * S_PER_DAY,
            rows: row_count(index, draws),
        }
    }

    /// Home at a second.
    pub fn home_at(&self, second: i64) -> usize {
        if second < self.moved_s { self.home_before } else { self.home_after }
    }
}

/// Where the partner's customers live: weights of [`REGIONS`], another footprint a partner.
pub(super) const fn footprint(partner: PartnerKind) -> &'static [u32; 8] {
    match partner {
        PartnerKind::OperatorNorth => &[22, 18, 14, 12, 10, 10, 8, 6],
        PartnerKind::OperatorSouth => &[6, 8, 10, 10, 12, 14, 18, 22],
        PartnerKind::Bank => &[16, 14, 12, 13, 12, 12, 10, 11],
        PartnerKind::Retailer => &[12, 10, 16, 14, 14, 12, 10, 12],
    }
}

/// Heavy-tailed: most have 5 to 30 rows, 3 % up to 120, one in 2,048 thousands; 16 on average.
fn row_count(index: u32, draws: &mut Draws) -> u32 {
    if index % TAIL_EVERY == TAIL_OFFSET {
        return TAIL_ROWS_MIN + draws.below(TAIL_ROWS_SPAN);
    }
    if draws.chance(BUSY_SHARE) {
        return BUSY_ROWS_MIN + draws.below(BUSY_ROWS_SPAN);
    }
    let (one, other) = (draws.below(USUAL_ROWS_SPAN), draws.below(USUAL_ROWS_SPAN));
    USUAL_ROWS_MIN + one.min(other)
}
