//! `longshore.yml`: what it means.

use std::{fs, time::Duration};

use super::{Folder, PROJECT, failure, project};
use crate::{
    config::{Format, Project, Retention, SourceKind},
    types::ByteSize,
};

#[test]
fn all_that_is_written_is_meant() {
    let project = project(
        "warehouse:
  url: s3://bucket/prefix
  format: parquet
  options: {aws_region: eu-west-1, aws_secret_access_key: \"${SET}\", retries: 3}
  retention: {generations: 30, age: 14d, grace: 90m}
memory: 1.5GiB
connections:
  billing:
    url: postgres://etl:${SET}@db/billing
    connections: 2
    max_lag: 10m
    statement_timeout: 1h30m
    lock_timeout: 3s
    max_rows_per_second: 50000
    max_bytes_per_second: 20MiB
    max_transaction_age: 2h
    max_active_sessions: 0
    max_wait: 30s
    allow_primary: true
    window: 22:00-05:00
    timezone: Australia/Brisbane
",
    )
    .unwrap();
    assert_eq!(project.warehouse.url.as_str(), "s3://bucket/prefix/");
    assert_eq!(project.warehouse.format, Format::Parquet);
    let option = |name: &str| project.warehouse.options[name].reveal();
    assert_eq!(option("aws_region"), "eu-west-1");
    assert_eq!(option("aws_secret_access_key"), "hunter2");
    assert_eq!(option("retries"), "3");
    let (age, grace) = (Duration::from_hours(14 * 24), Duration::from_mins(90));
    assert_eq!(project.warehouse.retention, Retention { generations: 30, age, grace });
    assert_eq!(project.memory, ByteSize::mib(1536));
    let billing = project.connection("billing").unwrap();
    assert_eq!(billing.kind, SourceKind::Postgres);
    assert_eq!(billing.url.reveal(), "postgres://etl:hunter2@db/billing");
    let limits = &billing.limits;
    assert_eq!(limits.connections, 2);
    assert_eq!(limits.max_lag, Some(Duration::from_mins(10)));
    assert_eq!(limits.statement_timeout, Some(Duration::from_mins(90)));
    assert_eq!(limits.lock_timeout, Duration::from_secs(3));
    assert_eq!(limits.rows_per_second, Some(50_000));
    assert_eq!(limits.bytes_per_second, Some(ByteSize::mib(20)));
    assert_eq!(limits.transaction_age, Some(Duration::from_hours(2)));
    assert_eq!(limits.active_sessions, Some(0));
    assert_eq!(limits.max_wait, Duration::from_secs(30));
    let window = limits.window.as_ref().unwrap().to_string();
    assert_eq!(window, "22:00-05:00 Australia/Brisbane");
    assert!(billing.allow_primary);
    assert_eq!((billing.origin.line, billing.origin.column), (8, 3));
}

#[test]
fn what_is_left_out_has_a_default() {
    let folder = Folder::with(&[("longshore.yml", PROJECT)]);
    let project = folder.load().unwrap();
    let root = folder.path().canonicalize().unwrap();
    assert_eq!(project.root, root);
    assert_eq!(project.warehouse.url.to_file_path().unwrap(), root.join("warehouse"));
    assert!(project.warehouse.url.as_str().ends_with("/warehouse/"));
    assert_eq!(project.warehouse.format, Format::Delta);
    let Retention { generations, age, grace } = project.warehouse.retention;
    assert_eq!((generations, age.as_secs(), grace.as_secs()), (10, 7 * 86_400, 86_400));
    assert!((256..=4096).contains(&(project.memory.bytes() >> 20)));
    assert_eq!(project.connection_names().collect::<Vec<_>>(), ["shop"]);
    let shop = project.connection("shop").unwrap();
    assert_eq!(shop.kind, SourceKind::Sqlite);
    assert_eq!(shop.url.reveal(), format!("sqlite://{}/shop.db", root.display()));
    assert_eq!(shop.limits.connections, 4);
    assert_eq!((shop.limits.max_lag, shop.limits.statement_timeout), (None, None));
    assert!(shop.limits.window.is_none());
    assert!(!shop.allow_primary);
}

#[test]
fn places_become_absolute() {
    let url = |written: &str| {
        let yaml = format!("warehouse: {{url: \"{written}\"}}");
        project(&yaml).unwrap().warehouse.url.to_string()
    };
    assert_eq!(url("/data/./a/../b c"), "file:///data/b%20c/");
    assert_eq!(url("file:///data/w"), "file:///data/w/");
    assert_eq!(url("gs://bucket"), "gs://bucket/");
    assert_eq!(url("az://box/a/"), "az://box/a/");
    let abfss = "abfss://box@account.dfs.core.windows.net/a/";
    assert_eq!(url(abfss), abfss);
    let database = |written: &str| {
        let yaml = format!("warehouse: {{url: w}}\nconnections: {{a: {{url: \"{written}\"}}}}");
        project(&yaml).unwrap().connection("a").unwrap().url.reveal().to_owned()
    };
    assert_eq!(database("sqlite:/data/a.db?mode=ro"), "sqlite:///data/a.db?mode=ro");
    assert_eq!(database("sqlite:///data/a.db"), "sqlite:///data/a.db");
    assert!(database("sqlite:./sub/a.db").ends_with("/sub/a.db"));
    assert!(database("sqlite://a.db").starts_with("sqlite:///"));
}

#[test]
fn a_connection_is_expanded_only_when_it_is_used() {
    let folder = Folder::with(&[(
        "longshore.yml",
        "warehouse: {url: w}
connections:
  good: {url: 'sqlite:${NAME:-a}.db', connections: '${COUNT:-2}'}
  missing: {url: 'postgres://${NOT_SET}@db/x', connections: '${NOT_SET}'}
  command: {url: 'sqlite:${command:touch ran; echo a}.db'}
",
    )]);
    let project = folder.load().unwrap();
    assert_eq!(project.connection("good").unwrap().limits.connections, 2);
    assert!(!folder.path().join("ran").exists());
    assert!(project.connection("command").unwrap().url.reveal().ends_with("/a.db"));
    assert!(folder.path().join("ran").exists());
    insta::assert_snapshot!(failure(project.connection("missing")), @"
    config: `longshore.yml` is not valid; nothing was run
    --> longshore.yml:4:30: `NOT_SET` is not set
    |  missing: {url: 'postgres://${NOT_SET}@db/x', connections: '${NOT_SET}'}
    |                             ^
    hint: set `NOT_SET` in the environment or in `.env` beside longshore.yml
    ");
}

#[test]
fn a_socket_is_named_as_clients_of_postgresql_name_it() {
    for url in ["postgres://u@/d?host=/run/pg", "postgres:///d?user=u&host=/run/pg"] {
        let yaml = format!("warehouse: {{url: w}}\nconnections: {{a: {{url: '{url}'}}}}\n");
        let project = Folder::with(&[("longshore.yml", yaml.as_str())]).load().unwrap();
        assert_eq!(project.connection("a").unwrap().url.reveal(), url);
    }
}

#[test]
fn variables_also_come_from_dotenv() {
    let folder = Folder::with(&[
        ("longshore.yml", "warehouse: {url: '${PLACE}', options: {a: '${SET}'}}"),
        (".env", "PLACE=\"s3://b\" # note\nSET=file\n"),
    ]);
    let project = folder.load().unwrap();
    assert_eq!(project.warehouse.url.as_str(), "s3://b/");
    assert_eq!(project.warehouse.options["a"].reveal(), "hunter2", "the environment wins");
    fs::write(folder.path().join(".env"), "hunter2\n").unwrap();
    insta::assert_snapshot!(failure(folder.load()), @"
    config: `.env` can't be read; nothing was run
    cause: line 1: no `=` in it
    hint: mend the file, then `longshore check`
    ");
}

#[test]
fn a_project_is_found_from_below() {
    let folder = Folder::with(&[("longshore.yml", PROJECT), ("a/b/c.txt", "")]);
    let found = Project::find(&folder.path().join("a/b")).unwrap();
    assert_eq!(found, folder.path().canonicalize().unwrap().join("longshore.yml"));
    let none = Folder::with(&[]);
    let told = failure(Project::find(none.path()));
    assert!(told.starts_with("config: there is no `longshore.yml` in "), "{told}");
    assert!(told.ends_with("hint: start a project here with `longshore init`"), "{told}");
}

#[test]
fn the_example_of_the_repository_loads() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let read = |name: &str| fs::read_to_string(format!("{root}{name}")).unwrap();
    let (project, nightly) = (read("longshore.yml"), read("pipelines/nightly.yml"));
    let folder = Folder::with(&[
        ("longshore.yml", project.as_str()),
        ("pipelines/nightly.yml", nightly.as_str()),
        ("sql/nightly/a.sql", "select 1"),
    ]);
    let pipelines = folder.load().unwrap().pipelines().unwrap();
    let audits = pipelines[0].extract[0].tables.iter().map(|rule| rule.audits.len());
    assert_eq!(pipelines[0].name.as_str(), "nightly");
    assert_eq!(audits.collect::<Vec<_>>(), [0, 2, 1, 6]);
}
