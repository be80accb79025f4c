//! Going back to older generations: contents, crashes at every step, and what can't come back.

use std::{fs, sync::Arc};

use arrow::{
    array::{Int32Array, Int64Array},
    record_batch::RecordBatch,
};
use object_store::{ObjectStoreExt as _, path::Path};

use super::{
    crash::{crash_at, recorder},
    site::{Place, Site, change, publication, run, table},
};
use crate::{
    config::Format,
    error::ErrorKind,
    types::Generation,
    warehouse::{Keep, Outcome, Published, ROLLBACK},
};

const TABLES: [&str; 4] = ["a", "b", "c", "d"];

type Seen = Vec<(String, Vec<i64>)>;

fn see(tables: &[(&str, &[i64])]) -> Seen {
    tables.iter().map(|(name, ids)| ((*name).to_owned(), ids.to_vec())).collect()
}

/// Generation 1 has `a`, `b` and `d`; generation 2 appended to `a`, replaced `b` and made `c`.
async fn site(place: Place, format: Format) -> Site {
    let site = Site::new(place, format);
    let first =
        [("a", Keep::Nothing, 0..3), ("b", Keep::Nothing, 0..2), ("d", Keep::Nothing, 6..7)];
    site.publish(&run(1), &first).await.unwrap();
    let second =
        [("a", Keep::Everything, 3..5), ("b", Keep::Nothing, 10..12), ("c", Keep::Nothing, 7..8)];
    site.publish(&run(2), &second).await.unwrap();
    site
}

fn first() -> Seen {
    see(&[("a", &[0, 1, 2]), ("b", &[0, 1]), ("d", &[6])])
}

fn second() -> Seen {
    see(&[("a", &[0, 1, 2, 3, 4]), ("b", &[10, 11]), ("c", &[7]), ("d", &[6])])
}

/// What readers of single tables see. A table without rows is one that left.
async fn newest(site: &Site) -> Seen {
    site.newest(&TABLES).await.into_iter().filter(|(_, ids)| !ids.is_empty()).collect()
}

cases! {
    an_older_generation_comes_back_and_goes_again:
        disk_delta(Place::Disk, Format::Delta),
        disk_parquet(Place::Disk, Format::Parquet),
        memory_delta(Place::Memory, Format::Delta),
        memory_parquet(Place::Memory, Format::Parquet),
}

async fn an_older_generation_comes_back_and_goes_again(place: Place, format: Format) {
    let site = site(place, format).await;
    let generation = |number| site.warehouse.generation(Generation(number));
    let one = generation(1).await.unwrap().unwrap();

    let back = site.warehouse.roll_back(&run(3), Generation(1)).await.unwrap();
    let record = back.record();
    assert!(matches!(back, Published::Now(_)));
    assert_eq!((record.generation, record.rollback_to), (Generation(3), Some(Generation(1))));
    assert_eq!((record.previous, record.pipeline.as_str()), (Some(Generation(2)), ROLLBACK));
    assert_eq!((site.pinned().await, newest(&site).await), (first(), first()));
    let (a, then) = (&record.tables[&table("a")], &one.tables[&table("a")]);
    assert!(a.changed && a.version > then.version);
    assert_eq!((a.rows, a.files, &a.pipeline), (then.rows, then.files, &then.pipeline));
    let d = &record.tables[&table("d")];
    assert_eq!((d.changed, d.version), (false, one.tables[&table("d")].version), "left alone");

    let again = site.warehouse.roll_back(&run(4), Generation(1)).await.unwrap();
    assert_eq!(again, Published::Before(record.clone()), "there is nothing to do");
    let forth = site.warehouse.roll_back(&run(5), Generation(2)).await.unwrap();
    assert_eq!(forth.record().generation, Generation(4));
    assert_eq!((site.pinned().await, newest(&site).await), (second(), second()));
    for (number, seen) in [(1, first()), (2, second()), (3, first()), (4, second())] {
        let record = generation(number).await.unwrap().unwrap();
        assert_eq!(site.seen(&record).await, seen, "generation {number}");
    }
}

cases! {
    a_table_that_left_can_be_published_anew:
        delta(Format::Delta),
        parquet(Format::Parquet),
}

async fn a_table_that_left_can_be_published_anew(format: Format) {
    let site = site(Place::Disk, format).await;
    site.warehouse.roll_back(&run(3), Generation(1)).await.unwrap();
    site.publish(&run(4), &[("c", Keep::Everything, 20..21)]).await.unwrap();
    let mut seen = first();
    seen.insert(2, ("c".into(), vec![20]));
    assert_eq!((site.pinned().await, newest(&site).await), (seen.clone(), seen));
}

cases! {
    columns_are_as_they_were:
        delta(Format::Delta),
        parquet(Format::Parquet),
}

