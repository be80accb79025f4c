//! What a run did: the record that the ledger keeps and the command line shows.

use std::time::Duration;

use serde::Serialize;

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

fn seconds<S: serde::Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    // Milliseconds are as fine as anyone reads them.
    serializer.serialize_f64((elapsed.as_secs_f64() * 1000.0).round() / 1000.0)
}
