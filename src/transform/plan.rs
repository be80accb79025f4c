//! Models: planned against schemas before a row moves, and run over files.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::{compute::can_cast_types, datatypes::SchemaRef};
use datafusion::{
    logical_expr::execution_props::ExecutionProps, physical_plan::execute_stream_partitioned,
    sql::parser::Statement,
};

use crate::{
    error::{Error, Result},
    types::{TableFiles, TableName, canonical_schema, canonical_type},
};

use super::{
    Engine, Graph, Model,
    canonical::canonical_batch,
    diagnose::{Problem, written},
    engine::{Scope, plan},
    failure::failed,
    files_table::FilesTable,
    statement::{Allow, output_column, parse},
    stream::BatchStream,
};

/// Characters that Delta Lake and Parquet readers do not take in a column's name.
const FORBIDDEN: &[char] = &[' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='];

/// A model that can run as soon as its inputs are there.
#[derive(Debug, Clone)]
pub struct PlannedModel {
    /// The model.
    pub model: Model,
    /// The tables it reads, sorted: other models' and further ones.
    pub inputs: Vec<TableName>,
    /// The canonical schema of the rows it makes.
    pub schema: SchemaRef,
    /// The schema of the table that they are part of.
    pub table_schema: SchemaRef,
    /// The moment that `now()` tells, the same for all models that were planned together.
    moment: ExecutionProps,
}

/// The two schemas of a model's table.
#[derive(Debug, Clone)]
pub struct Settled {
    /// What its rows are cast to: the columns of its SELECT in their order, none narrower.
    pub rows: SchemaRef,
    /// The table as other models read it, which may have more columns than the rows.
    pub table: SchemaRef,
}

/// A running model.
pub struct ModelStreams {
    /// The canonical schema of all batches.
    pub schema: SchemaRef,
    /// Its rows, in as many streams as run in parallel; at least one. All must be taken to the end
    /// for the table to be whole, and they may be taken at once. Dropping them stops the model.
    pub streams: Vec<BatchStream>,
}

impl Engine {
    /// Plans every model against schemas only and gives them back in an order in which each can
    /// run. `known` are the tables that exist without the models: what the run extracts, and
    /// published tables that no model makes. `settle` has the last word on what a model's own
    /// schema comes to, before others that read it are planned.
    ///
    /// # Errors
    /// Of kind model, at the place in the model's file.
    pub async fn plan_models(
        &self,
        models: &[Model],
        known: &BTreeMap<TableName, SchemaRef>,
        mut settle: impl FnMut(&Model, &SchemaRef) -> Settled,
    ) -> Result<Vec<PlannedModel>> {
        let graph = Graph::new(models, known.keys())?;
        let moment = self.moment();
        let mut schemas = known.clone();
        let mut planned = Vec::with_capacity(models.len());
        for index in graph.order {
            let (Some(model), Some(inputs)) = (models.get(index), graph.inputs.get(index)) else {
                return Err(Error::internal("the order of models names one that does not exist"));
            };
            let schema = self.output_schema(model, inputs, &schemas, &moment).await?;
            let Settled { rows, table } = settle(model, &schema);
            schemas.insert(model.table.clone(), Arc::clone(&table));
            planned.push(PlannedModel {
                model: model.clone(),
                inputs: inputs.clone(),
                schema: rows,
                table_schema: table,
                moment: moment.clone(),
            });
        }
        Ok(planned)
    }

    /// The canonical schema of what `model` returns over tables of `schemas`.
    async fn output_schema(
        &self,
        model: &Model,
        inputs: &[TableName],
        schemas: &BTreeMap<TableName, SchemaRef>,
        moment: &ExecutionProps,
    ) -> Result<SchemaRef> {
        let table = |name: &TableName| {
            let schema = schemas.get(name).ok_or_else(|| missing(model, name))?;
            Ok((name.clone(), FilesTable::of_schema(schema)))
        };
        let scope = Scope {
            tables: inputs.iter().map(table).collect::<Result<_>>()?,
            bare_schema: model.bare_schema.clone(),
            shortcuts: BTreeMap::new(),
        };
        let session = self.session(scope, moment);
        let refused = |problem: Problem| model.refused(&problem);
        let statement = parse(&model.sql, Allow::Query).map_err(refused)?;
        let again = statement.clone();
        let planned = self
            .on_workers(async move { plan(&session, again).await })
            .await?
            .map_err(|error| refused(Problem::of(&error, &model.sql)))?;
        let schema: SchemaRef = Arc::clone(planned.logical.schema().inner());
        check_columns(&schema, &statement).map_err(refused)?;
        let canonical = canonical_schema(&schema)
            .map_err(|why| Error::internal(format!("a checked column has no type: {why}")))?;
        for key in &model.key {
            if canonical.index_of(key).is_err() {
                let names = canonical.fields().iter().map(|field| field.name().as_str());
                let problem = Problem::new(format!("the key names `{key}`, which is no column"));
                return Err(refused(match crate::error::did_you_mean(key, names) {
                    Some(close) => problem.hint(format!("did you mean `{close}`?")),
                    None => problem.hint("name columns that the SELECT returns"),
                }));
            }
        }
        Ok(canonical)
    }

