use super::*;
use crate::{
    config::{Origin, Secret, SourceKind},
    extract::*,
    types::{Budget, ByteSize, TableName},
};
use arrow::{datatypes::Field, record_batch::RecordBatch};
use std::sync::{Arc, Mutex as StdMutex};
fn src(user: &str, port: u16, n: usize) -> PostgresSource {
    PostgresSource::new(&Connection {
        name: "shop".into(),
        kind: SourceKind::Postgres,
        url: Secret::new(format!("postgres://{user}@127.0.0.1:{port}/postgres?sslmode=disable")),
        connections: n,
        max_lag: Some(std::time::Duration::from_secs(60)),
        statement_timeout: Some(std::time::Duration::from_secs(60)),
        allow_primary: false,
        origin: Origin::start("l.yml", ""),
    })
    .unwrap()
}
fn show(e: &Error) -> String {
    format!("{:?} {}\n   {}\n   {:?}", e.kind(), e.what(), e.causes().join("\n   "), e.hints())
}
#[derive(Clone, Default)]
struct Kept(Arc<StdMutex<(Vec<RecordBatch>, Option<u64>)>>);
impl BatchSink for Kept {
    fn push(&mut self, b: RecordBatch) -> Result<()> {
        self.0.lock().unwrap().0.push(b);
        Ok(())
    }
    fn complete(self: Box<Self>, rows: u64) -> Result<()> {
        self.0.lock().unwrap().1 = Some(rows);
        Ok(())
    }
}
fn session() -> Session {
    Session { label: "longshore/dev/1".into(), budget: Budget::new(ByteSize::mib(64)) }
}
fn request(t: &SourceTable) -> TableRequest {
    TableRequest {
        into: TableName::new("s", &t.name),
        from: t.clone(),
        filter: None,
        columns: t
            .columns
            .iter()
            .filter_map(|c| {
                Some(ColumnRequest {
                    field: Arc::new(Field::new(&c.name, c.mapping.data_type()?.clone(), true)),
                    source: c.clone(),
                    cast: None,
                    mask: None,
                })
            })
            .collect(),
    }
}
async fn read_all(s: &dyn Snapshot, t: usize) -> Result<(usize, Vec<RecordBatch>)> {
    let mut all = vec![];
    for c in s.chunks(t) {
        let k = Kept::default();
        s.read(c, Box::new(k.clone())).await?;
        let (b, n) = std::mem::take(&mut *k.0.lock().unwrap());
        assert_eq!(n, Some(b.iter().map(|b| b.num_rows() as u64).sum()));
        all.extend(b);
    }
    Ok((all.iter().map(RecordBatch::num_rows).sum(), all))
}
fn pat(s: &str, t: &str) -> TablePattern {
    TablePattern { schema: Some(s.into()), table: t.into() }
}
#[tokio::test(flavor = "multi_thread")]
async fn preflights() {
    for (u, p) in [("etl", 54392), ("writer", 54392), ("postgres", 54391)] {
        let p = src(u, p, 3).preflight().await;
        match p {
            Ok(p) => println!("{u}: {p:#?}"),
            Err(e) => println!("{}", show(&e)),
        }
    }
    match src("nobody", 54392, 2).preflight().await {
        Ok(_) => {}
        Err(e) => println!("{}", show(&e)),
    }
    match src("etl", 1, 2).preflight().await {
        Ok(_) => {}
        Err(e) => println!("{}", show(&e)),
    }
}
#[tokio::test(flavor = "multi_thread")]
async fn reads() {
    let s = src("etl", 54392, 3);
    let tables = s.discover(&[pat("shop", "*")]).await.unwrap();
    for t in &tables {
        println!(
            "{} {:?} readable={} key={:?} rows={:?} bytes={:?}",
            t.display_name(),
            t.kind,
            t.readable,
            t.key,
            t.estimated_rows,
            t.estimated_bytes
        );
        for c in &t.columns {
            println!("    {} {} null={} {:?}", c.name, c.declared, c.nullable, c.mapping);
        }
    }
    let q = s.describe("q", "select id, total + 1 as t, 'x'::varchar(5) v, count(*) over () n from orders where id < 100 -- c ").await;
    println!("{:?}", q.as_ref().map_err(show).map(|_| ()));
    let q = s.describe("q", "select id, total, 'x'::varchar(5) v, count(*) over () n from shop.orders where id < 100; ").await.unwrap();
    println!("{q:#?}");
    for bad in [
        "select 1; select 2",
        "show all",
        "insert into shop.orders(id) values (1) returning id",
        "with x as (delete from shop.orders returning 1) select * from x",
        "select 1) to stdout; --",
        "explain select 1",
        "select * from shop.orders limit 1) union all (select 1",
        "copy shop.orders to stdout",
        "",
        "select $1::int",
    ] {
        match s.describe("q", bad).await {
            Ok(t) => println!("OK?? {bad} {:?}", t.columns.len()),
            Err(e) => println!("{bad}: {}", show(&e)),
        }
    }
    let mut reqs: Vec<_> =
        tables.iter().filter(|t| t.readable && t.name != "unlogged").map(request).collect();
    reqs.push(request(&q));
    let snap = s.open(&reqs, &session()).await.map_err(|e| println!("{}", show(&e))).unwrap();
    println!("{:?}", snap.position());
    for (i, r) in reqs.iter().enumerate() {
        match read_all(snap.as_ref(), i).await {
            Ok((n, b)) => {
                println!("{} chunks={} rows={n}", r.from.display_name(), snap.chunks(i).len());
                if let Some(b) = b.first() {
                    println!(
                        "{}",
                        arrow::util::pretty::pretty_format_batches(&[b.slice(0, 1)]).unwrap()
                    );
                }
            }
            Err(e) => println!("{}", show(&e)),
        }
    }
    snap.close().await.unwrap();
    let un = tables.iter().find(|t| t.name == "unlogged").unwrap();
    match s.open(&[request(un)], &session()).await {
        Ok(_) => println!("??"),
        Err(e) => println!("{}", show(&e)),
    }
    let orders = tables.iter().find(|t| t.name == "orders").unwrap();
    for f in [
        "id <= 10 -- x",
        "id < 5) or (true",
        "id < 5 limit 1",
        "id<5; select 1",
        "id < 5 order by id",
        "nope = 1",
        "",
    ] {
        let mut r = request(orders);
        r.filter = Some(f.into());
        match s.open(&[r], &session()).await {
            Ok(sn) => println!(
                "{f}: {:?}",
                read_all(sn.as_ref(), 0).await.map(|x| x.0).map_err(|e| show(&e))
            ),
            Err(e) => println!("{f}: {}", show(&e)),
        }
    }
}
#[tokio::test(flavor = "multi_thread")]
async fn given_up() {
    let s = src("etl", 54392, 2);
    let t = s.describe("slow", "select pg_sleep(30)::text as s, 1 as a").await.unwrap();
    let o = s.describe("few", "select 1 as a").await.unwrap();
    let snap = s
        .open(&[request(&t), request(&o)], &session())
        .await
        .map_err(|e| println!("{}", show(&e)))
        .unwrap();
    let k = Kept::default();
    assert!(
        tokio::time::timeout(
            std::time::Duration::from_millis(500),
            snap.read(&snap.chunks(0)[0], Box::new(k.clone()))
        )
        .await
        .is_err()
    );
    let t0 = std::time::Instant::now();
    println!(
        "{:?} {:?}",
        read_all(snap.as_ref(), 1).await.map(|x| x.0).map_err(|e| show(&e)),
        t0.elapsed()
    );
    snap.close().await.map_err(|e| println!("{}", show(&e))).unwrap();
}
