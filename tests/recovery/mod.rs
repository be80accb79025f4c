//! What goes wrong around a run: damaged, full and failing disks, power cuts, rivals. Readers see a
//! whole generation all the time, and the next run brings what the source holds.

mod disk;
mod ledger;
mod power;
mod rivals;

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use crate::harness::workspace::Workspace;

/// A project whose pipeline `load` takes the tables `a` and `b` of a SQLite file and makes
/// `mart.both` of them; nothing has run yet.
fn project() -> Workspace {
    let workspace = Workspace::new();
    workspace.write(
        "longshore.yml",
        "warehouse: {url: ./warehouse, format: delta}\n\
         connections:\n  source: {url: \"sqlite:source.db\"}\n",
    );
    workspace.write(
        "pipelines/load.yml",
        "extract:\n  - from: source\n    into: shop\n    tables: [a, b]\ntransform: sql/load\n",
    );
    workspace.write(
        "sql/load/mart/both.sql",
        "select round from shop.a union all select round from shop.b\n",
    );
    workspace
}

/// Rows of each table of the source.
const ROWS: u32 = 300;

/// Fills both tables anew; every row says in which round.
async fn fill(workspace: &Workspace, round: u64) {
    let url = format!("sqlite:{}?mode=rwc", workspace.path("source.db").display());
    let mut source = SqliteConnection::connect(&url).await.unwrap();
    let rows = format!(
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < {ROWS})
         select {round}, i from n"
    );
    let sql = format!(
        "begin; drop table if exists a; drop table if exists b;
         create table a (round integer, i integer); create table b (round integer, i integer);
         insert into a {rows}; insert into b {rows}; commit;"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut source).await.unwrap();
    source.close().await.unwrap();
}

/// The rounds that readers of a generation see, with their rows; all tables must agree.
fn visible(workspace: &Workspace) -> String {
    let query = "select round, count(*) as n from (select round from shop.a union all \
                 select round from shop.b union all select round from mart.both) group by 1";
    workspace.run(&["sql", "--format", "csv", query]).succeeded().stdout
}

/// What [`visible`] is when everything is of one round.
fn whole(round: u64) -> String {
    format!("round,n\n{round},{}\n", 4 * ROWS)
}

/// What the ledger tells of all runs, newest first.
fn runs(workspace: &Workspace) -> Vec<serde_json::Value> {
    let told = workspace.run(&["runs", "--json", "--limit", "100"]).succeeded().stdout;
    serde_json::from_str(&told).unwrap()
}
