//! A steward's SQL expression becomes a checked, total column: parsed over the source's own columns,
//! walked against a list of what is allowed, its casts made null-giving. Nothing that sees more than
//! one row, or differs from one run to the next, may pass.

use crate::catalog::error::ExpressionProblem;
use crate::catalog::function::MappedColumn;
use crate::evaluate::arrow_type;
use cloister_terms::ColumnType;
use cloister_terms::limits::SQL_BYTES_MAX;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, ScalarUDF, TryCast, Volatility, ident};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

/// Most columns that an error lists.
const LISTED_COLUMNS_MAX: usize = 30;

/// Turns expressions over one source into columns.
pub struct Mapper {
    context: SessionContext,
    /// Columns as the engine reads them from the files.
    stored: SchemaRef,
    /// The same columns in the types the steward declared.
    declared: SchemaRef,
    /// Whether texts may become other types by themselves, as in CSV, where everything is text.
    texts_convert: bool,
}

/// A mapped column and what it reads.
#[derive(Debug, Clone)]
pub struct Mapped {
    /// The engine's expression over the stored columns; its type is the dictionary's.
    pub expr: Expr,
    /// Names of the source's columns it reads.
    pub reads: Vec<String>,
}

impl Mapper {
    /// For a source with these columns; both schemas have the same names in the same order.
    pub fn new(stored: SchemaRef, declared: SchemaRef, texts_convert: bool) -> Self {
        let mut config = SessionConfig::new();
        // Names are spelled as in the files.
        config.options_mut().sql_parser.enable_ident_normalization = false;
        Self { context: SessionContext::new_with_config(config), stored, declared, texts_convert }
    }

    /// Compiles `sql` to a column of type `target`. Errors name what is wrong and what to do.
    pub fn column(&self, sql: &str, target: ColumnType) -> Result<Mapped, ExpressionProblem> {
        let parsed = null_giving(row_wise(self.parse(sql)?)?).map_err(engine)?;
        let mut used: Vec<usize> = Vec::new();
        for column in parsed.column_refs() {
            used.push(
                self.declared.index_of(column.name()).map_err(|_| self.no_column(column.name()))?,
            );
        }
        used.sort_unstable();
        used.dedup();
        let input: SchemaRef =
            Arc::new(self.declared.project(&used).map_err(|error| engine(error.into()))?);
        let over = DFSchema::try_from(input.as_ref().clone()).map_err(engine)?;
        let physical = self.context.create_physical_expr(parsed.clone(), &over).map_err(engine)?;
        let found = physical.data_type(&input).map_err(engine)?;
        if !converts(&found, target, self.texts_convert) {
            let (wanted, cast) = (target, sql_type(target));
            return Err(ExpressionProblem::Type { found: found.to_string(), wanted, cast });
        }
        let reads = input.fields().iter().map(|field| field.name().clone()).collect();
        let function = MappedColumn::new(sql, physical, Arc::clone(&input), target);
        let expr = match (&parsed, used.as_slice()) {
            (_, []) => {
                // A constant: what fails is null, as in every row.
                let value = function.values(&[], 1).map_err(engine)?;
                Expr::Literal(ScalarValue::try_from_array(&value, 0).map_err(engine)?, None)
            }
            // Left to the engine, which may then push filters into the files.
            (Expr::Column(_), [one]) if self.is_stored_as(*one, target) => ident(self.name(*one)),
            _ => {
                let arguments = used.iter().map(|place| ident(self.name(*place))).collect();
                ScalarUDF::new_from_impl(function).call(arguments)
            }
        };
        Ok(Mapped { expr, reads })
    }

    fn parse(&self, sql: &str) -> Result<Expr, ExpressionProblem> {
        if sql.len() > SQL_BYTES_MAX {
            return Err(ExpressionProblem::TooLong { bytes: sql.len(), max: SQL_BYTES_MAX });
        }
        let over = DFSchema::try_from(self.declared.as_ref().clone()).map_err(engine)?;
        self.context.parse_sql_expr(sql, &over).map_err(|error| match error.find_root() {
            DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
                SchemaError::FieldNotFound { field, .. } => self.no_column(field.name()),
                other => ExpressionProblem::Engine(other.to_string()),
            },
            DataFusionError::SQL(syntax, _) => ExpressionProblem::Syntax(syntax.to_string()),
            other => ExpressionProblem::Syntax(other.strip_backtrace()),
        })
    }

    fn name(&self, place: usize) -> &str {
        self.declared.fields().get(place).map_or("", |field| field.name())
    }

    /// Floats need settling and texts a length check, so they always go through the function.
    fn is_stored_as(&self, place: usize, target: ColumnType) -> bool {
        let stored = self.stored.fields().get(place).map(|field| field.data_type());
        let plain = matches!(target, ColumnType::Int64 | ColumnType::Timestamp | ColumnType::Bool);
        plain && stored == Some(&arrow_type(target))
    }

    fn no_column(&self, column: &str) -> ExpressionProblem {
        let names = self.declared.fields().iter().map(|field| format!("`{}`", field.name()));
        let mut known: Vec<String> = names.take(LISTED_COLUMNS_MAX).collect();
        if self.declared.fields().len() > LISTED_COLUMNS_MAX {
            known.push("...".to_owned());
        }
        ExpressionProblem::NoColumn { column: column.to_owned(), known: known.join(", ") }
    }
}

