//! Pages of one column chunk, compressed, and the metadata that describes them.

use std::io::{Cursor, Read};

use arrow::array::{Array, ArrayRef};
use bytes::Bytes;
use parquet::{
    basic::{Compression, Encoding, EncodingMask, PageType},
    column::page::{CompressedPage, Page, PageWriter},
    column::writer::ColumnCloseResult,
    errors::{ParquetError, Result},
    file::{
        metadata::{ColumnChunkMetaData, OffsetIndexBuilder, PageEncodingStats},
        reader::{ChunkReader, Length},
        statistics::Statistics,
        writer::{SerializedPageWriter, TrackedWrite},
    },
    schema::types::ColumnDescPtr,
};

use super::{PAGE_BYTES, PAGE_ROWS, Workspace, codec::Codec, levels::Levels};

/// A page that compression does not make smaller than so many percent of its length is left as it
/// is, and so are the later ones of its column chunk: readers are faster then.
const WORTH_PERCENT: usize = 92;

/// The data pages of a column chunk, in order, and which rows of the open one have a value.
pub(super) struct Pages {
    descr: ColumnDescPtr,
    levels: Levels,
    nulls: usize,
    sink: TrackedWrite<Vec<u8>>,
    /// Settled by the first page.
    compression: Option<Compression>,
    sizes: Vec<(i32, i64)>,
    uncompressed: usize,
    rows: usize,
    encodings: Vec<PageEncodingStats>,
}

impl Pages {
    pub(super) fn new(descr: ColumnDescPtr) -> Self {
        Self {
            levels: Levels::new(descr.max_def_level()),
            nulls: 0,
            descr,
            sink: TrackedWrite::new(Vec::new()),
            compression: None,
            sizes: Vec::new(),
            uncompressed: 0,
            rows: 0,
            encodings: Vec::new(),
        }
    }

    /// Bytes of the pages so far.
    pub(super) fn bytes(&self) -> usize {
        self.sink.inner().capacity()
    }

    /// NULLs of the pages so far.
    pub(super) fn nulls(&self) -> u64 {
        self.nulls as u64
    }

    /// Adds the rows of `array`, whose values are in the open page already. Whether that page, with
    /// so many bytes of values, is full.
    pub(super) fn add_rows(&mut self, array: &ArrayRef, value_bytes: usize) -> bool {
        self.levels.put(array.len(), array.nulls());
        self.levels.rows() >= PAGE_ROWS || value_bytes >= PAGE_BYTES
    }

