//! Made-up records from a dictionary alone: types, bounds, public values, row caps, with heavy tails,
//! gaps and values out of place, as real tables have them. The same seed makes the same records; none
//! may ever be drawn from anybody's data.

use cloister_node::catalog::{CsvConfig, FileFormat, SourceConfig};
use cloister_terms::{Bounds, Column, ColumnType, Dataset, Dictionary, KeyValue, Name};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use time::{Date, Month};

/// One value in this many is missing.
const MISSING_ONE_IN: u64 = 50;
/// One value in this many lies outside its bounds or public list.
const STRAY_ONE_IN: u64 = 100;
/// One person in this many has no rows in a table.
const ABSENT_ONE_IN: u64 = 20;
/// Most rows of one person, whatever the dictionary allows.
const ROWS_A_PERSON_MAX: u64 = 2_000;
/// Exponent of the tail of rows a person: most have few, some have very many.
const TAIL: f64 = 0.8;
/// Seconds of a day.
const DAY_S: i64 = 86_400;
/// Days of records when the question names no date.
const DAYS_UNASKED: i64 = 365;
/// The last day of records when the question names no date: 2024-12-31.
const LAST_DAY_UNASKED_S: i64 = 20_088 * DAY_S;
/// Different texts of a column without a public list.
const FREE_TEXTS: u64 = 200;

/// What records are made from.
pub(super) struct Recipe<'a> {
    /// Types, bounds, public values.
    pub dictionary: &'a Dictionary,
    /// The question: its dates say when records lie.
    pub sql: &'a str,
    /// People, the same in each dataset.
    pub people: u32,
    /// The seed.
    pub seed: u64,
}

impl Recipe<'_> {
    /// Writes one CSV file for each of `datasets` that the dictionary has; the sources that read them.
    pub fn write(&self, folder: &Path, datasets: &[Name]) -> std::io::Result<Vec<SourceConfig>> {
        let mut sources = Vec::new();
        let found = datasets.iter().filter_map(|name| self.dictionary.dataset(name.as_str()));
        for (number, dataset) in (1u64..).zip(found) {
            let path = folder.join(format!("{}.csv", dataset.name));
            let seed = self.seed.wrapping_mul(1_000).wrapping_add(number);
            self.write_dataset(dataset, &path, Draws::new(seed))?;
            let column = |column: &Column| (column.name.clone(), format!("\"{}\"", column.name));
            sources.push(SourceConfig {
                dataset: dataset.name.clone(),
                format: FileFormat::Csv,
                path,
                hive_partitions: BTreeMap::new(),
                csv: Some(CsvConfig::default()),
                columns: dataset.columns.iter().map(column).collect(),
                only_where: None,
            });
        }
        Ok(sources)
    }

    fn write_dataset(
        &self,
        dataset: &Dataset,
        path: &Path,
        mut draws: Draws,
    ) -> std::io::Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        let names: Vec<&str> = dataset.columns.iter().map(|column| column.name.as_str()).collect();
        writeln!(out, "{}", names.join(","))?;
        let span = Span::of(self.sql);
        let most = u64::from(dataset.rows_per_unit_max).saturating_mul(2).min(ROWS_A_PERSON_MAX);
        for person in 0..u64::from(self.people) {
            for _ in 0..draws.rows(most) {
                let mut line = String::new();
                for (at, column) in dataset.columns.iter().enumerate() {
                    if at > 0 {
                        line.push(',');
                    }
                    if column.name == dataset.unit_column {
                        line.push_str(&unit(column.column_type, person));
                    } else {
                        line.push_str(&draws.value(column, span));
                    }
                }
                writeln!(out, "{line}")?;
            }
        }
        out.flush()
    }
}

/// A person's name in the unit column.
fn unit(column_type: ColumnType, person: u64) -> String {
    match column_type {
        ColumnType::Text => format!("person-{person}"),
        ColumnType::Bool => person.is_multiple_of(2).to_string(),
        ColumnType::Timestamp => timestamp(i64::try_from(person).unwrap_or(0)),
        _ => person.to_string(),
    }
}

/// When records lie, seconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from_s: i64,
    to_s: i64,
}

impl Span {
    /// The dates that stand in a question, and a tenth more on either side; a year when there are none.
    fn of(sql: &str) -> Self {
        let days = dates(sql);
        let (Some(first), Some(last)) = (days.iter().min(), days.iter().max()) else {
            let to_s = LAST_DAY_UNASKED_S;
            return Self { from_s: to_s - DAYS_UNASKED * DAY_S, to_s };
        };
        let between = (last - first) / 10;
        let around = if between == 0 { DAYS_UNASKED * DAY_S / 2 } else { between };
        Self { from_s: first - around, to_s: last + around }
    }
}

