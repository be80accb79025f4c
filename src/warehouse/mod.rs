//! The warehouse: tables in a format, made visible together by generations.
//!
//! A commit has two layers. Each table's format makes a new version of that table visible to
//! foreign readers, atomically per table. Then one create-only generation file pins the version of
//! every table; readers of generations see a run's tables all together or not at all. An intent,
//! written before the first table commit and removed after the generation, lets the next start-up
//! finish or undo a publish that was cut short.
//!
//! Nothing here knows of sources, models or SQL. Only [`Warehouse::clean`] deletes a table's data.

mod apply;
mod clean;
mod delta;
mod durable;
mod generation;
mod open;
mod parquet;
mod place;
mod publish;
mod reconcile;
mod retention;
mod rollback;
mod root;
mod schema;
mod stats;
#[cfg(test)]
mod tests;
mod verdict;

use std::{fmt, path::Path, sync::Arc};

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use url::Url;

pub use clean::{CleanDepth, Cleaned, CleanedTable};
pub use generation::{AuditRecord, GenerationRecord, PinnedTable, SourceRecord, TableSource};
pub use publish::{Publication, Published};
pub use reconcile::{Outcome, Reconciled};
pub use rollback::ROLLBACK;

use crate::{
    config::{Format, Mode},
    error::{Error, Result},
    types::{DataFile, RunId, TableFiles, TableName},
};
use root::Root;

/// A table's version inside its format; 0 is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

impl Version {
    /// The version after `expected`; the first where that is `None`.
    #[must_use]
    pub fn after(expected: Option<Self>) -> Self {
        expected.map_or(Self(0), |version| Self(version.0 + 1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

/// How a format keeps the versions of a table. Displays as its name.
///
/// One exam in the tests holds every implementation to this contract.
#[async_trait]
pub trait TableFormat: fmt::Display + Send + Sync {
    /// Whether a table of this schema can be kept, or why not. Does no I/O, so that a plan can ask
    /// before anything is read.
    fn check(&self, schema: &Schema) -> Result<(), String>;

    /// The newest committed version of `table`, or `None` where nothing was ever committed.
    async fn current(&self, table: &TableName) -> Result<Option<Version>>;

    /// Schema and files of `table` at `version`. An error where the version is gone, or holds what
    /// a list of files cannot say (deletion vectors, partition columns, renamed columns).
    async fn files(&self, table: &TableName, version: Version) -> Result<TableFiles>;

    /// The run that committed `version`; `None` where somebody else did, or it does not exist.
    async fn author(&self, table: &TableName, version: Version) -> Result<Option<RunId>>;

    /// Commits `change` as the version after `expected` (as the first where that is `None`),
    /// in one atomic step that is durable when this returns. Files in the change are already in
    /// place.
    ///
    /// Committing the same run's change onto the same expected version again finds it and answers
    /// [`Commit::AlreadyPublished`]. A lost or ambiguous reply of the store is resolved by reading
    /// back; an error means that nothing was committed as far as could be learned.
    async fn commit(&self, change: &TableChange, expected: Option<Version>) -> Result<Commit>;

    /// Makes reading `version`, now published on top of `base`, faster. Optional: a failure is
    /// logged by the caller and changes nothing.
    async fn tidy(&self, table: &TableName, base: Option<Version>, version: Version) -> Result<()> {
        let _ = (table, base, version);
        Ok(())
    }
}

/// What a commit came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// The change is now this version.
    Published(Version),
    /// The same run had already committed it, as this version.
    AlreadyPublished(Version),
    /// Somebody else committed first; nothing was changed.
    Conflict {
        /// The version found instead of the expected one.
        found: Option<Version>,
    },
}

/// The next version of one table.
#[derive(Debug, Clone)]
pub struct TableChange {
    /// The table.
    pub table: TableName,
    /// Its schema from now on.
    pub schema: SchemaRef,
    /// Files that join, already in place below the table's folder.
    pub add: Vec<DataFile>,
    /// What becomes of the files of the version before.
    pub keep: Keep,
    /// How the change came about, for the table's history.
    pub cause: Cause,
    /// Where its rows were extracted from; `None` where they were made.
    pub source: Option<TableSource>,
    /// The run that makes it.
    pub run: RunId,
}

/// Which files of the version before stay part of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// None of them.
    Nothing,
    /// All of them.
    Everything,
    /// All but these URLs.
    AllBut(Vec<Url>),
}

/// Why a table changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A run publishes new rows.
    Load(Mode),
    /// The table comes back as an older generation had it.
    Rollback,
    /// A publish that could not be finished is taken back.
    Undo,
}

/// Sees each step of a publish or a reconciliation by name: `intent_written`,
/// `table_committed:<table>`, `tables_committed`, `decided`, `generation_written`, `intent_removed`,
/// `table_restored:<table>`. An error from it stops the work right there, as a crash would.
pub type Observer = Arc<dyn Fn(&str) -> Result<()> + Send + Sync>;

/// Whether a warehouse may be changed through a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Publish,
}

/// A warehouse that is open for reading, or for reading and publishing. Cheap to clone.
#[derive(Clone)]
pub struct Warehouse {
    root: Root,
    /// The format of new tables; a published table keeps its own.
    format: Format,
    access: Access,
    observer: Option<Observer>,
}

impl Warehouse {
    /// The root, with a slash at its end.
    pub fn url(&self) -> &Url {
        self.root.url()
    }

    /// The store of the root's scheme and host. Paths in it are those of the URLs' paths; files of
    /// tables are read from it.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        self.root.store()
    }

    /// Whether the warehouse lies on this machine's file system.
    pub fn is_local(&self) -> bool {
        self.local_root().is_some()
    }

    /// The root as a folder, where it is one.
    pub fn local_root(&self) -> Option<&Path> {
        self.root.local()
    }

    /// The format of new tables.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The keeper of tables in `format`.
    pub fn table_format(&self, format: Format) -> Arc<dyn TableFormat> {
        match format {
            Format::Delta => Arc::new(delta::DeltaFormat::new(self.root.clone())),
            Format::Parquet => Arc::new(parquet::ParquetFormat::new(self.root.clone())),
        }
    }

    /// Schema and files of `table` as a generation pins it.
    pub async fn files(&self, table: &TableName, pinned: &PinnedTable) -> Result<TableFiles> {
        self.table_format(pinned.format).files(table, pinned.version).await
    }

    /// The same warehouse, with `observer` told of every step.
    #[must_use]
    pub fn with_observer(self, observer: Observer) -> Self {
        Self { observer: Some(observer), ..self }
    }

    fn step(&self, name: &str) -> Result<()> {
        tracing::debug!(step = name, "warehouse");
        self.observer.as_ref().map_or(Ok(()), |observer| observer(name))
    }

    fn must_write(&self) -> Result<()> {
        match self.access {
            Access::Publish => Ok(()),
            Access::Read => {
                Err(Error::internal("a warehouse opened for reading was asked to change"))
            }
        }
    }
}
