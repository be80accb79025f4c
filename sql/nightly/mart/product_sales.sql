/* model
audits:
  - unique: [month, product_id]
  - not_null: [month, product_id, category, revenue]
  - expression: units > 0
  - query: select sku from this group by sku having count(distinct product_id) > 1
    severity: warn
*/

-- Each product's sales a month, and its share of what its category sold in that month.
with sales as (
    select
        cast(date_trunc('month', facts.placed_at) as date) as month,
        items.product_id,
        sum(items.quantity) as units,
        sum(items.quantity * items.unit_price) as revenue
    from shop.order_items as items
    join core.order_facts as facts on facts.order_id = items.order_id
    where facts.status <> 'cancelled'
    group by 1, 2
)

select
    sales.month,
    sales.product_id,
    products.sku,
    products.name,
    products.category,
    sales.units,
    sales.revenue,
    cast(
        100.0 * sales.revenue
            / sum(sales.revenue) over (partition by sales.month, products.category)
        as decimal(5, 2)
    ) as percent_of_category
from sales
join shop.products on products.id = sales.product_id
