//! The stage of one run as a whole: its folder, what it holds, and when it goes.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arrow::datatypes::SchemaRef;
use parquet::arrow::{arrow_reader::ParquetRecordBatchReaderBuilder, parquet_to_arrow_schema};
use serde::{Deserialize, Serialize};

use super::{encoding::EncodeOptions, table::TableStage};
use crate::{
    error::{Context, Error, ErrorKind, Result},
    types::{DataFile, RunId, TableFiles, TableName, canonical_schema},
};

/// The name of the list of finished tables inside a run's folder.
const CATALOG: &str = "catalog.json";

/// The staged tables of one run.
pub struct Stage {
    folder: PathBuf,
}

/// What the catalog file says, by table.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Catalog {
    tables: BTreeMap<TableName, Vec<DataFile>>,
}

impl Stage {
    /// The stage of `run` below `state_dir`, made anew.
    pub fn create(state_dir: &Path, run: &RunId) -> Result<Self> {
        let folder = run_folder(state_dir, run);
        fs::create_dir_all(&folder)
            .or_fail(ErrorKind::Storage, || format!("cannot create `{}`", folder.display()))?;
        Ok(Self { folder })
    }

    /// The stage of an earlier run, to read: its finished tables.
    pub fn read(state_dir: &Path, run: &RunId) -> Result<BTreeMap<TableName, TableFiles>> {
        let folder = run_folder(state_dir, run);
        let path = folder.join(CATALOG);
        let text = fs::read_to_string(&path).map_err(|error| {
            Error::new(ErrorKind::Usage, format!("run `{run}` has no stage to read"))
                .because(format!("cannot read `{}`: {error}", path.display()))
                .hint("stages are swept some days after their run; see `longshore runs`")
        })?;
        let catalog: Catalog = serde_json::from_str(&text)
            .or_fail(ErrorKind::Storage, || format!("`{}` is damaged", path.display()))?;
        catalog
            .tables
            .into_iter()
            .map(|(table, files)| Ok((table, TableFiles { schema: schema_of(&files)?, files })))
            .collect()
    }

    /// Begins to stage `table`, whose canonical schema is `schema`.
    pub fn table(
        &self,
        table: TableName,
        schema: SchemaRef,
        options: EncodeOptions,
    ) -> Result<TableStage> {
        TableStage::create(&self.folder, table, schema, options)
    }

    /// Writes down which tables are finished, for [`Stage::read`].
    pub fn record(&self, tables: &BTreeMap<TableName, TableFiles>) -> Result<()> {
        let tables =
            tables.iter().map(|(name, files)| (name.clone(), files.files.clone())).collect();
        let text = serde_json::to_string(&Catalog { tables })
            .map_err(|error| Error::internal(format!("cannot write a catalog: {error}")))?;
        let (path, fresh) = (self.folder.join(CATALOG), self.folder.join("catalog.json.new"));
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, &path))
            .or_fail(ErrorKind::Storage, || format!("cannot write `{}`", path.display()))
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Removes the stages of runs that were last touched more than `keep` ago; returns how many.
/// Published files don't live here, so this can't take anything from a reader.
pub fn sweep(state_dir: &Path, keep: Duration) -> Result<usize> {
    let Ok(entries) = fs::read_dir(state_dir.join("stage")) else { return Ok(0) };
    let mut swept = 0;
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|meta| meta.modified()).map(|time| time.elapsed());
        if matches!(age, Ok(Ok(age)) if age > keep) {
            fs::remove_dir_all(entry.path()).or_fail(ErrorKind::Storage, || {
                format!("cannot sweep the old stage `{}`", entry.path().display())
            })?;
            swept += 1;
        }
    }
    Ok(swept)
}

fn run_folder(state_dir: &Path, run: &RunId) -> PathBuf {
    state_dir.join("stage").join(run.as_str())
}

/// The schema of staged files, from the first one's footer.
fn schema_of(files: &[DataFile]) -> Result<SchemaRef> {
    let first = files.first().ok_or_else(|| Error::internal("a staged table has no file"))?;
    let failed = || format!("cannot read the staged file `{}`", first.url.path());
    let path = first.url.to_file_path().map_err(|()| Error::internal(failed()))?;
    let file = fs::File::open(path).or_fail(ErrorKind::Storage, failed)?;
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(file).or_fail(ErrorKind::Storage, failed)?;
    let meta = builder.metadata().file_metadata();
    let schema = parquet_to_arrow_schema(meta.schema_descr(), meta.key_value_metadata())
        .or_fail(ErrorKind::Storage, failed)?;
    canonical_schema(&schema)
        .map(|schema| Arc::new(schema.as_ref().clone()))
        .map_err(Error::internal)
}
