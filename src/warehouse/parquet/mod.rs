//! Plain Parquet files and a manifest per version.
//!
//! `<table>/_manifest/<20 digits>.json` lists the schema and files of one version, whole: no
//! version needs another to be read. It is created only where there is none.

use std::fmt;

use arrow::datatypes::Schema;
use async_trait::async_trait;
use bytes::Bytes;
use deltalake_core::kernel::StructType;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Cause, Commit, TableChange, TableFormat, Version, apply,
    root::{Created, Root, child, numbered},
    schema, stats,
};
use crate::{
    error::{Context as _, Error, ErrorKind, Result},
    types::{ColumnStats, DataFile, RunId, TableFiles, TableName},
};

/// The layout of manifests that this code writes, and the newest that it reads.
const MANIFEST_FORMAT: u32 = 1;

/// See the module's documentation.
pub(super) struct ParquetFormat {
    root: Root,
}

/// One version of a table.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// The layout of this file.
    format_version: u32,
    /// The table's version.
    version: Version,
    /// What makes this file unlike any other attempt's.
    commit: String,
    /// The run that published it.
    run: RunId,
    /// Whether it takes back an unfinished publish of that run.
    #[serde(default)]
    undo: bool,
    /// When it was written, RFC 3339.
    committed_at: String,
    /// The columns, as Delta Lake writes a schema.
    schema: StructType,
    /// The files.
    files: Vec<Listed>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    /// Relative to the table's folder, or a whole URL.
    path: String,
    rows: u64,
    bytes: u64,
    #[serde(default)]
    columns: Vec<ColumnStats>,
}

impl Manifest {
    fn of(
        change: &TableChange,
        after: &TableFiles,
        version: Version,
        folder: &Url,
    ) -> Result<Self> {
        let schema = schema::to_delta(&after.schema).or_fail(ErrorKind::Data, || {
            format!("the columns of `{}` have no place in a manifest", change.table)
        })?;
        Ok(Self {
            format_version: MANIFEST_FORMAT,
            version,
            commit: uuid::Uuid::now_v7().to_string(),
            run: change.run.clone(),
            undo: change.cause == Cause::Undo,
            committed_at: jiff::Timestamp::now().to_string(),
            schema,
            files: after.files.iter().map(|file| Listed::of(file, folder)).collect(),
        })
    }

    fn is_of(&self, change: &TableChange) -> bool {
        self.run == change.run && self.undo == (change.cause == Cause::Undo)
    }

    fn files(self, folder: &Url) -> Result<TableFiles, String> {
        let schema = schema::from_delta(&self.schema)?;
        let files = self.files.into_iter().map(|file| file.at(folder));
        Ok(TableFiles { schema, files: files.collect::<Result<_, _>>()? })
    }
}

impl Listed {
    fn of(file: &DataFile, folder: &Url) -> Self {
        let whole = file.url.as_str();
        let path = whole.strip_prefix(folder.as_str()).unwrap_or(whole).to_owned();
        Self { path, rows: file.rows, bytes: file.bytes, columns: stats::lasting(&file.columns) }
    }

    fn at(self, folder: &Url) -> Result<DataFile, String> {
        let url = folder.join(&self.path).map_err(|error| error.to_string())?;
        Ok(DataFile { url, rows: self.rows, bytes: self.bytes, columns: self.columns })
    }
}

impl ParquetFormat {
    pub(super) fn new(root: Root) -> Self {
        Self { root }
    }

    fn folder(&self, table: &TableName) -> Result<Path> {
        self.root.at(&format!("{}/_manifest", table.folder()))
    }

    async fn manifest(&self, table: &TableName, version: Version) -> Result<Option<Manifest>> {
        let path = child(&self.folder(table)?, &numbered(version.0))?;
        self.root.read(&path).await?.map(|content| parse(table, version, &content)).transpose()
    }

    async fn state(&self, table: &TableName, version: Version) -> Result<TableFiles> {
        let failed = || format!("version {version} of `{table}` can't be read");
        let manifest = self.manifest(table, version).await?.ok_or_else(|| {
            Error::new(ErrorKind::Storage, failed()).because("its manifest does not exist")
        })?;
        manifest.files(&self.root.table_url(table)?).or_fail(ErrorKind::Storage, failed)
    }
}

fn parse(table: &TableName, version: Version, content: &Bytes) -> Result<Manifest> {
    let failed = || format!("the manifest of version {version} of `{table}` can't be read");
    let manifest: Manifest = serde_json::from_slice(content).or_fail(ErrorKind::Storage, failed)?;
    if manifest.format_version > MANIFEST_FORMAT || manifest.version != version {
        return Err(Error::new(ErrorKind::Storage, failed())
            .because("it is of a newer longshore, or not of this version"));
    }
    Ok(manifest)
}

impl fmt::Display for ParquetFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("parquet")
    }
}

#[async_trait]
impl TableFormat for ParquetFormat {
    fn check(&self, schema: &Schema) -> Result<(), String> {
        schema::check(schema)
    }

    async fn current(&self, table: &TableName) -> Result<Option<Version>> {
        Ok(self.root.newest(&self.folder(table)?).await?.map(Version))
    }

    async fn files(&self, table: &TableName, version: Version) -> Result<TableFiles> {
        self.state(table, version).await
    }

    async fn author(&self, table: &TableName, version: Version) -> Result<Option<RunId>> {
        Ok(self.manifest(table, version).await?.map(|manifest| manifest.run))
    }

    async fn commit(&self, change: &TableChange, expected: Option<Version>) -> Result<Commit> {
        let table = &change.table;
        let next = Version::after(expected);
        let found = self.current(table).await?;
        if found != expected {
            let there = self.manifest(table, next).await?;
            let ours = there.is_some_and(|manifest| manifest.is_of(change));
            return Ok(if ours {
                Commit::AlreadyPublished(next)
            } else {
                Commit::Conflict { found }
            });
        }
        let base = match expected {
            Some(version) => Some(self.state(table, version).await?),
            None => None,
        };
        let after = apply::after(base.as_ref(), change)?;
        let manifest = Manifest::of(change, &after, next, &self.root.table_url(table)?)?;
        let content = serde_json::to_vec_pretty(&manifest)
            .or_fail(ErrorKind::Internal, || format!("a manifest of `{table}` can't be written"))?;
        let path = child(&self.folder(table)?, &numbered(next.0))?;
        match self.root.create(&path, content.into()).await? {
            Created::Ours => Ok(Commit::Published(next)),
            Created::Taken(content) if parse(table, next, &content)?.is_of(change) => {
                Ok(Commit::AlreadyPublished(next))
            }
            Created::Taken(_) => Ok(Commit::Conflict { found: self.current(table).await? }),
        }
    }
}
