//! The query engine: DataFusion on threads of its own, under one memory ceiling, read-only.
//!
//! Query work never runs on the I/O runtime: callers await on theirs, the work runs on the
//! engine's. What does not fit in memory spills to the spill folder, or is refused with an error.

use std::{collections::BTreeMap, future::Future, num::NonZeroUsize, path::PathBuf, sync::Arc};

use datafusion::{
    catalog::{CatalogProviderList, MemoryCatalogProviderList, TableProvider},
    common::{DataFusionError, Result as DfResult},
    execution::{
        context::SQLOptions,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::{FairSpillPool, TrackConsumersPool},
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
        session_state::{SessionState, SessionStateBuilder},
    },
    logical_expr::{LogicalPlan, execution_props::ExecutionProps},
    physical_plan::ExecutionPlan,
    prelude::SessionConfig,
    sql::parser::Statement,
};
use object_store::ObjectStore;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};
use url::Url;

use crate::{
    error::{Context as _, Error, ErrorKind, Result},
    types::{ByteSize, TableName},
};

use super::{
    catalog::{CATALOG, Tables},
    checked_arithmetic::CheckedArithmetic,
    checked_sum::checked_sum,
    files_table::store_of,
};

/// The stack of a worker: plans of long queries recurse deeply.
const STACK_BYTES: usize = 8 << 20;

/// How many spill files one sort merges at once. Without a limit the first sort to merge takes all
/// memory there is, and whatever reads from it finds none.
const SPILLS_AT_ONCE: usize = 8;

/// Memory for each row of a batch: with little memory batches are smaller, because merges and joins
/// hold several at once.
const BYTES_PER_BATCH_ROW: u64 = 64 << 10;

/// What an [`Engine`] may use.
pub struct EngineOptions {
    /// The ceiling for what queries hold in memory; the rest spills.
    pub memory: ByteSize,
    /// Where spills go: a folder of the engine's own inside of this one, removed at the end.
    pub spill_dir: PathBuf,
    /// Worker threads, and into how many parts a query is split; at least one is used.
    pub threads: usize,
    /// Object stores by their URL: each serves the files whose URL has its scheme and host, under
    /// the path of that URL. Local files need none.
    pub stores: Vec<(Url, Arc<dyn ObjectStore>)>,
}

/// Runs SQL over lists of Parquet files. It reads those files, writes spills, and nothing else.
pub struct Engine {
    /// Always there; taken only to be shut down.
    workers: Option<Runtime>,
    handle: Handle,
    base: SessionState,
    memory: ByteSize,
    threads: usize,
}

/// The tables that one statement can see.
pub(super) struct Scope {
    pub tables: BTreeMap<TableName, Arc<dyn TableProvider>>,
    /// The schema of names without one.
    pub bare_schema: String,
    /// Further names that work without a schema.
    pub shortcuts: BTreeMap<String, Arc<dyn TableProvider>>,
}

impl Engine {
    /// Starts the worker threads. Nothing is read yet.
    ///
    /// # Errors
    /// Of kind storage when the spill folder cannot be made.
    pub fn new(options: EngineOptions) -> Result<Self> {
        let threads = options.threads.max(1);
        let spill_dir = options.spill_dir.display().to_string();
        let environment = environment(&options)
            .or_fail(ErrorKind::Storage, || format!("cannot spill to `{spill_dir}`"))?;
        for (url, store) in options.stores {
            let root = Url::parse(store_of(&url))
                .or_fail(ErrorKind::Internal, || "a store has no root".to_owned())?;
            environment.register_object_store(&root, store);
        }
        let workers = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .or_fail(ErrorKind::Internal, || "cannot start the query threads".to_owned())?;
        let mut base = SessionStateBuilder::new()
            .with_config(config(threads, options.memory))
            .with_runtime_env(environment)
            .with_default_features()
            .with_analyzer_rule(Arc::new(CheckedArithmetic::new()))
            // Nothing can create a table from a file, so no format of files is needed.
            .with_table_factories(std::collections::HashMap::new())
            .with_file_formats(Vec::new());
        // Of two functions with one name, the later one counts.
        base.aggregate_functions().get_or_insert_default().push(checked_sum());
        let base = base.build();
        let handle = workers.handle().clone();
        Ok(Self { workers: Some(workers), handle, base, memory: options.memory, threads })
    }

