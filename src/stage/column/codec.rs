//! Compression of pages, with a context that is made once and used for all of them.

use bytes::Bytes;
use parquet::{
    basic::{Compression, ZstdLevel},
    errors::{ParquetError, Result},
};
use zstd::bulk::Compressor;

/// Compresses pages. Making one costs more than compressing a page, so a worker keeps it.
pub(in crate::stage) struct Codec {
    compression: Compression,
    compressor: Compressor<'static>,
    buffer: Vec<u8>,
}

impl Codec {
    /// zstd of `level`.
    pub(in crate::stage) fn zstd(level: ZstdLevel) -> Result<Self> {
        Ok(Self {
            compression: Compression::ZSTD(level),
            compressor: Compressor::new(level.compression_level()).map_err(failed)?,
            buffer: Vec::new(),
        })
    }

    /// What column chunks say of their pages.
    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    pub(super) fn compress(&mut self, body: &[u8]) -> Result<Bytes> {
        self.buffer.clear();
        self.buffer.reserve(zstd::zstd_safe::compress_bound(body.len()));
        self.compressor.compress_to_buffer(body, &mut self.buffer).map_err(failed)?;
        Ok(Bytes::copy_from_slice(&self.buffer))
    }
}

fn failed(error: std::io::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}
