//! Names of functions: those that are lowered, and how each other one is refused. A name that is
//! not listed here must be refused, whatever an engine would make of it.

pub(crate) use crate::aggregate_names::{AggregateName, aggregate};
use crate::error::{Place, PlanError, excerpt};
use crate::function::{Function, TrimSide};
use cloister_terms::ColumnType;

/// Row-wise functions as they are written, with what each takes.
#[derive(Debug, Clone)]
pub(crate) enum RowFunction {
    /// `COALESCE`
    Coalesce,
    /// `NULLIF`
    NullIf,
    /// `clamp`
    Clamp,
    /// `IF(condition, a, b)`
    If,
    /// `PI()`
    Pi,
    /// Arguments of exactly these types.
    Exact(Function, &'static [ColumnType]),
    /// So many numbers, read as float64.
    Floats(Function, usize),
    /// One number, int64 or float64.
    Number(Function),
    /// Any arguments of one type.
    Alike(Function),
    /// Texts.
    Texts(Function),
    /// `MOD`
    Modulo,
    /// `LOG`, with a base or without.
    Log,
    /// `FLOOR` and `CEIL`
    Whole(Function),
    /// `ROUND` and `TRUNC`
    Digits(fn(i8) -> Function),
    /// `WIDTH_BUCKET`
    WidthBucket,
    /// `TRIM` and its kin
    Trim(TrimSide),
    /// `SUBSTR`
    Substring,
    /// `REPLACE`
    Replace,
    /// `SPLIT_PART`
    SplitPart,
    /// `date_trunc`
    DateTrunc,
    /// `date_part`
    DatePart,
    /// `date_diff`
    DateDiff,
}

/// The row-wise function of that name, in any case.
pub(crate) fn row_function(name: &str) -> Option<RowFunction> {
    let name = name.to_ascii_lowercase();
    number_function(&name).or_else(|| text_function(&name)).or_else(|| {
        Some(match name.as_str() {
            "coalesce" | "ifnull" | "nvl" => RowFunction::Coalesce,
            "nullif" => RowFunction::NullIf,
            "if" | "iif" => RowFunction::If,
            "least" => RowFunction::Alike(Function::Least),
            "greatest" => RowFunction::Alike(Function::Greatest),
            "date_trunc" => RowFunction::DateTrunc,
            "date_part" => RowFunction::DatePart,
            "date_diff" => RowFunction::DateDiff,
            _ => return None,
        })
    })
}

fn number_function(name: &str) -> Option<RowFunction> {
    use RowFunction::{Digits, Floats, Number, Whole};
    Some(match name {
        "clamp" => RowFunction::Clamp,
        "abs" => Number(Function::Abs),
        "sign" => Number(Function::Sign),
        "mod" => RowFunction::Modulo,
        "round" => Digits(|digits| Function::Round { digits }),
        "trunc" | "truncate" => Digits(|digits| Function::Truncate { digits }),
        "floor" => Whole(Function::Floor),
        "ceil" | "ceiling" => Whole(Function::Ceiling),
        "sqrt" => Floats(Function::SquareRoot, 1),
        "exp" => Floats(Function::Exponential, 1),
        "ln" => Floats(Function::NaturalLog, 1),
        "log" => RowFunction::Log,
        "log10" => Floats(Function::Log10, 1),
        "log2" => Floats(Function::Log2, 1),
        "power" | "pow" => Floats(Function::Power, 2),
        "sin" => Floats(Function::Sine, 1),
        "cos" => Floats(Function::Cosine, 1),
        "tan" => Floats(Function::Tangent, 1),
        "asin" => Floats(Function::ArcSine, 1),
        "acos" => Floats(Function::ArcCosine, 1),
        "atan" => Floats(Function::ArcTangent, 1),
        "atan2" => Floats(Function::ArcTangent2, 2),
        "radians" => Floats(Function::Radians, 1),
        "degrees" => Floats(Function::Degrees, 1),
        "pi" => RowFunction::Pi,
        "width_bucket" => RowFunction::WidthBucket,
        _ => return None,
    })
}

fn text_function(name: &str) -> Option<RowFunction> {
    use ColumnType::{Int64, Text};
    use RowFunction::{Exact, Texts, Trim};
    Some(match name {
        "lower" => Exact(Function::Lower, &[Text]),
        "upper" => Exact(Function::Upper, &[Text]),
        "trim" | "btrim" => Trim(TrimSide::Both),
        "ltrim" => Trim(TrimSide::Leading),
        "rtrim" => Trim(TrimSide::Trailing),
        "substr" | "substring" => RowFunction::Substring,
        "left" => Exact(Function::Left, &[Text, Int64]),
        "right" => Exact(Function::Right, &[Text, Int64]),
        "length" | "char_length" | "character_length" => Exact(Function::Length, &[Text]),
        "concat" => Texts(Function::Concat),
        "replace" => RowFunction::Replace,
        "split_part" => RowFunction::SplitPart,
        "strpos" | "position" => Exact(Function::Position, &[Text, Text]),
        "starts_with" => Exact(Function::StartsWith, &[Text, Text]),
        "ends_with" => Exact(Function::EndsWith, &[Text, Text]),
        "contains" => Exact(Function::Contains, &[Text, Text]),
        _ => return None,
    })
}

/// Aggregates that are no sum over people, or not yet one.
const OTHER_AGGREGATES: [&str; 24] = [
    "any_value",
    "array_agg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "every",
    "first",
    "group_concat",
    "grouping",
    "last",
    "listagg",
    "mean",
    "median",
    "mode",
    "percentile",
    "product",
    "std",
    "stdev",
    "string_agg",
    "total",
    "xmlagg",
];
/// Beginnings of the names of families of aggregates.
const OTHER_AGGREGATE_FAMILIES: [&str; 9] = [
    "approx_",
    "covar",
    "percentile_",
    "quantile",
    "regr_",
    "stddev",
    "var_",
    "variance",
    "json_agg",
];
/// Functions that give another value each time.
const VOLATILE: [&str; 18] = [
    "clock_timestamp",
    "current_date",
    "current_time",
    "current_timestamp",
    "gen_random_uuid",
    "getdate",
    "localtime",
    "localtimestamp",
    "newid",
    "now",
    "rand",
    "random",
    "statement_timestamp",
    "sysdate",
    "timeofday",
    "today",
    "transaction_timestamp",
    "uuid",
];

/// What is computed of one person's rows.
const OF_PERSON: &str = "of one person's rows write COUNT, SUM, AVG, MIN or MAX; others are taken over people, in \
                         the outer SELECT";
/// What stands for ranks over one person's rows.
const RANKS: &str = "number a person's rows with ROW_NUMBER() OVER (PARTITION BY unit ORDER BY ...) in a \
                     subquery; sort the answer with ORDER BY";
/// What stands for single rows of one person.
const ONE_ROW: &str = "number a person's rows with ROW_NUMBER() OVER (PARTITION BY unit ORDER BY ...) in a \
                       subquery and choose one with WHERE; LAG and LEAD look beside a row";

/// Functions that are often asked for, with what to write instead.
const INSTEAD: &[(&str, &str)] = &[
    ("year", "write EXTRACT(YEAR FROM time)"),
    ("quarter", "write EXTRACT(QUARTER FROM time)"),
    ("month", "write EXTRACT(MONTH FROM time)"),
    ("week", "write EXTRACT(WEEK FROM time)"),
    ("day", "write EXTRACT(DAY FROM time)"),
    ("dayofmonth", "write EXTRACT(DAY FROM time)"),
    ("dayofweek", "write EXTRACT(DOW FROM time)"),
    ("weekday", "write EXTRACT(ISODOW FROM time)"),
    ("dayofyear", "write EXTRACT(DOY FROM time)"),
    ("hour", "write EXTRACT(HOUR FROM time)"),
    ("minute", "write EXTRACT(MINUTE FROM time)"),
    ("second", "write EXTRACT(SECOND FROM time)"),
    ("datepart", "write EXTRACT(MONTH FROM time)"),
    ("date", "write CAST(time AS DATE)"),
    ("to_days", "write date_diff('day', DATE '2019-07-01', time)"),
    ("unix_timestamp", "write EXTRACT(EPOCH FROM time)"),
    ("strftime", "write EXTRACT(MONTH FROM time), date_trunc('month', time) or CAST(time AS TEXT)"),
    (
        "date_format",
        "write EXTRACT(MONTH FROM time), date_trunc('month', time) or CAST(time AS TEXT)",
    ),
    ("instr", "write STRPOS(text, part)"),
    ("locate", "write STRPOS(text, part)"),
    ("charindex", "write STRPOS(text, part)"),
    ("len", "write LENGTH(text)"),
    ("isnull", "write x IS NULL, or COALESCE(x, other)"),
    ("decode", "write CASE x WHEN a THEN b ... END"),
    ("ucase", "write UPPER(text)"),
    ("lcase", "write LOWER(text)"),
    ("count_if", "write COUNT(*) FILTER (WHERE condition)"),
    ("countif", "write COUNT(*) FILTER (WHERE condition)"),
    ("sum_if", "write SUM(x) FILTER (WHERE condition)"),
    ("sumif", "write SUM(x) FILTER (WHERE condition)"),
    ("rank", RANKS),
    ("dense_rank", RANKS),
    ("percent_rank", RANKS),
    ("cume_dist", RANKS),
    ("ntile", RANKS),
    ("first_value", ONE_ROW),
    ("last_value", ONE_ROW),
    ("nth_value", ONE_ROW),
    ("age", "write date_diff('day', a, b)"),
    ("timestampdiff", "write date_diff('day', a, b)"),
    ("datediff", "write date_diff('day', a, b)"),
    ("date_bin", "write date_trunc('hour', time), or CASE bands"),
    ("dateadd", "write time + INTERVAL '1 month'"),
    ("date_add", "write time + INTERVAL '1 month'"),
    ("make_date", "write DATE '2019-07-01', or CAST(text AS DATE)"),
    ("to_date", "write CAST(text AS DATE), with text like '2019-07-01'"),
    ("to_timestamp", "write CAST(text AS TIMESTAMP), with text like '2019-07-01 10:00:00'"),
    ("to_char", "write EXTRACT(month FROM time), date_trunc or CAST(x AS TEXT)"),
    ("regexp_like", "write LIKE or ILIKE with % and _"),
    ("regexp_match", "write LIKE or ILIKE with % and _"),
    ("regexp_matches", "write LIKE or ILIKE with % and _"),
    ("regexp_replace", "write REPLACE(text, 'from', 'to') or SPLIT_PART"),
    ("lpad", "compare with the texts meant, or use RIGHT(CONCAT('000', text), 3)"),
    ("rpad", "compare with the texts meant, or use LEFT(CONCAT(text, '   '), 3)"),
    ("repeat", "write the text itself"),
    ("concat_ws", "write a || ', ' || b"),
    ("setseed", "leave it out: nothing an analysis does is random but the noise"),
];

/// The error for a function that is not on the list.
pub(crate) fn refuse_function(name: &str, place: Place) -> PlanError {
    let folded = name.to_ascii_lowercase();
    let folded = folded.as_str();
    let name = excerpt(name);
    if VOLATILE.contains(&folded) {
        return PlanError::Volatile { name, place };
    }
    if matches!(folded, "min" | "max") {
        return PlanError::Extreme { name, place };
    }
    if let Some(&(_, instead)) = INSTEAD.iter().find(|(other, _)| *other == folded) {
        return PlanError::Function { name, place, instead };
    }
    if is_other_aggregate(folded) {
        return PlanError::Aggregate { name, place };
    }
    let instead = "use CASE, CAST, COALESCE, LEAST, GREATEST, ROUND, date_trunc, EXTRACT, SUBSTR, LOWER \
                   or another function of the SQL reference";
    PlanError::Function { name, place, instead }
}

/// Whether a function, in small letters, is an aggregate that is not offered.
pub(crate) fn is_other_aggregate(folded: &str) -> bool {
    let in_family = OTHER_AGGREGATE_FAMILIES.iter().any(|family| folded.starts_with(family));
    in_family || OTHER_AGGREGATES.contains(&folded)
}

/// The error for a function that is not on the list, inside a subquery.
pub(crate) fn refuse_of_person(name: &str, place: Place) -> PlanError {
    match refuse_function(name, place) {
        PlanError::Aggregate { name, place } => {
            PlanError::Function { name, place, instead: OF_PERSON }
        }
        other => other,
    }
}

/// The error for an aggregate over people among one person's rows.
pub(crate) fn refuse_aggregate_of_person(name: &str, place: Place) -> PlanError {
    PlanError::Function { name: excerpt(name), place, instead: OF_PERSON }
}