/// Every `2019-07-01` in a text, as seconds since 1970 UTC.
fn dates(sql: &str) -> Vec<i64> {
    let mut found = Vec::new();
    for quoted in sql.split('\'') {
        let mut parts = quoted.get(..10).unwrap_or_default().split('-');
        let numbers =
            [parts.next(), parts.next(), parts.next()].map(|part| part?.parse::<i32>().ok());
        let [Some(year), Some(month), Some(day)] = numbers else { continue };
        let month = u8::try_from(month).ok().and_then(|month| Month::try_from(month).ok());
        let (Some(month), Ok(day)) = (month, u8::try_from(day)) else { continue };
        // Years that engines and files agree on.
        let date = Date::from_calendar_date(year, month, day).ok();
        if let Some(date) = date.filter(|date| (1900..=2200).contains(&date.year())) {
            found.push(date.midnight().assume_utc().unix_timestamp());
        }
    }
    found
}

fn timestamp(at_s: i64) -> String {
    match time::OffsetDateTime::from_unix_timestamp(at_s) {
        Ok(at) => format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        ),
        Err(_) => String::new(),
    }
}

/// A field of a CSV file.
fn field(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Seeded draws: xorshift64* (Vigna 2016). For mock records only; noise never comes from here.
struct Draws(u64);

impl Draws {
    fn new(seed: u64) -> Self {
        // Spread, so that neighbouring seeds do not start alike; never 0, which would stay 0.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// In (0, 1].
    fn share(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 1.0) / (1u64 << 53) as f64
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.bits() >> 11).checked_rem(n).unwrap_or(0)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Rows of one person: a power law.
    fn rows(&mut self, most: u64) -> u64 {
        if self.one_in(ABSENT_ONE_IN) {
            return 0;
        }
        let drawn = self.share().powf(-TAIL);
        (drawn as u64).clamp(1, most.max(1))
    }

    /// One field; empty for a missing value.
    fn value(&mut self, column: &Column, span: Span) -> String {
        if self.one_in(MISSING_ONE_IN) {
            return String::new();
        }
        let stray = self.one_in(STRAY_ONE_IN);
        if let Some(domain) = column.domain.as_deref().filter(|_| !stray) {
            // Squared: the first public values are the commonest.
            let at = (self.share().powi(2) * domain.len() as f64) as usize;
            return match domain.get(at.min(domain.len().saturating_sub(1))) {
                Some(KeyValue::Text(text)) => field(text),
                Some(other) => other.to_string(),
                None => String::new(),
            };
        }
        match column.column_type {
            ColumnType::Bool => self.one_in(2).to_string(),
            ColumnType::Text => field(&format!("mock-{}", self.below(FREE_TEXTS))),
            ColumnType::Timestamp => {
                let seconds = u64::try_from(span.to_s - span.from_s).unwrap_or(1).max(1);
                timestamp(span.from_s.saturating_add(self.below(seconds) as i64))
            }
            ColumnType::Int64 => format!("{:.0}", self.number(column.bounds, stray)),
            ColumnType::Float64 => format!("{:.4}", self.number(column.bounds, stray)),
        }
    }

    /// A number with a long tail: within its bounds, or beyond them when it is `stray`.
    fn number(&mut self, bounds: Option<Bounds>, stray: bool) -> f64 {
        let Some(bounds) = bounds else { return -self.share().ln() * 20.0 };
        let width = bounds.max() - bounds.min();
        match stray {
            true => bounds.max() + width * self.share(),
            false => bounds.min() + width * self.share().powi(3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloister_plan::reference;

    fn made(seed: u64) -> String {
        let folder = tempfile::tempdir().unwrap();
        let dictionary = reference::dictionary().unwrap();
        let recipe = Recipe { dictionary: &dictionary, sql: "", people: 300, seed };
        let names = ["trips".parse().unwrap(), "payments".parse().unwrap()];
        assert_eq!(recipe.write(folder.path(), &names).unwrap().len(), 2);
        std::fs::read_to_string(folder.path().join("trips.csv")).unwrap()
    }

    #[test]
    fn the_same_seed_makes_the_same_records_with_tails_and_gaps() {
        let text = made(1);
        assert_eq!(text, made(1));
        assert_ne!(text, made(2));
        let lines: Vec<&str> = text.lines().skip(1).collect();
        let rows_of = |person: u64| {
            lines.iter().filter(|line| line.starts_with(&format!("{person},"))).count()
        };
        let counts: Vec<usize> = (0..300).map(rows_of).collect();
        assert!(counts.contains(&0) && counts.contains(&1));
        assert!(counts.iter().any(|rows| *rows > 50), "somebody is over the row cap");
        assert!(counts.iter().all(|rows| *rows <= 100));
        assert!(text.contains("\"Ashford\"") && text.contains(",,") && text.contains("\"mock-"));
    }

    #[test]
    fn records_lie_where_the_question_looks() {
        let span = Span::of("a >= TIMESTAMP '2019-07-01' AND a < TIMESTAMP '2019-10-01 12:00:00'");
        let day = |text: &str| dates(&format!("'{text}'"))[0];
        assert!(span.from_s < day("2019-07-01") && span.from_s > day("2019-06-01"));
        assert!(span.to_s > day("2019-10-01") && span.to_s < day("2019-11-01"));
        assert_eq!(timestamp(day("2024-02-29")), "2024-02-29 00:00:00");
        for odd in ["", "'9999999-01-01'", "'2019-13-01'", "'2019-02-30'", "'-'", "'äöüß-äöü'"]
        {
            assert_eq!(dates(odd), Vec::<i64>::new(), "{odd}");
        }
    }
}
