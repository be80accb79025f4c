//! A warehouse to test on, and files to publish in it.

use std::{collections::BTreeMap, fs::File, ops::Range, sync::Arc};

use arrow::{
    array::{
        ArrayRef, AsArray, Decimal128Array, Int64Array, StringViewArray, TimestampMicrosecondArray,
    },
    datatypes::{Int64Type, SchemaRef},
    record_batch::RecordBatch,
};
use object_store::{ObjectStore, ObjectStoreExt as _, memory::InMemory};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use tempfile::TempDir;
use url::Url;

use crate::{
    config::{Format, Mode, Origin, Retention, WarehouseConfig},
    types::{Bound, ColumnStats, DataFile, PipelineName, RunId, TableFiles, TableName},
    warehouse::{
        Cause, GenerationRecord, Keep, Publication, Published, TableChange, Warehouse,
        root::path_of,
    },
};

/// Where a warehouse under test lies.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Disk,
    Memory,
}

/// A warehouse and a folder for staged files.
pub(super) struct Site {
    pub(super) folder: TempDir,
    pub(super) warehouse: Warehouse,
}

impl Site {
    pub(super) fn new(place: Place, format: Format) -> Self {
        match place {
            Place::Disk => Self::on_disk(format),
            Place::Memory => Self::over(Arc::new(InMemory::new()), format),
        }
    }

    pub(super) fn over(store: Arc<dyn ObjectStore>, format: Format) -> Self {
        let url = "memory:///w%20h/".parse().unwrap();
        let warehouse = Warehouse::over(store, url, format).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), warehouse }
    }

    fn on_disk(format: Format) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::from_directory_path(folder.path().join("w h")).unwrap();
        let origin = Origin::start("longshore.yml", "");
        let (options, retention) = (BTreeMap::default(), Retention::default());
        let config = WarehouseConfig { url, format, options, retention, origin };
        Self { warehouse: Warehouse::open(&config).unwrap(), folder }
    }

    /// A staged file with these ids.
    pub(super) fn stage(&self, name: &str, ids: Range<i64>) -> DataFile {
        self.stage_batch(name, &batch(ids))
    }

    pub(super) fn stage_batch(&self, name: &str, batch: &RecordBatch) -> DataFile {
        let path = self.folder.path().join(format!("{name}.parquet"));
        let mut writer =
            ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
        DataFile {
            url: Url::from_file_path(&path).unwrap(),
            rows: batch.num_rows() as u64,
            bytes: path.metadata().unwrap().len(),
            columns: stats(batch),
        }
    }

    /// A change of `name` by `run` with one new file of these ids, in place.
    pub(super) async fn change(
        &self,
        run: &RunId,
        name: &str,
        keep: Keep,
        ids: Range<i64>,
    ) -> TableChange {
        let staged = self.stage(&format!("{run}-{name}-{}", ids.start), ids);
        let add = self.warehouse.place(&table(name), run, vec![staged]).await.unwrap();
        change(run, name, keep, add)
    }

    /// Publishes one new file for each table, as `run`.
    pub(super) async fn publish(
        &self,
        run: &RunId,
        tables: &[(&str, Keep, Range<i64>)],
    ) -> crate::error::Result<Published> {
        self.warehouse.publish(self.publication(run, tables).await).await
    }

    pub(super) async fn publication(
        &self,
        run: &RunId,
        tables: &[(&str, Keep, Range<i64>)],
    ) -> Publication {
        let mut changes = Vec::new();
        for (name, keep, ids) in tables {
            changes.push(self.change(run, name, keep.clone(), ids.clone()).await);
        }
        publication(run, changes)
    }

    /// The ids in `files`, sorted, read from the Parquet files themselves.
    pub(super) async fn ids(&self, files: &TableFiles) -> Vec<i64> {
        let mut ids = Vec::new();
        for file in &files.files {
            let content = self.warehouse.store().get(&path_of(&file.url).unwrap()).await.unwrap();
            let content = content.bytes().await.unwrap();
            assert_eq!(content.len() as u64, file.bytes);
            let reader =
                ParquetRecordBatchReaderBuilder::try_new(content).unwrap().build().unwrap();
            for batch in reader {
                ids.extend(batch.unwrap()["id"].as_primitive::<Int64Type>().values());
            }
        }
        assert_eq!(ids.len() as u64, files.rows());
        ids.sort_unstable();
        ids
    }

    /// What readers of generations see: each table with its ids.
    pub(super) async fn pinned(&self) -> Vec<(String, Vec<i64>)> {
        match self.warehouse.current().await.unwrap() {
            Some(record) => self.seen(&record).await,
            None => Vec::new(),
        }
    }

    pub(super) async fn seen(&self, record: &GenerationRecord) -> Vec<(String, Vec<i64>)> {
        let mut seen = Vec::new();
        for (table, pinned) in &record.tables {
            let files = self.warehouse.files(table, pinned).await.unwrap();
            assert_eq!((files.rows(), files.bytes()), (pinned.rows, pinned.bytes));
            seen.push((table.table.clone(), self.ids(&files).await));
        }
        seen
    }

    /// What readers of single tables see: each table's newest version.
    pub(super) async fn newest(&self, names: &[&str]) -> Vec<(String, Vec<i64>)> {
        let keeper = self.warehouse.table_format(self.warehouse.format());
        let mut seen = Vec::new();
        for name in names {
            if let Some(version) = keeper.current(&table(name)).await.unwrap() {
                let files = keeper.files(&table(name), version).await.unwrap();
                seen.push(((*name).to_owned(), self.ids(&files).await));
            }
        }
        seen
    }
}

