//! From a Parquet footer to the statistics that a table format keeps.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
        Int64Type, SchemaRef, TimestampMicrosecondType,
    },
};
use parquet::{
    arrow::arrow_reader::statistics::StatisticsConverter, file::metadata::ParquetMetaData,
};

use crate::{
    error::{Error, Result},
    types::{Bound, ColumnStats},
};

/// Longest text bound that is kept; longer ones are cut (a lower bound may be cut anywhere, an
/// upper bound that would have to be cut is left out).
const TEXT_BOUND: usize = 64;

/// Statistics of the top-level columns of one file.
pub(super) fn of_file(metadata: &ParquetMetaData, schema: &SchemaRef) -> Result<Vec<ColumnStats>> {
    let parquet_schema = metadata.file_metadata().schema_descr();
    let groups = metadata.row_groups();
    schema
        .fields()
        .iter()
        .filter(|field| !field.data_type().is_nested())
        .map(|field| {
            let failed =
                |error| Error::internal(format!("cannot read a footer's statistics: {error}"));
            let converter = StatisticsConverter::try_new(field.name(), schema, parquet_schema)
                .map_err(failed)?;
            let nulls = converter.row_group_null_counts(groups).map_err(failed)?;
            let mins = converter.row_group_mins(groups).map_err(failed)?;
            let maxes = converter.row_group_maxes(groups).map_err(failed)?;
            Ok(ColumnStats {
                name: field.name().clone(),
                nulls: (nulls.null_count() == 0).then(|| nulls.iter().flatten().sum()),
                min: bound(&mins, Side::Lower),
                max: bound(&maxes, Side::Upper),
            })
        })
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Lower,
    Upper,
}

/// The outermost of the row groups' bounds. A row group without a bound holds only NULLs or was
/// written without one; the two look alike here, so the file then has none.
fn bound(groups: &ArrayRef, side: Side) -> Option<Bound> {
    if groups.is_empty() || groups.null_count() > 0 {
        return None;
    }
    macro_rules! integer {
        ($type:ty) => {
            outermost(groups.as_primitive::<$type>().iter().flatten(), side, Ord::cmp)
        };
    }
    Some(match groups.data_type() {
        DataType::Boolean => {
            Bound::Boolean(outermost(groups.as_boolean().iter().flatten(), side, Ord::cmp)?)
        }
        DataType::Int16 => Bound::Integer(i64::from(integer!(Int16Type)?)),
        DataType::Int32 => Bound::Integer(i64::from(integer!(Int32Type)?)),
        DataType::Int64 => Bound::Integer(integer!(Int64Type)?),
        DataType::Date32 => Bound::Date(integer!(Date32Type)?),
        DataType::Timestamp(..) => Bound::Timestamp(integer!(TimestampMicrosecondType)?),
        DataType::Decimal128(_, scale) => {
            Bound::Decimal { unscaled: integer!(Decimal128Type)?, scale: *scale }
        }
        DataType::Float32 => {
            float(groups.as_primitive::<Float32Type>().iter().flatten().map(f64::from), side)?
        }
        DataType::Float64 => float(groups.as_primitive::<Float64Type>().iter().flatten(), side)?,
        DataType::Utf8View => {
            text(outermost(groups.as_string_view().iter().flatten(), side, Ord::cmp)?, side)?
        }
        _ => return None,
    })
}

fn outermost<T>(
    values: impl Iterator<Item = T>,
    side: Side,
    compare: impl Fn(&T, &T) -> std::cmp::Ordering,
) -> Option<T> {
    match side {
        Side::Lower => values.min_by(|a, b| compare(a, b)),
        Side::Upper => values.max_by(|a, b| compare(a, b)),
    }
}

/// Parquet leaves NaN out of its bounds while some engines sort NaN above every number, so a
/// floating-point column has no upper bound that is safe to prune by.
fn float(values: impl Iterator<Item = f64>, side: Side) -> Option<Bound> {
    match (side, outermost(values, side, f64::total_cmp)?) {
        (Side::Lower, 0.0) => Some(Bound::Float(-0.0)),
        (Side::Lower, value) if value.is_finite() => Some(Bound::Float(value)),
        _ => None,
    }
}

fn text(value: &str, side: Side) -> Option<Bound> {
    if value.len() <= TEXT_BOUND {
        return Some(Bound::Text(value.to_owned()));
    }
    match side {
        Side::Lower => {
            Some(Bound::Text(value.get(..value.floor_char_boundary(TEXT_BOUND))?.to_owned()))
        }
        Side::Upper => None,
    }
}
