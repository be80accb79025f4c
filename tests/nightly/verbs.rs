//! The other verbs, on the published sample.

use super::demo_project;
use crate::harness::workspace::Workspace;

fn csv(workspace: &Workspace, arguments: &[&str]) -> Vec<String> {
    let mut all = vec!["sql", "--format", "csv"];
    all.extend(arguments);
    workspace.run(&all).succeeded().stdout.lines().map(str::to_owned).collect()
}

#[test]
fn sql_reads_the_generation_that_it_is_asked_for() {
    let workspace = demo_project();
    let count = "select count(*) as n from shop.orders";
    let full = csv(&workspace, &[count]);
    let pipeline = workspace.read("pipelines/nightly.yml");
    let fewer = pipeline
        .replace("      - table: orders\n", "      - table: orders\n        where: id <= 1000\n")
        .replace("max_shrink: 20%", "max_shrink: 100%");
    workspace.write("pipelines/nightly.yml", fewer);
    workspace.run(&["run", "nightly", "--select", "shop.orders"]).succeeded();
    assert_eq!(csv(&workspace, &[count]), ["n", "1000"]);
    assert_eq!(csv(&workspace, &["--generation", "1", count]), full);
    let missing = workspace.run(&["sql", "--generation", "9", count]).failed_with(2);
    assert!(missing.stderr.contains("generation 9"), "{}", missing.stderr);
}

#[test]
fn sql_writes_every_format() {
    let workspace = demo_project();
    let query = "select id, total, note from shop.orders order by id limit 3";
    for format in ["table", "csv", "json"] {
        let outcome = workspace.run(&["sql", "--format", format, query]).succeeded();
        assert!(outcome.stdout.lines().count() >= 3, "{format}: {}", outcome.stdout);
    }
    for format in ["parquet", "arrow", "csv", "json"] {
        let file = format!("out.{format}");
        workspace.run(&["sql", "--format", format, "--output", &file, query]).succeeded();
        assert!(std::fs::metadata(workspace.path(&file)).unwrap().len() > 0, "{format}");
    }
    let print = crate::harness::readers::fingerprint(
        crate::harness::readers::Reader::Pyarrow,
        workspace.path("out.parquet").to_str().unwrap(),
        &[],
    );
    assert_eq!((print.rows, print.columns["id"].sum.as_deref()), (3, Some("6")));
}

#[test]
fn sql_changes_nothing() {
    let workspace = demo_project();
    let before = workspace.files("warehouse");
    for statement in [
        "insert into shop.orders select * from shop.orders",
        "create table x as select 1",
        "drop table shop.orders",
        "copy shop.orders to 'out.parquet'",
        "set datafusion.execution.batch_size = 1",
        "select 1; select 2",
        "create external table t stored as csv location '/etc/passwd'",
    ] {
        let outcome = workspace.run(&["sql", statement]).failed_with(2);
        assert!(outcome.stderr.starts_with("error: "), "{statement}: {}", outcome.stderr);
    }
    let file = workspace.run(&["sql", "select * from '/etc/passwd'"]);
    assert_eq!(file.code, Some(2), "a file of this machine is not a table");
    assert_eq!(workspace.files("warehouse"), before);
}

#[test]
fn a_run_without_publishing_stays_in_the_stage() {
    let workspace = demo_project();
    let outcome = workspace.run(&["run", "nightly", "--no-publish", "--json"]).succeeded();
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["generation"], serde_json::Value::Null);
    let run = report["run"].as_str().unwrap();
    let staged = csv(&workspace, &["--run", run, "select count(*) from mart.daily_revenue"]);
    let published = csv(&workspace, &["select count(*) from mart.daily_revenue"]);
    assert_eq!(staged, published);
    assert_eq!(super::generations(&workspace), 1);
}

#[test]
fn lists_are_json_where_asked() {
    let workspace = demo_project();
    for verb in [
        vec!["tables", "--json"],
        vec!["tables", "shop.orders", "--json"],
        vec!["tables", "--generations", "--json"],
        vec!["runs", "--json"],
        vec!["plan", "nightly", "--json"],
        vec!["check", "--json"],
        vec!["schema", "project"],
        vec!["schema", "pipeline"],
    ] {
        let outcome = workspace.run(&verb).succeeded();
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&outcome.stdout);
        assert!(parsed.is_ok(), "{verb:?}: {}", outcome.stdout);
    }
}

