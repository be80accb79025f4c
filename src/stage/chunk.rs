//! Rows of one chunk on their way to a file: they count when the chunk is complete, or never.

use arrow::record_batch::RecordBatch;

use super::{
    file::{ClosedRowGroup, OpenRowGroup, StageFile},
    table::TableStage,
};
use crate::{
    error::{Error, Result},
    types::{Stopwatch, Timings},
};

/// Encodes the rows of one chunk. Blocks on disk writes, so it belongs on a thread that may block.
///
/// A chunk of one row group stays in memory, encoded, until [`ChunkWriter::complete`] appends it to
/// one of the table's files. A larger one writes to a file of its own, which joins the table when
/// complete. So there is never more than one row group in memory.
/// Dropping the writer before that leaves no trace.
pub struct ChunkWriter {
    table: TableStage,
    open: Option<OpenRowGroup>,
    held: Option<ClosedRowGroup>,
    own: Option<StageFile>,
    rows: u64,
    spent: Timings,
}

impl ChunkWriter {
    pub(super) fn new(table: TableStage) -> Self {
        Self { table, open: None, held: None, own: None, rows: 0, spent: Timings::default() }
    }

    /// Adds the rows of `batch`, which has the table's schema.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut watch = Stopwatch::start();
        let mut group = match self.open.take() {
            Some(group) => group,
            None => {
                let group = self.table.layout(batch)?.row_group()?;
                self.spent.encode += watch.lap();
                self.write_held()?;
                self.spent.write += watch.lap();
                group
            }
        };
        group.write(batch)?;
        self.spent.encode += watch.lap();
        self.rows += batch.num_rows() as u64;
        let options = self.table.options();
        // A batch of large values leaves copies of some behind, for statistics, that are not
        // counted until the group is closed.
        if group.bytes().max(batch.get_array_memory_size()) >= options.row_group_bytes
            || group.rows() >= options.row_group_rows as u64
        {
            return self.close_group(group);
        }
        self.open = Some(group);
        Ok(())
    }

    /// Bytes that it holds at most between two batches of rows of ordinary size: a row group, and
    /// what Parquet's column writers and their compressors take besides.
    pub fn footprint(&self) -> u64 {
        self.table.footprint()
    }

    /// Writes everything out that can be written now: the row group under way ends early.
    pub fn relieve(&mut self) -> Result<()> {
        if let Some(group) = self.open.take() {
            self.close_group(group)?;
        }
        let mut watch = Stopwatch::start();
        self.write_held()?;
        self.spent.write += watch.lap();
        Ok(())
    }

    /// Rows pushed so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The chunk is whole and holds `rows` rows: they join the table. Tells what was spent on
    /// encoding and writing them.
    ///
    /// # Errors
    /// When `rows` is not what was pushed, or the disk fails; the rows then don't count.
    pub fn complete(mut self, rows: u64) -> Result<Timings> {
        if rows != self.rows {
            return Err(Error::internal(format!(
                "a chunk of `{}` should hold {rows} rows and holds {}",
                self.table.table(),
                self.rows
            )));
        }
        if let Some(group) = self.open.take() {
            self.close_group(group)?;
        }
        let mut watch = Stopwatch::start();
        if let Some(file) = self.own.take() {
            self.table.give_back(file)?;
        }
        if let Some(group) = self.held.take() {
            self.table.append(group)?;
        }
        self.spent.write += watch.lap();
        Ok(self.spent)
    }

    fn close_group(&mut self, group: OpenRowGroup) -> Result<()> {
        let mut watch = Stopwatch::start();
        let group = group.close()?;
        self.spent.encode += watch.lap();
        let fits = group.bytes() <= self.table.options().row_group_bytes as u64;
        self.held = Some(group);
        if self.own.is_some() || !fits {
            self.write_held()?;
        }
        self.spent.write += watch.lap();
        Ok(())
    }

    /// Writes the row group that waits in memory to a file of the chunk's own.
    fn write_held(&mut self) -> Result<()> {
        let Some(group) = self.held.take() else { return Ok(()) };
        if self.own.is_none() {
            self.own = Some(self.table.new_file(self.table.known_layout()?)?);
        }
        match &mut self.own {
            Some(file) => file.append(group),
            None => Ok(()),
        }
    }
}

impl Drop for ChunkWriter {
    fn drop(&mut self) {
        if let Some(file) = self.own.take() {
            file.discard();
        }
    }
}
