//! Cleaning: what is held stays, what is not goes, in that order, crash or not.

use std::{collections::BTreeSet, fs, time::Duration};

use futures::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};
use object_store::ObjectStoreExt as _;

use super::{
    crash::{crash_at, recorder},
    site::{Place, Site, run, table},
};
use crate::{
    config::{Format, Retention},
    error::ErrorKind,
    types::Generation,
    warehouse::{CleanDepth, Cleaned, GenerationRecord, Keep, Outcome},
};

/// Two generations stay, what was current in the last hour stays, readers have an hour.
const RETENTION: Retention =
    Retention { generations: 2, age: Duration::from_hours(1), grace: Duration::from_hours(1) };

fn in_hours(hours: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(hours)
}

async fn clean(site: &Site, hours: i64) -> Cleaned {
    let (now, before) = (in_hours(hours), files(site).await);
    let told = site.warehouse.clean(&RETENTION, CleanDepth::DryRun, now).await.unwrap();
    assert_eq!(files(site).await, before, "a dry run changes nothing");
    let done = site.warehouse.clean(&RETENTION, CleanDepth::Remove, now).await.unwrap();
    assert_eq!(told, done, "a dry run tells what a clean does");
    done
}

/// Every file of the warehouse.
async fn files(site: &Site) -> BTreeSet<String> {
    let objects = site.warehouse.store().list(Some(&site.warehouse.root.at("").unwrap()));
    objects.map_ok(|object| object.location.to_string()).try_collect().await.unwrap()
}

fn numbers(generations: &[Generation]) -> Vec<u64> {
    generations.iter().map(|generation| generation.0).collect()
}

/// Generation `n` of five has `a` as `[n]`, and `b` as `[1, …, n]`.
async fn site(place: Place, format: Format) -> (Site, Vec<GenerationRecord>) {
    let site = Site::new(place, format);
    let mut records = Vec::new();
    for number in 1..=5 {
        let ids = i64::from(number)..i64::from(number) + 1;
        let tables = [("a", Keep::Nothing, ids.clone()), ("b", Keep::Everything, ids)];
        let published = site.publish(&run(number), &tables).await.unwrap();
        records.push(published.record().clone());
    }
    (site, records)
}

async fn is_whole(site: &Site, record: &GenerationRecord) -> bool {
    let number = record.generation.0 as i64;
    let expected = [("a", vec![number]), ("b", (1..=number).collect())];
    site.seen(record).await == expected.map(|(name, ids)| (name.to_owned(), ids))
}

cases! {
    generations_leave_first_and_their_files_after_the_grace:
        disk_delta(Place::Disk, Format::Delta),
        disk_parquet(Place::Disk, Format::Parquet),
        memory_delta(Place::Memory, Format::Delta),
        memory_parquet(Place::Memory, Format::Parquet),
}

