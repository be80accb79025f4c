//! What an upsert takes away: which files hold keys of new rows, and what is left of them.

use arrow::datatypes::SchemaRef;
use futures::StreamExt as _;

use super::workspace::Workspace;
use crate::{
    error::ErrorKind,
    transform::{JoinBy, KeyedRows},
    types::{ByteSize, TableFiles, TableName},
};

/// A workspace whose table `old` has one file for each of `old`, and whose table `new` has `new`.
async fn merging(old: &[&str], new: &str) -> Workspace {
    let mut space = Workspace::new();
    for sql in old {
        space.table("s.old", sql).await;
    }
    space.table("s.new", new).await;
    space
}

fn table<'a>(space: &'a Workspace, name: &str) -> &'a TableFiles {
    &space.tables[&TableName::new("s", name)]
}

/// How many rows of each file match, how many new rows do, and the rows that are left.
async fn merged(
    space: &Workspace,
    key: &[&str],
    by: JoinBy,
) -> (Vec<(usize, u64)>, u64, Vec<String>) {
    let name = TableName::new("s", "t");
    let key: Vec<String> = key.iter().map(|&column| column.to_owned()).collect();
    let new = KeyedRows { table: &name, key: &key, files: table(space, "new") };
    let old = table(space, "old");
    let matches = space.engine.matches(&new, old, by).await.unwrap();
    let matched = space.engine.matched(&new, old, by).await.unwrap();
    let streams = space.engine.unmatched(&new, old, by, &old.schema).await.unwrap();
    (matches.into_iter().collect(), matched, rows(streams, &old.schema).await)
}

async fn rows(streams: Vec<crate::transform::BatchStream>, schema: &SchemaRef) -> Vec<String> {
    let mut rows = Vec::new();
    for mut stream in streams {
        assert_eq!(stream.schema(), schema);
        while let Some(batch) = stream.next().await {
            let text = arrow::util::pretty::pretty_format_batches(&[batch.unwrap()]).unwrap();
            let lines = text.to_string();
            rows.extend(lines.lines().filter(|line| line.starts_with("| ")).skip(1).map(|line| {
                line.split('|')
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .collect::<Vec<_>>()
                    .join(" ")
            }));
        }
    }
    rows.sort();
    rows
}

#[tokio::test]
async fn only_rows_of_the_same_key_go() {
    let space = merging(
        &[
            "select * from (values (1, 'eu', 'a'), (2, 'eu', 'b')) as t(id, region, v)",
            "select * from (values (1, 'us', 'c'), (3, 'us', 'd')) as t(id, region, v)",
            "select * from (values (null, 'us', 'e'), (4, null, 'f')) as t(id, region, v)",
        ],
        "select * from (values (1, 'eu', 'A'), (3, 'us', 'D'), (9, 'us', 'X')) as t(id, region, v)",
    )
    .await;
    for by in [JoinBy::Hash, JoinBy::Sort] {
        let (files, matched, left) = merged(&space, &["id", "region"], by).await;
        assert_eq!((files, matched), (vec![(0, 1), (1, 1)], 2));
        assert_eq!(left, ["1 us c", "2 eu b", "4 f", "us e"]);
    }
}

#[tokio::test]
async fn keys_of_any_type_are_compared_exactly() {
    for key in [
        "cast(i as smallint)",
        "i * 3000000000",
        "cast(i as decimal(38, 10)) / 4",
        "'key ' || cast(i as varchar)",
        "repeat('long ', 30) || cast(i as varchar)",
        "cast('2020-01-01' as date) + cast(i as int)",
        "arrow_cast(i * 1001, 'Timestamp(Microsecond, Some(\"UTC\"))')",
        "arrow_cast('key ' || cast(i as varchar), 'BinaryView')",
        "i % 2 = 0",
    ] {
        let rows = |from: i64, to: i64, v: &str| {
            format!("select {key} as k, '{v}' as v from generate_series({from}, {to}) as t(i)")
        };
        let (old, new) = (rows(1, 2, "old"), rows(2, 2, "new"));
        let space = merging(&[&old], &new).await;
        for by in [JoinBy::Hash, JoinBy::Sort] {
            let (files, matched, left) = merged(&space, &["k"], by).await;
            assert_eq!((files, matched, left.len()), (vec![(0, 1)], 1, 1), "{key}");
        }
    }
}

#[tokio::test]
async fn a_column_may_have_any_name() {
    let old = r#"select 1 as "file", 'x' as "we ""ird", 2 as "new""#;
    let space = merging(&[old], old).await;
    let (files, matched, left) = merged(&space, &["we \"ird", "file", "new"], JoinBy::Hash).await;
    assert_eq!((files, matched, left.len()), (vec![(0, 1)], 1, 0));
}

#[tokio::test]
async fn keys_that_do_not_fit_in_memory_are_sorted() {
    let mut space = Workspace::with_memory(ByteSize::mib(64));
    let made = "select cast(i as varchar) || repeat('x', 100) as k, i from generate_series(1, 600000) as t(i)";
    space.table("s.old", made).await;
    space.table("s.new", &made.replace("600000", "599999")).await;
    let name = TableName::new("s", "t");
    let key = ["k".to_owned()];
    let new = KeyedRows { table: &name, key: &key, files: table(&space, "new") };
    assert_eq!(space.engine.join_by(&new), JoinBy::Sort);
    let refused = space.engine.matches(&new, table(&space, "old"), JoinBy::Hash).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Memory);
    let old = table(&space, "old");
    let found = space.engine.matches(&new, old, JoinBy::Sort).await.unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [(0, 599_999)]);
    let streams = space.engine.unmatched(&new, old, JoinBy::Sort, &old.schema).await.unwrap();
    assert_eq!(rows(streams, &old.schema).await.len(), 1);
}
