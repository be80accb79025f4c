//! A crash at every step of publishing, and at every step of settling it.

use std::sync::{Arc, Mutex};

use super::site::{Place, Site, run};
use crate::{
    config::Format,
    error::{Error, ErrorKind},
    types::Generation,
    warehouse::{Keep, Observer, Outcome, Published, Warehouse},
};

const TABLES: [&str; 3] = ["a", "b", "c"];

type Seen = Vec<(String, Vec<i64>)>;

/// Records every step.
pub(super) fn recorder() -> (Observer, Arc<Mutex<Vec<String>>>) {
    let steps = Arc::new(Mutex::new(Vec::new()));
    let taken = steps.clone();
    let observer = move |step: &str| {
        taken.lock().unwrap().push(step.to_owned());
        Ok(())
    };
    (Arc::new(observer), steps)
}

/// Stops at one step, as a crash would.
pub(super) fn crash_at(step: &str) -> Observer {
    let step = step.to_owned();
    Arc::new(
        move |name| {
            if name == step { Err(Error::new(ErrorKind::Cancelled, "crashed")) } else { Ok(()) }
        },
    )
}

/// A warehouse at generation 1, where a run is about to append to `a`, replace `b` and make `c`.
async fn site(place: Place, format: Format) -> (Site, crate::warehouse::Publication) {
    let site = Site::new(place, format);
    site.publish(&run(1), &[("a", Keep::Nothing, 0..3), ("b", Keep::Nothing, 0..2)]).await.unwrap();
    let tables =
        [("a", Keep::Everything, 3..5), ("b", Keep::Nothing, 10..12), ("c", Keep::Nothing, 7..8)];
    let publication = site.publication(&run(2), &tables).await;
    (site, publication)
}

fn old() -> Seen {
    vec![("a".into(), vec![0, 1, 2]), ("b".into(), vec![0, 1])]
}

fn new() -> Seen {
    vec![("a".into(), vec![0, 1, 2, 3, 4]), ("b".into(), vec![10, 11]), ("c".into(), vec![7])]
}

/// Tables without rows are tables that were undone before they were published.
async fn newest(site: &Site) -> Seen {
    site.newest(&TABLES).await.into_iter().filter(|(_, ids)| !ids.is_empty()).collect()
}

cases! {
    a_crash_anywhere_leaves_the_old_or_the_new:
        disk_delta(Place::Disk, Format::Delta),
        disk_parquet(Place::Disk, Format::Parquet),
        memory_delta(Place::Memory, Format::Delta),
        memory_parquet(Place::Memory, Format::Parquet),
}

