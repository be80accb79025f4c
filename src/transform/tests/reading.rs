//! Ad-hoc SQL: what it can see, what it refuses.

use super::workspace::{Workspace, rendered};
use crate::error::ErrorKind;

async fn shop() -> Workspace {
    let mut space = Workspace::new();
    space.table("shop.orders", "select 1 as id, 9.5 as total").await;
    space.table("crm.notes", "select 1 as id").await;
    space.table("shop.notes", "select 2 as id").await;
    space
}

#[tokio::test]
async fn names_without_a_schema_work_where_only_one_is_meant() {
    let space = shop().await;
    insta::assert_snapshot!(space.ask("select * from ORDERS").await.unwrap(), @"
    +----+-------+
    | id | total |
    +----+-------+
    | 1  | 9.5   |
    +----+-------+
    ");
    let error = space.ask("select *\n  from notes").await.unwrap_err();
    insta::assert_snapshot!(rendered(&error), @"
    usage: the query cannot be planned
      --> query:2:8: `notes` is a table in 2 schemas
       hint: write one of `crm.notes`, `shop.notes`
    ");
    let error = space.ask("select * from oders").await.unwrap_err();
    insta::assert_snapshot!(rendered(&error), @"
    usage: the query cannot be planned
      --> query:1:15: no table `oders`
       hint: did you mean `shop.orders`?
       hint: there are `crm.notes`, `shop.notes`, `shop.orders`
    ");
}

#[tokio::test]
async fn questions_about_tables_are_answered() {
    let space = shop().await;
    insta::assert_snapshot!(space.ask("show tables").await.unwrap(), @"
    +--------+--------+
    | schema | table  |
    +--------+--------+
    | crm    | notes  |
    | shop   | notes  |
    | shop   | orders |
    +--------+--------+
    ");
    insta::assert_snapshot!(space.ask("describe shop.orders").await.unwrap(), @"
    +-------------+-----------+-------------+
    | column_name | data_type | is_nullable |
    +-------------+-----------+-------------+
    | id          | Int64     | YES         |
    | total       | Float64   | YES         |
    +-------------+-----------+-------------+
    ");
    insta::assert_snapshot!(space.ask("show columns from crm.notes").await.unwrap(), @"
    +---------------+--------------+------------+-------------+-----------+-------------+
    | table_catalog | table_schema | table_name | column_name | data_type | is_nullable |
    +---------------+--------------+------------+-------------+-----------+-------------+
    | longshore     | crm          | notes      | id          | Int64     | YES         |
    +---------------+--------------+------------+-------------+-----------+-------------+
    ");
    let plan = space.ask("explain select * from generate_series(1, 2), orders").await.unwrap();
    assert!(plan.contains("DataSourceExec"), "{plan}");
    assert!(space.ask("show functions").await.is_ok());
}

#[tokio::test]
async fn errors_are_of_usage_and_have_a_place() {
    let space = shop().await;
    for (sql, line, column) in
        [("select totl from orders", 1, 8), ("select id\nfrom orders wher id = 1", 2, 18)]
    {
        let error = space.ask(sql).await.unwrap_err();
        let place = error.place().unwrap();
        assert_eq!(
            (error.kind(), place.file.as_str(), place.line, place.column),
            (ErrorKind::Usage, "query", line, column),
            "{}",
            rendered(&error)
        );
        assert!(sql.contains(place.source_line.as_deref().unwrap()));
    }
}

#[tokio::test]
async fn what_writes_is_refused() {
    let mut space = shop().await;
    let file = space.root.path().join("out.parquet").display().to_string();
    let other = space.tables.values().next().unwrap().files[0].url.to_string();
    let texts = [
        "insert into shop.orders values (2, 1.0)".to_owned(),
        "update shop.orders set id = 2".into(),
        "delete from shop.orders".into(),
        "merge into shop.orders using shop.notes on true when matched then delete".into(),
        "truncate table shop.orders".into(),
        "create table t as select 1".into(),
        "create view v as select 1".into(),
        "create schema s".into(),
        "drop table shop.orders".into(),
        "alter table shop.orders add column x int".into(),
        "create external table t stored as parquet location 'out.parquet'".into(),
        format!("copy shop.orders to '{file}' stored as parquet"),
        format!("explain analyze copy shop.orders to '{file}' stored as parquet"),
        "explain insert into shop.orders values (2, 1.0)".into(),
        "select 1 as a into t".into(),
        "with x as (select 1) delete from shop.orders".into(),
        "set datafusion.execution.batch_size = 1".into(),
        "reset datafusion.execution.batch_size".into(),
        "begin".into(),
        "prepare p as select 1".into(),
        "execute p".into(),
        "select 1; select 2".into(),
        // No file can be read by naming it.
        format!("select * from '{other}'"),
        format!("select * from \"{other}\""),
        "select * from read_parquet('x.parquet')".into(),
    ];
    for sql in texts {
        let error = space.ask(&sql).await.expect_err(&sql);
        assert_eq!(error.kind(), ErrorKind::Usage, "{sql}: {}", rendered(&error));
    }
    assert!(!std::path::Path::new(&file).exists());
    space.table("shop.after", "select 1 as a").await;
    let error = space.ask("copy shop.orders to 'x.parquet'").await.unwrap_err();
    insta::assert_snapshot!(rendered(&error), @"
    usage: the query cannot be planned
      --> query:1:1: `copy` is refused: only reading is possible here
       hint: SELECT, EXPLAIN, SHOW TABLES, SHOW COLUMNS and DESCRIBE are possible
    ");
}
