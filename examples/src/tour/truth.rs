//! The exact answer, and the answer of people's bounded contributions, computed by the tour from the
//! files it can see: so that a reader sees what bounding costs and what noise costs, apart. Only a
//! demonstration may do this; it is printed under its own label.

use crate::cast::{Question, TOWNS, TruthKind};
use crate::folds::{Persons, Row};
use cloister_examples::scenario::calendar;
use cloister_examples::scenario::population::REGIONS;
use std::collections::BTreeMap;

/// Secrets drawn for the bounded answer.
pub const SECRETS: u64 = 20;
/// Rows of one person that any analysis uses at most, as the dictionaries of the tour declare.
const TABLE_ROW_CAP: usize = 2_000;
/// Distinct pairs the flow module keeps of each rider.
const PAIRS_MAX: usize = 4;
/// Events a season needs, in the module of regions.
const EVENTS_MIN: usize = 3;

/// Sums by cell: one vector of lanes a cell.
type Lanes = BTreeMap<Vec<String>, Vec<f64>>;

/// Figures by cell, in the order of the answer's columns that are no keys.
pub type Figures<T> = BTreeMap<Vec<String>, Vec<T>>;

/// The exact answer and the bounded one.
pub struct Truth {
    /// Without any cap.
    pub exact: Figures<f64>,
    /// Bounded, over [`SECRETS`] secrets.
    pub bounded: Figures<Bounded>,
}

/// One bounded figure over all secrets.
#[derive(Clone, Copy, serde::Serialize)]
pub struct Bounded {
    /// Its mean.
    pub mean: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Bounded {
    /// Of no secret yet.
    const NONE: Self = Self { mean: 0.0, least: f64::INFINITY, most: f64::NEG_INFINITY };

    /// Takes in the figure under one more of the [`SECRETS`] secrets.
    fn take(&mut self, figure: f64) {
        self.mean += figure / SECRETS as f64;
        self.least = self.least.min(figure);
        self.most = self.most.max(figure);
    }
}

/// Which of the two analyses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The SQL analysis.
    Sql,
    /// The module.
    Module,
}

/// Computes both for one question over all partners' persons.
pub fn truth(kind: TruthKind, which: Which, question: &Question, partners: &[Persons]) -> Truth {
    let all = || partners.iter().flatten();
    let mut exact = empty(kind, which);
    // Whoever stays within every cap contributes the same under every secret.
    let (mut fixed, mut capped) = (empty(kind, which), Vec::new());
    let (row_cap, group_cap) = (question.row_cap as usize, question.group_cap as usize);
    for rows in all() {
        let cells = contributions(kind, which, rows);
        if rows.len() > row_cap.min(TABLE_ROW_CAP) || cells.len() > group_cap {
            capped.push(rows);
        } else {
            add(&mut fixed, &cells);
        }
        add(&mut exact, &cells);
    }
    let mut draws = Draws(0x5eed);
    let mut bounded = Figures::new();
    for _ in 0..SECRETS {
        let mut lanes = fixed.clone();
        for rows in &capped {
            let kept = bound_rows(kind, which, rows, row_cap, &mut draws);
            let cells = contributions(kind, which, &kept);
            add(&mut lanes, &draws.some_of(cells, group_cap));
        }
        for (cell, sums) in lanes {
            let figures = figures(kind, which, sums);
            let fresh = || vec![Bounded::NONE; figures.len()];
            let all = bounded.entry(cell).or_insert_with(fresh);
            all.iter_mut().zip(&figures).for_each(|(one, figure)| one.take(*figure));
        }
    }
    let exact = exact.into_iter().map(|(cell, sums)| (cell, figures(kind, which, sums))).collect();
    Truth { exact, bounded }
}

/// The figures that an answer gives of one cell's sums: the third of towns is a share of trips.
fn figures(kind: TruthKind, which: Which, mut sums: Vec<f64>) -> Vec<f64> {
    if (kind, which) == (TruthKind::Towns, Which::Sql)
        && let [_, trips, crosses] = sums.as_mut_slice()
    {
        // Of no trips none crosses.
        *crosses /= trips.max(1.0);
    }
    sums
}

fn bound_rows(
    kind: TruthKind,
    which: Which,
    rows: &[Row],
    row_cap: usize,
    draws: &mut Draws,
) -> Vec<Row> {
    let mut kept = draws.some_of(rows.to_vec(), TABLE_ROW_CAP);
    if which == Which::Sql {
        // SQL drops rows without a key before the row cap; a module sees them.
        kept.retain(|row| sql_cell(kind, row).is_some());
    }
    let mut kept = draws.some_of(kept, row_cap);
    kept.sort_by_key(|row| row.order);
    kept
}

type Cells = Vec<(Vec<String>, Vec<f64>)>;

/// What one person's rows contribute, before the cap on cells.
fn contributions(kind: TruthKind, which: Which, rows: &[Row]) -> Cells {
    match (which, kind) {
        (Which::Sql, _) => by_cell(kind, rows),
        (Which::Module, TruthKind::Regions) => usual_regions(rows),
        (Which::Module, TruthKind::Towns) => first_pairs(rows),
    }
}

