//! Publishing: intent, table commits, generation.
//!
//! The order is the promise. The intent is durable before the first table changes, so that a crash
//! anywhere leaves enough to finish or undo. The generation is created after the last table, so
//! that readers of generations see all tables of a run or none. The intent goes last.

use std::collections::{BTreeMap, HashSet};

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::{
    AuditRecord, Commit, GenerationRecord, Keep, PinnedTable, SourceRecord, TableChange, Version,
    Warehouse, apply,
    generation::Written,
    reconcile::Outcome,
    root::{Created, child},
    verdict::Verdict,
};
use crate::{
    config::Format,
    error::{Context as _, Error, ErrorKind, Result},
    types::{Generation, PipelineName, RunId, TableFiles, TableName},
};

/// Tables that are planned, committed or looked at together.
pub(super) const TABLES_AT_ONCE: usize = 8;

/// What a run publishes.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The run.
    pub run: RunId,
    /// Its pipeline.
    pub pipeline: PipelineName,
    /// The tables it changes, each once, their files in place.
    pub changes: Vec<TableChange>,
    /// What it read, and up to where.
    pub sources: Vec<SourceRecord>,
    /// What was checked.
    pub audits: Vec<AuditRecord>,
}

/// What publishing came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Published {
    /// This generation is new and current.
    Now(GenerationRecord),
    /// This generation already was what was asked for; nothing was changed.
    Before(GenerationRecord),
}

impl Published {
    /// The generation.
    pub fn record(&self) -> &GenerationRecord {
        match self {
            Self::Now(record) | Self::Before(record) => record,
        }
    }
}

/// What a publish is about to do, written down before it does. Together with the tables' logs it
/// says all that finishing or undoing needs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Intent {
    /// The generation to be, whole.
    pub(super) record: GenerationRecord,
    /// The tables that change, by name. Their versions to be are in the record.
    pub(super) bases: BTreeMap<TableName, Option<Version>>,
    /// Those of them that the generation to be does not hold any more, as they will be: empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) dropped: BTreeMap<TableName, PinnedTable>,
}

enum TableOutcome {
    Committed,
    Conflict { found: Option<Version> },
    Failed(Error),
}

impl Warehouse {
    /// Publishes a run: all its tables, or none.
    ///
    /// `Conflict` errors mean that somebody else published or changed a table meanwhile; the
    /// warehouse then is as they left it. After other errors readers of generations still see what
    /// they saw before; what the tables' own logs already show is taken back here where possible,
    /// else by [`Warehouse::reconcile`], which must have run before the next publish. Cancelling is
    /// like a crash: `reconcile` settles it.
    ///
    /// Publishing a run again changes nothing ([`Published::Before`]).
    pub async fn publish(&self, publication: Publication) -> Result<Published> {
        self.must_write()?;
        if let Some(record) = self.settled_before(&publication.run).await? {
            return Ok(Published::Before(record));
        }
        let current = self.current().await?;
        let mut publication = publication;
        publication.changes.sort_by(|one, other| one.table.cmp(&other.table));
        let intent = self.plan(&mut publication, current).await?;
        self.carry_out(intent, &publication.changes).await
    }

    /// Does what an intent says, whose tables change by `changes`, in the order of their names.
    pub(super) async fn carry_out(
        &self,
        intent: Intent,
        changes: &[TableChange],
    ) -> Result<Published> {
        self.write_intent(&intent).await?;
        self.step("intent_written")?;
        let state = intent.record.previous;
        if let Err(stopped) = self.commit_tables(&intent, changes).await? {
            // Another start may have seen a commit whose reply we lost, and go forward.
            match self.decide(&intent, Verdict::Back).await {
                Ok(Verdict::Forward) => {}
                Ok(Verdict::Back) => return Err(self.take_back(&intent, stopped).await?),
                Err(error) => return Err(stopped.told(state).because(error).hint(UNDONE_LATER)),
            }
        }
        self.step("tables_committed")?;
        self.create_generation(&intent, state).await?;
        self.step("generation_written")?;
        self.forget_verdict(&intent).await?;
        self.remove_intent(&intent.record.run).await?;
        self.step("intent_removed")?;
        self.tidy(&intent).await;
        Ok(Published::Now(intent.record))
    }

    /// The generation that the run already has, after settling what it left unfinished.
    pub(super) async fn settled_before(&self, run: &RunId) -> Result<Option<GenerationRecord>> {
        if let Some(intent) = self.read_intent(run).await? {
            let outcome = self.settle(&intent).await?;
            tracing::info!(%run, ?outcome, "an unfinished publish of the same run was settled");
            if let Outcome::Back { .. } = outcome {
                return Ok(None);
            }
        }
        self.generation_of(run).await
    }

