//! Tables to encode: each of one column whose values have a shape of their own, and `lineitem`.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
        Float64Array, Int16Array, Int32Array, Int64Array, Int64Builder, ListArray, StringViewArray,
        TimestampMicrosecondArray,
    },
    buffer::NullBuffer,
    datatypes::{DataType, Field, Schema},
    record_batch::RecordBatch,
};
use tpchgen::generators::{LineItem, LineItemGenerator};

use crate::dice::Dice;

/// Rows of each table: no more than a row group holds.
pub(crate) const ROWS: usize = 16 * BATCH_ROWS;

/// Rows of a batch, as the decoders close them.
pub(crate) const BATCH_ROWS: usize = 8 * 1024;

/// A table's name, and what makes it.
type Table = (&'static str, fn() -> RecordBatch);

/// All tables.
pub(crate) const TABLES: &[Table] = &[
    ("lineitem", lineitem),
    ("bigint, sequential", || one(ints(|row, _| row as i64))),
    ("bigint, keys with repeats", || one(ints(|row, _| row as i64 / 4))),
    ("bigint, random", || one(ints(|_, dice| dice.bits() as i64))),
    ("bigint, random below 200 000", || one(ints(|_, dice| dice.roll(200_000) as i64))),
    ("bigint, few values", || one(ints(|_, dice| dice.roll(7) as i64 * 1_000_003))),
    ("bigint, sequential, one in three null", || one(nullable(&ints(|row, _| row as i64)))),
    ("bigint, all null", || one(Arc::new(Int64Array::new_null(ROWS)))),
    ("integer, random", || one(all::<Int32Array, _>(|_, dice| dice.bits() as i32))),
    ("smallint, random", || one(all::<Int16Array, _>(|_, dice| dice.bits() as i16))),
    ("boolean, random", || one(all::<BooleanArray, _>(|_, dice| dice.roll(2) == 0))),
    ("real, random", || one(all::<Float32Array, _>(|_, dice| dice.roll(1 << 24) as f32 / 7.0))),
    ("double, random", || one(doubles())),
    ("double, random, one in three null", || one(nullable(&doubles()))),
    ("double, two digits", || {
        one(all::<Float64Array, _>(|_, dice| dice.roll(100_000) as f64 / 100.0))
    }),
    ("decimal(15,2), few values", || one(decimals(2, |_, dice| i128::from(dice.roll(11))))),
    ("decimal(15,2), many values", || one(prices())),
    ("decimal(15,2), many values, one in three null", || one(nullable(&prices()))),
    ("decimal(38,10), many values", || {
        one(decimals(10, |_, dice| i128::from(dice.bits()) * i128::from(dice.roll(1 << 31))))
    }),
    ("date, random", || one(dates())),
    ("date, random, one in three null", || one(nullable(&dates()))),
    ("date, ascending", || one(all::<Date32Array, _>(|row, _| row as i32 / 100))),
    ("timestamp, ascending", || {
        one(timestamps(|row, dice| row as i64 * 1_000_000 + dice.roll(1_000_000) as i64))
    }),
    ("timestamp, random", || one(timestamps(|_, dice| dice.roll(1 << 31) as i64 * 1_000_001))),
    ("timestamp, random, one in three null", || {
        one(nullable(&timestamps(|_, dice| dice.roll(1 << 31) as i64 * 1_000_001)))
    }),
    ("text, few values", || one(modes())),
    ("text, few values, one in three null", || one(nullable(&modes()))),
    ("text, thousands of values", || {
        one(texts(|_, dice| format!("Customer#{:09}", dice.roll(10_000))))
    }),
    ("text, free", || one(comments(1))),
    ("text, free, one in three null", || one(nullable(&comments(1)))),
    ("text, free and long", || one(comments(20))),
    ("text, UUIDs", || {
        one(texts(|_, dice| uuid::Uuid::from_u64_pair(dice.bits(), dice.bits()).to_string()))
    }),
    ("binary, random", || {
        let all = (0..ROWS).scan(Dice::new(1), |dice, _| Some(dice.bits().to_be_bytes().repeat(3)));
        one(Arc::new(BinaryViewArray::from_iter_values(all)))
    }),
    ("list of bigint", || one(lists())),
];

/// A table of one column.
fn one(column: ArrayRef) -> RecordBatch {
    table(vec![("c", column)])
}

fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true))
        .collect::<Vec<_>>();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns of one length")
}

/// A column whose values `value` makes.
fn all<A: Array + FromIterator<Option<V>> + 'static, V>(
    value: fn(usize, &mut Dice) -> V,
) -> ArrayRef {
    let mut dice = Dice::new(42);
    Arc::new((0..ROWS).map(|row| Some(value(row, &mut dice))).collect::<A>())
}

