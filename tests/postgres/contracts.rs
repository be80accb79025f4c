//! What becomes of a published schema when the source changes between two runs.

use std::collections::BTreeMap;

use super::{project, types::LOSSLESS};
use crate::harness::{
    postgres::cluster,
    readers::{self, Fingerprint, Reader},
    workspace::Workspace,
};

/// Every file of the warehouse with what is in it.
pub(super) fn warehouse(workspace: &Workspace) -> BTreeMap<String, Vec<u8>> {
    let files = workspace.files("warehouse").into_iter();
    files
        .map(|file| (file.clone(), std::fs::read(workspace.path("warehouse").join(file)).unwrap()))
        .collect()
}

/// The rows of a query of ours, without the header.
pub(super) fn sql(workspace: &Workspace, query: &str) -> String {
    let outcome = workspace.run(&["sql", "--format", "csv", query]).succeeded();
    outcome.stdout.lines().skip(1).collect::<Vec<_>>().join("\n")
}

/// The Parquet files of the newest version of a table whose format is `parquet`.
pub(super) fn listed_files(workspace: &Workspace, table: &str) -> Vec<String> {
    let folder = format!("warehouse/shop/{table}");
    let manifests = workspace.files(format!("{folder}/_manifest"));
    let newest = workspace.read(format!("{folder}/_manifest/{}", manifests.last().unwrap()));
    let newest: serde_json::Value = serde_json::from_str(&newest).unwrap();
    let files = newest["files"].as_array().unwrap().iter();
    let path =
        |file: &serde_json::Value| workspace.path(&folder).join(file["path"].as_str().unwrap());
    files.map(|file| path(file).to_str().unwrap().to_owned()).collect()
}

/// What every reader of the format finds in a table; they agree.
pub(super) fn found(
    workspace: &Workspace,
    format: &str,
    table: &str,
) -> (Fingerprint, BTreeMap<String, String>) {
    if format == "parquet" {
        let files = listed_files(workspace, table);
        return (
            readers::fingerprint_of(Reader::DuckdbUnion, &files),
            readers::schema_of(Reader::DuckdbUnion, &files),
        );
    }
    let folder = workspace.path(format!("warehouse/shop/{table}"));
    let folder = folder.to_str().unwrap();
    let [one, other] = [Reader::DeltaRs, Reader::DuckdbDelta]
        .map(|reader| readers::fingerprint(reader, folder, &[]));
    assert_eq!(one, other, "{table}");
    (one, readers::schema(Reader::DuckdbDelta, folder, &[]))
}

const BEFORE: &str = "create table a (
        id int, small smallint, amount numeric(10,2), ratio real, note varchar(20),
        was_long bigint, was_wide numeric(12,2), label text);
    insert into a select i, i, i + 0.25, i / 2.0, 'n' || i, i, i + 0.5, 'l'
        from generate_series(1, 1000) i;";

/// All rows are new ones, each with a value that the published types could not hold.
const AFTER: &str = "truncate a;
    alter table a
        add column extra text, alter id type bigint, alter small type int,
        alter amount type numeric(14,4), alter ratio type double precision, alter note type text,
        alter was_long type int, alter was_wide type numeric(8,2), alter label type varchar(9);
    insert into a select i + 3000000000, 70000, 123456789.0625, 0.1, repeat('x', 30),
        i, i + 0.5, 'l', 'e' from generate_series(1, 500) i;";

