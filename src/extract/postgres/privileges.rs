//! What the login must not be able to do.
//!
//! A read-only transaction is no proof: some functions write in it, and a server may be promoted.
//! So the login itself must be unable to write. Roles that it could change into with `SET ROLE`
//! count as the login.

mod told;

use super::{
    rows::{Row, query},
    sql::quote,
    wire::{WireConnection, WireError},
};
use crate::extract::Refusal;
use told::{ObjectKind, SHOWN, refuse_objects};

/// Why `login`, as which `connection` is logged in, must not be used; empty where all is well.
pub(super) async fn refusals(
    connection: &mut WireConnection,
    login: &str,
) -> Result<Vec<Refusal>, WireError> {
    let mut refusals = Vec::new();
    for check in &CHECKS {
        let rows = query(connection, &format!("{} {}", check.sql, check.order)).await?;
        refusals.extend((check.refuse)(login, &rows));
    }
    Ok(refusals)
}

/// What the login can do that is of no harm by itself, and is better withheld.
pub(super) async fn warnings(
    connection: &mut WireConnection,
    login: &str,
) -> Result<Option<String>, WireError> {
    // A superuser may do everything, and is refused for that.
    let sql = "SELECT pg_catalog.has_database_privilege(d.oid, 'TEMPORARY')
                 AND NOT (SELECT me.rolsuper FROM pg_catalog.pg_roles me
                     WHERE me.rolname = current_user),
             pg_catalog.quote_ident(d.datname),
             EXISTS (SELECT FROM pg_catalog.aclexplode(coalesce(d.datacl,
                 pg_catalog.acldefault('d', d.datdba))) a
                 WHERE a.grantee = 0 AND a.privilege_type = 'TEMPORARY')
         FROM pg_catalog.pg_database d
         WHERE d.datname = pg_catalog.current_database()";
    let rows = query(connection, sql).await?;
    Ok(rows.first().filter(|row| row.is(0)).map(|row| {
        let (database, holder) = (row.text(1), if row.is(2) { "PUBLIC" } else { &quote(login) });
        format!(
            "the login may make temporary tables; to withhold that: REVOKE TEMPORARY ON DATABASE \
             {database} FROM {holder}"
        )
    }))
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
    /// How they are ordered.
    order: &'static str,
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

/// Who of `held`, or PUBLIC, owns an object or may do some of `$privileges` to it.
macro_rules! holder {
    ($owner:literal, $acl:literal, $privileges:literal) => {
        concat!(
            " CROSS JOIN LATERAL (
                 SELECT CASE g.oid WHEN 0 THEN 'PUBLIC'
                     ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.oid)) END AS name,
                     pg_catalog.bool_or(g.owns) AS owns,
                     pg_catalog.string_agg(DISTINCT g.privilege, ', ') AS privileges
                 FROM (SELECT ",
            $owner,
            " AS oid, true AS owns, NULL AS privilege
                     UNION ALL
                     SELECT a.grantee, false, a.privilege_type
                     FROM pg_catalog.aclexplode(nullif(",
            $acl,
            ", '{}')) a
                     WHERE a.privilege_type IN (",
            $privileges,
            ")) g
                 WHERE g.oid = 0 OR g.oid IN (SELECT oid FROM held)
                 GROUP BY g.oid
             ) holder "
        )
    };
}

/// What a row of an object says: its name, its name as SQL, its schema as SQL, and who holds what.
macro_rules! object {
    ($name:literal, $sql:literal, $schema:literal) => {
        concat!(
            "SELECT ",
            $name,
            ", ",
            $sql,
            ", ",
            $schema,
            ", holder.name, holder.owns, holder.privileges "
        )
    };
}

/// The same for what `pg_class` knows.
macro_rules! relation {
    () => {
        concat!(
            object!(
                "n.nspname || '.' || c.relname",
                "pg_catalog.format('%I.%I', n.nspname, c.relname)",
                "pg_catalog.quote_ident(n.nspname)"
            ),
            "FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        )
    };
}

/// The rows of one holder with the same privileges side by side.
const BY_HOLDER: &str = "ORDER BY 5 DESC, 4, 6, 1";

/// Roles of the server's own that write or disturb.
macro_rules! mighty_roles {
    () => {
        "'pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program', 'pg_maintain',
         'pg_create_subscription', 'pg_signal_backend', 'pg_signal_autovacuum_worker',
         'pg_checkpoint'"
    };
}

/// Functions of the server's own that write or disturb, and that nobody may call unless it was
/// granted.
macro_rules! mighty_functions {
    () => {
        "'lo_import', 'lo_export', 'pg_promote', 'pg_wal_replay_pause', 'pg_wal_replay_resume',
         'pg_switch_wal', 'pg_create_restore_point', 'pg_start_backup', 'pg_stop_backup',
         'pg_backup_start', 'pg_backup_stop', 'pg_reload_conf', 'pg_rotate_logfile',
         'pg_stat_reset', 'pg_stat_reset_shared', 'pg_stat_reset_single_table_counters',
         'pg_stat_reset_single_function_counters', 'pg_stat_reset_slru',
         'pg_stat_reset_replication_slot', 'pg_log_backend_memory_contexts',
         'pg_replication_origin_create', 'pg_replication_origin_drop',
         'pg_replication_origin_advance'"
    };
}

/// All checks, in the order in which they are told.
static CHECKS: [Check; 8] = [
    Check {
        sql: "SELECT held.attribute
              FROM pg_catalog.pg_roles r
              CROSS JOIN LATERAL (VALUES ('SUPERUSER', r.rolsuper), ('CREATEROLE', r.rolcreaterole),
                  ('CREATEDB', r.rolcreatedb), ('REPLICATION', r.rolreplication),
                  ('BYPASSRLS', r.rolbypassrls)) held(attribute, is_held)
              WHERE r.rolname = current_user AND held.is_held",
        order: "",
        refuse: |login, rows| {
            let each = |row: &Row| {
                Refusal::new(
                    format!("the login `{login}` has the attribute {}", row.text(0)),
                    format!("ALTER ROLE {} NO{}", quote(login), row.text(0)),
                )
            };
            rows.iter().map(each).collect()
        },
    },
    Check {
        sql: concat!(
            "SELECT DISTINCT via.rolname, r.rolname
             FROM pg_catalog.pg_roles me
             JOIN pg_catalog.pg_auth_members m ON m.member = me.oid
             JOIN pg_catalog.pg_roles via ON via.oid = m.roleid
             JOIN pg_catalog.pg_roles r ON pg_catalog.pg_has_role(via.oid, r.oid, 'MEMBER')
             WHERE me.rolname = current_user AND NOT me.rolsuper
                 AND (NOT via.rolsuper OR r.oid = via.oid)
                 AND (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication
                     OR r.rolbypassrls OR r.rolname IN (",
            mighty_roles!(),
            "))"
        ),
        order: "ORDER BY 1, 2",
        refuse: |login, rows| {
            let each = |row: &Row| {
                let (via, role) = (row.text(0), row.text(1));
                let path = if via == role { String::new() } else { format!(" through `{via}`") };
                Refusal::new(
                    format!("the login `{login}` is a member of `{role}`{path}"),
                    format!("REVOKE {} FROM {}", quote(via), quote(login)),
                )
            };
            rows.iter().map(each).collect()
        },
    },
    Check {
        sql: held!(
            relation!(),
            holder!(
                "c.relowner",
                "c.relacl || ARRAY(SELECT pg_catalog.unnest(t.attacl) FROM pg_catalog.pg_attribute t
                     WHERE t.attrelid = c.oid)",
                "'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'MAINTAIN'"
            ),
            "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
                 AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') "
        ),
        order: BY_HOLDER,
        refuse: |login, rows| refuse_objects(login, rows, ObjectKind::Table),
    },
    Check {
        sql: held!(
            relation!(),
            holder!("c.relowner", "c.relacl", "'UPDATE', 'USAGE'"),
            "WHERE c.relkind = 'S' AND c.relpersistence <> 't' "
        ),
        order: BY_HOLDER,
        refuse: |login, rows| refuse_objects(login, rows, ObjectKind::Sequence),
    },
    Check {
        sql: held!(
            object!("n.nspname", "pg_catalog.quote_ident(n.nspname)", "NULL"),
            "FROM pg_catalog.pg_namespace n",
            holder!("n.nspowner", "n.nspacl", "'CREATE'"),
            "WHERE NOT pg_catalog.starts_with(n.nspname, 'pg_')
                 AND n.nspname <> 'information_schema' "
        ),
        order: BY_HOLDER,
        refuse: |login, rows| refuse_objects(login, rows, ObjectKind::Schema),
    },
    Check {
        sql: held!(
            object!("d.datname", "pg_catalog.quote_ident(d.datname)", "NULL"),
            "FROM pg_catalog.pg_database d",
            holder!("d.datdba", "d.datacl", "'CREATE'"),
            "WHERE d.datname = pg_catalog.current_database() "
        ),
        order: BY_HOLDER,
        refuse: |login, rows| refuse_objects(login, rows, ObjectKind::Database),
    },
    Check {
        sql: held!(
            object!("l.oid::pg_catalog.text", "l.oid::pg_catalog.text", "NULL"),
            "FROM pg_catalog.pg_largeobject_metadata l",
            holder!("l.lomowner", "l.lomacl", "'UPDATE'"),
            // There may be millions, nearly all of them somebody's own.
            "WHERE l.lomacl IS NOT NULL OR l.lomowner IN (SELECT oid FROM held) "
        ),
        order: BY_HOLDER,
        refuse: |login, rows| refuse_objects(login, rows, ObjectKind::LargeObject),
    },
    Check {
        sql: held!(
            object!("p.proname", "p.oid::pg_catalog.regprocedure::pg_catalog.text", "NULL"),
            "FROM pg_catalog.pg_proc p",
            holder!("p.proowner", "p.proacl", "'EXECUTE'"),
            "WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND p.proname IN (",
            mighty_functions!(),
            ") "
        ),
        order: BY_HOLDER,
        refuse: |login, rows| refuse_objects(login, rows, ObjectKind::Function),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_what_mends_them() {
        let held = |name, sql, schema, holder, privileges: Option<&str>| {
            let owns = if privileges.is_none() { "t" } else { "f" };
            Row::of(&[Some(name), Some(sql), schema, Some(holder), Some(owns), privileges])
        };
        let shop = Some("shop");
        let mut tables = vec![
            held("shop.Own", "shop.\"Own\"", shop, "etl", None),
            held("shop.notes", "shop.notes", shop, "etl", Some("INSERT, UPDATE")),
        ];
        tables.extend(
            ["a", "b", "c", "d", "e", "f", "g"]
                .map(|table| held(table, table, shop, "team", Some("DELETE"))),
        );
        let rows = [
            vec![Row::of(&[Some("SUPERUSER")])],
            vec![
                Row::of(&[Some("pg_write_all_data"), Some("pg_write_all_data")]),
                Row::of(&[Some("team"), Some("boss")]),
            ],
            tables,
            vec![held("shop.ids", "shop.ids", shop, "PUBLIC", Some("UPDATE"))],
            vec![held("public", "public", None, "PUBLIC", Some("CREATE"))],
            vec![held("prod", "prod", None, "etl", Some("CREATE"))],
            vec![held("7", "7", None, "etl", Some("UPDATE"))],
            vec![held("pg_promote", "pg_promote(boolean,integer)", None, "team", Some("EXECUTE"))],
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
        the login `etl` owns `shop.Own`
          give it an owner that the login is no member of: ALTER TABLE shop."Own" OWNER TO …
        the login `etl` has INSERT, UPDATE on `shop.notes`
          REVOKE INSERT, UPDATE ON TABLE shop.notes FROM etl
        the login `etl` has DELETE on `a`, `b`, `c`, `d`, `e` and 2 more through team
          REVOKE DELETE ON ALL TABLES IN SCHEMA shop FROM team
        the login `etl` has UPDATE on the sequence `shop.ids` through PUBLIC
          REVOKE UPDATE ON SEQUENCE shop.ids FROM PUBLIC
        the login `etl` has CREATE on the schema `public` through PUBLIC
          REVOKE CREATE ON SCHEMA public FROM PUBLIC
        the login `etl` has CREATE on the database `prod`
          REVOKE CREATE ON DATABASE prod FROM etl
        the login `etl` has UPDATE on the large object `7`
          REVOKE UPDATE ON LARGE OBJECT 7 FROM etl
        the login `etl` has EXECUTE on the function `pg_promote` through team
          REVOKE EXECUTE ON FUNCTION pg_promote(boolean,integer) FROM team
        "#);
        assert!(CHECKS.iter().all(|check| (check.refuse)("etl", &[]).is_empty()));
    }
}
