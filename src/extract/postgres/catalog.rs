//! What the server's catalog says of tables, and what it makes of a query.

use std::collections::{BTreeMap, HashMap};

use super::{
    mapping::mapping,
    pg_type::PgType,
    rows::{query, query_one},
    sql::{query_body, query_proofs},
    types::{TypeCatalog, oid_array},
    wire::{WireConnection, WireError},
};
use crate::{
    config::TablePattern,
    error::{Error, ErrorKind},
    extract::{Mapping, SourceColumn, SourceTable, TableKind},
};

/// Types by number and modifier, as the last look at the catalog found them.
pub(super) type KnownTypes = HashMap<(u32, i32), PgType>;

/// Schemas that belong to the server; their tables must be named exactly.
fn is_system_schema(schema: &str) -> bool {
    schema == "information_schema" || schema.starts_with("pg_")
}

/// A relation of `pg_class` that a pattern may mean.
struct Relation {
    oid: u32,
    kind: TableKind,
    schema: String,
    name: String,
    readable: bool,
    estimated_rows: Option<u64>,
    estimated_bytes: Option<u64>,
}

/// `server_version_num`: 150018 is 15.18.
pub(super) async fn version(connection: &mut WireConnection) -> Result<u32, WireError> {
    let sql = "SELECT pg_catalog.current_setting('server_version_num')";
    Ok(query_one(connection, sql).await?.number(0).unwrap_or_default())
}

/// The tables and views that match any of `patterns`, sorted by name. Partitions are part of their
/// table: they are only found by their exact name.
pub(super) async fn tables(
    connection: &mut WireConnection,
    patterns: &[TablePattern],
    default_schema: &str,
) -> Result<(Vec<SourceTable>, KnownTypes), WireError> {
    let mut relations = Vec::new();
    for row in query(connection, RELATIONS).await? {
        let (schema, name, is_partition) = (row.text(1), row.text(2), row.is(4));
        let mut meant =
            patterns.iter().filter(|pattern| pattern.matches(schema, name, default_schema));
        let wanted = if is_partition || is_system_schema(schema) {
            meant.any(TablePattern::is_exact)
        } else {
            meant.next().is_some()
        };
        if wanted {
            relations.push(Relation {
                oid: row.number(0).unwrap_or_default(),
                schema: schema.to_owned(),
                name: name.to_owned(),
                kind: kind(row.text(3)),
                readable: row.is(5),
                estimated_rows: row.number::<f64>(6).map(|rows| rows as u64),
                estimated_bytes: row.number(7),
            });
        }
    }
    let oids: Vec<_> = relations.iter().map(|relation| relation.oid).collect();
    let (mut columns, known) = columns(connection, &oids).await?;
    let mut keys = keys(connection, &oids).await?;
    let mut tables: Vec<_> = relations
        .into_iter()
        .map(|relation| SourceTable {
            columns: columns.remove(&relation.oid).unwrap_or_default(),
            key: keys.remove(&relation.oid).unwrap_or_default(),
            schema: relation.schema,
            name: relation.name,
            kind: relation.kind,
            readable: relation.readable,
            estimated_rows: relation.estimated_rows,
            estimated_bytes: relation.estimated_bytes,
            query: None,
        })
        .collect();
    tables.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    Ok((tables, known))
}

/// The columns that `sql` would return; the server takes it apart, and runs nothing.
pub(super) async fn describe(
    connection: &mut WireConnection,
    name: &str,
    sql: &str,
) -> Result<(SourceTable, KnownTypes), WireError> {
    let body = query_body(sql);
    let [bare, wrapped] = query_proofs(body);
    let described = connection.describe(&bare).await?;
    connection.describe(&wrapped).await?;
    let version = version(connection).await?;
    let types =
        TypeCatalog::load(connection, version, described.iter().map(|column| column.type_oid))
            .await?;
    let mut columns = Vec::new();
    let mut known = KnownTypes::new();
    let shown: Vec<_> = described
        .iter()
        .map(|column| {
            let (oid, modifier) = (column.type_oid, column.modifier);
            format!("SELECT pg_catalog.format_type({oid}, {modifier})")
        })
        .collect();
    let shown = query(connection, &shown.join(" UNION ALL ")).await?;
    for (column, shown) in described.into_iter().zip(shown) {
        let declared = shown.text(0).to_owned();
        let pg = types.resolve(column.type_oid, column.modifier, &declared);
        columns.push(SourceColumn {
            name: column.name,
            declared,
            nullable: true,
            type_id: pg.oid,
            type_modifier: pg.modifier,
            mapping: mapping(&pg),
        });
        known.insert((pg.oid, pg.modifier), pg);
    }
    let table = SourceTable {
        schema: String::new(),
        name: name.to_owned(),
        kind: TableKind::Query,
        readable: true,
        columns,
        key: Vec::new(),
        estimated_rows: None,
        estimated_bytes: None,
        query: Some(body.to_owned()),
    };
    Ok((table, known))
}

