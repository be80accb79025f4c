//! Published rows in wider types, so that old and new files of a table agree.
//!
//! Delta Lake readers of the plain protocol take a file's types from the table's schema. A table
//! that grows by `append` and widens a column is therefore written anew, once.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use tokio::task::JoinSet;

use super::{
    memory::encode_options,
    plan::{Plan, Target},
    staged::blocking,
};
use crate::{
    error::{Error, Result},
    stage::{Stage, TableStage},
    transform::BatchStream,
    types::TableFiles,
};

/// Stages the published rows of `target` with its types.
pub(super) async fn published(plan: &Plan, target: &Target, stage: &Stage) -> Result<TableFiles> {
    let files = plan.published.get(&target.table).cloned();
    let files = files.ok_or_else(|| Error::internal("rows that are not published can't change"))?;
    let schema = widened(&files.schema, target)?;
    let streams = plan.engine.recast(&target.table, files, &schema).await?;
    let options = encode_options(&target.parquet, plan.memory(), plan.engine.threads());
    let table = stage.table(target.table.clone(), schema, options)?;
    fill(table, streams).await
}

/// The columns of `published`, with the types that they have in `target`.
pub(super) fn widened(published: &Schema, target: &Target) -> Result<SchemaRef> {
    let fields = published.fields().iter().map(|field| {
        let wider = target.schema.field_with_name(field.name());
        let wider = wider.map_err(|_| Error::internal("a published column has gone"))?;
        Ok(Field::new(field.name(), wider.data_type().clone(), true))
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}

/// Takes all of `streams` at once into `table`, and finishes it.
pub(super) async fn fill(table: TableStage, streams: Vec<BatchStream>) -> Result<TableFiles> {
    let mut writers = JoinSet::new();
    for stream in streams {
        let table = table.clone();
        writers.spawn_blocking(move || write(stream, &table));
    }
    while let Some(ended) = writers.join_next().await {
        ended.map_err(|error| Error::internal(format!("a writer broke down: {error}")))??;
    }
    blocking(move || table.finish()).await
}

fn write(mut stream: BatchStream, table: &TableStage) -> Result<()> {
    let mut writer = table.writer();
    while let Some(batch) = stream.blocking_next() {
        writer.push(&batch?)?;
    }
    let rows = writer.rows();
    writer.complete(rows).map(|_| ())
}
