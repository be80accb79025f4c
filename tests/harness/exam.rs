//! The harness examined: a test that stands on a broken server proves nothing.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use arrow::datatypes::{DataType, Field, Schema};
use object_store::{
    ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, path::Path as ObjectPath,
};

use super::{
    postgres::{self, Cluster, READER, cluster},
    proxy::{Fault, Proxy},
    readers::{self, Reader},
    s3::Bucket,
    tpch, wait,
    workspace::{Outcome, Workspace, assert_outcome},
};

#[tokio::test]
async fn the_standby_is_in_recovery_and_reads_what_the_primary_wrote() {
    let database = cluster().database("exam_standby").await;
    database.load("create table t (id int primary key); insert into t values (42)").await;

    let url = database.url();
    assert_eq!(postgres::text(&url, "select pg_is_in_recovery()::text").await.unwrap(), "true");
    assert_eq!(postgres::text(&url, "select id::text from t").await.unwrap(), "42");
    assert!(cluster().standby_log().contains("select id::text from t"));
}

#[tokio::test]
async fn the_reader_cannot_write_even_on_the_primary() {
    let database = cluster().database("exam_reader").await;
    database.load("create schema s; create table s.t (id int)").await;

    let url = database.primary_url(READER);
    postgres::execute(&url, "select * from s.t").await.unwrap();
    for write in [
        "insert into s.t values (1)",
        "create table public.u (id int)",
        "create table s.u (id int)",
        "create temporary table u (id int)",
        "truncate s.t",
    ] {
        let refusal = postgres::execute(&url, write).await.unwrap_err();
        let code = refusal.as_database_error().and_then(|error| error.code().map(String::from));
        assert_eq!(code.as_deref(), Some("42501"), "{write}: {refusal}");
    }
}

#[tokio::test]
async fn tpch_holds_the_specified_rows() {
    let database = cluster().database("exam_tpch").await;
    let rows = tpch::load(&database.primary_url(postgres::OWNER), 0.01).await;
    assert_eq!(rows, 86_805);
    cluster().wait_for_replay().await;

    let print = readers::source_fingerprint(&database.url(), "public.orders");
    assert_eq!(print.rows, 15_000);
    assert_eq!(print.columns["o_orderdate"].min.as_deref(), Some("1992-01-01"));
    let total = database.standby_text("select sum(o_totalprice)::text from orders").await;
    assert_eq!(print.columns["o_totalprice"].sum, Some(total));
}

#[tokio::test]
async fn the_s3_server_honours_create_only_puts() {
    let store = Bucket::new("exam-conditional-put").store();
    let path = ObjectPath::from("generations/1.json");
    let create = || PutOptions::from(PutMode::Create);
    store.put_opts(&path, "first".into(), create()).await.unwrap();

    let second = store.put_opts(&path, "second".into(), create()).await.unwrap_err();
    assert!(matches!(second, object_store::Error::AlreadyExists { .. }), "{second}");
    let kept = store.get(&path).await.unwrap().bytes().await.unwrap();
    assert_eq!(kept, "first");
}

#[test]
fn the_independent_readers_load() {
    let versions = readers::versions();
    assert_eq!(versions["duckdb"], "1.5.5");
}

