//! Rows of our own catalog statements, as the text that the server sends.

use super::wire::{WireConnection, WireError};

/// One row; columns are named by place, as our own statements order them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row(Vec<Option<String>>);

/// Runs `sql`, a statement of our own, and gives back its rows.
pub(super) async fn query(
    connection: &mut WireConnection,
    sql: &str,
) -> Result<Vec<Row>, WireError> {
    Ok(connection.simple(sql).await?.into_iter().map(Row).collect())
}

/// Runs `sql`, a statement of our own that gives one row.
pub(super) async fn query_one(
    connection: &mut WireConnection,
    sql: &str,
) -> Result<Row, WireError> {
    query(connection, sql)
        .await?
        .into_iter()
        .next()
        .ok_or_else(|| WireError::Protocol("a statement of one row gave none".to_owned()))
}

impl Row {
    /// The text in a column; nothing where it is NULL.
    pub(super) fn get(&self, column: usize) -> Option<&str> {
        self.0.get(column)?.as_deref()
    }

    /// The text in a column; empty where it is NULL.
    pub(super) fn text(&self, column: usize) -> &str {
        self.get(column).unwrap_or_default()
    }

    /// Whether a boolean column is true; NULL is not.
    pub(super) fn is(&self, column: usize) -> bool {
        self.get(column) == Some("t")
    }

    /// The number in a column, where it holds one that fits.
    pub(super) fn number<T: std::str::FromStr>(&self, column: usize) -> Option<T> {
        self.get(column)?.parse().ok()
    }
}

#[cfg(test)]
impl Row {
    pub(super) fn of(columns: &[Option<&str>]) -> Self {
        Self(columns.iter().map(|text| text.map(str::to_owned)).collect())
    }
}