fn by_cell(kind: TruthKind, rows: &[Row]) -> Cells {
    let mut cells: BTreeMap<Vec<String>, Vec<f64>> = BTreeMap::new();
    for row in rows {
        let Some((cell, values)) = sql_cell(kind, row) else { continue };
        let sums = cells.entry(cell).or_insert_with(|| {
            let mut fresh = vec![0.0; values.len() + 1];
            fresh.iter_mut().take(1).for_each(|persons| *persons = 1.0);
            fresh
        });
        sums.iter_mut().skip(1).zip(values).for_each(|(sum, value)| *sum += value);
    }
    cells.into_iter().collect()
}

/// The cell of a row and what it adds to each lane after the count of persons.
fn sql_cell(kind: TruthKind, row: &Row) -> Option<(Vec<String>, Vec<f64>)> {
    match kind {
        TruthKind::Regions => {
            let region = REGIONS.get(usize::from(row.first?))?;
            let season = season(row.order.0)?;
            Some((vec![(*region).to_owned(), season.to_owned()], vec![1.0]))
        }
        TruthKind::Towns => {
            let town = TOWNS.get(usize::from(row.first?))?;
            let crosses = f64::from(u8::from(row.first != row.second));
            Some((vec![(*town).to_owned()], vec![1.0, crosses]))
        }
    }
}

fn season(at_us: i64) -> Option<&'static str> {
    let within = |season: &calendar::Season| {
        let (start_s, end_s) = (season.start_s, season.end_s);
        (start_s * calendar::MICROS_PER_S..end_s * calendar::MICROS_PER_S).contains(&at_us)
    };
    if within(&calendar::SEASON_A) {
        return Some("winter");
    }
    within(&calendar::SEASON_B).then_some("summer")
}

/// The usual region in winter and in summer: the most frequent, of equals the one seen first.
fn usual_regions(rows: &[Row]) -> Cells {
    let usual = |wanted: &str| {
        let seen: Vec<u8> = rows
            .iter()
            .filter(|row| season(row.order.0) == Some(wanted))
            .filter_map(|row| row.first)
            .collect();
        let count = |region: &u8| seen.iter().filter(|other| *other == region).count();
        let place = |region: &u8| seen.iter().position(|other| other == region);
        let best =
            seen.iter().max_by_key(|region| (count(region), std::cmp::Reverse(place(region))));
        best.filter(|_| seen.len() >= EVENTS_MIN)
            .and_then(|region| REGIONS.get(usize::from(*region)))
    };
    match (usual("winter"), usual("summer")) {
        (Some(from), Some(to)) => vec![(vec![(*from).to_owned(), (*to).to_owned()], vec![1.0])],
        _ => vec![],
    }
}

fn first_pairs(rows: &[Row]) -> Cells {
    let mut pairs: Vec<(u8, u8)> = Vec::new();
    for row in rows {
        let (Some(from), Some(to)) = (row.first, row.second) else { continue };
        if pairs.len() < PAIRS_MAX && !pairs.contains(&(from, to)) {
            pairs.push((from, to));
        }
    }
    let name = |town: u8| TOWNS.get(usize::from(town)).map(|t| (*t).to_owned()).unwrap_or_default();
    pairs.into_iter().map(|(from, to)| (vec![name(from), name(to)], vec![1.0])).collect()
}

/// Every cell of the public domain at zero.
fn empty(kind: TruthKind, which: Which) -> Lanes {
    let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let (first, second, lanes) = match (which, kind) {
        (Which::Sql, TruthKind::Regions) => (owned(&REGIONS), owned(&["winter", "summer"]), 2),
        (Which::Sql, TruthKind::Towns) => (owned(&TOWNS), vec![], 3),
        (Which::Module, TruthKind::Regions) => (owned(&REGIONS), owned(&REGIONS), 1),
        (Which::Module, TruthKind::Towns) => (owned(&TOWNS), owned(&TOWNS), 1),
    };
    let mut cells = Lanes::new();
    for a in &first {
        if second.is_empty() {
            cells.insert(vec![a.clone()], vec![0.0; lanes]);
        }
        for b in &second {
            cells.insert(vec![a.clone(), b.clone()], vec![0.0; lanes]);
        }
    }
    cells
}

fn add(lanes: &mut Lanes, cells: &Cells) {
    for (cell, values) in cells {
        if let Some(sums) = lanes.get_mut(cell) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): draws for the tour's own samples, never for a release.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// At most `most` of `items`, each subset as likely as another.
    fn some_of<T>(&mut self, mut items: Vec<T>, most: usize) -> Vec<T> {
        if items.len() <= most {
            return items;
        }
        for place in 0..most {
            let left = (items.len() - place) as u64;
            let other = place + (self.next() % left) as usize;
            items.swap(place, other);
        }
        items.truncate(most);
        items
    }
}
