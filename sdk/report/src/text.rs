//! The answer as a table for people: value, error, interval, partners. It shows no more digits than
//! the error supports, and no word of the machinery unless asked.

use crate::aligned::{TextColumn, cut, line_width, render};
use crate::cell::{Cell, TOO_NOISY};
use crate::digits::{Shown, error_text, exact_text};
use crate::escape::printable;
use crate::keys::key_text;
use crate::people::people_text;
use crate::table::{Heading, HeadingKind, Report, Row};

/// Widest key or heading in a table, in terminal cells; JSON and CSV have it whole.
pub(crate) const WORDS_WIDTH_MAX: usize = 48;
/// Narrowest table that is attempted, in terminal cells.
pub(crate) const WIDTH_MIN: usize = 40;

/// Heading of standard errors, which stand beside ± on request.
const STANDARD_ERROR: &str = "std. error";

/// How an answer is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextOptions {
    /// Terminal width, in cells.
    pub width: usize,
    /// Whether bars follow the table.
    pub plot: bool,
    /// The column to draw, by its heading; the first figure without.
    pub plot_column: Option<String>,
    /// Whether standard errors, lanes, grids and the numbers of noisy cells are shown.
    pub verbose: bool,
}

/// Which parts of a figure have a column.
#[derive(Clone, Copy, PartialEq)]
enum Layout {
    Full,
    WithoutInterval,
    /// A line a figure, instead of columns a figure.
    Stacked,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { width: 100, plot: false, plot_column: None, verbose: false }
    }
}

impl Report {
    /// The table, then bars if asked for, then what the reader must know. Where all columns do not
    /// fit, intervals are left out; where even that does not fit, every figure gets a line.
    pub fn to_text(&self, options: &TextOptions) -> String {
        let width = options.width.max(WIDTH_MIN);
        let layouts = [Layout::Full, Layout::WithoutInterval, Layout::Stacked];
        let mut columns = Vec::new();
        for layout in layouts {
            columns = self.text_columns(layout, options.verbose);
            if line_width(&columns) <= width {
                break;
            }
        }
        let mut out = String::new();
        render(&columns.iter().collect::<Vec<_>>(), &mut out);
        // Without a row there is nothing to draw, and the notes say why.
        if options.plot && self.rows_with_partners().next().is_some() {
            out.push('\n');
            self.plot(options, &mut out);
        }
        self.notes(options.verbose, &mut out);
        out
    }

    fn text_columns(&self, layout: Layout, verbose: bool) -> Vec<TextColumn> {
        if layout == Layout::Stacked {
            return self.stacked_columns(verbose);
        }
        let mut columns = Vec::new();
        let mut place = 0;
        for heading in &self.columns {
            if let HeadingKind::Key(dimension) = heading.kind {
                columns.push(self.key_column(heading, dimension));
                continue;
            }
            let rows = self.rows_with_partners();
            let texts = rows.map(|row| figure_texts(row, place, heading, verbose));
            let (values, errors, intervals) = unzip(texts);
            columns.push(TextColumn::numbers(shown_name(&heading.name), values));
            columns.push(TextColumn::numbers("±", errors));
            if verbose {
                let rows = self.rows_with_partners();
                let errors = rows.map(|row| standard_error_text(row, place)).collect();
                columns.push(TextColumn::numbers(STANDARD_ERROR, errors));
            }
            if layout == Layout::Full {
                columns.push(TextColumn::numbers(self.interval_heading(), intervals));
            }
            place += 1;
        }
        let partners = self.rows_with_partners().map(|row| row.behind.to_string()).collect();
        columns.push(TextColumn::words("partners", partners));
        columns
    }

    fn stacked_columns(&self, verbose: bool) -> Vec<TextColumn> {
        let headings: Vec<&Heading> = self.figure_headings().collect();
        let lines = headings.len().max(1);
        let mut columns = Vec::new();
        for heading in &self.columns {
            if let HeadingKind::Key(dimension) = heading.kind {
                let mut column = self.key_column(heading, dimension);
                column.entries = column
                    .entries
                    .into_iter()
                    .flat_map(|e| std::iter::repeat_n(e, lines))
                    .collect();
                columns.push(column);
            }
        }
        let (mut names, mut texts, mut partners) = (Vec::new(), Vec::new(), Vec::new());
        let mut standard_errors = Vec::new();
        for row in self.rows_with_partners() {
            for (place, heading) in headings.iter().enumerate() {
                names.push(shown_name(&heading.name));
                texts.push(figure_texts(row, place, heading, verbose));
                standard_errors.push(standard_error_text(row, place));
                partners.push(row.behind.to_string());
            }
        }
        let (values, errors, intervals) = unzip(texts.into_iter());
        columns.push(TextColumn::words("figure", names));
        columns.push(TextColumn::numbers("value", values));
        columns.push(TextColumn::numbers("±", errors));
        if verbose {
            columns.push(TextColumn::numbers(STANDARD_ERROR, standard_errors));
        }
        columns.push(TextColumn::numbers(self.interval_heading(), intervals));
        columns.push(TextColumn::words("partners", partners));
        columns
    }

    fn key_column(&self, heading: &Heading, dimension: usize) -> TextColumn {
        let clocks = self.clocks();
        let rows = self.rows_with_partners();
        let entries = rows.map(|row| shown_key(row, dimension, &clocks)).collect();
        TextColumn::words(shown_name(&heading.name), entries)
    }

