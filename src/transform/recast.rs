//! A table read with other, wider types.

use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::execute_stream_partitioned;

use super::{
    Engine, canonical::canonical_batch, failure::failed, files_table::FilesTable,
    stream::BatchStream,
};
use crate::{
    error::Result,
    types::{TableFiles, TableName},
};

impl Engine {
    /// Reads all rows of `files` as `to`, which has the same columns in the same order, in at least
    /// one stream. `table` is what errors call it.
    ///
    /// # Errors
    /// When reading cannot start. What goes wrong later comes out of the streams: kind data where a
    /// value does not fit, memory or storage.
    pub async fn recast(
        &self,
        table: &TableName,
        files: TableFiles,
        to: &SchemaRef,
    ) -> Result<Vec<BatchStream>> {
        let scope = super::engine::Scope {
            tables: std::collections::BTreeMap::new(),
            bare_schema: String::new(),
            shortcuts: std::collections::BTreeMap::new(),
        };
        let session = self.session(scope, &self.moment());
        let what = format!("rewriting the published rows of `{table}` stopped");
        let memory = self.memory();
        let provider = FilesTable::provider(files);
        let partitions = self
            .on_workers(async move {
                let scan = provider.scan(&session, None, &[], None).await?;
                execute_stream_partitioned(scan, session.task_ctx())
            })
            .await?
            .map_err(|error| failed(what.clone(), &error, memory))?;
        let stream = |partition| {
            let (what, also, to) = (what.clone(), what.clone(), to.clone());
            let schema = to.clone();
            BatchStream::spawn(
                self.handle(),
                partition,
                schema,
                move |batch| canonical_batch(&batch, &to).map_err(|e| e.context(also.as_str())),
                move |error| failed(what.clone(), error, memory),
            )
        };
        Ok(partitions.into_iter().map(stream).collect())
    }
}
