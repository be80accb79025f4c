//! What becomes of a published schema when a model changes, which needs no source, or a file does.

use sqlx::{Connection as _, SqliteConnection};

use crate::harness::workspace::Workspace;

/// A project whose pipeline `made` consists of the model `shop.made`.
fn project(model: &str) -> Workspace {
    let workspace = Workspace::new();
    workspace.write("longshore.yml", "warehouse: {url: ./warehouse}\n");
    workspace.write("pipelines/made.yml", "transform: sql\n");
    workspace.write("sql/shop/made.sql", model);
    workspace.write("sql/shop/after.sql", "select sum(id) as total from shop.made");
    workspace.run(&["run", "made"]).succeeded();
    workspace
}

fn sql(workspace: &Workspace, query: &str) -> String {
    workspace.run(&["sql", "--format", "csv", query]).succeeded().stdout.replace('\n', " ")
}

#[test]
fn a_model_publishes_what_it_makes_unless_its_header_says_otherwise() {
    let workspace = project("select cast(1 as int) as id, 'a' as note");
    workspace.write("sql/shop/made.sql", "select cast(1 as text) as id, 2.5 as extra");
    workspace.write("sql/shop/after.sql", "select count(id) as total from shop.made");
    let changed = workspace.run(&["run", "made"]).succeeded();
    assert!(
        changed.stderr.contains("`shop.made.note` is published and no longer comes"),
        "{changed}"
    );

    let frozen = "/* model\non_schema_change: {columns: freeze, types: widen}\n*/\n";
    workspace.write("sql/shop/made.sql", format!("{frozen}select '1' as id"));
    let refused = workspace.run(&["run", "made"]).failed_with(1).stderr;
    assert!(refused.contains("`shop.made.extra` is published and no longer comes"), "{refused}");
    assert!(
        refused.contains("`on_schema_change: {columns: freeze}` (sql/shop/made.sql:2)"),
        "{refused}"
    );
    workspace.run(&["run", "made", "--accept-schema", "shop.made"]).succeeded();
    assert_eq!(sql(&workspace, "select * from shop.made"), "id 1 ");
}

#[test]
fn rows_that_a_model_adds_are_cast_to_the_wider_type_on_either_side() {
    let append = "/* model\nmode: append\n*/\n";
    let workspace = project(&format!("{append}select cast(1 as int) as id, 'a' as note"));
    workspace.write("sql/shop/made.sql", format!("{append}select 3000000000 as id, 'b' as note"));
    let widened = workspace.run(&["run", "made"]).succeeded();
    assert!(widened.stderr.contains("its published rows are rewritten"), "{widened}");
    workspace.write(
        "sql/shop/made.sql",
        format!("{append}select cast(2 as int) as id, 'c' as note, true as flag"),
    );
    let narrower = workspace.run(&["plan", "made"]).succeeded().stdout;
    assert!(narrower.contains("read as bigint"), "{narrower}");
    workspace.run(&["run", "made"]).succeeded();
    let rows =
        sql(&workspace, "select id, note, flag, arrow_typeof(id) from shop.made order by id");
    assert!(rows.contains("1,a,,Int64 2,c,true,Int64 3000000000,b,,Int64"), "{rows}");
    assert_eq!(sql(&workspace, "select total from shop.after"), "total 3000000003 ");

    workspace.write("sql/shop/made.sql", format!("{append}select 'x' as id"));
    workspace.write("sql/shop/after.sql", "select count(*) as total from shop.made");
    let refused = workspace.run(&["run", "made"]).failed_with(1).stderr;
    assert!(refused.contains("`shop.made.id` changed from `bigint` to `text`"), "{refused}");
    assert!(refused.contains("publish it once with `mode: replace`"), "{refused}");
}

/// Runs statements on the workspace's SQLite file.
async fn change(workspace: &Workspace, sql: &'static str) {
    let url = format!("sqlite:{}?mode=rwc", workspace.path("shop.db").display());
    let mut shop = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut shop).await.unwrap();
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_file_is_read_as_the_published_types_where_it_is_narrower() {
    let workspace = Workspace::new();
    workspace.write(
        "longshore.yml",
        "warehouse: {url: ./warehouse}\nconnections: {shop: {url: \"sqlite:shop.db\"}}\n",
    );
    workspace.write("pipelines/load.yml", "extract: [{from: shop, tables: [\"*\"]}]\n");
    change(
        &workspace,
        "create table t (id integer, price decimal(8,2)); insert into t values (1, 2.5);",
    )
    .await;
    workspace.run(&["run", "load"]).succeeded();
    let types = "select price, arrow_typeof(price) from shop.t";
    change(
        &workspace,
        "drop table t; create table t (id integer, price decimal(12,4));
        insert into t values (1, 2.0625);",
    )
    .await;
    workspace.run(&["run", "load"]).succeeded();
    let wide = sql(&workspace, types);
    assert!(wide.contains("2.0625,\"Decimal128(12, 4)\""), "{wide}");
    change(
        &workspace,
        "drop table t; create table t (id integer, price decimal(6,1));
        insert into t values (1, 7.5);",
    )
    .await;
    let plan = workspace.run(&["plan", "load"]).succeeded().stdout;
    assert!(plan.contains("read as decimal(12,4)"), "{plan}");
    workspace.run(&["run", "load"]).succeeded();
    let kept = sql(&workspace, types);
    assert!(kept.contains("7.5000,\"Decimal128(12, 4)\""), "{kept}");
    change(&workspace, "drop table t; create table t (id integer, price text);").await;
    let refused = workspace.run(&["run", "load"]).failed_with(1).stderr;
    assert!(refused.contains("`shop.t.price` changed from `decimal(12,4)` to `text`"), "{refused}");
    assert!(refused.contains("columns: {cast: {price: \"decimal(12,4)\"}}"), "{refused}");
}
