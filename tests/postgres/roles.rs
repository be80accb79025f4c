//! Which logins may read: one role for each privilege that writes, and what mends it.

use serde_json::Value;

use super::guest::with_url;
use crate::harness::{
    postgres::{Database, PASSWORD, cluster},
    workspace::Workspace,
};

/// What is granted to `{role}`, and what the refusal must say of it.
const DANGERS: [(&str, &str); 24] = [
    ("alter role {role} superuser", "has the attribute SUPERUSER"),
    ("alter role {role} createrole", "has the attribute CREATEROLE"),
    ("alter role {role} createdb", "has the attribute CREATEDB"),
    ("alter role {role} replication", "has the attribute REPLICATION"),
    ("alter role {role} bypassrls", "has the attribute BYPASSRLS"),
    ("grant insert on a to {role}", "has INSERT on `public.a`"),
    ("grant update on a to {role}", "has UPDATE on `public.a`"),
    ("grant update (id) on a to {role}", "has UPDATE on `public.a`"),
    ("grant delete on a to {role}", "has DELETE on `public.a`"),
    ("grant truncate on a to {role}", "has TRUNCATE on `public.a`"),
    ("grant trigger on a to {role}", "has TRIGGER on `public.a`"),
    ("grant insert, delete on v to {role}", "has DELETE, INSERT on `public.v`"),
    ("grant update on sequence s to {role}", "has UPDATE on the sequence `public.s`"),
    ("grant usage on sequence s to {role}", "has USAGE on the sequence `public.s`"),
    ("grant create on schema public to {role}", "has CREATE on the schema `public`"),
    ("grant create on database roles to {role}", "has CREATE on the database `roles`"),
    ("grant pg_write_all_data to {role}", "is a member of `pg_write_all_data`"),
    ("grant pg_write_server_files to {role}", "is a member of `pg_write_server_files`"),
    ("grant pg_execute_server_program to {role}", "is a member of `pg_execute_server_program`"),
    ("grant pg_signal_backend to {role}", "is a member of `pg_signal_backend`"),
    ("grant update on large object 4711 to {role}", "has UPDATE on the large object `4711`"),
    ("grant execute on function pg_promote to {role}", "has EXECUTE on the function `pg_promote`"),
    // What it may change into counts as its own, inherited or not.
    ("alter role {role} noinherit; grant roles_admin to {role}", "is a member of `roles_admin`"),
    ("grant roles_scribes to {role}", "has INSERT on `public.b` through roles_scribes"),
];

/// What `check` holds against a login: each reason with its remedy.
fn refusals(workspace: &Workspace) -> Vec<(String, String)> {
    let outcome = workspace.run(&["check", "load", "--json"]);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let refusals = report["connections"][0]["preflight"]["refusals"].as_array();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    refusals
        .unwrap_or_else(|| panic!("{outcome}"))
        .iter()
        .map(|refusal| (text(&refusal["reason"]), text(&refusal["remedy"])))
        .collect()
}

