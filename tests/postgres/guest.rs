//! How Longshore behaves as a guest: it proves that it can't write, and says why it won't read.

use super::project;
use crate::harness::{
    postgres::{PASSWORD, cluster},
    workspace::Workspace,
};

fn with_url(url: String, more: &str) -> Workspace {
    let mut workspace = Workspace::new();
    workspace.set("SOURCE_URL", url);
    workspace.write(
        "longshore.yml",
        format!("warehouse: {{url: ./warehouse}}\nconnections:\n  source: {{url: \"${{SOURCE_URL}}\"{more}}}\n"),
    );
    workspace.write("pipelines/load.yml", "extract:\n  - from: source\n    tables: [public.*]\n");
    workspace
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_and_a_mighty_login_are_refused() {
    let database = cluster().database("guest").await;
    database.load("create table a (id int); insert into a values (1);").await;
    let primary = with_url(database.primary_url("reader"), "");
    let outcome = primary.run(&["run", "load"]).failed_with(1);
    assert!(outcome.stderr.contains("allow_primary"), "{outcome}");
    with_url(database.primary_url("reader"), ", allow_primary: true")
        .run(&["run", "load"])
        .succeeded();

    let mighty = with_url(database.standby_url("postgres"), "");
    let outcome = mighty.run(&["check"]);
    assert_ne!(outcome.code, Some(0));
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(said.contains("SUPERUSER"), "{said}");

    let role = format!(
        "create role scribe login password '{PASSWORD}'; grant select, insert on a to scribe;"
    );
    database.load(&role).await;
    let writer = with_url(database.standby_url("scribe"), "");
    let outcome = writer.run(&["run", "load"]).failed_with(1);
    assert!(outcome.stderr.contains("INSERT"), "{outcome}");
    assert!(outcome.stderr.contains("REVOKE"), "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_session_is_read_only_and_named() {
    let database = cluster().database("sessions").await;
    database.load("create table a as select generate_series(1, 5000) as id;").await;
    project(&database, "      - public.a\n").run(&["run", "load"]).succeeded();
    let log = cluster().standby_log();
    let ours: Vec<_> = log.lines().filter(|line| line.contains("longshore/load/")).collect();
    assert!(!ours.is_empty(), "our sessions carry their run's name in the server's log");
    for word in ["insert ", "update ", "delete ", "create ", "drop ", "alter "] {
        let written: Vec<_> = ours
            .iter()
            .filter(|line| line.to_lowercase().contains(&format!("statement: {word}")))
            .collect();
        assert!(written.is_empty(), "{written:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn user_sql_is_one_statement() {
    let database = cluster().database("onestatement").await;
    database.load("create table a (id int); insert into a values (1);").await;
    for tables in [
        "      - {query: \"select 1 as x; select 2\", as: q}\n",
        "      - {query: \"select 1) to stdout; drop table a; --\", as: q}\n",
        "      - {table: public.a, where: \"id = 1) ; drop table a; --\"}\n",
    ] {
        let outcome = project(&database, tables).run(&["run", "load"]);
        assert_ne!(outcome.code, Some(0), "{tables}: {outcome}");
    }
    assert_eq!(database.standby_text("select count(*)::text from a").await, "1");
}
