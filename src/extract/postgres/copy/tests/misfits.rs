//! Values that don't fit: a column that bears them holds NULL in their place, and every other value
//! is what it would be without them.

use arrow::record_batch::RecordBatch;
use proptest::prelude::*;

use super::{Cell, natural, prefixed, schema, stream};
use crate::{
    config::OnMismatch,
    error::{ErrorKind, Result},
    extract::{
        Misfit,
        postgres::{
            copy::{Decoder, Limits, shown::shown},
            pg_type::{PgKind, PgType, oid},
            wire::Block,
        },
    },
};

fn base(number: u32) -> PgType {
    PgType::base(number, "t")
}

fn of(kind: PgKind) -> PgType {
    PgType::new(0, "t", -1, kind)
}

fn decimal() -> PgType {
    PgType::new(oid::NUMERIC, "numeric(12,2)", (12 << 16 | 2) + 4, PgKind::Base)
}

fn ints(numbers: &[i32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// An array of dates of one dimension.
fn dates(days: &[i32]) -> Vec<u8> {
    let mut bytes = ints(&[1, 0, oid::DATE as i32, days.len() as i32, 1]);
    days.iter().for_each(|day| bytes.extend(prefixed(&[Some(&day.to_be_bytes())])));
    bytes
}

/// A matrix of one row and two columns.
fn matrix() -> Vec<u8> {
    let mut bytes = ints(&[2, 0, oid::DATE as i32, 1, 1, 2, 1]);
    bytes.extend(prefixed(&[Some(&ints(&[0])), None]));
    bytes
}

fn range(day: i32) -> Vec<u8> {
    [vec![2 | 16], prefixed(&[Some(&day.to_be_bytes())])].concat()
}

fn composite(day: i32) -> Vec<u8> {
    [ints(&[1, oid::DATE as i32]), prefixed(&[Some(&day.to_be_bytes())])].concat()
}

fn pairs(value: &[u8]) -> Vec<u8> {
    [ints(&[1]), prefixed(&[Some(b"k"), Some(value)])].concat()
}

const INFINITY: i32 = i32::MAX;

/// A type, a value that fits and one that does not, and the latter as PostgreSQL prints it.
fn kinds() -> Vec<(PgType, Vec<u8>, Vec<u8>, &'static str)> {
    let day = || Box::new(base(oid::DATE));
    let field = ("day".to_owned(), base(oid::DATE));
    let one_cent = ints(&[0x0001_FFFF, 2, 0x0064_0000]);
    vec![
        (decimal(), one_cent[..10].to_vec(), vec![0, 0, 0, 0, 0xC0, 0, 0, 0], "NaN"),
        (base(oid::DATE), ints(&[1]), ints(&[i32::MIN]), "-infinity"),
        (base(oid::TIMESTAMPTZ), vec![0; 8], i64::MAX.to_be_bytes().to_vec(), "infinity"),
        (
            base(oid::INTERVAL),
            vec![0; 16],
            [i64::MAX.to_be_bytes().to_vec(), ints(&[i32::MAX, i32::MAX])].concat(),
            "infinity",
        ),
        (base(oid::TEXT), vec![b'a'; 40], [&[b'b'; 13][..], &[0xFF]].concat(), ""),
        (base(oid::BPCHAR), b"ab  ".to_vec(), b"\xFF ".to_vec(), "\\xff20"),
        (of(PgKind::Array(day())), dates(&[1, 2]), dates(&[1, INFINITY]), "{2000-01-02,infinity}"),
        (of(PgKind::Array(day())), dates(&[]), matrix(), "{{2000-01-01,NULL}}"),
        (of(PgKind::Range(day())), range(3), range(INFINITY), "[infinity,)"),
        (
            of(PgKind::Multirange(day())),
            [ints(&[1]), prefixed(&[Some(&range(3))])].concat(),
            [ints(&[2]), prefixed(&[Some(&range(3)), Some(&range(INFINITY))])].concat(),
            "{[2000-01-04,),[infinity,)}",
        ),
        (of(PgKind::Composite(vec![field])), composite(3), composite(INFINITY), "(infinity)"),
        (PgType::base(70_000, "hstore"), pairs(b"v"), pairs(b"\xFF"), ""),
    ]
}

/// All batches of a stream as one, and what did not fit, by the row of the stream.
fn decode(
    types: &[PgType],
    policy: OnMismatch,
    limits: Limits,
    payloads: &[&[u8]],
) -> Result<(RecordBatch, Vec<Misfit>, u64)> {
    let schema = schema(&natural(types));
    let columns: Vec<_> = types.iter().map(|pg| ("c".to_owned(), pg.clone())).collect();
    let decoder = Decoder::new(&columns, schema.clone(), limits)?;
    let mut decoder = decoder.on_mismatch(types.iter().map(|_| policy));
    let mut all = Vec::new();
    for payload in payloads {
        decoder.feed(&Block::from_payloads([*payload]))?;
        all.extend(std::iter::from_fn(|| decoder.take_batch()));
    }
    let (last, rows) = decoder.finish()?;
    all.extend(last);
    let (mut batches, mut misfits, mut before) = (Vec::new(), Vec::new(), 0);
    for decoded in all {
        misfits
            .extend(decoded.misfits.into_iter().map(|one| Misfit { row: before + one.row, ..one }));
        before += decoded.batch.num_rows();
        for column in decoded.batch.columns() {
            column.to_data().validate_full().unwrap();
        }
        batches.push(decoded.batch);
    }
    misfits.sort_by_key(|misfit| (misfit.row, misfit.column));
    Ok((arrow::compute::concat_batches(&schema, &batches).unwrap(), misfits, rows))
}

#[test]
fn each_kind_of_misfit_is_null_and_noted_and_its_neighbours_are_kept() {
    for (pg, good, bad, text) in kinds() {
        let types = std::slice::from_ref(&pg);
        // More rows than a tile holds, with misfits at the edges of tiles and batches.
        let is_bad = |row: usize| matches!(row, 0 | 63 | 64 | 1023 | 1024 | 1025 | 1999 | 2999);
        let cell = |row: usize, misfit: &Cell| match row {
            row if is_bad(row) => misfit.clone(),
            row if row % 7 == 3 => None,
            _ => Some(good.clone()),
        };
        let rows = |misfit: &Cell| {
            stream(&(0..3000).map(|row| vec![cell(row, misfit)]).collect::<Vec<_>>())
        };
        let limits = Limits { rows: 1500, bytes: usize::MAX };
        let (with, without) = (rows(&Some(bad.clone())), rows(&None));
        let (expected, none, _) = decode(types, OnMismatch::Error, limits, &[&without]).unwrap();
        assert_eq!(none, []);
        for policy in [OnMismatch::Null, OnMismatch::Quarantine] {
            let (found, misfits, rows) = decode(types, policy, limits, &[&with]).unwrap();
            assert_eq!((found, rows), (expected.clone(), 3000), "{pg:?}");
            let at: Vec<usize> = misfits.iter().map(|misfit| misfit.row).collect();
            assert_eq!(at, (0..3000).filter(|row| is_bad(*row)).collect::<Vec<_>>(), "{pg:?}");
            let hexadecimal = hexadecimal(&bad);
            let text = if text.is_empty() { &hexadecimal } else { text };
            assert!(misfits.iter().all(|misfit| misfit.value == text), "{:?}", misfits[0]);
            assert!(misfits[0].reason.starts_with("holds "), "{}", misfits[0].reason);
        }
        let error = decode(types, OnMismatch::Error, limits, &[&with]).unwrap_err();
        assert!(error.kind() == ErrorKind::Data && error.causes()[0].contains("row 1 "), "{error}");
    }
}

#[test]
fn a_broken_value_stops_whatever_the_column_bears() {
    let bytes = stream(&[vec![Some(ints(&[INFINITY]))], vec![Some(vec![1, 2, 3])]]);
    let error = decode(&[base(oid::DATE)], OnMismatch::Null, Limits::default(), &[&bytes]);
    insta::assert_snapshot!(error.unwrap_err(), @"column `c` arrived as a value of the wrong length: it is in row 2 of the stream");
}

#[test]
fn many_misfits_close_a_batch() {
    let rows: Vec<_> = (0..4096).map(|_| vec![Some(vec![0xFF; 100])]).collect();
    let limits = Limits { rows: usize::MAX, bytes: 200_000 };
    let columns = [("c".to_owned(), base(oid::TEXT))];
    let mut decoder = Decoder::new(&columns, schema(&natural(&[base(oid::TEXT)])), limits)
        .unwrap()
        .on_mismatch([OnMismatch::Null]);
    decoder.feed(&Block::from_payloads([&stream(&rows)[..]])).unwrap();
    let sizes: Vec<_> =
        std::iter::from_fn(|| decoder.take_batch()).map(|one| one.misfits.len()).collect();
    assert_eq!(sizes, [1024; 4], "each tile exceeds the limit with its misfits");
}

#[test]
fn values_are_shown_as_postgresql_prints_them() {
    let array = |element: u32| of(PgKind::Array(Box::new(base(element))));
    let texts = |texts: &[Option<&[u8]>]| {
        [ints(&[1, 0, oid::TEXT as i32, texts.len() as i32, 1]), prefixed(texts)].concat()
    };
    let from_five =
        [ints(&[1, 0, oid::INT4 as i32, 1, 5]), prefixed(&[Some(&ints(&[7]))])].concat();
    let liar = ints(&[2, 0, oid::INT4 as i32, i32::MAX, 1, i32::MAX, 1]);
    for (pg, cell, expected) in [
        (base(oid::BOOL), vec![1], "t"),
        (base(oid::INT2), vec![0xFF, 0xFE], "-2"),
        (base(oid::OID), vec![0xFF; 4], "4294967295"),
        (base(oid::FLOAT8), 0.1_f64.to_be_bytes().to_vec(), "0.1"),
        (base(oid::DATE), ints(&[-1]), "1999-12-31"),
        (base(oid::TIMESTAMPTZ), 1_500_000_i64.to_be_bytes().to_vec(), "2000-01-01 00:00:01.5+00"),
        (base(oid::TIMESTAMP), (i64::MAX - 1).to_be_bytes().to_vec(), "\\x7ffffffffffffffe"),
        (array(oid::INT4), from_five, "[5:5]={7}"),
        (array(oid::INT4), liar.clone(), &*hexadecimal(&liar)),
        (
            array(oid::TEXT),
            texts(&[Some(b"a b"), Some(b"\"\\"), Some(b""), Some(b"null"), None]),
            r#"{"a b","\"\\","","null",NULL}"#,
        ),
    ] {
        assert_eq!(shown(&pg, &cell), expected, "{pg:?}");
    }
}

/// What stands for bytes that have no text.
fn hexadecimal(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\\x{}", digits.concat())
}

proptest! {
    /// However misfits lie and the stream is cut, rows in = rows out, and each misfit is noted once.
    #[test]
    fn no_row_goes_missing(
        cells in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 1..300),
        cut in any::<prop::sample::Index>(),
        rows in 1_usize..200,
    ) {
        let kinds: Vec<_> = kinds().into_iter().skip(4).step_by(2).take(3).collect();
        let types: Vec<_> = kinds.iter().map(|(pg, ..)| pg.clone()).collect();
        let row = |(a, b, c): &(bool, bool, bool)| -> Vec<Cell> {
            [a, b, c]
                .into_iter()
                .zip(&kinds)
                .map(|(fits, (_, good, bad, _))| Some(if *fits { good.clone() } else { bad.clone() }))
                .collect()
        };
        let bytes = stream(&cells.iter().map(row).collect::<Vec<_>>());
        let (front, back) = bytes.split_at(cut.index(bytes.len()));
        let limits = Limits { rows, bytes: usize::MAX };
        let (batch, misfits, counted) =
            decode(&types, OnMismatch::Quarantine, limits, &[front, back]).unwrap();
        prop_assert_eq!((batch.num_rows(), counted), (cells.len(), cells.len() as u64));
        let noted: Vec<_> = misfits.iter().map(|misfit| (misfit.row, misfit.column)).collect();
        let expected: Vec<_> = cells
            .iter()
            .enumerate()
            .flat_map(|(row, (a, b, c))| {
                [a, b, c].into_iter().enumerate().filter(|(_, fits)| !**fits).map(move |(at, _)| (row, at))
            })
            .collect();
        prop_assert_eq!(noted, expected);
        for (row, column) in (0..cells.len()).flat_map(|row| (0..3).map(move |column| (row, column))) {
            let is_misfit = misfits.iter().any(|one| (one.row, one.column) == (row, column));
            prop_assert_eq!(arrow::array::Array::is_null(batch.column(column), row), is_misfit);
        }
    }
}
