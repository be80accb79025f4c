//! `DELTA_BINARY_PACKED`: integers as differences to the one before, in as few bits as a group of
//! them needs.
//!
//! Source: the Parquet format's "Encodings". A page holds a header (values in a block, miniblocks in
//! a block, number of values, first value) and blocks: the least difference, a width for each
//! miniblock, and what each difference is above the least, packed.

use super::{
    bits::{LANE, pack, varint, width_of},
    integers::Physical,
};

/// Values in a block; the format asks for a multiple of 128.
const BLOCK: usize = 128;

/// Miniblocks in a block.
const MINIBLOCKS: usize = BLOCK / LANE;

/// The values of one page.
pub(super) struct Delta<T> {
    first: T,
    last: T,
    count: usize,
    /// Differences that fill no block yet.
    open: Vec<T>,
    blocks: Vec<u8>,
}

impl<T: Physical> Delta<T> {
    pub(super) fn new() -> Self {
        let zero = T::default();
        let open = Vec::with_capacity(BLOCK);
        Self { first: zero, last: zero, count: 0, open, blocks: Vec::new() }
    }

    pub(super) fn put(&mut self, values: &[T]) {
        let mut values = values;
        if self.count == 0 {
            let Some((first, rest)) = values.split_first() else { return };
            (self.first, self.last, self.count) = (*first, *first, 1);
            values = rest;
        }
        self.count += values.len();
        while !values.is_empty() {
            let (now, later) = values.split_at(values.len().min(BLOCK - self.open.len()));
            values = later;
            let before = std::iter::once(&self.last).chain(now);
            self.open.extend(now.iter().zip(before).map(|(value, before)| value.minus(*before)));
            self.last = now.last().copied().unwrap_or(self.last);
            if self.open.len() == BLOCK {
                self.close_block();
            }
        }
    }

    /// Bytes it takes in the page, about.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.len() + self.open.len() * size_of::<T>()
    }

    /// Appends the page's values to `out` and begins a new page.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.open.is_empty() {
            self.close_block();
        }
        varint(BLOCK as u64, out);
        varint(MINIBLOCKS as u64, out);
        varint(self.count as u64, out);
        varint(self.first.zigzag(), out);
        out.extend_from_slice(&self.blocks);
        self.blocks.clear();
        self.count = 0;
    }

    fn close_block(&mut self) {
        let least = self.open.iter().copied().min().unwrap_or_default();
        let mut above = [0_u64; BLOCK];
        for (slot, difference) in above.iter_mut().zip(&self.open) {
            *slot = difference.minus(least).unsigned();
        }
        // What a short last block lacks stays zero.
        self.open.clear();
        varint(least.zigzag(), &mut self.blocks);
        let (lanes, _) = above.as_chunks::<LANE>();
        let widths: [usize; MINIBLOCKS] = std::array::from_fn(|at| {
            let lane = lanes.get(at).map_or(&[][..], |lane| lane);
            width_of(lane.iter().fold(0, |all, value| all | value))
        });
        self.blocks.extend(widths.iter().map(|width| *width as u8));
        for (lane, width) in lanes.iter().zip(widths) {
            pack(lane, width, &mut self.blocks);
        }
    }
}
