//! Rolling back: a new generation with the tables of an older one.
//!
//! No data file is copied or written anew. Each table whose contents differ gets a commit that
//! takes its present files out and brings the old ones back, under the columns they had; then the
//! generation pins it all. It is carried out as any publish is, so that a crash is finished or
//! undone in the same way.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures::{StreamExt as _, TryStreamExt as _};
use url::Url;

use super::{
    Cause, GenerationRecord, Keep, PinnedTable, Published, TableChange, Version, Warehouse, apply,
    publish::{Intent, TABLES_AT_ONCE, unchanged},
    root::path_of,
};
use crate::{
    error::{Error, ErrorKind, Result},
    types::{Generation, PipelineName, RunId, TableFiles, TableName},
};

/// What records of rollbacks say in place of a pipeline's name.
pub const ROLLBACK: &str = "rollback";

/// What becomes of one table.
enum Return {
    /// It holds what it held then.
    Same(PinnedTable),
    /// It comes back by a commit on top of the base, and is pinned so.
    Back { change: TableChange, base: Option<Version>, pinned: PinnedTable },
    /// It was not there then: it leaves the generation, and is emptied for readers of its log.
    Emptied { change: TableChange, base: Option<Version>, pinned: PinnedTable },
    /// It was not there then, and has no rows for anybody.
    Gone,
}

impl Warehouse {
    /// Publishes, as `run`, a new generation that holds what generation `to` held: all its tables
    /// come back together, or nothing changes.
    ///
    /// Tables that are younger than `to` leave the generation; their own logs say that they are
    /// empty, and keep their history. Where the current generation holds the same already, it is
    /// given back as [`Published::Before`].
    ///
    /// Fails as [`Warehouse::publish`] does, with `Usage` where `to` does not exist or was cleaned
    /// away, and with `Storage` where a file of it is gone.
    pub async fn roll_back(&self, run: &RunId, to: Generation) -> Result<Published> {
        self.must_write()?;
        if let Some(record) = self.settled_before(run).await? {
            return Ok(Published::Before(record));
        }
        let target = self.retained(to).await?;
        let Some(current) = self.current().await? else {
            return Err(Error::internal("a generation exists, and none is current"));
        };
        let names: BTreeSet<_> = current.tables.keys().chain(target.tables.keys()).collect();
        let returns: Vec<_> = futures::stream::iter(names)
            .map(|name| self.way_back(name, run, &current, &target))
            .buffered(TABLES_AT_ONCE)
            .try_collect()
            .await
            .map_err(|error: Error| {
                let state = unchanged(Some(current.generation));
                error.context(format!("generation {to} can't be brought back; {state}"))
            })?;
        let mut record =
            GenerationRecord::after(Some(&current), run.clone(), PipelineName::new(ROLLBACK));
        record.rollback_to = Some(to);
        let (intent, changes) = gather(record, returns);
        let same_tables = intent.record.tables.keys().eq(current.tables.keys());
        if changes.is_empty() && same_tables {
            return Ok(Published::Before(current));
        }
        self.carry_out(intent, &changes).await
    }

    async fn way_back(
        &self,
        table: &TableName,
        run: &RunId,
        current: &GenerationRecord,
        target: &GenerationRecord,
    ) -> Result<(TableName, Return)> {
        let (now, then) = (current.tables.get(table), target.tables.get(table));
        let way = match (now, then) {
            (Some(now), Some(then)) if (now.format, now.version) == (then.format, then.version) => {
                Return::Same(PinnedTable { changed: false, ..then.clone() })
            }
            (now, Some(then)) => self.back_to(table, run, now, then, current.generation).await?,
            (Some(now), None) => self.empty(table, run, now, current.generation).await?,
            (None, None) => return Err(Error::internal("a table of neither generation")),
        };
        Ok((table.clone(), way))
    }

