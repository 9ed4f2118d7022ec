//! Calls and casts: each name of the list with the arguments it takes becomes one function of the plan,
//! or a constant where all its arguments are. Whatever shapes the work of a function must be a constant
//! here: patterns, delimiters, digits, buckets, units.

use crate::construct::Construct;
use crate::error::{Place, PlanError};
use crate::expr::{Branch, Expr, FloatBits, Literal};
use crate::function::{DateUnit, Function, TrimSide, can_cast};
use crate::functions::RowFunction;
use crate::limits::{DIGITS_MAX, LITERAL_BYTES_MAX};
use crate::lower_times::{date_field, date_unit};
use crate::row::{self, is_pattern};
use crate::typed::{Typed, unify, unify_pair};
use cloister_terms::ColumnType;
use cloister_terms::limits::DOMAIN_VALUES_MAX;
use sqlparser::ast::{DataType, ExactNumberInfo, TimezoneInfo};

/// An expression with its type.
pub(crate) type Lowered = Result<(Expr, ColumnType), PlanError>;

/// Where a call stands and what it is called, for errors.
#[derive(Clone, Copy)]
pub(crate) struct Called<'n> {
    /// As it is written.
    pub name: &'n str,
    /// Where.
    pub place: Place,
}

impl Called<'_> {
    /// The error that says what it takes.
    pub fn takes(self, wanted: &'static str) -> PlanError {
        PlanError::Arguments { name: self.name.to_owned(), wanted, place: self.place }
    }
}

/// A function of values whose types fit it; a constant when all of them are.
pub(crate) fn called(
    function: Function,
    of: Vec<Expr>,
    column_type: ColumnType,
) -> (Expr, ColumnType) {
    if of.iter().all(|expr| matches!(expr, Expr::Literal { .. } | Expr::Null { .. })) {
        let data: Vec<_> = of
            .iter()
            .map(|expr| if let Expr::Literal { value } = expr { Some(value.datum()) } else { None })
            .collect();
        let value = row::apply(&function, &data).map(Literal::of_datum);
        match value {
            None => return (Expr::Null { column_type }, column_type),
            Some(Some(Literal::Text(text))) if text.len() > LITERAL_BYTES_MAX => {}
            Some(Some(value)) => return (Expr::literal(value), column_type),
            Some(None) => {}
        }
    }
    (Expr::Call { function, of }, column_type)
}

/// A call by its name with its arguments.
pub(crate) fn row_call(function: RowFunction, args: Vec<Typed>, by: Called<'_>) -> Lowered {
    match function {
        RowFunction::Coalesce if args.is_empty() => Err(by.takes("at least one value")),
        RowFunction::Coalesce => {
            let (of, column_type) = unify(args)?;
            Ok((Expr::Coalesce { of }, column_type))
        }
        RowFunction::NullIf => {
            let [left, right] = exactly(args, by.takes("two values"))?;
            let (left, right, column_type) = unify_pair(left, right)?;
            let (left, right) = (Box::new(left), Box::new(right));
            Ok((Expr::NullIf { left, right }, column_type))
        }
        RowFunction::Clamp => clamp(args, by),
        RowFunction::If => {
            let [when, then, otherwise] = exactly(args, by.takes("a condition and two values"))?;
            let (then, otherwise, column_type) = unify_pair(then, otherwise)?;
            let branches = vec![Branch { when: when.boolean()?, then }];
            let otherwise = Some(Box::new(otherwise));
            Ok((Expr::Case { operand: None, branches, otherwise }, column_type))
        }
        RowFunction::Exact(function, types) => exact(function, types, args, by),
        RowFunction::Texts(_) | RowFunction::Alike(_) if args.is_empty() => {
            Err(by.takes("at least one value"))
        }
        RowFunction::Texts(function) => {
            let of = args.into_iter().map(|arg| arg.exactly(ColumnType::Text));
            Ok(called(function, of.collect::<Result<_, _>>()?, ColumnType::Text))
        }
        RowFunction::Alike(function) => {
            let (of, column_type) = unify(args)?;
            Ok(called(function, of, column_type))
        }
        RowFunction::Substring => substring(args, by),
        RowFunction::Trim(side) => {
            let mut args = args.into_iter();
            match (args.next(), args.next(), args.next()) {
                (Some(of), what, None) => trim(side, of, what, by),
                _ => Err(by.takes("a text, and the characters to cut as a constant")),
            }
        }
        RowFunction::Replace => replace(args, by),
        RowFunction::SplitPart => split_part(args, by),
        RowFunction::DateTrunc | RowFunction::DatePart | RowFunction::DateDiff => {
            of_times(function, args, by)
        }
        other => number_call(other, args, by),
    }
}

