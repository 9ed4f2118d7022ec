//! Suggestions from observations: the person column, rounded bounds, small domains, a row cap. Each
//! is marked "please confirm", and is a suggestion only. Values and extremes of a few persons are never
//! among them, and every list says so, whether any were left out or not.

use crate::catalog::config::{FileFormat, SourceConfig};
use crate::catalog::files::source_files;
use crate::describe::observe::{DescribeError, Observed, ObservedColumn, format_of, observe};
use crate::describe::shared::{PERSONS_MIN, Shared, Sought, shared};
use cloister_terms::{ColumnType, Name};
use datafusion::arrow::datatypes::DataType;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::canonicalize;
use std::path::{Path, PathBuf};

/// Most different texts of a column that is suggested as a domain.
const DOMAIN_VALUES_MAX: usize = 40;
/// Words in the names of person columns, the most telling first.
const PERSON_WORDS: [&str; 12] = [
    "person",
    "subscriber",
    "customer",
    "imsi",
    "msisdn",
    "user",
    "rider",
    "member",
    "loyalty",
    "account",
    "client",
    "card",
];
/// Longest bar of the histogram, in characters.
const BAR_CHARS: u64 = 40;
/// What every suggestion ends with.
const CONFIRM: &str = "# please confirm";
/// The dataset of a draft.
const DATASET: &str = "events";

/// A draft of a dictionary and of the mapping onto it.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Rows looked at.
    pub rows: usize,
    /// The column that seems to name persons.
    pub person_column: Option<String>,
    /// Rows a person: (from, to, persons), sizes doubling.
    pub rows_per_person: Vec<(u64, u64, u64)>,
    /// The dictionary, in the form of an agreement's TOML draft.
    pub dictionary: String,
    /// The sources, as TOML for `node.toml`: between them they read each file once.
    pub source: String,
}

/// Reads the files of one table and drafts a dictionary and a mapping. Errors name the file.
pub fn describe(files: &[PathBuf]) -> Result<Draft, DescribeError> {
    let observed = observe(files)?;
    let unit = person_column(&observed);
    let sought: Vec<Sought> = observed.columns.iter().map(sought).collect();
    let shared = match unit {
        Some(unit) => shared(files, observed.rows, unit, &sought)?,
        // Whose any value is, is not known.
        None => vec![Shared::default(); sought.len()],
    };
    let person = unit.and_then(|unit| observed.columns.get(unit));
    let rows_per_person = person.map(histogram).unwrap_or_default();
    let names = dictionary_names(&observed);
    Ok(Draft {
        rows: observed.rows,
        person_column: person.map(|column| column.name.clone()),
        dictionary: dictionary_toml(&observed, &shared, &names, unit, &rows_per_person),
        source: sources_toml(&observed, &names, files),
        rows_per_person,
    })
}

/// The place of the likeliest person column: a telling name first, then values that repeat, but not too few.
fn person_column(observed: &Observed) -> Option<usize> {
    let score = |column: &ObservedColumn| {
        let name = column.name.to_lowercase();
        let identifies = column.data_type.is_integer()
            || matches!(dictionary_type(&column.data_type), Some(ColumnType::Text));
        if !identifies || column.values.len() < 2 {
            return 0;
        }
        let telling =
            PERSON_WORDS.iter().position(|word| name.contains(word)).map_or(0, |place| 20 - place);
        let named_id =
            usize::from(name == "id" || name.ends_with("_id") || name.ends_with("id")) * 3;
        // Of as many rows as its values were told apart in: a number of each record repeats in none.
        let known = usize::try_from(column.seen).unwrap_or(usize::MAX);
        let distinct = column.values.len().saturating_mul(10);
        let repeats = distinct > known / 50 && distinct < known.saturating_mul(9);
        telling + named_id + usize::from(repeats) * 4
    };
    let columns = observed.columns.iter().map(score).enumerate();
    let (place, best) = columns.rev().max_by_key(|(_, score)| *score)?;
    (best >= 4).then_some(place)
}

/// Persons by their number of rows, in doubling classes.
fn histogram(person: &ObservedColumn) -> Vec<(u64, u64, u64)> {
    let mut classes: Vec<(u64, u64, u64)> = Vec::new();
    for rows in person.values.values() {
        let class = (u64::BITS - 1 - rows.max(&1).leading_zeros()) as usize;
        while classes.len() <= class {
            let from = 1u64 << classes.len();
            classes.push((from, from * 2 - 1, 0));
        }
        if let Some((_, _, persons)) = classes.get_mut(class) {
            *persons += 1;
        }
    }
    classes
}

