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

/// Row groups that a chunk may hold in memory before it takes a file of its own.
const HELD_GROUPS: usize = 1;

/// Encodes the rows of one chunk. Blocks on disk writes, so it belongs on a thread that may block.
///
/// A small chunk stays in memory, encoded, until [`ChunkWriter::complete`] appends it to one of
/// the table's files. A large one writes to a file of its own, which joins the table when complete.
/// Dropping the writer before that leaves no trace.
pub struct ChunkWriter {
    table: TableStage,
    open: Option<OpenRowGroup>,
    held: Vec<ClosedRowGroup>,
    own: Option<StageFile>,
    rows: u64,
    spent: Timings,
}

impl ChunkWriter {
    pub(super) fn new(table: TableStage) -> Self {
        Self { table, open: None, held: Vec::new(), own: None, rows: 0, spent: Timings::default() }
    }

    /// Adds the rows of `batch`, which has the table's schema.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut watch = Stopwatch::start();
        let mut group = match self.open.take() {
            Some(group) => group,
            None => self.table.layout(batch)?.row_group()?,
        };
        group.write(batch)?;
        self.spent.encode += watch.lap();
        self.rows += batch.num_rows() as u64;
        let options = self.table.options();
        if group.bytes() >= options.row_group_bytes || group.rows() >= options.row_group_rows as u64
        {
            return self.close_group(group);
        }
        self.open = Some(group);
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
        match self.own.take() {
            Some(file) => self.table.give_back(file)?,
            None if self.held.is_empty() => {}
            None => self.table.append(std::mem::take(&mut self.held))?,
        }
        self.spent.write += watch.lap();
        Ok(self.spent)
    }

    fn close_group(&mut self, group: OpenRowGroup) -> Result<()> {
        let mut watch = Stopwatch::start();
        let group = group.close()?;
        self.spent.encode += watch.lap();
        if let Some(file) = &mut self.own {
            file.append(group)?;
        } else {
            self.held.push(group);
        }
        if self.held.len() > HELD_GROUPS {
            let mut file = self.table.new_file(self.table.known_layout()?)?;
            for group in self.held.drain(..) {
                file.append(group)?;
            }
            self.own = Some(file);
        }
        self.spent.write += watch.lap();
        Ok(())
    }
}

impl Drop for ChunkWriter {
    fn drop(&mut self) {
        if let Some(file) = self.own.take() {
            file.discard();
        }
    }
}
