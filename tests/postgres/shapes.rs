//! Tables of all shapes arrive once: partitions, children, and storage without ranges of pages.

use super::project;
use crate::harness::{
    postgres::{Database, cluster},
    readers::{self, Reader},
    workspace::Workspace,
};

const COLUMNS: &str = "id int, region text, amount numeric(12,2), pad text";

const ROWS: &str =
    "select i, case i % 4 when 0 then 'au' when 1 then 'nz' when 2 then 'jp' else 'xx' end,
    i / 7.0, repeat(md5(i::text), 8) from generate_series(1, 100000) i";

/// Panics unless each of `tables` is published as the source has it.
fn assert_same(database: &Database<'_>, workspace: &Workspace, tables: &[&str]) {
    for table in tables {
        let folder = workspace.path(format!("warehouse/shop/{table}"));
        let published = readers::fingerprint(Reader::DeltaRs, folder.to_str().unwrap(), &[]);
        let source = readers::source_fingerprint(&database.url(), &format!("public.{table}"));
        assert_eq!(published, source, "{table}");
        assert!(published.rows > 0, "{table}");
    }
}

/// The COPY statements over `relation` that the standby has seen in `database`.
fn copies(database: &Database<'_>, relation: &str) -> Vec<String> {
    let (name, from) =
        (format!("@{} ", database.name), format!("FROM ONLY \"public\".\"{relation}\""));
    let log = cluster().standby_log();
    let lines = log.lines().filter(|line| line.contains(&name) && line.contains("COPY ("));
    lines.filter(|line| line.contains(&from)).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_and_children_arrive_once() {
    let database = cluster().database("shapes").await;
    database
        .load(&format!(
            "create table sales ({COLUMNS}) partition by list (region);
             create table sales_au partition of sales for values in ('au') partition by range (id);
             create table sales_au_old partition of sales_au for values from (0) to (50000);
             create table sales_au_new partition of sales_au for values from (50000) to (200000);
             create table sales_empty partition of sales for values in ('qq');
             create table sales_other partition of sales default;
             insert into sales {ROWS};
             create table parent ({COLUMNS});
             create table child (extra int) inherits (parent);
             create table grandchild () inherits (child);
             insert into parent {ROWS};
             insert into child select id + 200000, region, amount, pad, 1 from parent limit 1000;
             insert into grandchild select id + 300000, region, amount, pad, 2 from parent limit 7;"
        ))
        .await;
    let workspace = project(&database, "      - public.sales\n      - public.parent\n");
    workspace.run(&["run", "load"]).succeeded();
    assert_same(&database, &workspace, &["sales", "parent"]);
    assert!(copies(&database, "sales_other").len() > 1, "a large partition is divided");
    for leaf in ["sales_au_old", "sales_au_new", "sales_empty", "child", "grandchild"] {
        assert_eq!(copies(&database, leaf).len(), 1, "{leaf}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_storage_is_read_by_ranges_of_its_key() {
    let database = cluster().database("storage").await;
    // The heap's own code under another name: nobody may rely on pages of what is not a heap.
    database
        .load(&format!(
            "create access method other type table handler heap_tableam_handler;
             create table keyed ({COLUMNS}) using other;
             create table narrow (pad text, id smallint primary key) using other;
             create table shuffled ({COLUMNS}) using other;
             insert into keyed values (-2147483648);
             insert into keyed {ROWS};
             insert into keyed values (2147483647);
             insert into shuffled {ROWS} order by md5(i::text);
             insert into narrow select repeat(md5(i::text), 40), i from generate_series(-9999, 9999) i;
             alter table narrow alter pad set storage external;
             alter table keyed add primary key (id);
             alter table shuffled add primary key (id);
             analyze;"
        ))
        .await;
    let workspace = project(&database, "      - public.*\n");
    workspace.run(&["run", "load"]).succeeded();
    assert_same(&database, &workspace, &["keyed", "narrow", "shuffled"]);
    for table in ["keyed", "narrow"] {
        let keyed = copies(&database, table);
        let by_key = |copy: &String| copy.contains(r#"WHERE "id" "#);
        assert!(keyed.len() > 1 && keyed.iter().all(by_key), "{keyed:?}");
    }
    // The least and the greatest key lie far off; tables are cut where their rows are.
    let first = copies(&database, "keyed")
        .iter()
        .find_map(|copy| copy.split_once("\"id\" < '")?.1.split_once('\'')?.0.parse::<i64>().ok());
    assert!(first.is_some_and(|cut| (10_000..90_000).contains(&cut)), "{first:?}");
    assert_eq!(copies(&database, "shuffled").len(), 1, "ranges would each be all over the table");
}
