//! Every PostgreSQL type on its way through a standby, a COPY stream, Parquet and Delta Lake, read
//! back by software that shares no code with ours. A value arrives whole, or the run stops by name.

use super::project;
use crate::harness::{
    postgres::cluster,
    readers::{self, Reader},
};

/// Types with values at their edges. Every value of these arrives.
pub(super) const LOSSLESS: &str = "
    create type mood as enum ('sad', 'ok', 'häppy');
    create domain positive as integer check (value > 0);
    create type address as (street text, number integer);
    create table kinds (
        id integer primary key,
        flag boolean, small smallint, whole integer, big bigint,
        single real, twice double precision,
        exact numeric(12,2), wide numeric(38,10), huge numeric(60,5), loose numeric,
        words text, fixed char(5), short varchar(10), nick name,
        bytes bytea, day date, clock time, clock_zone timetz,
        moment timestamp, instant timestamptz, span interval, key uuid,
        doc json, docb jsonb, address inet, network cidr, hardware macaddr,
        bits bit(5), manybits varbit, price money,
        feeling mood, count_of positive, home address,
        numbers integer[], labels text[], gap int4range, days daterange, spot point, object oid
    );
    insert into kinds values
    (1, true, 32767, 2147483647, 9223372036854775807, 1.5, 'NaN',
     9999999999.99, 1234567890123456789012345678.0123456789, 12345678901234567890123456789012345678901234567890.12345, 'NaN',
     'naïve ☕ 日本語', 'ab', 'short', 'nick', '\\x00ff10', '0001-01-01', '24:00:00', '23:59:59.999999+05:30',
     '2024-02-29 12:34:56.789012', '2024-02-29 12:34:56.789012+02', '1 mon -3 days 04:05:06.7', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
     '{\"a\": [1, null]}', '{\"b\": 2}', '192.168.1.5/24', '10.0.0.0/8', '08:00:2b:01:02:03',
     B'10110', B'1', '12.34', 'häppy', 7, row('Rue de l''Été', 9),
     '{1,NULL,3}', '{a,NULL,\"c,d\"}', '[1,10)', '(,2024-01-01)', '(1.5,-2)', 4294967295),
    (2, false, -32768, -2147483648, -9223372036854775808, '-Infinity', 'Infinity',
     -0.01, -0.0000000001, -0.00001, 'Infinity',
     '', '', '', '', '', '9999-12-31', '00:00:00', '00:00:00-12',
     '0001-01-01 00:00:00', '1969-12-31 23:59:59.999999+00', '-1 year', '00000000-0000-0000-0000-000000000000',
     'null', '[]', '::1', '::/0', 'ff:ff:ff:ff:ff:ff',
     B'00000', B'', '-0.01', 'sad', 1, row(null, null),
     '{}', '{}', 'empty', '[2024-01-01,)', '(0,0)', 0);
    insert into kinds (id) values (3);
";

/// What PostgreSQL itself says of a column, as text, in the order of ids.
async fn texts(database: &crate::harness::postgres::Database<'_>, expression: &str) -> Vec<String> {
    let query = format!(
        "select coalesce(string_agg(coalesce(({expression})::text, '∅'), E'\\x1f' order by id), '') from kinds"
    );
    let all = database.standby_text(&query).await;
    all.split('\x1f').map(str::to_owned).collect()
}

