//! What the columns of a row group use one after another, so that a table of many columns has it
//! once.

use parquet::{basic::Compression, errors::Result};

use super::{PAGE_BYTES, codec::Codec};

/// A compressor, and buffers whose contents matter to nobody between two calls.
pub(in crate::stage) struct Workspace {
    pub(super) codec: Codec,
    /// A page before it is compressed.
    pub(super) body: Vec<u8>,
    /// Values of a batch.
    pub(super) narrow: Vec<i32>,
    pub(super) wide: Vec<i64>,
}

impl Workspace {
    /// # Errors
    /// For a compression that the stage does not write.
    pub(in crate::stage) fn new(compression: Compression) -> Result<Self> {
        let codec = Codec::new(compression)?;
        Ok(Self { codec, body: Vec::new(), narrow: Vec::new(), wide: Vec::new() })
    }

    /// Bytes that it holds.
    pub(in crate::stage) fn bytes(&self) -> usize {
        self.codec.bytes()
            + self.body.capacity()
            + self.narrow.capacity() * size_of::<i32>()
            + self.wide.capacity() * size_of::<i64>()
    }

    /// Lets go of what one huge page needed.
    pub(super) fn settle(&mut self) {
        if self.body.capacity() > 4 * PAGE_BYTES {
            self.body = Vec::new();
        }
        self.codec.settle();
    }
}