pub(super) fn table(name: &str) -> TableName {
    TableName::new("shöp", name)
}

pub(super) fn run(number: u32) -> RunId {
    format!("20261122t14115{number}z-00000{number}").parse().unwrap()
}

pub(super) fn change(run: &RunId, name: &str, keep: Keep, add: Vec<DataFile>) -> TableChange {
    let mode = if keep == Keep::Nothing { Mode::Replace } else { Mode::Append };
    TableChange {
        table: table(name),
        schema: schema(),
        add,
        keep,
        cause: Cause::Load(mode),
        source: None,
        run: run.clone(),
    }
}

pub(super) fn publication(run: &RunId, changes: Vec<TableChange>) -> Publication {
    Publication {
        run: run.clone(),
        pipeline: PipelineName::new("nightly"),
        changes,
        sources: Vec::new(),
        audits: Vec::new(),
    }
}

pub(super) fn schema() -> SchemaRef {
    batch(0..0).schema()
}

pub(super) fn batch(ids: Range<i64>) -> RecordBatch {
    let names = ids.clone().map(|id| (id % 2 == 0).then(|| format!("name {id}")));
    let amounts = ids.clone().map(|id| i128::from(id) * 100 + 5);
    let moments = ids.clone().map(|id| id * 1_000_001);
    let amounts =
        Decimal128Array::from_iter_values(amounts).with_precision_and_scale(20, 2).unwrap();
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(Int64Array::from_iter_values(ids))),
        ("name", Arc::new(names.collect::<StringViewArray>())),
        ("amount", Arc::new(amounts)),
        ("at", Arc::new(TimestampMicrosecondArray::from_iter_values(moments).with_timezone("UTC"))),
    ];
    let nullable = columns.map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(nullable).unwrap()
}

fn stats(batch: &RecordBatch) -> Vec<ColumnStats> {
    let ids = batch["id"].as_primitive::<Int64Type>();
    let bound = |id: Option<&i64>| id.copied().map(Bound::Integer);
    vec![ColumnStats {
        name: "id".into(),
        nulls: Some(0),
        min: bound(ids.values().iter().min()),
        max: bound(ids.values().iter().max()),
    }]
}
