//! Names that people give to things, and names that they should not have given: all go from the
//! source to the warehouse and back as they are, or are refused before anything moves.

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::{Value, json};

use crate::harness::{
    postgres::{PASSWORD, PASSWORD_IN_URL, cluster},
    readers::{self, Reader},
    workspace::Workspace,
};

/// PostgreSQL allows all of them: at most 63 bytes, any but NUL.
fn odd_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "plain",
        "UPPER and lower",
        "say \"hi\"",
        "a.b.c",
        ".hidden",
        "..",
        "../../etc/passwd",
        "C:\\temp\\x",
        "50%2Fhalf%",
        "tilde~7e",
        "*",
        "?a=b&c#d",
        " led by a blank",
        "followed by a blank ",
        " ",
        "`backticks` and 'quotes'",
        "$${x} ${HOME} $1",
        "semi;colon -- /* comment */",
        "select",
        "_delta_log",
        "_longshore",
        "e\u{301}\u{327}",
        "שלום \u{202e}abc",
        "表 😀",
        "line\nbreak\r\n",
        "tab\tbell\u{7}escape\u{1b}[31m",
        "ctid",
    ]
    .map(str::to_owned)
    .into();
    names.push("é".repeat(31) + "x");
    names.push("x".repeat(63));
    names
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |all, byte| format!("{all}%{byte:02X}"))
}

/// `ctid` is taken by PostgreSQL itself in a table, and only there.
fn columns() -> impl Iterator<Item = String> {
    odd_names().into_iter().filter(|name| name != "ctid")
}

/// One table for each odd name, all in a schema of an odd name, each with a column for each odd
/// name that holds the name and the table's.
fn tables(schema: &str) -> String {
    let mut sql = format!("create schema {};", quote(schema));
    for table in odd_names() {
        let columns: Vec<_> = columns()
            .map(|column| {
                let value = format!("{table} {column}").replace('\'', "''");
                format!("'{value}'::text as {}", quote(&column))
            })
            .collect();
        let (schema, table, columns) = (quote(schema), quote(&table), columns.join(", "));
        sql += &format!("create table {schema}.{table} as select {columns};");
    }
    sql
}

fn project(url: &str, format: &str, tables: &str) -> Workspace {
    let mut workspace = Workspace::new();
    workspace.set("SOURCE_URL", url);
    workspace.write(
        "longshore.yml",
        format!(
            "warehouse: {{url: ./warehouse, format: {format}}}\n\
             connections:\n  source: {{url: \"${{SOURCE_URL}}\", connections: 3}}\n"
        ),
    );
    workspace.write(
        "pipelines/load.yml",
        format!(
            "extract:\n  - from: source\n    into: \"odd \\\"schema/é\"\n    tables:\n{tables}"
        ),
    );
    workspace
}

/// The folders of the published tables, and the names that they say.
fn folders(workspace: &Workspace) -> Vec<(String, PathBuf)> {
    let top = workspace.path("warehouse");
    let schema = fs::read_dir(&top).unwrap().map(|entry| entry.unwrap());
    let schema = schema.filter(|entry| entry.file_name() != "_longshore");
    let entries = schema.flat_map(|schema| fs::read_dir(schema.path()).unwrap());
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (decoded(path.file_name().unwrap().to_str().unwrap()), path)
        })
        .collect()
}

/// What a folder's name says: `~` and two digits are a byte.
fn decoded(segment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = segment;
    while let Some(at) = rest.find('~') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        bytes.push(u8::from_str_radix(&rest[at + 1..at + 3], 16).unwrap());
        rest = &rest[at + 3..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).unwrap()
}

fn parquet_files(folder: &PathBuf) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "parquet"));
    files.map(|path| path.to_str().unwrap().to_owned()).collect()
}

/// What a row of `table` must be.
fn expected(table: &str) -> Value {
    columns().map(|column| (column.clone(), json!(format!("{table} {column}")))).collect()
}

