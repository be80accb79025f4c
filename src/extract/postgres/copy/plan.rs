//! The one place that decides how a PostgreSQL type is read into an Arrow type: what to ask the
//! server for, and what decodes its answer. Where there is no plan, values would change.

use arrow::datatypes::{DataType, FieldRef, Fields};

use super::{
    Decode,
    fixed::{self, Integer},
    nested, numeric, printed,
    text::{self, Form},
};
use crate::extract::postgres::pg_type::{PgKind, PgType, oid};

/// What to ask the server for, so that the answer can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::extract::postgres) enum Via {
    /// The column as it is.
    Itself,
    /// Its text form.
    Text,
    /// Its elements' text forms.
    TextArray,
    /// Money as a number.
    Numeric,
    /// Money as a number's text.
    NumericText,
    /// An array of money as numbers' texts.
    NumericTextArray,
}

impl Via {
    /// The SQL that reads `column`, which is SQL itself.
    pub(in crate::extract::postgres) fn expression(self, column: &str) -> String {
        let cast = match self {
            Self::Itself => "",
            Self::Text => "::text",
            Self::TextArray => "::text[]",
            Self::Numeric => "::numeric",
            Self::NumericText => "::numeric::text",
            Self::NumericTextArray => "::numeric[]::text[]",
        };
        format!("{column}{cast}")
    }

    /// The type of what the server sends for a column of type `pg`.
    pub(super) fn sends(self, pg: &PgType) -> PgType {
        let text = || PgType::base(oid::TEXT, "text");
        match self {
            Self::Itself => pg.clone(),
            Self::Text | Self::NumericText => text(),
            Self::Numeric => PgType::base(oid::NUMERIC, "numeric"),
            Self::TextArray | Self::NumericTextArray => {
                PgType::new(0, "text[]", -1, PgKind::Array(Box::new(text())))
            }
        }
    }
}

/// How a column is read.
pub(in crate::extract::postgres) struct Plan {
    /// What to ask for.
    pub(in crate::extract::postgres) via: Via,
    /// What decodes the answer.
    pub(super) decode: Box<dyn Decode>,
}

impl Plan {
    fn itself(decode: Box<dyn Decode>) -> Self {
        Self { via: Via::Itself, decode }
    }
}

/// The plan that reads columns of type `pg` as `target`; `None` where values would change.
pub(in crate::extract::postgres) fn plan(pg: &PgType, target: &DataType) -> Option<Plan> {
    if matches!(pg.oid, oid::INT2VECTOR | oid::OIDVECTOR) {
        return as_text(target);
    }
    let planned = match &pg.kind {
        PgKind::Domain(inner) => return plan(inner, target),
        PgKind::Base => base(pg, target),
        PgKind::Enum => raw_text(target).map(Plan::itself),
        PgKind::Array(element) => array(element, target),
        PgKind::Composite(fields) => composite(fields, target).map(Plan::itself),
        PgKind::Range(bound) => range(bound, target).map(Plan::itself),
        PgKind::Multirange(bound) => multirange(bound, target).map(Plan::itself),
        PgKind::Unsendable => None,
    };
    planned.or_else(|| as_text(target))
}

/// Whatever the type, PostgreSQL can print it.
fn as_text(target: &DataType) -> Option<Plan> {
    (*target == DataType::Utf8View).then(|| Plan { via: Via::Text, decode: text::text(Form::Raw) })
}

fn raw_text(target: &DataType) -> Option<Box<dyn Decode>> {
    match target {
        DataType::Utf8View => Some(text::text(Form::Raw)),
        DataType::BinaryView => Some(text::binary()),
        _ => None,
    }
}

