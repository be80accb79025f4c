//! Delta Lake, without a query engine: delta-rs reads the log, we write it.
//!
//! A commit is one file, `_delta_log/<20 digits>.json`, created only where there is none. It is
//! written here and not by delta-rs's commit loop, because that loop rebases a commit on versions
//! that others wrote meanwhile: here, a commit is the version after the expected one or a conflict.
//! Nothing is vacuumed, and no hook after a commit can fail it.
//!
//! Protocol: reader 1, writer 2, so that every reader can read; a table with a `timestamp_ntz`
//! column needs reader 3, writer 7 and that one feature. Tables that other tools gave features
//! which a plain writer would break are refused by name.
//!
//! Source: the Delta transaction log protocol, <https://github.com/delta-io/delta/blob/master/PROTOCOL.md>.

mod actions;
mod snapshot;

use std::{fmt, sync::Arc};

use arrow::datatypes::Schema;
use async_trait::async_trait;
use deltalake_core::{
    DeltaTable,
    logstore::{LogStoreRef, StorageConfig, default_logstore},
    protocol::checkpoints::create_checkpoint,
};
use object_store::{path::Path, prefix::PrefixStore};

use self::snapshot::TableState;
use super::{
    Commit, TableChange, TableFormat, Version, apply,
    root::{Created, Root, child, numbered, path_of},
    schema,
};
use crate::{
    error::{Context as _, ErrorKind, Result},
    types::{RunId, TableFiles, TableName},
};

/// Checkpoints are made where a commit crosses a multiple of this many versions.
const CHECKPOINT_EVERY: u64 = 10;

/// See the module's documentation.
pub(super) struct DeltaFormat {
    root: Root,
}

impl DeltaFormat {
    pub(super) fn new(root: Root) -> Self {
        Self { root }
    }

    fn log_folder(&self, table: &TableName) -> Result<Path> {
        self.root.at(&format!("{}/_delta_log", table.folder()))
    }

    fn log_store(&self, table: &TableName) -> Result<LogStoreRef> {
        let url = self.root.table_url(table)?;
        let whole = self.root.store().clone();
        let below = Arc::new(PrefixStore::new(whole.clone(), path_of(&url)?));
        Ok(default_logstore(below, whole, &url, &StorageConfig::default()))
    }

    async fn state(&self, table: &TableName, version: Version) -> Result<TableState> {
        TableState::read(&self.log_store(table)?, table, version).await
    }
}

impl fmt::Display for DeltaFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("delta")
    }
}

#[async_trait]
impl TableFormat for DeltaFormat {
    fn check(&self, schema: &Schema) -> Result<(), String> {
        schema::check(schema)
    }

    async fn current(&self, table: &TableName) -> Result<Option<Version>> {
        Ok(self.root.newest(&self.log_folder(table)?).await?.map(Version))
    }

    async fn files(&self, table: &TableName, version: Version) -> Result<TableFiles> {
        Ok(self.state(table, version).await?.into_files())
    }

    async fn author(&self, table: &TableName, version: Version) -> Result<Option<RunId>> {
        let path = child(&self.log_folder(table)?, &numbered(version.0))?;
        Ok(self.root.read(&path).await?.and_then(|log| actions::author(&log)).map(|by| by.run))
    }

    async fn commit(&self, change: &TableChange, expected: Option<Version>) -> Result<Commit> {
        let next = Version::after(expected);
        let path = child(&self.log_folder(&change.table)?, &numbered(next.0))?;
        let found = self.current(&change.table).await?;
        if found != expected {
            let log = if found >= Some(next) { self.root.read(&path).await? } else { None };
            let ours = log.is_some_and(|log| actions::is_of(&log, change));
            return Ok(if ours {
                Commit::AlreadyPublished(next)
            } else {
                Commit::Conflict { found }
            });
        }
        let base = match expected {
            Some(version) => Some(self.state(&change.table, version).await?),
            None => None,
        };
        let after = apply::after(base.as_ref().map(TableState::files), change)?;
        let folder = self.root.table_url(&change.table)?;
        let log = actions::write(change, base.as_ref(), &after, next, &folder)?;
        match self.root.create(&path, log).await? {
            Created::Ours => Ok(Commit::Published(next)),
            Created::Taken(log) if actions::is_of(&log, change) => {
                Ok(Commit::AlreadyPublished(next))
            }
            Created::Taken(_) => Ok(Commit::Conflict { found: self.current(&change.table).await? }),
        }
    }

    async fn tidy(&self, table: &TableName, base: Option<Version>, version: Version) -> Result<()> {
        let step = |version: Version| version.0 / CHECKPOINT_EVERY;
        if base.map_or(0, step) == step(version) {
            return Ok(());
        }
        let failed = || format!("no checkpoint was made of `{table}`");
        let mut loaded = DeltaTable::new(self.log_store(table)?);
        loaded.load_version(version.0).await.or_fail(ErrorKind::Storage, failed)?;
        create_checkpoint(&loaded, None).await.or_fail(ErrorKind::Storage, failed)
    }
}
