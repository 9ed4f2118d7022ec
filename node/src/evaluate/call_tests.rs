//! Every function against the engine's own on hostile rows: the same text is planned by us and by the
//! engine. Where the two differ the contract says so, and so does the case.

use crate::evaluate::{Columns, EvaluateError, evaluate, settle};
use cloister_plan::{Contribute, Expr, Function, LaneExpr, Question, Spend, plan};
use cloister_terms::{Body, ColumnType, Dictionary, Name};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    Field, Float64Type, Int64Type, Schema, TimestampMicrosecondType,
};
use datafusion::common::DFSchema;
use datafusion::prelude::SessionContext;
use std::sync::Arc;

/// What may differ in a row.
#[derive(Clone, Copy, PartialEq)]
enum May {
    /// Nothing; where the engine fails, ours is NULL.
    Equal,
    /// The last bits of a float: the engine's mathematics is the system's.
    LastBits,
    /// Ours is NULL where the engine wraps, grows without bound, or reads more spellings.
    NullHere,
    /// Ours has a value where the engine has none: far years, or blanks around a number.
    ValueHere,
}

const COLUMNS: [(&str, ColumnType); 9] = [
    ("i", ColumnType::Int64),
    ("j", ColumnType::Int64),
    ("f", ColumnType::Float64),
    ("g", ColumnType::Float64),
    ("t", ColumnType::Text),
    ("u", ColumnType::Text),
    ("a", ColumnType::Timestamp),
    ("z", ColumnType::Timestamp),
    ("b", ColumnType::Bool),
];
const ROWS: usize = 700;

