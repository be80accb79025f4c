use super::*;
use crate::types::canonical_schema;

fn base(number: u32, name: &str) -> PgType {
    PgType::base(number, name)
}

fn of(kind: PgKind) -> PgType {
    PgType::new(0, "t", -1, kind)
}

fn numeric(precision: i32, scale: i32) -> PgType {
    let modifier = (precision << 16 | scale & 0x7FF) + 4;
    PgType::new(oid::NUMERIC, format!("numeric({precision},{scale})"), modifier, PgKind::Base)
}

fn boxed(pg: PgType) -> Box<PgType> {
    Box::new(pg)
}

#[test]
fn the_table_of_types_is_what_the_code_does() {
    let table: Vec<String> = type_table()
        .iter()
        .map(|row| format!("{} | {} | {} | {}", row.postgres, row.arrow, row.delta, row.outcome))
        .collect();
    insta::assert_snapshot!(table.join("\n"), @r#"
    boolean | Boolean | boolean | exact
    smallint | Int16 | short | exact
    integer | Int32 | integer | exact
    bigint | Int64 | long | exact
    oid, xid, cid | Int64 | long | exact
    real | Float32 | float | exact
    double precision | Float64 | double | exact
    numeric(12,2), up to 38 digits | Decimal128(12, 2) | decimal(12,2) | guarded
    numeric(5,-3) | Decimal128(8, 0) | decimal(8,0) | guarded
    numeric(3,5) | Decimal128(5, 5) | decimal(5,5) | guarded
    numeric, or more than 38 digits | Utf8View | string | kept
    money | Utf8View | string | kept
    text, varchar, name, json, xml | Utf8View | string | exact
    char(n) | Utf8View | string | kept
    "char" | Utf8View | string | kept
    citext | Utf8View | string | kept
    jsonb | Utf8View | string | kept
    enum | Utf8View | string | kept
    bytea | BinaryView | binary | exact
    date | Date32 | date | guarded
    timestamp | Timestamp(µs, "UTC") | timestamp | guarded
    timestamptz | Timestamp(µs, "UTC") | timestamp | guarded
    time, timetz | Utf8View | string | kept
    interval | Struct<months: Int32, days: Int32, micros: Int64> | struct<months: integer, days: integer, micros: long> | guarded
    uuid | Utf8View | string | kept
    inet, cidr, macaddr, macaddr8 | Utf8View | string | kept
    bit, varbit | Utf8View | string | kept
    integer[] | List<Int32> | array<integer> | guarded
    int4range | Struct<lower: Int32, upper: Int32, lower_inclusive: Boolean, upper_inclusive: Boolean, empty: Boolean> | struct<lower: integer, upper: integer, lower_inclusive: boolean, upper_inclusive: boolean, empty: boolean> | kept
    int4multirange | List<Struct<lower: Int32, upper: Int32, lower_inclusive: Boolean, upper_inclusive: Boolean, empty: Boolean>> | array<struct<lower: integer, upper: integer, lower_inclusive: boolean, upper_inclusive: boolean, empty: boolean>> | kept
    composite | Struct<f: Int32> | struct<f: integer> | exact
    hstore | Map<Utf8View, Utf8View> | map<string, string> | kept
    domain | Int32 | integer | exact
    point, tsvector, ltree and all others | Utf8View | string | kept
    "#);
    assert!(type_table().iter().all(|row| (row.outcome == "exact") == row.note.is_empty()));
}

#[test]
fn every_mapping_is_canonical_and_can_be_decoded() {
    let money = || base(oid::MONEY, "money");
    let composite = |fields: &[(&str, PgType)]| {
        of(PgKind::Composite(
            fields.iter().map(|(name, pg)| ((*name).to_owned(), pg.clone())).collect(),
        ))
    };
    let odd = [
        of(PgKind::Array(boxed(money()))),
        of(PgKind::Array(boxed(of(PgKind::Unsendable)))),
        of(PgKind::Array(boxed(of(PgKind::Array(boxed(money())))))),
        of(PgKind::Array(boxed(base(oid::INTERVAL, "interval")))),
        of(PgKind::Range(boxed(numeric(12, 2)))),
        of(PgKind::Range(boxed(of(PgKind::Unsendable)))),
        of(PgKind::Multirange(boxed(base(oid::TIMESTAMPTZ, "timestamptz")))),
        composite(&[("a", base(oid::INT4, "integer")), ("b", money())]),
        composite(&[("a", base(oid::INT4, "integer")), ("A", base(oid::INT4, "integer"))]),
        composite(&[]),
        numeric(38, 38),
        numeric(38, -1),
        numeric(1000, 500),
        numeric(2, 39),
    ];
    let examples = table::examples().into_iter().map(|(_, pg)| pg);
    for pg in examples.chain(odd) {
        let mapping = mapping(&pg);
        let data_type = mapping.data_type().unwrap();
        let field = Field::new("c", data_type.clone(), true);
        let schema = arrow::datatypes::Schema::new(vec![field]);
        assert_eq!(*canonical_schema(&schema).unwrap(), schema, "{pg:?}");
        assert!(plan(&pg, data_type).is_some(), "{pg:?}");
        assert!(cast(&pg, ColumnType::Text).is_ok(), "{pg:?}");
    }
}

#[test]
fn scales_of_every_kind_fit_a_decimal_or_are_text() {
    let shown = |pg: PgType| spelled(mapping(&pg).data_type().unwrap());
    for (precision, scale, expected) in [
        (12, 2, "`decimal(12,2)`"),
        (38, 38, "`decimal(38,38)`"),
        (5, -3, "`decimal(8,0)`"),
        (35, -3, "`decimal(38,0)`"),
        (36, -3, "`text`"),
        (3, 5, "`decimal(5,5)`"),
        (3, 39, "`text`"),
        (39, 0, "`text`"),
        (1000, 1000, "`text`"),
    ] {
        assert_eq!(shown(numeric(precision, scale)), expected, "numeric({precision},{scale})");
    }
    assert_eq!(shown(base(oid::NUMERIC, "numeric")), "`text`");
    let column = PgType::new(
        1231,
        "numeric(12,2)[]",
        numeric(12, 2).modifier,
        PgKind::Array(boxed(base(oid::NUMERIC, "numeric"))),
    );
    let element = list(DataType::Decimal128(12, 2));
    assert_eq!(mapping(&column).data_type(), Some(&element));
}

#[test]
fn columns_are_asked_for_in_a_form_that_can_be_decoded() {
    let money = base(oid::MONEY, "money");
    let array = |pg: &PgType| of(PgKind::Array(boxed(pg.clone())));
    let point = base(600, "point");
    let natural = |pg: &PgType| select_expression("\"a\"", pg, mapping(pg).data_type().unwrap());
    for (pg, expected) in [
        (base(oid::INT4, "integer"), "\"a\""),
        (base(oid::BPCHAR, "character(3)"), "\"a\""),
        (money.clone(), "\"a\"::numeric::text"),
        (array(&money), "\"a\"::numeric[]::text[]"),
        (point.clone(), "\"a\"::text"),
        (array(&point), "\"a\"::text[]"),
        (of(PgKind::Unsendable), "\"a\"::text"),
        (of(PgKind::Composite(vec![("p".to_owned(), point)])), "\"a\"::text"),
        (base(oid::INT2VECTOR, "int2vector"), "\"a\"::text"),
    ] {
        assert_eq!(natural(&pg), expected, "{}", pg.name);
    }
    let text = DataType::Utf8View;
    assert_eq!(select_expression("b", &base(oid::DATE, "date"), &text), "b::text");
    assert_eq!(select_expression("b", &base(oid::NUMERIC, "numeric"), &text), "b");
    let decimal = DataType::Decimal128(10, 2);
    assert_eq!(select_expression("b", &money, &decimal), "b::numeric");
}

#[test]
fn casts_that_would_change_values_are_refused_with_the_others() {
    let refused = |pg: &PgType, to| cast(pg, to).unwrap_err();
    insta::assert_snapshot!(
        refused(&numeric(12, 2), ColumnType::Double),
        @"`numeric(12,2)` can't become double without changing values; it can become decimal(p,s), smallint, integer, bigint, text"
    );
    insta::assert_snapshot!(
        refused(&base(oid::TIMESTAMPTZ, "timestamp with time zone"), ColumnType::Date),
        @"`timestamp with time zone` can't become date without changing values; it can become timestamp, timestamp_ntz, text"
    );
    insta::assert_snapshot!(
        refused(&base(oid::TEXT, "text"), ColumnType::Integer),
        @"`text` can't become integer without changing values; it can become binary, text"
    );
}

#[test]
fn what_stops_a_run_is_told_with_the_way_out() {
    let note = |pg: PgType| match mapping(&pg) {
        Mapping::Guarded { note, .. } => note,
        other => panic!("{other:?}"),
    };
    insta::assert_snapshot!(note(numeric(12, 2)), @"NaN would not fit; `cast: text` keeps them");
    insta::assert_snapshot!(
        note(base(oid::TIMESTAMP, "timestamp")),
        @"the wall clock is stored as if it were UTC; `cast: timestamp_ntz` stores it without a zone; infinity and -infinity would not fit; `cast: text` keeps them"
    );
    let dates = of(PgKind::Composite(vec![("born".to_owned(), base(oid::DATE, "date"))]));
    insta::assert_snapshot!(
        note(dates),
        @"`born`: years before 1 and after 9999 are kept, and some readers can't show them; infinity and -infinity in `born` would not fit; `cast: text` keeps them"
    );
}

#[test]
fn extension_types_are_known_by_their_bare_names() {
    for (name, bare) in [
        ("hstore", "hstore"),
        ("ext.hstore", "hstore"),
        ("\"My Schema\".\"Hstore\"", "Hstore"),
        ("geometry(Point,4326)", "geometry"),
    ] {
        assert_eq!(base(70_000, name).bare_name(), bare);
    }
}
