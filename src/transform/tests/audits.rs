//! Audits of each kind, holding and not.

use super::workspace::{Workspace, rendered};
use crate::{
    config::{Audit, AuditKind, Origin, RowCountBounds, Severity},
    error::Result,
    transform::{AuditOutcome, AuditTarget},
    types::TableName,
};

fn audit(kind: AuditKind) -> Audit {
    Audit { kind, severity: Severity::Error, origin: Origin::start("sql/m.sql", "text") }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn relationship(column: &str, to_table: &str, to_column: &str) -> AuditKind {
    AuditKind::Relationship {
        column: column.into(),
        to_table: to_table.into(),
        to_column: to_column.into(),
    }
}

fn accepted(values: &[&str]) -> AuditKind {
    AuditKind::AcceptedValues { column: "State".into(), values: texts(values) }
}

async fn shop() -> Workspace {
    let mut space = Workspace::new();
    let orders = "select * from (values (1, 'new', 7, 1.5), (2, 'paid', 8, -1.0), (2, 'it''s', null, 2.0), \
                  (null, null, 7, null)) as t(id, \"State\", customer, total)";
    space.table("shop.orders", orders).await;
    space.table("shop.customers", "select 7 as id").await;
    space
}

async fn outcomes(
    space: &Workspace,
    kinds: Vec<AuditKind>,
    key: &[&str],
) -> Result<Vec<AuditOutcome>> {
    let (table, key) = (TableName::new("shop", "orders"), texts(key));
    let target = AuditTarget { table: &table, key: &key, published_rows: Some(10) };
    let audits: Vec<_> = kinds.into_iter().map(audit).collect();
    space.engine.plan_audits(&target, &audits, &space.schemas()).await?;
    space.engine.run_audits(&target, &audits, &space.tables).await
}

fn told(outcomes: &[AuditOutcome]) -> String {
    let lines = outcomes.iter().map(|o| {
        let passed = if o.passed { "pass" } else { "FAIL" };
        format!("{passed} {} {}: {} {:?}", o.audit, o.detail, o.failing_rows, o.sample)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn bounds(min: u64, max: u64, shrink: Option<f64>, growth: Option<f64>) -> AuditKind {
    let (min, max) = (Some(min), Some(max));
    AuditKind::RowCount(RowCountBounds { min, max, max_shrink: shrink, max_growth: growth })
}

#[tokio::test]
async fn each_kind_holds_and_fails() {
    let space = shop().await;
    let kinds = vec![
        AuditKind::NotNull(texts(&["id"])),
        AuditKind::NotNull(texts(&["id", "State"])),
        AuditKind::Unique(texts(&["id"])),
        AuditKind::Unique(texts(&["id", "State"])),
        accepted(&["new", "paid", "it's"]),
        accepted(&["new", "paid"]),
        accepted(&[]),
        relationship("customer", "shop.customers", "id"),
        relationship("customer", "shop.orders", "customer"),
        bounds(1, 4, None, None),
        bounds(5, 9, None, None),
        bounds(0, 3, None, None),
        bounds(1, 9, Some(0.6), None),
        bounds(1, 9, Some(0.5), Some(0.1)),
        AuditKind::Expression("total > -5 -- not cheap".into()),
        AuditKind::Expression("total > 0 or\n id = 1".into()),
        AuditKind::Query("select * from this where total > 100".into()),
        AuditKind::Query(
            "select t.id from this as t join shop.customers as c on c.id = customer order by 1"
                .into(),
        ),
    ];
    insta::assert_snapshot!(told(&outcomes(&space, kinds.clone(), &[]).await.unwrap()), @r#"
    FAIL not_null id: 1 []
    FAIL not_null id, State: 1 []
    FAIL unique id: 2 ["id=2"]
    pass unique id, State: 0 []
    pass accepted_values State in (new, paid, it's): 0 []
    FAIL accepted_values State in (new, paid): 1 ["State=it's"]
    FAIL accepted_values State in (): 3 ["State=it's", "State=new", "State=paid"]
    FAIL relationships customer in shop.customers (id): 1 ["customer=8"]
    pass relationships customer in shop.orders (customer): 0 []
    pass row_count 4 rows, 10 published, min 1, max 4: 0 []
    FAIL row_count 4 rows, 10 published, min 5, max 9: 1 []
    FAIL row_count 4 rows, 10 published, min 0, max 3: 1 []
    pass row_count 4 rows, 10 published, min 1, max 9, max_shrink 60%: 0 []
    FAIL row_count 4 rows, 10 published, min 1, max 9, max_shrink 50%, max_growth 10%: 1 []
    pass expression total > -5 -- not cheap: 0 []
    FAIL expression total > 0 or id = 1: 1 []
    pass query select * from this where total > 100: 0 []
    FAIL query select t.id from this as t join shop.customers as c on c.id = customer order by 1: 2 []
    "#);
    // With a key, samples are keys.
    let kinds = kinds.into_iter().filter(|kind| !matches!(kind, AuditKind::RowCount(_))).collect();
    let failed: Vec<_> = outcomes(&space, kinds, &["id"])
        .await
        .unwrap()
        .into_iter()
        .filter(|outcome| !outcome.passed)
        .collect();
    insta::assert_snapshot!(told(&failed), @r#"
    FAIL not_null id: 1 ["id=NULL"]
    FAIL not_null id, State: 1 ["id=NULL"]
    FAIL unique id: 2 ["id=2"]
    FAIL accepted_values State in (new, paid): 1 ["id=2"]
    FAIL accepted_values State in (): 3 ["id=1", "id=2"]
    FAIL relationships customer in shop.customers (id): 1 ["id=2"]
    FAIL expression total > 0 or id = 1: 1 ["id=2"]
    FAIL query select t.id from this as t join shop.customers as c on c.id = customer order by 1: 2 ["id=1", "id=NULL"]
    "#);
}

#[tokio::test]
async fn samples_are_short() {
    let mut space = Workspace::new();
    space
        .table(
            "shop.orders",
            "select value as id, repeat('x', 100) as s from generate_series(1, 50)",
        )
        .await;
    let outcome =
        outcomes(&space, vec![AuditKind::Expression("id > 99".into())], &["s", "id"]).await;
    let outcome = outcome.unwrap().remove(0);
    assert_eq!((outcome.failing_rows, outcome.sample.len()), (50, 10));
    assert!(outcome.sample.iter().all(|row| row.chars().count() < 80));
}

#[tokio::test]
async fn shares_of_rows_are_exact() {
    let table = TableName::new("shop", "t");
    let mut space = Workspace::new();
    space.table("shop.t", "select value from generate_series(1, 7)").await;
    for (published, shrink, growth, passed) in [
        (Some(10), Some(0.3), None, true),
        (Some(11), Some(0.3), None, false),
        (Some(5), None, Some(0.4), true),
        (Some(4), None, Some(0.7), false),
        (None, Some(0.0), Some(0.0), true),
        (Some(0), Some(0.0), Some(1.0), false),
    ] {
        let target = AuditTarget { table: &table, key: &[], published_rows: published };
        let audits = [audit(bounds(0, 100, shrink, growth))];
        let outcomes = space.engine.run_audits(&target, &audits, &space.tables).await.unwrap();
        assert_eq!(outcomes[0].passed, passed, "{}", outcomes[0].detail);
    }
}

#[tokio::test]
async fn mistakes_are_found_while_planning() {
    let space = shop().await;
    let kinds = [
        AuditKind::NotNull(texts(&["idd"])),
        AuditKind::Unique(texts(&["state"])),
        AuditKind::Unique(vec![]),
        relationship("customer", "shop.custmers", "id"),
        relationship("customer", "shop.customers", "ID"),
        relationship("customer", "customers", "id"),
        AuditKind::Expression("totl > 0".into()),
        AuditKind::Expression("total".into()),
        AuditKind::Expression("true) or (true".into()),
        AuditKind::Expression("total > 0 as x".into()),
        AuditKind::Query("select * from thiss".into()),
        AuditKind::Query("delete from this".into()),
        AuditKind::Query("select 1; select 2".into()),
    ];
    let mut told = Vec::new();
    for kind in kinds {
        told.push(rendered(&outcomes(&space, vec![kind], &[]).await.unwrap_err()));
    }
    insta::assert_snapshot!(told.join("\n\n"), @"
    model: audit `not_null` of `shop.orders` cannot be planned
      --> sql/m.sql:1:1: no column `idd` in `shop.orders`
       hint: did you mean `id`?

    model: audit `unique` of `shop.orders` cannot be planned
      --> sql/m.sql:1:1: no column `state` in `shop.orders`
       hint: did you mean `State`?

    model: audit `unique` of `shop.orders` cannot be planned
      --> sql/m.sql:1:1: it names no column
       hint: mend the SQL, then `longshore check`

    model: audit `relationships` of `shop.orders` cannot be planned
      --> sql/m.sql:1:1: no table `shop.custmers`
       hint: did you mean `shop.customers`?
       hint: there are `shop.customers`, `shop.orders`

    model: audit `relationships` of `shop.orders` cannot be planned
      --> sql/m.sql:1:1: no column `ID` in `shop.customers`
       hint: did you mean `id`?

    model: audit `relationships` of `shop.orders` cannot be planned
      --> sql/m.sql:1:1: `customers` is not a table name such as `schema.table`
       hint: mend the SQL, then `longshore check`

    model: audit `expression` of `shop.orders` cannot be planned
      --> sql/m.sql:1:1: no column `totl` in `shop.orders`
       hint: did you mean `total`?

    model: audit `expression` of `shop.orders` cannot be planned
      --> sql/m.sql:1:1: the expression is not true or false
       hint: mend the SQL, then `longshore check`

    model: audit `expression` of `shop.orders` cannot be planned
      --> sql/m.sql:1:1: expected end of expression, found `)`
       hint: mend the SQL, then `longshore check`

    model: audit `expression` of `shop.orders` cannot be planned
      --> sql/m.sql:1:1: an expression has no `as`
       hint: mend the SQL, then `longshore check`

    model: audit `query` of `shop.orders` cannot be planned
      --> sql/m.sql:1:1: no table `thiss`
       hint: there are `shop.customers`, `shop.orders`

    model: audit `query` of `shop.orders` cannot be planned
      --> sql/m.sql:1:1: `delete` is refused: only reading is possible here
       hint: write one SELECT; what it returns becomes the table

    model: audit `query` of `shop.orders` cannot be planned
      --> sql/m.sql:1:1: there are 2 statements; only one is allowed
       hint: mend the SQL, then `longshore check`
    ");
}

#[tokio::test]
async fn an_audit_that_cannot_be_run_is_an_error() {
    let space = shop().await;
    let kind = AuditKind::Expression("1 / (customer - 7) > 0".into());
    let error = outcomes(&space, vec![kind], &[]).await.unwrap_err();
    insta::assert_snapshot!(rendered(&error), @"
    data: audit `expression` of `shop.orders` could not be run
      --> sql/m.sql:1:1: this audit
      caused by: a division by zero
       hint: make the divisor NULL where it is zero: `nullif(divisor, 0)`
    ");
}
