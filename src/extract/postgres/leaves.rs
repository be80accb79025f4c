//! Where the rows of tables lie, and by what ranges of them can be asked for.
//!
//! A leaf is a relation with storage of its own: an ordinary table, a partition, an inheritance
//! child. Ranges of pages are read by TID range scans, which servers have since PostgreSQL 14 and
//! heaps only; elsewhere a primary key that is one whole number takes their place.

use std::collections::HashMap;

use super::{
    chunks::{Leaf, Order, SPLIT_BYTES},
    rows::{Row, query, query_one},
    sql::{qualified, quote},
    types::oid_array,
    wire::{WireConnection, WireError},
};

/// The first server with TID range scans.
const TID_RANGE_SCANS: u32 = 140_000;

/// Rows must lie about in the order of their keys: else each range is read from all over the table,
/// and all ranges together are much more work for the server than one pass.
const ORDERED: f64 = 0.9;

/// The leaves of each table in `roots`; nothing for a table that has others, or others than the
/// login may read by themselves. Asks for keys in the view that `connection` holds.
pub(super) async fn leaves(
    connection: &mut WireConnection,
    roots: &[u32],
    version: u32,
) -> Result<HashMap<u32, Option<Vec<Leaf>>>, WireError> {
    let mut found: HashMap<u32, Option<Vec<Leaf>>> =
        roots.iter().map(|oid| (*oid, Some(Vec::new()))).collect();
    for row in query(connection, &leaves_sql(roots, version)).await? {
        let Some(of_root) = row.number(0).and_then(|oid: u32| found.get_mut(&oid)) else {
            continue;
        };
        if !row.is(5) {
            *of_root = None;
        } else if let Some(of_root) = of_root {
            of_root.push(leaf(connection, &row, version).await?);
        }
    }
    Ok(found)
}

async fn leaf(connection: &mut WireConnection, row: &Row, version: u32) -> Result<Leaf, WireError> {
    let mut leaf = Leaf {
        schema: row.text(1).to_owned(),
        name: row.text(2).to_owned(),
        main_bytes: row.number(3).unwrap_or_default(),
        all_bytes: row.number(4).unwrap_or_default(),
        order: Order::Unknown,
    };
    if row.is(6) && version >= TID_RANGE_SCANS {
        leaf.order = Order::Pages;
    } else if leaf.all_bytes >= SPLIT_BYTES {
        let oid = row.number(7).unwrap_or_default();
        leaf.order = keys(connection, &leaf, oid).await?.unwrap_or(Order::Unknown);
    }
    Ok(leaf)
}

/// The keys of `leaf`, where ranges of them are worth asking for.
async fn keys(
    connection: &mut WireConnection,
    leaf: &Leaf,
    oid: u32,
) -> Result<Option<Order>, WireError> {
    let key = query(connection, &key_sql(oid)).await?;
    let Some(key) = key.first() else { return Ok(None) };
    // The server does not know where rows lie before it has analyzed the table.
    if key.number(1).is_none_or(|correlation: f64| correlation.abs() < ORDERED) {
        return Ok(None);
    }
    let column = quote(key.text(0));
    let relation = qualified(&leaf.schema, &leaf.name);
    let ends =
        format!("SELECT pg_catalog.min({column}), pg_catalog.max({column}) FROM ONLY {relation}");
    let ends = query_one(connection, &ends).await?;
    Ok(ends
        .number(0)
        .zip(ends.number(1))
        .map(|ends| Order::Keys { column, marks: marks(ends, key.text(2)) }))
}

/// From the `least` to the `greatest` key by the `histogram` that the server keeps, an array as text.
/// It may be older than they are, or missing.
fn marks((least, greatest): (i64, i64), histogram: &str) -> Vec<i64> {
    let known = histogram.trim_matches(['{', '}']).split(',').filter_map(|key| key.parse().ok());
    let known = known.filter(|key: &i64| (least..=greatest).contains(key));
    let mut marks: Vec<_> = known.chain([least, greatest]).collect();
    marks.sort_unstable();
    marks.dedup();
    if marks.len() < 2 { vec![least, greatest] } else { marks }
}

fn leaves_sql(roots: &[u32], version: u32) -> String {
    // Servers without this column have no detach that could be pending.
    let attached = if version >= 140_000 { "AND NOT i.inhdetachpending" } else { "" };
    format!(
        "WITH RECURSIVE tree(root, part) AS (
             SELECT r, r FROM pg_catalog.unnest({roots}) r
             UNION
             SELECT t.root, i.inhrelid
             FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.part {attached}
         )
         SELECT t.root, n.nspname, c.relname, pg_catalog.pg_relation_size(c.oid),
             pg_catalog.pg_table_size(c.oid),
             c.relkind = 'r'
                 AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                 AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
                 AND NOT pg_catalog.row_security_active(c.oid),
             a.amname = 'heap', c.oid
         FROM tree t
         JOIN pg_catalog.pg_class c ON c.oid = t.part AND c.relkind <> 'p'
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam",
        roots = oid_array(roots)
    )
}

/// The primary key of a relation that is one column of smallint, integer or bigint.
fn key_sql(oid: u32) -> String {
    format!(
        "SELECT a.attname, s.correlation, s.histogram_bounds::pg_catalog.text
         FROM pg_catalog.pg_index i
         JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
         LEFT JOIN pg_catalog.pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname
             AND s.attname = a.attname AND NOT s.inherited
         WHERE c.oid = {oid} AND i.indisprimary AND i.indisvalid AND i.indnkeyatts = 1
             AND a.attnotnull AND a.atttypid IN (20, 21, 23)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_ascend_from_the_least_to_the_greatest_key() {
        assert_eq!(marks((-5, 90), "{-5,0,7,80}"), [-5, 0, 7, 80, 90]);
        assert_eq!(marks((1, 50), "{-9,0,7,80}"), [1, 7, 50], "of before rows came and went");
        assert_eq!(marks((1, 50), ""), [1, 50]);
        assert_eq!(marks((3, 3), "{3}"), [3, 3]);
    }
}
