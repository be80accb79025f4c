//! Single values as text, for the record of those that did not fit: what no column type of ours
//! holds, as PostgreSQL itself would print it. Nothing here is on the way of values that fit.

use std::fmt::Write as _;

use arrow::{array::AsArray, datatypes::DataType};

use super::{
    cells::{Cells, Problem, Reader},
    plan::{Via, plan},
};
use crate::extract::postgres::pg_type::{PgKind, PgType, oid};

/// The value of type `pg` whose bytes are `cell`, as text; `\x` and its bytes in hexadecimal where
/// it has no text here.
pub(super) fn shown(pg: &PgType, cell: &[u8]) -> String {
    text(pg, cell).unwrap_or_else(|| hexadecimal(cell))
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

fn text(pg: &PgType, cell: &[u8]) -> Option<String> {
    match &pg.kind {
        PgKind::Domain(inner) => text(inner, cell),
        PgKind::Base => base(pg, cell),
        PgKind::Enum => Some(str::from_utf8(cell).ok()?.to_owned()),
        PgKind::Array(element) => array(element, cell),
        PgKind::Composite(fields) => composite(fields, cell),
        PgKind::Range(bound) => range(bound, cell),
        PgKind::Multirange(bound) => multirange(bound, cell),
        PgKind::Unsendable => None,
    }
}

fn base(pg: &PgType, cell: &[u8]) -> Option<String> {
    match pg.oid {
        oid::BOOL => Some(if cell == [0] { "f" } else { "t" }.to_owned()),
        oid::INT2 => Some(i16::from_be_bytes(cell.try_into().ok()?).to_string()),
        oid::INT4 => Some(i32::from_be_bytes(cell.try_into().ok()?).to_string()),
        oid::INT8 => Some(i64::from_be_bytes(cell.try_into().ok()?).to_string()),
        oid::OID | oid::XID | oid::CID => {
            Some(u32::from_be_bytes(cell.try_into().ok()?).to_string())
        }
        oid::FLOAT4 => Some(format!("{:?}", f32::from_be_bytes(cell.try_into().ok()?))),
        oid::FLOAT8 => Some(format!("{:?}", f64::from_be_bytes(cell.try_into().ok()?))),
        oid::DATE => date(i32::from_be_bytes(cell.try_into().ok()?)),
        oid::TIMESTAMP => moment(i64::from_be_bytes(cell.try_into().ok()?)),
        oid::TIMESTAMPTZ => {
            let text = moment(i64::from_be_bytes(cell.try_into().ok()?))?;
            Some(if text.ends_with("infinity") { text } else { text + "+00" })
        }
        oid::INTERVAL => interval(cell),
        _ => as_column(pg, cell),
    }
}

/// What a column of text makes of the value.
fn as_column(pg: &PgType, cell: &[u8]) -> Option<String> {
    let mut plan = plan(pg, &DataType::Utf8View).filter(|plan| plan.via == Via::Itself)?;
    let mut data = u32::try_from(cell.len()).ok()?.to_be_bytes().to_vec();
    data.extend_from_slice(cell);
    plan.decode.append(Cells { data: &data, at: &[0] }).ok()?;
    let column = plan.decode.finish().ok()?;
    Some(column.as_string_view_opt()?.value(0).to_owned())
}

fn infinity(is_late: bool) -> Option<String> {
    Some(if is_late { "infinity" } else { "-infinity" }.to_owned())
}

fn date(days: i32) -> Option<String> {
    if matches!(days, i32::MIN | i32::MAX) {
        return infinity(days > 0);
    }
    let span = jiff::Span::new().try_days(days).ok()?;
    Some(jiff::civil::date(2000, 1, 1).checked_add(span).ok()?.to_string())
}

fn moment(micros: i64) -> Option<String> {
    if matches!(micros, i64::MIN | i64::MAX) {
        return infinity(micros > 0);
    }
    let span = jiff::Span::new().try_microseconds(micros).ok()?;
    let moment = jiff::civil::datetime(2000, 1, 1, 0, 0, 0, 0).checked_add(span).ok()?;
    Some(moment.to_string().replace('T', " "))
}

/// Only its infinities never fit.
fn interval(cell: &[u8]) -> Option<String> {
    const LATEST: [u8; 16] =
        [0x7F, 255, 255, 255, 255, 255, 255, 255, 0x7F, 255, 255, 255, 0x7F, 255, 255, 255];
    const EARLIEST: [u8; 16] = [0x80, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0x80, 0, 0, 0];
    match <[u8; 16]>::try_from(cell).ok()? {
        LATEST => infinity(true),
        EARLIEST => infinity(false),
        _ => None,
    }
}

/// The bytes of the next value inside another; `None` is NULL.
fn next<'a>(reader: &mut Reader<'_>, cell: &'a [u8]) -> Result<Option<&'a [u8]>, Problem> {
    let at = reader.cell()?;
    Ok(Cells { data: cell, at: &[] }.get(at as u32))
}

/// `{1,NULL,"a b"}`, in as many dimensions as there are, and with the bounds that are not 1.
fn array(element: &PgType, cell: &[u8]) -> Option<String> {
    let mut reader = Reader::new(cell);
    let dimensions = usize::try_from(reader.int().ok()?).ok()?;
    reader.take::<8>().ok()?;
    let mut sizes = Vec::new();
    let (mut bounds, mut is_usual) = (String::new(), true);
    for _ in 0..dimensions {
        let (size, lower) = (reader.int().ok()?, reader.int().ok()?);
        is_usual &= lower == 1;
        write!(bounds, "[{lower}:{}]", i64::from(lower) + i64::from(size) - 1).ok()?;
        sizes.push(usize::try_from(size).ok()?);
    }
    if sizes.is_empty() {
        return Some("{}".to_owned());
    }
    // Each element takes a length prefix at least, so sizes that lie are found before they cost.
    let count = sizes.iter().try_fold(1_usize, |all, size| all.checked_mul(*size))?;
    if count == 0 || count > cell.len() / 4 {
        return None;
    }
    let mut out = if is_usual { String::new() } else { bounds + "=" };
    elements(element, &sizes, (&mut reader, cell), &mut out)?;
    Some(out)
}

fn elements(
    element: &PgType,
    sizes: &[usize],
    (reader, cell): (&mut Reader<'_>, &[u8]),
    out: &mut String,
) -> Option<()> {
    let (size, inner) = sizes.split_first()?;
    out.push('{');
    for at in 0..*size {
        if at > 0 {
            out.push(',');
        }
        if !inner.is_empty() {
            elements(element, inner, (&mut *reader, cell), out)?;
            continue;
        }
        match next(reader, cell).ok()? {
            None => out.push_str("NULL"),
            Some(value) => quoted(&shown(element, value), "{},\"\\", "\\\"", out),
        }
    }
    out.push('}');
    Some(())
}

/// Appends `text`, in quotes where it is empty, could be taken for NULL, or holds blanks or one of
/// `special`; a quote inside is written as `quote`.
fn quoted(text: &str, special: &str, quote: &str, out: &mut String) {
    let is_plain = !text.is_empty()
        && !text.eq_ignore_ascii_case("null")
        && !text.contains(|c: char| c.is_ascii_whitespace() || special.contains(c));
    if is_plain {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str(quote),
            '\\' => out.push_str("\\\\"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// `(1,,"a b")`.
fn composite(fields: &[(String, PgType)], cell: &[u8]) -> Option<String> {
    let mut reader = Reader::new(cell);
    reader.int().ok()?;
    let mut out = String::new();
    for (_, pg) in fields {
        reader.take::<4>().ok()?;
        out.push(if out.is_empty() { '(' } else { ',' });
        if let Some(value) = next(&mut reader, cell).ok()? {
            quoted(&shown(pg, value), "(),\"\\", "\"\"", &mut out);
        }
    }
    Some(out + ")")
}

/// `[1,10)`, `empty`.
fn range(bound: &PgType, cell: &[u8]) -> Option<String> {
    let mut reader = Reader::new(cell);
    let [flags] = reader.take().ok()?;
    if flags & 1 != 0 {
        return Some("empty".to_owned());
    }
    let mut out = if flags & 2 != 0 { "[" } else { "(" }.to_owned();
    for (infinite, end) in [(8, ","), (16, if flags & 4 != 0 { "]" } else { ")" })] {
        if flags & infinite == 0
            && let Some(value) = next(&mut reader, cell).ok()?
        {
            quoted(&shown(bound, value), "()[],\"\\", "\"\"", &mut out);
        }
        out.push_str(end);
    }
    Some(out)
}

fn multirange(bound: &PgType, cell: &[u8]) -> Option<String> {
    let mut reader = Reader::new(cell);
    let mut ranges = Vec::new();
    for _ in 0..reader.int().ok()? {
        ranges.push(range(bound, next(&mut reader, cell).ok()??)?);
    }
    Some(format!("{{{}}}", ranges.join(",")))
}
