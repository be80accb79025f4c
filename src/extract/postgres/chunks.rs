//! Dividing tables into chunks: ranges of heap pages, or of keys.
//!
//! What has no storage of its own (views, foreign tables, queries) is read whole, and so is a table
//! some part of which the login may only read through it; see [`super::leaves`].
//!
//! Workers pull chunks, large ones first, and the sizes follow what is left to do: large while there
//! is much, small towards the end, so that all workers end at about the same time. A chunk becomes
//! a row group, so that none but a small table's is very small.

use super::sql::qualified;
use crate::extract::{Chunk, ChunkPart};

/// A chunk has about so many bytes at most, TOAST included.
const LARGEST: u64 = 64 << 20;

/// A part of a relation has about so many bytes at least.
const SMALLEST: u64 = 8 << 20;

/// A relation of fewer bytes is one chunk.
pub(super) const SPLIT_BYTES: u64 = 2 * SMALLEST;

/// Storage of one table: of the table itself, or of one of its partitions or children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) schema: String,
    pub(super) name: String,
    /// Length of the rows themselves.
    pub(super) main_bytes: u64,
    /// The rows and their TOAST.
    pub(super) all_bytes: u64,
    pub(super) order: Order,
}

/// What ranges of a leaf's rows can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// Heap pages.
    Pages,
    /// A whole number that is never NULL. Between one of its `marks` and the next lie about as many
    /// rows as between any others; they ascend, and there are two at least.
    Keys { column: String, marks: Vec<i64> },
    /// Nothing but all of it.
    Unknown,
}

/// What dividing depends on besides the tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Bytes of a page.
    pub(super) block_bytes: u64,
    /// How many workers there are to keep busy.
    pub(super) workers: usize,
    /// How many views were lost before this one. Each time a chunk has half the bytes: what is read
    /// faster is less likely to be in the way of replay, and less is lost with it.
    pub(super) attempt: u32,
}

/// A table to be divided.
pub(super) enum Extent {
    /// It lies in these leaves and nowhere else.
    Leaves(Vec<Leaf>),
    /// It can only be read whole; about so many bytes.
    Whole(u64),
}

impl Extent {
    /// How long its leaves are; nothing where it has none of its own.
    pub(super) fn leaf_bytes(&self) -> Option<u64> {
        match self {
            Self::Leaves(leaves) => Some(leaves.iter().map(|leaf| leaf.all_bytes).sum()),
            Self::Whole(_) => None,
        }
    }
}

/// The chunks of each of `tables`, never none.
pub(super) fn divide(tables: &[Extent], terms: Terms) -> Vec<Vec<Chunk>> {
    let mut chunks: Vec<Vec<Chunk>> = tables.iter().map(|_| Vec::new()).collect();
    let mut leaves = Vec::new();
    for ((table, extent), chunks) in tables.iter().enumerate().zip(&mut chunks) {
        match extent {
            // A partitioned table without a partition has no rows, and still one chunk.
            Extent::Leaves(none) if none.is_empty() => chunks.push(whole(table, 0)),
            Extent::Leaves(of_table) => leaves.extend(of_table.iter().map(|leaf| (table, leaf))),
            Extent::Whole(bytes) => chunks.push(whole(table, *bytes)),
        }
    }
    // In the order in which they will be read, so that what is left at each cut is known.
    leaves.sort_by_key(|(_, leaf)| std::cmp::Reverse(leaf.all_bytes));
    let mut left = leaves.iter().map(|(_, leaf)| leaf.all_bytes).sum();
    for (table, leaf) in leaves {
        let parts = parts(leaf, &pieces(leaf, &mut left, terms), terms.block_bytes);
        if let Some(chunks) = chunks.get_mut(table) {
            chunks.extend(parts.into_iter().map(|(part, estimated_bytes)| Chunk {
                table,
                part,
                estimated_bytes,
            }));
        }
    }
    chunks
}

fn whole(table: usize, estimated_bytes: u64) -> Chunk {
    Chunk { table, part: ChunkPart::Whole, estimated_bytes }
}

/// How many bytes each part of `leaf` should have, when so many are `left` to read, its own
/// included.
fn pieces(leaf: &Leaf, left: &mut u64, terms: Terms) -> Vec<u64> {
    let Terms { workers, attempt, .. } = terms;
    // Large values lie unevenly: the more of them, the less an average says of one part.
    let is_skewed = leaf.all_bytes / 2 > leaf.main_bytes;
    let largest = if is_skewed { LARGEST / 2 } else { LARGEST };
    let largest = largest.checked_shr(attempt).unwrap_or_default().max(SMALLEST);
    let mut pieces = Vec::new();
    let mut rest = leaf.all_bytes;
    while rest > 0 {
        // Half of a fair share: whoever is slow with it leaves the other half to the others. A
        // single worker has nobody to wait for.
        let share = if workers > 1 { *left / (2 * workers as u64) } else { largest };
        let wanted = share.clamp(SMALLEST, largest);
        let is_last = leaf.all_bytes < SPLIT_BYTES || rest < wanted + SMALLEST;
        let piece = if is_last { rest } else { wanted };
        pieces.push(piece);
        rest -= piece;
        *left = left.saturating_sub(piece);
    }
    pieces
}

