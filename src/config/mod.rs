//! What the user wrote (`raw`), and what it means (`resolved`).
//!
//! Everything above this module sees resolved types only: defaults are filled in, names are
//! checked, secrets are [`Secret`]s, and each part remembers its [`Origin`] so that a later error
//! can point at file, line and column.
//!
//! This is the only module that reads environment variables for the user's sake.

mod audit;
mod origin;
mod resolved;
mod secret;

pub use audit::{Audit, AuditKind, RowCountBounds, Severity};
pub use origin::Origin;
pub use resolved::{
    ColumnRules, Connection, ExtractGroup, Format, Mask, Mode, Pipeline, Project, Selection,
    SourceKind, TablePattern, TableRule, WarehouseConfig,
};
pub use secret::Secret;
