//! The exam that every table format passes, on a disk and on a store.

use std::sync::Arc;

use super::site::{Place, Site, batch, change, run, schema, table};
use crate::{
    config::{Format, Mode},
    error::ErrorKind,
    types::{Bound, ColumnType},
    warehouse::{Cause, Commit, Keep, TableChange, Version},
};
use arrow::{
    array::Int32Array,
    datatypes::{DataType, Field, Schema, TimeUnit},
};

const V0: Version = Version(0);
const V1: Version = Version(1);

cases! {
    versions_hold_what_was_committed:
        disk_delta(Place::Disk, Format::Delta),
        memory_delta(Place::Memory, Format::Delta),
        disk_parquet(Place::Disk, Format::Parquet),
        memory_parquet(Place::Memory, Format::Parquet),
}

async fn versions_hold_what_was_committed(place: Place, format: Format) {
    let site = Site::new(place, format);
    let keeper = site.warehouse.table_format(format);
    let t = table("orders");
    assert_eq!(keeper.current(&t).await.unwrap(), None);
    assert_eq!(keeper.author(&t, V0).await.unwrap(), None);

    let first = site.change(&run(1), "orders", Keep::Nothing, 0..3).await;
    assert_eq!(keeper.commit(&first, None).await.unwrap(), Commit::Published(V0));
    let second = site.change(&run(2), "orders", Keep::Everything, 3..5).await;
    assert_eq!(keeper.commit(&second, Some(V0)).await.unwrap(), Commit::Published(V1));
    let gone = keeper.files(&t, V1).await.unwrap().files;
    let gone = gone.iter().find(|file| file.rows == 3).unwrap().url.clone();
    let third = site.change(&run(3), "orders", Keep::AllBut(vec![gone]), 7..8).await;
    assert_eq!(keeper.commit(&third, Some(V1)).await.unwrap(), Commit::Published(Version(2)));
    let fourth = site.change(&run(4), "orders", Keep::Nothing, 9..11).await;
    assert_eq!(
        keeper.commit(&fourth, Some(Version(2))).await.unwrap(),
        Commit::Published(Version(3))
    );

    for (version, ids) in
        [(0, vec![0, 1, 2]), (1, vec![0, 1, 2, 3, 4]), (2, vec![3, 4, 7]), (3, vec![9, 10])]
    {
        let files = keeper.files(&t, Version(version)).await.unwrap();
        assert_eq!(site.ids(&files).await, ids, "version {version}");
        assert_eq!(files.schema, schema());
    }
    assert_eq!(keeper.current(&t).await.unwrap(), Some(Version(3)));
    assert_eq!(keeper.author(&t, V1).await.unwrap(), Some(run(2)));
    assert!(keeper.files(&t, Version(4)).await.is_err());
    let id = &keeper.files(&t, Version(3)).await.unwrap().files[0].columns[0];
    assert_eq!(
        (id.nulls, &id.min, &id.max),
        (Some(0), &Some(Bound::Integer(9)), &Some(Bound::Integer(10)))
    );
}

cases! {
    the_same_commit_again_is_found_and_any_other_conflicts:
        disk_delta(Place::Disk, Format::Delta),
        memory_delta(Place::Memory, Format::Delta),
        disk_parquet(Place::Disk, Format::Parquet),
        memory_parquet(Place::Memory, Format::Parquet),
}

