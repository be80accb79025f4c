//! Functions that a user's SQL must not name, because they do more than read.
//!
//! Neither a standby nor a read-only transaction nor a login without privileges stops all of them:
//! some write beside the tables, some disturb other sessions, some run a text as SQL of its own.
//! The text is not taken apart for this: whoever takes it apart otherwise than the server could be
//! led around. A name counts wherever it stands, in a comment or a string as well.

use crate::error::{Error, ErrorKind, Result};

/// What must not be named, in lower case. A `*` at the end stands for any ending.
const DENIED: [&str; 62] = [
    // Large objects, which a read-only transaction lets be written.
    "lo_creat",
    "lo_create",
    "lo_from_bytea",
    "lo_put",
    "lo_unlink",
    "lo_open",
    "lo_truncate",
    "lo_truncate64",
    "lo_import",
    "lo_export",
    "lowrite",
    // The log of changes, its slots and origins.
    "pg_logical_emit_message",
    "pg_create_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_copy_logical_replication_slot",
    "pg_drop_replication_slot",
    "pg_replication_slot_advance",
    "pg_logical_slot_get_changes",
    "pg_logical_slot_get_binary_changes",
    "pg_replication_origin_*",
    "pg_switch_wal",
    "pg_create_restore_point",
    "pg_current_xact_id",
    "txid_current",
    // The server as a whole.
    "pg_promote",
    "pg_wal_replay_pause",
    "pg_wal_replay_resume",
    "pg_reload_conf",
    "pg_rotate_logfile",
    "pg_start_backup",
    "pg_stop_backup",
    "pg_backup_start",
    "pg_backup_stop",
    "pg_stat_reset*",
    "pg_stat_clear_snapshot",
    "pg_import_system_collations",
    "pg_extension_config_dump",
    "pg_nextoid",
    "brin_summarize_new_values",
    "brin_summarize_range",
    "brin_desummarize_range",
    "gin_clean_pending_list",
    "pg_prewarm",
    "pg_file_*",
    // Other sessions, and what is shared with them.
    "pg_terminate_backend",
    "pg_cancel_backend",
    "pg_log_backend_memory_contexts",
    "pg_notify",
    "pg_advisory_*",
    "pg_try_advisory_*",
    // Our own session: that it is read-only, above all.
    "set_config",
    "setseed",
    "nextval",
    "setval",
    // What runs a text as SQL, or elsewhere.
    "dblink*",
    "query_to_xml",
    "query_to_xmlschema",
    "query_to_xml_and_xmlschema",
    "cursor_to_xml",
    "ts_stat",
    "crosstab*",
];

/// Refuses a user's `sql` that names such a function.
pub(super) fn refuse(sql: &str) -> Result<()> {
    match named(sql) {
        None => Ok(()),
        Some(name) => Err(Error::new(ErrorKind::Config, format!("it names {name}"))
            .because("that does more than read, or could hide what does")
            .hint("leave it out: queries and filters may only read")),
    }
}

/// The first name in `sql` that it must not hold.
fn named(sql: &str) -> Option<String> {
    // Escapes in an identifier could hide any name: U&"\006Co_create".
    if sql.to_ascii_lowercase().contains("u&\"") {
        return Some("an identifier with escapes".to_owned());
    }
    sql.split(|sign: char| !(sign.is_alphanumeric() || matches!(sign, '_' | '$')))
        .map(str::to_ascii_lowercase)
        .find(|word| is_denied(word))
        .map(|word| format!("`{word}`"))
}

fn is_denied(word: &str) -> bool {
    DENIED.iter().any(|denied| match denied.strip_suffix('*') {
        Some(start) => word.starts_with(start),
        None => word == *denied,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_more_than_read_is_named_however_it_is_written() {
        for (sql, expected) in [
            ("select lo_create(0)", "`lo_create`"),
            ("select pg_catalog.\"pg_promote\" ()", "`pg_promote`"),
            ("select PG_Advisory_Lock/* */(1)", "`pg_advisory_lock`"),
            ("id = 1 and dblink_exec('x') = ''", "`dblink_exec`"),
            ("select query_to_xml('select 1', true, true, '')", "`query_to_xml`"),
            ("select U&\"\\006Co_create\"(0)", "an identifier with escapes"),
            ("select $$ a $$ || set_config('a', 'b', false)", "`set_config`"),
        ] {
            assert_eq!(named(sql).as_deref(), Some(expected), "{sql}");
        }
    }

    #[test]
    fn what_only_reads_passes() {
        for sql in [
            "select lo_orderkey, lo_quantity from lineorder where lo_discount > 3",
            "select nextval_at, set_configuration from t -- dead links",
            "select count(*) filter (where a > 1), pg_sleep(0) from t",
            "",
        ] {
            assert_eq!(named(sql), None, "{sql}");
        }
    }
}
