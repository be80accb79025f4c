//! The error of a run that would break the published schema.

use super::{Change, SchemaChange, Verdict};
use crate::{
    error::{Error, ErrorKind},
    run::Unchanged,
    types::PipelineName,
};

/// The error that the refused ones of `changes` make, all of them in one; `None` where nothing is
/// refused.
pub(in crate::run) fn refusal(
    pipeline: &PipelineName,
    unchanged: Unchanged,
    changes: &[SchemaChange],
) -> Option<Error> {
    let refused: Vec<_> =
        changes.iter().filter(|change| change.verdict == Verdict::Refused).collect();
    let first = refused.first()?;
    let meaning = format!("`{pipeline}` was refused before anything was staged, and {unchanged}");
    let mut error = match refused.len() {
        1 => Error::new(ErrorKind::Schema, format!("{first}; {meaning}")).because(&first.rule),
        many => refused.iter().fold(
            Error::new(
                ErrorKind::Schema,
                format!("{many} changes break the published schema; {meaning}"),
            ),
            |error, change| error.because(format!("{change}, by {}", change.rule)),
        ),
    };
    let mut tables: Vec<_> =
        refused.iter().filter(|one| one.acceptable).map(|one| one.table.to_string()).collect();
    tables.dedup();
    if !tables.is_empty() {
        error = error.hint(format!(
            "see `longshore plan {pipeline}`, then `longshore run {pipeline} --accept-schema {}`",
            tables.join(",")
        ));
    }
    for change in &refused {
        if !change.acceptable && matches!(change.change, Change::TypeChanged { .. }) {
            error = error.hint(format!(
                "old and new rows of `{}` can't be one table: publish it once with `mode: replace`",
                change.table
            ));
        }
        for hint in &change.hints {
            error = error.hint(hint);
        }
    }
    Some(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TableName;

    fn told(changes: &[SchemaChange]) -> String {
        let unchanged = Unchanged::at(41);
        let error = refusal(&PipelineName::new("nightly"), unchanged, changes).unwrap();
        let causes = error.causes().iter().map(|cause| format!("because: {cause}\n"));
        let hints = error.hints().into_iter().map(|hint| format!("hint: {hint}\n"));
        causes.chain(hints).fold(format!("{}\n", error.what()), |text, line| text + &line)
    }

    fn change(table: &str, change: Change, verdict: Verdict) -> SchemaChange {
        SchemaChange::example(TableName::new("shop", table), change, verdict)
    }

    #[test]
    fn a_refusal_says_what_changed_by_which_rule_and_what_to_do() {
        let text = str::to_owned;
        let other = || Change::TypeChanged {
            column: text("note"),
            from: text("integer"),
            to: text("text"),
        };
        insta::assert_snapshot!(told(&[change("orders", other(), Verdict::Refused)]), @r"
        `shop.orders.note` changed from `integer` to `text`; `nightly` was refused before anything was staged, and the warehouse is unchanged at generation 41
        because: `on_schema_change: freeze` (pipelines/nightly.yml:14)
        hint: see `longshore plan nightly`, then `longshore run nightly --accept-schema shop.orders`
        ");
        let mut hopeless = change("events", other(), Verdict::Refused);
        hopeless.acceptable = false;
        let column = || text("total");
        let gone = Change::ColumnGone { column: column(), data_type: text("bigint") };
        let new = Change::ColumnNew { column: column(), data_type: text("bigint") };
        let source = text("`public.notes` of connection `shop`");
        let all = [
            change("fine", Change::TableNew, Verdict::Published),
            change("tags", Change::TableNew, Verdict::Refused),
            change("notes", Change::TableGone { source }, Verdict::Refused),
            hopeless,
            change("orders", gone, Verdict::Refused),
            change("orders", new, Verdict::Refused),
        ];
        insta::assert_snapshot!(told(&all), @r"
        5 changes break the published schema; `nightly` was refused before anything was staged, and the warehouse is unchanged at generation 41
        because: `shop.tags` is a new table, by `on_schema_change: freeze` (pipelines/nightly.yml:14)
        because: `shop.notes` no longer comes: `public.notes` of connection `shop` is gone or hidden from the login, by `on_schema_change: freeze` (pipelines/nightly.yml:14)
        because: `shop.events.note` changed from `integer` to `text`, by `on_schema_change: freeze` (pipelines/nightly.yml:14)
        because: `shop.orders.total` is published and no longer comes, by `on_schema_change: freeze` (pipelines/nightly.yml:14)
        because: `shop.orders.total` is a new column of type `bigint`, by `on_schema_change: freeze` (pipelines/nightly.yml:14)
        hint: see `longshore plan nightly`, then `longshore run nightly --accept-schema shop.tags,shop.notes,shop.orders`
        hint: old and new rows of `shop.events` can't be one table: publish it once with `mode: replace`
        ");
        assert!(refusal(&PipelineName::new("nightly"), Unchanged::at(41), &all[..1]).is_none());
    }
}
