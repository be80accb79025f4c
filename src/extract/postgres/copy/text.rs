//! Text and binary columns, as Arrow views: short values lie in the view itself, long ones are
//! copied once into a buffer that belongs to the column alone, so that a batch never keeps whole
//! blocks of the stream alive.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BinaryViewArray, StringViewArray},
    buffer::{Buffer, ScalarBuffer},
};

use super::{
    Decode,
    cells::{Bits, Cells, Fault, Problem},
};

/// The longest value that lies in its view.
const INLINE: usize = 12;

/// A buffer is closed before it grows past this, far below the 31 bits of a view's offset.
const BUFFER: usize = 1 << 30;

const NOT_UTF8: Problem = Problem::Unfit("bytes that are not UTF-8");

/// For each inline length, the bits of a view that hold its bytes.
#[allow(clippy::indexing_slicing, reason = "the compiler itself runs this")]
const MASKS: [u128; INLINE + 1] = {
    let mut masks = [0; INLINE + 1];
    let mut len = 1;
    while len <= INLINE {
        masks[len] = masks[len - 1] << 8 | 0xFF << 32;
        len += 1;
    }
    masks
};

/// The high bit of each of a view's 12 inline bytes: set where a byte is not ASCII.
const HIGH_BITS: u128 = 0x8080_8080_8080_8080_8080_8080_0000_0000;

/// Views under construction.
#[derive(Default)]
pub(super) struct Views {
    rows: Vec<u128>,
    /// The buffer being filled.
    data: Vec<u8>,
    /// Those that are full.
    full: Vec<Buffer>,
    validity: Bits,
}

impl Views {
    /// Appends every cell as it is.
    fn append_raw(&mut self, cells: Cells<'_>) {
        self.rows.reserve(cells.len());
        for at in cells.at.chunks(64) {
            let mut mask = 0;
            for (bit, &at) in at.iter().enumerate() {
                let view = match inline_view(cells, at) {
                    Some(view) => Some(view),
                    None => cells.get(at).map(|value| self.view(value)),
                };
                mask |= u64::from(view.is_some()) << bit;
                self.rows.push(view.unwrap_or_default());
            }
            self.validity.push(mask, at.len());
        }
    }

    /// Appends every cell without the blanks at its end.
    fn append_trimmed(&mut self, cells: Cells<'_>) {
        self.rows.reserve(cells.len());
        for &at in cells.at {
            let cell = cells.get(at);
            let view = cell.map(|cell| {
                let len = cell.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
                self.view(cell.get(..len).unwrap_or(cell))
            });
            self.rows.push(view.unwrap_or_default());
            self.validity.push(u64::from(cell.is_some()), 1);
        }
    }

    /// Appends what `print` makes of every cell; on a fault, nothing that is kept.
    pub(super) fn append_with(
        &mut self,
        cells: Cells<'_>,
        print: impl Fn(&[u8], &mut Vec<u8>) -> Result<(), Problem>,
    ) -> Result<(), Fault> {
        let mut text = Vec::with_capacity(64);
        self.rows.reserve(cells.len());
        for (row, &at) in cells.at.iter().enumerate() {
            let mut view = 0;
            let cell = cells.get(at);
            if let Some(cell) = cell {
                text.clear();
                print(cell, &mut text).map_err(|problem| problem.in_row(row))?;
                view = self.view(&text);
            }
            self.rows.push(view);
            self.validity.push(u64::from(cell.is_some()), 1);
        }
        Ok(())
    }

    /// The view of `value`, which is copied to the buffer where it is long.
    #[inline]
    fn view(&mut self, value: &[u8]) -> u128 {
        let len = value.len();
        if len <= INLINE {
            let mut bytes = [0; 16];
            for (to, from) in bytes.iter_mut().skip(4).zip(value) {
                *to = *from;
            }
            return u128::from_le_bytes(bytes) | len as u128;
        }
        if self.data.len() + len > BUFFER && !self.data.is_empty() {
            self.full.push(Buffer::from_vec(std::mem::take(&mut self.data)));
        }
        let offset = self.data.len();
        self.data.extend_from_slice(value);
        let prefix = value.first_chunk::<4>().copied().unwrap_or_default();
        len as u128
            | u128::from(u32::from_le_bytes(prefix)) << 32
            | (self.full.len() as u128) << 64
            | (offset as u128) << 96
    }

