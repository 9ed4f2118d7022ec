//! What each partner has (its own columns) and the row-wise view that maps them onto the shared
//! dictionary's dataset. Every expression is total: dirt becomes null, never an error, because an
//! error would tell of one row. It must never look at more than one row.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::PartnerKind;

/// The shared dictionary's one dataset.
pub const DATASET: &str = "events";

/// Type of a column in the shared dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DictionaryType {
    /// UTF-8 text.
    Text,
    /// Microseconds since 1970-01-01 UTC, without a zone.
    TimestampMicros,
    /// 64-bit float.
    Float,
}

/// The dataset's columns; `person_id` is the privacy unit, `region` has the public domain
/// [`super::population::REGIONS`], `amount_eur` is null where a partner has none.
pub const COLUMNS: [(&str, DictionaryType); 4] = [
    ("person_id", DictionaryType::Text),
    ("event_time", DictionaryType::TimestampMicros),
    ("region", DictionaryType::Text),
    ("amount_eur", DictionaryType::Float),
];

/// The partner's view: (dictionary column, SQL expression over its own columns), in the order of
/// [`COLUMNS`]. The dialect is DataFusion's, with its string and time functions.
///
/// Numbers become text by `TRY_CAST`, not `CAST`: DataFusion 55 casts a file's numeric minimum and
/// maximum to text when it plans a filter over `CAST(id AS VARCHAR)`, finds `'7' > '10'`, and fails
/// with both in the error (apache/datafusion issue 25532).
pub fn mapping(partner: PartnerKind) -> Vec<(&'static str, &'static str)> {
    let expressions = match partner {
        PartnerKind::OperatorNorth => [
            "TRY_CAST(subscriber AS VARCHAR)",
            "seen_at",
            "CASE cell_region WHEN 'R1' THEN 'Ashford' WHEN 'R2' THEN 'Bramley' \
             WHEN 'R3' THEN 'Coldmere' WHEN 'R4' THEN 'Dunholt' WHEN 'R5' THEN 'Elmstead' \
             WHEN 'R6' THEN 'Fairhaven' WHEN 'R7' THEN 'Glenbrook' WHEN 'R8' THEN 'Harwick' \
             ELSE NULL END",
            "CAST(NULL AS DOUBLE)",
        ],
        PartnerKind::OperatorSouth => [
            "imsi_hash",
            "TRY_CAST(to_timestamp_seconds(epoch_s) AS TIMESTAMP(6))",
            "CASE area WHEN 1 THEN 'Ashford' WHEN 2 THEN 'Bramley' WHEN 3 THEN 'Coldmere' \
             WHEN 4 THEN 'Dunholt' WHEN 5 THEN 'Elmstead' WHEN 6 THEN 'Fairhaven' \
             WHEN 7 THEN 'Glenbrook' WHEN 8 THEN 'Harwick' ELSE NULL END",
            "CAST(NULL AS DOUBLE)",
        ],
        PartnerKind::Bank => [
            "account_no",
            "TRY_CAST(booked_at AS TIMESTAMP(6))",
            "CASE lower(merchant_town) WHEN 'ashford' THEN 'Ashford' \
             WHEN 'bramley' THEN 'Bramley' WHEN 'coldmere' THEN 'Coldmere' \
             WHEN 'dunholt' THEN 'Dunholt' WHEN 'elmstead' THEN 'Elmstead' \
             WHEN 'fairhaven' THEN 'Fairhaven' WHEN 'glenbrook' THEN 'Glenbrook' \
             WHEN 'harwick' THEN 'Harwick' ELSE NULL END",
            "amount_eur",
        ],
        PartnerKind::Retailer => [
            "TRY_CAST(loyalty_id AS VARCHAR)",
            "sold_at",
            "CASE substr(store_code, 2, 1) WHEN '1' THEN 'Ashford' WHEN '2' THEN 'Bramley' \
             WHEN '3' THEN 'Coldmere' WHEN '4' THEN 'Dunholt' WHEN '5' THEN 'Elmstead' \
             WHEN '6' THEN 'Fairhaven' WHEN '7' THEN 'Glenbrook' WHEN '8' THEN 'Harwick' \
             ELSE NULL END",
            "basket_eur",
        ],
    };
    COLUMNS.iter().map(|(column, _)| *column).zip(expressions).collect()
}

/// The view as one `SELECT` over the registered source table `source`.
pub fn view_sql(partner: PartnerKind, source: &str) -> String {
    let columns: Vec<String> = mapping(partner)
        .iter()
        .map(|(column, expression)| format!("{expression} AS {column}"))
        .collect();
    format!("SELECT {} FROM {source}", columns.join(", "))
}

/// The partner's own columns as they stand in its files; declare it for CSV, where types
/// would otherwise be guessed from the first rows.
pub fn source_schema(partner: PartnerKind) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let columns = match partner {
        PartnerKind::OperatorNorth => vec![
            ("subscriber", DataType::Int64),
            ("seen_at", time),
            ("cell_region", DataType::Utf8),
            ("signal_dbm", DataType::Int64),
        ],
        PartnerKind::OperatorSouth => vec![
            ("imsi_hash", DataType::Utf8),
            ("epoch_s", DataType::Int64),
            ("area", DataType::Int64),
            ("duration_s", DataType::Int64),
        ],
        PartnerKind::Bank => vec![
            ("account_no", DataType::Utf8),
            ("booked_at", DataType::Utf8),
            ("merchant_town", DataType::Utf8),
            ("amount_eur", DataType::Float64),
            ("category", DataType::Utf8),
        ],
        PartnerKind::Retailer => vec![
            ("loyalty_id", DataType::Int64),
            ("sold_at", time),
            ("store_code", DataType::Utf8),
            ("basket_eur", DataType::Float64),
        ],
    };
    let fields: Vec<Field> =
        columns.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect();
    Arc::new(Schema::new(fields))
}

/// Columns that stand in the folders' names, all text.
pub const fn partition_columns(partner: PartnerKind) -> &'static [&'static str] {
    match partner {
        PartnerKind::OperatorSouth => &["month"],
        _ => &[],
    }
}
