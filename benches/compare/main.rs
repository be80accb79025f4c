//! The servers of the comparison: a primary and its hot standby, kept between calls, with what is
//! measured loaded once: TPC-H, or tables of one shape each.
//!
//! `benches/compare/run` starts this. Takes `--data FOLDER` and `--scale SCALE`, or `--data FOLDER`,
//! `--shapes NAME,NAME…` and `--shrink N`; prints the standby's address for a login that can only
//! SELECT, and runs until standard input ends.
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

mod shapes;

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

/// The database of TPC-H.
const TPCH: &str = "tpch";
/// The database of shapes.
const SHAPES: &str = "shapes";
/// What a database is called until it is whole.
const LOADING: &str = "loading";

#[tokio::main]
async fn main() {
    // `cargo bench` without a target runs this one too.
    let Some(data) = argument("--data") else {
        return println!("compare: no folder given; see benches/README.md");
    };
    let cluster = Cluster::start_in(Path::new(&data), &["max_wal_size=8GB"]);
    let database = match argument("--shapes") {
        Some(names) => {
            let shrink = argument("--shrink").map_or(1, |text| text.parse().expect("a number"));
            load_shapes(&cluster, &names, shrink).await
        }
        None => {
            let scale = argument("--scale").expect("--scale SCALE");
            load_tpch(&cluster, scale.parse().expect("a scale is a number")).await
        }
    };
    cluster.wait_for_replay().await;
    println!("standby {}", cluster.standby_url(database, READER));
    io::read_to_string(io::stdin()).unwrap();
}

/// The value of an option; `cargo bench` adds options of its own, which are passed over.
fn argument(name: &str) -> Option<String> {
    env::args().skip_while(|argument| argument != name).nth(1)
}

async fn exists(cluster: &Cluster, database: &str) -> bool {
    let query = format!("select count(*)::text from pg_database where datname = '{database}'");
    postgres::text(&cluster.primary_url(OWNER, OWNER), &query).await.unwrap() == "1"
}

async fn load_shapes(cluster: &Cluster, names: &str, shrink: u64) -> &'static str {
    if !exists(cluster, SHAPES).await {
        begin(cluster).await;
        end(cluster, SHAPES).await;
    }
    shapes::load(cluster, SHAPES, names, shrink).await;
    SHAPES
}

/// An empty database under another name, so that one that was not finished is never measured.
async fn begin(cluster: &Cluster) {
    cluster.primary_sql(OWNER, &format!("drop database if exists {LOADING}")).await;
    cluster.database(LOADING).await;
}

async fn end(cluster: &Cluster, name: &str) {
    cluster.primary_sql(OWNER, &format!("alter database {LOADING} rename to {name}")).await;
    cluster.primary_sql(OWNER, "checkpoint").await;
}

async fn load_tpch(cluster: &Cluster, scale: f64) -> &'static str {
    if exists(cluster, TPCH).await {
        return TPCH;
    }
    let start = Instant::now();
    begin(cluster).await;
    let rows = tpch::load(&cluster.primary_url(LOADING, OWNER), scale).await;
    end(cluster, TPCH).await;
    eprintln!("loaded {rows} rows of TPC-H in {:.0} s", start.elapsed().as_secs_f64());
    TPCH
}