#[tokio::test(flavor = "multi_thread")]
async fn what_grows_without_loss_is_followed_and_old_files_are_read_with_new_ones() {
    for format in ["delta", "parquet"] {
        let database = cluster().database(&format!("grows_{format}")).await;
        database.load(BEFORE).await;
        let workspace = project(
            &database,
            "      - {table: public.a, mode: append}\n\
             \x20     - {query: select * from public.a, as: whole}\n",
        );
        let settings =
            workspace.read("longshore.yml").replace("format: delta", &format!("format: {format}"));
        workspace.write("longshore.yml", settings);
        workspace
            .write("pipelines/load.yml", workspace.read("pipelines/load.yml") + "transform: sql\n");
        workspace.write(
            "sql/shop/totals.sql",
            "/* model\naudits: [{unique: id}]\n*/\nselect id, extra_or_none, amount from (\
             select id, amount, cast(null as text) as extra_or_none from shop.a) as it",
        );
        workspace.run(&["run", "load"]).succeeded();
        database.load(AFTER).await;

        let plan = workspace.run(&["plan", "load"]).succeeded().stdout;
        for follows in [
            "~  shop.a.id            integer        bigint         bigint, and the published rows are rewritten",
            "~  shop.a.was_long      bigint         integer        read as bigint",
            "+  shop.a.extra                        text           added",
            "~  shop.whole.amount    decimal(10,2)  decimal(14,4)  published as decimal(14,4)",
        ] {
            assert!(plan.contains(follows), "{follows}\n{plan}");
        }
        assert!(!plan.contains("a.note") && !plan.contains("a.label"), "{plan}");
        workspace.run(&["run", "load"]).succeeded();

        for (table, rows, nulls) in [("a", 1500, 1000), ("whole", 500, 0)] {
            let (print, schema) = found(&workspace, format, table);
            assert_eq!((print.rows, print.columns["extra"].nulls), (rows, nulls), "{print:?}");
            assert_eq!(print.columns["id"].max.as_deref(), Some("3000000500"));
            assert_eq!(print.columns["amount"].max.as_deref(), Some("123456789.0625"));
            let types = ["id", "small", "amount", "ratio", "was_long", "was_wide"]
                .map(|column| schema[column].as_str());
            let wide =
                ["int64", "int32", "decimal128(14, 4)", "double", "int64", "decimal128(12, 2)"];
            assert_eq!(types, wide, "{format} {table}");
        }
        let (print, _) = found(&workspace, format, "a");
        let id: i64 = (1..=1000).sum::<i64>() + (1..=500).map(|i| i + 3_000_000_000).sum::<i64>();
        assert_eq!(print.columns["id"].sum, Some(id.to_string()));
        assert_eq!(print.columns["was_wide"].sum.as_deref(), Some("626500.00"));
        let ours = "select count(*), count(extra), sum(id), min(amount) from shop.a";
        assert_eq!(sql(&workspace, ours), format!("1500,500,{id},1.2500"));
        assert_eq!(sql(&workspace, "select count(*), max(id) from shop.totals"), "1500,3000000500");

        // From now on nothing is different, and rows are added as ever.
        let again = workspace.run(&["plan", "load"]).succeeded().stdout;
        assert!(!again.contains("shop.a.id ") && !again.contains("a.extra"), "{again}");
        assert!(again.contains("shop.a.was_long"), "what is kept wider stays in sight: {again}");
    }
}

const TABLES: &str =
    "create table dropped (id int, note text); insert into dropped values (1, 'a');
    create table renamed (id int, note text); insert into renamed values (1, 'a');
    create table retyped (id int, note int); insert into retyped values (1, 2);
    create table rescaled (id int, total numeric(12,2)); insert into rescaled values (1, 2);
    create table calm (id int); insert into calm values (1);";

const BREAKS: &str = "alter table dropped drop column note;
    alter table renamed rename column note to remark;
    alter table retyped alter note type text;
    alter table rescaled alter total type numeric(12,4);";

