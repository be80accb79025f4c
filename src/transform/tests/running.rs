//! Running models over files: values, memory, failures, and what dropping does.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{Int64Array, RecordBatch, StringViewArray},
    datatypes::{DataType, Field, Schema},
};
use futures::StreamExt as _;
use object_store::{ObjectStoreExt as _, memory::InMemory};

use super::workspace::{Workspace, as_they_are, rendered};
use crate::{
    error::ErrorKind,
    transform::{Engine, EngineOptions},
    types::{Bound, ByteSize, ColumnStats, TableFiles},
};

#[tokio::test]
async fn models_run_over_files() {
    let mut space = Workspace::new();
    space.table("shop.orders", "select * from (values (1, 10.5), (2, 4.5)) as t(id, total)").await;
    space.table("shop.orders", "select * from (values (3, 1.0)) as t(id, total)").await;
    space
        .run(&[
            ("mart/total.sql", "select count(*) as orders, sum(total) as total from nightly.big"),
            ("big.sql", "select * from shop.orders where total > 2"),
        ])
        .await
        .unwrap();
    insta::assert_snapshot!(space.ask("select * from mart.total").await.unwrap(), @"
    +--------+-------+
    | orders | total |
    +--------+-------+
    | 2      | 15.0  |
    +--------+-------+
    ");
    insta::assert_snapshot!(space.ask("select count(*) as n from shop.orders").await.unwrap(), @"
    +---+
    | n |
    +---+
    | 3 |
    +---+
    ");
}

#[tokio::test]
async fn a_column_that_an_old_file_lacks_is_null_there() {
    let mut space = Workspace::new();
    space.table("shop.orders", "select 1 as id").await;
    let new = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("note", DataType::Utf8View, true),
    ]));
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![2])), Arc::new(StringViewArray::from(vec!["new"]))];
    let batch = RecordBatch::try_new(Arc::clone(&new), columns).unwrap();
    space.file("shop.orders", &new, &[batch]);
    space.tables.get_mut(&"shop.orders".parse().unwrap()).unwrap().schema = new;
    let rows = space.ask("select * from shop.orders where id < 9 order by id").await.unwrap();
    insta::assert_snapshot!(rows, @"
    +----+------+
    | id | note |
    +----+------+
    | 1  |      |
    | 2  | new  |
    +----+------+
    ");
}