    fn interval_heading(&self) -> String {
        format!("{} % interval", self.confidence_percent())
    }

    pub(crate) fn confidence_percent(&self) -> f64 {
        // 0.95 * 100 is not quite 95 in floats.
        (self.confidence * 1e6).round() / 1e4
    }

    /// What stands below every table: what an interval is, who is missing, what noisy means.
    pub(crate) fn notes(&self, verbose: bool, out: &mut String) {
        let percent = self.confidence_percent();
        out.push_str(&format!(
            "\n± and intervals: {percent} of 100 hold the figure as it stands without the noise that protects people.\n"
        ));
        if self.rows_with_partners().any(|row| row.figures.iter().any(Cell::is_too_noisy)) {
            out.push_str(&format!("{TOO_NOISY}: the noise may be larger than the figure.\n"));
        }
        for words in &self.notes {
            out.push_str(&format!("{words}.\n"));
        }
        let mut left_out: Vec<&str> = Vec::new();
        for words in self.columns.iter().flat_map(|column| &column.not_included) {
            if !left_out.contains(words) {
                left_out.push(words);
            }
        }
        if !left_out.is_empty() {
            out.push_str(&format!("not in ±: {}.\n", left_out.join("; ")));
        }
        for words in &self.adjusted {
            out.push_str(&format!("on request: {}.\n", printable(words)));
        }
        if self.left_out > 0 {
            let (count, rows) = (self.left_out, if self.left_out == 1 { "row" } else { "rows" });
            out.push_str(&format!(
                "{count} {rows} not shown: the question chooses rows of the noised answer.\n"
            ));
        }
        out.push_str(&people_text(&self.diagnostics));
        if let Some(people) = self.shown_from {
            if self.rows.is_empty() {
                out.push_str("no group has enough people to be shown.\n");
            }
            out.push_str(&format!(
                "private groups: a partner shows a group from {people} people on, counted with noise. Partners missing from a row have fewer there, or did not answer; figures near {people} people lean high.\n"
            ));
        }
        if self.partial {
            let answered = self.partners.len();
            let asked = self.asked;
            out.push_str(&format!(
                "partial: {answered} of {asked} partners answered; the figures are theirs alone.\n"
            ));
        }
        if verbose {
            for lane in &self.lanes {
                out.push_str(&format!(
                    "lane `{}`: {}, grid 2^-{}, combined ± {}\n",
                    shown_name(&lane.name),
                    lane.noise,
                    lane.grid_bits,
                    error_text(lane.plus_minus),
                ));
            }
        }
    }
}

/// A heading, printable and cut.
pub(crate) fn shown_name(name: &str) -> String {
    cut(&printable(name), WORDS_WIDTH_MAX)
}

/// A row's key, printable and cut; empty where there is none. `clocks` as [`Report::clocks`] has them.
pub(crate) fn shown_key(row: &Row, dimension: usize, clocks: &[bool]) -> String {
    let has_clock = clocks.get(dimension).copied().unwrap_or(false);
    row.keys.get(dimension).map_or_else(String::new, |key| shown_name(&key_text(key, has_clock)))
}

/// `1,750 ± 24`, no finer than a decimal place, or that it is too noisy.
pub(crate) fn figure_text(cell: Option<&Cell>, finest: Option<i32>) -> String {
    match cell {
        Some(Cell::Said(estimate)) => Shown::new(estimate, finest).with_error(),
        Some(Cell::Otherwise(value)) => exact_text(*value, finest),
        Some(Cell::TooNoisy(_)) | None => TOO_NOISY.to_owned(),
    }
}

fn figure_texts(
    row: &Row,
    place: usize,
    heading: &Heading,
    verbose: bool,
) -> (String, String, String) {
    let finest = heading.finest_place();
    match row.figures.get(place) {
        Some(Cell::Said(estimate)) => {
            let shown = Shown::new(estimate, finest);
            let interval = format!("{} to {}", shown.low, shown.high);
            (shown.value, shown.plus_minus, interval)
        }
        Some(Cell::Otherwise(value)) => (exact_text(*value, finest), String::new(), String::new()),
        Some(Cell::TooNoisy(Some(estimate))) if verbose => {
            let shown = Shown::new(estimate, finest);
            let interval = format!("{} to {}", shown.low, shown.high);
            (format!("{TOO_NOISY} ({})", shown.value), shown.plus_minus, interval)
        }
        Some(Cell::TooNoisy(_)) | None => (TOO_NOISY.to_owned(), String::new(), String::new()),
    }
}

/// Empty where it is not defined, or the figure is too noisy to say.
fn standard_error_text(row: &Row, place: usize) -> String {
    let said = row.figures.get(place).filter(|cell| !cell.is_too_noisy());
    let error = said.and_then(Cell::estimate).and_then(|estimate| estimate.standard_error);
    error.map(error_text).unwrap_or_default()
}

fn unzip(
    texts: impl Iterator<Item = (String, String, String)>,
) -> (Vec<String>, Vec<String>, Vec<String>) {
    let (mut values, mut errors, mut intervals) = (Vec::new(), Vec::new(), Vec::new());
    for (value, error, interval) in texts {
        values.push(value);
        errors.push(error);
        intervals.push(interval);
    }
    (values, errors, intervals)
}