    /// Checks everything that can be checked before the first write.
    async fn plan(
        &self,
        publication: &mut Publication,
        current: Option<GenerationRecord>,
    ) -> Result<Intent> {
        let names: HashSet<_> = publication.changes.iter().map(|change| &change.table).collect();
        let alien = publication.changes.iter().any(|change| change.run != publication.run);
        if names.len() != publication.changes.len() || alien {
            return Err(Error::internal("a publication names a table twice, or another run"));
        }
        let mut record = GenerationRecord::after(
            current.as_ref(),
            publication.run.clone(),
            publication.pipeline.clone(),
        );
        let previous = record.previous;
        let mut tables = current.map(|record| record.tables).unwrap_or_default();
        for pinned in tables.values_mut() {
            pinned.changed = false;
        }
        for change in &mut publication.changes {
            if !tables.contains_key(&change.table) {
                // What is not published has no rows to keep, whatever an undone publish left.
                change.keep = Keep::Nothing;
            }
        }
        let plans: Vec<_> = publication
            .changes
            .iter()
            .map(|change| {
                let pinned = tables.get(&change.table);
                let format = pinned.map_or(self.format, |pinned| pinned.format);
                self.plan_table(change, format, pinned.map(|pinned| pinned.version), previous)
            })
            .collect();
        let planned: Vec<_> =
            futures::stream::iter(plans).buffered(TABLES_AT_ONCE).try_collect().await?;
        let mut bases = BTreeMap::new();
        for (change, (base, pinned)) in publication.changes.iter().zip(planned) {
            bases.insert(change.table.clone(), base);
            let (pipeline, source) = (Some(publication.pipeline.clone()), change.source.clone());
            tables.insert(change.table.clone(), PinnedTable { pipeline, source, ..pinned });
        }
        record.sources.clone_from(&publication.sources);
        record.audits.clone_from(&publication.audits);
        record.tables = tables;
        Ok(Intent { record, bases, dropped: BTreeMap::new() })
    }

    /// The version that a change goes on top of, and the table as it will be pinned. `expected` is
    /// the version that is published.
    pub(super) async fn plan_table(
        &self,
        change: &TableChange,
        format: Format,
        expected: Option<Version>,
        previous: Option<Generation>,
    ) -> Result<(Option<Version>, PinnedTable)> {
        let keeper = self.table_format(format);
        let base = keeper.current(&change.table).await?;
        let before = match base {
            Some(version) if base != expected || change.keep != Keep::Nothing => {
                Some(keeper.files(&change.table, version).await?)
            }
            _ => None,
        };
        if base != expected {
            let published = match expected {
                Some(version) if base > expected => {
                    Some(keeper.files(&change.table, version).await?)
                }
                _ => None,
            };
            if base < expected || !apply::same(before.as_ref(), published.as_ref()) {
                let author = match base {
                    Some(version) => keeper.author(&change.table, version).await?,
                    None => None,
                };
                let Some(run) = author else {
                    return Err(foreign_commit(&change.table, base, expected, previous));
                };
                if !self.is_abandoned(&run).await? {
                    return Err(unsettled(&change.table, &run, previous));
                }
                // A commit of a run that was settled as dead, woke, and died before it noticed.
                self.restore_over(&run, &change.table, (format, base), published).await?;
                return Box::pin(self.plan_table(change, format, expected, previous)).await;
            }
        }
        let after = apply::after(before.as_ref(), change)?;
        Ok((base, pin(format, Version::after(base), &after)))
    }

    async fn commit_tables(
        &self,
        intent: &Intent,
        changes: &[TableChange],
    ) -> Result<Result<(), Stopped>> {
        // The first table alone: of two runs that publish the same tables, it decides.
        let (first, rest) = changes.split_at(changes.len().min(1));
        for some in [first, rest] {
            let commits: Vec<_> =
                some.iter().map(|change| self.commit_table(intent, change)).collect();
            let outcomes: Vec<_> =
                futures::stream::iter(commits).buffered(TABLES_AT_ONCE).collect().await;
            let mut stopped = None;
            for (change, outcome) in some.iter().zip(outcomes) {
                let table = change.table.clone();
                match outcome? {
                    TableOutcome::Committed => {}
                    TableOutcome::Conflict { found } => {
                        stopped.get_or_insert(Stopped::Conflict { table, found });
                    }
                    TableOutcome::Failed(error) => {
                        stopped = Some(Stopped::Failed { table, error });
                    }
                }
            }
            if let Some(stopped) = stopped {
                return Ok(Err(stopped));
            }
        }
        Ok(Ok(()))
    }

