//! How fast a COPY stream is decoded: rows like those of TPC-H's `lineitem`, and columns of one type
//! each, so that a change shows where it acts.
//!
//! `cargo bench --bench decode [-- FILTER]`; throughput counts rows, and the bytes of the stream.

#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a benchmark that meets its own mistake stops"
)]

mod cells;
mod dice;

use std::{hint::black_box, sync::Arc};

use arrow::datatypes::{Field, Schema};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use longshore::extract::postgres::{
    copy::{Decoder, Limits},
    mapping::mapping,
    pg_type::{PgKind, PgType, oid},
    wire::Block,
};

use cells::Make;
use dice::Dice;

const ROWS: u64 = 100_000;

/// Rows of long values.
const FEW_ROWS: u64 = 2_000;

/// A stream of `case`, as the server sends it: a message a row.
fn blocks(case: &Case) -> (Vec<Block>, u64) {
    let Case { columns, nulls, rows, .. } = case;
    let mut dice = Dice::new(42);
    let mut messages = Vec::new();
    for row in 0..*rows {
        let mut message = Vec::new();
        if row == 0 {
            message.extend(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
        }
        message.extend((columns.len() as i16).to_be_bytes());
        for (_, make) in columns {
            if *nulls > 0 && dice.roll(*nulls) == 0 {
                message.extend((-1_i32).to_be_bytes());
            } else {
                cells::cell(row, &mut dice, *make, &mut message);
            }
        }
        messages.push(message);
    }
    messages.push((-1_i16).to_be_bytes().to_vec());
    let bytes = messages.iter().map(|message| message.len() as u64 + 5).sum();
    let per_block = (256 << 10) * messages.len() / bytes as usize;
    let blocks = messages
        .chunks(per_block.max(1))
        .map(|messages| Block::from_payloads(messages.iter().map(Vec::as_slice)))
        .collect();
    (blocks, bytes)
}

fn decode(columns: &[(PgType, Make)], blocks: &[Block]) -> u64 {
    let fields = columns.iter().enumerate().map(|(at, (pg, _))| {
        let mapping = mapping(pg);
        Field::new(format!("c{at}"), mapping.data_type().expect("a mapping").clone(), true)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let types: Vec<_> = columns.iter().map(|(pg, _)| ("c".to_owned(), pg.clone())).collect();
    let mut decoder = Decoder::new(&types, schema, Limits::default()).expect("a decoder");
    for block in blocks {
        decoder.feed(block).expect("a good block");
        while let Some(batch) = decoder.take_batch() {
            black_box(batch);
        }
    }
    decoder.finish().expect("a whole stream").1
}

/// One stream.
struct Case {
    name: &'static str,
    columns: Vec<(PgType, Make)>,
    /// How many cells there are to a NULL; 0 is none.
    nulls: u64,
    rows: u64,
}

impl Case {
    fn new(name: &'static str, columns: Vec<(PgType, Make)>) -> Self {
        Self { name, columns, nulls: 0, rows: ROWS }
    }

    /// Eight columns of one type.
    fn of(name: &'static str, pg: PgType, make: Make) -> Self {
        Self::new(name, vec![(pg, make); 8])
    }

    /// The same with every third value NULL, more or less.
    fn nullable(self) -> Self {
        Self { nulls: 3, ..self }
    }

    /// Fewer rows.
    fn long(self) -> Self {
        Self { rows: FEW_ROWS, ..self }
    }
}

fn base(number: u32) -> PgType {
    PgType::base(number, "t")
}

fn decimal(precision: i32, scale: i32) -> PgType {
    PgType::new(oid::NUMERIC, "numeric", (precision << 16 | scale) + 4, PgKind::Base)
}

fn array(element: PgType) -> PgType {
    PgType::new(0, "t[]", -1, PgKind::Array(Box::new(element)))
}

fn lineitem() -> Case {
    let columns: Vec<(PgType, Make)> = vec![
        (base(oid::INT8), cells::int8),
        (base(oid::INT8), cells::int8),
        (base(oid::INT8), cells::int8),
        (base(oid::INT4), cells::int4),
        (decimal(15, 2), cells::quantity),
        (decimal(15, 2), cells::price),
        (decimal(15, 2), cells::percent),
        (decimal(15, 2), cells::percent),
        (base(oid::BPCHAR), cells::flag),
        (base(oid::BPCHAR), cells::flag),
        (base(oid::DATE), cells::date),
        (base(oid::DATE), cells::date),
        (base(oid::DATE), cells::date),
        (base(oid::BPCHAR), cells::instruction),
        (base(oid::BPCHAR), cells::mode),
        (base(oid::VARCHAR), cells::comment),
    ];
    Case::new("lineitem", columns)
}

fn scalars() -> Vec<Case> {
    vec![
        Case::of("boolean", base(oid::BOOL), cells::boolean),
        Case::of("smallint", base(oid::INT2), cells::int2),
        Case::of("integer", base(oid::INT4), cells::int4),
        Case::of("bigint", base(oid::INT8), cells::int8),
        Case::of("bigint, one in three null", base(oid::INT8), cells::int8).nullable(),
        Case::of("real", base(oid::FLOAT4), cells::float4),
        Case::of("double precision", base(oid::FLOAT8), cells::float8),
        Case::of("date", base(oid::DATE), cells::date),
        Case::of("timestamp", base(oid::TIMESTAMP), cells::timestamp),
        Case::of("timestamptz", base(oid::TIMESTAMPTZ), cells::timestamp),
        Case::of("time", base(oid::TIME), cells::time),
        Case::of("timetz", base(oid::TIMETZ), cells::time_with_zone),
        Case::of("interval", base(oid::INTERVAL), cells::interval),
        Case::of("numeric(15,2)", decimal(15, 2), cells::price),
        Case::of("numeric(15,2), one in three null", decimal(15, 2), cells::price).nullable(),
        Case::of("numeric(38,10)", decimal(38, 10), cells::large_number),
        Case::of("numeric as text", base(oid::NUMERIC), cells::any_number),
    ]
}

fn texts() -> Vec<Case> {
    vec![
        Case::of("char(1)", base(oid::BPCHAR), cells::flag),
        Case::of("char(25)", base(oid::BPCHAR), cells::instruction),
        Case::of("text", base(oid::TEXT), cells::comment),
        Case::of("text, one in three null", base(oid::TEXT), cells::comment).nullable(),
        Case::of("text, greek", base(oid::TEXT), cells::greek),
        Case::of("text, long", base(oid::TEXT), cells::article).long(),
        Case::of("bytea", base(oid::BYTEA), cells::bytes),
        Case::of("json", base(oid::JSON), cells::json),
        Case::of("jsonb", base(oid::JSONB), cells::jsonb),
        Case::of("uuid", base(oid::UUID), cells::uuid),
        Case::of("inet", base(oid::INET), cells::address),
        Case::of("varbit", base(oid::VARBIT), cells::bits),
    ]
}

fn nested() -> Vec<Case> {
    let named = |name: &str, pg| (name.to_owned(), pg);
    let composite = PgKind::Composite(vec![
        named("id", base(oid::INT8)),
        named("note", base(oid::TEXT)),
        named("amount", decimal(15, 2)),
    ]);
    let range = PgKind::Range(Box::new(base(oid::INT4)));
    vec![
        Case::of("integer[]", array(base(oid::INT4)), cells::ints),
        Case::of("text[]", array(base(oid::TEXT)), cells::texts),
        Case::of("numeric(15,2)[]", array(decimal(15, 2)), cells::numbers),
        Case::of("composite", PgType::new(0, "t", -1, composite), cells::composite),
        Case::of("int4range", PgType::new(0, "int4range", -1, range), cells::range),
        Case::of("hstore", PgType::base(0, "hstore"), cells::pairs),
    ]
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for case in [vec![lineitem()], scalars(), texts(), nested()].into_iter().flatten() {
        let (blocks, bytes) = blocks(&case);
        group.throughput(Throughput::ElementsAndBytes { elements: case.rows, bytes });
        group.bench_function(BenchmarkId::from_parameter(case.name), |bencher| {
            bencher.iter(|| assert_eq!(decode(&case.columns, &blocks), case.rows));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
