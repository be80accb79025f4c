//! Types that are made of others.

use super::{display, prefixed, shown, stream};
use crate::extract::postgres::{
    copy::{Decoded, Limits},
    pg_type::{PgKind, PgType, oid},
};

fn of(kind: PgKind) -> PgType {
    PgType::new(0, "t", -1, kind)
}

fn int4() -> PgType {
    PgType::base(oid::INT4, "integer")
}

fn text() -> PgType {
    PgType::base(oid::TEXT, "text")
}

fn array_of(element: PgType) -> PgType {
    of(PgKind::Array(Box::new(element)))
}

fn ints(numbers: &[i32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn array(element: u32, bounds: &[(i32, i32)], elements: &[Option<&[u8]>]) -> Vec<u8> {
    let mut bytes = ints(&[bounds.len() as i32, 1, element as i32]);
    for (size, lower) in bounds {
        bytes.extend(ints(&[*size, *lower]));
    }
    bytes.extend(prefixed(elements));
    bytes
}

#[test]
fn arrays_are_lists() {
    let pg = array_of(text());
    let cell = array(oid::TEXT, &[(3, 1)], &[Some(b"a"), None, Some(b"a longer text than 12")]);
    assert_eq!(shown(&pg, None, &cell).unwrap(), "[a, NULL, a longer text than 12]");
    assert_eq!(shown(&pg, None, &array(oid::TEXT, &[], &[])).unwrap(), "[]");
}

#[test]
fn arrays_of_other_shapes_stop_by_name() {
    let elements: [Option<&[u8]>; 2] = [Some(&[0, 0, 0, 1]), Some(&[0, 0, 0, 2])];
    let shape = |bounds: &[(i32, i32)]| {
        shown(&array_of(int4()), None, &array(oid::INT4, bounds, &elements)).unwrap_err()
    };
    insta::assert_snapshot!(shape(&[(1, 1), (2, 1)]), @"column `c0` holds an array of several dimensions, which a list can't: it is in row 1 of the stream");
    insta::assert_snapshot!(shape(&[(2, 0)]), @"column `c0` holds an array that does not begin at 1, which a list can't: it is in row 1 of the stream");
    for bounds in [&[(3, 1)][..], &[(-1, 1)], &[(1, 1)], &[(i32::MAX, 1)]] {
        assert!(shape(bounds).what().contains("arrived as"), "{bounds:?}");
    }
    let other = array(oid::FLOAT4, &[(2, 1)], &elements);
    let error = shown(&array_of(int4()), None, &other).unwrap_err();
    insta::assert_snapshot!(error, @"column `c0` arrived as a value of another type than the catalog says: it is in row 1 of the stream");
}

#[test]
fn a_fault_inside_is_told_with_the_row_outside() {
    let good = array(oid::DATE, &[(2, 1)], &[Some(&[0; 4]), None]);
    let bad = array(oid::DATE, &[(1, 1)], &[Some(&i32::MAX.to_be_bytes())]);
    let empty = array(oid::DATE, &[], &[]);
    let rows: Vec<_> =
        [Some(good), None, Some(empty), Some(bad)].into_iter().map(|cell| vec![cell]).collect();
    let pg = array_of(PgType::base(oid::DATE, "date"));
    let targets = super::natural(std::slice::from_ref(&pg));
    let error = super::decode_payloads(&[pg], &targets, &[&stream(&rows)]).unwrap_err();
    insta::assert_snapshot!(error, @"column `c0` holds infinity, which a list can't: it is in row 4 of the stream");
}

#[test]
fn composites_are_structs() {
    let pg = of(PgKind::Composite(vec![
        ("n".to_owned(), int4()),
        ("tags".to_owned(), array_of(text())),
    ]));
    let field =
        |oid: u32, cell: Option<&[u8]>| [&oid.to_be_bytes()[..], &prefixed(&[cell])].concat();
    let tags = array(oid::TEXT, &[(1, 1)], &[Some(b"x")]);
    let cell = [ints(&[2]), field(oid::INT4, Some(&[0, 0, 0, 7])), field(0, Some(&tags))].concat();
    assert_eq!(shown(&pg, None, &cell).unwrap(), "{n: 7, tags: [x]}");
    let nulls = [ints(&[2]), field(oid::INT4, None), field(0, None)].concat();
    assert_eq!(shown(&pg, None, &nulls).unwrap(), "{n: NULL, tags: NULL}");
    let other = [ints(&[1]), field(oid::INT4, None)].concat();
    assert!(shown(&pg, None, &other).is_err());
}

#[test]
fn ranges_are_structs_of_bounds() {
    let pg = of(PgKind::Range(Box::new(int4())));
    let range = |flags: u8, bounds: &[i32]| {
        let mut cell = vec![flags];
        for b in bounds {
            cell.extend(prefixed(&[Some(&b.to_be_bytes())]));
        }
        cell
    };
    let show = |cell: &[u8]| shown(&pg, None, cell).unwrap();
    insta::assert_snapshot!(show(&range(2, &[1, 5])), @"{lower: 1, upper: 5, lower_inclusive: true, upper_inclusive: false, empty: false}");
    insta::assert_snapshot!(show(&range(4 | 8, &[5])), @"{lower: NULL, upper: 5, lower_inclusive: false, upper_inclusive: true, empty: false}");
    insta::assert_snapshot!(show(&range(8 | 16, &[])), @"{lower: NULL, upper: NULL, lower_inclusive: false, upper_inclusive: false, empty: false}");
    insta::assert_snapshot!(show(&range(1, &[])), @"{lower: NULL, upper: NULL, lower_inclusive: false, upper_inclusive: false, empty: true}");
    assert!(shown(&pg, None, &range(2, &[1])).is_err());
    assert!(shown(&pg, None, &[]).is_err());

    let several = of(PgKind::Multirange(Box::new(int4())));
    let cell =
        [ints(&[2]), prefixed(&[Some(&range(2, &[1, 5])), Some(&range(2 | 16, &[9]))])].concat();
    let shown = shown(&several, None, &cell).unwrap();
    assert_eq!(shown.matches("lower:").count(), 2, "{shown}");
}

#[test]
fn hstores_are_maps() {
    let pg = PgType::base(70_000, "ext.hstore");
    let cell = [ints(&[2]), prefixed(&[Some(b"k"), Some(b"v"), Some(b"n"), None])].concat();
    assert_eq!(shown(&pg, None, &cell).unwrap(), "{k: v, n: NULL}");
    let keyless = [ints(&[1]), prefixed(&[None, None])].concat();
    assert!(shown(&pg, None, &keyless).is_err());
}

#[test]
fn domains_are_what_they_are_made_of() {
    let modifier = (12 << 16 | 2) + 4;
    let numeric = PgType::new(oid::NUMERIC, "numeric(12,2)", modifier, PgKind::Base);
    let pg = array_of(of(PgKind::Domain(Box::new(numeric))));
    let five: &[u8] = &[0, 1, 0, 0, 0, 0, 0, 2, 0, 5];
    let cell = array(0, &[(1, 1)], &[Some(five)]);
    assert_eq!(shown(&pg, None, &cell).unwrap(), "[5.00]");
}

#[test]
fn null_lists_and_structs_hold_over_batches() {
    let pg = array_of(int4());
    let targets = super::natural(std::slice::from_ref(&pg));
    let one = || array(oid::INT4, &[(1, 1)], &[Some(&[0, 0, 0, 1])]);
    let rows: Vec<_> = (0..10).map(|row| vec![(row % 3 != 0).then(one)]).collect();
    let mut decoder = super::decoder(&[pg], &targets, Limits { rows: 4, bytes: usize::MAX });
    let bytes = stream(&rows);
    decoder.feed(&crate::extract::postgres::wire::Block::from_payloads([&bytes[..]])).unwrap();
    let mut shown = Vec::new();
    while let Some(Decoded { batch, .. }) = decoder.take_batch() {
        assert_eq!(batch.num_rows(), 4);
        shown.extend(display(&batch));
    }
    shown.extend(display(&decoder.finish().unwrap().0.unwrap().batch));
    let expected: Vec<_> = (0..10).map(|row| if row % 3 == 0 { "NULL" } else { "[1]" }).collect();
    assert_eq!(shown, expected);
}
