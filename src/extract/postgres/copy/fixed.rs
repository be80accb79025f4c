//! Columns of fixed width: booleans, integers, floats, dates, timestamps, intervals.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, PrimitiveArray, StructArray},
    buffer::ScalarBuffer,
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Field, Fields, Float32Type,
        Float64Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    },
};

use super::{
    Decode,
    cells::{Bits, Cells, Fault, Problem},
};

/// Days from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
const DAY_MICROS: i64 = 86_400_000_000;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * DAY_MICROS;

/// A column whose cells are `N` bytes wide, each decoded by `decode`.
struct Fixed<const N: usize, T: ArrowPrimitiveType, F> {
    values: Vec<T::Native>,
    validity: Bits,
    data_type: DataType,
    decode: F,
}

/// A decoder of `N`-byte cells into `data_type`.
fn fixed<const N: usize, T, F>(data_type: DataType, decode: F) -> Box<dyn Decode>
where
    T: ArrowPrimitiveType,
    F: Fn([u8; N]) -> Result<T::Native, Problem> + Send + 'static,
{
    Box::new(Fixed::<N, T, F> { values: Vec::new(), validity: Bits::default(), data_type, decode })
}

impl<const N: usize, T, F> Decode for Fixed<N, T, F>
where
    T: ArrowPrimitiveType,
    F: Fn([u8; N]) -> Result<T::Native, Problem> + Send,
{
    fn append(&mut self, cells: Cells<'_>) -> Result<(), Fault> {
        self.values.reserve(cells.len());
        for (group, at) in cells.at.chunks(64).enumerate() {
            let (mut mask, mut bit, mut fault) = (0_u64, 1_u64, None);
            self.values.extend(at.iter().map(|&at| {
                let value = match cells.fixed::<N>(at).and_then(|c| c.map(&self.decode).transpose())
                {
                    Ok(value) => value,
                    Err(problem) => {
                        fault.get_or_insert((bit, problem));
                        None
                    }
                };
                mask |= if value.is_some() { bit } else { 0 };
                bit = bit.rotate_left(1);
                value.unwrap_or_default()
            }));
            if let Some((bit, problem)) = fault {
                return Err(problem.in_row(group * 64 + bit.trailing_zeros() as usize));
            }
            self.validity.push(mask, at.len());
        }
        Ok(())
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.validity.truncate(rows);
    }

    fn finish(&mut self) -> Result<ArrayRef, String> {
        let empty = Vec::with_capacity(self.values.len());
        let values = ScalarBuffer::from(std::mem::replace(&mut self.values, empty));
        let array = PrimitiveArray::<T>::try_new(values, self.validity.take_validity())
            .map_err(|error| error.to_string())?;
        Ok(Arc::new(array.with_data_type(self.data_type.clone())))
    }

    fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }
}

struct Boolean {
    values: Bits,
    validity: Bits,
}

/// A decoder of `boolean`.
pub(super) fn boolean() -> Box<dyn Decode> {
    Box::new(Boolean { values: Bits::default(), validity: Bits::default() })
}

impl Decode for Boolean {
    fn append(&mut self, cells: Cells<'_>) -> Result<(), Fault> {
        for (group, at) in cells.at.chunks(64).enumerate() {
            let (mut values, mut mask) = (0, 0);
            for (bit, &at) in at.iter().enumerate() {
                let cell = cells.fixed::<1>(at).map_err(|p| p.in_row(group * 64 + bit))?;
                if let Some([value]) = cell {
                    values |= u64::from(value != 0) << bit;
                    mask |= 1 << bit;
                }
            }
            self.values.push(values, at.len());
            self.validity.push(mask, at.len());
        }
        Ok(())
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.validity.truncate(rows);
    }

    fn finish(&mut self) -> Result<ArrayRef, String> {
        Ok(Arc::new(BooleanArray::new(self.values.take(), self.validity.take_validity())))
    }

    fn bytes(&self) -> usize {
        self.values.len() / 8
    }
}

/// How an integer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Integer {
    /// `smallint`
    I16,
    /// `integer`
    I32,
    /// `bigint`
    I64,
    /// `oid`, `xid`, `cid`
    U32,
}