async fn a_crash_anywhere_leaves_the_old_or_the_new(place: Place, format: Format) {
    let (clean, publication) = site(place, format).await;
    let (observer, steps) = recorder();
    clean.warehouse.clone().with_observer(observer).publish(publication).await.unwrap();
    let steps = steps.lock().unwrap().clone();
    assert_eq!(clean.pinned().await, new());
    assert_eq!(steps.len(), 8, "{steps:?}");

    for step in steps {
        let (site, publication) = site(place, format).await;
        let dying = site.warehouse.clone().with_observer(crash_at(&step));
        let error = dying.publish(publication.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{step}: {error}");
        let visible = site.pinned().await;
        let written = step == "generation_written" || step == "intent_removed";
        assert_eq!(visible, if written { new() } else { old() }, "{step}");

        let settled = settle(&site, &step).await;
        let visible = site.pinned().await;
        let forward =
            written || step == "tables_committed" || step == "decided" || settled_forward(&settled);
        assert_eq!(visible, if forward { new() } else { old() }, "{step}: {settled:?}");
        assert_eq!(newest(&site).await, visible, "{step}: single tables agree");
        assert_eq!(site.warehouse.reconcile().await.unwrap(), [], "{step}");

        let again = site.warehouse.publish(publication).await.unwrap();
        assert_eq!(matches!(again, Published::Before(_)), forward, "{step}");
        assert_eq!(again.record().generation, Generation(2), "{step}");
        assert_eq!((site.pinned().await, newest(&site).await), (new(), new()), "{step}");
    }
}

async fn settle(site: &Site, step: &str) -> Vec<Outcome> {
    let settled = site.warehouse.reconcile().await.unwrap();
    assert!(settled.len() <= 1 && settled.iter().all(|one| one.run == run(2)), "{step}");
    settled.into_iter().map(|one| one.outcome).collect()
}

fn settled_forward(settled: &[Outcome]) -> bool {
    settled.iter().any(|outcome| !matches!(outcome, Outcome::Back { .. }))
}

cases! {
    a_crash_while_settling_is_settled_by_the_next:
        delta_table_committed_shop_b(Format::Delta, "table_committed:shöp.b"),
        delta_tables_committed(Format::Delta, "tables_committed"),
        parquet_table_committed_shop_b(Format::Parquet, "table_committed:shöp.b"),
        parquet_tables_committed(Format::Parquet, "tables_committed"),
}

async fn a_crash_while_settling_is_settled_by_the_next(format: Format, first: &str) {
    let (clean, publication) = site(Place::Memory, format).await;
    dies(&clean.warehouse, publication, first).await;
    let (observer, steps) = recorder();
    clean.warehouse.clone().with_observer(observer).reconcile().await.unwrap();
    let expected = clean.pinned().await;
    let steps = steps.lock().unwrap().clone();
    assert!(steps.len() >= 2, "{steps:?}");
    for step in steps {
        let (site, publication) = site(Place::Memory, format).await;
        dies(&site.warehouse, publication.clone(), first).await;
        let dying = site.warehouse.clone().with_observer(crash_at(&step));
        assert_eq!(dying.reconcile().await.unwrap_err().kind(), ErrorKind::Cancelled, "{step}");
        site.warehouse.reconcile().await.unwrap();
        assert_eq!(site.pinned().await, expected, "{step}");
        assert_eq!(newest(&site).await, expected, "{step}");
        site.warehouse.publish(publication).await.unwrap();
        assert_eq!((site.pinned().await, newest(&site).await), (new(), new()), "{step}");
    }
}

async fn dies(warehouse: &Warehouse, publication: crate::warehouse::Publication, step: &str) {
    let dying = warehouse.clone().with_observer(crash_at(step));
    dying.publish(publication).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_the_same_run_settles_its_own_crash() {
    let (site, publication) = site(Place::Disk, Format::Delta).await;
    dies(&site.warehouse, publication.clone(), "table_committed:shöp.a").await;
    let published = site.warehouse.publish(publication.clone()).await.unwrap();
    assert!(matches!(published, Published::Now(_)));
    assert_eq!((site.pinned().await, newest(&site).await), (new(), new()));
    let again = site.warehouse.publish(publication).await.unwrap();
    assert_eq!(again, Published::Before(published.record().clone()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_others_went_on_from_is_named_and_left() {
    let (site, publication) = site(Place::Disk, Format::Delta).await;
    dies(&site.warehouse, publication, "table_committed:shöp.a").await;
    let keeper = site.warehouse.table_format(Format::Delta);
    let table = super::site::table("a");
    let newest = keeper.current(&table).await.unwrap();
    let foreign = site.change(&run(8), "a", Keep::Everything, 90..91).await;
    keeper.commit(&foreign, newest).await.unwrap();
    let settled = site.warehouse.reconcile().await.unwrap();
    assert_eq!(settled[0].outcome, Outcome::Back { left: vec![table] });
    assert_eq!(site.pinned().await, old());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_taken_for_dead_does_not_come_back() {
    let (site, publication) = site(Place::Memory, Format::Delta).await;
    let other = site.warehouse.clone();
    let handle = tokio::runtime::Handle::current();
    let stalled = site.warehouse.clone().with_observer(Arc::new(move |step| {
        if step == "tables_committed" {
            let intents = other.root.at("_longshore/intents").unwrap();
            let names = tokio::task::block_in_place(|| handle.block_on(other.root.names(&intents)));
            assert_eq!(names?.len(), 1);
            tokio::task::block_in_place(|| handle.block_on(other.remove_intent(&run(2))))?;
        }
        Ok(())
    }));
    let error = stalled.publish(publication).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!((site.pinned().await, newest(&site).await), (old(), old()));
}