async fn the_same_commit_again_is_found_and_any_other_conflicts(place: Place, format: Format) {
    let site = Site::new(place, format);
    let keeper = site.warehouse.table_format(format);
    let first = site.change(&run(1), "orders", Keep::Nothing, 0..3).await;
    let other = site.change(&run(2), "orders", Keep::Nothing, 5..6).await;
    assert_eq!(keeper.commit(&first, None).await.unwrap(), Commit::Published(V0));
    assert_eq!(keeper.commit(&first, None).await.unwrap(), Commit::AlreadyPublished(V0));
    let conflict = Commit::Conflict { found: Some(V0) };
    assert_eq!(keeper.commit(&other, None).await.unwrap(), conflict, "two first commits");
    assert_eq!(keeper.commit(&other, Some(Version(7))).await.unwrap(), conflict, "no such version");
    let undo = TableChange { cause: Cause::Undo, ..first.clone() };
    assert_eq!(keeper.commit(&undo, None).await.unwrap(), conflict, "an undo is not its publish");

    assert_eq!(keeper.commit(&other, Some(V0)).await.unwrap(), Commit::Published(V1));
    assert_eq!(keeper.commit(&first, None).await.unwrap(), Commit::AlreadyPublished(V0));
    let late = site.change(&run(3), "orders", Keep::Everything, 8..9).await;
    assert_eq!(keeper.commit(&late, Some(V0)).await.unwrap(), Commit::Conflict { found: Some(V1) });
    let files = keeper.files(&table("orders"), V1).await.unwrap();
    assert_eq!(site.ids(&files).await, [5]);
}

cases! {
    of_two_that_commit_at_once_one_wins:
        disk_delta(Place::Disk, Format::Delta),
        memory_delta(Place::Memory, Format::Delta),
        disk_parquet(Place::Disk, Format::Parquet),
        memory_parquet(Place::Memory, Format::Parquet),
}

async fn of_two_that_commit_at_once_one_wins(place: Place, format: Format) {
    let site = Site::new(place, format);
    let keeper = site.warehouse.table_format(format);
    let mut expected = None;
    for round in 0..8 {
        let mut tasks = Vec::new();
        for writer in 1..4 {
            let change = site.change(&run(writer), "orders", Keep::Nothing, round..round + 1).await;
            let keeper = keeper.clone();
            tasks
                .push(tokio::spawn(async move { keeper.commit(&change, expected).await.unwrap() }));
        }
        let mut won = 0;
        for task in tasks {
            match task.await.unwrap() {
                Commit::Published(version) => {
                    assert_eq!(version, Version::after(expected));
                    won += 1;
                }
                Commit::Conflict { .. } => {}
                already @ Commit::AlreadyPublished(_) => panic!("{already:?}"),
            }
        }
        assert_eq!(won, 1, "round {round}");
        expected = keeper.current(&table("orders")).await.unwrap();
        assert_eq!(expected, Some(Version(round as u64)));
    }
}

cases! {
    schemas_grow_by_appending_and_change_by_replacing:
        disk_delta(Place::Disk, Format::Delta),
        disk_parquet(Place::Disk, Format::Parquet),
}

