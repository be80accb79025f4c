//! Dividing tables into chunks: ranges of heap pages.
//!
//! A range of pages is read by a TID range scan, which servers have since PostgreSQL 14; older ones
//! read a relation in one go. What has no heap of its own (views, foreign tables, queries, other
//! storage) is read whole, and so is a table some part of which the login may only read through it.

use super::sql::qualified;
use crate::extract::{Chunk, ChunkPart};

/// The first server with TID range scans.
const TID_RANGE_SCANS: u32 = 140_000;

/// A chunk has about so many bytes at most, TOAST included.
const CHUNK_BYTES: u64 = 64 << 20;

/// A relation of fewer bytes is one chunk.
const SPLIT_BYTES: u64 = 16 << 20;

/// A heap of one table: the table itself, or one of its partitions or children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heap {
    pub(super) schema: String,
    pub(super) name: String,
    /// Length of the heap itself.
    pub(super) main_bytes: u64,
    /// The heap and its TOAST.
    pub(super) all_bytes: u64,
}

/// The server, as far as dividing depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// `server_version_num`.
    pub(super) version: u32,
    /// Bytes of a page.
    pub(super) block_bytes: u64,
    /// How many workers there are to keep busy.
    pub(super) workers: usize,
}

/// All of the table at `table`, in one chunk.
pub(super) fn whole(table: usize, estimated_bytes: u64) -> Vec<Chunk> {
    vec![Chunk { table, part: ChunkPart::Whole, estimated_bytes }]
}

/// The chunks of the table at `table`, which lies in `heaps` and nowhere else.
pub(super) fn divide(table: usize, heaps: &[Heap], terms: Terms) -> Vec<Chunk> {
    let all: u64 = heaps.iter().map(|heap| heap.all_bytes).sum();
    // Two rounds for each worker at least, so that the last one to end has not much left.
    let share = all / (2 * terms.workers.max(1) as u64);
    let wanted = share.clamp(SPLIT_BYTES / 2, CHUNK_BYTES);
    let chunks: Vec<_> =
        heaps.iter().flat_map(|heap| divide_heap(table, heap, wanted, terms)).collect();
    // A partitioned table without a partition has no rows, and still one chunk.
    if chunks.is_empty() { whole(table, 0) } else { chunks }
}

fn divide_heap(table: usize, heap: &Heap, wanted: u64, terms: Terms) -> Vec<Chunk> {
    let relation = qualified(&heap.schema, &heap.name);
    let pages = heap.main_bytes.div_ceil(terms.block_bytes.max(1));
    let count = heap.all_bytes.div_ceil(wanted.max(1)).min(pages);
    if terms.version < TID_RANGE_SCANS || heap.all_bytes < SPLIT_BYTES || count < 2 {
        let part = ChunkPart::Pages { relation, from: 0, until: None };
        return vec![Chunk { table, part, estimated_bytes: heap.all_bytes }];
    }
    // A page number has 32 bits, so a heap has no more pages than that.
    let cut = |at: u64| u32::try_from(u128::from(pages) * u128::from(at) / u128::from(count));
    (0..count)
        .map(|at| {
            let until = if at + 1 == count { None } else { cut(at + 1).ok() };
            let from = cut(at).unwrap_or(u32::MAX);
            let part = ChunkPart::Pages { relation: relation.clone(), from, until };
            Chunk { table, part, estimated_bytes: heap.all_bytes / count }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TERMS: Terms = Terms { version: 150_000, block_bytes: 8192, workers: 2 };

    fn heap(main_bytes: u64, all_bytes: u64) -> Heap {
        Heap { schema: "public".into(), name: "t".into(), main_bytes, all_bytes }
    }

    fn ranges(chunks: &[Chunk]) -> Vec<(u32, Option<u32>)> {
        let range = |chunk: &Chunk| match chunk.part {
            ChunkPart::Pages { from, until, .. } => (from, until),
            ref other => panic!("{other:?}"),
        };
        chunks.iter().map(range).collect()
    }

    #[test]
    fn small_tables_are_one_chunk_and_large_ones_keep_all_workers_busy() {
        assert_eq!(ranges(&divide(0, &[heap(8192, 16384)], TERMS)), [(0, None)]);
        let chunks = divide(0, &[heap(64 << 20, 64 << 20)], TERMS);
        assert_eq!(
            ranges(&chunks),
            [(0, Some(2048)), (2048, Some(4096)), (4096, Some(6144)), (6144, None)]
        );
        assert_eq!(divide(0, &[heap(1 << 30, 1 << 30)], TERMS).len(), 16);
    }

    #[test]
    fn old_servers_and_missing_partitions_give_one_chunk() {
        let old = Terms { version: 130_000, ..TERMS };
        assert_eq!(ranges(&divide(0, &[heap(1 << 30, 1 << 30)], old)), [(0, None)]);
        assert_eq!(divide(3, &[], TERMS), whole(3, 0));
    }

    proptest! {
        #[test]
        fn ranges_of_pages_meet_end_to_end(
            main_bytes in 0_u64..1 << 37,
            toast_bytes in 0_u64..1 << 35,
            workers in 1_usize..16,
        ) {
            let heap = heap(main_bytes, main_bytes + toast_bytes);
            let ranges = ranges(&divide(0, &[heap], Terms { workers, ..TERMS }));
            prop_assert_eq!(ranges[0].0, 0);
            prop_assert_eq!(ranges[ranges.len() - 1].1, None);
            for pair in ranges.windows(2) {
                prop_assert_eq!(pair[0].1, Some(pair[1].0));
                prop_assert!(pair[0].0 < pair[1].0);
            }
        }
    }
}
