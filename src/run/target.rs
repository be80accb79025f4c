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