async fn schemas_grow_by_appending_and_change_by_replacing(place: Place, format: Format) {
    let site = Site::new(place, format);
    let keeper = site.warehouse.table_format(format);
    let t = table("orders");
    let first = site.change(&run(1), "orders", Keep::Nothing, 0..3).await;
    keeper.commit(&first, None).await.unwrap();

    let mut wider = schema().fields().to_vec();
    wider.insert(0, Arc::new(Field::new("extra", DataType::Int32, true)));
    let mut append = site.change(&run(2), "orders", Keep::Everything, 3..4).await;
    append.schema = Arc::new(Schema::new(wider));
    keeper.commit(&append, Some(V0)).await.unwrap();
    let columns = |files: &crate::types::TableFiles| -> Vec<String> {
        files.schema.fields().iter().map(|field| field.name().clone()).collect()
    };
    let after = keeper.files(&t, V1).await.unwrap();
    assert_eq!(columns(&after), ["id", "name", "amount", "at", "extra"]);
    assert_eq!(columns(&keeper.files(&t, V0).await.unwrap()), ["id", "name", "amount", "at"]);

    let refused = |change: TableChange| {
        let keeper = keeper.clone();
        async move {
            let error = keeper.commit(&change, Some(V1)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data);
            error.causes().concat()
        }
    };
    let mut append = site.change(&run(3), "orders", Keep::Everything, 4..5).await;
    assert_eq!(refused(append.clone()).await, "the published column `extra` is missing");
    append.schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8View, true)]));
    assert_eq!(
        refused(append.clone()).await,
        "column `id` is published as `Int64` and came as `Utf8View`"
    );
    append.keep = Keep::Nothing;
    append.schema = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int32, true),
        Field::new("A", DataType::Int32, true),
    ]));
    assert_eq!(
        refused(append).await,
        "columns `a` and `A` differ in case only, which many readers can't tell apart"
    );
    assert_eq!(keeper.current(&t).await.unwrap(), Some(V1));

    let files: Vec<_> = after.files.iter().map(|file| file.url.clone()).collect();
    let text = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8View, true)]));
    let mut anew = change(&run(5), "orders", Keep::AllBut(files[..1].to_vec()), Vec::new());
    anew.schema = text.clone();
    assert_eq!(
        refused(anew.clone()).await,
        "column `id` is published as `Int64` and came as `Utf8View`",
        "the file that stays binds the columns"
    );
    anew.keep = Keep::AllBut(files);
    keeper.commit(&anew, Some(V1)).await.unwrap();
    assert_eq!(keeper.files(&t, Version(2)).await.unwrap().schema, text);

    let numbers = arrow::record_batch::RecordBatch::try_from_iter_with_nullable([
        ("id", batch(7..8)["id"].clone(), true),
        ("extra", Arc::new(Int32Array::from(vec![1])) as _, true),
    ])
    .unwrap();
    let staged = site.stage_batch("narrow", &numbers);
    let add = site.warehouse.place(&t, &run(4), vec![staged]).await.unwrap();
    let mut replace = change(&run(4), "orders", Keep::Nothing, add);
    replace.schema = numbers.schema();
    keeper.commit(&replace, Some(Version(2))).await.unwrap();
    let after = keeper.files(&t, Version(3)).await.unwrap();
    assert_eq!(
        (columns(&after), site.ids(&after).await),
        (vec!["id".into(), "extra".into()], vec![7])
    );
}

cases! {
    every_column_type_comes_back:
        disk_delta(Place::Disk, Format::Delta),
        disk_parquet(Place::Disk, Format::Parquet),
}

async fn every_column_type_comes_back(place: Place, format: Format) {
    let site = Site::new(place, format);
    let keeper = site.warehouse.table_format(format);
    let scalars = [
        ColumnType::Boolean,
        ColumnType::SmallInt,
        ColumnType::Integer,
        ColumnType::BigInt,
        ColumnType::Real,
        ColumnType::Double,
        ColumnType::Decimal(38, 10),
        ColumnType::Text,
        ColumnType::Binary,
        ColumnType::Date,
        ColumnType::Timestamp,
        ColumnType::TimestampNtz,
    ];
    let mut fields: Vec<Field> =
        scalars.iter().map(|column| Field::new(column.to_string(), column.arrow(), true)).collect();
    let element = Field::new("element", DataType::Timestamp(TimeUnit::Microsecond, None), true);
    let entries = DataType::Struct(
        vec![
            Field::new("key", DataType::Utf8View, false),
            Field::new("value", DataType::Int16, true),
        ]
        .into(),
    );
    fields.push(Field::new("list", DataType::List(Arc::new(element.clone())), true));
    fields.push(Field::new("struct", DataType::Struct(vec![element].into()), true));
    fields.push(Field::new(
        "map",
        DataType::Map(Arc::new(Field::new("key_value", entries, false)), false),
        true,
    ));
    let mut everything = change(&run(1), "types", Keep::Nothing, Vec::new());
    everything.schema = Arc::new(Schema::new(fields));
    everything.cause = Cause::Load(Mode::Replace);
    assert_eq!(keeper.check(&everything.schema), Ok(()));
    keeper.commit(&everything, None).await.unwrap();
    let files = keeper.files(&table("types"), V0).await.unwrap();
    assert_eq!(files.schema, everything.schema);
    assert_eq!(files.rows(), 0);
}
