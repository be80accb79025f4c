//! What every column decoder works on: the cells of one column in one tile, the validity of what
//! it built, and the faults it meets.

use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};

/// The place of a cell that the stream does not hold, such as the bound that a range lacks. It
/// lies beyond any block, so that looking there finds NULL without an extra test.
pub(super) const ABSENT: u32 = u32::MAX;

/// The cells of one column: where in `data` the length prefix of each lies.
///
/// Pass 1 (and each nested decoder for its children) has checked that every prefix is −1 or is
/// followed by that many bytes.
#[derive(Clone, Copy)]
pub(super) struct Cells<'a> {
    /// The bytes that hold them.
    pub(super) data: &'a [u8],
    /// One place a row.
    pub(super) at: &'a [u32],
}

impl<'a> Cells<'a> {
    /// The bytes of the cell at `at`; `None` is NULL.
    #[inline]
    pub(super) fn get(self, at: u32) -> Option<&'a [u8]> {
        let (head, rest) = self.data.get(at as usize..)?.split_first_chunk::<4>()?;
        rest.get(..usize::try_from(i32::from_be_bytes(*head)).ok()?)
    }

    /// The bytes of the cell at `at`, which are `N` or it is malformed; `None` is NULL.
    #[inline]
    pub(super) fn fixed<const N: usize>(self, at: u32) -> Result<Option<[u8; N]>, Problem> {
        let start = at as usize;
        // One bounds test for prefix and value: the usual cell takes this way out.
        if let Some((head, value)) =
            self.data.get(start..start + 4 + N).and_then(<[u8]>::split_first_chunk::<4>)
            && u32::from_be_bytes(*head) as usize == N
            && let Some(value) = value.first_chunk::<N>()
        {
            return Ok(Some(*value));
        }
        match self.get(at) {
            None => Ok(None),
            Some(_) => Err(Problem::Malformed("a value of the wrong length")),
        }
    }

    /// How many there are.
    pub(super) fn len(self) -> usize {
        self.at.len()
    }
}

/// Why a value can't become what was asked for. Never holds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// The source holds such a value, and the target type does not: `NaN`, `a multi-dimensional
    /// array`. Completes "holds …".
    Unfit(&'static str),
    /// The bytes are not what the type says.
    Malformed(&'static str),
}

/// A [`Problem`] and the row it is in, counted from the first cell given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    /// Which row.
    pub(super) row: usize,
    /// What is wrong with it.
    pub(super) problem: Problem,
}

impl Problem {
    /// This problem in `row`.
    pub(super) fn in_row(self, row: usize) -> Fault {
        Fault { row, problem: self }
    }
}

/// Bits, appended up to 64 at a time: a validity mask or the values of a boolean column.
#[derive(Default)]
pub(super) struct Bits {
    words: Vec<u64>,
    len: usize,
    ones: usize,
}

impl Bits {
    /// Appends the `count` lowest bits of `mask`; those above them are zero. At most 64.
    #[inline]
    pub(super) fn push(&mut self, mask: u64, count: usize) {
        let used = self.len % 64;
        if used == 0 {
            self.words.push(mask);
        } else {
            if let Some(last) = self.words.last_mut() {
                *last |= mask << used;
            }
            if used + count > 64 {
                self.words.push(mask >> (64 - used));
            }
        }
        self.len += count;
        self.ones += mask.count_ones() as usize;
    }

    /// How many bits there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Keeps the first `len` bits.
    pub(super) fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        self.words.truncate(len.div_ceil(64));
        if let (Some(last), 1..) = (self.words.last_mut(), len % 64) {
            *last &= (1 << (len % 64)) - 1;
        }
        self.len = len;
        self.ones = self.words.iter().map(|word| word.count_ones() as usize).sum();
    }

    /// Takes the bits, leaving none.
    pub(super) fn take(&mut self) -> BooleanBuffer {
        let words: Vec<u64> = std::mem::take(&mut self.words)
            .into_iter()
            // Arrow counts bits from the lowest of the first byte.
            .map(u64::to_le)
            .collect();
        let len = std::mem::take(&mut self.len);
        self.ones = 0;
        BooleanBuffer::new(Buffer::from_vec(words), 0, len)
    }

    /// Takes the bits as a validity mask, leaving none; `None` where every bit is set.
    pub(super) fn take_validity(&mut self) -> Option<NullBuffer> {
        if self.ones == self.len {
            *self = Self::default();
            return None;
        }
        Some(NullBuffer::new(self.take()))
    }
}

/// Reads bytes front to back; every step is checked.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// How many were read.
    pub(super) position: usize,
}

impl<'a> Reader<'a> {
    /// A reader of all of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// The next `N` bytes.
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let chunk = self
            .bytes
            .get(self.position..)
            .and_then(<[u8]>::first_chunk::<N>)
            .ok_or(Problem::Malformed("a value that ends early"))?;
        self.position += N;
        Ok(*chunk)
    }

    /// The next four bytes as a signed number.
    pub(super) fn int(&mut self) -> Result<i32, Problem> {
        Ok(i32::from_be_bytes(self.take()?))
    }

    /// Passes over a length prefix and what it announces; gives where the prefix lies.
    pub(super) fn cell(&mut self) -> Result<usize, Problem> {
        let at = self.position;
        let len = self.int()?;
        if len >= 0 {
            self.position += len as usize;
        } else if len != -1 {
            return Err(Problem::Malformed("a negative length"));
        }
        if self.position > self.bytes.len() {
            return Err(Problem::Malformed("a value that ends early"));
        }
        Ok(at)
    }

    /// An error unless everything was read.
    pub(super) fn end(self) -> Result<(), Problem> {
        if self.position == self.bytes.len() {
            Ok(())
        } else {
            Err(Problem::Malformed("a value with bytes left over"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_join_across_words() {
        for first in [1, 63, 64] {
            for second in [1, 63, 64] {
                let mut bits = Bits::default();
                bits.push(1, first);
                bits.push(1 << (second - 1), second);
                let taken = bits.take();
                assert_eq!(taken.len(), first + second);
                let set: Vec<usize> = (0..taken.len()).filter(|&at| taken.value(at)).collect();
                assert_eq!(set, [0, first + second - 1], "{first} + {second}");
            }
        }
    }

    #[test]
    fn bits_are_cut_anywhere() {
        for len in [0, 1, 63, 64, 65, 127, 128, 200] {
            let mut bits = Bits::default();
            (0..3).for_each(|_| bits.push(u64::MAX, 64));
            bits.truncate(len);
            let kept = len.min(192);
            assert_eq!((bits.len, bits.ones), (kept, kept), "{len}");
            bits.push(0b10, 2);
            let taken = bits.take();
            assert!((0..kept).all(|at| taken.value(at)), "{len}");
            assert_eq!((taken.value(kept), taken.value(kept + 1)), (false, true), "{len}");
        }
    }

    #[test]
    fn a_mask_without_nulls_is_no_mask() {
        let mut bits = Bits::default();
        bits.push(0b111, 3);
        assert_eq!(bits.take_validity(), None);
        bits.push(0b101, 3);
        assert_eq!(bits.take_validity().map(|mask| mask.null_count()), Some(1));
        assert_eq!(bits.len(), 0);
    }
}
