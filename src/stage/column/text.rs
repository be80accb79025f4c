//! Columns of text and of bytes.

use std::ops::ControlFlow;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::DataType;
use parquet::{
    basic::Encoding,
    data_type::ByteArray,
    errors::{ParquetError, Result},
    file::statistics::Statistics,
    schema::types::ColumnDescPtr,
};

use super::{
    EncodeColumn, PAGE_BYTES, Workspace,
    bits::put_codes,
    delta::Delta,
    dictionary::{INLINE, Interned, TextDictionary},
    page::{ClosedColumn, Pages},
};
use crate::stage::encoding::Choice;

/// The longest bound that statistics keep; a longer least value is cut, a longer greatest value is
/// left out, because what is cut off would make it too small.
const BOUND: usize = 64;

/// How the values of the open page are kept.
enum Values {
    /// Their numbers in the dictionary.
    Codes(Vec<u32>),
    /// Their lengths apart from their bytes, which then compress faster and to less: a sixth of the
    /// bytes of TPC-H's comments.
    Lengths(Box<Lengths>),
}

/// The values of one page as `DELTA_LENGTH_BYTE_ARRAY` keeps them.
struct Lengths {
    lengths: Delta<i32>,
    bytes: Vec<u8>,
}

impl Lengths {
    fn new() -> Self {
        Self { lengths: Delta::new(), bytes: Vec::new() }
    }

    /// Adds the bytes of a value: its view, and all of them where the view does not hold them.
    #[inline]
    fn put(&mut self, view: u128, long: Option<&[u8]>) {
        match long {
            None => {
                let end = self.bytes.len() + view as u32 as usize;
                self.bytes.extend_from_slice(&(view >> 32).to_le_bytes());
                self.bytes.truncate(end);
            }
            Some(text) => self.bytes.extend_from_slice(text),
        }
    }
}

/// One column of one row group.
pub(super) struct Texts {
    pages: Pages,
    values: Values,
    dictionary: Option<TextDictionary>,
    bounds: Bounds,
}

impl Texts {
    pub(super) fn new(descr: ColumnDescPtr, choice: Choice) -> Self {
        let (values, dictionary) = match choice {
            Choice::Dictionary => (Values::Codes(Vec::new()), Some(TextDictionary::new())),
            Choice::Delta | Choice::Plain => (Values::Lengths(Box::new(Lengths::new())), None),
        };
        let bounds = Bounds::new(descr.converted_type());
        Self { pages: Pages::new(descr), values, dictionary, bounds }
    }

    fn put(&mut self, views: &Views<'_>, workspace: &mut Workspace) -> Result<()> {
        if let Values::Codes(codes) = &mut self.values
            && let Some(dictionary) = &mut self.dictionary
        {
            let before = codes.len();
            if intern_all(views, dictionary, codes).is_continue() {
                return Ok(());
            }
            codes.truncate(before);
            self.flush(workspace)?;
            self.values = Values::Lengths(Box::new(Lengths::new()));
        }
        if let Values::Lengths(values) = &mut self.values {
            let (bounds, lengths) = (&mut self.bounds, &mut workspace.narrow);
            lengths.clear();
            let _ = views.each(|view, long| {
                // A view's length has 31 bits.
                lengths.push(view as i32);
                values.put(view, long);
                bounds.widen(view, long);
                ControlFlow::Continue(())
            });
            values.lengths.put(lengths);
        }
        Ok(())
    }

    fn flush(&mut self, workspace: &mut Workspace) -> Result<()> {
        let Self { pages, values, dictionary, .. } = self;
        pages.end_page(workspace, |body| match values {
            Values::Codes(codes) => {
                let different = dictionary.as_ref().map_or(0, TextDictionary::len);
                put_codes(codes, different, body);
                Encoding::RLE_DICTIONARY
            }
            Values::Lengths(values) => {
                values.lengths.finish(body);
                body.extend_from_slice(&values.bytes);
                values.bytes.clear();
                // One huge value must not be paid for until the row group ends.
                if values.bytes.capacity() > 4 * PAGE_BYTES {
                    values.bytes = Vec::new();
                }
                Encoding::DELTA_LENGTH_BYTE_ARRAY
            }
        })
    }

    fn page_bytes(&self) -> usize {
        match &self.values {
            Values::Codes(codes) => codes.len() * size_of::<u32>(),
            Values::Lengths(values) => values.bytes.len() + values.lengths.bytes(),
        }
    }
}

fn intern_all(
    views: &Views<'_>,
    dictionary: &mut TextDictionary,
    codes: &mut Vec<u32>,
) -> ControlFlow<()> {
    codes.reserve(views.views.len());
    views.each(|view, long| {
        let interned = match long {
            None => dictionary.intern_short(view),
            Some(text) => dictionary.intern_long(text),
        };
        match interned {
            Interned::Code(code) => {
                codes.push(code);
                ControlFlow::Continue(())
            }
            Interned::Full => ControlFlow::Break(()),
        }
    })
}

