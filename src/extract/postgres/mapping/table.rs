//! The table of types for people: made by asking [`super::mapping`] about one example of each type,
//! so that it can't say anything else than what the code does.

use arrow::datatypes::DataType;

use super::mapping;
use crate::extract::{
    Mapping,
    postgres::pg_type::{PgKind, PgType, oid},
};

/// One line of the table of types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeRow {
    /// The PostgreSQL types that share this line.
    pub postgres: &'static str,
    /// The Arrow type.
    pub arrow: String,
    /// The Delta Lake type.
    pub delta: String,
    /// `exact`, `kept` or `guarded`, as [`Mapping`] means them.
    pub outcome: &'static str,
    /// What to know of the values.
    pub note: String,
}

/// What every PostgreSQL type becomes, one line a kind of type.
pub fn type_table() -> Vec<TypeRow> {
    examples().into_iter().map(|(postgres, pg)| row(postgres, &pg)).collect()
}

fn row(postgres: &'static str, pg: &PgType) -> TypeRow {
    let (outcome, data_type, note) = match mapping(pg) {
        Mapping::Exact { data_type } => ("exact", Some(data_type), String::new()),
        Mapping::Kept { data_type, note } => ("kept", Some(data_type), note),
        Mapping::Guarded { data_type, note } => ("guarded", Some(data_type), note),
        Mapping::Refused { reason } => ("refused", None, reason),
    };
    TypeRow {
        postgres,
        arrow: data_type.as_ref().map(arrow).unwrap_or_default(),
        delta: data_type.as_ref().map(delta).unwrap_or_default(),
        outcome,
        note,
    }
}

/// An example of each kind of type.
pub(super) fn examples() -> Vec<(&'static str, PgType)> {
    let base = PgType::base;
    let of = |kind| PgType::new(0, "", -1, kind);
    let boxed = |oid| Box::new(base(oid, ""));
    let numeric = |precision: i32, scale: i32| {
        let modifier = (precision << 16 | scale & 0x7FF) + 4;
        PgType::new(oid::NUMERIC, "numeric", modifier, PgKind::Base)
    };
    vec![
        ("boolean", base(oid::BOOL, "")),
        ("smallint", base(oid::INT2, "")),
        ("integer", base(oid::INT4, "")),
        ("bigint", base(oid::INT8, "")),
        ("oid, xid, cid", base(oid::OID, "")),
        ("real", base(oid::FLOAT4, "")),
        ("double precision", base(oid::FLOAT8, "")),
        ("numeric(12,2), up to 38 digits", numeric(12, 2)),
        ("numeric(5,-3)", numeric(5, -3)),
        ("numeric(3,5)", numeric(3, 5)),
        ("numeric, or more than 38 digits", numeric(39, 2)),
        ("money", base(oid::MONEY, "")),
        ("text, varchar, name, json, xml", base(oid::TEXT, "")),
        ("char(n)", base(oid::BPCHAR, "")),
        ("\"char\"", base(oid::CHAR, "")),
        ("citext", base(0, "citext")),
        ("jsonb", base(oid::JSONB, "")),
        ("enum", of(PgKind::Enum)),
        ("bytea", base(oid::BYTEA, "")),
        ("date", base(oid::DATE, "")),
        ("timestamp", base(oid::TIMESTAMP, "")),
        ("timestamptz", base(oid::TIMESTAMPTZ, "")),
        ("time, timetz", base(oid::TIME, "")),
        ("interval", base(oid::INTERVAL, "")),
        ("uuid", base(oid::UUID, "")),
        ("inet, cidr, macaddr, macaddr8", base(oid::INET, "")),
        ("bit, varbit", base(oid::BIT, "")),
        ("integer[]", of(PgKind::Array(boxed(oid::INT4)))),
        ("int4range", of(PgKind::Range(boxed(oid::INT4)))),
        ("int4multirange", of(PgKind::Multirange(boxed(oid::INT4)))),
        ("composite", of(PgKind::Composite(vec![("f".to_owned(), base(oid::INT4, ""))]))),
        ("hstore", base(0, "hstore")),
        ("domain", of(PgKind::Domain(boxed(oid::INT4)))),
        ("point, tsvector, ltree and all others", of(PgKind::Unsendable)),
    ]
}

fn arrow(data_type: &DataType) -> String {
    let fields = |fields: &arrow::datatypes::Fields| {
        let fields: Vec<String> = fields
            .iter()
            .map(|field| format!("{}: {}", field.name(), arrow(field.data_type())))
            .collect();
        fields.join(", ")
    };
    match data_type {
        DataType::List(element) => format!("List<{}>", arrow(element.data_type())),
        DataType::Struct(inner) => format!("Struct<{}>", fields(inner)),
        DataType::Map(_, _) => "Map<Utf8View, Utf8View>".to_owned(),
        other => other.to_string(),
    }
}

fn delta(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int16 => "short".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "long".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::BinaryView => "binary".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp".to_owned(),
        DataType::Timestamp(_, None) => "timestamp_ntz".to_owned(),
        DataType::List(element) => format!("array<{}>", delta(element.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{}: {}", field.name(), delta(field.data_type())))
                .collect();
            format!("struct<{}>", fields.join(", "))
        }
        DataType::Map(_, _) => "map<string, string>".to_owned(),
        _ => "string".to_owned(),
    }
}
