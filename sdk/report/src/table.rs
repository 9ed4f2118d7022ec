//! The answer: one row a cell, one figure a result column, each with its interval and the partners
//! behind it. What is mostly noise is marked so; nothing here sorts, drops or fills in rows.

use crate::across::{Across, Sum};
use crate::adjust::{ReportOptions, adjust};
use crate::cell::Cell;
use crate::combine::{Behind, Combined};
use crate::figure::Figure;
use crate::lane_error::LaneError;
use crate::not_included::{not_included, notes_on_rows};
use crate::people::{PeopleFigure, people};
use crate::quantile::{Confidence, NoiseError};
use crate::rows::{Choice, Placed, chosen};
use cloister_terms::limits::FIGURES_MAX;
use cloister_terms::shape::ShapeError;
use cloister_terms::{FigureFunction, Formula, KeyValue, Name, OutputShape, ResultColumn};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Most columns of an answer.
pub(crate) const COLUMNS_SHOWN_MAX: usize = 256;
/// Most rows that differ in the partners behind them whose preparation is kept.
const PREPARED_MAX: usize = 256;

/// An answer with intervals, ready to be shown or serialised.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Share of the intervals that hold the figure as it would stand without noise.
    pub confidence: f64,
    /// Partners in the sums, sorted.
    pub partners: Vec<Name>,
    /// Partners asked.
    pub asked: usize,
    /// Whether somebody who was asked is missing.
    pub partial: bool,
    /// Names of the key dimensions, in the order of [`Row::keys`].
    pub keys: Vec<String>,
    /// The columns as approved, in the order they are shown.
    pub columns: Vec<Heading>,
    /// Rows, last key dimension fastest, unless the question chooses or orders them.
    pub rows: Vec<Row>,
    /// Rows that are not shown, because the question chooses among those of the noised answer.
    pub left_out: u64,
    /// Where groups are private: the noised count of people from which a partner shows one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown_from: Option<u64>,
    /// How many people contributed and how many the limits touched, where that was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<PeopleFigure>,
    /// What was done to the figures on request, after the noise, in plain words; last what holds then.
    pub adjusted: Vec<String>,
    /// What must be known of the rows as a whole, in plain words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The lanes behind the figures, for experts.
    pub lanes: Vec<LaneNote>,
    /// Sizes of the key dimensions.
    #[serde(skip)]
    pub(crate) sizes: Vec<usize>,
    /// Whether the rows are other than all cells in the shape's order.
    #[serde(skip)]
    pub(crate) is_ordered: bool,
}

/// One column of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Heading {
    /// Its heading, as written by the researcher: untrusted text.
    pub name: String,
    /// What stands below it.
    pub kind: HeadingKind,
    /// What its intervals do not include; empty for keys, which are exact.
    pub not_included: Vec<&'static str>,
    /// Digits after the point that the question rounds its figures to.
    #[serde(skip)]
    pub(crate) digits: Option<i8>,
}

/// What stands below a heading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadingKind {
    /// A key: [`Row::keys`] at this place.
    Key(usize),
    /// A count or a sum: the next of [`Row::figures`].
    Total {
        /// Whether it counts in whole units.
        whole: bool,
    },
    /// An average or a share: the next of [`Row::figures`].
    Ratio,
    /// Any other computed figure: the next of [`Row::figures`].
    Computed,
}

/// One row of the answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// One value a key dimension.
    #[serde(serialize_with = "plain_keys")]
    pub keys: Vec<KeyValue>,
    /// One figure a column that is not a key, in the columns' order.
    pub figures: Vec<Cell>,
    /// Partners behind the row.
    pub behind: Behind,
}

/// What an expert may want to know of a lane.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LaneNote {
    /// What it sums.
    pub name: String,
    /// The noise each partner added, in words and steps.
    pub noise: String,
    /// One step is `2^-grid_bits`.
    pub grid_bits: u8,
    /// Standard deviation of the combined noise, in units.
    pub deviation: f64,
    /// Half-width of the combined noise at the report's confidence, in units.
    pub plus_minus: f64,
}

