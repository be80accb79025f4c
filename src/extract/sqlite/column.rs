//! One column under way: cells in, an Arrow array out.
//!
//! What each declaration accepts is said in [`Declared`]'s notes; a cast accepts a little more,
//! because the user asked for it.

use std::{fmt::Write as _, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
        Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder,
        StringViewBuilder, TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, TimeUnit},
};

use super::{handle::Cell, types::Declared, values};
use crate::{
    error::{Error, Result},
    extract::ColumnRequest,
    types::ColumnType,
};

/// One column of a batch that is being filled.
pub(super) enum Column {
    Boolean { out: BooleanBuilder, words: Words },
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal { out: Decimal128Builder, precision: u8, scale: i8 },
    Text { out: StringViewBuilder, blobs: Blobs, scratch: String },
    Binary { out: BinaryViewBuilder, texts: Texts },
    Date(Date32Builder),
    Timestamp { out: TimestampMicrosecondBuilder, clock: Clock },
}

/// Whether a boolean may be spelled `true` and `false`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Words {
    Refused,
    TrueAndFalse,
}

/// What becomes of a blob in a column of text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Blobs {
    Refused,
    /// `\x00ff`: every cell of the column is declared to be a blob, so no text can look like one.
    Hexadecimal,
}

/// What becomes of text in a column of blobs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Texts {
    Refused,
    /// Its bytes.
    Bytes,
}

/// What a column of timestamps accepts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Clock {
    /// Text, UTC where it names no zone.
    Utc,
    /// The same, and integers: seconds since 1970.
    UtcOrUnixSeconds,
    /// Text without a zone: the clock on the wall.
    Wall,
}

impl Column {
    /// An empty column for `request`.
    pub(super) fn new(request: &ColumnRequest) -> Result<Self> {
        let is_cast = request.cast.is_some();
        let declared = Declared::parse(&request.source.declared);
        Ok(match request.field.data_type() {
            DataType::Boolean => Self::Boolean {
                out: BooleanBuilder::new(),
                words: if is_cast { Words::TrueAndFalse } else { Words::Refused },
            },
            DataType::Int16 => Self::Int16(Int16Builder::new()),
            DataType::Int32 => Self::Int32(Int32Builder::new()),
            DataType::Int64 => Self::Int64(Int64Builder::new()),
            DataType::Float32 => Self::Float32(Float32Builder::new()),
            DataType::Float64 => Self::Float64(Float64Builder::new()),
            data_type @ DataType::Decimal128(precision, scale) => Self::Decimal {
                out: Decimal128Builder::new().with_data_type(data_type.clone()),
                precision: *precision,
                scale: *scale,
            },
            DataType::Utf8View => Self::Text {
                out: StringViewBuilder::new(),
                blobs: match declared {
                    Declared::Binary => Blobs::Hexadecimal,
                    _ => Blobs::Refused,
                },
                scratch: String::new(),
            },
            DataType::BinaryView => Self::Binary {
                out: BinaryViewBuilder::new(),
                texts: if is_cast { Texts::Bytes } else { Texts::Refused },
            },
            DataType::Date32 => Self::Date(Date32Builder::new()),
            data_type @ DataType::Timestamp(TimeUnit::Microsecond, zone) => Self::Timestamp {
                out: TimestampMicrosecondBuilder::new().with_data_type(data_type.clone()),
                clock: match (zone, request.cast) {
                    (None, _) => Clock::Wall,
                    (Some(_), Some(ColumnType::Timestamp)) => Clock::UtcOrUnixSeconds,
                    (Some(_), _) => Clock::Utc,
                },
            },
            other => {
                return Err(Error::internal(format!("SQLite columns are never read as `{other}`")));
            }
        })
    }

    /// Appends `cell`; gives back nothing, and appends nothing, where it does not fit.
    #[inline]
    pub(super) fn append(&mut self, cell: Cell<'_>) -> Option<()> {
        if cell == Cell::Null {
            self.append_null();
            return Some(());
        }
        match self {
            Self::Boolean { out, words } => out.append_value(boolean(cell, *words)?),
            Self::Int16(out) => out.append_value(i16::try_from(integer(cell)?).ok()?),
            Self::Int32(out) => out.append_value(i32::try_from(integer(cell)?).ok()?),
            Self::Int64(out) => out.append_value(integer(cell)?),
            Self::Float32(out) => out.append_value(single(real(cell)?)?),
            Self::Float64(out) => out.append_value(real(cell)?),
            Self::Decimal { out, precision, scale } => {
                out.append_value(decimal(cell, *precision, *scale)?);
            }
            Self::Text { out, blobs, scratch } => {
                out.append_value(text(cell, *blobs, scratch)?);
            }
            Self::Binary { out, texts } => match cell {
                Cell::Blob(bytes) => out.append_value(bytes),
                Cell::Text(bytes) if *texts == Texts::Bytes => out.append_value(bytes),
                _ => return None,
            },
            Self::Date(out) => match cell {
                Cell::Text(bytes) => out.append_value(values::date(bytes)?),
                _ => return None,
            },
            Self::Timestamp { out, clock } => out.append_value(timestamp(cell, *clock)?),
        }
        Some(())
    }

