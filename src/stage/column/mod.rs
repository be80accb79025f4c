//! Column chunks of Parquet, encoded column at a time.
//!
//! The `parquet` crate's writer decides much value by value: levels, statistics, dictionary,
//! buffers. Most columns of a database are flat integers, dates, decimals and texts, and for these
//! the loops here take a third of the time. All other columns (nested ones, floats, booleans, wide
//! decimals) are left to the crate, which also writes page headers and footers for both.
//!
//! Source of all layouts: the Parquet format's specification, `Encodings.md` and `README.md`.

mod bits;
mod codec;
mod delta;
mod dictionary;
mod integers;
mod levels;
mod page;
mod text;
mod workspace;

use arrow::{array::ArrayRef, datatypes::DataType};
use parquet::{basic::Type, errors::Result, schema::types::ColumnDescPtr};

use super::encoding::Choice;

pub(super) use page::ClosedColumn;
pub(super) use workspace::Workspace;

/// A page ends at so many rows at the latest.
const PAGE_ROWS: usize = 128 << 10;

/// A page ends at about so many bytes before compression.
const PAGE_BYTES: usize = 1 << 20;

/// Encodes one column of one row group.
pub(super) trait EncodeColumn: Send {
    /// Adds the values of `array`.
    fn write(&mut self, array: &ArrayRef, workspace: &mut Workspace) -> Result<()>;

    /// Bytes it holds in memory.
    fn bytes(&self) -> usize;

    /// Ends the column chunk.
    fn close(self: Box<Self>, workspace: &mut Workspace) -> Result<ClosedColumn>;
}

/// Whether flat columns of type `data_type` are encoded here.
pub(super) fn encodes(data_type: &DataType) -> bool {
    match data_type {
        DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Date32
        | DataType::Timestamp(..)
        | DataType::Utf8View
        | DataType::BinaryView => true,
        // Those of more digits are bytes for Parquet.
        DataType::Decimal128(precision, _) => *precision <= 18,
        _ => false,
    }
}

/// How many columns of Parquet a column of `data_type` becomes.
pub(super) fn leaf_count(data_type: &DataType) -> usize {
    match data_type {
        DataType::Struct(fields) => fields.iter().map(|field| leaf_count(field.data_type())).sum(),
        DataType::List(item) | DataType::Map(item, _) => leaf_count(item.data_type()),
        _ => 1,
    }
}

/// What encodes a column of type `data_type` that Parquet describes as `descr`; nothing where the
/// `parquet` crate does it.
pub(super) fn encoder(
    data_type: &DataType,
    descr: ColumnDescPtr,
    choice: Choice,
) -> Option<Box<dyn EncodeColumn>> {
    if !encodes(data_type) || descr.max_rep_level() > 0 || descr.max_def_level() > 1 {
        return None;
    }
    match (data_type, descr.physical_type()) {
        (
            DataType::Int16 | DataType::Int32 | DataType::Date32 | DataType::Decimal128(..),
            Type::INT32,
        ) => Some(Box::new(integers::Integers::<i32>::new(descr, choice))),
        (DataType::Int64 | DataType::Timestamp(..) | DataType::Decimal128(..), Type::INT64) => {
            Some(Box::new(integers::Integers::<i64>::new(descr, choice)))
        }
        (DataType::Utf8View | DataType::BinaryView, Type::BYTE_ARRAY) => {
            Some(Box::new(text::Texts::new(descr, choice)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
