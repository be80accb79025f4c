/* model
audits:
  - unique: order_id
  - not_null: [order_id, customer_id, country, day, total]
  - relationships: {column: customer_id, to: shop.customers, field: id}
  - expression: paid <= total
*/

-- One row an order: who bought, for how much, and how much of it is paid.
with paid as (
    select
        order_id,
        sum(amount) filter (where paid_at is not null) as amount,
        max(paid_at) as last_paid_at
    from shop.payments
    group by order_id
)

select
    orders.id as order_id,
    orders.placed_at,
    cast(orders.placed_at as date) as day,
    orders.customer_id,
    customers.country,
    coalesce(customers.segment, 'unknown') as segment,
    orders.status,
    orders.total,
    cast(coalesce(paid.amount, 0) as decimal(12, 2)) as paid,
    paid.last_paid_at,
    row_number() over (partition by orders.customer_id order by orders.placed_at, orders.id)
        as order_of_customer
from shop.orders
join shop.customers on customers.id = orders.customer_id
left join paid on paid.order_id = orders.id
