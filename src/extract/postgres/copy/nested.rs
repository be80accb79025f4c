//! Columns of columns: arrays, composites, ranges, multiranges and hstore.
//!
//! PostgreSQL nests values as it lays out rows: each inner value has its own length prefix. So a
//! nested column only finds where its children's prefixes lie, and the children decode theirs all
//! at once, as the column of a table would.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, ListArray, MapArray, StructArray},
    buffer::{OffsetBuffer, ScalarBuffer},
    datatypes::{DataType, Field, FieldRef, Fields},
};

use super::{
    Decode,
    cells::{ABSENT, Bits, Cells, Fault, Problem, Reader},
    text,
};

/// A child column and where its cells of this tile lie.
struct Child {
    decode: Box<dyn Decode>,
    /// The type's number as the stream must name it; 0 where it is not known.
    oid: u32,
    at: Vec<u32>,
}

impl Child {
    fn new(decode: Box<dyn Decode>, oid: u32) -> Self {
        Self { decode, oid, at: Vec::new() }
    }

    /// Appends the cells whose places were collected.
    fn append(&mut self, data: &[u8]) -> Result<(), Fault> {
        let appended = self.decode.append(Cells { data, at: &self.at });
        self.at.clear();
        appended
    }

    /// Keeps the first `rows` values; places that were collected are forgotten.
    fn truncate(&mut self, rows: usize) {
        self.decode.truncate(rows);
        self.at.clear();
    }

    fn expects(&self, oid: u32) -> Result<(), Problem> {
        if self.oid == oid || self.oid == 0 {
            Ok(())
        } else {
            Err(Problem::Malformed("a value of another type than the catalog says"))
        }
    }
}

/// The ends of the lists in this batch, from which Arrow's offsets and a fault's row follow.
struct Ends(Vec<i32>);

impl Ends {
    fn new() -> Self {
        Self(vec![0])
    }

    fn push(&mut self, children: usize) -> Result<(), Problem> {
        let end = usize::try_from(self.0.last().copied().unwrap_or(0))
            .ok()
            .and_then(|start| i32::try_from(start.checked_add(children)?).ok());
        // No value is at fault, so none may be taken for a misfit.
        self.0.push(end.ok_or(Problem::Malformed("too many elements for one batch"))?);
        Ok(())
    }

    /// The fault of a child, seen from the list that holds it; `rows` of the lists are new.
    fn fault(&self, fault: Fault, rows: usize) -> Fault {
        let new = self.0.get(self.0.len().saturating_sub(rows + 1)..).unwrap_or_default();
        let first = new.first().copied().unwrap_or(0);
        let row =
            new.iter().skip(1).take_while(|end| (**end - first) as usize <= fault.row).count();
        fault.problem.in_row(row)
    }

    /// Keeps the first `rows` lists; gives the number of their children.
    fn truncate(&mut self, rows: usize) -> usize {
        self.0.truncate(rows + 1);
        self.0.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(0)
    }

    fn take(&mut self) -> OffsetBuffer<i32> {
        OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.0, vec![0])))
    }

    fn bytes(&self) -> usize {
        self.0.len() * 4
    }
}

/// How the elements of a list lie in its cell.
enum Elements {
    /// An array: `i32` dimensions, flags, `u32` element type; per dimension `i32` size and lower
    /// bound; the elements.
    Array,
    /// A multirange: `i32` number of ranges; the ranges.
    Multirange,
}

struct List {
    child: Child,
    ends: Ends,
    validity: Bits,
    field: FieldRef,
    elements: Elements,
}

/// A decoder of arrays of one dimension, whose elements are of type `oid`.
pub(super) fn array(element: Box<dyn Decode>, oid: u32, field: &FieldRef) -> Box<dyn Decode> {
    list(Child::new(element, oid), field, Elements::Array)
}

/// A decoder of multiranges.
pub(super) fn multirange(range: Box<dyn Decode>, field: &FieldRef) -> Box<dyn Decode> {
    list(Child::new(range, 0), field, Elements::Multirange)
}