#[tokio::test]
async fn the_independent_readers_read_from_s3() {
    let bucket = Bucket::new("exam-readers");
    let rows = r#"{"id":1,"name":"é"}"#;
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int32, true),
        Field::new("name", DataType::Utf8, true),
    ]);
    let mut decoder =
        arrow::json::ReaderBuilder::new(schema.into()).build(rows.as_bytes()).unwrap();
    let batch = decoder.next().unwrap().unwrap();
    let mut file = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bucket.store().put(&ObjectPath::from("t/1.parquet"), file.into()).await.unwrap();

    let url = format!("{}/t/*.parquet", bucket.url());
    let read = readers::rows(Reader::DuckdbParquet, &url, &bucket.options());
    assert_eq!(read, [r#"{"id": 1, "name": "é"}"#]);
}

#[tokio::test]
async fn the_proxy_cuts_after_the_bytes_it_was_told() {
    let database = cluster().database("exam_proxy").await;
    let proxy = Proxy::start(cluster().standby_port());
    let url = proxy.lead(&database.url());
    let query = "select repeat('x', 100000)";
    assert_eq!(postgres::text(&url, query).await.unwrap().len(), 100_000);

    for fault in [Fault::Close { after: 5000 }, Fault::Reset { after: 5000 }] {
        proxy.inject(fault, 1);
        assert!(matches!(postgres::text(&url, query).await, Err(sqlx::Error::Io(_))));
        assert_eq!(proxy.pending(), 0);
        assert_eq!(postgres::text(&url, query).await.unwrap().len(), 100_000);
    }
    proxy.inject(Fault::Stall { after: 5000 }, 1);
    let stalled = postgres::text(&url, query);
    assert!(tokio::time::timeout(Duration::from_millis(300), stalled).await.is_err());
}

#[tokio::test]
async fn the_proxy_swallows_an_answer_whose_request_was_served() {
    let database = cluster().database("exam_swallow").await;
    database.load("create table t (id int)").await;
    let proxy = Proxy::start(cluster().primary_port());
    proxy.inject(Fault::SwallowAnswer { request: b"insert into t".to_vec() }, 1);

    let url = proxy.lead(&database.primary_url(postgres::OWNER));
    postgres::execute(&url, "insert into t values (7)").await.unwrap_err();
    let id = "select id::text from t";
    wait::until_async("the insert", Duration::from_secs(10), async || {
        postgres::text(&database.primary_url(postgres::OWNER), id).await.ok()
    })
    .await;
}

#[test]
fn snapshots_hide_what_differs_from_run_to_run() {
    let workspace = Workspace::new();
    let outcome = Outcome {
        code: Some(1),
        stdout: "12 rows, 1.5 MiB in 340ms\n".into(),
        stderr: format!(
            "run 0198c7a1-7d2e-7cc3-98c4-dc0c0c07398f at 2026-01-02T03:04:05.678Z\n\
             reads 127.0.0.1:5432 at 0/3000148, writes {}\n",
            workspace.path("warehouse").display()
        ),
    };
    assert_outcome!(workspace, outcome, @"
    exit: 1
    ----- stdout -----
    12 rows, [SIZE] in [DURATION]

    ----- stderr -----
    run [ID] at [TIME]
    reads [SERVER] at [LSN], writes [PROJECT]/warehouse
    ");
}

#[test]
fn a_workspace_gives_its_commands_only_what_was_set() {
    let mut workspace = Workspace::new();
    workspace.set("NAME", "value").write("a/b.txt", "text");
    assert_eq!(workspace.read("a/b.txt"), "text");
    assert_eq!(workspace.files("."), ["a/b.txt"]);
    let command = workspace.command(&[]);
    let names: Vec<_> = command.get_envs().map(|(name, _)| name.to_str().unwrap()).collect();
    assert_eq!(names, ["HOME", "NAME", "PATH", "TMPDIR"]);
}

/// The other half of the test below: a process that starts a cluster, says where, and waits.
#[test]
#[ignore = "run by `servers_end_with_a_killed_process` in a process of its own"]
fn holds_a_cluster() {
    let folder = env::var_os("LONGSHORE_EXAM_FOLDER").unwrap();
    let cluster = Cluster::start_in(Path::new(&folder), &[]);
    println!("ports {} {}", cluster.primary_port(), cluster.standby_port());
    io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn servers_end_with_a_killed_process() {
    let folder = tempfile::tempdir().unwrap();
    open_to_all(folder.path());
    let mut holder = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "harness::exam::holds_a_cluster"])
        .env("LONGSHORE_EXAM_FOLDER", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(holder.stdout.take().unwrap()).lines().map(Result::unwrap);
    let ports = said.find(|line| line.contains("ports ")).unwrap();
    let is_up = |server: &str| folder.path().join(server).join("data/postmaster.pid").exists();
    assert!(is_up("primary") && is_up("standby"), "{ports}");

    holder.kill().unwrap();
    holder.wait().unwrap();
    wait::until("the servers to stop", Duration::from_secs(30), || {
        (!is_up("primary") && !is_up("standby")).then_some(())
    });
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}
