//! PostgreSQL for real: a primary, its hot standby, and what arrives in the warehouse.

mod contracts;
mod crash;
mod faults;
mod guest;
mod identifiers;
mod limits;
mod losses;
mod memory;
mod rejects;
mod roles;
mod secrets;
mod shapes;
mod tls;
mod tpch;
mod types;
mod upsert;

use crate::harness::{postgres::Database, workspace::Workspace};

/// A project with one pipeline, `load`, that takes what `tables` (YAML) says from `database`.
fn project(database: &Database<'_>, tables: &str) -> Workspace {
    let mut workspace = Workspace::new();
    workspace.set("SOURCE_URL", database.url());
    workspace.write(
        "longshore.yml",
        "warehouse: {url: ./warehouse, format: delta}\n\
         connections:\n  source: {url: \"${SOURCE_URL}\", connections: 3}\n",
    );
    workspace.write(
        "pipelines/load.yml",
        format!("extract:\n  - from: source\n    into: shop\n    tables:\n{tables}"),
    );
    workspace
}
