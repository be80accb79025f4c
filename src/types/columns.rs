//! The column types of the warehouse, and how Arrow types meet them.
//!
//! One canonical set serves Delta Lake and plain Parquet alike, so that a table means the same in
//! both. What has no place in it (unsigned integers, times of day, intervals, dictionaries) is
//! either brought to it without loss or refused by name, at planning time.

use std::{fmt, str::FromStr, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};

/// A column type as a user writes it in `cast:` and as the warehouse stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// `boolean`
    Boolean,
    /// `smallint`, 16 bits
    SmallInt,
    /// `integer`, 32 bits
    Integer,
    /// `bigint`, 64 bits
    BigInt,
    /// `real`, IEEE 754 single precision
    Real,
    /// `double`, IEEE 754 double precision
    Double,
    /// `decimal(p,s)`, at most 38 digits
    Decimal(u8, i8),
    /// `text`, UTF-8
    Text,
    /// `binary`
    Binary,
    /// `date`, days
    Date,
    /// `timestamp`, microseconds, UTC
    Timestamp,
    /// `timestamp_ntz`, microseconds, no time zone (Delta readers need protocol version 3)
    TimestampNtz,
}

/// Every spelling that `cast:` takes, for messages.
pub(super) const SPELLINGS: &str = "boolean, smallint, integer, bigint, real, double, decimal(p,s), text, \
                             binary, date, timestamp, timestamp_ntz";

impl ColumnType {
    /// The canonical Arrow type.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::SmallInt => DataType::Int16,
            Self::Integer => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Real => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Decimal(precision, scale) => DataType::Decimal128(precision, scale),
            Self::Text => DataType::Utf8View,
            Self::Binary => DataType::BinaryView,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::TimestampNtz => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }
}

impl ColumnType {
    /// The type whose canonical Arrow type `data_type` is; none for lists, structs and maps.
    pub fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Int16 => Self::SmallInt,
            DataType::Int32 => Self::Integer,
            DataType::Int64 => Self::BigInt,
            DataType::Float32 => Self::Real,
            DataType::Float64 => Self::Double,
            DataType::Decimal128(precision, scale) => Self::Decimal(*precision, *scale),
            DataType::Utf8View => Self::Text,
            DataType::BinaryView => Self::Binary,
            DataType::Date32 => Self::Date,
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Self::Timestamp,
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::TimestampNtz,
            _ => return None,
        })
    }
}

impl FromStr for ColumnType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.trim().to_lowercase();
        Ok(match lower.as_str() {
            "boolean" | "bool" => Self::Boolean,
            "smallint" | "int2" => Self::SmallInt,
            "integer" | "int" | "int4" => Self::Integer,
            "bigint" | "int8" => Self::BigInt,
            "real" | "float4" => Self::Real,
            "double" | "double precision" | "float8" => Self::Double,
            "text" | "string" | "varchar" => Self::Text,
            "binary" | "bytea" | "blob" => Self::Binary,
            "date" => Self::Date,
            "timestamp" | "timestamptz" => Self::Timestamp,
            "timestamp_ntz" => Self::TimestampNtz,
            _ => parse_decimal(&lower)
                .ok_or_else(|| format!("`{text}` is not a column type; there are {SPELLINGS}"))?,
        })
    }
}

fn parse_decimal(text: &str) -> Option<ColumnType> {
    let inner = text.strip_prefix("decimal").or_else(|| text.strip_prefix("numeric"))?;
    let inner = inner.trim().strip_prefix('(')?.strip_suffix(')')?;
    let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
    let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    ((1..=38).contains(&precision) && (0..=precision as i8).contains(&scale))
        .then_some(ColumnType::Decimal(precision, scale))
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Boolean => "boolean",
            Self::SmallInt => "smallint",
            Self::Integer => "integer",
            Self::BigInt => "bigint",
            Self::Real => "real",
            Self::Double => "double",
            Self::Decimal(precision, scale) => {
                return f.pad(&format!("decimal({precision},{scale})"));
            }
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::TimestampNtz => "timestamp_ntz",
        };
        f.pad(name)
    }
}

/// The name of a list's element field, as Delta Lake and the Parquet specification have it.
const ELEMENT: &str = "element";

