//! `longshore check`: everything that can be known without moving a row, problems included.

use std::{collections::BTreeSet, sync::Arc};

use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::{
    limits::Deadline,
    plan::{Plan, PlanOptions, PlannedSource},
    source,
    summary::PlanSummary,
};
use crate::{
    config::{Pipeline, Project},
    error::{Error, Result},
    extract::{BatchSink, Chunk, Misfit, Preflight, Session},
    types::Budget,
};

/// What a check found.
#[derive(Debug, Serialize)]
pub struct CheckReport {
    /// The connections that the checked pipelines use, by name.
    pub connections: Vec<ConnectionCheck>,
    /// The checked pipelines.
    pub pipelines: Vec<PipelineCheck>,
}

/// One connection.
#[derive(Debug, Serialize)]
pub struct ConnectionCheck {
    /// Its name.
    pub name: String,
    /// What the source said, where it could be reached. It may hold refusals.
    pub preflight: Option<Preflight>,
    /// Why nothing could be learned.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
}

/// One pipeline.
#[derive(Debug, Serialize)]
pub struct PipelineCheck {
    /// Its name.
    pub name: String,
    /// What it would do, where it can be planned.
    pub plan: Option<PlanSummary>,
    /// Why it can't be planned, or would be refused.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
}

#[allow(clippy::ref_option, reason = "serde calls it so")]
fn as_text<S: serde::Serializer>(error: &Option<Error>, serializer: S) -> Result<S::Ok, S::Error> {
    match error {
        Some(error) => serializer.collect_str(error),
        None => serializer.serialize_none(),
    }
}

impl CheckReport {
    /// Whether every checked pipeline could run now.
    pub fn is_sound(&self) -> bool {
        let reached = |check: &ConnectionCheck| {
            check.preflight.as_ref().is_some_and(|preflight| preflight.refusals.is_empty())
        };
        self.connections.iter().all(reached)
            && self.pipelines.iter().all(|check| check.error.is_none())
    }

    /// Takes the first error that was found, in the order of the report: it decides the exit code.
    pub fn first_error(&self) -> Option<&Error> {
        let connections = self.connections.iter().filter_map(|check| check.error.as_ref());
        connections.chain(self.pipelines.iter().filter_map(|check| check.error.as_ref())).next()
    }
}

/// How much of the sources a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckDepth {
    /// The catalogs.
    Schemas,
    /// Every row as well: all is read and thrown away, to see that it can be kept.
    Values,
}

/// Checks `pipelines` of `project` and the connections they use. Problems are in the report, so
/// that one wrong pipeline does not hide another.
pub async fn check(
    project: Arc<Project>,
    pipelines: &[Pipeline],
    depth: CheckDepth,
) -> CheckReport {
    let used: BTreeSet<&str> = pipelines
        .iter()
        .flat_map(|pipeline| pipeline.extract.iter().map(|group| group.from.as_str()))
        .collect();
    let mut connections = Vec::new();
    for name in used {
        let preflight = match project.connection(name) {
            Ok(connection) => source::preflight(&connection).await,
            Err(error) => Err(error),
        };
        let (preflight, error) = split(preflight);
        connections.push(ConnectionCheck { name: name.to_owned(), preflight, error });
    }
    let mut checked = Vec::new();
    for pipeline in pipelines {
        let name = pipeline.name.to_string();
        checked.push(match check_pipeline(project.clone(), pipeline, depth).await {
            Ok((plan, error)) => PipelineCheck { name, plan: Some(plan), error },
            Err(error) => PipelineCheck { name, plan: None, error: Some(error) },
        });
    }
    CheckReport { connections, pipelines: checked }
}

/// What a pipeline would do, and why it would be refused, where it would.
async fn check_pipeline(
    project: Arc<Project>,
    pipeline: &Pipeline,
    depth: CheckDepth,
) -> Result<(PlanSummary, Option<Error>)> {
    let plan = Plan::make(project, pipeline, &PlanOptions::default()).await?;
    if depth == CheckDepth::Values {
        for planned in &plan.sources {
            read_through(&plan, planned).await?;
        }
    }
    Ok((plan.summary(), plan.refusal()))
}

/// Reads all that `planned` asks for, as a run would, and keeps nothing.
async fn read_through(plan: &Plan, planned: &PlannedSource) -> Result<()> {
    let label = format!("longshore/{}/check", plan.pipeline);
    let session = Session::new(label, Budget::new(plan.memory()));
    let requests = planned.requests();
    let deadline = Deadline::of(&planned.connection, &planned.limits)?;
    let snapshot = planned.source.open(&requests, &session).await?;
    let chunks: Vec<Chunk> =
        (0..requests.len()).flat_map(|table| snapshot.chunks(table).to_vec()).collect();
    let reading = async {
        stream::iter(&chunks)
            .map(|chunk| snapshot.read(chunk, Box::new(Nowhere)))
            .buffer_unordered(snapshot.parallelism().max(1))
            .try_collect::<()>()
            .await
    };
    Deadline::bound(deadline, reading).await?;
    snapshot.close().await
}

/// Where rows go that are only looked at.
struct Nowhere;

impl BatchSink for Nowhere {
    fn push(&mut self, _batch: RecordBatch) -> Result<()> {
        Ok(())
    }

    fn push_misfits(&mut self, _batch: RecordBatch, _misfits: Vec<Misfit>) -> Result<()> {
        Ok(())
    }

    fn complete(self: Box<Self>, _rows: u64) -> Result<()> {
        Ok(())
    }
}

fn split<T>(result: Result<T>) -> (Option<T>, Option<Error>) {
    match result {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(error)),
    }
}