    /// Commits one table. An error is the observer's, and ends the publish as a crash would.
    async fn commit_table(&self, intent: &Intent, change: &TableChange) -> Result<TableOutcome> {
        let (base, pinned) = intent.of(&change.table)?;
        let outcome = match self.table_format(pinned.format).commit(change, base).await {
            Ok(Commit::Published(_) | Commit::AlreadyPublished(_)) => TableOutcome::Committed,
            Ok(Commit::Conflict { found }) => TableOutcome::Conflict { found },
            Err(error) => TableOutcome::Failed(error),
        };
        if matches!(outcome, TableOutcome::Committed) {
            self.step(&format!("table_committed:{}", change.table))?;
        }
        Ok(outcome)
    }

    /// Undoes what was committed before `stopped`, and words the error for the caller. An error of
    /// this function itself is the observer's.
    async fn take_back(&self, intent: &Intent, stopped: Stopped) -> Result<Error> {
        let conflict = matches!(stopped, Stopped::Conflict { .. });
        let told = stopped.told(intent.record.previous);
        match self.go_back(intent).await {
            Ok(left) => {
                // After a failure a late reply may still bring the commit: the intent stays, and
                // the next start looks again.
                if conflict {
                    self.remove_intent(&intent.record.run).await?;
                    self.forget_verdict(intent).await?;
                }
                Ok(left.iter().fold(told, |told, table| {
                    told.because(format!("`{table}` was changed on top by another writer"))
                }))
            }
            Err(Undoing::Stopped(error)) => Err(error),
            Err(Undoing::Failed(error)) => Ok(told
                .because("readers of single tables may see part of this run until it is undone")
                .because(error)
                .hint(UNDONE_LATER)),
        }
    }

    async fn create_generation(&self, intent: &Intent, state: Option<Generation>) -> Result<()> {
        let number = intent.record.generation;
        let failed = |error: Error| {
            error
                .context(format!("generation {number} could not be written; {}", unchanged(state)))
                .hint("run again: the next start finishes or undoes this")
        };
        let verdict = self.decide(intent, Verdict::Forward).await.map_err(failed)?;
        self.step("decided")?;
        // Who settled this publish before us has removed the intent.
        let is_settled = self.read_intent(&intent.record.run).await?.is_none();
        let other = if verdict == Verdict::Back || is_settled {
            let there = self.generation(number).await?;
            if there.is_some_and(|there| there.commit == intent.record.commit) {
                return Ok(());
            }
            "a start that took this run for dead".to_owned()
        } else {
            match self.write_generation(&intent.record).await.map_err(failed)? {
                Written::Ours => return Ok(()),
                Written::Taken(run) => format!("run `{run}`"),
            }
        };
        let lost = Error::new(
            ErrorKind::Conflict,
            "another run was faster; nothing of this run is visible".to_owned(),
        )
        .because(format!("{other} settled generation {number} while this one published"));
        match self.go_back(intent).await {
            Ok(_) => {
                self.remove_intent(&intent.record.run).await?;
                self.forget_verdict(intent).await?;
                Err(lost)
            }
            Err(Undoing::Stopped(error)) => Err(error),
            Err(Undoing::Failed(error)) => Err(lost.because(error).hint(UNDONE_LATER)),
        }
    }

    /// Housekeeping that nobody waits for the success of.
    pub(super) async fn tidy(&self, intent: &Intent) {
        for (table, base) in &intent.bases {
            let Ok((_, pinned)) = intent.of(table) else { continue };
            let keeper = self.table_format(pinned.format);
            if let Err(error) = keeper.tidy(table, *base, pinned.version).await {
                tracing::warn!(%table, %error, "a table's log was not tidied");
            }
        }
    }

    async fn write_intent(&self, intent: &Intent) -> Result<()> {
        let content = serde_json::to_vec_pretty(intent)
            .or_fail(ErrorKind::Internal, || "an intent can't be written".to_owned())?;
        let path = self.intent_path(&intent.record.run)?;
        let failed =
            || format!("publishing could not begin; {}", unchanged(intent.record.previous));
        match self.root.create(&path, content.into()).await {
            Ok(Created::Ours) => Ok(()),
            Ok(Created::Taken(_)) => Err(Error::new(ErrorKind::Conflict, failed())
                .because(format!("run `{}` is being published already", intent.record.run))),
            Err(error) => Err(error.context(failed())),
        }
    }

