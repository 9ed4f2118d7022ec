//! The scenario of the tour: two mobile operators, a bank and a retailer, with four schemas, and
//! one question: how many people moved their usual region between two seasons, and between which
//! regions? Every row is made up from a seed. It must never read a file, a clock or real
//! randomness: the same size and seed give the same files, byte for byte.
//!
//! Rows are made and written block by block, so that memory does not grow with the population.
//!
//! - `population`: regions, homes, moves, how busy a person is
//! - `events`: a person's rows, with the dirt of real life
//! - `calendar`: the two seasons and the text of a time
//! - `parquet_tables`, `card_table`: the four layouts on disk
//! - `mapping`: each partner's row-wise view onto the shared dictionary, in SQL
//! - `draws`: the seeded generator

pub mod calendar;
mod card_table;
mod draws;
pub mod events;
pub mod mapping;
mod parquet_tables;
pub mod population;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use datafusion::arrow::error::ArrowError;
use datafusion::parquet::errors::ParquetError;

use card_table::CardTable;
use events::{DirtTally, EventBlocks, Row};
use parquet_tables::ParquetTable;
use population::FlowMatrix;

/// People a partner has when nothing else is asked for.
pub const PEOPLE_DEFAULT: u32 = 20_000;
/// Most people a partner may have: about 160 million rows, a few gigabytes a partner.
pub const PEOPLE_MAX: u32 = 10_000_000;
/// Seed when nothing else is asked for.
pub const SEED_DEFAULT: u64 = 2024;

/// How large a scenario is, and which one of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScenarioSize {
    /// People a partner has, 1 to [`PEOPLE_MAX`]; about 16 rows each.
    pub people: u32,
    /// Everything drawn follows from it.
    pub seed: u64,
}

impl Default for ScenarioSize {
    fn default() -> Self {
        Self { people: PEOPLE_DEFAULT, seed: SEED_DEFAULT }
    }
}

/// The four partners. Ids of persons are local: nobody is known to appear at two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PartnerKind {
    /// A mobile operator with one Parquet file of cell pings.
    OperatorNorth,
    /// A mobile operator with a Hive-partitioned folder of Parquet traces.
    OperatorSouth,
    /// A bank with a folder of CSV files of card payments.
    Bank,
    /// A retailer with a folder of Parquet files of sales.
    Retailer,
}

impl PartnerKind {
    /// Every partner, in the order of the tour.
    pub const ALL: [Self; 4] =
        [Self::OperatorNorth, Self::OperatorSouth, Self::Bank, Self::Retailer];

    /// The partner's name in agreements, folders and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OperatorNorth => "north-mobile",
            Self::OperatorSouth => "south-mobile",
            Self::Bank => "river-bank",
            Self::Retailer => "corner-shops",
        }
    }

    /// How the partner's table lies on disk.
    pub const fn layout(self) -> SourceLayout {
        match self {
            Self::OperatorNorth => SourceLayout::ParquetFile,
            Self::OperatorSouth => SourceLayout::HiveParquet,
            Self::Bank => SourceLayout::CsvFolder,
            Self::Retailer => SourceLayout::ParquetFolder,
        }
    }
}

impl std::fmt::Display for PartnerKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How a table lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceLayout {
    /// One Parquet file.
    ParquetFile,
    /// A folder `column=value/…` of Parquet files; the columns are in [`PartnerFiles`].
    HiveParquet,
    /// CSV files with a header line; an empty field is null.
    CsvFolder,
    /// Parquet files of one schema in one folder.
    ParquetFolder,
}

/// What a steward needs to know of the tables that were written, and what a tour may check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartnerFiles {
    /// Whose tables they are.
    pub partner: PartnerKind,
    /// How they lie on disk.
    pub layout: SourceLayout,
    /// What to register as the source: a file, a folder ending in `/`, or a glob.
    pub sources: Vec<String>,
    /// Text columns that the folder's name holds (Hive), not the files.
    pub partition_columns: Vec<&'static str>,
    /// Every file written, in the order of their names.
    pub files: Vec<PathBuf>,
    /// Rows written, duplicates included.
    pub rows: u64,
    /// Persons behind the rows.
    pub persons: u64,
    /// Most rows that one person has: what the steward declares as the row maximum a person.
    pub rows_per_person_max: u64,
    /// Persons by home in season A (first index) and season B (second index); the diagonal stayed.
    /// What was planted, not what the rows show: a person with few rows may look otherwise.
    pub planted: FlowMatrix,
    /// How many of the rows carry each kind of dirt.
    pub dirt: DirtTally,
}

