//! Looks for values that their columns' types can't hold, before the first row is read.
//!
//! The decoder finds each such value anyway and stops the run; a probe finds it sooner. Small
//! tables are looked at whole, in milliseconds. A large one is only where the planner's statistics
//! know of such a value: a scan then costs less than a night that ends in an error. Views and queries
//! are not looked at, since nobody knows what that costs. The server does the looking; no row comes
//! to us.

use arrow::datatypes::DataType;

use super::{
    copy::{Via, interval_type, plan},
    mapping::{spelled, stopping_values},
    pg_type::{PgKind, PgType, oid},
    rows::query,
    sql::{from_clause, literal, quote},
    view::Plan,
    wire::{WireConnection, WireError},
};
use crate::{
    config::OnMismatch,
    error::{Error, ErrorKind},
    extract::ColumnRequest,
};

/// A table of at most so many bytes, TOAST included, is always looked at.
const SMALL_BYTES: u64 = 8 << 20;

/// What the statistics call values that need a look.
const SUSPECT: &str = "'{NaN,infinity,-infinity,Infinity,-Infinity}'";

/// One table to look at.
pub(super) struct Candidate<'a> {
    pub(super) plan: &'a Plan,
    /// How long its tables are; nothing for what has none, a view or a query.
    pub(super) bytes: Option<u64>,
}

/// Looks at `candidates` inside the transaction of `connection`. Gives the error that reading one
/// of them would end in, in the words of its columns.
pub(super) async fn unfit(
    connection: &mut WireConnection,
    candidates: &[Candidate<'_>],
) -> Result<Option<Error>, WireError> {
    for candidate in candidates {
        let checks = checks(candidate.plan);
        if checks.is_empty() {
            continue;
        }
        let look = match candidate.bytes {
            None => false,
            Some(bytes) if bytes <= SMALL_BYTES => true,
            Some(_) => is_suspect(connection, candidate.plan, &checks).await?,
        };
        if !look {
            continue;
        }
        let found = query(connection, &statement(candidate.plan, &checks)).await?;
        let Some(row) = found.first() else { continue };
        let unfit: Vec<_> = checks
            .iter()
            .enumerate()
            .filter(|(at, _)| row.is(*at))
            .map(|(_, check)| check)
            .collect();
        if !unfit.is_empty() {
            return Ok(Some(error(candidate.plan, &unfit)));
        }
    }
    Ok(None)
}

/// A column that holds values of which some may not fit.
struct Check<'a> {
    column: &'a ColumnRequest,
    pg: &'a PgType,
    /// SQL that is true for a value that does not fit.
    condition: String,
}

fn checks(plan: &Plan) -> Vec<Check<'_>> {
    let columns = plan.request.columns.iter().zip(&plan.types);
    columns
        // Elsewhere such a value stops nothing.
        .filter(|(column, _)| column.on_mismatch == OnMismatch::Error)
        .filter_map(|(column, pg)| {
            let value = quote(&column.source.name);
            let condition = condition(&value, pg, column.field.data_type(), 0)?;
            Some(Check { column, pg, condition })
        })
        .collect()
}