    pub(super) async fn read_intent(&self, run: &RunId) -> Result<Option<Intent>> {
        let path = self.intent_path(run)?;
        let Some(content) = self.root.read(&path).await? else { return Ok(None) };
        serde_json::from_slice(&content)
            .map(Some)
            .or_fail(ErrorKind::Storage, || format!("the intent `{path}` is damaged"))
    }

    pub(super) async fn remove_intent(&self, run: &RunId) -> Result<()> {
        self.root.remove(&self.intent_path(run)?).await
    }

    pub(super) fn intents_folder(&self) -> Result<Path> {
        self.root.at("_longshore/intents")
    }

    fn intent_path(&self, run: &RunId) -> Result<Path> {
        child(&self.intents_folder()?, &format!("{run}.json"))
    }
}

/// Why committing tables ended early.
enum Stopped {
    Conflict { table: TableName, found: Option<Version> },
    Failed { table: TableName, error: Error },
}

const UNDONE_LATER: &str = "run again: the next start undoes what is left";

impl Stopped {
    /// As an error, where readers of generations see `state`.
    fn told(self, state: Option<Generation>) -> Error {
        match self {
            Self::Conflict { table, found } => {
                let found =
                    found.map_or("no version".to_owned(), |found| format!("version {found}"));
                Error::new(
                    ErrorKind::Conflict,
                    format!(
                        "another writer changed `{table}` while this run published; \
                         nothing of this run is visible"
                    ),
                )
                .because(format!("`{table}` now has {found}, committed by somebody else"))
            }
            Self::Failed { table, error } => {
                error.context(format!("`{table}` could not be committed; {}", unchanged(state)))
            }
        }
    }
}

/// Why undoing ended early.
pub(super) enum Undoing {
    /// The observer said so: as in a crash, nothing more may be done.
    Stopped(Error),
    /// Something could not be undone; a later attempt may.
    Failed(Error),
}

impl Intent {
    /// The version that a table had, and how it is to be pinned.
    pub(super) fn of(&self, table: &TableName) -> Result<(Option<Version>, &PinnedTable)> {
        let pinned = self.record.tables.get(table).or_else(|| self.dropped.get(table));
        match (self.bases.get(table), pinned) {
            (Some(base), Some(pinned)) => Ok((*base, pinned)),
            _ => Err(Error::internal(format!("an intent says nothing of `{table}`"))),
        }
    }
}

fn pin(format: Format, version: Version, table: &TableFiles) -> PinnedTable {
    PinnedTable {
        format,
        version,
        rows: table.rows(),
        files: table.files.len() as u64,
        bytes: table.bytes(),
        columns: table.schema.fields().len() as u64,
        changed: true,
        pipeline: None,
        source: None,
    }
}

/// What readers of generations see after a publish that failed.
pub(super) fn unchanged(previous: Option<Generation>) -> String {
    match previous {
        Some(generation) => format!("the warehouse is unchanged at generation {generation}"),
        None => "the warehouse is still empty".to_owned(),
    }
}

fn unsettled(table: &TableName, run: &RunId, previous: Option<Generation>) -> Error {
    let state = unchanged(previous);
    Error::new(ErrorKind::Conflict, format!("another run is publishing `{table}`; {state}"))
        .because(format!("run `{run}` changed it and is not through, or was cut short"))
        .hint("run again once that run has ended; what was cut short is settled at the next start")
}

fn foreign_commit(
    table: &TableName,
    found: Option<Version>,
    pinned: Option<Version>,
    previous: Option<Generation>,
) -> Error {
    let state = unchanged(previous);
    let conflict = |what: String| Error::new(ErrorKind::Conflict, format!("{what}; {state}"));
    match (found, pinned) {
        (Some(found), Some(pinned)) => {
            conflict(format!("another tool changed `{table}` since it was published"))
                .because(format!("it was published as version {pinned} and is at version {found}"))
                .hint(format!(
                    "restore version {pinned} of `{table}` with the tool that changed it, \
                     then run again"
                ))
        }
        (None, _) => conflict(format!("the log of `{table}` has vanished"))
            .hint(format!("bring back the folder of `{table}` from a backup, then run again")),
        (Some(found), None) => conflict(format!("the place of `{table}` is taken"))
            .because(format!("its folder holds version {found} of a table of another tool"))
            .hint("publish under another name, or move that table away"),
    }
}
