//! The catalog: each dataset of the dictionary as a row-wise view of the partner's files, in the
//! dictionary's names and types. Opening it checks everything that can be known without using a
//! value; CSV files are read through once, for their structure alone. It must never let one partner's
//! layout be seen in a plan.
//!
//! - `config`: what the steward writes
//! - `error`: what can be wrong with it
//! - `files`: a path, folder, pattern or Hive partitions -> files
//! - `records`: whether CSV records are well-formed
//! - `watch`: whether files still are what was checked
//! - `schema`: footers and headers -> columns
//! - `mapping`: an SQL expression -> a total column
//! - `function`: that column as the engine runs it

pub mod config;
pub mod error;
pub mod files;
pub mod function;
pub mod mapping;
pub mod records;
pub mod schema;
mod watch;

pub use config::{CsvConfig, FileFormat, SourceConfig};
pub use error::{CatalogError, ExpressionProblem};
pub use records::RecordProblem;
pub use watch::CheckedFiles;

use crate::evaluate::arrow_type;
use crate::fault::Fault;
use crate::scan::planned::PlannedScans;
use cloister_terms::{Column, ColumnType, Dataset, Dictionary, Name};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::DFSchema;
use datafusion::datasource::file_format::FileFormat as EngineFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, LogicalPlanBuilder};
use files::SourceFiles;
use mapping::{Mapped, Mapper, declare};
use schema::{one_byte, source_schema};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use watch::Watch;

/// Every dataset of a dictionary as this partner holds it.
#[derive(Debug, Clone)]
pub struct Catalog {
    dictionary: Dictionary,
    sources: Vec<Source>,
    /// Scans of these sources that were planned beforehand.
    planned: Arc<PlannedScans>,
}

/// One opened source.
#[derive(Debug, Clone)]
pub struct Source {
    config: SourceConfig,
    paths: Vec<PathBuf>,
    table: Arc<ListingTable>,
    columns: BTreeMap<Name, Expr>,
    keep: Option<Expr>,
    watch: Arc<Watch>,
}

impl Catalog {
    /// Opens every source and checks it against the dictionary: files, schemas, expressions, types, the
    /// form of CSV records. No value is used. Errors on the first mistake, naming file, column and remedy.
    pub fn open(config: &[SourceConfig], dictionary: &Dictionary) -> Result<Self, CatalogError> {
        let sources = config
            .iter()
            .map(|source| Source::open(source, dictionary))
            .collect::<Result<_, _>>()?;
        Ok(Self { dictionary: dictionary.clone(), sources, planned: Arc::default() })
    }

    /// The dictionary it was opened for.
    pub fn dictionary(&self) -> &Dictionary {
        &self.dictionary
    }

    /// A column of the dictionary.
    pub fn column(&self, dataset: &Name, column: &Name) -> Option<&Column> {
        self.dictionary.dataset(dataset.as_str())?.column(column.as_str())
    }

    /// The sources of a dataset; none when the partner lacks it.
    pub fn sources(&self, dataset: &Name) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(move |source| source.config.dataset == *dataset)
    }

    /// Scans of its sources that were planned beforehand.
    pub fn planned(&self) -> &PlannedScans {
        &self.planned
    }

    /// The files of a dataset, where they stand as they were last checked; reads none.
    pub fn files_as_checked(&self, dataset: &Name) -> Option<CheckedFiles> {
        let mut all = CheckedFiles::empty();
        for source in self.sources(dataset) {
            all.join(source.watch.as_checked(&source.paths)?);
        }
        Some(all)
    }

    /// Whether the files of some datasets stand as they were last checked and found good; reads none.
    pub fn stands<'a>(&self, mut datasets: impl Iterator<Item = &'a Name>) -> bool {
        datasets.all(|dataset| self.files_as_checked(dataset).is_some())
    }

    /// Checks files that have changed since they were last checked, good or malformed. Reads those, so it may
    /// take long. Gives what is wrong with each that is missing, or malformed now.
    pub fn look_again(&self) -> Vec<CatalogError> {
        let looked = self.sources.iter().map(|source| source.watch.look_again(&source.paths));
        looked.flatten().collect()
    }

    /// Checks the files of some datasets again where they changed; a scan of them must hold what this gives
    /// and ask [`CheckedFiles::still`] at its end. Reads files that changed, so it may take long. Errors on
    /// files that are missing or malformed.
    pub fn checked_files<'a>(
        &self,
        datasets: impl Iterator<Item = &'a Name>,
    ) -> Result<CheckedFiles, CatalogError> {
        let (mut all, mut seen) = (CheckedFiles::empty(), BTreeSet::new());
        for dataset in datasets.filter(|dataset| seen.insert(*dataset)) {
            for source in self.sources(dataset) {
                all.join(source.watch.checked(&source.paths)?);
            }
        }
        Ok(all)
    }

    /// The view of a dataset with these columns, in this order: the rows of all its sources, none
    /// when there are none. Errors on names the dictionary lacks.
    pub fn view(&self, dataset: &Name, columns: &[Name]) -> Result<LogicalPlan, Fault> {
        let fields = columns.iter().map(|name| {
            let missing =
                || Fault::UnknownColumn { dataset: dataset.clone(), column: name.clone() };
            let column = self.column(dataset, name).ok_or_else(missing)?;
            Ok(Field::new(name.as_str(), arrow_type(column.column_type), true))
        });
        let schema = Schema::new(fields.collect::<Result<Vec<_>, Fault>>()?);
        let mut whole: Option<LogicalPlanBuilder> = None;
        for source in self.sources(dataset) {
            let part = source.view(columns)?;
            whole = Some(match whole {
                None => LogicalPlanBuilder::from(part),
                Some(before) => before.union(part)?,
            });
        }
        match whole {
            Some(whole) => Ok(whole.build()?),
            None => {
                let schema = Arc::new(DFSchema::try_from(schema)?);
                Ok(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema }))
            }
        }
    }
}

