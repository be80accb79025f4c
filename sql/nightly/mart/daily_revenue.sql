/* model
audits:
  - unique: day
  - not_null: [day, orders, revenue]
  - row_count: {min: 1, max_shrink: 5%}
  - expression: revenue >= 0
*/

-- What each day brought, and the average of the seven days up to it.
with days as (
    select
        day,
        count(*) as orders,
        count(distinct customer_id) as customers,
        sum(total) as revenue
    from core.order_facts
    where status <> 'cancelled'
    group by day
)

select
    day,
    orders,
    customers,
    revenue,
    cast(
        avg(revenue) over (order by day rows between 6 preceding and current row) as decimal(14, 2)
    ) as revenue_7_days
from days
