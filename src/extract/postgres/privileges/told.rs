//! Privileges in words: what the login holds, and the statement that takes it away.

use super::super::{rows::Row, sql::quote};
use crate::extract::Refusal;

/// So many names are shown of what may be a long list.
pub(super) const SHOWN: usize = 5;

/// What kind of thing a privilege is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ObjectKind {
    Table,
    Sequence,
    Schema,
    Database,
    LargeObject,
    Function,
}

impl ObjectKind {
    /// Before a name, to a person.
    fn noun(self) -> &'static str {
        match self {
            // Most are, and the name tells the rest.
            Self::Table => "",
            Self::Sequence => "the sequence ",
            Self::Schema => "the schema ",
            Self::Database => "the database ",
            Self::LargeObject => "the large object ",
            Self::Function => "the function ",
        }
    }

    /// Before a name in GRANT, REVOKE and ALTER.
    fn keyword(self) -> &'static str {
        match self {
            Self::Table => "TABLE",
            Self::Sequence => "SEQUENCE",
            Self::Schema => "SCHEMA",
            Self::Database => "DATABASE",
            Self::LargeObject => "LARGE OBJECT",
            Self::Function => "FUNCTION",
        }
    }

    /// All of a schema's in one word, where there is one.
    fn plural_keyword(self) -> Option<&'static str> {
        match self {
            Self::Table => Some("ALL TABLES IN SCHEMA"),
            Self::Sequence => Some("ALL SEQUENCES IN SCHEMA"),
            Self::Schema | Self::Database | Self::LargeObject | Self::Function => None,
        }
    }
}

/// Refusals for `rows` of an object; one for each holder and set of privileges, with the first
/// few names. `rows` are sorted by them.
pub(super) fn refuse_objects(login: &str, rows: &[Row], kind: ObjectKind) -> Vec<Refusal> {
    let alike = |a: &Row, b: &Row| (3..6).all(|column| a.get(column) == b.get(column));
    rows.chunk_by(alike).map(|rows| refuse_alike(login, rows, kind)).collect()
}

fn refuse_alike(login: &str, rows: &[Row], kind: ObjectKind) -> Refusal {
    let (holder, owns, privileges) =
        rows.first().map_or(("", false, ""), |row| (row.text(3), row.is(4), row.text(5)));
    let shown: Vec<_> = rows.iter().take(SHOWN).map(|row| format!("`{}`", row.text(0))).collect();
    let more = match rows.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let names = format!("{}{}{more}", kind.noun(), shown.join(", "));
    let is_login = holder.trim_matches('"') == login || holder == quote(login);
    let through = if is_login { String::new() } else { format!(" through {holder}") };
    if owns {
        let reason = format!("the login `{login}` owns {names}{through}");
        return Refusal::new(reason, each_owner(rows, kind));
    }
    Refusal::new(
        format!("the login `{login}` has {privileges} on {names}{through}"),
        format!("REVOKE {privileges} ON {} FROM {holder}", objects(rows, kind)),
    )
}

/// `rows` as REVOKE names them: all of a schema, where that is all of `rows` and they are many.
fn objects(rows: &[Row], kind: ObjectKind) -> String {
    let mut schemas: Vec<_> = rows.iter().filter_map(|row| row.get(2)).collect();
    schemas.dedup();
    match kind.plural_keyword() {
        Some(all) if rows.len() > SHOWN => {
            schemas.sort_unstable();
            schemas.dedup();
            format!("{all} {}", schemas.join(", "))
        }
        _ => {
            let names: Vec<_> = rows.iter().map(|row| row.text(1)).collect();
            format!("{} {}", kind.keyword(), names.join(", "))
        }
    }
}

fn each_owner(rows: &[Row], kind: ObjectKind) -> String {
    let each = |row: &Row| format!("ALTER {} {} OWNER TO …", kind.keyword(), row.text(1));
    let alter: Vec<_> = rows.iter().take(SHOWN).map(each).collect();
    let them = if rows.len() == 1 { "it" } else { "them" };
    format!("give {them} an owner that the login is no member of: {}", alter.join("; "))
}