    /// Where the next value will lie.
    fn mark(&self) -> Mark {
        Mark { rows: self.rows.len(), full: self.full.len(), data: self.data.len() }
    }

    /// Checks that all values appended since `mark` are UTF-8.
    fn check(&self, mark: Mark) -> Result<(), Fault> {
        let views = self.rows.get(mark.rows..).unwrap_or_default();
        let is_short = |view: &u128| *view as u32 as usize <= INLINE;
        let short = views.iter().filter(|view| is_short(view)).fold(0, |all, view| all | view);
        let long = if self.full.len() == mark.full { self.data.get(mark.data..) } else { None };
        if short & HIGH_BITS == 0 && long.is_some_and(<[u8]>::is_ascii) {
            return Ok(());
        }
        // Long values lie end to end. If all of them together are UTF-8 and each begins where a
        // character does, then each is: one fast pass instead of a call a value.
        let begins = |view: &u128| (view >> 32) as u8 & 0xC0 != 0x80;
        let long_is_utf8 = long.is_some_and(|long| simdutf8::basic::from_utf8(long).is_ok())
            && views.iter().all(|view| is_short(view) || begins(view));
        let is_wrong = |view: &u128| (is_short(view) || !long_is_utf8) && !self.is_utf8(*view);
        match views.iter().position(is_wrong) {
            Some(row) => Err(NOT_UTF8.in_row(row)),
            None => Ok(()),
        }
    }

    fn is_utf8(&self, view: u128) -> bool {
        let len = view as u32 as usize;
        if len <= INLINE {
            let bytes = (view >> 32).to_le_bytes();
            return bytes.get(..len).is_some_and(|bytes| str::from_utf8(bytes).is_ok());
        }
        let (buffer, offset) = ((view >> 64) as u32 as usize, (view >> 96) as usize);
        let data = self.full.get(buffer).map_or(self.data.as_slice(), Buffer::as_slice);
        data.get(offset..offset + len).is_some_and(|bytes| str::from_utf8(bytes).is_ok())
    }

    /// Keeps the first `rows` values, and of the copied bytes what those refer to.
    fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows);
        self.validity.truncate(rows);
        let is_long = |view: &&u128| **view as u32 as usize > INLINE;
        let Some(view) = self.rows.iter().rev().find(is_long).copied() else {
            self.full.clear();
            self.data.clear();
            return;
        };
        let (buffer, end) =
            ((view >> 64) as u32 as usize, (view >> 96) as usize + view as u32 as usize);
        if buffer < self.full.len() {
            self.full.truncate(buffer + 1);
            self.data.clear();
        } else {
            self.data.truncate(end);
        }
    }

    fn bytes(&self) -> usize {
        self.rows.len() * 16 + self.data.len() + self.full.iter().map(Buffer::len).sum::<usize>()
    }

    fn take(&mut self) -> (ScalarBuffer<u128>, Vec<Buffer>, Option<arrow::buffer::NullBuffer>) {
        let views = Vec::with_capacity(self.rows.len());
        let views = ScalarBuffer::from(std::mem::replace(&mut self.rows, views));
        let data = Vec::with_capacity(self.data.len().min(BUFFER));
        let data = std::mem::replace(&mut self.data, data);
        let mut buffers = std::mem::take(&mut self.full);
        if !data.is_empty() {
            buffers.push(Buffer::from_vec(data));
        }
        (views, buffers, self.validity.take_validity())
    }

    fn finish_text(&mut self) -> ArrayRef {
        let (views, buffers, nulls) = self.take();
        // SAFETY: views are made by `view` and `inline_view` only, which zero what an inline value
        // leaves free and point at what was just copied; `check` has seen every text, and what
        // `printed` decoders write is ASCII. A decoder that met a fault is truncated to what
        // was checked before, or is not finished.
        #[allow(
            unsafe_code,
            reason = "a second check of what was just checked takes a third of the time that \
                      decoding a column of text does"
        )]
        let array = unsafe { StringViewArray::new_unchecked(views, buffers, nulls) };
        Arc::new(array)
    }

    fn finish_binary(&mut self) -> Result<ArrayRef, String> {
        let (views, buffers, nulls) = self.take();
        BinaryViewArray::try_new(views, buffers, nulls)
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(|error| error.to_string())
    }
}

