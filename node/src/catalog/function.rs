//! A mapping expression as one total function of the engine: one row in, one value of the dictionary's
//! type out, null where the expression has none. It must never fail on a value, since a failure would
//! tell of one row.

use crate::evaluate::{arrow_type, settle};
use cloister_terms::ColumnType;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options, concat};
use datafusion::arrow::datatypes::{DataType, Float64Type, SchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Longest text of one value, in bytes; a longer one is null. It keeps every batch of texts within
/// the 2 GiB that Arrow can address, whatever a file holds.
pub const TEXT_VALUE_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of texts that were read as views and are copied at once; the text of one row may be longer.
const COPIED_BYTES_MAX: usize = 64 << 20;

/// One column's expression over the source's columns it uses.
#[derive(Debug)]
pub struct MappedColumn {
    sql: String,
    expression: Arc<dyn PhysicalExpr>,
    /// The columns used, in the types the steward declared.
    input: SchemaRef,
    target: ColumnType,
    signature: Signature,
}

impl MappedColumn {
    /// `expression` was planned over `input`; `sql` is its text.
    pub fn new(
        sql: &str,
        expression: Arc<dyn PhysicalExpr>,
        input: SchemaRef,
        target: ColumnType,
    ) -> Self {
        let signature = match input.fields().len() {
            0 => Signature::nullary(Volatility::Immutable),
            columns => Signature::any(columns, Volatility::Immutable),
        };
        Self { sql: sql.to_owned(), expression, input, target, signature }
    }

    /// The values of `rows` rows. Errors on wrong column types only, never on a value.
    pub fn values(&self, arrays: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        // Views of one long text are small, their copies are not.
        if rows > 1 && viewed_bytes(arrays) > COPIED_BYTES_MAX {
            let part = |start: usize, rows: usize| {
                let arrays: Vec<_> = arrays.iter().map(|array| array.slice(start, rows)).collect();
                self.values(&arrays, rows)
            };
            let half = rows / 2;
            let (left, right) = (part(0, half)?, part(half, rows - half)?);
            return Ok(concat(&[left.as_ref(), right.as_ref()])?);
        }
        let typed = arrays
            .iter()
            .zip(self.input.fields())
            .map(|(array, field)| in_type(array, field.data_type()));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let typed = typed.collect::<Result<Vec<_>>>()?;
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.input), typed, &options)?;
        self.total(&batch)
    }

    /// Halves a batch that fails until the failing rows stand alone; those are null.
    fn total(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        match self.once(batch) {
            Ok(array) if array.len() == rows => Ok(array),
            _ if rows <= 1 => Ok(new_null_array(&arrow_type(self.target), rows)),
            _ => {
                let half = rows / 2;
                let left = self.total(&batch.slice(0, half))?;
                let right = self.total(&batch.slice(half, rows - half))?;
                Ok(concat(&[left.as_ref(), right.as_ref()])?)
            }
        }
    }

    fn once(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let array = self.expression.evaluate(batch)?.into_array(batch.num_rows())?;
        let array = safe_cast(&array, &arrow_type(self.target))?;
        Ok(match self.target {
            ColumnType::Float64 => Arc::new(settle(array.as_primitive::<Float64Type>())),
            ColumnType::Text => short_texts(array),
            ColumnType::Int64 | ColumnType::Timestamp | ColumnType::Bool => array,
        })
    }
}

/// Bytes of all texts that are views.
fn viewed_bytes(arrays: &[ArrayRef]) -> usize {
    let texts = arrays.iter().filter_map(|array| array.as_string_view_opt());
    texts.flat_map(|texts| texts.lengths()).map(|length| length as usize).sum()
}

/// A column in the type that expressions see.
fn in_type(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    match array.as_string_view_opt() {
        // What a cast would do. Here, since this crate is optimised in development builds, too.
        Some(texts) if *to == DataType::Utf8 => Ok(Arc::new(texts.iter().collect::<StringArray>())),
        _ => safe_cast(array, to),
    }
}

/// A cast whose failures are nulls.
fn safe_cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    Ok(cast_with_options(array, to, &options)?)
}

fn short_texts(array: ArrayRef) -> ArrayRef {
    let texts = array.as_string::<i32>();
    let short =
        |length: i32| usize::try_from(length).is_ok_and(|length| length <= TEXT_VALUE_BYTES_MAX);
    if texts.value_offsets().array_windows().all(|[start, end]| short(end - start)) {
        return array;
    }
    let cut = texts.iter().map(|text| text.filter(|text| text.len() <= TEXT_VALUE_BYTES_MAX));
    Arc::new(cut.collect::<StringArray>())
}

impl PartialEq for MappedColumn {
    fn eq(&self, other: &Self) -> bool {
        self.target == other.target && self.sql == other.sql && self.input == other.input
    }
}

impl Eq for MappedColumn {}

impl Hash for MappedColumn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.target.hash(state);
        self.sql.hash(state);
    }
}

impl ScalarUDFImpl for MappedColumn {
    fn name(&self) -> &str {
        "mapped_column"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(arrow_type(self.target))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = args.args.into_iter().map(|value| value.into_array(args.number_rows));
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        self.values(&arrays, args.number_rows).map(ColumnarValue::Array)
    }
}