/// A remainder.
pub(crate) fn modulo(left: Typed, right: Typed) -> Lowered {
    for side in [&left, &right] {
        if !side.is_number() {
            return Err(side.wrong("a number", "use number columns and number constants"));
        }
    }
    let (left, right, column_type) = unify_pair(left, right)?;
    Ok(called(Function::Modulo, vec![left, right], column_type))
}

/// `FLOOR` or `CEIL`: whole numbers are left as they are.
pub(crate) fn whole(function: Function, of: Typed) -> Lowered {
    if of.column_type == ColumnType::Int64 {
        return Ok((of.expr, of.column_type));
    }
    Ok(called(function, vec![of.float()?], ColumnType::Float64))
}

/// `SUBSTR(text, start[, length])`.
pub(crate) fn substring(args: Vec<Typed>, by: Called<'_>) -> Lowered {
    if !(2..=3).contains(&args.len()) {
        return Err(by.takes("a text, a start from 1 and perhaps a length"));
    }
    let mut of = Vec::new();
    for arg in args {
        let wanted = if of.is_empty() { ColumnType::Text } else { ColumnType::Int64 };
        of.push(arg.exactly(wanted)?);
    }
    Ok(called(Function::Substring, of, ColumnType::Text))
}

/// A text without the constant's characters at its ends, without blanks where there is none.
pub(crate) fn trim(side: TrimSide, of: Typed, what: Option<Typed>, by: Called<'_>) -> Lowered {
    let characters = match what.map(|what| what.expr) {
        None => " ".to_owned(),
        Some(Expr::Literal { value: Literal::Text(characters) }) => characters,
        Some(_) => return Err(by.takes("the characters to cut as a constant text")),
    };
    let of = vec![of.exactly(ColumnType::Text)?];
    Ok(called(Function::Trim { side, characters }, of, ColumnType::Text))
}

/// `LIKE`, negated or not.
pub(crate) fn like(
    of: Typed,
    pattern: &str,
    escape: Option<char>,
    ignore_case: bool,
) -> Result<Expr, PlanError> {
    let place = of.place;
    if !is_pattern(pattern, escape) {
        let name = "LIKE".to_owned();
        let wanted = "a pattern that does not end with its escape character";
        return Err(PlanError::Arguments { name, wanted, place });
    }
    let function = Function::Like { pattern: pattern.to_owned(), escape, ignore_case };
    Ok(called(function, vec![of.exactly(ColumnType::Text)?], ColumnType::Bool).0)
}

/// A value as another type; NULL where it is none of that type.
pub(crate) fn cast(of: Typed, to: &DataType) -> Lowered {
    let Some(to) = target(to) else {
        return Err(PlanError::refused(Construct::Cast, of.place));
    };
    match to {
        Target::Type(to) => cast_to(of, to),
        Target::Date => {
            let (of, column_type) = cast_to(of, ColumnType::Timestamp)?;
            Ok(called(Function::DateTrunc { unit: DateUnit::Day }, vec![of], column_type))
        }
    }
}

/// The type a cast of NULL gives it.
pub(crate) fn cast_null(to: &DataType, place: Place) -> Lowered {
    let column_type = match target(to) {
        Some(Target::Type(column_type)) => column_type,
        Some(Target::Date) => ColumnType::Timestamp,
        None => return Err(PlanError::refused(Construct::Cast, place)),
    };
    Ok((Expr::Null { column_type }, column_type))
}

fn cast_to(of: Typed, to: ColumnType) -> Lowered {
    let from = of.column_type;
    match (from, to) {
        _ if from == to => Ok((of.expr, to)),
        (ColumnType::Int64, ColumnType::Float64) => Ok((of.float()?, to)),
        (ColumnType::Bool, ColumnType::Float64) => {
            let (expr, column_type) =
                called(Function::Cast { to: ColumnType::Int64 }, vec![of.expr], ColumnType::Int64);
            Ok((Typed { expr, column_type, place: of.place }.float()?, to))
        }
        _ if can_cast(from, to) => Ok(called(Function::Cast { to }, vec![of.expr], to)),
        (ColumnType::Timestamp, _) => Err(of.wrong(
            "a value that can be cast to that type",
            "write EXTRACT(epoch FROM time), or EXTRACT(year FROM time)",
        )),
        (_, ColumnType::Timestamp) => Err(of.wrong(
            "a text or time to cast",
            "write TIMESTAMP '1970-01-01' for a start, and add INTERVAL constants",
        )),
        _ => Err(of.wrong("a value that can be cast to that type", "write CASE or a comparison")),
    }
}

/// What a cast makes.
enum Target {
    Type(ColumnType),
    /// A timestamp at midnight.
    Date,
}

