//! Bars in a terminal: one a row, from zero to the figure, with the interval's ends marked. A bar is
//! drawn only where the figure is said; noise gets words.

use crate::aligned::{cut, pad, terminal_width};
use crate::cell::{Cell, Estimate, TOO_NOISY};
use crate::escape::printable;
use crate::table::{Heading, HeadingKind, Report, Row};
use crate::text::{TextOptions, WIDTH_MIN, figure_text, shown_key, shown_name};

/// Narrowest bar area, in terminal cells.
const BAR_WIDTH_MIN: usize = 10;
/// Bars of an eighth to seven eighths of a cell.
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

impl Report {
    /// Appends the bars of one figure, or a line that says why there are none.
    pub(crate) fn plot(&self, options: &TextOptions, out: &mut String) {
        let chosen = options.plot_column.as_deref();
        let mut figures = self.figure_headings().enumerate();
        let found = figures.find(|(_, heading)| chosen.is_none_or(|name| heading.name == name));
        let Some((place, heading)) = found else {
            let name =
                chosen.map_or_else(String::new, |name| format!(" called `{}`", printable(name)));
            out.push_str(&format!("no bars: the answer has no figure{name}\n"));
            return;
        };
        let bars = self.rows_with_partners().filter_map(|row| said(row, place));
        let (low, high) =
            bars.fold((0f64, 0f64), |(low, high), e| (low.min(e.low), high.max(e.high)));
        let clocks = self.clocks();
        let labels = self.rows_with_partners().map(|row| self.label(row, &clocks));
        let labels: Vec<String> = labels.collect();
        let figures: Vec<String> = self
            .rows_with_partners()
            .map(|row| figure_text(row.figures.get(place), heading.finest_place()))
            .collect();
        let widest = |texts: &[String]| texts.iter().map(|t| terminal_width(t)).max().unwrap_or(0);
        let width = options.width.max(WIDTH_MIN);
        let label_width = widest(&labels).min(width / 3);
        let figure_width = widest(&figures);
        let taken = label_width + figure_width + 4;
        let scale = Scale { low, high, cells: width.saturating_sub(taken).max(BAR_WIDTH_MIN) };
        out.push_str(&title(heading));
        for ((row, label), figure) in self.rows_with_partners().zip(&labels).zip(&figures) {
            let bar = said(row, place).map_or_else(String::new, |estimate| scale.bar(estimate));
            let label = pad(&cut(label, label_width), label_width, false);
            let bar = pad(&bar, scale.cells, false);
            let line = format!("{label}  {bar}  {}", pad(figure, figure_width, true));
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }

    fn label(&self, row: &Row, clocks: &[bool]) -> String {
        let keys = self.columns.iter().filter_map(|column| match column.kind {
            HeadingKind::Key(dimension) => Some(shown_key(row, dimension, clocks)),
            HeadingKind::Total { .. } | HeadingKind::Ratio | HeadingKind::Computed => None,
        });
        keys.collect::<Vec<_>>().join(" · ")
    }
}

fn title(heading: &Heading) -> String {
    format!("{} (├ ┤: interval; no bar: {TOO_NOISY})\n", shown_name(&heading.name))
}

fn said(row: &Row, place: usize) -> Option<&Estimate> {
    match row.figures.get(place)? {
        Cell::Said(estimate) => Some(estimate),
        Cell::TooNoisy(_) | Cell::Otherwise(_) => None,
    }
}

/// The line that bars are drawn on.
struct Scale {
    /// The lowest number on it, at most 0.
    low: f64,
    /// The highest number on it, at least 0.
    high: f64,
    cells: usize,
}

impl Scale {
    /// Where a number stands, in cells from the left.
    fn at(&self, number: f64) -> f64 {
        // Halved, so that the width of two extreme ends stays finite.
        let width = self.high / 2.0 - self.low / 2.0;
        let share = if width > 0.0 { (number / 2.0 - self.low / 2.0) / width } else { 0.0 };
        share.clamp(0.0, 1.0) * self.cells as f64
    }

    /// The cell in which a number stands.
    fn cell(&self, number: f64) -> usize {
        (self.at(number).floor() as usize).min(self.cells.saturating_sub(1))
    }

    fn bar(&self, estimate: &Estimate) -> String {
        let zero = self.at(0.0);
        let (from, to) = (zero.min(self.at(estimate.value)), zero.max(self.at(estimate.value)));
        let (low, high) = (self.cell(estimate.low), self.cell(estimate.high));
        let mark = |cell: usize| {
            if estimate.plus_minus <= 0.0 {
                None
            } else if cell == low && cell == high {
                Some('│')
            } else if cell == low {
                Some('├')
            } else if cell == high {
                Some('┤')
            } else {
                None
            }
        };
        let drawn = (0..self.cells).map(|cell| {
            let fill = fill(from, to, cell as f64);
            let whisker = (low..=high).contains(&cell) && estimate.plus_minus > 0.0;
            mark(cell).unwrap_or(match fill {
                ' ' if whisker => '─',
                fill => fill,
            })
        });
        drawn.collect::<String>().trim_end().to_owned()
    }
}

/// What a bar from `from` to `to` shows in one cell; a partial cell at its left end counts from the
/// middle, since there are no blocks that fill from the right.
fn fill(from: f64, to: f64, cell: f64) -> char {
    let (start, end) = (from.max(cell), to.min(cell + 1.0));
    let share = (end - start).max(0.0);
    let eighths = (share * 8.0).round() as usize;
    if from > cell {
        return if eighths >= 4 { '█' } else { ' ' };
    }
    EIGHTHS.get(eighths).copied().unwrap_or('█')
}
