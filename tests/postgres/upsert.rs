//! `mode: upsert`: changed rows take the place of those with the same key, and what they don't touch
//! stays as it is, byte for byte.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use super::{
    contracts::{found, listed_files, sql, warehouse},
    project,
};
use crate::harness::{
    postgres::{Database, cluster},
    readers,
    workspace::Workspace,
};

/// A project that takes the table rules `tables` into a warehouse of `format`.
fn project_in(database: &Database<'_>, format: &str, tables: &str) -> Workspace {
    let workspace = project(database, tables);
    let settings = workspace.read("longshore.yml");
    workspace
        .write("longshore.yml", settings.replace("format: delta", &format!("format: {format}")));
    workspace
}

/// Makes the pipeline take `tables` from now on.
fn take(workspace: &Workspace, tables: &str) {
    let start = "extract:\n  - from: source\n    into: shop\n    tables:\n";
    workspace.write("pipelines/load.yml", format!("{start}{tables}"));
}

/// The names of the Parquet files that the newest version of a table consists of.
fn live_files(workspace: &Workspace, format: &str, table: &str) -> BTreeSet<String> {
    let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    if format == "parquet" {
        return listed_files(workspace, table).iter().map(|path| name(path)).collect();
    }
    let folder = format!("warehouse/shop/{table}/_delta_log");
    let is_json = |file: &str| Path::new(file).extension().is_some_and(|end| end == "json");
    let mut files = BTreeSet::new();
    let logs = workspace.files(&folder).into_iter().filter(|file| is_json(file));
    for line in logs.flat_map(|log| {
        let text = workspace.read(format!("{folder}/{log}"));
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    }) {
        let action: serde_json::Value = serde_json::from_str(&line).unwrap();
        if let Some(path) = action["remove"]["path"].as_str() {
            files.remove(&name(path));
        }
        if let Some(path) = action["add"]["path"].as_str() {
            files.insert(name(path));
        }
    }
    files
}

/// What the last run says that it did to `table`.
fn report(workspace: &Workspace, table: &str) -> serde_json::Value {
    let run = workspace.run(&["runs", "latest", "--json"]).succeeded().stdout;
    let run: serde_json::Value = serde_json::from_str(&run).unwrap();
    let steps = run["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["table"] == format!("shop.{table}"));
    step.unwrap()["upsert"].clone()
}

const ORDERS: &str = "create table orders (
        id bigint primary key, region text, amount numeric(12,2), changed timestamptz);
    insert into orders select i, 'r' || i % 7, i + 0.25, '2026-01-01Z' from generate_series(1, 3000) i;";

#[tokio::test(flavor = "multi_thread")]
async fn changed_rows_take_their_place_and_untouched_files_stay() {
    for format in ["delta", "parquet"] {
        let database = cluster().database(&format!("upsert_{format}")).await;
        database.load(ORDERS).await;
        let rule = |condition: &str| {
            format!("      - {{table: public.orders, mode: upsert, where: \"{condition}\"}}\n")
        };
        let workspace = project_in(&database, format, &rule("id <= 1000"));
        let load = |condition: &str| {
            take(&workspace, &rule(condition));
            workspace.run(&["run", "load"]).succeeded()
        };
        // Three loads make files of three ranges, and touch nothing of each other.
        load("id <= 1000");
        load("id between 1001 and 2000");
        let said = load("id > 2000").stderr;
        assert!(
            said.contains("upserted: shop.orders: 1000 inserted, 0 updated, in 0 of"),
            "{said}"
        );
        let before = live_files(&workspace, format, "orders");
        let contents = warehouse(&workspace);

        database
            .load(
                "update orders set amount = -amount, region = null, changed = '2026-02-01Z'
                    where id between 1500 and 1509;
                 insert into orders values (3001, 'new', 1.5, '2026-02-01Z');",
            )
            .await;
        load("changed >= '2026-02-01Z'");
        let counts = report(&workspace, "orders");
        assert_eq!((&counts["inserted"], &counts["updated"]), (&1.into(), &10.into()), "{counts}");
        let after = live_files(&workspace, format, "orders");
        let kept: BTreeSet<_> = before.intersection(&after).collect();
        assert_eq!(counts["kept_files"], kept.len(), "{counts}");
        assert_eq!(counts["replaced_files"], before.len() - kept.len(), "{counts}");
        assert!(kept.len() >= 2 && kept.len() < before.len(), "{before:?} {after:?}");
        let now = warehouse(&workspace);
        let is_kept = |file: &str| kept.iter().any(|name| file.ends_with(name.as_str()));
        for (file, content) in contents.iter().filter(|(file, _)| is_kept(file)) {
            assert!(now[file] == *content, "{file} changed");
        }
        let (print, _) = found(&workspace, format, "orders");
        assert_eq!(print, readers::source_fingerprint(&database.url(), "public.orders"));

        // The same once more changes nothing that can be seen, and a run without a row nothing.
        load("changed >= '2026-02-01Z'");
        assert_eq!(report(&workspace, "orders")["updated"], 11);
        let whole = live_files(&workspace, format, "orders");
        load("id < 0");
        assert!(whole.is_subset(&live_files(&workspace, format, "orders")));
        assert_eq!(found(&workspace, format, "orders").0, print);
    }
}

