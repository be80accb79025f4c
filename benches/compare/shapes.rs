//! Tables of one shape each, made by SQL on the primary: the same rows at every run, on any machine.

use std::time::Instant;

use crate::harness::postgres::{Cluster, OWNER, text};

/// A table, and what fills it.
struct Shape {
    name: &'static str,
    rows: u64,
    columns: String,
    /// What each row holds; `i` is its number.
    values: String,
    /// What else the values are made of, joined to the rows' numbers.
    from: String,
}

/// Makes those of the tables `names` (with commas between) that are not there yet in `database`,
/// with one row for every `shrink` that the full size has.
pub(crate) async fn load(cluster: &Cluster, database: &str, names: &str, shrink: u64) {
    for name in names.split(',') {
        let shape = shape(name);
        if !is_loaded(cluster, database, &shape).await {
            let start = Instant::now();
            make(cluster, database, &shape, shrink.max(1)).await;
            let seconds = start.elapsed().as_secs_f64();
            eprintln!("made {} rows of the shape `{name}` in {seconds:.0} s", shape.rows / shrink);
        }
    }
}

async fn is_loaded(cluster: &Cluster, database: &str, shape: &Shape) -> bool {
    let query = format!("select (to_regclass('public.shape_{}') is not null)::text", shape.name);
    text(&cluster.primary_url(database, OWNER), &query).await.unwrap() == "true"
}

async fn make(cluster: &Cluster, database: &str, shape: &Shape, shrink: u64) {
    let Shape { name, rows, columns, values, from } = shape;
    let rows = (rows / shrink).max(1);
    // Several statements at once are one transaction: the table is there with all rows or not.
    let sql = format!(
        "create table shape_{name} (id bigint not null, {columns});
         insert into shape_{name}
             select i, {values} from generate_series(1, {rows}::bigint) i {from};
         alter table shape_{name} add primary key (id)"
    );
    cluster.primary_sql(database, &sql).await;
    // Frozen rows: no later scan has anything to write.
    cluster.primary_sql(database, &format!("vacuum (freeze, analyze) shape_{name}")).await;
    cluster.primary_sql(database, "checkpoint").await;
    cluster.wait_for_replay().await;
}

fn shape(name: &str) -> Shape {
    match name {
        "narrow" => narrow(),
        "wide" => wide(),
        "text" => texts(),
        "numeric" => numeric(),
        "json" => json(),
        "arrays" => arrays(),
        other => panic!("there is no shape `{other}`"),
    }
}

/// SQL for a number from 0 to 2 to the power of `bits`, less one, that looks random: a function of
/// `of` (SQL) and `seed`.
fn hash(of: &str, seed: u32, bits: u32) -> String {
    format!("(hashint8extended({of}, {seed}) & {})", (1_i64 << bits) - 1)
}

/// Three integers: a key, a large number and a small one.
fn narrow() -> Shape {
    Shape {
        name: "narrow",
        rows: 10_000_000,
        columns: "large integer not null, small integer not null".into(),
        values: format!("{}::integer, {}::integer", hash("i", 1, 31), hash("i", 2, 10)),
        from: String::new(),
    }
}

/// 200 columns with the key, of eight types in turn; every third may be NULL.
fn wide() -> Shape {
    let (mut columns, mut values) = (Vec::new(), Vec::new());
    for at in 1..200_u32 {
        let number = |bits| hash("i", at, bits);
        let (name, value) = match at % 8 {
            0 => ("bigint", number(40)),
            1 => ("integer", format!("{}::integer", number(20))),
            2 => ("numeric(12,2)", format!("{} * 0.01", number(24))),
            3 => ("text", format!("'item ' || {}", number(16))),
            4 => ("boolean", format!("{} = 0", number(1))),
            5 => ("date", format!("date '2020-01-01' + {}::integer", number(11))),
            6 => {
                let moment =
                    format!("timestamptz '2020-01-01 UTC' + {} * interval '1 s'", number(27));
                ("timestamptz", moment)
            }
            _ => ("double precision", format!("{} / 7.0::double precision", number(30))),
        };
        let is_nullable = at % 3 == 0;
        columns.push(format!("c{at} {name}{}", if is_nullable { "" } else { " not null" }));
        values.push(if is_nullable {
            format!("case when {} > 0 then {value} end", hash("i", at + 1_000, 2))
        } else {
            value
        });
    }
    Shape {
        name: "wide",
        rows: 100_000,
        columns: columns.join(", "),
        values: values.join(", "),
        from: String::new(),
    }
}

