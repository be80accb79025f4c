//! Settling publishes that were cut short: forward when all tables are committed, else back.
//!
//! Every step here can be cut short as well, and done again.

use std::fmt;

use futures::{StreamExt as _, TryStreamExt as _};

use super::{
    Cause, Commit, Keep, TableChange, Version, Warehouse, apply,
    durable::sweep,
    generation::Written,
    publish::{Intent, TABLES_AT_ONCE, Undoing},
    verdict::Verdict,
};
use crate::{
    config::Format,
    error::{Error, ErrorKind, Result},
    types::{Generation, PipelineName, RunId, TableFiles, TableName},
};

/// A publish that was found unfinished, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciled {
    /// The run that was publishing.
    pub run: RunId,
    /// Its pipeline.
    pub pipeline: PipelineName,
    /// What became of it.
    pub outcome: Outcome,
}

impl fmt::Display for Reconciled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, pipeline, outcome } = self;
        write!(f, "run {run} of `{pipeline}` was cut short while it published; ")?;
        match outcome {
            Outcome::Done(generation) => write!(f, "its generation {generation} is whole"),
            Outcome::Forward(generation) => write!(f, "finished it as generation {generation}"),
            Outcome::Back { left } if left.is_empty() => f.write_str("took its tables back"),
            Outcome::Back { left } => {
                let left: Vec<_> = left.iter().map(ToString::to_string).collect();
                write!(f, "took its tables back, except {}, changed since", left.join(", "))
            }
        }
    }
}

/// What became of an unfinished publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its generation was there; only the intent was left over.
    Done(Generation),
    /// All its tables were committed; its generation is published now.
    Forward(Generation),
    /// Its tables are as they were before.
    Back {
        /// Tables that another writer changed on top, and that therefore keep what the run brought
        /// for readers of single tables. Generations don't show it.
        left: Vec<TableName>,
    },
}

/// How far one table of an unfinished publish came.
#[derive(Debug, PartialEq, Eq)]
enum TableState {
    /// It has no version of that run, or the run's version was already taken back.
    Before,
    /// The run's version is its newest.
    Committed,
    /// Another writer went on from the run's version.
    Overtaken,
}

impl Warehouse {
    /// Settles every unfinished publish, oldest run first. The caller makes sure, by a lock, that no
    /// run is publishing. Killed at any instant, it can simply be run again.
    pub async fn reconcile(&self) -> Result<Vec<Reconciled>> {
        self.must_write()?;
        let mut runs: Vec<RunId> = self
            .root
            .names(&self.intents_folder()?)
            .await?
            .iter()
            .filter_map(|name| name.strip_suffix(".json")?.parse().ok())
            .collect();
        runs.sort();
        let mut settled = Vec::new();
        for run in runs {
            let Some(intent) = self.read_intent(&run).await? else { continue };
            let outcome = self.settle(&intent).await.map_err(|error| {
                error
                    .context(format!("the unfinished publish of run `{run}` could not be settled"))
                    .hint("mend what is wrong, then run again")
            })?;
            settled.push(Reconciled { run, pipeline: intent.record.pipeline, outcome });
        }
        Ok(settled)
    }

    /// Settles one unfinished publish and removes its intent.
    pub(super) async fn settle(&self, intent: &Intent) -> Result<Outcome> {
        let record = &intent.record;
        let outcome = match self.generation(record.generation).await? {
            Some(there) if there.commit == record.commit => Outcome::Done(record.generation),
            Some(_) => self.back(intent).await?,
            None => self.forward_or_back(intent).await?,
        };
        if outcome == Outcome::Forward(record.generation) {
            self.step("generation_written")?;
        }
        self.sweep_after(intent).await?;
        self.remove_intent(&record.run).await?;
        self.step("intent_removed")?;
        self.forget_verdict(intent).await?;
        if outcome == Outcome::Forward(record.generation) {
            self.tidy(intent).await;
        }
        Ok(outcome)
    }

    async fn forward_or_back(&self, intent: &Intent) -> Result<Outcome> {
        let looks: Vec<_> =
            intent.bases.keys().map(|table| self.table_state(intent, table)).collect();
        let states: Vec<_> =
            futures::stream::iter(looks).buffered(TABLES_AT_ONCE).try_collect().await?;
        let is_whole = !states.contains(&TableState::Before);
        let wanted = if is_whole { Verdict::Forward } else { Verdict::Back };
        if self.decide(intent, wanted).await? == Verdict::Back {
            return self.back(intent).await;
        }
        match self.write_generation(&intent.record).await? {
            Written::Ours => Ok(Outcome::Forward(intent.record.generation)),
            Written::Taken(_) => self.back(intent).await,
        }
    }

