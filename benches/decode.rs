//! How fast a COPY stream is decoded: rows like those of TPC-H's `lineitem`, and columns of one type
//! each, so that a change shows where it acts.
//!
//! `cargo bench --bench decode`; throughput counts the bytes of the stream.

#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a benchmark that meets its own mistake stops"
)]

use std::{hint::black_box, sync::Arc};

use arrow::datatypes::{Field, Schema};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use longshore::extract::postgres::{
    copy::{Decoder, Limits},
    mapping::mapping,
    pg_type::{PgKind, PgType, oid},
    wire::Block,
};

const ROWS: u64 = 100_000;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

type Make = fn(u64, &mut Dice, &mut Vec<u8>);

fn int4(row: u64, _: &mut Dice, out: &mut Vec<u8>) {
    out.extend((row as i32).to_be_bytes());
}

fn int8(row: u64, _: &mut Dice, out: &mut Vec<u8>) {
    out.extend((row as i64).to_be_bytes());
}

fn date(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.extend((dice.roll(2_500) as i32).to_be_bytes());
}

fn timestamp(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.extend((dice.roll(1 << 31) as i64 * 1_000).to_be_bytes());
}

/// A numeric with two digits after the point.
fn cents(value: u64, out: &mut Vec<u8>) {
    let mut digits = vec![value / 1_000_000 % 10_000, value / 100 % 10_000, value % 100 * 100];
    let mut weight = 1_i16;
    while digits.first() == Some(&0) {
        digits.remove(0);
        weight -= 1;
    }
    while digits.last() == Some(&0) {
        digits.pop();
    }
    out.extend((digits.len() as i16).to_be_bytes());
    out.extend(weight.to_be_bytes());
    out.extend([0, 0, 0, 2]);
    for digit in digits {
        out.extend((digit as i16).to_be_bytes());
    }
}

fn price(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    cents(90_000 + dice.roll(10_400_000), out);
}

fn percent(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    cents(dice.roll(11), out);
}

fn quantity(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    cents((1 + dice.roll(50)) * 100, out);
}

fn flag(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.push(b"NRA"[dice.roll(3) as usize]);
}

fn mode(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.extend([b"AIR       ", b"TRUCK     ", b"RAIL      "][dice.roll(3) as usize]);
}

fn instruction(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.extend([b"DELIVER IN PERSON        ", b"TAKE BACK RETURN         "][dice.roll(2) as usize]);
}

fn comment(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    let text = b"carefully final deposits detect slyly against the bold theodolites";
    out.extend(&text[..10 + dice.roll(34) as usize]);
}

fn greek(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    let text = "μῆνιν ἄειδε θεὰ Πηληϊάδεω Ἀχιλῆος οὐλομένην";
    out.extend(text.chars().take(5 + dice.roll(30) as usize).collect::<String>().bytes());
}

fn uuid(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    (0..2).for_each(|_| out.extend(dice.roll(u64::MAX).to_be_bytes()));
}

fn array(row: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    let size = dice.roll(6) as i32;
    let head = [i32::from(size > 0), 0, oid::INT4 as i32];
    for int in head {
        out.extend(int.to_be_bytes());
    }
    if size > 0 {
        out.extend(size.to_be_bytes());
        out.extend(1_i32.to_be_bytes());
    }
    (0..size)
        .for_each(|_| out.extend([4_i32, row as i32].iter().flat_map(|int| int.to_be_bytes())));
}

/// A stream of `columns`, as the server sends it: a message a row.
fn blocks(columns: &[(PgType, Make)], nulls: u64) -> (Vec<Block>, u64) {
    let mut dice = Dice(42);
    let mut messages = Vec::new();
    for row in 0..ROWS {
        let mut message = Vec::new();
        if row == 0 {
            message.extend(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
        }
        message.extend((columns.len() as i16).to_be_bytes());
        for (_, make) in columns {
            if nulls > 0 && dice.roll(nulls) == 0 {
                message.extend((-1_i32).to_be_bytes());
                continue;
            }
            let at = message.len();
            message.extend([0; 4]);
            make(row, &mut dice, &mut message);
            let len = (message.len() - at - 4) as i32;
            message[at..at + 4].copy_from_slice(&len.to_be_bytes());
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

/// Columns of one stream, and how many cells there are to a NULL; 0 is none.
type Case = (&'static str, Vec<(PgType, Make)>, u64);

fn cases() -> Vec<Case> {
    let base = |number| PgType::base(number, "t");
    let decimal = || PgType::new(oid::NUMERIC, "numeric(15,2)", (15 << 16 | 2) + 4, PgKind::Base);
    let lineitem: Vec<(PgType, Make)> = vec![
        (base(oid::INT8), int8),
        (base(oid::INT8), int8),
        (base(oid::INT8), int8),
        (base(oid::INT4), int4),
        (decimal(), quantity),
        (decimal(), price),
        (decimal(), percent),
        (decimal(), percent),
        (base(oid::BPCHAR), flag),
        (base(oid::BPCHAR), flag),
        (base(oid::DATE), date),
        (base(oid::DATE), date),
        (base(oid::DATE), date),
        (base(oid::BPCHAR), instruction),
        (base(oid::BPCHAR), mode),
        (base(oid::VARCHAR), comment),
    ];
    let ints = PgType::new(0, "integer[]", -1, PgKind::Array(Box::new(base(oid::INT4))));
    let of = |pg: &PgType, make: Make| vec![(pg.clone(), make); 8];
    vec![
        ("lineitem", lineitem, 0),
        ("bigint", of(&base(oid::INT8), int8), 0),
        ("bigint, one in three null", of(&base(oid::INT8), int8), 3),
        ("timestamptz", of(&base(oid::TIMESTAMPTZ), timestamp), 0),
        ("numeric(15,2)", of(&decimal(), price), 0),
        ("numeric as text", of(&base(oid::NUMERIC), price), 0),
        ("char(1)", of(&base(oid::BPCHAR), flag), 0),
        ("text", of(&base(oid::TEXT), comment), 0),
        ("text, greek", of(&base(oid::TEXT), greek), 0),
        ("uuid", of(&base(oid::UUID), uuid), 0),
        ("integer[]", of(&ints, array), 0),
    ]
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for (name, columns, nulls) in cases() {
        let (blocks, bytes) = blocks(&columns, nulls);
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| assert_eq!(decode(&columns, &blocks), ROWS));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
