//! Every type that is not made of others.

use arrow::datatypes::DataType;

use super::{column, shown};
use crate::{
    extract::postgres::pg_type::{PgKind, PgType, oid},
    types::ColumnType,
};

fn base(number: u32) -> PgType {
    PgType::base(number, "t")
}

fn decimal(precision: i32, scale: i32) -> PgType {
    let modifier = (precision << 16 | scale & 0x7FF) + 4;
    PgType::new(oid::NUMERIC, format!("numeric({precision},{scale})"), modifier, PgKind::Base)
}

/// `numeric` as it travels.
fn numeric(weight: i16, sign: u16, display_scale: u16, digits: &[i16]) -> Vec<u8> {
    let mut bytes = (digits.len() as i16).to_be_bytes().to_vec();
    bytes.extend(weight.to_be_bytes());
    bytes.extend(sign.to_be_bytes());
    bytes.extend(display_scale.to_be_bytes());
    for digit in digits {
        bytes.extend(digit.to_be_bytes());
    }
    bytes
}

#[test]
fn every_type_has_its_value() {
    let cases: Vec<(u32, Vec<u8>, &str)> = vec![
        (oid::BOOL, vec![1], "true"),
        (oid::BOOL, vec![0], "false"),
        (oid::INT2, (-2_i16).to_be_bytes().to_vec(), "-2"),
        (oid::INT4, i32::MIN.to_be_bytes().to_vec(), "-2147483648"),
        (oid::INT8, i64::MAX.to_be_bytes().to_vec(), "9223372036854775807"),
        (oid::OID, u32::MAX.to_be_bytes().to_vec(), "4294967295"),
        (oid::XID, 7_u32.to_be_bytes().to_vec(), "7"),
        (oid::FLOAT4, 1.5_f32.to_be_bytes().to_vec(), "1.5"),
        (oid::FLOAT8, f64::NAN.to_be_bytes().to_vec(), "NaN"),
        (oid::FLOAT8, f64::NEG_INFINITY.to_be_bytes().to_vec(), "-inf"),
        (oid::TEXT, b"short".to_vec(), "short"),
        (oid::TEXT, "longer than a view, with é".into(), "longer than a view, with é"),
        (oid::TEXT, Vec::new(), ""),
        (oid::BPCHAR, b"a  ".to_vec(), "a"),
        (oid::BPCHAR, b"   ".to_vec(), ""),
        (
            oid::BPCHAR,
            b" a long value, padded to its length     ".to_vec(),
            " a long value, padded to its length",
        ),
        (oid::NAME, b"n".to_vec(), "n"),
        (oid::JSON, b"{\"a\":  1}".to_vec(), "{\"a\":  1}"),
        (oid::JSONB, b"\x01{\"a\": 1}".to_vec(), "{\"a\": 1}"),
        (oid::CHAR, b"x".to_vec(), "x"),
        (oid::CHAR, vec![0], ""),
        (oid::CHAR, vec![0xE9], "\\351"),
        (oid::BYTEA, vec![0, 255], "00ff"),
        (oid::DATE, 0_i32.to_be_bytes().to_vec(), "2000-01-01"),
        (oid::DATE, (-10_958_i32).to_be_bytes().to_vec(), "1969-12-31"),
        (oid::DATE, (-730_487_i32).to_be_bytes().to_vec(), "-0001-12-30"),
        (oid::DATE, 2_921_940_i32.to_be_bytes().to_vec(), "+10000-01-01"),
        (oid::TIMESTAMP, 1_i64.to_be_bytes().to_vec(), "2000-01-01T00:00:00.000001"),
        (oid::TIMESTAMPTZ, (-1_i64).to_be_bytes().to_vec(), "1999-12-31T23:59:59.999999"),
        (oid::TIME, 86_400_000_000_i64.to_be_bytes().to_vec(), "24:00:00"),
        (oid::UUID, vec![0xAB; 16], "abababab-abab-abab-abab-abababababab"),
        (oid::INET, vec![2, 8, 0, 4, 10, 0, 0, 0], "10.0.0.0/8"),
        (oid::VARBIT, vec![0, 0, 0, 3, 0b1010_0000], "101"),
        (oid::MACADDR, vec![1, 2, 3, 4, 5, 6], "01:02:03:04:05:06"),
        (oid::MONEY, b"12.34".to_vec(), "12.34"),
        (99_999, b"(1,2)".to_vec(), "(1,2)"),
    ];
    for (number, cell, expected) in cases {
        assert_eq!(shown(&base(number), None, &cell).unwrap(), expected, "{number} {cell:?}");
    }
}