    /// Ends the open page, if it has rows; `put_values` appends its values and tells their encoding.
    pub(super) fn end_page(
        &mut self,
        workspace: &mut Workspace,
        put_values: impl FnOnce(&mut Vec<u8>) -> Encoding,
    ) -> Result<()> {
        let rows = self.levels.rows();
        if rows == 0 {
            return Ok(());
        }
        self.nulls += self.levels.nulls();
        let Workspace { codec, body, .. } = workspace;
        body.clear();
        self.levels.finish(body);
        let encoding = put_values(body);
        let page = Page::DataPage {
            buf: self.compressed(body, codec)?,
            num_values: rows as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let written = SerializedPageWriter::new(&mut self.sink)
            .write_page(CompressedPage::new(page, body.len()))?;
        self.sizes.push((written.compressed_size as i32, rows as i64));
        self.uncompressed += written.uncompressed_size;
        self.rows += rows;
        match self.encodings.last_mut() {
            Some(last) if last.encoding == encoding => last.count += 1,
            _ => self.encodings.push(PageEncodingStats {
                page_type: PageType::DATA_PAGE,
                encoding,
                count: 1,
            }),
        }
        // One huge page must not be paid for until the row group ends.
        workspace.settle();
        Ok(())
    }

    /// `body` as the column chunk's pages are stored; the first one decides how.
    fn compressed(&mut self, body: &[u8], codec: &mut Codec) -> Result<Bytes> {
        if self.compression == Some(Compression::UNCOMPRESSED) {
            return Ok(Bytes::copy_from_slice(body));
        }
        let stored = codec.compress(body)?;
        if self.compression.is_none() {
            let pays = stored.len() * 100 < body.len() * WORTH_PERCENT;
            let chosen = if pays { codec.compression() } else { Compression::UNCOMPRESSED };
            self.compression = Some(chosen);
            if !pays {
                return Ok(Bytes::copy_from_slice(body));
            }
        }
        Ok(stored)
    }

    /// Ends the column chunk. `dictionary` is the number of its values and they themselves.
    pub(super) fn close(
        mut self,
        dictionary: Option<(usize, &[u8])>,
        statistics: Statistics,
        codec: &mut Codec,
    ) -> Result<ClosedColumn> {
        let mut head = TrackedWrite::new(Vec::new());
        let mut encodings = vec![Encoding::RLE];
        if let Some((values, body)) = dictionary {
            let page = Page::DictionaryPage {
                buf: self.compressed(body, codec)?,
                num_values: values as u32,
                encoding: Encoding::PLAIN,
                is_sorted: false,
            };
            let written = SerializedPageWriter::new(&mut head)
                .write_page(CompressedPage::new(page, body.len()))?;
            self.uncompressed += written.uncompressed_size;
            encodings.push(Encoding::PLAIN);
            self.encodings.insert(
                0,
                PageEncodingStats {
                    page_type: PageType::DICTIONARY_PAGE,
                    encoding: Encoding::PLAIN,
                    count: 1,
                },
            );
        }
        let head = head.into_inner()?;
        let mut offsets = OffsetIndexBuilder::new();
        let mut offset = head.len() as i64;
        for (size, rows) in &self.sizes {
            offsets.append_row_count(*rows);
            offsets.append_offset_and_size(offset, *size);
            offset += i64::from(*size);
        }
        encodings.extend(self.encodings.iter().map(|stats| stats.encoding));
        let metadata = ColumnChunkMetaData::builder(self.descr)
            .set_compression(self.compression.unwrap_or(Compression::UNCOMPRESSED))
            .set_encodings_mask(EncodingMask::new_from_encodings(encodings.iter()))
            .set_page_encoding_stats(self.encodings)
            .set_total_compressed_size(offset)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_num_values(self.rows as i64)
            .set_data_page_offset(head.len() as i64)
            .set_dictionary_page_offset(dictionary.map(|_| 0))
            .set_statistics(statistics)
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: offset as u64,
            rows_written: self.rows as u64,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: Some(offsets.build()),
        };
        Ok(ClosedColumn { head: head.into(), pages: self.sink.into_inner()?.into(), close })
    }
}

/// A column chunk, ready to be appended to any file of its schema.
pub(in crate::stage) struct ClosedColumn {
    /// The dictionary page, where there is one.
    head: Bytes,
    /// The data pages.
    pages: Bytes,
    close: ColumnCloseResult,
}

impl ClosedColumn {
    /// Bytes of its pages.
    pub(in crate::stage) fn bytes(&self) -> u64 {
        self.close.bytes_written
    }

    /// What its bytes are read from, and what describes them.
    pub(in crate::stage) fn into_parts(self) -> (impl ChunkReader, ColumnCloseResult) {
        (Parts { head: self.head, pages: self.pages }, self.close)
    }
}

struct Parts {
    head: Bytes,
    pages: Bytes,
}

impl Length for Parts {
    fn len(&self) -> u64 {
        (self.head.len() + self.pages.len()) as u64
    }
}

impl ChunkReader for Parts {
    type T = std::io::Chain<Cursor<Bytes>, Cursor<Bytes>>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        // A column chunk is read once, from its beginning.
        if start != 0 {
            return Err(ParquetError::General("a column chunk is read from its start".into()));
        }
        Ok(Cursor::new(self.head.clone()).chain(Cursor::new(self.pages.clone())))
    }

    fn get_bytes(&self, _start: u64, _length: usize) -> Result<Bytes> {
        Err(ParquetError::General("a column chunk is read as a stream".into()))
    }
}
