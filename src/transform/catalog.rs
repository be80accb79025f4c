//! The tables that one statement can see, as DataFusion's catalog. Read-only: nothing can be
//! registered, dropped or written through it.

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    catalog::{CatalogProvider, SchemaProvider, TableProvider},
    common::Result as DfResult,
};

use crate::types::TableName;

/// The one catalog's name; users never write it.
pub(super) const CATALOG: &str = "longshore";

/// The schemas of one statement.
#[derive(Debug, Default)]
pub(super) struct Tables {
    schemas: BTreeMap<String, Arc<TablesOfSchema>>,
}

#[derive(Default)]
struct TablesOfSchema {
    tables: BTreeMap<String, Arc<dyn TableProvider>>,
    /// Names that work without a schema although the tables live elsewhere; not listed.
    shortcuts: BTreeMap<String, Arc<dyn TableProvider>>,
}

impl fmt::Debug for TablesOfSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tables.keys()).finish()
    }
}

impl Tables {
    /// The catalog of `tables`; in `bare_schema`, the schema of names without one, each of
    /// `shortcuts` is found as well.
    pub(super) fn new(
        tables: impl IntoIterator<Item = (TableName, Arc<dyn TableProvider>)>,
        bare_schema: &str,
        shortcuts: BTreeMap<String, Arc<dyn TableProvider>>,
    ) -> Self {
        let mut schemas: BTreeMap<String, TablesOfSchema> = BTreeMap::new();
        for (name, table) in tables {
            schemas.entry(name.schema).or_default().tables.insert(name.table, table);
        }
        schemas.entry(bare_schema.to_owned()).or_default().shortcuts = shortcuts;
        Self { schemas: schemas.into_iter().map(|(name, s)| (name, Arc::new(s))).collect() }
    }
}

impl CatalogProvider for Tables {
    fn schema_names(&self) -> Vec<String> {
        let listed = self.schemas.iter().filter(|(_, schema)| !schema.tables.is_empty());
        listed.map(|(name, _)| name.clone()).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::clone(self.schemas.get(name)?) as _)
    }
}

#[async_trait]
impl SchemaProvider for TablesOfSchema {
    fn table_names(&self) -> Vec<String> {
        self.tables.keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
        Ok(self.tables.get(name).or_else(|| self.shortcuts.get(name)).cloned())
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.contains_key(name) || self.shortcuts.contains_key(name)
    }
}
