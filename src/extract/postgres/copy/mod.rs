//! Decodes binary COPY into record batches, column by column.
//!
//! Pass 1 walks the length prefixes of a few hundred rows (a tile) and notes where each cell lies;
//! pass 2 runs one loop per column over its cells, so that what to do with a value is decided once
//! per column and tile, and both passes find the bytes in the cache. Rows may lie in `CopyData`
//! messages in any way: a row that a message cuts is carried over to the next.
//!
//! The stream (PostgreSQL's documentation of COPY, "Binary Format"): `PGCOPY\n\xff\r\n\0`, `i32`
//! flags, `i32` length of an extension and the extension; per row `i16` number of columns and per
//! column `i32` length (−1 is NULL) and that many bytes; last an `i16` −1. All big-endian.
//!
//! Nothing here does I/O, knows SQL, or changes a value: what does not fit its column's type stops
//! the stream, by the name of the column, or is told as a [`Misfit`] where the column bears that.

mod cells;
mod fixed;
mod misfits;
mod nested;
mod numeric;
mod plan;
mod printed;
mod rows;
mod shown;
mod text;

use std::{collections::VecDeque, ops::Range};

use arrow::{array::ArrayRef, datatypes::SchemaRef, record_batch::RecordBatch};

use super::{mapping::spelled, pg_type::PgType, wire::Block};
use crate::{
    config::OnMismatch,
    error::{Error, ErrorKind, Result},
    extract::Misfit,
};

use cells::{Cells, Fault, Problem, Reader};
pub(super) use fixed::interval_type;
pub(super) use nested::{map_type, range_type};
pub(super) use plan::{Via, plan};
use rows::{Step, Tile};

/// Builds one column.
trait Decode: Send {
    /// Appends one value per cell. After a fault it is unknown what was appended: the column is
    /// not used again, or is truncated to what it held before.
    fn append(&mut self, cells: Cells<'_>) -> Result<(), Fault>;

    /// Keeps the first `rows` of the values that were built since the last [`Decode::finish`].
    fn truncate(&mut self, rows: usize);

    /// Takes what was built since the last call.
    fn finish(&mut self) -> Result<ArrayRef, String>;

    /// About how much memory that takes.
    fn bytes(&self) -> usize;
}

/// When a batch is closed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At this many rows.
    pub rows: usize,
    /// Or at about this many bytes in memory: the last few hundred rows may exceed it.
    pub bytes: usize,
}

impl Default for Limits {
    /// Small enough that a batch's buffers are used again while they are in the cache: 64 Ki rows
    /// take a fifth longer to decode.
    fn default() -> Self {
        Self { rows: 8 * 1024, bytes: 16 << 20 }
    }
}

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// A row that comes in several messages is borne up to this length; the server sends none longer.
const LONGEST_ROW: usize = (1 << 30) + (1 << 20);

/// A buffer for carried rows that is larger than this is not kept.
const KEPT_CARRY: usize = 1 << 20;

/// Decodes one COPY stream.
///
/// After an error it is of no more use; the rows of batches that it gave until then are real, but
/// the chunk is not whole.
pub struct Decoder {
    columns: Vec<Column>,
    schema: SchemaRef,
    limits: Limits,
    part: Part,
    tile: Tile,
    /// The beginning of a row whose end has not arrived, and how long it is at least.
    carry: Vec<u8>,
    carry_needs: usize,
    /// Rows decoded, those of the open batch included.
    rows: u64,
    open_rows: usize,
    /// What did not fit in the open batch, and how much memory the values take.
    misfits: Vec<Misfit>,
    misfit_bytes: usize,
    ready: VecDeque<Decoded>,
}

/// A finished batch.
#[derive(Debug, PartialEq)]
pub struct Decoded {
    /// Its rows; NULL stands for what did not fit.
    pub batch: RecordBatch,
    /// What did not fit, column by column for a few hundred rows at a time.
    pub misfits: Vec<Misfit>,
}

struct Column {
    name: String,
    /// The type of what the server sends.
    sent: PgType,
    target: String,
    on_mismatch: OnMismatch,
    decode: Box<dyn Decode>,
}

/// Which part of the stream comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Header,
    Rows,
    /// The trailer was read.
    Nothing,
    /// An error was given: the columns may hold different numbers of rows.
    Lost,
}