#[tokio::test]
async fn an_empty_table_has_no_rows_and_all_columns() {
    let mut space = Workspace::new();
    space.table("shop.orders", "select 1 as id").await;
    let table = "shop.orders".parse().unwrap();
    let schema = Arc::clone(&space.tables[&table].schema);
    space.tables.insert(table, TableFiles::empty(schema));
    let rows = space.ask("select count(*) as n, max(id) as m from shop.orders").await.unwrap();
    insta::assert_snapshot!(rows, @"
    +---+---+
    | n | m |
    +---+---+
    | 0 |   |
    +---+---+
    ");
}

#[tokio::test]
async fn bounds_guide_the_planner_and_never_answer() {
    let mut space = Workspace::new();
    space.table("shop.orders", "select * from (values (3), (null), (5)) as t(id)").await;
    let table = space.tables.get_mut(&"shop.orders".parse().unwrap()).unwrap();
    // Wider than the values, as bounds may be.
    table.files[0].columns = vec![ColumnStats {
        name: "id".into(),
        nulls: Some(1),
        min: Some(Bound::Integer(0)),
        max: Some(Bound::Integer(99)),
    }];
    let sql = "select min(id) as a, max(id) as b, count(id) as c, count(*) as d from orders";
    insta::assert_snapshot!(space.ask(sql).await.unwrap(), @"
    +---+---+---+---+
    | a | b | c | d |
    +---+---+---+---+
    | 3 | 5 | 2 | 3 |
    +---+---+---+---+
    ");
    let plan = space.ask("explain select count(*) as d, count(id) as c from orders").await.unwrap();
    assert!(!plan.contains("DataSourceExec"), "{plan}");
}

#[tokio::test]
async fn filters_and_projections_reach_the_files() {
    let mut space = Workspace::new();
    space.table("shop.orders", "select 1 as id, 2 as b, 3 as c").await;
    let plan = space.ask("explain format indent select b from orders where id = 7").await.unwrap();
    let scan = plan.lines().find(|line| line.contains("DataSourceExec")).unwrap();
    assert!(scan.contains("projection=[b]") && scan.contains("predicate=id@0 = 7"), "{plan}");
    assert!(!plan.contains("FilterExec"), "{plan}");
}

#[tokio::test]
async fn now_is_one_moment_for_all_models_and_fits_its_type() {
    let mut space = Workspace::new();
    space.run(&[("a.sql", "select now() as at"), ("b.sql", "select now() as at")]).await.unwrap();
    let same = "select a.at = b.at as same, arrow_typeof(a.at) as type from nightly.a, nightly.b";
    insta::assert_snapshot!(space.ask(same).await.unwrap(), @r#"
    +------+----------------------+
    | same | type                 |
    +------+----------------------+
    | true | Timestamp(µs, "UTC") |
    +------+----------------------+
    "#);
}

#[tokio::test]
async fn values_that_do_not_fit_are_errors_without_the_value() {
    let cases = [
        "select to_timestamp_nanos(1234567) as at",
        "select cast(t.n as bigint unsigned) + cast(t.n as bigint unsigned) as n from (values (9223372036854775807)) as t(n)",
        "select cast(t.s as int) as n from (values ('secret')) as t(s)",
        "select 1 / t.n as x from (values (0)) as t(n)",
        "select cast(t.n as decimal(3, 2)) as x from (values (1234)) as t(n)",
        "select arrow_cast(t.s, 'Timestamp(us)') as x from (values ('secret')) as t(s)",
        "select repeat(t.s, -1) as x, to_date(t.s) as y from (values ('secret')) as t(s)",
    ];
    let mut told = Vec::new();
    for sql in cases {
        let mut space = Workspace::new();
        // Read from a file, so that nothing can be computed while planning.
        let (select, values) = sql.split_once(" from ").unwrap_or((sql, "(values (1)) as t(n)"));
        space.table("shop.t", &format!("select * from {values}")).await;
        let model = format!("{select} from shop.t as t");
        let error = space.run(&[("m.sql", model.as_str())]).await.expect_err(sql);
        let text = rendered(&error);
        assert!(!text.contains("secret") && !text.contains("1234"), "{text}");
        told.push(text);
    }
    insta::assert_snapshot!(told.join("\n\n"), @"
    data: model `nightly.m` (sql/nightly/m.sql) stopped
      caused by: column `at` cannot be stored
      caused by: a time is finer than microseconds, which tables store
       hint: say what to drop: `date_trunc('microsecond', at)` or `cast(… as date)`

    data: model `nightly.m` (sql/nightly/m.sql) stopped
      caused by: column `n` cannot be stored
      caused by: a value of type `UInt64` does not fit `Int64`
       hint: cast `n` to a wider type, such as decimal(38,0)

    data: model `nightly.m` (sql/nightly/m.sql) stopped
      caused by: a value does not fit the type `Int32`
       hint: where NULL will do instead, write `try_cast(… as …)`

    data: model `nightly.m` (sql/nightly/m.sql) stopped
      caused by: a division by zero
       hint: make the divisor NULL where it is zero: `nullif(divisor, 0)`

    data: model `nightly.m` (sql/nightly/m.sql) stopped
      caused by: a value does not fit the type `Decimal128`
       hint: where NULL will do instead, write `try_cast(… as …)`

    data: model `nightly.m` (sql/nightly/m.sql) stopped
      caused by: a value does not fit the type `timestamp`
       hint: where NULL will do instead, write `try_cast(… as …)`

    data: model `nightly.m` (sql/nightly/m.sql) stopped
      caused by: a value does not fit the type `Date32`
       hint: where NULL will do instead, write `try_cast(… as …)`
    ");
}

#[tokio::test]
async fn integers_never_wrap() {
    let mut space = Workspace::new();
    let values =
        "(values (9223372036854775807, 1, 'a'), (1, 2, 'b'), (null, 3, 'a')) as t(n, k, g)";
    space.table("shop.t", &format!("select * from {values}")).await;
    for sql in [
        "select n + 1 as x from t",
        "select -1 - n - 1 as x from t",
        "select n * 2 as x from t",
        "select k from t where n + 1 > 0",
        "select k, count(*) as x from t group by k, n + 1",
        "select sum(n) as x from t",
        "select sum(n) over (order by k) as x from t",
        "select sum(n) over (order by k rows between 1 preceding and current row) as x from t",
        "select sum(u) as x from (select arrow_cast(n, 'UInt64') + arrow_cast(n, 'UInt64') as u from t)",
        "select sum(cast('99999999999999999999999999999999999999' as decimal(38, 0))) as x from t",
        "select sum(n + 0) as x from t group by k % 1",
        "select a.k from t as a where exists (select 1 from t as b where b.n + a.k > 5)",
    ] {
        let error = space.ask(sql).await.expect_err(sql);
        assert_eq!(error.kind(), ErrorKind::Data, "{sql}: {}", rendered(&error));
        assert!(!rendered(&error).contains("922337"), "{}", rendered(&error));
    }
}

#[tokio::test]
async fn sums_that_fit_are_sums() {
    let mut space = Workspace::new();
    space
        .table("shop.t", "select value as n, value % 3 as g from generate_series(1, 100000)")
        .await;
    space.table("shop.t", "select cast(null as bigint) as n, 9 as g").await;
    let sql = "select g, sum(n) as s, sum(n) filter (where n % 2 = 0) as even, sum(distinct n % 5) as d, \
               sum(cast(n as decimal(10, 2)) - 1) as c, sum(cast(n as int) + 1) as i, \
               sum(arrow_cast(n, 'UInt64')) as u, sum(n * 0.5) as f \
               from t group by g order by g";
    insta::assert_snapshot!(space.ask(sql).await.unwrap(), @"
    +---+------------+-----------+----+---------------+------------+------------+-------------+
    | g | s          | even      | d  | c             | i          | u          | f           |
    +---+------------+-----------+----+---------------+------------+------------+-------------+
    | 0 | 1666683333 | 833316666 | 10 | 1666650000.00 | 1666716666 | 1666683333 | 833341666.5 |
    | 1 | 1666716667 | 833383334 | 10 | 1666683333.00 | 1666750001 | 1666716667 | 833358333.5 |
    | 2 | 1666650000 | 833350000 | 10 | 1666616667.00 | 1666683333 | 1666650000 | 833325000.0 |
    | 9 |            |           |    |               |            |            |             |
    +---+------------+-----------+----+---------------+------------+------------+-------------+
    ");
    // More groups than rows are worth aggregating first.
    let sql =
        "select count(*) as groups, sum(s) as total from (select n, sum(n) as s from t group by n)";
    insta::assert_snapshot!(space.ask(sql).await.unwrap(), @"
    +--------+------------+
    | groups | total      |
    +--------+------------+
    | 100001 | 5000050000 |
    +--------+------------+
    ");
    let sql = "select n, sum(n) over (order by n rows between 1 preceding and current row) as w \
               from t where n < 5 order by n";
    insta::assert_snapshot!(space.ask(sql).await.unwrap(), @"
    +---+---+
    | n | w |
    +---+---+
    | 1 | 1 |
    | 2 | 3 |
    | 3 | 5 |
    | 4 | 7 |
    +---+---+
    ");
    insta::assert_snapshot!(space.ask("select sum(n) as s from t where n < 0").await.unwrap(), @"
    +---+
    | s |
    +---+
    |   |
    +---+
    ");
}

/// About 45 MB of text in an order that a sort has to change.
fn large(memory: ByteSize) -> Workspace {
    let mut space = Workspace::with_memory(memory);
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("text", DataType::Utf8View, true),
    ]));
    let batches: Vec<_> = (0..30_i64)
        .map(|batch| {
            let ids: Vec<i64> =
                (0..5_000).map(|row| (row * 7_919 + batch * 31) % 100_003).collect();
            let texts = ids.iter().map(|id| Some(format!("{id:0300}")));
            let columns: Vec<arrow::array::ArrayRef> = vec![
                Arc::new(Int64Array::from(ids.clone())),
                Arc::new(texts.collect::<StringViewArray>()),
            ];
            RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
        })
        .collect();
    space.file("shop.large", &schema, &batches);
    space
}

const SORT: &str = "select id, text from shop.large order by text, id";

#[tokio::test]
async fn a_sort_larger_than_memory_spills() {
    let space = large(ByteSize::mib(24));
    let models = space.models(&[("sorted.sql", SORT)]).unwrap();
    let planned = space.engine.plan_models(&models, &space.schemas(), as_they_are).await.unwrap();
    let mut running = space.engine.run_model(&planned[0], &space.tables).await.unwrap();
    let spill = space.root.path().join("spill");
    let (mut rows, mut last, mut spilled) = (0, i64::MIN, 0);
    for stream in &mut running.streams {
        while let Some(batch) = stream.next().await {
            let batch = batch.unwrap();
            let ids = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values();
            assert!(ids.is_sorted() && ids[0] >= last);
            last = ids[ids.len() - 1];
            rows += batch.num_rows();
            if spilled == 0 {
                spilled = std::fs::read_dir(&spill)
                    .unwrap()
                    .flat_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap())
                    .count();
            }
        }
    }
    assert_eq!(rows, 150_000);
    assert!(spilled > 0, "nothing was spilled");
}

#[tokio::test]
async fn too_little_memory_is_told_as_such() {
    let space = large(ByteSize::mib(2));
    let models = space.models(&[("sorted.sql", SORT)]).unwrap();
    let planned = space.engine.plan_models(&models, &space.schemas(), as_they_are).await.unwrap();
    let running = space.engine.run_model(&planned[0], &space.tables).await.unwrap();
    let mut errors = Vec::new();
    for stream in running.streams {
        errors.extend(stream.collect::<Vec<_>>().await.into_iter().filter_map(Result::err));
    }
    assert_eq!(errors[0].kind(), ErrorKind::Memory);
    insta::assert_snapshot!(rendered(&errors[0]), @"
    memory: model `nightly.sorted` (sql/nightly/sorted.sql) stopped
      caused by: it needs more memory than the 2 MiB that queries may use
       hint: raise `memory` in longshore.yml, or join and sort less at once
    ");
}

#[tokio::test]
async fn a_taker_that_stops_stops_the_work() {
    let space = Workspace::new();
    let endless =
        "with recursive n as (select 1 as a union all select a + 1 from n) select a from n";
    let mut stream = space.engine.query(endless, &space.tables).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    let busy = || space.engine.handle().metrics().num_alive_tasks();
    assert!(busy() > 0);
    drop(stream);
    for _ in 0..200 {
        if busy() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} tasks still run", busy());
}

#[test]
fn batches_can_be_taken_on_a_thread_that_blocks() {
    let space = Workspace::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let sql = "select value from generate_series(1, 20000)";
    let mut stream = runtime.block_on(space.engine.query(sql, &space.tables)).unwrap();
    let mut rows = 0;
    while let Some(batch) = stream.blocking_next() {
        rows += batch.unwrap().num_rows();
    }
    assert_eq!(rows, 20_000);
}

#[tokio::test]
async fn an_engine_that_goes_away_is_an_error_not_an_end() {
    let space = Workspace::new();
    let sql = "select a.value from generate_series(1, 100000) as a, generate_series(1, 1000) as b";
    let stream = space.engine.query(sql, &space.tables).await.unwrap();
    drop(space);
    let last = stream.collect::<Vec<_>>().await.pop().unwrap();
    let error = last.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "{}", rendered(&error));
}

#[tokio::test]
async fn one_table_may_lie_in_several_stores() {
    let mut space = Workspace::new();
    space.table("shop.orders", "select 1 as id").await;
    space.table("shop.orders", "select 2 as id").await;
    let table = "shop.orders".parse().unwrap();
    let moved = &mut space.tables.get_mut(&table).unwrap().files[1];
    let bytes = std::fs::read(moved.url.to_file_path().unwrap()).unwrap();
    let store = Arc::new(InMemory::new());
    store.put(&"some prefix/b.parquet".into(), bytes.into()).await.unwrap();
    moved.url = "memory://bucket/some%20prefix/b.parquet".parse().unwrap();
    let error = space.ask("select * from orders").await.unwrap_err();
    assert!(error.to_string().contains("no object store serves `memory://bucket/`"), "{error}");

    space.engine = Engine::new(EngineOptions {
        memory: ByteSize::mib(64),
        spill_dir: space.root.path().join("spill"),
        threads: 3,
        stores: vec![("memory://bucket/some%20prefix/".parse().unwrap(), store)],
    })
    .unwrap();
    let sum = space.ask("select count(*) as n, sum(id) as s, min(id) as low from orders").await;
    insta::assert_snapshot!(sum.unwrap(), @"
    +---+---+-----+
    | n | s | low |
    +---+---+-----+
    | 2 | 3 | 1   |
    +---+---+-----+
    ");
}

#[tokio::test]
async fn a_file_that_is_gone_is_told_as_storage() {
    let mut space = Workspace::new();
    space.table("shop.orders", "select 1 as id").await;
    let files = space.tables.get_mut(&"shop.orders".parse().unwrap()).unwrap();
    std::fs::remove_file(files.files[0].url.to_file_path().unwrap()).unwrap();
    let error = space.run(&[("m.sql", "select id from shop.orders")]).await.unwrap_err();
    assert_eq!((error.kind(), error.kind().policy().retry), (ErrorKind::Storage, true));
}