#[test]
fn intervals_keep_their_parts() {
    let cell = [&5_i64.to_be_bytes()[..], &(-3_i32).to_be_bytes(), &14_i32.to_be_bytes()].concat();
    let value = shown(&base(oid::INTERVAL), None, &cell).unwrap();
    assert_eq!(value, "{months: 14, days: -3, micros: 5}");
    let infinite =
        [&i64::MAX.to_be_bytes()[..], &i32::MAX.to_be_bytes(), &i32::MAX.to_be_bytes()].concat();
    assert!(shown(&base(oid::INTERVAL), None, &infinite).is_err());
}

#[test]
fn numerics_are_exact() {
    let cases: Vec<(i32, i32, Vec<u8>, &str)> = vec![
        (12, 2, numeric(1, 0, 2, &[1, 2345, 6700]), "12345.67"),
        (12, 2, numeric(1, 0x4000, 2, &[1, 2345, 6700]), "-12345.67"),
        (12, 2, numeric(0, 0, 2, &[]), "0.00"),
        (12, 2, numeric(-1, 0, 2, &[500]), "0.05"),
        (12, 2, numeric(2, 0, 2, &[1]), "100000000.00"),
        (5, 4, numeric(0, 0, 4, &[1, 1]), "1.0001"),
        (6, 5, numeric(-2, 0, 5, &[1000]), "0.00001"),
        (9, 8, numeric(-2, 0, 8, &[1]), "0.00000001"),
        (9, 6, numeric(0, 0, 6, &[999, 9999, 9900]), "999.999999"),
        (18, 0, numeric(4, 0, 0, &[99, 9999, 9999, 9999, 9999]), "999999999999999999"),
        (
            38,
            0,
            numeric(9, 0x4000, 0, &[99, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999]),
            "-99999999999999999999999999999999999999",
        ),
        (
            38,
            37,
            numeric(0, 0, 37, &[9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1000]),
            "9.0001000200030004000500060007000800091",
        ),
        (5, -3, numeric(1, 0, 0, &[1234, 5000]), "12345000"),
        (3, 5, numeric(-1, 0, 5, &[12, 3000]), "0.00123"),
    ];
    for (precision, scale, cell, expected) in cases {
        let pg = decimal(precision, scale);
        assert_eq!(shown(&pg, None, &cell).unwrap(), expected, "{}", pg.name);
    }
}

#[test]
fn numerics_without_scale_are_text() {
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (numeric(0, 0, 0, &[]), "0"),
        (numeric(0, 0, 3, &[]), "0.000"),
        (numeric(1, 0x4000, 4, &[1, 5, 600]), "-10005.0600"),
        (numeric(2, 0, 0, &[1]), "100000000"),
        (numeric(-2, 0, 12, &[12]), "0.000000120000"),
        (numeric(0, 0xC000, 0, &[]), "NaN"),
        (numeric(0, 0xD000, 0, &[]), "Infinity"),
        (numeric(0, 0xF000, 0, &[]), "-Infinity"),
    ];
    for (cell, expected) in cases {
        assert_eq!(shown(&base(oid::NUMERIC), None, &cell).unwrap(), expected);
    }
}