/// The parts of `leaf`, cut where `pieces` of its bytes should end, with the bytes of each. Together
/// they hold all rows, also those that came after it was measured.
fn parts(leaf: &Leaf, pieces: &[u64], block_bytes: u64) -> Vec<(ChunkPart, u64)> {
    let relation = qualified(&leaf.schema, &leaf.name);
    match &leaf.order {
        Order::Pages => {
            let pages = leaf.main_bytes.div_ceil(block_bytes.max(1));
            let part = |from: Option<i128>, until: Option<i128>| ChunkPart::Pages {
                relation: relation.clone(),
                // A page number has 32 bits, so a heap has no more pages than that.
                from: from.map_or(0, |page| page as u32),
                until: until.map(|page| page as u32),
            };
            cut(&[0, i128::from(pages)], pieces, part)
        }
        Order::Keys { column, marks } => {
            let part = |from: Option<i128>, until: Option<i128>| ChunkPart::Keys {
                relation: relation.clone(),
                column: column.clone(),
                from: from.map(|key| key as i64),
                until: until.map(|key| key as i64),
            };
            let marks: Vec<_> = marks.iter().copied().map(i128::from).collect();
            cut(&marks, pieces, part)
        }
        Order::Unknown => {
            vec![(ChunkPart::Pages { relation, from: 0, until: None }, leaf.all_bytes)]
        }
    }
}

/// Cuts where `pieces` end, when as much lies between each two `marks`. The first part is open to the
/// left and the last one to the right; none in between is empty.
fn cut(
    marks: &[i128],
    pieces: &[u64],
    part: impl Fn(Option<i128>, Option<i128>) -> ChunkPart,
) -> Vec<(ChunkPart, u64)> {
    let all: i128 = pieces.iter().copied().map(i128::from).sum();
    let mut parts = Vec::new();
    let (mut from, mut bytes, mut passed) = (None, 0, 0_i128);
    for piece in pieces {
        bytes += piece;
        passed += i128::from(*piece);
        let Some(until) = between(marks, passed, all) else { continue };
        if from.or(marks.first().copied()).is_none_or(|from| until > from) {
            parts.push((part(from, Some(until)), bytes));
            (from, bytes) = (Some(until), 0);
        }
    }
    parts.push((part(from, None), bytes));
    parts
}

