//! The answer: one row a cell, one figure a result column, each with its interval and the partners
//! behind it. What is mostly noise is marked so; nothing here sorts, drops or fills in rows.

use crate::cell::Cell;
use crate::combine::{Behind, Combined};
use crate::quantile::{Confidence, NoiseError, NoiseSum};
use crate::ratio::{Measured, fieller};
use cloister_terms::shape::ShapeError;
use cloister_terms::{Formula, KeyValue, LaneShape, Name, OutputShape, ResultColumn};
use serde::{Serialize, Serializer};

/// Most columns of an answer.
pub(crate) const COLUMNS_SHOWN_MAX: usize = 256;
/// Most figures of an answer, over all rows.
pub(crate) const FIGURES_MAX: u64 = 8_000_000;
/// Whole numbers up to this size are exact as floats.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

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
    /// Rows, last key dimension fastest.
    pub rows: Vec<Row>,
    /// The lanes behind the figures, for experts.
    pub lanes: Vec<LaneNote>,
    /// Sizes of the key dimensions.
    #[serde(skip)]
    pub(crate) sizes: Vec<usize>,
}

/// One column of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Heading {
    /// Its heading, as written by the researcher: untrusted text.
    pub name: String,
    /// What stands below it.
    pub kind: HeadingKind,
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
        "a matrix needs 2 keys and 1 figure, this answer has {keys} and {figures}: show it as a table"
    )]
    NotAMatrix {
        /// Key dimensions found.
        keys: usize,
        /// Figures found.
        figures: usize,
    },
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
    let cells = check(shape, combined)?;
    let copies = combined.nodes().len();
    let lanes = shape
        .lanes
        .iter()
        .map(|lane| LaneError::new(lane, copies, confidence))
        .collect::<Result<Vec<_>, _>>()?;
    let columns: Vec<Heading> = shape.columns.iter().map(|c| heading(shape, c)).collect();
    let rows = (0..cells).filter_map(|cell| row(shape, combined, &lanes, cell)).collect();
    let notes = shape.lanes.iter().zip(&lanes).map(|(lane, error)| error.note(lane)).collect();
    Ok(Report {
        confidence: confidence.value(),
        partners: combined.nodes().to_vec(),
        asked: combined.asked(),
        partial: combined.is_partial(),
        keys: shape.keys.iter().map(|key| key.name.clone()).collect(),
        columns,
        rows,
        lanes: notes,
        sizes: shape.keys.iter().map(|key| key.values.len()).collect(),
    })
}

impl Report {
    /// The report as indented JSON. Characters that steer terminals are written as `\u` escapes, so
    /// that printing it is safe and reading it back gives the same text.
    pub fn to_json(&self) -> Result<String, ReportError> {
        let json = serde_json::to_string_pretty(self).map_err(|_| ReportError::Json)?;
        Ok(crate::escape::json_printable(&json))
    }

    /// Headings of the figures, in the order of [`Row::figures`].
    pub(crate) fn figure_headings(&self) -> impl Iterator<Item = &Heading> {
        self.columns.iter().filter(|column| !matches!(column.kind, HeadingKind::Key(_)))
    }
}

impl Heading {
    /// Whether figures below it are whole numbers.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.kind, HeadingKind::Total { whole: true })
    }
}

/// Error of one combined lane, in units.
pub(crate) struct LaneError {
    unit: f64,
    deviation: f64,
    /// Half-width of an interval.
    pub(crate) half_width: f64,
    factor: f64,
}

impl LaneError {
    /// For `copies` partners' noise on `lane`.
    pub(crate) fn new(
        lane: &LaneShape,
        copies: usize,
        confidence: Confidence,
    ) -> Result<Self, NoiseError> {
        let sum = NoiseSum::new(lane.noise, copies)?;
        let unit = 2f64.powi(-i32::from(lane.grid_bits));
        Ok(Self {
            unit,
            deviation: sum.standard_deviation_steps() * unit,
            half_width: sum.half_width_steps(confidence) * unit,
            factor: sum.factor(confidence),
        })
    }

