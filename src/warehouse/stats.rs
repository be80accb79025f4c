//! Column statistics as Delta Lake's JSON, and back.
//!
//! A bound in the log may be loose and must never be tight: readers skip whole files by it.
//!
//! - Timestamps have milliseconds there: lower bounds are cut, upper bounds rounded up.
//! - Decimals are JSON numbers with all their digits.
//! - Long texts are cut: a lower bound to a prefix, an upper bound to a prefix whose last character
//!   is one higher.
//! - Floating-point columns have no bounds. A Parquet footer's bounds leave out NaN, which engines
//!   sort as the largest value, and the log has no way to say so.
//! - Dates and timestamps outside the years 1 to 9999 have no bounds.

use std::fmt::Write as _;

use arrow::datatypes::{DataType, Schema};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use serde_json::{Map, Value};

use crate::types::{Bound, ColumnStats, DataFile};

/// How many characters of a text bound are kept, as Delta's own writer has it.
const TEXT_PREFIX: usize = 32;

/// Digits that survive reading a JSON number as a double.
const EXACT_DIGITS: u32 = 15;

/// What of a file's statistics is worth keeping beside it; see the module's documentation.
pub(super) fn lasting(columns: &[ColumnStats]) -> Vec<ColumnStats> {
    let keep = |bound: &Option<Bound>| match bound {
        None | Some(Bound::Float(_)) => None,
        Some(bound) => Some(bound.clone()),
    };
    let lasting = |column: &ColumnStats| ColumnStats {
        name: column.name.clone(),
        nulls: column.nulls,
        min: keep(&column.min),
        max: keep(&column.max),
    };
    columns.iter().map(lasting).collect()
}

/// The `stats` of an Add action.
pub(super) fn to_delta(file: &DataFile, schema: &Schema) -> String {
    let (mut min, mut max, mut nulls) = (Vec::new(), Vec::new(), Vec::new());
    for column in &file.columns {
        let Ok(field) = schema.field_with_name(&column.name) else { continue };
        let entry = |json: String| format!("{}:{json}", Value::from(column.name.as_str()));
        if let Some(count) = column.nulls {
            nulls.push(entry(count.to_string()));
        }
        let utc = matches!(field.data_type(), DataType::Timestamp(_, Some(_)));
        let low = column.min.as_ref().and_then(|bound| bound_json(bound, Side::Low, utc));
        let high = column.max.as_ref().and_then(|bound| bound_json(bound, Side::High, utc));
        min.extend(low.map(entry));
        max.extend(high.map(entry));
    }
    format!(
        r#"{{"numRecords":{},"minValues":{{{}}},"maxValues":{{{}}},"nullCount":{{{}}}}}"#,
        file.rows,
        min.join(","),
        max.join(","),
        nulls.join(",")
    )
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Low,
    High,
}

fn bound_json(bound: &Bound, side: Side, utc: bool) -> Option<String> {
    match bound {
        // Delta has no bounds on booleans.
        Bound::Boolean(_) | Bound::Float(_) => None,
        Bound::Integer(value) => Some(value.to_string()),
        Bound::Decimal { unscaled, scale } => decimal_json(*unscaled, *scale),
        Bound::Text(text) => cut_text(text, side).map(|text| Value::from(text).to_string()),
        Bound::Date(days) => date_of(*days).map(|date| format!("\"{date}\"")),
        Bound::Timestamp(micros) => {
            timestamp_text(*micros, side, utc).map(|text| format!("\"{text}\""))
        }
    }
}

