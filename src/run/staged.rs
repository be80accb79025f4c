//! A table of a run once it is staged: what the extract and transform steps hand to the runner.

use std::time::Duration;

use super::report::{MisfitReport, StepKind, StepReport};
use crate::{
    error::{Error, Result},
    types::{TableFiles, TableName, Timings},
};

/// A table of this run, staged whole.
pub(super) struct Staged {
    pub(super) files: TableFiles,
    pub(super) step: StepReport,
}

impl Staged {
    pub(super) fn new(
        table: TableName,
        kind: StepKind,
        files: TableFiles,
        elapsed: Duration,
        spent: Timings,
    ) -> Self {
        let step = StepReport {
            table,
            kind,
            rows: files.rows(),
            bytes: files.bytes(),
            files: files.files.len() as u64,
            elapsed,
            spent: Some(spent),
            misfits: MisfitReport::default(),
        };
        Self { files, step }
    }
}

impl Staged {
    /// The rejects of a table that was extracted; their time is in that table's.
    pub(super) fn rejects(table: TableName, files: TableFiles) -> Self {
        let none = (Duration::ZERO, Timings::default());
        let mut staged = Self::new(table, StepKind::Rejects, files, none.0, none.1);
        staged.step.spent = None;
        staged
    }
}

/// Runs `work` on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal(format!("a worker broke down: {error}")))?
}