    /// Appends NULL.
    pub(super) fn append_null(&mut self) {
        match self {
            Self::Boolean { out, .. } => out.append_null(),
            Self::Int16(out) => out.append_null(),
            Self::Int32(out) => out.append_null(),
            Self::Int64(out) => out.append_null(),
            Self::Float32(out) => out.append_null(),
            Self::Float64(out) => out.append_null(),
            Self::Decimal { out, .. } => out.append_null(),
            Self::Text { out, .. } => out.append_null(),
            Self::Binary { out, .. } => out.append_null(),
            Self::Date(out) => out.append_null(),
            Self::Timestamp { out, .. } => out.append_null(),
        }
    }

    /// What was appended, as an array; the column is empty again.
    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean { out, .. } => Arc::new(out.finish()),
            Self::Int16(out) => Arc::new(out.finish()),
            Self::Int32(out) => Arc::new(out.finish()),
            Self::Int64(out) => Arc::new(out.finish()),
            Self::Float32(out) => Arc::new(out.finish()),
            Self::Float64(out) => Arc::new(out.finish()),
            Self::Decimal { out, .. } => Arc::new(out.finish()),
            Self::Text { out, .. } => Arc::new(out.finish()),
            Self::Binary { out, .. } => Arc::new(out.finish()),
            Self::Date(out) => Arc::new(out.finish()),
            Self::Timestamp { out, .. } => Arc::new(out.finish()),
        }
    }
}

fn boolean(cell: Cell<'_>, words: Words) -> Option<bool> {
    match cell {
        Cell::Integer(0) => Some(false),
        Cell::Integer(1) => Some(true),
        Cell::Text(text) if words == Words::TrueAndFalse => {
            let is = |word: &str| text.eq_ignore_ascii_case(word.as_bytes());
            if is("true") { Some(true) } else { is("false").then_some(false) }
        }
        _ => None,
    }
}

fn integer(cell: Cell<'_>) -> Option<i64> {
    match cell {
        Cell::Integer(value) => Some(value),
        Cell::Real(value) => values::integer_from_real(value),
        Cell::Text(text) => values::integer_from_text(text),
        Cell::Null | Cell::Blob(_) => None,
    }
}

fn real(cell: Cell<'_>) -> Option<f64> {
    match cell {
        Cell::Real(value) => Some(value),
        Cell::Integer(value) => values::real_from_integer(value),
        Cell::Text(text) => values::real_from_text(text),
        Cell::Null | Cell::Blob(_) => None,
    }
}

#[expect(clippy::float_cmp, reason = "exact or nothing is what is asked")]
fn single(value: f64) -> Option<f32> {
    let single = value as f32;
    (f64::from(single) == value).then_some(single)
}

fn decimal(cell: Cell<'_>, precision: u8, scale: i8) -> Option<i128> {
    match cell {
        Cell::Integer(value) => values::decimal_from_integer(value, precision, scale),
        Cell::Real(value) => values::decimal_from_real(value, precision, scale),
        Cell::Text(text) => values::decimal_from_text(text, precision, scale),
        Cell::Null | Cell::Blob(_) => None,
    }
}

fn timestamp(cell: Cell<'_>, clock: Clock) -> Option<i64> {
    match cell {
        Cell::Text(text) => {
            let moment = values::moment(text)?;
            (clock != Clock::Wall || !moment.zoned).then_some(moment.micros)
        }
        Cell::Integer(seconds) if clock == Clock::UtcOrUnixSeconds => {
            values::micros_from_seconds(seconds)
        }
        _ => None,
    }
}

fn text<'a>(cell: Cell<'a>, blobs: Blobs, scratch: &'a mut String) -> Option<&'a str> {
    scratch.clear();
    match cell {
        Cell::Text(bytes) => return std::str::from_utf8(bytes).ok(),
        Cell::Integer(value) => write!(scratch, "{value}").ok()?,
        Cell::Real(value) => scratch.push_str(&values::text_from_real(value)),
        Cell::Blob(bytes) if blobs == Blobs::Hexadecimal => {
            scratch.push_str("\\x");
            bytes.iter().try_for_each(|byte| write!(scratch, "{byte:02x}")).ok()?;
        }
        Cell::Null | Cell::Blob(_) => return None,
    }
    Some(scratch)
}