#[test]
fn completions_are_made_for_every_shell() {
    let workspace = Workspace::new();
    for shell in ["bash", "zsh", "fish"] {
        let outcome = workspace.run(&["completions", shell]).succeeded();
        assert!(outcome.stdout.contains("longshore"), "{shell}");
    }
}

#[test]
fn init_makes_a_project_that_checks_and_overwrites_nothing() {
    let workspace = Workspace::new();
    workspace.write("longshore.yml", "# mine\n");
    workspace.run(&["init"]);
    assert_eq!(workspace.read("longshore.yml"), "# mine\n");
    let fresh = Workspace::new();
    fresh.run(&["init"]).succeeded();
    assert!(fresh.path("pipelines/nightly.yml").exists());
}

#[test]
fn append_adds_to_what_is_published() {
    let workspace = demo_project();
    workspace.write(
        "pipelines/log.yml",
        "extract:\n  - from: shop\n    into: log\n    tables:\n      - {table: products, mode: append}\n",
    );
    let count = "select count(*) from log.products";
    workspace.run(&["run", "log"]).succeeded();
    let once: u64 = csv(&workspace, &[count])[1].parse().unwrap();
    workspace.run(&["run", "log"]).succeeded();
    let twice: u64 = csv(&workspace, &[count])[1].parse().unwrap();
    assert!(once > 0);
    assert_eq!(twice, 2 * once);
    // Tables that a run does not make stay as they were.
    assert_eq!(csv(&workspace, &["select count(*) > 0 from shop.orders"])[1], "true");
}

#[test]
fn plain_parquet_is_read_by_others() {
    let workspace = demo_project();
    let text = workspace.read("longshore.yml");
    workspace.write(
        "longshore.yml",
        text.replace("format: delta", "format: parquet").replace("./warehouse", "./plain"),
    );
    workspace.run(&["run", "nightly"]).succeeded();
    let files = workspace.files("plain/shop/orders");
    let parquet: Vec<_> = files.iter().filter(|file| file.ends_with(".parquet")).collect();
    assert!(!parquet.is_empty(), "{files:?}");
    let glob = workspace.path("plain/shop/orders/*.parquet");
    let print = crate::harness::readers::fingerprint(
        crate::harness::readers::Reader::DuckdbParquet,
        glob.to_str().unwrap(),
        &[],
    );
    assert_eq!(print.rows.to_string(), csv(&workspace, &["select count(*) from shop.orders"])[1]);
}

#[test]
fn a_run_says_which_side_of_it_is_slow() {
    let workspace = demo_project();
    let run = ["run", "nightly", "-v", "--select", "shop.orders,shop.payments,mart.daily_revenue"];
    let told = workspace.run(&run).succeeded().stderr;
    let block = |text: &str| {
        let lines = text.lines().skip_while(|line| !line.ends_with("time of its workers"));
        lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
    };
    insta::with_settings!({ filters => [
        (r"─+  ─+", "[RULE]"),
        (r"\d+ %", "[N] %"),
        (r"memory \[N\] %, ", ""),
        (r"(memory|read|decode|query|encode|write)-bound", "[SIDE]-bound"),
    ] }, {
        insta::assert_snapshot!(block(&told), @r"
        table               time of its workers
        [RULE]
        shop.orders         read [N] %, decode [N] %, encode [N] %, write [N] %: [SIDE]-bound
        shop.payments       read [N] %, decode [N] %, encode [N] %, write [N] %: [SIDE]-bound
        mart.daily_revenue  query [N] %, encode [N] %, write [N] %: [SIDE]-bound
        all extracts        read [N] %, decode [N] %, encode [N] %, write [N] %: [SIDE]-bound
        ");
    });
    let shown = workspace.run(&["runs", "latest", "-v"]).succeeded().stdout;
    assert_eq!(block(&shown), block(&told), "the ledger remembers it");

    let json = workspace.run(&["runs", "latest", "--json"]).succeeded().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let orders = json["steps"].as_array().unwrap().iter().find(|s| s["table"] == "shop.orders");
    let spent = orders.unwrap()["worker_seconds"].as_object().unwrap();
    assert!(["memory", "write"].iter().all(|part| spent[*part].is_number()), "{spent:?}");
    for part in ["read", "decode", "encode"] {
        assert!(spent[part].as_f64().unwrap() > 0.0, "{part}: {spent:?}");
    }
}
