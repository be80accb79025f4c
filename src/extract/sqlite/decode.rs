//! Rows of cells → record batches, each cell checked against its column's type.

use std::fmt::Write as _;

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};

use super::{
    column::Column,
    handle::{Cell, Fault, Statement},
    values,
};
use crate::{
    config::OnMismatch,
    error::{Error, Result},
    extract::{ColumnRequest, Misfit, TableRequest},
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
    requests: Vec<ColumnRequest>,
    schema: SchemaRef,
    max_rows: usize,
    max_bytes: usize,
    rows: usize,
    bytes: usize,
    /// What did not fit in the batch under way.
    misfits: Vec<Misfit>,
}

impl Decoder {
    /// A decoder for the columns of `request`, in their order, into batches of about `max_bytes`.
    pub(super) fn new(request: &TableRequest, max_bytes: usize) -> Result<Self> {
        let columns = request.columns.iter().map(Column::new).collect::<Result<Vec<_>>>()?;
        // Views and decimals take 16 bytes a row; nothing fixed takes more.
        let max_rows = max_bytes / (16 * columns.len().max(1));
        Ok(Self {
            columns,
            requests: request.columns.clone(),
            schema: request.schema(),
            max_rows: max_rows.clamp(MIN_BATCH_ROWS, MAX_BATCH_ROWS),
            max_bytes,
            rows: 0,
            bytes: 0,
            misfits: Vec::new(),
        })
    }

    /// Takes the current row of `statement`. A cell that does not fit its column is a misfit in its
    /// batch, or an error, as the column's rule says.
    pub(super) fn take(&mut self, statement: &Statement<'_>) -> Result<(), Misread> {
        for (at, column) in self.columns.iter_mut().enumerate() {
            let cell = statement.cell(at as i32).map_err(Misread::Sqlite)?;
            if let Cell::Text(bytes) | Cell::Blob(bytes) = cell {
                self.bytes += bytes.len();
            }
            if column.append(cell).is_some() {
                continue;
            }
            let found = type_of(cell);
            match self.requests.get(at) {
                Some(request) if request.on_mismatch != OnMismatch::Error => {
                    column.append_null();
                    let reason = format!("holds `{found}`, which does not fit {}", wanted(request));
                    let misfit = Misfit { row: self.rows, column: at, reason, value: shown(cell) };
                    self.bytes += size_of::<Misfit>() + misfit.reason.len() + misfit.value.len();
                    self.misfits.push(misfit);
                }
                _ => return Err(Misread::Misfit { column: at, found }),
            }
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

    /// The rows taken since the last batch and what did not fit in them; nothing when there are
    /// none.
    pub(super) fn finish(&mut self) -> Result<Option<(RecordBatch, Vec<Misfit>)>> {
        if std::mem::take(&mut self.rows) == 0 {
            return Ok(None);
        }
        self.bytes = 0;
        let columns = self.columns.iter_mut().map(Column::finish).collect();
        RecordBatch::try_new(self.schema.clone(), columns)
            .map(|batch| Some((batch, std::mem::take(&mut self.misfits))))
            .map_err(|error| Error::internal(format!("a batch from SQLite is malformed: {error}")))
    }
}

/// What a cell of the column that `request` asks for must fit.
pub(super) fn wanted(request: &ColumnRequest) -> String {
    match request.cast {
        Some(to) => format!("the cast to `{to}`"),
        None => format!("its declaration `{}`", request.source.declared),
    }
}

/// The cell as text; `\x` and its bytes in hexadecimal where it is none.
fn shown(cell: Cell<'_>) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Integer(value) => value.to_string(),
        Cell::Real(value) => values::text_from_real(value),
        Cell::Text(bytes) => {
            str::from_utf8(bytes).map_or_else(|_| hexadecimal(bytes), str::to_owned)
        }
        Cell::Blob(bytes) => hexadecimal(bytes),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("\\x");
    for byte in bytes {
        // A string takes all that is written to it.
        let _ = write!(text, "{byte:02x}");
    }
    text
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
