//! Model files: names, headers, and what a file must be.

use super::workspace::{Workspace, rendered};
use crate::config::Mode;

fn refusal(files: &[(&str, &str)]) -> String {
    rendered(&Workspace::new().models(files).unwrap_err())
}

#[test]
fn names_come_from_folders_and_stems() {
    let models = Workspace::new()
        .models(&[
            ("mart/revenue.sql", "select 1 as a"),
            ("mart/Odd.Name.SQL", "select 1 as a"),
            ("top.sql", "-- a remark\n  select 1 as a;\n"),
            ("notes.md", "no model"),
            (".hidden.sql", "not sql"),
            (".git/x/y/z.sql", "not sql"),
            ("deep/er/readme.txt", "no model"),
        ])
        .unwrap();
    let told: Vec<_> = models
        .iter()
        .map(|model| format!("{} {} {}", model.table, model.origin.file, model.origin.line))
        .collect();
    insta::assert_snapshot!(told.join("\n"), @"
    mart.Odd.Name sql/nightly/mart/Odd.Name.SQL 1
    mart.revenue sql/nightly/mart/revenue.sql 1
    nightly.top sql/nightly/top.sql 2
    ");
}

#[test]
fn a_header_is_read_and_positions_stay_the_files() {
    let text = "-- remark\n/* model\nmode: append\nkey: [a]\n*/\n\nselect 1 as a";
    let models = Workspace::new().models(&[("m.sql", text)]).unwrap();
    assert_eq!((models[0].mode, models[0].key.as_slice()), (Mode::Append, &["a".to_owned()][..]));
    assert_eq!((models[0].origin.line, models[0].origin.column), (7, 1));
    let refused = refusal(&[("m.sql", "/* model\nmode: append */ selec 1")]);
    insta::assert_snapshot!(refused, @"
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:2:17: expected an SQL statement, found `selec`
       hint: mend the SQL, then `longshore check`
    ");
}

#[test]
fn a_header_may_hold_what_opens_a_comment() {
    let text = "/* model\n# reads shop/* and more\nmode: append\n*/ select 1 as a";
    assert_eq!(Workspace::new().models(&[("m.sql", text)]).unwrap()[0].mode, Mode::Append);
}

#[test]
fn a_comment_that_only_starts_like_a_header_is_a_comment() {
    let text = "/* modelled after the report */ select 1 as a";
    assert_eq!(Workspace::new().models(&[("m.sql", text)]).unwrap()[0].mode, Mode::Replace);
}

#[test]
fn a_header_in_the_wrong_place_is_not_ignored() {
    let refused = refusal(&[("m.sql", "select 1 as a\n  /* model\nmode: append */")]);
    insta::assert_snapshot!(refused, @"
    config: the header of `sql/nightly/m.sql` is not at its start
      --> sql/nightly/m.sql:2:3: this would be a comment like any other
       hint: move `/* model … */` above the SQL
    ");
}

#[test]
fn paths_without_a_place_are_refused() {
    let text = "select 1 as a";
    let refused = [refusal(&[("a/b/c.sql", text)]), refusal(&[("a.b/c.sql", text)])];
    insta::assert_snapshot!(refused.join("\n\n"), @"
    config: the model `sql/nightly/a/b/c.sql` has no table: it lies more than one folder deep
       hint: a model's path is `schema/table.sql` below the folder, or `table.sql`

    config: the model `sql/nightly/a.b/c.sql` has no table: its folder, the table's schema, has a dot in its name
       hint: a model's path is `schema/table.sql` below the folder, or `table.sql`
    ");
}

#[test]
fn a_model_is_one_query() {
    let texts = [
        "",
        "select 1 as a; select 2 as b",
        "insert into t select 1",
        "select 1 as a; drop table t",
        "with x as (select 1) insert into t select * from x",
        "create table t as select 1 as a",
        "copy (select 1) to 'x.parquet'",
        "set datafusion.execution.batch_size = 1",
        "select 1 as a into t",
        "explain select 1",
        "create external table t stored as parquet location 'x'",
        "select 1 as a\nfrom t wher a",
        "select 'open",
    ];
    let told: Vec<_> = texts
        .iter()
        .map(|text| {
            let error = Workspace::new().models(&[("m.sql", text)]).unwrap_err();
            let place = error.place().unwrap();
            format!("{text:?}\n  {}:{}: {}", place.line, place.column, place.detail)
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    ""
      1:1: there is no query
    "select 1 as a; select 2 as b"
      1:16: there are 2 statements; only one is allowed
    "insert into t select 1"
      1:1: `insert` is refused: only reading is possible here
    "select 1 as a; drop table t"
      1:1: `drop` is refused: only reading is possible here
    "with x as (select 1) insert into t select * from x"
      1:1: `insert` is refused: only reading is possible here
    "create table t as select 1 as a"
      1:14: `create` is refused: only reading is possible here
    "copy (select 1) to 'x.parquet'"
      1:1: `copy` is refused: only reading is possible here
    "set datafusion.execution.batch_size = 1"
      1:1: `set` is refused: only reading is possible here
    "select 1 as a into t"
      1:1: `select into` is refused: only reading is possible here
    "explain select 1"
      1:1: `explain` is refused: only reading is possible here
    "create external table t stored as parquet location 'x'"
      1:1: `create` is refused: only reading is possible here
    "select 1 as a\nfrom t wher a"
      2:13: expected end of statement, found `a`
    "select 'open"
      1:8: unterminated string literal
    "#);
}
