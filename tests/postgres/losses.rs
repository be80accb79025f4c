//! Connections lost in the midst of a read: nothing is missing, nothing is there twice, and what
//! can't go on says so.

use std::time::Duration;

use crate::harness::{
    postgres::{self, Cluster, Database, OWNER, cluster},
    proxy::{Fault, Proxy},
    readers::{self, Reader},
    wait,
    workspace::{Outcome, Workspace},
};

/// About 25 MB in more than one chunk.
const ROWS: &str = "
    create table t (id int primary key, pad text, amount numeric(12,2));
    insert into t select i, repeat(md5(i::text), 6), i / 7.0 from generate_series(1, 100000) i;";

/// A filter that all rows pass, one of them after two seconds.
const SLOWLY: &str = "id <> 777 or pg_sleep(2) is not null";

pub(super) fn project(url: &str, connections: usize, filter: &str) -> Workspace {
    let mut workspace = Workspace::new();
    workspace.set("SOURCE_URL", url);
    workspace.write(
        "longshore.yml",
        format!(
            "warehouse: {{url: ./warehouse}}\n\
             connections:\n  source: {{url: \"${{SOURCE_URL}}\", connections: {connections}}}\n"
        ),
    );
    workspace.write(
        "pipelines/load.yml",
        format!(
            "extract:\n  - from: source\n    into: shop\n    tables:\n      \
             - {{table: public.t, where: \"{filter}\"}}\n"
        ),
    );
    workspace
}

/// Panics unless the published table is the source's, and the run tells the same number of rows.
pub(super) fn assert_whole(database: &Database<'_>, workspace: &Workspace, outcome: &Outcome) {
    let folder = workspace.path("warehouse/shop/t");
    let published = readers::fingerprint(Reader::DeltaRs, folder.to_str().unwrap(), &[]);
    assert_eq!(published, readers::source_fingerprint(&database.url(), "public.t"), "{outcome}");
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["steps"][0]["rows"], published.rows, "{outcome}");
}

/// The process that serves a connection of the run in `database` for which `which` holds.
async fn backend(database: &Database<'_>, which: &str) -> String {
    let sql = format!(
        "select pid::text from pg_stat_activity where datname = '{}'
             and application_name like 'longshore/load/%' and {which}
         order by backend_start limit 1",
        database.name
    );
    let url = database.standby_url(OWNER);
    let limit = Duration::from_mins(1);
    wait::until_async(which, limit, async || postgres::text(&url, &sql).await.ok()).await
}

/// Waits until a reader of the run comes upon the slow row.
async fn slow_reader(database: &Database<'_>) -> String {
    backend(database, "wait_event = 'PgSleep'").await
}

/// The connection that holds the view is the first one of a run.
async fn coordinator(database: &Database<'_>) -> String {
    slow_reader(database).await;
    backend(database, "true").await
}

