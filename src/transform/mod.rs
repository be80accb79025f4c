//! SQL models and audits: from files of SQL to streams of record batches.
//!
//! A [`Model`] is one `.sql` file and one table. A [`Graph`] orders models by what their SQL reads.
//! An [`Engine`] plans them all against schemas before a row moves, runs each over explicit lists
//! of Parquet files, answers ad-hoc SQL over the same lists, and runs audits.
//!
//! ```text
//! load_models ─▶ Engine::plan_models ─▶ Engine::run_model ─▶ batches in canonical types
//!                Engine::plan_audits    Engine::run_audits ─▶ outcomes
//!                                       Engine::query ─▶ batches as DataFusion makes them
//! ```
//!
//! Nothing here writes a table or a file other than spills, lists a directory of data, or knows
//! where a table's files come from: the runner hands in file lists and takes out batches.

mod audit;
mod audit_sql;
mod canonical;
mod catalog;
mod checked_arithmetic;
mod checked_sum;
mod diagnose;
mod engine;
mod failure;
mod files_table;
mod graph;
mod merge;
mod model;
mod plan;
mod query;
mod recast;
mod statement;
mod stream;

#[cfg(test)]
mod tests;

pub use audit::{AuditOutcome, AuditTarget};
pub use engine::{Engine, EngineOptions};
pub use graph::Graph;
pub use merge::{JoinBy, KeyedRows};
pub use model::{Model, load_models};
pub use plan::{ModelStreams, PlannedModel, Settled};
pub use stream::BatchStream;