fn list(child: Child, field: &FieldRef, elements: Elements) -> Box<dyn Decode> {
    Box::new(List {
        child,
        ends: Ends::new(),
        validity: Bits::default(),
        field: field.clone(),
        elements,
    })
}

impl List {
    /// Finds the elements of one list, whose bytes begin at `base`; gives their number.
    fn find(&mut self, cell: &[u8], base: u32) -> Result<usize, Problem> {
        let mut reader = Reader::new(cell);
        let count = match self.elements {
            Elements::Array => self.array_length(&mut reader)?,
            Elements::Multirange => reader.int()?,
        };
        // Each element takes at least a length prefix, so a count that lies is found in time.
        for _ in 0..count {
            self.child.at.push(base + reader.cell()? as u32);
        }
        reader.end()?;
        usize::try_from(count).map_err(|_| Problem::Malformed("a negative number of elements"))
    }

    fn array_length(&self, reader: &mut Reader<'_>) -> Result<i32, Problem> {
        let dimensions = reader.int()?;
        let _has_nulls = reader.int()?;
        self.child.expects(u32::from_be_bytes(reader.take()?))?;
        match dimensions {
            0 => Ok(0),
            1 => {
                let size = reader.int()?;
                if reader.int()? == 1 {
                    Ok(size)
                } else {
                    Err(Problem::Unfit("an array that does not begin at 1"))
                }
            }
            2..=6 => Err(Problem::Unfit("an array of several dimensions")),
            _ => Err(Problem::Malformed("an array of an impossible number of dimensions")),
        }
    }
}

impl Decode for List {
    fn append(&mut self, cells: Cells<'_>) -> Result<(), Fault> {
        for (row, &at) in cells.at.iter().enumerate() {
            let cell = cells.get(at);
            let count = match cell {
                Some(cell) => self.find(cell, at + 4).map_err(|p| p.in_row(row))?,
                None => 0,
            };
            self.ends.push(count).map_err(|problem| problem.in_row(row))?;
            self.validity.push(u64::from(cell.is_some()), 1);
        }
        self.child.append(cells.data).map_err(|fault| self.ends.fault(fault, cells.len()))
    }

    fn truncate(&mut self, rows: usize) {
        self.child.truncate(self.ends.truncate(rows));
        self.validity.truncate(rows);
    }

    fn finish(&mut self) -> Result<ArrayRef, String> {
        let values = self.child.decode.finish()?;
        let nulls = self.validity.take_validity();
        ListArray::try_new(self.field.clone(), self.ends.take(), values, nulls)
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(|error| error.to_string())
    }

    fn bytes(&self) -> usize {
        self.ends.bytes() + self.child.decode.bytes()
    }
}

struct Composite {
    children: Vec<Child>,
    validity: Bits,
    fields: Fields,
}

/// A decoder of composites: `i32` number of fields; per field `u32` type and the value.
pub(super) fn composite(children: Vec<(Box<dyn Decode>, u32)>, fields: &Fields) -> Box<dyn Decode> {
    Box::new(Composite {
        children: children.into_iter().map(|(decode, oid)| Child::new(decode, oid)).collect(),
        validity: Bits::default(),
        fields: fields.clone(),
    })
}

impl Composite {
    fn find(&mut self, cell: &[u8], base: u32) -> Result<(), Problem> {
        let mut reader = Reader::new(cell);
        if usize::try_from(reader.int()?) != Ok(self.children.len()) {
            return Err(Problem::Malformed("a composite of another shape than the catalog says"));
        }
        for child in &mut self.children {
            child.expects(u32::from_be_bytes(reader.take()?))?;
            child.at.push(base + reader.cell()? as u32);
        }
        reader.end()
    }
}

impl Decode for Composite {
    fn append(&mut self, cells: Cells<'_>) -> Result<(), Fault> {
        for (row, &at) in cells.at.iter().enumerate() {
            let cell = cells.get(at);
            match cell {
                Some(cell) => self.find(cell, at + 4).map_err(|p| p.in_row(row))?,
                None => self.children.iter_mut().for_each(|child| child.at.push(ABSENT)),
            }
            self.validity.push(u64::from(cell.is_some()), 1);
        }
        self.children.iter_mut().try_for_each(|child| child.append(cells.data))
    }

