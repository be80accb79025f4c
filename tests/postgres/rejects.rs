//! Values that don't fit, with a rule for them: every row of the source is in the table or among its
//! rejects, and both are told.

use std::{collections::BTreeMap, fmt::Write as _};

use super::project;
use crate::harness::{
    postgres::{Cluster, Database, OWNER, READER, cluster},
    proxy::{Fault, Proxy},
    readers::{self, Reader},
    workspace::{Outcome, Workspace},
};

/// Every tenth row holds what does not fit, in one way or another.
const MISFITS: &str = "
    create table t (
        id int primary key, secret text, amount numeric(12,2), born date, moment timestamptz,
        numbers int[], period daterange, score numeric
    );
    insert into t select i, 'secret ' || i,
        case when i % 50 = 10 then 'NaN' else i / 7.0 end,
        case when i % 50 = 20 then date 'infinity' else date '2024-01-01' + i % 300 end,
        case when i % 50 = 30 then timestamptz '-infinity' else now() end,
        case when i % 50 = 40 then '{{1,2},{3,4}}'::int[] else array[i, null] end,
        daterange('2024-01-01', case when i % 50 = 0 then date 'infinity' end, '[]'),
        case when i % 1000 = 999 then 123456.789 else 1.25 end
    from generate_series(1, 10000) i;";

/// Rows of one published table, by independent software.
fn published(workspace: &Workspace, table: &str) -> Vec<serde_json::Value> {
    let folder = workspace.path(format!("warehouse/shop/{table}"));
    let rows = readers::rows(Reader::DeltaRs, folder.to_str().unwrap(), &[]);
    rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}

/// The step of `table` in a run's report.
fn step(outcome: &Outcome, table: &str) -> serde_json::Value {
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let steps = report["steps"].as_array().unwrap();
    steps.iter().find(|step| step["table"] == table).unwrap().clone()
}

