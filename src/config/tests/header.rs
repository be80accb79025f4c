//! The headers of models.

use super::failure;
use crate::config::{
    AuditKind, ColumnPolicy, Mode, ModelHeader, OnSchemaChange, Origin, model_header,
};

/// Reads the header in `sql`, whose YAML starts behind the word `model`.
fn header(sql: &str) -> crate::error::Result<ModelHeader> {
    let start = sql.find("model").unwrap() + "model".len();
    let end = sql.find("*/").unwrap();
    let at = Origin::start("sql/nightly/a.sql", sql);
    let lines = sql[..start].lines().count() as u32;
    let column = sql[..start].lines().last().unwrap().chars().count() as u32 + 1;
    model_header(&sql[start..end], &at.moved_to(lines, column))
}

#[test]
fn a_header_gives_mode_key_and_audits() {
    let header =
        header("-- note\n/* model\nmode: append\nkey: day\naudits:\n  - unique: ['${A}']\n*/")
            .unwrap();
    assert_eq!((header.mode, header.key), (Mode::Append, vec!["day".to_owned()]));
    assert_eq!(header.audits[0].kind, AuditKind::Unique(vec!["${A}".to_owned()]));
    let origin = &header.audits[0].origin;
    assert_eq!((&*origin.file, origin.line, origin.column), ("sql/nightly/a.sql", 6, 5));
}

#[test]
fn an_empty_header_says_nothing() {
    for sql in ["/* model */", "/* model\n*/"] {
        assert_eq!(header(sql).unwrap(), ModelHeader::default());
    }
}

#[test]
fn errors_point_into_the_sql_file() {
    insta::assert_snapshot!(failure(header("/* model {mode: apend} */ select 1")), @"
    model: the header of `sql/nightly/a.sql` is not valid; nothing was run
    --> sql/nightly/a.sql:1:17: `apend` is not a mode
    |/* model {mode: apend} */ select 1
    |                ^
    hint: did you mean `append`?
    ");
    insta::assert_snapshot!(failure(header("-- x\n/* model\n\nmode: append\naudit: []\n*/")), @"
    model: the header of `sql/nightly/a.sql` is not valid; nothing was run
    --> sql/nightly/a.sql:5:1: there is no key `audit` here
    |audit: []
    |^
    hint: did you mean `audits`?
    ");
    insta::assert_snapshot!(failure(header("/* model\nmode: upsert\naudits: []\n*/")), @"
    model: the header of `sql/nightly/a.sql` is not valid; nothing was run
    --> sql/nightly/a.sql:2:7: `mode: upsert` needs a key
    |mode: upsert
    |      ^
    hint: name the columns that tell rows apart: `key: [id]`
    ");
    insta::assert_snapshot!(failure(header("/* model\naudits:\n\t- unique: id\n*/")), @"
    model: the header of `sql/nightly/a.sql` is not valid; nothing was run
    --> sql/nightly/a.sql:3:2: not valid YAML: tabs disallowed within this context (block indentation)
    |	- unique: id
    | ^
    hint: indent with spaces; YAML takes no tabs
    ");
}

#[test]
fn a_model_accepts_its_own_changes_unless_it_says_otherwise() {
    let rules = |yaml: &str| header(&format!("/* model\n{yaml}\n*/")).unwrap().on_schema_change;
    assert_eq!(rules("key: a"), OnSchemaChange::accept());
    let frozen = rules("on_schema_change: {columns: freeze}");
    assert_eq!(frozen.columns.policy, ColumnPolicy::Freeze);
    assert_eq!(frozen.columns.origin.unwrap().line, 2);
    assert_eq!(frozen.types, OnSchemaChange::accept().types);
    let refused = |yaml: &str| failure(header(&format!("/* model\n{yaml}\n*/")));
    insta::assert_snapshot!(refused("on_schema_change: {columns: discard}"), @r"
    model: the header of `sql/nightly/a.sql` is not valid; nothing was run
    --> sql/nightly/a.sql:2:29: `discard` is for columns that are extracted
    |on_schema_change: {columns: discard}
    |                            ^
    hint: leave the column out of the SELECT, or say `freeze`
    ");
    insta::assert_snapshot!(refused("on_schema_change: {tables: freeze}"), @r"
    model: the header of `sql/nightly/a.sql` is not valid; nothing was run
    --> sql/nightly/a.sql:2:28: `tables` is about tables that a pattern finds
    |on_schema_change: {tables: freeze}
    |                           ^
    hint: a model's header takes `columns` and `types`
    ");
}
