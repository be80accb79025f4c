//! SIGKILL at any moment: readers see the generation before, whole, or the next, whole; and the
//! next run succeeds.

use std::time::Duration;

use super::project;
use crate::harness::{
    postgres::cluster,
    readers::{self, Reader},
};

/// Moments of the kill after the start; a run of this size takes about a second.
const MOMENTS: u64 = 14;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_leaves_readers_a_whole_generation() {
    let database = cluster().database("crash").await;
    let fill = |round: i32| {
        format!(
            "truncate a, b; insert into a select {round} from generate_series(1, 60000);
             insert into b select {round} from generate_series(1, 60000);"
        )
    };
    database.load("create table a (round int); create table b (round int);").await;
    database.load(&fill(0)).await;
    let workspace = project(&database, "      - public.*\n");
    workspace.run(&["run", "load"]).succeeded();
    let query = "select round, count(*) as n from (select * from shop.a union all select * from shop.b) group by 1";
    for moment in 1..=MOMENTS {
        database.load(&fill(moment as i32)).await;
        let before = workspace.run(&["sql", "--format", "csv", query]).succeeded().stdout;
        let running = workspace.spawn(&["run", "load"]);
        tokio::time::sleep(Duration::from_millis(moment * 90)).await;
        let killed = running.kill();
        let after = workspace.run(&["sql", "--format", "csv", query]).succeeded().stdout;
        let next = format!("round,n\n{moment},120000\n");
        assert!(
            after == before || after == next,
            "a part is seen: {after} after {before}\n{killed}"
        );
        workspace.run(&["run", "load"]).succeeded();
        let settled = workspace.run(&["sql", "--format", "csv", query]).succeeded().stdout;
        assert_eq!(settled, next);
        // Foreign readers of single tables agree once the next run has settled things.
        let folder = workspace.path("warehouse/shop/a");
        let print = readers::fingerprint(Reader::DeltaRs, folder.to_str().unwrap(), &[]);
        assert_eq!(
            (print.rows, print.columns["round"].min.clone()),
            (60000, Some(moment.to_string()))
        );
    }
    let runs = workspace.run(&["runs", "--json", "--limit", "50"]).succeeded().stdout;
    assert!(runs.contains("\"crashed\""), "the ledger tells of the killed runs: {runs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_says_what_it_means() {
    let database = cluster().database("interrupt").await;
    database.load("create table a as select i, repeat('x', 500) as pad from generate_series(1, 400000) i;").await;
    let workspace = project(&database, "      - public.a\n");
    let mut running = workspace.spawn(&["run", "load"]);
    running.wait_for_words("reading source");
    running.signal("INT");
    let outcome = running.finish();
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(outcome.stderr.contains("the warehouse is still empty"), "{outcome}");
    let runs = workspace.run(&["runs", "--json"]).succeeded().stdout;
    assert!(runs.contains("\"cancelled\""), "{runs}");
}