    fn truncate(&mut self, rows: usize) {
        self.children.iter_mut().for_each(|child| child.truncate(rows));
        self.validity.truncate(rows);
    }

    fn finish(&mut self) -> Result<ArrayRef, String> {
        let columns = self
            .children
            .iter_mut()
            .map(|child| child.decode.finish())
            .collect::<Result<Vec<_>, _>>()?;
        StructArray::try_new(self.fields.clone(), columns, self.validity.take_validity())
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(|error| error.to_string())
    }

    fn bytes(&self) -> usize {
        self.children.iter().map(|child| child.decode.bytes()).sum()
    }
}

/// The type that a range over `bound` is read as. A bound that is NULL is none: the range has no
/// end there.
pub(in crate::extract::postgres) fn range_type(bound: &DataType) -> DataType {
    let boolean = |name| Field::new(name, DataType::Boolean, true);
    DataType::Struct(Fields::from(vec![
        Field::new("lower", bound.clone(), true),
        Field::new("upper", bound.clone(), true),
        boolean("lower_inclusive"),
        boolean("upper_inclusive"),
        boolean("empty"),
    ]))
}

struct Range {
    lower: Child,
    upper: Child,
    lower_inclusive: Bits,
    upper_inclusive: Bits,
    empty: Bits,
    validity: Bits,
    fields: Fields,
}

/// A decoder of ranges: `u8` flags, then the bounds that there are.
pub(super) fn range(
    lower: Box<dyn Decode>,
    upper: Box<dyn Decode>,
    fields: &Fields,
) -> Box<dyn Decode> {
    Box::new(Range {
        lower: Child::new(lower, 0),
        upper: Child::new(upper, 0),
        lower_inclusive: Bits::default(),
        upper_inclusive: Bits::default(),
        empty: Bits::default(),
        validity: Bits::default(),
        fields: fields.clone(),
    })
}

impl Range {
    const EMPTY: u8 = 1;
    const LOWER_INCLUSIVE: u8 = 2;
    const UPPER_INCLUSIVE: u8 = 4;
    const LOWER_INFINITE: u8 = 8;
    const UPPER_INFINITE: u8 = 16;

    /// Finds the bounds of one range; gives its flags.
    fn find(&mut self, cell: &[u8], base: u32) -> Result<u8, Problem> {
        let mut reader = Reader::new(cell);
        let [flags] = reader.take()?;
        let mut bound = |infinite: u8| -> Result<u32, Problem> {
            if flags & (Self::EMPTY | infinite) == 0 {
                Ok(base + reader.cell()? as u32)
            } else {
                Ok(ABSENT)
            }
        };
        let (lower, upper) = (bound(Self::LOWER_INFINITE)?, bound(Self::UPPER_INFINITE)?);
        reader.end()?;
        self.lower.at.push(lower);
        self.upper.at.push(upper);
        Ok(flags)
    }
}

impl Decode for Range {
    fn append(&mut self, cells: Cells<'_>) -> Result<(), Fault> {
        for (row, &at) in cells.at.iter().enumerate() {
            let cell = cells.get(at);
            let flags = if let Some(cell) = cell {
                self.find(cell, at + 4).map_err(|problem| problem.in_row(row))?
            } else {
                self.lower.at.push(ABSENT);
                self.upper.at.push(ABSENT);
                0
            };
            let flag = |flag: u8| u64::from(flags & flag != 0);
            self.lower_inclusive.push(flag(Self::LOWER_INCLUSIVE), 1);
            self.upper_inclusive.push(flag(Self::UPPER_INCLUSIVE), 1);
            self.empty.push(flag(Self::EMPTY), 1);
            self.validity.push(u64::from(cell.is_some()), 1);
        }
        self.lower.append(cells.data)?;
        self.upper.append(cells.data)
    }

