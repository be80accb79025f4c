//! What the user wrote (`raw`), and what it means (`resolved`).
//!
//! YAML text is read by `document` into the types of `raw`, whose scalars know their place;
//! `resolve` turns those into the resolved types, with `expand` for `${…}`. Everything above this
//! module sees resolved types only: defaults are filled in, names are checked, secrets are
//! [`Secret`]s, and each part remembers its [`Origin`] so that a later error can point at file,
//! line and column.
//!
//! This is the only module that reads environment variables for the user's sake. It never
//! connects to anything, and a credential never gets into an error.

mod audit;
mod command;
mod contract;
mod document;
mod environment;
mod expand;
mod memory;
mod mismatch;
mod origin;
mod pattern;
mod private;
mod raw;
mod redact;
mod resolve;
mod resolved;
mod schema;
mod secret;
mod written;

#[cfg(test)]
mod tests;

pub use audit::{Audit, AuditKind, RowCountBounds, Severity};
pub use contract::{ColumnPolicy, OnSchemaChange, SchemaRule, TablePolicy, TypePolicy};
pub use environment::Environment;
pub use mismatch::{MaxRejects, OnMismatch};
pub use origin::Origin;
pub use pattern::{NamePattern, TablePattern};
pub use private::{NoSecret, Privacy, read_secret};
pub use resolve::{ModelHeader, model_header};
pub use resolved::{
    ClientFiles, ColumnRules, Compression, Connection, ExtractGroup, Format, Limits, Mask, Mode,
    ParquetConfig, Pipeline, Project, Retention, Selection, SourceKind, TableRule, WarehouseConfig,
};
pub use schema::{SchemaOf, json_schema};
pub use secret::Secret;
