//! Which new column is a published one under another name.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};

/// How much the same place in the table says for two columns being one.
const SAME_PLACE: f64 = 0.5;

/// Names that have less in common say nothing.
const ALIKE: f64 = 0.7;

/// How much better than the next best a pair must be.
const MARGIN: f64 = 0.1;

/// A column that may be renamed.
pub(super) struct Candidate<'a> {
    pub(super) name: &'a str,
    pub(super) data_type: &'a DataType,
    /// Which column of its table it is.
    pub(super) place: usize,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(place: usize, field: &'a Arc<Field>) -> Self {
        Self { name: field.name(), data_type: field.data_type(), place }
    }
}

/// The one of `new` that `gone` has most likely become, if it is of the same type and both are each
/// other's best match by name and place, with nothing close behind.
pub(super) fn renamed<'a>(
    gone: &Candidate<'_>,
    all_gone: &[Candidate<'_>],
    new: &[Candidate<'a>],
) -> Option<&'a str> {
    let best = clear_best(new, |new| likeness(gone, new))?;
    let back = clear_best(all_gone, |other| likeness(other, best))?;
    (back.name == gone.name).then_some(best.name)
}

fn clear_best<'c, 'a>(
    candidates: &'c [Candidate<'a>],
    score: impl Fn(&Candidate<'a>) -> Option<f64>,
) -> Option<&'c Candidate<'a>> {
    let mut scored: Vec<_> = candidates.iter().filter_map(|one| Some((score(one)?, one))).collect();
    scored.sort_by(|one, other| other.0.total_cmp(&one.0));
    match scored.as_slice() {
        [(_, only)] => Some(only),
        [(first, best), (second, _), ..] if first - second >= MARGIN => Some(best),
        _ => None,
    }
}

fn likeness(gone: &Candidate<'_>, new: &Candidate<'_>) -> Option<f64> {
    if gone.data_type != new.data_type {
        return None;
    }
    let name = strsim::jaro_winkler(&gone.name.to_lowercase(), &new.name.to_lowercase());
    let name = if name < ALIKE { 0.0 } else { name };
    Some(name + if gone.place == new.place { SAME_PLACE } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_is_found_where_it_is_clear() {
        let (text, number) = (DataType::Utf8View, DataType::Int32);
        let column = |name, data_type, place| Candidate { name, data_type, place };
        let gone = [column("note", &text, 2), column("town", &text, 3)];
        let found = |new: &[Candidate<'static>]| {
            gone.each_ref().map(|one| renamed(one, &gone, new).map(str::to_owned))
        };
        let text: &'static DataType = Box::leak(Box::new(DataType::Utf8View));
        let number: &'static DataType = Box::leak(Box::new(number));
        let new = |name, place| Candidate { name, data_type: text, place };
        assert_eq!(found(&[new("remark", 2)]), [Some("remark".into()), None]);
        assert_eq!(
            found(&[new("notes", 7), new("city", 3)]),
            [Some("notes".into()), Some("city".into())]
        );
        assert_eq!(found(&[new("alpha", 8), new("alphb", 9)]), [None, None]);
        assert_eq!(
            found(&[Candidate { name: "note_id", data_type: number, place: 2 }]),
            [None, None]
        );
    }
}
