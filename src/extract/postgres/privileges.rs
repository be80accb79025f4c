//! What the login must not be able to do.
//!
//! A read-only transaction is no proof: some functions write in it, and a server may be promoted.
//! So the login itself must be unable to write. Roles that it could change into with `SET ROLE`
//! count as the login.

use super::{
    rows::{Row, query},
    sql::quote,
    wire::{WireConnection, WireError},
};
use crate::extract::Refusal;

/// So many names are shown of what may be a long list.
const SHOWN: usize = 5;

/// Why `login`, as which `connection` is logged in, must not be used; empty where all is well.
pub(super) async fn refusals(
    connection: &mut WireConnection,
    login: &str,
) -> Result<Vec<Refusal>, WireError> {
    let mut refusals = Vec::new();
    for check in &CHECKS {
        let rows = query(connection, check.sql).await?;
        refusals.extend((check.refuse)(login, &rows));
    }
    Ok(refusals)
}

/// Tables whose policies would hide rows from the login.
pub(super) async fn hidden_rows(
    connection: &mut WireConnection,
) -> Result<Option<String>, WireError> {
    let rows = query(
        connection,
        "SELECT n.nspname, c.relname
         FROM pg_catalog.pg_class c
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relrowsecurity AND pg_catalog.row_security_active(c.oid)
             AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT')
         ORDER BY 1, 2",
    )
    .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let shown: Vec<_> =
        rows.iter().take(SHOWN).map(|row| format!("`{}.{}`", row.text(0), row.text(1))).collect();
    let more = if rows.len() > shown.len() { " and others" } else { "" };
    Ok(Some(format!(
        "row policies would hide rows of {}{more} from the login, so it can't read them",
        shown.join(", ")
    )))
}

/// One thing that the login must not be able to do.
struct Check {
    /// Rows of what it can do; none is well.
    sql: &'static str,
    /// What is wrong and what mends it, of the login and those rows.
    refuse: fn(&str, &[Row]) -> Vec<Refusal>,
}

/// The roles whose privileges the login can use, `held`, and the rest of a statement that looks for
/// objects they own or were granted. Superusers hold everything, and are refused as such.
macro_rules! held {
    ($($rest:expr),+ $(,)?) => {
        concat!(
            "WITH held AS MATERIALIZED (
                 SELECT r.oid FROM pg_catalog.pg_roles r
                 WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER') AND NOT r.rolsuper
                     AND NOT (SELECT me.rolsuper FROM pg_catalog.pg_roles me
                         WHERE me.rolname = current_user)) ",
            $($rest),+
        )
    };
}

/// Who of `held`, or PUBLIC, may do one of `$privileges` to an object, the owner first.
macro_rules! holder {
    ($owner:literal, $acl:literal, $privileges:literal) => {
        concat!(
            " CROSS JOIN LATERAL (
                 SELECT CASE g.oid WHEN 0 THEN 'PUBLIC'
                     ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.oid)) END AS name,
                     g.owns
                 FROM (SELECT ",
            $owner,
            " AS oid, true AS owns
                     UNION ALL
                     SELECT a.grantee, false FROM pg_catalog.aclexplode(nullif(",
            $acl,
            ", '{}')) a
                     WHERE a.privilege_type IN (",
            $privileges,
            ")) g
                 WHERE g.oid = 0 OR g.oid IN (SELECT oid FROM held)
                 ORDER BY g.owns DESC LIMIT 1
             ) holder "
        )
    };
}

/// All checks, in the order in which they are told.
static CHECKS: [Check; 6] = [
    Check {
        sql: "SELECT held.attribute
              FROM pg_catalog.pg_roles r
              CROSS JOIN LATERAL (VALUES ('SUPERUSER', r.rolsuper), ('CREATEROLE', r.rolcreaterole),
                  ('CREATEDB', r.rolcreatedb), ('REPLICATION', r.rolreplication),
                  ('BYPASSRLS', r.rolbypassrls)) held(attribute, is_held)
              WHERE r.rolname = current_user AND held.is_held",
        refuse: |login, rows| {
            let each = |row: &Row| Refusal {
                reason: format!("the login `{login}` has the attribute {}", row.text(0)),
                remedy: format!("ALTER ROLE {} NO{}", quote(login), row.text(0)),
            };
            rows.iter().map(each).collect()
        },
    },
    Check {
        sql: "SELECT DISTINCT via.rolname, r.rolname
              FROM pg_catalog.pg_roles me
              JOIN pg_catalog.pg_auth_members m ON m.member = me.oid
              JOIN pg_catalog.pg_roles via ON via.oid = m.roleid
              JOIN pg_catalog.pg_roles r ON pg_catalog.pg_has_role(via.oid, r.oid, 'MEMBER')
              WHERE me.rolname = current_user AND NOT me.rolsuper
                  AND (NOT via.rolsuper OR r.oid = via.oid)
                  AND (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication
                      OR r.rolbypassrls OR r.rolname IN ('pg_write_all_data',
                      'pg_write_server_files', 'pg_execute_server_program'))
              ORDER BY 1, 2",
        refuse: |login, rows| {
            let each = |row: &Row| {
                let (via, role) = (row.text(0), row.text(1));
                let path = if via == role { String::new() } else { format!(" through `{via}`") };
                Refusal {
                    reason: format!("the login `{login}` is a member of `{role}`{path}"),
                    remedy: format!("REVOKE {} FROM {}", quote(via), quote(login)),
                }
            };
            rows.iter().map(each).collect()
        },
    },
    Check {
        sql: held!(
            "SELECT n.nspname || '.' || c.relname, pg_catalog.format('%I.%I', n.nspname, c.relname),
                 holder.name, holder.owns
             FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace",
            holder!(
                "c.relowner",
                "c.relacl || ARRAY(SELECT pg_catalog.unnest(t.attacl) FROM pg_catalog.pg_attribute t
                     WHERE t.attrelid = c.oid)",
                "'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER'"
            ),
            "WHERE c.relkind IN ('r', 'p', 'v', 'f') AND c.relpersistence <> 't'
                 AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
             ORDER BY 4 DESC, 3, 1"
        ),
        refuse: |_, rows| {
            refuse_objects(rows, "write to", "INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER ON")
        },
    },
    Check {
        sql: held!(
            "SELECT n.nspname || '.' || c.relname, pg_catalog.format('%I.%I', n.nspname, c.relname),
                 holder.name, holder.owns
             FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace",
            holder!("c.relowner", "c.relacl", "'UPDATE'"),
            "WHERE c.relkind = 'S' AND c.relpersistence <> 't'
             ORDER BY 4 DESC, 3, 1"
        ),
        refuse: |_, rows| refuse_objects(rows, "set the sequence", "UPDATE ON SEQUENCE"),
    },
    Check {
        sql: held!(
            "SELECT n.nspname, pg_catalog.quote_ident(n.nspname), holder.name, holder.owns
             FROM pg_catalog.pg_namespace n",
            holder!("n.nspowner", "n.nspacl", "'CREATE'"),
            "WHERE NOT pg_catalog.starts_with(n.nspname, 'pg_')
                 AND n.nspname <> 'information_schema'
             ORDER BY 4 DESC, 3, 1"
        ),
        refuse: |_, rows| refuse_objects(rows, "create objects in schema", "CREATE ON SCHEMA"),
    },
    Check {
        sql: held!(
            "SELECT d.datname, pg_catalog.quote_ident(d.datname), holder.name, holder.owns
             FROM pg_catalog.pg_database d",
            holder!("d.datdba", "d.datacl", "'CREATE'"),
            "WHERE d.datname = pg_catalog.current_database()"
        ),
        refuse: |_, rows| refuse_objects(rows, "create schemas in database", "CREATE ON DATABASE"),
    },
];

