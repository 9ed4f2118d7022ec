//! Whatever physical types a partner's files use, the view gives the dictionary's five.

use crate::world::{lanes, options, plan_sql, write_parquet};
use cloister_node::catalog::{Catalog, SourceConfig};
use cloister_terms::Dictionary;
use datafusion::arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Int16Array,
    LargeStringArray, RecordBatch, StringViewArray, TimestampNanosecondArray, TimestampSecondArray,
    UInt64Array,
};
use datafusion::arrow::datatypes::Int8Type;
use std::sync::Arc;

/// Two persons in the partner's own types; the second row's values do not all convert.
fn table() -> RecordBatch {
    let towns: DictionaryArray<Int8Type> = vec![Some("Ware"), Some("ware")].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("Phone No", Arc::new(LargeStringArray::from(vec!["a", "b"]))),
        ("town", Arc::new(towns)),
        ("note", Arc::new(StringViewArray::from(vec![Some("7"), Some("seven")]))),
        ("small", Arc::new(Int16Array::from(vec![Some(-3), None]))),
        ("huge", Arc::new(UInt64Array::from(vec![9, u64::MAX]))),
        ("half", Arc::new(Float32Array::from(vec![0.5, f32::NAN]))),
        (
            "price",
            Arc::new(
                Decimal128Array::from(vec![1_250, 250]).with_precision_and_scale(9, 2).unwrap(),
            ),
        ),
        ("day", Arc::new(Date32Array::from(vec![1, 1]))),
        (
            "zoned",
            Arc::new(
                TimestampNanosecondArray::from(vec![86_400_000_000_000; 2]).with_timezone("+02:00"),
            ),
        ),
        // The second time is beyond what microseconds can hold.
        ("second", Arc::new(TimestampSecondArray::from(vec![86_400, i64::MAX]))),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

fn dictionary(columns: &[(&str, &str)]) -> Dictionary {
    let column = |(name, kind): &(&str, &str)| {
        let bounds = matches!(*kind, "int64" | "float64")
            .then(|| serde_json::json!({ "min": "-100", "max": "100" }));
        let mut column = serde_json::json!({ "name": name, "type": kind, "description": "" });
        if let Some(bounds) = bounds {
            column["bounds"] = bounds;
        }
        column
    };
    let columns: Vec<_> = columns.iter().map(column).collect();
    let dictionary = serde_json::json!({ "datasets": [{ "name": "rows", "description": "", "unit_column": "who",
        "rows_per_unit_max": 5, "columns": columns }] });
    serde_json::from_value(dictionary).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_physical_type_becomes_the_dictionarys_or_null() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    write_parquet(&path, &table(), 10);
    // Dictionary column, its type, its expression, a condition, rows that meet it.
    let cases: [(&str, &str, &str, i128); 10] = [
        ("text", "town", "c = 'Ware'", 1),
        ("text", "note", "c IN ('7', 'seven')", 2),
        ("int64", "TRY_CAST(note AS BIGINT)", "c = 7", 1),
        ("int64", "small", "c = -3", 1),
        ("int64", "huge", "c = 9 OR c IS NULL", 2),
        ("float64", "half", "c = 0.5", 1),
        ("float64", "price", "c = 12.5 OR c = 2.5", 2),
        ("timestamp", "day", "c = TIMESTAMP '1970-01-02'", 2),
        // Midnight UTC, whatever the zone: instants are compared in UTC.
        ("timestamp", "zoned", "c = TIMESTAMP '1970-01-02'", 2),
        ("timestamp", "second", "c = TIMESTAMP '1970-01-02' OR c IS NULL", 2),
    ];
    for (kind, sql, condition, expected) in cases {
        let dictionary = dictionary(&[("who", "text"), ("c", kind)]);
        let text = format!(
            "dataset = \"rows\"\nformat = \"parquet\"\npath = {path:?}\n[columns]\nwho = '\"Phone No\"'\nc = {sql:?}"
        );
        let source: SourceConfig = toml::from_str(&text).unwrap();
        let catalog = Catalog::open(&[source], &dictionary).unwrap();
        let plan = plan_sql(
            &dictionary,
            &format!("SELECT COUNT(*) AS met FROM rows WHERE {condition}"),
            5,
            1,
        );
        assert_eq!(
            lanes(&plan, &catalog, &options(2, 10), 1).await,
            [expected],
            "{sql}: {condition}"
        );
    }
}