/// The columns of `stored` with the types given for some of them. Expressions see texts in one layout, however
/// they were read.
pub fn declare(stored: &Schema, types: impl Fn(&str) -> Option<ColumnType>) -> SchemaRef {
    let fields = stored.fields().iter().map(|field| {
        let seen = match (types(field.name()), field.data_type()) {
            (Some(declared), _) => arrow_type(declared),
            (None, DataType::Utf8View) => DataType::Utf8,
            (None, stored) => stored.clone(),
        };
        field.as_ref().clone().with_data_type(seen).with_nullable(true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn engine(error: DataFusionError) -> ExpressionProblem {
    ExpressionProblem::Engine(error.strip_backtrace())
}

/// Passes an expression of one row that gives the same value each time, and nothing else.
fn row_wise(expr: Expr) -> Result<Expr, ExpressionProblem> {
    let mut refused = None;
    let walked = expr.apply(|part| {
        refused = match part {
            Expr::Alias(_)
            | Expr::Column(_)
            | Expr::Literal(..)
            | Expr::BinaryExpr(_)
            | Expr::Like(_)
            | Expr::SimilarTo(_)
            | Expr::Not(_)
            | Expr::IsNotNull(_)
            | Expr::IsNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Negative(_)
            | Expr::Between(_)
            | Expr::Case(_)
            | Expr::Cast(_)
            | Expr::TryCast(_)
            | Expr::InList(_) => None,
            Expr::ScalarFunction(call)
                if call.func.signature().volatility == Volatility::Immutable =>
            {
                None
            }
            Expr::ScalarFunction(call) => Some(format!("function `{}`", call.func.name())),
            Expr::AggregateFunction(call) => Some(format!("aggregate `{}`", call.func.name())),
            Expr::WindowFunction(call) => Some(format!("window function `{}`", call.fun.name())),
            Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::SetComparison(_)
            | Expr::ScalarSubquery(_) => Some("a subquery".to_owned()),
            Expr::Placeholder(_) | Expr::ScalarVariable(..) => Some("a parameter".to_owned()),
            _ => Some("this form of expression".to_owned()),
        };
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.map_err(engine)?;
    match refused {
        Some(what) => Err(ExpressionProblem::NotRowWise(what)),
        None => Ok(expr),
    }
}

/// Every cast becomes one that gives null where it cannot convert.
fn null_giving(expr: Expr) -> Result<Expr, DataFusionError> {
    let rewritten = expr.transform(|part| {
        Ok(match part {
            Expr::Cast(cast) => {
                Transformed::yes(Expr::TryCast(TryCast { expr: cast.expr, field: cast.field }))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(rewritten.data)
}

/// Whether values of `found` become `target` without losing their meaning.
fn converts(found: &DataType, target: ColumnType, texts_convert: bool) -> bool {
    let is_text = matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    if *found == DataType::Null || (is_text && texts_convert) {
        return true;
    }
    match (found, target) {
        (DataType::Dictionary(_, values), _) => converts(values, target, texts_convert),
        (_, ColumnType::Text) => is_text,
        (_, ColumnType::Int64) => found.is_integer(),
        (_, ColumnType::Float64) => found.is_integer() || found.is_floating() || found.is_decimal(),
        (_, ColumnType::Bool) => *found == DataType::Boolean,
        // With a zone the instant's UTC wall time is taken.
        (
            DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64,
            ColumnType::Timestamp,
        ) => true,
        (_, ColumnType::Timestamp) => *found == DataType::Timestamp(TimeUnit::Microsecond, None),
    }
}

fn sql_type(target: ColumnType) -> &'static str {
    match target {
        ColumnType::Int64 => "BIGINT",
        ColumnType::Float64 => "DOUBLE",
        ColumnType::Text => "VARCHAR",
        ColumnType::Timestamp => "TIMESTAMP(6)",
        ColumnType::Bool => "BOOLEAN",
    }
}

#[cfg(test)]
#[path = "mapping_tests.rs"]
mod tests;