    /// Into how many parts, each on a thread of its own, a query is split.
    pub fn threads(&self) -> usize {
        self.threads
    }

    pub(super) fn memory(&self) -> ByteSize {
        self.memory
    }

    /// The worker threads.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What statements of one run share: `now()` is the same for all of them.
    pub(super) fn moment(&self) -> ExecutionProps {
        let mut props = ExecutionProps::new();
        props.mark_start_execution(Arc::clone(self.base.config_options()));
        // Tables store microseconds, so a moment has no finer part that could get lost.
        props.query_execution_start_time = props.query_execution_start_time.map(|now| {
            let finer = u64::from(now.timestamp_subsec_nanos() % 1_000);
            now - std::time::Duration::from_nanos(finer)
        });
        props
    }

    /// A session that sees `scope` at `moment`.
    pub(super) fn session(&self, scope: Scope, moment: &ExecutionProps) -> SessionState {
        self.session_with(self.config(), scope, moment)
    }

    /// How queries are planned and run.
    pub(super) fn config(&self) -> SessionConfig {
        self.base.config().clone()
    }

    /// The same under another `config`.
    pub(super) fn session_with(
        &self,
        config: SessionConfig,
        scope: Scope,
        moment: &ExecutionProps,
    ) -> SessionState {
        let config = config.with_default_catalog_and_schema(CATALOG, scope.bare_schema.as_str());
        let catalogs = MemoryCatalogProviderList::new();
        let tables = Tables::new(scope.tables, &scope.bare_schema, scope.shortcuts);
        catalogs.register_catalog(CATALOG.to_owned(), Arc::new(tables));
        SessionStateBuilder::new_from_existing(self.base.clone())
            .with_config(config)
            .with_catalog_list(Arc::new(catalogs))
            .with_execution_props(moment.clone())
            .build()
    }

    /// Awaits `work`, which runs on the worker threads. Dropping the future stops it.
    pub(super) async fn on_workers<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        let mut task = Guarded(self.handle.spawn(work));
        (&mut task.0)
            .await
            .map_err(|error| Error::internal(format!("a query's thread stopped: {error}")))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The usual way waits for the workers, which an async caller must not do.
        if let Some(workers) = self.workers.take() {
            workers.shutdown_background();
        }
    }
}

/// A task that ends with its owner.
struct Guarded<T>(JoinHandle<T>);

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A statement that is ready to run.
pub(super) struct Planned {
    /// After optimisation: its schema's names and types are those of the rows.
    pub logical: LogicalPlan,
    pub physical: Arc<dyn ExecutionPlan>,
}

/// Plans `statement` in `session`; anything that does not only read is an error.
pub(super) async fn plan(session: &SessionState, statement: Statement) -> DfResult<Planned> {
    let reads =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let logical = session.statement_to_plan(statement).await?;
    reads.verify_plan(&logical)?;
    let logical = session.optimize(&logical)?;
    let physical = session.query_planner().create_physical_plan(&logical, session).await?;
    Ok(Planned { logical, physical })
}

fn environment(options: &EngineOptions) -> Result<Arc<RuntimeEnv>, DataFusionError> {
    std::fs::create_dir_all(&options.spill_dir)?;
    let spills = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![options.spill_dir.clone()]))
        // The disk is the limit; an arbitrary one would only stop large sorts.
        .with_max_temp_directory_size(u64::MAX)
        .with_max_spill_merge_fan_in(SPILLS_AT_ONCE);
    let named = NonZeroUsize::MIN;
    let pool = TrackConsumersPool::new(FairSpillPool::new(options.memory.as_usize()), named);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(spills)
        .with_metadata_cache_limit((options.memory.as_usize() / 16).min(64 << 20))
        .build_arc()
}

fn config(threads: usize, memory: ByteSize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_batch_size((memory.bytes() / BYTES_PER_BATCH_ROW).clamp(1_024, 8_192) as usize)
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false);
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.pruning = true;
    options.execution.parquet.schema_force_view_types = true;
    // Each sort sets this aside for merging its spills; with little memory it must not take all.
    let share = memory.as_usize() / threads / 8;
    options.execution.sort_spill_reservation_bytes = share.min(10 << 20);
    options.sql_parser.collect_spans = true;
    options.sql_parser.enable_ident_normalization = true;
    config
}
