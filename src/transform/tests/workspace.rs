//! A workspace for the tests beside it: model files, small Parquet files, an engine.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch, util::pretty::pretty_format_batches};
use futures::StreamExt as _;
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;
use url::Url;

use crate::{
    error::{Error, Result},
    types::{ByteSize, DataFile, PipelineName, TableFiles, TableName, canonical_schema},
};

use crate::transform::{
    BatchStream, Engine, EngineOptions, Model, Settled, canonical::canonical_batch, load_models,
};

/// Settles a model's schema when there is none to hold it to.
pub(super) fn as_they_are(_: &Model, schema: &SchemaRef) -> Settled {
    Settled { rows: Arc::clone(schema), table: Arc::clone(schema) }
}

pub(super) struct Workspace {
    pub root: TempDir,
    pub engine: Engine,
    pub tables: BTreeMap<TableName, TableFiles>,
}

impl Workspace {
    pub(super) fn new() -> Self {
        Self::with_memory(ByteSize::mib(256))
    }

    pub(super) fn with_memory(memory: ByteSize) -> Self {
        let root = tempfile::tempdir().unwrap();
        let options = EngineOptions {
            memory,
            spill_dir: root.path().join("spill"),
            threads: 2,
            stores: vec![],
        };
        Self { engine: Engine::new(options).unwrap(), root, tables: BTreeMap::new() }
    }

    /// Adds the rows of `sql`, run by the engine itself over nothing, as one more file of `table`.
    pub(super) async fn table(&mut self, table: &str, sql: &str) -> &mut Self {
        let stream = self.engine.query(sql, &BTreeMap::new()).await.unwrap();
        let schema = canonical_schema(stream.schema()).unwrap();
        let batches = stream.map(|batch| canonical_batch(&batch.unwrap(), &schema).unwrap());
        let batches: Vec<_> = batches.collect().await;
        self.file(table, &schema, &batches);
        self
    }

    /// Adds `batches` as one more file of `table`.
    pub(super) fn file(&mut self, table: &str, schema: &SchemaRef, batches: &[RecordBatch]) {
        let table: TableName = table.parse().unwrap();
        let count = self.tables.get(&table).map_or(0, |files| files.files.len());
        let path = self.root.path().join(format!("{}-{count}.parquet", table.table));
        let mut writer =
            ArrowWriter::try_new(fs::File::create(&path).unwrap(), Arc::clone(schema), None)
                .unwrap();
        for batch in batches {
            writer.write(batch).unwrap();
        }
        writer.close().unwrap();
        let file = DataFile {
            url: Url::from_file_path(&path).unwrap(),
            rows: batches.iter().map(|batch| batch.num_rows() as u64).sum(),
            bytes: fs::metadata(&path).unwrap().len(),
            columns: vec![],
        };
        let files =
            self.tables.entry(table).or_insert_with(|| TableFiles::empty(Arc::clone(schema)));
        files.files.push(file);
    }

    pub(super) fn schemas(&self) -> BTreeMap<TableName, SchemaRef> {
        self.tables.iter().map(|(name, files)| (name.clone(), Arc::clone(&files.schema))).collect()
    }

    pub(super) fn models(&self, files: &[(&str, &str)]) -> Result<Vec<Model>> {
        let dir = self.root.path().join("sql/nightly");
        fs::create_dir_all(&dir).unwrap();
        for (name, text) in files {
            let path: PathBuf = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        load_models(&dir, self.root.path(), &PipelineName::new("nightly"))
    }

    /// Loads, plans and runs all models, and adds what they make to the tables.
    pub(super) async fn run(&mut self, files: &[(&str, &str)]) -> Result<()> {
        let planned =
            self.engine.plan_models(&self.models(files)?, &self.schemas(), as_they_are).await?;
        for model in planned {
            let streams = self.engine.run_model(&model, &self.tables).await?;
            let mut batches = Vec::new();
            for mut stream in streams.streams {
                while let Some(batch) = stream.next().await {
                    batches.push(batch?);
                }
            }
            self.file(&model.model.table.to_string(), &streams.schema, &batches);
        }
        Ok(())
    }

    pub(super) async fn ask(&self, sql: &str) -> Result<String> {
        shown(self.engine.query(sql, &self.tables).await?).await
    }
}

pub(super) async fn shown(stream: BatchStream) -> Result<String> {
    let schema = Arc::clone(stream.schema());
    let batches: Vec<_> = stream.collect::<Vec<_>>().await.into_iter().collect::<Result<_>>()?;
    let empty = RecordBatch::new_empty(schema);
    Ok(pretty_format_batches(if batches.is_empty() {
        std::slice::from_ref(&empty)
    } else {
        &batches
    })
    .unwrap()
    .to_string())
}

/// An error as the command line prints it, about.
pub(super) fn rendered(error: &Error) -> String {
    let mut text = format!("{}: {}", error.kind(), error.what());
    if let Some(place) = error.place() {
        text +=
            &format!("\n  --> {}:{}:{}: {}", place.file, place.line, place.column, place.detail);
    }
    for cause in error.causes() {
        text += &format!("\n  caused by: {cause}");
    }
    for hint in error.hints() {
        text += &format!("\n   hint: {hint}");
    }
    text
}