async fn database() -> Database<'static> {
    let database = cluster().database("roles").await;
    database
        .load(
            "create table a (id int primary key); create table b (id int); create sequence s;
             create view v as select * from a; insert into a values (1);
             select lo_create(4711);
             create role roles_admin createrole; create role roles_scribes;
             grant insert on b to roles_scribes;",
        )
        .await;
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn each_privilege_that_writes_is_refused_by_name_and_mended_as_told() {
    let database = database().await;
    let mut setup = String::new();
    for (at, (grant, _)) in DANGERS.iter().enumerate() {
        let role = format!("danger_{at}");
        setup += &format!(
            "create role {role} login password '{PASSWORD}'; grant select on a, b, v to {role};
             grant usage on schema public to {role}; {};",
            grant.replace("{role}", &role)
        );
    }
    database.load(&setup).await;
    let logins: Vec<_> = (0..DANGERS.len())
        .map(|at| with_url(database.standby_url(&format!("danger_{at}")), ""))
        .collect();
    let mut remedies = String::new();
    for ((grant, expected), login) in DANGERS.iter().zip(&logins) {
        let refused = refusals(login);
        assert!(
            refused.iter().any(|(reason, _)| reason.contains(expected)),
            "{grant}: {refused:?}"
        );
        let outcome = login.run(&["run", "load"]).failed_with(1);
        assert!(outcome.stderr.contains(expected), "{outcome}");
        for (_, remedy) in &refused {
            assert!(outcome.stderr.contains(remedy), "{remedy}: {outcome}");
            remedies += &format!("{remedy};\n");
        }
    }
    // What is told is what mends it, to the letter.
    database.load(&remedies).await;
    for ((grant, _), login) in DANGERS.iter().zip(&logins) {
        assert_eq!(refusals(login), [], "after {grant}");
    }
    logins[0].run(&["run", "load"]).succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_login_owns_is_refused_and_what_only_warns_is_told() {
    let database = cluster().database("owners").await;
    database
        .load(&format!(
            "create role owner_of_one login password '{PASSWORD}';
             grant usage on schema public to owner_of_one;
             create table t (id int); alter table t owner to owner_of_one;
             grant temporary on database owners to public;"
        ))
        .await;
    let owner = with_url(database.standby_url("owner_of_one"), "");
    let [(reason, remedy)] = refusals(&owner).try_into().unwrap();
    assert_eq!(reason, "the login `owner_of_one` owns `public.t`");
    assert!(remedy.contains("ALTER TABLE public.t OWNER TO"), "{remedy}");
    let reader = with_url(database.url(), "");
    let outcome = reader.run(&["check"]);
    assert!(
        outcome.stdout.contains("REVOKE TEMPORARY ON DATABASE owners FROM PUBLIC"),
        "{outcome}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_that_is_proposed_suffices_and_can_do_no_more() {
    let database = cluster().database("proposed").await;
    database
        .load(
            "create schema \"Odd \"\"one\"; create table \"Odd \"\"one\".\"T.x\" (id int);
             create table people (id int primary key, name text, secret text);
             create table orders (id int, person int); create table unasked (id int);
             insert into people values (1, 'a', 'b'); insert into orders values (7, 1);
             grant create on schema public to public; create table open (id int);
             grant insert on open to public;",
        )
        .await;
    let mut workspace = with_url(database.primary_url("postgres"), "");
    workspace.write(
        "pipelines/load.yml",
        r#"
extract:
  - from: source
    tables:
      - '"Odd ""one".*'
      - {table: people, columns: {drop: [secret]}}
      - {query: "with n as (select 1 as x) select o.id from orders o, n", as: sums}
"#,
    );
    let outcome = workspace.run(&["check", "load", "--grants=proposal"]).succeeded();
    insta::assert_snapshot!(outcome.stdout, @r#"
    -- Connection source: a login that may read what is asked for, and nothing else.
    -- To be run in database "proposed", on the primary, by an administrator.
    CREATE ROLE "proposal" LOGIN PASSWORD '…'
      NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
      CONNECTION LIMIT 5;
    ALTER ROLE "proposal" SET default_transaction_read_only = on;
    GRANT CONNECT ON DATABASE "proposed" TO "proposal";
    GRANT USAGE ON SCHEMA "Odd ""one" TO "proposal";
    GRANT USAGE ON SCHEMA "public" TO "proposal";
    GRANT SELECT ON "Odd ""one"."T.x" TO "proposal";
    GRANT SELECT ON "public"."orders" TO "proposal";
    GRANT SELECT ON "public"."people" TO "proposal";
    --   or, without "secret", and read by one connection only:
    --   GRANT SELECT ("id", "name") ON "public"."people" TO "proposal";
    -- Every login may do this, which no login for reading should; others may need it.
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    REVOKE INSERT ON public.open FROM PUBLIC;
    "#);
    database.load(&outcome.stdout.replace('…', PASSWORD)).await;
    workspace.set("SOURCE_URL", database.standby_url("proposal"));
    workspace.run(&["check", "load"]).succeeded();
    workspace.run(&["run", "load"]).succeeded();
    workspace.write("pipelines/load.yml", "extract:\n  - {from: source, tables: [unasked]}\n");
    let outcome = workspace.run(&["run", "load"]).failed_with(1);
    assert!(outcome.stderr.contains("may not be read by this login"), "{outcome}");
}