fn quarantining(database: &Database<'_>, more: &str) -> Workspace {
    project(
        database,
        &format!(
            "      - table: public.t\n        on_mismatch: quarantine\n        \
             max_rejects: 12%\n        columns: {{mask: {{secret: sha256}}, \
             cast: {{score: \"decimal(4,2)\"}}}}\n{more}"
        ),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_is_published_or_among_the_rejects() {
    let database = cluster().database("quarantined").await;
    database.load(MISFITS).await;
    let workspace =
        quarantining(&database, "        audits: [{unique: id}, {not_null: [amount]}]\n");
    let outcome = workspace.run(&["run", "load", "--json"]).succeeded();
    let (kept, rejects) = (published(&workspace, "t"), published(&workspace, "t__rejects"));
    assert_eq!((kept.len(), rejects.len()), (8990, 1010));
    let step = step(&outcome, "shop.t");
    assert_eq!(
        (&step["rows"], &step["rejected"], &step["nulled"]),
        (&8990.into(), &1010.into(), &0.into())
    );
    assert!(outcome.stderr.contains("`shop.t`: 1010 rows rejected"), "{outcome}");

    // Each id once, on one side or the other.
    let mut ids: Vec<i64> = kept.iter().map(|row| row["id"].as_i64().unwrap()).collect();
    let mut kinds: BTreeMap<(i64, String), usize> = BTreeMap::new();
    for row in &rejects {
        let values: serde_json::Value =
            serde_json::from_str(row["row_values"].as_str().unwrap()).unwrap();
        let (id, column) = (values["id"].as_i64().unwrap(), row["column_name"].as_str().unwrap());
        ids.push(id);
        *kinds.entry((id % 50, column.to_owned())).or_default() += 1;
        assert_eq!(values[column], row["value"], "{row}");
        assert!(row["position"].as_str().unwrap().starts_with("LSN "), "{row}");
        let reason = row["reason"].as_str().unwrap();
        assert!(reason.starts_with(&format!("`{column}` holds ")), "{reason}");
        // What is masked is masked here as well.
        assert_eq!(values["secret"].as_str().unwrap().len(), 64, "{row}");
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=10_000).collect::<Vec<i64>>());
    let kinds: Vec<_> =
        kinds.iter().map(|((rest, column), n)| (*rest, column.as_str(), *n)).collect();
    let expected = [
        (0, "period", 200),
        (10, "amount", 200),
        (20, "born", 200),
        (30, "moment", 200),
        (40, "numbers", 200),
        (49, "score", 10),
    ];
    assert_eq!(kinds, expected);
    let found = |id: i64| {
        let id = format!("\"id\":{id},");
        let row = rejects.iter().find(|row| row["row_values"].as_str().unwrap().contains(&id));
        row.unwrap()["value"].as_str().unwrap().to_owned()
    };
    let texts = [10, 20, 30, 40, 50, 999].map(found);
    let as_printed =
        ["NaN", "infinity", "-infinity", "{{1,2},{3,4}}", "[2024-01-01,infinity]", "123456.789"];
    assert_eq!(texts, as_printed);

    // The ledger remembers, and a replace leaves the rejects of the last run only.
    let told = workspace.run(&["runs", "latest"]).succeeded().stdout;
    assert!(told.contains("longshore sql 'select * from shop.t__rejects'"), "{told}");
    workspace.run(&["run", "load"]).succeeded();
    assert_eq!(published(&workspace, "t__rejects").len(), 1010);
    for file in workspace.files(".longshore/stage").iter().chain(&workspace.files("warehouse")) {
        assert!(!file.ends_with("parquet") || !holds(&workspace, file, b"secret 10"), "{file}");
    }
}

fn holds(workspace: &Workspace, file: &str, needle: &[u8]) -> bool {
    let path = [".longshore/stage", "warehouse"].map(|folder| workspace.path(folder).join(file));
    let bytes = path.iter().find_map(|path| std::fs::read(path).ok()).unwrap_or_default();
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_has_its_own_rule() {
    let database = cluster().database("ruled").await;
    database.load(MISFITS).await;
    let rules = "      - table: public.t\n        columns:\n          drop: [score]\n          \
                 on_mismatch: {amount: null, born: quarantine, moment: text, numbers: null, period: 'null'}\n";
    let workspace = project(&database, rules);
    let plan = workspace.run(&["plan", "load", "-v"]).succeeded().stdout;
    assert!(plan.contains("amount: numeric(12,2) → decimal(12,2), guarded"), "{plan}");
    assert!(plan.contains("what does not fit becomes NULL"), "{plan}");
    assert!(plan.contains("rejects go to shop.t__rejects"), "{plan}");
    let check = workspace.run(&["check", "load"]).succeeded().stdout;
    assert!(
        check.contains("columns: ") && check.contains("a row that does not fit is rejected"),
        "{check}"
    );

    // Two rows of a hundred: too many by default.
    let outcome = workspace.run(&["run", "load"]).failed_with(1);
    assert!(outcome.stderr.contains("200 of 10000 rows hold values that do not fit"), "{outcome}");
    assert!(outcome.stderr.contains("the warehouse is still empty"), "{outcome}");
    let rules = rules.replace("public.t\n", "public.t\n        max_rejects: 200\n");
    let workspace = project(&database, &rules);
    let outcome = workspace.run(&["run", "load", "--json"]).succeeded();
    let step = step(&outcome, "shop.t");
    assert_eq!((&step["rejected"], &step["nulled"]), (&200.into(), &600.into()));
    let folder = workspace.path("warehouse/shop/t");
    let print = readers::fingerprint(Reader::DuckdbDelta, folder.to_str().unwrap(), &[]);
    let kept = "from t where born <> 'infinity'";
    let source = |expression: &str| format!("select ({expression})::text {kept}");
    let count = database.standby_text(&source("count(*)")).await;
    let sum = database.standby_text(&source("sum(amount) filter (where amount <> 'NaN')")).await;
    assert_eq!(print.rows.to_string(), count);
    assert_eq!(print.columns["amount"].sum.as_deref(), Some(sum.as_str()));
    let nulls = ["amount", "numbers", "period"].map(|column| print.columns[column].nulls);
    assert_eq!(nulls, [200, 200, 200]);
    assert_eq!(print.columns["moment"].min.as_deref(), Some("-infinity"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_part_doubles_no_reject() {
    let database = cluster().database("lost_rejects").await;
    let wider =
        MISFITS.replace("10000", "40000").replace("'secret ' || i", "repeat('secret ', 60) || i");
    database.load(&wider).await;
    let proxy = Proxy::start(cluster().standby_port());
    let mut workspace = quarantining(&database, "");
    workspace.set("SOURCE_URL", proxy.lead(&database.url()));
    for after in [70_000, 5_000_000] {
        proxy.inject(Fault::CutAnswer { request: b"COPY (".to_vec(), after }, 1);
        let outcome = workspace.run(&["run", "load", "--json"]).succeeded();
        assert_eq!(proxy.pending(), 0, "the fault was met");
        let step = step(&outcome, "shop.t");
        assert_eq!((&step["rows"], &step["rejected"]), (&35_960.into(), &4040.into()), "{outcome}");
        assert_eq!(published(&workspace, "t__rejects").len(), 4040);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_text_are_dealt_with_as_any_misfit() {
    // A server whose databases promise nothing of their bytes.
    let name = "ascii";
    let create =
        format!("create database {name} encoding 'SQL_ASCII' template template0 locale 'C'");
    let servers: &Cluster = cluster();
    servers.primary_sql(OWNER, &create).await;
    let database = Database { cluster: servers, name: name.into() };
    database
        .load(&format!(
            "grant usage on schema public to {READER};
             revoke create on schema public from public;
             revoke temporary on database {name} from public;
             create table t (id int primary key, note text, word varchar(9));
             insert into t select i, convert_from('\\x61e9', 'SQL_ASCII'), 'plain' from generate_series(1, 3) i;
             insert into t values (4, 'naïve', 'ok'), (5, repeat('x', 40), convert_from('\\xff', 'SQL_ASCII'));
             grant select on t to {READER};"
        ))
        .await;
    let rule = |rules: &str| project(&database, &format!("      - {{table: public.t{rules}}}\n"));
    let said = rule("").run(&["run", "load"]).failed_with(1).stderr;
    assert!(said.contains("column `note` holds bytes that are not UTF-8"), "{said}");
    let workspace = rule(", on_mismatch: quarantine");
    workspace.run(&["run", "load"]).succeeded();
    let kept = published(&workspace, "t");
    assert_eq!((kept.len(), &kept[0]["note"]), (1, &"naïve".into()));
    let mut rejects = String::new();
    for row in published(&workspace, "t__rejects") {
        writeln!(rejects, "{} {} {}", row["row"], row["column_name"], row["value"]).unwrap();
    }
    let mut lines: Vec<_> = rejects.lines().collect();
    lines.sort_unstable();
    let note = r#""note" "\\x61e9""#;
    assert_eq!(
        lines,
        [
            &*format!("1 {note}"),
            &*format!("2 {note}"),
            &*format!("3 {note}"),
            r#"5 "word" "\\xff""#
        ]
    );
    let workspace = rule(", on_mismatch: null");
    workspace.run(&["run", "load"]).succeeded();
    let nulls = published(&workspace, "t").iter().filter(|row| row["note"].is_null()).count();
    assert_eq!(nulls, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_have_a_table_of_their_own() {
    let database = cluster().database("places").await;
    database.load("create table a (id int, day date); create table a__rejects (id int);").await;
    let workspace = project(
        &database,
        "      - public.*\n      - {table: public.a, on_mismatch: quarantine}\n",
    );
    let said = workspace.run(&["plan", "load"]).failed_with(2).stderr;
    assert!(said.contains("two tables would be published as `shop.a__rejects`"), "{said}");
    // Without rejects it is there as well, so that a model may count on it.
    let workspace =
        project(&database, "      - {table: public.a, on_mismatch: quarantine, mode: append}\n");
    workspace.run(&["run", "load"]).succeeded();
    let all =
        workspace.run(&["sql", "--format", "csv", "select count(*) as n from shop.a__rejects"]);
    assert_eq!(all.succeeded().stdout, "n\n0\n");
    database.load("insert into a values (1, 'infinity')").await;
    workspace.run(&["run", "load"]).succeeded();
    workspace.run(&["run", "load"]).succeeded();
    assert_eq!(published(&workspace, "a__rejects").len(), 2, "they are added as the rows are");
}
