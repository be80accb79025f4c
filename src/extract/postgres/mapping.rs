//! What each PostgreSQL type becomes in the warehouse, which casts a user may ask for, and the SQL
//! that reads a column so.
//!
//! No mapping changes a value: what the warehouse has no type for is kept as the text that
//! PostgreSQL itself prints, and the few values that a type can't hold (NaN in a decimal, infinite
//! dates) stop the run by the column's name, unless the column's rule says otherwise.

mod table;

use std::{collections::HashSet, sync::Arc};

use arrow::datatypes::{DataType, Field, Fields};

use super::{
    copy::{Via, interval_type, map_type, plan, range_type},
    pg_type::{PgKind, PgType, oid},
};
use crate::{
    extract::Mapping,
    types::{ColumnType, canonical_type},
};

pub use table::{TypeRow, type_table};

/// A type with what must be known of it.
struct Meaning {
    data_type: DataType,
    /// How the values are kept, where that is not as they are.
    form: Option<String>,
    /// Which values stop the run.
    stops: Option<String>,
}

impl Meaning {
    fn exact(to: ColumnType) -> Self {
        Self { data_type: to.arrow(), form: None, stops: None }
    }

    fn text(form: &str) -> Self {
        Self { form: Some(form.to_owned()), ..Self::exact(ColumnType::Text) }
    }

    fn of(data_type: DataType, form: &str) -> Self {
        Self { data_type, form: Some(form.to_owned()), stops: None }
    }

    fn stopping(self, stops: impl Into<String>) -> Self {
        Self { stops: Some(stops.into()), ..self }
    }

    fn formed(self, form: &str) -> Self {
        Self { form: Some(form.to_owned()), ..self }
    }
}

/// What becomes of a column of type `pg`. Never [`Mapping::Refused`]: PostgreSQL can print every
/// type.
pub fn mapping(pg: &PgType) -> Mapping {
    let Meaning { data_type, form, stops } = meaning(pg);
    match (form, stops) {
        (None, None) => Mapping::Exact { data_type },
        (Some(note), None) => Mapping::Kept { data_type, note },
        (form, Some(stops)) => {
            let stops = format!("{stops} would not fit; `cast: text` keeps them");
            let note = form.into_iter().chain([stops]).collect::<Vec<_>>().join("; ");
            Mapping::Guarded { data_type, note }
        }
    }
}

/// The Arrow type that a column of type `pg` is read as when the user asks for `to`. What can't be
/// known beforehand is checked value by value while reading.
///
/// # Errors
/// Why values would change, and what the type can be cast to.
pub fn cast(pg: &PgType, to: ColumnType) -> Result<DataType, String> {
    let target = to.arrow();
    if plan(pg, &target).is_some() {
        return Ok(target);
    }
    Err(format!(
        "`{}` can't become {to} without changing values; it can become {}",
        pg.name,
        possible(pg)
    ))
}

/// The casts that `pg` allows, as a sentence's end.
fn possible(pg: &PgType) -> String {
    let candidates = [
        ColumnType::Boolean,
        ColumnType::SmallInt,
        ColumnType::Integer,
        ColumnType::BigInt,
        ColumnType::Real,
        ColumnType::Double,
        ColumnType::Binary,
        ColumnType::Date,
        ColumnType::Timestamp,
        ColumnType::TimestampNtz,
        ColumnType::Text,
    ];
    let mut names: Vec<String> = candidates
        .into_iter()
        .filter(|to| plan(pg, &to.arrow()).is_some())
        .map(|to| to.to_string())
        .collect();
    if plan(pg, &ColumnType::Decimal(38, 0).arrow()).is_some() {
        names.insert(0, "decimal(p,s)".to_owned());
    }
    names.join(", ")
}

/// The SQL that reads `column` (quoted SQL) of type `pg` so that [`super::copy::Decoder`] can make
/// `target` of it.
pub fn select_expression(column: &str, pg: &PgType, target: &DataType) -> String {
    plan(pg, target).map_or(Via::Itself, |plan| plan.via).expression(column)
}