    /// Starts `planned` over `inputs`, which hold at least the tables it reads. The work begins at
    /// once and waits when batches are not taken.
    ///
    /// # Errors
    /// When it cannot start. What goes wrong later comes out of the streams: kind memory, data
    /// or storage, under a first line that names the model.
    pub async fn run_model(
        &self,
        planned: &PlannedModel,
        inputs: &BTreeMap<TableName, TableFiles>,
    ) -> Result<ModelStreams> {
        let model = &planned.model;
        let table = |name: &TableName| {
            let files = inputs.get(name).ok_or_else(|| missing(model, name))?;
            Ok((name.clone(), FilesTable::provider(files.clone())))
        };
        let scope = Scope {
            tables: planned.inputs.iter().map(table).collect::<Result<_>>()?,
            bare_schema: model.bare_schema.clone(),
            shortcuts: BTreeMap::new(),
        };
        let session = self.session(scope, &planned.moment);
        let statement =
            parse(&model.sql, Allow::Query).map_err(|problem| model.refused(&problem))?;
        let what = format!("model `{}` ({}) stopped", model.table, model.origin.file);
        let memory = self.memory();
        let partitions = self
            .on_workers(async move {
                let physical = plan(&session, statement).await?.physical;
                execute_stream_partitioned(physical, session.task_ctx())
            })
            .await?
            .map_err(|error| failed(what.clone(), &error, memory))?;
        let streams = partitions
            .into_iter()
            .map(|partition| {
                let (what, also) = (what.clone(), what.clone());
                let schema = Arc::clone(&planned.schema);
                let to = Arc::clone(&schema);
                BatchStream::spawn(
                    self.handle(),
                    partition,
                    schema,
                    move |batch| canonical_batch(&batch, &to).map_err(|e| e.context(also.as_str())),
                    move |error| failed(what.clone(), error, memory),
                )
            })
            .collect();
        Ok(ModelStreams { schema: Arc::clone(&planned.schema), streams })
    }
}

fn missing(model: &Model, table: &TableName) -> Error {
    Error::internal(format!("model `{}` was not given its input `{table}`", model.table))
}

/// Each output column has a name and a type that a table can have.
fn check_columns(schema: &SchemaRef, statement: &Statement) -> Result<(), Problem> {
    if schema.fields().is_empty() {
        return Err(Problem::new("it returns no columns"));
    }
    let mut seen = BTreeSet::new();
    for (index, field) in schema.fields().iter().enumerate() {
        let name = field.name();
        let at = output_column(statement, index);
        if name.is_empty() || name.contains(FORBIDDEN) {
            let shown = name.split_whitespace().collect::<Vec<_>>().join(" ");
            return Err(Problem::new(format!(
                "column {} has no name of its own, only `{shown}`",
                index + 1
            ))
            .at(at)
            .hint("name it: `… as name`, without spaces and none of `,;{}()=`"));
        }
        if !seen.insert(name.to_lowercase()) {
            return Err(Problem::new(format!(
                "two columns are named `{name}`, which readers take in any case"
            ))
            .at(at)
            .hint("give one of them another name with `as`"));
        }
        let refuse = |why: &str| {
            let (why, remedy) = why.split_once("; ").unwrap_or((why, "cast it to text"));
            Problem::new(format!("column `{name}`: {why}"))
                .at(at)
                .hint(format!("{remedy}, as in `cast(… as text) as {}`", written(name)))
        };
        let canonical = canonical_type(field.data_type()).map_err(|why| refuse(&why))?;
        if !can_cast_types(field.data_type(), &canonical) {
            return Err(refuse(&format!("`{}` cannot become `{canonical}`", field.data_type())));
        }
    }
    Ok(())
}
