//! Keys of tables, before a run: whether rows can be told apart by them.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Schema};

use crate::{
    config::{Mask, Mode, Origin},
    error::{Error, ErrorKind, Result, did_you_mean},
    run::{PlannedExtract, PlannedSource, published_type},
    transform::PlannedModel,
    types::{TableFiles, TableName},
};

/// Refuses the first extract whose key is none.
pub(in crate::run) fn check_sources(
    sources: &[PlannedSource],
    published: &BTreeMap<TableName, TableFiles>,
) -> Result<()> {
    sources.iter().flat_map(|source| &source.extracts).try_for_each(|extract| {
        refuse_unknown(extract)?;
        if extract.mode != Mode::Upsert {
            return Ok(());
        }
        let key = extract.key();
        if key.is_empty() {
            return Err(without_key(extract));
        }
        refuse_redacted(extract, &key)?;
        let keyed = Keyed {
            table: &extract.request.into,
            key: &key,
            schema: &extract.schema,
            origin: &extract.origin,
            kind: ErrorKind::Config,
        };
        keyed.check(published)
    })
}

/// Refuses the first model whose key is none. That its columns exist is known.
pub(in crate::run) fn check_models(
    models: &[PlannedModel],
    published: &BTreeMap<TableName, TableFiles>,
) -> Result<()> {
    let upserts = models.iter().filter(|planned| planned.model.mode == Mode::Upsert);
    upserts.into_iter().try_for_each(|planned| {
        let keyed = Keyed {
            table: &planned.model.table,
            key: &planned.model.key,
            schema: &planned.schema,
            origin: &planned.model.origin,
            kind: ErrorKind::Model,
        };
        keyed.check(published)
    })
}

/// A table of `mode: upsert`.
struct Keyed<'a> {
    table: &'a TableName,
    key: &'a [String],
    schema: &'a Schema,
    origin: &'a Origin,
    kind: ErrorKind,
}

impl Keyed<'_> {
    fn check(&self, published: &BTreeMap<TableName, TableFiles>) -> Result<()> {
        let published = published.get(self.table).map(|files| &files.schema);
        for column in self.key {
            let field = self.schema.field_with_name(column).ok();
            let Some(field) = field else { return Err(self.refused(column, "it is not read")) };
            if !tells_apart(field.data_type()) {
                let why = format!(
                    "`{}` values that look alike may differ, or the other way round",
                    published_type(field.data_type())
                );
                return Err(self.refused(column, why).hint("name columns of other types in `key`"));
            }
            if published.is_some_and(|schema| schema.field_with_name(column).is_err()) {
                return Err(self
                    .refused(column, "it is no column of the published table yet")
                    .hint("load the table once with `mode: replace`, then go on with `upsert`"));
            }
        }
        Ok(())
    }

    fn refused(&self, column: &str, why: impl Into<String>) -> Error {
        let (table, what) = (self.table, "can't be part of the key of");
        Error::new(self.kind, format!("`{column}` {what} `{table}`; nothing was extracted"))
            .at(self.origin.place("`mode: upsert` goes by it"))
            .because(why.into())
    }
}

/// Whether two values of a type are either the same or different to everyone.
fn tells_apart(data_type: &DataType) -> bool {
    !data_type.is_floating() && !data_type.is_nested()
}

/// A rule's key is of columns that are read.
fn refuse_unknown(extract: &PlannedExtract) -> Result<()> {
    let table = &extract.request.into;
    let names = || extract.request.columns.iter().map(|column| column.field.name().as_str());
    let unknown = extract.key.iter().find(|column| names().all(|name| name != *column));
    let Some(column) = unknown else { return Ok(()) };
    let what = format!("`{table}` has no column `{column}` for its key; nothing was extracted");
    let error = Error::new(ErrorKind::Config, what)
        .at(extract.origin.place(format!("`key` names `{column}`")));
    let renamed = extract.request.columns.iter().find(|one| one.source.name == *column);
    if let Some(renamed) = renamed {
        return Err(error.hint(format!(
            "a key has the names of the warehouse: write `{}`",
            renamed.field.name()
        )));
    }
    Err(match did_you_mean(column, names()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("read the column, or name others in `key`"),
    })
}

fn refuse_redacted(extract: &PlannedExtract, key: &[String]) -> Result<()> {
    let redacted = extract
        .request
        .columns
        .iter()
        .find(|column| column.mask == Some(Mask::Redact) && key.contains(column.field.name()));
    let Some(column) = redacted else { return Ok(()) };
    let (name, table) = (column.field.name(), &extract.request.into);
    let what = format!("`{name}` can't be part of the key of `{table}`; nothing was extracted");
    Err(Error::new(ErrorKind::Config, what)
        .at(extract.origin.place("`mode: upsert` goes by it"))
        .because("it is redacted, so that all rows look alike")
        .hint(format!(
            "mask it with `sha256`, which keeps different values different: \
             `columns: {{mask: {{{}: sha256}}}}`",
            column.source.name
        )))
}

fn without_key(extract: &PlannedExtract) -> Error {
    let (table, from) = (&extract.request.into, &extract.request.from);
    let why = if from.key.is_empty() {
        format!("`{}` has no primary key that could be taken", from.display_name())
    } else {
        format!(
            "the primary key of `{}` is not read in full: {}",
            from.display_name(),
            from.key.join(", ")
        )
    };
    Error::new(ErrorKind::Config, format!("`{table}` has no key; nothing was extracted"))
        .at(extract.origin.place("`mode: upsert` needs one"))
        .because(why)
        .hint("name the columns that tell rows apart: `key: [id]`")
}

#[cfg(test)]
mod tests {
    use crate::types::ColumnType;

    use super::*;

    #[test]
    fn only_types_with_one_notion_of_equality_tell_rows_apart() {
        let types = "boolean smallint integer bigint real double decimal(12,2) text binary date \
             timestamp timestamp_ntz";
        let unfit: Vec<_> = types
            .split_whitespace()
            .filter(|name| !tells_apart(&name.parse::<ColumnType>().unwrap().arrow()))
            .collect();
        assert_eq!(unfit, ["real", "double"]);
    }
}
