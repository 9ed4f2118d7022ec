//! The bank's card payments as CSV files a month (RFC 4180 quoting, header line, empty for null).
//! It must never hold more than one line beside the writers' buffers.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::calendar::push_time;
use super::events::{RegionSeen, Row, amount_cents};
use super::population::REGIONS;
use super::{ScenarioError, make_file, make_folder};

/// January to October 2024; what was bought in December is booked in January's file.
const CARD_FILES: usize = 10;
/// One town in so many is written in capitals, as terminals do.
const CAPITALS_EVERY: u64 = 10;
const CATEGORIES: [&str; 6] =
    ["groceries", "food, drink", "fuel", "travel", "household", "the \"rest\""];

/// The bank's files while they are being written.
pub(super) struct CardTable {
    files: Vec<OpenFile>,
    line: String,
}

struct OpenFile {
    path: PathBuf,
    writer: BufWriter<File>,
}

impl CardTable {
    /// Makes every file with its header line.
    pub(super) fn create(folder: &Path) -> Result<Self, ScenarioError> {
        let folder = folder.join("card");
        make_folder(&folder)?;
        let mut files = Vec::new();
        for month in 1..=CARD_FILES {
            let path = folder.join(format!("card_2024_{month:02}.csv"));
            let writer = BufWriter::new(make_file(&path)?);
            let mut file = OpenFile { path, writer };
            file.write("account_no,booked_at,merchant_town,amount_eur,category\n")?;
            files.push(file);
        }
        Ok(Self { files, line: String::new() })
    }

    pub(super) fn append(&mut self, rows: &[Row]) -> Result<(), ScenarioError> {
        for row in rows {
            self.line.clear();
            push_line(&mut self.line, row);
            // Month 0 is December 2023, month 1 January: both are in the first file.
            let index = row.month.saturating_sub(1);
            if let Some(file) = self.files.get_mut(index) {
                file.write(&self.line)?;
            }
        }
        Ok(())
    }

    /// Flushes the files; they stand in the order of their names.
    pub(super) fn close(self) -> Result<Vec<PathBuf>, ScenarioError> {
        let mut paths = Vec::new();
        for OpenFile { path, mut writer } in self.files {
            if let Err(source) = writer.flush() {
                return Err(ScenarioError::Write { path, source });
            }
            paths.push(path);
        }
        Ok(paths)
    }
}

impl OpenFile {
    fn write(&mut self, text: &str) -> Result<(), ScenarioError> {
        self.writer
            .write_all(text.as_bytes())
            .map_err(|source| ScenarioError::Write { path: self.path.clone(), source })
    }
}

fn push_line(line: &mut String, row: &Row) {
    if let Some(person) = row.person {
        line.push_str("RB");
        line.push_str(&format!("{:010}", person.wrapping_mul(0xC2B2_AE35)));
    }
    line.push(',');
    if let Some(second) = row.second {
        push_time(line, second);
    }
    line.push(',');
    push_town(line, row);
    line.push(',');
    push_cents(line, amount_cents(row));
    line.push(',');
    let category = (row.detail >> 20) as usize % CATEGORIES.len();
    push_field(line, CATEGORIES.get(category).copied().unwrap_or(""));
    line.push('\n');
}

fn push_town(line: &mut String, row: &Row) {
    let town = match row.region {
        RegionSeen::Known(region) => REGIONS.get(region).copied().unwrap_or(""),
        RegionSeen::Unknown => "unknown",
        RegionSeen::Missing => "",
    };
    if (row.detail >> 30).is_multiple_of(CAPITALS_EVERY) {
        push_field(line, &town.to_uppercase());
    } else {
        push_field(line, town);
    }
}

fn push_cents(line: &mut String, cents: i64) {
    let sign = if cents < 0 { "-" } else { "" };
    let size = cents.unsigned_abs();
    line.push_str(&format!("{sign}{}.{:02}", size / 100, size % 100));
}

/// A field in quotes where RFC 4180, section 2, asks for them.
fn push_field(line: &mut String, field: &str) {
    if field.contains([',', '"', '\n', '\r']) {
        line.push('"');
        line.push_str(&field.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(field);
    }
}