/// Tables whose keys are of all sorts, each with a value `v` to change.
const KEYS: [(&str, &str, &str); 8] = [
    ("by_text", "k text primary key", "'ключ ' || i || repeat(' long', 20)"),
    ("by_uuid", "k uuid primary key", "md5(i::text)::uuid"),
    ("by_decimal", "k numeric(30,6) primary key", "i * 1000000000000.000001"),
    ("by_moment", "k timestamptz primary key", "'2026-01-01Z'::timestamptz + i * '1 us'::interval"),
    ("by_naive", "k timestamp primary key", "'2026-01-01'::timestamp + i * '1 us'::interval"),
    ("by_date", "k date primary key", "'2026-01-01'::date + i"),
    ("by_bytes", "k bytea primary key", "decode(md5(i::text), 'hex')"),
    (
        "by_pair",
        "k smallint, \"odd \"\"Name\" text, primary key (k, \"odd \"\"Name\")",
        "i % 10, 'n' || i",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_of_any_type_and_the_primary_key_is_taken() {
    for format in ["delta", "parquet"] {
        let database = cluster().database(&format!("upsert_keys_{format}")).await;
        let tables = KEYS.map(|(table, columns, key)| {
            format!(
                "create table {table} ({columns}, v int not null);
                 insert into {table} select {key}, i from generate_series(1, 500) i;"
            )
        });
        database.load(&tables.join("\n")).await;
        // Neither format takes a quote in a column's name.
        let rules = |rest: &str| {
            format!(
                "      - {{table: public.*, mode: upsert{rest}, \
                 columns: {{rename: {{'odd \"Name': odd_name}}}}}}\n"
            )
        };
        let workspace = project_in(&database, format, &rules(""));
        workspace.run(&["run", "load"]).succeeded();
        let changes = KEYS.map(|(table, _, key)| {
            format!(
                "update {table} set v = v + 10000 where v % 50 = 0;
                 insert into {table} select {key}, i + 10000 from generate_series(501, 505) i;"
            )
        });
        database.load(&changes.join("\n")).await;
        take(&workspace, &rules(", where: v > 10000"));
        let plan = workspace.run(&["plan", "load"]).succeeded().stdout;
        assert!(plan.contains("shop.by_pair: replaces rows of the same k, odd_name"), "{plan}");
        workspace.run(&["run", "load"]).succeeded();
        for (table, ..) in KEYS {
            let counts = report(&workspace, table);
            assert_eq!(
                (&counts["inserted"], &counts["updated"]),
                (&5.into(), &10.into()),
                "{table}"
            );
            let totals = sql(&workspace, &format!("select count(*), sum(v) from shop.{table}"));
            // 1 to 500 and 501 to 505, of which 15 went up by 10,000.
            assert_eq!(totals, format!("505,{}", 505 * 506 / 2 + 15 * 10_000), "{table}");
            let (print, _) = found(&workspace, format, table);
            assert_eq!(print.rows, 505, "{table}");
            let unmasked = ["by_text", "by_decimal", "by_date", "by_moment"].contains(&table);
            if unmasked {
                let source =
                    readers::source_fingerprint(&database.url(), &format!("public.{table}"));
                assert_eq!(print, source, "{table}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_nothing_is_read() {
    let database = cluster().database("upsert_keyless").await;
    database
        .load(
            "create table keyed (id int, region text, score real, primary key (id, region));
             create table keyless (id int, note text);",
        )
        .await;
    let workspace = project(&database, "");
    let mut told = Vec::new();
    for rule in [
        "{table: keyless, mode: upsert}",
        "{table: keyed, mode: upsert, columns: {drop: [region]}}",
        "{table: keyed, mode: upsert, columns: {mask: {region: redact}}}",
        "{table: keyed, mode: upsert, key: [id, regoin]}",
        "{table: keyed, mode: upsert, key: id, columns: {rename: {id: number}}}",
        "{table: keyed, mode: upsert, key: [score]}",
        "{query: select 1 as id, as: one, mode: upsert}",
    ] {
        take(&workspace, &format!("      - {rule}\n"));
        told.push(workspace.run(&["plan", "load"]).failed_with(2).stderr);
    }
    insta::assert_snapshot!(told.join("\n"));
    take(&workspace, "      - {table: keyed, mode: upsert, columns: {mask: {region: sha256}}}\n");
    workspace.run(&["plan", "load"]).succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_share_a_key_or_have_none_publish_nothing() {
    let database = cluster().database("upsert_unfit").await;
    database
        .load(
            "create table a (id int, region text, v int);
             insert into a select i, 'r', i from generate_series(1, 20) i;",
        )
        .await;
    let upsert = "      - {table: public.a, mode: upsert, key: [id, region]}\n";
    let workspace = project(&database, upsert);
    workspace.run(&["run", "load"]).succeeded();
    let published = warehouse(&workspace);

    database
        .load("insert into a values (null, 'r', 1), (5, null, 1), (7, 'r', 1), (8, 'r', 1);")
        .await;
    let refused = workspace.run(&["run", "load"]).failed_with(1).stderr;
    for words in [
        "`load` was not published; the warehouse is unchanged at generation 1",
        "the new rows of `shop.a` can't be told apart by their key",
        "2 new rows without a value in the key (id, region): id=5, region=NULL, id=NULL, region=r",
        "4 new rows that share a key with another (id, region): id=7, region=r, id=8, region=r",
        "pipelines/load.yml:5",
    ] {
        assert!(refused.contains(words), "{words}\n{refused}");
    }
    assert!(warehouse(&workspace) == published, "something was published");

    // What was published without a key may repeat one: two rows must not become one unseen.
    database.load("truncate a; insert into a values (5, 'r', 55);").await;
    take(&workspace, "      - {table: public.a, mode: append}\n");
    workspace.run(&["run", "load"]).succeeded();
    take(&workspace, upsert);
    let refused = workspace.run(&["run", "load"]).failed_with(1).stderr;
    for words in [
        "published rows of `shop.a` repeat a key, and can't be upserted",
        "1 new rows would take the place of 2 published ones, by id, region",
        "load the table once with `mode: replace`",
    ] {
        assert!(refused.contains(words), "{words}\n{refused}");
    }
    assert_eq!(sql(&workspace, "select count(*) from shop.a"), "21");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_upsert_too_and_read_what_will_be_published() {
    let database = cluster().database("upsert_models").await;
    database.load(ORDERS).await;
    let workspace = project(&database, "");
    let pipeline = |condition: &str| {
        take(
            &workspace,
            &format!(
                "      - table: public.orders\n        mode: upsert\n        where: {condition}\n\
                 \x20       audits: [{{row_count: {{min: 3000}}}}]\ntransform: sql\n"
            ),
        );
    };
    workspace.write(
        "sql/mart/regions.sql",
        "/* model\nmode: upsert\nkey: [region]\naudits: [{row_count: {min: 7, max: 9}}]\n*/\n\
         select region, count(*) as orders, max(changed) as changed from shop.orders\n\
         group by region having max(changed) >= '2026-01-01T00:00:00Z'",
    );
    pipeline("true");
    workspace.run(&["run", "load"]).succeeded();
    database
        .load(
            "update orders set region = 'r1', changed = '2026-02-01Z' where id = 7;
             insert into orders values (3001, 'new', 0, '2026-02-01Z');",
        )
        .await;
    pipeline("changed > '2026-01-15Z'");
    workspace.write(
        "sql/mart/regions.sql",
        workspace.read("sql/mart/regions.sql").replace("2026-01-01", "2026-02-01"),
    );
    workspace.run(&["run", "load"]).succeeded();
    // The model saw all rows, and its own table has the regions that it did not make again.
    let found = sql(&workspace, "select region, orders from mart.regions order by region");
    let source = sql(&workspace, "select region, count(*) from shop.orders group by 1 order by 1");
    assert_eq!(found, source.replace("r0,427", "r0,428"), "r0 lost a row, and no new one tells so");
    assert_eq!(sql(&workspace, "select count(*) from shop.orders"), "3001");
}

#[tokio::test(flavor = "multi_thread")]
async fn types_widen_while_rows_are_replaced() {
    let database = cluster().database("upsert_widens").await;
    database
        .load(
            "create table a (id int primary key, v smallint);
             insert into a select i, i from generate_series(1, 100) i;",
        )
        .await;
    let workspace = project(&database, "      - {table: public.a, mode: upsert}\n");
    workspace.run(&["run", "load"]).succeeded();
    database
        .load(
            "alter table a alter id type bigint, alter v type int, add note text;
             update a set v = 70000, note = 'n' where id <= 3;
             insert into a values (3000000000, 1, 'm');",
        )
        .await;
    take(&workspace, "      - {table: public.a, mode: upsert, where: note is not null}\n");
    workspace.run(&["run", "load"]).succeeded();
    let (print, schema) = found(&workspace, "delta", "a");
    assert_eq!(print, readers::source_fingerprint(&database.url(), "public.a"));
    assert_eq!((schema["id"].as_str(), schema["v"].as_str()), ("int64", "int32"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_upsert_leaves_readers_a_whole_generation() {
    let database = cluster().database("upsert_crash").await;
    database
        .load(
            "create table a (id int primary key, round int not null);
             insert into a select i, 0 from generate_series(1, 60000) i;",
        )
        .await;
    let rule = "      - {table: public.a, mode: upsert, where: id % 2 = 0}\n";
    let workspace = project(&database, "      - {table: public.a, mode: upsert}\n");
    workspace.run(&["run", "load"]).succeeded();
    take(&workspace, rule);
    let query = "select round, count(*) as n from shop.a group by 1 order by 1";
    for moment in 1..=8_u64 {
        database.load(&format!("update a set round = {moment} where id % 2 = 0;")).await;
        let before = sql(&workspace, query);
        let running = workspace.spawn(&["run", "load"]);
        tokio::time::sleep(Duration::from_millis(moment * 120)).await;
        let killed = running.kill();
        let after = sql(&workspace, query);
        let next = format!("0,30000\n{moment},30000");
        assert!(after == before || after == next, "{after} after {before}\n{killed}");
        workspace.run(&["run", "load"]).succeeded();
        assert_eq!(sql(&workspace, query), next);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_sequence_of_upserts_comes_to_what_a_map_would_hold() {
    let database = cluster().database("upsert_random").await;
    database.load("create table a (id int, part text, v int);").await;
    let rule = "      - {table: public.a, mode: upsert, key: [id, part]}\n";
    let workspace = project(&database, rule);
    let mut model = BTreeMap::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for round in 0..24 {
        // Small and large changes, near each other and far apart.
        let (rows, span) = ([0, 1, 5, 60][random(4) as usize], [10, 100, 1000][random(3) as usize]);
        let start = random(1000);
        let mut new = BTreeMap::new();
        for _ in 0..rows {
            new.insert((start + random(span), ["a", "b"][random(2) as usize]), round);
        }
        let values: Vec<_> =
            new.iter().map(|((id, part), v)| format!("({id}, '{part}', {v})")).collect();
        let insert = format!("insert into a values {};", values.join(", "));
        database.load(&format!("truncate a; {}", if rows == 0 { "" } else { &insert })).await;
        workspace.run(&["run", "load"]).succeeded();
        let (held, fresh) = (model.len(), new.len());
        model.extend(new);
        let counts = report(&workspace, "a");
        assert_eq!(counts["inserted"], model.len() - held, "round {round}");
        assert_eq!(counts["updated"], held + fresh - model.len(), "round {round}");
        let expected: Vec<_> =
            model.iter().map(|((id, part), v)| format!("{id},{part},{v}")).collect();
        let found = sql(&workspace, "select id, part, v from shop.a order by id, part");
        assert_eq!(found, expected.join("\n"), "round {round}");
    }
}
