//! The catalog's types → [`PgType`] trees.

use std::collections::BTreeMap;

use super::{
    pg_type::{PgKind, PgType},
    rows::{Row, query},
    wire::{WireConnection, WireError},
};

/// Types nest as deep as this; the catalog allows no cycle, so this is never met.
const MAX_DEPTH: usize = 64;

/// The first server with multiranges.
const MULTIRANGES: u32 = 140_000;

/// Types of one server by their number, with all that they are made of.
#[derive(Debug, Default)]
pub(super) struct TypeCatalog {
    types: BTreeMap<u32, Raw>,
    /// Attributes of composite types: name, type, modifier, and the type as `format_type` has it.
    attributes: BTreeMap<u32, Vec<(String, u32, i32, String)>>,
}

/// A row of `pg_type`.
#[derive(Debug)]
struct Raw {
    name: String,
    kind: char,
    element: u32,
    base: u32,
    base_modifier: i32,
    base_name: String,
    bounds: u32,
    is_array: bool,
    is_sendable: bool,
}

impl TypeCatalog {
    /// Loads the types `oids` and all that they are made of from a server of `version`
    /// (`server_version_num`).
    pub(super) async fn load(
        connection: &mut WireConnection,
        version: u32,
        oids: impl IntoIterator<Item = u32>,
    ) -> Result<Self, WireError> {
        let mut oids: Vec<_> = oids.into_iter().collect();
        oids.sort_unstable();
        oids.dedup();
        let mut catalog = Self::default();
        for row in query(connection, &types_sql(&oids, version)).await? {
            catalog.types.insert(row.number(0).unwrap_or_default(), Raw::new(&row));
        }
        let composites: Vec<_> =
            catalog.types.iter().filter(|(_, raw)| raw.kind == 'c').map(|(oid, _)| *oid).collect();
        if !composites.is_empty() {
            for row in query(connection, &attributes_sql(&composites)).await? {
                let attribute = (
                    row.text(1).to_owned(),
                    row.number(2).unwrap_or_default(),
                    row.number(3).unwrap_or(-1),
                    row.text(4).to_owned(),
                );
                catalog
                    .attributes
                    .entry(row.number(0).unwrap_or_default())
                    .or_default()
                    .push(attribute);
            }
        }
        Ok(catalog)
    }

    /// The type `oid` with `modifier`, which a column shows as `name`.
    pub(super) fn resolve(&self, oid: u32, modifier: i32, name: &str) -> PgType {
        self.tree(oid, modifier, name, MAX_DEPTH)
    }

    fn tree(&self, oid: u32, modifier: i32, name: &str, depth: usize) -> PgType {
        let Some((raw, depth)) = self.types.get(&oid).zip(depth.checked_sub(1)) else {
            return PgType::new(oid, name, modifier, PgKind::Unsendable);
        };
        let inner = |oid: u32, modifier: i32| {
            let name = self.types.get(&oid).map_or("", |raw| raw.name.as_str());
            Box::new(self.tree(oid, modifier, name, depth))
        };
        let kind = match raw.kind {
            _ if !raw.is_sendable => PgKind::Unsendable,
            'd' => {
                let (oid, modifier) = (raw.base, raw.base_modifier);
                PgKind::Domain(Box::new(self.tree(oid, modifier, &raw.base_name, depth)))
            }
            'e' => PgKind::Enum,
            'c' => {
                let attributes = self.attributes.get(&oid).map(Vec::as_slice).unwrap_or_default();
                let field = |(field, oid, modifier, name): &(String, u32, i32, String)| {
                    (field.clone(), self.tree(*oid, *modifier, name, depth))
                };
                PgKind::Composite(attributes.iter().map(field).collect())
            }
            'r' => PgKind::Range(inner(raw.bounds, -1)),
            'm' => PgKind::Multirange(inner(raw.bounds, -1)),
            // An array's modifier is that of its elements.
            _ if raw.is_array => PgKind::Array(inner(raw.element, modifier)),
            _ => PgKind::Base,
        };
        PgType::new(oid, name, modifier, kind)
    }
}

impl Raw {
    fn new(row: &Row) -> Self {
        Self {
            name: row.text(1).to_owned(),
            kind: row.text(2).chars().next().unwrap_or('b'),
            element: row.number(3).unwrap_or_default(),
            base: row.number(4).unwrap_or_default(),
            base_modifier: row.number(5).unwrap_or(-1),
            base_name: row.text(6).to_owned(),
            bounds: row.number(7).unwrap_or_default(),
            is_array: row.is(8),
            is_sendable: row.is(9),
        }
    }
}

