//! TPC-H, all eight tables in one snapshot. The full scale runs by the benches' command.

use super::project;
use crate::harness::{
    postgres::cluster,
    readers::{self, Reader},
    tpch,
};

const TABLES: &[&str] =
    &["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"];

#[tokio::test(flavor = "multi_thread")]
async fn all_tables_arrive_with_equal_counts_and_sums() {
    let database = cluster().database("tpch").await;
    let loaded = tpch::load(&database.primary_url("postgres"), 0.01).await;
    cluster().wait_for_replay().await;
    let workspace = project(&database, "      - public.*\n");
    let outcome = workspace.run(&["run", "load", "--json"]).succeeded();
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let rows: u64 =
        report["steps"].as_array().unwrap().iter().map(|s| s["rows"].as_u64().unwrap()).sum();
    assert_eq!(rows, loaded);
    for table in TABLES {
        let folder = workspace.path(format!("warehouse/shop/{table}"));
        let published = readers::fingerprint(Reader::DeltaRs, folder.to_str().unwrap(), &[]);
        let source = readers::source_fingerprint(&database.url(), &format!("public.{table}"));
        assert_eq!(published, source, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_snapshot_serves_all_tables() {
    let database = cluster().database("snapshot").await;
    database
        .load(
            "create table a (id int); create table b (id int);
             insert into a select generate_series(1, 1000); insert into b select generate_series(1, 1000);",
        )
        .await;
    let workspace = project(&database, "      - public.*\n");
    // Both tables always grow in one transaction, while runs go on.
    for round in 0..4 {
        let grow = tokio::spawn({
            let url = database.primary_url("postgres");
            async move {
                for _ in 0..40 {
                    let both = "insert into a values (0); insert into b values (0);";
                    crate::harness::postgres::execute(&url, both).await.unwrap();
                }
            }
        });
        tokio::task::block_in_place(|| workspace.run(&["run", "load"]).succeeded());
        grow.await.unwrap();
        let query = "select (select count(*) from shop.a) = (select count(*) from shop.b) as same";
        let same = workspace.run(&["sql", "--format", "csv", query]).succeeded().stdout;
        assert_eq!(same, "same\ntrue\n", "round {round}");
    }
}
