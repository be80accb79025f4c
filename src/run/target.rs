//! Planning, the warehouse's part: what is published now, and under which names.

use std::collections::BTreeMap;

use futures::future::try_join_all;

use super::plan::Target;
use crate::{
    error::{Error, ErrorKind, Result},
    types::{TableFiles, TableName},
    warehouse::{GenerationRecord, Warehouse},
};

/// Every table that `generation` pins, with its files.
pub async fn published(
    warehouse: &Warehouse,
    generation: Option<&GenerationRecord>,
) -> Result<BTreeMap<TableName, TableFiles>> {
    let Some(generation) = generation else { return Ok(BTreeMap::new()) };
    let tables = generation.tables.iter().map(|(name, pinned)| async move {
        Ok::<_, Error>((name.clone(), warehouse.files(name, pinned).await?))
    });
    Ok(try_join_all(tables).await?.into_iter().collect())
}

/// Two tables whose names differ only in case would share a folder on some file systems.
pub(super) fn refuse_folded_names(
    targets: &[Target],
    base: Option<&GenerationRecord>,
) -> Result<()> {
    let published = base.into_iter().flat_map(|base| base.tables.keys());
    let mut seen: BTreeMap<String, &TableName> = BTreeMap::new();
    for table in targets.iter().map(|target| &target.table).chain(published) {
        match seen.insert(table.folder().to_lowercase(), table) {
            Some(other) if other != table => {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!("`{other}` and `{table}` differ only in case; nothing was extracted"),
                )
                .because("on a file system that folds case they would be one table")
                .hint("give one of them another name with `as:`"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Every table gets a folder of its own, whose name file systems must take.
pub(super) fn refuse_homeless(targets: &[Target]) -> Result<()> {
    match targets.iter().find(|target| !target.table.has_place()) {
        Some(Target { table, .. }) => Err(Error::new(
            ErrorKind::Config,
            format!("`{table}` can't be the name of a folder; nothing was extracted"),
        )
        .because("a name is empty, or longer than 255 bytes where each odd byte counts three times")
        .hint("give it another name with `as:`, or rename the model's file")),
        None => Ok(()),
    }
}
