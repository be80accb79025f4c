//! `longshore check --grants`: the login that pipelines need on each source, and no more.

use std::collections::BTreeMap;

use serde::Serialize;

use super::source::patterns;
use crate::{
    config::{ExtractGroup, Pipeline, Project, Selection},
    error::Result,
    extract::{self, SourceTable, TableKind, table_uses},
};

/// What an administrator of one source runs.
#[derive(Debug, Serialize)]
pub struct Grants {
    /// The connection's name.
    pub connection: String,
    /// The statements; nothing where the source knows no logins.
    pub sql: Option<String>,
}

/// The statements that make a login named `role` on each source of `pipelines`. Only catalogs are
/// read, and the login of the connection itself may be one that no run would accept.
///
/// # Errors
/// When a source can't be reached.
pub async fn grants(project: &Project, pipelines: &[Pipeline], role: &str) -> Result<Vec<Grants>> {
    let mut groups: BTreeMap<&str, Vec<&ExtractGroup>> = BTreeMap::new();
    for group in pipelines.iter().flat_map(|pipeline| &pipeline.extract) {
        groups.entry(&group.from).or_default().push(group);
    }
    let mut all = Vec::new();
    for (name, groups) in groups {
        let source = extract::source(&project.connection(name)?)?;
        let mut uses = Vec::new();
        for group in groups {
            let mut tables = source.discover(&patterns(group)).await?;
            tables.extend(group.tables.iter().filter_map(|rule| match &rule.selection {
                Selection::Query { name, sql } => Some(undescribed(name, sql)),
                Selection::Tables(_) => None,
            }));
            uses.extend(table_uses(group, &tables, source.default_schema())?);
        }
        let sql = source.grants(role, &uses).await?;
        all.push(Grants { connection: name.to_owned(), sql });
    }
    Ok(all)
}

/// A query whose columns nobody asked for: that could need what is to be granted.
fn undescribed(name: &str, sql: &str) -> SourceTable {
    SourceTable {
        schema: String::new(),
        name: name.to_owned(),
        kind: TableKind::Query,
        readable: true,
        columns: Vec::new(),
        key: Vec::new(),
        estimated_rows: None,
        estimated_bytes: None,
        query: Some(sql.to_owned()),
    }
}
