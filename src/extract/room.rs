//! What one chunk under way holds of the memory ceiling, source and sink together.

use super::BatchSink;
use crate::{
    error::Result,
    types::{Budget, Permit},
};

/// A row of so many bytes is asked for by itself; smaller ones are in every chunk's share.
pub(super) const LARGE_ROW: u64 = 1 << 20;

/// How often a large row is in memory at its worst: as a column, as a page, as that page with its
/// levels, compressed, and as the least and the greatest value of its column. (Before there is a
/// page, as it was sent and as a column.) A cell of 100 MB that compresses to nothing takes five.
const COPIES: u64 = 6;

/// Batches of all workers together take at most this part of the ceiling.
const BATCHES: u64 = 8;

/// About how many bytes a batch may hold where `workers` share `budget`, and `most` at most.
pub(super) fn batch_bytes(budget: &Budget, workers: usize, most: usize) -> usize {
    let share = budget.ceiling().bytes() / (BATCHES * workers.max(1) as u64);
    usize::try_from(share).unwrap_or(most).clamp(most.min(1 << 20), most)
}

/// A chunk's share of the ceiling. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Room {
    permit: Permit,
    /// What a chunk of ordinary rows needs: this much for the source, and this much for the sink.
    source: u64,
    sink: u64,
}

impl Room {
    /// Waits for what a chunk needs whose source holds `source` bytes at most, and whose sink
    /// `sink`: its [`BatchSink::footprint`].
    pub(super) async fn take(budget: &Budget, source: u64, sink: u64) -> Self {
        Self { permit: budget.take(source + sink).await, source, sink }
    }

    /// Makes room for a row of `bytes` before it is held. Where that is not there, `sink` first
    /// writes out what it can, and then this waits for other chunks to end.
    ///
    /// # Errors
    /// Those of `sink`.
    pub(super) async fn make(&mut self, bytes: u64, sink: &mut dyn BatchSink) -> Result<()> {
        let row = bytes.saturating_mul(COPIES);
        if !self.permit.try_grow(self.source + self.sink + row) {
            sink.relieve()?;
            self.permit.grow(self.source + row.max(self.sink)).await;
        }
        Ok(())
    }

    /// Large rows have gone: gives back what they took.
    pub(super) fn settle(&mut self) {
        let usual = self.source + self.sink;
        if self.permit.bytes() > usual {
            self.permit.shrink(usual);
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::record_batch::RecordBatch;

    use super::*;
    use crate::{extract::Misfit, types::ByteSize};

    #[derive(Default)]
    struct Sink {
        relieved: usize,
    }

    impl BatchSink for Sink {
        fn push(&mut self, _: RecordBatch) -> Result<()> {
            Ok(())
        }

        fn push_misfits(&mut self, _: RecordBatch, _: Vec<Misfit>) -> Result<()> {
            Ok(())
        }

        fn complete(self: Box<Self>, _: u64) -> Result<()> {
            Ok(())
        }

        fn footprint(&self) -> u64 {
            100
        }

        fn relieve(&mut self) -> Result<()> {
            self.relieved += 1;
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_large_row_is_paid_for_and_paid_back() {
        let budget = Budget::new(ByteSize::new(1000));
        let mut sink = Sink::default();
        let mut room = Room::take(&budget, 50, sink.footprint()).await;
        assert_eq!(room.permit.bytes(), 150);
        room.make(100, &mut sink).await.unwrap();
        assert_eq!((room.permit.bytes(), sink.relieved), (750, 0));
        room.settle();
        assert_eq!(room.permit.bytes(), 150);
        // No more than there is, and what the sink holds goes first.
        room.make(1000, &mut sink).await.unwrap();
        assert_eq!((room.permit.bytes(), sink.relieved), (1000, 1));
        room.settle();
        assert_eq!(room.permit.bytes(), 150);
    }

    #[test]
    fn batches_shrink_with_the_ceiling() {
        let bytes = |mebibytes, workers| {
            batch_bytes(&Budget::new(ByteSize::mib(mebibytes)), workers, 16 << 20) >> 20
        };
        assert_eq!([bytes(4096, 4), bytes(192, 4), bytes(48, 8)], [16, 6, 1]);
    }
}
