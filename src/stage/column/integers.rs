//! Columns that Parquet keeps as 32- or 64-bit integers: integers, dates, timestamps, decimals of
//! at most 18 digits.

use arrow::{
    array::{Array, ArrayRef, AsArray, PrimitiveArray},
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type,
        TimestampMicrosecondType,
    },
};
use parquet::{
    basic::Encoding,
    errors::{ParquetError, Result},
    file::statistics::Statistics,
    schema::types::ColumnDescPtr,
};

use super::{
    EncodeColumn, Workspace,
    bits::put_codes,
    delta::Delta,
    dictionary::{IntegerDictionary, Interned},
    page::{ClosedColumn, Pages},
};
use crate::stage::encoding::Choice;

/// An integer as Parquet stores it.
pub(super) trait Physical: Copy + Default + Ord + Into<i64> + Send + 'static {
    /// The difference, modulo the type's size.
    fn minus(self, other: Self) -> Self;
    /// Its bits.
    fn unsigned(self) -> u64;
    /// Its zigzag form, in which small numbers of either sign are small.
    fn zigzag(self) -> u64 {
        let value: i64 = self.into();
        (value << 1 ^ value >> 63) as u64
    }
    /// Appends `values` as they lie in memory on a little-endian machine.
    fn plain(values: &[Self], out: &mut Vec<u8>);
    fn statistics(bounds: Option<(Self, Self)>, nulls: u64) -> Statistics;
    /// Where the values of a batch are gathered.
    fn buffer(workspace: &mut Workspace) -> &mut Vec<Self>;
}

/// A value of Arrow's as Parquet keeps it. It fits, because the column's type says so.
pub(super) trait Narrow<T>: Copy {
    fn narrow(self) -> T;
}

macro_rules! narrow {
    ($($from:ty => $to:ty),*) => {
        $(impl Narrow<$to> for $from {
            #[inline]
            fn narrow(self) -> $to {
                self as $to
            }
        })*
    };
}
narrow!(
    i16 => i32, i32 => i32, i64 => i32, i128 => i32,
    i16 => i64, i32 => i64, i64 => i64, i128 => i64
);

macro_rules! physical {
    ($type:ty, $unsigned:ty, $statistics:ident, $buffer:ident) => {
        impl Physical for $type {
            #[inline]
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
            #[inline]
            fn unsigned(self) -> u64 {
                u64::from(self as $unsigned)
            }
            fn plain(values: &[Self], out: &mut Vec<u8>) {
                out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
            fn statistics(bounds: Option<(Self, Self)>, nulls: u64) -> Statistics {
                let (least, most) = bounds.unzip();
                Statistics::$statistics(least, most, None, Some(nulls), false)
            }
            fn buffer(workspace: &mut Workspace) -> &mut Vec<Self> {
                &mut workspace.$buffer
            }
        }
    };
}
physical!(i32, u32, int32, narrow);
physical!(i64, u64, int64, wide);

/// How the values of the open page are kept.
enum Values<T> {
    /// Their numbers in the dictionary.
    Codes(Vec<u32>),
    Delta(Delta<T>),
    Plain(Vec<T>),
}

/// One column of one row group.
pub(super) struct Integers<T> {
    pages: Pages,
    values: Values<T>,
    dictionary: Option<IntegerDictionary<T>>,
    bounds: Option<(T, T)>,
}

impl<T: Physical> Integers<T> {
    pub(super) fn new(descr: ColumnDescPtr, choice: Choice) -> Self {
        let (values, dictionary) = match choice {
            Choice::Dictionary => (Values::Codes(Vec::new()), Some(IntegerDictionary::new())),
            Choice::Delta => (Values::Delta(Delta::new()), None),
            Choice::Plain => (Values::Plain(Vec::new()), None),
        };
        Self { pages: Pages::new(descr), values, dictionary, bounds: None }
    }

    /// Adds the values of a batch, without NULLs, to the open page; leaves the dictionary when it is
    /// full.
    fn put(&mut self, batch: &[T], workspace: &mut Workspace) -> Result<()> {
        if let Values::Codes(codes) = &mut self.values
            && let Some(dictionary) = &mut self.dictionary
        {
            let before = codes.len();
            codes.reserve(batch.len());
            let full = batch.iter().any(|value| match dictionary.intern(*value) {
                Interned::Code(code) => {
                    codes.push(code);
                    false
                }
                Interned::Full => true,
            });
            if !full {
                return Ok(());
            }
            codes.truncate(before);
            self.flush(workspace)?;
            self.values = Values::Delta(Delta::new());
        }
        let bounds = batch.iter().copied().min().zip(batch.iter().copied().max());
        self.bounds = wider(self.bounds, bounds);
        match &mut self.values {
            Values::Codes(_) => {}
            Values::Delta(delta) => delta.put(batch),
            Values::Plain(values) => values.extend_from_slice(batch),
        }
        Ok(())
    }

    /// Ends the open page.
    fn flush(&mut self, workspace: &mut Workspace) -> Result<()> {
        let Self { pages, values, dictionary, .. } = self;
        pages.end_page(workspace, |body| match values {
            Values::Codes(codes) => {
                let different = dictionary.as_ref().map_or(0, |known| known.values().len());
                put_codes(codes, different, body);
                Encoding::RLE_DICTIONARY
            }
            Values::Delta(delta) => {
                delta.finish(body);
                Encoding::DELTA_BINARY_PACKED
            }
            Values::Plain(values) => {
                T::plain(values, body);
                values.clear();
                Encoding::PLAIN
            }
        })
    }

    fn page_bytes(&self) -> usize {
        match &self.values {
            Values::Codes(codes) => codes.capacity() * size_of::<u32>(),
            Values::Delta(delta) => delta.bytes(),
            Values::Plain(values) => values.capacity() * size_of::<T>(),
        }
    }
}

/// Takes the values of `array` that are not NULL.
fn take<A: ArrowPrimitiveType, T>(array: &PrimitiveArray<A>, batch: &mut Vec<T>)
where
    A::Native: Narrow<T>,
{
    let values = array.values();
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => batch.extend(values.iter().map(|value| value.narrow())),
        Some(nulls) => {
            batch.reserve(array.len() - nulls.null_count());
            for (from, until) in nulls.valid_slices() {
                let valid = values.get(from..until).unwrap_or_default();
                batch.extend(valid.iter().map(|value| value.narrow()));
            }
        }
    }
}

