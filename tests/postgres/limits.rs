//! What a run may cost its source, and when it may: each ceiling kept, and told when it stops a run.

use std::time::{Duration, Instant};

use super::guest::with_url;
use crate::harness::{
    postgres::{self, Cluster, Database, OWNER, READER, cluster},
    wait,
    workspace::Workspace,
};

/// A filter that all rows pass, one of them after three seconds.
const SLOWLY: &str = "id <> 777 or pg_sleep(3) is not null";

/// One pipeline, `load`, that reads `public.t` of `database` under `limits` (YAML).
fn project(database: &Database<'_>, limits: &str, filter: &str) -> Workspace {
    let workspace = with_url(database.url(), limits);
    workspace.write(
        "pipelines/load.yml",
        format!(
            "extract:\n  - from: source\n    tables:\n      \
             - {{table: public.t, where: \"{filter}\"}}\n"
        ),
    );
    workspace
}

async fn rows(database: &Database<'_>, rows: u32) {
    database
        .load(&format!(
            "create table t (id int primary key, pad text);
             insert into t select i, md5(i::text) from generate_series(1, {rows}) i;"
        ))
        .await;
}

fn published_rows(workspace: &Workspace) -> String {
    let query = "select count(*) as n, count(distinct id) as d from source.t";
    workspace.run(&["sql", "--format", "csv", query]).succeeded().stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_bytes_a_second_are_kept_by_all_connections_together() {
    let database = cluster().database("paced").await;
    // About 45 bytes a row on the wire.
    rows(&database, 60_000).await;
    for (limit, seconds) in [("max_rows_per_second: 20000", 3), ("max_bytes_per_second: 1MB", 2)] {
        let workspace = project(&database, &format!(", connections: 4, {limit}"), "true");
        let since = Instant::now();
        workspace.run(&["run", "load"]).succeeded();
        assert!(since.elapsed() >= Duration::from_secs(seconds), "{limit}: {:?}", since.elapsed());
        assert_eq!(published_rows(&workspace), "n,d\n60000,60000\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_a_lock_and_a_snapshot_are_not_held_for_longer_than_allowed() {
    let database = cluster().database("held").await;
    rows(&database, 2_000).await;
    for (limit, expected) in [
        ("statement_timeout: 1s", "raise the connection's `statement_timeout`"),
        ("max_transaction_age: 1s", "the snapshot of `source` was held for 1 s"),
    ] {
        let workspace = project(&database, &format!(", {limit}"), SLOWLY);
        let outcome = workspace.run(&["run", "load"]).failed_with(1);
        assert!(outcome.stderr.contains(expected), "{outcome}");
        assert!(outcome.stderr.contains("the warehouse is still empty"), "{outcome}");
    }
    // Another session of the standby can't lock the table against us, but replay of the primary's
    // lock does.
    let mut alter = postgres::connect(&database.primary_url(OWNER)).await.unwrap();
    sqlx::raw_sql("begin; lock table t in access exclusive mode; select pg_switch_wal()")
        .execute(&mut alter)
        .await
        .unwrap();
    let locked = "select 'locked' from pg_locks where mode = 'AccessExclusiveLock' limit 1";
    let url = database.standby_url(OWNER);
    wait::until_async("the lock to be replayed", Duration::from_secs(20), async || {
        postgres::text(&url, locked).await.ok()
    })
    .await;
    let workspace = project(&database, ", lock_timeout: 100ms", "true");
    let running = workspace.spawn(&["run", "load"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    sqlx::raw_sql("commit").execute(&mut alter).await.unwrap();
    let outcome = running.finish().succeeded();
    assert!(outcome.stderr.contains("no view of `source` yet"), "{outcome}");
    assert!(outcome.stderr.contains("lock timeout"), "{outcome}");
    assert_eq!(published_rows(&workspace), "n,d\n2000,2000\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_is_closed_or_closes_stops_the_read() {
    let database = cluster().database("window").await;
    rows(&database, 2_000).await;
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let clock = |minutes: i64| {
        let at = now.checked_add(jiff::SignedDuration::from_mins(minutes)).unwrap();
        at.strftime("%H:%M").to_string()
    };
    let window =
        |from, until| format!(", window: '{}-{}', timezone: UTC", clock(from), clock(until));
    let closed = project(&database, &window(120, 180), "true");
    let outcome = closed.run(&["run", "load"]).failed_with(1);
    assert!(outcome.stderr.contains("`source` may not be read now"), "{outcome}");
    assert!(outcome.stderr.contains("it opens at"), "{outcome}");
    // What looks at catalogs alone may at any time, and says when more may.
    let outcome = closed.run(&["check", "load"]).succeeded();
    assert!(outcome.stdout.contains("may not be read before"), "{outcome}");
    closed.run(&["check", "load", "--values"]).failed_with(1);

    let closing = project(&database, &window(-60, 1), "id <> 777 or pg_sleep(600) is not null");
    let outcome = closing.run(&["run", "load"]).failed_with(1);
    assert!(outcome.stderr.contains("the window of `source`"), "{outcome}");
    assert!(outcome.stderr.contains("0 of 1 tables had been read whole"), "{outcome}");
    assert!(outcome.stderr.contains("the warehouse is still empty"), "{outcome}");
    let gone = "select 'gone' where not exists (select from pg_stat_activity
        where datname = 'window' and application_name like 'longshore/%')";
    let url = database.standby_url(OWNER);
    wait::until_async("our sessions to end", Duration::from_secs(20), async || {
        postgres::text(&url, gone).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_pauses_while_others_are_busy() {
    let database = cluster().database("busy").await;
    rows(&database, 60_000).await;
    let unseen = project(&database, ", max_active_sessions: 1000", "true");
    let outcome = unseen.run(&["run", "load"]).failed_with(1);
    assert!(outcome.stderr.contains("GRANT pg_read_all_stats TO \"reader\""), "{outcome}");

    database
        .load(&format!(
            "create role watcher login password '{}'; grant usage on schema public to watcher;
             grant select on all tables in schema public to watcher;
             grant pg_read_all_stats to watcher;",
            postgres::PASSWORD
        ))
        .await;
    let others = "select count(*)::text from pg_stat_activity where backend_type = 'client backend'
        and state = 'active' and pid <> pg_backend_pid()";
    // Other tests are at work on the same server; they are borne.
    let usual: u32 = database.standby_text(others).await.parse().unwrap();
    let limit = usual + 30;
    let mut workspace =
        project(&database, &format!(", max_active_sessions: {limit}, max_wait: 2m"), "true");
    workspace.set("SOURCE_URL", database.standby_url("watcher"));
    let sleepers: Vec<_> = (0..=limit)
        .map(|_| {
            let url = database.standby_url(OWNER);
            tokio::spawn(async move { postgres::text(&url, "select pg_sleep(60)::text").await })
        })
        .collect();
    wait::until_async("the sleepers", Duration::from_secs(30), async || {
        let active: u32 = database.standby_text(others).await.parse().unwrap();
        (active > limit).then_some(())
    })
    .await;
    let mut running = workspace.spawn(&["run", "load"]);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!running.has_ended());
    let wake = "select count(pg_terminate_backend(pid))::text from pg_stat_activity
        where query like 'select pg_sleep(60)%' and pid <> pg_backend_pid()";
    database.standby_text(wake).await;
    let outcome = running.finish().succeeded();
    assert!(outcome.stderr.contains("waiting for `source`, 120 s at most"), "{outcome}");
    assert!(outcome.stderr.contains("sessions of others are active"), "{outcome}");
    assert_eq!(published_rows(&workspace), "n,d\n60000,60000\n");
    for sleeper in sleepers {
        sleeper.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_behind_is_waited_for_and_then_refused() {
    let own = Cluster::start(&[]);
    let database = own.database("behind").await;
    // In several chunks, so that there is a time between two of them.
    database
        .load(
            "create table t (id int primary key, pad text);
             insert into t select i, repeat(md5(i::text), 20) from generate_series(1, 90000) i;",
        )
        .await;
    let lag = |wait| format!(", connections: 3, max_lag: 1s, max_wait: {wait}");
    database.standby_text("select pg_wal_replay_pause()::text").await;
    own.primary_sql("behind", "create table more as select 1 as id").await;
    tokio::time::sleep(Duration::from_secs(3)).await;

    let outcome = project(&database, &lag("1s"), "true").run(&["run", "load"]).failed_with(1);
    assert!(outcome.stderr.contains("seconds behind; the limit is 1"), "{outcome}");
    assert!(outcome.stderr.contains("max_lag"), "{outcome}");

    let patient = project(&database, &lag("1m"), "true");
    let mut running = patient.spawn(&["run", "load"]);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!running.has_ended());
    database.standby_text("select pg_wal_replay_resume()::text").await;
    let outcome = running.finish().succeeded();
    assert!(outcome.stderr.contains("waiting for `source`, 60 s at most"), "{outcome}");
    assert_eq!(published_rows(&patient), "n,d\n90000,90000\n");

    // Behind in the midst of the read: no further chunk begins.
    let each_chunk_slowly = "id % 9000 <> 777 or pg_sleep(2) is not null";
    let midst = project(&database, &lag("1m"), each_chunk_slowly);
    let running = midst.spawn(&["run", "load"]);
    let sleeping = format!(
        "select pid::text from pg_stat_activity
         where wait_event = 'PgSleep' and usename = '{READER}' limit 1"
    );
    let url = database.standby_url(OWNER);
    wait::until_async("a slow chunk", Duration::from_mins(1), async || {
        postgres::text(&url, &sleeping).await.ok()
    })
    .await;
    database.standby_text("select pg_wal_replay_pause()::text").await;
    own.primary_sql("behind", "create table yet_more as select 1 as id").await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    database.standby_text("select pg_wal_replay_resume()::text").await;
    let outcome = running.finish().succeeded();
    assert!(outcome.stderr.contains("reading `source` pauses: the standby is"), "{outcome}");
    assert!(outcome.stderr.contains("`source` is read again"), "{outcome}");
    assert_eq!(published_rows(&midst), "n,d\n90000,90000\n");
}
