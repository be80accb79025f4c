//! The queries behind `mode: upsert`: which published files hold a key of the new rows, and the rows
//! of such a file that none of them replaces.
//!
//! Keys are compared as SQL's `=` does; a NULL equals nothing. The keys of the new rows are held in
//! memory, or sorted and spilled where they are many; published rows pass through.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::AsArray,
    datatypes::{DataType, Int64Type, SchemaRef},
};
use datafusion::{
    execution::{TaskContext, context::SessionState},
    physical_plan::{ExecutionPlan, execute_stream_partitioned},
};
use futures::StreamExt as _;

use crate::{
    error::{Error, Result},
    types::{TableFiles, TableName},
};

use super::{
    Engine,
    canonical::canonical_batch,
    diagnose::quoted,
    engine::{Scope, plan},
    failure::failed,
    files_table::FilesTable,
    query::Providers,
    statement::{Allow, parse},
    stream::BatchStream,
};

/// What a key takes in a hash table beside its values.
const HASH_ENTRY: u64 = 32;

/// What a text is taken to be long, when memory is reckoned with.
const TEXT: u64 = 64;

/// Keys are held in memory as long as they take no more than this part of it.
const SHARE_OF_KEYS: u64 = 8;

/// The schema of names without one, in the queries here.
const HERE: &str = "merge";

/// How rows find those with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinBy {
    /// All keys of the new rows are in memory. Published rows come out in the order of their file.
    Hash,
    /// Both sides are sorted, and spilled where they do not fit.
    Sort,
}

/// New rows, and the columns that tell them apart: no two of them agree in all of these, and none
/// is NULL there.
#[derive(Debug, Clone, Copy)]
pub struct KeyedRows<'a> {
    /// The table that they go to; what errors call them.
    pub table: &'a TableName,
    /// The columns, at least one.
    pub key: &'a [String],
    /// The rows.
    pub files: &'a TableFiles,
}

impl Engine {
    /// How the keys of `new` are best compared in the engine's memory.
    pub fn join_by(&self, new: &KeyedRows<'_>) -> JoinBy {
        let width = |name: &String| {
            let field = new.files.schema.field_with_name(name).ok();
            match field.map(arrow::datatypes::Field::data_type) {
                Some(DataType::Utf8View | DataType::BinaryView) | None => TEXT,
                Some(fixed) => fixed.primitive_width().unwrap_or(1) as u64,
            }
        };
        let row = new.key.iter().map(width).sum::<u64>() + HASH_ENTRY;
        if new.files.rows().saturating_mul(row) > self.memory().bytes() / SHARE_OF_KEYS {
            JoinBy::Sort
        } else {
            JoinBy::Hash
        }
    }

    /// How many rows of each file of `old`, by its place, have the key of one of `new`.
    ///
    /// # Errors
    /// Of kind memory where the keys do not fit with [`JoinBy::Hash`]; storage.
    pub async fn matches(
        &self,
        new: &KeyedRows<'_>,
        old: &TableFiles,
        by: JoinBy,
    ) -> Result<BTreeMap<usize, u64>> {
        let number = free_name("file", &old.schema);
        let quoted_number = quoted(&number);
        let sql = format!(
            "select old.{quoted_number} as file, count(*) as rows \
             from new join old on {} group by old.{quoted_number}",
            same_key(new.key)
        );
        let tables = [
            (TableName::new(HERE, "new"), FilesTable::provider(new.files.clone())),
            (TableName::new(HERE, "old"), FilesTable::numbered(old.clone(), &number)),
        ];
        let found = self.numbers(new, &sql, tables.into(), by).await?;
        let place = |[file, rows]: [i64; 2]| (file as usize, rows as u64);
        Ok(found.into_iter().map(place).collect())
    }

    /// How many of the rows of `new` have a key that a row of `old` has.
    ///
    /// # Errors
    /// As [`Engine::matches`].
    pub async fn matched(&self, new: &KeyedRows<'_>, old: &TableFiles, by: JoinBy) -> Result<u64> {
        let sql = format!(
            "select count(*) as rows, cast(0 as bigint) as nothing \
             from new left semi join old on {}",
            same_key(new.key)
        );
        let found = self.numbers(new, &sql, both(new, old), by).await?;
        Ok(found.first().map_or(0, |[rows, _]| *rows as u64))
    }

