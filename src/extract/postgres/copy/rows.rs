//! Pass 1: walks the rows of a stretch of the stream and notes where each cell lies.

use super::cells::{Cells, Problem};

/// Cells noted before they are decoded: a tile's places and its bytes should stay in the cache of
/// one core until pass 2 is done with them.
const CELLS: usize = 32 * 1024;

/// The rows that were walked and wait to be decoded, column by column.
pub(super) struct Tile {
    /// The place of each cell's length prefix, column after column, `capacity` each.
    at: Vec<u32>,
    columns: usize,
    capacity: usize,
    rows: usize,
}

/// What a walk found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A row, which ends here.
    Row(usize),
    /// The trailer, which ends here: there are no more rows.
    Trailer(usize),
    /// Part of a row: it is no shorter than this.
    Short(usize),
}

impl Tile {
    /// A tile for rows of `columns` cells.
    pub(super) fn new(columns: usize) -> Self {
        let capacity = (CELLS / columns.max(1)).clamp(64, 1024);
        Self { at: vec![0; capacity * columns], columns, capacity, rows: 0 }
    }

    /// Rows that it can hold.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Rows that it holds.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.rows = 0;
    }

    /// The cells of `column`, which lie in `data`.
    pub(super) fn cells<'a>(&'a self, column: usize, data: &'a [u8]) -> Cells<'a> {
        let start = column * self.capacity;
        Cells { data, at: self.at.get(start..start + self.rows).unwrap_or_default() }
    }

    /// Walks the row at `position` of `data`, which ends where what has arrived ends. The tile must
    /// not be full.
    #[inline]
    pub(super) fn walk(&mut self, data: &[u8], position: usize) -> Result<Step, Problem> {
        let Some(count) = data.get(position..).and_then(<[u8]>::first_chunk::<2>) else {
            return Ok(Step::Short(2));
        };
        let count = i16::from_be_bytes(*count);
        if usize::try_from(count) != Ok(self.columns) {
            return if count == -1 {
                Ok(Step::Trailer(position + 2))
            } else {
                Err(Problem::Malformed("a row of another number of columns than was asked for"))
            };
        }
        let mut next = position + 2;
        let slots = self.at.get_mut(self.rows..).unwrap_or_default();
        for slot in slots.iter_mut().step_by(self.capacity) {
            let Some(head) = data.get(next..next + 4).and_then(<[u8]>::first_chunk::<4>) else {
                return Ok(Step::Short(next + 4 - position));
            };
            *slot = next as u32;
            let len = i32::from_be_bytes(*head);
            next += 4 + len.max(0) as usize;
            if len < -1 {
                return Err(Problem::Malformed("a value of a negative length"));
            }
        }
        if next > data.len() {
            return Ok(Step::Short(next - position));
        }
        self.rows += 1;
        Ok(Step::Row(next))
    }
}