async fn signal(database: &Database<'_>, function: &str, pid: &str) {
    assert_eq!(database.standby_text(&format!("select {function}({pid})::text")).await, "true");
    // A later look must not find it again.
    let gone = format!(
        "select 'gone' where not exists
             (select from pg_stat_activity where pid = {pid} and state = 'active')"
    );
    let url = database.standby_url(OWNER);
    let limit = Duration::from_secs(20);
    wait::until_async("a backend to stop", limit, async || postgres::text(&url, &gone).await.ok())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_cut_anywhere_is_read_again() {
    let database = cluster().database("cut").await;
    database.load(ROWS).await;
    let proxy = Proxy::start(cluster().standby_port());
    let workspace = project(&proxy.lead(&database.url()), 3, "true");
    let cut = |after| Fault::CutAnswer { request: b"COPY (".to_vec(), after };
    for (after, times) in [(0, 1), (30, 1), (70_000, 2), (5_000_000, 1)] {
        proxy.inject(cut(after), times);
        let outcome = workspace.run(&["run", "load", "--json"]).succeeded();
        assert_eq!(proxy.pending(), 0, "the fault was met");
        let said = outcome.stderr.matches("reads it again").count();
        assert_eq!(said, times, "{outcome}");
        assert_whole(&database, &workspace, &outcome);
    }
    proxy.inject(cut(70_000), usize::MAX);
    let outcome = workspace.run(&["run", "load"]).failed_with(1);
    assert!(outcome.stderr.contains("it was tried 3 times"), "{outcome}");
    assert!(outcome.stderr.contains("`load` stopped extracting `shop.t`"), "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_stopped_by_the_server_is_replaced() {
    let database = cluster().database("replaced").await;
    database.load(ROWS).await;
    let workspace = project(&database.url(), 3, SLOWLY);
    let running = workspace.spawn(&["run", "load", "--json"]);
    signal(&database, "pg_terminate_backend", &slow_reader(&database).await).await;
    let outcome = running.finish().succeeded();
    assert!(outcome.stderr.contains("lost a part of `shop.t`"), "{outcome}");
    assert!(!outcome.stderr.contains("lost the snapshot"), "{outcome}");
    assert_whole(&database, &workspace, &outcome);
}

/// Whoever looks after the server and cancels a statement of ours wants it to stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_cancelled_by_hand_is_not_replaced() {
    let database = cluster().database("cancelled").await;
    database.load(ROWS).await;
    let workspace = project(&database.url(), 3, SLOWLY);
    let running = workspace.spawn(&["run", "load"]);
    signal(&database, "pg_cancel_backend", &slow_reader(&database).await).await;
    let outcome = running.finish().failed_with(1);
    assert!(!outcome.stderr.contains("reads it again"), "{outcome}");
    assert!(outcome.stderr.contains("ask the server's administrator why"), "{outcome}");
    assert!(outcome.stderr.contains("the warehouse is still empty"), "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_view_is_read_anew_but_not_for_ever() {
    let database = cluster().database("anew").await;
    database.load(ROWS).await;
    for connections in [1, 3] {
        let workspace = project(&database.url(), connections, SLOWLY);
        let running = workspace.spawn(&["run", "load", "--json"]);
        signal(&database, "pg_terminate_backend", &coordinator(&database).await).await;
        let outcome = running.finish().succeeded();
        assert_eq!(outcome.stderr.matches("reads 1 table anew").count(), 1, "{outcome}");
        assert_whole(&database, &workspace, &outcome);
    }
    let workspace = project(&database.url(), 3, SLOWLY);
    let mut running = workspace.spawn(&["run", "load"]);
    let mut last = String::new();
    for lost in 0..3 {
        let again = format!("wait_event = 'PgSleep' and pid::text <> '{last}'");
        last = backend(&database, &again).await;
        assert!(!running.has_ended(), "after {lost}");
        signal(&database, "pg_terminate_backend", &coordinator(&database).await).await;
    }
    let outcome = running.finish().failed_with(1);
    assert!(outcome.stderr.contains("it was read anew 2 times"), "{outcome}");
    assert!(outcome.stderr.contains("the warehouse is still empty"), "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_opens_no_more_connections_than_it_may() {
    let database = cluster().database("counted").await;
    database.load(ROWS).await;
    for connections in 1..=3 {
        let before = cluster().standby_log().len();
        let workspace = project(&database.url(), connections, "true");
        let outcome = workspace.run(&["run", "load", "--json"]).succeeded();
        assert_whole(&database, &workspace, &outcome);
        let log = cluster().standby_log();
        let opened = log[before..]
            .lines()
            .filter(|line| line.contains("connection authorized"))
            .filter(|line| line.contains("database=counted application_name=longshore/load/"));
        assert_eq!(opened.count(), connections);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_leaves_no_statement_behind() {
    let database = cluster().database("behind").await;
    database.load(ROWS).await;
    for connections in [1, 3] {
        let endless = "id <> 777 or pg_sleep(600) is not null";
        let workspace = project(&database.url(), connections, endless);
        let running = workspace.spawn(&["run", "load"]);
        let pid = slow_reader(&database).await;
        running.signal("INT");
        running.finish().failed_with(1);
        let gone = format!(
            "select 'gone' where not exists (select from pg_stat_activity where pid = {pid})"
        );
        let url = database.standby_url(OWNER);
        let limit = Duration::from_secs(20);
        wait::until_async("the statement to end", limit, async || {
            postgres::text(&url, &gone).await.ok()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_that_conflicts_means_a_new_view_and_a_promotion_means_the_end() {
    let own = Cluster::start(&["hot_standby_feedback=off", "max_standby_streaming_delay=0"]);
    let database = own.database("conflict").await;
    database.load(ROWS).await;
    database.load("create table dead as select generate_series(1, 1000) as id").await;
    let workspace = project(&database.url(), 3, SLOWLY);
    let running = workspace.spawn(&["run", "load", "--json"]);
    slow_reader(&database).await;
    own.primary_sql("conflict", "delete from dead").await;
    own.primary_sql("conflict", "vacuum dead").await;
    let outcome = running.finish().succeeded();
    assert!(outcome.stderr.contains("reads 1 table anew"), "{outcome}");
    assert!(outcome.stderr.contains("conflict with recovery"), "{outcome}");
    assert_whole(&database, &workspace, &outcome);

    let running = workspace.spawn(&["run", "load"]);
    slow_reader(&database).await;
    assert_eq!(database.standby_text("select pg_promote()::text").await, "true");
    let outcome = running.finish().failed_with(1);
    assert!(outcome.stderr.contains("the standby was promoted"), "{outcome}");
    assert!(!outcome.stderr.contains("anew"), "{outcome}");
}
