//! Decoding binary COPY into record batches.

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};

use super::{pg_type::PgType, wire::Block};
use crate::error::{Error, Result};

/// When a batch is closed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At this many rows.
    pub rows: usize,
    /// Or at about this many bytes in memory.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows: 65_536, bytes: 16 << 20 }
    }
}

/// Decodes one COPY stream.
pub struct Decoder(());

impl Decoder {
    /// A decoder of a stream of `columns` into `schema`.
    pub fn new(_columns: &[(String, PgType)], _schema: SchemaRef, _limits: Limits) -> Result<Self> {
        Err(Error::internal("not built yet"))
    }

    /// Decodes one more block.
    pub fn feed(&mut self, _block: &Block) -> Result<()> {
        Err(Error::internal("not built yet"))
    }

    /// The next finished batch.
    pub fn take_batch(&mut self) -> Option<RecordBatch> {
        None
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        0
    }

    /// The last batch and the number of all rows.
    pub fn finish(self) -> Result<(Option<RecordBatch>, u64)> {
        Err(Error::internal("not built yet"))
    }
}
