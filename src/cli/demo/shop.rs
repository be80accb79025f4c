//! Three years of a small shop, made from one seed: who bought what, when, and whether they paid.
//!
//! Sales double over the three years, peak before Christmas and rest in summer; an order's total
//! is the sum of its items, and its payments sum to its total.

#![allow(clippy::indexing_slicing, reason = "every place was drawn from the table's own length")]

use jiff::civil::{Date, date};

use super::{
    random::Random,
    words::{ADJECTIVES, CATEGORIES, COUNTRIES, METHODS, NOTES},
};

/// The first day of sales.
const FIRST_DAY: Date = date(2023, 7, 1);
/// Days of sales: to 30 June 2026.
const DAYS: u64 = 1_096;
/// Days before the first sale on which customers could already register.
const EARLY_DAYS: u64 = 365;
const CUSTOMERS: u64 = 2_000;
const PRODUCTS: u64 = 300;
const ORDERS: u64 = 100_000;

/// How sales vary from January to December.
const MONTHS: [u64; 12] = [80, 82, 90, 94, 100, 96, 84, 82, 96, 104, 138, 164];
/// From Monday to Sunday.
const WEEKDAYS: [u64; 7] = [104, 98, 96, 98, 106, 118, 124];
/// From midnight to 23 o'clock.
const HOURS: [u64; 24] =
    [8, 4, 2, 1, 1, 2, 6, 14, 24, 34, 40, 44, 48, 42, 38, 38, 42, 48, 56, 66, 70, 58, 36, 18];

/// Seconds since the start of the first day of sales; customers may have come before.
type Second = i64;
const DAY: Second = 86_400;

/// All of it.
pub(crate) struct Shop {
    /// By id, which is also the order in which they came.
    pub(crate) customers: Vec<Customer>,
    /// By id.
    pub(crate) products: Vec<Product>,
    /// By id, which is also the order in which they were placed.
    pub(crate) orders: Vec<Order>,
}

/// Who buys.
pub(crate) struct Customer {
    /// In the scripts of the world.
    pub(crate) name: String,
    /// ASCII.
    pub(crate) email: String,
    /// ISO 3166 code.
    pub(crate) country: &'static str,
    /// Unknown for some.
    pub(crate) segment: Option<&'static str>,
    /// When they came.
    pub(crate) created_at: Second,
    loyalty: u64,
}

/// What is sold.
pub(crate) struct Product {
    /// The article number.
    pub(crate) sku: String,
    /// Its name.
    pub(crate) name: String,
    /// Its kind.
    pub(crate) category: &'static str,
    /// List price in cents.
    pub(crate) cents: u64,
    /// In grams; some things have no weight.
    pub(crate) grams: Option<u64>,
    /// The day of sales since which it is no longer sold.
    pub(crate) discontinued: Option<u64>,
}

/// A purchase.
pub(crate) struct Order {
    /// Index of the customer.
    pub(crate) customer: usize,
    /// When.
    pub(crate) placed_at: Second,
    /// What became of it.
    pub(crate) status: &'static str,
    /// What the customer wrote.
    pub(crate) note: Option<&'static str>,
    /// What was bought; each product once.
    pub(crate) items: Vec<Item>,
    /// Parts that sum to the total; none for a cancelled order.
    pub(crate) payments: Vec<Payment>,
}

/// A line of an order.
pub(crate) struct Item {
    /// Index of the product.
    pub(crate) product: usize,
    /// How many.
    pub(crate) quantity: u64,
    /// The price of one, in cents.
    pub(crate) unit_cents: u64,
}

/// A part of what an order costs.
pub(crate) struct Payment {
    /// When it was paid; not yet for some.
    pub(crate) paid_at: Option<Second>,
    /// How.
    pub(crate) method: &'static str,
    /// In cents.
    pub(crate) cents: u64,
}

impl Shop {
    /// The shop that `seed` settles.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let customers = customers(&mut random);
        let products = products(&mut random);
        let mut orders = Vec::with_capacity(ORDERS as usize);
        for (day, count) in (0..).zip(orders_per_day(&mut random)) {
            let mut moments: Vec<_> = (0..count).map(|_| moment(&mut random, day)).collect();
            moments.sort_unstable();
            let known = customers.partition_point(|customer| customer.created_at < day * DAY);
            for placed_at in moments {
                let customer = regular(&mut random, customers.get(..known).unwrap_or(&customers));
                orders.push(order(&mut random, &products, customer, placed_at));
            }
        }
        Self { customers, products, orders }
    }
}