/// Which values of type `pg` stop a run that reads them as `target`, where that is what the type
/// becomes by itself.
pub(super) fn stopping_values(pg: &PgType, target: &DataType) -> Option<String> {
    let meaning = meaning(pg);
    meaning.stops.filter(|_| meaning.data_type == *target)
}

/// `data_type` in the words that `cast:` takes, where there are such words.
pub(super) fn spelled(data_type: &DataType) -> String {
    let to = match data_type {
        DataType::Boolean => ColumnType::Boolean,
        DataType::Int16 => ColumnType::SmallInt,
        DataType::Int32 => ColumnType::Integer,
        DataType::Int64 => ColumnType::BigInt,
        DataType::Float32 => ColumnType::Real,
        DataType::Float64 => ColumnType::Double,
        DataType::Decimal128(precision, scale) => ColumnType::Decimal(*precision, *scale),
        DataType::Utf8View => ColumnType::Text,
        DataType::BinaryView => ColumnType::Binary,
        DataType::Date32 => ColumnType::Date,
        DataType::Timestamp(_, Some(_)) => ColumnType::Timestamp,
        DataType::Timestamp(_, None) => ColumnType::TimestampNtz,
        DataType::List(_) => return "a list".to_owned(),
        DataType::Struct(_) => return "a struct".to_owned(),
        DataType::Map(_, _) => return "a map".to_owned(),
        other => return format!("`{other}`"),
    };
    format!("`{to}`")
}

fn meaning(pg: &PgType) -> Meaning {
    if matches!(pg.oid, oid::INT2VECTOR | oid::OIDVECTOR) {
        return printed();
    }
    match &pg.kind {
        PgKind::Domain(inner) => meaning(inner),
        PgKind::Enum => Meaning::exact(ColumnType::Text).formed("labels are text"),
        PgKind::Base => base(pg),
        PgKind::Array(element) => array(pg, element),
        PgKind::Composite(fields) => composite(fields).unwrap_or_else(printed),
        PgKind::Range(bound) => range(bound).unwrap_or_else(printed),
        PgKind::Multirange(bound) => range(bound)
            .map_or_else(printed, |range| Meaning { data_type: list(range.data_type), ..range }),
        PgKind::Unsendable => printed(),
    }
}

/// A type that only PostgreSQL itself can read.
fn printed() -> Meaning {
    Meaning::text("read as the text that PostgreSQL prints")
}

const INFINITIES: &str = "infinity and -infinity";

fn base(pg: &PgType) -> Meaning {
    match pg.oid {
        oid::BOOL => Meaning::exact(ColumnType::Boolean),
        oid::INT2 => Meaning::exact(ColumnType::SmallInt),
        oid::INT4 => Meaning::exact(ColumnType::Integer),
        oid::INT8 | oid::OID | oid::XID | oid::CID => Meaning::exact(ColumnType::BigInt),
        oid::FLOAT4 => Meaning::exact(ColumnType::Real),
        oid::FLOAT8 => Meaning::exact(ColumnType::Double),
        oid::NUMERIC => numeric(pg.modifier),
        oid::MONEY => Meaning::text("amounts are text without currency"),
        oid::TEXT | oid::VARCHAR | oid::NAME | oid::JSON | oid::XML => {
            Meaning::exact(ColumnType::Text)
        }
        oid::BPCHAR => Meaning::text("without its padding, as PostgreSQL casts it to text"),
        oid::CHAR => Meaning::text("bytes that are not ASCII are printed as `\\ooo`"),
        oid::JSONB => Meaning::text("documents are text"),
        oid::BYTEA => Meaning::exact(ColumnType::Binary),
        oid::DATE => Meaning::exact(ColumnType::Date)
            .formed("years before 1 and after 9999 are kept, and some readers can't show them")
            .stopping(INFINITIES),
        oid::TIMESTAMP => Meaning::exact(ColumnType::Timestamp)
            .formed(
                "the wall clock is stored as if it were UTC; \
                 `cast: timestamp_ntz` stores it without a zone",
            )
            .stopping(INFINITIES),
        oid::TIMESTAMPTZ => Meaning::exact(ColumnType::Timestamp).stopping(INFINITIES),
        oid::TIME | oid::TIMETZ => Meaning::text("times of day are text"),
        oid::INTERVAL => {
            Meaning::of(interval_type(), "its months, days and microseconds").stopping(INFINITIES)
        }
        oid::UUID => Meaning::text("UUIDs are text"),
        oid::INET | oid::CIDR | oid::MACADDR | oid::MACADDR8 => Meaning::text("addresses are text"),
        oid::BIT | oid::VARBIT => Meaning::text("bits are text of 0 and 1"),
        oid::JSONPATH => printed(),
        _ => match pg.bare_name() {
            "citext" => Meaning::text("case is kept, but comparisons in the warehouse heed it"),
            "hstore" => Meaning::of(map_type(), "pairs are a map"),
            _ => printed(),
        },
    }
}

