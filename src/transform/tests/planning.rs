//! Planning: the graph, and errors with their places, before a row moves.

use std::{collections::BTreeSet, sync::Arc};

use super::workspace::{Workspace, as_they_are, rendered};
use crate::{transform::Graph, types::TableName};

const ORDERS: &str = "select 1 as id, 2 as customer_id, 9.5 as amount, \
                      timestamp '2024-05-01T10:00:00' as placed_at";

async fn shop() -> Workspace {
    let mut space = Workspace::new();
    space.table("shop.orders", ORDERS).await;
    space.table("shop.customers", "select 2 as id, 'Ann' as name").await;
    space.table("shop.Odd Table", "select 1 as id").await;
    space
}

async fn refusal(files: &[(&str, &str)]) -> String {
    let space = shop().await;
    let models = space.models(files).unwrap();
    let planned = space.engine.plan_models(&models, &space.schemas(), as_they_are).await;
    rendered(&planned.expect_err("it is refused"))
}

#[tokio::test]
async fn models_are_ordered_by_what_they_read() {
    let space = shop().await;
    let models = space
        .models(&[
            ("a_last.sql", "select b.n from mart.middle as b, nightly.other"),
            ("mart/middle.sql", "with orders as (select * from SHOP.Orders) select count(*) as n from orders"),
            ("other.sql", "select g.value as n from generate_series(1, 3) as g join shop.\"Odd Table\" as o on o.id = g.value"),
            ("z_bare.sql", "select n from other where n in (select id from shop.orders)"),
        ])
        .unwrap();
    let graph = Graph::new(&models, space.tables.keys()).unwrap();
    let name = |index: &usize| models[*index].table.to_string();
    let told: Vec<_> = graph
        .order
        .iter()
        .map(|at| {
            let inputs: Vec<_> = graph.inputs[*at].iter().map(TableName::quoted).collect();
            format!("{} ← {}", name(at), inputs.join(", "))
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    mart.middle ← shop.orders
    nightly.other ← shop."Odd Table"
    nightly.a_last ← mart.middle, nightly.other
    nightly.z_bare ← nightly.other, shop.orders
    "#);
    let levels: Vec<Vec<_>> =
        graph.levels().iter().map(|level| level.iter().map(name).collect()).collect();
    assert_eq!(
        levels,
        [vec!["mart.middle", "nightly.other"], vec!["nightly.a_last", "nightly.z_bare"]]
    );
}

#[tokio::test]
async fn schemas_are_canonical_and_feed_later_models() {
    let space = shop().await;
    let models = space
        .models(&[
            ("a.sql", "select upper(label) as label, n + 1 as n, at from b"),
            ("b.sql", "select name as label, cast(1 as int unsigned) as n, now() as at from shop.customers"),
        ])
        .unwrap();
    let planned = space.engine.plan_models(&models, &space.schemas(), as_they_are).await.unwrap();
    let told: Vec<_> = planned
        .iter()
        .map(|model| {
            let fields = model.schema.fields().iter();
            let fields: Vec<_> =
                fields.map(|f| format!("{} {}", f.name(), f.data_type())).collect();
            format!("{}: {}", model.model.table, fields.join(", "))
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    nightly.b: label Utf8View, n Int64, at Timestamp(µs, "UTC")
    nightly.a: label Utf8View, n Int64, at Timestamp(µs, "UTC")
    "#);
}

#[tokio::test]
async fn a_missing_column_is_told_with_its_place() {
    let text = "/* model\nmode: replace\n*/\nselect\n  date_trunc('day', placed_at) as day,\n  sum(amout) as revenue\nfrom shop.orders\ngroup by 1";
    insta::assert_snapshot!(refusal(&[("daily_revenue.sql", text)]).await, @"
    model: model `nightly.daily_revenue` cannot be planned; nothing was extracted
      --> sql/nightly/daily_revenue.sql:6:7: no column `amout` in `shop.orders`
       hint: did you mean `amount`?
    ");
    let qualified =
        "select o.id, o.amuont from shop.orders as o join shop.customers as c on c.id = o.id";
    insta::assert_snapshot!(refusal(&[("m.sql", qualified)]).await, @"
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:1:14: no column `amuont` in `o`
       hint: did you mean `amount`?
    ");
    insta::assert_snapshot!(refusal(&[("m.sql", "select zzz from shop.orders")]).await, @"
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:1:8: no column `zzz` in `shop.orders`
       hint: there are `id`, `customer_id`, `amount`, `placed_at`
    ");
    let accents = refusal(&[("m.sql", "select 'äöü' as s, amout from shop.orders")]).await;
    assert!(accents.contains("m.sql:1:20: no column `amout`"), "{accents}");
    let two = "select amout, nmae from shop.orders, shop.customers";
    insta::assert_snapshot!(refusal(&[("m.sql", two)]).await, @"
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:1:8: no column `amout` in `shop.customers`, `shop.orders`
      caused by: sql/nightly/m.sql:1:15: no column `nmae` in `shop.customers`, `shop.orders`
       hint: did you mean `amount`?
    ");
}

#[tokio::test]
async fn a_missing_table_is_told_with_what_there_is() {
    insta::assert_snapshot!(refusal(&[("m.sql", "select *\nfrom shop.ordres")]).await, @r#"
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:2:6: no table `shop.ordres`
       hint: did you mean `shop.orders`?
       hint: there are `shop."Odd Table"`, `shop.customers`, `shop.orders`
    "#);
    insta::assert_snapshot!(refusal(&[("m.sql", "select * from orders")]).await, @r#"
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:1:15: no table `nightly.orders`
       hint: did you mean `shop.orders`?
       hint: there are `shop."Odd Table"`, `shop.customers`, `shop.orders`
    "#);
    insta::assert_snapshot!(refusal(&[("m.sql", "select * from shop.OddTable")]).await, @r#"
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:1:15: no table `shop.oddtable`
       hint: did you mean `shop."Odd Table"`?
       hint: there are `shop."Odd Table"`, `shop.customers`, `shop.orders`
    "#);
    insta::assert_snapshot!(refusal(&[("m.sql", "select * from a.shop.orders")]).await, @"
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:1:15: `a.shop.orders` has three parts
       hint: write `shop.orders`
    ");
    insta::assert_snapshot!(
        refusal(&[("m.sql", "select * from information_schema.tables")]).await, @r#"
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:1:15: no table `information_schema.tables`
       hint: there are `shop."Odd Table"`, `shop.customers`, `shop.orders`
    "#);
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a list of cases")]
async fn other_mistakes_have_places_too() {
    let texts = [
        "select id from shop.orders, shop.customers",
        "select sun(id) as n from shop.orders",
        "select id, count(*) as n\nfrom shop.orders",
        "select sum(id) from shop.orders",
        "select 1 as a,\n  2 as A",
        "select o.*, o.id from shop.orders as o",
        "select id, null as nothing from shop.orders",
        "select id,\n  interval '1 day' as span from shop.orders",
        "select amount + name as x from shop.orders cross join shop.customers",
        "select cast(id as time) as x from shop.orders",
        "select id from shop.orders where name = 'x'",
        "select * from shop.orders as o join shop.customers as c on c.id = p.id",
    ];
    let mut told = Vec::new();
    for text in texts {
        told.push(format!("{text}\n{}", refusal(&[("m.sql", text)]).await));
    }
    insta::assert_snapshot!(told.join("\n\n"), @"
    select id from shop.orders, shop.customers
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:1:8: column `id` is in more than one table here
       hint: write which table's, as in `orders.id`

    select sun(id) as n from shop.orders
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:1:8: no function `sun`
       hint: did you mean `sum`?

    select id, count(*) as n
    from shop.orders
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:1:8: `id` is neither in GROUP BY nor inside an aggregate
       hint: add it to GROUP BY, or say which of its values: `max(id)`

    select sum(id) from shop.orders
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:1:8: column 1 has no name of its own, only `sum(shop.orders.id)`
       hint: name it: `… as name`, without spaces and none of `,;{}()=`

    select 1 as a,
      2 as A
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:2:3: columns 1 and 2 are both `a`
       hint: give one of them another name with `as`

    select o.*, o.id from shop.orders as o
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:1:1: columns 1 and 5 are both `id`
       hint: give one of them another name with `as`

    select id, null as nothing from shop.orders
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:1:12: column `nothing`: it is always NULL and has no type
       hint: cast it to one, as in `cast(… as text) as nothing`

    select id,
      interval '1 day' as span from shop.orders
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:2:12: column `span`: `Interval(MonthDayNano)` has no place in the warehouse
       hint: cast it to text, as in `cast(… as text) as span`

    select amount + name as x from shop.orders cross join shop.customers
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:1:8: cannot coerce arithmetic expression Float64 + Utf8View to valid types
       hint: mend the SQL, then `longshore check`

    select cast(id as time) as x from shop.orders
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:1:13: column `x`: `Time64(ns)` has no place in the warehouse
       hint: cast it to text, as in `cast(… as text) as x`

    select id from shop.orders where name = 'x'
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:1:34: no column `name` in `shop.orders`
       hint: there are `id`, `customer_id`, `amount`, `placed_at`

    select * from shop.orders as o join shop.customers as c on c.id = p.id
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:1:67: no table `p` in this part of the query
       hint: mend the SQL, then `longshore check`
    ");
}

#[tokio::test]
async fn a_key_is_made_of_columns() {
    let text = "/* model\nmode: append\nkey: [dya]\n*/\nselect 1 as day";
    insta::assert_snapshot!(refusal(&[("m.sql", text)]).await, @"
    model: model `nightly.m` cannot be planned; nothing was extracted
      --> sql/nightly/m.sql:5:1: the key names `dya`, which is no column
       hint: name columns that the SELECT returns
    ");
}

#[tokio::test]
async fn loops_and_doubles_are_refused() {
    let cycle = [
        ("a.sql", "select * from shop.orders cross join b"),
        ("b.sql", "select * from c"),
        ("c.sql", "select *\nfrom nightly.a"),
        ("d.sql", "select * from c"),
    ];
    insta::assert_snapshot!(refusal(&cycle).await, @"
    model: 3 models read one another in a loop; nothing was extracted
      --> sql/nightly/a.sql:1:38: `nightly.a` reads `nightly.b`
      caused by: `nightly.b` reads `nightly.c` (sql/nightly/b.sql)
      caused by: `nightly.c` reads `nightly.a` (sql/nightly/c.sql)
       hint: break the loop: move what both need into a model of its own
    ");
    insta::assert_snapshot!(refusal(&[("a.sql", "select * from a")]).await, @"
    model: model `nightly.a` reads itself; nothing was extracted
      --> sql/nightly/a.sql:1:15: `nightly.a` reads `nightly.a`
       hint: break the loop: move what both need into a model of its own
    ");
    let double = [("m.sql", "select 1 as a"), ("nightly/m.sql", "select 1 as a")];
    insta::assert_snapshot!(refusal(&double).await, @"
    model: two models make the table `nightly.m`; nothing was extracted
      --> sql/nightly/nightly/m.sql:1:1: this is the second
      caused by: `sql/nightly/m.sql` is the first
       hint: rename or remove one of the files
    ");
    insta::assert_snapshot!(refusal(&[("shop/orders.sql", "select 1 as a")]).await, @"
    model: model `shop.orders` has the name of an extracted table; nothing was extracted
      --> sql/nightly/shop/orders.sql:1:1: this file makes the same table
       hint: rename the file, or give the extract another `into` or `rename`
    ");
}

#[test]
fn the_order_does_not_depend_on_luck() {
    let space = Workspace::new();
    let names: Vec<String> = (0..40).map(|n| format!("m{n:02}.sql")).collect();
    let texts: Vec<String> = (0..40)
        .map(|n| {
            if n % 3 == 0 { "select 1 as a".into() } else { format!("select * from m{:02}", n - 1) }
        })
        .collect();
    let files: Vec<_> = names.iter().zip(&texts).map(|(n, t)| (n.as_str(), t.as_str())).collect();
    let models = space.models(&files).unwrap();
    let known = BTreeSet::new();
    let graph = Arc::new(Graph::new(&models, &known).unwrap());
    let mut done = BTreeSet::new();
    for at in &graph.order {
        assert!(graph.depends_on[*at].iter().all(|on| done.contains(on)));
        done.insert(*at);
    }
    assert_eq!((done.len(), graph.levels().len()), (40, 3));
}
