//! Publishing when nothing crashes: generations, placing, conflicts.

use std::{fs, sync::Arc};

use super::site::{Place, Site, change, publication, run, table};
use crate::{
    config::Format,
    error::{Error, ErrorKind},
    types::Generation,
    warehouse::{Keep, Published, SourceRecord, TableSource, Version},
};

fn see(tables: &[(&str, &[i64])]) -> Vec<(String, Vec<i64>)> {
    tables.iter().map(|(name, ids)| ((*name).to_owned(), ids.to_vec())).collect()
}

cases! {
    generations_pin_all_tables:
        disk_delta(Place::Disk, Format::Delta),
        disk_parquet(Place::Disk, Format::Parquet),
        memory_delta(Place::Memory, Format::Delta),
        memory_parquet(Place::Memory, Format::Parquet),
}

async fn generations_pin_all_tables(place: Place, format: Format) {
    let site = Site::new(place, format);
    assert_eq!(site.warehouse.current().await.unwrap(), None);
    site.publish(&run(1), &[("a", Keep::Nothing, 0..3), ("b", Keep::Nothing, 0..2)]).await.unwrap();
    let mut second = site.publication(&run(2), &[("a", Keep::Everything, 3..5)]).await;
    let position = serde_json::json!({"kind": "sqlite", "change_counter": 7});
    second.sources = vec![SourceRecord { connection: "shop".into(), position }];
    let source =
        TableSource { connection: "shop".into(), schema: "public".into(), table: "a".into() };
    second.changes[0].source = Some(source.clone());
    let published = site.warehouse.publish(second.clone()).await.unwrap();

    let record = published.record();
    assert_eq!((record.generation, record.previous), (Generation(2), Some(Generation(1))));
    assert_eq!(record.sources, second.sources);
    let (a, b) = (&record.tables[&table("a")], &record.tables[&table("b")]);
    assert_eq!((a.version, a.rows, a.files, a.changed), (Version(1), 5, 2, true));
    assert_eq!((a.pipeline.as_ref(), a.source.as_ref()), (Some(&record.pipeline), Some(&source)));
    assert_eq!((b.version, b.rows, b.files, b.changed), (Version(0), 2, 1, false));
    assert_eq!(site.warehouse.current().await.unwrap().as_ref(), Some(record));
    assert_eq!(site.pinned().await, see(&[("a", &[0, 1, 2, 3, 4]), ("b", &[0, 1])]));
    let before = site.warehouse.generation(Generation(1)).await.unwrap().unwrap();
    assert_eq!(site.seen(&before).await, see(&[("a", &[0, 1, 2]), ("b", &[0, 1])]));
    let numbers: Vec<_> = site
        .warehouse
        .generations(10)
        .await
        .unwrap()
        .iter()
        .map(|record| record.generation.0)
        .collect();
    assert_eq!(numbers, [2, 1]);

    let again = site.warehouse.publish(second).await.unwrap();
    assert_eq!(again, Published::Before(record.clone()));
    let first = site.publication(&run(1), &[]).await;
    assert_eq!(*site.warehouse.publish(first).await.unwrap().record(), before);
    assert_eq!(site.warehouse.generation(Generation(3)).await.unwrap(), None);
    assert_eq!(site.warehouse.reconcile().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_on_disk_is_read_only_and_staged_files_stay() {
    let site = Site::new(Place::Disk, Format::Delta);
    let staged = site.stage("x", 0..3);
    let placed = site.warehouse.place(&table("a"), &run(1), vec![staged.clone()]).await.unwrap();
    let again = site.warehouse.place(&table("a"), &run(1), vec![staged.clone()]).await.unwrap();
    assert_eq!(placed, again);
    let other = site.warehouse.place(&table("a"), &run(2), vec![staged.clone()]).await.unwrap();
    assert_ne!(placed[0].url, other[0].url);
    assert!(placed[0].url.as_str().contains(run(1).as_str()));
    assert!(staged.url.to_file_path().unwrap().is_file());
    site.warehouse
        .publish(publication(&run(1), vec![change(&run(1), "a", Keep::Nothing, placed)]))
        .await
        .unwrap();
    let root = site.warehouse.local_root().unwrap();
    let mut folders = vec![root.to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files += 1;
                assert!(path.metadata().unwrap().permissions().readonly(), "{}", path.display());
            }
        }
    }
    assert_eq!(files, 4, "two data files, a commit and a generation");
}

