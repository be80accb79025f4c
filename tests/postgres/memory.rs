//! The memory ceiling, measured: the resident peak of whole runs.

use crate::harness::{
    postgres::{Database, cluster},
    workspace::Workspace,
};

const MIB: u64 = 1 << 20;

/// A project under a ceiling, with `connections` to `database`, that extracts `tables`.
fn project(database: &Database<'_>, memory: &str, connections: usize, tables: &str) -> Workspace {
    let mut workspace = Workspace::new();
    workspace.set("SOURCE_URL", database.url());
    workspace.write(
        "longshore.yml",
        format!(
            "warehouse: {{url: ./warehouse}}\nmemory: {memory}\nconnections:\n  source: \
             {{url: \"${{SOURCE_URL}}\", connections: {connections}}}\n"
        ),
    );
    let extract = format!("extract:\n  - from: source\n    tables: {tables}\n");
    workspace.write("pipelines/load.yml", extract);
    workspace
}

/// The bytes that a run has resident at its peak, less those of a run that moves nothing.
fn peak(workspace: &Workspace) -> u64 {
    let (outcome, peak) = workspace.spawn(&["run", "load"]).finish_measured();
    outcome.succeeded();
    let pipeline = workspace.read("pipelines/load.yml");
    let from = pipeline.split("    tables:").next().unwrap();
    workspace.write(
        "pipelines/idle.yml",
        format!("{from}    tables: [{{query: select 1 as one, as: idle}}]\n"),
    );
    let (outcome, idle) = workspace.spawn(&["run", "idle"]).finish_measured();
    outcome.succeeded();
    peak.saturating_sub(idle)
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_cells_take_turns() {
    let database = cluster().database("huge").await;
    database
        .load(
            "create table texts as select repeat('0123456789', 10000000) as cell;
             create table texts_too as select cell from texts;
             create table bytes as select decode(repeat('0123456789', 20000000), 'hex') as cell;
             create table bytes_too as select cell from bytes;",
        )
        .await;
    let used = peak(&project(&database, "1GiB", 4, "[public.*]"));
    // Six copies of one cell at most, 572 MiB; four cells at once take 1,072 MiB.
    assert!(used < 640 * MIB, "{} MiB", used / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_widest_table_fits() {
    let database = cluster().database("wide").await;
    let column = |at: usize| match at % 3 {
        0 => format!("(i * {at} % 10007)::smallint as c{at}"),
        1 => format!("i % {} = 0 as c{at}", at % 7 + 2),
        _ => format!("chr(97 + (i * {at}) % 26) || 'x' as c{at}"),
    };
    let columns: Vec<_> = (0..1600).map(column).collect();
    let table = format!(
        "create table wide as select {} from generate_series(1, 2000) i;",
        columns.join(", ")
    );
    database.load(&table).await;
    let used = peak(&project(&database, "256MiB", 2, "[public.wide]"));
    // One chunk is all there is: a row group of 32 MiB, a batch of 12 MiB, and 38 MiB for 1,600
    // column writers before they hold a value.
    assert!(used < 96 * MIB, "{} MiB", used / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tables_at_once_share_the_ceiling() {
    let database = cluster().database("many").await;
    let table = |at: usize| {
        format!(
            "create table t{at} as select i, repeat(md5((i + {at})::text), 3000) as note
             from generate_series(1, 80) i;"
        )
    };
    let tables: Vec<_> = (0..64).map(table).collect();
    database.load(&tables.join("\n")).await;
    let workspace = project(&database, "64MiB", 16, "[public.*]");
    let settings = workspace.read("longshore.yml") + "parquet: {compression: none}\n";
    workspace.write("longshore.yml", settings);
    let used = peak(&workspace);
    // 16 tables of 7 MiB at once take 215 MiB where nothing limits them. The rest above the ceiling
    // is for what the allocator keeps of pages between two uses: more, the busier the machine is.
    assert!(used < 128 * MIB, "{} MiB", used / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_a_table() {
    let database = cluster().database("flat").await;
    let of = |name: &str, rows: usize| {
        format!(
            "create table {name} as
             select i, md5(i::text) || md5((i + 1)::text) || md5((i + 2)::text) as note
             from generate_series(1, {rows}) i;"
        )
    };
    database.load(&(of("one", 60_000) + &of("eight", 480_000))).await;
    let one = peak(&project(&database, "64MiB", 2, "[public.one]"));
    let eight = peak(&project(&database, "64MiB", 2, "[public.eight]"));
    // The larger table has 40 MiB more to hold; the allocator's slack is a few.
    assert!(eight < one + 16 * MIB, "{} MiB, then {} MiB", one / MIB, eight / MIB);
}