impl PartnerFiles {
    /// Persons whose planted home differs between the seasons.
    pub fn planted_movers(&self) -> u64 {
        let all: u64 = self.planted.iter().flatten().sum();
        let stayed: u64 = self.planted.iter().enumerate().map(|(r, to)| to[r]).sum();
        all - stayed
    }
}

/// Why a partner's tables could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The population is empty or too large.
    #[error("`{people}` people asked for; ask for 1 to {PEOPLE_MAX}")]
    People {
        /// What was asked for.
        people: u32,
    },
    /// The folder's name would be misread as a glob, or is not text.
    #[error(
        "folder `{}` is not plain text, or holds one of `*?[]{{}}`; choose another folder",
        folder.display()
    )]
    FolderName {
        /// The folder as given.
        folder: PathBuf,
    },
    /// A folder or file could not be made or written.
    #[error("cannot write `{}`: {source}; check the path, the rights and the free space", path.display())]
    Write {
        /// What was being written.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A Parquet file could not be written.
    #[error("cannot write `{}` as parquet: {source}; check the free space", path.display())]
    Parquet {
        /// What was being written.
        path: PathBuf,
        /// What the writer said.
        source: ParquetError,
    },
    /// Columns and schema of a table do not fit: a fault of the generator.
    #[error("the rows of `{table}` do not fit their schema: {source}; report this")]
    Columns {
        /// The partner's name.
        table: &'static str,
        /// What arrow said.
        source: ArrowError,
    },
}

/// Writes the partner's tables below `folder`, which is made if it is missing; files of an
/// earlier run are written over. Not atomic: after an error, delete the folder.
///
/// # Errors
/// [`ScenarioError`] if the size is out of range, the folder's name cannot serve as a source, or
/// something cannot be written.
pub fn write_partner(
    partner: PartnerKind,
    size: &ScenarioSize,
    folder: &Path,
) -> Result<PartnerFiles, ScenarioError> {
    if size.people == 0 || size.people > PEOPLE_MAX {
        return Err(ScenarioError::People { people: size.people });
    }
    let sources = vec![source_of(partner, folder)?];
    let mut table = Table::create(partner, folder)?;
    let mut blocks = EventBlocks::new(partner, size);
    let mut rows = Vec::new();
    while blocks.fill(&mut rows) {
        table.append(&rows)?;
    }
    let files = table.close()?;
    let totals = blocks.into_totals();
    Ok(PartnerFiles {
        partner,
        layout: partner.layout(),
        sources,
        partition_columns: mapping::partition_columns(partner).to_vec(),
        files,
        rows: totals.rows,
        persons: u64::from(size.people),
        rows_per_person_max: totals.rows_per_person_max,
        planted: totals.planted,
        dirt: totals.dirt,
    })
}

/// The one table of a partner while it is being written.
enum Table {
    Parquet(ParquetTable),
    Card(CardTable),
}

impl Table {
    fn create(partner: PartnerKind, folder: &Path) -> Result<Self, ScenarioError> {
        match partner {
            PartnerKind::Bank => CardTable::create(folder).map(Self::Card),
            _ => ParquetTable::create(partner, folder).map(Self::Parquet),
        }
    }

    fn append(&mut self, rows: &[Row]) -> Result<(), ScenarioError> {
        match self {
            Self::Parquet(table) => table.append(rows),
            Self::Card(table) => table.append(rows),
        }
    }

    fn close(self) -> Result<Vec<PathBuf>, ScenarioError> {
        match self {
            Self::Parquet(table) => table.close(),
            Self::Card(table) => table.close(),
        }
    }
}

fn source_of(partner: PartnerKind, folder: &Path) -> Result<String, ScenarioError> {
    let refused = || ScenarioError::FolderName { folder: folder.to_path_buf() };
    let text = folder.to_str().ok_or_else(refused)?;
    if text.contains(['*', '?', '[', ']', '{', '}']) {
        return Err(refused());
    }
    let below = match partner {
        PartnerKind::OperatorNorth => "pings.parquet",
        PartnerKind::OperatorSouth => "traces/",
        PartnerKind::Bank => "card/card_2024_*.csv",
        PartnerKind::Retailer => "sales/*.parquet",
    };
    let whole = folder.join(below);
    whole.to_str().map(str::to_owned).ok_or_else(refused)
}

fn make_folder(folder: &Path) -> Result<(), ScenarioError> {
    fs::create_dir_all(folder)
        .map_err(|source| ScenarioError::Write { path: folder.to_path_buf(), source })
}

fn make_file(path: &Path) -> Result<fs::File, ScenarioError> {
    fs::File::create(path)
        .map_err(|source| ScenarioError::Write { path: path.to_path_buf(), source })
}
