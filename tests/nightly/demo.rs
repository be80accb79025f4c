//! `longshore demo`, twice, and what other software finds afterwards.

use std::collections::BTreeMap;

use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::{demo_project, generations};
use crate::harness::{
    readers::{self, Reader},
    workspace::Workspace,
};

/// The sample's tables with a query that gives each row's key and one exact amount or text.
const SOURCE: &[(&str, &str)] = &[
    (
        "customers",
        "select count(*), cast(sum(id) as text), cast(count(segment) as text) from customers",
    ),
    (
        "products",
        "select count(*), cast(sum(id) as text), cast(count(discontinued_on) as text) from products",
    ),
    ("orders", "select count(*), cast(sum(id) as text), cast(count(note) as text) from orders"),
    (
        "order_items",
        "select count(*), cast(sum(order_id) as text), cast(sum(quantity) as text) from order_items",
    ),
    (
        "payments",
        "select count(*), cast(sum(id) as text), cast(count(paid_at) as text) from payments",
    ),
];

async fn source_counts(workspace: &Workspace) -> BTreeMap<&'static str, (u64, String, String)> {
    let url = format!("sqlite:{}?mode=ro", workspace.path(".longshore/shop.db").display());
    let mut shop = SqliteConnection::connect(&url).await.unwrap();
    let mut counts = BTreeMap::new();
    for (table, query) in SOURCE {
        let row = sqlx::query(*query).fetch_one(&mut shop).await.unwrap();
        counts.insert(*table, (row.get::<i64, _>(0) as u64, row.get(1), row.get(2)));
    }
    counts
}

fn print_of(workspace: &Workspace, reader: Reader, table: &str) -> readers::Fingerprint {
    let folder = workspace.path(format!("warehouse/{table}"));
    readers::fingerprint(reader, folder.to_str().unwrap(), &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_runs_twice_and_other_readers_agree_with_the_source() {
    let workspace = demo_project();
    let first = print_of(&workspace, Reader::DeltaRs, "shop/orders");
    let again = workspace.run(&["demo"]).succeeded();
    assert!(again.stderr.contains("generation 2"), "{again}");
    assert_eq!(generations(&workspace), 2);

    for (table, (rows, keys, third)) in source_counts(&workspace).await {
        let path = format!("shop/{table}");
        let by_delta_rs = print_of(&workspace, Reader::DeltaRs, &path);
        assert_eq!(by_delta_rs, print_of(&workspace, Reader::DuckdbDelta, &path), "{table}");
        assert_eq!(by_delta_rs.rows, rows, "{table}");
        let column = |name: &str| &by_delta_rs.columns[name];
        match table {
            "order_items" => {
                assert_eq!(column("order_id").sum.as_deref(), Some(keys.as_str()));
                assert_eq!(column("quantity").sum.as_deref(), Some(third.as_str()));
            }
            "customers" => {
                assert_eq!(column("id").sum.as_deref(), Some(keys.as_str()));
                assert_eq!((rows - column("segment").nulls).to_string(), third);
            }
            _ => {
                let counted = ["discontinued_on", "note", "paid_at"]
                    .into_iter()
                    .find(|name| by_delta_rs.columns.contains_key(*name))
                    .unwrap();
                assert_eq!(column("id").sum.as_deref(), Some(keys.as_str()));
                assert_eq!((rows - column(counted).nulls).to_string(), third);
            }
        }
    }
    // The same source gives the same rows, whoever reads them and whenever they were loaded.
    assert_eq!(print_of(&workspace, Reader::DuckdbDelta, "shop/orders"), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_of_the_sample_is_the_source_s_own() {
    let workspace = demo_project();
    let url = format!("sqlite:{}?mode=ro", workspace.path(".longshore/shop.db").display());
    let mut shop = SqliteConnection::connect(&url).await.unwrap();
    let orders =
        sqlx::query("select id, note, cast(round(total * 100) as integer) as cents from orders")
            .fetch_all(&mut shop)
            .await
            .unwrap();
    let mut expected: Vec<(i64, Option<String>, i64)> =
        orders.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let folder = workspace.path("warehouse/shop/orders");
    let mut found: Vec<(i64, Option<String>, i64)> =
        readers::rows(Reader::DeltaRs, folder.to_str().unwrap(), &[])
            .iter()
            .map(|line| {
                let row: serde_json::Value = serde_json::from_str(line).unwrap();
                let cents = row["total"].as_str().unwrap().replace('.', "").parse().unwrap();
                (row["id"].as_i64().unwrap(), row["note"].as_str().map(str::to_owned), cents)
            })
            .collect();
    expected.sort();
    found.sort();
    assert!(expected.iter().any(|(_, note, _)| note.as_ref().is_some_and(|note| !note.is_ascii())));
    assert_eq!(expected.len(), found.len());
    assert!(expected == found, "a row differs between the source and deltalake's view of it");
}

#[test]
fn masked_and_dropped_columns_are_nowhere() {
    let workspace = demo_project();
    let columns = print_of(&workspace, Reader::DeltaRs, "shop/customers").columns;
    let email = &columns["email"];
    assert_eq!(email.min.as_ref().map(String::len), Some(64), "a SHA-256 in hexadecimal");
    let products = print_of(&workspace, Reader::DeltaRs, "shop/products").columns;
    assert!(!products.contains_key("weight_kg"));
    // Not in the stage either: masking happens before anything is written.
    for file in workspace.files(".longshore/stage") {
        let bytes = std::fs::read(workspace.path(".longshore/stage").join(&file)).unwrap();
        assert!(!bytes.windows(9).any(|part| part == b"@example."), "{file} holds an address");
    }
}

#[test]
fn published_files_are_read_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let workspace = demo_project();
    let files = workspace.files("warehouse");
    assert!(files.iter().any(|file| file.ends_with(".parquet")));
    for file in files {
        let path = workspace.path("warehouse").join(&file);
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o222, 0, "{file} can be written to");
    }
}
