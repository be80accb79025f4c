/* model
audits:
  - unique: customer_id
  - not_null: [customer_id, revenue, rank_in_country]
  - relationships: {column: customer_id, to: shop.customers, field: id}
*/

-- What each customer has brought so far, and where that puts them in their country.
with customers as (
    select
        customer_id,
        country,
        segment,
        count(*) as orders,
        sum(total) as revenue,
        min(day) as first_day,
        max(day) as last_day
    from core.order_facts
    where status <> 'cancelled'
    group by customer_id, country, segment
)

select
    customers.*,
    rank() over (partition by country order by revenue desc) as rank_in_country
from customers