/// The same column with one value in three NULL, more or less.
fn nullable(column: &ArrayRef) -> ArrayRef {
    let mut dice = Dice::new(7);
    let nulls: NullBuffer = (0..column.len()).map(|_| dice.roll(3) > 0).collect();
    let data = column.to_data().into_builder().nulls(Some(nulls)).build();
    arrow::array::make_array(data.expect("a column with NULLs"))
}

fn ints(value: fn(usize, &mut Dice) -> i64) -> ArrayRef {
    all::<Int64Array, _>(value)
}

fn doubles() -> ArrayRef {
    all::<Float64Array, _>(|_, dice| dice.roll(1 << 31) as f64 / 7.0)
}

fn dates() -> ArrayRef {
    all::<Date32Array, _>(|_, dice| 8_000 + dice.roll(2_500) as i32)
}

fn timestamps(value: fn(usize, &mut Dice) -> i64) -> ArrayRef {
    let mut dice = Dice::new(42);
    let values = (0..ROWS).map(|row| value(row, &mut dice));
    Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
}

fn decimals(scale: i8, value: fn(usize, &mut Dice) -> i128) -> ArrayRef {
    let mut dice = Dice::new(42);
    let values = Decimal128Array::from_iter_values((0..ROWS).map(|row| value(row, &mut dice)));
    decimal(values, if scale == 2 { 15 } else { 38 }, scale)
}

fn decimal(values: Decimal128Array, precision: u8, scale: i8) -> ArrayRef {
    Arc::new(values.with_precision_and_scale(precision, scale).expect("a decimal"))
}

fn prices() -> ArrayRef {
    decimals(2, |_, dice| i128::from(90_000 + dice.roll(10_400_000)))
}

fn texts(value: fn(usize, &mut Dice) -> String) -> ArrayRef {
    all::<StringViewArray, _>(value)
}

fn modes() -> ArrayRef {
    const MODES: [&str; 7] = ["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"];
    all::<StringViewArray, _>(|_, dice| MODES.get(dice.roll(7) as usize).copied().unwrap_or("?"))
}

/// Comments of TPC-H, `joined` at a time.
fn comments(joined: usize) -> ArrayRef {
    let lines = lines();
    let texts = (0..ROWS).map(|row| {
        let parts = (0..joined).map(|part| lines[(row * 7 + part) % ROWS].l_comment);
        parts.collect::<Vec<_>>().join(" ")
    });
    Arc::new(StringViewArray::from_iter_values(texts))
}

/// No more than four elements each.
fn lists() -> ArrayRef {
    let mut dice = Dice::new(42);
    let field = Arc::new(Field::new("element", DataType::Int64, true));
    let mut lists = arrow::array::ListBuilder::new(Int64Builder::new()).with_field(field);
    for row in 0..ROWS {
        (0..dice.roll(5)).for_each(|at| lists.values().append_value((row as u64 + at) as i64));
        lists.append(true);
    }
    let lists: ListArray = lists.finish();
    Arc::new(lists)
}

fn lines() -> Vec<LineItem<'static>> {
    LineItemGenerator::new(0.1, 1, 1).iter().take(ROWS).collect()
}

fn lineitem() -> RecordBatch {
    let lines = lines();
    let int = |of: fn(&LineItem<'_>) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(lines.iter().map(of)))
    };
    let number = |of: fn(&LineItem<'_>) -> i64| {
        let values = lines.iter().map(|line| i128::from(of(line)));
        decimal(Decimal128Array::from_iter_values(values), 15, 2)
    };
    let date = |of: fn(&LineItem<'_>) -> i32| -> ArrayRef {
        Arc::new(Date32Array::from_iter_values(lines.iter().map(of)))
    };
    let text = |of: for<'a> fn(&'a LineItem<'static>) -> &'a str| -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(lines.iter().map(of)))
    };
    let numbers = Int32Array::from_iter_values(lines.iter().map(|line| line.l_linenumber));
    table(vec![
        ("l_orderkey", int(|line| line.l_orderkey)),
        ("l_partkey", int(|line| line.l_partkey)),
        ("l_suppkey", int(|line| line.l_suppkey)),
        ("l_linenumber", Arc::new(numbers)),
        ("l_quantity", number(|line| line.l_quantity * 100)),
        ("l_extendedprice", number(|line| line.l_extendedprice.0)),
        ("l_discount", number(|line| line.l_discount.0)),
        ("l_tax", number(|line| line.l_tax.0)),
        ("l_returnflag", text(|line| line.l_returnflag)),
        ("l_linestatus", text(|line| line.l_linestatus)),
        ("l_shipdate", date(|line| line.l_shipdate.to_unix_epoch())),
        ("l_commitdate", date(|line| line.l_commitdate.to_unix_epoch())),
        ("l_receiptdate", date(|line| line.l_receiptdate.to_unix_epoch())),
        ("l_shipinstruct", text(|line| line.l_shipinstruct)),
        ("l_shipmode", text(|line| line.l_shipmode)),
        ("l_comment", text(|line| line.l_comment)),
    ])
}