impl Order {
    /// What it costs, in cents.
    pub(crate) fn cents(&self) -> u64 {
        self.items.iter().map(|item| item.quantity * item.unit_cents).sum()
    }
}

/// `2026-06-30 23:59:59`
pub(crate) fn timestamp(second: Second) -> String {
    let time = second.rem_euclid(DAY);
    let (hour, minute, second_) = (time / 3_600, time / 60 % 60, time % 60);
    format!("{} {hour:02}:{minute:02}:{second_:02}", day_text(second.div_euclid(DAY)))
}

/// `2026-06-30`, `day` days after the first day of sales.
pub(crate) fn day_text(day: i64) -> String {
    day_date(day).to_string()
}

fn day_date(day: i64) -> Date {
    FIRST_DAY.saturating_add(jiff::Span::new().days(day))
}

/// `12.50`
pub(crate) fn decimal(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn customers(random: &mut Random) -> Vec<Customer> {
    let weights = COUNTRIES.each_ref().map(|country| country.weight);
    let mut arrivals: Vec<Second> = (0..CUSTOMERS)
        .map(|_| {
            // A third was there when sales began; nobody comes on the last days only.
            let day = if random.chance(33) {
                random.below(EARLY_DAYS) as i64 - EARLY_DAYS as i64
            } else {
                random.below(DAYS - 30) as i64
            };
            moment(random, day)
        })
        .collect();
    arrivals.sort_unstable();
    (1..)
        .zip(arrivals)
        .map(|(id, created_at): (u64, _)| {
            let country = &COUNTRIES[random.weighted(&weights)];
            let (given, given_ascii) = random.pick(country.given);
            let (family, family_ascii) = random.pick(country.family);
            let name = if country.family_first {
                format!("{family} {given}")
            } else {
                format!("{given} {family}")
            };
            let segment = match random.below(100) {
                0..46 => Some("consumer"),
                46..61 => Some("business"),
                61..66 => Some("vip"),
                _ => None,
            };
            Customer {
                name,
                email: format!("{given_ascii}.{family_ascii}{id}@example.com"),
                country: country.code,
                segment,
                created_at,
                loyalty: if segment == Some("vip") { 100 } else { random.between(4, 60) },
            }
        })
        .collect()
}

fn products(random: &mut Random) -> Vec<Product> {
    let weights = CATEGORIES.each_ref().map(|category| category.weight);
    (1..=PRODUCTS)
        .map(|id| {
            let category = &CATEGORIES[random.weighted(&weights)];
            // The lower of two draws: cheap goods are more frequent.
            let (low, high) = category.price;
            let cents = random.between(low, high).min(random.between(low, high));
            let ending = *random.pick(&[0, 50, 90, 95, 99]);
            Product {
                sku: format!("{}-{id:04}", category.sku),
                name: format!("{} {}", random.pick(&ADJECTIVES), random.pick(category.nouns)),
                category: category.name,
                cents: cents / 100 * 100 + ending,
                grams: category
                    .grams
                    .filter(|_| !random.chance(4))
                    .map(|(low, high)| random.between(low, high)),
                discontinued: random.chance(9).then(|| random.between(200, DAYS - 1)),
            }
        })
        .collect()
}

/// Orders of each day; they sum to all orders.
fn orders_per_day(random: &mut Random) -> Vec<u64> {
    let weights: Vec<u64> = (0..DAYS)
        .map(|day| {
            let date = day_date(day as i64);
            let month = MONTHS[date.month() as usize - 1];
            let weekday = WEEKDAYS[date.weekday().to_monday_zero_offset() as usize];
            let sale = if date.month() == 11 && date.day() >= 24 { 17 } else { 10 };
            (DAYS + day) * month * weekday * sale * random.between(88, 112)
        })
        .collect();
    let all: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    let mut before = 0;
    let mut passed: u128 = 0;
    weights
        .iter()
        .map(|weight| {
            passed += u128::from(*weight);
            let until = (passed * u128::from(ORDERS) / all) as u64;
            let today = until - before;
            before = until;
            today
        })
        .collect()
}

fn moment(random: &mut Random, day: i64) -> Second {
    day * DAY + random.weighted(&HOURS) as i64 * 3_600 + random.below(3_600) as i64
}

/// Somebody, the loyal ones more often.
fn regular(random: &mut Random, known: &[Customer]) -> usize {
    loop {
        let at = random.below(known.len() as u64) as usize;
        if known.get(at).is_none_or(|customer| random.below(100) < customer.loyalty) {
            return at;
        }
    }
}

fn order(random: &mut Random, products: &[Product], customer: usize, placed_at: Second) -> Order {
    let day = placed_at.div_euclid(DAY) as u64;
    let lines = random.weighted(&[28, 28, 22, 13, 6, 3]) + 1;
    let mut items: Vec<Item> = Vec::with_capacity(lines);
    while items.len() < lines {
        let at = popular(random, products);
        let product = &products[at];
        if product.discontinued.is_some_and(|end| end <= day)
            || items.iter().any(|item| item.product == at)
        {
            continue;
        }
        let discount = if random.chance(12) { 10 } else { 0 };
        items.push(Item {
            product: at,
            quantity: *random.pick(&[1, 1, 1, 1, 1, 1, 1, 2, 2, 3]),
            unit_cents: product.cents * (100 - discount) / 100,
        });
    }
    // The youngest orders are still on their way.
    let status = match (random.below(100), DAYS - day) {
        (0..5, _) => "cancelled",
        (_, 0..=1) => "new",
        (_, 2..=4) => "paid",
        _ => "shipped",
    };
    let note = random.chance(8).then(|| *random.pick(&NOTES));
    let mut order = Order { customer, placed_at, status, note, items, payments: Vec::new() };
    if status != "cancelled" {
        order.payments = payments(random, &order);
    }
    order
}

/// A product; the lower of two draws, so that some sell far better than others.
fn popular(random: &mut Random, products: &[Product]) -> usize {
    let all = products.len() as u64;
    random.below(all).min(random.below(all)) as usize
}

fn payments(random: &mut Random, order: &Order) -> Vec<Payment> {
    let total = order.cents();
    let first = if random.chance(4) { total / 2 } else { total };
    [first, total - first]
        .into_iter()
        .filter(|cents| *cents > 0)
        .map(|cents| {
            let (method, _) = METHODS[random.weighted(&METHODS.map(|(_, weight)| weight))];
            let wait = match method {
                "invoice" => random.between(1, 30) * 86_400 + random.below(40_000),
                _ => random.between(5, 180),
            };
            let paid_at = order.placed_at + wait as i64;
            Payment { paid_at: (paid_at < DAYS as i64 * DAY).then_some(paid_at), method, cents }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shop_adds_up() {
        let shop = Shop::new(1);
        assert_eq!((shop.customers.len(), shop.products.len()), (2_000, 300));
        assert_eq!(shop.orders.len(), 100_000);
        let items: usize = shop.orders.iter().map(|order| order.items.len()).sum();
        assert!((245_000..255_000).contains(&items), "{items}");
        for order in &shop.orders {
            let customer = &shop.customers[order.customer];
            assert!(customer.created_at < order.placed_at);
            assert!(order.cents() > 0 && order.cents() < 1_000_000_000);
            let paid: u64 = order.payments.iter().map(|payment| payment.cents).sum();
            assert_eq!(paid, if order.status == "cancelled" { 0 } else { order.cents() });
            for item in &order.items {
                let end = shop.products[item.product].discontinued;
                assert!(end.is_none_or(|end| order.placed_at < end as i64 * DAY));
            }
        }
        assert!(shop.orders.is_sorted_by_key(|order| order.placed_at));
    }

    #[test]
    fn sales_grow_and_have_seasons() {
        let days = orders_per_day(&mut Random::new(1));
        let sum = |range: std::ops::Range<usize>| days[range].iter().sum::<u64>();
        assert_eq!(sum(0..DAYS as usize), ORDERS);
        assert!(sum(731..1_096) > sum(0..365) * 3 / 2, "the third year beats the first");
        assert!(sum(153..184) > sum(184..215) * 3 / 2, "December beats January");
    }

    #[test]
    fn texts_are_what_the_tables_declare() {
        assert_eq!(timestamp(0), "2023-07-01 00:00:00");
        assert_eq!(timestamp(DAYS as i64 * DAY - 1), "2026-06-30 23:59:59");
        assert_eq!(timestamp(-1), "2023-06-30 23:59:59");
        assert_eq!([0, 5, 1_250, 123_456].map(decimal), ["0.00", "0.05", "12.50", "1234.56"]);
    }

    #[test]
    fn one_seed_makes_one_shop() {
        let sum = |shop: &Shop| -> u64 { shop.orders.iter().map(Order::cents).sum() };
        assert_eq!(sum(&Shop::new(7)), sum(&Shop::new(7)));
        assert_ne!(sum(&Shop::new(7)), sum(&Shop::new(8)));
    }
}
