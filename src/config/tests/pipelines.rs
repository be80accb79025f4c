//! `pipelines/*.yml`: what it means.

use super::{Folder, PROJECT, extracting, failure, pipeline};
use crate::{
    config::{
        AuditKind, Compression, Mask, MaxRejects, Mode, OnMismatch, OnSchemaChange, ParquetConfig,
        RowCountBounds, Selection, Severity,
    },
    types::{ByteSize, ColumnType},
};

#[test]
fn all_that_is_written_is_meant() {
    let pipeline = pipeline(
        "description: Every night
extract:
  - from: shop
    into: raw
    tables:
      - public.*
      - {table: public.audit_log, skip: true}
      - table: '\"Odd.Schema\".\"T*\"'
        as: odd
        mode: append
        where: total > 0
        columns:
          only: [id, email, score, note]
          drop: secret
          cast: {score: 'decimal(12,4)'}
          mask: {email: sha256, note: redact}
          rename: {id: key}
      - {query: 'select 1 as one', as: one}
transform: sql
",
    )
    .unwrap();
    assert_eq!(pipeline.name.as_str(), "nightly");
    assert_eq!(pipeline.description.as_deref(), Some("Every night"));
    assert!(pipeline.transform.unwrap().ends_with("sql"));
    let [group] = pipeline.extract.as_slice() else { panic!("one group is written") };
    assert_eq!((group.from.as_str(), group.into.as_str()), ("shop", "raw"));
    let [all, skipped, odd, query] = group.tables.as_slice() else { panic!("four are written") };
    assert_eq!(all.selection, Selection::Tables("public.*".parse().unwrap()));
    assert_eq!((all.mode, all.skip, all.rename.as_deref()), (Mode::Replace, false, None));
    assert_eq!((all.origin.line, all.origin.column), (6, 9));
    assert!(skipped.skip);
    let Selection::Tables(pattern) = &odd.selection else { panic!("a table is written") };
    assert!(pattern.is_exact() && pattern.matches("Odd.Schema", "T*", "main"));
    assert_eq!((odd.mode, odd.rename.as_deref()), (Mode::Append, Some("odd")));
    assert_eq!(odd.filter.as_deref(), Some("total > 0"));
    assert_eq!(odd.columns.only.as_ref().unwrap().len(), 4);
    assert_eq!(odd.columns.drop, ["secret"]);
    assert_eq!(odd.columns.cast["score"], ColumnType::Decimal(12, 4));
    assert_eq!(odd.columns.mask["email"], Mask::Sha256);
    assert_eq!(odd.columns.mask["note"], Mask::Redact);
    assert_eq!(odd.columns.rename["id"], "key");
    let (name, sql) = ("one".to_owned(), "select 1 as one".to_owned());
    assert_eq!(query.selection, Selection::Query { name, sql });
}

#[test]
fn a_table_may_name_its_key() {
    let rule = |text: &str| {
        let tables = format!("      - {{table: orders, {text}}}\n");
        extracting(&tables).unwrap().extract.remove(0).tables.remove(0)
    };
    let pair = rule("mode: upsert, key: [id, region]");
    assert_eq!((pair.mode, pair.key), (Mode::Upsert, vec!["id".to_owned(), "region".to_owned()]));
    assert_eq!(rule("mode: upsert, key: id").key, ["id"]);
    assert!(rule("mode: upsert").key.is_empty(), "the source may have a primary key");
}

#[test]
fn mismatches_have_an_outcome_a_table_and_a_column() {
    let rule = |text: &str| {
        let tables = format!("      - {{table: orders, {text}}}\n");
        extracting(&tables).unwrap().extract.remove(0).tables.remove(0)
    };
    let silent = rule("mode: replace");
    assert_eq!((silent.on_mismatch, silent.max_rejects), (OnMismatch::Error, MaxRejects::Usual));
    // What YAML takes for nothing is a word here, quoted or not.
    for null in ["null", "'null'", "~"] {
        let text =
            format!("on_mismatch: {null}, columns: {{on_mismatch: {{a: {null}, b: error}}}}");
        let rule = rule(&text);
        assert_eq!(rule.on_mismatch, OnMismatch::Null, "{null}");
        assert_eq!(rule.columns.on_mismatch["a"], OnMismatch::Null, "{null}");
        assert_eq!(rule.columns.on_mismatch["b"], OnMismatch::Error);
    }
    let most =
        |text: &str| rule(&format!("on_mismatch: quarantine, max_rejects: {text}")).max_rejects;
    assert_eq!((most("7"), most("2.5%")), (MaxRejects::Rows(7), MaxRejects::Share(0.025)));
}