impl Source {
    fn open(config: &SourceConfig, dictionary: &Dictionary) -> Result<Self, CatalogError> {
        let dataset = dictionary.dataset(config.dataset.as_str()).ok_or_else(|| {
            let known: Vec<String> =
                dictionary.datasets.iter().map(|set| format!("`{}`", set.name)).collect();
            CatalogError::UnknownDataset {
                dataset: config.dataset.clone(),
                known: known.join(", "),
            }
        })?;
        check_options(config)?;
        let files = files::source_files(config)?;
        let read = source_schema(config, &files.paths)?;
        let table = Arc::new(listing(config, &files, &read.files)?);
        let types = |name: &str| {
            let csv = config.csv.as_ref().and_then(|csv| csv.types.get(name));
            config.hive_partitions.get(name).or(csv).copied()
        };
        let stored = table.schema();
        check_types(config, &stored)?;
        let mapper = Mapper::new(
            Arc::clone(&stored),
            declare(&stored, types),
            config.format == FileFormat::Csv,
        );
        let used = RefCell::new(BTreeSet::<String>::new());
        let compile =
            |place: &str, sql: &str, target: ColumnType| -> Result<Mapped, CatalogError> {
                let mapped =
                    mapper.column(sql, target).map_err(|problem| CatalogError::Expression {
                        dataset: config.dataset.clone(),
                        place: place.to_owned(),
                        sql: sql.chars().take(200).collect(),
                        problem: Box::new(problem),
                    })?;
                used.borrow_mut().extend(mapped.reads.iter().cloned());
                match mapped.reads.iter().find_map(|name| read.differing.get_key_value(name)) {
                    None => Ok(mapped),
                    Some((column, difference)) => Err(CatalogError::Differs {
                        path: difference.path.clone(),
                        column: column.clone(),
                        found: difference.found.clone(),
                        wanted: difference.wanted.clone(),
                    }),
                }
            };
        let columns = map_columns(config, dataset, &compile)?;
        let keep = config
            .only_where
            .as_deref()
            .map(|sql| compile("where", sql, ColumnType::Bool))
            .transpose()?;
        // Last, since it alone reads whole files.
        let watch = Watch::new(config, &files.paths, read.files, used.into_inner())?;
        let watch = Arc::new(watch);
        let (config, keep) = (config.clone(), keep.map(|mapped| mapped.expr));
        Ok(Self { config, paths: files.paths, table, columns, keep, watch })
    }

    /// What the steward wrote.
    pub fn config(&self) -> &SourceConfig {
        &self.config
    }

    /// Its files, sorted.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The source's rows in the dictionary's names and types.
    pub fn view(&self, columns: &[Name]) -> Result<LogicalPlan, DataFusionError> {
        let table: Arc<dyn TableProvider> = Arc::clone(&self.table) as _;
        let mut builder = LogicalPlanBuilder::scan("source", provider_as_source(table), None)?;
        if let Some(keep) = &self.keep {
            builder = builder.filter(keep.clone())?;
        }
        let mapped = columns.iter().map(|name| {
            let missing = || DataFusionError::Internal(format!("column `{name}` is not mapped"));
            Ok(self.columns.get(name).ok_or_else(missing)?.clone().alias(name.as_str()))
        });
        builder.project(mapped.collect::<Result<Vec<Expr>, DataFusionError>>()?)?.build()
    }
}