impl Decoder {
    /// A decoder of a stream that holds `columns` (their names for errors, and their types), read
    /// as [`super::mapping::select_expression`] says, into batches of `schema`.
    ///
    /// # Errors
    /// A column can't be read as its field's type: a broken promise, because
    /// [`super::mapping::cast`] gives no such type.
    pub fn new(columns: &[(String, PgType)], schema: SchemaRef, limits: Limits) -> Result<Self> {
        if columns.len() != schema.fields().len() || columns.is_empty() {
            return Err(Error::internal("a COPY's columns and its schema differ in number"));
        }
        let columns = columns
            .iter()
            .zip(schema.fields())
            .map(|((name, pg), field)| {
                let target = spelled(field.data_type());
                let plan = plan(pg, field.data_type()).ok_or_else(|| {
                    let what = format!("column `{name}` (`{}`) can't become {target}", pg.name);
                    Error::internal(what)
                })?;
                Ok(Column {
                    name: name.clone(),
                    sent: plan.via.sends(pg),
                    target,
                    on_mismatch: OnMismatch::Error,
                    decode: plan.decode,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let limits = Limits { rows: limits.rows.max(1), bytes: limits.bytes };
        Ok(Self {
            tile: Tile::new(columns.len()),
            columns,
            schema,
            limits,
            part: Part::Header,
            carry: Vec::new(),
            carry_needs: 0,
            rows: 0,
            open_rows: 0,
            misfits: Vec::new(),
            misfit_bytes: 0,
            ready: VecDeque::new(),
        })
    }

    /// The same decoder, whose columns take values that don't fit as `policies` say, in order;
    /// without this they stop the stream. A column that bears them holds NULL in their place.
    #[must_use]
    pub fn on_mismatch(mut self, policies: impl IntoIterator<Item = OnMismatch>) -> Self {
        for (column, policy) in self.columns.iter_mut().zip(policies) {
            column.on_mismatch = policy;
        }
        self
    }

    /// Decodes one more block. It is not needed afterwards: nothing refers to it.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] where a value does not fit its column's type, with the column and the
    /// row's number in the stream, or where the stream is not what it should be.
    pub fn feed(&mut self, block: &Block) -> Result<()> {
        let fed = block
            .payloads()
            .try_for_each(|payload| self.payload(block.bytes(), payload))
            .and_then(|()| self.decode_tile(block.bytes()));
        if fed.is_err() {
            self.part = Part::Lost;
        }
        fed
    }

    /// The next finished batch, in the order of the stream; call it until it gives none.
    pub fn take_batch(&mut self) -> Option<Decoded> {
        self.ready.pop_front()
    }

    /// Rows decoded so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Ends the stream: the rows that no batch was closed for yet, and the number of all rows.
    /// Batches that were not taken are lost.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] where the stream did not reach its trailer.
    pub fn finish(mut self) -> Result<(Option<Decoded>, u64)> {
        if self.part == Part::Lost {
            return Err(Error::internal("a copy stream was ended after an error in it"));
        }
        if self.part != Part::Nothing {
            return Err(Error::new(
                ErrorKind::Unreachable,
                format!("the copy stream ended after {} rows, before its trailer", self.rows),
            ));
        }
        self.close_batch()?;
        Ok((self.ready.pop_back(), self.rows))
    }

    /// Takes in the message at `payload` of `data`.
    #[inline]
    fn payload(&mut self, data: &[u8], payload: Range<usize>) -> Result<()> {
        let end = payload.end;
        if self.part != Part::Rows || !self.carry.is_empty() {
            return self.odd_payload(data, payload);
        }
        let arrived = data.get(..end).unwrap_or(data);
        let next = self.walk_rows(arrived, payload.start)?;
        if next < end {
            self.odd_payload(data, next..end)?;
        }
        Ok(())
    }

    /// Walks rows from `position` on until `arrived` ends, or the stream does.
    #[inline]
    fn walk_rows(&mut self, arrived: &[u8], mut position: usize) -> Result<usize> {
        while position < arrived.len() {
            if self.tile.rows() == self.tile.capacity().min(self.limits.rows - self.open_rows) {
                self.decode_tile(arrived)?;
            }
            match self.tile.walk(arrived, position) {
                Ok(Step::Row(next)) => position = next,
                Ok(Step::Trailer(next)) => {
                    self.part = Part::Nothing;
                    return Ok(next);
                }
                Ok(Step::Short(needs)) => {
                    self.carry_needs = needs;
                    return Ok(position);
                }
                Err(problem) => return Err(self.broken(problem)),
            }
        }
        self.carry_needs = 0;
        Ok(position)
    }

    /// Takes in what is not whole rows after whole rows: the header, and the parts of a row that
    /// messages cut. They are joined in a buffer of their own.
    #[inline(never)]
    fn odd_payload(&mut self, data: &[u8], payload: Range<usize>) -> Result<()> {
        if self.part == Part::Lost {
            return Err(Error::internal("a copy stream went on after an error in it"));
        }
        self.decode_tile(data)?;
        let payload = data.get(payload).unwrap_or_default();
        if self.part == Part::Nothing && !payload.is_empty() {
            return Err(self.broken(Problem::Malformed("bytes after the trailer")));
        }
        self.carry.extend_from_slice(payload);
        if self.carry.len() > LONGEST_ROW {
            return Err(self.broken(Problem::Malformed("a row of more than 1 GiB")));
        }
        // Without this a row in many small messages would be walked once for each.
        if self.carry.len() < self.carry_needs {
            return Ok(());
        }
        let mut carry = std::mem::take(&mut self.carry);
        let mut position = 0;
        if self.part == Part::Header {
            match header(&carry).map_err(|problem| self.broken(problem))? {
                Step::Row(end) | Step::Trailer(end) => position = end,
                Step::Short(needs) => {
                    self.carry_needs = needs;
                    self.carry = carry;
                    return Ok(());
                }
            }
            self.part = Part::Rows;
        }
        position = self.walk_rows(&carry, position)?;
        self.decode_tile(&carry)?;
        if self.part == Part::Nothing && position < carry.len() {
            return Err(self.broken(Problem::Malformed("bytes after the trailer")));
        }
        carry.drain(..position);
        if carry.is_empty() && carry.capacity() > KEPT_CARRY {
            carry = Vec::new();
        }
        self.carry = carry;
        Ok(())
    }

    /// Pass 2 over the rows that were walked, which lie in `data`.
    fn decode_tile(&mut self, data: &[u8]) -> Result<()> {
        let rows = self.tile.rows();
        if rows == 0 {
            return Ok(());
        }
        for (at, column) in self.columns.iter_mut().enumerate() {
            let cells = self.tile.cells(at, data);
            if let Err(fault) = column.decode.append(cells) {
                let noted = self.misfits.len();
                column
                    .bear((at, self.open_rows), cells, fault, &mut self.misfits)
                    .map_err(|fault| column.fault(fault, self.rows))?;
                let new = self.misfits.iter().skip(noted);
                self.misfit_bytes += new.map(misfit_bytes).sum::<usize>();
            }
        }
        self.tile.clear();
        self.rows += rows as u64;
        self.open_rows += rows;
        let bytes: usize = self.columns.iter().map(|column| column.decode.bytes()).sum();
        if self.open_rows >= self.limits.rows || bytes + self.misfit_bytes >= self.limits.bytes {
            self.close_batch()?;
        }
        Ok(())
    }

    fn close_batch(&mut self) -> Result<()> {
        if self.open_rows == 0 {
            return Ok(());
        }
        let malformed = |error: &dyn std::fmt::Display| {
            Error::internal(format!("a decoded batch is malformed: {error}"))
        };
        let columns = self
            .columns
            .iter_mut()
            .map(|column| column.decode.finish().map_err(|error| malformed(&error)))
            .collect::<Result<Vec<_>>>()?;
        let batch = RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|error| malformed(&error))?;
        self.open_rows = 0;
        self.misfit_bytes = 0;
        self.ready.push_back(Decoded { batch, misfits: std::mem::take(&mut self.misfits) });
        Ok(())
    }

    /// The stream itself is not as it should be.
    #[cold]
    fn broken(&self, problem: Problem) -> Error {
        let (Problem::Malformed(what) | Problem::Unfit(what)) = problem;
        let row = self.rows + self.tile.rows() as u64 + 1;
        Error::new(ErrorKind::Data, format!("the copy stream holds {what}"))
            .because(format!("it is at row {row} of the stream"))
            .hint("connect to the server itself rather than through a proxy, then run again")
    }
}

impl Column {
    /// What is wrong with a value of this column, `before` rows of the stream left aside.
    #[cold]
    fn fault(&self, fault: Fault, before: u64) -> Error {
        let name = &self.name;
        let what = match fault.problem {
            Problem::Unfit(what) => format!("column `{name}` {}", self.holds(what)),
            Problem::Malformed(what) => format!("column `{name}` arrived as {what}"),
        };
        Error::new(ErrorKind::Data, what)
            .because(format!("it is in row {} of the stream", before + fault.row as u64 + 1))
            .hint(format!("read it as text: `columns: {{cast: {{{name}: text}}}}`"))
            .hint(format!(
                "or go on without such values: `columns: {{on_mismatch: {{{name}: quarantine}}}}`"
            ))
    }
}

/// About how much memory `misfit` takes until its batch is dealt with.
fn misfit_bytes(misfit: &Misfit) -> usize {
    size_of::<Misfit>() + misfit.reason.len() + misfit.value.len()
}

/// Passes over the header; `Row` is where it ends.
fn header(bytes: &[u8]) -> Result<Step, Problem> {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes.get(..known) != SIGNATURE.get(..known) {
        return Err(Problem::Malformed("no header of a binary copy"));
    }
    let short = SIGNATURE.len() + 8;
    let Some(fields) = bytes.get(SIGNATURE.len()..short) else { return Ok(Step::Short(short)) };
    let mut fields = Reader::new(fields);
    let flags = u32::from_be_bytes(fields.take()?);
    // Bits 16 to 31 change the format in ways that an older reader must not ignore.
    if flags >> 16 != 0 {
        return Err(Problem::Malformed("a header with unknown flags"));
    }
    let extension = usize::try_from(fields.int()?)
        .map_err(|_| Problem::Malformed("a header with an extension of negative length"))?;
    let end = short + extension;
    Ok(if bytes.len() < end { Step::Short(end) } else { Step::Row(end) })
}

#[cfg(test)]
mod tests;
