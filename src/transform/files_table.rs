//! A table that is an explicit list of Parquet files. It lists no directory and only scans.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{
        ColumnStatistics, DataFusionError, Result as DfResult, ScalarValue, Statistics,
        config::TableParquetOptions, project_schema, stats::Precision,
    },
    datasource::{
        listing::PartitionedFile,
        physical_plan::{
            FileGroup, FileScanConfigBuilder, ParquetSource,
            parquet::CachedParquetFileReaderFactory,
        },
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    execution::object_store::ObjectStoreUrl,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::{ExecutionPlan, empty::EmptyExec, union::UnionExec},
};
use object_store::path::Path;
use url::{Position, Url};

use crate::types::{Bound, ColumnStats, DataFile, TableFiles};

/// The rows of [`TableFiles`] as DataFusion sees them. A file that lacks a column of the schema
/// reads as NULL there.
#[derive(Debug)]
pub(super) struct FilesTable {
    files: TableFiles,
    /// The columns of the files, and the number where it is asked for.
    columns: TableSchema,
}

impl FilesTable {
    pub(super) fn provider(files: TableFiles) -> Arc<dyn TableProvider> {
        let columns = TableSchema::from(&files.schema);
        Arc::new(Self { files, columns })
    }

    /// The same with one more column, `number` (a `bigint`): the place of each row's file in the
    /// list.
    pub(super) fn numbered(files: TableFiles, number: &str) -> Arc<dyn TableProvider> {
        let number = Arc::new(Field::new(number, DataType::Int64, false));
        let columns = TableSchema::builder(Arc::clone(&files.schema));
        let columns = columns.with_table_partition_cols(vec![number]).build();
        Arc::new(Self { files, columns })
    }

    /// A table of `schema` without rows, for planning.
    pub(super) fn of_schema(schema: &SchemaRef) -> Arc<dyn TableProvider> {
        Self::provider(TableFiles::empty(Arc::clone(schema)))
    }

    /// One scan over those of the files that lie in the store at `store`.
    fn scan_store(
        &self,
        state: &dyn Session,
        store: &str,
        files: &[Placed<'_>],
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let url = ObjectStoreUrl::parse(store)?;
        let runtime = state.runtime_env();
        let reader = CachedParquetFileReaderFactory::new(
            runtime.object_store(&url).map_err(|_| no_store(&url))?,
            runtime.cache_manager.get_file_metadata_cache(),
        );
        let parquet = state.config_options().execution.parquet.clone();
        let hint = parquet.metadata_size_hint;
        let mut source = ParquetSource::new(self.columns.clone())
            .with_table_parquet_options(TableParquetOptions {
                global: parquet,
                ..Default::default()
            })
            .with_parquet_file_reader_factory(Arc::new(reader));
        if let Some(hint) = hint {
            source = source.with_metadata_size_hint(hint);
        }
        let statistics =
            statistics(self.columns.table_schema(), &files.iter().map(|(_, file)| *file));
        let is_numbered = !self.columns.table_partition_cols().is_empty();
        let groups = groups(files, state.config().target_partitions(), |place| {
            if is_numbered { vec![ScalarValue::Int64(Some(place))] } else { Vec::new() }
        })?;
        let scan = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}

fn no_store(url: &ObjectStoreUrl) -> DataFusionError {
    DataFusionError::Execution(format!("no object store serves `{url}`"))
}

#[async_trait]
impl TableProvider for FilesTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.columns.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let mut stores: BTreeMap<&str, Vec<Placed<'_>>> = BTreeMap::new();
        for (place, file) in (0..).zip(&self.files.files).filter(|(_, file)| file.rows > 0) {
            stores.entry(store_of(&file.url)).or_default().push((place, file));
        }
        let mut scans = stores
            .iter()
            .map(|(store, files)| self.scan_store(state, store, files, projection, limit))
            .collect::<DfResult<Vec<_>>>()?;
        match scans.len() {
            0 => Ok(Arc::new(EmptyExec::new(project_schema(
                self.columns.table_schema(),
                projection,
            )?))),
            1 => Ok(scans.remove(0)),
            _ => UnionExec::try_new(scans),
        }
    }

    /// Filters skip row groups and pages and are then checked again, row by row: the physical
    /// planner pushes them into the scan itself.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(statistics(self.columns.table_schema(), &self.files.files.iter()))
    }
}

/// Scheme, host and port: what object stores are registered under.
pub(super) fn store_of(url: &Url) -> &str {
    &url[..Position::BeforePath]
}

/// A file, and its place in the table's list.
type Placed<'a> = (i64, &'a DataFile);

