//! Cleaning: what nobody can read any more goes.
//!
//! The only code that removes a table's data, and it removes only files that Longshore placed, known
//! by their names. Such a file goes when no generation that is kept, no reader of one that left
//! within the grace, no publish under way and no table's newest version holds it, and when it was
//! put there longer ago than the grace. Files of other tools, and the tables' Delta logs, stay.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::SystemTime,
};

use futures::StreamExt as _;
use jiff::Timestamp;
use object_store::{Error as StoreError, ObjectMeta, path::Path};
use serde::Serialize;

use super::{
    Version, Warehouse,
    durable::unfinished,
    place::is_placed,
    root::{child, number, path_of, storage},
};
use crate::{
    config::{Format, Retention},
    error::{Error, Result},
    types::{Generation, TableName},
};

/// How far cleaning goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleanDepth {
    /// It removes.
    Remove,
    /// It tells what it would remove.
    DryRun,
}

/// What cleaning removed, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cleaned {
    /// Generations that stay, newest first.
    pub kept: Vec<Generation>,
    /// Generations that nobody can begin to read from now on. Their files go once the grace is over.
    pub expired: Vec<Generation>,
    /// Generations that expired before, and whose files wait for the end of the grace.
    pub waiting: Vec<Generation>,
    /// What went of each table; tables of which nothing went are left out.
    pub tables: Vec<CleanedTable>,
}

/// What went of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CleanedTable {
    /// The table.
    pub table: TableName,
    /// Names of its data files, below its folder.
    pub files: Vec<String>,
    /// Bytes of these.
    pub bytes: u64,
    /// Names of its manifests, and of what writes that were cut short left, below its folder.
    pub others: Vec<String>,
}

/// What of a table nobody can read any more.
struct Unneeded {
    files: Vec<ObjectMeta>,
    manifests: Vec<Path>,
    unfinished: Vec<PathBuf>,
}

/// One clean.
struct Sweep {
    retention: Retention,
    depth: CleanDepth,
    now: Timestamp,
}

impl Sweep {
    /// Whether a file was put there so lately that it may be about to be published.
    fn is_young(&self, object: &ObjectMeta) -> bool {
        let grace = i64::try_from(self.retention.grace.as_millis()).unwrap_or(i64::MAX);
        let end = object.last_modified.timestamp_millis().saturating_add(grace);
        end >= self.now.as_millisecond()
    }
}

impl Warehouse {
    /// Removes what `retention` does not keep, as of `now`. See the module's documentation.
    ///
    /// The caller holds the lock that keeps runs of this project out, and has settled what they
    /// left unfinished; publishes from elsewhere are safe as long as they take no longer than the
    /// grace. Killed at any instant, it can simply be run again. Where a version that has to stay
    /// can't be read, it stops, and what else there is of that table stays.
    pub async fn clean(
        &self,
        retention: &Retention,
        depth: CleanDepth,
        now: Timestamp,
    ) -> Result<Cleaned> {
        if depth == CleanDepth::Remove {
            self.must_write()?;
        }
        let sweep = Sweep { retention: *retention, depth, now };
        let standing = self.standing(retention, now).await?;
        if depth == CleanDepth::Remove {
            self.expire(&standing.leaving, now).await?;
        }
        let mut tables = Vec::new();
        for table in self.tables_by_folder().await? {
            let versions = standing.held.of(&table);
            tables.extend(self.clean_table(&table, versions, &sweep).await?);
        }
        if depth == CleanDepth::Remove {
            self.forget(&standing.over).await?;
        }
        let (kept, expired, waiting) = (standing.kept, standing.leaving, standing.waiting);
        Ok(Cleaned { kept, expired, waiting, tables })
    }

    /// Every table that has a folder, published or not.
    async fn tables_by_folder(&self) -> Result<Vec<TableName>> {
        let root = path_of(self.url())?;
        let mut tables = Vec::new();
        for schema in self.folders_below(&root).await? {
            for table in self.folders_below(&schema).await? {
                let names: Vec<_> = table.parts().map(|part| part.as_ref().to_owned()).collect();
                if let [.., schema, table] = names.as_slice() {
                    tables.extend(TableName::of_folder(schema, table));
                }
            }
        }
        Ok(tables)
    }