    async fn back(&self, intent: &Intent) -> Result<Outcome> {
        match self.go_back(intent).await {
            Ok(left) => Ok(Outcome::Back { left }),
            Err(Undoing::Stopped(error) | Undoing::Failed(error)) => Err(error),
        }
    }

    /// Restores every table that the run committed; gives back those that it can't restore because
    /// another writer went on from them. Leaves the intent.
    pub(super) async fn go_back(&self, intent: &Intent) -> Result<Vec<TableName>, Undoing> {
        let mut left = Vec::new();
        for table in intent.bases.keys() {
            match self.table_state(intent, table).await.map_err(Undoing::Failed)? {
                TableState::Before => {}
                TableState::Overtaken => left.push(table.clone()),
                TableState::Committed => {
                    if self.restore(intent, table).await.map_err(Undoing::Failed)? {
                        self.step(&format!("table_restored:{table}")).map_err(Undoing::Stopped)?;
                    } else {
                        left.push(table.clone());
                    }
                }
            }
        }
        Ok(left)
    }

    async fn table_state(&self, intent: &Intent, table: &TableName) -> Result<TableState> {
        let (base, pinned) = intent.of(table)?;
        let keeper = self.table_format(pinned.format);
        let newest = keeper.current(table).await?;
        if newest < Some(pinned.version)
            || keeper.author(table, pinned.version).await?.as_ref() != Some(&intent.record.run)
        {
            return Ok(TableState::Before);
        }
        if newest == Some(pinned.version) {
            return Ok(TableState::Committed);
        }
        let now = self.files_at(intent, table, newest).await?;
        let before = self.files_at(intent, table, base).await?;
        Ok(if apply::same(now.as_ref(), before.as_ref()) {
            TableState::Before
        } else {
            TableState::Overtaken
        })
    }

    async fn files_at(
        &self,
        intent: &Intent,
        table: &TableName,
        version: Option<Version>,
    ) -> Result<Option<TableFiles>> {
        let (_, pinned) = intent.of(table)?;
        match version {
            Some(version) => self.table_format(pinned.format).files(table, version).await.map(Some),
            None => Ok(None),
        }
    }

    /// Commits the files from before the run on top of the run's version. Whether it came to be so.
    async fn restore(&self, intent: &Intent, table: &TableName) -> Result<bool> {
        let (base, pinned) = intent.of(table)?;
        let before = self.files_at(intent, table, base).await?;
        let over = (pinned.format, Some(pinned.version));
        self.restore_over(&intent.record.run, table, over, before).await
    }

    /// Whether `run` has neither an intent nor a generation, so that nothing it committed counts.
    pub(super) async fn is_abandoned(&self, run: &RunId) -> Result<bool> {
        Ok(self.read_intent(run).await?.is_none() && self.generation_of(run).await?.is_none())
    }

    /// Takes back what `run` committed: `before` on top of a version. A table that was not there
    /// before becomes one without rows. Whether it came to be so.
    pub(super) async fn restore_over(
        &self,
        run: &RunId,
        table: &TableName,
        (format, over): (Format, Option<Version>),
        before: Option<TableFiles>,
    ) -> Result<bool> {
        let keeper = self.table_format(format);
        let before = match (before, over) {
            (Some(before), _) => before,
            (None, Some(version)) => TableFiles::empty(keeper.files(table, version).await?.schema),
            (None, None) => return Ok(true),
        };
        let change = TableChange {
            table: table.clone(),
            schema: before.schema,
            add: before.files,
            keep: Keep::Nothing,
            cause: Cause::Undo,
            source: None,
            run: run.clone(),
        };
        match keeper.commit(&change, over).await {
            Ok(Commit::Published(_) | Commit::AlreadyPublished(_)) => Ok(true),
            Ok(Commit::Conflict { .. }) => Ok(false),
            Err(error) => Err(error
                .context(format!("`{table}` could not be restored"))
                .of_kind(ErrorKind::Storage)),
        }
    }

    /// Removes litter of writes that the crash interrupted, on this machine.
    async fn sweep_after(&self, intent: &Intent) -> Result<()> {
        let Some(root) = self.local_root() else { return Ok(()) };
        let mut folders = ["generations", "intents", "verdicts"]
            .map(|name| root.join("_longshore").join(name))
            .to_vec();
        for table in intent.bases.keys() {
            let folder = root.join(table.folder());
            folders.extend([folder.join("_delta_log"), folder.join("_manifest"), folder]);
        }
        tokio::task::spawn_blocking(move || folders.iter().for_each(|folder| sweep(folder)))
            .await
            .map_err(|error| Error::internal(error.to_string()))
    }
}
