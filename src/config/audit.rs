//! Checks that must hold before anything is published.

use super::Origin;

/// One check on one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// What must hold.
    pub kind: AuditKind,
    /// What follows when it doesn't.
    pub severity: Severity,
    /// Where it is written.
    pub origin: Origin,
}

/// What follows when a check does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is published.
    Error,
    /// The run goes on and says so.
    Warn,
}

/// What must hold.
#[derive(Debug, Clone, PartialEq)]
pub enum AuditKind {
    /// None of these columns holds NULL.
    NotNull(Vec<String>),
    /// No two rows agree in all of these columns. Rows with a NULL among them are not compared.
    Unique(Vec<String>),
    /// `column` holds only these values, written as text, or NULL.
    AcceptedValues {
        /// The column.
        column: String,
        /// The values, compared with the column cast to text.
        values: Vec<String>,
    },
    /// Every value of `column` that is not NULL occurs in `to_column` of `to_table`.
    Relationship {
        /// The column.
        column: String,
        /// The other table, `schema.table`, of the same run or of the published generation.
        to_table: String,
        /// Its column.
        to_column: String,
    },
    /// The number of rows lies within bounds.
    RowCount(RowCountBounds),
    /// A boolean SQL expression over the table's columns that no row makes false. NULL passes.
    Expression(String),
    /// A query that must return no row; `this` in it names the table.
    Query(String),
}

/// Bounds on a table's number of rows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RowCountBounds {
    /// At least so many.
    pub min: Option<u64>,
    /// At most so many.
    pub max: Option<u64>,
    /// At most this share fewer than published, 0.2 for 20 %. Holds when nothing is published yet.
    pub max_shrink: Option<f64>,
    /// At most this share more than published.
    pub max_growth: Option<f64>,
}

impl AuditKind {
    /// The name that YAML and results use.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotNull(_) => "not_null",
            Self::Unique(_) => "unique",
            Self::AcceptedValues { .. } => "accepted_values",
            Self::Relationship { .. } => "relationships",
            Self::RowCount(_) => "row_count",
            Self::Expression(_) => "expression",
            Self::Query(_) => "query",
        }
    }
}