fn parsed(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn assert_published(workspace: &Workspace, format: &str, times: usize) {
    let folders = folders(workspace);
    let found: BTreeSet<_> = folders.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(found, odd_names().into_iter().collect());
    for (table, folder) in folders {
        let location = folder.to_str().unwrap();
        let rows = vec![expected(&table); times];
        if format == "delta" {
            for reader in [Reader::DeltaRs, Reader::DuckdbDelta] {
                let read = parsed(&readers::rows(reader, location, &[]));
                assert_eq!(read, rows, "{table:?} by {reader:?}");
            }
        } else {
            let files = parquet_files(&folder);
            assert_eq!(files.len(), times);
            for file in &files {
                for reader in [Reader::Pyarrow, Reader::DuckdbParquet] {
                    let read = parsed(&readers::rows(reader, file, &[]));
                    assert_eq!(read, rows[..1], "{table:?} by {reader:?}");
                }
            }
        }
        let named = format!("{}.{}", quote("odd \"schema/é"), quote(&table));
        let sql = format!("select * from {named}");
        let read = workspace.run(&["sql", &sql, "--format", "json"]).succeeded().stdout;
        let read: Vec<_> = read.lines().map(str::to_owned).collect();
        assert_eq!(parsed(&read), rows, "{table:?} by our own SQL");
    }
}

/// A database and a login of odd names, for both formats.
async fn odd_login(database: &str, schema: &str) -> String {
    let (server, login) = (cluster(), "o'dd \"login\"/@:é");
    let made = format!(
        "do $$ begin create role {login} login password '{PASSWORD}';
         exception when duplicate_object then null; end $$",
        login = quote(login)
    );
    server.primary_sql("postgres", &made).await;
    server.primary_sql("postgres", &format!("create database {}", quote(database))).await;
    let encoded = percent(database);
    let url = server.primary_url(&encoded, "postgres");
    let login_sql = quote(login);
    let rules = format!(
        "revoke create on schema public from public;
         revoke temporary on database {} from public; {}
         grant usage on schema {schema} to {login_sql};
         grant select on all tables in schema {schema} to {login_sql};",
        quote(database),
        tables(schema),
        schema = quote(schema)
    );
    crate::harness::postgres::execute(&url, &rules).await.unwrap();
    server.wait_for_replay().await;
    server.standby_url(&encoded, &percent(login))
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_go_there_and_back() {
    let schema = "the \"schema\".of/..\\ %2F é";
    let url = odd_login("the \"data\".base/..\\ %2F é", schema).await;
    assert!(url.contains(PASSWORD_IN_URL));
    for format in ["delta", "parquet"] {
        let pattern = json!(format!("{}.*", quote(schema)));
        let tables = format!("      - {{table: {pattern}, mode: append}}\n");
        let workspace = project(&url, format, &tables);
        workspace.run(&["check"]).succeeded();
        workspace.run(&["plan", "load"]).succeeded();
        for times in 1..=2 {
            let outcome = workspace.run(&["run", "load"]).succeeded();
            assert!(!outcome.to_string().contains('\u{1b}'), "no name commands a terminal");
            if times == 2 {
                assert_published(&workspace, format, times);
            }
        }
        let shown = workspace.run(&["tables"]).succeeded().stdout;
        assert!(!shown.contains(['\u{7}', '\u{1b}', '\r']), "{shown:?}");
        // A heading, its rule, a line for each table and nothing else.
        assert_eq!(shown.lines().count(), 2 + odd_names().len(), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_table_of_an_odd_name_is_read_in_parts() {
    let database = cluster().database("identifiers").await;
    database
        .load(
            "create schema \"s.\"\"/\";
             create table \"s.\"\"/\".\"big; \"\"t\"\".\" (\"k 1\" int primary key, \"p%\" text);
             insert into \"s.\"\"/\".\"big; \"\"t\"\".\"
                 select i, repeat(md5(i::text), 6) from generate_series(1, 120000) i;
             create table \"s.\"\"/\".\"parts \"\"of\"\"\" (\"a.b\" int, t text) partition by list (\"a.b\");
             create table \"s.\"\"/\".\"p 1/\" partition of \"s.\"\"/\".\"parts \"\"of\"\"\" for values in (1);
             create table \"s.\"\"/\".\"p.2\"\"\" partition of \"s.\"\"/\".\"parts \"\"of\"\"\" default;
             insert into \"s.\"\"/\".\"parts \"\"of\"\"\"
                 select i % 3, repeat(md5(i::text), 6) from generate_series(1, 120000) i;",
        )
        .await;
    let pattern = json!(r#""s.""/".*"#);
    let partitions: String = ["p 1/", "p.2\""]
        .map(|name| {
            format!(
                "      - {{table: {}, skip: true}}\n",
                json!(format!("{}.{}", quote("s.\"/"), quote(name)))
            )
        })
        .concat();
    let before = cluster().standby_log().len();
    let workspace = project(&database.url(), "delta", &format!("      - {pattern}\n{partitions}"));
    workspace.run(&["run", "load"]).succeeded();
    let log = cluster().standby_log();
    let log = &log[before..];
    for (table, least) in [
        (r#"ONLY "s.""/"."big; ""t"".""#, 2),
        (r#"ONLY "s.""/"."p 1/""#, 1),
        (r#"ONLY "s.""/"."p.2""""#, 1),
    ] {
        let copies = log.lines().filter(|line| line.contains(table) && line.contains("COPY ("));
        assert!(copies.count() >= least, "{table} is read by itself, in {least} or more parts");
    }
    assert_eq!(counted(&workspace), ["120000", "120000"]);
}

/// The distinct rows of both tables, as our own SQL counts them.
fn counted(workspace: &Workspace) -> [String; 2] {
    [("big; \"t\".", "p%"), ("parts \"of\"", "t")].map(|(table, column)| {
        let table = format!("{}.{}", quote("odd \"schema/é"), quote(table));
        let sql = format!("select count(distinct {}) as n from {table}", quote(column));
        let read = workspace.run(&["sql", &sql, "--format", "csv"]).succeeded().stdout;
        read.lines().nth(1).unwrap_or_default().to_owned()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_no_folder_can_keep_apart_are_refused() {
    let database = cluster().database("folded").await;
    database
        .load(
            "create table orders (id int); create table \"Orders\" (id int);
             create table columns (id int, \"Id\" int, \"ID\" text);",
        )
        .await;
    for (tables, words) in [
        ("      - public.orders\n      - public.Orders\n", "`as:`"),
        ("      - public.*\n      - {table: public.columns, skip: true}\n", "`as:`"),
        ("      - public.columns\n", "rename one: `columns: {rename:"),
    ] {
        let workspace = project(&database.url(), "delta", tables);
        for verb in [&["check"][..], &["plan", "load"], &["run", "load"]] {
            let outcome = workspace.run(verb).failed_with(2);
            assert!(outcome.stderr.contains(words), "{outcome}");
        }
        assert!(workspace.files("warehouse").is_empty());
    }
    let apart = "      - public.orders\n      - {table: public.Orders, as: orders_2}\n      \
                 - {table: public.columns, columns: {rename: {Id: id_2, ID: id_3}}}\n";
    project(&database.url(), "delta", apart).run(&["run", "load"]).succeeded();
    let long = format!("      - {{table: public.orders, as: \"{}\"}}\n", "é".repeat(43));
    let outcome = project(&database.url(), "delta", &long).run(&["run", "load"]).failed_with(2);
    assert!(outcome.stderr.contains("longer than 255 bytes"), "{outcome}");
    // What is published already counts as well.
    let workspace = project(&database.url(), "delta", "      - public.orders\n");
    workspace.run(&["run", "load"]).succeeded();
    let text = workspace.read("pipelines/load.yml").replace("public.orders", "public.Orders");
    workspace.write("pipelines/load.yml", text);
    let outcome = workspace.run(&["run", "load"]).failed_with(2);
    assert!(outcome.stderr.contains("differ only in case"), "{outcome}");
}
