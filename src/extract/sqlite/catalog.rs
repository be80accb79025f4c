//! What a SQLite file says of its tables.

use std::collections::BTreeMap;

use super::{
    handle::{Cell, Database, Fault, Statement},
    sql::{from_clause, literal, query_body, quote},
    types::{Declared, UNDECLARED},
};
use crate::{
    config::TablePattern,
    extract::{SourceColumn, SourceTable, TableKind},
};

/// The schema of the file itself.
pub(super) const MAIN: &str = "main";

/// The tables and views that match any of `patterns`, sorted by name.
pub(super) fn tables(
    database: &Database,
    patterns: &[TablePattern],
) -> Result<Vec<SourceTable>, Fault> {
    let estimates = estimated_rows(database)?;
    let mut tables = Vec::new();
    for (name, kind) in names(database)? {
        let is_meant = |pattern: &&TablePattern| pattern.matches(MAIN, &name, MAIN);
        let is_internal = name.starts_with("sqlite_") || kind == "shadow";
        let mut meant = patterns.iter().filter(is_meant);
        let wanted =
            if is_internal { meant.any(TablePattern::is_exact) } else { meant.next().is_some() };
        if wanted {
            tables.push(table(database, name, &kind, &estimates)?);
        }
    }
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tables)
}

/// The columns that `sql`, one SELECT statement, would return.
pub(super) fn query(database: &Database, name: &str, sql: &str) -> Result<SourceTable, Fault> {
    let body = query_body(database, sql)?;
    let columns = columns(&database.prepare(&body)?, &BTreeMap::new());
    Ok(SourceTable {
        schema: String::new(),
        name: name.to_owned(),
        kind: TableKind::Query,
        readable: true,
        columns,
        key: Vec::new(),
        estimated_rows: None,
        estimated_bytes: None,
        query: Some(body),
    })
}

/// The name that the row id of `table` goes by, where it has one that no column hides.
pub(super) fn rowid_name(
    database: &Database,
    table: &SourceTable,
) -> Result<Option<&'static str>, Fault> {
    if table.kind != TableKind::Table {
        return Ok(None);
    }
    let mut statement = database.prepare(&format!(
        "SELECT type, wr FROM pragma_table_list WHERE schema = 'main' AND name = {}",
        literal(&table.name)
    ))?;
    // A virtual table may have row ids, but no order that makes a range of them cheap.
    if !statement.step()?
        || statement.cell(0)? != Cell::Text(b"table")
        || statement.cell(1)? != Cell::Integer(0)
    {
        return Ok(None);
    }
    let hidden = constraints(database, &table.name)?;
    let is_free = |name: &&str| !hidden.keys().any(|column| column.eq_ignore_ascii_case(name));
    Ok(["rowid", "_rowid_", "oid"].into_iter().find(is_free))
}

/// The smallest and the largest row id of `table`; nothing for a table without rows.
pub(super) fn rowid_bounds(
    database: &Database,
    table: &SourceTable,
    rowid: &str,
) -> Result<Option<(i64, i64)>, Fault> {
    let from = from_clause(table);
    // Two subqueries, because SQLite finds either end of the tree at once, but not both.
    let mut statement = database.prepare(&format!(
        "SELECT (SELECT min({rowid}) FROM {from}), (SELECT max({rowid}) FROM {from})"
    ))?;
    statement.step()?;
    match (statement.cell(0)?, statement.cell(1)?) {
        (Cell::Integer(first), Cell::Integer(last)) => Ok(Some((first, last))),
        _ => Ok(None),
    }
}

/// The one value that `sql` gives, as text.
pub(super) fn scalar(database: &Database, sql: &str) -> Result<String, Fault> {
    let mut statement = database.prepare(sql)?;
    statement.step()?;
    text(&statement, 0)
}

fn names(database: &Database) -> Result<Vec<(String, String)>, Fault> {
    let mut statement =
        database.prepare("SELECT name, type FROM pragma_table_list WHERE schema = 'main'")?;
    let mut names = Vec::new();
    while statement.step()? {
        names.push((text(&statement, 0)?, text(&statement, 1)?));
    }
    Ok(names)
}

