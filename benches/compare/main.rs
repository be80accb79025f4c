//! The servers of the comparison: a primary and its hot standby, kept between rounds, with TPC-H
//! loaded once.
//!
//! `benches/compare/run` starts this. Takes `--data FOLDER --scale SCALE`; prints the standby's
//! address for a login that can only SELECT, and runs until standard input ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that cannot start stops loudly; standard output is how it reports"
)]
#![allow(
    clippy::doc_markdown,
    reason = "products are written as their makers write them, many times a page"
)]

use std::{env, io, path::Path, time::Instant};

use harness::{
    postgres::{self, Cluster, OWNER, READER},
    tpch,
};

/// What the comparison needs of the integration tests' harness.
#[path = "../../tests/harness"]
mod harness {
    #![allow(dead_code, reason = "the tests use the rest")]
    pub(crate) mod guardian;
    pub(crate) mod postgres;
    pub(crate) mod tpch;
    pub(crate) mod wait;
}

const DATABASE: &str = "tpch";
/// A load under this name has not finished.
const LOADING: &str = "tpch_loading";

#[tokio::main]
async fn main() {
    // `cargo bench` without a target runs this one too.
    let Some(data) = argument("--data") else {
        return println!("compare: no folder given; see benches/README.md");
    };
    let scale = argument("--scale").expect("--scale SCALE").parse().expect("a scale is a number");
    let cluster = Cluster::start_in(Path::new(&data), &["max_wal_size=8GB"]);
    if !is_loaded(&cluster).await {
        load(&cluster, scale).await;
    }
    cluster.wait_for_replay().await;
    println!("standby {}", cluster.standby_url(DATABASE, READER));
    io::read_to_string(io::stdin()).unwrap();
}

/// The value of an option; `cargo bench` adds options of its own, which are passed over.
fn argument(name: &str) -> Option<String> {
    env::args().skip_while(|argument| argument != name).nth(1)
}

async fn is_loaded(cluster: &Cluster) -> bool {
    let query = format!("select count(*)::text from pg_database where datname = '{DATABASE}'");
    postgres::text(&cluster.primary_url(OWNER, OWNER), &query).await.unwrap() == "1"
}

/// Loads under another name first, so that an interrupted load is never measured.
async fn load(cluster: &Cluster, scale: f64) {
    let start = Instant::now();
    cluster.primary_sql(OWNER, &format!("drop database if exists {LOADING}")).await;
    cluster.database(LOADING).await;
    let rows = tpch::load(&cluster.primary_url(LOADING, OWNER), scale).await;
    cluster.primary_sql(OWNER, &format!("alter database {LOADING} rename to {DATABASE}")).await;
    cluster.primary_sql(OWNER, "checkpoint").await;
    eprintln!("loaded {rows} rows of TPC-H in {:.0} s", start.elapsed().as_secs_f64());
}