/// Why there is no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// The shape is unusable.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The noise cannot be summed.
    #[error(transparent)]
    Noise(#[from] NoiseError),
    /// The sums were made for another shape.
    #[error(
        "the sums have {found} integers, the approved shape {expected}: combine them with this shape"
    )]
    Mismatch {
        /// Integers in the sums.
        found: usize,
        /// Integers the shape has.
        expected: usize,
    },
    /// No columns, or too many.
    #[error("the answer has {found} columns: it must have between 1 and {COLUMNS_SHOWN_MAX}")]
    Columns {
        /// Columns found.
        found: usize,
    },
    /// Too many figures to show.
    #[error("the answer would have {found} figures, over {FIGURES_MAX}: group by fewer values")]
    Figures {
        /// Rows times columns.
        found: u64,
    },
    /// A matrix needs two keys and one figure.
    #[error(
        "a matrix needs 2 keys and 1 figure in all rows unsorted, this answer has {keys} and {figures}: show it as a table"
    )]
    NotAMatrix {
        /// Key dimensions found.
        keys: usize,
        /// Figures found.
        figures: usize,
    },
    /// An adjustment names a figure the answer does not have.
    #[error("the answer has no figure `{0}` to adjust: name one of its columns")]
    NoFigure(String),
    /// An adjustment that this figure cannot have.
    #[error("`{0}` is not a count or a sum, so it cannot be made to add up: name counts and sums")]
    NotASum(String),
    /// A figure that is no share.
    #[error(
        "`{0}` is no share: name a figure that divides one count or sum by another, or keep it from falling below 0 (`--non-negative`)"
    )]
    NotAShare(String),
    /// A total in other words.
    #[error(
        "`{0}` is no total: write it as `total=part+part`, with the headings of counts and sums"
    )]
    TotalWords(String),
    /// A total without parts, or a figure twice in it.
    #[error("the total `{0}` has no parts, or names a figure twice: name each part once")]
    Parts(String),
    /// The answer does not serialise.
    #[error("the answer cannot be written as JSON: show it as text")]
    Json,
}

/// The report at 95 % confidence. Errors as [`report_at`].
pub fn report(shape: &OutputShape, combined: &Combined) -> Result<Report, ReportError> {
    report_at(shape, combined, Confidence::DEFAULT)
}

/// The report of `combined` lanes under `shape`. Errors when the shape is unusable or oversized, or
/// the sums were made for another one.
pub fn report_at(
    shape: &OutputShape,
    combined: &Combined,
    confidence: Confidence,
) -> Result<Report, ReportError> {
    report_with(shape, combined, &ReportOptions { confidence, adjustments: Vec::new() })
}

/// The report with free post-processing on request. Errors as [`report_at`], and on adjustments of
/// figures that are not there.
pub fn report_with(
    shape: &OutputShape,
    combined: &Combined,
    options: &ReportOptions,
) -> Result<Report, ReportError> {
    let shape = &combined.shape_of(shape);
    let confidence = options.confidence;
    let cells = check(shape, combined)?;
    let across = Across::new(shape);
    let lanes = across.errors(shape, combined.nodes().len(), &[], confidence)?;
    let found = cells.saturating_mul(across.sums_a_row().saturating_add(1));
    if found > FIGURES_MAX {
        return Err(ReportError::Figures { found });
    }
    let sums = across.sums(shape, combined, cells);
    let mut by_copies: BTreeMap<Vec<usize>, Prepared> = BTreeMap::new();
    let columns: Vec<Heading> = shape.columns.iter().map(|c| heading(shape, c)).collect();
    let mut rows: Vec<Placed> = Vec::new();
    for cell in 0..cells {
        let Some(behind) = combined.behind(cell) else { continue };
        let others = sums.others(combined, cell, behind);
        // Partners may hold keys of their own: noise is that of those who stand behind the cell.
        let mut copies = vec![behind.answered.max(1)];
        copies.extend(others.iter().map(|sum| sum.copies));
        if by_copies.len() > PREPARED_MAX {
            by_copies.clear();
        }
        let prepared = match by_copies.entry(copies) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let prepared = Prepared::new(shape, &across, new.key(), confidence)?;
                new.insert(prepared)
            }
        };
        rows.extend(placed(shape, combined, prepared, cell, (behind, &others)));
    }
    let notes = shape.lanes.iter().zip(&lanes).map(|(lane, error)| error.note(lane)).collect();
    let all = rows.len();
    let mut report = Report {
        confidence: confidence.value(),
        partners: combined.nodes().to_vec(),
        asked: combined.asked(),
        partial: combined.is_partial(),
        keys: shape.keys.iter().map(|key| key.name.clone()).collect(),
        columns,
        rows: chosen(&shape.recipe, rows),
        left_out: 0,
        shown_from: shape.key_threshold().map(|threshold| threshold.people),
        diagnostics: people(shape, combined, confidence)?,
        adjusted: Vec::new(),
        notes: Vec::new(),
        lanes: notes,
        sizes: shape.keys.iter().map(|key| key.values.len()).collect(),
        is_ordered: !shape.recipe.order.is_empty() || shape.private_keys.is_some(),
    };
    report.left_out = all.saturating_sub(report.rows.len()) as u64;
    adjust(&mut report, shape, &lanes, options)?;
    report.notes = notes_on_rows(&report);
    Ok(report)
}

/// Everything that all rows with as many partners behind them, and behind what they are divided by, share.
struct Prepared {
    errors: Vec<LaneError>,
    figures: Vec<Figure>,
    choice: Choice,
}