/// What another reader finds in a published column, as text, in the order of ids.
fn published(rows: &[serde_json::Value], column: &str) -> Vec<String> {
    let mut found: Vec<_> =
        rows.iter().map(|row| (row["id"].as_i64().unwrap(), &row[column])).collect();
    found.sort_by_key(|(id, _)| *id);
    found
        .into_iter()
        .map(|(_, value)| match value {
            serde_json::Value::Null => "∅".to_owned(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn values_at_the_edges_arrive_whole() {
    let database = cluster().database("kinds").await;
    database.load(LOSSLESS).await;
    let workspace = project(&database, "      - public.kinds\n");
    workspace.run(&["run", "load"]).succeeded();
    let folder = workspace.path("warehouse/shop/kinds");
    let rows: Vec<serde_json::Value> =
        readers::rows(Reader::DuckdbDelta, folder.to_str().unwrap(), &[])
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
    assert_eq!(rows.len(), 3);
    // The column, and how PostgreSQL says the same as text.
    let columns = [
        ("flag", "flag"),
        ("small", "small"),
        ("whole", "whole"),
        ("big", "big"),
        ("exact", "exact"),
        ("wide", "wide"),
        ("huge", "huge"),
        ("loose", "loose"),
        ("words", "words"),
        ("short", "short"),
        ("nick", "nick"),
        ("bytes", "encode(bytes, 'hex')"),
        ("clock", "clock"),
        ("key", "key"),
        ("doc", "doc"),
        ("docb", "docb"),
        ("address", "replace(address::text, '/128', '')"),
        ("network", "network"),
        ("hardware", "hardware"),
        ("bits", "bits"),
        ("manybits", "manybits"),
        ("price", "price::numeric"),
        ("feeling", "feeling"),
        ("count_of", "count_of"),
        ("spot", "spot"),
        ("object", "object"),
        ("fixed", "fixed"),
    ];
    for (column, expression) in columns {
        assert_eq!(published(&rows, column), texts(&database, expression).await, "{column}");
    }
    let first = rows.iter().find(|row| row["id"] == 1).unwrap();
    let second = rows.iter().find(|row| row["id"] == 2).unwrap();
    assert_eq!(first["single"], 1.5);
    assert_eq!((&first["twice"], &second["single"]), (&"nan".into(), &"-inf".into()));
    assert_eq!(first["instant"], "2024-02-29T10:34:56.789012+00:00");
    assert_eq!(first["numbers"], serde_json::json!([1, null, 3]));
    assert_eq!(first["labels"], serde_json::json!(["a", null, "c,d"]));
    assert_eq!(second["numbers"], serde_json::json!([]));
    assert_eq!(first["home"], serde_json::json!({"street": "Rue de l'Été", "number": 9}));
    assert_eq!(
        first["span"],
        serde_json::json!({"months": 1, "days": -3, "micros": 14_706_700_000_i64})
    );
    assert_eq!(first["gap"]["lower"], 1);
    assert_eq!(second["gap"]["empty"], true);
    assert_eq!(second["day"], "9999-12-31");
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_before_christ_keep_their_day() {
    let database = cluster().database("bc").await;
    database.load("create table old (id int, day date); insert into old values (1, '0044-03-15 BC'), (2, '4713-01-01 BC');").await;
    let workspace = project(&database, "      - public.old\n");
    workspace.run(&["run", "load"]).succeeded();
    let query = "select cast(day as int) as days from shop.old order by id";
    let found = workspace.run(&["sql", "--format", "csv", query]).succeeded().stdout;
    let expected = database
        .standby_text(
            "select string_agg((day - date '1970-01-01')::text, E'\\n' order by id) from old",
        )
        .await;
    assert_eq!(found.trim_end(), format!("days\n{expected}"));
    // DuckDB knows dates before Christ; its count of days is the same.
    let folder = workspace.path("warehouse/shop/old");
    let print = readers::fingerprint(Reader::DuckdbDelta, folder.to_str().unwrap(), &[]);
    let total = database.standby_text("select sum(day - date '1970-01-01')::text from old").await;
    assert_eq!(print.columns["day"].sum.as_deref(), Some(total.as_str()));
}

/// Values that their column's published type can't hold: the statement that makes the table, and
/// the word that the error must say of the value's kind.
const REFUSED: &[(&str, &str, &str)] = &[
    ("nan", "amount numeric(10,2)", "'NaN'"),
    ("day_inf", "amount date", "'infinity'"),
    ("day_minus", "amount date", "'-infinity'"),
    ("ts_inf", "amount timestamp", "'infinity'"),
    ("tstz_inf", "amount timestamptz", "'-infinity'"),
    ("matrix", "amount integer[]", "'{{1,2},{3,4}}'"),
    ("bounds", "amount integer[]", "'[5:6]={1,2}'"),
    ("dates", "amount date[]", "'{2024-01-01,infinity}'"),
    ("period", "amount daterange", "'[2024-01-01,infinity]'"),
    ("periods", "amount datemultirange", "'{[2024-01-01,infinity]}'"),
    ("latest", "amount timestamptz", "'294270-01-01'"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_stops_the_run_by_name_and_has_a_way_out() {
    let database = cluster().database("refused").await;
    for (table, column, value) in REFUSED {
        database.load(&format!("create table {table} (id int, {column}); insert into {table} values (1, null), (2, {value});")).await;
        let workspace = project(&database, &format!("      - public.{table}\n"));
        let outcome = workspace.run(&["run", "load"]).failed_with(1);
        let said = &outcome.stderr;
        assert!(said.contains("amount"), "the column is named: {said}");
        assert!(said.contains("nothing was extracted"), "no row was read: {said}");
        assert!(said.contains("the warehouse is still empty"), "{said}");
        assert!(said.contains("cast: {amount: text}"), "the way out is named: {said}");
        assert!(workspace.files(".longshore/stage").is_empty(), "nothing is staged");
        assert!(workspace.files("warehouse/shop").is_empty(), "nothing is left");
        // `check` told of it before.
        let checked = workspace.run(&["check", "load", "--json"]).succeeded();
        assert!(checked.stdout.contains("\"guarded\""), "{}", checked.stdout);

        let rule =
            format!("      - {{table: public.{table}, columns: {{cast: {{amount: text}}}}}}\n");
        let workspace = project(&database, &rule);
        workspace.run(&["run", "load"]).succeeded();
        let query = format!("select amount from shop.{table} where id = 2");
        let found = workspace.run(&["sql", "--format", "json", &query]).succeeded().stdout;
        let found: serde_json::Value = serde_json::from_str(found.trim()).unwrap();
        let text =
            database.standby_text(&format!("select amount::text from {table} where id = 2")).await;
        assert_eq!(found["amount"], text, "{table}");
    }
}

/// The statistics of a large table tell of values that don't fit; where they don't, reading does.
#[tokio::test(flavor = "multi_thread")]
async fn large_tables_are_looked_at_where_their_statistics_raise_a_suspicion() {
    let database = cluster().database("suspects").await;
    database
        .load(
            "create table known (day date, filler text) with (autovacuum_enabled = off);
             insert into known select case when i % 100 = 0 then 'infinity' else date '2024-01-01' + i % 300 end,
                 repeat('x', 100) from generate_series(1, 80000) i;
             create table unknown (like known) with (autovacuum_enabled = off);
             insert into unknown select * from known;
             create table mended (like known) with (autovacuum_enabled = off);
             insert into mended select * from known;
             analyze known, mended;
             update mended set day = '2024-01-01' where day = 'infinity';
             create view seen as select day from known limit 200;",
        )
        .await;
    let load = |table: &str| project(&database, &format!("      - public.{table}\n"));
    let said = load("known").run(&["run", "load"]).failed_with(1).stderr;
    assert!(said.contains("nothing was extracted"), "{said}");
    for table in ["unknown", "seen"] {
        let workspace = load(table);
        let said = workspace.run(&["run", "load"]).failed_with(1).stderr;
        assert!(said.contains("`day` holds infinity"), "{said}");
        // Whoever wants to be certain beforehand can be.
        workspace.run(&["check"]).succeeded();
        let said = workspace.run(&["check", "--values"]).failed_with(1).stderr;
        assert!(said.contains("`day` holds infinity"), "{said}");
    }
    // Statistics that are out of date stop nothing.
    let workspace = load("mended");
    workspace.run(&["check", "--values"]).succeeded();
    workspace.run(&["run", "load"]).succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn views_queries_patterns_and_rules_do_what_they_say() {
    let database = cluster().database("rules").await;
    database
        .load(
            "create table orders (id int primary key, total numeric(10,2), secret text);
             insert into orders select i, i * 1.5, 'secret ' || i from generate_series(1, 100) i;
             create view big_orders as select * from orders where total > 100;
             create table \"Odd.Name\" (\"Key\" int, \"with space\" text);
             insert into \"Odd.Name\" values (1, 'x');
             create table parts (id int, region text) partition by list (region);
             create table parts_eu partition of parts for values in ('eu');
             create table parts_us partition of parts for values in ('us');
             insert into parts select i, case when i % 2 = 0 then 'eu' else 'us' end from generate_series(1, 1000) i;
             create table left_out (id int);",
        )
        .await;
    let workspace = project(
        &database,
        "      - public.*\n\
         \x20     - {table: public.left_out, skip: true}\n\
         \x20     - table: public.orders\n\
         \x20       where: id > 10\n\
         \x20       columns: {mask: {secret: sha256}, rename: {total: amount}}\n\
         \x20     - table: 'public.\"Odd.Name\"'\n\
         \x20       as: odd\n\
         \x20       columns: {rename: {with space: words}}\n\
         \x20     - query: select region, count(*) as n, sum(id) as ids from parts group by 1\n\
         \x20       as: regions\n",
    );
    workspace.run(&["run", "load"]).succeeded();
    let csv = |query: &str| workspace.run(&["sql", "--format", "csv", query]).succeeded().stdout;
    assert_eq!(csv("select count(*) as n, sum(amount) as a from shop.orders"), "n,a\n90,7492.50\n");
    assert_eq!(csv("select count(*) as n from shop.big_orders"), "n\n34\n");
    assert_eq!(csv("select words from shop.odd"), "words\nx\n");
    assert_eq!(
        csv("select count(*) as n, count(distinct id) as d from shop.parts"),
        "n,d\n1000,1000\n"
    );
    assert_eq!(
        csv("select region, n, ids from shop.regions order by 1"),
        "region,n,ids\neu,500,250500\nus,500,250000\n"
    );
    let hashed =
        csv("select max(length(secret)) as l from shop.orders where secret not like '%secret%'");
    assert_eq!(hashed, "l\n64\n");
    let tables = workspace.run(&["tables", "--json"]).succeeded().stdout;
    assert!(!tables.contains("left_out") && !tables.contains("parts_eu"), "{tables}");
}
