//! A table of a run once it is staged: what the extract and transform steps hand to the runner.

use std::{collections::BTreeMap, time::Duration};

use super::report::{MisfitReport, StepKind, StepReport};
use crate::{
    error::{Error, Result},
    types::{TableFiles, TableName, Timings},
    warehouse::Keep,
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
            upsert: None,
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

/// The tables of a run that are staged so far.
#[derive(Default)]
pub(super) struct StagedTables {
    pub(super) tables: BTreeMap<TableName, TableFiles>,
    /// What each leaves of its published files.
    pub(super) keep: BTreeMap<TableName, Keep>,
}

/// Runs `work` on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal(format!("a worker broke down: {error}")))?
}