/// Where `passed` of `all` lies on the way along `marks`; nothing at its end.
fn between(marks: &[i128], passed: i128, all: i128) -> Option<i128> {
    let way = passed * (marks.len() as i128 - 1);
    let (at, rest) = (way.checked_div(all)?, way.checked_rem(all)?);
    let at = usize::try_from(at).ok()?;
    let (from, until) = (marks.get(at)?, marks.get(at + 1)?);
    Some(from + (until - from) * rest / all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TERMS: Terms = Terms { block_bytes: 8192, workers: 2, attempt: 0 };
    const MIB: u64 = 1 << 20;

    fn leaf(main_bytes: u64, all_bytes: u64, order: Order) -> Leaf {
        Leaf { schema: "public".into(), name: "t".into(), main_bytes, all_bytes, order }
    }

    fn heap(bytes: u64) -> Leaf {
        leaf(bytes, bytes, Order::Pages)
    }

    fn of_one(leaf: Leaf, terms: Terms) -> Vec<Chunk> {
        divide(&[Extent::Leaves(vec![leaf])], terms).remove(0)
    }

    fn mebibytes(chunks: &[Chunk]) -> Vec<u64> {
        chunks.iter().map(|chunk| chunk.estimated_bytes / MIB).collect()
    }

    /// The bounds of each chunk, as numbers.
    fn bounds(chunks: &[Chunk]) -> Vec<(Option<i64>, Option<i64>)> {
        let bounds = |chunk: &Chunk| match &chunk.part {
            ChunkPart::Pages { from, until, .. } => {
                ((*from > 0).then(|| i64::from(*from)), until.map(i64::from))
            }
            ChunkPart::Keys { from, until, .. } => (*from, *until),
            other => panic!("{other:?}"),
        };
        chunks.iter().map(bounds).collect()
    }

    #[test]
    fn sizes_follow_what_is_left() {
        assert_eq!(bounds(&of_one(heap(16384), TERMS)), [(None, None)]);
        assert_eq!(mebibytes(&of_one(heap(64 * MIB), TERMS)), [16, 12, 9, 8, 8, 11]);
        let large = mebibytes(&of_one(heap(1024 * MIB), TERMS));
        assert_eq!((large[0], large[11], large[large.len() - 2]), (64, 64, 8));
        // Nobody waits for a single worker.
        let alone = Terms { workers: 1, ..TERMS };
        assert_eq!(mebibytes(&of_one(heap(200 * MIB), alone)), [64, 64, 64, 8]);
        // Much TOAST: smaller parts of few pages.
        let toast = leaf(80 * 8192, 1024 * MIB, Order::Pages);
        assert_eq!(mebibytes(&of_one(toast, TERMS))[0], 32);
    }

    #[test]
    fn the_end_is_that_of_all_tables() {
        let tables = [50, 400, 3].map(|mib| Extent::Leaves(vec![heap(mib * MIB)]));
        let chunks = divide(&tables, TERMS);
        assert!(mebibytes(&chunks[1])[..4].iter().all(|mib| *mib == 64));
        assert_eq!((mebibytes(&chunks[0])[0], mebibytes(&chunks[2])), (13, vec![3]));
        assert!(chunks.iter().enumerate().all(|(at, of)| of.iter().all(|it| it.table == at)));
    }

    #[test]
    fn what_can_not_be_divided_is_one_chunk() {
        let unknown = of_one(leaf(1 << 30, 1 << 30, Order::Unknown), TERMS);
        assert_eq!(bounds(&unknown), [(None, None)]);
        let chunks = divide(&[Extent::Whole(7), Extent::Leaves(Vec::new())], TERMS);
        assert_eq!(chunks, [vec![whole(0, 7)], vec![whole(1, 0)]]);
    }

    #[test]
    fn few_keys_give_few_chunks() {
        let keys = |marks: &[i64]| Order::Keys { column: "id".into(), marks: marks.to_vec() };
        let order = keys(&[7, 8]);
        assert_eq!(bounds(&of_one(leaf(1 << 30, 1 << 30, order), TERMS)), [(None, None)]);
        let order = keys(&[i64::MIN, i64::MAX]);
        let all = bounds(&of_one(leaf(1 << 30, 1 << 30, order), TERMS));
        assert!(all.len() > 16 && all[0].0.is_none() && all[all.len() - 1].1.is_none());
    }

    #[test]
    fn cuts_follow_the_marks() {
        // Most rows lie close together: half of them from 0 to 10.
        let order = Order::Keys { column: "id".into(), marks: vec![-1_000_000, 0, 5, 10, 1_000] };
        let cuts: Vec<_> = parts(&leaf(8, 8, order), &[1; 8], 8192)
            .iter()
            .filter_map(|(part, _)| match part {
                ChunkPart::Keys { until, .. } => *until,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(cuts, [-500_000, 0, 2, 5, 7, 10, 505]);
    }

    #[test]
    fn what_was_lost_is_read_in_smaller_parts() {
        let largest = |attempt| mebibytes(&of_one(heap(1024 * MIB), Terms { attempt, ..TERMS }))[0];
        assert_eq!([0, 1, 2, 3, 40].map(largest), [64, 32, 16, 8, 8]);
    }

    proptest! {
        #[test]
        fn ranges_meet_end_to_end_and_are_neither_tiny_nor_huge(
            main_bytes in 0_u64..1 << 37,
            toast_bytes in 0_u64..1 << 35,
            others in proptest::collection::vec(0_u64..1 << 32, 0..4),
            workers in 1_usize..16,
            by_key in any::<bool>(),
            mut marks in proptest::collection::vec(any::<i64>(), 2..9),
        ) {
            marks.sort_unstable();
            let keys = Order::Keys { column: "\"id\"".into(), marks };
            let order = if by_key { keys } else { Order::Pages };
            let mut tables = vec![Extent::Leaves(vec![leaf(
                main_bytes, main_bytes + toast_bytes, order,
            )])];
            tables.extend(others.iter().map(|bytes| Extent::Leaves(vec![heap(*bytes)])));
            let chunks = divide(&tables, Terms { workers, ..TERMS });

            let bounds = bounds(&chunks[0]);
            prop_assert_eq!(bounds[0].0, None);
            prop_assert_eq!(bounds[bounds.len() - 1].1, None);
            for pair in bounds.windows(2) {
                prop_assert_eq!(pair[0].1, pair[1].0);
                prop_assert!(pair[0].0 < pair[0].1);
            }
            let bytes = chunks[0].iter().map(|chunk| chunk.estimated_bytes);
            prop_assert_eq!(bytes.clone().sum::<u64>(), main_bytes + toast_bytes);
            if bounds.len() > 1 {
                prop_assert!(bytes.min().unwrap() >= SMALLEST);
            }
            for of_heap in &chunks[1..] {
                let largest = of_heap.iter().map(|chunk| chunk.estimated_bytes).max().unwrap();
                prop_assert!(largest < LARGEST + SMALLEST);
            }
        }
    }
}
