//! Generations: the numbered, all-or-none states of the warehouse.
//!
//! `_longshore/generations/<20 digits>.json` pins a version of every published table, and says
//! which run made it, from which source positions, and what was audited. A generation is complete
//! in itself, is created only where there is none, and never changes. The newest one is never
//! removed; older ones go when nobody has to keep them any more.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::{
    Version, Warehouse,
    root::{Created, child, numbered},
};
use crate::{
    config::Format,
    error::{Context as _, Error, ErrorKind, Result},
    types::{Generation, PipelineName, RunId, TableName},
};

/// The layout of records that this code writes, and the newest that it reads.
pub(super) const RECORD_FORMAT: u32 = 1;

/// How many records are read at once.
const READ_AHEAD: usize = 16;

/// A generation as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerationRecord {
    /// The layout of this record.
    pub format_version: u32,
    /// Its number.
    pub generation: Generation,
    /// The generation before; none before the first.
    pub previous: Option<Generation>,
    /// A UUID of this attempt to publish, unlike any other's.
    pub commit: String,
    /// The run that published it.
    pub run: RunId,
    /// The pipeline that ran.
    pub pipeline: PipelineName,
    /// When it was published, RFC 3339 in UTC. Order is by number, never by time.
    pub published_at: String,
    /// What the run read, and up to where.
    pub sources: Vec<SourceRecord>,
    /// The generation whose tables a rollback brought back; `None` where a run published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<Generation>,
    /// Every table of the warehouse; those that the run did not touch as they were before.
    pub tables: BTreeMap<TableName, PinnedTable>,
    /// What was checked before publishing.
    pub audits: Vec<AuditRecord>,
    /// The version of Longshore that wrote this.
    pub longshore: String,
}

impl GenerationRecord {
    /// The generation after `current`, without a table yet.
    pub(super) fn after(current: Option<&Self>, run: RunId, pipeline: PipelineName) -> Self {
        let previous = current.map(|record| record.generation);
        Self {
            format_version: RECORD_FORMAT,
            generation: previous.unwrap_or_default().next(),
            previous,
            commit: uuid::Uuid::now_v7().to_string(),
            run,
            pipeline,
            published_at: jiff::Timestamp::now().to_string(),
            sources: Vec::new(),
            rollback_to: None,
            tables: BTreeMap::new(),
            audits: Vec::new(),
            longshore: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// The point in a source that a run read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// The connection's name.
    pub connection: String,
    /// The position, as the source tells it.
    pub position: serde_json::Value,
}

/// A table as a generation pins it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PinnedTable {
    /// How its versions are kept.
    #[serde(with = "FormatName")]
    pub format: Format,
    /// The version.
    pub version: Version,
    /// Rows in it.
    pub rows: u64,
    /// Files in it.
    pub files: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Its columns.
    pub columns: u64,
    /// Whether this generation brought it.
    pub changed: bool,
    /// The pipeline that published it last; records of older versions don't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<PipelineName>,
    /// Where that pipeline extracted it from; `None` where it was made by a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<TableSource>,
}

/// A table of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSource {
    /// The connection's name.
    pub connection: String,
    /// The schema in the source; empty for a query.
    pub schema: String,
    /// The name in the source.
    pub table: String,
}

/// The result of one audit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// The table.
    pub table: TableName,
    /// What was checked, `not_null(id)`.
    pub audit: String,
    /// `error` or `warn`.
    pub severity: String,
    /// Whether it held.
    pub passed: bool,
    /// How many rows broke it, where that was counted.
    pub failing_rows: Option<u64>,
}

/// A format's name in records.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Format", rename_all = "snake_case")]
enum FormatName {
    Delta,
    Parquet,
}

impl Warehouse {
    /// The newest generation; `None` where nothing was ever published.
    pub async fn current(&self) -> Result<Option<GenerationRecord>> {
        match self.root.newest(&self.generations_folder()?).await? {
            // Numbers start at 1.
            None | Some(0) => Ok(None),
            Some(number) => self.existing(Generation(number)).await.map(Some),
        }
    }

    /// The generation of this number, where there is one.
    pub async fn generation(&self, generation: Generation) -> Result<Option<GenerationRecord>> {
        let path = self.generation_path(generation)?;
        self.root.read(&path).await?.map(|content| parse(&content, &path)).transpose()
    }

