//! The sample shop as a SQLite file.
//!
//! The declared types are what a pipeline meets in the field: `DECIMAL(10,2)` has NUMERIC affinity
//! in SQLite, so `'12.50'` is kept as the number 12.5, whose shortest text is the exact value.

use std::path::Path;

use sqlx::{
    ConnectOptions, Connection, QueryBuilder, Sqlite, SqliteConnection,
    query_builder::Separated,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::shop::{Shop, day_text, decimal, timestamp};
use crate::error::{Context, ErrorKind, Result};

/// Rows of one INSERT: few statements, far from SQLite's limit of 32,766 values.
const ROWS: usize = 1_000;

const TABLES: &str = "
    create table customers (
        id integer primary key, name text not null, email text not null, country text not null,
        segment text, created_at timestamp not null);
    create table products (
        id integer primary key, sku text not null, name text not null, category text not null,
        price decimal(10,2) not null, weight_kg real, discontinued_on date);
    create table orders (
        id integer primary key, customer_id integer not null references customers (id),
        placed_at timestamp not null, status text not null, total decimal(12,2) not null,
        note text);
    create table order_items (
        order_id integer not null references orders (id), line integer not null,
        product_id integer not null references products (id), quantity integer not null,
        unit_price decimal(10,2) not null, primary key (order_id, line));
    create table payments (
        id integer primary key, order_id integer not null references orders (id),
        paid_at timestamp, method text not null, amount decimal(12,2) not null)";

/// Makes the sample database at `path`, with the same rows each time. It appears there only when it
/// is whole; what was there is replaced.
pub(crate) async fn create(path: &Path) -> Result<()> {
    let temporary = path.with_extension(format!("db.{}.part", std::process::id()));
    let refused = || "the sample database can't be made; nothing else was touched".to_owned();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).or_fail(ErrorKind::Storage, refused)?;
    }
    let filled = fill(&temporary).await;
    if filled.is_err() {
        // The fill's own error says more than a leftover could.
        let _ = std::fs::remove_file(&temporary);
    }
    filled.or_fail(ErrorKind::Storage, refused)?;
    std::fs::rename(&temporary, path).or_fail(ErrorKind::Storage, refused)
}

async fn fill(path: &Path) -> sqlx::Result<()> {
    let shop = Shop::new(20_230_701);
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        // A file that is incomplete is never kept, so it needs no journal of its own.
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .foreign_keys(false)
        .disable_statement_logging()
        .connect()
        .await?;
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(TABLES).execute(&mut *transaction).await?;
    insert_people_and_goods(&mut transaction, &shop).await?;
    insert_orders(&mut transaction, &shop).await?;
    insert_payments(&mut transaction, &shop).await?;
    transaction.commit().await?;
    connection.close().await
}

type Row<'r, 'q> = Separated<'r, Sqlite, &'q str>;

async fn insert<T>(
    connection: &mut SqliteConnection,
    head: &'static str,
    rows: &[T],
    mut push: impl FnMut(&mut Row<'_, '_>, &T),
) -> sqlx::Result<()> {
    for part in rows.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new(head);
        query.push_values(part, |mut values, row| push(&mut values, row));
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
}

async fn insert_people_and_goods(
    connection: &mut SqliteConnection,
    shop: &Shop,
) -> sqlx::Result<()> {
    let customers: Vec<_> = (1_i64..).zip(&shop.customers).collect();
    insert(connection, "insert into customers ", &customers, |row, (id, customer)| {
        row.push_bind(*id)
            .push_bind(customer.name.clone())
            .push_bind(customer.email.clone())
            .push_bind(customer.country)
            .push_bind(customer.segment)
            .push_bind(timestamp(customer.created_at));
    })
    .await?;
    let products: Vec<_> = (1_i64..).zip(&shop.products).collect();
    insert(connection, "insert into products ", &products, |row, (id, product)| {
        row.push_bind(*id)
            .push_bind(product.sku.clone())
            .push_bind(product.name.clone())
            .push_bind(product.category)
            .push_bind(decimal(product.cents))
            .push_bind(product.grams.map(|grams| grams as f64 / 1_000.0))
            .push_bind(product.discontinued.map(|day| day_text(day as i64)));
    })
    .await
}

async fn insert_orders(connection: &mut SqliteConnection, shop: &Shop) -> sqlx::Result<()> {
    let orders: Vec<_> = (1_i64..).zip(&shop.orders).collect();
    insert(connection, "insert into orders ", &orders, |row, (id, order)| {
        row.push_bind(*id)
            .push_bind(order.customer as i64 + 1)
            .push_bind(timestamp(order.placed_at))
            .push_bind(order.status)
            .push_bind(decimal(order.cents()))
            .push_bind(order.note);
    })
    .await?;
    let items: Vec<_> = orders
        .iter()
        .flat_map(|(id, order)| {
            (1_i64..).zip(&order.items).map(move |(line, item)| (*id, line, item))
        })
        .collect();
    insert(connection, "insert into order_items ", &items, |row, (order, line, item)| {
        row.push_bind(*order)
            .push_bind(*line)
            .push_bind(item.product as i64 + 1)
            .push_bind(item.quantity as i64)
            .push_bind(decimal(item.unit_cents));
    })
    .await
}

async fn insert_payments(connection: &mut SqliteConnection, shop: &Shop) -> sqlx::Result<()> {
    let payments: Vec<_> = (1_i64..)
        .zip(&shop.orders)
        .flat_map(|(order, bought)| bought.payments.iter().map(move |payment| (order, payment)))
        .zip(1_i64..)
        .collect();
    insert(connection, "insert into payments ", &payments, |row, ((order, payment), id)| {
        row.push_bind(*id)
            .push_bind(*order)
            .push_bind(payment.paid_at.map(timestamp))
            .push_bind(payment.method)
            .push_bind(decimal(payment.cents));
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_sample_holds_what_its_tables_declare() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".longshore/shop.db");
        create(&path).await.unwrap();
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let mut database =
            SqliteConnectOptions::new().filename(&path).read_only(true).connect().await.unwrap();
        let mut number = async |sql: &'static str| {
            sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut database).await.unwrap()
        };
        assert_eq!(number("select count(*) from customers").await, 2_000);
        assert_eq!(number("select count(*) from orders").await, 100_000);
        // Sums of whole cents are exact; sums of SQLite's floating-point numbers are not.
        let wrong_totals = "
            select count(*) from orders join (
                select order_id, sum(quantity * cast(round(unit_price * 100) as integer)) as cents
                from order_items group by order_id) on order_id = id
            where cents <> cast(round(total * 100) as integer)";
        assert_eq!(number(wrong_totals).await, 0);
        let inexact = "
            select count(*) from order_items
            where unit_price <> printf('%.2f', unit_price) + 0 or typeof(unit_price) = 'text'";
        assert_eq!(number(inexact).await, 0);
        assert_eq!(number("select count(distinct status) from orders").await, 4);
        assert!(number("select count(*) from orders where note like '%🎁%'").await > 100);
        assert!(number("select count(*) from payments where paid_at is null").await > 0);
    }
}
