//! PostgreSQL for real: a primary, its hot standby, and what arrives in the warehouse.

mod crash;
mod guest;
mod losses;
mod memory;
mod rejects;
mod shapes;
mod tpch;
mod types;

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
