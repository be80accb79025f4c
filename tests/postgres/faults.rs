//! A connection that breaks at any byte, and a server that freezes, restarts or changes under a
//! read: the published table is the source's, or the warehouse is as it was and the reason is told.
//!
//! `LONGSHORE_SWEEP=full` breaks connections at many more places than the usual few.

use std::time::Duration;

use super::losses::{assert_whole, project};
use crate::harness::{
    postgres::{self, Cluster, Database, OWNER, cluster},
    proxy::{Fault, Proxy},
    wait,
    workspace::{Outcome, Workspace},
};

/// About 8 MB in one chunk.
const ROWS: &str = "
    create table t (id int primary key, pad text, amount numeric(12,2));
    insert into t select i, repeat(md5(i::text), 6), i / 7.0 from generate_series(1, 30000) i;";

/// After how many bytes of answers connections break: in the login, in the looks at the catalog,
/// while the view is set up, at the beginning of a COPY, in it, and near its end.
fn places() -> Vec<u64> {
    if std::env::var("LONGSHORE_SWEEP").is_ok_and(|sweep| sweep == "full") {
        let mut places: Vec<u64> = (0..60).map(|step| 1.3_f64.powi(step) as u64).collect();
        places.retain(|place| *place < 7_000_000);
        places.dedup();
        return places;
    }
    vec![0, 20, 300, 900, 2_500, 6_000, 20_000, 400_000, 5_000_000]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_closes_or_is_reset_at_any_byte_costs_time_only() {
    let database = cluster().database("broken").await;
    database.load(ROWS).await;
    let proxy = Proxy::start(cluster().standby_port());
    let workspace = project(&proxy.lead(&database.url()), 3, "true");
    for after in places() {
        for fault in [Fault::Close { after }, Fault::Reset { after }] {
            proxy.inject(fault.clone(), 1);
            let outcome = workspace.run(&["run", "load", "--json"]).succeeded();
            assert_eq!(proxy.pending(), 0, "{fault:?} was met");
            assert_whole(&database, &workspace, &outcome);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_stalls_is_noticed_and_replaced() {
    let database = cluster().database("stalled").await;
    database.load(ROWS).await;
    let proxy = Proxy::start(cluster().standby_port());
    let workspace = project(&proxy.lead(&database.url()), 3, "true");
    // In the login, in a look at the catalog, in a COPY, and in the last of it.
    for after in [100, 3_000, 400_000, 6_500_000] {
        proxy.inject(Fault::Stall { after }, 1);
        let outcome = workspace.run(&["run", "load", "--json"]).succeeded();
        assert_eq!(proxy.pending(), 0, "the stall after {after} bytes was met");
        assert_whole(&database, &workspace, &outcome);
        if after > 100_000 {
            assert!(outcome.stderr.contains("the connection stalled"), "{outcome}");
        }
    }
    // A server that works silently is not taken for a stalled connection.
    let slow = project(&database.url(), 3, "id <> 777 or pg_sleep(17) is not null");
    let outcome = slow.run(&["run", "load", "--json"]).succeeded();
    assert!(!outcome.stderr.contains("stalled"), "{outcome}");
    assert_whole(&database, &slow, &outcome);
}

/// A run in whose midst, while it reads slowly, something happens.
async fn run_while(
    database: &Database<'_>,
    workspace: &Workspace,
    happens: impl AsyncFnOnce(),
) -> Outcome {
    let running = workspace.spawn(&["run", "load", "--json"]);
    let sleeping = format!(
        "select pid::text from pg_stat_activity
         where wait_event = 'PgSleep' and query like 'COPY%' and datname = '{}' limit 1",
        database.name
    );
    let url = database.standby_url(OWNER);
    wait::until_async("a slow chunk", Duration::from_mins(1), async || {
        postgres::text(&url, &sleeping).await.ok()
    })
    .await;
    happens().await;
    running.finish()
}

const SLOWLY: &str = "id <> 777 or pg_sleep(4) is not null";

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_freezes_or_restarts_is_read_anew() {
    let own = Cluster::start(&[]);
    let database = own.database("frozen").await;
    database.load(ROWS).await;
    let workspace = project(&database.url(), 3, SLOWLY);
    let outcome = run_while(&database, &workspace, async || {
        own.freeze_standby();
        tokio::time::sleep(Duration::from_secs(8)).await;
        own.thaw_standby();
    })
    .await
    .succeeded();
    assert_whole(&database, &workspace, &outcome);

    let outcome = run_while(&database, &workspace, async || own.restart_standby()).await;
    let outcome = outcome.succeeded();
    assert!(outcome.stderr.contains("reads 1 table anew"), "{outcome}");
    assert_whole(&database, &workspace, &outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_on_the_primary_is_seen_whole_or_refused_by_name() {
    let own = Cluster::start(&["hot_standby_feedback=off", "max_standby_streaming_delay=1s"]);
    let database = own.database("changing").await;
    database.load(ROWS).await;
    database.load("create table dead as select generate_series(1, 1000) as id").await;
    let workspace = project(&database.url(), 3, SLOWLY);
    let happens = async |sql: &[&str]| {
        for sql in sql {
            own.primary_sql("changing", sql).await;
        }
    };

    let vacuum = ["delete from dead", "vacuum dead"];
    let outcome = run_while(&database, &workspace, async || happens(&vacuum).await).await;
    let outcome = outcome.succeeded();
    assert!(outcome.stderr.contains("reads 1 table anew"), "{outcome}");
    assert!(outcome.stderr.contains("conflict with recovery"), "{outcome}");
    assert_whole(&database, &workspace, &outcome);

    // A new column is not of this run; the next one takes it.
    let add = ["alter table t add column late int default 7"];
    let outcome = run_while(&database, &workspace, async || happens(&add).await).await;
    let outcome = outcome.succeeded();
    assert!(outcome.stderr.contains("reads 1 table anew"), "{outcome}");
    workspace.run(&["run", "load", "--json"]).succeeded();
    let generation = workspace.run(&["tables", "--json"]).succeeded().stdout;

    for (change, expected) in [
        ("alter table t alter column id type bigint", "column `id` is no longer `integer`"),
        ("alter table t drop column pad", "pad"),
        ("drop table t", "it is gone"),
    ] {
        let outcome = run_while(&database, &workspace, async || happens(&[change]).await)
            .await
            .failed_with(1);
        assert!(outcome.stderr.contains(expected), "{change}: {outcome}");
        assert!(outcome.stderr.contains("the warehouse is unchanged at generation"), "{outcome}");
        assert!(outcome.stderr.contains("hint:"), "{outcome}");
        let now = workspace.run(&["tables", "--json"]).succeeded().stdout;
        assert_eq!(now, generation, "{change}");
        database.load(&format!("drop table if exists t; {ROWS} alter table t add late int")).await;
    }

    // A table that is emptied meanwhile is read as it was, or as it is: never in between.
    let truncate = ["truncate t"];
    let outcome = run_while(&database, &workspace, async || happens(&truncate).await).await;
    let outcome = outcome.succeeded();
    assert!(outcome.stderr.contains("reads 1 table anew"), "{outcome}");
    let query = "select count(*) as n from shop.t";
    let rows = workspace.run(&["sql", "--format", "csv", query]).succeeded().stdout;
    assert_eq!(rows, "n\n0\n", "{outcome}");
}