/// The files in at most `partitions` groups of about equal size; `values` are what the file at a
/// place says in further columns.
fn groups(
    files: &[Placed<'_>],
    partitions: usize,
    values: impl Fn(i64) -> Vec<ScalarValue>,
) -> DfResult<Vec<FileGroup>> {
    let mut files = files.to_vec();
    files.sort_by_key(|(_, file)| std::cmp::Reverse(file.bytes));
    let count = partitions.clamp(1, files.len().max(1));
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); count];
    for (place, file) in files {
        // Largest file first, each to the group that has least so far.
        if let Some((bytes, group)) = groups.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            *bytes += file.bytes;
            group.push(partitioned(file, values(place))?);
        }
    }
    Ok(groups.into_iter().map(|(_, group)| FileGroup::new(group)).collect())
}

fn partitioned(file: &DataFile, values: Vec<ScalarValue>) -> DfResult<PartitionedFile> {
    let location = Path::from_url_path(file.url.path())
        .map_err(|error| DataFusionError::External(Box::new(error)))?;
    // Without an age: files are written once, so that it would tell the caches nothing.
    let mut partitioned = PartitionedFile::new("", file.bytes);
    // Set apart, because a path from text would be encoded a second time.
    partitioned.object_meta.location = location;
    partitioned.partition_values = values;
    Ok(partitioned)
}

/// Exact row and NULL counts; bounds as estimates, because they may be wider than the values.
fn statistics<'a>(
    schema: &SchemaRef,
    files: &(impl Iterator<Item = &'a DataFile> + Clone),
) -> Statistics {
    let rows: u64 = files.clone().map(|file| file.rows).sum();
    let mut statistics = Statistics::new_unknown(schema);
    statistics.num_rows = Precision::Exact(rows as usize);
    statistics.column_statistics = schema
        .fields()
        .iter()
        .map(|field| {
            let found: Option<Vec<&ColumnStats>> = files
                .clone()
                .map(|file| file.columns.iter().find(|column| column.name == *field.name()))
                .collect();
            found.map_or_else(ColumnStatistics::new_unknown, |stats| {
                column_statistics(&stats, field.data_type())
            })
        })
        .collect();
    statistics
}

fn column_statistics(stats: &[&ColumnStats], data_type: &DataType) -> ColumnStatistics {
    let mut column = ColumnStatistics::new_unknown();
    let nulls: Option<u64> = stats.iter().map(|stats| stats.nulls).sum();
    if let Some(nulls) = nulls {
        column.null_count = Precision::Exact(nulls as usize);
    }
    let bounds = |pick: fn(&ColumnStats) -> Option<&Bound>| -> Option<Vec<ScalarValue>> {
        stats.iter().map(|stats| scalar(pick(stats)?, data_type)).collect()
    };
    let smallest = |a: ScalarValue, b: ScalarValue| if b < a { b } else { a };
    let largest = |a: ScalarValue, b: ScalarValue| if b > a { b } else { a };
    if let Some(min) = bounds(|s| s.min.as_ref()).and_then(|v| v.into_iter().reduce(smallest)) {
        column.min_value = Precision::Inexact(min);
    }
    if let Some(max) = bounds(|s| s.max.as_ref()).and_then(|v| v.into_iter().reduce(largest)) {
        column.max_value = Precision::Inexact(max);
    }
    column
}

/// `bound` as a value of `data_type`, where the two agree.
fn scalar(bound: &Bound, data_type: &DataType) -> Option<ScalarValue> {
    Some(match (bound, data_type) {
        (Bound::Boolean(value), DataType::Boolean) => ScalarValue::Boolean(Some(*value)),
        (Bound::Integer(value), DataType::Int16) => ScalarValue::Int16(i16::try_from(*value).ok()),
        (Bound::Integer(value), DataType::Int32) => ScalarValue::Int32(i32::try_from(*value).ok()),
        (Bound::Integer(value), DataType::Int64) => ScalarValue::Int64(Some(*value)),
        (Bound::Float(value), DataType::Float32) => ScalarValue::Float32(Some(*value as f32)),
        (Bound::Float(value), DataType::Float64) => ScalarValue::Float64(Some(*value)),
        (Bound::Decimal { unscaled, scale }, DataType::Decimal128(precision, to))
            if scale == to =>
        {
            ScalarValue::Decimal128(Some(*unscaled), *precision, *scale)
        }
        (Bound::Text(value), DataType::Utf8View) => ScalarValue::Utf8View(Some(value.clone())),
        (Bound::Date(value), DataType::Date32) => ScalarValue::Date32(Some(*value)),
        (Bound::Timestamp(value), DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
            ScalarValue::TimestampMicrosecond(Some(*value), zone.clone())
        }
        _ => return None,
    })
}
