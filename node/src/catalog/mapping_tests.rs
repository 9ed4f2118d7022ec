//! Tests of what a mapping expression may be, and that no value makes one fail.

use super::*;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray, StringViewArray, UInt32Array,
};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{Field, Int64Type};

fn stored() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("CustomerID", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
        Field::new("when", DataType::Timestamp(TimeUnit::Nanosecond, None), true),
    ]))
}

fn mapper() -> Mapper {
    Mapper::new(stored(), stored(), false)
}

fn column(sql: &str, target: ColumnType) -> Result<Mapped, ExpressionProblem> {
    mapper().column(sql, target)
}

/// Runs a compiled expression the way the engine does.
fn values(
    sql: &str,
    target: ColumnType,
    texts: Vec<Option<&str>>,
    ints: Vec<Option<i64>>,
) -> ArrayRef {
    let mapped = column(sql, target).unwrap();
    let rows = texts.len();
    let Expr::ScalarFunction(call) = &mapped.expr else { panic!("{sql} is a function") };
    let all: [ArrayRef; 3] = [
        Arc::new(StringArray::from(texts)),
        Arc::new(Int64Array::from(ints)),
        Arc::new(Float64Array::from(vec![1.5; rows])),
    ];
    let read = mapped.reads.iter().map(|name| Arc::clone(&all[stored().index_of(name).unwrap()]));
    let function: &dyn std::any::Any = call.func.inner().as_ref();
    function
        .downcast_ref::<MappedColumn>()
        .unwrap()
        .values(&read.collect::<Vec<_>>(), rows)
        .unwrap()
}

#[test]
fn names_are_those_of_the_files_and_unknown_ones_are_named() {
    assert_eq!(column("CustomerID", ColumnType::Text).unwrap().reads, ["CustomerID"]);
    let error = column("customerid", ColumnType::Text).unwrap_err();
    assert!(
        matches!(&error, ExpressionProblem::NoColumn { column, known } if column == "customerid" && known.contains("`CustomerID`")),
        "{error}"
    );
    for sql in ["n; DROP TABLE x", "n +", ")", "", "n n", "SELECT 1"] {
        let refused = column(sql, ColumnType::Int64);
        assert!(matches!(refused, Err(ExpressionProblem::Syntax(_))), "`{sql}`: {refused:?}");
    }
    let long = "1 + ".repeat(20_000) + "1";
    assert!(matches!(column(&long, ColumnType::Int64), Err(ExpressionProblem::TooLong { .. })));
}

#[test]
fn only_row_wise_and_repeatable_expressions_pass() {
    for (sql, what) in [
        ("sum(n)", "aggregate"),
        ("row_number() OVER (ORDER BY n)", "window"),
        ("random()", "random"),
        ("uuid()", "uuid"),
        ("now()", "now"),
        ("n + CAST(random() * 10 AS BIGINT)", "random"),
        ("CASE WHEN count(*) > 3 THEN 1 END", "aggregate"),
    ] {
        let error = column(sql, ColumnType::Float64).unwrap_err().to_string();
        assert!(error.contains(what), "{sql}: {error}");
    }
    for sql in ["(SELECT 1)", "n IN (SELECT 1)", "EXISTS (SELECT 1)", "$1", "*"] {
        assert!(column(sql, ColumnType::Int64).is_err(), "{sql} must be refused");
    }
}

#[test]
fn types_convert_only_where_nothing_is_lost() {
    assert!(matches!(column("n", ColumnType::Int64).unwrap().expr, Expr::Column(_)));
    assert!(column("n", ColumnType::Float64).is_ok());
    assert!(column("when", ColumnType::Timestamp).is_ok());
    assert!(column("n > 3", ColumnType::Bool).is_ok());
    assert!(column("NULL", ColumnType::Timestamp).is_ok());
    assert!(column("CAST(NULL AS DOUBLE)", ColumnType::Float64).is_ok());
    for (sql, target) in [
        ("CustomerID", ColumnType::Int64),
        ("x", ColumnType::Int64),
        ("n", ColumnType::Text),
        ("n", ColumnType::Timestamp),
    ] {
        let error = column(sql, target).unwrap_err().to_string();
        assert!(error.contains("TRY_CAST"), "{error}");
    }
    let lenient = Mapper::new(stored(), stored(), true);
    assert!(lenient.column("CustomerID", ColumnType::Int64).is_ok());
}