#[derive(Clone, Copy)]
struct Mark {
    rows: usize,
    full: usize,
    data: usize,
}

/// The view of a cell that fits into it. A length prefix and 12 bytes are as long as a view and lie
/// alike, so the view is one load, one swap and one mask. `None` for what is long, NULL, or too near
/// to the end of the block.
#[inline]
fn inline_view(cells: Cells<'_>, at: u32) -> Option<u128> {
    let cell = u128::from_le_bytes(*cells.data.get(at as usize..)?.first_chunk::<16>()?);
    let len = (cell as u32).swap_bytes();
    Some(cell & MASKS.get(len as usize)? | u128::from(len))
}

/// How the bytes of a text column are to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    Raw,
    /// Padded with blanks that mean nothing, `character(n)`: PostgreSQL's own cast to text drops
    /// them, and so do we.
    Padded,
    /// After a version byte, which is 1: `jsonb`, `jsonpath`.
    Versioned,
    /// One byte, `"char"`: NUL is the empty text, and what is not ASCII is printed as `\ooo`.
    Byte,
}

struct Text {
    views: Views,
    form: Form,
}

/// A decoder of text that travels as `form`.
pub(super) fn text(form: Form) -> Box<dyn Decode> {
    Box::new(Text { views: Views::default(), form })
}

impl Decode for Text {
    fn append(&mut self, cells: Cells<'_>) -> Result<(), Fault> {
        let mark = self.views.mark();
        match self.form {
            Form::Raw => self.views.append_raw(cells),
            Form::Padded => self.views.append_trimmed(cells),
            Form::Versioned => self.views.append_with(cells, |cell, out| match cell {
                [1, text @ ..] => {
                    out.extend_from_slice(text);
                    Ok(())
                }
                _ => Err(Problem::Malformed("a document of an unknown version")),
            })?,
            Form::Byte => self.views.append_with(cells, |cell, out| match cell {
                [0] => Ok(()),
                [byte] if byte.is_ascii() => {
                    out.push(*byte);
                    Ok(())
                }
                [byte] => {
                    out.extend_from_slice(format!("\\{byte:03o}").as_bytes());
                    Ok(())
                }
                _ => Err(Problem::Malformed("a value of the wrong length")),
            })?,
        }
        self.views.check(mark)
    }

    fn truncate(&mut self, rows: usize) {
        self.views.truncate(rows);
    }

    fn finish(&mut self) -> Result<ArrayRef, String> {
        Ok(self.views.finish_text())
    }

    fn bytes(&self) -> usize {
        self.views.bytes()
    }
}

#[derive(Default)]
struct Binary(Views);

/// A decoder of bytes as they are.
pub(super) fn binary() -> Box<dyn Decode> {
    Box::new(Binary::default())
}

impl Decode for Binary {
    fn append(&mut self, cells: Cells<'_>) -> Result<(), Fault> {
        self.0.append_raw(cells);
        Ok(())
    }

    fn truncate(&mut self, rows: usize) {
        self.0.truncate(rows);
    }

    fn finish(&mut self) -> Result<ArrayRef, String> {
        self.0.finish_binary()
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

struct Printed<F> {
    views: Views,
    print: F,
}

/// A decoder of values that `print` writes as ASCII.
pub(super) fn printed<F>(print: F) -> Box<dyn Decode>
where
    F: Fn(&[u8], &mut Vec<u8>) -> Result<(), Problem> + Send + 'static,
{
    Box::new(Printed { views: Views::default(), print })
}

impl<F> Decode for Printed<F>
where
    F: Fn(&[u8], &mut Vec<u8>) -> Result<(), Problem> + Send,
{
    fn append(&mut self, cells: Cells<'_>) -> Result<(), Fault> {
        self.views.append_with(cells, &self.print)
    }

    fn truncate(&mut self, rows: usize) {
        self.views.truncate(rows);
    }

    fn finish(&mut self) -> Result<ArrayRef, String> {
        Ok(self.views.finish_text())
    }

    fn bytes(&self) -> usize {
        self.views.bytes()
    }
}