impl EncodeColumn for Texts {
    fn write(&mut self, array: &ArrayRef, workspace: &mut Workspace) -> Result<()> {
        let views = match array.data_type() {
            DataType::Utf8View => {
                let array = array.as_string_view();
                Views { views: array.views(), buffers: array.data_buffers(), nulls: array.nulls() }
            }
            DataType::BinaryView => {
                let array = array.as_binary_view();
                Views { views: array.views(), buffers: array.data_buffers(), nulls: array.nulls() }
            }
            other => return Err(ParquetError::General(format!("{other} is not kept as text"))),
        };
        self.put(&views, workspace)?;
        if self.pages.add_rows(array, self.page_bytes()) {
            self.flush(workspace)?;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        let page = match &self.values {
            Values::Codes(codes) => codes.capacity() * size_of::<u32>(),
            Values::Lengths(values) => values.bytes.capacity() + values.lengths.bytes(),
        };
        let dictionary = self.dictionary.as_ref().map_or(0, TextDictionary::bytes);
        self.pages.bytes() + page + dictionary
    }

    fn close(mut self: Box<Self>, workspace: &mut Workspace) -> Result<ClosedColumn> {
        self.flush(workspace)?;
        let dictionary = self.dictionary.as_ref().map(|dictionary| {
            let values = dictionary.values();
            values.for_each(|value| self.bounds.widen_to(value));
            (dictionary.len(), dictionary.plain())
        });
        let statistics = self.bounds.statistics(self.pages.nulls());
        self.pages.close(dictionary, statistics, &mut workspace.codec)
    }
}

/// The values of an array of views.
struct Views<'a> {
    views: &'a [u128],
    buffers: &'a [Buffer],
    nulls: Option<&'a NullBuffer>,
}

impl Views<'_> {
    /// Calls `take` with each value that is not NULL: its view, and its bytes where the view does
    /// not hold all of them.
    #[inline]
    fn each(
        &self,
        mut take: impl FnMut(u128, Option<&[u8]>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut one = |view: u128| {
            let len = view as u32 as usize;
            if len <= INLINE {
                return take(view, None);
            }
            // The upper half of a long view: the buffer's number, and where the text begins in it.
            let (buffer, start) = ((view >> 64) as u32 as usize, (view >> 96) as usize);
            let text = self.buffers.get(buffer).and_then(|buffer| buffer.get(start..start + len));
            take(view, Some(text.unwrap_or_default()))
        };
        match self.nulls.filter(|nulls| nulls.null_count() > 0) {
            None => self.views.iter().try_for_each(|view| one(*view)),
            Some(nulls) => nulls.valid_indices().try_for_each(|at| match self.views.get(at) {
                Some(view) => one(*view),
                None => ControlFlow::Continue(()),
            }),
        }
    }
}

/// The least and the greatest value, by their bytes: UTF-8 sorts as its characters do.
struct Bounds {
    known: Option<Known>,
    is_text: bool,
}

struct Known {
    least: Vec<u8>,
    most: Vec<u8>,
    /// The first four bytes of each, as a number: few values need a closer look.
    least_prefix: u32,
    most_prefix: u32,
}

impl Bounds {
    fn new(converted: parquet::basic::ConvertedType) -> Self {
        Self { known: None, is_text: converted == parquet::basic::ConvertedType::UTF8 }
    }

    #[inline]
    fn widen(&mut self, view: u128, long: Option<&[u8]>) {
        let prefix = ((view >> 32) as u32).swap_bytes();
        if let Some(known) = &self.known
            && prefix > known.least_prefix
            && prefix < known.most_prefix
        {
            return;
        }
        self.look_at(view, long);
    }

    #[inline(never)]
    fn look_at(&mut self, view: u128, long: Option<&[u8]>) {
        let bytes = view.to_le_bytes();
        let len = view as u32 as usize;
        self.widen_to(long.unwrap_or_else(|| bytes.get(4..4 + len).unwrap_or_default()));
    }

    fn widen_to(&mut self, value: &[u8]) {
        match &mut self.known {
            None => {
                let prefix = prefix(value);
                self.known = Some(Known {
                    least: value.to_vec(),
                    most: value.to_vec(),
                    least_prefix: prefix,
                    most_prefix: prefix,
                });
            }
            Some(known) => {
                if value < known.least.as_slice() {
                    known.least.clear();
                    known.least.extend_from_slice(value);
                    known.least_prefix = prefix(value);
                } else if value > known.most.as_slice() {
                    known.most.clear();
                    known.most.extend_from_slice(value);
                    known.most_prefix = prefix(value);
                }
            }
        }
    }

    fn statistics(&self, nulls: u64) -> Statistics {
        let least =
            self.known.as_ref().map(|known| ByteArray::from(self.cut(&known.least).to_vec()));
        let most = self.known.as_ref().filter(|known| known.most.len() <= BOUND);
        let most = most.map(|known| ByteArray::from(known.most.clone()));
        let exact = self.known.as_ref().is_none_or(|known| known.least.len() <= BOUND);
        Statistics::ByteArray(
            parquet::file::statistics::ValueStatistics::new(least, most, None, Some(nulls), false)
                .with_min_is_exact(exact),
        )
    }

    /// `value`, or its beginning where it is long.
    fn cut<'a>(&self, value: &'a [u8]) -> &'a [u8] {
        let Some(head) = value.get(..BOUND).filter(|_| value.len() > BOUND) else { return value };
        match str::from_utf8(head) {
            Err(error) if self.is_text => head.get(..error.valid_up_to()).unwrap_or_default(),
            _ => head,
        }
    }
}

fn prefix(value: &[u8]) -> u32 {
    let mut bytes = [0; 4];
    for (slot, byte) in bytes.iter_mut().zip(value) {
        *slot = *byte;
    }
    u32::from_be_bytes(bytes)
}