fn table(
    database: &Database,
    name: String,
    kind: &str,
    estimates: &BTreeMap<String, u64>,
) -> Result<SourceTable, Fault> {
    let constraints = constraints(database, &name)?;
    let mut key: Vec<_> = constraints
        .iter()
        .filter(|(_, constraint)| constraint.key_part > 0)
        .map(|(column, constraint)| (constraint.key_part, column.clone()))
        .collect();
    key.sort();
    let mut table = SourceTable {
        schema: MAIN.to_owned(),
        kind: if kind == "view" { TableKind::View } else { TableKind::Table },
        readable: true,
        columns: Vec::new(),
        key: key.into_iter().map(|(_, column)| column).collect(),
        estimated_rows: estimates.get(&name).copied(),
        estimated_bytes: None,
        query: None,
        name,
    };
    // A view of what no longer exists, or a table of a module that is not built in, can be named
    // but not read; others of the same pattern can.
    match database.prepare(&format!("SELECT * FROM {}", from_clause(&table))) {
        Ok(statement) => table.columns = columns(&statement, &constraints),
        Err(fault) if fault.primary() == libsqlite3_sys::SQLITE_ERROR => table.readable = false,
        Err(fault) => return Err(fault),
    }
    if table.readable && table.estimated_rows.is_none() {
        table.estimated_rows = match rowid_name(database, &table)? {
            // Row ids mostly count up from one, so this is about right, and never too few.
            Some(rowid) => rowid_bounds(database, &table, rowid)?
                .map_or(Some(0), |(first, last)| Some(last.abs_diff(first).saturating_add(1))),
            None => None,
        };
    }
    Ok(table)
}

#[derive(Default)]
struct Constraint {
    not_null: bool,
    /// Place in the primary key, from 1; 0 for other columns.
    key_part: i64,
}

fn constraints(database: &Database, table: &str) -> Result<BTreeMap<String, Constraint>, Fault> {
    let mut statement = database.prepare(&format!(
        "SELECT name, \"notnull\", pk FROM pragma_table_xinfo({})",
        literal(table)
    ))?;
    let mut constraints = BTreeMap::new();
    // A view that can't be resolved has no columns to tell of.
    while statement.step().or_else(|fault| match fault.primary() {
        libsqlite3_sys::SQLITE_ERROR => Ok(false),
        _ => Err(fault),
    })? {
        let not_null = statement.cell(1)? == Cell::Integer(1);
        let key_part = match statement.cell(2)? {
            Cell::Integer(part) => part,
            _ => 0,
        };
        constraints.insert(text(&statement, 0)?, Constraint { not_null, key_part });
    }
    Ok(constraints)
}

fn columns(
    statement: &Statement<'_>,
    constraints: &BTreeMap<String, Constraint>,
) -> Vec<SourceColumn> {
    (0..statement.column_count())
        .map(|at| {
            let name = statement.column_name(at).unwrap_or_default();
            let declared = statement.column_declared(at).filter(|text| !text.is_empty());
            let declared = declared.unwrap_or_else(|| UNDECLARED.to_owned());
            SourceColumn {
                nullable: !constraints.get(&name).is_some_and(|constraint| constraint.not_null),
                mapping: Declared::parse(&declared).mapping(),
                type_id: 0,
                type_modifier: -1,
                name,
                declared,
            }
        })
        .collect()
}

/// What `ANALYZE` left, where somebody ran it: the first number of a statistic is the rows.
fn estimated_rows(database: &Database) -> Result<BTreeMap<String, u64>, Fault> {
    let mut estimates = BTreeMap::new();
    if scalar(database, "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'")? == "0" {
        return Ok(estimates);
    }
    let mut statement = database.prepare(&format!(
        "SELECT tbl, max(CAST(stat AS INTEGER)) FROM {} GROUP BY tbl",
        quote("sqlite_stat1")
    ))?;
    while statement.step()? {
        if let Cell::Integer(rows) = statement.cell(1)? {
            estimates.insert(text(&statement, 0)?, rows.unsigned_abs());
        }
    }
    Ok(estimates)
}

fn text(statement: &Statement<'_>, column: i32) -> Result<String, Fault> {
    Ok(match statement.cell(column)? {
        Cell::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Cell::Integer(value) => value.to_string(),
        _ => String::new(),
    })
}
