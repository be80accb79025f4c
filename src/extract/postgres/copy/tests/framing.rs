//! The stream itself: how it is cut, what it must hold, and that nothing in it can hurt.

use proptest::prelude::*;

use super::{Cell, decode_payloads, decoder, natural, stream};
use crate::{
    error::ErrorKind,
    extract::postgres::{
        copy::Limits,
        pg_type::{PgKind, PgType, oid},
        wire::Block,
    },
};

fn types() -> Vec<PgType> {
    let decimal = PgType::new(oid::NUMERIC, "numeric(12,2)", (12 << 16 | 2) + 4, PgKind::Base);
    let int4 = || PgType::base(oid::INT4, "integer");
    let nested = |kind| PgType::new(0, "nested", -1, kind);
    vec![
        PgType::base(oid::INT8, "bigint"),
        decimal,
        PgType::base(oid::TEXT, "text"),
        nested(PgKind::Array(Box::new(int4()))),
        PgType::base(oid::BOOL, "boolean"),
        PgType::base(oid::NUMERIC, "numeric"),
        PgType::base(oid::INET, "inet"),
        PgType::base(oid::INTERVAL, "interval"),
        nested(PgKind::Range(Box::new(PgType::base(oid::DATE, "date")))),
        nested(PgKind::Composite(vec![("f".to_owned(), int4())])),
        PgType::base(70_000, "hstore"),
    ]
}

fn row(at: usize) -> Vec<Cell> {
    let numeric = vec![0, 2, 0, 0, 0, 0, 0, 2, 0, at as u8, 19, 136];
    let array = [
        &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 1, 0, 0, 0, 1][..],
        &[0, 0, 0, 4, 0, 0, 0, at as u8],
    ];
    let mut row = vec![
        Some((at as i64).to_be_bytes().to_vec()),
        Some(numeric.clone()),
        Some("é".repeat(at % 20).into_bytes()),
        Some(array.concat()),
        Some(vec![(at % 2) as u8]),
        Some(numeric),
        Some(vec![2, 32, 0, 4, 10, 0, 0, at as u8]),
        Some(vec![at as u8; 16]),
        Some(vec![2 | 16, 0, 0, 0, 4, 0, 0, 0, at as u8]),
        Some(vec![0, 0, 0, 1, 0, 0, 0, 23, 0, 0, 0, 4, 0, 0, 0, at as u8]),
        Some(vec![0, 0, 0, 1, 0, 0, 0, 1, b'k', 0, 0, 0, 1, b'v']),
    ];
    let nulls = row.len() + 1;
    if let Some(cell) = row.get_mut(at % nulls) {
        *cell = None;
    }
    row
}

fn sample() -> Vec<u8> {
    stream(&(0..20).map(row).collect::<Vec<_>>())
}

