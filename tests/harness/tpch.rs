//! TPC-H: eight tables with keys, decimals, dates and texts, the same at every run.
//!
//! Rows are made while they are loaded, so any scale fits in memory.

use std::{
    fmt::{Display, Write as _},
    io,
    iter::once,
};

use bytes::Bytes;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::mpsc;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};

/// How much of a table is handed over at once.
const CHUNK_BYTES: usize = 1 << 20;

/// One table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its columns, as `create table` takes them.
    pub columns: &'static str,
    /// Its primary key.
    pub key: &'static str,
}

/// All eight, the largest first.
pub(crate) const TABLES: [Table; 8] = [
    Table {
        name: "lineitem",
        columns: "l_orderkey bigint not null, l_partkey bigint not null,
            l_suppkey bigint not null, l_linenumber integer not null,
            l_quantity decimal(15,2) not null, l_extendedprice decimal(15,2) not null,
            l_discount decimal(15,2) not null, l_tax decimal(15,2) not null,
            l_returnflag char(1) not null, l_linestatus char(1) not null,
            l_shipdate date not null, l_commitdate date not null, l_receiptdate date not null,
            l_shipinstruct char(25) not null, l_shipmode char(10) not null,
            l_comment varchar(44) not null",
        key: "l_orderkey, l_linenumber",
    },
    Table {
        name: "orders",
        columns: "o_orderkey bigint not null, o_custkey bigint not null,
            o_orderstatus char(1) not null, o_totalprice decimal(15,2) not null,
            o_orderdate date not null, o_orderpriority char(15) not null,
            o_clerk char(15) not null, o_shippriority integer not null,
            o_comment varchar(79) not null",
        key: "o_orderkey",
    },
    Table {
        name: "partsupp",
        columns: "ps_partkey bigint not null, ps_suppkey bigint not null,
            ps_availqty integer not null, ps_supplycost decimal(15,2) not null,
            ps_comment varchar(199) not null",
        key: "ps_partkey, ps_suppkey",
    },
    Table {
        name: "part",
        columns: "p_partkey bigint not null, p_name varchar(55) not null,
            p_mfgr char(25) not null, p_brand char(10) not null, p_type varchar(25) not null,
            p_size integer not null, p_container char(10) not null,
            p_retailprice decimal(15,2) not null, p_comment varchar(23) not null",
        key: "p_partkey",
    },
    Table {
        name: "customer",
        columns: "c_custkey bigint not null, c_name varchar(25) not null,
            c_address varchar(40) not null, c_nationkey bigint not null, c_phone char(15) not null,
            c_acctbal decimal(15,2) not null, c_mktsegment char(10) not null,
            c_comment varchar(117) not null",
        key: "c_custkey",
    },
    Table {
        name: "supplier",
        columns: "s_suppkey bigint not null, s_name char(25) not null,
            s_address varchar(40) not null, s_nationkey bigint not null, s_phone char(15) not null,
            s_acctbal decimal(15,2) not null, s_comment varchar(101) not null",
        key: "s_suppkey",
    },
    Table {
        name: "nation",
        columns: "n_nationkey bigint not null, n_name char(25) not null,
            n_regionkey bigint not null, n_comment varchar(152) not null",
        key: "n_nationkey",
    },
    Table {
        name: "region",
        columns: "r_regionkey bigint not null, r_name char(25) not null,
            r_comment varchar(152) not null",
        key: "r_regionkey",
    },
];

/// Makes and fills all tables in the database at `url`, each on a connection of its own, and
/// returns how many rows they hold together.
pub(crate) async fn load(url: &str, scale: f64) -> u64 {
    let loads = TABLES.map(|table| {
        let url = url.to_owned();
        tokio::spawn(async move { load_table(&url, table, scale).await })
    });
    let mut rows = 0;
    for load in loads {
        rows += load.await.unwrap().unwrap();
    }
    rows
}

/// Makes and fills one table in the order of its key, and returns how many rows it holds.
async fn load_table(url: &str, table: Table, scale: f64) -> sqlx::Result<u64> {
    let Table { name, columns, key } = table;
    let mut connection = PgConnection::connect(url).await?;
    // FREEZE needs the table to be made in the same transaction; later scans then write nothing.
    let mut loading = connection.begin().await?;
    run(&mut loading, format!("create table {name} ({columns})")).await?;
    let copy = format!("copy {name} from stdin (delimiter '|', freeze)");
    let mut sink = loading.copy_in_raw(&copy).await?;
    let (sender, mut chunks) = mpsc::channel(4);
    let maker = tokio::task::spawn_blocking(move || make(name, scale, &sender));
    while let Some(chunk) = chunks.recv().await {
        sink.send(chunk).await?;
    }
    maker.await.unwrap().expect("the loader takes all chunks");
    let rows = sink.finish().await?;
    run(&mut loading, format!("alter table {name} add primary key ({key})")).await?;
    loading.commit().await?;
    run(&mut connection, format!("vacuum (analyze) {name}")).await?;
    connection.close().await?;
    Ok(rows)
}

async fn run(connection: &mut PgConnection, sql: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}

/// Sends the rows of one table as COPY text.
fn make(table: &str, scale: f64, to: &mpsc::Sender<Bytes>) -> io::Result<()> {
    match table {
        "lineitem" => send(LineItemGenerator::new(scale, 1, 1).iter(), to),
        "orders" => send(OrderGenerator::new(scale, 1, 1).iter(), to),
        "partsupp" => send(PartSuppGenerator::new(scale, 1, 1).iter(), to),
        "part" => send(PartGenerator::new(scale, 1, 1).iter(), to),
        "customer" => send(CustomerGenerator::new(scale, 1, 1).iter(), to),
        "supplier" => send(SupplierGenerator::new(scale, 1, 1).iter(), to),
        "nation" => send(NationGenerator::new(scale, 1, 1).iter(), to),
        "region" => send(RegionGenerator::new(scale, 1, 1).iter(), to),
        other => panic!("TPC-H has no table `{other}`"),
    }
}

/// A row's text form ends every field with a bar; COPY wants them only in between. TPC-H's texts
/// hold no bar and no backslash.
fn send<R: Display>(rows: impl Iterator<Item = R>, to: &mpsc::Sender<Bytes>) -> io::Result<()> {
    let mut chunk = String::with_capacity(CHUNK_BYTES + 1024);
    for row in rows.map(Some).chain(once(None)) {
        if let Some(row) = &row {
            write!(chunk, "{row}").map_err(io::Error::other)?;
            chunk.pop();
            chunk.push('\n');
        }
        if chunk.len() >= CHUNK_BYTES || row.is_none() {
            let full = std::mem::replace(&mut chunk, String::with_capacity(CHUNK_BYTES + 1024));
            to.blocking_send(full.into()).map_err(io::Error::other)?;
        }
    }
    Ok(())
}
