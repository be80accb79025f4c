//! The SQL that is sent to SQLite, in one place: quoting, and what wraps a user's own SQL.

use std::ops::Range;

use super::handle::{Database, Fault};
use crate::extract::{ChunkPart, SourceTable, TableRequest};

/// `name` as a SQL identifier.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as a SQL string.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What to select from: the table's name, or the query in parentheses.
pub(super) fn from_clause(table: &SourceTable) -> String {
    match &table.query {
        // The line break ends a comment that the query may end with.
        Some(query) => format!("({query}\n)"),
        None => format!("{}.{}", quote(&table.schema), quote(&table.name)),
    }
}

/// The statement that reads `part` of the table that `request` asks for; `rowid` is the name that
/// its row id goes by.
pub(super) fn select(request: &TableRequest, part: &ChunkPart, rowid: Option<&str>) -> String {
    let columns: Vec<_> = request.columns.iter().map(|column| quote(&column.source.name)).collect();
    let mut conditions = Vec::new();
    if let (ChunkPart::RowIds(Range { start, end }), Some(rowid)) = (part, rowid) {
        // The first and the last range are open, so that no row id lies outside all of them.
        if *start > i64::MIN {
            conditions.push(format!("{rowid} >= {start}"));
        }
        if *end < i64::MAX {
            conditions.push(format!("{rowid} < {end}"));
        }
    }
    conditions.extend(request.filter.as_ref().map(|filter| format!("({filter}\n)")));
    let mut sql = format!("SELECT {} FROM {}", columns.join(", "), from_clause(&request.from));
    if !conditions.is_empty() {
        sql += " WHERE ";
        sql += &conditions.join(" AND ");
    }
    sql
}

/// The text of the one SELECT that `sql` is, without what ends it.
pub(super) fn query_body(database: &Database, sql: &str) -> Result<String, Fault> {
    let statement = database.prepare(sql)?;
    let text = statement.text().unwrap_or_default();
    let body = text.trim_end().trim_end_matches(';').to_owned();
    // Only a SELECT can stand where a table does: no PRAGMA, no EXPLAIN.
    database.prepare(&format!("SELECT * FROM ({body}\n)"))?;
    Ok(body)
}

/// Whether `filter` is one condition on the rows of `from`, and no more than that.
///
/// It must hold up bare as well as in parentheses: `a) OR (b` does only in parentheses and would
/// undo what is joined to it with AND; `a ORDER BY b` does only bare.
pub(super) fn check_filter(database: &Database, from: &str, filter: &str) -> Result<(), Fault> {
    database.prepare(&format!("SELECT 1 FROM {from} WHERE {filter}"))?;
    database.prepare(&format!("SELECT 1 FROM {from} WHERE ({filter}\n)"))?;
    Ok(())
}