/// The error for a user's own SQL: what the server can't understand is for the user to mend.
pub(super) fn user_sql(error: WireError) -> Error {
    // Class 42 is syntax and names, 0A what the server does not do; 42501 is a missing privilege.
    let is_users = error.sqlstate().is_some_and(|state| {
        state != "42501" && (state.starts_with("42") || state.starts_with("0A"))
    });
    let error = Error::from(error);
    if is_users { error.of_kind(ErrorKind::Config) } else { error }
}

fn kind(relkind: &str) -> TableKind {
    match relkind {
        "p" => TableKind::Partitioned,
        "v" | "m" => TableKind::View,
        "f" => TableKind::Foreign,
        _ => TableKind::Table,
    }
}

/// Ordinary and partitioned tables, views and foreign tables, with the estimates of a table and
/// all tables below it. A table whose row policies would hide rows from the login is not readable:
/// fewer rows than there are must never look like all of them.
const RELATIONS: &str = "
    WITH RECURSIVE tree(root, part) AS (
        SELECT i.inhparent, i.inhrelid FROM pg_catalog.pg_inherits i
        UNION
        SELECT t.root, i.inhrelid FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.part
    ), size(oid, rows, pages) AS (
        SELECT t.root, sum(greatest(c.reltuples, 0)), sum(c.relpages)
        FROM tree t JOIN pg_catalog.pg_class c ON c.oid = t.part AND c.relkind <> 'p'
        GROUP BY 1
    )
    SELECT c.oid, n.nspname, c.relname, c.relkind, c.relispartition,
        pg_catalog.has_schema_privilege(n.oid, 'USAGE')
            AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT')
            AND NOT pg_catalog.row_security_active(c.oid),
        CASE WHEN c.relkind IN ('r', 'p', 'm') AND (c.reltuples > 0 OR s.rows > 0)
            THEN coalesce(s.rows, 0) + CASE WHEN c.relkind = 'p' THEN 0 ELSE greatest(c.reltuples, 0) END
        END,
        CASE WHEN c.relkind IN ('r', 'p', 'm') AND (c.relpages > 0 OR s.pages > 0)
            THEN (coalesce(s.pages, 0) + CASE WHEN c.relkind = 'p' THEN 0 ELSE c.relpages END)
                * pg_catalog.current_setting('block_size')::bigint
        END
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN size s ON s.oid = c.oid
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'";

async fn columns(
    connection: &mut WireConnection,
    oids: &[u32],
) -> Result<(BTreeMap<u32, Vec<SourceColumn>>, KnownTypes), WireError> {
    let rows = query(
        connection,
        &format!(
            "SELECT a.attrelid, a.attname, a.atttypid, a.atttypmod,
                 pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
                 pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT')
             FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = ANY ({}) AND a.attnum > 0 AND NOT a.attisdropped
             ORDER BY a.attrelid, a.attnum",
            oid_array(oids)
        ),
    )
    .await?;
    let version = version(connection).await?;
    let types =
        TypeCatalog::load(connection, version, rows.iter().filter_map(|row| row.number(2))).await?;
    let mut columns: BTreeMap<u32, Vec<SourceColumn>> = BTreeMap::new();
    let mut known = KnownTypes::new();
    for row in rows {
        let (name, declared) = (row.text(1).to_owned(), row.text(4).to_owned());
        let oid = row.number(2).unwrap_or_default();
        let pg = types.resolve(oid, row.number(3).unwrap_or(-1), &declared);
        let mapping = if row.is(6) {
            mapping(&pg)
        } else {
            Mapping::Refused {
                reason: "the login may not read this column; grant SELECT on it, or drop it"
                    .to_owned(),
            }
        };
        columns.entry(row.number(0).unwrap_or_default()).or_default().push(SourceColumn {
            name,
            declared,
            nullable: !row.is(5),
            type_id: pg.oid,
            type_modifier: pg.modifier,
            mapping,
        });
        known.insert((pg.oid, pg.modifier), pg);
    }
    Ok((columns, known))
}

async fn keys(
    connection: &mut WireConnection,
    oids: &[u32],
) -> Result<BTreeMap<u32, Vec<String>>, WireError> {
    let rows = query(
        connection,
        &format!(
            "SELECT i.indrelid, a.attname
             FROM pg_catalog.pg_index i
             CROSS JOIN LATERAL pg_catalog.unnest(i.indkey) WITH ORDINALITY k(attnum, place)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
             WHERE i.indisprimary AND i.indrelid = ANY ({}) AND k.place <= i.indnkeyatts
             ORDER BY i.indrelid, k.place",
            oid_array(oids)
        ),
    )
    .await?;
    let mut keys: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for row in rows {
        keys.entry(row.number(0).unwrap_or_default()).or_default().push(row.text(1).to_owned());
    }
    Ok(keys)
}
