//! How Longshore behaves as a guest: it proves that it can't write, and says why it won't read.

use super::project;
use crate::harness::{
    postgres::{PASSWORD, cluster},
    workspace::Workspace,
};

pub(super) fn with_url(url: String, more: &str) -> Workspace {
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
    let anytime = with_url(database.primary_url("reader"), ", allow_primary: true");
    let outcome = anytime.run(&["run", "load"]).failed_with(2);
    assert!(outcome.stderr.contains("a primary is only read in a window"), "{outcome}");
    let window = ", allow_primary: true, window: '00:00-24:00', timezone: UTC";
    with_url(database.primary_url("reader"), window).run(&["run", "load"]).succeeded();

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

/// Counts of writes, slots, and what the catalogs of a database hold, as one text.
const TRACES: &str = "
    select (select concat_ws(' ', tup_inserted, tup_updated, tup_deleted, temp_files, conflicts)
            from pg_stat_database where datname = current_database())
        || ' slots ' || (select count(*) from pg_replication_slots)
        || ' origins ' || (select count(*) from pg_replication_origin)
        || ' objects ' || (select count(*) from pg_largeobject_metadata)
        || ' ' || (select md5(string_agg(c::text, ',' order by c.oid)) from pg_class c)
        || ' ' || (select md5(string_agg(a::text, ',' order by attrelid, attnum)) from pg_attribute a)
        || ' ' || (select md5(string_agg(p::text, ',' order by p.oid)) from pg_proc p)
        || ' ' || (select md5(string_agg(n::text, ',' order by n.oid)) from pg_namespace n)
        || ' ' || (select coalesce(md5(string_agg(s::text, ',' order by setdatabase, setrole)), '')
            from pg_db_role_setting s)
        || ' rows ' || (select md5(string_agg(a.ctid::text || a.xmin || a::text, ',' order by a.ctid))
            from a)";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_source_is_changed_and_every_session_is_read_only_and_named() {
    let database = cluster().database("untouched").await;
    database.load("create table a as select generate_series(1, 5000) as id; analyze a").await;
    let window = ", allow_primary: true, window: '00:00-24:00', timezone: UTC";
    for (url, limits) in [(database.primary_url("reader"), window), (database.url(), "")] {
        let workspace = with_url(url, limits);
        workspace.write(
            "pipelines/load.yml",
            r#"
extract:
  - from: source
    tables:
      - {table: public.a, where: "id % 2 = 0"}
      - as: session
        query: |
          select current_setting('transaction_read_only') as now,
            current_setting('default_transaction_read_only') as later,
            current_setting('application_name') like 'longshore/load/%' as named,
            current_setting('transaction_isolation') as level
"#,
        );
        let before = database.primary_text(TRACES).await;
        for arguments in [
            &["check"] as &[&str],
            &["check", "load", "--values"],
            &["check", "load", "--grants"],
            &["plan", "load"],
            &["run", "load"],
            &["run", "load"],
        ] {
            workspace.run(arguments).succeeded();
        }
        // What a session counted is added up when it ends.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(database.primary_text(TRACES).await, before);
        let session = "select * from source.session";
        let session = workspace.run(&["sql", "--format", "csv", session]).succeeded().stdout;
        assert_eq!(session, "now,later,named,level\non,on,true,repeatable read\n");
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
        "      - {query: \"select 1 as x from pg_advisory_lock(1)\", as: q}\n",
        "      - {table: public.a, where: \"lo_create(0) is not null\"}\n",
    ] {
        let outcome = project(&database, tables).run(&["run", "load"]);
        assert_ne!(outcome.code, Some(0), "{tables}: {outcome}");
        assert!(outcome.stderr.contains("nothing was extracted"), "{outcome}");
    }
    assert_eq!(database.standby_text("select count(*)::text from a").await, "1");
}