/// A decoder of integers that travel as `wire` into `target`, or `None` where there is none.
/// Widening is exact; everything else is checked value by value.
pub(super) fn integer(wire: Integer, target: &DataType) -> Option<Box<dyn Decode>> {
    let same = target.clone();
    Some(match (wire, target) {
        (Integer::I16, DataType::Int16) => {
            fixed::<2, Int16Type, _>(same, |b| Ok(i16::from_be_bytes(b)))
        }
        (Integer::I32, DataType::Int32) => {
            fixed::<4, Int32Type, _>(same, |b| Ok(i32::from_be_bytes(b)))
        }
        (Integer::I64, DataType::Int64) => {
            fixed::<8, Int64Type, _>(same, |b| Ok(i64::from_be_bytes(b)))
        }
        (_, DataType::Int16) => converted::<Int16Type>(wire, same, |value| {
            i16::try_from(value).map_err(|_| Problem::Unfit("an integer out of range"))
        }),
        (_, DataType::Int32) => converted::<Int32Type>(wire, same, |value| {
            i32::try_from(value).map_err(|_| Problem::Unfit("an integer out of range"))
        }),
        (_, DataType::Int64) => converted::<Int64Type>(wire, same, Ok),
        (_, DataType::Float32) => converted::<Float32Type>(wire, same, |value| {
            let float = value as f32;
            // Through i128 because `i64::MAX as f32` rounds up to a value that saturates back.
            if float as i128 == i128::from(value) { Ok(float) } else { Err(NO_EXACT_FLOAT) }
        }),
        (_, DataType::Float64) => converted::<Float64Type>(wire, same, |value| {
            let float = value as f64;
            if float as i128 == i128::from(value) { Ok(float) } else { Err(NO_EXACT_FLOAT) }
        }),
        (_, DataType::Decimal128(precision, scale)) => {
            let limit = 10_i128.checked_pow(u32::from(*precision))?;
            let unit = 10_i128.checked_pow(u32::try_from(*scale).ok()?)?;
            converted::<Decimal128Type>(wire, same, move |value| {
                i128::from(value)
                    .checked_mul(unit)
                    .filter(|unscaled| unscaled.abs() < limit)
                    .ok_or(Problem::Unfit("an integer of too many digits"))
            })
        }
        _ => return None,
    })
}

const NO_EXACT_FLOAT: Problem = Problem::Unfit("an integer without an exact float");

fn converted<T: ArrowPrimitiveType>(
    wire: Integer,
    data_type: DataType,
    convert: impl Fn(i64) -> Result<T::Native, Problem> + Send + 'static,
) -> Box<dyn Decode> {
    match wire {
        Integer::I16 => fixed::<2, T, _>(data_type, move |b| convert(i16::from_be_bytes(b).into())),
        Integer::I32 => fixed::<4, T, _>(data_type, move |b| convert(i32::from_be_bytes(b).into())),
        Integer::I64 => fixed::<8, T, _>(data_type, move |b| convert(i64::from_be_bytes(b))),
        Integer::U32 => fixed::<4, T, _>(data_type, move |b| convert(u32::from_be_bytes(b).into())),
    }
}

/// A decoder of `real` into `target`, or `None` where there is none. The bits of NaN are kept.
pub(super) fn real(target: &DataType) -> Option<Box<dyn Decode>> {
    let same = target.clone();
    Some(match target {
        DataType::Float32 => fixed::<4, Float32Type, _>(same, |b| Ok(f32::from_be_bytes(b))),
        DataType::Float64 => fixed::<4, Float64Type, _>(same, |b| Ok(f32::from_be_bytes(b).into())),
        _ => return None,
    })
}

/// A decoder of `double precision` into `target`, or `None` where there is none.
pub(super) fn double(target: &DataType) -> Option<Box<dyn Decode>> {
    let same = target.clone();
    Some(match target {
        DataType::Float64 => fixed::<8, Float64Type, _>(same, |b| Ok(f64::from_be_bytes(b))),
        DataType::Float32 => fixed::<8, Float32Type, _>(same, |b| {
            let wide = f64::from_be_bytes(b);
            let narrow = wide as f32;
            if f64::from(narrow).total_cmp(&wide).is_eq() || wide.is_nan() {
                Ok(narrow)
            } else {
                Err(Problem::Unfit("a number that needs double precision"))
            }
        }),
        _ => return None,
    })
}

const INFINITY: Problem = Problem::Unfit("infinity");
const TOO_LATE: Problem = Problem::Unfit("a moment out of range");

fn days(b: [u8; 4]) -> Result<i32, Problem> {
    match i32::from_be_bytes(b) {
        i32::MIN | i32::MAX => Err(INFINITY),
        days => days.checked_add(EPOCH_DAYS).ok_or(TOO_LATE),
    }
}