async fn generations_leave_first_and_their_files_after_the_grace(place: Place, format: Format) {
    let (site, records) = site(place, format).await;
    let nothing = clean(&site, 0).await;
    assert_eq!((numbers(&nothing.kept), nothing.expired), (vec![5, 4, 3, 2, 1], vec![]));
    assert_eq!(nothing.tables, []);

    let left = clean(&site, 2).await;
    assert_eq!((numbers(&left.kept), numbers(&left.expired)), (vec![5, 4], vec![1, 2, 3]));
    assert_eq!(left.tables, []);
    let error = site.warehouse.retained(Generation(3)).await.unwrap_err();
    assert_eq!(error.what(), "generation 3 was cleaned away");
    let listed = site.warehouse.generations(10).await.unwrap();
    assert_eq!(listed.iter().map(|record| record.generation.0).collect::<Vec<_>>(), [5, 4]);
    for record in &records {
        assert!(is_whole(&site, record).await, "a reader of {} goes on", record.generation);
    }
    let waits = clean(&site, 2).await;
    assert_eq!((numbers(&waits.waiting), waits.tables), (vec![1, 2, 3], vec![]));

    let gone = clean(&site, 4).await;
    assert_eq!((gone.expired, gone.waiting), (vec![], vec![]));
    let old: u64 = records[..3].iter().map(|record| record.tables[&table("a")].bytes).sum();
    let manifests = if format == Format::Parquet { 3 } else { 0 };
    let seen: Vec<_> = gone
        .tables
        .iter()
        .map(|one| (one.table.table.as_str(), one.files.len(), one.bytes, one.others.len()))
        .collect();
    let mut expected = vec![("a", 3, old, manifests)];
    expected.extend((manifests > 0).then_some(("b", 0, 0, manifests)));
    assert_eq!(seen, expected, "`b` still consists of all its files");
    for record in &records[3..] {
        assert!(is_whole(&site, record).await, "{}", record.generation);
    }
    assert_eq!(clean(&site, 4).await.tables, []);
    assert!(!files(&site).await.iter().any(|path| path.contains("_longshore/expired")));

    site.warehouse.roll_back(&run(6), Generation(4)).await.unwrap();
    assert_eq!(site.pinned().await, site.seen(&records[3]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_holds_what_it_brought_back() {
    let (site, records) = site(Place::Memory, Format::Delta).await;
    site.warehouse.roll_back(&run(6), Generation(1)).await.unwrap();
    site.publish(&run(7), &[("c", Keep::Nothing, 0..1)]).await.unwrap();
    clean(&site, 2).await;
    let gone = clean(&site, 4).await;
    // The files that generations 2 to 5 brought: one each of `a` and of `b`.
    assert_eq!(gone.tables.iter().map(|one| one.files.len()).collect::<Vec<_>>(), [4, 4]);
    assert_eq!(site.seen(&records[0]).await, site.pinned().await[..2]);
}

cases! {
    what_was_never_published_goes_and_what_is_foreign_stays:
        disk(Place::Disk),
        memory(Place::Memory),
}

async fn what_was_never_published_goes_and_what_is_foreign_stays(place: Place) {
    let (site, _) = site(place, Format::Delta).await;
    let before = files(&site).await;
    site.change(&run(8), "a", Keep::Nothing, 50..51).await;
    site.change(&run(8), "never", Keep::Nothing, 60..61).await;
    let orphans: BTreeSet<_> = &files(&site).await - &before;
    let put = async |path: &str| {
        site.warehouse
            .store()
            .put(&site.warehouse.root.at(path).unwrap(), "x".into())
            .await
            .unwrap()
    };
    let folder = table("a").folder();
    for foreign in ["part-00000-c000.snappy.parquet", "notes.txt", "deep/er/x.parquet"] {
        put(&format!("{folder}/{foreign}")).await;
    }
    put("x.parquet").await;
    let unfinished = site.warehouse.local_root().map(|root| {
        let path = root.join(&folder).join("x.parquet#00000000000000000001");
        fs::write(&path, "half").unwrap();
        path
    });
    let all = files(&site).await;
    assert_eq!(clean(&site, 0).await.tables, [], "a run may be about to publish them");

    let gone = clean(&site, 2).await;
    assert_eq!(gone.tables.iter().map(|one| one.files.len()).sum::<usize>(), 2);
    let left = files(&site).await;
    assert!(orphans.iter().all(|path| !left.contains(path)), "{left:?}");
    let known = |path: &&String| !path.contains("_longshore/");
    let lost: BTreeSet<_> = all.iter().filter(known).filter(|path| !left.contains(*path)).collect();
    assert_eq!(lost, orphans.iter().collect());
    assert!(unfinished.is_none_or(|path| !path.exists()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_cleaning_takes_nothing_from_a_reader() {
    let (clean_site, _) = site(Place::Memory, Format::Delta).await;
    let (observer, steps) = recorder();
    let watched = clean_site.warehouse.clone().with_observer(observer);
    watched.clean(&RETENTION, CleanDepth::Remove, in_hours(2)).await.unwrap();
    let steps = steps.lock().unwrap().clone();
    assert_eq!(steps.len(), 6, "{steps:?}");
    for step in steps {
        let (site, records) = site(Place::Memory, Format::Delta).await;
        let dying = site.warehouse.clone().with_observer(crash_at(&step));
        let error = dying.clean(&RETENTION, CleanDepth::Remove, in_hours(2)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{step}");
        let offered = site.warehouse.generations(10).await.unwrap();
        for record in &offered {
            assert!(is_whole(&site, record).await, "{step}");
        }

        // Much later, what was still offered until now has a whole grace before it.
        let next = clean(&site, 4).await;
        assert_eq!(next.expired.len(), offered.len() - 2, "{step}");
        clean(&site, 4).await;
        for record in records.iter().filter(|record| offered.contains(record)) {
            assert!(is_whole(&site, record).await, "{step}");
        }
        clean(&site, 6).await;
        let (four, five) = (&records[3], &records[4]);
        assert!(is_whole(&site, four).await && is_whole(&site, five).await, "{step}");
        assert_eq!(files(&site).await.iter().filter(|path| path.contains("parquet")).count(), 7);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_under_way_keeps_what_it_may_go_back_to() {
    let (site, records) = site(Place::Memory, Format::Delta).await;
    let tables = [("a", Keep::Nothing, 70..71), ("b", Keep::Everything, 80..81)];
    let publication = site.publication(&run(6), &tables).await;
    let dying = site.warehouse.clone().with_observer(crash_at("table_committed:shöp.a"));
    dying.publish(publication).await.unwrap_err();
    assert_eq!(site.newest(&["a"]).await[0].1, [70]);
    for hours in [2, 4] {
        site.warehouse.clean(&RETENTION, CleanDepth::Remove, in_hours(hours)).await.unwrap();
    }
    let settled = site.warehouse.reconcile().await.unwrap();
    assert_eq!(settled[0].outcome, Outcome::Back { left: Vec::new() });
    assert!(is_whole(&site, &records[4]).await);
    assert_eq!(site.newest(&["a", "b"]).await, site.pinned().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_held_version_can_t_be_read_nothing_of_the_table_goes() {
    let (site, _) = site(Place::Disk, Format::Delta).await;
    clean(&site, 2).await;
    let log = site.warehouse.local_root().unwrap().join(table("a").folder()).join("_delta_log");
    let entry = log.join("00000000000000000003.json");
    let content = fs::read(&entry).unwrap();
    fs::remove_file(&entry).unwrap();
    let before = files(&site).await;
    let error =
        site.warehouse.clean(&RETENTION, CleanDepth::Remove, in_hours(4)).await.unwrap_err();
    assert!(error.what().starts_with("`shöp.a` was not cleaned; nothing of it was removed"));
    assert_eq!(files(&site).await, before);
    fs::write(&entry, content).unwrap();
    assert_eq!(clean(&site, 4).await.tables.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_warehouse_is_clean() {
    let site = Site::new(Place::Disk, Format::Delta);
    assert_eq!(clean(&site, 9).await, Cleaned::default());
}