#[test]
fn casts_are_exact_or_refused() {
    let int8 = |value: i64| value.to_be_bytes().to_vec();
    let cases: Vec<(u32, ColumnType, Vec<u8>, Option<&str>)> = vec![
        (oid::INT8, ColumnType::Integer, int8(7), Some("7")),
        (oid::INT8, ColumnType::Integer, int8(1 << 31), None),
        (oid::INT2, ColumnType::BigInt, vec![0xFF, 0xFF], Some("-1")),
        (oid::INT8, ColumnType::Double, int8(1 << 53), Some("9007199254740992.0")),
        (oid::INT8, ColumnType::Double, int8((1 << 53) + 1), None),
        (oid::INT8, ColumnType::Double, int8(i64::MAX), None),
        (oid::INT4, ColumnType::Real, 16_777_217_i32.to_be_bytes().to_vec(), None),
        (oid::INT8, ColumnType::Decimal(5, 2), int8(999), Some("999.00")),
        (oid::INT8, ColumnType::Decimal(5, 2), int8(1000), None),
        (oid::INT8, ColumnType::Decimal(38, 38), int8(i64::MIN), None),
        (oid::FLOAT4, ColumnType::Double, 0.5_f32.to_be_bytes().to_vec(), Some("0.5")),
        (oid::FLOAT8, ColumnType::Real, 0.5_f64.to_be_bytes().to_vec(), Some("0.5")),
        (oid::FLOAT8, ColumnType::Real, 0.1_f64.to_be_bytes().to_vec(), None),
        (oid::FLOAT8, ColumnType::Real, 1e300_f64.to_be_bytes().to_vec(), None),
        (oid::NUMERIC, ColumnType::BigInt, numeric(0, 0, 2, &[5]), Some("5")),
        (oid::NUMERIC, ColumnType::BigInt, numeric(0, 0, 2, &[5, 1000]), None),
        (oid::NUMERIC, ColumnType::SmallInt, numeric(1, 0, 0, &[3, 2768]), None),
        (oid::NUMERIC, ColumnType::SmallInt, numeric(1, 0x4000, 0, &[3, 2768]), Some("-32768")),
        (oid::NUMERIC, ColumnType::Decimal(4, 1), numeric(0, 0, 2, &[5, 1000]), Some("5.1")),
        (oid::NUMERIC, ColumnType::Decimal(4, 1), numeric(0, 0, 2, &[5, 1100]), None),
        (oid::NUMERIC, ColumnType::Decimal(4, 1), numeric(0, 0, 0, &[1000]), None),
        (oid::NUMERIC, ColumnType::Decimal(4, 1), numeric(i16::MAX, 0, 0, &[1]), None),
        (oid::NUMERIC, ColumnType::Decimal(4, 1), numeric(i16::MIN, 0, 0, &[1]), None),
        (oid::NUMERIC, ColumnType::Decimal(4, 1), numeric(0, 0xD000, 0, &[]), None),
        (oid::MONEY, ColumnType::Decimal(10, 2), numeric(0, 0, 2, &[5, 1200]), Some("5.12")),
        (oid::TIMESTAMP, ColumnType::Date, int8(86_400_000_000), Some("2000-01-02")),
        (oid::TIMESTAMP, ColumnType::Date, int8(1), None),
        (oid::TIMESTAMP, ColumnType::TimestampNtz, int8(0), Some("2000-01-01T00:00:00")),
        (oid::DATE, ColumnType::Timestamp, vec![0; 4], Some("2000-01-01T00:00:00")),
        (oid::TEXT, ColumnType::Binary, b"a".to_vec(), Some("61")),
        (oid::INT4, ColumnType::Text, b"42".to_vec(), Some("42")),
    ];
    for (number, to, cell, expected) in cases {
        let pg = base(number);
        assert_eq!(shown(&pg, Some(to.arrow()), &cell).ok().as_deref(), expected, "{number} {to}");
    }
}

