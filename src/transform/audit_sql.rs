//! The SQL of audits. Every name is quoted here, every value is a quoted literal, and expressions
//! of users stand alone in brackets.

use datafusion::sql::parser::DFParserBuilder;

use crate::{config::AuditKind, types::TableName};

use super::{
    audit::AuditTarget,
    diagnose::{Problem, quoted},
};

/// How many offending rows an outcome shows.
pub(super) const SAMPLE: usize = 10;

/// The queries of one audit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AuditSql {
    /// One number, the rows that fail; and, where keys can be shown, a query for them.
    Count { count: String, sample: Option<String> },
    /// A query whose rows are those that fail.
    Rows(String),
}

/// The SQL of `kind` on the table of `target`; none where the number of rows is all it takes.
pub(super) fn sql_of(
    kind: &AuditKind,
    target: &AuditTarget<'_>,
) -> Result<Option<AuditSql>, Problem> {
    let table = target.table.quoted();
    let rows = |condition: &str, fallback: Option<&str>| {
        let from = format!("from {table} where {condition}");
        let keys: Vec<String> = if target.key.is_empty() {
            fallback.map(quoted).into_iter().collect()
        } else {
            target.key.iter().map(|key| quoted(key)).collect()
        };
        let keys = keys.join(", ");
        let sample = (!keys.is_empty())
            .then(|| format!("select distinct {keys} {from} order by {keys} limit {SAMPLE}"));
        AuditSql::Count { count: format!("select count(*) as failing {from}"), sample }
    };
    Ok(Some(match kind {
        AuditKind::NotNull(columns) => rows(&any_null(columns), None),
        AuditKind::Unique(columns) => unique(&table, columns),
        AuditKind::AcceptedValues { column: name, values } => {
            let cast = format!("cast({} as varchar)", quoted(name));
            let condition = match values.as_slice() {
                [] => format!("{cast} is not null"),
                values => {
                    let listed: Vec<_> = values.iter().map(|value| literal(value)).collect();
                    format!("{cast} not in ({})", listed.join(", "))
                }
            };
            rows(&condition, Some(name))
        }
        AuditKind::Relationship { column: name, to_table, to_column } => {
            rows(&orphan(target.table, name, &table_of(to_table)?, to_column), Some(name))
        }
        AuditKind::RowCount(_) => return Ok(None),
        AuditKind::Expression(expression) => {
            check_expression(expression)?;
            // On lines of its own, so that a comment in it ends where it should.
            rows(&format!("(\n{expression}\n) is false"), None)
        }
        AuditKind::Query(sql) => AuditSql::Rows(sql.clone()),
    }))
}

/// The table that a relationship leads to.
pub(super) fn table_of(text: &str) -> Result<TableName, Problem> {
    text.parse().map_err(|why: String| Problem::new(why))
}

fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

fn any_null(columns: &[String]) -> String {
    let tests: Vec<_> = columns.iter().map(|name| format!("{} is null", quoted(name))).collect();
    tests.join(" or ")
}

fn unique(table: &str, columns: &[String]) -> AuditSql {
    let names = columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    let groups = format!(
        "from {table} where not ({}) group by {names} having count(*) > 1",
        any_null(columns)
    );
    AuditSql::Count {
        count: format!(
            "select cast(coalesce(sum(n), 0) as bigint) as failing \
             from (select count(*) as n {groups}) as d"
        ),
        sample: Some(format!("select {names} {groups} order by {names} limit {SAMPLE}")),
    }
}

/// A value that is not NULL and not in `to_column` of `to_table`.
fn orphan(table: &TableName, name: &str, to_table: &TableName, to_column: &str) -> String {
    let (outer, inner) = (format!("{}.{}", table.quoted(), quoted(name)), quoted(to_column));
    let to_table = to_table.quoted();
    format!(
        "{outer} is not null and \
         not exists (select 1 from {to_table} as other where other.{inner} = {outer})"
    )
}

/// An expression has to end where its text ends, so that brackets around it hold.
fn check_expression(expression: &str) -> Result<(), Problem> {
    DFParserBuilder::new(expression)
        .build()
        .and_then(|mut parser| parser.parse_into_expr())
        .map_err(|error| Problem::of(&error, expression))
        .and_then(|parsed| match parsed.alias {
            None => Ok(()),
            Some(_) => Err(Problem::new("an expression has no `as`")),
        })
}