    fn truncate(&mut self, rows: usize) {
        self.lower.truncate(rows);
        self.upper.truncate(rows);
        let flags = [&mut self.lower_inclusive, &mut self.upper_inclusive, &mut self.empty];
        flags.into_iter().for_each(|bits| bits.truncate(rows));
        self.validity.truncate(rows);
    }

    fn finish(&mut self) -> Result<ArrayRef, String> {
        let nulls = self.validity.take_validity();
        let flag =
            |bits: &mut Bits| Arc::new(BooleanArray::new(bits.take(), nulls.clone())) as ArrayRef;
        let columns = vec![
            self.lower.decode.finish()?,
            self.upper.decode.finish()?,
            flag(&mut self.lower_inclusive),
            flag(&mut self.upper_inclusive),
            flag(&mut self.empty),
        ];
        StructArray::try_new(self.fields.clone(), columns, nulls)
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(|error| error.to_string())
    }

    fn bytes(&self) -> usize {
        self.lower.decode.bytes() + self.upper.decode.bytes()
    }
}

/// The type that `hstore` is read as.
pub(in crate::extract::postgres) fn map_type() -> DataType {
    DataType::Map(map_entries(), false)
}

fn map_fields() -> Fields {
    Fields::from(vec![
        Field::new("key", DataType::Utf8View, false),
        Field::new("value", DataType::Utf8View, true),
    ])
}

fn map_entries() -> FieldRef {
    Arc::new(Field::new("key_value", DataType::Struct(map_fields()), false))
}

struct Map {
    keys: Child,
    values: Child,
    ends: Ends,
    validity: Bits,
}

/// A decoder of `hstore`: `i32` number of pairs; per pair the key and the value.
pub(super) fn map() -> Box<dyn Decode> {
    Box::new(Map {
        keys: Child::new(text::text(text::Form::Raw), 0),
        values: Child::new(text::text(text::Form::Raw), 0),
        ends: Ends::new(),
        validity: Bits::default(),
    })
}

impl Map {
    fn find(&mut self, cell: &[u8], base: u32) -> Result<usize, Problem> {
        let mut reader = Reader::new(cell);
        let count = reader.int()?;
        for _ in 0..count {
            let key = reader.cell()?;
            if cell.get(key..).and_then(<[u8]>::first_chunk) == Some(&[0xFF; 4]) {
                return Err(Problem::Malformed("a pair without a key"));
            }
            self.keys.at.push(base + key as u32);
            self.values.at.push(base + reader.cell()? as u32);
        }
        reader.end()?;
        usize::try_from(count).map_err(|_| Problem::Malformed("a negative number of pairs"))
    }
}

impl Decode for Map {
    fn append(&mut self, cells: Cells<'_>) -> Result<(), Fault> {
        for (row, &at) in cells.at.iter().enumerate() {
            let cell = cells.get(at);
            let count = match cell {
                Some(cell) => self.find(cell, at + 4).map_err(|p| p.in_row(row))?,
                None => 0,
            };
            self.ends.push(count).map_err(|problem| problem.in_row(row))?;
            self.validity.push(u64::from(cell.is_some()), 1);
        }
        let keys = self.keys.append(cells.data);
        keys.and_then(|()| self.values.append(cells.data))
            .map_err(|fault| self.ends.fault(fault, cells.len()))
    }

    fn truncate(&mut self, rows: usize) {
        let pairs = self.ends.truncate(rows);
        self.keys.truncate(pairs);
        self.values.truncate(pairs);
        self.validity.truncate(rows);
    }

    fn finish(&mut self) -> Result<ArrayRef, String> {
        let columns = vec![self.keys.decode.finish()?, self.values.decode.finish()?];
        let entries = StructArray::try_new(map_fields(), columns, None);
        let nulls = self.validity.take_validity();
        entries
            .and_then(|entries| {
                MapArray::try_new(map_entries(), self.ends.take(), entries, nulls, false)
            })
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(|error| error.to_string())
    }

    fn bytes(&self) -> usize {
        self.ends.bytes() + self.keys.decode.bytes() + self.values.decode.bytes()
    }
}
