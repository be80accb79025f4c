//! The decoder, fed with streams made by hand.

mod framing;
mod misfits;
mod nested;
mod scalars;

use std::sync::Arc;

use arrow::{
    array::Array,
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};

use super::{Decoder, Limits};
use crate::{
    error::Result,
    extract::postgres::{mapping::mapping, pg_type::PgType, wire::Block},
};

type Cell = Option<Vec<u8>>;

/// A whole stream of `rows`.
fn stream(rows: &[Vec<Cell>]) -> Vec<u8> {
    let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for row in rows {
        bytes.extend((row.len() as i16).to_be_bytes());
        for cell in row {
            put(&mut bytes, cell.as_deref());
        }
    }
    bytes.extend((-1_i16).to_be_bytes());
    bytes
}

/// A length prefix and a value.
fn put(bytes: &mut Vec<u8>, cell: Option<&[u8]>) {
    bytes.extend(cell.map_or(-1, |cell| cell.len() as i32).to_be_bytes());
    bytes.extend(cell.unwrap_or_default());
}

fn prefixed(cells: &[Option<&[u8]>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for cell in cells {
        put(&mut bytes, *cell);
    }
    bytes
}

fn schema(types: &[DataType]) -> SchemaRef {
    let fields = types
        .iter()
        .enumerate()
        .map(|(at, data_type)| Field::new(format!("c{at}"), data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn natural(types: &[PgType]) -> Vec<DataType> {
    types.iter().map(|pg| mapping(pg).data_type().unwrap().clone()).collect()
}

fn decoder(types: &[PgType], targets: &[DataType], limits: Limits) -> Decoder {
    let columns: Vec<_> =
        types.iter().enumerate().map(|(at, pg)| (format!("c{at}"), pg.clone())).collect();
    Decoder::new(&columns, schema(targets), limits).unwrap()
}

/// Decodes a stream that comes in `payloads`.
fn decode_payloads(
    types: &[PgType],
    targets: &[DataType],
    payloads: &[&[u8]],
) -> Result<Option<RecordBatch>> {
    let mut decoder = decoder(types, targets, Limits::default());
    decoder.feed(&Block::from_payloads(payloads.iter().copied()))?;
    let batch = decoder.finish()?.0.map(|decoded| decoded.batch);
    for column in batch.iter().flat_map(RecordBatch::columns) {
        // What `Views` promises without a check of Arrow's is checked here, for every test.
        column.to_data().validate_full().unwrap();
    }
    Ok(batch)
}

/// Decodes one column of `cells`.
fn column(pg: &PgType, target: &DataType, cells: &[Cell]) -> Result<RecordBatch> {
    let rows: Vec<_> = cells.iter().map(|cell| vec![cell.clone()]).collect();
    let batch =
        decode_payloads(std::slice::from_ref(pg), std::slice::from_ref(target), &[&stream(&rows)])?;
    Ok(batch.unwrap())
}

/// One value as text; `target` is the type's own mapping where there is none.
fn shown(pg: &PgType, target: Option<DataType>, cell: &[u8]) -> Result<String> {
    let target = target.unwrap_or_else(|| natural(std::slice::from_ref(pg)).remove(0));
    Ok(display(&column(pg, &target, &[Some(cell.to_vec())])?).remove(0))
}

/// The first column's values as text.
fn display(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut column = batch.column(0).clone();
    if matches!(column.data_type(), DataType::Timestamp(_, Some(_))) {
        column = cast(&column, &DataType::Timestamp(TimeUnit::Microsecond, None)).unwrap();
    }
    let format = ArrayFormatter::try_new(&column, &options).unwrap();
    (0..column.len()).map(|row| format.value(row).to_string()).collect()
}
