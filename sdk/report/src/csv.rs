//! The answer as CSV (RFC 4180, with plain line feeds): full precision, no thousands separators,
//! empty fields where nothing is defined, and no field that a spreadsheet would run.

use crate::cell::Cell;
use crate::escape::csv_text;
use crate::keys::key_text;
use crate::table::{HeadingKind, Report, Row};
use cloister_terms::KeyValue;

impl Report {
    /// A heading line and one line a row. A figure `x` takes the fields `x`, `x_standard_error` (empty where
    /// it is not defined), `x_plus_minus`, `x_low`, `x_high` and `x_too_noisy`; `partners_answered` and `partners_asked` close each line. Where figures
    /// were adjusted on request, a last field `adjusted` says in each line how. Diagnostics are of the whole
    /// answer and in no line: JSON has them.
    pub fn to_csv(&self) -> String {
        let mut out = String::new();
        let mut heading = Vec::new();
        for column in &self.columns {
            heading.push(csv_text(&column.name));
            if !matches!(column.kind, HeadingKind::Key(_)) {
                let parts = ["standard_error", "plus_minus", "low", "high", "too_noisy"];
                heading.extend(parts.map(|part| csv_text(&format!("{}_{part}", column.name))));
            }
        }
        heading.extend(["partners_answered", "partners_asked"].map(String::from));
        let adjusted = csv_text(&self.adjusted.join("; "));
        if !self.adjusted.is_empty() {
            heading.push("adjusted".to_owned());
        }
        line(&heading, &mut out);
        let clocks = self.clocks();
        for row in &self.rows {
            let mut fields = self.csv_fields(row, &clocks);
            if !self.adjusted.is_empty() {
                fields.push(adjusted.clone());
            }
            line(&fields, &mut out);
        }
        out
    }

    fn csv_fields(&self, row: &Row, clocks: &[bool]) -> Vec<String> {
        let mut figures = row.figures.iter();
        let mut fields = Vec::new();
        for column in &self.columns {
            match column.kind {
                HeadingKind::Key(dimension) => {
                    fields.push(row.keys.get(dimension).map_or_else(String::new, |key| match key {
                        KeyValue::Text(text) => csv_text(text),
                        // A negative number is a number, not a formula.
                        KeyValue::Int(_) | KeyValue::Bool(_) | KeyValue::Timestamp(_) => {
                            key_text(key, clocks.get(dimension).copied().unwrap_or(false))
                        }
                    }))
                }
                HeadingKind::Total { .. } | HeadingKind::Ratio | HeadingKind::Computed => {
                    fields.extend(figure_fields(figures.next()));
                }
            }
        }
        fields.push(row.behind.answered.to_string());
        fields.push(row.behind.asked.to_string());
        fields
    }
}

fn figure_fields(cell: Option<&Cell>) -> [String; 6] {
    let number = |number: f64| number.to_string();
    let too_noisy = cell.is_none_or(Cell::is_too_noisy).to_string();
    match cell.and_then(Cell::estimate) {
        Some(e) => [
            number(e.value),
            e.standard_error.map(number).unwrap_or_default(),
            number(e.plus_minus),
            number(e.low),
            number(e.high),
            too_noisy,
        ],
        None => {
            let value = cell.and_then(Cell::value).map(number).unwrap_or_default();
            let nothing = String::new;
            [value, nothing(), nothing(), nothing(), nothing(), too_noisy]
        }
    }
}

fn line(fields: &[String], out: &mut String) {
    out.push_str(&fields.join(","));
    out.push('\n');
}