/// The least doubling size that holds the rows of 99 % of persons, or of all but a few.
fn suggested_row_cap(classes: &[(u64, u64, u64)]) -> u64 {
    let persons: u64 = classes.iter().map(|(_, _, persons)| persons).sum();
    let mut seen = 0;
    for (_, to, here) in classes {
        seen += here;
        let beyond = persons.saturating_sub(seen);
        if beyond * 100 <= persons || beyond < PERSONS_MIN as u64 {
            return to + 1;
        }
    }
    100
}

fn dictionary_type(data_type: &DataType) -> Option<ColumnType> {
    Some(match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnType::Text,
        DataType::Dictionary(_, values) => return dictionary_type(values),
        DataType::Boolean => ColumnType::Bool,
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => ColumnType::Timestamp,
        integer if integer.is_integer() => ColumnType::Int64,
        number if number.is_numeric() => ColumnType::Float64,
        _ => return None,
    })
}

/// A dictionary name for each column, distinct.
fn dictionary_names(observed: &Observed) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (place, column) in observed.columns.iter().enumerate() {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        let lower: String = column.name.chars().map(plain).collect();
        let fits = Name::new(lower.clone()).is_ok() && !names.contains(&lower);
        names.push(if fits { lower } else { format!("column_{}", place + 1) });
    }
    names
}

/// The least of 1, 2, 5, 10, 20, ... that is not below `value`: a bound that follows the data only
/// roughly.
fn round_up(value: f64) -> f64 {
    let mut decade = 1.0;
    while decade < 1e12 {
        for step in [1.0, 2.0, 5.0] {
            if decade * step >= value {
                return decade * step;
            }
        }
        decade *= 10.0;
    }
    decade
}