fn dictionary() -> Dictionary {
    let column = |(name, column_type): (&str, ColumnType)| {
        format!(r#"{{"name":"{name}","type":"{column_type}","description":""}}"#)
    };
    let columns = COLUMNS.map(column).join(",");
    let person = column(("person", ColumnType::Int64));
    let json = format!(
        r#"{{"datasets":[{{"name":"d","description":"","unit_column":"person","columns":[{person},{columns}],"rows_per_unit_max":5}}]}}"#
    );
    serde_json::from_str(&json).unwrap()
}

/// The expression of a text, as it is planned.
fn planned(text: &str) -> Expr {
    let body =
        Body::Sql { text: format!("SELECT COUNT(CASE WHEN true THEN {text} END) AS n FROM d") };
    let spend = Spend { epsilon: None, rho: Some("1".parse().unwrap()), delta: None };
    let question =
        Question { body: &body, row_cap: 5, group_cap: 1, spend, diagnostics: false, rounds: 1 };
    let planned = plan(&dictionary(), &question).unwrap_or_else(|error| panic!("{text}: {error}"));
    let Contribute::Sql(sql) = planned.plan.contribute else { panic!("SQL became a module") };
    match &sql.lanes[0] {
        LaneExpr::CountNonNull { expr: Expr::Case { branches, .. } } => branches[0].then.clone(),
        other => panic!("{text}: {other:?}"),
    }
}

/// Hostile values in all columns, pairs of them in `i` and `j`, `f` and `g`, and so on.
fn rows() -> Vec<ArrayRef> {
    let ints = [
        None,
        Some(0),
        Some(1),
        Some(-1),
        Some(2),
        Some(7),
        Some(-3),
        Some(1 << 53),
        Some(i64::MAX),
        Some(i64::MIN),
        Some(i64::MIN + 1),
        Some(10),
    ];
    let floats = [
        None,
        Some(0.0),
        Some(1.0),
        Some(-1.0),
        Some(0.5),
        Some(-2.5),
        Some(3.7),
        Some(12.125),
        Some(1e15),
        Some(-1e300),
        Some(f64::MAX),
        Some(5e-324),
        Some(9.3e18),
        Some(0.1),
    ];
    let texts = [
        None,
        Some(""),
        Some(" "),
        Some("a"),
        Some("A"),
        Some("banana"),
        Some("héllo wörld"),
        Some("ÉCOLE"),
        Some("straße"),
        Some("12"),
        Some(" 12 "),
        Some("-7.5"),
        Some("1e999"),
        Some("NaN"),
        Some("true"),
        Some("No"),
        Some("2019-02-28"),
        Some("2019-07-01 10:00:00.25"),
        Some("100%"),
        Some("a_b"),
        Some("a\\b"),
        Some("e\u{301}\u{10ffff}"),
        Some("aXbXc"),
        Some("2019-02-30"),
    ];
    let times = [
        None,
        Some(0),
        Some(-1),
        Some(1_561_939_200_000_000),
        Some(1_582_934_400_250_000),
        Some(1_546_214_400_000_000),
        Some(1_609_631_999_999_999),
        Some(-62_135_596_800_000_000),
        Some(253_402_300_799_999_999),
        Some(i64::MAX),
        Some(i64::MIN),
        Some(1_580_428_800_000_000),
        Some(-2_208_988_800_000_001),
        Some(-11_644_473_600_000_000),
    ];
    let bools = [None, Some(true), Some(false)];
    fn pick<T: Copy>(values: &[T], second: bool) -> Vec<T> {
        let at = |row: usize| if second { row / values.len() } else { row };
        (0..ROWS).map(|row| values[at(row) % values.len()]).collect()
    }
    vec![
        Arc::new(Int64Array::from(pick(&ints, false))),
        Arc::new(Int64Array::from(pick(&ints, true))),
        Arc::new(Float64Array::from(pick(&floats, false))),
        Arc::new(Float64Array::from(pick(&floats, true))),
        Arc::new(StringArray::from(pick(&texts, false))),
        Arc::new(StringArray::from(pick(&texts, true))),
        Arc::new(TimestampMicrosecondArray::from(pick(&times, false))),
        Arc::new(TimestampMicrosecondArray::from(pick(&times, true))),
        Arc::new(BooleanArray::from(pick(&bools, false))),
    ]
}

fn ours(expr: &Expr, arrays: &[ArrayRef]) -> ArrayRef {
    let names = COLUMNS.map(|(name, _)| Name::new(name).unwrap());
    evaluate(expr, Columns { names: &names, arrays, rows: ROWS }).unwrap()
}

/// The engine's value in each row: `None` where it fails.
fn theirs(context: &SessionContext, text: &str, arrays: &[ArrayRef]) -> Vec<Option<ArrayRef>> {
    let fields = COLUMNS.iter().zip(arrays);
    let fields =
        fields.map(|((name, _), array)| Field::new(*name, array.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays.to_vec()).unwrap();
    let schema = DFSchema::try_from(schema).unwrap();
    let parsed =
        context.parse_sql_expr(text, &schema).unwrap_or_else(|error| panic!("{text}: {error}"));
    let expr = context.create_physical_expr(parsed, &schema);
    let expr = expr.unwrap_or_else(|error| panic!("{text}: {error}"));
    let all = |batch: &RecordBatch| {
        expr.evaluate(batch).and_then(|value| value.into_array(batch.num_rows())).ok()
    };
    // One row that fails fails all: then each is asked alone.
    match all(&batch) {
        Some(array) => (0..ROWS).map(|row| Some(array.slice(row, 1))).collect(),
        None => (0..ROWS).map(|row| all(&batch.slice(row, 1))).collect(),
    }
}

fn agrees(ours: &ArrayRef, row: usize, theirs: Option<&ArrayRef>, may: May) -> bool {
    let ours = ours.slice(row, 1);
    let Some(theirs) = theirs else { return ours.is_null(0) || may == May::ValueHere };
    let theirs = cast(theirs, ours.data_type()).unwrap();
    let theirs: ArrayRef = match theirs.as_primitive_opt::<Float64Type>() {
        Some(floats) => Arc::new(settle(floats)),
        None => theirs,
    };
    match (ours.is_null(0), theirs.is_null(0)) {
        (true, true) => true,
        (true, false) => may == May::NullHere,
        (false, true) => may == May::ValueHere,
        (false, false) if may == May::LastBits => {
            let [ours, theirs] =
                [&ours, &theirs].map(|one| one.as_primitive::<Float64Type>().value(0));
            (ours - theirs).abs() <= 1e-13 * ours.abs().max(theirs.abs()).max(1e-300)
        }
        (false, false) => ours.as_ref() == theirs.as_ref(),
    }
}

fn compare(cases: &[(&str, &str, May)]) {
    let arrays = rows();
    let context = SessionContext::new();
    let mut wrong = Vec::new();
    for (text, other, may) in cases {
        let other = if other.is_empty() { text } else { other };
        let expr = planned(text);
        let given = ours(&expr, &arrays);
        let mut values = 0;
        for (row, wanted) in theirs(&context, other, &arrays).iter().enumerate() {
            if !agrees(&given, row, wanted.as_ref(), *may) {
                let input = |(_, array): (_, &ArrayRef)| array.slice(row, 1);
                let inputs =
                    COLUMNS.iter().zip(&arrays).filter(|((name, _), _)| text.contains(name));
                let inputs: Vec<_> = inputs.map(input).collect();
                let given = given.slice(row, 1);
                wrong.push(format!(
                    "{text}: ours {given:?}, the engine's {wanted:?}, of {inputs:?}"
                ));
                break;
            }
            values +=
                usize::from(given.is_valid(row) && wanted.as_ref().is_some_and(|w| w.is_valid(0)));
        }
        if values <= 10 && wrong.is_empty() {
            wrong.push(format!("{text} must be compared on values, not only on NULLs"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n").replace('\n', " "));
}

#[test]
fn a05_numbers_agree_with_the_engine() {
    use May::*;
    compare(&[
        // The engine wraps.
        ("i + j", "", NullHere),
        ("i - j", "", NullHere),
        ("i * j", "", NullHere),
        ("-i", "0 - i", NullHere),
        // The engine fails where the divisor is 0.
        ("i % 7", "", Equal),
        ("i % (j * j % 5 + 1)", "i % (((j % 5) * (j % 5)) % 5 + 1)", NullHere),
        ("f % g", "", Equal),
        ("abs(i)", "", Equal),
        ("abs(f)", "", Equal),
        ("sign(f)", "signum(f)", Equal),
        ("sign(i)", "signum(i)", Equal),
        ("least(i, j, 3)", "", Equal),
        ("greatest(i, j, 3)", "", Equal),
        ("least(f, g)", "", Equal),
        ("greatest(f, g)", "", Equal),
        ("least(t, u)", "", Equal),
        ("greatest(a, z)", "", Equal),
        ("round(f)", "", Equal),
        ("round(case when abs(f) < 1e12 then f end, 2)", "", LastBits),
        ("trunc(f)", "", Equal),
        ("trunc(case when abs(f) < 1e12 then f end, 1)", "", LastBits),
        ("floor(f)", "", Equal),
        ("ceil(f)", "", Equal),
        ("sqrt(f)", "", Equal),
        ("exp(f)", "", LastBits),
        ("ln(f)", "", LastBits),
        ("log(f)", "log10(f)", LastBits),
        ("log2(f)", "", LastBits),
        ("log(2, f)", "log(2.0, f)", LastBits),
        ("power(f, g)", "", LastBits),
        ("sin(f)", "", LastBits),
        ("cos(f)", "", LastBits),
        ("tan(f)", "", LastBits),
        ("asin(f)", "", LastBits),
        ("acos(f)", "", LastBits),
        ("atan(f)", "", LastBits),
        ("atan2(f, g)", "", LastBits),
        ("radians(f)", "", LastBits),
        ("degrees(f)", "", LastBits),
        ("f * pi()", "", LastBits),
        (
            "width_bucket(f, 0, 10, 5)",
            "case when f < 0 then 0 when f >= 10 then 6 when f is not null then floor(f / 2) + 1 end",
            Equal,
        ),
    ]);
}

#[test]
fn a05_conditions_and_casts_agree_with_the_engine() {
    use May::*;
    compare(&[
        ("b is true", "", Equal),
        ("b is not true", "", Equal),
        ("b is not false", "", Equal),
        ("b is unknown", "", Equal),
        ("t is distinct from u", "", Equal),
        ("f is not distinct from g", "", Equal),
        ("i is distinct from 1", "", Equal),
        ("t not in ('a', 'A', 'banana')", "", Equal),
        ("t like 'a%'", "", Equal),
        ("t like '%a_a%'", "", Equal),
        ("t not like '%\\%'", "", Equal),
        ("t like 'a\\_b'", "", Equal),
        ("t like '_'", "", Equal),
        ("t like 'a!_b' escape '!'", "t = 'a_b'", Equal),
        ("t ilike 'é%'", "", Equal),
        ("t ilike '%AN%'", "", Equal),
        ("if(b, i, j)", "case when b then i else j end", Equal),
        ("ifnull(f, g)", "case when f is null then g else f end", Equal),
        ("cast(i as text)", "", Equal),
        ("i::boolean", "", Equal),
        ("cast(i as double)", "", Equal),
        ("cast(b as bigint)", "", Equal),
        ("cast(b as text)", "", Equal),
        ("cast(cast(f as text) as double)", "f", Equal),
        // The engine cuts the fraction off; ours rounds, ties to even.
        ("cast(trunc(f) as bigint)", "try_cast(f as bigint)", Equal),
        ("cast(f + 0.25 as bigint)", "try_cast(round(f + 0.25) as bigint)", Equal),
        // Ours cuts blanks off.
        ("cast(t as bigint)", "try_cast(t as bigint)", ValueHere),
        ("try_cast(t as bigint)", "try_cast(trim(t) as bigint)", Equal),
        ("cast(t as double)", "try_cast(trim(t) as double)", Equal),
        ("cast(t as decimal(9, 2))", "try_cast(trim(t) as double)", Equal),
        ("cast(t as boolean)", "try_cast(trim(t) as boolean)", Equal),
        ("cast(t as timestamp)", "try_cast(t as timestamp)", Equal),
        ("cast(t as date)", "date_trunc('day', try_cast(t as timestamp))", Equal),
        // Ours writes years 1 to 9999 only.
        ("cast(cast(a as text) as timestamp)", "a", NullHere),
    ]);
}

#[test]
fn a05_texts_agree_with_the_engine() {
    use May::*;
    compare(&[
        ("lower(t)", "", Equal),
        ("upper(t)", "", Equal),
        ("trim(t)", "", Equal),
        ("ltrim(t)", "", Equal),
        ("rtrim(t)", "", Equal),
        ("btrim(t, 'aé')", "", Equal),
        ("trim(leading 'a' from t)", "ltrim(t, 'a')", Equal),
        ("substr(t, 2, 3)", "", Equal),
        ("substring(t from 2 for 3)", "", Equal),
        ("substr(t, -1, 4)", "", Equal),
        // The engine fails on the largest numbers.
        ("substr(t, i)", "", ValueHere),
        ("substr(t, i % 5, j % 3)", "", ValueHere),
        ("left(t, i)", "", ValueHere),
        ("right(t, i)", "", ValueHere),
        ("length(t)", "", Equal),
        ("t || u", "", Equal),
        ("t || '-' || u", "", Equal),
        ("concat(t, u)", "", Equal),
        ("replace(t, 'a', 'bb')", "", Equal),
        // The engine puts the text between all characters.
        ("replace(t, '', 'x')", "t", Equal),
        ("split_part(t, 'a', 2)", "", Equal),
        ("split_part(t, 'X', -1)", "", Equal),
        ("strpos(t, u)", "", Equal),
        ("position(u in t)", "strpos(t, u)", Equal),
        ("starts_with(t, u)", "", Equal),
        ("ends_with(t, u)", "", Equal),
        ("contains(t, u)", "", Equal),
    ]);
}

#[test]
fn a05_times_agree_with_the_engine() {
    use May::*;
    let mut cases: Vec<(String, String, May)> = Vec::new();
    // The engine's calendar ends, or wraps, before int64's microseconds do.
    let near = "case when a > timestamp '1700-01-01' and a < timestamp '2200-01-01' then";
    let units = ["year", "quarter", "month", "week", "day", "hour", "minute", "second"];
    for unit in units {
        for of in [format!("date_trunc('{unit}', a)"), format!("extract({unit} from a)")] {
            cases.push((format!("{near} {of} end"), String::new(), Equal));
        }
    }
    for field in ["isoyear", "dow", "isodow", "doy"] {
        cases.push((format!("{near} date_part('{field}', a) end"), String::new(), Equal));
    }
    for (ours, theirs) in [
        ("extract(epoch from a)", "extract(epoch from a)"),
        ("a + interval '1 month'", ""),
        ("a - interval '1 year 2 days'", ""),
        ("a + interval '5' hour", ""),
        ("a + interval '90 minutes 3 seconds'", ""),
        ("interval '2 weeks' + a", "a + interval '14 days'"),
        (
            "date_diff('month', a, timestamp '2019-07-15')",
            "(2019 * 12 + 7) - (extract(year from a) * 12 + extract(month from a))",
        ),
        ("date_diff('year', a, timestamp '2019-07-15')", "2019 - extract(year from a)"),
        (
            "date_diff('day', a, timestamp '1970-01-01')",
            "0 - floor(extract(epoch from date_trunc('day', a)) / 86400)",
        ),
        (
            "date_diff('hour', a, timestamp '1970-01-01')",
            "0 - floor(extract(epoch from date_trunc('hour', a)) / 3600)",
        ),
        (
            "date_diff('week', a, timestamp '1970-01-01')",
            "0 - floor((extract(epoch from date_trunc('day', a)) / 86400 + 3) / 7)",
        ),
    ] {
        let theirs = if theirs.is_empty() { ours } else { theirs };
        cases.push((format!("{near} {ours} end"), format!("{near} {theirs} end"), Equal));
    }
    let cases: Vec<_> =
        cases.iter().map(|(ours, theirs, may)| (ours.as_str(), theirs.as_str(), *may)).collect();
    compare(&cases);
}

#[test]
fn constants_give_one_value_and_wrong_types_an_error() {
    let arrays = rows();
    let names = COLUMNS.map(|(name, _)| Name::new(name).unwrap());
    let columns = Columns { names: &names, arrays: &arrays, rows: ROWS };
    let column = |text: &str| Expr::Column { name: Name::new(text).unwrap() };
    let whole = evaluate(&planned("3 + 4"), columns).unwrap();
    assert_eq!((whole.len(), whole.as_primitive::<Int64Type>().value(ROWS - 1)), (ROWS, 7));
    let one = Expr::Call { function: Function::Add, of: vec![planned("3"), planned("4")] };
    assert_eq!(evaluate(&one, columns).unwrap().as_primitive::<Int64Type>().value(5), 7);
    let time = evaluate(&planned("date '2019-07-01' + interval '1 day'"), columns).unwrap();
    assert_eq!(time.as_primitive::<TimestampMicrosecondType>().value(0), 1_562_025_600_000_000);
    for (function, of) in [
        (Function::Add, vec![column("i"), column("f")]),
        (Function::Add, vec![column("i")]),
        (Function::Lower, vec![column("i")]),
        (Function::Concat, vec![]),
        (Function::Cast { to: ColumnType::Timestamp }, vec![column("i")]),
        (Function::Substring, vec![column("t"), column("i"), column("j"), column("j")]),
    ] {
        let wrong = evaluate(&Expr::Call { function, of }, columns);
        assert!(matches!(wrong, Err(EvaluateError::Type { .. })), "{wrong:?}");
    }
}

/// A batch may hold many long texts: what is made of them must not outgrow the engine's arrays.
#[test]
fn texts_that_grow_are_null_before_they_fill_memory() {
    let long = "\u{390}".repeat(1_000);
    let arrays: [ArrayRef; 1] = [Arc::new(StringArray::from(vec![long.as_str(); 50]))];
    let names = [Name::new("t").unwrap()];
    let columns = Columns { names: &names, arrays: &arrays, rows: 50 };
    let mut text = "t".to_owned();
    for _ in 0..6 {
        text = format!("({text} || {text})");
    }
    assert_eq!(evaluate(&planned(&text), columns).unwrap().null_count(), 50);
    assert_eq!(evaluate(&planned("upper(t)"), columns).unwrap().null_count(), 50);
    assert_eq!(evaluate(&planned("left(t, 900)"), columns).unwrap().null_count(), 0);
}