fn wider<T: Ord>(a: Option<(T, T)>, b: Option<(T, T)>) -> Option<(T, T)> {
    match (a, b) {
        (Some((least, most)), Some((low, high))) => Some((least.min(low), most.max(high))),
        (known, None) | (None, known) => known,
    }
}

impl<T: Physical> EncodeColumn for Integers<T>
where
    i16: Narrow<T>,
    i32: Narrow<T>,
    i64: Narrow<T>,
    i128: Narrow<T>,
{
    fn write(&mut self, array: &ArrayRef, workspace: &mut Workspace) -> Result<()> {
        let mut batch = std::mem::take(T::buffer(workspace));
        batch.clear();
        match array.data_type() {
            DataType::Int16 => take(array.as_primitive::<Int16Type>(), &mut batch),
            DataType::Int32 => take(array.as_primitive::<Int32Type>(), &mut batch),
            DataType::Int64 => take(array.as_primitive::<Int64Type>(), &mut batch),
            DataType::Date32 => take(array.as_primitive::<Date32Type>(), &mut batch),
            DataType::Timestamp(..) => {
                take(array.as_primitive::<TimestampMicrosecondType>(), &mut batch);
            }
            DataType::Decimal128(..) => take(array.as_primitive::<Decimal128Type>(), &mut batch),
            other => {
                return Err(ParquetError::General(format!("{other} is not kept as an integer")));
            }
        }
        self.put(&batch, workspace)?;
        *T::buffer(workspace) = batch;
        if self.pages.add_rows(array, self.page_bytes()) {
            self.flush(workspace)?;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        let dictionary = self.dictionary.as_ref().map_or(0, IntegerDictionary::bytes);
        self.pages.bytes() + self.page_bytes() + dictionary
    }

    fn close(mut self: Box<Self>, workspace: &mut Workspace) -> Result<ClosedColumn> {
        self.flush(workspace)?;
        let mut plain = Vec::new();
        let dictionary = self.dictionary.as_ref().map(|dictionary| {
            let values = dictionary.values();
            let bounds = values.iter().copied().min().zip(values.iter().copied().max());
            self.bounds = wider(self.bounds, bounds);
            T::plain(values, &mut plain);
            values.len()
        });
        let statistics = T::statistics(self.bounds, self.pages.nulls());
        self.pages.close(
            dictionary.map(|values| (values, plain.as_slice())),
            statistics,
            &mut workspace.codec,
        )
    }
}
