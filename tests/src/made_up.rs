//! Tables of the developer data's schemas with made-up rows, for machines that do not have that data:
//! the same paths, column names and types, and the same kinds of dirt. Every row follows from one seed;
//! nothing here reads a file or a clock.

use crate::ten::FILES;
use cloister_terms::Civil;
use cloister_terms::moment::DAY_MICROS;
use datafusion::arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// Persons of each node.
const RIDERS: i64 = 260;
const CUSTOMERS: i64 = 240;
const HOLDERS: i64 = 400;
/// Towns of the made-up trips; the last is in no domain.
const TOWNS: [&str; 7] = [
    "Amherst",
    "Easthampton",
    "Holyoke",
    "Northampton",
    "South Hadley",
    "Springfield",
    "Elsewhere",
];
/// Countries of each made-up shop; the first is the commonest, and one of them is served by two.
const COUNTRIES: [&[&str]; 3] =
    [&["United Kingdom"], &["Germany", "France", "Belgium"], &["Spain", "Portugal", "Germany"]];

/// The country of one customer of each shop.
const LONE_COUNTRY: &str = "Iceland";

/// Writes all ten tables below `folder`.
pub fn write(folder: &Path, seed: u64) {
    let mut draws = Draws(seed);
    for (at, (_, dataset, file)) in FILES.into_iter().enumerate() {
        let first = at as i64 * 10_000;
        let table = match dataset {
            "mob" => trips(first, &mut draws),
            "ret" => purchases(first, COUNTRIES[at % COUNTRIES.len()], &mut draws),
            _ => statements(first, &mut draws),
        };
        let path = folder.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Compressors built without optimisation cost more than the bytes they save.
        let plain = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).build();
        let file = File::create(path).unwrap();
        let mut writer = ArrowWriter::try_new(file, table.schema(), Some(plain)).unwrap();
        writer.write(&table).unwrap();
        writer.close().unwrap();
    }
}

fn trips(first: i64, draws: &mut Draws) -> RecordBatch {
    let mut rows = Vec::new();
    for person in first..first + RIDERS {
        let home = draws.below(TOWNS.len() - 1);
        for _ in 0..1 + draws.below(14) {
            let mut town = || match draws.below(20) {
                0 => None,
                away @ 1..8 => Some(TOWNS[away - 1]),
                _ => Some(TOWNS[home]),
            };
            let (from, to) = (town(), town());
            let time = draws.time(day(2019, 6, 15), 150);
            rows.push((person, time, draws.below(8_000) as f64 / 4.0, from, to));
        }
    }
    table(vec![
        ("person_id", Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>())),
        ("start_time_local", times(rows.iter().map(|row| row.1))),
        ("distance_m", Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Float64Array>())),
        ("start_city", Arc::new(rows.iter().map(|row| row.3).collect::<StringArray>())),
        ("end_city", Arc::new(rows.iter().map(|row| row.4).collect::<StringArray>())),
    ])
}

fn purchases(first: i64, countries: &[&'static str], draws: &mut Draws) -> RecordBatch {
    let mut rows = Vec::new();
    for person in first..first + CUSTOMERS {
        let home = countries[draws.below(countries.len())];
        for _ in 0..1 + draws.below(20) {
            // Few customers have two countries, some rows have no customer.
            let moved = draws.below(200) == 0;
            let country = if moved { countries[0] } else { home };
            let person = (draws.below(12) > 0).then_some(person);
            let quantity = draws.below(60) as i64 - 5;
            let pence = quantity * draws.below(2_000) as i64;
            let time = draws.time(day(2011, 6, 20), 170);
            rows.push((person, time, quantity, pence as f64 / 100.0, country));
        }
    }
    // A country that one customer alone has.
    rows.push((Some(first + CUSTOMERS), day(2011, 10, 1), 3, 12.5, LONE_COUNTRY));
    table(vec![
        ("person_id", Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>())),
        ("quantity", Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Int64Array>())),
        ("amount_gbp", Arc::new(rows.iter().map(|row| Some(row.3)).collect::<Float64Array>())),
        ("invoice_time", times(rows.iter().map(|row| row.1))),
        ("country", Arc::new(rows.iter().map(|row| Some(row.4)).collect::<StringArray>())),
    ])
}

fn statements(first: i64, draws: &mut Draws) -> RecordBatch {
    let mut rows = Vec::new();
    for person in first..first + HOLDERS {
        let age = 21 + draws.below(50) as i64;
        for month in 4..=9 {
            let paid = if draws.below(5) == 0 { 0 } else { draws.below(90_000) };
            rows.push((person, day(2005, month, 1), draws.below(4) as i64 - 1, paid as f64, age));
        }
    }
    table(vec![
        ("person_id", Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>())),
        ("statement_month", times(rows.iter().map(|row| row.1))),
        ("repayment_status", Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Int64Array>())),
        (
            "payment_amount_twd",
            Arc::new(rows.iter().map(|row| Some(row.3)).collect::<Float64Array>()),
        ),
        ("age", Arc::new(rows.iter().map(|row| Some(row.4)).collect::<Int64Array>())),
    ])
}

fn times(micros: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(micros.map(Some).collect::<TimestampMicrosecondArray>())
}

fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn day(year: i64, month: u32, day: u32) -> i64 {
    let civil = Civil { year, month: month.try_into().unwrap(), day: day.try_into().unwrap() };
    civil.day_number().unwrap() * DAY_MICROS
}

/// SplitMix64 (Steele, Lea, Flood 2014): made-up rows, never noise.
struct Draws(u64);

impl Draws {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % end as u64) as usize
    }

    fn time(&mut self, from: i64, days: usize) -> i64 {
        from + self.below(days * 86_400) as i64 * 1_000_000
    }
}
