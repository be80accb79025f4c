//! Going back: a rollback of the warehouse, as a run that reads no source.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    event::{Event, Observer},
    ledger::Ledger,
    lock::RunLock,
    report::RunReport,
};
use crate::{
    config::Project,
    error::Result,
    types::{Generation, PipelineName, RunId, TableName},
    warehouse::{Published, ROLLBACK, Warehouse},
};

/// What a rollback came to.
#[derive(Debug, Clone, Serialize)]
pub struct RollbackReport {
    /// The id under which the ledger and the generation know it.
    pub run: RunId,
    /// The generation whose tables came back.
    pub rollback_to: Generation,
    /// The current generation now.
    pub generation: Generation,
    /// Whether that is a new one; else the current one held the same already.
    pub is_new: bool,
    /// The tables that changed.
    pub changed: Vec<TableName>,
    /// The tables that were there and are not any more.
    pub left: Vec<TableName>,
    /// The tables that the warehouse holds now.
    pub tables: usize,
    /// From start to end.
    #[serde(serialize_with = "super::report::seconds", rename = "seconds")]
    pub elapsed: Duration,
}

/// Publishes a new generation with the tables of generation `to`. Takes the project's run lock and
/// settles what an earlier run left unfinished, as every run does; the ledger remembers it as a run.
pub async fn roll_back(
    project: &Project,
    to: Generation,
    observer: Arc<dyn Observer>,
) -> Result<RollbackReport> {
    let began = Instant::now();
    let start = jiff::Timestamp::now();
    let (run, name) = (RunId::new(start), PipelineName::new(ROLLBACK));
    let state = project.state_dir();
    let lock = RunLock::take(&state, &run, &name)
        .map_err(|error| error.retitle("the rollback was not started; nothing was changed"))?;
    let (ledger, warning) = Ledger::open_locked(project, &lock).await?;
    if let Some(what) = warning {
        observer.event(&Event::Warning { what });
    }
    ledger.mark_crashed().await?;
    ledger.begin(&run, &name, start).await?;
    let published = publish(project, &run, to, observer.as_ref()).await;
    let elapsed = began.elapsed();
    let result = match published {
        Ok(published) => {
            let generation = Some(published.0.record().generation);
            let (steps, audits) = (Vec::new(), Vec::new());
            let report =
                RunReport { run: run.clone(), pipeline: name, generation, steps, audits, elapsed };
            ledger.succeed(&report, jiff::Timestamp::now()).await?;
            Ok(report_of(run, to, published, elapsed))
        }
        Err(error) => {
            ledger.fail(&run, &error, elapsed, jiff::Timestamp::now()).await?;
            Err(error)
        }
    };
    ledger.close().await;
    result
}

async fn publish(
    project: &Project,
    run: &RunId,
    to: Generation,
    observer: &dyn Observer,
) -> Result<(Published, Vec<TableName>)> {
    let warehouse = Warehouse::open(&project.warehouse)?;
    for recovered in warehouse.reconcile().await? {
        observer.event(&Event::Recovered { what: recovered.to_string() });
    }
    let before = warehouse.current().await?.map(|record| record.tables).unwrap_or_default();
    let published = warehouse.roll_back(run, to).await?;
    let now = &published.record().tables;
    let left = before.into_keys().filter(|table| !now.contains_key(table)).collect();
    Ok((published, left))
}

fn report_of(
    run: RunId,
    to: Generation,
    (published, left): (Published, Vec<TableName>),
    elapsed: Duration,
) -> RollbackReport {
    let record = published.record();
    let is_new = matches!(published, Published::Now(_));
    let changed = record.tables.iter().filter(|(_, pinned)| is_new && pinned.changed);
    RollbackReport {
        run,
        rollback_to: to,
        generation: record.generation,
        is_new,
        changed: changed.map(|(name, _)| name.clone()).collect(),
        left,
        tables: record.tables.len(),
        elapsed,
    }
}