fn target(data_type: &DataType) -> Option<Target> {
    Some(Target::Type(match data_type {
        DataType::TinyInt(None)
        | DataType::SmallInt(None)
        | DataType::Int2(None)
        | DataType::Int4(None)
        | DataType::Int(None)
        | DataType::Integer(None)
        | DataType::BigInt(None)
        | DataType::Int8(None)
        | DataType::Int64 => ColumnType::Int64,
        DataType::Double(ExactNumberInfo::None)
        | DataType::DoublePrecision
        | DataType::Float(ExactNumberInfo::None)
        | DataType::Float8
        | DataType::Float64
        | DataType::Real
        | DataType::Decimal(_)
        | DataType::Dec(_)
        | DataType::Numeric(_) => ColumnType::Float64,
        DataType::Text
        | DataType::Varchar(None)
        | DataType::CharacterVarying(None)
        | DataType::CharVarying(None)
        | DataType::String(None) => ColumnType::Text,
        DataType::Bool | DataType::Boolean => ColumnType::Bool,
        DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone)
        | DataType::Datetime(None) => ColumnType::Timestamp,
        DataType::Date => return Some(Target::Date),
        _ => return None,
    }))
}

fn exactly<const N: usize>(args: Vec<Typed>, wrong: PlanError) -> Result<[Typed; N], PlanError> {
    <[Typed; N]>::try_from(args).map_err(|_| wrong)
}

fn exact(
    function: Function,
    types: &'static [ColumnType],
    args: Vec<Typed>,
    by: Called<'_>,
) -> Lowered {
    if args.len() != types.len() {
        return Err(by.takes(match types {
            [_] => "one argument",
            [_, ColumnType::Int64] => "a text and a number of characters",
            _ => "two texts",
        }));
    }
    let of = args.into_iter().zip(types).map(|(arg, wanted)| arg.exactly(*wanted));
    let of = of.collect::<Result<Vec<_>, _>>()?;
    let result = function.result_type(types).ok_or_else(|| by.takes("other arguments"))?;
    Ok(called(function, of, result))
}

fn number_call(function: RowFunction, args: Vec<Typed>, by: Called<'_>) -> Lowered {
    if let Some(other) = args.iter().find(|arg| !arg.is_number()) {
        return Err(other.wrong("a number", "use number columns and number constants"));
    }
    match function {
        RowFunction::Pi if args.is_empty() => {
            let pi = FloatBits::new(std::f64::consts::PI).map(Literal::Float);
            let pi = pi.ok_or_else(|| by.takes("no argument"))?;
            Ok((Expr::literal(pi), ColumnType::Float64))
        }
        RowFunction::Pi => Err(by.takes("no argument")),
        RowFunction::Number(function) => {
            let [of] = exactly(args, by.takes("one number"))?;
            let column_type = of.column_type;
            Ok(called(function, vec![of.expr], column_type))
        }
        RowFunction::Floats(function, count) if args.len() == count => floats(function, args),
        RowFunction::Floats(_, 1) => Err(by.takes("one number")),
        RowFunction::Floats(..) => Err(by.takes("two numbers")),
        RowFunction::Log if args.len() == 1 => floats(Function::Log10, args),
        RowFunction::Log if args.len() == 2 => floats(Function::LogOf, args),
        RowFunction::Log => Err(by.takes("a number, or a base and a number")),
        RowFunction::Modulo => {
            let [left, right] = exactly(args, by.takes("two numbers"))?;
            modulo(left, right)
        }
        RowFunction::Whole(function) => {
            let [of] = exactly(args, by.takes("one number"))?;
            whole(function, of)
        }
        RowFunction::Digits(function) => digits(function, args, by),
        _ => width_bucket(args, by),
    }
}

fn floats(function: Function, args: Vec<Typed>) -> Lowered {
    let of = args.into_iter().map(Typed::float).collect::<Result<_, _>>()?;
    Ok(called(function, of, ColumnType::Float64))
}

/// Whole numbers are left as they are unless digits before the point are rounded away.
fn digits(function: fn(i8) -> Function, args: Vec<Typed>, by: Called<'_>) -> Lowered {
    let wrong = || by.takes("a number, and digits from -15 to 15 as a constant");
    let mut args = args.into_iter();
    let (Some(of), digits, None) = (args.next(), args.next(), args.next()) else {
        return Err(wrong());
    };
    let digits = match digits.map(|digits| digits.expr) {
        None => 0,
        Some(Expr::Literal { value: Literal::Int(digits) }) => i8::try_from(digits.0)
            .ok()
            .filter(|digits| digits.unsigned_abs() <= DIGITS_MAX)
            .ok_or_else(wrong)?,
        Some(_) => return Err(wrong()),
    };
    if of.column_type == ColumnType::Int64 && digits >= 0 {
        return Ok((of.expr, of.column_type));
    }
    Ok(called(function(digits), vec![of.float()?], ColumnType::Float64))
}