    /// The generation of this number.
    ///
    /// # Errors
    /// `Usage` where it was cleaned away, or never was.
    pub async fn retained(&self, generation: Generation) -> Result<GenerationRecord> {
        if let Some(record) = self.generation(generation).await? {
            return Ok(record);
        }
        let newest = self.root.newest(&self.generations_folder()?).await?;
        let was_there = generation.0 > 0 && Some(generation.0) < newest;
        let error = if was_there {
            Error::new(ErrorKind::Usage, format!("generation {generation} was cleaned away"))
                .because("it was older than `retention` keeps (`warehouse` in longshore.yml)")
        } else {
            Error::new(ErrorKind::Usage, format!("there is no generation {generation}"))
        };
        Err(error.hint("see `longshore tables --generations` for those there are"))
    }

    /// The newest generations, newest first, at most `limit`. The list ends where cleaning has
    /// removed the older ones.
    pub async fn generations(&self, limit: usize) -> Result<Vec<GenerationRecord>> {
        let Some(newest) = self.root.newest(&self.generations_folder()?).await? else {
            return Ok(Vec::new());
        };
        futures::stream::iter((1..=newest).rev().take(limit))
            .map(|number| self.generation(Generation(number)))
            .buffered(READ_AHEAD)
            .take_while(|found| futures::future::ready(!matches!(found, Ok(None))))
            .try_filter_map(async |found| Ok(found))
            .try_collect()
            .await
    }

    /// The generation that `run` published, looked for from the newest backwards. A run's id starts
    /// with its start, so generations of a day or more before that can't be its own.
    pub async fn generation_of(&self, run: &RunId) -> Result<Option<GenerationRecord>> {
        let oldest = run
            .started_at()
            .and_then(|start| start.checked_sub(jiff::SignedDuration::from_hours(24)).ok());
        let mut next = self.current().await?;
        while let Some(record) = next {
            if record.run == *run {
                return Ok(Some(record));
            }
            let published: Option<jiff::Timestamp> = record.published_at.parse().ok();
            if let (Some(oldest), Some(published)) = (oldest, published)
                && published < oldest
            {
                return Ok(None);
            }
            next = match record.previous {
                // Where cleaning has removed the older ones, none of them is the run's.
                Some(previous) => self.generation(previous).await?,
                None => None,
            };
        }
        Ok(None)
    }

    async fn existing(&self, generation: Generation) -> Result<GenerationRecord> {
        self.generation(generation).await?.ok_or_else(|| {
            Error::new(ErrorKind::Storage, format!("generation {generation} is missing"))
                .because("it is the newest, and nothing removes that")
        })
    }

    /// Creates the generation file of `record`; whoever creates a number first has it.
    pub(super) async fn write_generation(&self, record: &GenerationRecord) -> Result<Written> {
        let path = self.generation_path(record.generation)?;
        let content = serde_json::to_vec_pretty(record)
            .or_fail(ErrorKind::Internal, || "a generation can't be written".to_owned())?;
        Ok(match self.root.create(&path, content.into()).await? {
            Created::Ours => Written::Ours,
            Created::Taken(other) => {
                let other = parse(&other, &path)?;
                if other.commit == record.commit {
                    Written::Ours
                } else {
                    Written::Taken(other.run)
                }
            }
        })
    }

    pub(super) fn generations_folder(&self) -> Result<Path> {
        self.root.at("_longshore/generations")
    }

    fn generation_path(&self, generation: Generation) -> Result<Path> {
        child(&self.generations_folder()?, &numbered(generation.0))
    }
}

/// What came of writing a generation.
pub(super) enum Written {
    /// It is ours, now or since an earlier attempt.
    Ours,
    /// This run has the number.
    Taken(RunId),
}

fn parse(content: &Bytes, path: &Path) -> Result<GenerationRecord> {
    let record: GenerationRecord = serde_json::from_slice(content)
        .or_fail(ErrorKind::Storage, || format!("the generation file `{path}` is damaged"))?;
    if record.format_version > RECORD_FORMAT {
        return Err(Error::new(
            ErrorKind::Storage,
            format!("the generation file `{path}` was written by longshore {}", record.longshore),
        )
        .because("its layout is newer than this longshore knows")
        .hint("use that version of longshore, or a newer one"));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_name_no_pipeline_of_a_table_are_read() {
        let pinned = r#"{"format": "delta", "version": 3, "rows": 1, "files": 1, "bytes": 9,
            "columns": 2, "changed": false}"#;
        let pinned: PinnedTable = serde_json::from_str(pinned).unwrap();
        assert_eq!((pinned.pipeline, pinned.source), (None, None));
    }
}