/// Every dictionary column mapped, and nothing else.
fn map_columns(
    config: &SourceConfig,
    dataset: &Dataset,
    compile: &dyn Fn(&str, &str, ColumnType) -> Result<Mapped, CatalogError>,
) -> Result<BTreeMap<Name, Expr>, CatalogError> {
    if let Some(extra) = config.columns.keys().find(|name| dataset.column(name.as_str()).is_none())
    {
        return Err(CatalogError::NotInDictionary {
            dataset: dataset.name.clone(),
            column: extra.clone(),
        });
    }
    let mapped = dataset.columns.iter().map(|column| {
        let sql = config.columns.get(&column.name).ok_or_else(|| CatalogError::Unmapped {
            dataset: dataset.name.clone(),
            column: column.name.clone(),
            column_type: column.column_type,
        })?;
        let mapped = compile(column.name.as_str(), sql, column.column_type)?;
        Ok((column.name.clone(), mapped.expr))
    });
    mapped.collect()
}

fn check_options(config: &SourceConfig) -> Result<(), CatalogError> {
    let wrong = |option: &str, problem| {
        Err(CatalogError::Option {
            dataset: config.dataset.clone(),
            option: option.to_owned(),
            problem,
        })
    };
    let Some(csv) = &config.csv else { return Ok(()) };
    if config.format != FileFormat::Csv {
        return wrong("csv", "stands beside `format = \"parquet\"`: remove one of them");
    }
    let characters =
        [("delimiter", Some(csv.delimiter)), ("quote", Some(csv.quote)), ("escape", csv.escape)];
    for (option, character) in characters {
        if character.is_some_and(|character| !character.is_ascii()) {
            return wrong(option, "must be one ASCII character: CSV files are read byte by byte");
        }
    }
    Ok(())
}

/// Types are declared for columns that exist.
fn check_types(config: &SourceConfig, stored: &Schema) -> Result<(), CatalogError> {
    let declared = config.csv.iter().flat_map(|csv| csv.types.keys());
    for name in declared {
        if stored.field_with_name(name).is_err() {
            let problem = "is given a type, but the files have no such column: correct `csv.types`";
            return Err(CatalogError::Option {
                dataset: config.dataset.clone(),
                option: name.clone(),
                problem,
            });
        }
    }
    Ok(())
}

/// The engine's table over exactly these files.
fn listing(
    config: &SourceConfig,
    files: &SourceFiles,
    schema: &SchemaRef,
) -> Result<ListingTable, CatalogError> {
    let wrong = |error: DataFusionError| CatalogError::Engine {
        dataset: config.dataset.clone(),
        detail: error.strip_backtrace(),
    };
    let csv = config.csv.clone().unwrap_or_default();
    let format: Arc<dyn EngineFormat> = match config.format {
        FileFormat::Parquet => Arc::new(ParquetFormat::default()),
        FileFormat::Csv => Arc::new(
            CsvFormat::default()
                .with_has_header(csv.header)
                .with_delimiter(one_byte(csv.delimiter))
                .with_quote(one_byte(csv.quote))
                .with_escape(csv.escape.map(one_byte))
                .with_newlines_in_values(true),
        ),
    };
    let url = |path: &Path| {
        let name = path.to_str().ok_or_else(|| CatalogError::FileName { path: path.to_owned() })?;
        ListingTableUrl::parse(name).map_err(wrong)
    };
    let mut options = ListingOptions::new(format).with_file_extension("");
    let urls = match &files.partitioned {
        None => files.paths.iter().map(|path| url(path)).collect::<Result<Vec<_>, _>>()?,
        Some((root, order)) => {
            if let Some(name) = order.iter().find(|name| schema.field_with_name(name).is_ok()) {
                let problem = "stands both in the files and in their folders' names: remove one";
                return Err(CatalogError::Option {
                    dataset: config.dataset.clone(),
                    option: name.clone(),
                    problem,
                });
            }
            // As text: a folder's name that is not of its declared type then gives null, not an error.
            let texts = order.iter().map(|name| (name.clone(), DataType::Utf8)).collect();
            options = options
                .with_file_extension(config.format.ending())
                .with_table_partition_cols(texts);
            vec![url(root)?]
        }
    };
    let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options);
    ListingTable::try_new(config.with_schema(Arc::clone(schema))).map_err(wrong)
}