#[cfg(test)]
mod tests {
    use arrow::{datatypes::Field, util::display::array_value_to_string};

    use super::*;
    use crate::{config::OnMismatch, extract::SourceColumn};

    /// What `cell` becomes in a column that is declared so and cast so.
    fn read(declared: &str, cast: Option<&str>, cell: Cell<'_>) -> Option<String> {
        let cast = cast.map(|text| text.parse::<ColumnType>().unwrap());
        let meant = Declared::parse(declared);
        let data_type = match cast {
            Some(to) => meant.cast(to).unwrap(),
            None => meant.mapping().data_type().unwrap().clone(),
        };
        let request = ColumnRequest {
            source: SourceColumn {
                name: "c".into(),
                declared: declared.into(),
                nullable: true,
                type_id: 0,
                type_modifier: -1,
                mapping: meant.mapping(),
            },
            field: Arc::new(Field::new("c", data_type, true)),
            cast,
            mask: None,
            on_mismatch: OnMismatch::Error,
        };
        let mut column = Column::new(&request).unwrap();
        column.append(Cell::Null).unwrap();
        let taken = column.append(cell);
        let array = column.finish();
        assert!(array.is_null(0) && array.len() == 1 + usize::from(taken.is_some()));
        taken.map(|()| array_value_to_string(&array, 1).unwrap())
    }

    #[test]
    fn each_cell_is_exact_or_refused() {
        use Cell::{Blob, Integer, Real, Text};
        let cases: [(&str, Option<&str>, Cell<'_>, Option<&str>); 34] = [
            ("INTEGER", None, Integer(i64::MIN), Some("-9223372036854775808")),
            ("INTEGER", None, Real(2.5), None),
            ("INTEGER", None, Text(b"twelve"), None),
            ("INTEGER", Some("smallint"), Integer(40_000), None),
            ("INTEGER", Some("timestamp"), Integer(0), Some("1970-01-01T00:00:00Z")),
            ("INTEGER", Some("timestamp"), Integer(1_700_000_000_000), None),
            ("REAL", None, Real(f64::INFINITY), Some("inf")),
            ("REAL", None, Integer((1 << 53) + 1), None),
            ("REAL", Some("real"), Real(0.5), Some("0.5")),
            ("REAL", Some("real"), Real(0.1), None),
            ("REAL", Some("text"), Real(1e300), Some("1e300")),
            ("TEXT", None, Text("é".as_bytes()), Some("é")),
            ("TEXT", None, Text(b"\xff"), None),
            ("TEXT", None, Blob(b"a"), None),
            ("TEXT", Some("binary"), Text(b"\xff"), Some("ff")),
            ("TEXT", Some("boolean"), Text(b"False"), Some("false")),
            ("BLOB", None, Blob(b"\x00\xff"), Some("00ff")),
            ("BLOB", None, Text(b"a"), None),
            ("BLOB", Some("text"), Blob(b"\x00\xff"), Some("\\x00ff")),
            ("BOOLEAN", None, Integer(1), Some("true")),
            ("BOOLEAN", None, Integer(2), None),
            ("BOOLEAN", None, Text(b"true"), None),
            ("DECIMAL(10,2)", None, Real(12.34), Some("12.34")),
            ("DECIMAL(10,2)", None, Integer(-5), Some("-5.00")),
            ("DECIMAL(10,2)", None, Real(0.125), None),
            ("DATE", None, Text(b"2024-02-29"), Some("2024-02-29")),
            ("DATE", None, Text(b"2024-02-29 10:00:00"), None),
            ("DATETIME", None, Text(b"2024-02-29 10:00:00+01:00"), Some("2024-02-29T09:00:00Z")),
            ("DATETIME", None, Integer(0), None),
            ("DATETIME", Some("timestamp"), Integer(0), Some("1970-01-01T00:00:00Z")),
            ("DATETIME", Some("timestamp_ntz"), Text(b"2024-02-29 10:00:00Z"), None),
            ("", None, Integer(7), Some("7")),
            ("json", None, Real(0.1), Some("0.1")),
            ("", None, Blob(b"a"), None),
        ];
        for (declared, cast, cell, expected) in cases {
            let found = read(declared, cast, cell);
            assert_eq!(found.as_deref(), expected, "{declared} {cast:?} {cell:?}");
        }
    }
}
