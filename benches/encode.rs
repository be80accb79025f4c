//! How fast batches become Parquet in the stage: `lineitem` as TPC-H makes it, and tables of one
//! column each, so that a change shows where it acts.
//!
//! `cargo bench --bench encode [-- FILTER]`; throughput counts rows, and the bytes of the values in
//! memory. Before a table is measured, a line says how many bytes its file has: a faster writer of
//! larger files is no gain. The final `fsync` is not measured.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a benchmark that meets its own mistake stops, and says what it can't measure"
)]

mod columns;
mod dice;

use std::time::Duration;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::DataType,
    record_batch::RecordBatch,
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use longshore::{
    stage::{EncodeOptions, Stage, TableStage},
    types::{RunId, TableName},
};
use tempfile::TempDir;

use columns::{BATCH_ROWS, ROWS};

/// A table that nothing was written to, and the folder it lives in.
fn fresh(batches: &[RecordBatch]) -> (TempDir, TableStage) {
    let folder = tempfile::tempdir().expect("a folder");
    let run = RunId::new(jiff::Timestamp::UNIX_EPOCH);
    let stage = Stage::create(folder.path(), &run).expect("a stage");
    let schema = batches[0].schema();
    let table = stage
        .table(TableName::new("bench", "encode"), schema, EncodeOptions::default())
        .expect("a table");
    (folder, table)
}

/// What a worker does with the batches of a chunk.
fn encode(table: &TableStage, batches: &[RecordBatch]) {
    let mut writer = table.writer();
    for batch in batches {
        writer.push(batch).expect("a batch that can be written");
    }
    writer.complete(ROWS as u64).expect("a complete chunk");
}

/// Bytes of the values, whatever room their buffers have left.
fn bytes_of(column: &ArrayRef) -> usize {
    match column.data_type() {
        DataType::Utf8View => column.as_string_view().iter().flatten().map(str::len).sum(),
        DataType::BinaryView => column.as_binary_view().iter().flatten().map(<[u8]>::len).sum(),
        _ => column.to_data().get_slice_memory_size().expect("a size"),
    }
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for (name, make) in columns::TABLES {
        let whole = make();
        assert_eq!(whole.num_rows(), ROWS, "{name}");
        let bytes: usize = whole.columns().iter().map(bytes_of).sum();
        let batches: Vec<_> = (0..ROWS)
            .step_by(BATCH_ROWS)
            .map(|start| whole.slice(start, BATCH_ROWS.min(ROWS - start)))
            .collect();
        group.throughput(Throughput::ElementsAndBytes {
            elements: ROWS as u64,
            bytes: bytes as u64,
        });
        let mut is_said = false;
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            if !is_said {
                let (_folder, table) = fresh(&batches);
                encode(&table, &batches);
                let file = table.finish().expect("a file").bytes();
                eprintln!("encode/{name}: {ROWS} rows, {bytes} bytes in memory, {file} in Parquet");
                is_said = true;
            }
            bencher.iter_batched(
                || fresh(&batches),
                |(folder, table)| {
                    encode(&table, &batches);
                    // Given back, so that removing the files is not measured.
                    (folder, table)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).sample_size(30);
    targets = bench
}
criterion_main!(benches);