fn base(pg: &PgType, target: &DataType) -> Option<Plan> {
    let is_text = *target == DataType::Utf8View;
    let decode = match pg.oid {
        oid::BOOL => (*target == DataType::Boolean).then(fixed::boolean),
        oid::INT2 => fixed::integer(Integer::I16, target),
        oid::INT4 => fixed::integer(Integer::I32, target),
        oid::INT8 => fixed::integer(Integer::I64, target),
        oid::OID | oid::XID | oid::CID => fixed::integer(Integer::U32, target),
        oid::FLOAT4 => fixed::real(target),
        oid::FLOAT8 => fixed::double(target),
        oid::NUMERIC if is_text => Some(text::printed(numeric::print)),
        oid::NUMERIC => numeric::numeric(target),
        oid::MONEY => return money(target),
        oid::TEXT | oid::VARCHAR | oid::NAME | oid::JSON | oid::XML => raw_text(target),
        oid::BPCHAR if is_text => Some(text::text(Form::Padded)),
        oid::BPCHAR => raw_text(target),
        oid::CHAR => is_text.then(|| text::text(Form::Byte)),
        oid::JSONB | oid::JSONPATH => is_text.then(|| text::text(Form::Versioned)),
        oid::DATE => fixed::date(target),
        // A moment has a date only in some time zone, so there is no cast to one.
        oid::TIMESTAMPTZ if *target == DataType::Date32 => None,
        oid::TIMESTAMP | oid::TIMESTAMPTZ => fixed::timestamp(target),
        oid::TIME => is_text.then(|| text::printed(printed::time)),
        oid::TIMETZ => is_text.then(|| text::printed(printed::time_with_zone)),
        oid::INTERVAL => (*target == fixed::interval_type()).then(fixed::interval),
        oid::UUID if is_text => Some(text::printed(printed::uuid)),
        oid::UUID | oid::BYTEA => (*target == DataType::BinaryView).then(text::binary),
        oid::INET | oid::CIDR => is_text.then(|| text::printed(printed::network)),
        oid::MACADDR | oid::MACADDR8 => is_text.then(|| text::printed(printed::mac_address)),
        oid::BIT | oid::VARBIT => is_text.then(|| text::printed(printed::bits)),
        _ => match pg.bare_name() {
            "citext" => raw_text(target),
            "hstore" => (*target == nested::map_type()).then(nested::map),
            _ => None,
        },
    };
    decode.map(Plan::itself)
}

/// What an amount means depends on the server's locale; as a number it does not.
fn money(target: &DataType) -> Option<Plan> {
    if *target == DataType::Utf8View {
        return Some(Plan { via: Via::NumericText, decode: text::text(Form::Raw) });
    }
    Some(Plan { via: Via::Numeric, decode: numeric::numeric(target)? })
}

fn array(element: &PgType, target: &DataType) -> Option<Plan> {
    let DataType::List(field) = target else { return None };
    let inner = plan(element, field.data_type())?;
    let (via, oid) = match inner.via {
        Via::Itself => (Via::Itself, element.oid),
        Via::Text => (Via::TextArray, oid::TEXT),
        Via::NumericText => (Via::NumericTextArray, oid::TEXT),
        Via::Numeric | Via::TextArray | Via::NumericTextArray => return None,
    };
    Some(Plan { via, decode: nested::array(inner.decode, oid, field) })
}

/// A decoder of values inside others, which can't be asked for in another form.
fn inner(pg: &PgType, target: &DataType) -> Option<Box<dyn Decode>> {
    plan(pg, target).filter(|plan| plan.via == Via::Itself).map(|plan| plan.decode)
}

fn composite(fields: &[(String, PgType)], target: &DataType) -> Option<Box<dyn Decode>> {
    let DataType::Struct(targets) = target else { return None };
    if fields.len() != targets.len() {
        return None;
    }
    let children = fields
        .iter()
        .zip(targets)
        .map(|((_, pg), target)| Some((inner(pg, target.data_type())?, pg.oid)))
        .collect::<Option<Vec<_>>>()?;
    Some(nested::composite(children, targets))
}

fn range(bound: &PgType, target: &DataType) -> Option<Box<dyn Decode>> {
    let DataType::Struct(fields) = target else { return None };
    let bound_type = fields.first()?.data_type();
    if *target != nested::range_type(bound_type) {
        return None;
    }
    range_of(bound, bound_type, fields)
}

fn range_of(bound: &PgType, target: &DataType, fields: &Fields) -> Option<Box<dyn Decode>> {
    Some(nested::range(inner(bound, target)?, inner(bound, target)?, fields))
}

fn multirange(bound: &PgType, target: &DataType) -> Option<Box<dyn Decode>> {
    let DataType::List(field) = target else { return None };
    let field: &FieldRef = field;
    Some(nested::multirange(range(bound, field.data_type())?, field))
}
