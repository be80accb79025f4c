//! What a run did: the record that the ledger keeps and the command line shows.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::types::{Generation, PipelineName, RunId, TableName, Timings};

/// A run that ended well.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// The run's id.
    pub run: RunId,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The generation that it published; `None` with `--no-publish`.
    pub generation: Option<Generation>,
    /// What it read and made, in the order of their ends.
    pub steps: Vec<StepReport>,
    /// The checks, passed and warned.
    pub audits: Vec<AuditReport>,
    /// From start to publish.
    #[serde(serialize_with = "seconds", rename = "seconds")]
    pub elapsed: Duration,
}

/// Which part of the flow a step belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::Display, strum::EnumString)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum StepKind {
    /// A table read from a source.
    Extract,
    /// The rows that could not go into an extracted table.
    Rejects,
    /// A table made by a model.
    Model,
}

/// One table of a run, staged.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// The table.
    pub table: TableName,
    /// How it came about.
    pub kind: StepKind,
    /// Rows staged.
    pub rows: u64,
    /// Bytes of the staged Parquet files.
    pub bytes: u64,
    /// Number of staged files.
    pub files: u64,
    /// From the first chunk's start to the last one's end.
    #[serde(serialize_with = "seconds", rename = "seconds")]
    pub elapsed: Duration,
    /// Where the time of its workers went; unknown of runs by versions that did not measure it.
    #[serde(rename = "worker_seconds")]
    pub spent: Option<Timings>,
    /// What of the source did not fit.
    #[serde(flatten)]
    pub misfits: MisfitReport,
    /// What its rows became of the published ones, with `mode: upsert`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upsert: Option<UpsertReport>,
}

/// What an upsert came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpsertReport {
    /// Rows whose key is new.
    pub inserted: u64,
    /// Rows that took the place of a published one.
    pub updated: u64,
    /// Published files that stay as they are.
    pub kept_files: u64,
    /// Published files that gave up rows or were rewritten with wider types.
    pub replaced_files: u64,
}

/// As one sentence.
impl fmt::Display for UpsertReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inserted, updated, kept_files, replaced_files } = self;
        let files = kept_files + replaced_files;
        let noun = if files == 1 { "file" } else { "files" };
        write!(f, "{inserted} inserted, {updated} updated, in {replaced_files} of {files} {noun}")
    }
}

/// What did not fit in a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MisfitReport {
    /// Rows that went to the table's rejects instead.
    pub rejected: u64,
    /// Values that were published as NULL.
    pub nulled: u64,
    /// Both by column.
    #[serde(rename = "misfits")]
    pub columns: Vec<ColumnMisfits>,
}

impl MisfitReport {
    /// Whether everything fit.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }
}

/// What became of how many, and why, as one sentence.
impl fmt::Display for MisfitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rejected, nulled, columns } = self;
        let many = |number: u64, one: &str| {
            if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
        };
        let rejected = (*rejected > 0).then(|| format!("{} rejected", many(*rejected, "row")));
        let nulled = (*nulled > 0).then(|| format!("{} published as NULL", many(*nulled, "value")));
        let outcomes: Vec<_> = rejected.into_iter().chain(nulled).collect();
        let why: Vec<_> = columns.iter().map(ToString::to_string).collect();
        write!(f, "{}: {}", outcomes.join(", "), why.join("; "))
    }
}

/// The values of one column that did not fit for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnMisfits {
    /// The column's name in the source.
    pub column: String,
    /// What is wrong with them: "holds NaN, which `decimal(12,2)` can't".
    pub reason: String,
    /// What became of them.
    pub outcome: MisfitOutcome,
    /// How many there are.
    pub values: u64,
}

impl fmt::Display for ColumnMisfits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, reason, values, .. } = self;
        let times = if *values == 1 { "once".to_owned() } else { format!("{values} times") };
        write!(f, "column `{column}` {reason}, {times}")
    }
}

/// What became of a value that did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MisfitOutcome {
    /// Its row was rejected.
    Rejected,
    /// NULL stands for it.
    Nulled,
}

impl StepReport {
    /// Rows a second, or `None` where no time passed.
    pub fn rows_per_second(&self) -> Option<f64> {
        let seconds = self.elapsed.as_secs_f64();
        (seconds > 0.0).then(|| self.rows as f64 / seconds)
    }
}

/// One check's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// The table that was checked.
    pub table: TableName,
    /// The audit's name, `not_null`.
    pub audit: String,
    /// What it was about, `id, placed_at`.
    pub detail: String,
    /// Whether it held.
    pub passed: bool,
    /// Whether a failure stops the publish.
    pub blocking: bool,
    /// Rows that broke it.
    pub failing_rows: u64,
    /// Keys of up to ten of them.
    pub sample: Vec<String>,
    /// `file:line` of the audit.
    pub origin: String,
}

pub(super) fn seconds<S: serde::Serializer>(
    elapsed: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    // Milliseconds are as fine as anyone reads them.
    serializer.serialize_f64((elapsed.as_secs_f64() * 1000.0).round() / 1000.0)
}