fn statement(plan: &Plan, checks: &[Check<'_>]) -> String {
    let any: Vec<_> = checks.iter().map(|check| format!("bool_or({})", check.condition)).collect();
    let mut sql = format!("SELECT {} FROM {}", any.join(", "), from_clause(&plan.request.from));
    if let Some(filter) = &plan.request.filter {
        sql += &format!(" WHERE ({filter}\n)");
    }
    sql
}

/// Whether the statistics of one of the columns name a value that may not fit. They may be old:
/// only a look proves it.
async fn is_suspect(
    connection: &mut WireConnection,
    plan: &Plan,
    checks: &[Check<'_>],
) -> Result<bool, WireError> {
    let table = &plan.request.from;
    let names: Vec<_> = checks.iter().map(|check| literal(&check.column.source.name)).collect();
    let sql = format!(
        "SELECT 1 FROM pg_catalog.pg_stats s
         WHERE s.schemaname = {} AND s.tablename = {} AND s.attname IN ({})
             AND {SUSPECT}::text[] && (coalesce(s.most_common_vals::text::text[], '{{}}')
                 || coalesce(s.histogram_bounds::text::text[], '{{}}'))
         LIMIT 1",
        literal(&table.schema),
        literal(&table.name),
        names.join(", ")
    );
    Ok(!query(connection, &sql).await?.is_empty())
}

fn error(plan: &Plan, unfit: &[&Check<'_>]) -> Error {
    let what = format!(
        "`{}` holds values that can't be kept as planned; nothing was extracted",
        plan.request.from.display_name()
    );
    let mut error = Error::new(ErrorKind::Data, what);
    let mut casts = Vec::new();
    for Check { column, pg, .. } in unfit {
        let target = column.field.data_type();
        let name = &column.source.name;
        let known = stopping_values(pg, target).map(|values| format!(": {values}"));
        error = error.because(format!(
            "column `{name}` (`{}`) holds what {} can't{}",
            column.source.declared,
            spelled(target),
            known.unwrap_or_default()
        ));
        casts.push(format!("{name}: text"));
    }
    let these = if casts.len() == 1 { "it" } else { "them" };
    error.hint(format!("read {these} as text: `columns: {{cast: {{{}}}}}`", casts.join(", ")))
}

/// SQL that is true where `value`, SQL of type `pg`, holds what `target` can't. `depth` counts the
/// arrays around it. Nothing where all values fit, or where only reading tells.
fn condition(value: &str, pg: &PgType, target: &DataType, depth: usize) -> Option<String> {
    match &pg.kind {
        PgKind::Domain(inner) => condition(value, inner, target, depth),
        PgKind::Base => base(value, pg, target),
        PgKind::Array(element) => {
            let DataType::List(field) = target else { return None };
            let mut element = (**element).clone();
            if element.modifier == -1 {
                element.modifier = pg.modifier;
            }
            let shape = format!("array_ndims({value}) > 1 OR array_lower({value}, 1) <> 1");
            let inside = any_element(value, depth, |item| {
                condition(item, &element, field.data_type(), depth + 1)
            });
            Some(inside.map_or(shape.clone(), |inside| format!("{shape} OR {inside}")))
        }
        PgKind::Composite(fields) => {
            let DataType::Struct(targets) = target else { return None };
            let each = fields.iter().zip(targets).filter_map(|((name, pg), target)| {
                condition(&format!("({value}).{}", quote(name)), pg, target.data_type(), depth)
            });
            any(each)
        }
        PgKind::Range(bound) => range(value, bound, target, depth),
        PgKind::Multirange(bound) => {
            let DataType::List(field) = target else { return None };
            any_element(value, depth, |item| range(item, bound, field.data_type(), depth + 1))
        }
        PgKind::Enum | PgKind::Unsendable => None,
    }
}

fn range(value: &str, bound: &PgType, target: &DataType, depth: usize) -> Option<String> {
    let DataType::Struct(fields) = target else { return None };
    let target = fields.first()?.data_type();
    let bounds = [format!("lower({value})"), format!("upper({value})")];
    any(bounds.iter().filter_map(|value| condition(value, bound, target, depth)))
}

fn any_element(
    value: &str,
    depth: usize,
    condition: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    let item = format!("longshore_item{depth}");
    let inside = condition(&item)?;
    Some(format!("EXISTS (SELECT 1 FROM unnest({value}) AS {item} WHERE {inside})"))
}

fn any(conditions: impl Iterator<Item = String>) -> Option<String> {
    let all: Vec<_> = conditions.collect();
    (!all.is_empty()).then(|| all.join(" OR "))
}

fn base(value: &str, pg: &PgType, target: &DataType) -> Option<String> {
    if plan(pg, target)?.via != Via::Itself {
        return None;
    }
    match (pg.oid, target) {
        (oid::NUMERIC, DataType::Decimal128(precision, scale)) => {
            // Sorted above every number, NaN is found by both.
            let (whole, scale) = (i32::from(*precision) - i32::from(*scale), i32::from(*scale));
            Some(if stopping_values(pg, target).is_some() {
                format!("{value} = 'NaN'")
            } else {
                format!(
                    "abs({value}) >= '1e{whole}'::numeric OR {value} <> round({value}, {scale})"
                )
            })
        }
        (oid::NUMERIC, DataType::Int16) => Some(outside(value, i16::MIN.into(), i16::MAX.into())),
        (oid::NUMERIC, DataType::Int32) => Some(outside(value, i32::MIN.into(), i32::MAX.into())),
        (oid::NUMERIC, DataType::Int64) => Some(outside(value, i64::MIN, i64::MAX)),
        (oid::INT4 | oid::INT8 | oid::OID, DataType::Int16) => {
            Some(format!("{value}::int8 NOT BETWEEN {} AND {}", i16::MIN, i16::MAX))
        }
        (oid::INT8 | oid::OID, DataType::Int32) => {
            Some(format!("{value}::int8 NOT BETWEEN {} AND {}", i32::MIN, i32::MAX))
        }
        (oid::TIMESTAMP, DataType::Date32) => {
            Some(format!("NOT isfinite({value}) OR {value} <> date_trunc('day', {value})"))
        }
        (oid::DATE, DataType::Date32) => Some(format!("NOT isfinite({value})")),
        // Where microseconds since 1970 end; PostgreSQL counts from 2000.
        (oid::DATE | oid::TIMESTAMP | oid::TIMESTAMPTZ, DataType::Timestamp(..)) => {
            Some(format!("NOT isfinite({value}) OR {value} >= '294247-01-10'"))
        }
        (oid::INTERVAL, target) if *target == interval_type() => {
            Some(format!("NOT isfinite({value})"))
        }
        _ => None,
    }
}

/// True for numbers that are not whole, or not within the bounds.
fn outside(value: &str, least: i64, most: i64) -> String {
    format!("{value} NOT BETWEEN {least} AND {most} OR {value} <> trunc({value})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{extract::postgres::mapping::mapping, types::ColumnType};

    fn of(pg: &PgType) -> Option<String> {
        condition("v", pg, mapping(pg).data_type().unwrap(), 0)
    }

    #[test]
    fn conditions_say_what_the_decoder_would_refuse() {
        let numeric = PgType::new(oid::NUMERIC, "numeric(10,2)", (10 << 16 | 2) + 4, PgKind::Base);
        let day = PgType::base(oid::DATE, "date");
        let array = |of: &PgType| PgType::new(1, "x[]", -1, PgKind::Array(Box::new(of.clone())));
        let composite = PgType::new(
            1,
            "pair",
            -1,
            PgKind::Composite(vec![("a\"".into(), day.clone()), ("b".into(), array(&numeric))]),
        );
        let ranges = PgType::new(1, "days", -1, PgKind::Multirange(Box::new(day.clone())));
        insta::assert_snapshot!(of(&numeric).unwrap(), @"v = 'NaN'");
        insta::assert_snapshot!(of(&day).unwrap(), @"NOT isfinite(v)");
        insta::assert_snapshot!(of(&array(&day)).unwrap(), @"array_ndims(v) > 1 OR array_lower(v, 1) <> 1 OR EXISTS (SELECT 1 FROM unnest(v) AS longshore_item0 WHERE NOT isfinite(longshore_item0))");
        insta::assert_snapshot!(of(&composite).unwrap(), @r#"NOT isfinite((v)."a""") OR array_ndims((v)."b") > 1 OR array_lower((v)."b", 1) <> 1 OR EXISTS (SELECT 1 FROM unnest((v)."b") AS longshore_item0 WHERE longshore_item0 = 'NaN')"#);
        insta::assert_snapshot!(of(&ranges).unwrap(), @"EXISTS (SELECT 1 FROM unnest(v) AS longshore_item0 WHERE NOT isfinite(lower(longshore_item0)) OR NOT isfinite(upper(longshore_item0)))");
        insta::assert_snapshot!(
            condition("v", &PgType::base(oid::NUMERIC, "numeric"), &ColumnType::Decimal(12, 4).arrow(), 0).unwrap(),
            @"abs(v) >= '1e8'::numeric OR v <> round(v, 4)"
        );
        assert_eq!(of(&PgType::base(oid::INT8, "bigint")), None);
        assert_eq!(condition("v", &day, &DataType::Utf8View, 0), None);
    }
}
