//! What a run says while it goes on. The command line turns events into bars or log lines.

use crate::{
    run::report::{AuditReport, StepKind, StepReport},
    types::{Generation, PipelineName, RunId, TableName},
};

/// Hears events. Called from many threads, must return at once, must not fail.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event);
}

/// Hears nothing.
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: &Event) {}
}

/// One thing that happened in a run. The order of events of one table is the order they happened
/// in; between tables there is no order.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The plan stands; work begins.
    Started {
        /// The run.
        run: RunId,
        /// Its pipeline.
        pipeline: PipelineName,
        /// Tables to extract.
        extracts: usize,
        /// Models to run.
        models: usize,
    },
    /// The publish of an earlier run that was cut short was finished or undone.
    Recovered {
        /// What was done, as a sentence without its period.
        what: String,
    },
    /// A source's snapshot is open: all its tables are read as of this moment.
    SnapshotOpened {
        /// The connection's name.
        connection: String,
        /// The position, for people.
        position: String,
    },
    /// A source's snapshot was lost before all of it was read. What its tables have so far is
    /// dropped, and they start again once another one is open.
    SnapshotLost {
        /// The connection's name.
        connection: String,
        /// All tables that are read with it.
        tables: Vec<TableName>,
        /// What happened, as a sentence without its period.
        why: String,
    },
    /// A table's first chunk, or a model's query, has begun.
    TableStarted {
        /// The table.
        table: TableName,
        /// How it comes about.
        kind: StepKind,
        /// About how many rows to expect, where known.
        estimated_rows: Option<u64>,
    },
    /// More rows are staged.
    TableProgress {
        /// The table.
        table: TableName,
        /// Rows so far; fewer than before after a part was lost.
        rows: u64,
    },
    /// A table is staged whole.
    TableStaged(StepReport),
    /// A check ended.
    Audited(AuditReport),
    /// Publishing begins: from here on a crash is finished or undone by the next start.
    Publishing {
        /// Tables to be published together.
        tables: usize,
    },
    /// Everything is visible.
    Published {
        /// The new generation.
        generation: Generation,
    },
    /// Something the reader of the log should know.
    Warning {
        /// A sentence without its period.
        what: String,
    },
}
