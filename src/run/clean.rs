//! Cleaning a project's warehouse, with no run beside it.

use super::{
    event::{Event, Observer},
    lock::RunLock,
};
use crate::{
    config::Project,
    error::Result,
    types::{PipelineName, RunId},
    warehouse::{CleanDepth, Cleaned, Warehouse},
};

/// Removes what the project's retention does not keep, or tells what would go. To remove, it takes
/// the project's run lock and settles what an earlier run left unfinished.
pub async fn clean(
    project: &Project,
    depth: CleanDepth,
    observer: &dyn Observer,
) -> Result<Cleaned> {
    let (retention, now) = (&project.warehouse.retention, jiff::Timestamp::now());
    if depth == CleanDepth::DryRun {
        return Warehouse::open_read(&project.warehouse)?.clean(retention, depth, now).await;
    }
    let (run, name) = (RunId::new(now), PipelineName::new("clean"));
    let _lock = RunLock::take(&project.state_dir(), &run, &name)
        .map_err(|error| error.retitle("cleaning was not started; nothing was removed"))?;
    let warehouse = Warehouse::open(&project.warehouse)?;
    for recovered in warehouse.reconcile().await? {
        observer.event(&Event::Recovered { what: recovered.to_string() });
    }
    warehouse.clean(retention, depth, now).await
}
