//! What the stage promises, on real files.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, StringViewArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::types::{Bound, RunId, TableFiles, TableName};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("note", DataType::Utf8View, true),
        Field::new("weight", DataType::Float64, true),
    ]))
}

fn batch(ids: std::ops::Range<i64>) -> RecordBatch {
    let notes: StringViewArray =
        ids.clone().map(|id| (id % 3 != 0).then(|| format!("note {id} ünïcode"))).collect();
    let weights: Float64Array = ids.clone().map(|id| Some(id as f64 / 2.0)).collect();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from_iter_values(ids)), Arc::new(notes), Arc::new(weights)];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn stage() -> (tempfile::TempDir, Stage, RunId) {
    let folder = tempfile::tempdir().unwrap();
    let run = RunId::new("2026-01-01T00:00:00Z".parse().unwrap());
    let stage = Stage::create(folder.path(), &run).unwrap();
    (folder, stage, run)
}

fn ids(files: &TableFiles) -> Vec<i64> {
    let mut ids = Vec::new();
    for file in &files.files {
        let path = file.url.to_file_path().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), file.bytes);
        let reader = std::fs::File::open(path).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(reader).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let column = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
            ids.extend(column.values());
        }
    }
    ids.sort_unstable();
    ids
}

#[test]
fn only_complete_chunks_count() {
    // Row groups of 10 rows: the chunk of 100 rows outgrows memory and takes a file of its own.
    let options = EncodeOptions { row_group_rows: 10, ..EncodeOptions::default() };
    let (_folder, stage, _) = stage();
    let table = stage.table(TableName::new("shop", "orders"), schema(), options).unwrap();

    let mut small = table.writer();
    small.push(&batch(0..5)).unwrap();
    let mut abandoned = table.writer();
    for start in (1000..1100).step_by(10) {
        abandoned.push(&batch(start..start + 10)).unwrap();
    }
    let mut large = table.writer();
    for start in (100..200).step_by(10) {
        large.push(&batch(start..start + 10)).unwrap();
    }
    drop(abandoned);
    small.complete(5).unwrap();
    large.complete(100).unwrap();
    let mut short = table.writer();
    short.push(&batch(2000..2010)).unwrap();
    assert!(short.complete(11).is_err(), "a chunk that lacks rows must not count");

    let files = table.finish().unwrap();
    assert_eq!(files.rows(), 105);
    assert_eq!(ids(&files), (0..5).chain(100..200).collect::<Vec<_>>());
    let on_disk = std::fs::read_dir(stage.folder().join("shop/orders")).unwrap().count();
    assert_eq!(on_disk, files.files.len(), "an abandoned chunk leaves no file behind");
}

#[test]
fn an_empty_table_has_a_file_with_its_schema() {
    let (folder, stage, run) = stage();
    let name = TableName::new("shop", "nothing");
    let files =
        stage.table(name.clone(), schema(), EncodeOptions::default()).unwrap().finish().unwrap();
    assert_eq!((files.rows(), files.files.len()), (0, 1));
    stage.record(&[(name.clone(), files)].into()).unwrap();
    let read = Stage::read(folder.path(), &run).unwrap();
    assert_eq!(read[&name].schema, schema());
}

#[test]
fn statistics_bound_what_is_there() {
    let (_folder, stage, _) = stage();
    let table =
        stage.table(TableName::new("shop", "orders"), schema(), EncodeOptions::default()).unwrap();
    let mut writer = table.writer();
    writer.push(&batch(7..100)).unwrap();
    writer.complete(93).unwrap();
    let files = table.finish().unwrap();
    let [id, note, weight] = files.files[0].columns.as_slice() else { panic!("three columns") };
    assert_eq!(
        (id.nulls, &id.min, &id.max),
        (Some(0), &Some(Bound::Integer(7)), &Some(Bound::Integer(99)))
    );
    assert_eq!(note.nulls, Some(31));
    assert_eq!(note.min, Some(Bound::Text("note 10 ünïcode".into())));
    assert_eq!((&weight.min, &weight.max), (&Some(Bound::Float(3.5)), &None));
}

#[test]
fn old_stages_are_swept_and_young_ones_stay() {
    let (folder, stage, _) = stage();
    assert_eq!(sweep(folder.path(), std::time::Duration::from_hours(1)).unwrap(), 0);
    assert!(stage.folder().exists());
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
    std::fs::File::open(stage.folder()).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(sweep(folder.path(), std::time::Duration::from_hours(1)).unwrap(), 1);
    assert!(!stage.folder().exists());
}

#[test]
fn a_table_begun_anew_knows_nothing_of_the_first_attempt() {
    let options = EncodeOptions { row_group_rows: 10, ..EncodeOptions::default() };
    let (_folder, stage, _) = stage();
    let name = TableName::new("shop", "orders");
    let lost = stage.table(name.clone(), schema(), options).unwrap();
    let mut whole = lost.writer();
    whole.push(&batch(0..5)).unwrap();
    whole.complete(5).unwrap();
    let mut late = lost.writer();
    for start in (100..200).step_by(10) {
        late.push(&batch(start..start + 10)).unwrap();
    }
    lost.discard().unwrap();
    assert_eq!(std::fs::read_dir(stage.folder().join("shop/orders")).unwrap().count(), 0);

    let anew = stage.table(name, schema(), options).unwrap();
    let mut writer = anew.writer();
    for start in (0..100).step_by(10) {
        writer.push(&batch(start..start + 10)).unwrap();
    }
    drop(late);
    writer.complete(100).unwrap();
    assert_eq!(ids(&anew.finish().unwrap()), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_row_group_of_many_integers_is_as_large_as_asked() {
    // Parquet sets a buffer of 1 MiB aside for each such column, which says nothing of its size.
    let fields = (0..100).map(|at| Field::new(format!("n{at}"), DataType::Int64, true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let (_folder, stage, _) = stage();
    let options = EncodeOptions { row_group_bytes: 1 << 20, ..EncodeOptions::default() };
    let table = stage.table(TableName::new("shop", "wide"), schema.clone(), options).unwrap();
    let mut writer = table.writer();
    for start in 0..10 {
        let numbers = (0..100).map(|at| (at + 1) * (start * 100 + 7));
        let columns = numbers
            .map(|n| Arc::new(Int64Array::from_iter_values((0..100).map(|i| i * n))) as ArrayRef);
        writer.push(&RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()).unwrap();
    }
    writer.complete(1000).unwrap();
    let files = table.finish().unwrap();
    let file = std::fs::File::open(files.files[0].url.to_file_path().unwrap()).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    assert_eq!(reader.metadata().num_row_groups(), 1);
}