fn decimal_json(unscaled: i128, scale: i8) -> Option<String> {
    let scale = usize::try_from(scale).ok()?;
    let digits = format!("{:0width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at_checked(digits.len() - scale)?;
    let mut text = String::new();
    if unscaled < 0 {
        text.push('-');
    }
    text.push_str(whole);
    if scale > 0 {
        let _ = write!(text, ".{fraction}");
    }
    Some(text)
}

fn cut_text(text: &str, side: Side) -> Option<String> {
    let Some((end, _)) = text.char_indices().nth(TEXT_PREFIX) else {
        return Some(text.to_owned());
    };
    let mut prefix = text.get(..end)?.to_owned();
    if side == Side::Low {
        return Some(prefix);
    }
    while let Some(last) = prefix.pop() {
        if let Some(next) = next_char(last) {
            prefix.push(next);
            return Some(prefix);
        }
    }
    None
}

/// The character after `c` in code point order, which is also the order of UTF-8 bytes.
fn next_char(c: char) -> Option<char> {
    (c..=char::MAX).nth(1)
}

fn date_of(days: i32) -> Option<Date> {
    let epoch = Date::constant(1970, 1, 1);
    let date = epoch.checked_add(SignedDuration::from_hours(i64::from(days) * 24)).ok()?;
    (date.year() >= 1).then_some(date)
}

fn timestamp_text(micros: i64, side: Side, utc: bool) -> Option<String> {
    let millis = match side {
        Side::Low => micros.div_euclid(1000),
        Side::High => micros.checked_add(999)?.div_euclid(1000),
    };
    let moment = Timestamp::from_millisecond(millis).ok()?.to_zoned(TimeZone::UTC).datetime();
    let zone = if utc { "Z" } else { "" };
    (moment.year() >= 1).then(|| format!("{}{zone}", moment.strftime("%Y-%m-%dT%H:%M:%S.%3f")))
}

/// Rows and column statistics from the `stats` of an Add action; `None` where it has no row count.
/// What can't be read back without doubt is left out.
pub(super) fn from_delta(stats: &str, schema: &Schema) -> Option<(u64, Vec<ColumnStats>)> {
    let stats: Map<String, Value> = serde_json::from_str(stats).ok()?;
    let rows = stats.get("numRecords")?.as_u64()?;
    let part = |name: &str| stats.get(name).and_then(Value::as_object);
    let (min, max, nulls) = (part("minValues"), part("maxValues"), part("nullCount"));
    let columns = schema.fields().iter().map(|field| {
        let value = |part: Option<&Map<String, Value>>| part?.get(field.name()).cloned();
        ColumnStats {
            name: field.name().clone(),
            nulls: value(nulls).and_then(|count| count.as_u64()),
            min: value(min).and_then(|bound| bound_of(&bound, field.data_type())),
            max: value(max).and_then(|bound| bound_of(&bound, field.data_type())).map(loosened),
        }
    });
    let known = |column: &ColumnStats| {
        column.nulls.is_some() || column.min.is_some() || column.max.is_some()
    };
    Some((rows, columns.filter(known).collect()))
}

/// Most writers cut the upper bounds of timestamps to milliseconds, as the protocol lets them.
fn loosened(max: Bound) -> Bound {
    match max {
        Bound::Timestamp(micros) => Bound::Timestamp(micros.saturating_add(999)),
        other => other,
    }
}

fn bound_of(value: &Value, data_type: &DataType) -> Option<Bound> {
    match data_type {
        DataType::Int16 | DataType::Int32 | DataType::Int64 => value.as_i64().map(Bound::Integer),
        DataType::Utf8View => value.as_str().map(|text| Bound::Text(text.to_owned())),
        DataType::Date32 => {
            let date: Date = value.as_str()?.parse().ok()?;
            let days = (date - Date::constant(1970, 1, 1)).get_days();
            Some(Bound::Date(days))
        }
        DataType::Timestamp(_, zone) => {
            let text = value.as_str()?;
            let moment: Timestamp = if zone.is_some() {
                text.parse().ok()?
            } else {
                let civil: jiff::civil::DateTime = text.parse().ok()?;
                civil.to_zoned(TimeZone::UTC).ok()?.timestamp()
            };
            Some(Bound::Timestamp(moment.as_microsecond()))
        }
        DataType::Decimal128(_, scale) => decimal_of(value, *scale),
        _ => None,
    }
}

fn decimal_of(value: &Value, scale: i8) -> Option<Bound> {
    let text = value.as_number()?.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = fraction.trim_end_matches('0');
    let missing = usize::try_from(scale).ok()?.checked_sub(fraction.len())?;
    let digits = format!("{whole}{fraction}{}", "0".repeat(missing));
    let unscaled: i128 = digits.parse().ok()?;
    let significant = digits.trim_start_matches(['-', '0']).len() as u32;
    (significant <= EXACT_DIGITS).then_some(Bound::Decimal { unscaled, scale })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, TimeUnit};

    use super::*;
    use crate::types::ColumnType;

    fn round_trip(
        column: ColumnType,
        min: Bound,
        max: Bound,
    ) -> (String, Option<Bound>, Option<Bound>) {
        let schema = Schema::new(vec![Field::new("a \"b\"", column.arrow(), true)]);
        let columns = vec![ColumnStats {
            name: "a \"b\"".into(),
            nulls: Some(2),
            min: Some(min),
            max: Some(max),
        }];
        let file =
            DataFile { url: "file:///x.parquet".parse().unwrap(), rows: 7, bytes: 1, columns };
        let json = to_delta(&file, &schema);
        let (rows, columns) = from_delta(&json, &schema).unwrap();
        assert_eq!((rows, columns[0].nulls), (7, Some(2)));
        (json, columns[0].min.clone(), columns[0].max.clone())
    }

    #[test]
    fn timestamps_are_cut_down_and_rounded_up() {
        let (json, min, max) = round_trip(
            ColumnType::Timestamp,
            Bound::Timestamp(-1),
            Bound::Timestamp(1_700_000_000_000_001),
        );
        insta::assert_snapshot!(json, @r#"{"numRecords":7,"minValues":{"a \"b\"":"1969-12-31T23:59:59.999Z"},"maxValues":{"a \"b\"":"2023-11-14T22:13:20.001Z"},"nullCount":{"a \"b\"":2}}"#);
        assert_eq!(min, Some(Bound::Timestamp(-1000)));
        assert_eq!(max, Some(Bound::Timestamp(1_700_000_000_001_999)));
        let (json, min, max) =
            round_trip(ColumnType::TimestampNtz, Bound::Timestamp(0), Bound::Timestamp(i64::MAX));
        assert!(json.contains("\"1970-01-01T00:00:00.000\""), "{json}");
        assert_eq!((min, max), (Some(Bound::Timestamp(0)), None));
    }

    #[test]
    fn decimals_keep_all_their_digits() {
        let decimal = |unscaled| Bound::Decimal { unscaled, scale: 4 };
        let (json, min, max) =
            round_trip(ColumnType::Decimal(38, 4), decimal(-5), decimal(10_i128.pow(37) + 1));
        assert!(
            json.contains(":-0.0005}")
                && json.contains(":1000000000000000000000000000000000.0001}")
        );
        assert_eq!((min, max), (Some(decimal(-5)), None), "a bound that may be off is left out");
        let (_, min, max) =
            round_trip(ColumnType::Decimal(12, 4), decimal(120_000), decimal(99_999_999_999));
        assert_eq!((min, max), (Some(decimal(120_000)), Some(decimal(99_999_999_999))));
    }

    #[test]
    fn long_texts_are_cut_without_growing_tight() {
        let text = |text: String| Bound::Text(text);
        let long = "é".repeat(31) + "\u{10ffff}tail";
        let (_, min, max) = round_trip(ColumnType::Text, text("a".repeat(40)), text(long.clone()));
        assert_eq!(min, Some(text("a".repeat(32))));
        let Some(Bound::Text(max)) = max else { panic!("no upper bound") };
        assert!(max > long && max.chars().count() == 31);
        let (_, _, max) =
            round_trip(ColumnType::Text, text(String::new()), text("\u{10ffff}".repeat(40)));
        assert_eq!(max, None);
        let (_, _, max) =
            round_trip(ColumnType::Text, text(String::new()), text("\u{d7ff}".repeat(33)));
        assert!(matches!(max, Some(Bound::Text(max)) if max.ends_with('\u{e000}')));
    }

    #[test]
    fn dates_outside_of_what_readers_know_have_no_bound() {
        let (json, min, max) =
            round_trip(ColumnType::Date, Bound::Date(-25_567), Bound::Date(19_675));
        assert!(json.contains("1900-01-01") && json.contains("2023-11-14"), "{json}");
        assert_eq!((min, max), (Some(Bound::Date(-25_567)), Some(Bound::Date(19_675))));
        let (_, min, max) =
            round_trip(ColumnType::Date, Bound::Date(-800_000), Bound::Date(i32::MAX));
        assert_eq!((min, max), (None, None));
    }

    #[test]
    fn floats_have_no_bounds_because_of_nan() {
        let (json, min, max) =
            round_trip(ColumnType::Double, Bound::Float(1.0), Bound::Float(f64::INFINITY));
        assert_eq!((min, max), (None, None));
        assert!(json.contains(r#""minValues":{},"maxValues":{}"#), "{json}");
    }

    #[test]
    fn foreign_stats_without_a_row_count_are_no_stats() {
        let schema = Arc::new(Schema::new(vec![Field::new(
            "t",
            DataType::Timestamp(TimeUnit::Microsecond, None),
            true,
        )]));
        assert_eq!(from_delta("{}", &schema), None);
        assert_eq!(from_delta("not json", &schema), None);
        let odd =
            r#"{"numRecords":1,"minValues":{"t":"2020-01-01 00:00:00"},"nullCount":{"t":"x"}}"#;
        let (_, columns) = from_delta(odd, &schema).unwrap();
        assert_eq!(columns[0].min, Some(Bound::Timestamp(1_577_836_800_000_000)));
        assert_eq!(columns[0].nulls, None);
    }
}
