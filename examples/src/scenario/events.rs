//! A person's rows, with the dirt of real life, as neutral rows that each partner's table then
//! spells in its own way. Blocks of persons are shuffled, so that nobody's rows lie together. It
//! must never clean anything up: that is what mapping, bounds and queries are for.

use super::calendar::{EVENTS_END_S, EVENTS_START_S, S_PER_DAY, SEASON_A, SEASON_B, month_of};
use super::draws::Draws;
use super::population::{FlowMatrix, Person, REGIONS, footprint};
use super::{PartnerKind, ScenarioSize};

/// Persons made, shuffled and written at a time: about 33,000 rows, a few megabytes.
const PEOPLE_PER_BLOCK: u32 = 2_048;

/// Shares of dirty rows, in ten thousandths.
pub mod shares {
    /// No person id.
    pub const NULL_PERSON: u32 = 100;
    /// No time.
    pub const NULL_TIME: u32 = 50;
    /// A clock that started in 1970.
    pub const CLOCK_1970: u32 = 30;
    /// A clock in 2099.
    pub const CLOCK_2099: u32 = 20;
    /// No region.
    pub const NULL_REGION: u32 = 150;
    /// A region, spelled unknown.
    pub const UNKNOWN_REGION: u32 = 100;
    /// A refund, a negative duration, a signal that cannot be.
    pub const NEGATIVE_MEASURE: u32 = 300;
    /// A figure that is out of all proportion.
    pub const ABSURD_MEASURE: u32 = 10;
    /// The row was written twice.
    pub const DUPLICATE: u32 = 100;
}

/// Share of rows away from home, in ten thousandths: work, travel, visits.
const AWAY: u32 = 1_500;
/// Share of rows at night, in ten thousandths.
const NIGHT: u32 = 1_000;
/// First second of 2099, and the seconds of that year.
const YEAR_2099_S: i64 = 4_070_908_800;
const YEAR_S: u32 = 31_536_000;
/// A device without a clock runs at most this long after its start in 1970.
const BOOTED_S: u32 = 3 * 86_400;

/// Streams of [`Draws`]: a partner's persons, and the shuffling of its blocks.
const PERSONS_STREAM: u64 = 0x100;
const SHUFFLE_STREAM: u64 = 0x200;

/// Stretches of time and the weight of each: a little outside the seasons, and between them.
const STRETCHES: [(i64, i64); 5] = [
    (EVENTS_START_S, SEASON_A.start_s),
    (SEASON_A.start_s, SEASON_A.end_s),
    (SEASON_A.end_s, SEASON_B.start_s),
    (SEASON_B.start_s, SEASON_B.end_s),
    (SEASON_B.end_s, EVENTS_END_S),
];
const STRETCH_WEIGHTS: [u32; 5] = [2, 43, 10, 43, 2];

/// What a row says of the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionSeen {
    /// An index into [`REGIONS`].
    Known(usize),
    /// Spelled as unknown.
    Unknown,
    /// Null.
    Missing,
}

/// What a row says of its figure (signal, duration, amount); each table spells it in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// An ordinary figure.
    Plain,
    /// Less than it can be, or a refund.
    Negative,
    /// Out of all proportion.
    Absurd,
}

/// One row before a partner spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Index of the person, or null.
    pub person: Option<u32>,
    /// What the clock said, seconds since 1970.
    pub second: Option<i64>,
    /// Microseconds within the second.
    pub micros: u32,
    /// Index into [`super::calendar::MONTHS`] of the month in which the row arrived.
    pub month: usize,
    /// Where.
    pub region: RegionSeen,
    /// Kind of the figure.
    pub measure: Measure,
    /// 64 bits from which figures, shops, files and categories are made.
    pub detail: u64,
    /// A second copy of a row.
    pub duplicate: bool,
}

/// Rows with each kind of dirt; a row may have several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirtTally {
    /// No person id.
    pub null_person: u64,
    /// No time.
    pub null_time: u64,
    /// A time in 1970 or 2099.
    pub clock_error: u64,
    /// No region.
    pub null_region: u64,
    /// A region spelled unknown.
    pub unknown_region: u64,
    /// A refund or an impossible figure below zero.
    pub negative_measure: u64,
    /// A figure out of all proportion.
    pub absurd_measure: u64,
    /// Second copies.
    pub duplicate: u64,
}

/// What was made in all.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    pub(super) rows: u64,
    pub(super) rows_per_person_max: u64,
    pub(super) planted: FlowMatrix,
    pub(super) dirt: DirtTally,
}

/// Makes a partner's rows, a block of persons at a time.
pub(super) struct EventBlocks {
    partner: PartnerKind,
    size: ScenarioSize,
    next: u32,
    totals: Totals,
}

impl EventBlocks {
    pub(super) fn new(partner: PartnerKind, size: &ScenarioSize) -> Self {
        Self { partner, size: *size, next: 0, totals: Totals::default() }
    }