#[test]
fn rejects_are_borne_up_to_a_number_or_a_share() {
    for (most, rejected, rows, expected) in [
        (MaxRejects::Usual, 100, 100, true),
        (MaxRejects::Usual, 101, 10_099, false),
        (MaxRejects::Usual, 101, 10_100, true),
        (MaxRejects::Rows(0), 0, 5, true),
        (MaxRejects::Rows(0), 1, 5, false),
        (MaxRejects::Share(0.5), 2, 4, true),
        (MaxRejects::Share(0.5), 3, 4, false),
        (MaxRejects::Share(0.0), 0, 0, true),
    ] {
        assert_eq!(most.allows(rejected, rows), expected, "{rejected} of {rows} under {most}");
    }
}

#[test]
fn parquet_settings_are_inherited_key_by_key() {
    let project = format!("{PROJECT}parquet: {{level: 7, row_group: 32MiB}}\n");
    let folder = Folder::with(&[
        ("longshore.yml", project.as_str()),
        (
            "pipelines/nightly.yml",
            "parquet: {row_group: 16MiB}
extract:
  - from: shop
    tables:
      - a
      - {table: b, parquet: {compression: lz4}}
      - {table: c, parquet: {compression: zstd, row_group: 1GiB}}
      - {table: d, parquet: {level: '22'}}
",
        ),
        ("pipelines/plain.yml", "extract: [{from: shop, tables: [a]}]"),
    ]);
    let project = folder.load().unwrap();
    let config =
        |compression, mebibytes| ParquetConfig { compression, row_group: ByteSize::mib(mebibytes) };
    let zstd = |level| Compression::Zstd { level };
    let nightly = project.pipeline("nightly").unwrap();
    let tables = nightly.extract[0].tables.iter().map(|rule| rule.parquet);
    let expected = [
        config(zstd(7), 16),
        config(Compression::Lz4, 16),
        config(zstd(7), 1024),
        config(zstd(22), 16),
    ];
    assert_eq!(tables.collect::<Vec<_>>(), expected);
    assert_eq!(nightly.parquet, config(zstd(7), 16));
    assert_eq!(project.pipeline("plain").unwrap().parquet, config(zstd(7), 32));
    let silent = Folder::with(&[("longshore.yml", PROJECT)]).load().unwrap();
    assert_eq!(silent.parquet, config(zstd(1), 64));
}

#[test]
fn audits_have_a_short_and_a_long_form() {
    let pipeline = extracting(
        "      - table: orders
        audits:
          - not_null: [id, total]
          - unique: id
            severity: warn
          - accepted_values: {column: status, values: [new, 007, true, '']}
          - relationships: {column: customer_id, to: shop.customers, field: id}
          - row_count: {min: 1, max: 10, max_shrink: 20%, max_growth: 300 %}
          - expression: total >= 0
          - query: select * from this where total < 0
",
    )
    .unwrap();
    let audits = &pipeline.extract[0].tables[0].audits;
    let text = |text: &str| text.to_owned();
    let kinds: Vec<_> = audits.iter().map(|audit| audit.kind.clone()).collect();
    let expected = [
        AuditKind::NotNull(vec![text("id"), text("total")]),
        AuditKind::Unique(vec![text("id")]),
        AuditKind::AcceptedValues {
            column: text("status"),
            values: vec![text("new"), text("007"), text("true"), text("")],
        },
        AuditKind::Relationship {
            column: text("customer_id"),
            to_table: text("shop.customers"),
            to_column: text("id"),
        },
        AuditKind::RowCount(RowCountBounds {
            min: Some(1),
            max: Some(10),
            max_shrink: Some(0.2),
            max_growth: Some(3.0),
        }),
        AuditKind::Expression(text("total >= 0")),
        AuditKind::Query(text("select * from this where total < 0")),
    ];
    assert_eq!(kinds, expected);
    let warned = audits.iter().map(|audit| audit.severity == Severity::Warn);
    assert_eq!(warned.collect::<Vec<_>>(), [false, true, false, false, false, false, false]);
    assert_eq!((audits[1].origin.line, audits[1].origin.column), (7, 13));
}

#[test]
fn what_is_left_out_has_a_default() {
    let pipeline = extracting("      - orders\n").unwrap();
    assert_eq!(pipeline.extract[0].into, "shop");
    assert_eq!((pipeline.description, pipeline.transform), (None, None));
}