#[test]
fn what_does_not_fit_stops_by_name_and_without_the_value() {
    let nan = shown(&decimal(12, 2), None, &numeric(0, 0xC000, 0, &[])).unwrap_err();
    insta::assert_snapshot!(nan, @"column `c0` holds NaN, which `decimal(12,2)` can't: it is in row 1 of the stream");
    insta::assert_snapshot!(nan.hints().join("\n"), @"
    read it as text: `columns: {cast: {c0: text}}`
    or go on without such values: `columns: {on_mismatch: {c0: quarantine}}`
    ");
    for (number, cell) in [
        (oid::DATE, i32::MAX.to_be_bytes().to_vec()),
        (oid::DATE, i32::MIN.to_be_bytes().to_vec()),
        (oid::TIMESTAMP, i64::MAX.to_be_bytes().to_vec()),
        (oid::TIMESTAMPTZ, i64::MIN.to_be_bytes().to_vec()),
    ] {
        let error = shown(&base(number), None, &cell).unwrap_err().to_string();
        assert!(error.contains("holds infinity"), "{error}");
    }
    let late = shown(&base(oid::TIMESTAMP), None, &(i64::MAX - 1).to_be_bytes()).unwrap_err();
    insta::assert_snapshot!(late, @"column `c0` holds a moment out of range, which `timestamp` can't: it is in row 1 of the stream");
}

#[test]
fn bytes_of_another_type_are_noticed() {
    for (number, cell) in [
        (oid::INT4, vec![0; 3]),
        (oid::INT8, vec![0; 4]),
        (oid::BOOL, vec![]),
        (oid::UUID, vec![0; 15]),
        (oid::JSONB, vec![2, b'1']),
        (oid::JSONB, vec![]),
        (oid::NUMERIC, vec![0; 7]),
        (oid::NUMERIC, numeric(0, 0x1234, 0, &[1])),
        (oid::NUMERIC, numeric(0, 0, 0, &[10_000])),
        (oid::INTERVAL, vec![0; 15]),
        (oid::INET, vec![9, 0, 0, 4, 1, 2, 3, 4]),
        (oid::INET, vec![2, 33, 0, 4, 1, 2, 3, 4]),
    ] {
        assert!(shown(&base(number), None, &cell).is_err(), "{number} {cell:?}");
    }
    let decimals = shown(&decimal(12, 2), None, &numeric(0, 0, 0, &[-1]));
    assert!(decimals.is_err());
}

#[test]
fn text_is_utf8_or_refused() {
    let long_broken = [&[b'a'; 20][..], &[0xE9]].concat();
    // The bytes of one character, cut between two values, would be UTF-8 together.
    let halves = [[&[b'a'; 20][..], &[0xC3]].concat(), [&[0xA9][..], &[b'a'; 20]].concat()];
    let good = || Some(b"fine".to_vec());
    for cells in [
        vec![good(), Some(vec![0xE9])],
        vec![good(), Some(long_broken)],
        vec![Some(halves[0].clone()), Some(halves[1].clone())],
    ] {
        let error = column(&base(oid::TEXT), &DataType::Utf8View, &cells).unwrap_err();
        assert!(error.what().contains("not UTF-8"), "{error}");
    }
}

#[test]
fn nulls_lie_where_they_should() {
    for rows in [1, 63, 64, 65, 127, 128, 129, 3000] {
        for null in [0, 62, 63, 64, 65, 127, 128, rows - 1] {
            let null = null.min(rows - 1);
            for (number, cell) in
                [(oid::INT4, vec![0, 0, 0, 1]), (oid::BOOL, vec![1]), (oid::TEXT, b"x".to_vec())]
            {
                let cells: Vec<_> =
                    (0..rows).map(|row| (row != null).then(|| cell.clone())).collect();
                let target = super::natural(&[base(number)]).remove(0);
                let batch = column(&base(number), &target, &cells).unwrap();
                let nulls: Vec<_> = (0..rows).filter(|row| batch.column(0).is_null(*row)).collect();
                assert_eq!(nulls, [null], "{number}, {rows} rows");
            }
        }
    }
}