    async fn back_to(
        &self,
        table: &TableName,
        run: &RunId,
        now: Option<&PinnedTable>,
        then: &PinnedTable,
        current: Generation,
    ) -> Result<Return> {
        let old = self.files(table, then).await?;
        let present = match now {
            Some(now) => Some(self.files(table, now).await?),
            None => None,
        };
        if let Some(now) = now
            && apply::same(present.as_ref(), Some(&old))
        {
            let (format, version) = (now.format, now.version);
            return Ok(Return::Same(PinnedTable {
                format,
                version,
                changed: false,
                ..then.clone()
            }));
        }
        self.must_exist(table, &old, present.as_ref()).await?;
        let change = restoring(table, run, old);
        let published = now.filter(|now| now.format == then.format).map(|now| now.version);
        let (base, planned) =
            self.plan_table(&change, then.format, published, Some(current)).await?;
        let pinned = PinnedTable { version: planned.version, changed: true, ..then.clone() };
        Ok(Return::Back { change, base, pinned })
    }

    async fn empty(
        &self,
        table: &TableName,
        run: &RunId,
        now: &PinnedTable,
        current: Generation,
    ) -> Result<Return> {
        let present = self.files(table, now).await?;
        if present.files.is_empty() {
            return Ok(Return::Gone);
        }
        let change = restoring(table, run, TableFiles::empty(present.schema));
        let (base, pinned) =
            self.plan_table(&change, now.format, Some(now.version), Some(current)).await?;
        Ok(Return::Emptied { change, base, pinned })
    }

    /// Every file that comes back has to be there, whole.
    async fn must_exist(
        &self,
        table: &TableName,
        old: &TableFiles,
        present: Option<&TableFiles>,
    ) -> Result<()> {
        let known: HashSet<&Url> =
            present.iter().flat_map(|present| &present.files).map(|file| &file.url).collect();
        // Files elsewhere, which another tool's commit brought, are that tool's.
        let ours = |url: &Url| url.as_str().starts_with(self.url().as_str());
        let back = old.files.iter().filter(|file| !known.contains(&file.url) && ours(&file.url));
        let looks: Vec<_> = back
            .map(|file| async move {
                let found = self.root.length(&path_of(&file.url)?).await?;
                Ok::<_, Error>((found != Some(file.bytes)).then_some(()))
            })
            .collect();
        let missing: Vec<Option<()>> =
            futures::stream::iter(looks).buffered(TABLES_AT_ONCE).try_collect().await?;
        match missing.into_iter().flatten().count() {
            0 => Ok(()),
            count => Err(Error::new(
                ErrorKind::Storage,
                format!("{count} of {} files of `{table}` are gone", old.files.len()),
            )
            .because(
                "files of older versions were removed by something else than `longshore clean`",
            )
            .hint("bring the files back from a backup, or roll back to a younger generation")),
        }
    }
}

/// The whole table as `files` have it.
fn restoring(table: &TableName, run: &RunId, files: TableFiles) -> TableChange {
    TableChange {
        table: table.clone(),
        schema: files.schema,
        add: files.files,
        keep: Keep::Nothing,
        cause: Cause::Rollback,
        source: None,
        run: run.clone(),
    }
}

/// What is to be done, and in which generation it ends.
fn gather(
    mut record: GenerationRecord,
    returns: Vec<(TableName, Return)>,
) -> (Intent, Vec<TableChange>) {
    let (mut bases, mut dropped, mut changes) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (table, way) in returns {
        match way {
            Return::Same(pinned) => {
                record.tables.insert(table, pinned);
            }
            Return::Back { change, base, pinned } => {
                record.tables.insert(table.clone(), pinned);
                bases.insert(table, base);
                changes.push(change);
            }
            Return::Emptied { change, base, pinned } => {
                dropped.insert(table.clone(), pinned);
                bases.insert(table, base);
                changes.push(change);
            }
            Return::Gone => {}
        }
    }
    (Intent { record, bases, dropped }, changes)
}
