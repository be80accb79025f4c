//! Compression of pages, with a context that is made once and used for all of them.

use bytes::Bytes;
use parquet::{
    basic::Compression,
    errors::{ParquetError, Result},
};
use zstd::bulk::Compressor;

use super::PAGE_BYTES;

/// Compresses pages. Making one costs more than compressing a page, so a row group keeps it.
pub(super) struct Codec {
    compression: Compression,
    engine: Engine,
    buffer: Vec<u8>,
}

enum Engine {
    None,
    Zstd(Compressor<'static>),
    Lz4,
    Snappy(Box<snap::raw::Encoder>),
}

impl Codec {
    /// # Errors
    /// For a compression that the stage does not write.
    pub(super) fn new(compression: Compression) -> Result<Self> {
        let engine = match compression {
            Compression::UNCOMPRESSED => Engine::None,
            Compression::ZSTD(level) => {
                Engine::Zstd(Compressor::new(level.compression_level()).map_err(failed)?)
            }
            Compression::LZ4_RAW => Engine::Lz4,
            Compression::SNAPPY => Engine::Snappy(Box::new(snap::raw::Encoder::new())),
            other => return Err(ParquetError::NYI(format!("pages compressed by {other}"))),
        };
        Ok(Self { compression, engine, buffer: Vec::new() })
    }

    /// What column chunks say of their pages.
    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    pub(super) fn compress(&mut self, body: &[u8]) -> Result<Bytes> {
        let Self { engine, buffer, .. } = self;
        match engine {
            Engine::None => return Ok(Bytes::copy_from_slice(body)),
            Engine::Zstd(compressor) => {
                buffer.clear();
                buffer.reserve(zstd::zstd_safe::compress_bound(body.len()));
                compressor.compress_to_buffer(body, buffer).map_err(failed)?;
            }
            Engine::Lz4 => {
                buffer.resize(lz4_flex::block::get_maximum_output_size(body.len()), 0);
                let len = lz4_flex::block::compress_into(body, buffer).map_err(failed)?;
                buffer.truncate(len);
            }
            Engine::Snappy(encoder) => {
                buffer.resize(snap::raw::max_compress_len(body.len()), 0);
                let len = encoder.compress(body, buffer).map_err(failed)?;
                buffer.truncate(len);
            }
        }
        Ok(Bytes::copy_from_slice(buffer))
    }

    /// Bytes of the buffer that pages are compressed into.
    pub(super) fn bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Lets go of what one huge page needed.
    pub(super) fn settle(&mut self) {
        if self.buffer.capacity() > 4 * PAGE_BYTES {
            self.buffer = Vec::new();
        }
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> ParquetError {
    ParquetError::External(Box::new(error))
}