fn width_bucket(args: Vec<Typed>, by: Called<'_>) -> Lowered {
    let wrong = || {
        by.takes("a number, two ends with the lower first, and a number of buckets, all but the first constants")
    };
    let [of, low, high, buckets] = exactly(args, wrong())?;
    let Expr::Literal { value: Literal::Int(buckets) } = buckets.expr else { return Err(wrong()) };
    // Two more are beside the ends, and all of them are a public domain.
    let buckets = u32::try_from(buckets.0).ok().filter(|buckets| {
        usize::try_from(*buckets)
            .is_ok_and(|buckets| (1..=DOMAIN_VALUES_MAX - 2).contains(&buckets))
    });
    let end = |end: Typed| match end.float()? {
        Expr::Literal { value: Literal::Float(float) } => Ok(float),
        _ => Err(wrong()),
    };
    let (low, high) = (end(low)?, end(high)?);
    let width = high.value() - low.value();
    let buckets = buckets.filter(|_| width.is_finite() && width > 0.0).ok_or_else(wrong)?;
    let function = Function::WidthBucket { low, high, buckets };
    Ok(called(function, vec![of.float()?], ColumnType::Int64))
}

fn replace(args: Vec<Typed>, by: Called<'_>) -> Lowered {
    let wrong = || by.takes("a text, and two constant texts");
    let [of, from, to] = exactly(args, wrong())?;
    let (Some(from), Some(to)) = (text_constant(from), text_constant(to)) else {
        return Err(wrong());
    };
    let of = vec![of.exactly(ColumnType::Text)?];
    Ok(called(Function::Replace { from, to }, of, ColumnType::Text))
}

fn split_part(args: Vec<Typed>, by: Called<'_>) -> Lowered {
    let wrong = || by.takes("a text, a constant delimiter and a constant part from 1 or from -1");
    let [of, delimiter, part] = exactly(args, wrong())?;
    let (Some(delimiter), Expr::Literal { value: Literal::Int(part) }) =
        (text_constant(delimiter), part.expr)
    else {
        return Err(wrong());
    };
    if part.0 == 0 {
        return Err(wrong());
    }
    let of = vec![of.exactly(ColumnType::Text)?];
    Ok(called(Function::SplitPart { delimiter, part }, of, ColumnType::Text))
}

fn of_times(function: RowFunction, args: Vec<Typed>, by: Called<'_>) -> Lowered {
    let units = "a unit in quotes (year, quarter, month, week, day, hour, minute or second) first, then times";
    let mut args = args.into_iter();
    let unit = args.next().and_then(text_constant);
    let mut time = || args.next().ok_or_else(|| by.takes(units))?.exactly(ColumnType::Timestamp);
    let lowered = match (function, unit) {
        (RowFunction::DateTrunc, Some(unit)) => {
            let unit = date_unit(&unit).ok_or_else(|| by.takes(units))?;
            called(Function::DateTrunc { unit }, vec![time()?], ColumnType::Timestamp)
        }
        (RowFunction::DateDiff, Some(unit)) => {
            let unit = date_unit(&unit).ok_or_else(|| by.takes(units))?;
            called(Function::DateDiff { unit }, vec![time()?, time()?], ColumnType::Int64)
        }
        (_, Some(field)) => {
            let (function, column_type) = date_field(&field, by)?;
            called(function, vec![time()?], column_type)
        }
        (_, None) => return Err(by.takes(units)),
    };
    if args.next().is_some() { Err(by.takes(units)) } else { Ok(lowered) }
}

fn clamp(args: Vec<Typed>, by: Called<'_>) -> Lowered {
    let wrong = || by.takes("a number and two number constants");
    if args.len() != 3 || !args.iter().all(Typed::is_number) {
        return Err(wrong());
    }
    let (values, column_type) = unify(args)?;
    let Ok([of, low, high]) = <[Expr; 3]>::try_from(values) else { return Err(wrong()) };
    let ends = (constant(low), constant(high));
    let (Some(low), Some(high)) = ends else { return Err(wrong()) };
    let is_reversed = match (&low, &high) {
        (Literal::Int(low), Literal::Int(high)) => low > high,
        _ => low.number() > high.number(),
    };
    if is_reversed {
        return Err(PlanError::ClampReversed { place: by.place });
    }
    Ok((Expr::Clamp { of: Box::new(of), low, high }, column_type))
}

/// The literal an expression is.
pub(crate) fn constant(expr: Expr) -> Option<Literal> {
    match expr {
        Expr::Literal { value } => Some(value),
        _ => None,
    }
}

/// The text an expression is.
fn text_constant(of: Typed) -> Option<String> {
    match of.expr {
        Expr::Literal { value: Literal::Text(text) } => Some(text),
        _ => None,
    }
}