/// The canonical warehouse type that holds every value of `data_type`, or why there is none.
///
/// Never lossy: `uint64` becomes `bigint` because the cast that follows is checked (an error, not a
/// wrap); nanoseconds become microseconds because that cast is checked as well.
pub fn canonical_type(data_type: &DataType) -> Result<DataType, String> {
    use DataType as D;
    Ok(match data_type {
        D::Boolean | D::Int16 | D::Int32 | D::Int64 | D::Float32 | D::Float64 | D::Date32 => {
            data_type.clone()
        }
        D::Int8 | D::UInt8 => D::Int16,
        D::UInt16 => D::Int32,
        D::UInt32 | D::UInt64 => D::Int64,
        D::Float16 => D::Float32,
        D::Date64 => D::Date32,
        D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) => D::Decimal128(*p, *s),
        D::Decimal256(p, s) if *p <= 38 => D::Decimal128(*p, *s),
        D::Utf8 | D::LargeUtf8 | D::Utf8View => D::Utf8View,
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => D::BinaryView,
        D::Timestamp(_, None) => D::Timestamp(TimeUnit::Microsecond, None),
        D::Timestamp(_, Some(_)) => ColumnType::Timestamp.arrow(),
        D::Dictionary(_, value) => canonical_type(value)?,
        D::RunEndEncoded(_, value) => canonical_type(value.data_type())?,
        D::List(item) | D::LargeList(item) | D::ListView(item) | D::FixedSizeList(item, _) => {
            D::List(Arc::new(Field::new(ELEMENT, canonical_type(item.data_type())?, true)))
        }
        D::Struct(fields) => D::Struct(
            fields
                .iter()
                .map(|field| canonical_field(field))
                .collect::<Result<Vec<_>, _>>()?
                .into(),
        ),
        D::Map(entries, sorted) => D::Map(Arc::new(canonical_entries(entries)?), *sorted),
        D::Null => return Err("it is always NULL and has no type; cast it to one".to_owned()),
        D::Time32(_) | D::Time64(_) | D::Interval(_) | D::Duration(_) => {
            return Err(format!("`{data_type}` has no place in the warehouse; cast it to text"));
        }
        other => {
            return Err(format!(
                "`{other}` has no place in the warehouse; cast it to text or decimal(38,s)"
            ));
        }
    })
}

fn canonical_entries(entries: &Field) -> Result<Field, String> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err("its map has no entries".to_owned());
    };
    let [key, value] = fields.as_ref() else {
        return Err("its map has no key and value".to_owned());
    };
    let fields = vec![
        Field::new("key", canonical_type(key.data_type())?, false),
        Field::new("value", canonical_type(value.data_type())?, true),
    ];
    Ok(Field::new("key_value", DataType::Struct(fields.into()), false))
}

/// [`canonical_type`] for a field; names the field where there is none.
pub fn canonical_field(field: &Field) -> Result<FieldRef, String> {
    let data_type = canonical_type(field.data_type())
        .map_err(|why| format!("column `{}`: {why}", field.name()))?;
    Ok(Arc::new(Field::new(field.name(), data_type, true)))
}

/// [`canonical_type`] for a whole schema. Every column is nullable: what must not be NULL is an
/// audit, which can name the rows, and not a property of files.
pub fn canonical_schema(schema: &Schema) -> Result<SchemaRef, String> {
    let fields = schema
        .fields()
        .iter()
        .map(|field| canonical_field(field))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_they_are_printed() {
        for text in SPELLINGS.split(", ").filter(|text| *text != "decimal(p,s)") {
            let read = text.parse::<ColumnType>().unwrap();
            assert_eq!(
                (read.to_string().as_str(), ColumnType::of(&read.arrow())),
                (text, Some(read))
            );
        }
        assert_eq!("Numeric( 12, 4 )".parse(), Ok(ColumnType::Decimal(12, 4)));
        for wrong in ["decimal(39,0)", "decimal(4,5)", "decimal", "decimal(0,0)", "jsonb"] {
            assert!(wrong.parse::<ColumnType>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn canonical_types_are_their_own_canon() {
        let types =
            [DataType::UInt64, DataType::LargeUtf8, DataType::Timestamp(TimeUnit::Second, None)];
        for data_type in types {
            let canon = canonical_type(&data_type).unwrap();
            assert_eq!(canonical_type(&canon).unwrap(), canon);
        }
        assert!(canonical_type(&DataType::Null).is_err());
        assert!(canonical_type(&DataType::Time64(TimeUnit::Microsecond)).is_err());
    }
}
