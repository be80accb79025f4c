//! Delta tables that other tools wrote, or gave features: read right, or refused by name.

use object_store::{ObjectStoreExt as _, path::Path};

use super::site::{Place, Site, change, run, table};
use crate::{
    config::Format,
    error::{Error, Result},
    types::TableFiles,
    warehouse::{Commit, Keep, Version},
};

const SCHEMA: &str = r#"{\"type\":\"struct\",\"fields\":[{\"name\":\"id\",\"type\":\"long\",\"nullable\":true,\"metadata\":{}}]}"#;

/// A log entry as another tool writes it.
struct Log {
    protocol: &'static str,
    partitions: &'static str,
    settings: &'static str,
    add: &'static str,
}

const PLAIN: Log = Log {
    protocol: r#""minReaderVersion":1,"minWriterVersion":2"#,
    partitions: "",
    settings: "",
    add: r#""path":"a%20b%2525.parquet","stats":"{\"numRecords\":3}""#,
};

impl Log {
    async fn write(&self, site: &Site) {
        let Self { protocol, partitions, settings, add } = self;
        let log = format!(
            r#"{{"protocol":{{{protocol}}}}}
{{"metaData":{{"id":"x","format":{{"provider":"parquet","options":{{}}}},"schemaString":"{SCHEMA}","partitionColumns":[{partitions}],"configuration":{{{settings}}}}}}}
{{"add":{{{add},"partitionValues":{{}},"size":9,"modificationTime":1,"dataChange":true}}}}
"#
        );
        let path = format!("w h/{}/_delta_log/{:020}.json", table("t").folder(), 0);
        site.warehouse.store().put(&Path::parse(path).unwrap(), log.into()).await.unwrap();
    }

    async fn files(&self) -> Result<TableFiles> {
        let site = Site::new(Place::Memory, Format::Delta);
        self.write(&site).await;
        site.warehouse.table_format(Format::Delta).files(&table("t"), Version(0)).await
    }

    async fn replace(&self) -> Result<Commit> {
        let site = Site::new(Place::Memory, Format::Delta);
        self.write(&site).await;
        let change = change(&run(1), "t", Keep::Nothing, Vec::new());
        site.warehouse.table_format(Format::Delta).commit(&change, Some(Version(0))).await
    }
}

fn why<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error: Error = result.unwrap_err();
    format!("{}: {}", error.what(), error.causes().join(": "))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_table_is_read_and_written() {
    let files = PLAIN.files().await.unwrap();
    assert_eq!(files.rows(), 3);
    let url = files.files[0].url.as_str();
    assert!(url.ends_with("/sh~c3~b6p/t/a%20b%2525.parquet"), "{url}");
    assert_eq!(PLAIN.replace().await.unwrap(), Commit::Published(Version(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_another_tool_is_never_taken_over() {
    let site = Site::new(Place::Memory, Format::Delta);
    PLAIN.write(&site).await;
    let error = site.publish(&run(1), &[("t", Keep::Nothing, 0..1)]).await.unwrap_err();
    insta::assert_snapshot!(error.what(), @"the place of `shöp.t` is taken; the warehouse is still empty");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_list_of_files_cannot_say_is_not_read() {
    let partitioned = Log { partitions: r#""id""#, ..PLAIN };
    insta::assert_snapshot!(why(partitioned.files().await), @"`shöp.t` can't be read as a list of files: it is partitioned");
    let uncounted = Log { add: r#""path":"x.parquet""#, ..PLAIN };
    insta::assert_snapshot!(why(uncounted.files().await), @"version 0 of `shöp.t` can't be read: a file of it has no row count");
    let deleted = Log {
        protocol: r#""minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]"#,
        add: r#""path":"x.parquet","stats":"{\"numRecords\":3}","deletionVector":{"storageType":"u","pathOrInlineDv":"vBn[lx{q8@P<9BNH/isA","offset":1,"sizeInBytes":36,"cardinality":2}"#,
        ..PLAIN
    };
    insta::assert_snapshot!(why(deleted.files().await), @"version 0 of `shöp.t` can't be read: it has deletion vectors");
}

#[tokio::test(flavor = "multi_thread")]
async fn duties_that_a_plain_writer_does_not_meet_are_refused() {
    let older = Log { protocol: r#""minReaderVersion":1,"minWriterVersion":4"#, ..PLAIN };
    insta::assert_snapshot!(why(older.replace().await), @"`shöp.t` can't be written: its protocol asks more of a writer");
    let feature = Log {
        protocol: r#""minReaderVersion":1,"minWriterVersion":7,"writerFeatures":["changeDataFeed"]"#,
        ..PLAIN
    };
    insta::assert_snapshot!(why(feature.replace().await), @"`shöp.t` can't be written: it has the feature `changeDataFeed`");
    let append_only = Log { settings: r#""delta.appendOnly":"true""#, ..PLAIN };
    insta::assert_snapshot!(why(append_only.replace().await), @"`shöp.t` can't be written: it is append-only (`delta.appendOnly`)");
}