/// Refusals for `rows` of an object's name, its name as SQL, who holds the privilege, and whether
/// as the owner; one for each holder, with the first few names. `rows` are sorted by holder.
fn refuse_objects(rows: &[Row], deed: &str, revoke: &str) -> Vec<Refusal> {
    let same_holder = |a: &Row, b: &Row| a.get(2) == b.get(2) && a.get(3) == b.get(3);
    rows.chunk_by(same_holder)
        .map(|rows| {
            let holder = rows.first().map_or("", |row| row.text(2));
            let owns = rows.first().is_some_and(|row| row.is(3));
            let shown = rows.iter().take(SHOWN);
            let plain: Vec<_> = shown.clone().map(|row| format!("`{}`", row.text(0))).collect();
            let names = shown.map(|row| row.text(1)).collect::<Vec<_>>().join(", ");
            let more = match rows.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let remedy = if owns {
                format!("give {names} an owner that the login is no member of")
            } else {
                format!("REVOKE {revoke} {names} FROM {holder}")
            };
            Refusal { reason: format!("the login can {deed} {}{more}", plain.join(", ")), remedy }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_what_mends_them() {
        let held =
            |name, sql, holder, owns| Row::of(&[Some(name), Some(sql), Some(holder), Some(owns)]);
        let mut tables: Vec<_> =
            ["a", "b", "c", "d", "e", "f", "g"].map(|table| held(table, table, "team", "f")).into();
        tables.insert(0, held("shop.Own", "shop.\"Own\"", "etl", "t"));
        let rows = [
            vec![Row::of(&[Some("SUPERUSER")])],
            vec![
                Row::of(&[Some("pg_write_all_data"), Some("pg_write_all_data")]),
                Row::of(&[Some("team"), Some("boss")]),
            ],
            tables,
            vec![held("shop.ids", "shop.ids", "PUBLIC", "f")],
            vec![held("public", "public", "PUBLIC", "f")],
            vec![held("prod", "prod", "etl", "f")],
        ];
        let told: Vec<_> = CHECKS
            .iter()
            .zip(&rows)
            .flat_map(|(check, rows)| (check.refuse)("etl", rows))
            .map(|told| format!("{}\n  {}", told.reason, told.remedy))
            .collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        the login `etl` has the attribute SUPERUSER
          ALTER ROLE "etl" NOSUPERUSER
        the login `etl` is a member of `pg_write_all_data`
          REVOKE "pg_write_all_data" FROM "etl"
        the login `etl` is a member of `boss` through `team`
          REVOKE "team" FROM "etl"
        the login can write to `shop.Own`
          give shop."Own" an owner that the login is no member of
        the login can write to `a`, `b`, `c`, `d`, `e` and 2 more
          REVOKE INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER ON a, b, c, d, e FROM team
        the login can set the sequence `shop.ids`
          REVOKE UPDATE ON SEQUENCE shop.ids FROM PUBLIC
        the login can create objects in schema `public`
          REVOKE CREATE ON SCHEMA public FROM PUBLIC
        the login can create schemas in database `prod`
          REVOKE CREATE ON DATABASE prod FROM etl
        "#);
        assert!(CHECKS.iter().all(|check| (check.refuse)("etl", &[]).is_empty()));
    }
}
