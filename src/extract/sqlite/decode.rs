//! Rows of cells → record batches, each cell checked against its column's type.

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};

use super::{
    column::Column,
    handle::{Cell, Fault, Statement},
};
use crate::{
    error::{Error, Result},
    extract::TableRequest,
};

/// About how many bytes of values a batch holds at most.
pub(super) const BATCH_BYTES: usize = 8 << 20;
const MAX_BATCH_ROWS: usize = 65_536;
const MIN_BATCH_ROWS: usize = 1_024;

/// Why a row could not be taken.
#[derive(Debug)]
pub(super) enum Misread {
    /// SQLite could not give the cell.
    Sqlite(Fault),
    /// The cell does not fit its column.
    Misfit {
        /// The column's place in the request.
        column: usize,
        /// What the cell holds instead, as `typeof` says it.
        found: &'static str,
    },
}

/// Collects rows until a batch is full.
pub(super) struct Decoder {
    columns: Vec<Column>,
    schema: SchemaRef,
    max_rows: usize,
    max_bytes: usize,
    rows: usize,
    bytes: usize,
}

impl Decoder {
    /// A decoder for the columns of `request`, in their order, into batches of about `max_bytes`.
    pub(super) fn new(request: &TableRequest, max_bytes: usize) -> Result<Self> {
        let columns = request.columns.iter().map(Column::new).collect::<Result<Vec<_>>>()?;
        // Views and decimals take 16 bytes a row; nothing fixed takes more.
        let max_rows = max_bytes / (16 * columns.len().max(1));
        Ok(Self {
            columns,
            schema: request.schema(),
            max_rows: max_rows.clamp(MIN_BATCH_ROWS, MAX_BATCH_ROWS),
            max_bytes,
            rows: 0,
            bytes: 0,
        })
    }

    /// Takes the current row of `statement`.
    pub(super) fn take(&mut self, statement: &Statement<'_>) -> Result<(), Misread> {
        for (at, column) in self.columns.iter_mut().enumerate() {
            let cell = statement.cell(at as i32).map_err(Misread::Sqlite)?;
            if let Cell::Text(bytes) | Cell::Blob(bytes) = cell {
                self.bytes += bytes.len();
            }
            column
                .append(cell)
                .ok_or_else(|| Misread::Misfit { column: at, found: type_of(cell) })?;
        }
        self.rows += 1;
        Ok(())
    }

    /// Whether the batch should be finished before another row is taken.
    pub(super) fn is_full(&self) -> bool {
        self.rows >= self.max_rows || self.bytes >= self.max_bytes
    }

    /// Bytes of text and blobs in the batch.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows taken since the last batch; nothing when there are none.
    pub(super) fn finish(&mut self) -> Result<Option<RecordBatch>> {
        if std::mem::take(&mut self.rows) == 0 {
            return Ok(None);
        }
        self.bytes = 0;
        let columns = self.columns.iter_mut().map(Column::finish).collect();
        RecordBatch::try_new(self.schema.clone(), columns)
            .map(Some)
            .map_err(|error| Error::internal(format!("a batch from SQLite is malformed: {error}")))
    }
}

fn type_of(cell: Cell<'_>) -> &'static str {
    match cell {
        Cell::Null => "null",
        Cell::Integer(_) => "integer",
        Cell::Real(_) => "real",
        Cell::Text(_) => "text",
        Cell::Blob(_) => "blob",
    }
}