    async fn folders_below(&self, folder: &Path) -> Result<Vec<Path>> {
        match self.store().list_with_delimiter(Some(folder)).await {
            Ok(listed) => Ok(listed.common_prefixes),
            Err(StoreError::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(storage(format!("`{folder}` can't be listed"), error)),
        }
    }

    async fn objects_in(&self, folder: &Path) -> Result<Vec<ObjectMeta>> {
        match self.store().list_with_delimiter(Some(folder)).await {
            Ok(listed) => Ok(listed.objects),
            Err(StoreError::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(storage(format!("`{folder}` can't be listed"), error)),
        }
    }

    /// Cleans one table; `None` where nothing of it has to go.
    async fn clean_table(
        &self,
        table: &TableName,
        held: BTreeSet<(Format, Version)>,
        sweep: &Sweep,
    ) -> Result<Option<CleanedTable>> {
        let unneeded = self.unneeded(table, held, sweep).await.map_err(|error| {
            error.context(format!("`{table}` was not cleaned; nothing of it was removed"))
        })?;
        if sweep.depth == CleanDepth::Remove {
            self.remove_all(&unneeded).await.map_err(|error| {
                error
                    .context(format!(
                        "`{table}` was not cleaned wholly; what is published is there"
                    ))
                    .hint("clean again once that is mended: what is left goes then")
            })?;
        }
        let Unneeded { files, manifests, unfinished } = unneeded;
        let name = |path: &Path| path.filename().unwrap_or_default().to_owned();
        let local = |path: &PathBuf| Some(path.file_name()?.to_string_lossy().into_owned());
        let others = manifests.iter().map(name).chain(unfinished.iter().filter_map(local));
        let cleaned = CleanedTable {
            table: table.clone(),
            bytes: files.iter().map(|file| file.size).sum(),
            files: files.iter().map(|file| name(&file.location)).collect(),
            others: others.collect(),
        };
        Ok((!cleaned.files.is_empty() || !cleaned.others.is_empty()).then_some(cleaned))
    }

    /// Looks for all of a table that has to go. Changes nothing.
    async fn unneeded(
        &self,
        table: &TableName,
        mut held: BTreeSet<(Format, Version)>,
        sweep: &Sweep,
    ) -> Result<Unneeded> {
        let folder = path_of(&self.root.table_url(table)?)?;
        let mut newest_manifest = None;
        for format in [Format::Delta, Format::Parquet] {
            let newest = self.table_format(format).current(table).await?;
            held.extend(newest.map(|version| (format, version)));
            newest_manifest = newest;
        }
        Ok(Unneeded {
            files: self.unheld_files(table, &folder, &held, sweep).await?,
            manifests: self.unheld_manifests(&folder, &held, newest_manifest, sweep).await?,
            unfinished: self.unfinished(table, sweep).await?,
        })
    }

    /// Data files of ours that no version in `held` lists. Versions are read only until nothing is
    /// left that might go.
    async fn unheld_files(
        &self,
        table: &TableName,
        folder: &Path,
        held: &BTreeSet<(Format, Version)>,
        sweep: &Sweep,
    ) -> Result<Vec<ObjectMeta>> {
        let mut unheld: BTreeMap<String, ObjectMeta> = self
            .objects_in(folder)
            .await?
            .into_iter()
            .filter(|object| !sweep.is_young(object))
            .filter_map(|object| Some((object.location.filename()?.to_owned(), object)))
            .filter(|(name, _)| is_placed(name))
            .collect();
        for (format, version) in held.iter().rev() {
            if unheld.is_empty() {
                break;
            }
            for file in self.table_format(*format).files(table, *version).await?.files {
                // By its name alone: no two files have the same, wherever they lie.
                if let Some(name) = file.url.path_segments().and_then(Iterator::last) {
                    unheld.remove(name);
                }
            }
        }
        Ok(unheld.into_values().collect())
    }

    /// Manifests of versions that are neither held nor the newest. Delta's log is left alone: its
    /// entries build on each other.
    async fn unheld_manifests(
        &self,
        folder: &Path,
        held: &BTreeSet<(Format, Version)>,
        newest: Option<Version>,
        sweep: &Sweep,
    ) -> Result<Vec<Path>> {
        let objects = self.objects_in(&child(folder, "_manifest")?).await?;
        let unheld = objects.into_iter().filter(|object| {
            let version = object.location.filename().and_then(number).map(Version);
            !sweep.is_young(object)
                && version.is_some_and(|version| {
                    Some(version) < newest && !held.contains(&(Format::Parquet, version))
                })
        });
        Ok(unheld.map(|object| object.location).collect())
    }

    /// What writes on this machine left that never came to their end.
    async fn unfinished(&self, table: &TableName, sweep: &Sweep) -> Result<Vec<PathBuf>> {
        let Some(root) = self.local_root() else { return Ok(Vec::new()) };
        let folder = root.join(table.folder());
        let before = SystemTime::from(sweep.now).checked_sub(sweep.retention.grace);
        let look = move || {
            let folders = [folder.join("_delta_log"), folder.join("_manifest"), folder];
            let all = folders.iter().flat_map(|folder| unfinished(folder));
            let modified = |path: &PathBuf| path.metadata().and_then(|meta| meta.modified()).ok();
            all.filter(|path| modified(path).is_some_and(|at| Some(at) < before)).collect()
        };
        tokio::task::spawn_blocking(look).await.map_err(|error| Error::internal(error.to_string()))
    }

    /// Removes files, many in one request where the store can.
    async fn remove_all(&self, unneeded: &Unneeded) -> Result<()> {
        let files = unneeded.files.iter().map(|file| &file.location);
        let paths: Vec<_> = files.chain(&unneeded.manifests).cloned().map(Ok).collect();
        let mut removed = self.store().delete_stream(futures::stream::iter(paths).boxed());
        while let Some(outcome) = removed.next().await {
            match outcome {
                Ok(_) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(storage("a file can't be removed".to_owned(), error)),
            }
        }
        for path in &unneeded.unfinished {
            // Litter that stays is still only litter.
            let _ = tokio::fs::remove_file(path).await;
        }
        Ok(())
    }
}
