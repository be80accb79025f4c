//! Which published files may hold a key of the new rows, by the statistics of both.

use std::cmp::Ordering;

use crate::types::{Bound, ColumnStats, DataFile};

/// Whether a row of `one` may have the key of a row of `other`. Without bounds, any may.
pub(super) fn may_share_keys(one: &DataFile, other: &DataFile, key: &[String]) -> bool {
    one.rows > 0 && other.rows > 0 && key.iter().all(|column| may_meet(one, other, column))
}

fn may_meet(one: &DataFile, other: &DataFile, column: &str) -> bool {
    let (Some(one), Some(other)) = (stats(one, column), stats(other, column)) else { return true };
    !is_below(one, other) && !is_below(other, one)
}

fn stats<'a>(file: &'a DataFile, column: &str) -> Option<&'a ColumnStats> {
    file.columns.iter().find(|stats| stats.name == column)
}

/// Whether each value of `one` is known to be less than each of `other`.
fn is_below(one: &ColumnStats, other: &ColumnStats) -> bool {
    let (Some(max), Some(min)) = (&one.max, &other.min) else { return false };
    compare(max, min) == Some(Ordering::Less)
}

/// The order of two bounds, as far as it is the order of the values that they bound.
fn compare(one: &Bound, other: &Bound) -> Option<Ordering> {
    match (one, other) {
        (Bound::Boolean(one), Bound::Boolean(other)) => Some(one.cmp(other)),
        (Bound::Integer(one), Bound::Integer(other))
        | (Bound::Timestamp(one), Bound::Timestamp(other)) => Some(one.cmp(other)),
        (
            Bound::Decimal { unscaled: one, scale },
            Bound::Decimal { unscaled: other, scale: same },
        ) if scale == same => Some(one.cmp(other)),
        (Bound::Text(one), Bound::Text(other)) => Some(one.as_bytes().cmp(other.as_bytes())),
        (Bound::Date(one), Bound::Date(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(columns: &[(&str, Option<Bound>, Option<Bound>)]) -> DataFile {
        let stats = |(name, min, max): &(&str, Option<Bound>, Option<Bound>)| ColumnStats {
            name: (*name).to_owned(),
            nulls: Some(0),
            min: min.clone(),
            max: max.clone(),
        };
        DataFile {
            url: "file:///a.parquet".parse().unwrap(),
            rows: 1,
            bytes: 1,
            columns: columns.iter().map(stats).collect(),
        }
    }

    fn ids(min: i64, max: i64) -> DataFile {
        file(&[("id", Some(Bound::Integer(min)), Some(Bound::Integer(max)))])
    }

    fn share(one: &DataFile, other: &DataFile, key: &[&str]) -> bool {
        let key: Vec<String> = key.iter().map(|&name| name.to_owned()).collect();
        let there = may_share_keys(one, other, &key);
        assert_eq!(there, may_share_keys(other, one, &key), "it is the same both ways");
        there
    }

    #[test]
    fn files_meet_where_their_ranges_do() {
        assert!(share(&ids(1, 5), &ids(5, 9), &["id"]));
        assert!(share(&ids(1, 9), &ids(3, 4), &["id"]));
        assert!(!share(&ids(1, 4), &ids(5, 9), &["id"]));
        assert!(!share(&ids(1, 4), &DataFile { rows: 0, ..ids(1, 4) }, &["id"]));
    }

    #[test]
    fn one_column_apart_is_enough() {
        let text = |text: &str| Some(Bound::Text(text.to_owned()));
        let of = |id, region: &str| {
            file(&[
                ("id", Some(Bound::Integer(id)), Some(Bound::Integer(id))),
                ("region", text(region), text(region)),
            ])
        };
        assert!(share(&of(1, "eu"), &of(1, "eu"), &["id", "region"]));
        assert!(!share(&of(1, "eu"), &of(1, "us"), &["id", "region"]));
        assert!(share(&of(1, "eu"), &of(1, "us"), &["id"]));
    }

    #[test]
    fn what_is_not_known_may_be_anything() {
        let open = file(&[("id", Some(Bound::Integer(3)), None)]);
        assert!(share(&open, &ids(7, 8), &["id"]));
        assert!(!share(&open, &ids(1, 2), &["id"]));
        assert!(share(&file(&[]), &ids(1, 2), &["id"]));
        let decimal = |scale| {
            let bound = Bound::Decimal { unscaled: i128::from(scale), scale };
            file(&[("id", Some(bound.clone()), Some(bound))])
        };
        assert!(share(&decimal(2), &decimal(3), &["id"]), "scales are not compared");
    }
}
