//! Definition levels of columns that are not nested: which rows of a page have a value.
//!
//! Source: the Parquet format's "Data Pages": `u32` length in bytes, little-endian, and a hybrid of
//! runs and packed bits. Arrow's validity bitmap is already the packed form.

use arrow::{array::BooleanBufferBuilder, buffer::NullBuffer};

use super::bits::varint;

/// The rows of one page.
pub(super) struct Levels {
    /// One bit a row, from the first row of a batch with a NULL on.
    valid: BooleanBufferBuilder,
    rows: usize,
    nulls: usize,
    is_nullable: bool,
}

impl Levels {
    /// Of a column that may hold NULLs, or not.
    pub(super) fn new(max_level: i16) -> Self {
        Self { valid: BooleanBufferBuilder::new(0), rows: 0, nulls: 0, is_nullable: max_level > 0 }
    }

    pub(super) fn put(&mut self, rows: usize, nulls: Option<&NullBuffer>) {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        if let Some(nulls) = nulls {
            self.valid.append_n(self.rows - self.valid.len(), true);
            self.valid.append_buffer(nulls.inner());
            self.nulls += nulls.null_count();
        }
        self.rows += rows;
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn nulls(&self) -> usize {
        self.nulls
    }

    /// Appends the page's levels to `out` and begins a new page.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.is_nullable {
            let start = out.len();
            out.extend_from_slice(&[0; 4]);
            if self.nulls == 0 {
                varint(self.rows as u64 * 2, out);
                out.push(1);
            } else {
                self.valid.append_n(self.rows - self.valid.len(), true);
                varint(self.rows.div_ceil(8) as u64 * 2 + 1, out);
                out.extend_from_slice(
                    self.valid.as_slice().get(..self.rows.div_ceil(8)).unwrap_or_default(),
                );
            }
            let len = (out.len() - start - 4) as u32;
            if let Some(slot) = out.get_mut(start..start + 4) {
                slot.copy_from_slice(&len.to_le_bytes());
            }
        }
        self.valid.truncate(0);
        (self.rows, self.nulls) = (0, 0);
    }
}
