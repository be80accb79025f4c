//! `longshore check`: everything that can be known without moving a row, problems included.

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;

use super::{
    plan::{Plan, PlanOptions},
    source,
    summary::PlanSummary,
};
use crate::{
    config::{Pipeline, Project},
    error::{Error, Result},
    extract::Preflight,
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
    /// Why it can't be planned.
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
            && self.pipelines.iter().all(|check| check.plan.is_some())
    }

    /// Takes the first error that was found, in the order of the report: it decides the exit code.
    pub fn first_error(&self) -> Option<&Error> {
        let connections = self.connections.iter().filter_map(|check| check.error.as_ref());
        connections.chain(self.pipelines.iter().filter_map(|check| check.error.as_ref())).next()
    }
}

/// Checks `pipelines` of `project` and the connections they use. Problems are in the report, so
/// that one wrong pipeline does not hide another.
pub async fn check(project: Arc<Project>, pipelines: &[Pipeline]) -> CheckReport {
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
        let plan = Plan::make(project.clone(), pipeline, &PlanOptions::default()).await;
        let (plan, error) = split(plan.map(|plan| plan.summary()));
        checked.push(PipelineCheck { name: pipeline.name.to_string(), plan, error });
    }
    CheckReport { connections, pipelines: checked }
}

fn split<T>(result: Result<T>) -> (Option<T>, Option<Error>) {
    match result {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(error)),
    }
}
