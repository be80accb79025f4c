//! The login that a pipeline needs, and no more, as statements for an administrator.

use std::{collections::BTreeSet, fmt::Write as _, ops::ControlFlow, time::Duration};

use datafusion::sql::sqlparser::{
    ast::visit_relations, dialect::PostgreSqlDialect, parser::Parser,
};

use super::{
    DEFAULT_SCHEMA,
    rows::query,
    sql::{literal, qualified, quote},
    wire::{WireConnection, WireError},
};
use crate::{
    config::{Connection, TablePattern},
    error::Result,
    extract::{Source, TableUse},
};

/// Who is to read, and where.
pub(super) struct Login<'a> {
    pub(super) role: &'a str,
    pub(super) database: &'a str,
    pub(super) connection: &'a Connection,
}

/// Puts the tables that queries read in the place of the queries; a query that can't be taken apart
/// stays.
pub(super) async fn with_queries_taken_apart(
    source: &dyn Source,
    reads: &[TableUse],
) -> Result<Vec<TableUse>> {
    let mut all = Vec::new();
    let mut named = Vec::new();
    for read in reads {
        match read.table.query.as_deref().map(relations) {
            Some(Some(patterns)) => named.extend(patterns),
            Some(None) | None => all.push(read.clone()),
        }
    }
    if !named.is_empty() {
        let found = source.discover(&named).await?;
        all.extend(found.into_iter().map(|table| TableUse { table, unread: Vec::new() }));
    }
    // A table that is read twice needs all that either reads.
    all.sort_by_key(|read| (read.table.schema.clone(), read.table.name.clone()));
    all.dedup_by(|later, first| {
        let is_same = later.table.query.is_none()
            && (&later.table.schema, &later.table.name) == (&first.table.schema, &first.table.name);
        if is_same {
            first.unread.retain(|column| later.unread.contains(column));
        }
        is_same
    });
    Ok(all)
}

/// What may be tables in `sql`, a name of a WITH query among them; nothing where it can't be told.
fn relations(sql: &str) -> Option<Vec<TablePattern>> {
    let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).ok()?;
    let mut names = Vec::new();
    let _ = visit_relations(&statements, |name| {
        names.push(name.to_string());
        ControlFlow::<()>::Continue(())
    });
    names.iter().map(|name| name.parse().ok()).collect()
}

/// What everybody may do in the database that a login for reading must not.
pub(super) async fn open_to_all(
    connection: &mut WireConnection,
    reads: &[TableUse],
) -> Result<Vec<String>, WireError> {
    let schemas: BTreeSet<_> = reads.iter().map(|read| literal(&read.table.schema)).collect();
    let schemas: Vec<_> = schemas.into_iter().collect();
    let sql = format!(
        "SELECT 'REVOKE CREATE ON SCHEMA ' || pg_catalog.quote_ident(n.nspname) || ' FROM PUBLIC'
         FROM pg_catalog.pg_namespace n
         CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) a
         WHERE a.grantee = 0 AND a.privilege_type = 'CREATE'
             AND NOT pg_catalog.starts_with(n.nspname, 'pg_')
         UNION ALL
         SELECT 'REVOKE ' || pg_catalog.string_agg(a.privilege_type, ', ') || ' ON '
             || CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE '' END
             || pg_catalog.format('%I.%I', n.nspname, c.relname) || ' FROM PUBLIC'
         FROM pg_catalog.pg_class c
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
         WHERE a.grantee = 0 AND a.privilege_type NOT IN ('SELECT', 'REFERENCES')
             AND n.nspname IN ({})
         GROUP BY c.relkind, n.nspname, c.relname
         ORDER BY 1",
        if schemas.is_empty() { literal(DEFAULT_SCHEMA) } else { schemas.join(", ") }
    );
    let rows = query(connection, &sql).await?;
    Ok(rows.into_iter().map(|row| row.text(0).to_owned()).collect())
}

/// The statements, with a word on each that needs one.
pub(super) fn statements(login: &Login<'_>, reads: &[TableUse], open: &[String]) -> String {
    let Login { role, database, connection } = login;
    let (role, database) = (quote(role), quote(database));
    let mut sql = format!(
        "-- Connection {}: a login that may read what is asked for, and nothing else.\n\
         -- To be run in database {database}, on the primary, by an administrator.\n\
         CREATE ROLE {role} LOGIN PASSWORD '…'\n  \
         NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS\n  \
         CONNECTION LIMIT {};\n\
         ALTER ROLE {role} SET default_transaction_read_only = on;\n",
        connection.name,
        // The one before may not have ended yet when another one is opened.
        connection.limits.connections + 1
    );
    if let Some(limit) = connection.limits.statement_timeout {
        let _ = writeln!(sql, "ALTER ROLE {role} SET statement_timeout = {};", setting(limit));
    }
    let _ = writeln!(sql, "GRANT CONNECT ON DATABASE {database} TO {role};");
    if connection.limits.active_sessions.is_some() {
        let _ = writeln!(sql, "GRANT pg_read_all_stats TO {role}; -- for `max_active_sessions`");
    }
    let tables: Vec<_> = reads.iter().filter(|read| read.table.query.is_none()).collect();
    let mut schemas: Vec<_> = tables.iter().map(|read| quote(&read.table.schema)).collect();
    schemas.dedup();
    for schema in &schemas {
        let _ = writeln!(sql, "GRANT USAGE ON SCHEMA {schema} TO {role};");
    }
    for TableUse { table, unread } in tables {
        let name = qualified(&table.schema, &table.name);
        let _ = writeln!(sql, "GRANT SELECT ON {name} TO {role};");
        if !unread.is_empty() {
            let read = table.columns.iter().map(|column| &column.name);
            let read: Vec<_> =
                read.filter(|name| !unread.contains(name)).map(|name| quote(name)).collect();
            let _ = writeln!(
                sql,
                "--   or, without {}, and read by one connection only:\n\
                 --   GRANT SELECT ({}) ON {name} TO {role};",
                unread.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", "),
                read.join(", ")
            );
        }
    }
    for read in reads.iter().filter(|read| read.table.query.is_some()) {
        let _ = writeln!(
            sql,
            "-- The query {} can't be taken apart here: grant SELECT on each table that it reads.",
            read.table.name
        );
    }
    if !open.is_empty() {
        sql +=
            "-- Every login may do this, which no login for reading should; others may need it.\n";
        for statement in open {
            let _ = writeln!(sql, "{statement};");
        }
    }
    sql
}

fn setting(limit: Duration) -> String {
    format!("'{}ms'", limit.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_name_their_tables() {
        let of = |sql| {
            relations(sql)
                .map(|patterns| patterns.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let sql = "with x as (select * from public.a) select * from x join \"B\" using (id)";
        assert_eq!(of(sql).unwrap(), ["public.a", "x", "B"]);
        assert_eq!(of("select ("), None);
    }
}