    /// Replaces `rows` by the next block; false if there is none.
    pub(super) fn fill(&mut self, rows: &mut Vec<Row>) -> bool {
        rows.clear();
        if self.next >= self.size.people {
            return false;
        }
        let block = self.next;
        let end = block.saturating_add(PEOPLE_PER_BLOCK).min(self.size.people);
        for index in block..end {
            self.append_person(index, rows);
        }
        self.next = end;
        let stream = SHUFFLE_STREAM + self.partner as u64;
        Draws::new(self.size.seed, stream, u64::from(block)).shuffle(rows);
        for row in rows.iter() {
            self.totals.dirt.count(row);
        }
        self.totals.rows += rows.len() as u64;
        true
    }

    pub(super) fn into_totals(self) -> Totals {
        self.totals
    }

    fn append_person(&mut self, index: u32, rows: &mut Vec<Row>) {
        let stream = PERSONS_STREAM + self.partner as u64;
        let mut draws = Draws::new(self.size.seed, stream, u64::from(index));
        let person = Person::draw(self.partner, index, &mut draws);
        let flows = self.totals.planted.get_mut(person.home_before);
        if let Some(cell) = flows.and_then(|to| to.get_mut(person.home_after)) {
            *cell += 1;
        }
        let (before, mut owned) = (rows.len(), 0);
        for _ in 0..person.rows {
            let row = draw_row(self.partner, &person, &mut draws);
            rows.push(row);
            if draws.chance(shares::DUPLICATE) {
                rows.push(Row { duplicate: true, ..row });
            }
        }
        for row in rows.iter().skip(before) {
            owned += u64::from(row.person.is_some());
        }
        self.totals.rows_per_person_max = self.totals.rows_per_person_max.max(owned);
    }
}

impl DirtTally {
    fn count(&mut self, row: &Row) {
        let in_span = |s: i64| (EVENTS_START_S..EVENTS_END_S).contains(&s);
        self.null_person += u64::from(row.person.is_none());
        self.null_time += u64::from(row.second.is_none());
        self.clock_error += u64::from(row.second.is_some_and(|s| !in_span(s)));
        self.null_region += u64::from(row.region == RegionSeen::Missing);
        self.unknown_region += u64::from(row.region == RegionSeen::Unknown);
        self.negative_measure += u64::from(row.measure == Measure::Negative);
        self.absurd_measure += u64::from(row.measure == Measure::Absurd);
        self.duplicate += u64::from(row.duplicate);
    }
}

fn draw_row(partner: PartnerKind, person: &Person, draws: &mut Draws) -> Row {
    let happened = draw_second(draws);
    let region = if draws.chance(AWAY) {
        draws.weighted(footprint(partner))
    } else {
        person.home_at(happened)
    };
    Row {
        person: (!draws.chance(shares::NULL_PERSON)).then_some(person.index),
        second: draw_clock(happened, draws),
        micros: draws.below(1_000_000),
        month: month_of(happened),
        region: draw_seen(region, draws),
        measure: draw_measure(draws),
        detail: draws.word(),
        duplicate: false,
    }
}

fn draw_second(draws: &mut Draws) -> i64 {
    let stretch = draws.weighted(&STRETCH_WEIGHTS);
    let (start, end) = STRETCHES.get(stretch).copied().unwrap_or(STRETCHES[1]);
    let days = u32::try_from((end - start) / S_PER_DAY).unwrap_or(1);
    let day = i64::from(draws.below(days));
    let second = if draws.chance(NIGHT) {
        draws.below(7 * 3_600)
    } else {
        7 * 3_600 + draws.below(17 * 3_600)
    };
    start + day * S_PER_DAY + i64::from(second)
}

fn draw_clock(happened: i64, draws: &mut Draws) -> Option<i64> {
    let luck = draws.below(10_000);
    let early = shares::NULL_TIME + shares::CLOCK_1970;
    if luck < shares::NULL_TIME {
        None
    } else if luck < early {
        Some(i64::from(draws.below(BOOTED_S)))
    } else if luck < early + shares::CLOCK_2099 {
        Some(YEAR_2099_S + i64::from(draws.below(YEAR_S)))
    } else {
        Some(happened)
    }
}

fn draw_seen(region: usize, draws: &mut Draws) -> RegionSeen {
    let luck = draws.below(10_000);
    if luck < shares::NULL_REGION || region >= REGIONS.len() {
        RegionSeen::Missing
    } else if luck < shares::NULL_REGION + shares::UNKNOWN_REGION {
        RegionSeen::Unknown
    } else {
        RegionSeen::Known(region)
    }
}

fn draw_measure(draws: &mut Draws) -> Measure {
    let luck = draws.below(10_000);
    if luck < shares::NEGATIVE_MEASURE {
        Measure::Negative
    } else if luck < shares::NEGATIVE_MEASURE + shares::ABSURD_MEASURE {
        Measure::Absurd
    } else {
        Measure::Plain
    }
}

/// An amount in cents, heavy-tailed: one to two euros up to some hundreds; refunds are negative,
/// and the absurd is a hundred billion either way.
pub(super) fn amount_cents(row: &Row) -> i64 {
    let scale = 100_i64 << (row.detail % 8);
    let spread = i64::try_from(row.detail >> 40).unwrap_or(0);
    let plain = scale + spread % scale;
    match row.measure {
        Measure::Plain => plain,
        Measure::Negative => -plain,
        Measure::Absurd if row.detail & 8 == 0 => 10_000_000_000_000,
        Measure::Absurd => -10_000_000_000_000,
    }
}