#[test]
fn pipelines_are_listed_by_name() {
    let transform = "transform: sql";
    let folder = Folder::with(&[
        ("longshore.yml", PROJECT),
        ("sql/a.sql", ""),
        ("pipelines/weekly.yml", transform),
        ("pipelines/daily.yml", transform),
        ("pipelines/notes.md", ""),
    ]);
    let project = folder.load().unwrap();
    let pipelines = project.pipelines().unwrap();
    let names: Vec<_> = pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
    assert_eq!(names, ["daily", "weekly"]);
    insta::assert_snapshot!(failure(project.pipeline("dayly")), @"
    usage: there is no pipeline `dayly` in `pipelines`; nothing was run
    hint: did you mean `daily`?
    ");
    insta::assert_snapshot!(failure(project.pipeline("../longshore")), @"
    usage: there is no pipeline `../longshore` in `pipelines`; nothing was run
    hint: the pipelines are `daily`, `weekly`
    ");
    std::fs::write(folder.path().join("pipelines/new.yaml"), transform).unwrap();
    insta::assert_snapshot!(failure(project.pipelines()), @"
    config: `pipelines/new.yaml` can't be a pipeline; nothing was run
    cause: a pipeline's file is named with letters, digits, `_` and `-`, and `.yml`
    hint: rename the file
    ");
    let empty = Folder::with(&[("longshore.yml", PROJECT)]);
    assert!(empty.load().unwrap().pipelines().unwrap().is_empty());
}

/// The three rules of the table in `pipeline`, each with the line that states it.
fn rules(pipeline: &crate::config::Pipeline, table: usize) -> String {
    let OnSchemaChange { tables, columns, types } =
        &pipeline.extract[0].tables[table].on_schema_change;
    let line = |origin: &Option<crate::config::Origin>| {
        origin.as_ref().map_or("default".to_owned(), |origin| origin.line.to_string())
    };
    format!(
        "{} {}, {} {}, {} {}",
        tables.policy,
        line(&tables.origin),
        columns.policy,
        line(&columns.origin),
        types.policy,
        line(&types.origin)
    )
}

#[test]
fn schema_changes_are_ruled_by_the_innermost_word() {
    let plain = extracting("      - public.*\n").unwrap();
    assert_eq!(rules(&plain, 0), "evolve default, evolve default, widen default");
    let pipeline = pipeline(
        "on_schema_change: freeze
extract:
  - from: shop
    tables:
      - public.*
      - table: '*.log'
        on_schema_change: {tables: discard, columns: accept}
      - {table: events, on_schema_change: accept}
      - {table: users, on_schema_change: {types: widen}}
",
    )
    .unwrap();
    assert_eq!(rules(&pipeline, 0), "freeze 1, freeze 1, freeze 1");
    assert_eq!(rules(&pipeline, 1), "discard 7, accept 7, freeze 1");
    assert_eq!(rules(&pipeline, 2), "evolve 8, accept 8, accept 8");
    assert_eq!(rules(&pipeline, 3), "freeze 1, freeze 1, widen 9");
    let files = [
        (
            "longshore.yml",
            "warehouse: {url: ./w}\non_schema_change: {types: freeze}\n\
             connections:\n  shop: {url: 'sqlite:a'}\n",
        ),
        (
            "pipelines/p.yml",
            "on_schema_change: {columns: freeze}\nextract:\n  - {from: shop, tables: ['*']}\n",
        ),
    ];
    let inherited = Folder::with(&files).load().unwrap().pipeline("p").unwrap();
    assert_eq!(rules(&inherited, 0), "evolve default, freeze 1, freeze 2");
}

#[test]
fn rules_that_mean_nothing_are_refused() {
    let refused = |rules: &str| {
        failure(extracting(&format!("      - {{table: orders, on_schema_change: {rules}}}\n")))
    };
    insta::assert_snapshot!(refused("{types: evolve}"), @r"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:4:51: `evolve` is not a rule for types
    |      - {table: orders, on_schema_change: {types: evolve}}
    |                                                  ^
    hint: there are `widen`, `freeze`, `accept`
    ");
    insta::assert_snapshot!(refused("discard"), @r"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:4:43: `discard` is not one rule for all
    |      - {table: orders, on_schema_change: discard}
    |                                          ^
    hint: there are `evolve`, `freeze`, `accept`
    ");
    insta::assert_snapshot!(refused("{tables: freeze}"), @r"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:4:52: `tables` is about tables that a pattern finds
    |      - {table: orders, on_schema_change: {tables: freeze}}
    |                                                   ^
    hint: this rule means one table: leave `tables` out
    ");
}
