//! What becomes of a published schema when a model changes. No source is needed for that.

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
