//! The last step of a model: each column brought to its canonical type, or an error.
//!
//! Never lossy: what does not fit is an error that names the column and never the value.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Decimal128Type, SchemaRef, TimeUnit},
    record_batch::{RecordBatch, RecordBatchOptions},
};

use crate::error::{Error, ErrorKind, Result};

const CHECKED: CastOptions<'static> =
    CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };

/// `batch` with `schema`, whose columns are the canonical types of the batch's.
///
/// # Errors
/// Of kind data, naming the column: an integer or decimal overflows, or a time is finer than
/// microseconds.
pub(super) fn canonical_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.num_columns() != schema.fields().len() {
        return Err(Error::internal(format!(
            "a model was planned with {} columns and ran with {}",
            schema.fields().len(),
            batch.num_columns()
        )));
    }
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| canonical_column(column, field.data_type(), field.name()))
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| Error::internal(format!("a model's batch is malformed: {error}")))
}

fn canonical_column(column: &ArrayRef, to: &DataType, name: &str) -> Result<ArrayRef> {
    let from = column.data_type();
    let cast = if from == to {
        Arc::clone(column)
    } else {
        cast_with_options(column, to, &CHECKED).map_err(|_| {
            misfit(name, &format!("a value of type `{from}` does not fit `{to}`"))
                .hint(format!("cast `{name}` to a wider type, such as decimal(38,0)"))
        })?
    };
    if can_lose(from) {
        // The way back shows what the cast dropped.
        let back = cast_with_options(&cast, from, &CHECKED).ok();
        if back.is_none_or(|back| back.as_ref() != column.as_ref()) {
            return Err(misfit(name, "a time is finer than microseconds, which tables store")
                .hint(format!(
                    "say what to drop: `date_trunc('microsecond', {name})` or `cast(… as date)`"
                )));
        }
    }
    if let DataType::Decimal128(precision, _) = to {
        cast.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision).map_err(
            |_| {
                misfit(name, &format!("a number has more than {precision} digits"))
                    .hint(format!("cast `{name}` to a decimal with more digits, at most 38"))
            },
        )?;
    }
    Ok(cast)
}

fn misfit(column: &str, why: &str) -> Error {
    Error::new(ErrorKind::Data, format!("column `{column}` cannot be stored")).because(why)
}

/// Whether a cast from `data_type` to its canonical type can succeed and still drop something.
fn can_lose(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(TimeUnit::Nanosecond, _) | DataType::Date64 => true,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => can_lose(item.data_type()),
        DataType::Dictionary(_, value) => can_lose(value),
        DataType::RunEndEncoded(_, values) => can_lose(values.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| can_lose(field.data_type())),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::canonical_schema;
    use arrow::{
        array::{
            Date64Array, Decimal128Array, ListArray, StringArray, TimestampNanosecondArray,
            UInt64Array,
        },
        datatypes::{Field, Schema, TimestampNanosecondType},
    };

    fn brought(column: ArrayRef) -> Result<RecordBatch> {
        let schema = Schema::new(vec![Field::new("v", column.data_type().clone(), true)]);
        let to = canonical_schema(&schema).unwrap();
        canonical_batch(&RecordBatch::try_new(Arc::new(schema), vec![column]).unwrap(), &to)
    }

    #[test]
    fn what_fits_is_cast() {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(vec![Some(7), None])),
            Arc::new(TimestampNanosecondArray::from(vec![Some(-1_000), None])),
            Arc::new(Date64Array::from(vec![Some(86_400_000), None])),
            Arc::new(StringArray::from(vec![Some("a"), None])),
            Arc::new(ListArray::from_iter_primitive::<TimestampNanosecondType, _, _>(vec![
                Some(vec![Some(2_000), None]),
                None,
            ])),
        ];
        for column in columns {
            let batch = brought(column).unwrap();
            assert!(batch.column(0).is_valid(0) && batch.column(0).is_null(1));
        }
    }

    #[test]
    fn what_does_not_fit_names_the_column_and_no_value() {
        let columns: Vec<(ArrayRef, &str)> = vec![
            (Arc::new(UInt64Array::from(vec![u64::MAX])), "does not fit `Int64`"),
            (Arc::new(TimestampNanosecondArray::from(vec![1_234_567])), "finer than microseconds"),
            (Arc::new(Date64Array::from(vec![86_400_001])), "finer than microseconds"),
            (
                Arc::new(ListArray::from_iter_primitive::<TimestampNanosecondType, _, _>(vec![
                    Some(vec![Some(1)]),
                ])),
                "finer than microseconds",
            ),
            (
                Arc::new(
                    Decimal128Array::from(vec![123_456]).with_data_type(DataType::Decimal128(5, 2)),
                ),
                "more than 5 digits",
            ),
        ];
        for (column, why) in columns {
            let text = brought(column).unwrap_err().to_string();
            assert!(
                text.starts_with("column `v` cannot be stored") && text.contains(why),
                "{text}"
            );
            assert!(!text.contains("1844674") && !text.contains("1234"), "{text}");
        }
    }
}