/// `numeric` with the modifier of the column: precision and scale are packed into it.
fn numeric(modifier: i32) -> Meaning {
    let unbounded = || {
        Meaning::text(
            "numbers without a fixed scale are exact text; \
             `cast: decimal(p,s)` makes them numbers",
        )
    };
    let Some(packed) = modifier.checked_sub(4).filter(|packed| *packed >= 0) else {
        return unbounded();
    };
    let precision = packed >> 16 & 0xFFFF;
    // Eleven bits with a sign, since PostgreSQL 15.
    let scale = ((packed & 0x7FF) ^ 0x400) - 0x400;
    // Rounded left of the point: that many more digits, and none after it. All after the point:
    // leading zeros count for a decimal.
    let (precision, scale) = (precision.max(scale).max(precision - scale.min(0)), scale.max(0));
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(precision @ 1..=38), Ok(scale)) => {
            Meaning::exact(ColumnType::Decimal(precision, scale)).stopping("NaN")
        }
        _ => unbounded(),
    }
}

/// A list as Delta Lake and the Parquet specification name its parts.
fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, true)))
}

fn array(pg: &PgType, element: &PgType) -> Meaning {
    // The modifier of an array's column is that of its elements.
    let mut element = element.clone();
    if element.modifier == -1 {
        element.modifier = pg.modifier;
    }
    let inner = meaning(&element);
    let data_type = list(inner.data_type);
    if plan(pg, &data_type).is_none() {
        return printed();
    }
    let shapes = "arrays of several dimensions or that do not begin at 1";
    let stops = inner.stops.map_or(shapes.to_owned(), |stops| format!("{shapes}, {stops}"));
    Meaning { data_type, form: inner.form, stops: Some(stops) }
}

fn composite(fields: &[(String, PgType)]) -> Option<Meaning> {
    let names: HashSet<String> = fields.iter().map(|(name, _)| name.to_lowercase()).collect();
    // Delta Lake compares names without case, and neither it nor Parquet has an empty struct.
    if fields.is_empty() || names.len() < fields.len() {
        return None;
    }
    let (mut targets, mut forms, mut stops) = (Vec::new(), Vec::new(), Vec::new());
    for (name, pg) in fields {
        let inner = readable_inside(pg)?;
        targets.push(Field::new(name, inner.data_type, true));
        forms.extend(inner.form.map(|form| format!("`{name}`: {form}")));
        stops.extend(inner.stops.map(|what| format!("{what} in `{name}`")));
    }
    let joined = |parts: Vec<String>| (!parts.is_empty()).then(|| parts.join(", "));
    Some(Meaning {
        data_type: DataType::Struct(Fields::from(targets)),
        form: joined(forms),
        stops: joined(stops),
    })
}

fn range(bound: &PgType) -> Option<Meaning> {
    let inner = readable_inside(bound)?;
    let form = "a bound that is NULL is none".to_owned();
    let form = inner.form.map_or(form.clone(), |inner| format!("{form}; {inner}"));
    Some(Meaning {
        data_type: range_type(&inner.data_type),
        form: Some(form),
        stops: inner.stops.map(|stops| format!("{stops} as bounds")),
    })
}

/// What a value inside another becomes, if it can be read there: only a column can be asked for in
/// another form.
fn readable_inside(pg: &PgType) -> Option<Meaning> {
    let meaning = meaning(pg);
    let plan = plan(pg, &meaning.data_type)?;
    (plan.via == Via::Itself && canonical_type(&meaning.data_type).is_ok()).then_some(meaning)
}

#[cfg(test)]
mod tests;
