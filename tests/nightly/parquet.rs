//! How Parquet files are written: as `parquet:` says, for readers that share no code with us.

use super::demo_project;
use crate::harness::{readers, workspace::Workspace};

/// The row groups of a published table.
fn layout(workspace: &Workspace, table: &str) -> Vec<readers::RowGroup> {
    let folder = format!("warehouse/{table}");
    let files = workspace.files(&folder).into_iter().filter(|file| file.ends_with(".parquet"));
    let files: Vec<_> = files.map(|file| workspace.path(&folder).join(file)).collect();
    readers::layout(&files)
}

#[test]
fn codecs_and_row_groups_are_as_written() {
    let workspace = demo_project();
    std::fs::remove_dir_all(workspace.path("warehouse")).unwrap();
    let mut project = workspace.read("longshore.yml");
    project += "\nparquet: {compression: lz4}\n";
    workspace.write("longshore.yml", project);
    workspace.write(
        "pipelines/nightly.yml",
        "parquet: {compression: none, row_group: 1MiB}
extract:
  - from: shop
    tables:
      - order_items
      - {table: orders, parquet: {compression: zstd, level: 9, row_group: 64MiB}}
transform: sql/nightly
",
    );
    workspace.write("pipelines/other.yml", "extract: [{from: shop, tables: [products]}]\n");
    for file in workspace.files("sql/nightly") {
        std::fs::remove_file(workspace.path("sql/nightly").join(file)).unwrap();
    }
    let model = "select id, total from shop.orders";
    workspace.write("sql/nightly/mart/totals.sql", model);
    workspace.run(&["run", "nightly"]).succeeded();
    workspace.run(&["run", "other"]).succeeded();

    let items = layout(&workspace, "shop/order_items");
    assert!(items.iter().all(|group| group.codecs == ["UNCOMPRESSED"]), "{items:?}");
    // What is looked at after each batch may end one batch too late, and with a chunk too early.
    assert!(items.len() > 2, "{items:?}");
    assert!(items.iter().all(|group| group.bytes < 4 << 20), "{items:?}");
    let orders = layout(&workspace, "shop/orders");
    // Columns that don't get smaller are left as they are.
    assert!(orders.iter().all(|group| group.codecs == ["UNCOMPRESSED", "ZSTD"]), "{orders:?}");
    assert_eq!(orders.iter().map(|group| group.rows).sum::<u64>(), 100_000);
    let model = layout(&workspace, "mart/totals");
    assert!(model.iter().all(|group| group.codecs == ["UNCOMPRESSED"]), "{model:?}");
    let products = layout(&workspace, "shop/products");
    let known = ["LZ4", "UNCOMPRESSED"];
    assert!(products.iter().any(|group| group.codecs.contains(&"LZ4".to_owned())), "{products:?}");
    let codecs = products.iter().flat_map(|group| &group.codecs);
    assert!(codecs.into_iter().all(|codec| known.contains(&codec.as_str())), "{products:?}");
}