/// A list of numbers as SQL, for `= ANY (…)`.
pub(super) fn oid_array(oids: &[u32]) -> String {
    let list: Vec<_> = oids.iter().map(u32::to_string).collect();
    format!("'{{{}}}'::pg_catalog.oid[]", list.join(","))
}

fn types_sql(oids: &[u32], version: u32) -> String {
    let (range_of, multirange) = if version >= MULTIRANGES {
        ("r.rngtypid = t.oid OR r.rngmultitypid = t.oid", "t.typtype IN ('r', 'm')")
    } else {
        ("r.rngtypid = t.oid", "t.typtype = 'r'")
    };
    format!(
        "WITH RECURSIVE needed(oid) AS (
             SELECT pg_catalog.unnest({oids})
             UNION
             SELECT part.oid
             FROM needed n
             JOIN pg_catalog.pg_type t ON t.oid = n.oid
             CROSS JOIN LATERAL (
                 SELECT t.typelem AS oid WHERE t.typcategory = 'A'
                 UNION ALL SELECT t.typbasetype WHERE t.typtype = 'd'
                 UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r
                     WHERE {multirange} AND ({range_of})
                 UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
                     WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0
                         AND NOT a.attisdropped
             ) part
             WHERE part.oid <> 0
         )
         SELECT t.oid, pg_catalog.format_type(t.oid, NULL), t.typtype, t.typelem, t.typbasetype,
             t.typtypmod, pg_catalog.format_type(t.typbasetype, t.typtypmod),
             (SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE {range_of} LIMIT 1),
             t.typcategory = 'A' AND t.typelem <> 0 AND t.typlen = -1,
             t.typtype <> 'p' AND t.typsend::pg_catalog.oid <> 0
         FROM needed n JOIN pg_catalog.pg_type t ON t.oid = n.oid",
        oids = oid_array(oids),
    )
}

fn attributes_sql(composites: &[u32]) -> String {
    format!(
        "SELECT t.oid, a.attname, a.atttypid, a.atttypmod,
             pg_catalog.format_type(a.atttypid, a.atttypmod)
         FROM pg_catalog.pg_type t
         JOIN pg_catalog.pg_attribute a ON a.attrelid = t.typrelid
         WHERE t.oid = ANY ({}) AND a.attnum > 0 AND NOT a.attisdropped
         ORDER BY t.oid, a.attnum",
        oid_array(composites)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(name: &str, kind: char) -> Raw {
        Raw {
            name: name.into(),
            kind,
            element: 0,
            base: 0,
            base_modifier: -1,
            base_name: String::new(),
            bounds: 0,
            is_array: false,
            is_sendable: true,
        }
    }

    #[test]
    fn trees_reach_down_to_base_types() {
        let mut catalog = TypeCatalog::default();
        catalog.types.insert(1700, raw("numeric", 'b'));
        let money = Raw {
            base: 1700,
            base_modifier: 655_366,
            base_name: "numeric(10,2)".into(),
            ..raw("amount", 'd')
        };
        catalog.types.insert(9000, money);
        catalog.types.insert(9001, Raw { element: 9000, is_array: true, ..raw("amount[]", 'b') });
        catalog.types.insert(9002, raw("line", 'c'));
        catalog.attributes.insert(9002, vec![("a".into(), 9001, -1, "amount[]".into())]);

        let numeric = PgType::new(1700, "numeric(10,2)", 655_366, PgKind::Base);
        let domain = PgType::new(9000, "amount", -1, PgKind::Domain(Box::new(numeric)));
        let array = PgType::new(9001, "amount[]", -1, PgKind::Array(Box::new(domain)));
        let composite = PgType::new(9002, "line", -1, PgKind::Composite(vec![("a".into(), array)]));
        assert_eq!(catalog.resolve(9002, -1, "line"), composite);
        assert_eq!(catalog.resolve(7, -1, "gone").kind, PgKind::Unsendable);
    }

    #[test]
    fn types_without_a_binary_form_are_told_apart() {
        let mut catalog = TypeCatalog::default();
        catalog.types.insert(5000, Raw { is_sendable: false, ..raw("aclitem", 'b') });
        assert_eq!(catalog.resolve(5000, -1, "aclitem").kind, PgKind::Unsendable);
    }
}