cases! {
    damaged_staged_files_are_refused:
        disk(Place::Disk),
        memory(Place::Memory),
}

async fn damaged_staged_files_are_refused(place: Place) {
    let site = Site::new(place, Format::Delta);
    let sound = site.stage("x", 0..300);
    let path = sound.url.to_file_path().unwrap();
    let whole = fs::read(&path).unwrap();
    let mut torn = whole.clone();
    torn.truncate(whole.len() - 9);
    let mut flipped = whole.clone();
    let at = whole.len() - 6;
    flipped[at] ^= 0xff;
    for content in [torn, flipped, vec![0; whole.len()]] {
        fs::write(&path, content).unwrap();
        let error =
            site.warehouse.place(&table("a"), &run(1), vec![sound.clone()]).await.unwrap_err();
        assert_eq!(
            error.what(),
            "the staged file `x.parquet` of `shöp.a` is damaged; it was not published"
        );
    }
    fs::write(&path, &whole).unwrap();
    let mut wrong = sound.clone();
    wrong.rows += 1;
    let error = site.warehouse.place(&table("a"), &run(1), vec![wrong]).await.unwrap_err();
    assert_eq!(error.causes()[0], "its footer says 300 rows and should say 301");
    assert!(site.warehouse.place(&table("a"), &run(1), vec![sound]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn large_files_are_uploaded_in_parts() {
    use arrow::{array::BinaryViewArray, record_batch::RecordBatch};
    let site = Site::new(Place::Memory, Format::Parquet);
    let noise = (0..600_000_u64).map(|row| {
        // Multiples of an odd constant look like noise to a compressor.
        std::array::from_fn::<u8, 32, _>(|at| {
            (row.wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ (at as u64) << 17) >> 29) as u8
        })
    });
    let ids = arrow::array::Int64Array::from_iter_values(0..600_000);
    let noise = BinaryViewArray::from_iter_values(noise);
    let batch =
        RecordBatch::try_from_iter([("id", Arc::new(ids) as _), ("noise", Arc::new(noise) as _)])
            .unwrap();
    let staged = site.stage_batch("large", &batch);
    assert!(staged.bytes > 17 << 20);
    let placed = site.warehouse.place(&table("a"), &run(1), vec![staged]).await.unwrap();
    let files = crate::types::TableFiles { schema: batch.schema(), files: placed };
    assert_eq!(site.ids(&files).await.len(), 600_000);
}

cases! {
    a_commit_past_the_generation_counts_for_nothing:
        delta(Format::Delta),
        parquet(Format::Parquet),
}

async fn a_commit_past_the_generation_counts_for_nothing(format: Format) {
    let site = Site::new(Place::Disk, format);
    site.publish(&run(1), &[("a", Keep::Nothing, 0..3), ("b", Keep::Nothing, 0..1)]).await.unwrap();
    let update: [(&str, Keep, _); 2] = [("a", Keep::Everything, 3..4), ("b", Keep::Nothing, 5..6)];
    let stop = |name: &str| match name {
        "table_committed:shöp.a" => Err(Error::new(ErrorKind::Cancelled, "stopped")),
        _ => Ok(()),
    };
    let other = site.publication(&run(8), &[("a", Keep::Everything, 90..91)]).await;
    site.warehouse.clone().with_observer(Arc::new(stop)).publish(other).await.unwrap_err();
    // Its intent says that it may be at work; without one, it was settled and came too late.
    let error = site.publish(&run(2), &update).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(
        error.what(),
        "another run is publishing `shöp.a`; the warehouse is unchanged at generation 1"
    );
    assert_eq!(site.pinned().await, see(&[("a", &[0, 1, 2]), ("b", &[0])]));
    assert_eq!(site.newest(&["b"]).await, see(&[("b", &[0])]));

    site.warehouse.remove_intent(&run(8)).await.unwrap();
    site.publish(&run(2), &update).await.unwrap();
    assert_eq!(site.pinned().await, see(&[("a", &[0, 1, 2, 3]), ("b", &[5])]));

    let stranger = site.change(&run(8), "c", Keep::Nothing, 0..1).await;
    site.warehouse.table_format(format).commit(&stranger, None).await.unwrap();
    site.publish(&run(3), &[("c", Keep::Nothing, 1..2)]).await.unwrap();
    assert_eq!(site.pinned().await[2], ("c".to_owned(), vec![1]));
}

cases! {
    of_two_publishers_one_wins_and_the_other_leaves_no_trace:
        disk_a(Place::Disk, "a"),
        disk_b(Place::Disk, "b"),
        memory_a(Place::Memory, "a"),
        memory_b(Place::Memory, "b"),
}

async fn of_two_publishers_one_wins_and_the_other_leaves_no_trace(place: Place, other_table: &str) {
    for _ in 0..4 {
        let site = Site::new(place, Format::Delta);
        site.publish(&run(1), &[("a", Keep::Nothing, 0..1), ("b", Keep::Nothing, 0..1)])
            .await
            .unwrap();
        let one = site.publication(&run(2), &[("a", Keep::Everything, 2..3)]).await;
        let two = site.publication(&run(3), &[(other_table, Keep::Everything, 3..4)]).await;
        let (one_site, two_site) = (site.warehouse.clone(), site.warehouse.clone());
        let one = tokio::spawn(async move { one_site.publish(one).await });
        let two = tokio::spawn(async move { two_site.publish(two).await });
        let results = [one.await.unwrap(), two.await.unwrap()];
        let generation = site.warehouse.current().await.unwrap().unwrap();
        // Where one was through before the other began, both have published.
        let won = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(generation.generation.0, 1 + won as u64, "{results:?}");
        assert!(won >= 1, "{results:?}");
        for lost in results.iter().filter_map(|result| result.as_ref().err()) {
            assert_eq!(lost.kind(), ErrorKind::Conflict, "{lost}");
        }
        assert_eq!(site.newest(&["a", "b"]).await, site.pinned().await);
        assert_eq!(site.warehouse.reconcile().await.unwrap(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_keep_their_format_when_new_ones_take_another() {
    let mut site = Site::new(Place::Memory, Format::Delta);
    site.publish(&run(1), &[("a", Keep::Nothing, 0..1)]).await.unwrap();
    let (store, url) = (site.warehouse.store().clone(), site.warehouse.url().clone());
    site.warehouse = super::super::Warehouse::over(store, url, Format::Parquet).unwrap();
    site.publish(&run(2), &[("a", Keep::Everything, 1..2), ("b", Keep::Nothing, 5..6)])
        .await
        .unwrap();
    assert_eq!(site.pinned().await, see(&[("a", &[0, 1]), ("b", &[5])]));
    let record = site.warehouse.current().await.unwrap().unwrap();
    assert_eq!(record.tables[&table("a")].format, Format::Delta);
    assert_eq!(record.tables[&table("b")].format, Format::Parquet);
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_let_a_table_outlive_its_old_log_entries() {
    let site = Site::new(Place::Disk, Format::Delta);
    for number in 0..12 {
        let run = format!("20261122t141153z-{number:06}").parse().unwrap();
        site.publish(&run, &[("a", Keep::Everything, number..number + 1)]).await.unwrap();
    }
    let log = site.warehouse.local_root().unwrap().join(table("a").folder()).join("_delta_log");
    assert!(log.join("_last_checkpoint").is_file());
    assert!(log.join("00000000000000000010.checkpoint.parquet").is_file());
    for version in 0..10 {
        fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    assert_eq!(site.pinned().await, see(&[("a", &(0..12).collect::<Vec<_>>())]));
    site.publish(&run(9), &[("a", Keep::Nothing, 50..51)]).await.unwrap();
    assert_eq!(site.pinned().await, see(&[("a", &[50])]));
}