#[test]
fn a15_no_value_makes_a_mapping_fail() {
    let texts = vec![Some("12"), Some("x"), None, Some("0")];
    let ints = vec![Some(5), Some(0), Some(i64::MIN), None];
    let numbers = |sql: &str| values(sql, ColumnType::Int64, texts.clone(), ints.clone());
    let cast = numbers("CAST(CustomerID AS BIGINT)");
    assert_eq!(
        cast.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(),
        [Some(12), None, None, Some(0)]
    );
    let quotient = numbers("10 / n");
    assert_eq!(
        quotient.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(),
        [Some(2), None, Some(0), None]
    );
    assert_eq!(numbers("n % (n - 5)").as_primitive::<Int64Type>().value(1), 0);
    assert!(
        numbers("n / -1").is_null(1) || numbers("n / -1").as_primitive::<Int64Type>().value(1) == 0
    );
    let dates = values(
        "to_timestamp(CustomerID)",
        ColumnType::Timestamp,
        vec![Some("2024-01-01T00:00:00"), Some("junk"), None, Some("")],
        ints.clone(),
    );
    assert_eq!((dates.is_null(0), dates.null_count()), (false, 3));
    let guarded = numbers("CASE WHEN CustomerID = 'x' THEN 1 / (n - n) ELSE n END");
    assert!(guarded.is_null(1) && guarded.is_valid(0));
}

#[test]
fn a05_floats_are_settled_and_huge_texts_are_null() {
    let floats = values("x / (n - 5)", ColumnType::Float64, vec![None; 2], vec![Some(5), Some(6)]);
    assert_eq!(
        floats
            .as_primitive::<datafusion::arrow::datatypes::Float64Type>()
            .iter()
            .collect::<Vec<_>>(),
        [None, Some(1.5)]
    );
    let huge = "y".repeat(super::super::function::TEXT_VALUE_BYTES_MAX + 1);
    let texts = values(
        "CustomerID",
        ColumnType::Text,
        vec![Some("a"), Some(&huge), Some("b")],
        vec![None; 3],
    );
    assert_eq!(texts.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a"), None, Some("b")]);
}

/// What one batch of a Parquet file may be: the file holds the long text once.
#[test]
fn a26_a_long_text_in_many_rows_is_null_in_each_and_fails_none() {
    // Copied out, they would be more than one column of texts can hold.
    const ROWS: usize = 2_100;
    let stored = Arc::new(Schema::new(vec![Field::new("note", DataType::Utf8View, true)]));
    let declared = declare(&stored, |_| None);
    assert_eq!(declared.field(0).data_type(), &DataType::Utf8);
    let mapped = Mapper::new(stored, declared, false).column("note", ColumnType::Text).unwrap();
    let Expr::ScalarFunction(call) = &mapped.expr else { panic!("texts go through a function") };
    let function: &dyn std::any::Any = call.func.inner().as_ref();
    let function = function.downcast_ref::<MappedColumn>().unwrap();
    let long = "y".repeat(1 << 20);
    let both = StringViewArray::from(vec![Some(long.as_str()), Some("short")]);
    let places = (0..ROWS).map(|row| u32::from(row % 1_000 == 7));
    let places = UInt32Array::from_iter_values(places);
    let notes = take(&both, &places, None).unwrap();
    let texts = function.values(&[notes], ROWS).unwrap();
    assert_eq!((texts.len(), texts.null_count()), (ROWS, ROWS - 3));
    for row in [7, 1_007, 2_007] {
        assert_eq!(texts.as_string::<i32>().value(row), "short");
    }
}
