//! Combined lanes and an approved shape become an answer with error bars, in words a reader
//! understands. Everything here is post-processing of what was already released: this crate never
//! reads a record, never draws noise, never decides a charge, and lets no NaN or infinity out.

/// Sums over several rows of the answer.
mod across;
/// Free post-processing of figures, on request.
mod adjust;
/// Columns of text, lined up.
mod aligned;
/// One figure of the answer: said with its error, or too noisy.
mod cell;
/// Lanes of several nodes, added up with checked integers.
mod combine;
/// Figures computed from parts with intervals of their own.
mod computed;
/// The answer as CSV.
mod csv;
/// Numbers rounded to what their error supports.
mod digits;
/// Untrusted text made safe for terminals and spreadsheets.
mod escape;
/// What the answer's error will be, before anything is spent.
mod expected;
/// From a formula to figures with intervals.
mod figure;
/// Quantiles and distinct values from counts.
mod histogram;
/// Arithmetic that never loses a point.
mod interval;
/// Keys in words.
mod keys;
/// The error of lanes, alone and in weighted sums.
mod lane_error;
/// The exact tail of a sum of continuous Laplace draws.
mod laplace;
/// Exact quantiles of integer noise, from its characteristic function.
mod lattice;
/// Formulas that are sums of lanes, or one divided by another.
mod linear;
/// The answer as a grid of rows by columns.
mod matrix;
/// What a privacy loss means, in plain words.
mod meaning;
/// The error function and the normal quantile.
mod normal;
/// What an interval does not include.
mod not_included;
/// Diagnostics as figures.
mod people;
/// The answer as bars in a terminal.
mod plot;
/// Half-widths and standard deviations of summed noise.
mod quantile;
/// Intervals of one lane divided by another.
mod ratio;
/// Which rows are shown, and in which order.
mod rows;
/// Variances, correlations and products over a box of lanes.
mod statistics;
/// The answer as rows with intervals.
mod table;
/// The answer as a table for people.
mod text;
/// Errors in a cell that holds what cells are taken to hold.
mod typical;

pub use adjust::{Adjustment, ReportOptions};
pub use cell::{Cell, Estimate};
pub use combine::{Behind, CombineError, Combined};
pub use escape::printable;
pub use expected::{Accuracy, Expected, expected_in, expected_plus_minus};
pub use meaning::{DELTA_STATED, Meaning, approximate_epsilon, meaning, zcdp_loss_bound};
pub use people::PeopleFigure;
pub use quantile::{Confidence, NoiseError, NoiseSum, NotAConfidence};
pub use ratio::{Measured, fieller};
pub use table::{
    Heading, HeadingKind, LaneNote, Report, ReportError, Row, report, report_at, report_with,
};
pub use text::TextOptions;
pub use typical::{Typical, TypicalCell, TypicalLane};
