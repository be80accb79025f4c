//! What writers of columns take of memory beyond the pages that they report.
//!
//! Measured with the `parquet` crate's writers (59), as resident memory: 1,600 open columns take
//! 33 MiB under zstd and 12 MiB under lz4 before they hold a value; 16 columns whose pages are full
//! take 9 MiB more at zstd's level 1 than uncompressed ones, 20 MiB at 3, 160 MiB at 9 and 510 MiB
//! from 15 on, because each column keeps a compressor.

use arrow::datatypes::SchemaRef;

use super::{column, encoding::EncodeOptions};
use crate::config::Compression;

/// What an open file's writes are gathered in.
pub(super) const FILE_BUFFER: usize = 128 << 10;

/// A file ends with so many entries in its footer, which is in memory until then and would else
/// grow with a wide table.
pub(super) const FOOTER_CHUNKS: usize = 32 << 10;

/// An open column without a value.
const COLUMN: u64 = 24 << 10;

/// A page is full at so many bytes.
const PAGE: u64 = 1 << 20;

/// Bytes that one writer of a table holds at most between two batches, about.
pub(super) fn of_writer(schema: &SchemaRef, options: &EncodeOptions) -> u64 {
    let columns: u64 =
        schema.fields().iter().map(|field| column::leaf_count(field.data_type()) as u64).sum();
    let row_group = options.row_group_bytes as u64;
    // The columns that we encode share one compressor. Another one's is as large as the pages that
    // it is given, and all pages together are in the row group.
    let others = schema.fields().iter().filter(|field| !column::encodes(field.data_type()));
    let others: u64 = others.map(|field| column::leaf_count(field.data_type()) as u64).sum();
    let compressors = 1 + others.min((2 * row_group).div_ceil(PAGE));
    row_group
        + columns * COLUMN
        + compressors * compressor(options.compression)
        + FILE_BUFFER as u64
}

/// What compresses one column whose pages are full.
fn compressor(compression: Compression) -> u64 {
    match compression {
        Compression::Lz4 | Compression::Snappy | Compression::None => 64 << 10,
        Compression::Zstd { level } => match level {
            ..=2 => 640 << 10,
            3..=5 => 3 << 19,
            6..=9 => 11 << 20,
            10.. => 33 << 20,
        },
    }
}
