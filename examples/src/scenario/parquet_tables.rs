//! The three layouts in Parquet: one file (north-mobile), a Hive-partitioned folder (south-mobile)
//! and a plain folder (corner-shops). It must never hold more than a block of rows and the open
//! row groups.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;

use super::calendar::{MICROS_PER_S, MONTHS};
use super::draws::scramble;
use super::events::{Measure, RegionSeen, Row, amount_cents};
use super::mapping::source_schema;
use super::{PartnerKind, ScenarioError, make_file, make_folder};

/// Rows a row group: bounds what an open writer holds.
const ROW_GROUP_ROWS: usize = 65_536;
/// Files of the retailer; a person's sales are spread over all of them.
const SALES_FILES: usize = 4;
/// A signal and a duration that cannot be.
const ABSURD_SIGNAL_DBM: i64 = 32_767;
const ABSURD_DURATION_S: i64 = 1_000_000_000_000;

/// A partner's Parquet files while they are being written.
pub(super) struct ParquetTable {
    partner: PartnerKind,
    schema: SchemaRef,
    files: Vec<OpenFile>,
}

struct OpenFile {
    path: PathBuf,
    writer: ArrowWriter<File>,
}

impl ParquetTable {
    /// Makes every file of the table, so that files of an earlier run never mix with new ones.
    pub(super) fn create(partner: PartnerKind, folder: &Path) -> Result<Self, ScenarioError> {
        let schema = source_schema(partner);
        let files = file_paths(partner, folder)
            .into_iter()
            .map(|path| OpenFile::create(path, &schema))
            .collect::<Result<_, _>>()?;
        Ok(Self { partner, schema, files })
    }

    pub(super) fn append(&mut self, rows: &[Row]) -> Result<(), ScenarioError> {
        for (index, file) in self.files.iter_mut().enumerate() {
            let here: Vec<&Row> =
                rows.iter().filter(|row| file_index(self.partner, row) == index).collect();
            let columns = columns_of(self.partner, &here);
            let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
                .map_err(|source| ScenarioError::Columns { table: self.partner.name(), source })?;
            file.writer
                .write(&batch)
                .map_err(|source| ScenarioError::Parquet { path: file.path.clone(), source })?;
        }
        Ok(())
    }

    /// Writes the footers; the files in the order of their names.
    pub(super) fn close(self) -> Result<Vec<PathBuf>, ScenarioError> {
        let mut paths = Vec::new();
        for OpenFile { path, writer } in self.files {
            if let Err(source) = writer.close() {
                return Err(ScenarioError::Parquet { path, source });
            }
            paths.push(path);
        }
        Ok(paths)
    }
}

impl OpenFile {
    fn create(path: PathBuf, schema: &SchemaRef) -> Result<Self, ScenarioError> {
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        // Uncompressed: compressors built without optimisation cost more than the bytes they save.
        let properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let file = make_file(&path)?;
        match ArrowWriter::try_new(file, Arc::clone(schema), Some(properties)) {
            Ok(writer) => Ok(Self { path, writer }),
            Err(source) => Err(ScenarioError::Parquet { path, source }),
        }
    }
}

fn file_paths(partner: PartnerKind, folder: &Path) -> Vec<PathBuf> {
    match partner {
        PartnerKind::OperatorSouth => MONTHS
            .iter()
            .map(|month| folder.join(format!("traces/month={month}/part-0.parquet")))
            .collect(),
        PartnerKind::Retailer => (0..SALES_FILES)
            .map(|file| folder.join(format!("sales/sales-{file}.parquet")))
            .collect(),
        PartnerKind::OperatorNorth | PartnerKind::Bank => vec![folder.join("pings.parquet")],
    }
}

fn file_index(partner: PartnerKind, row: &Row) -> usize {
    match partner {
        PartnerKind::OperatorSouth => row.month,
        PartnerKind::Retailer => (row.detail >> 20) as usize % SALES_FILES,
        PartnerKind::OperatorNorth | PartnerKind::Bank => 0,
    }
}