    fn note(&self, lane: &LaneShape) -> LaneNote {
        let noise = match lane.noise {
            cloister_terms::Noise::DiscreteLaplace { scale } => {
                format!("discrete Laplace, scale {scale} steps")
            }
            cloister_terms::Noise::DiscreteGaussian { sigma_sq } => {
                format!("discrete Gaussian, sigma^2 {sigma_sq} steps^2")
            }
        };
        LaneNote {
            name: lane.name.clone(),
            noise,
            grid_bits: lane.grid_bits,
            deviation: self.deviation,
            plus_minus: self.half_width,
        }
    }

    fn measured(&self, steps: i128) -> Measured {
        Measured { value: steps as f64 * self.unit, deviation: self.deviation }
    }

    fn total(&self, steps: i128) -> Cell {
        let value = steps as f64 * self.unit;
        // Beyond 2^53 steps the float itself is off by up to half a unit in the last place.
        let inexact = (steps as f64).abs() > EXACT_MAX;
        let rounding = if inexact { value.abs() * f64::EPSILON } else { 0.0 };
        Cell::total(value, self.half_width + rounding)
    }
}

fn check(shape: &OutputShape, combined: &Combined) -> Result<u64, ReportError> {
    shape.check()?;
    let (found, expected) = (combined.lanes().len(), shape.vector_len()?);
    if found != expected || combined.lanes_a_cell() != shape.lanes.len() {
        return Err(ReportError::Mismatch { found, expected });
    }
    check_columns(shape)?;
    let cells = shape.cells()?;
    let found = cells.saturating_mul(shape.columns.len() as u64);
    if found > FIGURES_MAX {
        return Err(ReportError::Figures { found });
    }
    Ok(cells)
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
    let kind = match column.formula {
        Formula::Key { dimension } => HeadingKind::Key(dimension as usize),
        Formula::Total { lane } => {
            let whole = shape.lanes.get(lane as usize).is_some_and(|lane| lane.grid_bits == 0);
            HeadingKind::Total { whole }
        }
        Formula::Ratio { .. } => HeadingKind::Ratio,
    };
    Heading { name: column.name.clone(), kind }
}

fn row(shape: &OutputShape, combined: &Combined, lanes: &[LaneError], cell: u64) -> Option<Row> {
    let figure = |column: &ResultColumn| {
        // `check` has seen every formula's lanes; a missing one still is no figure, never a zero.
        let lane = |index: u32| Some((lanes.get(index as usize)?, combined.lane(cell, index)?));
        match column.formula {
            Formula::Key { .. } => None,
            Formula::Total { lane: index } => {
                Some(lane(index).map_or(Cell::TooNoisy(None), |(error, steps)| error.total(steps)))
            }
            Formula::Ratio { numerator, denominator } => {
                let (above, below) = (lane(numerator), lane(denominator));
                let same = numerator == denominator;
                let both = above.zip(below);
                Some(both.map_or(Cell::TooNoisy(None), |(above, below)| divide(above, below, same)))
            }
        }
    };
    Some(Row {
        keys: shape.key_of(cell)?.into_iter().cloned().collect(),
        figures: shape.columns.iter().filter_map(figure).collect(),
        behind: combined.behind(cell)?,
    })
}

fn divide(above: (&LaneError, i128), below: (&LaneError, i128), same: bool) -> Cell {
    let (numerator, denominator) = (above.0.measured(above.1), below.0.measured(below.1));
    let factor = above.0.factor.max(below.0.factor);
    if same {
        // One draw of noise stands on both: the ratio is 1 whatever it was, if it is defined.
        let exact = Measured { deviation: 0.0, ..numerator };
        let defined = !fieller(numerator, denominator, factor).is_too_noisy();
        return if defined { fieller(exact, exact, 0.0) } else { Cell::TooNoisy(None) };
    }
    fieller(numerator, denominator, factor)
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
