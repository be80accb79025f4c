//! What a change makes of a table: arithmetic on sets of files, no I/O.

use std::collections::HashSet;

use url::Url;

use super::{Keep, TableChange, schema};
use crate::{
    error::{Error, Result},
    types::{DataFile, TableFiles},
};

/// The table after `change`, where it was `base` before (`None`: it was not).
pub(super) fn after(base: Option<&TableFiles>, change: &TableChange) -> Result<TableFiles> {
    let before = base.map_or(&[][..], |base| &base.files);
    let mut files: Vec<DataFile> = match &change.keep {
        Keep::Nothing => Vec::new(),
        Keep::Everything => before.to_vec(),
        Keep::AllBut(gone) => all_but(before, gone, change)?,
    };
    // Where no file stays, none binds the columns.
    let is_bound = !files.is_empty() || !matches!(change.keep, Keep::AllBut(_));
    let bound = base.filter(|_| is_bound).map(|base| base.schema.as_ref());
    let schema = schema::after(change, bound)?;
    files.extend(change.add.iter().cloned());
    let distinct: HashSet<&Url> = files.iter().map(|file| &file.url).collect();
    if distinct.len() != files.len() {
        return Err(Error::internal(format!("a file is published twice in `{}`", change.table)));
    }
    Ok(TableFiles { schema, files })
}

fn all_but(before: &[DataFile], gone: &[Url], change: &TableChange) -> Result<Vec<DataFile>> {
    let gone: HashSet<&Url> = gone.iter().collect();
    let kept: Vec<_> = before.iter().filter(|file| !gone.contains(&file.url)).cloned().collect();
    if before.len() - kept.len() != gone.len() {
        return Err(Error::internal(format!(
            "a file that is to leave `{}` is not part of it",
            change.table
        )));
    }
    Ok(kept)
}

/// Whether two states of a table hold the same rows under the same columns. No table is the same
/// as a table without files, whatever its columns.
pub(super) fn same(one: Option<&TableFiles>, other: Option<&TableFiles>) -> bool {
    let files = |table: Option<&TableFiles>| -> HashSet<Url> {
        table.map_or_else(HashSet::new, |table| {
            table.files.iter().map(|file| file.url.clone()).collect()
        })
    };
    let columns_agree = match (one, other) {
        (Some(one), Some(other)) => one.schema == other.schema,
        _ => true,
    };
    columns_agree && files(one) == files(other)
}

/// Which files leave and which join on the way from `before` to `after`.
pub(super) fn difference<'a>(
    before: &'a [DataFile],
    after: &'a [DataFile],
) -> (Vec<&'a DataFile>, Vec<&'a DataFile>) {
    let index = |files: &'a [DataFile]| -> HashSet<&'a Url> {
        files.iter().map(|file| &file.url).collect()
    };
    let (old, new) = (index(before), index(after));
    let leave = before.iter().filter(|file| !new.contains(&file.url)).collect();
    let join = after.iter().filter(|file| !old.contains(&file.url)).collect();
    (leave, join)
}