/// Columns in the order of [`source_schema`]; none for the bank, which has no Parquet file.
fn columns_of(partner: PartnerKind, rows: &[&Row]) -> Vec<ArrayRef> {
    match partner {
        PartnerKind::OperatorNorth => ping_columns(rows),
        PartnerKind::OperatorSouth => trace_columns(rows),
        PartnerKind::Retailer => sale_columns(rows),
        PartnerKind::Bank => Vec::new(),
    }
}

/// `subscriber`, `seen_at`, `cell_region`, `signal_dbm`.
fn ping_columns(rows: &[&Row]) -> Vec<ArrayRef> {
    let subscriber =
        rows.iter().map(|row| row.person.map(|p| 700_000_000 + local_number(p, 0x9E37_79B1)));
    let seen_at =
        rows.iter().map(|row| row.second.map(|s| s * MICROS_PER_S + i64::from(row.micros)));
    let cell_region = rows.iter().map(|row| match row.region {
        RegionSeen::Known(region) => Some(format!("R{}", region + 1)),
        RegionSeen::Unknown => Some("unknown".to_owned()),
        RegionSeen::Missing => None,
    });
    let signal_dbm = rows.iter().map(|row| match row.measure {
        Measure::Plain => -120 + (row.detail % 70) as i64,
        Measure::Negative => -999,
        Measure::Absurd => ABSURD_SIGNAL_DBM,
    });
    vec![
        Arc::new(Int64Array::from_iter(subscriber)),
        Arc::new(TimestampMicrosecondArray::from_iter(seen_at)),
        Arc::new(StringArray::from_iter(cell_region)),
        Arc::new(Int64Array::from_iter_values(signal_dbm)),
    ]
}

/// `imsi_hash`, `epoch_s`, `area`, `duration_s`.
fn trace_columns(rows: &[&Row]) -> Vec<ArrayRef> {
    let imsi_hash = rows
        .iter()
        .map(|row| row.person.map(|p| format!("{:016x}", scramble(u64::from(p) ^ 0x50_07B0_B11E))));
    let epoch_s = rows.iter().map(|row| row.second);
    let area = rows.iter().map(|row| match row.region {
        RegionSeen::Known(region) => i64::try_from(region + 1).ok(),
        RegionSeen::Unknown => Some(0),
        RegionSeen::Missing => None,
    });
    let duration_s = rows.iter().map(|row| match row.measure {
        Measure::Plain => 1 + (row.detail % 3_600) as i64,
        Measure::Negative => -1 - (row.detail % 3_600) as i64,
        Measure::Absurd => ABSURD_DURATION_S,
    });
    vec![
        Arc::new(StringArray::from_iter(imsi_hash)),
        Arc::new(Int64Array::from_iter(epoch_s)),
        Arc::new(Int64Array::from_iter(area)),
        Arc::new(Int64Array::from_iter_values(duration_s)),
    ]
}

/// `loyalty_id`, `sold_at`, `store_code`, `basket_eur`.
fn sale_columns(rows: &[&Row]) -> Vec<ArrayRef> {
    let loyalty_id = rows.iter().map(|row| row.person.map(|p| local_number(p, 0x85EB_CA6B)));
    let sold_at = rows.iter().map(|row| row.second.map(|s| s * MICROS_PER_S));
    let store_code = rows.iter().map(|row| match row.region {
        RegionSeen::Known(region) => {
            Some(format!("S{}-{:03}", region + 1, (row.detail >> 30) % 120))
        }
        RegionSeen::Unknown => Some("unknown".to_owned()),
        RegionSeen::Missing => None,
    });
    let basket_eur = rows.iter().map(|row| amount_cents(row) as f64 / 100.0);
    vec![
        Arc::new(Int64Array::from_iter(loyalty_id)),
        Arc::new(TimestampMicrosecondArray::from_iter(sold_at)),
        Arc::new(StringArray::from_iter(store_code)),
        Arc::new(Float64Array::from_iter_values(basket_eur)),
    ]
}

/// A person's number at one partner: one-to-one for an odd factor, and no order shows through.
fn local_number(person: u32, factor: u32) -> i64 {
    i64::from(person.wrapping_mul(factor | 1))
}