/// Rounded numbers beyond the 1 % and 99 % quantiles, or what enough persons reach where that is less far.
fn suggested_bounds(column: &ObservedColumn, shared: &Shared) -> Option<(f64, f64)> {
    let (low, high) = (column.quantile(0.01)?, column.quantile(0.99)?);
    let (reached_low, reached_high) = shared.ends?;
    let (low, high) = (low.max(reached_low), high.min(reached_high));
    let end = |value: f64| if value > 0.0 { round_up(value) } else { 0.0 };
    let (low, high) = (-end(-low), end(high));
    // -0 would be written with its sign.
    (low < high).then_some((low + 0.0, high))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn dictionary_toml(
    observed: &Observed,
    shared: &[Shared],
    names: &[String],
    unit: Option<usize>,
    classes: &[(u64, u64, u64)],
) -> String {
    let unit = unit.and_then(|place| names.get(place)).map_or("person_id", String::as_str);
    let mut lines = vec![
        "[[dictionary.datasets]]".to_owned(),
        format!("name = \"{DATASET}\" {CONFIRM}"),
        "description = \"\" # please write".to_owned(),
        format!("unit_column = \"{unit}\" {CONFIRM}: the column that names a person"),
        format!(
            "rows_per_unit_max = {} {CONFIRM}: rows of one person that count",
            suggested_row_cap(classes)
        ),
    ];
    for ((column, name), shared) in observed.columns.iter().zip(names).zip(shared) {
        let Some(column_type) = dictionary_type(&column.data_type) else {
            lines.push(format!(
                "# column {} is {}, which no dictionary column can be",
                quoted(&column.name),
                column.data_type
            ));
            continue;
        };
        lines.push(String::new());
        lines.push("[[dictionary.datasets.columns]]".to_owned());
        lines.push(format!("name = \"{name}\""));
        lines.push(format!("type = \"{column_type}\" {CONFIRM}"));
        lines.push("description = \"\" # please write, with the unit of measure".to_owned());
        if name == unit {
            lines.push(format!("identifier = true {CONFIRM}"));
        } else {
            lines.extend(suggested_range(column, column_type, shared));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

/// What a column may be suggested: a domain for few texts, bounds for numbers.
fn sought(column: &ObservedColumn) -> Sought {
    match dictionary_type(&column.data_type) {
        Some(ColumnType::Int64 | ColumnType::Float64) => Sought::Ends,
        Some(ColumnType::Text)
            if !column.many && (1..=DOMAIN_VALUES_MAX).contains(&column.values.len()) =>
        {
            Sought::Values
        }
        _ => Sought::Nothing,
    }
}

/// Bounds or a domain, or what to do where none can be suggested.
fn suggested_range(
    column: &ObservedColumn,
    column_type: ColumnType,
    shared: &Shared,
) -> Option<String> {
    match sought(column) {
        Sought::Nothing => None,
        Sought::Ends => Some(match suggested_bounds(column, shared) {
            Some((min, max)) => {
                let is_whole = column_type == ColumnType::Int64 || max - min > 1e6;
                let grid_bits = if is_whole { 0 } else { 6 };
                format!(
                    "bounds = {{ min = \"{min}\", max = \"{max}\", grid_bits = {grid_bits} }} {CONFIRM}: \
                     from what you know a value can sensibly be, not from what it was"
                )
            }
            None => "# bounds: none that enough people share; write what you know a value can sensibly be"
                .to_owned(),
        }),
        Sought::Values if shared.values.is_empty() => Some(format!(
            "# domain: no value that {PERSONS_MIN} people have; list values only if they are public anyway"
        )),
        Sought::Values => {
            let values: Vec<String> = shared.values.iter().map(|value| quoted(value)).collect();
            Some(format!(
                "domain = [{}] {CONFIRM}: only values that are public anyway; what fewer than \
                 {PERSONS_MIN} people have is left out, and you must add it only if it is public anyway",
                values.join(", ")
            ))
        }
    }
}

/// Sources that between them read each of the files once.
fn sources_toml(observed: &Observed, names: &[String], files: &[PathBuf]) -> String {
    let mut sources = Vec::new();
    for format in [FileFormat::Parquet, FileFormat::Csv] {
        let mut alike: Vec<PathBuf> = Vec::new();
        for file in files {
            let is_alike = format_of(file).is_ok_and(|found| found == format);
            if is_alike && !alike.contains(file) {
                alike.push(file.clone());
            }
        }
        let paths = pattern_of(&alike, format).map_or(alike, |pattern| vec![pattern]);
        sources.extend(paths.iter().map(|path| source_toml(observed, names, format, path)));
    }
    sources.join("\n")
}

/// The pattern of several files that stand together: those of their folder with this ending, and no other.
fn pattern_of(files: &[PathBuf], format: FileFormat) -> Option<PathBuf> {
    let (first, others) = files.split_first()?;
    let folder = first.parent()?;
    if others.is_empty() || others.iter().any(|file| file.parent() != Some(folder)) {
        return None;
    }
    let path = folder.join(format!("*{}", format.ending()));
    let source = SourceConfig {
        dataset: DATASET.parse().ok()?,
        format,
        path,
        hive_partitions: BTreeMap::new(),
        csv: None,
        columns: BTreeMap::new(),
        only_where: None,
    };
    let mut given = files.iter().map(canonicalize).collect::<Result<Vec<_>, _>>().ok()?;
    given.sort();
    let found = source_files(&source).ok()?;
    (found.paths == given).then_some(source.path)
}

fn source_toml(observed: &Observed, names: &[String], format: FileFormat, path: &Path) -> String {
    let written = match format {
        FileFormat::Parquet => "parquet",
        FileFormat::Csv => "csv",
    };
    let path = quoted(&path.display().to_string());
    let mut lines = vec![
        "[[source]]".to_owned(),
        format!("dataset = \"{DATASET}\" {CONFIRM}"),
        format!("format = \"{written}\""),
        format!("path = {path} {CONFIRM}: a file, a folder or a pattern"),
    ];
    if observed.newlines && format == FileFormat::Csv {
        lines.push(format!("csv = {{ newlines = true }} {CONFIRM}: quoted values hold line ends"));
    }
    lines.extend([String::new(), "[source.columns]".to_owned()]);
    for (column, name) in observed.columns.iter().zip(names) {
        if dictionary_type(&column.data_type).is_some() {
            // Quoted as SQL, since a column's name may be anything.
            let sql = format!("\"{}\"", column.name.replace('"', "\"\""));
            lines.push(format!("{name} = {} {CONFIRM}", quoted(&sql)));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# Read off {} rows of your own data: correct it before you show it to anybody.",
            self.rows
        )?;
        match &self.person_column {
            Some(name) => {
                writeln!(f, "# `{name}` seems to name persons (please confirm); rows a person:")?;
            }
            None => writeln!(f, "# no column seems to name persons: say which one does")?,
        }
        let most =
            self.rows_per_person.iter().map(|(_, _, persons)| *persons).max().unwrap_or(0).max(1);
        for (from, to, persons) in &self.rows_per_person {
            let bar =
                "#".repeat(usize::try_from((persons * BAR_CHARS).div_ceil(most)).unwrap_or(0));
            writeln!(f, "#   {:>13}  {bar} {persons}", format!("{from}-{to}"))?;
        }
        writeln!(f, "\n# ---- for the draft of the agreement\n{}", self.dictionary)?;
        writeln!(f, "# ---- for node.toml\n{}", self.source)
    }
}