async fn columns_are_as_they_were(format: Format) {
    let site = Site::new(Place::Memory, format);
    let batches = [
        RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(vec![1])) as _)]).unwrap(),
        RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from(vec![2])) as _),
            ("extra", Arc::new(Int32Array::from(vec![9])) as _),
        ])
        .unwrap(),
    ];
    for (number, batch) in (1..).zip(&batches) {
        let staged = site.stage_batch(&number.to_string(), batch);
        let placed = site.warehouse.place(&table("a"), &run(number), vec![staged]).await.unwrap();
        let mut change = change(&run(number), "a", Keep::Nothing, placed);
        change.schema = batch.schema();
        site.warehouse.publish(publication(&run(number), vec![change])).await.unwrap();
    }
    let back = site.warehouse.roll_back(&run(3), Generation(1)).await.unwrap();
    let pinned = &back.record().tables[&table("a")];
    let files = site.warehouse.files(&table("a"), pinned).await.unwrap();
    let names: Vec<_> = files.schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!((names, pinned.columns), (vec!["id"], 1));
    assert_eq!(site.ids(&files).await, [1]);
}

cases! {
    a_crash_anywhere_leaves_the_old_or_the_new:
        disk_delta(Place::Disk, Format::Delta),
        disk_parquet(Place::Disk, Format::Parquet),
        memory_delta(Place::Memory, Format::Delta),
        memory_parquet(Place::Memory, Format::Parquet),
}

async fn a_crash_anywhere_leaves_the_old_or_the_new(place: Place, format: Format) {
    let clean = site(place, format).await;
    let (observer, steps) = recorder();
    let watched = clean.warehouse.clone().with_observer(observer);
    watched.roll_back(&run(3), Generation(1)).await.unwrap();
    let steps = steps.lock().unwrap().clone();
    assert_eq!(steps.len(), 8, "{steps:?}");

    for step in steps {
        let site = site(place, format).await;
        let dying = site.warehouse.clone().with_observer(crash_at(&step));
        let error = dying.roll_back(&run(3), Generation(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{step}: {error}");
        let written = step == "generation_written" || step == "intent_removed";
        assert_eq!(site.pinned().await, if written { first() } else { second() }, "{step}");

        let settled = site.warehouse.reconcile().await.unwrap();
        let visible = site.pinned().await;
        // Tables are committed side by side, so that the others may be through as well.
        let went_on = settled.iter().any(|one| !matches!(one.outcome, Outcome::Back { .. }));
        let all_committed = step == "tables_committed" || step == "decided";
        let forward = written || all_committed || went_on;
        assert_eq!(visible, if forward { first() } else { second() }, "{step}");
        assert_eq!(newest(&site).await, visible, "{step}: single tables agree");

        site.warehouse.roll_back(&run(3), Generation(1)).await.unwrap();
        assert_eq!((site.pinned().await, newest(&site).await), (first(), first()), "{step}");
        assert_eq!(site.warehouse.generation(Generation(4)).await.unwrap(), None, "{step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_t_come_back_is_refused_by_name() {
    let site = site(Place::Disk, Format::Delta).await;
    let refused = async |to| {
        let error = site.warehouse.roll_back(&run(3), Generation(to)).await.unwrap_err();
        assert_eq!((site.pinned().await, newest(&site).await), (second(), second()));
        (error.kind(), error.to_string())
    };
    for missing in [0, 3] {
        let (kind, told) = refused(missing).await;
        assert_eq!(kind, ErrorKind::Usage);
        assert_eq!(told, format!("there is no generation {missing}"));
    }

    let generation = site.warehouse.generation(Generation(1)).await.unwrap().unwrap();
    let old = site.warehouse.files(&table("b"), &generation.tables[&table("b")]).await.unwrap();
    fs::remove_file(old.files[0].url.to_file_path().unwrap()).unwrap();
    let (kind, told) = refused(1).await;
    assert_eq!(kind, ErrorKind::Storage);
    insta::assert_snapshot!(told, @"generation 1 can't be brought back; the warehouse is unchanged at generation 2: 1 of 1 files of `shöp.b` are gone: files of older versions were removed by something else than `longshore clean`");

    site.publish(&run(4), &[("b", Keep::Nothing, 30..31)]).await.unwrap();
    let record = site.warehouse.root.at("_longshore/generations/00000000000000000001.json");
    site.warehouse.root.remove(&record.unwrap()).await.unwrap();
    let error = site.warehouse.roll_back(&run(5), Generation(1)).await.unwrap_err();
    assert_eq!(error.what(), "generation 1 was cleaned away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_another_tool_changed_stops_a_rollback() {
    let site = site(Place::Memory, Format::Delta).await;
    let keeper = site.warehouse.table_format(Format::Delta);
    let newest = keeper.current(&table("a")).await.unwrap();
    let log = r#"{"commitInfo":{"operation":"WRITE","engineInfo":"another tool"}}
{"add":{"path":"x.parquet","stats":"{\"numRecords\":3}","partitionValues":{},"size":9,"modificationTime":1,"dataChange":true}}
"#;
    let version = newest.unwrap().0 + 1;
    let path = format!("w h/{}/_delta_log/{version:020}.json", table("a").folder());
    site.warehouse.store().put(&Path::parse(path).unwrap(), log.into()).await.unwrap();
    let error = site.warehouse.roll_back(&run(3), Generation(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(site.pinned().await, second());
}