/// 64 syllables that words are made of.
const SYLLABLES: &str = "ka ne ti lor ma sel an dru vi to ber qui sha re mon el pa gri us tan fo li ven \
     or da ste ñi che ra bul en sy co müh al ter no pri gé is ha wen dor um fa tri be \
     ly on za per cu jo mé at ski ro gen ul the in la mi ex";

/// SQL for a text of `steps` (SQL) times three words, another for every `seed`.
fn words(steps: &str, seed: u32) -> String {
    // Six bits for a syllable.
    let syllable = |at: u32| format!("s[1 + (h >> {} & 63)::integer]", at * 6);
    let word = |parts: std::ops::Range<u32>| parts.map(syllable).collect::<Vec<_>>().join(" || ");
    format!(
        "(select string_agg({} || ' ' || {} || ' ' || {}, ' ' order by w)
          from generate_series(1, {steps}) w,
              lateral (select hashint8extended(i * 1000 + w, {seed}) h offset 0) hashes)",
        word(0..2),
        word(2..5),
        word(5..7),
    )
}

/// Titles and texts of up to 3 KB.
fn texts() -> Shape {
    Shape {
        name: "text",
        rows: 200_000,
        columns: "language char(2) not null, title text not null, body text not null, \
                  note varchar(200)"
            .into(),
        values: format!(
            "(array['en', 'de', 'fr', 'es'])[1 + {}::integer], {}, {},
             case when {} = 0 then {} end",
            hash("i", 1, 2),
            words("2", 2),
            words(&format!("5 + {}::integer", hash("i", 3, 7)), 4),
            hash("i", 5, 1),
            words(&format!("1 + {}::integer", hash("i", 6, 2)), 7),
        ),
        from: format!(", (select string_to_array('{SYLLABLES}', ' ') s) syllables"),
    }
}

/// Numbers that fit 64 bits, that don't, and without a scale.
fn numeric() -> Shape {
    Shape {
        name: "numeric",
        rows: 3_000_000,
        columns: "price numeric(18,4) not null, amount numeric(38,10) not null, \
                  reading numeric not null, share numeric(5,4)"
            .into(),
        values: format!(
            "{} * 0.0001, {}::numeric * {} * 0.0000000001, {} * ('1e-' || {})::numeric,
             case when {} > 0 then {} * 0.0001 end",
            hash("i", 1, 40),
            hash("i", 2, 62),
            hash("i", 3, 30),
            hash("i", 4, 50),
            hash("i", 5, 3),
            hash("i", 6, 2),
            hash("i", 7, 13),
        ),
        from: String::new(),
    }
}

/// Documents of 4 to 40 KB, as `jsonb` and as `json`: TOAST keeps them, compressed.
fn json() -> Shape {
    let items = format!(
        "(select json_agg(json_build_object(
              'sku', md5((i * 1000 + n)::text), 'quantity', {}, 'price', {} * 0.01,
              'tags', json_build_array('tag ' || {}, 'tag ' || {}), 'gift', {} = 0
          ) order by n)
          from generate_series(1, 32 + {}::integer) n)",
        hash("(i * 1000 + n)", 1, 4),
        hash("(i * 1000 + n)", 2, 20),
        hash("(i * 1000 + n)", 3, 6),
        hash("(i * 1000 + n)", 4, 6),
        hash("(i * 1000 + n)", 5, 3),
        hash("i", 6, 8),
    );
    Shape {
        name: "json",
        rows: 7_500,
        columns: "document jsonb not null, source json not null".into(),
        values: "made.document::jsonb, made.document".into(),
        from: format!(", lateral (select {items} document offset 0) made"),
    }
}

/// Arrays of no more than 15 integers, 7 texts and 7 numbers; one in four is NULL, and some of
/// their elements are.
fn arrays() -> Shape {
    let array = |seed: u32, bits: u32, element: &str| {
        format!(
            "case when {} > 0 then coalesce((select array_agg({element} order by n)
                 from generate_series(1, {}::integer) n), '{{}}') end",
            hash("i", seed, 2),
            hash("i", seed + 1, bits),
        )
    };
    let number = |seed, bits| hash("(i * 16 + n)", seed, bits);
    Shape {
        name: "arrays",
        rows: 1_000_000,
        columns: "ints integer[], texts text[], numbers numeric(12,2)[]".into(),
        values: [
            array(1, 4, &format!("nullif({}, 0)::integer", number(11, 20))),
            array(3, 3, &format!("'label ' || {}", number(12, 12))),
            array(5, 3, &format!("{} * 0.01", number(13, 30))),
        ]
        .join(", "),
        from: String::new(),
    }
}
