//! Planning, the sources' part: connect, look, and settle what is read.

use futures::future::try_join_all;

use super::{
    contract::Joins,
    limits::window_fact,
    plan::{PlannedExtract, PlannedSource},
};
use crate::{
    config::{Connection, ExtractGroup, Pipeline, Project, Selection, TablePattern},
    error::{Error, ErrorKind, Result},
    extract::{self, Preflight, Source, SourceTable, build_requests},
};

/// Plans the sources of `pipeline`, all at once. Groups that name the same connection share one
/// snapshot.
pub(super) async fn plan_sources(
    project: &Project,
    pipeline: &Pipeline,
) -> Result<Vec<PlannedSource>> {
    let mut names: Vec<&str> = pipeline.extract.iter().map(|group| group.from.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    try_join_all(names.into_iter().map(|name| {
        let groups: Vec<_> = pipeline.extract.iter().filter(|group| group.from == name).collect();
        async move { plan_source(&project.connection(name)?, &groups).await }
    }))
    .await
}

async fn plan_source(connection: &Connection, groups: &[&ExtractGroup]) -> Result<PlannedSource> {
    let source = extract::source(connection)?;
    let preflight = source.preflight().await?;
    refuse(connection, &preflight)?;
    let mut extracts = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let tables = find(source.as_ref(), group).await?;
        let requests = build_requests(source.as_ref(), group, &tables, source.default_schema())?;
        extracts.extend(requests.into_iter().map(|(request, rule)| PlannedExtract {
            schema: request.schema(),
            request,
            mode: rule.mode,
            key: rule.key,
            origin: rule.origin,
            joins: Joins::Nothing,
            group: number,
            is_found: rule.selection.is_pattern(),
            rules: rule.on_schema_change,
            audits: rule.audits,
            parquet: rule.parquet,
            max_rejects: rule.max_rejects,
        }));
    }
    Ok(PlannedSource {
        connection: connection.name.clone(),
        preflight,
        extracts,
        source,
        limits: connection.limits.clone(),
    })
}

/// Everything that the rules of `group` may mean.
async fn find(source: &dyn Source, group: &ExtractGroup) -> Result<Vec<SourceTable>> {
    let patterns = patterns(group);
    let mut tables =
        if patterns.is_empty() { Vec::new() } else { source.discover(&patterns).await? };
    for rule in &group.tables {
        if let Selection::Query { name, sql } = &rule.selection {
            let described = source.describe(name, sql).await;
            tables.push(described.map_err(|error| {
                error.at(rule.origin.place(format!("the query of `{name}` can't be read")))
            })?);
        }
    }
    Ok(tables)
}

/// What the rules of `group` name, queries aside.
pub(super) fn patterns(group: &ExtractGroup) -> Vec<TablePattern> {
    let patterns = group.tables.iter().filter_map(|rule| match &rule.selection {
        Selection::Tables(pattern) => Some(pattern.clone()),
        Selection::Query { .. } => None,
    });
    patterns.collect()
}

/// A source that must not be read stops the plan, with every reason at once.
fn refuse(connection: &Connection, preflight: &Preflight) -> Result<()> {
    if preflight.refusals.is_empty() {
        return Ok(());
    }
    let what = format!(
        "connection `{}` must not be read as it is; nothing was extracted",
        connection.name
    );
    let mut error =
        Error::new(ErrorKind::Refused, what).at(connection.origin.place("defined here"));
    for refusal in &preflight.refusals {
        error = error.because(&refusal.reason).hint(&refusal.remedy);
    }
    Err(error)
}

/// What a source says of itself, for `longshore check`.
pub(super) async fn preflight(connection: &Connection) -> Result<Preflight> {
    let mut preflight = extract::source(connection)?.preflight().await?;
    preflight.facts.extend(window_fact(connection));
    Ok(preflight)
}