impl Prepared {
    fn new(
        shape: &OutputShape,
        across: &Across,
        copies: &[usize],
        confidence: Confidence,
    ) -> Result<Self, ReportError> {
        let (own, others) = copies.split_first().unwrap_or((&1, &[]));
        let errors = across.errors(shape, *own, others, confidence)?;
        let figure =
            |formula: &Formula| Figure::new(&across.in_row(formula, others), &errors, confidence);
        let figures = shape.columns.iter().map(|column| figure(&column.formula)).collect();
        let choice = Choice::new(&shape.recipe, &figure);
        Ok(Self { figures, choice, errors })
    }
}

impl Report {
    /// The report as indented JSON. Characters that steer terminals are written as `\u` escapes, so
    /// that printing it is safe and reading it back gives the same text.
    pub fn to_json(&self) -> Result<String, ReportError> {
        let json = serde_json::to_string_pretty(self).map_err(|_| ReportError::Json)?;
        Ok(crate::escape::json_printable(&json))
    }

    /// The rows that a partner who answered stands behind; people are shown these alone. JSON and CSV have the
    /// others, too: a public key is never silently missing.
    pub(crate) fn rows_with_partners(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.behind.answered > 0)
    }

    /// Headings of the figures, in the order of [`Row::figures`].
    pub(crate) fn figure_headings(&self) -> impl Iterator<Item = &Heading> {
        self.columns.iter().filter(|column| !matches!(column.kind, HeadingKind::Key(_)))
    }
}

impl Heading {
    /// The finest decimal place of figures below it, where they are whole or rounded: 0 for whole numbers, -1
    /// for tenths.
    pub(crate) fn finest_place(&self) -> Option<i32> {
        match self.kind {
            HeadingKind::Total { whole: true } => Some(0),
            _ => self.digits.map(|digits| -i32::from(digits)),
        }
    }
}

fn check(shape: &OutputShape, combined: &Combined) -> Result<u64, ReportError> {
    shape.check()?;
    let (found, expected) = (combined.lanes().len(), shape.vector_len()?);
    if found != expected || combined.lanes_a_cell() != shape.lanes.len() {
        return Err(ReportError::Mismatch { found, expected });
    }
    check_columns(shape)?;
    Ok(shape.cells()?)
}

/// Checks the number of columns.
pub(crate) fn check_columns(shape: &OutputShape) -> Result<(), ReportError> {
    let found = shape.columns.len();
    if (1..=COLUMNS_SHOWN_MAX).contains(&found) {
        Ok(())
    } else {
        Err(ReportError::Columns { found })
    }
}

fn heading(shape: &OutputShape, column: &ResultColumn) -> Heading {
    let kind = match &column.formula {
        Formula::Key { dimension } => HeadingKind::Key(*dimension as usize),
        Formula::Total { lane } | Formula::Across { lane, .. } => {
            let whole = shape.lanes.get(*lane as usize).is_some_and(|lane| lane.grid_bits == 0);
            HeadingKind::Total { whole }
        }
        Formula::Distinct { .. } => HeadingKind::Total { whole: true },
        Formula::Ratio { .. } => HeadingKind::Ratio,
        _ => HeadingKind::Computed,
    };
    let digits = match &column.formula {
        Formula::Call { function: FigureFunction::Round { digits }, .. } => Some(*digits),
        _ => None,
    };
    let not_included = not_included(&column.formula);
    Heading { name: column.name.clone(), kind, not_included, digits }
}

/// One row with its place in the order asked for; `None` when there is no such cell.
fn placed(
    shape: &OutputShape,
    combined: &Combined,
    prepared: &Prepared,
    cell: u64,
    (behind, others): (Behind, &[Sum]),
) -> Option<Placed> {
    let Prepared { errors, figures, choice } = prepared;
    // A cell without a partner has no figure, never a zero.
    let steps = |index: u32| {
        let own = combined.lane(cell, index);
        let other = || others.get((index as usize).checked_sub(shape.lanes.len())?)?.steps;
        own.or_else(other).filter(|_| behind.answered > 0)
    };
    let row = Row {
        keys: shape.key_of(cell)?.into_iter().cloned().collect(),
        // Lanes may cancel out: what nobody answered for is no figure all the same.
        figures: figures
            .iter()
            .filter_map(|figure| figure.cell(errors, &steps))
            .map(|cell| if behind.answered > 0 { cell } else { Cell::TooNoisy(None) })
            .collect(),
        behind,
    };
    Some(choice.place(row, errors, &steps))
}

/// Keys as plain JSON values; integers beyond 2^53 as text, since readers round them; times as text.
fn plain_keys<S: Serializer>(keys: &[KeyValue], to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Plain<'a> {
        Text(&'a str),
        Int(i64),
        Long(String),
        Bool(bool),
    }
    to.collect_seq(keys.iter().map(|key| match key {
        KeyValue::Text(text) => Plain::Text(text),
        KeyValue::Int(int) if int.unsigned_abs() <= 1 << 53 => Plain::Int(*int),
        KeyValue::Int(int) => Plain::Long(int.to_string()),
        KeyValue::Bool(bool) => Plain::Bool(*bool),
        KeyValue::Timestamp(_) => Plain::Long(key.to_string()),
    }))
}
