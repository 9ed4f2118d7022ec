//! An answer with two keys as a grid: from where to where. Same figures, same rounding, same words
//! as the table; where the columns do not fit, the grid is folded.

use crate::aligned::{TextColumn, cut, line_width, render};
use crate::cell::Cell;
use crate::table::{Heading, Report, ReportError, Row};
use crate::text::{TextOptions, WIDTH_MIN, figure_text, shown_key, shown_name};

/// What a noisy cell says in a grid.
const NOISY: &str = "too noisy";
/// What a cell says that no partner who answered holds.
const NOBODY: &str = "none";
/// Widest heading of a grid's column.
const HEADING_WIDTH_MAX: usize = 24;

impl Report {
    /// The grid of an answer with exactly two key dimensions and one figure, all rows in their own order:
    /// the first key down, the second across. Errors for any other answer.
    pub fn to_matrix_text(&self, options: &TextOptions) -> Result<String, ReportError> {
        let figures: Vec<&Heading> = self.figure_headings().collect();
        let not = ReportError::NotAMatrix { keys: self.keys.len(), figures: figures.len() };
        let ([heading], [down, across]) = (figures.as_slice(), self.keys.as_slice()) else {
            return Err(not);
        };
        let Some(across_size) = self.sizes.get(1).copied().filter(|size| *size > 0) else {
            return Err(not);
        };
        // A question that chooses or orders rows leaves no grid.
        if self.is_ordered || self.left_out > 0 {
            return Err(not);
        }
        let lines: Vec<_> = self.rows.chunks(across_size).collect();
        let clocks = self.clocks();
        let label =
            |row: &[Row]| row.first().map_or_else(String::new, |r| shown_key(r, 0, &clocks));
        let corner = format!("{} \\ {}", shown_name(down), shown_name(across));
        let labels = TextColumn::words(corner, lines.iter().map(|line| label(line)).collect());
        let columns: Vec<TextColumn> = (0..across_size)
            .map(|place| {
                let cells = lines.iter().map(|line| line.get(place));
                let entries = cells.map(|row| entry(row, heading));
                let first = lines.first().and_then(|line| line.get(place));
                let name = first.map_or_else(String::new, |row| shown_key(row, 1, &clocks));
                TextColumn::numbers(cut(&name, HEADING_WIDTH_MAX), entries.collect())
            })
            .collect();
        let mut out =
            format!("{}, ± at {} %\n", shown_name(&heading.name), self.confidence_percent());
        fold(&labels, &columns, options.width.max(WIDTH_MIN), &mut out);
        self.notes(options.verbose, &mut out);
        Ok(out)
    }
}

fn entry(row: Option<&Row>, heading: &Heading) -> String {
    if row.is_some_and(|row| row.behind.answered == 0) {
        return NOBODY.to_owned();
    }
    let cell = row.and_then(|row| row.figures.first());
    match cell {
        Some(Cell::Said(_) | Cell::Otherwise(_)) => figure_text(cell, heading.finest_place()),
        Some(Cell::TooNoisy(_)) | None => NOISY.to_owned(),
    }
}

/// Renders blocks of as many columns as fit beside the labels, at least one each.
fn fold(labels: &TextColumn, columns: &[TextColumn], width: usize, out: &mut String) {
    let label_width = line_width(std::slice::from_ref(labels));
    let mut block: Vec<&TextColumn> = vec![labels];
    let mut used = label_width;
    for column in columns {
        let wider = used + 2 + column.width();
        if wider > width && block.len() > 1 {
            render(&block, out);
            out.push('\n');
            block = vec![labels];
            used = label_width;
        }
        used += 2 + column.width();
        block.push(column);
    }
    render(&block, out);
}
