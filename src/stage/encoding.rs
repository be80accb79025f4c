//! How columns are encoded: chosen per column from its type and its first values.
//!
//! Measured on TPC-H `lineitem` with zstd(1): Parquet's defaults (dictionary everywhere, page
//! statistics) cost a third more CPU and a quarter more bytes than the choices made here.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

use arrow::{
    array::{Array, AsArray},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type, SchemaRef,
        TimestampMicrosecondType,
    },
};
use parquet::{
    basic::{Compression as Codec, Encoding, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties},
    schema::types::ColumnPath,
};

use crate::{
    config::{Compression, ParquetConfig},
    error::{Error, Result},
};

/// How a table's files are written, and what a writer holds before it lets go.
#[derive(Debug, Clone, Copy)]
pub struct EncodeOptions {
    /// How pages are compressed.
    pub compression: Compression,
    /// A row group closes at about so many encoded bytes in memory.
    pub row_group_bytes: usize,
    /// A row group closes at so many rows at the latest.
    pub row_group_rows: usize,
    /// A file closes at about so many bytes.
    pub file_bytes: u64,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        let ParquetConfig { compression, row_group } = ParquetConfig::default();
        Self {
            compression,
            row_group_bytes: row_group.as_usize(),
            row_group_rows: 1 << 20,
            file_bytes: 512 << 20,
        }
    }
}

/// Values looked at per column to judge whether a dictionary pays.
const SAMPLE: usize = 4096;

/// A dictionary pays when at most one in so many sampled values is new.
const REPEATS: usize = 8;

/// Writer properties for a table whose columns are encoded as `choices` say.
pub(super) fn properties(
    schema: &SchemaRef,
    choices: &[Choice],
    compression: Compression,
) -> Result<WriterProperties> {
    let mut builder = WriterProperties::builder()
        .set_created_by(format!("longshore version {}", env!("CARGO_PKG_VERSION")))
        .set_compression(codec(compression)?)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(false)
        .set_max_row_group_row_count(None)
        .set_dictionary_enabled(false);
    for (field, whole) in schema.fields().iter().zip(choices) {
        for (path, leaf) in leaves(field.name(), field.data_type()) {
            let path = ColumnPath::from(path);
            let choice = if leaf == *field.data_type() { *whole } else { by_type(&leaf) };
            builder = match choice {
                Choice::Dictionary => builder.set_column_dictionary_enabled(path, true),
                Choice::Delta => builder.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
                Choice::Plain => builder.set_column_encoding(path, Encoding::PLAIN),
            };
        }
    }
    Ok(builder.build())
}

/// How pages are compressed, in the `parquet` crate's words.
pub(super) fn codec(compression: Compression) -> Result<Codec> {
    Ok(match compression {
        Compression::Zstd { level } => {
            let level = ZstdLevel::try_new(level.into());
            Codec::ZSTD(level.map_err(|error| Error::internal(error.to_string()))?)
        }
        Compression::Lz4 => Codec::LZ4_RAW,
        Compression::Snappy => Codec::SNAPPY,
        Compression::None => Codec::UNCOMPRESSED,
    })
}

/// How one column is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// Few different values.
    Dictionary,
    /// Integers whose neighbours are near.
    Delta,
    /// All else: zstd alone does best.
    Plain,
}

/// The leaf columns below a field, with their Parquet paths.
fn leaves(name: &str, data_type: &DataType) -> Vec<(Vec<String>, DataType)> {
    let below = |children: Vec<(&str, &DataType)>, through: &[&str]| {
        children
            .into_iter()
            .flat_map(|(child, data_type)| leaves(child, data_type))
            .map(|(tail, data_type)| {
                let head = std::iter::once(name).chain(through.iter().copied()).map(str::to_owned);
                (head.chain(tail).collect(), data_type)
            })
            .collect()
    };
    match data_type {
        DataType::Struct(fields) => {
            below(fields.iter().map(|f| (f.name().as_str(), f.data_type())).collect(), &[])
        }
        DataType::List(item) => below(vec![(item.name(), item.data_type())], &["list"]),
        DataType::Map(entries, _) => below(vec![(entries.name(), entries.data_type())], &[]),
        _ => vec![(vec![name.to_owned()], data_type.clone())],
    }
}

fn by_type(data_type: &DataType) -> Choice {
    match data_type {
        DataType::Utf8View => Choice::Dictionary,
        DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Date32
        | DataType::Timestamp(..) => Choice::Delta,
        // Parquet keeps decimals of more digits as bytes.
        DataType::Decimal128(precision, _) if *precision <= 18 => Choice::Delta,
        _ => Choice::Plain,
    }
}

/// The choice for a column whose first values are those of `column`.
pub(super) fn choose(column: &dyn Array) -> Choice {
    if repeats(column) {
        Choice::Dictionary
    } else {
        match by_type(column.data_type()) {
            Choice::Dictionary => Choice::Plain,
            other => other,
        }
    }
}

/// Whether the first values repeat enough for a dictionary. Booleans and floats never want one.
fn repeats(column: &dyn Array) -> bool {
    let sample = column.len().min(SAMPLE);
    if sample < REPEATS {
        return matches!(column.data_type(), DataType::Utf8View);
    }
    let distinct = match column.data_type() {
        DataType::Utf8View => distinct(column.as_string_view().iter().take(sample).flatten()),
        DataType::Int16 => {
            distinct(column.as_primitive::<Int16Type>().iter().take(sample).flatten())
        }
        DataType::Int32 => {
            distinct(column.as_primitive::<Int32Type>().iter().take(sample).flatten())
        }
        DataType::Int64 => {
            distinct(column.as_primitive::<Int64Type>().iter().take(sample).flatten())
        }
        DataType::Date32 => {
            distinct(column.as_primitive::<Date32Type>().iter().take(sample).flatten())
        }
        DataType::Decimal128(..) => {
            distinct(column.as_primitive::<Decimal128Type>().iter().take(sample).flatten())
        }
        DataType::Timestamp(..) => distinct(
            column.as_primitive::<TimestampMicrosecondType>().iter().take(sample).flatten(),
        ),
        _ => return false,
    };
    distinct * REPEATS <= sample
}

fn distinct<T: std::hash::Hash>(values: impl Iterator<Item = T>) -> usize {
    let hasher = RandomState::new();
    values.map(|value| hasher.hash_one(value)).collect::<HashSet<u64>>().len()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringViewArray};

    use super::*;

    #[test]
    fn dictionaries_only_where_values_repeat() {
        let keys = Int64Array::from_iter_values(0..5000);
        let flags = StringViewArray::from_iter_values((0..5000).map(|i| ["a", "b"][i % 2]));
        let texts = StringViewArray::from_iter_values((0..5000).map(|i| format!("text {i}")));
        assert_eq!(choose(&keys), Choice::Delta);
        assert_eq!(choose(&flags), Choice::Dictionary);
        assert_eq!(choose(&texts), Choice::Plain);
    }
}