#[tokio::test(flavor = "multi_thread")]
async fn what_would_break_readers_is_refused_as_one_and_accepted_by_name() {
    let database = cluster().database("breaks").await;
    database.load(TABLES).await;
    let workspace = project(&database, "      - public.*\n");
    workspace.run(&["run", "load"]).succeeded();
    let before = (warehouse(&workspace), workspace.files(".longshore/stage"));
    database.load(BREAKS).await;

    let refused = workspace.run(&["run", "load"]).failed_with(1).stderr;
    for said in [
        "4 changes break the published schema; `load` was refused before anything was staged, and \
         the warehouse is unchanged at generation 1",
        "`shop.dropped.note` is published and no longer comes",
        "`shop.renamed.note` is published and no longer comes",
        "`shop.retyped.note` changed from `integer` to `text`, by `on_schema_change: {types: widen}`",
        "`shop.rescaled.total` changed from `decimal(12,2)` to `decimal(12,4)`",
        "columns: {rename: {remark: note}}",
        "columns: {cast: {total: \"decimal(12,2)\"}}",
        "longshore run load --accept-schema",
    ] {
        assert!(refused.contains(said), "{said}\n{refused}");
    }
    assert!(!refused.contains("shop.calm"), "{refused}");
    let plan = workspace.run(&["plan", "load"]).failed_with(1);
    assert!(
        plan.stdout.contains("refused by on_schema_change: {columns: evolve} (the default)"),
        "{plan}"
    );
    assert!(plan.stdout.contains("+  shop.renamed.remark"), "{plan}");
    assert!(plan.stderr.contains("4 changes break"), "{plan}");
    let json = workspace.run(&["plan", "load", "--json"]).failed_with(1).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let verdicts =
        json["changes"].as_array().unwrap().iter().filter(|one| one["verdict"] == "refused");
    assert_eq!(verdicts.count(), 4, "{json:#}");
    let check = workspace.run(&["check"]).failed_with(1);
    assert!(check.stdout.contains("pipeline load: failed, 4 changes break"), "{check}");
    let after = (warehouse(&workspace), workspace.files(".longshore/stage"));
    assert!(before == after, "a refused run leaves no trace");

    // Tables that did not change are loaded, the renamed one keeps its contract as told, and what
    // is accepted by name is published as it is now.
    workspace.run(&["run", "load", "--select", "shop.calm"]).succeeded();
    workspace.write(
        "pipelines/load.yml",
        workspace.read("pipelines/load.yml")
            + "      - {table: public.renamed, columns: {rename: {remark: note}}}\n",
    );
    let some = workspace.run(&["run", "load", "--accept-schema", "shop.re*"]).failed_with(1).stderr;
    assert!(
        some.starts_with("error: `shop.dropped.note` is published and no longer comes; `load`"),
        "{some}"
    );
    let mistyped = workspace.run(&["run", "load", "--accept-schema", "shop.droped"]).failed_with(2);
    assert!(mistyped.stderr.contains("did you mean `shop.dropped`?"), "{mistyped}");
    let accepted =
        workspace.run(&["run", "load", "--accept-schema", "shop.re*,shop.dropped"]).succeeded();
    assert!(
        accepted.stderr.contains("`shop.dropped.note` is published and no longer comes; it leaves"),
        "{accepted}"
    );
    let columns =
        |table| found(&workspace, "delta", table).1.into_keys().collect::<Vec<_>>().join(" ");
    assert_eq!(columns("dropped"), "id");
    assert_eq!(columns("renamed"), "id note");
    assert_eq!(found(&workspace, "delta", "retyped").1["note"], "string");
    workspace.run(&["run", "load"]).succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_come_and_go_follow_their_rule() {
    let database = cluster().database("comeandgo").await;
    database.load("create table a as select 1 as id; create table b as select 2 as id;").await;
    let workspace = project(&database, "      - public.*\n");
    let pipeline = workspace.read("pipelines/load.yml");
    workspace.run(&["run", "load"]).succeeded();
    database.load("drop table b; create table c as select 3 as id;").await;
    let gone = "`shop.b` no longer comes: `public.b` of connection `source` is gone or hidden from the login";

    workspace.write("pipelines/load.yml", format!("on_schema_change: freeze\n{pipeline}"));
    let frozen = workspace.run(&["run", "load"]).failed_with(1).stderr;
    assert!(
        frozen.contains(&format!(
            "{gone}, by `on_schema_change: {{tables: freeze}}` (pipelines/load.yml:1)"
        )),
        "{frozen}"
    );
    assert!(frozen.contains("`shop.c` is a new table"), "{frozen}");

    workspace
        .write("pipelines/load.yml", format!("on_schema_change: {{tables: discard}}\n{pipeline}"));
    let discard = workspace.run(&["plan", "load"]).succeeded().stdout;
    assert!(discard.contains("+  shop.c           ") && discard.contains("left out"), "{discard}");
    workspace.run(&["run", "load"]).succeeded();
    assert!(!workspace.path("warehouse/shop/c").exists());
    let left_out = workspace.run(&["run", "load", "--select", "shop.c"]).failed_with(2);
    assert!(left_out.stderr.contains("matches no table of the pipeline"), "{left_out}");

    workspace.write("pipelines/load.yml", &pipeline);
    let selected = workspace.run(&["run", "load", "--select", "shop.a"]).succeeded();
    assert!(!selected.stderr.contains("shop.b"), "{selected}");
    let check = workspace.run(&["check"]).succeeded();
    assert!(check.stdout.contains(&format!("warning: {gone}")), "{check}");
    let run = workspace.run(&["run", "load"]).succeeded();
    assert!(run.stderr.contains(&format!("{gone}; it stays published as it was")), "{run}");
    assert_eq!(
        sql(&workspace, "select b.id, c.id as other from shop.b join shop.c on b.id < c.id"),
        "2,3"
    );

    // What a pipeline no longer asks for is no news.
    workspace.write("pipelines/load.yml", pipeline + "      - {table: \"public.b\", skip: true}\n");
    let skipped = workspace.run(&["run", "load"]).succeeded();
    assert!(!skipped.stderr.contains("shop.b"), "{skipped}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_one_table_with_the_published_rows_stays_refused() {
    let database = cluster().database("appends").await;
    database
        .load("create table a (id int, note int, old text); insert into a values (1, 2, 'o');")
        .await;
    let workspace = project(&database, "      - {table: public.a, mode: append}\n");
    workspace.run(&["run", "load"]).succeeded();
    database.load("alter table a alter note type text; alter table a drop column old;").await;
    let refused =
        workspace.run(&["run", "load", "--accept-schema", "shop.a"]).failed_with(1).stderr;
    assert!(
        refused.contains("`shop.a.note` changed from `integer` to `text`; `load`"),
        "{refused}"
    );
    assert!(
        refused.contains("`on_schema_change: {types: accept}` (`--accept-schema`)"),
        "{refused}"
    );
    assert!(refused.contains("publish it once with `mode: replace`"), "{refused}");
    assert!(!refused.contains("longshore run load --accept-schema"), "{refused}");

    // A column that is gone can be accepted: rows without it are NULL there.
    database.load("alter table a alter note type int using note::int;").await;
    workspace.run(&["run", "load"]).failed_with(1);
    let accepted = workspace.run(&["run", "load", "--accept-schema", "shop.a"]).succeeded();
    assert!(accepted.stderr.contains("it is NULL in the new rows"), "{accepted}");
    let (print, _) = found(&workspace, "delta", "a");
    assert_eq!((print.rows, print.columns["old"].nulls), (2, 1));
    assert_eq!(sql(&workspace, "select count(*), count(old) from shop.a"), "2,1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_table_is_published_unless_an_audit_guards_it() {
    let database = cluster().database("emptied").await;
    let rows: &dyn Fn(&Workspace) -> String =
        &|workspace| sql(workspace, "select count(*) from shop.a");
    database.load("create table a as select generate_series(1, 10) as id;").await;
    let workspace =
        project(&database, "      - {table: public.a, audits: [{row_count: {min: 1}}]}\n");
    workspace.run(&["run", "load"]).succeeded();
    database.load("truncate a;").await;
    let guarded = workspace.run(&["run", "load"]).failed_with(1);
    assert!(guarded.stderr.contains("row_count"), "{guarded}");
    assert_eq!(rows(&workspace), "10");
    workspace
        .write("pipelines/load.yml", "extract: [{from: source, into: shop, tables: [public.a]}]\n");
    workspace.run(&["run", "load"]).succeeded();
    assert_eq!(rows(&workspace), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_is_no_difference_whatever_its_type() {
    let database = cluster().database("unchanged").await;
    database.load(LOSSLESS).await;
    database
        .load(
            "alter table kinds add homes address[], add gaps int4multirange, add spans interval[];",
        )
        .await;
    for format in ["delta", "parquet"] {
        let workspace = project(&database, "      - {table: public.kinds, mode: append}\n");
        let settings = workspace.read("longshore.yml");
        workspace.write(
            "longshore.yml",
            settings.replace("format: delta", &format!("format: {format}")),
        );
        for rows in [3, 6] {
            let plan = workspace.run(&["plan", "load"]).succeeded().stdout;
            assert!(!plan.contains("different from what is published"), "{plan}");
            workspace.run(&["run", "load"]).succeeded();
            let counted = sql(&workspace, "select count(*) from shop.kinds");
            assert_eq!(counted, rows.to_string());
        }
    }
}
