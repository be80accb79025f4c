//! A warehouse in an S3 bucket, over the real protocol.

mod generations;

use crate::harness::{
    postgres::{Database, cluster},
    readers::{self, Reader},
    s3::Bucket,
    workspace::Workspace,
};

fn project(database: &Database<'_>, bucket: &Bucket, format: &str) -> Workspace {
    let mut workspace = Workspace::new();
    workspace.set("SOURCE_URL", database.url());
    let options: Vec<_> =
        bucket.options().into_iter().map(|(name, value)| format!("{name}: \"{value}\"")).collect();
    workspace.write(
        "longshore.yml",
        format!(
            "warehouse:\n  url: {}/lake\n  format: {format}\n  options: {{{}}}\n\
             connections:\n  source: {{url: \"${{SOURCE_URL}}\"}}\n",
            bucket.url(),
            options.join(", ")
        ),
    );
    workspace.write(
        "pipelines/load.yml",
        "extract:\n  - from: source\n    into: shop\n    tables: [public.*]\ntransform: sql/load\n",
    );
    workspace.write(
        "sql/load/mart/totals.sql",
        "select status, count(*) as n from shop.orders group by 1\n",
    );
    workspace
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_holds_generations_that_others_read() {
    let database = cluster().database("bucket").await;
    database
        .load("create table orders as select i as id, case when i % 3 = 0 then 'new' else 'paid' end as status from generate_series(1, 20000) i;")
        .await;
    let bucket = Bucket::new("lake-of-delta");
    let workspace = project(&database, &bucket, "delta");
    workspace.run(&["run", "load"]).succeeded();
    database.load("insert into orders values (20001, 'new');").await;
    let second = workspace.run(&["run", "load"]).succeeded();
    assert!(second.stderr.contains("generation 2"), "{second}");
    let location = format!("{}/lake/shop/orders", bucket.url());
    let by_delta_rs = readers::fingerprint(Reader::DeltaRs, &location, &bucket.options());
    let by_duckdb = readers::fingerprint(Reader::DuckdbDelta, &location, &bucket.options());
    let source = readers::source_fingerprint(&database.url(), "public.orders");
    assert_eq!(by_delta_rs, source);
    assert_eq!(by_duckdb, source);
    let csv = |arguments: &[&str]| {
        let mut all = vec!["sql", "--format", "csv"];
        all.extend(arguments);
        workspace.run(&all).succeeded().stdout
    };
    assert_eq!(csv(&["select sum(n) as n from mart.totals"]), "n\n20001\n");
    assert_eq!(csv(&["--generation", "1", "select sum(n) as n from mart.totals"]), "n\n20000\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_parquet_in_a_bucket() {
    let database = cluster().database("bucketparquet").await;
    database
        .load(
            "create table orders as select i as id, 'x' as status from generate_series(1, 100) i;",
        )
        .await;
    let bucket = Bucket::new("lake-of-parquet");
    let workspace = project(&database, &bucket, "parquet");
    workspace.run(&["run", "load"]).succeeded();
    let location = format!("{}/lake/shop/orders/*.parquet", bucket.url());
    let print = readers::fingerprint(Reader::DuckdbParquet, &location, &bucket.options());
    assert_eq!(print, readers::source_fingerprint(&database.url(), "public.orders"));
    assert!(!workspace.path("warehouse").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_told_without_telling_the_key() {
    let database = cluster().database("wrongkey").await;
    database.load("create table orders as select 1 as id, 'x' as status;").await;
    let bucket = Bucket::new("nobodys-lake");
    let workspace = project(&database, &bucket, "delta");
    let text = workspace.read("longshore.yml").replace("127.0.0.1", "127.0.0.1.invalid");
    workspace.write("longshore.yml", text);
    let outcome = workspace.run(&["run", "load"]).failed_with(1);
    assert!(!outcome.stderr.contains(crate::harness::postgres::PASSWORD), "{outcome}");
    assert!(outcome.stderr.contains("hint:"), "{outcome}");
}
