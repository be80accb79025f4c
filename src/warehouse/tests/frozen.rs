//! A publisher that is frozen at any step while others take it for dead, and then wakes, or wakes
//! and dies a step later.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{runtime::Handle, task::block_in_place};

use super::site::{Place, Site, run};
use crate::{
    config::Format,
    error::{Error, ErrorKind},
    warehouse::{Keep, Observer, Publication, Warehouse},
};

const TABLES: [&str; 3] = ["a", "b", "c"];

/// All steps of a publish of two tables but the last.
const STEPS: [&str; 6] = [
    "intent_written",
    "table_committed:shöp.a",
    "table_committed:shöp.b",
    "tables_committed",
    "decided",
    "generation_written",
];

/// What others do meanwhile.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meanwhile {
    /// They only settle what they find.
    Settle,
    /// They settle, and publish these of the tables.
    Publish(&'static [&'static str]),
}

/// Lets others work when the publish comes to `step`; afterwards, where it `dies`, the very next
/// step is its last.
fn freeze(other: Warehouse, step: &str, work: Option<Publication>, dies: bool) -> Observer {
    let (step, handle, woken) = (step.to_owned(), Handle::current(), AtomicBool::new(false));
    Arc::new(move |name| {
        if woken.load(Ordering::SeqCst) {
            let dead = || Error::new(ErrorKind::Cancelled, "died");
            return if dies { Err(dead()) } else { Ok(()) };
        }
        if name == step {
            woken.store(true, Ordering::SeqCst);
            block_in_place(|| {
                handle.block_on(async {
                    other.reconcile().await?;
                    match work.clone() {
                        Some(work) => other.publish(work).await.map(drop),
                        None => Ok(()),
                    }
                })
            })?;
        }
        Ok(())
    })
}

cases! {
    who_wakes_publishes_all_or_nothing:
        delta_settled(Format::Delta, Meanwhile::Settle),
        delta_same_tables(Format::Delta, Meanwhile::Publish(&["a", "b"])),
        delta_last_table(Format::Delta, Meanwhile::Publish(&["b"])),
        delta_another_table(Format::Delta, Meanwhile::Publish(&["c"])),
        parquet_settled(Format::Parquet, Meanwhile::Settle),
        parquet_same_tables(Format::Parquet, Meanwhile::Publish(&["a", "b"])),
        parquet_another_table(Format::Parquet, Meanwhile::Publish(&["c"])),
}

async fn who_wakes_publishes_all_or_nothing(format: Format, meanwhile: Meanwhile) {
    for step in STEPS {
        for dies in [false, true] {
            one_wakes(format, step, meanwhile, dies).await;
        }
    }
}

async fn one_wakes(format: Format, step: &str, meanwhile: Meanwhile, dies: bool) {
    let case = format!("{step}, {meanwhile:?}, dies: {dies}");
    let site = Site::new(Place::Memory, format);
    site.publish(&run(1), &[("a", Keep::Nothing, 0..1), ("b", Keep::Nothing, 0..1)]).await.unwrap();
    let tables = [("a", Keep::Nothing, 10..12), ("b", Keep::Nothing, 10..12)];
    let mine = site.publication(&run(2), &tables).await;
    let theirs = match meanwhile {
        Meanwhile::Settle => None,
        Meanwhile::Publish(names) => {
            let tables: Vec<_> = names.iter().map(|name| (*name, Keep::Nothing, 50..51)).collect();
            Some(site.publication(&run(3), &tables).await)
        }
    };
    let observer = freeze(site.warehouse.clone(), step, theirs.clone(), dies);
    let result = site.warehouse.clone().with_observer(observer).publish(mine).await;

    let is_there = site.warehouse.generation_of(&run(2)).await.unwrap().is_some();
    match &result {
        Ok(published) => assert!(is_there && published.record().run == run(2), "{case}"),
        Err(error) if error.kind() == ErrorKind::Conflict => {
            assert!(!is_there, "{case}: {error}");
            assert!(error.what().contains("nothing of this run is visible"), "{case}: {error}");
        }
        Err(error) => assert!(dies && error.kind() == ErrorKind::Cancelled, "{case}: {error}"),
    }
    let is_expected = theirs.is_none_or(|theirs| {
        let pinned = block_in_place(|| {
            Handle::current().block_on(site.warehouse.generation_of(&theirs.run))
        });
        pinned.unwrap().is_some()
    });
    assert!(is_expected, "{case}: the other run has published");
    if !dies {
        assert_eq!(newest(&site).await, site.pinned().await, "{case}: single tables agree");
    }
    // Whatever is left, the next run is through and all agree.
    site.warehouse.reconcile().await.unwrap();
    let next = [("a", Keep::Everything, 90..91), ("b", Keep::Everything, 90..91)];
    let before = site.pinned().await;
    site.publish(&run(4), &next).await.unwrap_or_else(|error| panic!("{case}: {error}"));
    let after = site.pinned().await;
    assert_eq!(newest(&site).await, after, "{case}");
    for ((_, before), (name, after)) in before.iter().zip(&after).take(2) {
        let mut expected = before.clone();
        expected.push(90);
        assert_eq!(*after, expected, "{case}: `{name}`");
    }
}

async fn newest(site: &Site) -> Vec<(String, Vec<i64>)> {
    site.newest(&TABLES).await.into_iter().filter(|(_, ids)| !ids.is_empty()).collect()
}
