//! The published schema is the contract: what changed since it was published, and what follows.
//!
//! Planning compares what would be published with what is, table by table, under the rules of
//! `on_schema_change`. Nothing here fails: each difference is a [`SchemaChange`] with a
//! [`Verdict`], so that a plan shows all of them, and a run refuses all of them at once before
//! anything is staged.

mod columns;
mod names;
mod refusal;
mod tables;
mod widening;

use std::fmt;

use serde::Serialize;

use crate::{
    config::{Origin, SchemaRule},
    types::TableName,
};

pub(super) use columns::{Incoming, Terms, hold};
pub(super) use refusal::refusal;
pub(super) use tables::{Contract, matched};

/// One difference between what a run would publish and what is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchemaChange {
    /// The table in the warehouse.
    pub table: TableName,
    /// What is different.
    #[serde(flatten)]
    pub change: Change,
    /// What follows.
    pub verdict: Verdict,
    /// The rule that decides, `on_schema_change: {types: widen}`, and where it is written.
    pub rule: String,
    /// What its owner can do about it, where it is refused.
    pub hints: Vec<String>,
    /// Whether accepting it, for one run, would be enough.
    #[serde(skip)]
    pub(super) acceptable: bool,
}

/// What is different. Types are in the words that `cast:` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// A pattern finds the table for the first time, next to tables that are published.
    TableNew,
    /// What was published from the source is not there any more.
    TableGone {
        /// Where it came from: the connection and the table's name there.
        source: String,
    },
    /// The column is not published yet.
    ColumnNew {
        /// Its name in the warehouse.
        column: String,
        /// Its type.
        data_type: String,
    },
    /// The column is published and no longer comes.
    ColumnGone {
        /// Its name in the warehouse.
        column: String,
        /// Its published type.
        data_type: String,
    },
    /// The column comes as another type than the published one.
    TypeChanged {
        /// Its name in the warehouse.
        column: String,
        /// The published type.
        from: String,
        /// The type that it would have by itself.
        to: String,
    },
}

/// What follows from a [`SchemaChange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Verdict {
    /// The published schema follows.
    Published,
    /// It follows, and the rows that are published already are rewritten with it.
    Rewritten,
    /// The published schema stays as it is.
    Kept,
    /// What is new is not read.
    LeftOut,
    /// The run is refused.
    Refused,
}

impl SchemaChange {
    /// The column's name with its table's, or the table's.
    pub fn subject(&self) -> String {
        match &self.change {
            Change::TableNew | Change::TableGone { .. } => self.table.to_string(),
            Change::ColumnNew { column, .. }
            | Change::ColumnGone { column, .. }
            | Change::TypeChanged { column, .. } => format!("{}.{column}", self.table),
        }
    }

    /// A change under the rules of a file, for tests of how it is shown.
    #[cfg(test)]
    pub(crate) fn example(table: TableName, change: Change, verdict: Verdict) -> Self {
        let rule = "`on_schema_change: freeze` (pipelines/nightly.yml:14)".to_owned();
        Self { table, change, verdict, rule, hints: Vec::new(), acceptable: true }
    }

    /// What a run says of it while it goes on, where a reader of the table could stumble over it.
    pub fn warning(&self) -> Option<String> {
        let follows = match (&self.change, self.verdict) {
            (_, Verdict::Refused | Verdict::LeftOut)
            | (Change::TableNew | Change::ColumnNew { .. }, _)
            | (Change::TypeChanged { .. }, Verdict::Kept) => return None,
            (Change::TableGone { .. }, _) => "it stays published as it was",
            (Change::ColumnGone { .. }, Verdict::Kept) => "it is NULL in the new rows",
            (Change::ColumnGone { .. }, _) => "it leaves the table",
            (Change::TypeChanged { .. }, Verdict::Rewritten) => "its published rows are rewritten",
            (Change::TypeChanged { .. }, _) => "the published schema follows",
        };
        Some(format!("{self}; {follows}"))
    }
}

/// What is different, as a sentence without its period.
impl fmt::Display for SchemaChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.subject())?;
        match &self.change {
            Change::TableNew => f.write_str("is a new table"),
            Change::TableGone { source } => {
                write!(f, "no longer comes: {source} is gone or hidden from the login")
            }
            Change::ColumnNew { data_type, .. } => {
                write!(f, "is a new column of type `{data_type}`")
            }
            Change::ColumnGone { .. } => f.write_str("is published and no longer comes"),
            Change::TypeChanged { from, to, .. } => write!(f, "changed from `{from}` to `{to}`"),
        }
    }
}

/// How rows of a run meet the published ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joins {
    /// They take their place.
    Nothing,
    /// They are added to them.
    Published,
    /// They are added to them once those are rewritten with the table's wider types.
    Rewritten,
    /// They are added to them and replace those with the same key.
    Keyed,
    /// The same, and those that stay are rewritten with the table's wider types.
    KeyedRewritten,
}

/// A rule of `on_schema_change` as it is written, and where.
/// `unsaid` is who set it where no file states it.
fn told<P: fmt::Display>(key: &str, rule: &SchemaRule<P>, unsaid: &str) -> String {
    let place = rule.origin.as_ref().map_or(unsaid.to_owned(), Origin::short);
    format!("`on_schema_change: {{{key}: {}}}` ({place})", rule.policy)
}