    /// The rows of `old` whose key none of `new` has, as `to`, which has the columns of `old` in
    /// their order, none of them narrower; in at least one stream.
    ///
    /// # Errors
    /// When reading cannot start. What goes wrong later comes out of the streams: kind data where a
    /// value does not fit, memory or storage.
    pub async fn unmatched(
        &self,
        new: &KeyedRows<'_>,
        old: &TableFiles,
        by: JoinBy,
        to: &SchemaRef,
    ) -> Result<Vec<BatchStream>> {
        let columns: Vec<_> =
            old.schema.fields().iter().map(|field| quoted(field.name())).collect();
        // The right side is the one that passes through.
        let sql = format!(
            "select old.{} from new right anti join old on {}",
            columns.join(", old."),
            same_key(new.key)
        );
        let (what, memory) = (stopped(new), self.memory());
        let (physical, context) = self.physical(new, &sql, both(new, old), by).await?;
        let partitions = self
            .on_workers(async move { execute_stream_partitioned(physical, context) })
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

    /// The rows of a query that returns two numbers.
    async fn numbers(
        &self,
        new: &KeyedRows<'_>,
        sql: &str,
        tables: Providers,
        by: JoinBy,
    ) -> Result<Vec<[i64; 2]>> {
        let (what, memory) = (stopped(new), self.memory());
        let (physical, context) = self.physical(new, sql, tables, by).await?;
        let mut stream = self
            .on_workers(async move { datafusion::physical_plan::execute_stream(physical, context) })
            .await?
            .map_err(|error| failed(what.clone(), &error, memory))
            .map(|stream| {
                let (schema, what) = (stream.schema(), what.clone());
                let explain = move |error: &_| failed(what.clone(), error, memory);
                BatchStream::spawn(self.handle(), stream, schema, Ok, explain)
            })?;
        let mut rows = Vec::new();
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let column = |at: usize| {
                let column =
                    batch.columns().get(at).and_then(|c| c.as_primitive_opt::<Int64Type>());
                column.ok_or_else(|| Error::internal("a count of keys is not a number"))
            };
            let (first, second) = (column(0)?.values(), column(1)?.values());
            rows.extend(first.iter().zip(second).map(|(first, second)| [*first, *second]));
        }
        Ok(rows)
    }

    async fn physical(
        &self,
        new: &KeyedRows<'_>,
        sql: &str,
        tables: Providers,
        by: JoinBy,
    ) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>)> {
        let statement = parse(sql, Allow::Query)
            .map_err(|problem| Error::internal(format!("a merge's query: {}", problem.detail)))?;
        let session = self.joining_session(tables, by);
        let (what, memory) = (stopped(new), self.memory());
        self.on_workers(async move {
            plan(&session, statement).await.map(|planned| (planned.physical, session.task_ctx()))
        })
        .await?
        .map_err(|error| failed(what, &error, memory))
    }

    /// A session whose joins hold the keys of the left side and let the right side pass through.
    fn joining_session(&self, tables: Providers, by: JoinBy) -> SessionState {
        let mut config = self.config();
        if by == JoinBy::Sort {
            // With one partition, no other join than the one by hash is ever planned.
            config = config.with_target_partitions(self.threads().max(2));
            // Each partition sorts both sides at once, and each sort sets that much aside.
            let share = self.memory().as_usize() / (16 * self.threads().max(2));
            config = config.with_sort_spill_reservation_bytes(share.min(10 << 20));
        }
        let options = &mut config.options_mut().optimizer;
        options.join_reordering = false;
        options.prefer_hash_join = by == JoinBy::Hash;
        options.repartition_joins = by == JoinBy::Sort;
        // Rows that stay together stay prunable by their file's bounds.
        options.enable_round_robin_repartition = false;
        let scope = Scope { tables, bare_schema: HERE.to_owned(), shortcuts: BTreeMap::new() };
        self.session_with(config, scope, &self.moment())
    }
}

fn both(new: &KeyedRows<'_>, old: &TableFiles) -> Providers {
    let table = |name, files: &TableFiles| {
        (TableName::new(HERE, name), FilesTable::provider(files.clone()))
    };
    [table("new", new.files), table("old", old)].into()
}

fn same_key(key: &[String]) -> String {
    let equal = |name: &String| format!("new.{0} = old.{0}", quoted(name));
    key.iter().map(equal).collect::<Vec<_>>().join(" and ")
}

fn stopped(new: &KeyedRows<'_>) -> String {
    format!("merging the new rows of `{}` with the published ones stopped", new.table)
}

/// `wanted`, or a longer name where a column has that.
fn free_name(wanted: &str, schema: &SchemaRef) -> String {
    let mut name = wanted.to_owned();
    while schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(&name)) {
        name.push('_');
    }
    name
}