fn micros(b: [u8; 8]) -> Result<i64, Problem> {
    match i64::from_be_bytes(b) {
        i64::MIN | i64::MAX => Err(INFINITY),
        micros => micros.checked_add(EPOCH_MICROS).ok_or(TOO_LATE),
    }
}

/// A decoder of `date` into `target`, or `None` where there is none.
pub(super) fn date(target: &DataType) -> Option<Box<dyn Decode>> {
    let same = target.clone();
    Some(match target {
        DataType::Date32 => fixed::<4, Date32Type, _>(same, days),
        DataType::Timestamp(_, _) => fixed::<4, TimestampMicrosecondType, _>(same, |b| {
            i64::from(days(b)?).checked_mul(DAY_MICROS).ok_or(TOO_LATE)
        }),
        _ => return None,
    })
}

/// A decoder of `timestamp` into `target`, or `None` where there is none.
pub(super) fn timestamp(target: &DataType) -> Option<Box<dyn Decode>> {
    let same = target.clone();
    Some(match target {
        DataType::Timestamp(_, _) => fixed::<8, TimestampMicrosecondType, _>(same, micros),
        DataType::Date32 => fixed::<8, Date32Type, _>(same, |b| {
            let micros = micros(b)?;
            if micros % DAY_MICROS != 0 {
                return Err(Problem::Unfit("a time of day other than midnight"));
            }
            i32::try_from(micros / DAY_MICROS).map_err(|_| TOO_LATE)
        }),
        _ => return None,
    })
}

struct Interval {
    fields: Fields,
    months: Vec<i32>,
    days: Vec<i32>,
    micros: Vec<i64>,
    validity: Bits,
}

/// The type that `interval` is read as: Parquet has no interval of three parts.
pub(in crate::extract::postgres) fn interval_type() -> DataType {
    DataType::Struct(Fields::from(vec![
        Field::new("months", DataType::Int32, true),
        Field::new("days", DataType::Int32, true),
        Field::new("micros", DataType::Int64, true),
    ]))
}

/// A decoder of `interval`.
pub(super) fn interval() -> Box<dyn Decode> {
    let fields = match interval_type() {
        DataType::Struct(fields) => fields,
        _ => Fields::empty(),
    };
    Box::new(Interval {
        fields,
        months: Vec::new(),
        days: Vec::new(),
        micros: Vec::new(),
        validity: Bits::default(),
    })
}

impl Decode for Interval {
    fn append(&mut self, cells: Cells<'_>) -> Result<(), Fault> {
        for (row, &at) in cells.at.iter().enumerate() {
            let cell = cells.fixed::<16>(at).map_err(|problem| problem.in_row(row))?;
            let whole = u128::from_be_bytes(cell.unwrap_or_default());
            let (micros, days, months) = ((whole >> 64) as i64, (whole >> 32) as i32, whole as i32);
            // PostgreSQL 17 writes ±infinity as the extremes of all three parts.
            if matches!(
                (micros, days, months),
                (i64::MAX, i32::MAX, i32::MAX) | (i64::MIN, i32::MIN, i32::MIN)
            ) {
                return Err(INFINITY.in_row(row));
            }
            self.micros.push(micros);
            self.days.push(days);
            self.months.push(months);
            self.validity.push(u64::from(cell.is_some()), 1);
        }
        Ok(())
    }

    fn truncate(&mut self, rows: usize) {
        self.months.truncate(rows);
        self.days.truncate(rows);
        self.micros.truncate(rows);
        self.validity.truncate(rows);
    }

    fn finish(&mut self) -> Result<ArrayRef, String> {
        let nulls = self.validity.take_validity();
        let int = |values| Arc::new(PrimitiveArray::<Int32Type>::new(values, nulls.clone()));
        let months: ArrayRef = int(ScalarBuffer::from(std::mem::take(&mut self.months)));
        let days: ArrayRef = int(ScalarBuffer::from(std::mem::take(&mut self.days)));
        let micros = ScalarBuffer::from(std::mem::take(&mut self.micros));
        let micros: ArrayRef = Arc::new(PrimitiveArray::<Int64Type>::new(micros, nulls.clone()));
        StructArray::try_new(self.fields.clone(), vec![months, days, micros], nulls)
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(|error| error.to_string())
    }

    fn bytes(&self) -> usize {
        self.months.len() * 16
    }
}