#[test]
fn a_stream_may_be_cut_anywhere() {
    let (types, bytes) = (types(), sample());
    let targets = natural(&types);
    let whole = decode_payloads(&types, &targets, &[&bytes]).unwrap();
    assert_eq!(whole.as_ref().map(arrow::array::RecordBatch::num_rows), Some(20));
    for cut in 0..=bytes.len() {
        let (front, back) = bytes.split_at(cut);
        let one_block = decode_payloads(&types, &targets, &[front, back]).unwrap();
        assert_eq!(one_block, whole, "cut at {cut}");
        let mut decoder = decoder(&types, &targets, Limits::default());
        decoder.feed(&Block::from_payloads([front])).unwrap();
        decoder.feed(&Block::from_payloads([back])).unwrap();
        let (last, rows) = decoder.finish().unwrap();
        assert_eq!((last.map(|last| last.batch), rows), (whole.clone(), 20), "cut at {cut}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(decode_payloads(&types, &targets, &single).unwrap(), whole);
}

#[test]
fn a_stream_ends_with_its_trailer_or_not_at_all() {
    let (types, bytes) = (types(), sample());
    let targets = natural(&types);
    for end in 0..bytes.len() {
        let mut decoder = decoder(&types, &targets, Limits::default());
        decoder.feed(&Block::from_payloads([&bytes[..end]])).unwrap();
        let error = decoder.finish().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "ended at {end}");
    }
    let after = [&bytes[..], &[0]].concat();
    let error = decode_payloads(&types, &targets, &[&after]).unwrap_err();
    insta::assert_snapshot!(error.what(), @"the copy stream holds bytes after the trailer");
    let error = decode_payloads(&types, &targets, &[&bytes, &[0]]).unwrap_err();
    insta::assert_snapshot!(error.what(), @"the copy stream holds bytes after the trailer");
}

#[test]
fn an_empty_table_has_no_batch() {
    let types = types();
    let bytes = stream(&[]);
    assert_eq!(decode_payloads(&types, &natural(&types), &[&bytes]).unwrap(), None);
}

#[test]
fn broken_streams_are_named() {
    let types = [PgType::base(oid::INT4, "integer")];
    let targets = natural(&types);
    let error = |bytes: &[u8]| decode_payloads(&types, &targets, &[bytes]).unwrap_err();
    let good = stream(&[vec![Some(vec![0, 0, 0, 1])]]);
    insta::assert_snapshot!(error(b"id,name\n1,a\n"), @"the copy stream holds no header of a binary copy: it is at row 1 of the stream");
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    insta::assert_snapshot!(error(&with(12, 1)), @"the copy stream holds a header with unknown flags: it is at row 1 of the stream");
    insta::assert_snapshot!(error(&with(20, 2)), @"the copy stream holds a row of another number of columns than was asked for: it is at row 1 of the stream");
    insta::assert_snapshot!(error(&with(21, 0x80)), @"the copy stream holds a value of a negative length: it is at row 1 of the stream");
}

#[test]
fn a_header_may_have_an_extension() {
    let types = [PgType::base(oid::INT4, "integer")];
    let good = stream(&[vec![Some(vec![0, 0, 0, 1])]]);
    let bytes = [&good[..15], &[0, 0, 0, 3, 9, 9, 9], &good[19..]].concat();
    for payloads in [vec![&bytes[..]], bytes.chunks(1).collect()] {
        let batch = decode_payloads(&types, &natural(&types), &payloads).unwrap();
        assert_eq!(batch.map(|batch| batch.num_rows()), Some(1));
    }
}

#[test]
fn batches_close_at_either_limit() {
    let types = [PgType::base(oid::INT8, "bigint"), PgType::base(oid::TEXT, "text")];
    let rows: Vec<_> = (0..10_000_i64)
        .map(|at| vec![Some(at.to_be_bytes().into()), Some(vec![b'x'; 40])])
        .collect();
    let bytes = stream(&rows);
    let sizes = |limits: Limits| {
        let mut decoder = decoder(&types, &natural(&types), limits);
        let mut sizes = Vec::new();
        for part in bytes.chunks(30_000) {
            decoder.feed(&Block::from_payloads([part])).unwrap();
            sizes.extend(std::iter::from_fn(|| decoder.take_batch()).map(|d| d.batch.num_rows()));
        }
        let (last, rows) = decoder.finish().unwrap();
        sizes.extend(last.map(|decoded| decoded.batch.num_rows()));
        assert_eq!((rows, sizes.iter().sum()), (10_000, 10_000));
        sizes
    };
    assert_eq!(sizes(Limits { rows: 4_000, bytes: usize::MAX }), [4_000, 4_000, 2_000]);
    assert_eq!(sizes(Limits { rows: usize::MAX, bytes: usize::MAX }), [10_000]);
    // A row takes 64 bytes: 8 of the number, 16 of the view and 40 of the text.
    let by_bytes = sizes(Limits { rows: usize::MAX, bytes: 128_000 });
    assert!(by_bytes.iter().rev().skip(1).all(|rows| (2_000..=3_024).contains(rows)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_in_a_stream_can_hurt(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..4),
    ) {
        let mut bytes = sample();
        for (at, byte) in changes {
            let len = bytes.len();
            // The header is another test's matter.
            bytes[19 + at.index(len - 19)] = byte;
        }
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        ends.extend([0, bytes.len()]);
        ends.sort_unstable();
        let payloads: Vec<&[u8]> = ends.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
        let types = types();
        let whole = decode_payloads(&types, &natural(&types), &[&bytes]);
        let cut = decode_payloads(&types, &natural(&types), &payloads);
        prop_assert_eq!(whole.ok(), cut.ok());
    }

    #[test]
    fn noise_can_not_hurt(noise in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let types = types();
        let bytes = [&stream(&[])[..19], &noise[..]].concat();
        prop_assert!(decode_payloads(&types, &natural(&types), &[&bytes]).is_err());
        for pg in &types {
            let types = std::slice::from_ref(pg);
            let cell = stream(&[vec![Some(noise.clone())]]);
            let _ = decode_payloads(types, &natural(types), &[&cell]);
        }
    }
}
